/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Freezing by hand with a reason and for a time: what is shown, what a restart
 * keeps, and what a time does not thaw.
 */
#include "gate_rig.h"

#include <errno.h>

#define MINUTE (60 * INT64_C(1000))
#define SLOW "policy \"default\" { burst = 1 initial = 1 }"
#define HOLDS                                                       \
	"policy \"default\" { burst = 1 initial = 1 freeze_at = 5 " \
	"when_frozen = hold }"

static int
freeze_for(struct rig *r, const char *sender, const char *note, int64_t for_ms)
{
	struct gate_freeze_order order = {
	    .sender = sender, .who = "admin", .note = note, .for_ms = for_ms};

	r->done = 0;
	gate_freeze(r->gate, &order, r->now, r->wall, rig_on_done, r);
	rig_pump(r);
	assert_int_equal(r->done, 1);
	return r->error;
}

static void
run(struct rig *r, int64_t ms)
{
	rig_run(r, ms);
	rig_pump(r);
	rig_run(r, 0);
}

static void
test_note(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	char detail[RIG_TEXT];
	struct buf audit;

	(void)state;
	rig_open(&r, SLOW);
	buf_init(&audit, 65536);
	rig_send(&r, "alice", "a@x");
	assert_int_equal(0, freeze_for(&r, "alice", "password \"stolen\"", 0));
	assert_true(rig_info(&r, "alice", &info));
	assert_string_equal("password \"stolen\"", info.freeze_note);
	assert_int_equal(0, info.thaw_at);
	rig_last_event(&r, EVENT_FREEZE, detail);
	assert_string_equal("frozen by an administrator, 0 recipients waiting: "
			    "password \"stolen\"",
	    detail);
	assert_string_equal(detail, r.freeze_reason);
	rig_audit(&r, &audit);
	assert_non_null(strstr(buf_str(&audit).p, "password \"stolen\""));
	/* The sender's client hears nothing of it. */
	rig_send(&r, "alice", "b@x");
	assert_null(strstr(r.text, "stolen"));
	rig_restart(&r);
	assert_true(rig_info(&r, "alice", &info));
	assert_string_equal("password \"stolen\"", info.freeze_note);
	/* Again without one: it stays. */
	assert_int_equal(0, freeze_for(&r, "alice", NULL, 0));
	assert_true(rig_info(&r, "alice", &info));
	assert_string_equal("password \"stolen\"", info.freeze_note);
	assert_int_equal(0, rig_thaw(&r, "alice", GATE_THAW_KEEP));
	assert_true(rig_info(&r, "alice", &info));
	assert_null(info.freeze_note);
	rig_freeze(&r, "alice");
	assert_true(rig_info(&r, "alice", &info));
	assert_null(info.freeze_note);
	buf_clear(&audit);
	rig_close(&r);
}

static void
test_time(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	char detail[RIG_TEXT];

	(void)state;
	rig_open(&r, SLOW);
	rig_send_many(&r, "alice", "a", 3);
	assert_int_equal(0, freeze_for(&r, "alice", "look", 120 * MINUTE));
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(r.wall + 120 * MINUTE, info.thaw_at);
	rig_last_event(&r, EVENT_FREEZE, detail);
	assert_non_null(strstr(detail, "until 2026-01-01T12:00:00Z: look"));
	run(&r, 119 * MINUTE);
	assert_true(rig_is_frozen(&r, "alice"));
	assert_int_equal(2, rig_queue(&r, "alice"));
	run(&r, 1 * MINUTE);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_last_event(&r, EVENT_THAW, detail);
	assert_string_equal(
	    "thawed by weir, the time of its freeze is over", detail);
	rig_restart(&r);
	assert_false(rig_is_frozen(&r, "alice"));
	/* What is frozen after that has no time. */
	rig_freeze(&r, "alice");
	run(&r, 300 * MINUTE);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

/* Over a restart, also one in which it ended. */
static void
test_time_survives(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	rig_send(&r, "bob", "a@x");
	freeze_for(&r, "alice", NULL, 30 * MINUTE);
	freeze_for(&r, "bob", NULL, 5 * MINUTE);
	rig_pass_time(&r, 10 * MINUTE);
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "bob"));
	run(&r, 0);
	assert_false(rig_is_frozen(&r, "bob"));
	assert_true(rig_is_frozen(&r, "alice"));
	run(&r, 19 * MINUTE);
	assert_true(rig_is_frozen(&r, "alice"));
	run(&r, 1 * MINUTE);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

