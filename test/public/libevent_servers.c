/* SPDX-License-Identifier: MIT */
/*
 * The example servers on libevent, httpd and echo, as their clients see them while they are
 * upgraded, stopped, and out of descriptors.
 */
#include "server.h"
#include "tmpdir.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVERS_MAX 4
#define WAIT_MS 20000
#define RESET_MS 100 /* how long we look whether one comes */
#define MANY 200
#define CROWD 40

struct test {
	char *directory;
	char *path;
	int port;
	int count;
	struct server servers[SERVERS_MAX];
	char answer[4096];
	size_t answer_length;
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof *t);

	*state = t;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
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
	tmpdir_remove(t->directory);
	free(t->path);
	free(t);
	return 0;
}

/* --- Servers ---------------------------------------------------------------------------------- */

/* A server that serves on `address`, whose port is that of the first one. */
static struct server *
start_on(struct test *t, const char *program, const char *address, const char *drain)
{
	struct server *s = &t->servers[t->count++];
	char path[512];
	char *argv[] = { (char *)server_example(program, path),
			 "-s",
			 t->path,
			 "-l",
			 (char *)address,
			 "-d",
			 (char *)drain,
			 "-v",
			 "some",
			 NULL };

	assert_int_equal(server_start(s, argv), 0);
	assert_non_null(server_expect(s, "SERVE", WAIT_MS));
	t->port = server_port(s, WAIT_MS);
	assert_true(t->port > 0);
	return s;
}

static struct server *
start(struct test *t, const char *program, const char *drain)
{
	return start_on(t, program, "tcp://127.0.0.1:0", drain);
}

static void
exits_with_0(struct server *s)
{
	int status = -1;

	assert_int_equal(server_wait(s, WAIT_MS, &status), 0);
	assert_int_equal(status, 0);
}

/* --- Clients ---------------------------------------------------------------------------------- */

static int
client(const struct test *t, int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct timeval patience = { .tv_sec = WAIT_MS / 1000 };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)t->port);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void
say(int fd, const char *words)
{
	assert_int_equal(send(fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
}

static void
ask(int fd, const char *path)
{
	char request[256];

	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
	say(fd, request);
}

/* How long the answer is that begins what was read; 0 as long as that can't be said. */
static size_t
whole_length(const struct test *t)
{
	const char *end = strstr(t->answer, "\r\n\r\n");
	const char *length = strstr(t->answer, "Content-Length: ");

	return end && length ? (size_t)(end + 4 - t->answer) + strtoul(length + 16, NULL, 10) : 0;
}

/* Reads one answer, to its last byte. */
static void
read_answer(struct test *t, int fd)
{
	ssize_t n;

	t->answer_length = 0;
	memset(t->answer, 0, sizeof t->answer);
	do {
		n = recv(fd, t->answer + t->answer_length, 1, 0);
		assert_int_equal(n, 1);
		t->answer_length++;
		assert_true(t->answer_length < sizeof t->answer);
	} while (t->answer_length != whole_length(t));
	assert_memory_equal(t->answer, "HTTP/1.1 200 OK\r\n", 17);
}

/* Checks whose answer it is, and whether it announces the end of the connection. */
static void
answered(struct test *t, int fd, int generation, bool closes)
{
	char words[64];

	read_answer(t, fd);
	snprintf(words, sizeof words, "\"generation\":%d}", generation);
	assert_non_null(strstr(t->answer, words));
	assert_int_equal(strstr(t->answer, "\r\nConnection: close\r\n") != NULL, closes);
}

/* Nobody has answered what was sent by a reset, which recv() doesn't tell behind an end of file. */
static void
is_not_reset(int fd)
{
	struct pollfd p = { .fd = fd };

	poll(&p, 1, RESET_MS);
	assert_int_equal(p.revents & POLLERR, 0);
}

/* The connection ends as it should: no byte more, and no reset. */
static void
ends(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	is_not_reset(fd);
	close(fd);
}

static void
echoes(int fd, const char *words)
{
	char back[64] = "";

	say(fd, words);
	assert_int_equal(recv(fd, back, strlen(words), MSG_WAITALL), strlen(words));
	assert_string_equal(back, words);
}

/* --- httpd ------------------------------------------------------------------------------------ */

static void
a_kept_connection_is_answered_once_more_and_told_to_go(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "30");
	int fd = client(t, SOCK_STREAM), other = client(t, SOCK_STREAM);

	ask(fd, "/");
	answered(t, fd, 1, false);
	start(t, "httpd", "30");
	assert_non_null(server_expect(one, "DRAIN", WAIT_MS));
	ask(fd, "/");
	answered(t, fd, 1, true);
	ends(fd);
	ask(other, "/"); /* it has never asked anything before */
	answered(t, other, 1, true);
	ends(other);
	exits_with_0(one);
}

static void
new_connections_are_the_successors(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "30");
	int kept = client(t, SOCK_STREAM), fd;

	ask(kept, "/");
	answered(t, kept, 1, false);
	start(t, "httpd", "30");
	assert_non_null(server_expect(one, "DRAIN", WAIT_MS));
	for (int i = 0; i < 50; i++) {
		fd = client(t, SOCK_STREAM);
		ask(fd, "/");
		answered(t, fd, 2, false);
		close(fd);
	}
	close(kept);
}

