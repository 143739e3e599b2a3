/* SPDX-License-Identifier: MIT */
/* The public setters: what a handle is told about its host. */
#include "export.h"

#include "engine.h"

#include <errno.h>
#include <string.h>

/* For what the start needs to know. */
static int
check_new(struct molt *m, const char *what)
{
	int error = molt__usable(m);

	if (error == 0 && m->handoff.state != HANDOFF_NEW)
		return molt__engine_error(m, -EBUSY, "%s cannot change after molt_connect()", what);
	return error;
}

/* Texts go to other processes and into JSON. */
static int
check_text(struct molt *m, const char *what, const char *text, size_t max)
{
	size_t length;

	if (text == NULL)
		return molt__engine_error(m, -EINVAL, "%s is NULL", what);
	length = strlen(text);
	if (length > max)
		return molt__engine_error(m, -E2BIG, "%s has %zu bytes, at most %zu are allowed",
					  what, length, max);
	if (molt__entry_text_span(text, length) < length)
		return molt__engine_error(
			m, -EINVAL, "%s is not UTF-8, or has control characters, from byte %zu on",
			what, molt__entry_text_span(text, length));
	return 0;
}

int
molt_set_log(struct molt *m, molt_log_function *write, void *arg)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	m->log = write;
	m->log_arg = arg;
	return 0;
}

int
molt_set_label(struct molt *m, const char *label)
{
	int error = molt__usable(m);

	if (error == 0)
		error = check_text(m, "the label", label, WIRE_LABEL_MAX);
	if (error < 0)
		return error;
	memcpy(m->label, label, strlen(label) + 1);
	molt__status_changed(m);
	return 0;
}

int
molt_set_compatibility(struct molt *m, uint32_t number)
{
	int error = check_new(m, "the compatibility number");

	if (error == 0)
		m->compatibility = number;
	return error;
}

int
molt_allow_downgrade(struct molt *m)
{
	int error = check_new(m, "whether a downgrade is allowed");

	if (error == 0)
		m->allow_downgrade = true;
	return error;
}

int
molt_set_owner(struct molt *m, uid_t uid, gid_t gid, mode_t mode)
{
	int error = check_new(m, "the owner of the socket file");

	if (error < 0)
		return error;
	if ((mode & ~(mode_t)0777) != 0)
		return molt__engine_error(
			m, -EINVAL, "%o is no mode of a socket file: at most 0777", (unsigned)mode);
	m->owner.uid = uid;
	m->owner.gid = gid;
	m->owner.mode = mode;
	return 0;
}

int
molt_allow_uid(struct molt *m, uid_t uid)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (uid == (uid_t)-1)
		return molt__engine_error(m, -EINVAL, "(uid_t)-1 is nobody's uid");
	for (int i = 0; i < m->uid_count; i++)
		if (m->uids[i] == uid)
			return 0;
	if (m->uid_count == ENGINE_UIDS_MAX)
		return molt__engine_error(m, -ENOSPC,
					  "uid %u is one too many: %d are allowed already",
					  (unsigned)uid, ENGINE_UIDS_MAX);
	m->uids[m->uid_count++] = uid;
	return 0;
}

int
molt_set_room(struct molt *m, int descriptors)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (descriptors < 0)
		return molt__engine_error(m, -EINVAL, "%d is no number of descriptors",
					  descriptors);
	m->room = descriptors;
	return 0;
}

/* The first of OFFERED and what follows it is where a handoff begins for a predecessor. */
int
molt_set_exclusive(struct molt *m, int on)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (m->handoff.state >= HANDOFF_OFFERED)
		return molt__engine_error(
			m, -EBUSY,
			"a handoff is under way: say whether the state is exclusive "
			"before it begins");
	m->handoff.exclusive = on != 0;
	return 0;
}

int
molt_set_deadline(struct molt *m, int deadline, int64_t milliseconds)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (deadline < MOLT_DEADLINE_HELLO || deadline > MOLT_DEADLINE_TICK)
		return molt__engine_error(m, -EINVAL, "there is no deadline %d", deadline);
	if (milliseconds < 0 || milliseconds > WIRE_TIME_MAX)
		return molt__engine_error(m, -EINVAL, "%lld ms is out of range: from 0 to %lld",
					  (long long)milliseconds, (long long)WIRE_TIME_MAX);
	if (deadline == MOLT_DEADLINE_TICK && milliseconds == 0)
		return molt__engine_error(m, -EINVAL, "a tick takes at least 1 ms");
	m->time.deadline[deadline] = milliseconds;
	m->time.agreed[deadline] = -1;
	return 0;
}

int
molt_refuse(struct molt *m, const char *why)
{
	int error = molt__usable(m);

	if (error == 0 && why != NULL)
		error = check_text(m, "the reason to refuse", why, WIRE_TEXT_MAX);
	if (error == 0 && why != NULL && why[0] == '\0')
		return molt__engine_error(m, -EINVAL,
					  "a refusal needs a reason: NULL takes the last one back");
	if (error < 0)
		return error;
	m->refusal[0] = '\0';
	if (why != NULL)
		memcpy(m->refusal, why, strlen(why) + 1);
	return 0;
}
