#!/bin/sh
# SPDX-License-Identifier: MIT
#
# format.sh CLANG_FORMAT VERSION FILE...: names lines over 100 columns, and files that `make format`
# would change. Where there is no clang-format of that version it says so and leaves that out.
set -eu

clang_format=$1 version=$2
shift 2
status=0

# Comments are not reflowed, so their length is looked at here. Bytes that continue a character
# don't count.
LC_ALL=C awk '
	{
		line = $0
		gsub(/[\200-\277]/, "", line)
		width = 0
		for (i = 1; i <= length(line); i++)
			width += substr(line, i, 1) == "\t" ? 8 - width % 8 : 1
		if (width > 100) {
			printf "%s:%d: %d columns, 100 is the limit\n", FILENAME, FNR, width
			failed = 1
		}
	}
	END { exit failed }' "$@" || status=1

if ! $clang_format --version 2>/dev/null | grep -q "version $version\."; then
	echo "format-check: skipped, there is no clang-format $version"
	exit $status
fi
for file; do
	count=$($clang_format "$file" | diff "$file" - | grep -c '^[<>]') || continue
	echo "$file: make format would change it ($count lines of diff)"
	status=1
done
[ $status -ne 0 ] || echo "format-check: $# files are as clang-format has them"
exit $status
