/* SPDX-License-Identifier: MIT */
/* The test's own end of a channel. */
#include "peer.h"
#include "sys.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int
peer_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PEER_PATIENCE / 1000 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int on = 1;
	int error;

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return -EINVAL;
	memcpy(address.sun_path, path, strlen(path));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int
peer_say_bytes(int fd, const void *bytes, size_t length, const int *fds, size_t nfds)
{
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = length };
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error;

	while ((error = molt__sys_send_packet(fd, &part, 1, fds, nfds)) == -EAGAIN &&
	       poll(&p, 1, PEER_PATIENCE) == 1)
		;
	return error;
}

int
peer_say(int fd, const struct message *message, const int *fds, size_t nfds)
{
	void *bytes;
	size_t length;
	int error = molt__wire_encode(message, &bytes, &length);

	if (error < 0)
		return error;
	error = peer_say_bytes(fd, bytes, length, fds, nfds);
	free(bytes);
	return error;
}

int
peer_hear(int fd, struct message *ret_message)
{
	static char bytes[WIRE_PACKET_MAX];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct sys_packet packet;
	int r;

	do {
		if (poll(&p, 1, PEER_PATIENCE) != 1)
			return -ETIMEDOUT;
		r = molt__sys_recv_packet(fd, bytes, sizeof(bytes), &packet);
	} while (r == -ECONNRESET);
	if (r == SYS_END)
		return 0;
	if (r != SYS_PACKET)
		return r < 0 ? r : -EBADMSG;
	r = molt__wire_decode(bytes, packet.length, packet.nfds, ret_message);
	molt__sys_close_all(packet.fds, packet.nfds);
	return r < 0 ? r : ret_message->type;
}

int
peer_hear_out(int fd)
{
	struct message message;
	int last = 0;
	int type;

	while ((type = peer_hear(fd, &message)) > 0) {
		molt__message_clear(&message);
		last = type;
	}
	return type < 0 ? type : last;
}

