/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each option of a policy, seen through the gate, and the words of replies.
 */
#include "gate_rig.h"

#define MINUTE 60000
#define HOUR (60 * MINUTE)

static bool
has(const char *text, const char *needle)
{
	if (strstr(text, needle) != NULL)
		return true;
	print_error("\"%s\" has no \"%s\"\n", text, needle);
	return false;
}

static void
test_working_set(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { working_set = 2 }");
	rig_send_many(&r, "alice", "a", 3);
	assert_int_equal(
	    rig_send(&r, "alice", "a2@example.com"), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	rig_send(&r, "alice", "a0@example.com");
	assert_string_not_equal(r.why, "known recipient");
	rig_close(&r);
}

static void
test_initial(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 5 initial = 2 }");
	assert_int_equal(rig_send_many(&r, "alice", "a", 4).passed, 2);
	rig_close(&r);
}

static void
test_limit(void **state)
{
	struct rig r;
	struct rig_counts c;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 10 "
		     "limit = {\"4/1h\", \"6/1d\"} }");
	c = rig_send_many(&r, "alice", "a", 6);
	assert_int_equal(c.passed, 4);
	assert_int_equal(c.held, 2);
	assert_true(has(r.why, "4 of 4 new recipients in 1h used"));
	/* The interval alone does not let them go: the window does. */
	rig_run(&r, 30 * MINUTE);
	assert_int_equal(rig_queue(&r, "alice"), 2);
	rig_run(&r, 40 * MINUTE);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	/* Then the long window is full. */
	c = rig_send_many(&r, "alice", "b", 1);
	assert_int_equal(c.held, 1);
	assert_true(has(r.why, "6 of 6 new recipients in 1d used"));
	rig_run(&r, 20 * HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	rig_run(&r, 5 * HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	rig_close(&r);
}

static void
test_freeze_growth(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "freeze_growth = \"5/1m\" }");
	rig_send_many(&r, "alice", "a", 5);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_send_many(&r, "alice", "b", 1);
	assert_true(rig_is_frozen(&r, "alice"));
	assert_string_equal(
	    r.freeze_reason, "5 new recipients waiting, 5 arrived within 1m");
	/* Slower does not. */
	for (int i = 0; i < 4; i++) {
		char prefix[8] = {'c', (char)('0' + i), 0};

		rig_send_many(&r, "bob", prefix, 3);
		rig_run(&r, 2 * MINUTE);
	}
	assert_false(rig_is_frozen(&r, "bob"));
	rig_close(&r);
}

static void
test_queue_max(void **state)
{
	struct rig r;
	struct rig_counts c;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "freeze_at = 0 queue_max = 4 }");
	c = rig_send_many(&r, "alice", "a", 8);
	assert_int_equal(c.passed, 1);
	assert_int_equal(c.held, 4);
	assert_int_equal(c.refused, 3);
	assert_false(rig_is_frozen(&r, "alice"));
	assert_int_equal(r.code, 452);
	assert_string_equal(r.enhanced, "4.5.3");
	assert_string_equal(r.text,
	    "alice: queue of new recipients full, 4 of 4 places used; next "
	    "place free in 1m; postmaster@example.org can help");
	rig_run(&r, MINUTE);
	assert_int_equal(rig_send(&r, "alice", "z@x"), THROTTLE_HOLD);
	rig_close(&r);
}

static void
test_idle_expiry(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { idle_expiry = \"1h\" burst = 2 }");
	rig_send(&r, "alice", "a@x");
	rig_send_many(&r, "bob", "b", 300);
	assert_true(rig_is_frozen(&r, "bob"));
	rig_run(&r, 30 * MINUTE);
	assert_int_equal(gate_sender_count(r.gate), 2);
	rig_run(&r, HOUR);
	/* A frozen one is never forgotten. */
	assert_int_equal(gate_sender_count(r.gate), 1);
	assert_true(rig_is_frozen(&r, "bob"));
	rig_restart(&r);
	assert_int_equal(gate_sender_count(r.gate), 1);
	rig_close(&r);
}

static void
test_profile_paper(void **state)
{
	struct rig r;
	struct rig_counts c;

	(void)state;
	rig_open(&r, "policy \"default\" { profile = paper }");
	c = rig_send_many(&r, "alice", "a", 10);
	assert_int_equal(c.passed, 5);
	assert_int_equal(c.held, 5);
	assert_true(has(r.why, "0 of 5 left; 4 ahead of it; goes in 5s"));
	rig_run(&r, 5000);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	rig_close(&r);
}

static void
test_when_frozen_hold(void **state)
{
	struct rig r;
	struct rig_counts c;

	(void)state;
	rig_open(&r, "policy \"default\" { when_frozen = hold burst = 1 "
		     "initial = 1 freeze_at = 5 queue_max = 8 }");
	c = rig_send_many(&r, "mallory", "v", 12);
	assert_int_equal(c.passed, 1);
	assert_int_equal(c.held, 8);
	assert_int_equal(c.refused, 3);
	assert_int_equal(r.code, 452);
	assert_true(rig_is_frozen(&r, "mallory"));
	assert_int_equal(r.freezes, 1);
	assert_int_equal(rig_counter(&r, COUNT_DELAYED_RECIPIENTS), 8);
	rig_run(&r, HOUR);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 8);
	assert_int_equal(rig_thaw(&r, "mallory", GATE_THAW_KEEP), 0);
	rig_run(&r, 8 * MINUTE);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	assert_int_equal(rig_deliver(&r, NULL), 8);
	rig_close(&r);
}

