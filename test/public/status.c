/* SPDX-License-Identifier: MIT */
/* Status from outside: its keys, who is told of what, and a watcher's bad ends. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "handle.h"

enum { STATUS_MAX = 128 * 1024 };

static char text[STATUS_MAX];

/*
 * The next status of `w`, while `m` works. Returns molt_watch_next()'s answer, 0 for "nothing
 * comes".
 */
static int
next_status(struct molt *m, struct molt_watch *w)
{
	int result = -ETIMEDOUT;

	for (int i = 0; i < 20 && result == -ETIMEDOUT; i++) {
		molt_dispatch(m);
		result = molt_watch_next(w, 0, text, sizeof(text));
	}
	return result == -ETIMEDOUT ? 0 : result;
}

static void
check_has(const char *words, bool has, int line)
{
	if ((strstr(text, words) != NULL) != has)
		fail_msg("line %d: %s%s in %s", line, has ? "no " : "", words, text);
}
#define assert_has(words) check_has(words, true, __LINE__)
#define assert_has_not(words) check_has(words, false, __LINE__)

static struct molt_watch *
watch(struct fixture *f)
{
	struct molt_watch *w = molt_watch_new(f->path);

	assert_non_null(w);
	assert_true(molt_watch_fd(w) >= 0);
	return w;
}

/* --- what a status says --------------------------------------------------------------------- */

static void
test_keys(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;
	char abstract[64];
	char words[100];
	int length;

	snprintf(abstract, sizeof(abstract), "unix:@molt-test-status-%d", (int)getpid());
	assert_int_equal(molt_set_label(f->m, "v \"7\" é"), 0);
	assert_int_equal(molt_start(f->m), 0);
	assert_true(molt_listen(f->m, "web", "tcp://127.0.0.1:0") >= 0);
	assert_true(molt_listen(f->m, "abstract", abstract) >= 0);
	assert_int_equal(molt_ready(f->m), 0);
	assert_event(f->m, MOLT_SERVE, MOLT_REASON_FIRST);
	w = watch(f);
	length = next_status(f->m, w);
	assert_int_equal(length, strlen(text));
	assert_has("\"draining\":[]");
	assert_has("\"generation\":1,");
	assert_has("\"handoff\":null");
	assert_has("\"label\":\"v \\\"7\\\" é\"");
	assert_has("\"last_failure\":null");
	assert_has("{\"address\":\"tcp://127.0.0.1:");
	snprintf(words, sizeof(words), "{\"address\":\"%s\",\"name\":\"abstract\"}", abstract);
	assert_has(words);
	assert_has("\"listeners_left_out\":0");
	assert_has("\"owner\":true");
	assert_has("\"remaining\":null");
	assert_has("\"state\":\"serving\"");
	snprintf(words, sizeof(words), "\"pid\":%d,", (int)getpid());
	assert_has(words);
	assert_int_equal(strspn(strstr(text, "\"instance\":\"") + strlen("\"instance\":\""),
				"0123456789abcdef"),
			 16);
	molt_watch_free(w);
}

static void
test_told_when_it_changes(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;

	handle_serve(f->m);
	w = watch(f);
	assert_true(next_status(f->m, w) > 0);
	assert_int_equal(next_status(f->m, w), 0);
	assert_int_equal(molt_set_remaining(f->m, 41), 0);
	assert_true(next_status(f->m, w) > 0);
	assert_has("\"remaining\":41");
	assert_int_equal(molt_set_label(f->m, "renamed"), 0);
	assert_true(next_status(f->m, w) > 0);
	assert_has("\"label\":\"renamed\"");
	assert_int_equal(next_status(f->m, w), 0);
	molt_watch_free(w);
	assert_int_equal(molt_dispatch(f->m), 0);
}

/*
 * A change wakes the process that is watched, so that it is told without anything else happening.
 */
