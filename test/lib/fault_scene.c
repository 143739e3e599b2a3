/* SPDX-License-Identifier: MIT */
/* A handoff on the stage. */
#include "fault_scene.h"
#include "tmpdir.h"

#include <errno.h>
#include <molt/molt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char *const labels[FAULT_SIDES] = { "old", "new", "third" };

pid_t
fault_scene_pid(const struct fault_scene *s, enum fault_side side)
{
	return s->processes[side].pid;
}

/* --- Actors ----------------------------------------------------------------------------------- */

void
fault_scene_say(struct fault_scene *s, enum fault_side side, const char *line)
{
	actor_say(&s->actors[side], "%s", line);
}

static void
say_deadlines(struct actor *a)
{
	static const enum molt_deadline stages[] = { MOLT_DEADLINE_HELLO, MOLT_DEADLINE_READY,
						     MOLT_DEADLINE_COMMIT, MOLT_DEADLINE_LOAD,
						     MOLT_DEADLINE_CONFIRM };

	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		actor_say(a, "deadline %d %d", stages[i], FAULT_STAGE_MS);
	actor_say(a, "deadline %d %d", MOLT_DEADLINE_START, FAULT_START_MS);
	actor_say(a, "deadline %d %d", MOLT_DEADLINE_TICK, FAULT_TICK_MS);
	actor_say(a, "deadline %d %d", MOLT_DEADLINE_PROBATION, FAULT_PROBATION_MS);
}

static void
say_listen(const struct fault_scene *s, struct actor *a)
{
	actor_say(a, "listen http tcp://127.0.0.1:%d", s->port);
	actor_say(a, "listen dns udp://127.0.0.1:%d", s->udp_port);
}

/* What a host does in the end of what it was told. */
static void
say_done(struct fault_scene *s, enum fault_side side)
{
	struct actor *a = &s->actors[side];

	switch (s->works_on[side]) {
	case FAULT_TOLD_STARTED:
		actor_say(a, "ready");
		break;
	case FAULT_TOLD_PAUSE:
		actor_say(a, "memfd late of_%s", a->label);
		actor_say(a, "commit");
		break;
	case FAULT_TOLD_LOAD:
		actor_say(a, "loaded");
		break;
	default:
		break;
	}
	s->works_on[side] = 0;
}

static bool
fork_actor(struct fault_scene *s, enum fault_side side)
{
	struct actor *a = &s->actors[side];
	struct actor_options options = { .label = labels[side], .stage = s->stage };
	int error = actor_start_with(a, &options);

	if (error < 0) {
		fprintf(stderr, "%s cannot be forked: %s\n", labels[side], strerror(-error));
		return false;
	}
	s->processes[side] = (struct judge_process){ .pid = a->pid, .label = labels[side] };
	return true;
}

static void
say_new(const struct fault_scene *s, struct actor *a)
{
	actor_say(a, "new %s", s->path);
	actor_say(a, "hold_commit");
	actor_say(a, "hold_load");
	say_deadlines(a);
}

bool
fault_scene_start(struct fault_scene *s, enum fault_side side)
{
	if (s->actors[side].pid == 0 && !fork_actor(s, side))
		return false;
	say_new(s, &s->actors[side]);
	actor_say(&s->actors[side], "connect");
	return true;
}

/* The answers to what was only said come first. */
static int
number_of_last(struct actor *a, const char *line)
{
	int number;

	actor_say(a, "%s", line);
	do
		number = actor_hear(a, ACTOR_PATIENCE);
	while (number != ACTOR_NOTHING && number < 1024);
	return number;
}

/* Ports are above 1024, and nothing said before answers with such a number. */
static bool
begin_first(struct fault_scene *s)
{
	struct actor *a = &s->actors[FAULT_OLD];

	if (!fork_actor(s, FAULT_OLD))
		return false;
	say_new(s, a);
	actor_say(a, "start");
	say_listen(s, a);
	actor_say(a, "ready");
	if (actor_expect(a, "SERVE first") == NULL)
		return false;
	s->port = number_of_last(a, "port http 0");
	s->udp_port = number_of_last(a, "port dns 0");
	return s->port > 0 && s->udp_port > 0;
}

