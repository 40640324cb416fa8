/* SPDX-License-Identifier: BSD-3-Clause */
/* Who hears which lines of a trace. */
#include "os/tap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct ear {
	struct tap_follower follower;
	char heard[512];
	bool leaves;
};

static void
on_line(void *arg, const struct tap_line *line)
{
	struct ear *e = arg;
	size_t n = strlen(e->heard);

	snprintf(e->heard + n, sizeof(e->heard) - n, "%s|%.*s;",
	    tap_part_name[line->part], STR_ARG(line->text));
	if (e->leaves)
		tap_unfollow(&e->follower);
}

static void
listen_to(struct tap *t, struct ear *e, const char *what)
{
	*e = (struct ear){.follower = {.on_line = on_line, .arg = e}};
	assert_true(tap_filter_parse(str_from(what), &e->follower.filter));
	tap_follow(t, &e->follower);
}

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(str_from(text), &ip));
	return ip;
}

static void
test_fits_client_sender_and_hop(void **state)
{
	struct tap *t = tap_new(NULL);
	struct ip ip = ip_of("192.0.2.7");
	struct tap_who who = {.client = &ip,
	    .sender = "alice",
	    .from = "alice@example.org",
	    .hop = "127.0.0.1:10025"};
	const struct tap_who nobody = {0};
	const char *const fit[] = {"192.0.2.7", "192.0.2.0/24", "alice",
	    "ALICE", "alice@example.org", "<alice@example.org>",
	    "127.0.0.1:10025"};
	const char *const other[] = {"192.0.2.8", "198.51.100.0/24", "alic",
	    "127.0.0.1", "127.0.0.1:25"};
	struct ear e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fit); i++) {
		listen_to(t, &e, fit[i]);
		tap_write(t, &who, TAP_CLIENT, STR("NOOP"));
		assert_string_equal(e.heard, "client|NOOP;");
		tap_write(t, &nobody, TAP_CLIENT, STR("NOOP"));
		assert_string_equal(e.heard, "client|NOOP;");
		tap_unfollow(&e.follower);
	}
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		listen_to(t, &e, other[i]);
		tap_write(t, &who, TAP_CLIENT, STR("NOOP"));
		assert_string_equal(e.heard, "");
		tap_unfollow(&e.follower);
	}
	tap_free(t);
}

static void
test_lines_come_one_by_one(void **state)
{
	struct tap *t = tap_new(NULL);
	struct tap_who who = {.sender = "a"};
	struct ear e;

	(void)state;
	listen_to(t, &e, "a");
	tap_write(t, &who, TAP_REPLY, STR("250-weir\r\n250 SIZE\r\n"));
	tap_print(t, &who, TAP_HOP, "%u %s", 250, "ok\nmore");
	tap_write(t, &who, TAP_CLIENT, STR(""));
	assert_string_equal(e.heard,
	    "reply|250-weir;reply|250 SIZE;hop|250 ok;hop|more;client|;");
	tap_unfollow(&e.follower);
	tap_free(t);
}

static void
test_is_off_when_nobody_looks(void **state)
{
	struct tap *t = tap_new(NULL);
	struct tap_who who = {.sender = "a"};
	struct ear first, second;

	(void)state;
	assert_false(tap_is_on(NULL));
	assert_false(tap_is_on(t));
	listen_to(t, &first, "a");
	listen_to(t, &second, "a");
	first.leaves = true;
	assert_true(tap_is_on(t));
	tap_write(t, &who, TAP_STATE, STR("one"));
	tap_write(t, &who, TAP_STATE, STR("two"));
	assert_string_equal(first.heard, "state|one;");
	assert_string_equal(second.heard, "state|one;state|two;");
	tap_unfollow(&second.follower);
	assert_false(tap_is_on(t));
	tap_free(t);
}

static void
test_clients_of_the_configuration(void **state)
{
	struct log *log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_FATAL);
	struct tap *t = tap_new(log);
	struct ip_net net;

	(void)state;
	assert_ptr_equal(log_tap(log), t);
	assert_true(ip_net_parse(STR("192.0.2.0/24"), &net));
	tap_configure(t, ip_ranges_new(&net, 1));
	assert_true(tap_is_on(t));
	tap_configure(t, NULL);
	assert_false(tap_is_on(t));
	tap_free(t);
	assert_null(log_tap(log));
	log_free(log);
}

static void
test_filter_of_hostile_length(void **state)
{
	struct tap_filter f;
	char text[TAP_WHAT_MAX + 1];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_false(tap_filter_parse(STR(""), &f));
	assert_false(tap_filter_parse((struct str){text, TAP_WHAT_MAX}, &f));
	assert_true(tap_filter_parse((struct str){text, TAP_WHAT_MAX - 1}, &f));
	assert_false(f.is_net);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fits_client_sender_and_hop),
	    cmocka_unit_test(test_lines_come_one_by_one),
	    cmocka_unit_test(test_is_off_when_nobody_looks),
	    cmocka_unit_test(test_clients_of_the_configuration),
	    cmocka_unit_test(test_filter_of_hostile_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
