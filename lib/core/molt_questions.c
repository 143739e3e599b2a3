/* SPDX-License-Identifier: MIT */
/* The public questions: where a handle is. They change nothing, and leave molt_error() alone. */
#include "export.h"

#include "engine.h"

#include <errno.h>

int64_t
molt_generation(const struct molt *m)
{
	int error = molt__usable_anywhere(m);

	return error < 0 ? error : (int64_t)m->handoff.generation;
}

const char *
molt_state_name(const struct molt *m)
{
	if (m == NULL)
		return "?";
	if (m->abandoned)
		return "abandoned";
	return molt__handoff_state_name((enum handoff_state)m->handoff.state);
}

int
molt_is_owner(const struct molt *m)
{
	int error = molt__usable_anywhere(m);

	return error < 0 ? error : molt__handoff_is_owner(&m->handoff);
}

/*
 * Who has stopped with nobody following leaves a record without an owner. A first generation may
 * start while connections are left here, and writes its name before it binds anything.
 */
static bool
is_followed(const struct molt *m)
{
	struct record record;

	return molt__rendezvous_read_record(m->rendezvous, &record) == 0 && record.owner != 0 &&
	       record.owner != m->handoff.me;
}

/*
 * Nobody else has this process's listeners as long as no successor was offered them. In a forked
 * child they are its parent's, and the negative errno is "true" as well.
 */
int
molt_retired(const struct molt *m)
{
	int error = molt__usable_anywhere(m);

	if (error < 0)
		return error;
	switch (m->handoff.state) {
	case HANDOFF_NEW:
	case HANDOFF_START:
	case HANDOFF_FIRST:
	case HANDOFF_SERVING:
		return 0;
	case HANDOFF_RENOUNCED:
	case HANDOFF_LEFT:
		return m->handoff.down != 0 || is_followed(m);
	default:
		return 1;
	}
}

int
molt_describe(struct molt *m, char *line, size_t size)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (line == NULL && size > 0)
		return molt__engine_error(m, -EINVAL, "there is no place for the line");
	return molt__status_describe(m, line, size);
}
