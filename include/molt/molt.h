/* SPDX-License-Identifier: MIT */
/*
 * libmolt: replace a running server by its next version while its clients notice nothing.
 *
 * A new process (the successor) finds the old one (the predecessor) through a socket file, inherits
 * its listening sockets and other descriptors over it, and takes over in one committed step. If
 * anything dies on the way, somebody always serves.
 *
 * The calls below stand in the order of a handle's life. What holds for all of them:
 *
 * Errors. A call that returns int returns 0 or a count or a descriptor, or a negative errno value;
 * a call that fails has changed nothing and left its outputs alone, and molt_error() says in a
 * sentence what failed, on what, and what to do. Three errors can come from every call on a handle
 * and are not repeated below: -EINVAL (an argument is NULL or out of range), -ENOMEM, and
 * -EOWNERDEAD (this is a forked child after molt_after_fork(): the handle refuses).
 *
 * Threads. One thread at a time per handle, but for the few calls marked "any thread": those only
 * queue a request and wake molt_fd(). Two handles in one process are independent of each other.
 *
 * Descriptors. "offer": you keep it; the library keeps the number and checks before every send that
 * it still means the same file. "give": it is no longer yours. "take": it is now yours. "get": you
 * may use it, do not close it.
 *
 * The library never prints, exits, forks on its own, starts a thread, installs a signal handler,
 * changes the environment or keeps a global. It never raises SIGPIPE. It never calls you, but for
 * the log function. Times are in milliseconds. Everything here is there since 0.1 unless it says
 * otherwise.
 */
#ifndef MOLT_MOLT_H
#define MOLT_MOLT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct molt;
struct molt_event;
struct molt_watch;

/* --- The library ------------------------------------------------------------------------------ */

/* The version of the library that is loaded, as "0.1.0". Valid for ever. */
const char *molt_version(void);

/* --- A handle: making one, and what it is told before it starts ------------------------------- */

/*
 * Makes a handle on the socket file `path`, which becomes absolute here; beside it stands the lock
 * file, `path` with ".lock" behind it. Nothing is opened yet. The directory must exist and only
 * those who may replace this server should be able to write to it. Paths longer than a sockaddr_un
 * are fine.
 *
 * Returns the handle, which the caller frees with molt_free(), or NULL with errno set: EINVAL (path
 * is NULL, empty, or names a directory), ENAMETOOLONG (over PATH_MAX), ENOENT (no such directory),
 * ENOMEM.
 */
struct molt *molt_new(const char *path);

/*
 * Ends a handle and closes everything that is the library's, the descriptors that molt_listen()
 * gave included. Offered descriptors stay yours. Freed in the middle of a handoff it looks to the
 * other side like this process's death, and the other side goes on. While this process serves and
 * nobody follows, call molt_drain() first if the socket file should go too. NULL is allowed.
 */
void molt_free(struct molt *m);

/*
 * The sentence of the last failed call on this handle; "" before the first one. Calls that any
 * thread may make leave it alone. Valid until the next call on the handle.
 */
const char *molt_error(const struct molt *m);

/*
 * Log lines go to `write`, one call a line, without a newline at the end: `severity` is one of
 * syslog(3)'s LOG_ERR to LOG_DEBUG, `key` a short constant name for the kind of line (listed in the
 * README), `line` the sentence. NULL, the default, turns logging off. The function must not call
 * libmolt.
 */
typedef void molt_log_function(void *arg, int severity, const char *key, const char *line);
int molt_set_log(struct molt *m, molt_log_function *write, void *arg);

/*
 * A word for this version ("v42", a commit), shown in status and log lines of both sides. At most
 * 63 bytes. Errors: -E2BIG (longer).
 */
int molt_set_label(struct molt *m, const char *label);

/*
 * The application's compatibility number: what it inherits and offers has this shape. A predecessor
 * refuses a successor whose number is lower than its own, so that an old image started by mistake
 * changes nothing, unless that successor said molt_allow_downgrade(). Default 0. Before
 * molt_connect(); afterwards -EBUSY.
 */
int molt_set_compatibility(struct molt *m, uint32_t number);
int molt_allow_downgrade(struct molt *m);

