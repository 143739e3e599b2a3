/* SPDX-License-Identifier: MIT */
/*
 * The queue of events, and what it means that one has been acted on.
 *
 * At most one event of a kind waits unread, a kind being a type, and of RETIRE also the reason: a
 * newer one takes the place of an older. So the queue has a place for each kind, and cannot be
 * full.
 *
 * No state event is lost by that. STARTED, LOAD, SERVE, FAILED, LEAVE, and RETIRE with RENOUNCED or
 * LEAVING, come once in a process's life. PAUSE is followed by RESUME, which takes an unread PAUSE
 * along, or by a commit, which waits until the host has acted on it, and so has read all that came
 * before it. What only follows a commit (DRAIN, RETIRE with UNCLAIMED, RESUME that is not taken
 * along) therefore comes a second time only after the first was read. SPAWN_FAILED alone can be
 * replaced: the log has both.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* One of each type; RETIRE has three reasons. */
_Static_assert(MOLT_LEAVE + 2 <= (int)ENGINE_EVENTS_MAX, "each kind of event has a place");

enum { ANY_REASON = -1, NOT_THERE = -1 };

/* --- the queue ------------------------------------------------------------------------------ */

static int
find(const struct molt *m, int type, int reason)
{
	for (int i = 0; i < m->event_count; i++)
		if (m->events[i].type == type &&
		    (reason == ANY_REASON || m->events[i].reason == reason))
			return i;
	return NOT_THERE;
}

static void
remove_at(struct molt *m, int place)
{
	struct molt_event *e = &m->events[place];

	m->event_count--;
	memmove(e, e + 1, (size_t)(m->event_count - place) * sizeof(*e));
}

static void
drop(struct molt *m, int type, int reason)
{
	int place = find(m, type, reason);

	if (place == NOT_THERE)
		return;
	free(m->events[place].entries);
	remove_at(m, place);
}

static void
log_event(struct molt *m, const struct molt_event *e)
{
	bool is_failure = e->type == MOLT_FAILED || e->type == MOLT_SPAWN_FAILED;

	molt__engine_log(m, is_failure ? LOG_WARNING : LOG_INFO, "event", "%s, %s: %s",
			 molt_event_type_name(e->type), molt_reason_name(e->reason), e->text);
}

struct molt_event *
molt__event_queue(struct molt *m, int type, int reason, const char *format, ...)
{
	struct molt_event *e;
	va_list args;

	drop(m, type, type == MOLT_RETIRE ? reason : ANY_REASON);
	e = &m->events[m->event_count++];
	memset(e, 0, sizeof(*e));
	e->type = type;
	e->reason = reason;
	e->fd = -1;
	e->slot = INVENTORY_NONE;
	va_start(args, format);
	vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
	if (type != MOLT_RETIRE) /* there may be no listener: each is logged when it is told of */
		log_event(m, e);
	molt__engine_wake(m);
	return e;
}

bool
molt__event_take(struct molt *m, int type, struct molt_event *ret)
{
	int place = find(m, type, ANY_REASON);

	if (place == NOT_THERE)
		return false;
	*ret = m->events[place];
	remove_at(m, place);
	return true;
}

bool
molt__event_waits(const struct molt *m, int type)
{
	return find(m, type, ANY_REASON) != NOT_THERE;
}

void
molt__event_add_entry(struct molt *m, struct molt_event *e, const char *name, int error)
{
	size_t count = (size_t)e->entry_count + 1;
	struct event_entry *entries = realloc(e->entries, count * sizeof(*entries));

	if (entries == NULL) {
		molt__engine_log(m, LOG_ERR, "memory", "no memory to tell the host of %s", name);
		return;
	}
	e->entries = entries;
	snprintf(entries[e->entry_count].name, sizeof(entries->name), "%s", name);
	entries[e->entry_count].error = error;
	e->entry_count++;
}

void
molt__event_clear_all(struct molt *m)
{
	free(m->current.entries);
	memset(&m->current, 0, sizeof(m->current));
	for (int i = 0; i < m->event_count; i++)
		free(m->events[i].entries);
	m->event_count = 0;
}

