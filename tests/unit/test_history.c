/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The last day's mail: what is kept of it, in which bound, and what the gate
 * writes into it.
 */
#include "gate_rig.h"

#define HOUR INT64_C(3600000)

static void
add(struct history *h, int64_t at, const char *source, unsigned n)
{
	struct history_mail mail = {
	    .at = at,
	    .source = str_from(source),
	    .policy = STR("default"),
	    .user = str_from(source),
	};
	struct buf notes;
	char address[64];

	buf_init(&notes, 1u << 20);
	for (unsigned i = 0; i < n; i++) {
		snprintf(address, sizeof(address), "r%u@example.com", i);
		history_note(
		    &notes, i % 2 == 0 ? HISTORY_KNOWN : 0, str_from(address));
	}
	mail.recipients = buf_str(&notes);
	history_add(h, &mail);
	buf_clear(&notes);
}

static void
test_walk(void **state)
{
	struct history *h = history_new(1u << 20);
	struct history_mail mail;
	struct history_recipient r;
	struct history_stats stats;
	uint64_t cursor = 0;

	(void)state;
	add(h, 1000, "alice", 3);
	add(h, 2000, "bob", 0);
	add(h, 3000, "bob", 1);
	assert_true(history_next(h, &cursor, &mail));
	assert_int_equal(mail.at, 1000);
	assert_int_equal(mail.count, 3);
	assert_true(str_eq(mail.source, STR("alice")));
	assert_true(str_eq(mail.policy, STR("default")));
	assert_true(history_recipient(&mail, &r));
	assert_true(history_recipient(&mail, &r));
	assert_true(str_eq(r.address, STR("r1@example.com")));
	assert_int_equal(r.flags, 0);
	assert_true(history_recipient(&mail, &r));
	assert_int_equal(r.flags, HISTORY_KNOWN);
	assert_false(history_recipient(&mail, &r));
	assert_true(history_next(h, &cursor, &mail));
	assert_true(str_eq(mail.user, STR("bob")));
	assert_false(history_next(h, &cursor, &mail));
	/* It goes on when there is more. */
	add(h, 4000, "carol", 1);
	assert_true(history_next(h, &cursor, &mail));
	assert_true(str_eq(mail.source, STR("carol")));
	history_stats(h, 5000, &stats);
	assert_int_equal(stats.mails, 3);
	assert_int_equal(stats.since, 1000);
	assert_false(stats.was_cut);
	history_free(h);
}

static void
test_bound(void **state)
{
	struct history *h = history_new(256u << 10);
	struct history_stats stats;
	struct history_mail mail;
	uint64_t cursor = 0, n = 0;

	(void)state;
	add(h, 0, "first", 1);
	assert_true(history_next(h, &cursor, &mail));
	for (unsigned i = 0; i < 20000; i++)
		add(h, i, "alice", 2);
	history_stats(h, 20000, &stats);
	assert_true(stats.bytes <= 256u << 10);
	assert_true(stats.mails > 500);
	assert_true(stats.since > 0);
	assert_true(stats.was_cut);
	/* Where it stood is gone: it goes on with the oldest. */
	while (history_next(h, &cursor, &mail)) {
		assert_true(n > 0 || mail.at == stats.since);
		n++;
	}
	assert_int_equal(n, stats.mails);
	/* More than all, and none at all. */
	add(h, 20001, "large", 60000);
	history_set_bytes_max(h, 0);
	assert_false(history_is_kept(h));
	add(h, 20002, "alice", 1);
	cursor = 0;
	assert_false(history_next(h, &cursor, &mail));
	history_free(h);
}

static void
test_a_day(void **state)
{
	struct history *h = history_new(16u << 20);
	struct history_stats stats;

	(void)state;
	/* Chunks go whole: enough mail for some of them. */
	for (int64_t i = 0; i < 48 * 100; i++)
		add(h, i * HOUR / 100, "alice", 20);
	history_stats(h, 48 * HOUR, &stats);
	assert_true(stats.since > 23 * HOUR && stats.since <= 24 * HOUR);
	assert_false(stats.was_cut);
	history_stats(h, 90 * HOUR, &stats);
	assert_int_equal(stats.mails, 0);
	assert_int_equal(stats.since, 0);
	history_free(h);
}

/* ---- what the gate writes ---- */

#define SMALL "policy \"default\" { burst = 2 initial = 2 freeze_at = 50 }"

static void
open_with_history(struct rig *r, const char *policies)
{
	rig_open(r, policies);
	r->settings.history_bytes = 1u << 20;
	rig_reload(r, policies, false);
}

static bool
next(struct rig *r, uint64_t *cursor, char out[RIG_TEXT])
{
	struct history_mail mail;
	struct history_recipient to;
	size_t n;

	if (!history_next(gate_history(r->gate), cursor, &mail))
		return false;
	n = (size_t)snprintf(out, RIG_TEXT, "%.*s %.*s:", (int)mail.source.n,
	    mail.source.p, (int)mail.policy.n, mail.policy.p);
	while (history_recipient(&mail, &to))
		n += (size_t)snprintf(out + n, RIG_TEXT - n, " %.*s=%s%s%s%s",
		    (int)to.address.n, to.address.p,
		    to.flags & HISTORY_KNOWN ? "k" : "",
		    to.flags & HISTORY_EXEMPT ? "e" : "",
		    to.flags & HISTORY_WAITED ? "w" : "",
		    to.flags & HISTORY_PUT_OFF ? "p" : "");
	return true;
}

static void
test_what_became_of_it(void **state)
{
	struct rig r;
	struct gate_txn *txn;
	uint64_t cursor = 0;
	char got[RIG_TEXT];

	(void)state;
	open_with_history(&r, SMALL);
	txn = rig_begin(&r, "alice");
	rig_sender(&r, txn);
	rig_ask(&r, txn, "a@example.com");
	rig_ask(&r, txn, "gone@example.com");
	gate_drop_last(txn, r.now);
	rig_ask(&r, txn, "b@example.com");
	rig_ask(&r, txn, "A@example.com"); /* twice */
	rig_ask(&r, txn, "c@example.com");
	rig_commit(&r, txn);
	rig_send(&r, "alice", "a@example.com");
	/* Nothing was accepted. */
	txn = rig_begin(&r, "alice");
	rig_sender(&r, txn);
	rig_ask(&r, txn, "d@example.com");
	gate_cancel(txn, r.now);
	txn = rig_begin(&r, "alice");
	rig_sender(&r, txn);
	rig_ask(&r, txn, "d@example.com");
	gate_defer(txn, r.now, r.wall);

	assert_true(next(&r, &cursor, got));
	assert_string_equal(got,
	    "alice default: a@example.com= b@example.com= c@example.com=w");
	assert_true(next(&r, &cursor, got));
	assert_string_equal(got, "alice default: a@example.com=k");
	assert_true(next(&r, &cursor, got));
	assert_string_equal(got, "alice default: d@example.com=wp");
	assert_false(next(&r, &cursor, got));
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_walk),
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_a_day),
	    cmocka_unit_test(test_what_became_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
