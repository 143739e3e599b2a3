/* SPDX-License-Identifier: MIT */
/*
 * The checks, each with a name. A mutant of the machine names the one that has to catch it.
 */
#ifndef MOLT_EXPLORE_CHECK_H
#define MOLT_EXPLORE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

enum check {
	/* In every state, on every edge */
	CHECK_ONE_OWNER,
	CHECK_SERVES_WITH_OWNER,
	CHECK_ENTITLED,
	CHECK_OWNER_ONLY,
	CHECK_NO_STALE_STATE,
	CHECK_QUEUE_NEVER_DIES,
	CHECK_UNTOUCHED,
	CHECK_FAILED_HOLDS_NOTHING,
	CHECK_ONE_HANDOFF,
	CHECK_LIFE,
	CHECK_PATH_IS_FREE,
	CHECK_WAITS_FOR_THE_END,
	CHECK_ABORTED_IS_UNNAMED,
	CHECK_NAMED_BEFORE_OFFER,
	CHECK_COMMIT_BEFORE_UNLOCK,
	CHECK_CHAINS,
	CHECK_EXCLUSIVE,
	CHECK_STOPPING_TAKES_NOTHING,
	CHECK_ASKS_BEFORE_LEAVING,
	CHECK_GENERATIONS,
	/* Of the whole graph: what must still be possible */
	CHECK_HEIR_TAKES_OVER,
	CHECK_PREDECESSOR_TAKES_BACK,
	CHECK_YIELDER_RESUMES,
	CHECK_FIRST_SERVES,
	CHECK_SERVICE_COMES_BACK,
	CHECK_START_ENDS,
	CHECK_READY_ENDS,
	CHECK_LOAD_ENDS,
	CHECK_CLAIM_ENDS,
	CHECK_OFFER_ENDS,
	CHECK_PAUSE_ENDS,
	CHECK_YIELD_ENDS,
	CHECK_DRAIN_ENDS,
	CHECK_RENOUNCED_ENDS,
	CHECK_DEPOSED_FAILS,
	CHECK_SUCCESS_IS_SEEN,
	CHECK_STRANGER_IS_SEEN,
	CHECKS
};

enum { CHECK_FIRST_OF_GRAPH = CHECK_HEIR_TAKES_OVER };

/* A set of checks: bit i is check i. */
typedef uint64_t check_set;

#define CHECK_BIT(check) (UINT64_C(1) << (check))

const char *check_name(enum check check);
/* What it says, in a sentence. */
const char *check_meaning(enum check check);
/* CHECKS if there is none of that name. */
enum check check_by_name(const char *name);

#endif
