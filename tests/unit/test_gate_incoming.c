/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which mail comes in: by client, login and recipient; what the mail server
 * says where no domain is named; and that it is neither counted nor stopped.
 */
#include "inbound_rig.h"

#define NONE "policy \"default\" { burst = 1 initial = 0 interval = \"1d\" }"
#define OUT "192.0.2.1"

struct mail {
	const char *user, *client;
	bool local, stays;
	const char *to;
};

static struct gate_txn *
begin(struct rig *r, const struct mail *m)
{
	struct gate_facts facts = {
	    .user = str_from(m->user),
	    .sender = STR("somebody@provider.test"),
	    .local = m->local,
	    .has_routes = true,
	};

	if (m->client != NULL)
		assert_true(ip_parse(str_from(m->client), &facts.client));
	return gate_begin(r->gate, &facts, r->now);
}

static enum throttle_verdict
send_mail(struct rig *r, const struct mail *m)
{
	struct gate_txn *txn = begin(r, m);
	enum throttle_verdict verdict;

	gate_next_stays(txn, m->stays);
	verdict = rig_ask(r, txn, m->to);
	gate_cancel(txn, r->now);
	return verdict;
}

struct row {
	struct mail mail;
	bool incoming;
};

static void
check_rows(struct rig *r, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool passes = send_mail(r, &rows[i].mail) == THROTTLE_PASS;

		if (passes != rows[i].incoming)
			fail_msg("row %zu to %s: %d", i, rows[i].mail.to,
			    (int)passes);
	}
}

static void
test_domains_decide(void **state)
{
	static const struct row rows[] = {
	    {{"", OUT, false, false, "bob@example.org"}, true},
	    {{"", "2001:db8::1", false, false, "bob@EXAMPLE.org"}, true},
	    {{"", OUT, false, false, "sales@alias.test"}, true},
	    /* whatever the mail server says */
	    {{"", OUT, false, true, "bob@elsewhere.test"}, false},
	    {{"", OUT, false, false, "bob%x.test@example.org"}, false},
	    {{"", OUT, false, false, "bob@sub.example.org"}, false},
	    {{"alice", OUT, false, false, "bob@example.org"}, false},
	    {{"", OUT, true, false, "bob@example.org"}, false},
	    {{"", NULL, false, false, "bob@example.org"}, false},
	    {{"", "127.0.0.1", false, false, "bob@example.org"}, false},
	    {{"", "::1", false, false, "bob@example.org"}, false},
	    {{"", "198.51.100.7", false, false, "bob@example.org"}, false},
	};
	struct ip_net net;
	struct rig r;

	(void)state;
	open_as(&r, NONE, LOCALS_ADDRESS);
	add(&r, NULL, "sales@alias.test=alice");
	assert_true(ip_net_parse(STR("198.51.100.0/24"), &net));
	locals_add_network(r.settings.locals, &net);
	check_rows(&r, rows, ARRAY_LEN(rows));
	close_rig(&r);
}

static void
test_mail_server_decides(void **state)
{
	static const struct row rows[] = {
	    {{"", OUT, false, true, "bob@example.org"}, true},
	    {{"", OUT, false, false, "bob@example.org"}, false},
	    {{"alice", OUT, false, true, "bob@example.org"}, false},
	    {{"", OUT, true, true, "bob@example.org"}, false},
	    {{"", "127.0.0.1", false, true, "bob@example.org"}, false},
	};
	struct rig r;

	(void)state;
	rig_open(&r, NONE); /* no locals at all */
	check_rows(&r, rows, ARRAY_LEN(rows));
	r.settings.locals =
	    locals_new(LOCALS_ADDRESS, r.settings.recipient_key);
	gate_reload(r.gate, &r.settings, r.now); /* empty ones */
	check_rows(&r, rows, ARRAY_LEN(rows));
	close_rig(&r);
}

