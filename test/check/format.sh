#!/bin/sh
# SPDX-License-Identifier: MIT
#
# format.sh CLANG_FORMAT VERSION FILE...: names the files that `make format` would change. Where there is
# no clang-format of that version it says so and passes.
set -eu

clang_format=$1 version=$2
shift 2
if ! $clang_format --version 2>/dev/null | grep -q "version $version\."; then
	echo "format-check: skipped, there is no clang-format $version"
	exit 0
fi
status=0
for file; do
	count=$($clang_format "$file" | diff "$file" - | grep -c '^[<>]') || continue
	echo "$file: make format would change it ($count lines of diff)"
	status=1
done
[ $status -ne 0 ] || echo "format-check: $# files are as clang-format has them"
exit $status
