# SPDX-License-Identifier: MIT
#
# libmolt. `make help` lists the targets.
#
# One file for all folders, GNU make. Sources are found by wildcard: a new file needs no change
# here. A folder under test/ that needs rules of its own has them in a rules.mk. Variables that call
# pkg-config are expanded when first used, so that `make check` and `make demo` can install what is
# missing before anything asks for it.

VERSION := 0.1.0
SOVERSION := 0

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
DESTDIR ?=

BUILD ?= build
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format
INSTALL ?= install
NM ?= nm
# address,undefined or thread
SAN ?=
# 1: a warning is an error
WERROR ?=
# A program to run the tests under (valgrind), and how much longer than usual a test may then take.
UNDER ?=
SLOWNESS ?= $(if $(SAN),4,1)
NO_INSTALL ?=

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wconversion -Wno-sign-conversion
comma := ,
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' $(1) $(2))

# Two at a time, unless -j says otherwise.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j2
endif

all:
.PHONY: all
.DELETE_ON_ERROR:
.SECONDARY:

# --- Sources --------------------------------------------------------------------------------------

core_src := $(sort $(wildcard lib/core/*.c))
event_src := $(sort $(wildcard lib/libevent/*.c))
example_src := $(sort $(wildcard examples/*.c))
helper_src := $(sort $(wildcard test/lib/*.c))
whitebox_src := $(sort $(wildcard test/core/*.c))
public_src := $(sort $(wildcard test/public/*.c))
explore_src := $(sort $(wildcard test/explore/*.c))
demo_src := $(sort $(wildcard test/demo/*.c))
bench_src := $(sort $(wildcard test/bench/*.c))

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
programs = $(patsubst %.c,$(BUILD)/%,$(1))

program_src := $(example_src) $(whitebox_src) $(public_src) $(demo_src) $(bench_src)
all_src := $(core_src) $(event_src) $(helper_src) $(explore_src) $(program_src)

# Programs that stand on the libevent library, and test helpers that don't need cmocka.
on_libevent := $(if $(program_src),$(shell grep -lE \
	'^[ \t]*\#[ \t]*include[ \t]*<(event2/|molt/libevent\.h)' $(program_src)))
on_jansson := $(if $(program_src),$(shell grep -lE \
	'^[ \t]*\#[ \t]*include[ \t]*<jansson' $(program_src)))
plain_helper_src := $(if $(helper_src),$(shell grep -L 'cmocka' $(helper_src)))

# --- Flags ----------------------------------------------------------------------------------------

once = $(eval $(1) := $(shell $(2)))$($(1))
JANSSON_CFLAGS = $(call once,JANSSON_CFLAGS,$(PKG_CONFIG) --cflags jansson)
JANSSON_LIBS = $(call once,JANSSON_LIBS,$(PKG_CONFIG) --libs jansson)
EVENT_CFLAGS = $(call once,EVENT_CFLAGS,$(PKG_CONFIG) --cflags libevent_core)
EVENT_LIBS = $(call once,EVENT_LIBS,$(PKG_CONFIG) --libs libevent_core)
EXTRA_LIBS = $(call once,EXTRA_LIBS,$(PKG_CONFIG) --libs libevent_core libevent_extra)
CMOCKA_CFLAGS = $(call once,CMOCKA_CFLAGS,$(PKG_CONFIG) --cflags cmocka)
CMOCKA_LIBS = $(call once,CMOCKA_LIBS,$(PKG_CONFIG) --libs cmocka)

san_flags := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
base_cflags = -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) $(CPPFLAGS) $(CFLAGS) $(san_flags) \
	$(if $(WERROR),-Werror) -Iinclude
link_flags = -pthread $(CFLAGS) $(san_flags) $(LDFLAGS)
# clang puts a sanitizer's runtime into programs only, so a library of such a build has loose ends.
shared_flags = -shared $(if $(SAN),,-Wl$(comma)-z$(comma)defs)
rpath = -Wl,-rpath,'$$ORIGIN/$(1)'

# What is compiled is compiled anew when compiler or flags change.
flags_now = $(CC) | $(base_cflags) | $(link_flags) | $(VERSION)
$(BUILD)/flags: force
	$(Q)mkdir -p $(@D)
	$(Q)printf '%s\n' '$(subst ','\'',$(flags_now))' | cmp -s - $@ || { \
		CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' sh test/check/setup.sh --only-look build && \
		printf '%s\n' '$(subst ','\'',$(flags_now))' > $@; }

# What is linked is linked anew when a source file comes or goes.
$(BUILD)/sources: force
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(all_src)' | cmp -s - $@ || echo '$(all_src)' > $@

force:
.PHONY: force

compile = $(Q)mkdir -p $(@D) && $(CC) $(base_cflags) $(1) -MMD -MP -c -o $@ $<

$(BUILD)/lib/core/%.o: lib/core/%.c $(BUILD)/flags
	$(call say,CC,$@)
	$(call compile,-fPIC -fvisibility=hidden -DMOLT_VERSION='"$(VERSION)"' $(JANSSON_CFLAGS))

$(BUILD)/lib/libevent/%.o: lib/libevent/%.c $(BUILD)/flags
	$(call say,CC,$@)
	$(call compile,-fPIC -fvisibility=hidden $(EVENT_CFLAGS))

$(BUILD)/examples/%.o: examples/%.c $(BUILD)/flags
	$(call say,CC,$@)
	$(call compile,$(if $(filter examples/$*.c,$(on_libevent)),$(EVENT_CFLAGS)) \
		$(if $(filter examples/$*.c,$(on_jansson)),$(JANSSON_CFLAGS)))

# White-box: these see lib/core's own headers; all others see what a user sees.
$(BUILD)/test/core/%.o: test_cflags = -iquote lib/core -Itest/lib $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
$(BUILD)/test/lib/%.o: test_cflags = -iquote lib/core $(JANSSON_CFLAGS)
$(BUILD)/test/explore/%.o: test_cflags = -iquote lib/core
$(BUILD)/test/public/%.o: test_cflags = -Itest/lib $(CMOCKA_CFLAGS)
$(BUILD)/test/demo/%.o: test_cflags = -Itest/lib
$(BUILD)/test/bench/%.o: test_cflags = -Itest/lib

$(BUILD)/test/%.o: test/%.c $(BUILD)/flags
	$(call say,CC,$@)
	$(call compile,$(test_cflags) $(if $(filter test/$*.c,$(on_libevent)),$(EVENT_CFLAGS)))

$(call objects,$(whitebox_src) $(public_src)): | $(BUILD)/cmocka
$(BUILD)/cmocka:
	$(Q)PKG_CONFIG='$(PKG_CONFIG)' CC='$(CC)' sh test/check/setup.sh --only-look test
	$(Q)mkdir -p $(@D) && touch $@

-include $(patsubst %.o,%.d,$(call objects,$(all_src)))

# --- Libraries ------------------------------------------------------------------------------------

archive = $(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

link_program = $(Q)mkdir -p $(@D) && $(CC) $(link_flags) -o $@ $(filter %.o %.a,$^)
soname_links = $(Q)cd $(@D) && ln -sf $(@F) $(1).so.$(SOVERSION) && \
	ln -sf $(1).so.$(SOVERSION) $(1).so

core_so := $(BUILD)/lib/libmolt.so.$(VERSION)
core_a := $(BUILD)/lib/libmolt.a
event_so := $(BUILD)/lib/libmolt_libevent.so.$(VERSION)
event_a := $(BUILD)/lib/libmolt_libevent.a
core_map := lib/core/libmolt.map
event_map := lib/libevent/libmolt_libevent.map

libraries := $(if $(core_src),$(core_so) $(core_a)) $(if $(event_src),$(event_so) $(event_a))
all: $(libraries)

$(core_a): $(call objects,$(core_src)) $(BUILD)/sources
	$(call say,AR,$@)
	$(archive)

$(core_so): $(call objects,$(core_src)) $(core_map) $(BUILD)/sources
	$(call say,LINK,$@)
	$(Q)$(CC) $(link_flags) $(shared_flags) -Wl,-soname,libmolt.so.$(SOVERSION) \
		-Wl,--version-script,$(core_map) -o $@ $(filter %.o,$^) $(JANSSON_LIBS)
	$(call soname_links,libmolt)

$(event_a): $(call objects,$(event_src)) $(BUILD)/sources
	$(call say,AR,$@)
	$(archive)

$(event_so): $(call objects,$(event_src)) $(event_map) $(core_so) $(BUILD)/sources
	$(call say,LINK,$@)
	$(Q)$(CC) $(link_flags) $(shared_flags) -Wl,-soname,libmolt_libevent.so.$(SOVERSION) \
		-Wl,--version-script,$(event_map) -o $@ $(filter %.o,$^) \
		-L$(BUILD)/lib -lmolt $(EVENT_LIBS)
	$(call soname_links,libmolt_libevent)

# --- Programs -------------------------------------------------------------------------------------

# $(call libs_of,SOURCE): what a program that is linked with the built .so needs.
libs_of = -L$(BUILD)/lib $(if $(filter $(1),$(on_libevent)),$(if $(event_src),-lmolt_libevent)) \
	-lmolt $(if $(filter $(1),$(on_libevent)),$(EXTRA_LIBS)) \
	$(if $(filter $(1),$(on_jansson)),$(JANSSON_LIBS))
shared_objects := $(filter %.so.$(VERSION),$(libraries))

$(call programs,$(example_src)): %: %.o $(shared_objects)
	$(call say,LINK,$@)
	$(link_program) $(call rpath,../lib) $(call libs_of,$(patsubst $(BUILD)/%,%.c,$@))
all: $(call programs,$(example_src))

helpers := $(if $(helper_src),$(BUILD)/test/lib/helpers.a)
plain_helpers := $(if $(plain_helper_src),$(BUILD)/test/lib/plain.a)
$(BUILD)/test/lib/helpers.a: $(call objects,$(helper_src)) $(BUILD)/sources
	$(archive)
$(BUILD)/test/lib/plain.a: $(call objects,$(plain_helper_src)) $(BUILD)/sources
	$(archive)
$(call objects,$(filter-out $(plain_helper_src),$(helper_src))): | $(BUILD)/cmocka

# TEST_LDFLAGS is for rules.mk: `$(BUILD)/test/core/NAME: TEST_LDFLAGS = -Wl,--wrap=malloc`
$(call programs,$(whitebox_src)): %: %.o $(helpers) $(core_a)
	$(call say,LINK,$@)
	$(link_program) $(TEST_LDFLAGS) $(JANSSON_LIBS) $(CMOCKA_LIBS)

$(call programs,$(public_src)): %: %.o $(helpers) $(shared_objects)
	$(call say,LINK,$@)
	$(link_program) $(TEST_LDFLAGS) $(call rpath,../../lib) \
		$(call libs_of,$(patsubst $(BUILD)/%,%.c,$@)) $(CMOCKA_LIBS)

$(call programs,$(demo_src) $(bench_src)): %: %.o $(plain_helpers) $(shared_objects)
	$(call say,LINK,$@)
	$(link_program) $(TEST_LDFLAGS) $(call rpath,../../lib) \
		$(call libs_of,$(patsubst $(BUILD)/%,%.c,$@))

explorer := $(if $(explore_src),$(BUILD)/test/explore/explore)
$(BUILD)/test/explore/explore: $(call objects,$(explore_src)) $(core_a) $(BUILD)/sources
	$(call say,LINK,$@)
	$(link_program) $(TEST_LDFLAGS) $(JANSSON_LIBS)

# --- Tests ----------------------------------------------------------------------------------------

# The runner: one test program under a hard time limit, its output in one piece, nothing left
# behind.
runner := $(BUILD)/test/check/run
$(runner): test/check/run.c $(BUILD)/flags
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -o $@ $<

# $(call run,NAME,SOURCE,PROGRAM AND ARGUMENTS): see test/check/run.sh for what SOURCE may say.
# Programs find what was built in the folder MOLT_BUILD. As part of `make test` a failure is only
# noted.
run = $(Q)MOLT_BUILD='$(abspath $(BUILD))' MOLT_SAN='$(SAN)' MOLT_UNDER='$(firstword $(UNDER))' \
	sh test/check/run.sh $(BUILD) $(SLOWNESS) $(1) $(2) $(3) $(if $(fail_late),|| true)

core_runs := $(patsubst test/%.c,run/%,$(whitebox_src))
public_runs := $(patsubst test/%.c,run/%,$(public_src))
explore_runs := $(if $(explore_src),run/explore)

$(core_runs): run/%: $(BUILD)/test/% $(runner) | no-results
	$(call run,$*,test/$*.c,$(UNDER) $(BUILD)/test/$*)

# These may start the examples.
$(public_runs): run/%: $(BUILD)/test/% $(runner) $(call programs,$(example_src)) | no-results
	$(call run,$*,test/$*.c,$(BUILD)/test/$*)

$(explore_runs): $(explorer) $(runner) | no-results
	$(call run,explore,$(firstword $(filter %/explore.c,$(explore_src)) $(explore_src)),$(explorer))

# A rules.mk may add tests: `test_runs += run/NAME`, `run/NAME: PROGRAM $(runner) | no-results`, and
# `$(call run,NAME,SOURCE,PROGRAM)` for a recipe.
test_runs := $(core_runs) $(if $(UNDER),,$(public_runs) $(explore_runs))
-include $(sort $(wildcard test/*/rules.mk))

