/* SPDX-License-Identifier: MIT */
/*
 * Each public call's look at its arguments: the errno and the sentence of each refusal, and that a
 * refused call has changed nothing. What the calls do when they succeed is other tests' business.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "handle.h"
#include "tmpdir.h"

/* --- making a handle ------------------------------------------------------------------------ */

static void
check_new_fails(const char *path, int error)
{
	errno = 0;
	assert_null(molt_new(path));
	assert_int_equal(errno, error);
}

static void
test_new_refuses(void **state)
{
	struct fixture *f = *state;
	char *file = tmpdir_join(f->directory, "file");
	char *below = tmpdir_join(f->directory, "file/sock");
	char *nowhere = tmpdir_join(f->directory, "nowhere/sock");
	char *slash = tmpdir_join(f->directory, "sock/");
	char longest[PATH_MAX + 1];

	close(open(file, O_CREAT | O_WRONLY, 0600));
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	check_new_fails(NULL, EINVAL);
	check_new_fails("", EINVAL);
	check_new_fails(f->directory, EINVAL);
	check_new_fails(slash, EINVAL);
	check_new_fails(nowhere, ENOENT);
	check_new_fails(below, ENOENT);
	longest[PATH_MAX] = '\0';
	check_new_fails(longest, ENAMETOOLONG);
	longest[PATH_MAX - 5] = '\0'; /* with .lock it has no room for the NUL */
	check_new_fails(longest, ENAMETOOLONG);
	free(file);
	free(below);
	free(nowhere);
	free(slash);
}

/* A relative path means what it meant when it was said. */
static void
test_relative_path(void **state)
{
	struct fixture *f = *state;
	char *lock = tmpdir_join(f->directory, "relative.lock");
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct molt *m;

	assert_int_equal(chdir(f->directory), 0);
	m = molt_new("relative");
	assert_int_equal(fchdir(here), 0);
	close(here);
	assert_non_null(m);
	assert_int_equal(access(lock, F_OK), -1);
	assert_int_equal(molt_start(m), 0);
	assert_int_equal(access(lock, F_OK), 0);
	molt_free(m);
	free(lock);
}

static void
test_no_handle(void **state)
{
	char *argv[] = { "true", NULL };
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct molt *const m = NULL;

	(void)state;
	molt_free(m);
	molt_watch_free(NULL);
	assert_string_not_equal(molt_error(m), "");
	assert_int_equal(molt_set_log(m, NULL, NULL), -EINVAL);
	assert_int_equal(molt_set_label(m, "a"), -EINVAL);
	assert_int_equal(molt_set_compatibility(m, 1), -EINVAL);
	assert_int_equal(molt_allow_downgrade(m), -EINVAL);
	assert_int_equal(molt_set_owner(m, 0, 0, 0600), -EINVAL);
	assert_int_equal(molt_allow_uid(m, 0), -EINVAL);
	assert_int_equal(molt_set_room(m, 5), -EINVAL);
	assert_int_equal(molt_set_exclusive(m, 1), -EINVAL);
	assert_int_equal(molt_set_deadline(m, MOLT_DEADLINE_LOAD, 5), -EINVAL);
	assert_int_equal(molt_connect(m), -EINVAL);
	assert_int_equal(molt_start(m), -EINVAL);
	assert_int_equal(molt_listen(m, "a", "tcp://127.0.0.1:0"), -EINVAL);
	assert_int_equal(molt_listener_count(m, "a"), -EINVAL);
	assert_int_equal(molt_listener_fd(m, "a", 0), -EINVAL);
	assert_int_equal(molt_take(m, "a"), -EINVAL);
	assert_int_equal(
		molt_take_address(m, SOCK_STREAM, (struct sockaddr *)&address, sizeof(address)),
		-EINVAL);
	assert_int_equal(molt_offer(m, "a", 0), -EINVAL);
	assert_int_equal(molt_withdraw(m, "a"), -EINVAL);
	assert_int_equal(molt_inherited_count(m), -EINVAL);
	assert_null(molt_inherited_name(m, 0));
	assert_int_equal(molt_fd(m), -EINVAL);
	assert_int_equal(molt_dispatch(m), -EINVAL);
	assert_int_equal(molt_wait(m, 0), -EINVAL);
	assert_int_equal(molt_ready(m), -EINVAL);
	assert_null(molt_next_event(m));
	assert_int_equal(molt_hold_commit(m), -EINVAL);
	assert_int_equal(molt_commit(m), -EINVAL);
	assert_int_equal(molt_hold_load(m), -EINVAL);
	assert_int_equal(molt_loaded(m), -EINVAL);
	assert_int_equal(molt_progress(m), -EINVAL);
	assert_int_equal(molt_cancel(m), -EINVAL);
	assert_int_equal(molt_refuse(m, NULL), -EINVAL);
	assert_int_equal(molt_set_remaining(m, 0), -EINVAL);
	assert_int_equal(molt_drain(m), -EINVAL);
	assert_int_equal(molt_spawn(m, argv, NULL), -EINVAL);
	assert_int_equal(molt_generation(m), -EINVAL);
	assert_string_equal(molt_state_name(m), "?");
	assert_int_equal(molt_is_owner(m), -EINVAL);
	assert_int_equal(molt_retired(m), -EINVAL);
	assert_int_equal(molt_describe(m, NULL, 0), -EINVAL);
	assert_int_equal(molt_after_fork(m), -EINVAL);
}

