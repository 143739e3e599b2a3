/* SPDX-License-Identifier: MIT */
/*
 * The record in the lock file: who owns the service, and who may take it next. Plain data. Owner
 * and heir are instances (random, never reused); 0 is nobody.
 */
#ifndef MOLT_CORE_RECORD_H
#define MOLT_CORE_RECORD_H

#include <stdint.h>

struct record {
	uint64_t sequence;   /* one more with each write, whatever the caller says */
	uint64_t generation; /* the owner's */
	uint64_t owner;
	uint64_t heir;
};

#endif
