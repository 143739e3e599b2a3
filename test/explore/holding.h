/* SPDX-License-Identifier: MIT */
/*
 * Which listeners a process holds. The shipped inventory decides; of its table one byte a listener
 * is kept in the world. Each function does what the engine does with the table at that point.
 */
#ifndef MOLT_EXPLORE_HOLDING_H
#define MOLT_EXPLORE_HOLDING_H

#include "world.h"

bool holding_has(const struct process *p, enum listener listener);
bool holding_has_any(const struct process *p);

/* A first generation's host: one that the library binds, one of its own. */
void holding_listen(struct process *p);

/* From an offer; `unclaimed` says whether that one was in it too. */
void holding_inherit(struct process *p, bool unclaimed);
/* The host of a successor has said which it wants. */
void holding_claim(struct process *p);
/* It serves: what it did not want is closed. */
void holding_close_unclaimed(struct process *p);
/* It has failed: all is closed. */
void holding_close_all(struct process *p);

/* Makes an offer; says whether the unclaimed one is in it. */
bool holding_offer(struct process *p);
/* The successor has said which it claims. */
void holding_mark_claimed(struct process *p);
void holding_end_handoff(struct process *p);
/* Its host acts on RETIRE. */
void holding_retire(struct process *p, enum retiring which);
/* Its host makes again what it had given up. */
void holding_renew(struct process *p);

#endif
