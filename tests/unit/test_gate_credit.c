/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * refused_credit in the gate: whose refusals count, who waits, who is frozen,
 * and what is said of it.
 */
#include "gate_rig.h"
#include "policy_rig.h"

#define MINUTE (INT64_C(60) * 1000)
#define EVE "eve@example.org"
#define POLICY                                                            \
	"policy \"default\" { burst = 50 initial = 50 interval = \"1m\" " \
	"refused_credit = 4 credit_freeze = \"20m\" }"

static const struct gate_reply unknown = {550, "5.1.1", true};

/* The next hop says so of one recipient; the rest of the message is nothing. */
static void
reply_to(struct rig *r, const char *from, const char *to,
    const struct gate_reply *reply)
{
	struct gate_facts facts = {.user = STR(EVE), .sender = str_from(from)};
	struct gate_txn *txn = gate_begin(r->gate, &facts, r->now);

	assert_int_not_equal(rig_ask(r, txn, to), THROTTLE_REFUSE);
	gate_drop_refused(txn, reply, r->now, r->wall);
	gate_cancel(txn, r->now);
}

static void
deliver_to(struct rig *r, const char *from, const char *to)
{
	struct gate_facts facts = {.user = STR(EVE), .sender = str_from(from)};
	struct gate_txn *txn = gate_begin(r->gate, &facts, r->now);

	assert_int_equal(rig_ask(r, txn, to), THROTTLE_PASS);
	rig_commit(r, txn);
}

static uint32_t
left(struct rig *r)
{
	struct gate_sender_info info;

	assert_true(rig_info(r, EVE, &info));
	assert_int_equal(info.credit.max, 4);
	return info.credit.left;
}

static void
spend(struct rig *r)
{
	char to[] = "u0@x.test";

	for (int i = 0; i < 4; i++, to[1]++)
		reply_to(r, EVE, to, &unknown);
}

static void
test_what_counts(void **state)
{
	static const struct gate_reply other[] = {{450, "4.1.1", true},
	    {550, "5.7.1", true}, {552, "5.2.2", true}, {554, "", true},
	    {550, "", false}, {550, "5.1.8", true}};
	struct rig r;
	struct gate_txn *txn;
	char to[] = "n0@x.test";

	(void)state;
	rig_open(&r, POLICY);
	assert_int_equal(rig_send(&r, EVE, "known@x.test"), THROTTLE_PASS);
	assert_int_equal(left(&r), 4);
	for (size_t i = 0; i < ARRAY_LEN(other); i++, to[1]++)
		reply_to(&r, EVE, to, &other[i]);
	/* Known recipients that went away, and bounces. */
	reply_to(&r, EVE, "known@x.test", &unknown);
	reply_to(&r, "", "b@x.test", &unknown);
	assert_int_equal(left(&r), 4);
	assert_int_equal(rig_counter(&r, COUNT_UNKNOWN_RECIPIENTS), 0);

	reply_to(&r, EVE, "u1@x.test", &(struct gate_reply){550, "", true});
	reply_to(
	    &r, EVE, "u2@x.test", &(struct gate_reply){550, "5.1.10", true});
	assert_int_equal(left(&r), 2);
	/* The same twice, in one message or two. */
	reply_to(&r, EVE, "U2@x.test", &unknown);
	txn = rig_begin(&r, EVE);
	assert_int_equal(rig_ask(&r, txn, "u1@x.test"), THROTTLE_PASS);
	gate_drop_refused(txn, &unknown, r.now, r.wall);
	gate_drop_refused(txn, &unknown, r.now, r.wall); /* nothing is left */
	gate_cancel(txn, r.now);
	assert_int_equal(left(&r), 2);
	assert_int_equal(rig_counter(&r, COUNT_UNKNOWN_RECIPIENTS), 2);
	/* New ones that take the mail give it back. */
	deliver_to(&r, "", "ok0@x.test"); /* a report */
	deliver_to(&r, EVE, "ok1@x.test");
	deliver_to(&r, EVE, "ok2@x.test");
	deliver_to(&r, EVE, "ok2@x.test"); /* known by then */
	assert_int_equal(left(&r), 2);
	deliver_to(&r, EVE, "ok3@x.test");
	assert_int_equal(left(&r), 3);
	rig_close(&r);
}

static void
test_waits_without(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	struct buf none;
	char detail[RIG_TEXT];

	(void)state;
	rig_open(&r, POLICY);
	assert_int_equal(rig_send(&r, EVE, "known@x.test"), THROTTLE_PASS);
	spend(&r);
	assert_int_equal(left(&r), 0);
	assert_int_equal(rig_events(&r, EVENT_CREDIT), 1);
	rig_last_event(&r, EVENT_CREDIT, detail);
	assert_non_null(strstr(detail, "too many unknown recipients"));
	assert_true(rig_info(&r, EVE, &info));
	assert_true(info.credit.is_empty);
	assert_false(info.t.frozen);

	assert_int_equal(rig_send(&r, EVE, "known@x.test"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, EVE, "new@x.test"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "too many unknown recipients, 0 of 4"));
	rig_last_event(&r, EVENT_HOLD, detail);
	assert_non_null(strstr(detail, "too many unknown recipients"));
	assert_int_equal(rig_counter(&r, COUNT_CREDIT_HOLDS), 1);
	/* Others do not. */
	assert_int_equal(
	    rig_send(&r, "bob@example.org", "new@x.test"), THROTTLE_PASS);
	/* The schedule goes on. */
	rig_run(&r, MINUTE);
	buf_init(&none, 1000);
	assert_int_equal(rig_deliver(&r, &none), 1);
	buf_clear(&none);

	/* It is there after a restart, and ends when a quarter is back. */
	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	rig_restart(&r);
	assert_int_equal(rig_send(&r, EVE, "new2@x.test"), THROTTLE_HOLD);
	for (int i = 0; i < 3; i++)
		gate_delivered(r.gate, EVE, r.now);
	assert_int_equal(left(&r), 1);
	rig_run(&r, 2 * MINUTE);
	assert_int_equal(rig_send(&r, EVE, "new3@x.test"), THROTTLE_PASS);
	rig_close(&r);
}

