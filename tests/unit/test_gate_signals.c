/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * never_freeze: who may not be frozen by a rule waits instead, and it is said.
 * explain: what would be said, without a trace.
 * warn_at: who comes near a limit is told of once, and again after it was far.
 */
#include "gate_rig.h"
#include "policy_rig.h"

#define SMALL                                                                 \
	"policy \"default\" { burst = 2 initial = 2 freeze_at = 5 queue_max " \
	"= 20 }"

/* Reads the policies anew with these never_freeze entries. */
static void
spare(struct rig *r, const char *policies, bool observe, const char *entry)
{
	struct policies *was = r->settings.policies;

	r->settings.policies = rig_policies(policies);
	if (entry != NULL && !policies_spare(r->settings.policies,
				 str_from(entry), err, sizeof(err)))
		fail_msg("%s", err);
	r->settings.observe = observe;
	gate_reload(r->gate, &r->settings, r->now);
	policies_free(was);
}

static void
test_spared_waits_instead(void **state)
{
	struct rig r;
	struct rig_counts got;
	char detail[RIG_TEXT];
	struct gate_sender_info info;

	(void)state;
	rig_open(&r, SMALL);
	spare(&r, SMALL, false, "user:boss@example.org");
	got = rig_send_many(&r, "boss@example.org", "n", 12);
	assert_int_equal(got.passed, 2);
	assert_int_equal(got.held, 10);
	assert_false(rig_is_frozen(&r, "boss@example.org"));
	assert_int_equal(r.freezes, 0);
	/* Once, however long it goes on. */
	assert_int_equal(rig_events(&r, EVENT_SPARE), 1);
	rig_last_event(&r, EVENT_SPARE, detail);
	assert_string_equal(
	    detail, "5 of 5 recipients waiting; not frozen: never_freeze");
	assert_int_equal(rig_counter(&r, COUNT_SPARED_FREEZES), 1);
	assert_int_equal(rig_counter(&r, COUNT_FREEZES), 0);
	assert_true(rig_info(&r, "boss@example.org", &info));
	assert_true(info.is_spared);

	/* Everybody else is frozen as ever. */
	rig_send_many(&r, "eve@example.org", "n", 12);
	assert_true(rig_is_frozen(&r, "eve@example.org"));
	assert_true(rig_info(&r, "eve@example.org", &info));
	assert_false(info.is_spared);
	rig_close(&r);
}

static void
test_spared_fills_the_queue_and_no_more(void **state)
{
	struct rig r;
	struct rig_counts got;

	(void)state;
	rig_open(&r, SMALL);
	spare(&r, SMALL, false, "@example.org");
	got = rig_send_many(&r, "boss@example.org", "n", 30);
	assert_int_equal(got.passed, 2);
	assert_int_equal(got.held, 20);
	assert_int_equal(got.refused, 8);
	assert_int_equal(r.code, 452);
	assert_non_null(strstr(r.why, "20 of 20 places"));
	assert_false(rig_is_frozen(&r, "boss@example.org"));
	rig_close(&r);
}

/* Told again only after the queue was down to half. */
static void
test_spared_is_told_again(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SMALL);
	spare(&r, SMALL, false, "user:boss");
	rig_send_many(&r, "boss", "a", 7); /* 5 wait */
	assert_int_equal(rig_events(&r, EVENT_SPARE), 1);
	rig_run(&r, 60000); /* 4 wait */
	rig_send_many(&r, "boss", "b", 1);
	assert_int_equal(rig_queue(&r, "boss"), 5);
	assert_int_equal(rig_events(&r, EVENT_SPARE), 1);
	rig_run(&r, 3 * 60000); /* 2 wait */
	assert_int_equal(rig_queue(&r, "boss"), 2);
	rig_send_many(&r, "boss", "c", 3);
	assert_int_equal(rig_events(&r, EVENT_SPARE), 2);
	rig_close(&r);
}

static void
test_spared_growth(void **state)
{
	static const char policies[] =
	    "policy \"default\" { burst = 1 initial = 1 freeze_at = 0 "
	    "freeze_growth = \"3/1h\" }";
	struct rig r;

	(void)state;
	rig_open(&r, policies);
	spare(&r, policies, false, "user:boss");
	rig_send_many(&r, "boss", "a", 8);
	assert_false(rig_is_frozen(&r, "boss"));
	assert_int_equal(rig_events(&r, EVENT_SPARE), 1);
	rig_close(&r);
}

