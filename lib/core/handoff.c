/* SPDX-License-Identifier: MIT */
/*
 * The state machine of a handoff. Who may do what is decided by the owner lock and the record read
 * under it; packets are only hints that spare a wait. One function a state, in the order of a
 * process's life.
 */
#include "handoff.h"

#include <string.h>

/* What a write of the record is for; its answer is understood by this. */
enum writing {
	WRITING_NOTHING,
	WRITING_FIRST,
	WRITING_CLAIM,
	WRITING_HEIR,
	WRITING_ABORT,
	WRITING_UNTOUCHED,
	WRITING_CHANGED,
	WRITING_STOP
};

struct step {
	struct handoff *h;
	const struct handoff_input *in;
	struct handoff_action *actions;
	size_t count;
};

static struct handoff_action *
add(struct step *s, enum handoff_action_type type)
{
	struct handoff_action *a = &s->actions[s->count++];

	memset(a, 0, sizeof(*a));
	a->type = type;
	return a;
}

static void
add_reason(struct step *s, enum handoff_action_type type, enum handoff_reason reason)
{
	add(s, type)->reason = reason;
}

static void
arm(struct step *s, enum handoff_deadline deadline)
{
	add(s, HANDOFF_ARM)->deadline = deadline;
}

static void
tell(struct step *s, enum handoff_event event, enum handoff_reason reason)
{
	struct handoff_action *a = add(s, HANDOFF_TELL);

	a->event = event;
	a->reason = reason;
}

static void
write_record(struct step *s, enum writing purpose, uint64_t owner, uint64_t heir)
{
	struct handoff_action *a = add(s, HANDOFF_WRITE_RECORD);

	a->record.owner = owner;
	a->record.heir = heir;
	a->record.generation = s->h->highest;
	s->h->writing = (uint8_t)purpose;
}

static enum writing
end_of_write(struct handoff *h)
{
	enum writing purpose = (enum writing)h->writing;

	h->writing = WRITING_NOTHING;
	return purpose;
}

/* --- successor -------------------------------------------------------------------------------- */

/* Everything is closed before the host hears of it, so that it can try again at once. */
static void
fail(struct step *s, enum handoff_reason reason)
{
	s->h->state = HANDOFF_FAILED;
	add(s, HANDOFF_DISARM);
	add(s, HANDOFF_CLOSE_ALL);
	tell(s, HANDOFF_EVENT_FAILED, reason);
}

static void
fail_unlocking(struct step *s, enum handoff_reason reason)
{
	add(s, HANDOFF_UNLOCK_OWNER);
	fail(s, reason);
}

/* The host gives up, or stops, before this process owns anything. Says whether it did. */
static bool
given_up(struct step *s)
{
	if (s->in->type != HANDOFF_HOST_CANCEL && s->in->type != HANDOFF_HOST_STOP)
		return false;
	fail(s, HANDOFF_REASON_GIVEN_UP);
	return true;
}

static void
serve(struct step *s, enum handoff_event event, enum handoff_reason reason)
{
	s->h->state = HANDOFF_SERVING;
	add(s, HANDOFF_DISARM);
	add(s, HANDOFF_LISTEN);
	tell(s, event, reason);
}

static void
in_new(struct step *s)
{
	if (s->in->type != HANDOFF_HOST_START)
		return;
	s->h->state = HANDOFF_START;
	arm(s, HANDOFF_DEADLINE_START);
	add(s, HANDOFF_TAKE_LIFE);
}

static void
first_write_ended(struct step *s)
{
	end_of_write(s->h);
	if (s->in->type == HANDOFF_WRITTEN)
		add(s, HANDOFF_BIND);
	else
		fail_unlocking(s, HANDOFF_REASON_SYSTEM);
}