/*
 * For a server that starts with one identity and goes on with another (starts as root, drops to
 * nobody): the socket file gets `uid`, `gid` and `mode` (0600 unless set), the lock file the same
 * owner and mode 0600, or 0660 if a gid was named, because whoever may write it can seize the
 * service. (uid_t)-1 and (gid_t)-1 leave that part alone. Processes of `uid` are allowed as peers
 * from then on. The directory should be writable by the uid that the server ends with; otherwise
 * the socket file is left behind when the server stops, with a log line, and the next start
 * replaces it. Before molt_connect(); afterwards -EBUSY.
 */
int molt_set_owner(struct molt *m, uid_t uid, gid_t gid, mode_t mode);

/*
 * Allows processes of one more uid to be this one's predecessor or successor. Without it: our
 * effective uid, root, and the uid of molt_set_owner(). At most 16. Errors: -ENOSPC (the list is
 * full).
 */
int molt_allow_uid(struct molt *m, uid_t uid);

/*
 * How many descriptors this process is ready to receive. Default: the soft RLIMIT_NOFILE less the
 * highest open descriptor less a reserve of 32, at the moment it is asked. A predecessor with more
 * to hand over refuses, and says both numbers.
 */
int molt_set_room(struct molt *m, int descriptors);

/*
 * Says that this server's state cannot be taken up again once another process has owned it. When a
 * successor has confirmed, this process gives up its listeners for good, right after DRAIN, and
 * RESUME with MOLT_REASON_CHANGED never comes. Before the handoff begins; during one -EBUSY.
 */
int molt_set_exclusive(struct molt *m, int on);

/*
 * How long things may take; the README says what follows when they take longer. 0 is a time like
 * any other: no wait. COMMIT, LOAD and CONFIRM of the predecessor hold for both sides; its CONFIRM
 * begins with the commit, so who lets a successor load for longer raises both, or has it say
 * molt_progress(). Errors: -EINVAL (no such deadline, or a negative time).
 */
enum molt_deadline {
	MOLT_DEADLINE_HELLO = 1, /* a connection to the socket file says who it is: 1 s */
	MOLT_DEADLINE_START = 2, /* a start ends in its predecessor's offer, or as the first: 5 s */
	MOLT_DEADLINE_READY = 3, /* predecessor: from the offer until a successor is ready: 60 s */
	MOLT_DEADLINE_COMMIT =
		4,              /* both: from ready until the commit is written or has come: 5 s */
	MOLT_DEADLINE_LOAD = 5, /* successor: from the commit until its host has late state: 5 s */
	MOLT_DEADLINE_CONFIRM = 6, /* both: to own and hear of it; then the predecessor asks: 5 s */
	MOLT_DEADLINE_DRAIN = 7,   /* replaced, or stopping: until what is left is cut: 300 s */
	MOLT_DEADLINE_PROBATION = 8, /* replaced: stays at least so long, to take over again: 0 */
	MOLT_DEADLINE_TICK = 9       /* how often a handoff looks at the record: 1 s, at least 1 */
};
int molt_set_deadline(struct molt *m, int deadline, int64_t milliseconds);

/* --- Starting --------------------------------------------------------------------------------- */

/*
 * Starts: finds the predecessor, or becomes the first. Returns at once; the event STARTED or FAILED
 * follows. LISTEN_FDS of systemd (sd_listen_fds(3)) is read here, if LISTEN_PID is this process.
 * Call it before dropping privileges. Errors: -EALREADY (called before), -ENOENT or -EACCES or
 * -EROFS (the lock file cannot be opened), -EMFILE, -ENFILE.
 */
int molt_connect(struct molt *m);

/*
 * molt_connect(), and waits for its end. Returns 0 after STARTED, which is not queued then. After
 * FAILED, which is not queued either: -ECONNREFUSED (the predecessor refused; molt_error() repeats
 * why), -EACCES (the socket file may not be used, or the peer's uid is not allowed), -ETIMEDOUT (no
 * answer within the start deadline), -EPROTO (not a libmolt peer, or lock file and peer do not
 * belong together), or what molt_connect() returns. A handle that failed is of no further use:
 * molt_free() it and try with a new one, at once if you like.
 */
