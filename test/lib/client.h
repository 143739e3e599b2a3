/* SPDX-License-Identifier: MIT */
/* Clients of an actor: they wait for each answer, for ten seconds at most. */
#ifndef MOLT_TEST_CLIENT_H
#define MOLT_TEST_CLIENT_H

#include <stdbool.h>

/* Connected sockets, or a negative errno. Connecting waits as long as an answer does. */
int client_tcp(int port);          /* to 127.0.0.1 */
int client_tcp6(int port);         /* to ::1 */
int client_udp(int port);          /* to 127.0.0.1 */
int client_unix(const char *path); /* "@name": abstract */

/* Says `words` and waits for the answer to just that: true if it is the label's, "LABEL words". */
bool client_answered(int fd, const char *label, const char *words);

/* The same without saying whose: the label is written there (64 bytes). false: no answer. */
bool client_asks(int fd, const char *words, char *ret_label);

/* A new connection to 127.0.0.1 that is answered by this label, and closed. */
bool client_served_by(int port, const char *label);

/* Nobody listens there: the connection is refused, not reset. */
bool client_refused(int port);

#endif
