/* SPDX-License-Identifier: MIT */
/*
 * Starting a process as the successor, and learning how it ended, without touching any other child.
 */
#ifndef MOLT_CORE_SPAWN_H
#define MOLT_CORE_SPAWN_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

struct spawned {
	pid_t pid;
	int pidfd; /* readable when it has ended; the caller's to close */
};

/*
 * Starts argv[0], found anew by its path (by PATH if it has no slash), with default signals, an
 * empty mask, the descriptors 0 to 2 only, and `envp` (this process's environment if NULL) less
 * what systemd meant for this process alone. What exec says is known at once: -ENOENT, -EACCES,
 * -ENOEXEC, … mean that there is no child. -EINVAL: no argv[0]; -EMFILE, -EAGAIN, -ENOMEM: this
 * process's limits; -ECHILD: it has ended already, and the host reaped it.
 */
int molt__spawn_start(char *const argv[], char *const envp[], struct spawned *ret_spawned);

/*
 * Reaps it, if it has ended: 0, and how (si_code CLD_EXITED, CLD_KILLED or CLD_DUMPED; si_status).
 * -EAGAIN: it runs. -ECHILD: it has ended and the host reaped it, or ignores SIGCHLD.
 */
int molt__spawn_reap(int pidfd, siginfo_t *ret_info);

/* That in words: "exited with status 3", "was killed by signal 9". Always ended by a NUL. */
void molt__spawn_describe(const siginfo_t *info, char *text, size_t size);

#endif
