/* SPDX-License-Identifier: MIT */
/* What a host may ask of an event. */
#include "export.h"

#include "engine.h"

#include <errno.h>

int
molt_event_type(const struct molt_event *event)
{
	return event != NULL ? event->type : -EINVAL;
}

int
molt_event_reason(const struct molt_event *event)
{
	return event != NULL ? event->reason : -EINVAL;
}

const char *
molt_event_text(const struct molt_event *event)
{
	return event != NULL ? event->text : "";
}

int
molt_event_error(const struct molt_event *event)
{
	return event != NULL ? event->error : -EINVAL;
}

int
molt_event_fd(const struct molt_event *event)
{
	return event != NULL ? event->fd : -EINVAL;
}

int
molt_event_entry_count(const struct molt_event *event)
{
	return event != NULL ? event->entry_count : -EINVAL;
}

static const struct event_entry *
entry_at(const struct molt_event *event, int index)
{
	if (event == NULL || index < 0 || index >= event->entry_count)
		return NULL;
	return &event->entries[index];
}

const char *
molt_event_entry_name(const struct molt_event *event, int index)
{
	const struct event_entry *e = entry_at(event, index);

	return e != NULL ? e->name : NULL;
}

int
molt_event_entry_error(const struct molt_event *event, int index)
{
	const struct event_entry *e = entry_at(event, index);

	return e != NULL ? e->error : -EINVAL;
}
