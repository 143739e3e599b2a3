/* SPDX-License-Identifier: MIT */
/*
 * Socket file, lock file, both locks and the record.
 */
#include "rendezvous.h"

#include "fds.h"
#include "tmpdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534, SLOT_BYTES = 40 };

/* Where the two slots of the record stand: part of the file's format. */
static const off_t slot_offset[2] = { 512, 1536 };

static const struct socket_owner plain_owner = {
	.uid = (uid_t)-1,
	.gid = (gid_t)-1,
	.mode = 0600,
};

/* --- What the tests share --------------------------------------------------------------------- */

/* A directory, and two processes' views of one rendezvous in it, both with the lock file open. */
struct place {
	struct fds *before;
	char *directory;
	char *path;
	struct rendezvous *a;
	struct rendezvous *b;
};

static struct rendezvous *
open_rendezvous(const char *path)
{
	struct rendezvous *r;

	assert_int_equal(molt__rendezvous_new(path, &r), 0);
	assert_int_equal(molt__rendezvous_open_lock(r), 0);
	return r;
}

static int
set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	place->before = fds_snapshot();
	assert_non_null(place->before);
	place->directory = tmpdir_make();
	assert_non_null(place->directory);
	place->path = tmpdir_join(place->directory, "socket");
	place->a = open_rendezvous(place->path);
	place->b = open_rendezvous(place->path);
	*state = place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;
	int changed;

	molt__rendezvous_free(place->a);
	molt__rendezvous_free(place->b);
	changed = fds_changed(place->before);
	fds_free(place->before);
	free(place->path);
	changed |= tmpdir_remove(place->directory);
	free(place);
	return changed;
}

/* How many files are in the directory. */
static int
count_files(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int count = 0;

	assert_non_null(directory);
	while ((entry = readdir(directory)))
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(directory);
	return count;
}

static struct stat
stat_of(const char *path)
{
	struct stat status;

	assert_int_equal(lstat(path, &status), 0);
	return status;
}

/* Puts another file in the place of the lock file. */
static void
replace_lock_file(const struct place *place)
{
	char *other = tmpdir_join(place->directory, "other");
	int fd = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(rename(other, molt__rendezvous_lock_path(place->a)), 0);
	close(fd);
	free(other);
}

