/* SPDX-License-Identifier: MIT */
/*
 * Leaving: a retired predecessor goes at once when its last connection has ended, or at the end of
 * its probation; and until then it takes the service back from a successor that dies.
 */
#include "load.h"
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNS 5
#define LEAVE_US 50000
#define QUEUED 50

struct test {
	char *directory;
	int port;
	struct server old;
	struct server new;
	struct load *load;
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	*state = t;
	return t && (t->directory = tmpdir_make()) ? 0 : -1;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	load_stop(t->load, NULL);
	server_end(&t->new);
	server_end(&t->old);
	tmpdir_remove(t->directory);
	free(t);
	return 0;
}

static void
start(struct test *t, struct server *s, const char *example, const char *label,
      const char *probation)
{
	char program[512], path[512], address[64];
	char *argv[] = { program,       "-s", path, "-l", address,           "-v",
			 (char *)label, "-d", "60", "-P", (char *)probation, NULL };

	server_example(example, program);
	snprintf(path, sizeof path, "%s/s", t->directory);
	snprintf(address, sizeof address, "tcp://127.0.0.1:%d", t->port);
	assert_int_equal(server_start(s, argv), 0);
	assert_true((t->port = server_port(s, 10000)) > 0);
}

static int
connect_to(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

/* Asks pollserver on `fd` who is there; what answers must begin with `label`. */
static void
expect_answer(int fd, const char *label)
{
	char line[128] = "";
	ssize_t n = 0, r;

	assert_int_equal(send(fd, "?\n", 2, MSG_NOSIGNAL), 2);
	while (!strchr(line, '\n') && (r = recv(fd, line + n, sizeof line - 1 - (size_t)n, 0)) > 0)
		n += r;
	assert_int_equal(strncmp(line, label, strlen(label)), 0);
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t
median(int64_t values[RUNS])
{
	qsort(values, RUNS, sizeof values[0], by_size);
	return values[RUNS / 2];
}

/* Waits for a retired process to end by itself. Returns when. */
static int64_t
wait_to_leave(struct server *s)
{
	int64_t now;
	int status;

	assert_int_equal(server_wait(s, 10000, &status), 0);
	now = server_now_us();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	server_end(s);
	return now;
}

static int64_t
leave_after_last_connection(struct test *t, const char *example)
{
	struct pollfd p;
	int64_t ended, took;
	int fd;

	start(t, &t->old, example, "old", "0");
	fd = connect_to(t->port);
	assert_int_equal(send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, MSG_NOSIGNAL), 27);
	p = (struct pollfd){ .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 10000), 1); /* the old one has it */
	start(t, &t->new, example, "new", "0");
	assert_non_null(server_expect(&t->old, "DRAIN", 10000));
	assert_int_equal(server_wait(&t->old, 100, NULL), -ETIMEDOUT);
	ended = server_now_us();
	close(fd);
	took = wait_to_leave(&t->old) - ended;
	server_end(&t->new);
	return took;
}

static void
leaves_with_its_last_connection(void **state)
{
	static const char *examples[] = { "pollserver", "httpd", "echo" };
	struct test *t = *state;
	int64_t took[RUNS];

	for (size_t e = 0; e < sizeof examples / sizeof examples[0]; e++) {
		for (int i = 0; i < RUNS; i++)
			took[i] = leave_after_last_connection(t, examples[e]);
		print_message("%s leaves %lld us after its last connection (median)\n", examples[e],
			      (long long)median(took));
		assert_in_range(median(took), 0, LEAVE_US);
	}
}

/* The probation began before its line was read, and after the successor was started. */
static int64_t
leave_after_probation(struct test *t, int64_t probation_us, const char *option)
{
	int64_t begun, left;

	start(t, &t->old, "pollserver", "old", option);
	start(t, &t->new, "pollserver", "new", option);
	assert_non_null(server_expect(&t->old, "DRAIN", 10000));
	begun = server_now_us();
	left = wait_to_leave(&t->old);
	assert_true(left - t->new.started_us >= probation_us);
	server_end(&t->new);
	return left - begun - probation_us;
}

