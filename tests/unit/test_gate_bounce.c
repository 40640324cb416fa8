/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounces in the gate: an ENVID that weir gave, and which reports of it count
 * for refused_credit.
 */
#include "gate_rig.h"
#include "policy_rig.h"

#include "gate/signals.h"

#define MINUTE (INT64_C(60) * 1000)
#define DAY (INT64_C(24) * 60 * MINUTE)
#define EVE "eve@example.org"
#define POLICY                                                            \
	"policy \"default\" { burst = 50 initial = 50 interval = \"1m\" " \
	"refused_credit = 4 credit_freeze = \"20m\" }"

static uint32_t
left(struct rig *r)
{
	struct gate_sender_info info;

	assert_true(rig_info(r, EVE, &info));
	return info.credit.left;
}

/* As the relay does it; envid gets what the next hop was given. */
static void
send_to(struct rig *r, uint64_t id, const char *const *to, size_t n,
    char envid[GATE_ENVID_MAX])
{
	struct gate_facts facts = {.user = STR(EVE), .sender = STR(EVE)};
	struct gate_txn *txn = gate_begin(r->gate, &facts, r->now);

	assert_true(gate_txn_envid(txn, id, envid));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rig_ask(r, txn, to[i]), THROTTLE_PASS);
	gate_commit(txn, NULL, r->now, r->wall);
}

static void
report(struct rig *r, const char *envid, const char *to, const char *status)
{
	struct gate_facts facts = {.client = {.family = IP_NONE}};
	struct gate_txn *txn = gate_begin(r->gate, &facts, r->now);
	struct gate_bounced b = {.envid = str_from(envid),
	    .final = str_from(to),
	    .status = str_from(status)};

	assert_true(gate_txn_hears_bounces(txn));
	assert_int_equal(rig_ask(r, txn, EVE), THROTTLE_PASS);
	gate_txn_hear_bounced(txn, &b);
	gate_commit(txn, NULL, r->now, r->wall);
}

static void
test_what_counts(void **state)
{
	static const char *const to[] = {
	    "bob@x.test", "carl@x.test", "dora@x.test"};
	char envid[GATE_ENVID_MAX], other[GATE_ENVID_MAX], bad[GATE_ENVID_MAX];
	char detail[RIG_TEXT];
	struct rig r;

	(void)state;
	rig_open(&r, POLICY);
	send_to(&r, 77, to, 3, envid);
	send_to(&r, 78, to, 1, other); /* known by then */
	assert_string_not_equal(envid, other);
	assert_int_equal(left(&r), 4);

	report(&r, envid, "bob@x.test", "5.1.1");
	assert_int_equal(left(&r), 3);
	rig_last_event(&r, EVENT_UNKNOWN, detail);
	assert_string_equal(
	    detail, "bob@x.test: a bounce calls the recipient unknown");
	/* Once more, in capitals, with another tag, a stranger to it. */
	report(&r, envid, "bob@x.test", "5.1.1");
	report(&r, other, "bob@x.test", "5.1.1");
	report(&r, envid, "nobody@x.test", "5.1.1");
	for (size_t i = 5; envid[i] != '\0'; i++) {
		str_copy(str_from(envid), bad, sizeof(bad));
		bad[i] = bad[i] == '0' ? '1' : '0';
		report(&r, bad, "carl@x.test", "5.1.1");
		bad[i] = '\0';
		report(&r, bad, "carl@x.test", "5.1.1");
	}
	assert_int_equal(left(&r), 3);
	assert_int_equal(rig_counter(&r, COUNT_BOUNCES_IGNORED),
	    3 + 2 * (strlen(envid) - 5));
	/* What says nothing about the address, and what is not ours. */
	report(&r, envid, "carl@x.test", "5.2.2");
	report(&r, envid, "carl@x.test", "4.1.1");
	report(&r, "QQ314159", "carl@x.test", "5.1.1");
	assert_int_equal(rig_counter(&r, COUNT_BOUNCED_RECIPIENTS), 1);
	/* Whatever case the way has left it in. */
	for (size_t i = 0; envid[i] != '\0'; i++)
		envid[i] = (char)(envid[i] >= 'a' && envid[i] <= 'z'
				      ? envid[i] - 'a' + 'A'
				      : envid[i]);
	report(&r, envid, "CARL@x.test", "5.1.2");
	assert_int_equal(left(&r), 2);
	assert_int_equal(rig_counter(&r, COUNT_BOUNCED_RECIPIENTS), 2);
	assert_int_equal(rig_counter(&r, COUNT_UNKNOWN_RECIPIENTS), 0);
	rig_close(&r);
}

/* However many there are: the last credit is not theirs to take. */
static void
test_never_freezes(void **state)
{
	static const char *const to[] = {"a@x.test", "b@x.test", "c@x.test",
	    "d@x.test", "e@x.test", "f@x.test"};
	char envid[GATE_ENVID_MAX];
	struct rig r;

	(void)state;
	rig_open(&r, POLICY);
	send_to(&r, 77, to, ARRAY_LEN(to), envid);
	for (size_t i = 0; i < ARRAY_LEN(to); i++) {
		report(&r, envid, to[i], "5.1.1");
		rig_pass_time(&r, 10 * MINUTE);
	}
	assert_int_equal(left(&r), 1);
	assert_false(rig_is_frozen(&r, EVE));
	assert_int_equal(rig_send(&r, EVE, "new@x.test"), THROTTLE_PASS);
	assert_int_equal(rig_events(&r, EVENT_CREDIT), 0);
	rig_close(&r);
}

