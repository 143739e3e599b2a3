/* SPDX-License-Identifier: MIT */
/* Generations that follow each other while older ones drain, and what comes back from them. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <molt/molt.h>
#include <cmocka.h>

#include "client.h"
#include "theatre.h"

#define ANY "http tcp://127.0.0.1:0"

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct actor *
starts(struct theatre *t, int which, const char *label, const char *how)
{
	struct actor *a = theatre_starts(t, which, label);

	assert_int_equal(actor_do(a, "deadline 9 20"), 0); /* tick */
	theatre_listens(a, ANY);
	theatre_serves(a, how);
	return a;
}

static int
held_by(int port, const char *label)
{
	int fd = client_tcp(port);

	assert_true(fd >= 0);
	assert_true(client_answered(fd, label, "hello"));
	return fd;
}

static void
kill_and_reap(struct actor *a)
{
	int status;

	actor_signal(a, SIGKILL);
	assert_int_equal(actor_wait(a, ACTOR_PATIENCE, &status), 0);
}

/* --- What the owner's status shows ------------------------------------------------------------ */

/* One process of "draining", as the status has it. */
static bool
shows(const char *status, const struct actor *a, int generation, int remaining)
{
	char words[200];

	snprintf(words, sizeof(words),
		 "{\"generation\":%d,\"label\":\"%s\",\"pid\":%d,\"remaining\":%d,\"state\":",
		 generation, a->label, (int)a->pid, remaining);
	return strstr(status, words) != NULL;
}

static int
count(const char *status, const char *words)
{
	int n = 0;

	for (const char *at = status; (at = strstr(at, words)) != NULL; at++)
		n++;
	return n;
}

struct expected {
	int generation; /* 0: the end */
	int remaining;
};

/* Until it shows just these: which actor is of which generation is the same in all tests. */
static void
status_comes_to_show(struct theatre *t, const struct expected *expected)
{
	static char status[65536];
	struct molt_watch *w = molt_watch_new(t->socket);
	int64_t end = now() + 10000;
	bool all = false;

	assert_non_null(w);
	while (!all && molt_watch_next(w, (int)(end - now()), status, sizeof(status)) > 0) {
		int n = 0;
		all = true;
		for (const struct expected *e = expected; e->generation != 0; e++, n++)
			all = all && shows(status, &t->actors[e->generation - 1], e->generation,
					   e->remaining);
		all = all && count(status, "\"remaining\":") == n + 1;
	}
	molt_watch_free(w);
	if (!all)
		fail_msg("the last status was %s", status);
}

static void
three_generations_drain_at_once(void **state)
{
	struct theatre *t = *state;
	static const char *const labels[] = { "one", "two", "three" };
	int clients[4];

	int port = theatre_port(starts(t, 0, "one", "SERVE first"), "http");
	clients[0] = held_by(port, "one");
	starts(t, 1, "two", "SERVE committed");
	clients[1] = held_by(port, "two");
	clients[2] = held_by(port, "two");
	starts(t, 2, "three", "SERVE committed");
	clients[3] = held_by(port, "three");
	struct actor *four = starts(t, 3, "four", "SERVE committed");
	assert_int_equal(actor_do(four, "generation"), 4);
	status_comes_to_show(t, (const struct expected[]){ { 1, 1 }, { 2, 2 }, { 3, 1 }, { 0 } });
	assert_true(client_served_by(port, "four"));
	for (int i = 0; i < 4; i++)
		assert_true(client_answered(clients[i], labels[i < 2 ? i : i - 1], "still"));
	/* The one in the middle first. */
	close(clients[1]);
	status_comes_to_show(t, (const struct expected[]){ { 1, 1 }, { 2, 1 }, { 3, 1 }, { 0 } });
	close(clients[2]);
	assert_non_null(actor_await(&t->actors[1], "LEAVE done"));
	assert_true(actor_ends_well(&t->actors[1]));
	assert_true(client_answered(clients[0], "one", "and still"));
	close(clients[0]);
	close(clients[3]);
	for (int i = 0; i < 3; i += 2) {
		assert_non_null(actor_await(&t->actors[i], "LEAVE done"));
		assert_true(actor_ends_well(&t->actors[i]));
	}
	status_comes_to_show(t, (const struct expected[]){ { 0 } });
	assert_true(client_served_by(port, "four"));
}

/* --- When the successor dies ------------------------------------------------------------------ */

static void
one_that_drains_takes_back_and_hands_over_again(void **state)
{
	struct theatre *t = *state;
	struct actor *old = starts(t, 0, "old", "SERVE first");
	int port = theatre_port(old, "http");
	int client = held_by(port, "old");

	struct actor *new = starts(t, 1, "new", "SERVE committed");
	assert_non_null(actor_await(old, "DRAIN"));
	assert_int_equal(actor_do(old, "retired"), 1);
	kill_and_reap(new);
	assert_non_null(actor_expect(old, "RESUME changed 0 # "));
	assert_true(client_served_by(port, "old"));
	assert_true(client_answered(client, "old", "still"));
	assert_int_equal(actor_do(old, "is_owner"), 1);
	assert_int_equal(actor_do(old, "retired"), 0);
	struct actor *third = starts(t, 2, "third", "SERVE committed");
	assert_int_equal(actor_do(third, "generation"), 3);
	assert_true(client_served_by(port, "third"));
	close(client);
	assert_non_null(actor_await(old, "LEAVE done"));
	assert_true(actor_ends_well(old));
}

