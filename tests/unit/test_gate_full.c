/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of senders when it is full, who gets in at all, and the two sources
 * that belong to nobody: <> and [overflow].
 */
#include "gate_rig.h"

#define MINUTE 60000
#define MAX 20
#define ENVELOPE "policy \"default\" { key = envelope }"

static void
open_small(struct rig *r, const char *policies)
{
	rig_open(r, policies);
	r->settings.senders_max = MAX;
	gate_reload(r->gate, &r->settings, r->now);
}

static void
ignore_answer(void *arg, const struct gate_answer *answer)
{
	enum throttle_verdict *verdict = arg;

	*verdict = answer->verdict;
}

/* One message of an envelope sender; client: loopback. */
static enum throttle_verdict
send_from(struct rig *r, const char *sender, const char *to)
{
	enum throttle_verdict verdict;
	struct gate_facts facts = {.sender = str_from(sender)};
	struct gate_txn *txn;

	assert_true(ip_parse(STR("127.0.0.1"), &facts.client));
	txn = gate_begin(r->gate, &facts, r->now);
	gate_recipient(
	    txn, str_from(to), r->now, r->wall, ignore_answer, &verdict);
	if (verdict == THROTTLE_REFUSE)
		gate_cancel(txn, r->now);
	else
		rig_commit(r, txn);
	return verdict;
}

static void
invent(struct rig *r, const char *prefix, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%u@spam.test", prefix, i);
		send_from(r, name, "x@x.test");
	}
}

/* RCPT and RSET leave nothing behind, in memory or on the disk. */
static void
test_only_mail_makes_a_source(void **state)
{
	struct rig r;

	(void)state;
	open_small(&r, "");
	for (unsigned i = 0; i < 3 * MAX; i++) {
		struct gate_txn *txn;
		char name[32];

		snprintf(name, sizeof(name), "user%u", i);
		txn = rig_begin(&r, name);
		assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
		assert_int_equal(gate_sender_count(r.gate), 1);
		gate_cancel(txn, r.now);
		assert_int_equal(gate_sender_count(r.gate), 0);
	}
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	assert_int_equal(gate_sender_count(r.gate), 0);
	/* Two at once: the one that ends first takes nothing from the other. */
	{
		struct gate_txn *one = rig_begin(&r, "alice");
		struct gate_txn *two = rig_begin(&r, "alice");

		rig_ask(&r, one, "a@x");
		rig_ask(&r, two, "b@x");
		gate_cancel(one, r.now);
		assert_int_equal(gate_sender_count(r.gate), 1);
		rig_commit(&r, two);
		assert_int_equal(gate_sender_count(r.gate), 1);
	}
	rig_close(&r);
}

/* A list with VERP, and what SRS rewrites, is one sender; tags are people's. */
static void
test_senders_made_for_one_message(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	rig_open(&r,
	    "policy \"default\" { key = envelope burst = 3 initial = 3 "
	    "interval = \"1h\" }");
	for (unsigned i = 0; i < 8; i++) {
		char from[80], to[64];

		snprintf(to, sizeof(to), "m%u@x.test", i);
		snprintf(from, sizeof(from),
		    "list-bounces+m%u=x.test@lists.example.org", i);
		assert_int_equal(send_from(&r, from, to),
		    i < 3 ? THROTTLE_PASS : THROTTLE_HOLD);
		snprintf(from, sizeof(from),
		    "SRS0=h%u=tt=x.test=m%u@fwd.example.org", i, i);
		assert_int_equal(send_from(&r, from, to),
		    i < 3 ? THROTTLE_PASS : THROTTLE_HOLD);
		snprintf(from, sizeof(from), "alice+t%u@example.org", i);
		assert_int_equal(send_from(&r, from, to), THROTTLE_PASS);
	}
	assert_true(rig_info(&r, "<list-bounces@lists.example.org>", &info));
	assert_int_equal(info.t.queue_length, 5);
	/* A person may take the name from a log. */
	assert_true(
	    rig_info(&r, "<List-bounces+m9=x.test@lists.example.org>", &info));
	assert_string_equal(info.sender, "<list-bounces@lists.example.org>");
	assert_true(rig_info(&r, "<srs0@fwd.example.org>", &info));
	assert_int_equal(gate_sender_count(r.gate), 10);
	rig_close(&r);
}

