/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Learning in passing through the gate: who teaches, who learns, what an answer
 * costs, and what survives. With a real spool and a clock that the test turns.
 */
#include "gate_rig.h"

#include <errno.h>

#define MINUTE 60000
#define HOUR (60 * MINUTE)
#define DAY (24 * (int64_t)HOUR)
#define RATE " inbound_rate = \"3/1d\" "
/* Who comes in is not held; who goes out has no allowance at all. */
#define LEARN                                                       \
	"policy \"default\" { burst = 1 initial = 0 "               \
	"interval = \"1d\" exempt_recipients = {\"@example.org\"} " \
	"learn_inbound = yes " RATE "}"
#define NO_LEARN                                      \
	"policy \"default\" { burst = 1 initial = 0 " \
	"interval = \"1d\" exempt_recipients = {\"@example.org\"} }"
#define ALICE "alice@example.org"
#define BOB "bob@example.net"

static void
add(struct rig *r, const char *domain, const char *user)
{
	char err[200];

	if (domain != NULL)
		assert_true(locals_add_domain(
		    r->settings.locals, str_from(domain), err, sizeof(err)));
	if (user != NULL)
		assert_true(locals_add_user(
		    r->settings.locals, str_from(user), err, sizeof(err)));
}

static void
open_as(struct rig *r, const char *policies, enum locals_source source)
{
	rig_open(r, policies);
	r->settings.locals = locals_new(source, r->settings.recipient_key);
	r->settings.inbound_bytes = 1 << 20;
	add(r, "example.org", NULL);
	gate_reload(r->gate, &r->settings, r->now);
}

static void
close_rig(struct rig *r)
{
	locals_free(r->settings.locals);
	r->settings.locals = NULL;
	rig_close(r);
}

static void
on_answer(void *arg, const struct gate_answer *answer)
{
	enum throttle_verdict *verdict = arg;

	*verdict = answer->verdict;
}

static struct gate_txn *
begin_in(struct rig *r, const char *from)
{
	struct gate_facts facts = {.sender = str_from(from), .teaches = true};

	assert_true(ip_parse(STR("192.0.2.1"), &facts.client));
	return gate_begin(r->gate, &facts, r->now);
}

static enum throttle_verdict
ask_in(struct rig *r, struct gate_txn *txn, const char *to)
{
	enum throttle_verdict verdict = THROTTLE_REFUSE;

	gate_recipient(txn, str_from(to), r->now, r->wall, on_answer, &verdict);
	return verdict;
}

/* Mail from outside, accepted. */
static void
mail_in(struct rig *r, const char *from, const char *to)
{
	struct gate_txn *txn = begin_in(r, from);

	ask_in(r, txn, to);
	gate_commit(txn, NULL, r->now, r->wall);
}

static uint32_t
learnt(struct rig *r, const char *user)
{
	struct gate_sender_info info;

	return rig_info(r, user, &info) ? info.inbound : 0;
}

/* ---- answering ---- */

static void
test_answer_passes(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_LEARNT), 1);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_KNOWN), 1);
	/* What waits goes on waiting; what comes now passes. */
	assert_int_equal(rig_queue(&r, ALICE), 1);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_string_equal(r.why, "recipient wrote to the sender");
	assert_int_equal(rig_counter(&r, COUNT_PASSED_INBOUND), 1);
	assert_int_equal(rig_queue(&r, ALICE), 1);
	/* It was reached: it is in the working set, with nothing taken. */
	assert_true(rig_info(&r, ALICE, &info));
	assert_int_equal(info.t.working_set, 1);
	assert_int_equal(info.t.allowance, 0);
	assert_int_equal(info.inbound, 1);
	assert_int_equal(info.inbound_max, 256);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	/* Not somebody else's, and no other of his domain. */
	assert_int_equal(rig_send(&r, "carol@example.org", BOB), THROTTLE_HOLD);
	assert_int_equal(
	    rig_send(&r, ALICE, "carl@example.net"), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_off_by_default(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, NO_LEARN, LOCALS_ADDRESS);
	txn = begin_in(&r, BOB);
	ask_in(&r, txn, ALICE);
	/* A front may let go of it early, as ever. */
	assert_true(gate_txn_is_known(txn));
	gate_commit(txn, NULL, r.now, r.wall);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_LEARNT), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	close_rig(&r);
}