int molt_start(struct molt *m);

/* --- What is handed over: named descriptors --------------------------------------------------- */

/*
 * The listening socket called `name` at `address`: inherited, or received from systemd, or freshly
 * bound. The descriptor is a get: the library's, non-blocking and close-on-exec, to be accepted
 * from between SERVE or RESUME and PAUSE, and the library closes it. It is bound and not listening
 * until this process serves, so a start that fails has changed nothing. Called again with the same
 * arguments it returns the same descriptor.
 *
 * Addresses:
 *   tcp://127.0.0.1:8080   tcp://[::1]:8080   tcp://0.0.0.0:0
 *   udp://127.0.0.1:5353   unix:///run/app.sock   unix:@abstract
 * A port of 0 takes any inherited one, or one from the kernel. getsockname(2) tells the port; of a
 * unix socket it may tell a name that it had for a moment. Options follow as a query,
 * tcp://[::]:80?backlog=512&v6only=1&sockets=4 :
 *   backlog=N    the accept queue's length, 1 to 65535; without it SOMAXCONN. Applied to
 *                inherited ones
 *   v6only=0|1   IPV6_V6ONLY of a fresh socket; a difference in an inherited one is only reported
 *   sockets=N    1 to 64; from 2 on an SO_REUSEPORT group. molt_listener_fd() has the others.
 *                What was inherited beyond N is kept and must be accepted from as well
 *   mode=OCTAL   the permissions of a fresh unix socket file
 * An inherited socket is used if its name and its recorded address are the ones asked for; one of
 * the same name and another address counts as not claimed, and the new address is bound.
 *
 * In a process that serves already a fresh socket listens at once. Call it between molt_start() and
 * molt_ready(), or while serving. Errors: -EINVAL (address or option is malformed), -EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES and the others of bind(2), -EEXIST (the name is in use for another
 * address or by an offer), -EBUSY (between commit and outcome, or not started), -ECANCELED (this
 * start has failed), -EMFILE.
 */
int molt_listen(struct molt *m, const char *name, const char *address);

/* How many sockets the listener called `name` has; 0 if there is none, or none after RETIRE. */
int molt_listener_count(struct molt *m, const char *name);

/* A get of member `index` (0 is what molt_listen() returned). Errors: -ENOENT. */
int molt_listener_fd(struct molt *m, const char *name, int index);

/*
 * Takes the inherited descriptor called `name` (one from systemd if the predecessor had none; of a
 * group, one member a call): from now on it is yours, and claimed. Offer it again to hand it on in
 * your turn. Errors: -ENOENT (none, or no more), -EBUSY (not started), -ECANCELED (this start has
 * failed).
 */
int molt_take(struct molt *m, const char *name);

/*
 * The same by socket type (SOCK_STREAM, SOCK_DGRAM) and local address, for servers that have no
 * names. A port of 0 matches any. Unix addresses match by their absolute path as it was offered.
 */
int molt_take_address(struct molt *m, int type, const struct sockaddr *address, socklen_t length);

/*
 * Offers a descriptor that stays yours, under `name` (1 to 63 bytes of A-Z a-z 0-9 . _ -): a
 * listener that you bound, a sealed memfd with state, anything SCM_RIGHTS carries. Offering a
 * second one under one name makes a group. A listening unix socket hands on the duty to unlink its
 * file. Withdraw it before you close it; if you forget, the library sees that the number means
 * another file and leaves it out, with a log line. Offers after the successor got its inventory
 * reach it with the commit. Errors: -EBADF, -EEXIST (this descriptor is offered already), -ENOSPC
 * (1024 entries), -EBUSY (between commit and outcome, when it is too late: try again after DRAIN or
 * RESUME), -EINVAL (epoll and io_uring descriptors and non-names).
 */
int molt_offer(struct molt *m, const char *name, int fd);

/* Withdraws all offers called `name`. Errors: -ENOENT, -EBUSY (as molt_offer()). */
int molt_withdraw(struct molt *m, const char *name);