/* Whoever has least at stake makes room, and who has much stays. */
static void
test_least_at_stake_goes(void **state)
{
	struct rig r;
	struct gate_sender_info info;

	(void)state;
	open_small(&r, "policy \"default\" { burst = 5 initial = 5 "
		       "freeze_at = 3 }");
	rig_send_many(&r, "regular", "friend", 5);
	rig_send_many(&r, "waiting", "w", 6);
	assert_int_equal(rig_freeze(&r, "thief"), 0);
	rig_pass_time(&r, 30 * MINUTE);
	for (unsigned i = 0; i < 4 * MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "new%u", i);
		assert_int_equal(rig_send(&r, name, "x@x"), THROTTLE_PASS);
		rig_pass_time(&r, MINUTE);
	}
	assert_int_equal(gate_sender_count(r.gate), MAX);
	assert_true(rig_info(&r, "regular", &info));
	assert_int_equal(info.t.working_set, 5);
	assert_true(rig_info(&r, "waiting", &info));
	assert_true(rig_is_frozen(&r, "thief"));
	assert_int_equal(
	    rig_counter(&r, COUNT_SENDERS_MADE_ROOM), 4 * MAX + 3 - MAX);
	assert_int_equal(rig_counter(&r, COUNT_SENDERS_SHARED), 0);
	/* Their rows are bounded as they are. */
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	assert_true(gate_sender_count(r.gate) <= MAX);
	assert_true(rig_info(&r, "regular", &info));
	assert_int_equal(info.t.working_set, 5);
	rig_close(&r);
}

/* Logins that have spent something may not be flushed out: it would come back.
 * Those beyond share one source, which holds and never freezes. */
static void
test_the_rest_share_one(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	struct rig_counts counts = {0};

	(void)state;
	open_small(&r, "policy \"default\" { freeze_at = 5 }\n"
		       "policy \"overflow\" { burst = 3 }");
	for (unsigned i = 0; i < MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "login%u", i);
		rig_send(&r, name, "x@x");
	}
	for (unsigned i = 0; i < 30; i++) {
		char name[32], to[32];

		snprintf(name, sizeof(name), "late%u", i);
		snprintf(to, sizeof(to), "n%u@x", i);
		switch (rig_send(&r, name, to)) {
		case THROTTLE_PASS:
			counts.passed++;
			break;
		case THROTTLE_HOLD:
			counts.held++;
			break;
		case THROTTLE_REFUSE:
			counts.refused++;
			break;
		}
	}
	assert_int_equal(counts.passed, 3);
	assert_int_equal(counts.held, 27);
	assert_true(rig_info(&r, "[overflow]", &info));
	assert_string_equal(info.policy, "overflow");
	assert_int_equal(info.t.queue_length, 27);
	assert_false(info.t.frozen);
	assert_int_equal(gate_sender_count(r.gate), MAX + 1);
	assert_int_equal(rig_counter(&r, COUNT_SENDERS_SHARED), 30);
	/* A second each, and in the same place after a restart. */
	rig_restart(&r);
	assert_int_equal(rig_queue(&r, "[overflow]"), 27);
	rig_run(&r, 10000);
	assert_int_equal(rig_queue(&r, "[overflow]"), 17);
	/* Those that were there are themselves, and so is a new one when
	 * somebody may go. */
	assert_int_equal(rig_send(&r, "login3", "x@x"), THROTTLE_PASS);
	rig_pass_time(&r, 30 * MINUTE);
	assert_int_equal(rig_send(&r, "late31", "x@x"), THROTTLE_PASS);
	assert_true(rig_info(&r, "late31", &info));
	rig_close(&r);
}

/* Whoever can invent one can invent another: they go at once, and nobody who
 * logged in does. */
static void
test_invented_senders(void **state)
{
	struct rig r;
	struct gate_sender_info info;

	(void)state;
	open_small(&r, ENVELOPE "\npolicy \"u\" { match = {\"user:alice\"} }");
	rig_send(&r, "alice", "friend@x");
	invent(&r, "inv", 10 * MAX);
	assert_int_equal(gate_sender_count(r.gate), MAX);
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(info.t.allowance, 9);
	assert_int_equal(
	    send_from(&r, "honest@own.test", "friend@x"), THROTTLE_PASS);
	assert_true(rig_info(&r, "<honest@own.test>", &info));
	/* A restart brings back no more than half a table of them, and alice,
	 * who has spent something. */
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	assert_in_range(gate_sender_count(r.gate), MAX / 2, MAX / 2 + 1);
	assert_true(rig_info(&r, "alice", &info));
	rig_restart(&r);
	assert_in_range(gate_sender_count(r.gate), MAX / 2, MAX / 2 + 1);
	assert_true(rig_info(&r, "alice", &info));
	rig_close(&r);
}

/* Reports that somebody outside makes a mail server send stop nobody. */
static void
test_null_sender(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	unsigned passed = 0;

	(void)state;
	rig_open(&r, "");
	for (unsigned i = 0; i < 250; i++) {
		char to[32];

		snprintf(to, sizeof(to), "forged%u@x", i);
		passed += send_from(&r, "", to) == THROTTLE_PASS;
	}
	assert_int_equal(passed, 100);
	assert_false(rig_is_frozen(&r, "<>"));
	assert_true(rig_info(&r, "<>", &info));
	assert_string_equal(info.policy, "null");
	assert_int_equal(info.t.queue_length, 150);
	assert_int_equal(
	    send_from(&r, "user@corp.test", "friend@x"), THROTTLE_PASS);
	assert_int_equal(rig_queue(&r, "[127.0.0.1]"), 0);
	rig_run(&r, 60000);
	assert_int_equal(rig_queue(&r, "<>"), 90);
	rig_restart(&r);
	assert_int_equal(rig_queue(&r, "<>"), 90);
	rig_close(&r);
}

