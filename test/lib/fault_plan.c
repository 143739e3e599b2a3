/* SPDX-License-Identifier: MIT */
/* Where a handoff can be struck. */
#include "fault_plan.h"

#include <stdio.h>
#include <stdlib.h>

enum { RECORDINGS = 10, PATIENCE_MS = 4000 };

const char *
fault_side_name(enum fault_side side)
{
	static const char *const names[FAULT_SIDES] = { "predecessor", "successor", "next" };

	return names[side];
}

static struct fault_point *
find_point(struct fault_plan *plan, enum fault_side side, const struct fault_call *call)
{
	for (int i = 0; i < plan->count; i++)
		if (plan->points[i].side == side && fault_same_call(&plan->points[i].call, call))
			return &plan->points[i];
	return NULL;
}

static bool
note_call(struct fault_scene *s, enum fault_side side)
{
	struct fault_plan *plan = s->arg;
	const struct fault_call *call = &s->tracees[side].at;
	struct fault_point *point = find_point(plan, side, call);

	if (point == NULL && plan->count < FAULT_POINTS_MAX) {
		point = &plan->points[plan->count++];
		*point = (struct fault_point){ .side = side, .call = *call };
	}
	if (point != NULL)
		point->seen++;
	return false;
}

static bool
record(struct fault_plan *plan)
{
	struct fault_scene *s = fault_scene_open();
	bool done = s != NULL && fault_scene_trace(s, note_call, plan) &&
		    fault_scene_start(s, FAULT_NEW) &&
		    fault_scene_until(s, fault_both_are_done, PATIENCE_MS) &&
		    (s->told[FAULT_NEW] & FAULT_TOLD_SERVE) != 0;

	fault_scene_close(s);
	return done;
}

/* What doesn't occur in each handoff (a tick, a second look at an empty queue) can't be planned. */
static void
keep_certain(struct fault_plan *plan)
{
	int kept = 0;

	for (int i = 0; i < plan->count; i++)
		if (plan->points[i].seen == RECORDINGS)
			plan->points[kept++] = plan->points[i];
	plan->count = kept;
}

bool
fault_plan_record(struct fault_plan *plan)
{
	plan->count = 0;
	for (int i = 0; i < RECORDINGS; i++)
		if (!record(plan))
			return false;
	keep_certain(plan);
	return true;
}

void
fault_plan_print(const struct fault_plan *plan)
{
	int counts[FAULT_THIRD][FAULT_OBJECTS] = { 0 };

	for (int i = 0; i < plan->count; i++) {
		const struct fault_point *p = &plan->points[i];
		counts[p->side][p->call.object]++;
		if (getenv("MOLT_TEST_VERBOSE") != NULL)
			printf("  %s: %s %d on the %s\n", fault_side_name(p->side),
			       fault_call_name(&p->call), p->call.nth,
			       fault_object_name(p->call.object));
	}
	for (int side = 0; side < FAULT_THIRD; side++)
		printf("points of the %s: channel %d, lock file %d, socket file %d, "
		       "listeners %d\n",
		       fault_side_name(side), counts[side][FAULT_CHANNEL], counts[side][FAULT_LOCK],
		       counts[side][FAULT_PATH], counts[side][FAULT_LISTENER]);
}
