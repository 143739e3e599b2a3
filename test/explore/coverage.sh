#!/bin/sh
# SPDX-License-Identifier: MIT
#
# coverage.sh FOLDER SOURCE: after an instrumented run whose object and counts are in FOLDER, lists the
# lines and branches of SOURCE that were never taken. Fails if there are any.
set -eu

folder=$1 source=$2
name=$(basename "$source" .c)

gcov -b -c -t -o "$folder" "$folder/$name.o" > "$folder/$name.c.gcov"
awk '
	/^ *#####:/ { print "never reached: " $0; bad = 1 }
	/^ *[0-9]+\*?: *[0-9]+:|^ *-: *[0-9]+:/ { line = $0 }
	/^branch .*(taken 0( |$)|never executed)/ { print "never taken: " line; print "             " $0; bad = 1 }
	/^branch/ { branches++ }
	/^ *[0-9]+\*?: *[0-9]+:/ { lines++ }
	END {
		if (lines == 0) { print "coverage: no counts"; exit 1 }
		if (bad) exit 1
		print "coverage: all " lines " lines and " branches " branches of '"$source"' were taken"
	}
' "$folder/$name.c.gcov"
