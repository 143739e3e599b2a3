/* SPDX-License-Identifier: MIT */
/*
 * Packets: the golden ones both ways, and bad ones of every kind.
 * `wire --record` writes the golden packets that are not there yet, and changes none.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <jansson.h>
#include <cmocka.h>

#include "wire.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- The messages behind the golden packets --- */

static struct entry entries[4];
static uint32_t claimed[] = { 1, 2, 7, UINT32_MAX };
static struct remaining_process processes[2];

static void
fill_entries(void)
{
	for (size_t i = 0; i < COUNT(entries); i++) {
		molt__entry_init(&entries[i]);
		entries[i].id = (uint32_t)i + 1;
	}
	entries[0].kind = ENTRY_LIFE;
	strcpy(entries[0].name, "life");

	entries[1].kind = ENTRY_STREAM;
	strcpy(entries[1].name, "http");
	entries[1].index = 3;
	entries[1].backlog = 512;
	entries[1].v6only = 1;
	entries[1].address.family = AF_INET6;
	entries[1].address.type = SOCK_STREAM;
	strcpy(entries[1].address.text, "[::1]:8080");
	entries[1].netns = 1;

	entries[2].kind = ENTRY_STREAM;
	strcpy(entries[2].name, "A-z_0.9");
	entries[2].address.family = AF_UNIX;
	entries[2].address.type = SOCK_SEQPACKET;
	strcpy(entries[2].address.text, "/run/\"\\\303\251.sock");
	entries[2].path.dev = UINT64_MAX;
	entries[2].path.ino = 0x123456789abcdef0;

	entries[3].kind = ENTRY_FILE;
	strcpy(entries[3].name, "state");
}

static void
fill_processes(void)
{
	processes[0] = (struct remaining_process){ .instance = 1, .connections = -1 };
	processes[1] = (struct remaining_process){ .instance = UINT64_MAX,
						   .generation = INT64_MAX,
						   .pid = INT32_MAX,
						   .connections = INT64_MAX,
						   .label = "v41",
						   .state = "draining" };
}

static const struct message hello = {
	.type = PACKET_HELLO,
	.hello = { .instance = 0xfedcba9876543210,
		   .pid = 4711,
		   .speaks = 1,
		   .compatibility = UINT32_MAX,
		   .allow_downgrade = true,
		   .room = 991,
		   .netns = 2,
		   .label = "v42" },
};
static const struct message offer = {
	.type = PACKET_OFFER,
	.offer = { .instance = 1,
		   .generation = 3,
		   .pid = 0,
		   .sequence = 2,
		   .last = true,
		   .late = false,
		   .deadlines = { .ready = 60000,
				  .commit = 5000,
				  .load = 0,
				  .confirm = WIRE_TIME_MAX },
		   .label = "",
		   .entries = entries,
		   .count = COUNT(entries) },
};
static const struct message taken = { .type = PACKET_TAKEN, .taken = { .sequence = 2 } };
static const struct message refuse = {
	.type = PACKET_REFUSE,
	.refuse = { .code = REFUSE_ROOM, .why = "300 descriptors, and room for 200" },
};
static const struct message ready = {
	.type = PACKET_READY,
	.ready = { .claimed = claimed, .count = COUNT(claimed) },
};
static const struct message progress = { .type = PACKET_PROGRESS, .progress = { PROGRESS_LOAD } };
static const struct message commit = { .type = PACKET_COMMIT, .commit = { .late = 2 } };
static const struct message abort_message = {
	.type = PACKET_ABORT,
	.abort = { .why = "the host gave up the handoff" },
};
static const struct message confirm = {
	.type = PACKET_CONFIRM,
	.confirm = { .generation = 4, .claimed = claimed, .count = 1 },
};
static const struct message remaining = {
	.type = PACKET_REMAINING,
	.remaining = { .processes = processes, .count = COUNT(processes) },
};
static const struct message bye = { .type = PACKET_BYE };
static const struct message question = { .type = PACKET_STATUS };
static struct message answer = { .type = PACKET_STATUS };
static const struct message watch = { .type = PACKET_WATCH };