/* An answer takes no allowance from the next stranger. */
static void
test_allowance_is_not_used(void **state)
{
	static const char policy[] =
	    "policy \"default\" { burst = 1 initial = 1 interval = \"1d\" "
	    "exempt_recipients = {\"@example.org\"} learn_inbound = yes }";
	struct rig r;

	(void)state;
	open_as(&r, policy, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, ALICE, "new@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, ALICE, "newer@x"), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_frozen_stays_frozen(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_freeze(&r, ALICE), 0);
	mail_in(&r, "eve@example.net", ALICE);
	assert_true(rig_is_frozen(&r, ALICE));
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_REFUSE);
	assert_int_equal(
	    rig_send(&r, ALICE, "eve@example.net"), THROTTLE_REFUSE);
	assert_int_equal(rig_thaw(&r, ALICE, GATE_THAW_KEEP), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	close_rig(&r);
}

static void
test_frozen_that_holds(void **state)
{
	static const char policy[] =
	    "policy \"default\" { initial = 0 when_frozen = hold "
	    "exempt_recipients = {\"@example.org\"} learn_inbound = yes }";
	struct rig r;

	(void)state;
	open_as(&r, policy, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_freeze(&r, ALICE), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_observe(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	r.settings.observe = true;
	gate_reload(r.gate, &r.settings, r.now);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_false(r.observed);
	assert_int_equal(rig_send(&r, ALICE, "x@x"), THROTTLE_PASS);
	assert_true(r.observed);
	close_rig(&r);
}

/* ---- who teaches ---- */

static void
test_who_teaches_not(void **state)
{
	static const char *const from[] = {"", "bob@example.org",
	    "BOB@EXAMPLE.ORG", "no address", "bounce+alice=x@example.net",
	    "SRS0=a=b=example.com=bob@example.net", "list-bounces@example.net",
	    "owner-list@example.net", "MAILER-DAEMON@example.net",
	    "noreply@example.net", "list-request@example.net"};
	struct gate_facts facts = {
	    .user = STR("mallory"), .sender = STR(BOB), .teaches = true};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		mail_in(&r, from[i], ALICE);
	mail_in(&r, BOB, "somebody@elsewhere.example");
	/* Who has logged in sends; he does not come in. */
	txn = gate_begin(r.gate, &facts, r.now);
	ask_in(&r, txn, ALICE);
	gate_commit(txn, NULL, r.now, r.wall);
	/* A front end that cannot tell when a message was accepted. */
	facts.user = (struct str){0};
	facts.teaches = false;
	txn = gate_begin(r.gate, &facts, r.now);
	ask_in(&r, txn, ALICE);
	gate_commit(txn, NULL, r.now, r.wall);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_LEARNT), 0);
	assert_int_equal(learnt(&r, ALICE), 0);
	/* Close to those, and people. */
	mail_in(&r, "bobbounces@example.net", ALICE);
	mail_in(&r, "request@example.net", ALICE);
	assert_int_equal(learnt(&r, ALICE), 2);
	close_rig(&r);
}

/* Learnt at the end, and by those alone whom the message reached. */
static void
test_only_what_was_accepted(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	txn = begin_in(&r, BOB);
	assert_true(gate_txn_is_known(txn));
	ask_in(&r, txn, ALICE);
	/* The front has to see how it ends. */
	assert_false(gate_txn_is_known(txn));
	gate_cancel(txn, r.now);
	assert_int_equal(learnt(&r, ALICE), 0);
	txn = begin_in(&r, BOB);
	ask_in(&r, txn, ALICE);
	gate_defer(txn, r.now, r.wall);
	assert_int_equal(learnt(&r, ALICE), 0);
	/* The next hop refuses one of them. */
	txn = begin_in(&r, BOB);
	ask_in(&r, txn, "a@example.org");
	ask_in(&r, txn, ALICE);
	gate_drop_last(txn, r.now);
	ask_in(&r, txn, "b@example.org");
	gate_commit(txn, NULL, r.now, r.wall);
	assert_int_equal(learnt(&r, ALICE), 0);
	assert_int_equal(learnt(&r, "a@example.org"), 1);
	assert_int_equal(learnt(&r, "b@example.org"), 1);
	close_rig(&r);
}

/* Mail that comes in and is held itself teaches nobody. */
static void
test_held_teaches_not(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, "policy \"default\" { initial = 0 learn_inbound = yes }",
	    LOCALS_ADDRESS);
	txn = begin_in(&r, BOB);
	assert_int_equal(ask_in(&r, txn, ALICE), THROTTLE_HOLD);
	gate_commit(txn, NULL, r.now, r.wall);
	assert_int_equal(learnt(&r, ALICE), 0);
	close_rig(&r);
}