static void
an_answer_in_progress_is_finished_by_the_predecessor(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "30");
	int fd = client(t, SOCK_STREAM);

	ask(fd, "/slow?ms=700");
	start(t, "httpd", "30");
	assert_non_null(server_expect(one, "DRAIN", WAIT_MS));
	answered(t, fd, 1, true);
	ends(fd);
	exits_with_0(one);
}

static void
idle_connections_end_at_the_drain_deadline(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "1");
	int64_t began = server_now_us();
	int fd = client(t, SOCK_STREAM), silent = client(t, SOCK_STREAM);

	ask(fd, "/");
	answered(t, fd, 1, false);
	start(t, "httpd", "30");
	ends(fd);
	assert_true(server_now_us() - began >= 1000000);
	ends(silent);
	assert_non_null(server_expect(one, "LEAVE, deadline", WAIT_MS));
	exits_with_0(one);
}

/* It has until a second after the end was said, and what it sends meanwhile brings it no reset. */
static void
a_client_that_stays_at_the_deadline_holds_nobody_up(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "0.2");
	int fd = client(t, SOCK_STREAM);
	char byte;

	ask(fd, "/");
	answered(t, fd, 1, false);
	start(t, "httpd", "30");
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	ask(fd, "/");
	is_not_reset(fd);
	exits_with_0(one);
	close(fd);
}

static void
what_crosses_the_last_answer_does_not_destroy_it(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "30");
	int fd = client(t, SOCK_STREAM);
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	ask(fd, "/");
	answered(t, fd, 1, false);
	start(t, "httpd", "30");
	assert_non_null(server_expect(one, "DRAIN", WAIT_MS));
	say(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(poll(&p, 1, WAIT_MS), 1); /* all that will come is here */
	ask(fd, "/");
	answered(t, fd, 1, true);
	ends(fd);
	exits_with_0(one);
}

static void
a_client_that_leaves_without_a_word_is_not_waited_for(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "30");
	int fd = client(t, SOCK_STREAM);

	start(t, "httpd", "30");
	assert_non_null(server_expect(one, "DRAIN", WAIT_MS));
	close(fd);
	assert_int_equal(server_wait(one, 2000, NULL), 0);
}

static void
an_unfinished_answer_is_cut_at_the_deadline(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "0.2");
	int fd = client(t, SOCK_STREAM);
	char byte;

	ask(fd, "/slow?ms=700");
	start(t, "httpd", "30");
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	exits_with_0(one); /* after a second, because this client doesn't close */
	close(fd);
}

/* --- Both ------------------------------------------------------------------------------------- */

/* While it is stopped more clients come than it accepts in one turn of its loop, and the signal. */
static void
queue_and_stop(struct test *t, struct server *s, int *clients)
{
	server_signal(s, SIGSTOP);
	for (int i = 0; i < MANY; i++) {
		clients[i] = client(t, SOCK_STREAM);
		say(clients[i], "word");
	}
	server_signal(s, SIGTERM);
	server_signal(s, SIGCONT);
}

