/* SPDX-License-Identifier: MIT */
/*
 * The demo: demo HTTPD
 *
 * Upgrades the example server three times while clients use it, with one upgrade among them that
 * goes wrong, and prints what the clients saw of it. Exits 1 if they saw anything but new versions.
 */
#include "load.h"
#include "server.h"
#include "tmpdir.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RATE 1000
#define PAUSE_MS 2000
#define GENERATIONS 4
#define SERVERS_MAX 6

enum { NEW, KEEP, LOADS };

struct demo {
	const char *httpd;
	char *directory;
	char address[64];
	struct server servers[SERVERS_MAX];
	int server_count;
	struct load *loads[LOADS];
	int64_t begin_us;
	int64_t upgrade_us[GENERATIONS + 1]; /* from exec to serving */
};

static void
step(const struct demo *d, const char *text)
{
	printf("%5.1f s  %s\n", (double)(server_now_us() - d->begin_us) / 1e6, text);
	fflush(stdout);
}

static struct server *
start(struct demo *d, const char *label, const char *option)
{
	char path[512];
	struct server *s = &d->servers[d->server_count++];
	char *argv[] = { (char *)d->httpd, "-s", path, "-l",           d->address, "-v",
			 (char *)label,    "-d", "5",  (char *)option, NULL };

	snprintf(path, sizeof path, "%s/httpd.sock", d->directory);
	return server_start(s, argv) < 0 ? NULL : s;
}

/* Waits until generation `generation` says on the log of `s` that it serves. */
static bool
wait_to_serve(struct demo *d, struct server *s, int generation, int64_t since_us)
{
	char words[32];
	const char *line;

	snprintf(words, sizeof words, "generation %d ", generation);
	do
		line = s ? server_expect(s, "SERVE", 5000) : NULL;
	while (line && !strstr(line, words));
	if (!line) {
		fprintf(stderr, "demo: generation %d did not come to serve\n", generation);
		return false;
	}
	d->upgrade_us[generation] = server_now_us() - since_us;
	return true;
}

/* Says each second how the clients fare. */
static void
watch(const struct demo *d, int milliseconds)
{
	char text[128];

	for (; milliseconds > 0; milliseconds -= 1000) {
		poll(NULL, 0, milliseconds < 1000 ? milliseconds : 1000);
		snprintf(text, sizeof text, "  %llu requests answered, %llu failed",
			 (unsigned long long)(load_look(d->loads[NEW])->answered +
					      load_look(d->loads[KEEP])->answered),
			 (unsigned long long)(load_look(d->loads[NEW])->failed +
					      load_look(d->loads[KEEP])->failed));
		step(d, text);
	}
}

static bool
start_first(struct demo *d)
{
	static const enum load_kind kinds[LOADS] = { LOAD_NEW, LOAD_KEEP };
	struct server *s;
	int port;

	step(d, "starting version 1");
	strcpy(d->address, "tcp://127.0.0.1:0");
	s = start(d, "v1", NULL);
	if (!wait_to_serve(d, s, 1, s ? s->started_us : 0) || (port = server_port(s, 1000)) < 0)
		return false;
	snprintf(d->address, sizeof d->address, "tcp://127.0.0.1:%d", port);
	for (int i = 0; i < LOADS; i++) {
		const struct load_plan plan = { kinds[i], port, 16, RATE, 60 };

		if (!(d->loads[i] = load_start(&plan)))
			return false;
	}
	step(d, "clients at work: new connections, and connections that stay");
	watch(d, PAUSE_MS);
	return true;
}

static struct server *
upgrade_by_second_start(struct demo *d, const char *label, int generation)
{
	struct server *s = start(d, label, NULL);

	if (!wait_to_serve(d, s, generation, s ? s->started_us : 0))
		return NULL;
	watch(d, PAUSE_MS);
	return s;
}

