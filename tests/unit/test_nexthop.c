/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool of connections, on a real loop against a scripted next hop: reuse,
 * limits, lines, failover, rest, deadlines, names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "delivery/nexthop.h"
#include "fake_hop.h"
#include "pump.h"

struct world {
	struct loop *loop;
	struct fake *fake, *second;
	struct nexthop *n;
	struct counters counters;
	struct nexthop_settings settings;
	const char *addresses[4];
};

/* An owner of a hop, and what it heard. */
struct user {
	struct world *w;
	struct hop *hop;
	bool inside; /* a call of the pool is on the stack */
	bool ready, failed, ended, put_at_end, reused;
	unsigned code;
	char text[512];
	char name[256];
};

static void
on_ready(void *arg, int64_t now)
{
	struct user *u = arg;

	(void)now;
	assert_false(u->inside);
	u->ready = true;
}

static void
on_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply, int64_t now)
{
	struct user *u = arg;

	(void)tag;
	u->code = reply->code;
	if (what == SMTP_CLIENT_DATA && reply->code == 354) {
		smtp_client_body(hop_client(u->hop), STR("hi\r\n"), now);
		smtp_client_end(hop_client(u->hop), 0, now);
	}
	u->ended = what == SMTP_CLIENT_END ||
		   (what == SMTP_CLIENT_DATA && reply->code >= 400);
	if (u->ended && u->put_at_end) {
		hop_put(u->hop, now);
		u->hop = NULL;
	}
}

static void
on_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
on_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct user *u = arg;

	(void)now;
	assert_false(u->inside);
	u->failed = true;
	u->hop = NULL;
	u->code = reply->code;
	str_copy(reply->text, u->text, sizeof(u->text));
}

static const struct hop_ops ops = {on_ready, on_reply, on_drain, on_fail};

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->loop = loop_new();
	w->fake = fake_new(w->loop);
	w->second = fake_new(w->loop);
	w->addresses[0] = w->fake->address;
	w->addresses[1] = w->second->address;
	w->settings = (struct nexthop_settings){
	    .addresses = w->addresses,
	    .address_count = 1,
	    .hostname = "test.example.org",
	    .connect_timeout_ms = 5000,
	    .timeouts = {5000, 5000, 5000, 5000},
	    .connections_max = 10,
	    .idle_max = 10,
	    .idle_timeout_ms = 60000,
	    .rest_ms = 60000,
	};
	*state = w;
	return 0;
}

static void
start(struct world *w)
{
	char err[256];

	w->n = nexthop_new(
	    w->loop, &w->settings, &w->counters, NULL, err, sizeof(err));
	assert_non_null(w->n);
}

