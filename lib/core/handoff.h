/* SPDX-License-Identifier: MIT */
/*
 * The handoff: one process's part in it, as a state machine without a system call, a clock or an
 * allocation. Inputs are what happened, actions are what is to be done, in order. The engine
 * carries them out; a test explores every state that a group of such machines can reach.
 *
 * One machine lives as long as its process's handle: first a successor (towards `up`, its
 * predecessor), later a predecessor (towards `down`, its successor).
 *
 * Some actions are questions (handoff_action_asks): the next input after them must be their answer,
 * and nothing is fed in between.
 */
#ifndef MOLT_CORE_HANDOFF_H
#define MOLT_CORE_HANDOFF_H

#include "record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum handoff_state {
	HANDOFF_NEW,
	/* successor */
	HANDOFF_START,
	HANDOFF_FIRST,
	HANDOFF_CONN,
	HANDOFF_WARM,
	HANDOFF_READY,
	HANDOFF_LOAD,
	HANDOFF_CLAIM,
	HANDOFF_FAILED,
	/* owner, then predecessor */
	HANDOFF_SERVING,
	HANDOFF_OFFERED, /* serving, with a successor that has the offer and is not ready yet */
	HANDOFF_PAUSED,
	HANDOFF_YIELDED,
	HANDOFF_DRAIN,
	HANDOFF_RENOUNCED,
	HANDOFF_LEFT,
	HANDOFF_STATES
};

/*
 * Of START, READY, COMMIT, LOAD and CONFIRM at most one runs at a time; arming one ends the other.
 */
enum handoff_deadline {
	HANDOFF_DEADLINE_START,
	HANDOFF_DEADLINE_READY,
	HANDOFF_DEADLINE_COMMIT,
	HANDOFF_DEADLINE_LOAD,
	HANDOFF_DEADLINE_CONFIRM,
	HANDOFF_DEADLINE_DRAIN,
	HANDOFF_DEADLINE_PROBATION,
	HANDOFF_DEADLINES
};

enum handoff_event {
	HANDOFF_EVENT_STARTED,
	HANDOFF_EVENT_SERVE,
	HANDOFF_EVENT_FAILED,
	HANDOFF_EVENT_LOAD,
	HANDOFF_EVENT_PAUSE,
	HANDOFF_EVENT_DRAIN,
	HANDOFF_EVENT_RESUME,
	HANDOFF_EVENT_LEAVE
};

enum handoff_reason {
	HANDOFF_REASON_NONE,
	HANDOFF_REASON_FIRST,
	HANDOFF_REASON_COMMITTED,
	HANDOFF_REASON_PREDECESSOR_DIED,
	HANDOFF_REASON_UNTOUCHED,
	HANDOFF_REASON_CHANGED,
	HANDOFF_REASON_UNCLAIMED,
	HANDOFF_REASON_RENOUNCED,
	HANDOFF_REASON_LEAVING,
	HANDOFF_REASON_DONE,
	HANDOFF_REASON_DEADLINE,
	HANDOFF_REASON_REFUSED,
	HANDOFF_REASON_DENIED,
	HANDOFF_REASON_TIMEOUT,
	HANDOFF_REASON_ABORTED,
	HANDOFF_REASON_DEPOSED,
	HANDOFF_REASON_GIVEN_UP,
	HANDOFF_REASON_PROTOCOL,
	HANDOFF_REASON_SYSTEM
};

enum handoff_input_type {
	/* the host */
	HANDOFF_HOST_START,
	HANDOFF_HOST_READY,
	HANDOFF_HOST_LOADED,   /* LOAD has been acted on */
	HANDOFF_HOST_PAUSED,   /* PAUSE has, and RESUME was not told since */
	HANDOFF_HOST_DRAINING, /* DRAIN has, and RESUME was not told since */
	HANDOFF_HOST_RETIRED,  /* the last RETIRE of a renunciation has been acted on */
	HANDOFF_HOST_IDLE,     /* no connection is left */
	HANDOFF_HOST_BUSY,     /* some are, or may be (the state to begin with) */
	HANDOFF_HOST_CANCEL,
	HANDOFF_HOST_STOP,
	/* answers */
	HANDOFF_LIFE_TAKEN,
	HANDOFF_LIFE_HELD,
	HANDOFF_LIFE_FAILED,
	HANDOFF_CONNECTED,  /* and HELLO is on its way */
	HANDOFF_UNANSWERED, /* nobody answers on PATH, for now */
	HANDOFF_DENIED,     /* PATH may not be used, or its owner is not allowed */
	HANDOFF_BOUND,
	HANDOFF_BIND_FAILED, /* reason: PROTOCOL (the lock file was replaced) or SYSTEM */
	HANDOFF_LOCKED, /* record: what stands there under the lock; all zero if nothing valid */
	HANDOFF_BUSY,
	HANDOFF_WRITTEN,
	HANDOFF_WRITE_FAILED,
	/* from the predecessor */
	HANDOFF_OFFER,     /* peer, generation: the whole of it, checked and acknowledged */
	HANDOFF_BAD_OFFER, /* its life lock or its descriptors are not what they should be */
	HANDOFF_REFUSE,
	HANDOFF_COMMIT,
	HANDOFF_ABORT,
	HANDOFF_UP_END, /* end of file, everything before it has been fed */
	/* from the successor */
	HANDOFF_CANDIDATE, /* peer: may be taken; the present one's channel was read */
	HANDOFF_PEER_READY,
	HANDOFF_COMMIT_WRITTEN, /* all of it is in the kernel's queue */
	HANDOFF_COMMIT_FAILED,  /* it never will be */
	HANDOFF_CONFIRM,
	HANDOFF_DOWN_END,
	/* time */
	HANDOFF_RETRY, /* the wait that ASK_AGAIN asked for is over */
	HANDOFF_TICK, /* record: a hint, read without the lock, valid (an invalid one is not fed) */
	HANDOFF_DEADLINE /* deadline */
};