test: fail_late := 1
test: $(test_runs)
	$(Q)sh test/check/summary.sh $(BUILD) $(test_runs)

no-results:
	$(Q)rm -rf $(BUILD)/test/results

explore: $(explorer)
	$(if $(explorer),$(explorer) --full,@echo 'There is no explorer yet.')

bench: $(call programs,$(bench_src)) $(call programs,$(example_src))
	$(Q)set -e; for program in $(call programs,$(bench_src)); do \
		MOLT_BUILD='$(abspath $(BUILD))' timeout -k 5 600 $$program; done

.PHONY: test no-results explore bench $(test_runs)

# Everything that can be compiled.
programs: all $(call programs,$(whitebox_src) $(public_src) $(demo_src) $(bench_src)) $(explorer)
.PHONY: programs

# --- Checks on the source and on what was built ---------------------------------------------------

gates := arrows pure symbols headers format-check install-check readme
gates: $(gates)

arrows:
	$(Q)sh test/check/arrows.sh

# handoff decides and does nothing: what it calls shows in its object.
handoff_object := $(call objects,$(wildcard lib/core/handoff.c))
pure: $(handoff_object)
	$(if $(handoff_object),$(Q)NM='$(NM)' sh test/check/pure.sh $<)

compare = $(Q)NM='$(NM)' sh test/check/symbols.sh $(1)
symbols: $(shared_objects)
	$(if $(core_src),$(call compare,include/molt/molt.h $(core_map) $(core_so)))
	$(if $(event_src),$(call compare,include/molt/libevent.h $(event_map) $(event_so)))

