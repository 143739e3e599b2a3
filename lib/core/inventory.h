/* SPDX-License-Identifier: MIT */
/*
 * The table of entries and who owns each. It says which descriptor is to be sent, retired or
 * closed; who asked does it and then says so here. No system call; memory is asked for only when
 * the table grows.
 *
 * One table serves both roles of a process. The life of an entry:
 *
 *   as successor    INHERITED --claim--> HELD     molt_listen(): stays the library's
 *                             --take---> TAKEN    molt_take(): the host's; only its name stays
 *                   FAILED: close all that next_to_close_failed() names.
 *                   SERVE:  close all that next_to_close_unclaimed() names.
 *   while serving   HELD    from molt_listen(): the library closes it
 *                   LENT    offered: the host's, or (LIFE, PATH) the rendezvous's to close
 *   as predecessor  HELD --sent--> HELD_SENT --claimed--> HELD_CLAIMED      (and LENT likewise)
 *                   not claimed, or renounced, or leaving:
 *                        --retiring--> HELD_RETIRING --retired--> HELD_RETIRED
 *                   end_handoff(): all that was sent or claimed is HELD or LENT again
 *
 * RETIRED ones have no descriptor any more: they are only remembered, so that RESUME can say what
 * must be bound again. Slots are numbers from 0; a slot keeps its number as long as its entry
 * lives. A pointer to an entry is good until the next call that adds one.
 */
#ifndef MOLT_CORE_INVENTORY_H
#define MOLT_CORE_INVENTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "entry.h"

enum {
	INVENTORY_MAX = 1024,   /* entries that have a descriptor */
	INVENTORY_NONE = -1,    /* no (further) slot */
	INVENTORY_RESERVED = 2, /* LIFE and PATH come on top */
};

/* Numbers that fit a byte. The order is used: HELD … HELD_RETIRED, LENT … LENT_RETIRED. */
enum inventory_status {
	INVENTORY_ABSENT = 0,
	INVENTORY_INHERITED,
	INVENTORY_TAKEN,
	INVENTORY_HELD,
	INVENTORY_HELD_SENT,
	INVENTORY_HELD_CLAIMED,
	INVENTORY_HELD_RETIRING,
	INVENTORY_HELD_RETIRED,
	INVENTORY_LENT,
	INVENTORY_LENT_SENT,
	INVENTORY_LENT_CLAIMED,
	INVENTORY_LENT_RETIRING,
	INVENTORY_LENT_RETIRED,
};

enum inventory_retire {
	INVENTORY_RETIRE_UNCLAIMED, /* only what the successor did not claim */
	INVENTORY_RETIRE_ALL,       /* renounced, or leaving */
};

struct inventory_slot {
	uint8_t status;       /* enum inventory_status */
	uint32_t received_id; /* its number in the predecessor's offers; 0: not inherited */
	uint32_t sent_id;     /* its number in this process's offers; 0: in none */
	struct entry entry;
};

struct inventory {
	struct inventory_slot *slots;
	int count; /* slots in use, ABSENT ones among them */
	int capacity;
	uint32_t last_id; /* the last number given in this handoff */
};

void molt__inventory_init(struct inventory *inv);

/* Frees the table and closes nothing: ask next_to_close_failed() first, if that is to be. */
void molt__inventory_clear(struct inventory *inv);

/* --- Putting in, taking out --- */

/*
 * From an OFFER: INHERITED, with e->fd, and e->id as its number there. An entry that has come late
 * takes the place of an unclaimed one with its name and index: *ret_replaced is that one's
 * descriptor, to be closed, otherwise -1. Returns the slot, or -EEXIST (that number has come
 * before), -EINVAL (no number, no name, no descriptor), -ENOSPC, -ENOMEM.
 */
int molt__inventory_inherit(struct inventory *inv, const struct entry *e, int *ret_replaced);

/*
 * A listener that the library bound: HELD; or a descriptor that somebody offers: LENT. The index is
 * given here: the lowest that is free under that name. Returns the slot, or -EEXIST (this
 * descriptor is in the table, or the name is in use in the other way), -EINVAL (no name, no
 * descriptor), -ENOSPC, -ENOMEM.
 */
int molt__inventory_hold(struct inventory *inv, const struct entry *e);
int molt__inventory_lend(struct inventory *inv, const struct entry *e);

/* The entry is no longer there; what becomes of its descriptor is the caller's business. */
void molt__inventory_remove(struct inventory *inv, int slot);

/* INHERITED -> HELD, with the lowest free index: members of a group are counted without gaps. */
void molt__inventory_claim(struct inventory *inv, int slot);

/* INHERITED -> TAKEN. Returns the descriptor, which is the caller's now. */
int molt__inventory_take(struct inventory *inv, int slot);

/* INHERITED -> LENT, for LIFE and PATH: claimed, and the rendezvous's. Returns the descriptor. */
int molt__inventory_borrow(struct inventory *inv, int slot);

