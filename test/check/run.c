/* SPDX-License-Identifier: MIT */
/*
 * Runs one test program: run NAME SECONDS RESULT LOCK PROGRAM [ARGUMENT...]
 *
 * The program gets a session of its own and SECONDS; what it printed is printed in one piece when
 * it has ended. Whatever it started is adopted here when its parent dies, so that nothing outlives
 * the test, not even what made a session of its own. A test that leaves a process behind has
 * failed. The file RESULT gets the word "ok", or what went wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct verdict {
	bool ended;
	bool timed_out;
	int interrupted; /* the signal that asks us to stop, or 0 */
	int status;      /* of wait(2) */
	int left;        /* processes that were left behind */
};

static void
die(const char *what)
{
	fprintf(stderr, "run: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static pid_t
start(char *argv[], int log, const sigset_t *old)
{
	pid_t pid = fork();
	int null;

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		die("dup2");
	sigprocmask(SIG_SETMASK, old, NULL);
	execvp(argv[0], argv);
	die(argv[0]);
	return -1;
}

/* Reaps all that have ended. True if children are left. */
static bool
reap(pid_t pid, struct verdict *v)
{
	int status;
	pid_t ended;

	while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
		if (ended == pid) {
			v->ended = true;
			v->status = status;
		}
	}
	return ended == 0;
}

/* Waits until the program has ended, or, with `everybody`, all that it started too. */
static void
wait_until(int64_t end, pid_t pid, bool everybody, const sigset_t *set, struct verdict *v)
{
	for (;;) {
		bool children = reap(pid, v);
		int64_t left = end - now_ms();
		struct timespec t = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
		int number;

		if (everybody ? !children : v->ended)
			return;
		if (left <= 0)
			return;
		number = sigtimedwait(set, NULL, &t);
		if (number > 0 && number != SIGCHLD) {
			v->interrupted = number;
			return;
		}
	}
}

/* The parent of `pid` as /proc/PID/stat has it behind the name, which may contain anything. */
static pid_t
parent_of(pid_t pid, char *name, size_t size)
{
	char path[64], line[512];
	FILE *file;
	size_t length;
	char *open_paren, *close_paren;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	length = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[length] = '\0';
	open_paren = strchr(line, '(');
	close_paren = strrchr(line, ')');
	if (!open_paren || !close_paren || strlen(close_paren) < 5)
		return -1;
	*close_paren = '\0';
	snprintf(name, size, "%s", open_paren + 1);
	return (pid_t)strtol(close_paren + 4, NULL, 10);
}

/* Kills every child of this process. Returns how many there were. */
static int
kill_children(FILE *report)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	if (!proc)
		die("/proc");
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		char name[64];

		if (pid <= 0 || parent_of(pid, name, sizeof(name)) != getpid())
			continue;
		if (report)
			fprintf(report, "left behind: %s (pid %d)\n", name, (int)pid);
		kill(pid, SIGKILL);
		count++;
	}
	closedir(proc);
	return count;
}

/*
 * Ends what is left. A killed process leaves its children to us, so this takes a round for each
 * generation of them.
 */
static void
clear_away(pid_t pid, FILE *log, const sigset_t *set, struct verdict *v)
{
	bool of_its_own = v->ended && !v->interrupted;
	int count;

	while ((count = kill_children(of_its_own ? log : NULL)) > 0) {
		if (of_its_own)
			v->left += count;
		wait_until(now_ms() + 100, pid, true, set, v);
	}
	fflush(log);
}

static void
describe(const struct verdict *v, int seconds, char *text, size_t size)
{
	if (v->interrupted)
		snprintf(text, size, "interrupted");
	else if (v->timed_out)
		snprintf(text, size, "time limit of %d s", seconds);
	else if (WIFSIGNALED(v->status))
		snprintf(text, size, "signal %d (%s)", WTERMSIG(v->status),
			 strsignal(WTERMSIG(v->status)));
	else if (WEXITSTATUS(v->status) != 0)
		snprintf(text, size, "exit status %d", WEXITSTATUS(v->status));
	else if (v->left)
		snprintf(text, size, "processes left behind: %d", v->left);
	else
		snprintf(text, size, "ok");
}

static void
copy_log(FILE *log, FILE *out)
{
	char buffer[65536];
	size_t length;

	rewind(log);
	while ((length = fread(buffer, 1, sizeof(buffer), log)) > 0)
		fwrite(buffer, 1, length, out);
}

static void
print_whole(const char *name, const char *lock, FILE *log, const char *text, int64_t took)
{
	int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		flock(fd, LOCK_EX);
	printf("--- %s\n", name);
	copy_log(log, stdout);
	printf("--- %s: %s, %d.%d s\n", name, text, (int)(took / 1000), (int)(took % 1000 / 100));
	fflush(stdout);
	if (fd >= 0)
		close(fd);
}

static void
write_result(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	if (!file || fprintf(file, "%s\n", text) < 0 || fclose(file) != 0)
		die(path);
}

static void
block_signals(sigset_t *set, sigset_t *old)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, set, old);
}

int
main(int argc, char *argv[])
{
	struct verdict v = { 0 };
	char text[128];
	sigset_t set, old;
	int64_t began = now_ms();
	int seconds = argc > 5 ? atoi(argv[2]) : 0;
	FILE *log = tmpfile();
	pid_t pid;

	if (argc < 6 || seconds < 1 || !log) {
		fprintf(stderr, "usage: run NAME SECONDS RESULT LOCK PROGRAM [ARGUMENT...]\n");
		return 125;
	}
	fcntl(fileno(log), F_SETFD, FD_CLOEXEC);
	fcntl(fileno(log), F_SETFL, O_APPEND);
	block_signals(&set, &old);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = start(argv + 5, fileno(log), &old);
	wait_until(began + seconds * 1000, pid, false, &set, &v);
	v.timed_out = !v.ended && !v.interrupted;
	if (v.ended) /* what was just about to end may do so */
		wait_until(now_ms() + 1000, pid, true, &set, &v);
	clear_away(pid, log, &set, &v);
	describe(&v, seconds, text, sizeof(text));
	print_whole(argv[1], argv[4], log, text, now_ms() - began);
	write_result(argv[3], text);
	return strcmp(text, "ok") == 0 ? 0 : 1;
}
