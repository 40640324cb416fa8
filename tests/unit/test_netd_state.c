/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-netd's state file: the last text is what is read back, however many were
 * given to the thread that writes; a file that cannot be read is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "netd/state.h"

struct place {
	char dir[64], state[96], file[128];
	struct log *log;
};

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/weir-state-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->state, sizeof(p->state), "%s/state", p->dir);
	snprintf(p->file, sizeof(p->file), "%s/frozen", p->state);
	p->log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct place *p = *state;
	char new[160];

	snprintf(new, sizeof(new), "%s.new", p->file);
	(void)unlink(new);
	(void)unlink(p->file);
	(void)rmdir(p->file);
	(void)rmdir(p->state);
	assert_int_equal(rmdir(p->dir), 0);
	log_free(p->log);
	free(p);
	return 0;
}

static struct state *
open_state(struct place *p)
{
	char err[256] = "";
	struct state *s = state_open(p->state, p->log, err, sizeof(err));

	assert_non_null(s);
	return s;
}

static void
test_the_last_one_is_kept(void **state)
{
	struct place *p = *state;
	struct state *s = open_state(p);
	struct buf text;
	struct stat st;

	buf_init(&text, 1 << 16);
	assert_int_equal(state_read(s, &text), 0);
	assert_int_equal(buf_str(&text).n, 0); /* the first start */
	for (int i = 0; i < 500; i++)
		state_write(s, xasprintf("10.0.0.1 %d by hand\n", i));
	state_close(s);
	s = open_state(p);
	assert_int_equal(state_read(s, &text), 0);
	assert_true(str_eq(buf_str(&text), STR("10.0.0.1 499 by hand\n")));
	state_close(s);
	buf_clear(&text);
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
test_what_cannot_be_used(void **state)
{
	struct place *p = *state;
	struct buf text;
	struct state *s;
	char err[256] = "";

	assert_null(state_open("/proc/none/state", p->log, err, sizeof(err)));
	assert_non_null(strstr(err, "/proc/none/state"));
	/* A directory where the file should be: told, neither read nor
	 * written, and the end still comes. */
	s = open_state(p);
	assert_int_equal(mkdir(p->file, 0700), 0);
	buf_init(&text, 4096);
	assert_int_not_equal(state_read(s, &text), 0);
	state_write(s, xstrdup("10.0.0.1 1 by hand\n"));
	state_close(s);
	buf_clear(&text);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_the_last_one_is_kept),
	    T(test_what_cannot_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
