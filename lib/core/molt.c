/* SPDX-License-Identifier: MIT */
/*
 * The public calls: a handle's life, and running it. Each checks its arguments and calls the
 * engine.
 */
#include "export.h"

#include "engine.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much longer than its deadline a start may take before it is given up from here. */
enum { START_GRACE = 1000 };

const char *
molt_version(void)
{
	return MOLT_VERSION;
}

int
molt__usable_anywhere(const struct molt *m)
{
	if (m == NULL)
		return -EINVAL;
	return m->abandoned ? -EOWNERDEAD : 0;
}

int
molt__usable(struct molt *m)
{
	int error = molt__usable_anywhere(m);

	if (error == -EOWNERDEAD)
		molt__engine_error(
			m, error,
			"this is a forked child after molt_after_fork(): only its parent "
			"can use this handle");
	return error;
}

/* --- making and freeing --------------------------------------------------------------------- */

/*
 * malloc'ed; NULL with errno set. Links are not followed: PATH is a name, whatever it means later.
 */
static char *
absolute(const char *path)
{
	char *cwd;
	char *joined;
	size_t size;

	if (path[0] == '/')
		return strdup(path);
	cwd = getcwd(NULL, 0);
	if (cwd == NULL)
		return NULL;
	size = strlen(cwd) + strlen(path) + 2;
	joined = malloc(size);
	if (joined != NULL)
		snprintf(joined, size, "%s/%s", cwd, path);
	free(cwd);
	return joined;
}

static int
check_directory(const char *path)
{
	char directory[PATH_MAX];
	struct stat st;
	size_t length = (size_t)(strrchr(path, '/') - path);

	memcpy(directory, path, length);
	memcpy(directory + length, "/.", sizeof("/."));
	/* EACCES is left to molt_connect(), which says on what. */
	if (stat(directory, &st) < 0 && errno != EACCES)
		return errno == ENOTDIR ? -ENOENT : -errno;
	return 0;
}

static int
check_path(const char *path)
{
	struct stat st;

	if (strlen(path) + strlen(".lock") >= PATH_MAX)
		return -ENAMETOOLONG;
	if (path[strlen(path) - 1] == '/' || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		return -EINVAL;
	return check_directory(path);
}

static void
set_defaults(struct molt *m)
{
	m->owner.uid = (uid_t)-1;
	m->owner.gid = (gid_t)-1;
	m->owner.mode = 0600;
	m->room = -1;
	m->epoll = -1;
	m->wake = -1;
	m->path_fd = -1;
	m->candidate = -1;
	m->child.pidfd = -1;
	m->remaining = -1;
	m->requests.remaining = -1;
	molt__time_set_defaults(&m->time);
	molt__inventory_init(&m->inventory);
	/*
	 * The engine names this process anew when it starts, so that a fork before it does no harm.
	 */
	molt__handoff_init(&m->handoff, 1);
}

/* `path` is absolute. */
static int
new_handle(const char *path, struct molt **ret)
{
	struct molt *m = calloc(1, sizeof(*m));
	int error;

	if (m == NULL)
		return -ENOMEM;
	error = -pthread_mutex_init(&m->requests.mutex, NULL);
	if (error == 0) {
		error = molt__rendezvous_new(path, &m->rendezvous);
		if (error < 0)
			pthread_mutex_destroy(&m->requests.mutex);
	}
	if (error < 0) {
		free(m);
		return error;
	}
	set_defaults(m);
	*ret = m;
	return 0;
}

struct molt *
molt_new(const char *path)
{
	struct molt *m = NULL;
	char *whole;
	int error;

	if (path == NULL || path[0] == '\0') {
		errno = EINVAL;
		return NULL;
	}
	whole = absolute(path);
	if (whole == NULL)
		return NULL;
	error = check_path(whole);
	if (error == 0)
		error = new_handle(whole, &m);
	free(whole);
	if (error < 0)
		errno = -error;
	return m;
}

/* In a forked child another thread of the parent may have held the mutex: it is left as it is. */
void
molt_free(struct molt *m)
{
	if (m == NULL)
		return;
	molt__engine_close(m);
	if (!m->abandoned)
		pthread_mutex_destroy(&m->requests.mutex);
	free(m);
}

int
molt_after_fork(struct molt *m)
{
	int error = molt__usable(m);

	if (error == 0)
		molt__engine_abandon(m);
	return error;
}

const char *
molt_error(const struct molt *m)
{
	return m != NULL ? m->error : "there is no handle";
}

/* --- starting ------------------------------------------------------------------------------- */

int
molt_connect(struct molt *m)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (m->handoff.state != HANDOFF_NEW)
		return molt__engine_error(m, -EALREADY,
					  "this handle was started before: make a new one");
	return molt__engine_start(m);
}

