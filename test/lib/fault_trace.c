/* SPDX-License-Identifier: MIT */
/* Holding a process at the entry of a system call. */
#include "fault_trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- What a call is about --------------------------------------------------------------------- */

enum { NONE = -1 };

/* Which arguments of a call name something: a descriptor, up to two paths, an address. */
struct shape {
	int number;
	const char *name;
	int fd;
	int path;
	int second_path;
	int address;
	bool serves; /* on a listener it is the host's daily work, and no part of a handoff */
};

#define ON_FD(name, arg)                                                                           \
	{                                                                                          \
		SYS_##name, #name, arg, NONE, NONE, NONE, false                                    \
	}
#define SERVING(name)                                                                              \
	{                                                                                          \
		SYS_##name, #name, 0, NONE, NONE, NONE, true                                       \
	}
#define ON_ADDRESS(name)                                                                           \
	{                                                                                          \
		SYS_##name, #name, 0, NONE, NONE, 1, false                                         \
	}
#define ON_PATH(name, arg)                                                                         \
	{                                                                                          \
		SYS_##name, #name, NONE, arg, NONE, NONE, false                                    \
	}
#define ON_PATHS(name, arg, second)                                                                \
	{                                                                                          \
		SYS_##name, #name, NONE, arg, second, NONE, false                                  \
	}
#define AT_PATH(name)                                                                              \
	{                                                                                          \
		SYS_##name, #name, 0, 1, NONE, NONE, false                                         \
	}

static const struct shape shapes[] = {
	ON_FD(sendmsg, 0),
	SERVING(recvmsg),
	SERVING(sendto),
	SERVING(recvfrom),
	SERVING(accept),
	SERVING(accept4),
	ON_FD(listen, 0),
	ON_FD(shutdown, 0),
	ON_FD(getsockopt, 0),
	ON_FD(setsockopt, 0),
	ON_FD(getsockname, 0),
	ON_FD(getpeername, 0),
	ON_ADDRESS(bind),
	ON_ADDRESS(connect),
	ON_FD(close, 0),
	ON_FD(fcntl, 0),
	ON_FD(flock, 0),
	ON_FD(read, 0),
	ON_FD(write, 0),
	ON_FD(pread64, 0),
	ON_FD(pwrite64, 0),
	ON_FD(fstat, 0),
	ON_FD(fallocate, 0),
	ON_FD(ftruncate, 0),
	ON_FD(fchmod, 0),
	ON_FD(fchown, 0),
	ON_FD(epoll_ctl, 2),
	AT_PATH(newfstatat),
	AT_PATH(statx),
	ON_PATH(openat, 1),
	ON_PATH(unlinkat, 1),
	ON_PATH(fchmodat, 1),
	ON_PATH(fchownat, 1),
	ON_PATHS(renameat, 1, 3),
	ON_PATHS(renameat2, 1, 3),
#ifdef SYS_open /* old machines have the shorter calls as well */
	ON_PATH(open, 0),
	ON_PATH(stat, 0),
	ON_PATH(lstat, 0),
	ON_PATH(unlink, 0),
	ON_PATH(chmod, 0),
	ON_PATH(chown, 0),
	ON_PATH(lchown, 0),
	ON_PATHS(rename, 0, 1),
#endif
};

static const struct shape *
shape_of(uint64_t number)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if ((uint64_t)shapes[i].number == number)
			return &shapes[i];
	return NULL;
}

const char *
fault_call_name(const struct fault_call *call)
{
	const struct shape *shape = shape_of((uint64_t)call->number);

	return shape != NULL ? shape->name : "?";
}

const char *
fault_object_name(enum fault_object object)
{
	static const char *const names[FAULT_OBJECTS] = { "nothing", "channel", "lock file",
							  "socket file", "listener" };

	return names[object];
}

bool
fault_same_call(const struct fault_call *a, const struct fault_call *b)
{
	return a->number == b->number && a->object == b->object && a->nth == b->nth;
}

/* --- What an argument means ------------------------------------------------------------------- */

/* Memory of the process, as far as it is mapped. */
static size_t
read_memory(pid_t pid, uint64_t address, void *to, size_t size)
{
	char name[64];
	ssize_t length;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/mem", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = pread(fd, to, size, (off_t)address);
	close(fd);
	return length > 0 ? (size_t)length : 0;
}

/* The socket file, or another name in its directory: one it is renamed from. */
static enum fault_object
object_at_path(const struct fault_tracee *t, const char *path)
{
	size_t directory = (size_t)(strrchr(t->path, '/') - t->path) + 1;
	size_t whole = strlen(t->path);

	if (strncmp(path, t->path, directory) != 0)
		return FAULT_NOTHING;
	if (strncmp(path, t->path, whole) == 0 && strcmp(path + whole, ".lock") == 0)
		return FAULT_LOCK;
	return FAULT_PATH;
}

