/* SPDX-License-Identifier: MIT */
/* A handle on an event base, as the files of this library see it. */
#ifndef MOLT_LIBEVENT_ATTACH_H
#define MOLT_LIBEVENT_ATTACH_H

#include <molt/molt.h>

#include <event2/event.h>

#include <stdbool.h>
#include <sys/queue.h>

struct molt_listener;
LIST_HEAD(listener_list, molt_listener);

struct molt_attachment {
	struct molt *molt;
	struct event_base *base;
	struct event *event; /* on molt_fd(); not in the base any more after LEAVE and FAILED */
	void (*function)(void *, struct molt *, const struct molt_event *);
	void *arg;
	struct listener_list listeners;
	bool serving;
	bool busy;     /* in the middle of its events */
	bool detached; /* by the host's function: freed when no longer busy */
};

#endif
