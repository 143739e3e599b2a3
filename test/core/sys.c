/* SPDX-License-Identifier: MIT */
/*
 * Each trap of lib/core/sys.c, shown.
 */
#include "sys.h"

#include "fds.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

enum { NOBODY = 65534 };

/* --- What the tests share --------------------------------------------------------------------- */

/* Every test starts with a directory of its own, and ends with the descriptors it began with. */
struct place {
	struct fds *before;
	char *directory;
};

static int
set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	place->directory = tmpdir_make();
	assert_non_null(place->directory);
	place->before = fds_snapshot();
	assert_non_null(place->before);
	*state = place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;
	int changed = fds_changed(place->before);

	fds_free(place->before);
	changed |= tmpdir_remove(place->directory);
	free(place);
	return changed;
}

static void
open_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(molt__sys_pass_credentials(pair[0]), 0);
	assert_int_equal(molt__sys_pass_credentials(pair[1]), 0);
}

static void
close_pair(const int pair[2])
{
	molt__sys_close_all(pair, 2);
}

/* Sends `text` and `nfds` copies of descriptor 2. */
static int
send_text(int fd, const char *text, size_t nfds)
{
	struct iovec part = { .iov_base = (void *)text, .iov_len = strlen(text) };
	int fds[SYS_MAX_FDS + 1];

	for (size_t i = 0; i < nfds; i++)
		fds[i] = STDERR_FILENO;
	return molt__sys_send_packet(fd, &part, 1, fds, nfds);
}

static int
receive(int fd, struct sys_packet *packet)
{
	char buffer[64];

	return molt__sys_recv_packet(fd, buffer, sizeof(buffer), packet);
}

/* Receives a packet that must be `text`, with `nfds` descriptors, which are closed. */
static void
assert_receives(int fd, const char *text, size_t nfds)
{
	struct sys_packet packet;
	char buffer[64];

	assert_int_equal(molt__sys_recv_packet(fd, buffer, sizeof(buffer), &packet), SYS_PACKET);
	assert_int_equal(packet.length, strlen(text));
	assert_memory_equal(buffer, text, packet.length);
	assert_int_equal(packet.nfds, nfds);
	molt__sys_close_all(packet.fds, packet.nfds);
}

static int
open_lock_file(const struct place *place)
{
	char *path = tmpdir_join(place->directory, "lock");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	free(path);
	return fd;
}

/* Runs `run` in a child, which must end with status 0; 77 skips the test. */
static void
assert_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/*
 * Skips a test of what valgrind does itself and differently: it keeps the bound on descriptors from
 * the kernel, and knows no pidfd.
 */
static void
not_under_valgrind(void)
{
	const char *under = getenv("MOLT_UNDER");

	if (!under || !strstr(under, "valgrind"))
		return;
	print_message("valgrind has descriptor limits and system calls of its own\n");
	skip();
}

/* --- Descriptors ------------------------------------------------------------------------------ */

static void
test_close_keeps_errno(void **state)
{
	(void)state;
	errno = E2BIG;
	molt__sys_close(-1);
	assert_int_equal(errno, E2BIG);
	molt__sys_close(9999);
	assert_int_equal(errno, E2BIG);
}

