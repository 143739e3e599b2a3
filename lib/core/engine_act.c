/* SPDX-License-Identifier: MIT */
/* Answering the questions of the handoff, and carrying out its actions. */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

/* --- questions -------------------------------------------------------------------------------- */

static enum handoff_input_type
take_life(struct molt *m)
{
	int error = molt__rendezvous_take_life(m->rendezvous);

	if (error == 0)
		return HANDOFF_LIFE_TAKEN;
	if (error == -EWOULDBLOCK)
		return HANDOFF_LIFE_HELD;
	molt__engine_why(m, error, "the lock file %s cannot be locked: %s",
			 molt__rendezvous_lock_path(m->rendezvous), strerror(-error));
	return HANDOFF_LIFE_FAILED;
}

static int
lend(struct molt *m, enum entry_kind kind, int fd, const struct file_identity *path)
{
	struct entry e;

	molt__entry_init(&e);
	molt__entry_set_name(&e, molt__entry_kind_name((int)kind));
	e.kind = kind;
	e.fd = fd;
	molt__sys_identify(fd, &e.file);
	if (path != NULL)
		e.path = *path;
	return molt__inventory_lend(&m->inventory, &e);
}

int
molt__engine_replace_path(struct molt *m, int fd, const struct file_identity *file)
{
	int slot;

	molt__listeners_drop_stale(m, fd);
	slot = molt__inventory_find_kind(&m->inventory, INVENTORY_ANY_LENT, ENTRY_PATH);
	if (slot != INVENTORY_NONE)
		molt__inventory_remove(&m->inventory, slot);
	if (m->path_watched)
		molt__engine_unwatch(m, m->path_fd);
	m->path_watched = false;
	molt__sys_close(m->path_fd);
	m->path_fd = fd;
	m->path_file = *file;
	slot = lend(m, ENTRY_PATH, fd, file);
	return slot < 0 ? slot : 0;
}

static void
set_lock_owner(struct molt *m)
{
	int error = molt__rendezvous_set_lock_owner(m->rendezvous, m->owner.uid, m->owner.gid);

	if (error < 0)
		molt__engine_log(m, LOG_WARNING, "owner",
				 "%s cannot be given to uid %d, gid %d: %s",
				 molt__rendezvous_lock_path(m->rendezvous), (int)m->owner.uid,
				 (int)m->owner.gid, strerror(-error));
}

static struct handoff_input
bind_path(struct molt *m)
{
	struct handoff_input in = { .type = HANDOFF_BOUND };
	struct file_identity file;
	const char *path = molt__rendezvous_path(m->rendezvous);
	int fd = -1;
	int error = molt__rendezvous_bind(m->rendezvous, &m->owner, &fd, &file);

	if (error == 0)
		error = molt__engine_replace_path(m, fd, &file);
	if (error == 0 && lend(m, ENTRY_LIFE, molt__rendezvous_life_fd(m->rendezvous), NULL) < 0)
		error = -ENOMEM;
	if (error == 0) {
		set_lock_owner(m);
		return in;
	}
	in.type = HANDOFF_BIND_FAILED;
	in.reason = error == -EADDRINUSE ? HANDOFF_REASON_PROTOCOL : HANDOFF_REASON_SYSTEM;
	if (error == -EADDRINUSE)
		molt__engine_why(m, error,
				 "%s answers although its lock file was free: the lock file "
				 "was replaced under a living server",
				 path);
	else
		molt__engine_why(m, error, "the socket file %s cannot be made: %s", path,
				 strerror(-error));
	return in;
}

