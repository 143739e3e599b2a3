/* SPDX-License-Identifier: MIT */
/* The engine's clock: deadlines, ticks and retries, all behind one timer descriptor. */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

static const enum molt_deadline length_of[HANDOFF_DEADLINES] = {
	[HANDOFF_DEADLINE_START] = MOLT_DEADLINE_START,
	[HANDOFF_DEADLINE_READY] = MOLT_DEADLINE_READY,
	[HANDOFF_DEADLINE_COMMIT] = MOLT_DEADLINE_COMMIT,
	[HANDOFF_DEADLINE_LOAD] = MOLT_DEADLINE_LOAD,
	[HANDOFF_DEADLINE_CONFIRM] = MOLT_DEADLINE_CONFIRM,
	[HANDOFF_DEADLINE_DRAIN] = MOLT_DEADLINE_DRAIN,
	[HANDOFF_DEADLINE_PROBATION] = MOLT_DEADLINE_PROBATION,
};

int64_t
molt__time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int
molt__time_open(struct engine_time *t)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	t->fd = fd;
	t->set_to = 0;
	return 0;
}

void
molt__time_set_defaults(struct engine_time *t)
{
	memset(t, 0, sizeof(*t));
	memset(t->agreed, -1, sizeof(t->agreed));
	t->fd = -1;
	t->deadline[MOLT_DEADLINE_HELLO] = 1000;
	t->deadline[MOLT_DEADLINE_START] = 5000;
	t->deadline[MOLT_DEADLINE_READY] = 60000;
	t->deadline[MOLT_DEADLINE_COMMIT] = 5000;
	t->deadline[MOLT_DEADLINE_LOAD] = 5000;
	t->deadline[MOLT_DEADLINE_CONFIRM] = 5000;
	t->deadline[MOLT_DEADLINE_DRAIN] = 300000;
	t->deadline[MOLT_DEADLINE_PROBATION] = 0;
	t->deadline[MOLT_DEADLINE_TICK] = 1000;
}

/* The predecessor's lengths are for the handoff from it. As a predecessor the host's hold again. */
int64_t
molt__time_length(const struct molt *m, enum molt_deadline deadline)
{
	int64_t agreed = m->time.agreed[deadline];
	bool is_successor = m->handoff.state >= HANDOFF_WARM && m->handoff.state <= HANDOFF_CLAIM;

	return is_successor && agreed >= 0 ? agreed : m->time.deadline[deadline];
}

/* A length of 0 is due at once, and 0 means "not armed": so no moment is ever 0. */
void
molt__time_arm(struct molt *m, enum handoff_deadline deadline)
{
	struct engine_time *t = &m->time;
	int64_t now = molt__time_now();
	int64_t length = molt__time_length(m, length_of[deadline]);

	switch (deadline) {
	case HANDOFF_DEADLINE_DRAIN:
		t->drain_at = now + length;
		break;
	case HANDOFF_DEADLINE_PROBATION:
		t->probation_at = now + length;
		break;
	default:
		t->stage = deadline;
		t->stage_at = now + length;
		t->stage_limit = now + length * ENGINE_PROGRESS_FACTOR;
		t->retry_at = 0;
		t->retry_after = 0;
		break;
	}
}

void
molt__time_disarm(struct molt *m)
{
	m->time.stage_at = 0;
	m->time.drain_at = 0;
	m->time.probation_at = 0;
	m->time.retry_at = 0;
	m->time.retry_after = 0;
}

/* 1, 2, 4 … ms, and from a tick's length on once a tick. */
void
molt__time_ask_again(struct molt *m)
{
	struct engine_time *t = &m->time;
	int64_t tick = molt__time_length(m, MOLT_DEADLINE_TICK);

	t->retry_after = t->retry_after == 0 ? 1 : t->retry_after * 2;
	if (t->retry_after > tick)
		t->retry_after = tick;
	t->retry_at = molt__time_now() + t->retry_after;
}

