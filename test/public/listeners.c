/* SPDX-License-Identifier: MIT */
/* Listeners of every kind through real handoffs: actors in processes of their own, clients here. */
#include "actor.h"
#include "client.h"
#include "fds.h"
#include "tmpdir.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { ACTORS = 4 };

struct theatre {
	char *dir;
	char socket[256];
	struct fds *before;
	struct actor actors[ACTORS];
};

static int
set_up(void **state)
{
	struct theatre *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->before = fds_snapshot();
	t->dir = tmpdir_make();
	assert_non_null(t->dir);
	snprintf(t->socket, sizeof(t->socket), "%s/molt.sock", t->dir);
	*state = t;
	return 0;
}

static int
tear_down(void **state)
{
	struct theatre *t = *state;
	int changed;

	for (int i = 0; i < ACTORS; i++)
		actor_end(&t->actors[i]);
	changed = fds_changed(t->before);
	fds_free(t->before);
	tmpdir_remove(t->dir);
	free(t);
	return changed;
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* Starts an actor and its handle, up to where it can listen. */
static struct actor *
starts(struct theatre *t, int which, const char *label)
{
	struct actor *a = &t->actors[which];

	assert_int_equal(actor_start(a, label), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "start"), 0);
	return a;
}

static void
serves(struct actor *a, const char *how)
{
	assert_int_equal(actor_do(a, "ready"), 0);
	assert_non_null(actor_await(a, how));
}

/* The handoff to `b` as the predecessor sees it, without connections: it leaves. */
static void
leaves(struct actor *a)
{
	assert_non_null(actor_expect(a, "PAUSE"));
	assert_non_null(actor_await(a, "DRAIN"));
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
}

#define listens(a, ...) assert_true(actor_do(a, "listen " __VA_ARGS__) >= 0)

static int
port_of(struct actor *a, const char *name)
{
	int port = actor_do(a, "port %s 0", name);

	assert_true(port > 0);
	return port;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void
a_port_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");

	listens(a, "http tcp://127.0.0.1:0");
	int port = port_of(a, "http");
	assert_true(client_refused(port));
	serves(a, "SERVE first 0 # ");
	assert_true(client_served_by(port, "a"));

	struct actor *b = starts(t, 1, "b");
	listens(b, "http tcp://127.0.0.1:0");
	assert_int_equal(port_of(b, "http"), port);
	assert_true(client_served_by(port, "a"));
	serves(b, "SERVE committed 0 # ");
	leaves(a);
	assert_true(client_served_by(port, "b"));
}

/* From `a` to a new one that asks for the same. Both are well afterwards. */
static struct actor *
hands_over(struct theatre *t, struct actor *a, int which, const char *label, const char *listen)
{
	struct actor *b = starts(t, which, label);

	assert_true(actor_do(b, "listen %s", listen) >= 0);
	serves(b, "SERVE committed 0 # ");
	leaves(a);
	return b;
}

/* --- Datagrams -------------------------------------------------------------------------------- */

enum { FLOWS = 8, DATAGRAMS = 300, OUTSTANDING = 8 };

struct flow {
	int fd;
	int sent;
	int answered;
	int changes; /* of who answers */
	char by[64];
};

/* The next answer must be to the next datagram. */
static void
hears(struct flow *f, int flags)
{
	char answer[sizeof(f->by)];
	char expected[16];
	ssize_t length = recv(f->fd, answer, sizeof(answer) - 1, flags);

	if (length < 0 && flags != 0)
		return;
	assert_true(length > 0);
	answer[length] = '\0';
	char *blank = strchr(answer, ' ');
	assert_non_null(blank);
	*blank = '\0';
	snprintf(expected, sizeof(expected), "%d", f->answered++);
	assert_string_equal(blank + 1, expected);
	f->changes += strcmp(f->by, answer) != 0;
	memcpy(f->by, answer, sizeof(f->by));
}

static void
says(struct flow *f)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", f->sent++);

	while (f->sent - f->answered > OUTSTANDING)
		hears(f, 0);
	assert_int_equal(send(f->fd, text, (size_t)length, 0), length);
	hears(f, MSG_DONTWAIT);
}

