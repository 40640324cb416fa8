/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the shipped defaults do over days: stranger_messages, messages to many,
 * and limits that are used up day by day.
 */
#include "gate_rig.h"

#include "gate/habit.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static enum throttle_verdict
send_nth(struct rig *r, const char *who, unsigned n)
{
	char address[32];

	snprintf(address, sizeof(address), "n%u@x", n);
	return rig_send(r, who, address);
}

/* One new person a minute, from n-th to before end, who all pass. */
static void
one_a_minute(struct rig *r, const char *who, unsigned n, unsigned end)
{
	for (; n < end; n++) {
		assert_int_equal(send_nth(r, who, n), THROTTLE_PASS);
		rig_run(r, MINUTE);
	}
}

static void
test_one_too_many_freezes(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "");
	one_a_minute(&r, "mallory", 0, 40);
	assert_false(rig_is_frozen(&r, "mallory"));
	/* To people known by now as often as one likes. */
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(send_nth(&r, "mallory", 7), THROTTLE_PASS);
	/* A crash gives nothing back. */
	rig_restart(&r);
	assert_int_equal(send_nth(&r, "mallory", 40), THROTTLE_PASS);
	assert_true(rig_is_frozen(&r, "mallory"));
	assert_string_equal(r.freeze_reason,
	    "more than 40 messages to new recipients within 1d");
	assert_int_equal(send_nth(&r, "mallory", 7), THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "mallory"));
	/* Somebody has looked. */
	assert_int_equal(rig_thaw(&r, "mallory", GATE_THAW_KEEP), 0);
	one_a_minute(&r, "mallory", 41, 81);
	assert_false(rig_is_frozen(&r, "mallory"));
	rig_close(&r);
}

/* Nor does silence: the window stays, however short idle_expiry is. */
static void
test_silence_gives_nothing_back(void **state)
{
	static const char policy[] =
	    "policy \"default\" { idle_expiry = \"1m\" interval = \"1m\" "
	    "burst = 10 initial = 10 stranger_messages = \"4/1d\" }";
	struct rig r;

	(void)state;
	rig_open(&r, policy);
	for (unsigned n = 0; n < 4; n++) {
		assert_int_equal(send_nth(&r, "mallory", n), THROTTLE_PASS);
		rig_run(&r, 2 * HOUR);
	}
	/* Nor does another's coming. */
	r.settings.senders_max = 1;
	rig_reload(&r, policy, false);
	rig_send(&r, "bob", "n@x");
	assert_int_equal(send_nth(&r, "mallory", 4), THROTTLE_PASS);
	assert_true(rig_is_frozen(&r, "mallory"));
	rig_close(&r);
	rig_open(&r, policy);
	assert_int_equal(send_nth(&r, "alice", 0), THROTTLE_PASS);
	rig_run(&r, DAY + HOUR);
	assert_int_equal(gate_sender_count(r.gate), 0);
	rig_close(&r);
}

static void
test_a_day_later_it_is_forgotten(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "");
	one_a_minute(&r, "alice", 0, 40);
	rig_run(&r, DAY + HOUR);
	one_a_minute(&r, "alice", 100, 140);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

/* Who waits, was put off, or was given up counts once at most. */
static void
test_retries_do_not_count(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 2 initial = 2 "
		     "freeze_at = 1000 stranger_messages = \"4/1d\" }");
	for (unsigned i = 0; i < 20; i++) {
		txn = rig_begin(&r, "alice");
		rig_ask(&r, txn, "a@x");
		gate_cancel(txn, r.now);
	}
	rig_send(&r, "alice", "a@x");
	rig_send(&r, "alice", "b@x");
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(rig_send(&r, "alice", "c@x"), THROTTLE_HOLD);
	for (unsigned i = 0; i < 20; i++) {
		txn = rig_begin(&r, "alice");
		assert_int_equal(rig_ask(&r, txn, "d@x"), THROTTLE_HOLD);
		gate_defer(txn, r.now, r.wall);
	}
	assert_false(rig_is_frozen(&r, "alice"));
	/* One message, however many it names. */
	txn = rig_begin(&r, "alice");
	rig_ask(&r, txn, "e@x");
	rig_ask(&r, txn, "f@x");
	rig_commit(&r, txn);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

