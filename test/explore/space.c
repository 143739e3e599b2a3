/* SPDX-License-Identifier: MIT */
/* Tables that grow in place, by mremap. */
#include "space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ROOM_FIRST = 1 << 14 };

static void *
grow(void *old, uint64_t old_size, uint64_t size)
{
	void *at;

	if (old == NULL)
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		at = mremap(old, old_size, size, MREMAP_MAYMOVE);
	if (at == MAP_FAILED) {
		perror("explore: no memory for more states");
		abort();
	}
	return at;
}

static void
release(void *at, uint64_t size)
{
	if (at != NULL)
		munmap(at, size);
}

static void
grow_states(struct space *s, uint64_t room)
{
	uint64_t old = s->states_room;

	s->states = grow(s->states, old * s->words * 8, room * s->words * 8);
	s->parents = grow(s->parents, old * 4, room * 4);
	s->edge_ends = grow(s->edge_ends, old * 8, room * 8);
	s->states_room = room;
}

static void
grow_edges(struct space *s, uint64_t room)
{
	uint64_t old = s->edges_room;

	s->edge_to = grow(s->edge_to, old * 4, room * 4);
	s->edge_label = grow(s->edge_label, old, room);
	s->edges_room = room;
}

static uint64_t
hash(const uint64_t *state, size_t words)
{
	uint64_t h = 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < words; i++) {
		h = (h ^ state[i]) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	return h;
}

/* Half of the hash stands beside the number: most of what is not equal is told apart by it. */
static uint64_t
cell_of(uint64_t h, uint32_t id)
{
	return (h & UINT64_C(0xffffffff00000000)) | (id + 1);
}

static void
put(struct space *s, uint64_t h, uint32_t id)
{
	uint64_t i = h & s->table_mask;

	while (s->table[i] != 0)
		i = (i + 1) & s->table_mask;
	s->table[i] = cell_of(h, id);
}

static void
make_table(struct space *s, uint64_t cells)
{
	release(s->table, s->table == NULL ? 0 : (s->table_mask + 1) * 8);
	s->table = grow(NULL, 0, cells * 8);
	s->table_mask = cells - 1;
	for (uint32_t id = 0; id < s->count; id++)
		put(s, hash(space_state(s, id), s->words), id);
}

void
space_init(struct space *s, size_t words)
{
	memset(s, 0, sizeof(*s));
	s->words = words;
	grow_states(s, ROOM_FIRST);
	grow_edges(s, ROOM_FIRST);
	make_table(s, 2 * ROOM_FIRST);
}

void
space_free(struct space *s)
{
	release(s->states, s->states_room * s->words * 8);
	release(s->parents, s->states_room * 4);
	release(s->edge_ends, s->states_room * 8);
	release(s->edge_to, s->edges_room * 4);
	release(s->edge_label, s->edges_room);
	release(s->table, (s->table_mask + 1) * 8);
	memset(s, 0, sizeof(*s));
}

const uint64_t *
space_state(const struct space *s, uint32_t id)
{
	return &s->states[(uint64_t)id * s->words];
}

static uint32_t
find(const struct space *s, const uint64_t *state, uint64_t h)
{
	for (uint64_t i = h & s->table_mask; s->table[i] != 0; i = (i + 1) & s->table_mask) {
		uint32_t id = (uint32_t)s->table[i] - 1;

		if (s->table[i] == cell_of(h, id) &&
		    memcmp(space_state(s, id), state, s->words * 8) == 0)
			return id;
	}
	return SPACE_NONE;
}

uint32_t
space_add(struct space *s, const uint64_t *state, uint32_t parent)
{
	uint64_t h = hash(state, s->words);
	uint32_t id = find(s, state, h);

	if (id != SPACE_NONE)
		return id;
	if (s->count == s->states_room)
		grow_states(s, 2 * s->states_room);
	if ((uint64_t)s->count * 3 > s->table_mask * 2)
		make_table(s, 2 * (s->table_mask + 1));
	id = s->count++;
	memcpy(&s->states[(uint64_t)id * s->words], state, s->words * 8);
	s->parents[id] = parent;
	put(s, h, id);
	return id;
}

void
space_add_edge(struct space *s, uint32_t to, uint8_t label)
{
	if (s->edge_count == s->edges_room)
		grow_edges(s, 2 * s->edges_room);
	s->edge_to[s->edge_count] = to;
	s->edge_label[s->edge_count] = label;
	s->edge_count++;
}

void
space_end_edges(struct space *s, uint32_t from)
{
	s->edge_ends[from] = s->edge_count;
}

uint64_t
space_size(const struct space *s)
{
	return s->count * (s->words * 8 + 12) + s->edge_count * 5 + (s->table_mask + 1) * 8;
}
