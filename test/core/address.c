/* SPDX-License-Identifier: MIT */
/* Addresses: what a user writes, what a socket says, and what a descriptor is. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "address.h"
#include "fds.h"
#include "tmpdir.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- As a user writes them --- */

static void
good_addresses(void **state)
{
	static const struct {
		const char *text, *canonical;
		int family, type;
	} cases[] = {
		{ "tcp://127.0.0.1:8080", "tcp://127.0.0.1:8080", AF_INET, SOCK_STREAM },
		{ "tcp://0.0.0.0:0", "tcp://0.0.0.0:0", AF_INET, SOCK_STREAM },
		{ "tcp://127.0.0.1:00080", "tcp://127.0.0.1:80", AF_INET, SOCK_STREAM },
		{ "tcp://127.0.0.1:65535", "tcp://127.0.0.1:65535", AF_INET, SOCK_STREAM },
		{ "tcp://[::1]:8080", "tcp://[::1]:8080", AF_INET6, SOCK_STREAM },
		{ "tcp://[0:0::0:1]:1", "tcp://[::1]:1", AF_INET6, SOCK_STREAM },
		{ "tcp://[2001:DB8::A]:1", "tcp://[2001:db8::a]:1", AF_INET6, SOCK_STREAM },
		{ "tcp://[fe80::1%lo]:1", "tcp://[fe80::1%lo]:1", AF_INET6, SOCK_STREAM },
		{ "tcp://[fe80::1%1]:1", "tcp://[fe80::1%lo]:1", AF_INET6, SOCK_STREAM },
		{ "tcp://[fe80::1%4000000000]:1", "tcp://[fe80::1%4000000000]:1", AF_INET6,
		  SOCK_STREAM },
		{ "tcp://[::ffff:10.0.0.1]:1", "tcp://[::ffff:10.0.0.1]:1", AF_INET6, SOCK_STREAM },
		{ "udp://127.0.0.1:5353", "udp://127.0.0.1:5353", AF_INET, SOCK_DGRAM },
		{ "udp://[::]:5353", "udp://[::]:5353", AF_INET6, SOCK_DGRAM },
		{ "unix:///run/app.sock", "unix:///run/app.sock", AF_UNIX, SOCK_STREAM },
		{ "unix:////run//./app.sock", "unix:///run/app.sock", AF_UNIX, SOCK_STREAM },
		{ "unix:///./a", "unix:///a", AF_UNIX, SOCK_STREAM },
		{ "unix:///run/.app/..b/c.", "unix:///run/.app/..b/c.", AF_UNIX, SOCK_STREAM },
		{ "unix:///\303\251&=:", "unix:///\303\251&=:", AF_UNIX, SOCK_STREAM },
		{ "unix:@app", "unix:@app", AF_UNIX, SOCK_STREAM },
		{ "unix://@app//x", "unix:@app//x", AF_UNIX, SOCK_STREAM },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a;
		char why[ADDRESS_WHY_MAX + 1] = "", text[ADDRESS_TEXT_SIZE];
		if (molt__address_parse(cases[i].text, &a, why) != 0)
			fail_msg("%s: %s", cases[i].text, why);
		molt__address_print(&a.record, text, sizeof(text));
		assert_string_equal(text, cases[i].canonical);
		assert_int_equal(a.record.family, cases[i].family);
		assert_int_equal(a.record.type, cases[i].type);
		assert_int_equal(a.backlog, 0);
		assert_int_equal(a.v6only, -1);
		assert_int_equal(a.sockets, 1);
		assert_int_equal(a.mode, -1);
	}
}

