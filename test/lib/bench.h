/* SPDX-License-Identifier: MIT */
/*
 * A handle whose state a white-box test sets by hand, with nothing open but what the test opens,
 * and everything that is logged kept. A step that does not succeed fails the test.
 */
#ifndef MOLT_TEST_BENCH_H
#define MOLT_TEST_BENCH_H

#include "engine.h"

#include <sys/resource.h>

struct bench {
	struct molt *m;
	struct fds *before;
	char *dir;
	char log[4096]; /* key: line, one after the other */
	struct molt_event event;
};

/* cmocka's: *state is a struct bench. Afterwards the descriptors must be as they were before. */
int bench_set_up(void **state);
int bench_tear_down(void **state);

void bench_becomes(struct bench *b, enum handoff_state state);
/* Enters service as the engine does. */
void bench_activate(struct bench *b);

bool bench_is_listening(int fd);
bool bench_is_open(int fd);
int bench_port_of(int fd);
int bench_files_in(const char *dir);

/* A bound socket of somebody else's, on 127.0.0.1. */
int bench_foreign(int type, int port, bool group);

/*
 * What a predecessor would say of this descriptor; and its arrival, which is the engine's answer.
 */
struct entry bench_announced(const char *name, uint32_t id, int fd);
int bench_inherits(struct bench *b, const char *name, uint32_t id, int fd);
/* A group, as it was inherited. Returns its port. */
int bench_inherits_group(struct bench *b, const char *name, int type, int count);

int bench_count_status(struct bench *b, enum inventory_status status);

/* Room for only so many more descriptors; returns what the limit was. */
struct rlimit bench_limit_descriptors(int more);

#define assert_logged(b, words) assert_non_null(strstr((b)->log, words))
#define assert_not_logged(b, words) assert_null(strstr((b)->log, words))
#define assert_says(b, words) assert_non_null(strstr((b)->m->error, words))

#endif
