/* SPDX-License-Identifier: MIT */
/* What a handle is told, seen from outside: who is refused, and what each deadline ends. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "theatre.h"

enum { HELLO = 1, READY = 3, COMMIT, LOAD, CONFIRM, DRAIN, PROBATION, TICK };

#define ANY "http tcp://127.0.0.1:0"

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
said(const struct actor *a, const char *text, const char *words)
{
	if (text == NULL || strstr(text, words) == NULL)
		fail_msg("%s said \"%s\", and not \"%s\"", a->label, text, words);
}

static void
deadline(struct actor *a, int which, int milliseconds)
{
	assert_int_equal(actor_do(a, "deadline %d %d", which, milliseconds), 0);
}

static struct actor *
serving(struct theatre *t, int which, const char *label)
{
	struct actor *a = theatre_starts(t, which, label);

	theatre_listens(a, ANY);
	theatre_serves(a, "SERVE first");
	return a;
}

/* It has started, and listens. */
static struct actor *
warming(struct theatre *t, int which, const char *label)
{
	struct actor *a = theatre_starts(t, which, label);

	theatre_listens(a, ANY);
	return a;
}

/* --- Refusals --------------------------------------------------------------------------------- */

static void
refused(struct theatre *t, int which, const char *setter, const char *words)
{
	struct actor *a = &t->actors[which];

	assert_int_equal(actor_start(a, "refused"), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "%s", setter), 0);
	assert_int_equal(actor_do(a, "start"), -ECONNREFUSED);
	said(a, actor_text(a), words);
	actor_end(a);
}

static struct actor *
accepted(struct theatre *t, int which, const char *setter)
{
	struct actor *a = &t->actors[which];

	assert_int_equal(actor_start(a, "accepted"), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "%s", setter), 0);
	assert_int_equal(actor_do(a, "start"), 0);
	return a;
}

/* Whoever comes is told why; who has come before goes on. */
static void
who_refuses_goes_on_with_a_handoff(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	struct actor *new = warming(t, 1, "new");

	assert_int_equal(actor_do(old, "refuse a migration is running"), 0);
	refused(t, 2, "room 9", "a migration is running");
	refused(t, 2, "room 9", "a migration is running");
	assert_int_equal(actor_do(old, "log refused"), 2);
	theatre_serves(new, "SERVE committed");
	theatre_leaves(old);
	accepted(t, 2, "room 9");
}

/* The number goes with the service: the next owner's is what counts. */
static void
the_compatibility_number_is_each_generations_own(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	struct actor *new = accepted(t, 1, "compatibility 7");

	theatre_listens(new, ANY);
	theatre_serves(new, "SERVE committed");
	theatre_leaves(old);
	refused(t, 2, "compatibility 6", "compatibility number 6 is lower than the 7 that serves");
	actor_end(accepted(t, 2, "downgrade"));
	actor_end(accepted(t, 2, "compatibility 7"));
	actor_end(accepted(t, 2, "compatibility 8"));
}

/* A listener and two files; the lock and the socket file travel with them. */
static void
room_is_counted(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	assert_int_equal(actor_do(old, "memfd one 1"), 0);
	assert_int_equal(actor_do(old, "memfd two 2"), 0);
	refused(t, 1, "room 0", "5 descriptors are to be handed over");
	refused(t, 1, "room 4",
		"5 descriptors are to be handed over, and the successor has room for 4");
	assert_int_equal(actor_do(accepted(t, 1, "room 5"), "inherited"), 3);
	assert_true(client_served_by(theatre_port(old, "http"), "old"));
}

/* --- Deadlines -------------------------------------------------------------------------------- */

