/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom the gate remembers as reached: whoever mail went to, at once, in its
 * turn or by hand, and nobody else; through restarts.
 */
#include "gate/gate_internal.h"
#include "gate_rig.h"

#define MINUTE 60000
#define TIGHT "policy \"default\" { burst = 2 interval = \"1h\" }"

static void
open_rig(struct rig *r, const char *policies, bool observe)
{
	rig_open(r, policies);
	r->settings.acquaintances_bytes = 1 << 20;
	r->settings.observe = observe;
	gate_reload(r->gate, &r->settings, r->now);
}

/* Once its row has been read. */
static uint32_t
reached(struct rig *r, const char *source)
{
	struct acquaintance_tally out;

	reached_want(r->gate,
	    source_choose_policy(r->gate, str_from(source), (struct str){0}),
	    str_from(source), r->now, r->wall);
	rig_pump(r);
	assert_true(acquaintances_tally(
	    r->gate->acquaintances, str_from(source), 0, r->wall, &out));
	assert_int_equal(out.total, out.why[0]);
	return out.total;
}

static void
test_who_waits_is_not_reached(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_rig(&r, TIGHT, false);
	assert_int_equal(rig_send_many(&r, "alice", "p", 3).passed, 2);
	assert_int_equal(reached(&r, "alice"), 2);
	assert_int_equal(reached(&r, "bob"), 0);
	/* Nor is who was asked about and given up. */
	txn = rig_begin(&r, "bob");
	assert_int_equal(rig_ask(&r, txn, "x@example.com"), THROTTLE_PASS);
	gate_cancel(txn, r.now);
	assert_int_equal(reached(&r, "bob"), 0);
	rig_run(&r, 61 * MINUTE);
	assert_int_equal(reached(&r, "alice"), 3);
	rig_close(&r);
}

static void
test_by_hand_is_reached(void **state)
{
	struct spool_select all = {.all = true};
	struct rig r;

	(void)state;
	open_rig(&r, TIGHT, false);
	assert_int_equal(rig_send_many(&r, "alice", "p", 4).held, 2);
	assert_int_equal(rig_release(&r, &all), 0);
	assert_int_equal(reached(&r, "alice"), 4);
	assert_int_equal(rig_send_many(&r, "bob", "p", 4).held, 2);
	assert_int_equal(rig_discard(&r, &all), 0);
	assert_int_equal(reached(&r, "bob"), 2);
	rig_close(&r);
}

static void
test_observed_is_reached(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, TIGHT, true);
	assert_int_equal(rig_send_many(&r, "alice", "p", 5).passed, 5);
	assert_int_equal(reached(&r, "alice"), 5);
	rig_close(&r);
}

static void
test_is_there_after_a_restart(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, TIGHT, false);
	rig_send_many(&r, "alice", "p", 2);
	rig_pump(&r);
	rig_run(&r, 21000);
	rig_restart(&r);
	assert_int_equal(reached(&r, "alice"), 2);
	/* What was done since the last write is written at the end. */
	rig_send_many(&r, "carol", "p", 1);
	rig_pump(&r);
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	assert_int_equal(reached(&r, "carol"), 1);
	rig_close(&r);
}

/* Where there is no memory for it, nothing is remembered or read. */
static void
test_none_without_memory(void **state)
{
	struct rig r;
	struct acquaintance_tally out;

	(void)state;
	rig_open(&r, TIGHT);
	rig_send_many(&r, "alice", "p", 2);
	rig_pump(&r);
	assert_false(acquaintances_tally(
	    r.gate->acquaintances, STR("alice"), 0, r.wall, &out));
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_who_waits_is_not_reached),
	    cmocka_unit_test(test_by_hand_is_reached),
	    cmocka_unit_test(test_observed_is_reached),
	    cmocka_unit_test(test_is_there_after_a_restart),
	    cmocka_unit_test(test_none_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
