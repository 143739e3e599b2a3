/* SPDX-License-Identifier: MIT */
/*
 * What a process still has to carry out: the rest of the actions of a step, kept once and known by
 * a number. 0 is nothing. CLOSE_ALL comes apart into what others can see one after the other.
 */
#ifndef MOLT_EXPLORE_SCRIPT_H
#define MOLT_EXPLORE_SCRIPT_H

#include "handoff.h"

/*
 * Parts of CLOSE_ALL: its end may be read before anything else of it is gone. 0 for all other
 * actions.
 */
enum { CLOSE_CHANNELS, CLOSE_REST, CLOSE_PARTS };

struct script_node {
	struct handoff_action action;
	uint8_t part;
	uint16_t next;
	bool names;     /* it names somebody */
	uint32_t shape; /* the same for scripts that differ only by whom they name */
};

uint16_t script_of(const struct handoff_action *actions, size_t count);
/* The same with other names: new_name[old instance], 0 for 0. Four names at most. */
uint16_t script_rename(uint16_t script, const uint8_t *new_name);

const struct script_node *script_node(uint16_t script);

#endif
