/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transactions and verdicts, the outbreak, bounds and the schedule.
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

/* The first ten new recipients pass, the others wait, and each interval lets
 * one go. */
static void
test_allowance(void **state)
{
	struct rig r;
	struct rig_counts c;
	char why[RIG_TEXT];

	(void)state;
	rig_open(&r, "");
	c = rig_send_many(&r, "alice", "a", 12);
	assert_int_equal(c.passed, 10);
	assert_int_equal(c.held, 2);
	snprintf(why, sizeof(why), "%s", r.why);
	assert_true(has(why, "0 of 10 left; 1 ahead of it; goes in 2m"));
	assert_int_equal(rig_queue(&r, "alice"), 2);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 2);
	/* A known one passes at once while new ones wait. */
	assert_int_equal(
	    rig_send(&r, "alice", "A3@Example.COM"), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	rig_run(&r, MINUTE);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(r.released, 1);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	rig_run(&r, MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	/* What was let go is known. */
	assert_int_equal(
	    rig_send(&r, "alice", "a11@example.com"), THROTTLE_PASS);
	assert_int_equal(rig_counter(&r, COUNT_PASSED_RECIPIENTS), 12);
	assert_int_equal(rig_counter(&r, COUNT_PASSED_KNOWN), 2);
	assert_int_equal(rig_counter(&r, COUNT_DELAYED_RECIPIENTS), 2);
	assert_int_equal(rig_counter(&r, COUNT_RELEASED_RECIPIENTS), 2);
	assert_int_equal(rig_counter(&r, COUNT_SENDERS), 1);
	assert_int_equal(rig_events(&r, EVENT_HOLD), 2);
	assert_int_equal(rig_events(&r, EVENT_RELEASE), 2);
	rig_close(&r);
}

/* The outbreak: a sender mails 1000 new recipients as fast as it can, one
 * message each, and only the length of its queue counts. */
static void
test_outbreak(void **state)
{
	struct rig r;
	struct rig_counts c;
	unsigned before;

	(void)state;
	rig_open(&r, "policy \"default\" { freeze_at = 100 }");
	rig_send_many(&r, "bob", "friend", 3);
	c = rig_send_many(&r, "mallory", "victim", 1000);
	assert_int_equal(c.passed, 10);
	assert_int_equal(c.held, 100);
	assert_int_equal(c.refused, 890);
	assert_true(rig_is_frozen(&r, "mallory"));
	assert_int_equal(gate_frozen_count(r.gate), 1);
	assert_int_equal(r.freezes, 1);
	assert_string_equal(r.freeze_sender, "mallory");
	assert_string_equal(r.freeze_policy, "default");
	assert_string_equal(r.freeze_reason, "100 of 100 recipients waiting");
	assert_int_equal(r.freeze_length, 100);
	assert_int_equal(r.freeze_at, 100);
	assert_int_equal(rig_events(&r, EVENT_FREEZE), 1);
	assert_int_equal(rig_counter(&r, COUNT_FREEZES), 1);
	assert_int_equal(rig_counter(&r, COUNT_FROZEN_SENDERS), 1);
	assert_int_equal(rig_counter(&r, COUNT_REFUSED_RECIPIENTS), 890);
	assert_int_equal(r.code, 451);
	assert_string_equal(r.enhanced, "4.7.1");
	assert_string_equal(r.text,
	    "mallory has been frozen since 2026-01-01T10:00:00Z: 100 "
	    "of 100 recipients waiting; write to "
	    "postmaster@example.org to have it released");
	/* Nothing moves while it is frozen. */
	before = r.released;
	rig_run(&r, 24 * HOUR);
	assert_int_equal(r.released, before);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 100);
	assert_int_equal(
	    rig_send(&r, "mallory", "victim0@example.com"), THROTTLE_REFUSE);
	/* Others notice nothing. */
	assert_int_equal(
	    rig_send(&r, "bob", "friend1@example.com"), THROTTLE_PASS);
	c = rig_send_many(&r, "bob", "new", 7);
	assert_int_equal(c.passed, 7);
	rig_close(&r);
}