/* LIFE was free: nobody older serves or can come to serve, and the old record binds nobody. */
static void
start_as_first(struct step *s)
{
	struct handoff *h = s->h;

	switch (s->in->type) {
	case HANDOFF_LIFE_TAKEN:
		h->has_life = true;
		add(s, HANDOFF_LOCK_OWNER);
		break;
	case HANDOFF_LOCKED:
		h->generation = h->highest = 1;
		write_record(s, WRITING_FIRST, h->me, 0);
		break;
	case HANDOFF_WRITTEN:
	case HANDOFF_WRITE_FAILED:
		first_write_ended(s);
		break;
	case HANDOFF_BOUND:
		h->state = HANDOFF_FIRST;
		add(s, HANDOFF_DISARM);
		tell(s, HANDOFF_EVENT_STARTED, HANDOFF_REASON_FIRST);
		break;
	case HANDOFF_BIND_FAILED:
		fail_unlocking(s, s->in->reason);
		break;
	default:
		break;
	}
}

static void
in_start(struct step *s)
{
	if (given_up(s))
		return;
	switch (s->in->type) {
	case HANDOFF_LIFE_HELD:
		add(s, HANDOFF_CONNECT);
		break;
	case HANDOFF_CONNECTED:
		s->h->state = HANDOFF_CONN;
		break;
	case HANDOFF_UNANSWERED:
	case HANDOFF_BUSY:
		add(s, HANDOFF_ASK_AGAIN);
		break;
	case HANDOFF_RETRY:
		add(s, s->h->has_life ? HANDOFF_LOCK_OWNER : HANDOFF_TAKE_LIFE);
		break;
	case HANDOFF_LIFE_FAILED:
		fail(s, HANDOFF_REASON_SYSTEM);
		break;
	case HANDOFF_DENIED:
		fail(s, HANDOFF_REASON_DENIED);
		break;
	case HANDOFF_DEADLINE:
		fail(s, HANDOFF_REASON_TIMEOUT);
		break;
	default:
		start_as_first(s);
		break;
	}
}

static void
in_conn(struct step *s)
{
	struct handoff *h = s->h;

	if (given_up(s))
		return;
	switch (s->in->type) {
	case HANDOFF_OFFER:
		h->state = HANDOFF_WARM;
		h->up = s->in->peer;
		h->highest = s->in->generation;
		h->generation = h->highest + 1;
		add(s, HANDOFF_DISARM);
		tell(s, HANDOFF_EVENT_STARTED, HANDOFF_REASON_NONE);
		break;
	case HANDOFF_UP_END:
		h->state = HANDOFF_START;
		add(s, HANDOFF_CLOSE_UP);
		add(s, HANDOFF_ASK_AGAIN);
		break;
	case HANDOFF_BAD_OFFER:
		fail(s, HANDOFF_REASON_PROTOCOL);
		break;
	case HANDOFF_REFUSE:
		fail(s, HANDOFF_REASON_REFUSED);
		break;
	case HANDOFF_DEADLINE:
		fail(s, HANDOFF_REASON_TIMEOUT);
		break;
	default:
		break;
	}
}

/* Whatever ends a successor's hopes before it asks for OWNER. Says whether it did. */
static bool
out_of_the_running(struct step *s)
{
	if (given_up(s))
		return true;
	if (s->in->type == HANDOFF_ABORT) {
		fail(s, HANDOFF_REASON_ABORTED);
		return true;
	}
	if (s->in->type == HANDOFF_TICK && s->in->record.heir != s->h->me) {
		fail(s, HANDOFF_REASON_DEPOSED);
		return true;
	}
	return false;
}

static void
up_ended(struct step *s)
{
	s->h->up_ended = true;
	add(s, HANDOFF_CLOSE_UP);
}

static void
claim(struct step *s)
{
	s->h->state = HANDOFF_CLAIM;
	arm(s, HANDOFF_DEADLINE_CONFIRM);
	add(s, HANDOFF_LOCK_OWNER);
}

static void
in_warm(struct step *s)
{
	struct handoff *h = s->h;

	if (out_of_the_running(s))
		return;
	if (s->in->type == HANDOFF_UP_END) {
		up_ended(s);
	} else if (s->in->type == HANDOFF_HOST_READY && h->up_ended) {
		claim(s);
	} else if (s->in->type == HANDOFF_HOST_READY) {
		h->state = HANDOFF_READY;
		arm(s, HANDOFF_DEADLINE_COMMIT);
		add(s, HANDOFF_SEND_READY);
	}
}