static int
teardown(void **state)
{
	struct world *w = *state;

	nexthop_free(w->n);
	fake_free(w->fake);
	fake_free(w->second);
	pump_turns(w->loop, 3);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void
get(struct user *u, struct world *w, bool fresh)
{
	*u = (struct user){.w = w, .inside = true, .put_at_end = true};
	u->hop = nexthop_get(w->n, fresh, &ops, u, loop_now(w->loop));
	u->inside = false;
	u->ready = hop_is_ready(u->hop);
}

static void
wait_ready(struct user *u)
{
	assert_true(pump_until(u->w->loop, pump_is_set, &u->ready));
	u->reused = hop_is_reused(u->hop);
	str_copy(str_from(hop_name(u->hop)), u->name, sizeof(u->name));
}

static void
put(struct user *u)
{
	hop_put(u->hop, loop_now(u->w->loop));
	u->hop = NULL;
}

static void
send_message(struct user *u)
{
	struct smtp_client *c = hop_client(u->hop);
	const struct smtp_mail mail = {.from = STR("a@example.org")};
	const struct smtp_rcpt rcpt = {.to = STR("b@example.org")};
	int64_t now = loop_now(u->w->loop);

	u->ended = false;
	smtp_client_mail(c, &mail, 0, now);
	smtp_client_rcpt(c, &rcpt, 0, now);
	smtp_client_data(c, 0, now);
}

static bool
is_over(void *arg)
{
	struct user *u = arg;

	return u->ended || u->failed;
}

static bool
is_gone(void *arg)
{
	struct fake *f = arg;

	return f->open == 0;
}

struct count {
	const int *what;
	int wanted;
};

static bool
is_count(void *arg)
{
	const struct count *c = arg;

	return *c->what == c->wanted;
}

static void
wait_count(struct world *w, const int *what, int wanted)
{
	struct count c = {what, wanted};

	assert_true(pump_until(w->loop, is_count, &c));
}

static void
test_reuse(void **state)
{
	struct world *w = *state;
	struct user u;
	struct smtp_caps caps;

	start(w);
	assert_false(nexthop_caps(w->n, &caps));
	get(&u, w, false);
	assert_false(u.ready);
	wait_ready(&u);
	assert_false(u.reused);
	assert_string_equal(u.name, w->fake->address);
	assert_true(nexthop_caps(w->n, &caps));
	assert_true(caps.ext & SMTP_EXT_8BITMIME);
	for (int i = 0; i < 5; i++) {
		send_message(&u);
		assert_true(pump_until(w->loop, is_over, &u));
		assert_int_equal(u.code, 250);
		/* Given back within its own callback: ready at once. */
		get(&u, w, false);
		assert_true(u.ready);
		assert_true(hop_is_reused(u.hop));
	}
	put(&u);
	assert_int_equal(w->fake->connects, 1);
	assert_int_equal(w->fake->message_count, 5);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_CONNECTIONS], 1);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
}

static void
test_fresh(void **state)
{
	struct world *w = *state;
	struct user a, b;

	start(w);
	get(&a, w, false);
	wait_ready(&a);
	put(&a);
	get(&b, w, true);
	assert_false(b.ready);
	wait_ready(&b);
	assert_false(b.reused);
	assert_int_equal(w->fake->connects, 2);
	put(&b);
}

static void
test_most_recent_first(void **state)
{
	struct world *w = *state;
	struct user a, b, c;
	struct smtp_client *recent;

	start(w);
	get(&a, w, false);
	get(&b, w, false);
	wait_ready(&a);
	wait_ready(&b);
	recent = hop_client(b.hop);
	put(&a);
	put(&b);
	get(&c, w, false);
	assert_ptr_equal(hop_client(c.hop), recent);
	put(&c);
}

static void
test_line_is_fifo(void **state)
{
	struct world *w = *state;
	struct user u[5];

	w->settings.connections_max = 2;
	start(w);
	for (int i = 0; i < 5; i++)
		get(&u[i], w, false);
	wait_ready(&u[0]);
	wait_ready(&u[1]);
	pump_turns(w->loop, 5);
	assert_false(u[2].ready);
	/* One in the middle of the line goes away. */
	hop_drop(u[3].hop);
	put(&u[0]);
	assert_false(u[4].ready);
	wait_ready(&u[2]);
	assert_true(u[2].reused);
	assert_false(u[4].ready);
	/* A dropped connection gives room for a new one. */
	hop_drop(u[1].hop);
	wait_ready(&u[4]);
	assert_false(u[4].reused);
	assert_int_equal(w->fake->connects, 3);
	put(&u[2]);
	put(&u[4]);
}

static void
test_fresh_at_the_limit(void **state)
{
	struct world *w = *state;
	struct user a, b, c;

	w->settings.connections_max = 1;
	start(w);
	get(&a, w, false);
	wait_ready(&a);
	put(&a);
	/* The kept one makes room. */
	get(&b, w, true);
	wait_ready(&b);
	assert_false(b.reused);
	get(&c, w, true);
	put(&b);
	wait_ready(&c);
	assert_false(c.reused);
	assert_int_equal(w->fake->connects, 3);
	put(&c);
}

static void
test_idle_max(void **state)
{
	struct world *w = *state;
	struct user u[3];

	w->settings.idle_max = 1;
	start(w);
	for (int i = 0; i < 3; i++)
		get(&u[i], w, false);
	for (int i = 0; i < 3; i++)
		wait_ready(&u[i]);
	for (int i = 0; i < 3; i++)
		put(&u[i]);
	wait_count(w, &w->fake->open, 1);
	assert_int_equal(w->fake->quits, 2);
}