static void
test_spared_by_policy_and_by_client(void **state)
{
	static const char policies[] =
	    SMALL "policy \"machines\" { match = {\"user:shop\"} burst = 1 "
		  "initial = 1 freeze_at = 5 queue_max = 20 }";
	struct rig r;
	struct gate_facts facts = {.sender = STR("a@example.com")};

	(void)state;
	rig_open(&r, policies);
	spare(&r, policies, false, "policy:machines");
	rig_send_many(&r, "shop", "a", 8);
	assert_false(rig_is_frozen(&r, "shop"));
	spare(&r, policies, false, "192.0.2.0/24");
	assert_true(ip_parse(STR("192.0.2.7"), &facts.client));
	for (unsigned i = 0; i < 8; i++) {
		struct gate_txn *txn = gate_begin(r.gate, &facts, r.now);
		char to[64];

		snprintf(to, sizeof(to), "%u@x.test", i);
		rig_ask(&r, txn, to);
		rig_commit(&r, txn);
	}
	assert_int_equal(rig_queue(&r, "192.0.2.7"), 6);
	assert_false(rig_is_frozen(&r, "192.0.2.7"));
	rig_close(&r);
}

static void
test_by_hand_all_the_same(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SMALL);
	spare(&r, SMALL, false, "user:boss");
	rig_send_many(&r, "boss", "a", 1);
	assert_int_equal(rig_freeze(&r, "boss"), 0);
	assert_true(rig_is_frozen(&r, "boss"));
	assert_int_equal(rig_send(&r, "boss", "b@x.test"), THROTTLE_REFUSE);
	rig_close(&r);
}

/* A reload takes it away and gives it; a freeze that is there stays. */
static void
test_spared_by_reload(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SMALL);
	rig_send_many(&r, "eve", "a", 12);
	assert_true(rig_is_frozen(&r, "eve"));
	spare(&r, SMALL, false, "user:eve");
	assert_true(rig_is_frozen(&r, "eve"));
	assert_int_equal(rig_thaw(&r, "eve", GATE_THAW_DISCARD), 0);
	rig_send_many(&r, "eve", "b", 12);
	assert_false(rig_is_frozen(&r, "eve"));
	rig_restart(&r);
	rig_send_many(&r, "eve", "c", 2);
	assert_false(rig_is_frozen(&r, "eve"));
	assert_int_equal(rig_thaw(&r, "eve", GATE_THAW_DISCARD), 0);
	spare(&r, SMALL, false, NULL);
	rig_send_many(&r, "eve", "d", 12);
	assert_true(rig_is_frozen(&r, "eve"));
	rig_close(&r);
}

static void
test_spared_in_observe_mode(void **state)
{
	struct rig r;
	struct rig_counts got;

	(void)state;
	rig_open(&r, SMALL);
	spare(&r, SMALL, true, "user:boss");
	got = rig_send_many(&r, "boss", "a", 12);
	assert_int_equal(got.passed, 12);
	assert_int_equal(rig_events(&r, EVENT_SPARE), 1);
	assert_int_equal(r.freezes, 0);
	rig_close(&r);
}

/* ---- warn_at ---- */

static void
last_warning(struct rig *r, unsigned n, const char *detail)
{
	char got[RIG_TEXT];

	assert_int_equal(rig_events(r, EVENT_WARN), n);
	assert_int_equal(rig_counter(r, COUNT_WARNINGS), n);
	if (n == 0)
		return;
	rig_last_event(r, EVENT_WARN, got);
	assert_string_equal(got, detail);
}

#define TEN                                                                  \
	"policy \"default\" { burst = 1 initial = 1 freeze_at = 20 limit = " \
	"{} }"