static void
in_ready(struct step *s)
{
	struct handoff *h = s->h;

	if (out_of_the_running(s))
		return;
	if (s->in->type == HANDOFF_COMMIT) {
		h->state = HANDOFF_LOAD;
		h->late = true;
		arm(s, HANDOFF_DEADLINE_LOAD);
		tell(s, HANDOFF_EVENT_LOAD, HANDOFF_REASON_NONE);
	} else if (s->in->type == HANDOFF_UP_END) {
		up_ended(s);
		claim(s);
	} else if (s->in->type == HANDOFF_DEADLINE) {
		fail(s, HANDOFF_REASON_TIMEOUT);
	}
}

static void
in_load(struct step *s)
{
	if (out_of_the_running(s))
		return;
	if (s->in->type == HANDOFF_HOST_LOADED)
		claim(s);
	else if (s->in->type == HANDOFF_UP_END)
		up_ended(s);
	else if (s->in->type == HANDOFF_DEADLINE)
		fail(s, HANDOFF_REASON_TIMEOUT);
}

/* The record says that this process owns; the predecessor may hear of it. */
static void
claimed(struct step *s)
{
	struct handoff *h = s->h;

	end_of_write(h);
	if (!h->up_ended)
		add(s, HANDOFF_SEND_CONFIRM);
	serve(s, HANDOFF_EVENT_SERVE,
	      h->late ? HANDOFF_REASON_COMMITTED : HANDOFF_REASON_PREDECESSOR_DIED);
}

/* Under the lock the record decides; an heir that it no longer names has been deposed. */
static void
claim_locked(struct step *s)
{
	struct handoff *h = s->h;

	if (s->in->record.heir != h->me) {
		fail_unlocking(s, HANDOFF_REASON_DEPOSED);
		return;
	}
	h->highest = h->generation;
	write_record(s, WRITING_CLAIM, h->me, 0);
}

static void
in_claim(struct step *s)
{
	if (given_up(s))
		return;
	switch (s->in->type) {
	case HANDOFF_LOCKED:
		claim_locked(s);
		break;
	case HANDOFF_WRITTEN:
		claimed(s);
		break;
	case HANDOFF_WRITE_FAILED:
		fail_unlocking(s, HANDOFF_REASON_SYSTEM);
		break;
	case HANDOFF_BUSY:
		add(s, HANDOFF_ASK_AGAIN);
		break;
	case HANDOFF_RETRY:
		add(s, HANDOFF_LOCK_OWNER);
		break;
	case HANDOFF_TICK:
		if (s->in->record.heir != s->h->me)
			fail(s, HANDOFF_REASON_DEPOSED);
		break;
	case HANDOFF_UP_END:
		up_ended(s);
		break;
	case HANDOFF_DEADLINE:
		fail(s, HANDOFF_REASON_TIMEOUT);
		break;
	default:
		break;
	}
}

/* --- owner ------------------------------------------------------------------------------------ */

/*
 * Gives up for good. LIFE is closed only when the host has emptied its queues: until then no first
 * generation may start beside it.
 */
static void
renounce(struct step *s)
{
	struct handoff *h = s->h;

	if (h->state != HANDOFF_DRAIN) {
		h->cut = false;
		arm(s, HANDOFF_DEADLINE_DRAIN);
	}
	h->state = HANDOFF_RENOUNCED;
	h->asking = false;
	h->told = false;
	add_reason(s, HANDOFF_RETIRE, HANDOFF_REASON_RENOUNCED);
	add(s, HANDOFF_CLOSE_PATH);
}

static void
renounce_unlocking(struct step *s)
{
	add(s, HANDOFF_UNLOCK_OWNER);
	renounce(s);
}

static void
stop_on_purpose(struct step *s)
{
	write_record(s, WRITING_STOP, 0, 0);
}