static const struct golden {
	const char *name;
	const struct message *message;
} goldens[] = {
	{ "hello", &hello },
	{ "offer", &offer },
	{ "taken", &taken },
	{ "refuse", &refuse },
	{ "ready", &ready },
	{ "progress", &progress },
	{ "commit", &commit },
	{ "abort", &abort_message },
	{ "confirm", &confirm },
	{ "remaining", &remaining },
	{ "bye", &bye },
	{ "status-question", &question },
	{ "status-answer", &answer },
	{ "watch", &watch },
};

struct bytes {
	char data[WIRE_PACKET_MAX + 64];
	size_t len;
};

static void
golden_path(const char *name, char *path, size_t size)
{
	snprintf(path, size, "test/golden/v1/%s.bin", name);
}

static void
read_golden(const char *name, struct bytes *ret)
{
	char path[128];

	golden_path(name, path, sizeof(path));
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: %s (tests run in the top folder)", path, strerror(errno));
	ret->len = fread(ret->data, 1, sizeof(ret->data), f);
	fclose(f);
}

static int
record_goldens(void)
{
	for (size_t i = 0; i < COUNT(goldens); i++) {
		char path[128];
		void *bytes;
		size_t len;
		golden_path(goldens[i].name, path, sizeof(path));
		FILE *f = fopen(path, "wbx");
		if (!f)
			continue;
		if (molt__wire_encode(goldens[i].message, &bytes, &len) != 0)
			return 1;
		fwrite(bytes, 1, len, f);
		free(bytes);
		fclose(f);
	}
	return 0;
}

static void
assert_encodes_to(const struct message *m, const struct bytes *expected, const char *name)
{
	void *bytes;
	size_t len;

	assert_int_equal(molt__wire_encode(m, &bytes, &len), 0);
	if (len != expected->len || memcmp(bytes, expected->data, len) != 0)
		fail_msg("%s: \"%.*s\" instead of \"%.*s\"", name, (int)(len - 16),
			 (char *)bytes + 16, (int)(expected->len - 16), expected->data + 16);
	free(bytes);
}

static void
golden_packets_are_written(void **state)
{
	static struct bytes golden;

	(void)state;
	for (size_t i = 0; i < COUNT(goldens); i++) {
		read_golden(goldens[i].name, &golden);
		assert_encodes_to(goldens[i].message, &golden, goldens[i].name);
	}
}

static void
golden_packets_are_read(void **state)
{
	static struct bytes golden;

	(void)state;
	for (size_t i = 0; i < COUNT(goldens); i++) {
		struct message m;
		size_t n = molt__wire_descriptors(goldens[i].message);
		read_golden(goldens[i].name, &golden);
		assert_int_equal(molt__wire_decode(golden.data, golden.len, n, &m), 0);
		assert_int_equal(m.type, goldens[i].message->type);
		assert_int_equal(m.version, 1);
		assert_encodes_to(&m, &golden, goldens[i].name);
		molt__message_clear(&m);
	}
}

/* Every field once, so that two keys changed for one another in both directions are seen. */
static void
golden_hello_has_its_values(void **state)
{
	static struct bytes golden;
	struct message m;

	(void)state;
	read_golden("hello", &golden);
	assert_int_equal(molt__wire_decode(golden.data, golden.len, 0, &m), 0);
	assert_true(m.hello.instance == 0xfedcba9876543210);
	assert_int_equal(m.hello.pid, 4711);
	assert_int_equal(m.hello.speaks, 1);
	assert_int_equal(m.hello.compatibility, UINT32_MAX);
	assert_true(m.hello.allow_downgrade);
	assert_int_equal(m.hello.room, 991);
	assert_true(m.hello.netns == 2);
	assert_string_equal(m.hello.label, "v42");
	molt__message_clear(&m);
}

static void
assert_same_entry(const struct entry *a, const struct entry *b)
{
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->fd, b->fd);
	assert_int_equal(a->backlog, b->backlog);
	assert_int_equal(a->v6only, b->v6only);
	assert_int_equal(a->address.family, b->address.family);
	assert_int_equal(a->address.type, b->address.type);
	assert_string_equal(a->address.text, b->address.text);
	assert_true(a->path.dev == b->path.dev && a->path.ino == b->path.ino);
	assert_true(a->netns == b->netns);
}