static void
test_flags_are_asserted_and_copies_are_cloexec(void **state)
{
	int fd = open("/dev/null", O_RDONLY);
	int copy;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(molt__sys_assert_flags(fd), 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	copy = molt__sys_duplicate(fd);
	assert_true(copy > STDERR_FILENO);
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	close(copy);
	close(fd);
	assert_int_equal(molt__sys_assert_flags(fd), -EBADF);
	assert_int_equal(molt__sys_duplicate(fd), -EBADF);
}

static void
test_identity_tells_files_apart(void **state)
{
	struct place *place = *state;
	struct file_identity by_fd, by_path, other;
	char *path = tmpdir_join(place->directory, "lock");
	int fd = open_lock_file(place);

	assert_int_equal(molt__sys_identify(fd, &by_fd), 0);
	assert_int_equal(molt__sys_identify_path(path, &by_path), 0);
	assert_int_equal(molt__sys_identify_path(place->directory, &other), 0);
	assert_true(molt__sys_same_file(&by_fd, &by_path));
	assert_false(molt__sys_same_file(&by_fd, &other));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(molt__sys_identify_path(path, &by_path), -ENOENT);
	close(fd);
	free(path);
}

static void
test_highest_descriptor_and_room(void **state)
{
	struct rlimit limit;
	int fd;

	(void)state;
	not_under_valgrind();
	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 200);
	assert_int_equal(fd, 200);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Tools that a test runs under may hold descriptors of their own above ours. */
	assert_true(molt__sys_highest_fd() >= 200);
	assert_int_equal(molt__sys_room(32), (int)limit.rlim_cur - molt__sys_highest_fd() - 1 - 32);
	assert_int_equal(molt__sys_room((int)limit.rlim_cur), 0);
	close(fd);
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static void
test_accept_neither_blocks_nor_leaks_into_children(void **state)
{
	struct place *place = *state;
	char *path = tmpdir_join(place->directory, "socket");
	struct unix_address address;
	int listener = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int client = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int accepted;

	assert_int_equal(molt__sys_unix_address_to_bind(path, &address), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address.address, address.length), 0);
	assert_int_equal(listen(listener, 4), 0);
	/* As a peer does that shares the open file. */
	assert_int_equal(fcntl(listener, F_SETFL, 0), 0);
	assert_int_equal(molt__sys_accept(listener), -EAGAIN);
	assert_int_equal(connect(client, (struct sockaddr *)&address.address, address.length), 0);
	accepted = molt__sys_accept(listener);
	assert_true(accepted >= 0);
	assert_true(fcntl(accepted, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fcntl(accepted, F_GETFD), FD_CLOEXEC);
	molt__sys_close_all((int[]){ listener, client, accepted }, 3);
	molt__sys_unix_address_close(&address);
	free(path);
}

static void
test_a_peer_is_known(void **state)
{
	struct ucred cred;
	int pair[2];

	(void)state;
	open_pair(pair);
	assert_int_equal(molt__sys_peer(pair[0], &cred), 0);
	assert_int_equal(cred.pid, getpid());
	assert_int_equal(cred.uid, geteuid());
	close_pair(pair);
	assert_int_equal(molt__sys_peer(STDERR_FILENO + 500, &cred), -EBADF);
}

static void
test_a_network_namespace_is_known(void **state)
{
	uint64_t a = 0;
	uint64_t b = 0;
	int fd = molt__sys_open_socket(AF_INET, SOCK_STREAM, 0);
	int other = molt__sys_open_socket(AF_INET, SOCK_DGRAM, 0);
	int r = molt__sys_netns_cookie(fd, &a);

	(void)state;
	if (r == 0) {
		assert_int_equal(molt__sys_netns_cookie(other, &b), 0);
		assert_true(a == b && a != 0);
	} else {
		assert_int_equal(r, -ENOPROTOOPT);
	}
	molt__sys_close_all((int[]){ fd, other }, 2);
}

/* Binds and connects at a path in `directory` whose last part is `length` bytes. */
static int
meet_at(const char *directory, int length)
{
	struct unix_address to_bind, to_connect;
	int r;
	int listener = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int client = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	char path[4096];

	snprintf(path, sizeof(path), "%s/%0*d", directory, length, 0);
	r = molt__sys_unix_address_to_bind(path, &to_bind);
	if (r == 0) {
		assert_int_equal(
			bind(listener, (struct sockaddr *)&to_bind.address, to_bind.length), 0);
		assert_int_equal(listen(listener, 1), 0);
		assert_int_equal(molt__sys_unix_address_to_connect(path, &to_connect), 0);
		assert_int_equal(
			connect(client, (struct sockaddr *)&to_connect.address, to_connect.length),
			0);
		molt__sys_unix_address_close(&to_connect);
		molt__sys_unix_address_close(&to_bind);
	}
	molt__sys_close_all((int[]){ listener, client }, 2);
	return r;
}

static void
test_paths_longer_than_a_socket_address(void **state)
{
	struct place *place = *state;
	struct unix_address address;
	char directory[1024];
	char path[2048];

	snprintf(directory, sizeof(directory), "%s/%0150d", place->directory, 0);
	assert_int_equal(mkdir(directory, 0700), 0);
	assert_int_equal(meet_at(place->directory, 5), 0);
	assert_int_equal(meet_at(directory, 70), 0);
	assert_int_equal(meet_at(directory, 100), -ENAMETOOLONG);

	/* To connect, the last part may be of any length. */
	assert_true(snprintf(path, sizeof(path), "%s/%0200d", directory, 0) > 0);
	assert_int_equal(molt__sys_unix_address_to_connect(path, &address), -ENOENT);
	snprintf(path, sizeof(path), "%s/none/%0150d", directory, 0);
	assert_int_equal(molt__sys_unix_address_to_bind(path, &address), -ENOENT);
}

/* --- Packets ---------------------------------------------------------------------------------- */

static void
test_253_descriptors_and_not_one_more(void **state)
{
	int pair[2];

	(void)state;
	open_pair(pair);
	assert_int_equal(send_text(pair[0], "many", 253), 0);
	assert_receives(pair[1], "many", 253);
	assert_int_equal(send_text(pair[0], "more", 254), -E2BIG);
	assert_int_equal(receive(pair[1], &(struct sys_packet){ 0 }), -EAGAIN);
	close_pair(pair);
}

static void
test_received_descriptors_are_cloexec(void **state)
{
	struct sys_packet packet;
	int pair[2];

	(void)state;
	open_pair(pair);
	assert_int_equal(send_text(pair[0], "one", 1), 0);
	assert_int_equal(receive(pair[1], &packet), SYS_PACKET);
	assert_int_equal(fcntl(packet.fds[0], F_GETFD), FD_CLOEXEC);
	close(packet.fds[0]);
	close_pair(pair);
}

static void
test_descriptors_that_find_no_room_cut_the_packet(void **state)
{
	struct rlimit limit, low;
	struct sys_packet packet;
	int pair[2];

	(void)state;
	not_under_valgrind();
	open_pair(pair);
	assert_int_equal(send_text(pair[0], "cut", 100), 0);
	assert_int_equal(send_text(pair[0], "next", 0), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)pair[1] + 11;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(receive(pair[1], &packet), SYS_CUT);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Nothing of it was kept (tear_down looks), and the next one is whole. */
	assert_receives(pair[1], "next", 0);
	close_pair(pair);
}

static void
test_a_packet_that_does_not_fit_is_dropped_whole(void **state)
{
	struct sys_packet packet;
	char small[4];
	int pair[2];

	(void)state;
	open_pair(pair);
	assert_int_equal(send_text(pair[0], "longer than four", 3), 0);
	assert_int_equal(send_text(pair[0], "next", 1), 0);
	assert_int_equal(molt__sys_recv_packet(pair[1], small, sizeof(small), &packet),
			 SYS_TOO_LONG);
	assert_receives(pair[1], "next", 1);
	close_pair(pair);
}

static void
test_an_empty_packet_is_not_the_end(void **state)
{
	struct sys_packet packet;
	int pair[2];

	(void)state;
	open_pair(pair);
	assert_int_equal(send_text(pair[0], "", 0), 0);
	assert_int_equal(send_text(pair[0], "", 2), 0);
	assert_int_equal(send_text(pair[0], "after", 0), 0);
	close(pair[0]);
	assert_int_equal(receive(pair[1], &packet), SYS_EMPTY);
	assert_int_equal(receive(pair[1], &packet), SYS_EMPTY);
	assert_receives(pair[1], "after", 0);
	assert_int_equal(receive(pair[1], &packet), SYS_END);
	assert_int_equal(receive(pair[1], &packet), SYS_END);
	close(pair[1]);
}

static void
test_a_reset_is_not_the_end(void **state)
{
	struct sys_packet packet;
	int pair[2];

	(void)state;
	open_pair(pair);
	assert_int_equal(send_text(pair[0], "taken", 1), 0);
	assert_int_equal(send_text(pair[1], "never read", 0), 0);
	close(pair[0]);
	assert_int_equal(receive(pair[1], &packet), -ECONNRESET);
	assert_receives(pair[1], "taken", 1);
	assert_int_equal(receive(pair[1], &packet), SYS_END);
	close(pair[1]);
}

static void
test_sending_to_nobody_raises_no_signal(void **state)
{
	void (*before)(int) = signal(SIGPIPE, SIG_DFL);
	int pair[2];

	(void)state;
	open_pair(pair);
	close(pair[0]);
	assert_int_equal(send_text(pair[1], "lost", 1), -EPIPE);
	close(pair[1]);
	/* A stream is what raises it. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[0]);
	assert_int_equal(send_text(pair[1], "lost", 0), -EPIPE);
	close(pair[1]);
	signal(SIGPIPE, before);
}

static void
test_a_packet_brings_its_sender(void **state)
{
	struct sys_packet packet;
	int pair[2];
	pid_t pid;

	(void)state;
	open_pair(pair);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(send_text(pair[0], "child", 0) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(receive(pair[1], &packet), SYS_PACKET);
	assert_int_equal(packet.cred.pid, pid);
	assert_int_equal(packet.cred.uid, geteuid());
	close_pair(pair);
}

static void
test_a_descriptor_that_nobody_asked_for_is_closed(void **state)
{
	int on = 1;
	int pair[2];
	int r;

	(void)state;
	open_pair(pair);
	r = setsockopt(pair[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on));
	if (r == 0) {
		assert_int_equal(send_text(pair[0], "with a pidfd", 1), 0);
		assert_receives(pair[1], "with a pidfd", 1);
	}
	close_pair(pair);
	if (r < 0) {
		print_message("SO_PASSPIDFD is not known to this kernel\n");
		skip();
	}
}

static void
test_a_full_socket_says_so(void **state)
{
	struct sys_packet packet;
	int pair[2];
	int r;

	(void)state;
	open_pair(pair);
	while ((r = send_text(pair[0], "x", 0)) == 0)
		continue;
	assert_int_equal(r, -EAGAIN);
	while (receive(pair[1], &packet) == SYS_PACKET)
		continue;
	assert_int_equal(send_text(pair[0], "x", 0), 0);
	close_pair(pair);
}

static int
be_nobody_with_64_descriptors(void)
{
	struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };

	return setrlimit(RLIMIT_NOFILE, &limit) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static int
send_more_than_may_fly(void)
{
	struct sys_packet packet;
	int pair[2];

	if (geteuid() != 0 || !be_nobody_with_64_descriptors())
		return 77;
	open_pair(pair);
	/* The bound is looked at before a packet is counted. */
	for (int i = 0; i < 3; i++) {
		if (send_text(pair[0], "thirty", 30) != 0)
			return 1;
	}
	if (send_text(pair[0], "one", 1) != -ETOOMANYREFS)
		return 2;
	/* Packets without descriptors still go. */
	if (send_text(pair[0], "none", 0) != 0)
		return 3;
	if (receive(pair[1], &packet) != SYS_PACKET)
		return 4;
	return send_text(pair[0], "one", 1) == 0 ? 0 : 5;
}

static void
test_too_many_descriptors_in_flight_are_back_pressure(void **state)
{
	(void)state;
	not_under_valgrind();
	if (geteuid() != 0)
		print_message("only root can become a user with a bound on flying descriptors\n");
	assert_child(send_more_than_may_fly);
}

/* --- Locks ------------------------------------------------------------------------------------ */

static void
test_the_two_locks_live_side_by_side(void **state)
{
	int life = open_lock_file(*state);
	int mine = open_lock_file(*state);
	int theirs = open_lock_file(*state);

	assert_int_equal(molt__sys_lock_life(life), 0);
	assert_int_equal(molt__sys_lock_life(theirs), -EWOULDBLOCK);
	assert_int_equal(molt__sys_lock_owner(mine), 0);
	assert_int_equal(molt__sys_lock_owner(theirs), -EAGAIN);
	/* Another open of the same file is closed: both stay. */
	close(open_lock_file(*state));
	assert_int_equal(molt__sys_lock_owner(theirs), -EAGAIN);
	assert_int_equal(molt__sys_unlock_owner(mine), 0);
	assert_int_equal(molt__sys_lock_owner(theirs), 0);
	assert_int_equal(molt__sys_lock_life(theirs), -EWOULDBLOCK);
	close(life);
	assert_int_equal(molt__sys_lock_life(theirs), 0);
	molt__sys_close_all((int[]){ mine, theirs }, 2);
}

static void
test_life_goes_with_its_descriptor(void **state)
{
	int life = open_lock_file(*state);
	int theirs = open_lock_file(*state);
	int copy;

	assert_int_equal(molt__sys_lock_life(life), 0);
	copy = molt__sys_duplicate(life);
	close(life);
	assert_int_equal(molt__sys_lock_life(theirs), -EWOULDBLOCK);
	close(copy);
	assert_int_equal(molt__sys_lock_life(theirs), 0);
	close(theirs);
}

/* --- The rest --------------------------------------------------------------------------------- */

static void
test_random_numbers(void **state)
{
	uint64_t a = 0;
	uint64_t b = 0;

	(void)state;
	assert_int_equal(molt__sys_random64(&a), 0);
	assert_int_equal(molt__sys_random64(&b), 0);
	assert_true(a != 0 && b != 0 && a != b);
}

static void
test_a_pidfd_tells_the_end(void **state)
{
	struct pollfd poller = { .events = POLLIN };
	pid_t pid;

	(void)state;
	not_under_valgrind();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	poller.fd = molt__sys_open_pidfd(pid);
	assert_true(poller.fd >= 0);
	assert_int_equal(fcntl(poller.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(poll(&poller, 1, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(poll(&poller, 1, 10000), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(molt__sys_open_pidfd(pid), -ESRCH);
	close(poller.fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_close_keeps_errno),
		TEST(test_flags_are_asserted_and_copies_are_cloexec),
		TEST(test_identity_tells_files_apart),
		TEST(test_highest_descriptor_and_room),
		TEST(test_accept_neither_blocks_nor_leaks_into_children),
		TEST(test_a_peer_is_known),
		TEST(test_a_network_namespace_is_known),
		TEST(test_paths_longer_than_a_socket_address),
		TEST(test_253_descriptors_and_not_one_more),
		TEST(test_received_descriptors_are_cloexec),
		TEST(test_descriptors_that_find_no_room_cut_the_packet),
		TEST(test_a_packet_that_does_not_fit_is_dropped_whole),
		TEST(test_an_empty_packet_is_not_the_end),
		TEST(test_a_reset_is_not_the_end),
		TEST(test_sending_to_nobody_raises_no_signal),
		TEST(test_a_packet_brings_its_sender),
		TEST(test_a_descriptor_that_nobody_asked_for_is_closed),
		TEST(test_a_full_socket_says_so),
		TEST(test_too_many_descriptors_in_flight_are_back_pressure),
		TEST(test_the_two_locks_live_side_by_side),
		TEST(test_life_goes_with_its_descriptor),
		TEST(test_random_numbers),
		TEST(test_a_pidfd_tells_the_end),
	};

	return cmocka_run_group_tests_name("sys", tests, NULL, NULL);
}
