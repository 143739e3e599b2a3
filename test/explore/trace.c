/* SPDX-License-Identifier: MIT */
/* A way to a state, in words. */
#include "kernel.h"
#include "script.h"
#include "search.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {
	[MOVE_START] = "starts",
	[MOVE_HOST_READY] = "its host is ready",
	[MOVE_HOST_ACTS] = "its host acts on what it was told",
	[MOVE_HOST_IDLE] = "its host has no connection left",
	[MOVE_HOST_BUSY] = "its host has connections",
	[MOVE_HOST_CANCEL] = "its host cancels",
	[MOVE_HOST_STOP] = "its host says stop",
	[MOVE_RETRY] = "tries again",
	[MOVE_TICK] = "looks at the record (tick)",
	[MOVE_READ_UP] = "reads from its predecessor",
	[MOVE_READ_DOWN] = "reads from its successor",
	[MOVE_ACCEPT] = "accepts a candidate",
	[MOVE_DROP] = "closes a connection unanswered",
	[MOVE_COMMIT] = "writes the commit",
	[MOVE_CRASH] = "CRASHES",
	[MOVE_FREEZE] = "FREEZES",
	[MOVE_WAKE] = "wakes",
	[MOVE_RELEASE] = "is dead and its OWNER is free",
};

static const char *const deadlines[HANDOFF_DEADLINES] = {
	[HANDOFF_DEADLINE_START] = "start",         [HANDOFF_DEADLINE_READY] = "ready",
	[HANDOFF_DEADLINE_COMMIT] = "commit",       [HANDOFF_DEADLINE_LOAD] = "load",
	[HANDOFF_DEADLINE_CONFIRM] = "confirm",     [HANDOFF_DEADLINE_DRAIN] = "drain",
	[HANDOFF_DEADLINE_PROBATION] = "probation",
};

static const char *const actions[] = {
	[HANDOFF_TAKE_LIFE] = "TAKE_LIFE",
	[HANDOFF_CONNECT] = "CONNECT",
	[HANDOFF_BIND] = "BIND",
	[HANDOFF_LOCK_OWNER] = "LOCK_OWNER",
	[HANDOFF_WRITE_RECORD] = "WRITE_RECORD",
	[HANDOFF_UNLOCK_OWNER] = "UNLOCK_OWNER",
	[HANDOFF_LISTEN] = "LISTEN",
	[HANDOFF_UNLINK_PATH] = "UNLINK_PATH",
	[HANDOFF_CLOSE_PATH] = "CLOSE_PATH",
	[HANDOFF_CLOSE_LIFE] = "CLOSE_LIFE",
	[HANDOFF_CLOSE_ALL] = "CLOSE_ALL",
	[HANDOFF_RETIRE] = "RETIRE",
	[HANDOFF_SEND_READY] = "SEND_READY",
	[HANDOFF_SEND_CONFIRM] = "SEND_CONFIRM",
	[HANDOFF_ADOPT] = "ADOPT",
	[HANDOFF_REFUSE_CANDIDATE] = "REFUSE_CANDIDATE",
	[HANDOFF_SEND_COMMIT] = "SEND_COMMIT",
	[HANDOFF_SEND_ABORT] = "SEND_ABORT",
	[HANDOFF_SEND_BYE] = "SEND_BYE",
	[HANDOFF_CLOSE_UP] = "CLOSE_UP",
	[HANDOFF_CLOSE_DOWN] = "CLOSE_DOWN",
	[HANDOFF_ASK_AGAIN] = "ASK_AGAIN",
	[HANDOFF_ARM] = "ARM",
	[HANDOFF_DISARM] = "DISARM",
	[HANDOFF_TELL] = "TELL",
};

/*
 * The search gives processes new names as it goes; in a trace each keeps the one that it started
 * with.
 */
struct names {
	int number[PROCESSES_MAX + 1]; /* by instance */
};

static const char *
outcome_text(uint8_t outcome)
{
	if (outcome == OUTCOME_FAILED)
		return ", which FAILS";
	return outcome == OUTCOME_LOST ? ", which is LOST" : "";
}

static void
print_action(const struct world *w, const struct move *m, const struct names *n, FILE *to)
{
	const struct script_node *node = script_node(w->process[m->p].script);
	const struct record *r = &node->action.record;

	fprintf(to, "%s", actions[node->action.type]);
	if (node->action.type == HANDOFF_CLOSE_ALL)
		fprintf(to, " part %d", node->part);
	if (node->action.type == HANDOFF_WRITE_RECORD)
		fprintf(to, " owner %d heir %d generation %d", n->number[r->owner],
			n->number[r->heir], (int)r->generation);
}

static const char *
packet_text(const struct world *w, const struct move *m)
{
	uint8_t up = m->kind == MOVE_READ_UP ? w->line[m->p].from_up : 0;
	uint8_t down = m->kind == MOVE_READ_DOWN ? w->line[m->which].from_down : 0;

	if ((up & FROM_UP_OFFER) != 0)
		return ": OFFER";
	if ((up & FROM_UP_REFUSE) != 0)
		return ": REFUSE";
	if ((up & FROM_UP_COMMIT) != 0)
		return ": COMMIT";
	if ((up & FROM_UP_ABORT) != 0)
		return ": ABORT";
	if ((down & FROM_DOWN_READY) != 0)
		return ": READY";
	return (down & FROM_DOWN_CONFIRM) != 0 ? ": CONFIRM" : ": the end";
}

