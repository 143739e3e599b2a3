/* SPDX-License-Identifier: MIT */
/* Listeners from systemd: after the predecessor and before binding. */
#include "bench.h"
#include "fds.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* --- systemd's -------------------------------------------------------------------------------- */

/*
 * Makes a table of descriptors as if systemd had passed them: they are moved to numbers from 3 up.
 */
static void
systemd_passes(struct bench *b, const int *fds, int count, const char *names)
{
	char pid[16];
	char number[16];
	struct listen_fds_environment env = { .pid = pid, .fds = number, .names = names };

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	snprintf(number, sizeof(number), "%d", count);
	for (int i = 0; i < count; i++)
		assert_int_equal(fds[i], LISTEN_FDS_FIRST + i);
	assert_int_equal(molt__listen_fds_read(&env, getpid(), &b->m->listen_fds), 0);
}

/* Runs `body` in a child with nothing open above 2, where numbers can be chosen. */
static void
in_a_child(void **state, void (*body)(struct bench *b))
{
	struct bench *b = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		close_range(3, ~0u, 0);
		body(b);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* cmocka's own assertions would go on with the parent's tests. */
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			fprintf(stderr, "%s%s\n", b->log, b->m->error);                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void
body_by_name(struct bench *b)
{
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = bench_foreign(SOCK_STREAM, 0, false);
	systemd_passes(b, fds, 3, "http:http:web");
	char address[64];
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", bench_port_of(fds[1]));
	must(molt__listeners_listen(b->m, "http", address) == fds[1]);
	must(strstr(b->log, "0 inherited, 1 from systemd, 0 bound") != NULL);
	/* By address, whatever its name. */
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", bench_port_of(fds[2]));
	must(molt__listeners_listen(b->m, "other", address) == fds[2]);
	must(molt__listeners_take(b->m, "web") == -ENOENT);
	must(molt__listeners_take(b->m, "http") == fds[0]);
	must(molt__listeners_take(b->m, "http") == -ENOENT);
	bench_activate(b);
	must(bench_is_listening(fds[1]) && bench_is_listening(fds[2]) &&
	     !bench_is_listening(fds[0]));
}

static void
systemd_is_asked_by_name_then_by_address(void **state)
{
	in_a_child(state, body_by_name);
}

/* Any port will do, and the name decides. */
static void
body_any_port(struct bench *b)
{
	int fds[2] = { bench_foreign(SOCK_STREAM, 0, false), bench_foreign(SOCK_STREAM, 0, false) };
	struct sockaddr_in a = { .sin_family = AF_INET };

	systemd_passes(b, fds, 2, "web:http");
	must(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0") == fds[1]);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(molt__listeners_take_address(b->m, SOCK_STREAM, (struct sockaddr *)&a, sizeof(a)) ==
	     fds[0]);
}

static void
systemds_names_come_before_addresses(void **state)
{
	in_a_child(state, body_any_port);
}

/* The port stays systemd's alone if the group cannot be completed. */
static void
body_undone(struct bench *b)
{
	int fds[1] = { bench_foreign(SOCK_STREAM, 0, false) };
	struct rlimit old;

	systemd_passes(b, fds, 1, "g");
	int open_before = fds_count();
	old = bench_limit_descriptors(2);
	must(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=8") == -EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	must(bench_is_open(fds[0]) && b->m->inventory.count == 0 && fds_count() == open_before);
	must(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3") == fds[0]);
	must(bench_port_of(molt__listeners_fd(b->m, "g", 2)) == bench_port_of(fds[0]));
}

static void
systemd_has_it_again_after_a_failure(void **state)
{
	in_a_child(state, body_undone);
}

static void
body_after_predecessor(struct bench *b)
{
	int fds[2] = { bench_foreign(SOCK_STREAM, 0, false), bench_foreign(SOCK_STREAM, 0, false) };
	int given;

	systemd_passes(b, fds, 2, "http:spare");
	given = dup(fds[0]);
	bench_becomes(b, HANDOFF_WARM);
	must(bench_inherits(b, "http", 1, given) == 0);
	must(!bench_is_open(fds[0]) && bench_is_open(fds[1]));
	must(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0") == given);
	bench_activate(b);
	must(bench_is_open(fds[1]));
	must(strstr(b->log, "systemd: descriptor 4 (spare") != NULL);
}

static void
systemd_comes_after_the_predecessor(void **state)
{
	in_a_child(state, body_after_predecessor);
}

static void
body_path(struct bench *b)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fds[1] = { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	char address[300];

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/app.sock", b->dir);
	must(bind(fds[0], (struct sockaddr *)&a, sizeof(a)) == 0);
	systemd_passes(b, fds, 1, "app");
	snprintf(address, sizeof(address), "unix://%s", a.sun_path);
	must(molt__listeners_listen(b->m, "app", address) == fds[0]);
	bench_activate(b);
	molt__listeners_unlink(b->m);
	must(access(a.sun_path, F_OK) == 0);
	unlink(a.sun_path);
}

/* Neither by a later generation, which knows only what the offer said. */
static void
body_offered_path(struct bench *b)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fds[1] = { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	const struct entry *e;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/app.sock", b->dir);
	must(bind(fds[0], (struct sockaddr *)&a, sizeof(a)) == 0);
	must(listen(fds[0], 5) == 0);
	systemd_passes(b, fds, 1, "app");
	must(molt__listeners_take(b->m, "app") == fds[0]);
	must(molt__listeners_offer(b->m, "app", fds[0]) == 0);
	e = molt__inventory_entry(&b->m->inventory,
				  molt__inventory_find_fd(&b->m->inventory, fds[0]));
	must(strcmp(e->address.text, a.sun_path) == 0 && e->path.ino == 0);
	unlink(a.sun_path);
}

static void
systemds_path_is_offered_without_its_file(void **state)
{
	in_a_child(state, body_offered_path);
}

static void
systemds_path_is_never_unlinked(void **state)
{
	in_a_child(state, body_path);
}

#define test(function) cmocka_unit_test_setup_teardown(function, bench_set_up, bench_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(systemd_is_asked_by_name_then_by_address),
		test(systemds_names_come_before_addresses),
		test(systemd_has_it_again_after_a_failure),
		test(systemd_comes_after_the_predecessor),
		test(systemds_path_is_never_unlinked),
		test(systemds_path_is_offered_without_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