/* With a login it is the login's, from elsewhere the client's. */
static void
test_null_sender_of_others(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	struct gate_facts facts = {0};
	enum throttle_verdict verdict;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"null\" { burst = 2 queue_max = 4 }");
	assert_true(ip_parse(STR("192.0.2.1"), &facts.client));
	txn = gate_begin(r.gate, &facts, r.now);
	assert_string_equal(gate_txn_source(txn), "[192.0.2.1]");
	assert_string_equal(gate_txn_policy(txn), "default");
	gate_recipient(txn, STR("a@x"), r.now, r.wall, ignore_answer, &verdict);
	gate_cancel(txn, r.now);
	txn = rig_begin(&r, "alice");
	assert_string_equal(gate_txn_source(txn), "alice");
	gate_cancel(txn, r.now);
	for (unsigned i = 0; i < 8; i++) {
		char to[32];

		snprintf(to, sizeof(to), "n%u@x", i);
		verdict = send_from(&r, "", to);
	}
	assert_int_equal(verdict, THROTTLE_REFUSE);
	assert_true(rig_info(&r, "<>", &info));
	assert_int_equal(info.t.queue_length, 4);
	rig_close(&r);
}

/* A row that was to be removed, and then somebody froze the sender. */
static void
test_freeze_after_removal(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	gate_secure(txn, r.now, r.wall, ignore_answer, &r.verdict);
	rig_pump(&r);
	gate_cancel(txn, r.now);
	assert_int_equal(gate_sender_count(r.gate), 0);
	assert_int_equal(rig_freeze(&r, "alice"), 0);
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

/* ---- what `weirctl problems` is told ---- */

struct reported {
	char options[256]; /* of refusals, with a blank after each */
};

static void
on_reported(void *arg, const struct event_item *item)
{
	struct reported *t = arg;
	size_t at = strlen(t->options);

	if (item->type == EVENT_REFUSE)
		snprintf(t->options + at, sizeof(t->options) - at, "%s ",
		    item->option != NULL ? item->option : "-");
}

static void
ask_sender(struct rig *r, const char *user)
{
	struct gate_txn *txn = rig_begin(r, user);

	rig_sender(r, txn);
	gate_cancel(txn, r->now);
}

/* What is behind each refusal, and when the sender was accepted last. */
static void
test_refusals_are_told(void **state)
{
	struct reported t = {0};
	struct event_follower f = {.on_event = on_reported, .arg = &t};
	struct gate_sender_info info;
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "interval = \"1h\" freeze_at = 3 queue_max = 3 }");
	events_follow(r.events, &f);
	rig_freeze(&r, "mallory");
	assert_true(rig_info(&r, "mallory", &info));
	assert_true(info.accepted_at == 0);
	ask_sender(&r, "mallory");
	assert_string_equal(t.options, "when_frozen ");
	/* More than the queue takes, in one message. */
	txn = rig_begin(&r, "alice");
	for (char to[] = "a@x"; to[0] <= 'e'; to[0]++)
		rig_ask(&r, txn, to);
	assert_string_equal(t.options, "when_frozen queue_max ");
	rig_sender(&r, txn); /* at DATA, for the same reason */
	gate_cancel(txn, r.now);
	assert_string_equal(t.options, "when_frozen queue_max - ");
	assert_int_equal(rig_send(&r, "alice", "a@x"), THROTTLE_PASS);
	assert_true(rig_info(&r, "alice", &info));
	assert_true(r.wall - info.accepted_at < 1000);
	assert_true(info.accepted_at <= r.wall);
	assert_int_equal(gate_sender_oldest(r.gate, "alice"), 0);
	rig_pass_time(&r, 60000);
	assert_int_equal(rig_send(&r, "alice", "b@x"), THROTTLE_HOLD);
	rig_pass_time(&r, 60000);
	assert_int_equal(rig_send(&r, "alice", "c@x"), THROTTLE_HOLD);
	assert_true(rig_info(&r, "alice", &info));
	assert_true(r.wall - info.accepted_at < 1000);
	assert_true(
	    r.wall - gate_sender_oldest(r.gate, "alice") - 60000 < 1000);
	assert_true(r.wall - gate_sender_oldest(r.gate, "alice") >= 60000);
	assert_int_equal(gate_sender_oldest(r.gate, "nobody"), 0);
	events_unfollow(&f);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_only_mail_makes_a_source),
	    cmocka_unit_test(test_senders_made_for_one_message),
	    cmocka_unit_test(test_least_at_stake_goes),
	    cmocka_unit_test(test_the_rest_share_one),
	    cmocka_unit_test(test_invented_senders),
	    cmocka_unit_test(test_null_sender),
	    cmocka_unit_test(test_null_sender_of_others),
	    cmocka_unit_test(test_freeze_after_removal),
	    cmocka_unit_test(test_refusals_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