bool
peer_is_open(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

int64_t
peer_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- Packets that are none -------------------------------------------------------------------- */

#define GOOD_HELLO                                                                                 \
	"{\"instance\":\"00000000000000ff\",\"pid\":1,\"speaks\":1,\"compatibility\":0,"           \
	"\"allow_downgrade\":false,\"room\":100,\"label\":\"x\"}"

/* What is 0 is as in a good packet. */
struct form {
	struct bad_packet packet;
	const char *magic; /* NULL: the right one */
	int newer;         /* than the right version */
	int type;
	int longer;    /* so many bytes more the header says that the body has */
	int announced; /* descriptors */
	int carried;   /* descriptors */
	int repeats;   /* of the body */
	const char *body;
};

static const struct form raw_forms[] = {
	{ { "nothing", "an empty packet was dropped" }, .body = "" },
	{ { "nothing but descriptors", "an empty packet was dropped" }, .carried = 2, .body = "" },
	{ { "one byte", "1 bytes with 0 descriptors was not understood" }, .body = "M" },
	{ { "half a header", "15 bytes" }, .body = "MOLT\1\1\1\1\1\1\1\1\1\1\1" },
	{ { "garbage", "Bad message" }, .body = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" },
	{ { "more than any packet", "longer than any may be" }, .repeats = 140000, .body = "x" },
	{ { "more than any, and descriptors", "longer than any may be" },
	  .carried = 2,
	  .repeats = 140000,
	  .body = "x" },
};

static const struct form header_forms[] = {
	{ { "another magic", "Bad message" }, .magic = "MOLD", .type = PACKET_HELLO },
	{ { "an earlier version", "version 0" }, .newer = -1, .type = PACKET_HELLO },
	{ { "a later version", "version 2" }, .newer = 1, .type = PACKET_HELLO },
	{ { "type 0", "type ?" }, .type = 0 },
	{ { "type 17", "type ?" }, .type = 17 },
	{ { "MOVE", "type MOVE" }, .type = PACKET_MOVE },
	{ { "TAIL", "type TAIL" }, .type = PACKET_TAIL },
	{ { "DECLINED", "type DECLINED" }, .type = PACKET_DECLINED },
	{ { "MOVE of two", "2 descriptors was not understood (version 1, type MOVE)" },
	  .type = PACKET_MOVE,
	  .announced = 2,
	  .carried = 2 },
	{ { "half a packet", "Bad message" }, .type = PACKET_HELLO, .longer = 40 },
	{ { "more than is said", "Bad message" }, .type = PACKET_HELLO, .longer = -3 },
};

static const struct form body_forms[] = {
	{ { "no body", "Bad message" }, .type = PACKET_HELLO, .body = "" },
	{ { "half an object", "Bad message" }, .type = PACKET_HELLO, .body = "{\"instance\":" },
	{ { "no object", "Bad message" }, .type = PACKET_HELLO, .body = "[1,2,3]" },
	{ { "no keys", "Bad message" }, .type = PACKET_HELLO, .body = "{}" },
	{ { "two objects", "Bad message" }, .type = PACKET_HELLO, .repeats = 2 },
	{ { "deep nesting", "Bad message" }, .type = PACKET_HELLO, .repeats = 60000, .body = "[" },
};

static const struct form descriptor_forms[] = {
	{ { "3 announced, none carried", "0 descriptors was not understood" },
	  .type = PACKET_HELLO,
	  .announced = 3 },
	{ { "none announced, 3 carried", "3 descriptors was not understood" },
	  .type = PACKET_HELLO,
	  .carried = 3 },
	{ { "253 where none belong", "253 descriptors was not understood" },
	  .type = PACKET_HELLO,
	  .announced = 253,
	  .carried = 253 },
	{ { "an offer of 2, 1 carried", "1 descriptors was not understood" },
	  .type = PACKET_OFFER,
	  .announced = 2,
	  .carried = 1 },
	{ { "an offer of 1, 2 carried", "2 descriptors was not understood" },
	  .type = PACKET_OFFER,
	  .announced = 1,
	  .carried = 2 },
	{ { "an offer of none, 2 carried", "2 descriptors was not understood" },
	  .type = PACKET_OFFER,
	  .announced = 2,
	  .carried = 2,
	  .body = "{\"instance\":\"00000000000000ff\",\"generation\":1,\"pid\":1,\"sequence\":1,"
		  "\"last\":true,\"late\":false,\"deadlines\":{\"ready\":1,\"commit\":1,\"load\":1,"
		  "\"confirm\":1},\"label\":\"x\",\"entries\":[]}" },
};

#define COUNT(forms) (sizeof(forms) / sizeof((forms)[0]))

static const struct {
	const struct form *forms;
	size_t count;
	bool has_header;
} groups[] = {
	{ raw_forms, COUNT(raw_forms), false },
	{ header_forms, COUNT(header_forms), true },
	{ body_forms, COUNT(body_forms), true },
	{ descriptor_forms, COUNT(descriptor_forms), true },
};

/* NULL: there are not so many. */
static const struct form *
find_form(size_t nth, bool *ret_has_header)
{
	for (size_t i = 0; i < COUNT(groups); i++) {
		*ret_has_header = groups[i].has_header;
		if (nth < groups[i].count)
			return &groups[i].forms[nth];
		nth -= groups[i].count;
	}
	return NULL;
}

static void
put16(char *to, unsigned value)
{
	uint16_t little = htole16((uint16_t)value);

	memcpy(to, &little, sizeof(little));
}

static void
put32(char *to, size_t value)
{
	uint32_t little = htole32((uint32_t)value);

	memcpy(to, &little, sizeof(little));
}

static void
put_header(char *to, const struct form *f, size_t body)
{
	memcpy(to, f->magic != NULL ? f->magic : "MOLT", 4);
	put16(to + 4, (unsigned)(WIRE_VERSION + f->newer));
	put16(to + 6, (unsigned)f->type);
	put32(to + 8, body + (size_t)f->longer);
	put32(to + 12, (size_t)f->announced);
}

/* malloc'ed. */
static char *
compose(const struct form *f, bool has_header, size_t *ret_length)
{
	size_t header = has_header ? WIRE_HEADER_SIZE : 0;
	size_t repeats = f->repeats > 0 ? (size_t)f->repeats : 1;
	const char *body = f->body != NULL ? f->body : GOOD_HELLO;
	size_t once = strlen(body);
	char *bytes = malloc(header + repeats * once + 1);

	if (bytes == NULL)
		return NULL;
	*ret_length = header + repeats * once;
	if (has_header)
		put_header(bytes, f, repeats * once);
	for (size_t i = 0; i < repeats; i++)
		memcpy(bytes + header + i * once, body, once);
	return bytes;
}

static int
send_form(const struct form *f, bool has_header, int fd)
{
	int fds[SYS_MAX_FDS];
	int pipes[2];
	size_t length = 0;
	char *bytes = compose(f, has_header, &length);
	int error;

	if (bytes == NULL || pipe(pipes) < 0) {
		free(bytes);
		return -ENOMEM;
	}
	for (int i = 0; i < f->carried; i++)
		fds[i] = pipes[i % 2];
	error = peer_say_bytes(fd, bytes, length, fds, (size_t)f->carried);
	close(pipes[0]);
	close(pipes[1]);
	free(bytes);
	return error;
}

bool
bad_packet_send(size_t nth, int fd, struct bad_packet *ret)
{
	bool has_header;
	const struct form *f = find_form(nth, &has_header);
	int error;

	if (f == NULL)
		return false;
	*ret = f->packet;
	error = send_form(f, has_header, fd);
	if (error < 0)
		fprintf(stderr, "%s cannot be sent: %s\n", ret->what, strerror(-error));
	return true;
}
