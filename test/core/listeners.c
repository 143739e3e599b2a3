/* SPDX-License-Identifier: MIT */
/* The engine's listeners and offers, on a handle whose state the test sets by hand. */
#include "engine.h"
#include "fds.h"
#include "tmpdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* --- The stage -------------------------------------------------------------------------------- */

struct bench {
	struct molt *m;
	struct fds *before;
	char *dir;
	char log[4096]; /* key: line, one after the other */
	struct molt_event event;
};

static void
write_log(void *arg, int severity, const char *key, const char *line)
{
	struct bench *b = arg;
	size_t length = strlen(b->log);

	(void)severity;
	snprintf(b->log + length, sizeof(b->log) - length, "%s: %s\n", key, line);
}

static int
set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->before = fds_snapshot();
	b->dir = tmpdir_make();
	b->m = calloc(1, sizeof(*b->m));
	assert_non_null(b->m);
	b->m->epoll = b->m->wake = -1;
	b->m->log = write_log;
	b->m->log_arg = b;
	b->m->handoff.state = HANDOFF_FIRST;
	molt__inventory_init(&b->m->inventory);
	*state = b;
	return 0;
}

static int
tear_down(void **state)
{
	struct bench *b = *state;
	int changed;

	b->m->handoff.state = HANDOFF_FAILED;
	molt__listeners_close(b->m);
	molt__inventory_clear(&b->m->inventory);
	molt__listen_fds_free(b->m->listen_fds);
	free(b->event.entries);
	free(b->m);
	changed = fds_changed(b->before);
	fds_free(b->before);
	tmpdir_remove(b->dir);
	free(b);
	return changed;
}

/* --- Steps ------------------------------------------------------------------------------------ */

static void
becomes(struct bench *b, enum handoff_state state)
{
	b->m->handoff.state = (uint8_t)state;
}

/* Enters service as the engine does. */
static void
activate(struct bench *b)
{
	becomes(b, HANDOFF_SERVING);
	free(b->event.entries);
	b->event = (struct molt_event){ .type = MOLT_SERVE, .fd = -1 };
	molt__listeners_activate(b->m, &b->event);
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	getsockopt(fd, level, name, &value, &length);
	return value;
}

static bool
is_listening(int fd)
{
	return option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int
port_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t length = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
	return ntohs(a.sin6_port);
}

/* A bound socket of somebody else's. */
static int
foreign(int type, int port, bool group)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	int on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (group)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* What a predecessor would say of this socket. */
static struct entry
announced(const char *name, uint32_t id, int fd)
{
	char why[ADDRESS_WHY_MAX + 1];
	struct entry e;

	molt__entry_init(&e);
	assert_int_equal(molt__entry_set_name(&e, name), 0);
	assert_int_equal(molt__address_of_descriptor(fd, &e, why), 0);
	e.id = id;
	e.index = id - 1;
	return e;
}

static int
inherits(struct bench *b, const char *name, uint32_t id, int fd)
{
	struct entry e = announced(name, id, fd);

	return molt__listeners_inherit(b->m, &e);
}

/* A group, as it was inherited. Returns its port. */
static int
inherits_group(struct bench *b, const char *name, int type, int count)
{
	int port = 0;

	for (int i = 0; i < count; i++) {
		int fd = foreign(type, port, true);
		port = port_of(fd);
		assert_int_equal(inherits(b, name, (uint32_t)i + 1, fd), 0);
	}
	return port;
}

static int
count_status(struct bench *b, enum inventory_status status)
{
	return molt__inventory_count(&b->m->inventory, INVENTORY_SET(status));
}

#define assert_logged(b, words) assert_non_null(strstr((b)->log, words))
#define assert_not_logged(b, words) assert_null(strstr((b)->log, words))
#define assert_says(b, words) assert_non_null(strstr((b)->m->error, words))

static int
files_in(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int count = 0;

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(d);
	return count;
}

/* --- When ------------------------------------------------------------------------------------- */

static void
listening_is_refused_by_state(void **state)
{
	static const struct {
		enum handoff_state state;
		int error;
	} expected[] = {
		{ HANDOFF_NEW, -EBUSY },       { HANDOFF_START, -EBUSY },
		{ HANDOFF_CONN, -EBUSY },      { HANDOFF_FAILED, -ECANCELED },
		{ HANDOFF_YIELDED, -EBUSY },   { HANDOFF_DRAIN, -EBUSY },
		{ HANDOFF_RENOUNCED, -EBUSY }, { HANDOFF_LEFT, -EBUSY },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		becomes(b, expected[i].state);
		b->m->error[0] = '\0';
		assert_int_equal(molt__listeners_listen(b->m, "x", "tcp://127.0.0.1:0"),
				 expected[i].error);
		assert_int_not_equal(b->m->error[0], 0);
	}
	assert_int_equal(b->m->inventory.count, 0);
}

static void
a_commit_that_is_queued_closes_the_inventory(void **state)
{
	struct bench *b = *state;
	int file = memfd_create("state", MFD_CLOEXEC);

	becomes(b, HANDOFF_PAUSED);
	assert_int_equal(molt__listeners_offer(b->m, "state", file), 0);
	assert_true(molt__listeners_listen(b->m, "x", "tcp://127.0.0.1:0") >= 0);
	b->m->down.late_complete = true;
	assert_int_equal(molt__listeners_offer(b->m, "more", STDIN_FILENO), -EBUSY);
	b->m->down.late_complete = false;
	b->m->down.commit_queued = true;
	assert_int_equal(molt__listeners_offer(b->m, "more", STDIN_FILENO), -EBUSY);
	assert_int_equal(molt__listeners_withdraw(b->m, "state"), -EBUSY);
	assert_int_equal(molt__listeners_listen(b->m, "y", "tcp://127.0.0.1:0"), -EBUSY);
	assert_says(b, "DRAIN or RESUME");
	becomes(b, HANDOFF_DRAIN);
	assert_int_equal(molt__listeners_withdraw(b->m, "state"), 0);
	close(file);
}

