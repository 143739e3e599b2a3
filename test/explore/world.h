/* SPDX-License-Identifier: MIT */
/*
 * A world of processes that hand a service over to each other: what each of them is and holds, the
 * lines between them, the locks, the record and the socket file. All of it is a state: it is packed
 * whole.
 *
 * A process has an index from 0; as instance, as holder of a lock and as peer it is index + 1, and
 * 0 is nobody. Processes that have not started are alike, so the lowest of them starts next.
 */
#ifndef MOLT_EXPLORE_WORLD_H
#define MOLT_EXPLORE_WORLD_H

#include "check.h"
#include "handoff.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROCESSES_MAX = 4, WORLD_WORDS_MAX = 8 };

enum mode { MODE_NEW, MODE_RUNNING, MODE_FROZEN, MODE_GONE };

/* What a look from outside would find. */
enum service { SERVICE_NONE, SERVICE_SERVES, SERVICE_EMPTIES };

/* The event that the host has been told of last and has not acted on; those before it go along. */
enum host { HOST_NOTHING, HOST_PAUSE, HOST_LOAD, HOST_DRAIN, HOST_RETIRE };

/* The one that every successor claims, and the one that none does. */
enum listener { LISTENER_CLAIMED, LISTENER_UNCLAIMED, LISTENERS };

enum retiring { RETIRING_NOTHING, RETIRING_UNCLAIMED, RETIRING_ALL };

struct process {
	struct handoff machine;
	uint16_t script; /* what is left to carry out, see script.h */
	uint8_t mode;
	uint8_t deadline; /* 0, or the one of START to CONFIRM that runs, plus 1 */
	bool drain_runs;
	bool probation_runs;
	bool retry_runs;
	uint8_t host;
	uint8_t retiring; /* what the host has been told to close */
	bool committing;  /* the commit waits for room in the queue */
	uint8_t service;
	/* held */
	bool life;
	uint8_t listeners[LISTENERS]; /* their states in the inventory, see holding.h */
	uint8_t path;                 /* socket of the socket file, or 0 */
	/* Not known to the process, only to the judge. */
	bool founder; /* found LIFE free */
	bool stale;   /* another has served since its late state was written */
	bool touched; /* another has served since it was told to pause */
	bool failed;  /* a write of the record has failed */
	bool stopped; /* its host has said stop */
};

/* Packets, in the only order in which they can stand in a queue. */
enum { FROM_DOWN_READY = 1, FROM_DOWN_CONFIRM = 2 };
enum { FROM_UP_OFFER = 1, FROM_UP_REFUSE = 2, FROM_UP_COMMIT = 4, FROM_UP_ABORT = 8 };

enum place { PLACE_NONE, PLACE_BACKLOG, PLACE_ACCEPTED, PLACE_ADOPTED };

/* A successor's connection to its predecessor; no process has two as successor. */
struct line {
	uint8_t place;
	uint8_t peer; /* the predecessor; in the backlog the socket */
	uint8_t from_up;
	uint8_t from_down;
	bool closed_up;   /* by the predecessor */
	bool closed_down; /* by the successor */
	bool end_read;    /* the predecessor has read to the end */
	bool committed;   /* COMMIT has been written to it once */
	bool stale;       /* the one that is in the queue */
	/* An undelivered offer's */
	uint8_t generation;
	uint8_t path;
	bool unclaimed;
};

enum budget {
	BUDGET_CRASH,     /* SIGKILL */
	BUDGET_FREEZE,    /* SIGSTOP; waking is free */
	BUDGET_LOSS,      /* of CONFIRM or ABORT */
	BUDGET_FAILURE,   /* a write of the record, bind, connect, LIFE, a bad offer */
	BUDGET_STOP,      /* molt_drain() */
	BUDGET_CANCEL,    /* molt_cancel() */
	BUDGET_EXCLUSIVE, /* processes that cannot take up again what another has owned */
	BUDGET_IDLE,      /* "no connection is left"; without it only the drain deadline cuts */
	BUDGETS
};

struct world {
	struct process process[PROCESSES_MAX];
	struct line line[PROCESSES_MAX]; /* by successor */
	struct record record;
	bool record_valid;
	uint8_t owner_lock; /* its holder, possibly dead: then it is about to be free */
	uint8_t path;       /* the socket that the socket file is, or 0 */
	uint8_t left[BUDGETS];
	uint8_t count;    /* of processes; the same in all states of a search */
	check_set broken; /* by the edge that led here; no part of the state */
};

static inline uint8_t
instance_of(int p)
{
	return (uint8_t)(p + 1);
}

void world_init(struct world *w, int processes, const uint8_t budgets[BUDGETS]);

/*
 * Numbers are only names: worlds that differ by them alone are one state. Puts the processes in an
 * order that depends on what they are, those that have not started last, and names everything anew;
 * old_index says which is where. Processes that look alike stay in their order, so some worlds are
 * kept twice. What holds OWNER makes no difference to the order.
 */
void world_sort(struct world *w, uint8_t ret_old_index[PROCESSES_MAX]);

/* How many words a world of so many processes takes. */
size_t world_words(int processes);
void world_pack(const struct world *w, uint64_t *ret_words);
void world_unpack(const uint64_t *words, int processes, struct world *ret_world);

static inline bool
process_lives(const struct process *p)
{
	return p->mode == MODE_RUNNING || p->mode == MODE_FROZEN;
}

/* The instance `who` is of a process that has crashed, failed or left. */
bool world_is_gone(const struct world *w, uint64_t who);

#endif