headers:
	$(Q)CC='$(CC)' CXX='$(CXX)' EVENT_CFLAGS='$(EVENT_CFLAGS)' sh test/check/headers.sh \
		$(wildcard include/molt/*.h)

install-check: all
	+$(Q)MAKE='$(MAKE)' USER_CC='$(CC) $(san_flags)' PKG_CONFIG='$(PKG_CONFIG)' \
		VERSION=$(VERSION) sh test/check/install.sh

readme: $(shared_objects)
	$(Q)CC='$(CC) $(san_flags)' PKG_CONFIG='$(PKG_CONFIG)' sh test/check/readme.sh $(BUILD)

formatted := $(sort $(wildcard include/molt/*.h lib/*/*.[ch] examples/*.[ch] test/*/*.[ch]))
# The version that decides: others see some lines differently.
format_version := 14
format:
	$(CLANG_FORMAT) -i $(formatted)
format-check:
	$(Q)sh test/check/format.sh '$(CLANG_FORMAT)' $(format_version) $(formatted)

.PHONY: gates $(gates) format format-check

# --- Whole runs -----------------------------------------------------------------------------------

setup = $(Q)CC='$(CC)' CXX='$(CXX)' PKG_CONFIG='$(PKG_CONFIG)' NO_INSTALL='$(NO_INSTALL)' \
	sh test/check/setup.sh $(1)
