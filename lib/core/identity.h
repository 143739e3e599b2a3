/* SPDX-License-Identifier: MIT */
/* Which file a descriptor or a path means, as plain data. {0, 0}: none, or not known. */
#ifndef MOLT_CORE_IDENTITY_H
#define MOLT_CORE_IDENTITY_H

#include <stdint.h>

struct file_identity {
	uint64_t dev;
	uint64_t ino;
};

#endif
