/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sender at several relays: what is told of it, what others tell, and freezes
 * of another relay.
 */
#include "gate_rig.h"

#define MINUTE 60000
#define ALICE "alice@example.org"
#define SMALL                                                           \
	"policy \"default\" { interval = \"1m\" burst = 4 initial = 4 " \
	"freeze_at = 50 limit = {\"6/1d\"} stranger_messages = \"5/1d\" }"

static void
test_what_passes_and_what_is_let_go_is_told(void **state)
{
	struct rig r;
	struct rig_counts n;

	(void)state;
	rig_open(&r, SMALL);
	n = rig_send_many(&r, ALICE, "to", 5);
	assert_int_equal(n.passed, 4);
	assert_int_equal(n.held, 1);
	assert_int_equal(r.spent_recipients, 4);
	assert_int_equal(r.spent_messages, 5);
	assert_string_equal(r.spent_sender, ALICE);
	/* Who is known costs nothing. */
	assert_int_equal(rig_send(&r, ALICE, "to0@example.com"), THROTTLE_PASS);
	assert_int_equal(r.spent_recipients, 4);
	rig_run(&r, MINUTE);
	assert_int_equal(r.spent_recipients, 5);
	rig_close(&r);
}

/* It passes as known when it is asked for again. */
static void
test_what_was_put_off_is_told_in_its_turn(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, SMALL);
	gate_spent_elsewhere(r.gate, ALICE, 4, 0, r.now);
	txn = rig_begin(&r, ALICE);
	assert_int_equal(rig_ask(&r, txn, "a@example.com"), THROTTLE_HOLD);
	gate_defer(txn, r.now, r.wall);
	assert_int_equal(r.spent_recipients, 0);
	rig_run(&r, MINUTE);
	assert_int_equal(r.spent_recipients, 1);
	assert_int_equal(rig_send(&r, ALICE, "a@example.com"), THROTTLE_PASS);
	assert_int_equal(r.spent_recipients, 1);
	rig_close(&r);
}

static void
test_what_is_not_sent_is_not_told(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, SMALL);
	txn = rig_begin(&r, ALICE);
	assert_int_equal(rig_ask(&r, txn, "a@example.com"), THROTTLE_PASS);
	gate_cancel(txn, r.now);
	rig_reload(&r, SMALL, true);
	assert_int_equal(rig_send(&r, ALICE, "b@example.com"), THROTTLE_PASS);
	assert_int_equal(r.spent_recipients, 0);
	assert_int_equal(r.spent_messages, 0);
	rig_close(&r);
}

static void
test_what_others_spent_is_taken_off(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	struct rig_counts n;

	(void)state;
	rig_open(&r, SMALL);
	/* One that was never seen here. */
	gate_spent_elsewhere(r.gate, ALICE, 3, 1, r.now);
	assert_true(rig_info(&r, ALICE, &info));
	assert_int_equal(info.t.allowance, 1);
	assert_int_equal(info.t.limit_used[0], 3);
	assert_int_equal(info.stranger_messages, 1);
	n = rig_send_many(&r, ALICE, "to", 2);
	assert_int_equal(n.passed, 1);
	assert_int_equal(n.held, 1);
	/* It is not told back. */
	assert_int_equal(r.spent_recipients, 1);
	/* Nor is it forgotten. */
	rig_run(&r, 0);
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	assert_true(rig_info(&r, ALICE, &info));
	assert_int_equal(info.t.allowance, 0);
	assert_int_equal(info.t.limit_used[0], 4);
	assert_int_equal(info.stranger_messages, 3);
	rig_close(&r);
}

static void
test_messages_of_all_relays_freeze(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SMALL);
	gate_spent_elsewhere(r.gate, ALICE, 0, 5, r.now);
	assert_false(rig_is_frozen(&r, ALICE));
	assert_int_equal(rig_send(&r, ALICE, "one@example.com"), THROTTLE_PASS);
	rig_pump(&r);
	assert_true(rig_is_frozen(&r, ALICE));
	/* It would never end. */
	gate_spent_elsewhere(r.gate, ALICE, 1, UINT32_MAX, r.now);
	rig_close(&r);
}

static void
test_a_full_table_takes_nobody_for_others(void **state)
{
	struct rig r;
	size_t before;

	(void)state;
	rig_open(&r, SMALL);
	r.settings.senders_max = 1;
	gate_reload(r.gate, &r.settings, r.now);
	assert_int_equal(rig_freeze(&r, ALICE), 0);
	before = gate_sender_count(r.gate);
	gate_spent_elsewhere(r.gate, "bob", 3, 1, r.now);
	assert_int_equal(gate_sender_count(r.gate), before);
	rig_close(&r);
}

static void
test_a_freeze_of_another_relay(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	struct gate_freeze_order order = {
	    .sender = "<carol@example.org>",
	    .who = "mx2",
	    .note = "mx2: 100 of 100 recipients waiting",
	    .for_ms = MINUTE,
	    .by_relay = true,
	};

	(void)state;
	rig_open(&r, SMALL);
	gate_freeze(r.gate, &order, r.now, r.wall, rig_on_done, &r);
	rig_pump(&r);
	assert_int_equal(r.error, 0);
	/* The key itself, not what people would mean by it. */
	assert_true(rig_info(&r, "<carol@example.org>", &info));
	assert_string_equal(info.sender, "<carol@example.org>");
	assert_int_equal(info.t.freeze_reason, THROTTLE_FREEZE_RELAY);
	assert_string_equal(info.freeze_note, order.note);
	assert_int_equal(info.thaw_at, r.wall + MINUTE);
	assert_int_equal(r.freezes, 1);
	rig_restart(&r);
	assert_true(rig_info(&r, "<carol@example.org>", &info));
	assert_int_equal(info.t.freeze_reason, THROTTLE_FREEZE_RELAY);
	rig_run(&r, 2 * MINUTE);
	rig_pump(&r);
	assert_false(rig_is_frozen(&r, "<carol@example.org>"));
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_passes_and_what_is_let_go_is_told),
	    cmocka_unit_test(test_what_was_put_off_is_told_in_its_turn),
	    cmocka_unit_test(test_what_is_not_sent_is_not_told),
	    cmocka_unit_test(test_what_others_spent_is_taken_off),
	    cmocka_unit_test(test_messages_of_all_relays_freeze),
	    cmocka_unit_test(test_a_full_table_takes_nobody_for_others),
	    cmocka_unit_test(test_a_freeze_of_another_relay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
