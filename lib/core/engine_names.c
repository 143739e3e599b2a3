/* SPDX-License-Identifier: MIT */
/* The names of events, reasons and processes, for log lines: the library's and the host's. */
#include "export.h"

#include "engine.h"

#include <inttypes.h>
#include <stdio.h>

static const char *
name_in(const char *const *names, size_t count, int number)
{
	if (number < 0 || (size_t)number >= count || names[number] == NULL)
		return "?";
	return names[number];
}

const char *
molt_event_type_name(int type)
{
	static const char *const names[] = {
		[MOLT_STARTED] = "STARTED",
		[MOLT_SERVE] = "SERVE",
		[MOLT_FAILED] = "FAILED",
		[MOLT_LOAD] = "LOAD",
		[MOLT_PAUSE] = "PAUSE",
		[MOLT_DRAIN] = "DRAIN",
		[MOLT_RESUME] = "RESUME",
		[MOLT_RETIRE] = "RETIRE",
		[MOLT_SPAWN_FAILED] = "SPAWN_FAILED",
		[MOLT_LEAVE] = "LEAVE",
	};

	return name_in(names, sizeof(names) / sizeof(*names), type);
}

const char *
molt_reason_name(int reason)
{
	static const char *const names[] = {
		[MOLT_REASON_NONE] = "none",
		[MOLT_REASON_FIRST] = "first",
		[MOLT_REASON_COMMITTED] = "committed",
		[MOLT_REASON_PREDECESSOR_DIED] = "predecessor died",
		[MOLT_REASON_UNTOUCHED] = "untouched",
		[MOLT_REASON_CHANGED] = "changed",
		[MOLT_REASON_UNCLAIMED] = "unclaimed",
		[MOLT_REASON_RENOUNCED] = "renounced",
		[MOLT_REASON_LEAVING] = "leaving",
		[MOLT_REASON_DONE] = "done",
		[MOLT_REASON_DEADLINE] = "deadline",
		[MOLT_REASON_REFUSED] = "refused",
		[MOLT_REASON_DENIED] = "denied",
		[MOLT_REASON_TIMEOUT] = "timeout",
		[MOLT_REASON_ABORTED] = "aborted",
		[MOLT_REASON_DEPOSED] = "deposed",
		[MOLT_REASON_GIVEN_UP] = "given up",
		[MOLT_REASON_PROTOCOL] = "protocol",
		[MOLT_REASON_SYSTEM] = "system",
	};

	return name_in(names, sizeof(names) / sizeof(*names), reason);
}

static struct process_name
name_process(const char *kind, uint64_t number, const char *label)
{
	struct process_name name;

	if (label[0] != '\0')
		snprintf(name.text, sizeof(name.text), "%s %" PRIu64 " (%s)", kind, number, label);
	else
		snprintf(name.text, sizeof(name.text), "%s %" PRIu64, kind, number);
	return name;
}

struct process_name
molt__name_peer(const struct peer *peer)
{
	return name_process("pid", (uint32_t)peer->pid, peer->label);
}

struct process_name
molt__name_own_generation(const struct molt *m)
{
	return name_process("generation", m->handoff.generation, m->label);
}
