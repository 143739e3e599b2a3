/* SPDX-License-Identifier: MIT */
/* What an actor can be told to do: one function a command. */
#include "actor_child.h"
#include "fds.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORDS_MAX = 5 };

/* A command under way. `rest` begins at the first argument and has blanks. */
struct call {
	struct child *c;
	struct child_handle *h;
	struct molt *m;
	char *word[WORDS_MAX];
	const char *rest;
	char text[ACTOR_LINE_MAX - 32];
};

static void say(struct call *k, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
say(struct call *k, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(k->text, sizeof(k->text), format, args);
	va_end(args);
}

static int
number(const struct call *k, int i)
{
	return atoi(k->word[i]);
}

/* --- The handle's life ------------------------------------------------------------------------ */

static int
do_new(struct call *k)
{
	if (k->m != NULL)
		return -EALREADY;
	k->h->m = molt_new(k->word[1]);
	if (k->h->m == NULL)
		return -errno;
	molt_set_log(k->h->m, child_log, k->c);
	molt_set_label(k->h->m, k->c->label);
	k->h->uncounted = false;
	k->h->stays = false;
	child_set_remaining(k->c, k->h->index);
	return 0;
}

static int
do_free(struct call *k)
{
	child_free_handle(k->c, k->h);
	return 0;
}

static int
do_use(struct call *k)
{
	if (number(k, 1) < 0 || number(k, 1) >= CHILD_HANDLES)
		return -EINVAL;
	k->c->current = number(k, 1);
	return 0;
}

static int
do_start(struct call *k)
{
	return molt_start(k->m);
}

static int
do_connect(struct call *k)
{
	return molt_connect(k->m);
}

static int
do_ready(struct call *k)
{
	return molt_ready(k->m);
}

static int
do_drain(struct call *k)
{
	return molt_drain(k->m);
}

static int
do_cancel(struct call *k)
{
	return molt_cancel(k->m);
}

static int
do_commit(struct call *k)
{
	return molt_commit(k->m);
}

static int
do_loaded(struct call *k)
{
	return molt_loaded(k->m);
}

static int
do_hold_commit(struct call *k)
{
	return molt_hold_commit(k->m);
}

static int
do_hold_load(struct call *k)
{
	return molt_hold_load(k->m);
}

static int
do_progress(struct call *k)
{
	return molt_progress(k->m);
}

/* --- Setters ---------------------------------------------------------------------------------- */

static int
do_refuse(struct call *k)
{
	return molt_refuse(k->m, k->rest[0] != '\0' ? k->rest : NULL);
}

static int
do_allow(struct call *k)
{
	return molt_allow_uid(k->m, (uid_t)number(k, 1));
}

static int
do_owner(struct call *k)
{
	return molt_set_owner(k->m, (uid_t)number(k, 1), (gid_t)number(k, 2),
			      (mode_t)strtol(k->word[3], NULL, 8));
}

static int
do_room(struct call *k)
{
	return molt_set_room(k->m, number(k, 1));
}

static int
do_exclusive(struct call *k)
{
	return molt_set_exclusive(k->m, number(k, 1));
}

static int
do_compatibility(struct call *k)
{
	return molt_set_compatibility(k->m, (uint32_t)number(k, 1));
}

static int
do_downgrade(struct call *k)
{
	return molt_allow_downgrade(k->m);
}

static int
do_deadline(struct call *k)
{
	return molt_set_deadline(k->m, number(k, 1), number(k, 2));
}

static int
do_remaining(struct call *k)
{
	k->h->uncounted = true;
	return molt_set_remaining(k->m, number(k, 1));
}

static int
do_uncounted(struct call *k)
{
	k->h->uncounted = true;
	return 0;
}

static int
do_stay(struct call *k)
{
	k->h->stays = true;
	return 0;
}

static int
do_deaf(struct call *k)
{
	k->h->deaf = true;
	return 0;
}

static int
do_liar(struct call *k)
{
	k->h->liar = true;
	return 0;
}

/* --- Listeners -------------------------------------------------------------------------------- */

static int
do_listen(struct call *k)
{
	int fd = molt_listen(k->m, k->word[1], k->word[2]);

	for (int i = 0; fd >= 0 && i < molt_listener_count(k->m, k->word[1]); i++)
		child_add_listener(k->c, k->word[1], molt_listener_fd(k->m, k->word[1], i), false);
	return fd;
}

static int
do_count(struct call *k)
{
	return molt_listener_count(k->m, k->word[1]);
}

static int
do_fd(struct call *k)
{
	return molt_listener_fd(k->m, k->word[1], number(k, 2));
}

static int
port_of(int fd)
{
	struct sockaddr_in6 address;
	socklen_t length = sizeof(address);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -EBADF;
	return ntohs(address.sin6_port);
}

static int
do_port(struct call *k)
{
	for (int i = 0; i < k->c->listener_count; i++) {
		const struct child_listener *l = &k->c->listeners[i];
		if (l->own && strcmp(l->name, k->word[1]) == 0)
			return port_of(l->fd);
	}
	return port_of(molt_listener_fd(k->m, k->word[1], number(k, 2)));
}

static int
do_take(struct call *k)
{
	int fd = molt_take(k->m, k->word[1]);

	if (fd >= 0)
		close(fd);
	return fd;
}

static struct sockaddr_in
loopback(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)port);
	return address;
}

