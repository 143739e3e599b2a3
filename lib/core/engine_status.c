/* SPDX-License-Identifier: MIT */
/*
 * Status as JSON, and those who watch it. Whoever asks is answered in every state, and changes
 * nothing.
 */
#include "engine.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* --- the parts of a status ------------------------------------------------------------------ */

/*
 * A sentence may hold what the system said in another encoding: as far as it can be sent, or null.
 */
static json_t *
text_or_null(const char *text)
{
	size_t span = molt__entry_text_span(text, strlen(text));

	return span == 0 ? json_null() : json_stringn(text, span);
}

static json_t *
count_or_null(int64_t count)
{
	return count < 0 ? json_null() : json_integer((json_int_t)count);
}

static const char *
state_of(const struct molt *m)
{
	return molt__handoff_state_name((enum handoff_state)m->handoff.state);
}

static json_t *
listener(const struct entry *e)
{
	char address[ADDRESS_TEXT_SIZE];

	molt__address_print(&e->address, address, sizeof(address));
	return json_pack("{s:s, s:o}", "name", e->name, "address", text_or_null(address));
}

/* At most `limit` of them; the rest is counted. */
static json_t *
listeners(const struct molt *m, int limit, int *ret_left_out)
{
	json_t *array = json_array();
	int slot = INVENTORY_NONE;

	*ret_left_out = 0;
	while ((slot = molt__inventory_next(&m->inventory, slot,
					    INVENTORY_ANY_HELD | INVENTORY_ANY_LENT)) !=
	       INVENTORY_NONE) {
		const struct entry *e = molt__inventory_entry(&m->inventory, slot);

		if (!molt__entry_is_listener(e))
			continue;
		if (limit-- > 0)
			json_array_append_new(array, listener(e));
		else
			++*ret_left_out;
	}
	return array;
}

static bool
has_successor(const struct molt *m)
{
	switch (m->handoff.state) {
	case HANDOFF_OFFERED:
	case HANDOFF_PAUSED:
	case HANDOFF_YIELDED:
		return true;
	default:
		return false;
	}
}

static json_t *
handoff(const struct molt *m)
{
	const struct peer *peer = &m->down.peer;

	if (!has_successor(m))
		return json_null();
	return json_pack("{s:i, s:o, s:s, s:I}", "pid", (int)peer->pid, "label",
			 text_or_null(peer->label), "state", state_of(m), "since_ms",
			 (json_int_t)(molt__time_now() - m->down.since));
}

static bool
is_draining(const struct molt *m)
{
	return m->handoff.state == HANDOFF_DRAIN || m->handoff.state == HANDOFF_RENOUNCED;
}

static json_t *
process(int pid, uint64_t generation, const char *label, const char *state, int64_t remaining)
{
	return json_pack("{s:i, s:I, s:o, s:s, s:o}", "pid", pid, "generation",
			 (json_int_t)generation, "label", text_or_null(label), "state", state,
			 "remaining", count_or_null(remaining));
}

static json_t *
draining(const struct molt *m)
{
	json_t *array = json_array();

	if (is_draining(m))
		json_array_append_new(array, process((int)getpid(), m->handoff.generation, m->label,
						     state_of(m), m->remaining));
	for (size_t i = 0; i < m->up.older_count; i++) {
		const struct remaining_process *p = &m->up.older[i];

		json_array_append_new(
			array, process(p->pid, p->generation, p->label, p->state, p->connections));
	}
	return array;
}

/* NULL: no memory. */
static json_t *
status(const struct molt *m, int listeners_max)
{
	char instance[17];
	int left_out;
	json_t *all = listeners(m, listeners_max, &left_out);

	snprintf(instance, sizeof(instance), "%016" PRIx64, m->handoff.me);
	return json_pack("{s:s, s:i, s:I, s:o, s:s, s:b, s:o, s:i, s:o, s:o, s:o, s:o}", "instance",
			 instance, "pid", (int)getpid(), "generation",
			 (json_int_t)m->handoff.generation, "label", text_or_null(m->label),
			 "state", state_of(m), "owner", molt__handoff_is_owner(&m->handoff),
			 "listeners", all, "listeners_left_out", left_out, "handoff", handoff(m),
			 "last_failure", text_or_null(m->last_failure), "remaining",
			 count_or_null(m->remaining), "draining", draining(m));
}

/* --- watchers ------------------------------------------------------------------------------- */

void
molt__status_changed(struct molt *m)
{
	m->status_serial++;
	for (int i = 0; i < ENGINE_WATCHERS_MAX; i++)
		if (m->watchers[i].channel != NULL) {
			molt__engine_wake(m);
			return;
		}
}

static void
drop_watcher(struct molt *m, struct watcher *w)
{
	molt__engine_unwatch(m, molt__channel_fd(w->channel));
	molt__channel_free(w->channel);
	memset(w, 0, sizeof(*w));
}

