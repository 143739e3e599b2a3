/* SPDX-License-Identifier: MIT */
/*
 * A handle in a directory of its own for each test, and what is asked of it again and again. For
 * public tests with cmocka.
 */
#ifndef MOLT_TEST_HANDLE_H
#define MOLT_TEST_HANDLE_H

#include <stdint.h>

#include <molt/molt.h>

struct fds;

struct fixture {
	struct fds *fds;
	char *directory;
	char *path; /* of the socket file */
	struct molt *m;
};

/* For cmocka: the descriptors that are open before must be those that are open after. */
int handle_set_up(void **state);
int handle_tear_down(void **state);

#define HANDLE_TEST(name) cmocka_unit_test_setup_teardown(name, handle_set_up, handle_tear_down)

struct molt *handle_of(void **state);

/* The call failed so, and left a sentence with these words in it. */
#define assert_error(m, result, error, words)                                                      \
	handle_check_error(m, result, error, words, __FILE__, __LINE__)
void handle_check_error(struct molt *m, int64_t result, int error, const char *words,
			const char *file, int line);

/* The next event, which comes in ten seconds at most, is this one. */
#define assert_event(m, type, reason) handle_check_event(m, type, reason, __FILE__, __LINE__)
void handle_check_event(struct molt *m, int type, int reason, const char *file, int line);

/* Starts it as the first, and has it serve. */
void handle_serve(struct molt *m);

#endif