/* --- setters -------------------------------------------------------------------------------- */

static void
test_label(void **state)
{
	struct molt *m = handle_of(state);
	char label[65];
	char line[300];

	memset(label, 'x', 64);
	label[64] = '\0';
	assert_int_equal(molt_set_label(m, "v1"), 0);
	assert_error(m, molt_set_label(m, NULL), -EINVAL, "label is NULL");
	assert_error(m, molt_set_label(m, label), -E2BIG, "64 bytes");
	assert_error(m, molt_set_label(m, "v\xff"), -EINVAL, "from byte 1 on");
	assert_error(m, molt_set_label(m, "v\n"), -EINVAL, "control");
	assert_true(molt_describe(m, line, sizeof(line)) > 0);
	assert_non_null(strstr(line, "(v1)"));
	assert_int_equal(molt_set_label(m, label + 1), 0);
	molt_describe(m, line, sizeof(line));
	assert_non_null(strstr(line, label + 1));
}

static void
test_setters_check_their_range(void **state)
{
	struct molt *m = handle_of(state);

	assert_string_equal(molt_error(m), "");
	assert_error(m, molt_set_room(m, -1), -EINVAL, "-1");
	assert_int_equal(molt_set_room(m, 0), 0);
	assert_error(m, molt_set_owner(m, 0, 0, 01777), -EINVAL, "1777");
	assert_int_equal(molt_set_owner(m, (uid_t)-1, (gid_t)-1, 0770), 0);
	assert_error(m, molt_allow_uid(m, (uid_t)-1), -EINVAL, "(uid_t)-1");
	assert_error(m, molt_set_deadline(m, 0, 5), -EINVAL, "deadline 0");
	assert_error(m, molt_set_deadline(m, MOLT_DEADLINE_TICK + 1, 5), -EINVAL, "deadline 10");
	assert_error(m, molt_set_deadline(m, MOLT_DEADLINE_LOAD, -1), -EINVAL, "-1 ms");
	assert_error(m, molt_set_deadline(m, MOLT_DEADLINE_LOAD, INT64_MAX), -EINVAL, "range");
	assert_error(m, molt_set_deadline(m, MOLT_DEADLINE_TICK, 0), -EINVAL, "tick");
	assert_int_equal(molt_set_deadline(m, MOLT_DEADLINE_TICK, 1), 0);
	for (int deadline = MOLT_DEADLINE_HELLO; deadline < MOLT_DEADLINE_TICK; deadline++)
		assert_int_equal(molt_set_deadline(m, deadline, 0), 0);
	assert_int_equal(molt_set_remaining(m, -1), -EINVAL);
	assert_int_equal(molt_set_exclusive(m, 1), 0);
	assert_int_equal(molt_set_exclusive(m, 0), 0);
	assert_int_equal(molt_set_compatibility(m, UINT32_MAX), 0);
	assert_int_equal(molt_allow_downgrade(m), 0);
	assert_int_equal(molt_progress(m), 0);
}

static void
test_allowed_uids_are_bounded(void **state)
{
	struct molt *m = handle_of(state);

	for (uid_t uid = 100; uid < 116; uid++)
		assert_int_equal(molt_allow_uid(m, uid), 0);
	assert_error(m, molt_allow_uid(m, 116), -ENOSPC, "uid 116");
	assert_int_equal(molt_allow_uid(m, 115), 0);
}