/* A child that does `prepare` and then waits to be killed. It is ready when this returns. */
static pid_t
start_child(void (*prepare)(struct place *), struct place *place)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* However this test ends. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prepare(place);
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void
kill_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Runs `run` as nobody in a child. Returns its exit status; skips the test if we are not root. */
static int
as_nobody(int (*run)(struct place *), struct place *place)
{
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("only root can become another user\n");
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
			_exit(100);
		_exit(run(place));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
bind_plain(struct rendezvous *r, struct file_identity *identity)
{
	int fd = -1;
	int error = molt__rendezvous_bind(r, &plain_owner, &fd, identity);

	return error < 0 ? error : fd;
}

/* --- The lock file ---------------------------------------------------------------------------- */

static void
test_a_path_is_absolute(void **state)
{
	struct place *place = *state;
	struct rendezvous *r = NULL;
	char *lock = tmpdir_join(place->directory, "socket.lock");

	assert_int_equal(molt__rendezvous_new("relative/path", &r), -EINVAL);
	assert_null(r);
	molt__rendezvous_free(NULL);
	assert_string_equal(molt__rendezvous_path(place->a), place->path);
	assert_string_equal(molt__rendezvous_lock_path(place->a), lock);
	free(lock);
}

static void
test_the_lock_file_is_private_and_has_its_page(void **state)
{
	struct place *place = *state;
	struct stat status = stat_of(molt__rendezvous_lock_path(place->a));

	assert_int_equal(status.st_mode, S_IFREG | 0600);
	assert_int_equal(status.st_size, 4096);
	assert_true(status.st_blocks > 0);
}

static void
test_what_is_no_regular_file_is_refused(void **state)
{
	struct place *place = *state;
	const char *lock = molt__rendezvous_lock_path(place->a);
	struct rendezvous *r;

	assert_int_equal(molt__rendezvous_new(place->path, &r), 0);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(mkfifo(lock, 0600), 0);
	assert_int_equal(molt__rendezvous_open_lock(r), -EINVAL);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(symlink("/dev/null", lock), 0);
	assert_int_equal(molt__rendezvous_open_lock(r), -ELOOP);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(mkdir(lock, 0700), 0);
	assert_int_equal(molt__rendezvous_open_lock(r), -EISDIR);
	molt__rendezvous_free(r);
}

static void
test_another_users_lock_file_opens_in_a_shared_directory(void **state)
{
	struct place *place = *state;

	if (geteuid() != 0) {
		print_message("only root can give a file to another user\n");
		skip();
	}
	assert_int_equal(chmod(place->directory, 01777), 0);
	assert_int_equal(chown(place->directory, 1, 1), 0);
	assert_int_equal(chown(molt__rendezvous_lock_path(place->a), NOBODY, NOBODY), 0);
	assert_int_equal(molt__rendezvous_open_lock(place->a), 0);
}

static void
test_the_lock_file_can_be_given_to_another_user(void **state)
{
	struct place *place = *state;
	const char *lock = molt__rendezvous_lock_path(place->a);
	struct stat status;

	assert_int_equal(molt__rendezvous_set_lock_owner(place->a, (uid_t)-1, getegid()), 0);
	status = stat_of(lock);
	assert_int_equal(status.st_mode, S_IFREG | 0660);
	assert_int_equal(status.st_uid, geteuid());
	assert_int_equal(molt__rendezvous_set_lock_owner(place->a, (uid_t)-1, (gid_t)-1), 0);
	assert_int_equal(stat_of(lock).st_mode, S_IFREG | 0600);
	if (geteuid() != 0)
		return;
	assert_int_equal(molt__rendezvous_set_lock_owner(place->a, NOBODY, 12), 0);
	status = stat_of(lock);
	assert_int_equal(status.st_mode, S_IFREG | 0660);
	assert_true(status.st_uid == NOBODY && status.st_gid == 12);
}

/* --- LIFE ------------------------------------------------------------------------------------- */

static void
test_life_is_held_once(void **state)
{
	struct place *place = *state;

	assert_int_equal(molt__rendezvous_life_fd(place->a), -1);
	assert_int_equal(molt__rendezvous_take_life(place->a), 0);
	assert_true(molt__rendezvous_life_fd(place->a) >= 0);
	assert_int_equal(molt__rendezvous_take_life(place->b), -EWOULDBLOCK);
	assert_int_equal(molt__rendezvous_life_fd(place->b), -1);
	molt__rendezvous_close_life(place->a);
	assert_int_equal(molt__rendezvous_life_fd(place->a), -1);
	assert_int_equal(molt__rendezvous_take_life(place->b), 0);
}

static void
test_life_lasts_as_long_as_any_copy(void **state)
{
	struct place *place = *state;
	int copy;

	assert_int_equal(molt__rendezvous_take_life(place->a), 0);
	copy = molt__sys_duplicate(molt__rendezvous_life_fd(place->a));
	assert_int_equal(molt__rendezvous_adopt_life(place->b, copy), 0);
	assert_int_equal(molt__rendezvous_life_fd(place->b), copy);
	molt__rendezvous_close_life(place->a);
	assert_int_equal(molt__rendezvous_take_life(place->a), -EWOULDBLOCK);
	molt__rendezvous_close_life(place->b);
	assert_int_equal(molt__rendezvous_take_life(place->a), 0);
}

static void
keep_everything(struct place *place)
{
	(void)place;
}

static void
give_up_everything(struct place *place)
{
	molt__rendezvous_after_fork(place->a);
}

static void
test_a_child_that_kept_its_copy_holds_life(void **state)
{
	struct place *place = *state;
	pid_t child;

	assert_int_equal(molt__rendezvous_take_life(place->a), 0);
	child = start_child(keep_everything, place);
	molt__rendezvous_close_life(place->a);
	assert_int_equal(molt__rendezvous_take_life(place->b), -EWOULDBLOCK);
	kill_child(child);
	assert_int_equal(molt__rendezvous_take_life(place->b), 0);
}

static void
test_a_child_that_gave_up_takes_nothing_along(void **state)
{
	struct place *place = *state;
	pid_t child;

	assert_int_equal(molt__rendezvous_take_life(place->a), 0);
	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	child = start_child(give_up_everything, place);
	/* It only closed: both locks are still the parent's. */
	assert_int_equal(molt__rendezvous_take_life(place->b), -EWOULDBLOCK);
	assert_int_equal(molt__rendezvous_lock_owner(place->b), -EAGAIN);
	molt__rendezvous_after_fork(place->a);
	assert_false(molt__rendezvous_holds_owner(place->a));
	assert_int_equal(molt__rendezvous_take_life(place->b), 0);
	assert_int_equal(molt__rendezvous_lock_owner(place->b), 0);
	kill_child(child);
}

static void
test_a_replaced_lock_file_is_opened_anew(void **state)
{
	struct place *place = *state;
	struct rendezvous *third;

	replace_lock_file(place);
	assert_int_equal(molt__rendezvous_take_life(place->a), 0);
	/* LIFE and OWNER are both on the file that stands there now. */
	third = open_rendezvous(place->path);
	assert_int_equal(molt__rendezvous_take_life(third), -EWOULDBLOCK);
	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	assert_int_equal(molt__rendezvous_lock_owner(third), -EAGAIN);
	molt__rendezvous_free(third);
}

static void
test_life_of_another_file_is_refused(void **state)
{
	struct place *place = *state;
	struct rendezvous *third;
	int copy;

	assert_int_equal(molt__rendezvous_take_life(place->a), 0);
	copy = molt__sys_duplicate(molt__rendezvous_life_fd(place->a));
	replace_lock_file(place);
	/* The same file as our own open, but not the one at PATH.lock. */
	assert_int_equal(molt__rendezvous_adopt_life(place->b, copy), -ESTALE);
	/* Our own open is the one at PATH.lock, but LIFE is on another. */
	third = open_rendezvous(place->path);
	assert_int_equal(molt__rendezvous_adopt_life(third, copy), -ESTALE);
	assert_int_equal(unlink(molt__rendezvous_lock_path(place->a)), 0);
	assert_int_equal(molt__rendezvous_adopt_life(place->b, copy), -ESTALE);
	assert_int_equal(molt__rendezvous_life_fd(place->b), -1);
	molt__rendezvous_free(third);
	assert_int_equal(close(copy), 0);
}

/* --- OWNER ------------------------------------------------------------------------------------ */

static void
test_owner_is_one(void **state)
{
	struct place *place = *state;

	assert_false(molt__rendezvous_holds_owner(place->a));
	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	assert_true(molt__rendezvous_holds_owner(place->a));
	assert_int_equal(molt__rendezvous_open_lock(place->a), -EBUSY);
	assert_int_equal(molt__rendezvous_lock_owner(place->b), -EAGAIN);
	assert_false(molt__rendezvous_holds_owner(place->b));
	/* One who doesn't hold it can't free it. */
	molt__rendezvous_unlock_owner(place->b);
	assert_int_equal(molt__rendezvous_lock_owner(place->b), -EAGAIN);
	molt__rendezvous_unlock_owner(place->a);
	assert_false(molt__rendezvous_holds_owner(place->a));
	assert_int_equal(molt__rendezvous_lock_owner(place->b), 0);
}

static void
own_b(struct place *place)
{
	if (molt__rendezvous_lock_owner(place->b) != 0)
		_exit(2);
}

static void
test_a_killed_process_frees_owner(void **state)
{
	struct place *place = *state;
	pid_t child;
	int error, milliseconds;

	/* Only the child may have copies of that open. */
	child = start_child(own_b, place);
	molt__rendezvous_after_fork(place->b);
	assert_int_equal(molt__rendezvous_lock_owner(place->a), -EAGAIN);
	assert_int_equal(kill(child, SIGKILL), 0);
	/* As R3 asks: 1, 2, 4 … ms. */
	error = molt__rendezvous_lock_owner(place->a);
	for (milliseconds = 1; error == -EAGAIN && milliseconds < 4096; milliseconds *= 2) {
		poll(NULL, 0, milliseconds);
		error = molt__rendezvous_lock_owner(place->a);
	}
	assert_int_equal(error, 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* --- RECORD ----------------------------------------------------------------------------------- */

static void
write_record(struct rendezvous *r, uint64_t number)
{
	struct record record = { .generation = number, .owner = number, .heir = number };

	assert_int_equal(molt__rendezvous_write_record(r, &record), 0);
}

static void
assert_record(const struct rendezvous *r, uint64_t sequence, uint64_t number)
{
	struct record record;

	assert_int_equal(molt__rendezvous_read_record(r, &record), 0);
	assert_int_equal(record.sequence, sequence);
	assert_int_equal(record.generation, number);
	assert_int_equal(record.owner, number);
	assert_int_equal(record.heir, number);
}

/* Changes one byte of a slot. */
static void
spoil(const struct place *place, int slot, int byte)
{
	int fd = open(molt__rendezvous_lock_path(place->a), O_RDWR | O_CLOEXEC);
	unsigned char old;

	assert_int_equal(pread(fd, &old, 1, slot_offset[slot] + byte), 1);
	old ^= 0x40;
	assert_int_equal(pwrite(fd, &old, 1, slot_offset[slot] + byte), 1);
	close(fd);
}

static void
test_a_new_file_has_no_record(void **state)
{
	struct place *place = *state;
	struct record record = { .sequence = 77 };

	assert_int_equal(molt__rendezvous_read_record(place->a, &record), -EBADMSG);
	assert_int_equal(record.sequence, 77);
}

static void
test_only_the_owner_writes(void **state)
{
	struct place *place = *state;
	struct record record = { .generation = 1 };

	assert_int_equal(molt__rendezvous_write_record(place->a, &record), -EPERM);
	assert_int_equal(molt__rendezvous_read_record(place->a, &record), -EBADMSG);
}

static void
test_the_last_record_counts(void **state)
{
	struct place *place = *state;

	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	for (uint64_t i = 1; i <= 5; i++) {
		write_record(place->a, 100 + i);
		assert_record(place->b, i, 100 + i);
	}
	/* It stays when the lock goes, and another goes on from it. */
	molt__rendezvous_unlock_owner(place->a);
	assert_record(place->a, 5, 105);
	assert_int_equal(molt__rendezvous_lock_owner(place->b), 0);
	write_record(place->b, 200);
	assert_record(place->a, 6, 200);
	/* Opening the file anew leaves it alone. */
	assert_int_equal(molt__rendezvous_open_lock(place->a), 0);
	assert_record(place->a, 6, 200);
}

static void
test_every_byte_of_a_record_is_checked(void **state)
{
	struct place *place = *state;

	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	write_record(place->a, 1);
	write_record(place->a, 2);
	for (int byte = 0; byte < SLOT_BYTES; byte++) {
		spoil(place, 1, byte);
		assert_record(place->b, 1, 1);
		spoil(place, 1, byte);
		assert_record(place->b, 2, 2);
	}
}

static void
test_two_torn_slots_are_no_record(void **state)
{
	struct place *place = *state;
	struct record record;

	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	write_record(place->a, 1);
	write_record(place->a, 2);
	spoil(place, 0, 20);
	spoil(place, 1, 20);
	assert_int_equal(molt__rendezvous_read_record(place->b, &record), -EBADMSG);
	/* Whoever owns can write again. */
	write_record(place->a, 3);
	assert_record(place->b, 1, 3);
}

static void
test_a_torn_slot_is_the_next_to_be_written(void **state)
{
	struct place *place = *state;

	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	write_record(place->a, 1);
	write_record(place->a, 2);
	write_record(place->a, 3);
	spoil(place, 0, 30);
	assert_record(place->b, 2, 2);
	write_record(place->a, 4);
	/* Into slot 0, with slot 1 as it was. */
	assert_record(place->b, 3, 4);
	spoil(place, 0, 30);
	assert_record(place->b, 2, 2);
}

/* Writes with the file's size bounded to `limit` bytes. */
static int
write_bounded(struct rendezvous *r, rlim_t bytes)
{
	struct record record = { .generation = 9 };
	struct rlimit limit, low;
	int error;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	low = limit;
	low.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	error = molt__rendezvous_write_record(r, &record);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	return error;
}

static void
test_a_write_that_fails_has_not_happened(void **state)
{
	struct place *place = *state;
	void (*before)(int) = signal(SIGXFSZ, SIG_IGN);

	assert_int_equal(molt__rendezvous_lock_owner(place->a), 0);
	write_record(place->a, 1);
	write_record(place->a, 2);
	assert_int_equal(write_bounded(place->a, 100), -EFBIG);
	assert_record(place->b, 2, 2);
	/* Half of it was written: into the older slot, so nothing is lost. */
	assert_int_equal(write_bounded(place->a, (rlim_t)slot_offset[0] + 20), -EIO);
	assert_record(place->b, 2, 2);
	write_record(place->a, 3);
	assert_record(place->b, 3, 3);
	signal(SIGXFSZ, before);
}

/* A child that owns and writes until it is killed. */
static pid_t
start_writer(struct place *place)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	own_b(place);
	for (uint64_t i = 1;; i++) {
		struct record record = { .generation = i, .owner = i, .heir = i };

		molt__rendezvous_write_record(place->b, &record);
	}
}

static void
test_a_reader_sees_whole_records_that_never_go_back(void **state)
{
	struct place *place = *state;
	struct record record;
	uint64_t last = 0;
	uint64_t seen = 0;
	pid_t child = start_writer(place);

	for (int i = 0; i < 300000 || seen < 10; i++) {
		if (molt__rendezvous_read_record(place->a, &record) < 0)
			continue;
		assert_int_equal(record.owner, record.sequence);
		assert_int_equal(record.heir, record.sequence);
		assert_true(record.sequence >= last);
		seen += record.sequence > last;
		last = record.sequence;
	}
	kill_child(child);
}

/* --- The socket file -------------------------------------------------------------------------- */

static void
test_the_socket_file_is_private_whole_and_alone(void **state)
{
	struct place *place = *state;
	struct file_identity identity = { 0 };
	mode_t old = umask(0);
	int on = 0;
	socklen_t length = sizeof(on);
	int client = -1;
	int accepted;
	int fd = bind_plain(place->a, &identity);

	umask(old);
	assert_true(fd >= 0);
	assert_int_equal(stat_of(place->path).st_mode, S_IFSOCK | 0600);
	assert_int_equal(stat_of(place->path).st_ino, identity.ino);
	assert_int_equal(molt__rendezvous_path_is(place->b, &identity), 1);
	assert_int_equal(count_files(place->directory), 2);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(molt__rendezvous_connect(place->b, &client), 0);
	assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
	assert_int_equal(getsockopt(client, SOL_SOCKET, SO_PASSCRED, &on, &length), 0);
	assert_int_equal(on, 1);
	/* From the first packet on: an accepted socket has it from the listener. */
	accepted = molt__sys_accept(fd);
	on = 0;
	assert_int_equal(getsockopt(accepted, SOL_SOCKET, SO_PASSCRED, &on, &length), 0);
	assert_int_equal(on, 1);
	molt__sys_close_all((int[]){ fd, client, accepted }, 3);
}

static void
test_the_umask_takes_nothing_from_the_mode(void **state)
{
	struct place *place = *state;
	struct socket_owner owner = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0666 };
	struct file_identity identity;
	mode_t old = umask(0777);
	int fd = -1;

	assert_int_equal(molt__rendezvous_bind(place->a, &owner, &fd, &identity), 0);
	umask(old);
	assert_int_equal(stat_of(place->path).st_mode, S_IFSOCK | 0666);
	close(fd);
}

static void
test_the_socket_file_can_be_another_users(void **state)
{
	struct place *place = *state;
	struct socket_owner owner = { .uid = NOBODY, .gid = 12, .mode = 0660 };
	struct file_identity identity;
	struct stat status;
	int fd = -1;

	if (geteuid() != 0) {
		print_message("only root can give a file to another user\n");
		skip();
	}
	assert_int_equal(molt__rendezvous_bind(place->a, &owner, &fd, &identity), 0);
	status = stat_of(place->path);
	assert_int_equal(status.st_mode, S_IFSOCK | 0660);
	assert_true(status.st_uid == NOBODY && status.st_gid == 12);
	close(fd);
}

/* Asks for an owner that only root may give. */
static int
bind_for_root(struct place *place)
{
	struct socket_owner owner = { .uid = 0, .gid = (gid_t)-1, .mode = 0600 };
	struct file_identity identity;
	int fd;

	return -molt__rendezvous_bind(place->a, &owner, &fd, &identity);
}

static void
test_a_bind_that_fails_leaves_nothing(void **state)
{
	struct place *place = *state;

	assert_int_equal(chmod(place->directory, 0777), 0);
	assert_int_equal(as_nobody(bind_for_root, place), EPERM);
	assert_int_equal(count_files(place->directory), 1);
}

static void
test_a_stale_socket_file_is_replaced(void **state)
{
	struct place *place = *state;
	struct file_identity first, second;
	int client = -1;
	int fd = bind_plain(place->a, &first);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(molt__rendezvous_connect(place->b, &client), -ECONNREFUSED);
	fd = bind_plain(place->b, &second);
	assert_true(fd >= 0);
	assert_int_equal(molt__rendezvous_path_is(place->a, &first), 0);
	assert_int_equal(molt__rendezvous_path_is(place->a, &second), 1);
	assert_int_equal(count_files(place->directory), 2);
	close(fd);
}

static void
test_a_living_socket_file_is_left_alone(void **state)
{
	struct place *place = *state;
	struct file_identity first, second;
	int fd = bind_plain(place->a, &first);
	int clients[8];
	int count = 0;

	assert_int_equal(bind_plain(place->b, &second), -EADDRINUSE);
	assert_int_equal(molt__rendezvous_path_is(place->a, &first), 1);
	/* So is one whose queue is full. */
	assert_int_equal(listen(fd, 0), 0);
	while (count < 8 && molt__rendezvous_connect(place->b, &clients[count]) == 0)
		count++;
	assert_true(count < 8);
	assert_int_equal(molt__rendezvous_connect(place->b, &clients[count]), -EAGAIN);
	assert_int_equal(bind_plain(place->b, &second), -EADDRINUSE);
	assert_int_equal(molt__rendezvous_path_is(place->a, &first), 1);
	molt__sys_close_all(clients, (size_t)count);
	close(fd);
}

static void
test_anothers_server_of_another_type_is_left_alone(void **state)
{
	struct place *place = *state;
	struct unix_address address;
	struct file_identity identity;
	int fd = molt__sys_open_socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(molt__sys_unix_address_to_bind(place->path, &address), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address.address, address.length), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(bind_plain(place->a, &identity), -EADDRINUSE);
	assert_int_equal(count_files(place->directory), 2);
	close(fd);
}

static void
test_what_is_no_socket_is_never_replaced(void **state)
{
	struct place *place = *state;
	struct file_identity identity;
	int fd = open(place->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	assert_int_equal(bind_plain(place->a, &identity), -ENOTSOCK);
	assert_int_equal(stat_of(place->path).st_size, 8);
	assert_int_equal(unlink(place->path), 0);
	assert_int_equal(symlink("elsewhere", place->path), 0);
	assert_int_equal(bind_plain(place->a, &identity), -ENOTSOCK);
	assert_int_equal(count_files(place->directory), 2);
}

static int
connect_as_other(struct place *place)
{
	int fd;

	return -molt__rendezvous_connect(place->b, &fd);
}

static void
test_connect_tells_its_failures_apart(void **state)
{
	struct place *place = *state;
	struct file_identity identity;
	int client = -1;
	int fd;

	assert_int_equal(molt__rendezvous_connect(place->b, &client), -ENOENT);
	fd = bind_plain(place->a, &identity);
	assert_int_equal(chmod(place->directory, 0755), 0);
	assert_int_equal(as_nobody(connect_as_other, place), EACCES);
	close(fd);
	assert_int_equal(molt__rendezvous_connect(place->b, &client), -ECONNREFUSED);
	assert_int_equal(client, -1);
}

static void
listen_again(struct place *place)
{
	for (int fd = 3; fd < 100; fd++) {
		int on = 0;
		socklen_t length = sizeof(on);

		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &length) == 0 && on)
			molt__rendezvous_listen(fd);
	}
	(void)place;
}

