/* SPDX-License-Identifier: MIT */
/*
 * Real processes, killed and frozen at the entry of each system call between the successor's first
 * look at the socket file and its service that touches the channel, a lock, the record, the socket
 * file or a listener; either side. Clients ask all the time; who served is judged from outside.
 */
/* time limit: 240 s */
#include "fault_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MS ((int64_t)1000000)

enum {
	POINTS_MIN = 20,
	WORKERS = 4,
	ATTEMPTS = 24, /* until a planned call occurs again, or a time is kept on a busy machine */
	SLACK_MS = 250,
	FREEZE_MS = FAULT_STAGE_MS + FAULT_TICK_MS + SLACK_MS + 200, /* longer than any may wait */
	PATIENCE_MS = 4000,
};

enum fault { KILL, FREEZE };

/* What became of one point; in memory that workers share. */
struct outcome {
	bool reached;
	bool late; /* the problem is only about time */
	int attempts;
	int delay_ms; /* until a new connection was answered */
	bool owner;   /* it was frozen while it had the owner lock */
	char problem[JUDGE_SENTENCE];
};

struct test {
	bool possible;
	char why[200];
	struct fault_plan plan;
	struct outcome *outcomes;
};

/* --- What is waited for ----------------------------------------------------------------------- */

static bool
third_is_done(const struct fault_scene *s)
{
	return (s->told[FAULT_THIRD] & (FAULT_TOLD_SERVE | FAULT_TOLD_FAILED)) != 0;
}

static bool
held_or_done(const struct fault_scene *s)
{
	return s->held >= 0 || fault_both_are_done(s);
}

static bool
third_answers(const struct fault_scene *s)
{
	return fault_clients_first_answer(&s->clients, 0, "third") >= 0;
}

static bool
never(const struct fault_scene *s)
{
	(void)s;
	return false;
}

/* --- One point -------------------------------------------------------------------------------- */

struct attempt {
	struct fault_scene *s;
	const struct fault_point *point;
	struct outcome *outcome;
	int64_t at_ns;     /* when it was killed or frozen */
	int64_t lost_from; /* connections asked from then on may not be lost */
};

static bool
is_the_point(struct fault_scene *s, enum fault_side side)
{
	const struct fault_point *point = s->arg;

	return side == point->side && fault_same_call(&s->tracees[side].at, &point->call);
}

static bool
problem(struct attempt *a, const char *sentence)
{
	snprintf(a->outcome->problem, sizeof(a->outcome->problem), "%s", sentence);
	return false;
}

static bool
judged(struct attempt *a, bool well)
{
	return well || problem(a, a->s->judge.sentence);
}

static bool
on_time(struct attempt *a, bool well)
{
	a->outcome->late = !well;
	return judged(a, well);
}

static int64_t
patience_in_state(const struct attempt *a)
{
	bool starting = (a->s->told[FAULT_NEW] & FAULT_TOLD_STARTED) == 0;

	return ((starting ? FAULT_START_MS : FAULT_STAGE_MS) + FAULT_TICK_MS + SLACK_MS) * MS;
}

static bool
answered_since_fault(const struct fault_scene *s)
{
	const struct attempt *a = s->arg;

	return fault_clients_first_answer(&s->clients, a->at_ns, NULL) >= 0 && fault_new_is_done(s);
}

/*
 * The victim's own connections end with it. Others are lost only if it was the last who had the
 * listener; then clients try until somebody has bound it anew.
 */
static int64_t
may_not_be_lost_from(const struct attempt *a, bool served, bool survivor_listens)
{
	int first;

	if (survivor_listens)
		return served ? a->at_ns : 0;
	first = fault_clients_first_answer(&a->s->clients, a->at_ns, NULL);
	return first >= 0 ? a->s->clients.connections.asks[first].asked_ns : a->at_ns;
}

static bool
kill_and_look(struct attempt *a)
{
	struct fault_scene *s = a->s;
	enum fault_side survivor = s->held == FAULT_OLD ? FAULT_NEW : FAULT_OLD;
	bool served = judge_in_service(s->stage, s->tracees[s->held].pid);
	bool survivor_listens = fault_holds_port(&s->tracees[survivor], s->port);
	int64_t within = patience_in_state(a);
	int first;

	fault_scene_kill(s);
	a->at_ns = fault_now_ns();
	s->arg = a;
	if (!fault_scene_until(s, answered_since_fault, PATIENCE_MS))
		return problem(a, "nobody answers after the kill");
	a->lost_from = may_not_be_lost_from(a, served, survivor_listens);
	first = fault_clients_first_answer(&s->clients, a->at_ns, NULL);
	a->outcome->delay_ms =
		(int)((s->clients.connections.asks[first].answered_ns - a->at_ns) / MS);
	if (a->outcome->delay_ms * MS <= within)
		return true;
	a->outcome->late = true;
	return problem(a, "the first answer after the kill is late");
}

