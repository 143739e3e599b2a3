/* SPDX-License-Identifier: MIT */
/* The test's side of an actor: starting it, telling it, hearing of it. */
#include "actor.h"
#include "actor_child.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- The stage -------------------------------------------------------------------------------- */

struct actor_stage *
actor_stage_new(void)
{
	void *p = mmap(NULL, sizeof(struct actor_stage), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void
actor_stage_free(struct actor_stage *stage)
{
	if (stage != NULL)
		munmap(stage, sizeof(*stage));
}

void
actor_stage_enter(struct actor_stage *stage, pid_t pid, int serves)
{
	unsigned i = atomic_fetch_add(&stage->count, 1);

	if (i >= ACTOR_STAGE_MAX)
		return;
	stage->entries[i].pid = pid;
	stage->entries[i].serves = serves;
	stage->entries[i].ns = now_ns();
}

/* --- Beginning -------------------------------------------------------------------------------- */

static int
make_pairs(int control[2], int events[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) == 0)
		return 0;
	int error = -errno;
	close(control[0]);
	close(control[1]);
	return error;
}

static int
become_parent(struct actor *a, pid_t pid, const int control[2], const int events[2])
{
	int error = pid < 0 ? -errno : 0;

	close(control[1]);
	close(events[1]);
	a->pid = pid;
	a->control = control[0];
	a->events = events[0];
	a->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (pid < 0)
		a->pid = 0;
	return error;
}

int
actor_start_with(struct actor *a, const struct actor_options *options)
{
	int control[2];
	int events[2];
	int error = make_pairs(control, events);

	memset(a, 0, sizeof(*a));
	a->pidfd = a->control = a->events = -1;
	if (error < 0)
		return error;
	snprintf(a->label, sizeof(a->label), "%s", options->label);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		actor_child(options, control[1], events[1]);
	return become_parent(a, pid, control, events);
}

int
actor_start(struct actor *a, const char *label)
{
	struct actor_options options = { .label = label };

	return actor_start_with(a, &options);
}

/* --- Talking ---------------------------------------------------------------------------------- */

void
actor_say(struct actor *a, const char *format, ...)
{
	char line[ACTOR_LINE_MAX + 1];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	send(a->control, line, strlen(line), MSG_NOSIGNAL);
}

/* One packet, as a string. 1, or 0: the time is over, or the other side gone. */
static int
receive(int fd, char *line, int milliseconds)
{
	int64_t end = now_ns() + (int64_t)milliseconds * 1000000;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t length;
	int n;

	do {
		int64_t left = (end - now_ns()) / 1000000;
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	length = n > 0 ? recv(fd, line, ACTOR_LINE_MAX, 0) : 0;
	line[length > 0 ? length : 0] = '\0';
	return length > 0;
}

int
actor_hear(struct actor *a, int milliseconds)
{
	int number;

	if (!receive(a->control, a->answer, milliseconds) ||
	    sscanf(a->answer, "%d", &number) != 1) {
		fprintf(stderr, "actor %s: no answer\n", a->label);
		return ACTOR_NOTHING;
	}
	return number;
}

int
actor_do(struct actor *a, const char *format, ...)
{
	char line[ACTOR_LINE_MAX + 1];
	va_list args;
	int number;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	actor_say(a, "%s", line);
	number = actor_hear(a, ACTOR_PATIENCE);
	if (getenv("MOLT_TEST_VERBOSE") != NULL)
		fprintf(stderr, "  %s <- %s: %s\n", a->label, line, a->answer);
	return number;
}

const char *
actor_text(const struct actor *a)
{
	const char *blank = strchr(a->answer, ' ');

	return blank != NULL ? blank + 1 : "";
}

const char *
actor_event(struct actor *a, int milliseconds)
{
	if (!receive(a->events, a->event, milliseconds))
		return NULL;
	if (getenv("MOLT_TEST_VERBOSE") != NULL)
		fprintf(stderr, "  %s -> %s\n", a->label, a->event);
	return a->event;
}

static int
begins_with(const char *line, const char *words)
{
	return strncmp(line, words, strlen(words)) == 0;
}

const char *
actor_expect(struct actor *a, const char *words)
{
	const char *line = actor_event(a, ACTOR_PATIENCE);

	if (line != NULL && begins_with(line, words))
		return line;
	fprintf(stderr, "actor %s: expected %s, and %s%s\n", a->label, words,
		line != NULL ? "this came: " : "nothing came", line != NULL ? line : "");
	return NULL;
}

const char *
actor_await(struct actor *a, const char *words)
{
	const char *line;

	while ((line = actor_event(a, ACTOR_PATIENCE)) != NULL)
		if (begins_with(line, words))
			return line;
	fprintf(stderr, "actor %s: expected %s, and it did not come\n", a->label, words);
	return NULL;
}

/* --- The end ---------------------------------------------------------------------------------- */

int
actor_wait(struct actor *a, int milliseconds, int *ret_status)
{
	struct pollfd p = { .fd = a->pidfd, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, milliseconds);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -ETIMEDOUT;
	if (waitpid(a->pid, ret_status, 0) != a->pid)
		return -errno;
	a->pid = 0;
	return 0;
}

int
actor_ends_well(struct actor *a)
{
	int status;
	int error = actor_wait(a, ACTOR_PATIENCE, &status);

	if (error == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 1;
	fprintf(stderr, "actor %s: wait status %x, error %d\n", a->label, error == 0 ? status : 0,
		error);
	return 0;
}

void
actor_signal(const struct actor *a, int signal)
{
	if (a->pid > 0)
		kill(a->pid, signal);
}

void
actor_freeze(const struct actor *a)
{
	int status;

	actor_signal(a, SIGSTOP);
	waitpid(a->pid, &status, WUNTRACED);
}

void
actor_end(struct actor *a)
{
	int status;

	if (a->label[0] == '\0')
		return;
	actor_signal(a, SIGKILL);
	if (a->pid > 0)
		actor_wait(a, -1, &status);
	close(a->pidfd);
	close(a->control);
	close(a->events);
	memset(a, 0, sizeof(*a));
}
