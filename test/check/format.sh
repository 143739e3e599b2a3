#!/bin/sh
# SPDX-License-Identifier: MIT
#
# format.sh CLANG_FORMAT FILE...: names the files, and how many of their lines, `make format` would change.
set -eu

clang_format=$1
shift
status=0
for file; do
	count=$($clang_format "$file" | diff "$file" - | grep -c '^[<>]') || continue
	echo "$file: make format would change it ($count lines of diff)"
	status=1
done
[ $status -ne 0 ] || echo "format-check: $# files are as clang-format has them"
exit $status