static void
test_restart_and_time(void **state)
{
	static const char *const to[] = {
	    "bob@x.test", "carl@x.test", "dora@x.test"};
	char envid[GATE_ENVID_MAX];
	struct rig r;

	(void)state;
	rig_open(&r, POLICY);
	send_to(&r, 77, to, 3, envid);
	report(&r, envid, to[0], "5.1.1");
	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	rig_restart(&r);
	report(&r, envid, to[0], "5.1.1");
	assert_int_equal(left(&r), 3);
	report(&r, envid, to[1], "5.1.1");
	assert_int_equal(left(&r), 2);
	rig_pass_time(&r, 8 * DAY);
	report(&r, envid, to[2], "5.1.1");
	assert_int_equal(left(&r), 4);
	rig_close(&r);
}

/* Mail that was held; a report that is not accepted; a sender that is forgotten
 * meanwhile; mail that is not counted. */
static void
test_other_ways(void **state)
{
	struct gate_facts null = {.client = {.family = IP_NONE}};
	struct gate_facts eve = {.user = STR(EVE), .sender = STR(EVE)};
	char envid[GATE_ENVID_MAX];
	struct gate_bounced b = {
	    .original = STR("bob@x.test"), .final = STR("robert@y.test")};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	b.status = STR("5.1.1");
	rig_open(&r, POLICY);
	txn = gate_begin(r.gate, &eve, r.now);
	assert_int_equal(rig_ask(&r, txn, "bob@x.test"), THROTTLE_PASS);
	gate_sent(r.gate, EVE, 5, gate_txn_destination(txn, 0), r.now);
	gate_cancel(txn, r.now);
	assert_true(gate_envid(r.gate, EVE, 5, envid));
	b.envid = str_from(envid);
	txn = gate_begin(r.gate, &null, r.now);
	gate_txn_hear_bounced(txn, &b);
	gate_cancel(txn, r.now);
	assert_int_equal(left(&r), 4);
	/* By Original-Recipient; twice in one report. */
	txn = gate_begin(r.gate, &null, r.now);
	gate_txn_hear_bounced(txn, &b);
	gate_txn_hear_bounced(txn, &b);
	gate_commit(txn, NULL, r.now, r.wall);
	assert_int_equal(left(&r), 3);
	/* No report has an envelope sender. */
	txn = gate_begin(r.gate, &eve, r.now);
	assert_false(gate_txn_hears_bounces(txn));
	gate_txn_hear_bounced(txn, &b);
	gate_cancel(txn, r.now);

	assert_true(gate_envid(r.gate, "gone@example.org", 5, envid));
	report(&r, envid, "bob@x.test", "5.1.1");
	assert_int_equal(rig_counter(&r, COUNT_BOUNCED_RECIPIENTS), 1);
	rig_reload(&r, "policy \"default\" { refused_credit = 0 }", false);
	assert_false(gate_envid(r.gate, EVE, 5, envid));
	txn = gate_begin(r.gate, &null, r.now);
	assert_false(gate_txn_envid(txn, 5, envid));
	gate_cancel(txn, r.now);
	txn = gate_begin(r.gate, &eve, r.now);
	assert_false(gate_txn_envid(txn, 5, envid));
	gate_cancel(txn, r.now);
	rig_close(&r);
}

/* The latest are kept; what is read back is as it was, or nothing. */
static void
test_marks(void **state)
{
	unsigned char bytes[SENT_STATE_MAX];
	struct sent s = {0}, again;
	size_t n;

	(void)state;
	for (uint64_t m = 1; m <= SENT_MAX + 10; m++)
		sent_add(&s, m, (int64_t)m * MINUTE);
	assert_false(sent_has(&s, 10, DAY));
	assert_true(sent_take(&s, 11, DAY));
	assert_false(sent_take(&s, 11, DAY));
	assert_false(sent_has(&s, 0, DAY));
	n = sent_save(&s, DAY, bytes);
	assert_int_equal(n, SENT_STATE_MAX - 12);
	assert_true(sent_load(&again, bytes, n, DAY, 10 * DAY));
	assert_true(sent_has(&again, SENT_MAX + 10, 10 * DAY));
	assert_false(sent_has(&again, 11, 10 * DAY));
	assert_false(sent_has(&again, 12, 20 * DAY));
	sent_add(&again, 1000, 10 * DAY);
	assert_true(sent_has(&again, 12, 10 * DAY));
	sent_add(&again, 1001, 10 * DAY);
	assert_false(sent_has(&again, 12, 10 * DAY));
	for (size_t i = 0; i < n; i++)
		assert_false(sent_load(&again, bytes, i, 0, DAY));
	bytes[0] = SENT_MAX + 1;
	assert_false(sent_load(&again, bytes, n, 0, DAY));
	bytes[0] = SENT_MAX - 1;
	for (size_t i = 1; i < 9; i++)
		bytes[i] = 0;
	assert_false(sent_load(&again, bytes, n, 0, DAY));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_counts),
	    cmocka_unit_test(test_never_freezes),
	    cmocka_unit_test(test_restart_and_time),
	    cmocka_unit_test(test_other_ways),
	    cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
