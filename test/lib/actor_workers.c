/* SPDX-License-Identifier: MIT */
/* Workers of an actor: forked children that neither exec nor outlive the test. */
#include "actor_child.h"

#include <poll.h>
#include <unistd.h>

/* It has nothing to do, and goes when the test lets go of its actor. */
static _Noreturn void
work(const struct child *c)
{
	struct pollfd p = { .fd = c->control };

	while (poll(&p, 1, -1) < 0)
		continue;
	_exit(0);
}

pid_t
child_fork_worker(const struct child *c, struct molt *m, bool careful)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (careful && molt_after_fork(m) < 0)
		_exit(1);
	work(c);
}
