/* SPDX-License-Identifier: MIT */
/*
 * molt_listen(): a listener from the predecessor, from systemd, or bound here, and groups of all
 * three.
 */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#define HELD (INVENTORY_ANY_HELD | INVENTORY_SET(INVENTORY_HELD_RETIRING))
#define LENT (INVENTORY_ANY_LENT | INVENTORY_SET(INVENTORY_LENT_RETIRING))

/*
 * One call under way. What it makes stands in the inventory at once and is undone if a later step
 * fails; what changes something that was there before comes after the last step that can fail.
 */
struct listening {
	struct molt *m;
	const char *name;
	struct address address;        /* its record becomes exact as soon as the port is known */
	int made[ADDRESS_SOCKETS_MAX]; /* slots: systemd's first, then the ones bound here */
	int made_count;
	int from_systemd;
	int present; /* how many there were before */
};

/* --- May it be? ------------------------------------------------------------------------------- */

static int
check_serving(struct molt *m, const char *name)
{
	switch (m->handoff.state) {
	case HANDOFF_DRAIN:
	case HANDOFF_RENOUNCED:
	case HANDOFF_LEFT:
		return molt__engine_error(m, -EBUSY, "listener %s: this process no longer serves",
					  name);
	default:
		break;
	}
	int error = molt__listeners_check_started(m, name);
	return error < 0 ? error : molt__listeners_check_changeable(m, name);
}

static int
check_arguments(struct listening *l, const char *address)
{
	char why[ADDRESS_WHY_MAX + 1];

	if (molt__address_parse(address, &l->address, why) < 0)
		return molt__engine_error(l->m, -EINVAL, "listener %s: %s", l->name, why);
	return 0;
}

/* A name stands for one address at a time. */
static int
check_name(const struct listening *l)
{
	struct molt *m = l->m;
	char text[ADDRESS_TEXT_SIZE];
	int slot;

	if (molt__inventory_next_named(&m->inventory, INVENTORY_NONE, LENT, l->name) !=
	    INVENTORY_NONE)
		return molt__engine_error(m, -EEXIST,
					  "listener %s: a descriptor is offered under this name: "
					  "molt_withdraw() it first, or choose another name",
					  l->name);
	slot = molt__inventory_next_named(&m->inventory, INVENTORY_NONE, HELD, l->name);
	if (slot == INVENTORY_NONE)
		return 0;
	const struct entry *e = molt__inventory_entry(&m->inventory, slot);
	if (molt__address_record_match(&l->address.record, &e->address))
		return 0;
	molt__address_print(&e->address, text, sizeof(text));
	return molt__engine_error(m, -EEXIST,
				  "listener %s: this name is in use for %s: choose another",
				  l->name, text);
}

/* --- What is there already -------------------------------------------------------------------- */

static bool
serves(const struct listening *l, const struct entry *e)
{
	return molt__entry_is_listener(e) &&
	       molt__address_record_match(&l->address.record, &e->address);
}

/* The next of this name and address that is held, or inherited and not claimed yet. */
static int
next_member(const struct listening *l, unsigned statuses, int after)
{
	const struct inventory *inv = &l->m->inventory;

	do
		after = molt__inventory_next_named(inv, after, statuses, l->name);
	while (after != INVENTORY_NONE && !serves(l, molt__inventory_entry(inv, after)));
	return after;
}

static int
count_members(const struct listening *l)
{
	int count = 0;

	for (int slot = INVENTORY_NONE;
	     (slot = next_member(l, HELD | INVENTORY_SET(INVENTORY_INHERITED), slot)) !=
	     INVENTORY_NONE;)
		count++;
	return count;
}

/* A port of 0 takes any, but then all members of the group have that one. */
static void
settle_address(struct listening *l)
{
	int slot = next_member(l, HELD, INVENTORY_NONE);

	if (slot == INVENTORY_NONE)
		slot = next_member(l, INVENTORY_SET(INVENTORY_INHERITED), INVENTORY_NONE);
	if (slot != INVENTORY_NONE)
		l->address.record = molt__inventory_entry(&l->m->inventory, slot)->address;
}

/* --- systemd's -------------------------------------------------------------------------------- */

static int
keep(struct listening *l, const struct entry *e)
{
	int slot = molt__listeners_hold(l->m, e);

	if (slot >= 0)
		l->made[l->made_count++] = slot;
	return slot < 0 ? slot : 0;
}

/* systemd unlinks its paths itself: of its files nothing is known here. */
static int
keep_from_systemd(struct listening *l, const struct entry *e)
{
	struct entry copy = *e;
	int error;

	molt__entry_set_name(&copy, l->name);
	memset(&copy.path, 0, sizeof(copy.path));
	error = keep(l, &copy);
	if (error < 0)
		return error;
	l->address.record = copy.address;
	l->from_systemd++;
	return 0;
}

