/* SPDX-License-Identifier: MIT */
/* Where a handoff can be struck: the calls that occur in each of several that go well. */
#ifndef MOLT_TEST_FAULT_PLAN_H
#define MOLT_TEST_FAULT_PLAN_H

#include "fault_scene.h"

enum { FAULT_POINTS_MAX = 400 };

struct fault_point {
	enum fault_side side;
	struct fault_call call;
	int seen; /* in how many recordings */
};

struct fault_plan {
	int count;
	struct fault_point points[FAULT_POINTS_MAX];
};

/* false: a handoff that should go well did not. */
bool fault_plan_record(struct fault_plan *plan);

/* On stdout: how many there are of what, and each of them if MOLT_TEST_VERBOSE is set. */
void fault_plan_print(const struct fault_plan *plan);

const char *fault_side_name(enum fault_side side);

#endif