/* --- RETIRE: one in the queue, one for each listener out of it ------------------------------ */

static bool
listeners_left(const struct molt *m, const struct molt_event *retire)
{
	enum inventory_retire which = retire->reason == MOLT_REASON_UNCLAIMED
					      ? INVENTORY_RETIRE_UNCLAIMED
					      : INVENTORY_RETIRE_ALL;

	return molt__inventory_next_to_retire(&m->inventory, which) != INVENTORY_NONE;
}

int
molt__event_count(const struct molt *m)
{
	int count = 0;

	for (int i = 0; i < m->event_count; i++)
		if (m->events[i].type != MOLT_RETIRE || listeners_left(m, &m->events[i]))
			count++;
	return count;
}

/* Only while no event is out: then all that were taken before have been acted on. */
static void
finish_retiring(struct molt *m)
{
	while (m->event_count > 0 && m->events[0].type == MOLT_RETIRE &&
	       !listeners_left(m, &m->events[0])) {
		bool for_good = m->events[0].reason == MOLT_REASON_RENOUNCED;

		remove_at(m, 0);
		if (for_good)
			molt__engine_feed_type(m, HANDOFF_HOST_RETIRED);
	}
}

/* --- what was taken has been acted on ------------------------------------------------------- */

/*
 * A PAUSE that a RESUME has overtaken says nothing of the next handoff: the host has yet to read
 * the RESUME, and accepts again.
 */
static void
paused(struct molt *m)
{
	if (!m->hold_commit && !molt__event_waits(m, MOLT_RESUME))
		molt__engine_feed_type(m, HANDOFF_HOST_PAUSED);
}

static void
acted_on(struct molt *m, const struct molt_event *e)
{
	switch (e->type) {
	case MOLT_PAUSE:
		paused(m);
		break;
	case MOLT_LOAD:
		if (!m->hold_load)
			molt__engine_feed_type(m, HANDOFF_HOST_LOADED);
		break;
	case MOLT_DRAIN:
		molt__engine_feed_type(m, HANDOFF_HOST_DRAINING);
		break;
	case MOLT_RETIRE:
		molt__listeners_retired(m, e);
		break;
	default:
		break;
	}
}

/* The event is forgotten before anything is fed: feeding queues events and may come back here. */
void
molt__event_settle(struct molt *m)
{
	struct molt_event e = m->current;

	memset(&m->current, 0, sizeof(m->current));
	acted_on(m, &e);
	free(e.entries);
	finish_retiring(m);
}

/* --- taking one ----------------------------------------------------------------------------- */

static void
set_pause_waits(struct molt *m, bool waits)
{
	struct requests *r = &m->requests;

	pthread_mutex_lock(&r->mutex);
	r->pause_waits = waits;
	r->commit = r->commit && waits;
	pthread_mutex_unlock(&r->mutex);
}

/* RESUME ends what a PAUSE has begun, and RETIRE that was about a successor's wishes. */
void
molt__event_forget_handoff(struct molt *m)
{
	set_pause_waits(m, false);
	drop(m, MOLT_PAUSE, ANY_REASON);
	drop(m, MOLT_RETIRE, MOLT_REASON_UNCLAIMED);
}

/* What was given up is known when all that came before has been acted on: now. */
static void
taken(struct molt *m, struct molt_event *e)
{
	if (e->type == MOLT_PAUSE && m->hold_commit)
		set_pause_waits(m, true);
	else if (e->type == MOLT_RESUME)
		molt__listeners_lost(m, e);
	else if (e->type == MOLT_RETIRE)
		log_event(m, e);
}

/* Waking makes molt_fd() readable until this event, too, has been acted on. */
struct molt_event *
molt__event_next(struct molt *m)
{
	struct molt_event *e = &m->current;

	molt__event_settle(m);
	if (m->event_count == 0)
		return NULL;
	*e = m->events[0];
	if (e->type != MOLT_RETIRE)
		remove_at(m, 0);
	else if (!molt__listeners_retire_next(m, e->reason, e))
		memset(e, 0, sizeof(*e));
	taken(m, e);
	molt__engine_wake(m);
	return e->type != 0 ? e : NULL;
}
