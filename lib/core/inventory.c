/* SPDX-License-Identifier: MIT */
/* The table of entries: putting in, taking out, finding. */
#include "inventory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANY_INHERITED INVENTORY_SET(INVENTORY_INHERITED)
#define ANY_RETIRING                                                                               \
	(INVENTORY_SET(INVENTORY_HELD_RETIRING) | INVENTORY_SET(INVENTORY_LENT_RETIRING))
#define WITH_DESCRIPTOR (ANY_INHERITED | INVENTORY_ANY_HELD | INVENTORY_ANY_LENT | ANY_RETIRING)

void
molt__inventory_init(struct inventory *inv)
{
	memset(inv, 0, sizeof(*inv));
}

void
molt__inventory_clear(struct inventory *inv)
{
	free(inv->slots);
	molt__inventory_init(inv);
}

static bool
is_in(const struct inventory_slot *s, unsigned statuses)
{
	return s->status != INVENTORY_ABSENT && (INVENTORY_SET(s->status) & statuses) != 0;
}

/* --- Putting in, taking out --- */

/*
 * Reserved entries have room of their own, so that a host cannot use up what every handoff needs.
 */
static bool
has_room_for(const struct inventory *inv, const struct entry *e)
{
	int used = 0;

	for (int i = 0; i < inv->count; i++) {
		const struct inventory_slot *s = &inv->slots[i];
		used += is_in(s, WITH_DESCRIPTOR) &&
			molt__entry_is_reserved(&s->entry) == molt__entry_is_reserved(e);
	}
	return used < (molt__entry_is_reserved(e) ? INVENTORY_RESERVED : INVENTORY_MAX);
}

