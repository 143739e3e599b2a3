/* SPDX-License-Identifier: MIT */
/* A server besieged by a hostile peer. */
#include "siege.h"
#include "client.h"
#include "fds.h"
#include "peer.h"
#include "tmpdir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* --- The server that is besieged -------------------------------------------------------------- */

/*
 * The server looks at a command, then at all that had happened before it; so after the second
 * answer the first look has been had.
 */
void
siege_settle(struct siege *s)
{
	assert_int_equal(actor_do(&s->old, "state"), 0);
	assert_int_equal(actor_do(&s->old, "state"), 0);
}

int
siege_set_up(void **state)
{
	struct siege *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->before = fds_snapshot();
	s->directory = tmpdir_make();
	snprintf(s->path, sizeof(s->path), "%s/molt.sock", s->directory);
	assert_int_equal(actor_start(&s->old, "old"), 0);
	assert_int_equal(actor_do(&s->old, "new %s", s->path), 0);
	assert_int_equal(actor_do(&s->old, "deadline 6 200"), 0);
	assert_int_equal(actor_do(&s->old, "deadline 9 50"), 0);
	assert_int_equal(actor_do(&s->old, "start"), 0);
	assert_true(actor_do(&s->old, "listen http tcp://127.0.0.1:0") >= 0);
	assert_int_equal(actor_do(&s->old, "memfd state hello"), 0);
	s->port = actor_do(&s->old, "port http 0");
	assert_int_equal(actor_do(&s->old, "ready"), 0);
	assert_non_null(actor_expect(&s->old, "SERVE first"));
	s->client = client_tcp(s->port);
	assert_true(client_answered(s->client, "old", "first"));
	siege_settle(s);
	s->table = fds_snapshot_of(s->old.pid);
	assert_non_null(s->table);
	*state = s;
	return 0;
}

int
siege_tear_down(void **state)
{
	struct siege *s = *state;
	int changed;

	close(s->client);
	actor_end(&s->old);
	actor_end(&s->new);
	fds_free(s->table);
	changed = fds_changed(s->before);
	fds_free(s->before);
	tmpdir_remove(s->directory);
	free(s);
	return changed;
}

static struct siege_key *
key_of(struct siege *s, const char *name)
{
	struct siege_key *k = s->keys;

	while (k->name[0] != '\0' && strcmp(k->name, name) != 0)
		k++;
	assert_true(k < s->keys + SIEGE_KEYS_MAX - 1);
	snprintf(k->name, sizeof(k->name), "%s", name);
	return k;
}

void
siege_check_said(struct siege *s, const char *key, const char *words, const char *about)
{
	struct siege_key *k = key_of(s, key);
	int count;

	siege_settle(s);
	count = actor_do(&s->old, "log %s", key);
	if (count <= k->count || strstr(actor_text(&s->old), words) == NULL)
		fail_msg("after %s: %d lines of %s, the last \"%s\", wanted over %d, and \"%s\"",
			 about, count, key, actor_text(&s->old), k->count, words);
	k->count = count;
}

void
siege_serves(struct siege *s)
{
	assert_true(client_answered(s->client, "old", "still"));
	assert_true(client_served_by(s->port, "old"));
}

void
siege_unharmed(struct siege *s)
{
	siege_settle(s);
	assert_int_equal(fds_changed(s->table), 0);
	siege_serves(s);
	assert_int_equal(actor_do(&s->old, "is_owner"), 1);
}

