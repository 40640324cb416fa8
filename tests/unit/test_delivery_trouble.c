/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Released mail and a next hop in trouble: put off, gone, hanging up, damaged
 * bodies, drain and restart. Nothing is lost, and there is no storm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "delivery_world.h"
#include "os/clock.h"

/* ---- again ---- */

static void
test_retries(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = 20;
	start(w);
	fake_rule(w->fake, "RCPT", "451 4.7.1 greylisted", 3, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_int_equal(w->events_seen[EVENT_DEFER], 3);
	assert_int_equal(w->events_seen[EVENT_DELIVER], 1);
}

static void
expect_delay(struct world *w, uint32_t attempts, int64_t delay)
{
	int64_t before = clock_wall_ms();
	struct left left;

	w->events_seen[EVENT_DEFER] = 0;
	put(w, &(struct letter){.to = {"b@example.org"}, .attempts = attempts});
	kick(w);
	wait_deferred(w);
	left = look(w);
	assert_in_range(left.next_try - before, delay, delay * 12 / 10);
}

static void
test_backoff_doubles(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT", "451 4.7.1 no", -1, 0);
	expect_delay(w, 0, HOUR_MS);
	expect_delay(w, 1, 2 * HOUR_MS);
	expect_delay(w, 3, 8 * HOUR_MS);
	expect_delay(w, 4, 10 * HOUR_MS);
	expect_delay(w, UINT32_MAX, 10 * HOUR_MS);
}

static void
test_expires(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "451 4.7.1 still no", -1, 0);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"},
		.age_ms = 6 * (int64_t)DAY_MS,
		.attempts = 3},
	    "Status: 5.4.7\r\n");
	assert_true(has(&w->fake->messages[w->fake->message_count - 1],
	    "Diagnostic-Code: smtp; 451 4.7.1 still no"));
	/* Held for long, tried for the first time: it gets its tries. */
	put(w, &(struct letter){
		   .to = {"b@example.org"}, .age_ms = 6 * (int64_t)DAY_MS});
	kick(w);
	wait_deferred(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 1);
}

/* Held for longer than max_age: nobody is told a time that has passed. */
static void
test_notice_of_old_mail(void **state)
{
	struct world *w = *state;

	w->settings.notify_after_ms = 1000;
	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "451 4.7.1 still no", -1, 0);
	put(w, &(struct letter){.from = "young@example.org",
		   .to = {"b@example.org"},
		   .age_ms = DAY_MS});
	put(w, &(struct letter){.from = "old@example.org",
		   .to = {"b@example.org"},
		   .age_ms = 6 * (int64_t)DAY_MS});
	kick(w);
	wait_count(w, &w->fake->message_count, 2);
	for (int i = 0; i < 2; i++) {
		const struct fake_message *m = &w->fake->messages[i];
		bool young = strstr(m->rcpts, "young@") != NULL;

		assert_true(has(m, "Action: delayed\r\n"));
		assert_int_equal(has(m, "Will-Retry-Until: "), young);
	}
}

