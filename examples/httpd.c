/* SPDX-License-Identifier: MIT */
/*
 * libevent's own HTTP server, evhttp, made upgradable.
 *
 *     GET /            {"label":"v1","pid":4242,"generation":1}
 *     GET /slow?ms=N   the same, N milliseconds later
 *
 *     httpd -s /tmp/httpd.sock -l tcp://127.0.0.1:8080 -v v1 &
 *     httpd -s /tmp/httpd.sock -l tcp://127.0.0.1:8080 -v v2 &     takes over
 *
 * Two things need care with evhttp. It accepts by itself, so this server opens and closes its doors
 * as the events say. And it tells nobody when it is done with a connection, so this server keeps a
 * reference to each one's bufferevent and closes the socket itself: not before the client has
 * closed, so that a close never destroys an answer on its way, nor a request that crosses it.
 */
#include "options.h"

#include <molt/libevent.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include <sys/queue.h>
#include <time.h>

#define DOORS_MAX 256
#define SLOW_MAX_MS 60000
#define LINGER_MS 1000

struct server {
	struct options options;
	struct molt *molt;
	struct event_base *base;
	struct evhttp *http;
	struct event *signals;
	struct event *look; /* looks which connections evhttp is done with */
	bool draining;
	bool leaving;
	int door_count;
	struct evhttp_bound_socket *doors[DOORS_MAX];
	int client_count;
	LIST_HEAD(, client) clients;
	LIST_HEAD(, slow) slow;
	int status;
};

struct client {
	LIST_ENTRY(client) next;
	struct server *server;
	struct bufferevent *stream;
	int64_t until; /* 0 while it is evhttp's: then how long we wait for the client to close */
};

struct slow {
	LIST_ENTRY(slow) next;
	struct server *server;
	struct evhttp_request *request;
	struct event *timer;
};

static const struct timeval a_second = { .tv_sec = 1 };
static const struct timeval a_moment = { .tv_usec = 10000 };

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- Connections: what evhttp doesn't show ---------------------------------------------------- */

static void
count_clients(struct server *s, int change)
{
	s->client_count += change;
	molt_set_remaining(s->molt, s->client_count);
	if (s->leaving && s->client_count == 0)
		event_base_loopbreak(s->base);
}

static void
end_client(struct client *c)
{
	LIST_REMOVE(c, next);
	bufferevent_decref(c->stream); /* the last reference: closes the socket */
	count_clients(c->server, -1);
	free(c);
}

/*
 * Called by evhttp for each connection that it has accepted. Without memory evhttp makes its own.
 */
static struct bufferevent *
on_connection(struct event_base *base, void *arg)
{
	struct server *s = arg;
	struct client *c = calloc(1, sizeof *c);

	if (c)
		c->stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->stream) {
		free(c);
		return NULL;
	}
	bufferevent_incref(c->stream);
	c->server = s;
	LIST_INSERT_HEAD(&s->clients, c, next);
	count_clients(s, 1);
	return c->stream;
}

static void
on_late_input(struct bufferevent *stream, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(stream);

	(void)arg;
	evbuffer_drain(input, evbuffer_get_length(input));
}

static void
on_late_end(struct bufferevent *stream, short what, void *arg)
{
	(void)stream, (void)what;
	end_client(arg);
}

/* evhttp has said the last word, the end included. Reads on until the client has closed as well. */
static void
linger(struct client *c)
{
	c->until = now_ms() + LINGER_MS;
	bufferevent_setcb(c->stream, on_late_input, NULL, on_late_end, c);
	on_late_input(c->stream, c);
	bufferevent_enable(c->stream, EV_READ);
}

/* A bufferevent that evhttp has freed has lost its callbacks. */
static bool
is_free(const struct client *c)
{
	bufferevent_event_cb callback;

	bufferevent_getcb(c->stream, NULL, NULL, &callback, NULL);
	return !callback;
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	struct client *c, *next;

	(void)fd, (void)what;
	for (c = LIST_FIRST(&s->clients); c; c = next) {
		next = LIST_NEXT(c, next);
		if (c->until && now_ms() >= c->until)
			end_client(c);
		else if (!c->until && is_free(c))
			linger(c);
	}
	for (int i = 0; i < s->door_count; i++)
		evconnlistener_enable(evhttp_bound_socket_get_listener(s->doors[i]));
	evtimer_add(s->look, s->draining ? &a_moment : &a_second);
}