static void
test_idle_timeout(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.idle_timeout_ms = 50;
	start(w);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
	assert_true(pump_until(w->loop, is_gone, w->fake));
	assert_int_equal(w->fake->quits, 1);
	/* Not a failure, and the next one connects anew. */
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
}

static void
test_uses_max(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.uses_max = 2;
	start(w);
	for (int i = 0; i < 6; i++) {
		get(&u, w, false);
		wait_ready(&u);
		send_message(&u);
		assert_true(pump_until(w->loop, is_over, &u));
	}
	assert_int_equal(w->fake->connects, 3);
	assert_int_equal(w->fake->message_count, 6);
}

static void
test_idle_is_dropped_quietly(void **state)
{
	struct world *w = *state;
	struct user u;

	start(w);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
	fake_kick_out(w->fake, "421 4.3.2 going down");
	pump_turns(w->loop, 10);
	get(&u, w, false);
	assert_false(u.ready);
	wait_ready(&u);
	assert_int_equal(w->fake->connects, 2);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
	put(&u);
}

static void
test_closed_as_it_is_taken(void **state)
{
	struct world *w = *state;
	struct user u;

	start(w);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
	get(&u, w, false);
	assert_true(u.ready);
	fake_rule(w->fake, "MAIL", FAKE_CLOSE, 1, 0);
	send_message(&u);
	assert_true(pump_until(w->loop, is_over, &u));
	assert_true(u.failed);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
}

static void
test_breaks_in_use(void **state)
{
	struct world *w = *state;
	struct user u;

	start(w);
	fake_rule(w->fake, "RCPT", FAKE_CLOSE, 1, 0);
	get(&u, w, false);
	wait_ready(&u);
	send_message(&u);
	assert_true(pump_until(w->loop, is_over, &u));
	assert_true(u.failed);
	assert_int_equal(u.code / 100, 4);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 1);
	/* The address does not rest for it. */
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
}

static void
test_abandoned_is_reset(void **state)
{
	struct world *w = *state;
	struct user u;
	const struct smtp_mail mail = {.from = STR("a@example.org")};

	start(w);
	get(&u, w, false);
	wait_ready(&u);
	smtp_client_mail(hop_client(u.hop), &mail, 0, loop_now(w->loop));
	wait_count(w, (int *)&u.code, 250);
	smtp_client_abandon(hop_client(u.hop), loop_now(w->loop));
	put(&u);
	assert_int_equal(w->fake->resets, 0);
	wait_count(w, &w->fake->resets, 1);
	get(&u, w, false);
	assert_true(u.ready);
	send_message(&u);
	assert_true(pump_until(w->loop, is_over, &u));
	assert_int_equal(u.code, 250);
	assert_int_equal(w->fake->resets, 1);
	assert_int_equal(w->fake->connects, 1);
}

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
	assert_true(nexthop_reload(w->n, &w->settings, err, sizeof(err)));
	wait_ready(&c);
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
	    TEST(test_reuse),
	    TEST(test_fresh),
	    TEST(test_most_recent_first),
	    TEST(test_line_is_fifo),
	    TEST(test_fresh_at_the_limit),
	    TEST(test_idle_max),
	    TEST(test_idle_timeout),
	    TEST(test_uses_max),
	    TEST(test_idle_is_dropped_quietly),
	    TEST(test_closed_as_it_is_taken),
	    TEST(test_breaks_in_use),
	    TEST(test_abandoned_is_reset),
	    TEST(test_failover_and_rest),
	    TEST(test_rest_ends),
	    TEST(test_all_fail),
	    TEST(test_refused_ehlo),
	    TEST(test_silence_times_out),
	    TEST(test_failure_is_not_of_the_line),
	    TEST(test_unix_and_names),
	    TEST(test_bad_addresses),
	    TEST(test_reload),
	    TEST(test_reload_of_numbers_keeps_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
