/* SPDX-License-Identifier: MIT */
/* The server that an actor is: its loop, its connections, and what it does at each event. */
#include "actor_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* --- Telling the test ------------------------------------------------------------------------- */

static void
tell(const struct child *c, const char *line)
{
	send(c->events, line, strlen(line), MSG_NOSIGNAL);
}

static void
tell_event(const struct child *c, const struct child_handle *h, const struct molt_event *ev)
{
	char line[ACTOR_LINE_MAX + 1];
	int n = snprintf(line, sizeof(line), "%s%s %s %d", h->index > 0 ? "1:" : "",
			 molt_event_type_name(molt_event_type(ev)),
			 molt_reason_name(molt_event_reason(ev)), molt_event_error(ev));

	for (int i = 0; i < molt_event_entry_count(ev) && n < ACTOR_LINE_MAX - 600; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s=%d",
			      molt_event_entry_name(ev, i), molt_event_entry_error(ev, i));
	snprintf(line + n, sizeof(line) - (size_t)n, " # %s", molt_event_text(ev));
	tell(c, line);
}

static struct child_log *
log_of(struct child *c, const char *key)
{
	for (int i = 0; i < c->log_count; i++)
		if (strcmp(c->logs[i].key, key) == 0)
			return &c->logs[i];
	if (c->log_count == CHILD_LOGS)
		return &c->logs[0];
	snprintf(c->logs[c->log_count].key, sizeof(c->logs[0].key), "%s", key);
	return &c->logs[c->log_count++];
}

void
child_log(void *arg, int severity, const char *key, const char *line)
{
	struct child *c = arg;
	struct child_log *log = log_of(c, key);

	log->count++;
	snprintf(log->last, sizeof(log->last), "%s", line);
	if (getenv("MOLT_TEST_VERBOSE") != NULL)
		fprintf(stderr, "    %s <%d> %s: %s\n", c->label, severity, key, line);
}

/* --- Listeners -------------------------------------------------------------------------------- */

static int
socket_type(int fd)
{
	int type = 0;
	socklen_t length = sizeof(type);

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
	return type;
}

static struct child_listener *
find_listener(struct child *c, int fd)
{
	for (int i = 0; i < c->listener_count; i++)
		if (c->listeners[i].fd == fd)
			return &c->listeners[i];
	return NULL;
}

/* Who binds by itself listens when it serves, and not before. */
static void
listen_if_due(const struct child *c, struct child_listener *l)
{
	if (!l->own || l->listens || !c->handles[l->handle].serves || l->type == SOCK_DGRAM)
		return;
	listen(l->fd, SOMAXCONN);
	l->listens = true;
}

void
child_add_listener(struct child *c, const char *name, int fd, bool own)
{
	struct child_listener *l;

	if (find_listener(c, fd) != NULL || c->listener_count == CHILD_LISTENERS)
		return;
	l = &c->listeners[c->listener_count++];
	*l = (struct child_listener){
		.fd = fd, .handle = c->current, .type = socket_type(fd), .own = own
	};
	snprintf(l->name, sizeof(l->name), "%s", name);
	listen_if_due(c, l);
}

void
child_remove_listener(struct child *c, int fd)
{
	struct child_listener *l = find_listener(c, fd);

	if (l != NULL)
		*l = c->listeners[--c->listener_count];
}

/* --- Connections ------------------------------------------------------------------------------ */

void
child_set_remaining(struct child *c, int handle)
{
	struct child_handle *h = &c->handles[handle];
	int64_t count = 0;

	for (int i = 0; i < c->connection_count; i++)
		count += c->connections[i].handle == handle;
	if (h->m != NULL && !h->uncounted)
		molt_set_remaining(h->m, count);
}