/* --- Listening -------------------------------------------------------------------------------- */

static void
a_fresh_one_listens_when_it_serves(void **state)
{
	struct bench *b = *state;
	int fd = molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?backlog=7");

	assert_true(fd >= 0);
	assert_false(is_listening(fd));
	assert_true(port_of(fd) > 0);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 &&
		    (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	activate(b);
	assert_true(is_listening(fd));
	assert_int_equal(b->event.entry_count, 0);
}

static void
asking_again_gives_the_same(void **state)
{
	struct bench *b = *state;
	int fd = molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0");
	char address[64];

	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0"), fd);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port_of(fd));
	assert_int_equal(molt__listeners_listen(b->m, "http", address), fd);
	assert_int_equal(molt__listeners_count(b->m, "http"), 1);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.2:0"), -EEXIST);
	assert_says(b, address);
	assert_int_equal(molt__listeners_listen(b->m, "http", "udp://127.0.0.1:0"), -EEXIST);
}

static void
an_offer_has_its_name_to_itself(void **state)
{
	struct bench *b = *state;

	assert_int_equal(molt__listeners_offer(b->m, "http", STDIN_FILENO), 0);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0"), -EEXIST);
	assert_says(b, "molt_withdraw");
	assert_true(molt__listeners_listen(b->m, "web", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(molt__listeners_offer(b->m, "web", STDOUT_FILENO), -EEXIST);
}

static void
a_malformed_address_says_what_is_wrong(void **state)
{
	struct bench *b = *state;

	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?colour=red"),
			 -EINVAL);
	assert_says(b, "colour");
	assert_says(b, "http");
}

static void
while_serving_a_fresh_one_listens_at_once(void **state)
{
	struct bench *b = *state;
	char address[300];
	char path[256];
	struct stat st;

	becomes(b, HANDOFF_SERVING);
	assert_true(is_listening(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0")));
	snprintf(path, sizeof(path), "%s/app.sock", b->dir);
	snprintf(address, sizeof(address), "unix://%s?mode=640", path);
	assert_true(is_listening(molt__listeners_listen(b->m, "app", address)));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(files_in(b->dir), 1);
}

static void
a_group_has_one_port(void **state)
{
	struct bench *b = *state;
	int first = molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=4");

	assert_true(first >= 0);
	assert_int_equal(molt__listeners_count(b->m, "g"), 4);
	assert_int_equal(molt__listeners_fd(b->m, "g", 0), first);
	for (int i = 1; i < 4; i++)
		assert_int_equal(port_of(molt__listeners_fd(b->m, "g", i)), port_of(first));
	assert_int_equal(molt__listeners_fd(b->m, "g", 4), -ENOENT);
	assert_int_equal(molt__listeners_count(b->m, "other"), 0);
}

/* --- A call that fails changed nothing -------------------------------------------------------- */

static void
an_address_in_use_leaves_nothing(void **state)
{
	struct bench *b = *state;
	int other = foreign(SOCK_STREAM, 0, false);
	char address[64];

	assert_int_equal(listen(other, 1), 0);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d?sockets=3", port_of(other));
	assert_int_equal(molt__listeners_listen(b->m, "http", address), -EADDRINUSE);
	assert_says(b, "another process has it");
	assert_int_equal(b->m->inventory.count, 0);
	close(other);
}

/* Room for only so many more descriptors. */
static struct rlimit
limit_descriptors(int more)
{
	struct rlimit old;
	struct rlimit new;
	int lowest = dup(STDIN_FILENO);

	close(lowest);
	getrlimit(RLIMIT_NOFILE, &old);
	new = old;
	new.rlim_cur = (rlim_t)(lowest + more);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &new), 0);
	return old;
}

static void
a_group_that_cannot_grow_is_as_before(void **state)
{
	struct bench *b = *state;
	char address[64];
	int port = inherits_group(b, "g", SOCK_STREAM, 2);
	struct fds *before = fds_snapshot();
	struct rlimit old;

	becomes(b, HANDOFF_WARM);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d?sockets=60", port);
	old = limit_descriptors(3);
	assert_int_equal(molt__listeners_listen(b->m, "g", address), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(fds_changed(before), 0);
	fds_free(before);
	assert_int_equal(count_status(b, INVENTORY_INHERITED), 2);
	assert_int_equal(count_status(b, INVENTORY_HELD), 0);
}

static void
a_path_that_is_answered_is_left_alone(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char address[300];
	struct stat was;
	struct stat is;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", b->dir);
	assert_int_equal(bind(other, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(other, 5), 0);
	assert_int_equal(stat(a.sun_path, &was), 0);
	becomes(b, HANDOFF_SERVING);
	snprintf(address, sizeof(address), "unix://%s", a.sun_path);
	assert_int_equal(molt__listeners_listen(b->m, "app", address), -EADDRINUSE);
	assert_int_equal(files_in(b->dir), 1);
	assert_int_equal(stat(a.sun_path, &is), 0);
	assert_int_equal(is.st_ino, was.st_ino);
	assert_int_equal(b->m->inventory.count, 0);
	close(other);
}

/* --- Unix paths ------------------------------------------------------------------------------- */

static void
a_path_appears_when_it_serves(void **state)
{
	struct bench *b = *state;
	char address[300];
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/app.sock", b->dir);
	snprintf(address, sizeof(address), "unix://%s", path);
	assert_true(molt__listeners_listen(b->m, "app", address) >= 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(files_in(b->dir), 1);
	activate(b);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(files_in(b->dir), 1);
	assert_int_equal(b->m->unfinished_count, 0);
	molt__listeners_unlink(b->m);
	assert_int_equal(files_in(b->dir), 0);
}

static void
a_start_that_fails_leaves_no_name(void **state)
{
	struct bench *b = *state;
	char address[300];

	for (int i = 0; i < 3; i++) {
		char name[2] = { (char)('a' + i), '\0' };
		snprintf(address, sizeof(address), "unix://%s/%s", b->dir, name);
		assert_true(molt__listeners_listen(b->m, name, address) >= 0);
	}
	assert_int_equal(files_in(b->dir), 3);
	becomes(b, HANDOFF_FAILED);
	molt__listeners_close(b->m);
	assert_int_equal(files_in(b->dir), 0);
	assert_null(b->m->unfinished);
}

static void
anothers_path_is_not_unlinked(void **state)
{
	struct bench *b = *state;
	char address[300];
	char path[256];

	snprintf(path, sizeof(path), "%s/app.sock", b->dir);
	snprintf(address, sizeof(address), "unix://%s", path);
	becomes(b, HANDOFF_SERVING);
	assert_true(molt__listeners_listen(b->m, "app", address) >= 0);
	assert_int_equal(unlink(path), 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	molt__listeners_unlink(b->m);
	assert_int_equal(files_in(b->dir), 1);
	assert_logged(b, "unlink: listener app leaves");
}

/* One that never served had no path yet: what stands there is no business of its. */
static void
a_path_that_never_was_is_not_missed(void **state)
{
	struct bench *b = *state;
	char address[300];
	char path[256];

	snprintf(path, sizeof(path), "%s/app.sock", b->dir);
	snprintf(address, sizeof(address), "unix://%s", path);
	assert_true(molt__listeners_listen(b->m, "app", address) >= 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	molt__listeners_unlink(b->m);
	assert_not_logged(b, "unlink:");
	assert_int_equal(files_in(b->dir), 2);
}

static void
a_forked_child_only_closes(void **state)
{
	struct bench *b = *state;
	char address[300];

	snprintf(address, sizeof(address), "unix://%s/app.sock", b->dir);
	assert_true(molt__listeners_listen(b->m, "app", address) >= 0);
	b->m->abandoned = true;
	becomes(b, HANDOFF_FAILED);
	molt__listeners_close(b->m);
	assert_int_equal(files_in(b->dir), 1);
}

/* --- Inheriting ------------------------------------------------------------------------------- */

static void
what_is_inherited_is_claimed_by_name_and_address(void **state)
{
	struct bench *b = *state;
	int fd = foreign(SOCK_STREAM, 0, false);
	int port = port_of(fd);

	becomes(b, HANDOFF_WARM);
	assert_int_equal(inherits(b, "http", 1, fd), 0);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?backlog=9"), fd);
	assert_int_equal(port_of(fd), port);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(count_status(b, INVENTORY_INHERITED), 0);
	assert_int_equal(molt__inventory_entry(&b->m->inventory,
					       molt__inventory_find_fd(&b->m->inventory, fd))
				 ->backlog,
			 9);
	assert_logged(b, "1 inherited");
}

static void
another_address_is_bound_anew(void **state)
{
	struct bench *b = *state;
	int fd = foreign(SOCK_STREAM, 0, false);

	becomes(b, HANDOFF_WARM);
	assert_int_equal(inherits(b, "http", 1, fd), 0);
	assert_int_not_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.2:0"), fd);
	assert_int_equal(count_status(b, INVENTORY_INHERITED), 1);
	assert_logged(b, "address: listener http was inherited at tcp://127.0.0.1:");
	activate(b);
	assert_false(is_open(fd));
	assert_logged(b, "unclaimed: http");
}

static void
check_group(struct bench *b, int wanted, int expected)
{
	char address[80];
	int port = inherits_group(b, "g", SOCK_STREAM, 4);

	becomes(b, HANDOFF_WARM);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d?sockets=%d", port, wanted);
	assert_true(molt__listeners_listen(b->m, "g", address) >= 0);
	assert_int_equal(molt__listeners_count(b->m, "g"), expected);
	assert_int_equal(count_status(b, INVENTORY_INHERITED), 0);
	activate(b);
	assert_int_equal(b->event.entry_count, 0);
	for (int i = 0; i < expected; i++) {
		assert_true(is_listening(molt__listeners_fd(b->m, "g", i)));
		assert_int_equal(port_of(molt__listeners_fd(b->m, "g", i)), port);
	}
}

static void
a_group_is_taken_whole(void **state)
{
	check_group(*state, 4, 4);
	assert_not_logged((struct bench *)*state, "group:");
}

static void
a_group_grows(void **state)
{
	check_group(*state, 6, 6);
	assert_logged((struct bench *)*state, "4 inherited, 0 from systemd, 2 bound");
}

static void
a_group_does_not_shrink(void **state)
{
	check_group(*state, 2, 4);
	assert_logged((struct bench *)*state, "group: listener g: 4 sockets");
}

static void
one_that_was_alone_becomes_a_group(void **state)
{
	struct bench *b = *state;
	int fd = foreign(SOCK_STREAM, 0, false);

	assert_int_equal(listen(fd, 5), 0);
	becomes(b, HANDOFF_WARM);
	assert_int_equal(inherits(b, "http", 1, fd), 0);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?sockets=3"), fd);
	activate(b);
	assert_int_equal(b->event.entry_count, 0);
	assert_int_equal(molt__listeners_count(b->m, "http"), 3);
	assert_true(is_listening(molt__listeners_fd(b->m, "http", 2)));
}

/* Law 2: its share of the datagrams goes to it as soon as it is bound. */
static void
a_datagram_socket_joins_when_it_serves(void **state)
{
	struct bench *b = *state;
	int port = inherits_group(b, "u", SOCK_DGRAM, 1);
	char address[80];

	becomes(b, HANDOFF_WARM);
	snprintf(address, sizeof(address), "udp://127.0.0.1:%d?sockets=2", port);
	assert_true(molt__listeners_listen(b->m, "u", address) >= 0);
	int fresh = molt__listeners_fd(b->m, "u", 1);
	assert_int_equal(port_of(fresh), 0);
	activate(b);
	assert_int_equal(b->event.entry_count, 0);
	assert_int_equal(port_of(fresh), port);
	assert_int_equal(b->m->unfinished_count, 0);
}

static void
a_difference_in_v6only_is_told(void **state)
{
	struct bench *b = *state;
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	a.sin6_addr = in6addr_loopback;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	becomes(b, HANDOFF_WARM);
	assert_int_equal(inherits(b, "v6", 1, fd), 0);
	assert_int_equal(molt__listeners_listen(b->m, "v6", "tcp://[::1]:0?v6only=0"), fd);
	assert_logged(b, "v6only: listener v6");
}

/* How many connections a listener's queue takes. */
static int
queue_of(int fd)
{
	struct sockaddr_in a;
	socklen_t length = sizeof(a);
	int clients[16];
	int fitting = 0;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
	for (int i = 0; i < 16; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(clients[i], (struct sockaddr *)&a, length);
	}
	for (int c; (c = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; fitting++)
		close(c);
	for (int i = 0; i < 16; i++)
		close(clients[i]);
	return fitting - 1; /* the kernel adds one */
}

static void
the_backlog_is_applied(void **state)
{
	struct bench *b = *state;
	int fd = foreign(SOCK_STREAM, 0, false);

	assert_int_equal(listen(fd, 64), 0);
	becomes(b, HANDOFF_WARM);
	assert_int_equal(inherits(b, "http", 1, fd), 0);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?backlog=2"), fd);
	activate(b);
	assert_int_equal(queue_of(fd), 2);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?backlog=5"), fd);
	assert_int_equal(queue_of(fd), 5);
}

/* A peer in another language may have made it blocking. */
static void
flags_are_set_right_in_service(void **state)
{
	struct bench *b = *state;
	int fd = molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0");

	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	activate(b);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
}

static void
check_wrong_kind(struct bench *b, enum entry_kind kind, int fd)
{
	struct entry e;

	molt__entry_init(&e);
	molt__entry_set_name(&e, "odd");
	e.kind = kind;
	e.id = 77;
	e.fd = fd;
	b->m->why[0] = '\0';
	assert_int_equal(molt__listeners_inherit(b->m, &e), -EPROTO);
	assert_false(is_open(fd));
	assert_non_null(strstr(b->m->why, "odd"));
	assert_int_equal(b->m->inventory.count, 0);
}

static void
a_descriptor_of_the_wrong_kind_is_not_taken(void **state)
{
	struct bench *b = *state;
	int pipes[2];

	becomes(b, HANDOFF_CONN);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	check_wrong_kind(b, ENTRY_STREAM, pipes[0]);
	check_wrong_kind(b, ENTRY_DATAGRAM, pipes[1]);
	check_wrong_kind(b, ENTRY_STREAM, foreign(SOCK_DGRAM, 0, false));
	check_wrong_kind(b, ENTRY_DATAGRAM, foreign(SOCK_STREAM, 0, false));
	check_wrong_kind(b, ENTRY_LIFE, open(b->dir, O_RDONLY | O_CLOEXEC));
	check_wrong_kind(b, ENTRY_PATH, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	check_wrong_kind(b, ENTRY_PATH, foreign(SOCK_STREAM, 0, false));
	int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	assert_int_equal(bind(stream, (struct sockaddr *)&any, sizeof(any.sun_family)), 0);
	assert_int_equal(listen(stream, 1), 0);
	check_wrong_kind(b, ENTRY_PATH, stream);
}

static void
a_descriptor_that_is_not_its_address_is_not_taken(void **state)
{
	struct bench *b = *state;
	int fd = foreign(SOCK_STREAM, 0, false);
	struct entry e = announced("http", 1, fd);

	becomes(b, HANDOFF_CONN);
	e.address.family = AF_INET6;
	assert_int_equal(molt__listeners_inherit(b->m, &e), -EPROTO);
	assert_false(is_open(fd));
}

static void
a_number_comes_once(void **state)
{
	struct bench *b = *state;
	int fd = foreign(SOCK_STREAM, 0, false);

	becomes(b, HANDOFF_CONN);
	assert_int_equal(inherits(b, "a", 1, foreign(SOCK_STREAM, 0, false)), 0);
	assert_int_equal(inherits(b, "b", 1, fd), -EPROTO);
	assert_false(is_open(fd));
}

static void
one_that_comes_late_replaces_its_elder(void **state)
{
	struct bench *b = *state;
	int old = memfd_create("old", MFD_CLOEXEC);
	int new = memfd_create("new", MFD_CLOEXEC);
	struct entry e = announced("state", 1, old);

	becomes(b, HANDOFF_READY);
	assert_int_equal(molt__listeners_inherit(b->m, &e), 0);
	e = announced("state", 2, new);
	e.index = 0;
	assert_int_equal(molt__listeners_inherit(b->m, &e), 0);
	assert_false(is_open(old));
	assert_int_equal(molt__listeners_take(b->m, "state"), new);
	close(new);
}

/* A socket that was made in a network namespace of its own; -1 if that is not allowed here. */
static int
socket_from_elsewhere(void)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd = -1;

	if (home >= 0 && unshare(CLONE_NEWNET) == 0) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(setns(home, CLONE_NEWNET), 0);
	}
	close(home);
	return fd;
}

static void
another_network_is_told_loudly(void **state)
{
	struct bench *b = *state;
	int fd = socket_from_elsewhere();
	struct entry e;

	if (fd < 0) {
		print_message("skipped: no network namespace can be made here\n");
		skip();
	}
	molt__entry_init(&e);
	molt__entry_set_name(&e, "far");
	e.kind = ENTRY_STREAM;
	e.id = 1;
	e.fd = fd;
	e.address.family = AF_INET;
	e.address.type = SOCK_STREAM;
	molt__address_record_set_text(&e.address, "127.0.0.1:80", strlen("127.0.0.1:80"));
	becomes(b, HANDOFF_CONN);
	assert_int_equal(molt__listeners_inherit(b->m, &e), 0);
	assert_logged(b, "namespace: far");
	assert_int_equal(inherits(b, "near", 2, foreign(SOCK_STREAM, 0, false)), 0);
	assert_not_logged(b, "namespace: near");
}

/* --- systemd's -------------------------------------------------------------------------------- */

/*
 * Makes a table of descriptors as if systemd had passed them: they are moved to numbers from 3 up.
 */
static void
systemd_passes(struct bench *b, const int *fds, int count, const char *names)
{
	char pid[16];
	char number[16];
	struct listen_fds_environment env = { .pid = pid, .fds = number, .names = names };

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	snprintf(number, sizeof(number), "%d", count);
	for (int i = 0; i < count; i++)
		assert_int_equal(fds[i], LISTEN_FDS_FIRST + i);
	assert_int_equal(molt__listen_fds_read(&env, getpid(), &b->m->listen_fds), 0);
}

/* Runs `body` in a child with nothing open above 2, where numbers can be chosen. */
static void
in_a_child(void **state, void (*body)(struct bench *b))
{
	struct bench *b = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		close_range(3, ~0u, 0);
		body(b);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* cmocka's own assertions would go on with the parent's tests. */
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			fprintf(stderr, "%s%s\n", b->log, b->m->error);                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void
body_by_name(struct bench *b)
{
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = foreign(SOCK_STREAM, 0, false);
	systemd_passes(b, fds, 3, "http:http:web");
	char address[64];
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port_of(fds[1]));
	must(molt__listeners_listen(b->m, "http", address) == fds[1]);
	must(strstr(b->log, "0 inherited, 1 from systemd, 0 bound") != NULL);
	/* By address, whatever its name. */
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port_of(fds[2]));
	must(molt__listeners_listen(b->m, "other", address) == fds[2]);
	must(molt__listeners_take(b->m, "web") == -ENOENT);
	must(molt__listeners_take(b->m, "http") == fds[0]);
	must(molt__listeners_take(b->m, "http") == -ENOENT);
	activate(b);
	must(is_listening(fds[1]) && is_listening(fds[2]) && !is_listening(fds[0]));
}

static void
systemd_is_asked_by_name_then_by_address(void **state)
{
	in_a_child(state, body_by_name);
}

/* Any port will do, and the name decides. */
static void
body_any_port(struct bench *b)
{
	int fds[2] = { foreign(SOCK_STREAM, 0, false), foreign(SOCK_STREAM, 0, false) };
	struct sockaddr_in a = { .sin_family = AF_INET };

	systemd_passes(b, fds, 2, "web:http");
	must(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0") == fds[1]);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(molt__listeners_take_address(b->m, SOCK_STREAM, (struct sockaddr *)&a, sizeof(a)) ==
	     fds[0]);
}

static void
systemds_names_come_before_addresses(void **state)
{
	in_a_child(state, body_any_port);
}

/* The port stays systemd's alone if the group cannot be completed. */
static void
body_undone(struct bench *b)
{
	int fds[1] = { foreign(SOCK_STREAM, 0, false) };
	struct rlimit old;

	systemd_passes(b, fds, 1, "g");
	int open_before = fds_count();
	old = limit_descriptors(2);
	must(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=8") == -EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	must(is_open(fds[0]) && b->m->inventory.count == 0 && fds_count() == open_before);
	must(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3") == fds[0]);
	must(port_of(molt__listeners_fd(b->m, "g", 2)) == port_of(fds[0]));
}

static void
systemd_has_it_again_after_a_failure(void **state)
{
	in_a_child(state, body_undone);
}

static void
body_after_predecessor(struct bench *b)
{
	int fds[2] = { foreign(SOCK_STREAM, 0, false), foreign(SOCK_STREAM, 0, false) };
	int given;

	systemd_passes(b, fds, 2, "http:spare");
	given = dup(fds[0]);
	becomes(b, HANDOFF_WARM);
	must(inherits(b, "http", 1, given) == 0);
	must(!is_open(fds[0]) && is_open(fds[1]));
	must(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0") == given);
	activate(b);
	must(is_open(fds[1]));
	must(strstr(b->log, "systemd: descriptor 4 (spare") != NULL);
}

static void
systemd_comes_after_the_predecessor(void **state)
{
	in_a_child(state, body_after_predecessor);
}

static void
body_path(struct bench *b)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fds[1] = { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	char address[300];

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/app.sock", b->dir);
	must(bind(fds[0], (struct sockaddr *)&a, sizeof(a)) == 0);
	systemd_passes(b, fds, 1, "app");
	snprintf(address, sizeof(address), "unix://%s", a.sun_path);
	must(molt__listeners_listen(b->m, "app", address) == fds[0]);
	activate(b);
	molt__listeners_unlink(b->m);
	must(access(a.sun_path, F_OK) == 0);
	unlink(a.sun_path);
}

/* Neither by a later generation, which knows only what the offer said. */
static void
body_offered_path(struct bench *b)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fds[1] = { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	const struct entry *e;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/app.sock", b->dir);
	must(bind(fds[0], (struct sockaddr *)&a, sizeof(a)) == 0);
	must(listen(fds[0], 5) == 0);
	systemd_passes(b, fds, 1, "app");
	must(molt__listeners_take(b->m, "app") == fds[0]);
	must(molt__listeners_offer(b->m, "app", fds[0]) == 0);
	e = molt__inventory_entry(&b->m->inventory,
				  molt__inventory_find_fd(&b->m->inventory, fds[0]));
	must(strcmp(e->address.text, a.sun_path) == 0 && e->path.ino == 0);
	unlink(a.sun_path);
}

static void
systemds_path_is_offered_without_its_file(void **state)
{
	in_a_child(state, body_offered_path);
}

static void
systemds_path_is_never_unlinked(void **state)
{
	in_a_child(state, body_path);
}

/* --- Taking ----------------------------------------------------------------------------------- */

static void
what_is_taken_is_the_hosts(void **state)
{
	struct bench *b = *state;
	int fd = foreign(SOCK_STREAM, 0, false);
	int file = memfd_create("state", MFD_CLOEXEC);

	becomes(b, HANDOFF_CONN);
	assert_int_equal(inherits(b, "http", 1, fd), 0);
	assert_int_equal(inherits(b, "state", 2, file), 0);
	assert_int_equal(molt__listeners_take(b->m, "http"), -EBUSY);
	becomes(b, HANDOFF_WARM);
	fcntl(fd, F_SETFL, 0);
	assert_int_equal(molt__listeners_take(b->m, "http"), fd);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(molt__listeners_take(b->m, "http"), -ENOENT);
	assert_says(b, "molt_offer");
	assert_int_equal(molt__listeners_take(b->m, "state"), file);
	assert_true((fcntl(file, F_GETFL) & O_NONBLOCK) == 0);
	becomes(b, HANDOFF_FAILED);
	molt__listeners_close(b->m);
	assert_true(is_open(fd) && is_open(file));
	assert_int_equal(molt__inventory_inherited_count(&b->m->inventory), 2);
	close(fd);
	close(file);
}

static void
one_is_found_by_type_and_address(void **state)
{
	struct bench *b = *state;
	int fd = foreign(SOCK_STREAM, 0, false);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(fd)) };

	becomes(b, HANDOFF_WARM);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(inherits(b, "http", 1, fd), 0);
	struct sockaddr *sa = (struct sockaddr *)&a;
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_DGRAM, sa, sizeof(a)), -ENOENT);
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_STREAM, sa, 3), -EINVAL);
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_STREAM, sa, sizeof(a)), fd);
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_STREAM, sa, sizeof(a)), -ENOENT);
	assert_int_equal(inherits(b, "again", 2, fd), 0);
	a.sin_port = 0;
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_STREAM, sa, sizeof(a)), fd);
	close(fd);
}

