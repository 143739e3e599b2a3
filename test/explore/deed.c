/* SPDX-License-Identifier: MIT */
/* One function an action. */
#include "deed.h"

#include "holding.h"
#include "judge.h"
#include "kernel.h"
#include "process.h"

struct deed {
	struct world *w;
	struct process *self;
	struct line *up;
	int p;
	int s; /* its adopted successor, or -1 */
	const struct script_node *node;
	enum outcome outcome;
};

/* --- Questions -------------------------------------------------------------------------------- */

static void
take_life(struct deed *d)
{
	if (d->outcome == OUTCOME_FAILED) {
		process_feed_type(d->w, d->p, HANDOFF_LIFE_FAILED);
	} else if (kernel_life_is_held(d->w)) {
		process_feed_type(d->w, d->p, HANDOFF_LIFE_HELD);
	} else {
		d->self->life = true;
		d->self->founder = true;
		process_feed_type(d->w, d->p, HANDOFF_LIFE_TAKEN);
	}
}

static void
connect_path(struct deed *d)
{
	if (d->outcome == OUTCOME_FAILED)
		process_feed_type(d->w, d->p, HANDOFF_DENIED);
	else if (kernel_connect(d->w, d->p))
		process_feed_type(d->w, d->p, HANDOFF_CONNECTED);
	else
		process_feed_type(d->w, d->p, HANDOFF_UNANSWERED);
}

static void
bind_path(struct deed *d)
{
	struct handoff_input in = { .type = HANDOFF_BIND_FAILED };

	judge_change(d->w, d->p);
	if (d->outcome == OUTCOME_FAILED) {
		in.reason = HANDOFF_REASON_SYSTEM;
	} else if (d->w->path != 0 && kernel_socket_is_held(d->w, d->w->path)) {
		judge_found_path(d->w);
		in.reason = HANDOFF_REASON_PROTOCOL;
	} else {
		kernel_bind_path(d->w, d->p);
		in.type = HANDOFF_BOUND;
	}
	process_feed(d->w, d->p, &in);
}

static void
lock_owner(struct deed *d)
{
	struct handoff_input in = { .type = HANDOFF_BUSY };

	if (d->w->owner_lock == 0 || d->w->owner_lock == instance_of(d->p)) {
		d->w->owner_lock = instance_of(d->p);
		in.type = HANDOFF_LOCKED;
		in.record = d->w->record;
	}
	process_feed(d->w, d->p, &in);
}

static void
write_record(struct deed *d)
{
	judge_write(d->w, d->p, &d->node->action.record);
	d->self->failed = d->outcome == OUTCOME_FAILED;
	if (d->self->failed) {
		process_feed_type(d->w, d->p, HANDOFF_WRITE_FAILED);
		return;
	}
	d->self->founder = false;
	d->w->record = d->node->action.record;
	d->w->record_valid = true;
	process_feed_type(d->w, d->p, HANDOFF_WRITTEN);
}

/* --- Locks and files -------------------------------------------------------------------------- */

static void
unlock_owner(struct deed *d)
{
	judge_unlock(d->w, d->p);
	if (d->w->owner_lock == instance_of(d->p))
		d->w->owner_lock = 0;
}

static void
listen_on_path(struct deed *d)
{
	judge_change(d->w, d->p);
	if (d->w->path == 0 || d->w->path != d->self->path)
		kernel_bind_path(d->w, d->p);
}

static void
unlink_path(struct deed *d)
{
	judge_change(d->w, d->p);
	if (d->w->path == d->self->path)
		d->w->path = 0;
}

static void
close_path(struct deed *d)
{
	kernel_close_path(d->w, d->p);
}

static void
close_life(struct deed *d)
{
	d->self->life = false;
}

static void
close_part(struct deed *d)
{
	if (d->node->part == CLOSE_CHANNELS) {
		kernel_close_up(d->w, d->p);
		if (d->s >= 0)
			kernel_close_down(d->w, d->s);
		return;
	}
	holding_close_all(d->self);
	d->self->life = false;
	kernel_close_path(d->w, d->p);
	unlock_owner(d);
}

/* --- Lines ------------------------------------------------------------------------------------ */

static void
send_ready(struct deed *d)
{
	if (!d->up->closed_up)
		d->up->from_down |= FROM_DOWN_READY;
}

static void
send_confirm(struct deed *d)
{
	if (!d->up->closed_up && d->outcome != OUTCOME_LOST)
		d->up->from_down |= FROM_DOWN_CONFIRM;
}

static void
close_up(struct deed *d)
{
	kernel_close_up(d->w, d->p);
}

static void
send_commit(struct deed *d)
{
	d->self->committing = true;
}