/* What the mail server said about one recipient is not said about the next. */
static void
test_word_is_for_one(void **state)
{
	struct mail m = {"", OUT, false, false, NULL};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	rig_open(&r, NONE);
	txn = begin(&r, &m);
	gate_next_stays(txn, true);
	assert_int_equal(rig_ask(&r, txn, "in@a.test"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "out@b.test"), THROTTLE_HOLD);
	gate_drop_last(txn, r.now);
	assert_true(gate_txn_is_known(txn));
	assert_int_equal(rig_ask(&r, txn, "in@a.test"), THROTTLE_PASS);
	assert_true(gate_txn_is_known(txn));
	gate_commit(txn, NULL, r.now, r.wall);
	rig_close(&r);
}

/* No source, no allowance, no reverse path: 130 mails of one provider. */
static void
test_leaves_no_trace(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, NONE, LOCALS_ADDRESS);
	for (unsigned i = 0; i < 130; i++) {
		char from[64], to[64];
		struct gate_facts facts = {.sender = {.p = from}};
		struct gate_txn *txn;

		facts.sender.n = (size_t)snprintf(
		    from, sizeof(from), "s%u@provider.test", i);
		snprintf(to, sizeof(to), "employee%u@example.org", i);
		assert_true(ip_parse(STR(OUT), &facts.client));
		txn = gate_begin(r.gate, &facts, r.now);
		assert_int_equal(rig_ask(&r, txn, to), THROTTLE_PASS);
		assert_int_equal(rig_ask(&r, txn, to), THROTTLE_PASS);
		gate_commit(txn, NULL, r.now, r.wall);
	}
	assert_int_equal(gate_sender_count(r.gate), 0);
	assert_int_equal(rig_counter(&r, COUNT_PASSED_INCOMING), 260);
	assert_int_equal(rig_counter(&r, COUNT_NEW_REVERSE_PATHS), 0);
	close_rig(&r);
}

/* A freeze is about what leaves: from outside mail to the site goes on. */
static void
test_frozen_client_still_writes_in(void **state)
{
	struct mail m = {"", OUT, false, false, NULL};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, NONE, LOCALS_ADDRESS);
	assert_int_equal(rig_freeze(&r, OUT), 0);
	txn = begin(&r, &m);
	rig_sender(&r, txn);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "bob@example.org"), THROTTLE_PASS);
	rig_sender(&r, txn);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "out@b.test"), THROTTLE_REFUSE);
	gate_cancel(txn, r.now);
	m.client = "127.0.0.1";
	assert_int_equal(rig_freeze(&r, "127.0.0.1"), 0);
	txn = begin(&r, &m);
	rig_sender(&r, txn);
	assert_int_equal(r.verdict, THROTTLE_REFUSE);
	gate_cancel(txn, r.now);
	close_rig(&r);
}

/* ---- reload ---- */

/* An idle sender has what the new file says: when it is looked at, when mail
 * comes in for it, and after some runs by itself. */
static void
test_reload_reaches_idle_sources(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	open_as(&r, "policy \"default\" { burst = 5 initial = 5 }",
	    LOCALS_LOCALPART);
	rig_send(&r, "seen", "a@x.test");
	rig_reload(&r,
	    "policy \"default\" { burst = 7 initial = 5 learn_inbound = yes }",
	    false);
	mail_in(&r, BOB, "seen@example.org");
	assert_int_equal(learnt(&r, "seen"), 1);
	assert_true(rig_info(&r, "seen", &info));
	assert_int_equal(info.burst, 7);
	assert_int_equal(info.met_max, 256);
	close_rig(&r);
}

static void
test_reload_reaches_idle_expiry(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { limit = {} idle_expiry = \"30d\" }");
	rig_send(&r, "quiet", "a@x.test");
	rig_reload(&r, "policy \"default\" { limit = {} idle_expiry = \"1h\" }",
	    false);
	rig_run(&r, 2 * HOUR);
	assert_int_equal(gate_sender_count(r.gate), 0);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_domains_decide),
	    cmocka_unit_test(test_mail_server_decides),
	    cmocka_unit_test(test_word_is_for_one),
	    cmocka_unit_test(test_leaves_no_trace),
	    cmocka_unit_test(test_frozen_client_still_writes_in),
	    cmocka_unit_test(test_reload_reaches_idle_sources),
	    cmocka_unit_test(test_reload_reaches_idle_expiry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
