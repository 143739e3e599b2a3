/* SPDX-License-Identifier: MIT */
/* A hostile predecessor. */
#include "trap.h"
#include "client.h"
#include "fds.h"
#include "peer.h"
#include "sys.h"
#include "tmpdir.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- The trap ------------------------------------------------------------------------------- */

static void
bind_listener(struct trap *t)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t length = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(t->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(t->listener, 16), 0);
	assert_int_equal(getsockname(t->listener, (struct sockaddr *)&a, &length), 0);
	t->port = ntohs(a.sin_port);
}

static void
write_heir(struct trap *t, uint64_t heir)
{
	struct record record = { .generation = 1, .owner = TRAP_INSTANCE, .heir = heir };

	assert_int_equal(molt__rendezvous_write_record(t->rendezvous, &record), 0);
}

static void
open_rendezvous(struct trap *t)
{
	struct socket_owner owner = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0600 };

	assert_int_equal(molt__rendezvous_new(t->path, &t->rendezvous), 0);
	assert_int_equal(molt__rendezvous_open_lock(t->rendezvous), 0);
	assert_int_equal(molt__rendezvous_take_life(t->rendezvous), 0);
	assert_int_equal(molt__rendezvous_lock_owner(t->rendezvous), 0);
	write_heir(t, 0);
	assert_int_equal(molt__rendezvous_bind(t->rendezvous, &owner, &t->path_fd, &t->path_file),
			 0);
}

int
trap_set_up(void **state)
{
	struct trap *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->before = fds_snapshot();
	t->fd = -1;
	t->directory = tmpdir_make();
	snprintf(t->path, sizeof(t->path), "%s/molt.sock", t->directory);
	assert_int_equal(actor_start(&t->prey, "prey"), 0);
	assert_int_equal(actor_do(&t->prey, "fds") > 0, 1);
	t->table = fds_snapshot_of(t->prey.pid);
	open_rendezvous(t);
	bind_listener(t);
	*state = t;
	return 0;
}

void
trap_open(struct trap *t)
{
	molt__sys_close(t->fd);
	molt__sys_close(t->path_fd);
	molt__sys_close(t->listener);
	molt__rendezvous_free(t->rendezvous);
	t->fd = t->path_fd = t->listener = -1;
	t->rendezvous = NULL;
}

int
trap_tear_down(void **state)
{
	struct trap *t = *state;
	int changed;

	trap_open(t);
	actor_end(&t->prey);
	fds_free(t->table);
	changed = fds_changed(t->before);
	fds_free(t->before);
	tmpdir_remove(t->directory);
	free(t);
	return changed;
}

