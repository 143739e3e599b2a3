/* SPDX-License-Identifier: MIT */
/*
 * moltctl: asks a server for its status, and upgrades it and says how that went.
 *
 *     moltctl -s PATH status [--json]
 *     moltctl -s PATH upgrade [--wait] [--timeout SECONDS] -- COMMAND [ARGUMENT]...
 */
#include <molt/molt.h>

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * How long a server may take to answer; how long an upgrade trusts one watch; and waits without
 * one.
 */
#define ANSWER_MS 5000
#define WATCH_MS 500
#define RETRY_MS 20

struct command {
	const char *path;
	const char *verb;
	bool json;
	bool wait;
	int64_t timeout_ms;
	char **argv; /* what to start */
};

static const char usage_text[] =
	"Usage: moltctl -s PATH status [--json]\n"
	"       moltctl -s PATH upgrade [--wait] [--timeout SECONDS] -- COMMAND [ARGUMENT]...\n"
	"\n"
	"status   who serves on the socket file PATH, where it listens, and what still drains\n"
	"upgrade  starts COMMAND as the next version. With --wait it exits 0 when that serves, and "
	"1\n"
	"         with a sentence when it doesn't and the old one goes on, or after SECONDS (120)\n"
	"\n"
	"Exit status: 0, 1 (nobody serves, or the upgrade failed), 2 (usage)\n";

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- Status ----------------------------------------------------------------------------------- */

/* The next status of `w` as text, to be freed, or NULL with errno set. */
static char *
next_text(struct molt_watch *w, int milliseconds)
{
	size_t size = 4096;
	char *text = malloc(size), *larger;
	int n = -ENOMEM;

	while (text && (n = molt_watch_next(w, milliseconds, text, size)) == -ENOSPC) {
		size *= 2;
		larger = size <= (1 << 22) ? realloc(text, size) : NULL;
		if (!larger)
			break;
		text = larger;
	}
	if (n >= 0)
		return text;
	free(text);
	errno = -n;
	return NULL;
}

/* Asks whoever serves on `path`: one status, to be freed. NULL with errno set if nobody answers. */
static char *
ask(const char *path)
{
	struct molt_watch *w = molt_watch_new(path);
	char *text;
	int error;

	if (!w)
		return NULL;
	text = next_text(w, ANSWER_MS);
	error = errno;
	molt_watch_free(w);
	errno = error;
	return text;
}

static const char *
string_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static long long
number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void
print_process(const json_t *p)
{
	const char *label = string_of(p, "label");

	printf("generation %lld  pid %lld  %s%s%s", number_of(p, "generation"), number_of(p, "pid"),
	       string_of(p, "state"), *label ? "  label " : "", label);
}

static void
print_status(const json_t *status)
{
	const json_t *handoff = json_object_get(status, "handoff"), *entry;
	const char *failure = string_of(status, "last_failure");
	const char *label = string_of(handoff, "label");
	size_t i;

	print_process(status);
	printf("\n");
	json_array_foreach(json_object_get(status, "listeners"), i, entry) printf(
		"  listener %s  %s\n", string_of(entry, "name"), string_of(entry, "address"));
	if (json_is_object(handoff))
		printf("  handoff to pid %lld%s%s  %s for %lld ms\n", number_of(handoff, "pid"),
		       *label ? "  label " : "", label, string_of(handoff, "state"),
		       number_of(handoff, "since_ms"));
	if (*failure)
		printf("  last failure: %s\n", failure);
	json_array_foreach(json_object_get(status, "draining"), i, entry)
	{
		printf("  ");
		print_process(entry);
		if (json_is_integer(json_object_get(entry, "remaining")))
			printf("  %lld connections left", number_of(entry, "remaining"));
		printf("\n");
	}
}

static int
status_command(const struct command *c)
{
	char *text = ask(c->path);
	json_t *status;

	if (!text) {
		fprintf(stderr, "moltctl: nobody answers on %s: %s\n", c->path, strerror(errno));
		return 1;
	}
	status = json_loads(text, 0, NULL);
	if (c->json)
		printf("%s\n", text);
	else if (status)
		print_status(status);
	else
		fprintf(stderr, "moltctl: the status is not JSON: %s\n", text);
	free(text);
	json_decref(status);
	return status || c->json ? 0 : 1;
}

/* --- Upgrade ---------------------------------------------------------------------------------- */

/* Who serves, as far as one status says. */
struct owner {
	char instance[40];
	long long pid;
	long long generation;
	char last_failure[512];
};

static void
copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

/* False unless this is the status of a process that serves. Frees `text`, which may be NULL. */
static bool
parse_owner(char *text, struct owner *ret_owner)
{
	json_t *status = text ? json_loads(text, 0, NULL) : NULL;
	bool serves = json_is_true(json_object_get(status, "owner"));

	if (serves) {
		ret_owner->pid = number_of(status, "pid");
		ret_owner->generation = number_of(status, "generation");
		copy(ret_owner->instance, sizeof ret_owner->instance,
		     string_of(status, "instance"));
		copy(ret_owner->last_failure, sizeof ret_owner->last_failure,
		     string_of(status, "last_failure"));
	}
	json_decref(status);
	free(text);
	return serves;
}

