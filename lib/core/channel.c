/* SPDX-License-Identifier: MIT */
/*
 * Packets and descriptors over one SOCK_SEQPACKET socket, never blocking, bounded.
 */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A packet that waits, with its own copies of the descriptors; the bytes follow them. */
struct outgoing {
	struct outgoing *next;
	size_t length;
	size_t nfds;
	int fds[];
};

struct channel {
	int fd;
	bool broken; /* nothing can be sent any more; reading goes on */
	int blocked; /* why the first in the queue waits: -EAGAIN, or another back-pressure */
	struct outgoing *first;
	struct outgoing **end;
	size_t pending;
	size_t pending_bytes;
	char buffer[CHANNEL_MAX_BYTES];
};

int
molt__channel_new(int fd, struct channel **ret_channel)
{
	struct channel *c;
	int r = molt__sys_assert_flags(fd);

	if (r == 0)
		r = molt__sys_pass_credentials(fd);
	if (r < 0)
		return r;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = fd;
	c->broken = false;
	c->blocked = 0;
	c->first = NULL;
	c->end = &c->first;
	c->pending = 0;
	c->pending_bytes = 0;
	*ret_channel = c;
	return 0;
}

static void
drop_first(struct channel *c)
{
	struct outgoing *packet = c->first;

	c->first = packet->next;
	if (!c->first)
		c->end = &c->first;
	c->pending--;
	c->pending_bytes -= packet->length;
	molt__sys_close_all(packet->fds, packet->nfds);
	free(packet);
}

static void
drop_queue(struct channel *c)
{
	while (c->first)
		drop_first(c);
}

void
molt__channel_free(struct channel *c)
{
	if (!c)
		return;
	drop_queue(c);
	molt__sys_close(c->fd);
	free(c);
}

int
molt__channel_fd(const struct channel *c)
{
	return c->fd;
}

int
molt__channel_peer(const struct channel *c, struct ucred *ret_cred)
{
	return molt__sys_peer(c->fd, ret_cred);
}

/* --- Sending ---------------------------------------------------------------------------------- */

static struct outgoing *
new_outgoing(size_t length, size_t nfds)
{
	struct outgoing *packet = malloc(sizeof(*packet) + nfds * sizeof(int) + length);

	if (!packet)
		return NULL;
	packet->next = NULL;
	packet->length = length;
	packet->nfds = 0;
	return packet;
}

static int
copy_fds(struct outgoing *packet, const int *fds, size_t nfds)
{
	while (packet->nfds < nfds) {
		int copy = molt__sys_duplicate(fds[packet->nfds]);

		if (copy < 0) {
			molt__sys_close_all(packet->fds, packet->nfds);
			return copy;
		}
		packet->fds[packet->nfds++] = copy;
	}
	return 0;
}

static int
enqueue(struct channel *c, const void *bytes, size_t length, const int *fds, size_t nfds)
{
	struct outgoing *packet;
	int r;

	if (c->pending >= CHANNEL_QUEUE_PACKETS || c->pending_bytes + length > CHANNEL_QUEUE_BYTES)
		return -ENOBUFS;
	packet = new_outgoing(length, nfds);
	if (!packet)
		return -ENOMEM;
	r = copy_fds(packet, fds, nfds);
	if (r < 0) {
		free(packet);
		return r;
	}
	memcpy(packet->fds + nfds, bytes, length);
	*c->end = packet;
	c->end = &packet->next;
	c->pending++;
	c->pending_bytes += length;
	return CHANNEL_QUEUED;
}

/* Whether the same packet can be sent later. */
static bool
is_back_pressure(int error)
{
	return error == -EAGAIN || error == -ETOOMANYREFS || error == -ENOBUFS || error == -ENOMEM;
}

/* Sends one packet, and remembers what that says about the channel. */
static int
push(struct channel *c, const void *bytes, size_t length, const int *fds, size_t nfds)
{
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = length };
	int r = molt__sys_send_packet(c->fd, &part, 1, fds, nfds);

	/* A reset is told once, and instead of the EPIPE that follows it. */
	if (r == -ECONNRESET)
		r = -EPIPE;
	if (r == -EPIPE)
		c->broken = true;
	c->blocked = is_back_pressure(r) ? r : 0;
	return r;
}

int
molt__channel_flush(struct channel *c)
{
	while (c->first) {
		const struct outgoing *packet = c->first;
		int r = push(c, packet->fds + packet->nfds, packet->length, packet->fds,
			     packet->nfds);

		if (is_back_pressure(r))
			return r == -EAGAIN ? -EAGAIN : -ETOOMANYREFS;
		if (r < 0) {
			/* What follows a lost packet must not arrive either. */
			c->broken = true;
			drop_queue(c);
			return r;
		}
		drop_first(c);
	}
	return c->broken ? -EPIPE : 0;
}

int
molt__channel_send(struct channel *c, const void *bytes, size_t length, const int *fds, size_t nfds)
{
	int r;

	if (length == 0 || length > CHANNEL_MAX_BYTES)
		return -EMSGSIZE;
	if (nfds > CHANNEL_MAX_FDS)
		return -E2BIG;
	r = molt__channel_flush(c);
	if (c->broken)
		return -EPIPE;
	if (r == 0)
		r = push(c, bytes, length, fds, nfds);
	if (r == 0)
		return CHANNEL_SENT;
	return is_back_pressure(r) ? enqueue(c, bytes, length, fds, nfds) : r;
}

size_t
molt__channel_pending(const struct channel *c)
{
	return c->pending;
}

bool
molt__channel_wants_write(const struct channel *c)
{
	return c->pending > 0 && c->blocked == -EAGAIN;
}

bool
molt__channel_wants_retry(const struct channel *c)
{
	return c->pending > 0 && c->blocked != -EAGAIN;
}

/* --- Receiving -------------------------------------------------------------------------------- */

static int
bad(struct incoming *ret_packet, const char *fault)
{
	ret_packet->fault = fault;
	return CHANNEL_BAD;
}

static int
give_packet(const struct channel *c, const struct sys_packet *packet, struct incoming *ret_packet)
{
	ret_packet->bytes = c->buffer;
	ret_packet->length = packet->length;
	memcpy(ret_packet->fds, packet->fds, packet->nfds * sizeof(int));
	ret_packet->nfds = packet->nfds;
	ret_packet->cred = packet->cred;
	ret_packet->fault = NULL;
	return CHANNEL_PACKET;
}

int
molt__channel_receive(struct channel *c, struct incoming *ret_packet)
{
	struct sys_packet packet;
	int r;

	/* A reset is told once, before the packets that are still queued: it says nothing. */
	do
		r = molt__sys_recv_packet(c->fd, c->buffer, sizeof(c->buffer), &packet);
	while (r == -ECONNRESET);

	switch (r) {
	case -EAGAIN:
		return CHANNEL_NOTHING;
	case SYS_PACKET:
		return give_packet(c, &packet, ret_packet);
	case SYS_END:
		return CHANNEL_END;
	case SYS_EMPTY:
		return CHANNEL_EMPTY;
	case SYS_TOO_LONG:
		return bad(ret_packet, "is longer than any may be");
	case SYS_CUT:
		return bad(ret_packet, "lost descriptors: this process has no room for them, or a "
				       "security module refused them");
	default:
		return r;
	}
}
