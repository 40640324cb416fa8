/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues that are read back behind the listeners: nothing is decided as if they
 * were not there.
 */
#include "gate_rig.h"

#include <poll.h>
#include <sqlite3.h>

#define MINUTE 60000
#define HOUR (60 * MINUTE)
#define LIMITS "burst = 1  interval = 1h  freeze_at = 1000"
#define SLOW "policy \"default\" { " LIMITS " }"
#define OTHERS 400 /* messages ahead of those that are asked about */

static void
on_answer(void *arg, const struct gate_answer *a)
{
	struct rig *r = arg;

	r->answers++;
	r->verdict = a->verdict;
	str_copy(str_from(a->why), r->why, sizeof(r->why));
}

/* The answer, and no further than that. */
static enum throttle_verdict
ask_late(struct rig *r, struct gate_txn *txn, const char *to)
{
	r->answers = 0;
	gate_recipient(txn, str_from(to), r->now, r->wall, on_answer, r);
	while (r->answers == 0) {
		struct pollfd p = {spool_fd(r->spool), POLLIN, 0};

		assert_true(poll(&p, 1, 30000) > 0);
		spool_dispatch(r->spool);
	}
	return r->verdict;
}

/* The same, where nothing is to be waited for. */
static enum throttle_verdict
ask_now(struct rig *r, struct gate_txn *txn, const char *to)
{
	r->answers = 0;
	gate_recipient(txn, str_from(to), r->now, r->wall, on_answer, r);
	assert_int_equal(r->answers, 1);
	return r->verdict;
}

/* Much of bob's waits, and then three of alice's; nothing of it is read. */
static void
open_large(struct rig *r)
{
	rig_open(r, SLOW);
	rig_send_many(r, "bob", "b", OTHERS);
	assert_int_equal(rig_send(r, "alice", "known@x"), THROTTLE_PASS);
	for (int i = 0; i < 3; i++) {
		char to[16];

		snprintf(to, sizeof(to), "a%d@x", i);
		assert_int_equal(rig_send(r, "alice", to), THROTTLE_HOLD);
	}
	gate_save(r->gate, r->now, r->wall);
	r->loads_late = true;
	r->load_page = 1;
	rig_restart(r);
	assert_true(gate_is_loading(r->gate));
}

static void
finish(struct rig *r)
{
	assert_true(gate_load_wait(r->gate, 30000));
	rig_pump(r);
}

static void
test_asked_meanwhile(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_large(&r);
	txn = rig_begin(&r, "alice");
	assert_int_equal(ask_late(&r, txn, "new@x"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "3 ahead of it"));
	assert_int_equal(ask_late(&r, txn, "known@x"), THROTTLE_PASS);
	/* Its own queue alone was read for it. */
	assert_true(gate_is_loading(r.gate));
	gate_cancel(txn, r.now);
	txn = rig_begin(&r, "alice");
	assert_int_equal(ask_late(&r, txn, "new@x"), THROTTLE_HOLD);
	assert_true(gate_is_loading(r.gate));
	rig_commit(&r, txn);
	finish(&r);
	assert_int_equal(rig_queue(&r, "alice"), 4);
	assert_int_equal(rig_queue(&r, "bob"), OTHERS - 1);
	rig_run(&r, 4 * HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	rig_close(&r);
}

/* One who has sent nothing waits for nobody else's mail. */
static void
test_new_sender(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_large(&r);
	txn = rig_begin(&r, "carol");
	assert_int_equal(ask_late(&r, txn, "c1@x"), THROTTLE_PASS);
	assert_int_equal(ask_late(&r, txn, "c2@x"), THROTTLE_HOLD);
	assert_true(gate_is_loading(r.gate));
	rig_commit(&r, txn);
	finish(&r);
	assert_int_equal(rig_queue(&r, "carol"), 1);
	rig_close(&r);
}

/* What came due while queues were read goes in its turn, and no tick of that
 * time is allowance. */
static void
test_clock(void **state)
{
	struct rig r;

	(void)state;
	open_large(&r);
	rig_pass_time(&r, 2 * HOUR);
	gate_run(r.gate, r.now, r.wall);
	assert_true(gate_is_loading(r.gate));
	finish(&r);
	rig_run(&r, 0);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(rig_send(&r, "alice", "new@x"), THROTTLE_HOLD);
	rig_run(&r, HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	rig_run(&r, HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	rig_close(&r);
}

/* A sender without a row has no fresh allowance either. */
static void
test_no_row(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_large(&r);
	finish(&r);
	spool_forget_source(r.spool, "alice");
	rig_restart(&r);
	txn = rig_begin(&r, "alice");
	assert_int_equal(ask_late(&r, txn, "new@x"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "3 ahead of it"));
	gate_cancel(txn, r.now);
	finish(&r);
	assert_int_equal(rig_queue(&r, "alice"), 3);
	rig_close(&r);
}

/* The administrator does not wait for it, and nothing comes back. */
static void
test_administrator(void **state)
{
	struct spool_select bobs = {.source = "bob"};
	struct rig r;

	(void)state;
	open_large(&r);
	r.done = 0;
	gate_discard(r.gate, &bobs, "admin", r.now, r.wall, rig_on_done, &r);
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){.sender = "alice", .who = "admin"},
	    r.now, r.wall, rig_on_done, &r);
	finish(&r);
	assert_int_equal(r.done, 2);
	assert_int_equal(rig_queue(&r, "bob"), 0);
	assert_true(rig_is_frozen(&r, "alice"));
	assert_int_equal(rig_queue(&r, "alice"), 3);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 3);
	rig_run(&r, 5 * HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 3);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_KEEP), 0);
	rig_run(&r, HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 2);
	rig_close(&r);
}

