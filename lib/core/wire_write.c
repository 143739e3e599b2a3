/* SPDX-License-Identifier: MIT */
/* Structs to JSON objects, by their tables. */
#include "wire_fields.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "entry.h"

enum { HEX_DIGITS = 16 };

static int64_t
load_integer(const void *at, size_t size, bool is_signed)
{
	uint32_t small;
	int64_t big;

	if (size == sizeof(small)) {
		memcpy(&small, at, sizeof(small));
		return is_signed ? (int64_t)(int32_t)small : (int64_t)small;
	}
	memcpy(&big, at, sizeof(big));
	return big;
}

static uint64_t
load_hex(const void *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static size_t
load_count(const struct field *f, const void *from)
{
	size_t count;

	memcpy(&count, (const char *)from + f->number, sizeof(count));
	return count;
}

static void *
load_pointer(const struct field *f, const void *from)
{
	void *pointer;

	memcpy(&pointer, (const char *)from + f->offset, sizeof(pointer));
	return pointer;
}

/* Below: each returns a new value, or NULL, or something with *error set. */

static json_t *
write_integer(const struct field *f, const void *at, int *error)
{
	int64_t value = load_integer(at, f->size, f->least < 0);

	if (value < f->least || value > f->most) {
		*error = -EINVAL;
		return NULL;
	}
	return json_integer(value);
}

static json_t *
write_hex(const struct field *f, const void *at, int *error)
{
	char digits[HEX_DIGITS + 1];
	uint64_t value = load_hex(at);

	if (value < (uint64_t)f->least) {
		*error = -EINVAL;
		return NULL;
	}
	snprintf(digits, sizeof(digits), "%016" PRIx64, value);
	return json_string(digits);
}

static json_t *
write_word(const struct field *f, const void *at, int *error)
{
	int64_t value = load_integer(at, sizeof(int), true);
	const char *word = value < 0 || value > f->most ? NULL : f->word((int)value);

	if (!word) {
		*error = -EINVAL;
		return NULL;
	}
	return json_string(word);
}

/*
 * Sentences come from errors, file names and hosts, and a packet must not fail for their sake: what
 * a reader would refuse is written as '?'.
 */
static json_t *
write_text(const struct field *f, const void *at)
{
	char text[ENTRY_ADDRESS_MAX + 1];
	size_t len = strnlen(at, (size_t)f->most);

	memcpy(text, at, len);
	for (size_t good = 0; (good += molt__entry_text_span(text + good, len - good)) < len;)
		text[good] = '?';
	return json_stringn(text, len);
}

static json_t *
write_ids(const struct field *f, const void *from, int *error)
{
	const uint32_t *ids = load_pointer(f, from);
	size_t count = load_count(f, from);
	json_t *array = json_array();

	if (count > (size_t)f->most)
		*error = -EINVAL;
	for (size_t i = 0; !*error && array && i < count; i++) {
		if (ids[i] == 0)
			*error = -EINVAL;
		else if (json_array_append_new(array, json_integer(ids[i])) < 0)
			*error = -ENOMEM;
	}
	return array;
}

static json_t *
write_object(const struct shape *shape, const void *at, int *error)
{
	json_t *object = json_object();

	if (object)
		*error = molt__fields_write(shape, at, object);
	return object;
}

static json_t *
write_list(const struct field *f, const void *from, int *error)
{
	const char *items = load_pointer(f, from);
	size_t count = load_count(f, from);
	json_t *array = json_array();

	if (count > (size_t)f->most)
		*error = -EINVAL;
	for (size_t i = 0; !*error && array && i < count; i++) {
		json_t *item = write_object(f->shape, items + i * f->shape->size, error);
		if (json_array_append_new(array, item) < 0 && !*error)
			*error = -ENOMEM;
	}
	return array;
}

static json_t *
write_field(const struct field *f, const void *from, int *error)
{
	const void *at = (const char *)from + f->offset;

	switch (f->type) {
	case FIELD_INTEGER:
		return write_integer(f, at, error);
	case FIELD_HEX:
		return write_hex(f, at, error);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)at);
	case FIELD_WORD:
		return write_word(f, at, error);
	case FIELD_TEXT:
		return write_text(f, at);
	case FIELD_IDS:
		return write_ids(f, from, error);
	case FIELD_OBJECT:
		return write_object(f->shape, at, error);
	case FIELD_LIST:
		return write_list(f, from, error);
	}
	return NULL;
}

static bool
is_absent(const struct field *f, const void *from)
{
	const void *at = (const char *)from + f->offset;

	if (f->presence != FIELD_MAY)
		return false;
	switch (f->type) {
	case FIELD_INTEGER:
		return load_integer(at, f->size, f->least < 0) == f->absent;
	case FIELD_WORD:
		return load_integer(at, sizeof(int), true) == 0;
	case FIELD_HEX:
		return load_hex(at) == 0;
	case FIELD_TEXT:
		return *(const char *)at == '\0';
	default:
		return false;
	}
}

int
molt__fields_write(const struct shape *shape, const void *from, json_t *object)
{
	for (size_t i = 0; i < shape->count; i++) {
		const struct field *f = &shape->fields[i];
		int error = 0;
		if (is_absent(f, from))
			continue;
		json_t *value = write_field(f, from, &error);
		if (error) {
			json_decref(value);
			return error;
		}
		if (json_object_set_new(object, f->key, value) < 0)
			return -ENOMEM;
	}
	return 0;
}
