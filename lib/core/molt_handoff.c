/* SPDX-License-Identifier: MIT */
/*
 * The public calls about a handoff: taking part in it, giving it up, stopping, starting a
 * successor.
 */
#include "export.h"

#include "engine.h"

#include <errno.h>
#include <unistd.h>

/* --- predecessor ---------------------------------------------------------------------------- */

/* PAUSE has been read and its outcome has not. */
static bool
pause_is_out(const struct molt *m)
{
	return m->handoff.state == HANDOFF_PAUSED && !molt__event_waits(m, MOLT_PAUSE);
}

int
molt_hold_commit(struct molt *m)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (pause_is_out(m))
		return molt__engine_error(
			m, -EBUSY, "PAUSE is out already: hold the commit before the handoff");
	m->hold_commit = true;
	return 0;
}

int
molt_commit(struct molt *m)
{
	int error = molt__usable_anywhere(m);

	if (error < 0)
		return error;
	pthread_mutex_lock(&m->requests.mutex);
	if (!m->requests.pause_waits)
		error = -EPROTO;
	m->requests.commit = m->requests.commit || m->requests.pause_waits;
	m->requests.pause_waits = false;
	pthread_mutex_unlock(&m->requests.mutex);
	if (error == 0)
		molt__engine_wake(m);
	return error;
}

int
molt_progress(struct molt *m)
{
	int error = molt__usable_anywhere(m);

	if (error < 0)
		return error;
	pthread_mutex_lock(&m->requests.mutex);
	m->requests.progress = true;
	pthread_mutex_unlock(&m->requests.mutex);
	molt__engine_wake(m);
	return 0;
}

int
molt_set_remaining(struct molt *m, int64_t connections)
{
	int error = molt__usable_anywhere(m);

	if (error == 0 && connections < 0)
		error = -EINVAL;
	if (error < 0)
		return error;
	pthread_mutex_lock(&m->requests.mutex);
	m->requests.remaining_changed = true;
	m->requests.remaining = connections;
	pthread_mutex_unlock(&m->requests.mutex);
	molt__engine_wake(m);
	return 0;
}

/* --- successor ------------------------------------------------------------------------------ */

/* LOAD has been read, and this process waits for its host. */
static bool
load_is_out(const struct molt *m)
{
	return m->handoff.state == HANDOFF_LOAD && !molt__event_waits(m, MOLT_LOAD);
}

int
molt_hold_load(struct molt *m)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (load_is_out(m))
		return molt__engine_error(m, -EBUSY,
					  "LOAD is out already: hold it before molt_ready()");
	m->hold_load = true;
	return 0;
}

int
molt_loaded(struct molt *m)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (!m->hold_load || !load_is_out(m))
		return molt__engine_error(m, -EPROTO,
					  "no LOAD waits for molt_loaded(): this process is %s",
					  molt_state_name(m));
	molt__engine_feed_type(m, HANDOFF_HOST_LOADED);
	return 0;
}

/* --- giving up, and stopping ---------------------------------------------------------------- */

int
molt_cancel(struct molt *m)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	switch (m->handoff.state) {
	case HANDOFF_NEW:
	case HANDOFF_FIRST:
	case HANDOFF_FAILED:
	case HANDOFF_SERVING:
		return molt__engine_error(m, -ENOENT, "no handoff is under way: this process is %s",
					  molt_state_name(m));
	case HANDOFF_YIELDED:
	case HANDOFF_DRAIN:
	case HANDOFF_RENOUNCED:
	case HANDOFF_LEFT:
		return molt__engine_error(m, -EALREADY, "the commit is written: this process is %s",
					  molt_state_name(m));
	default:
		molt__engine_give_up(m, MOLT_REASON_GIVEN_UP, -ECANCELED,
				     "pid %d gave up the handoff by molt_cancel()", (int)getpid());
		return 0;
	}
}

static bool
stop_changes_nothing(const struct molt *m)
{
	switch (m->handoff.state) {
	case HANDOFF_FAILED:
	case HANDOFF_RENOUNCED:
	case HANDOFF_LEFT:
		return true;
	case HANDOFF_YIELDED:
	case HANDOFF_DRAIN:
		return m->handoff.stopping;
	default:
		return false;
	}
}

/* Whether a stop makes something fail: a start, or, when said again, a handoff. */
static bool
stop_gives_up(const struct molt *m)
{
	switch (m->handoff.state) {
	case HANDOFF_FIRST:
	case HANDOFF_SERVING:
	case HANDOFF_YIELDED:
	case HANDOFF_DRAIN:
		return false;
	case HANDOFF_OFFERED:
	case HANDOFF_PAUSED:
		return m->handoff.stopping;
	default:
		return true;
	}
}

/* Whether the host has ever said how many connections it has. */
static bool
has_counted(struct molt *m)
{
	int64_t remaining;

	pthread_mutex_lock(&m->requests.mutex);
	remaining = m->requests.remaining;
	pthread_mutex_unlock(&m->requests.mutex);
	return remaining >= 0;
}

int
molt_drain(struct molt *m)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (m->handoff.state == HANDOFF_NEW)
		return molt__engine_error(m, -EBUSY,
					  "there is nothing to stop before molt_connect()");
	if (stop_changes_nothing(m))
		return molt__engine_error(m, -EALREADY,
					  "this process is %s: there is nothing to hurry",
					  molt_state_name(m));
	if (stop_gives_up(m)) {
		molt__engine_why(m, -ECANCELED, "pid %d stops: molt_drain() was called",
				 (int)getpid());
		m->why_reason = MOLT_REASON_GIVEN_UP;
	}
	/* Who has never served has no connection, also if its host has not said so. */
	if (m->handoff.state == HANDOFF_FIRST && !has_counted(m))
		molt__engine_feed_type(m, HANDOFF_HOST_IDLE);
	molt__engine_feed_type(m, HANDOFF_HOST_STOP);
	return 0;
}

/* --- a successor of this process's own ------------------------------------------------------ */

pid_t
molt_spawn(struct molt *m, char *const argv[], char *const envp[])
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (argv == NULL || argv[0] == NULL || argv[0][0] == '\0')
		return molt__engine_error(m, -EINVAL, "argv[0] names no program to start");
	return molt__engine_spawn(m, argv, envp);
}
