/* SPDX-License-Identifier: MIT */
/*
 * What went wrong once: two handles of one process, predecessor and successor, driven in turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "handle.h"

enum {
	FULL_PACKETS = 4 * 253, /* descriptors that are sent before the first is acknowledged */
	OFFERED = 1020,
	STAYING = FULL_PACKETS - 10,
};

struct pair {
	struct molt *old;
	struct molt *new;
};

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until `who` has an event; the other's wait for their turn. */
static struct molt_event *
next_of(const struct pair *p, struct molt *who)
{
	struct pollfd fds[2] = { { .fd = molt_fd(p->old), .events = POLLIN },
				 { .fd = molt_fd(p->new), .events = POLLIN } };
	int64_t end = now() + 10000;

	while (now() < end) {
		molt_dispatch(p->old);
		molt_dispatch(p->new);
		if (molt_dispatch(who) > 0)
			return molt_next_event(who);
		poll(fds, 2, 100);
	}
	return NULL;
}

static void
check_next(const struct pair *p, struct molt *who, int type, int reason, int line)
{
	struct molt_event *e = next_of(p, who);

	if (e == NULL)
		fail_msg("line %d: %s did not come", line, molt_event_type_name(type));
	if (molt_event_type(e) != type || molt_event_reason(e) != reason)
		fail_msg("line %d: got %s, %s (%s), wanted %s, %s", line,
			 molt_event_type_name(molt_event_type(e)),
			 molt_reason_name(molt_event_reason(e)), molt_event_text(e),
			 molt_event_type_name(type), molt_reason_name(reason));
}
#define assert_next(p, who, type, reason) check_next(p, who, type, reason, __LINE__)

static void
warm_up(const struct pair *p)
{
	assert_int_equal(molt_connect(p->new), 0);
	assert_next(p, p->new, MOLT_STARTED, MOLT_REASON_NONE);
}

static void
hand_over(const struct pair *p)
{
	assert_int_equal(molt_ready(p->new), 0);
	assert_next(p, p->old, MOLT_PAUSE, MOLT_REASON_NONE);
	assert_next(p, p->new, MOLT_LOAD, MOLT_REASON_NONE);
	assert_next(p, p->new, MOLT_SERVE, MOLT_REASON_COMMITTED);
}

/*
 * The successor waits for the last packet of an offer, and what it was for is gone before it is
 * sent.
 */
static void
an_offer_that_shrinks_under_way_is_whole(void **state)
{
	struct fixture *f = *state;
	struct pair p = { .old = f->m, .new = molt_new(f->path) };
	int fds[OFFERED];

	handle_serve(p.old);
	for (int i = 0; i < OFFERED; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_int_equal(molt_offer(p.old, i < STAYING ? "stays" : "goes", fds[i]), 0);
	}
	assert_int_equal(molt_connect(p.new), 0);
	molt_dispatch(p.old);
	assert_string_equal(molt_state_name(p.old), "offered");
	assert_int_equal(molt_withdraw(p.old, "goes"), 0);
	assert_next(&p, p.new, MOLT_STARTED, MOLT_REASON_NONE);
	hand_over(&p);
	molt_free(p.new);
	for (int i = 0; i < OFFERED; i++)
		close(fds[i]);
}

/* What the predecessor's host has chosen is not what the next handoff must live with. */
static void
a_predecessors_deadlines_end_with_its_handoff(void **state)
{
	struct fixture *f = *state;
	struct pair p = { .old = f->m, .new = molt_new(f->path) };
	struct pair q = { .old = p.new, .new = molt_new(f->path) };
	int64_t began;

	handle_serve(p.old);
	assert_int_equal(molt_set_deadline(p.new, MOLT_DEADLINE_COMMIT, 100), 0);
	warm_up(&p);
	hand_over(&p);
	molt_hold_commit(q.old);
	warm_up(&q);
	assert_int_equal(molt_ready(q.new), 0);
	assert_next(&q, q.old, MOLT_PAUSE, MOLT_REASON_NONE);
	began = now();
	assert_next(&q, q.old, MOLT_RESUME, MOLT_REASON_UNTOUCHED);
	assert_true(now() - began < 4000); /* not the 5 s of the first one */
	molt_free(q.new);
	molt_free(p.new);
}