/* --- Offering --------------------------------------------------------------------------------- */

static void
offers_are_checked(void **state)
{
	struct bench *b = *state;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int fd = molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0");

	assert_int_equal(molt__listeners_offer(b->m, "x", 9999), -EBADF);
	assert_int_equal(molt__listeners_offer(b->m, "x", epoll), -EINVAL);
	assert_says(b, "poll");
	assert_int_equal(molt__listeners_offer(b->m, "x", fd), -EEXIST);
	assert_int_equal(molt__listeners_offer(b->m, "x", STDIN_FILENO), 0);
	assert_int_equal(molt__listeners_offer(b->m, "y", STDIN_FILENO), -EEXIST);
	assert_int_equal(molt__listeners_offer(b->m, "x", STDOUT_FILENO), 0);
	assert_int_equal(count_status(b, INVENTORY_LENT), 2);
	assert_int_equal(molt__listeners_withdraw(b->m, "http"), -ENOENT);
	assert_int_equal(molt__listeners_withdraw(b->m, "x"), 0);
	assert_int_equal(molt__listeners_withdraw(b->m, "x"), -ENOENT);
	assert_true(is_open(STDIN_FILENO));
	close(epoll);
}

/* The host has closed what it offered, and the number came up again. */
static void
a_number_that_means_another_file_makes_room(void **state)
{
	struct bench *b = *state;
	int fd = memfd_create("one", MFD_CLOEXEC);

	assert_int_equal(molt__listeners_offer(b->m, "one", fd), 0);
	close(fd);
	assert_int_equal(memfd_create("two", MFD_CLOEXEC), fd);
	assert_int_equal(molt__listeners_offer(b->m, "two", fd), 0);
	assert_logged(b, "withdrawn: descriptor");
	assert_int_equal(molt__listeners_withdraw(b->m, "one"), -ENOENT);
	close(fd);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0"), fd);
	assert_int_equal(molt__listeners_withdraw(b->m, "two"), -ENOENT);
}

