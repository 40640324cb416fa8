/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holds the script that decides in the shared server against the throttle:
 * random policies, requests, times, freezes and thaws, asked of a real
 * redis-server by three relays in turn, and of src/throttle beside it. Every
 * verdict with its reason and its time, each release, the allowance and what
 * the detector says must be equal. The same of familiar recipients, which are
 * a throttle of their own beside that of strangers.
 */
#include "oracle_rig.h"

#define OPEN_MAX 40
#define MANY 8 /* recipients of one question */
#define ROUND_OPS 400
#define RELEASED_MAX 4096

struct open {
	struct throttle_reservation r;
	uint64_t id;
	unsigned relay;
};

struct world {
	struct oracle o;

	enum share_lane lane; /* of this round */
	struct throttle *t;
	struct throttle_policy policy;
	struct throttle_source *src;
	/* Beside the familiar ones, else NULL. */
	struct throttle *strangers;
	struct throttle_policy strangers_policy;
	struct throttle_source *stranger;
	char sender[32];
	int64_t now, begin;
	uint64_t seen[3][THROTTLE_FULL + 1], releases;
	uint64_t met, last, papers, rounds;
	bool is_spared, is_frozen, was_thawed; /* as the relays know */
	uint32_t untold;                       /* of the next question */
	struct open open[OPEN_MAX];
	unsigned open_n;
	uint64_t let_go[RELEASED_MAX], granted[RELEASED_MAX];
	size_t let_go_n, granted_n;
	enum throttle_freeze_reason froze; /* not told yet */

	/* of the last question */
	struct share_answer answer;
	struct throttle_reservation ruling, rulings[MANY];
	bool asks_many; /* and the papers' rules ask for each alone */
};

/* ---- the server ---- */

static int
set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	oracle_open(&w->o);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	oracle_close(&w->o);
	free(w);
	return 0;
}

static void
on_answer(void *arg, const struct share_answer *answer, int64_t now)
{
	struct world *w = arg;

	(void)now;
	assert_non_null(answer);
	oracle_answer(&w->o);
	w->answer = *answer;
	if (answer->rulings_n > 0)
		w->ruling = answer->rulings[0];
	for (size_t i = 0; i < answer->rulings_n && i < MANY; i++)
		w->rulings[i] = answer->rulings[i];
	for (size_t i = 0; i < answer->granted_n; i++) {
		assert_true(w->granted_n < RELEASED_MAX);
		w->granted[w->granted_n++] = answer->granted[i];
	}
}

static void
question_of(struct world *w, enum share_lane lane, unsigned relay,
    const struct share_step *steps, size_t n, const struct share_level *seed)
{
	struct share_question q = {
	    .sender = str_from(w->sender),
	    .lane = lane,
	    .policy = lane == w->lane ? &w->policy : &w->strangers_policy,
	    .is_spared = w->is_spared,
	    .is_frozen = w->is_frozen,
	    .was_thawed = w->was_thawed,
	    .untold = w->untold,
	    .seed = seed,
	    .steps = steps,
	    .steps_n = n,
	    .at = w->now,
	};

	w->untold = 0;
	oracle_ask(&w->o, relay, &q, on_answer, w);
}

static void
question(struct world *w, unsigned relay, const struct share_step *steps,
    size_t n, const struct share_level *seed)
{
	/* Both of them are frozen, and thawed. */
	if (w->strangers != NULL && (w->was_thawed || w->is_frozen))
		question_of(w, SHARE_NEW, relay, NULL, 0, NULL);
	question_of(w, w->lane, relay, steps, n, seed);
	w->was_thawed = false;
}

/* ---- the throttle ---- */

static void
on_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct world *w = arg;

	(void)src;
	if (w->strangers != NULL)
		throttle_learn(w->strangers, w->stranger, destination, w->now);
	assert_true(w->let_go_n < RELEASED_MAX);
	w->let_go[w->let_go_n++] = ticket;
}