static int
start_failed(struct molt *m, const struct molt_event *e)
{
	int error = e->error;

	if (e->reason == MOLT_REASON_REFUSED)
		error = -ECONNREFUSED;
	else if (e->reason == MOLT_REASON_DENIED)
		error = -EACCES;
	else if (e->reason == MOLT_REASON_TIMEOUT)
		error = -ETIMEDOUT;
	else if (e->reason == MOLT_REASON_PROTOCOL)
		error = -EPROTO;
	return molt__engine_error(m, error, "%s", e->text);
}

/* Whether the start has ended. Its event is not the host's to read. */
static bool
start_ended(struct molt *m, int *ret_error)
{
	struct molt_event e;

	if (molt__event_take(m, MOLT_FAILED, &e))
		*ret_error = start_failed(m, &e);
	else if (molt__event_take(m, MOLT_STARTED, &e))
		*ret_error = 0;
	else
		return false;
	free(e.entries);
	return true;
}

/* The engine's own deadline ends this; the limit here holds should its clock be stopped. */
int
molt_start(struct molt *m)
{
	int error = molt_connect(m);
	int64_t limit;
	struct pollfd p = { .events = POLLIN };

	if (error < 0)
		return error;
	p.fd = m->epoll;
	limit = molt__time_now() + molt__time_length(m, MOLT_DEADLINE_START) + START_GRACE;
	while (!start_ended(m, &error)) {
		if (molt__time_now() >= limit)
			molt__engine_give_up(m, MOLT_REASON_TIMEOUT, -ETIMEDOUT,
					     "the start did not end within its deadline");
		else
			poll(&p, 1, START_GRACE);
		molt__engine_dispatch(m);
	}
	return error;
}

int
molt_ready(struct molt *m)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	if (m->handoff.state == HANDOFF_FAILED)
		return molt__engine_error(m, -ECANCELED, "this start has failed: %s",
					  m->last_failure);
	if (m->handoff.state < HANDOFF_FIRST || m->handoff.state == HANDOFF_CONN)
		return molt__engine_error(m, -EBUSY,
					  "this handle has not started yet: wait for STARTED");
	if (m->ready_said)
		return molt__engine_error(m, -EALREADY, "molt_ready() was said before");
	if (m->handoff.state != HANDOFF_FIRST && m->handoff.state != HANDOFF_WARM)
		return molt__engine_error(m, -ECANCELED, "this process is %s, and will not serve",
					  molt_state_name(m));
	m->ready_said = true;
	molt__engine_feed_type(m, HANDOFF_HOST_READY);
	return 0;
}

/* --- running -------------------------------------------------------------------------------- */

static int
check_connected(struct molt *m)
{
	int error = molt__usable(m);

	if (error == 0 && m->epoll < 0)
		return molt__engine_error(
			m, -EBUSY, "this handle is not connected: call molt_connect() first");
	return error;
}

int
molt_fd(struct molt *m)
{
	int error = check_connected(m);

	return error < 0 ? error : m->epoll;
}

/* Events that wait keep molt_fd() readable. */
static int
turn(struct molt *m)
{
	int count;

	molt__event_settle(m);
	molt__engine_dispatch(m);
	molt__event_settle(m);
	count = molt__event_count(m);
	if (count > 0)
		molt__engine_wake(m);
	return count;
}

int
molt_dispatch(struct molt *m)
{
	int error = molt__usable(m);

	if (error < 0)
		return error;
	return m->epoll < 0 ? 0 : turn(m);
}

/* Until that moment; never, if it is negative. */
static int
wait_until(struct molt *m, int64_t end)
{
	struct pollfd p = { .fd = m->epoll, .events = POLLIN };
	int64_t left = end - molt__time_now();

	if (left < 0)
		left = 0;
	if (end < 0)
		left = -1;
	if (poll(&p, 1, (int)left) < 0 && errno == EINTR)
		return molt__engine_error(m, -EINTR, "a signal came");
	return 0;
}

int
molt_wait(struct molt *m, int milliseconds)
{
	int error = check_connected(m);
	int64_t end = milliseconds < 0 ? -1 : molt__time_now() + milliseconds;
	int count;

	if (error < 0)
		return error;
	while ((count = turn(m)) == 0 && (end < 0 || molt__time_now() < end)) {
		error = wait_until(m, end);
		if (error < 0)
			return error;
	}
	return count;
}

struct molt_event *
molt_next_event(struct molt *m)
{
	if (molt__usable(m) < 0)
		return NULL;
	return molt__event_next(m);
}