static void
in_first(struct step *s)
{
	if (s->in->type == HANDOFF_HOST_READY)
		serve(s, HANDOFF_EVENT_SERVE, HANDOFF_REASON_FIRST);
	else if (s->in->type == HANDOFF_HOST_STOP || s->in->type == HANDOFF_HOST_CANCEL)
		stop_on_purpose(s);
}

static void
in_serving(struct step *s)
{
	struct handoff *h = s->h;

	if (s->in->type == HANDOFF_CANDIDATE) {
		h->down = s->in->peer;
		h->down_ended = false;
		write_record(s, WRITING_HEIR, h->me, h->down);
	} else if (s->in->type == HANDOFF_HOST_STOP) {
		stop_on_purpose(s);
	}
}

/*
 * The heir is named before it gets anything, so that our death at any later moment leaves an heir.
 */
static void
heir_written(struct step *s)
{
	struct handoff *h = s->h;

	if (s->in->type == HANDOFF_WRITE_FAILED) {
		h->down = 0;
		add_reason(s, HANDOFF_REFUSE_CANDIDATE, HANDOFF_REASON_SYSTEM);
		return;
	}
	h->state = HANDOFF_OFFERED;
	arm(s, HANDOFF_DEADLINE_READY);
	add(s, HANDOFF_ADOPT);
}

/*
 * The record first, then the word, then the close: whoever misses the word still finds the record.
 */
static void
abort_handoff(struct step *s)
{
	write_record(s, WRITING_ABORT, s->h->me, 0);
}

static void
drop_successor(struct step *s)
{
	s->h->asking = false;
	s->h->down = 0;
	add(s, HANDOFF_SEND_ABORT);
	add(s, HANDOFF_CLOSE_DOWN);
}

static void
resume(struct step *s, enum handoff_reason reason)
{
	serve(s, HANDOFF_EVENT_RESUME, reason);
	if (s->h->stopping)
		stop_on_purpose(s);
}

/*
 * Also when the write failed: no commit was sent, so that an heir that the record goes on naming
 * could only follow our death, without late state, as it may.
 */
static void
abort_written(struct step *s)
{
	drop_successor(s);
	if (s->h->state == HANDOFF_PAUSED) {
		resume(s, HANDOFF_REASON_UNTOUCHED);
		return;
	}
	s->h->state = HANDOFF_SERVING;
	add(s, HANDOFF_DISARM);
	if (s->h->stopping)
		stop_on_purpose(s);
}

/* A stop hands over first; the second one doesn't wait for that. */
static void
stop_during_handoff(struct step *s)
{
	if (s->h->stopping)
		abort_handoff(s);
	s->h->stopping = true;
}

/*
 * What ends a handoff, or is turned away, before the commit is written. Says whether it was that.
 */
static bool
handoff_disturbed(struct step *s)
{
	switch (s->in->type) {
	case HANDOFF_CANDIDATE:
		add_reason(s, HANDOFF_REFUSE_CANDIDATE, HANDOFF_REASON_NONE);
		return true;
	case HANDOFF_DOWN_END:
	case HANDOFF_HOST_CANCEL:
	case HANDOFF_DEADLINE:
		abort_handoff(s);
		return true;
	case HANDOFF_HOST_STOP:
		stop_during_handoff(s);
		return true;
	default:
		return false;
	}
}

static void
in_offered(struct step *s)
{
	if (handoff_disturbed(s))
		return;
	if (s->in->type == HANDOFF_PEER_READY) {
		s->h->state = HANDOFF_PAUSED;
		arm(s, HANDOFF_DEADLINE_COMMIT);
		tell(s, HANDOFF_EVENT_PAUSE, HANDOFF_REASON_NONE);
	}
}

static void
in_paused(struct step *s)
{
	if (handoff_disturbed(s))
		return;
	switch (s->in->type) {
	case HANDOFF_HOST_PAUSED:
		add(s, HANDOFF_SEND_COMMIT);
		break;
	case HANDOFF_COMMIT_WRITTEN:
		s->h->state = HANDOFF_YIELDED;
		add(s, HANDOFF_UNLOCK_OWNER);
		arm(s, HANDOFF_DEADLINE_CONFIRM);
		break;
	case HANDOFF_COMMIT_FAILED:
		abort_handoff(s);
		break;
	default:
		break;
	}
}