static enum throttle_verdict
send_from_client(struct rig *r, unsigned n)
{
	struct gate_facts facts = {.sender = STR("shop@example.org")};
	enum throttle_verdict verdict;
	struct gate_txn *txn;
	char address[32];

	assert_true(ip_parse(STR("192.0.2.1"), &facts.client));
	snprintf(address, sizeof(address), "n%u@x", n);
	txn = gate_begin(r->gate, &facts, r->now);
	verdict = rig_ask(r, txn, address);
	rig_commit(r, txn);
	return verdict;
}

static void
test_a_program_waits(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { reverse_paths = free "
		     "freeze_at = 100 stranger_messages = \"3/1h\" }");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(send_from_client(&r, i), THROTTLE_PASS);
	assert_int_equal(rig_events(&r, EVENT_STRANGERS), 0);
	assert_int_equal(send_from_client(&r, 3), THROTTLE_HOLD);
	assert_non_null(
	    strstr(r.why, "3 of 3 messages to new recipients in 1h used"));
	assert_int_equal(send_from_client(&r, 4), THROTTLE_HOLD);
	assert_int_equal(send_from_client(&r, 1), THROTTLE_PASS);
	assert_false(rig_is_frozen(&r, "192.0.2.1"));
	assert_int_equal(rig_events(&r, EVENT_STRANGERS), 1);
	assert_int_equal(rig_counter(&r, COUNT_STRANGER_HOLDS), 1);
	assert_int_equal(rig_counter(&r, COUNT_SCOPE_HOLDS), 0);
	/* Nor does a restart let it go. */
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	rig_run(&r, 50 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	rig_run(&r, 15 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 2);
	rig_close(&r);
}

static void
test_observed(void **state)
{
	struct rig r;
	char detail[RIG_TEXT];

	(void)state;
	rig_open(&r, "");
	rig_reload(&r, "", true);
	for (unsigned i = 0; i < 82; i++)
		assert_int_equal(send_nth(&r, "alice", i), THROTTLE_PASS);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_last_event(&r, EVENT_OBSERVE, detail);
	assert_string_equal(detail,
	    "would freeze: more than 40 messages to new recipients within "
	    "1d");
	rig_close(&r);
}

/* ---- messages to many ---- */

static uint64_t
send_many(struct rig *r, const char *who, const char *prefix, unsigned n)
{
	struct gate_txn *txn = rig_begin(r, who);

	for (unsigned i = 0; i < n; i++) {
		char address[32];

		snprintf(address, sizeof(address), "%s%u@x", prefix, i);
		assert_int_not_equal(rig_ask(r, txn, address), THROTTLE_REFUSE);
	}
	return rig_commit(r, txn);
}

static void
test_a_blast_is_one_thing(void **state)
{
	struct rig r;
	struct spool_select select = {0};
	uint64_t id;

	(void)state;
	rig_open(&r, "");
	id = send_many(&r, "alice", "blast", 300);
	assert_int_equal(rig_queue(&r, "alice"), 290);
	/* Nor does the next message freeze her, after a restart either. */
	assert_int_equal(send_nth(&r, "alice", 0), THROTTLE_HOLD);
	rig_restart(&r);
	assert_int_equal(send_nth(&r, "alice", 1), THROTTLE_HOLD);
	assert_false(rig_is_frozen(&r, "alice"));
	assert_int_equal(rig_events(&r, EVENT_BLAST), 1);
	select.ids = &id;
	select.id_count = 1;
	assert_int_equal(rig_release(&r, &select), 0);
	assert_int_equal(r.count, 290);
	assert_int_equal(rig_queue(&r, "alice"), 2);
	rig_close(&r);
}

/* A second one counts, and so does all that is small. */
static void
test_only_the_largest_is_left_out(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "");
	send_many(&r, "mallory", "a", 60);
	send_many(&r, "mallory", "b", 90);
	assert_false(rig_is_frozen(&r, "mallory"));
	send_many(&r, "mallory", "c", 49);
	assert_false(rig_is_frozen(&r, "mallory"));
	assert_int_equal(send_nth(&r, "mallory", 0), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, "mallory"));
	rig_close(&r);
}

