/* SPDX-License-Identifier: MIT */
/*
 * JSON objects to structs, by their tables. Whatever the object holds, nothing is believed
 * unchecked.
 */
#include "wire_fields.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"

enum { HEX_DIGITS = 16 };

static void
store_integer(void *at, size_t size, int64_t value)
{
	uint32_t small = (uint32_t)value;

	memcpy(at, size == sizeof(small) ? (void *)&small : (void *)&value, size);
}

static void
store_list(const struct field *f, void *to, void *pointer, size_t count)
{
	memcpy((char *)to + f->offset, &pointer, sizeof(pointer));
	memcpy((char *)to + f->number, &count, sizeof(count));
}

static int
read_integer(const struct field *f, const json_t *value, void *at)
{
	if (!json_is_integer(value))
		return -EBADMSG;
	json_int_t n = json_integer_value(value);
	if (n < f->least || n > f->most)
		return -EBADMSG;
	store_integer(at, f->size, n);
	return 0;
}

/* Exactly 16 lower-case digits: strtoull() would take signs, spaces and less. */
static int
read_hex(const struct field *f, const json_t *value, void *at)
{
	const char *text = json_string_value(value);
	uint64_t n = 0;

	if (!text || json_string_length(value) != HEX_DIGITS)
		return -EBADMSG;
	for (int i = 0; i < HEX_DIGITS; i++) {
		if (text[i] >= '0' && text[i] <= '9')
			n = n << 4 | (uint64_t)(text[i] - '0');
		else if (text[i] >= 'a' && text[i] <= 'f')
			n = n << 4 | (uint64_t)(text[i] - 'a' + 10);
		else
			return -EBADMSG;
	}
	if (n < (uint64_t)f->least)
		return -EBADMSG;
	memcpy(at, &n, sizeof(n));
	return 0;
}

static int
read_bool(const json_t *value, void *at)
{
	if (!json_is_boolean(value))
		return -EBADMSG;
	*(bool *)at = json_is_true(value);
	return 0;
}

static int
read_word(const struct field *f, const json_t *value, void *at)
{
	const char *text = json_string_value(value);

	if (!text)
		return -EBADMSG;
	for (int64_t n = 0; n <= f->most; n++) {
		const char *word = f->word((int)n);
		if (word && strcmp(word, text) == 0) {
			store_integer(at, sizeof(int), n);
			return 0;
		}
	}
	if (f->presence != FIELD_LENIENT)
		return -EBADMSG;
	store_integer(at, sizeof(int), 0);
	return 0;
}

static int
read_text(const struct field *f, const json_t *value, void *at)
{
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	if (!text || len > (size_t)f->most || molt__entry_text_span(text, len) != len)
		return -EBADMSG;
	memcpy(at, text, len);
	return 0;
}

/* Room for an array's items; NULL with *ret_error 0 if there are none. */
static void *
new_items(const struct field *f, const json_t *array, size_t size, int *ret_error)
{
	size_t count = json_array_size(array);
	void *items = NULL;

	*ret_error = 0;
	if (!json_is_array(array) || count > (size_t)f->most)
		*ret_error = -EBADMSG;
	else if (count > 0 && !(items = calloc(count, size)))
		*ret_error = -ENOMEM;
	return items;
}

static int
read_ids(const struct field *f, const json_t *array, void *to)
{
	int error;
	uint32_t *ids = new_items(f, array, sizeof(*ids), &error);

	if (error)
		return error;
	store_list(f, to, ids, json_array_size(array));
	for (size_t i = 0; i < json_array_size(array); i++) {
		json_int_t n = json_integer_value(json_array_get(array, i)); /* 0 if it is none */
		if (n < 1 || n > UINT32_MAX)
			return -EBADMSG;
		ids[i] = (uint32_t)n;
	}
	return 0;
}

static int
read_list(const struct field *f, const json_t *array, void *to)
{
	int error;
	char *items = new_items(f, array, f->shape->size, &error);

	if (error)
		return error;
	store_list(f, to, items, json_array_size(array));
	for (size_t i = 0; !error && i < json_array_size(array); i++)
		error = molt__fields_read(f->shape, json_array_get(array, i),
					  items + i * f->shape->size);
	return error;
}

static int
read_field(const struct field *f, const json_t *value, void *to)
{
	void *at = (char *)to + f->offset;

	switch (f->type) {
	case FIELD_INTEGER:
		return read_integer(f, value, at);
	case FIELD_HEX:
		return read_hex(f, value, at);
	case FIELD_BOOL:
		return read_bool(value, at);
	case FIELD_WORD:
		return read_word(f, value, at);
	case FIELD_TEXT:
		return read_text(f, value, at);
	case FIELD_IDS:
		return read_ids(f, value, to);
	case FIELD_OBJECT:
		return molt__fields_read(f->shape, value, at);
	case FIELD_LIST:
		return read_list(f, value, to);
	}
	return -EBADMSG;
}

/* The other types are unknown as zero, which they are already. */
static void
read_absent(const struct field *f, void *to)
{
	if (f->type == FIELD_INTEGER)
		store_integer((char *)to + f->offset, f->size, f->absent);
}

int
molt__fields_read(const struct shape *shape, const json_t *object, void *to)
{
	if (!json_is_object(object))
		return -EBADMSG;
	for (size_t i = 0; i < shape->count; i++) {
		const struct field *f = &shape->fields[i];
		const json_t *value = json_object_get(object, f->key);
		int error = 0;
		if (value)
			error = read_field(f, value, to);
		else if (f->presence == FIELD_MAY)
			read_absent(f, to);
		else
			error = -EBADMSG;
		if (error)
			return error;
	}
	return 0;
}

/* Lists hold plain data: nothing in their items points anywhere. */
void
molt__fields_free(const struct shape *shape, void *of)
{
	for (size_t i = 0; i < shape->count; i++) {
		const struct field *f = &shape->fields[i];
		if (f->type != FIELD_IDS && f->type != FIELD_LIST)
			continue;
		void *items;
		memcpy(&items, (char *)of + f->offset, sizeof(items));
		free(items);
		store_list(f, of, NULL, 0);
	}
}
