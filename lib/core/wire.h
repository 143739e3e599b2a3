/* SPDX-License-Identifier: MIT */
/*
 * Packets to structs and back: the only file that knows the format.
 *
 * A packet is a header of 16 bytes, little-endian, and a body, a JSON object:
 *
 *   0 magic "MOLT"   4 version u16   6 type u16   8 length of the body u32   12 descriptors u32
 *
 * Nothing here makes a system call, and any bytes at all may be given to the decoder. A process
 * decodes its own version and the one before; keys that it does not know are ignored, so a version
 * grows by keys.
 */
#ifndef MOLT_CORE_WIRE_H
#define MOLT_CORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "entry.h"

struct json_t; /* jansson's: only a status is ever one here */

enum {
	WIRE_VERSION = 1,
	WIRE_VERSION_MIN = 1, /* the one before, once there is one */
	WIRE_HEADER_SIZE = 16,
	WIRE_PACKET_MAX = 128 * 1024, /* header and body */
	WIRE_BODY_MAX = WIRE_PACKET_MAX - WIRE_HEADER_SIZE,
	WIRE_DESCRIPTORS_MAX = 253,
	WIRE_IDS_MAX = 2048,
	WIRE_PROCESSES_MAX = 64,
	WIRE_LABEL_MAX = 63,
	WIRE_TEXT_MAX = 255, /* sentences */
	WIRE_WORD_MAX = 31,  /* a state's name */
};

/* Milliseconds. So much that ten times as much, added to any clock, fits as well. */
#define WIRE_TIME_MAX INT64_C(1000000000000)

/*
 * Numbers are for ever. DECLINED, MOVE and TAIL have theirs and are refused by name in this
 * version.
 */
enum packet_type {
	PACKET_HELLO = 1,
	PACKET_OFFER = 2,
	PACKET_TAKEN = 3,
	PACKET_DECLINED = 4,
	PACKET_REFUSE = 5,
	PACKET_READY = 6,
	PACKET_PROGRESS = 7,
	PACKET_COMMIT = 8,
	PACKET_ABORT = 9,
	PACKET_CONFIRM = 10,
	PACKET_MOVE = 11,
	PACKET_TAIL = 12,
	PACKET_REMAINING = 13,
	PACKET_BYE = 14,
	PACKET_STATUS = 15,
	PACKET_WATCH = 16,
};

/* Why a predecessor refuses. A word on the wire; one that this version does not know is OTHER. */
enum refuse_code {
	REFUSE_OTHER = 0,
	REFUSE_BUSY,      /* another handoff is under way */
	REFUSE_DENIED,    /* the peer's uid */
	REFUSE_DOWNGRADE, /* the peer's compatibility number is lower */
	REFUSE_ROOM,      /* the peer has no room for so many descriptors */
	REFUSE_HOST,      /* the host said molt_refuse() */
	REFUSE_STOPPING,  /* this process is leaving, or owns nothing any more */
	REFUSE_PROTOCOL,  /* a version that is not spoken here, or a packet that makes no sense */
	REFUSE_SYSTEM,    /* something failed on this side */
};

/* Which deadline the sender's host is still working in. A word on the wire; OTHER is harmless. */
enum progress_code {
	PROGRESS_OTHER = 0,
	PROGRESS_READY,
	PROGRESS_COMMIT,
	PROGRESS_LOAD,
};

/* Always written in the lowest version that its sender speaks; `speaks` is the highest. */
struct hello {
	uint64_t instance; /* random, never 0, never reused */
	int32_t pid;       /* a label */
	uint32_t speaks;
	uint32_t compatibility;
	bool allow_downgrade;
	int32_t room;   /* descriptors it is ready to receive */
	uint64_t netns; /* cookie; 0: not known */
	char label[WIRE_LABEL_MAX + 1];
};

/* Both sides must agree on these: the predecessor's hold. Milliseconds. */
struct offer_deadlines {
	int64_t ready;
	int64_t commit;
	int64_t load;
	int64_t confirm;
};

