/* SPDX-License-Identifier: MIT */
/*
 * Where generations meet: the socket file PATH, and beside it the lock file PATH.lock with its two
 * locks and the record.
 *
 * LIFE   an flock whose open is handed from generation to generation: held while any of them lives.
 * OWNER  a lock of this process's own open of the lock file: who holds it serves. RECORD in the
 * lock file, written only under OWNER: who owns, and who is the heir.
 *
 * This file keeps the locks and knows nothing of when to take them.
 */
#ifndef MOLT_CORE_RENDEZVOUS_H
#define MOLT_CORE_RENDEZVOUS_H

#include <stdbool.h>
#include <sys/types.h>

#include "record.h"
#include "sys.h"

struct rendezvous;

/* `path` is absolute (-EINVAL). Nothing is opened. */
int molt__rendezvous_new(const char *path, struct rendezvous **ret_rendezvous);

/* Only closes. NULL is allowed. */
void molt__rendezvous_free(struct rendezvous *r);

const char *molt__rendezvous_path(const struct rendezvous *r);
const char *molt__rendezvous_lock_path(const struct rendezvous *r);

/* In a forked child: closes everything and only that, so that the locks stay the parent's. */
void molt__rendezvous_after_fork(struct rendezvous *r);

/* --- The lock file ---------------------------------------------------------------------------- */

/*
 * Opens the lock file, made with mode 0600 if there is none, and makes sure that its page exists,
 * so that no write of the record can fail for want of space. To be called before privileges are
 * dropped. Opened already: it is closed and opened anew, unless OWNER is held (-EBUSY). Errors of
 * open(2) and fallocate(2); -EINVAL: not a regular file.
 */
int molt__rendezvous_open_lock(struct rendezvous *r);

/*
 * Owner and group of the lock file ((uid_t)-1 and (gid_t)-1 leave them alone). Its mode is 0600, or
 * 0660 if a group is named: whoever may write it can seize the service.
 */
int molt__rendezvous_set_lock_owner(struct rendezvous *r, uid_t uid, gid_t gid);

/*
 * Takes LIFE, if no generation lives. -EWOULDBLOCK: one does, or a forked child that kept the lock.
 * -ESTALE: the lock file is being replaced again and again. Afterwards LIFE and the open for OWNER
 * are on the file that stands at PATH.lock: open_lock() is done again if it was replaced meanwhile.
 */
int molt__rendezvous_take_life(struct rendezvous *r);

/*
 * Keeps a copy of LIFE received from the predecessor: `fd` is given. -ESTALE: it is not the lock
 * file opened here, or that is no longer the one at PATH.lock; then `fd` is still the caller's.
 */
int molt__rendezvous_adopt_life(struct rendezvous *r, int fd);

/* A get, to be handed on; -1 if LIFE is not held. */
int molt__rendezvous_life_fd(const struct rendezvous *r);

/* Closes this process's copy, and never unlocks: others may have copies. */
void molt__rendezvous_close_life(struct rendezvous *r);

/* -EAGAIN: another holds it, or has died and it is not free yet. Held already: 0. */
int molt__rendezvous_lock_owner(struct rendezvous *r);
void molt__rendezvous_unlock_owner(struct rendezvous *r);
bool molt__rendezvous_holds_owner(const struct rendezvous *r);

/* --- The record ------------------------------------------------------------------------------- */

/*
 * The valid slot with the higher sequence: the truth under OWNER, otherwise a hint. -EBADMSG: there
 * is none (a new file, or caught in the middle of a write: no hint, read again next tick).
 */
int molt__rendezvous_read_record(const struct rendezvous *r, struct record *ret_record);

/*
 * Writes generation, owner and heir with the next sequence number. If it fails it has not happened.
 * Only under OWNER (-EPERM).
 */
int molt__rendezvous_write_record(struct rendezvous *r, const struct record *record);

/* --- The socket file -------------------------------------------------------------------------- */

struct socket_owner {
	uid_t uid;   /* (uid_t)-1: as it is */
	gid_t gid;   /* (gid_t)-1: as it is */
	mode_t mode; /* permissions */
};

/*
 * Makes the socket file and returns its listening socket, and which file it is: that identity goes
 * along whenever the socket is handed on, because the socket itself does not know its path. A stale
 * socket file is replaced. Only under LIFE and OWNER. Nothing is ever seen at PATH that does not
 * listen.
 *   -EADDRINUSE  PATH answers a connect: the lock file was replaced under a living server
 *   -EACCES      PATH cannot be probed, or the directory not be written
 *   -ENOTSOCK    what stands at PATH is not a socket, and stays
 */
int molt__rendezvous_bind(struct rendezvous *r, const struct socket_owner *owner, int *ret_fd,
			  struct file_identity *ret_identity);

/*
 * Says listen() on the socket of the socket file, inherited or not: from then on connecting
 * processes see this process's credentials.
 */
int molt__rendezvous_listen(int fd);

/*
 * Connects to the socket file. -ENOENT: there is none; -ECONNREFUSED: stale, or not listening yet;
 * -EAGAIN: alive, and its queue is full; -EACCES: not allowed; others of connect(2).
 */
int molt__rendezvous_connect(const struct rendezvous *r, int *ret_fd);

/* Whether PATH is that file: 1, or 0 (another, or none). -EACCES: this process cannot look. */
int molt__rendezvous_path_is(const struct rendezvous *r, const struct file_identity *identity);

/* Removes the socket file if it is still that one; else -ESTALE, or -ENOENT. Only under OWNER. */
int molt__rendezvous_unlink(struct rendezvous *r, const struct file_identity *identity);

#endif