/* The owner was frozen: what came meanwhile has waited for it. */
static bool
judge_queue(struct attempt *a, int64_t woken_ns)
{
	struct fault_scene *s = a->s;

	if (!judged(a, judge_connections(&s->judge, 0)))
		return false;
	return on_time(a, judge_delay(&s->judge, a->at_ns, woken_ns, woken_ns,
				      (FAULT_STAGE_MS + FAULT_TICK_MS + SLACK_MS) * MS));
}

/* Somebody else was frozen: what came meanwhile was delayed by one deadline at most. */
static bool
judge_service(struct attempt *a, int64_t woken_ns)
{
	return on_time(a, judge_delay(&a->s->judge, a->at_ns, woken_ns, 0,
				      (FAULT_STAGE_MS + FAULT_TICK_MS + SLACK_MS) * MS));
}

static bool
freeze_and_look(struct attempt *a)
{
	struct fault_scene *s = a->s;
	bool owner = fault_holds_owner(s->tracees[s->held].pid);
	int64_t woken;

	a->outcome->owner = owner;

	a->at_ns = fault_now_ns();
	fault_scene_until(s, never, FREEZE_MS);
	if (owner && fault_clients_first_answer(&s->clients, a->at_ns, NULL) >= 0)
		return problem(a, "somebody answered while the owner was frozen");
	woken = fault_now_ns();
	s->arg = a;
	fault_scene_wake(s);
	fault_scene_until(s, answered_since_fault, PATIENCE_MS);
	if (!fault_new_is_done(s))
		return problem(a, "the successor came to no end");
	if (!fault_scene_finish(s))
		return problem(a, "a connection is not answered after the freeze");
	return owner ? judge_queue(a, woken) : judge_service(a, woken);
}

static bool
next_upgrade_works(struct attempt *a)
{
	struct fault_scene *s = a->s;

	if (!fault_scene_start(s, FAULT_THIRD) || !fault_scene_until(s, third_is_done, PATIENCE_MS))
		return problem(a, "the next upgrade comes to no end");
	if ((s->told[FAULT_THIRD] & FAULT_TOLD_SERVE) == 0)
		return problem(a, s->failure[FAULT_THIRD]);
	if (!fault_scene_until(s, third_answers, PATIENCE_MS))
		return problem(a, "the next generation does not answer");
	return true;
}

static bool
all_is_well(struct attempt *a)
{
	struct fault_scene *s = a->s;

	if (!fault_scene_finish(s))
		return problem(a, "a connection is not answered in the end");
	return judged(a, judge_one_owner(&s->judge)) && judged(a, judge_datagrams(&s->judge)) &&
	       judged(a, judge_connections(&s->judge, a->lost_from));
}

static bool
reach(struct attempt *a)
{
	struct fault_scene *s = a->s;

	if (s == NULL || !fault_scene_trace(s, is_the_point, (void *)a->point) ||
	    !fault_scene_start(s, FAULT_NEW))
		return problem(a, "the scene cannot be set");
	fault_scene_until(s, held_or_done, PATIENCE_MS);
	a->outcome->reached = s->held >= 0;
	return a->outcome->reached;
}

static void
try_point(const struct fault_point *point, enum fault fault, struct outcome *outcome)
{
	struct attempt a = { .s = fault_scene_open(), .point = point, .outcome = outcome };

	outcome->reached = outcome->late = false;
	outcome->problem[0] = '\0';
	outcome->attempts++;
	if (reach(&a) && (fault == KILL ? kill_and_look(&a) : freeze_and_look(&a)) &&
	    next_upgrade_works(&a))
		all_is_well(&a);
	fault_scene_close(a.s);
}

/* A busy machine may be late once; a lost connection counts at once. */
static void
run_point(const struct fault_point *point, enum fault fault, struct outcome *outcome)
{
	do
		try_point(point, fault, outcome);
	while ((!outcome->reached || outcome->late) && outcome->attempts < ATTEMPTS);
}