/* Somebody removes the socket file while a successor warms up: its predecessor makes another. */
static void
a_socket_file_made_anew_is_handed_on(void **state)
{
	struct fixture *f = *state;
	struct pair p = { .old = f->m, .new = molt_new(f->path) };
	struct pair q = { .old = p.new, .new = molt_new(f->path) };
	struct stat before, after;
	int64_t end;

	assert_int_equal(molt_set_deadline(p.old, MOLT_DEADLINE_TICK, 10), 0);
	handle_serve(p.old);
	warm_up(&p);
	assert_int_equal(unlink(f->path), 0);
	for (end = now() + 10000; now() < end && stat(f->path, &before) < 0;)
		molt_wait(p.old, 10);
	hand_over(&p);
	assert_int_equal(stat(f->path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	warm_up(&q);
	hand_over(&q);
	molt_free(q.new);
	molt_free(p.new);
}

/*
 * Without a handoff nobody looks whether the socket file is still there: but who starts a
 * successor.
 */
static void
a_socket_file_that_is_gone_is_made_anew_to_spawn(void **state)
{
	struct fixture *f = *state;
	struct pair p = { .old = f->m, .new = molt_new(f->path) };
	struct molt *lost = molt_new(f->path);
	char *const argv[] = { "true", NULL };

	handle_serve(p.old);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(molt_set_deadline(lost, MOLT_DEADLINE_START, 10), 0);
	assert_error(lost, molt_start(lost), -ETIMEDOUT, "there is no such socket file");
	molt_free(lost);
	assert_true(molt_spawn(p.old, argv, NULL) > 0);
	assert_int_equal(access(f->path, F_OK), 0);
	assert_next(&p, p.old, MOLT_SPAWN_FAILED, MOLT_REASON_NONE);
	warm_up(&p);
	hand_over(&p);
	molt_free(p.new);
}

/* Its host has never said how many connections it has, and could have none. */
static void
a_first_that_stops_before_it_serves_leaves_at_once(void **state)
{
	struct molt *m = handle_of(state);

	assert_int_equal(molt_start(m), 0);
	assert_true(molt_listen(m, "web", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(molt_drain(m), 0);
	assert_event(m, MOLT_RETIRE, MOLT_REASON_RENOUNCED);
	assert_event(m, MOLT_LEAVE, MOLT_REASON_DONE);
}

/* Another starts as the first while connections are left here: what was ours may be its own. */
static void
who_has_stopped_and_is_followed_is_retired(void **state)
{
	struct fixture *f = *state;
	struct molt *old = f->m;
	struct molt *next = molt_new(f->path);

	assert_int_equal(molt_set_remaining(old, 1), 0);
	handle_serve(old);
	assert_true(molt_listen(old, "web", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(molt_drain(old), 0);
	assert_event(old, MOLT_RETIRE, MOLT_REASON_RENOUNCED);
	assert_int_equal(molt_wait(old, 0), 0);
	assert_int_equal(molt_retired(old), 0);
	handle_serve(next);
	assert_int_equal(molt_retired(old), 1);
	assert_int_equal(molt_set_remaining(old, 0), 0);
	assert_event(old, MOLT_LEAVE, MOLT_REASON_DONE);
	assert_int_equal(molt_retired(old), 1);
	molt_free(next);
}

/* Both sides of the largest inventory are in this process. */
static int
make_room(void **state)
{
	struct rlimit limit;

	(void)state;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	return setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HANDLE_TEST(an_offer_that_shrinks_under_way_is_whole),
		HANDLE_TEST(a_predecessors_deadlines_end_with_its_handoff),
		HANDLE_TEST(a_socket_file_made_anew_is_handed_on),
		HANDLE_TEST(a_socket_file_that_is_gone_is_made_anew_to_spawn),
		HANDLE_TEST(a_first_that_stops_before_it_serves_leaves_at_once),
		HANDLE_TEST(who_has_stopped_and_is_followed_is_retired),
	};

	return cmocka_run_group_tests(tests, make_room, NULL);
}