/* Nor what passes, but is stored with what waits: whole, or in the mail
 * server's hold queue. */
static void
test_stored_teaches_not(void **state)
{
	uint64_t tickets[2] = {SPOOL_TICKET(8192, 0), 0};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	txn = begin_in(&r, BOB);
	assert_int_equal(ask_in(&r, txn, ALICE), THROTTLE_PASS);
	assert_int_equal(ask_in(&r, txn, "carol@example.org"), THROTTLE_PASS);
	gate_commit(txn, tickets, r.now, r.wall);
	assert_int_equal(learnt(&r, ALICE), 0);
	assert_int_equal(learnt(&r, "carol@example.org"), 1);
	close_rig(&r);
}

/* ---- who learns ---- */

static void
test_mapping(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_LOCALPART);
	add(&r, NULL, "alice.smith@example.org=asmith");
	add(&r, NULL, "sales@example.org=asmith");
	add(&r, NULL, "sales@example.org=bjones");
	add(&r, NULL, "guest@elsewhere.example=guest");
	mail_in(&r, BOB, "Dora+shop@Example.org");
	assert_int_equal(rig_send(&r, "DORA", BOB), THROTTLE_PASS);
	mail_in(&r, BOB, "alice.smith@example.org");
	assert_int_equal(rig_send(&r, "asmith", BOB), THROTTLE_PASS);
	assert_int_equal(learnt(&r, "alice.smith"), 0);
	mail_in(&r, "carl@example.net", "sales@example.org");
	assert_int_equal(
	    rig_send(&r, "asmith", "carl@example.net"), THROTTLE_PASS);
	assert_int_equal(
	    rig_send(&r, "bjones", "CARL@example.net"), THROTTLE_PASS);
	mail_in(&r, BOB, "guest@elsewhere.example");
	assert_int_equal(rig_send(&r, "guest", BOB), THROTTLE_HOLD);
	close_rig(&r);
}

/* Without logins: the envelope sender, where the policy says so. */
static void
test_envelope(void **state)
{
	struct gate_facts facts = {.sender = STR(ALICE), .local = true};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ENVELOPE);
	mail_in(&r, BOB, ALICE);
	assert_int_equal(learnt(&r, "<" ALICE ">"), 1);
	assert_int_equal(learnt(&r, ALICE), 1); /* as people write it */
	txn = gate_begin(r.gate, &facts, r.now);
	assert_int_equal(rig_ask(&r, txn, BOB), THROTTLE_PASS);
	gate_commit(txn, NULL, r.now, r.wall);
	close_rig(&r);
}

