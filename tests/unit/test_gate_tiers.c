/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Familiar recipients: what they cost and what they do not, how long they wait,
 * when they freeze their sender, and what of it survives.
 */
#include "gate_rig.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define DAY (1440 * MINUTE)
#define TIGHT                                                            \
	"policy \"default\" { burst = 1 initial = 1 familiar_burst = 3 " \
	"familiar_interval = \"10s\" familiar_freeze_at = 5 "            \
	"working_set = 2 "
#define POLICY TIGHT "}"

/* As rig_open has it; example.org is internal. */
static void
open_rig(struct rig *r, const char *policies)
{
	char why[200];

	rig_open(r, policies);
	r->settings.locals =
	    locals_new(LOCALS_ADDRESS, r->settings.recipient_key);
	assert_true(locals_add_domain(
	    r->settings.locals, STR("example.org"), why, sizeof(why)));
	rig_reload(r, policies, false);
}

static void
close_rig(struct rig *r)
{
	rig_close(r);
	locals_free(r->settings.locals);
}

static struct gate_sender_info
look(struct rig *r, const char *sender)
{
	struct gate_sender_info info;

	assert_true(rig_info(r, sender, &info));
	return info;
}

/* To "<prefix><i>@example.org". */
static enum throttle_verdict
send_familiar(struct rig *r, const char *prefix, unsigned i)
{
	char to[64];

	snprintf(to, sizeof(to), "%s%u@example.org", prefix, i);
	return rig_send(r, "alice", to);
}

static void
test_costs(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	open_rig(&r, TIGHT "limit = {\"1/1d\"} }");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(send_familiar(&r, "f", i), THROTTLE_PASS);
	assert_string_equal(r.why, "familiar recipient (in internal_domains)");
	info = look(&r, "alice");
	assert_int_equal(info.t.allowance, 1);
	assert_int_equal(info.t.limit_used[0], 0);
	assert_int_equal(info.familiar.allowance, 0);
	assert_int_equal(info.passed, 0);
	/* The last two are recent, and cost nothing. */
	assert_int_equal(send_familiar(&r, "f", 2), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	/* What strangers have is not touched, and the other way round. */
	assert_int_equal(rig_send(&r, "alice", "s@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", "t@x"), THROTTLE_HOLD);
	assert_int_equal(send_familiar(&r, "g", 0), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "familiar allowance used up, 0 of 3"));
	assert_non_null(strstr(r.why, "0 ahead of it; goes in 10s"));
	info = look(&r, "alice");
	assert_int_equal(info.t.queue_length, 1);
	assert_int_equal(info.familiar.queue_length, 1);
	assert_int_equal(info.waiting, 2);
	rig_run(&r, 10 * SECOND);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	assert_int_equal(send_familiar(&r, "g", 0), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	assert_int_equal(rig_counter(&r, COUNT_PASSED_FAMILIAR), 3);
	assert_int_equal(rig_counter(&r, COUNT_DELAYED_FAMILIAR), 1);
	assert_int_equal(rig_counter(&r, COUNT_PASSED_KNOWN), 2);
	close_rig(&r);
}

/* Nothing is left of it when it is whole again. */
static void
test_refills(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	open_rig(&r, TIGHT "idle_expiry = \"1m\" }");
	for (unsigned i = 0; i < 3; i++)
		send_familiar(&r, "f", i);
	rig_run(&r, 10 * SECOND);
	assert_int_equal(look(&r, "alice").familiar.allowance, 1);
	rig_run(&r, 20 * SECOND);
	info = look(&r, "alice");
	assert_int_equal(info.familiar.allowance, 3);
	rig_run(&r, 2 * MINUTE);
	assert_int_equal(gate_sender_count(r.gate), 0);
	close_rig(&r);
}

/* At 80 and 95 % of five; again only after it was far below. */
static void
test_warns_before_it(void **state)
{
	char detail[RIG_TEXT];
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	for (unsigned i = 0; i < 6; i++)
		send_familiar(&r, "f", i);
	assert_int_equal(rig_events(&r, EVENT_WARN), 0);
	send_familiar(&r, "f", 6);
	assert_int_equal(rig_events(&r, EVENT_WARN), 1);
	rig_last_event(&r, EVENT_WARN, detail);
	assert_non_null(strstr(detail,
	    "80% of familiar_freeze_at: 4 of 5 familiar recipients waiting"));
	rig_run(&r, 20 * SECOND);
	send_familiar(&r, "g", 0);
	assert_int_equal(rig_events(&r, EVENT_WARN), 1);
	send_familiar(&r, "g", 1);
	assert_int_equal(rig_events(&r, EVENT_WARN), 2);
	close_rig(&r);
}

/* Silent for long, but not done with what it has spent. */
static void
test_spent_is_not_forgotten(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, "policy \"default\" { idle_expiry = \"1m\" familiar_burst "
		     "= 10 familiar_interval = \"1h\" interval = \"1h\" }");
	r.settings.senders_max = 1;
	rig_reload(&r,
	    "policy \"default\" { idle_expiry = \"1m\" "
	    "familiar_burst = 10 familiar_interval = \"1h\" "
	    "interval = \"1h\" }",
	    false);
	for (unsigned i = 0; i < 2; i++)
		send_familiar(&r, "f", i);
	rig_run(&r, 30 * MINUTE);
	assert_int_equal(look(&r, "alice").familiar.allowance, 8);
	rig_send(&r, "bob", "a@example.org");
	assert_int_equal(rig_counter(&r, COUNT_SENDERS_SHARED), 1);
	assert_int_equal(look(&r, "alice").familiar.allowance, 8);
	rig_run(&r, 3 * 60 * MINUTE);
	rig_send(&r, "bob", "a@example.org");
	assert_int_equal(rig_counter(&r, COUNT_SENDERS_SHARED), 1);
	close_rig(&r);
}

