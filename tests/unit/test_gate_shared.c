/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate asks of those who share its throttle, and what it makes of
 * their answers: of new and of familiar recipients, of scopes, in time, too
 * late and not at all.
 */
#include "gate_rig.h"

#include "gate/scope_rules.h"
#include "share/question.h"

#define ALICE "alice@example.org"
#define STEPS_MAX 16
#define POLICY                                                          \
	"policy \"default\" { burst = 4 initial = 4 interval = \"1h\" " \
	"familiar_for = \"365d\" }"

/* The server: it keeps the last question until it is told to answer. */
struct server {
	bool is_down;
	unsigned asked, asked_scopes;
	uint64_t first_cancelled; /* by a question about an outage */
	enum share_lane lane;
	uint32_t untold;
	bool is_seeded;
	bool has_known;
	struct share_signals known;
	struct share_step steps[STEPS_MAX];
	size_t steps_n;
	share_answer_fn *fn;
	void *arg;
	struct share_scope_step scope_steps[STEPS_MAX];
	size_t scope_steps_n, scopes_n, windows_n;
	uint32_t scope_untold;
	share_scopes_fn *scopes_fn;
	void *scopes_arg;
};

static bool
ask(void *arg, const struct share_question *q, share_answer_fn *fn,
    void *fn_arg)
{
	struct server *s = arg;

	if (s->is_down)
		return false;
	s->asked++;
	s->lane = q->lane;
	s->untold = q->untold;
	s->is_seeded = q->seed != NULL;
	s->has_known = q->known != NULL;
	if (s->has_known)
		s->known = *q->known;
	assert_true(q->steps_n <= STEPS_MAX);
	if (q->steps_n > 0)
		memcpy(s->steps, q->steps, q->steps_n * sizeof(*q->steps));
	s->steps_n = q->steps_n;
	if (q->steps_n > 0 && q->steps[0].what == SHARE_CANCEL &&
	    q->steps[0].destination == 0)
		s->first_cancelled = q->steps[0].reservation;
	s->fn = fn;
	s->arg = fn_arg;
	return true;
}

static bool
ask_scopes(
    void *arg, const struct share_scopes *q, share_scopes_fn *fn, void *fn_arg)
{
	struct server *s = arg;

	if (s->is_down)
		return false;
	s->asked_scopes++;
	assert_true(q->steps_n <= STEPS_MAX);
	if (q->steps_n > 0)
		memcpy(
		    s->scope_steps, q->steps, q->steps_n * sizeof(*q->steps));
	s->scope_steps_n = q->steps_n;
	s->scopes_n = q->scopes_n;
	s->windows_n = q->scopes[0].windows_n;
	s->scope_untold = q->scopes[0].untold;
	s->scopes_fn = fn;
	s->scopes_arg = fn_arg;
	return true;
}

static uint64_t
destination(void *arg, struct str recipient)
{
	(void)arg;
	return recipient.n > 0 ? (unsigned char)recipient.p[0] : 0;
}

static bool
is_up(void *arg, struct str sender)
{
	(void)sender;
	return !((struct server *)arg)->is_down;
}

static const struct share_ops server_ops = {.ask = ask,
    .ask_scopes = ask_scopes,
    .destination = destination,
    .is_up = is_up};

static void
answer(struct rig *r, struct server *s, const struct share_answer *a)
{
	share_answer_fn *fn = s->fn;

	assert_non_null(fn);
	s->fn = NULL;
	fn(s->arg, a, r->now);
}

/* What is left, and how the recipient of the question falls. */
static void
rule(struct rig *r, struct server *s, uint32_t left,
    enum throttle_verdict verdict, enum throttle_reason reason)
{
	struct throttle_reservation ruling = {
	    .verdict = verdict, .reason = reason, .due_ms = INT64_MAX};
	struct share_answer a = {.allowance = left,
	    .tick_in = 1000,
	    .next_in = -1,
	    .rulings = &ruling,
	    .rulings_n = 1};

	answer(r, s, &a);
}

static void
hear(struct rig *r, struct server *s, uint32_t left)
{
	answer(r, s,
	    &(struct share_answer){
		.allowance = left, .tick_in = 1000, .next_in = -1});
}

