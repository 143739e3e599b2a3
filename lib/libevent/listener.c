/* SPDX-License-Identifier: MIT */
/*
 * A listener that follows handoffs. Each of its sockets is a door with an event of its own, which
 * is in the base exactly while this process serves and has room. What is deleted from the base is
 * deleted before the library closes the socket: epoll would go on reporting what another process
 * keeps open.
 */
#include "export.h"

#include "listener.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* One busy listener must not starve the connections. */
#define ACCEPTS_A_TURN 64
/* The longest queue that listen(2) makes. What comes behind it was not waiting. */
#define QUEUE_MAX 65536

struct door {
	struct event *event;
	int fd;
};

struct molt_listener {
	LIST_ENTRY(molt_listener) next;
	struct molt_attachment *attachment;
	char *name;
	char *address;
	molt_accept_function *accept; /* this or `readable` once the host has said which */
	molt_readable_function *readable;
	void *arg;
	struct door *doors;
	int door_count;
	struct event *retry;
	int error;
	bool busy;  /* in the middle of a host's function */
	bool freed; /* there: ended when no longer busy */
};

static const struct timeval rest_time = { .tv_usec = 100000 };

/* --- Doors ------------------------------------------------------------------------------------ */

static void
close_doors(struct molt_listener *l)
{
	for (int i = 0; i < l->door_count; i++)
		event_del(l->doors[i].event);
}

static void
free_doors(struct door *doors, int count)
{
	for (int i = 0; i < count; i++)
		event_free(doors[i].event);
	free(doors);
}

static void
destroy(struct molt_listener *l)
{
	free_doors(l->doors, l->door_count);
	if (l->retry)
		event_free(l->retry);
	free(l->name);
	free(l->address);
	free(l);
}

static int
socket_option(int fd, int option)
{
	socklen_t length = sizeof(int);
	int value = 0;

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? 0 : value;
}

/* One that doesn't listen would always be "ready". */
static bool
can_be_ready(int fd)
{
	return socket_option(fd, SO_TYPE) == SOCK_DGRAM || socket_option(fd, SO_ACCEPTCONN);
}

static int
open_doors(struct molt_listener *l)
{
	int error = 0;

	for (int i = 0; i < l->door_count; i++) {
		if (!can_be_ready(l->doors[i].fd))
			error = -ENOTCONN;
		else if (event_add(l->doors[i].event, NULL) < 0)
			error = -ENOMEM;
	}
	return error;
}

/* No descriptor or memory for a client: the queue keeps it better than a loop that spins. */
static void
rest(struct molt_listener *l, int error)
{
	if (!l->attachment->serving)
		return;
	l->error = error;
	if (evtimer_add(l->retry, &rest_time) == 0)
		close_doors(l);
}

/* --- Accepting and reading -------------------------------------------------------------------- */

/* Those that accept(2) names as the trouble of that one connection. */
static bool
is_the_clients(int error)
{
	static const int errors[] = { EINTR,  ECONNABORTED, EPROTO,     ENETDOWN,
				      ENONET, ENOPROTOOPT,  EHOSTDOWN,  EHOSTUNREACH,
				      EPERM,  EOPNOTSUPP,   ENETUNREACH };

	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
		if (errors[i] == error)
			return true;
	return false;
}