static void
an_idle_one_takes_back_in_its_probation(void **state)
{
	struct theatre *t = *state;
	struct actor *old = starts(t, 0, "old", "SERVE first");
	int port = theatre_port(old, "http");

	assert_int_equal(actor_do(old, "deadline 8 60000"), 0);
	struct actor *new = starts(t, 1, "new", "SERVE committed");
	assert_non_null(actor_await(old, "DRAIN"));
	kill_and_reap(new);
	assert_non_null(actor_expect(old, "RESUME changed 0 # "));
	assert_true(client_served_by(port, "old"));
}

/* What was not claimed is closed when the successor dies: it has to be listened to once more. */
static void
what_was_given_up_is_named_at_resume(void **state)
{
	struct theatre *t = *state;
	struct actor *old = theatre_starts(t, 0, "old");

	theatre_listens(old, ANY);
	theatre_listens(old, "extra tcp://127.0.0.1:0");
	theatre_serves(old, "SERVE first");
	int port = theatre_port(old, "extra");
	int client = held_by(theatre_port(old, "http"), "old");
	struct actor *new = starts(t, 1, "new", "SERVE committed");
	assert_non_null(actor_await(old, "RETIRE unclaimed"));
	assert_non_null(actor_expect(old, "DRAIN"));
	assert_true(client_refused(port));
	kill_and_reap(new);
	assert_non_null(actor_expect(old, "RESUME changed 0 extra=0 # "));
	assert_true(actor_do(old, "listen extra tcp://127.0.0.1:%d", port) >= 0);
	assert_true(client_served_by(port, "old"));
	close(client);
}

/* Only the direct predecessor: the older one goes on to drain. */
static void
in_a_chain_the_nearest_takes_back(void **state)
{
	struct theatre *t = *state;
	struct actor *one = starts(t, 0, "one", "SERVE first");
	int port = theatre_port(one, "http");
	int clients[2];

	clients[0] = held_by(port, "one");
	/* Else it would see, at a tick, that a third has owned, and renounce. */
	assert_int_equal(actor_do(one, "deadline 9 60000"), 0);
	struct actor *two = starts(t, 1, "two", "SERVE committed");
	clients[1] = held_by(port, "two");
	struct actor *three = starts(t, 2, "three", "SERVE committed");
	assert_non_null(actor_await(one, "DRAIN"));
	assert_non_null(actor_await(two, "DRAIN"));
	kill_and_reap(three);
	assert_non_null(actor_expect(two, "RESUME changed 0 # "));
	assert_true(client_served_by(port, "two"));
	assert_true(client_answered(clients[0], "one", "still"));
	status_comes_to_show(t, (const struct expected[]){ { 1, 1 }, { 0 } });
	/* And when the nearest is gone, the next one. */
	kill_and_reap(two);
	close(clients[1]);
	assert_non_null(actor_await(one, "RESUME changed 0 # "));
	assert_true(client_served_by(port, "one"));
	assert_true(client_answered(clients[0], "one", "and still"));
	close(clients[0]);
}

/* --- Who cannot take back --------------------------------------------------------------------- */

/* It renounces when its successor has confirmed, and then its death gives nothing back. */
static void
an_exclusive_one_renounces_at_the_confirm(void **state)
{
	struct theatre *t = *state;
	struct actor *old = theatre_starts(t, 0, "old");

	assert_int_equal(actor_do(old, "exclusive 1"), 0);
	theatre_listens(old, ANY);
	theatre_serves(old, "SERVE first");
	int port = theatre_port(old, "http");
	int client = held_by(port, "old");
	struct actor *new = starts(t, 1, "new", "SERVE committed");
	assert_non_null(actor_expect(old, "PAUSE"));
	assert_non_null(actor_await(old, "RETIRE "));
	assert_int_equal(actor_do(old, "count http"), 0);
	assert_true(client_answered(client, "old", "still"));
	kill_and_reap(new);
	assert_true(client_refused(port));
	/* Nobody serves, and nobody is to be waited for. */
	struct actor *next = starts(t, 2, "next", "SERVE first");
	assert_true(client_served_by(theatre_port(next, "http"), "next"));
	assert_int_equal(actor_do(old, "is_owner"), 0);
	close(client);
	assert_non_null(actor_expect(old, "LEAVE done"));
	assert_true(actor_ends_well(old));
}

/* Before its successor has owned, nothing was lost by what it said. */
static void
an_exclusive_one_resumes_untouched(void **state)
{
	struct theatre *t = *state;
	struct actor *old = theatre_starts(t, 0, "old");

	assert_int_equal(actor_do(old, "exclusive 1"), 0);
	theatre_listens(old, ANY);
	theatre_serves(old, "SERVE first");
	struct actor *new = theatre_starts(t, 1, "new");
	theatre_listens(new, ANY);
	assert_int_equal(actor_do(new, "hold_load"), 0);
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(actor_expect(new, "LOAD"));
	kill_and_reap(new);
	assert_non_null(actor_expect(old, "PAUSE"));
	assert_non_null(actor_expect(old, "RESUME untouched"));
	assert_true(client_served_by(theatre_port(old, "http"), "old"));
}

#define test(function) cmocka_unit_test_setup_teardown(function, theatre_set_up, theatre_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(three_generations_drain_at_once),
		test(one_that_drains_takes_back_and_hands_over_again),
		test(an_idle_one_takes_back_in_its_probation),
		test(what_was_given_up_is_named_at_resume),
		test(in_a_chain_the_nearest_takes_back),
		test(an_exclusive_one_renounces_at_the_confirm),
		test(an_exclusive_one_resumes_untouched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
