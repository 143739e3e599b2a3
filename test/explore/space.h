/* SPDX-License-Identifier: MIT */
/*
 * The states that have been found, each kept whole and once, so that no two are ever taken for one;
 * how each was found first; and the edges between them.
 */
#ifndef MOLT_EXPLORE_SPACE_H
#define MOLT_EXPLORE_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPACE_NONE UINT32_MAX

struct space {
	size_t words; /* a state's size */
	uint32_t count;
	uint64_t edge_count;
	uint64_t *states;
	uint32_t *parents;
	uint64_t
		*edge_ends; /* by state: where its edges end; they begin where the last one's end */
	uint32_t *edge_to;
	uint8_t *edge_label;
	uint64_t *table; /* open addressing: a part of the hash and the number + 1 */
	uint64_t table_mask;
	uint64_t states_room, edges_room;
};

void space_init(struct space *s, size_t words);
void space_free(struct space *s);

const uint64_t *space_state(const struct space *s, uint32_t id);

/* Returns its number; a new one is the last. */
uint32_t space_add(struct space *s, const uint64_t *state, uint32_t parent);

/* Edges are added state by state, in the order of their numbers. */
void space_add_edge(struct space *s, uint32_t to, uint8_t label);
void space_end_edges(struct space *s, uint32_t from);
static inline uint64_t
space_first_edge(const struct space *s, uint32_t from)
{
	return from == 0 ? 0 : s->edge_ends[from - 1];
}

/* In bytes. */
uint64_t space_size(const struct space *s);

#endif