static int
do_take_address(struct call *k)
{
	struct sockaddr_in address = loopback(number(k, 1));
	int fd = molt_take_address(k->m, SOCK_STREAM, (struct sockaddr *)&address, sizeof(address));

	if (fd >= 0)
		close(fd);
	return fd;
}

static int
do_adopt(struct call *k)
{
	int fd = molt_take(k->m, k->word[1]);

	if (fd < 0)
		return fd;
	child_add_listener(k->c, k->word[1], fd, true);
	return molt_offer(k->m, k->word[1], fd);
}

static int
do_bind(struct call *k)
{
	struct sockaddr_in address = loopback(number(k, 2));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	error = molt_offer(k->m, k->word[1], fd);
	if (error == 0)
		child_add_listener(k->c, k->word[1], fd, true);
	else
		close(fd);
	return error;
}

/* --- Other descriptors ------------------------------------------------------------------------ */

/* The actor leaves it open until it ends: offered means still its own. */
static int
do_memfd(struct call *k)
{
	const char *text = k->rest + strlen(k->word[1]);
	int fd = memfd_create(k->word[1], MFD_CLOEXEC | MFD_ALLOW_SEALING);

	text += *text == ' ';
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		return -errno;
	return molt_offer(k->m, k->word[1], fd);
}

static int
do_read(struct call *k)
{
	int fd = molt_take(k->m, k->word[1]);
	ssize_t length;

	if (fd < 0)
		return fd;
	length = pread(fd, k->text, sizeof(k->text) - 1, 0);
	close(fd);
	k->text[length > 0 ? length : 0] = '\0';
	return (int)length;
}

static int
do_withdraw(struct call *k)
{
	return molt_withdraw(k->m, k->word[1]);
}

static int
do_inherited(struct call *k)
{
	size_t at = 0;

	for (int i = 0; i < molt_inherited_count(k->m) && at < sizeof(k->text) - 80; i++)
		at += (size_t)snprintf(k->text + at, sizeof(k->text) - at, "%s%s", i > 0 ? " " : "",
				       molt_inherited_name(k->m, i));
	return molt_inherited_count(k->m);
}

/* --- Questions -------------------------------------------------------------------------------- */

static int
do_state(struct call *k)
{
	say(k, "%s", molt_state_name(k->m));
	return 0;
}

static int
do_error(struct call *k)
{
	say(k, "%s", molt_error(k->m));
	return 0;
}

static int
do_describe(struct call *k)
{
	return molt_describe(k->m, k->text, sizeof(k->text));
}

static int
do_generation(struct call *k)
{
	return (int)molt_generation(k->m);
}

static int
do_retired(struct call *k)
{
	return molt_retired(k->m);
}

static int
do_is_owner(struct call *k)
{
	return molt_is_owner(k->m);
}

static int
do_log(struct call *k)
{
	for (int i = 0; i < k->c->log_count; i++) {
		if (strcmp(k->c->logs[i].key, k->word[1]) != 0)
			continue;
		say(k, "%s", k->c->logs[i].last);
		return k->c->logs[i].count;
	}
	return 0;
}

static int
do_fds(struct call *k)
{
	(void)k;
	return fds_count();
}

/* --- The process ------------------------------------------------------------------------------ */

static int
do_become(struct call *k)
{
	if (setgroups(0, NULL) < 0 || setgid((gid_t)number(k, 2)) < 0 ||
	    setuid((uid_t)number(k, 1)) < 0)
		return -errno;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* was lost with the uid */
	return 0;
}

