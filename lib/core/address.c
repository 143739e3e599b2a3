/* SPDX-License-Identifier: MIT */
/* Addresses: canonical records to and from socket addresses, and what a descriptor is. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys.h"

/* --- Record to socket address --- */

/* The number of an interface by name or digits, or 0. */
static uint32_t
scope_of(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && n <= UINT32_MAX)
		return (uint32_t)n;
	return if_nametoindex(text);
}

static int
parse_host6(const char *host, struct sockaddr_in6 *ret)
{
	char copy[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];

	if (strlen(host) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, host);
	char *scope = strchr(copy, '%');
	if (scope) {
		*scope++ = '\0';
		ret->sin6_scope_id = scope_of(scope);
		if (ret->sin6_scope_id == 0)
			return -EINVAL;
	}
	return inet_pton(AF_INET6, copy, &ret->sin6_addr) == 1 ? 0 : -EINVAL;
}

/* "127.0.0.1:80" or "[::1]:80", as a record has it. */
static int
inet_sockaddr(const struct address_record *r, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	const char *colon = strrchr(r->text, ':');
	bool is6 = r->family == AF_INET6;
	size_t around = is6 ? 2 : 0;
	char host[128];

	if (!colon || (size_t)(colon - r->text) < around ||
	    (size_t)(colon - r->text) >= sizeof(host))
		return -EINVAL;
	size_t len = (size_t)(colon - r->text) - around;
	memcpy(host, r->text + around / 2, len);
	host[len] = '\0';
	memset(ret, 0, sizeof(*ret));
	ret->ss_family = (sa_family_t)r->family;
	*ret_len = is6 ? sizeof(*v6) : sizeof(*v4);
	if (is6) {
		v6->sin6_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
		return parse_host6(host, v6);
	}
	v4->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? 0 : -EINVAL;
}

/* An abstract name is its bytes without a NUL at the end; a path has one. */
static int
unix_sockaddr(const struct address_record *r, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ret;
	size_t len = strlen(r->text);
	bool is_path = r->text[0] == '/';

	if (len + is_path > sizeof(un->sun_path))
		return -ENAMETOOLONG;
	memset(ret, 0, sizeof(*ret));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, r->text, len);
	if (!is_path)
		un->sun_path[0] = '\0';
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + is_path);
	return 0;
}

int
molt__address_sockaddr(const struct address_record *r, struct sockaddr_storage *ret,
		       socklen_t *ret_len)
{
	if (r->text[0] == '\0')
		return -EINVAL;
	return r->family == AF_UNIX ? unix_sockaddr(r, ret, ret_len)
				    : inet_sockaddr(r, ret, ret_len);
}

/* --- Socket address to record --- */

static int
set_inet4(const struct sockaddr *sa, socklen_t len, struct address_record *r)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
	char host[INET_ADDRSTRLEN];

	if (len < sizeof(*v4))
		return -EINVAL;
	inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
	snprintf(r->text, sizeof(r->text), "%s:%u", host, ntohs(v4->sin_port));
	return 0;
}

/* The interface by its name, as people write it; by number only if it is gone. */
static int
set_inet6(const struct sockaddr *sa, socklen_t len, struct address_record *r)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
	char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "%";

	if (len < sizeof(*v6))
		return -EINVAL;
	inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
	if (v6->sin6_scope_id == 0)
		scope[0] = '\0';
	else if (!if_indextoname(v6->sin6_scope_id, scope + 1))
		snprintf(scope + 1, sizeof(scope) - 1, "%u", v6->sin6_scope_id);
	snprintf(r->text, sizeof(r->text), "[%s%s]:%u", host, scope, ntohs(v6->sin6_port));
	return 0;
}

static bool
names_a_directory(const char *path, size_t len)
{
	const char *last = memrchr(path, '/', len);
	size_t left = last ? len - (size_t)(last - path) : 0;

	return left == 1 || (left == 2 && last[1] == '.') ||
	       (left == 3 && last[1] == '.' && last[2] == '.');
}

int
molt__address_clean_path(const char *path, size_t len, struct address_record *r)
{
	char clean[ENTRY_ADDRESS_MAX + 1];
	size_t n = 0;

	if (len == 0 || len > ENTRY_ADDRESS_MAX || path[0] != '/' || names_a_directory(path, len))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		/* What follows a slash: another one, or a dot and another one, adds nothing. */
		while (path[i] == '/' && i + 1 < len) {
			if (path[i + 1] == '/')
				i += 1;
			else if (path[i + 1] == '.' && path[i + 2] == '/')
				i += 2;
			else
				break;
		}
		clean[n++] = path[i];
	}
	return molt__address_record_set_text(r, clean, n);
}

