/* SPDX-License-Identifier: MIT */
/* The inside of an actor: what its two files share. */
#ifndef MOLT_TEST_ACTOR_CHILD_H
#define MOLT_TEST_ACTOR_CHILD_H

#include "actor.h"

#include <molt/molt.h>
#include <stdbool.h>

enum {
	CHILD_HANDLES = 2,
	CHILD_LISTENERS = 160,
	CHILD_CONNECTIONS = 2048,
	CHILD_LOGS = 64,
};

struct child_handle {
	struct molt *m;
	int index;
	bool serves;
	bool uncounted;
	bool stays;
	bool deaf; /* wrong on purpose: see actor.h */
	bool liar;
};

struct child_listener {
	int fd; /* -1: free */
	int handle;
	int type;
	bool own; /* the actor's to listen on and to close */
	bool listens;
	char name[64];
};

struct child_connection {
	int fd;
	int handle;
};

struct child_log {
	char key[32];
	int count;
	char last[512];
};

struct child {
	int control;
	int events;
	char label[64];
	struct actor_stage *stage;
	struct child_handle handles[CHILD_HANDLES];
	int current;
	struct child_listener listeners[CHILD_LISTENERS];
	int listener_count;
	struct child_connection connections[CHILD_CONNECTIONS];
	int connection_count;
	struct child_log logs[CHILD_LOGS];
	int log_count;
	bool done;
	int status;
};

/* Never returns. */
_Noreturn void actor_child(const struct actor_options *options, int control, int events);

/* Does one line, and answers it. */
void child_command(struct child *c, char *line);

/* From now on it is accepted from while its handle is in service. */
void child_add_listener(struct child *c, const char *name, int fd, bool own);
void child_remove_listener(struct child *c, int fd);
void child_set_remaining(struct child *c, int handle);
void child_free_handle(struct child *c, struct child_handle *h);
/* A forked child; a careful one calls molt_after_fork(). */
pid_t child_fork_worker(const struct child *c, struct molt *m, bool careful);
void child_log(void *arg, int severity, const char *key, const char *line);

#endif