static void
test_change_wakes(void **state)
{
	struct fixture *f = *state;
	struct pollfd p;
	struct molt_watch *w;

	handle_serve(f->m);
	w = watch(f);
	assert_true(next_status(f->m, w) > 0);
	assert_null(molt_next_event(f->m));
	molt_dispatch(f->m);
	p = (struct pollfd){ .fd = molt_fd(f->m), .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(molt_set_label(f->m, "changed"), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	molt_dispatch(f->m);
	assert_true(molt_watch_next(w, 0, text, sizeof(text)) > 0);
	molt_watch_free(w);
}

static void
assert_described(struct molt *m, const char *words)
{
	char line[500];

	molt_describe(m, line, sizeof(line));
	if (strstr(line, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", line, words);
}

static void
test_one_line(void **state)
{
	struct fixture *f = *state;
	struct molt *successor = molt_new(f->path);
	char line[500];

	assert_int_equal(molt_set_label(f->m, "v1"), 0);
	handle_serve(f->m);
	snprintf(line, sizeof(line), "generation 1 (v1), pid %d: serving, 0 listeners", getpid());
	assert_described(f->m, line);
	assert_int_equal(molt_describe(f->m, NULL, 0), strlen(line));
	assert_true(molt_listen(f->m, "web", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(molt_set_remaining(f->m, 3), 0);
	molt_dispatch(f->m);
	assert_described(f->m, "1 listeners, 3 connections");
	assert_int_equal(molt_set_label(successor, "v2"), 0);
	assert_int_equal(molt_connect(successor), 0);
	while (strcmp(molt_state_name(f->m), "offered") != 0)
		molt_wait(f->m, 100);
	snprintf(line, sizeof(line), "; handing over to pid %d (v2)", getpid());
	assert_described(f->m, line);
	assert_int_equal(molt_cancel(f->m), 0);
	assert_described(f->m, "3 connections; last failure: ");
	molt_free(successor);
}

static void
test_one_line_without_labels(void **state)
{
	struct fixture *f = *state;
	struct molt *successor = molt_new(f->path);
	char line[500];

	handle_serve(f->m);
	snprintf(line, sizeof(line), "generation 1, pid %d: serving", getpid());
	assert_described(f->m, line);
	assert_int_equal(molt_connect(successor), 0);
	while (strcmp(molt_state_name(f->m), "offered") != 0)
		molt_wait(f->m, 100);
	molt_free(successor);
	while (strcmp(molt_state_name(f->m), "serving") != 0)
		molt_wait(f->m, 100);
	snprintf(line, sizeof(line),
		 "last failure: the successor, pid %d, ended before it was ready", getpid());
	assert_described(f->m, line);
}

/* A handoff shows while it lasts, and afterwards why it failed. */
static void
test_shows_a_handoff(void **state)
{
	struct fixture *f = *state;
	struct molt *successor = molt_new(f->path);
	struct molt_watch *w;

	handle_serve(f->m);
	w = watch(f);
	assert_true(next_status(f->m, w) > 0);
	assert_int_equal(molt_set_label(successor, "next"), 0);
	assert_int_equal(molt_connect(successor), 0);
	while (strcmp(molt_state_name(f->m), "offered") != 0)
		molt_wait(f->m, 100);
	assert_true(next_status(f->m, w) > 0);
	assert_has("\"handoff\":{\"label\":\"next\"");
	assert_has("\"since_ms\":");
	assert_has("\"state\":\"offered\"");
	assert_int_equal(molt_cancel(f->m), 0);
	assert_true(next_status(f->m, w) > 0);
	assert_has("\"handoff\":null");
	assert_has("molt_cancel()");
	molt_free(successor);
	molt_watch_free(w);
}

/*
 * The predecessor drains, and both say so: it to who watched it before, the new owner to all
 * others.
 */
static void
test_shows_what_drains(void **state)
{
	struct fixture *f = *state;
	struct molt *new = molt_new(f->path);
	struct molt_watch *before;
	struct molt_watch *after;

	assert_int_equal(molt_set_deadline(f->m, MOLT_DEADLINE_TICK, 10), 0);
	handle_serve(f->m);
	before = watch(f);
	assert_true(next_status(f->m, before) > 0);
	assert_int_equal(molt_set_remaining(f->m, 17), 0);
	assert_int_equal(molt_connect(new), 0);
	assert_int_equal(molt_set_label(f->m, "old one"), 0);
	for (int i = 0; i < 1000 && !molt_is_owner(new); i++) {
		molt_wait(f->m, 5);
		while (molt_next_event(f->m) != NULL)
			;
		molt_wait(new, 5);
		while (molt_next_event(new) != NULL)
			;
		molt_ready(new);
	}
	assert_int_equal(molt_is_owner(new), 1);
	while (strcmp(molt_state_name(f->m), "draining") != 0)
		molt_wait(f->m, 100);
	while (next_status(f->m, before) > 0)
		;
	assert_has("\"state\":\"draining\"");
	assert_has("\"owner\":false");
	assert_has("\"draining\":[{\"generation\":1,");

	after = watch(f);
	do {
		molt_wait(f->m, 10);
		next_status(new, after);
	} while (strstr(text, "\"draining\":[]") != NULL);
	assert_has("\"generation\":2,");
	assert_has("\"draining\":[{\"generation\":1,\"label\":\"old one\"");
	assert_has("\"remaining\":17,\"state\":\"draining\"");
	molt_watch_free(before);
	molt_watch_free(after);
	molt_free(new);
}

/* --- a watcher's ends ----------------------------------------------------------------------- */

static void
check_new_fails(const char *path, int error)
{
	errno = 0;
	assert_null(molt_watch_new(path));
	assert_int_equal(errno, error);
}

static void
test_nobody_to_watch(void **state)
{
	struct fixture *f = *state;

	check_new_fails(NULL, EINVAL);
	check_new_fails("", EINVAL);
	check_new_fails(f->path, ENOENT);
	assert_int_equal(molt_watch_fd(NULL), -EINVAL);
	assert_int_equal(molt_watch_next(NULL, 0, text, sizeof(text)), -EINVAL);
	/* Dead without a farewell: the file is left. */
	handle_serve(f->m);
	molt_free(f->m);
	f->m = molt_new(f->path);
	check_new_fails(f->path, ECONNREFUSED);
}

/* In front of what is too small nothing is written, and the status waits. */
static void
test_too_small(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;
	char small[20] = "untouched";
	int length;

	handle_serve(f->m);
	w = watch(f);
	molt_dispatch(f->m);
	molt_dispatch(f->m);
	assert_int_equal(molt_watch_next(w, 1000, small, sizeof(small)), -ENOSPC);
	assert_string_equal(small, "untouched");
	assert_int_equal(molt_watch_next(w, 0, NULL, 0), -ENOSPC);
	assert_int_equal(molt_watch_next(w, 0, NULL, 5), -EINVAL);
	length = molt_watch_next(w, 0, text, sizeof(text));
	assert_true(length > 0);
	assert_int_equal(molt_watch_next(w, 0, small, sizeof(small)), -ETIMEDOUT);
	assert_int_equal(molt_set_label(f->m, ""), 0);
	molt_dispatch(f->m);
	assert_int_equal(molt_watch_next(w, 0, text, (size_t)length), -ENOSPC);
	assert_int_equal(molt_watch_next(w, 0, text, (size_t)length + 1), length);
	molt_watch_free(w);
}

static void
test_times_out(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;

	assert_int_equal(molt_start(f->m), 0);
	w = watch(f);
	/* The first generation does not answer before it serves. */
	assert_int_equal(molt_watch_next(w, 20, text, sizeof(text)), -ETIMEDOUT);
	molt_watch_free(w);
}

static void *
wait_for_one(void *w)
{
	return (void *)(intptr_t)molt_watch_next(w, 10000, text, sizeof(text));
}

/* The answer comes while the watcher waits. */
static void
test_waits(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;
	pthread_t thread;
	void *result;

	handle_serve(f->m);
	w = watch(f);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_one, w), 0);
	while (pthread_tryjoin_np(thread, &result) == EBUSY)
		molt_wait(f->m, 5);
	assert_true((intptr_t)result > 0);
	molt_watch_free(w);
}

static void
test_end_of_the_watched(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;

	handle_serve(f->m);
	w = watch(f);
	assert_true(next_status(f->m, w) > 0);
	molt_free(f->m);
	f->m = molt_new(f->path);
	assert_int_equal(molt_watch_next(w, -1, text, sizeof(text)), -EPIPE);
	assert_int_equal(molt_watch_next(w, -1, text, sizeof(text)), -EPIPE);
	molt_watch_free(w);
}

/* Who reads nothing holds up nobody, and gets the newest when it reads again. */
static void
test_slow_watcher(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;
	char label[20];
	int told = 0;

	handle_serve(f->m);
	w = watch(f);
	for (int i = 0; i < 2000; i++) {
		snprintf(label, sizeof(label), "number %d", i);
		assert_int_equal(molt_set_label(f->m, label), 0);
		molt_dispatch(f->m);
	}
	while (next_status(f->m, w) > 0)
		told++;
	assert_in_range(told, 2, 1000);
	assert_has("number 1999");
	molt_watch_free(w);
}

/* One more than there are places for is refused, and a place is free again when one goes. */
static void
test_too_many(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w[17];
	int result;

	handle_serve(f->m);
	for (int i = 0; i < 17; i++) {
		w[i] = watch(f);
		result = next_status(f->m, w[i]);
		assert_int_equal(result > 0 ? 0 : result, i < 16 ? 0 : -EACCES);
	}
	molt_watch_free(w[16]);
	molt_watch_free(w[3]);
	molt_dispatch(f->m);
	w[3] = watch(f);
	assert_true(next_status(f->m, w[3]) > 0);
	for (int i = 0; i < 16; i++)
		molt_watch_free(w[i]);
}

/* --- bare packets --------------------------------------------------------------------------- */

/* A packet of wire version 1 with an empty body. */
static void
send_bare(int fd, uint16_t type)
{
	unsigned char packet[18] = { 'M', 'O', 'L', 'T', 1, 0, (unsigned char)type, 0, 2 };

	packet[16] = '{';
	packet[17] = '}';
	assert_int_equal(send(fd, packet, sizeof(packet), MSG_NOSIGNAL), sizeof(packet));
}

static int
open_socket(const char *path, struct sockaddr_un *ret_address)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(ret_address->sun_path, path);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* STATUS is answered once, and then the channel ends. */
static void
test_asked_once(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address;
	int fd = open_socket(f->path, &address);

	handle_serve(f->m);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	send_bare(fd, 15);
	for (int i = 0; i < 5; i++)
		molt_dispatch(f->m);
	assert_true(recv(fd, text, sizeof(text), 0) > 16);
	assert_int_equal(text[6], 15);
	assert_int_equal(recv(fd, text, sizeof(text), 0), 0);
	close(fd);
}

/* Who answers on the path is not always one of ours. */
static void
test_answers_that_are_none(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address;
	int fd = open_socket(f->path, &address);
	struct molt_watch *w;
	int accepted;

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 5), 0);
	w = watch(f);
	accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	send_bare(accepted, 14);
	assert_int_equal(molt_watch_next(w, 1000, text, sizeof(text)), -EPROTO);
	send_bare(accepted, 15);
	assert_int_equal(molt_watch_next(w, 1000, text, sizeof(text)), -EPROTO);
	assert_int_equal(send(accepted, "garbage", 7, MSG_NOSIGNAL), 7);
	assert_int_equal(molt_watch_next(w, 1000, text, sizeof(text)), -EPROTO);
	close(accepted);
	assert_int_equal(molt_watch_next(w, 1000, text, sizeof(text)), -EPIPE);
	molt_watch_free(w);
	close(fd);
}

/* The kernel's limit on a socket's path is not this library's. */
static void
test_long_path(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;
	char *longer = malloc(strlen(f->path) + 201);

	sprintf(longer, "%s%0200d", f->path, 0);
	free(f->path);
	f->path = longer;
	molt_free(f->m);
	check_new_fails(f->path, ENOENT);
	f->m = molt_new(f->path);
	handle_serve(f->m);
	w = watch(f);
	assert_true(next_status(f->m, w) > 0);
	molt_watch_free(w);
}

/* More listeners than a packet takes: the status says how many it left out. */
static void
test_listeners_left_out(void **state)
{
	struct fixture *f = *state;
	struct molt_watch *w;
	char name[64];
	char address[200];

	handle_serve(f->m);
	for (int i = 0; i < 700; i++) {
		snprintf(name, sizeof(name), "%063d", i);
		snprintf(address, sizeof(address), "unix:@molt-test-%d-%080d", (int)getpid(), i);
		assert_true(molt_listen(f->m, name, address) >= 0);
	}
	w = watch(f);
	assert_true(next_status(f->m, w) > 0);
	assert_has("\"listeners_left_out\":188,");
	assert_has("0000511");
	assert_has_not("0000512");
	molt_watch_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HANDLE_TEST(test_keys),
		HANDLE_TEST(test_told_when_it_changes),
		HANDLE_TEST(test_change_wakes),
		HANDLE_TEST(test_one_line),
		HANDLE_TEST(test_one_line_without_labels),
		HANDLE_TEST(test_shows_a_handoff),
		HANDLE_TEST(test_shows_what_drains),
		HANDLE_TEST(test_nobody_to_watch),
		HANDLE_TEST(test_too_small),
		HANDLE_TEST(test_times_out),
		HANDLE_TEST(test_waits),
		HANDLE_TEST(test_end_of_the_watched),
		HANDLE_TEST(test_slow_watcher),
		HANDLE_TEST(test_too_many),
		HANDLE_TEST(test_asked_once),
		HANDLE_TEST(test_answers_that_are_none),
		HANDLE_TEST(test_long_path),
		HANDLE_TEST(test_listeners_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
