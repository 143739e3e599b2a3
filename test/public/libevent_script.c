/* SPDX-License-Identifier: MIT */
/*
 * The libevent library against a handle that does what a script says: the calls that it makes on
 * libmolt are defined here once more, and those of the program come before the library's. So every
 * event comes at the moment that the test wants, in the order that it wants.
 */
#include "fds.h"

#include <molt/libevent.h>

#include <event2/event.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS_MAX 16
#define SOCKETS_MAX 4

/* --- The scripted handle ---------------------------------------------------------------------- */

struct molt_event {
	int type, reason, fd;
};

struct molt {
	int fd; /* an eventfd: readable while events wait */
	const char *state;
	const char *method; /* what event_base_get_method() says; NULL: the truth */
	bool gone;          /* freed by its host */
	int listen_error;
	int listen_calls;
	int socket_count;
	int sockets[SOCKETS_MAX];
	int first, last;
	struct molt_event events[EVENTS_MAX];
};

static struct molt script;

static void
queue(int type, int reason, int fd)
{
	script.events[script.last++] = (struct molt_event){ type, reason, fd };
	eventfd_write(script.fd, 1);
}

int
molt_fd(struct molt *m)
{
	return m->fd;
}

int
molt_dispatch(struct molt *m)
{
	return m->last - m->first;
}

struct molt_event *
molt_next_event(struct molt *m)
{
	eventfd_t count;

	assert_false(m->gone);
	if (m->first < m->last)
		return &m->events[m->first++];
	eventfd_read(m->fd, &count);
	return NULL;
}

int
molt_event_type(const struct molt_event *event)
{
	return event->type;
}

int
molt_event_reason(const struct molt_event *event)
{
	return event->reason;
}

int
molt_event_fd(const struct molt_event *event)
{
	return event->fd;
}

const char *
molt_state_name(const struct molt *m)
{
	return m->state;
}

int
molt_listen(struct molt *m, const char *name, const char *address)
{
	assert_string_equal(name, "name");
	assert_string_equal(address, "address");
	m->listen_calls++;
	return m->listen_error ? m->listen_error : m->sockets[0];
}

int
molt_listener_count(struct molt *m, const char *name)
{
	(void)name;
	return m->socket_count;
}

int
molt_listener_fd(struct molt *m, const char *name, int index)
{
	(void)name;
	return m->sockets[index];
}

const char *
event_base_get_method(const struct event_base *base)
{
	const char *(*real)(const struct event_base *);

	if (script.method)
		return script.method;
	*(void **)&real = dlsym(RTLD_NEXT, "event_base_get_method");
	return real(base);
}

/* --- A host ----------------------------------------------------------------------------------- */

struct host {
	struct fds *before;
	struct event_base *base;
	struct molt_attachment *attachment;
	struct molt_listener *listener;
	int port;
	int accepted; /* connections, or calls for a datagram socket */
	int heard;    /* events */
	int last_type;
	int accepted_when_heard;
	bool detach_when_heard;
	bool free_when_accepted;
	bool detach_when_accepted;
	bool reads; /* datagrams */
};

/* And frees the handle, which is allowed then. */
static void
detach(struct host *h)
{
	molt_detach(h->attachment);
	h->attachment = NULL;
	script.gone = true;
}

static void
on_event(void *arg, struct molt *m, const struct molt_event *event)
{
	struct host *h = arg;

	assert_ptr_equal(m, &script);
	assert_false(m->gone);
	h->heard++;
	h->last_type = event->type;
	h->accepted_when_heard = h->accepted;
	if (h->detach_when_heard)
		detach(h);
}

static void
on_accept(void *arg, int fd, const struct sockaddr *address, socklen_t length)
{
	struct host *h = arg;

	assert_int_equal(address->sa_family, AF_INET);
	assert_int_equal(length, sizeof(struct sockaddr_in));
	h->accepted++;
	close(fd);
	if (h->detach_when_accepted)
		detach(h);
	if (h->free_when_accepted) {
		molt_listener_free(h->listener);
		h->listener = NULL;
	}
}

