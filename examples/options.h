/* SPDX-License-Identifier: MIT */
/*
 * What the example servers have in common besides libmolt: their command line and their lifecycle
 * lines. It's all here so that each example shows the rest.
 */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H

#include <molt/molt.h>

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#define OPTIONS_LISTENERS_MAX 16

struct options {
	const char *program;
	const char *path;
	const char *label;
	int64_t drain_ms;     /* -1: libmolt's own */
	int64_t probation_ms; /* -1: libmolt's own */
	bool die_before_ready;
	bool stopping; /* a first SIGTERM has come */
	char **argv;   /* of this process, for the successor */
	int listener_count;
	char names[OPTIONS_LISTENERS_MAX][64];
	const char *addresses[OPTIONS_LISTENERS_MAX];
};

static inline void
options_usage(const struct options *o, FILE *to)
{
	fprintf(to,
		"Usage: %s -s PATH [-l [NAME=]ADDRESS]... [OPTION]...\n"
		"\n"
		"  -s, --socket PATH         where successor and predecessor meet\n"
		"  -l, --listen ADDRESS      tcp://127.0.0.1:8080, tcp://[::1]:0, "
		"unix:///run/x.sock ...;\n"
		"                            may be repeated; default tcp://127.0.0.1:8080\n"
		"  -v, --label LABEL         a word for this version\n"
		"  -d, --drain SECONDS       how long a predecessor finishes its connections\n"
		"  -P, --probation SECONDS   how long a predecessor stays at least, to take over "
		"again\n"
		"  -x, --die-before-ready    start, inherit, and exit 1: shows what a bad version "
		"costs\n"
		"  -h, --help\n"
		"\n"
		"Started again with the same PATH it takes over. SIGHUP starts the successor (the "
		"same\n"
		"program and arguments), SIGTERM drains, a second SIGTERM exits at once.\n",
		o->program);
}

/* Prints what is wrong and exits: with the library's sentence, or with `what` alone. */
static inline _Noreturn void
options_fail(const struct options *o, const char *what, const char *sentence)
{
	fprintf(stderr, "%s[%d] %s%s%s\n", o->program, (int)getpid(), what, sentence ? ": " : "",
		sentence ? sentence : "");
	exit(1);
}

static inline int64_t
options_milliseconds(const struct options *o, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds >= 0 && seconds < 1e9))
		options_fail(o, "not a number of seconds", text);
	return (int64_t)(seconds * 1000 + 0.5);
}

/* [NAME=]ADDRESS. A listener is found again by its name, so without one its place is its name. */
static inline void
options_add_listener(struct options *o, const char *text)
{
	size_t length = strcspn(text, "=:");
	bool named = text[length] == '=' && length < sizeof o->names[0];
	int i = o->listener_count;

	if (i == OPTIONS_LISTENERS_MAX)
		options_fail(o, "too many listeners", text);
	if (named)
		snprintf(o->names[i], sizeof o->names[i], "%.*s", (int)length, text);
	else
		snprintf(o->names[i], sizeof o->names[i], "listener%d", i);
	o->addresses[i] = named ? text + length + 1 : text;
	o->listener_count++;
}

/* One option from the command line. Exits if it is none. */
static inline void
options_set(struct options *o, int option, const char *value)
{
	switch (option) {
	case 's':
		o->path = value;
		break;
	case 'l':
		options_add_listener(o, value);
		break;
	case 'v':
		o->label = value;
		break;
	case 'd':
		o->drain_ms = options_milliseconds(o, value);
		break;
	case 'P':
		o->probation_ms = options_milliseconds(o, value);
		break;
	case 'x':
		o->die_before_ready = true;
		break;
	case 'h':
		options_usage(o, stdout);
		exit(0);
	default:
		options_usage(o, stderr);
		exit(2);
	}
}

static inline void
options_parse(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "listen", required_argument, NULL, 'l' },
		{ "label", required_argument, NULL, 'v' },
		{ "drain", required_argument, NULL, 'd' },
		{ "probation", required_argument, NULL, 'P' },
		{ "die-before-ready", no_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*o = (struct options){ .program = program_invocation_short_name, .argv = argv };
	o->drain_ms = o->probation_ms = -1;
	while ((option = getopt_long(argc, argv, "s:l:v:d:P:xh", names, NULL)) != -1)
		options_set(o, option, optarg);
	if (!o->path || optind != argc) {
		options_usage(o, stderr);
		exit(2);
	}
	if (o->listener_count == 0)
		options_add_listener(o, "tcp://127.0.0.1:8080");
}

