/* SPDX-License-Identifier: MIT */
/*
 * Where generations meet: socket file, lock file, life lock, owner lock, record.
 */
#include "rendezvous.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rendezvous {
	char *path;
	char *lock_path;
	int lock_fd; /* this process's own open, for OWNER and RECORD: never handed on */
	int life_fd; /* the open that carries LIFE through the generations, or -1 */
	bool holds_owner;
};

/*
 * The record's slots, in the first page of the lock file. A slot lies in one sector and one page,
 * so a write of it is as whole as a write can be. Only processes of this machine read it: host
 * order.
 */
enum { PAGE_BYTES = 4096, SLOTS = 2, SLOT_STRIDE = 1024, SLOT_FIRST = 512 };

struct slot {
	struct record record;
	uint64_t checksum;
};

/* How often a read that meets a write in progress is repeated before that slot is given up. */
enum { READ_ATTEMPTS = 3 };

/* How often a lock file that is replaced under our hands is opened anew. */
enum { REPLACED_ATTEMPTS = 2 };

/* --- A rendezvous ----------------------------------------------------------------------------- */

static char *
join(const char *a, const char *b)
{
	size_t length = strlen(a) + strlen(b) + 1;
	char *joined = malloc(length);

	if (joined)
		snprintf(joined, length, "%s%s", a, b);
	return joined;
}

int
molt__rendezvous_new(const char *path, struct rendezvous **ret_rendezvous)
{
	struct rendezvous *r;

	if (path[0] != '/')
		return -EINVAL;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->path = join(path, "");
	r->lock_path = join(path, ".lock");
	r->lock_fd = -1;
	r->life_fd = -1;
	r->holds_owner = false;
	if (!r->path || !r->lock_path) {
		molt__rendezvous_free(r);
		return -ENOMEM;
	}
	*ret_rendezvous = r;
	return 0;
}

void
molt__rendezvous_free(struct rendezvous *r)
{
	if (!r)
		return;
	molt__rendezvous_after_fork(r);
	free(r->path);
	free(r->lock_path);
	free(r);
}

const char *
molt__rendezvous_path(const struct rendezvous *r)
{
	return r->path;
}

const char *
molt__rendezvous_lock_path(const struct rendezvous *r)
{
	return r->lock_path;
}

static void
close_lock(struct rendezvous *r)
{
	molt__sys_close(r->lock_fd);
	r->lock_fd = -1;
	r->holds_owner = false;
}

void
molt__rendezvous_after_fork(struct rendezvous *r)
{
	close_lock(r);
	molt__rendezvous_close_life(r);
}

/* --- The lock file ---------------------------------------------------------------------------- */

/*
 * Opens the lock file, and makes it only if it is not there: where fs.protected_regular is on, even
 * root's O_CREAT fails on another user's file in a directory like /tmp.
 */
static int
open_file(const char *path)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

	for (;;) {
		int fd = open(path, flags);

		if (fd < 0 && errno == ENOENT)
			fd = open(path, flags | O_CREAT | O_EXCL, 0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST && errno != EINTR)
			return -errno;
	}
}

/*
 * Makes the page exist without ever touching what is in it: another process may be writing. Where
 * blocks can't be reserved, growing the file is all there is to do.
 */