void
siege_is_upgraded(struct siege *s)
{
	assert_int_equal(actor_start(&s->new, "new"), 0);
	assert_int_equal(actor_do(&s->new, "new %s", s->path), 0);
	assert_int_equal(actor_do(&s->new, "start"), 0);
	assert_true(actor_do(&s->new, "listen http tcp://127.0.0.1:0") >= 0);
	assert_int_equal(actor_do(&s->new, "port http 0"), s->port);
	assert_int_equal(actor_do(&s->new, "ready"), 0);
	assert_non_null(actor_await(&s->new, "SERVE committed"));
	assert_int_equal(actor_do(&s->new, "read state"), -ENOENT); /* not claimed in time */
	assert_non_null(actor_await(&s->old, "DRAIN"));
	assert_true(client_served_by(s->port, "new"));
	assert_true(client_answered(s->client, "old", "last"));
	close(s->client);
	s->client = -1;
	assert_non_null(actor_await(&s->old, "LEAVE done"));
	assert_true(actor_ends_well(&s->old));
}

/* --- The peer --------------------------------------------------------------------------------- */

int
siege_visitor(const struct siege *s)
{
	int fd = peer_connect(s->path);

	assert_true(fd >= 0);
	return fd;
}

static void
say(int fd, const struct message *message)
{
	assert_int_equal(peer_say(fd, message, NULL, 0), 0);
}

void
suitor_hello(int fd, uint64_t instance, int room)
{
	struct message m = { .type = PACKET_HELLO };

	m.hello = (struct hello){ .instance = instance,
				  .pid = 666,
				  .speaks = WIRE_VERSION,
				  .room = room,
				  .label = "hostile" };
	say(fd, &m);
}

void
siege_check_heard(int fd, int type, int line)
{
	struct message m;
	int heard = peer_hear(fd, &m);

	if (heard > 0)
		molt__message_clear(&m);
	if (heard != type)
		fail_msg("line %d: heard %s (%d), wanted %s", line, molt__wire_type_name(heard),
			 heard, molt__wire_type_name(type));
}

void
siege_is_refused(int fd, enum refuse_code code)
{
	struct message m;

	assert_int_equal(peer_hear(fd, &m), PACKET_REFUSE);
	assert_int_equal(m.refuse.code, code);
	molt__message_clear(&m);
	heard(fd, 0);
	close(fd);
}

bool
suitor_hears_offer(struct suitor *p)
{
	struct message m;
	bool last;

	assert_int_equal(peer_hear(p->fd, &m), PACKET_OFFER);
	p->old = m.offer.instance;
	p->sequence = m.offer.sequence;
	for (size_t i = 0; i < m.offer.count; i++)
		p->ids[p->count++] = m.offer.entries[i].id;
	last = m.offer.last;
	molt__message_clear(&m);
	return last;
}

struct suitor
suitor_wooing(const struct siege *s)
{
	struct suitor p = { .fd = siege_visitor(s) };

	suitor_hello(p.fd, SUITOR_INSTANCE, SUITOR_IDS_MAX);
	return p;
}

struct suitor
suitor_offered(const struct siege *s)
{
	struct suitor p = suitor_wooing(s);

	assert_true(suitor_hears_offer(&p));
	return p;
}

void
suitor_taken(const struct suitor *p, uint32_t sequence)
{
	struct message m = { .type = PACKET_TAKEN };

	m.taken.sequence = sequence;
	say(p->fd, &m);
}

void
suitor_ready(const struct suitor *p)
{
	struct message m = { .type = PACKET_READY };

	m.ready.claimed = (uint32_t *)p->ids; /* only read */
	m.ready.count = p->count;
	say(p->fd, &m);
}

void
suitor_confirm(const struct suitor *p)
{
	struct message m = { .type = PACKET_CONFIRM };

	m.confirm.generation = 2;
	m.confirm.claimed = (uint32_t *)p->ids;
	m.confirm.count = p->count;
	say(p->fd, &m);
}

void
siege_say_type(int fd, enum packet_type type)
{
	struct message m = { .type = type };

	if (type == PACKET_TAKEN)
		m.taken.sequence = 1;
	if (type == PACKET_OFFER)
		m.offer =
			(struct offer){ .instance = SUITOR_INSTANCE, .sequence = 1, .last = true };
	say(fd, &m);
}