static int
say_nothing(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = 10 };

	assert_true(strlen(path) < sizeof(a.sun_path));
	strcpy(a.sun_path, path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void
hello_ends_a_connection_that_says_nothing(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	char byte;

	deadline(old, HELLO, 300);
	int64_t began = now();
	int fd = say_nothing(t->socket);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_in_range(now() - began, 290, 5000);
	close(fd);
}

/* Its predecessor stands still with the commit to write. The length is the predecessor's. */
static void
commit_ends_a_successors_wait(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	int port = theatre_port(old, "http");

	deadline(old, COMMIT, 300);
	struct actor *new = warming(t, 1, "new");
	actor_freeze(old);
	int64_t began = now();
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(
		actor_expect(new, "FAILED timeout -110 # the commit was not made within 300 ms"));
	assert_in_range(now() - began, 290, 4500);
	actor_signal(old, SIGCONT);
	assert_true(client_served_by(port, "old"));
}

/* Who loads for too long fails by itself, and its predecessor serves again. */
static void
load_ends_a_start(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	int port = theatre_port(old, "http");

	deadline(old, LOAD, 300);
	struct actor *new = warming(t, 1, "new");
	assert_int_equal(actor_do(new, "hold_load"), 0);
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(actor_expect(new, "LOAD "));
	int64_t began = now();
	assert_non_null(
		actor_expect(new, "FAILED timeout -110 # late state was not loaded within 300 ms"));
	assert_in_range(now() - began, 280, 4500);
	assert_int_equal(actor_do(new, "loaded"), -EPROTO);
	assert_non_null(actor_expect(old, "PAUSE"));
	assert_non_null(actor_expect(old, "RESUME untouched"));
	assert_true(client_served_by(port, "old"));
}

/* A successor that stands still with the commit in its hand is waited for no longer than this. */
static void
confirm_takes_the_service_back(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	int port = theatre_port(old, "http");

	deadline(old, CONFIRM, 300);
	struct actor *new = warming(t, 1, "new");
	assert_int_equal(actor_do(new, "hold_load"), 0);
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(actor_expect(new, "LOAD "));
	actor_freeze(new);
	int64_t began = now();
	assert_non_null(actor_expect(old, "PAUSE"));
	assert_non_null(actor_expect(old, "RESUME untouched"));
	assert_in_range(now() - began, 0, 4500);
	assert_true(client_served_by(port, "old"));
	actor_signal(new, SIGCONT);
	assert_non_null(actor_expect(new, "FAILED "));
	assert_true(client_served_by(port, "old"));
}

static void
drain_tells_to_cut_what_is_left(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");
	int client = client_tcp(theatre_port(old, "http"));
	char byte;

	assert_true(client_answered(client, "old", "hello"));
	deadline(old, DRAIN, 300);
	struct actor *new = warming(t, 1, "new");
	int64_t began = now();
	theatre_serves(new, "SERVE committed");
	assert_non_null(actor_expect(old, "PAUSE"));
	assert_non_null(actor_expect(old, "DRAIN"));
	assert_true(client_answered(client, "old", "still"));
	assert_non_null(
		actor_await(old, "LEAVE deadline 0 # the drain deadline of 0.3 s has passed"));
	assert_in_range(now() - began, 300, 5000);
	assert_true(actor_ends_well(old));
	assert_int_equal(recv(client, &byte, 1, 0), 0);
	close(client);
}

/* Idle from the start, it stays for just so long. */
static void
probation_keeps_an_idle_one(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	deadline(old, PROBATION, 400);
	struct actor *new = warming(t, 1, "new");
	int64_t began = now();
	theatre_serves(new, "SERVE committed");
	theatre_leaves(old);
	assert_in_range(now() - began, 400, 5000);
}

/* What a tick looks at is seen soon: the default's would take three seconds for three. */
static void
tick_is_how_soon_a_handoff_looks(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	deadline(old, TICK, 20);
	warming(t, 1, "new");
	int64_t began = now();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(unlink(t->socket), 0);
		while (access(t->socket, F_OK) < 0 && now() - began < 10000)
			actor_do(old, "state");
	}
	assert_in_range(now() - began, 0, 1900);
}

/* --- Progress --------------------------------------------------------------------------------- */

/* Three times as long as a deadline of 400 ms. Each answer takes its time: no need to hurry. */
static void
makes_progress(struct actor *a)
{
	for (int64_t end = now() + 1200; now() < end;)
		assert_int_equal(actor_do(a, "progress"), 0);
}

static void
progress_extends_commit_on_both_sides(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	deadline(old, COMMIT, 400);
	assert_int_equal(actor_do(old, "hold_commit"), 0);
	struct actor *new = warming(t, 1, "new");
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(actor_expect(old, "PAUSE"));
	makes_progress(old);
	assert_int_equal(actor_do(old, "commit"), 0);
	assert_non_null(actor_expect(new, "LOAD "));
	assert_non_null(actor_expect(new, "SERVE committed"));
}

static void
progress_extends_load_on_both_sides(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	deadline(old, LOAD, 400);
	deadline(old, CONFIRM, 400);
	struct actor *new = warming(t, 1, "new");
	assert_int_equal(actor_do(new, "hold_load"), 0);
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(actor_expect(new, "LOAD "));
	makes_progress(new);
	assert_int_equal(actor_do(new, "loaded"), 0);
	assert_non_null(actor_expect(new, "SERVE committed"));
	theatre_leaves(old);
}

/* Ten times 100 ms, and it has failed, whatever it says. */
static void
progress_ends_at_ten_times(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	deadline(old, COMMIT, 100);
	assert_int_equal(actor_do(old, "hold_commit"), 0);
	struct actor *new = warming(t, 1, "new");
	int64_t began = now();
	assert_int_equal(actor_do(new, "ready"), 0);
	assert_non_null(actor_expect(old, "PAUSE"));
	while (actor_do(old, "state") == 0 && strcmp(actor_text(old), "paused") == 0 &&
	       now() - began < 10000)
		actor_do(old, "progress");
	assert_in_range(now() - began, 900, 5000);
	assert_non_null(actor_expect(new, "FAILED "));
	assert_non_null(actor_expect(old, "RESUME untouched"));
}

#define test(function) cmocka_unit_test_setup_teardown(function, theatre_set_up, theatre_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(who_refuses_goes_on_with_a_handoff),
		test(the_compatibility_number_is_each_generations_own),
		test(room_is_counted),
		test(hello_ends_a_connection_that_says_nothing),
		test(commit_ends_a_successors_wait),
		test(load_ends_a_start),
		test(confirm_takes_the_service_back),
		test(drain_tells_to_cut_what_is_left),
		test(probation_keeps_an_idle_one),
		test(tick_is_how_soon_a_handoff_looks),
		test(progress_extends_commit_on_both_sides),
		test(progress_extends_load_on_both_sides),
		test(progress_ends_at_ten_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