static void
bad_addresses(void **state)
{
	/* And a part of the sentence. */
	static const char *const cases[][2] = {
		{ "", "none of tcp://" },
		{ "127.0.0.1:80", "none of tcp://" },
		{ "http://127.0.0.1:80", "none of tcp://" },
		{ "TCP://127.0.0.1:80", "none of tcp://" },
		{ "unix:/run/a", "none of tcp://" },
		{ "tcp://", "needs an address and a port" },
		{ "tcp://127.0.0.1", "needs an address and a port" },
		{ "tcp://:80", "needs an address and a port" },
		{ "tcp://127.0.0.1:", "\"\" is not a port" },
		{ "tcp://127.0.0.1:http", "\"http\" is not a port" },
		{ "tcp://127.0.0.1:+80", "\"+80\" is not a port" },
		{ "tcp://127.0.0.1: 80", "\" 80\" is not a port" },
		{ "tcp://127.0.0.1:-1", "\"-1\" is not a port" },
		{ "tcp://127.0.0.1:0x50", "\"0x50\" is not a port" },
		{ "tcp://127.0.0.1:65536", "\"65536\" is not a port" },
		{ "tcp://127.0.0.1:99999999999999999999", "is not a port" },
		{ "tcp://localhost:80", "names are not looked up" },
		{ "tcp://127.1:80", "not an IP address" },
		{ "tcp://127.0.0.256:80", "not an IP address" },
		{ "tcp://*:80", "not an IP address" },
		{ "tcp://::1:80", "stands in [ ]" },
		{ "tcp://[::1:80", "lacks a ]" },
		{ "tcp://[::1]80:", "is not a port" },
		{ "tcp://[::1]x:80", "lacks a ]" },
		{ "tcp://[]:80", "not an IP address" },
		{ "tcp://]:80", "not an IP address" },
		{ "tcp://[127.0.0.1]:80", "not an IP address" },
		{ "tcp://[::1%nosuchinterface]:80", "not an IP address" },
		{ "tcp://[::1%]:80", "not an IP address" },
		{ "tcp://[fe80::1%1x]:80", "not an IP address" },
		{ "tcp://[fe80::1%4294967297]:80", "not an IP address" },
		{ "tcp://user@127.0.0.1:80", "not an IP address" },
		{ "tcp://127.0.0.1:80/path", "is not a port" },
		{ "unix://", "not an absolute path" },
		{ "unix://run/app.sock", "not an absolute path" },
		{ "unix:///", "names a directory" },
		{ "unix:///run/", "names a directory" },
		{ "unix:///run/.", "names a directory" },
		{ "unix:///run/..", "names a directory" },
		{ "unix:///run/a\nb", "not UTF-8" },
		{ "unix:///run/\377", "not UTF-8" },
		{ "unix:@", "needs a name" },
		{ "unix:@a\001b", "control characters" },
		{ "unix:@1234567890123456789012345678901234567890123456789012345678901234567890"
		  "12345678901234567890123456789012345678",
		  "longer than the 107" },
		{ "tcp://127.0.0.1:80?", "no option" },
		{ "tcp://127.0.0.1:80?backlog", "key=value" },
		{ "tcp://127.0.0.1:80?backlog=", "out of range" },
		{ "tcp://127.0.0.1:80?backlog=0", "out of range" },
		{ "tcp://127.0.0.1:80?backlog=65536", "out of range" },
		{ "tcp://127.0.0.1:80?backlog=1&", "no option" },
		{ "tcp://127.0.0.1:80?backlog=1&backlog=1", "twice" },
		{ "tcp://127.0.0.1:80?backlog=1?sockets=1", "out of range" },
		{ "tcp://127.0.0.1:80?sockets=0", "out of range" },
		{ "tcp://127.0.0.1:80?sockets=65", "out of range" },
		{ "tcp://127.0.0.1:80?Sockets=1", "\"Sockets\" is no option" },
		{ "tcp://127.0.0.1:80?v6only=1", "v6only means nothing" },
		{ "tcp://[::]:80?v6only=2", "out of range" },
		{ "tcp://127.0.0.1:80?mode=600", "mode means nothing" },
		{ "udp://127.0.0.1:80?backlog=1", "backlog means nothing" },
		{ "unix:@a?mode=600", "mode means nothing" },
		{ "unix:///a?sockets=2", "sockets means nothing" },
		{ "unix:///a?mode=800", "octal" },
		{ "unix:///a?mode=1777", "octal" },
		{ "unix:///a?0123456789012345678901234567890=1", "no option" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a = { .backlog = 77 };
		char why[ADDRESS_WHY_MAX + 1] = "";
		if (molt__address_parse(cases[i][0], &a, why) != -EINVAL)
			fail_msg("%s was accepted", cases[i][0]);
		if (!strstr(why, cases[i][1]))
			fail_msg("%s: \"%s\" lacks \"%s\"", cases[i][0], why, cases[i][1]);
		assert_int_equal(a.backlog, 77);
	}
}

static void
options(void **state)
{
	struct address a;
	char why[ADDRESS_WHY_MAX + 1];

	(void)state;
	assert_int_equal(
		molt__address_parse("tcp://[::]:80?backlog=512&v6only=1&sockets=64", &a, why), 0);
	assert_int_equal(a.backlog, 512);
	assert_int_equal(a.v6only, 1);
	assert_int_equal(a.sockets, 64);
	assert_int_equal(molt__address_parse("tcp://[::]:80?v6only=0", &a, why), 0);
	assert_int_equal(a.v6only, 0);
	assert_int_equal(molt__address_parse("udp://127.0.0.1:80?sockets=2", &a, why), 0);
	assert_int_equal(a.sockets, 2);
	assert_int_equal(molt__address_parse("unix:///a?mode=0640&backlog=65535", &a, why), 0);
	assert_int_equal(a.mode, 0640);
	assert_int_equal(a.backlog, 65535);
	assert_int_equal(molt__address_parse("unix:///a?mode=0", &a, why), 0);
	assert_int_equal(a.mode, 0);
}

static void
long_paths(void **state)
{
	static char text[ENTRY_ADDRESS_MAX + 16];
	struct address a;
	char why[ADDRESS_WHY_MAX + 1];
	size_t scheme = strlen("unix://");

	(void)state;
	strcpy(text, "unix://");
	text[scheme] = '/';
	memset(text + scheme + 1, 'p', ENTRY_ADDRESS_MAX);
	assert_int_equal(molt__address_parse(text, &a, why), -EINVAL);
	assert_non_null(strstr(why, "longer than 1023"));
	text[scheme + ENTRY_ADDRESS_MAX] = '\0';
	assert_int_equal(molt__address_parse(text, &a, why), 0);
	assert_string_equal(a.record.text, text + scheme);
}

/* --- To and from the kernel's form --- */

static struct address_record
record_of(const char *text)
{
	struct address a;
	char why[ADDRESS_WHY_MAX + 1];

	if (molt__address_parse(text, &a, why) != 0)
		fail_msg("%s: %s", text, why);
	return a.record;
}

static void
socket_addresses_and_back(void **state)
{
	static const char *const cases[] = {
		"tcp://127.0.0.1:8080",
		"udp://[2001:db8::1]:53",
		"tcp://[fe80::1%lo]:80",
		"unix:///run/app.sock",
		"unix:@app",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address_record r = record_of(cases[i]), back;
		struct sockaddr_storage sa;
		socklen_t len;
		assert_int_equal(molt__address_sockaddr(&r, &sa, &len), 0);
		assert_int_equal(sa.ss_family, r.family);
		assert_int_equal(
			molt__address_from_sockaddr(r.type, (struct sockaddr *)&sa, len, &back), 0);
		assert_memory_equal(&back, &r, sizeof(r));
	}
}

static void
unix_addresses_have_their_exact_length(void **state)
{
	struct address_record path = record_of("unix:///ab"), name = record_of("unix:@ab");
	struct address_record back;
	struct sockaddr_storage sa;
	struct sockaddr_un *un = (struct sockaddr_un *)&sa;
	socklen_t len, base = offsetof(struct sockaddr_un, sun_path);

	(void)state;
	assert_int_equal(molt__address_sockaddr(&path, &sa, &len), 0);
	assert_int_equal(len, base + 4);
	/* Callers give all sorts of lengths for a path. */
	assert_int_equal(
		molt__address_from_sockaddr(SOCK_STREAM, (struct sockaddr *)un, base + 3, &back),
		0);
	assert_string_equal(back.text, "/ab");
	assert_int_equal(
		molt__address_from_sockaddr(SOCK_STREAM, (struct sockaddr *)un, sizeof(*un), &back),
		0);
	assert_string_equal(back.text, "/ab");
	assert_int_equal(molt__address_sockaddr(&name, &sa, &len), 0);
	assert_int_equal(len, base + 3);
	assert_memory_equal(un->sun_path, "\0ab", 3);
}

static void
paths_that_do_not_fit(void **state)
{
	char text[160] = "unix:///";
	struct address_record r;
	struct sockaddr_storage sa;
	socklen_t len;

	(void)state;
	memset(text + 8, 'p', 106);
	r = record_of(text);
	assert_int_equal(molt__address_sockaddr(&r, &sa, &len), 0);
	text[8 + 106] = 'p';
	r = record_of(text);
	assert_int_equal(molt__address_sockaddr(&r, &sa, &len), -ENAMETOOLONG);
	r.text[0] = '\0';
	assert_int_equal(molt__address_sockaddr(&r, &sa, &len), -EINVAL);
}

static void
bad_socket_addresses(void **state)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "relative" };
	struct sockaddr other = { .sa_family = AF_NETLINK };
	struct address_record r = { .type = 77 };
	const struct {
		int type;
		const void *sa;
		size_t len;
	} cases[] = {
		{ SOCK_RAW, &v4, sizeof(v4) },
		{ 0, &v4, sizeof(v4) },
		{ SOCK_STREAM, &v4, 1 },
		{ SOCK_STREAM, &v4, sizeof(v4) - 1 },
		{ SOCK_STREAM, &v6, sizeof(v6) - 1 },
		{ SOCK_STREAM, &un, sizeof(un) },
		{ SOCK_STREAM, &un, 2 },
		{ SOCK_STREAM, &un, sizeof(un) + 1 },
		{ SOCK_STREAM, &other, sizeof(other) },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(molt__address_from_sockaddr(cases[i].type, cases[i].sa,
							     (socklen_t)cases[i].len, &r),
				 -EINVAL);
		assert_int_equal(r.type, 77);
	}
	/* Too long for any, and too short for a family, in memory that is no longer than that. */
	strcpy(un.sun_path, "/absolute");
	struct sockaddr_storage longer = { 0 };
	memcpy(&longer, &un, sizeof(un));
	assert_int_equal(molt__address_from_sockaddr(SOCK_STREAM, (struct sockaddr *)&longer,
						     sizeof(un) + 1, &r),
			 -EINVAL);
	struct sockaddr *tiny = malloc(1);
	assert_int_equal(molt__address_from_sockaddr(SOCK_STREAM, tiny, 1, &r), -EINVAL);
	free(tiny);
	un.sun_path[0] = '\0';
	assert_int_equal(molt__address_from_sockaddr(SOCK_STREAM, (struct sockaddr *)&un, 3, &r),
			 -EINVAL);
}

