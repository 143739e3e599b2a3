/* SPDX-License-Identifier: MIT */
/* Every state that can be reached within given bounds, and the checks on each. */
#ifndef MOLT_EXPLORE_SEARCH_H
#define MOLT_EXPLORE_SEARCH_H

#include "move.h"
#include "space.h"
#include "world.h"

#include <stdio.h>

struct bounds {
	const char *name;
	uint8_t processes;
	uint8_t budgets[BUDGETS];
};

struct violation {
	bool found;
	bool by_move;   /* or the state itself is wrong */
	uint32_t state; /* that the move starts from, or that is wrong */
	struct move move;
};

struct search {
	const struct bounds *bounds;
	check_set wanted; /* others are not looked at */
	bool stop;        /* at the first violation */
	struct space space;
	struct violation violations[CHECKS];
	check_set broken;
	uint32_t depth;
	double seconds;
};

void search_run(struct search *s, const struct bounds *bounds, check_set wanted, bool stop);
void search_free(struct search *s);

void search_unpack(const struct search *s, uint32_t id, struct world *ret_world);

/* For progress.c. */
void search_violated(struct search *s, enum check check, uint32_t state);

/* An edge's label says of what class the move is, and whose: by its index before and after. */
static inline unsigned
label_class(uint8_t label)
{
	return label & 15;
}

static inline unsigned
label_before(uint8_t label)
{
	return label >> 4 & 3;
}

static inline unsigned
label_after(uint8_t label)
{
	return label >> 6;
}

/* The shortest way to the violation. */
uint32_t search_trace_length(const struct search *s, enum check check);
void search_print_trace(const struct search *s, enum check check, FILE *to);

#endif
