/* SPDX-License-Identifier: MIT */
/*
 * A real server, an actor called "old", and a hostile peer who besieges it. For white-box tests
 * with cmocka: a step that does not succeed fails the test.
 */
#ifndef MOLT_TEST_SIEGE_H
#define MOLT_TEST_SIEGE_H

#include "actor.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIEGE_KEYS_MAX = 16, SUITOR_IDS_MAX = WIRE_IDS_MAX };

/* The peer's instance. */
#define SUITOR_INSTANCE UINT64_C(0xbad0bad0bad0bad0)

struct siege_key {
	char name[16];
	int count;
};

struct siege {
	struct fds *before;
	char *directory;
	char path[256];
	struct actor old;
	struct actor new;
	struct fds *table; /* of the old one's descriptors */
	int port;
	int client; /* a connection that is kept */
	struct siege_key keys[SIEGE_KEYS_MAX];
};

/* cmocka's: *state is a struct siege. Afterwards the test's descriptors are as they were. */
int siege_set_up(void **state);
int siege_tear_down(void **state);
#define SIEGE_TEST(name) cmocka_unit_test_setup_teardown(name, siege_set_up, siege_tear_down)

/* The server has looked at everything that has happened so far. */
void siege_settle(struct siege *s);

/*
 * Since this was asked last for that key the server has logged lines of it, the last with those
 * words. `about` is for a test that fails.
 */
#define said(s, key, words) siege_check_said(s, key, words, "line " SIEGE_STRING(__LINE__))
#define SIEGE_STRING(x) SIEGE_STRING_OF(x)
#define SIEGE_STRING_OF(x) #x
void siege_check_said(struct siege *s, const char *key, const char *words, const char *about);

/* Clients are answered, a kept one and a new one. */
void siege_serves(struct siege *s);

/* What besieged it is gone: it serves, and has the descriptors that it had, no more, no less. */
void siege_unharmed(struct siege *s);

/* A proper successor takes over, and the old one leaves with its last connection. */
void siege_is_upgraded(struct siege *s);

/* --- The peer --------------------------------------------------------------------------------- */

/* Connected, and silent. */
int siege_visitor(const struct siege *s);

/* Says a packet of that type, without much in it. */
void siege_say_type(int fd, enum packet_type type);

/* The next packet is of that type; 0: it is the end. */
#define heard(fd, type) siege_check_heard(fd, type, __LINE__)
void siege_check_heard(int fd, int type, int line);

/* Refused with this word, and the connection closed: then ours is too. */
void siege_is_refused(int fd, enum refuse_code code);

/* A successor by its words, and what it was offered. */
struct suitor {
	int fd;
	uint64_t old;      /* the server's instance */
	uint32_t sequence; /* of the last OFFER */
	uint32_t ids[SUITOR_IDS_MAX];
	size_t count;
};

void suitor_hello(int fd, uint64_t instance, int room);

/* Has said HELLO; and has heard the offer, of one packet. */
struct suitor suitor_wooing(const struct siege *s);
struct suitor suitor_offered(const struct siege *s);

/* Hears one packet of the offer. Says whether it was the last. */
bool suitor_hears_offer(struct suitor *p);

void suitor_taken(const struct suitor *p, uint32_t sequence);
/* Both claim all that was offered. */
void suitor_ready(const struct suitor *p);
void suitor_confirm(const struct suitor *p);

#endif
