/* SPDX-License-Identifier: MIT */
/* A world packed into bits and back: one walk over the fields serves both ways. */
#include "world.h"

#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

struct bits {
	uint64_t word[WORLD_WORDS_MAX + 1];
	unsigned at;
	bool reading;
	uint64_t lost; /* bits that had no room */
};

INLINE void
field(struct bits *b, uint64_t *value, unsigned width)
{
	uint64_t mask = (UINT64_C(1) << width) - 1;
	unsigned word = b->at / 64;
	unsigned shift = b->at % 64;

	b->at += width;
	if (b->reading) {
		*value = b->word[word] >> shift;
		if (shift + width > 64)
			*value |= b->word[word + 1] << (64 - shift);
		*value &= mask;
		return;
	}
	b->lost |= *value & ~mask;
	b->word[word] |= *value << shift;
	if (shift + width > 64)
		b->word[word + 1] |= *value >> (64 - shift);
}

INLINE void
small(struct bits *b, uint8_t *value, unsigned width)
{
	uint64_t wide = *value;

	field(b, &wide, width);
	*value = (uint8_t)wide;
}

INLINE void
flag(struct bits *b, bool *value)
{
	uint64_t wide = *value;

	field(b, &wide, 1);
	*value = wide != 0;
}

INLINE void
machine_fields(struct bits *b, struct handoff *h)
{
	field(b, &h->up, 3);
	field(b, &h->down, 3);
	field(b, &h->generation, 3);
	field(b, &h->highest, 3);
	small(b, &h->state, 4);
	small(b, &h->writing, 3);
	flag(b, &h->exclusive);
	flag(b, &h->has_life);
	flag(b, &h->up_ended);
	flag(b, &h->down_ended);
	flag(b, &h->late);
	flag(b, &h->asking);
	flag(b, &h->stopping);
	flag(b, &h->told);
	flag(b, &h->idle);
	flag(b, &h->cut);
	flag(b, &h->probation_over);
}

INLINE void
process_fields(struct bits *b, struct process *p)
{
	uint64_t script = p->script;

	machine_fields(b, &p->machine);
	field(b, &script, 12);
	p->script = (uint16_t)script;
	small(b, &p->mode, 2);
	small(b, &p->deadline, 3);
	flag(b, &p->drain_runs);
	flag(b, &p->probation_runs);
	flag(b, &p->retry_runs);
	small(b, &p->host, 3);
	small(b, &p->retiring, 2);
	flag(b, &p->committing);
	small(b, &p->service, 2);
	flag(b, &p->life);
	small(b, &p->listeners[LISTENER_CLAIMED], 4);
	small(b, &p->listeners[LISTENER_UNCLAIMED], 4);
	small(b, &p->path, 3);
	flag(b, &p->founder);
	flag(b, &p->stale);
	flag(b, &p->touched);
	flag(b, &p->failed);
	flag(b, &p->stopped);
}

INLINE void
line_fields(struct bits *b, struct line *l)
{
	small(b, &l->place, 2);
	small(b, &l->peer, 3);
	small(b, &l->from_up, 4);
	small(b, &l->from_down, 2);
	flag(b, &l->closed_up);
	flag(b, &l->closed_down);
	flag(b, &l->end_read);
	flag(b, &l->committed);
	flag(b, &l->stale);
	small(b, &l->generation, 3);
	small(b, &l->path, 3);
	flag(b, &l->unclaimed);
}

/* A process and its line. */
INLINE void
part_fields(struct bits *b, struct world *w, int i)
{
	process_fields(b, &w->process[i]);
	line_fields(b, &w->line[i]);
}

INLINE void
shared_fields(struct bits *b, struct world *w)
{
	field(b, &w->record.owner, 3);
	field(b, &w->record.heir, 3);
	field(b, &w->record.generation, 3);
	flag(b, &w->record_valid);
	small(b, &w->owner_lock, 3);
	small(b, &w->path, 3);
	for (int i = 0; i < BUDGETS; i++)
		small(b, &w->left[i], 2);
}

/* --- Names ------------------------------------------------------------------------------------ */

/* What it is, but for the names in it. */
static uint64_t
look_of(const struct world *w, int i)
{
	struct bits b = { .at = 0 };
	struct process process = w->process[i];
	struct line line = w->line[i];
	uint64_t h;

	process.script = script_node(process.script)->shape & 4095;
	process.machine.up = process.machine.up != 0;
	process.machine.down = process.machine.down != 0;
	if (line.place != PLACE_BACKLOG)
		line.peer = line.peer != 0;
	process_fields(&b, &process);
	line_fields(&b, &line);
	h = b.word[0] * 0x9e3779b97f4a7c15u;
	return ((h ^ h >> 29) + b.word[1]) * 0xff51afd7ed558ccdu;
}

/* By which they are put in order. */
static uint64_t
rank_of(const struct world *w, int i)
{
	uint64_t named = (w->record.owner == instance_of(i) ? 2u : 0) +
			 (w->record.heir == instance_of(i) ? 1u : 0);

	if (w->process[i].mode == MODE_NEW)
		return UINT64_MAX;
	if (w->process[i].mode == MODE_GONE && w->line[i].place == PLACE_NONE)
		return UINT64_MAX - 4 + named;
	return look_of(w, i) >> 3 << 2 | named;
}