/* --- What a descriptor is --- */

static int
bound(const char *address, int sockettype)
{
	struct address_record r = record_of(address);
	struct sockaddr_storage sa;
	socklen_t len;
	int fd = socket(r.family, sockettype | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(molt__address_sockaddr(&r, &sa, &len), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

/* Describes it, closes it. */
static struct entry
describe(int fd)
{
	struct entry e;
	char why[ADDRESS_WHY_MAX + 1];

	molt__entry_init(&e);
	assert_int_equal(molt__entry_set_name(&e, "name"), 0);
	assert_int_equal(molt__address_of_descriptor(fd, &e, why), 0);
	assert_int_equal(e.fd, fd);
	assert_string_equal(e.name, "name");
	assert_true(e.file.ino != 0);
	assert_true(molt__address_still(&e));
	close(fd);
	assert_false(molt__address_still(&e));
	return e;
}

static void
listeners_are_recognised(void **state)
{
	struct entry e = describe(bound("tcp://127.0.0.1:0", SOCK_STREAM));

	(void)state;
	assert_int_equal(e.kind, ENTRY_STREAM);
	assert_int_equal(e.address.family, AF_INET);
	assert_int_equal(e.address.type, SOCK_STREAM);
	assert_int_equal(strncmp(e.address.text, "127.0.0.1:", 10), 0);
	assert_int_not_equal(atoi(e.address.text + 10), 0);
	assert_int_equal(e.v6only, -1);
	int fd = bound("tcp://[::1]:0", SOCK_STREAM);
	assert_int_equal(listen(fd, 1), 0);
	e = describe(fd);
	assert_int_equal(e.kind, ENTRY_STREAM);
	assert_in_range(e.v6only, 0, 1);
	assert_int_equal(describe(bound("udp://127.0.0.1:0", SOCK_DGRAM)).kind, ENTRY_DATAGRAM);
	/* Listening without a bind: the kernel has chosen a port. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(describe(fd).kind, ENTRY_STREAM);
}

static void
a_listener_without_a_text_is_still_one(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "\0\001molt-test" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&un, 14), 0);
	assert_int_equal(listen(fd, 1), 0);
	struct entry e = describe(fd);
	assert_int_equal(e.kind, ENTRY_STREAM);
	assert_string_equal(e.address.text, "");
	assert_int_equal(e.address.family, 0);
}

static void
a_unix_listener_has_its_file(void **state)
{
	char *dir = tmpdir_make(), *path = tmpdir_join(dir, "s"), text[256];
	struct file_identity file;
	struct entry e;

	(void)state;
	snprintf(text, sizeof(text), "unix://%s", path);
	e = describe(bound(text, SOCK_SEQPACKET));
	assert_int_equal(e.kind, ENTRY_STREAM);
	assert_int_equal(e.address.type, SOCK_SEQPACKET);
	assert_string_equal(e.address.text, path);
	file = e.path;
	assert_true(file.ino != 0 && file.ino != e.file.ino);
	/* A name that is gone tells nothing. */
	unlink(path);
	int fd = bound(text, SOCK_STREAM);
	unlink(path);
	e = describe(fd);
	assert_string_equal(e.address.text, path);
	assert_true(e.path.ino == 0);
	char abstract[64];
	snprintf(abstract, sizeof(abstract), "unix:@molt-test-address-%d", (int)getpid());
	e = describe(bound(abstract, SOCK_STREAM));
	assert_string_equal(e.address.text, strchr(abstract, '@'));
	free(path);
	tmpdir_remove(dir);
}

static void
everything_else_is_a_file(void **state)
{
	int pair[2], pipes[2];

	(void)state;
	assert_int_equal(describe(memfd_create("m", MFD_CLOEXEC)).kind, ENTRY_FILE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(describe(pair[0]).kind, ENTRY_FILE);
	assert_int_equal(describe(pair[1]).kind, ENTRY_FILE);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(describe(pipes[0]).kind, ENTRY_FILE);
	assert_int_equal(describe(pipes[1]).kind, ENTRY_FILE);
	/* Not bound, and connected ones. */
	assert_int_equal(describe(socket(AF_INET, SOCK_STREAM, 0)).kind, ENTRY_FILE);
	int udp = bound("udp://127.0.0.1:0", SOCK_DGRAM),
	    peer = bound("udp://127.0.0.1:0", SOCK_DGRAM);
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	assert_int_equal(getsockname(peer, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(connect(udp, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(describe(udp).kind, ENTRY_FILE);
	close(peer);
	struct entry e = describe(socket(AF_NETLINK, SOCK_RAW, 0));
	assert_int_equal(e.kind, ENTRY_FILE);
	assert_int_equal(e.address.type, 0);
}

static void
what_cannot_be_sent_is_refused(void **state)
{
	struct entry e = { .backlog = 77 };
	char why[ADDRESS_WHY_MAX + 1] = "";
	int fd = epoll_create1(EPOLL_CLOEXEC);

	(void)state;
	assert_int_equal(molt__address_of_descriptor(fd, &e, why), -EINVAL);
	assert_non_null(strstr(why, "[eventpoll]"));
	close(fd);
	assert_int_equal(molt__address_of_descriptor(fd, &e, why), -EBADF);
	assert_int_equal(molt__address_of_descriptor(-1, &e, why), -EBADF);
	assert_int_equal(e.backlog, 77);
}

static void
a_number_that_means_another_file_is_seen(void **state)
{
	struct entry e;
	char why[ADDRESS_WHY_MAX + 1];
	int fd = memfd_create("a", MFD_CLOEXEC), other = memfd_create("b", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(molt__address_of_descriptor(fd, &e, why), 0);
	assert_true(molt__address_still(&e));
	assert_int_equal(dup3(other, fd, O_CLOEXEC), fd);
	assert_false(molt__address_still(&e));
	close(fd);
	close(other);
}

static void
what_stands_in_no_record_is_printed_as_a_dash(void **state)
{
	struct address_record r = { .family = 0 };
	char text[ADDRESS_TEXT_SIZE], little[8];

	(void)state;
	molt__address_print(&r, text, sizeof(text));
	assert_string_equal(text, "-");
	r = record_of("tcp://127.0.0.1:80");
	molt__address_print(&r, little, sizeof(little));
	assert_string_equal(little, "tcp://1");
	assert_int_equal(molt__address_kind(&r), ENTRY_STREAM);
	r.type = SOCK_DGRAM;
	assert_int_equal(molt__address_kind(&r), ENTRY_DATAGRAM);
}

static int
count_setup(void **state)
{
	*state = fds_snapshot();
	return *state ? 0 : -1;
}

static int
count_teardown(void **state)
{
	int changed = fds_changed(*state);

	fds_free(*state);
	return changed;
}

#define counted(f) cmocka_unit_test_setup_teardown(f, count_setup, count_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses),
		cmocka_unit_test(bad_addresses),
		cmocka_unit_test(options),
		cmocka_unit_test(long_paths),
		cmocka_unit_test(socket_addresses_and_back),
		cmocka_unit_test(unix_addresses_have_their_exact_length),
		cmocka_unit_test(paths_that_do_not_fit),
		cmocka_unit_test(bad_socket_addresses),
		counted(listeners_are_recognised),
		counted(a_listener_without_a_text_is_still_one),
		counted(a_unix_listener_has_its_file),
		counted(everything_else_is_a_file),
		counted(what_cannot_be_sent_is_refused),
		counted(a_number_that_means_another_file_is_seen),
		cmocka_unit_test(what_stands_in_no_record_is_printed_as_a_dash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