/* Recipients are compared as the user's policy compares them. */
static void
test_folding(void **state)
{
	static const char policy[] =
	    "policy \"fold\" { match = {\"" ALICE "\"} initial = 0 "
	    "fold_tags = yes learn_inbound = yes }\n"
	    "policy \"default\" { initial = 0 learn_inbound = yes "
	    "exempt_recipients = {\"@example.org\"} }";
	struct rig r;

	(void)state;
	open_as(&r, policy, LOCALS_ADDRESS);
	mail_in(&r, "bob+work@example.net", ALICE);
	mail_in(&r, "bob+work@example.net", "carol@example.org");
	assert_int_equal(rig_send(&r, ALICE, "BOB@example.net"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "carol@example.org", BOB), THROTTLE_HOLD);
	close_rig(&r);
}

/* The policy that counts is the user's, not the stranger's. */
static void
test_policy_of_the_user(void **state)
{
	static const char policy[] =
	    "policy \"outside\" { match = {\"client:192.0.2.0/24\"} "
	    "exempt = yes }\n"
	    "policy \"staff\" { match = {\"" ALICE "\"} initial = 0 "
	    "learn_inbound = yes }\n"
	    "policy \"default\" { initial = 0 }";
	struct rig r;

	(void)state;
	open_as(&r, policy, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	mail_in(&r, BOB, "carol@example.org");
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "carol@example.org", BOB), THROTTLE_HOLD);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_LEARNT), 1);
	close_rig(&r);
}

/* ---- bounds ---- */

static void
test_flood(void **state)
{
	struct gate_sender_info before, after;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	for (int i = 0; i < 5; i++)
		rig_send(&r, ALICE,
		    (const char *[]){"a@x", "b@x", "c@x", "d@x", "e@x"}[i]);
	rig_run(&r, 6 * DAY); /* their turns come */
	assert_true(rig_info(&r, ALICE, &before));
	assert_int_equal(before.t.working_set, 5);
	for (int i = 0; i < 10000; i++) {
		char from[64];

		snprintf(from, sizeof(from), "spam%d@example.net", i);
		mail_in(&r, from, ALICE);
		/* Users that nobody has ever heard of, too. */
		snprintf(from, sizeof(from), "u%d@example.org", i);
		mail_in(&r, BOB, from);
	}
	assert_true(rig_info(&r, ALICE, &after));
	assert_int_equal(after.inbound, 3);
	assert_int_equal(after.t.working_set, 5);
	assert_int_equal(rig_send(&r, ALICE, "a@x"), THROTTLE_PASS);
	/* None of them became a sender. */
	assert_int_equal(gate_sender_count(r.gate), 1);
	assert_true(rig_counter(&r, COUNT_INBOUND_REFUSED) > 9997);
	assert_true(rig_counter(&r, COUNT_INBOUND_KNOWN) < 5000);
	close_rig(&r);
}

static void
test_expires(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	rig_run(&r, 31 * DAY);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_EXPIRED), 1);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_KNOWN), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	rig_restart(&r);
	assert_int_equal(learnt(&r, ALICE), 0);
	close_rig(&r);
}

/* ---- what survives ---- */

static void
test_survives_restart(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	rig_run(&r, 10000); /* saved behind, without being asked */
	mail_in(&r, "late@example.net", ALICE);
	rig_restart(&r);
	/* The documented seconds are lost, no more. */
	assert_int_equal(learnt(&r, ALICE), 1);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	mail_in(&r, "late@example.net", ALICE);
	gate_save(r.gate, r.now, r.wall);
	/* Time goes on while nothing runs. */
	rig_pass_time(&r, 30 * DAY - HOUR);
	rig_restart(&r);
	assert_int_equal(learnt(&r, ALICE), 2);
	rig_pass_time(&r, HOUR);
	assert_int_equal(learnt(&r, ALICE), 0);
	close_rig(&r);
}

static void
damage(struct rig *r, const char *key, const void *state, size_t n)
{
	spool_save_inbound(r->spool, key, state, n, r->wall);
	rig_run(r, 10000);
}

