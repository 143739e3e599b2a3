/* SPDX-License-Identifier: MIT */
/* What happens to one process. */
#include "process.h"

#include "holding.h"
#include "kernel.h"
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
next_action(struct world *w, int p, enum outcome outcome)
{
	const struct script_node *node = script_node(w->process[p].script);

	w->process[p].script = node->next;
	deed_do(w, p, node, outcome);
}

static void
carry_out_silent(struct world *w, int p)
{
	const struct process *self = &w->process[p];

	while (self->script != 0 && deed_is_silent(w, p, script_node(self->script)))
		next_action(w, p, OUTCOME_FINE);
}

void
process_carry_out(struct world *w, int p, enum outcome outcome)
{
	next_action(w, p, outcome);
	carry_out_silent(w, p);
}

static bool
may_end_otherwise(const struct world *w, const struct script_node *node)
{
	enum budget failure = deed_cost(node, OUTCOME_FAILED);
	enum budget loss = deed_cost(node, OUTCOME_LOST);

	return (failure != BUDGETS && w->left[failure] > 0) ||
	       (loss != BUDGETS && w->left[loss] > 0);
}

void
process_follow(struct world *w, int p)
{
	uint16_t script = w->process[p].script;

	if (script != 0 && !may_end_otherwise(w, script_node(script)))
		process_carry_out(w, p, OUTCOME_FINE);
}

void
process_feed(struct world *w, int p, const struct handoff_input *in)
{
	struct handoff_action actions[HANDOFF_ACTIONS_MAX];
	struct process *self = &w->process[p];
	size_t count = molt__handoff_step(&self->machine, in, actions);

	for (size_t i = 0; i < count; i++) {
		if (molt__handoff_action_asks(actions[i].type) && i + 1 < count) {
			fprintf(stderr, "explore: an action stands behind a question\n");
			abort();
		}
	}
	self->script = script_of(actions, count);
	carry_out_silent(w, p);
}

void
process_feed_type(struct world *w, int p, enum handoff_input_type type)
{
	struct handoff_input in = { .type = type };

	process_feed(w, p, &in);
}

bool
process_understands(const struct process *self, enum handoff_input_type type)
{
	struct handoff_action actions[HANDOFF_ACTIONS_MAX];
	struct handoff_input in = { .type = type };
	struct handoff machine = self->machine;

	return molt__handoff_step(&machine, &in, actions) != 0 ||
	       memcmp(&machine, &self->machine, sizeof(machine)) != 0;
}

void
process_forget(struct world *w, int p)
{
	struct process *self = &w->process[p];

	if (self->retry_runs && !process_understands(self, HANDOFF_RETRY))
		self->retry_runs = false;
	if (self->machine.state == HANDOFF_RENOUNCED)
		self->stopped = false;
}

void
process_start(struct world *w, int p, bool exclusive)
{
	struct process *self = &w->process[p];

	self->mode = MODE_RUNNING;
	molt__handoff_init(&self->machine, instance_of(p));
	self->machine.exclusive = exclusive;
	/* A host may count its connections before anything else. */
	process_feed_type(w, p, HANDOFF_HOST_BUSY);
	process_feed_type(w, p, HANDOFF_HOST_START);
}

void
process_host_is_ready(struct world *w, int p)
{
	struct process *self = &w->process[p];

	if (self->machine.state == HANDOFF_WARM)
		holding_claim(self);
	process_feed_type(w, p, HANDOFF_HOST_READY);
}

/* The library closes what the host has taken out of its loop. */
void
process_host_acts(struct world *w, int p)
{
	static const enum handoff_input_type says[] = {
		[HOST_PAUSE] = HANDOFF_HOST_PAUSED,
		[HOST_LOAD] = HANDOFF_HOST_LOADED,
		[HOST_DRAIN] = HANDOFF_HOST_DRAINING,
		[HOST_RETIRE] = HANDOFF_HOST_RETIRED,
	};
	struct process *self = &w->process[p];
	uint8_t told = self->host;

	self->host = HOST_NOTHING;
	if (self->retiring != RETIRING_NOTHING)
		holding_retire(self, (enum retiring)self->retiring);
	self->retiring = RETIRING_NOTHING;
	if (told == HOST_PAUSE || told == HOST_RETIRE)
		self->service = SERVICE_NONE;
	if (told != HOST_NOTHING)
		process_feed_type(w, p, says[told]);
}

