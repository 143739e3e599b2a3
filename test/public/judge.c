/* SPDX-License-Identifier: MIT */
/*
 * The tests of the tests: what judges a handoff from outside finds nothing wrong with one that goes
 * well, and catches a server that doesn't stop serving, one that only says that it does, and a stop
 * with a start after it.
 */
#include "fault_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { PATIENCE_MS = 4000 };

static bool
never(const struct fault_scene *s)
{
	(void)s;
	return false;
}

/* A scene without a fault, with the predecessor told something first. */
static struct fault_scene *
play(const char *line)
{
	struct fault_scene *s = fault_scene_open();

	assert_non_null(s);
	if (line != NULL)
		fault_scene_say(s, FAULT_OLD, line);
	assert_true(fault_scene_start(s, FAULT_NEW));
	assert_true(fault_scene_until(s, fault_new_is_done, PATIENCE_MS));
	assert_true(s->told[FAULT_NEW] & FAULT_TOLD_SERVE);
	return s;
}

static void
test_without_a_fault_all_is_well(void **state)
{
	struct fault_scene *s = play(NULL);

	(void)state;
	fault_scene_until(s, fault_both_are_done, PATIENCE_MS);
	assert_true(fault_scene_finish(s));
	assert_true(judge_one_owner(&s->judge));
	assert_true(judge_datagrams(&s->judge));
	assert_true(judge_connections(&s->judge, 0));
	fault_scene_close(s);
}

static void
test_who_is_deaf_to_pause_is_caught(void **state)
{
	struct fault_scene *s = play("deaf");

	(void)state;
	assert_false(judge_one_owner(&s->judge));
	assert_non_null(strstr(s->judge.sentence, "two in service"));
	fault_scene_close(s);
}

static void
test_who_reads_on_in_secret_is_caught(void **state)
{
	struct fault_scene *s = play("liar");
	bool well = true;

	(void)state;
	for (int i = 0; i < 20 && well; i++) {
		fault_scene_until(s, never, 50);
		well = judge_datagrams(&s->judge);
	}
	assert_false(well);
	assert_non_null(strstr(s->judge.sentence, "old read a datagram outside its service"));
	fault_scene_close(s);
}

static bool
old_is_gone(const struct fault_scene *s)
{
	return s->hung_up[FAULT_OLD];
}

static void
test_stop_then_start_loses_connections(void **state)
{
	struct fault_scene *s = fault_scene_open();

	(void)state;
	assert_non_null(s);
	fault_scene_say(s, FAULT_OLD, "drain");
	assert_true(fault_scene_until(s, old_is_gone, PATIENCE_MS));
	fault_clients_connect(&s->clients);
	assert_true(fault_scene_start(s, FAULT_NEW));
	assert_true(fault_scene_until(s, fault_new_is_done, PATIENCE_MS));
	assert_true(judge_one_owner(&s->judge));
	assert_false(judge_connections(&s->judge, 0));
	fault_scene_close(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_a_fault_all_is_well),
		cmocka_unit_test(test_who_is_deaf_to_pause_is_caught),
		cmocka_unit_test(test_who_reads_on_in_secret_is_caught),
		cmocka_unit_test(test_stop_then_start_loses_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