static void
test_when_frozen_reject(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { when_frozen = reject burst = 1 "
		     "initial = 1 freeze_at = 3 "
		     "contact = \"help\303\251\r\n@example.org\" }");
	rig_send_many(&r, "mallory", "v", 12);
	assert_int_equal(r.code, 550);
	assert_string_equal(r.enhanced, "5.7.1");
	/* ASCII, in one line, whatever the configuration says. */
	assert_true(has(r.text, "help\\xc3\\xa9\\x0d\\x0a@example.org"));
	rig_close(&r);
}

static void
test_long_names_in_replies(void **state)
{
	char user[301], text[RIG_TEXT];
	struct rig r;

	(void)state;
	memset(user, '\303', 300);
	user[300] = '\0';
	snprintf(text, sizeof(text),
	    "policy \"default\" { freeze_at = 1 initial = 0 "
	    "contact = \"%.200s\" }",
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	rig_open(&r, text);
	rig_send(&r, user, "a@x");
	assert_int_equal(rig_send(&r, user, "b@x"), THROTTLE_REFUSE);
	assert_true(has(r.text, "... has been frozen since 2026"));
	assert_true(has(r.text, "... to have it released"));
	rig_close(&r);
}

static void
test_exempt(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"bulk\" { match = {\"news@example.org\"} "
		     "exempt = true }");
	assert_int_equal(
	    rig_send_many(&r, "news@example.org", "s", 300).passed, 300);
	/* Nothing is kept of it. */
	assert_int_equal(gate_sender_count(r.gate), 0);
	assert_int_equal(rig_counter(&r, COUNT_PASSED_RECIPIENTS), 300);
	/* By hand it can be frozen. */
	assert_int_equal(rig_freeze(&r, "news@example.org"), 0);
	assert_int_equal(rig_send(&r, "news@example.org", "s1@example.com"),
	    THROTTLE_REFUSE);
	assert_true(has(r.text, "frozen by an administrator"));
	/* Also for a front that does not ask at MAIL. */
	txn = rig_begin(&r, "news@example.org");
	assert_int_equal(rig_ask(&r, txn, "s1@example.com"), THROTTLE_REFUSE);
	gate_cancel(txn, r.now);
	assert_int_equal(rig_thaw(&r, "news@example.org", GATE_THAW_KEEP), 0);
	assert_int_equal(
	    rig_send_many(&r, "news@example.org", "t", 30).passed, 30);
	rig_close(&r);
}

static void
test_exempt_recipients(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "freeze_at = 2 "
		     "exempt_recipients = {\"@Example.com\", \"boss@x\"} }");
	assert_int_equal(rig_send_many(&r, "alice", "a", 20).passed, 20);
	assert_int_equal(rig_send(&r, "alice", "BOSS@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", "new@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", "new2@x"), THROTTLE_HOLD);
	assert_int_equal(rig_send(&r, "alice", "new3@x"), THROTTLE_HOLD);
	/* Frozen: not them either. */
	assert_int_equal(rig_send(&r, "alice", "boss@x"), THROTTLE_REFUSE);
	rig_close(&r);
}

static void
test_fold_tags(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"fold\" { match = {\"alice\"} fold_tags = true "
		     "burst = 1 initial = 1 }\n"
		     "policy \"default\" { burst = 1 initial = 1 }");
	rig_send(&r, "alice", "joe+1@x");
	assert_int_equal(rig_send(&r, "alice", "joe+2@x"), THROTTLE_PASS);
	rig_send(&r, "bob", "joe+1@x");
	assert_int_equal(rig_send(&r, "bob", "joe+2@x"), THROTTLE_HOLD);
	rig_close(&r);
}

static void
test_whole(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { multi = whole burst = 2 "
		     "initial = 2 }");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	assert_false(gate_txn_is_whole(txn));
	rig_ask(&r, txn, "b@x");
	assert_false(gate_txn_is_whole(txn));
	rig_ask(&r, txn, "c@x");
	rig_ask(&r, txn, "d@x");
	assert_true(gate_txn_is_whole(txn));
	assert_int_equal(gate_txn_verdict(txn, 0), THROTTLE_PASS);
	assert_int_equal(gate_txn_verdict(txn, 3), THROTTLE_HOLD);
	rig_commit(&r, txn);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 2);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	rig_run(&r, MINUTE);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	rig_run(&r, MINUTE);
	/* All of them together. */
	assert_int_equal(rig_deliver(&r, NULL), 4);
	rig_close(&r);
}

/* The key: two users behind one address, one user from two. */
static void
test_key(void **state)
{
	struct rig r;
	struct gate_facts facts = {.user = STR("carol")};
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"c\" { match = {\"192.0.2.0/24\"} "
		     "key = client }");
	assert_true(ip_parse(STR("192.0.2.9"), &facts.client));
	txn = gate_begin(r.gate, &facts, r.now);
	assert_string_equal(gate_txn_source(txn), "[192.0.2.9]");
	assert_string_equal(gate_txn_policy(txn), "c");
	gate_cancel(txn, r.now);
	facts.client.bytes[0] = 193;
	txn = gate_begin(r.gate, &facts, r.now);
	assert_string_equal(gate_txn_source(txn), "carol");
	gate_cancel(txn, r.now);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_working_set),
	    cmocka_unit_test(test_initial),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_freeze_growth),
	    cmocka_unit_test(test_queue_max),
	    cmocka_unit_test(test_idle_expiry),
	    cmocka_unit_test(test_profile_paper),
	    cmocka_unit_test(test_when_frozen_hold),
	    cmocka_unit_test(test_when_frozen_reject),
	    cmocka_unit_test(test_long_names_in_replies),
	    cmocka_unit_test(test_exempt),
	    cmocka_unit_test(test_exempt_recipients),
	    cmocka_unit_test(test_fold_tags),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