static void
test_gives_back(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	txn = rig_begin(&r, "alice");
	for (unsigned i = 0; i < 4; i++) {
		char to[32];

		snprintf(to, sizeof(to), "f%u@example.org", i);
		assert_int_equal(rig_ask(&r, txn, to),
		    i < 3 ? THROTTLE_PASS : THROTTLE_HOLD);
	}
	assert_int_equal(gate_txn_lane(txn, 3), 1);
	gate_drop_last(txn, r.now);
	assert_int_equal(look(&r, "alice").familiar.allowance, 0);
	gate_cancel(txn, r.now);
	assert_int_equal(gate_sender_count(r.gate), 0);
	close_rig(&r);
}

static void
test_freezes(void **state)
{
	struct rig r;
	struct buf sent;

	(void)state;
	open_rig(&r, POLICY);
	for (unsigned i = 0; i < 7; i++)
		send_familiar(&r, "f", i);
	assert_false(rig_is_frozen(&r, "alice"));
	assert_int_equal(send_familiar(&r, "f", 7), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, "alice"));
	assert_int_equal(r.freezes, 1);
	assert_string_equal(
	    r.freeze_reason, "5 of 5 familiar recipients waiting");
	assert_int_equal(r.freeze_length, 5);
	assert_int_equal(r.freeze_at, 5);
	assert_int_equal(send_familiar(&r, "f", 7), THROTTLE_REFUSE);
	assert_non_null(strstr(r.text, "familiar recipients waiting"));
	rig_run(&r, DAY);
	buf_init(&sent, 4096);
	assert_int_equal(rig_deliver(&r, &sent), 0);
	/* After a restart as well. */
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_run(&r, DAY);
	assert_int_equal(rig_deliver(&r, &sent), 0);
	assert_int_equal(look(&r, "alice").familiar.queue_length, 5);
	assert_int_equal(
	    look(&r, "alice").t.freeze_reason, THROTTLE_FREEZE_FAMILIAR);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_KEEP), 0);
	rig_run(&r, 20 * SECOND);
	assert_int_equal(rig_deliver(&r, &sent), 2);
	assert_int_equal(rig_freeze(&r, "alice"), 0);
	rig_run(&r, DAY);
	assert_int_equal(rig_deliver(&r, &sent), 0);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_RELEASE), 0);
	assert_int_equal(rig_deliver(&r, &sent), 3);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(look(&r, "alice").passed, 0);
	buf_clear(&sent);
	close_rig(&r);
}

