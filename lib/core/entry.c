/* SPDX-License-Identifier: MIT */
/* Entries: names, kinds, identities, and which address serves which question. */
#include "entry.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const char *const kind_names[] = {
	[ENTRY_FILE] = "file", [ENTRY_STREAM] = "stream", [ENTRY_DATAGRAM] = "datagram",
	[ENTRY_LIFE] = "life", [ENTRY_PATH] = "path",
};

enum { KINDS = sizeof(kind_names) / sizeof(kind_names[0]) };

/* Length of the UTF-8 sequence that begins with this byte, by RFC 3629; 0 if none does. */
static size_t
sequence_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	if (first >= 0xf0 && first < 0xf5)
		return 4;
	return 0;
}

/* The character at s, or -1: cut off, overlong, a surrogate, beyond the last one. */
static long
character(const unsigned char *s, size_t left, size_t *ret_len)
{
	static const long lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	size_t len = sequence_length(s[0]);

	if (len == 0 || len > left)
		return -1;
	long c = s[0] & mask[len];
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < lowest[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return -1;
	*ret_len = len;
	return c;
}

size_t
molt__entry_text_span(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0;

	while (at < length) {
		size_t len;
		long c = character(s + at, length - at, &len);
		if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			break;
		at += len;
	}
	return at;
}

void
molt__entry_init(struct entry *e)
{
	memset(e, 0, sizeof(*e));
	e->fd = -1;
	e->v6only = -1;
}

/* Not isalnum(): that asks the locale. */
static bool
name_character(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

bool
molt__entry_name_ok(const char *name)
{
	size_t n = 0;

	while (name_character(name[n])) {
		if (++n > ENTRY_NAME_MAX)
			return false;
	}
	return n > 0 && name[n] == '\0';
}

int
molt__entry_set_name(struct entry *e, const char *name)
{
	if (!molt__entry_name_ok(name))
		return -EINVAL;
	memset(e->name, 0, sizeof(e->name));
	memcpy(e->name, name, strlen(name));
	return 0;
}

bool
molt__entry_is_listener(const struct entry *e)
{
	return e->kind == ENTRY_STREAM || e->kind == ENTRY_DATAGRAM;
}

bool
molt__entry_is_reserved(const struct entry *e)
{
	return e->kind == ENTRY_LIFE || e->kind == ENTRY_PATH;
}

const char *
molt__entry_kind_name(int kind)
{
	return kind > 0 && kind < KINDS ? kind_names[kind] : NULL;
}

/* Where the port's number begins, or NULL if the text has no port. */
static const char *
port_of(const struct address_record *r)
{
	if (r->family != AF_INET && r->family != AF_INET6)
		return NULL;
	const char *colon = strrchr(r->text, ':');
	return colon ? colon + 1 : NULL;
}

bool
molt__address_record_match(const struct address_record *asked,
			   const struct address_record *recorded)
{
	if (asked->family != recorded->family || asked->type != recorded->type)
		return false;
	if (asked->text[0] == '\0')
		return false;
	const char *port = port_of(asked);
	if (!port || strcmp(port, "0") != 0)
		return strcmp(asked->text, recorded->text) == 0;
	return strncmp(asked->text, recorded->text, (size_t)(port - asked->text)) == 0;
}

int
molt__address_record_set_text(struct address_record *r, const char *text, size_t length)
{
	if (length > ENTRY_ADDRESS_MAX || molt__entry_text_span(text, length) != length)
		return -EINVAL;
	memset(r->text, 0, sizeof(r->text));
	memcpy(r->text, text, length);
	return 0;
}
