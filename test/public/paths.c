/* SPDX-License-Identifier: MIT */
/* Unix listeners through real handoffs: the file stays, and is removed by the last. */
#include "client.h"
#include "theatre.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Unix paths ------------------------------------------------------------------------------- */

static void
file_of(const char *path, struct stat *ret)
{
	assert_int_equal(lstat(path, ret), 0);
	assert_true(S_ISSOCK(ret->st_mode));
}

static void
same_file(const struct stat *a, const struct stat *b)
{
	assert_int_equal(a->st_ino, b->st_ino);
	assert_int_equal(a->st_uid, b->st_uid);
	assert_int_equal(a->st_gid, b->st_gid);
	assert_int_equal(a->st_mode, b->st_mode);
}

static bool
path_served_by(const char *path, const char *label)
{
	int fd = client_unix(path);
	bool served = fd >= 0 && client_answered(fd, label, "hello");

	close(fd);
	return served;
}

static void
a_path_keeps_its_file(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");
	char path[256];
	char listen[300];
	struct stat first;
	struct stat now;

	snprintf(path, sizeof(path), "%s/app.sock", t->dir);
	snprintf(listen, sizeof(listen), "app unix://%s?mode=640", path);
	assert_true(actor_do(a, "listen %s", listen) >= 0);
	assert_int_equal(client_unix(path), -ENOENT);
	theatre_serves(a, "SERVE first 0 # ");
	file_of(path, &first);
	assert_int_equal(first.st_mode & 07777, 0640);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 65534, 65534), 0);
	assert_int_equal(chmod(path, 0606), 0);
	file_of(path, &first);

	struct actor *b = theatre_hands_over(t, a, 1, "b", listen);
	file_of(path, &now);
	same_file(&first, &now);
	assert_true(path_served_by(path, "b"));

	struct actor *c = theatre_hands_over(t, b, 2, "c", listen);
	file_of(path, &now);
	same_file(&first, &now);
	assert_true(path_served_by(path, "c"));

	/* The duty to remove it has come along. */
	assert_int_equal(actor_do(c, "drain"), 0);
	assert_non_null(actor_await(c, "LEAVE done"));
	assert_true(actor_ends_well(c));
	assert_int_equal(client_unix(path), -ENOENT);
}

static void
a_stale_path_is_replaced(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");
	char path[256];

	snprintf(path, sizeof(path), "%s/app.sock", t->dir);
	assert_true(actor_do(a, "listen app unix://%s", path) >= 0);
	theatre_serves(a, "SERVE first 0 # ");
	actor_signal(a, SIGKILL);
	actor_end(a);
	assert_int_equal(client_unix(path), -ECONNREFUSED);

	struct actor *b = theatre_starts(t, 1, "b");
	assert_true(actor_do(b, "listen app unix://%s", path) >= 0);
	assert_int_equal(client_unix(path), -ECONNREFUSED);
	theatre_serves(b, "SERVE first 0 # ");
	assert_true(path_served_by(path, "b"));
}

/* A server of somebody else's, whose queue holds one. */
static int
stranger_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%.99s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 0), 0);
	return fd;
}

static void
leaves_alone(struct theatre *t, int which, const char *path)
{
	struct stat before;
	struct stat after;

	file_of(path, &before);
	struct actor *a = theatre_starts(t, which, "a");
	assert_true(actor_do(a, "listen app unix://%s", path) >= 0);
	theatre_serves(a, "SERVE first 0 app=-98 # ");
	file_of(path, &after);
	same_file(&before, &after);
	assert_int_equal(actor_do(a, "drain"), 0);
	assert_non_null(actor_await(a, "LEAVE"));
	assert_true(actor_ends_well(a));
	file_of(path, &after);
	same_file(&before, &after);
	actor_end(a);
}

static void
a_path_that_lives_is_not_replaced(void **state)
{
	struct theatre *t = *state;
	char path[100];

	snprintf(path, sizeof(path), "%.90s/app.sock", t->dir);
	int stranger = stranger_at(path);
	leaves_alone(t, 0, path);
	/* So busy that it does not even answer. */
	int waiting[4];
	for (int i = 0; i < 4; i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		snprintf(a.sun_path, sizeof(a.sun_path), "%.99s", path);
		int result = connect(waiting[i], (struct sockaddr *)&a, sizeof(a));
		assert_true(result == 0 || errno == EAGAIN);
	}
	leaves_alone(t, 1, path);
	for (int i = 0; i < 4; i++)
		close(waiting[i]);
	close(stranger);
}

static void
an_abstract_name_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");
	char name[64];
	char listen[80];

	snprintf(name, sizeof(name), "@molt-test-%d", (int)getpid());
	snprintf(listen, sizeof(listen), "app unix:%s", name);
	assert_true(actor_do(a, "listen %s", listen) >= 0);
	assert_int_equal(client_unix(name), -ECONNREFUSED);
	theatre_serves(a, "SERVE first 0 # ");
	assert_true(path_served_by(name, "a"));
	theatre_hands_over(t, a, 1, "b", listen);
	assert_true(path_served_by(name, "b"));
}

#define test(function) cmocka_unit_test_setup_teardown(function, theatre_set_up, theatre_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_path_keeps_its_file),
		test(a_stale_path_is_replaced),
		test(a_path_that_lives_is_not_replaced),
		test(an_abstract_name_passes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