static void
on_freeze(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason)
{
	struct world *w = arg;

	(void)src;
	w->froze = reason;
}

static const struct throttle_callbacks callbacks = {
    .on_release = on_release, .on_freeze = on_freeze};

/* ---- both side by side ---- */

static uint64_t
below(struct world *w, uint64_t n)
{
	return oracle_below(&w->o, n);
}

static void
draw_policy(struct world *w, bool may_be_paper)
{
	struct throttle_policy *p = &w->policy;

	*p = (struct throttle_policy){
	    .working_set = 1 + (uint32_t)below(w, 12),
	    .interval_ms = 10 + (int64_t)below(w, 200),
	    .burst = (uint32_t)below(w, 8),
	    .queue_max = 5 + (uint32_t)below(w, 60),
	    .hold_when_frozen = below(w, 4) == 0,
	    .paper = may_be_paper && w->rounds++ % 3 == 0,
	};
	w->papers += p->paper;
	p->initial = (uint32_t)below(w, p->burst + 1);
	if (below(w, 4) > 0)
		p->freeze_at = 2 + (uint32_t)below(w, p->queue_max - 2);
	if (below(w, 3) == 0)
		p->freeze_growth = (struct throttle_limit){
		    2 + (uint32_t)below(w, 10), 50 + (int64_t)below(w, 2000)};
	p->limit_count = (uint32_t)below(w, THROTTLE_LIMITS_MAX + 1);
	for (uint32_t i = 0; i < p->limit_count; i++)
		p->limits[i] = (struct throttle_limit){
		    (uint32_t)below(w, 12), 20 + (int64_t)below(w, 4000)};
	w->is_spared = below(w, 6) == 0;
	assert_null(throttle_policy_error(p));
}

/* Its throttle is asked first. */
static bool
is_no_stranger(struct world *w, uint64_t destination)
{
	struct throttle_reservation r;

	if (w->strangers == NULL)
		return false;
	throttle_reserve(w->strangers, w->stranger, destination, w->now, &r);
	throttle_cancel(w->strangers, w->stranger, &r, w->now);
	return r.reason == THROTTLE_KNOWN;
}

static void
commit(struct world *w, const struct throttle_reservation *r, uint64_t ticket)
{
	throttle_commit(w->t, w->src, r, ticket, w->now);
	if (w->strangers != NULL && r->verdict == THROTTLE_PASS)
		throttle_learn(
		    w->strangers, w->stranger, r->destination, w->now);
	/* What it lets go is learnt behind it. */
	(void)throttle_run(w->t, w->now, 0);
}

static void
same_reservation(struct world *w, const struct throttle_reservation *r)
{
	const struct throttle_reservation *s = &w->ruling;
	int64_t due = r->due_ms == INT64_MAX ? INT64_MAX : r->due_ms - w->now;

	assert_int_equal(s->verdict, r->verdict);
	assert_int_equal(s->reason, r->reason);
	assert_int_equal(s->queue_length, r->queue_length);
	assert_int_equal(s->limit_index, r->limit_index);
	if (r->verdict == THROTTLE_HOLD)
		assert_true(s->due_ms == due);
	w->seen[r->verdict][r->reason]++;
}

/* What one of them let go reaches the relay that it waits at. */
static void
same_state(struct world *w)
{
	struct throttle_source_info info;
	bool found;

	for (unsigned i = 0; i < ORACLE_RELAYS; i++)
		question(w, i, NULL, 0, NULL);
	(void)throttle_run(w->t, w->now, 0);
	throttle_source_info(w->t, w->src, w->now, &info);
	assert_int_equal(w->answer.allowance, info.allowance);
	assert_int_equal(w->answer.waiting, info.queue_length);
	assert_int_equal(w->answer.own_waiting, info.own_waiting);
	assert_int_equal(w->granted_n, w->let_go_n);
	/* Three relays: each hears of its own, so the order is that within
	 * one. */
	for (size_t i = 0; i < w->let_go_n; i++) {
		found = false;
		for (size_t j = 0; j < w->granted_n && !found; j++) {
			found = w->granted[j] == w->let_go[i];
			if (found)
				w->granted[j] = 0;
		}
		assert_true(found);
	}
	w->releases += w->let_go_n;
	w->let_go_n = w->granted_n = 0;
	if (info.next_release == INT64_MAX)
		assert_int_equal(w->answer.next_in, -1);
	else
		assert_true(w->answer.next_in == info.next_release - w->now);
}

