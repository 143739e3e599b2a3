/* SPDX-License-Identifier: MIT */
/*
 * Processes that meet at a socket file: two at once, of different uids, after a kill, with workers
 * that have survived, at long paths.
 */
#include "actor.h"
#include "client.h"
#include "theatre.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	NOBODY = 65534,
	STRANGER = 65533,
	SELF = -1,
	AT_ONCE_MS = 1000,
	DEADLINE_START = 2, /* MOLT_DEADLINE_START */
	WORKERS = 4,
};

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct actor *
first_at_http(struct theatre *t, int which, const char *label)
{
	struct actor *a = theatre_starts(t, which, label);

	theatre_listens(a, "http tcp://127.0.0.1:0");
	theatre_serves(a, "SERVE first");
	return a;
}

/* An actor that has become somebody else before it has looked at anything. */
static struct actor *
made_by(struct theatre *t, int which, const char *label, int uid)
{
	struct actor *a = &t->actors[which];

	assert_int_equal(actor_start(a, label), 0);
	if (uid != SELF)
		assert_int_equal(actor_do(a, "become %d %d", uid, uid), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	return a;
}

static void
assert_says(const struct actor *a, const char *words)
{
	if (strstr(actor_text(a), words) == NULL)
		fail_msg("%s said: %s", a->label, actor_text(a));
}

/* --- At the same instant ---------------------------------------------------------------------- */

/* Which of the two has been let in; the other has been told that it is not, and why. */
static struct actor *
winner_of(struct actor *a, struct actor *b)
{
	const char *line = actor_event(a, ACTOR_PATIENCE);
	struct actor *winner = a;
	struct actor *loser = b;
	char words[128];

	assert_non_null(line);
	if (strncmp(line, "STARTED ", strlen("STARTED ")) != 0) {
		winner = b;
		loser = a;
		assert_non_null(actor_expect(winner, "STARTED "));
	} else {
		line = actor_event(loser, ACTOR_PATIENCE);
		assert_non_null(line);
	}
	assert_int_equal(strncmp(line, "FAILED refused ", strlen("FAILED refused ")), 0);
	snprintf(words, sizeof(words), "a handoff to pid %d (%s) has been under way for",
		 (int)winner->pid, winner->label);
	assert_non_null(strstr(line, words));
	return winner;
}

static void
test_of_two_at_the_same_instant_one_wins(void **state)
{
	struct theatre *t = *state;
	int port = theatre_port(first_at_http(t, 0, "old"), "http");

	for (int i = 0; i < 20; i++) {
		struct actor *a = made_by(t, 1, "one", SELF);
		struct actor *b = made_by(t, 2, "two", SELF);
		actor_say(a, "connect");
		actor_say(b, "connect");
		assert_int_equal(actor_hear(a, ACTOR_PATIENCE), 0);
		assert_int_equal(actor_hear(b, ACTOR_PATIENCE), 0);
		struct actor *winner = winner_of(a, b);
		assert_true(client_served_by(port, t->actors[0].label));
		theatre_listens(winner, "http tcp://127.0.0.1:0");
		theatre_serves(winner, "SERVE committed");
		theatre_leaves(&t->actors[0]);
		assert_true(client_served_by(port, winner->label));
		actor_end(&t->actors[0]);
		t->actors[0] = *winner;
		memset(winner, 0, sizeof(*winner));
		actor_end(winner == a ? b : a);
	}
}

/* --- Of another uid --------------------------------------------------------------------------- */

static void
needs_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("left out: only root can become somebody else\n");
	skip();
}

/* So that anybody can open the lock file and connect: the permissions don't keep them apart. */
static void
open_to_all(const struct theatre *t)
{
	char lock[sizeof(t->socket) + 8];

	snprintf(lock, sizeof(lock), "%s.lock", t->socket);
	assert_int_equal(chmod(t->dir, 0777), 0);
	assert_int_equal(chmod(t->socket, 0666), 0);
	assert_int_equal(chmod(lock, 0666), 0);
}

static void
test_a_successor_of_another_uid_is_refused(void **state)
{
	struct theatre *t = *state;

	needs_root();
	struct actor *old = first_at_http(t, 0, "old");
	int port = theatre_port(old, "http");
	open_to_all(t);
	struct actor *stranger = made_by(t, 1, "stranger", STRANGER);
	assert_int_equal(actor_do(stranger, "start"), -ECONNREFUSED);
	assert_says(stranger, "uid 65533 is not allowed");
	assert_int_equal(actor_do(old, "log refused"), 1);
	assert_true(client_served_by(port, "old"));
	assert_int_equal(actor_do(old, "allow %d", STRANGER), 0);
	actor_end(stranger);
	stranger = made_by(t, 1, "stranger", STRANGER);
	assert_int_equal(actor_do(stranger, "start"), 0);
}

