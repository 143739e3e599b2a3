/* SPDX-License-Identifier: MIT */
/* Clients of an HTTP server, many at once, in a process of their own. */
#include "load.h"

#include "server.h"

#include <errno.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum client_state {
	WAITING,    /* for its next request, connected or not */
	CONNECTING, /* the request follows */
	READING,    /* the answer */
	ENDING,     /* the answer was whole and said close: nothing but the end may follow */
	HOLDING     /* nothing but the end may come */
};

struct client {
	int fd; /* -1 without a connection */
	enum client_state state;
	int64_t due_us; /* WAITING: when the next request goes out */
	int64_t sent_us;
	unsigned generation; /* of the last answer */
	size_t length;
	char answer[2048];
};

/* What both processes see. */
struct shared {
	struct load_counts counts;
	atomic_int stop;
	atomic_int waited_for; /* somebody is in load_wait() */
	atomic_uint answers;   /* the futex of load_wait(): another with each answer */
};

struct load {
	struct shared *shared;
	pid_t pid;
};

struct clients {
	struct load_plan plan;
	struct shared *shared;
	int epoll;
	int64_t now_us;
	int64_t last_answer_us;
	struct client all[LOAD_CLIENTS_MAX];
};

static void
tell_of_answer(struct shared *shared)
{
	atomic_fetch_add(&shared->answers, 1);
	if (atomic_load(&shared->waited_for))
		syscall(SYS_futex, &shared->answers, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* --- Answers ---------------------------------------------------------------------------------- */

struct answer {
	size_t length; /* of all of it */
	bool close;
	unsigned generation;
};

/* {"label":"...","pid":N,"generation":N}, and nothing else. */
static bool
parse_body(const char *body, size_t length, unsigned *ret_generation)
{
	char copy[512], label[64];
	int pid, end = 0;

	if (length >= sizeof copy || memchr(body, '\0', length))
		return false;
	memcpy(copy, body, length);
	copy[length] = '\0';
	if (sscanf(copy, "{\"label\":\"%63[^\"]\",\"pid\":%d,\"generation\":%u}%n", label, &pid,
		   ret_generation, &end) != 3 ||
	    end == 0)
		return false;
	return copy[end + strspn(copy + end, "\r\n")] == '\0' && pid > 0 && *ret_generation > 0;
}

/* One header line, without its end. False if it is none. */
static bool
parse_header(const char *line, size_t length, struct answer *a, size_t *body_length)
{
	const char *colon = memchr(line, ':', length);

	if (!colon)
		return false;
	for (size_t i = 0; i < length; i++)
		if (line[i] < ' ' || line[i] > '~')
			return false;
	if (strncasecmp(line, "Content-Length:", 15) == 0)
		*body_length = strtoul(line + 15, NULL, 10);
	if (strncasecmp(line, "Connection: close", 17) == 0 && length == 17)
		a->close = true;
	return true;
}

/* 1 when `bytes` are a whole answer, 0 when they may become one, -1 when they never will. */
static int
parse_answer(const char *bytes, size_t length, struct answer *ret)
{
	static const char first[] = "HTTP/1.1 200 OK\r\n";
	const char *end = memmem(bytes, length, "\r\n\r\n", 4), *line = bytes + sizeof first - 1,
		   *next;
	size_t body_length = SIZE_MAX,
	       known = length < sizeof first - 1 ? length : sizeof first - 1;

	*ret = (struct answer){ 0 };
	if (memcmp(bytes, first, known) != 0)
		return -1;
	if (!end)
		return 0;
	for (; line < end + 2; line = next + 2) {
		next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		if (!parse_header(line, (size_t)(next - line), ret, &body_length))
			return -1;
	}
	end += 4;
	if (body_length > 512)
		return -1;
	if (length - (size_t)(end - bytes) < body_length)
		return 0;
	ret->length = (size_t)(end - bytes) + body_length;
	return parse_body(end, body_length, &ret->generation) ? 1 : -1;
}

/* --- One client ------------------------------------------------------------------------------- */

static void
disconnect(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->length = 0;
}

static void
schedule(struct clients *cs, struct client *c)
{
	int64_t interval = (int64_t)cs->plan.clients * 1000000 / cs->plan.rate;

	c->state = WAITING;
	c->due_us += interval;
	if (c->due_us < cs->now_us)
		c->due_us = cs->now_us;
}

static void
fail(struct clients *cs, struct client *c, uint64_t *kind)
{
	cs->shared->counts.failed++;
	(*kind)++;
	disconnect(c);
	schedule(cs, c);
}

/* Which count an error of a connection belongs to. */
static uint64_t *
kind_of(struct load_counts *counts, int error)
{
	switch (error) {
	case ECONNREFUSED:
		return &counts->refused;
	case ECONNRESET:
	case EPIPE:
		return &counts->reset;
	default:
		return &counts->wrong;
	}
}

static void
watch(struct clients *cs, struct client *c, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	epoll_ctl(cs->epoll, operation, c->fd, &event);
}

static void
send_request(struct clients *cs, struct client *c)
{
	char request[128];
	int n = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n",
			 cs->plan.kind == LOAD_NEW ? "Connection: close\r\n" : "");

	c->state = READING;
	c->length = 0;
	if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		fail(cs, c, kind_of(&cs->shared->counts, errno));
}

static void
begin(struct clients *cs, struct client *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)cs->plan.port) };

	cs->shared->counts.requests++;
	c->sent_us = cs->now_us;
	if (c->fd >= 0) {
		send_request(cs, c);
		return;
	}
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->state = CONNECTING;
	if (c->fd < 0 ||
	    (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS))
		fail(cs, c, kind_of(&cs->shared->counts, errno));
	else
		watch(cs, c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void
on_connected(struct clients *cs, struct client *c)
{
	int error = 0;
	socklen_t length = sizeof error;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error) {
		fail(cs, c, kind_of(&cs->shared->counts, error));
		return;
	}
	watch(cs, c, EPOLL_CTL_MOD, EPOLLIN);
	send_request(cs, c);
}