static void
after_commit(struct world *w)
{
	assert_int_equal(w->answer.froze, w->froze);
	if (w->froze != THROTTLE_FREEZE_NONE) {
		w->is_frozen = true;
		if (w->strangers != NULL) {
			throttle_freeze(w->strangers, w->stranger,
			    THROTTLE_FREEZE_HAND, w->now);
			/* Its clock stands from then on. */
			question_of(w, SHARE_NEW, 0, NULL, 0, NULL);
		}
	}
	w->froze = THROTTLE_FREEZE_NONE;
}

static void
reserve_here(struct world *w, uint64_t destination, bool held,
    struct throttle_reservation *out)
{
	if (held)
		throttle_reserve_held(w->t, w->src, destination, w->now, out);
	else
		throttle_reserve(w->t, w->src, destination, w->now, out);
}

/* As the gate does where something gives a sender away. */
static void
reserve_last(struct world *w, uint64_t destination, bool held,
    struct throttle_reservation *out)
{
	reserve_here(w, destination, held, out);
	if (out->reason != THROTTLE_NEW && out->reason != THROTTLE_QUEUED)
		return;
	throttle_cancel(w->t, w->src, out, w->now);
	throttle_exhaust(w->t, w->src, w->now);
	reserve_here(w, destination, held, out);
	w->last++;
}

static void
reserve(struct world *w)
{
	bool held = below(w, 5) == 0, last = below(w, 8) == 0;
	struct share_step s = {
	    .what = last   ? held ? SHARE_RESERVE_LAST_HELD : SHARE_RESERVE_LAST
		    : held ? SHARE_RESERVE_HELD
			   : SHARE_RESERVE,
	    .destination = 1 + below(w, 40),
	    .reservation = ++w->o.ids,
	};
	struct open *o = &w->open[w->open_n];

	o->id = s.reservation;
	o->relay = oracle_relay(&w->o);
	if (!w->is_frozen && is_no_stranger(w, s.destination)) {
		question(w, o->relay, &s, 1, NULL);
		assert_int_equal(w->ruling.verdict, THROTTLE_PASS);
		assert_int_equal(w->ruling.reason, THROTTLE_KNOWN);
		w->met++;
		return;
	}
	if (last)
		reserve_last(w, s.destination, held, &o->r);
	else
		reserve_here(w, s.destination, held, &o->r);
	question(w, o->relay, &s, 1, NULL);
	same_reservation(w, &o->r);
	if (o->r.verdict == THROTTLE_PASS && o->r.reason == THROTTLE_NEW &&
	    below(w, 8) == 0) {
		throttle_bar(w->t, w->src, &o->r, w->now, w->now);
		if (o->r.verdict == THROTTLE_REFUSE) {
			question(w, o->relay,
			    &(struct share_step){.what = SHARE_CANCEL,
				.destination = s.destination,
				.reservation = o->id},
			    1, NULL);
			return;
		}
		/* The relay asks for a place in its stead. */
		question(w, o->relay,
		    &(struct share_step){.what = SHARE_CANCEL,
			.destination = s.destination,
			.reservation = o->id},
		    1, NULL);
		throttle_cancel(w->t, w->src, &o->r, w->now);
		return;
	}
	if (o->r.verdict != THROTTLE_REFUSE)
		w->open_n++;
}

/* What a transaction asks about at once, and gives back before it: as if it
 * came one after the other. */