/* One lifecycle line on stderr: httpd[4242] generation 2 (v2): SERVE, committed */
__attribute__((format(printf, 3, 4))) static inline void
say(const struct options *o, const struct molt *m, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	/* One write a line: two generations may share this file. */
	dprintf(STDERR_FILENO, "%s[%d] generation %lld%s%s%s: %s\n", o->program, (int)getpid(),
		(long long)molt_generation(m), o->label ? " (" : "", o->label ? o->label : "",
		o->label ? ")" : "", text);
}

/* For example: SERVE, committed */
static inline void
say_event(const struct options *o, const struct molt *m, const struct molt_event *event)
{
	int reason = molt_event_reason(event);
	int type = molt_event_type(event);
	bool failure = type == MOLT_FAILED || type == MOLT_SPAWN_FAILED;

	say(o, m, "%s%s%s%s%s", molt_event_type_name(type), reason ? ", " : "",
	    reason ? molt_reason_name(reason) : "", failure ? ": " : "",
	    failure ? molt_event_text(event) : "");
	for (int i = 0; i < molt_event_entry_count(event); i++) {
		int error = molt_event_entry_error(event, i);

		say(o, m, "%s of %s%s%s", molt_event_type_name(type),
		    molt_event_entry_name(event, i), error ? ": " : "",
		    error ? strerror(-error) : "");
	}
}

/* Where listener `i` can be reached, which -l does not say if its port is 0. */
static inline void
say_listening(const struct options *o, struct molt *m, int i)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof address;
	char host[64], port[8];
	int fd = molt_listener_fd(m, o->names[i], 0);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return;
	if (address.ss_family != AF_INET && address.ss_family != AF_INET6)
		say(o, m, "listening on %s", o->addresses[i]);
	else if (getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port,
			     sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		say(o, m,
		    address.ss_family == AF_INET6 ? "listening on %.3s://[%s]:%s"
						  : "listening on %.3s://%s:%s",
		    o->addresses[i], host, port);
}

static inline void
options_log(void *arg, int severity, const char *key, const char *line)
{
	const struct options *o = arg;

	if (severity <= LOG_WARNING)
		dprintf(STDERR_FILENO, "%s[%d] molt: %s: %s\n", o->program, (int)getpid(), key,
			line);
}

/* A handle that has found its predecessor or is the first. Exits with the sentence if it can't. */
static inline struct molt *
options_start(struct options *o)
{
	struct molt *m = molt_new(o->path);

	if (!m)
		options_fail(o, o->path, strerror(errno));
	molt_set_log(m, options_log, o);
	if ((o->label && molt_set_label(m, o->label) < 0) ||
	    (o->drain_ms >= 0 && molt_set_deadline(m, MOLT_DEADLINE_DRAIN, o->drain_ms) < 0) ||
	    (o->probation_ms >= 0 &&
	     molt_set_deadline(m, MOLT_DEADLINE_PROBATION, o->probation_ms) < 0) ||
	    molt_start(m) < 0)
		options_fail(o, "cannot start", molt_error(m));
	return m;
}

/* Asks for the commit, or does what -x says. */
static inline void
options_ready(const struct options *o, struct molt *m)
{
	if (o->die_before_ready)
		options_fail(o, "exits before it is ready", "--die-before-ready");
	if (molt_ready(m) < 0)
		options_fail(o, "cannot get ready", molt_error(m));
}

/* SIGTERM and SIGHUP, to be read one by one from the descriptor returned. */
static inline int
options_signals(const struct options *o)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		options_fail(o, "signalfd", strerror(errno));
	return fd;
}

/* What every server does when `signals` is readable. */
static inline void
options_on_signal(struct options *o, struct molt *m, int signals)
{
	struct signalfd_siginfo info;
	pid_t pid;

	while (read(signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP) {
			pid = molt_spawn(m, o->argv, NULL);
			if (pid < 0)
				say(o, m, "cannot start a successor: %s", molt_error(m));
			else
				say(o, m, "started the successor %d", (int)pid);
		} else if (o->stopping || molt_drain(m) < 0) {
			say(o, m, "exits at once");
			exit(1);
		} else {
			o->stopping = true;
			say(o, m, "drains");
		}
	}
}

#endif
