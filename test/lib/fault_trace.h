/* SPDX-License-Identifier: MIT */
/*
 * Holds a process at the entry of each system call that touches what a handoff is made of, by
 * ptrace(2). The process must be a child of the caller's, and dies with it.
 *
 * SIGCHLD says that one of the traced has something to say: fault_next() then. Nothing here blocks
 * but fault_seize() and fault_kill(), which wait for what the kernel does at once.
 */
#ifndef MOLT_TEST_FAULT_TRACE_H
#define MOLT_TEST_FAULT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum fault_object {
	FAULT_NOTHING,
	FAULT_CHANNEL,
	FAULT_LOCK, /* the lock file: both locks and the record */
	FAULT_PATH, /* the socket file, its socket, and what is renamed to it */
	FAULT_LISTENER,
	FAULT_OBJECTS
};

enum { FAULT_NUMBERS = 512 }; /* system calls with a higher number are not looked at */

/* Where a process is held: the nth such call on such an object since it was seized, from 1. */
struct fault_call {
	int number;
	enum fault_object object;
	int nth;
};

struct fault_tracee {
	pid_t pid;
	int pidfd;
	const char *path; /* the socket file */
	bool looks;       /* calls are looked at */
	bool ended;
	struct fault_call at;
	int counts[FAULT_OBJECTS][FAULT_NUMBERS];
};

enum fault_news { FAULT_QUIET, FAULT_AT_CALL, FAULT_ENDED };

/* Whether a process may be traced here; if not, `ret_why` says why. */
bool fault_possible(char *ret_why, size_t size);

/* 0, or a negative errno. `path` must live as long as `t`. */
int fault_seize(struct fault_tracee *t, pid_t pid, const char *path);

/* FAULT_AT_CALL: it is held, and `at` says where, until fault_go_on() or fault_kill(). */
enum fault_news fault_next(struct fault_tracee *t);
void fault_go_on(struct fault_tracee *t);

/* From its next stop on it is not held any more. */
void fault_let_go(struct fault_tracee *t);

/* Kills and reaps a process that is held: the call it entered does not happen. */
void fault_kill(struct fault_tracee *t);

/* From outside: whether it has the owner lock; whether it listens at this port. */
bool fault_holds_owner(pid_t pid);
bool fault_holds_port(const struct fault_tracee *t, int port);

bool fault_same_call(const struct fault_call *a, const struct fault_call *b);
const char *fault_call_name(const struct fault_call *call);
const char *fault_object_name(enum fault_object object);

#endif
