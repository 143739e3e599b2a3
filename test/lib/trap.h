/* SPDX-License-Identifier: MIT */
/*
 * A hostile predecessor: this process holds the locks and the socket file, and an actor called
 * "prey" starts there. For white-box tests with cmocka: a step that does not succeed fails the
 * test.
 */
#ifndef MOLT_TEST_TRAP_H
#define MOLT_TEST_TRAP_H

#include "actor.h"
#include "rendezvous.h"
#include "wire.h"

#include <stddef.h>
#include <stdint.h>

enum { TRAP_ENTRIES_MAX = 8 };

/* The instance of this process. */
#define TRAP_INSTANCE UINT64_C(0xbad0bad0bad0bad0)

struct trap {
	struct fds *before;
	char *directory;
	char path[256];
	struct rendezvous *rendezvous;
	int path_fd;
	struct file_identity path_file;
	int listener; /* "http" */
	int port;
	struct actor prey;
	struct fds *table; /* the prey's descriptors before it starts */
	int packets;       /* log lines of that key that it has been asked about */
	int fd;            /* to the prey, or -1 */
	struct hello hello;
};

/* cmocka's: *state is a struct trap. Afterwards the test's descriptors are as they were. */
int trap_set_up(void **state);
int trap_tear_down(void **state);
#define TRAP_TEST(name) cmocka_unit_test_setup_teardown(name, trap_set_up, trap_tear_down)

/* The prey starts and has said HELLO, and the record names it as the heir. */
void trap_catch(struct trap *t);

/* What is offered in one packet. */
struct trap_offer {
	struct offer offer;
	struct entry entries[TRAP_ENTRIES_MAX];
	int fds[TRAP_ENTRIES_MAX];
};

/* Number 1 of a handoff, and the last, with nothing in it; and a good one. */
struct trap_offer trap_empty_offer(void);
struct trap_offer trap_good_offer(const struct trap *t);

/* Adds an entry, which may be changed. Its number is its place in the offer, from 1. */
struct entry *trap_add(struct trap_offer *o, const char *name, enum entry_kind kind, int fd);

void trap_say_offer(struct trap *t, struct trap_offer *o);
void trap_say(struct trap *t, const struct message *message);

/* A packet of that type, without much in it. */
void trap_say_type(struct trap *t, enum packet_type type);

/* The next packet that the prey sends, but for TAKEN, is of that type; 0: it is the end. */
void trap_hears(struct trap *t, int type);

/* Caught, and the good offer taken; then ready, too; then serving. */
void trap_warms(struct trap *t);
void trap_readies(struct trap *t);
void trap_serves(struct trap *t);

/* The prey has logged a line of the key "packet" since this was asked last, with those words. */
void trap_said(struct trap *t, const char *words, const char *about);

/*
 * "FAILED protocol", and the words of its sentence: the prey has failed so, has hung up, and has
 * the descriptors that it had before. The trap can be used again.
 */
void trap_failed(struct trap *t, const char *how, const char *words);

/* This process lets go of everything: to the prey it is dead. */
void trap_open(struct trap *t);

/* The trap is gone: the prey starts as the first, and serves. */
void trap_is_survived(struct trap *t);

#endif