static void
a_taken_path_is_offered_as_it_was_recorded(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[256];
	struct entry e;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/temporary", b->dir);
	snprintf(path, sizeof(path), "%s/final", b->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 5), 0);
	e = announced("app", 1, fd);
	assert_int_equal(rename(a.sun_path, path), 0);
	molt__address_record_set_text(&e.address, path, strlen(path));
	becomes(b, HANDOFF_WARM);
	assert_int_equal(molt__listeners_inherit(b->m, &e), 0);
	assert_int_equal(molt__listeners_take(b->m, "app"), fd);
	assert_int_equal(molt__listeners_offer(b->m, "app", fd), 0);
	const struct entry *offered = molt__inventory_entry(
		&b->m->inventory, molt__inventory_find_fd(&b->m->inventory, fd));
	assert_string_equal(offered->address.text, path);
	assert_true(molt__sys_same_file(&offered->path, &e.path));
	assert_int_not_equal(offered->path.ino, 0);
	close(fd);
}

/* --- In the course of a handoff --------------------------------------------------------------- */

static void
what_cannot_serve_is_named(void **state)
{
	struct bench *b = *state;
	int other = foreign(SOCK_STREAM, 0, false);
	char address[64];

	/* Both are bound with SO_REUSEADDR; only the first may listen. */
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port_of(other));
	assert_true(molt__listeners_listen(b->m, "http", address) >= 0);
	assert_true(molt__listeners_listen(b->m, "fine", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(listen(other, 5), 0);
	activate(b);
	assert_int_equal(b->event.entry_count, 1);
	assert_string_equal(b->event.entries[0].name, "http");
	assert_int_equal(b->event.entries[0].error, -EADDRINUSE);
	assert_logged(b, "listen: listener http");
	assert_true(is_listening(molt__listeners_fd(b->m, "fine", 0)));
	/* Asking again tries again. */
	assert_int_equal(molt__listeners_listen(b->m, "http", address), -EADDRINUSE);
	close(other);
	assert_true(is_listening(molt__listeners_listen(b->m, "http", address)));
}

/* Three: held and claimed, held and not, lent and not. */
static void
hand_over_three(struct bench *b, int fds[3])
{
	struct inventory *inv = &b->m->inventory;
	uint32_t claimed;
	int slot;

	becomes(b, HANDOFF_SERVING);
	fds[0] = molt__listeners_listen(b->m, "kept", "tcp://127.0.0.1:0");
	fds[1] = molt__listeners_listen(b->m, "unwanted", "tcp://127.0.0.1:0");
	fds[2] = foreign(SOCK_STREAM, 0, false);
	assert_int_equal(molt__listeners_offer(b->m, "lent", fds[2]), 0);
	molt__inventory_begin_handoff(inv);
	while ((slot = molt__inventory_next_to_send(inv)) != INVENTORY_NONE)
		molt__inventory_mark_sent(inv, slot);
	claimed = molt__inventory_entry(inv, molt__inventory_find_fd(inv, fds[0]))->id;
	assert_int_equal(molt__inventory_mark_claimed(inv, &claimed, 1), 0);
	becomes(b, HANDOFF_DRAIN);
}

/* The next RETIRE: its name, or "" if there is none. The one before has been acted on. */
static const char *
next_retire(struct bench *b, int reason)
{
	if (b->event.type == MOLT_RETIRE)
		molt__listeners_retired(b->m, &b->event);
	free(b->event.entries);
	b->event = (struct molt_event){ .type = MOLT_RETIRE, .fd = -1, .slot = INVENTORY_NONE };
	snprintf(b->event.text, sizeof(b->event.text), "because");
	if (molt__listeners_retire_next(b->m, reason, &b->event))
		return b->event.entries[0].name;
	b->event.type = 0;
	return "";
}

static void
only_what_is_unclaimed_is_retired(void **state)
{
	struct bench *b = *state;
	int fds[3];

	hand_over_three(b, fds);
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "unwanted");
	assert_int_equal(b->event.fd, fds[1]);
	assert_non_null(strstr(b->event.text, "unwanted at tcp://127.0.0.1:"));
	assert_non_null(strstr(b->event.text, "because"));
	assert_true(is_open(fds[1]));
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "lent");
	assert_false(is_open(fds[1]));
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "");
	assert_true(is_open(fds[0]) && is_open(fds[2]));
	assert_string_equal(next_retire(b, MOLT_REASON_RENOUNCED), "kept");
	assert_string_equal(next_retire(b, MOLT_REASON_RENOUNCED), "");
	assert_false(is_open(fds[0]));
	close(fds[2]);
}

