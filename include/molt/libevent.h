/* SPDX-License-Identifier: MIT */
/*
 * libmolt for servers on libevent 2.1: a handle attached to an event base, and listeners that
 * follow handoffs by themselves.
 *
 *     struct molt_attachment *a = molt_attach(m, base, on_event, server);
 *     struct molt_listener *l = molt_listener_new(a, "http", "tcp://0.0.0.0:8080");
 *     molt_listener_on_accept(l, on_accept, server);
 *     molt_ready(m);
 *     event_base_dispatch(base);
 *
 * What <molt/molt.h> says of errors, threads and descriptors holds here. Calls that return a
 * pointer return NULL on failure, with errno set. Everything is touched from the base's own thread
 * only, so a base made with EVENT_BASE_FLAG_NOLOCK will do. All calls may be made from inside the
 * functions that the library calls, but for molt_free() and event_base_free() on what is still
 * attached.
 *
 * The order of the end: molt_detach(), then molt_free() and event_base_free(). A forked child that
 * goes on with the base says event_reinit(), molt_detach(), and molt_after_fork(), in this order.
 */
#ifndef MOLT_LIBEVENT_H
#define MOLT_LIBEVENT_H

#include <molt/molt.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct molt_attachment;
struct molt_listener;

/* --- A handle on an event base ---------------------------------------------------------------- */

/*
 * Why a base cannot be used, in a sentence that is valid for ever, or NULL if it can. Two kinds
 * cannot: one that libev made, whose functions replace libevent's in a process that links both; and
 * one that collects its changes for epoll (EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST, which the
 * environment variable EVENT_EPOLL_USE_CHANGELIST also turns on), because it forgets to delete what
 * another process keeps open, and would spin on it.
 */
const char *molt_base_refusal(const struct event_base *base);

/*
 * Hears of every event of the handle, after the attachment's listeners have acted on it. The event
 * is acted on, in the sense of molt_next_event(), when this function returns.
 */
typedef void molt_event_function(void *arg, struct molt *m, const struct molt_event *event);

/*
 * Attaches a handle that was started to `base`: from now on molt_dispatch(), molt_wait() and
 * molt_next_event() are the attachment's alone, and `function`, if it is not NULL, hears of the
 * events. After LEAVE and after FAILED the attachment has taken everything of its own out of the
 * base, before `function` hears of it, so that event_base_dispatch() returns as soon as the host
 * has nothing left in it.
 *
 * Returns what molt_detach() frees, or NULL with errno set: ENOTSUP (molt_base_refusal() says why),
 * EBUSY (the handle has not been started), EALREADY (it is attached to this base; to attach it to a
 * second one is an error that cannot be seen), EINVAL, ENOMEM.
 */
struct molt_attachment *molt_attach(struct molt *m, struct event_base *base,
				    molt_event_function *function, void *arg);

/* Takes the handle and all its listeners out of the base, and frees those too. NULL is allowed. */
void molt_detach(struct molt_attachment *a);

/* --- Listeners -------------------------------------------------------------------------------- */

/*
 * A listener called `name` at `address`, as molt_listen() understands them, with all sockets of a
 * group. It accepts while this process serves: it begins at SERVE and RESUME, stops at PAUSE, and
 * at RETIRE and LEAVE leaves the loop. What RETIRE finds in a queue that is this process's alone is
 * still accepted. A listener that had been given up before RESUME is bound again. When no
 * descriptor is left for a client it rests for a tenth of a second, and who waits in the queue
 * waits. Create it before molt_ready(), or while serving, and give it one of the two functions
 * below.
 *
 * Returns what molt_listener_free() or molt_detach() frees, or NULL with errno set: what
 * molt_listen() returns (molt_error() has the sentence), EINVAL, ENOMEM.
 */
struct molt_listener *molt_listener_new(struct molt_attachment *a, const char *name,
					const char *address);

/* Stops accepting and frees. The sockets stay in the handle, to be handed on. NULL is allowed. */
void molt_listener_free(struct molt_listener *l);

/*
 * Accepts, and gives each connection to `function`: `fd` is the function's from then on,
 * non-blocking and close-on-exec; `address` is valid during the call. At most 64 are accepted in
 * one turn of the loop. Errors: -EPROTOTYPE (a udp:// listener accepts nothing), -EALREADY (it has
 * a function).
 */
typedef void molt_accept_function(void *arg, int fd, const struct sockaddr *address,
				  socklen_t length);
int molt_listener_on_accept(struct molt_listener *l, molt_accept_function *function, void *arg);

/*
 * Calls `function` while `fd`, which is a get, is readable: for udp://, where it receives
 * datagrams, and for hosts that accept by themselves. It may leave something for the next turn. A
 * datagram socket has one reader at a time: after PAUSE the function is not called again before
 * RESUME, but for what is left in a socket that nobody else will read. Errors: -EALREADY (it has a
 * function).
 */
typedef void molt_readable_function(void *arg, int fd);
int molt_listener_on_readable(struct molt_listener *l, molt_readable_function *function, void *arg);

/*
 * 0, or the negative errno for which it does not accept although this process serves: -EMFILE,
 * -ENFILE, -ENOBUFS, -ENOMEM (no room for a client), -ENOTCONN (a socket could not be made to
 * listen: SERVE said which), or what molt_listen() said when it was bound again. It goes on trying.
 */
int molt_listener_error(const struct molt_listener *l);

#ifdef __cplusplus
}
#endif

#endif
