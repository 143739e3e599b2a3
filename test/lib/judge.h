/* SPDX-License-Identifier: MIT */
/*
 * Judges from outside who served, and whether clients noticed: by what processes entered on the
 * stage when they entered and left service, and by what clients saw. Never by asking a lock.
 *
 * Each says whether all is well; if not, a sentence says what isn't. To be asked when nobody enters
 * anything any more.
 */
#ifndef MOLT_TEST_JUDGE_H
#define MOLT_TEST_JUDGE_H

#include "actor.h"
#include "fault_clients.h"

enum { JUDGE_SENTENCE = 256 };

struct judge_process {
	pid_t pid;
	const char *label;
};

struct judge {
	const struct actor_stage *stage;
	const struct fault_clients *clients;
	const struct judge_process *processes;
	int process_count;
	char sentence[JUDGE_SENTENCE];
};

/* Whether that process is in service now; also while others enter something. */
bool judge_in_service(const struct actor_stage *stage, pid_t pid);

/* Never two in service at once. */
bool judge_one_owner(struct judge *j);

/*
 * A datagram is answered only by who was in service between its asking and its answer, and the flow
 * changes process at most as often as the service did.
 */
bool judge_datagrams(struct judge *j);

/* No connection asked since then was refused, reset, or closed without an answer. */
bool judge_connections(struct judge *j, int64_t since_ns);

/*
 * Every connection asked from `since_ns` until `until_ns` was answered within `within_ns` of its
 * asking, or of `from_ns` if that is later.
 */
bool judge_delay(struct judge *j, int64_t since_ns, int64_t until_ns, int64_t from_ns,
		 int64_t within_ns);

#endif