/* --- Finding: a slot, or INVENTORY_NONE. `after` is that at first, then the last answer --- */

/* Never NULL for a slot that some call here has just named. */
struct entry *molt__inventory_entry(const struct inventory *inv, int slot);
enum inventory_status molt__inventory_status(const struct inventory *inv, int slot);

/* Statuses are asked for as a set: INVENTORY_SET(INVENTORY_HELD) | INVENTORY_SET(…). */
#define INVENTORY_SET(status) (1u << (status))
#define INVENTORY_ANY_HELD                                                                         \
	(INVENTORY_SET(INVENTORY_HELD) | INVENTORY_SET(INVENTORY_HELD_SENT) |                      \
	 INVENTORY_SET(INVENTORY_HELD_CLAIMED))
#define INVENTORY_ANY_LENT                                                                         \
	(INVENTORY_SET(INVENTORY_LENT) | INVENTORY_SET(INVENTORY_LENT_SENT) |                      \
	 INVENTORY_SET(INVENTORY_LENT_CLAIMED))

/* Entries with one of these statuses, reserved ones included. */
int molt__inventory_next(const struct inventory *inv, int after, unsigned statuses);

/* Of those, the ones called `name`, in the order of their indexes; the reserved ones never. */
int molt__inventory_next_named(const struct inventory *inv, int after, unsigned statuses,
			       const char *name);

/* The one called `name` with this index. */
int molt__inventory_find(const struct inventory *inv, unsigned statuses, const char *name,
			 uint32_t index);

/* The first, not reserved, whose recorded address is what is asked for. */
int molt__inventory_find_address(const struct inventory *inv, unsigned statuses,
				 const struct address_record *asked);

/* The one of a reserved kind. */
int molt__inventory_find_kind(const struct inventory *inv, unsigned statuses, enum entry_kind kind);

/* The one that has this descriptor, retired and taken ones not. */
int molt__inventory_find_fd(const struct inventory *inv, int fd);

/* How many have one of these statuses, reserved ones not. */
int molt__inventory_count(const struct inventory *inv, unsigned statuses);

/* What was inherited, claimed or not, from 0 up; the reserved ones not. NULL beyond the end. */
int molt__inventory_inherited_count(const struct inventory *inv);
const char *molt__inventory_inherited_name(const struct inventory *inv, int nth);

/* --- As successor --- */

/* Writes the received numbers of all that is claimed; returns how many, at most max. */
size_t molt__inventory_claimed_ids(const struct inventory *inv, uint32_t *ids, size_t max);

/* After SERVE: INHERITED ones, to be closed, then molt__inventory_remove(). */
int molt__inventory_next_to_close_unclaimed(const struct inventory *inv);

/*
 * After FAILED: everything that is the library's, INHERITED, HELD and HELD_RETIRING. LENT and TAKEN
 * ones are not. To be closed, then molt__inventory_remove().
 */
int molt__inventory_next_to_close_failed(const struct inventory *inv);

/* --- As predecessor --- */

/* Forgets the numbers of the last handoff; nothing is sent or claimed. */
void molt__inventory_begin_handoff(struct inventory *inv);

/*
 * The next HELD or LENT entry that this handoff has not sent, the reserved ones first. Before
 * OFFER's `last` it names the inventory, before COMMIT the late entries. The descriptor must still
 * be entry->file, or the entry is removed instead of being sent.
 */
int molt__inventory_next_to_send(const struct inventory *inv);

/* How many such there are: what the successor must have room for. */
int molt__inventory_count_to_send(const struct inventory *inv);

/* It is in a packet: gets its number (entry->id too). */
void molt__inventory_mark_sent(struct inventory *inv, int slot);

/*
 * What READY or CONFIRM names is claimed. Saying it again is harmless, and so is the number of an
 * entry that was removed since. -EBADMSG, and nothing is changed, if a number was never given in
 * this handoff.
 */
int molt__inventory_mark_claimed(struct inventory *inv, const uint32_t *ids, size_t count);

/*
 * The next listener for which RETIRE is due, INVENTORY_NONE if there is none. Only listeners: other
 * descriptors and LIFE and PATH end in their own ways. UNCLAIMED may be asked only when the
 * successor owns.
 */
int molt__inventory_next_to_retire(const struct inventory *inv, enum inventory_retire which);

/* The event is queued. */
void molt__inventory_mark_retiring(struct inventory *inv, int slot);

/*
 * The event was handled. Returns the descriptor that is now to be closed by the caller (it was
 * HELD), or -1 (it was LENT: the host closes it). The table knows no descriptor of it any more.
 */
int molt__inventory_mark_retired(struct inventory *inv, int slot);

/* Aborted or resumed: what was sent and claimed is HELD or LENT again. */
void molt__inventory_end_handoff(struct inventory *inv);

/*
 * RESUME, changed: what this process had given up and must bind again. Then
 * molt__inventory_remove().
 */
int molt__inventory_next_retired(const struct inventory *inv, int after);

#endif