static void
who_waits_is_served_before_echo_stops(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "echo", "30");
	int clients[MANY];
	char back[4];

	queue_and_stop(t, one, clients);
	assert_non_null(server_expect(one, "RETIRE, renounced", WAIT_MS));
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(recv(clients[i], back, 4, MSG_WAITALL), 4);
		close(clients[i]);
	}
	exits_with_0(one);
}

static int64_t
cpu_us(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &used), 0);
	return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* Clients come for whom there are no descriptors: they wait in the queue. */
static struct server *
crowd(struct test *t, const char *program, int *clients, const char *words, struct rlimit *ret_old)
{
	struct server *s = start(t, program, "30");
	struct pollfd last = { .events = POLLIN };
	struct rlimit few;
	int64_t used;
	char byte;

	assert_int_equal(prlimit(s->pid, RLIMIT_NOFILE, NULL, ret_old), 0);
	few = (struct rlimit){ 24, ret_old->rlim_max };
	assert_int_equal(prlimit(s->pid, RLIMIT_NOFILE, &few, NULL), 0);
	for (int i = 0; i < CROWD; i++) {
		clients[i] = client(t, SOCK_STREAM);
		say(clients[i], words);
	}
	assert_int_equal(recv(clients[0], &byte, 1, 0), 1);
	used = cpu_us(s->pid);
	last.fd = clients[CROWD - 1];
	assert_int_equal(poll(&last, 1, 500), 0); /* that's how long we look */
	assert_in_range(cpu_us(s->pid) - used, 0, 250000);
	return s;
}

/* Those who wait are served as others go. */
static void
rests_without_descriptors(struct test *t, const char *program, const char *words)
{
	struct rlimit old;
	int clients[CROWD];
	char byte;

	crowd(t, program, clients, words, &old);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(recv(clients[i], &byte, 1, 0), 1);
		close(clients[i]);
	}
}

static void
httpd_rests_without_descriptors(void **state)
{
	rests_without_descriptors(*state, "httpd", "GET / HTTP/1.1\r\nHost: test\r\n\r\n");
}

static void
echo_rests_without_descriptors(void **state)
{
	rests_without_descriptors(*state, "echo", "word");
}

static void
who_waits_is_served_before_httpd_stops(void **state)
{
	struct test *t = *state;
	struct rlimit old;
	int clients[CROWD];
	struct server *one =
		crowd(t, "httpd", clients, "GET / HTTP/1.1\r\nHost: test\r\n\r\n", &old);
	char byte;

	assert_int_equal(prlimit(one->pid, RLIMIT_NOFILE, &old, NULL), 0);
	server_signal(one, SIGTERM);
	assert_non_null(server_expect(one, "RETIRE, renounced", WAIT_MS));
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(recv(clients[i], &byte, 1, 0), 1);
		close(clients[i]);
	}
	exits_with_0(one);
}

/* --- echo ------------------------------------------------------------------------------------- */

/* echo's loop ends because nothing is left in it. */
static void
echo_keeps_its_connections_and_goes_with_the_last(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "echo", "30");
	int fd = client(t, SOCK_STREAM), next;

	echoes(fd, "before");
	start(t, "echo", "30");
	assert_non_null(server_expect(one, "DRAIN", WAIT_MS));
	next = client(t, SOCK_STREAM);
	echoes(next, "new");
	echoes(fd, "after");
	assert_int_equal(server_wait(one, 0, NULL), -ETIMEDOUT);
	shutdown(fd, SHUT_WR);
	ends(fd);
	exits_with_0(one);
	echoes(next, "still");
	close(next);
}

static void
echo_cuts_what_is_left_at_the_deadline(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "echo", "0.2");
	int fd = client(t, SOCK_STREAM);

	echoes(fd, "before");
	start(t, "echo", "30");
	ends(fd);
	exits_with_0(one);
}

static void
echo_answers_datagrams_across_an_upgrade(void **state)
{
	struct test *t = *state;
	struct server *one = start_on(t, "echo", "udp://127.0.0.1:0", "30");
	int fd = client(t, SOCK_DGRAM);

	echoes(fd, "before");
	start_on(t, "echo", "udp://127.0.0.1:0", "30");
	exits_with_0(one);
	echoes(fd, "after");
	close(fd);
}