/* One packet of the inventory, with one descriptor an entry, in the same order. */
struct offer {
	uint64_t instance;
	uint64_t generation; /* of the highest ever owner */
	int32_t pid;
	uint32_t sequence; /* 1, 2, 3 … through one handoff, late ones too: TAKEN names it */
	bool last;         /* of the inventory, or of the late entries */
	bool late;         /* belongs to the COMMIT that follows */
	struct offer_deadlines deadlines;
	char label[WIRE_LABEL_MAX + 1];
	struct entry *entries; /* of each travels all but fd and file */
	size_t count;
};

struct taken {
	uint32_t sequence;
};

struct refuse {
	enum refuse_code code;
	char why[WIRE_TEXT_MAX + 1];
};

/* ids of the entries that are claimed so far; every other one is declined. */
struct ready {
	uint32_t *claimed;
	size_t count;
};

struct progress {
	enum progress_code what;
};

struct commit {
	uint32_t late; /* how many entries came late, in the OFFERs before this */
};

struct abort_packet {
	char why[WIRE_TEXT_MAX + 1];
};

/* Says READY's list once more: late entries may have been claimed since. */
struct confirm {
	uint64_t generation; /* the sender's own */
	uint32_t *claimed;
	size_t count;
};

struct remaining_process {
	uint64_t instance;
	uint64_t generation;
	int32_t pid;
	int64_t connections; /* -1: its host has never said */
	char label[WIRE_LABEL_MAX + 1];
	char state[WIRE_WORD_MAX + 1];
};

struct remaining {
	struct remaining_process *processes;
	size_t count;
};

/* NULL: a question. Otherwise a JSON object, free in form. */
struct status {
	struct json_t *object;
};

/*
 * `type` says which member counts; BYE and WATCH have none. What a decoder filled in is freed by
 * molt__message_clear(). For an encoder the pointers may be anybody's.
 */
struct message {
	int type;         /* enum packet_type, or the number that was refused */
	uint16_t version; /* encoder: 0 is this process's own */
	union {
		struct hello hello;
		struct offer offer;
		struct taken taken;
		struct refuse refuse;
		struct ready ready;
		struct progress progress;
		struct commit commit;
		struct abort_packet abort;
		struct confirm confirm;
		struct remaining remaining;
		struct status status;
	};
};

/*
 * Makes a packet, *ret_bytes malloc'ed. It carries molt__wire_descriptors(m) descriptors. -EINVAL:
 * a field is out of bounds, a text is not UTF-8, the type is none that this version sends.
 * -EMSGSIZE: the body is too long (OFFER: fewer entries). -ENOMEM.
 */
int molt__wire_encode(const struct message *m, void **ret_bytes, size_t *ret_len);

/* How many descriptors the packet must carry: an OFFER's entries, otherwise 0. */
size_t molt__wire_descriptors(const struct message *m);

/*
 * At most so many bytes of an OFFER's body does this entry need; with WIRE_OFFER_ROOM says what
 * fits.
 */
size_t molt__wire_entry_size(const struct entry *e);
enum { WIRE_OFFER_ROOM = WIRE_BODY_MAX - 1024 };

/*
 * Reads a packet that came with `descriptors` descriptors. Entries come with fd -1: to put the
 * descriptors in is the caller's, who owns them whatever this returns. On failure *ret holds only
 * the type and the version as far as they could be read (otherwise 0), and need not be cleared:
 *   -EBADMSG          not a packet, a length or number of descriptors that is not so, a bad body
 *   -EPROTO           a version that is not spoken here
 *   -EPROTONOSUPPORT  a type that is not understood here: molt__wire_type_name() may know its name
 *   -ENOMEM           (or -EBADMSG: the parser does not always tell)
 */
int molt__wire_decode(const void *bytes, size_t len, size_t descriptors, struct message *ret);

/* Frees what a decoder made and leaves an empty message. */
void molt__message_clear(struct message *m);

/* "HELLO"; "?" for a number that was never given. For ever. */
const char *molt__wire_type_name(int type);

/* "busy"; "other" for an unknown one. For ever. */
const char *molt__wire_refuse_name(int code);

#endif
