/* SPDX-License-Identifier: MIT */
/* One action of a process, carried out: what the engine and the kernel make of it. */
#ifndef MOLT_EXPLORE_DEED_H
#define MOLT_EXPLORE_DEED_H

#include "script.h"
#include "world.h"

/* How it ends: well, by a system call that fails, or with a packet that is lost. */
enum outcome { OUTCOME_FINE, OUTCOME_FAILED, OUTCOME_LOST };

/* A question's answer is fed before this returns. */
void deed_do(struct world *w, int p, const struct script_node *node, enum outcome outcome);

/* The budget that such an outcome costs, or BUDGETS: it cannot end so. */
enum budget deed_cost(const struct script_node *node, enum outcome outcome);

/*
 * Nobody else could tell when, or whether, it was done: then it makes no difference that nothing
 * comes between it and the one before.
 */
bool deed_is_silent(const struct world *w, int p, const struct script_node *node);

#endif
