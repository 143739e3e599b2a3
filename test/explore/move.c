/* SPDX-License-Identifier: MIT */
/* Moves: which there are, and making one. */
#include "move.h"

#include "judge.h"
#include "kernel.h"
#include "process.h"
#include "script.h"

#include <string.h>

struct moves {
	const struct world *w;
	struct move *list;
	size_t count;
};

static void
may(struct moves *m, enum move_kind kind, int p, int which, enum outcome outcome)
{
	m->list[m->count++] =
		(struct move){ (uint8_t)kind, (uint8_t)p, (uint8_t)which, (uint8_t)outcome };
}

static void
may_just(struct moves *m, enum move_kind kind, int p)
{
	may(m, kind, p, 0, OUTCOME_FINE);
}

static bool
can_afford(const struct moves *m, enum budget budget)
{
	return m->w->left[budget] > 0;
}

static void
script_moves(struct moves *m, int p)
{
	const struct script_node *node = script_node(m->w->process[p].script);

	for (int outcome = OUTCOME_FINE; outcome <= OUTCOME_LOST; outcome++) {
		enum budget cost = deed_cost(node, (enum outcome)outcome);

		if (outcome == OUTCOME_FINE || (cost != BUDGETS && can_afford(m, cost)))
			may(m, MOVE_CARRY_OUT, p, 0, (enum outcome)outcome);
	}
}

static void
host_moves(struct moves *m, int p)
{
	const struct process *self = &m->w->process[p];
	uint8_t state = self->machine.state;

	if (state == HANDOFF_FIRST || state == HANDOFF_WARM)
		may_just(m, MOVE_HOST_READY, p);
	if (self->host != HOST_NOTHING || self->retiring != RETIRING_NOTHING)
		may_just(m, MOVE_HOST_ACTS, p);
	if (self->machine.idle)
		may_just(m, MOVE_HOST_BUSY, p);
	else if (can_afford(m, BUDGET_IDLE))
		may_just(m, MOVE_HOST_IDLE, p);
	if (can_afford(m, BUDGET_CANCEL) && process_understands(self, HANDOFF_HOST_CANCEL))
		may_just(m, MOVE_HOST_CANCEL, p);
	if (can_afford(m, BUDGET_STOP) && process_understands(self, HANDOFF_HOST_STOP))
		may_just(m, MOVE_HOST_STOP, p);
}

static void
time_moves(struct moves *m, int p)
{
	const struct process *self = &m->w->process[p];

	if (self->retry_runs)
		may_just(m, MOVE_RETRY, p);
	if (m->w->record_valid && molt__handoff_wants_tick(&self->machine))
		may_just(m, MOVE_TICK, p);
	if (self->deadline != 0)
		may(m, MOVE_DEADLINE, p, self->deadline - 1, OUTCOME_FINE);
	if (self->drain_runs)
		may(m, MOVE_DEADLINE, p, HANDOFF_DEADLINE_DRAIN, OUTCOME_FINE);
	if (self->probation_runs)
		may(m, MOVE_DEADLINE, p, HANDOFF_DEADLINE_PROBATION, OUTCOME_FINE);
}

/*
 * A candidate is looked at only when the present successor's line has been read as far as it goes.
 */
static void
accept_moves(struct moves *m, int p)
{
	for (int s = 0; s < m->w->count; s++) {
		if (!kernel_waits(m->w, p, s))
			continue;
		may(m, MOVE_ACCEPT, p, s, OUTCOME_FINE);
		may(m, MOVE_DROP, p, s, OUTCOME_FINE);
	}
}

