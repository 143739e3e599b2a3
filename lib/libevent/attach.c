/* SPDX-License-Identifier: MIT */
/* A handle on an event base: the only reader of its events. */
#include "export.h"

#include "attach.h"
#include "listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *
molt_base_refusal(const struct event_base *base)
{
	const char *method;

	if (!base)
		return "there is no event base";
	method = event_base_get_method(base);
	if (strcmp(method, "libev") == 0)
		return "this event base is libev's: its functions have replaced libevent's because "
		       "this "
		       "process links both; link only one of them";
	if (strstr(method, "changelist"))
		return "this event base collects its changes for epoll and would spin on sockets "
		       "that "
		       "another process keeps open; make it without "
		       "EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST "
		       "and unset EVENT_EPOLL_USE_CHANGELIST";
	return NULL;
}

static void
take_out(struct molt_attachment *a)
{
	a->serving = false;
	molt__listeners_stop(a);
	event_del(a->event);
}

static void
act_on(struct molt_attachment *a, const struct molt_event *event)
{
	switch (molt_event_type(event)) {
	case MOLT_SERVE:
	case MOLT_RESUME:
		a->serving = true;
		molt__listeners_begin(a);
		break;
	case MOLT_PAUSE:
		a->serving = false;
		molt__listeners_stop(a);
		break;
	case MOLT_RETIRE:
		/* The first of a series, so that none is bound again in the middle of it. */
		a->serving = false;
		molt__listeners_let_go(a, event);
		break;
	case MOLT_FAILED:
	case MOLT_LEAVE:
		take_out(a);
		break;
	default:
		break;
	}
}

/* The host's function may detach: then the handle may be gone as well, and only `a` is left. */
static void
on_molt_readable(evutil_socket_t fd, short what, void *arg)
{
	struct molt_attachment *a = arg;
	const struct molt_event *event;

	(void)fd, (void)what;
	a->busy = true;
	molt_dispatch(a->molt);
	while (!a->detached && (event = molt_next_event(a->molt))) {
		act_on(a, event);
		if (!a->detached && a->function) /* an accept function may have detached */
			a->function(a->arg, a->molt, event);
	}
	a->busy = false;
	if (a->detached)
		free(a);
}

static int
is_ours(const struct event_base *base, const struct event *event, void *arg)
{
	const struct molt_attachment *a = arg;

	(void)base;
	return event_get_callback(event) == on_molt_readable &&
	       ((struct molt_attachment *)event_get_callback_arg(event))->molt == a->molt;
}

/* A host may attach when it serves already. */
static bool
serves(const struct molt *m)
{
	const char *state = molt_state_name(m);

	return strcmp(state, "serving") == 0 || strcmp(state, "offered") == 0;
}

static int
enter(struct molt_attachment *a)
{
	int fd = molt_fd(a->molt);

	if (fd < 0)
		return fd;
	if (event_base_foreach_event(a->base, is_ours, a) != 0)
		return -EALREADY;
	a->event = event_new(a->base, fd, EV_READ | EV_PERSIST, on_molt_readable, a);
	if (!a->event)
		return -ENOMEM;
	if (event_add(a->event, NULL) < 0) {
		event_free(a->event);
		return -ENOMEM;
	}
	a->serving = serves(a->molt);
	return 0;
}

static struct molt_attachment *
refuse(int error)
{
	errno = error;
	return NULL;
}

struct molt_attachment *
molt_attach(struct molt *m, struct event_base *base, molt_event_function *function, void *arg)
{
	struct molt_attachment *a;
	int error;

	if (!m || !base)
		return refuse(EINVAL);
	if (molt_base_refusal(base))
		return refuse(ENOTSUP);
	a = malloc(sizeof *a);
	if (!a)
		return refuse(ENOMEM);
	*a = (struct molt_attachment){ .molt = m, .base = base, .function = function, .arg = arg };
	error = enter(a);
	if (error < 0) {
		free(a);
		return refuse(-error);
	}
	return a;
}

void
molt_detach(struct molt_attachment *a)
{
	if (!a)
		return;
	molt__listeners_free(a);
	event_free(a->event);
	a->detached = true;
	if (!a->busy)
		free(a);
}
