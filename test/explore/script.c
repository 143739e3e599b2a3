/* SPDX-License-Identifier: MIT */
/* Lists of actions, each tail kept once. */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 4096, BUCKETS = 4096 };

static struct script_node nodes[NODES_MAX];
static uint16_t node_after[NODES_MAX]; /* in its bucket */
static uint16_t bucket[BUCKETS];
static uint16_t nodes_used = 1;

static bool
same_action(const struct handoff_action *a, const struct handoff_action *b)
{
	return a->type == b->type && a->deadline == b->deadline && a->event == b->event &&
	       a->reason == b->reason && a->record.owner == b->record.owner &&
	       a->record.heir == b->record.heir && a->record.generation == b->record.generation;
}

static uint32_t
mix(uint32_t h, uint64_t value)
{
	return (h ^ (uint32_t)value) * 0x01000193u;
}

static uint32_t
shape_of(const struct handoff_action *a, int part, uint16_t next)
{
	uint32_t h = mix(nodes[next].shape, (uint64_t)a->type);

	h = mix(h, (uint64_t)a->deadline);
	h = mix(h, (uint64_t)a->event);
	h = mix(h, (uint64_t)a->reason);
	h = mix(h, a->record.generation);
	return mix(h, (uint64_t)part);
}

static uint16_t
node_of(const struct handoff_action *action, int part, uint16_t next)
{
	uint32_t shape = shape_of(action, part, next);
	uint16_t *first = &bucket[shape % BUCKETS];
	uint16_t i;

	for (i = *first; i != 0; i = node_after[i]) {
		if (nodes[i].part == part && nodes[i].next == next &&
		    same_action(&nodes[i].action, action))
			return i;
	}
	if (nodes_used == NODES_MAX) {
		fprintf(stderr, "explore: too many scripts\n");
		abort();
	}
	i = nodes_used++;
	nodes[i] = (struct script_node){ *action, (uint8_t)part, next, false, shape };
	nodes[i].names = action->record.owner != 0 || action->record.heir != 0 || nodes[next].names;
	node_after[i] = *first;
	*first = i;
	return i;
}

uint16_t
script_of(const struct handoff_action *actions, size_t count)
{
	uint16_t rest = 0;

	while (count-- > 0) {
		int parts = actions[count].type == HANDOFF_CLOSE_ALL ? CLOSE_PARTS : 1;

		while (parts-- > 0)
			rest = node_of(&actions[count], parts, rest);
	}
	return rest;
}

uint16_t
script_rename(uint16_t script, const uint8_t *new_name)
{
	struct handoff_action action = nodes[script].action;

	if (!nodes[script].names)
		return script;
	action.record.owner = new_name[action.record.owner];
	action.record.heir = new_name[action.record.heir];
	return node_of(&action, nodes[script].part, script_rename(nodes[script].next, new_name));
}

const struct script_node *
script_node(uint16_t script)
{
	return &nodes[script];
}
