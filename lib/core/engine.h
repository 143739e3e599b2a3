/* SPDX-License-Identifier: MIT */
/*
 * The engine: carries out what the handoff decides. It owns every descriptor of a handle, the
 * clock, the event queue and the channels. Everything that a `struct molt` is stands here, because
 * the engine's files share it; nobody else includes this but molt.c.
 *
 *   engine.c            feeding inputs, ticks, molt__engine_dispatch()
 *   engine_act.c        answering the handoff's questions, carrying out its actions
 *   engine_channel.c    polling, sending and receiving
 *   engine_life.c       what is opened at the start and closed at the end
 *   engine_spawn.c      a successor that this process has started
 *   engine_time.c       deadlines, ticks, retries: one timer descriptor
 *   engine_event.c      the queue of events, and what it means that one has been acted on
 *   engine_tell.c       what the host is told, in words
 *   engine_names.c      the names of types and reasons, and of processes
 *   engine_up.c         the channel to the predecessor: HELLO to CONFIRM
 *   engine_down.c       the channel to the successor: OFFER to BYE
 *   engine_greet.c      the socket file: who connects, and what they want
 *   engine_listen.c     molt_listen(): inherited, from systemd, or bound
 *   engine_offer.c      molt_take(), molt_offer() and their like
 *   engine_hold.c       what those share: holding, dropping, entering service
 *   engine_listeners.c  listeners in the course of a handoff: inherited, retired, closed
 *   engine_status.c     status as JSON, and those who watch it
 */
#ifndef MOLT_CORE_ENGINE_H
#define MOLT_CORE_ENGINE_H

#include <molt/molt.h>

#include "bind.h"
#include "channel.h"
#include "handoff.h"
#include "inventory.h"
#include "listen_fds.h"
#include "rendezvous.h"
#include "spawn.h"
#include "wire.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	ENGINE_TEXT_MAX = 511,     /* a sentence */
	ENGINE_EVENTS_MAX = 16,    /* see engine_event.c for why this is enough */
	ENGINE_GREETINGS_MAX = 16, /* connections that have not said HELLO */
	ENGINE_WATCHERS_MAX = 16,
	ENGINE_UIDS_MAX = 16,
	ENGINE_ROOM_RESERVE = 32,
	ENGINE_OFFERS_UNACKNOWLEDGED_MAX = 4,
	ENGINE_PROGRESS_FACTOR = 10,
	ENGINE_INPUTS_MAX = 8,
	ENGINE_TURN_MAX = 64, /* descriptors, packets or connections handled in one go */
};

/* --- Events ----------------------------------------------------------------------------------- */

struct event_entry {
	char name[ENTRY_NAME_MAX + 1];
	int error;
};

struct molt_event {
	int type;
	int reason;
	int error;
	int fd;                      /* RETIRE */
	int slot;                    /* RETIRE: in the inventory */
	struct event_entry *entries; /* malloc'ed, freed when the event has been acted on */
	int entry_count;
	char text[ENGINE_TEXT_MAX + 1];
};

/* --- Time ------------------------------------------------------------------------------------- */

/* Milliseconds of CLOCK_MONOTONIC; 0 is "not armed". */
struct engine_time {
	int fd; /* timerfd */
	int64_t set_to;
	int64_t deadline[MOLT_DEADLINE_TICK + 1]; /* the host's lengths */
	int64_t agreed[MOLT_DEADLINE_TICK + 1];   /* the predecessor's, or -1 */
	enum handoff_deadline stage;              /* which of START to CONFIRM runs */
	int64_t stage_at;
	int64_t stage_limit; /* progress never extends it beyond this */
	int64_t drain_at;
	int64_t probation_at;
	int64_t retry_at;
	int64_t retry_after; /* 1, 2, 4 … */
	int64_t tick_at;
};

/* --- Peers ------------------------------------------------------------------------------------ */

/* What HELLO, or OFFER, said of the process at the other end. */
struct peer {
	uint64_t instance;
	uint64_t generation;
	int32_t pid;
	int32_t room;
	char label[WIRE_LABEL_MAX + 1];
};

