/* SPDX-License-Identifier: MIT */
/*
 * One process of a world: the shipped machine, and around it what the engine promises to do for it.
 * Inputs go in one at a time, and only when everything that the last one asked for is done; each
 * action that another process could notice is a step of its own, others are carried out with the
 * one before them.
 */
#ifndef MOLT_EXPLORE_PROCESS_H
#define MOLT_EXPLORE_PROCESS_H

#include "deed.h"
#include "world.h"

/* Silent actions follow at once; the first that is not waits in the script. */
void process_feed(struct world *w, int p, const struct handoff_input *in);
void process_feed_type(struct world *w, int p, enum handoff_input_type type);

/* Carries out the next action of its script, and the silent ones behind it. */
void process_carry_out(struct world *w, int p, enum outcome outcome);

/*
 * Carries out the next action at once, if there is one and it can end in one way only: what might
 * fail or get lost is a move of its own.
 */
void process_follow(struct world *w, int p);

/* Whether such an input would lead to anything now. */
bool process_understands(const struct process *self, enum handoff_input_type type);

/*
 * Drops what means nothing: a retry when nothing is asked for, because whoever asks later arms its
 * own; and that who has renounced was told to stop.
 */
void process_forget(struct world *w, int p);

void process_start(struct world *w, int p, bool exclusive);
/* It has claimed what it wants, and loaded all it can. */
void process_host_is_ready(struct world *w, int p);
/* The host acts on what it has been told. */
void process_host_acts(struct world *w, int p);
/* One packet, or the end. A bad offer is one that failed. */
void process_reads_up(struct world *w, int p, enum outcome outcome);
void process_reads_down(struct world *w, int p, int s);
void process_accepts(struct world *w, int p, int s);
/* The commit goes out, or cannot. */
void process_commits(struct world *w, int p, enum outcome outcome);
void process_deadline(struct world *w, int p, enum handoff_deadline deadline);
void process_ticks(struct world *w, int p);

#endif
