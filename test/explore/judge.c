/* SPDX-License-Identifier: MIT */
/* The rules of safety. */
#include "judge.h"

#include "holding.h"
#include "kernel.h"

static void
demand(struct world *w, bool kept, enum check check)
{
	if (!kept)
		w->broken |= CHECK_BIT(check);
}

static bool
holds_owner(const struct world *w, int p)
{
	return w->owner_lock == instance_of(p);
}

/* It takes over from the successor that the record names, and that it was connected to last. */
static void
judge_taking_back(struct world *w, int p)
{
	int s = kernel_successor(w, p, PLACE_ADOPTED);

	demand(w, s >= 0 && w->record.owner == instance_of(s), CHECK_ENTITLED);
	if (s >= 0)
		demand(w, w->line[s].end_read, CHECK_WAITS_FOR_THE_END);
	demand(w, !w->process[p].stopped, CHECK_STOPPING_TAKES_NOTHING);
}

static void
judge_taking(struct world *w, int p, const struct record *record)
{
	const struct record *old = &w->record;
	uint64_t generation = old->generation;

	if (w->process[p].founder) {
		generation = 1;
	} else if (!w->record_valid) {
		demand(w, false, CHECK_ENTITLED);
	} else if (old->owner != instance_of(p) && old->heir == instance_of(p)) {
		generation++;
	} else if (old->owner != instance_of(p)) {
		judge_taking_back(w, p);
	}
	demand(w, record->generation == generation, CHECK_GENERATIONS);
}

void
judge_write(struct world *w, int p, const struct record *record)
{
	judge_change(w, p);
	if (record->owner == instance_of(p))
		judge_taking(w, p, record);
	else
		demand(w, record->owner == 0 && w->record.owner == instance_of(p), CHECK_ENTITLED);
}

void
judge_change(struct world *w, int p)
{
	demand(w, holds_owner(w, p), CHECK_OWNER_ONLY);
}

void
judge_found_path(struct world *w)
{
	demand(w, false, CHECK_PATH_IS_FREE);
}

/* An owner that lets go leaves to its heir what it had promised, unless it could not write. */
void
judge_unlock(struct world *w, int p)
{
	const struct record *r = &w->record;

	if (!holds_owner(w, p) || r->owner != instance_of(p) || r->heir == 0 ||
	    w->process[p].failed)
		return;
	demand(w, w->line[r->heir - 1].committed || world_is_gone(w, r->heir),
	       CHECK_COMMIT_BEFORE_UNLOCK);
}

void
judge_offer(struct world *w, int p, int s)
{
	demand(w,
	       holds_owner(w, p) && w->record.owner == instance_of(p) &&
		       w->record.heir == instance_of(s),
	       CHECK_NAMED_BEFORE_OFFER);
	demand(w, kernel_successor(w, p, PLACE_ADOPTED) < 0, CHECK_ONE_HANDOFF);
}

void
judge_refusal(struct world *w, int p, enum handoff_reason reason)
{
	int s = kernel_successor(w, p, PLACE_ADOPTED);

	if (reason == HANDOFF_REASON_SYSTEM)
		demand(w, w->process[p].failed, CHECK_CHAINS);
	else
		demand(w, s >= 0 && !w->line[s].closed_down, CHECK_CHAINS);
}

void
judge_abort(struct world *w, int p)
{
	int s = kernel_successor(w, p, PLACE_ADOPTED);

	if (s >= 0 && holds_owner(w, p))
		demand(w, w->record.heir != instance_of(s) || w->process[p].failed,
		       CHECK_ABORTED_IS_UNNAMED);
}

static void
judge_resume(struct world *w, int p, enum handoff_reason reason)
{
	const struct process *process = &w->process[p];

	if (reason == HANDOFF_REASON_CHANGED) {
		demand(w, !process->machine.exclusive, CHECK_EXCLUSIVE);
		return;
	}
	demand(w,
	       !process->touched && holding_has(process, LISTENER_CLAIMED) &&
		       (holding_has(process, LISTENER_UNCLAIMED) || !process->machine.has_life) &&
		       process->retiring == RETIRING_NOTHING,
	       CHECK_UNTOUCHED);
}

void
judge_service(struct world *w, int p, enum handoff_event event, enum handoff_reason reason)
{
	for (int i = 0; i < w->count; i++)
		demand(w, i == p || w->process[i].service != SERVICE_SERVES, CHECK_ONE_OWNER);
	demand(w, holds_owner(w, p) && w->record.owner == instance_of(p), CHECK_SERVES_WITH_OWNER);
	demand(w,
	       holding_has(&w->process[p], LISTENER_CLAIMED) &&
		       w->process[p].retiring != RETIRING_ALL,
	       CHECK_QUEUE_NEVER_DIES);
	if (event == HANDOFF_EVENT_RESUME)
		judge_resume(w, p, reason);
	else if (reason == HANDOFF_REASON_COMMITTED)
		demand(w, !w->process[p].stale, CHECK_NO_STALE_STATE);
}

void
judge_end(struct world *w, int p)
{
	const struct process *process = &w->process[p];
	bool lines = w->line[p].place != PLACE_NONE && !w->line[p].closed_down;

	lines = lines || kernel_successor(w, p, PLACE_ADOPTED) >= 0;
	demand(w,
	       !lines && !process->life && !holding_has_any(process) && process->path == 0 &&
		       !holds_owner(w, p),
	       CHECK_FAILED_HOLDS_NOTHING);
}

/* Who has renounced has closed its listeners before. */
void
judge_leaving(struct world *w, int p)
{
	int s = kernel_successor(w, p, PLACE_ADOPTED);

	demand(w, s < 0 || !w->line[s].end_read || !holding_has(&w->process[p], LISTENER_CLAIMED),
	       CHECK_ASKS_BEFORE_LEAVING);
}

static bool
needs_life(const struct process *p)
{
	switch (p->machine.state) {
	case HANDOFF_FIRST:
	case HANDOFF_WARM:
	case HANDOFF_READY:
	case HANDOFF_LOAD:
	case HANDOFF_CLAIM:
	case HANDOFF_SERVING:
	case HANDOFF_OFFERED:
	case HANDOFF_PAUSED:
	case HANDOFF_YIELDED:
	case HANDOFF_DRAIN:
		return true;
	case HANDOFF_RENOUNCED:
		return holding_has(p, LISTENER_CLAIMED);
	default:
		return p->service != SERVICE_NONE;
	}
}

/*
 * The last one to close it may, if the service ended before: by its owner's end, or on purpose
 * (also if that could not be written).
 */
static bool
queue_may_die(const struct world *w)
{
	uint64_t owner = w->record.owner;

	return owner == 0 || world_is_gone(w, owner) || w->process[owner - 1].failed;
}

void
judge_edge(const struct world *before, struct world *after, bool crash)
{
	for (int i = 0; i < after->count; i++) {
		const struct process *process = &after->process[i];

		if (!process_lives(process))
			continue;
		if (process->service == SERVICE_SERVES)
			demand(after, holds_owner(after, i), CHECK_SERVES_WITH_OWNER);
		demand(after, process->life || !needs_life(process), CHECK_LIFE);
	}
	if (!crash && kernel_claimed_is_held(before) && !kernel_claimed_is_held(after))
		demand(after, queue_may_die(after), CHECK_QUEUE_NEVER_DIES);
}
