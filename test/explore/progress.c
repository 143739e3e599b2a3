/* SPDX-License-Identifier: MIT */
/*
 * Backward reachability. An aim has states that need it, states that are there, and edges that may
 * be used; each state that needs it must have a way of such edges to one that is there. All aims
 * that are about the same process go backward together, one bit each.
 */
#include "progress.h"

#include "kernel.h"
#include "search.h"

#include <stdlib.h>
#include <string.h>

#define SELF_MOVES (CLASS_BIT(CLASS_OWN) | CLASS_BIT(CLASS_RELEASE))
#define SELF_AND_TIME (SELF_MOVES | CLASS_BIT(CLASS_DEADLINE))
#define SELF_AND_HOST (SELF_AND_TIME | CLASS_BIT(CLASS_ACT))
#define NO_FAULT (SELF_AND_HOST | CLASS_BIT(CLASS_WILL))
#define WITH_HELP (NO_FAULT | CLASS_BIT(CLASS_WAKE) | CLASS_BIT(CLASS_START))

/*
 * An aim of one process is to get out of some of the machine's states by its own moves alone, its
 * peers being silent; the aim of the service is that somebody serves. `needs` says who must be able
 * to.
 */
struct aim {
	enum check check;
	unsigned classes; /* of edges */
	unsigned states;  /* of the machine */
	bool (*needs)(const struct world *w, int p);
};

/* --- Of the service --------------------------------------------------------------------------- */

static bool
somebody_serves(const struct world *w)
{
	for (int i = 0; i < w->count; i++) {
		if (w->process[i].mode == MODE_RUNNING && w->process[i].service == SERVICE_SERVES)
			return true;
	}
	return false;
}

/* Free, or about to be without anybody being woken. */
static bool
owner_lock_moves(const struct world *w)
{
	return w->owner_lock == 0 || w->process[w->owner_lock - 1].mode != MODE_FROZEN;
}

static bool
any(const struct world *w, bool (*is_so)(const struct world *w, int p))
{
	for (int i = 0; i < w->count; i++) {
		if (w->process[i].mode == MODE_RUNNING && is_so(w, i))
			return true;
	}
	return false;
}

static bool
is_heir(const struct world *w, int p)
{
	uint8_t state = w->process[p].machine.state;

	if (w->record.heir != instance_of(p) || (w->line[p].from_up & FROM_UP_ABORT) != 0)
		return false;
	if (!world_is_gone(w, w->record.owner) && !w->line[p].committed)
		return false;
	return state == HANDOFF_WARM || state == HANDOFF_READY || state == HANDOFF_LOAD ||
	       state == HANDOFF_CLAIM;
}

static bool
heir_waits(const struct world *w, int p)
{
	(void)p;
	return owner_lock_moves(w) && any(w, is_heir);
}

/* Its successor owned and died, and it may go on. */
static bool
is_wanted_back(const struct world *w, int p)
{
	const struct process *self = &w->process[p];
	int s = kernel_successor(w, p, PLACE_ADOPTED);

	if (self->machine.state != HANDOFF_DRAIN && self->machine.state != HANDOFF_YIELDED)
		return false;
	return s >= 0 && w->record.owner == instance_of(s) && world_is_gone(w, w->record.owner) &&
	       !self->stopped && !self->machine.exclusive;
}

static bool
predecessor_is_wanted(const struct world *w, int p)
{
	(void)p;
	return owner_lock_moves(w) && any(w, is_wanted_back);
}

static bool
is_yielder(const struct world *w, int p)
{
	return w->process[p].machine.state == HANDOFF_YIELDED && w->record.owner == instance_of(p);
}

static bool
yielder_waits(const struct world *w, int p)
{
	(void)p;
	return owner_lock_moves(w) && any(w, is_yielder);
}

static bool
is_first(const struct world *w, int p)
{
	const struct process *self = &w->process[p];

	if (self->machine.state == HANDOFF_FIRST)
		return self->script == 0;
	return self->machine.state == HANDOFF_START && (self->life || !kernel_life_is_held(w));
}

static bool
first_waits(const struct world *w, int p)
{
	(void)p;
	return owner_lock_moves(w) && any(w, is_first);
}