static void
rule_scopes(struct rig *r, struct server *s, bool is_free)
{
	struct share_window windows[4] = {{0}};
	struct share_scope_ruling ruling = {
	    .is_free = is_free, .used = is_free ? 0 : 2, .open_in = 60000};
	struct share_scopes_answer a = {
	    .rulings = &ruling, .rulings_n = 1, .windows = windows};
	share_scopes_fn *fn = s->scopes_fn;

	assert_non_null(fn);
	assert_true(s->windows_n <= 4);
	windows[0].slot[0] = is_free ? 0 : 2;
	s->scopes_fn = NULL;
	fn(s->scopes_arg, &a, r->now);
}

/* The same of several, at once. */
static void
rule_many(struct rig *r, struct server *s,
    const struct throttle_reservation *rulings, size_t n)
{
	answer(r, s,
	    &(struct share_answer){.allowance = 0,
		.tick_in = 1000,
		.next_in = -1,
		.rulings = rulings,
		.rulings_n = n});
}

static void
on_answer(void *arg, const struct gate_answer *a)
{
	struct rig *r = arg;

	r->answers++;
	r->verdict = a->verdict;
	snprintf(r->why, sizeof(r->why), "%s", a->why);
}

static struct gate_txn *
begin(struct rig *r, const char *to)
{
	struct gate_txn *txn = rig_begin(r, ALICE);

	gate_recipient(txn, str_from(to), r->now, r->wall, on_answer, r);
	rig_pump(r); /* whom it knows */
	return txn;
}

static void
open_with(struct rig *r, struct server *s, struct scope_rules *rules)
{
	*s = (struct server){0};
	rig_open(r, POLICY);
	r->settings.scopes = rules;
	r->settings.acquaintances_bytes = 1 << 20;
	gate_reload(r->gate, &r->settings, r->now);
	gate_share(r->gate, &server_ops, s, false);
}

static void
close_with(struct rig *r, struct scope_rules *rules)
{
	gate_share(r->gate, NULL, NULL, false);
	r->settings.scopes = NULL;
	rig_close(r);
	scope_rules_free(rules);
}

static void
test_a_recipient_waits_for_the_server(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	uint64_t id;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin(&r, "bob@example.com");
	assert_int_equal(r.answers, 0);
	assert_int_equal(s.steps_n, 1);
	assert_int_equal(s.steps[0].what, SHARE_RESERVE);
	id = s.steps[0].reservation;
	rule(&r, &s, 3, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r.answers, 1);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	/* The next waits, though here there would be an allowance. */
	gate_recipient(
	    txn, STR("carol@example.com"), r.now, r.wall, on_answer, &r);
	rule(&r, &s, 0, THROTTLE_HOLD, THROTTLE_QUEUED);
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	/* All of a message's end is one question. */
	assert_int_equal(s.asked, 2);
	rig_commit(&r, txn);
	assert_int_equal(s.asked, 3);
	assert_int_equal(s.steps_n, 2);
	assert_int_equal(s.steps[0].what, SHARE_PASSED);
	assert_true(s.steps[0].reservation == id);
	assert_int_equal(s.steps[1].what, SHARE_QUEUE);
	close_with(&r, NULL);
}

static void
test_a_client_that_does_not_wait(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	uint64_t id;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin(&r, "bob@example.com");
	id = s.steps[0].reservation;
	gate_cancel(txn, r.now);
	rule(&r, &s, 3, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r.answers, 0);
	assert_int_equal(s.steps[0].what, SHARE_CANCEL);
	assert_true(s.steps[0].reservation == id);
	close_with(&r, NULL);
}

