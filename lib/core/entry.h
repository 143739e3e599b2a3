/* SPDX-License-Identifier: MIT */
/*
 * One named descriptor's record: plain data that can be copied, compared and sent. Nothing here
 * asks the kernel anything, and nothing here owns a descriptor.
 */
#ifndef MOLT_CORE_ENTRY_H
#define MOLT_CORE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity.h"

enum {
	ENTRY_NAME_MAX = 63,      /* bytes of a name, without the NUL */
	ENTRY_ADDRESS_MAX = 1023, /* bytes of an address's text, without the NUL */
};

/*
 * What a descriptor is to the library. STREAM and DATAGRAM are listeners: they are paused, retired
 * and made to listen. LIFE and PATH are the library's own, and no host ever sees or names them.
 */
enum entry_kind {
	ENTRY_FILE = 1, /* anything else: a memfd, a pipe, a connected socket */
	ENTRY_STREAM,   /* a socket that is accepted from: SOCK_STREAM or SOCK_SEQPACKET */
	ENTRY_DATAGRAM, /* a bound SOCK_DGRAM socket: one reader at a time */
	ENTRY_LIFE,     /* the open lock file that holds the life lock */
	ENTRY_PATH,     /* the socket file's listening socket */
};

/*
 * An address as it was recorded when the socket was bound or offered. `text` is canonical, so equal
 * addresses have equal texts: "127.0.0.1:80", "[::1]:80", "/absolute/path", "@abstract"; "" if it
 * has none, or none that can be written as UTF-8 without control characters.
 */
struct address_record {
	int family; /* AF_INET, AF_INET6, AF_UNIX, or 0: no address */
	int type;   /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, or 0: no socket */
	char text[ENTRY_ADDRESS_MAX + 1];
};

struct entry {
	char name[ENTRY_NAME_MAX + 1];
	enum entry_kind kind;
	uint32_t index; /* which member of the group called `name`, from 0 */
	uint32_t id;    /* its number in one handoff's offers, from 1; 0: in none */
	int fd;         /* this process's number, or -1 */
	int backlog;    /* of a STREAM; 0: not known */
	int v6only;     /* of an AF_INET6 socket: 0 or 1; -1: does not apply */
	struct address_record address;
	struct file_identity file; /* of the descriptor, when it came into the table */
	struct file_identity path; /* of a unix socket's *file*, which fstat does not tell */
	uint64_t netns;            /* SO_NETNS_COOKIE of the sender's socket; 0: not known */
};

/*
 * How many of these bytes are UTF-8 without control characters: length, if the whole is. What is
 * less could not be sent, logged or compared safely.
 */
size_t molt__entry_text_span(const char *text, size_t length);

/* An entry of which nothing is known: fd -1, v6only -1, the rest 0. */
void molt__entry_init(struct entry *e);

/* 1 to 63 bytes of A-Z a-z 0-9 . _ - */
bool molt__entry_name_ok(const char *name);

/* Sets the name. -EINVAL if it is none. */
int molt__entry_set_name(struct entry *e, const char *name);

/* Listeners are what RETIRE and listen(2) are about. */
bool molt__entry_is_listener(const struct entry *e);

/* LIFE and PATH: never found by name, never shown to a host. */
bool molt__entry_is_reserved(const struct entry *e);

/* "file", "stream", "datagram", "life", "path"; NULL for a number that is no kind. */
const char *molt__entry_kind_name(int kind);

/*
 * Does what was recorded serve who asks for `asked`? Type, family and text must be equal; an asked-
 * for port of 0 takes any port. An address without text matches nothing.
 */
bool molt__address_record_match(const struct address_record *asked,
				const struct address_record *recorded);

/* Sets the text. -EINVAL if it is too long, is not UTF-8 or has control characters. */
int molt__address_record_set_text(struct address_record *r, const char *text, size_t length);

#endif
