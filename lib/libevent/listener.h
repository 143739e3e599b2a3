/* SPDX-License-Identifier: MIT */
/* What an attachment tells its listeners. */
#ifndef MOLT_LIBEVENT_LISTENER_H
#define MOLT_LIBEVENT_LISTENER_H

#include "attach.h"

/* This process serves, and did not before. */
void molt__listeners_begin(struct molt_attachment *a);

/* It does not any more. */
void molt__listeners_stop(struct molt_attachment *a);

/* RETIRE: the one with this socket empties its queue and lets go of it. */
void molt__listeners_let_go(struct molt_attachment *a, const struct molt_event *retire);

void molt__listeners_free(struct molt_attachment *a);

#endif