/* While it comes in slowly, at most burst and one per interval get out. */
static void
test_outbreak_rate(void **state)
{
	struct rig r;
	unsigned passed = 0, n = 0, left = 0;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 3 initial = 3 "
		     "interval = \"10s\" freeze_at = 20 }");
	while (!rig_is_frozen(&r, "mallory") && n < 1000) {
		char address[64];

		snprintf(address, sizeof(address), "v%u@x.example", n++);
		passed += rig_send(&r, "mallory", address) == THROTTLE_PASS;
		rig_run(&r, 1000);
		left += rig_deliver(&r, NULL);
	}
	/* One a second comes, one in ten seconds leaves. */
	assert_int_equal(passed, 3);
	assert_in_range(n, 23, 27);
	assert_in_range(left, (n - 3) / 10 - 1, (n - 3) / 10 + 1);
	rig_close(&r);
}

/* ---- transactions ---- */

static void
test_cancel_gives_back(void **state)
{
	struct rig r;
	struct gate_txn *txn;
	struct gate_sender_info info;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 2 initial = 2 }");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "c@x"), THROTTLE_HOLD);
	gate_cancel(txn, r.now);
	assert_false(rig_info(&r, "alice", &info));
	/* Nothing was counted but by name. */
	assert_int_equal(rig_counter(&r, COUNT_PASSED_RECIPIENTS), 0);
	assert_int_equal(rig_events(&r, EVENT_HOLD), 0);
	rig_close(&r);
}

/* MAIL alone costs nothing. */
static void
test_no_source_without_recipient(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "");
	txn = rig_begin(&r, "alice");
	rig_sender(&r, txn);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	gate_cancel(txn, r.now);
	assert_int_equal(gate_sender_count(r.gate), 0);
	rig_close(&r);
}

static void
test_same_recipient_twice(void **state)
{
	struct rig r;
	struct gate_txn *txn;
	struct gate_sender_info info;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 }");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "A@X"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_HOLD);
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_HOLD);
	assert_int_equal(gate_txn_count(txn), 4);
	assert_int_equal(
	    gate_txn_destination(txn, 0), gate_txn_destination(txn, 1));
	assert_int_not_equal(
	    gate_txn_destination(txn, 0), gate_txn_destination(txn, 2));
	rig_commit(&r, txn);
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(info.t.working_set, 1);
	/* Both places in the spool go together. */
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 2);
	rig_run(&r, MINUTE);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_deliver(&r, NULL), 2);
	rig_close(&r);
}

/* Naming one held recipient over and over does not grow anything. */
static void
test_twins_are_bounded(void **state)
{
	struct rig r;
	struct gate_txn *txn;
	unsigned held = 0;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 0 }");
	txn = rig_begin(&r, "alice");
	for (int i = 0; i < 1000; i++)
		held += rig_ask(&r, txn, "b@x") == THROTTLE_HOLD;
	assert_int_equal(held, 33);
	assert_int_equal(r.code, 452);
	gate_cancel(txn, r.now);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	rig_close(&r);
}

/* Whoever names recipients twice does not get past freeze_at by it. */
static void
test_twins_freeze(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 3 initial = 3 "
		     "freeze_at = 10 }");
	assert_int_equal(rig_send_many(&r, "mallory", "v", 11).held, 8);
	txn = rig_begin(&r, "mallory");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_HOLD);
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_HOLD);
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_HOLD);
	rig_commit(&r, txn);
	assert_int_equal(rig_queue(&r, "mallory"), 11);
	assert_true(rig_is_frozen(&r, "mallory"));
	assert_int_equal(r.freezes, 1);
	assert_string_equal(r.freeze_reason, "10 of 10 recipients waiting");
	rig_close(&r);
}