/*
 * Names of what was inherited, claimed or not, from 0 to molt_inherited_count() less 1, in no
 * particular order; a group counts once a member. Valid until the next call that changes the
 * inventory. Late entries are there from LOAD on. NULL beyond the end.
 */
int molt_inherited_count(struct molt *m);
const char *molt_inherited_name(struct molt *m, int index);

/* --- Running: any event loop ------------------------------------------------------------------ */

/*
 * The one descriptor to poll for reading, timers included, from molt_connect() to molt_free(). It
 * is a get, and never changes. Errors: -EBUSY (not connected yet).
 */
int molt_fd(struct molt *m);

/*
 * Does what is due, never blocks. Returns how many events wait for molt_next_event(), the RETIREs
 * of one reason counted as one. Calling it when nothing is due is harmless. Errors: -EBUSY (not
 * connected yet).
 */
int molt_dispatch(struct molt *m);

/*
 * For a host that cannot poll a foreign descriptor: waits up to `milliseconds` (-1: for ever) until
 * an event waits, dispatching meanwhile. Returns what molt_dispatch() does, 0 if none came. A
 * signal ends the wait early (-EINTR). Errors: -EBUSY (not connected yet).
 */
int molt_wait(struct molt *m, int milliseconds);

/*
 * Says that this process has loaded everything it can before it serves: asks the predecessor for
 * the commit, or starts to serve if this is the first. Returns at once; SERVE or FAILED follows.
 * Errors: -EBUSY (not started), -EALREADY (said before), -ECANCELED (this start has failed).
 */
int molt_ready(struct molt *m);

/*
 * The next event, or NULL. It belongs to the library and is valid until the next molt_next_event(),
 * molt_dispatch() or molt_wait(), which also tells the library that this event has been acted on.
 */
struct molt_event *molt_next_event(struct molt *m);

enum molt_event_type {
	/*
	 * To a starting process. The inventory is there: listen, take, load, and say molt_ready().
	 */
	MOLT_STARTED = 1,
	/*
	 * To the new owner: start accepting. Reason: FIRST, COMMITTED or PREDECESSOR_DIED (then
	 * late state is absent, and a stateful host recovers as after a crash). The entries are the
	 * listeners that could not be made to listen, each with its error.
	 */
	MOLT_SERVE = 2,
	/* To a successor: do not serve; another does, or may. molt_event_text() says why. */
	MOLT_FAILED = 3,
	/*
	 * To a successor: the commit is there, and the late entries with it, before it owns
	 * anything. It goes on when this event has been acted on, or at molt_loaded() if
	 * molt_hold_load() was said.
	 */
	MOLT_LOAD = 4,
	/*
	 * To the predecessor: stop accepting and stop reading datagrams. The commit is sent when
	 * this event has been acted on, or at molt_commit() if molt_hold_commit() was said.
	 */
	MOLT_PAUSE = 5,
	/*
	 * To the predecessor: the successor serves. Finish the connections that are left, and
	 * withdraw what was offered for this handoff alone.
	 */
	MOLT_DRAIN = 6,
	/*
	 * To the predecessor: it is the owner again, accept. Reason: UNTOUCHED (nobody has owned
	 * since), or CHANGED. The entries are listeners that this process had given up:
	 * molt_listen() them again.
	 */
	MOLT_RESUME = 7,
	/*
	 * To the predecessor: one listener, molt_event_fd(). Take it out of your loop (epoll:
	 * delete it, because others keep the socket open and closing alone leaves it in). Unless
	 * the reason is LEAVING, accept until EAGAIN and say molt_set_remaining(). Close it if you
	 * offered it; the library closes its own when this event has been acted on. Reason:
	 * UNCLAIMED (the successor did not want it), RENOUNCED (this process stops and nobody
	 * follows), or LEAVING (what waits in its queue is the successor's, and would be lost
	 * here).
	 */
	MOLT_RETIRE = 8,
	/*
	 * To who called molt_spawn(): the child has ended before it served. The text says how.
	 */
	MOLT_SPAWN_FAILED = 9,
	/*
	 * To the predecessor: go. Reason: DONE (nothing is left), or DEADLINE (cut what is left).
	 */
	MOLT_LEAVE = 10
};

