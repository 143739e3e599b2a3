#!/bin/sh
# SPDX-License-Identifier: MIT
#
# pure.sh OBJECT: an object that makes no system call, looks at no clock and allocates nothing:
# beside the library's own functions it may call only those that work on memory it has.
set -eu

calls=$("${NM:-nm}" --undefined-only "$1" | awk '
	$2 !~ /^(molt__.*|mem(cpy|move|set|cmp)|str(len|cmp|ncmp)|_GLOBAL_OFFSET_TABLE_|__.*)$/ { print $2 }')
for call in $calls; do
	echo "${1##*/} calls $call: no system call, no clock, no allocation there"
done
[ -n "$calls" ] && exit 1
echo "pure: ${1##*/}"
