/* SPDX-License-Identifier: MIT */
/* Listeners in the course of a handoff: inherited, entering service, retired, closed. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#define ANY_LISTENER                                                                               \
	(INVENTORY_ANY_HELD | INVENTORY_SET(INVENTORY_HELD_RETIRING) |                             \
	 INVENTORY_SET(INVENTORY_INHERITED))

/* --- Inheriting ------------------------------------------------------------------------------- */

static int
socket_option(int fd, int option)
{
	int value;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

static bool
is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Of the family and type that its recorded address has, if it has one. */
static bool
agrees_with_address(const struct entry *e, int type)
{
	if (e->address.family != 0 && e->address.family != socket_option(e->fd, SO_DOMAIN))
		return false;
	return e->address.type == 0 || e->address.type == type;
}

static bool
is_what_it_says(const struct entry *e)
{
	int type = socket_option(e->fd, SO_TYPE);

	switch (e->kind) {
	case ENTRY_STREAM:
		return (type == SOCK_STREAM || type == SOCK_SEQPACKET) &&
		       agrees_with_address(e, type);
	case ENTRY_DATAGRAM:
		return type == SOCK_DGRAM && agrees_with_address(e, type);
	case ENTRY_PATH:
		return type == SOCK_SEQPACKET && socket_option(e->fd, SO_DOMAIN) == AF_UNIX &&
		       socket_option(e->fd, SO_ACCEPTCONN) == 1;
	case ENTRY_LIFE:
		return is_regular(e->fd);
	default:
		return true;
	}
}

/* A socket of another network namespace is valid and deaf: nobody would find out otherwise. */
static void
compare_namespace(struct molt *m, const struct entry *e)
{
	uint64_t theirs;
	uint64_t ours;
	char text[ADDRESS_TEXT_SIZE];
	int fd;

	if (e->address.family != AF_INET && e->address.family != AF_INET6)
		return;
	fd = molt__sys_open_socket(e->address.family, e->address.type, 0);
	if (fd < 0)
		return;
	if (molt__sys_netns_cookie(fd, &ours) == 0 && molt__sys_netns_cookie(e->fd, &theirs) == 0 &&
	    ours != theirs) {
		molt__address_print(&e->address, text, sizeof(text));
		molt__engine_log(
			m, LOG_WARNING, "namespace",
			"%s was inherited at %s from ANOTHER NETWORK NAMESPACE: it hears only "
			"what comes in there; run both in one, or choose another name",
			e->name, text);
	}
	molt__sys_close(fd);
}

static int
prepare(struct molt *m, struct entry *e)
{
	int error = 0;

	if (!is_what_it_says(e)) {
		molt__engine_why(m, -EPROTO,
				 "the predecessor's %s is announced as %s, but its descriptor is "
				 "something else",
				 e->name, molt__entry_kind_name((int)e->kind));
		return -EPROTO;
	}
	if (molt__entry_is_listener(e) || e->kind == ENTRY_PATH)
		error = molt__sys_assert_flags(e->fd);
	if (error == 0)
		error = molt__sys_identify(e->fd, &e->file);
	if (error < 0)
		molt__engine_why(m, error, "%s was received and cannot be used: %s", e->name,
				 strerror(-error));
	return error;
}

static int
enter(struct molt *m, const struct entry *e)
{
	int replaced;
	int slot;

	molt__listeners_drop_stale(m, e->fd);
	slot = molt__inventory_inherit(&m->inventory, e, &replaced);
	if (slot >= 0) {
		molt__sys_close(replaced);
		return 0;
	}
	molt__engine_why(
		m, slot,
		"%s (number %u, member %u), as the predecessor sent it, cannot be kept: %s",
		e->name, e->id, e->index, strerror(-slot));
	return slot == -ENOMEM ? slot : -EPROTO;
}

int
molt__listeners_inherit(struct molt *m, struct entry *e)
{
	int error = prepare(m, e);

	/* It was made anew during the handoff: what the socket file means now is this one. */
	if (error == 0 && e->kind == ENTRY_PATH && m->path_fd >= 0)
		return molt__engine_replace_path(m, e->fd, &e->path);
	if (error == 0)
		error = enter(m, e);
	if (error < 0) {
		molt__sys_close(e->fd);
		return error;
	}
	if (molt__entry_is_listener(e))
		compare_namespace(m, e);
	molt__listen_fds_drop_given(m->listen_fds, &e->file);
	return 0;
}

/* --- Entering service ------------------------------------------------------------------------- */

static void
not_in_service(struct molt *m, struct molt_event *event, const struct entry *e, int error)
{
	char text[ADDRESS_TEXT_SIZE];

	molt__address_print(&e->address, text, sizeof(text));
	molt__engine_log(m, LOG_ERR, "listen", "listener %s cannot serve at %s: %s", e->name, text,
			 strerror(-error));
	if (event != NULL)
		molt__event_add_entry(m, event, e->name, error);
}

static void
close_unclaimed(struct molt *m)
{
	char text[ADDRESS_TEXT_SIZE];
	int slot;

	while ((slot = molt__inventory_next_to_close_unclaimed(&m->inventory)) != INVENTORY_NONE) {
		const struct entry *e = molt__inventory_entry(&m->inventory, slot);
		molt__address_print(&e->address, text, sizeof(text));
		molt__engine_log(m, LOG_NOTICE, "unclaimed",
				 "%s (%s, %s) was inherited and not claimed: closed", e->name,
				 molt__entry_kind_name((int)e->kind), text);
		molt__listeners_drop(m, slot);
	}
}

static void
report_unused(struct molt *m)
{
	char text[ADDRESS_TEXT_SIZE];
	const struct entry *e;

	for (size_t i = 0; (e = molt__listen_fds_unused(m->listen_fds, i)) != NULL; i++) {
		molt__address_print(&e->address, text, sizeof(text));
		molt__engine_log(m, LOG_NOTICE, "systemd",
				 "descriptor %d (%s, %s) of systemd's was not asked "
				 "for: left as it is",
				 e->fd, e->name, text);
	}
}

void
molt__listeners_activate(struct molt *m, struct molt_event *event)
{
	const struct inventory *inv = &m->inventory;

	for (int slot = INVENTORY_NONE;
	     (slot = molt__inventory_next(inv, slot, INVENTORY_ANY_HELD)) != INVENTORY_NONE;) {
		const struct entry *e = molt__inventory_entry(inv, slot);
		int error = molt__listeners_enter_service(m, slot, e->backlog);
		if (error < 0)
			not_in_service(m, event, e, error);
	}
	close_unclaimed(m);
	if (event != NULL && event->type == MOLT_SERVE)
		report_unused(m);
	molt__status_changed(m);
}

/* --- Retiring --------------------------------------------------------------------------------- */

static int
next_to_retire(struct molt *m, int reason)
{
	enum inventory_retire which =
		reason == MOLT_REASON_UNCLAIMED ? INVENTORY_RETIRE_UNCLAIMED : INVENTORY_RETIRE_ALL;
	int slot;

	/* A host that has closed its own needs no telling. */
	while ((slot = molt__inventory_next_to_retire(&m->inventory, which)) != INVENTORY_NONE &&
	       !molt__address_still(molt__inventory_entry(&m->inventory, slot)))
		molt__listeners_drop(m, slot);
	return slot;
}

/* The event's text says why already, and now of which. */
static void
name_listener(struct molt_event *event, const struct entry *e)
{
	char why[sizeof(event->text)];
	char at[ADDRESS_TEXT_SIZE];

	memcpy(why, event->text, sizeof(why));
	molt__address_print(&e->address, at, sizeof(at));
	snprintf(event->text, sizeof(event->text), "listener %s at %.200s: %.200s", e->name, at,
		 why);
}

/*
 * Whose queue it is decides what the host may do with it. Giving up for good after a handoff, this
 * process shares with its successor what that claimed, and is alone with the rest.
 */
static int
reason_for(const struct molt *m, int slot, int reason)
{
	unsigned status = molt__inventory_status(&m->inventory, slot);

	if (reason != MOLT_REASON_RENOUNCED || m->handoff.down == 0)
		return reason;
	if (status == INVENTORY_HELD_CLAIMED || status == INVENTORY_LENT_CLAIMED)
		return MOLT_REASON_LEAVING;
	return MOLT_REASON_UNCLAIMED;
}

bool
molt__listeners_retire_next(struct molt *m, int reason, struct molt_event *event)
{
	int slot = next_to_retire(m, reason);

	if (slot == INVENTORY_NONE)
		return false;
	const struct entry *e = molt__inventory_entry(&m->inventory, slot);
	event->reason = reason_for(m, slot, reason);
	event->fd = e->fd;
	event->slot = slot;
	name_listener(event, e);
	molt__event_add_entry(m, event, e->name, 0);
	molt__inventory_mark_retiring(&m->inventory, slot);
	return true;
}

/* The host may have withdrawn it meanwhile, and the slot may be another's. */
void
molt__listeners_retired(struct molt *m, const struct molt_event *event)
{
	unsigned status = molt__inventory_status(&m->inventory, event->slot);
	bool still;
	int fd;

	if (status != INVENTORY_HELD_RETIRING && status != INVENTORY_LENT_RETIRING)
		return;
	molt__listeners_discard(m, event->slot);
	still = molt__address_still(molt__inventory_entry(&m->inventory, event->slot));
	fd = molt__inventory_mark_retired(&m->inventory, event->slot);
	if (still)
		molt__sys_close(fd);
	molt__status_changed(m);
}

void
molt__listeners_lost(struct molt *m, struct molt_event *event)
{
	unsigned retired =
		INVENTORY_SET(INVENTORY_HELD_RETIRED) | INVENTORY_SET(INVENTORY_LENT_RETIRED);
	int slot;

	while ((slot = molt__inventory_next_retired(&m->inventory, INVENTORY_NONE)) !=
	       INVENTORY_NONE) {
		struct entry e = *molt__inventory_entry(&m->inventory, slot);
		molt__event_add_entry(m, event, e.name, 0);
		do {
			molt__inventory_remove(&m->inventory, slot);
			slot = molt__inventory_next_named(&m->inventory, INVENTORY_NONE, retired,
							  e.name);
		} while (slot != INVENTORY_NONE);
	}
}

/* --- The end ---------------------------------------------------------------------------------- */

void
molt__listeners_unlink(struct molt *m)
{
	const struct inventory *inv = &m->inventory;

	for (int slot = INVENTORY_NONE;
	     (slot = molt__inventory_next(inv, slot, INVENTORY_ANY_HELD)) != INVENTORY_NONE;) {
		const struct entry *e = molt__inventory_entry(inv, slot);
		int error =
			molt__listeners_find_unfinished(m, slot) == NULL ? molt__bind_unlink(e) : 0;
		if (error < 0)
			molt__engine_log(m, LOG_WARNING, "unlink",
					 "listener %s leaves %s behind: %s", e->name,
					 e->address.text, strerror(-error));
	}
}

/* In LEFT the host has yet to empty what RETIRE tells of; each is closed when that was acted on. */
void
molt__listeners_close(struct molt *m)
{
	unsigned statuses = ANY_LISTENER;
	int slot;

	if (m->handoff.state == HANDOFF_LEFT)
		statuses = INVENTORY_SET(INVENTORY_INHERITED);
	while ((slot = molt__inventory_next(&m->inventory, INVENTORY_NONE, statuses)) !=
	       INVENTORY_NONE)
		molt__listeners_drop(m, slot);
}
