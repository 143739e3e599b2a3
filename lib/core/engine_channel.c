/* SPDX-License-Identifier: MIT */
/* Polling, and messages over channels: what every channel of the engine has in common. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <syslog.h>

/* --- polling ---------------------------------------------------------------------------------- */

static uint64_t
source_number(enum engine_source source, int index)
{
	return (uint64_t)source << 32 | (uint32_t)index;
}

int
molt__engine_watch(struct molt *m, int fd, enum engine_source source, int index)
{
	struct epoll_event ev = { .events = EPOLLIN };

	ev.data.u64 = source_number(source, index);
	if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	return 0;
}

void
molt__engine_watch_for(struct molt *m, int fd, enum engine_source source, int index, bool writing)
{
	struct epoll_event ev = { .events = EPOLLIN };

	if (writing)
		ev.events |= EPOLLOUT;
	ev.data.u64 = source_number(source, index);
	epoll_ctl(m->epoll, EPOLL_CTL_MOD, fd, &ev);
}

void
molt__engine_unwatch(struct molt *m, int fd)
{
	if (m->epoll >= 0)
		epoll_ctl(m->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void
molt__engine_wake(struct molt *m)
{
	eventfd_write(m->wake, 1);
}

/* --- channels --------------------------------------------------------------------------------- */

/* Which place this channel has, so that it can be polled for writing under it. */
static enum engine_source
source_of(const struct molt *m, const struct channel *c, int *ret_index)
{
	*ret_index = 0;
	if (c == m->up.channel)
		return ENGINE_UP;
	if (c == m->down.channel)
		return ENGINE_DOWN;
	for (int i = 0; i < ENGINE_WATCHERS_MAX; i++)
		if (c == m->watchers[i].channel) {
			*ret_index = i;
			return ENGINE_WATCHER;
		}
	while (*ret_index < ENGINE_GREETINGS_MAX - 1 && c != m->greetings[*ret_index].channel)
		++*ret_index;
	return ENGINE_GREETING;
}

int
molt__engine_send(struct molt *m, struct channel *c, const struct message *message, const int *fds,
		  size_t nfds)
{
	void *bytes = NULL;
	size_t length = 0;
	int index;
	int result;

	if (c == NULL)
		return -EPIPE;
	result = molt__wire_encode(message, &bytes, &length);
	if (result == 0) {
		result = molt__channel_send(c, bytes, length, fds, nfds);
		free(bytes);
	}
	if (result == CHANNEL_QUEUED && molt__channel_wants_write(c)) {
		enum engine_source source = source_of(m, c, &index);

		molt__engine_watch_for(m, molt__channel_fd(c), source, index, true);
	}
	if (result < 0 && result != -EPIPE)
		molt__engine_log(m, LOG_ERR, "send", "%s cannot be sent: %s",
				 molt__wire_type_name(message->type), strerror(-result));
	return result < 0 ? result : 0;
}

int
molt__engine_flush(struct molt *m, struct channel *c, enum engine_source source, int index)
{
	int result = molt__channel_flush(c);

	molt__engine_watch_for(m, molt__channel_fd(c), source, index, molt__channel_wants_write(c));
	return result;
}

static bool
decode(struct molt *m, const struct incoming *packet, struct message *ret_message)
{
	int error;

	if (!molt__engine_uid_allowed(m, packet->cred.uid)) {
		molt__engine_log(m, LOG_WARNING, "packet",
				 "a packet of uid %u, which is not allowed",
				 (unsigned)packet->cred.uid);
		return false;
	}
	error = molt__wire_decode(packet->bytes, packet->length, packet->nfds, ret_message);
	if (error < 0)
		molt__engine_log(m, LOG_WARNING, "packet",
				 "a packet of %zu bytes with %zu descriptors was not understood "
				 "(version %u, type %s): %s",
				 packet->length, packet->nfds, ret_message->version,
				 molt__wire_type_name(ret_message->type), strerror(-error));
	return error == 0;
}

enum engine_received
molt__engine_receive(struct molt *m, struct channel *c, struct message *ret_message,
		     struct incoming *ret_packet)
{
	switch (molt__channel_receive(c, ret_packet)) {
	case CHANNEL_NOTHING:
	case -ENOMEM: /* the packet is still there, and nobody has gone */
	case -ENOBUFS:
		return ENGINE_NOTHING;
	case CHANNEL_PACKET:
		if (decode(m, ret_packet, ret_message))
			return ENGINE_MESSAGE;
		molt__sys_close_all(ret_packet->fds, ret_packet->nfds);
		return ENGINE_NOTHING_USABLE;
	case CHANNEL_EMPTY:
		molt__engine_log(m, LOG_WARNING, "packet", "an empty packet was dropped");
		return ENGINE_NOTHING_USABLE;
	case CHANNEL_BAD:
		molt__engine_log(m, LOG_WARNING, "packet", "received a packet that %s: dropped",
				 ret_packet->fault);
		return ENGINE_NOTHING_USABLE;
	default:
		return ENGINE_END;
	}
}
