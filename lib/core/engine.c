/* SPDX-License-Identifier: MIT */
/* Feeding the handoff, ticks and turns: everything that happens goes through here. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

/* --- sentences -------------------------------------------------------------------------------- */

int
molt__engine_error(struct molt *m, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(m->error, sizeof(m->error), format, args);
	va_end(args);
	return error;
}

void
molt__engine_why(struct molt *m, int error, const char *format, ...)
{
	char text[sizeof(m->why)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(m->why, text, sizeof(m->why));
	m->why_error = error;
}

void
molt__engine_log(struct molt *m, int severity, const char *key, const char *format, ...)
{
	char line[ENGINE_TEXT_MAX + 1];
	va_list args;

	if (m->log == NULL)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	m->log(m->log_arg, severity, key, line);
}

void
molt__engine_give_up(struct molt *m, int reason, int error, const char *format, ...)
{
	char text[sizeof(m->why)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	molt__engine_why(m, error, "%s", text);
	m->why_reason = reason;
	molt__engine_feed_type(m, HANDOFF_HOST_CANCEL);
}

/* --- who may, and what fits ------------------------------------------------------------------- */

bool
molt__engine_uid_allowed(const struct molt *m, uid_t uid)
{
	if (uid == geteuid() || uid == 0 || (m->owner.uid != (uid_t)-1 && uid == m->owner.uid))
		return true;
	for (int i = 0; i < m->uid_count; i++)
		if (m->uids[i] == uid)
			return true;
	return false;
}

int
molt__engine_room(const struct molt *m)
{
	int room = m->room >= 0 ? m->room : molt__sys_room(ENGINE_ROOM_RESERVE);

	return room < 0 ? WIRE_DESCRIPTORS_MAX : room;
}

/* --- feeding ---------------------------------------------------------------------------------- */

/* One step. Says whether it ended in a question, whose answer is in *ret_answer. */
static bool
step(struct molt *m, const struct handoff_input *in, struct handoff_input *ret_answer)
{
	struct handoff_action actions[HANDOFF_ACTIONS_MAX];
	size_t count = molt__handoff_step(&m->handoff, in, actions);

	for (size_t i = 0; i < count; i++) {
		if (molt__handoff_action_asks(actions[i].type)) {
			*ret_answer = molt__engine_answer(m, &actions[i]);
			return true;
		}
		molt__engine_carry_out(m, &actions[i]);
	}
	return false;
}

static void
feed_now(struct molt *m, const struct handoff_input *in)
{
	struct handoff_input current = *in;
	struct handoff_input next;
	int before = m->handoff.state;

	while (step(m, &current, &next))
		current = next;
	if (m->handoff.state == before)
		return;
	molt__engine_log(m, LOG_INFO, "state", "%s: %s, was %s", molt__name_own_generation(m).text,
			 molt__handoff_state_name(m->handoff.state),
			 molt__handoff_state_name((enum handoff_state)before));
	molt__status_changed(m);
}

/* Says whether the host has told anew how many connections it has, and makes an input of it. */
static bool
take_remaining(struct molt *m, struct handoff_input *ret_in)
{
	struct requests *r = &m->requests;
	bool changed;

	pthread_mutex_lock(&r->mutex);
	changed = r->remaining_changed;
	r->remaining_changed = false;
	if (changed)
		m->remaining = r->remaining;
	pthread_mutex_unlock(&r->mutex);
	if (!changed)
		return false;
	*ret_in = (struct handoff_input){ .type = HANDOFF_HOST_BUSY };
	if (m->remaining == 0)
		ret_in->type = HANDOFF_HOST_IDLE;
	molt__status_changed(m);
	return true;
}

/*
 * What carrying out an action makes happen is fed after it, in order: the machine sees one input at
 * a time. An action feeds at most one input, and no more than a few actions do, so the queue cannot
 * fill.
 *
 * What the host has said of its connections comes first: who has accepted what waited in a retired
 * listener's queue must not be told to leave for what was so before.
 */
void
molt__engine_feed(struct molt *m, const struct handoff_input *in)
{
	struct handoff_input said;

	if (m->feeding) {
		if (m->queued_count < ENGINE_INPUTS_MAX)
			m->queued[m->queued_count++] = *in;
		return;
	}
	m->feeding = true;
	if (take_remaining(m, &said))
		feed_now(m, &said);
	feed_now(m, in);
	for (int i = 0; i < m->queued_count; i++)
		feed_now(m, &m->queued[i]);
	m->queued_count = 0;
	m->feeding = false;
	molt__greet_follow_owner(m);
	molt__down_continue(m);
	molt__time_set(m);
}

void
molt__engine_feed_type(struct molt *m, enum handoff_input_type type)
{
	struct handoff_input in = { .type = type };

	molt__engine_feed(m, &in);
}

/* --- a tick ----------------------------------------------------------------------------------- */

static bool
wants_retry(const struct channel *c)
{
	return c != NULL && molt__channel_wants_retry(c);
}

static bool
is_offering(const struct molt *m)
{
	return m->handoff.state == HANDOFF_OFFERED || m->handoff.state == HANDOFF_PAUSED;
}

static bool
reports_remaining(const struct molt *m)
{
	return m->down.channel != NULL &&
	       (m->handoff.state == HANDOFF_DRAIN || m->handoff.state == HANDOFF_RENOUNCED);
}

static bool
path_waits(const struct molt *m)
{
	return molt__handoff_is_owner(&m->handoff) && m->path_fd >= 0 && !m->path_watched;
}

bool
molt__engine_wants_tick(const struct molt *m)
{
	return molt__handoff_wants_tick(&m->handoff) || is_offering(m) || reports_remaining(m) ||
	       path_waits(m) || wants_retry(m->up.channel) || wants_retry(m->down.channel);
}

static void
look_at_record(struct molt *m)
{
	struct handoff_input in = { .type = HANDOFF_TICK };

	if (molt__rendezvous_read_record(m->rendezvous, &in.record) == 0)
		molt__engine_feed(m, &in);
}

void
molt__engine_tick(struct molt *m)
{
	/*
	 * Of one made after the last late offer the successor would never hear: it makes its own.
	 */
	if (is_offering(m) && !m->down.committing)
		molt__engine_secure_path(m);
	if (molt__handoff_wants_tick(&m->handoff))
		look_at_record(m);
	if (reports_remaining(m))
		molt__down_send_remaining(m);
	if (wants_retry(m->up.channel))
		molt__engine_flush(m, m->up.channel, ENGINE_UP, 0);
	if (wants_retry(m->down.channel)) {
		molt__engine_flush(m, m->down.channel, ENGINE_DOWN, 0);
		molt__down_continue(m);
	}
	molt__greet_follow_owner(m);
}

/* --- a turn ----------------------------------------------------------------------------------- */

static void
run_requests(struct molt *m)
{
	struct requests *r = &m->requests;
	struct requests asked;
	struct handoff_input said;
	eventfd_t count;

	eventfd_read(m->wake, &count);
	pthread_mutex_lock(&r->mutex);
	asked.commit = r->commit;
	asked.progress = r->progress;
	r->commit = r->progress = false;
	pthread_mutex_unlock(&r->mutex);
	if (take_remaining(m, &said))
		molt__engine_feed(m, &said);
	if (asked.progress) {
		molt__time_progress(m);
		molt__up_send_progress(m);
		molt__down_send_progress(m);
	}
	if (asked.commit)
		molt__engine_feed_type(m, HANDOFF_HOST_PAUSED);
}

static void
clear_timer(struct molt *m)
{
	uint64_t count;
	ssize_t n = read(m->time.fd, &count, sizeof(count));

	(void)n;
	m->time.set_to = 0;
}

static void
flush_if_writable(struct molt *m, struct channel *c, const struct epoll_event *ev,
		  enum engine_source source)
{
	if (c != NULL && (ev->events & EPOLLOUT) != 0)
		molt__engine_flush(m, c, source, 0);
}

static void
handle(struct molt *m, const struct epoll_event *ev)
{
	int index = (int)(uint32_t)ev->data.u64;

	switch ((enum engine_source)(ev->data.u64 >> 32)) {
	case ENGINE_WAKE:
		run_requests(m);
		break;
	case ENGINE_TIMER:
		clear_timer(m);
		break;
	case ENGINE_PATH:
		molt__greet_accept(m);
		break;
	case ENGINE_UP:
		flush_if_writable(m, m->up.channel, ev, ENGINE_UP);
		molt__up_readable(m);
		break;
	case ENGINE_DOWN:
		flush_if_writable(m, m->down.channel, ev, ENGINE_DOWN);
		molt__down_continue(m);
		molt__down_readable(m);
		break;
	case ENGINE_GREETING:
		molt__greet_readable(m, index);
		break;
	case ENGINE_WATCHER:
		molt__status_watcher_readable(m, index);
		break;
	case ENGINE_CHILD:
		molt__engine_child_ended(m);
		break;
	}
}

/*
 * One event at a time, so that none can be about what another has just closed. Channels come before
 * deadlines: who was frozen reads first what came meanwhile.
 */
void
molt__engine_dispatch(struct molt *m)
{
	struct epoll_event ev;

	for (int i = 0; i < ENGINE_TURN_MAX && epoll_wait(m->epoll, &ev, 1, 0) == 1; i++)
		handle(m, &ev);
	molt__time_run(m);
	molt__status_publish(m);
}