/* A status that is too long for a packet goes with fewer listeners. */
static int
send_status(struct molt *m, struct watcher *w)
{
	int limit = INVENTORY_MAX;
	int result;

	do {
		struct message message = { .type = PACKET_STATUS };

		message.status.object = status(m, limit);
		if (message.status.object == NULL)
			return -ENOMEM;
		result = molt__engine_send(m, w->channel, &message, NULL, 0);
		json_decref(message.status.object);
		limit /= 2;
	} while (result == -EMSGSIZE && limit > 0);
	return result;
}

/*
 * What has changed while the last status was still on its way is told by one more, when that is
 * gone.
 */
static void
bring_up_to_date(struct molt *m, struct watcher *w)
{
	if (w->seen != m->status_serial && molt__channel_pending(w->channel) == 0 &&
	    !(w->once && w->seen != 0)) {
		if (send_status(m, w) < 0) {
			drop_watcher(m, w);
			return;
		}
		w->seen = m->status_serial;
	}
	if (w->once && w->seen != 0 && molt__channel_pending(w->channel) == 0)
		drop_watcher(m, w);
}

int
molt__status_add_watcher(struct molt *m, struct channel *channel, bool once)
{
	for (int i = 0; i < ENGINE_WATCHERS_MAX; i++) {
		struct watcher *w = &m->watchers[i];
		int error;

		if (w->channel != NULL)
			continue;
		error = molt__engine_watch(m, molt__channel_fd(channel), ENGINE_WATCHER, i);
		if (error < 0)
			return error;
		w->channel = channel;
		w->once = once;
		w->seen = 0;
		molt__status_changed(m);
		return 0;
	}
	return -ENOSPC;
}

/* A watcher has nothing more to say: what comes is read so that its end is seen, and dropped. */
void
molt__status_watcher_readable(struct molt *m, int index)
{
	struct watcher *w = &m->watchers[index];
	struct message message;
	struct incoming packet;

	for (int i = 0; i < ENGINE_TURN_MAX; i++) {
		switch (molt__engine_receive(m, w->channel, &message, &packet)) {
		case ENGINE_MESSAGE:
			molt__sys_close_all(packet.fds, packet.nfds);
			molt__message_clear(&message);
			break;
		case ENGINE_NOTHING_USABLE:
			break;
		case ENGINE_END:
			drop_watcher(m, w);
			return;
		case ENGINE_NOTHING:
			return;
		}
	}
}

void
molt__status_publish(struct molt *m)
{
	for (int i = 0; i < ENGINE_WATCHERS_MAX; i++) {
		struct watcher *w = &m->watchers[i];

		if (w->channel == NULL)
			continue;
		if (molt__channel_pending(w->channel) > 0)
			molt__engine_flush(m, w->channel, ENGINE_WATCHER, i);
		bring_up_to_date(m, w);
	}
}

void
molt__status_close_all(struct molt *m)
{
	for (int i = 0; i < ENGINE_WATCHERS_MAX; i++)
		if (m->watchers[i].channel != NULL)
			drop_watcher(m, &m->watchers[i]);
}

/* --- one line ------------------------------------------------------------------------------- */

/*
 * Like snprintf(3) at the end of what is there; `*at` goes on counting when the place is used up.
 */
static void __attribute__((format(printf, 4, 5)))
append(char *line, size_t size, size_t *at, const char *format, ...)
{
	size_t used = *at < size ? *at : size;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(used < size ? line + used : NULL, size - used, format, args);
	va_end(args);
	if (n > 0)
		*at += (size_t)n;
}

static int
count_listeners(const struct molt *m)
{
	int count = 0;
	int slot = INVENTORY_NONE;

	while ((slot = molt__inventory_next(&m->inventory, slot,
					    INVENTORY_ANY_HELD | INVENTORY_ANY_LENT)) !=
	       INVENTORY_NONE)
		count += molt__entry_is_listener(molt__inventory_entry(&m->inventory, slot));
	return count;
}

/* "generation 3 (v3), pid 42: serving, 2 listeners, 12 connections; handing over to pid 43 (v4)" */
int
molt__status_describe(struct molt *m, char *line, size_t size)
{
	size_t at = 0;

	append(line, size, &at, "%s, pid %d: %s, %d listeners", molt__name_own_generation(m).text,
	       (int)getpid(), state_of(m), count_listeners(m));
	if (m->remaining >= 0)
		append(line, size, &at, ", %" PRId64 " connections", m->remaining);
	if (has_successor(m))
		append(line, size, &at, "; handing over to %s",
		       molt__name_peer(&m->down.peer).text);
	for (size_t i = 0; i < m->up.older_count; i++)
		append(line, size, &at, "; generation %" PRIu64 ", pid %d, is %s",
		       m->up.older[i].generation, (int)m->up.older[i].pid, m->up.older[i].state);
	if (m->last_failure[0] != '\0')
		append(line, size, &at, "; last failure: %s", m->last_failure);
	return (int)at;
}
