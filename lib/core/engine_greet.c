/* SPDX-License-Identifier: MIT */
/* The socket file: who connects to it, whether they may, and what they want. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static void
close_greeting(struct molt *m, int index)
{
	struct greeting *g = &m->greetings[index];

	if (g->channel == NULL)
		return;
	molt__engine_unwatch(m, molt__channel_fd(g->channel));
	molt__channel_free(g->channel);
	g->channel = NULL;
}

void
molt__greet_close_all(struct molt *m)
{
	for (int i = 0; i < ENGINE_GREETINGS_MAX; i++)
		close_greeting(m, i);
}

/* The word is sent if the socket takes it now: nobody waits for a peer that is turned away. */
static void
refuse(struct molt *m, int index, enum refuse_code code, const char *why)
{
	struct message message = { .type = PACKET_REFUSE };

	message.refuse.code = code;
	snprintf(message.refuse.why, sizeof(message.refuse.why), "%s", why);
	molt__engine_log(m, LOG_NOTICE, "refused", "refused a peer: %s", why);
	molt__engine_send(m, m->greetings[index].channel, &message, NULL, 0);
	close_greeting(m, index);
}

void
molt__greet_refuse_candidate(struct molt *m, enum handoff_reason reason)
{
	char why[WIRE_TEXT_MAX + 1];

	if (reason == HANDOFF_REASON_SYSTEM) {
		refuse(m, m->candidate, REFUSE_SYSTEM,
		       "the lock file cannot be written, so no heir can be named");
		return;
	}
	snprintf(why, sizeof(why), "a handoff to %s has been under way for %lld ms",
		 molt__name_peer(&m->down.peer).text,
		 (long long)(molt__time_now() - m->down.since));
	refuse(m, m->candidate, REFUSE_BUSY, why);
}

static bool
has_room(struct molt *m, int index, const struct hello *hello)
{
	int needed = molt__inventory_count_to_send(&m->inventory);
	char why[WIRE_TEXT_MAX + 1];

	if (m->handoff.state != HANDOFF_SERVING || hello->room >= needed)
		return true;
	snprintf(why, sizeof(why),
		 "%d descriptors are to be handed over, and the successor has room for %d: raise "
		 "its RLIMIT_NOFILE",
		 needed, (int)hello->room);
	refuse(m, index, REFUSE_ROOM, why);
	return false;
}

static bool
is_compatible(struct molt *m, int index, const struct hello *hello)
{
	char why[WIRE_TEXT_MAX + 1];

	if (hello->compatibility >= m->compatibility || hello->allow_downgrade)
		return true;
	snprintf(
		why, sizeof(why),
		"compatibility number %u is lower than the %u that serves: an old version, started "
		"by mistake?",
		hello->compatibility, m->compatibility);
	refuse(m, index, REFUSE_DOWNGRADE, why);
	return false;
}

/* The present successor is read to its end first: if it is dead, this one can have its place. */
static void
greet_hello(struct molt *m, int index, const struct hello *hello)
{
	struct handoff_input in = { .type = HANDOFF_CANDIDATE, .peer = hello->instance };

	if (hello->instance == m->handoff.me) {
		refuse(m, index, REFUSE_PROTOCOL,
		       "the successor says that it is this process itself");
		return;
	}
	if (m->refusal[0] != '\0') {
		refuse(m, index, REFUSE_HOST, m->refusal);
		return;
	}
	molt__down_read_all(m);
	if (!is_compatible(m, index, hello) || !has_room(m, index, hello))
		return;
	memset(&m->candidate_peer, 0, sizeof(m->candidate_peer));
	m->candidate_peer.instance = hello->instance;
	m->candidate_peer.pid = hello->pid;
	m->candidate_peer.room = hello->room;
	memcpy(m->candidate_peer.label, hello->label, sizeof(hello->label));
	m->candidate = index;
	molt__engine_feed(m, &in);
	m->candidate = -1;
	close_greeting(m, index);
}

static void
greet_watcher(struct molt *m, int index, bool once)
{
	struct greeting *g = &m->greetings[index];
	struct channel *channel = g->channel;

	molt__engine_unwatch(m, molt__channel_fd(channel));
	g->channel = NULL;
	if (molt__status_add_watcher(m, channel, once) == 0)
		return;
	g->channel = channel;
	refuse(m, index, REFUSE_BUSY, "too many are watching");
}

static void
greet_message(struct molt *m, int index, const struct message *message)
{
	switch (message->type) {
	case PACKET_HELLO:
		greet_hello(m, index, &message->hello);
		break;
	case PACKET_STATUS:
		greet_watcher(m, index, true);
		break;
	case PACKET_WATCH:
		greet_watcher(m, index, false);
		break;
	default:
		molt__engine_log(m, LOG_WARNING, "packet",
				 "%s came before HELLO: connection closed",
				 molt__wire_type_name(message->type));
		close_greeting(m, index);
		break;
	}
}