static void
reserve_many(struct world *w)
{
	struct throttle_reservation r[MANY];
	struct share_step steps[1 + MANY];
	bool held = below(w, 5) == 0, last = below(w, 8) == 0;
	unsigned relay = oracle_relay(&w->o);
	size_t given = 0, n = 0;

	if (w->open_n > 0 && below(w, 2) == 0) {
		struct open *o = &w->open[--w->open_n];

		relay = o->relay;
		throttle_cancel(w->t, w->src, &o->r, w->now);
		(void)throttle_run(w->t, w->now, 0);
		steps[given++] = (struct share_step){
		    .what = SHARE_CANCEL, .reservation = o->id};
	}
	for (unsigned i = 0; i < MANY; i++) {
		uint64_t destination = 1 + below(w, 40);

		if (is_no_stranger(w, destination))
			continue;
		if (last)
			reserve_last(w, destination, held, &r[n]);
		else
			reserve_here(w, destination, held, &r[n]);
		steps[given + n++] = (struct share_step){
		    .what = last   ? held ? SHARE_RESERVE_LAST_HELD
					  : SHARE_RESERVE_LAST
			    : held ? SHARE_RESERVE_HELD
				   : SHARE_RESERVE,
		    .destination = destination,
		    .reservation = ++w->o.ids,
		};
	}
	question(w, relay, steps, given + n, NULL);
	assert_int_equal(w->answer.rulings_n, n);
	for (size_t i = 0; i < n; i++) {
		w->ruling = w->rulings[i];
		same_reservation(w, &r[i]);
		if (r[i].verdict != THROTTLE_REFUSE)
			w->open[w->open_n++] = (struct open){
			    r[i], steps[given + i].reservation, relay};
	}
}

static void
end_one(struct world *w)
{
	unsigned i = (unsigned)below(w, w->open_n);
	struct open o = w->open[i];
	bool is_new = o.r.reason != THROTTLE_KNOWN;
	struct share_step s = {
	    .destination = o.r.destination,
	    .reservation = is_new ? o.id : 0,
	    .ticket = ++w->o.ids,
	};

	w->open[i] = w->open[--w->open_n];
	if (below(w, 4) == 0) {
		throttle_cancel(w->t, w->src, &o.r, w->now);
		s.what = SHARE_CANCEL;
		question(w, o.relay, &s, 1, NULL);
		return;
	}
	commit(w, &o.r, s.ticket);
	s.what = o.r.verdict == THROTTLE_HOLD ? SHARE_QUEUE : SHARE_PASSED;
	question(w, o.relay, &s, 1, NULL);
	after_commit(w);
}

/* One message: all that one relay has open, at once. */
static void
end_message(struct world *w)
{
	struct share_step steps[OPEN_MAX + 2];
	unsigned relay = oracle_relay(&w->o), kept = 0;
	bool is_blast = below(w, 2) == 0;
	size_t n = 0;

	if (is_blast) {
		throttle_blast_begin(w->t, w->src);
		steps[n++] = (struct share_step){.what = SHARE_BLAST_BEGIN};
	}
	for (unsigned i = 0; i < w->open_n; i++) {
		struct open o = w->open[i];

		if (o.relay != relay) {
			w->open[kept++] = o;
			continue;
		}
		steps[n] = (struct share_step){
		    .what = o.r.verdict == THROTTLE_HOLD ? SHARE_QUEUE
							 : SHARE_PASSED,
		    .destination = o.r.destination,
		    .reservation = o.r.reason == THROTTLE_KNOWN ? 0 : o.id,
		    .ticket = ++w->o.ids,
		};
		commit(w, &o.r, steps[n++].ticket);
	}
	w->open_n = kept;
	throttle_blast_end(w->t);
	if (is_blast)
		steps[n++] = (struct share_step){.what = SHARE_BLAST_END};
	question(w, relay, steps, n, NULL);
	after_commit(w);
}

static void
append(struct world *w)
{
	struct share_step s = {.what = SHARE_APPEND,
	    .destination = 1 + below(w, 40),
	    .ticket = ++w->o.ids};

	throttle_append(w->t, w->src, s.destination, s.ticket, w->now);
	question(w, oracle_relay(&w->o), &s, 1, NULL);
	after_commit(w);
}

