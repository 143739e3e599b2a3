/* SPDX-License-Identifier: MIT */
/*
 * A struct's fields as a JSON object's keys, described by one table for both directions, so that
 * what is written can be read. Bounds are checked on the way out as well as on the way in.
 */
#ifndef MOLT_CORE_WIRE_FIELDS_H
#define MOLT_CORE_WIRE_FIELDS_H

#include <stddef.h>
#include <stdint.h>

struct json_t;

enum field_type {
	FIELD_INTEGER, /* 4 or 8 bytes, signed or not; from `least` to `most` */
	FIELD_HEX,     /* uint64_t, as 16 digits: JSON's integers are too small for it */
	FIELD_BOOL,    /* bool */
	FIELD_WORD,    /* an enum as a word, from 0 to `most` by `word` */
	FIELD_TEXT,    /* char[most + 1] */
	FIELD_IDS,     /* uint32_t *, and a size_t at `number`; at most `most`, each from 1 */
	FIELD_OBJECT,  /* a struct of its own, described by `shape` */
	FIELD_LIST,    /* a pointer to such structs, and a size_t at `number`; at most `most` */
};

enum field_presence {
	FIELD_MUST,    /* always written, and missing is an error */
	FIELD_MAY,     /* left out while unknown (INTEGER: `absent`; others: 0), and so read */
	FIELD_LENIENT, /* FIELD_WORD: as MUST, and a word that is not known reads as 0 */
};

struct field {
	const char *key;
	enum field_type type;
	enum field_presence presence;
	size_t offset;
	size_t size;   /* of the member; counts for an INTEGER, which may have 4 or 8 */
	size_t number; /* IDS, LIST: offset of the size_t that says how many */
	int64_t least;
	int64_t most;
	int64_t absent;
	const char *(*word)(int value); /* NULL for a value without one */
	const struct shape *shape;
};

struct shape {
	size_t size; /* of the struct */
	size_t count;
	const struct field *fields;
};

/* Sets the keys of `object`. -EINVAL: a field is out of its bounds. -ENOMEM. */
int molt__fields_write(const struct shape *shape, const void *from, struct json_t *object);

/*
 * Fills the struct, which is all zero before. -EBADMSG, -ENOMEM: what was made on the way stays in
 * it, for molt__fields_free().
 */
int molt__fields_read(const struct shape *shape, const struct json_t *object, void *to);

/* Frees what pointers of the struct point to. */
void molt__fields_free(const struct shape *shape, void *of);

#endif
