/* SPDX-License-Identifier: MIT */
/*
 * What a spawned process gets, what it doesn't, and how its end is learnt.
 */
/* not under valgrind: it does not know pidfd_open */
#include "spawn.h"

#include "fds.h"
#include "sys.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* --- What the tests share --------------------------------------------------------------------- */

struct place {
	struct fds *before;
	char *directory;
	char *output; /* where shell scripts write to */
};

static int
set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	place->before = fds_snapshot();
	assert_non_null(place->before);
	place->directory = tmpdir_make();
	assert_non_null(place->directory);
	place->output = tmpdir_join(place->directory, "output");
	*state = place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;
	int changed = fds_changed(place->before);

	fds_free(place->before);
	free(place->output);
	changed |= tmpdir_remove(place->directory);
	free(place);
	return changed;
}

/* Waits for the end of it, within seconds. */
static void
await_end(int pidfd)
{
	struct pollfd poller = { .fd = pidfd, .events = POLLIN };

	assert_int_equal(poll(&poller, 1, 20000), 1);
}

/* Waits for it, reaps it, and closes its pidfd. */
static siginfo_t
finish(const struct spawned *spawned)
{
	siginfo_t info;

	await_end(spawned->pidfd);
	assert_int_equal(molt__spawn_reap(spawned->pidfd, &info), 0);
	close(spawned->pidfd);
	return info;
}

static struct spawned
start_script(const char *script, char *const envp[])
{
	char *argv[] = { "/bin/sh", "-c", (char *)script, NULL };
	struct spawned spawned;

	assert_int_equal(molt__spawn_start(argv, envp, &spawned), 0);
	return spawned;
}

/* Runs a script with standard output to a file, and returns what it wrote, to be freed. */
static char *
output_of(const struct place *place, const char *script, char *const envp[])
{
	char whole[1024];
	char *text = calloc(1, 8192);
	struct spawned spawned;
	siginfo_t info;
	FILE *file;

	snprintf(whole, sizeof(whole), "exec >%s; %s", place->output, script);
	spawned = start_script(whole, envp);
	info = finish(&spawned);
	assert_int_equal(info.si_code, CLD_EXITED);
	assert_int_equal(info.si_status, 0);
	file = fopen(place->output, "re");
	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 8191, file) < 8191);
	fclose(file);
	return text;
}