static pid_t
pid_behind_path(struct place *place)
{
	struct ucred cred = { 0 };
	int client = -1;

	assert_int_equal(molt__rendezvous_connect(place->b, &client), 0);
	assert_int_equal(molt__sys_peer(client, &cred), 0);
	close(client);
	return cred.pid;
}

static void
test_listening_again_shows_the_new_generation(void **state)
{
	struct place *place = *state;
	struct file_identity identity;
	int fd = bind_plain(place->a, &identity);
	pid_t child = start_child(keep_everything, place);

	assert_int_equal(pid_behind_path(place), getpid());
	kill_child(child);
	child = start_child(listen_again, place);
	assert_int_equal(pid_behind_path(place), child);
	kill_child(child);
	close(fd);
}

static void
test_only_ones_own_socket_file_is_removed(void **state)
{
	struct place *place = *state;
	struct file_identity first, second;
	int old = bind_plain(place->a, &first);
	int fd;

	assert_int_equal(unlink(place->path), 0);
	assert_int_equal(molt__rendezvous_path_is(place->a, &first), 0);
	assert_int_equal(molt__rendezvous_unlink(place->a, &first), -ENOENT);
	fd = bind_plain(place->b, &second);
	assert_int_equal(molt__rendezvous_unlink(place->a, &first), -ESTALE);
	assert_int_equal(molt__rendezvous_path_is(place->b, &second), 1);
	assert_int_equal(molt__rendezvous_unlink(place->b, &second), 0);
	assert_int_equal(count_files(place->directory), 1);
	molt__sys_close_all((int[]){ old, fd }, 2);
}