/* --- predecessor ------------------------------------------------------------------------------ */

static void
drain(struct step *s)
{
	struct handoff *h = s->h;

	h->asking = false;
	if (h->exclusive || h->down_ended) {
		tell(s, HANDOFF_EVENT_DRAIN, HANDOFF_REASON_NONE);
		renounce(s);
		return;
	}
	h->state = HANDOFF_DRAIN;
	h->told = false;
	h->cut = false;
	h->probation_over = h->stopping;
	add(s, HANDOFF_DISARM);
	arm(s, HANDOFF_DEADLINE_DRAIN);
	if (!h->stopping)
		arm(s, HANDOFF_DEADLINE_PROBATION);
	add_reason(s, HANDOFF_RETIRE, HANDOFF_REASON_UNCLAIMED);
	tell(s, HANDOFF_EVENT_DRAIN, HANDOFF_REASON_NONE);
}

static void
ask_for_owner(struct step *s)
{
	s->h->asking = true;
	add(s, HANDOFF_LOCK_OWNER);
}

/* Common to all who ask as a predecessor: busy proves nothing, ask again. */
static void
asking(struct step *s)
{
	if (!s->h->asking)
		return;
	if (s->in->type == HANDOFF_BUSY)
		add(s, HANDOFF_ASK_AGAIN);
	else if (s->in->type == HANDOFF_RETRY)
		add(s, HANDOFF_LOCK_OWNER);
}

static bool
names_a_stranger(const struct handoff *h, const struct record *record)
{
	return record->owner != h->me && record->owner != h->down;
}

static void
take_back(struct step *s)
{
	s->h->highest = s->in->record.generation;
	write_record(s, WRITING_CHANGED, s->h->me, 0);
}

/*
 * Under the lock: the record tells what became of the successor. One that has owned and is gone is
 * followed by us only if we are to go on serving: to take over just to stop would depose an heir of
 * its own that could have gone on.
 */
static void
yielded_locked(struct step *s)
{
	struct handoff *h = s->h;
	const struct record *record = &s->in->record;

	if (record->owner == h->me) {
		write_record(s, WRITING_UNTOUCHED, h->me, 0);
	} else if (record->owner != h->down) {
		renounce_unlocking(s);
	} else if (h->down_ended && !h->exclusive && !h->stopping) {
		take_back(s);
	} else {
		add(s, HANDOFF_UNLOCK_OWNER);
		drain(s);
	}
}

/* A successor that is named and dead leaves the question to OWNER: busy, for now. */
static void
yielded_tick(struct step *s)
{
	const struct handoff *h = s->h;

	if (names_a_stranger(h, &s->in->record))
		renounce(s);
	else if (s->in->record.owner == h->down && !h->down_ended)
		drain(s);
}

static void
in_yielded(struct step *s)
{
	struct handoff *h = s->h;

	switch (s->in->type) {
	case HANDOFF_CONFIRM:
		drain(s);
		break;
	case HANDOFF_TICK:
		yielded_tick(s);
		break;
	case HANDOFF_DOWN_END:
		h->down_ended = true;
		ask_for_owner(s);
		break;
	case HANDOFF_DEADLINE:
		ask_for_owner(s);
		break;
	case HANDOFF_HOST_STOP:
		h->stopping = true;
		break;
	case HANDOFF_LOCKED:
		yielded_locked(s);
		break;
	default:
		asking(s);
		break;
	}
}

/* The record could not be written, so nothing was taken back: let go, and ask again. */
static void
take_back_failed(struct step *s)
{
	add(s, HANDOFF_UNLOCK_OWNER);
	add(s, HANDOFF_ASK_AGAIN);
}

static void
untouched_written(struct step *s)
{
	if (s->in->type == HANDOFF_WRITE_FAILED) {
		take_back_failed(s);
		return;
	}
	drop_successor(s);
	resume(s, HANDOFF_REASON_UNTOUCHED);
}

