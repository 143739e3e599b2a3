/* SPDX-License-Identifier: MIT */
/* The inventory's table, made from two bytes and read back into them. */
#include "holding.h"

#include "inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 8 };

static const char *const names[LISTENERS] = { "claimed", "unclaimed" };

/* In its owner's table the first is the library's, the second is the host's own and only lent. */
static bool
is_sent(uint8_t status)
{
	return status == INVENTORY_HELD_SENT || status == INVENTORY_HELD_CLAIMED ||
	       status == INVENTORY_LENT_SENT || status == INVENTORY_LENT_CLAIMED;
}

bool
holding_has(const struct process *p, enum listener listener)
{
	uint8_t status = p->listeners[listener];

	return status != INVENTORY_ABSENT && status != INVENTORY_HELD_RETIRED &&
	       status != INVENTORY_LENT_RETIRED;
}

bool
holding_has_any(const struct process *p)
{
	return holding_has(p, LISTENER_CLAIMED) || holding_has(p, LISTENER_UNCLAIMED);
}

static void
expect(bool so, const char *what)
{
	if (so)
		return;
	fprintf(stderr, "explore: the inventory %s\n", what);
	abort();
}

/* Descriptors and numbers are the same in every process: the world knows who has which. */
static struct entry
entry_of(int listener)
{
	struct entry e;

	molt__entry_init(&e);
	expect(molt__entry_set_name(&e, names[listener]) == 0, "rejects a name");
	e.kind = ENTRY_STREAM;
	e.fd = 10 + listener;
	e.id = (uint32_t)listener + 1;
	return e;
}

/* The slots have room for all that is ever put in, so that the table is never allocated. */
static struct inventory *
open_table(const struct process *p)
{
	static struct inventory_slot slots[SLOTS];
	static struct inventory table;

	table = (struct inventory){ .slots = slots, .capacity = SLOTS, .last_id = LISTENERS };
	for (int i = 0; i < LISTENERS; i++) {
		struct inventory_slot *slot = &slots[table.count];

		if (p->listeners[i] == INVENTORY_ABSENT)
			continue;
		*slot = (struct inventory_slot){ .status = p->listeners[i], .entry = entry_of(i) };
		slot->received_id = p->machine.has_life ? 0 : slot->entry.id;
		slot->sent_id = is_sent(slot->status) ? slot->entry.id : 0;
		slot->entry.id = slot->sent_id;
		if (!holding_has(p, (enum listener)i))
			slot->entry.fd = -1;
		table.count++;
	}
	return &table;
}

static void
close_table(struct process *p, const struct inventory *table)
{
	expect(table->capacity == SLOTS, "has grown");
	memset(p->listeners, INVENTORY_ABSENT, sizeof(p->listeners));
	for (int i = 0; i < table->count; i++) {
		const struct inventory_slot *slot = &table->slots[i];
		int listener = strcmp(slot->entry.name, names[LISTENER_UNCLAIMED]) == 0;

		if (slot->status == INVENTORY_ABSENT)
			continue;
		expect(p->listeners[listener] == INVENTORY_ABSENT, "has a listener twice");
		p->listeners[listener] = slot->status;
	}
}

static void
make(struct inventory *table, int listener)
{
	struct entry e = entry_of(listener);
	int slot = listener == LISTENER_CLAIMED ? molt__inventory_hold(table, &e)
						: molt__inventory_lend(table, &e);

	expect(slot >= 0, "has no place for a listener");
}

void
holding_listen(struct process *p)
{
	struct inventory *table = open_table(p);

	make(table, LISTENER_CLAIMED);
	make(table, LISTENER_UNCLAIMED);
	close_table(p, table);
}

void
holding_inherit(struct process *p, bool unclaimed)
{
	struct inventory *table = open_table(p);

	for (int i = 0; i < (unclaimed ? 2 : 1); i++) {
		struct entry e = entry_of(i);
		int replaced = -1;

		expect(molt__inventory_inherit(table, &e, &replaced) >= 0 && replaced < 0,
		       "does not inherit");
	}
	close_table(p, table);
}

void
holding_claim(struct process *p)
{
	struct inventory *table = open_table(p);
	int slot = molt__inventory_find(table, INVENTORY_SET(INVENTORY_INHERITED),
					names[LISTENER_CLAIMED], 0);

	expect(slot != INVENTORY_NONE, "has lost what was inherited");
	molt__inventory_claim(table, slot);
	close_table(p, table);
}

void
holding_close_unclaimed(struct process *p)
{
	struct inventory *table = open_table(p);
	int slot;

	while ((slot = molt__inventory_next_to_close_unclaimed(table)) != INVENTORY_NONE)
		molt__inventory_remove(table, slot);
	close_table(p, table);
}

void
holding_close_all(struct process *p)
{
	struct inventory *table = open_table(p);
	int slot;

	while ((slot = molt__inventory_next_to_close_failed(table)) != INVENTORY_NONE)
		molt__inventory_remove(table, slot);
	close_table(p, table);
}

bool
holding_offer(struct process *p)
{
	struct inventory *table = open_table(p);
	int slot;

	molt__inventory_begin_handoff(table);
	while ((slot = molt__inventory_next_to_send(table)) != INVENTORY_NONE)
		molt__inventory_mark_sent(table, slot);
	close_table(p, table);
	return is_sent(p->listeners[LISTENER_UNCLAIMED]);
}

void
holding_mark_claimed(struct process *p)
{
	struct inventory *table = open_table(p);
	uint32_t id = LISTENER_CLAIMED + 1;

	expect(molt__inventory_mark_claimed(table, &id, 1) == 0, "does not know what it sent");
	close_table(p, table);
}

void
holding_end_handoff(struct process *p)
{
	struct inventory *table = open_table(p);

	molt__inventory_end_handoff(table);
	close_table(p, table);
}

void
holding_retire(struct process *p, enum retiring which)
{
	struct inventory *table = open_table(p);
	enum inventory_retire asked =
		which == RETIRING_ALL ? INVENTORY_RETIRE_ALL : INVENTORY_RETIRE_UNCLAIMED;
	int slot;

	while ((slot = molt__inventory_next_to_retire(table, asked)) != INVENTORY_NONE) {
		molt__inventory_mark_retiring(table, slot);
		molt__inventory_mark_retired(table, slot);
	}
	close_table(p, table);
}

void
holding_renew(struct process *p)
{
	struct inventory *table = open_table(p);
	bool lost[LISTENERS] = { false };
	int slot;

	while ((slot = molt__inventory_next_retired(table, INVENTORY_NONE)) != INVENTORY_NONE) {
		const char *name = molt__inventory_entry(table, slot)->name;

		lost[strcmp(name, names[LISTENER_UNCLAIMED]) == 0] = true;
		molt__inventory_remove(table, slot);
	}
	for (int i = 0; i < LISTENERS; i++) {
		if (lost[i])
			make(table, i);
	}
	close_table(p, table);
}