static void
rename_in_process(struct process *p, const uint8_t *new_name)
{
	p->machine.up = new_name[p->machine.up];
	p->machine.down = new_name[p->machine.down];
	p->script = script_rename(p->script, new_name);
}

static void
rename_all(struct world *w, const uint8_t *old_index)
{
	uint8_t new_name[PROCESSES_MAX + 1] = { 0 };
	struct world old = *w;

	for (int i = 0; i < w->count; i++)
		new_name[instance_of(old_index[i])] = instance_of(i);
	for (int i = 0; i < w->count; i++) {
		w->process[i] = old.process[old_index[i]];
		w->process[i].machine.me = instance_of(i);
		w->line[i] = old.line[old_index[i]];
		rename_in_process(&w->process[i], new_name);
		if (w->line[i].place != PLACE_BACKLOG)
			w->line[i].peer = new_name[w->line[i].peer];
	}
	w->record.owner = new_name[w->record.owner];
	w->record.heir = new_name[w->record.heir];
	w->owner_lock = new_name[w->owner_lock];
}

void
world_sort(struct world *w, uint8_t ret_old_index[PROCESSES_MAX])
{
	uint64_t rank[PROCESSES_MAX];
	bool moved = false;

	for (int i = 0; i < w->count; i++) {
		uint64_t mine = rank_of(w, i);
		int at = i;

		for (; at > 0 && rank[at - 1] > mine; at--) {
			rank[at] = rank[at - 1];
			ret_old_index[at] = ret_old_index[at - 1];
			moved = true;
		}
		rank[at] = mine;
		ret_old_index[at] = (uint8_t)i;
	}
	if (moved)
		rename_all(w, ret_old_index);
}

/* --- Packing ---------------------------------------------------------------------------------- */

void
world_init(struct world *w, int processes, const uint8_t budgets[BUDGETS])
{
	memset(w, 0, sizeof(*w));
	w->count = (uint8_t)processes;
	memcpy(w->left, budgets, sizeof(w->left));
}

/* What these fields come to; a part that comes to something else is a mistake. */
enum { PART_BITS = 98, SHARED_BITS = 32 };

static void
expect_bits(const struct bits *b, unsigned bits)
{
	if (b->at == bits && b->lost == 0)
		return;
	fprintf(stderr, "explore: %u bits, not %u, or a field of the world is too narrow\n", b->at,
		bits);
	abort();
}

/*
 * Parts are made apart, each from bit 0, so that all shifts in them are known when this is
 * compiled.
 */
static void
append(struct bits *b, const struct bits *part)
{
	for (unsigned done = 0; done < part->at; done += 64) {
		unsigned left = part->at - done;
		unsigned shift = b->at % 64;
		uint64_t value = part->word[done / 64];

		b->word[b->at / 64] |= value << shift;
		if (shift > 0)
			b->word[b->at / 64 + 1] |= value >> (64 - shift);
		b->at += left < 64 ? left : 64;
	}
}

static void
extract(struct bits *b, struct bits *part, unsigned bits)
{
	for (unsigned done = 0; done < bits; done += 64) {
		unsigned left = bits - done;
		unsigned shift = b->at % 64;
		uint64_t value = b->word[b->at / 64] >> shift;

		if (shift > 0)
			value |= b->word[b->at / 64 + 1] << (64 - shift);
		part->word[done / 64] = value;
		b->at += left < 64 ? left : 64;
	}
}

size_t
world_words(int processes)
{
	return ((size_t)processes * PART_BITS + SHARED_BITS + 63) / 64;
}

void
world_pack(const struct world *w, uint64_t *ret_words)
{
	/* Only read: the fields are written back as they are. */
	struct world *same = (struct world *)(uintptr_t)w;
	struct bits whole = { .at = 0 };
	struct bits shared = { .at = 0 };

	for (int i = 0; i < w->count; i++) {
		struct bits part = { .at = 0 };

		part_fields(&part, same, i);
		expect_bits(&part, PART_BITS);
		append(&whole, &part);
	}
	shared_fields(&shared, same);
	expect_bits(&shared, SHARED_BITS);
	append(&whole, &shared);
	memcpy(ret_words, whole.word, world_words(w->count) * sizeof(*ret_words));
}

void
world_unpack(const uint64_t *words, int processes, struct world *ret_world)
{
	struct bits whole = { .at = 0 };
	struct bits shared = { .reading = true };

	memset(ret_world, 0, sizeof(*ret_world));
	memcpy(whole.word, words, world_words(processes) * sizeof(*words));
	for (int i = 0; i < processes; i++) {
		struct bits part = { .reading = true };

		extract(&whole, &part, PART_BITS);
		part_fields(&part, ret_world, i);
		ret_world->process[i].machine.me = instance_of(i);
	}
	extract(&whole, &shared, SHARED_BITS);
	shared_fields(&shared, ret_world);
	ret_world->count = (uint8_t)processes;
}

bool
world_is_gone(const struct world *w, uint64_t who)
{
	return who != 0 && w->process[who - 1].mode == MODE_GONE;
}
