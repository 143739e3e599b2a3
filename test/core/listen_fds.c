/* SPDX-License-Identifier: MIT */
/*
 * Descriptors passed by systemd. They begin at number 3, where a test program may have others: so
 * each test runs in a child, which makes its own table.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "address.h"
#include "listen_fds.h"
#include "sys.h"

enum { SELF = 4711, PASSED = 4 };

/* In the child: says where, and fails. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int
listener(int type)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, type, 0);

	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	if (type == SOCK_STREAM)
		listen(fd, 1);
	return fd;
}

/* 3: tcp. 4: udp. 5: tcp. 6: a memfd. Nothing else, and none of them close-on-exec. */
static bool
pass_descriptors(void)
{
	int made[PASSED] = { listener(SOCK_STREAM), listener(SOCK_DGRAM), listener(SOCK_STREAM),
			     memfd_create("m", 0) };

	for (int i = 0; i < PASSED; i++)
		made[i] = fcntl(made[i], F_DUPFD, 20);
	for (int i = 0; i < PASSED; i++) {
		if (made[i] < 0 || dup2(made[i], LISTEN_FDS_FIRST + i) < 0)
			return false;
		close(made[i]);
	}
	for (int fd = LISTEN_FDS_FIRST + PASSED; fd < LISTEN_FDS_FIRST + LISTEN_FDS_MAX; fd++)
		close(fd);
	return true;
}

static struct listen_fds *
read_as(const char *pid, const char *fds, const char *names)
{
	struct listen_fds_environment env = { .pid = pid, .fds = fds, .names = names };
	struct listen_fds *l = NULL;

	return molt__listen_fds_read(&env, SELF, &l) == 0 ? l : NULL;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool
is_cloexec(int fd)
{
	return fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

static int
nothing_is_passed_to_another(void)
{
	static const char *const pids[] = { NULL,    "",      "4712",  "47110",
					    "4711x", " 4711", "+4711", "-1" };

	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++)
		CHECK(!read_as(pids[i], "4", NULL));
	struct listen_fds_environment half = { .pid = "4711" };
	struct listen_fds *l = (struct listen_fds *)&half;
	CHECK(molt__listen_fds_read(&half, SELF, &l) == 0 && !l);
	CHECK(!read_as("4711", "0", NULL));
	CHECK(!is_cloexec(3));
	/* An empty table answers as one in which there is nothing. */
	struct entry e;
	CHECK(molt__listen_fds_take_name(NULL, "a", 0, &e) == -ENOENT);
	CHECK(molt__listen_fds_take_address(NULL, &e.address, &e) == -ENOENT);
	CHECK(molt__listen_fds_drop_given(NULL, &e.file) == 0);
	CHECK(!molt__listen_fds_unused(NULL, 0));
	molt__listen_fds_free(NULL);
	return 0;
}

static int
numbers_are_checked(void)
{
	static const char *const fds[] = { "", "x", "-1", "1x", "1025", "99999999999999999999" };
	struct listen_fds *l;

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		struct listen_fds_environment env = { .pid = "4711", .fds = fds[i] };
		CHECK(molt__listen_fds_read(&env, SELF, &l) == -EINVAL);
	}
	CHECK(!is_cloexec(3));
	/* More than there are: the others are left out. */
	l = read_as("4711", "1024", NULL);
	CHECK(l && molt__listen_fds_unused(l, PASSED - 1) && !molt__listen_fds_unused(l, PASSED));
	molt__listen_fds_free(l);
	return 0;
}

static int
each_is_used_once_by_name(void)
{
	struct listen_fds *l = read_as("4711", "4", "web:web:web:state");
	struct entry e;

	CHECK(l);
	for (int fd = 3; fd < 3 + PASSED; fd++)
		CHECK(is_cloexec(fd));
	CHECK(molt__listen_fds_take_name(l, "wed", 0, &e) == -ENOENT);
	CHECK(molt__listen_fds_take_name(l, "web", SOCK_DGRAM, &e) == 0);
	CHECK(e.fd == 4 && e.kind == ENTRY_DATAGRAM);
	CHECK(molt__listen_fds_take_name(l, "web", SOCK_DGRAM, &e) == -ENOENT);
	CHECK(molt__listen_fds_take_name(l, "web", 0, &e) == 0 && e.fd == 3);
	CHECK(strcmp(e.name, "web") == 0 && e.kind == ENTRY_STREAM && e.file.ino != 0);
	CHECK(molt__listen_fds_take_name(l, "web", SOCK_STREAM, &e) == 0 && e.fd == 5);
	CHECK(molt__listen_fds_take_name(l, "web", 0, &e) == -ENOENT);
	CHECK(e.fd == 5); /* untouched */
	CHECK(molt__listen_fds_unused(l, 0)->fd == 6 && !molt__listen_fds_unused(l, 1));
	CHECK(molt__listen_fds_take_name(l, "state", 0, &e) == 0 && e.kind == ENTRY_FILE);
	molt__listen_fds_free(l);
	for (int fd = 3; fd < 3 + PASSED; fd++)
		CHECK(is_open(fd));
	return 0;
}

