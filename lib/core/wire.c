/* SPDX-License-Identifier: MIT */
/*
 * Packets of wire version 1: the header, and what must hold for a body beyond the bounds of its
 * fields.
 */
#include "wire.h"

#include <endian.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "wire_packets.h"

static const char magic[4] = { 'M', 'O', 'L', 'T' };
static const char status_key[] = "status";

/* As it lies in the packet: little-endian. */
struct header {
	char magic[4];
	uint16_t version;
	uint16_t type;
	uint32_t length;
	uint32_t descriptors;
};
_Static_assert(sizeof(struct header) == WIRE_HEADER_SIZE, "the header has no holes");

const char *
molt__wire_type_name(int type)
{
	return molt__packet_of(type)->name;
}

size_t
molt__wire_descriptors(const struct message *m)
{
	return m->type == PACKET_OFFER ? m->offer.count : 0;
}

/* Quotes and backslashes double; 400 is more than the keys, numbers and words of one entry. */
size_t
molt__wire_entry_size(const struct entry *e)
{
	return 400 + strlen(e->name) + 2 * strlen(e->address.text);
}

/* All members begin where the first one does. */
static const void *
body_of(const struct message *m)
{
	return &m->hello;
}

/* Names and addresses are compared and looked up, so that they are exact or wrong. */
static bool
entry_ok(const struct entry *e)
{
	size_t len = strlen(e->address.text);

	return molt__entry_name_ok(e->name) && molt__entry_text_span(e->address.text, len) == len;
}

static bool
entries_ok(const struct message *m)
{
	if (m->type != PACKET_OFFER)
		return true;
	for (size_t i = 0; i < m->offer.count; i++) {
		if (!entry_ok(&m->offer.entries[i]))
			return false;
	}
	return true;
}

/* --- Out --- */

static int
write_body(const struct message *m, const struct shape *shape, json_t *object)
{
	int error = molt__fields_write(shape, body_of(m), object);

	if (error || m->type != PACKET_STATUS || !m->status.object)
		return error;
	if (!json_is_object(m->status.object))
		return -EINVAL;
	return json_object_set(object, status_key, m->status.object) < 0 ? -ENOMEM : 0;
}

static int
dump_body(const struct message *m, const struct shape *shape, char **ret_text)
{
	json_t *object = json_object();

	if (!object)
		return -ENOMEM;
	int error = write_body(m, shape, object);
	if (!error) {
		*ret_text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
		error = *ret_text ? 0 : -ENOMEM;
	}
	json_decref(object);
	return error;
}

static int
frame(const struct message *m, uint16_t version, const char *text, void **ret_bytes,
      size_t *ret_len)
{
	size_t len = strlen(text);
	struct header h = {
		.version = htole16(version),
		.type = htole16((uint16_t)m->type),
		.length = htole32((uint32_t)len),
		.descriptors = htole32((uint32_t)molt__wire_descriptors(m)),
	};

	if (len > WIRE_BODY_MAX)
		return -EMSGSIZE;
	char *bytes = malloc(sizeof(h) + len);
	if (!bytes)
		return -ENOMEM;
	memcpy(h.magic, magic, sizeof(magic));
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h), text, len);
	*ret_bytes = bytes;
	*ret_len = sizeof(h) + len;
	return 0;
}

int
molt__wire_encode(const struct message *m, void **ret_bytes, size_t *ret_len)
{
	const struct shape *shape = molt__packet_of(m->type)->shape;
	uint16_t version = m->version ? m->version : WIRE_VERSION;
	char *text;

	if (!shape || version < WIRE_VERSION_MIN || version > WIRE_VERSION || !entries_ok(m))
		return -EINVAL;
	int error = dump_body(m, shape, &text);
	if (error)
		return error;
	error = frame(m, version, text, ret_bytes, ret_len);
	free(text);
	return error;
}

/* --- In --- */

/* The header, in the order in which its fields can be trusted. */
static int
read_header(const void *bytes, size_t len, struct header *h, struct message *ret)
{
	if (len < sizeof(*h))
		return -EBADMSG;
	memcpy(h, bytes, sizeof(*h));
	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	ret->version = le16toh(h->version);
	ret->type = le16toh(h->type);
	if (ret->version < WIRE_VERSION_MIN || ret->version > WIRE_VERSION)
		return -EPROTO;
	if (le32toh(h->length) != len - sizeof(*h) || len > WIRE_PACKET_MAX)
		return -EBADMSG;
	return 0;
}

/*
 * When it has no memory jansson 2.14 says nothing and leaves the struct as it was, or takes the cut
 * string for a malformed one: then this does, too.
 */
static int
parse_body(const char *text, size_t len, json_t **ret)
{
	json_error_t error = { .line = 0 };

	*ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (*ret)
		return 0;
	bool silent = error.text[0] == '\0';
	return silent || json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EBADMSG;
}

static int
read_status(json_t *object, struct message *ret)
{
	json_t *status = json_object_get(object, status_key);

	if (status && !json_is_object(status))
		return -EBADMSG;
	ret->status.object = json_incref(status);
	return 0;
}

/* A decoded entry has no descriptor yet: its caller knows which came with it. */
static int
read_offer(struct message *ret, size_t descriptors)
{
	if (ret->offer.count != descriptors || !entries_ok(ret))
		return -EBADMSG;
	for (size_t i = 0; i < ret->offer.count; i++)
		ret->offer.entries[i].fd = -1;
	return 0;
}

static int
read_body(json_t *object, size_t descriptors, struct message *ret)
{
	int error = molt__fields_read(molt__packet_of(ret->type)->shape, object, &ret->hello);

	if (error)
		return error;
	if (ret->type == PACKET_OFFER)
		return read_offer(ret, descriptors);
	return ret->type == PACKET_STATUS ? read_status(object, ret) : 0;
}

/* Keeps type and version for the log line. */
static void
forget_body(struct message *m)
{
	struct message kept = { .type = m->type, .version = m->version };

	molt__message_clear(m);
	*m = kept;
}

int
molt__wire_decode(const void *bytes, size_t len, size_t descriptors, struct message *ret)
{
	struct header h;
	json_t *object;

	memset(ret, 0, sizeof(*ret));
	int error = read_header(bytes, len, &h, ret);
	if (error)
		return error;
	if (le32toh(h.descriptors) != descriptors)
		return -EBADMSG;
	if (!molt__packet_of(ret->type)->shape)
		return -EPROTONOSUPPORT;
	if (descriptors > 0 && ret->type != PACKET_OFFER)
		return -EBADMSG;
	error = parse_body((const char *)bytes + sizeof(h), len - sizeof(h), &object);
	if (error)
		return error;
	error = read_body(object, descriptors, ret);
	json_decref(object);
	if (error)
		forget_body(ret);
	return error;
}

void
molt__message_clear(struct message *m)
{
	const struct shape *shape = molt__packet_of(m->type)->shape;

	if (m->type == PACKET_STATUS)
		json_decref(m->status.object);
	else if (shape)
		molt__fields_free(shape, &m->hello);
	memset(m, 0, sizeof(*m));
}
