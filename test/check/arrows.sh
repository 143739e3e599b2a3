#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Who may include whom. An arrow only ever points down the table; what points up or sideways fails,
# naming file and line. A file belongs to the noun that its name begins with: engine_offer.c to
# engine.
set -eu

# Each noun with all that it may rest on. identity and record are plain data, export is the public
# header.
table='
identity:
record:
export:
sys: identity
entry: identity
wire: entry identity
inventory: entry identity
handoff: inventory wire entry identity record
channel: wire entry sys identity
address: entry sys identity
bind: address entry sys identity
listen_fds: address entry sys identity
rendezvous: record sys identity
spawn: sys identity
watch: channel wire entry sys identity
engine: *
molt: engine export
'
status=0

core()
{
	awk -v table="$table" '
	BEGIN {
		lines = split(table, line, "\n")
		for (i = 1; i <= lines; i++) {
			colon = index(line[i], ":")
			if (colon)
				below[substr(line[i], 1, colon - 1)] = substr(line[i], colon + 1) " "
		}
	}
	function noun_of(file, noun, best) {
		sub(/.*\//, "", file)
		sub(/\.[ch]$/, "", file)
		for (noun in below)
			if ((file == noun || index(file, noun "_") == 1) && length(noun) > length(best))
				best = noun
		return best
	}
	function fail(what) {
		printf "%s:%d: %s\n", FILENAME, FNR, what
		failed = 1
	}
	FNR == 1 {
		noun = noun_of(FILENAME)
		if (noun == "")
			fail("this file has no place in the table of test/check/arrows.sh")
	}
	/^[ \t]*#[ \t]*include/ && noun != "" {
		quoted = $0 ~ /^[ \t]*#[ \t]*include[ \t]*"/
		target = $0
		sub(/^[^<"]*[<"]/, "", target)
		sub(/[>"].*$/, "", target)
		if (!quoted) {
			if (target ~ /^event/ || target == "molt/libevent.h")
				fail("the core includes <" target ">")
			next
		}
		to = noun_of(target)
		if (target ~ /\//)
			fail("\"" target "\" is outside of lib/core")
		else if (to == "")
			fail("\"" target "\" has no place in the table of test/check/arrows.sh")
		else if (to == noun)
			next
		else if (to == "export" && noun ~ /^(engine|molt|watch)$/)
			next
		else if (below[noun] ~ /\*/ ? to == "molt" : index(below[noun], " " to " ") == 0)
			fail(noun " must not rest on " to " (\"" target "\")")
	}
	END { exit failed }
	' "$@"
}

libevent()
{
	awk '
	/^[ \t]*#[ \t]*include/ {
		quoted = $0 ~ /^[ \t]*#[ \t]*include[ \t]*"/
		target = $0
		sub(/^[^<"]*[<"]/, "", target)
		sub(/[>"].*$/, "", target)
		path = "lib/libevent/" target
		if (quoted && (target ~ /\// || (getline ignored < path) < 0))
			why = "is not of lib/libevent"
		else if (target ~ /(^|\/)(core|lib)\//)
			why = "is not public"
		else if (target ~ /^event2\/.*_struct\.h$/ || target ~ /^(event|evutil|evhttp|evdns|evrpc)\.h$/)
			why = "is not the public interface of libevent"
		else
			next
		printf "%s:%d: %s %s\n", FILENAME, FNR, target, why
		failed = 1
	}
	END { exit failed }
	' "$@"
}

present()
{
	for file; do
		[ ! -e "$file" ] || echo "$file"
	done
}

files=$(present lib/core/*.[ch])
# shellcheck disable=SC2086
[ -z "$files" ] || core $files || status=1
files=$(present lib/libevent/*.[ch])
# shellcheck disable=SC2086
[ -z "$files" ] || libevent $files || status=1

[ $status -ne 0 ] || echo 'arrows: all point down'
exit $status