static void
test_discard(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	for (unsigned i = 0; i < 8; i++)
		send_familiar(&r, "f", i);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_DISCARD), 0);
	assert_int_equal(r.count, 5);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(send_familiar(&r, "g", 0), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_never_freezes(void **state)
{
	struct rig r;
	char why[200];

	(void)state;
	open_rig(&r, POLICY);
	assert_true(policies_spare(
	    r.settings.policies, STR("user:alice"), why, sizeof(why)));
	for (unsigned i = 0; i < 12; i++)
		send_familiar(&r, "f", i);
	assert_false(rig_is_frozen(&r, "alice"));
	assert_int_equal(rig_events(&r, EVENT_SPARE), 1);
	assert_int_equal(look(&r, "alice").familiar.queue_length, 9);
	close_rig(&r);
}

/* Mail that comes while its sender is frozen waits by its tier. */
static void
test_held_when_frozen(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	open_rig(&r, TIGHT "when_frozen = hold }");
	assert_int_equal(rig_freeze(&r, "alice"), 0);
	assert_int_equal(send_familiar(&r, "f", 0), THROTTLE_HOLD);
	assert_int_equal(rig_send(&r, "alice", "s@x"), THROTTLE_HOLD);
	info = look(&r, "alice");
	assert_int_equal(info.familiar.queue_length, 1);
	assert_int_equal(info.t.queue_length, 1);
	rig_run(&r, DAY);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_KEEP), 0);
	rig_run(&r, SECOND);
	assert_int_equal(rig_deliver(&r, NULL), 2);
	close_rig(&r);
}

/* What was spent before a crash stays spent, and what waits goes at its own
 * pace, in its order. */
static void
test_restart(void **state)
{
	struct rig r;
	unsigned i;

	(void)state;
	open_rig(&r, POLICY);
	for (i = 0; i < 5; i++)
		send_familiar(&r, "f", i);
	rig_send(&r, "alice", "s@x");
	rig_send(&r, "alice", "t@x");
	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	rig_restart(&r);
	assert_int_equal(look(&r, "alice").familiar.allowance, 0);
	assert_int_equal(look(&r, "alice").familiar.queue_length, 2);
	assert_int_equal(look(&r, "alice").t.queue_length, 1);
	rig_run(&r, 20 * SECOND);
	assert_int_equal(rig_deliver(&r, NULL), 2);
	rig_run(&r, 40 * SECOND);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	close_rig(&r);
}

/* A crash before the state was saved: mail that waits tells what was spent. */
static void
test_crash(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	for (unsigned i = 0; i < 4; i++)
		send_familiar(&r, "f", i);
	rig_restart(&r);
	assert_int_equal(look(&r, "alice").familiar.allowance, 0);
	assert_int_equal(look(&r, "alice").familiar.queue_length, 1);
	assert_int_equal(send_familiar(&r, "g", 0), THROTTLE_HOLD);
	close_rig(&r);
}

static void
on_secured(void *arg, const struct gate_answer *answer)
{
	bool *passed = arg;

	*passed = answer->verdict == THROTTLE_PASS;
}

/* Before the dot: what passes is durable. */
static void
test_secured(void **state)
{
	bool passed = false;
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "f@example.org"), THROTTLE_PASS);
	assert_false(gate_txn_is_known(txn));
	gate_secure(txn, r.now, r.wall, on_secured, &passed);
	assert_false(passed);
	rig_pump(&r);
	assert_true(passed);
	gate_commit(txn, NULL, r.now, r.wall);
	rig_restart(&r);
	assert_int_equal(look(&r, "alice").familiar.allowance, 2);
	close_rig(&r);
}

