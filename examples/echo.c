/* SPDX-License-Identifier: MIT */
/*
 * An echo server on libevent, made upgradable by libmolt_libevent: what a client sends comes back,
 * on tcp:// and unix:// through bufferevents, on udp:// datagram by datagram.
 *
 *     echo -s /tmp/echo.sock -l tcp://127.0.0.1:7000 -v one &
 *     echo -s /tmp/echo.sock -l tcp://127.0.0.1:7000 -v two &     takes over
 *
 * Connections stay where they were accepted: the old process echoes until its clients have gone.
 */
#include "options.h"

#include <molt/libevent.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include <sys/queue.h>

/* A client that doesn't read what comes back is not read from either. */
#define UNSENT_MAX 65536

struct server {
	struct options options;
	struct molt *molt;
	struct event_base *base;
	struct molt_attachment *attachment;
	struct event *signals;
	LIST_HEAD(, client) clients;
	int client_count;
	int status;
};

struct client {
	LIST_ENTRY(client) next;
	struct server *server;
	struct bufferevent *stream;
	bool ended; /* the client has said all that it had to say */
};

static void
count_clients(struct server *s, int change)
{
	s->client_count += change;
	molt_set_remaining(s->molt, s->client_count);
}

static void
end_client(struct client *c)
{
	LIST_REMOVE(c, next);
	bufferevent_free(c->stream);
	count_clients(c->server, -1);
	free(c);
}

static size_t
unsent(const struct client *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->stream));
}

static void
on_input(struct bufferevent *stream, void *arg)
{
	struct client *c = arg;

	bufferevent_write_buffer(stream, bufferevent_get_input(stream));
	if (unsent(c) > UNSENT_MAX)
		bufferevent_disable(stream, EV_READ);
}

static void
on_all_sent(struct bufferevent *stream, void *arg)
{
	struct client *c = arg;

	if (c->ended)
		end_client(c);
	else
		bufferevent_enable(stream, EV_READ);
}

static void
on_end(struct bufferevent *stream, short what, void *arg)
{
	struct client *c = arg;

	(void)stream;
	c->ended = true;
	if (!(what & BEV_EVENT_EOF) || unsent(c) == 0)
		end_client(c);
}

static void
on_accept(void *arg, int fd, const struct sockaddr *address, socklen_t length)
{
	struct server *s = arg;
	struct client *c = calloc(1, sizeof *c);

	(void)address, (void)length;
	if (c)
		c->stream = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->stream) {
		free(c);
		close(fd);
		return;
	}
	c->server = s;
	LIST_INSERT_HEAD(&s->clients, c, next);
	count_clients(s, 1);
	bufferevent_setcb(c->stream, on_input, on_all_sent, on_end, c);
	bufferevent_enable(c->stream, EV_READ | EV_WRITE);
}

static void
on_datagram(void *arg, int fd)
{
	char bytes[65536];
	struct sockaddr_storage from;
	socklen_t length = sizeof from;
	ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);

	(void)arg;
	if (n >= 0)
		sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&from, length);
}

static void
listen_to(struct server *s, int i)
{
	const char *address = s->options.addresses[i];
	struct molt_listener *l = molt_listener_new(s->attachment, s->options.names[i], address);

	if (!l)
		options_fail(&s->options, "cannot listen", molt_error(s->molt));
	if (strncmp(address, "udp:", 4) == 0)
		molt_listener_on_readable(l, on_datagram, s);
	else
		molt_listener_on_accept(l, on_accept, s);
}

/*
 * Without our own events and clients in it event_base_dispatch() returns: libmolt has taken out
 * its.
 */
static void
leave(struct server *s, int status)
{
	s->status = status;
	event_del(s->signals);
	while (!LIST_EMPTY(&s->clients))
		end_client(LIST_FIRST(&s->clients));
}

/* The listeners do by themselves what follows from an event. */
static void
on_event(void *arg, struct molt *m, const struct molt_event *event)
{
	struct server *s = arg;

	say_event(&s->options, m, event);
	if (molt_event_type(event) == MOLT_SERVE)
		for (int i = 0; i < s->options.listener_count; i++)
			say_listening(&s->options, m, i);
	else if (molt_event_type(event) == MOLT_FAILED)
		leave(s, 1);
	else if (molt_event_type(event) == MOLT_LEAVE)
		leave(s, 0);
}

static void
on_signals(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	options_on_signal(&s->options, s->molt, fd);
}

static void
set_up(struct server *s)
{
	s->base = event_base_new();
	s->molt = options_start(&s->options);
	s->attachment = molt_attach(s->molt, s->base, on_event, s);
	if (!s->attachment)
		options_fail(&s->options, "cannot attach", molt_base_refusal(s->base));
	s->signals = event_new(s->base, options_signals(&s->options), EV_READ | EV_PERSIST,
			       on_signals, s);
	event_add(s->signals, NULL);
	for (int i = 0; i < s->options.listener_count; i++)
		listen_to(s, i);
	molt_set_remaining(s->molt, 0);
}

int
main(int argc, char **argv)
{
	struct server s = { .status = 1 };

	signal(SIGPIPE, SIG_IGN);
	options_parse(&s.options, argc, argv);
	set_up(&s);
	options_ready(&s.options, s.molt);
	event_base_dispatch(s.base);

	molt_detach(s.attachment);
	molt_free(s.molt);
	event_free(s.signals);
	event_base_free(s.base);
	return s.status;
}
