/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Learning in passing through the gate: what an answer costs, its bounds, and
 * what survives. With a real spool and a clock that the test turns.
 */
#include "inbound_rig.h"

/* ---- answering ---- */

static void
test_answer_passes(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_LEARNT), 1);
	/* What waits goes on waiting; what comes now passes. */
	assert_int_equal(rig_queue(&r, ALICE), 1);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_string_equal(
	    r.why, "familiar recipient (it wrote to the sender)");
	assert_int_equal(rig_counter(&r, COUNT_PASSED_INBOUND), 1);
	assert_int_equal(rig_queue(&r, ALICE), 1);
	/* It was reached: it is in the working set, with nothing taken. */
	assert_true(recall_info(&r, ALICE, &info));
	assert_int_equal(info.t.working_set, 1);
	assert_int_equal(info.t.allowance, 0);
	/* Of the familiar allowance one is gone. */
	assert_int_equal(info.familiar.allowance, 99);
	/* Both reasons; hence not from incoming mail alone any more. */
	assert_int_equal(info.known.total, 1);
	assert_int_equal(info.known.wrote, 1);
	assert_int_equal(info.known.reached, 1);
	assert_int_equal(info.known.met, 0);
	assert_int_equal(info.met_max, 256);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	/* Not somebody else's, and no other of his domain. */
	assert_int_equal(rig_send(&r, "carol@example.org", BOB), THROTTLE_HOLD);
	assert_int_equal(
	    rig_send(&r, ALICE, "carl@example.net"), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_off_by_default(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, NO_LEARN, LOCALS_ADDRESS);
	txn = begin_in(&r, BOB);
	ask_in(&r, txn, ALICE);
	/* A front may let go of it early, as ever. */
	assert_true(gate_txn_is_known(txn));
	gate_commit(txn, NULL, r.now, r.wall);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_LEARNT), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	close_rig(&r);
}

/* Whom it wrote to is not remembered then, and colleagues are strangers; who
 * wrote to it is familiar all the same. */