struct greeting {
	struct channel *channel; /* NULL: free */
	int64_t since;
};

struct watcher {
	struct channel *channel; /* NULL: free */
	uint64_t seen;           /* the status's serial that it has been sent */
	bool once;               /* STATUS rather than WATCH: closed after one */
};

/* The channel to the predecessor. */
struct up {
	struct channel *channel;
	struct peer peer;
	uint32_t sequence;   /* of the last OFFER */
	uint32_t late;       /* entries received late */
	bool offer_complete; /* the inventory's last packet has come */
	struct remaining_process older[WIRE_PROCESSES_MAX]; /* what REMAINING said */
	size_t older_count;
};

/* The channel to the successor. */
struct down {
	struct channel *channel;
	struct peer peer;
	int64_t since;         /* when it was adopted */
	uint32_t sequence;     /* of the last OFFER sent */
	uint32_t acknowledged; /* of the last TAKEN */
	uint32_t late;         /* entries sent late */
	int sent;              /* descriptors in all, against its room */
	bool offer_complete;   /* the last packet of the inventory is on its way */
	bool committing;       /* SEND_COMMIT was said */
	bool late_complete;    /* the last late entry is on its way */
	bool commit_queued;    /* COMMIT itself is with the channel */
	bool commit_settled;   /* COMMIT_WRITTEN or COMMIT_FAILED has been fed */
	bool confirmed;        /* CONFIRM came, so all that it claimed is known */
};

/* --- What any thread may ask ------------------------------------------------------------------ */

struct requests {
	pthread_mutex_t mutex; /* over what follows, and nothing else */
	bool pause_waits;      /* PAUSE is out and the host holds the commit */
	bool commit;
	bool progress;
	bool remaining_changed;
	int64_t remaining; /* -1: never said */
};

/* --- The handle ------------------------------------------------------------------------------- */

struct unfinished { /* a fresh listener: its temporary name, or a datagram socket not bound yet */
	int slot;
	struct bind_pending pending;
};

struct molt {
	/* said by the host before the start */
	char label[WIRE_LABEL_MAX + 1];
	uint32_t compatibility;
	bool allow_downgrade;
	struct socket_owner owner;
	uid_t uids[ENGINE_UIDS_MAX];
	int uid_count;
	int room; /* -1: asked of the kernel */
	bool hold_commit;
	bool hold_load;
	char refusal[WIRE_TEXT_MAX + 1]; /* "": successors are welcome */
	molt_log_function *log;
	void *log_arg;

	/* sentences */
	char error[ENGINE_TEXT_MAX + 1];        /* molt_error() */
	char why[ENGINE_TEXT_MAX + 1];          /* why a handoff or start fails; "": not known */
	int why_error;                          /* its negative errno, or 0 */
	int why_reason;                         /* instead of the machine's, or 0 */
	char last_failure[ENGINE_TEXT_MAX + 1]; /* of a handoff, for status; "": none */

	bool abandoned; /* molt_after_fork(): refuse everything */
	bool ready_said;

	int epoll;
	int wake; /* eventfd of `requests` */
	struct engine_time time;
	struct requests requests;

	struct handoff handoff;
	bool feeding;
	struct handoff_input queued[ENGINE_INPUTS_MAX]; /* while another was carried out */
	int queued_count;
	struct rendezvous *rendezvous;
	int path_fd; /* the socket file's socket, or -1 */
	struct file_identity path_file;
	bool path_watched;

	struct inventory inventory;
	struct listen_fds *listen_fds;
	struct unfinished *unfinished;
	int unfinished_count;

	struct up up;
	struct down down;
	struct greeting greetings[ENGINE_GREETINGS_MAX];
	int candidate; /* the greeting that CANDIDATE is about, or -1 */
	struct peer candidate_peer;

	struct watcher watchers[ENGINE_WATCHERS_MAX];
	uint64_t status_serial; /* one more whenever what status shows has changed */
	int64_t remaining;      /* connections, -1: never said */

	struct spawned child; /* pid 0: none */

	struct molt_event events[ENGINE_EVENTS_MAX]; /* in order; one RETIRE a reason */
	int event_count;
	struct molt_event current; /* type 0: none */
};

