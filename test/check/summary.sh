#!/bin/sh
# SPDX-License-Identifier: MIT
#
# summary.sh BUILD run/NAME...: after the tests, says how many programs ran and which failed. Fails
# if one did, or if one has no result.
set -eu

results=$1/test/results
shift
run=0 skipped=0 failed=
for name in "$@"; do
	name=${name#run/}
	result=$(cat "$results/$name" 2>/dev/null) || result='has no result'
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
[ -z "$failed" ]
