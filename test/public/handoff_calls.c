/* SPDX-License-Identifier: MIT */
/*
 * The calls that take part in a handoff, and what each says when it comes too early or too late:
 * two handles of one process, predecessor and successor, driven in turns.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "handle.h"

/* Predecessor and successor. */
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

/* Nothing comes, although both have done all that was due. */
static void
assert_quiet(const struct pair *p, struct molt *who)
{
	for (int i = 0; i < 10; i++) {
		molt_dispatch(p->old);
		molt_dispatch(p->new);
	}
	assert_int_equal(molt_dispatch(who), 0);
}

/* The fixture's handle serves; another has not been started yet. */
static struct pair
serving(void **state)
{
	struct fixture *f = *state;
	struct pair p = { .old = f->m, .new = molt_new(f->path) };

	handle_serve(p.old);
	assert_non_null(p.new);
	return p;
}

static void
warm_up(const struct pair *p)
{
	assert_int_equal(molt_connect(p->new), 0);
	assert_next(p, p->new, MOLT_STARTED, MOLT_REASON_NONE);
}

static struct pair
warming(void **state)
{
	struct pair p = serving(state);

	warm_up(&p);
	return p;
}

/* The predecessor's host has PAUSE in its hand. */
static struct pair
pausing(void **state)
{
	struct pair p = warming(state);

	assert_int_equal(molt_ready(p.new), 0);
	assert_next(&p, p.old, MOLT_PAUSE, 0);
	return p;
}

/* --- giving up ------------------------------------------------------------------------------ */

static void
test_predecessor_cancels_an_offer(void **state)
{
	struct pair p = warming(state);
	char line[400];

	assert_string_equal(molt_state_name(p.old), "offered");
	assert_error(p.old, molt_set_exclusive(p.old, 1), -EBUSY, "handoff");
	assert_int_equal(molt_retired(p.old), 1);
	assert_int_equal(molt_cancel(p.old), 0);
	assert_next(&p, p.new, MOLT_FAILED, MOLT_REASON_ABORTED);
	assert_quiet(&p, p.old);
	assert_int_equal(molt_is_owner(p.old), 1);
	assert_int_equal(molt_retired(p.old), 0);
	molt_describe(p.old, line, sizeof(line));
	assert_non_null(strstr(line, "molt_cancel()"));
	assert_error(p.old, molt_cancel(p.old), -ENOENT, "serving");
	assert_error(p.new, molt_ready(p.new), -ECANCELED, "molt_cancel()");
	assert_error(p.new, molt_cancel(p.new), -ENOENT, "failed");
	molt_free(p.new);
}

static void
test_predecessor_cancels_after_pause(void **state)
{
	struct pair p = pausing(state);

	assert_int_equal(molt_cancel(p.old), 0);
	assert_next(&p, p.old, MOLT_RESUME, MOLT_REASON_UNTOUCHED);
	assert_next(&p, p.new, MOLT_FAILED, MOLT_REASON_ABORTED);
	molt_free(p.new);
}

static void
test_successor_cancels(void **state)
{
	struct pair p = warming(state);

	assert_int_equal(molt_cancel(p.new), 0);
	assert_next(&p, p.new, MOLT_FAILED, MOLT_REASON_GIVEN_UP);
	assert_error(p.new, molt_listen(p.new, "a", "tcp://127.0.0.1:0"), -ECANCELED, "a");
	while (strcmp(molt_state_name(p.old), "serving") != 0)
		molt_wait(p.old, 100);
	assert_int_equal(molt_retired(p.old), 0);
	molt_free(p.new);
}

/* A start that is stopped fails, and the predecessor goes on. */
static void
test_successor_stops(void **state)
{
	struct pair p = warming(state);

	assert_int_equal(molt_drain(p.new), 0);
	assert_next(&p, p.new, MOLT_FAILED, MOLT_REASON_GIVEN_UP);
	while (strcmp(molt_state_name(p.old), "serving") != 0)
		molt_wait(p.old, 100);
	molt_free(p.new);
}

