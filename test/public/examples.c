/* SPDX-License-Identifier: MIT */
/*
 * The examples that stand on the core alone do what their users are told: pollserver, minimal,
 * pollserver.py and moltctl.
 */
#include "server.h"
#include "tmpdir.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVERS_MAX 8
#define WAIT_MS 10000

struct test {
	char *directory;
	char *path;
	int port;
	int count;
	struct server servers[SERVERS_MAX];
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	*state = t;
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* of what the servers and moltctl start */
	if (!t || !(t->directory = tmpdir_make()))
		return -1;
	return (t->path = tmpdir_join(t->directory, "s")) ? 0 : -1;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	while (t->count > 0)
		server_end(&t->servers[--t->count]);
	server_end_children();
	tmpdir_remove(t->directory);
	free(t->path);
	free(t);
	return 0;
}

static struct server *
launch(struct test *t, char *const argv[])
{
	struct server *s = &t->servers[t->count++];

	assert_true(t->count <= SERVERS_MAX);
	assert_int_equal(server_start(s, argv), 0);
	return s;
}

/* Starts a server of pollserver's kind and waits until it serves. */
static struct server *
start_program(struct test *t, char *interpreter, char *program, const char *label)
{
	char address[64];
	char *argv[] = { interpreter, program,       "-s", t->path, "-l", address,
			 "-v",        (char *)label, "-d", "30",    NULL };
	struct server *s;

	snprintf(address, sizeof address, "tcp://127.0.0.1:%d", t->port);
	s = launch(t, interpreter ? argv : argv + 1);
	assert_true((t->port = server_port(s, WAIT_MS)) > 0);
	return s;
}

static struct server *
start_pollserver(struct test *t, const char *label)
{
	char program[512];

	server_example("pollserver", program);
	return start_program(t, NULL, program, label);
}

static int
connect_to(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
read_line(int fd, char *line, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while ((n == 0 || line[n - 1] != '\n') && (r = recv(fd, line + n, size - 1 - n, 0)) > 0)
		n += (size_t)r;
	line[n] = '\0';
}

/* The next line from `fd` says "label pid generation". */
static void
expect_line(int fd, const char *label, const struct server *s, int generation)
{
	char line[128], expected[128];

	snprintf(expected, sizeof expected, "%s %d %d\n", label, (int)s->pid, generation);
	read_line(fd, line, sizeof line);
	assert_string_equal(line, expected);
}

static void
expect_answer(int fd, const char *label, const struct server *s, int generation)
{
	assert_int_equal(send(fd, "?\n", 2, MSG_NOSIGNAL), 2);
	expect_line(fd, label, s, generation);
}

static void
expect_exit(struct server *s, int expected)
{
	int status;

	assert_int_equal(server_wait(s, WAIT_MS, &status), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), expected);
}

/* Who has a connection keeps it; who comes later meets the successor. */
static void
expect_upgrade(struct test *t, struct server *old, const char *old_label, int generation,
	       struct server *(*start)(struct test *, const char *), const char *new_label)
{
	int kept = connect_to(t->port), fresh;
	struct server *new;

	expect_answer(kept, old_label, old, generation);
	new = start(t, new_label);
	expect_answer(kept, old_label, old, generation);
	fresh = connect_to(t->port);
	expect_answer(fresh, new_label, new, generation + 1);
	assert_int_equal(server_wait(old, 0, NULL), -ETIMEDOUT);
	close(kept);
	expect_exit(old, 0);
	expect_answer(fresh, new_label, new, generation + 1);
	close(fresh);
}

/* --- pollserver ------------------------------------------------------------------------------- */

static void
pollserver_is_upgraded_by_a_second_start(void **state)
{
	struct test *t = *state;

	expect_upgrade(t, start_pollserver(t, "one"), "one", 1, start_pollserver, "two");
}