static void
test_warns_of_freeze_at(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, TEN);
	rig_send_many(&r, "eve", "a", 1 + 15);
	last_warning(&r, 0, NULL);
	assert_int_equal(gate_near_count(r.gate), 0);
	rig_send_many(&r, "eve", "b", 1);
	assert_int_equal(gate_near_count(r.gate), 1);
	last_warning(&r, 1, "80% of freeze_at: 16 of 20 recipients waiting");
	rig_send_many(&r, "eve", "c", 2);
	last_warning(&r, 1, "80% of freeze_at: 16 of 20 recipients waiting");
	rig_send_many(&r, "eve", "d", 1);
	last_warning(&r, 2, "95% of freeze_at: 19 of 20 recipients waiting");

	/* 17 wait, no 10 points less; then 13 do. */
	rig_run(&r, 2 * 60000);
	rig_send_many(&r, "eve", "e", 2);
	assert_int_equal(rig_queue(&r, "eve"), 19);
	last_warning(&r, 2, "95% of freeze_at: 19 of 20 recipients waiting");
	rig_run(&r, 6 * 60000);
	assert_int_equal(rig_queue(&r, "eve"), 13);
	rig_send_many(&r, "eve", "f", 3);
	last_warning(&r, 3, "80% of freeze_at: 16 of 20 recipients waiting");
	/* The freeze tells of itself. */
	rig_send_many(&r, "eve", "g", 4);
	assert_true(rig_is_frozen(&r, "eve"));
	last_warning(&r, 4, "95% of freeze_at: 19 of 20 recipients waiting");
	/* It needs no mail to be far from the limit again. */
	assert_int_equal(gate_near_count(r.gate), 1);
	rig_thaw(&r, "eve", GATE_THAW_KEEP);
	rig_run(&r, 30 * 60000);
	assert_int_equal(gate_near_count(r.gate), 0);
	rig_close(&r);
}

static void
test_warns_of_a_limit(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r,
	    "policy \"default\" { burst = 50 initial = 50 freeze_at = 0 limit "
	    "= {\"10/1h\", \"20/1d\"} warn_at = {\"100%\", \"50%\"} }");
	rig_send_many(&r, "eve", "a", 4);
	last_warning(&r, 0, NULL);
	rig_send_many(&r, "eve", "b", 1);
	last_warning(
	    &r, 1, "50% of a limit: 5 of 10 new recipients in 1h used");
	rig_send_many(&r, "eve", "c", 4);
	assert_int_equal(rig_events(&r, EVENT_WARN), 1);
	rig_send_many(&r, "eve", "d", 1);
	/* The hour is full, half of the day is gone. */
	last_warning(
	    &r, 3, "50% of a limit: 10 of 20 new recipients in 1d used");
	/* Known ones bring nobody nearer. */
	rig_send_many(&r, "eve", "a", 4);
	assert_int_equal(rig_events(&r, EVENT_WARN), 3);
	/* The hour has ended, the day has not. */
	rig_pass_time(&r, 3700 * 1000);
	rig_send_many(&r, "eve", "e", 5);
	last_warning(
	    &r, 4, "50% of a limit: 5 of 10 new recipients in 1h used");
	rig_close(&r);
}

/* What waited and is let go counts as well. */
static void
test_warns_at_a_release(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r,
	    "policy \"default\" { burst = 1 initial = 1 freeze_at = 0 limit = "
	    "{\"4/1d\"} warn_at = \"75%\" }");
	rig_send_many(&r, "eve", "a", 3);
	last_warning(&r, 0, NULL);
	rig_run(&r, 2 * 60000);
	last_warning(&r, 1, "75% of a limit: 3 of 4 new recipients in 1d used");
	rig_close(&r);
}

static void
test_warns_in_observe_mode(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, TEN);
	spare(&r, TEN, true, NULL);
	rig_send_many(&r, "eve", "a", 1 + 16);
	last_warning(&r, 1, "80% of freeze_at: 16 of 20 recipients waiting");
	rig_close(&r);
}

static void
test_warns_of_nothing(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r,
	    "policy \"default\" { burst = 1 initial = 1 freeze_at = 20 warn_at "
	    "= {} }");
	rig_send_many(&r, "eve", "a", 30);
	assert_true(rig_is_frozen(&r, "eve"));
	last_warning(&r, 0, NULL);
	rig_close(&r);
}

static void
test_bad_parts(void **state)
{
	static const char *const bad[] = {
	    "80", "%", "0%", "101%", "-1%", "8 %", "", "99999999999999999999%"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *text = xasprintf(
		    "policy \"default\" { warn_at = \"%s\" }", bad[i]);

		assert_null(read_policies(text));
		assert_non_null(strstr(err, "warn_at"));
		assert_non_null(strstr(err, "write 1% to 100%"));
		free(text);
	}
	assert_null(read_policies("policy \"default\" { warn_at = {\"1%\", "
				  "\"2%\", \"3%\", \"4%\", \"5%\"} }"));
	assert_string_equal(
	    err, "weir.conf:1: policy \"default\": warn_at: write at most 4");
}

/* ---- explain ---- */

static struct {
	struct gate_explanation x;
	char sender[128], policy[64], why[RIG_TEXT], change[RIG_TEXT];
	char scope[64];
	unsigned times;
} reported;