/* Those called `name`, or whatever their names are if that is NULL. */
static int
keep_all_from_systemd(struct listening *l, const char *name)
{
	const struct entry *e;

	for (size_t i = 0; (e = molt__listen_fds_unused(l->m->listen_fds, i)) != NULL; i++) {
		if (!serves(l, e) || (name != NULL && strcmp(e->name, name) != 0))
			continue;
		if (l->made_count == ADDRESS_SOCKETS_MAX)
			break;
		int error = keep_from_systemd(l, e);
		if (error < 0)
			return error;
	}
	return 0;
}

static int
ask_systemd(struct listening *l)
{
	int error = keep_all_from_systemd(l, l->name);

	if (error == 0 && l->made_count == 0)
		error = keep_all_from_systemd(l, NULL);
	return error;
}

/* --- Fresh ones ------------------------------------------------------------------------------- */

static const char *
advice(int error, const struct address_record *address)
{
	bool is_unix = address->family == AF_UNIX;

	switch (error) {
	case -EADDRINUSE:
		return "another process has it, perhaps a worker that outlived its master: stop "
		       "that one, or choose another";
	case -EADDRNOTAVAIL:
		return "this machine has no such address";
	case -EACCES:
		return is_unix ? "the directory must be writable for this uid"
			       : "a port below 1024 needs CAP_NET_BIND_SERVICE";
	case -ENOENT:
	case -ENOTDIR:
		return "the directory must exist";
	case -EMFILE:
		return "raise RLIMIT_NOFILE";
	case -ENOSPC:
		return "the inventory is full: withdraw something";
	default:
		return "see bind(2) and listen(2)";
	}
}

static int
bind_failed(const struct listening *l, int error)
{
	char text[ADDRESS_TEXT_SIZE];

	molt__address_print(&l->address.record, text, sizeof(text));
	return molt__engine_error(l->m, error, "listener %s cannot be had at %s: %s (%s)", l->name,
				  text, strerror(-error), advice(error, &l->address.record));
}

/* Law 2: a datagram socket that joins others takes its share of what comes in, once it is bound. */
static bool
joins_later(const struct listening *l)
{
	return l->present > 0 && !molt__handoff_is_owner(&l->m->handoff) &&
	       molt__address_kind(&l->address.record) == ENTRY_DATAGRAM;
}

static int
open_socket(const struct listening *l, struct entry *e, struct bind_pending *pending)
{
	if (!joins_later(l))
		return molt__bind_fresh(&l->address, e, pending);
	pending->temporary[0] = '\0';
	return molt__bind_prepare(&l->address, e);
}

static int
keep_fresh(struct listening *l, const struct entry *e, const struct bind_pending *pending)
{
	int error = keep(l, e);

	if (error < 0 || (pending->temporary[0] == '\0' && !joins_later(l)))
		return error;
	return molt__listeners_set_unfinished(l->m, l->made[l->made_count - 1], pending);
}

static int
bind_one(struct listening *l)
{
	int made_before = l->made_count;
	struct bind_pending pending;
	struct entry e;
	int error;

	molt__entry_init(&e);
	error = open_socket(l, &e, &pending);
	if (error < 0)
		return error;
	molt__entry_set_name(&e, l->name);
	error = keep_fresh(l, &e, &pending);
	if (error < 0) {
		molt__bind_discard(&e, &pending);
		if (l->made_count == made_before)
			molt__sys_close(e.fd);
		return error;
	}
	l->address.record = e.address;
	return 0;
}

/* Whoever was bound alone must allow others beside it first. */
static int
open_group(const struct listening *l)
{
	const struct inventory *inv = &l->m->inventory;
	int error = 0;

	for (int slot = INVENTORY_NONE;
	     (slot = next_member(l, HELD | INVENTORY_SET(INVENTORY_INHERITED), slot)) !=
	     INVENTORY_NONE;)
		if (error == 0)
			error = molt__bind_allow_group(molt__inventory_entry(inv, slot)->fd);
	return error;
}

static int
bind_missing(struct listening *l, int missing)
{
	int error = missing > 0 ? open_group(l) : 0;

	while (error == 0 && missing-- > 0)
		error = bind_one(l);
	return error;
}

/* --- All of it -------------------------------------------------------------------------------- */

/* systemd's copies are only forgotten: they are used no more than before. */
static void
undo(struct listening *l)
{
	while (l->made_count > l->from_systemd)
		molt__listeners_drop(l->m, l->made[--l->made_count]);
	while (l->made_count > 0)
		molt__inventory_remove(&l->m->inventory, l->made[--l->made_count]);
}

/* What was held enters service again: its backlog may be new, or it failed the first time. */
static int
enter_service(struct listening *l)
{
	int error = 0;

	if (!molt__handoff_is_owner(&l->m->handoff))
		return 0;
	for (int slot = INVENTORY_NONE;
	     error == 0 && (slot = next_member(l, HELD, slot)) != INVENTORY_NONE;)
		error = molt__listeners_enter_service(l->m, slot, l->address.backlog);
	return error;
}

