/* SPDX-License-Identifier: MIT */
/* molt_take(), molt_offer() and their like: descriptors that are the host's. */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

/* --- Taking ----------------------------------------------------------------------------------- */

/* Says it once more for what others may have changed meanwhile, before the host relies on it. */
static int
hand_out(struct molt *m, const struct entry *e)
{
	if (molt__entry_is_listener(e) && molt__sys_assert_flags(e->fd) < 0)
		molt__engine_log(m, LOG_WARNING, "flags",
				 "%s, descriptor %d, cannot be made non-blocking", e->name, e->fd);
	molt__status_changed(m);
	return e->fd;
}

static int
take_inherited(struct molt *m, int slot)
{
	struct entry e = *molt__inventory_entry(&m->inventory, slot);

	molt__inventory_take(&m->inventory, slot);
	return hand_out(m, &e);
}

int
molt__listeners_take(struct molt *m, const char *name)
{
	struct entry e;
	int slot;
	int error = molt__listeners_check_started(m, name);

	if (error < 0)
		return error;
	slot = molt__inventory_next_named(&m->inventory, INVENTORY_NONE,
					  INVENTORY_SET(INVENTORY_INHERITED), name);
	if (slot != INVENTORY_NONE)
		return take_inherited(m, slot);
	if (molt__listen_fds_take_name(m->listen_fds, name, 0, &e) == 0)
		return hand_out(m, &e);
	return molt__engine_error(m, -ENOENT,
				  "nothing called %.80s was handed over, or it is taken "
				  "already: make it anew, and molt_offer() it",
				  name);
}

static int
take_record(struct molt *m, const struct address_record *asked)
{
	char text[ADDRESS_TEXT_SIZE];
	struct entry e;
	int slot = molt__inventory_find_address(&m->inventory, INVENTORY_SET(INVENTORY_INHERITED),
						asked);

	if (slot != INVENTORY_NONE)
		return take_inherited(m, slot);
	if (molt__listen_fds_take_address(m->listen_fds, asked, &e) == 0)
		return hand_out(m, &e);
	molt__address_print(asked, text, sizeof(text));
	return molt__engine_error(m, -ENOENT,
				  "no socket at %s was handed over, or it is taken already: "
				  "bind it, and molt_offer() it",
				  text);
}

int
molt__listeners_take_address(struct molt *m, int type, const struct sockaddr *address,
			     socklen_t length)
{
	struct address_record asked;
	int error = molt__address_from_sockaddr(type, address, length, &asked);

	if (error < 0)
		return molt__engine_error(m, error,
					  "socket type %d with an address of family %d and %u "
					  "bytes cannot have been handed over",
					  type,
					  length >= sizeof(sa_family_t) ? address->sa_family : 0,
					  (unsigned)length);
	error = molt__listeners_check_started(m, "a socket");
	return error < 0 ? error : take_record(m, &asked);
}

/* --- Offering --------------------------------------------------------------------------------- */

/*
 * What this process took was described by who bound it. Of a unix socket that was renamed since,
 * the kernel itself knows only the name that is gone.
 */
static void
remember_address(const struct molt *m, struct entry *e)
{
	const struct inventory *inv = &m->inventory;

	for (int slot = INVENTORY_NONE;
	     (slot = molt__inventory_next(inv, slot, INVENTORY_SET(INVENTORY_TAKEN))) !=
	     INVENTORY_NONE;) {
		const struct entry *taken = molt__inventory_entry(inv, slot);
		if (!molt__sys_same_file(&taken->file, &e->file))
			continue;
		e->kind = taken->kind;
		e->address = taken->address;
		e->path = taken->path;
		return;
	}
}

static int
describe(struct molt *m, const char *name, int fd, struct entry *ret)
{
	char why[ADDRESS_WHY_MAX + 1];
	int error;

	molt__entry_init(ret);
	molt__entry_set_name(ret, name);
	error = molt__address_of_descriptor(fd, ret, why);
	if (error == -EBADF)
		return molt__engine_error(m, error, "%s: there is no descriptor %d", name, fd);
	if (error < 0)
		return molt__engine_error(m, error, "%s: %s", name, why);
	remember_address(m, ret);
	if (molt__listen_fds_passed(m->listen_fds, &ret->file))
		memset(&ret->path, 0, sizeof(ret->path));
	return 0;
}

/* The descriptor is known already, or else its name is that of a listener. */
static int
exists(struct molt *m, const struct entry *e)
{
	int slot = molt__inventory_find_fd(&m->inventory, e->fd);

	if (slot == INVENTORY_NONE)
		return molt__engine_error(m, -EEXIST,
					  "%s is the name of a listener of molt_listen(), which is "
					  "offered by itself: choose another",
					  e->name);
	const char *known = molt__inventory_entry(&m->inventory, slot)->name;
	enum inventory_status status = molt__inventory_status(&m->inventory, slot);
	if (molt__entry_is_reserved(molt__inventory_entry(&m->inventory, slot)))
		return molt__engine_error(m, -EEXIST, "%s: descriptor %d is the library's own",
					  e->name, e->fd);
	if (status == INVENTORY_INHERITED)
		return molt__engine_error(m, -EEXIST,
					  "%s: descriptor %d was handed over as %s: molt_take() it "
					  "first",
					  e->name, e->fd, known);
	if (status >= INVENTORY_LENT)
		return molt__engine_error(m, -EEXIST, "%s: descriptor %d is offered already, as %s",
					  e->name, e->fd, known);
	return molt__engine_error(m, -EEXIST,
				  "%s: descriptor %d is of molt_listen(), as %s, and is offered by "
				  "itself",
				  e->name, e->fd, known);
}

static int
lend_failed(struct molt *m, const struct entry *e, int error)
{
	if (error == -EEXIST)
		return exists(m, e);
	if (error == -ENOSPC)
		return molt__engine_error(m, error,
					  "%s: %d descriptors are offered already: withdraw one",
					  e->name, INVENTORY_MAX);
	return molt__engine_error(m, error, "%s cannot be offered: %s", e->name, strerror(-error));
}

int
molt__listeners_offer(struct molt *m, const char *name, int fd)
{
	struct entry e;
	int error = describe(m, name, fd, &e);

	if (error == 0)
		error = molt__listeners_check_changeable(m, name);
	if (error < 0)
		return error;
	molt__listeners_drop_stale(m, fd);
	error = molt__inventory_lend(&m->inventory, &e);
	if (error < 0)
		return lend_failed(m, &e, error);
	molt__status_changed(m);
	return 0;
}

int
molt__listeners_withdraw(struct molt *m, const char *name)
{
	unsigned lent = INVENTORY_ANY_LENT | INVENTORY_SET(INVENTORY_LENT_RETIRING);
	int slot = molt__inventory_next_named(&m->inventory, INVENTORY_NONE, lent, name);
	int error;

	if (slot == INVENTORY_NONE)
		return molt__engine_error(m, -ENOENT, "nothing is offered as %.80s", name);
	error = molt__listeners_check_changeable(m, name);
	if (error < 0)
		return error;
	for (; slot != INVENTORY_NONE;
	     slot = molt__inventory_next_named(&m->inventory, slot, lent, name))
		molt__inventory_remove(&m->inventory, slot);
	molt__status_changed(m);
	return 0;
}