static void
flows_say(struct flow *flows, int datagrams)
{
	for (int i = 0; i < datagrams; i++)
		for (int n = 0; n < FLOWS; n++)
			says(&flows[n]);
}

static void
no_datagram_is_lost(void **state)
{
	struct theatre *t = *state;
	struct flow flows[FLOWS] = { { 0 } };
	struct actor *a = starts(t, 0, "a");

	listens(a, "dns udp://127.0.0.1:0");
	serves(a, "SERVE first 0 # ");
	for (int n = 0; n < FLOWS; n++) {
		flows[n].fd = client_udp(port_of(a, "dns"));
		assert_true(flows[n].fd >= 0);
	}
	flows_say(flows, DATAGRAMS);
	struct actor *b = starts(t, 1, "b");
	listens(b, "dns udp://127.0.0.1:0");
	flows_say(flows, DATAGRAMS);
	actor_say(b, "ready");
	flows_say(flows, DATAGRAMS);
	assert_int_equal(actor_hear(b, ACTOR_PATIENCE), 0);
	assert_non_null(actor_await(b, "SERVE committed 0 # "));
	flows_say(flows, DATAGRAMS);
	for (int n = 0; n < FLOWS; n++) {
		while (flows[n].answered < flows[n].sent)
			hears(&flows[n], 0);
		assert_string_equal(flows[n].by, "b");
		assert_int_equal(flows[n].changes, 2); /* from nobody to a, from a to b */
		close(flows[n].fd);
	}
	leaves(a);
}

/* Law 2: what its host will not serve, a successor does not get. */
static void
a_warm_successor_gets_no_datagram(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");

	listens(a, "dns udp://127.0.0.1:0?sockets=2");
	serves(a, "SERVE first 0 # ");
	int port = port_of(a, "dns");
	struct actor *b = starts(t, 1, "b");
	listens(b, "dns udp://127.0.0.1:0?sockets=6");
	assert_int_equal(actor_do(b, "count dns"), 6);
	for (int i = 0; i < 64; i++) {
		int fd = client_udp(port);
		assert_true(client_answered(fd, "a", "x"));
		close(fd);
	}
	serves(b, "SERVE committed 0 # ");
	leaves(a);
	for (int i = 0; i < 64; i++) {
		int fd = client_udp(port);
		assert_true(client_answered(fd, "b", "x"));
		close(fd);
	}
}

/* --- Unix paths ------------------------------------------------------------------------------- */

static void
file_of(const char *path, struct stat *ret)
{
	assert_int_equal(lstat(path, ret), 0);
	assert_true(S_ISSOCK(ret->st_mode));
}

static void
same_file(const struct stat *a, const struct stat *b)
{
	assert_int_equal(a->st_ino, b->st_ino);
	assert_int_equal(a->st_uid, b->st_uid);
	assert_int_equal(a->st_gid, b->st_gid);
	assert_int_equal(a->st_mode, b->st_mode);
}

static bool
path_served_by(const char *path, const char *label)
{
	int fd = client_unix(path);
	bool served = fd >= 0 && client_answered(fd, label, "hello");

	close(fd);
	return served;
}

static void
a_path_keeps_its_file(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");
	char path[256];
	char listen[300];
	struct stat first;
	struct stat now;

	snprintf(path, sizeof(path), "%s/app.sock", t->dir);
	snprintf(listen, sizeof(listen), "app unix://%s?mode=640", path);
	assert_true(actor_do(a, "listen %s", listen) >= 0);
	assert_int_equal(client_unix(path), -ENOENT);
	serves(a, "SERVE first 0 # ");
	file_of(path, &first);
	assert_int_equal(first.st_mode & 07777, 0640);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 65534, 65534), 0);
	assert_int_equal(chmod(path, 0606), 0);
	file_of(path, &first);

	struct actor *b = hands_over(t, a, 1, "b", listen);
	file_of(path, &now);
	same_file(&first, &now);
	assert_true(path_served_by(path, "b"));

	struct actor *c = hands_over(t, b, 2, "c", listen);
	file_of(path, &now);
	same_file(&first, &now);
	assert_true(path_served_by(path, "c"));

	/* The duty to remove it has come along. */
	assert_int_equal(actor_do(c, "drain"), 0);
	assert_non_null(actor_await(c, "LEAVE done"));
	assert_true(actor_ends_well(c));
	assert_int_equal(client_unix(path), -ENOENT);
}