static void
send_abort(struct deed *d)
{
	judge_abort(d->w, d->p);
	if (d->s >= 0 && !d->w->line[d->s].closed_down && d->outcome != OUTCOME_LOST)
		d->w->line[d->s].from_up |= FROM_UP_ABORT;
}

static void
close_down(struct deed *d)
{
	judge_abort(d->w, d->p);
	d->self->committing = false;
	if (d->s >= 0)
		kernel_close_down(d->w, d->s);
	if (molt__handoff_is_owner(&d->self->machine))
		holding_end_handoff(d->self);
}

static void
adopt(struct deed *d)
{
	int s = kernel_successor(d->w, d->p, PLACE_ACCEPTED);
	struct line *l = &d->w->line[s];

	judge_offer(d->w, d->p, s);
	l->place = PLACE_ADOPTED;
	if (l->closed_down)
		return;
	l->from_up = FROM_UP_OFFER;
	l->generation = (uint8_t)d->self->machine.highest;
	l->path = d->self->path;
	l->unclaimed = holding_offer(d->self);
}

static void
refuse(struct deed *d)
{
	int s = kernel_successor(d->w, d->p, PLACE_ACCEPTED);

	judge_refusal(d->w, d->p, d->node->action.reason);
	if (!d->w->line[s].closed_down)
		d->w->line[s].from_up = FROM_UP_REFUSE;
	kernel_close_down(d->w, s);
}

/* BYE: its reader's machine is not told. */
static void
send_bye(struct deed *d)
{
	(void)d;
}

/* --- Time ------------------------------------------------------------------------------------- */

static void
arm(struct deed *d)
{
	enum handoff_deadline deadline = d->node->action.deadline;

	if (deadline == HANDOFF_DEADLINE_DRAIN)
		d->self->drain_runs = true;
	else if (deadline == HANDOFF_DEADLINE_PROBATION)
		d->self->probation_runs = true;
	else
		d->self->deadline = (uint8_t)(deadline + 1);
}

static void
disarm(struct deed *d)
{
	d->self->drain_runs = false;
	d->self->probation_runs = false;
	d->self->deadline = 0;
}

static void
ask_again(struct deed *d)
{
	d->self->retry_runs = true;
}

/* --- Told to the host ------------------------------------------------------------------------- */

static void
retire(struct deed *d)
{
	struct process *self = d->self;

	if (d->node->action.reason == HANDOFF_REASON_UNCLAIMED) {
		self->retiring = RETIRING_UNCLAIMED;
	} else if (d->node->action.reason == HANDOFF_REASON_RENOUNCED) {
		self->retiring = RETIRING_ALL;
		self->host = HOST_RETIRE;
		self->touched = false;
		if (self->service == SERVICE_SERVES)
			self->service = SERVICE_EMPTIES;
	} else {
		judge_leaving(d->w, d->p);
		holding_retire(self, RETIRING_ALL);
		self->retiring = RETIRING_NOTHING;
	}
}

/*
 * Late state that another was given is out of date from now on, and who had paused is not
 * untouched.
 */
static void
outdate_others(struct deed *d)
{
	for (int i = 0; i < d->w->count; i++) {
		struct process *other = &d->w->process[i];
		struct line *l = &d->w->line[i];

		if (i == d->p)
			continue;
		other->stale = other->machine.state == HANDOFF_LOAD ||
			       (other->machine.state == HANDOFF_CLAIM && other->machine.late);
		l->stale = (l->from_up & FROM_UP_COMMIT) != 0;
		other->touched = other->machine.state == HANDOFF_PAUSED ||
				 other->machine.state == HANDOFF_YIELDED;
	}
}

/*
 * The engine closes what a successor has not claimed; who resumes binds anew what it had given up.
 */
static void
begin_service(struct deed *d)
{
	const struct handoff_action *a = &d->node->action;
	struct process *self = d->self;

	judge_service(d->w, d->p, a->event, a->reason);
	outdate_others(d);
	self->service = SERVICE_SERVES;
	self->host = HOST_NOTHING;
	self->stale = false;
	self->touched = false;
	self->retiring = RETIRING_NOTHING;
	if (a->event == HANDOFF_EVENT_RESUME)
		holding_renew(self);
	else
		holding_close_unclaimed(self);
}

static void
tell(struct deed *d)
{
	struct process *self = d->self;

	switch (d->node->action.event) {
	case HANDOFF_EVENT_STARTED:
		if (self->machine.has_life)
			holding_listen(self);
		break;
	case HANDOFF_EVENT_SERVE:
	case HANDOFF_EVENT_RESUME:
		begin_service(d);
		break;
	case HANDOFF_EVENT_LOAD:
		self->host = HOST_LOAD;
		break;
	case HANDOFF_EVENT_PAUSE:
		self->host = HOST_PAUSE;
		self->touched = false;
		break;
	case HANDOFF_EVENT_DRAIN:
		self->host = HOST_DRAIN;
		self->touched = false;
		break;
	default:
		judge_end(d->w, d->p);
		kernel_bury(d->w, d->p);
		break;
	}
}

