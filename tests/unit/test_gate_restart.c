/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What survives: restarts, stored state that somebody has tampered with, a
 * spool that fails, and reloads.
 */
#include "gate_rig.h"

#include <errno.h>

#define MINUTE 60000
#define SLOW "policy \"default\" { burst = 1 initial = 1 }"

/* The queue's order, from the spool, is the order of arrival. */
static void
test_restart_keeps_queue(void **state)
{
	struct rig r;
	struct buf after;
	uint64_t destinations[5];
	char text[RIG_TEXT] = "";

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "known@x");
	for (int i = 0; i < 5; i++) {
		char address[32];
		struct gate_txn *txn = rig_begin(&r, "alice");

		snprintf(address, sizeof(address), "n%d@x", i);
		assert_int_equal(rig_ask(&r, txn, address), THROTTLE_HOLD);
		destinations[i] = gate_txn_destination(txn, 0);
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
		    "%016llx ", (unsigned long long)destinations[i]);
		rig_commit(&r, txn);
	}
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	assert_int_equal(rig_queue(&r, "alice"), 5);
	assert_int_equal(rig_send(&r, "alice", "known@x"), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	buf_init(&after, 4096);
	for (int i = 0; i < 5; i++) {
		rig_run(&r, MINUTE);
		assert_int_equal(rig_deliver(&r, &after), 1);
	}
	assert_int_equal(after.len, strlen(text));
	assert_memory_equal(buf_str(&after).p, text, after.len);
	buf_clear(&after);
	rig_close(&r);
}

static void
test_restart_keeps_freeze(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	int64_t frozen_at;

	(void)state;
	rig_open(&r, "policy \"default\" { freeze_at = 100 }");
	frozen_at = r.wall;
	rig_send_many(&r, "mallory", "v", 200);
	rig_pass_time(&r, 3 * MINUTE);
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "mallory"));
	assert_true(rig_info(&r, "mallory", &info));
	assert_int_equal(info.frozen_at, frozen_at);
	assert_int_equal(info.t.freeze_reason, THROTTLE_FREEZE_LENGTH);
	assert_int_equal(info.t.queue_length, 100);
	/* Saved with the freeze, not some seconds later. */
	assert_int_equal(info.t.working_set, 10);
	/* The hook ran once. */
	assert_int_equal(r.freezes, 1);
	rig_run(&r, 60 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	assert_int_equal(
	    rig_send(&r, "mallory", "v0@example.com"), THROTTLE_REFUSE);
	assert_int_equal(rig_thaw(&r, "mallory", GATE_THAW_RELEASE), 0);
	assert_int_equal(r.count, 100);
	rig_restart(&r);
	assert_false(rig_is_frozen(&r, "mallory"));
	assert_int_equal(rig_deliver(&r, NULL), 100);
	rig_close(&r);
}

/* Quotes once made another sender: what was stored under such a name is there,
 * and is found by it, while mail counts for the plain one. */
static void
test_restart_knows_quoted_names(void **state)
{
	static const char was[] = "<\\x22a\\x22@x>";
	struct rig r;

	(void)state;
	rig_open(&r, "");
	assert_int_equal(rig_freeze(&r, was), 0);
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, was));
	assert_true(rig_is_frozen(&r, "\"a\"@x"));
	assert_false(rig_is_frozen(&r, "a@x"));
	assert_int_equal(rig_thaw(&r, "\"a\"@x", GATE_THAW_KEEP), 0);
	assert_false(rig_is_frozen(&r, was));
	assert_int_equal(rig_freeze(&r, "<a@x>"), 0);
	assert_true(rig_is_frozen(&r, "\"a\"@x"));
	rig_close(&r);
}

/* A snapshot from the time of the freeze does not freeze a thawed source. */
static void
test_thaw_beats_old_snapshot(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	rig_freeze(&r, "alice");
	gate_save(r.gate, r.now, r.wall);
	rig_thaw(&r, "alice", GATE_THAW_KEEP);
	rig_restart(&r);
	assert_false(rig_is_frozen(&r, "alice"));
	assert_int_equal(rig_send(&r, "alice", "a@x"), THROTTLE_PASS);
	rig_close(&r);
}

