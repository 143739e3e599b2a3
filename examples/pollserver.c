/* SPDX-License-Identifier: MIT */
/*
 * A server with a loop of its own, on poll(2) and libmolt's core alone. It answers each line it
 * reads with "label pid generation", so that a connection that stays open shows who answers it.
 *
 *     pollserver -s /tmp/poll.sock -l tcp://127.0.0.1:7000 -v one &
 *     pollserver -s /tmp/poll.sock -l tcp://127.0.0.1:7000 -v two &     takes over
 */
#include "options.h"

#include <poll.h>

#define CLIENTS_MAX 1000
#define SOCKETS_MAX 256
#define ACCEPTS_A_TURN 64

struct client {
	int fd;
	size_t owed; /* lines not answered yet; while there are any, nothing more is read */
	size_t sent; /* bytes of the first owed answer that are out */
};

struct server {
	struct options options;
	struct molt *molt;
	int signals;
	bool accepting;
	bool breathless; /* no descriptor was left for an accept: not again in the next turn */
	char answer[128];
	int answer_length;
	int client_count;
	struct client clients[CLIENTS_MAX];
};

/* The part of poll's array that stays the same from turn to turn, then listeners, then clients. */
enum { POLL_MOLT, POLL_SIGNALS, POLL_LISTENERS };

static void
listen_to_all(struct server *s)
{
	for (int i = 0; i < s->options.listener_count; i++)
		if (molt_listen(s->molt, s->options.names[i], s->options.addresses[i]) < 0)
			options_fail(&s->options, "cannot listen", molt_error(s->molt));
}

/* True if there may be more to accept. */
static bool
accept_one(struct server *s, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		s->breathless = errno == EMFILE || errno == ENFILE;
		return errno == ECONNABORTED || errno == EINTR;
	}
	s->clients[s->client_count++] = (struct client){ .fd = fd };
	return true;
}

static void
accept_some(struct server *s, int listener, int limit)
{
	while (limit-- > 0 && s->client_count < CLIENTS_MAX && accept_one(s, listener))
		continue;
}

/* False when the connection has ended. */
static bool
answer_client(struct server *s, struct client *c)
{
	while (c->owed > 0) {
		ssize_t n = send(c->fd, s->answer + c->sent, (size_t)s->answer_length - c->sent,
				 MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->sent += (size_t)n;
		if (c->sent == (size_t)s->answer_length) {
			c->sent = 0;
			c->owed--;
		}
	}
	return true;
}

static bool
read_client(struct server *s, struct client *c)
{
	char bytes[4096];
	ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	for (ssize_t i = 0; i < n; i++)
		c->owed += bytes[i] == '\n';
	return answer_client(s, c);
}

static void
serve_clients(struct server *s, const struct pollfd *polled, int count)
{
	for (int i = count - 1; i >= 0; i--) {
		struct client *c = &s->clients[i];
		bool alive = true;

		if (polled[i].revents)
			alive = c->owed > 0 ? answer_client(s, c) : read_client(s, c);
		if (!alive) {
			close(c->fd);
			*c = s->clients[--s->client_count];
		}
	}
}

static void
serve(struct server *s)
{
	s->answer_length = snprintf(s->answer, sizeof s->answer, "%s %d %lld\n",
				    s->options.label ? s->options.label : "-", (int)getpid(),
				    (long long)molt_generation(s->molt));
	s->accepting = true;
	for (int i = 0; i < s->options.listener_count; i++)
		say_listening(&s->options, s->molt, i);
}

/* Returns the exit status when it is time to go, -1 otherwise. */
static int
on_event(struct server *s, const struct molt_event *event)
{
	say_event(&s->options, s->molt, event);
	switch (molt_event_type(event)) {
	case MOLT_SERVE:
		serve(s);
		break;
	case MOLT_RESUME:
		listen_to_all(s);
		s->accepting = true;
		break;
	case MOLT_PAUSE:
		s->accepting = false;
		break;
	case MOLT_RETIRE:
		s->accepting = false;
		/* Who waits in its queue is still served here, unless it is the successor's. */
		if (molt_event_reason(event) != MOLT_REASON_LEAVING)
			accept_some(s, molt_event_fd(event), CLIENTS_MAX);
		molt_set_remaining(s->molt, s->client_count);
		break;
	case MOLT_LEAVE:
		return 0;
	case MOLT_FAILED:
		return 1;
	}
	return -1;
}

static int
dispatch(struct server *s)
{
	struct molt_event *event;
	int status = -1;

	molt_set_remaining(s->molt, s->client_count);
	molt_dispatch(s->molt);
	while (status < 0 && (event = molt_next_event(s->molt)))
		status = on_event(s, event);
	return status;
}

static int
add_listeners(const struct server *s, struct pollfd *polled, int n)
{
	if (!s->accepting || s->breathless || s->client_count == CLIENTS_MAX)
		return n;
	for (int i = 0; i < s->options.listener_count; i++) {
		const char *name = s->options.names[i];
		int sockets = molt_listener_count(s->molt, name);

		for (int j = 0; j < sockets && n < POLL_LISTENERS + SOCKETS_MAX; j++)
			polled[n++] = (struct pollfd){ .fd = molt_listener_fd(s->molt, name, j),
						       .events = POLLIN };
	}
	return n;
}

static int
turn(struct server *s)
{
	struct pollfd polled[POLL_LISTENERS + SOCKETS_MAX + CLIENTS_MAX];
	int n = POLL_LISTENERS, listeners_end, clients = s->client_count;

	polled[POLL_MOLT] = (struct pollfd){ .fd = molt_fd(s->molt), .events = POLLIN };
	polled[POLL_SIGNALS] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
	listeners_end = n = add_listeners(s, polled, n);
	for (int i = 0; i < clients; i++)
		polled[n++] = (struct pollfd){ .fd = s->clients[i].fd,
					       .events = s->clients[i].owed ? POLLOUT : POLLIN };
	if (poll(polled, (nfds_t)n, s->breathless ? 100 : -1) < 0)
		return errno == EINTR ? -1 : 1;
	s->breathless = false;

	/* Accepted clients go behind those that were polled, so that these stay where they are. */
	for (int i = POLL_LISTENERS; i < listeners_end; i++)
		if (polled[i].revents)
			accept_some(s, polled[i].fd, ACCEPTS_A_TURN);
	serve_clients(s, polled + listeners_end, clients);
	if (polled[POLL_SIGNALS].revents)
		options_on_signal(&s->options, s->molt, s->signals);
	return dispatch(s);
}

int
main(int argc, char **argv)
{
	static struct server s;
	int status = -1;

	options_parse(&s.options, argc, argv);
	s.molt = options_start(&s.options);
	s.signals = options_signals(&s.options);
	listen_to_all(&s);
	options_ready(&s.options, s.molt);
	while (status < 0)
		status = turn(&s);
	molt_free(s.molt);
	return status;
}
