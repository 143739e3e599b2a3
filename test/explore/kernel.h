/* SPDX-License-Identifier: MIT */
/*
 * What the kernel does in a world: descriptors and who holds them, sockets, lines, the two locks. A
 * descriptor in a packet that nobody has read yet is held by the queue.
 */
#ifndef MOLT_EXPLORE_KERNEL_H
#define MOLT_EXPLORE_KERNEL_H

#include "world.h"

/* --- Descriptors --- */

bool kernel_life_is_held(const struct world *w);
/* By anybody, or on its way. */
bool kernel_claimed_is_held(const struct world *w);
bool kernel_socket_is_held(const struct world *w, uint8_t socket);

void kernel_close_path(struct world *w, int p);

/* --- The socket file --- */

/* A socket of its own that PATH names from now on. */
void kernel_bind_path(struct world *w, int p);
/* False if nobody answers. The HELLO is in the queue then. */
bool kernel_connect(struct world *w, int p);
/* Whether the successor `s` waits in the accept queue of p's copy of the socket. */
bool kernel_waits(const struct world *w, int p, int s);

/* --- Lines --- */

/* The successor that p has a line to that it has not closed, adopted or just accepted; or -1. */
int kernel_successor(const struct world *w, int p, enum place place);
/* Whether p has something to read from it, the end included. */
bool kernel_can_read_up(const struct world *w, int p);
bool kernel_can_read_down(const struct world *w, int s);
/* The successor's end; what is still queued for it is lost. */
void kernel_close_up(struct world *w, int p);
/* The predecessor's end of the line to `s`. */
void kernel_close_down(struct world *w, int s);

/* --- Death --- */

/* SIGKILL: OWNER, if held, lasts a while longer. */
void kernel_kill(struct world *w, int p);
/* Nothing of it counts any more; it holds nothing. */
void kernel_bury(struct world *w, int p);

#endif