static void
count_answer(struct clients *cs, struct client *c, unsigned generation)
{
	struct load_counts *counts = &cs->shared->counts;

	c->generation = generation < LOAD_GENERATIONS ? generation : 0;
	counts->answered++;
	counts->answers[c->generation]++;
	cs->last_answer_us = cs->now_us;
	tell_of_answer(cs->shared);
}

/* The connection is at its end, as it should be or not: `error` is 0 for an orderly one. */
static void
on_end(struct clients *cs, struct client *c, int error)
{
	struct load_counts *counts = &cs->shared->counts;

	if (c->state == READING) {
		fail(cs, c, error ? kind_of(counts, error) : &counts->cut);
		return;
	}
	if (error) {
		(*kind_of(counts, error))++;
		counts->failed++;
	}
	if (c->state == WAITING)
		counts->ended++;
	if (c->state == HOLDING && counts->held_ends[c->generation]++ == 0)
		counts->first_end_us[c->generation] = cs->now_us;
	disconnect(c);
	if (c->state != WAITING)
		schedule(cs, c);
}

static void
on_answer(struct clients *cs, struct client *c, const struct answer *a)
{
	if (c->length != a->length) {
		fail(cs, c, &cs->shared->counts.wrong);
		return;
	}
	count_answer(cs, c, a->generation);
	c->length = 0;
	if (a->close || cs->plan.kind == LOAD_NEW)
		c->state = ENDING;
	else if (cs->plan.kind == LOAD_HELD)
		c->state = HOLDING;
	else
		schedule(cs, c);
}

static void
on_readable(struct clients *cs, struct client *c)
{
	struct answer a;
	ssize_t n = recv(c->fd, c->answer + c->length, sizeof c->answer - c->length, 0);
	int r;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		on_end(cs, c, n < 0 ? errno : 0);
		return;
	}
	c->length += (size_t)n;
	r = c->state == READING ? parse_answer(c->answer, c->length, &a) : -1;
	if (r < 0 || (r == 0 && c->length == sizeof c->answer))
		fail(cs, c, &cs->shared->counts.wrong);
	else if (r > 0)
		on_answer(cs, c, &a);
}

/* --- All of them ------------------------------------------------------------------------------ */

static bool
is_busy(const struct client *c)
{
	return c->state == CONNECTING || c->state == READING || c->state == ENDING;
}