static void
a_stale_path_is_replaced(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");
	char path[256];

	snprintf(path, sizeof(path), "%s/app.sock", t->dir);
	assert_true(actor_do(a, "listen app unix://%s", path) >= 0);
	serves(a, "SERVE first 0 # ");
	actor_signal(a, SIGKILL);
	actor_end(a);
	assert_int_equal(client_unix(path), -ECONNREFUSED);

	struct actor *b = starts(t, 1, "b");
	assert_true(actor_do(b, "listen app unix://%s", path) >= 0);
	assert_int_equal(client_unix(path), -ECONNREFUSED);
	serves(b, "SERVE first 0 # ");
	assert_true(path_served_by(path, "b"));
}

/* A server of somebody else's, whose queue holds one. */
static int
stranger_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%.99s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 0), 0);
	return fd;
}

static void
leaves_alone(struct theatre *t, int which, const char *path)
{
	struct stat before;
	struct stat after;

	file_of(path, &before);
	struct actor *a = starts(t, which, "a");
	assert_true(actor_do(a, "listen app unix://%s", path) >= 0);
	serves(a, "SERVE first 0 app=-98 # ");
	file_of(path, &after);
	same_file(&before, &after);
	assert_int_equal(actor_do(a, "drain"), 0);
	assert_non_null(actor_await(a, "LEAVE"));
	assert_true(actor_ends_well(a));
	file_of(path, &after);
	same_file(&before, &after);
	actor_end(a);
}

static void
a_path_that_lives_is_not_replaced(void **state)
{
	struct theatre *t = *state;
	char path[100];

	snprintf(path, sizeof(path), "%.90s/app.sock", t->dir);
	int stranger = stranger_at(path);
	leaves_alone(t, 0, path);
	/* So busy that it does not even answer. */
	int waiting[4];
	for (int i = 0; i < 4; i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		snprintf(a.sun_path, sizeof(a.sun_path), "%.99s", path);
		int result = connect(waiting[i], (struct sockaddr *)&a, sizeof(a));
		assert_true(result == 0 || errno == EAGAIN);
	}
	leaves_alone(t, 1, path);
	for (int i = 0; i < 4; i++)
		close(waiting[i]);
	close(stranger);
}

static void
an_abstract_name_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");
	char name[64];
	char listen[80];

	snprintf(name, sizeof(name), "@molt-test-%d", (int)getpid());
	snprintf(listen, sizeof(listen), "app unix:%s", name);
	assert_true(actor_do(a, "listen %s", listen) >= 0);
	assert_int_equal(client_unix(name), -ECONNREFUSED);
	serves(a, "SERVE first 0 # ");
	assert_true(path_served_by(name, "a"));
	hands_over(t, a, 1, "b", listen);
	assert_true(path_served_by(name, "b"));
}

/* --- Other families and sources --------------------------------------------------------------- */

static void
v6_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");

	if (actor_do(a, "listen web tcp://[::1]:0") == -EADDRNOTAVAIL) {
		print_message("skipped: there is no ::1 here\n");
		skip();
	}
	serves(a, "SERVE first 0 # ");
	int port = port_of(a, "web");
	struct actor *b = hands_over(t, a, 1, "b", "web tcp://[::1]:0?v6only=1");
	int fd = client_tcp6(port);
	assert_true(client_answered(fd, "b", "x"));
	close(fd);
	assert_true(client_refused(port));
	/* Asked for otherwise: kept, and told. */
	struct actor *c = hands_over(t, b, 2, "c", "web tcp://[::1]:0?v6only=0");
	assert_int_equal(actor_do(c, "log v6only"), 1);
	fd = client_tcp6(port);
	assert_true(client_answered(fd, "c", "x"));
	close(fd);
}

/* Bound by the test itself, as systemd would. */
static int
bound_by_systemd(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t length = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static struct actor *
starts_under_systemd(struct theatre *t, int which, const char *label, const int *fds, size_t count)
{
	struct actor_options options = { .label = label,
					 .systemd = fds,
					 .systemd_count = count,
					 .systemd_names = "http:http:spare" };
	struct actor *a = &t->actors[which];

	assert_int_equal(actor_start_with(a, &options), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "start"), 0);
	return a;
}

