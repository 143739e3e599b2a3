/* SPDX-License-Identifier: MIT */
/*
 * A small server on the public API in a child process, which does what it is told and tells what
 * happens to it. The child is a fork that keeps nothing of the test's but its standard descriptors,
 * and dies with it.
 *
 * It serves by itself: while it is in service it accepts from its listeners, and answers each line
 * of a connection and each datagram with its label, a blank, and what came. It follows PAUSE,
 * RESUME, RETIRE, DRAIN as a host should, says how many connections remain, and ends with status 0
 * at LEAVE. What happens is sent as one line an event:
 *
 *     SERVE committed 0 http=-98 # the sentence
 *
 * type, reason, error, each entry with its error, then what molt_event_text() said. "CLASH …" means
 * that the actor saw something that must not be.
 *
 * Commands are lines too; each is answered with a number (what the call returned) and a text (its
 * sentence, or what was asked for). Words are separated by single blanks.
 *
 *     new PATH              molt_new(), with the label; `use 1`: a second handle, for what follows
 *     start connect ready drain cancel commit loaded hold_commit hold_load progress free
 *     refuse [SENTENCE]     allow UID         owner UID GID MODE(octal)     room N
 *     exclusive 0|1         compatibility N   downgrade                     deadline NUMBER MS
 *     remaining N           uncounted: never says what remains              stay: not at LEAVE
 *     deaf: doesn't act on PAUSE        liar: says then that it has left service, and serves on
 *     listen NAME ADDRESS   count NAME        fd NAME INDEX                 port NAME INDEX
 *     take NAME             take_address PORT (tcp, 127.0.0.1)
 *     bind NAME PORT        binds 127.0.0.1:PORT by itself, offers it, listens when in service
 *     adopt NAME            takes it, serves it as its own, and offers it again
 *     memfd NAME TEXT       offers a sealed memfd; `read NAME` takes and reads one
 *     withdraw NAME         inherited: how many, and their names
 *     state generation retired is_owner describe error
 *     log KEY               how many log lines of that key came; the text is the last one
 *     fds                   how many descriptors are open
 *     become UID GID        exit STATUS
 *     workers N careful|careless      forks so many; the text is their pids. Careful: they call
 *                                     molt_after_fork(). They go when the actor is ended
 *
 * Nothing here needs cmocka, and no call of the test's blocks for ever.
 */
#ifndef MOLT_TEST_ACTOR_H
#define MOLT_TEST_ACTOR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	ACTOR_LINE_MAX = 4095,
	ACTOR_PATIENCE = 20000,  /* milliseconds: how long an answer may take */
	ACTOR_NOTHING = -100000, /* no answer came: not an errno */
	ACTOR_STAGE_MAX = 65536,
};

/* Who served when, in memory that all processes share: entered by the actors themselves. */
struct actor_stage {
	atomic_uint count;
	struct {
		int64_t ns; /* CLOCK_MONOTONIC */
		pid_t pid;
		int serves; /* 1: enters service, 0: has left it */
	} entries[ACTOR_STAGE_MAX];
};

struct actor_stage *actor_stage_new(void);
void actor_stage_free(struct actor_stage *stage);
/* For a process that is about to be killed while it is stopped. */
void actor_stage_enter(struct actor_stage *stage, pid_t pid, int serves);

struct actor_options {
	const char *label;
	struct actor_stage *stage; /* or NULL */
	const int *systemd;        /* passed as from systemd, from 3 up */
	size_t systemd_count;
	const char *systemd_names; /* LISTEN_FDNAMES */
};

struct actor {
	pid_t pid; /* 0: none */
	int pidfd;
	int control;
	int events;
	char label[64];
	char answer[ACTOR_LINE_MAX + 1];
	char event[ACTOR_LINE_MAX + 1];
};

/* 0, or a negative errno. */
int actor_start(struct actor *a, const char *label);
int actor_start_with(struct actor *a, const struct actor_options *options);

/* Says a command. actor_hear(): the number of its answer, or ACTOR_NOTHING. actor_do(): both. */
void actor_say(struct actor *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
int actor_hear(struct actor *a, int milliseconds);
int actor_do(struct actor *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text of the last answer. */
const char *actor_text(const struct actor *a);

/* The next event's line, or NULL if none comes in that time, or none can come any more. */
const char *actor_event(struct actor *a, int milliseconds);

/*
 * The next event, which must begin with these words: otherwise NULL, and a line on stderr says what
 * came.
 */
const char *actor_expect(struct actor *a, const char *words);

/* The next event that begins with these words; those before are read over. */
const char *actor_await(struct actor *a, const char *words);

/* The end of the process: its wait(2) status. -ETIMEDOUT. */
int actor_wait(struct actor *a, int milliseconds, int *ret_status);
/* Waits for it to end by itself: 1 if with status 0. */
int actor_ends_well(struct actor *a);

void actor_signal(const struct actor *a, int signal);
/* SIGSTOP, and waits until it stands. SIGCONT wakes it. */
void actor_freeze(const struct actor *a);

/* Kills it if it still runs, reaps it, closes what is ours. A zeroed one is allowed. */
void actor_end(struct actor *a);

#endif
