/* SPDX-License-Identifier: MIT */
/* From outside: asking the process that serves for its status. */
#include "export.h"

#include "channel.h"
#include "sys.h"
#include "wire.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct molt_watch {
	struct channel *channel;
	char *status; /* one that has come and was not handed out yet, or NULL */
};

/* --- connecting ----------------------------------------------------------------------------- */

/* A unix socket connects at once or not at all. Returns the descriptor. */
static int
connect_to(const char *path)
{
	struct unix_address address;
	int error = molt__sys_unix_address_to_connect(path, &address);
	int fd;

	if (error < 0)
		return error;
	fd = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address.address, address.length) < 0) {
		error = -errno;
		molt__sys_close(fd);
		fd = error;
	}
	molt__sys_unix_address_close(&address);
	return fd;
}

static int
send_watch(struct channel *c)
{
	struct message message = { .type = PACKET_WATCH };
	void *bytes;
	size_t length;
	int result = molt__wire_encode(&message, &bytes, &length);

	if (result < 0)
		return result;
	result = molt__channel_send(c, bytes, length, NULL, 0);
	free(bytes);
	if (result == CHANNEL_QUEUED)
		return -EAGAIN;
	/* It accepted and went: as if nobody had been there. */
	return result == -EPIPE ? -ECONNREFUSED : result;
}

static int
open_channel(const char *path, struct channel **ret_channel)
{
	struct channel *c;
	int fd = connect_to(path);
	int error;

	if (fd < 0)
		return fd;
	error = molt__channel_new(fd, &c);
	if (error < 0) {
		molt__sys_close(fd);
		return error;
	}
	error = send_watch(c);
	if (error < 0) {
		molt__channel_free(c);
		return error;
	}
	*ret_channel = c;
	return 0;
}

struct molt_watch *
molt_watch_new(const char *path)
{
	struct molt_watch *w;
	int error;

	if (path == NULL || path[0] == '\0') {
		errno = EINVAL;
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	error = open_channel(path, &w->channel);
	if (error < 0) {
		free(w);
		errno = -error;
		return NULL;
	}
	return w;
}

void
molt_watch_free(struct molt_watch *w)
{
	if (w == NULL)
		return;
	molt__channel_free(w->channel);
	free(w->status);
	free(w);
}

int
molt_watch_fd(const struct molt_watch *w)
{
	return w != NULL ? molt__channel_fd(w->channel) : -EINVAL;
}

/* --- receiving ------------------------------------------------------------------------------ */

static int
keep_status(struct molt_watch *w, const struct message *message)
{
	if (message->type == PACKET_REFUSE)
		return -EACCES;
	if (message->type != PACKET_STATUS || message->status.object == NULL)
		return -EPROTO;
	w->status = json_dumps(message->status.object, JSON_COMPACT | JSON_SORT_KEYS);
	return w->status != NULL ? 0 : -ENOMEM;
}

static int
read_packet(struct molt_watch *w, const struct incoming *packet)
{
	struct message message;
	int error = molt__wire_decode(packet->bytes, packet->length, packet->nfds, &message);

	molt__sys_close_all(packet->fds, packet->nfds);
	if (error < 0)
		return error == -ENOMEM ? error : -EPROTO;
	error = keep_status(w, &message);
	molt__message_clear(&message);
	return error;
}

/* 0: there is a status. -EAGAIN: nothing has come. */
static int
receive(struct molt_watch *w)
{
	struct incoming packet;

	switch (molt__channel_receive(w->channel, &packet)) {
	case CHANNEL_NOTHING:
	case CHANNEL_EMPTY:
		return -EAGAIN;
	case CHANNEL_PACKET:
		return read_packet(w, &packet);
	case CHANNEL_BAD:
		return -EPROTO;
	default:
		return -EPIPE;
	}
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for a status. A signal does not end the wait. */
static int
wait_for_status(struct molt_watch *w, int milliseconds)
{
	struct pollfd p = { .fd = molt__channel_fd(w->channel), .events = POLLIN };
	int64_t end = now() + milliseconds;
	int error;

	while ((error = receive(w)) == -EAGAIN) {
		int64_t left = milliseconds < 0 ? -1 : end - now();

		if (milliseconds >= 0 && left <= 0)
			return -ETIMEDOUT;
		poll(&p, 1, (int)left);
	}
	return error;
}

int
molt_watch_next(struct molt_watch *w, int milliseconds, char *json, size_t size)
{
	size_t length;
	int error = 0;

	if (w == NULL || (json == NULL && size > 0))
		return -EINVAL;
	if (w->status == NULL)
		error = wait_for_status(w, milliseconds);
	if (error < 0)
		return error;
	length = strlen(w->status);
	if (length >= size)
		return -ENOSPC;
	memcpy(json, w->status, length + 1);
	free(w->status);
	w->status = NULL;
	return (int)length;
}