static enum fault_object
object_at_string(const struct fault_tracee *t, uint64_t address)
{
	char path[256];
	size_t length = read_memory(t->pid, address, path, sizeof(path) - 1);

	path[length] = '\0';
	return object_at_path(t, path);
}

static enum fault_object
object_at_address(const struct fault_tracee *t, const uint64_t *args)
{
	struct sockaddr_un address = { .sun_family = AF_UNSPEC };
	size_t size = args[2] < sizeof(address) ? (size_t)args[2] : sizeof(address);
	char path[sizeof(address.sun_path) + 1] = "";

	read_memory(t->pid, args[1], &address, size);
	if (address.sun_family != AF_UNIX)
		return FAULT_NOTHING;
	memcpy(path, address.sun_path, sizeof(address.sun_path));
	return object_at_path(t, path);
}

static int
option_of(int fd, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	getsockopt(fd, SOL_SOCKET, option, &value, &length);
	return value;
}

/* A socket pair, by which the test speaks with its actors, has no name on either side. */
static bool
has_name(int fd)
{
	struct sockaddr_un address;
	socklen_t own = sizeof(address);
	socklen_t peers = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &own) < 0)
		return false;
	if (getpeername(fd, (struct sockaddr *)&address, &peers) < 0)
		peers = 0;
	return own > sizeof(sa_family_t) || peers > sizeof(sa_family_t);
}

static enum fault_object
object_of_socket(int fd)
{
	int domain = option_of(fd, SO_DOMAIN);
	bool listens = option_of(fd, SO_ACCEPTCONN) != 0;

	if (domain == AF_UNIX && option_of(fd, SO_TYPE) == SOCK_SEQPACKET) {
		if (listens)
			return FAULT_PATH;
		return has_name(fd) ? FAULT_CHANNEL : FAULT_NOTHING;
	}
	if (domain == AF_INET && (listens || option_of(fd, SO_TYPE) == SOCK_DGRAM))
		return FAULT_LISTENER;
	return FAULT_NOTHING;
}

static int
copy_descriptor(const struct fault_tracee *t, int fd)
{
	return (int)syscall(SYS_pidfd_getfd, t->pidfd, fd, 0);
}

static enum fault_object
object_at_descriptor(const struct fault_tracee *t, int fd)
{
	enum fault_object object = FAULT_NOTHING;
	char name[64];
	char link[256];
	ssize_t length;

	snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)t->pid, fd);
	length = readlink(name, link, sizeof(link) - 1);
	if (length <= 0)
		return FAULT_NOTHING;
	link[length] = '\0';
	if (strncmp(link, "socket:", strlen("socket:")) != 0)
		return object_at_path(t, link);
	fd = copy_descriptor(t, fd);
	if (fd >= 0) {
		object = object_of_socket(fd);
		close(fd);
	}
	return object;
}

static enum fault_object
object_of_call(const struct fault_tracee *t, const struct shape *shape, const uint64_t *args)
{
	enum fault_object object = FAULT_NOTHING;

	if (shape->address != NONE)
		object = object_at_address(t, args);
	if (object == FAULT_NOTHING && shape->path != NONE)
		object = object_at_string(t, args[shape->path]);
	if (object == FAULT_NOTHING && shape->second_path != NONE)
		object = object_at_string(t, args[shape->second_path]);
	if (object == FAULT_NOTHING && shape->fd != NONE)
		object = object_at_descriptor(t, (int)args[shape->fd]);
	return object == FAULT_LISTENER && shape->serves ? FAULT_NOTHING : object;
}

/* --- Stops ------------------------------------------------------------------------------------ */

static void
resume(struct fault_tracee *t, int signal)
{
	ptrace(t->looks ? PTRACE_SYSCALL : PTRACE_CONT, t->pid, NULL, (void *)(intptr_t)signal);
}

/* Whether it is held here. */
static bool
enters_call(struct fault_tracee *t)
{
	struct __ptrace_syscall_info info;
	const struct shape *shape;

	if (!t->looks || ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr >= FAULT_NUMBERS)
		return false;
	shape = shape_of(info.entry.nr);
	if (shape == NULL)
		return false;
	t->at.number = shape->number;
	t->at.object = object_of_call(t, shape, (const uint64_t *)info.entry.args);
	if (t->at.object == FAULT_NOTHING)
		return false;
	t->at.nth = ++t->counts[t->at.object][t->at.number];
	return true;
}