static int
set_unix(const struct sockaddr *sa, socklen_t len, struct address_record *r)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
	char name[sizeof(un->sun_path)];

	if (len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(*un))
		return -EINVAL;
	size_t size = len - offsetof(struct sockaddr_un, sun_path);
	if (un->sun_path[0] != '\0')
		return molt__address_clean_path(un->sun_path, strnlen(un->sun_path, size), r);
	memcpy(name, un->sun_path, size);
	name[0] = '@';
	return size < 2 ? -EINVAL : molt__address_record_set_text(r, name, size);
}

int
molt__address_from_sockaddr(int type, const struct sockaddr *sa, socklen_t len,
			    struct address_record *ret)
{
	struct address_record r = { .type = type };
	int error = -EINVAL;

	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -EINVAL;
	if (len < sizeof(sa->sa_family))
		return -EINVAL;
	r.family = sa->sa_family;
	if (r.family == AF_INET)
		error = set_inet4(sa, len, &r);
	else if (r.family == AF_INET6)
		error = set_inet6(sa, len, &r);
	else if (r.family == AF_UNIX)
		error = set_unix(sa, len, &r);
	if (!error)
		*ret = r;
	return error;
}

int
molt__address_of_socket(int fd, struct address_record *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa), size = sizeof(int);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return -errno;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	return molt__address_from_sockaddr(type, (struct sockaddr *)&sa, len, ret);
}

/* --- Descriptors --- */

static int
int_option(int fd, int level, int name, int otherwise)
{
	int value;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, name, &value, &size) < 0 ? otherwise : value;
}

/*
 * The kernel refuses io_uring descriptors when they are sent, and lets epoll ones through, which
 * then watch another process's open files. Without /proc only the second goes unseen.
 */
static const char *
unsendable(int fd)
{
	static const char *const names[] = { "[eventpoll]", "[io_uring]" };
	char path[32], link[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, link, sizeof(link) - 1) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(link, "anon_inode:", 11) == 0 && strcmp(link + 11, names[i]) == 0)
			return names[i];
	}
	return NULL;
}

/*
 * A port, a path or a name: otherwise the kernel would choose one at listen(), and it is no
 * listener yet.
 */
static bool
is_bound(const struct address_record *r)
{
	if (r->family == AF_UNIX)
		return r->text[0] != '\0';
	const char *colon = strrchr(r->text, ':');
	return colon && strcmp(colon, ":0") != 0;
}

static enum entry_kind
kind_of(int fd, const struct address_record *r)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (int_option(fd, SOL_SOCKET, SO_ACCEPTCONN, 0))
		return ENTRY_STREAM;
	if (!is_bound(r) || getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		return ENTRY_FILE;
	return r->type == SOCK_DGRAM ? ENTRY_DATAGRAM : ENTRY_STREAM;
}

static void
describe_socket(int fd, struct entry *e)
{
	e->address.type = int_option(fd, SOL_SOCKET, SO_TYPE, 0);
	e->address.family = int_option(fd, SOL_SOCKET, SO_DOMAIN, 0);
	molt__address_of_socket(fd, &e->address);
	e->kind = kind_of(fd, &e->address);
	if (e->address.family == AF_INET6)
		e->v6only = int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, -1);
	if (e->address.text[0] == '/' && e->kind != ENTRY_FILE)
		molt__sys_identify_path(e->address.text, &e->path);
	molt__sys_netns_cookie(fd, &e->netns);
	/* Of another family there is nothing that could be compared or sent. */
	if (e->address.text[0] == '\0')
		e->address = (struct address_record){ .family = 0 };
}

int
molt__address_of_descriptor(int fd, struct entry *e, char *why)
{
	struct entry made;

	molt__entry_init(&made);
	made.fd = fd;
	made.kind = ENTRY_FILE;
	int error = molt__sys_identify(fd, &made.file);
	if (error)
		return error;
	const char *what = unsendable(fd);
	if (what) {
		snprintf(why, ADDRESS_WHY_MAX + 1,
			 "descriptor %d is %s, which means nothing in another process", fd, what);
		return -EINVAL;
	}
	if (int_option(fd, SOL_SOCKET, SO_TYPE, 0) != 0)
		describe_socket(fd, &made);
	memcpy(made.name, e->name, sizeof(made.name));
	*e = made;
	return 0;
}

bool
molt__address_still(const struct entry *e)
{
	struct file_identity now;

	return molt__sys_identify(e->fd, &now) == 0 && molt__sys_same_file(&now, &e->file);
}

enum entry_kind
molt__address_kind(const struct address_record *r)
{
	return r->type == SOCK_DGRAM ? ENTRY_DATAGRAM : ENTRY_STREAM;
}

void
molt__address_print(const struct address_record *r, char *buf, size_t size)
{
	const char *scheme = r->type == SOCK_DGRAM ? "udp://" : "tcp://";

	if (r->text[0] == '@')
		scheme = "unix:";
	else if (r->text[0] == '/')
		scheme = "unix://";
	else if (r->text[0] == '\0')
		scheme = "-";
	snprintf(buf, size, "%s%s", scheme, r->text);
}
