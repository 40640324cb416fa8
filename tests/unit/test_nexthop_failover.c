/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool of connections when next hops fail: the next address, rest,
 * deadlines, names, reload.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "nexthop_world.h"

static void
test_failover_and_rest(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.address_count = 2;
	start(w);
	fake_stop(w->fake);
	get(&u, w, false);
	wait_ready(&u);
	assert_string_equal(u.name, w->second->address);
	hop_drop(u.hop);
	/* It rests: not asked again, though it is back. */
	fake_start(w->fake);
	get(&u, w, false);
	wait_ready(&u);
	assert_string_equal(u.name, w->second->address);
	assert_int_equal(w->fake->connects, 0);
	hop_drop(u.hop);
	/* The second goes down as well: then the first, rest or not. */
	fake_stop(w->second);
	get(&u, w, false);
	wait_ready(&u);
	assert_string_equal(u.name, w->fake->address);
	put(&u);
}

static void
test_rest_ends(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.address_count = 2;
	w->settings.rest_ms = 30;
	start(w);
	fake_stop(w->fake);
	get(&u, w, false);
	wait_ready(&u);
	hop_drop(u.hop);
	fake_start(w->fake);
	for (int i = 0; i < 10000 && w->fake->connects == 0; i++) {
		get(&u, w, false);
		wait_ready(&u);
		hop_drop(u.hop);
	}
	assert_string_equal(u.name, w->fake->address);
}

static void
expect_failure(struct world *w, const char *word)
{
	struct user u;

	get(&u, w, false);
	assert_true(pump_until(w->loop, is_over, &u));
	assert_true(u.failed);
	assert_int_equal(u.code, 451);
	if (strstr(u.text, word) == NULL)
		fail_msg("\"%s\" has no \"%s\"", u.text, word);
}

static void
test_all_fail(void **state)
{
	struct world *w = *state;

	w->settings.address_count = 2;
	start(w);
	fake_stop(w->fake);
	fake_rule(w->second, FAKE_OPEN, "554 5.7.1 not for you", -1, 0);
	expect_failure(w, w->second->address);
	expect_failure(w, "not for you");
	/* Both rest, both were asked again all the same. */
	assert_int_equal(w->second->connects, 2);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 4);
}

static void
test_refused_ehlo(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "EHLO", "550 go away", -1, 0);
	fake_rule(w->fake, "HELO", "550 go away", -1, 0);
	expect_failure(w, "go away");
	fake_clear_rules(w->fake);
	fake_rule(w->fake, "EHLO", FAKE_CLOSE, -1, 0);
	expect_failure(w, "closed");
}

static void
test_silence_times_out(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.timeouts.greeting_ms = 40;
	w->settings.timeouts.command_ms = 40;
	w->settings.address_count = 2;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, FAKE_SILENT, -1, 0);
	get(&u, w, false);
	wait_ready(&u);
	assert_string_equal(u.name, w->second->address);
	fake_rule(w->second, "MAIL", FAKE_SILENT, -1, 0);
	send_message(&u);
	assert_true(pump_until(w->loop, is_over, &u));
	assert_true(u.failed);
}

struct clock {
	struct loop *loop;
	int64_t due;
};

static bool
is_past(void *arg)
{
	const struct clock *c = arg;

	return loop_now(c->loop) >= c->due;
}

/* It takes connections and never greets: the other one is tried soon, and of
 * those that come after its rest one alone waits for it. */
static void
test_never_greets(void **state)
{
	struct world *w = *state;
	struct user u, v;
	struct clock clock = {.loop = w->loop};

	w->settings.connect_timeout_ms = 100;
	w->settings.timeouts.greeting_ms = 600000;
	w->settings.rest_ms = 400;
	w->settings.address_count = 2;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, FAKE_SILENT, -1, 0);
	get(&u, w, false);
	wait_ready(&u);
	assert_string_equal(u.name, w->second->address);
	hop_drop(u.hop);
	assert_int_equal(w->fake->connects, 1);
	clock.due = loop_now(w->loop) + w->settings.rest_ms;
	assert_true(pump_until(w->loop, is_past, &clock));
	get(&u, w, true);
	get(&v, w, true);
	wait_ready(&v);
	wait_ready(&u);
	assert_string_equal(u.name, w->second->address);
	assert_string_equal(v.name, w->second->address);
	assert_int_equal(w->fake->connects, 2);
	put(&u);
	put(&v);
}

/* Where there is no other, a slow greeting has all the time it may have. */
static void
test_only_one_is_waited_for(void **state)
{
	struct world *w = *state;

	w->settings.connect_timeout_ms = 20;
	w->settings.timeouts.greeting_ms = 200;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, FAKE_SILENT, -1, 0);
	expect_failure(w, "timed out waiting for the reply");
}