/* The descriptors of the offer, which were in flight until now, are this process's. */
static void
receive_offer(struct world *w, int p)
{
	struct process *self = &w->process[p];
	struct line *l = &w->line[p];

	self->life = true;
	holding_inherit(self, l->unclaimed);
	self->path = l->path;
	l->generation = 0;
	l->path = 0;
	l->unclaimed = false;
	if (l->closed_up)
		l->peer = 0;
}

static enum handoff_input_type
read_packet(struct world *w, int p, uint8_t packet)
{
	struct line *l = &w->line[p];

	l->from_up &= (uint8_t)~packet;
	switch (packet) {
	case FROM_UP_OFFER:
		receive_offer(w, p);
		return HANDOFF_OFFER;
	case FROM_UP_REFUSE:
		return HANDOFF_REFUSE;
	case FROM_UP_COMMIT:
		w->process[p].stale = l->stale;
		l->stale = false;
		return HANDOFF_COMMIT;
	default:
		return HANDOFF_ABORT;
	}
}

void
process_reads_up(struct world *w, int p, enum outcome outcome)
{
	const struct line *l = &w->line[p];
	struct handoff_input in = { .type = HANDOFF_UP_END,
				    .peer = l->peer,
				    .generation = l->generation };

	if (l->from_up != 0)
		in.type = read_packet(w, p, l->from_up & (uint8_t)-l->from_up);
	if (in.type == HANDOFF_OFFER && outcome == OUTCOME_FAILED)
		in.type = HANDOFF_BAD_OFFER;
	process_feed(w, p, &in);
}

void
process_reads_down(struct world *w, int p, int s)
{
	struct line *l = &w->line[s];

	if ((l->from_down & FROM_DOWN_READY) != 0) {
		l->from_down &= (uint8_t)~FROM_DOWN_READY;
		holding_mark_claimed(&w->process[p]);
		process_feed_type(w, p, HANDOFF_PEER_READY);
	} else if ((l->from_down & FROM_DOWN_CONFIRM) != 0) {
		l->from_down &= (uint8_t)~FROM_DOWN_CONFIRM;
		holding_mark_claimed(&w->process[p]);
		process_feed_type(w, p, HANDOFF_CONFIRM);
	} else {
		l->end_read = true;
		process_feed_type(w, p, HANDOFF_DOWN_END);
	}
}

void
process_accepts(struct world *w, int p, int s)
{
	struct handoff_input in = { .type = HANDOFF_CANDIDATE, .peer = instance_of(s) };

	w->line[s].place = PLACE_ACCEPTED;
	w->line[s].peer = instance_of(p);
	process_feed(w, p, &in);
}

void
process_commits(struct world *w, int p, enum outcome outcome)
{
	int s = kernel_successor(w, p, PLACE_ADOPTED);
	struct line *l = &w->line[s];

	w->process[p].committing = false;
	if (l->closed_down || outcome == OUTCOME_FAILED) {
		process_feed_type(w, p, HANDOFF_COMMIT_FAILED);
		return;
	}
	l->from_up |= FROM_UP_COMMIT;
	l->committed = true;
	process_feed_type(w, p, HANDOFF_COMMIT_WRITTEN);
}

void
process_deadline(struct world *w, int p, enum handoff_deadline deadline)
{
	struct handoff_input in = { .type = HANDOFF_DEADLINE, .deadline = deadline };
	struct process *self = &w->process[p];

	if (deadline == HANDOFF_DEADLINE_DRAIN)
		self->drain_runs = false;
	else if (deadline == HANDOFF_DEADLINE_PROBATION)
		self->probation_runs = false;
	else
		self->deadline = 0;
	process_feed(w, p, &in);
}

/* The record is read without the lock: what is decided by it may come when it is no longer true. */
void
process_ticks(struct world *w, int p)
{
	struct handoff_input in = { .type = HANDOFF_TICK, .record = w->record };

	process_feed(w, p, &in);
}
