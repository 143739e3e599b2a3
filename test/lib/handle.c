/* SPDX-License-Identifier: MIT */
#include "handle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fds.h"
#include "tmpdir.h"

int
handle_set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fds = fds_snapshot();
	f->directory = tmpdir_make();
	f->path = tmpdir_join(f->directory, "sock");
	f->m = molt_new(f->path);
	assert_non_null(f->m);
	*state = f;
	return 0;
}

int
handle_tear_down(void **state)
{
	struct fixture *f = *state;

	molt_free(f->m);
	assert_int_equal(fds_changed(f->fds), 0);
	fds_free(f->fds);
	assert_int_equal(tmpdir_remove(f->directory), 0);
	free(f->path);
	free(f);
	return 0;
}

struct molt *
handle_of(void **state)
{
	return ((struct fixture *)*state)->m;
}

void
handle_check_error(struct molt *m, int64_t result, int error, const char *words, const char *file,
		   int line)
{
	if (result != error || strstr(molt_error(m), words) == NULL)
		fail_msg("%s:%d: got %lld \"%s\", wanted %d and \"%s\"", file, line,
			 (long long)result, molt_error(m), error, words);
}

void
handle_check_event(struct molt *m, int type, int reason, const char *file, int line)
{
	struct molt_event *e = molt_wait(m, 10000) > 0 ? molt_next_event(m) : NULL;

	if (e == NULL)
		fail_msg("%s:%d: %s did not come", file, line, molt_event_type_name(type));
	if (molt_event_type(e) != type || molt_event_reason(e) != reason)
		fail_msg("%s:%d: got %s, %s (%s), wanted %s, %s", file, line,
			 molt_event_type_name(molt_event_type(e)),
			 molt_reason_name(molt_event_reason(e)), molt_event_text(e),
			 molt_event_type_name(type), molt_reason_name(reason));
}

void
handle_serve(struct molt *m)
{
	assert_int_equal(molt_start(m), 0);
	assert_int_equal(molt_ready(m), 0);
	assert_event(m, MOLT_SERVE, MOLT_REASON_FIRST);
}
