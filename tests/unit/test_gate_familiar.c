/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recipients that the working set has forgotten and the memory has not: asked
 * for, also where the answer comes late and much happens before it.
 */
#include "gate_rig.h"

#include <errno.h>
#include <sqlite3.h>

#define MINUTE INT64_C(60000)
#define DAY (1440 * MINUTE)
#define TIGHT                                                            \
	"policy \"default\" { burst = 1 initial = 1 familiar_burst = 3 " \
	"interval = \"1h\" familiar_interval = \"10m\" "                 \
	"familiar_freeze_at = 5 working_set = 1 "
#define POLICY TIGHT "}"
#define OLD "old@example.com"

static void
open_rig(struct rig *r, const char *policies)
{
	rig_open(r, policies);
	r->settings.acquaintances_bytes = 1 << 20;
	gate_reload(r->gate, &r->settings, r->now);
}

/* The source knows OLD, which its working set has forgotten; the row has to be
 * read, and the allowance is whole. */
static void
open_forgotten(struct rig *r, const char *policies)
{
	open_rig(r, policies);
	assert_int_equal(rig_send(r, "alice", OLD), THROTTLE_PASS);
	rig_run(r, 61 * MINUTE);
	assert_int_equal(rig_send(r, "alice", "last@x"), THROTTLE_PASS);
	rig_run(r, 61 * MINUTE);
	gate_save(r->gate, r->now, r->wall);
	rig_pump(r);
	rig_restart(r);
	r->answers = 0;
}

static void
on_answer(void *arg, const struct gate_answer *answer)
{
	struct rig *r = arg;

	r->answers++;
	r->verdict = answer->verdict;
	r->code = answer->code;
	r->observed = answer->observed;
	snprintf(r->why, sizeof(r->why), "%s", answer->why);
}

/* The answer is still to come. The name is gone by then. */
static void
ask_later(struct rig *r, struct gate_txn *txn, const char *to)
{
	unsigned before = r->answers;
	char name[64];

	snprintf(name, sizeof(name), "%s", to);
	gate_recipient(txn, str_from(name), r->now, r->wall, on_answer, r);
	memset(name, 'x', sizeof(name));
	assert_int_equal(r->answers, before);
	assert_int_equal(gate_txn_count(txn), 0);
}

static struct gate_sender_info
look(struct rig *r)
{
	struct gate_sender_info info;

	assert_true(rig_info(r, "alice", &info));
	return info;
}

