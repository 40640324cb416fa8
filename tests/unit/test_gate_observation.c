/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Learning in passing through the gate: who teaches, and who learns.
 */
#include "inbound_rig.h"

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
	/* Through us to somebody else, and from there. */
	mail_in(&r, BOB, "x%example.net@example.org");
	mail_in(&r, "x%example.net@example.org", ALICE);
	assert_int_equal(rig_counter(&r, COUNT_INBOUND_LEARNT), 0);
	assert_int_equal(learnt(&r, ALICE), 0);
	/* Close to those, and people. */
	mail_in(&r, "bobbounces@example.net", ALICE);
	mail_in(&r, "request@example.net", ALICE);
	assert_int_equal(learnt(&r, ALICE), 2);
	close_rig(&r);
}

/* By whatever name it logs in, one source. */
static void
test_logins_of_other_domains(void **state)
{
	struct gate_sender_info info;
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	(void)rig_send(&r, "Alice@h1.example.com", "x@example.com");
	(void)rig_send(&r, "alice@h2.example.com.", "y@example.com");
	(void)rig_send(&r, " alice ", "z@example.com");
	assert_int_equal(rig_queue(&r, "alice"), 3);
	assert_true(rig_info(&r, "alice@h3.example.com", &info));
	assert_string_equal(info.sender, "alice");
	(void)rig_send(&r, "ALICE@Example.org", "x@example.com");
	assert_int_equal(rig_queue(&r, ALICE), 1);
	/* A freeze by any of its names. */
	assert_int_equal(rig_freeze(&r, "alice@h9.example.com"), 0);
	assert_true(rig_is_frozen(&r, "alice"));
	/* Its case counts: nobody is what he was. */
	r.settings.login_form = LOGIN_EXACT;
	gate_reload(r.gate, &r.settings, r.now);
	(void)rig_send(&r, "Bob", "x@example.com");
	(void)rig_send(&r, "bob", "x@example.com");
	assert_int_equal(rig_queue(&r, "Bob"), 1);
	assert_int_equal(rig_queue(&r, "bob"), 1);
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

/* Mail that comes in through a program of this machine is held as what goes out
 * is, and then teaches nobody. */
static void
test_held_teaches_not(void **state)
{
	struct gate_facts facts = {.sender = STR(BOB), .teaches = true};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, "policy \"default\" { initial = 0 learn_inbound = yes }",
	    LOCALS_ADDRESS);
	assert_true(ip_parse(STR("127.0.0.1"), &facts.client));
	txn = gate_begin(r.gate, &facts, r.now);
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

/* ---- colleagues ---- */

#define CAROL "carol@example.org"

static struct gate_txn *
begin_login(struct rig *r, const char *from)
{
	struct gate_facts facts = {
	    .user = STR(CAROL), .sender = str_from(from), .teaches = true};

	assert_true(ip_parse(STR("192.0.2.9"), &facts.client));
	return gate_begin(r->gate, &facts, r->now);
}

#define EASY                                                          \
	"policy \"default\" { burst = 9 initial = 9 "                 \
	"exempt_recipients = {\"@example.org\"} learn_inbound = yes " \
	"inbound_rate = \"50/1d\" }"

/* Those whom a colleague's mail reached know each other, and him. */
static void
test_colleague_teaches(void **state)
{
	struct gate_sender_info info;
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, EASY, LOCALS_ADDRESS);
	txn = begin_login(&r, CAROL);
	assert_int_equal(ask_in(&r, txn, ALICE), THROTTLE_PASS);
	assert_int_equal(ask_in(&r, txn, BOB), THROTTLE_PASS);
	assert_int_equal(ask_in(&r, txn, "gone@example.net"), THROTTLE_PASS);
	gate_drop_last(txn, r.now); /* the next hop refused it */
	/* The front has to see how it ends. */
	assert_false(gate_txn_is_known(txn));
	gate_commit(txn, NULL, r.now, r.wall);
	assert_true(recall_info(&r, ALICE, &info));
	assert_int_equal(info.known.total, 2);
	assert_int_equal(info.known.wrote, 1);
	assert_int_equal(info.known.beside, 1);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_string_equal(r.why,
	    "familiar recipient (beside the sender in a colleague's mail)");
	/* Nobody outside, and no stranger, learns of whom it went to. */
	assert_int_equal(learnt(&r, BOB), 0);
	close_rig(&r);
}