/* --- All of them ------------------------------------------------------------------------------ */

typedef void doer(struct deed *d);

static doer *const doers[] = {
	[HANDOFF_TAKE_LIFE] = take_life,
	[HANDOFF_CONNECT] = connect_path,
	[HANDOFF_BIND] = bind_path,
	[HANDOFF_LOCK_OWNER] = lock_owner,
	[HANDOFF_WRITE_RECORD] = write_record,
	[HANDOFF_UNLOCK_OWNER] = unlock_owner,
	[HANDOFF_LISTEN] = listen_on_path,
	[HANDOFF_UNLINK_PATH] = unlink_path,
	[HANDOFF_CLOSE_PATH] = close_path,
	[HANDOFF_CLOSE_LIFE] = close_life,
	[HANDOFF_CLOSE_ALL] = close_part,
	[HANDOFF_RETIRE] = retire,
	[HANDOFF_SEND_READY] = send_ready,
	[HANDOFF_SEND_CONFIRM] = send_confirm,
	[HANDOFF_ADOPT] = adopt,
	[HANDOFF_REFUSE_CANDIDATE] = refuse,
	[HANDOFF_SEND_COMMIT] = send_commit,
	[HANDOFF_SEND_ABORT] = send_abort,
	[HANDOFF_SEND_BYE] = send_bye,
	[HANDOFF_CLOSE_UP] = close_up,
	[HANDOFF_CLOSE_DOWN] = close_down,
	[HANDOFF_ASK_AGAIN] = ask_again,
	[HANDOFF_ARM] = arm,
	[HANDOFF_DISARM] = disarm,
	[HANDOFF_TELL] = tell,
};

void
deed_do(struct world *w, int p, const struct script_node *node, enum outcome outcome)
{
	struct deed d = {
		.w = w,
		.self = &w->process[p],
		.up = &w->line[p],
		.p = p,
		.s = kernel_successor(w, p, PLACE_ADOPTED),
		.node = node,
		.outcome = outcome,
	};

	doers[node->action.type](&d);
}

enum budget
deed_cost(const struct script_node *node, enum outcome outcome)
{
	switch (node->action.type) {
	case HANDOFF_TAKE_LIFE:
	case HANDOFF_CONNECT:
	case HANDOFF_BIND:
	case HANDOFF_WRITE_RECORD:
		return outcome == OUTCOME_FAILED ? BUDGET_FAILURE : BUDGETS;
	case HANDOFF_SEND_CONFIRM:
	case HANDOFF_SEND_ABORT:
		return outcome == OUTCOME_LOST ? BUDGET_LOSS : BUDGETS;
	default:
		return BUDGETS;
	}
}

/* A part of CLOSE_ALL that finds nothing to close. */
static bool
closes_nothing(const struct world *w, int p, uint8_t part)
{
	const struct process *self = &w->process[p];

	if (part == CLOSE_CHANNELS)
		return w->line[p].place == PLACE_NONE && kernel_successor(w, p, PLACE_ADOPTED) < 0;
	return !holding_has_any(self) && !self->life && self->path == 0 &&
	       w->owner_lock != instance_of(p);
}

/* The successor has closed its end, so nobody sees what becomes of ours. */
static bool
successor_is_gone(const struct world *w, int p)
{
	int s = kernel_successor(w, p, PLACE_ADOPTED);

	return s < 0 || w->line[s].closed_down;
}

bool
deed_is_silent(const struct world *w, int p, const struct script_node *node)
{
	switch (node->action.type) {
	case HANDOFF_RETIRE:
	case HANDOFF_SEND_COMMIT:
	case HANDOFF_SEND_BYE:
	case HANDOFF_ASK_AGAIN:
	case HANDOFF_ARM:
	case HANDOFF_DISARM:
	case HANDOFF_TELL:
		return true;
	case HANDOFF_LISTEN:
		return w->path != 0 && w->path == w->process[p].path;
	case HANDOFF_SEND_READY:
	case HANDOFF_SEND_CONFIRM:
		return w->line[p].closed_up;
	case HANDOFF_CLOSE_UP:
		return w->line[p].place == PLACE_NONE || w->line[p].closed_up;
	case HANDOFF_SEND_ABORT:
	case HANDOFF_CLOSE_DOWN:
		return successor_is_gone(w, p);
	case HANDOFF_CLOSE_ALL:
		return closes_nothing(w, p, node->part);
	default:
		return false;
	}
}
