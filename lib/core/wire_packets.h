/* SPDX-License-Identifier: MIT */
/* Which packets there are, and what their bodies look like. */
#ifndef MOLT_CORE_WIRE_PACKETS_H
#define MOLT_CORE_WIRE_PACKETS_H

#include "wire_fields.h"

struct packet_type_info {
	const char *name;
	const struct shape *shape; /* NULL: not understood by this version */
};

/* Of any number: "?" and NULL for one that was never given. */
const struct packet_type_info *molt__packet_of(int type);

#endif
