/* SPDX-License-Identifier: MIT */
/*
 * Packets and descriptors over one SOCK_SEQPACKET socket, never blocking, bounded. What the bytes
 * mean is not known here.
 */
#ifndef MOLT_CORE_CHANNEL_H
#define MOLT_CORE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "sys.h"

enum {
	CHANNEL_MAX_BYTES = 128 * 1024 + 256, /* one packet: a body of 128 KiB and its header */
	CHANNEL_MAX_FDS = SYS_MAX_FDS,
	CHANNEL_QUEUE_PACKETS = 64,
	CHANNEL_QUEUE_BYTES = 1024 * 1024
};

struct channel;

/* Gives the connected socket to a new channel. If it fails the socket is still the caller's. */
int molt__channel_new(int fd, struct channel **ret_channel);

/* Closes the socket and the copies of descriptors that were not sent. NULL is allowed. */
void molt__channel_free(struct channel *c);

/* A get, for polling: for reading always, for writing while molt__channel_wants_write(). */
int molt__channel_fd(const struct channel *c);

/* Who was at the other end when the connection was made. */
int molt__channel_peer(const struct channel *c, struct ucred *ret_cred);

/* --- Sending ---------------------------------------------------------------------------------- */

enum channel_sent {
	CHANNEL_SENT,  /* it is in the kernel's queue: it arrives even if this process dies now */
	CHANNEL_QUEUED /* it is in this channel's queue, which has copies of the descriptors */
};

/*
 * Sends a packet behind those that are queued. The descriptors stay the caller's, who may close
 * them in either case. Returns an enum channel_sent, or
 *   -EPIPE    the other side is gone. Reading goes on: what it had sent is still there
 *   -ENOBUFS  the queue is full
 *   -EMSGSIZE over CHANNEL_MAX_BYTES, or no bytes at all;  -E2BIG: over CHANNEL_MAX_FDS
 *   -EMFILE, -ENOMEM  it had to be queued and could not;  others, of sendmsg(2): -EBADF, -EINVAL
 *             (this kind of descriptor does not travel), -EPERM
 */
int molt__channel_send(struct channel *c, const void *bytes, size_t length, const int *fds,
		       size_t nfds);

/*
 * Sends what is queued, in order.
 *   0              everything is in the kernel's queue
 *   -EAGAIN        not yet: poll for writing
 *   -ETOOMANYREFS  not yet, and polling does not tell when: too many descriptors are in flight (or
 *                  the kernel has no memory). Call again after a while
 *   -EPIPE         the other side is gone; the queue is dropped. So it stays
 *   others         a queued packet cannot be sent. The queue is dropped, and from now on it is
 *                  -EPIPE
 */
int molt__channel_flush(struct channel *c);

/* How many packets are queued here. After -EPIPE none, which does not mean that they were sent. */
size_t molt__channel_pending(const struct channel *c);

/* Whether something is queued that polling for writing will tell about. */
bool molt__channel_wants_write(const struct channel *c);

/* Whether something is queued that only time will help: flush again at the next tick. */
bool molt__channel_wants_retry(const struct channel *c);

/* --- Receiving -------------------------------------------------------------------------------- */

enum channel_received {
	CHANNEL_NOTHING, /* poll for reading */
	CHANNEL_PACKET,  /* there is one */
	CHANNEL_END,   /* end of file: everything that the other side ever sent has been received */
	CHANNEL_EMPTY, /* a packet without bytes came and was dropped; only worth a log line */
	CHANNEL_BAD    /* a packet came and was dropped, `fault` says why; the channel can go on */
};

struct incoming {
	const void *bytes; /* a get, valid until the next molt__channel_receive() */
	size_t length;
	int fds[CHANNEL_MAX_FDS]; /* the caller's now, to keep or close */
	size_t nfds;
	struct ucred cred; /* of the process that sent this packet */
	const char *fault; /* CHANNEL_BAD: a constant phrase, as in "received a packet that …" */
};

/*
 * Receives one packet. Returns an enum channel_received (with the packet's fields set only by
 * CHANNEL_PACKET, and `fault` only by CHANNEL_BAD), or a negative errno when the socket cannot be
 * read at all. One call takes at most one packet, so a caller that counts its calls cannot be kept
 * busy.
 */
int molt__channel_receive(struct channel *c, struct incoming *ret_packet);

#endif