static int
reserve_page(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if (fallocate(fd, 0, 0, PAGE_BYTES) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
		return -errno;
	if (status.st_size < PAGE_BYTES && ftruncate(fd, PAGE_BYTES) < 0)
		return -errno;
	return 0;
}

int
molt__rendezvous_open_lock(struct rendezvous *r)
{
	int fd, error;

	if (r->holds_owner)
		return -EBUSY;
	fd = open_file(r->lock_path);
	if (fd < 0)
		return fd;
	error = reserve_page(fd);
	if (error < 0) {
		molt__sys_close(fd);
		return error;
	}
	close_lock(r);
	r->lock_fd = fd;
	return 0;
}

int
molt__rendezvous_set_lock_owner(struct rendezvous *r, uid_t uid, gid_t gid)
{
	mode_t mode = gid == (gid_t)-1 ? 0600 : 0660;

	/* Closed to the new group until it is the right one. */
	if (fchmod(r->lock_fd, 0600) < 0 || fchown(r->lock_fd, uid, gid) < 0)
		return -errno;
	return fchmod(r->lock_fd, mode) < 0 ? -errno : 0;
}

/* Whether `fd`, our own open and PATH.lock are all one file: 0, or -ESTALE, or an error. */
static int
check_same_lock_file(const struct rendezvous *r, int fd)
{
	struct file_identity given, own, named;
	int error = molt__sys_identify(fd, &given);

	if (error == 0)
		error = molt__sys_identify(r->lock_fd, &own);
	if (error == 0)
		error = molt__sys_identify_path(r->lock_path, &named);
	if (error < 0)
		return error == -ENOENT ? -ESTALE : error;
	return molt__sys_same_file(&given, &own) && molt__sys_same_file(&given, &named) ? 0
											: -ESTALE;
}

static int
try_take_life(struct rendezvous *r)
{
	int error;
	int fd = open_file(r->lock_path);

	if (fd < 0)
		return fd;
	error = molt__sys_lock_life(fd);
	/* Only now, because a file that was deleted meanwhile locks nothing. */
	if (error == 0)
		error = check_same_lock_file(r, fd);
	if (error < 0)
		molt__sys_close(fd);
	else
		r->life_fd = fd;
	return error;
}

int
molt__rendezvous_take_life(struct rendezvous *r)
{
	int error = -ESTALE;

	for (int i = 0; i < REPLACED_ATTEMPTS && error == -ESTALE; i++) {
		error = i > 0 ? molt__rendezvous_open_lock(r) : 0;
		if (error == 0)
			error = try_take_life(r);
	}
	return error;
}

int
molt__rendezvous_adopt_life(struct rendezvous *r, int fd)
{
	int error = check_same_lock_file(r, fd);

	if (error < 0)
		return error;
	molt__rendezvous_close_life(r);
	r->life_fd = fd;
	return 0;
}

int
molt__rendezvous_life_fd(const struct rendezvous *r)
{
	return r->life_fd;
}

void
molt__rendezvous_close_life(struct rendezvous *r)
{
	molt__sys_close(r->life_fd);
	r->life_fd = -1;
}

int
molt__rendezvous_lock_owner(struct rendezvous *r)
{
	int error = molt__sys_lock_owner(r->lock_fd);

	if (error == 0)
		r->holds_owner = true;
	return error;
}

void
molt__rendezvous_unlock_owner(struct rendezvous *r)
{
	/* An unlock that fails (the kernel has no memory) must not leave the lock behind. */
	if (molt__sys_unlock_owner(r->lock_fd) < 0)
		close_lock(r);
	r->holds_owner = false;
}

bool
molt__rendezvous_holds_owner(const struct rendezvous *r)
{
	return r->holds_owner;
}

/* --- The record ------------------------------------------------------------------------------- */

/* FNV-1a over all that stands before it; not 0 for a slot of zeros. */
static uint64_t
checksum_of(const struct slot *slot)
{
	const unsigned char *bytes = (const unsigned char *)slot;
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < offsetof(struct slot, checksum); i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3u;
	return sum;
}

enum slot_state { SLOT_VALID, SLOT_UNUSED, SLOT_TORN };

static enum slot_state
state_of(const struct slot *slot)
{
	static const struct slot unused;

	if (memcmp(slot, &unused, sizeof(unused)) == 0)
		return SLOT_UNUSED;
	return slot->checksum == checksum_of(slot) ? SLOT_VALID : SLOT_TORN;
}

static off_t
offset_of(int index)
{
	return SLOT_FIRST + index * SLOT_STRIDE;
}

static int
read_slot(const struct rendezvous *r, int index, struct slot *ret_slot)
{
	struct slot slot = { .checksum = 0 };

	/* A file that somebody has cut short reads as unused. */
	if (pread(r->lock_fd, &slot, sizeof(slot), offset_of(index)) < 0)
		return -errno;
	*ret_slot = slot;
	return 0;
}

/* The two slots as they stand, which of them counts (-1: none), and whether one was torn. */
struct page {
	struct slot slots[SLOTS];
	int current;
	bool torn;
};

static int
read_page(const struct rendezvous *r, struct page *ret_page)
{
	struct page page = { .current = -1 };

	for (int i = 0; i < SLOTS; i++) {
		enum slot_state state;
		int error = read_slot(r, i, &page.slots[i]);

		if (error < 0)
			return error;
		state = state_of(&page.slots[i]);
		if (state == SLOT_TORN)
			page.torn = true;
		if (state == SLOT_VALID &&
		    (page.current < 0 ||
		     page.slots[i].record.sequence > page.slots[page.current].record.sequence))
			page.current = i;
	}
	*ret_page = page;
	return 0;
}

int
molt__rendezvous_read_record(const struct rendezvous *r, struct record *ret_record)
{
	struct page page = { .torn = true };

	/*
	 * A torn slot is a write in progress, or what is left of one that failed. In the first case
	 * the other slot may have been read before an earlier write to it, and be two records old.
	 */
	for (int i = 0; i < READ_ATTEMPTS && page.torn; i++) {
		int error = read_page(r, &page);

		if (error < 0)
			return error;
	}
	if (page.current < 0)
		return -EBADMSG;
	*ret_record = page.slots[page.current].record;
	return 0;
}

int
molt__rendezvous_write_record(struct rendezvous *r, const struct record *record)
{
	struct page page;
	struct slot slot = { .record = *record };
	ssize_t written;
	int error;

	if (!r->holds_owner)
		return -EPERM;
	error = read_page(r, &page);
	if (error < 0)
		return error;
	slot.record.sequence = 1;
	if (page.current >= 0)
		slot.record.sequence += page.slots[page.current].record.sequence;
	slot.checksum = checksum_of(&slot);
	written = pwrite(r->lock_fd, &slot, sizeof(slot), offset_of(page.current == 0 ? 1 : 0));
	if (written < 0)
		return -errno;
	return (size_t)written == sizeof(slot) ? 0 : -EIO;
}

/* --- The socket file -------------------------------------------------------------------------- */

int
molt__rendezvous_connect(const struct rendezvous *r, int *ret_fd)
{
	struct unix_address address;
	int fd;
	int error = molt__sys_unix_address_to_connect(r->path, &address);

	if (error < 0)
		return error;
	fd = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	error = fd < 0 ? fd : molt__sys_pass_credentials(fd);
	/* A unix socket connects at once or not at all. */
	if (error == 0 &&
	    connect(fd, (const struct sockaddr *)&address.address, address.length) < 0)
		error = -errno;
	molt__sys_unix_address_close(&address);
	if (error < 0) {
		molt__sys_close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

/* Whether the socket file may be made: there is none, or one that nobody listens on. */
static int
check_free(const struct rendezvous *r)
{
	struct stat status;
	int fd, error;

	if (lstat(r->path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -ENOTSOCK;
	error = molt__rendezvous_connect(r, &fd);
	if (error == 0)
		molt__sys_close(fd);
	if (error == 0 || error == -EAGAIN || error == -EPROTOTYPE)
		return -EADDRINUSE;
	return error == -ECONNREFUSED || error == -ENOENT ? 0 : error;
}

/* A name in PATH's directory that nobody has; short, whatever PATH's own name is. */
static int
temporary_path(const struct rendezvous *r, char **ret_path)
{
	const char *name = strrchr(r->path, '/') + 1;
	size_t size = (size_t)(name - r->path) + sizeof(".molt-0123456789abcdef");
	uint64_t number;
	char *path;
	int error = molt__sys_random64(&number);

	if (error < 0)
		return error;
	path = malloc(size);
	if (!path)
		return -ENOMEM;
	snprintf(path, size, "%.*s.molt-%016llx", (int)(name - r->path), r->path,
		 (unsigned long long)number);
	*ret_path = path;
	return 0;
}

static int
bind_at(int fd, const char *path)
{
	struct unix_address address;
	int error = molt__sys_unix_address_to_bind(path, &address);

	if (error < 0)
		return error;
	if (bind(fd, (const struct sockaddr *)&address.address, address.length) < 0)
		error = -errno;
	molt__sys_unix_address_close(&address);
	return error;
}

static int
set_owner(const char *path, const struct socket_owner *owner)
{
	if (owner->uid != (uid_t)-1 || owner->gid != (gid_t)-1) {
		if (lchown(path, owner->uid, owner->gid) < 0)
			return -errno;
	}
	return chmod(path, owner->mode) < 0 ? -errno : 0;
}

/*
 * From a bound socket at `temporary` to a listening one at PATH. Nobody can connect before it
 * listens, so that until then its file may have the mode that the umask gave it.
 */
static int
put_in_place(const struct rendezvous *r, int fd, const char *temporary,
	     const struct socket_owner *owner, struct file_identity *ret_identity)
{
	int error = set_owner(temporary, owner);

	if (error == 0)
		error = molt__rendezvous_listen(fd);
	if (error == 0)
		error = molt__sys_identify_path(temporary, ret_identity);
	if (error == 0 && rename(temporary, r->path) < 0)
		error = -errno;
	return error;
}

static int
bind_and_place(const struct rendezvous *r, int fd, const struct socket_owner *owner,
	       struct file_identity *ret_identity)
{
	char *temporary;
	int error = temporary_path(r, &temporary);

	if (error < 0)
		return error;
	error = bind_at(fd, temporary);
	if (error == 0) {
		error = put_in_place(r, fd, temporary, owner, ret_identity);
		if (error < 0)
			unlink(temporary);
	}
	free(temporary);
	return error;
}

int
molt__rendezvous_bind(struct rendezvous *r, const struct socket_owner *owner, int *ret_fd,
		      struct file_identity *ret_identity)
{
	struct file_identity identity;
	int fd;
	int error = check_free(r);

	if (error < 0)
		return error;
	fd = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (fd < 0)
		return fd;
	error = molt__sys_pass_credentials(fd);
	if (error == 0)
		error = bind_and_place(r, fd, owner, &identity);
	if (error < 0) {
		molt__sys_close(fd);
		return error;
	}
	*ret_fd = fd;
	*ret_identity = identity;
	return 0;
}

int
molt__rendezvous_listen(int fd)
{
	return listen(fd, SOMAXCONN) < 0 ? -errno : 0;
}

int
molt__rendezvous_path_is(const struct rendezvous *r, const struct file_identity *identity)
{
	struct file_identity found;
	int error = molt__sys_identify_path(r->path, &found);

	if (error == -ENOENT)
		return 0;
	return error < 0 ? error : molt__sys_same_file(&found, identity);
}

int
molt__rendezvous_unlink(struct rendezvous *r, const struct file_identity *identity)
{
	struct file_identity found;
	int error = molt__sys_identify_path(r->path, &found);

	if (error < 0)
		return error;
	if (!molt__sys_same_file(&found, identity))
		return -ESTALE;
	return unlink(r->path) < 0 ? -errno : 0;
}