static void
test_refusal_text(void **state)
{
	struct molt *m = handle_of(state);
	char why[257];

	memset(why, 'x', 256);
	why[256] = '\0';
	assert_error(m, molt_refuse(m, why), -E2BIG, "256 bytes");
	assert_error(m, molt_refuse(m, ""), -EINVAL, "reason");
	assert_error(m, molt_refuse(m, "\x80"), -EINVAL, "UTF-8");
	assert_int_equal(molt_refuse(m, why + 1), 0);
	assert_int_equal(molt_refuse(m, NULL), 0);
}

/* --- names and numbers --- */

static void
test_names_and_addresses(void **state)
{
	struct molt *m = handle_of(state);
	struct sockaddr_in address = { .sin_family = AF_INET };
	char name[65];

	memset(name, 'n', 64);
	name[64] = '\0';
	assert_int_equal(molt_start(m), 0);
	assert_error(m, molt_listen(m, NULL, "tcp://127.0.0.1:0"), -EINVAL, "NULL");
	assert_error(m, molt_listen(m, "a", NULL), -EINVAL, "NULL");
	assert_error(m, molt_listen(m, "", "tcp://127.0.0.1:0"), -EINVAL, "no name");
	assert_error(m, molt_listen(m, "a b", "tcp://127.0.0.1:0"), -EINVAL, "a b");
	assert_error(m, molt_listen(m, name, "tcp://127.0.0.1:0"), -EINVAL, "63");
	assert_error(m, molt_listen(m, "a", "http://127.0.0.1:0"), -EINVAL, "http");
	assert_error(m, molt_listener_count(m, NULL), -EINVAL, "NULL");
	assert_error(m, molt_listener_fd(m, "a", -1), -EINVAL, "-1");
	assert_error(m, molt_listener_fd(m, "a", 0), -ENOENT, "a");
	assert_int_equal(molt_listener_count(m, "a"), 0);
	assert_error(m, molt_take(m, "a/b"), -EINVAL, "a/b");
	assert_error(m, molt_take(m, "a"), -ENOENT, "a");
	assert_error(m, molt_take_address(m, SOCK_STREAM, NULL, 0), -EINVAL, "NULL");
	assert_error(m, molt_take_address(m, 77, (struct sockaddr *)&address, sizeof(address)),
		     -EINVAL, "77");
	assert_error(
		m, molt_take_address(m, SOCK_STREAM, (struct sockaddr *)&address, sizeof(address)),
		-ENOENT, "0.0.0.0");
	assert_error(m, molt_offer(m, "a:b", 0), -EINVAL, "a:b");
	assert_error(m, molt_offer(m, "a", -1), -EBADF, "-1");
	assert_error(m, molt_withdraw(m, NULL), -EINVAL, "NULL");
	assert_error(m, molt_withdraw(m, "a"), -ENOENT, "a");
}

static void
test_offers(void **state)
{
	struct molt *m = handle_of(state);
	int ends[2];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(molt_start(m), 0);
	assert_int_equal(molt_offer(m, "pipe", ends[0]), 0);
	assert_error(m, molt_offer(m, "pipe", ends[0]), -EEXIST, "offered already");
	assert_error(m, molt_offer(m, "other", ends[0]), -EEXIST, "offered already, as pipe");
	assert_error(m, molt_offer(m, "epoll", epoll), -EINVAL, "epoll");
	assert_error(m, molt_listen(m, "pipe", "tcp://127.0.0.1:0"), -EEXIST, "pipe");
	assert_int_equal(molt_withdraw(m, "pipe"), 0);
	assert_error(m, molt_withdraw(m, "pipe"), -ENOENT, "pipe");
	close(epoll);
	close(ends[0]);
	close(ends[1]);
}

static void
test_describe_is_like_snprintf(void **state)
{
	struct molt *m = handle_of(state);
	char whole[400];
	char cut[12] = "xxxxxxxxxxx";
	int length;

	handle_serve(m);
	length = molt_describe(m, whole, sizeof(whole));
	assert_int_equal(length, strlen(whole));
	assert_non_null(strstr(whole, "serving"));
	assert_int_equal(molt_describe(m, NULL, 0), length);
	assert_int_equal(molt_describe(m, cut, 10), length);
	assert_int_equal(strlen(cut), 9);
	assert_memory_equal(cut, whole, 9);
	assert_int_equal(cut[10], 'x');
	assert_error(m, molt_describe(m, NULL, 5), -EINVAL, "place");
}

