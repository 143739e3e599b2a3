#!/bin/sh
# SPDX-License-Identifier: MIT
#
# setup.sh [--only-look] build|demo|test|check|check-all
#
# Looks whether what that target needs is there, and installs what is missing with apt, as root or
# through sudo; says what. Without either, with --only-look or with NO_INSTALL=1 it prints the line
# to run and fails.
# shellcheck disable=SC2086 # CC and CXX may be several words
set -eu

only_look=${NO_INSTALL:-}
if [ "$1" = --only-look ]; then
	only_look=1
	shift
fi
purpose=$1
cc=${CC:-cc}
cxx=${CXX:-c++}
pkg_config=${PKG_CONFIG:-pkg-config}
missing=

# need PACKAGE COMMAND...: PACKAGE is missing if COMMAND fails.
need()
{
	package=$1
	shift
	case " $missing " in
	*" $package "*) return ;;
	esac
	if ! "$@" >/dev/null 2>&1; then
		missing="$missing $package"
	fi
}

has_header()
{
	printf '#include <%s>\n' "$1" | $cc -E -o /dev/null -x c -
}

look()
{
	missing=
	case $cc in
	*clang*) need clang command -v $cc ;;
	*) need gcc command -v $cc ;;
	esac
	need libc6-dev has_header stdio.h
	need pkg-config command -v "$pkg_config"
	need libjansson-dev "$pkg_config" --exists jansson
	need libevent-dev "$pkg_config" --exists libevent_core libevent_extra
	case $purpose in
	test | check | check-all)
		need libcmocka-dev "$pkg_config" --exists cmocka
		;;
	esac
	case $purpose in
	check | check-all)
		need g++ command -v $cxx
		need python3 command -v python3
		;;
	esac
	case $purpose in
	check-all)
		need gcc command -v gcc
		need clang command -v clang
		need clang-format command -v clang-format
		need valgrind command -v valgrind
		;;
	esac
	missing=${missing# }
}

fail()
{
	echo "missing for 'make $purpose': $missing" >&2
	echo "On Debian this installs it:" >&2
	echo "    apt-get update && apt-get install --no-install-recommends $missing" >&2
	[ $# -eq 0 ] || echo "$*" >&2
	exit 1
}

look
[ -n "$missing" ] || exit 0
[ -z "$only_look" ] || fail
command -v apt-get >/dev/null || fail "(There is no apt-get here.)"

if [ "$(id -u)" -eq 0 ]; then
	as_root=
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
	as_root=sudo
else
	fail "(This is not root, and sudo does not work here.)"
fi

echo "Installing with apt: $missing"
$as_root apt-get -qq update
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 \
	install --no-install-recommends $missing >/dev/null
look
[ -z "$missing" ] || fail "(It was installed, and still is not found.)"
