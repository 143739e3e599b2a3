/* SPDX-License-Identifier: MIT */
/* Entries: names, texts, and which recorded address serves which question. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "entry.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONGEST "123456789012345678901234567890123456789012345678901234567890123"

static void
names(void **state)
{
	static const char *const good[] = { "a", "A-z_0.9", "..", LONGEST };
	static const char *const bad[] = { "", " ", "a b", "a/b", "\303\251", "a\n", LONGEST "4" };
	struct entry e;

	(void)state;
	molt__entry_init(&e);
	assert_int_equal(e.fd, -1);
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(molt__entry_name_ok(good[i]));
		assert_int_equal(molt__entry_set_name(&e, good[i]), 0);
		assert_string_equal(e.name, good[i]);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_false(molt__entry_name_ok(bad[i]));
		assert_int_equal(molt__entry_set_name(&e, bad[i]), -EINVAL);
		assert_string_equal(e.name, LONGEST);
	}
}

static void
texts(void **state)
{
	/* Text, and how many of its bytes are good. */
	static const struct {
		const char *text;
		size_t good;
	} cases[] = {
		{ "", 0 },
		{ "plain ~", 7 },
		{ "tab\there", 3 },
		{ "a\x7f", 1 },
		{ "\xc2\x9b", 0 }, /* a control character in two bytes */
		{ "\xc2\xa0", 2 }, /* the first that is none */
		{ "\xc0\xaf", 0 }, /* overlong in two, three, four bytes */
		{ "\xe0\x80\xaf", 0 },
		{ "\xf0\x80\x80\xaf", 0 },
		{ "\xe0\xa0\x80", 3 },
		{ "\xed\xa0\x80", 0 },     /* a surrogate */
		{ "\xf4\x8f\xbf\xbf", 4 }, /* the last character */
		{ "\xf4\x90\x80\x80", 0 },
		{ "\xf5\x80\x80\x80", 0 },
		{ "x\x80", 1 },
		{ "x\xc3(", 1 },
		{ "x\xe2\x82", 1 }, /* cut off */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t good = molt__entry_text_span(cases[i].text, strlen(cases[i].text));
		if (good != cases[i].good)
			fail_msg("case %zu: %zu instead of %zu", i, good, cases[i].good);
	}
	assert_int_equal(molt__entry_text_span("a\0b", 3), 1);
}

static void
kinds(void **state)
{
	struct entry e;

	(void)state;
	molt__entry_init(&e);
	for (int kind = ENTRY_FILE; kind <= ENTRY_PATH; kind++) {
		e.kind = (enum entry_kind)kind;
		assert_non_null(molt__entry_kind_name(kind));
		assert_int_equal(molt__entry_is_listener(&e),
				 kind == ENTRY_STREAM || kind == ENTRY_DATAGRAM);
		assert_int_equal(molt__entry_is_reserved(&e),
				 kind == ENTRY_LIFE || kind == ENTRY_PATH);
	}
	assert_null(molt__entry_kind_name(0));
	assert_null(molt__entry_kind_name(ENTRY_PATH + 1));
	assert_null(molt__entry_kind_name(-1));
}

static struct address_record
record(int family, int type, const char *text)
{
	struct address_record r = { .family = family, .type = type };

	assert_int_equal(molt__address_record_set_text(&r, text, strlen(text)), 0);
	return r;
}

static void
matches(void **state)
{
	static const struct {
		int family;
		const char *asked;
		const char *recorded;
		int match;
	} cases[] = {
		{ AF_INET, "127.0.0.1:80", "127.0.0.1:80", 1 },
		{ AF_INET, "127.0.0.1:80", "127.0.0.1:8080", 0 },
		{ AF_INET, "127.0.0.1:0", "127.0.0.1:8080", 1 },
		{ AF_INET, "127.0.0.1:80", "127.0.0.1:0", 0 },
		{ AF_INET, "127.0.0.1:0", "127.0.0.2:8080", 0 },
		{ AF_INET, "127.0.0.1:0", "127.0.0.10:8080", 0 },
		{ AF_INET, "0.0.0.0:80", "127.0.0.1:80", 0 },
		{ AF_INET, "127.0.0.1:0", "", 0 },
		{ AF_INET, "", "", 0 },
		{ AF_INET6, "[::1]:0", "[::1]:1", 1 },
		{ AF_INET6, "[::]:0", "[::1]:1", 0 },
		{ AF_UNIX, "/a:0", "/a:1", 0 },
		{ AF_UNIX, "/a:0", "/a:0", 1 },
		{ AF_UNIX, "@a", "/a", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address_record asked = record(cases[i].family, SOCK_STREAM, cases[i].asked);
		struct address_record recorded =
			record(cases[i].family, SOCK_STREAM, cases[i].recorded);
		if (molt__address_record_match(&asked, &recorded) != cases[i].match)
			fail_msg("%s against %s", cases[i].asked, cases[i].recorded);
		recorded.type = SOCK_DGRAM;
		assert_false(molt__address_record_match(&asked, &recorded));
		recorded.type = SOCK_STREAM;
		recorded.family++;
		assert_false(molt__address_record_match(&asked, &recorded));
	}
}

static void
address_texts_have_bounds(void **state)
{
	static char text[ENTRY_ADDRESS_MAX + 1];
	struct address_record r = record(AF_UNIX, SOCK_STREAM, "/old");

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(molt__address_record_set_text(&r, text, sizeof(text)), -EINVAL);
	assert_int_equal(molt__address_record_set_text(&r, "a\nb", 3), -EINVAL);
	assert_string_equal(r.text, "/old");
	assert_int_equal(molt__address_record_set_text(&r, text, ENTRY_ADDRESS_MAX), 0);
	assert_int_equal(strlen(r.text), ENTRY_ADDRESS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(texts),
		cmocka_unit_test(kinds),
		cmocka_unit_test(matches),
		cmocka_unit_test(address_texts_have_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