static void
extend_stage(struct molt *m)
{
	struct engine_time *t = &m->time;
	int64_t at;

	if (t->stage_at == 0)
		return;
	at = molt__time_now() + molt__time_length(m, length_of[t->stage]);
	t->stage_at = at < t->stage_limit ? at : t->stage_limit;
}

void
molt__time_progress(struct molt *m)
{
	if (m->time.stage != HANDOFF_DEADLINE_START && m->time.stage != HANDOFF_DEADLINE_CONFIRM)
		extend_stage(m);
}

/* Who has yielded has no deadline for its loading: it would ask for OWNER meanwhile. */
void
molt__time_successor_loads(struct molt *m)
{
	if (m->handoff.state == HANDOFF_YIELDED)
		extend_stage(m);
}

/* Whether that moment has come; then it is disarmed. */
static bool
due(int64_t *at, int64_t now)
{
	if (*at == 0 || *at > now)
		return false;
	*at = 0;
	return true;
}

static void
feed_deadline(struct molt *m, enum handoff_deadline deadline)
{
	struct handoff_input in = { .type = HANDOFF_DEADLINE, .deadline = deadline };

	molt__engine_feed(m, &in);
}

/* The sentence is about whom this process waited for; the machine decides what follows. */
static void
explain_stage(struct molt *m)
{
	static const char *const waited_for[HANDOFF_DEADLINES] = {
		[HANDOFF_DEADLINE_READY] = "the successor was not ready",
		[HANDOFF_DEADLINE_COMMIT] = "the commit was not made",
		[HANDOFF_DEADLINE_LOAD] = "late state was not loaded",
		[HANDOFF_DEADLINE_CONFIRM] = "ownership was not settled",
	};
	enum handoff_deadline stage = m->time.stage;

	if (waited_for[stage] != NULL && m->why[0] == '\0')
		molt__engine_why(m, -ETIMEDOUT, "%s within %lld ms", waited_for[stage],
				 (long long)molt__time_length(m, length_of[stage]));
}

void
molt__time_run(struct molt *m)
{
	struct engine_time *t = &m->time;
	int64_t now = molt__time_now();

	if (due(&t->retry_at, now))
		molt__engine_feed_type(m, HANDOFF_RETRY);
	if (due(&t->tick_at, now))
		molt__engine_tick(m);
	if (due(&t->stage_at, now)) {
		explain_stage(m);
		feed_deadline(m, t->stage);
	}
	if (due(&t->drain_at, now))
		feed_deadline(m, HANDOFF_DEADLINE_DRAIN);
	if (due(&t->probation_at, now))
		feed_deadline(m, HANDOFF_DEADLINE_PROBATION);
	molt__greet_expire(m, now);
	molt__time_set(m);
}

static int64_t
earlier(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

static int64_t
next_moment(struct molt *m)
{
	struct engine_time *t = &m->time;
	int64_t next = earlier(t->stage_at, t->drain_at);

	if (!molt__engine_wants_tick(m))
		t->tick_at = 0;
	else if (t->tick_at == 0)
		t->tick_at = molt__time_now() + molt__time_length(m, MOLT_DEADLINE_TICK);
	next = earlier(next, t->probation_at);
	next = earlier(next, t->retry_at);
	next = earlier(next, t->tick_at);
	return earlier(next, molt__greet_next_expiry(m));
}

/* While serving without a handoff nothing is armed, and the timer stays silent. */
void
molt__time_set(struct molt *m)
{
	int64_t next = next_moment(m);
	struct itimerspec spec = { 0 };

	if (m->time.fd < 0 || next == m->time.set_to)
		return;
	spec.it_value.tv_sec = next / 1000;
	spec.it_value.tv_nsec = next % 1000 * 1000000;
	timerfd_settime(m->time.fd, TFD_TIMER_ABSTIME, &spec, NULL);
	m->time.set_to = next;
}
