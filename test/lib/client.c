/* SPDX-License-Identifier: MIT */
/* Clients of an actor. */
#include "client.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int
open_and_connect(int type, const void *address, socklen_t length)
{
	const struct sockaddr *sa = address;
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(sa->sa_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, sa, length) == 0)
		return fd;
	int error = -errno;
	close(fd);
	return error;
}

static int
open_ipv4(int type, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return open_and_connect(type, &a, sizeof(a));
}

int
client_tcp(int port)
{
	return open_ipv4(SOCK_STREAM, port);
}

int
client_udp(int port)
{
	return open_ipv4(SOCK_DGRAM, port);
}

int
client_tcp6(int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	a.sin6_addr = in6addr_loopback;
	return open_and_connect(SOCK_STREAM, &a, sizeof(a));
}

int
client_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t length = strlen(path);

	if (length >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, length);
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	return open_and_connect(SOCK_STREAM, &a,
				(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

bool
client_asks(int fd, const char *words, char *ret_label)
{
	char answer[1200];
	ssize_t length;
	char *blank;

	if (send(fd, words, strlen(words), MSG_NOSIGNAL) != (ssize_t)strlen(words))
		return false;
	length = recv(fd, answer, sizeof(answer) - 1, 0);
	if (length <= 0)
		return false;
	answer[length] = '\0';
	blank = strchr(answer, ' ');
	if (blank == NULL || strcmp(blank + 1, words) != 0)
		return false;
	*blank = '\0';
	snprintf(ret_label, 64, "%.63s", answer);
	return true;
}

bool
client_answered(int fd, const char *label, const char *words)
{
	char by[64] = "nobody";

	if (client_asks(fd, words, by) && strcmp(by, label) == 0)
		return true;
	fprintf(stderr, "asked \"%s\" of %s, answered by %s\n", words, label, by);
	return false;
}

bool
client_served_by(int port, const char *label)
{
	int fd = client_tcp(port);
	bool served = fd >= 0 && client_answered(fd, label, "hello");

	if (fd < 0)
		fprintf(stderr, "port %d: %s\n", port, strerror(-fd));
	else
		close(fd);
	return served;
}

bool
client_refused(int port)
{
	int fd = client_tcp(port);

	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED;
}
