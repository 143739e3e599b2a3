/* SPDX-License-Identifier: MIT */
/* Taking and offering: descriptors that are the host's. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Taking ----------------------------------------------------------------------------------- */

static void
what_is_taken_is_the_hosts(void **state)
{
	struct bench *b = *state;
	int fd = bench_foreign(SOCK_STREAM, 0, false);
	int file = memfd_create("state", MFD_CLOEXEC);

	bench_becomes(b, HANDOFF_CONN);
	assert_int_equal(bench_inherits(b, "http", 1, fd), 0);
	assert_int_equal(bench_inherits(b, "state", 2, file), 0);
	assert_int_equal(molt__listeners_take(b->m, "http"), -EBUSY);
	bench_becomes(b, HANDOFF_WARM);
	assert_int_equal(molt__listeners_offer(b->m, "mine", fd), -EEXIST);
	assert_says(b, "was handed over as http");
	fcntl(fd, F_SETFL, 0);
	assert_int_equal(molt__listeners_take(b->m, "http"), fd);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(molt__listeners_take(b->m, "http"), -ENOENT);
	assert_says(b, "molt_offer");
	assert_int_equal(molt__listeners_take(b->m, "state"), file);
	assert_true((fcntl(file, F_GETFL) & O_NONBLOCK) == 0);
	bench_becomes(b, HANDOFF_FAILED);
	molt__listeners_close(b->m);
	assert_true(bench_is_open(fd) && bench_is_open(file));
	assert_int_equal(molt__inventory_inherited_count(&b->m->inventory), 2);
	close(fd);
	close(file);
}

static void
one_is_found_by_type_and_address(void **state)
{
	struct bench *b = *state;
	int fd = bench_foreign(SOCK_STREAM, 0, false);
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)bench_port_of(fd)) };

	bench_becomes(b, HANDOFF_WARM);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bench_inherits(b, "http", 1, fd), 0);
	struct sockaddr *sa = (struct sockaddr *)&a;
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_DGRAM, sa, sizeof(a)), -ENOENT);
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_STREAM, sa, 3), -EINVAL);
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_STREAM, sa, sizeof(a)), fd);
	assert_int_equal(molt__listeners_take_address(b->m, SOCK_STREAM, sa, sizeof(a)), -ENOENT);
	assert_int_equal(bench_inherits(b, "again", 2, fd), 0);
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
	assert_says(b, "is of molt_listen(), as http,");
	assert_int_equal(molt__listeners_offer(b->m, "http", STDOUT_FILENO), -EEXIST);
	assert_says(b, "http is the name of a listener");
	assert_int_equal(molt__listeners_offer(b->m, "x", STDIN_FILENO), 0);
	assert_int_equal(molt__listeners_offer(b->m, "y", STDIN_FILENO), -EEXIST);
	assert_says(b, "offered already, as x");
	assert_int_equal(molt__listeners_offer(b->m, "x", STDOUT_FILENO), 0);
	assert_int_equal(bench_count_status(b, INVENTORY_LENT), 2);
	assert_int_equal(molt__listeners_withdraw(b->m, "http"), -ENOENT);
	assert_int_equal(molt__listeners_withdraw(b->m, "x"), 0);
	assert_int_equal(molt__listeners_withdraw(b->m, "x"), -ENOENT);
	assert_true(bench_is_open(STDIN_FILENO));
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
	e = bench_announced("app", 1, fd);
	assert_int_equal(rename(a.sun_path, path), 0);
	molt__address_record_set_text(&e.address, path, strlen(path));
	bench_becomes(b, HANDOFF_WARM);
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

#define test(function) cmocka_unit_test_setup_teardown(function, bench_set_up, bench_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(what_is_taken_is_the_hosts),
		test(one_is_found_by_type_and_address),
		test(offers_are_checked),
		test(a_number_that_means_another_file_makes_room),
		test(a_taken_path_is_offered_as_it_was_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
