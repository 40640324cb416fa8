/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a message spends is durable before it goes, and a freeze stops those
 * that are open: crashes on either side of gate_secure, a disk that fails, and
 * freezes between RCPT and the final dot.
 */
#include "fault_vfs.h"
#include "gate_rig.h"

#include <sqlite3.h>

#define MINUTE 60000
#define THREE "policy \"default\" { burst = 3 initial = 3 interval = \"1h\" }"

static void
on_answer(void *arg, const struct gate_answer *answer)
{
	struct rig *r = arg;

	r->answers++;
	r->verdict = answer->verdict;
	r->code = answer->code;
	r->text[0] = r->enhanced[0] = '\0';
	if (answer->verdict != THROTTLE_REFUSE)
		return;
	snprintf(r->text, sizeof(r->text), "%s", answer->text);
	snprintf(r->enhanced, sizeof(r->enhanced), "%s", answer->enhanced);
}

/* Begun; the answer comes with rig_pump when the disk has to be waited for. */
static void
begin_secure(struct rig *r, struct gate_txn *txn)
{
	r->answers = 0;
	gate_secure(txn, r->now, r->wall, on_answer, r);
}

static enum throttle_verdict
secure(struct rig *r, struct gate_txn *txn)
{
	begin_secure(r, txn);
	rig_pump(r);
	assert_int_equal(r->answers, 1);
	return r->verdict;
}

static struct gate_txn *
ask_two(struct rig *r)
{
	struct gate_txn *txn = rig_begin(r, "alice");

	assert_int_equal(rig_ask(r, txn, "a@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(r, txn, "b@x"), THROTTLE_PASS);
	return txn;
}

/* How many strangers get through now. */
static unsigned
allowance(struct rig *r)
{
	return rig_send_many(r, "alice", "later", 5).passed;
}

static uint64_t
commits(struct rig *r)
{
	struct spool_stats stats;

	spool_stats(r->spool, &stats);
	return stats.commits;
}

static void
test_crash_after_secure(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, THREE);
	rig_send(&r, "alice", "known@x");
	txn = ask_two(&r);
	begin_secure(&r, txn);
	assert_int_equal(r.answers, 0);
	rig_pump(&r);
	assert_int_equal(r.answers, 1);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	/* The message is on its way when the crash comes: nothing after this
	 * moment reaches the disk. */
	gate_cancel(txn, r.now);
	rig_restart(&r);
	assert_int_equal(allowance(&r), 0);
	rig_close(&r);
}

static void
test_crash_before_secure(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, THREE);
	gate_cancel(ask_two(&r), r.now);
	rig_restart(&r);
	assert_int_equal(allowance(&r), 3);
	rig_close(&r);
}

/* Refused by the next hop: it is given back, on the disk as well. */
static void
test_refused_after_secure(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, THREE);
	rig_send(&r, "alice", "known@x");
	txn = ask_two(&r);
	secure(&r, txn);
	gate_cancel(txn, r.now);
	rig_run(&r, 5000);
	rig_pump(&r);
	rig_restart(&r);
	assert_int_equal(allowance(&r), 2);
	rig_close(&r);
}

/* One transaction's state has the reservations of the others. */
static void
test_secure_counts_others(void **state)
{
	struct rig r;
	struct gate_txn *one, *two;

	(void)state;
	rig_open(&r, THREE);
	one = ask_two(&r);
	two = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, two, "c@x"), THROTTLE_PASS);
	begin_secure(&r, one);
	begin_secure(&r, two);
	rig_pump(&r);
	gate_cancel(one, r.now);
	gate_cancel(two, r.now);
	rig_restart(&r);
	assert_int_equal(allowance(&r), 0);
	rig_close(&r);
}

static void
test_windows_survive(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { limit = {\"4/1d\"} }");
	rig_send(&r, "alice", "known@x");
	txn = ask_two(&r);
	secure(&r, txn);
	gate_cancel(txn, r.now);
	rig_restart(&r);
	rig_pass_time(&r, 60 * MINUTE);
	assert_int_equal(allowance(&r), 1);
	rig_close(&r);
}

/* What the schedule let go is no room for another after a crash. */
static void
test_ticks_survive(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 }");
	for (int i = 0; i < 4; i++) {
		char address[32];

		snprintf(address, sizeof(address), "n%d@x", i);
		rig_send(&r, "alice", address);
	}
	gate_save(r.gate, r.now, r.wall);
	rig_pass_time(&r, MINUTE);
	gate_run(r.gate, r.now, r.wall);
	rig_pump(&r);
	assert_int_equal(rig_queue(&r, "alice"), 2);
	rig_restart(&r);
	rig_run(&r, MINUTE / 2);
	assert_int_equal(rig_queue(&r, "alice"), 2);
	rig_close(&r);
}

/* Rows in the queue say that it sent; without its state that is all that is
 * known. */
static void
test_held_without_state(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 5 initial = 0 }");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_HOLD);
	rig_commit(&r, txn);
	rig_reload(&r, "policy \"default\" { burst = 5 initial = 5 }", false);
	rig_restart(&r);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	assert_int_equal(allowance(&r), 0);
	rig_close(&r);
}

