/* SPDX-License-Identifier: MIT */
/* The checks of the whole graph: what must still be possible, from which states, by whose moves. */
#ifndef MOLT_EXPLORE_PROGRESS_H
#define MOLT_EXPLORE_PROGRESS_H

struct search;

void progress_check(struct search *s);

#endif
