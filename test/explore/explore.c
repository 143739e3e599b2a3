/* SPDX-License-Identifier: MIT */
/* time limit: 300 s */
/* not under thread: it has one thread */
/* not under valgrind: a hundred million steps */
/*
 * Explores every state that a few processes can reach which run the shipped handoff.c, within
 * several bounds on what goes wrong, and checks each. No state is taken for another: they are
 * compared whole.
 *
 *     explore                       three processes
 *     explore --full                four: three generations and a fresh starter
 *     explore --mutant NAME CHECK   linked with a mutant: passes if CHECK catches it; the way there
 *                                   is printed too if one more argument says "trace"
 */
#include "search.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
enum { SLOW = 1 };
#else
enum { SLOW = 0 };
#endif

/*                                   crash freeze loss failure stop cancel exclusive idle */
static const struct bounds small[] = {
	{ "two, everything once", 2, { 1, 1, 1, 1, 1, 1, 1, 1 } },
};

static const struct bounds quick[] = {
	{ "two, everything", 2, { 2, 1, 1, 1, 2, 1, 1, 1 } },
	{ "three, crashes", 3, { 2, 1, 1, 0, 0, 0, 0, 0 } },
	{ "three, stops", 3, { 1, 1, 0, 0, 1, 0, 0, 0 } },
	{ "three, failures", 3, { 1, 1, 0, 1, 0, 0, 0, 0 } },
	{ "three, cancelled", 3, { 1, 1, 0, 0, 0, 1, 0, 0 } },
	{ "three, exclusive", 3, { 1, 1, 0, 0, 0, 0, 1, 0 } },
	{ "three, idle", 3, { 1, 0, 1, 0, 0, 0, 0, 1 } },
};

/* The longest first: two run at a time, in 11 GiB. */
static const struct bounds full[] = {
	{ "four, crashes", 4, { 2, 1, 1, 0, 0, 0, 0, 0 } },
	{ "four, stops", 4, { 1, 0, 0, 0, 1, 0, 0, 0 } },
	{ "four, failures", 4, { 1, 0, 0, 1, 0, 0, 0, 0 } },
	{ "four, exclusive", 4, { 1, 0, 0, 0, 0, 0, 1, 0 } },
	{ "four, cancelled", 4, { 1, 0, 0, 0, 0, 1, 0, 0 } },
};

/* What a run came to, in memory that children share with their parent. */
struct result {
	check_set broken;
	unsigned long long states;
	unsigned long long edges;
};

enum { BOUNDS_MAX = 16 };

struct list {
	const struct bounds *bounds;
	size_t count;
	int jobs; /* at once */
};

#define LIST_OF(array) array, sizeof(array) / sizeof((array)[0])

static struct list chosen = { LIST_OF(quick), 1 };
static struct result *results;
static enum check catcher;
static bool want_trace = true;

static void
print_bounds(const struct bounds *b)
{
	static const char *const what[BUDGETS] = { "crashes", "freezes", "lost hints", "failures",
						   "stops",   "cancels", "exclusive",  "idle" };

	printf("explore: %s: %d processes", b->name, b->processes);
	for (int i = 0; i < BUDGETS; i++) {
		if (b->budgets[i] > 0)
			printf(", %s %d", what[i], b->budgets[i]);
	}
	printf("\n");
	fflush(stdout);
}

static void
print_result(const struct search *s)
{
	printf("explore:     %u states, %llu edges, depth %u, %.1f s, %llu MiB\n", s->space.count,
	       (unsigned long long)s->space.edge_count, s->depth, s->seconds,
	       (unsigned long long)(space_size(&s->space) >> 20));
	for (int check = 0; check < CHECKS; check++) {
		if (!s->violations[check].found)
			continue;
		printf("explore: not so: %s (%s), after %u steps\n",
		       check_meaning((enum check)check), check_name((enum check)check),
		       search_trace_length(s, (enum check)check));
		if (want_trace)
			search_print_trace(s, (enum check)check, stdout);
	}
	fflush(stdout);
}

static void
explore_within(const struct bounds *bounds, struct result *ret_result)
{
	struct search s;

	search_run(&s, bounds, ~(check_set)0, false);
	print_bounds(bounds);
	print_result(&s);
	*ret_result = (struct result){ s.broken, s.space.count, s.space.edge_count };
	search_free(&s);
}