/* Nothing is written for those that are known, or wait, or are observed. */
static void
test_known_do_not_wait(void **state)
{
	struct rig r;
	struct gate_txn *txn;
	uint64_t before;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 }");
	rig_send(&r, "alice", "a@x");
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	before = commits(&r);
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_HOLD);
	begin_secure(&r, txn);
	assert_int_equal(r.answers, 1);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	gate_cancel(txn, r.now);
	rig_reload(&r, "policy \"default\" { }", true);
	txn = rig_begin(&r, "bob");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	begin_secure(&r, txn);
	assert_int_equal(r.answers, 1);
	gate_cancel(txn, r.now);
	rig_pump(&r);
	assert_int_equal(commits(&r), before);
	rig_close(&r);
}

/* Given up while the disk works: no answer comes. */
static void
test_given_up(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, THREE);
	txn = ask_two(&r);
	begin_secure(&r, txn);
	gate_cancel(txn, r.now);
	rig_pump(&r);
	assert_int_equal(r.answers, 0);
	/* And the daemon may end meanwhile. */
	txn = ask_two(&r);
	begin_secure(&r, txn);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

static void
test_disk_fails(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, THREE);
	rig_send(&r, "alice", "known@x");
	txn = ask_two(&r);
	fault_vfs_set(1, SQLITE_FULL, true, false);
	assert_int_equal(secure(&r, txn), THROTTLE_REFUSE);
	assert_int_equal(r.code, 452);
	assert_string_equal(r.enhanced, "4.3.1");
	assert_non_null(strstr(r.text, "the spool is full"));
	gate_cancel(txn, r.now);
	/* Known recipients need no disk. */
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "known@x"), THROTTLE_PASS);
	assert_int_equal(secure(&r, txn), THROTTLE_PASS);
	gate_commit(txn, NULL, r.now, r.wall);
	assert_true(fault_vfs_end());
	txn = ask_two(&r);
	fault_vfs_set(1, SQLITE_IOERR, true, false);
	assert_int_equal(secure(&r, txn), THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	gate_cancel(txn, r.now);
	assert_int_equal(rig_counter(&r, COUNT_SPOOL_ERRORS), 2);
	(void)fault_vfs_end();
	txn = ask_two(&r);
	while (secure(&r, txn) == THROTTLE_REFUSE) /* it is opened again */
		continue;
	rig_commit(&r, txn);
	rig_close(&r);
}

/* ---- frozen in between ---- */

static void
test_freeze_stops_open(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { }\n"
		     "policy \"r\" { match = {\"user:bob\"} "
		     "when_frozen = reject }");
	rig_send(&r, "alice", "a@x");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	assert_int_equal(gate_freezes(r.gate), 0);
	assert_int_equal(rig_freeze(&r, "alice"), 0);
	assert_int_equal(gate_freezes(r.gate), 1);
	rig_sender(&r, txn); /* DATA */
	assert_int_equal(r.verdict, THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	assert_int_equal(secure(&r, txn), THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	gate_cancel(txn, r.now);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_KEEP), 0);
	/* While the state is on its way to the disk. */
	txn = rig_begin(&r, "bob");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	begin_secure(&r, txn);
	assert_int_equal(rig_freeze(&r, "bob"), 0);
	rig_pump(&r);
	assert_int_equal(r.answers, 1);
	assert_int_equal(r.verdict, THROTTLE_REFUSE);
	assert_int_equal(r.code, 550);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

/* Held is held; what passes does not. */
static void
test_freeze_stops_hold(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "when_frozen = hold }");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	rig_ask(&r, txn, "b@x");
	assert_int_equal(rig_freeze(&r, "alice"), 0);
	assert_int_equal(secure(&r, txn), THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	gate_cancel(txn, r.now);
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_HOLD);
	rig_sender(&r, txn);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_int_equal(secure(&r, txn), THROTTLE_PASS);
	assert_true(rig_commit(&r, txn) != 0);
	rig_close(&r);
}

/* An exemption does not outlive a freeze by hand either. */
static void
test_freeze_stops_exempt(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"e\" { match = {\"user:alice\"} exempt = true }");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	assert_int_equal(secure(&r, txn), THROTTLE_PASS);
	assert_int_equal(rig_freeze(&r, "alice"), 0);
	assert_int_equal(secure(&r, txn), THROTTLE_REFUSE);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

static int
install(void **state)
{
	(void)state;
	fault_vfs_install();
	return 0;
}

/* LMTP: the one that reserved was refused, the same one named again was not. */
static void
test_doubt_of_one_named_twice(void **state)
{
	static const bool reached[] = {false, true, false};
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, THREE);
	rig_send(&r, "alice", "known@x");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "A@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_PASS);
	gate_doubt(txn, reached, r.now, r.wall);
	assert_int_equal(allowance(&r), 1);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_crash_after_secure),
	    cmocka_unit_test(test_doubt_of_one_named_twice),
	    cmocka_unit_test(test_crash_before_secure),
	    cmocka_unit_test(test_refused_after_secure),
	    cmocka_unit_test(test_secure_counts_others),
	    cmocka_unit_test(test_windows_survive),
	    cmocka_unit_test(test_ticks_survive),
	    cmocka_unit_test(test_held_without_state),
	    cmocka_unit_test(test_known_do_not_wait),
	    cmocka_unit_test(test_given_up),
	    cmocka_unit_test(test_disk_fails),
	    cmocka_unit_test(test_freeze_stops_open),
	    cmocka_unit_test(test_freeze_stops_hold),
	    cmocka_unit_test(test_freeze_stops_exempt),
	};

	return cmocka_run_group_tests(tests, install, NULL);
}