static int
each_is_used_once_by_address(void)
{
	struct listen_fds *l = read_as("4711", "4", NULL);
	struct address_record any = { AF_INET, SOCK_STREAM, "127.0.0.1:0" }, exact;
	struct entry e;

	CHECK(l && molt__address_of_socket(5, &exact) == 0);
	CHECK(molt__listen_fds_take_address(l, &exact, &e) == 0 && e.fd == 5);
	CHECK(molt__listen_fds_take_address(l, &exact, &e) == -ENOENT);
	CHECK(molt__listen_fds_take_address(l, &any, &e) == 0 && e.fd == 3);
	CHECK(molt__listen_fds_take_address(l, &any, &e) == -ENOENT);
	any.type = SOCK_DGRAM;
	CHECK(molt__listen_fds_take_address(l, &any, &e) == 0 && e.fd == 4);
	molt__listen_fds_free(l);
	return 0;
}

static int
names_may_be_few_or_odd(void)
{
	char names[256] = "a.socket@x:";
	struct listen_fds *l;
	struct entry e;

	/* No name here, a long one, an empty one, and then none. */
	memset(names + strlen(names), 'n', ENTRY_NAME_MAX + 1);
	strcat(names, ":");
	l = read_as("4711", "4", names);
	CHECK(l);
	for (int i = 0; i < PASSED; i++)
		CHECK(molt__listen_fds_unused(l, (size_t)i)->name[0] == '\0');
	molt__listen_fds_free(l);
	l = read_as("4711", "4", "a::c");
	CHECK(l && molt__listen_fds_take_name(l, "c", 0, &e) == 0 && e.fd == 5);
	molt__listen_fds_free(l);
	return 0;
}

static int
what_the_predecessor_gave_is_closed(void)
{
	struct listen_fds *l = read_as("4711", "4", "a:b:c:d");
	struct entry e;

	CHECK(l);
	struct file_identity given = molt__listen_fds_unused(l, 2)->file, other = { 1, 1 };
	CHECK(molt__listen_fds_drop_given(l, &other) == 0);
	CHECK(molt__listen_fds_drop_given(l, &given) == 1);
	CHECK(!is_open(5) && is_open(3) && is_open(4) && is_open(6));
	CHECK(molt__listen_fds_take_name(l, "c", 0, &e) == -ENOENT);
	CHECK(molt__listen_fds_drop_given(l, &given) == 0);
	/* One that is used is somebody's. */
	CHECK(molt__listen_fds_take_name(l, "a", 0, &e) == 0);
	CHECK(molt__listen_fds_drop_given(l, &e.file) == 0 && is_open(3));
	molt__listen_fds_free(l);
	return 0;
}

static int
what_cannot_be_used_is_left_out(void)
{
	struct listen_fds *l;
	struct entry e;
	int epoll = epoll_create1(0);

	close(4);
	CHECK(dup2(epoll, 5) == 5);
	l = read_as("4711", "4", "a:b:c:d");
	CHECK(l && molt__listen_fds_unused(l, 1) && !molt__listen_fds_unused(l, 2));
	CHECK(molt__listen_fds_take_name(l, "b", 0, &e) == -ENOENT);
	CHECK(molt__listen_fds_take_name(l, "c", 0, &e) == -ENOENT);
	CHECK(molt__listen_fds_take_name(l, "d", 0, &e) == 0 && e.fd == 6);
	molt__listen_fds_free(l);
	return 0;
}

/* exit() and not _exit(), so that a sanitizer looks for leaks. */
static void
in_child(int (*test)(void))
{
	int status;

	fflush(stdout);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		exit(pass_descriptors() ? test() : 2);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Each with a name of its own in the output. */
#define CHILD_TEST(name)                                                                           \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		in_child(name);                                                                    \
	}

CHILD_TEST(nothing_is_passed_to_another)
CHILD_TEST(numbers_are_checked)
CHILD_TEST(each_is_used_once_by_name)
CHILD_TEST(each_is_used_once_by_address)
CHILD_TEST(names_may_be_few_or_odd)
CHILD_TEST(what_the_predecessor_gave_is_closed)
CHILD_TEST(what_cannot_be_used_is_left_out)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_passed_to_another),
		cmocka_unit_test(test_numbers_are_checked),
		cmocka_unit_test(test_each_is_used_once_by_name),
		cmocka_unit_test(test_each_is_used_once_by_address),
		cmocka_unit_test(test_names_may_be_few_or_odd),
		cmocka_unit_test(test_what_the_predecessor_gave_is_closed),
		cmocka_unit_test(test_what_cannot_be_used_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
