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
	log_write(log, LOG_EV_DELIVERY_REST, KV(rest_ms, INT64_C(3)),
	    KV(queued, 2u), KV(reason, "no answer"));
	line = take_capture(&c);
	log_write(NULL, LOG_EV_DELIVERY_RESUME, LOG_NO_FIELDS);
	end_capture(&c);
	log_free(log);
	/* 2026-01-01T00:00:00Z and a blank before it. */
	assert_int_equal(line[4], '-');
	assert_int_equal(line[10], 'T');
	assert_int_equal(line[19], 'Z');
	assert_string_equal(line + 20,
	    " warning delivery rest rest_ms=3 queued=2 "
	    "reason=\"no answer\"\n");
}

static void
test_levels(void **state)
{
	struct log *log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_ERROR);
	struct capture c;
	bool is_silent, is_reported;

	(void)state;
	assert_false(log_is_on(log, LOG_LEVEL_WARNING));
	assert_true(log_is_on(log, LOG_LEVEL_FATAL));
	assert_false(log_is_on(NULL, LOG_LEVEL_FATAL));
	start_capture(&c);
	assert_false(log_has(log, LOG_EV_SMTP_REFUSE));
	log_write(log, LOG_EV_SMTP_REFUSE, KV(limit, "x"));
	is_silent = take_capture(&c)[0] == '\0';
	log_configure(log, LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
	log_write(log, LOG_EV_GATE_SECURE, LOG_NO_FIELDS);
	is_reported = take_capture(&c)[0] != '\0';
	end_capture(&c);
	log_free(log);
	assert_true(is_silent);
	assert_true(is_reported);
}

static const char *
huge_item(const void *arg, size_t i)
{
	(void)i;
	return arg;
}

/* One line, whatever comes in; never longer than a pipe takes whole. */
static void
test_hostile(void **state)
{
	struct log *log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
	char huge[10000];
	struct log_list many = {huge_item, huge, 0, 20};
	struct capture c;
	size_t forged, n;
	char end[5];

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	start_capture(&c);
	log_write(log, LOG_EV_SMTP_MESSAGE, KV(from, "1\nfatal x y\r\x1b"));
	take_capture(&c);
	forged = str_index(str_from(c.text), '\n') + 1 - strlen(c.text);
	log_write(log, LOG_EV_SMTP_RECIPIENTS, KV(id, huge), KV(to, &many));
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

static const char *
name_item(const void *arg, size_t i)
{
	const char *const *names = arg;

	return names[i];
}

/* What each kind of value is written as, and what leaves its key out. */
static void
test_values(void **state)
{
	static const char *const names[] = {"a@b", "c d@e", "f@g", "h@i"};
	struct log *log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
	struct log_list to = {name_item, names, 1, 3};
	const struct ip local = {0};
	struct ip client;
	struct capture c;
	char text[1024];

	(void)state;
	assert_true(ip_parse(STR("192.0.2.1"), &client));
	start_capture(&c);
	log_write(log, LOG_EV_GATE_HOLD, KV(sender, ""),
	    KV(policy, (const char *)NULL), KV(id, (struct str){0}),
	    KV(until, INT64_C(1767225600000)));
	log_write(log, LOG_EV_GATE_HOLD, KV(until, INT64_MAX));
	log_write(log, LOG_EV_GATE_HOLD, KV(until, 0));
	log_write(log, LOG_EV_SMTP_XCLIENT, KV(peer, &client),
	    KV(client, &local), KV(user, STR("b c")));
	log_write(log, LOG_EV_SMTP_RECIPIENTS, KV(to, &to));
	log_write(log, LOG_EV_SMTP_TLS, KV(resumed, true));
	log_write(log, LOG_EV_SMTP_TLS, KV(resumed, 1 > 2));
	log_write(log, LOG_EV_SPOOL_PUT_ASIDE, KV(ticket, UINT64_MAX));
	log_write(log, LOG_EV_MAILD_STOP, KV(status, -1));
	str_copy(str_from(take_capture(&c)), text, sizeof(text));
	end_capture(&c);
	log_free(log);
	/* Times stand before them. */
	assert_non_null(strstr(
	    text, " info gate hold sender=\"\" until=2026-01-01T00:00:00Z\n"));
	assert_non_null(strstr(text, " info gate hold until=never\n"));
	assert_non_null(strstr(text, " info gate hold\n"));
	assert_non_null(strstr(text,
	    " info smtp xclient peer=192.0.2.1 client=local user=\"b c\"\n"));
	assert_non_null(
	    strstr(text, " info smtp recipients to=\"c d@e\" to=f@g\n"));
	assert_non_null(strstr(text, " info smtp tls resumed=yes\n"));
	assert_non_null(strstr(text, " info smtp tls resumed=no\n"));
	assert_non_null(strstr(
	    text, " error spool put_aside ticket=18446744073709551615\n"));
	assert_non_null(strstr(text, " info maild stop status=-1\n"));
}

/* tests/check-log.py holds the table against the sources; here is what the
 * program makes of it. */
static void
test_table(void **state)
{
	(void)state;
	assert_true(log_event_allows(LOG_EV_SMTP_TLS, LOG_KEY_sni));
	assert_false(log_event_allows(LOG_EV_SMTP_TLS, LOG_KEY_code));
	assert_false(log_event_allows(LOG_EV_DELIVERY_RESUME, LOG_KEY_id));
	for (size_t i = 0; i < LOG_EV_MAX; i++) {
		struct str keys = str_from(log_events[i].keys);
		struct str part = str_from(log_events[i].name);
		const struct log_part *p = log_parts;

		part = str_cut(&part, ' ');
		while (p->name != NULL && !str_eq(part, str_from(p->name)))
			p++;
		assert_non_null(p->name);
		while (keys.n > 0) {
			struct str key = str_cut(&keys, ' ');
			size_t k = LOG_KEY_NONE + 1;

			while (k < LOG_KEY_MAX &&
			       !str_eq(key, str_from(log_keys[k].name)))
				k++;
			assert_true(k < LOG_KEY_MAX);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_line),
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_quote),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
