#!/bin/sh
# SPDX-License-Identifier: MIT
#
# readme.sh BUILD: what the README shows is what there is.
#
# Each ```c block of it with a main() in it is compiled from the README's own text, and the first of
# them is examples/minimal.c to the letter, but for that file's licence line.
set -eu

build=$1
if [ ! -f README.md ]; then
	echo 'readme: there is no README.md yet'
	exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

awk -v folder="$folder" '
	/^```c$/ { name = sprintf("%s/%d.c", folder, ++count); inside = 1; next }
	/^```/ { inside = 0 }
	inside { print > name }' README.md

found=0
for file in "$folder"/*.c; do
	grep -q '^main(' "$file" 2>/dev/null || continue
	if [ $found = 0 ]; then
		sed 1d examples/minimal.c | diff -u - "$file" || {
			echo 'readme: README.md and examples/minimal.c (the lines with -) differ'
			exit 1
		}
	fi
	found=$((found + 1))
	libraries=-lmolt
	if grep -q '<molt/libevent.h>' "$file"; then
		libraries="-lmolt_libevent -lmolt $(${PKG_CONFIG:-pkg-config} --cflags --libs libevent_core)"
	fi
	# shellcheck disable=SC2086
	${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -Iinclude -o "$folder/program" \
		"$file" -L"$build/lib" -Wl,-rpath-link,"$build/lib" $libraries
done
if [ $found = 0 ]; then
	echo 'readme: README.md has no ```c block with a main()'
	exit 1
fi
echo "readme: $found programs compile"
