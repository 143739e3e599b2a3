/* SPDX-License-Identifier: MIT */
/* The packets of wire version 1: for each type the table of its body's keys. */
#include "wire_packets.h"

#include <stdint.h>
#include <sys/socket.h>

#include "wire.h"

static const char *
family_word(int family)
{
	switch (family) {
	case AF_INET:
		return "inet";
	case AF_INET6:
		return "inet6";
	case AF_UNIX:
		return "unix";
	default:
		return NULL;
	}
}

static const char *
socket_word(int type)
{
	switch (type) {
	case SOCK_STREAM:
		return "stream";
	case SOCK_DGRAM:
		return "datagram";
	case SOCK_SEQPACKET:
		return "seqpacket";
	default:
		return NULL;
	}
}

static const char *const refuse_words[] = {
	[REFUSE_OTHER] = "other",       [REFUSE_BUSY] = "busy",
	[REFUSE_DENIED] = "denied",     [REFUSE_DOWNGRADE] = "downgrade",
	[REFUSE_ROOM] = "room",         [REFUSE_HOST] = "host",
	[REFUSE_STOPPING] = "stopping", [REFUSE_PROTOCOL] = "protocol",
	[REFUSE_SYSTEM] = "system",
};

const char *
molt__wire_refuse_name(int code)
{
	return code < 0 || code > REFUSE_SYSTEM ? refuse_words[REFUSE_OTHER] : refuse_words[code];
}

static const char *
progress_word(int code)
{
	static const char *const words[] = {
		[PROGRESS_OTHER] = "other",
		[PROGRESS_READY] = "ready",
		[PROGRESS_COMMIT] = "commit",
		[PROGRESS_LOAD] = "load",
	};

	return words[code];
}

/* --- Bodies --- */

/* Rows of the tables. MAY_ ones are left out while they are unknown. */
#define AT(owner, member)                                                                          \
	.offset = offsetof(struct owner, member), .size = sizeof(((struct owner *)0)->member)
#define INTEGER(name, owner, member, lo, hi)                                                       \
	{                                                                                          \
		.key = name, .type = FIELD_INTEGER, AT(owner, member), .least = lo, .most = hi     \
	}
#define MAY_INTEGER(name, owner, member, lo, hi)                                                   \
	{                                                                                          \
		.key = name, .type = FIELD_INTEGER, AT(owner, member), .least = lo, .most = hi,    \
		.presence = FIELD_MAY, .absent = lo                                                \
	}
#define INSTANCE(owner)                                                                            \
	{                                                                                          \
		.key = "instance", .type = FIELD_HEX, AT(owner, instance), .least = 1              \
	}
#define MAY_HEX(name, owner, member)                                                               \
	{                                                                                          \
		.key = name, .type = FIELD_HEX, AT(owner, member), .presence = FIELD_MAY           \
	}
#define FLAG(owner, member)                                                                        \
	{                                                                                          \
		.key = #member, .type = FIELD_BOOL, AT(owner, member)                              \
	}
#define TEXT(name, owner, member, longest)                                                         \
	{                                                                                          \
		.key = name, .type = FIELD_TEXT, AT(owner, member), .most = longest                \
	}
#define MAY_TEXT(name, owner, member, longest)                                                     \
	{                                                                                          \
		.key = name, .type = FIELD_TEXT, AT(owner, member), .most = longest,               \
		.presence = FIELD_MAY                                                              \
	}
#define WORD(name, owner, member, hi, words, when)                                                 \
	{                                                                                          \
		.key = name, .type = FIELD_WORD, AT(owner, member), .most = hi, .word = words,     \
		.presence = when                                                                   \
	}
#define IDS(owner, member, hi)                                                                     \
	{                                                                                          \
		.key = #member, .type = FIELD_IDS, AT(owner, member),                              \
		.number = offsetof(struct owner, count), .most = hi                                \
	}
#define LIST(owner, member, hi, of)                                                                \
	{                                                                                          \
		.key = #member, .type = FIELD_LIST, AT(owner, member),                             \
		.number = offsetof(struct owner, count), .most = hi, .shape = of                   \
	}
#define FIELDS(table) .count = sizeof(table) / sizeof((table)[0]), .fields = (table)

static const struct field hello_fields[] = {
	INSTANCE(hello),
	INTEGER("pid", hello, pid, 0, INT32_MAX),
	INTEGER("speaks", hello, speaks, 1, UINT16_MAX),
	INTEGER("compatibility", hello, compatibility, 0, UINT32_MAX),
	FLAG(hello, allow_downgrade),
	INTEGER("room", hello, room, 0, INT32_MAX),
	MAY_HEX("netns", hello, netns),
	TEXT("label", hello, label, WIRE_LABEL_MAX),
};
static const struct shape hello_shape = { .size = sizeof(struct hello), FIELDS(hello_fields) };

static const struct field deadline_fields[] = {
	INTEGER("ready", offer_deadlines, ready, 0, WIRE_TIME_MAX),
	INTEGER("commit", offer_deadlines, commit, 0, WIRE_TIME_MAX),
	INTEGER("load", offer_deadlines, load, 0, WIRE_TIME_MAX),
	INTEGER("confirm", offer_deadlines, confirm, 0, WIRE_TIME_MAX),
};
static const struct shape deadline_shape = { .size = sizeof(struct offer_deadlines),
					     FIELDS(deadline_fields) };