static void
changed_written(struct step *s)
{
	if (s->in->type == HANDOFF_WRITE_FAILED) {
		take_back_failed(s);
		return;
	}
	s->h->asking = false;
	s->h->down = 0;
	add(s, HANDOFF_CLOSE_DOWN);
	resume(s, HANDOFF_REASON_CHANGED);
}

static void
leave(struct step *s)
{
	struct handoff *h = s->h;

	h->state = HANDOFF_LEFT;
	add(s, HANDOFF_SEND_BYE);
	add_reason(s, HANDOFF_RETIRE, HANDOFF_REASON_LEAVING);
	add(s, HANDOFF_DISARM);
	add(s, HANDOFF_CLOSE_ALL);
	tell(s, HANDOFF_EVENT_LEAVE, h->idle ? HANDOFF_REASON_DONE : HANDOFF_REASON_DEADLINE);
}

static bool
may_leave(const struct handoff *h)
{
	return h->told && (h->idle || h->cut);
}

/* A successor whose end of file was read may need us: then the question to OWNER decides first. */
static void
leave_if_drained(struct step *s)
{
	if (may_leave(s->h) && s->h->probation_over && !s->h->down_ended)
		leave(s);
}

static void
successor_died(struct step *s)
{
	s->h->down_ended = true;
	if (s->h->stopping) {
		renounce(s);
		return;
	}
	arm(s, HANDOFF_DEADLINE_CONFIRM);
	ask_for_owner(s);
}

/* From now on a dead successor's service is not ours to take, also if its end was read before. */
static void
stop_while_draining(struct step *s)
{
	s->h->stopping = true;
	s->h->probation_over = true;
	if (s->h->down_ended)
		renounce(s);
	else
		leave_if_drained(s);
}

static void
drain_deadline(struct step *s)
{
	struct handoff *h = s->h;

	if (s->in->deadline == HANDOFF_DEADLINE_CONFIRM) {
		renounce(s);
		return;
	}
	if (s->in->deadline == HANDOFF_DEADLINE_DRAIN)
		h->cut = true;
	else
		h->probation_over = true;
	leave_if_drained(s);
}

/* Who still finds its own name there had a successor that confirmed what it never did. */
static void
drain_locked(struct step *s)
{
	if (names_a_stranger(s->h, &s->in->record))
		renounce_unlocking(s);
	else
		take_back(s);
}

static void
in_drain(struct step *s)
{
	struct handoff *h = s->h;

	switch (s->in->type) {
	case HANDOFF_DOWN_END:
		successor_died(s);
		break;
	case HANDOFF_LOCKED:
		drain_locked(s);
		break;
	case HANDOFF_TICK:
		if (names_a_stranger(h, &s->in->record))
			renounce(s);
		break;
	case HANDOFF_DEADLINE:
		drain_deadline(s);
		break;
	case HANDOFF_HOST_STOP:
		stop_while_draining(s);
		break;
	case HANDOFF_HOST_DRAINING:
		h->told = true;
		leave_if_drained(s);
		break;
	case HANDOFF_HOST_IDLE:
		leave_if_drained(s);
		break;
	default:
		asking(s);
		break;
	}
}

static void
in_renounced(struct step *s)
{
	struct handoff *h = s->h;

	switch (s->in->type) {
	case HANDOFF_HOST_RETIRED:
		h->told = true;
		add(s, HANDOFF_CLOSE_LIFE);
		break;
	case HANDOFF_DOWN_END:
		h->down_ended = true;
		add(s, HANDOFF_CLOSE_DOWN);
		break;
	case HANDOFF_DEADLINE:
		h->cut = h->cut || s->in->deadline == HANDOFF_DEADLINE_DRAIN;
		break;
	default:
		break;
	}
	if (may_leave(h))
		leave(s);
}

static void
stop_written(struct step *s)
{
	add(s, HANDOFF_UNLINK_PATH);
	renounce_unlocking(s);
}

/* --- all states ------------------------------------------------------------------------------- */

