/* SPDX-License-Identifier: MIT */
/*
 * The main job: a server is upgraded 20 times in 30 s under three loads at once, and no client
 * notices. Two controls do the same in the ways that are common without libmolt. They must lose
 * requests, or this test sees nothing.
 */
#include "load.h"
#include "server.h"
#include "tmpdir.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define UPGRADES 20
#define SECONDS 30
#define DRAIN_SECONDS 5
#define RATE 900 /* requests a second, each of the two request loads */
#define HELD 200

enum { NEW, KEEP, HOLD, LOADS };

struct job {
	char *directory;
	int port;
	struct server servers[UPGRADES + 1]; /* by generation less 1 */
	int count;
	int descriptors; /* of the first server, when it had no connection */
	struct load *loads[LOADS];
	struct load_counts counts[LOADS];
};

/* Starts one more httpd. Its socket file is `socket` in the test's directory. */
static struct server *
start_httpd(struct job *j, const char *socket, const char *options)
{
	char program[512], path[512], address[64], label[16], drain[16];
	struct server *s = &j->servers[j->count++];
	char *argv[] = { program, "-s", path, "-l", address, "-v", label, "-d", drain, NULL };

	server_example("httpd", program);
	snprintf(path, sizeof path, "%s/%s", j->directory, socket);
	snprintf(address, sizeof address, "tcp://127.0.0.1:%d%s", j->port, options);
	snprintf(label, sizeof label, "v%d", j->count);
	snprintf(drain, sizeof drain, "%d", DRAIN_SECONDS);
	assert_int_equal(server_start(s, argv), 0);
	assert_true((j->port = server_port(s, 10000)) > 0);
	return s;
}

static void
start_loads(struct job *j, int seconds)
{
	const struct load_plan plans[LOADS] = {
		[NEW] = { LOAD_NEW, j->port, 16, RATE, seconds },
		[KEEP] = { LOAD_KEEP, j->port, 16, RATE, seconds },
		[HOLD] = { LOAD_HELD, j->port, HELD, 1000, seconds },
	};

	for (int i = 0; i < LOADS; i++)
		assert_non_null(j->loads[i] = load_start(&plans[i]));
	assert_int_equal(load_wait(j->loads[HOLD], HELD, 10000), 0);
}

static void
stop_loads(struct job *j, const char *what)
{
	static const char *names[LOADS] = { "new", "keep-alive", "held" };

	for (int i = 0; i < LOADS; i++) {
		struct load_counts *c = &j->counts[i];

		load_stop(j->loads[i], c);
		j->loads[i] = NULL;
		print_message(
			"%s, %-10s %6llu requests %4llu failed %4llu refused %4llu reset %4llu "
			"cut, longest gap %lld.%03lld ms\n",
			what, names[i], (unsigned long long)c->requests,
			(unsigned long long)c->failed, (unsigned long long)c->refused,
			(unsigned long long)c->reset, (unsigned long long)c->cut,
			(long long)c->longest_gap_us / 1000, (long long)c->longest_gap_us % 1000);
	}
}

static int
setup(void **state)
{
	struct job *j = calloc(1, sizeof *j);

	*state = j;
	return j && (j->directory = tmpdir_make()) ? 0 : -1;
}

static int
teardown(void **state)
{
	struct job *j = *state;

	for (int i = 0; i < LOADS; i++)
		load_stop(j->loads[i], NULL);
	for (int i = 0; i < j->count; i++)
		server_end(&j->servers[i]);
	tmpdir_remove(j->directory);
	free(j);
	return 0;
}

/* Lets the loads work until `end`, while the newest server lives. */
static void
pass_time(struct job *j, int64_t end)
{
	int64_t left = end - server_now_us();

	if (left > 0 && server_wait(&j->servers[j->count - 1], (int)(left / 1000), NULL) == 0)
		fail_msg("generation %d has ended", j->count);
}

static void
assert_nothing_lost(const struct load_counts *c)
{
	assert_int_equal(c->failed, 0);
	assert_int_equal(c->refused, 0);
	assert_int_equal(c->reset, 0);
	assert_int_equal(c->cut, 0);
	assert_int_equal(c->ended, 0);
}