static void
sql(const struct rig *r, const char *text)
{
	char path[128], *err = NULL;
	sqlite3 *h;

	snprintf(path, sizeof(path), "%s/spool.db", r->dir);
	assert_int_equal(
	    sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	sqlite3_busy_timeout(h, 10000);
	if (sqlite3_exec(h, text, NULL, NULL, &err) != SQLITE_OK)
		fail_msg("%s: %s", text, err);
	sqlite3_close(h);
}

static void
test_is_familiar_in_time(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	txn = rig_begin(&r, "alice");
	ask_later(&r, txn, OLD);
	assert_int_equal(look(&r).t.allowance, 1);
	rig_pump(&r);
	assert_int_equal(r.answers, 1);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_string_equal(
	    r.why, "familiar recipient (mail went to it before)");
	assert_int_equal(gate_txn_lane(txn, 0), 1);
	/* From now on it is in memory. */
	assert_int_equal(rig_ask(&r, txn, "new@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "new2@x"), THROTTLE_HOLD);
	rig_commit(&r, txn);
	assert_int_equal(look(&r).t.allowance, 0);
	assert_int_equal(look(&r).familiar.allowance, 2);
	/* It has its own allowance, used up like any other. */
	assert_int_equal(rig_send(&r, "alice", "LAST@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", "last@x"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "familiar allowance used up, 0 of 3"));
	rig_close(&r);
}

static void
test_stranger_in_time(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	txn = rig_begin(&r, "alice");
	ask_later(&r, txn, "new@x");
	rig_pump(&r);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_int_equal(look(&r).t.allowance, 0);
	assert_int_equal(gate_txn_lane(txn, 0), 0);
	gate_cancel(txn, r.now);
	assert_int_equal(look(&r).t.allowance, 1);
	rig_close(&r);
}

/* The client has gone, or has said RSET. */
static void
test_goes_with_its_transaction(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	txn = rig_begin(&r, "alice");
	ask_later(&r, txn, OLD);
	gate_drop_last(txn, r.now); /* of nothing */
	gate_cancel(txn, r.now);
	/* Nor does one whose gate ends. */
	txn = rig_begin(&r, "alice");
	ask_later(&r, txn, OLD);
	rig_pump(&r);
	assert_int_equal(r.answers, 1);
	gate_cancel(txn, r.now);
	txn = rig_begin(&r, "bob");
	ask_later(&r, txn, OLD);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

static void
cancel_inside(void *arg, const struct gate_answer *answer)
{
	struct rig *r = arg;
	struct gate_txn *txn;

	(void)answer;
	r->answers++;
	memcpy(&txn, r->text, sizeof(txn));
	gate_cancel(txn, r->now);
}

static void
test_answer_may_end_it(void **state)
{
	struct gate_txn *txn, *other;
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	txn = rig_begin(&r, "alice");
	other = rig_begin(&r, "alice");
	memcpy(r.text, &txn, sizeof(txn));
	gate_recipient(txn, STR(OLD), r.now, r.wall, cancel_inside, &r);
	ask_later(&r, other, OLD);
	rig_pump(&r);
	assert_int_equal(r.answers, 2);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_int_equal(rig_commit(&r, other), 0);
	rig_close(&r);
}

/* What was frozen meanwhile is frozen. */
static void
test_frozen_meanwhile(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	txn = rig_begin(&r, "alice");
	ask_later(&r, txn, OLD);
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){.sender = "alice", .who = "admin"},
	    r.now, r.wall, rig_on_done, &r);
	while (r.answers == 0)
		rig_pump(&r);
	assert_int_equal(r.verdict, THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

/* The message goes on by the policy that it began with. */
static void
test_reloaded_meanwhile(void **state)
{
	static const char *const then[] = {TIGHT "familiar_for = \"0\" }",
	    "policy \"default\" { profile = paper }"};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		open_forgotten(&r, POLICY);
		txn = rig_begin(&r, "alice");
		ask_later(&r, txn, OLD);
		r.settings.acquaintances_bytes = 0;
		rig_reload(&r, then[i], false);
		rig_pump(&r);
		assert_int_equal(r.answers, 1);
		assert_int_equal(r.verdict, THROTTLE_PASS);
		assert_int_equal(rig_commit(&r, txn), 0);
		/* And the next one by the new. */
		txn = rig_begin(&r, "alice");
		rig_ask(&r, txn, "third@x");
		assert_int_equal(gate_txn_lane(txn, 0), 0);
		gate_cancel(txn, r.now);
		rig_close(&r);
	}
}

/* A disk that does not say is no stranger: nothing is spent, nobody freezes. */
static void
test_unread_comes_again(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	sql(&r, "ALTER TABLE acquaintance RENAME TO away");
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, OLD), THROTTLE_REFUSE);
	assert_int_equal(r.code, 451);
	assert_string_equal(r.enhanced, "4.3.0");
	assert_non_null(strstr(r.text, "cannot be read"));
	/* Whom the working set knows goes on. */
	assert_int_equal(rig_ask(&r, txn, "last@x"), THROTTLE_PASS);
	gate_cancel(txn, r.now);
	assert_int_equal(look(&r).t.allowance, 1);
	assert_int_equal(look(&r).waiting, 0);
	sql(&r, "ALTER TABLE away RENAME TO acquaintance");
	rig_run(&r, 5000);
	rig_pump(&r);
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_int_equal(look(&r).t.allowance, 1);
	rig_close(&r);
}

/* Observing holds nobody up. */
static void
test_unread_is_observed(void **state)
{
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	rig_reload(&r, POLICY, true);
	sql(&r, "ALTER TABLE acquaintance RENAME TO away");
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", "more@x"), THROTTLE_PASS);
	assert_true(r.observed);
	rig_close(&r);
}

static void
test_is_forgotten_in_time(void **state)
{
	struct rig r;

	(void)state;
	open_forgotten(
	    &r, TIGHT "familiar_for = \"10d\" idle_expiry = \"1h\" }");
	rig_pass_time(&r, 9 * DAY);
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_non_null(strstr(r.why, "mail went to it before"));
	rig_pass_time(&r, 18 * DAY);
	rig_send(&r, "alice", OLD);
	assert_null(strstr(r.why, "familiar"));
	rig_close(&r);
}

/* The source itself was forgotten: idle_expiry ends what is in memory. */
static void
test_outlives_the_source(void **state)
{
	struct rig r;

	(void)state;
	open_forgotten(&r, TIGHT "idle_expiry = \"1h\" }");
	rig_run(&r, DAY);
	assert_int_equal(gate_sender_count(r.gate), 0);
	assert_int_equal(rig_send(&r, "alice", "last@x"), THROTTLE_PASS);
	assert_non_null(strstr(r.why, "mail went to it before"));
	rig_close(&r);
}

/* Where there is no familiar tier, or nobody knows whose mail it is, nobody is
 * asked. */
static void
test_some_are_not_asked(void **state)
{
	struct gate_facts facts = {.local = true};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_forgotten(&r, TIGHT "familiar_for = \"0\" }");
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_null(strstr(r.why, "familiar"));
	rig_close(&r);
	open_forgotten(&r, POLICY);
	txn = gate_begin(r.gate, &facts, r.now);
	assert_string_equal(gate_txn_source(txn), "<>");
	gate_recipient(txn, STR(OLD), r.now, r.wall, on_answer, &r);
	assert_int_equal(r.answers, 1);
	gate_cancel(txn, r.now);
	rig_close(&r);
}

static void
test_assumed_is_familiar(void **state)
{
	struct gate_facts facts = {.user = STR("alice")};
	struct rig r;

	(void)state;
	open_rig(&r, POLICY);
	gate_assume_known(
	    r.gate, &facts, STR("Old@example.com"), r.now, r.wall);
	gate_assume_known(r.gate, &facts, STR("last@x"), r.now, r.wall);
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_non_null(strstr(r.why, "mail went to it before"));
	rig_close(&r);
}

/* As a replay has it: nothing is read, nothing written. */
static void
test_scratch_answers_at_once(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	rig_open(&r, POLICY);
	gate_free(r.gate);
	r.settings.acquaintances_bytes = 1;
	r.settings.acquaintances_scratch = true;
	r.gate = NULL;
	r.gate = gate_new(&r.settings, r.spool, r.events, &r.counters, NULL,
	    &(const struct gate_callbacks){0}, &r);
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	rig_send(&r, "alice", "last@x");
	rig_run(&r, 61 * MINUTE);
	txn = rig_begin(&r, "alice");
	gate_recipient(txn, STR(OLD), r.now, r.wall, on_answer, &r);
	assert_non_null(strstr(r.why, "mail went to it before"));
	gate_cancel(txn, r.now);
	rig_close(&r);
}

static void
on_explained(void *arg, const struct gate_explanation *x)
{
	struct rig *r = arg;

	r->done++;
	snprintf(r->text, sizeof(r->text), "%s: %s", x->tier, x->answer.why);
}

static void
test_explains_the_tier(void **state)
{
	struct gate_question q = {
	    .sender = STR("alice"), .recipient = STR(OLD)};
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	q.now = r.now;
	q.wall = r.wall;
	r.done = 0;
	gate_explain(r.gate, &q, on_explained, &r);
	assert_int_equal(r.done, 0); /* its row has to be read */
	rig_pump(&r);
	assert_int_equal(r.done, 1);
	assert_string_equal(
	    r.text, "familiar: familiar recipient (mail went to it before)");
	q.recipient = STR("new@x");
	gate_explain(r.gate, &q, on_explained, &r);
	assert_int_equal(strncmp(r.text, "stranger", 8), 0);
	assert_int_equal(look(&r).t.allowance, 1);
	/* The gate ends before the answer has come. */
	q.sender = STR("bob");
	gate_explain(r.gate, &q, on_explained, &r);
	assert_int_equal(r.done, 2);
	rig_close(&r);
}

static void
on_recalled(void *arg)
{
	struct rig *r = arg;
	struct gate_sender_info info;

	r->done++;
	r->count = r->error = 0;
	if (!rig_info(r, "alice", &info))
		return;
	assert_true(info.known.is_told);
	assert_int_equal(info.known.reached, info.known.total);
	assert_int_equal(info.known.imported, 0);
	r->count = info.known.total;
}

static uint64_t
recall(struct rig *r)
{
	gate_recall(r->gate, STR("alice"), r->now, r->wall, on_recalled, r);
	rig_pump(r);
	return r->count;
}

static int
forget(struct rig *r, const char *sender)
{
	unsigned before = r->done;

	gate_forget(r->gate, sender, "admin", r->now, r->wall, rig_on_done, r);
	rig_pump(r);
	assert_int_equal(r->done, before + 1);
	return r->error;
}

/* One that is in memory no more, too. */
static void
test_shows_whom_it_knows(void **state)
{
	struct rig r;

	(void)state;
	open_forgotten(&r, TIGHT "idle_expiry = \"1h\" }");
	assert_int_equal(recall(&r), 2);
	rig_run(&r, DAY);
	rig_restart(&r);
	assert_int_equal(gate_sender_count(r.gate), 0);
	assert_int_equal(recall(&r), 2);
	rig_close(&r);
}

static void
test_forgets_by_hand(void **state)
{
	struct buf audit;
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	assert_int_equal(forget(&r, "nobody"), ENOENT);
	assert_int_equal(forget(&r, "alice"), 0);
	assert_int_equal(r.count, 2);
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_null(strstr(r.why, "familiar"));
	buf_init(&audit, 4096);
	rig_audit(&r, &audit);
	assert_non_null(
	    strstr(buf_str(&audit).p, "2 addresses remembered, 0 of"));
	buf_clear(&audit);
	/* Durable with the audit's entry. */
	assert_int_equal(forget(&r, "alice"), 0);
	rig_restart(&r);
	assert_int_equal(forget(&r, "alice"), ENOENT);
	rig_close(&r);
}

/* What the disk does not give is replaced. */
static void
test_forgets_the_unread(void **state)
{
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	sql(&r, "ALTER TABLE acquaintance RENAME TO away");
	assert_int_equal(forget(&r, "alice"), EIO);
	sql(&r, "ALTER TABLE away RENAME TO acquaintance");
	rig_run(&r, 5000); /* it is written again */
	rig_pump(&r);
	rig_restart(&r);
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_null(strstr(r.why, "familiar"));
	rig_close(&r);
}

static void
end_import(struct rig *r, struct gate_import *im)
{
	unsigned before = r->done;

	gate_import_end(im, rig_on_done, r);
	rig_pump(r);
	assert_int_equal(r->done, before + 1);
}

/* On disk when it is over, though the row had to be read before. */
static void
test_imports(void **state)
{
	struct gate_import *im;
	struct rig r;

	(void)state;
	open_forgotten(&r, TIGHT "familiar_for = \"10d\" }");
	im = gate_import_new(r.gate, "admin", r.now, r.wall);
	assert_int_equal(
	    gate_import_add(im, STR("alice"), STR("New@x"), r.wall - 9 * DAY),
	    GATE_IMPORT_TAKEN);
	assert_int_equal(
	    gate_import_add(im, STR("bob"), STR("new@x"), r.wall + MINUTE),
	    GATE_IMPORT_TAKEN);
	assert_int_equal(
	    gate_import_add(im, STR("bob"), STR("o@x"), r.wall - 11 * DAY),
	    GATE_IMPORT_OLD);
	assert_int_equal(
	    gate_import_add(im, STR("bob"), STR("f@x"), r.wall + 2 * DAY),
	    GATE_IMPORT_FUTURE);
	assert_int_equal(gate_import_add(im, STR(""), STR("f@x"), r.wall),
	    GATE_IMPORT_NOBODY);
	assert_int_equal(gate_import_add(im, STR("<>"), STR("f@x"), r.wall),
	    GATE_IMPORT_NONE_KEPT);
	end_import(&r, im);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.count, 2);
	rig_restart(&r);
	assert_int_equal(rig_send(&r, "alice", "new@x"), THROTTLE_PASS);
	assert_non_null(strstr(r.why, "imported by weirctl learn"));
	/* It is reached now, and what was there before is there. */
	assert_int_equal(rig_send(&r, "alice", OLD), THROTTLE_PASS);
	assert_non_null(strstr(r.why, "mail went to it before"));
	assert_int_equal(rig_send(&r, "bob", "new@x"), THROTTLE_PASS);
	assert_non_null(strstr(r.why, "imported"));
	rig_close(&r);
}