static void
test_hostile_rows(void **state)
{
	char long_name[600];
	struct rig r;

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	damage(&r, "eve", "garbage", 7);
	damage(&r, "mallory", "", 0);
	damage(&r, long_name, "WIS", 3);
	damage(&r, "", "WIS", 3);
	rig_restart(&r);
	assert_int_equal(learnt(&r, ALICE), 1);
	assert_int_equal(learnt(&r, "eve"), 0);
	close_rig(&r);
}

/* A reload that asks for it no more: what was learnt counts no more. */
static void
test_reload(void **state)
{
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	mail_in(&r, BOB, ALICE);
	rig_reload(&r, NO_LEARN, false);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	rig_reload(&r, LEARN, false);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	close_rig(&r);
}

/* ---- the administrator ---- */

static void
test_forget(void **state)
{
	struct gate_sender_info info;
	struct buf audit;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	r.done = 0;
	gate_unlearn(r.gate, ALICE, "admin", r.now, r.wall, rig_on_done, &r);
	assert_int_equal(r.error, ENOENT);
	mail_in(&r, BOB, ALICE);
	mail_in(&r, "carl@example.net", ALICE);
	rig_run(&r, 10000);
	/* Nothing was sent yet, and there is something to be seen. */
	assert_true(rig_info(&r, "ALICE@example.org", &info));
	assert_string_equal(info.sender, ALICE);
	assert_int_equal(info.inbound, 2);
	assert_int_equal(info.last_seen, 0);
	gate_unlearn(r.gate, "Alice@example.org", "admin", r.now, r.wall,
	    rig_on_done, &r);
	rig_pump(&r);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.count, 2);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_HOLD);
	buf_init(&audit, 4096);
	rig_audit(&r, &audit);
	assert_true(str_starts(
	    buf_str(&audit), STR("admin forget " ALICE " 2 addresses learnt")));
	buf_clear(&audit);
	/* Durable with the audit's entry, not some seconds later. */
	rig_restart(&r);
	assert_int_equal(learnt(&r, ALICE), 0);
	close_rig(&r);
}

/* A front end that keeps the lesson itself. */
static void
test_lesson(void **state)
{
	struct gate_facts facts = {.sender = STR(BOB)};
	struct gate_lesson *lesson;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	lesson = gate_lesson_new(r.gate, &facts);
	assert_non_null(lesson);
	gate_lesson_add(lesson, STR(ALICE));
	gate_lesson_add(lesson, STR("carol@example.org"));
	gate_lesson_add(lesson, STR("x@elsewhere.example"));
	gate_lesson_free(lesson);
	assert_int_equal(learnt(&r, ALICE), 0);
	lesson = gate_lesson_new(r.gate, &facts);
	gate_lesson_add(lesson, STR(ALICE));
	gate_lesson_add(lesson, STR("carol@example.org"));
	gate_lesson_learn(lesson, r.now);
	assert_int_equal(learnt(&r, ALICE), 1);
	assert_int_equal(learnt(&r, "carol@example.org"), 1);
	facts.user = STR("eve");
	assert_null(gate_lesson_new(r.gate, &facts));
	close_rig(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answer_passes),
	    cmocka_unit_test(test_off_by_default),
	    cmocka_unit_test(test_allowance_is_not_used),
	    cmocka_unit_test(test_frozen_stays_frozen),
	    cmocka_unit_test(test_frozen_that_holds),
	    cmocka_unit_test(test_observe),
	    cmocka_unit_test(test_who_teaches_not),
	    cmocka_unit_test(test_only_what_was_accepted),
	    cmocka_unit_test(test_held_teaches_not),
	    cmocka_unit_test(test_stored_teaches_not),
	    cmocka_unit_test(test_mapping),
	    cmocka_unit_test(test_envelope),
	    cmocka_unit_test(test_folding),
	    cmocka_unit_test(test_policy_of_the_user),
	    cmocka_unit_test(test_flood),
	    cmocka_unit_test(test_expires),
	    cmocka_unit_test(test_survives_restart),
	    cmocka_unit_test(test_hostile_rows),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_forget),
	    cmocka_unit_test(test_lesson),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