static void
test_hangs_up_after_the_dot(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = 20;
	start(w);
	fake_rule(w->fake, FAKE_END, FAKE_CLOSE, 1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	/* It had it: twice, never zero times. */
	assert_int_equal(w->fake->message_count, 2);
	assert_int_equal(w->events_seen[EVENT_DEFER], 1);
	assert_int_equal(w->events_seen[EVENT_DELIVER], 1);
}

static void
test_stale_connection_is_tried_again_at_once(void **state)
{
	struct world *w = *state;

	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	fake_rule(w->fake, "MAIL", FAKE_CLOSE, 1, 0);
	put(w, &(struct letter){.to = {"c@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 2);
	assert_int_equal(w->fake->connects, 2);
	assert_int_equal(w->events_seen[EVENT_DEFER], 0);
}

static void
test_fresh_connection_is_not(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "MAIL", FAKE_CLOSE, -1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_deferred(w);
	assert_int_equal(w->fake->connects, 1);
}

static void
test_slow_reply(void **state)
{
	struct world *w = *state;

	w->hops.timeouts.end_ms = 50;
	start(w);
	fake_rule(w->fake, FAKE_END, FAKE_SILENT, -1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_deferred(w);
	assert_non_null(strstr(w->last_detail, "timed out"));
}

static void
test_breaks_within_a_large_body(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = 20;
	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}, .body_size = LARGE});
	kick(w);
	wait_count(w, &w->fake->open, 1);
	pump_turns(w->loop, 3);
	fake_kick_out(w->fake, NULL);
	wait_empty(w);
	assert_true(w->fake->message_count >= 1);
}

static bool
has_failed_often(void *arg)
{
	struct world *w = arg;

	return w->counters.v[COUNT_NEXT_HOP_FAILURES] >= 8;
}

static void
test_next_hop_is_down(void **state)
{
	struct world *w = *state;
	struct spool_stats stats;
	int tries;

	w->settings.retry_min_ms = 100;
	start(w);
	fake_stop(w->fake);
	for (int i = 0; i < 60; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_for(w, has_failed_often, w);
	tries = (int)w->counters.v[COUNT_NEXT_HOP_FAILURES];
	/* Four at first, then one at a time: no storm. */
	assert_true(tries < 12);
	spool_stats(w->spool, &stats);
	assert_int_equal(stats.messages, 60);
	assert_int_equal(w->events_seen[EVENT_DEFER], 0);
	fake_start(w->fake);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 60);
}

/* A report would not get out either, and the mail goes when it is back. */
static void
test_old_mail_outlives_a_next_hop_that_is_down(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = 50;
	start(w);
	fake_stop(w->fake);
	put(w, &(struct letter){.to = {"b@example.org"},
		   .age_ms = 6 * (int64_t)DAY_MS,
		   .attempts = 9});
	kick(w);
	wait_for(w, has_failed_often, w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 0);
	fake_start(w->fake);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_int_equal(w->events_seen[EVENT_DELIVER], 1);
}

static void
test_next_hop_limits_connections(void **state)
{
	struct world *w = *state;

	w->settings.concurrency = 8;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, "421 4.7.0 too many", -1, 2);
	for (int i = 0; i < 100; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 100);
	assert_int_equal(w->events_seen[EVENT_DEFER], 0);
}

static void
test_every_connection_breaks(void **state)
{
	struct world *w = *state;
	struct spool_stats stats;

	w->settings.retry_min_ms = w->settings.retry_max_ms = 200;
	start(w);
	fake_rule(w->fake, "MAIL", FAKE_CLOSE, -1, 0);
	for (int i = 0; i < 50; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_deferred(w);
	/* Each has its own pause: none is tried again at once. */
	assert_true(w->fake->connects <= 50);
	fake_clear_rules(w->fake);
	wait_empty(w);
	spool_stats(w->spool, &stats);
	assert_int_equal(w->fake->message_count, 50);
}

static void
test_damaged_body(void **state)
{
	struct world *w = *state;
	char path[512];
	DIR *dir;
	struct dirent *e;

	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}, .body_size = LARGE});
	snprintf(path, sizeof(path), "%s/bodies", w->dir);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/bodies/%s", w->dir, e->d_name);
		if (e->d_name[0] != '.')
			assert_int_equal(truncate(path, LARGE / 2), 0);
	}
	closedir(dir);
	kick(w);
	wait_deferred(w);
	/* Half a message is none. */
	assert_int_equal(w->fake->message_count, 0);
}

/* ---- the end ---- */

static void
on_drained(void *arg)
{
	((struct world *)arg)->drained = true;
}

static void
test_drain(void **state)
{
	struct world *w = *state;
	struct spool_stats stats;
	int sent;

	start(w);
	for (int i = 0; i < 100; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_count(w, &w->fake->message_count, 3);
	delivery_drain(w->d, on_drained, w);
	assert_false(w->drained);
	assert_true(pump_until(w->loop, pump_is_set, &w->drained));
	assert_true(is_quiet(w));
	spool_stats(w->spool, &stats);
	sent = w->fake->message_count;
	assert_int_equal(stats.messages + (uint64_t)sent, 100);
	kick(w);
	pump_turns(w->loop, 20);
	assert_int_equal(w->fake->message_count, sent);
}

static void
test_drain_with_nothing_under_way(void **state)
{
	struct world *w = *state;

	start(w);
	delivery_drain(w->d, on_drained, w);
	assert_true(pump_until(w->loop, pump_is_set, &w->drained));
}

static void
test_restart_in_the_middle(void **state)
{
	struct world *w = *state;

	start(w);
	for (int i = 0; i < 30; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_count(w, &w->fake->message_count, 3);
	delivery_free(w->d);
	nexthop_free(w->n);
	loop_watch_free(w->watch);
	spool_close(w->spool);
	open_spool(w);
	start(w);
	kick(w);
	wait_empty(w);
	assert_true(w->fake->message_count >= 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_retries),
	    TEST(test_backoff_doubles),
	    TEST(test_expires),
	    TEST(test_notice_of_old_mail),
	    TEST(test_hangs_up_after_the_dot),
	    TEST(test_stale_connection_is_tried_again_at_once),
	    TEST(test_fresh_connection_is_not),
	    TEST(test_slow_reply),
	    TEST(test_breaks_within_a_large_body),
	    TEST(test_next_hop_is_down),
	    TEST(test_old_mail_outlives_a_next_hop_that_is_down),
	    TEST(test_next_hop_limits_connections),
	    TEST(test_every_connection_breaks),
	    TEST(test_damaged_body),
	    TEST(test_drain),
	    TEST(test_drain_with_nothing_under_way),
	    TEST(test_restart_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