/* 1: there may be more. 0: nobody waits. Or a negative errno that will not go away by itself. */
static int
accept_one(struct molt_listener *l, int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof address;
	int client =
		accept4(fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (client >= 0) {
		l->accept(l->arg, client, (struct sockaddr *)&address, length);
		return 1;
	}
	if (errno == EAGAIN)
		return 0;
	return is_the_clients(errno) ? 1 : -errno;
}

static void
accept_some(struct molt_listener *l, int fd, int limit)
{
	int more = 1;

	l->busy = true;
	while (more > 0 && !l->freed && limit-- > 0)
		more = accept_one(l, fd);
	l->busy = false;
	if (l->freed)
		destroy(l);
	else if (more < 0)
		rest(l, more);
}

static bool
has_something(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

static void
read_some(struct molt_listener *l, int fd, int limit)
{
	l->busy = true;
	do
		l->readable(l->arg, fd);
	while (!l->freed && --limit > 0 && has_something(fd));
	l->busy = false;
	if (l->freed)
		destroy(l);
}

static void
on_door(evutil_socket_t fd, short what, void *arg)
{
	struct molt_listener *l = arg;

	(void)what;
	if (l->accept)
		accept_some(l, fd, ACCEPTS_A_TURN);
	else
		read_some(l, fd, 1);
}

/* --- Beginning -------------------------------------------------------------------------------- */

static bool
doors_are_right(const struct molt_listener *l, int count)
{
	bool right = count == l->door_count;

	for (int i = 0; right && i < count; i++)
		right = l->doors[i].fd == molt_listener_fd(l->attachment->molt, l->name, i);
	return right;
}

/* All or none, so that a failure leaves the old ones. */
static int
make_doors(struct molt_listener *l)
{
	int made = 0, count = molt_listener_count(l->attachment->molt, l->name);
	struct door *doors;

	if (doors_are_right(l, count))
		return 0;
	doors = calloc((size_t)count + 1, sizeof *doors);
	if (!doors)
		return -ENOMEM;
	for (; made < count; made++) {
		struct door *door = &doors[made];

		door->fd = molt_listener_fd(l->attachment->molt, l->name, made);
		door->event =
			event_new(l->attachment->base, door->fd, EV_READ | EV_PERSIST, on_door, l);
		if (!door->event) {
			free_doors(doors, made);
			return -ENOMEM;
		}
	}
	free_doors(l->doors, l->door_count);
	l->doors = doors;
	l->door_count = count;
	return 0;
}

/*
 * The sockets that the handle has under this name now, which are the same unless they were given
 * up.
 */
static int
find_doors(struct molt_listener *l)
{
	int fd = molt_listen(l->attachment->molt, l->name, l->address);

	return fd < 0 ? fd : make_doors(l);
}

static void
begin(struct molt_listener *l)
{
	int error;

	if (!l->attachment->serving || !(l->accept || l->readable))
		return;
	error = find_doors(l);
	if (error >= 0)
		error = open_doors(l);
	l->error = error;
	if (error < 0)
		evtimer_add(l->retry, &rest_time);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	begin(arg);
}

/* --- What the attachment tells ---------------------------------------------------------------- */

void
molt__listeners_begin(struct molt_attachment *a)
{
	struct molt_listener *l;

	LIST_FOREACH(l, &a->listeners, next)
	begin(l);
}

void
molt__listeners_stop(struct molt_attachment *a)
{
	struct molt_listener *l;

	LIST_FOREACH(l, &a->listeners, next)
	{
		close_doors(l);
		event_del(l->retry);
		l->error = 0;
	}
}

static bool
remove_door(struct molt_listener *l, int fd)
{
	for (int i = 0; i < l->door_count; i++) {
		if (l->doors[i].fd != fd)
			continue;
		event_free(l->doors[i].event);
		l->doors[i] = l->doors[--l->door_count];
		return true;
	}
	return false;
}

/* The queue is another's at LEAVING, and otherwise ours alone. */
static bool
may_empty(const struct molt_event *retire)
{
	return molt_event_reason(retire) != MOLT_REASON_LEAVING;
}

void
molt__listeners_let_go(struct molt_attachment *a, const struct molt_event *retire)
{
	int fd = molt_event_fd(retire);
	struct molt_listener *l;

	LIST_FOREACH(l, &a->listeners, next)
	if (remove_door(l, fd))
		break;
	if (!l || !may_empty(retire))
		return;
	if (l->accept)
		accept_some(l, fd, QUEUE_MAX);
	else if (l->readable && has_something(fd))
		read_some(l, fd, QUEUE_MAX);
}

void
molt__listeners_free(struct molt_attachment *a)
{
	while (!LIST_EMPTY(&a->listeners))
		molt_listener_free(LIST_FIRST(&a->listeners));
}

/* --- Public ----------------------------------------------------------------------------------- */

static int
fill(struct molt_listener *l, const char *name, const char *address)
{
	l->name = strdup(name);
	l->address = strdup(address);
	l->retry = evtimer_new(l->attachment->base, on_retry, l);
	return l->name && l->address && l->retry ? find_doors(l) : -ENOMEM;
}

struct molt_listener *
molt_listener_new(struct molt_attachment *a, const char *name, const char *address)
{
	struct molt_listener *l;
	int error;

	if (!a || !name || !address) {
		errno = EINVAL;
		return NULL;
	}
	l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->attachment = a;
	error = fill(l, name, address);
	if (error < 0) {
		destroy(l);
		errno = -error;
		return NULL;
	}
	LIST_INSERT_HEAD(&a->listeners, l, next);
	return l;
}

void
molt_listener_free(struct molt_listener *l)
{
	if (!l)
		return;
	LIST_REMOVE(l, next);
	close_doors(l);
	event_del(l->retry);
	l->freed = true;
	if (!l->busy)
		destroy(l);
}

int
molt_listener_on_accept(struct molt_listener *l, molt_accept_function *function, void *arg)
{
	if (!l || !function)
		return -EINVAL;
	if (l->accept || l->readable)
		return -EALREADY;
	if (l->door_count > 0 && socket_option(l->doors[0].fd, SO_TYPE) == SOCK_DGRAM)
		return -EPROTOTYPE;
	l->accept = function;
	l->arg = arg;
	begin(l);
	return 0;
}

int
molt_listener_on_readable(struct molt_listener *l, molt_readable_function *function, void *arg)
{
	if (!l || !function)
		return -EINVAL;
	if (l->accept || l->readable)
		return -EALREADY;
	l->readable = function;
	l->arg = arg;
	begin(l);
	return 0;
}

int
molt_listener_error(const struct molt_listener *l)
{
	return l ? l->error : -EINVAL;
}
