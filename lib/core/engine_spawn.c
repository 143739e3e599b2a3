/* SPDX-License-Identifier: MIT */
/* A successor that this process has started, and how it ended. */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

/* --- a spawned successor ---------------------------------------------------------------------- */

int
molt__engine_spawn(struct molt *m, char *const argv[], char *const envp[])
{
	struct spawned child;
	int error;

	if (!molt__handoff_is_owner(&m->handoff))
		return molt__engine_error(m, -EPERM,
					  "this process does not serve, it is %s: it cannot "
					  "spawn a successor",
					  molt__handoff_state_name(m->handoff.state));
	if (m->child.pid != 0)
		return molt__engine_error(m, -EBUSY, "pid %d was spawned and does not serve yet",
					  (int)m->child.pid);
	if (m->handoff.state == HANDOFF_SERVING) { /* the child must be able to find us */
		molt__engine_secure_path(m);
		molt__greet_follow_owner(m);
	}
	error = molt__spawn_start(argv, envp, &child);
	if (error < 0)
		return molt__engine_error(m, error, "%s cannot be started: %s",
					  argv[0] != NULL ? argv[0] : "(nothing)",
					  strerror(-error));
	m->child = child;
	error = molt__engine_watch(m, child.pidfd, ENGINE_CHILD, 0);
	if (error < 0)
		molt__engine_log(m, LOG_ERR, "spawn", "pid %d cannot be watched: %s",
				 (int)child.pid, strerror(-error));
	molt__engine_log(m, LOG_NOTICE, "spawn", "started %s as pid %d", argv[0], (int)child.pid);
	return (int)child.pid;
}

/* Its end after it has come to serve is the handoff's business, and only noted here. */
void
molt__engine_child_ended(struct molt *m)
{
	siginfo_t info;
	char how[64] = "was reaped elsewhere";
	int pid = (int)m->child.pid;
	int error = molt__spawn_reap(m->child.pidfd, &info);

	if (error == -EAGAIN)
		return;
	if (error == 0)
		molt__spawn_describe(&info, how, sizeof(how));
	molt__engine_unwatch(m, m->child.pidfd);
	molt__sys_close(m->child.pidfd);
	memset(&m->child, 0, sizeof(m->child));
	m->child.pidfd = -1;
	if (molt__handoff_is_owner(&m->handoff) || m->handoff.state == HANDOFF_YIELDED)
		molt__event_queue(m, MOLT_SPAWN_FAILED, MOLT_REASON_NONE,
				  "the spawned successor, pid %d, %s before it served", pid, how);
	molt__engine_log(m, LOG_NOTICE, "spawn", "pid %d, spawned here, %s", pid, how);
}