enum molt_reason {
	MOLT_REASON_NONE = 0,
	MOLT_REASON_FIRST = 1,
	MOLT_REASON_COMMITTED = 2,
	MOLT_REASON_PREDECESSOR_DIED = 3,
	MOLT_REASON_UNTOUCHED = 4,
	MOLT_REASON_CHANGED = 5,
	MOLT_REASON_UNCLAIMED = 6,
	MOLT_REASON_RENOUNCED = 7,
	MOLT_REASON_LEAVING = 8,
	MOLT_REASON_DONE = 9,
	MOLT_REASON_DEADLINE = 10,
	MOLT_REASON_REFUSED = 11,  /* FAILED: the predecessor refused; the text repeats why */
	MOLT_REASON_DENIED = 12,   /* FAILED: permissions, or the peer's uid */
	MOLT_REASON_TIMEOUT = 13,  /* FAILED: a deadline passed; the text says which, and on whom */
	MOLT_REASON_ABORTED = 14,  /* FAILED: the predecessor took its offer back */
	MOLT_REASON_DEPOSED = 15,  /* FAILED: the record names somebody else */
	MOLT_REASON_GIVEN_UP = 16, /* FAILED: this process said molt_cancel() or molt_drain() */
	MOLT_REASON_PROTOCOL = 17, /* FAILED: the peer or the lock file is not what it should be */
	MOLT_REASON_SYSTEM = 18 /* FAILED: a system call failed; molt_event_error() is its errno */
};

int molt_event_type(const struct molt_event *event);
int molt_event_reason(const struct molt_event *event);

/*
 * The same as words: "SERVE", "committed". For log lines. Valid for ever; "?" for a number unknown.
 */
const char *molt_event_type_name(int type);
const char *molt_reason_name(int reason);

/* What happened, in a sentence. Never NULL. */
const char *molt_event_text(const struct molt_event *event);

/* A negative errno for FAILED, otherwise 0. */
int molt_event_error(const struct molt_event *event);

/* RETIRE: the descriptor. Others: -1. */
int molt_event_fd(const struct molt_event *event);

/* The entries that the event is about: how many, and name and negative errno (or 0) of each. */
int molt_event_entry_count(const struct molt_event *event);
const char *molt_event_entry_name(const struct molt_event *event, int index);
int molt_event_entry_error(const struct molt_event *event, int index);

/* --- During a handoff ------------------------------------------------------------------------- */

/*
 * For a predecessor that cannot be done with PAUSE before its next call on this handle (threads):
 * from now on the commit waits for molt_commit(), said after PAUSE has been returned, when all is
 * quiet and the late entries are offered. molt_commit(): any thread. Errors: -EBUSY (hold: PAUSE is
 * out already); -EPROTO (commit: no PAUSE waits for it).
 */
int molt_hold_commit(struct molt *m);
int molt_commit(struct molt *m);

/*
 * For a successor that cannot be done with LOAD before its next call on this handle: from now on
 * owning waits for molt_loaded(), said after LOAD has been returned, when the late entries are
 * read. Errors: -EBUSY (hold: LOAD is out already); -EPROTO (loaded: no LOAD waits for it).
 */
int molt_hold_load(struct molt *m);
int molt_loaded(struct molt *m);

/*
 * "Still working": starts the ready, commit or load deadline anew, on both sides, up to ten times
 * its length in all. Any thread. Harmless at any other time.
 */
int molt_progress(struct molt *m);

/*
 * Gives up the handoff under way. A predecessor serves on (RESUME follows if it had been told to
 * pause), its successor FAILs. A successor, before it owns, FAILs with MOLT_REASON_GIVEN_UP and the
 * predecessor goes on. Errors: -ENOENT (no handoff is under way), -EALREADY (too late: the commit
 * is written).
 */
int molt_cancel(struct molt *m);

/*
 * Refuses successors from now on, each with the sentence `why` (a migration is running, say); NULL
 * accepts them again. At most 255 bytes (-E2BIG). A handoff that is under way goes on.
 */
int molt_refuse(struct molt *m, const char *why);

