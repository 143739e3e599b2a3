/* SPDX-License-Identifier: MIT */
/* Fresh sockets: what is set on them, and how a unix path comes and goes. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "bind.h"
#include "fds.h"
#include "sys.h"
#include "tmpdir.h"

static struct address
parse(const char *text)
{
	struct address a;
	char why[ADDRESS_WHY_MAX + 1];

	if (molt__address_parse(text, &a, why) != 0)
		fail_msg("%s: %s", text, why);
	return a;
}

static struct entry
fresh(const char *text, struct bind_pending *pending)
{
	struct address a = parse(text);
	struct entry e;

	molt__entry_init(&e);
	assert_int_equal(molt__entry_set_name(&e, "name"), 0);
	int error = molt__bind_fresh(&a, &e, pending);
	if (error)
		fail_msg("%s: %s", text, strerror(-error));
	assert_string_equal(e.name, "name");
	assert_true(molt__address_still(&e));
	return e;
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* A blocking one for tcp, whose answer is wanted; a unix one would wait for room in the queue. */
static int
connect_to(const struct entry *e)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int flags = e->address.family == AF_UNIX ? SOCK_NONBLOCK : 0;
	int fd = socket(e->address.family, e->address.type | flags, 0);

	assert_int_equal(molt__address_sockaddr(&e->address, &sa, &len), 0);
	int error = connect(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
	close(fd);
	return error;
}

/* --- tcp and udp --- */

