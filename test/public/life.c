/* SPDX-License-Identifier: MIT */
/*
 * A handle's life: stopping, starting a successor, becoming a daemon, and following oneself in one
 * process.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <molt/molt.h>
#include <cmocka.h>

#include "client.h"
#include "handle.h"
#include "theatre.h"

#define ANY "http tcp://127.0.0.1:0"

static struct actor *
serving(struct theatre *t, int which, const char *label)
{
	struct actor *a = theatre_starts(t, which, label);

	theatre_listens(a, ANY);
	theatre_serves(a, "SERVE first");
	return a;
}

static struct actor *
warming(struct theatre *t, int which, const char *label)
{
	struct actor *a = theatre_starts(t, which, label);

	theatre_listens(a, ANY);
	return a;
}

static void
kill_and_reap(struct actor *a)
{
	int status;

	actor_signal(a, SIGKILL);
	assert_int_equal(actor_wait(a, ACTOR_PATIENCE, &status), 0);
}

static int
held_by(int port, const char *label)
{
	int fd = client_tcp(port);

	assert_true(fd >= 0);
	assert_true(client_answered(fd, label, "hello"));
	return fd;
}

/* --- A stop ----------------------------------------------------------------------------------- */

static void
a_stop_gives_up_each_listener_and_the_next_is_first(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");

	theatre_listens(a, ANY);
	theatre_listens(a, "other tcp://127.0.0.1:0");
	theatre_serves(a, "SERVE first");
	int port = theatre_port(a, "other");
	assert_int_equal(actor_do(a, "drain"), 0);
	assert_int_equal(access(t->socket, F_OK), -1);
	assert_non_null(actor_expect(a, "RETIRE renounced"));
	assert_non_null(actor_expect(a, "RETIRE renounced"));
	assert_non_null(actor_expect(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
	assert_true(client_refused(port));
	struct actor *next = serving(t, 1, "next");
	assert_int_equal(actor_do(next, "generation"), 1);
}

/* Who is in its queue, or connected, is served to the end; others find the next one meanwhile. */
static void
a_stop_waits_for_the_connections_that_are_left(void **state)
{
	struct theatre *t = *state;
	struct actor *a = serving(t, 0, "a");
	int port = theatre_port(a, "http");
	int client = held_by(port, "a");
	char listen[64];

	actor_freeze(a);
	actor_say(a, "drain");
	int queued = client_tcp(port);
	actor_signal(a, SIGCONT);
	assert_int_equal(actor_hear(a, ACTOR_PATIENCE), 0);
	assert_non_null(actor_expect(a, "RETIRE renounced"));
	struct actor *next = theatre_starts(t, 1, "next");
	snprintf(listen, sizeof(listen), "http tcp://127.0.0.1:%d", port);
	theatre_listens(next, listen);
	theatre_serves(next, "SERVE first");
	assert_true(client_served_by(port, "next"));
	assert_true(client_answered(queued, "a", "hello"));
	close(queued);
	assert_true(client_answered(client, "a", "still"));
	close(client);
	assert_non_null(actor_expect(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
}

static void
a_stop_ends_at_the_drain_deadline(void **state)
{
	struct theatre *t = *state;
	struct actor *a = serving(t, 0, "a");
	int client = held_by(theatre_port(a, "http"), "a");
	char byte;

	assert_int_equal(actor_do(a, "deadline 7 100"), 0);
	assert_int_equal(actor_do(a, "drain"), 0);
	assert_non_null(actor_expect(a, "RETIRE renounced"));
	assert_non_null(actor_expect(a, "LEAVE deadline"));
	assert_true(actor_ends_well(a));
	assert_int_equal(recv(client, &byte, 1, 0), 0);
	close(client);
}

/* It hands over when its successor is ready, serves until then, and stays for no probation. */
static void
a_stop_hands_over_to_who_warms_up(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	int port = theatre_port(old, "http");
	struct actor *new = warming(t, 1, "new");

	assert_int_equal(actor_do(old, "deadline 8 60000"), 0);
	assert_int_equal(actor_do(old, "drain"), 0);
	assert_true(client_served_by(port, "old"));
	theatre_serves(new, "SERVE committed");
	theatre_leaves(old);
	assert_true(client_served_by(port, "new"));
	assert_int_equal(access(t->socket, F_OK), 0);
}

static void
a_stop_goes_on_when_who_warms_up_dies(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	struct actor *new = warming(t, 1, "new");

	assert_int_equal(actor_do(old, "drain"), 0);
	kill_and_reap(new);
	assert_non_null(actor_expect(old, "RETIRE renounced"));
	assert_non_null(actor_expect(old, "LEAVE done"));
	assert_true(actor_ends_well(old));
	assert_int_equal(access(t->socket, F_OK), -1);
}

/* It was told to pause, and to stop: the commit goes out all the same. */
static void
a_stop_in_pause_waits_for_the_outcome(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	int port = theatre_port(old, "http");

	assert_int_equal(actor_do(old, "hold_commit"), 0);
	assert_int_equal(actor_do(old, "deadline 8 60000"), 0);
	struct actor *new = warming(t, 1, "new");
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(actor_expect(old, "PAUSE"));
	assert_int_equal(actor_do(old, "drain"), 0);
	assert_int_equal(actor_do(old, "state"), 0);
	assert_string_equal(actor_text(old), "paused");
	assert_int_equal(actor_do(old, "commit"), 0);
	assert_non_null(actor_await(new, "SERVE committed"));
	assert_non_null(actor_expect(old, "DRAIN"));
	assert_non_null(actor_await(old, "LEAVE done"));
	assert_true(client_served_by(port, "new"));
}

static void
a_second_stop_gives_up_the_handoff(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	assert_int_equal(actor_do(old, "hold_commit"), 0);
	struct actor *new = warming(t, 1, "new");
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(actor_expect(old, "PAUSE"));
	assert_int_equal(actor_do(old, "drain"), 0);
	assert_int_equal(actor_do(old, "drain"), 0);
	assert_non_null(actor_expect(new, "FAILED aborted"));
	assert_non_null(actor_await(old, "LEAVE done"));
	assert_true(actor_ends_well(old));
	assert_int_equal(access(t->socket, F_OK), -1);
}

/* --- A successor that is started from here ---------------------------------------------------- */

static void
what_cannot_be_spawned_says_why(void **state)
{
	struct theatre *t = *state;
	struct molt *m = molt_new(t->socket);
	char script[300];
	char *missing[] = { "/nowhere/to/be/found", NULL };
	char *directory[] = { t->dir, NULL };
	char *text[] = { script, NULL };
	int fd;

	snprintf(script, sizeof(script), "%s/text", t->dir);
	fd = open(script, O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
	assert_int_equal(write(fd, "no program\n", 11), 11);
	close(fd);
	assert_int_equal(molt_start(m), 0);
	assert_error(m, molt_spawn(m, missing, NULL), -EPERM, "does not serve");
	assert_int_equal(molt_ready(m), 0);
	assert_event(m, MOLT_SERVE, MOLT_REASON_FIRST);
	assert_error(m, molt_spawn(m, missing, NULL), -ENOENT, "/nowhere/to/be/found");
	assert_error(m, molt_spawn(m, directory, NULL), -EACCES, t->dir);
	assert_error(m, molt_spawn(m, text, NULL), -ENOEXEC, script);
	assert_int_equal(molt_wait(m, 0), 0); /* nothing was started, so nothing can end early */
	molt_free(m);
}

/* Serves until it is to leave, which it asks for itself if it `stops`: whether it came to that. */
static bool
serves_until_leave(struct molt *m, bool stops)
{
	struct molt_event *e;

	while (molt_wait(m, 10000) > 0 && (e = molt_next_event(m)) != NULL) {
		if (molt_event_type(e) == MOLT_LEAVE)
			return true;
		if (stops && molt_event_type(e) == MOLT_SERVE)
			molt_drain(m);
	}
	return false;
}

/* This program once more, with another main: it follows on that path, serves, and stops. */
static int
follow(const char *path)
{
	struct molt *m = molt_new(path);

	alarm(20);
	if (m == NULL || molt_start(m) < 0 || molt_ready(m) < 0)
		return 1;
	molt_set_remaining(m, 0);
	if (!serves_until_leave(m, true))
		return 2;
	molt_free(m);
	return 0;
}

static void
who_is_spawned_follows(void **state)
{
	struct theatre *t = *state;
	struct molt *m = molt_new(t->socket);
	char *argv[] = { "/proc/self/exe", "follow", t->socket, NULL };
	int status = -1;
	pid_t pid;

	handle_serve(m);
	assert_int_equal(molt_set_remaining(m, 0), 0);
	pid = molt_spawn(m, argv, NULL);
	assert_true(pid > 0);
	assert_event(m, MOLT_PAUSE, MOLT_REASON_NONE);
	assert_event(m, MOLT_DRAIN, MOLT_REASON_NONE);
	assert_event(m, MOLT_LEAVE, MOLT_REASON_DONE);
	assert_int_equal(molt_wait(m, 0), 0);
	molt_free(m);
	/*
	 * Its end is the handle's to reap or ours, as it comes; it has stopped as the last one
	 * does.
	 */
	if (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, ECHILD);
	else
		assert_int_equal(status, 0);
	assert_int_equal(access(t->socket, F_OK), -1);
}

/* --- A daemon --------------------------------------------------------------------------------- */

/* Started by a process that is gone when it serves. Its exit status says how it went. */
static _Noreturn void
live_as_daemon(const char *path)
{
	struct molt *m = molt_new(path);

	prctl(PR_SET_PDEATHSIG, 0);
	alarm(20);
	if (m == NULL || molt_start(m) < 0 || molt_listen(m, "http", "tcp://127.0.0.1:0") < 0)
		_exit(1);
	if (fork() != 0)
		_exit(0);
	alarm(20);
	molt_set_remaining(m, 0);
	if (molt_ready(m) < 0 || !serves_until_leave(m, false))
		_exit(2);
	molt_free(m);
	_exit(0);
}

static void
a_fork_whose_parent_leaves_keeps_the_handle(void **state)
{
	struct theatre *t = *state;
	int status = -1;
	pid_t pid;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		live_as_daemon(t->socket);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* Its parent is gone, and with it no lock: another start finds a predecessor. */
	struct actor *new = theatre_starts(t, 0, "new");
	assert_int_equal(actor_do(new, "generation"), 2);
	assert_int_equal(actor_do(new, "inherited"), 1);
	theatre_listens(new, ANY);
	theatre_serves(new, "SERVE committed");
	pid = waitpid(-1, &status, 0); /* the daemon, which is ours since its parent's end */
	assert_int_not_equal(pid, new->pid);
	assert_int_equal(status, 0);
	assert_true(client_served_by(theatre_port(new, "http"), "new"));
}

/* --- Two handles in one process --------------------------------------------------------------- */

/* A process can follow itself: locks and record tell its two handles apart. */
static void
a_process_follows_itself(void **state)
{
	struct theatre *t = *state;
	struct actor *a = serving(t, 0, "both");
	int port = theatre_port(a, "http");
	int client = held_by(port, "both");

	assert_int_equal(actor_do(a, "use 1"), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "connect"), 0);
	assert_non_null(actor_expect(a, "1:STARTED"));
	assert_true(actor_do(a, "listen %s", ANY) >= 0);
	assert_int_equal(theatre_port(a, "http"), port);
	assert_int_equal(actor_do(a, "ready"), 0);
	assert_non_null(actor_expect(a, "PAUSE"));
	assert_non_null(actor_await(a, "1:SERVE committed"));
	assert_int_equal(actor_do(a, "generation"), 2);
	assert_non_null(actor_await(a, "DRAIN"));
	assert_true(client_served_by(port, "both"));
	assert_true(client_answered(client, "both", "still"));
	close(client);
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(client_served_by(port, "both"));
	/* The one that left took nothing of the other's with it. */
	struct actor *next = theatre_starts(t, 1, "next");
	theatre_listens(next, ANY);
	theatre_serves(next, "SERVE committed");
	assert_true(client_served_by(port, "next"));
	assert_non_null(actor_await(a, "1:LEAVE done"));
	assert_true(actor_ends_well(a));
}

#define test(function) cmocka_unit_test_setup_teardown(function, theatre_set_up, theatre_tear_down)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		test(a_stop_gives_up_each_listener_and_the_next_is_first),
		test(a_stop_waits_for_the_connections_that_are_left),
		test(a_stop_ends_at_the_drain_deadline),
		test(a_stop_hands_over_to_who_warms_up),
		test(a_stop_goes_on_when_who_warms_up_dies),
		test(a_stop_in_pause_waits_for_the_outcome),
		test(a_second_stop_gives_up_the_handoff),
		test(what_cannot_be_spawned_says_why),
		test(who_is_spawned_follows),
		test(a_fork_whose_parent_leaves_keeps_the_handle),
		test(a_process_follows_itself),
	};

	if (argc == 3 && strcmp(argv[1], "follow") == 0)
		return follow(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