/*
 * How many connections this process still has. While draining, LEAVE comes at 0. A host that has
 * never called it is asked to leave at the drain deadline only, because the library cannot know.
 * Any thread.
 */
int molt_set_remaining(struct molt *m, int64_t connections);

/*
 * Stops on purpose (SIGTERM). Without a successor the socket file goes, RETIRE comes for every
 * listener, and LEAVE when nothing remains, at the latest at the drain deadline. With a successor
 * under way the service is handed over first. A start that follows a predecessor, and does not
 * serve yet, fails. A second call gives up the handoff and stops. Errors: -EALREADY (stopping
 * already, and nothing to hurry), -EBUSY (not connected yet).
 */
int molt_drain(struct molt *m);

/* --- Starting a successor --------------------------------------------------------------------- */

/*
 * Starts a process as the successor: argv[0] by its path now (so a new binary at that path is
 * found; without a slash by PATH), `envp` or this process's environment if NULL, less what systemd
 * meant for this process alone (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, NOTIFY_SOCKET), default
 * signals, empty mask, standard descriptors only. Waits until exec has happened. Watches the child
 * within molt_fd() and reaps no other. Returns its pid; SPAWN_FAILED follows if it ends before it
 * serves. Errors: -ENOENT, -EACCES, -ENOEXEC and others of execve(2) (argv[0] cannot be run),
 * -EAGAIN, -EPERM (this process does not serve), -EBUSY (one that was spawned has not come to serve
 * yet).
 */
pid_t molt_spawn(struct molt *m, char *const argv[], char *const envp[]);

/* --- Questions -------------------------------------------------------------------------------- */

/*
 * 1 for the first process, one more for each successor that became owner; known from STARTED on, 0
 * before.
 */
int64_t molt_generation(const struct molt *m);

/*
 * Where this process is: "starting", "warming", "serving", "draining" … (listed in the README). For
 * ever.
 */
const char *molt_state_name(const struct molt *m);

/* 1 if this process holds the service now, or 0. */
int molt_is_owner(const struct molt *m);

/*
 * 1 if the listeners and unix paths of this process are, or may be, another's now: the host's own
 * clean-up must not unlink(), shutdown() or listen(fd, 0) them. 0: they are still this one's alone.
 */
int molt_retired(const struct molt *m);

/*
 * One line for the host's own status page. Writes at most `size` bytes with the final NUL and
 * returns the length that it would have had, as snprintf(3).
 */
int molt_describe(struct molt *m, char *line, size_t size);

/*
 * To be called first in every forked child that neither execs nor goes on as this server in its
 * parent's place (a worker, a background saver). Closes what is the library's own (only closes), so
 * that the child does not keep the parent's locks; what molt_listen() gave stays open for the child
 * to accept from. Afterwards the handle refuses everything but molt_free(). A handle needs nothing
 * to survive a fork whose parent leaves (daemon(3)). The README has the order of a prefork server.
 */
int molt_after_fork(struct molt *m);

/* --- From outside ----------------------------------------------------------------------------- */

/*
 * Asks the process that serves on the socket file `path` for its status, as JSON (keys in the
 * README). Returns a handle on the connection, or NULL with errno set: ENOENT or ECONNREFUSED
 * (nobody serves), EAGAIN (its queue is full), EACCES. Needs a uid that the server allows.
 */
struct molt_watch *molt_watch_new(const char *path);
void molt_watch_free(struct molt_watch *w);

/* Becomes readable when molt_watch_next() has something to say. A get. */
int molt_watch_fd(const struct molt_watch *w);

/*
 * The next status: the first one at once, others as it changes, until that process has left: from
 * "draining" on, who serves is to be asked with a new watch. Waits up to `milliseconds`. Writes
 * at most `size` bytes with the final NUL and returns the length of the whole. Errors: -ETIMEDOUT,
 * -EPIPE (that process is gone: look for the next owner with a new watch), -ENOSPC (size is too
 * small; the status is kept for another try), -EPROTO, -EACCES (refused).
 */
int molt_watch_next(struct molt_watch *w, int milliseconds, char *json, size_t size);

#ifdef __cplusplus
}
#endif

#endif
