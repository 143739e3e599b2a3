/* SPDX-License-Identifier: MIT */
/*
 * Channels: order, bounds, back-pressure, and what is left when the other side is gone.
 */
#include "channel.h"

#include "fds.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534 };

/* --- What the tests share --------------------------------------------------------------------- */

/* Two channels that are each other's peers. */
struct pair {
	struct fds *before;
	struct channel *a;
	struct channel *b;
};

static int
connect_pair(struct pair *pair)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	return molt__channel_new(fds[0], &pair->a) | molt__channel_new(fds[1], &pair->b);
}

static int
set_up(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	assert_non_null(pair);
	pair->before = fds_snapshot();
	assert_non_null(pair->before);
	*state = pair;
	return connect_pair(pair);
}

static int
tear_down(void **state)
{
	struct pair *pair = *state;
	int changed;

	molt__channel_free(pair->a);
	molt__channel_free(pair->b);
	changed = fds_changed(pair->before);
	fds_free(pair->before);
	free(pair);
	return changed;
}

static int
send_number(struct channel *c, uint32_t number, const int *fds, size_t nfds)
{
	return molt__channel_send(c, &number, sizeof(number), fds, nfds);
}

/* Receives a packet that must be that number, without descriptors. */
static void
assert_number(struct channel *c, uint32_t number)
{
	struct incoming packet;
	uint32_t received;

	assert_int_equal(molt__channel_receive(c, &packet), CHANNEL_PACKET);
	assert_int_equal(packet.length, sizeof(received));
	memcpy(&received, packet.bytes, sizeof(received));
	assert_int_equal(received, number);
	assert_int_equal(packet.nfds, 0);
}

/* Sends numbers from 0 on until one is queued. Returns how many went before it. */
static uint32_t
fill(struct channel *c)
{
	uint32_t sent = 0;
	int r;

	while ((r = send_number(c, sent, NULL, 0)) == CHANNEL_SENT)
		sent++;
	assert_int_equal(r, CHANNEL_QUEUED);
	return sent;
}

static int
receive_any(struct channel *c)
{
	struct incoming packet;
	int r = molt__channel_receive(c, &packet);

	if (r == CHANNEL_PACKET)
		molt__sys_close_all(packet.fds, packet.nfds);
	return r;
}

static void
close_end(struct channel **c)
{
	molt__channel_free(*c);
	*c = NULL;
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

/* --- Sending and receiving -------------------------------------------------------------------- */

static void
test_a_new_channel_is_ready(void **state)
{
	struct pair *pair = *state;
	struct incoming packet;
	struct ucred cred;

	assert_true(fcntl(molt__channel_fd(pair->a), F_GETFL) & O_NONBLOCK);
	assert_int_equal(molt__channel_receive(pair->a, &packet), CHANNEL_NOTHING);
	assert_int_equal(molt__channel_flush(pair->a), 0);
	assert_int_equal(molt__channel_pending(pair->a), 0);
	assert_false(molt__channel_wants_write(pair->a));
	assert_false(molt__channel_wants_retry(pair->a));
	assert_int_equal(molt__channel_peer(pair->a, &cred), 0);
	assert_int_equal(cred.pid, getpid());
}

static void
test_what_is_no_socket_stays_the_callers(void **state)
{
	struct channel *c = NULL;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_int_equal(molt__channel_new(fd, &c), -ENOTSOCK);
	assert_null(c);
	assert_int_equal(close(fd), 0);
	molt__channel_free(NULL);
}

static void
test_packets_keep_their_order_and_bring_their_sender(void **state)
{
	struct pair *pair = *state;
	struct incoming packet;

	assert_int_equal(send_number(pair->a, 1, NULL, 0), CHANNEL_SENT);
	assert_int_equal(send_number(pair->a, 2, NULL, 0), CHANNEL_SENT);
	assert_number(pair->b, 1);
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_PACKET);
	assert_int_equal(packet.cred.pid, getpid());
	assert_int_equal(packet.cred.uid, geteuid());
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_NOTHING);
}

