/* SPDX-License-Identifier: MIT */
/*
 * A handoff on the stage: a predecessor and a successor, both traced, a third that takes over when
 * all is done, and clients that ask all the time. One thread runs it all, turn by turn.
 *
 * The hosts take their time, longer than a tick: the successor until it is ready and until it has
 * loaded, the predecessor until it commits, with late state.
 */
#ifndef MOLT_TEST_FAULT_SCENE_H
#define MOLT_TEST_FAULT_SCENE_H

#include "actor.h"
#include "fault_clients.h"
#include "fault_trace.h"
#include "judge.h"

enum fault_side { FAULT_OLD, FAULT_NEW, FAULT_THIRD, FAULT_SIDES };

/* What an actor has told so far; a bit each. */
enum fault_told {
	FAULT_TOLD_SERVE = 1,
	FAULT_TOLD_FAILED = 2,
	FAULT_TOLD_DRAIN = 4,
	FAULT_TOLD_RESUME = 8,
	FAULT_TOLD_PAUSE = 16,
	FAULT_TOLD_STARTED = 32,
	FAULT_TOLD_LOAD = 64
};

/*
 * Milliseconds: short ones, so that each kind of waiting can be waited for. The probation is longer
 * than anything: whoever is killed after its word has gone out has somebody to follow it.
 */
enum {
	FAULT_START_MS = 1000,
	FAULT_STAGE_MS = 300,
	FAULT_TICK_MS = 50,
	FAULT_HOST_MS = 70, /* how long a host takes for what it has to do */
	FAULT_PROBATION_MS = 1000
};

struct fault_scene;

/* Asked at each call that is held. true: leave it held. */
typedef bool fault_at_call(struct fault_scene *s, enum fault_side side);

struct fault_scene {
	char *directory;
	char *path;
	int signals;
	int port;
	int udp_port;
	struct actor_stage *stage;
	struct actor actors[FAULT_SIDES];
	unsigned told[FAULT_SIDES];
	char failure[FAULT_SIDES][JUDGE_SENTENCE]; /* what FAILED said */
	bool hung_up[FAULT_SIDES];
	unsigned works_on[FAULT_SIDES]; /* what its host was told last, or 0 when it is done */
	int64_t works_until_ns[FAULT_SIDES];
	struct fault_tracee tracees[FAULT_THIRD];
	struct judge_process processes[FAULT_SIDES];
	struct fault_clients clients;
	struct judge judge;
	fault_at_call *at_call;
	void *arg;
	int held; /* the side that is held, or -1 */
};

/* With a predecessor that serves, not traced yet. NULL: a sentence went to stderr. */
struct fault_scene *fault_scene_open(void);
void fault_scene_close(struct fault_scene *s);

/* Tells an actor something, and does not wait for it. */
void fault_scene_say(struct fault_scene *s, enum fault_side side, const char *line);

/*
 * Starts that one as a successor: it takes both listeners and is ready as soon as it can be. false:
 * a sentence went to stderr.
 */
bool fault_scene_start(struct fault_scene *s, enum fault_side side);

/* From now on at_call() is asked. NEW is forked, and will be traced from its first call on. */
bool fault_scene_trace(struct fault_scene *s, fault_at_call *at_call, void *arg);

/* Turns until `done`, or until so long has passed. Says whether it is done. */
typedef bool fault_done(const struct fault_scene *s);
bool fault_scene_until(struct fault_scene *s, fault_done *done, int milliseconds);

/* NEW serves, has failed, or has died; and OLD has heard of the outcome, or has died. */
bool fault_new_is_done(const struct fault_scene *s);
bool fault_both_are_done(const struct fault_scene *s);

/* What is held: killed, with its leaving entered first, or let go on. Then nobody is held. */
void fault_scene_kill(struct fault_scene *s);
void fault_scene_wake(struct fault_scene *s);

/* Asks nothing new, and waits for the answers that are missing. Says whether all have come. */
bool fault_scene_finish(struct fault_scene *s);

pid_t fault_scene_pid(const struct fault_scene *s, enum fault_side side);

#endif