static void
test_freezes(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, POLICY);
	spend(&r);
	for (int i = 0; i < 5; i++) {
		assert_false(rig_is_frozen(&r, EVE));
		rig_pass_time(&r, 4 * MINUTE);
		/* At delivery, the way of those that waited. */
		gate_undelivered(r.gate, EVE, 1000 + (uint64_t)i, NULL,
		    &unknown, r.now, r.wall);
	}
	assert_true(rig_is_frozen(&r, EVE));
	rig_pump(&r);
	assert_int_equal(r.freezes, 1);
	assert_string_equal(r.freeze_reason, "too many unknown recipients");
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, EVE));
	assert_int_equal(rig_send(&r, EVE, "new@x.test"), THROTTLE_REFUSE);
	assert_non_null(strstr(r.text, "too many unknown recipients"));
	assert_int_equal(rig_thaw(&r, EVE, GATE_THAW_KEEP), 0);
	assert_int_equal(rig_send(&r, EVE, "new@x.test"), THROTTLE_PASS);
	rig_close(&r);
}

static void
test_observe(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, POLICY);
	rig_reload(&r, POLICY, true);
	spend(&r);
	assert_int_equal(rig_send(&r, EVE, "new@x.test"), THROTTLE_PASS);
	assert_true(r.observed);
	assert_non_null(strstr(r.why, "too many unknown recipients"));
	for (int i = 0; i < 5; i++) {
		rig_pass_time(&r, 4 * MINUTE);
		gate_undelivered(r.gate, EVE, 1000 + (uint64_t)i, NULL,
		    &unknown, r.now, r.wall);
	}
	assert_false(rig_is_frozen(&r, EVE));
	assert_int_equal(r.freezes, 0);
	assert_true(rig_events(&r, EVENT_OBSERVE) > 0);
	rig_close(&r);
}

static void
test_spared(void **state)
{
	struct rig r;
	struct policies *was;
	char detail[RIG_TEXT];

	(void)state;
	rig_open(&r, POLICY);
	was = r.settings.policies;
	r.settings.policies = rig_policies(POLICY);
	assert_true(policies_spare(
	    r.settings.policies, STR("user:" EVE), err, sizeof(err)));
	gate_reload(r.gate, &r.settings, r.now);
	policies_free(was);
	spend(&r);
	for (int i = 0; i < 5; i++) {
		rig_pass_time(&r, 4 * MINUTE);
		gate_undelivered(r.gate, EVE, 1000 + (uint64_t)i, NULL,
		    &unknown, r.now, r.wall);
	}
	assert_false(rig_is_frozen(&r, EVE));
	rig_last_event(&r, EVENT_SPARE, detail);
	assert_string_equal(
	    detail, "too many unknown recipients; not frozen: never_freeze");
	rig_close(&r);
}

static void
on_explained(void *arg, const struct gate_explanation *x)
{
	struct rig *r = arg;

	r->verdict = x->answer.verdict;
	assert_int_equal(x->credit.left, 0);
	assert_int_equal(x->credit.max, 4);
	str_copy(str_from(x->answer.why), r->why, sizeof(r->why));
	str_copy(str_from(x->change), r->text, sizeof(r->text));
}

static void
test_explain_takes_nothing(void **state)
{
	struct rig r;
	struct gate_sender_info before, after;
	struct gate_question q = {
	    .sender = STR(EVE), .recipient = STR("new@x.test")};

	(void)state;
	rig_open(&r, POLICY);
	assert_int_equal(rig_send(&r, EVE, "known@x.test"), THROTTLE_PASS);
	spend(&r);
	assert_true(rig_info(&r, EVE, &before));
	q.now = r.now;
	q.wall = r.wall;
	gate_explain(r.gate, &q, on_explained, &r);
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "too many unknown recipients"));
	assert_non_null(strstr(r.text, "refused_credit"));
	assert_true(rig_info(&r, EVE, &after));
	assert_int_equal(after.t.allowance, before.t.allowance);
	rig_close(&r);
}

/* <> is everybody's, and the papers know no such thing. */
static void
test_off_where_it_says_nothing(void **state)
{
	struct policies *set =
	    rig_policies("policy \"null\" { }\n"
			 "policy \"default\" { profile = paper }\n"
			 "policy \"more\" { match = {\"user:x\"} }");

	(void)state;
	assert_int_equal(policies_of_key(set, STR("<>"))->credit.credit, 0);
	assert_int_equal(policies_default(set)->credit.credit, 0);
	assert_int_equal(
	    policies_find(set, STR("more"))->credit.credit, CREDIT_PRESET);
	policies_free(set);
	set = policies_new(NULL, 0, err, sizeof(err));
	assert_int_equal(policies_default(set)->credit.credit, CREDIT_PRESET);
	assert_int_equal(
	    policies_default(set)->credit.freeze_ms, CREDIT_PRESET_FREEZE_MS);
	policies_free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_counts),
	    cmocka_unit_test(test_waits_without),
	    cmocka_unit_test(test_freezes),
	    cmocka_unit_test(test_observe),
	    cmocka_unit_test(test_spared),
	    cmocka_unit_test(test_explain_takes_nothing),
	    cmocka_unit_test(test_off_where_it_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
