/* SPDX-License-Identifier: MIT */
/* What the host is told: the handoff's events as the host knows them, each with its sentence. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The handoff's reasons are the host's. */
#define SAME(name)                                                                                 \
	_Static_assert((int)HANDOFF_REASON_##name == (int)MOLT_REASON_##name, #name " differs")
SAME(NONE);
SAME(FIRST);
SAME(COMMITTED);
SAME(PREDECESSOR_DIED);
SAME(UNTOUCHED);
SAME(CHANGED);
SAME(UNCLAIMED);
SAME(RENOUNCED);
SAME(LEAVING);
SAME(DONE);
SAME(DEADLINE);
SAME(REFUSED);
SAME(DENIED);
SAME(TIMEOUT);
SAME(ABORTED);
SAME(DEPOSED);
SAME(GIVEN_UP);
SAME(PROTOCOL);
SAME(SYSTEM);
#undef SAME

static unsigned long long
generation_of(const struct molt *m)
{
	return (unsigned long long)m->handoff.generation;
}

static double
seconds(const struct molt *m, enum molt_deadline deadline)
{
	return (double)molt__time_length(m, deadline) / 1000.0;
}

/* --- FAILED --------------------------------------------------------------------------------- */

static int
error_of(int reason)
{
	switch (reason) {
	case MOLT_REASON_REFUSED:
		return -ECONNREFUSED;
	case MOLT_REASON_DENIED:
		return -EACCES;
	case MOLT_REASON_TIMEOUT:
		return -ETIMEDOUT;
	case MOLT_REASON_PROTOCOL:
		return -EPROTO;
	case MOLT_REASON_SYSTEM:
		return -EIO;
	default:
		return -ECANCELED;
	}
}

/*
 * Before an offer a start waits for a lock, or for the one who has it; afterwards for its
 * predecessor.
 */
static void
explain_timeout(struct molt *m, int error)
{
	const char *lock = molt__rendezvous_lock_path(m->rendezvous);
	const char *path = molt__rendezvous_path(m->rendezvous);
	double start = seconds(m, MOLT_DEADLINE_START);
	struct file_identity file;

	if (m->handoff.up != 0)
		molt__engine_why(m, error, "the predecessor, %s, let a deadline pass",
				 molt__name_peer(&m->up.peer).text);
	else if (m->handoff.has_life)
		molt__engine_why(m, error,
				 "no generation lives, but for %g s another process has kept a "
				 "lock on %s: find it in /proc/locks, and end it",
				 start, lock);
	else
		molt__engine_why(m, error,
				 "%s is held, but its holder has not answered on %s for %g s: %s "
				 "or a forked child that did not call molt_after_fork() keeps it",
				 lock, path, start,
				 molt__sys_identify_path(path, &file) == -ENOENT
					 ? "there is no such socket file, so it is still starting, "
					   "or leaves, or the file was removed (its molt_spawn() "
					   "makes it anew),"
					 : "it is still starting, frozen,");
}

/* For when nobody who knew more has said why. */
static void
explain_failure(struct molt *m, int reason)
{
	const char *path = molt__rendezvous_path(m->rendezvous);
	int error = error_of(reason);

	switch (reason) {
	case MOLT_REASON_REFUSED:
		molt__engine_why(m, error, "the predecessor on %s refuses", path);
		break;
	case MOLT_REASON_DENIED:
		molt__engine_why(m, error, "%s may not be used by this uid", path);
		break;
	case MOLT_REASON_TIMEOUT:
		explain_timeout(m, error);
		break;
	case MOLT_REASON_ABORTED:
		molt__engine_why(m, error, "the predecessor took its offer back");
		break;
	case MOLT_REASON_DEPOSED:
		molt__engine_why(m, error, "%s no longer names this process as the heir",
				 molt__rendezvous_lock_path(m->rendezvous));
		break;
	case MOLT_REASON_GIVEN_UP:
		molt__engine_why(m, error, "this process gave up before it served");
		break;
	case MOLT_REASON_PROTOCOL:
		molt__engine_why(m, error, "who answers on %s is not a fitting predecessor", path);
		break;
	default:
		molt__engine_why(m, error, "a system call failed on %s or its lock file", path);
		break;
	}
}

static void
tell_failed(struct molt *m, int reason)
{
	struct molt_event *e;

	if (m->why_reason != 0)
		reason = m->why_reason;
	if (m->why[0] == '\0')
		explain_failure(m, reason);
	e = molt__event_queue(m, MOLT_FAILED, reason, "%s", m->why);
	e->error = m->why_error != 0 ? m->why_error : error_of(reason);
	memcpy(m->last_failure, m->why, sizeof(m->last_failure));
	m->why[0] = '\0';
	m->why_error = 0;
	m->why_reason = 0;
}

/* --- the other events ----------------------------------------------------------------------- */

static void
tell_started(struct molt *m, int reason)
{
	if (reason == MOLT_REASON_FIRST)
		molt__event_queue(m, MOLT_STARTED, reason,
				  "no other generation lives: this process is the first");
	else
		molt__event_queue(m, MOLT_STARTED, reason,
				  "%s offered %d descriptors to this process, generation %llu",
				  molt__name_peer(&m->up.peer).text,
				  molt__inventory_inherited_count(&m->inventory), generation_of(m));
}

static void
tell_serve(struct molt *m, int reason)
{
	struct molt_event *e;

	if (reason == MOLT_REASON_FIRST)
		e = molt__event_queue(m, MOLT_SERVE, reason, "generation %llu serves",
				      generation_of(m));
	else if (reason == MOLT_REASON_COMMITTED)
		e = molt__event_queue(m, MOLT_SERVE, reason,
				      "generation %llu serves: %s has handed over",
				      generation_of(m), molt__name_peer(&m->up.peer).text);
	else
		e = molt__event_queue(m, MOLT_SERVE, reason,
				      "generation %llu serves: %s died before its commit, so there "
				      "is no late state",
				      generation_of(m), molt__name_peer(&m->up.peer).text);
	molt__listeners_activate(m, e);
}

/* A host that never read the PAUSE has nothing to resume. */
static void
tell_resume(struct molt *m, int reason)
{
	bool knows = !molt__event_waits(m, MOLT_PAUSE);
	struct molt_event *e = NULL;

	molt__event_forget_handoff(m);
	if (reason == MOLT_REASON_CHANGED)
		snprintf(m->last_failure, sizeof(m->last_failure),
			 "the successor, %s, ended after it had owned",
			 molt__name_peer(&m->down.peer).text);
	if (knows)
		e = molt__event_queue(m, MOLT_RESUME, reason, "generation %llu serves again: %s",
				      generation_of(m), m->last_failure);
	molt__listeners_activate(m, e);
}

static void
tell_leave(struct molt *m, int reason)
{
	if (reason == MOLT_REASON_DONE)
		molt__event_queue(m, MOLT_LEAVE, reason, "nothing is left to do");
	else
		molt__event_queue(
			m, MOLT_LEAVE, reason,
			"the drain deadline of %g s has passed: what is left is to be cut",
			seconds(m, MOLT_DEADLINE_DRAIN));
}

void
molt__event_tell(struct molt *m, const struct handoff_action *a)
{
	int reason = (int)a->reason;

	switch (a->event) {
	case HANDOFF_EVENT_STARTED:
		tell_started(m, reason);
		break;
	case HANDOFF_EVENT_SERVE:
		tell_serve(m, reason);
		break;
	case HANDOFF_EVENT_FAILED:
		tell_failed(m, reason);
		break;
	case HANDOFF_EVENT_LOAD:
		molt__event_queue(m, MOLT_LOAD, reason,
				  "%s has committed, with %u late descriptors",
				  molt__name_peer(&m->up.peer).text, (unsigned)m->up.late);
		break;
	case HANDOFF_EVENT_PAUSE:
		molt__event_queue(m, MOLT_PAUSE, reason, "the successor, %s, is ready",
				  molt__name_peer(&m->down.peer).text);
		break;
	case HANDOFF_EVENT_DRAIN:
		molt__event_queue(m, MOLT_DRAIN, reason, "the successor, %s, serves",
				  molt__name_peer(&m->down.peer).text);
		break;
	case HANDOFF_EVENT_RESUME:
		tell_resume(m, reason);
		break;
	case HANDOFF_EVENT_LEAVE:
		tell_leave(m, reason);
		break;
	}
}

void
molt__event_retire(struct molt *m, enum handoff_reason reason)
{
	const char *why = "this process leaves";

	if (reason == HANDOFF_REASON_UNCLAIMED)
		why = "the successor did not claim this listener";
	else if (reason == HANDOFF_REASON_RENOUNCED)
		why = "this process gives up its listeners for good";
	molt__event_queue(m, MOLT_RETIRE, (int)reason, "%s", why);
}
