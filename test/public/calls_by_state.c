/* SPDX-License-Identifier: MIT */
/* What each public call says in a state that it does not fit, and how waiting and starting end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "handle.h"
#include "tmpdir.h"

static bool
is_signalled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* --- what the state forbids ----------------------------------------------------------------- */

static void
test_before_the_start(void **state)
{
	struct molt *m = handle_of(state);
	char *argv[] = { "true", NULL };

	assert_error(m, molt_fd(m), -EBUSY, "molt_connect()");
	assert_int_equal(molt_dispatch(m), 0);
	assert_error(m, molt_wait(m, -1), -EBUSY, "molt_connect()");
	assert_null(molt_next_event(m));
	assert_error(m, molt_ready(m), -EBUSY, "STARTED");
	assert_error(m, molt_listen(m, "a", "tcp://127.0.0.1:0"), -EBUSY, "a");
	assert_error(m, molt_take(m, "a"), -EBUSY, "a");
	assert_error(m, molt_cancel(m), -ENOENT, "new");
	assert_error(m, molt_drain(m), -EBUSY, "molt_connect()");
	assert_error(m, molt_loaded(m), -EPROTO, "new");
	assert_true(molt_spawn(m, argv, NULL) < 0);
	assert_int_equal(molt_commit(m), -EPROTO);
	assert_int_equal(molt_inherited_count(m), 0);
	assert_null(molt_inherited_name(m, 0));
	assert_null(molt_inherited_name(m, -1));
	assert_int_equal(molt_generation(m), 0);
	assert_int_equal(molt_is_owner(m), 0);
	assert_int_equal(molt_retired(m), 0);
	assert_string_equal(molt_state_name(m), "new");
	assert_int_equal(molt_hold_commit(m), 0);
	assert_int_equal(molt_hold_load(m), 0);
}

static void
test_after_the_start(void **state)
{
	struct molt *m = handle_of(state);
	int fd;

	assert_int_equal(molt_start(m), 0);
	fd = molt_fd(m);
	assert_true(fd >= 0);
	assert_error(m, molt_connect(m), -EALREADY, "new one");
	assert_error(m, molt_start(m), -EALREADY, "new one");
	assert_error(m, molt_set_compatibility(m, 2), -EBUSY, "molt_connect()");
	assert_error(m, molt_allow_downgrade(m), -EBUSY, "molt_connect()");
	assert_error(m, molt_set_owner(m, 0, 0, 0600), -EBUSY, "molt_connect()");
	assert_error(m, molt_cancel(m), -ENOENT, "first");
	assert_int_equal(molt_is_owner(m), 0);
	assert_int_equal(molt_retired(m), 0);
	assert_int_equal(molt_dispatch(m), 0);
	assert_int_equal(molt_ready(m), 0);
	assert_error(m, molt_ready(m), -EALREADY, "before");
	assert_true(is_signalled(fd));
	assert_event(m, MOLT_SERVE, MOLT_REASON_FIRST);
	assert_error(m, molt_ready(m), -EALREADY, "before");
	assert_error(m, molt_cancel(m), -ENOENT, "serving");
	assert_error(m, molt_loaded(m), -EPROTO, "serving");
	assert_int_equal(molt_commit(m), -EPROTO);
	assert_int_equal(molt_is_owner(m), 1);
	assert_int_equal(molt_retired(m), 0);
	assert_int_equal(molt_generation(m), 1);
	assert_int_equal(molt_fd(m), fd);
}

/*
 * Waiting events keep the descriptor readable, whatever the host does with it; then it is silent.
 */
static void
test_fd_tells_of_events(void **state)
{
	struct molt *m = handle_of(state);

	assert_int_equal(molt_connect(m), 0);
	assert_true(is_signalled(molt_fd(m)));
	assert_int_equal(molt_dispatch(m), 1);
	assert_int_equal(molt_dispatch(m), 1);
	assert_true(is_signalled(molt_fd(m)));
	assert_event(m, MOLT_STARTED, MOLT_REASON_FIRST);
	assert_null(molt_next_event(m));
	assert_int_equal(molt_dispatch(m), 0);
	assert_false(is_signalled(molt_fd(m)));
}

/* --- waiting -------------------------------------------------------------------------------- */

static void
test_wait_comes_back_with_nothing(void **state)
{
	struct molt *m = handle_of(state);

	handle_serve(m);
	assert_null(molt_next_event(m));
	assert_int_equal(molt_wait(m, 0), 0);
	assert_int_equal(molt_wait(m, 10), 0);
}

static void
on_signal(int number)
{
	(void)number;
}

