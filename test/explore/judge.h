/* SPDX-License-Identifier: MIT */
/*
 * The rules, looked at from outside: what a process knows of itself is not asked, but what the
 * kernel and its host know. Each function is called before the step that it is about is carried
 * out.
 */
#ifndef MOLT_EXPLORE_JUDGE_H
#define MOLT_EXPLORE_JUDGE_H

#include "world.h"

void judge_write(struct world *w, int p, const struct record *record);
void judge_unlock(struct world *w, int p);
/* The record or the socket file is changed. */
void judge_change(struct world *w, int p);
/* A first generation found PATH answered. */
void judge_found_path(struct world *w);
void judge_offer(struct world *w, int p, int s);
void judge_refusal(struct world *w, int p, enum handoff_reason reason);
void judge_abort(struct world *w, int p);
void judge_service(struct world *w, int p, enum handoff_event event, enum handoff_reason reason);
/* FAILED or LEAVE is told. */
void judge_end(struct world *w, int p);
void judge_leaving(struct world *w, int p);
/* The whole of the world after an edge; `crash` says that it was one. */
void judge_edge(const struct world *before, struct world *after, bool crash);

#endif
