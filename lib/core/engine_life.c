/* SPDX-License-Identifier: MIT */
/* The beginning and the end of an engine: what it opens, and what it closes. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

/* --- beginning and end ------------------------------------------------------------------------ */

static int
open_descriptors(struct molt *m)
{
	int error;

	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (m->epoll < 0)
		return -errno;
	m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake < 0)
		return -errno;
	error = molt__time_open(&m->time);
	if (error == 0)
		error = molt__engine_watch(m, m->wake, ENGINE_WAKE, 0);
	if (error == 0)
		error = molt__engine_watch(m, m->time.fd, ENGINE_TIMER, 0);
	return error;
}

static void
close_descriptors(struct molt *m)
{
	molt__sys_close(m->time.fd);
	molt__sys_close(m->wake);
	molt__sys_close(m->epoll);
	m->time.fd = m->wake = m->epoll = -1;
}

static int
read_listen_fds(struct molt *m)
{
	struct listen_fds_environment env = {
		.pid = getenv("LISTEN_PID"),
		.fds = getenv("LISTEN_FDS"),
		.names = getenv("LISTEN_FDNAMES"),
	};

	return molt__listen_fds_read(&env, getpid(), &m->listen_fds);
}

static int
name_this_process(struct molt *m)
{
	uint64_t me;
	int error = molt__sys_random64(&me);

	if (error == 0)
		m->handoff.me = me;
	return error;
}

/* Of EACCES: a server's file, or a directory that this process may make none in. */
static const char *
lock_advice(const char *path, int error)
{
	struct file_identity file;

	if (error != -EACCES)
		return "";
	if (molt__sys_identify_path(path, &file) == -ENOENT)
		return " (its directory must be writable for this uid)";
	return " (start as the uid that the server has, or as the one that it named by "
	       "molt_set_owner())";
}

static int
open_lock(struct molt *m)
{
	const char *path = molt__rendezvous_lock_path(m->rendezvous);
	int error = molt__rendezvous_open_lock(m->rendezvous);

	if (error < 0)
		molt__engine_error(m, error, "the lock file %s cannot be opened: %s%s", path,
				   strerror(-error), lock_advice(path, error));
	return error;
}

int
molt__engine_start(struct molt *m)
{
	int error = open_lock(m);

	if (error < 0)
		return error;
	error = name_this_process(m);
	if (error == 0)
		error = open_descriptors(m);
	if (error == 0 && read_listen_fds(m) < 0)
		molt__engine_log(m, LOG_WARNING, "systemd", "LISTEN_FDS is malformed, and ignored");
	if (error < 0) {
		close_descriptors(m);
		return molt__engine_error(m, error,
					  "a descriptor of the library's own cannot be opened: %s",
					  strerror(-error));
	}
	molt__engine_feed_type(m, HANDOFF_HOST_START);
	return 0;
}

static void
close_child(struct molt *m)
{
	if (m->child.pid != 0)
		molt__sys_close(m->child.pidfd);
	m->child.pid = 0;
}

static void
close_channels(struct molt *m)
{
	molt__up_close(m);
	molt__down_close(m);
	molt__greet_close_all(m);
	molt__status_close_all(m);
}

void
molt__engine_close(struct molt *m)
{
	molt__event_clear_all(m);
	close_channels(m);
	m->handoff.state = HANDOFF_FAILED;
	molt__listeners_close(m);
	molt__engine_close_path(m);
	close_child(m);
	close_descriptors(m);
	molt__rendezvous_free(m->rendezvous);
	m->rendezvous = NULL;
	molt__listen_fds_free(m->listen_fds);
	m->listen_fds = NULL;
	molt__inventory_clear(&m->inventory);
}

/* Without the epoll descriptor nothing can be taken out of the parent's set. */
void
molt__engine_abandon(struct molt *m)
{
	int slot;

	m->abandoned = true;
	m->path_watched = false;
	close_descriptors(m);
	m->handoff.state = HANDOFF_LEFT;
	close_channels(m);
	molt__sys_close(m->path_fd);
	m->path_fd = -1;
	close_child(m);
	molt__rendezvous_after_fork(m->rendezvous);
	while ((slot = molt__inventory_next_to_close_unclaimed(&m->inventory)) != INVENTORY_NONE) {
		molt__sys_close(molt__inventory_entry(&m->inventory, slot)->fd);
		molt__inventory_remove(&m->inventory, slot);
	}
	molt__inventory_clear(&m->inventory);
	free(m->unfinished);
	m->unfinished = NULL;
	m->unfinished_count = 0;
}
