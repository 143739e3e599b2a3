/* SPDX-License-Identifier: MIT */
/*
 * Each system call with a trap in it, once. Everything here is close-on-exec, never blocks,
 * survives EINTR, and returns a negative errno value on failure with its outputs untouched.
 */
#ifndef MOLT_CORE_SYS_H
#define MOLT_CORE_SYS_H

#include "identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

/* --- Descriptors ------------------------------------------------------------------------------ */

/* Closes what is not negative, and leaves errno as it was. */
void molt__sys_close(int fd);
void molt__sys_close_all(const int *fds, size_t count);

/*
 * Makes a descriptor non-blocking and close-on-exec, whatever it was. The first is shared with
 * every process that has the open file, and peers flip it: to be said again after receiving one.
 */
int molt__sys_assert_flags(int fd);

/* A close-on-exec copy, numbered 3 or higher. Returns it. */
int molt__sys_duplicate(int fd);

/*
 * What file a descriptor or a path (not followed if it is a link) means. A unix socket's descriptor
 * and its path are two different files.
 */
int molt__sys_identify(int fd, struct file_identity *ret_identity);
int molt__sys_identify_path(const char *path, struct file_identity *ret_identity);
bool molt__sys_same_file(const struct file_identity *a, const struct file_identity *b);

/* The highest open descriptor's number. Needs /proc: -ENOENT without it. */
int molt__sys_highest_fd(void);

/*
 * How many descriptors may still be received: the soft limit less those up to the highest open one,
 * less `reserve`. Never negative as a count.
 */
int molt__sys_room(int reserve);

/* --- Sockets ---------------------------------------------------------------------------------- */

/* Non-blocking and close-on-exec. Returns the descriptor. */
int molt__sys_open_socket(int domain, int type, int protocol);

/*
 * The next connection, with the same flags. -EAGAIN: nobody waits. Also for a listener that
 * somebody has made blocking meanwhile: it is set right first.
 */
int molt__sys_accept(int fd);

/*
 * Who was at the other end when it connected or listened. A pid or uid of another namespace shows
 * as 0 and 65534, which is no error.
 */
int molt__sys_peer(int fd, struct ucred *ret_cred);

/* From now on each packet brings its sender's credentials, and the end of file can be told from an
 * empty packet. Accepted sockets have it from their listener. */
int molt__sys_pass_credentials(int fd);

/* The network namespace of a socket. -ENOPROTOOPT: this kernel cannot say (before 5.14). */
int molt__sys_netns_cookie(int fd, uint64_t *ret_cookie);

/*
 * The socket address of a path of any length: one that does not fit is reached through
 * /proc/self/fd/N, which the struct keeps open until it is closed. To bind, the last component must
 * itself be short (under 80 bytes; -ENAMETOOLONG). To connect, the file must exist.
 */
struct unix_address {
	struct sockaddr_un address;
	socklen_t length;
	int fd; /* or -1 */
};
int molt__sys_unix_address_to_bind(const char *path, struct unix_address *ret_address);
int molt__sys_unix_address_to_connect(const char *path, struct unix_address *ret_address);
void molt__sys_unix_address_close(struct unix_address *address);

/* --- Packets ---------------------------------------------------------------------------------- */

enum { SYS_MAX_FDS = 253 }; /* SCM_MAX_FD: one more is EINVAL */

/*
 * Sends one packet, whole or not at all, without SIGPIPE. -EAGAIN: the socket is full and can be
 * polled for writing. -ETOOMANYREFS: this user has too many descriptors in flight, and only time
 * helps. -EPIPE and -ECONNRESET: nobody will receive it, but what has been sent by the other side
 * can still be read. -E2BIG: more than SYS_MAX_FDS descriptors.
 */
int molt__sys_send_packet(int fd, const struct iovec *parts, size_t count, const int *fds,
			  size_t nfds);

/* What molt__sys_recv_packet() found. In all but the first nothing is left open. */
enum sys_received {
	SYS_PACKET,   /* length, fds, nfds and cred are set; the descriptors are the caller's now */
	SYS_END,      /* end of file: nothing follows, ever */
	SYS_EMPTY,    /* a packet of no bytes (whatever descriptors it had) */
	SYS_TOO_LONG, /* a packet that does not fit into the buffer */
	SYS_CUT       /* descriptors are lost: no room here, or a security module said no */
};

struct sys_packet {
	size_t length;
	size_t nfds;
	int fds[SYS_MAX_FDS];
	struct ucred cred; /* the sender's */
};

/*
 * Receives one packet from a socket that passes credentials. Returns an enum sys_received, or
 * -EAGAIN (nothing is there), or -ECONNRESET, which is not the end: packets may still be queued
 * behind it.
 */
int molt__sys_recv_packet(int fd, void *buffer, size_t size, struct sys_packet *ret_packet);

/* --- Locks ------------------------------------------------------------------------------------ */

/* Both belong to the open file, coexist on one file, and are dropped by closing the last copy. */

/* flock, exclusive. -EWOULDBLOCK: held through another open. No unlock: it is only closed. */
int molt__sys_lock_life(int fd);

/* OFD write lock on byte 0. -EAGAIN: held through another open, perhaps of a process just dead. */
int molt__sys_lock_owner(int fd);
int molt__sys_unlock_owner(int fd);

/* --- The rest --------------------------------------------------------------------------------- */

/* A random number that is not 0. */
int molt__sys_random64(uint64_t *ret_number);

/* Readable when that process, a child or another, has ended. Returns the descriptor. */
int molt__sys_open_pidfd(pid_t pid);

#endif