static void
test_a_predecessor_of_another_uid_is_refused(void **state)
{
	struct theatre *t = *state;

	needs_root();
	assert_int_equal(chmod(t->dir, 0777), 0);
	struct actor *old = made_by(t, 0, "old", STRANGER);
	assert_int_equal(actor_do(old, "start"), 0);
	theatre_listens(old, "http tcp://127.0.0.1:0");
	theatre_serves(old, "SERVE first");
	int port = theatre_port(old, "http");
	open_to_all(t);
	struct actor *new = made_by(t, 1, "new", SELF);
	assert_int_equal(actor_do(new, "start"), -EACCES);
	assert_says(new, "is served by uid 65533, which is not allowed");
	assert_true(client_served_by(port, "old"));
	actor_end(new);
	new = made_by(t, 1, "new", SELF);
	assert_int_equal(actor_do(new, "allow %d", STRANGER), 0);
	assert_int_equal(actor_do(new, "start"), 0);
	theatre_listens(new, "http tcp://127.0.0.1:0");
	theatre_serves(new, "SERVE committed");
	assert_true(client_served_by(port, "new"));
}

static void
test_a_lock_file_of_another_uid_says_whose_to_be(void **state)
{
	struct theatre *t = *state;

	needs_root();
	first_at_http(t, 0, "old");
	assert_int_equal(chmod(t->dir, 0755), 0);
	struct actor *stranger = made_by(t, 1, "stranger", STRANGER);
	assert_int_equal(actor_do(stranger, "start"), -EACCES);
	assert_says(stranger, "named by molt_set_owner()");
	actor_end(stranger);
	snprintf(t->socket, sizeof(t->socket), "%s/other", t->dir);
	stranger = made_by(t, 1, "stranger", STRANGER);
	assert_int_equal(actor_do(stranger, "start"), -EACCES);
	assert_says(stranger, "must be writable");
}

/* Starts as root, as servers do for a port below 1024, and is nobody before it serves. */
static struct actor *
root_to_nobody(struct theatre *t, int which, const char *label, const char *how)
{
	struct actor *a = made_by(t, which, label, SELF);

	assert_int_equal(actor_do(a, "owner %d %d 600", NOBODY, NOBODY), 0);
	assert_int_equal(actor_do(a, "start"), 0);
	theatre_listens(a, "http tcp://127.0.0.1:0");
	assert_int_equal(actor_do(a, "become %d %d", NOBODY, NOBODY), 0);
	theatre_serves(a, how);
	return a;
}

static void
through_generations_of_nobody(struct theatre *t)
{
	assert_int_equal(chown(t->dir, NOBODY, NOBODY), 0);
	struct actor *first = root_to_nobody(t, 0, "first", "SERVE first");
	int port = theatre_port(first, "http");
	struct actor *second = root_to_nobody(t, 1, "second", "SERVE committed");
	theatre_leaves(first);
	struct actor *third = root_to_nobody(t, 2, "third", "SERVE committed");
	theatre_leaves(second);
	struct actor *fourth = made_by(t, 3, "fourth", NOBODY);
	assert_int_equal(actor_do(fourth, "start"), 0);
	theatre_listens(fourth, "http tcp://127.0.0.1:0");
	theatre_serves(fourth, "SERVE committed");
	theatre_leaves(third);
	assert_int_equal(actor_do(fourth, "generation"), 4);
	assert_true(client_served_by(port, "fourth"));
	assert_int_equal(actor_do(fourth, "drain"), 0);
	assert_true(actor_ends_well(fourth));
	assert_int_equal(access(t->socket, F_OK), -1);
}

static void
test_root_to_nobody_and_on(void **state)
{
	needs_root();
	through_generations_of_nobody(*state);
}

/* --- After a kill ----------------------------------------------------------------------------- */

static void
kill_and_reap(struct actor *a)
{
	int status;

	actor_signal(a, SIGKILL);
	assert_int_equal(actor_wait(a, ACTOR_PATIENCE, &status), 0);
}

static void
test_after_a_kill_the_next_start_succeeds_at_once(void **state)
{
	struct theatre *t = *state;
	struct actor *old = first_at_http(t, 0, "old");
	char listen[64];
	int port = theatre_port(old, "http");

	snprintf(listen, sizeof(listen), "http tcp://127.0.0.1:%d", port);
	kill_and_reap(old);
	int64_t began = now_ms();
	struct actor *new = theatre_starts(t, 1, "new");
	theatre_listens(new, listen);
	theatre_serves(new, "SERVE first");
	assert_true(client_served_by(port, "new"));
	assert_in_range(now_ms() - began, 0, AT_ONCE_MS);
}

struct worker {
	pid_t pid;
	int pidfd;
};

/* What was its master's is ours when that is dead, so that it can be waited for. */
static void
fork_workers(struct actor *a, const char *manner, struct worker workers[WORKERS])
{
	char *rest = NULL;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	assert_int_equal(actor_do(a, "workers %d %s", WORKERS, manner), WORKERS);
	rest = a->answer;
	strtol(rest, &rest, 10);
	for (int i = 0; i < WORKERS; i++) {
		workers[i].pid = (pid_t)strtol(rest, &rest, 10);
		workers[i].pidfd = (int)syscall(SYS_pidfd_open, workers[i].pid, 0);
		assert_true(workers[i].pidfd >= 0);
	}
}