/* evhttp is about to free this connection, so look when that is done. */
static void
on_close(struct evhttp_connection *connection, void *arg)
{
	struct server *s = arg;

	(void)connection;
	event_active(s->look, EV_TIMEOUT, 0);
}

/* --- Requests --------------------------------------------------------------------------------- */

static void
add_label(struct evbuffer *body, const char *label)
{
	for (; *label; label++)
		if (*label == '"' || *label == '\\')
			evbuffer_add_printf(body, "\\%c", *label);
		else if ((unsigned char)*label < ' ')
			evbuffer_add_printf(body, "\\u%04x", *label);
		else
			evbuffer_add(body, label, 1);
}

static void
answer(struct server *s, struct evhttp_request *request)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *body = evbuffer_new();

	if (!body) {
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	evbuffer_add_printf(body, "{\"label\":\"");
	add_label(body, s->options.label ? s->options.label : "");
	evbuffer_add_printf(body, "\",\"pid\":%d,\"generation\":%lld}\n", (int)getpid(),
			    (long long)molt_generation(s->molt));
	evhttp_add_header(headers, "Content-Type", "application/json");
	/* The client's next request goes to the successor. */
	if (s->draining)
		evhttp_add_header(headers, "Connection", "close");
	evhttp_send_reply(request, HTTP_OK, "OK", body);
	evbuffer_free(body);
}

static void
watch(struct server *s, struct evhttp_request *request)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_close, s);
}

static void
on_request(struct evhttp_request *request, void *arg)
{
	watch(arg, request);
	answer(arg, request);
}

static void
on_unknown_request(struct evhttp_request *request, void *arg)
{
	watch(arg, request);
	evhttp_send_error(request, HTTP_NOTFOUND, NULL); /* says Connection: close */
}

static void
free_slow(struct slow *slow)
{
	LIST_REMOVE(slow, next);
	event_free(slow->timer);
	free(slow);
}

static void
on_slow_over(evutil_socket_t fd, short what, void *arg)
{
	struct slow *slow = arg;

	(void)fd, (void)what;
	answer(slow->server, slow->request);
	free_slow(slow);
}

/* N of ?ms=N. */
static int
milliseconds_of(const struct evhttp_request *request)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request)), *text;
	struct evkeyvalq values;
	int ms = 0;

	if (!query || evhttp_parse_query_str(query, &values) < 0)
		return 0;
	text = evhttp_find_header(&values, "ms");
	if (text)
		ms = atoi(text);
	evhttp_clear_headers(&values);
	return ms < 0 ? 0 : ms > SLOW_MAX_MS ? SLOW_MAX_MS : ms;
}

static void
on_slow_request(struct evhttp_request *request, void *arg)
{
	struct server *s = arg;
	struct slow *slow = calloc(1, sizeof *slow);
	int ms = milliseconds_of(request);
	struct timeval time = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	watch(s, request);
	if (slow)
		slow->timer = evtimer_new(s->base, on_slow_over, slow);
	if (!slow || !slow->timer) {
		free(slow);
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	slow->server = s;
	slow->request = request;
	LIST_INSERT_HEAD(&s->slow, slow, next);
	evtimer_add(slow->timer, &time);
}

/* --- Doors ------------------------------------------------------------------------------------ */

static void
close_doors(struct server *s)
{
	while (s->door_count > 0)
		evhttp_del_accept_socket(s->http, s->doors[--s->door_count]);
}

/*
 * No descriptor is left for a client. In the queue it can wait; the loop would spin. See on_look().
 */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	evconnlistener_disable(listener);
}

/*
 * evhttp accepts from `fd`, in the loop of `base`. evhttp_accept_socket_with_handle() would close
 * in the end what isn't ours to close, so evhttp gets a listener that doesn't.
 */
static struct evhttp_bound_socket *
open_door(struct server *s, struct event_base *base, int fd)
{
	struct evconnlistener *listener =
		evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	struct evhttp_bound_socket *door =
		listener ? evhttp_bind_listener(s->http, listener) : NULL;

	if (door)
		evconnlistener_set_error_cb(listener, on_accept_error);
	else if (listener)
		evconnlistener_free(listener);
	return door;
}

static void
open_doors(struct server *s)
{
	for (int i = 0; i < s->options.listener_count; i++) {
		const char *name = s->options.names[i];
		int sockets = molt_listener_count(s->molt, name);

		for (int j = 0; j < sockets && s->door_count < DOORS_MAX; j++) {
			int fd = molt_listener_fd(s->molt, name, j);
			struct evhttp_bound_socket *door = open_door(s, s->base, fd);

			if (!door)
				options_fail(&s->options, "cannot accept", "out of memory");
			s->doors[s->door_count++] = door;
		}
	}
}