/* --- All points ------------------------------------------------------------------------------- */

struct share {
	const struct fault_plan *plan;
	enum fault_side side;
	enum fault fault;
	struct outcome *outcomes;
};

static void
work(const struct share *share, int worker)
{
	for (int i = worker; i < share->plan->count; i += WORKERS)
		if (share->plan->points[i].side == share->side)
			run_point(&share->plan->points[i], share->fault, &share->outcomes[i]);
}

/* Most of the time is waiting, so several points wait at once. */
static void
share_work(const struct share *share)
{
	pid_t pids[WORKERS];

	fflush(NULL);
	for (int worker = 0; worker < WORKERS; worker++) {
		pids[worker] = fork();
		assert_int_not_equal(pids[worker], -1);
		if (pids[worker] == 0) {
			work(share, worker);
			_exit(0);
		}
	}
	for (int worker = 0; worker < WORKERS; worker++) {
		int status = -1;
		waitpid(pids[worker], &status, 0);
		assert_int_equal(status, 0);
	}
}

static const char *const fault_names[] = { "killed", "frozen" };

static int
report(const struct share *share)
{
	int points = 0, reached = 0, problems = 0, worst = 0, owner = 0;

	for (int i = 0; i < share->plan->count; i++) {
		const struct fault_point *p = &share->plan->points[i];
		const struct outcome *o = &share->outcomes[i];
		if (p->side != share->side)
			continue;
		points++;
		reached += o->reached;
		owner += o->owner;
		worst = o->delay_ms > worst ? o->delay_ms : worst;
		if (o->reached && o->problem[0] == '\0')
			continue;
		problems++;
		print_error("%s %s at %s %d on the %s: %s (%d attempts)\n",
			    fault_side_name(p->side), fault_names[share->fault],
			    fault_call_name(&p->call), p->call.nth,
			    fault_object_name(p->call.object),
			    o->reached || o->problem[0] != '\0' ? o->problem
								: "planned, and not reached",
			    o->attempts);
	}
	print_message("%s %s: reached %d of %d planned points", fault_side_name(share->side),
		      fault_names[share->fault], reached, points);
	if (share->fault == KILL)
		print_message("; answered again after %d ms at most", worst);
	else
		print_message("; at %d of them it had the owner lock", owner);
	print_message("\n");
	return problems;
}

static void
fault_at_each_point(struct test *t, enum fault_side side, enum fault fault)
{
	struct share share = {
		.plan = &t->plan, .side = side, .fault = fault, .outcomes = t->outcomes
	};

	if (!t->possible)
		skip();
	assert_true(t->plan.count > 0);
	memset(t->outcomes, 0, FAULT_POINTS_MAX * sizeof(*t->outcomes));
	share_work(&share);
	assert_int_equal(report(&share), 0);
}

/* --- The tests -------------------------------------------------------------------------------- */

static void
test_points_are_planned(void **state)
{
	struct test *t = *state;
	if (!t->possible) {
		print_message("left out: %s\n", t->why);
		skip();
	}
	assert_true(fault_plan_record(&t->plan));
	fault_plan_print(&t->plan);
	fflush(stdout);
	assert_true(t->plan.count >= POINTS_MIN);
}

static void
test_predecessor_killed(void **state)
{
	fault_at_each_point(*state, FAULT_OLD, KILL);
}

static void
test_successor_killed(void **state)
{
	fault_at_each_point(*state, FAULT_NEW, KILL);
}

static void
test_predecessor_frozen(void **state)
{
	fault_at_each_point(*state, FAULT_OLD, FREEZE);
}

static void
test_successor_frozen(void **state)
{
	fault_at_each_point(*state, FAULT_NEW, FREEZE);
}

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof(*t));
	size_t size = FAULT_POINTS_MAX * sizeof(*t->outcomes);

	*state = t;
	if (t == NULL)
		return -1;
	t->possible = fault_possible(t->why, sizeof(t->why));
	t->outcomes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return t->outcomes == MAP_FAILED ? -1 : 0;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	munmap(t->outcomes, FAULT_POINTS_MAX * sizeof(*t->outcomes));
	free(t);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_points_are_planned),
		cmocka_unit_test(test_predecessor_killed),
		cmocka_unit_test(test_successor_killed),
		cmocka_unit_test(test_predecessor_frozen),
		cmocka_unit_test(test_successor_frozen),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