static void
on_readable(void *arg, int fd)
{
	struct host *h = arg;
	char byte;

	h->accepted++;
	if (h->reads)
		assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
}

static int
bound_socket(int type, int *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int
listening_socket(int *ret_port)
{
	int fd = bound_socket(SOCK_STREAM, ret_port);

	assert_int_equal(listen(fd, 512), 0);
	return fd;
}

static int
client(int type, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/* What has come is acted on; what has not is not waited for. */
static void
turn(struct host *h)
{
	event_base_loop(h->base, EVLOOP_NONBLOCK);
}

static int
setup(void **state)
{
	struct host *h = calloc(1, sizeof *h);

	*state = h;
	h->before = fds_snapshot();
	script = (struct molt){ .state = "warming", .socket_count = 1 };
	script.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	script.sockets[0] = listening_socket(&h->port);
	h->base = event_base_new();
	h->attachment = molt_attach(&script, h->base, on_event, h);
	return h->attachment ? 0 : -1;
}

static int
teardown(void **state)
{
	struct host *h = *state;
	int changed;

	molt_detach(h->attachment);
	event_base_free(h->base);
	for (int i = 0; i < script.socket_count; i++)
		close(script.sockets[i]);
	close(script.fd);
	changed = fds_changed(h->before);
	fds_free(h->before);
	free(h);
	return changed;
}

static void
listen_and_serve(struct host *h)
{
	h->listener = molt_listener_new(h->attachment, "name", "address");
	assert_non_null(h->listener);
	assert_int_equal(molt_listener_on_accept(h->listener, on_accept, h), 0);
	queue(MOLT_SERVE, MOLT_REASON_FIRST, -1);
	turn(h);
	assert_int_equal(h->last_type, MOLT_SERVE);
}

static void
read_and_serve(struct host *h)
{
	close(script.sockets[0]);
	script.sockets[0] = bound_socket(SOCK_DGRAM, &h->port);
	h->reads = true;
	h->listener = molt_listener_new(h->attachment, "name", "address");
	assert_non_null(h->listener);
	assert_int_equal(molt_listener_on_readable(h->listener, on_readable, h), 0);
	queue(MOLT_SERVE, MOLT_REASON_FIRST, -1);
	turn(h);
}

static void
send_datagrams(struct host *h, int count)
{
	int fd = client(SOCK_DGRAM, h->port);

	while (count-- > 0)
		assert_int_equal(send(fd, "x", 1, 0), 1);
	close(fd);
}

/* --- Attaching -------------------------------------------------------------------------------- */

static void
a_base_of_libev_is_refused(void **state)
{
	struct host *h = *state;

	script.method = "libev";
	errno = 0;
	assert_null(molt_attach(&script, h->base, on_event, h));
	assert_int_equal(errno, ENOTSUP);
	assert_non_null(strstr(molt_base_refusal(h->base), "libev's"));
	script.method = NULL;
	assert_null(molt_base_refusal(h->base));
}

static void
refused_as_changelist(struct event_base *base)
{
	assert_non_null(base);
	errno = 0;
	assert_null(molt_attach(&script, base, on_event, NULL));
	assert_int_equal(errno, ENOTSUP);
	assert_non_null(strstr(molt_base_refusal(base), "EVENT_EPOLL_USE_CHANGELIST"));
	event_base_free(base);
}

static void
a_changelist_base_is_refused(void **state)
{
	struct event_config *config = event_config_new();

	(void)state;
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	refused_as_changelist(event_base_new_with_config(config));
	event_config_free(config);
	setenv("EVENT_EPOLL_USE_CHANGELIST", "1", 1);
	refused_as_changelist(event_base_new());
	unsetenv("EVENT_EPOLL_USE_CHANGELIST");
}

static void
a_handle_is_attached_once(void **state)
{
	struct host *h = *state;

	errno = 0;
	assert_null(molt_attach(&script, h->base, on_event, h));
	assert_int_equal(errno, EALREADY);
	molt_detach(h->attachment);
	h->attachment = molt_attach(&script, h->base, on_event, h);
	assert_non_null(h->attachment);
}

static void
a_handle_that_was_not_started_is_refused(void **state)
{
	struct host *h = *state;
	int fd = script.fd;

	molt_detach(h->attachment);
	script.fd = -EBUSY;
	errno = 0;
	h->attachment = molt_attach(&script, h->base, on_event, h);
	script.fd = fd;
	assert_null(h->attachment);
	assert_int_equal(errno, EBUSY);
}

static void
returns_after(struct host *h, int type)
{
	listen_and_serve(h);
	queue(type, MOLT_REASON_DONE, -1);
	/* 1: there are no events left. */
	assert_int_equal(event_base_dispatch(h->base), 1);
	assert_int_equal(h->last_type, type);
}

static void
dispatch_returns_after_leave(void **state)
{
	returns_after(*state, MOLT_LEAVE);
}

static void
dispatch_returns_after_failed(void **state)
{
	returns_after(*state, MOLT_FAILED);
}

static void
the_function_may_detach(void **state)
{
	struct host *h = *state;

	listen_and_serve(h);
	h->detach_when_heard = true;
	queue(MOLT_PAUSE, MOLT_REASON_NONE, -1);
	queue(MOLT_DRAIN, MOLT_REASON_NONE, -1);
	assert_int_equal(event_base_dispatch(h->base), 1);
	assert_int_equal(h->last_type, MOLT_PAUSE);
}

static void
the_accept_function_may_detach_at_retire(void **state)
{
	struct host *h = *state;

	listen_and_serve(h);
	h->detach_when_accepted = true;
	queue(MOLT_PAUSE, MOLT_REASON_NONE, -1);
	turn(h);
	close(client(SOCK_STREAM, h->port));
	queue(MOLT_RETIRE, MOLT_REASON_UNCLAIMED, script.sockets[0]);
	assert_int_equal(event_base_dispatch(h->base), 1);
	assert_int_equal(h->accepted, 1);
}

/* Its loop is a copy of ours: what it takes out of its own must stay in ours. */
static void
a_forked_child_may_detach(void **state)
{
	struct host *h = *state;
	int status = -1;
	pid_t pid;

	listen_and_serve(h);
	pid = fork();
	if (pid == 0) {
		if (event_reinit(h->base) < 0)
			_exit(1);
		molt_detach(h->attachment);
		_exit(event_base_dispatch(h->base) == 1 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(client(SOCK_STREAM, h->port));
	turn(h);
	assert_int_equal(h->accepted, 1);
	queue(MOLT_PAUSE, MOLT_REASON_NONE, -1);
	turn(h);
	assert_int_equal(h->last_type, MOLT_PAUSE);
}

/* --- Serving, pausing ------------------------------------------------------------------------- */

static void
nothing_is_accepted_before_serve(void **state)
{
	struct host *h = *state;

	h->listener = molt_listener_new(h->attachment, "name", "address");
	assert_int_equal(molt_listener_on_accept(h->listener, on_accept, h), 0);
	close(client(SOCK_STREAM, h->port));
	turn(h);
	assert_int_equal(h->accepted, 0);
	queue(MOLT_SERVE, MOLT_REASON_FIRST, -1);
	turn(h);
	turn(h);
	assert_int_equal(h->accepted, 1);
}

static void
a_listener_made_while_serving_accepts(void **state)
{
	struct host *h = *state;

	molt_detach(h->attachment);
	script.state = "serving";
	h->attachment = molt_attach(&script, h->base, on_event, h);
	h->listener = molt_listener_new(h->attachment, "name", "address");
	assert_int_equal(molt_listener_on_accept(h->listener, on_accept, h), 0);
	close(client(SOCK_STREAM, h->port));
	turn(h);
	assert_int_equal(h->accepted, 1);
}

static void
pause_stops_and_resume_begins(void **state)
{
	struct host *h = *state;

	listen_and_serve(h);
	queue(MOLT_PAUSE, MOLT_REASON_NONE, -1);
	turn(h);
	close(client(SOCK_STREAM, h->port));
	turn(h);
	assert_int_equal(h->accepted, 0);
	queue(MOLT_RESUME, MOLT_REASON_UNTOUCHED, -1);
	turn(h);
	turn(h);
	assert_int_equal(h->accepted, 1);
}

/*
 * Both are ready in one turn of the loop: the one that hears PAUSE first must not accept after it.
 */
static void
nothing_is_accepted_once_pause_was_heard(void **state)
{
	struct host *h = *state;

	for (int i = 0; i < 2; i++) {
		listen_and_serve(h);
		close(client(SOCK_STREAM, h->port));
		queue(MOLT_PAUSE, MOLT_REASON_NONE, -1);
		turn(h);
		assert_int_equal(h->last_type, MOLT_PAUSE);
		assert_int_equal(h->accepted, h->accepted_when_heard);
		molt_listener_free(h->listener);
	}
}

static void
one_turn_takes_at_most_64(void **state)
{
	struct host *h = *state;

	listen_and_serve(h);
	for (int i = 0; i < 100; i++)
		close(client(SOCK_STREAM, h->port));
	event_base_loop(h->base, EVLOOP_ONCE);
	assert_int_equal(h->accepted, 64);
	turn(h);
	assert_int_equal(h->accepted, 100);
}

static void
every_socket_of_a_group_is_accepted_from(void **state)
{
	struct host *h = *state;
	int ports[SOCKETS_MAX] = { h->port };

	for (int i = 1; i < SOCKETS_MAX; i++)
		script.sockets[i] = listening_socket(&ports[i]);
	script.socket_count = SOCKETS_MAX;
	listen_and_serve(h);
	for (int i = 0; i < SOCKETS_MAX; i++)
		close(client(SOCK_STREAM, ports[i]));
	turn(h);
	assert_int_equal(h->accepted, SOCKETS_MAX);
}

static void
the_accept_function_may_free_its_listener(void **state)
{
	struct host *h = *state;

	listen_and_serve(h);
	h->free_when_accepted = true;
	close(client(SOCK_STREAM, h->port));
	close(client(SOCK_STREAM, h->port));
	turn(h);
	turn(h);
	assert_int_equal(h->accepted, 1);
}

static void
a_datagram_listener_accepts_nothing(void **state)
{
	struct host *h = *state;

	read_and_serve(h);
	assert_int_equal(molt_listener_on_readable(h->listener, on_readable, h), -EALREADY);
	molt_listener_free(h->listener);
	h->listener = molt_listener_new(h->attachment, "name", "address");
	assert_int_equal(molt_listener_on_accept(h->listener, on_accept, h), -EPROTOTYPE);
}

static void
datagrams_wait_after_pause(void **state)
{
	struct host *h = *state;

	read_and_serve(h);
	send_datagrams(h, 1);
	turn(h);
	assert_int_equal(h->accepted, 1);
	queue(MOLT_PAUSE, MOLT_REASON_NONE, -1);
	turn(h);
	send_datagrams(h, 1);
	turn(h);
	assert_int_equal(h->accepted, 1);
}

/* --- Retiring --------------------------------------------------------------------------------- */

/* How many of 3 that wait are taken, and whether they had been when the host heard of it. */
static int
taken_at_retire(struct host *h, int reason)
{
	listen_and_serve(h);
	queue(MOLT_PAUSE, MOLT_REASON_NONE, -1);
	turn(h);
	for (int i = 0; i < 3; i++)
		close(client(SOCK_STREAM, h->port));
	queue(MOLT_RETIRE, reason, script.sockets[0]);
	turn(h);
	assert_int_equal(h->last_type, MOLT_RETIRE);
	assert_int_equal(h->accepted, h->accepted_when_heard);
	return h->accepted;
}

static void
an_unclaimed_queue_is_emptied(void **state)
{
	assert_int_equal(taken_at_retire(*state, MOLT_REASON_UNCLAIMED), 3);
}

static void
a_renounced_queue_is_emptied(void **state)
{
	assert_int_equal(taken_at_retire(*state, MOLT_REASON_RENOUNCED), 3);
}

static void
the_successors_queue_is_left_alone(void **state)
{
	assert_int_equal(taken_at_retire(*state, MOLT_REASON_LEAVING), 0);
}

/*
 * The library closes it, but another process may keep it open: then epoll would go on reporting it.
 */
static void
a_retired_socket_is_not_in_the_loop_when_it_is_closed(void **state)
{
	struct host *h = *state;
	int kept = dup(script.sockets[0]);

	listen_and_serve(h);
	queue(MOLT_RETIRE, MOLT_REASON_RENOUNCED, script.sockets[0]);
	turn(h);
	close(script.sockets[0]);
	script.sockets[0] = kept;
	close(client(SOCK_STREAM, h->port));
	assert_int_equal(event_base_loop(h->base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(event_base_get_num_events(h->base, EVENT_BASE_COUNT_ADDED), 1);
	assert_int_equal(h->accepted, 0);
}

static int
datagrams_read_at_retire(struct host *h, int reason)
{
	read_and_serve(h);
	queue(MOLT_PAUSE, MOLT_REASON_NONE, -1);
	turn(h);
	send_datagrams(h, 3);
	queue(MOLT_RETIRE, reason, script.sockets[0]);
	turn(h);
	return h->accepted;
}

static void
unclaimed_datagrams_are_read(void **state)
{
	assert_int_equal(datagrams_read_at_retire(*state, MOLT_REASON_UNCLAIMED), 3);
}

static void
datagrams_are_read_when_nobody_follows(void **state)
{
	assert_int_equal(datagrams_read_at_retire(*state, MOLT_REASON_RENOUNCED), 3);
}

static void
datagrams_of_another_owner_are_left_alone(void **state)
{
	assert_int_equal(datagrams_read_at_retire(*state, MOLT_REASON_LEAVING), 0);
}

static void
what_was_given_up_is_bound_again(void **state)
{
	struct host *h = *state;

	taken_at_retire(h, MOLT_REASON_UNCLAIMED);
	close(script.sockets[0]);
	script.listen_error = -EADDRINUSE;
	queue(MOLT_RESUME, MOLT_REASON_CHANGED, -1);
	turn(h);
	assert_int_equal(molt_listener_error(h->listener), -EADDRINUSE);
	script.listen_error = 0;
	script.sockets[0] = listening_socket(&h->port);
	event_base_loop(h->base, EVLOOP_ONCE); /* it tries again by itself */
	assert_int_equal(molt_listener_error(h->listener), 0);
	close(client(SOCK_STREAM, h->port));
	turn(h);
	assert_int_equal(h->accepted, 3 + 1);
}

static void
after_retire_nothing_is_bound_again(void **state)
{
	struct host *h = *state;
	int calls;

	script.listen_error = 0;
	taken_at_retire(h, MOLT_REASON_RENOUNCED);
	calls = script.listen_calls;
	queue(MOLT_LEAVE, MOLT_REASON_DONE, -1);
	assert_int_equal(event_base_dispatch(h->base), 1);
	assert_int_equal(script.listen_calls, calls);
}

/* --- Trouble ---------------------------------------------------------------------------------- */

static void
without_descriptors_the_loop_rests(void **state)
{
	struct host *h = *state;
	struct rlimit all, none;
	int fd, turns = 0, rests = 0;

	listen_and_serve(h);
	fd = client(SOCK_STREAM, h->port);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	none = all;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (; rests < 3 && turns < 100; turns++) {
		event_base_loop(h->base, EVLOOP_ONCE);
		rests += molt_listener_error(h->listener) == -EMFILE;
	}
	setrlimit(RLIMIT_NOFILE, &all);
	assert_int_equal(rests, 3);
	/* Each is one turn that tries and one that waits for the timer. */
	assert_in_range(turns, 3, 6);
	assert_int_equal(h->accepted, 0);
	while (h->accepted == 0 && turns++ < 100)
		event_base_loop(h->base, EVLOOP_ONCE);
	assert_int_equal(h->accepted, 1);
	assert_int_equal(molt_listener_error(h->listener), 0);
	close(fd);
}

/* epoll would report it without end. */
static void
a_socket_that_does_not_listen_is_not_watched(void **state)
{
	struct host *h = *state;

	close(script.sockets[0]);
	script.sockets[0] = bound_socket(SOCK_STREAM, &h->port);
	listen_and_serve(h);
	assert_int_equal(molt_listener_error(h->listener), -ENOTCONN);
	/* the handle and the timer */
	assert_int_equal(event_base_get_num_events(h->base, EVENT_BASE_COUNT_ADDED), 2);
	assert_int_equal(listen(script.sockets[0], 16), 0);
	event_base_loop(h->base, EVLOOP_ONCE);
	assert_int_equal(molt_listener_error(h->listener), 0);
	close(client(SOCK_STREAM, h->port));
	turn(h);
	assert_int_equal(h->accepted, 1);
}

static void
a_listener_that_cannot_be_bound_is_refused(void **state)
{
	struct host *h = *state;

	script.listen_error = -EADDRINUSE;
	errno = 0;
	assert_null(molt_listener_new(h->attachment, "name", "address"));
	assert_int_equal(errno, EADDRINUSE);
}

int
main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(a_base_of_libev_is_refused),
		CLAIM(a_changelist_base_is_refused),
		CLAIM(a_handle_is_attached_once),
		CLAIM(a_handle_that_was_not_started_is_refused),
		CLAIM(dispatch_returns_after_leave),
		CLAIM(dispatch_returns_after_failed),
		CLAIM(the_function_may_detach),
		CLAIM(the_accept_function_may_detach_at_retire),
		CLAIM(a_forked_child_may_detach),
		CLAIM(nothing_is_accepted_before_serve),
		CLAIM(a_listener_made_while_serving_accepts),
		CLAIM(pause_stops_and_resume_begins),
		CLAIM(nothing_is_accepted_once_pause_was_heard),
		CLAIM(one_turn_takes_at_most_64),
		CLAIM(every_socket_of_a_group_is_accepted_from),
		CLAIM(the_accept_function_may_free_its_listener),
		CLAIM(a_datagram_listener_accepts_nothing),
		CLAIM(datagrams_wait_after_pause),
		CLAIM(an_unclaimed_queue_is_emptied),
		CLAIM(a_renounced_queue_is_emptied),
		CLAIM(the_successors_queue_is_left_alone),
		CLAIM(a_retired_socket_is_not_in_the_loop_when_it_is_closed),
		CLAIM(unclaimed_datagrams_are_read),
		CLAIM(datagrams_are_read_when_nobody_follows),
		CLAIM(datagrams_of_another_owner_are_left_alone),
		CLAIM(what_was_given_up_is_bound_again),
		CLAIM(after_retire_nothing_is_bound_again),
		CLAIM(without_descriptors_the_loop_rests),
		CLAIM(a_socket_that_does_not_listen_is_not_watched),
		CLAIM(a_listener_that_cannot_be_bound_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
