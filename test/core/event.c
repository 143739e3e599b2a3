/* SPDX-License-Identifier: MIT */
/* The queue of events: what is told, in which order, and what it means that one was acted on. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine.h"
#include "fds.h"
#include "tmpdir.h"

/*
 * A handle as it is in the middle of its life, without the engine's descriptors but for the wake.
 */
struct fixture {
	struct fds *fds;
	char *directory;
	struct molt *m;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char *path;

	f->fds = fds_snapshot();
	f->directory = tmpdir_make();
	path = tmpdir_join(f->directory, "sock");
	f->m = molt_new(path);
	free(path);
	assert_non_null(f->m);
	f->m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->m->handoff.me = 7;
	f->m->handoff.generation = 3;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	molt_free(f->m);
	assert_int_equal(fds_changed(f->fds), 0);
	fds_free(f->fds);
	assert_int_equal(tmpdir_remove(f->directory), 0);
	free(f);
	return 0;
}

static struct molt *
handle(void **state)
{
	return ((struct fixture *)*state)->m;
}

static void
in_state(struct molt *m, enum handoff_state s)
{
	m->handoff.state = (uint8_t)s;
}

static void
tell(struct molt *m, enum handoff_event event, enum handoff_reason reason)
{
	struct handoff_action a = { .type = HANDOFF_TELL, .event = event, .reason = reason };

	molt__event_tell(m, &a);
}

static void
assert_next(struct molt *m, int type, int reason)
{
	struct molt_event *e = molt__event_next(m);

	assert_non_null(e);
	assert_string_equal(molt_event_type_name(molt_event_type(e)), molt_event_type_name(type));
	assert_string_equal(molt_reason_name(molt_event_reason(e)), molt_reason_name(reason));
	assert_string_not_equal(molt_event_text(e), "");
}