submake = $(MAKE) --no-print-directory

check:
	$(call setup,check)
	+$(Q)$(submake) -k test gates

demo:
	$(call setup,demo)
	+$(Q)$(submake) $(call programs,$(filter %/demo.c,$(demo_src)) $(example_src))
	$(if $(demo_src),$(Q)MOLT_BUILD='$(abspath $(BUILD))' \
		$(BUILD)/test/demo/demo $(BUILD)/examples/httpd,@echo 'There is no demo yet.')

# Each kind of build has a folder of its own below $(BUILD).
kinds := gcc clang address thread valgrind
check-all:
	$(call setup,check-all)
	+$(Q)failed=; for kind in $(kinds); do \
		echo "=== check-$$kind"; \
		$(submake) check-$$kind || failed="$$failed $$kind"; done; \
		if [ -n "$$failed" ]; then echo "check-all: failed:$$failed"; exit 1; fi; \
		echo 'check-all: passed: $(kinds)'

kind = +$(Q)$(submake) -k BUILD=$(BUILD)/$(1) WERROR=1
check-gcc:
	$(call kind,gcc) CC=gcc CXX=g++ programs test gates
check-clang:
	$(call kind,clang) CC=clang CXX=clang++ programs test gates
check-address:
	$(call kind,address) CC=gcc SAN=address,undefined CFLAGS='-O1 -g' test