static int
grow(struct inventory *inv)
{
	int capacity = inv->capacity ? 2 * inv->capacity : 8;
	struct inventory_slot *slots = realloc(inv->slots, (size_t)capacity * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	inv->slots = slots;
	inv->capacity = capacity;
	return 0;
}

/* The lowest slot without an entry, made if there is none. */
static int
free_slot(struct inventory *inv)
{
	for (int i = 0; i < inv->count; i++) {
		if (inv->slots[i].status == INVENTORY_ABSENT)
			return i;
	}
	if (inv->count == inv->capacity) {
		int error = grow(inv);
		if (error)
			return error;
	}
	return inv->count++;
}

static int
add(struct inventory *inv, const struct entry *e, enum inventory_status status)
{
	if (!has_room_for(inv, e))
		return -ENOSPC;
	int slot = free_slot(inv);
	if (slot >= 0)
		inv->slots[slot] =
			(struct inventory_slot){ .status = (uint8_t)status, .entry = *e };
	return slot;
}

/* The one that came with this number, in whatever status it is now. */
static bool
was_received(const struct inventory *inv, uint32_t id)
{
	for (int i = 0; i < inv->count; i++) {
		if (inv->slots[i].status != INVENTORY_ABSENT && inv->slots[i].received_id == id)
			return true;
	}
	return false;
}

int
molt__inventory_inherit(struct inventory *inv, const struct entry *e, int *ret_replaced)
{
	if (e->id == 0 || e->fd < 0 || !molt__entry_name_ok(e->name))
		return -EINVAL;
	if (was_received(inv, e->id))
		return -EEXIST;
	int old = molt__inventory_find(inv, ANY_INHERITED, e->name, e->index);
	if (old == INVENTORY_NONE || molt__entry_is_reserved(e)) {
		int slot = add(inv, e, INVENTORY_INHERITED);
		if (slot < 0)
			return slot;
		inv->slots[slot].received_id = e->id;
		*ret_replaced = -1;
		return slot;
	}
	*ret_replaced = inv->slots[old].entry.fd;
	inv->slots[old].entry = *e;
	inv->slots[old].received_id = e->id;
	return old;
}

/* One pass, because a group may have as many members as the table has room for. */
static uint32_t
lowest_free_index(const struct inventory *inv, unsigned statuses, const char *name)
{
	bool used[INVENTORY_MAX + 1] = { false };
	uint32_t index = 0;

	for (int i = 0; i < inv->count; i++) {
		const struct entry *e = &inv->slots[i].entry;
		if (is_in(&inv->slots[i], statuses) && e->index < INVENTORY_MAX &&
		    !molt__entry_is_reserved(e) && strcmp(e->name, name) == 0)
			used[e->index] = true;
	}
	while (used[index])
		index++;
	return index;
}

/* `same` is how the name may be in use already, `other` how it may not. */
static int
add_own(struct inventory *inv, const struct entry *e, unsigned same, unsigned other)
{
	if (e->fd < 0 || !molt__entry_name_ok(e->name))
		return -EINVAL;
	if (molt__inventory_find_fd(inv, e->fd) != INVENTORY_NONE)
		return -EEXIST;
	if (!molt__entry_is_reserved(e) &&
	    molt__inventory_next_named(inv, INVENTORY_NONE, other, e->name) != INVENTORY_NONE)
		return -EEXIST;
	bool held = same == INVENTORY_ANY_HELD;
	uint32_t index = lowest_free_index(inv, same, e->name);
	int slot = add(inv, e, held ? INVENTORY_HELD : INVENTORY_LENT);
	if (slot < 0)
		return slot;
	inv->slots[slot].entry.index = molt__entry_is_reserved(e) ? 0 : index;
	inv->slots[slot].entry.id = 0;
	return slot;
}

int
molt__inventory_hold(struct inventory *inv, const struct entry *e)
{
	return add_own(inv, e, INVENTORY_ANY_HELD, INVENTORY_ANY_LENT);
}

int
molt__inventory_lend(struct inventory *inv, const struct entry *e)
{
	return add_own(inv, e, INVENTORY_ANY_LENT, INVENTORY_ANY_HELD);
}

void
molt__inventory_remove(struct inventory *inv, int slot)
{
	memset(&inv->slots[slot], 0, sizeof(inv->slots[slot]));
	while (inv->count > 0 && inv->slots[inv->count - 1].status == INVENTORY_ABSENT)
		inv->count--;
}

void
molt__inventory_claim(struct inventory *inv, int slot)
{
	struct inventory_slot *s = &inv->slots[slot];

	s->entry.index = lowest_free_index(inv, INVENTORY_ANY_HELD, s->entry.name);
	s->status = INVENTORY_HELD;
}

int
molt__inventory_take(struct inventory *inv, int slot)
{
	struct inventory_slot *s = &inv->slots[slot];
	int fd = s->entry.fd;

	s->entry.fd = -1;
	s->status = INVENTORY_TAKEN;
	return fd;
}

int
molt__inventory_borrow(struct inventory *inv, int slot)
{
	inv->slots[slot].status = INVENTORY_LENT;
	return inv->slots[slot].entry.fd;
}

/* --- Finding --- */

struct entry *
molt__inventory_entry(const struct inventory *inv, int slot)
{
	return &inv->slots[slot].entry;
}

enum inventory_status
molt__inventory_status(const struct inventory *inv, int slot)
{
	return (enum inventory_status)inv->slots[slot].status;
}

int
molt__inventory_next(const struct inventory *inv, int after, unsigned statuses)
{
	for (int i = after + 1; i < inv->count; i++) {
		if (is_in(&inv->slots[i], statuses))
			return i;
	}
	return INVENTORY_NONE;
}

/* The next one that a host may see. */
static int
next_visible(const struct inventory *inv, int after, unsigned statuses)
{
	int i = after;

	do
		i = molt__inventory_next(inv, i, statuses);
	while (i != INVENTORY_NONE && molt__entry_is_reserved(&inv->slots[i].entry));
	return i;
}

/* By index, and then by slot. */
static bool
is_before(const struct inventory *inv, int a, int b)
{
	uint32_t ia = inv->slots[a].entry.index, ib = inv->slots[b].entry.index;

	return ia < ib || (ia == ib && a < b);
}

int
molt__inventory_next_named(const struct inventory *inv, int after, unsigned statuses,
			   const char *name)
{
	int best = INVENTORY_NONE, i = INVENTORY_NONE;

	while ((i = next_visible(inv, i, statuses)) != INVENTORY_NONE) {
		if (strcmp(inv->slots[i].entry.name, name) != 0)
			continue;
		if (after != INVENTORY_NONE && !is_before(inv, after, i))
			continue;
		if (best == INVENTORY_NONE || is_before(inv, i, best))
			best = i;
	}
	return best;
}

int
molt__inventory_find(const struct inventory *inv, unsigned statuses, const char *name,
		     uint32_t index)
{
	int i = INVENTORY_NONE;

	while ((i = next_visible(inv, i, statuses)) != INVENTORY_NONE) {
		const struct entry *e = &inv->slots[i].entry;
		if (e->index == index && strcmp(e->name, name) == 0)
			break;
	}
	return i;
}

int
molt__inventory_find_address(const struct inventory *inv, unsigned statuses,
			     const struct address_record *asked)
{
	int i = INVENTORY_NONE;

	while ((i = next_visible(inv, i, statuses)) != INVENTORY_NONE) {
		if (molt__address_record_match(asked, &inv->slots[i].entry.address))
			break;
	}
	return i;
}

int
molt__inventory_find_kind(const struct inventory *inv, unsigned statuses, enum entry_kind kind)
{
	int i = INVENTORY_NONE;

	while ((i = molt__inventory_next(inv, i, statuses)) != INVENTORY_NONE) {
		if (inv->slots[i].entry.kind == kind)
			break;
	}
	return i;
}

int
molt__inventory_find_fd(const struct inventory *inv, int fd)
{
	int i = INVENTORY_NONE;

	while ((i = molt__inventory_next(inv, i, WITH_DESCRIPTOR)) != INVENTORY_NONE) {
		if (inv->slots[i].entry.fd == fd)
			break;
	}
	return i;
}

int
molt__inventory_count(const struct inventory *inv, unsigned statuses)
{
	int count = 0;

	for (int i = INVENTORY_NONE; (i = next_visible(inv, i, statuses)) != INVENTORY_NONE;)
		count++;
	return count;
}

/* The slot of the nth that was inherited; their number if there are no more than that. */
static int
nth_inherited(const struct inventory *inv, int nth, int *ret_count)
{
	int i = INVENTORY_NONE, count = 0;

	while ((i = next_visible(inv, i, ~0u)) != INVENTORY_NONE) {
		if (inv->slots[i].received_id == 0)
			continue;
		if (count++ == nth)
			break;
	}
	*ret_count = count;
	return i;
}

int
molt__inventory_inherited_count(const struct inventory *inv)
{
	int count;

	nth_inherited(inv, -1, &count);
	return count;
}

const char *
molt__inventory_inherited_name(const struct inventory *inv, int nth)
{
	int count;
	int slot = nth < 0 ? INVENTORY_NONE : nth_inherited(inv, nth, &count);

	return slot == INVENTORY_NONE ? NULL : inv->slots[slot].entry.name;
}