/* Makes a file with those permissions. */
static char *
make_file(const struct place *place, const char *name, const char *text, mode_t mode)
{
	char *path = tmpdir_join(place->directory, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

static int
start_file(const char *path)
{
	char *argv[] = { (char *)path, NULL };
	struct spawned spawned;
	int r = molt__spawn_start(argv, NULL, &spawned);

	if (r == 0)
		finish(&spawned);
	return r;
}

/* --- What it gets ----------------------------------------------------------------------------- */

static void
test_only_standard_descriptors_reach_it(void **state)
{
	/* One that its owner forgot to close on exec, far up. */
	int forgotten = fcntl(STDERR_FILENO, F_DUPFD, 300);
	char *text = output_of(*state,
			       "for f in 0 1 2 3 4 5 6 7 8 9 300; do "
			       "[ -e /proc/$$/fd/$f ] && echo $f; done; true",
			       NULL);

	assert_int_equal(forgotten, 300);
	close(forgotten);
	assert_string_equal(text, "0\n1\n2\n");
	free(text);
}

/* The mask after `key` in a text like /proc/PID/status. */
static unsigned long long
mask_of(const char *text, const char *key)
{
	const char *found = strstr(text, key);

	assert_non_null(found);
	return strtoull(found + strlen(key), NULL, 16);
}

static void
test_its_signals_are_as_at_login(void **state)
{
	/* All that can have a handler; what libc keeps for itself is not ours. */
	const unsigned long long ours = 0x7fffffff;
	void (*hangup)(int) = signal(SIGHUP, SIG_IGN);
	void (*broken)(int) = signal(SIGPIPE, SIG_IGN);
	sigset_t all, old;
	char *text;

	sigfillset(&all);
	assert_int_equal(sigprocmask(SIG_SETMASK, &all, &old), 0);
	/* Not by a shell, which has signals of its own mind. */
	text = output_of(*state, "exec cat /proc/self/status", NULL);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	signal(SIGHUP, hangup);
	signal(SIGPIPE, broken);
	assert_int_equal(mask_of(text, "SigBlk:") & ours, 0);
	assert_int_equal(mask_of(text, "SigIgn:") & ours, 0);
	free(text);
}

static void
test_what_systemd_told_us_is_left_out(void **state)
{
	char *envp[] = { "LISTEN_PID=1",      "A=first",           "LISTEN_FDS=2",
			 "LISTEN_FDNAMES=x",  "LISTEN_PIDFDID=7",  "NOTIFY_SOCKET=/run/x",
			 "LISTEN_ADDRESS=me", "NOTIFY_SOCKETS=me", NULL };
	char *text = output_of(*state, "exec /usr/bin/env", envp);

	assert_non_null(strstr(text, "A=first\n"));
	assert_null(strstr(text, "LISTEN_PID"));
	assert_null(strstr(text, "LISTEN_FD"));
	assert_null(strstr(text, "NOTIFY_SOCKET="));
	/* The host's own, whatever they look like. */
	assert_non_null(strstr(text, "LISTEN_ADDRESS=me\n"));
	assert_non_null(strstr(text, "NOTIFY_SOCKETS=me\n"));
	free(text);
}

static void
test_without_an_environment_it_gets_ours(void **state)
{
	char *text;

	assert_int_equal(setenv("MOLT_TEST_SPAWN", "inherited", 1), 0);
	assert_int_equal(setenv("LISTEN_FDS", "1", 1), 0);
	text = output_of(*state, "exec /usr/bin/env", NULL);
	assert_non_null(strstr(text, "MOLT_TEST_SPAWN=inherited\n"));
	assert_null(strstr(text, "LISTEN_FDS"));
	/* Ours is as it was. */
	assert_string_equal(getenv("LISTEN_FDS"), "1");
	unsetenv("LISTEN_FDS");
	unsetenv("MOLT_TEST_SPAWN");
	free(text);
}

static void
test_a_name_without_a_slash_is_searched(void **state)
{
	struct place *place = *state;
	char *path = make_file(place, "molt-test-program", "#!/bin/sh\nexit 5\n", 0700);
	char *argv[] = { "molt-test-program", NULL };
	char *before = strdup(getenv("PATH"));
	struct spawned spawned;

	assert_int_equal(molt__spawn_start(argv, NULL, &spawned), -ENOENT);
	assert_int_equal(setenv("PATH", place->directory, 1), 0);
	assert_int_equal(molt__spawn_start(argv, NULL, &spawned), 0);
	assert_int_equal(setenv("PATH", before, 1), 0);
	assert_int_equal(finish(&spawned).si_status, 5);
	free(before);
	free(path);
}

static void
test_a_new_binary_at_the_path_is_found(void **state)
{
	struct place *place = *state;
	char *path = make_file(place, "server", "#!/bin/sh\nexit 1\n", 0700);
	char *next = make_file(place, "next", "#!/bin/sh\nexit 2\n", 0700);
	char *argv[] = { path, NULL };
	struct spawned spawned;

	assert_int_equal(molt__spawn_start(argv, NULL, &spawned), 0);
	assert_int_equal(finish(&spawned).si_status, 1);
	assert_int_equal(rename(next, path), 0);
	assert_int_equal(molt__spawn_start(argv, NULL, &spawned), 0);
	assert_int_equal(finish(&spawned).si_status, 2);
	free(next);
	free(path);
}

/* --- What goes wrong -------------------------------------------------------------------------- */

static void
test_execs_errno_is_told(void **state)
{
	struct place *place = *state;
	char *closed = make_file(place, "closed", "#!/bin/sh\n", 0600);
	char *garbage = make_file(place, "garbage", "no program", 0700);
	char *orphan = make_file(place, "orphan", "#!/no/such/interpreter\n", 0700);

	assert_int_equal(start_file("/no/such/program"), -ENOENT);
	assert_int_equal(start_file(closed), -EACCES);
	assert_int_equal(start_file(garbage), -ENOEXEC);
	assert_int_equal(start_file(orphan), -ENOENT);
	assert_int_equal(start_file(""), -EINVAL);
	assert_int_equal(start_file(NULL), -EINVAL);
	/* There is no child. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	free(orphan);
	free(garbage);
	free(closed);
}

static void
test_without_a_free_descriptor_nothing_is_started(void **state)
{
	struct place *place = *state;
	struct rlimit limit, low;
	char *path = tmpdir_join(place->directory, "started");
	char script[512];
	char *argv[] = { "/bin/sh", "-c", script, NULL };
	struct spawned spawned;
	int r;

	snprintf(script, sizeof(script), "echo >%s", path);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	/* The three that it has. */
	low.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	r = molt__spawn_start(argv, NULL, &spawned);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(access(path, F_OK), -1);
	free(path);
}

/* --- Its end ---------------------------------------------------------------------------------- */

static void
test_it_runs_until_it_ends(void **state)
{
	struct spawned spawned = start_script("exec sleep 60", NULL);
	struct spawned other = start_script("exit 3", NULL);
	siginfo_t info;
	char text[64];

	(void)state;
	assert_int_equal(fcntl(spawned.pidfd, F_GETFD), FD_CLOEXEC);
	await_end(other.pidfd);
	/* The end of another is not its end, and the other is not reaped along. */
	assert_int_equal(molt__spawn_reap(spawned.pidfd, &info), -EAGAIN);
	assert_int_equal(kill(spawned.pid, SIGKILL), 0);
	info = finish(&spawned);
	assert_int_equal(info.si_pid, spawned.pid);
	assert_int_equal(info.si_code, CLD_KILLED);
	molt__spawn_describe(&info, text, sizeof(text));
	assert_string_equal(text, "was killed by signal 9");
	info = finish(&other);
	assert_int_equal(info.si_pid, other.pid);
	molt__spawn_describe(&info, text, sizeof(text));
	assert_string_equal(text, "exited with status 3");
	molt__spawn_describe(&info, text, 7);
	assert_string_equal(text, "exited");
}

static void
test_an_end_that_the_host_reaped(void **state)
{
	struct spawned spawned = start_script("exit 0", NULL);
	siginfo_t info;

	(void)state;
	assert_int_equal(waitpid(spawned.pid, NULL, 0), spawned.pid);
	await_end(spawned.pidfd);
	assert_int_equal(molt__spawn_reap(spawned.pidfd, &info), -ECHILD);
	close(spawned.pidfd);
}

static void
test_a_host_that_ignores_its_children(void **state)
{
	void (*before)(int) = signal(SIGCHLD, SIG_IGN);
	struct spawned spawned = start_script("exec sleep 60", NULL);
	siginfo_t info;

	(void)state;
	assert_int_equal(molt__spawn_reap(spawned.pidfd, &info), -EAGAIN);
	assert_int_equal(kill(spawned.pid, SIGKILL), 0);
	await_end(spawned.pidfd);
	assert_int_equal(molt__spawn_reap(spawned.pidfd, &info), -ECHILD);
	signal(SIGCHLD, before);
	close(spawned.pidfd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_only_standard_descriptors_reach_it),
		TEST(test_its_signals_are_as_at_login),
		TEST(test_what_systemd_told_us_is_left_out),
		TEST(test_without_an_environment_it_gets_ours),
		TEST(test_a_name_without_a_slash_is_searched),
		TEST(test_a_new_binary_at_the_path_is_found),
		TEST(test_execs_errno_is_told),
		TEST(test_without_a_free_descriptor_nothing_is_started),
		TEST(test_it_runs_until_it_ends),
		TEST(test_an_end_that_the_host_reaped),
		TEST(test_a_host_that_ignores_its_children),
	};

	return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