static void
test_spawn_refuses(void **state)
{
	struct molt *m = handle_of(state);
	char *nothing[] = { NULL };
	char *empty[] = { "", NULL };
	char *missing[] = { "/nowhere/at/all", NULL };
	char *script[] = { "/etc/passwd", NULL };

	handle_serve(m);
	assert_error(m, molt_spawn(m, NULL, NULL), -EINVAL, "argv[0]");
	assert_error(m, molt_spawn(m, nothing, NULL), -EINVAL, "argv[0]");
	assert_error(m, molt_spawn(m, empty, NULL), -EINVAL, "argv[0]");
	assert_error(m, molt_spawn(m, missing, NULL), -ENOENT, "/nowhere/at/all");
	assert_error(m, molt_spawn(m, script, NULL), -EACCES, "/etc/passwd");
}

/* --- a forked child ------------------------------------------------------------------------- */

/* Which of them did not refuse: 0, or its place in the list. */
static int
first_that_does_not_refuse(struct molt *m)
{
	char *argv[] = { "true", NULL };
	struct sockaddr_in a = { .sin_family = AF_INET };
	char line[100];
	const int64_t results[] = {
		molt_set_log(m, NULL, NULL),
		molt_set_label(m, "x"),
		molt_set_compatibility(m, 1),
		molt_allow_downgrade(m),
		molt_set_owner(m, 0, 0, 0600),
		molt_allow_uid(m, 5),
		molt_set_room(m, 5),
		molt_set_exclusive(m, 1),
		molt_set_deadline(m, MOLT_DEADLINE_LOAD, 5),
		molt_connect(m),
		molt_start(m),
		molt_listen(m, "a", "tcp://127.0.0.1:0"),
		molt_listener_count(m, "a"),
		molt_listener_fd(m, "a", 0),
		molt_take(m, "a"),
		molt_take_address(m, SOCK_STREAM, (struct sockaddr *)&a, sizeof(a)),
		molt_offer(m, "a", 0),
		molt_withdraw(m, "a"),
		molt_inherited_count(m),
		molt_fd(m),
		molt_dispatch(m),
		molt_wait(m, 0),
		molt_ready(m),
		molt_hold_commit(m),
		molt_commit(m),
		molt_hold_load(m),
		molt_loaded(m),
		molt_progress(m),
		molt_cancel(m),
		molt_refuse(m, NULL),
		molt_set_remaining(m, 0),
		molt_drain(m),
		molt_spawn(m, argv, NULL),
		molt_generation(m),
		molt_is_owner(m),
		molt_retired(m),
		molt_describe(m, line, sizeof(line)),
		molt_after_fork(m),
	};

	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++)
		if (results[i] != -EOWNERDEAD)
			return (int)i + 1;
	if (molt_next_event(m) != NULL || molt_inherited_name(m, 0) != NULL)
		return 100;
	if (strstr(molt_error(m), "forked child") == NULL)
		return 101;
	if (strcmp(molt_state_name(m), "abandoned") != 0)
		return 104;
	return 0;
}

static void
test_forked_child_is_refused(void **state)
{
	struct molt *m = handle_of(state);
	pid_t child;
	int status;
	int listener;

	assert_int_equal(molt_start(m), 0);
	listener = molt_listen(m, "a", "tcp://127.0.0.1:0");
	assert_int_equal(molt_ready(m), 0);
	assert_event(m, MOLT_SERVE, MOLT_REASON_FIRST);
	child = fork();
	if (child == 0) {
		int fd = molt_fd(m);
		int bad = molt_after_fork(m) != 0 ? 102 : first_that_does_not_refuse(m);

		if (bad == 0 && (fcntl(fd, F_GETFD) >= 0 || fcntl(listener, F_GETFD) < 0))
			bad = 103;
		molt_free(m);
		_exit(bad);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(molt_is_owner(m), 1);
	assert_int_equal(molt_set_label(m, "still mine"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HANDLE_TEST(test_new_refuses),
		HANDLE_TEST(test_relative_path),
		HANDLE_TEST(test_no_handle),
		HANDLE_TEST(test_label),
		HANDLE_TEST(test_setters_check_their_range),
		HANDLE_TEST(test_allowed_uids_are_bounded),
		HANDLE_TEST(test_refusal_text),
		HANDLE_TEST(test_names_and_addresses),
		HANDLE_TEST(test_offers),
		HANDLE_TEST(test_describe_is_like_snprintf),
		HANDLE_TEST(test_spawn_refuses),
		HANDLE_TEST(test_forked_child_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