enum fault_news
fault_next(struct fault_tracee *t)
{
	int status;

	while (!t->ended && waitpid(t->pid, &status, __WALL | WNOHANG) == t->pid) {
		int signal = WSTOPSIG(status);

		if (!WIFSTOPPED(status)) {
			t->ended = true;
			close(t->pidfd);
			return FAULT_ENDED;
		}
		if (signal == (SIGTRAP | 0x80) && enters_call(t))
			return FAULT_AT_CALL;
		resume(t, status >> 16 == 0 && (signal & 0x80) == 0 ? signal : 0);
	}
	return FAULT_QUIET;
}

void
fault_go_on(struct fault_tracee *t)
{
	resume(t, 0);
}

void
fault_let_go(struct fault_tracee *t)
{
	t->looks = false;
}

static int
stop_first(struct fault_tracee *t)
{
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	int status;

	if (ptrace(PTRACE_SEIZE, t->pid, NULL, (void *)options) < 0)
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL) < 0 ||
	    waitpid(t->pid, &status, __WALL) != t->pid)
		return -errno;
	return WIFSTOPPED(status) ? 0 : -ESRCH;
}

int
fault_seize(struct fault_tracee *t, pid_t pid, const char *path)
{
	int error;

	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->path = path;
	t->looks = true;
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	error = t->pidfd < 0 ? -errno : stop_first(t);
	if (error < 0)
		return error;
	resume(t, 0);
	return 0;
}

void
fault_kill(struct fault_tracee *t)
{
	int status;

	kill(t->pid, SIGKILL);
	waitpid(t->pid, &status, __WALL);
	t->ended = true;
	close(t->pidfd);
}

/* --- What is seen from outside ---------------------------------------------------------------- */

static bool
file_has_words(const char *name, const char *words)
{
	char line[256];
	bool found = false;
	FILE *file = fopen(name, "re");

	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL)
		found = strstr(line, words) != NULL;
	fclose(file);
	return found;
}

typedef bool descriptor_function(const void *arg, pid_t pid, const char *number);

/* Whether that is true of any descriptor. */
static bool
any_descriptor(pid_t pid, descriptor_function *is, const void *arg)
{
	char name[64];
	struct dirent *entry;
	bool found = false;
	DIR *directory;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	directory = opendir(name);
	if (directory == NULL)
		return false;
	while (!found && (entry = readdir(directory)) != NULL)
		found = entry->d_name[0] != '.' && is(arg, pid, entry->d_name);
	closedir(directory);
	return found;
}

static bool
has_owner_lock(const void *arg, pid_t pid, const char *number)
{
	char name[320];

	(void)arg;
	snprintf(name, sizeof(name), "/proc/%d/fdinfo/%s", (int)pid, number);
	return file_has_words(name, "OFDLCK");
}

bool
fault_holds_owner(pid_t pid)
{
	return any_descriptor(pid, has_owner_lock, NULL);
}

struct port_question {
	const struct fault_tracee *t;
	int port;
};

static bool
listens_there(const void *arg, pid_t pid, const char *number)
{
	const struct port_question *q = arg;
	struct sockaddr_in address = { .sin_family = AF_UNSPEC };
	socklen_t length = sizeof(address);
	int fd = copy_descriptor(q->t, atoi(number));
	bool found;

	(void)pid;
	if (fd < 0)
		return false;
	found = option_of(fd, SO_ACCEPTCONN) != 0 &&
		getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
		address.sin_family == AF_INET && ntohs(address.sin_port) == q->port;
	close(fd);
	return found;
}

bool
fault_holds_port(const struct fault_tracee *t, int port)
{
	struct port_question question = { .t = t, .port = port };

	return !t->ended && any_descriptor(t->pid, listens_there, &question);
}

static int
try_calls(struct fault_tracee *t, char *ret_why, size_t size)
{
	struct __ptrace_syscall_info info;
	int copy = copy_descriptor(t, STDERR_FILENO);

	if (copy < 0) {
		snprintf(ret_why, size, "pidfd_getfd(2): %s", strerror(errno));
		return -errno;
	}
	close(copy);
	ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL);
	waitpid(t->pid, NULL, __WALL);
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof(info), &info) <= 0) {
		snprintf(ret_why, size, "ptrace(2) does not tell of system calls: %s",
			 strerror(errno));
		return -EIO;
	}
	return 0;
}

bool
fault_possible(char *ret_why, size_t size)
{
	struct fault_tracee t;
	pid_t pid = fork();
	int error;

	if (pid == 0)
		for (;;)
			pause();
	if (pid < 0) {
		snprintf(ret_why, size, "fork(2): %s", strerror(errno));
		return false;
	}
	error = fault_seize(&t, pid, "/");
	if (error == 0)
		error = try_calls(&t, ret_why, size);
	else
		snprintf(ret_why, size, "a child may not be traced: %s", strerror(-error));
	fault_kill(&t);
	return error == 0;
}