/* Answers to the writes of an owner and of a predecessor. */
static void
write_ended(struct step *s)
{
	switch (end_of_write(s->h)) {
	case WRITING_HEIR:
		heir_written(s);
		break;
	case WRITING_ABORT:
		abort_written(s);
		break;
	case WRITING_UNTOUCHED:
		untouched_written(s);
		break;
	case WRITING_CHANGED:
		changed_written(s);
		break;
	default:
		stop_written(s);
		break;
	}
}

/* What means the same to every process that has come to serve once. Says whether it was that. */
static bool
common_to_owners(struct step *s)
{
	switch (s->in->type) {
	case HANDOFF_WRITTEN:
	case HANDOFF_WRITE_FAILED:
		write_ended(s);
		return true;
	case HANDOFF_UP_END:
		up_ended(s);
		return true;
	default:
		return false;
	}
}

typedef void state_function(struct step *s);

static state_function *const successor_states[HANDOFF_STATES] = {
	[HANDOFF_NEW] = in_new,     [HANDOFF_START] = in_start, [HANDOFF_CONN] = in_conn,
	[HANDOFF_WARM] = in_warm,   [HANDOFF_READY] = in_ready, [HANDOFF_LOAD] = in_load,
	[HANDOFF_CLAIM] = in_claim,
};

static state_function *const owner_states[HANDOFF_STATES] = {
	[HANDOFF_FIRST] = in_first,         [HANDOFF_SERVING] = in_serving,
	[HANDOFF_OFFERED] = in_offered,     [HANDOFF_PAUSED] = in_paused,
	[HANDOFF_YIELDED] = in_yielded,     [HANDOFF_DRAIN] = in_drain,
	[HANDOFF_RENOUNCED] = in_renounced,
};

void
molt__handoff_init(struct handoff *h, uint64_t me)
{
	memset(h, 0, sizeof(*h));
	h->me = me;
	h->state = HANDOFF_NEW;
}

size_t
molt__handoff_step(struct handoff *h, const struct handoff_input *in,
		   struct handoff_action *ret_actions)
{
	struct step s = { .h = h, .in = in, .actions = ret_actions };

	if (in->type == HANDOFF_HOST_IDLE || in->type == HANDOFF_HOST_BUSY)
		h->idle = in->type == HANDOFF_HOST_IDLE;
	if (successor_states[h->state] != NULL)
		successor_states[h->state](&s);
	else if (owner_states[h->state] != NULL && !common_to_owners(&s))
		owner_states[h->state](&s);
	return s.count;
}

bool
molt__handoff_action_asks(enum handoff_action_type type)
{
	return type <= HANDOFF_WRITE_RECORD;
}

bool
molt__handoff_is_owner(const struct handoff *h)
{
	return h->state == HANDOFF_SERVING || h->state == HANDOFF_OFFERED ||
	       h->state == HANDOFF_PAUSED;
}

bool
molt__handoff_wants_tick(const struct handoff *h)
{
	switch (h->state) {
	case HANDOFF_WARM:
	case HANDOFF_READY:
	case HANDOFF_LOAD:
	case HANDOFF_CLAIM:
	case HANDOFF_YIELDED:
	case HANDOFF_DRAIN:
		return true;
	default:
		return false;
	}
}

const char *
molt__handoff_state_name(enum handoff_state state)
{
	static const char *const names[HANDOFF_STATES] = {
		[HANDOFF_NEW] = "new",
		[HANDOFF_START] = "starting",
		[HANDOFF_FIRST] = "first",
		[HANDOFF_CONN] = "connected",
		[HANDOFF_WARM] = "warming",
		[HANDOFF_READY] = "ready",
		[HANDOFF_LOAD] = "loading",
		[HANDOFF_CLAIM] = "claiming",
		[HANDOFF_FAILED] = "failed",
		[HANDOFF_SERVING] = "serving",
		[HANDOFF_OFFERED] = "offered",
		[HANDOFF_PAUSED] = "paused",
		[HANDOFF_YIELDED] = "yielded",
		[HANDOFF_DRAIN] = "draining",
		[HANDOFF_RENOUNCED] = "renounced",
		[HANDOFF_LEFT] = "left",
	};

	return names[state];
}