static void
test_no_answer_is_decided_here_and_told(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin(&r, "bob@example.com");
	s.is_down = true;
	answer(&r, &s, NULL);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	rig_commit(&r, txn);
	s.is_down = false;
	txn = begin(&r, "carol@example.com");
	assert_int_equal(s.untold, 1);
	/* A server that has lost the sender starts from what is here. */
	assert_false(s.is_seeded);
	answer(&r, &s, &(struct share_answer){.is_unknown = true});
	assert_true(s.is_seeded);
	rule(&r, &s, 2, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	gate_cancel(txn, r.now);
	close_with(&r, NULL);
}

static struct scope_rules *
two_a_day(void)
{
	struct scope_rules *rules = xcalloc(1, sizeof(*rules));

	rules->refs = 1;
	rules->n = 1;
	rules->v[0].name = xstrdup("site");
	rules->v[0].by = SCOPE_ALL;
	rules->v[0].limit_count = 1;
	rules->v[0].limits[0] =
	    (struct option_rate){.count = 2, .window_ms = 86400000};
	return rules;
}

static void
test_scopes_are_asked_behind_it(void **state)
{
	struct scope_rules *rules = two_a_day();
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	uint64_t id;

	(void)state;
	open_with(&r, &s, rules);
	txn = begin(&r, "bob@example.com");
	assert_int_equal(s.asked_scopes, 0);
	rule(&r, &s, 3, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r.answers, 0);
	assert_int_equal(s.scope_steps[0].what, SHARE_SCOPE_RESERVE);
	id = s.scope_steps[0].reservation;
	rule_scopes(&r, &s, true);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	/* Who waits for its own throttle needs no place. */
	gate_recipient(
	    txn, STR("carol@example.com"), r.now, r.wall, on_answer, &r);
	rule(&r, &s, 0, THROTTLE_HOLD, THROTTLE_QUEUED);
	assert_int_equal(s.asked_scopes, 1);
	rig_commit(&r, txn);
	assert_int_equal(s.asked_scopes, 2);
	assert_int_equal(s.scope_steps_n, 1);
	assert_int_equal(s.scope_steps[0].what, SHARE_SCOPE_COMMIT);
	assert_true(s.scope_steps[0].reservation == id);
	close_with(&r, rules);
}

static void
test_a_full_scope_holds(void **state)
{
	struct scope_rules *rules = two_a_day();
	struct server s;
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_with(&r, &s, rules);
	txn = begin(&r, "bob@example.com");
	rule(&r, &s, 3, THROTTLE_PASS, THROTTLE_NEW);
	rule_scopes(&r, &s, false);
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "site"));
	rig_commit(&r, txn);
	assert_int_equal(s.steps[0].what, SHARE_BARRED);
	hear(&r, &s, 3);
	/* The windows are the server's, and decide when it is gone. */
	s.is_down = true;
	txn = begin(&r, "carol@example.com");
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	gate_cancel(txn, r.now);
	close_with(&r, rules);
}

static void
test_a_place_that_nobody_waits_for(void **state)
{
	struct scope_rules *rules = two_a_day();
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	uint64_t id;

	(void)state;
	open_with(&r, &s, rules);
	txn = begin(&r, "bob@example.com");
	rule(&r, &s, 3, THROTTLE_PASS, THROTTLE_NEW);
	id = s.scope_steps[0].reservation;
	gate_cancel(txn, r.now);
	rule_scopes(&r, &s, true);
	assert_int_equal(r.answers, 0);
	assert_int_equal(s.scope_steps[0].what, SHARE_SCOPE_CANCEL);
	assert_true(s.scope_steps[0].reservation == id);
	assert_int_equal(s.steps[0].what, SHARE_CANCEL);
	close_with(&r, rules);
}

static void
test_places_of_an_outage_are_told(void **state)
{
	struct scope_rules *rules = two_a_day();
	struct server s;
	struct rig r;

	(void)state;
	open_with(&r, &s, rules);
	s.is_down = true;
	rig_commit(&r, begin(&r, "bob@example.com"));
	assert_int_equal(r.verdict, THROTTLE_PASS);
	s.is_down = false;
	gate_share_again(r.gate, r.now);
	assert_int_equal(s.asked_scopes, 1);
	assert_int_equal(s.scope_steps[0].what, SHARE_SCOPE_JOIN);
	assert_int_equal(s.scope_untold, 1);
	close_with(&r, rules);
}

/* A link takes only so much at once. */
static void
test_what_a_link_does_not_take_is_told_later(void **state)
{
	struct scope_rules *rules = two_a_day();
	struct server s;
	struct rig r;

	(void)state;
	open_with(&r, &s, rules);
	s.is_down = true;
	rig_commit(&r, begin(&r, "bob@example.com"));
	gate_share_again(r.gate, r.now);
	rig_run(&r, 1000);
	assert_int_equal(s.asked_scopes, 0);
	s.is_down = false;
	rig_run(&r, 1000);
	assert_int_equal(s.asked_scopes, 1);
	assert_int_equal(s.scope_steps[0].what, SHARE_SCOPE_JOIN);
	assert_int_equal(s.scope_untold, 1);
	rig_run(&r, 1000);
	assert_int_equal(s.asked_scopes, 1);
	/* What is still to be told goes with the gate. */
	s.is_down = true;
	gate_share_again(r.gate, r.now);
	close_with(&r, rules);
}

/* The lane in which bob is asked about. */
static enum share_lane
lane_of_bob(struct rig *r, struct server *s)
{
	struct gate_txn *txn = begin(r, "bob@example.com");

	gate_cancel(txn, r->now);
	return s->lane;
}