/* The policy of a source is remembered, though the spool knows no policies. */
static void
test_restart_keeps_policy(void **state)
{
	static const char policies[] =
	    "policy \"slow\" { match = {\"192.0.2.0/24\"} burst = 1 "
	    "initial = 1 interval = \"1h\" }\n"
	    "policy \"eve\" { match = {\"user:eve\"} }";
	struct rig r;
	struct gate_facts facts = {.user = STR("dave")};
	struct gate_sender_info info;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, policies);
	assert_true(ip_parse(STR("192.0.2.1"), &facts.client));
	for (int i = 0; i < 3; i++) {
		char address[] = "r0@x";

		address[1] = (char)('0' + i);
		txn = gate_begin(r.gate, &facts, r.now);
		rig_ask(&r, txn, address);
		rig_commit(&r, txn);
	}
	rig_freeze(&r, "eve");
	rig_run(&r, 10000);
	rig_restart(&r);
	/* By the stored name: the key alone would not tell. */
	assert_true(rig_info(&r, "dave", &info));
	assert_string_equal(info.policy, "slow");
	/* By the key, when nothing was stored. */
	assert_true(rig_info(&r, "eve", &info));
	assert_string_equal(info.policy, "eve");
	rig_run(&r, 50 * MINUTE);
	assert_int_equal(rig_queue(&r, "dave"), 2);
	rig_close(&r);
}