/* Who waits in this queue is still served here: a base of its own makes evhttp accept them now. */
static void
empty_queue(struct server *s, int fd)
{
	struct event_base *base = event_base_new();
	struct evhttp_bound_socket *door = base ? open_door(s, base, fd) : NULL;

	if (door) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		evhttp_del_accept_socket(s->http, door);
	}
	if (base)
		event_base_free(base);
}

/* --- Generations ------------------------------------------------------------------------------ */

static void
listen_to_all(struct server *s)
{
	for (int i = 0; i < s->options.listener_count; i++)
		if (molt_listen(s->molt, s->options.names[i], s->options.addresses[i]) < 0)
			options_fail(&s->options, "cannot listen", molt_error(s->molt));
}

static void
drain(struct server *s)
{
	s->draining = true;
	event_active(s->look, EV_TIMEOUT, 0);
}

/* Cuts what is left: evhttp says the end to all, and we read until the clients have closed too. */
static void
leave(struct server *s)
{
	s->leaving = true;
	drain(s);
	while (!LIST_EMPTY(&s->slow))
		free_slow(LIST_FIRST(&s->slow));
	close_doors(s);
	evhttp_free(s->http);
	s->http = NULL;
	count_clients(s, 0);
}

static void
retire(struct server *s, const struct molt_event *event)
{
	close_doors(s);
	/* When this process leaves it is the successor's queue. */
	if (molt_event_reason(event) != MOLT_REASON_LEAVING)
		empty_queue(s, molt_event_fd(event));
	drain(s);
}

static void
serve(struct server *s)
{
	s->draining = false;
	listen_to_all(s);
	open_doors(s);
}

static void
on_event(void *arg, struct molt *m, const struct molt_event *event)
{
	struct server *s = arg;

	say_event(&s->options, m, event);
	switch (molt_event_type(event)) {
	case MOLT_SERVE:
		serve(s);
		for (int i = 0; i < s->options.listener_count; i++)
			say_listening(&s->options, m, i);
		break;
	case MOLT_RESUME:
		serve(s);
		break;
	case MOLT_PAUSE:
		close_doors(s);
		break;
	case MOLT_DRAIN:
		drain(s);
		break;
	case MOLT_RETIRE:
		retire(s, event);
		break;
	case MOLT_LEAVE:
		s->status = 0;
		leave(s);
		break;
	case MOLT_FAILED:
		event_base_loopbreak(s->base);
		break;
	}
}

static void
on_signals(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	options_on_signal(&s->options, s->molt, fd);
}

static void
set_up_http(struct server *s)
{
	s->base = event_base_new();
	s->http = s->base ? evhttp_new(s->base) : NULL;
	s->look = s->base ? evtimer_new(s->base, on_look, s) : NULL;
	if (!s->http || !s->look)
		options_fail(&s->options, "cannot start", "out of memory");
	evhttp_set_bevcb(s->http, on_connection, s);
	evhttp_set_cb(s->http, "/", on_request, s);
	evhttp_set_cb(s->http, "/slow", on_slow_request, s);
	evhttp_set_gencb(s->http, on_unknown_request, s);
	evtimer_add(s->look, &a_second);
}

int
main(int argc, char **argv)
{
	struct server s = { .status = 1 };
	struct molt_attachment *attachment;

	signal(SIGPIPE, SIG_IGN);
	options_parse(&s.options, argc, argv);
	set_up_http(&s);
	s.molt = options_start(&s.options);
	attachment = molt_attach(s.molt, s.base, on_event, &s);
	if (!attachment)
		options_fail(&s.options, "cannot attach", molt_base_refusal(s.base));
	s.signals = event_new(s.base, options_signals(&s.options), EV_READ | EV_PERSIST, on_signals,
			      &s);
	event_add(s.signals, NULL);
	listen_to_all(&s);
	molt_set_remaining(s.molt, 0);
	options_ready(&s.options, s.molt);
	event_base_dispatch(s.base);

	while (!LIST_EMPTY(&s.clients))
		end_client(LIST_FIRST(&s.clients));
	molt_detach(attachment);
	molt_free(s.molt);
	if (s.http)
		evhttp_free(s.http);
	event_free(s.signals);
	event_free(s.look);
	event_base_free(s.base);
	return s.status;
}