/* A fresh starter is there to be added. */
static bool
can_be_helped(const struct world *w, int p)
{
	(void)p;
	return w->process[w->count - 1].mode == MODE_NEW;
}

static const struct aim aims_of_service[] = {
	{ CHECK_HEIR_TAKES_OVER, NO_FAULT, 0, heir_waits },
	{ CHECK_PREDECESSOR_TAKES_BACK, NO_FAULT, 0, predecessor_is_wanted },
	{ CHECK_YIELDER_RESUMES, NO_FAULT, 0, yielder_waits },
	{ CHECK_FIRST_SERVES, NO_FAULT, 0, first_waits },
	{ CHECK_SERVICE_COMES_BACK, WITH_HELP, 0, can_be_helped },
};

/* --- Of one process --------------------------------------------------------------------------- */

#define IN(state) (1u << (state))
#define HOPEFUL (IN(HANDOFF_WARM) | IN(HANDOFF_READY) | IN(HANDOFF_LOAD) | IN(HANDOFF_CLAIM))

static bool
always(const struct world *w, int p)
{
	(void)w;
	(void)p;
	return true;
}

/* Its end of file leaves the answer to OWNER. */
static bool
successor_has_owned(const struct world *w, int p)
{
	int s = kernel_successor(w, p, PLACE_ADOPTED);

	return s >= 0 && w->record.owner == instance_of(s) && !w->line[s].end_read;
}

/*
 * Only a living process that holds OWNER keeps it there: it may be about to write, and must be let.
 */
static bool
can_find_out(const struct world *w, int p)
{
	bool held = w->owner_lock != 0 && w->owner_lock != instance_of(p) &&
		    !world_is_gone(w, w->owner_lock);

	return !held || successor_has_owned(w, p);
}

static bool
is_deposed(const struct world *w, int p)
{
	return w->record.heir != instance_of(p) && w->record.owner != instance_of(p);
}

static bool
stranger_owns(const struct world *w, int p)
{
	int s = kernel_successor(w, p, PLACE_ADOPTED);

	return w->record.owner != instance_of(p) && (s < 0 || w->record.owner != instance_of(s));
}

static const struct aim aims_of_process[] = {
	{ CHECK_START_ENDS, SELF_AND_TIME, IN(HANDOFF_START) | IN(HANDOFF_CONN), always },
	{ CHECK_READY_ENDS, SELF_AND_TIME, IN(HANDOFF_READY), always },
	{ CHECK_LOAD_ENDS, SELF_AND_TIME, IN(HANDOFF_LOAD), always },
	{ CHECK_CLAIM_ENDS, SELF_AND_TIME, IN(HANDOFF_CLAIM), always },
	{ CHECK_OFFER_ENDS, SELF_AND_TIME, IN(HANDOFF_OFFERED), always },
	{ CHECK_PAUSE_ENDS, SELF_AND_TIME, IN(HANDOFF_PAUSED), always },
	{ CHECK_YIELD_ENDS, SELF_AND_TIME, IN(HANDOFF_YIELDED), can_find_out },
	{ CHECK_DRAIN_ENDS, SELF_AND_HOST, IN(HANDOFF_DRAIN), always },
	{ CHECK_RENOUNCED_ENDS, SELF_AND_HOST, IN(HANDOFF_RENOUNCED), always },
	{ CHECK_DEPOSED_FAILS, SELF_MOVES, HOPEFUL, is_deposed },
	{ CHECK_SUCCESS_IS_SEEN, SELF_MOVES, IN(HANDOFF_YIELDED), successor_has_owned },
	{ CHECK_STRANGER_IS_SEEN, SELF_MOVES, IN(HANDOFF_DRAIN), stranger_owns },
};

/* --- All aims --------------------------------------------------------------------------------- */

enum { AIMS_MAX = 16 };

/* By state: a bit an aim, and AIMS_MAX bits a process. */
struct pass {
	struct search *search;
	const struct aim *aims;
	size_t count;
	int subjects; /* processes, or one whole world */
	uint64_t *reached;
};

static bool
is_in(const struct world *w, int p, unsigned states)
{
	return w->process[p].mode == MODE_RUNNING &&
	       (states & IN(w->process[p].machine.state)) != 0;
}