/* An unreadable file entitles nobody, and proves nothing either: ask again. */
static struct handoff_input
lock_owner(struct molt *m)
{
	struct handoff_input in = { .type = HANDOFF_LOCKED };
	int error = molt__rendezvous_lock_owner(m->rendezvous);

	if (error == 0) {
		error = molt__rendezvous_read_record(m->rendezvous, &in.record);
		if (error == 0 || error == -EBADMSG)
			return in;
		molt__rendezvous_unlock_owner(m->rendezvous);
	}
	if (error != -EAGAIN)
		molt__engine_log(m, LOG_ERR, "lock", "%s cannot be locked or read: %s",
				 molt__rendezvous_lock_path(m->rendezvous), strerror(-error));
	in.type = HANDOFF_BUSY;
	return in;
}

static enum handoff_input_type
write_record(struct molt *m, const struct record *record)
{
	int error = molt__rendezvous_write_record(m->rendezvous, record);

	if (error == 0)
		return HANDOFF_WRITTEN;
	molt__engine_log(m, LOG_ERR, "record", "%s cannot be written: %s",
			 molt__rendezvous_lock_path(m->rendezvous), strerror(-error));
	molt__engine_why(m, error, "the lock file cannot be written: %s", strerror(-error));
	return HANDOFF_WRITE_FAILED;
}

struct handoff_input
molt__engine_answer(struct molt *m, const struct handoff_action *a)
{
	struct handoff_input in = { 0 };

	switch (a->type) {
	case HANDOFF_TAKE_LIFE:
		in.type = take_life(m);
		break;
	case HANDOFF_CONNECT:
		in.type = molt__up_connect(m);
		break;
	case HANDOFF_BIND:
		in = bind_path(m);
		break;
	case HANDOFF_LOCK_OWNER:
		in = lock_owner(m);
		break;
	default:
		in.type = write_record(m, &a->record);
		break;
	}
	return in;
}

/* --- actions ---------------------------------------------------------------------------------- */

static void
do_unlock_owner(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__rendezvous_unlock_owner(m->rendezvous);
}

void
molt__engine_secure_path(struct molt *m)
{
	const char *path = molt__rendezvous_path(m->rendezvous);
	struct file_identity file;
	int fd = -1;
	int error = molt__rendezvous_path_is(m->rendezvous, &m->path_file);

	if (error == -EACCES) { /* who dropped privileges cannot look: it is believed to be ours */
		molt__engine_log(m, LOG_DEBUG, "path", "%s cannot be looked at", path);
		error = 1;
	}
	if (error == 0) {
		molt__engine_log(m, LOG_WARNING, "path", "%s is gone or another's: made anew",
				 path);
		error = molt__rendezvous_bind(m->rendezvous, &m->owner, &fd, &file);
		if (error == 0)
			error = molt__engine_replace_path(m, fd, &file);
	}
	if (m->path_fd >= 0 && error >= 0)
		error = molt__rendezvous_listen(m->path_fd);
	if (error < 0)
		molt__engine_log(m, LOG_ERR, "path", "%s cannot be made sure of: %s", path,
				 strerror(-error));
}

static void
do_listen(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__engine_secure_path(m);
}

static void
do_unlink_path(struct molt *m, const struct handoff_action *a)
{
	int error = molt__rendezvous_unlink(m->rendezvous, &m->path_file);

	(void)a;
	if (error < 0)
		molt__engine_log(m, LOG_WARNING, "path", "%s is left behind: %s",
				 molt__rendezvous_path(m->rendezvous), strerror(-error));
	molt__listeners_unlink(m);
}

static void
forget_reserved(struct molt *m, enum entry_kind kind)
{
	int slot = molt__inventory_find_kind(&m->inventory, INVENTORY_ANY_LENT, kind);

	if (slot != INVENTORY_NONE)
		molt__inventory_remove(&m->inventory, slot);
}

void
molt__engine_close_path(struct molt *m)
{
	forget_reserved(m, ENTRY_PATH);
	if (m->path_watched)
		molt__engine_unwatch(m, m->path_fd);
	m->path_watched = false;
	molt__sys_close(m->path_fd);
	m->path_fd = -1;
}

static void
do_close_path(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__engine_close_path(m);
}

