/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail without an envelope sender: whose it is, its policy, and the answers to
 * who wrote in, which do not count.
 */
#include "gate/answers.h"
#include "inbound_rig.h"
#include "policy_rig.h"

#define NONE                                                             \
	"policy \"default\" { burst = 1 initial = 0 interval = \"1d\" }" \
	"policy \"null\" { burst = 1 initial = 0 interval = \"1d\" }"
#define OUT "192.0.2.1"

static enum throttle_verdict
send_null(struct rig *r, const char *user, const char *client, bool local,
    const char *to, const char **policy)
{
	struct gate_facts facts = {.user = str_from(user), .local = local};
	struct gate_txn *txn;
	enum throttle_verdict verdict;
	static char source[128], name[128];

	if (client != NULL)
		assert_true(ip_parse(str_from(client), &facts.client));
	txn = gate_begin(r->gate, &facts, r->now);
	snprintf(source, sizeof(source), "%s", gate_txn_source(txn));
	snprintf(name, sizeof(name), "%s", gate_txn_policy(txn));
	verdict = rig_ask(r, txn, to);
	rig_commit(r, txn);
	if (policy != NULL)
		*policy = name;
	snprintf(r->freeze_sender, sizeof(r->freeze_sender), "%s", source);
	return verdict;
}

static void
expect_source(struct rig *r, const char *user, const char *client, bool local,
    const char *source, const char *policy)
{
	const char *name;

	send_null(r, user, client, local, "x@x.test", &name);
	assert_string_equal(r->freeze_sender, source);
	assert_string_equal(name, policy);
}

static void
test_whose_it_is(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"notes\" { match = {\"from:<>\"} burst = 7 }");
	expect_source(&r, "alice", OUT, false, "alice", "default");
	expect_source(&r, "alice", "127.0.0.1", false, "alice", "default");
	expect_source(&r, "", OUT, false, "[" OUT "]", "default");
	expect_source(&r, "", "127.0.0.1", true, "<>", "notes");
	expect_source(&r, "", "127.0.0.1", false, "<>", "notes");
	rig_reload(&r,
	    "policy \"default\" { key = envelope }"
	    "policy \"NOTES\" { match = {\"FROM:<>\"} }",
	    false);
	expect_source(&r, "", OUT, false, "<>", "NOTES");
	rig_close(&r);
}

static void
expect_error(const char *text, const char *needle)
{
	struct policies *set = read_policies(text);

	if (set != NULL || strstr(err, needle) == NULL)
		fail_msg("%s, not %s", set != NULL ? "no error" : err, needle);
}

/* Numbers of its own where it gives some, and never a freeze. */
static void
test_its_policy(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"notes\" { match = {\"from:<>\"} burst = 3 "
		     "freeze_at = 2 queue_max = 20 }");
	for (unsigned i = 0; i < 30; i++) {
		char to[32];

		snprintf(to, sizeof(to), "u%u@x.test", i);
		send_null(&r, "", "127.0.0.1", true, to, NULL);
	}
	assert_true(rig_info(&r, "<>", &info));
	assert_string_equal(info.policy, "notes");
	assert_int_equal(info.burst, 3);
	assert_int_equal(info.freeze_at, 0);
	assert_int_equal(info.t.queue_length, 20);
	assert_int_equal(r.freezes, 0);
	rig_close(&r);
	expect_error("policy \"a\" { match = {\"from:<>\", \"user:b\"} }",
	    "from:<> must be the only entry");
	expect_error("policy \"default\" { match = {\"from:<>\"} }",
	    "must be the only entry");
	expect_error("policy \"a\" { match = {\"<>\"} }", "from:<> for");
	expect_error("policy \"null\" { } "
		     "policy \"b\" { match = {\"from:<>\"} }",
	    "policy \"null\" already covers mail without");
}

/* ---- answers ---- */

static enum throttle_verdict
answer(struct rig *r, const char *to)
{
	return send_null(r, "", "127.0.0.1", true, to, NULL);
}