static bool
is_there(const struct aim *aim, const struct world *w, int p)
{
	return aim->states == 0 ? somebody_serves(w) : !is_in(w, p, aim->states);
}

static bool
needs(const struct aim *aim, const struct world *w, int p)
{
	return (aim->states == 0 || is_in(w, p, aim->states)) && aim->needs(w, p);
}

static uint64_t
aim_bit(int p, size_t aim)
{
	return UINT64_C(1) << ((unsigned)p * AIMS_MAX + aim);
}

static void
begin_pass(struct pass *pass)
{
	for (uint32_t id = 0; id < pass->search->space.count; id++) {
		struct world w;

		search_unpack(pass->search, id, &w);
		pass->reached[id] = 0;
		for (int p = 0; p < pass->subjects; p++) {
			for (size_t i = 0; i < pass->count; i++) {
				if (is_there(&pass->aims[i], &w, p))
					pass->reached[id] |= aim_bit(p, i);
			}
		}
	}
}

/* Which aims may use an edge of such a label, one bit each. */
static uint64_t
users_of(const struct pass *pass, uint8_t label)
{
	uint64_t users = 0;

	for (size_t i = 0; i < pass->count; i++) {
		if ((pass->aims[i].classes & CLASS_BIT(label_class(label))) != 0)
			users |= aim_bit(0, i);
	}
	return users;
}

/*
 * What is reached from an edge's end is reached from its beginning, by the process that makes the
 * move.
 */
static uint64_t
carry_back(const struct pass *pass, uint64_t reached, uint8_t label, uint64_t users)
{
	if (pass->subjects == 1)
		return reached & users;
	if (label_class(label) == CLASS_RELEASE)
		return reached & users * UINT64_C(0x0001000100010001);
	return (reached >> AIMS_MAX * label_after(label) & users) << AIMS_MAX * label_before(label);
}

static bool
sweep(struct pass *pass, const uint64_t *users)
{
	const struct space *space = &pass->search->space;
	bool changed = false;

	for (uint32_t id = space->count; id-- > 0;) {
		uint64_t reached = pass->reached[id];

		for (uint64_t e = space_first_edge(space, id); e < space->edge_ends[id]; e++) {
			uint8_t label = space->edge_label[e];

			if (users[label] != 0)
				reached |= carry_back(pass, pass->reached[space->edge_to[e]], label,
						      users[label]);
		}
		changed = changed || reached != pass->reached[id];
		pass->reached[id] = reached;
	}
	return changed;
}

static void
end_pass(struct pass *pass)
{
	for (uint32_t id = 0; id < pass->search->space.count; id++) {
		struct world w;

		search_unpack(pass->search, id, &w);
		for (int p = 0; p < pass->subjects; p++) {
			for (size_t i = 0; i < pass->count; i++) {
				if ((pass->reached[id] & aim_bit(p, i)) == 0 &&
				    needs(&pass->aims[i], &w, p))
					search_violated(pass->search, pass->aims[i].check, id);
			}
		}
	}
}

static bool
is_wanted(const struct pass *pass)
{
	for (size_t i = 0; i < pass->count; i++) {
		if ((pass->search->wanted & CHECK_BIT(pass->aims[i].check)) != 0)
			return true;
	}
	return false;
}

static void
run_pass(struct pass *pass)
{
	uint64_t users[256];

	if (!is_wanted(pass))
		return;
	for (int label = 0; label < 256; label++)
		users[label] = users_of(pass, (uint8_t)label);
	begin_pass(pass);
	while (sweep(pass, users))
		;
	end_pass(pass);
}

void
progress_check(struct search *s)
{
	struct pass service = { .search = s,
				.aims = aims_of_service,
				.subjects = 1,
				.count = sizeof(aims_of_service) / sizeof(aims_of_service[0]) };
	struct pass process = { .search = s,
				.aims = aims_of_process,
				.subjects = s->bounds->processes,
				.count = sizeof(aims_of_process) / sizeof(aims_of_process[0]) };

	if ((s->wanted >> CHECK_FIRST_OF_GRAPH) == 0)
		return;
	service.reached = malloc(s->space.count * sizeof(*service.reached));
	process.reached = service.reached;
	if (service.reached == NULL)
		abort();
	run_pass(&service);
	run_pass(&process);
	free(service.reached);
}