static const struct field entry_fields[] = {
	INTEGER("id", entry, id, 1, UINT32_MAX),
	TEXT("name", entry, name, ENTRY_NAME_MAX),
	WORD("kind", entry, kind, ENTRY_PATH, molt__entry_kind_name, FIELD_MUST),
	INTEGER("index", entry, index, 0, WIRE_IDS_MAX - 1),
	MAY_INTEGER("backlog", entry, backlog, 0, UINT16_MAX),
	MAY_INTEGER("v6only", entry, v6only, -1, 1),
	WORD("family", entry, address.family, AF_INET6, family_word, FIELD_MAY),
	WORD("type", entry, address.type, SOCK_SEQPACKET, socket_word, FIELD_MAY),
	MAY_TEXT("address", entry, address.text, ENTRY_ADDRESS_MAX),
	MAY_HEX("path_dev", entry, path.dev),
	MAY_HEX("path_ino", entry, path.ino),
	MAY_HEX("netns", entry, netns),
};
static const struct shape entry_shape = { .size = sizeof(struct entry), FIELDS(entry_fields) };

static const struct field offer_fields[] = {
	INSTANCE(offer),
	INTEGER("generation", offer, generation, 0, INT64_MAX),
	INTEGER("pid", offer, pid, 0, INT32_MAX),
	INTEGER("sequence", offer, sequence, 1, UINT32_MAX),
	FLAG(offer, last),
	FLAG(offer, late),
	{ .key = "deadlines",
	  .type = FIELD_OBJECT,
	  AT(offer, deadlines),
	  .shape = &deadline_shape },
	TEXT("label", offer, label, WIRE_LABEL_MAX),
	LIST(offer, entries, WIRE_DESCRIPTORS_MAX, &entry_shape),
};
static const struct shape offer_shape = { .size = sizeof(struct offer), FIELDS(offer_fields) };

static const struct field taken_fields[] = { INTEGER("sequence", taken, sequence, 1, UINT32_MAX) };
static const struct shape taken_shape = { .size = sizeof(struct taken), FIELDS(taken_fields) };

static const struct field refuse_fields[] = {
	WORD("code", refuse, code, REFUSE_SYSTEM, molt__wire_refuse_name, FIELD_LENIENT),
	TEXT("why", refuse, why, WIRE_TEXT_MAX),
};
static const struct shape refuse_shape = { .size = sizeof(struct refuse), FIELDS(refuse_fields) };

static const struct field ready_fields[] = { IDS(ready, claimed, WIRE_IDS_MAX) };
static const struct shape ready_shape = { .size = sizeof(struct ready), FIELDS(ready_fields) };

static const struct field progress_fields[] = {
	WORD("what", progress, what, PROGRESS_LOAD, progress_word, FIELD_LENIENT),
};
static const struct shape progress_shape = { .size = sizeof(struct progress),
					     FIELDS(progress_fields) };

static const struct field commit_fields[] = { INTEGER("late", commit, late, 0, WIRE_IDS_MAX) };
static const struct shape commit_shape = { .size = sizeof(struct commit), FIELDS(commit_fields) };

static const struct field abort_fields[] = { TEXT("why", abort_packet, why, WIRE_TEXT_MAX) };
static const struct shape abort_shape = { .size = sizeof(struct abort_packet),
					  FIELDS(abort_fields) };

static const struct field confirm_fields[] = {
	INTEGER("generation", confirm, generation, 0, INT64_MAX),
	IDS(confirm, claimed, WIRE_IDS_MAX),
};
static const struct shape confirm_shape = { .size = sizeof(struct confirm),
					    FIELDS(confirm_fields) };

static const struct field process_fields[] = {
	INSTANCE(remaining_process),
	INTEGER("generation", remaining_process, generation, 0, INT64_MAX),
	INTEGER("pid", remaining_process, pid, 0, INT32_MAX),
	INTEGER("connections", remaining_process, connections, -1, INT64_MAX),
	TEXT("label", remaining_process, label, WIRE_LABEL_MAX),
	TEXT("state", remaining_process, state, WIRE_WORD_MAX),
};
static const struct shape process_shape = { .size = sizeof(struct remaining_process),
					    FIELDS(process_fields) };

static const struct field remaining_fields[] = {
	LIST(remaining, processes, WIRE_PROCESSES_MAX, &process_shape),
};
static const struct shape remaining_shape = { .size = sizeof(struct remaining),
					      FIELDS(remaining_fields) };

static const struct shape empty_shape = { .size = 0 };

static const struct packet_type_info packets[] = {
	[PACKET_HELLO] = { "HELLO", &hello_shape },
	[PACKET_OFFER] = { "OFFER", &offer_shape },
	[PACKET_TAKEN] = { "TAKEN", &taken_shape },
	[PACKET_DECLINED] = { "DECLINED", NULL },
	[PACKET_REFUSE] = { "REFUSE", &refuse_shape },
	[PACKET_READY] = { "READY", &ready_shape },
	[PACKET_PROGRESS] = { "PROGRESS", &progress_shape },
	[PACKET_COMMIT] = { "COMMIT", &commit_shape },
	[PACKET_ABORT] = { "ABORT", &abort_shape },
	[PACKET_CONFIRM] = { "CONFIRM", &confirm_shape },
	[PACKET_MOVE] = { "MOVE", NULL },
	[PACKET_TAIL] = { "TAIL", NULL },
	[PACKET_REMAINING] = { "REMAINING", &remaining_shape },
	[PACKET_BYE] = { "BYE", &empty_shape },
	[PACKET_STATUS] = { "STATUS", &empty_shape },
	[PACKET_WATCH] = { "WATCH", &empty_shape },
};

const struct packet_type_info *
molt__packet_of(int type)
{
	static const struct packet_type_info unknown = { "?", NULL };

	return type >= PACKET_HELLO && type <= PACKET_WATCH ? &packets[type] : &unknown;
}