static void
test_who_wrote_in_is_answered_once(void **state)
{
	struct gate_txn *txn;
	struct gate_facts facts = {.local = true};
	struct rig r;

	(void)state;
	open_as(&r, NONE, LOCALS_ADDRESS);
	assert_int_equal(answer(&r, BOB), THROTTLE_HOLD);
	mail_in(&r, "carl@example.net", ALICE);
	mail_in(&r, "carl@example.net", ALICE);
	/* What is given up is not used up. */
	txn = gate_begin(r.gate, &facts, r.now);
	assert_int_equal(rig_ask(&r, txn, "Carl@example.net"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "dora@example.net"), THROTTLE_HOLD);
	gate_cancel(txn, r.now);
	assert_int_equal(answer(&r, "Carl@example.net"), THROTTLE_PASS);
	assert_int_equal(answer(&r, "carl@example.net"), THROTTLE_PASS);
	assert_int_equal(answer(&r, "carl@example.net"), THROTTLE_HOLD);
	assert_int_equal(rig_counter(&r, COUNT_PASSED_REPLIES), 2);
	/* To two of ours is one message. */
	txn = begin_in(&r, "dora@example.net");
	ask_in(&r, txn, ALICE);
	ask_in(&r, txn, ALICE);
	gate_commit(txn, NULL, r.now, r.wall);
	assert_int_equal(answer(&r, "dora@example.net"), THROTTLE_PASS);
	assert_int_equal(answer(&r, "dora@example.net"), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_who_is_not_answered(void **state)
{
	struct gate_facts facts = {.sender = STR("eve@example.net")};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, NONE, LOCALS_ADDRESS);
	/* Not accepted. */
	txn = begin_in(&r, BOB);
	ask_in(&r, txn, ALICE);
	gate_cancel(txn, r.now);
	assert_int_equal(answer(&r, BOB), THROTTLE_HOLD);
	/* Not from outside. */
	txn = gate_begin(r.gate, &facts, r.now);
	ask_in(&r, txn, ALICE);
	gate_commit(txn, NULL, r.now, r.wall);
	assert_int_equal(answer(&r, "eve@example.net"), THROTTLE_HOLD);
	/* Too long ago. */
	mail_in(&r, "old@example.net", ALICE);
	rig_pass_time(&r, ANSWERS_EXPIRY_MS);
	assert_int_equal(answer(&r, "old@example.net"), THROTTLE_HOLD);
	/* A login is no mail server, a frozen <> stays frozen. */
	mail_in(&r, "new@example.net", ALICE);
	assert_int_equal(
	    send_null(&r, "alice", OUT, false, "new@example.net", NULL),
	    THROTTLE_HOLD);
	assert_int_equal(rig_freeze(&r, "<>"), 0);
	txn = gate_begin(r.gate, &(struct gate_facts){.local = true}, r.now);
	assert_int_equal(rig_ask(&r, txn, "new@example.net"), THROTTLE_REFUSE);
	gate_cancel(txn, r.now);
	close_rig(&r);
}

static struct ip
address(unsigned a, unsigned b, unsigned c, unsigned d)
{
	return (struct ip){
	    IP_V4, {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d}};
}

/* Forged senders make backscatter: one network makes little of it. */
static void
test_a_flood_is_bounded(void **state)
{
	struct answers *a = answers_new(7);
	struct ip bad = address(198, 51, 100, 1), good = address(192, 0, 2, 1);
	uint64_t x = 1;
	unsigned given = 0;

	(void)state;
	answers_note(a, 0xfeedf00d, &good, 0);
	for (int64_t now = 0; now < 3600000; now += 36) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bad.bytes[3] = (uint8_t)x;
		answers_note(a, x, &bad, now);
		given += answers_take(a, x, now);
	}
	assert_in_range(given, 100, 200);
	assert_true(answers_take(a, 0xfeedf00d, 3600000));
	for (unsigned i = 0; i < 20; i++)
		answers_note(a, 5, &good, 0);
	for (unsigned i = 0; i < ANSWERS_TO_ONE; i++)
		assert_true(answers_take(a, 5, 1));
	assert_false(answers_take(a, 5, 1));
	answers_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_whose_it_is),
	    cmocka_unit_test(test_its_policy),
	    cmocka_unit_test(test_who_wrote_in_is_answered_once),
	    cmocka_unit_test(test_who_is_not_answered),
	    cmocka_unit_test(test_a_flood_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