/* --- Opening and closing ---------------------------------------------------------------------- */

static int
open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool
prepare(struct fault_scene *s)
{
	s->held = -1;
	s->clients.udp = -1;
	s->signals = open_signals();
	s->stage = actor_stage_new();
	s->directory = tmpdir_make();
	s->path = s->directory != NULL ? tmpdir_join(s->directory, "s") : NULL;
	s->judge = (struct judge){ .stage = s->stage,
				   .clients = &s->clients,
				   .processes = s->processes,
				   .process_count = FAULT_SIDES };
	if (s->path == NULL || s->stage == NULL || s->signals < 0) {
		perror("a scene cannot be made");
		return false;
	}
	return begin_first(s) && fault_clients_open(&s->clients, s->port, s->udp_port) == 0;
}

struct fault_scene *
fault_scene_open(void)
{
	struct fault_scene *s = calloc(1, sizeof(*s));

	if (s != NULL && prepare(s))
		return s;
	fault_scene_close(s);
	return NULL;
}

void
fault_scene_close(struct fault_scene *s)
{
	if (s == NULL)
		return;
	for (int side = 0; side < FAULT_SIDES; side++)
		actor_end(&s->actors[side]);
	for (int side = 0; side < FAULT_THIRD; side++)
		if (s->tracees[side].pid != 0 && !s->tracees[side].ended)
			close(s->tracees[side].pidfd);
	fault_clients_close(&s->clients);
	close(s->signals);
	actor_stage_free(s->stage);
	tmpdir_remove(s->directory);
	free(s->path);
	free(s);
}

/* --- Tracing ---------------------------------------------------------------------------------- */

bool
fault_scene_trace(struct fault_scene *s, fault_at_call *at_call, void *arg)
{
	s->at_call = at_call;
	s->arg = arg;
	if (!fork_actor(s, FAULT_NEW))
		return false;
	for (int side = 0; side < FAULT_THIRD; side++) {
		int error = fault_seize(&s->tracees[side], s->actors[side].pid, s->path);
		if (error < 0) {
			fprintf(stderr, "%s cannot be traced: %s\n", labels[side],
				strerror(-error));
			return false;
		}
	}
	return true;
}

static void
hold(struct fault_scene *s, enum fault_side side)
{
	s->held = side;
	for (int i = 0; i < FAULT_THIRD; i++)
		fault_let_go(&s->tracees[i]);
}

static void
hear_of_tracee(struct fault_scene *s, enum fault_side side)
{
	struct fault_tracee *t = &s->tracees[side];
	enum fault_news news;

	if (t->pid == 0 || s->held == (int)side)
		return;
	while ((news = fault_next(t)) != FAULT_QUIET) {
		if (news == FAULT_ENDED) {
			s->actors[side].pid = 0;
			return;
		}
		if (s->at_call(s, side)) {
			hold(s, side);
			return;
		}
		fault_go_on(t);
	}
}

void
fault_scene_kill(struct fault_scene *s)
{
	struct fault_tracee *t = &s->tracees[s->held];

	if (judge_in_service(s->stage, t->pid))
		actor_stage_enter(s->stage, t->pid, 0);
	fault_kill(t);
	s->actors[s->held].pid = 0;
	s->held = -1;
}

void
fault_scene_wake(struct fault_scene *s)
{
	fault_go_on(&s->tracees[s->held]);
	s->held = -1;
}

/* --- Turns ------------------------------------------------------------------------------------ */

