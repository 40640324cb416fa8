/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Observe mode: everything is computed, told and counted, nothing is held.
 */
#include "gate_rig.h"

#define MINUTE 60000
#define SLOW "policy \"default\" { burst = 1 initial = 1 }"

static void
open_observing(struct rig *r, const char *policies)
{
	rig_open(r, policies);
	r->settings.observe = true;
	gate_reload(r->gate, &r->settings, r->now);
}

static void
test_observe(void **state)
{
	struct rig r;
	struct rig_counts c;
	char text[RIG_TEXT];

	(void)state;
	open_observing(&r, "policy \"default\" { freeze_at = 100 }");
	c = rig_send_many(&r, "alice", "a", 15);
	assert_int_equal(c.passed, 15);
	assert_true(r.observed);
	assert_non_null(strstr(r.why, "allowance used up"));
	assert_int_equal(rig_counter(&r, COUNT_OBSERVED_HOLDS), 5);
	assert_int_equal(rig_counter(&r, COUNT_PASSED_RECIPIENTS), 15);
	assert_int_equal(rig_counter(&r, COUNT_DELAYED_RECIPIENTS), 0);
	assert_int_equal(rig_events(&r, EVENT_OBSERVE), 5);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	assert_int_equal(rig_queue(&r, "alice"), 5);
	/* The schedule runs as it would, without a trace. */
	rig_run(&r, 5 * MINUTE);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(r.released, 0);
	assert_int_equal(rig_counter(&r, COUNT_RELEASED_RECIPIENTS), 0);
	assert_int_equal(
	    rig_send(&r, "alice", "a14@example.com"), THROTTLE_PASS);
	assert_false(r.observed);
	/* An outbreak passes, and is told each time it would have frozen. */
	c = rig_send_many(&r, "mallory", "v", 330);
	assert_int_equal(c.passed, 330);
	assert_false(rig_is_frozen(&r, "mallory"));
	assert_int_equal(r.freezes, 0);
	assert_int_equal(rig_counter(&r, COUNT_FREEZES), 0);
	rig_last_event(&r, EVENT_OBSERVE, text);
	assert_int_equal(rig_counter(&r, COUNT_OBSERVED_HOLDS), 5 + 320);
	assert_int_equal(rig_events(&r, EVENT_OBSERVE), 5 + 320 + 3);
	assert_int_equal(rig_queue(&r, "mallory"), 20);
	rig_close(&r);
}

/* From enforce to observe and back: what was held stays held by its schedule,
 * what was observed leaves no ghost. */
static void
test_observe_and_back(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "freeze_at = 10 }");
	rig_send_many(&r, "alice", "a", 3);
	rig_freeze(&r, "bob");
	rig_reload(&r, SLOW, true);
	assert_int_equal(rig_send_many(&r, "alice", "b", 4).passed, 4);
	assert_int_equal(rig_queue(&r, "alice"), 6);
	/* A frozen sender passes while we only look. */
	assert_int_equal(rig_send(&r, "bob", "x@x"), THROTTLE_PASS);
	assert_true(r.observed);
	assert_int_equal(rig_counter(&r, COUNT_OBSERVED_HOLDS), 5);
	rig_run(&r, MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	rig_reload(&r, SLOW, false);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(rig_send(&r, "bob", "x@x"), THROTTLE_REFUSE);
	rig_run(&r, MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	rig_close(&r);
}

/* Who was put off without mail keeps the place in the queue at a reload: else
 * the wait would begin anew, and an outbreak's queue be emptied. */
static void
test_reload_keeps_put_off(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_HOLD);
	gate_defer(txn, r.now, r.wall);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	rig_reload(&r, SLOW, false);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	rig_run(&r, MINUTE);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_send(&r, "alice", "b@x"), THROTTLE_PASS);
	rig_close(&r);
}

/* when_frozen = hold while observing: nothing piles up behind a freeze. */
static void
test_observe_frozen_hold(void **state)
{
	struct rig r;

	(void)state;
	open_observing(&r, "policy \"default\" { when_frozen = hold }");
	rig_freeze(&r, "bob");
	assert_int_equal(rig_send_many(&r, "bob", "v", 50).passed, 50);
	assert_true(r.observed);
	assert_int_equal(rig_queue(&r, "bob"), 0);
	assert_int_equal(rig_counter(&r, COUNT_OBSERVED_HOLDS), 50);
	rig_close(&r);
}

static void
test_observe_whole(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_observing(&r, "policy \"default\" { multi = whole burst = 1 "
			   "initial = 1 }");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_PASS);
	assert_false(gate_txn_is_whole(txn));
	assert_int_equal(rig_commit(&r, txn), 0);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_observe),
	    cmocka_unit_test(test_observe_and_back),
	    cmocka_unit_test(test_reload_keeps_put_off),
	    cmocka_unit_test(test_observe_frozen_hold),
	    cmocka_unit_test(test_observe_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
