/* SPDX-License-Identifier: MIT */
/* molt_listen(): when it may be, what it binds, and that a failure changes nothing. */
#include "bench.h"
#include "fds.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* --- When ------------------------------------------------------------------------------------- */

static void
listening_is_refused_by_state(void **state)
{
	static const struct {
		enum handoff_state state;
		int error;
	} expected[] = {
		{ HANDOFF_NEW, -EBUSY },       { HANDOFF_START, -EBUSY },
		{ HANDOFF_CONN, -EBUSY },      { HANDOFF_FAILED, -ECANCELED },
		{ HANDOFF_YIELDED, -EBUSY },   { HANDOFF_DRAIN, -EBUSY },
		{ HANDOFF_RENOUNCED, -EBUSY }, { HANDOFF_LEFT, -EBUSY },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		bench_becomes(b, expected[i].state);
		b->m->error[0] = '\0';
		assert_int_equal(molt__listeners_listen(b->m, "x", "tcp://127.0.0.1:0"),
				 expected[i].error);
		assert_int_not_equal(b->m->error[0], 0);
	}
	assert_int_equal(b->m->inventory.count, 0);
}

static void
a_commit_that_is_queued_closes_the_inventory(void **state)
{
	struct bench *b = *state;
	int file = memfd_create("state", MFD_CLOEXEC);

	bench_becomes(b, HANDOFF_PAUSED);
	assert_int_equal(molt__listeners_offer(b->m, "state", file), 0);
	assert_true(molt__listeners_listen(b->m, "x", "tcp://127.0.0.1:0") >= 0);
	b->m->down.late_complete = true;
	assert_int_equal(molt__listeners_offer(b->m, "more", STDIN_FILENO), -EBUSY);
	b->m->down.late_complete = false;
	b->m->down.commit_queued = true;
	assert_int_equal(molt__listeners_offer(b->m, "more", STDIN_FILENO), -EBUSY);
	assert_int_equal(molt__listeners_withdraw(b->m, "state"), -EBUSY);
	assert_int_equal(molt__listeners_listen(b->m, "y", "tcp://127.0.0.1:0"), -EBUSY);
	assert_says(b, "DRAIN or RESUME");
	bench_becomes(b, HANDOFF_DRAIN);
	assert_int_equal(molt__listeners_withdraw(b->m, "state"), 0);
	close(file);
}

/* --- Listening -------------------------------------------------------------------------------- */

static void
a_fresh_one_listens_when_it_serves(void **state)
{
	struct bench *b = *state;
	int fd = molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?backlog=7");

	assert_true(fd >= 0);
	assert_false(bench_is_listening(fd));
	assert_true(bench_port_of(fd) > 0);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 &&
		    (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	bench_activate(b);
	assert_true(bench_is_listening(fd));
	assert_int_equal(b->event.entry_count, 0);
}

static void
asking_again_gives_the_same(void **state)
{
	struct bench *b = *state;
	int fd = molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0");
	char address[64];

	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0"), fd);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", bench_port_of(fd));
	assert_int_equal(molt__listeners_listen(b->m, "http", address), fd);
	assert_int_equal(molt__listeners_count(b->m, "http"), 1);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.2:0"), -EEXIST);
	assert_says(b, address);
	assert_int_equal(molt__listeners_listen(b->m, "http", "udp://127.0.0.1:0"), -EEXIST);
}