/* --- engine.c --------------------------------------------------------------------------------- */

/* What an epoll event is about; `index` is a greeting's or watcher's place. */
enum engine_source {
	ENGINE_WAKE,
	ENGINE_TIMER,
	ENGINE_PATH,
	ENGINE_UP,
	ENGINE_DOWN,
	ENGINE_GREETING,
	ENGINE_WATCHER,
	ENGINE_CHILD
};
int molt__engine_watch(struct molt *m, int fd, enum engine_source source, int index);
void molt__engine_watch_for(struct molt *m, int fd, enum engine_source source, int index,
			    bool writing);
/* Before every close: epoll knows the open file, which others may keep open. */
void molt__engine_unwatch(struct molt *m, int fd);

/* Opens epoll, timer and eventfd, the lock file, LISTEN_FDS, and feeds HOST_START. */
int molt__engine_start(struct molt *m);

/* Closes everything of the library's; molt_free()'s work but for the memory of `m` itself. */
void molt__engine_close(struct molt *m);
/* The same in a forked child: only closes. */
void molt__engine_abandon(struct molt *m);

/* Never blocks. What is due is done: what the host has acted on, descriptors, requests, timers. */
void molt__engine_dispatch(struct molt *m);

/* Feeds one input, carries out the actions, and feeds their answers. */
void molt__engine_feed(struct molt *m, const struct handoff_input *in);
void molt__engine_feed_type(struct molt *m, enum handoff_input_type type);

/* What is to be looked at once a tick. */
void molt__engine_tick(struct molt *m);
/* Whether anything is. */
bool molt__engine_wants_tick(const struct molt *m);

/* Encodes and sends; polls for writing if it had to be queued. 0, or as molt__channel_send(). */
int molt__engine_send(struct molt *m, struct channel *c, const struct message *message,
		      const int *fds, size_t nfds);
/* A channel that can be written again, or should be tried. As molt__channel_flush(). */
int molt__engine_flush(struct molt *m, struct channel *c, enum engine_source source, int index);
/*
 * Receives and decodes. What is wrong with a packet is logged, and its descriptors are closed; then
 * it is ENGINE_NOTHING_USABLE, and the next can be read. Every packet's sender must be allowed.
 */
enum engine_received { ENGINE_NOTHING, ENGINE_MESSAGE, ENGINE_END, ENGINE_NOTHING_USABLE };
enum engine_received molt__engine_receive(struct molt *m, struct channel *c,
					  struct message *ret_message, struct incoming *ret_packet);