static void
test_growth_leaves_it_out(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { freeze_at = 0 "
		     "freeze_growth = \"20/1m\" }");
	send_many(&r, "alice", "a", 100);
	assert_false(rig_is_frozen(&r, "alice"));
	send_many(&r, "alice", "b", 19);
	assert_false(rig_is_frozen(&r, "alice"));
	assert_int_equal(send_nth(&r, "alice", 0), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

/* ---- day by day ---- */

static void
use_up(struct rig *r, unsigned day)
{
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(
		    send_nth(r, "alice", 10 * day + i), THROTTLE_PASS);
	rig_run(r, DAY);
}

static void
test_persistent(void **state)
{
	struct rig r;
	char detail[RIG_TEXT];

	(void)state;
	rig_open(&r, "policy \"default\" { limit = {\"3/1d\"} }");
	use_up(&r, 0);
	use_up(&r, 1);
	rig_run(&r, 2 * DAY);
	assert_int_equal(rig_events(&r, EVENT_PERSISTENT), 0);
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	use_up(&r, 4);
	assert_int_equal(rig_events(&r, EVENT_PERSISTENT), 1);
	rig_last_event(&r, EVENT_PERSISTENT, detail);
	assert_string_equal(detail,
	    "the limit of 3 new recipients per day was used up on 3 of 7 days");
	gate_save(r.gate, r.now, r.wall);
	rig_restart(&r);
	use_up(&r, 5);
	use_up(&r, 6);
	assert_int_equal(rig_counter(&r, COUNT_PERSISTENT), 1);
	for (unsigned day = 7; day < 12; day++)
		use_up(&r, day);
	assert_int_equal(rig_counter(&r, COUNT_PERSISTENT), 2);
	rig_close(&r);
}

static void
test_days(void **state)
{
	struct habit h = {0}, back;
	unsigned char bytes[HABIT_BYTES], *p = bytes;
	const unsigned char *in = bytes;
	int64_t start = 20000 * DAY;

	(void)state;
	assert_false(habit_note(&h, start));
	assert_false(habit_note(&h, start + HOUR)); /* the same day */
	assert_false(habit_note(&h, start + DAY));
	assert_false(habit_note(&h, start)); /* a clock set back */
	assert_true(habit_note(&h, start + 6 * DAY));
	habit_put(&p, &h);
	assert_true(habit_get(&in, start + 6 * DAY, &back));
	assert_memory_equal(&back.day, &h.day, sizeof(h.day));
	assert_int_equal(back.days, h.days);
	in = bytes;
	assert_false(habit_get(&in, start, &back)); /* of days to come */
	assert_int_equal(back.days, 0);
	h = (struct habit){0};
	habit_note(&h, start);
	habit_note(&h, start + DAY);
	assert_false(habit_note(&h, start + 7 * DAY));
}

/* ---- what is stored ---- */

/* A spool of an older version has no such row; one that somebody has touched is
 * none. */
static void
test_damaged_rows(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
	    {"H", 1},
	    {"H\2\0\0\0\0\0\0\0\0\0", 11},
	    {"H\1\377\377\377\377\0\0\0\0\177", 11},
	    {"H\1\0\0\0\0\0\0\0\0\0xyz", 14},
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig_open(&r, "");
		rig_send(&r, "alice", "known@x");
		gate_save(r.gate, r.now, r.wall);
		spool_save_state(
		    r.spool, "[habit] alice", bad[i].bytes, bad[i].n, r.wall);
		rig_restart(&r);
		rig_send(&r, "alice", "known@x");
		assert_string_equal(r.why, "known recipient");
		one_a_minute(&r, "alice", 0, 40);
		assert_int_equal(send_nth(&r, "alice", 40), THROTTLE_PASS);
		assert_true(rig_is_frozen(&r, "alice"));
		rig_close(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_too_many_freezes),
	    cmocka_unit_test(test_silence_gives_nothing_back),
	    cmocka_unit_test(test_a_day_later_it_is_forgotten),
	    cmocka_unit_test(test_retries_do_not_count),
	    cmocka_unit_test(test_a_program_waits),
	    cmocka_unit_test(test_observed),
	    cmocka_unit_test(test_a_blast_is_one_thing),
	    cmocka_unit_test(test_only_the_largest_is_left_out),
	    cmocka_unit_test(test_growth_leaves_it_out),
	    cmocka_unit_test(test_persistent),
	    cmocka_unit_test(test_days),
	    cmocka_unit_test(test_damaged_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