static void
test_failure_is_not_of_the_line(void **state)
{
	struct world *w = *state;
	struct user a, b;

	w->settings.connections_max = 1;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, "421 4.3.2 too many", 1, 0);
	get(&a, w, false);
	get(&b, w, false);
	assert_true(pump_until(w->loop, is_over, &a));
	assert_true(a.failed);
	/* Its failure is not that of those in line. */
	wait_ready(&b);
	put(&b);
}

/* Nobody works: each is told so, and it is not asked again and again. */
static void
test_all_are_told_421(void **state)
{
	struct world *w = *state;
	struct user u[5];

	start(w);
	fake_rule(w->fake, FAKE_OPEN, "421 4.3.2 not available", -1, 0);
	for (int i = 0; i < 5; i++)
		get(&u[i], w, false);
	for (int i = 0; i < 5; i++) {
		assert_true(pump_until(w->loop, is_over, &u[i]));
		assert_true(u[i].failed);
		assert_non_null(strstr(u[i].text, "not available"));
	}
	assert_int_equal(w->fake->connects, 5);
}

static void
test_unix_and_names(void **state)
{
	struct world *w = *state;
	char name[64], err[256];
	struct user u;

	snprintf(
	    name, sizeof(name), "localhost%s", strrchr(w->fake->address, ':'));
	w->addresses[0] = name;
	start(w);
	get(&u, w, false);
	get(&u, w, false);
	wait_ready(&u);
	assert_non_null(strstr(u.name, "localhost[127.0.0.1]:"));
	put(&u);
	w->addresses[0] = "unix:/nonexistent/weir-test.sock";
	assert_true(nexthop_reload(w->n, &w->settings, err, sizeof(err)));
	expect_failure(w, "unix:/nonexistent/weir-test.sock");
}

static void
test_bad_addresses(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {"", "127.0.0.1", "300.1.1.1:25",
	    "host:99999", "a b:25", "::1:25", "host", "-x.example.org:25",
	    ":25"};
	char err[256];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		w->addresses[0] = bad[i];
		err[0] = '\0';
		if (nexthop_new(w->loop, &w->settings, &w->counters, NULL, err,
			sizeof(err)) != NULL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_true(err[0] != '\0');
	}
	w->settings.address_count = 0;
	assert_null(nexthop_new(
	    w->loop, &w->settings, &w->counters, NULL, err, sizeof(err)));
}

static void
test_reload(void **state)
{
	struct world *w = *state;
	struct user a, b, c;
	struct smtp_caps caps;
	char err[256];

	start(w);
	get(&a, w, false);
	get(&b, w, false);
	wait_ready(&a);
	wait_ready(&b);
	put(&b);
	w->addresses[0] = "nonsense";
	assert_false(nexthop_reload(w->n, &w->settings, err, sizeof(err)));
	w->addresses[0] = w->second->address;
	/* On its way to the old address. */
	fake_rule(w->fake, FAKE_OPEN, FAKE_SILENT, -1, 0);
	get(&c, w, true);
	pump_turns(w->loop, 5);
	assert_true(nexthop_caps(w->n, &caps));
	assert_true(nexthop_reload(w->n, &w->settings, err, sizeof(err)));
	/* What another one offered is nobody's word any more. */
	assert_false(nexthop_caps(w->n, &caps));
	wait_ready(&c);
	assert_true(nexthop_caps(w->n, &caps));
	assert_string_equal(c.name, w->second->address);
	put(&c);
	/* In use: stays until it is put, and is not kept then. */
	send_message(&a);
	assert_true(pump_until(w->loop, is_over, &a));
	assert_int_equal(a.code, 250);
	assert_true(pump_until(w->loop, is_gone, w->fake));
	assert_int_equal(w->fake->quits, 2);
}

static void
test_reload_of_numbers_keeps_connections(void **state)
{
	struct world *w = *state;
	struct user u;
	char err[256];

	start(w);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
	w->settings.connections_max = 3;
	assert_true(nexthop_reload(w->n, &w->settings, err, sizeof(err)));
	get(&u, w, false);
	assert_true(u.ready);
	put(&u);
	assert_int_equal(w->fake->connects, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_failover_and_rest),
	    TEST(test_rest_ends),
	    TEST(test_all_fail),
	    TEST(test_refused_ehlo),
	    TEST(test_silence_times_out),
	    TEST(test_never_greets),
	    TEST(test_only_one_is_waited_for),
	    TEST(test_failure_is_not_of_the_line),
	    TEST(test_all_are_told_421),
	    TEST(test_unix_and_names),
	    TEST(test_bad_addresses),
	    TEST(test_reload),
	    TEST(test_reload_of_numbers_keeps_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