check-thread:
	$(call kind,thread) CC=gcc SAN=thread CFLAGS='-O1 -g' test
check-valgrind:
	$(call kind,valgrind) CC=gcc CFLAGS='-O1 -g' SLOWNESS=10 \
		UNDER='valgrind --quiet --error-exitcode=99 --leak-check=full' test

.PHONY: check demo check-all $(patsubst %,check-%,$(kinds))

# --- Install --------------------------------------------------------------------------------------

# moltctl as it is installed, without the way to the build folder in it.
moltctl := $(if $(filter examples/moltctl.c,$(example_src)),$(BUILD)/install/moltctl)
$(BUILD)/install/moltctl: $(BUILD)/examples/moltctl.o $(shared_objects)
	$(call say,LINK,$@)
	$(link_program) $(call libs_of,examples/moltctl.c)
all: $(moltctl)

headers_installed := molt.h $(if $(event_src),libevent.h)
pc_installed := molt.pc $(if $(event_src),molt-libevent.pc)
so_names = $(1).so.$(VERSION) $(1).so.$(SOVERSION) $(1).so
installed = $(headers_installed:%=$(INCLUDEDIR)/molt/%) $(pc_installed:%=$(PKGCONFIGDIR)/%) \
	$(patsubst %,$(LIBDIR)/%,libmolt.a $(call so_names,libmolt)) \
	$(if $(event_src),$(patsubst %,$(LIBDIR)/%,libmolt_libevent.a $(call so_names,libmolt_libevent))) \
	$(if $(moltctl),$(BINDIR)/moltctl)

put = $(Q)$(INSTALL) -d '$(DESTDIR)$(3)' && $(INSTALL) -m $(1) $(2) '$(DESTDIR)$(3)'
put_library = $(call put,644,$(BUILD)/lib/$(1).a $(BUILD)/lib/$(1).so.$(VERSION),$(LIBDIR)) && \
	ln -sf $(1).so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(1).so.$(SOVERSION)' && \
	ln -sf $(1).so.$(SOVERSION) '$(DESTDIR)$(LIBDIR)/$(1).so'
fill_in = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
	-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|'

install: all
	$(call put,644,$(headers_installed:%=include/molt/%),$(INCLUDEDIR)/molt)
	$(call put_library,libmolt)
	$(if $(event_src),$(call put_library,libmolt_libevent))
	$(Q)$(INSTALL) -d '$(DESTDIR)$(PKGCONFIGDIR)'
	$(Q)set -e; for pc in $(pc_installed); do \
		$(fill_in) pkgconfig/$$pc.in > '$(DESTDIR)$(PKGCONFIGDIR)'/$$pc; done
	$(if $(moltctl),$(call put,755,$(moltctl),$(BINDIR)))

uninstall:
	$(Q)rm -f $(patsubst %,'$(DESTDIR)%',$(installed))
	$(Q)rmdir '$(DESTDIR)$(INCLUDEDIR)/molt' 2>/dev/null || true

clean:
	rm -rf $(BUILD)

.PHONY: install uninstall clean

help:
	@sed -n 's/^#? \{0,1\}//p' $(firstword $(MAKEFILE_LIST))
.PHONY: help

#? make demo           upgrades a server under load, three times, and says what that cost
#? make check          installs what the tests need (Debian: apt), then runs tests and gates
#? make check-all      gcc, clang, ASan with UBSan, TSan, valgrind; up to twenty minutes
#?
#? make                libraries and examples, in $(BUILD)
#? make test           the tests alone; installs nothing
#? make run/core/NAME  one test (run/public/NAME, run/explore)
#? make explore        every reachable state of the handoff, the long form
#? make bench          measures
#? make install        to PREFIX below DESTDIR; uninstall
#? make gates          arrows (who may include whom), pure, symbols, headers, format-check,
#?                     install-check, readme; each of them is a target too
#? make format         clang-format
#? make clean
#?
#? Variables: PREFIX DESTDIR BINDIR LIBDIR INCLUDEDIR PKGCONFIGDIR, CC CXX CFLAGS CPPFLAGS LDFLAGS,
#? BUILD=folder, V=1 (show commands), WERROR=1, SAN=address,undefined or thread,
#? NO_INSTALL=1 (never install anything)