/* It would be one destination for all that are no addresses. */
static void
test_no_key_no_question(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { exempt = yes }");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, ""), THROTTLE_REFUSE);
	assert_int_equal(r.code, 553);
	assert_string_equal(r.enhanced, "5.1.3");
	gate_drop_last(txn, r.now);
	assert_int_equal(gate_txn_count(txn), 0);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

static void
test_exempt_domain_is_its_own(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r,
	    "policy \"default\" { burst = 1 initial = 0 "
	    "exempt_recipients = {\"@example.org\", \"b%c@example.org\"} }");
	assert_int_equal(rig_send(&r, "alice", "b@Example.org"), THROTTLE_PASS);
	assert_int_equal(
	    rig_send(&r, "alice", "b%c@example.org"), THROTTLE_PASS);
	assert_int_equal(
	    rig_send(&r, "alice", "b%d@example.org"), THROTTLE_HOLD);
	assert_int_equal(
	    rig_send(&r, "alice", "d!b@example.org"), THROTTLE_HOLD);
	assert_int_equal(
	    rig_send(&r, "alice", "\"b@d\"@example.org"), THROTTLE_HOLD);
	rig_close(&r);
}

static void
test_drop_last(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 }");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_PASS);
	gate_drop_last(txn, r.now);
	assert_int_equal(gate_txn_count(txn), 0);
	/* Once alone. */
	gate_drop_last(txn, r.now);
	/* The allowance is there again. */
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "c@x"), THROTTLE_HOLD);
	gate_drop_last(txn, r.now);
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_PASS);
	gate_drop_last(txn, r.now);
	assert_int_equal(gate_txn_count(txn), 1);
	/* The first of a pair of the same name stays. */
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_PASS);
	assert_int_equal(rig_commit(&r, txn), 0);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_send(&r, "alice", "b@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", "c@x"), THROTTLE_HOLD);
	rig_close(&r);
}

/* After a refusal there is nothing to drop. */
static void
test_drop_after_refusal(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "freeze_at = 1 queue_max = 1 }");
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "a@x");
	rig_ask(&r, txn, "b@x");
	assert_int_equal(rig_ask(&r, txn, "c@x"), THROTTLE_REFUSE);
	gate_drop_last(txn, r.now);
	assert_int_equal(gate_txn_count(txn), 2);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

/* Reservations of several transactions count together. */
static void
test_parallel_transactions(void **state)
{
	struct rig r;
	struct gate_txn *one, *two;
	unsigned passed = 0, held = 0, refused = 0;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 8 initial = 4 "
		     "freeze_at = 10 queue_max = 10 }");
	one = rig_begin(&r, "alice");
	two = rig_begin(&r, "alice");
	for (unsigned i = 0; i < 20; i++) {
		char address[32];

		snprintf(address, sizeof(address), "r%u@x", i);
		switch (rig_ask(&r, i % 2 != 0 ? one : two, address)) {
		case THROTTLE_PASS:
			passed++;
			break;
		case THROTTLE_HOLD:
			held++;
			break;
		case THROTTLE_REFUSE:
			refused++;
			assert_int_equal(r.code, 452);
			assert_string_equal(r.enhanced, "4.5.3");
			assert_true(has(r.text, "10 of 10 places used"));
			break;
		}
	}
	assert_int_equal(passed, 4);
	assert_int_equal(held, 10);
	assert_int_equal(refused, 6);
	rig_commit(&r, one);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_commit(&r, two);
	assert_true(rig_is_frozen(&r, "alice"));
	assert_int_equal(r.freezes, 1);
	assert_int_equal(rig_queue(&r, "alice"), 10);
	rig_close(&r);
}

/* What one message to many brings, with the first of them. */
static struct rig_counts
ask_many(struct rig *r, struct gate_txn *txn, const char *prefix, unsigned n)
{
	struct rig_counts got = {0};

	for (unsigned i = 0; i < n; i++) {
		char address[32];

		snprintf(address, sizeof(address), "%s%u@x", prefix, i);
		switch (rig_ask(r, txn, address)) {
		case THROTTLE_PASS:
			got.passed++;
			break;
		case THROTTLE_HOLD:
			got.held++;
			break;
		case THROTTLE_REFUSE:
			got.refused++;
			break;
		}
	}
	return got;
}

/* A message to many is taken whole, and freezes nobody. With the next one the
 * other is still waiting: that freezes its sender, and is taken whole all the
 * same; another that was open at the time is put off, whole. */