/* Descriptors that come with a first packet that is none were closed on receiving it. */
void
molt__greet_readable(struct molt *m, int index)
{
	struct message message;
	struct incoming packet;

	if (m->greetings[index].channel == NULL)
		return;
	switch (molt__engine_receive(m, m->greetings[index].channel, &message, &packet)) {
	case ENGINE_MESSAGE:
		molt__sys_close_all(packet.fds, packet.nfds);
		greet_message(m, index, &message);
		molt__message_clear(&message);
		break;
	case ENGINE_NOTHING:
		break;
	case ENGINE_NOTHING_USABLE:
		refuse(m, index, REFUSE_PROTOCOL,
		       "the first packet was not understood: another wire version, or not a peer");
		break;
	case ENGINE_END:
		close_greeting(m, index);
		break;
	}
}

/* A free place; the oldest silent connection makes room for a new one. */
static int
place_for_greeting(struct molt *m)
{
	int oldest = 0;

	for (int i = 0; i < ENGINE_GREETINGS_MAX; i++) {
		if (m->greetings[i].channel == NULL)
			return i;
		if (m->greetings[i].since < m->greetings[oldest].since)
			oldest = i;
	}
	molt__engine_log(m, LOG_NOTICE, "silent",
			 "%d connections to the socket file say nothing: the oldest was closed",
			 ENGINE_GREETINGS_MAX);
	close_greeting(m, oldest);
	return oldest;
}

static bool
is_allowed(struct molt *m, int index)
{
	char why[WIRE_TEXT_MAX + 1];
	struct ucred cred;
	int error = molt__channel_peer(m->greetings[index].channel, &cred);

	if (error == 0 && molt__engine_uid_allowed(m, cred.uid))
		return true;
	snprintf(why, sizeof(why), "uid %u is not allowed to take over or to ask",
		 error == 0 ? (unsigned)cred.uid : (unsigned)-1);
	refuse(m, index, REFUSE_DENIED, why);
	return false;
}

/* Who connects has mostly spoken already, so a flood of silent ones does not keep it waiting. */
static void
greet(struct molt *m, int fd)
{
	int index = place_for_greeting(m);
	struct greeting *g = &m->greetings[index];

	if (molt__channel_new(fd, &g->channel) < 0) {
		molt__sys_close(fd);
		return;
	}
	g->since = molt__time_now();
	if (molt__engine_watch(m, fd, ENGINE_GREETING, index) < 0) {
		molt__channel_free(g->channel);
		g->channel = NULL;
		return;
	}
	if (is_allowed(m, index))
		molt__greet_readable(m, index);
}

static void
stop_watching_path(struct molt *m)
{
	if (m->path_watched)
		molt__engine_unwatch(m, m->path_fd);
	m->path_watched = false;
}

/* Without a descriptor to spare, accepting waits for the next tick instead of spinning. */
void
molt__greet_accept(struct molt *m)
{
	for (int i = 0; i < ENGINE_TURN_MAX && m->path_watched; i++) {
		int fd = molt__sys_accept(m->path_fd);

		if (fd == -EAGAIN)
			return;
		if (fd < 0) {
			molt__engine_log(m, LOG_ERR, "accept",
					 "the socket file cannot be accepted from: %s",
					 strerror(-fd));
			stop_watching_path(m);
			return;
		}
		greet(m, fd);
	}
}

void
molt__greet_expire(struct molt *m, int64_t now)
{
	int64_t length = molt__time_length(m, MOLT_DEADLINE_HELLO);

	for (int i = 0; i < ENGINE_GREETINGS_MAX; i++)
		if (m->greetings[i].channel != NULL && m->greetings[i].since + length <= now) {
			molt__engine_log(
				m, LOG_NOTICE, "silent",
				"a connection to the socket file said nothing within %lld ms",
				(long long)length);
			close_greeting(m, i);
		}
}

int64_t
molt__greet_next_expiry(const struct molt *m)
{
	int64_t next = 0;

	for (int i = 0; i < ENGINE_GREETINGS_MAX; i++) {
		const struct greeting *g = &m->greetings[i];
		int64_t at = g->since + m->time.deadline[MOLT_DEADLINE_HELLO];

		if (g->channel != NULL && (next == 0 || at < next))
			next = at;
	}
	return next;
}

/* Who waits unanswered when this process stops owning sees an end of file, and starts again. */
void
molt__greet_follow_owner(struct molt *m)
{
	if (!molt__handoff_is_owner(&m->handoff)) {
		stop_watching_path(m);
		molt__greet_close_all(m);
	} else if (!m->path_watched && m->path_fd >= 0) {
		m->path_watched = molt__engine_watch(m, m->path_fd, ENGINE_PATH, 0) == 0;
	}
}