static void
accept_all(struct child *c, int fd, int handle)
{
	int connection;

	while (c->connection_count < CHILD_CONNECTIONS &&
	       (connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		c->connections[c->connection_count++] =
			(struct child_connection){ .fd = connection, .handle = handle };
	child_set_remaining(c, handle);
}

static void
close_connection(struct child *c, int i)
{
	int handle = c->connections[i].handle;

	close(c->connections[i].fd);
	c->connections[i] = c->connections[--c->connection_count];
	child_set_remaining(c, handle);
}

static int
compose(const struct child *c, char *answer, size_t size, const char *came, ssize_t length)
{
	return snprintf(answer, size, "%s %.*s", c->label, (int)length, came);
}

/* Clients wait for each answer, so that a line comes whole. Says whether it goes on. */
static bool
serve_connection(const struct child *c, int fd)
{
	char came[1024];
	char answer[1200];
	ssize_t length = recv(fd, came, sizeof(came), 0);

	if (length < 0)
		return errno == EAGAIN;
	if (length == 0)
		return false;
	int n = compose(c, answer, sizeof(answer), came, length);
	return send(fd, answer, (size_t)n, MSG_NOSIGNAL) == n;
}

static void
serve_datagrams(const struct child *c, int fd)
{
	struct sockaddr_storage from;
	char came[1024];
	char answer[1200];
	ssize_t length;

	for (;;) {
		socklen_t size = sizeof(from);
		length = recvfrom(fd, came, sizeof(came), MSG_DONTWAIT, (struct sockaddr *)&from,
				  &size);
		if (length < 0)
			return;
		int n = compose(c, answer, sizeof(answer), came, length);
		sendto(fd, answer, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&from, size);
	}
}

/* --- Events ----------------------------------------------------------------------------------- */

static void
set_service(struct child *c, struct child_handle *h, bool serves)
{
	if (h->serves == serves)
		return;
	h->serves = serves || h->liar;
	if (c->stage != NULL)
		actor_stage_enter(c->stage, getpid(), serves);
	for (int i = 0; i < c->listener_count; i++)
		listen_if_due(c, &c->listeners[i]);
}

/* What waits in its queue is answered, unless that is the successor's now; then it is let go. */
static void
retire(struct child *c, const struct child_handle *h, const struct molt_event *ev)
{
	int fd = molt_event_fd(ev);
	struct child_listener *l = find_listener(c, fd);
	bool own = l != NULL && l->own;

	if (l == NULL)
		tell(c, "CLASH RETIRE of a descriptor that this actor does not serve");
	else if (l->type != SOCK_DGRAM && molt_event_reason(ev) != MOLT_REASON_LEAVING)
		accept_all(c, fd, h->index);
	child_remove_listener(c, fd);
	if (own)
		close(fd);
}

void
child_free_handle(struct child *c, struct child_handle *h)
{
	set_service(c, h, false);
	for (int i = c->listener_count - 1; i >= 0; i--)
		if (c->listeners[i].handle == h->index) {
			int fd = c->listeners[i].fd;
			bool own = c->listeners[i].own;
			child_remove_listener(c, fd);
			if (own)
				close(fd);
		}
	for (int i = c->connection_count - 1; i >= 0; i--)
		if (c->connections[i].handle == h->index)
			close_connection(c, i);
	molt_free(h->m);
	h->m = NULL;
}

static void
leave(struct child *c, struct child_handle *h)
{
	if (h->stays)
		return;
	child_free_handle(c, h);
	c->done = true;
	for (int i = 0; i < CHILD_HANDLES; i++)
		c->done = c->done && c->handles[i].m == NULL;
}

/*
 * Tells first what it acts on then, but for entering service, which others must see before they
 * hear of it.
 */
static void
act(struct child *c, struct child_handle *h, const struct molt_event *ev)
{
	int type = molt_event_type(ev);

	if (type == MOLT_SERVE || type == MOLT_RESUME)
		set_service(c, h, true);
	if (type == MOLT_PAUSE && !h->deaf)
		set_service(c, h, false);
	if (type == MOLT_RETIRE) {
		if (molt_event_reason(ev) != MOLT_REASON_UNCLAIMED)
			set_service(c, h, false);
		retire(c, h, ev);
	}
	tell_event(c, h, ev);
	if (type == MOLT_LEAVE)
		leave(c, h);
}

static void
take_events(struct child *c)
{
	for (int i = 0; i < CHILD_HANDLES; i++) {
		struct child_handle *h = &c->handles[i];
		struct molt_event *ev;

		if (h->m != NULL)
			molt_dispatch(h->m);
		while (h->m != NULL && (ev = molt_next_event(h->m)) != NULL)
			act(c, h, ev);
	}
}

/* --- The loop --------------------------------------------------------------------------------- */

/* In this order: control, handles, listeners, connections. */
static int
fill(const struct child *c, struct pollfd *p)
{
	int n = 0;

	p[n++] = (struct pollfd){ .fd = c->control, .events = POLLIN };
	for (int i = 0; i < CHILD_HANDLES; i++) {
		int fd = c->handles[i].m != NULL ? molt_fd(c->handles[i].m) : -1;
		p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	for (int i = 0; i < c->listener_count; i++) {
		const struct child_listener *l = &c->listeners[i];
		int fd = c->handles[l->handle].serves ? l->fd : -1;
		p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	for (int i = 0; i < c->connection_count; i++)
		p[n++] = (struct pollfd){ .fd = c->connections[i].fd, .events = POLLIN };
	return n;
}

static void
serve_ready(struct child *c, const struct pollfd *p)
{
	int listeners = c->listener_count;
	const struct pollfd *connections = p + 1 + CHILD_HANDLES + listeners;

	for (int i = c->connection_count - 1; i >= 0; i--)
		if (connections[i].revents != 0 && !serve_connection(c, c->connections[i].fd))
			close_connection(c, i);
	for (int i = 0; i < listeners; i++) {
		const struct child_listener *l = &c->listeners[i];
		if (p[1 + CHILD_HANDLES + i].revents == 0)
			continue;
		if (l->type == SOCK_DGRAM)
			serve_datagrams(c, l->fd);
		else
			accept_all(c, l->fd, l->handle);
	}
}

/* Says whether the test is still there. */
static bool
obey(struct child *c)
{
	char line[ACTOR_LINE_MAX + 1];
	ssize_t length = recv(c->control, line, ACTOR_LINE_MAX, MSG_DONTWAIT);

	if (length <= 0)
		return length < 0 && errno == EAGAIN;
	line[length] = '\0';
	child_command(c, line);
	return true;
}

static void
run(struct child *c)
{
	struct pollfd *p =
		calloc(1 + CHILD_HANDLES + CHILD_LISTENERS + CHILD_CONNECTIONS, sizeof(*p));

	while (p != NULL && !c->done) {
		int n = fill(c, p);
		if (poll(p, (nfds_t)n, -1) < 0 && errno != EINTR)
			break;
		serve_ready(c, p);
		if (p[0].revents != 0 && !obey(c))
			break;
		take_events(c);
	}
	free(p);
}

/* --- The beginning ---------------------------------------------------------------------------- */

/* systemd's go to 3 and up, the actor's own out of the way, and everything else is closed. */
static void
arrange_descriptors(struct child *c, const struct actor_options *o)
{
	int top = 3 + (int)o->systemd_count;
	int high[64];
	char number[16];

	for (size_t i = 0; i < o->systemd_count && i < 64; i++)
		high[i] = fcntl(o->systemd[i], F_DUPFD_CLOEXEC, 300);
	c->control = fcntl(c->control, F_DUPFD_CLOEXEC, 400);
	c->events = fcntl(c->events, F_DUPFD_CLOEXEC, 400);
	for (size_t i = 0; i < o->systemd_count && i < 64; i++)
		dup2(high[i], 3 + (int)i);
	syscall(SYS_close_range, (unsigned)top, 399u, 0u);
	syscall(SYS_close_range, 402u, ~0u, 0u);
	unsetenv("LISTEN_PID");
	if (o->systemd_count == 0)
		return;
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%zu", o->systemd_count);
	setenv("LISTEN_FDS", number, 1);
	if (o->systemd_names != NULL)
		setenv("LISTEN_FDNAMES", o->systemd_names, 1);
}

_Noreturn void
actor_child(const struct actor_options *options, int control, int events)
{
	struct child *c = calloc(1, sizeof(*c));

	if (c == NULL)
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	c->control = control;
	c->events = events;
	c->stage = options->stage;
	snprintf(c->label, sizeof(c->label), "%s", options->label);
	for (int i = 0; i < CHILD_HANDLES; i++)
		c->handles[i].index = i;
	arrange_descriptors(c, options);
	run(c);
	for (int i = 0; i < CHILD_HANDLES; i++)
		child_free_handle(c, &c->handles[i]);
	int status = c->status;
	free(c);
	_exit(status);
}