static int
look_and_remove(struct place *place)
{
	struct file_identity any = { 0 };

	if (molt__rendezvous_path_is(place->a, &any) != -EACCES)
		return 1;
	return molt__rendezvous_unlink(place->a, &any) == -EACCES ? 0 : 2;
}

static void
test_who_cannot_look_is_told_so(void **state)
{
	assert_int_equal(as_nobody(look_and_remove, *state), 0);
}

/* All of it at a path that no socket address can hold. */
static void
meet_at(const char *path)
{
	struct rendezvous *r = open_rendezvous(path);
	struct file_identity identity;
	int client = -1;
	int fd;

	assert_int_equal(molt__rendezvous_take_life(r), 0);
	assert_int_equal(molt__rendezvous_connect(r, &client), -ENOENT);
	fd = bind_plain(r, &identity);
	assert_true(fd >= 0);
	assert_int_equal(molt__rendezvous_connect(r, &client), 0);
	close(client);
	assert_int_equal(bind_plain(r, &identity), -EADDRINUSE);
	close(fd);
	assert_int_equal(molt__rendezvous_connect(r, &client), -ECONNREFUSED);
	fd = bind_plain(r, &identity);
	assert_true(fd >= 0);
	assert_int_equal(molt__rendezvous_unlink(r, &identity), 0);
	close(fd);
	molt__rendezvous_free(r);
}