static void
pollserver_answers_each_line_once(void **state)
{
	struct test *t = *state;
	struct server *s = start_pollserver(t, "one");
	char byte;
	int fd = connect_to(t->port);

	assert_int_equal(send(fd, "a\nbc", 4, 0), 4);
	expect_line(fd, "one", s, 1);
	assert_int_equal(send(fd, "\n", 1, 0), 1);
	expect_line(fd, "one", s, 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static void
sighup_starts_the_successor(void **state)
{
	struct test *t = *state;
	struct server *old = start_pollserver(t, "one"), *new = &t->servers[t->count];
	const char *line;
	int fd;

	server_signal(old, SIGHUP);
	assert_non_null(line = server_expect(old, "started the successor ", WAIT_MS));
	assert_int_equal(server_adopt(new, atoi(strstr(line, "successor ") + 10)), 0);
	t->count++;
	assert_non_null(server_expect(old, "generation 2 (one): SERVE, committed", WAIT_MS));
	expect_exit(old, 0);
	fd = connect_to(t->port);
	expect_answer(fd, "one", new, 2);
	close(fd);
}

static void
sigterm_drains(void **state)
{
	struct test *t = *state;
	struct server *s = start_pollserver(t, "one");
	int fd = connect_to(t->port);

	expect_answer(fd, "one", s, 1);
	server_signal(s, SIGTERM);
	assert_non_null(server_expect(s, "RETIRE", WAIT_MS));
	expect_answer(fd, "one", s, 1);
	close(fd);
	expect_exit(s, 0);
	assert_int_equal(connect_to(t->port), -1);
	assert_int_equal(access(t->path, F_OK), -1);
}

static void
a_second_sigterm_exits_at_once(void **state)
{
	struct test *t = *state;
	struct server *s = start_pollserver(t, "one");
	int fd = connect_to(t->port);

	expect_answer(fd, "one", s, 1);
	server_signal(s, SIGTERM);
	assert_non_null(server_expect(s, "drains", WAIT_MS));
	server_signal(s, SIGTERM);
	expect_exit(s, 1);
	close(fd);
}

static void
a_start_that_fails_says_why(void **state)
{
	struct test *t = *state;
	char program[512];
	char *no_directory[] = { program, "-s", "/nonexistent/s", NULL };
	char *no_address[] = { program, "-s", t->path, "-l", "tcp://nowhere", NULL };
	struct server *s;

	server_example("pollserver", program);
	s = launch(t, no_directory);
	assert_non_null(server_expect(s, "/nonexistent/s", WAIT_MS));
	expect_exit(s, 1);
	s = launch(t, no_address);
	assert_non_null(server_expect(s, "\"nowhere\" needs an address", WAIT_MS));
	expect_exit(s, 1);
}

static void
what_dies_before_it_is_ready_costs_nothing(void **state)
{
	struct test *t = *state;
	struct server *old = start_pollserver(t, "one");
	char program[512];
	char *argv[] = { program, "-s", t->path, "-l", "tcp://127.0.0.1:0", "-x", NULL };
	int fd;

	server_example("pollserver", program);
	expect_exit(launch(t, argv), 1);
	fd = connect_to(t->port);
	expect_answer(fd, "one", old, 1);
	close(fd);
	expect_upgrade(t, old, "one", 1, start_pollserver, "two");
}

/* --- minimal ---------------------------------------------------------------------------------- */

/* A port that is free now. minimal takes no 0, since it does not tell what it got. */
static int
free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t length = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static void
expect_hello(int port)
{
	char line[64];
	int fd = connect_to(port);

	assert_true(fd >= 0);
	read_line(fd, line, sizeof line);
	assert_string_equal(line, "hello\n");
	close(fd);
}

static void
minimal_is_upgraded(void **state)
{
	struct test *t = *state;
	char program[512], address[64];
	char *argv[] = { program, t->path, address, NULL };
	struct server *old, *new;
	int fd;

	server_example("minimal", program);
	t->port = free_port();
	snprintf(address, sizeof address, "tcp://127.0.0.1:%d", t->port);
	old = launch(t, argv);
	while ((fd = connect_to(t->port)) < 0)
		assert_int_equal(server_wait(old, 1, NULL), -ETIMEDOUT);
	close(fd);
	expect_hello(t->port);
	new = launch(t, argv);
	expect_exit(old, 0);
	expect_hello(t->port);
	assert_int_equal(server_wait(new, 0, NULL), -ETIMEDOUT);
}

static void
minimal_says_why_it_fails(void **state)
{
	struct test *t = *state;
	char program[512];
	char *no_directory[] = { program, "/nonexistent/s", "tcp://127.0.0.1:0", NULL };
	char *no_address[] = { program, t->path, "tcp://nowhere", NULL };
	char *nothing[] = { program, NULL };
	struct server *s;

	server_example("minimal", program);
	s = launch(t, no_directory);
	assert_non_null(server_expect(s, "/nonexistent/s", WAIT_MS));
	expect_exit(s, 1);
	s = launch(t, no_address);
	assert_non_null(server_expect(s, "\"nowhere\" needs an address", WAIT_MS));
	expect_exit(s, 1);
	s = launch(t, nothing);
	assert_non_null(server_expect(s, "usage", WAIT_MS));
	expect_exit(s, 2);
}

/* --- pollserver.py ---------------------------------------------------------------------------- */

static struct server *
start_python(struct test *t, const char *label)
{
	return start_program(t, "/usr/bin/python3", "examples/pollserver.py", label);
}

static void
languages_take_over_from_each_other(void **state)
{
	struct test *t = *state;
	char library[512];
	struct server *first;

	if (access("/usr/bin/python3", X_OK) < 0 || (getenv("MOLT_SAN") && *getenv("MOLT_SAN"))) {
		print_message("not run: this needs python3, and a library without a sanitizer\n");
		skip();
	}
	snprintf(library, sizeof library, "%s/lib",
		 getenv("MOLT_BUILD") ? getenv("MOLT_BUILD") : "build");
	setenv("LD_LIBRARY_PATH", library, 1);
	first = start_python(t, "snake");
	expect_upgrade(t, first, "snake", 1, start_pollserver, "c");
	expect_upgrade(t, &t->servers[1], "c", 2, start_python, "serpent");
	expect_upgrade(t, &t->servers[2], "serpent", 3, start_python, "viper");
	unsetenv("LD_LIBRARY_PATH");
}

/* --- moltctl ---------------------------------------------------------------------------------- */

/*
 * Runs it and keeps what it prints, stdout and stderr. By a file: what it starts has its stdout
 * too, and lives longer. Returns its exit status.
 */
static int
moltctl(struct test *t, const char *arguments, char *text, size_t size)
{
	char program[512], command[2048], output[512];
	int status;
	FILE *file;

	snprintf(output, sizeof output, "%s/output", t->directory);
	snprintf(command, sizeof command, "exec '%s' -s '%s' %s >'%s' 2>&1",
		 server_example("moltctl", program), t->path, arguments, output);
	status = system(command);
	assert_true(WIFEXITED(status));
	assert_non_null(file = fopen(output, "re"));
	text[fread(text, 1, size - 1, file)] = '\0';
	fclose(file);
	return WEXITSTATUS(status);
}

static void
moltctl_tells_the_status(void **state)
{
	struct test *t = *state;
	struct server *old, *new;
	char text[4096], expected[128];
	int64_t end;
	int fd;

	assert_int_equal(moltctl(t, "status", text, sizeof text), 1);
	assert_non_null(strstr(text, "nobody answers"));
	old = start_pollserver(t, "one");
	fd = connect_to(t->port);
	expect_answer(fd, "one", old, 1);
	new = start_pollserver(t, "two");
	end = server_now_us() + WAIT_MS * 1000;
	assert_int_equal(moltctl(t, "status", text, sizeof text), 0);
	snprintf(expected, sizeof expected, "generation 2  pid %d  serving  label two\n",
		 (int)new->pid);
	assert_non_null(strstr(text, expected));
	snprintf(expected, sizeof expected, "listener listener0  tcp://127.0.0.1:%d\n", t->port);
	assert_non_null(strstr(text, expected));
	snprintf(expected, sizeof expected,
		 "generation 1  pid %d  draining  label one  1 connections left\n", (int)old->pid);
	while (!strstr(text, expected) && server_now_us() < end)
		assert_int_equal(moltctl(t, "status", text, sizeof text), 0);
	assert_non_null(strstr(text, expected));
	assert_int_equal(moltctl(t, "status --json", text, sizeof text), 0);
	assert_int_equal(text[0], '{');
	close(fd);
}

static void
moltctl_waits_for_an_upgrade(void **state)
{
	struct test *t = *state;
	struct server *old = start_pollserver(t, "one");
	char text[4096], arguments[1024], program[512], *pid;

	server_example("pollserver", program);
	snprintf(arguments, sizeof arguments,
		 "upgrade --wait --timeout 10 -- '%s' -s '%s' -l tcp://127.0.0.1:0 2>/dev/null",
		 program, t->path);
	assert_int_equal(moltctl(t, arguments, text, sizeof text), 0);
	assert_non_null(strstr(text, "generation 2 (pid "));
	assert_non_null(pid = strstr(text, "(pid "));
	assert_int_equal(server_adopt(&t->servers[t->count++], atoi(pid + 5)), 0);
	expect_exit(old, 0);
}

static void
expect_last_failure(struct test *t)
{
	int64_t end = server_now_us() + WAIT_MS * 1000;
	char text[4096];

	do
		assert_int_equal(moltctl(t, "status", text, sizeof text), 0);
	while (!strstr(text, "last failure: ") && server_now_us() < end);
	assert_non_null(strstr(text, "last failure: "));
}

static void
moltctl_tells_of_an_upgrade_that_failed(void **state)
{
	struct test *t = *state;
	char text[4096], arguments[1024], program[512], expected[128];
	struct server *old = start_pollserver(t, "one");
	int fd;

	server_example("pollserver", program);
	snprintf(arguments, sizeof arguments,
		 "upgrade --wait -- '%s' -x -s '%s' -l tcp://127.0.0.1:0", program, t->path);
	assert_int_equal(moltctl(t, arguments, text, sizeof text), 1);
	snprintf(expected, sizeof expected,
		 "the new version exited with status 1; generation 1 (pid %d) goes on",
		 (int)old->pid);
	assert_non_null(strstr(text, expected));
	expect_last_failure(t);
	assert_int_equal(moltctl(t, "upgrade --wait -- /nonexistent", text, sizeof text), 1);
	assert_non_null(strstr(text, "goes on\n"));
	assert_int_equal(moltctl(t, "upgrade --wait --timeout 0.3 -- sleep 0.6", text, sizeof text),
			 1);
	assert_non_null(strstr(text, "did not come to serve within 0.3 s"));
	fd = connect_to(t->port);
	expect_answer(fd, "one", old, 1);
	close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pollserver_is_upgraded_by_a_second_start),
		TEST(pollserver_answers_each_line_once),
		TEST(sighup_starts_the_successor),
		TEST(sigterm_drains),
		TEST(a_second_sigterm_exits_at_once),
		TEST(a_start_that_fails_says_why),
		TEST(what_dies_before_it_is_ready_costs_nothing),
		TEST(minimal_is_upgraded),
		TEST(minimal_says_why_it_fails),
		TEST(languages_take_over_from_each_other),
		TEST(moltctl_tells_the_status),
		TEST(moltctl_waits_for_an_upgrade),
		TEST(moltctl_tells_of_an_upgrade_that_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
