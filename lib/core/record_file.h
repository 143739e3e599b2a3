/* SPDX-License-Identifier: MIT */
/*
 * The record in the lock file: two slots, of which a write goes to the older or invalid one, and
 * the valid one with the higher sequence counts.
 */
#ifndef MOLT_CORE_RECORD_FILE_H
#define MOLT_CORE_RECORD_FILE_H

#include "record.h"

/* The page that holds both slots. It exists before anything is written. */
enum { RECORD_FILE_BYTES = 4096 };

/*
 * The record that counts. -EBADMSG: neither slot is valid (a new file, or caught in the middle of a
 * write).
 */
int molt__record_read(int fd, struct record *ret_record);

/*
 * Writes generation, owner and heir with the next sequence number. If it fails it has not happened.
 * Only one process may write at a time: the caller holds OWNER.
 */
int molt__record_write(int fd, const struct record *record);

#endif
