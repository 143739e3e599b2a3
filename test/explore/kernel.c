/* SPDX-License-Identifier: MIT */
/* Descriptors, sockets and lines. */
#include "kernel.h"

#include "holding.h"

#include <string.h>

/* The offer is still in the queue: its descriptors live there. */
static bool
in_flight(const struct line *l)
{
	return (l->from_up & FROM_UP_OFFER) != 0;
}

bool
kernel_life_is_held(const struct world *w)
{
	for (int i = 0; i < w->count; i++) {
		if (w->process[i].life || in_flight(&w->line[i]))
			return true;
	}
	return false;
}

bool
kernel_claimed_is_held(const struct world *w)
{
	for (int i = 0; i < w->count; i++) {
		if (holding_has(&w->process[i], LISTENER_CLAIMED) || in_flight(&w->line[i]))
			return true;
	}
	return false;
}

bool
kernel_socket_is_held(const struct world *w, uint8_t socket)
{
	for (int i = 0; i < w->count; i++) {
		if (w->process[i].path == socket)
			return true;
		if (in_flight(&w->line[i]) && w->line[i].path == socket)
			return true;
	}
	return false;
}

/* Both ends are closed, so nobody can tell any more what it was. */
static void
forget_if_closed(struct line *l)
{
	if (l->closed_up && l->closed_down)
		memset(l, 0, sizeof(*l));
}

/* Connections that wait in the queue of a socket end with its last holder. */
static void
reset_backlogs(struct world *w)
{
	for (int i = 0; i < w->count; i++) {
		struct line *l = &w->line[i];

		if (l->place != PLACE_BACKLOG || kernel_socket_is_held(w, l->peer))
			continue;
		l->place = PLACE_ACCEPTED;
		l->peer = 0;
		l->closed_up = true;
		forget_if_closed(l);
	}
}

void
kernel_close_path(struct world *w, int p)
{
	if (w->process[p].path == 0)
		return;
	w->process[p].path = 0;
	reset_backlogs(w);
}

static uint8_t
unused_socket(const struct world *w)
{
	uint8_t socket = 1;

	while (w->path == socket || kernel_socket_is_held(w, socket))
		socket++;
	return socket;
}

void
kernel_bind_path(struct world *w, int p)
{
	kernel_close_path(w, p);
	w->path = unused_socket(w);
	w->process[p].path = w->path;
}

bool
kernel_connect(struct world *w, int p)
{
	struct line *l = &w->line[p];

	if (w->path == 0 || !kernel_socket_is_held(w, w->path))
		return false;
	memset(l, 0, sizeof(*l));
	l->place = PLACE_BACKLOG;
	l->peer = w->path;
	return true;
}

bool
kernel_waits(const struct world *w, int p, int s)
{
	return w->process[p].path != 0 && w->line[s].place == PLACE_BACKLOG &&
	       w->line[s].peer == w->process[p].path;
}

int
kernel_successor(const struct world *w, int p, enum place place)
{
	for (int i = 0; i < w->count; i++) {
		const struct line *l = &w->line[i];

		if (l->place == place && l->peer == instance_of(p) && !l->closed_up)
			return i;
	}
	return -1;
}

bool
kernel_can_read_up(const struct world *w, int p)
{
	const struct line *l = &w->line[p];

	return l->place != PLACE_NONE && !l->closed_down && (l->from_up != 0 || l->closed_up);
}

bool
kernel_can_read_down(const struct world *w, int s)
{
	const struct line *l = &w->line[s];

	return l->from_down != 0 || (l->closed_down && !l->end_read);
}

void
kernel_close_up(struct world *w, int p)
{
	struct line *l = &w->line[p];

	if (l->place == PLACE_NONE)
		return;
	l->closed_down = true;
	l->from_up = 0;
	l->generation = 0;
	l->path = 0;
	l->unclaimed = false;
	l->stale = false;
	forget_if_closed(l);
	reset_backlogs(w);
}

void
kernel_close_down(struct world *w, int s)
{
	struct line *l = &w->line[s];

	l->closed_up = true;
	l->from_down = 0;
	l->place = PLACE_ACCEPTED;
	if (!in_flight(l))
		l->peer = 0;
	l->end_read = false;
	l->committed = false;
	forget_if_closed(l);
}

static void
close_lines(struct world *w, int p)
{
	kernel_close_up(w, p);
	for (int i = 0; i < w->count; i++) {
		struct line *l = &w->line[i];

		if (l->place != PLACE_BACKLOG && l->place != PLACE_NONE &&
		    l->peer == instance_of(p) && !l->closed_up)
			kernel_close_down(w, i);
	}
}

void
kernel_bury(struct world *w, int p)
{
	struct process *process = &w->process[p];

	memset(process, 0, sizeof(*process));
	process->machine.me = instance_of(p);
	process->mode = MODE_GONE;
	reset_backlogs(w);
}

void
kernel_kill(struct world *w, int p)
{
	close_lines(w, p);
	kernel_bury(w, p);
}