static void
golden_offer_has_its_values(void **state)
{
	static struct bytes golden;
	struct message m;

	(void)state;
	read_golden("offer", &golden);
	assert_int_equal(molt__wire_decode(golden.data, golden.len, COUNT(entries), &m), 0);
	assert_true(m.offer.instance == 1 && m.offer.generation == 3);
	assert_int_equal(m.offer.sequence, 2);
	assert_true(m.offer.last && !m.offer.late);
	assert_memory_equal(&m.offer.deadlines, &offer.offer.deadlines, sizeof(m.offer.deadlines));
	assert_int_equal(m.offer.count, COUNT(entries));
	for (size_t i = 0; i < COUNT(entries); i++)
		assert_same_entry(&m.offer.entries[i], &entries[i]);
	molt__message_clear(&m);
	assert_null(m.offer.entries);
}

/* --- Headers --- */

static void
put_packet(struct bytes *p, int version, int type, const char *body, uint32_t descriptors)
{
	size_t len = strlen(body);

	memcpy(p->data, "MOLT", 4);
	p->data[4] = (char)version;
	p->data[5] = (char)(version >> 8);
	p->data[6] = (char)type;
	p->data[7] = (char)(type >> 8);
	for (int i = 0; i < 4; i++) {
		p->data[8 + i] = (char)(len >> (8 * i));
		p->data[12 + i] = (char)(descriptors >> (8 * i));
	}
	memcpy(p->data + 16, body, len);
	p->len = 16 + len;
}

static int
decode(const struct bytes *p, size_t descriptors, struct message *ret)
{
	/* Of the exact length, so that a sanitizer sees a byte too many. */
	char *exact = malloc(p->len ? p->len : 1);
	memcpy(exact, p->data, p->len);
	int error = molt__wire_decode(exact, p->len, descriptors, ret);
	free(exact);
	return error;
}

static int
decode_body(int type, const char *body, size_t descriptors, struct message *ret)
{
	static struct bytes p;

	put_packet(&p, 1, type, body, (uint32_t)descriptors);
	return decode(&p, descriptors, ret);
}

static void
half_packets_are_refused(void **state)
{
	static struct bytes golden, part;
	struct message m;

	(void)state;
	read_golden("taken", &golden);
	for (part.len = 0; part.len < golden.len; part.len++) {
		memcpy(part.data, golden.data, part.len);
		assert_int_equal(decode(&part, 0, &m), -EBADMSG);
	}
	part = golden;
	part.data[part.len++] = ' ';
	assert_int_equal(decode(&part, 0, &m), -EBADMSG);
}

static void
a_wrong_header_is_refused(void **state)
{
	static struct bytes p;
	struct message m;

	(void)state;
	put_packet(&p, 1, PACKET_BYE, "{}", 0);
	assert_int_equal(decode(&p, 0, &m), 0);
	p.data[0] = 'm';
	assert_int_equal(decode(&p, 0, &m), -EBADMSG);
	put_packet(&p, 1, PACKET_BYE, "{}", 0);
	p.data[11] = 1; /* 16 MiB */
	assert_int_equal(decode(&p, 0, &m), -EBADMSG);
}

static void
descriptors_must_be_what_was_announced(void **state)
{
	static struct bytes golden;
	struct message m;
	int fds[] = { 0, 1, 3, 5, 253 };

	(void)state;
	read_golden("offer", &golden);
	for (size_t i = 0; i < COUNT(fds); i++)
		assert_int_equal(decode(&golden, (size_t)fds[i], &m), -EBADMSG);
	golden.data[12] = 3;
	assert_int_equal(decode(&golden, 4, &m), -EBADMSG);
	/* Announced and come, but no entry says what they are. */
	golden.data[12] = 5;
	assert_int_equal(decode(&golden, 5, &m), -EBADMSG);
	golden.data[12] = 3;
	assert_int_equal(decode(&golden, 3, &m), -EBADMSG);
	assert_int_equal(decode_body(PACKET_BYE, "{}", 1, &m), -EBADMSG);
}

static void
other_versions_are_told_apart(void **state)
{
	static struct bytes p;
	struct message m;
	int versions[] = { 0, 2, 3, 0xffff };

	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++) {
		put_packet(&p, versions[i], PACKET_HELLO, "what they say is not known", 0);
		assert_int_equal(decode(&p, 0, &m), -EPROTO);
		assert_int_equal(m.version, versions[i]);
		assert_int_equal(m.type, PACKET_HELLO);
	}
}