static void
test_the_largest_packet_goes_and_not_a_larger_one(void **state)
{
	struct pair *pair = *state;
	struct incoming packet;
	char *bytes = calloc(1, CHANNEL_MAX_BYTES + 1);
	int fds[CHANNEL_MAX_FDS + 1];

	assert_non_null(bytes);
	bytes[CHANNEL_MAX_BYTES - 1] = 'e';
	for (size_t i = 0; i < CHANNEL_MAX_FDS + 1; i++)
		fds[i] = STDERR_FILENO;
	assert_int_equal(molt__channel_send(pair->a, bytes, CHANNEL_MAX_BYTES, fds, 253), 0);
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_PACKET);
	assert_int_equal(packet.length, CHANNEL_MAX_BYTES);
	assert_memory_equal(packet.bytes, bytes, CHANNEL_MAX_BYTES);
	assert_int_equal(packet.nfds, 253);
	molt__sys_close_all(packet.fds, packet.nfds);

	assert_int_equal(molt__channel_send(pair->a, bytes, CHANNEL_MAX_BYTES + 1, NULL, 0),
			 -EMSGSIZE);
	assert_int_equal(molt__channel_send(pair->a, bytes, 0, NULL, 0), -EMSGSIZE);
	assert_int_equal(molt__channel_send(pair->a, bytes, 1, fds, 254), -E2BIG);
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_NOTHING);
	free(bytes);
}

static void
test_a_closed_descriptor_is_refused_and_nothing_is_sent(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(send_number(pair->a, 1, (int[]){ STDERR_FILENO, 9999 }, 2), -EBADF);
	assert_int_equal(receive_any(pair->b), CHANNEL_NOTHING);
	assert_int_equal(send_number(pair->a, 2, NULL, 0), CHANNEL_SENT);
	fill(pair->a);
	assert_int_equal(send_number(pair->a, 1, (int[]){ STDERR_FILENO, 9999 }, 2), -EBADF);
	assert_int_equal(molt__channel_pending(pair->a), 1);
}

/* --- The queue -------------------------------------------------------------------------------- */

static void
test_a_full_socket_queues_in_order(void **state)
{
	struct pair *pair = *state;
	uint32_t sent = fill(pair->a);

	assert_int_equal(send_number(pair->a, sent + 1, NULL, 0), CHANNEL_QUEUED);
	assert_int_equal(molt__channel_pending(pair->a), 2);
	assert_true(molt__channel_wants_write(pair->a));
	assert_false(molt__channel_wants_retry(pair->a));
	assert_int_equal(molt__channel_flush(pair->a), -EAGAIN);

	/* With room again, a new packet still goes behind those that wait. */
	for (uint32_t i = 0; i < sent; i++)
		assert_number(pair->b, i);
	assert_int_equal(send_number(pair->a, sent + 2, NULL, 0), CHANNEL_SENT);
	assert_int_equal(molt__channel_pending(pair->a), 0);
	assert_false(molt__channel_wants_write(pair->a));
	for (uint32_t i = sent; i < sent + 3; i++)
		assert_number(pair->b, i);
	assert_int_equal(receive_any(pair->b), CHANNEL_NOTHING);
}

static void
test_a_flush_sends_what_waits(void **state)
{
	struct pair *pair = *state;
	uint32_t sent = fill(pair->a);

	for (uint32_t i = 0; i < sent; i++)
		assert_number(pair->b, i);
	assert_int_equal(molt__channel_flush(pair->a), 0);
	assert_int_equal(molt__channel_pending(pair->a), 0);
	assert_number(pair->b, sent);
	/* The end of the list is right after it has been empty. */
	assert_int_equal(fill(pair->a), sent);
	assert_int_equal(send_number(pair->a, sent + 1, NULL, 0), CHANNEL_QUEUED);
	assert_int_equal(molt__channel_pending(pair->a), 2);
	for (uint32_t i = 0; i < sent; i++)
		assert_number(pair->b, i);
	assert_int_equal(molt__channel_flush(pair->a), 0);
	assert_number(pair->b, sent);
	assert_number(pair->b, sent + 1);
}