/* Whoever comes in makes himself known, and no other; and whoever is logged in
 * is a colleague under an address of ours alone. */
static void
test_stranger_teaches_himself(void **state)
{
	struct gate_sender_info info;
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r, EASY, LOCALS_ADDRESS);
	txn = begin_in(&r, BOB);
	ask_in(&r, txn, ALICE);
	ask_in(&r, txn, "accomplice@example.net");
	gate_commit(txn, NULL, r.now, r.wall);
	txn = begin_in(&r, CAROL); /* forged */
	ask_in(&r, txn, ALICE);
	ask_in(&r, txn, "accomplice@example.net");
	gate_commit(txn, NULL, r.now, r.wall);
	txn = begin_login(&r, "eve@example.net");
	ask_in(&r, txn, ALICE);
	ask_in(&r, txn, "accomplice@example.net");
	gate_commit(txn, NULL, r.now, r.wall);
	assert_true(recall_info(&r, ALICE, &info));
	assert_int_equal(info.known.total, 1);
	assert_int_equal(info.known.wrote, 1);
	close_rig(&r);
}

/* What waits was not reached, and one colleague has a share. */
static void
test_colleague_is_bounded(void **state)
{
	struct gate_sender_info info;
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_as(&r,
	    "policy \"default\" { burst = 300 initial = 300 freeze_at = 0 "
	    "exempt_recipients = {\"@example.org\"} learn_inbound = yes "
	    "familiar_burst = 300 inbound_rate = \"50/1d\" }",
	    LOCALS_ADDRESS);
	txn = begin_login(&r, CAROL);
	ask_in(&r, txn, ALICE);
	for (int i = 0; i < 200; i++) {
		char to[64];

		snprintf(to, sizeof(to), "n%d@example.net", i);
		assert_int_equal(ask_in(&r, txn, to), THROTTLE_PASS);
	}
	gate_commit(txn, NULL, r.now, r.wall);
	assert_true(recall_info(&r, ALICE, &info));
	assert_int_equal(info.known.total, 10); /* a fifth of 50 */
	/* Others find the rest. */
	mail_in(&r, BOB, ALICE);
	assert_true(recall_info(&r, ALICE, &info));
	assert_int_equal(info.known.total, 11);
	/* A recipient that waits. */
	rig_reload(&r, LEARN, false);
	txn = begin_login(&r, CAROL);
	assert_int_equal(ask_in(&r, txn, "dora@example.org"), THROTTLE_PASS);
	assert_int_equal(ask_in(&r, txn, "y@example.net"), THROTTLE_PASS);
	assert_int_equal(ask_in(&r, txn, "z@example.net"), THROTTLE_HOLD);
	gate_commit(
	    txn, (uint64_t[]){0, 0, SPOOL_TICKET(8192, 0)}, r.now, r.wall);
	assert_true(recall_info(&r, "dora@example.org", &info));
	assert_int_equal(info.known.beside, 1);
	assert_int_equal(info.known.wrote, 1);
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
	assert_int_equal(rig_send(&r, "guest", BOB), THROTTLE_PASS);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_who_teaches_not),
	    cmocka_unit_test(test_logins_of_other_domains),
	    cmocka_unit_test(test_only_what_was_accepted),
	    cmocka_unit_test(test_held_teaches_not),
	    cmocka_unit_test(test_stored_teaches_not),
	    cmocka_unit_test(test_colleague_teaches),
	    cmocka_unit_test(test_stranger_teaches_himself),
	    cmocka_unit_test(test_colleague_is_bounded),
	    cmocka_unit_test(test_mapping),
	    cmocka_unit_test(test_envelope),
	    cmocka_unit_test(test_folding),
	    cmocka_unit_test(test_policy_of_the_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
