/* SPDX-License-Identifier: MIT */
/* Judging from outside who served. */
#include "judge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool wrong(struct judge *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool
wrong(struct judge *j, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(j->sentence, sizeof(j->sentence), format, args);
	va_end(args);
	return false;
}

static unsigned
entry_count(const struct actor_stage *stage)
{
	unsigned count = atomic_load(&stage->count);

	return count < ACTOR_STAGE_MAX ? count : ACTOR_STAGE_MAX;
}

static const char *
label_of(const struct judge *j, pid_t pid)
{
	for (int i = 0; i < j->process_count; i++)
		if (j->processes[i].pid == pid)
			return j->processes[i].label;
	return "?";
}

/* --- The stage -------------------------------------------------------------------------------- */

bool
judge_in_service(const struct actor_stage *stage, pid_t pid)
{
	bool serves = false;

	for (unsigned i = 0; i < entry_count(stage); i++)
		if (stage->entries[i].pid == pid)
			serves = stage->entries[i].serves;
	return serves;
}

/* The order of the entries decides, not their times: a place is taken before the time is read. */
bool
judge_one_owner(struct judge *j)
{
	pid_t owner = 0;

	for (unsigned i = 0; i < entry_count(j->stage); i++) {
		pid_t pid = j->stage->entries[i].pid;
		bool serves = j->stage->entries[i].serves;
		if (serves && owner != 0 && owner != pid)
			return wrong(j, "two in service: %s entered while %s was", label_of(j, pid),
				     label_of(j, owner));
		if (serves)
			owner = pid;
		else if (owner == pid)
			owner = 0;
	}
	return true;
}

/* --- Datagrams -------------------------------------------------------------------------------- */

/* Whether who has that label was in service at any moment of the two. */
static bool
served_between(const struct judge *j, const char *label, int64_t from, int64_t to)
{
	int64_t entered = 0;

	for (unsigned i = 0; i < entry_count(j->stage); i++) {
		if (strcmp(label_of(j, j->stage->entries[i].pid), label) != 0)
			continue;
		if (j->stage->entries[i].serves) {
			entered = j->stage->entries[i].ns;
		} else if (entered != 0) {
			if (entered <= to && j->stage->entries[i].ns >= from)
				return true;
			entered = 0;
		}
	}
	return entered != 0 && entered <= to;
}

static int
times_entered(const struct judge *j)
{
	int count = 0;

	for (unsigned i = 0; i < entry_count(j->stage); i++)
		count += j->stage->entries[i].serves;
	return count;
}

bool
judge_datagrams(struct judge *j)
{
	const struct fault_asks *d = &j->clients->datagrams;
	const char *last = NULL;
	int changes = 0;

	for (int i = 0; i < d->count; i++) {
		const struct fault_ask *ask = &d->asks[i];
		if (ask->answered_ns == 0)
			continue;
		if (!served_between(j, ask->label, ask->asked_ns, ask->answered_ns))
			return wrong(j, "%s read a datagram outside its service", ask->label);
		changes += last != NULL && strcmp(last, ask->label) != 0;
		last = ask->label;
	}
	if (last == NULL)
		return wrong(j, "no datagram was answered, so nothing was judged");
	if (changes > times_entered(j) - 1)
		return wrong(j, "the flow of datagrams changed process %d times, the service %d",
			     changes, times_entered(j) - 1);
	return true;
}

/* --- Connections ------------------------------------------------------------------------------ */

static const char *
fate(int error)
{
	switch (error) {
	case -ECONNREFUSED:
		return "refused";
	case -ECONNRESET:
		return "reset";
	case -EPIPE:
		return "closed without an answer";
	default:
		return strerror(-error);
	}
}

bool
judge_connections(struct judge *j, int64_t since_ns)
{
	const struct fault_asks *c = &j->clients->connections;

	for (int i = 0; i < c->count; i++)
		if (c->asks[i].error < 0 && c->asks[i].asked_ns >= since_ns)
			return wrong(j, "a connection was lost: %s", fate(c->asks[i].error));
	return true;
}

bool
judge_delay(struct judge *j, int64_t since_ns, int64_t until_ns, int64_t from_ns, int64_t within_ns)
{
	const struct fault_asks *c = &j->clients->connections;

	for (int i = 0; i < c->count; i++) {
		const struct fault_ask *ask = &c->asks[i];
		int64_t from = ask->asked_ns > from_ns ? ask->asked_ns : from_ns;
		if (ask->asked_ns < since_ns || ask->asked_ns > until_ns || ask->error < 0)
			continue;
		if (ask->answered_ns == 0)
			return wrong(j, "a connection was never answered");
		if (ask->answered_ns - from > within_ns)
			return wrong(j, "late: answered after %d ms, not within %d",
				     (int)((ask->answered_ns - from) / 1000000),
				     (int)(within_ns / 1000000));
	}
	return true;
}
