/* SPDX-License-Identifier: MIT */
/* Breadth first, so that the way to each state is the shortest. */
#include "search.h"

#include "progress.h"

#include <string.h>
#include <time.h>

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void
search_unpack(const struct search *s, uint32_t id, struct world *ret_world)
{
	world_unpack(space_state(&s->space, id), s->bounds->processes, ret_world);
}

static void
note(struct search *s, enum check check, const struct violation *v)
{
	if ((s->wanted & CHECK_BIT(check)) == 0 || s->violations[check].found)
		return;
	s->violations[check] = *v;
	s->broken |= CHECK_BIT(check);
}

void
search_violated(struct search *s, enum check check, uint32_t state)
{
	struct violation v = { .found = true, .state = state };

	note(s, check, &v);
}

static void
note_broken(struct search *s, check_set broken, uint32_t from, const struct move *m)
{
	struct violation v = { .found = true, .by_move = true, .state = from, .move = *m };

	for (int check = 0; check < CHECKS; check++) {
		if ((broken & CHECK_BIT(check)) != 0)
			note(s, (enum check)check, &v);
	}
}

static uint8_t
label_of(const struct move *m, const uint8_t *old_index)
{
	unsigned to = 0;

	while (old_index[to] != m->p)
		to++;
	return (uint8_t)((unsigned)move_class(m) | (unsigned)m->p << 4 | to << 6);
}

static void
expand(struct search *s, uint32_t id, bool keep_edges)
{
	struct move moves[MOVES_MAX];
	uint64_t packed[WORLD_WORDS_MAX];
	struct world w;
	struct world next;
	size_t count;

	search_unpack(s, id, &w);
	count = moves_of(&w, moves);
	for (size_t i = 0; i < count; i++) {
		uint8_t old_index[PROCESSES_MAX];
		uint32_t to;

		move_make(&w, &moves[i], &next);
		if ((next.broken & s->wanted) != 0)
			note_broken(s, next.broken, id, &moves[i]);
		world_sort(&next, old_index);
		world_pack(&next, packed);
		to = space_add(&s->space, packed, id);
		if (to != id && keep_edges)
			space_add_edge(&s->space, to, label_of(&moves[i], old_index));
	}
	space_end_edges(&s->space, id);
}

static void
search_states(struct search *s)
{
	bool keep_edges = (s->wanted >> CHECK_FIRST_OF_GRAPH) != 0;
	uint32_t level_ends = s->space.count;

	for (uint32_t id = 0; id < s->space.count; id++) {
		if (id == level_ends) {
			s->depth++;
			level_ends = s->space.count;
		}
		expand(s, id, keep_edges);
		if (s->stop && s->broken != 0)
			return;
	}
}

void
search_run(struct search *s, const struct bounds *bounds, check_set wanted, bool stop)
{
	uint64_t packed[WORLD_WORDS_MAX];
	struct world w;
	double began = now();

	memset(s, 0, sizeof(*s));
	s->bounds = bounds;
	s->wanted = wanted;
	s->stop = stop;
	space_init(&s->space, world_words(bounds->processes));
	world_init(&w, bounds->processes, bounds->budgets);
	world_pack(&w, packed);
	space_add(&s->space, packed, SPACE_NONE);
	search_states(s);
	if (!(stop && s->broken != 0))
		progress_check(s);
	s->seconds = now() - began;
}

void
search_free(struct search *s)
{
	space_free(&s->space);
}