/* What came due of a queue that was read ahead goes behind the rest, and not
 * past a freeze that comes in between. */
static void
test_freeze_ahead_of_a_release(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_large(&r);
	txn = rig_begin(&r, "alice");
	assert_int_equal(ask_late(&r, txn, "new@x"), THROTTLE_HOLD);
	gate_cancel(txn, r.now);
	rig_pass_time(&r, HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 2); /* its turn has come */
	r.done = 0;
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){.sender = "alice", .who = "admin"},
	    r.now, r.wall, rig_on_done, &r);
	while (r.done == 0)
		rig_pump(&r);
	assert_true(gate_is_loading(r.gate));
	rig_run(&r, 5 * HOUR);
	assert_false(gate_is_loading(r.gate));
	/* None of them is hers. */
	assert_int_equal(
	    rig_deliver(&r, NULL), OTHERS - 1 - rig_queue(&r, "bob"));
	rig_close(&r);
}

/* Whoever goes away meanwhile gets no answer, and the start may end. */
static void
test_end_meanwhile(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_large(&r);
	txn = rig_begin(&r, "alice");
	r.answers = 0;
	gate_recipient(txn, STR("new@x"), r.now, r.wall, on_answer, &r);
	gate_cancel(txn, r.now);
	rig_pump(&r);
	assert_int_equal(r.answers, 0);
	rig_restart(&r);
	txn = rig_begin(&r, "alice");
	gate_recipient(txn, STR("new@x"), r.now, r.wall, on_answer, &r);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

/* Behind the walk only a sweep is left: nobody is read by itself any more, or
 * new senders would keep it from its end. */
static void
test_behind_the_walk(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_large(&r);
	rig_pump(&r);
	assert_true(gate_is_loading(r.gate));
	txn = rig_begin(&r, "carol");
	assert_int_equal(ask_now(&r, txn, "c1@x"), THROTTLE_PASS);
	gate_cancel(txn, r.now);
	txn = rig_begin(&r, "alice");
	assert_int_equal(ask_now(&r, txn, "new@x"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "3 ahead of it"));
	gate_cancel(txn, r.now);
	rig_run(&r, 0);
	assert_false(gate_is_loading(r.gate));
	assert_int_equal(rig_queue(&r, "alice"), 3);
	rig_close(&r);
}

/* The walk can be read then, and one source alone cannot. */
static void
drop_index(struct rig *r)
{
	char *path = xasprintf("%s/spool.db", r->dir);
	sqlite3 *h = NULL;

	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	sqlite3_busy_timeout(h, 30000);
	assert_int_equal(
	    sqlite3_exec(h, "DROP INDEX message_source", NULL, NULL, NULL),
	    SQLITE_OK);
	sqlite3_close(h);
	free(path);
}

/* A disk that does not give the rows: 451, but not for what needs no queue, and
 * not in observe mode. What the walk brings later is not lost by it. */
static void
test_unreadable(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_large(&r);
	drop_index(&r);
	txn = rig_begin(&r, "alice");
	assert_int_equal(ask_late(&r, txn, "new@x"), THROTTLE_REFUSE);
	gate_cancel(txn, r.now);
	assert_true(gate_is_loading(r.gate));
	rig_reload(&r, SLOW, true);
	txn = rig_begin(&r, "carol");
	assert_int_equal(ask_late(&r, txn, "c1@x"), THROTTLE_PASS);
	assert_int_equal(ask_late(&r, txn, "c2@x"), THROTTLE_PASS);
	assert_non_null(strstr(r.why, "cannot be read"));
	gate_commit(txn, NULL, r.now, r.wall);
	rig_reload(
	    &r, "policy \"default\" { exempt = true  " LIMITS " }", false);
	txn = rig_begin(&r, "dave");
	assert_int_equal(ask_now(&r, txn, "d@x"), THROTTLE_PASS);
	gate_cancel(txn, r.now);
	assert_true(gate_is_loading(r.gate));
	rig_reload(&r, SLOW, false);
	rig_pump(&r);
	rig_run(&r, MINUTE);
	assert_false(gate_is_loading(r.gate));
	assert_int_equal(rig_queue(&r, "alice"), 3);
	assert_int_equal(rig_queue(&r, "bob"), OTHERS - 1);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_asked_meanwhile),
	    cmocka_unit_test(test_new_sender),
	    cmocka_unit_test(test_clock),
	    cmocka_unit_test(test_no_row),
	    cmocka_unit_test(test_administrator),
	    cmocka_unit_test(test_freeze_ahead_of_a_release),
	    cmocka_unit_test(test_end_meanwhile),
	    cmocka_unit_test(test_behind_the_walk),
	    cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