static void
line_moves(struct moves *m, int p)
{
	const struct process *self = &m->w->process[p];
	int s = kernel_successor(m->w, p, PLACE_ADOPTED);
	bool readable = s >= 0 && kernel_can_read_down(m->w, s);

	if (kernel_can_read_up(m->w, p)) {
		may_just(m, MOVE_READ_UP, p);
		if ((m->w->line[p].from_up & FROM_UP_OFFER) != 0 && can_afford(m, BUDGET_FAILURE))
			may(m, MOVE_READ_UP, p, 0, OUTCOME_FAILED);
	}
	if (readable)
		may(m, MOVE_READ_DOWN, p, s, OUTCOME_FINE);
	else if (molt__handoff_is_owner(&self->machine))
		accept_moves(m, p);
	if (self->committing) {
		may_just(m, MOVE_COMMIT, p);
		if (can_afford(m, BUDGET_FAILURE))
			may(m, MOVE_COMMIT, p, 0, OUTCOME_FAILED);
	}
}

static void
living_moves(struct moves *m, int p)
{
	const struct process *self = &m->w->process[p];

	if (can_afford(m, BUDGET_CRASH))
		may_just(m, MOVE_CRASH, p);
	if (self->mode == MODE_FROZEN) {
		may_just(m, MOVE_WAKE, p);
		return;
	}
	if (can_afford(m, BUDGET_FREEZE))
		may_just(m, MOVE_FREEZE, p);
	if (self->script != 0) {
		script_moves(m, p);
		return;
	}
	host_moves(m, p);
	time_moves(m, p);
	line_moves(m, p);
}

/* Those that have not started are alike: only the first of them does. */
static void
start_moves(struct moves *m, int p)
{
	if (p > 0 && m->w->process[p - 1].mode == MODE_NEW)
		return;
	may_just(m, MOVE_START, p);
	if (can_afford(m, BUDGET_EXCLUSIVE))
		may(m, MOVE_START, p, true, OUTCOME_FINE);
}

size_t
moves_of(const struct world *w, struct move *ret_moves)
{
	struct moves m = { .w = w, .list = ret_moves };

	for (int p = 0; p < w->count; p++) {
		if (w->process[p].mode == MODE_NEW)
			start_moves(&m, p);
		else if (process_lives(&w->process[p]))
			living_moves(&m, p);
	}
	if (world_is_gone(w, w->owner_lock))
		may_just(&m, MOVE_RELEASE, w->owner_lock - 1);
	return m.count;
}

static enum budget
cost_of(const struct world *w, const struct move *m)
{
	switch (m->kind) {
	case MOVE_CRASH:
		return BUDGET_CRASH;
	case MOVE_FREEZE:
		return BUDGET_FREEZE;
	case MOVE_HOST_CANCEL:
		return BUDGET_CANCEL;
	case MOVE_HOST_STOP:
		return BUDGET_STOP;
	case MOVE_HOST_IDLE:
		return BUDGET_IDLE;
	case MOVE_START:
		return m->which ? BUDGET_EXCLUSIVE : BUDGETS;
	case MOVE_CARRY_OUT:
		return deed_cost(script_node(w->process[m->p].script), (enum outcome)m->outcome);
	default:
		return m->outcome == OUTCOME_FAILED ? BUDGET_FAILURE : BUDGETS;
	}
}

static void
move_line(struct world *w, const struct move *m)
{
	switch (m->kind) {
	case MOVE_READ_UP:
		process_reads_up(w, m->p, (enum outcome)m->outcome);
		break;
	case MOVE_READ_DOWN:
		process_reads_down(w, m->p, m->which);
		break;
	case MOVE_ACCEPT:
		process_accepts(w, m->p, m->which);
		break;
	case MOVE_DROP:
		kernel_close_down(w, m->which);
		break;
	default:
		process_commits(w, m->p, (enum outcome)m->outcome);
		break;
	}
}

static void
move_host(struct world *w, const struct move *m)
{
	static const enum handoff_input_type says[] = {
		[MOVE_HOST_IDLE] = HANDOFF_HOST_IDLE,
		[MOVE_HOST_BUSY] = HANDOFF_HOST_BUSY,
		[MOVE_HOST_CANCEL] = HANDOFF_HOST_CANCEL,
		[MOVE_HOST_STOP] = HANDOFF_HOST_STOP,
	};

	if (m->kind == MOVE_HOST_STOP)
		w->process[m->p].stopped = true;
	if (m->kind == MOVE_HOST_ACTS)
		process_host_acts(w, m->p);
	else if (m->kind == MOVE_HOST_READY)
		process_host_is_ready(w, m->p);
	else
		process_feed_type(w, m->p, says[m->kind]);
}