static void
assert_no_more(struct molt *m)
{
	assert_null(molt__event_next(m));
	assert_int_equal(molt__event_count(m), 0);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* A listening socket in the inventory, the library's or lent by the host. */
static int
add_listener(struct molt *m, const char *name, bool lent)
{
	struct entry e;
	char why[ADDRESS_WHY_MAX + 1];
	int fd = molt__sys_open_socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(listen(fd, 5), 0);
	molt__entry_init(&e);
	assert_int_equal(molt__address_of_descriptor(fd, &e, why), 0);
	assert_int_equal(molt__entry_set_name(&e, name), 0);
	assert_true((lent ? molt__inventory_lend : molt__inventory_hold)(&m->inventory, &e) >= 0);
	return fd;
}

/* As if all had been offered, and the successor had claimed the first. */
static void
send_all_claim_first(struct molt *m)
{
	uint32_t first = 1;
	int slot;

	molt__inventory_begin_handoff(&m->inventory);
	while ((slot = molt__inventory_next_to_send(&m->inventory)) != INVENTORY_NONE)
		molt__inventory_mark_sent(&m->inventory, slot);
	assert_int_equal(molt__inventory_mark_claimed(&m->inventory, &first, 1), 0);
}

static bool
is_awake(struct molt *m)
{
	struct pollfd p = { .fd = m->wake, .events = POLLIN };
	eventfd_t count;

	if (poll(&p, 1, 0) != 1)
		return false;
	eventfd_read(m->wake, &count);
	return true;
}

/* --- the queue ------------------------------------------------------------------------------ */

static void
test_events_come_in_order(void **state)
{
	struct molt *m = handle(state);

	assert_no_more(m);
	molt__event_queue(m, MOLT_STARTED, MOLT_REASON_FIRST, "number %d", 1);
	molt__event_queue(m, MOLT_SERVE, MOLT_REASON_FIRST, "number %d", 2);
	assert_int_equal(molt__event_count(m), 2);
	assert_true(molt__event_waits(m, MOLT_SERVE));
	assert_false(molt__event_waits(m, MOLT_LOAD));
	assert_next(m, MOLT_STARTED, MOLT_REASON_FIRST);
	assert_string_equal(m->current.text, "number 1");
	assert_int_equal(molt__event_count(m), 1);
	assert_next(m, MOLT_SERVE, MOLT_REASON_FIRST);
	assert_no_more(m);
}

/* Until the last one has been acted on, polling goes on telling. */
static void
test_waiting_events_wake(void **state)
{
	struct molt *m = handle(state);

	assert_false(is_awake(m));
	molt__event_queue(m, MOLT_LEAVE, MOLT_REASON_DONE, "go");
	assert_true(is_awake(m));
	assert_next(m, MOLT_LEAVE, MOLT_REASON_DONE);
	assert_true(is_awake(m));
	assert_no_more(m);
	assert_false(is_awake(m));
}

static void
test_newer_of_a_kind_replaces(void **state)
{
	struct molt *m = handle(state);
	struct molt_event *e = molt__event_queue(m, MOLT_SPAWN_FAILED, 0, "the first");

	molt__event_add_entry(m, e, "freed", 0);
	molt__event_queue(m, MOLT_DRAIN, 0, "between");
	molt__event_queue(m, MOLT_SPAWN_FAILED, 0, "the second");
	assert_int_equal(molt__event_count(m), 2);
	assert_next(m, MOLT_DRAIN, 0);
	assert_next(m, MOLT_SPAWN_FAILED, 0);
	assert_string_equal(m->current.text, "the second");
	assert_int_equal(molt_event_entry_count(&m->current), 0);
	assert_no_more(m);
}

/* Each kind has a place, and room is left. */
static void
test_all_kinds_fit(void **state)
{
	struct molt *m = handle(state);

	add_listener(m, "http", false);
	for (int round = 0; round < 3; round++) {
		for (int type = MOLT_STARTED; type <= MOLT_LEAVE; type++)
			molt__event_queue(m, type, MOLT_REASON_UNCLAIMED, "all");
		molt__event_retire(m, HANDOFF_REASON_RENOUNCED);
		molt__event_retire(m, HANDOFF_REASON_LEAVING);
	}
	assert_int_equal(m->event_count, 12);
	assert_in_range(m->event_count, 1, ENGINE_EVENTS_MAX);
	assert_int_equal(molt__event_count(m), 12);
}

static void
test_take_leaves_the_others(void **state)
{
	struct molt *m = handle(state);
	struct molt_event e = { 0 };

	molt__event_queue(m, MOLT_STARTED, 0, "started");
	molt__event_queue(m, MOLT_SPAWN_FAILED, 0, "spawned");
	assert_false(molt__event_take(m, MOLT_FAILED, &e));
	assert_int_equal(e.type, 0);
	assert_true(molt__event_take(m, MOLT_STARTED, &e));
	assert_string_equal(e.text, "started");
	assert_int_equal(molt__event_count(m), 1);
	assert_next(m, MOLT_SPAWN_FAILED, 0);
	assert_no_more(m);
}

static void
test_accessors(void **state)
{
	struct molt *m = handle(state);
	struct molt_event *e = molt__event_queue(m, MOLT_SERVE, MOLT_REASON_FIRST, "text");

	molt__event_add_entry(m, e, "one", -EADDRINUSE);
	molt__event_add_entry(m, e, "two", -EACCES);
	e = molt__event_next(m);
	assert_int_equal(molt_event_type(e), MOLT_SERVE);
	assert_int_equal(molt_event_reason(e), MOLT_REASON_FIRST);
	assert_int_equal(molt_event_error(e), 0);
	assert_int_equal(molt_event_fd(e), -1);
	assert_int_equal(molt_event_entry_count(e), 2);
	assert_string_equal(molt_event_entry_name(e, 1), "two");
	assert_int_equal(molt_event_entry_error(e, 0), -EADDRINUSE);
	assert_int_equal(molt_event_entry_error(e, 2), -EINVAL);
	assert_null(molt_event_entry_name(e, -1));
	assert_null(molt_event_entry_name(e, 2));
	assert_string_equal(molt_event_text(NULL), "");
	assert_int_equal(molt_event_type(NULL), -EINVAL);
}

static void
test_names(void **state)
{
	(void)state;
	for (int type = MOLT_STARTED; type <= MOLT_LEAVE; type++)
		assert_string_not_equal(molt_event_type_name(type), "?");
	for (int reason = MOLT_REASON_NONE; reason <= MOLT_REASON_SYSTEM; reason++)
		assert_string_not_equal(molt_reason_name(reason), "?");
	assert_string_equal(molt_event_type_name(MOLT_SERVE), "SERVE");
	assert_string_equal(molt_reason_name(MOLT_REASON_COMMITTED), "committed");
	assert_string_equal(molt_event_type_name(0), "?");
	assert_string_equal(molt_event_type_name(-1), "?");
	assert_string_equal(molt_event_type_name(MOLT_LEAVE + 1), "?");
	assert_string_equal(molt_reason_name(MOLT_REASON_SYSTEM + 1), "?");
}

/* What was never taken is freed with the handle; a leak checker sees to it. */
static void
test_freed_with_the_handle(void **state)
{
	struct molt *m = handle(state);

	molt__event_add_entry(m, molt__event_queue(m, MOLT_SERVE, 0, "in hand"), "a", 0);
	assert_next(m, MOLT_SERVE, 0);
	molt__event_add_entry(m, molt__event_queue(m, MOLT_RESUME, 0, "waiting"), "b", 0);
}

/* --- PAUSE and LOAD ------------------------------------------------------------------------- */

static void
test_commit_follows_pause_acted_on(void **state)
{
	struct molt *m = handle(state);

	in_state(m, HANDOFF_PAUSED);
	tell(m, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	molt__event_settle(m);
	assert_false(m->down.committing);
	assert_next(m, MOLT_PAUSE, 0);
	assert_false(m->down.committing);
	molt__event_settle(m);
	assert_true(m->down.committing);
	m->down.committing = false;
	molt__event_settle(m);
	assert_false(m->down.committing);
}

static void
test_held_commit_waits(void **state)
{
	struct molt *m = handle(state);

	assert_int_equal(molt_hold_commit(m), 0);
	in_state(m, HANDOFF_PAUSED);
	tell(m, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	assert_int_equal(molt_commit(m), -EPROTO);
	assert_int_equal(molt_hold_commit(m), 0);
	assert_next(m, MOLT_PAUSE, 0);
	assert_int_equal(molt_hold_commit(m), -EBUSY);
	molt__event_settle(m);
	assert_false(m->down.committing);
	assert_int_equal(molt_commit(m), 0);
	assert_true(m->requests.commit);
	assert_int_equal(molt_commit(m), -EPROTO);
}

/* The host may be quick, and say it while the event is still in its hand. */
static void
test_held_commit_said_at_once(void **state)
{
	struct molt *m = handle(state);

	assert_int_equal(molt_hold_commit(m), 0);
	in_state(m, HANDOFF_PAUSED);
	tell(m, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	assert_next(m, MOLT_PAUSE, 0);
	assert_int_equal(molt_commit(m), 0);
	molt__event_settle(m);
	assert_true(m->requests.commit);
	assert_false(m->down.committing);
}

static void
test_resume_ends_a_held_commit(void **state)
{
	struct molt *m = handle(state);

	assert_int_equal(molt_hold_commit(m), 0);
	in_state(m, HANDOFF_PAUSED);
	tell(m, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	assert_next(m, MOLT_PAUSE, 0);
	assert_int_equal(molt_commit(m), 0);
	in_state(m, HANDOFF_SERVING);
	tell(m, HANDOFF_EVENT_RESUME, HANDOFF_REASON_UNTOUCHED);
	assert_false(m->requests.commit);
	assert_int_equal(molt_commit(m), -EPROTO);
}

static void
test_unread_pause_and_resume_vanish(void **state)
{
	struct molt *m = handle(state);

	molt__event_queue(m, MOLT_SPAWN_FAILED, 0, "stays");
	in_state(m, HANDOFF_PAUSED);
	tell(m, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	in_state(m, HANDOFF_SERVING);
	tell(m, HANDOFF_EVENT_RESUME, HANDOFF_REASON_UNTOUCHED);
	assert_int_equal(molt__event_count(m), 1);
	assert_next(m, MOLT_SPAWN_FAILED, 0);
	assert_no_more(m);
}

static void
test_read_pause_is_resumed(void **state)
{
	struct molt *m = handle(state);

	in_state(m, HANDOFF_PAUSED);
	tell(m, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	assert_next(m, MOLT_PAUSE, 0);
	in_state(m, HANDOFF_SERVING);
	tell(m, HANDOFF_EVENT_RESUME, HANDOFF_REASON_UNTOUCHED);
	assert_next(m, MOLT_RESUME, MOLT_REASON_UNTOUCHED);
	assert_no_more(m);
}

/* The first PAUSE, acted on late, must not commit the second handoff: RESUME is yet to be read. */
static void
test_overtaken_pause_commits_nothing(void **state)
{
	struct molt *m = handle(state);

	in_state(m, HANDOFF_PAUSED);
	tell(m, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	assert_next(m, MOLT_PAUSE, 0);
	tell(m, HANDOFF_EVENT_RESUME, HANDOFF_REASON_UNTOUCHED);
	tell(m, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	assert_next(m, MOLT_RESUME, MOLT_REASON_UNTOUCHED);
	assert_false(m->down.committing);
	assert_next(m, MOLT_PAUSE, 0);
	assert_false(m->down.committing);
	molt__event_settle(m);
	assert_true(m->down.committing);
}

static void
test_claim_follows_load_acted_on(void **state)
{
	struct molt *m = handle(state);

	in_state(m, HANDOFF_LOAD);
	tell(m, HANDOFF_EVENT_LOAD, HANDOFF_REASON_NONE);
	molt__event_settle(m);
	assert_next(m, MOLT_LOAD, 0);
	assert_int_equal(m->handoff.state, HANDOFF_LOAD);
	molt__event_settle(m);
	assert_int_equal(m->handoff.state, HANDOFF_CLAIM);
}

static void
test_held_load_waits(void **state)
{
	struct molt *m = handle(state);

	assert_int_equal(molt_hold_load(m), 0);
	in_state(m, HANDOFF_LOAD);
	tell(m, HANDOFF_EVENT_LOAD, HANDOFF_REASON_NONE);
	assert_int_equal(molt_loaded(m), -EPROTO);
	assert_next(m, MOLT_LOAD, 0);
	assert_int_equal(molt_hold_load(m), -EBUSY);
	molt__event_settle(m);
	assert_int_equal(m->handoff.state, HANDOFF_LOAD);
	assert_int_equal(molt_loaded(m), 0);
	assert_int_equal(m->handoff.state, HANDOFF_CLAIM);
	assert_int_equal(molt_loaded(m), -EPROTO);
}

static void
test_drain_acted_on(void **state)
{
	struct molt *m = handle(state);

	in_state(m, HANDOFF_DRAIN);
	tell(m, HANDOFF_EVENT_DRAIN, HANDOFF_REASON_NONE);
	assert_next(m, MOLT_DRAIN, 0);
	assert_false(m->handoff.told);
	molt__event_settle(m);
	assert_true(m->handoff.told);
}

/* Feeding in settling queues LEAVE, and that is there at once. */
static void
test_settling_may_queue(void **state)
{
	struct molt *m = handle(state);

	in_state(m, HANDOFF_DRAIN);
	m->handoff.idle = true;
	m->handoff.probation_over = true;
	tell(m, HANDOFF_EVENT_DRAIN, HANDOFF_REASON_NONE);
	assert_next(m, MOLT_DRAIN, 0);
	assert_next(m, MOLT_LEAVE, MOLT_REASON_DONE);
	assert_int_equal(m->handoff.state, HANDOFF_LEFT);
	assert_no_more(m);
}

/* --- RETIRE --------------------------------------------------------------------------------- */

static void
test_retire_tells_of_each(void **state)
{
	struct molt *m = handle(state);
	int claimed = add_listener(m, "claimed", false);
	int held = add_listener(m, "held", false);
	int lent = add_listener(m, "lent", true);

	send_all_claim_first(m);
	in_state(m, HANDOFF_DRAIN);
	molt__event_retire(m, HANDOFF_REASON_UNCLAIMED);
	tell(m, HANDOFF_EVENT_DRAIN, HANDOFF_REASON_NONE);
	assert_int_equal(molt__event_count(m), 2);

	assert_next(m, MOLT_RETIRE, MOLT_REASON_UNCLAIMED);
	assert_non_null(strstr(m->current.text, "did not claim"));
	assert_int_equal(molt_event_fd(&m->current), held);
	assert_string_equal(molt_event_entry_name(&m->current, 0), "held");
	assert_non_null(strstr(m->current.text, "held"));
	assert_true(is_open(held));

	assert_next(m, MOLT_RETIRE, MOLT_REASON_UNCLAIMED);
	assert_false(is_open(held));
	assert_int_equal(molt_event_fd(&m->current), lent);

	assert_next(m, MOLT_DRAIN, 0);
	assert_true(is_open(lent));
	assert_true(is_open(claimed));
	assert_no_more(m);
	close(lent);
}

static void
test_retire_of_nothing_is_no_event(void **state)
{
	struct molt *m = handle(state);

	molt__event_retire(m, HANDOFF_REASON_UNCLAIMED);
	assert_int_equal(molt__event_count(m), 0);
	tell(m, HANDOFF_EVENT_DRAIN, HANDOFF_REASON_NONE);
	assert_int_equal(molt__event_count(m), 1);
	assert_next(m, MOLT_DRAIN, 0);
	assert_no_more(m);
}

static void
test_renounced_when_all_are_acted_on(void **state)
{
	struct molt *m = handle(state);
	int fd = add_listener(m, "http", false);

	in_state(m, HANDOFF_RENOUNCED);
	molt__event_retire(m, HANDOFF_REASON_RENOUNCED);
	molt__event_settle(m);
	assert_false(m->handoff.told);
	assert_next(m, MOLT_RETIRE, MOLT_REASON_RENOUNCED);
	assert_non_null(strstr(m->current.text, "for good"));
	assert_false(m->handoff.told);
	molt__event_settle(m);
	assert_true(m->handoff.told);
	assert_false(is_open(fd));
	assert_no_more(m);
}

/* A host that takes no event because there is none goes on as well. */
static void
test_renounced_without_listeners(void **state)
{
	struct molt *m = handle(state);

	in_state(m, HANDOFF_RENOUNCED);
	molt__event_retire(m, HANDOFF_REASON_RENOUNCED);
	assert_false(m->handoff.told);
	assert_true(is_awake(m));
	molt__event_settle(m);
	assert_true(m->handoff.told);
	assert_no_more(m);
}

/* The end of an earlier RETIRE is not the end of the renunciation, which closes LIFE. */
static void
test_renounced_after_unclaimed(void **state)
{
	struct molt *m = handle(state);

	add_listener(m, "claimed", false);
	send_all_claim_first(m);
	in_state(m, HANDOFF_RENOUNCED);
	molt__event_retire(m, HANDOFF_REASON_UNCLAIMED);
	molt__event_retire(m, HANDOFF_REASON_RENOUNCED);
	molt__event_settle(m);
	assert_false(m->handoff.told);
	assert_next(m, MOLT_RETIRE, MOLT_REASON_RENOUNCED);
	molt__event_settle(m);
	assert_true(m->handoff.told);
}

struct lines {
	int count;
	char last[ENGINE_TEXT_MAX + 1];
};

static void
note_event(void *arg, int severity, const char *key, const char *line)
{
	struct lines *lines = arg;

	(void)severity;
	if (strcmp(key, "event") != 0)
		return;
	lines->count++;
	snprintf(lines->last, sizeof(lines->last), "%s", line);
}

/* One line an event; of RETIRE one a listener, and none if there is none. */
static void
test_events_are_logged(void **state)
{
	struct molt *m = handle(state);
	struct lines lines = { 0 };

	assert_int_equal(molt_set_log(m, note_event, &lines), 0);
	molt__event_retire(m, HANDOFF_REASON_LEAVING);
	assert_no_more(m);
	assert_int_equal(lines.count, 0);
	add_listener(m, "a", false);
	molt__event_retire(m, HANDOFF_REASON_LEAVING);
	assert_int_equal(lines.count, 0);
	assert_next(m, MOLT_RETIRE, MOLT_REASON_LEAVING);
	assert_int_equal(lines.count, 1);
	assert_non_null(strstr(lines.last, "RETIRE, leaving: listener a at tcp://"));
	molt__event_queue(m, MOLT_LEAVE, MOLT_REASON_DONE, "go");
	assert_int_equal(lines.count, 2);
	assert_string_equal(lines.last, "LEAVE, done: go");
	assert_int_equal(molt_set_log(m, NULL, NULL), 0);
}

/* What was unclaimed and not told of is served on when the successor has died. */
static void
test_resume_forgets_unread_retire(void **state)
{
	struct molt *m = handle(state);
	int a = add_listener(m, "a", false);
	int b = add_listener(m, "b", false);

	send_all_claim_first(m);
	in_state(m, HANDOFF_DRAIN);
	molt__event_retire(m, HANDOFF_REASON_UNCLAIMED);
	molt__inventory_end_handoff(&m->inventory);
	in_state(m, HANDOFF_SERVING);
	tell(m, HANDOFF_EVENT_RESUME, HANDOFF_REASON_CHANGED);
	assert_next(m, MOLT_RESUME, MOLT_REASON_CHANGED);
	assert_int_equal(molt_event_entry_count(&m->current), 0);
	assert_no_more(m);
	assert_true(is_open(a));
	assert_true(is_open(b));
}

/* Told of before RESUME, and still in the host's hand when RESUME was queued. */
static void
test_resume_names_what_was_given_up(void **state)
{
	struct molt *m = handle(state);

	add_listener(m, "claimed", false);
	add_listener(m, "first", false);
	add_listener(m, "second", false);
	send_all_claim_first(m);
	in_state(m, HANDOFF_DRAIN);
	molt__event_retire(m, HANDOFF_REASON_UNCLAIMED);
	assert_next(m, MOLT_RETIRE, MOLT_REASON_UNCLAIMED);
	assert_next(m, MOLT_RETIRE, MOLT_REASON_UNCLAIMED);
	molt__inventory_end_handoff(&m->inventory);
	in_state(m, HANDOFF_SERVING);
	tell(m, HANDOFF_EVENT_RESUME, HANDOFF_REASON_CHANGED);
	assert_next(m, MOLT_RESUME, MOLT_REASON_CHANGED);
	assert_int_equal(molt_event_entry_count(&m->current), 2);
	assert_string_equal(molt_event_entry_name(&m->current, 0), "first");
	assert_string_equal(molt_event_entry_name(&m->current, 1), "second");
	assert_no_more(m);
}

/* --- FAILED and other sentences ------------------------------------------------------------- */

static void
test_failed_says_why(void **state)
{
	struct molt *m = handle(state);

	molt__engine_why(m, -ENOSPC, "no room on %s", "the moon");
	m->why_reason = MOLT_REASON_GIVEN_UP;
	tell(m, HANDOFF_EVENT_FAILED, HANDOFF_REASON_DEPOSED);
	assert_next(m, MOLT_FAILED, MOLT_REASON_GIVEN_UP);
	assert_string_equal(m->current.text, "no room on the moon");
	assert_int_equal(molt_event_error(&m->current), -ENOSPC);
	assert_string_equal(m->last_failure, "no room on the moon");
	assert_string_equal(m->why, "");
	assert_int_equal(m->why_error, 0);
	assert_int_equal(m->why_reason, 0);
}

/* Nobody said why: each reason has an error and a sentence of its own. */
static void
test_failed_without_a_why(void **state)
{
	struct molt *m = handle(state);
	static const struct {
		enum handoff_reason reason;
		int error;
		const char *word;
	} cases[] = {
		{ HANDOFF_REASON_REFUSED, -ECONNREFUSED, "refuses" },
		{ HANDOFF_REASON_DENIED, -EACCES, "uid" },
		{ HANDOFF_REASON_TIMEOUT, -ETIMEDOUT, "deadline" },
		{ HANDOFF_REASON_ABORTED, -ECANCELED, "took its offer back" },
		{ HANDOFF_REASON_DEPOSED, -ECANCELED, "heir" },
		{ HANDOFF_REASON_GIVEN_UP, -ECANCELED, "gave up" },
		{ HANDOFF_REASON_PROTOCOL, -EPROTO, "predecessor" },
		{ HANDOFF_REASON_SYSTEM, -EIO, "system call" },
	};

	m->handoff.up = 5;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		tell(m, HANDOFF_EVENT_FAILED, cases[i].reason);
		assert_next(m, MOLT_FAILED, (int)cases[i].reason);
		assert_int_equal(molt_event_error(&m->current), cases[i].error);
		assert_non_null(strstr(m->current.text, cases[i].word));
	}
}

static void
test_start_deadline_names_the_holder(void **state)
{
	struct molt *m = handle(state);

	assert_int_equal(molt_set_deadline(m, MOLT_DEADLINE_START, 1500), 0);
	tell(m, HANDOFF_EVENT_FAILED, HANDOFF_REASON_TIMEOUT);
	assert_next(m, MOLT_FAILED, MOLT_REASON_TIMEOUT);
	assert_non_null(strstr(m->current.text, "sock.lock is held"));
	assert_non_null(strstr(m->current.text, "for 1.5 s"));
	assert_non_null(strstr(m->current.text, "molt_after_fork()"));
	m->handoff.has_life = true;
	tell(m, HANDOFF_EVENT_FAILED, HANDOFF_REASON_TIMEOUT);
	assert_next(m, MOLT_FAILED, MOLT_REASON_TIMEOUT);
	assert_non_null(strstr(m->current.text, "/proc/locks"));
}

static void
test_resume_says_why(void **state)
{
	struct molt *m = handle(state);

	snprintf(m->last_failure, sizeof(m->last_failure), "it was cancelled");
	tell(m, HANDOFF_EVENT_RESUME, HANDOFF_REASON_UNTOUCHED);
	assert_next(m, MOLT_RESUME, MOLT_REASON_UNTOUCHED);
	assert_non_null(strstr(m->current.text, "it was cancelled"));
	m->down.peer.pid = 4242;
	tell(m, HANDOFF_EVENT_RESUME, HANDOFF_REASON_CHANGED);
	assert_next(m, MOLT_RESUME, MOLT_REASON_CHANGED);
	assert_non_null(strstr(m->current.text, "pid 4242"));
	assert_non_null(strstr(m->last_failure, "pid 4242"));
}

static void
test_every_event_has_its_type(void **state)
{
	struct molt *m = handle(state);
	static const struct {
		enum handoff_event event;
		enum handoff_reason reason;
		int type;
		const char *words;
	} cases[] = {
		{ HANDOFF_EVENT_STARTED, HANDOFF_REASON_FIRST, MOLT_STARTED, "the first" },
		{ HANDOFF_EVENT_STARTED, HANDOFF_REASON_NONE, MOLT_STARTED, "pid 51 (up) offered" },
		{ HANDOFF_EVENT_SERVE, HANDOFF_REASON_FIRST, MOLT_SERVE, "generation 3 serves" },
		{ HANDOFF_EVENT_SERVE, HANDOFF_REASON_COMMITTED, MOLT_SERVE, "handed over" },
		{ HANDOFF_EVENT_SERVE, HANDOFF_REASON_PREDECESSOR_DIED, MOLT_SERVE, "died" },
		{ HANDOFF_EVENT_FAILED, HANDOFF_REASON_ABORTED, MOLT_FAILED, "took its offer" },
		{ HANDOFF_EVENT_LOAD, HANDOFF_REASON_NONE, MOLT_LOAD, "with 6 late" },
		{ HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE, MOLT_PAUSE, "pid 52, is ready" },
		{ HANDOFF_EVENT_DRAIN, HANDOFF_REASON_NONE, MOLT_DRAIN, "pid 52, serves" },
		{ HANDOFF_EVENT_RESUME, HANDOFF_REASON_UNTOUCHED, MOLT_RESUME, "serves again" },
		{ HANDOFF_EVENT_LEAVE, HANDOFF_REASON_DONE, MOLT_LEAVE, "nothing is left" },
		{ HANDOFF_EVENT_LEAVE, HANDOFF_REASON_DEADLINE, MOLT_LEAVE, "300 s" },
	};

	m->up.peer = (struct peer){ .pid = 51, .label = "up" };
	m->up.late = 6;
	m->down.peer.pid = 52;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		tell(m, cases[i].event, cases[i].reason);
		assert_next(m, cases[i].type, (int)cases[i].reason);
		if (strstr(m->current.text, cases[i].words) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", m->current.text, cases[i].words);
	}
}

/* SERVE comes with the listeners listening; a fresh one has only been bound. */
static void
test_serve_puts_listeners_into_service(void **state)
{
	struct molt *m = handle(state);
	struct address a;
	struct entry e;
	struct bind_pending pending;
	char why[ADDRESS_WHY_MAX + 1];
	int listening = 0;
	socklen_t length = sizeof(listening);

	assert_int_equal(molt__address_parse("tcp://127.0.0.1:0", &a, why), 0);
	assert_int_equal(molt__bind_fresh(&a, &e, &pending), 0);
	assert_int_equal(molt__entry_set_name(&e, "http"), 0);
	assert_true(molt__inventory_hold(&m->inventory, &e) >= 0);
	tell(m, HANDOFF_EVENT_SERVE, HANDOFF_REASON_FIRST);
	getsockopt(e.fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
	assert_int_equal(listening, 1);
	assert_next(m, MOLT_SERVE, MOLT_REASON_FIRST);
	assert_int_equal(molt_event_entry_count(&m->current), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_events_come_in_order),
		TEST(test_waiting_events_wake),
		TEST(test_newer_of_a_kind_replaces),
		TEST(test_all_kinds_fit),
		TEST(test_take_leaves_the_others),
		TEST(test_accessors),
		TEST(test_names),
		TEST(test_freed_with_the_handle),
		TEST(test_commit_follows_pause_acted_on),
		TEST(test_held_commit_waits),
		TEST(test_held_commit_said_at_once),
		TEST(test_resume_ends_a_held_commit),
		TEST(test_unread_pause_and_resume_vanish),
		TEST(test_read_pause_is_resumed),
		TEST(test_overtaken_pause_commits_nothing),
		TEST(test_claim_follows_load_acted_on),
		TEST(test_held_load_waits),
		TEST(test_drain_acted_on),
		TEST(test_settling_may_queue),
		TEST(test_retire_tells_of_each),
		TEST(test_retire_of_nothing_is_no_event),
		TEST(test_renounced_when_all_are_acted_on),
		TEST(test_renounced_without_listeners),
		TEST(test_renounced_after_unclaimed),
		TEST(test_events_are_logged),
		TEST(test_resume_forgets_unread_retire),
		TEST(test_resume_names_what_was_given_up),
		TEST(test_failed_says_why),
		TEST(test_failed_without_a_why),
		TEST(test_start_deadline_names_the_holder),
		TEST(test_resume_says_why),
		TEST(test_every_event_has_its_type),
		TEST(test_serve_puts_listeners_into_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
