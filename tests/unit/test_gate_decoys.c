/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decoys: who writes to one is frozen at once, and is answered as ever; who may
 * not be frozen for it, and what is said then.
 */
#include "inbound_rig.h"
#include "policy_rig.h"

#include <unistd.h>

#define TRAP "trap@example.org"
#define EASY "policy \"default\" { burst = 9 initial = 9 learn_inbound = yes }"
#define EVE "eve@example.org"

static void
reload(struct rig *r, const char *policies, const char *spared)
{
	struct policies *was = r->settings.policies;
	struct policies *set = r->settings.policies = rig_policies(policies);

	assert_true(policies_add_decoy(set, STR(TRAP), err, sizeof(err)));
	assert_true(
	    policies_add_decoy(set, STR("@traps.test"), err, sizeof(err)));
	if (spared != NULL)
		assert_true(
		    policies_spare(set, str_from(spared), err, sizeof(err)));
	gate_reload(r->gate, &r->settings, r->now);
	policies_free(was);
}

static void
open_trapped(struct rig *r, const char *policies, const char *spared)
{
	open_as(r, policies, LOCALS_ADDRESS);
	reload(r, policies, spared);
}

static struct gate_txn *
begin_from(struct rig *r, const char *user, const char *from)
{
	struct gate_facts facts = {
	    .user = str_from(user), .sender = str_from(from)};

	return gate_begin(r->gate, &facts, r->now);
}

static enum throttle_verdict
send_to(struct rig *r, const char *user, const char *to)
{
	struct gate_txn *txn = begin_from(r, user, user);
	enum throttle_verdict verdict;

	rig_sender(r, txn);
	if (r->verdict == THROTTLE_REFUSE) {
		gate_cancel(txn, r->now);
		return THROTTLE_REFUSE;
	}
	verdict = rig_ask(r, txn, to);
	if (verdict == THROTTLE_REFUSE)
		gate_cancel(txn, r->now);
	else
		rig_commit(r, txn);
	return verdict;
}

static void
test_freezes_and_takes_the_message(void **state)
{
	struct rig r;
	struct gate_txn *txn, *other;
	char detail[RIG_TEXT];
	struct buf none;

	(void)state;
	open_trapped(&r, EASY, NULL);
	assert_int_equal(send_to(&r, EVE, "old@x.test"), THROTTLE_PASS);
	other = begin_from(&r, EVE, EVE);
	assert_int_equal(rig_ask(&r, other, "a@x.test"), THROTTLE_PASS);

	txn = begin_from(&r, EVE, EVE);
	assert_int_equal(rig_ask(&r, txn, "old@x.test"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "b@x.test"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "Trap@Example.org"), THROTTLE_HOLD);
	assert_null(strstr(r.why, "decoy"));
	assert_int_equal(rig_ask(&r, txn, TRAP), THROTTLE_HOLD); /* again */
	assert_int_equal(rig_ask(&r, txn, "c@x.test"), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, EVE));
	rig_pump(&r);
	assert_int_equal(r.freezes, 1);
	assert_string_equal(r.freeze_reason, "wrote to a decoy");
	rig_last_event(&r, EVENT_DECOY, detail);
	assert_non_null(strstr(detail, "decoy; sender is frozen"));
	assert_int_equal(rig_counter(&r, COUNT_DECOY_TOUCHES), 1);

	/* This one is taken, and none of it goes. */
	rig_sender(&r, txn);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_true(gate_txn_is_whole(txn));
	rig_commit(&r, txn);
	assert_int_equal(rig_stored(&r, SPOOL_RELEASED), 0);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 5);
	assert_int_equal(rig_queue(&r, EVE), 5);
	rig_run(&r, 3600 * 1000);
	buf_init(&none, 1000);
	assert_int_equal(rig_deliver(&r, &none), 0);
	buf_clear(&none);

	/* Others are not, and nobody hears of decoys. */
	rig_sender(&r, other);
	assert_int_equal(r.verdict, THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	assert_null(strstr(r.text, "decoy"));
	gate_cancel(other, r.now);
	assert_int_equal(send_to(&r, EVE, "old@x.test"), THROTTLE_REFUSE);

	/* The reason is there after a restart. */
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, EVE));
	assert_int_equal(send_to(&r, EVE, "old@x.test"), THROTTLE_REFUSE);
	assert_null(strstr(r.text, "decoy"));
	assert_non_null(strstr(r.text, "unusual recipients"));
	assert_int_equal(rig_thaw(&r, EVE, GATE_THAW_DISCARD), 0);
	assert_int_equal(send_to(&r, EVE, "old@x.test"), THROTTLE_PASS);
	close_rig(&r);
}

/* A recipient named and taken back is touched all the same. */
static void
test_touch_is_enough(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_trapped(&r, EASY, NULL);
	txn = begin_from(&r, EVE, EVE);
	assert_int_equal(rig_ask(&r, txn, "any@traps.test"), THROTTLE_HOLD);
	gate_drop_last(txn, r.now);
	gate_cancel(txn, r.now);
	assert_true(rig_is_frozen(&r, EVE));
	close_rig(&r);
}