static void
print_move(const struct world *w, const struct move *m, const struct names *n, FILE *to)
{
	fprintf(to, "%d ", n->number[instance_of(m->p)]);
	if (m->kind == MOVE_CARRY_OUT)
		print_action(w, m, n, to);
	else if (m->kind == MOVE_DEADLINE)
		fprintf(to, "its %s deadline passes", deadlines[m->which]);
	else
		fprintf(to, "%s", kinds[m->kind]);
	if (m->kind == MOVE_READ_UP || m->kind == MOVE_READ_DOWN)
		fprintf(to, "%s", packet_text(w, m));
	else if (m->kind == MOVE_ACCEPT || m->kind == MOVE_DROP)
		fprintf(to, ": %d", n->number[instance_of(m->which)]);
	else if (m->kind == MOVE_START && m->which)
		fprintf(to, ", exclusive");
	fprintf(to, "%s\n", outcome_text(m->outcome));
}

static void
print_process(const struct process *p, int number, FILE *to)
{
	if (p->mode == MODE_NEW)
		return;
	fprintf(to, "  %d: %s", number, p->mode == MODE_FROZEN ? "FROZEN " : "");
	if (p->mode == MODE_GONE) {
		fprintf(to, "gone");
		return;
	}
	fprintf(to, "%s%s%s%s%s", molt__handoff_state_name((enum handoff_state)p->machine.state),
		p->script != 0 ? "…" : "", p->service == SERVICE_SERVES ? " SERVES" : "",
		p->service == SERVICE_EMPTIES ? " empties" : "", p->life ? "" : " no-LIFE");
}

static void
print_world(const struct world *w, const struct names *n, FILE *to)
{
	fprintf(to, "       OWNER %d, record %d heir %d; ", n->number[w->owner_lock],
		n->number[w->record.owner], n->number[w->record.heir]);
	for (int number = 1; number <= w->count; number++) {
		for (int i = 0; i < w->count; i++) {
			if (n->number[instance_of(i)] == number)
				print_process(&w->process[i], number, to);
		}
	}
	fprintf(to, "\n");
}

static void
print_step(const struct world *w, const struct move *m, const struct names *n, uint32_t number,
	   FILE *to)
{
	struct world next;

	move_make(w, m, &next);
	fprintf(to, "%4u. ", number);
	print_move(w, m, n, to);
	print_world(&next, n, to);
}

/*
 * The move that led from one state to the other when that was found, and how it changed the names.
 */
static struct move
move_between(const struct search *s, const struct world *w, uint32_t to, uint8_t *ret_old_index)
{
	struct move moves[MOVES_MAX];
	size_t count = moves_of(w, moves);

	for (size_t i = 0; i < count; i++) {
		uint64_t packed[WORLD_WORDS_MAX];
		struct world next;

		move_make(w, &moves[i], &next);
		world_sort(&next, ret_old_index);
		world_pack(&next, packed);
		if (memcmp(packed, space_state(&s->space, to), s->space.words * 8) == 0)
			return moves[i];
	}
	abort();
}

static void
rename_by(struct names *n, const uint8_t *old_index)
{
	struct names old = *n;

	for (int i = 0; i < PROCESSES_MAX; i++)
		n->number[instance_of(i)] = old.number[instance_of(old_index[i])];
}

static uint32_t
length_of_way(const struct search *s, uint32_t id)
{
	uint32_t length = 0;

	for (; s->space.parents[id] != SPACE_NONE; id = s->space.parents[id])
		length++;
	return length;
}

static void
print_way(const struct search *s, uint32_t id, struct names *n, FILE *to)
{
	uint8_t old_index[PROCESSES_MAX] = { 0, 1, 2, 3 };
	uint32_t parent = s->space.parents[id];
	struct move m;
	struct world w;

	if (parent == SPACE_NONE)
		return;
	print_way(s, parent, n, to);
	search_unpack(s, parent, &w);
	m = move_between(s, &w, id, old_index);
	print_step(&w, &m, n, length_of_way(s, id), to);
	rename_by(n, old_index);
}

uint32_t
search_trace_length(const struct search *s, enum check check)
{
	const struct violation *v = &s->violations[check];

	return length_of_way(s, v->state) + (v->by_move ? 1 : 0);
}

void
search_print_trace(const struct search *s, enum check check, FILE *to)
{
	const struct violation *v = &s->violations[check];
	struct names names = { { 0, 1, 2, 3, 4 } };
	struct world w;

	print_way(s, v->state, &names, to);
	if (!v->by_move)
		return;
	search_unpack(s, v->state, &w);
	print_step(&w, &v->move, &names, search_trace_length(s, check), to);
}
