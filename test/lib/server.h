/* SPDX-License-Identifier: MIT */
/*
 * A server program as a child of a test: started, waited for by the lines on its stderr, ended by
 * pid. Nothing here needs cmocka. No call blocks for longer than it is told.
 */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct server {
	pid_t pid;
	int pidfd;
	int log; /* its stderr, and that of what it spawns; -1 for an adopted one */
	int64_t started_us;
	char line[1024];    /* what server_expect() returned */
	char pending[4096]; /* read and not yet looked at */
	size_t pending_length;
};

/* The monotonic clock. */
int64_t server_now_us(void);

/* The path of what was built from examples/NAME.c: below $MOLT_BUILD, or below build. */
const char *server_example(const char *name, char path[512]);

/* Starts argv[0] with its stderr kept for server_expect(). It dies with this process. Or -errno. */
int server_start(struct server *s, char *const argv[]);

/*
 * A process that somebody else started, a spawned successor: it has no log of its own. Or -errno.
 */
int server_adopt(struct server *s, pid_t pid);

/*
 * The next line with `words` in it; those before are read over. Valid until the next call. NULL if
 * none came within `milliseconds` or everybody who could write one has gone.
 */
const char *server_expect(struct server *s, const char *words, int milliseconds);

/* The port of the next "listening on" line. Or -1. */
int server_port(struct server *s, int milliseconds);

/* The end of the process: its wait(2) status if it was our child, otherwise 0. -ETIMEDOUT. */
int server_wait(struct server *s, int milliseconds, int *ret_status);

void server_signal(const struct server *s, int signal);

/* Kills the process if it still runs, reaps it and closes what is ours. A zeroed one is allowed. */
void server_end(struct server *s);

/*
 * Kills and reaps every child that is left. What those had started becomes ours as they end, and
 * has its turn, if this process is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER).
 */
void server_end_children(void);

#endif