static unsigned
told_by(const char *line)
{
	static const struct {
		const char *word;
		unsigned told;
	} words[] = {
		{ "SERVE ", FAULT_TOLD_SERVE }, { "FAILED ", FAULT_TOLD_FAILED },
		{ "DRAIN ", FAULT_TOLD_DRAIN }, { "RESUME ", FAULT_TOLD_RESUME },
		{ "PAUSE ", FAULT_TOLD_PAUSE }, { "STARTED ", FAULT_TOLD_STARTED },
		{ "LOAD ", FAULT_TOLD_LOAD },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strncmp(line, words[i].word, strlen(words[i].word)) == 0)
			return words[i].told;
	return 0;
}

static void
hear_of_actor(struct fault_scene *s, enum fault_side side, short revents)
{
	const char *line;

	while ((line = actor_event(&s->actors[side], 0)) != NULL) {
		unsigned told = told_by(line);
		s->told[side] |= told;
		s->works_on[side] = told;
		s->works_until_ns[side] = fault_now_ns() + FAULT_HOST_MS * (int64_t)1000000;
		if (told == FAULT_TOLD_STARTED)
			say_listen(s, &s->actors[side]);
		if (told == FAULT_TOLD_FAILED)
			snprintf(s->failure[side], sizeof(s->failure[side]), "%s", line);
	}
	if ((revents & POLLHUP) != 0)
		s->hung_up[side] = true;
}

static void
hear_of_tracees(struct fault_scene *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) > 0)
		;
	for (int side = 0; side < FAULT_THIRD; side++)
		hear_of_tracee(s, side);
}

static bool
present(const struct fault_scene *s, int side)
{
	return s->actors[side].label[0] != '\0' && !s->hung_up[side];
}

/* In this order: signals, actors, clients. */
static int
wait_for_news(const struct fault_scene *s, struct pollfd *p)
{
	int n = 0;

	p[n++] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
	for (int side = 0; side < FAULT_SIDES; side++)
		p[n++] = (struct pollfd){ .fd = present(s, side) ? s->actors[side].events : -1,
					  .events = POLLIN };
	n += fault_clients_fill(&s->clients, p + n);
	return poll(p, (nfds_t)n, FAULT_EVERY_NS / 1000000);
}

static bool
turn(struct fault_scene *s)
{
	struct pollfd p[1 + FAULT_SIDES + FAULT_POLL_MAX];

	if (wait_for_news(s, p) < 0)
		return errno == EINTR;
	hear_of_tracees(s);
	for (int side = 0; side < FAULT_SIDES; side++)
		if (p[1 + side].revents != 0)
			hear_of_actor(s, side, p[1 + side].revents);
	for (int side = 0; side < FAULT_SIDES; side++)
		if (s->works_on[side] != 0 && fault_now_ns() >= s->works_until_ns[side])
			say_done(s, side);
	return true;
}

bool
fault_scene_until(struct fault_scene *s, fault_done *done, int milliseconds)
{
	int64_t end = fault_now_ns() + (int64_t)milliseconds * 1000000;

	while (!done(s) && fault_now_ns() < end && turn(s))
		fault_clients_turn(&s->clients);
	return done(s);
}

bool
fault_new_is_done(const struct fault_scene *s)
{
	return (s->told[FAULT_NEW] & (FAULT_TOLD_SERVE | FAULT_TOLD_FAILED)) != 0 ||
	       s->tracees[FAULT_NEW].ended;
}

bool
fault_both_are_done(const struct fault_scene *s)
{
	bool old_is_done = (s->told[FAULT_OLD] & (FAULT_TOLD_DRAIN | FAULT_TOLD_RESUME)) != 0 ||
			   s->tracees[FAULT_OLD].ended;

	return old_is_done && fault_new_is_done(s);
}

bool
fault_scene_finish(struct fault_scene *s)
{
	int64_t now = fault_now_ns();
	int64_t end = now + (int64_t)3000 * 1000000;

	while (!fault_clients_settled(&s->clients, now) && fault_now_ns() < end && turn(s))
		fault_clients_finish(&s->clients);
	return fault_clients_settled(&s->clients, now);
}