static void
leaves_at_the_end_of_its_probation(void **state)
{
	struct test *t = *state;
	int64_t took[RUNS];

	for (int i = 0; i < RUNS; i++)
		took[i] = leave_after_probation(t, 300000, "0.3");
	print_message("pollserver leaves %lld us after its probation (median)\n",
		      (long long)median(took));
	assert_true(median(took) <= LEAVE_US);
}

/* A predecessor that still has a connection stays for longer than its probation. */
static void
stays_for_a_connection_after_the_probation(void **state)
{
	struct test *t = *state;
	int fd;

	start(t, &t->old, "pollserver", "old", "0.1");
	fd = connect_to(t->port);
	expect_answer(fd, "old ");
	start(t, &t->new, "pollserver", "new", "0.1");
	assert_int_equal(server_wait(&t->old, 400, NULL), -ETIMEDOUT);
	expect_answer(fd, "old ");
	close(fd);
	wait_to_leave(&t->old);
}

/*
 * The successor is stopped with one connection, so that what comes next stays in the queue; then
 * killed. Whoever was in the queue, and whoever comes later, is answered by the predecessor.
 */
static void
takes_back_what_a_dead_successor_had_not_accepted(void **state)
{
	struct test *t = *state;
	int queued[QUEUED], accepted;
	char byte;

	start(t, &t->old, "pollserver", "old", "30");
	start(t, &t->new, "pollserver", "new", "30");
	assert_non_null(server_expect(&t->old, "DRAIN", 10000));
	accepted = connect_to(t->port);
	expect_answer(accepted, "new ");
	server_signal(&t->new, SIGSTOP);
	for (int i = 0; i < QUEUED; i++)
		queued[i] = connect_to(t->port);
	server_end(&t->new);
	assert_non_null(server_expect(&t->old, "RESUME, changed", 10000));
	for (int i = 0; i < QUEUED; i++) {
		expect_answer(queued[i], "old ");
		close(queued[i]);
	}
	assert_true(recv(accepted, &byte, 1, 0) <= 0);
	close(accepted);
	start(t, &t->new, "pollserver", "third", "0");
	accepted = connect_to(t->port);
	expect_answer(accepted, "third ");
	close(accepted);
}

/* The same under load: only what the successor had accepted may end, and nobody is refused. */
static void
refuses_nobody_when_its_successor_dies(void **state)
{
	struct test *t = *state;
	struct load_counts counts;
	struct load_plan plan = { LOAD_NEW, 0, 8, 1000, 30 };
	uint64_t before;

	start(t, &t->old, "httpd", "old", "30");
	plan.port = t->port;
	assert_non_null(t->load = load_start(&plan));
	assert_int_equal(load_wait(t->load, 300, 10000), 0);
	start(t, &t->new, "httpd", "new", "30");
	before = load_look(t->load)->answered;
	assert_int_equal(load_wait(t->load, before + 300, 10000), 0);
	server_end(&t->new);
	before = load_look(t->load)->answered;
	assert_int_equal(load_wait(t->load, before + 300, 10000), 0);
	load_stop(t->load, &counts);
	t->load = NULL;
	print_message(
		"%llu requests, of which %llu ended with the successor that had accepted them\n",
		(unsigned long long)counts.requests, (unsigned long long)counts.failed);
	assert_true(counts.answers[1] >= 600 && counts.answers[2] >= 200);
	assert_int_equal(counts.refused, 0);
	assert_in_range(counts.failed, 0, plan.clients);
	assert_int_equal(counts.wrong + counts.late, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(leaves_with_its_last_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_at_the_end_of_its_probation, setup,
						teardown),
		cmocka_unit_test_setup_teardown(stays_for_a_connection_after_the_probation, setup,
						teardown),
		cmocka_unit_test_setup_teardown(takes_back_what_a_dead_successor_had_not_accepted,
						setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_nobody_when_its_successor_dies, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
