/* SPDX-License-Identifier: MIT */
/*
 * Fresh listening sockets: bound at once, listening and visible under their path only when their
 * process serves, so that a start that fails has changed nothing. Call the second half only while
 * holding OWNER.
 */
#ifndef MOLT_CORE_BIND_H
#define MOLT_CORE_BIND_H

#include "address.h"
#include "entry.h"

enum { BIND_TEMPORARY_MAX = 63 };

/*
 * What is left to be done for a unix path: from its temporary name, in the same directory, onto its
 * own.
 */
struct bind_pending {
	char temporary[BIND_TEMPORARY_MAX + 1]; /* "": nothing */
};

/*
 * Binds one socket. Close-on-exec and non-blocking; SO_REUSEADDR for tcp; SO_REUSEPORT if
 * a->sockets is more than 1; IPV6_V6ONLY as asked for. Fills kind, address (with the port that it
 * got), backlog, v6only, file, path and netns of *ret, and its fd, which is the caller's. A unix
 * path is bound under a temporary name, with its mode, and ret_pending says which. Does not listen.
 * Errors: those of socket(2) and bind(2).
 */
int molt__bind_fresh(const struct address *a, struct entry *ret, struct bind_pending *ret_pending);

/*
 * A datagram socket receives from the moment it is bound. One that is to join a group while its
 * process does not serve yet is therefore only made, for an address whose port is known, and bound
 * later. Errors: those of socket(2); those of bind(2).
 */
int molt__bind_prepare(const struct address *a, struct entry *ret);
int molt__bind_join(const struct entry *e);

/* Lets further sockets join the group of one that was bound alone: SO_REUSEPORT. */
int molt__bind_allow_group(int fd);

/*
 * Entering service, for fresh and inherited ones alike: listen(2) with the entry's backlog (0:
 * SOMAXCONN), on STREAM only. -EADDRINUSE and the others of listen(2).
 */
int molt__bind_listen(const struct entry *e);

/*
 * Gives a fresh unix socket its path, after molt__bind_listen(). Nothing there, or a socket file
 * that nobody listens on: done, and *pending is empty. -EADDRINUSE: somebody answers there, or is
 * too busy to. -ENOTSOCK: there is something else.
 */
int molt__bind_publish(const struct entry *e, struct bind_pending *pending);

/* A start that failed: removes the temporary name. Nothing if there is none. */
void molt__bind_discard(const struct entry *e, struct bind_pending *pending);

/*
 * Stopping for good: removes a unix listener's path if it is still its own file. 0, also if there
 * is none; -ESTALE if another's file is there, or the error of unlink(2).
 */
int molt__bind_unlink(const struct entry *e);

#endif