static int
do_workers(struct call *k)
{
	bool careful = strcmp(k->word[2], "careful") == 0;
	size_t at = 0;
	int count = 0;

	for (; count < number(k, 1); count++) {
		pid_t pid = child_fork_worker(k->c, k->m, careful);
		if (pid < 0)
			return -errno;
		at += (size_t)snprintf(k->text + at, sizeof(k->text) - at, "%d ", (int)pid);
	}
	return count;
}

static int
do_exit(struct call *k)
{
	k->c->status = number(k, 1);
	k->c->done = true;
	return 0;
}

/* --- Which is which --------------------------------------------------------------------------- */

struct command {
	const char *name;
	int words; /* it needs, itself included */
	bool without_handle;
	int (*call)(struct call *k);
};

static const struct command commands[] = {
	{ "new", 2, true, do_new },
	{ "free", 1, true, do_free },
	{ "use", 2, true, do_use },
	{ "start", 1, false, do_start },
	{ "connect", 1, false, do_connect },
	{ "ready", 1, false, do_ready },
	{ "drain", 1, false, do_drain },
	{ "cancel", 1, false, do_cancel },
	{ "commit", 1, false, do_commit },
	{ "loaded", 1, false, do_loaded },
	{ "hold_commit", 1, false, do_hold_commit },
	{ "hold_load", 1, false, do_hold_load },
	{ "progress", 1, false, do_progress },
	{ "refuse", 1, false, do_refuse },
	{ "allow", 2, false, do_allow },
	{ "owner", 4, false, do_owner },
	{ "room", 2, false, do_room },
	{ "exclusive", 2, false, do_exclusive },
	{ "compatibility", 2, false, do_compatibility },
	{ "downgrade", 1, false, do_downgrade },
	{ "deadline", 3, false, do_deadline },
	{ "remaining", 2, false, do_remaining },
	{ "uncounted", 1, false, do_uncounted },
	{ "stay", 1, false, do_stay },
	{ "deaf", 1, false, do_deaf },
	{ "liar", 1, false, do_liar },
	{ "listen", 3, false, do_listen },
	{ "count", 2, false, do_count },
	{ "fd", 3, false, do_fd },
	{ "port", 3, false, do_port },
	{ "take", 2, false, do_take },
	{ "take_address", 2, false, do_take_address },
	{ "adopt", 2, false, do_adopt },
	{ "bind", 3, false, do_bind },
	{ "memfd", 3, false, do_memfd },
	{ "read", 2, false, do_read },
	{ "withdraw", 2, false, do_withdraw },
	{ "inherited", 1, false, do_inherited },
	{ "state", 1, false, do_state },
	{ "error", 1, false, do_error },
	{ "describe", 1, false, do_describe },
	{ "generation", 1, false, do_generation },
	{ "retired", 1, false, do_retired },
	{ "is_owner", 1, false, do_is_owner },
	{ "log", 2, true, do_log },
	{ "fds", 1, true, do_fds },
	{ "become", 3, true, do_become },
	{ "workers", 3, false, do_workers },
	{ "exit", 2, true, do_exit },
};

static int
split(struct call *k, char *line)
{
	int n = 0;

	for (char *word = strtok(line, " "); word != NULL && n < WORDS_MAX;
	     word = strtok(NULL, " "))
		k->word[n++] = word;
	return n;
}

static int
perform(struct call *k, int words)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *command = &commands[i];
		if (words == 0 || strcmp(command->name, k->word[0]) != 0)
			continue;
		if (words < command->words || (k->m == NULL && !command->without_handle))
			break;
		return command->call(k);
	}
	say(k, "no such command, too few words, or no handle");
	return ACTOR_NOTHING - 1;
}

void
child_command(struct child *c, char *line)
{
	struct child_handle *h = &c->handles[c->current];
	struct call k = { .c = c, .h = h, .m = h->m };
	char whole[ACTOR_LINE_MAX + 1];
	char answer[ACTOR_LINE_MAX + 1];

	snprintf(whole, sizeof(whole), "%s", line);
	const char *blank = strchr(whole, ' ');
	k.rest = blank != NULL ? blank + 1 : "";
	int result = perform(&k, split(&k, line));
	if (result < 0 && k.text[0] == '\0' && h->m != NULL)
		say(&k, "%s", molt_error(h->m));
	snprintf(answer, sizeof(answer), "%d %s", result, k.text);
	send(c->control, answer, strlen(answer), MSG_NOSIGNAL);
}