static void
tcp_is_bound_and_does_not_listen(void **state)
{
	struct bind_pending pending;
	struct entry e = fresh("tcp://127.0.0.1:0?backlog=7", &pending);

	(void)state;
	assert_int_equal(e.kind, ENTRY_STREAM);
	assert_int_equal(e.backlog, 7);
	assert_int_equal(e.v6only, -1);
	assert_int_not_equal(atoi(strrchr(e.address.text, ':') + 1), 0);
	assert_string_equal(pending.temporary, "");
	assert_int_equal(option(e.fd, SOL_SOCKET, SO_REUSEADDR), 1);
	assert_int_equal(option(e.fd, SOL_SOCKET, SO_REUSEPORT), 0);
	assert_true(fcntl(e.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(e.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(option(e.fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	assert_int_equal(connect_to(&e), -ECONNREFUSED);
	assert_int_equal(molt__bind_listen(&e), 0);
	assert_int_equal(option(e.fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(connect_to(&e), 0);
	assert_int_equal(molt__bind_publish(&e, &pending), 0);
	close(e.fd);
}

static int
connect_to_path(const struct entry *e, int *ret_fd)
{
	struct unix_address ua;

	*ret_fd = molt__sys_open_socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(molt__sys_unix_address_to_connect(e->address.text, &ua), 0);
	int error = connect(*ret_fd, (struct sockaddr *)&ua.address, ua.length) < 0 ? -errno : 0;
	molt__sys_unix_address_close(&ua);
	return error;
}

/* With a backlog of 1 two wait, and the third is told that the queue is full. */
static void
the_backlog_is_applied(void **state)
{
	char *dir = tmpdir_make(), text[256];
	struct bind_pending pending;
	int waiting[4];

	(void)state;
	snprintf(text, sizeof(text), "unix://%s/s?backlog=1", dir);
	struct entry e = fresh(text, &pending);
	assert_int_equal(molt__bind_listen(&e), 0);
	assert_int_equal(molt__bind_publish(&e, &pending), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(connect_to_path(&e, &waiting[i]), i < 2 ? 0 : -EAGAIN);
	/* To one that listens already, too; and 0 is as many as there may be. */
	e.backlog = 0;
	assert_int_equal(molt__bind_listen(&e), 0);
	assert_int_equal(connect_to_path(&e, &waiting[3]), 0);
	for (int i = 0; i < 4; i++)
		close(waiting[i]);
	close(e.fd);
	tmpdir_remove(dir);
}

static void
udp_has_no_reuseaddr(void **state)
{
	struct bind_pending pending;
	struct entry e = fresh("udp://127.0.0.1:0", &pending);

	(void)state;
	assert_int_equal(e.kind, ENTRY_DATAGRAM);
	assert_int_equal(option(e.fd, SOL_SOCKET, SO_REUSEADDR), 0);
	assert_int_equal(molt__bind_listen(&e), 0);
	close(e.fd);
}

static void
v6only_is_set_and_read_back(void **state)
{
	struct bind_pending pending;
	struct entry on = fresh("tcp://[::]:0?v6only=1", &pending);
	struct entry off = fresh("tcp://[::]:0?v6only=0", &pending);
	struct entry unsaid = fresh("tcp://[::]:0", &pending);

	(void)state;
	assert_int_equal(on.v6only, 1);
	assert_int_equal(option(on.fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	assert_int_equal(off.v6only, 0);
	assert_int_equal(unsaid.v6only, option(unsaid.fd, IPPROTO_IPV6, IPV6_V6ONLY));
	close(on.fd);
	close(off.fd);
	close(unsaid.fd);
}

static void
a_group_shares_its_port(void **state)
{
	struct bind_pending pending;
	struct entry first = fresh("tcp://127.0.0.1:0?sockets=2", &pending), second;
	char text[ADDRESS_TEXT_SIZE], again[ADDRESS_TEXT_SIZE + 16];

	(void)state;
	assert_int_equal(option(first.fd, SOL_SOCKET, SO_REUSEPORT), 1);
	molt__address_print(&first.address, text, sizeof(text));
	snprintf(again, sizeof(again), "%s?sockets=2", text);
	second = fresh(again, &pending);
	assert_string_equal(second.address.text, first.address.text);
	assert_int_equal(molt__bind_listen(&first), 0);
	assert_int_equal(molt__bind_listen(&second), 0);
	close(first.fd);
	close(second.fd);
}

/* One that was bound alone, and that listens already. */
static void
a_group_may_grow(void **state)
{
	struct bind_pending pending;
	struct entry alone = fresh("tcp://127.0.0.1:0", &pending), e;
	char text[ADDRESS_TEXT_SIZE], more[ADDRESS_TEXT_SIZE + 16];

	(void)state;
	assert_int_equal(molt__bind_listen(&alone), 0);
	molt__address_print(&alone.address, text, sizeof(text));
	snprintf(more, sizeof(more), "%s?sockets=2", text);
	struct address a = parse(more);
	molt__entry_init(&e);
	assert_int_equal(molt__bind_fresh(&a, &e, &pending), -EADDRINUSE);
	assert_int_equal(e.fd, -1);
	assert_int_equal(molt__bind_allow_group(alone.fd), 0);
	e = fresh(more, &pending);
	assert_int_equal(molt__bind_listen(&e), 0);
	close(alone.fd);
	close(e.fd);
}

static void
errors_of_bind_are_told(void **state)
{
	struct address foreign = parse("tcp://192.0.2.1:80"), nowhere = parse("unix:///no/such/s");
	struct bind_pending pending = { .temporary = "untouched" };
	struct entry e;

	(void)state;
	molt__entry_init(&e);
	assert_int_equal(molt__bind_fresh(&foreign, &e, &pending), -EADDRNOTAVAIL);
	assert_int_equal(molt__bind_fresh(&nowhere, &e, &pending), -ENOENT);
	assert_int_equal(e.fd, -1);
	assert_string_equal(pending.temporary, "untouched");
}

/* --- unix paths --- */

struct place {
	struct fds *fds;
	char *dir;
	char *path;
	char url[1200];
	mode_t mask;
};

static int
place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->fds = fds_snapshot();
	p->dir = tmpdir_make();
	p->path = tmpdir_join(p->dir, "s");
	snprintf(p->url, sizeof(p->url), "unix://%s", p->path);
	p->mask = umask(022);
	*state = p;
	return 0;
}

static int
place_teardown(void **state)
{
	struct place *p = *state;
	int changed = fds_changed(p->fds);

	umask(p->mask);
	fds_free(p->fds);
	tmpdir_remove(p->dir);
	free(p->path);
	free(p);
	return changed;
}

static bool
exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void
abstract_names_are_bound_at_once(void **state)
{
	struct place *p = *state;
	char text[64];
	struct bind_pending pending;
	int here = open(".", O_DIRECTORY | O_CLOEXEC);

	snprintf(text, sizeof(text), "unix:@molt-test-bind-%d", getpid());
	struct entry e = fresh(text, &pending);
	assert_string_equal(pending.temporary, "");
	assert_string_equal(e.address.text, text + strlen("unix:"));
	assert_int_equal(connect_to(&e), -ECONNREFUSED);
	assert_int_equal(molt__bind_listen(&e), 0);
	assert_int_equal(connect_to(&e), 0);
	/* They are no files, whatever files are called. */
	assert_int_equal(chdir(p->dir), 0);
	close(open(e.address.text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(molt__bind_unlink(&e), 0);
	assert_true(exists(e.address.text));
	assert_int_equal(fchdir(here), 0);
	close(here);
	close(e.fd);
}

static void
a_path_is_seen_only_when_it_is_published(void **state)
{
	struct place *p = *state;
	struct bind_pending pending;
	struct entry e = fresh(p->url, &pending);
	struct file_identity there;
	char *temporary = tmpdir_join(p->dir, pending.temporary);

	assert_string_equal(e.address.text, p->path);
	assert_false(exists(p->path));
	assert_true(exists(temporary));
	assert_int_equal(mode_of(temporary), 0755);
	assert_int_equal(molt__bind_listen(&e), 0);
	assert_int_equal(molt__bind_publish(&e, &pending), 0);
	assert_string_equal(pending.temporary, "");
	assert_false(exists(temporary));
	assert_int_equal(connect_to(&e), 0);
	assert_int_equal(molt__sys_identify_path(p->path, &there), 0);
	assert_true(molt__sys_same_file(&there, &e.path));
	/* Once more does nothing. */
	assert_int_equal(molt__bind_publish(&e, &pending), 0);
	molt__bind_discard(&e, &pending);
	assert_true(exists(p->path));
	close(e.fd);
	free(temporary);
}

static void
a_path_has_the_mode_asked_for(void **state)
{
	struct place *p = *state;
	struct bind_pending pending;

	strcat(p->url, "?mode=666"); /* which the umask would not allow */
	struct entry e = fresh(p->url, &pending);
	char *temporary = tmpdir_join(p->dir, pending.temporary);
	assert_int_equal(mode_of(temporary), 0666);
	molt__bind_discard(&e, &pending);
	assert_false(exists(temporary));
	assert_string_equal(pending.temporary, "");
	close(e.fd);
	free(temporary);
}

static void
a_stale_path_is_replaced(void **state)
{
	struct place *p = *state;
	struct bind_pending pending;
	struct entry old = fresh(p->url, &pending);

	assert_int_equal(molt__bind_listen(&old), 0);
	assert_int_equal(molt__bind_publish(&old, &pending), 0);
	struct entry e = fresh(p->url, &pending);
	assert_int_equal(molt__bind_listen(&e), 0);
	/* While somebody listens there, it is not. */
	assert_int_equal(molt__bind_publish(&e, &pending), -EADDRINUSE);
	assert_string_not_equal(pending.temporary, "");
	close(old.fd);
	assert_int_equal(connect_to(&old), -ECONNREFUSED);
	assert_int_equal(molt__bind_publish(&e, &pending), 0);
	assert_int_equal(connect_to(&e), 0);
	close(e.fd);
}

static void
a_path_whose_queue_is_full_is_alive(void **state)
{
	struct place *p = *state;
	struct bind_pending pending;
	struct entry old = fresh(p->url, &pending);
	struct sockaddr_storage sa;
	socklen_t len;
	int client = molt__sys_open_socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(listen(old.fd, 0), 0);
	assert_int_equal(molt__bind_publish(&old, &pending), 0);
	assert_int_equal(molt__address_sockaddr(&old.address, &sa, &len), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(connect_to(&old), -EAGAIN);
	struct entry e = fresh(p->url, &pending);
	assert_int_equal(molt__bind_publish(&e, &pending), -EADDRINUSE);
	molt__bind_discard(&e, &pending);
	close(client);
	close(old.fd);
	close(e.fd);
}

static void
a_socket_of_another_type_is_alive(void **state)
{
	struct place *p = *state;
	struct bind_pending pending;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, p->path);
	assert_int_equal(bind(other, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(other, 1), 0);
	struct entry e = fresh(p->url, &pending);
	assert_int_equal(molt__bind_publish(&e, &pending), -EADDRINUSE);
	molt__bind_discard(&e, &pending);
	close(other);
	close(e.fd);
}

/* connect() says ECONNREFUSED of those, too. */
static void
what_is_no_socket_stays(void **state)
{
	struct place *p = *state;
	struct bind_pending pending;
	struct entry e = fresh(p->url, &pending);

	close(open(p->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(molt__bind_publish(&e, &pending), -ENOTSOCK);
	assert_true(exists(p->path));
	unlink(p->path);
	assert_int_equal(symlink("nowhere", p->path), 0);
	assert_int_equal(molt__bind_publish(&e, &pending), -ENOTSOCK);
	assert_true(exists(p->path));
	molt__bind_discard(&e, &pending);
	close(e.fd);
}

static void
only_its_own_file_is_unlinked(void **state)
{
	struct place *p = *state;
	struct bind_pending pending;
	struct entry e = fresh(p->url, &pending), other;

	assert_int_equal(molt__bind_publish(&e, &pending), 0);
	other = fresh(p->url, &pending);
	assert_int_equal(molt__bind_publish(&other, &pending), 0);
	assert_int_equal(molt__bind_unlink(&e), -ESTALE);
	assert_true(exists(p->path));
	assert_int_equal(molt__bind_unlink(&other), 0);
	assert_false(exists(p->path));
	assert_int_equal(molt__bind_unlink(&other), 0);
	close(e.fd);
	close(other.fd);
}

static void
long_paths_work(void **state)
{
	struct place *p = *state;
	struct bind_pending pending;
	char name[201], *dir, *path;

	memset(name, 'd', 200);
	name[200] = '\0';
	dir = tmpdir_join(p->dir, name);
	assert_int_equal(mkdir(dir, 0700), 0);
	memset(name, 'n', 200);
	path = tmpdir_join(dir, name);
	snprintf(p->url, sizeof(p->url), "unix://%s?mode=640", path);
	struct entry e = fresh(p->url, &pending);
	assert_int_equal(molt__bind_listen(&e), 0);
	assert_int_equal(molt__bind_publish(&e, &pending), 0);
	assert_int_equal(mode_of(path), 0640);
	struct entry other = fresh(p->url, &pending);
	assert_int_equal(molt__bind_publish(&other, &pending), -EADDRINUSE);
	close(e.fd);
	assert_int_equal(molt__bind_publish(&other, &pending), 0);
	assert_int_equal(molt__bind_unlink(&other), 0);
	close(other.fd);
	free(dir);
	free(path);
}

#define placed(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		placed(tcp_is_bound_and_does_not_listen),
		placed(the_backlog_is_applied),
		placed(udp_has_no_reuseaddr),
		placed(v6only_is_set_and_read_back),
		placed(a_group_shares_its_port),
		placed(a_group_may_grow),
		placed(errors_of_bind_are_told),
		placed(abstract_names_are_bound_at_once),
		placed(a_path_is_seen_only_when_it_is_published),
		placed(a_path_has_the_mode_asked_for),
		placed(a_stale_path_is_replaced),
		placed(a_path_whose_queue_is_full_is_alive),
		placed(a_socket_of_another_type_is_alive),
		placed(what_is_no_socket_stays),
		placed(only_its_own_file_is_unlinked),
		placed(long_paths_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