static void
test_too_late_after_the_commit(void **state)
{
	struct pair p = pausing(state);
	int file = memfd_create("file", MFD_CLOEXEC);

	assert_int_equal(molt_offer(p.old, "file", file), 0);
	/* What PAUSE asked for has been done: this sends the commit. */
	assert_int_equal(molt_dispatch(p.old), 0);
	assert_string_equal(molt_state_name(p.old), "yielded");
	assert_error(p.old, molt_cancel(p.old), -EALREADY, "yielded");
	assert_error(p.old, molt_offer(p.old, "late", 0), -EBUSY, "late");
	assert_error(p.old, molt_withdraw(p.old, "file"), -EBUSY, "file");
	assert_error(p.old, molt_listen(p.old, "late", "tcp://127.0.0.1:0"), -EBUSY, "late");
	assert_int_equal(molt_is_owner(p.old), 0);
	assert_int_equal(molt_retired(p.old), 1);
	assert_next(&p, p.new, MOLT_LOAD, 0);
	assert_next(&p, p.new, MOLT_SERVE, MOLT_REASON_COMMITTED);
	assert_int_equal(molt_generation(p.new), 2);
	assert_int_equal(molt_is_owner(p.new), 1);
	assert_next(&p, p.old, MOLT_DRAIN, 0);
	assert_error(p.old, molt_cancel(p.old), -EALREADY, "draining");
	assert_int_equal(molt_withdraw(p.old, "file"), 0);
	close(file);
	molt_free(p.new);
}

/* --- holding -------------------------------------------------------------------------------- */

static void *
commit(void *arg)
{
	return (void *)(intptr_t)molt_commit(arg);
}

/* Late state, put there after PAUSE, is the successor's at LOAD, which it reads in its own time. */
static void
test_held_commit_and_load(void **state)
{
	struct pair p = serving(state);
	int late = memfd_create("late", MFD_CLOEXEC);
	pthread_t thread;
	void *result;
	int taken;

	assert_int_equal(molt_hold_commit(p.old), 0);
	assert_int_equal(molt_hold_load(p.new), 0);
	warm_up(&p);
	assert_int_equal(molt_ready(p.new), 0);
	assert_int_equal(molt_commit(p.old), -EPROTO);
	assert_next(&p, p.old, MOLT_PAUSE, 0);
	assert_error(p.old, molt_hold_commit(p.old), -EBUSY, "PAUSE is out");
	assert_int_equal(molt_offer(p.old, "state", late), 0);
	assert_quiet(&p, p.old);
	assert_string_equal(molt_state_name(p.old), "paused");
	assert_int_equal(pthread_create(&thread, NULL, commit, p.old), 0);
	pthread_join(thread, &result);
	assert_null(result);
	assert_int_equal(molt_commit(p.old), -EPROTO);

	assert_next(&p, p.new, MOLT_LOAD, 0);
	assert_error(p.new, molt_hold_load(p.new), -EBUSY, "LOAD is out");
	assert_int_equal(molt_inherited_count(p.new), 1);
	assert_string_equal(molt_inherited_name(p.new, 0), "state");
	assert_null(molt_inherited_name(p.new, -1));
	assert_null(molt_inherited_name(p.new, 1));
	taken = molt_take(p.new, "state");
	assert_true(taken >= 0);
	assert_quiet(&p, p.new);
	assert_string_equal(molt_state_name(p.new), "loading");
	assert_int_equal(molt_loaded(p.new), 0);
	assert_next(&p, p.new, MOLT_SERVE, MOLT_REASON_COMMITTED);
	assert_error(p.new, molt_loaded(p.new), -EPROTO, "serving");
	close(taken);
	close(late);
	molt_free(p.new);
}

static void
test_loaded_without_a_hold(void **state)
{
	struct pair p = pausing(state);

	assert_next(&p, p.new, MOLT_LOAD, 0);
	assert_error(p.new, molt_loaded(p.new), -EPROTO, "loading");
	assert_next(&p, p.new, MOLT_SERVE, MOLT_REASON_COMMITTED);
	molt_free(p.new);
}

/* --- stopping ------------------------------------------------------------------------------- */

static void
test_stop_hands_over_first(void **state)
{
	struct pair p = warming(state);

	assert_int_equal(molt_set_deadline(p.old, MOLT_DEADLINE_PROBATION, 60000), 0);
	assert_int_equal(molt_set_remaining(p.old, 0), 0);
	assert_int_equal(molt_drain(p.old), 0);
	assert_int_equal(molt_is_owner(p.old), 1);
	assert_int_equal(molt_ready(p.new), 0);
	assert_next(&p, p.old, MOLT_PAUSE, 0);
	assert_next(&p, p.new, MOLT_LOAD, 0);
	assert_next(&p, p.new, MOLT_SERVE, MOLT_REASON_COMMITTED);
	assert_next(&p, p.old, MOLT_DRAIN, 0);
	assert_error(p.old, molt_drain(p.old), -EALREADY, "draining");
	assert_next(&p, p.old, MOLT_LEAVE, MOLT_REASON_DONE);
	assert_int_equal(molt_retired(p.old), 1);
	molt_free(p.new);
}

