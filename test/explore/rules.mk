# SPDX-License-Identifier: MIT
#
# The explorer's own rules: its mutants and its coverage of handoff.c.
#
#   make run/explore            three processes, in a minute
#   make run/mutants/NAME       whether the mutant NAME is caught; all of them are part of `make test`
#   make explore-mutant-NAME    the same, and prints the way to the state that gives it away
#   make explore-coverage       fails if the explorer leaves a line or branch of handoff.c out

explore_objects := $(call objects,$(explore_src))
explore_dir := $(BUILD)/test/explore

$(explore_dir)/%.o: test_cflags = -iquote lib/core $(CMOCKA_CFLAGS)
$(explore_objects): | $(BUILD)/cmocka
$(explore_dir)/explore: TEST_LDFLAGS = $(CMOCKA_LIBS)

# --- Mutants: a sed script each. Its first line says which check has to catch it. --------------------

mutants := $(patsubst test/explore/mutants/%.sed,%,$(sort $(wildcard test/explore/mutants/*.sed)))
mutant_programs := $(mutants:%=$(explore_dir)/mutants/%)
check_of = $(shell sed -n '1s/^\# check: //p' test/explore/mutants/$(1).sed)

$(mutants:%=$(explore_dir)/mutants/%.c): $(explore_dir)/mutants/%.c: test/explore/mutants/%.sed \
		lib/core/handoff.c
	$(Q)mkdir -p $(@D)
	$(Q)sed -f $< lib/core/handoff.c > $@
	$(Q)if cmp -s lib/core/handoff.c $@; then echo '$<: changes nothing' >&2; exit 1; fi

$(mutants:%=$(explore_dir)/mutants/%.o): %.o: %.c lib/core/handoff.h lib/core/record.h $(BUILD)/flags
	$(call say,CC,$@)
	$(Q)$(CC) $(base_cflags) -w -iquote lib/core -c -o $@ $<

# The mutant's object is there before the library is asked for one.
$(mutant_programs): %: %.o $(explore_objects) $(core_a)
	$(call say,LINK,$@)
	$(link_program) $(CMOCKA_LIBS) $(JANSSON_LIBS)

mutant_runs := $(mutants:%=run/mutants/%)
$(mutant_runs): run/mutants/%: $(explore_dir)/mutants/% $(runner) | no-results
	$(call run,mutants/$*,test/explore/explore.c,$< --mutant $* $(call check_of,$*))

$(mutants:%=explore-mutant-%): explore-mutant-%: $(explore_dir)/mutants/%
	$(Q)$< --mutant $* $(call check_of,$*) trace

# What they show does not depend on how they were compiled.
ifeq ($(SAN)$(UNDER),)
test_runs += $(mutant_runs)
endif

# --- Coverage --------------------------------------------------------------------------------------

coverage_dir := $(explore_dir)/coverage

$(coverage_dir)/handoff.o: lib/core/handoff.c lib/core/handoff.h $(BUILD)/flags
	$(Q)rm -rf $(@D) && mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(base_cflags) -O1 --coverage -fprofile-update=single -c -o $@ $<

$(coverage_dir)/explore: $(coverage_dir)/handoff.o $(explore_objects) $(core_a)
	$(call say,LINK,$@)
	$(link_program) --coverage $(CMOCKA_LIBS) $(JANSSON_LIBS)

explore-coverage: $(coverage_dir)/explore
	$(Q)rm -f $(coverage_dir)/handoff.gcda
	$(Q)$(coverage_dir)/explore > $(coverage_dir)/log || { cat $(coverage_dir)/log; exit 1; }
	$(Q)sh test/explore/coverage.sh $(coverage_dir) lib/core/handoff.c

# gcov reads what gcc has counted.
ifeq ($(findstring clang,$(CC)),)
gates: explore-coverage
endif

.PHONY: $(mutant_runs) explore-coverage $(mutants:%=explore-mutant-%)
