#!/bin/sh
# SPDX-License-Identifier: MIT
#
# summary.sh BUILD STATUS NAME...: after the tests, says how many programs ran and which failed. Fails
# if one did, or if one has no result (it wasn't built), or if STATUS, that of the make that ran them, isn't 0.
set -eu

results=$1/test/results status=$2
shift 2
run=0 skipped=0 failed=
for name in "$@"; do
	name=${name#run/}
	result=$(cat "$results/$name" 2>/dev/null) || result='not built'
	case $result in
	ok) run=$((run + 1)) ;;
	skipped) skipped=$((skipped + 1)) ;;
	*)
		run=$((run + 1))
		failed="$failed
  $name: $result"
		;;
	esac
done
count=$(printf '%s' "$failed" | grep -c . || true)
echo "test programs: $run run, $skipped skipped, $count failed$failed"
if [ -z "$failed" ] && [ "$status" -ne 0 ]; then
	echo "the tests ran, but something else could not be built (see above)"
fi
[ -z "$failed" ] && [ "$status" -eq 0 ]