static void
test_second_stop_gives_up_the_handoff(void **state)
{
	struct fixture *f = *state;
	struct pair p = warming(state);

	assert_int_equal(molt_set_remaining(p.old, 0), 0);
	assert_int_equal(molt_drain(p.old), 0);
	assert_int_equal(molt_drain(p.old), 0);
	assert_next(&p, p.new, MOLT_FAILED, MOLT_REASON_ABORTED);
	assert_error(p.new, molt_ready(p.new), -ECANCELED, "molt_drain()");
	assert_next(&p, p.old, MOLT_LEAVE, MOLT_REASON_DONE);
	assert_int_equal(access(f->path, F_OK), -1);
	molt_free(p.new);
}

/* --- what setters do ------------------------------------------------------------------------ */

static void
test_exclusive_gives_up_at_once(void **state)
{
	struct pair p = serving(state);

	assert_int_equal(molt_set_exclusive(p.old, 1), 0);
	assert_true(molt_listen(p.old, "a", "tcp://127.0.0.1:0") >= 0);
	assert_true(molt_listen(p.old, "unwanted", "tcp://127.0.0.1:0") >= 0);
	warm_up(&p);
	assert_true(molt_listen(p.new, "a", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(molt_ready(p.new), 0);
	assert_next(&p, p.old, MOLT_PAUSE, 0);
	assert_next(&p, p.new, MOLT_LOAD, 0);
	assert_next(&p, p.new, MOLT_SERVE, MOLT_REASON_COMMITTED);
	assert_next(&p, p.old, MOLT_DRAIN, 0);
	/* What waits in a queue that the successor has is the successor's. */
	assert_next(&p, p.old, MOLT_RETIRE, MOLT_REASON_LEAVING);
	assert_next(&p, p.old, MOLT_RETIRE, MOLT_REASON_UNCLAIMED);
	assert_int_equal(molt_retired(p.old), 1);
	molt_free(p.new);
}

/* A start that the predecessor refuses, with these words. */
static void
assert_refused(const struct pair *p, const char *words)
{
	struct molt_event *e;

	assert_int_equal(molt_connect(p->new), 0);
	e = next_of(p, p->new);
	assert_int_equal(molt_event_type(e), MOLT_FAILED);
	assert_int_equal(molt_event_reason(e), MOLT_REASON_REFUSED);
	assert_int_equal(molt_event_error(e), -ECONNREFUSED);
	if (strstr(molt_event_text(e), words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", molt_event_text(e), words);
	assert_int_equal(molt_is_owner(p->old), 1);
	molt_free(p->new);
}

static void
test_lower_compatibility_is_refused(void **state)
{
	struct fixture *f = *state;
	struct pair p = { .old = f->m, .new = molt_new(f->path) };

	assert_int_equal(molt_set_compatibility(p.old, 5), 0);
	handle_serve(p.old);
	assert_int_equal(molt_set_compatibility(p.new, 4), 0);
	assert_refused(&p, "4");

	p.new = molt_new(f->path);
	assert_int_equal(molt_allow_downgrade(p.new), 0);
	warm_up(&p);
	molt_free(p.new);
}

static void
test_no_room_is_refused(void **state)
{
	struct pair p = serving(state);

	assert_int_equal(molt_set_room(p.new, 1), 0);
	assert_refused(&p, "1");
}

static void
test_second_successor_is_refused(void **state)
{
	struct fixture *f = *state;
	struct pair p = warming(state);
	struct pair other = { .old = p.old, .new = molt_new(f->path) };

	assert_refused(&other, "handoff");
	assert_quiet(&p, p.new);
	assert_string_equal(molt_state_name(p.new), "warming");
	molt_free(p.new);
}

static void
test_owner_of_the_files(void **state)
{
	struct fixture *f = *state;
	char *lock = malloc(strlen(f->path) + sizeof(".lock"));
	struct stat st;

	strcat(strcpy(lock, f->path), ".lock");
	assert_int_equal(molt_set_owner(f->m, (uid_t)-1, getgid(), 0620), 0);
	handle_serve(f->m);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0620);
	assert_int_equal(stat(lock, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	free(lock);
}

static void
test_ready_deadline(void **state)
{
	struct pair p = serving(state);
	struct molt_event *e;

	assert_int_equal(molt_set_deadline(p.old, MOLT_DEADLINE_READY, 50), 0);
	warm_up(&p);
	/* A stop that hands over first is not why this fails. */
	assert_int_equal(molt_drain(p.old), 0);
	e = next_of(&p, p.new);
	assert_int_equal(molt_event_type(e), MOLT_FAILED);
	assert_int_equal(molt_event_reason(e), MOLT_REASON_ABORTED);
	assert_non_null(strstr(molt_event_text(e), "50 ms"));
	assert_string_equal(molt_state_name(p.old), "renounced");
	molt_free(p.new);
}

/* Says that it is still working, for so long or until it has failed. Returns for how long. */
static int64_t
progress_for(const struct pair *p, int milliseconds)
{
	struct pollfd fd = { .fd = molt_fd(p->old), .events = POLLIN };
	int64_t begin = now();

	while (now() < begin + milliseconds && strcmp(molt_state_name(p->new), "failed") != 0) {
		assert_int_equal(molt_progress(p->new), 0);
		molt_dispatch(p->new);
		poll(&fd, 1, 5);
		molt_dispatch(p->old);
	}
	return now() - begin;
}

static void
test_progress_extends_a_deadline(void **state)
{
	struct pair p = serving(state);

	assert_int_equal(molt_set_deadline(p.old, MOLT_DEADLINE_READY, 1000), 0);
	warm_up(&p);
	progress_for(&p, 1500);
	assert_string_equal(molt_state_name(p.new), "warming");
	molt_free(p.new);
}

static void
test_progress_has_an_end(void **state)
{
	struct pair p = serving(state);

	assert_int_equal(molt_set_deadline(p.old, MOLT_DEADLINE_READY, 50), 0);
	warm_up(&p);
	assert_in_range(progress_for(&p, 10000), 400, 9000);
	assert_next(&p, p.new, MOLT_FAILED, MOLT_REASON_ABORTED);
	molt_free(p.new);
}

/* --- a successor that is started from here -------------------------------------------------- */

static void
assert_spawn_failed(struct molt *m, const char *words)
{
	struct molt_event *e;

	assert_int_equal(molt_wait(m, 10000), 1);
	e = molt_next_event(m);
	assert_int_equal(molt_event_type(e), MOLT_SPAWN_FAILED);
	assert_int_equal(molt_event_error(e), 0);
	if (strstr(molt_event_text(e), words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", molt_event_text(e), words);
}

static void
test_spawned_one_ends_early(void **state)
{
	struct molt *m = handle_of(state);
	char *exits[] = { "sh", "-c", "exit 3", NULL };
	char *sleeps[] = { "sleep", "30", NULL };
	pid_t pid;

	handle_serve(m);
	assert_true(molt_spawn(m, exits, NULL) > 0);
	assert_spawn_failed(m, "status 3");
	pid = molt_spawn(m, sleeps, NULL);
	assert_true(pid > 0);
	assert_error(m, molt_spawn(m, sleeps, NULL), -EBUSY, "serve yet");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_spawn_failed(m, "signal 9");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HANDLE_TEST(test_predecessor_cancels_an_offer),
		HANDLE_TEST(test_predecessor_cancels_after_pause),
		HANDLE_TEST(test_successor_cancels),
		HANDLE_TEST(test_successor_stops),
		HANDLE_TEST(test_too_late_after_the_commit),
		HANDLE_TEST(test_held_commit_and_load),
		HANDLE_TEST(test_loaded_without_a_hold),
		HANDLE_TEST(test_stop_hands_over_first),
		HANDLE_TEST(test_second_stop_gives_up_the_handoff),
		HANDLE_TEST(test_exclusive_gives_up_at_once),
		HANDLE_TEST(test_lower_compatibility_is_refused),
		HANDLE_TEST(test_no_room_is_refused),
		HANDLE_TEST(test_second_successor_is_refused),
		HANDLE_TEST(test_owner_of_the_files),
		HANDLE_TEST(test_ready_deadline),
		HANDLE_TEST(test_progress_extends_a_deadline),
		HANDLE_TEST(test_progress_has_an_end),
		HANDLE_TEST(test_spawned_one_ends_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