static void
systemds_sockets_are_used_and_passed_on(void **state)
{
	struct theatre *t = *state;
	int ports[3];
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = bound_by_systemd(&ports[i]);
	struct actor *a = starts_under_systemd(t, 0, "a", fds, 3);
	assert_true(actor_do(a, "listen http tcp://127.0.0.1:%d", ports[1]) >= 0);
	assert_true(actor_do(a, "listen web tcp://127.0.0.1:%d", ports[0]) >= 0);
	serves(a, "SERVE first 0 # ");
	assert_true(client_served_by(ports[0], "a") && client_served_by(ports[1], "a"));
	assert_int_equal(actor_do(a, "log systemd"), 1);

	/* With a predecessor: what that has comes from it, what it has not from systemd. */
	struct actor *b = starts_under_systemd(t, 1, "b", fds, 3);
	int open = actor_do(b, "fds");
	assert_true(actor_do(b, "listen http tcp://127.0.0.1:%d", ports[1]) >= 0);
	assert_true(actor_do(b, "listen web tcp://127.0.0.1:%d", ports[0]) >= 0);
	assert_true(actor_do(b, "listen spare tcp://127.0.0.1:%d", ports[2]) >= 0);
	assert_int_equal(actor_do(b, "fds"), open);
	serves(b, "SERVE committed 0 # ");
	leaves(a);
	for (int i = 0; i < 3; i++)
		assert_true(client_served_by(ports[i], "b"));
	assert_int_equal(actor_do(b, "log systemd"), 0);

	/* And then without it. */
	struct actor *c = starts(t, 2, "c");
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "web", "http", "spare" };
		int fd = actor_do(c, "listen %s tcp://127.0.0.1:%d", names[i], ports[i]);
		assert_true(fd >= 0);
	}
	serves(c, "SERVE committed 0 # ");
	leaves(b);
	for (int i = 0; i < 3; i++) {
		assert_true(client_served_by(ports[i], "c"));
		close(fds[i]);
	}
}

/* Hosts that bind by themselves. */
static void
what_is_offered_is_taken(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");

	assert_int_equal(actor_do(a, "bind http 0"), 0);
	int port = port_of(a, "http");
	assert_true(client_refused(port));
	serves(a, "SERVE first 0 # ");
	assert_true(client_served_by(port, "a"));
	assert_int_equal(actor_do(a, "memfd state forty-two"), 0);

	struct actor *b = starts(t, 1, "b");
	assert_int_equal(actor_do(b, "inherited"), 2);
	assert_int_equal(actor_do(b, "read state"), 9);
	assert_string_equal(actor_text(b), "forty-two");
	assert_int_equal(actor_do(b, "adopt http"), 0);
	assert_int_equal(actor_do(b, "take http"), -ENOENT);
	serves(b, "SERVE committed 0 # ");
	leaves(a);
	assert_true(client_served_by(port, "b"));

	/* By address, for a server that has no names; and a listener of the library's from it. */
	struct actor *c = starts(t, 2, "c");
	assert_true(actor_do(c, "take_address %d", port) >= 0);
	assert_int_equal(actor_do(c, "take_address %d", port), -ENOENT);
	assert_int_equal(actor_do(c, "cancel"), 0);
	assert_non_null(actor_await(c, "FAILED given up"));
	char listen[64];
	snprintf(listen, sizeof(listen), "http tcp://127.0.0.1:%d", port);
	hands_over(t, b, 3, "d", listen);
	assert_true(client_served_by(port, "d"));
}

/* --- Groups ----------------------------------------------------------------------------------- */

/* New connections, one after the other, until the first that `label` answers. */
static void
connects_until(int port, const char *label)
{
	char by[64] = "";

	while (strcmp(by, label) != 0) {
		int fd = client_tcp(port);
		assert_true(fd >= 0);
		assert_true(client_asks(fd, "hello", by));
		close(fd);
	}
}

