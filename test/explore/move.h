/* SPDX-License-Identifier: MIT */
/* What can happen next in a world, and what comes of it. */
#ifndef MOLT_EXPLORE_MOVE_H
#define MOLT_EXPLORE_MOVE_H

#include "deed.h"
#include "world.h"

enum move_kind {
	MOVE_START,
	MOVE_CARRY_OUT,
	MOVE_HOST_READY,
	MOVE_HOST_ACTS,
	MOVE_HOST_IDLE,
	MOVE_HOST_BUSY,
	MOVE_HOST_CANCEL,
	MOVE_HOST_STOP,
	MOVE_RETRY,
	MOVE_TICK,
	MOVE_DEADLINE,
	MOVE_READ_UP,
	MOVE_READ_DOWN,
	MOVE_ACCEPT,
	MOVE_DROP, /* a connection that waited unanswered is closed */
	MOVE_COMMIT,
	MOVE_CRASH,
	MOVE_FREEZE,
	MOVE_WAKE,
	MOVE_RELEASE /* a dead process's OWNER is free at last */
};

/* Who or what has to be willing for it to happen. */
enum move_class {
	CLASS_OWN,      /* the process itself */
	CLASS_DEADLINE, /* the same, by a deadline */
	CLASS_ACT,      /* its host does what it is told */
	CLASS_WILL,     /* its host gets somewhere: ready, idle */
	CLASS_WHIM,     /* its host changes its mind: stop, cancel, busy */
	CLASS_FAULT,
	CLASS_WAKE,
	CLASS_START,
	CLASS_RELEASE
};

#define CLASS_BIT(class) (1u << (class))

struct move {
	uint8_t kind;
	uint8_t p;
	uint8_t which; /* DEADLINE's; the successor of ACCEPT, DROP, READ_DOWN; START: exclusive */
	uint8_t outcome;
};

enum { MOVES_MAX = 96 };

size_t moves_of(const struct world *w, struct move *ret_moves);
/* The world after it, with the checks that it broke. */
void move_make(const struct world *w, const struct move *m, struct world *ret_world);
enum move_class move_class(const struct move *m);

#endif
