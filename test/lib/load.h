/* SPDX-License-Identifier: MIT */
/*
 * Clients of an HTTP server, many at once, in a process of their own, that check every byte of each
 * answer and count what a client can notice of an upgrade. The server answers GET / with
 * {"label":"...","pid":N,"generation":N}. Nothing here needs cmocka.
 */
#ifndef TEST_LOAD_H
#define TEST_LOAD_H

#include <stdint.h>

enum load_kind {
	LOAD_NEW,  /* a new connection for each request */
	LOAD_KEEP, /* requests on connections that stay until told Connection: close */
	LOAD_HELD  /* one request, then nothing; a connection that ends is opened anew */
};

#define LOAD_CLIENTS_MAX 256
#define LOAD_GENERATIONS 64

struct load_plan {
	enum load_kind kind;
	int port;    /* on 127.0.0.1 */
	int clients; /* at once */
	int rate;    /* requests a second in all; HELD: connections a second, to begin with */
	int seconds; /* it stops by itself after this time */
};

struct load_counts {
	/*
	 * A request is answered or failed; so is a connection that is reset behind its answer or
	 * idle.
	 */
	uint64_t requests;
	uint64_t answered;
	uint64_t failed;
	uint64_t refused; /* nobody listened */
	uint64_t reset;
	uint64_t cut;   /* ended before the answer was whole */
	uint64_t wrong; /* not the bytes of an answer, or more than one */
	uint64_t late;  /* not whole within LOAD_ANSWER_MS */
	uint64_t ended; /* KEEP: idle connections that ended without Connection: close before */
	int64_t longest_gap_us;             /* between two answers, whichever clients got them */
	uint64_t answers[LOAD_GENERATIONS]; /* by the generation in it */
	/* HELD: by the generation that owns the connection, the first end on the monotonic clock */
	uint64_t held_ends[LOAD_GENERATIONS];
	int64_t first_end_us[LOAD_GENERATIONS];
};

#define LOAD_ANSWER_MS 5000

struct load;

/* Starts the clients. NULL with errno set. */
struct load *load_start(const struct load_plan *plan);

/* What was counted so far; it goes on changing. */
const struct load_counts *load_look(const struct load *load);

/* Waits until at least `answered` answers have come: 0, or -1 after `milliseconds`. */
int load_wait(const struct load *load, uint64_t answered, int milliseconds);

/* Lets requests under way end, ends the clients, and frees. NULL is allowed. */
void load_stop(struct load *load, struct load_counts *ret_counts);

/* How many different generations have answered, and how often the one that did least often. */
int load_generations(const struct load_counts *counts, uint64_t *ret_fewest);

#endif