static void
learn(struct world *w)
{
	struct share_step s = {
	    .what = SHARE_LEARN, .destination = 1 + below(w, 40)};

	throttle_learn(w->t, w->src, s.destination, w->now);
	if (w->strangers != NULL)
		throttle_learn(
		    w->strangers, w->stranger, s.destination, w->now);
	question(w, oracle_relay(&w->o), &s, 1, NULL);
}

/* Somebody new, beside the familiar ones. */
static void
meet(struct world *w)
{
	struct share_step s = {.what = SHARE_RESERVE,
	    .destination = 1 + below(w, 40),
	    .reservation = ++w->o.ids};
	unsigned relay = oracle_relay(&w->o);
	struct throttle_reservation r;

	/* Ticks of the familiar ones are worked off when somebody asks. */
	question(w, relay, NULL, 0, NULL);
	throttle_reserve(w->strangers, w->stranger, s.destination, w->now, &r);
	question_of(w, SHARE_NEW, relay, &s, 1, NULL);
	same_reservation(w, &r);
	if (r.reason == THROTTLE_KNOWN)
		s.reservation = 0;
	s.what = r.verdict == THROTTLE_PASS ? SHARE_PASSED : SHARE_CANCEL;
	if (r.verdict == THROTTLE_PASS)
		throttle_commit(w->strangers, w->stranger, &r, 0, w->now);
	else
		throttle_cancel(w->strangers, w->stranger, &r, w->now);
	question_of(w, SHARE_NEW, relay, &s, 1, NULL);
}

static void
freeze_or_thaw(struct world *w)
{
	if (w->is_frozen) {
		throttle_thaw(w->t, w->src, w->now);
		if (w->strangers != NULL)
			throttle_thaw(w->strangers, w->stranger, w->now);
		w->is_frozen = false;
		w->was_thawed = true;
	} else if (below(w, 4) == 0) {
		throttle_freeze(w->t, w->src, THROTTLE_FREEZE_HAND, w->now);
		if (w->strangers != NULL)
			throttle_freeze(w->strangers, w->stranger,
			    THROTTLE_FREEZE_HAND, w->now);
		w->froze = THROTTLE_FREEZE_NONE;
		w->is_frozen = true;
		if (w->strangers != NULL)
			question_of(w, SHARE_NEW, 0, NULL, 0, NULL);
	}
}

static void
step(struct world *w)
{
	uint64_t pick = below(w, 100);

	if (below(w, 3) == 0)
		w->now += (int64_t)below(w, below(w, 10) == 0 ? 5000 : 120);
	(void)throttle_run(w->t, w->now, 0);
	if (w->asks_many && pick < 25 && w->open_n + MANY <= OPEN_MAX)
		reserve_many(w);
	else if (pick < 50 && w->open_n < OPEN_MAX)
		reserve(w);
	else if (pick < 80 && w->open_n > 0)
		end_one(w);
	else if (pick < 86 && w->open_n > 0)
		end_message(w);
	else if (pick < 90)
		append(w);
	else if (pick < 94)
		learn(w);
	else if (pick < 97)
		freeze_or_thaw(w);
	else if (w->strangers != NULL && !w->is_frozen && !w->was_thawed)
		meet(w);
	same_state(w);
	/* No lease ends: the throttle knows none. */
	if (w->now - w->begin > 30 * 1000) {
		while (w->open_n > 0)
			end_one(w);
		w->begin = w->now;
	}
}

static void
fill_seed(const struct throttle_policy *p, struct share_level *out)
{
	*out = (struct share_level){.allowance = p->working_set, .tick_in = -1};
	if (p->paper)
		return;
	*out = (struct share_level){.allowance = p->initial,
	    .tick_in = p->initial < p->burst ? p->interval_ms : -1};
}

