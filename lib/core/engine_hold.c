/* SPDX-License-Identifier: MIT */
/* What listeners and offers have in common: when the inventory may change, holding and dropping. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define HELD (INVENTORY_ANY_HELD | INVENTORY_SET(INVENTORY_HELD_RETIRING))

/* --- May it be? ------------------------------------------------------------------------------- */

int
molt__listeners_check_started(struct molt *m, const char *name)
{
	switch (m->handoff.state) {
	case HANDOFF_NEW:
	case HANDOFF_START:
	case HANDOFF_CONN:
		return molt__engine_error(
			m, -EBUSY,
			"%.80s: this handle has not started: call molt_start(), or wait for "
			"STARTED",
			name);
	case HANDOFF_FAILED:
		return molt__engine_error(
			m, -ECANCELED,
			"%.80s: this start has failed: molt_free() the handle and try with a "
			"new one",
			name);
	default:
		return 0;
	}
}

int
molt__listeners_check_changeable(struct molt *m, const char *name)
{
	bool sent = m->down.late_complete || m->down.commit_queued;

	if (m->handoff.state != HANDOFF_YIELDED && (m->handoff.state != HANDOFF_PAUSED || !sent))
		return 0;
	return molt__engine_error(
		m, -EBUSY,
		"%s: the commit is on its way, and with it all that could be offered: try "
		"again after DRAIN or RESUME",
		name);
}

/* --- What waits for service ------------------------------------------------------------------- */

struct unfinished *
molt__listeners_find_unfinished(const struct molt *m, int slot)
{
	for (int i = 0; i < m->unfinished_count; i++)
		if (m->unfinished[i].slot == slot)
			return &m->unfinished[i];
	return NULL;
}

static void
forget_unfinished(struct molt *m, struct unfinished *u)
{
	*u = m->unfinished[--m->unfinished_count];
	if (m->unfinished_count > 0)
		return;
	free(m->unfinished);
	m->unfinished = NULL;
}

int
molt__listeners_set_unfinished(struct molt *m, int slot, const struct bind_pending *pending)
{
	size_t size = ((size_t)m->unfinished_count + 1) * sizeof(*m->unfinished);
	struct unfinished *table;

	table = realloc(m->unfinished, size);
	if (table == NULL)
		return -ENOMEM;
	m->unfinished = table;
	table[m->unfinished_count++] = (struct unfinished){ .slot = slot, .pending = *pending };
	return 0;
}

/* --- Holding and dropping --------------------------------------------------------------------- */

/* A forked child leaves its parent's files alone. */
void
molt__listeners_discard(struct molt *m, int slot)
{
	struct unfinished *u = molt__listeners_find_unfinished(m, slot);

	if (u == NULL)
		return;
	if (!m->abandoned)
		molt__bind_discard(molt__inventory_entry(&m->inventory, slot), &u->pending);
	forget_unfinished(m, u);
}

/* A number that the host has closed behind our back may be another's by now. */
static void
close_if_ours(const struct entry *e)
{
	if (molt__address_still(e))
		molt__sys_close(e->fd);
}

void
molt__listeners_drop(struct molt *m, int slot)
{
	molt__listeners_discard(m, slot);
	close_if_ours(molt__inventory_entry(&m->inventory, slot));
	molt__inventory_remove(&m->inventory, slot);
}

void
molt__listeners_drop_stale(struct molt *m, int fd)
{
	int slot = molt__inventory_find_fd(&m->inventory, fd);

	if (slot == INVENTORY_NONE)
		return;
	const struct entry *e = molt__inventory_entry(&m->inventory, slot);
	if (molt__address_still(e))
		return;
	molt__engine_log(m, LOG_WARNING, "withdrawn",
			 "descriptor %d, known as %s, was closed and is another file now: left out",
			 fd, e->name);
	molt__listeners_drop(m, slot);
}

int
molt__listeners_hold(struct molt *m, const struct entry *e)
{
	molt__listeners_drop_stale(m, e->fd);
	return molt__inventory_hold(&m->inventory, e);
}

/* --- Entering service ------------------------------------------------------------------------- */

/* What its making has left for now. */
static int
finish(const struct entry *e, struct unfinished *u)
{
	if (e->kind == ENTRY_DATAGRAM)
		return molt__bind_join(e);
	return molt__bind_publish(e, &u->pending);
}

int
molt__listeners_enter_service(struct molt *m, int slot, int backlog)
{
	struct entry e = *molt__inventory_entry(&m->inventory, slot);
	struct unfinished *u = molt__listeners_find_unfinished(m, slot);
	int error;

	if (!molt__address_still(&e))
		return -EBADF;
	e.backlog = backlog;
	error = molt__sys_assert_flags(e.fd);
	if (error == 0)
		error = molt__bind_listen(&e);
	if (error == 0 && u != NULL)
		error = finish(&e, u);
	if (error == 0 && u != NULL)
		forget_unfinished(m, u);
	return error;
}

/* --- Looking ---------------------------------------------------------------------------------- */

int
molt__listeners_count(struct molt *m, const char *name)
{
	int count = 0;

	for (int slot = INVENTORY_NONE;
	     (slot = molt__inventory_next_named(&m->inventory, slot, HELD, name)) !=
	     INVENTORY_NONE;)
		count++;
	return count;
}

int
molt__listeners_fd(struct molt *m, const char *name, int index)
{
	int slot = INVENTORY_NONE;

	for (int i = 0; i <= index; i++) {
		slot = molt__inventory_next_named(&m->inventory, slot, HELD, name);
		if (slot == INVENTORY_NONE)
			return molt__engine_error(m, -ENOENT,
						  "listener %.80s has %d socket%s: there is no "
						  "number %d",
						  name, i, i == 1 ? "" : "s", index);
	}
	return molt__inventory_entry(&m->inventory, slot)->fd;
}
