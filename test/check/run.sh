#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh BUILD SLOWNESS NAME SOURCE PROGRAM [ARGUMENT...]
#
# Runs one test program by the runner. What its source says in lines of these forms counts:
#     /* time limit: 60 s */          instead of 120 s; times SLOWNESS in builds that are slower
#     /* not under WORD: reason */    WORD is valgrind, or what SAN= has (address, thread)
# A program that can do without some of its tests there skips them by itself: it finds those words in
# MOLT_SAN and MOLT_UNDER. The result goes to BUILD/test/results/NAME.
set -eu

build=$1 slowness=$2 name=$3 source=$4
shift 4
results=$build/test/results
mkdir -p "$results/$(dirname "$name")"

for word in $(echo "${MOLT_SAN:-} ${MOLT_UNDER:-}" | tr ',' ' '); do
	reason=$(sed -n "s|.*/\* not under ${word##*/}: \(.*\) \*/.*|\1|p" "$source" | head -n 1)
	if [ -n "$reason" ]; then
		echo "skipped under ${word##*/}: $name ($reason)"
		echo skipped > "$results/$name"
		exit 0
	fi
done

limit=$(sed -n 's|.*/\* time limit: \([0-9][0-9]*\) s \*/.*|\1|p' "$source" | head -n 1)
exec "$build/test/check/run" "$name" "$((${limit:-120} * slowness))" "$results/$name" \
	"$results/lock" "$@"