static void
test_long_paths(void **state)
{
	struct place *place = *state;
	char directory[512];
	char path[1024];

	snprintf(path, sizeof(path), "%s/%0200d", place->directory, 0);
	meet_at(path);
	snprintf(directory, sizeof(directory), "%s/%0200d", place->directory, 1);
	assert_int_equal(mkdir(directory, 0700), 0);
	snprintf(path, sizeof(path), "%s/socket", directory);
	meet_at(path);
	assert_int_equal(count_files(directory), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_path_is_absolute),
		TEST(test_the_lock_file_is_private_and_has_its_page),
		TEST(test_what_is_no_regular_file_is_refused),
		TEST(test_another_users_lock_file_opens_in_a_shared_directory),
		TEST(test_the_lock_file_can_be_given_to_another_user),
		TEST(test_life_is_held_once),
		TEST(test_life_lasts_as_long_as_any_copy),
		TEST(test_a_child_that_kept_its_copy_holds_life),
		TEST(test_a_child_that_gave_up_takes_nothing_along),
		TEST(test_a_replaced_lock_file_is_opened_anew),
		TEST(test_life_of_another_file_is_refused),
		TEST(test_owner_is_one),
		TEST(test_a_killed_process_frees_owner),
		TEST(test_a_new_file_has_no_record),
		TEST(test_only_the_owner_writes),
		TEST(test_the_last_record_counts),
		TEST(test_every_byte_of_a_record_is_checked),
		TEST(test_two_torn_slots_are_no_record),
		TEST(test_a_torn_slot_is_the_next_to_be_written),
		TEST(test_a_write_that_fails_has_not_happened),
		TEST(test_a_reader_sees_whole_records_that_never_go_back),
		TEST(test_the_socket_file_is_private_whole_and_alone),
		TEST(test_the_umask_takes_nothing_from_the_mode),
		TEST(test_the_socket_file_can_be_another_users),
		TEST(test_a_bind_that_fails_leaves_nothing),
		TEST(test_a_stale_socket_file_is_replaced),
		TEST(test_a_living_socket_file_is_left_alone),
		TEST(test_anothers_server_of_another_type_is_left_alone),
		TEST(test_what_is_no_socket_is_never_replaced),
		TEST(test_connect_tells_its_failures_apart),
		TEST(test_listening_again_shows_the_new_generation),
		TEST(test_only_ones_own_socket_file_is_removed),
		TEST(test_who_cannot_look_is_told_so),
		TEST(test_long_paths),
	};

	return cmocka_run_group_tests_name("rendezvous", tests, NULL, NULL);
}