static void
close_life(struct molt *m)
{
	forget_reserved(m, ENTRY_LIFE);
	molt__rendezvous_close_life(m->rendezvous);
}

static void
do_close_life(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	close_life(m);
}

static void
do_close_all(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__up_close(m);
	molt__down_close(m);
	molt__greet_close_all(m);
	molt__status_changed(m);
	molt__status_publish(m);
	molt__status_close_all(m);
	molt__listeners_close(m);
	molt__engine_close_path(m);
	close_life(m);
}

static void
do_retire(struct molt *m, const struct handoff_action *a)
{
	molt__event_retire(m, a->reason);
}

static void
do_send_ready(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__up_send_ready(m);
}

static void
do_send_confirm(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__up_send_confirm(m);
}

static void
do_adopt(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__down_adopt(m);
}

static void
do_refuse_candidate(struct molt *m, const struct handoff_action *a)
{
	molt__greet_refuse_candidate(m, a->reason);
}

static void
do_send_commit(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__down_send_commit(m);
}

static void
do_send_abort(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__down_send_abort(m);
}

static void
do_send_bye(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__down_send_bye(m);
}

static void
do_close_up(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__up_close(m);
}

/* The handoff has failed if this process serves again, and then everybody may know why. */
static void
do_close_down(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__down_close(m);
	if (!molt__handoff_is_owner(&m->handoff))
		return;
	molt__inventory_end_handoff(&m->inventory);
	memcpy(m->last_failure, m->why, sizeof(m->last_failure));
	m->why[0] = '\0';
	m->why_error = 0;
	m->why_reason = 0;
	molt__engine_log(m, LOG_WARNING, "abort", "the handoff to %s has failed: %s",
			 molt__name_peer(&m->down.peer).text, m->last_failure);
}

static void
do_ask_again(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__time_ask_again(m);
}

static void
do_arm(struct molt *m, const struct handoff_action *a)
{
	molt__time_arm(m, a->deadline);
}

static void
do_disarm(struct molt *m, const struct handoff_action *a)
{
	(void)a;
	molt__time_disarm(m);
}

/* Who begins to drain says so at once, and again at each tick. */
static void
do_tell(struct molt *m, const struct handoff_action *a)
{
	molt__event_tell(m, a);
	if (a->event == HANDOFF_EVENT_DRAIN)
		molt__down_send_remaining(m);
}

typedef void action_function(struct molt *m, const struct handoff_action *a);

static action_function *const carry_out[] = {
	[HANDOFF_UNLOCK_OWNER] = do_unlock_owner,
	[HANDOFF_LISTEN] = do_listen,
	[HANDOFF_UNLINK_PATH] = do_unlink_path,
	[HANDOFF_CLOSE_PATH] = do_close_path,
	[HANDOFF_CLOSE_LIFE] = do_close_life,
	[HANDOFF_CLOSE_ALL] = do_close_all,
	[HANDOFF_RETIRE] = do_retire,
	[HANDOFF_SEND_READY] = do_send_ready,
	[HANDOFF_SEND_CONFIRM] = do_send_confirm,
	[HANDOFF_ADOPT] = do_adopt,
	[HANDOFF_REFUSE_CANDIDATE] = do_refuse_candidate,
	[HANDOFF_SEND_COMMIT] = do_send_commit,
	[HANDOFF_SEND_ABORT] = do_send_abort,
	[HANDOFF_SEND_BYE] = do_send_bye,
	[HANDOFF_CLOSE_UP] = do_close_up,
	[HANDOFF_CLOSE_DOWN] = do_close_down,
	[HANDOFF_ASK_AGAIN] = do_ask_again,
	[HANDOFF_ARM] = do_arm,
	[HANDOFF_DISARM] = do_disarm,
	[HANDOFF_TELL] = do_tell,
};

void
molt__engine_carry_out(struct molt *m, const struct handoff_action *a)
{
	carry_out[a->type](m, a);
}