static void
an_offer_has_its_name_to_itself(void **state)
{
	struct bench *b = *state;

	assert_int_equal(molt__listeners_offer(b->m, "http", STDIN_FILENO), 0);
	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0"), -EEXIST);
	assert_says(b, "molt_withdraw");
	assert_true(molt__listeners_listen(b->m, "web", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(molt__listeners_offer(b->m, "web", STDOUT_FILENO), -EEXIST);
}

static void
a_malformed_address_says_what_is_wrong(void **state)
{
	struct bench *b = *state;

	assert_int_equal(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0?colour=red"),
			 -EINVAL);
	assert_says(b, "colour");
	assert_says(b, "http");
}

static void
while_serving_a_fresh_one_listens_at_once(void **state)
{
	struct bench *b = *state;
	char address[300];
	char path[256];
	struct stat st;

	bench_becomes(b, HANDOFF_SERVING);
	assert_true(bench_is_listening(molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0")));
	snprintf(path, sizeof(path), "%s/app.sock", b->dir);
	snprintf(address, sizeof(address), "unix://%s?mode=640", path);
	assert_true(bench_is_listening(molt__listeners_listen(b->m, "app", address)));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(bench_files_in(b->dir), 1);
}

static void
a_group_has_one_port(void **state)
{
	struct bench *b = *state;
	int first = molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=4");

	assert_true(first >= 0);
	assert_int_equal(molt__listeners_count(b->m, "g"), 4);
	assert_int_equal(molt__listeners_fd(b->m, "g", 0), first);
	for (int i = 1; i < 4; i++)
		assert_int_equal(bench_port_of(molt__listeners_fd(b->m, "g", i)),
				 bench_port_of(first));
	assert_int_equal(molt__listeners_fd(b->m, "g", 4), -ENOENT);
	assert_says(b, "listener g has 4 sockets: ");
	assert_true(molt__listeners_listen(b->m, "kv", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(molt__listeners_fd(b->m, "kv", 1), -ENOENT);
	assert_says(b, "listener kv has 1 socket: ");
	assert_int_equal(molt__listeners_count(b->m, "other"), 0);
}

/* --- A call that fails changed nothing -------------------------------------------------------- */

static void
an_address_in_use_leaves_nothing(void **state)
{
	struct bench *b = *state;
	int other = bench_foreign(SOCK_STREAM, 0, false);
	char address[64];

	assert_int_equal(listen(other, 1), 0);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d?sockets=3", bench_port_of(other));
	assert_int_equal(molt__listeners_listen(b->m, "http", address), -EADDRINUSE);
	assert_says(b, "another process has it, perhaps a worker");
	assert_int_equal(b->m->inventory.count, 0);
	close(other);
}

static void
a_path_needs_a_directory(void **state)
{
	struct bench *b = *state;
	char address[256];

	snprintf(address, sizeof(address), "unix://%s/missing/app.sock", b->dir);
	assert_int_equal(molt__listeners_listen(b->m, "app", address), -ENOENT);
	assert_says(b, "the directory must exist");
	assert_int_equal(b->m->inventory.count, 0);
}

static void
a_group_that_cannot_grow_is_as_before(void **state)
{
	struct bench *b = *state;
	char address[64];
	int port = bench_inherits_group(b, "g", SOCK_STREAM, 2);
	struct fds *before = fds_snapshot();
	struct rlimit old;

	bench_becomes(b, HANDOFF_WARM);
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d?sockets=60", port);
	old = bench_limit_descriptors(3);
	assert_int_equal(molt__listeners_listen(b->m, "g", address), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(fds_changed(before), 0);
	fds_free(before);
	assert_int_equal(bench_count_status(b, INVENTORY_INHERITED), 2);
	assert_int_equal(bench_count_status(b, INVENTORY_HELD), 0);
}

static void
a_path_that_is_answered_is_left_alone(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char address[300];
	struct stat was;
	struct stat is;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", b->dir);
	assert_int_equal(bind(other, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(other, 5), 0);
	assert_int_equal(stat(a.sun_path, &was), 0);
	bench_becomes(b, HANDOFF_SERVING);
	snprintf(address, sizeof(address), "unix://%s", a.sun_path);
	assert_int_equal(molt__listeners_listen(b->m, "app", address), -EADDRINUSE);
	assert_int_equal(bench_files_in(b->dir), 1);
	assert_int_equal(stat(a.sun_path, &is), 0);
	assert_int_equal(is.st_ino, was.st_ino);
	assert_int_equal(b->m->inventory.count, 0);
	close(other);
}

/* --- Unix paths ------------------------------------------------------------------------------- */

static void
a_path_appears_when_it_serves(void **state)
{
	struct bench *b = *state;
	char address[300];
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/app.sock", b->dir);
	snprintf(address, sizeof(address), "unix://%s", path);
	assert_true(molt__listeners_listen(b->m, "app", address) >= 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(bench_files_in(b->dir), 1);
	bench_activate(b);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(bench_files_in(b->dir), 1);
	assert_int_equal(b->m->unfinished_count, 0);
	molt__listeners_unlink(b->m);
	assert_int_equal(bench_files_in(b->dir), 0);
}

static void
a_start_that_fails_leaves_no_name(void **state)
{
	struct bench *b = *state;
	char address[300];

	for (int i = 0; i < 3; i++) {
		char name[2] = { (char)('a' + i), '\0' };
		snprintf(address, sizeof(address), "unix://%s/%s", b->dir, name);
		assert_true(molt__listeners_listen(b->m, name, address) >= 0);
	}
	assert_int_equal(bench_files_in(b->dir), 3);
	bench_becomes(b, HANDOFF_FAILED);
	molt__listeners_close(b->m);
	assert_int_equal(bench_files_in(b->dir), 0);
	assert_null(b->m->unfinished);
}

static void
anothers_path_is_not_unlinked(void **state)
{
	struct bench *b = *state;
	char address[300];
	char path[256];

	snprintf(path, sizeof(path), "%s/app.sock", b->dir);
	snprintf(address, sizeof(address), "unix://%s", path);
	bench_becomes(b, HANDOFF_SERVING);
	assert_true(molt__listeners_listen(b->m, "app", address) >= 0);
	assert_int_equal(unlink(path), 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	molt__listeners_unlink(b->m);
	assert_int_equal(bench_files_in(b->dir), 1);
	assert_logged(b, "unlink: listener app leaves");
}

/* One that never served had no path yet: what stands there is no business of its. */
static void
a_path_that_never_was_is_not_missed(void **state)
{
	struct bench *b = *state;
	char address[300];
	char path[256];

	snprintf(path, sizeof(path), "%s/app.sock", b->dir);
	snprintf(address, sizeof(address), "unix://%s", path);
	assert_true(molt__listeners_listen(b->m, "app", address) >= 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	molt__listeners_unlink(b->m);
	assert_not_logged(b, "unlink:");
	assert_int_equal(bench_files_in(b->dir), 2);
}

static void
a_forked_child_only_closes(void **state)
{
	struct bench *b = *state;
	char address[300];

	snprintf(address, sizeof(address), "unix://%s/app.sock", b->dir);
	assert_true(molt__listeners_listen(b->m, "app", address) >= 0);
	b->m->abandoned = true;
	bench_becomes(b, HANDOFF_FAILED);
	molt__listeners_close(b->m);
	assert_int_equal(bench_files_in(b->dir), 1);
}

#define test(function) cmocka_unit_test_setup_teardown(function, bench_set_up, bench_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(listening_is_refused_by_state),
		test(a_commit_that_is_queued_closes_the_inventory),
		test(a_fresh_one_listens_when_it_serves),
		test(asking_again_gives_the_same),
		test(an_offer_has_its_name_to_itself),
		test(a_malformed_address_says_what_is_wrong),
		test(while_serving_a_fresh_one_listens_at_once),
		test(a_group_has_one_port),
		test(an_address_in_use_leaves_nothing),
		test(a_path_needs_a_directory),
		test(a_group_that_cannot_grow_is_as_before),
		test(a_path_that_is_answered_is_left_alone),
		test(a_path_appears_when_it_serves),
		test(a_start_that_fails_leaves_no_name),
		test(anothers_path_is_not_unlinked),
		test(a_path_that_never_was_is_not_missed),
		test(a_forked_child_only_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