static void
test_damaged_state(void **state)
{
	static const unsigned char bad[] = {
	    'G', 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4};
	static const unsigned char cut[] = {
	    'G', 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 1};
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	spool_save_state(r.spool, "alice", bad, sizeof(bad), r.wall);
	spool_save_state(r.spool, "bob", cut, sizeof(cut), r.wall);
	rig_pump(&r);
	rig_restart(&r);
	assert_int_equal(look(&r, "alice").familiar.allowance, 0);
	assert_int_equal(look(&r, "bob").familiar.allowance, 3);
	close_rig(&r);
}

/* To nobody in the tier from here on; what waits goes on. */
static void
test_reload(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	for (unsigned i = 0; i < 5; i++)
		send_familiar(&r, "f", i);
	rig_reload(
	    &r, "policy \"default\" { familiar_for = \"0\" burst = 1 }", false);
	assert_int_equal(look(&r, "alice").familiar.queue_length, 2);
	rig_run(&r, 20 * SECOND);
	assert_int_equal(rig_deliver(&r, NULL), 2);
	assert_false(look(&r, "alice").has_familiar);
	assert_int_equal(send_familiar(&r, "g", 0), THROTTLE_PASS);
	assert_string_equal(r.why, "new recipient within the allowance");
	assert_int_equal(send_familiar(&r, "g", 1), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_papers_have_none(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, "policy \"default\" { profile = paper }");
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(send_familiar(&r, "f", i), THROTTLE_PASS);
	assert_int_equal(send_familiar(&r, "f", 5), THROTTLE_HOLD);
	assert_false(look(&r, "alice").has_familiar);
	assert_int_equal(look(&r, "alice").t.queue_length, 1);
	close_rig(&r);
}

static void
test_observe(void **state)
{
	struct rig r;
	char reported[RIG_TEXT];

	(void)state;
	open_rig(&r, POLICY);
	rig_reload(&r, POLICY, true);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(send_familiar(&r, "f", i), THROTTLE_PASS);
	assert_true(r.observed);
	assert_int_equal(rig_counter(&r, COUNT_OBSERVED_HOLDS), 1);
	for (unsigned i = 4; i < 8; i++)
		assert_int_equal(send_familiar(&r, "f", i), THROTTLE_PASS);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_last_event(&r, EVENT_OBSERVE, reported);
	assert_string_equal(
	    reported, "would freeze: 5 of 5 familiar recipients waiting");
	assert_int_equal(look(&r, "alice").familiar.queue_length, 0);
	/* One that waited is recent after its turn. */
	send_familiar(&r, "g", 0);
	rig_run(&r, 10 * SECOND);
	assert_int_equal(send_familiar(&r, "g", 0), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	close_rig(&r);
}

/* Put off: it takes a place once, and is known when its turn has come. */
static void
test_put_off(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	for (unsigned i = 0; i < 3; i++)
		send_familiar(&r, "f", i);
	for (unsigned i = 0; i < 2; i++) {
		struct gate_txn *txn = rig_begin(&r, "alice");

		assert_int_equal(
		    rig_ask(&r, txn, "g@example.org"), THROTTLE_HOLD);
		gate_defer(txn, r.now, r.wall);
	}
	assert_int_equal(look(&r, "alice").familiar.queue_length, 1);
	rig_run(&r, 10 * SECOND);
	assert_int_equal(rig_send(&r, "alice", "g@example.org"), THROTTLE_PASS);
	close_rig(&r);
}

/* Named twice, and told where it stands. */
static void
test_twin_and_wait(void **state)
{
	struct gate_wait wait;
	struct gate_txn *txn;
	uint64_t to;
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	for (unsigned i = 0; i < 4; i++)
		send_familiar(&r, "f", i);
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "g@example.org"), THROTTLE_HOLD);
	assert_int_equal(rig_ask(&r, txn, "G@example.org"), THROTTLE_HOLD);
	assert_int_equal(gate_txn_lane(txn, 1), 1);
	to = gate_txn_destination(txn, 0);
	rig_commit(&r, txn);
	assert_true(
	    gate_expected(r.gate, STR("alice"), to, r.now, r.wall, &wait));
	assert_int_equal(wait.ahead, 1);
	assert_int_equal(wait.due, r.wall + 20 * SECOND);
	assert_int_equal(look(&r, "alice").familiar.queue_length, 3);
	rig_run(&r, 20 * SECOND);
	assert_int_equal(rig_deliver(&r, NULL), 3);
	close_rig(&r);
}

