/* SPDX-License-Identifier: MIT */
/* The public calls about what is handed over: listeners, what is taken, what is offered. */
#include "export.h"

#include "engine.h"

#include <errno.h>

static int
check_name(struct molt *m, const char *name)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (name == NULL)
		return molt__engine_error(m, -EINVAL, "the name is NULL");
	if (!molt__entry_name_ok(name))
		return molt__engine_error(
			m, -EINVAL, "\"%.64s\" is no name: 1 to 63 of A-Z a-z 0-9 . _ -", name);
	return 0;
}

int
molt_listen(struct molt *m, const char *name, const char *address)
{
	int error = check_name(m, name);

	if (error < 0)
		return error;
	if (address == NULL)
		return molt__engine_error(m, -EINVAL, "the address of %s is NULL", name);
	return molt__listeners_listen(m, name, address);
}

int
molt_listener_count(struct molt *m, const char *name)
{
	int error = check_name(m, name);

	return error < 0 ? error : molt__listeners_count(m, name);
}

int
molt_listener_fd(struct molt *m, const char *name, int index)
{
	int error = check_name(m, name);

	if (error < 0)
		return error;
	if (index < 0)
		return molt__engine_error(m, -EINVAL, "%d is no index of a listener's socket",
					  index);
	return molt__listeners_fd(m, name, index);
}

int
molt_take(struct molt *m, const char *name)
{
	int error = check_name(m, name);

	return error < 0 ? error : molt__listeners_take(m, name);
}

int
molt_take_address(struct molt *m, int type, const struct sockaddr *address, socklen_t length)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (address == NULL)
		return molt__engine_error(m, -EINVAL, "the address is NULL");
	return molt__listeners_take_address(m, type, address, length);
}

int
molt_offer(struct molt *m, const char *name, int fd)
{
	int error = check_name(m, name);

	return error < 0 ? error : molt__listeners_offer(m, name, fd);
}

int
molt_withdraw(struct molt *m, const char *name)
{
	int error = check_name(m, name);

	return error < 0 ? error : molt__listeners_withdraw(m, name);
}

int
molt_inherited_count(struct molt *m)
{
	int error = molt__usable(m);

	return error < 0 ? error : molt__inventory_inherited_count(&m->inventory);
}

const char *
molt_inherited_name(struct molt *m, int index)
{
	if (molt__usable(m) < 0 || index < 0)
		return NULL;
	return molt__inventory_inherited_name(&m->inventory, index);
}
