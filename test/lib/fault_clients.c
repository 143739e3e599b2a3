/* SPDX-License-Identifier: MIT */
/* Clients that never wait for each other. */
#include "fault_clients.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t
fault_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Also when it fails there is a descriptor, whose error the next turn reads. */
static int
open_connected(int type, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 &&
	    errno != EINPROGRESS) {
		int error = -errno;
		close(fd);
		return error;
	}
	return fd < 0 ? -errno : fd;
}

int
fault_clients_open(struct fault_clients *c, int port, int udp_port)
{
	memset(c, 0, sizeof(*c));
	c->port = port;
	c->udp = open_connected(SOCK_DGRAM, udp_port);
	return c->udp < 0 ? c->udp : 0;
}

void
fault_clients_close(struct fault_clients *c)
{
	for (int i = c->connections.settled; i < c->connections.count; i++)
		if (c->connections.asks[i].fd >= 0)
			close(c->connections.asks[i].fd);
	if (c->udp >= 0)
		close(c->udp);
}

/* --- Asking ----------------------------------------------------------------------------------- */

static struct fault_ask *
new_ask(struct fault_asks *asks)
{
	struct fault_ask *ask = &asks->asks[asks->count++];

	ask->fd = -1;
	ask->asked_ns = fault_now_ns();
	return ask;
}

static void
fail(struct fault_ask *ask, int error)
{
	ask->error = error;
	if (ask->fd >= 0)
		close(ask->fd);
	ask->fd = -1;
}

int
fault_clients_connect(struct fault_clients *c)
{
	struct fault_ask *ask;

	if (c->connections.count == FAULT_ASKS_MAX)
		return -ENOSPC;
	ask = new_ask(&c->connections);
	ask->fd = open_connected(SOCK_STREAM, c->port);
	if (ask->fd < 0)
		fail(ask, ask->fd);
	return c->connections.count - 1;
}

/* A server that is gone is told to a datagram's sender by the next call: that one is lost. */
static void
send_datagram(struct fault_clients *c)
{
	char number[16];
	int n = snprintf(number, sizeof(number), "%d", c->datagrams.count);

	if (c->datagrams.count == FAULT_ASKS_MAX)
		return;
	struct fault_ask *ask = new_ask(&c->datagrams);
	if (send(c->udp, number, (size_t)n, MSG_NOSIGNAL) < 0)
		ask->error = -errno;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void
answered(struct fault_ask *ask, const char *label)
{
	snprintf(ask->label, sizeof(ask->label), "%.15s", label);
	ask->answered_ns = fault_now_ns();
}

/* The answer is the label, a blank, and the question. */
static void
read_answer(struct fault_ask *ask)
{
	char answer[64];
	ssize_t length = recv(ask->fd, answer, sizeof(answer) - 1, 0);

	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0) {
		fail(ask, length < 0 ? -errno : -EPIPE);
		return;
	}
	answer[length] = '\0';
	answer[strcspn(answer, " ")] = '\0';
	answered(ask, answer);
	close(ask->fd);
	ask->fd = -1;
}

static void
advance(struct fault_ask *ask)
{
	if (ask->fd < 0)
		return;
	if (!ask->sent && send(ask->fd, "hello", 5, MSG_NOSIGNAL) == 5)
		ask->sent = true;
	else if (!ask->sent && errno != EAGAIN)
		fail(ask, -errno);
	if (ask->fd >= 0 && ask->sent)
		read_answer(ask);
}

static void
read_datagrams(struct fault_clients *c)
{
	char answer[64];
	ssize_t length;

	while ((length = recv(c->udp, answer, sizeof(answer) - 1, 0)) > 0 ||
	       (length < 0 && errno == ECONNREFUSED)) {
		char *blank = NULL;
		int number = -1;
		if (length > 0) {
			answer[length] = '\0';
			blank = strchr(answer, ' ');
		}
		if (blank != NULL) {
			*blank = '\0';
			number = atoi(blank + 1);
		}
		if (number >= 0 && number < c->datagrams.count)
			answered(&c->datagrams.asks[number], answer);
	}
}

/* --- Turns ------------------------------------------------------------------------------------ */

int
fault_clients_fill(const struct fault_clients *c, struct pollfd *p)
{
	int n = 0;

	p[n++] = (struct pollfd){ .fd = c->udp, .events = POLLIN };
	for (int i = c->connections.settled; i < c->connections.count; i++) {
		const struct fault_ask *ask = &c->connections.asks[i];
		if (ask->fd >= 0)
			p[n++] = (struct pollfd){ .fd = ask->fd,
						  .events = ask->sent ? POLLIN : POLLOUT };
	}
	return n;
}

void
fault_clients_finish(struct fault_clients *c)
{
	struct fault_asks *connections = &c->connections;

	for (int i = connections->settled; i < connections->count; i++)
		advance(&connections->asks[i]);
	while (connections->settled < connections->count &&
	       connections->asks[connections->settled].fd < 0)
		connections->settled++;
	read_datagrams(c);
}

void
fault_clients_turn(struct fault_clients *c)
{
	int64_t now = fault_now_ns();

	fault_clients_finish(c);
	if (now < c->next_ns)
		return;
	c->next_ns = now + FAULT_EVERY_NS;
	fault_clients_connect(c);
	send_datagram(c);
}

int
fault_clients_first_answer(const struct fault_clients *c, int64_t since_ns, const char *label)
{
	for (int i = 0; i < c->connections.count; i++) {
		const struct fault_ask *ask = &c->connections.asks[i];
		if (ask->asked_ns >= since_ns && ask->answered_ns != 0 &&
		    (label == NULL || strcmp(ask->label, label) == 0))
			return i;
	}
	return -1;
}

bool
fault_clients_settled(const struct fault_clients *c, int64_t until_ns)
{
	const struct fault_asks *a = &c->connections;

	return a->settled == a->count || a->asks[a->settled].asked_ns > until_ns;
}
