/* SPDX-License-Identifier: MIT */
/* A server program as a child of a test. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t
server_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

const char *
server_example(const char *name, char path[512])
{
	const char *build = getenv("MOLT_BUILD");

	snprintf(path, 512, "%s/examples/%s", build ? build : "build", name);
	return path;
}

static _Noreturn void
become(char *const argv[], int log)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(log, STDERR_FILENO);
	execv(argv[0], argv);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int
server_adopt(struct server *s, pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		return -errno;
	*s = (struct server){ .pid = pid, .pidfd = pidfd, .log = -1 };
	s->started_us = server_now_us();
	return 0;
}

int
server_start(struct server *s, char *const argv[])
{
	int pipes[2], error;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		become(argv, pipes[1]);
	error = pid < 0 ? -errno : server_adopt(s, pid);
	close(pipes[1]);
	if (error < 0)
		close(pipes[0]);
	else
		s->log = pipes[0];
	return error;
}

/* Takes one whole line out of what is pending. 0 if there is none. */
static int
take_line(struct server *s)
{
	char *end = memchr(s->pending, '\n', s->pending_length);
	size_t length;

	if (!end && s->pending_length < sizeof s->pending)
		return 0;
	length = end ? (size_t)(end - s->pending) : s->pending_length;
	snprintf(s->line, sizeof s->line, "%.*s", (int)length, s->pending);
	s->pending_length -= end ? length + 1 : length;
	memmove(s->pending, s->pending + length + (end ? 1 : 0), s->pending_length);
	return 1;
}

/* Waits for `fd` until `end`. 1, or 0 when the time is over. */
static int
readable_until(int fd, int64_t end)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t left;
	int n;

	do {
		left = (end - server_now_us() + 999) / 1000;
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

const char *
server_expect(struct server *s, const char *words, int milliseconds)
{
	int64_t end = server_now_us() + (int64_t)milliseconds * 1000;
	ssize_t n;

	for (;;) {
		while (take_line(s)) {
			if (getenv("MOLT_TEST_VERBOSE"))
				fprintf(stderr, "  %s\n", s->line);
			if (strstr(s->line, words))
				return s->line;
		}
		if (s->log < 0 || !readable_until(s->log, end))
			return NULL;
		n = read(s->log, s->pending + s->pending_length,
			 sizeof s->pending - s->pending_length);
		if (n <= 0)
			return NULL;
		s->pending_length += (size_t)n;
	}
}

int
server_port(struct server *s, int milliseconds)
{
	const char *line = server_expect(s, "listening on ", milliseconds);
	const char *colon = line ? strrchr(line, ':') : NULL;

	return colon ? atoi(colon + 1) : -1;
}

int
server_wait(struct server *s, int milliseconds, int *ret_status)
{
	int status = 0;

	if (!readable_until(s->pidfd, server_now_us() + (int64_t)milliseconds * 1000))
		return -ETIMEDOUT;
	if (s->pid > 0)
		waitpid(s->pid, &status, 0);
	s->pid = -1;
	if (ret_status)
		*ret_status = status;
	return 0;
}

void
server_signal(const struct server *s, int signal)
{
	syscall(SYS_pidfd_send_signal, s->pidfd, signal, NULL, 0);
}

void
server_end(struct server *s)
{
	if (s->pidfd <= 0)
		return; /* never started */
	server_signal(s, SIGKILL);
	server_wait(s, 10000, NULL);
	close(s->pidfd);
	if (s->log >= 0)
		close(s->log);
	s->pidfd = s->log = -1;
}

/* The first process in the kernel's list of our children, or 0. */
static pid_t
first_child(void)
{
	char path[64];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	if (file && fscanf(file, "%d", &pid) != 1)
		pid = 0;
	if (file)
		fclose(file);
	return pid;
}

void
server_end_children(void)
{
	pid_t pid;

	while ((pid = first_child()) > 0) {
		kill(pid, SIGKILL);
		if (waitpid(pid, NULL, 0) < 0)
			return;
	}
}
