/* SPDX-License-Identifier: MIT */
/*
 * Addresses of listeners: what a user writes, what a socket says, and the canonical record of both,
 * by which one is compared with the other.
 */
#ifndef MOLT_CORE_ADDRESS_H
#define MOLT_CORE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "entry.h"

enum {
	ADDRESS_WHY_MAX = 255,
	ADDRESS_SOCKETS_MAX = 64,
	ADDRESS_TEXT_SIZE = ENTRY_ADDRESS_MAX + 16, /* for molt__address_print() */
};

/* An address that somebody asked for, with its options. */
struct address {
	struct address_record record;
	int backlog; /* 0: not asked for, SOMAXCONN */
	int v6only;  /* -1: not asked for */
	int sockets; /* 1 to ADDRESS_SOCKETS_MAX */
	int mode;    /* of a unix socket file; -1: not asked for */
};

/*
 * Reads "tcp://127.0.0.1:80?backlog=9" and the other forms of molt_listen(). -EINVAL, and `why`
 * (ADDRESS_WHY_MAX + 1 bytes) is a sentence that names what is wrong with it.
 */
int molt__address_parse(const char *text, struct address *ret, char *why);

/*
 * As it would be written, without options: "tcp://[::1]:80", "unix:@abstract"; "-" if there is
 * none.
 */
void molt__address_print(const struct address_record *r, char *buf, size_t size);

/* What kind of entry is bound there: ENTRY_STREAM or ENTRY_DATAGRAM. */
enum entry_kind molt__address_kind(const struct address_record *r);

/*
 * For bind(2) and connect(2). A unix path must fit sun_path here (-ENAMETOOLONG): bind.h binds any.
 * -EINVAL: no text.
 */
int molt__address_sockaddr(const struct address_record *r, struct sockaddr_storage *ret,
			   socklen_t *ret_len);

/*
 * The record of a socket address, as molt_take_address() is given one. -EINVAL: a type or family
 * that is none of ours, a length that does not fit, a relative unix path.
 */
int molt__address_from_sockaddr(int type, const struct sockaddr *sa, socklen_t len,
				struct address_record *ret);

/*
 * Sets a unix path: absolute, no directory, and of all the ways to write it with doubled slashes
 * and single dots the shortest. -EINVAL.
 */
int molt__address_clean_path(const char *path, size_t len, struct address_record *r);

/*
 * What an offered descriptor is: fills *e but for its name. STREAM and DATAGRAM are bound sockets
 * that are not connected; everything else is a FILE. A unix path is the one that it was bound to,
 * which is not where it is now if it was renamed since: a socket that came from a predecessor keeps
 * what its entry said. -EBADF; -EINVAL: an epoll or io_uring descriptor, which cannot be handed
 * over (`why` says so, ADDRESS_WHY_MAX + 1 bytes).
 */
int molt__address_of_descriptor(int fd, struct entry *e, char *why);

/*
 * The address that a bound socket has now, for the port that the kernel chose. tcp and udp only:
 * -EINVAL.
 */
int molt__address_of_socket(int fd, struct address_record *ret);

/*
 * Is `fd` still the descriptor that the entry was made of? Device and inode. False for one that is
 * closed.
 */
bool molt__address_still(const struct entry *e);

#endif