static void
unknown_types_are_refused_by_name(void **state)
{
	static const struct {
		int type;
		const char *name;
	} types[] = { { PACKET_DECLINED, "DECLINED" },
		      { PACKET_MOVE, "MOVE" },
		      { PACKET_TAIL, "TAIL" },
		      { 0, "?" },
		      { 17, "?" },
		      { 0xffff, "?" } };
	struct message m;

	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		assert_int_equal(decode_body(types[i].type, "{}", 0, &m), -EPROTONOSUPPORT);
		assert_int_equal(m.type, types[i].type);
		assert_string_equal(molt__wire_type_name(m.type), types[i].name);
	}
	assert_int_equal(decode_body(PACKET_MOVE, "{}", 3, &m), -EPROTONOSUPPORT);
}

static void
every_type_has_its_number_and_name(void **state)
{
	static const char *const names[] = { "?",        "HELLO",     "OFFER",   "TAKEN",
					     "DECLINED", "REFUSE",    "READY",   "PROGRESS",
					     "COMMIT",   "ABORT",     "CONFIRM", "MOVE",
					     "TAIL",     "REMAINING", "BYE",     "STATUS",
					     "WATCH" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		assert_string_equal(molt__wire_type_name((int)i), names[i]);
	assert_string_equal(molt__wire_type_name(-1), "?");
}

/* --- Bodies --- */

#define ENTRY(rest) "{\"id\":1,\"index\":0,\"kind\":\"file\",\"name\":\"a\"" rest "}"
#define OFFER(entry)                                                                               \
	"{\"deadlines\":{\"commit\":0,\"confirm\":0,\"load\":0,\"ready\":0},"                      \
	"\"entries\":[" entry "],\"generation\":1,\"instance\":\"0000000000000001\","              \
	"\"label\":\"\",\"last\":true,\"late\":false,\"pid\":1,\"sequence\":1}"
#define HELLO(instance, pid, label)                                                                \
	"{\"allow_downgrade\":false,\"compatibility\":0,\"instance\":" instance                    \
	",\"label\":" label ",\"pid\":" pid ",\"room\":1,\"speaks\":1}"

static void
unknown_keys_are_ignored(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(
		decode_body(PACKET_TAKEN, "{\"sequence\":7,\"new\":[{}],\"later\":null}", 0, &m),
		0);
	assert_int_equal(m.taken.sequence, 7);
	molt__message_clear(&m);
	assert_int_equal(decode_body(PACKET_BYE, "{\"reason\":\"x\"}", 0, &m), 0);
	molt__message_clear(&m);
	assert_int_equal(decode_body(PACKET_OFFER, OFFER(ENTRY(",\"colour\":3")), 1, &m), 0);
	molt__message_clear(&m);
}

static void
unknown_words_read_as_other(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(decode_body(PACKET_REFUSE, "{\"code\":\"mood\",\"why\":\"no\"}", 0, &m),
			 0);
	assert_int_equal(m.refuse.code, REFUSE_OTHER);
	assert_string_equal(m.refuse.why, "no");
	molt__message_clear(&m);
	assert_int_equal(decode_body(PACKET_PROGRESS, "{\"what\":\"?\"}", 0, &m), 0);
	assert_int_equal(m.progress.what, PROGRESS_OTHER);
	molt__message_clear(&m);
}

static void
what_an_entry_does_not_say_is_unknown(void **state)
{
	struct message m;

	(void)state;
	assert_int_equal(decode_body(PACKET_OFFER, OFFER(ENTRY("")), 1, &m), 0);
	const struct entry *e = m.offer.entries;
	assert_int_equal(e->fd, -1);
	assert_int_equal(e->v6only, -1);
	assert_int_equal(e->backlog, 0);
	assert_int_equal(e->address.family, 0);
	assert_string_equal(e->address.text, "");
	assert_true(e->path.dev == 0 && e->path.ino == 0 && e->netns == 0);
	molt__message_clear(&m);
}

static const struct {
	int type;
	size_t descriptors;
	const char *body;
} bad_bodies[] = {
	{ PACKET_BYE, 0, "" },
	{ PACKET_BYE, 0, "[]" },
	{ PACKET_BYE, 0, "1" },
	{ PACKET_BYE, 0, "{" },
	{ PACKET_BYE, 0, "{}{}" },
	{ PACKET_BYE, 0, "{\"a\":1,\"a\":2}" },
	{ PACKET_BYE, 0, "{\"a\":\"\xff\"}" },
	{ PACKET_TAKEN, 0, "{}" },
	{ PACKET_TAKEN, 0, "{\"sequence\":0}" },
	{ PACKET_TAKEN, 0, "{\"sequence\":-1}" },
	{ PACKET_TAKEN, 0, "{\"sequence\":4294967296}" },
	{ PACKET_TAKEN, 0, "{\"sequence\":99999999999999999999}" },
	{ PACKET_TAKEN, 0, "{\"sequence\":1.0}" },
	{ PACKET_TAKEN, 0, "{\"sequence\":\"1\"}" },
	{ PACKET_TAKEN, 0, "{\"sequence\":null}" },
	{ PACKET_HELLO, 0, HELLO("\"0000000000000000\"", "1", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("\"000000000000001\"", "1", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("\"00000000000000011\"", "1", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("\"000000000000000A\"", "1", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("\"+000000000000001\"", "1", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("1", "1", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("\"0000000000000001\"", "-1", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("\"0000000000000001\"", "2147483648", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("\"0000000000000001\"", "true", "\"\"") },
	{ PACKET_HELLO, 0, HELLO("\"0000000000000001\"", "1", "\"line\\nline\"") },
	{ PACKET_HELLO, 0, HELLO("\"0000000000000001\"", "1", "\"\\u0000\"") },
	{ PACKET_HELLO, 0, HELLO("\"0000000000000001\"", "1", "\"\\u009b31m\"") },
	{ PACKET_HELLO, 0, HELLO("\"0000000000000001\"", "1", "null") },
	/* 64 bytes */
	{ PACKET_HELLO, 0,
	  HELLO("\"0000000000000001\"", "1",
		"\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"") },
	{ PACKET_HELLO, 0,
	  "{\"allow_downgrade\":1,\"compatibility\":0,\"instance\":\"0000000000000001\","
	  "\"label\":\"\",\"pid\":1,\"room\":1,\"speaks\":1}" },
	{ PACKET_READY, 0, "{\"claimed\":{}}" },
	{ PACKET_READY, 0, "{\"claimed\":[0]}" },
	{ PACKET_READY, 0, "{\"claimed\":[1,\"2\"]}" },
	{ PACKET_READY, 0, "{\"claimed\":[1,4294967296]}" },
	{ PACKET_REFUSE, 0, "{\"code\":1,\"why\":\"\"}" },
	{ PACKET_REMAINING, 0, "{\"processes\":[1]}" },
	{ PACKET_REMAINING, 0, "{\"processes\":[{}]}" },
	{ PACKET_STATUS, 0, "{\"status\":[]}" },
	{ PACKET_OFFER, 1, OFFER("") },
	{ PACKET_OFFER, 0, OFFER(ENTRY("")) },
	{ PACKET_OFFER, 1, OFFER("1") },
	{ PACKET_OFFER, 1, OFFER("{\"id\":0,\"index\":0,\"kind\":\"file\",\"name\":\"a\"}") },
	{ PACKET_OFFER, 1, OFFER("{\"id\":1,\"index\":-1,\"kind\":\"file\",\"name\":\"a\"}") },
	{ PACKET_OFFER, 1, OFFER("{\"id\":1,\"index\":0,\"kind\":\"soup\",\"name\":\"a\"}") },
	{ PACKET_OFFER, 1, OFFER("{\"id\":1,\"index\":0,\"kind\":\"file\",\"name\":\"\"}") },
	{ PACKET_OFFER, 1, OFFER("{\"id\":1,\"index\":0,\"kind\":\"file\",\"name\":\"a b\"}") },
	{ PACKET_OFFER, 1, OFFER("{\"id\":1,\"index\":0,\"kind\":\"file\",\"name\":\"../a\"}") },
	{ PACKET_OFFER, 1, OFFER(ENTRY(",\"v6only\":2")) },
	{ PACKET_OFFER, 1, OFFER(ENTRY(",\"family\":\"ipx\"")) },
	{ PACKET_OFFER, 1, OFFER(ENTRY(",\"type\":\"raw\"")) },
	{ PACKET_OFFER, 1, OFFER(ENTRY(",\"address\":\"/a\\nb\"")) },
	{ PACKET_OFFER, 1, OFFER(ENTRY(",\"backlog\":65536")) },
};

static void
bad_bodies_are_refused(void **state)
{
	struct message m;

	(void)state;
	/* The macros themselves make good ones. */
	assert_int_equal(decode_body(PACKET_OFFER, OFFER(ENTRY("")), 1, &m), 0);
	molt__message_clear(&m);
	assert_int_equal(
		decode_body(PACKET_HELLO, HELLO("\"0000000000000001\"", "1", "\"\""), 0, &m), 0);
	molt__message_clear(&m);
	for (size_t i = 0; i < COUNT(bad_bodies); i++) {
		int error = decode_body(bad_bodies[i].type, bad_bodies[i].body,
					bad_bodies[i].descriptors, &m);
		if (error != -EBADMSG)
			fail_msg("%s %s: %d", molt__wire_type_name(bad_bodies[i].type),
				 bad_bodies[i].body, error);
		assert_null(m.offer.entries);
	}
}

static void
lists_that_are_too_long_are_refused(void **state)
{
	static char body[WIRE_BODY_MAX];
	struct message m;
	size_t at = (size_t)snprintf(body, sizeof(body), "{\"claimed\":[1");

	(void)state;
	for (int i = 1; i <= WIRE_IDS_MAX; i++)
		at += (size_t)snprintf(body + at, sizeof(body) - at, ",1");
	strcpy(body + at, "]}");
	assert_int_equal(decode_body(PACKET_READY, body, 0, &m), -EBADMSG);
	strcpy(body + at - 2, "]}");
	assert_int_equal(decode_body(PACKET_READY, body, 0, &m), 0);
	assert_int_equal(m.ready.count, WIRE_IDS_MAX);
	molt__message_clear(&m);
}

static void
deep_nesting_is_refused(void **state)
{
	static char body[WIRE_BODY_MAX];
	struct message m;

	(void)state;
	memcpy(body, "{\"a\":", 5);
	memset(body + 5, '[', 120000);
	assert_int_equal(decode_body(PACKET_BYE, body, 0, &m), -EBADMSG);
}

/* --- What is not written --- */

static void
assert_not_encoded(const struct message *m, int error)
{
	void *bytes = &bytes;
	size_t len = 77;

	assert_int_equal(molt__wire_encode(m, &bytes, &len), error);
	assert_ptr_equal(bytes, &bytes);
	assert_int_equal(len, 77);
}

static void
bad_messages_are_not_written(void **state)
{
	struct message m = hello;
	struct entry e = entries[1];

	(void)state;
	m.hello.instance = 0;
	assert_not_encoded(&m, -EINVAL);
	m = hello;
	m.hello.pid = -1;
	assert_not_encoded(&m, -EINVAL);
	m = hello;
	m.version = 2;
	assert_not_encoded(&m, -EINVAL);
	m = (struct message){ .type = PACKET_MOVE };
	assert_not_encoded(&m, -EINVAL);
	m = offer;
	m.offer.entries = &e;
	m.offer.count = 1;
	strcpy(e.name, "a/b");
	assert_not_encoded(&m, -EINVAL);
	e = entries[1];
	strcpy(e.address.text, "/a\n");
	assert_not_encoded(&m, -EINVAL);
	e = entries[1];
	e.kind = 0;
	assert_not_encoded(&m, -EINVAL);
	m = ready;
	m.ready.claimed = (uint32_t[]){ 0 };
	m.ready.count = 1;
	assert_not_encoded(&m, -EINVAL);
	m.status = (struct status){ .object = json_array() };
	m.type = PACKET_STATUS;
	assert_not_encoded(&m, -EINVAL);
	json_decref(m.status.object);
}

static struct entry many[WIRE_DESCRIPTORS_MAX + 1];

static void
fill_widest(struct entry *e)
{
	memset(e->name, 'n', ENTRY_NAME_MAX);
	e->kind = ENTRY_DATAGRAM;
	e->id = UINT32_MAX;
	e->index = WIRE_IDS_MAX - 1;
	e->backlog = UINT16_MAX;
	e->address.family = AF_INET6;
	e->address.type = SOCK_SEQPACKET;
	memset(e->address.text, '"', ENTRY_ADDRESS_MAX);
	e->path.dev = e->path.ino = e->netns = 1;
	e->v6only = 0;
}

static void
an_entry_needs_no_more_than_its_size(void **state)
{
	struct message m = offer;
	void *bytes;
	size_t none, one;

	(void)state;
	memset(many, 0, sizeof(many));
	fill_widest(&many[0]);
	m.offer.entries = many;
	m.offer.count = 0;
	assert_int_equal(molt__wire_encode(&m, &bytes, &none), 0);
	free(bytes);
	m.offer.count = 1;
	assert_int_equal(molt__wire_encode(&m, &bytes, &one), 0);
	free(bytes);
	assert_in_range(one - none + 1, 1, molt__wire_entry_size(&many[0]));
	assert_in_range(none, 1, WIRE_BODY_MAX - WIRE_OFFER_ROOM);
}

static void
what_is_too_long_is_not_written(void **state)
{
	struct message m = offer;
	void *bytes;
	size_t len, count = WIRE_OFFER_ROOM;

	(void)state;
	memset(many, 0, sizeof(many));
	for (size_t i = 0; i < COUNT(many); i++)
		fill_widest(&many[i]);
	m.offer.entries = many;
	m.offer.count = WIRE_DESCRIPTORS_MAX + 1;
	assert_not_encoded(&m, -EINVAL);
	m.offer.count = WIRE_DESCRIPTORS_MAX;
	assert_not_encoded(&m, -EMSGSIZE);
	m.offer.count = count / molt__wire_entry_size(&many[0]);
	assert_int_equal(molt__wire_encode(&m, &bytes, &len), 0);
	free(bytes);
}

static void
sentences_are_cleaned(void **state)
{
	struct message m = { .type = PACKET_ABORT }, back;
	void *bytes;
	size_t len;

	(void)state;
	strcpy(m.abort.why, "a\nb\x7f\xff\xc3\xa9\xed\xa0\x80 \xc2\x9b \xc3");
	assert_int_equal(molt__wire_encode(&m, &bytes, &len), 0);
	assert_int_equal(molt__wire_decode(bytes, len, 0, &back), 0);
	assert_string_equal(back.abort.why, "a?b??\xc3\xa9??? ?? ?");
	molt__message_clear(&back);
	free(bytes);
}

static void
a_status_travels_as_it_is(void **state)
{
	static struct bytes golden;
	struct message m;

	(void)state;
	read_golden("status-answer", &golden);
	assert_int_equal(decode(&golden, 0, &m), 0);
	assert_int_equal(json_integer_value(json_object_get(m.status.object, "generation")), 3);
	molt__message_clear(&m);
	read_golden("status-question", &golden);
	assert_int_equal(decode(&golden, 0, &m), 0);
	assert_null(m.status.object);
	molt__message_clear(&m);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_packets_are_written),
		cmocka_unit_test(golden_packets_are_read),
		cmocka_unit_test(golden_hello_has_its_values),
		cmocka_unit_test(golden_offer_has_its_values),
		cmocka_unit_test(half_packets_are_refused),
		cmocka_unit_test(a_wrong_header_is_refused),
		cmocka_unit_test(descriptors_must_be_what_was_announced),
		cmocka_unit_test(other_versions_are_told_apart),
		cmocka_unit_test(unknown_types_are_refused_by_name),
		cmocka_unit_test(every_type_has_its_number_and_name),
		cmocka_unit_test(unknown_keys_are_ignored),
		cmocka_unit_test(unknown_words_read_as_other),
		cmocka_unit_test(what_an_entry_does_not_say_is_unknown),
		cmocka_unit_test(bad_bodies_are_refused),
		cmocka_unit_test(lists_that_are_too_long_are_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(bad_messages_are_not_written),
		cmocka_unit_test(an_entry_needs_no_more_than_its_size),
		cmocka_unit_test(what_is_too_long_is_not_written),
		cmocka_unit_test(sentences_are_cleaned),
		cmocka_unit_test(a_status_travels_as_it_is),
	};
	fill_entries();
	fill_processes();
	answer.status.object = json_pack("{s:i,s:s}", "generation", 3, "state", "serving");
	int failed = argc > 1 && strcmp(argv[1], "--record") == 0
			     ? record_goldens()
			     : cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(answer.status.object);
	return failed;
}