static struct actor *
group_passes_on(struct theatre *t, struct actor *a, int which, int wanted, int expected)
{
	char label[2] = { (char)('a' + which), '\0' };
	int port = port_of(a, "g");
	struct actor *b = starts(t, which, label);

	assert_true(actor_do(b, "listen g tcp://127.0.0.1:%d?sockets=%d", port, wanted) >= 0);
	assert_int_equal(actor_do(b, "count g"), expected);
	actor_say(b, "ready");
	connects_until(port, label);
	assert_int_equal(actor_hear(b, ACTOR_PATIENCE), 0);
	assert_non_null(actor_await(b, "SERVE committed 0 # "));
	leaves(a);
	for (int i = 0; i < 100; i++)
		assert_true(client_served_by(port, label));
	return b;
}

static void
a_group_of_four_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");

	listens(a, "g tcp://127.0.0.1:0?sockets=4");
	assert_int_equal(actor_do(a, "count g"), 4);
	serves(a, "SERVE first 0 # ");
	struct actor *b = group_passes_on(t, a, 1, 4, 4);
	assert_int_equal(actor_do(b, "log group"), 0);
	struct actor *c = group_passes_on(t, b, 2, 6, 6);
	struct actor *d = group_passes_on(t, c, 3, 2, 6);
	assert_int_equal(actor_do(d, "log group"), 1);
}

/* --- What changes from one version to the next ------------------------------------------------ */

/* A handoff that fails while the successor is warm, and one that fails when the predecessor has
 * paused. */
static void
two_attempts_fail(struct theatre *t, struct actor *a, int port)
{
	struct actor *b = starts(t, 1, "b");
	assert_true(actor_do(b, "listen new tcp://127.0.0.1:%d", port) >= 0);
	assert_true(client_refused(port));
	assert_int_equal(actor_do(b, "cancel"), 0);
	assert_non_null(actor_await(b, "FAILED given up"));
	assert_true(client_refused(port));
	actor_end(b);

	assert_int_equal(actor_do(a, "hold_commit"), 0);
	b = starts(t, 1, "b");
	assert_true(actor_do(b, "listen new tcp://127.0.0.1:%d", port) >= 0);
	assert_int_equal(actor_do(b, "ready"), 0);
	assert_non_null(actor_await(a, "PAUSE"));
	assert_true(client_refused(port));
	assert_int_equal(actor_do(a, "cancel"), 0);
	assert_non_null(actor_expect(a, "RESUME untouched 0 # "));
	assert_non_null(actor_await(b, "FAILED aborted"));
	assert_true(client_refused(port));
	actor_end(b);
}

static int
free_port(void)
{
	int port;

	close(bound_by_systemd(&port));
	return port;
}

static void
a_new_port_is_refused_until_it_serves(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");
	int new = free_port();

	listens(a, "old tcp://127.0.0.1:0");
	listens(a, "same tcp://127.0.0.1:0");
	serves(a, "SERVE first 0 # ");
	int old = port_of(a, "old");
	int same = port_of(a, "same");
	two_attempts_fail(t, a, new);
	assert_true(client_served_by(old, "a") && client_served_by(same, "a"));

	struct actor *c = starts(t, 1, "c");
	assert_true(actor_do(c, "listen new tcp://127.0.0.1:%d", new) >= 0);
	listens(c, "same tcp://127.0.0.1:0");
	assert_true(client_refused(new));
	assert_int_equal(actor_do(c, "ready"), 0);
	assert_non_null(actor_await(a, "PAUSE"));
	assert_true(client_refused(new));
	int waiting = client_tcp(old); /* queued at a port that goes away: answered all the same */
	assert_true(waiting >= 0);
	assert_int_equal(actor_do(a, "commit"), 0);
	assert_non_null(actor_await(c, "SERVE committed 0 # "));
	assert_true(client_served_by(new, "c") && client_served_by(same, "c"));
	assert_non_null(actor_await(a, "RETIRE unclaimed 0 old=0 # "));
	assert_true(client_answered(waiting, "a", "still there"));
	assert_true(client_refused(old));
	close(waiting);
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
	assert_int_equal(actor_do(c, "log unclaimed"), 1);
}