static int
unix_client(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = WAIT_MS / 1000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof address.sun_path);
	memcpy(address.sun_path, path, strlen(path));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

/* What the successor didn't want is given up, and bound again when the successor has died. */
static void
echo_serves_again_when_its_successor_dies(void **state)
{
	struct test *t = *state;
	struct server *one = &t->servers[t->count++], *two;
	char path[512], address[256];
	char *argv[] = { (char *)server_example("echo", path),
			 "-s",
			 t->path,
			 "-P",
			 "30",
			 "-l",
			 "tcp://127.0.0.1:0",
			 "-l",
			 address,
			 NULL };
	int fd;

	snprintf(address, sizeof address, "unix://%s/echo", t->directory);
	assert_int_equal(server_start(one, argv), 0);
	t->port = server_port(one, WAIT_MS);
	assert_non_null(server_expect(one, "listening on unix:", WAIT_MS));
	two = start(t, "echo", "30");
	assert_non_null(server_expect(one, "RETIRE, unclaimed", WAIT_MS));
	assert_non_null(server_expect(one, "DRAIN", WAIT_MS));
	fd = client(t, SOCK_STREAM);
	echoes(fd, "two");
	close(fd);
	server_signal(two, SIGKILL);
	assert_non_null(server_expect(one, "RESUME, changed", WAIT_MS));
	fd = client(t, SOCK_STREAM);
	echoes(fd, "one again");
	close(fd);
	fd = unix_client(address + strlen("unix://"));
	assert_true(fd >= 0);
	echoes(fd, "bound again");
	close(fd);
	server_signal(one, SIGTERM);
	exits_with_0(one);
}

static void
a_second_sigterm_ends_at_once(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "echo", "30");
	int fd = client(t, SOCK_STREAM), status = -1;

	echoes(fd, "before");
	server_signal(one, SIGTERM);
	assert_non_null(server_expect(one, "RETIRE", WAIT_MS));
	echoes(fd, "after");
	server_signal(one, SIGTERM);
	assert_int_equal(server_wait(one, WAIT_MS, &status), 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	close(fd);
}

/* It connects to the one before it, and serves only if that was its predecessor. */
static void
sighup_starts_the_successor(void **state)
{
	struct test *t = *state;
	struct server *one = start(t, "httpd", "30");
	const char *line;
	int fd;

	server_signal(one, SIGHUP);
	line = server_expect(one, "started the successor ", WAIT_MS);
	assert_non_null(line);
	assert_int_equal(server_adopt(&t->servers[t->count], atoi(strrchr(line, ' ') + 1)), 0);
	t->count++;
	exits_with_0(one);
	fd = client(t, SOCK_STREAM);
	ask(fd, "/");
	answered(t, fd, 2, false);
	close(fd);
}

int
main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(a_kept_connection_is_answered_once_more_and_told_to_go),
		CLAIM(new_connections_are_the_successors),
		CLAIM(an_answer_in_progress_is_finished_by_the_predecessor),
		CLAIM(idle_connections_end_at_the_drain_deadline),
		CLAIM(a_client_that_stays_at_the_deadline_holds_nobody_up),
		CLAIM(what_crosses_the_last_answer_does_not_destroy_it),
		CLAIM(a_client_that_leaves_without_a_word_is_not_waited_for),
		CLAIM(an_unfinished_answer_is_cut_at_the_deadline),
		CLAIM(who_waits_is_served_before_httpd_stops),
		CLAIM(who_waits_is_served_before_echo_stops),
		CLAIM(httpd_rests_without_descriptors),
		CLAIM(echo_rests_without_descriptors),
		CLAIM(echo_keeps_its_connections_and_goes_with_the_last),
		CLAIM(echo_cuts_what_is_left_at_the_deadline),
		CLAIM(echo_answers_datagrams_across_an_upgrade),
		CLAIM(echo_serves_again_when_its_successor_dies),
		CLAIM(a_second_sigterm_ends_at_once),
		CLAIM(sighup_starts_the_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
