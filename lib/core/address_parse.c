/* SPDX-License-Identifier: MIT */
/* Addresses as a user writes them: scheme, place, options. What is wrong is said in a sentence. */
#include "address.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum {
	PLACE_MAX = ENTRY_ADDRESS_MAX,
	MODE_MAX = 0777,
	BACKLOG_MAX = 65535,
	OPTION_MAX = 31,
};

__attribute__((format(printf, 2, 3))) static int
refuse(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, ADDRESS_WHY_MAX + 1, format, args);
	va_end(args);
	return -EINVAL;
}

/* Digits alone, of this base, from `least` to `most`: no sign, no space, no 0x. */
static bool
number(const char *text, int base, long least, long most, int *ret)
{
	long n = 0;

	if (text[0] == '\0')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text >= '0' + base)
			return false;
		n = n * base + (*text - '0');
		if (n > most)
			return false;
	}
	*ret = (int)n;
	return n >= least;
}

/* --- Places --- */

/* To the kernel's form and back, so that all spellings of an address become one. */
static int
make_canonical(struct address_record *r, char *why)
{
	struct sockaddr_storage sa;
	socklen_t len;

	if (molt__address_sockaddr(r, &sa, &len) < 0)
		return refuse(why,
			      "\"%s\" is not an IP address with a port: names are not looked up",
			      r->text);
	return molt__address_from_sockaddr(r->type, (struct sockaddr *)&sa, len, r);
}

static int
parse_inet(const char *place, int type, struct address_record *r, char *why)
{
	const char *colon = strrchr(place, ':');
	int port;

	if (!colon || colon == place)
		return refuse(why, "\"%s\" needs an address and a port, as in 127.0.0.1:8080",
			      place);
	if (!number(colon + 1, 10, 0, UINT16_MAX, &port))
		return refuse(why, "\"%s\" is not a port: 0 to 65535", colon + 1);
	r->type = type;
	r->family = place[0] == '[' ? AF_INET6 : AF_INET;
	if (r->family == AF_INET6 && colon[-1] != ']')
		return refuse(why, "\"%s\" lacks a ] before its port", place);
	if (r->family == AF_INET && memchr(place, ':', (size_t)(colon - place)))
		return refuse(why, "\"%s\": an IPv6 address stands in [ ]", place);
	snprintf(r->text, sizeof(r->text), "%s", place);
	return make_canonical(r, why);
}

static int
parse_abstract(const char *place, struct address_record *r, char *why)
{
	size_t len = strlen(place);

	if (len < 2)
		return refuse(why, "an abstract address needs a name after its @");
	if (len > sizeof(((struct sockaddr_un *)0)->sun_path))
		return refuse(why, "\"%s\" is longer than the 107 bytes of an abstract name",
			      place);
	if (molt__address_record_set_text(r, place, len) < 0)
		return refuse(why, "the abstract name is not UTF-8, or has control characters");
	return 0;
}

static int
parse_unix(const char *place, struct address_record *r, char *why)
{
	r->family = AF_UNIX;
	r->type = SOCK_STREAM;
	if (place[0] == '@')
		return parse_abstract(place, r, why);
	if (place[0] != '/')
		return refuse(
			why,
			"\"%s\" is not an absolute path: unix:///run/app.sock has three slashes",
			place);
	if (molt__address_clean_path(place, strlen(place), r) < 0)
		return refuse(why, "\"%s\" names a directory, or is not UTF-8", place);
	return 0;
}

static int
parse_place(const char *scheme, const char *place, struct address_record *r, char *why)
{
	if (strcmp(scheme, "tcp://") == 0)
		return parse_inet(place, SOCK_STREAM, r, why);
	if (strcmp(scheme, "udp://") == 0)
		return parse_inet(place, SOCK_DGRAM, r, why);
	return parse_unix(place, r, why);
}

/* --- Options --- */

/* Each stands once, and only where it means something. */
static int
set_option(struct address *a, const char *key, const char *value, char *why)
{
	bool is_stream = a->record.type == SOCK_STREAM, is_unix = a->record.family == AF_UNIX;
	const struct {
		const char *key;
		int *to;
		int base, least, most;
		bool applies;
	} options[] = {
		{ "backlog", &a->backlog, 10, 1, BACKLOG_MAX, is_stream },
		{ "v6only", &a->v6only, 10, 0, 1, a->record.family == AF_INET6 },
		{ "sockets", &a->sockets, 10, 1, ADDRESS_SOCKETS_MAX, !is_unix },
		{ "mode", &a->mode, 8, 0, MODE_MAX, a->record.text[0] == '/' },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (strcmp(options[i].key, key) != 0)
			continue;
		if (!options[i].applies)
			return refuse(why, "%s means nothing for such an address", key);
		if (*options[i].to != -1)
			return refuse(why, "%s stands there twice", key);
		if (!number(value, options[i].base, options[i].least, options[i].most,
			    options[i].to))
			return refuse(why, "%s=%s: %s", key, value,
				      options[i].base == 8 ? "0 to 777, in octal" : "out of range");
		return 0;
	}
	return refuse(why, "\"%s\" is no option: backlog, v6only, sockets and mode are", key);
}

static int
parse_option(struct address *a, const char *text, size_t len, char *why)
{
	char option[OPTION_MAX + 1];

	if (len > OPTION_MAX)
		return refuse(why, "\"%.*s\" is no option", (int)len, text);
	memcpy(option, text, len);
	option[len] = '\0';
	char *equals = strchr(option, '=');
	if (!equals)
		return refuse(why, "\"%s\" is no option: they are written key=value", option);
	*equals = '\0';
	return set_option(a, option, equals + 1, why);
}

/* Not asked for is -1 while they are read. */
static int
parse_options(struct address *a, const char *text, char *why)
{
	a->backlog = a->v6only = a->sockets = a->mode = -1;
	while (text) {
		const char *end = strchrnul(text, '&');
		int error = parse_option(a, text, (size_t)(end - text), why);
		if (error)
			return error;
		text = *end ? end + 1 : NULL;
	}
	if (a->backlog == -1)
		a->backlog = 0;
	if (a->sockets == -1)
		a->sockets = 1;
	return 0;
}

static const char *
scheme_of(const char *text)
{
	static const char *const schemes[] = { "tcp://", "udp://", "unix://", "unix:@" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
			return schemes[i];
	}
	return NULL;
}

int
molt__address_parse(const char *text, struct address *ret, char *why)
{
	struct address a = { .backlog = 0 };
	char place[PLACE_MAX + 1];
	const char *scheme = scheme_of(text);

	if (!scheme)
		return refuse(why, "\"%s\" begins with none of tcp:// udp:// unix:// unix:@", text);
	text += strcspn(scheme, "@"); /* the @ is part of the name */
	size_t len = strcspn(text, "?");
	if (len > PLACE_MAX)
		return refuse(why, "the address is longer than %d bytes", PLACE_MAX);
	memcpy(place, text, len);
	place[len] = '\0';
	int error = parse_place(scheme, place, &a.record, why);
	if (!error)
		error = parse_options(&a, text[len] ? text + len + 1 : NULL, why);
	if (!error)
		*ret = a;
	return error;
}