static void
test_imports_nothing_unread(void **state)
{
	struct gate_import *im;
	struct rig r;

	(void)state;
	open_forgotten(&r, POLICY);
	sql(&r, "ALTER TABLE acquaintance RENAME TO away");
	im = gate_import_new(r.gate, "admin", r.now, r.wall);
	assert_int_equal(
	    gate_import_add(im, STR("alice"), STR("new@x"), r.wall),
	    GATE_IMPORT_TAKEN);
	end_import(&r, im);
	assert_int_equal(r.error, EIO);
	sql(&r, "ALTER TABLE away RENAME TO acquaintance");
	/* The gate ends before it is over. */
	im = gate_import_new(r.gate, "admin", r.now, r.wall);
	gate_import_add(im, STR("bob"), STR("new@x"), r.wall);
	gate_import_end(im, rig_on_done, &r);
	rig_close(&r);
}

/* No memory for more: the rest is for later. */
static void
test_imports_as_much_as_there_is_room(void **state)
{
	struct gate_import *im;
	unsigned taken = 0, from = 0;
	struct rig r;

	(void)state;
	rig_open(&r, POLICY);
	r.settings.acquaintances_bytes = 20000;
	gate_reload(r.gate, &r.settings, r.now);
	for (int round = 0; round < 100 && from < 300; round++) {
		im = gate_import_new(r.gate, "admin", r.now, r.wall);
		for (unsigned i = from; i < 300; i++) {
			char who[32];

			snprintf(who, sizeof(who), "u%u", i);
			if (gate_import_add(im, str_from(who), STR("a@x"),
				r.wall) == GATE_IMPORT_FULL)
				break;
			from++;
		}
		end_import(&r, im);
		assert_int_equal(r.error, 0);
		taken += (unsigned)r.count;
	}
	assert_int_equal(taken, 300);
	rig_restart(&r);
	for (unsigned i = 0; i < 300; i++) {
		char who[32];

		snprintf(who, sizeof(who), "u%u", i);
		rig_send(&r, who, "a@x");
		assert_non_null(strstr(r.why, "imported"));
	}
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_is_familiar_in_time),
	    cmocka_unit_test(test_stranger_in_time),
	    cmocka_unit_test(test_goes_with_its_transaction),
	    cmocka_unit_test(test_answer_may_end_it),
	    cmocka_unit_test(test_frozen_meanwhile),
	    cmocka_unit_test(test_reloaded_meanwhile),
	    cmocka_unit_test(test_unread_comes_again),
	    cmocka_unit_test(test_unread_is_observed),
	    cmocka_unit_test(test_is_forgotten_in_time),
	    cmocka_unit_test(test_outlives_the_source),
	    cmocka_unit_test(test_some_are_not_asked),
	    cmocka_unit_test(test_assumed_is_familiar),
	    cmocka_unit_test(test_scratch_answers_at_once),
	    cmocka_unit_test(test_explains_the_tier),
	    cmocka_unit_test(test_shows_whom_it_knows),
	    cmocka_unit_test(test_forgets_by_hand),
	    cmocka_unit_test(test_forgets_the_unread),
	    cmocka_unit_test(test_imports),
	    cmocka_unit_test(test_imports_nothing_unread),
	    cmocka_unit_test(test_imports_as_much_as_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