/* The next hop refuses the decoy: the rest of the message waits all the same.
 */
static void
test_the_rest_waits(void **state)
{
	struct rig r;
	struct gate_txn *txn;
	struct buf none;

	(void)state;
	open_trapped(&r, EASY, NULL);
	assert_int_equal(send_to(&r, EVE, "old@x.test"), THROTTLE_PASS);
	txn = begin_from(&r, EVE, EVE);
	assert_int_equal(rig_ask(&r, txn, "old@x.test"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, TRAP), THROTTLE_HOLD);
	gate_drop_last(txn, r.now);
	rig_sender(&r, txn);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	rig_commit(&r, txn);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	rig_run(&r, 3600 * 1000);
	buf_init(&none, 1000);
	assert_int_equal(rig_deliver(&r, &none), 0);
	buf_clear(&none);
	close_rig(&r);
}

static void
test_never_for_bounces_and_incoming(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_trapped(&r, EASY, NULL);
	txn = begin_from(&r, EVE, "");
	assert_int_equal(rig_ask(&r, txn, TRAP), THROTTLE_PASS);
	gate_cancel(txn, r.now);
	assert_false(rig_is_frozen(&r, EVE));
	mail_in(&r, BOB, TRAP);
	assert_int_equal(rig_counter(&r, COUNT_DECOY_TOUCHES), 0);
	assert_int_equal(gate_frozen_count(r.gate), 0);
	close_rig(&r);
}

static void
test_named_by_incoming_mail(void **state)
{
	struct rig r;
	char detail[RIG_TEXT];

	(void)state;
	open_trapped(&r, EASY, NULL);
	mail_in(&r, "spam@traps.test", ALICE);
	assert_int_equal(send_to(&r, ALICE, "spam@traps.test"), THROTTLE_PASS);
	assert_false(rig_is_frozen(&r, ALICE));
	rig_last_event(&r, EVENT_DECOY, detail);
	assert_non_null(strstr(detail, "not frozen: incoming mail named it"));
	/* It named it to nobody else. */
	assert_int_equal(send_to(&r, EVE, "spam@traps.test"), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, EVE));
	close_rig(&r);
}

/* A harvester writes to both: who answers to all of it is no thief. It is kept
 * over a restart, for a month, for whom it reached alone. */
static void
test_named_in_a_header(void **state)
{
	static const char plain[] =
	    "policy \"default\" { burst = 9 initial = 9 }";
	struct rig r;
	struct gate_txn *txn;
	char detail[RIG_TEXT];

	(void)state;
	open_trapped(&r, plain, NULL);
	txn = begin_in(&r, "list-bounces@list.test");
	assert_false(gate_txn_hears_names(txn));
	assert_int_equal(ask_in(&r, txn, ALICE), THROTTLE_PASS);
	assert_int_equal(ask_in(&r, txn, EVE), THROTTLE_PASS);
	gate_drop_last(txn, r.now); /* the next hop refused her */
	assert_true(gate_txn_hears_names(txn));
	assert_false(gate_txn_is_known(txn));
	for (unsigned i = 0; i < 100; i++)
		gate_txn_hear_name(txn, STR("somebody@x.test"));
	gate_txn_hear_name(txn, STR("Trap@EXAMPLE.org"));
	gate_txn_hear_name(txn, STR(TRAP));
	gate_commit(txn, NULL, r.now, r.wall);
	/* What was not accepted named nobody. */
	txn = begin_in(&r, "x@list.test");
	assert_int_equal(ask_in(&r, txn, EVE), THROTTLE_PASS);
	gate_txn_hear_name(txn, STR(TRAP));
	gate_cancel(txn, r.now);

	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	rig_restart(&r);
	assert_int_equal(send_to(&r, ALICE, TRAP), THROTTLE_PASS);
	assert_false(rig_is_frozen(&r, ALICE));
	rig_last_event(&r, EVENT_DECOY, detail);
	assert_non_null(strstr(detail, "not frozen: incoming mail named it"));
	assert_int_equal(send_to(&r, EVE, TRAP), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, EVE));
	rig_pass_time(&r, 30 * DAY);
	assert_int_equal(send_to(&r, ALICE, TRAP), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, ALICE));
	close_rig(&r);
}

/* From within, and without decoys, nobody listens. */
static void
test_hears_where_it_may(void **state)
{
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_as(&r, EASY, LOCALS_ADDRESS);
	txn = begin_in(&r, BOB);
	assert_int_equal(ask_in(&r, txn, ALICE), THROTTLE_PASS);
	assert_false(gate_txn_hears_names(txn));
	gate_cancel(txn, r.now);
	reload(&r, EASY, NULL);
	txn = begin_from(&r, EVE, EVE);
	assert_int_equal(rig_ask(&r, txn, ALICE), THROTTLE_PASS);
	assert_false(gate_txn_hears_names(txn));
	gate_txn_hear_name(txn, STR(TRAP));
	gate_cancel(txn, r.now);
	close_rig(&r);
}