static void
test_an_old_forget_does_not_count(void **state)
{
	struct server s;
	struct rig r;
	uint32_t today;

	(void)state;
	open_with(&r, &s, NULL);
	today = (uint32_t)(r.wall / 86400000);
	gate_known_elsewhere(r.gate,
	    &(struct gate_known_news){.sender = ALICE,
		.site = 'b',
		.why = ACQUAINTANCE_WROTE_TO,
		.day = today},
	    r.wall);
	rig_pump(&r);
	assert_int_equal(lane_of_bob(&r, &s), SHARE_FAMILIAR);
	assert_false(gate_forgotten_elsewhere(r.gate, ALICE, 0, r.wall));
	assert_false(
	    gate_forgotten_elsewhere(r.gate, ALICE, today - 8, r.wall));
	assert_int_equal(lane_of_bob(&r, &s), SHARE_FAMILIAR);
	assert_true(gate_forgotten_elsewhere(r.gate, ALICE, today - 7, r.wall));
	assert_int_equal(lane_of_bob(&r, &s), SHARE_NEW);
	close_with(&r, NULL);
}

/* ---- recipients that come together ---- */

#define PASSES                                                   \
	{                                                        \
		.verdict = THROTTLE_PASS, .reason = THROTTLE_NEW \
	}
#define WAITS                                                        \
	{                                                            \
		.verdict = THROTTLE_HOLD, .reason = THROTTLE_QUEUED, \
		.due_ms = 60000                                      \
	}

/* What a client has said behind the RCPT in hand. */
struct pipeline {
	const char *to[8];
};

static void
look(void *arg, gate_ahead_fn *fn, void *fn_arg)
{
	const struct pipeline *p = arg;

	for (size_t i = 0; p->to[i] != NULL; i++) {
		if (!fn(fn_arg, str_from(p->to[i])))
			return;
	}
}

static void
name(struct rig *r, struct gate_txn *txn, const char *to)
{
	gate_recipient(txn, str_from(to), r->now, r->wall, on_answer, r);
	rig_pump(r);
}

static struct gate_txn *
begin_many(struct rig *r, struct pipeline *p)
{
	struct gate_txn *txn = rig_begin(r, ALICE);

	gate_look_ahead(txn, &(struct gate_ahead){look, p});
	name(r, txn, "bob@example.com");
	return txn;
}

static const struct pipeline three = {
    {"carol@example.com", "Bob@example.com", "dave@example.com"}};

static void
assert_steps(const struct server *s, size_t n, const enum share_what *what,
    const char *of)
{
	assert_int_equal(s->steps_n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(s->steps[i].what, what[i]);
		assert_int_equal(s->steps[i].destination, (unsigned char)of[i]);
	}
}
#define STEPS(s, of, ...)                                                \
	assert_steps((s), ARRAY_LEN(((enum share_what[]){__VA_ARGS__})), \
	    (enum share_what[]){__VA_ARGS__}, (of))

static void
test_many_are_one_question(void **state)
{
	static const struct throttle_reservation said[] = {
	    PASSES, PASSES, WAITS};
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	struct pipeline p = three;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin_many(&r, &p);
	STEPS(&s, "bcd", SHARE_RESERVE, SHARE_RESERVE, SHARE_RESERVE);
	rule_many(&r, &s, said, 3);
	assert_int_equal(r.answers, 1);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	name(&r, txn, "carol@example.com");
	assert_int_equal(r.answers, 2);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	name(&r, txn, "bob@example.com"); /* a duplicate */
	name(&r, txn, "dave@example.com");
	assert_int_equal(r.answers, 4);
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	assert_int_equal(s.asked, 1);
	rig_commit(&r, txn);
	assert_int_equal(s.asked, 2);
	STEPS(&s, "bcd", SHARE_PASSED, SHARE_PASSED, SHARE_QUEUE);
	close_with(&r, NULL);
}