static void
a_withdrawn_one_is_retired_no_more(void **state)
{
	struct bench *b = *state;
	int fds[3];

	hand_over_three(b, fds);
	next_retire(b, MOLT_REASON_UNCLAIMED);
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "lent");
	assert_int_equal(molt__listeners_withdraw(b->m, "lent"), 0);
	assert_int_equal(molt__listeners_offer(b->m, "file", STDIN_FILENO), 0);
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "");
	assert_int_equal(count_status(b, INVENTORY_LENT), 1);
	assert_int_equal(count_status(b, INVENTORY_LENT_RETIRED), 0);
	assert_int_equal(count_status(b, INVENTORY_HELD_RETIRED), 1);
	close(fds[2]);
}

static void
who_closed_its_own_is_not_told(void **state)
{
	struct bench *b = *state;
	int fds[3];

	hand_over_three(b, fds);
	close(fds[2]);
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "unwanted");
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "");
}

static void
what_was_given_up_is_told_once_a_name(void **state)
{
	struct bench *b = *state;
	struct molt_event resume = { .type = MOLT_RESUME };

	becomes(b, HANDOFF_SERVING);
	assert_true(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3") >= 0);
	assert_true(molt__listeners_listen(b->m, "h", "tcp://127.0.0.1:0") >= 0);
	becomes(b, HANDOFF_DRAIN);
	while (next_retire(b, MOLT_REASON_UNCLAIMED)[0] != '\0')
		continue;
	becomes(b, HANDOFF_SERVING);
	molt__listeners_lost(b->m, &resume);
	assert_int_equal(resume.entry_count, 2);
	assert_string_not_equal(resume.entries[0].name, resume.entries[1].name);
	assert_int_equal(b->m->inventory.count, 0);
	molt__listeners_lost(b->m, &resume);
	assert_int_equal(resume.entry_count, 2);
	free(resume.entries);
	assert_true(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3") >= 0);
}

/* One that was lost in part is made whole again. */
static void
a_group_that_lost_members_is_completed(void **state)
{
	struct bench *b = *state;
	int fd;

	becomes(b, HANDOFF_SERVING);
	fd = molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3");
	molt__listeners_drop(
		b->m, molt__inventory_find_fd(&b->m->inventory, molt__listeners_fd(b->m, "g", 1)));
	assert_int_equal(molt__listeners_count(b->m, "g"), 2);
	assert_int_equal(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3"), fd);
	assert_int_equal(molt__listeners_count(b->m, "g"), 3);
	assert_true(is_listening(molt__listeners_fd(b->m, "g", 1)));
}

static void
leaving_keeps_what_is_to_be_retired(void **state)
{
	struct bench *b = *state;
	int fds[3];

	hand_over_three(b, fds);
	becomes(b, HANDOFF_LEFT);
	molt__listeners_close(b->m);
	assert_true(is_open(fds[0]) && is_open(fds[1]));
	while (next_retire(b, MOLT_REASON_LEAVING)[0] != '\0')
		continue;
	assert_false(is_open(fds[0]) || is_open(fds[1]));
	assert_true(is_open(fds[2]));
	close(fds[2]);
}

/* A number that the host has closed by mistake may be its own again. */
static void
a_descriptor_that_is_no_longer_ours_is_not_closed(void **state)
{
	struct bench *b = *state;
	int fd = molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0");

	close(fd);
	assert_int_equal(memfd_create("mine", MFD_CLOEXEC), fd);
	activate(b);
	assert_int_equal(b->event.entries[0].error, -EBADF);
	becomes(b, HANDOFF_FAILED);
	molt__listeners_close(b->m);
	assert_true(is_open(fd));
	close(fd);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(listening_is_refused_by_state),
		test(a_commit_that_is_queued_closes_the_inventory),
		test(a_fresh_one_listens_when_it_serves),
		test(asking_again_gives_the_same),
		test(an_offer_has_its_name_to_itself),
		test(a_malformed_address_says_what_is_wrong),
		test(while_serving_a_fresh_one_listens_at_once),
		test(a_group_has_one_port),
		test(an_address_in_use_leaves_nothing),
		test(a_group_that_cannot_grow_is_as_before),
		test(a_path_that_is_answered_is_left_alone),
		test(a_path_appears_when_it_serves),
		test(a_start_that_fails_leaves_no_name),
		test(anothers_path_is_not_unlinked),
		test(a_path_that_never_was_is_not_missed),
		test(a_forked_child_only_closes),
		test(what_is_inherited_is_claimed_by_name_and_address),
		test(another_address_is_bound_anew),
		test(a_group_is_taken_whole),
		test(a_group_grows),
		test(a_group_does_not_shrink),
		test(one_that_was_alone_becomes_a_group),
		test(a_datagram_socket_joins_when_it_serves),
		test(a_difference_in_v6only_is_told),
		test(the_backlog_is_applied),
		test(flags_are_set_right_in_service),
		test(a_descriptor_of_the_wrong_kind_is_not_taken),
		test(a_descriptor_that_is_not_its_address_is_not_taken),
		test(a_number_comes_once),
		test(one_that_comes_late_replaces_its_elder),
		test(another_network_is_told_loudly),
		test(systemd_is_asked_by_name_then_by_address),
		test(systemds_names_come_before_addresses),
		test(systemd_has_it_again_after_a_failure),
		test(systemd_comes_after_the_predecessor),
		test(systemds_path_is_never_unlinked),
		test(systemds_path_is_offered_without_its_file),
		test(what_is_taken_is_the_hosts),
		test(one_is_found_by_type_and_address),
		test(offers_are_checked),
		test(a_number_that_means_another_file_makes_room),
		test(a_taken_path_is_offered_as_it_was_recorded),
		test(what_cannot_serve_is_named),
		test(only_what_is_unclaimed_is_retired),
		test(a_withdrawn_one_is_retired_no_more),
		test(who_closed_its_own_is_not_told),
		test(what_was_given_up_is_told_once_a_name),
		test(a_group_that_lost_members_is_completed),
		test(leaving_keeps_what_is_to_be_retired),
		test(a_descriptor_that_is_no_longer_ours_is_not_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