static void
test_never_freeze_holds(void **state)
{
	struct rig r;
	char detail[RIG_TEXT];

	(void)state;
	open_trapped(&r, EASY, "user:" EVE);
	assert_int_equal(send_to(&r, EVE, TRAP), THROTTLE_HOLD);
	assert_false(rig_is_frozen(&r, EVE));
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	assert_int_equal(rig_queue(&r, EVE), 1);
	rig_last_event(&r, EVENT_DECOY, detail);
	assert_non_null(strstr(detail, "not frozen: never_freeze"));
	assert_int_equal(send_to(&r, EVE, "a@x.test"), THROTTLE_HOLD);
	close_rig(&r);
}

static void
test_exempt_and_observe(void **state)
{
	static const char exempt[] = "policy \"default\" { exempt = true }";
	struct rig r;

	(void)state;
	open_trapped(&r, exempt, NULL);
	assert_int_equal(send_to(&r, EVE, "a@x.test"), THROTTLE_PASS);
	assert_int_equal(send_to(&r, EVE, TRAP), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, EVE));
	r.settings.observe = true;
	reload(&r, EASY, NULL);
	assert_int_equal(send_to(&r, ALICE, TRAP), THROTTLE_PASS);
	assert_int_equal(rig_events(&r, EVENT_OBSERVE), 1);
	assert_false(rig_is_frozen(&r, ALICE));
	close_rig(&r);
}

/* Whether incoming mail named it may have to be read from the disk first. */
static void
test_named_answer_comes_late(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_trapped(&r, EASY, NULL);
	mail_in(&r, "x@traps.test", ALICE); /* a decoy that writes */
	rig_pump(&r);
	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	rig_restart(&r);
	reload(&r, EASY, NULL);
	txn = begin_from(&r, ALICE, ALICE);
	r.answers = 0;
	assert_int_equal(rig_ask(&r, txn, "x@traps.test"), THROTTLE_PASS);
	assert_int_equal(r.answers, 1);
	rig_commit(&r, txn);
	assert_false(rig_is_frozen(&r, ALICE));
	assert_int_equal(rig_counter(&r, COUNT_DECOY_TOUCHES), 1);
	/* Once more, when mail has gone to it; but that alone is no excuse. */
	assert_int_equal(send_to(&r, ALICE, "x@traps.test"), THROTTLE_PASS);
	assert_false(rig_is_frozen(&r, ALICE));
	rig_restart(&r);
	reload(&r, EASY, NULL);
	/* A transaction that ends before takes the question with it. */
	txn = begin_from(&r, EVE, EVE);
	gate_recipient(txn, STR("y@traps.test"), r.now, r.wall, NULL, NULL);
	gate_cancel(txn, r.now);
	rig_pump(&r);
	assert_int_equal(send_to(&r, EVE, "y@traps.test"), THROTTLE_HOLD);
	assert_true(rig_is_frozen(&r, EVE));
	close_rig(&r);
}

static void
on_explained(void *arg, const struct gate_explanation *x)
{
	bool *reported = arg;

	*reported = strstr(x->change, "decoy") != NULL;
}

static void
test_explain(void **state)
{
	struct rig r;
	struct gate_question q = {.sender = STR(EVE), .recipient = STR(TRAP)};
	bool reported = true;

	(void)state;
	open_trapped(&r, EASY, NULL);
	q.now = r.now;
	q.wall = r.wall;
	gate_explain(r.gate, &q, on_explained, &reported);
	rig_pump(&r);
	assert_false(reported);
	q.knows_decoys = true;
	gate_explain(r.gate, &q, on_explained, &reported);
	assert_true(reported);
	assert_int_equal(gate_frozen_count(r.gate), 0);
	assert_int_equal(r.freezes, 0);
	assert_int_equal(rig_counter(&r, COUNT_DECOY_TOUCHES), 0);
	close_rig(&r);
}

static void
test_bad_files(void **state)
{
	struct policies *set = rig_policies(EASY);
	char path[] = "/tmp/weir-decoys-XXXXXX", entry[64], want[64];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_true(write(fd, TRAP "\n# x\nrubbish\n", 29) == 29);
	close(fd);
	snprintf(entry, sizeof(entry), "file:%s", path);
	snprintf(want, sizeof(want), "%s:3: not an address", path);
	assert_false(
	    policies_add_decoy(set, str_from(entry), err, sizeof(err)));
	assert_non_null(strstr(err, want));
	unlink(path);
	assert_false(
	    policies_add_decoy(set, str_from(entry), err, sizeof(err)));
	assert_non_null(strstr(err, "No such file"));
	policies_free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_freezes_and_takes_the_message),
	    cmocka_unit_test(test_touch_is_enough),
	    cmocka_unit_test(test_the_rest_waits),
	    cmocka_unit_test(test_never_for_bounces_and_incoming),
	    cmocka_unit_test(test_named_by_incoming_mail),
	    cmocka_unit_test(test_named_in_a_header),
	    cmocka_unit_test(test_hears_where_it_may),
	    cmocka_unit_test(test_never_freeze_holds),
	    cmocka_unit_test(test_exempt_and_observe),
	    cmocka_unit_test(test_named_answer_comes_late),
	    cmocka_unit_test(test_explain),
	    cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