static void
move_process(struct world *w, const struct move *m)
{
	struct process *self = &w->process[m->p];

	switch (m->kind) {
	case MOVE_START:
		process_start(w, m->p, m->which != 0);
		break;
	case MOVE_CARRY_OUT:
		process_carry_out(w, m->p, (enum outcome)m->outcome);
		break;
	case MOVE_RETRY:
		self->retry_runs = false;
		process_feed_type(w, m->p, HANDOFF_RETRY);
		break;
	case MOVE_TICK:
		process_ticks(w, m->p);
		break;
	case MOVE_DEADLINE:
		process_deadline(w, m->p, (enum handoff_deadline)m->which);
		break;
	case MOVE_CRASH:
		kernel_kill(w, m->p);
		break;
	case MOVE_FREEZE:
		self->mode = MODE_FROZEN;
		break;
	case MOVE_WAKE:
		self->mode = MODE_RUNNING;
		break;
	default:
		w->owner_lock = 0;
		break;
	}
}

/*
 * An input, and the first action that it leads to, are one move: nobody sees that the input was
 * taken, so what could come between them could as well have come before. Not so where the input
 * itself is seen by others or tells of what they can change: a commit that is written, the record
 * as a tick reads it, an action's own answer.
 */
static bool
is_taken_with_what_follows(const struct move *m)
{
	switch (m->kind) {
	case MOVE_CARRY_OUT:
	case MOVE_TICK:
	case MOVE_COMMIT:
	case MOVE_DROP:
	case MOVE_CRASH:
	case MOVE_FREEZE:
	case MOVE_WAKE:
	case MOVE_RELEASE:
		return false;
	default:
		return true;
	}
}

void
move_make(const struct world *w, const struct move *m, struct world *ret_world)
{
	enum budget cost = cost_of(w, m);

	*ret_world = *w;
	ret_world->broken = 0;
	if (cost != BUDGETS)
		ret_world->left[cost]--;
	switch (m->kind) {
	case MOVE_READ_UP:
	case MOVE_READ_DOWN:
	case MOVE_ACCEPT:
	case MOVE_DROP:
	case MOVE_COMMIT:
		move_line(ret_world, m);
		break;
	case MOVE_HOST_READY:
	case MOVE_HOST_ACTS:
	case MOVE_HOST_IDLE:
	case MOVE_HOST_BUSY:
	case MOVE_HOST_CANCEL:
	case MOVE_HOST_STOP:
		move_host(ret_world, m);
		break;
	default:
		move_process(ret_world, m);
		break;
	}
	if (is_taken_with_what_follows(m))
		process_follow(ret_world, m->p);
	process_forget(ret_world, m->p);
	judge_edge(w, ret_world, m->kind == MOVE_CRASH);
}

enum move_class
move_class(const struct move *m)
{
	if (m->outcome != OUTCOME_FINE)
		return CLASS_FAULT;
	switch (m->kind) {
	case MOVE_DEADLINE:
		return CLASS_DEADLINE;
	case MOVE_HOST_ACTS:
		return CLASS_ACT;
	case MOVE_HOST_READY:
	case MOVE_HOST_IDLE:
		return CLASS_WILL;
	case MOVE_HOST_BUSY:
	case MOVE_HOST_CANCEL:
	case MOVE_HOST_STOP:
		return CLASS_WHIM;
	case MOVE_DROP:
	case MOVE_CRASH:
	case MOVE_FREEZE:
		return CLASS_FAULT;
	case MOVE_WAKE:
		return CLASS_WAKE;
	case MOVE_START:
		return CLASS_START;
	case MOVE_RELEASE:
		return CLASS_RELEASE;
	default:
		return CLASS_OWN;
	}
}