static void
test_many_recipients_are_one_message(void **state)
{
	struct rig r;
	struct gate_txn *many, *other;
	struct rig_counts got;
	char detail[RIG_TEXT];

	(void)state;
	rig_open(&r, "");
	many = rig_begin(&r, "list");
	got = ask_many(&r, many, "m", 250);
	assert_int_equal(got.passed, 10);
	assert_int_equal(got.held, 240);
	rig_sender(&r, many);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	rig_commit(&r, many);
	assert_false(rig_is_frozen(&r, "list"));
	assert_int_equal(rig_queue(&r, "list"), 240);
	assert_int_equal(rig_counter(&r, COUNT_BLASTS), 1);
	rig_last_event(&r, EVENT_BLAST, detail);
	assert_string_equal(
	    detail, "one message to 250 new recipients, 240 of them wait");

	other = rig_begin(&r, "list");
	assert_int_equal(rig_ask(&r, other, "n@x"), THROTTLE_HOLD);
	many = rig_begin(&r, "list");
	got = ask_many(&r, many, "s", 150);
	assert_int_equal(got.held, 150);
	rig_commit(&r, many);
	assert_true(rig_is_frozen(&r, "list"));
	assert_int_equal(r.freezes, 1);
	assert_string_equal(r.freeze_reason,
	    "100 of 100 recipients waiting, and 240 of one message");
	assert_int_equal(rig_queue(&r, "list"), 390);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 390);
	rig_sender(&r, other);
	assert_int_equal(r.verdict, THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	gate_cancel(other, r.now);
	rig_close(&r);
}

/* Past queue_max: refused whole, the recipients that had room as well. */
static void
test_no_room_for_a_part(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "freeze_at = 3 queue_max = 5 }");
	assert_int_equal(rig_send(&r, "alice", "friend@x"), THROTTLE_PASS);
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "friend@x"), THROTTLE_PASS);
	assert_true(gate_txn_is_known(txn));
	for (unsigned i = 0; i < 5; i++) {
		char address[32];

		snprintf(address, sizeof(address), "m%u@x", i);
		assert_int_equal(rig_ask(&r, txn, address), THROTTLE_HOLD);
	}
	assert_int_equal(rig_ask(&r, txn, "last@x"), THROTTLE_REFUSE);
	assert_int_equal(r.code, 452);
	rig_sender(&r, txn);
	assert_int_equal(r.verdict, THROTTLE_REFUSE);
	assert_int_equal(r.code, 452);
	assert_true(has(r.text, "refused for all of them"));
	gate_cancel(txn, r.now);
	/* The same where the front finds no room (held_max). */
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "friend@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "new@x"), THROTTLE_HOLD);
	gate_drop_for_room(txn, r.now);
	assert_int_equal(gate_txn_count(txn), 1);
	assert_false(gate_txn_is_known(txn));
	rig_sender(&r, txn);
	assert_int_equal(r.code, 452);
	gate_cancel(txn, r.now);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	rig_close(&r);
}

static void
test_too_many_recipients(void **state)
{
	struct rig r;
	struct gate_txn *txn;
	char address[32];

	(void)state;
	rig_open(&r, "policy \"default\" { exempt = true }");
	txn = rig_begin(&r, "alice");
	for (unsigned i = 0; i < SPOOL_RCPT_MAX; i++) {
		snprintf(address, sizeof(address), "r%u@x", i);
		assert_int_equal(rig_ask(&r, txn, address), THROTTLE_PASS);
	}
	assert_int_equal(rig_ask(&r, txn, "more@x"), THROTTLE_REFUSE);
	assert_int_equal(r.code, 452);
	assert_int_equal(gate_txn_count(txn), SPOOL_RCPT_MAX);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

struct ending {
	struct rig *r;
	struct gate_txn *txn;
	bool drop; /* else cancel */
};

static void
on_answer_end(void *arg, const struct gate_answer *answer)
{
	struct ending *e = arg;

	assert_non_null(answer->why);
	if (e->drop)
		gate_drop_last(e->txn, e->r->now);
	else
		gate_cancel(e->txn, e->r->now);
}

/* The front ends a transaction, or drops a recipient, from within the answer.
 */
static void
test_end_in_answer(void **state)
{
	static const char *const addresses[] = {"a@x", "b@x", "c@x"};
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 "
		     "freeze_at = 1 }");
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct ending e = {&r, rig_begin(&r, "alice"), false};

		for (size_t k = 0; k < i; k++)
			rig_ask(&r, e.txn, addresses[k]);
		gate_recipient(e.txn, str_from(addresses[i]), r.now, r.wall,
		    on_answer_end, &e);
	}
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct ending e = {&r, rig_begin(&r, "alice"), true};

		for (size_t k = 0; k < i; k++)
			rig_ask(&r, e.txn, addresses[k]);
		gate_recipient(e.txn, str_from(addresses[i]), r.now, r.wall,
		    on_answer_end, &e);
		assert_int_equal(gate_txn_count(e.txn), i);
		gate_cancel(e.txn, r.now);
	}
	assert_false(rig_info(&r, "alice", &info));
	rig_freeze(&r, "alice");
	for (int i = 0; i < 2; i++) {
		struct ending e = {&r, rig_begin(&r, "alice"), false};

		if (i == 0)
			gate_sender(e.txn, r.now, r.wall, on_answer_end, &e);
		else
			gate_recipient(e.txn, STR("a@x"), r.now, r.wall,
			    on_answer_end, &e);
	}
	rig_close(&r);
}

