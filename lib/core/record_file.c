/* SPDX-License-Identifier: MIT */
/*
 * The record's two slots in the lock file.
 */
#include "record_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * The record's slots, in the first page of the lock file. A slot lies in one sector and one page,
 * so a write of it is as whole as a write can be. Only processes of this machine read it: host
 * order.
 */
enum { SLOTS = 2, SLOT_STRIDE = 1024, SLOT_FIRST = 512 };

struct slot {
	struct record record;
	uint64_t checksum;
};

/* How often a read that meets a write in progress is repeated before that slot is given up. */
enum { READ_ATTEMPTS = 3 };

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
read_slot(int fd, int index, struct slot *ret_slot)
{
	struct slot slot = { .checksum = 0 };

	/* A file that somebody has cut short reads as unused. */
	if (pread(fd, &slot, sizeof(slot), offset_of(index)) < 0)
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
read_page(int fd, struct page *ret_page)
{
	struct page page = { .current = -1 };

	for (int i = 0; i < SLOTS; i++) {
		enum slot_state state;
		int error = read_slot(fd, i, &page.slots[i]);

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
molt__record_read(int fd, struct record *ret_record)
{
	struct page page = { .torn = true };

	/*
	 * A torn slot is a write in progress, or what is left of one that failed. In the first case
	 * the other slot may have been read before an earlier write to it, and be two records old.
	 */
	for (int i = 0; i < READ_ATTEMPTS && page.torn; i++) {
		int error = read_page(fd, &page);

		if (error < 0)
			return error;
	}
	if (page.current < 0)
		return -EBADMSG;
	*ret_record = page.slots[page.current].record;
	return 0;
}

int
molt__record_write(int fd, const struct record *record)
{
	struct page page;
	struct slot slot = { .record = *record };
	ssize_t written;
	int error = read_page(fd, &page);

	if (error < 0)
		return error;
	slot.record.sequence = 1;
	if (page.current >= 0)
		slot.record.sequence += page.slots[page.current].record.sequence;
	slot.checksum = checksum_of(&slot);
	written = pwrite(fd, &slot, sizeof(slot), offset_of(page.current == 0 ? 1 : 0));
	if (written < 0)
		return -errno;
	return (size_t)written == sizeof(slot) ? 0 : -EIO;
}