static void
test_the_queue_is_bounded_in_packets(void **state)
{
	struct pair *pair = *state;
	uint32_t sent = fill(pair->a);

	for (uint32_t i = 1; i < CHANNEL_QUEUE_PACKETS; i++)
		assert_int_equal(send_number(pair->a, sent + i, NULL, 0), CHANNEL_QUEUED);
	assert_int_equal(send_number(pair->a, 0, NULL, 0), -ENOBUFS);
	assert_int_equal(molt__channel_pending(pair->a), CHANNEL_QUEUE_PACKETS);
	/* What is read makes room, and nothing was lost. */
	for (uint32_t i = 0; i < sent; i++)
		assert_number(pair->b, i);
	assert_int_equal(molt__channel_flush(pair->a), 0);
	for (uint32_t i = sent; i < sent + CHANNEL_QUEUE_PACKETS; i++)
		assert_number(pair->b, i);
}

static void
test_the_queue_is_bounded_in_bytes(void **state)
{
	struct pair *pair = *state;
	char *bytes = calloc(1, CHANNEL_MAX_BYTES);
	size_t queued = 0;
	int r;

	assert_non_null(bytes);
	while ((r = molt__channel_send(pair->a, bytes, CHANNEL_MAX_BYTES, NULL, 0)) >= 0)
		queued += r == CHANNEL_QUEUED ? CHANNEL_MAX_BYTES : 0;
	assert_int_equal(r, -ENOBUFS);
	assert_true(queued <= CHANNEL_QUEUE_BYTES);
	assert_true(queued + CHANNEL_MAX_BYTES > CHANNEL_QUEUE_BYTES);
	/* What went makes room again. */
	while (receive_any(pair->b) == CHANNEL_PACKET)
		molt__channel_flush(pair->a);
	assert_int_equal(molt__channel_pending(pair->a), 0);
	fill(pair->a);
	assert_int_equal(molt__channel_send(pair->a, bytes, CHANNEL_MAX_BYTES, NULL, 0),
			 CHANNEL_QUEUED);
	free(bytes);
}

static void
test_queued_descriptors_are_copies(void **state)
{
	struct pair *pair = *state;
	struct incoming packet;
	struct file_identity sent, received;
	uint32_t count = fill(pair->a);
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	assert_int_equal(molt__sys_identify(fd, &sent), 0);
	assert_int_equal(send_number(pair->a, 0, &fd, 1), CHANNEL_QUEUED);
	close(fd);
	for (uint32_t i = 0; i < count; i++)
		assert_number(pair->b, i);
	assert_int_equal(molt__channel_flush(pair->a), 0);
	assert_number(pair->b, count);
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_PACKET);
	assert_int_equal(packet.nfds, 1);
	assert_int_equal(molt__sys_identify(packet.fds[0], &received), 0);
	assert_true(molt__sys_same_file(&sent, &received));
	close(packet.fds[0]);
}

static void
test_unsent_descriptors_are_closed_with_the_channel(void **state)
{
	struct pair *pair = *state;
	int fds[3] = { STDERR_FILENO, STDERR_FILENO, STDERR_FILENO };

	fill(pair->a);
	assert_int_equal(send_number(pair->a, 0, fds, 3), CHANNEL_QUEUED);
	/* tear_down frees the channel and compares the tables. */
}

static void
test_a_packet_that_cannot_be_queued_leaves_nothing(void **state)
{
	struct pair *pair = *state;
	struct rlimit limit, low;
	int fds[100];
	int highest = molt__channel_fd(pair->b);

	not_under_valgrind();
	for (size_t i = 0; i < 100; i++)
		fds[i] = STDERR_FILENO;
	fill(pair->a);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)highest + 11;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(send_number(pair->a, 0, fds, 100), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(molt__channel_pending(pair->a), 1);
}

/* --- Descriptors in flight -------------------------------------------------------------------- */

/* In a child that is nobody: queues at the bound, and goes on when it is free again. */
static int
fly_too_many(void)
{
	struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };
	struct pair pair;
	int fds[30];

	for (size_t i = 0; i < 30; i++)
		fds[i] = STDERR_FILENO;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 1;
	if (connect_pair(&pair) != 0)
		return 2;
	for (int i = 0; i < 3; i++) {
		if (send_number(pair.a, 0, fds, 30) != CHANNEL_SENT)
			return 3;
	}
	if (send_number(pair.a, 1, fds, 1) != CHANNEL_QUEUED)
		return 4;
	/* Polling for writing would spin: the socket is not full. */
	if (molt__channel_wants_write(pair.a) || !molt__channel_wants_retry(pair.a))
		return 5;
	/* Nor may a packet without descriptors overtake it. */
	if (send_number(pair.a, 2, NULL, 0) != CHANNEL_QUEUED)
		return 6;
	if (molt__channel_flush(pair.a) != -ETOOMANYREFS)
		return 7;
	if (receive_any(pair.b) != CHANNEL_PACKET || receive_any(pair.b) != CHANNEL_PACKET)
		return 8;
	if (molt__channel_flush(pair.a) != 0 || molt__channel_wants_retry(pair.a))
		return 9;
	return 0;
}