/* ---- bounds and the schedule ---- */

static void
test_schedule(void **state)
{
	struct rig r;
	unsigned before;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 }");
	assert_int_equal(gate_next_due(r.gate), INT64_MAX);
	before = r.schedules;
	rig_send(&r, "alice", "a@x");
	assert_true(r.schedules > before);
	rig_run(&r, 20000);
	before = r.schedules;
	/* Idle sources ask for nothing but the sweep. */
	assert_true(gate_next_due(r.gate) >= r.now);
	rig_send(&r, "alice", "b@x");
	assert_int_equal(r.released, 0);
	gate_run(r.gate, r.now, r.wall);
	rig_pump(&r);
	assert_int_equal(r.released, 0);
	rig_run(&r, MINUTE);
	assert_int_equal(r.released, 1);
	rig_close(&r);
}

static void
test_sender_info(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	size_t pos = 0;
	unsigned n = 0;

	(void)state;
	rig_open(&r, "");
	rig_send_many(&r, "alice@example.org", "a", 13);
	rig_send(&r, "bob", "x@x");
	assert_false(rig_info(&r, "nobody", &info));
	assert_true(rig_info(&r, "Alice@Example.ORG", &info));
	assert_string_equal(info.sender, "alice@example.org");
	assert_string_equal(info.policy, "default");
	assert_int_equal(info.t.queue_length, 3);
	assert_int_equal(info.t.working_set, 10);
	assert_int_equal(info.working_set_max, 64);
	assert_int_equal(info.burst, 10);
	assert_int_equal(info.freeze_at, 100);
	assert_int_equal(info.last_seen, r.wall);
	assert_int_equal(info.next_release, r.wall + MINUTE);
	assert_int_equal(info.frozen_at, 0);
	assert_true(rig_info(&r, "bob", &info));
	assert_int_equal(info.next_release, INT64_MAX);
	while (gate_sender_each(r.gate, &pos, r.now, r.wall, &info))
		n++;
	assert_int_equal(n, 2);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_allowance),
	    cmocka_unit_test(test_outbreak),
	    cmocka_unit_test(test_outbreak_rate),
	    cmocka_unit_test(test_cancel_gives_back),
	    cmocka_unit_test(test_no_source_without_recipient),
	    cmocka_unit_test(test_same_recipient_twice),
	    cmocka_unit_test(test_twins_are_bounded),
	    cmocka_unit_test(test_twins_freeze),
	    cmocka_unit_test(test_no_key_no_question),
	    cmocka_unit_test(test_exempt_domain_is_its_own),
	    cmocka_unit_test(test_drop_last),
	    cmocka_unit_test(test_drop_after_refusal),
	    cmocka_unit_test(test_parallel_transactions),
	    cmocka_unit_test(test_many_recipients_are_one_message),
	    cmocka_unit_test(test_no_room_for_a_part),
	    cmocka_unit_test(test_too_many_recipients),
	    cmocka_unit_test(test_end_in_answer),
	    cmocka_unit_test(test_schedule),
	    cmocka_unit_test(test_sender_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