/* The successor is the server's own child then, and writes to the same log. */
static bool
upgrade_by_signal(struct demo *d, struct server *s, int generation)
{
	int64_t since = server_now_us();
	const char *line;

	server_signal(s, SIGHUP);
	line = server_expect(s, "started the successor ", 5000);
	if (!line || server_adopt(&d->servers[d->server_count],
				  atoi(strstr(line, "successor ") + strlen("successor "))) < 0) {
		fprintf(stderr, "demo: SIGHUP did not start a successor\n");
		return false;
	}
	d->server_count++;
	if (!wait_to_serve(d, s, generation, since))
		return false;
	watch(d, PAUSE_MS);
	return true;
}

static bool
fail_an_upgrade(struct demo *d)
{
	struct server *s = start(d, "broken", "-x");
	int status;

	if (!s || server_wait(s, 5000, &status) < 0 || status == 0) {
		fprintf(stderr, "demo: the broken version did not fail\n");
		return false;
	}
	watch(d, PAUSE_MS / 2);
	return true;
}

static bool
play(struct demo *d)
{
	struct server *second;

	if (!start_first(d))
		return false;
	step(d, "upgrade to generation 2: version 2 is started with the same socket file");
	if (!(second = upgrade_by_second_start(d, "v2", 2)))
		return false;
	step(d, "upgrade to generation 3: SIGHUP, the server starts its successor itself");
	if (!upgrade_by_signal(d, second, 3))
		return false;
	step(d, "a broken version is started: it dies before it is ready");
	if (!fail_an_upgrade(d))
		return false;
	step(d, "upgrade to generation 4: the repaired version");
	return upgrade_by_second_start(d, "v4", 4) != NULL;
}

/* The table. True if the clients saw nothing but generations 1 to 4. */
static bool
report(const struct demo *d, const struct load_counts counts[LOADS])
{
	static const char *names[LOADS] = { "new connections", "kept connections" };
	bool good = true;

	printf("\n%-17s %9s %7s %8s %6s %12s  %s\n", "", "requests", "failed", "refused", "reset",
	       "longest gap", "answered by generation 1, 2, 3, 4");
	for (int i = 0; i < LOADS; i++) {
		const struct load_counts *c = &counts[i];
		uint64_t known = 0;

		printf("%-17s %9llu %7llu %8llu %6llu %9.1f ms ", names[i],
		       (unsigned long long)c->requests, (unsigned long long)c->failed,
		       (unsigned long long)c->refused, (unsigned long long)c->reset,
		       (double)c->longest_gap_us / 1000);
		for (int g = 1; g <= GENERATIONS; g++) {
			printf(" %llu", (unsigned long long)c->answers[g]);
			good = good && c->answers[g] > 0;
			known += c->answers[g];
		}
		printf("\n");
		good = good && c->failed == 0 && known == c->requests;
	}
	printf("\nfrom exec to serving: generation 2 %.1f ms, generation 3 %.1f ms, generation 4 "
	       "%.1f ms\n",
	       (double)d->upgrade_us[2] / 1000, (double)d->upgrade_us[3] / 1000,
	       (double)d->upgrade_us[4] / 1000);
	printf("%s\n", good ? "no request was lost" : "FAILED: the clients noticed");
	return good;
}

int
main(int argc, char **argv)
{
	struct demo d = { .httpd = argc == 2 ? argv[1] : NULL };
	struct load_counts counts[LOADS] = { 0 };
	bool good;

	if (!d.httpd || !(d.directory = tmpdir_make())) {
		fprintf(stderr, "Usage: demo HTTPD\n");
		return 2;
	}
	d.begin_us = server_now_us();
	good = play(&d);
	for (int i = 0; i < LOADS; i++)
		load_stop(d.loads[i], &counts[i]);
	good = report(&d, counts) && good;
	for (int i = 0; i < d.server_count; i++)
		server_end(&d.servers[i]);
	tmpdir_remove(d.directory);
	return good ? 0 : 1;
}