static void
assert_all_served(const struct load_counts *c)
{
	uint64_t fewest;

	assert_in_range(c->answered, 20000, UINT32_MAX);
	assert_int_equal(load_generations(c, &fewest), UPGRADES + 1);
	assert_in_range(fewest, 200, UINT32_MAX);
}

/* No successor was there before it was started, so no drain began before that. */
static void
assert_held_long_enough(const struct job *j)
{
	const struct load_counts *c = &j->counts[HOLD];
	uint64_t ends = 0;

	for (int i = 0; i < UPGRADES; i++) {
		ends += c->held_ends[i + 1];
		if (c->held_ends[i + 1])
			assert_true(c->first_end_us[i + 1] >=
				    j->servers[i + 1].started_us + DRAIN_SECONDS * 1000000);
	}
	assert_true(ends >= HELD);
}

static int
count_descriptors(const struct server *s)
{
	char path[64];
	DIR *directory;
	int count = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)s->pid);
	assert_non_null(directory = opendir(path));
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* All that twenty handoffs brought along is gone again once the connections are. */
static void
assert_nothing_piled_up(struct job *j)
{
	int64_t end = server_now_us() + 5000000;
	int count;

	do
		count = count_descriptors(&j->servers[UPGRADES]);
	while (count != j->descriptors && server_now_us() < end);
	assert_int_equal(count, j->descriptors);
}

static void
assert_all_left(struct job *j)
{
	int status;

	for (int i = 0; i < j->count; i++) {
		if (i == j->count - 1) {
			assert_nothing_piled_up(j);
			server_signal(&j->servers[i], SIGTERM);
		}
		assert_int_equal(server_wait(&j->servers[i], 1000 * DRAIN_SECONDS + 5000, &status),
				 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

static void
upgrades_lose_nothing(void **state)
{
	struct job *j = *state;
	int64_t begin;

	j->descriptors = count_descriptors(start_httpd(j, "molt.sock", ""));
	start_loads(j, SECONDS + 60);
	begin = server_now_us();
	for (int i = 1; i <= UPGRADES; i++) {
		pass_time(j, begin + (int64_t)i * SECONDS * 1000000 / (UPGRADES + 1));
		start_httpd(j, "molt.sock", "");
	}
	pass_time(j, begin + SECONDS * 1000000);
	stop_loads(j, "upgrades");
	for (int i = 0; i < LOADS; i++)
		assert_nothing_lost(&j->counts[i]);
	assert_all_served(&j->counts[NEW]);
	assert_all_served(&j->counts[KEEP]);
	assert_held_long_enough(j);
	assert_all_left(j);
}

/* --- Controls --------------------------------------------------------------------------------- */

#define RESTARTS 10

static void
assert_something_lost(struct job *j, const char *what)
{
	stop_loads(j, what);
	assert_true(j->counts[NEW].failed + j->counts[KEEP].failed + j->counts[HOLD].failed > 0);
}

static void
control_stop_then_start_loses(void **state)
{
	struct job *j = *state;
	struct server *old = start_httpd(j, "molt.sock", "");

	start_loads(j, SECONDS);
	for (int i = 0; i < RESTARTS; i++) {
		pass_time(j, server_now_us() + 200000);
		server_signal(old, SIGKILL);
		assert_int_equal(server_wait(old, 5000, NULL), 0);
		old = start_httpd(j, "molt.sock", "");
	}
	assert_something_lost(j, "stop-then-start");
}

/* Two that know nothing of each other share the port; the older one goes. */
static void
control_reuseport_loses(void **state)
{
	struct job *j = *state;
	struct server *old = start_httpd(j, "0.sock", "?sockets=2"), *new;
	char socket[32];

	start_loads(j, SECONDS);
	for (int i = 0; i < RESTARTS; i++) {
		snprintf(socket, sizeof socket, "%d.sock", i + 1);
		new = start_httpd(j, socket, "?sockets=2");
		pass_time(j, server_now_us() + 200000);
		server_signal(old, SIGKILL);
		assert_int_equal(server_wait(old, 5000, NULL), 0);
		old = new;
	}
	assert_something_lost(j, "SO_REUSEPORT");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(upgrades_lose_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(control_stop_then_start_loses, setup, teardown),
		cmocka_unit_test_setup_teardown(control_reuseport_loses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
