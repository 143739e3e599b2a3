/* SPDX-License-Identifier: MIT */
/*
 * The test's own end of a channel, which says what it likes: well-formed packets out of place, and
 * packets that are none. For white-box tests. No call blocks for longer than ten seconds.
 */
#ifndef MOLT_TEST_PEER_H
#define MOLT_TEST_PEER_H

#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_PATIENCE = 10000 }; /* milliseconds */

/* Connects to the socket file. The socket, or a negative errno. */
int peer_connect(const char *path);

/* 0, or a negative errno. The descriptors stay the caller's. */
int peer_say_bytes(int fd, const void *bytes, size_t length, const int *fds, size_t nfds);
int peer_say(int fd, const struct message *message, const int *fds, size_t nfds);

/*
 * The next packet's type, or 0: the other side has closed; or a negative errno. A reset is read
 * over. Descriptors that came are closed here. The message is to be cleared if the type is above 0.
 */
int peer_hear(int fd, struct message *ret_message);

/* Reads packets until the other side has closed. The last one's type; 0: none came; or -errno. */
int peer_hear_out(int fd);

/* Whether it is, and there is nothing to hear. */
bool peer_is_open(int fd);

/* The monotonic clock. */
int64_t peer_now_ms(void);

/* --- Packets that are none -------------------------------------------------------------------- */

struct bad_packet {
	const char *what;  /* for a test that fails */
	const char *words; /* what the log line about it must have */
};

/* Sends the nth, from 0, with descriptors if it is about those. false: there are not so many. */
bool bad_packet_send(size_t nth, int fd, struct bad_packet *ret);

#endif