static void
on_explained(void *arg, const struct gate_explanation *x)
{
	(void)arg;
	reported.x = *x;
	str_copy(str_from(x->sender), reported.sender, sizeof(reported.sender));
	str_copy(str_from(x->policy), reported.policy, sizeof(reported.policy));
	str_copy(str_from(x->answer.why), reported.why, sizeof(reported.why));
	str_copy(str_from(x->change), reported.change, sizeof(reported.change));
	reported.scope[0] = '\0';
	if (x->scope_count > 0)
		str_copy(str_from(x->scopes[0].name), reported.scope,
		    sizeof(reported.scope));
	reported.times++;
}

static enum throttle_verdict
explain(struct rig *r, const char *sender, const char *to, const char *client)
{
	struct gate_question q = {
	    .sender = str_from(sender),
	    .recipient = str_from(to),
	    .now = r->now,
	    .wall = r->wall,
	};
	unsigned before = reported.times;

	if (client != NULL)
		assert_true(ip_parse(str_from(client), &q.client));
	gate_explain(r->gate, &q, on_explained, NULL);
	assert_int_equal(reported.times, before + 1);
	return reported.x.answer.verdict;
}

static void
test_explains_a_new_sender(void **state)
{
	struct rig r;
	struct gate_sender_info info;

	(void)state;
	rig_open(&r, SMALL);
	assert_int_equal(explain(&r, "eve", "a@x.test", NULL), THROTTLE_PASS);
	assert_string_equal(reported.sender, "eve");
	assert_string_equal(reported.policy, "default");
	assert_string_equal(reported.why, "new recipient within the allowance");
	assert_false(reported.x.is_known);
	assert_int_equal(reported.x.t.allowance, 2);
	assert_non_null(strstr(reported.change, "once reached, it is known"));
	/* No source was made by it, nothing counted. */
	assert_int_equal(gate_sender_count(r.gate), 0);
	assert_false(rig_info(&r, "eve", &info));
	rig_close(&r);
}

/* Asked a hundred times, it takes nothing: the next mail meets what the first
 * would have met. */
static void
test_explain_takes_nothing(void **state)
{
	struct rig r;
	struct gate_sender_info before, after;

	(void)state;
	rig_open(&r, SMALL);
	rig_send_many(&r, "eve", "a", 1);
	rig_pass_time(&r, 5000);
	assert_true(rig_info(&r, "eve", &before));
	for (unsigned i = 0; i < 100; i++) {
		char to[64];

		snprintf(to, sizeof(to), "n%u@x.test", i);
		assert_int_equal(explain(&r, "eve", to, NULL), THROTTLE_PASS);
	}
	assert_true(rig_info(&r, "eve", &after));
	assert_int_equal(after.t.allowance, before.t.allowance);
	assert_int_equal(after.t.working_set, before.t.working_set);
	assert_true(after.t.last_seen == before.t.last_seen);
	assert_int_equal(rig_send_many(&r, "eve", "b", 9).passed, 1);
	assert_true(rig_is_frozen(&r, "eve"));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(
		    explain(&r, "eve", "c@x.test", NULL), THROTTLE_REFUSE);
	assert_int_equal(rig_counter(&r, COUNT_REFUSED_RECIPIENTS), 3);
	assert_int_equal(rig_events(&r, EVENT_REFUSE), 3);
	assert_int_equal(rig_queue(&r, "eve"), 5);
	rig_close(&r);
}

