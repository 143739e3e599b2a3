/* SPDX-License-Identifier: MIT */
/* The checks' names and what each says. */
#include "check.h"

#include <string.h>

struct check_text {
	const char *name;
	const char *meaning;
};

static const struct check_text texts[CHECKS] = {
	[CHECK_ONE_OWNER] = {
		"one-owner",
		"no two processes serve at once",
	},
	[CHECK_SERVES_WITH_OWNER] = {
		"serves-with-owner",
		"whoever serves holds OWNER, and the record names it (R1, law 8)",
	},
	[CHECK_ENTITLED] = {
		"entitled",
		"who takes the service was entitled by the record that it found, or found LIFE "
		"free (R2)",
	},
	[CHECK_OWNER_ONLY] = {
		"owner-only",
		"record and socket file are changed by the holder of OWNER alone (R1, law 2)",
	},
	[CHECK_NO_STALE_STATE] = {
		"no-stale-state",
		"nobody serves on late state written before another served",
	},
	[CHECK_QUEUE_NEVER_DIES] = {
		"queue-never-dies",
		"a claimed listener is never closed by all while its owner lives (law 1)",
	},
	[CHECK_UNTOUCHED] = {
		"untouched",
		"who resumes untouched has all its listeners, and nobody has served since it "
		"paused (law 2)",
	},
	[CHECK_FAILED_HOLDS_NOTHING] = {
		"failed-holds-nothing",
		"FAILED and LEAVE are told when nothing is held any more",
	},
	[CHECK_ONE_HANDOFF] = {
		"one-handoff",
		"nobody is offered the service while another is (law 6)",
	},
	[CHECK_LIFE] = {
		"life",
		"whoever serves, may come to serve, or empties its queue holds LIFE",
	},
	[CHECK_PATH_IS_FREE] = {
		"path-is-free",
		"a first generation never finds PATH answered",
	},
	[CHECK_WAITS_FOR_THE_END] = {
		"waits-for-the-end",
		"nobody takes over from a successor without having read its end of file",
	},
	[CHECK_ABORTED_IS_UNNAMED] = {
		"aborted-is-unnamed",
		"whose handoff is aborted is no longer named heir (law 4)",
	},
	[CHECK_NAMED_BEFORE_OFFER] = {
		"named-before-offer",
		"whoever gets an offer is named heir",
	},
	[CHECK_COMMIT_BEFORE_UNLOCK] = {
		"commit-before-unlock",
		"OWNER is let go to an heir only when COMMIT is in its queue",
	},
	[CHECK_CHAINS] = {
		"chains",
		"a successor is turned away only for another one that is alive (law 6)",
	},
	[CHECK_EXCLUSIVE] = {
		"exclusive",
		"who said so never resumes what another has owned",
	},
	[CHECK_STOPPING_TAKES_NOTHING] = {
		"stopping-takes-nothing",
		"who was told to stop does not take over what another has owned",
	},
	[CHECK_ASKS_BEFORE_LEAVING] = {
		"asks-before-leaving",
		"who has read its successor's end asks for OWNER before it leaves (law 3)",
	},
	[CHECK_GENERATIONS] = {
		"generations",
		"each successor's generation is the record's plus one",
	},
	[CHECK_HEIR_TAKES_OVER] = {
		"heir-takes-over",
		"the heir of a dead or yielding owner can serve (law 4)",
	},
	[CHECK_PREDECESSOR_TAKES_BACK] = {
		"predecessor-takes-back",
		"after a successor's death its predecessor can serve (law 3)",
	},
	[CHECK_YIELDER_RESUMES] = {
		"yielder-resumes",
		"who has yielded and is still named owner can serve again (law 1)",
	},
	[CHECK_FIRST_SERVES] = {
		"first-serves",
		"who starts while LIFE is free can serve",
	},
	[CHECK_SERVICE_COMES_BACK] = {
		"service-comes-back",
		"with all frozen ones woken and a fresh starter somebody can serve",
	},
	[CHECK_START_ENDS] = {
		"start-ends",
		"a start waits for nobody for ever (start deadline)",
	},
	[CHECK_READY_ENDS] = {
		"ready-ends",
		"READY waits for no predecessor for ever (commit deadline)",
	},
	[CHECK_LOAD_ENDS] = {
		"load-ends",
		"LOAD ends (load deadline)",
	},
	[CHECK_CLAIM_ENDS] = {
		"claim-ends",
		"CLAIM waits for OWNER no longer than the confirm deadline",
	},
	[CHECK_OFFER_ENDS] = {
		"offer-ends",
		"an offer waits for no successor for ever (ready deadline)",
	},
	[CHECK_PAUSE_ENDS] = {
		"pause-ends",
		"a pause ends (commit deadline)",
	},
	[CHECK_YIELD_ENDS] = {
		"yield-ends",
		"YIELDED ends unless a living process holds OWNER (confirm deadline)",
	},
	[CHECK_DRAIN_ENDS] = {
		"drain-ends",
		"DRAIN ends (drain, probation and confirm deadlines)",
	},
	[CHECK_RENOUNCED_ENDS] = {
		"renounced-ends",
		"RENOUNCED ends (drain deadline)",
	},
	[CHECK_DEPOSED_FAILS] = {
		"deposed-fails",
		"a successor that is not heir any more finds out by itself (tick)",
	},
	[CHECK_SUCCESS_IS_SEEN] = {
		"success-is-seen",
		"a successor's success is found out by itself (tick)",
	},
	[CHECK_STRANGER_IS_SEEN] = {
		"stranger-is-seen",
		"who drains finds out by itself that a stranger owns, and renounces (tick)",
	},
};

const char *
check_name(enum check check)
{
	return texts[check].name;
}

const char *
check_meaning(enum check check)
{
	return texts[check].meaning;
}

enum check
check_by_name(const char *name)
{
	int i = 0;

	while (i < CHECKS && strcmp(texts[i].name, name) != 0)
		i++;
	return (enum check)i;
}