static void
test_later_order_counts(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	freeze_for(&r, "alice", NULL, 10 * MINUTE);
	freeze_for(&r, "alice", NULL, 0); /* for good */
	run(&r, 60 * MINUTE);
	assert_true(rig_is_frozen(&r, "alice"));
	freeze_for(&r, "alice", NULL, 10 * MINUTE);
	run(&r, 10 * MINUTE);
	assert_false(rig_is_frozen(&r, "alice"));
	/* A thaw ends the time, too. */
	freeze_for(&r, "alice", NULL, 10 * MINUTE);
	rig_thaw(&r, "alice", GATE_THAW_KEEP);
	rig_freeze(&r, "alice");
	run(&r, 60 * MINUTE);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

static void
test_a_rule_has_no_time(void **state)
{
	struct rig r;
	struct gate_sender_info info;

	(void)state;
	rig_open(&r, HOLDS);
	rig_send_many(&r, "alice", "a", 8);
	assert_true(rig_is_frozen(&r, "alice"));
	freeze_for(&r, "alice", "seen", 10 * MINUTE);
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(THROTTLE_FREEZE_LENGTH, info.t.freeze_reason);
	assert_int_equal(0, info.thaw_at);
	assert_string_equal("seen", info.freeze_note);
	run(&r, 60 * MINUTE);
	assert_true(rig_is_frozen(&r, "alice"));
	/* Frozen for a time, thawed, and frozen by the rule before its end. */
	freeze_for(&r, "bob", NULL, 30 * MINUTE);
	rig_thaw(&r, "bob", GATE_THAW_KEEP);
	rig_send_many(&r, "bob", "b", 8);
	assert_true(rig_is_frozen(&r, "bob"));
	run(&r, 60 * MINUTE);
	assert_true(rig_is_frozen(&r, "bob"));
	rig_close(&r);
}

/* While it was frozen as much came in as freezes its kind. */
static void
test_too_much_waits(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	char detail[RIG_TEXT];

	(void)state;
	rig_open(&r, HOLDS);
	rig_send(&r, "alice", "first@x");
	freeze_for(&r, "alice", "look", 10 * MINUTE);
	rig_send_many(&r, "alice", "a", 7);
	assert_int_equal(7, rig_queue(&r, "alice"));
	run(&r, 10 * MINUTE);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_last_event(&r, EVENT_FREEZE, detail);
	assert_non_null(strstr(detail,
	    "the time of its freeze is over, but 7 of 5 recipients are "
	    "waiting; the reason was: look"));
	assert_int_equal(2, r.freezes); /* the administrator hears of it */
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(0, info.thaw_at);
	rig_restart(&r);
	run(&r, 600 * MINUTE);
	assert_true(rig_is_frozen(&r, "alice"));
	assert_int_equal(7, rig_queue(&r, "alice"));
	rig_close(&r);
}

/* How many new recipients its mail went to already. */
static void
test_passed(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	const int64_t day = 24 * 60 * MINUTE;

	(void)state;
	rig_open(&r, SLOW);
	rig_send_many(&r, "alice", "a", 3);      /* one passes, two wait */
	rig_send(&r, "alice", "a0@example.com"); /* known by now */
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(1, info.passed);
	run(&r, MINUTE);
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(2, info.passed);
	assert_int_equal(0, rig_thaw(&r, "alice", GATE_THAW_RELEASE));
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(3, info.passed);
	rig_freeze(&r, "alice");
	assert_int_equal(3, r.freeze_passed);
	/* Forgotten after two days. */
	rig_pass_time(&r, day);
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(3, info.passed);
	rig_pass_time(&r, day);
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(0, info.passed);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_note),
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_time_survives),
	    cmocka_unit_test(test_later_order_counts),
	    cmocka_unit_test(test_a_rule_has_no_time),
	    cmocka_unit_test(test_too_much_waits),
	    cmocka_unit_test(test_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
