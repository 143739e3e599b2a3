/* SPDX-License-Identifier: MIT */
/*
 * <molt/molt.h> with its functions visible outside of the library, which is built with
 * -fvisibility=hidden. Files that define public functions include this before everything else;
 * others include <molt/molt.h> as a user does. The public header itself stays free of attributes
 * and pragmas because cffi and LuaJIT read it.
 */
#ifndef MOLT_CORE_EXPORT_H
#define MOLT_CORE_EXPORT_H

#ifdef MOLT_MOLT_H
#error "export.h must come first: what was declared without it stays hidden"
#endif

#pragma GCC visibility push(default)
#include <molt/molt.h>
#pragma GCC visibility pop

#endif
