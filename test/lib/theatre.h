/* SPDX-License-Identifier: MIT */
/*
 * A test with actors on one socket file, in a directory of its own. A step that does not succeed
 * fails the test.
 */
#ifndef MOLT_TEST_THEATRE_H
#define MOLT_TEST_THEATRE_H

#include "actor.h"

enum { THEATRE_ACTORS = 4 };

struct theatre {
	char *dir;
	char socket[256]; /* where the actors meet */
	struct fds *before;
	struct actor actors[THEATRE_ACTORS];
};

/*
 * cmocka's: *state is a struct theatre. Afterwards no actor is left, and the descriptors must be as
 * they were before.
 */
int theatre_set_up(void **state);
int theatre_tear_down(void **state);

/* Starts an actor and its handle, up to where it can listen. */
struct actor *theatre_starts(struct theatre *t, int which, const char *label);

/* "NAME ADDRESS" */
void theatre_listens(struct actor *a, const char *what);

/* It is ready, and then this event comes: "SERVE committed 0 # ". */
void theatre_serves(struct actor *a, const char *how);

/* The handoff as a predecessor without connections sees it: it leaves. */
void theatre_leaves(struct actor *a);

/* From `a` to a new one that listens to "NAME ADDRESS". Both are well afterwards. */
struct actor *theatre_hands_over(struct theatre *t, struct actor *a, int which, const char *label,
				 const char *listen);

/* The port of an actor's listener. */
int theatre_port(struct actor *a, const char *name);

/* A socket that listens on 127.0.0.1, as systemd would pass it. */
int theatre_bound(int *ret_port);

/* A port where nobody listens. */
int theatre_free_port(void);

#endif