static void
set_backlogs(struct listening *l)
{
	for (int slot = INVENTORY_NONE; (slot = next_member(l, HELD, slot)) != INVENTORY_NONE;)
		molt__inventory_entry(&l->m->inventory, slot)->backlog = l->address.backlog;
}

static int
make(struct listening *l)
{
	int error;

	l->present = count_members(l);
	error = l->present == 0 ? ask_systemd(l) : 0;
	if (error == 0)
		error = bind_missing(l, l->address.sockets - l->present - l->made_count);
	if (error == 0)
		error = enter_service(l);
	if (error == 0)
		return 0;
	undo(l);
	return bind_failed(l, error);
}

/* The ones that were there come first in the group. Says how many they are. */
static int
claim_inherited(struct listening *l)
{
	struct inventory *inv = &l->m->inventory;
	unsigned inherited = INVENTORY_SET(INVENTORY_INHERITED);
	int count = 0;
	int slot = INVENTORY_NONE;

	while ((slot = next_member(l, inherited, slot)) != INVENTORY_NONE)
		count++;
	for (int i = 0; i < l->made_count; i++)
		molt__inventory_entry(inv, l->made[i])->index += (uint32_t)count;
	while ((slot = next_member(l, inherited, INVENTORY_NONE)) != INVENTORY_NONE)
		molt__inventory_claim(inv, slot);
	return count;
}

/* From here on nothing fails. */
static int
claim(struct listening *l)
{
	struct inventory *inv = &l->m->inventory;
	int inherited = claim_inherited(l);

	for (int i = 0; i < l->from_systemd; i++)
		molt__listen_fds_take_fd(l->m->listen_fds,
					 molt__inventory_entry(inv, l->made[i])->fd);
	set_backlogs(l);
	return inherited;
}

/* --- What is told ----------------------------------------------------------------------------- */

static void
report_v6only(const struct listening *l, const struct entry *e)
{
	if (l->address.v6only >= 0 && e->v6only >= 0 && e->v6only != l->address.v6only)
		molt__engine_log(
			l->m, LOG_WARNING, "v6only",
			"listener %s: v6only=%d is asked for, but the socket that was handed over "
			"has %d, which cannot be changed",
			l->name, l->address.v6only, e->v6only);
}

static void
report_members(const struct listening *l)
{
	int count = 0;

	for (int slot = INVENTORY_NONE; (slot = next_member(l, HELD, slot)) != INVENTORY_NONE;
	     count++)
		report_v6only(l, molt__inventory_entry(&l->m->inventory, slot));
	if (count > l->address.sockets)
		molt__engine_log(
			l->m, LOG_NOTICE, "group",
			"listener %s: %d sockets were handed over and %d are asked for: all are "
			"kept, and must be accepted from",
			l->name, count, l->address.sockets);
}

/* One that was inherited under this name, and stays unclaimed. */
static void
report_others(const struct listening *l)
{
	const struct inventory *inv = &l->m->inventory;
	char had[ADDRESS_TEXT_SIZE];
	char text[ADDRESS_TEXT_SIZE];

	molt__address_print(&l->address.record, text, sizeof(text));
	for (int slot = INVENTORY_NONE;
	     (slot = molt__inventory_next_named(inv, slot, INVENTORY_SET(INVENTORY_INHERITED),
						l->name)) != INVENTORY_NONE;) {
		molt__address_print(&molt__inventory_entry(inv, slot)->address, had, sizeof(had));
		molt__engine_log(
			l->m, LOG_NOTICE, "address",
			"listener %s was inherited at %s and is asked for at %s: the old one is "
			"not claimed",
			l->name, had, text);
	}
}

static void
report(const struct listening *l, int inherited)
{
	char text[ADDRESS_TEXT_SIZE];

	if (inherited == 0 && l->made_count == 0)
		return;
	molt__address_print(&l->address.record, text, sizeof(text));
	molt__engine_log(l->m, LOG_INFO, "listener",
			 "listener %s at %s: %d inherited, %d from systemd, %d bound", l->name,
			 text, inherited, l->from_systemd, l->made_count - l->from_systemd);
	report_members(l);
	report_others(l);
}

/* --- The calls -------------------------------------------------------------------------------- */

int
molt__listeners_listen(struct molt *m, const char *name, const char *address)
{
	struct listening l = { .m = m, .name = name };
	int error = check_arguments(&l, address);

	if (error == 0)
		error = check_serving(m, name);
	if (error == 0)
		error = check_name(&l);
	if (error < 0)
		return error;
	settle_address(&l);
	error = make(&l);
	if (error < 0)
		return error;
	report(&l, claim(&l));
	molt__status_changed(m);
	return molt__listeners_fd(m, name, 0);
}