/* Changed sources are saved some seconds later, without being asked. */
static void
test_saved_behind(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	rig_restart(&r);
	assert_int_equal(gate_sender_count(r.gate), 0);
	rig_send(&r, "alice", "a@x");
	rig_run(&r, 10000);
	rig_restart(&r);
	assert_int_equal(rig_send(&r, "alice", "a@x"), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	rig_close(&r);
}

/* What is forgotten is forgotten in the spool as well. */
static void
test_expiry_forgets(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { limit = {} idle_expiry = \"1m\" }");
	rig_send(&r, "alice", "a@x");
	rig_run(&r, 30000);
	rig_restart(&r);
	assert_int_equal(gate_sender_count(r.gate), 1);
	rig_run(&r, 60 * MINUTE);
	assert_int_equal(gate_sender_count(r.gate), 0);
	rig_restart(&r);
	assert_int_equal(gate_sender_count(r.gate), 0);
	rig_close(&r);
}

/* ---- hostile state ---- */

struct taken {
	char state[4096];
	size_t n;
};

static void
take_state(void *arg, const struct spool_source *source)
{
	struct taken *t = arg;

	if (strcmp(source->key, "alice") != 0)
		return;
	assert_true(source->state_size <= sizeof(t->state));
	memcpy(t->state, source->state, source->state_size);
	t->n = source->state_size;
}

/* In the queue, or to be let go at the next run: a source that has lost its
 * state has its first allowance again. */
static unsigned
waits(struct rig *r, const char *sender)
{
	struct gate_sender_info info;

	assert_true(rig_info(r, sender, &info));
	assert_int_equal(rig_stored(r, SPOOL_HELD), 1);
	return info.next_release != INT64_MAX;
}

static void
restart_with(struct rig *r, const void *bytes, size_t n)
{
	spool_save_state(r->spool, "alice", bytes, n, r->wall);
	rig_restart(r);
}

static void
test_hostile_state(void **state)
{
	struct rig r;
	struct taken t = {.n = 0};
	unsigned seed = 12345;

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	rig_send(&r, "alice", "b@x");
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	assert_int_equal(spool_load(r.spool, take_state, &t), 0);
	assert_true(t.n > 10);
	/* Cut anywhere, and with bytes changed: it starts all the same, and
	 * held mail is in its queue. */
	for (size_t n = 0; n < t.n; n += 1 + n / 8) {
		restart_with(&r, t.state, n);
		assert_int_equal(waits(&r, "alice"), 1);
	}
	for (int i = 0; i < 40; i++) {
		char bad[sizeof(t.state)];

		memcpy(bad, t.state, t.n);
		for (int k = 0; k < 3; k++) {
			seed = seed * 1103515245 + 12345;
			bad[(seed >> 8) % t.n] = (char)(seed >> 24);
		}
		restart_with(&r, bad, t.n);
		assert_int_equal(waits(&r, "alice"), 1);
		assert_false(rig_is_frozen(&r, "alice"));
	}
	/* A name of a policy that is not there costs nothing. */
	t.state[3] = 'X';
	restart_with(&r, t.state, t.n);
	assert_int_equal(rig_send(&r, "alice", "a@x"), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	rig_run(&r, 2 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	rig_close(&r);
}

/* ---- a spool that fails ---- */

static void
ignore_chunk(void *arg, int error, struct str chunk)
{
	(void)arg;
	(void)error;
	(void)chunk;
}

/* So much outstanding that the spool takes no more. */
static void
fill_spool(struct rig *r)
{
	for (int i = 0; i < 8; i++)
		spool_read_body(r->spool, 4096, 0, ignore_chunk, NULL);
}

static void
open_small(struct rig *r, const char *policies)
{
	rig_open(r, policies);
	r->outstanding_max = 1;
	rig_restart(r);
}

static void
test_release_is_retried(void **state)
{
	struct rig r;

	(void)state;
	open_small(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	rig_send(&r, "alice", "b@x");
	rig_pass_time(&r, MINUTE);
	fill_spool(&r);
	gate_run(r.gate, r.now, r.wall);
	rig_pump(&r);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	assert_int_equal(r.released, 0);
	assert_int_equal(rig_counter(&r, COUNT_SPOOL_ERRORS), 1);
	assert_true(gate_next_due(r.gate) <= r.now + 1000);
	rig_run(&r, 2000);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	assert_int_equal(r.released, 1);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	rig_close(&r);
}

static void
test_freeze_is_retried(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_small(&r, "policy \"default\" { burst = 1 initial = 0 "
		       "freeze_at = 1 }");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	fill_spool(&r);
	gate_commit(txn, (uint64_t[]){SPOOL_TICKET(8192, 0)}, r.now, r.wall);
	rig_pump(&r);
	/* Frozen at once, told when it is durable. */
	assert_true(rig_is_frozen(&r, "alice"));
	assert_int_equal(r.freezes, 0);
	assert_int_equal(rig_counter(&r, COUNT_SPOOL_ERRORS), 1);
	rig_run(&r, 2000);
	assert_int_equal(r.freezes, 1);
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

/* Thawed before the freeze could be written: it is not written any more. */
static void
test_freeze_retry_is_dropped(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_small(&r, "policy \"default\" { burst = 1 initial = 0 "
		       "freeze_at = 1 }");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	fill_spool(&r);
	gate_commit(txn, (uint64_t[]){SPOOL_TICKET(8192, 0)}, r.now, r.wall);
	rig_pump(&r);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_KEEP), 0);
	rig_run(&r, 5000);
	assert_int_equal(r.freezes, 0);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_restart(&r);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

/* Its write comes up again while a thaw is on its way to the disk. */
static void
test_freeze_retry_meets_thaw(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_small(&r, "policy \"default\" { burst = 1 initial = 0 "
		       "freeze_at = 1 }");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	fill_spool(&r);
	gate_commit(txn, (uint64_t[]){SPOOL_TICKET(8192, 0)}, r.now, r.wall);
	rig_pump(&r);
	r.done = 0;
	gate_thaw(r.gate, "alice", GATE_THAW_KEEP, "admin", r.now, r.wall,
	    rig_on_done, &r);
	assert_int_equal(r.done, 0);
	r.now += 1000;
	r.wall += 1000;
	gate_run(r.gate, r.now, r.wall);
	rig_pump(&r);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, 0);
	rig_run(&r, 5000);
	assert_int_equal(r.freezes, 0);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_restart(&r);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

static void
test_admin_errors(void **state)
{
	struct rig r;
	struct spool_select select = {.all = true};

	(void)state;
	open_small(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	rig_send(&r, "alice", "b@x");
	fill_spool(&r);
	assert_int_equal(rig_freeze(&r, "alice"), EBUSY);
	assert_false(rig_is_frozen(&r, "alice"));
	assert_int_equal(r.freezes, 0);
	assert_int_equal(rig_freeze(&r, "alice"), 0);
	fill_spool(&r);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_KEEP), EBUSY);
	assert_true(rig_is_frozen(&r, "alice"));
	fill_spool(&r);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_DISCARD), EBUSY);
	assert_true(rig_is_frozen(&r, "alice"));
	fill_spool(&r);
	assert_int_equal(rig_release(&r, &select), EBUSY);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	rig_close(&r);
}

/* ---- reload ---- */

static void
test_reload(void **state)
{
	struct rig r;
	struct gate_sender_info info;

	(void)state;
	rig_open(&r, "policy \"p\" { match = {\"alice\", \"carol\"} burst = 1 "
		     "initial = 1 interval = \"1h\" freeze_at = 50 }");
	rig_send_many(&r, "alice", "a", 4);
	rig_send(&r, "carol", "x@x");
	rig_freeze(&r, "bob");
	rig_reload(&r,
	    "policy \"p\" { match = {\"alice\"} burst = 2 initial = 2 "
	    "freeze_at = 60 }\n"
	    "policy \"c\" { match = {\"carol\"} working_set = 3 }",
	    false);
	/* A queue goes on by the new numbers. */
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(info.freeze_at, 60);
	assert_int_equal(info.t.queue_length, 3);
	rig_run(&r, 4 * MINUTE);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_deliver(&r, NULL), 3);
	assert_true(rig_is_frozen(&r, "bob"));
	/* An idle one takes its new policy when it is seen. */
	assert_true(rig_info(&r, "carol", &info));
	assert_string_equal(info.policy, "p");
	assert_int_equal(rig_send(&r, "carol", "x@x"), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	assert_true(rig_info(&r, "carol", &info));
	assert_string_equal(info.policy, "c");
	assert_int_equal(info.working_set_max, 3);
	rig_close(&r);
}

/* A transaction begun before a reload ends after it. */
static void
test_reload_in_transaction(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"p\" { match = {\"alice\"} burst = 4 "
		     "initial = 4 }");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	rig_ask(&r, txn, "b@x");
	for (int i = 0; i < 3; i++)
		rig_reload(&r, SLOW, false);
	assert_string_equal(gate_txn_policy(txn), "p");
	rig_ask(&r, txn, "c@x");
	rig_commit(&r, txn);
	/* What is left of the allowance is cut to the new burst. */
	assert_int_equal(rig_send(&r, "alice", "d@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", "e@x"), THROTTLE_HOLD);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_restart_keeps_queue),
	    cmocka_unit_test(test_restart_keeps_freeze),
	    cmocka_unit_test(test_restart_knows_quoted_names),
	    cmocka_unit_test(test_thaw_beats_old_snapshot),
	    cmocka_unit_test(test_restart_keeps_policy),
	    cmocka_unit_test(test_saved_behind),
	    cmocka_unit_test(test_expiry_forgets),
	    cmocka_unit_test(test_hostile_state),
	    cmocka_unit_test(test_release_is_retried),
	    cmocka_unit_test(test_freeze_is_retried),
	    cmocka_unit_test(test_freeze_retry_is_dropped),
	    cmocka_unit_test(test_freeze_retry_meets_thaw),
	    cmocka_unit_test(test_admin_errors),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_reload_in_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