static void
begin_strangers(struct world *w)
{
	struct share_level seed;

	w->strangers_policy = w->policy;
	draw_policy(w, false);
	w->strangers = throttle_new(2, 10, NULL, NULL);
	w->stranger = throttle_get(w->strangers, w->sender, strlen(w->sender),
	    &w->strangers_policy, w->now);
	fill_seed(&w->strangers_policy, &seed);
	question_of(w, SHARE_FAMILIAR, 0, NULL, 0, NULL);
	assert_true(w->answer.is_unknown);
	question_of(w, SHARE_NEW, 0, NULL, 0, &seed);
	assert_false(w->answer.is_unknown);
}

static void
begin_round(struct world *w)
{
	struct share_level seed;

	w->lane = below(w, 2) == 0 ? SHARE_FAMILIAR : SHARE_NEW;
	draw_policy(w, w->lane == SHARE_NEW && !w->asks_many);
	w->is_frozen = w->was_thawed = false;
	snprintf(w->sender, sizeof(w->sender), "sender%llu",
	    (unsigned long long)++w->o.ids);
	if (w->lane == SHARE_FAMILIAR)
		begin_strangers(w);
	w->t = throttle_new(1, 10, &callbacks, w);
	w->src = throttle_get(
	    w->t, w->sender, strlen(w->sender), &w->policy, w->now);
	throttle_spare(w->src, w->is_spared);
	w->open_n = 0;
	w->begin = w->now;
	question(w, 0, NULL, 0, NULL);
	assert_true(w->answer.is_unknown);
	fill_seed(&w->policy, &seed);
	question(w, 0, NULL, 0, &seed);
	assert_false(w->answer.is_unknown);
}

static void
run_rounds(struct world *w)
{
	uint64_t ops = oracle_begin(&w->o), done = 0;

	w->now = 1000000;
	while (done < ops) {
		begin_round(w);
		for (unsigned i = 0; i < ROUND_OPS; i++)
			step(w);
		done += ROUND_OPS;
		while (w->open_n > 0)
			end_one(w);
		throttle_free(w->t);
		throttle_free(w->strangers);
		w->strangers = NULL;
		w->let_go_n = w->granted_n = 0;
		w->now += 1000000;
	}
}

static void
test_many_are_as_one_by_one(void **state)
{
	struct world *w = *state;

	w->asks_many = true;
	run_rounds(w);
	assert_true(w->seen[THROTTLE_PASS][THROTTLE_NEW] > 0);
	assert_true(w->seen[THROTTLE_HOLD][THROTTLE_QUEUED] > 0);
	assert_true(w->seen[THROTTLE_HOLD][THROTTLE_LIMITED] > 0);
	assert_true(w->seen[THROTTLE_REFUSE][THROTTLE_FULL] > 0);
	assert_true(w->last > 0);
}

static void
test_every_verdict_is_the_throttles(void **state)
{
	struct world *w = *state;

	run_rounds(w);
	/* Nothing is equal for want of occasion. */
	assert_true(w->seen[THROTTLE_PASS][THROTTLE_KNOWN] > 0);
	assert_true(w->seen[THROTTLE_PASS][THROTTLE_NEW] > 0);
	assert_true(w->seen[THROTTLE_HOLD][THROTTLE_QUEUED] > 0);
	assert_true(w->seen[THROTTLE_HOLD][THROTTLE_LIMITED] > 0);
	assert_true(w->seen[THROTTLE_HOLD][THROTTLE_FROZEN] > 0);
	assert_true(w->seen[THROTTLE_REFUSE][THROTTLE_FROZEN] > 0);
	assert_true(w->seen[THROTTLE_REFUSE][THROTTLE_FULL] > 0);
	assert_true(w->releases > 0);
	assert_true(w->met > 0);
	assert_true(w->last > 0);
	assert_true(w->papers > 0);
}

/* What a long outage has added up is one question: more than a limit counts,
 * fewer, and as many as can be told. */