static void
test_too_many_descriptors_in_flight_wait(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	not_under_valgrind();
	if (geteuid() != 0) {
		print_message("only root can become a user with a bound on flying descriptors\n");
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fly_too_many());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- The other side is gone ------------------------------------------------------------------- */

static void
test_what_a_dead_peer_sent_is_read_to_the_end(void **state)
{
	struct pair *pair = *state;
	struct incoming packet;

	/* It dies with something unread: a reset comes first, and is not the end. */
	assert_int_equal(send_number(pair->b, 9, NULL, 0), CHANNEL_SENT);
	assert_int_equal(send_number(pair->a, 1, NULL, 0), CHANNEL_SENT);
	assert_int_equal(send_number(pair->a, 2, NULL, 0), CHANNEL_SENT);
	close_end(&pair->a);
	assert_number(pair->b, 1);
	assert_number(pair->b, 2);
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_END);
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_END);
}

static void
test_sending_to_a_dead_peer_fails_and_reading_goes_on(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(send_number(pair->a, 1, NULL, 0), CHANNEL_SENT);
	close_end(&pair->a);
	assert_int_equal(send_number(pair->b, 2, NULL, 0), -EPIPE);
	assert_int_equal(send_number(pair->b, 2, NULL, 0), -EPIPE);
	assert_int_equal(molt__channel_flush(pair->b), -EPIPE);
	assert_number(pair->b, 1);
	assert_int_equal(receive_any(pair->b), CHANNEL_END);
}

static void
test_a_reset_that_a_send_meets_first(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(send_number(pair->b, 9, NULL, 0), CHANNEL_SENT);
	assert_int_equal(send_number(pair->a, 1, NULL, 0), CHANNEL_SENT);
	close_end(&pair->a);
	/* The kernel says ECONNRESET here, once, and EPIPE from then on. */
	assert_int_equal(send_number(pair->b, 2, NULL, 0), -EPIPE);
	assert_number(pair->b, 1);
	assert_int_equal(receive_any(pair->b), CHANNEL_END);
}

static void
test_the_queue_of_a_dead_peer_is_dropped(void **state)
{
	struct pair *pair = *state;
	int fd = STDERR_FILENO;

	fill(pair->b);
	assert_int_equal(send_number(pair->b, 0, &fd, 1), CHANNEL_QUEUED);
	assert_int_equal(send_number(pair->a, 1, NULL, 0), CHANNEL_SENT);
	close_end(&pair->a);
	assert_int_equal(molt__channel_flush(pair->b), -EPIPE);
	assert_int_equal(molt__channel_pending(pair->b), 0);
	assert_false(molt__channel_wants_write(pair->b));
	assert_false(molt__channel_wants_retry(pair->b));
	assert_int_equal(molt__channel_flush(pair->b), -EPIPE);
	assert_number(pair->b, 1);
	assert_int_equal(receive_any(pair->b), CHANNEL_END);
}

/* --- Bad packets ------------------------------------------------------------------------------ */

static void
test_empty_packets_are_dropped_one_by_one(void **state)
{
	struct pair *pair = *state;
	struct iovec nothing = { .iov_len = 0 };
	int fd = STDERR_FILENO;
	int raw = molt__channel_fd(pair->a);

	assert_int_equal(molt__sys_send_packet(raw, &nothing, 1, NULL, 0), 0);
	assert_int_equal(molt__sys_send_packet(raw, &nothing, 1, &fd, 1), 0);
	assert_int_equal(send_number(pair->a, 1, NULL, 0), CHANNEL_SENT);
	assert_int_equal(receive_any(pair->b), CHANNEL_EMPTY);
	assert_int_equal(receive_any(pair->b), CHANNEL_EMPTY);
	assert_number(pair->b, 1);
}

