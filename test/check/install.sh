#!/bin/sh
# SPDX-License-Identifier: MIT
#
# install.sh, started by `make install-check`
#
# What `make install` puts there is what `make uninstall` takes away; and a program that knows
# nothing but pkg-config compiles against it, shared and static, and runs.
set -eu

make=${MAKE:-make} cc=${USER_CC:-cc} pkg_config=${PKG_CONFIG:-pkg-config}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM

fail()
{
	echo "install-check: $*"
	exit 1
}

files()
{
	find "$1" ! -type d
}

$make --no-print-directory -s install DESTDIR="$scratch/dest" PREFIX=/usr
[ -f "$scratch/dest/usr/include/molt/molt.h" ] || fail 'no molt.h was installed'
[ -L "$scratch/dest/usr/lib/libmolt.so" ] || fail 'no libmolt.so was installed'
outside=$(find "$scratch/dest" -path "$scratch/dest/usr" -prune -o ! -type d -print)
[ -z "$outside" ] || fail "outside of PREFIX: $outside"
if grep -q "$scratch" "$scratch"/dest/usr/lib/pkgconfig/*.pc; then
	fail 'DESTDIR is in a .pc file'
fi
$make --no-print-directory -s uninstall DESTDIR="$scratch/dest" PREFIX=/usr
left=$(files "$scratch/dest")
[ -z "$left" ] || fail "left behind by uninstall: $left"

prefix=$scratch/prefix
$make --no-print-directory -s install DESTDIR= PREFIX="$prefix" LIBDIR="$prefix/lib64"
export PKG_CONFIG_PATH="$prefix/lib64/pkgconfig" LD_LIBRARY_PATH="$prefix/lib64"

cat > "$scratch/user.c" <<'EOF'
#include <stdio.h>
#include <molt/molt.h>
int main(void) { return puts(molt_version()) < 0 || molt_start(NULL) > 0; }
EOF
cat > "$scratch/event_user.c" <<'EOF'
#include <stdio.h>
#include <molt/libevent.h>
int main(void) { return puts(molt_version()) < 0; }
EOF

# try PACKAGE SOURCE [--static]
try()
{
	flags=$("$pkg_config" --cflags --libs "$1") || fail "pkg-config does not know $1"
	[ -z "${3:-}" ] || flags=$("$pkg_config" --cflags --libs "$3" "$1" |
		sed 's|-l\(molt[a-z_]*\)|-l:lib\1.a|g')
	# shellcheck disable=SC2086
	$cc -o "$scratch/user" "$scratch/$2" $flags || fail "a program does not compile with $flags"
	said=$(timeout 60 "$scratch/user") || fail "a program built with $flags does not run"
	[ "$said" = "$VERSION" ] || fail "molt_version() says $said, this is $VERSION"
	[ "$("$pkg_config" --modversion "$1")" = "$VERSION" ] || fail "$1.pc has another version"
}
try molt user.c
try molt user.c --static
if [ -f "$prefix/lib64/pkgconfig/molt-libevent.pc" ]; then
	try molt-libevent event_user.c
	try molt-libevent event_user.c --static
fi
if [ -f "$prefix/bin/moltctl" ]; then
	timeout 60 "$prefix/bin/moltctl" -h >/dev/null || fail 'moltctl -h does not run'
fi
count=$(files "$prefix" | wc -l)
echo "install-check: $count files come and go, programs compile and run"
