/* SPDX-License-Identifier: MIT */
/* What comes from a predecessor: claimed, grown, refused. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Inheriting ------------------------------------------------------------------------------- */

static void
what_is_inherited_is_claimed_by_name_and_address(void **state)
{
	struct bench *b = *state;
	int fd = bench_foreign(SOCK_STREAM, 0, false);
	int port = bench_port_of(fd);

	bench_becomes(b, HANDOFF_WARM);
	assert_int_equal(bench_inherits(b, "http", 1, fd), 0);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?backlog=9"), fd);
	assert_int_equal(bench_port_of(fd), port);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(bench_count_status(b, INVENTORY_INHERITED), 0);
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
	int fd = bench_foreign(SOCK_STREAM, 0, false);

	bench_becomes(b, HANDOFF_WARM);
	assert_int_equal(bench_inherits(b, "http", 1, fd), 0);
	assert_int_not_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.2:0"), fd);
	assert_int_equal(bench_count_status(b, INVENTORY_INHERITED), 1);
	assert_logged(b, "address: listener http was inherited at tcp://127.0.0.1:");
	bench_activate(b);
	assert_false(bench_is_open(fd));
	assert_logged(b, "unclaimed: http");
}

static void
check_group(struct bench *b, int wanted, int expected)
{
	char address[80];
	int port = bench_inherits_group(b, "g", SOCK_STREAM, 4);

	bench_becomes(b, HANDOFF_WARM);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d?sockets=%d", port, wanted);
	assert_true(molt__listeners_listen(b->m, "g", address) >= 0);
	assert_int_equal(molt__listeners_count(b->m, "g"), expected);
	assert_int_equal(bench_count_status(b, INVENTORY_INHERITED), 0);
	bench_activate(b);
	assert_int_equal(b->event.entry_count, 0);
	for (int i = 0; i < expected; i++) {
		assert_true(bench_is_listening(molt__listeners_fd(b->m, "g", i)));
		assert_int_equal(bench_port_of(molt__listeners_fd(b->m, "g", i)), port);
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
	int fd = bench_foreign(SOCK_STREAM, 0, false);

	assert_int_equal(listen(fd, 5), 0);
	bench_becomes(b, HANDOFF_WARM);
	assert_int_equal(bench_inherits(b, "http", 1, fd), 0);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?sockets=3"), fd);
	bench_activate(b);
	assert_int_equal(b->event.entry_count, 0);
	assert_int_equal(molt__listeners_count(b->m, "http"), 3);
	assert_true(bench_is_listening(molt__listeners_fd(b->m, "http", 2)));
}

/* Law 2: its share of the datagrams goes to it as soon as it is bound. */
static void
a_datagram_socket_joins_when_it_serves(void **state)
{
	struct bench *b = *state;
	int port = bench_inherits_group(b, "u", SOCK_DGRAM, 1);
	char address[80];

	bench_becomes(b, HANDOFF_WARM);
	snprintf(address, sizeof(address), "udp://127.0.0.1:%d?sockets=2", port);
	assert_true(molt__listeners_listen(b->m, "u", address) >= 0);
	int fresh = molt__listeners_fd(b->m, "u", 1);
	assert_int_equal(bench_port_of(fresh), 0);
	bench_activate(b);
	assert_int_equal(b->event.entry_count, 0);
	assert_int_equal(bench_port_of(fresh), port);
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
	bench_becomes(b, HANDOFF_WARM);
	assert_int_equal(bench_inherits(b, "v6", 1, fd), 0);
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
	int fd = bench_foreign(SOCK_STREAM, 0, false);

	assert_int_equal(listen(fd, 64), 0);
	bench_becomes(b, HANDOFF_WARM);
	assert_int_equal(bench_inherits(b, "http", 1, fd), 0);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?backlog=2"), fd);
	bench_activate(b);
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
	bench_activate(b);
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
	assert_false(bench_is_open(fd));
	assert_non_null(strstr(b->m->why, "odd"));
	assert_int_equal(b->m->inventory.count, 0);
}

static void
a_descriptor_of_the_wrong_kind_is_not_taken(void **state)
{
	struct bench *b = *state;
	int pipes[2];

	bench_becomes(b, HANDOFF_CONN);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	check_wrong_kind(b, ENTRY_STREAM, pipes[0]);
	check_wrong_kind(b, ENTRY_DATAGRAM, pipes[1]);
	check_wrong_kind(b, ENTRY_STREAM, bench_foreign(SOCK_DGRAM, 0, false));
	check_wrong_kind(b, ENTRY_DATAGRAM, bench_foreign(SOCK_STREAM, 0, false));
	check_wrong_kind(b, ENTRY_LIFE, open(b->dir, O_RDONLY | O_CLOEXEC));
	check_wrong_kind(b, ENTRY_PATH, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	check_wrong_kind(b, ENTRY_PATH, bench_foreign(SOCK_STREAM, 0, false));
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
	int fd = bench_foreign(SOCK_STREAM, 0, false);
	struct entry e = bench_announced("http", 1, fd);

	bench_becomes(b, HANDOFF_CONN);
	e.address.family = AF_INET6;
	assert_int_equal(molt__listeners_inherit(b->m, &e), -EPROTO);
	assert_false(bench_is_open(fd));
}

static void
a_number_comes_once(void **state)
{
	struct bench *b = *state;
	int fd = bench_foreign(SOCK_STREAM, 0, false);

	bench_becomes(b, HANDOFF_CONN);
	assert_int_equal(bench_inherits(b, "a", 1, bench_foreign(SOCK_STREAM, 0, false)), 0);
	assert_int_equal(bench_inherits(b, "b", 1, fd), -EPROTO);
	assert_false(bench_is_open(fd));
}

static void
one_that_comes_late_replaces_its_elder(void **state)
{
	struct bench *b = *state;
	int old = memfd_create("old", MFD_CLOEXEC);
	int new = memfd_create("new", MFD_CLOEXEC);
	struct entry e = bench_announced("state", 1, old);

	bench_becomes(b, HANDOFF_READY);
	assert_int_equal(molt__listeners_inherit(b->m, &e), 0);
	e = bench_announced("state", 2, new);
	e.index = 0;
	assert_int_equal(molt__listeners_inherit(b->m, &e), 0);
	assert_false(bench_is_open(old));
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
	bench_becomes(b, HANDOFF_CONN);
	assert_int_equal(molt__listeners_inherit(b->m, &e), 0);
	assert_logged(b, "namespace: far");
	assert_int_equal(bench_inherits(b, "near", 2, bench_foreign(SOCK_STREAM, 0, false)), 0);
	assert_not_logged(b, "namespace: near");
}

#define test(function) cmocka_unit_test_setup_teardown(function, bench_set_up, bench_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
