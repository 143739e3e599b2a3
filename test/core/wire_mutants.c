/* SPDX-License-Identifier: MIT */
/* Packets: a few hundred thousand mutants of the golden ones, and each allocation failing once. */
/* time limit: 60 s */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <cmocka.h>

#include "wire.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { OFFER_ENTRIES = 4 };

static const char *const names[] = {
	"abort",     "bye",           "commit",          "confirm",  "hello",
	"offer",     "offer",         "ready",           "progress", "refuse",
	"remaining", "status-answer", "status-question", "taken",    "watch",
};

struct bytes {
	char data[WIRE_PACKET_MAX + 64];
	size_t len;
};

static void
read_golden(const char *name, struct bytes *ret)
{
	char path[128];

	snprintf(path, sizeof(path), "test/golden/v1/%s.bin", name);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: %s (tests run in the top folder)", path, strerror(errno));
	ret->len = fread(ret->data, 1, sizeof(ret->data), f);
	fclose(f);
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

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void
mutate(struct bytes *p, uint64_t *seed)
{
	static const char likely[] = "{}[]\",:0123456789-.eE\\u\x00\x01\x7f\x80\xff";
	uint64_t r = next_random(seed);
	size_t at = r % p->len;

	switch (next_random(seed) % 5) {
	case 0:
		p->data[at] = (char)(r >> 32);
		break;
	case 1:
		p->data[at] = likely[(r >> 32) % (sizeof(likely) - 1)];
		break;
	case 2:
		p->data[at] ^= (char)(1 << (r >> 32) % 8);
		break;
	case 3: /* a byte less */
		memmove(p->data + at, p->data + at + 1, p->len - at - 1);
		p->len -= p->len > 1;
		break;
	default: /* one more */
		memmove(p->data + at + 1, p->data + at, p->len - at);
		p->len++;
	}
}

/* Makes the length right again, or else hardly any mutant would come as far as its body. */
static void
mend_length(struct bytes *p)
{
	if (p->len < 16)
		return;
	for (int i = 0; i < 4; i++)
		p->data[8 + i] = (char)((p->len - 16) >> (8 * i));
}

/* What was understood can be said again, and then means the same. */
static void
assert_survives(const struct message *m)
{
	static struct bytes first;
	struct message again;
	void *bytes;
	size_t len;

	assert_int_equal(molt__wire_encode(m, &bytes, &len), 0);
	memcpy(first.data, bytes, len);
	first.len = len;
	free(bytes);
	assert_int_equal(decode(&first, molt__wire_descriptors(m), &again), 0);
	assert_int_equal(molt__wire_encode(&again, &bytes, &len), 0);
	assert_int_equal(len, first.len);
	assert_memory_equal(bytes, first.data, len);
	free(bytes);
	molt__message_clear(&again);
}

static bool
decode_mutant(const struct bytes *p)
{
	struct message m;
	size_t descriptors = p->len >= 13 ? (unsigned char)p->data[12] : 0;
	int error = decode(p, descriptors, &m);

	if (error == 0) {
		assert_survives(&m);
		molt__message_clear(&m);
		return true;
	}
	assert_true(error == -EBADMSG || error == -EPROTO || error == -EPROTONOSUPPORT);
	assert_null(m.offer.entries);
	return false;
}

static void
mutants_do_no_harm(void **state)
{
	static struct bytes golden, p;
	const char *set = getenv("MOLT_SEED"), *under = getenv("MOLT_UNDER");
	uint64_t seed = set ? strtoull(set, NULL, 0) : 0x9e3779b97f4a7c15;
	long rounds = under && *under ? 4000 : 300000, good = 0;

	(void)state;
	print_message("mutants: %ld, MOLT_SEED=0x%" PRIx64 "\n", rounds, seed);
	for (long i = 0; i < rounds; i++) {
		if (i % (rounds / 40) == 0)
			read_golden(names[next_random(&seed) % COUNT(names)], &golden);
		p.len = golden.len;
		memcpy(p.data, golden.data, golden.len);
		for (uint64_t n = 1 + next_random(&seed) % 4; n > 0; n--)
			mutate(&p, &seed);
		if (next_random(&seed) % 8 != 0)
			mend_length(&p);
		good += decode_mutant(&p);
	}
	/* Both ways out were taken, and often. */
	assert_in_range(good, rounds / 100, rounds - rounds / 100);
}

/* --- No memory --- */

static long allocations_left = -1;

static void *
short_malloc(size_t size)
{
	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	return malloc(size);
}

static long
encode_with(long allocations, const struct message *m, int *ret_error)
{
	void *bytes;
	size_t len;

	allocations_left = allocations;
	*ret_error = molt__wire_encode(m, &bytes, &len);
	if (*ret_error == 0)
		free(bytes);
	long left = allocations_left;
	allocations_left = -1;
	return left;
}

static long
decode_with(long allocations, const struct bytes *p, int *ret_error)
{
	struct message m;

	allocations_left = allocations;
	*ret_error = molt__wire_decode(p->data, p->len, OFFER_ENTRIES, &m);
	long left = allocations_left;
	allocations_left = -1;
	if (*ret_error == 0)
		molt__message_clear(&m);
	return left;
}

static void
every_allocation_may_fail(void **state)
{
	static struct bytes golden;
	struct message m;
	long n;
	int error;

	(void)state;
	read_golden("offer", &golden);
	assert_int_equal(decode(&golden, OFFER_ENTRIES, &m), 0);
	for (n = 0; encode_with(n, &m, &error) == 0 && error; n++)
		assert_int_equal(error, -ENOMEM);
	assert_int_equal(error, 0);
	assert_true(n > 20);
	molt__message_clear(&m);
	for (n = 0; decode_with(n, &golden, &error) == 0 && error; n++)
		assert_true(error == -ENOMEM || error == -EBADMSG);
	assert_int_equal(error, 0);
	assert_true(n > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mutants_do_no_harm),
		cmocka_unit_test(every_allocation_may_fail),
	};

	json_set_alloc_funcs(short_malloc, free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