static void
test_a_packet_that_is_too_long_is_dropped(void **state)
{
	struct pair *pair = *state;
	struct incoming packet = { .fault = NULL };
	char *bytes = calloc(1, CHANNEL_MAX_BYTES + 1);
	struct iovec part = { .iov_base = bytes, .iov_len = CHANNEL_MAX_BYTES + 1 };
	int fd = STDERR_FILENO;

	assert_non_null(bytes);
	assert_int_equal(molt__sys_send_packet(molt__channel_fd(pair->a), &part, 1, &fd, 1), 0);
	assert_int_equal(send_number(pair->a, 1, NULL, 0), CHANNEL_SENT);
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_BAD);
	assert_non_null(strstr(packet.fault, "longer"));
	assert_number(pair->b, 1);
	free(bytes);
}

static void
test_a_packet_that_lost_descriptors_is_dropped(void **state)
{
	struct pair *pair = *state;
	struct incoming packet = { .fault = NULL };
	struct rlimit limit, low;
	int fds[100];

	not_under_valgrind();
	for (size_t i = 0; i < 100; i++)
		fds[i] = STDERR_FILENO;
	assert_int_equal(send_number(pair->a, 1, fds, 100), CHANNEL_SENT);
	assert_int_equal(send_number(pair->a, 2, NULL, 0), CHANNEL_SENT);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)molt__channel_fd(pair->b) + 11;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(molt__channel_receive(pair->b, &packet), CHANNEL_BAD);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_non_null(strstr(packet.fault, "lost descriptors"));
	assert_number(pair->b, 2);
}

/* An io_uring, which refuses to travel; -1 where there are none. */
static int
open_ring(void)
{
#ifdef SYS_io_uring_setup
	char parameters[256] = { 0 };

	return (int)syscall(SYS_io_uring_setup, 1, parameters);
#else
	return -1;
#endif
}

static void
test_a_queued_packet_that_cannot_go_breaks_the_channel(void **state)
{
	struct pair *pair = *state;
	uint32_t sent;
	int fd = open_ring();

	if (fd < 0) {
		print_message("this kernel gives no io_uring, and all else travels\n");
		skip();
	}
	assert_int_equal(send_number(pair->a, 0, &fd, 1), -EINVAL);
	sent = fill(pair->a);
	assert_int_equal(send_number(pair->a, 0, &fd, 1), CHANNEL_QUEUED);
	assert_int_equal(send_number(pair->a, 1, NULL, 0), CHANNEL_QUEUED);
	close(fd);
	for (uint32_t i = 0; i < sent; i++)
		assert_number(pair->b, i);
	assert_int_equal(molt__channel_flush(pair->a), -EINVAL);
	assert_int_equal(molt__channel_pending(pair->a), 0);
	assert_int_equal(send_number(pair->a, 2, NULL, 0), -EPIPE);
	assert_number(pair->b, sent);
	assert_int_equal(receive_any(pair->b), CHANNEL_NOTHING);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_new_channel_is_ready),
		TEST(test_what_is_no_socket_stays_the_callers),
		TEST(test_packets_keep_their_order_and_bring_their_sender),
		TEST(test_the_largest_packet_goes_and_not_a_larger_one),
		TEST(test_a_closed_descriptor_is_refused_and_nothing_is_sent),
		TEST(test_a_full_socket_queues_in_order),
		TEST(test_a_flush_sends_what_waits),
		TEST(test_the_queue_is_bounded_in_packets),
		TEST(test_the_queue_is_bounded_in_bytes),
		TEST(test_queued_descriptors_are_copies),
		TEST(test_unsent_descriptors_are_closed_with_the_channel),
		TEST(test_a_packet_that_cannot_be_queued_leaves_nothing),
		TEST(test_too_many_descriptors_in_flight_wait),
		TEST(test_what_a_dead_peer_sent_is_read_to_the_end),
		TEST(test_sending_to_a_dead_peer_fails_and_reading_goes_on),
		TEST(test_a_reset_that_a_send_meets_first),
		TEST(test_the_queue_of_a_dead_peer_is_dropped),
		TEST(test_empty_packets_are_dropped_one_by_one),
		TEST(test_a_packet_that_is_too_long_is_dropped),
		TEST(test_a_packet_that_lost_descriptors_is_dropped),
		TEST(test_a_queued_packet_that_cannot_go_breaks_the_channel),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