/*
 * COMMAND in a session of its own: it outlives this terminal, and what it starts is known by that.
 */
static pid_t
start(char **argv)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	setsid();
	execvp(argv[0], argv);
	fprintf(stderr, "moltctl: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/*
 * The rest of a sentence that began with what became of COMMAND. A failure that was known before is
 * an earlier attempt's.
 */
static int
print_who_serves(const struct command *c, const struct owner *before)
{
	struct owner now;
	bool is_new;

	if (!parse_owner(ask(c->path), &now)) {
		fprintf(stderr, "; nobody serves on %s\n", c->path);
		return 1;
	}
	is_new = strcmp(now.last_failure, before->last_failure) != 0;
	fprintf(stderr, "; generation %lld (pid %lld) %s%s%s\n", now.generation, now.pid,
		strcmp(now.instance, before->instance) == 0 ? "goes on" : "serves instead",
		is_new && *now.last_failure ? ": " : "", is_new ? now.last_failure : "");
	return 1;
}

static int
report_end(const struct command *c, const struct owner *before, int status)
{
	if (WIFSIGNALED(status))
		fprintf(stderr, "moltctl: the new version was ended by signal %d",
			WTERMSIG(status));
	else
		fprintf(stderr, "moltctl: the new version exited with status %d",
			WEXITSTATUS(status));
	return print_who_serves(c, before);
}

static int
report_timeout(const struct command *c, const struct owner *before, pid_t pid)
{
	fprintf(stderr, "moltctl: the new version (pid %d) did not come to serve within %g s",
		(int)pid, (double)c->timeout_ms / 1000);
	return print_who_serves(c, before);
}

/* True once COMMAND serves, or the daemon that it left behind. Waits for a change otherwise. */
static bool
look(const struct command *c, const struct owner *before, pid_t pid, int pidfd)
{
	struct molt_watch *w = molt_watch_new(c->path);
	struct pollfd p[] = { { .fd = pidfd, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	struct owner now;
	bool serves = false;

	if (w && parse_owner(next_text(w, WATCH_MS), &now) &&
	    strcmp(now.instance, before->instance) != 0)
		serves = getsid((pid_t)now.pid) == pid || now.pid == 0 || pidfd < 0;
	if (serves)
		printf("generation %lld (pid %lld) serves\n", now.generation, now.pid);
	p[1].fd = w ? molt_watch_fd(w) : -1;
	if (!serves)
		poll(p, 2, w ? WATCH_MS : RETRY_MS);
	molt_watch_free(w);
	return serves;
}

static int
wait_for(const struct command *c, const struct owner *before, pid_t pid, int pidfd)
{
	int64_t end = now_ms() + c->timeout_ms;
	int status;

	while (now_ms() < end) {
		if (look(c, before, pid, pidfd))
			return 0;
		if (pidfd >= 0 && waitpid(pid, &status, WNOHANG) == pid) {
			if (status != 0)
				return report_end(c, before, status);
			close(pidfd);
			pidfd = -1; /* a daemon: its child goes on */
		}
	}
	return report_timeout(c, before, pid);
}

static int
upgrade_command(const struct command *c)
{
	struct owner before = { 0 };
	pid_t pid;
	int pidfd, result = 0;

	parse_owner(ask(c->path), &before); /* nobody serves: COMMAND is the first then */
	pid = start(c->argv);
	pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		fprintf(stderr, "moltctl: cannot start %s: %s\n", c->argv[0], strerror(errno));
		return 1;
	}
	if (c->wait)
		result = wait_for(c, &before, pid, pidfd);
	else
		printf("started pid %d\n", (int)pid);
	return result;
}

/* --- Command line ----------------------------------------------------------------------------- */

static _Noreturn void
usage(int status)
{
	fputs(usage_text, status ? stderr : stdout);
	exit(status);
}

static int64_t
milliseconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds >= 0 && seconds < 1e9))
		usage(2);
	return (int64_t)(seconds * 1000);
}

/* Stops at the verb, and again at COMMAND. */
static void
parse_options(struct command *c, int argc, char **argv)
{
	static const struct option names[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "wait", no_argument, NULL, 'w' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "+s:h", names, NULL)) != -1) {
		if (option == 's')
			c->path = optarg;
		else if (option == 'j')
			c->json = true;
		else if (option == 'w')
			c->wait = true;
		else if (option == 't')
			c->timeout_ms = milliseconds(optarg);
		else
			usage(option == 'h' ? 0 : 2);
	}
}

int
main(int argc, char **argv)
{
	struct command c = { .timeout_ms = 120000 };

	parse_options(&c, argc, argv);
	if (optind == argc)
		usage(2);
	c.verb = argv[optind++];
	parse_options(&c, argc, argv);
	c.argv = argv + optind;
	if (!c.path)
		usage(2);
	if (strcmp(c.verb, "status") == 0 && !*c.argv)
		return status_command(&c);
	if (strcmp(c.verb, "upgrade") == 0 && *c.argv)
		return upgrade_command(&c);
	usage(2);
}