struct reported {
	char tier[16], why[RIG_TEXT];
	uint32_t allowance;
};

static void
on_explained(void *arg, const struct gate_explanation *x)
{
	struct reported *t = arg;

	snprintf(
	    t->tier, sizeof(t->tier), "%s", x->tier != NULL ? x->tier : "none");
	snprintf(t->why, sizeof(t->why), "%s; %s", x->answer.why, x->change);
	t->allowance = x->familiar != NULL ? x->familiar_t.allowance : 0;
}

static struct reported
explain(struct rig *r, const char *to)
{
	struct gate_question q = {
	    .sender = STR("alice"),
	    .recipient = str_from(to),
	    .now = r->now,
	    .wall = r->wall,
	};
	struct reported reported = {.tier = "unasked"};

	gate_explain(r->gate, &q, on_explained, &reported);
	rig_pump(r);
	return reported;
}

static void
test_explained(void **state)
{
	struct reported reported;
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	send_familiar(&r, "f", 0);
	assert_string_equal(explain(&r, "f0@example.org").tier, "recent");
	assert_string_equal(explain(&r, "s@x").tier, "stranger");
	reported = explain(&r, "g@example.org");
	assert_string_equal(reported.tier, "familiar");
	assert_int_equal(reported.allowance, 2);
	assert_non_null(strstr(reported.why, "in internal_domains"));
	send_familiar(&r, "f", 1);
	send_familiar(&r, "f", 2);
	reported = explain(&r, "g@example.org");
	assert_non_null(
	    strstr(reported.why, "familiar allowance used up, 0 of 3"));
	assert_non_null(strstr(reported.why, "larger familiar_burst"));
	assert_int_equal(look(&r, "alice").familiar.queue_length, 0);
	close_rig(&r);
}

/* A foreign reverse path without allowance holds the message: no recipient
 * leaves a queue before it. */
static void
test_behind_reverse_path(void **state)
{
	struct gate_facts facts = {
	    .user = STR("alice"), .sender = STR("else@where.test")};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	rig_send(&r, "alice", "s@x");
	txn = gate_begin(r.gate, &facts, r.now);
	rig_ask(&r, txn, "f0@example.org");
	gate_cancel(txn, r.now); /* the path is its home by now, or known */
	facts.sender = STR("other@where.test");
	txn = gate_begin(r.gate, &facts, r.now);
	for (unsigned i = 0; i < 5; i++) {
		char to[32];

		snprintf(to, sizeof(to), "f%u@example.org", i);
		assert_int_equal(rig_ask(&r, txn, to), THROTTLE_HOLD);
		assert_int_equal(gate_txn_lane(txn, i), i < 3);
	}
	gate_cancel(txn, r.now);
	close_rig(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_costs),
	    cmocka_unit_test(test_refills),
	    cmocka_unit_test(test_spent_is_not_forgotten),
	    cmocka_unit_test(test_gives_back),
	    cmocka_unit_test(test_warns_before_it),
	    cmocka_unit_test(test_freezes),
	    cmocka_unit_test(test_discard),
	    cmocka_unit_test(test_never_freezes),
	    cmocka_unit_test(test_held_when_frozen),
	    cmocka_unit_test(test_restart),
	    cmocka_unit_test(test_crash),
	    cmocka_unit_test(test_secured),
	    cmocka_unit_test(test_damaged_state),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_papers_have_none),
	    cmocka_unit_test(test_observe),
	    cmocka_unit_test(test_put_off),
	    cmocka_unit_test(test_twin_and_wait),
	    cmocka_unit_test(test_explained),
	    cmocka_unit_test(test_behind_reverse_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
