/* SPDX-License-Identifier: MIT */
/*
 * Clients that never wait for each other: a new connection every few milliseconds, which asks once
 * and waits for its answer, and one flow of datagrams. What became of each is kept for the judge.
 *
 * The caller polls: fault_clients_fill(), poll(2), fault_clients_turn().
 */
#ifndef MOLT_TEST_FAULT_CLIENTS_H
#define MOLT_TEST_FAULT_CLIENTS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	FAULT_ASKS_MAX = 4096,
	FAULT_EVERY_NS = 5000000,
	FAULT_POLL_MAX = FAULT_ASKS_MAX + 1,
};

/* One question and its answer. Times are CLOCK_MONOTONIC. */
struct fault_ask {
	int fd; /* of a connection under way, or -1 */
	bool sent;
	int64_t asked_ns;
	int64_t answered_ns; /* 0: not answered */
	int error;           /* a negative errno; -EPIPE: closed without an answer */
	char label[16];      /* who answered */
};

struct fault_asks {
	int count;
	int settled; /* all before this one are answered, or have failed */
	struct fault_ask asks[FAULT_ASKS_MAX];
};

struct fault_clients {
	int port;
	int udp; /* the socket of the flow */
	int64_t next_ns;
	struct fault_asks connections;
	struct fault_asks datagrams;
};

int64_t fault_now_ns(void);

/* 0, or a negative errno. Begins to ask with the first turn. */
int fault_clients_open(struct fault_clients *c, int port, int udp_port);
void fault_clients_close(struct fault_clients *c);

/* How many were filled in. */
int fault_clients_fill(const struct fault_clients *c, struct pollfd *p);

/* Takes what came, and asks anew if it is time. */
void fault_clients_turn(struct fault_clients *c);

/* Takes what came, and asks nothing new. */
void fault_clients_finish(struct fault_clients *c);

/* Asks by one more connection now. Its number. */
int fault_clients_connect(struct fault_clients *c);

/* The first asked at that moment or later that was answered, by `label` if not NULL. Or -1. */
int fault_clients_first_answer(const struct fault_clients *c, int64_t since_ns, const char *label);

/* Whether all connections asked until then are answered, or have failed. */
bool fault_clients_settled(const struct fault_clients *c, int64_t until_ns);

#endif