/*
 * In a child of its own, so that several can run at once. What it prints comes at its end, whole.
 */
static void
explore_in_child(size_t i)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("explore: fork");
		abort();
	}
	if (pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	explore_within(&chosen.bounds[i], &results[i]);
	exit(0);
}

static int
wait_for_child(void)
{
	int status = 0;

	return wait(&status) > 0 && status == 0 ? 0 : -1;
}

static int
explore_in_children(void)
{
	int failed = 0;

	for (size_t i = 0; i < chosen.count; i++) {
		if (i >= (size_t)chosen.jobs)
			failed |= wait_for_child();
		explore_in_child(i);
	}
	for (int i = 0; i < chosen.jobs; i++)
		failed |= wait_for_child();
	return failed;
}

static void
print_sum(void)
{
	struct result sum = { 0, 0, 0 };

	for (size_t i = 0; i < chosen.count; i++) {
		sum.states += results[i].states;
		sum.edges += results[i].edges;
	}
	printf("explore: in all %llu states, %llu edges\n", sum.states, sum.edges);
	fflush(stdout);
}

static int
explore_all(void **state)
{
	int failed = 0;

	(void)state;
	results = mmap(NULL, BOUNDS_MAX * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		return -1;
	if (chosen.jobs > 1)
		failed = explore_in_children();
	for (size_t i = 0; chosen.jobs == 1 && i < chosen.count; i++)
		explore_within(&chosen.bounds[i], &results[i]);
	print_sum();
	return failed;
}

static void
check_holds(void **state)
{
	const enum check *check = *state;

	for (size_t i = 0; i < chosen.count; i++)
		assert_int_equal(results[i].broken & CHECK_BIT(*check), 0);
}

static void
states_have_names(void **state)
{
	(void)state;
	for (int i = 0; i < HANDOFF_STATES; i++)
		assert_non_null(molt__handoff_state_name((enum handoff_state)i));
}

static int
run_checks(void)
{
	static enum check checks[CHECKS];
	struct CMUnitTest tests[CHECKS + 1] = { [CHECKS] = cmocka_unit_test(states_have_names) };

	for (int i = 0; i < CHECKS; i++) {
		checks[i] = (enum check)i;
		tests[i] = (struct CMUnitTest){ check_name(checks[i]), check_holds, NULL, NULL,
						&checks[i] };
	}
	return cmocka_run_group_tests_name("explore", tests, explore_all, NULL);
}

/* --- Mutants ---------------------------------------------------------------------------------- */

static bool
is_caught_within(const struct bounds *bounds)
{
	struct search s;
	bool caught;

	print_bounds(bounds);
	search_run(&s, bounds, CHECK_BIT(catcher), true);
	caught = s.violations[catcher].found;
	print_result(&s);
	search_free(&s);
	return caught;
}

/* The smallest bounds first: most are caught there. */
static void
mutant_is_caught(void **state)
{
	bool caught = is_caught_within(&small[0]);

	(void)state;
	for (size_t i = 0; !caught && i < sizeof(quick) / sizeof(quick[0]); i++)
		caught = is_caught_within(&quick[i]);
	assert_true(caught);
}

static int
run_mutant(const char *name, const char *check)
{
	char title[256];
	struct CMUnitTest test = { title, mutant_is_caught, NULL, NULL, NULL };
	const struct CMUnitTest tests[] = { test };

	catcher = check_by_name(check);
	if (catcher == CHECKS) {
		fprintf(stderr, "explore: there is no check called %s\n", check);
		return 2;
	}
	snprintf(title, sizeof(title), "%s is caught by %s", name, check);
	return cmocka_run_group_tests_name("mutant", tests, NULL, NULL);
}

int
main(int argc, char *argv[])
{
	if (argc >= 4 && strcmp(argv[1], "--mutant") == 0) {
		want_trace = argc == 5 && strcmp(argv[4], "trace") == 0;
		return run_mutant(argv[2], argv[3]);
	}
	if (argc == 2 && strcmp(argv[1], "--full") == 0)
		chosen = (struct list){ LIST_OF(full), 2 };
	else if (argc != 1)
		return 2;
	if (SLOW)
		chosen = (struct list){ LIST_OF(small), 1 };
	return run_checks();
}