static void
test_thousands_untold(void **state)
{
	static const uint32_t counts[] = {3000, 5000, 2490, THROTTLE_COUNT_MAX};
	struct world *w = *state;
	struct share_level seed;

	w->o.seed = 5;
	w->now = 1000000;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		uint32_t most = i < 3 ? 4000 : THROTTLE_COUNT_MAX;

		w->policy = (struct throttle_policy){.working_set = 10,
		    .interval_ms = 150,
		    .burst = 30,
		    .initial = 25,
		    .queue_max = 100,
		    .limit_count = 2,
		    .limits = {{2500, 4000}, {most, 9000}}};
		assert_null(throttle_policy_error(&w->policy));
		snprintf(w->sender, sizeof(w->sender), "outage%zu", i);
		w->t = throttle_new(1, 10, &callbacks, w);
		w->src = throttle_get(
		    w->t, w->sender, strlen(w->sender), &w->policy, w->now);
		w->open_n = 0;
		fill_seed(&w->policy, &seed);
		question(w, 0, NULL, 0, NULL);
		question(w, 0, NULL, 0, &seed);
		reserve(w);
		throttle_take(w->t, w->src, counts[i], w->now);
		w->untold = counts[i];
		question(w, 1, NULL, 0, NULL);
		same_state(w);
		for (unsigned k = 0; k < 35; k++) {
			w->now += 333;
			(void)throttle_run(w->t, w->now, 0);
			reserve(w);
			same_state(w);
		}
		throttle_free(w->t);
		w->now += 1000000;
	}
	assert_true(w->seen[THROTTLE_PASS][THROTTLE_NEW] > 0);
	assert_true(w->seen[THROTTLE_HOLD][THROTTLE_LIMITED] > 0);
}

static void
on_gone(void *arg, const struct resp_value *reply, int64_t now)
{
	struct world *w = arg;

	(void)now;
	assert_non_null(reply);
	assert_int_equal(reply->integer, 1);
	oracle_answer(&w->o);
}

/* As a server does that is short of memory. */
static void
throw_queue_away(struct world *w)
{
	struct redis_script script = {
	    .text = "local k = redis.call('KEYS', '*:queue')\n"
		    "return redis.call('DEL', k[1])\n"};
	struct str none = STR("none");

	w->o.is_answered = false;
	assert_true(redis_link_run(
	    w->o.redis.link, &script, &none, 1, NULL, 0, on_gone, w));
	loop_run(w->o.redis.loop);
	assert_true(w->o.is_answered);
}

/* Else it would never be what the relay has, which asks until it is. */
static void
test_a_queue_that_is_gone(void **state)
{
	static const uint64_t tickets[] = {21, 22};
	static const struct share_step have = {
	    .what = SHARE_HAVE, .list = tickets, .list_n = 2};
	static const struct share_step none = {.what = SHARE_HAVE};
	struct world *w = *state;
	struct share_level seed = {.tick_in = -1};

	w->now = 1000000;
	w->policy = (struct throttle_policy){.working_set = 10,
	    .interval_ms = 3600000,
	    .burst = 1,
	    .queue_max = 100};
	assert_null(throttle_policy_error(&w->policy));
	snprintf(w->sender, sizeof(w->sender), "gone");
	question(w, 0, NULL, 0, &seed);
	for (uint64_t i = 1; i <= 3; i++) {
		const struct share_step queue = {.what = SHARE_QUEUE,
		    .destination = i,
		    .reservation = i,
		    .ticket = 20 + i};

		question(w, 0, &queue, 1, NULL);
	}
	assert_int_equal(w->answer.mine, 3);
	throw_queue_away(w);
	question(w, 0, &have, 1, NULL);
	assert_int_equal(w->answer.mine, 2);
	assert_int_equal(w->answer.waiting, 2);
	throw_queue_away(w);
	question(w, 0, &none, 1, NULL);
	assert_int_equal(w->answer.mine, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_thousands_untold, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		test_every_verdict_is_the_throttles, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		test_many_are_as_one_by_one, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		test_a_queue_that_is_gone, set_up, tear_down),
	};

	if (!redis_rig_is_there())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