static void
test_explains_each_reason(void **state)
{
	static const char policies[] =
	    "policy \"default\" { burst = 2 initial = 2 freeze_at = 5 "
	    "exempt_recipients = \"boss@x.test\" }"
	    "policy \"day\" { match = \"user:day\" limit = \"1/1d\" }"
	    "policy \"here\" { match = \"192.0.2.0/24\" exempt = true }";
	struct rig r;

	(void)state;
	rig_open(&r, policies);
	rig_send_many(&r, "eve", "a", 4); /* two of them wait */
	assert_int_equal(
	    explain(&r, "eve", "a0@example.com", NULL), THROTTLE_PASS);
	assert_string_equal(reported.why, "known recipient");
	assert_string_equal(reported.change,
	    "it passes as long as it is among the last 64 recipients of the "
	    "sender");
	assert_int_equal(explain(&r, "eve", "z@x.test", NULL), THROTTLE_HOLD);
	assert_string_equal(reported.why,
	    "allowance used up, 0 of 2 left; 2 ahead "
	    "of it; goes in 3m");
	assert_true(reported.x.due == r.wall + 3 * 60000);
	assert_int_equal(reported.x.t.queue_length, 2);
	assert_non_null(strstr(reported.change, "policy \"default\""));
	assert_int_equal(
	    explain(&r, "eve", "boss@x.test", NULL), THROTTLE_PASS);
	assert_string_equal(reported.why, "recipient is exempt");

	rig_send_many(&r, "day", "a", 1);
	assert_int_equal(explain(&r, "day", "z@x.test", NULL), THROTTLE_HOLD);
	assert_string_equal(reported.policy, "day");
	assert_int_equal(reported.x.t.limit_used[0], 1);
	assert_non_null(strstr(reported.change, "a higher limit in policy"));

	/* The client decides the policy. */
	assert_int_equal(
	    explain(&r, "eve", "z@x.test", "192.0.2.9"), THROTTLE_PASS);
	assert_string_equal(reported.policy, "here");
	assert_int_equal(
	    explain(&r, "eve", "z@x.test", "198.51.100.1"), THROTTLE_HOLD);

	assert_int_equal(rig_freeze(&r, "eve"), 0);
	assert_int_equal(
	    explain(&r, "eve", "a0@example.com", NULL), THROTTLE_REFUSE);
	assert_true(reported.x.t.frozen);
	assert_string_equal(reported.change, "weirctl thaw");
	assert_int_equal(rig_thaw(&r, "eve", GATE_THAW_KEEP), 0);
	assert_int_equal(rig_queue(&r, "eve"), 2);
	rig_close(&r);
}

static void
test_explains_in_observe_mode(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SMALL);
	spare(&r, SMALL, true, NULL);
	rig_send_many(&r, "eve", "a", 2);
	assert_int_equal(explain(&r, "eve", "z@x.test", NULL), THROTTLE_PASS);
	assert_true(reported.x.answer.observed);
	assert_true(reported.x.due == r.wall + 60000);
	assert_int_equal(rig_queue(&r, "eve"), 0);
	assert_int_equal(rig_counter(&r, COUNT_OBSERVED_HOLDS), 0);
	rig_close(&r);
}

static void
refused(const char *entry, const char *why)
{
	struct policies *set = rig_policies(SMALL);

	assert_false(policies_spare(set, str_from(entry), err, sizeof(err)));
	assert_string_equal(err, why);
	policies_free(set);
}

static void
test_bad_entries(void **state)
{
	char path[] = "/tmp/weir-spare-XXXXXX", entry[64], why[128];
	int fd = mkstemp(path);

	(void)state;
	refused("policy:bulk", "there is no policy \"bulk\"; check the name");
	refused("192.0.2.1/24",
	    "not a network; write it as 192.0.2.0/24, host bits 0");
	refused("from:<>", "that sender never freezes; remove it");
	refused("user:*@example.org",
	    "patterns are not supported; write a domain as @example.org");
	assert_true(fd >= 0);
	assert_true(write(fd, "user:a\n# no\npolicy:x\n", 21) == 21);
	close(fd);
	snprintf(entry, sizeof(entry), "file:%s", path);
	snprintf(why, sizeof(why),
	    "%s:3: there is no policy \"x\"; check the name", path);
	refused(entry, why);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_spared_waits_instead),
	    cmocka_unit_test(test_spared_fills_the_queue_and_no_more),
	    cmocka_unit_test(test_spared_is_told_again),
	    cmocka_unit_test(test_spared_growth),
	    cmocka_unit_test(test_spared_by_policy_and_by_client),
	    cmocka_unit_test(test_by_hand_all_the_same),
	    cmocka_unit_test(test_spared_by_reload),
	    cmocka_unit_test(test_spared_in_observe_mode),
	    cmocka_unit_test(test_bad_entries),
	    cmocka_unit_test(test_warns_of_freeze_at),
	    cmocka_unit_test(test_warns_of_a_limit),
	    cmocka_unit_test(test_warns_at_a_release),
	    cmocka_unit_test(test_warns_in_observe_mode),
	    cmocka_unit_test(test_warns_of_nothing),
	    cmocka_unit_test(test_bad_parts),
	    cmocka_unit_test(test_explains_a_new_sender),
	    cmocka_unit_test(test_explain_takes_nothing),
	    cmocka_unit_test(test_explains_each_reason),
	    cmocka_unit_test(test_explains_in_observe_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