void
trap_catch(struct trap *t)
{
	struct pollfd p = { .fd = t->path_fd, .events = POLLIN };
	struct message m;
	int on = 1;

	assert_int_equal(actor_do(&t->prey, "new %s", t->path), 0);
	assert_int_equal(actor_do(&t->prey, "deadline 9 20"), 0);
	assert_int_equal(actor_do(&t->prey, "connect"), 0);
	assert_int_equal(poll(&p, 1, PEER_PATIENCE), 1);
	t->fd = molt__sys_accept(t->path_fd);
	assert_true(t->fd >= 0);
	setsockopt(t->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	assert_int_equal(peer_hear(t->fd, &m), PACKET_HELLO);
	t->hello = m.hello;
	molt__message_clear(&m);
	write_heir(t, t->hello.instance);
}

/* --- What it says --------------------------------------------------------------------------- */

struct trap_offer
trap_empty_offer(void)
{
	struct trap_offer o = { 0 };

	o.offer.instance = TRAP_INSTANCE;
	o.offer.generation = 1;
	o.offer.pid = 666;
	o.offer.sequence = 1;
	o.offer.last = true;
	o.offer.deadlines = (struct offer_deadlines){ 5000, 5000, 5000, 5000 };
	return o;
}

struct entry *
trap_add(struct trap_offer *o, const char *name, enum entry_kind kind, int fd)
{
	struct entry *e = &o->entries[o->offer.count];

	assert_true(o->offer.count < TRAP_ENTRIES_MAX);
	molt__entry_init(e);
	assert_int_equal(molt__entry_set_name(e, name), 0);
	e->kind = kind;
	o->fds[o->offer.count] = fd;
	e->id = (uint32_t)++o->offer.count;
	return e;
}

struct trap_offer
trap_good_offer(const struct trap *t)
{
	struct trap_offer o = trap_empty_offer();
	struct entry *e;

	trap_add(&o, "life", ENTRY_LIFE, molt__rendezvous_life_fd(t->rendezvous));
	e = trap_add(&o, "path", ENTRY_PATH, t->path_fd);
	e->path = t->path_file;
	e = trap_add(&o, "http", ENTRY_STREAM, t->listener);
	e->address.family = AF_INET;
	e->address.type = SOCK_STREAM;
	snprintf(e->address.text, sizeof(e->address.text), "127.0.0.1:%d", t->port);
	return o;
}

void
trap_say_offer(struct trap *t, struct trap_offer *o)
{
	struct message m = { .type = PACKET_OFFER, .offer = o->offer };

	m.offer.entries = o->entries;
	assert_int_equal(peer_say(t->fd, &m, o->fds, m.offer.count), 0);
}

void
trap_say(struct trap *t, const struct message *message)
{
	assert_int_equal(peer_say(t->fd, message, NULL, 0), 0);
}

void
trap_say_type(struct trap *t, enum packet_type type)
{
	struct message m = { .type = type };

	if (type == PACKET_TAKEN)
		m.taken.sequence = 1;
	if (type == PACKET_OFFER)
		m.offer = trap_empty_offer().offer;
	if (type == PACKET_HELLO)
		m.hello = (struct hello){ .instance = TRAP_INSTANCE, .speaks = WIRE_VERSION };
	trap_say(t, &m);
}

void
trap_hears(struct trap *t, int type)
{
	struct message m;
	int heard;

	while ((heard = peer_hear(t->fd, &m)) > 0) {
		molt__message_clear(&m);
		if (heard != PACKET_TAKEN)
			break;
	}
	if (heard != type)
		fail_msg("the prey said %s (%d), not %s", molt__wire_type_name(heard), heard,
			 molt__wire_type_name(type));
}

/* --- What becomes of the prey --------------------------------------------------------------- */

void
trap_warms(struct trap *t)
{
	struct trap_offer o = trap_good_offer(t);

	trap_catch(t);
	trap_say_offer(t, &o);
	assert_non_null(actor_expect(&t->prey, "STARTED"));
	assert_true(actor_do(&t->prey, "listen http tcp://127.0.0.1:0") >= 0);
	assert_int_equal(actor_do(&t->prey, "port http 0"), t->port);
}

void
trap_readies(struct trap *t)
{
	trap_warms(t);
	assert_int_equal(actor_do(&t->prey, "ready"), 0);
	trap_hears(t, PACKET_READY);
}

void
trap_serves(struct trap *t)
{
	trap_readies(t);
	trap_say_type(t, PACKET_COMMIT);
	molt__rendezvous_unlock_owner(t->rendezvous);
	assert_non_null(actor_expect(&t->prey, "LOAD"));
	assert_non_null(actor_expect(&t->prey, "SERVE committed"));
	trap_hears(t, PACKET_CONFIRM);
	assert_true(client_served_by(t->port, "prey"));
}

/* After the second answer the prey has looked at all that was there before the first. */
static void
settle(struct trap *t)
{
	assert_true(actor_do(&t->prey, "fds") > 0);
	assert_true(actor_do(&t->prey, "fds") > 0);
}

void
trap_said(struct trap *t, const char *words, const char *about)
{
	int count;

	settle(t);
	count = actor_do(&t->prey, "log packet");
	if (count <= t->packets || strstr(actor_text(&t->prey), words) == NULL)
		fail_msg("after %s: %d lines, the last \"%s\", wanted over %d, and \"%s\"", about,
			 count, actor_text(&t->prey), t->packets, words);
	t->packets = count;
}

void
trap_failed(struct trap *t, const char *how, const char *words)
{
	const char *event = actor_expect(&t->prey, how);

	assert_non_null(event);
	if (strstr(event, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", event, words);
	assert_in_range(peer_hear_out(t->fd), 0, PACKET_WATCH);
	molt__sys_close(t->fd);
	t->fd = -1;
	assert_int_equal(actor_do(&t->prey, "free"), 0);
	assert_int_equal(fds_changed(t->table), 0);
	assert_int_equal(molt__rendezvous_lock_owner(t->rendezvous), 0);
}

void
trap_is_survived(struct trap *t)
{
	trap_open(t);
	assert_int_equal(actor_do(&t->prey, "new %s", t->path), 0);
	assert_int_equal(actor_do(&t->prey, "start"), 0);
	assert_int_equal(actor_do(&t->prey, "generation"), 1);
	assert_true(actor_do(&t->prey, "listen http tcp://127.0.0.1:%d", t->port) >= 0);
	assert_int_equal(actor_do(&t->prey, "ready"), 0);
	assert_non_null(actor_expect(&t->prey, "SERVE first"));
	assert_true(client_served_by(t->port, "prey"));
}