/* The signal may come before the wait begins: it comes again and again. */
static void
test_signal_ends_a_wait(void **state)
{
	struct molt *m = handle_of(state);
	struct sigaction action = { .sa_handler = on_signal };
	struct itimerval every = { { 0, 10000 }, { 0, 10000 } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	int result;

	handle_serve(m);
	assert_null(molt_next_event(m));
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	result = molt_wait(m, 20000);
	setitimer(ITIMER_REAL, &never, NULL);
	assert_error(m, result, -EINTR, "signal");
}

static void *
say_none_remain(void *arg)
{
	molt_set_remaining(arg, 0);
	return NULL;
}

/* Another thread's word wakes one that waits for ever. */
static void
test_any_thread_wakes(void **state)
{
	struct molt *m = handle_of(state);
	pthread_t thread;

	assert_int_equal(molt_set_remaining(m, 1), 0);
	handle_serve(m);
	assert_int_equal(molt_drain(m), 0);
	assert_int_equal(molt_wait(m, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, say_none_remain, m), 0);
	assert_int_equal(molt_wait(m, -1), 1);
	pthread_join(thread, NULL);
	assert_event(m, MOLT_LEAVE, MOLT_REASON_DONE);
}

/* --- stopping ------------------------------------------------------------------------------- */

static void
test_drain_of_the_only_one(void **state)
{
	struct fixture *f = *state;
	struct molt *m = f->m;

	assert_int_equal(molt_start(m), 0);
	assert_true(molt_listen(m, "a", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(molt_ready(m), 0);
	assert_event(m, MOLT_SERVE, MOLT_REASON_FIRST);
	assert_int_equal(molt_set_remaining(m, 0), 0);
	assert_int_equal(access(f->path, F_OK), 0);
	assert_int_equal(molt_drain(m), 0);
	assert_int_equal(access(f->path, F_OK), -1);
	assert_error(m, molt_drain(m), -EALREADY, "renounced");
	assert_error(m, molt_cancel(m), -EALREADY, "renounced");
	assert_int_equal(molt_retired(m), 0);
	assert_event(m, MOLT_RETIRE, MOLT_REASON_RENOUNCED);
	assert_error(m, molt_listen(m, "b", "tcp://127.0.0.1:0"), -EBUSY, "b");
	assert_event(m, MOLT_LEAVE, MOLT_REASON_DONE);
	assert_string_equal(molt_state_name(m), "left");
	assert_int_equal(molt_listener_count(m, "a"), 0);
	assert_int_equal(molt_retired(m), 0);
}

static void
test_drain_before_ready(void **state)
{
	struct molt *m = handle_of(state);

	assert_int_equal(molt_start(m), 0);
	assert_int_equal(molt_drain(m), 0);
	assert_error(m, molt_ready(m), -ECANCELED, "renounced");
}

/* --- a start that fails --------------------------------------------------------------------- */

static void
test_start_with_a_lock_that_is_held(void **state)
{
	struct fixture *f = *state;
	char *lock = tmpdir_join(f->directory, "sock.lock");
	int fd = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(molt_set_deadline(f->m, MOLT_DEADLINE_START, 50), 0);
	assert_error(f->m, molt_start(f->m), -ETIMEDOUT, "sock.lock is held");
	assert_non_null(strstr(molt_error(f->m), "for 0.05 s"));
	assert_null(molt_next_event(f->m));
	assert_string_equal(molt_state_name(f->m), "failed");
	assert_int_equal(molt_retired(f->m), 1);
	assert_error(f->m, molt_ready(f->m), -ECANCELED, "sock.lock is held");
	assert_error(f->m, molt_listen(f->m, "a", "tcp://127.0.0.1:0"), -ECANCELED, "a");
	assert_error(f->m, molt_cancel(f->m), -ENOENT, "failed");
	assert_error(f->m, molt_drain(f->m), -EALREADY, "failed");
	assert_error(f->m, molt_start(f->m), -EALREADY, "new one");
	molt_free(f->m);
	close(fd);
	f->m = molt_new(f->path);
	assert_int_equal(molt_start(f->m), 0);
	free(lock);
}

/* The handle is as it was before, and can be tried again. */
static void
test_start_without_a_lock_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rmdir(f->directory), 0);
	assert_error(f->m, molt_start(f->m), -ENOENT, "sock.lock");
	assert_error(f->m, molt_connect(f->m), -ENOENT, "sock.lock");
	assert_int_equal(mkdir(f->directory, 0700), 0);
	assert_int_equal(molt_set_compatibility(f->m, 1), 0);
	assert_int_equal(molt_start(f->m), 0);
}

/*
 * In a child, while the parent serves: the exit status is the errno. The words are the parent's to
 * know.
 */
static int
start_in_child(struct fixture *f, const char *words)
{
	pid_t child = fork();
	struct molt *m;
	int status = 0;
	int result;

	if (child == 0) {
		molt_after_fork(f->m);
		m = molt_new(f->path);
		result = molt_start(m);
		_exit(strstr(molt_error(m), words) != NULL ? -result : 255);
	}
	while (waitpid(child, &status, WNOHANG) == 0)
		molt_wait(f->m, 10);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void
test_start_that_is_refused(void **state)
{
	struct fixture *f = *state;

	handle_serve(f->m);
	assert_int_equal(molt_refuse(f->m, "a migration is running"), 0);
	assert_int_equal(start_in_child(f, "a migration is running"), -ECONNREFUSED);
	assert_int_equal(molt_is_owner(f->m), 1);
	assert_int_equal(molt_refuse(f->m, NULL), 0);
	assert_int_equal(start_in_child(f, ""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HANDLE_TEST(test_before_the_start),
		HANDLE_TEST(test_after_the_start),
		HANDLE_TEST(test_fd_tells_of_events),
		HANDLE_TEST(test_wait_comes_back_with_nothing),
		HANDLE_TEST(test_signal_ends_a_wait),
		HANDLE_TEST(test_any_thread_wakes),
		HANDLE_TEST(test_drain_of_the_only_one),
		HANDLE_TEST(test_drain_before_ready),
		HANDLE_TEST(test_start_with_a_lock_that_is_held),
		HANDLE_TEST(test_start_without_a_lock_file),
		HANDLE_TEST(test_start_that_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
