/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines as they arrive at the other end of stderr.
 */
#include "os/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct capture {
	int saved, in;
	char text[8192];
};

static void
start_capture(struct capture *c)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	fflush(stderr);
	c->saved = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	c->in = fds[0];
	/* Nothing waits: what was logged is there. */
	fcntl(c->in, F_SETFL, O_NONBLOCK);
}

static const char *
take_capture(struct capture *c)
{
	ssize_t n = read(c->in, c->text, sizeof(c->text) - 1);

	c->text[n > 0 ? n : 0] = '\0';
	return c->text;
}

static void
end_capture(struct capture *c)
{
	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	close(c->in);
}

static void
test_line(void **state)
{
	struct log *log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_INFO);
	struct capture c;
	const char *line;

	(void)state;
	start_capture(&c);
	log_event(
	    log, LOG_LEVEL_WARNING, "relay", "hold", "id=%s n=%d", "A1", 3);
	line = take_capture(&c);
	log_event(NULL, LOG_LEVEL_FATAL, "relay", "hold", "x=1");
	end_capture(&c);
	log_free(log);
	/* 2026-01-01T00:00:00Z and a blank before it. */
	assert_int_equal(line[4], '-');
	assert_int_equal(line[10], 'T');
	assert_int_equal(line[19], 'Z');
	assert_string_equal(line + 20, " warning relay hold id=A1 n=3\n");
}

static void
test_levels(void **state)
{
	struct log *log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	struct capture c;
	bool is_silent, is_told;

	(void)state;
	assert_false(log_is_on(log, LOG_LEVEL_WARNING));
	assert_true(log_is_on(log, LOG_LEVEL_FATAL));
	assert_false(log_is_on(NULL, LOG_LEVEL_FATAL));
	start_capture(&c);
	log_event(log, LOG_LEVEL_WARNING, "a", "b", "%s", "");
	is_silent = take_capture(&c)[0] == '\0';
	log_configure(log, LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
	log_event(log, LOG_LEVEL_DEBUG, "a", "b", "%s", "");
	is_told = take_capture(&c)[0] != '\0';
	end_capture(&c);
	log_free(log);
	assert_true(is_silent);
	assert_true(is_told);
}

/* One line, whatever comes in; never longer than a pipe takes whole. */
static void
test_hostile(void **state)
{
	struct log *log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
	char huge[10000];
	struct capture c;
	size_t forged, n;
	char end[5];

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	start_capture(&c);
	log_event(log, LOG_LEVEL_INFO, "a", "b", "c=%s", "1\nfatal x y\r\x1b");
	take_capture(&c);
	forged = str_index(str_from(c.text), '\n') + 1 - strlen(c.text);
	log_event(log, LOG_LEVEL_INFO, "a", "b", "c=%s d=%d", huge, 5);
	n = strlen(take_capture(&c));
	end_capture(&c);
	log_free(log);
	assert_int_equal(forged, 0);
	assert_int_equal(n, 4096);
	str_copy(str_sub((struct str){c.text, n}, n - 4, 4), end, sizeof(end));
	assert_string_equal(end, "...\n");
}

static void
test_quote(void **state)
{
	char out[LOG_QUOTE_MAX], want[LOG_QUOTE_MAX];
	char huge[2000];

	(void)state;
	assert_ptr_equal(log_quote(STR("a@b.org"), out), out);
	assert_string_equal(out, "a@b.org");
	assert_string_equal(log_quote(STR(""), out), "\"\"");
	assert_string_equal(log_quote(STR("a b"), out), "\"a b\"");
	assert_string_equal(log_quote(STR("a=b"), out), "\"a=b\"");
	assert_string_equal(
	    log_quote(STR("x\" y=\n"), out), "\"x\\x22 y=\\x0a\"");
	memset(huge, ' ', sizeof(huge));
	log_quote((struct str){huge, sizeof(huge)}, out);
	memset(want, ' ', sizeof(want));
	want[0] = '"';
	memcpy(want + LOG_QUOTE_MAX - 5, "...\"", 5);
	assert_string_equal(out, want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_line),
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