static void
test_one_that_was_passed_over(void **state)
{
	static const struct throttle_reservation said[] = {
	    PASSES, PASSES, WAITS};
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	struct pipeline p = three;
	uint64_t carol;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin_many(&r, &p);
	carol = s.steps[1].reservation;
	rule_many(&r, &s, said, 3);
	p.to[0] = NULL;
	/* The front has refused carol. What dave was told may not hold now. */
	name(&r, txn, "dave@example.com");
	assert_int_equal(s.asked, 2);
	assert_true(s.steps[0].reservation == carol);
	STEPS(&s, "cdd", SHARE_CANCEL, SHARE_CANCEL, SHARE_RESERVE);
	assert_true(s.steps[1].reservation != s.steps[2].reservation);
	rule(&r, &s, 2, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	gate_cancel(txn, r.now);
	close_with(&r, NULL);
}

static void
test_what_is_given_back_may_be_anothers(void **state)
{
	static const struct throttle_reservation said[] = {
	    PASSES, PASSES, WAITS};
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	struct pipeline p = three;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin_many(&r, &p);
	rule_many(&r, &s, said, 3);
	p.to[0] = NULL;
	gate_drop_last(txn, r.now); /* the next hop has refused bob */
	STEPS(&s, "bd", SHARE_CANCEL, SHARE_CANCEL);
	hear(&r, &s, 1);
	name(&r, txn, "carol@example.com");
	assert_int_equal(r.verdict, THROTTLE_PASS);
	assert_int_equal(s.asked, 2);
	name(&r, txn, "dave@example.com");
	assert_int_equal(s.asked, 3);
	rule(&r, &s, 0, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	gate_cancel(txn, r.now);
	STEPS(&s, "cd", SHARE_CANCEL, SHARE_CANCEL);
	close_with(&r, NULL);
}

static void
test_what_nobody_takes_is_given_back(void **state)
{
	static const struct throttle_reservation said[] = {PASSES,
	    {.verdict = THROTTLE_PASS, .reason = THROTTLE_KNOWN}, WAITS};
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	struct pipeline p = three;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin_many(&r, &p);
	rule_many(&r, &s, said, 3);
	gate_cancel(txn, r.now); /* RSET */
	STEPS(&s, "bd", SHARE_CANCEL, SHARE_CANCEL);
	/* And where it has left before the answer. */
	txn = begin_many(&r, &p);
	gate_cancel(txn, r.now);
	rule_many(&r, &s, said, 3);
	STEPS(&s, "bd", SHARE_CANCEL, SHARE_CANCEL);
	assert_int_equal(r.answers, 1);
	close_with(&r, NULL);
}

static void
test_many_in_an_outage(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	uint64_t bob;
	struct pipeline p = three;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin_many(&r, &p);
	bob = s.steps[0].reservation;
	s.is_down = true;
	answer(&r, &s, NULL);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	name(&r, txn, "carol@example.com");
	assert_int_equal(r.answers, 2);
	assert_int_equal(s.asked, 1);
	/* It may have been heard. */
	s.is_down = false;
	rig_commit(&r, txn);
	assert_int_equal(s.asked, 3);
	assert_true(s.first_cancelled == bob);
	STEPS(&s, "bc", SHARE_PASSED, SHARE_PASSED);
	assert_int_equal(s.untold, 2);
	close_with(&r, NULL);
}

/* What was reserved there counts, whoever may be asked since. */
static void
test_many_before_an_outage(void **state)
{
	static const struct throttle_reservation said[] = {
	    PASSES, WAITS, WAITS};
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	struct pipeline p = three;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin_many(&r, &p);
	rule_many(&r, &s, said, 3);
	s.is_down = true;
	name(&r, txn, "carol@example.com");
	assert_int_equal(r.answers, 2);
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	gate_cancel(txn, r.now);
	close_with(&r, NULL);
}

static void
test_an_old_answer_is_none(void **state)
{
	static const struct throttle_reservation said[] = {
	    PASSES, PASSES, PASSES};
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	struct pipeline p = three;

	(void)state;
	open_with(&r, &s, NULL);
	txn = begin_many(&r, &p);
	rule_many(&r, &s, said, 3);
	r.now += 6000;
	p.to[0] = "dave@example.com";
	p.to[1] = NULL;
	name(&r, txn, "carol@example.com");
	assert_int_equal(s.asked, 2);
	STEPS(&s, "cdcd", SHARE_CANCEL, SHARE_CANCEL, SHARE_RESERVE,
	    SHARE_RESERVE);
	rule_many(&r, &s, said, 2);
	assert_int_equal(r.answers, 2);
	name(&r, txn, "dave@example.com");
	assert_int_equal(r.answers, 3);
	gate_cancel(txn, r.now);
	close_with(&r, NULL);
}

static void
test_scopes_of_many(void **state)
{
	static const struct throttle_reservation said[] = {
	    PASSES, PASSES, WAITS};
	static const struct share_scope_ruling places[] = {
	    {.is_free = true}, {.used = 2, .open_in = 60000}};
	static const struct share_window windows[4];
	struct scope_rules *rules = two_a_day();
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	struct pipeline p = three;
	uint64_t place;

	(void)state;
	open_with(&r, &s, rules);
	txn = begin_many(&r, &p);
	rule_many(&r, &s, said, 3);
	assert_int_equal(r.answers, 0);
	assert_int_equal(s.asked_scopes, 1);
	assert_int_equal(s.scope_steps_n, 2);
	place = s.scope_steps[0].reservation;
	assert_true(s.scope_steps[1].reservation == place + 1);
	s.scopes_fn(s.scopes_arg,
	    &(struct share_scopes_answer){
		.rulings = places, .rulings_n = 2, .windows = windows},
	    r.now);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	name(&r, txn, "carol@example.com");
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "site"));
	rig_commit(&r, txn);
	assert_int_equal(s.asked_scopes, 2);
	assert_int_equal(s.scope_steps_n, 1);
	assert_int_equal(s.scope_steps[0].what, SHARE_SCOPE_COMMIT);
	assert_true(s.scope_steps[0].reservation == place);
	STEPS(&s, "bcd", SHARE_PASSED, SHARE_BARRED, SHARE_CANCEL);
	close_with(&r, rules);
}

