/* SPDX-License-Identifier: MIT */
/*
 * How long an upgrade takes: from exec of the successor to its first answer, beside the same
 * program's cold start. Then under load, in turns of the predecessor's loop, of which this program
 * makes one with turns of a known length. It prints, and judges nothing.
 */
#include "server.h"
#include "tmpdir.h"

#include <molt/molt.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS 40
#define LOADED_RUNS 15
#define TURN_US 2000

struct bench {
	char program[512];
	char *directory;
	char path[512];
	int port;
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "start: %s\n", what);
	exit(1);
}

static void
start(struct bench *b, struct server *s)
{
	char address[64];
	char *argv[] = { b->program, "-s", b->path, "-l", address, "-P", "0", NULL };

	snprintf(address, sizeof address, "tcp://127.0.0.1:%d", b->port);
	if (server_start(s, argv) < 0 || (b->port = server_port(s, 10000)) < 0)
		die("the server does not start");
}

/* One request; the generation that answered it. */
static int
ask(int port)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[1024] = "", *found;
	size_t length = 0;
	ssize_t n;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ||
	    send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
		die("no connection");
	while ((n = recv(fd, answer + length, sizeof answer - 1 - length, 0)) > 0)
		length += (size_t)n;
	close(fd);
	found = strstr(answer, "\"generation\":");
	return found ? atoi(found + strlen("\"generation\":")) : -1;
}

static void
end(struct server *s, int signal)
{
	server_signal(s, signal);
	if (server_wait(s, 10000, NULL) < 0)
		die("the server does not end");
	server_end(s);
}

/* From exec to the first answer, in microseconds. */
static int64_t
first_answer(struct bench *b, struct server *s, int generation)
{
	start(b, s);
	if (ask(b->port) != generation)
		die("another generation answers");
	return server_now_us() - s->started_us;
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t
median(int64_t *values, int count)
{
	qsort(values, (size_t)count, sizeof values[0], by_size);
	return values[count / 2];
}

/* A cold start and an upgrade of it, in turns, so that both see the same machine. */
static int64_t
measure_pairs(struct bench *b)
{
	int64_t cold[PAIRS], warm[PAIRS], c, w;
	struct server old, new;

	for (int i = 0; i < PAIRS; i++) {
		cold[i] = first_answer(b, &old, 1);
		warm[i] = first_answer(b, &new, 2);
		end(&new, SIGTERM);
		end(&old, SIGTERM);
	}
	c = median(cold, PAIRS);
	w = median(warm, PAIRS);
	printf("exec to first answer, medians of %d pairs:\n", PAIRS);
	printf("  cold start                 %7.2f ms\n", (double)c / 1000);
	printf("  successor, idle predecessor%7.2f ms   %+.2f ms, %.2f times\n", (double)w / 1000,
	       (double)(w - c) / 1000, (double)w / (double)c);
	return w;
}

/* --- A predecessor whose loop is busy: it looks at libmolt once in TURN_US. ------------------- */

static void
work(void)
{
	int64_t until = server_now_us() + TURN_US;

	while (server_now_us() < until)
		continue;
}

static _Noreturn void
be_busy(const struct bench *b, int told)
{
	struct molt *m = molt_new(b->path);
	char address[64];
	struct molt_event *event;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(address, sizeof address, "tcp://127.0.0.1:%d", b->port);
	if (!m || molt_start(m) < 0 || molt_listen(m, "listener0", address) < 0 ||
	    molt_ready(m) < 0)
		_exit(1);
	for (;;) {
		molt_set_remaining(m, 0);
		molt_dispatch(m);
		while ((event = molt_next_event(m))) {
			if (molt_event_type(event) == MOLT_SERVE && write(told, "x", 1) != 1)
				_exit(1);
			if (molt_event_type(event) == MOLT_LEAVE)
				_exit(0);
		}
		work();
	}
}

static pid_t
start_busy(const struct bench *b)
{
	int pipes[2];
	char byte;
	pid_t pid;

	if (pipe(pipes) < 0 || (pid = fork()) < 0)
		die(strerror(errno));
	if (pid == 0)
		be_busy(b, pipes[1]);
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) != 1)
		die("the busy predecessor does not start");
	close(pipes[0]);
	return pid;
}

static void
measure_busy(struct bench *b, int64_t idle)
{
	int64_t took[LOADED_RUNS], t;
	struct server new;
	pid_t busy;

	for (int i = 0; i < LOADED_RUNS; i++) {
		busy = start_busy(b);
		took[i] = first_answer(b, &new, 2);
		waitpid(busy, NULL, 0);
		end(&new, SIGTERM);
	}
	t = median(took, LOADED_RUNS);
	printf("  successor, predecessor with turns of %.1f ms, median of %d:\n", TURN_US / 1000.0,
	       LOADED_RUNS);
	printf("                             %7.2f ms   %.1f of its turns more than idle\n",
	       (double)t / 1000, (double)(t - idle) / TURN_US);
}

int
main(void)
{
	struct bench b = { .port = 0 };

	b.directory = tmpdir_make();
	if (!b.directory)
		die(strerror(errno));
	server_example("httpd", b.program);
	snprintf(b.path, sizeof b.path, "%s/s", b.directory);
	measure_busy(&b, measure_pairs(&b));
	tmpdir_remove(b.directory);
	return 0;
}
