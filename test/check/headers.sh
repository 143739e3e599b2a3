#!/bin/sh
# SPDX-License-Identifier: MIT
#
# headers.sh HEADER...
#
# Each public header compiles alone and without a warning as C99, C11 and C++11, and what is left of
# it after the preprocessor is what other languages' parsers read: plain declarations.
set -eu

cc=${CC:-cc} cxx=${CXX:-c++}
warnings='-Wall -Wextra -Wpedantic -Werror'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
status=0

# As a user compiles it: one file that includes only this header.
compile()
{
	compiler=$1 language=$2 standard=$3
	printf '#include "%s"\n%s\n' "$header" 'int main(void) { return 0; }' > "$scratch/user.$language"
	# shellcheck disable=SC2086
	if ! $compiler -std=$standard $warnings -Iinclude -I. ${EVENT_CFLAGS:-} -fsyntax-only \
		"$scratch/user.$language"; then
		echo "$header: fails as $standard with $compiler"
		status=1
	fi
}

# The lines of the header itself, with those of the system's headers taken out.
own_lines()
{
	# shellcheck disable=SC2086
	$cc -E -Iinclude ${EVENT_CFLAGS:-} "$header" | awk -v header="$header" '
	/^# [0-9]+ "/ { mine = index($3, "\"" header "\"") == 1; next }
	mine'
}

refuse()
{
	if own_lines | grep -nE "$1" > "$scratch/found"; then
		sed "s|^[0-9]*:|$header: $2: |" "$scratch/found"
		status=1
	fi
}

for header; do
	compile "$cc" c c99
	compile "$cc" c c11
	compile "$cxx" cc c++11
	[ "$(own_lines | grep -c molt_)" -gt 0 ] || { echo "$header: nothing seen of it"; status=1; }
	refuse '^[ 	]*#' 'a line for the preprocessor is left'
	refuse '__[a-z]|_Static_assert|_Noreturn|_Pragma|(^|[^a-z_])inline([^a-z_]|$)' 'not plain C'
	refuse '\.\.\.' 'variable arguments'
	refuse '(struct|union)[ 	]*[a-z_]*[ 	]*\{' 'a struct body'
	if grep -nE '^[ 	]*#[ 	]*define[ 	]+[A-Za-z_]+[( 	]' "$header" > "$scratch/found"; then
		sed "s|^|$header:|; s|\$| (a macro that bindings cannot see)|" "$scratch/found"
		status=1
	fi
done
[ $status -ne 0 ] || echo "headers: $* compile as C99, C11 and C++11"
exit $status