static bool
lives(const struct worker *w)
{
	struct pollfd p = { .fd = w->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

static void
end_workers(struct worker workers[WORKERS])
{
	for (int i = 0; i < WORKERS; i++) {
		assert_true(lives(&workers[i]));
		kill(workers[i].pid, SIGKILL);
		assert_int_equal(waitpid(workers[i].pid, NULL, 0), workers[i].pid);
		close(workers[i].pidfd);
	}
}

/* They have the listener's port, so the next one serves at another. */
static void
test_workers_that_were_careful_are_no_obstacle(void **state)
{
	struct theatre *t = *state;
	struct actor *master = first_at_http(t, 0, "master");
	struct worker workers[WORKERS];

	fork_workers(master, "careful", workers);
	kill_and_reap(master);
	int64_t began = now_ms();
	struct actor *new = first_at_http(t, 1, "new");
	assert_in_range(now_ms() - began, 0, AT_ONCE_MS);
	assert_true(client_served_by(theatre_port(new, "http"), "new"));
	end_workers(workers);
}

static void
test_workers_that_were_careless_are_told_of(void **state)
{
	struct theatre *t = *state;
	struct actor *master = first_at_http(t, 0, "master");
	struct worker workers[WORKERS];

	fork_workers(master, "careless", workers);
	kill_and_reap(master);
	int64_t began = now_ms();
	struct actor *new = made_by(t, 1, "new", SELF);
	assert_int_equal(actor_do(new, "deadline %d 500", DEADLINE_START), 0);
	assert_int_equal(actor_do(new, "start"), -ETIMEDOUT);
	assert_in_range(now_ms() - began, 500, 500 + AT_ONCE_MS);
	assert_says(new, "its holder has not answered");
	assert_says(new, "a forked child that did not call molt_after_fork() keeps it");
	end_workers(workers);
	actor_end(new);
	began = now_ms();
	new = first_at_http(t, 1, "new");
	assert_in_range(now_ms() - began, 0, AT_ONCE_MS);
	assert_true(client_served_by(theatre_port(new, "http"), "new"));
}

/* --- At long paths ---------------------------------------------------------------------------- */

enum { LONG = 200 };

/* The name of the file is long. */
static void
lengthen_name(struct theatre *t)
{
	size_t length = strlen(t->socket);

	assert_true(length < LONG);
	memset(t->socket + length, 'x', LONG - length);
	t->socket[LONG] = '\0';
}

/* The name of its directory is. What is made there goes with t->dir. */
static void
lengthen_directory(struct theatre *t)
{
	size_t length = strlen(t->dir) + 1;

	snprintf(t->socket, sizeof(t->socket), "%s/", t->dir);
	memset(t->socket + length, 'd', LONG - 2 - length);
	t->socket[LONG - 2] = '\0';
	assert_int_equal(mkdir(t->socket, 0700), 0);
	strcpy(t->socket + LONG - 2, "/s");
}

static void
through_three_generations(struct theatre *t)
{
	assert_int_equal(strlen(t->socket), LONG);
	struct actor *a = first_at_http(t, 0, "first");
	int port = theatre_port(a, "http");
	a = theatre_hands_over(t, a, 1, "second", "http tcp://127.0.0.1:0");
	assert_true(client_served_by(port, "second"));
	a = theatre_hands_over(t, a, 2, "third", "http tcp://127.0.0.1:0");
	assert_true(client_served_by(port, "third"));
	kill_and_reap(a);
	a = first_at_http(t, 3, "fourth");
	assert_int_equal(actor_do(a, "drain"), 0);
	assert_true(actor_ends_well(a));
	assert_int_equal(access(t->socket, F_OK), -1);
}

static void
test_a_name_of_a_path_of_200_characters(void **state)
{
	lengthen_name(*state);
	through_three_generations(*state);
}

static void
test_a_directory_of_a_path_of_200_characters(void **state)
{
	lengthen_directory(*state);
	through_three_generations(*state);
}

static void
test_root_to_nobody_at_a_path_of_200_characters(void **state)
{
	needs_root();
	lengthen_name(*state);
	through_generations_of_nobody(*state);
}

#define THEATRE_TEST(test) cmocka_unit_test_setup_teardown(test, theatre_set_up, theatre_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		THEATRE_TEST(test_of_two_at_the_same_instant_one_wins),
		THEATRE_TEST(test_a_lock_file_of_another_uid_says_whose_to_be),
		THEATRE_TEST(test_a_successor_of_another_uid_is_refused),
		THEATRE_TEST(test_a_predecessor_of_another_uid_is_refused),
		THEATRE_TEST(test_root_to_nobody_and_on),
		THEATRE_TEST(test_after_a_kill_the_next_start_succeeds_at_once),
		THEATRE_TEST(test_workers_that_were_careful_are_no_obstacle),
		THEATRE_TEST(test_workers_that_were_careless_are_told_of),
		THEATRE_TEST(test_a_name_of_a_path_of_200_characters),
		THEATRE_TEST(test_a_directory_of_a_path_of_200_characters),
		THEATRE_TEST(test_root_to_nobody_at_a_path_of_200_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