/* ---- known recipients ---- */

static void
mail(struct rig *r, const char *to)
{
	rig_commit(r, begin(r, to));
}

static void
test_known_ones_are_told_of_together(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_with(&r, &s, NULL);
	for (const char *to = "bc"; *to != '\0'; to++) {
		txn = begin(
		    &r, *to == 'b' ? "bob@example.com" : "carol@example.com");
		rule(&r, &s, 3, THROTTLE_PASS, THROTTLE_NEW);
		rig_commit(&r, txn);
		hear(&r, &s, 3);
	}
	assert_int_equal(s.asked, 4);
	mail(&r, "bob@example.com");
	mail(&r, "carol@example.com");
	mail(&r, "bob@example.com");
	assert_int_equal(r.answers, 5);
	assert_int_equal(s.asked, 4);
	rig_run(&r, 99);
	assert_int_equal(s.asked, 4);
	rig_run(&r, 1);
	assert_int_equal(s.asked, 5);
	STEPS(&s, "cb", SHARE_PASSED, SHARE_PASSED);
	assert_true(s.steps[0].reservation == 0);
	hear(&r, &s, 3);
	/* Or with the next question about the sender, before it. */
	mail(&r, "carol@example.com");
	txn = begin(&r, "dave@example.com");
	assert_int_equal(s.asked, 6);
	STEPS(&s, "cd", SHARE_PASSED, SHARE_RESERVE);
	rule(&r, &s, 2, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	gate_cancel(txn, r.now);
	hear(&r, &s, 3);
	rig_run(&r, 200);
	assert_int_equal(s.asked, 7);
	/* In an outage nobody is told, then or later. */
	mail(&r, "bob@example.com");
	s.is_down = true;
	rig_run(&r, 200);
	s.is_down = false;
	rig_run(&r, 200);
	assert_int_equal(s.asked, 7);
	mail(&r, "bob@example.com"); /* goes with the gate */
	close_with(&r, NULL);
}

/* ---- reverse paths ---- */

static struct gate_txn *
begin_path(struct rig *r, const char *path, const char *to)
{
	struct gate_facts facts = {
	    .user = STR(ALICE), .sender = str_from(path)};
	struct gate_txn *txn = gate_begin(r->gate, &facts, r->now);

	name(r, txn, to);
	return txn;
}

/* The first is the sender's home, at all relays. */
static void
go_home(struct rig *r, struct server *s)
{
	struct gate_txn *txn = begin_path(r, "home@x.test", "bob@example.com");

	STEPS(s, "hh", SHARE_HOME_MAYBE, SHARE_RESERVE);
	rule(r, s, 4, THROTTLE_PASS, THROTTLE_KNOWN);
	rig_pump(r);
	STEPS(s, "b", SHARE_RESERVE);
	rule(r, s, 3, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r->verdict, THROTTLE_PASS);
	rig_commit(r, txn);
	STEPS(s, "b", SHARE_PASSED);
	hear(r, s, 3);
}

static void
test_a_path_is_asked_about_first(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	unsigned asked;

	(void)state;
	open_with(&r, &s, NULL);
	go_home(&r, &s);
	/* It is no question any more; another one is. */
	asked = s.asked;
	txn = begin_path(&r, "home@x.test", "bob@example.com");
	assert_int_equal(s.asked, asked);
	gate_cancel(txn, r.now);
	txn = begin_path(&r, "other@y.test", "bob@example.com");
	STEPS(&s, "oo", SHARE_HOME, SHARE_RESERVE);
	rule(&r, &s, 0, THROTTLE_HOLD, THROTTLE_QUEUED);
	rig_pump(&r);
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	rig_commit(&r, txn);
	STEPS(&s, "bo", SHARE_PASSED, SHARE_QUEUE);
	close_with(&r, NULL);
}

static void
test_a_path_that_nobody_waits_for(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	uint64_t id;

	(void)state;
	open_with(&r, &s, NULL);
	go_home(&r, &s);
	txn = begin_path(&r, "other@y.test", "bob@example.com");
	id = s.steps[1].reservation;
	gate_cancel(txn, r.now);
	rule(&r, &s, 2, THROTTLE_PASS, THROTTLE_NEW);
	STEPS(&s, "o", SHARE_CANCEL);
	assert_true(s.steps[0].reservation == id);
	/* One that passed, and its message did not. */
	txn = begin_path(&r, "other@y.test", "bob@example.com");
	id = s.steps[1].reservation;
	rule(&r, &s, 2, THROTTLE_PASS, THROTTLE_NEW);
	rig_pump(&r);
	gate_cancel(txn, r.now);
	STEPS(&s, "o", SHARE_CANCEL);
	assert_true(s.steps[0].reservation == id);
	close_with(&r, NULL);
}

static void
test_a_path_of_an_outage(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;
	uint64_t id;

	(void)state;
	open_with(&r, &s, NULL);
	go_home(&r, &s);
	txn = begin_path(&r, "other@y.test", "bob@example.com");
	id = s.steps[1].reservation;
	s.is_down = true;
	answer(&r, &s, NULL);
	rig_pump(&r);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	rig_commit(&r, txn);
	s.is_down = false;
	txn = begin_path(&r, "third@z.test", "bob@example.com");
	assert_int_equal(s.untold, 1);
	assert_true(s.first_cancelled == id);
	gate_cancel(txn, r.now);
	close_with(&r, NULL);
}

/* ---- decoys ---- */

/* What had been told to pass waits under the names that all relays have. */
static void
test_a_decoy_behind_one_that_passed(void **state)
{
	char err[200];
	struct server s;
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_with(&r, &s, NULL);
	assert_true(policies_add_decoy(
	    r.settings.policies, STR("trap@example.org"), err, sizeof(err)));
	gate_reload(r.gate, &r.settings, r.now);
	txn = begin_path(&r, ALICE, "bob@example.com");
	rule(&r, &s, 3, THROTTLE_PASS, THROTTLE_NEW);
	assert_int_equal(r.verdict, THROTTLE_PASS);
	name(&r, txn, "trap@example.org");
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	rig_commit(&r, txn);
	STEPS(&s, "bbt", SHARE_CANCEL, SHARE_APPEND, SHARE_APPEND);
	close_with(&r, NULL);
}

/* ---- signals ---- */

static uint32_t
credit_of(struct rig *r)
{
	struct gate_sender_info info;

	assert_true(rig_info(r, ALICE, &info));
	return info.credit.left;
}

static void
refuse(struct rig *r, struct server *s, const char *to)
{
	static const struct gate_reply unknown = {550, "5.1.1", true};
	struct gate_txn *txn = begin_path(r, ALICE, to); /* its own */

	if (!s->is_down)
		rule(r, s, 3, THROTTLE_PASS, THROTTLE_NEW);
	gate_drop_refused(txn, &unknown, r->now, r->wall);
	gate_cancel(txn, r->now);
}

static void
test_a_refusal_is_counted_at_all(void **state)
{
	struct server s;
	struct rig r;
	struct share_answer said = {.allowance = 4,
	    .tick_in = -1,
	    .next_in = -1,
	    .signals = {.has_credit = true, .left = 7 * 3000, .empty_ms = -1},
	    .result = 1};

	(void)state;
	open_with(&r, &s, NULL);
	refuse(&r, &s, "bob@example.com");
	STEPS(&s, "b", SHARE_REFUSED);
	assert_int_equal(credit_of(&r), CREDIT_PRESET - 1);
	/* Others were refused elsewhere. */
	answer(&r, &s, &said);
	assert_int_equal(credit_of(&r), 7);
	/* What it is there does not follow from what it is here. */
	refuse(&r, &s, "carol@example.com");
	said.result = CREDIT_EMPTIED;
	said.signals.left = 0;
	said.signals.empty_ms = 0;
	assert_int_equal(rig_events(&r, EVENT_CREDIT), 0);
	answer(&r, &s, &said);
	assert_int_equal(rig_events(&r, EVENT_CREDIT), 1);
	close_with(&r, NULL);
}

static void
test_a_refusal_of_an_outage_is_joined(void **state)
{
	struct server s;
	struct rig r;
	struct gate_txn *txn;

	(void)state;
	open_with(&r, &s, NULL);
	s.is_down = true;
	refuse(&r, &s, "bob@example.com");
	s.is_down = false;
	txn = rig_begin(&r, ALICE);
	name(&r, txn, "carol@example.com");
	assert_true(s.has_known);
	assert_int_equal(s.known.left / 3000, CREDIT_PRESET - 1);
	rule(&r, &s, 3, THROTTLE_PASS, THROTTLE_NEW);
	gate_cancel(txn, r.now);
	close_with(&r, NULL);
}

/* ---- the start ---- */

/* Nothing is asked about a sender whose queue is not there, and what leaves it
 * meanwhile is told behind that. */
static void
test_a_start_that_reads_on(void **state)
{
	static const struct gate_reply unknown = {550, "5.1.1", true};
	struct spool_select hers = {.source = ALICE};
	struct server s;
	struct rig r;

	(void)state;
	open_with(&r, &s, NULL);
	s.is_down = true;
	/* Much of another's is read first. */
	assert_int_equal(rig_send_many(&r, "bob", "b", 40).held, 36);
	assert_int_equal(rig_send_many(&r, ALICE, "a", 6).held, 2);
	gate_save(r.gate, r.now, r.wall);
	r.loads_late = true;
	r.load_page = 1;
	rig_restart(&r);
	assert_true(gate_is_loading(r.gate));
	s.is_down = false;
	gate_share(r.gate, &server_ops, &s, false);
	s.asked = 0;
	gate_undelivered(
	    r.gate, ALICE, 1, "x@example.com", &unknown, r.now, r.wall);
	assert_int_equal(s.asked, 0);
	gate_discard(r.gate, &hers, "admin", r.now, r.wall, rig_on_done, &r);
	while (r.done == 0)
		rig_pump(&r);
	assert_int_equal(s.asked, 0);
	rig_run(&r, 0);
	assert_false(gate_is_loading(r.gate));
	assert_int_equal(s.asked, 1);
	assert_true(s.has_known);
	assert_int_equal(s.steps_n, 1);
	assert_int_equal(s.steps[0].what, SHARE_HAVE);
	assert_int_equal(s.steps[0].list_n, 0);
	close_with(&r, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_path_is_asked_about_first),
	    cmocka_unit_test(test_a_path_that_nobody_waits_for),
	    cmocka_unit_test(test_a_path_of_an_outage),
	    cmocka_unit_test(test_a_refusal_is_counted_at_all),
	    cmocka_unit_test(test_a_refusal_of_an_outage_is_joined),
	    cmocka_unit_test(test_a_recipient_waits_for_the_server),
	    cmocka_unit_test(test_a_client_that_does_not_wait),
	    cmocka_unit_test(test_no_answer_is_decided_here_and_told),
	    cmocka_unit_test(test_scopes_are_asked_behind_it),
	    cmocka_unit_test(test_a_full_scope_holds),
	    cmocka_unit_test(test_a_place_that_nobody_waits_for),
	    cmocka_unit_test(test_places_of_an_outage_are_told),
	    cmocka_unit_test(test_what_a_link_does_not_take_is_told_later),
	    cmocka_unit_test(test_an_old_forget_does_not_count),
	    cmocka_unit_test(test_many_are_one_question),
	    cmocka_unit_test(test_one_that_was_passed_over),
	    cmocka_unit_test(test_what_is_given_back_may_be_anothers),
	    cmocka_unit_test(test_what_nobody_takes_is_given_back),
	    cmocka_unit_test(test_many_in_an_outage),
	    cmocka_unit_test(test_many_before_an_outage),
	    cmocka_unit_test(test_an_old_answer_is_none),
	    cmocka_unit_test(test_scopes_of_many),
	    cmocka_unit_test(test_known_ones_are_told_of_together),
	    cmocka_unit_test(test_a_decoy_behind_one_that_passed),
	    cmocka_unit_test(test_a_start_that_reads_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
