/* SPDX-License-Identifier: MIT */
/*
 * Packets with descriptors, sent and received.
 */
#include "sys.h"

#include <errno.h>
#include <string.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

int
molt__sys_send_packet(int fd, const struct iovec *parts, size_t count, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(SYS_MAX_FDS * sizeof(int))];
	} control = { .space = { 0 } };
	struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = count };
	ssize_t sent;

	if (nfds > SYS_MAX_FDS)
		return -E2BIG;
	if (nfds > 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, nfds * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	do
		sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* Appends the descriptors of one SCM_RIGHTS message. What is over the bound is closed. */
static void
keep_fds(const struct cmsghdr *control, struct sys_packet *packet)
{
	size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(fd));
		if (packet->nfds < SYS_MAX_FDS)
			packet->fds[packet->nfds++] = fd;
		else
			molt__sys_close(fd);
	}
}

static void
drop_pidfd(const struct cmsghdr *control)
{
	int fd;

	memcpy(&fd, CMSG_DATA(control), sizeof(fd));
	molt__sys_close(fd);
}

/*
 * Looks at every control message, because each may have brought descriptors, asked for or not.
 * Returns whether the sender's credentials were among them.
 */
static bool
walk_control(struct msghdr *message, struct sys_packet *packet)
{
	bool has_cred = false;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			keep_fds(c, packet);
		} else if (c->cmsg_type == SCM_PIDFD) {
			drop_pidfd(c);
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&packet->cred, CMSG_DATA(c), sizeof(packet->cred));
			has_cred = true;
		}
	}
	return has_cred;
}

static enum sys_received
judge(int flags, size_t length, bool has_cred)
{
	if (flags & MSG_CTRUNC)
		return SYS_CUT;
	if (flags & MSG_TRUNC)
		return SYS_TOO_LONG;
	if (length > 0)
		return SYS_PACKET;
	return has_cred ? SYS_EMPTY : SYS_END;
}

int
molt__sys_recv_packet(int fd, void *buffer, size_t size, struct sys_packet *ret_packet)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(SYS_MAX_FDS * sizeof(int)) +
			   CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { .iov_base = buffer, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct sys_packet packet = { .nfds = 0 };
	enum sys_received result;
	ssize_t received;

	do
		received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	result = judge(message.msg_flags, (size_t)received, walk_control(&message, &packet));
	if (result != SYS_PACKET) {
		molt__sys_close_all(packet.fds, packet.nfds);
		return (int)result;
	}
	packet.length = (size_t)received;
	*ret_packet = packet;
	return SYS_PACKET;
}