/* Gives up a start or handoff for a reason that the host is told: reason of enum molt_reason. */
void molt__engine_give_up(struct molt *m, int reason, int error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The sentence of a failed call. Returns `error`. */
int molt__engine_error(struct molt *m, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Why what is under way fails: kept until the event that tells it. */
void molt__engine_why(struct molt *m, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* `key` is a constant that the README lists. */
void molt__engine_log(struct molt *m, int severity, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Whether that uid may be our peer (law 7). */
bool molt__engine_uid_allowed(const struct molt *m, uid_t uid);
int molt__engine_room(const struct molt *m);
/* -1: any thread has never said. Tells the machine IDLE or BUSY. */
void molt__engine_wake(struct molt *m);
int molt__engine_spawn(struct molt *m, char *const argv[], char *const envp[]);
void molt__engine_child_ended(struct molt *m);

/* --- engine_act.c ----------------------------------------------------------------------------- */

struct handoff_input molt__engine_answer(struct molt *m, const struct handoff_action *a);
void molt__engine_carry_out(struct molt *m, const struct handoff_action *a);
/* Whoever serves has PATH, with a queue that shows this process's credentials. */
void molt__engine_secure_path(struct molt *m);
void molt__engine_close_path(struct molt *m);
/* A socket file that was bound anew takes the old one's place, here and in the inventory. */
int molt__engine_replace_path(struct molt *m, int fd, const struct file_identity *file);

/* --- engine_time.c ---------------------------------------------------------------------------- */

int64_t molt__time_now(void);
int molt__time_open(struct engine_time *t);
void molt__time_set_defaults(struct engine_time *t);
void molt__time_arm(struct molt *m, enum handoff_deadline deadline);
void molt__time_disarm(struct molt *m);
void molt__time_ask_again(struct molt *m);
/* The host, or the peer, is still working: the stage's deadline begins anew. */
void molt__time_progress(struct molt *m);
/* The successor is still loading: it is asked for later whether it owns. */
void molt__time_successor_loads(struct molt *m);
/* Feeds what is due, then sets the timer to the next. */
void molt__time_run(struct molt *m);
void molt__time_set(struct molt *m);
/* How long a deadline is, as enum molt_deadline. */
int64_t molt__time_length(const struct molt *m, enum molt_deadline deadline);

/* --- engine_event.c --------------------------------------------------------------------------- */

/* Queues an event; its text is written from `format`. */
struct molt_event *molt__event_queue(struct molt *m, int type, int reason, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The TELL and RETIRE actions. */
void molt__event_tell(struct molt *m, const struct handoff_action *a);
void molt__event_retire(struct molt *m, enum handoff_reason reason);
/* How many wait. */
int molt__event_count(const struct molt *m);
/* What was returned last has been acted on. */
void molt__event_settle(struct molt *m);
struct molt_event *molt__event_next(struct molt *m);
/* Takes the unread event of that type out of the queue. */
bool molt__event_take(struct molt *m, int type, struct molt_event *ret);
/* Whether such an event waits unread. */
bool molt__event_waits(const struct molt *m, int type);
/* A RESUME is about to be queued: what the handoff had to say and was not read yet is dropped. */
void molt__event_forget_handoff(struct molt *m);
/* Adds a name to what the event is about; best effort. */
void molt__event_add_entry(struct molt *m, struct molt_event *e, const char *name, int error);
void molt__event_clear_all(struct molt *m);

/* --- engine_names.c --------------------------------------------------------------------------- */

/* "pid 42 (v2)", "generation 3 (v3)"; without a label without the parentheses. */
struct process_name {
	char text[WIRE_LABEL_MAX + 40];
};
struct process_name molt__name_peer(const struct peer *peer);
struct process_name molt__name_own_generation(const struct molt *m);

/* --- engine_up.c ------------------------------------------------------------------------------ */

/* The answers to CONNECT: CONNECTED, UNANSWERED, DENIED. */
enum handoff_input_type molt__up_connect(struct molt *m);
void molt__up_readable(struct molt *m);
void molt__up_send_ready(struct molt *m);
void molt__up_send_confirm(struct molt *m);
void molt__up_send_progress(struct molt *m);
void molt__up_close(struct molt *m);

/* --- engine_down.c ---------------------------------------------------------------------------- */

/* The candidate becomes the successor, and its offer begins. */
void molt__down_adopt(struct molt *m);
void molt__down_readable(struct molt *m);
/* Reads until nothing is there, so that a dead successor is known to be dead. */
void molt__down_read_all(struct molt *m);
void molt__down_send_commit(struct molt *m);
void molt__down_send_abort(struct molt *m);
void molt__down_send_bye(struct molt *m);
void molt__down_send_remaining(struct molt *m);
void molt__down_send_progress(struct molt *m);
/* Offers, late offers and COMMIT: as far as acknowledgements and queue allow. */
void molt__down_continue(struct molt *m);
void molt__down_close(struct molt *m);

/* --- engine_greet.c --------------------------------------------------------------------------- */

void molt__greet_accept(struct molt *m);
void molt__greet_readable(struct molt *m, int index);
void molt__greet_expire(struct molt *m, int64_t now);
/* When the next of them expires; 0: none waits. */
int64_t molt__greet_next_expiry(const struct molt *m);
/* REFUSE_CANDIDATE. */
void molt__greet_refuse_candidate(struct molt *m, enum handoff_reason reason);
void molt__greet_close_all(struct molt *m);
/* Accepts on PATH exactly while this process is the owner. */
void molt__greet_follow_owner(struct molt *m);

/* --- engine_listeners.c ----------------------------------------------------------------------- */

/* The work of the public calls of the same name; they return what those return. */
int molt__listeners_listen(struct molt *m, const char *name, const char *address);
int molt__listeners_count(struct molt *m, const char *name);
int molt__listeners_fd(struct molt *m, const char *name, int index);
int molt__listeners_take(struct molt *m, const char *name);
int molt__listeners_take_address(struct molt *m, int type, const struct sockaddr *address,
				 socklen_t length);
int molt__listeners_offer(struct molt *m, const char *name, int fd);
int molt__listeners_withdraw(struct molt *m, const char *name);

/*
 * An OFFER's entry arrived, with its descriptor in e->fd, which is given in any case. -EPROTO: it
 * is not what it says. Asserts flags, checks the network namespace, drops systemd's copy.
 */
int molt__listeners_inherit(struct molt *m, struct entry *e);

/*
 * Entering SERVING: every listener that is the library's listens and has its path. What fails is
 * added to `event`, if there is one. Then what was not claimed is closed.
 */
void molt__listeners_activate(struct molt *m, struct molt_event *event);

/*
 * The next listener that RETIRE is due for is marked and put into `event`; false if there is none.
 */
bool molt__listeners_retire_next(struct molt *m, int reason, struct molt_event *event);
/* It was acted on: the library's is closed. */
void molt__listeners_retired(struct molt *m, const struct molt_event *event);

/* RESUME: the names that were given up go into `event`, and are forgotten. */
void molt__listeners_lost(struct molt *m, struct molt_event *event);

/* Stop on purpose: unix paths of the library's own listeners go. Under OWNER. */
void molt__listeners_unlink(struct molt *m);

/*
 * FAILED, or the end of the handle: temporary names are removed, and what is the library's is
 * closed. In LEFT the held ones stay until their RETIRE was acted on.
 */
void molt__listeners_close(struct molt *m);

/* Of engine_listen.c, engine_offer.c, engine_hold.c and engine_listeners.c among themselves. */

/* -EBUSY before STARTED, -ECANCELED after FAILED, with a sentence about `name`. */
int molt__listeners_check_started(struct molt *m, const char *name);
/* -EBUSY with a sentence: from COMMIT to the outcome nothing is put in or taken out. */
int molt__listeners_check_changeable(struct molt *m, const char *name);
/* As molt__inventory_hold(). */
int molt__listeners_hold(struct molt *m, const struct entry *e);
/* An entry whose host has closed the descriptor makes room for who has that number now. */
void molt__listeners_drop_stale(struct molt *m, int fd);
/* Closed, its temporary name removed, and no longer there. */
void molt__listeners_drop(struct molt *m, int slot);
/*
 * Listens, with this backlog, and has its path. The errors of bind.h; -EBADF: the host has closed
 * it.
 */
int molt__listeners_enter_service(struct molt *m, int slot, int backlog);
/* What is left to be done for it when it enters service, if anything. -ENOMEM. */
int molt__listeners_set_unfinished(struct molt *m, int slot, const struct bind_pending *pending);
struct unfinished *molt__listeners_find_unfinished(const struct molt *m, int slot);
/* Removes the temporary name, if it still has one. */
void molt__listeners_discard(struct molt *m, int slot);

/* --- engine_status.c -------------------------------------------------------------------------- */

/* What status shows has changed. */
void molt__status_changed(struct molt *m);
/* Gives a greeting's channel to a new watcher. -ENOSPC. */
int molt__status_add_watcher(struct molt *m, struct channel *channel, bool once);
void molt__status_watcher_readable(struct molt *m, int index);
/* Sends to who has not seen the present status. */
void molt__status_publish(struct molt *m);
void molt__status_close_all(struct molt *m);
int molt__status_describe(struct molt *m, char *line, size_t size);

/* --- molt.c ----------------------------------------------------------------------------------- */

/* 0; -EINVAL: there is no handle; -EOWNERDEAD: it refuses, because this is a forked child. */
int molt__usable(struct molt *m);
/* The same for the calls that any thread may make: leaves molt_error() alone. */
int molt__usable_anywhere(const struct molt *m);

#endif