/* Begins what is due, gives up what takes too long. Returns when to look again. */
static int64_t
look_at_clocks(struct clients *cs, bool stopping, bool *ret_busy)
{
	int64_t next = cs->now_us + 20000;

	*ret_busy = false;
	for (int i = 0; i < cs->plan.clients; i++) {
		struct client *c = &cs->all[i];

		if (is_busy(c) && cs->now_us - c->sent_us > LOAD_ANSWER_MS * 1000)
			fail(cs, c, &cs->shared->counts.late);
		if (c->state == WAITING && !stopping && c->due_us <= cs->now_us)
			begin(cs, c);
		if (c->state == WAITING && c->due_us < next)
			next = c->due_us;
		*ret_busy |= is_busy(c);
	}
	return next;
}

static void
measure_gap(struct clients *cs)
{
	int64_t gap = cs->now_us - cs->last_answer_us;

	if (cs->last_answer_us && cs->plan.kind != LOAD_HELD &&
	    gap > cs->shared->counts.longest_gap_us)
		cs->shared->counts.longest_gap_us = gap;
}

static void
take_turn(struct clients *cs, int64_t until_us)
{
	struct epoll_event events[64];
	int64_t left = (until_us - cs->now_us + 999) / 1000;
	int n = epoll_wait(cs->epoll, events, 64, left > 0 ? (int)left : 0);

	cs->now_us = server_now_us();
	measure_gap(cs);
	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;

		if (c->state == CONNECTING)
			on_connected(cs, c);
		else if (c->fd >= 0)
			on_readable(cs, c);
	}
}

static void
run(struct clients *cs)
{
	int64_t interval, end, next;
	bool stopping = false, busy = true;

	cs->epoll = epoll_create1(EPOLL_CLOEXEC);
	cs->now_us = server_now_us();
	end = cs->now_us + (int64_t)cs->plan.seconds * 1000000;
	interval = 1000000 / cs->plan.rate;
	for (int i = 0; i < cs->plan.clients; i++)
		cs->all[i] = (struct client){ .fd = -1, .due_us = cs->now_us + i * interval };
	while (!stopping || busy) {
		next = look_at_clocks(cs, stopping, &busy);
		take_turn(cs, next);
		stopping = cs->now_us >= end || atomic_load(&cs->shared->stop);
	}
}

struct load *
load_start(const struct load_plan *plan)
{
	struct load *load = calloc(1, sizeof *load);
	struct clients *cs;

	if (!load)
		return NULL;
	load->shared = mmap(NULL, sizeof *load->shared, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	load->pid = load->shared == MAP_FAILED ? -1 : fork();
	if (load->pid < 0) {
		free(load);
		return NULL;
	}
	if (load->pid > 0)
		return load;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	cs = calloc(1, sizeof *cs);
	if (!cs)
		_exit(1);
	cs->plan = *plan;
	cs->shared = load->shared;
	run(cs);
	_exit(0);
}

const struct load_counts *
load_look(const struct load *load)
{
	return &load->shared->counts;
}

static void
wait_for_answer(struct shared *shared, unsigned seen, int64_t us)
{
	struct timespec at_most = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	syscall(SYS_futex, &shared->answers, FUTEX_WAIT, seen, &at_most, NULL, 0);
}

int
load_wait(const struct load *load, uint64_t answered, int milliseconds)
{
	int64_t end = server_now_us() + (int64_t)milliseconds * 1000;
	struct shared *shared = load->shared;
	const volatile uint64_t *count = &shared->counts.answered;
	unsigned seen;
	int64_t left;

	atomic_store(&shared->waited_for, 1);
	while ((seen = atomic_load(&shared->answers), *count < answered)) {
		left = end - server_now_us();
		if (left <= 0)
			return -1;
		wait_for_answer(shared, seen, left);
	}
	atomic_store(&shared->waited_for, 0);
	return 0;
}

void
load_stop(struct load *load, struct load_counts *ret_counts)
{
	if (!load)
		return;
	atomic_store(&load->shared->stop, 1);
	waitpid(load->pid, NULL, 0);
	if (ret_counts)
		*ret_counts = load->shared->counts;
	munmap(load->shared, sizeof *load->shared);
	free(load);
}

int
load_generations(const struct load_counts *counts, uint64_t *ret_fewest)
{
	int n = 0;

	*ret_fewest = UINT64_MAX;
	for (int i = 0; i < LOAD_GENERATIONS; i++) {
		if (counts->answers[i] == 0)
			continue;
		n++;
		if (counts->answers[i] < *ret_fewest)
			*ret_fewest = counts->answers[i];
	}
	return n;
}
