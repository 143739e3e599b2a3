/* SPDX-License-Identifier: MIT */
/*
 * Starting a process as the successor, and learning how it ended.
 *
 * posix_spawn rather than fork: it does not copy the page tables of a server of many gigabytes, its
 * clients would notice that; it runs none of the host's atfork handlers; and it tells exec's errno.
 */
#include "spawn.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"

extern char **environ;

/* What systemd said to this process and to no other. */
static bool
is_for_us_alone(const char *variable)
{
	static const char *const names[] = {
		"LISTEN_PID=",     "LISTEN_PIDFDID=", "LISTEN_FDS=",
		"LISTEN_FDNAMES=", "NOTIFY_SOCKET=",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

/* A new array of the old strings. */
static char **
new_environment(char *const envp[])
{
	size_t count = 0;
	size_t kept = 0;
	char **environment;

	while (envp[count])
		count++;
	environment = malloc((count + 1) * sizeof(*environment));
	if (!environment)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (!is_for_us_alone(envp[i]))
			environment[kept++] = envp[i];
	}
	environment[kept] = NULL;
	return environment;
}

/* Default signals, empty mask. Returns what posix_spawn functions do: a positive errno. */
static int
set_signals(posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	int error;

	sigfillset(&all);
	sigemptyset(&none);
	error = posix_spawnattr_setsigdefault(attributes, &all);
	if (error == 0)
		error = posix_spawnattr_setsigmask(attributes, &none);
	if (error == 0)
		error = posix_spawnattr_setflags(attributes,
						 POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	return error;
}

static int
spawn_with(const posix_spawn_file_actions_t *actions, char *const argv[], char *const environment[],
	   pid_t *ret_pid)
{
	posix_spawnattr_t attributes;
	int error = posix_spawnattr_init(&attributes);

	if (error != 0)
		return error;
	error = set_signals(&attributes);
	if (error == 0)
		error = posix_spawnp(ret_pid, argv[0], actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	return error;
}

static int
spawn(char *const argv[], char *const environment[], pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int error = posix_spawn_file_actions_init(&actions);

	if (error != 0)
		return error;
	error = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	if (error == 0)
		error = spawn_with(&actions, argv, environment, ret_pid);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/*
 * Watches a new child. One that cannot be watched must not live on; but one that is not there any
 * more was reaped by the host, and then its number is not to be touched.
 */
static int
watch(pid_t pid)
{
	int pidfd = molt__sys_open_pidfd(pid);

	if (pidfd == -ESRCH)
		return -ECHILD;
	if (pidfd < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	return pidfd;
}

int
molt__spawn_start(char *const argv[], char *const envp[], struct spawned *ret_spawned)
{
	struct spawned spawned;
	char **environment;
	int reserve, error;

	if (!argv[0] || argv[0][0] == '\0')
		return -EINVAL;
	/* A descriptor for the pidfd, found before there is a child. */
	reserve = molt__sys_open_pidfd(getpid());
	if (reserve < 0)
		return reserve;
	environment = new_environment(envp ? envp : environ);
	error = environment ? spawn(argv, environment, &spawned.pid) : ENOMEM;
	free(environment);
	molt__sys_close(reserve);
	if (error != 0)
		return -error;
	spawned.pidfd = watch(spawned.pid);
	if (spawned.pidfd < 0)
		return spawned.pidfd;
	*ret_spawned = spawned;
	return 0;
}

int
molt__spawn_reap(int pidfd, siginfo_t *ret_info)
{
	siginfo_t info = { .si_pid = 0 };
	int r;

	do
		r = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (info.si_pid == 0)
		return -EAGAIN;
	*ret_info = info;
	return 0;
}

void
molt__spawn_describe(const siginfo_t *info, char *text, size_t size)
{
	if (info->si_code == CLD_EXITED)
		snprintf(text, size, "exited with status %d", info->si_status);
	else
		snprintf(text, size, "was killed by signal %d", info->si_status);
}