static void
a_name_may_change_its_address(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");
	int new = free_port();

	listens(a, "http tcp://127.0.0.1:0");
	serves(a, "SERVE first 0 # ");
	int old = port_of(a, "http");
	struct actor *b = starts(t, 1, "b");
	assert_true(actor_do(b, "listen http tcp://127.0.0.1:%d", new) >= 0);
	assert_int_equal(actor_do(b, "log address"), 1);
	assert_true(client_served_by(old, "a"));
	assert_true(client_refused(new));
	serves(b, "SERVE committed 0 # ");
	assert_non_null(actor_await(a, "RETIRE unclaimed 0 http=0 # "));
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
	assert_true(client_served_by(new, "b"));
	assert_true(client_refused(old));
}

/* How many of twelve connections get through to a server that does not accept. */
static int
connections_to_frozen(struct actor *a, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct pollfd p[12];
	int through = 0;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	actor_freeze(a);
	for (int i = 0; i < 12; i++) {
		p[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		p[i].events = POLLOUT;
		connect(p[i].fd, (struct sockaddr *)&to, sizeof(to));
	}
	assert_true(poll(p, 12, 0) >= 0);
	for (int i = 0; i < 12; i++) {
		through += p[i].revents == POLLOUT;
		close(p[i].fd);
	}
	actor_signal(a, SIGCONT);
	return through;
}

static void
a_backlog_may_change(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");

	listens(a, "http tcp://127.0.0.1:0?backlog=64");
	serves(a, "SERVE first 0 # ");
	int port = port_of(a, "http");
	assert_int_equal(connections_to_frozen(a, port), 12);
	assert_true(client_served_by(port, "a"));
	struct actor *b = starts(t, 1, "b");
	listens(b, "http tcp://127.0.0.1:0?backlog=4");
	assert_int_equal(connections_to_frozen(a, port), 12);
	serves(b, "SERVE committed 0 # ");
	assert_true(client_served_by(port, "b"));
	assert_int_equal(connections_to_frozen(b, port), 5);
}

/* --- Two handles ------------------------------------------------------------------------------ */

static void
two_handles_start(struct actor *a, const struct theatre *t, const char *label)
{
	assert_int_equal(actor_start(a, label), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(actor_do(a, "use %d", i), 0);
		assert_int_equal(actor_do(a, "new %s-%d", t->socket, i), 0);
		assert_int_equal(actor_do(a, "start"), 0);
		assert_true(actor_do(a, "listen http tcp://127.0.0.1:0") >= 0);
	}
}

static void
two_handles_do_not_meet(void **state)
{
	struct theatre *t = *state;
	struct actor *a = &t->actors[0];
	struct actor *b = &t->actors[1];
	int ports[2];

	two_handles_start(a, t, "a");
	for (int i = 0; i < 2; i++) {
		actor_do(a, "use %d", i);
		ports[i] = port_of(a, "http");
		assert_int_equal(actor_do(a, "ready"), 0);
		assert_non_null(actor_expect(a, i == 0 ? "SERVE first" : "1:SERVE first"));
	}
	assert_int_not_equal(ports[0], ports[1]);
	two_handles_start(b, t, "b");
	/* The second one first; the other goes on as it was. */
	assert_int_equal(actor_do(b, "ready"), 0);
	assert_non_null(actor_await(b, "1:SERVE committed"));
	assert_non_null(actor_await(a, "1:LEAVE done"));
	assert_true(client_served_by(ports[1], "b"));
	assert_true(client_served_by(ports[0], "a"));
	actor_do(b, "use 0");
	assert_int_equal(actor_do(b, "ready"), 0);
	assert_non_null(actor_await(b, "SERVE committed"));
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
	assert_true(client_served_by(ports[0], "b") && client_served_by(ports[1], "b"));
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_port_passes_on),
		test(no_datagram_is_lost),
		test(a_warm_successor_gets_no_datagram),
		test(a_path_keeps_its_file),
		test(a_stale_path_is_replaced),
		test(a_path_that_lives_is_not_replaced),
		test(an_abstract_name_passes_on),
		test(v6_passes_on),
		test(systemds_sockets_are_used_and_passed_on),
		test(what_is_offered_is_taken),
		test(a_group_of_four_passes_on),
		test(a_new_port_is_refused_until_it_serves),
		test(a_name_may_change_its_address),
		test(a_backlog_may_change),
		test(two_handles_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
