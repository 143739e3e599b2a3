/* SPDX-License-Identifier: MIT */
/* What is offered late, withdrawn, or closed without a word. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <molt/molt.h>
#include <cmocka.h>

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

/* Offered when the successor had got its inventory already, it comes with the commit. */
static void
a_late_offer_is_there_at_load(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	assert_int_equal(actor_do(old, "memfd early what was known"), 0);
	struct actor *new = warming(t, 1, "new");
	assert_int_equal(actor_do(new, "hold_load"), 0);
	assert_int_equal(actor_do(old, "memfd late what came to pass"), 0);
	assert_int_equal(actor_do(new, "read early"), strlen("what was known"));
	assert_int_equal(actor_do(new, "read late"), -ENOENT);
	assert_int_equal(actor_do(new, "ready"), 0);
	const char *load = actor_expect(new, "LOAD ");
	assert_non_null(load);
	assert_non_null(strstr(load, "with 1 late descriptors"));
	assert_int_equal(actor_do(new, "read late"), strlen("what came to pass"));
	assert_string_equal(actor_text(new), "what came to pass");
	assert_int_equal(actor_do(new, "loaded"), 0);
	assert_non_null(actor_expect(new, "SERVE committed"));
	theatre_leaves(old);
}

static void
what_is_withdrawn_is_not_handed_over(void **state)
{
	struct theatre *t = *state;
	struct actor *old = serving(t, 0, "old");

	assert_int_equal(actor_do(old, "memfd one first"), 0);
	assert_int_equal(actor_do(old, "memfd two first"), 0);
	assert_int_equal(actor_do(old, "withdraw one"), 0);
	assert_int_equal(actor_do(old, "withdraw one"), -ENOENT);
	assert_int_equal(actor_do(old, "withdraw two"), 0);
	assert_int_equal(actor_do(old, "memfd two second"), 0);
	struct actor *new = warming(t, 1, "new");
	assert_int_equal(actor_do(new, "read one"), -ENOENT);
	assert_int_equal(actor_do(new, "read two"), strlen("second"));
	assert_string_equal(actor_text(new), "second");
}

/* The actor starts while this process does its part. */
static void
start_beside(struct molt *m, struct theatre *t, struct actor *a)
{
	assert_int_equal(actor_start(a, "new"), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "connect"), 0);
	for (int i = 0; i < 1000 && actor_event(a, 0) == NULL; i++)
		molt_wait(m, 10);
	assert_int_equal(strncmp(a->event, "STARTED ", 8), 0);
}

struct seen {
	int count;
	char last[300];
};

static void
see_withdrawn(void *arg, int severity, const char *key, const char *line)
{
	struct seen *seen = arg;

	(void)severity;
	if (strcmp(key, "withdrawn") != 0)
		return;
	seen->count++;
	snprintf(seen->last, sizeof(seen->last), "%s", line);
}

/* One is closed, and one's number is another file by now; neither goes out, and the third does. */
static void
what_was_closed_behind_its_back_is_left_out(void **state)
{
	struct theatre *t = *state;
	struct molt *m = molt_new(t->socket);
	struct seen seen = { 0 };
	int fds[3];

	assert_int_equal(molt_set_log(m, see_withdrawn, &seen), 0);
	handle_serve(m);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "closed", "other", "kept" };
		fds[i] = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
		assert_int_equal(molt_offer(m, names[i], fds[i]), 0);
	}
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup3(null, fds[1], O_CLOEXEC), fds[1]);
	close(null);
	close(fds[0]);
	start_beside(m, t, &t->actors[0]);
	assert_int_equal(actor_do(&t->actors[0], "inherited"), 1);
	assert_string_equal(actor_text(&t->actors[0]), "kept");
	assert_int_equal(seen.count, 2);
	assert_non_null(strstr(seen.last, "offered as other"));
	molt_free(m);
	assert_int_equal(fcntl(fds[1], F_GETFD), FD_CLOEXEC); /* its number is not the library's */
	close(fds[1]);
	close(fds[2]);
}

#define test(function) cmocka_unit_test_setup_teardown(function, theatre_set_up, theatre_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_late_offer_is_there_at_load),
		test(what_is_withdrawn_is_not_handed_over),
		test(what_was_closed_behind_its_back_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
