#!/bin/sh
# SPDX-License-Identifier: MIT
#
# symbols.sh HEADER MAP LIBRARY
#
# The functions that the header declares, those that the version script lists, and those that the
# library exports must be the same; names each that is not, and where it is missing.
set -eu

header=$1 map=$2 library=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM

# Reads C without its comments, one statement a line.
statements()
{
	awk '
	{ text = text $0 "\n" }
	END {
		while ((i = index(text, "/*")) > 0) {
			rest = substr(text, i + 2)
			text = substr(text, 1, i - 1) " " substr(rest, index(rest, "*/") + 2)
		}
		gsub(/\n[ \t]*#[^\n]*/, "\n", text)
		gsub(/[ \t\n]+/, " ", text)
		gsub(/;/, ";\n", text)
		print text
	}' "$1"
}

statements "$header" | grep -v '^ *typedef' | grep -o 'molt_[a-z0-9_]* *(' | tr -d ' (' |
	sort > "$scratch/header"
statements "$map" | sed -e 's/.*{//' -e 's/local:.*//' -e 's/global://' | grep -o '[A-Za-z0-9_*][A-Za-z0-9_*]*;' |
	grep -v '^\*' | tr -d ';' | sort > "$scratch/map"
"${NM:-nm}" -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	sort > "$scratch/library"

status=0
compare()
{
	uniq -d "$scratch/$1" | sed "s|\$| is twice in $2|" > "$scratch/twice"
	comm -23 "$scratch/$1" "$scratch/$3" | sed "s|\$| is in $2, and not in $4|" > "$scratch/missing"
	cat "$scratch/twice" "$scratch/missing"
	[ ! -s "$scratch/twice" ] && [ ! -s "$scratch/missing" ] || status=1
}
compare header "$header" map "$map"
compare map "$map" header "$header"
compare map "$map" library "$library"
compare library "$library" map "$map"
[ $status -ne 0 ] || echo "symbols: $(wc -l < "$scratch/map") in $header, $map and ${library##*/}"
exit $status