struct handoff_input {
	enum handoff_input_type type;
	enum handoff_deadline deadline;
	enum handoff_reason reason;
	uint64_t peer;
	uint64_t generation;
	struct record record;
};

enum handoff_action_type {
	/* questions */
	HANDOFF_TAKE_LIFE,    /* LIFE_TAKEN, LIFE_HELD, LIFE_FAILED */
	HANDOFF_CONNECT,      /* CONNECTED, UNANSWERED, DENIED */
	HANDOFF_BIND,         /* BOUND, BIND_FAILED */
	HANDOFF_LOCK_OWNER,   /* LOCKED, BUSY */
	HANDOFF_WRITE_RECORD, /* record: WRITTEN, WRITE_FAILED */
	/* locks and files */
	HANDOFF_UNLOCK_OWNER,
	HANDOFF_LISTEN,      /* make PATH ours, listen on it and on every listener */
	HANDOFF_UNLINK_PATH, /* if it is still ours */
	HANDOFF_CLOSE_PATH,  /* the copy of the socket file's socket */
	HANDOFF_CLOSE_LIFE,
	HANDOFF_CLOSE_ALL, /* channels, copies, PATH, LIFE, OWNER; not what RETIRE told of */
	HANDOFF_RETIRE,    /* reason: UNCLAIMED, RENOUNCED, LEAVING: listener by listener */
	/* channels */
	HANDOFF_SEND_READY,
	HANDOFF_SEND_CONFIRM,
	HANDOFF_ADOPT,            /* the candidate becomes `down`; send it the offer */
	HANDOFF_REFUSE_CANDIDATE, /* reason: NONE (a handoff is under way) or SYSTEM */
	HANDOFF_SEND_COMMIT,      /* with late state; COMMIT_WRITTEN or _FAILED follows, in time */
	HANDOFF_SEND_ABORT,
	HANDOFF_SEND_BYE,
	HANDOFF_CLOSE_UP,
	HANDOFF_CLOSE_DOWN,
	/* time */
	HANDOFF_ASK_AGAIN, /* RETRY after 1, 2, 4 … ms, then each tick; from 1 ms at every ARM */
	HANDOFF_ARM,       /* deadline */
	HANDOFF_DISARM,    /* every deadline */
	/* the host */
	HANDOFF_TELL /* event, reason */
};

struct handoff_action {
	enum handoff_action_type type;
	enum handoff_deadline deadline;
	enum handoff_event event;
	enum handoff_reason reason;
	struct record record;
};

#define HANDOFF_ACTIONS_MAX 12

/* Plain data without padding that matters: a test copies, compares and hashes it. */
struct handoff {
	uint64_t me;
	uint64_t up;         /* predecessor's instance, 0 before its offer */
	uint64_t down;       /* successor's instance, 0 without one */
	uint64_t generation; /* this process's, 0 before it is known */
	uint64_t highest;    /* the highest that has ever owned, as far as known here */
	uint8_t state;       /* enum handoff_state */
	uint8_t writing;     /* what the write that is under way is for */
	bool exclusive;      /* no RESUME once another has owned */
	bool has_life;       /* taken here, by a first generation */
	bool up_ended;       /* its end of file was read */
	bool down_ended;
	bool late;     /* the commit, and the late state with it, has come */
	bool asking;   /* for OWNER, as a predecessor */
	bool stopping; /* the host said stop */
	bool told;     /* the host has acted on DRAIN, or on the last RETIRE */
	bool idle;     /* no connection is left */
	bool cut;      /* the drain deadline has passed */
	bool probation_over;
};

/* A machine for the instance `me`, which is random, not 0, and never used again. */
void molt__handoff_init(struct handoff *h, uint64_t me);

/*
 * Feeds one input and writes the actions that follow to `ret_actions`, which has room for
 * HANDOFF_ACTIONS_MAX. Returns their number. An input that means nothing in the present state
 * changes nothing.
 */
size_t molt__handoff_step(struct handoff *h, const struct handoff_input *in,
			  struct handoff_action *ret_actions);

/* Whether the action is a question, answered by the next input. */
bool molt__handoff_action_asks(enum handoff_action_type type);

/* Whether this process serves, or is about to pause: it accepts on PATH. */
bool molt__handoff_is_owner(const struct handoff *h);

/* Whether the record is to be read at each tick. */
bool molt__handoff_wants_tick(const struct handoff *h);

/* The state's name, as status and log lines show it. */
const char *molt__handoff_state_name(enum handoff_state state);

#endif
