/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_networks in the gate: who waits, who is frozen, and what is said.
 */
#include "gate_rig.h"
#include "policy_rig.h"

#define HOUR (INT64_C(3600) * 1000)
#define EVE "eve@example.org"
#define POLICY(action)                                                    \
	"policy \"default\" { burst = 50 initial = 50 interval = \"1m\" " \
	"idle_expiry = \"1h\" client_networks = \"2/1h\" "                \
	"client_networks_action = " action " }"

static struct gate_txn *
begin_from(struct rig *r, const char *user, const char *client)
{
	struct gate_facts facts = facts_of(user, EVE, client);

	return gate_begin(r->gate, &facts, r->now);
}

static enum throttle_verdict
send_from(struct rig *r, const char *user, const char *client, const char *to)
{
	struct gate_txn *txn = begin_from(r, user, client);
	enum throttle_verdict verdict = THROTTLE_REFUSE;

	rig_sender(r, txn);
	if (r->verdict != THROTTLE_REFUSE)
		verdict = rig_ask(r, txn, to);
	if (verdict == THROTTLE_REFUSE)
		gate_cancel(txn, r->now);
	else
		rig_commit(r, txn);
	return verdict;
}

static void
test_waits(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	char detail[RIG_TEXT];

	(void)state;
	rig_open(&r, POLICY("hold"));
	/* A login at home, long ago. */
	assert_int_equal(
	    send_from(&r, EVE, "198.51.100.7", "old@x.test"), THROTTLE_PASS);
	rig_run(&r, 25 * HOUR);
	assert_int_equal(
	    send_from(&r, EVE, "198.51.100.9", "old@x.test"), THROTTLE_PASS);
	assert_true(rig_info(&r, EVE, &info));
	assert_int_equal(info.networks.learnt, 1);
	assert_int_equal(info.networks.max, 2);

	assert_int_equal(
	    send_from(&r, EVE, "192.0.2.1", "a@x.test"), THROTTLE_PASS);
	assert_int_equal(
	    send_from(&r, EVE, "2001:db8:1::1", "b@x.test"), THROTTLE_PASS);
	assert_int_equal(rig_events(&r, EVENT_NETWORKS), 0);
	assert_int_equal(
	    send_from(&r, EVE, "203.0.113.1", "c@x.test"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "used from too many networks, 3 of 2"));
	rig_last_event(&r, EVENT_NETWORKS, detail);
	assert_non_null(strstr(detail, "the last is 203.0.113.0/24"));
	/* Known ones do not wait. */
	assert_int_equal(
	    send_from(&r, EVE, "203.0.113.1", "a@x.test"), THROTTLE_PASS);
	assert_int_equal(
	    send_from(&r, EVE, "192.0.2.1", "d@x.test"), THROTTLE_HOLD);
	assert_int_equal(rig_events(&r, EVENT_NETWORKS), 1);
	assert_int_equal(rig_counter(&r, COUNT_NETWORK_HOLDS), 2);
	/* Nor do others, nor a client without a login or of this machine. */
	assert_int_equal(
	    send_from(&r, "bob", "203.0.113.1", "c@x.test"), THROTTLE_PASS);
	assert_int_equal(
	    send_from(&r, "", "203.0.113.1", "c@x.test"), THROTTLE_PASS);

	/* It is there after a restart, the learnt one too. */
	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	rig_restart(&r);
	assert_true(rig_info(&r, EVE, &info));
	assert_int_equal(info.networks.fresh, 3);
	assert_int_equal(info.networks.learnt, 1);
	assert_int_equal(
	    send_from(&r, EVE, "203.0.113.1", "e@x.test"), THROTTLE_HOLD);
	/* At home the login has what the schedule gives it. */
	rig_run(&r, 20 * 60000);
	assert_int_equal(
	    send_from(&r, EVE, "198.51.100.9", "f@x.test"), THROTTLE_PASS);
	/* And elsewhere too when the hour is over. */
	rig_run(&r, HOUR);
	assert_int_equal(
	    send_from(&r, EVE, "203.0.113.1", "g@x.test"), THROTTLE_PASS);
	rig_close(&r);
}

static void
test_freezes(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, POLICY("freeze"));
	assert_int_equal(
	    send_from(&r, EVE, "192.0.2.1", "a@x.test"), THROTTLE_PASS);
	assert_int_equal(
	    send_from(&r, EVE, "192.0.3.1", "a@x.test"), THROTTLE_PASS);
	assert_int_equal(
	    send_from(&r, EVE, "192.0.4.1", "a@x.test"), THROTTLE_REFUSE);
	assert_non_null(strstr(r.text, "used from too many networks"));
	assert_true(rig_is_frozen(&r, EVE));
	rig_pump(&r);
	assert_string_equal(r.freeze_reason, "used from too many networks");
	rig_close(&r);
}

static void
test_observe(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, POLICY("freeze"));
	rig_reload(&r, POLICY("freeze"), true);
	assert_int_equal(
	    send_from(&r, EVE, "192.0.2.1", "a@x.test"), THROTTLE_PASS);
	assert_int_equal(
	    send_from(&r, EVE, "192.0.3.1", "a@x.test"), THROTTLE_PASS);
	assert_int_equal(
	    send_from(&r, EVE, "192.0.4.1", "a@x.test"), THROTTLE_PASS);
	assert_false(rig_is_frozen(&r, EVE));
	assert_int_equal(rig_events(&r, EVENT_NETWORKS), 1);
	assert_true(rig_events(&r, EVENT_OBSERVE) > 0);
	rig_close(&r);
}

static void
on_explained(void *arg, const struct gate_explanation *x)
{
	struct rig *r = arg;

	r->verdict = x->answer.verdict;
	str_copy(str_from(x->answer.why), r->why, sizeof(r->why));
	str_copy(str_from(x->change), r->text, sizeof(r->text));
}

static void
test_explain(void **state)
{
	struct rig r;
	struct gate_sender_info info;
	struct gate_question q = {
	    .sender = STR(EVE), .recipient = STR("new@x.test")};

	(void)state;
	rig_open(&r, POLICY("hold"));
	assert_int_equal(
	    send_from(&r, EVE, "192.0.2.1", "a@x.test"), THROTTLE_PASS);
	assert_int_equal(
	    send_from(&r, EVE, "192.0.3.1", "a@x.test"), THROTTLE_PASS);
	q.now = r.now;
	q.wall = r.wall;
	assert_true(ip_parse(STR("192.0.3.9"), &q.client));
	gate_explain(r.gate, &q, on_explained, &r);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_true(ip_parse(STR("192.0.4.9"), &q.client));
	gate_explain(r.gate, &q, on_explained, &r);
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "too many networks"));
	assert_non_null(strstr(r.text, "client_networks"));
	assert_true(rig_info(&r, EVE, &info));
	assert_int_equal(info.networks.fresh, 2);
	rig_close(&r);
}

static void
test_bounds(void **state)
{
	(void)state;
	assert_null(read_policies(
	    "policy \"default\" { client_networks = \"33/1h\" }"));
	assert_non_null(strstr(err, "client_networks"));
	assert_null(
	    read_policies("policy \"default\" { client_networks = \"3/2d\" }"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_waits),
	    cmocka_unit_test(test_freezes),
	    cmocka_unit_test(test_observe),
	    cmocka_unit_test(test_explain),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