static void
test_familiar_for_0(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	open_as(&r,
	    "policy \"default\" { burst = 1 initial = 0 interval = \"1d\" "
	    "familiar_for = \"0\" working_set = 1 learn_inbound = yes }",
	    LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	mail_in(&r, "carl@example.net", ALICE);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_int_equal(
	    rig_send(&r, ALICE, "carl@example.net"), THROTTLE_PASS);
	assert_true(recall_info(&r, ALICE, &info));
	assert_int_equal(info.known.reached, 0);
	assert_int_equal(info.known.met, 2);
	assert_int_equal(rig_send(&r, ALICE, "new@x.test"), THROTTLE_HOLD);
	rig_pass_time(&r, 32 * DAY);
	(void)rig_send(&r, ALICE, BOB);
	assert_null(strstr(r.why, "familiar"));
	close_rig(&r);
}

/* An answer takes no allowance from the next stranger. */
static void
test_allowance_is_not_used(void **state)
{
	static const char policy[] =
	    "policy \"default\" { burst = 1 initial = 1 interval = \"1d\" "
	    "exempt_recipients = {\"@example.org\"} learn_inbound = yes }";
	struct rig r;

	(void)state;
	open_as(&r, policy, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, ALICE, "new@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, ALICE, "newer@x"), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_frozen_stays_frozen(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_freeze(&r, ALICE), 0);
	mail_in(&r, "eve@example.net", ALICE);
	assert_true(rig_is_frozen(&r, ALICE));
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_REFUSE);
	assert_int_equal(
	    rig_send(&r, ALICE, "eve@example.net"), THROTTLE_REFUSE);
	assert_int_equal(rig_thaw(&r, ALICE, GATE_THAW_KEEP), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	close_rig(&r);
}

static void
test_frozen_that_holds(void **state)
{
	static const char policy[] =
	    "policy \"default\" { initial = 0 when_frozen = hold "
	    "exempt_recipients = {\"@example.org\"} learn_inbound = yes }";
	struct rig r;

	(void)state;
	open_as(&r, policy, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_freeze(&r, ALICE), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_observe(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	r.settings.observe = true;
	gate_reload(r.gate, &r.settings, r.now);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_false(r.observed);
	assert_int_equal(rig_send(&r, ALICE, "x@x"), THROTTLE_PASS);
	assert_true(r.observed);
	close_rig(&r);
}

/* ---- bounds ---- */

static void
test_flood(void **state)
{
	struct gate_sender_info before, after;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	for (int i = 0; i < 5; i++)
		rig_send(&r, ALICE,
		    (const char *[]){"a@x", "b@x", "c@x", "d@x", "e@x"}[i]);
	rig_run(&r, 6 * DAY); /* their turns come */
	assert_true(rig_info(&r, ALICE, &before));
	assert_int_equal(before.t.working_set, 5);
	for (int i = 0; i < 10000; i++) {
		char from[64];

		snprintf(from, sizeof(from), "spam%d@example.net", i);
		mail_in(&r, from, ALICE);
		/* Users that nobody has ever heard of, too. */
		snprintf(from, sizeof(from), "u%d@example.org", i);
		mail_in(&r, BOB, from);
	}
	assert_true(recall_info(&r, ALICE, &after));
	assert_int_equal(after.known.met, 3);
	assert_int_equal(after.t.working_set, 5);
	assert_int_equal(rig_send(&r, ALICE, "a@x"), THROTTLE_PASS);
	/* None of them became a sender. */
	assert_int_equal(gate_sender_count(r.gate), 1);
	assert_true(rig_counter(&r, COUNT_INBOUND_REFUSED) > 9997);
	close_rig(&r);
}

static void
test_expires(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	rig_run(&r, 31 * DAY);
	assert_int_equal(learnt(&r, ALICE), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	rig_restart(&r);
	assert_int_equal(learnt(&r, ALICE), 0);
	close_rig(&r);
}

/* ---- what survives ---- */

static void
test_survives_restart(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	rig_run(&r, 21000); /* saved behind, without being asked */
	mail_in(&r, "late@example.net", ALICE);
	rig_restart(&r);
	/* The documented seconds are lost, no more. */
	assert_int_equal(learnt(&r, ALICE), 1);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	mail_in(&r, "late@example.net", ALICE);
	gate_save(r.gate, r.now, r.wall);
	/* Time goes on while nothing runs. */
	rig_pass_time(&r, 30 * DAY);
	rig_restart(&r);
	assert_int_equal(learnt(&r, ALICE), 1);
	assert_int_equal(
	    rig_send(&r, ALICE, "late@example.net"), THROTTLE_PASS);
	rig_restart(&r);
	rig_pass_time(&r, DAY);
	assert_int_equal(learnt(&r, ALICE), 0);
	close_rig(&r);
}

/* A reload that asks for it no more: what was learnt counts no more. */
static void
test_reload(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	rig_reload(&r, NO_LEARN, false);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	rig_reload(&r, LEARN, false);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	close_rig(&r);
}

/* ---- the administrator ---- */

static void
test_forget(void **state)
{
	struct gate_sender_info info;
	struct buf audit;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	r.done = 0;
	gate_forget(r.gate, ALICE, "admin", r.now, r.wall, rig_on_done, &r);
	rig_pump(&r);
	assert_int_equal(r.error, ENOENT);
	mail_in(&r, BOB, ALICE);
	mail_in(&r, "carl@example.net", ALICE);
	rig_run(&r, 21000);
	/* Nothing was sent yet, and there is something to be seen. */
	assert_true(recall_info(&r, "ALICE@example.org", &info));
	assert_string_equal(info.sender, ALICE);
	assert_int_equal(info.known.met, 2);
	assert_int_equal(info.last_seen, 0);
	gate_forget(r.gate, "Alice@example.org", "admin", r.now, r.wall,
	    rig_on_done, &r);
	rig_pump(&r);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.count, 2);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	buf_init(&audit, 4096);
	rig_audit(&r, &audit);
	assert_true(str_starts(buf_str(&audit),
	    STR("admin forget " ALICE " 2 addresses remembered, 2 of")));
	buf_clear(&audit);
	/* Durable with the audit's entry, not some seconds later. */
	rig_restart(&r);
	assert_int_equal(learnt(&r, ALICE), 0);
	close_rig(&r);
}

/* A front end that keeps the observation itself. */
static void
test_observation(void **state)
{
	struct gate_facts facts = {.sender = STR(BOB)};
	struct gate_observation *observation;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	observation = gate_observation_new(r.gate, &facts);
	assert_non_null(observation);
	gate_observation_add(observation, STR(ALICE));
	gate_observation_add(observation, STR("carol@example.org"));
	gate_observation_add(observation, STR("x@elsewhere.example"));
	gate_observation_free(observation);
	assert_int_equal(learnt(&r, ALICE), 0);
	observation = gate_observation_new(r.gate, &facts);
	gate_observation_add(observation, STR(ALICE));
	gate_observation_add(observation, STR("carol@example.org"));
	gate_observation_learn(observation, r.now, r.wall);
	assert_int_equal(learnt(&r, ALICE), 1);
	assert_int_equal(learnt(&r, "carol@example.org"), 1);
	facts.user = STR("eve");
	assert_null(gate_observation_new(r.gate, &facts));
	close_rig(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answer_passes),
	    cmocka_unit_test(test_off_by_default),
	    cmocka_unit_test(test_familiar_for_0),
	    cmocka_unit_test(test_allowance_is_not_used),
	    cmocka_unit_test(test_frozen_stays_frozen),
	    cmocka_unit_test(test_frozen_that_holds),
	    cmocka_unit_test(test_observe),
	    cmocka_unit_test(test_flood),
	    cmocka_unit_test(test_expires),
	    cmocka_unit_test(test_survives_restart),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_forget),
	    cmocka_unit_test(test_observation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
