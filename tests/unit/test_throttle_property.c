/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail mode by its properties. A naive model that lives through every
 * millisecond says what each verdict and release must be, limit windows and
 * reservations among them; and, without any model: the bucket's bound in every
 * window, nothing lost, nothing twice, first come first served, the clock
 * going back.
 *
 * WEIR_TEST_SEED repeats a run, WEIR_TEST_ROUNDS sets its length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/hash.h"
#include "weir/throttle.h"

#define OPS 1500
#define OPEN_MAX 12

static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t
from_environment(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : fallback;
}

/* ---- the model ---- */

struct item {
	uint64_t destination, ticket;
};

struct model {
	const struct throttle_policy *p;
	int64_t now, clock_since; /* ticks at clock_since + k * interval */
	bool clock, frozen;
	uint32_t tokens, taken, held;
	uint64_t set[64];
	uint32_t set_len;
	struct item queue[OPS];
	uint32_t queue_len;
	struct item out[OPS];
	uint32_t out_len;
	int64_t passes[OPS];
	uint32_t pass_len;
};

static bool
model_window_full(const struct model *m, uint32_t i)
{
	const struct throttle_limit *limit = &m->p->limits[i];
	uint32_t used = m->taken;

	for (uint32_t k = 0; k < m->pass_len; k++)
		used += m->passes[k] > m->now - limit->window_ms;
	return limit->count > 0 && used >= limit->count;
}

static bool
model_limited(const struct model *m)
{
	for (uint32_t i = 0; i < m->p->limit_count; i++)
		if (model_window_full(m, i))
			return true;
	return false;
}

static bool
model_knows(const struct model *m, uint64_t d)
{
	for (uint32_t i = 0; i < m->set_len; i++)
		if (m->set[i] == d)
			return true;
	return false;
}

static void
model_use(struct model *m, uint64_t d)
{
	uint32_t rest = 0;

	for (uint32_t i = 0; i < m->set_len; i++)
		if (m->set[i] != d)
			m->set[rest++] = m->set[i];
	m->set_len = rest;
	if (m->set_len == m->p->working_set) {
		memmove(m->set, m->set + 1, --m->set_len * sizeof(*m->set));
	}
	m->set[m->set_len++] = d;
}

static void
model_release(struct model *m)
{
	uint64_t d = m->queue[0].destination;
	uint32_t rest = 0;

	for (uint32_t i = 0; i < m->queue_len; i++) {
		if (m->queue[i].destination == d)
			m->out[m->out_len++] = m->queue[i];
		else
			m->queue[rest++] = m->queue[i];
	}
	m->queue_len = rest;
	m->passes[m->pass_len++] = m->now;
	model_use(m, d);
}

static bool
model_full(const struct model *m)
{
	return m->tokens + m->taken >= m->p->burst;
}

/* The clock of a full bucket stands; one that is needed starts. */
static void
model_wake(struct model *m)
{
	bool needed = !model_full(m) || (m->p->burst == 0 && m->queue_len > 0);

	if (!m->clock && needed) {
		m->clock = true;
		m->clock_since = m->now;
	}
}

static void
model_spend_on_queue(struct model *m)
{
	while (!m->frozen && m->queue_len > 0 && m->tokens > 0 &&
	       !model_limited(m)) {
		m->tokens--;
		model_wake(m);
		model_release(m);
	}
}

static void
model_tick(struct model *m)
{
	bool full = m->p->burst > 0 && model_full(m);

	if (m->frozen)
		return;
	if (m->queue_len > 0) {
		if (!full && !model_limited(m))
			model_release(m);
		return;
	}
	if (!model_full(m))
		m->tokens++;
	if (model_full(m))
		m->clock = false;
}

static void
model_live(struct model *m, int64_t until)
{
	while (m->now < until) {
		m->now++;
		if (m->clock &&
		    (m->now - m->clock_since) % m->p->interval_ms == 0)
			model_tick(m);
		model_spend_on_queue(m);
	}
}

static enum throttle_verdict
model_decide(const struct model *m, uint64_t d)
{
	uint32_t wait = m->queue_len + m->held;

	if (m->frozen)
		return THROTTLE_REFUSE;
	if (model_knows(m, d))
		return THROTTLE_PASS;
	if (m->tokens > 0 && wait == 0 && !model_limited(m))
		return THROTTLE_PASS;
	return wait < m->p->freeze_at ? THROTTLE_HOLD : THROTTLE_REFUSE;
}

/* ---- both side by side ---- */

struct round {
	struct model m;
	struct throttle_policy policy;
	struct throttle *t;
	struct throttle_source *src;
	struct throttle_reservation open[OPEN_MAX];
	uint32_t open_len;
	uint32_t delivered, frozen_calls, thaws;
	int64_t now;
	uint64_t seed, ticket;
	uint64_t *seen;
};

static uint32_t
below(struct round *r, uint32_t n)
{
	return (uint32_t)(draw(&r->seed) % n);
}

static void
on_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct round *r = arg;

	(void)src;
	assert_true(r->delivered < r->m.out_len);
	assert_int_equal(r->m.out[r->delivered].ticket, ticket);
	assert_int_equal(r->m.out[r->delivered].destination, destination);
	r->delivered++;
}

static void
on_freeze(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason)
{
	struct round *r = arg;

	(void)src;
	assert_int_equal(reason, THROTTLE_FREEZE_LENGTH);
	r->frozen_calls++;
}

static const struct throttle_callbacks callbacks = {
    .on_release = on_release,
    .on_freeze = on_freeze,
};

static void
draw_policy(struct round *r)
{
	struct throttle_policy *p = &r->policy;

	*p = throttle_profile_mail;
	p->working_set = 1 + below(r, 12);
	p->interval_ms = 1 + below(r, 30);
	p->burst = below(r, 8);
	p->initial = below(r, p->burst + 1);
	p->freeze_at = 2 + below(r, 40);
	p->limit_count = below(r, 3);
	for (uint32_t i = 0; i < p->limit_count; i++) {
		p->limits[i].count = below(r, 12);
		p->limits[i].window_ms = 1 + below(r, 300);
	}
	assert_null(throttle_policy_error(p));
}

static void
reserve(struct round *r)
{
	uint64_t d = below(r, 40);
	enum throttle_verdict want = model_decide(&r->m, d);
	bool known = !r->m.frozen && model_knows(&r->m, d);
	struct throttle_reservation *got = &r->open[r->open_len++];

	throttle_reserve(r->t, r->src, d, r->now, got);
	assert_int_equal(got->verdict, want);
	assert_int_equal(got->reason == THROTTLE_KNOWN, known);
	assert_int_equal(got->queue_length, r->m.queue_len + r->m.held);
	if (want == THROTTLE_PASS && !known) {
		r->m.tokens--;
		r->m.taken++;
	}
	r->m.held += want == THROTTLE_HOLD;
	r->seen[want]++;
}

static struct throttle_reservation
take_open(struct round *r)
{
	uint32_t i = below(r, r->open_len);
	struct throttle_reservation got = r->open[i];

	r->open[i] = r->open[--r->open_len];
	return got;
}

static void
model_commit_hold(struct model *m, uint64_t d, uint64_t ticket)
{
	m->held--;
	m->queue[m->queue_len++] = (struct item){d, ticket};
	model_wake(m);
	if (!m->frozen && m->queue_len == m->p->freeze_at)
		m->frozen = true;
	model_spend_on_queue(m);
}

static void
commit(struct round *r)
{
	struct throttle_reservation got = take_open(r);
	struct model *m = &r->m;

	throttle_commit(r->t, r->src, &got, r->ticket, r->now);
	if (got.verdict == THROTTLE_HOLD) {
		model_commit_hold(m, got.destination, r->ticket);
	} else if (got.verdict == THROTTLE_PASS) {
		if (got.reason == THROTTLE_NEW) {
			m->taken--;
			if (model_knows(m, got.destination))
				m->tokens++;
			else
				m->passes[m->pass_len++] = m->now;
			model_wake(m);
		}
		model_use(m, got.destination);
		model_spend_on_queue(m);
	}
	r->ticket++;
}

static void
cancel(struct round *r)
{
	struct throttle_reservation got = take_open(r);

	throttle_cancel(r->t, r->src, &got, r->now);
	if (got.verdict == THROTTLE_HOLD)
		r->m.held--;
	if (got.verdict == THROTTLE_PASS && got.reason == THROTTLE_NEW) {
		r->m.taken--;
		r->m.tokens++;
	}
	model_spend_on_queue(&r->m);
}

static void
step_time(struct round *r)
{
	uint32_t interval = (uint32_t)r->policy.interval_ms;

	switch (below(r, 8)) {
	case 0:
		r->now += interval;
		break;
	case 1:
		r->now += below(r, 3 * interval);
		break;
	case 2:
		r->now += below(r, 10) ? 1 : below(r, 400);
		break;
	default:
		break;
	}
	model_live(&r->m, r->now);
}

static void
check_state(struct round *r)
{
	struct throttle_source_info info;

	throttle_source_info(r->t, r->src, r->now, &info);
	assert_int_equal(info.queue_length, r->m.queue_len);
	assert_int_equal(info.allowance, r->m.tokens);
	assert_int_equal(info.frozen, r->m.frozen);
	assert_int_equal(info.working_set, r->m.set_len);
	for (uint32_t i = 0; i < r->policy.limit_count; i++)
		if (r->policy.limits[i].count > 0)
			assert_int_equal(
			    info.limit_used[i] >= r->policy.limits[i].count,
			    model_window_full(&r->m, i));
}

static void
run(struct round *r, size_t max)
{
	size_t n = throttle_run(r->t, r->now, max);

	assert_true(max == 0 || n <= max);
	if (max == 0)
		assert_int_equal(r->delivered, r->m.out_len);
}

static void
thaw(struct round *r)
{
	throttle_thaw(r->t, r->src, r->now);
	r->m.frozen = false;
	r->thaws++;
	model_spend_on_queue(&r->m);
}

static void
keep_entry(void *arg, uint64_t destination, uint64_t ticket)
{
	struct model *m = arg;

	m->queue[m->queue_len++] = (struct item){destination, ticket};
}

/* The daemon stops and starts again: the source lives on in its snapshot, its
 * queue with the caller. Time passes where nothing could have moved. */
static void
restart(struct round *r)
{
	static struct model kept;
	unsigned char bytes[8192];
	int64_t age = 0;
	size_t n;

	run(r, 0);
	kept.queue_len = 0;
	throttle_queue_each(r->src, keep_entry, &kept);
	assert_int_equal(kept.queue_len, r->m.queue_len);
	n = throttle_save(r->src, r->now, bytes, sizeof(bytes));
	assert_true(n <= sizeof(bytes));
	throttle_forget(r->t, r->src);
	if (kept.queue_len == 0 || r->m.frozen)
		age = below(r, 500);
	r->now += age;
	model_live(&r->m, r->now);
	r->src = throttle_get(r->t, "a", 1, &r->policy, r->now);
	assert_true(throttle_load(r->t, r->src, bytes, n, age, r->now));
	for (uint32_t i = 0; i < kept.queue_len; i++) {
		assert_int_equal(kept.queue[i].ticket, r->m.queue[i].ticket);
		throttle_requeue(r->t, r->src, kept.queue[i].destination,
		    kept.queue[i].ticket, r->now);
	}
	check_state(r);
}

static void
play_op(struct round *r, uint32_t late)
{
	step_time(r);
	if (r->open_len == OPEN_MAX || (r->open_len > 0 && below(r, 2))) {
		if (below(r, 4))
			commit(r);
		else
			cancel(r);
	} else {
		reserve(r);
	}
	check_state(r);
	if (below(r, late) == 0)
		run(r, below(r, 2) ? 0 : 1 + below(r, 4));
	if (r->m.frozen && below(r, 10) == 0)
		thaw(r);
	if (r->open_len == 0 && below(r, 4) == 0)
		restart(r);
}

static void
play_round(uint64_t seed, uint64_t *seen)
{
	static struct round r;
	uint32_t late;

	memset(&r, 0, sizeof(r));
	r.seed = seed;
	r.seen = seen;
	r.now = below(&r, 1000);
	draw_policy(&r);
	late = 1 + below(&r, 40);
	r.t = throttle_new(seed, 1, &callbacks, &r);
	r.src = throttle_get(r.t, "a", 1, &r.policy, r.now);
	r.m.p = &r.policy;
	r.m.now = r.now;
	r.m.tokens = r.policy.initial;
	model_wake(&r.m);
	for (uint32_t op = 0; op < OPS; op++)
		play_op(&r, late);
	while (r.open_len > 0)
		cancel(&r);
	run(&r, 0);
	assert_int_equal(r.frozen_calls, r.thaws + r.m.frozen);
	assert_int_equal(throttle_frozen_count(r.t), r.m.frozen);
	throttle_free(r.t);
}

static void
test_mail_equals_model(void **state)
{
	uint64_t seed = from_environment("WEIR_TEST_SEED", hash_random_seed());
	uint64_t rounds = from_environment("WEIR_TEST_ROUNDS", 300);
	uint64_t seen[3] = {0};

	(void)state;
	printf("# WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
	for (uint64_t i = 0; i < rounds; i++)
		play_round(seed + i, seen);
	printf("# pass %llu, hold %llu, refuse %llu\n",
	    (unsigned long long)seen[THROTTLE_PASS],
	    (unsigned long long)seen[THROTTLE_HOLD],
	    (unsigned long long)seen[THROTTLE_REFUSE]);
	for (uint32_t i = 0; i < ARRAY_LEN(seen); i++)
		assert_true(seen[i] > rounds * OPS / 100);
}

/* ---- without a model ---- */

struct tape {
	int64_t at[20000]; /* new destinations that got through, when */
	uint32_t len;
	int64_t now;
	uint64_t last_ticket;
	uint8_t fate[20000]; /* by ticket: 1 waits, 2 released, 3 removed */
};

static void
note(struct tape *tape, int64_t at)
{
	assert_true(tape->len < ARRAY_LEN(tape->at));
	tape->at[tape->len++] = at;
}

static void
on_tape_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct tape *tape = arg;

	(void)src;
	(void)destination;
	/* Each destination is unique here: strictly in order, each once. */
	assert_int_equal(tape->fate[ticket], 1);
	assert_true(ticket > tape->last_ticket);
	tape->fate[ticket] = 2;
	tape->last_ticket = ticket;
	note(tape, tape->now);
}

static const struct throttle_callbacks tape_callbacks = {
    .on_release = on_tape_release,
};

/* In no window of length e more than burst + floor(e / interval). */
static void
check_bound(const struct tape *tape, uint32_t burst, int64_t interval)
{
	for (uint32_t i = 0; i < tape->len; i++) {
		for (uint32_t k = i; k < tape->len; k++) {
			int64_t e = tape->at[k] - tape->at[i];

			assert_true(k - i + 1 <= burst + e / interval);
		}
	}
}

/* Never sleeps past a moment at which something is due, so that releases are
 * seen in their own moment. */
static void
advance(struct throttle *t, struct tape *tape, int64_t until)
{
	while (throttle_next_due(t) <= until) {
		if (throttle_next_due(t) > tape->now)
			tape->now = throttle_next_due(t);
		throttle_run(t, tape->now, 0);
	}
	tape->now = until;
}

static void
bound_round(uint64_t seed, bool reserved)
{
	static struct tape tape;
	struct throttle_policy p = throttle_profile_mail;
	struct throttle_reservation got;
	struct throttle_source *src;
	struct throttle *t;

	memset(&tape, 0, sizeof(tape));
	p.interval_ms = 1 + (int64_t)(draw(&seed) % 50);
	p.burst = 1 + (uint32_t)(draw(&seed) % 12);
	p.initial = p.burst;
	p.freeze_at = 0;
	if (draw(&seed) % 3 == 0)
		p.limits[p.limit_count++] =
		    (struct throttle_limit){1 + (uint32_t)(draw(&seed) % 20),
			1 + (int64_t)(draw(&seed) % 500)};
	t = throttle_new(seed, 1, &tape_callbacks, &tape);
	src = throttle_get(t, "a", 1, &p, 0);
	for (uint32_t i = 1; i <= 700; i++) {
		uint64_t mode = draw(&seed) % 40;
		int64_t step = mode == 0 ? (int64_t)(draw(&seed) % 1000)
					 : (int64_t)(draw(&seed) % 8);

		advance(t, &tape, tape.now + step);
		throttle_reserve(t, src, 1000 + i, tape.now, &got);
		if (reserved)
			advance(t, &tape, tape.now + draw(&seed) % 40);
		tape.fate[i] = got.verdict == THROTTLE_HOLD;
		throttle_commit(t, src, &got, i, tape.now);
		if (got.verdict == THROTTLE_PASS)
			note(&tape, tape.now);
	}
	advance(t, &tape, tape.now + 700 * (p.interval_ms + 500));
	assert_int_equal(tape.len, 700); /* nothing was lost */
	check_bound(&tape, p.burst, p.interval_ms);
	throttle_free(t);
}

static void
test_bucket_bound(void **state)
{
	uint64_t seed = from_environment("WEIR_TEST_SEED", hash_random_seed());

	(void)state;
	printf("# WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
	for (uint64_t i = 0; i < 150; i++)
		bound_round(seed + i, i & 1);
}

static bool
match_third(void *arg, uint64_t destination, uint64_t ticket)
{
	struct tape *tape = arg;

	(void)destination;
	if (ticket % 3 != 0)
		return false;
	assert_int_equal(tape->fate[ticket], 1);
	tape->fate[ticket] = 3;
	return true;
}

/* Removing, late runs, a clock that goes back: each request has one fate. */
static void
test_nothing_lost_or_twice(void **state)
{
	static struct tape tape;
	struct throttle_policy p = throttle_profile_mail;
	uint64_t seed = from_environment("WEIR_TEST_SEED", hash_random_seed());
	struct throttle_source *src;
	struct throttle *t = throttle_new(1, 1, &tape_callbacks, &tape);

	(void)state;
	printf("# WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
	p.freeze_at = 0;
	src = throttle_get(t, "a", 1, &p, 0);
	for (uint32_t i = 1; i < 15000; i++) {
		struct throttle_reservation got;
		int64_t back = draw(&seed) % 4 ? 0 : 200000;

		tape.now += (int64_t)(draw(&seed) % 70000);
		throttle_request(t, src, i, i, tape.now - back, &got);
		tape.fate[i] = got.verdict == THROTTLE_HOLD;
		if (draw(&seed) % 50 == 0)
			throttle_run(t, tape.now - back, draw(&seed) % 30);
		if (draw(&seed) % 2000 == 0)
			throttle_remove(t, src, match_third, &tape);
	}
	throttle_run(t, tape.now + INT64_C(1000000000), 0);
	for (uint32_t i = 1; i < 15000; i++)
		assert_int_not_equal(tape.fate[i], 1);
	assert_int_equal(throttle_next_due(t), INT64_MAX);
	throttle_free(t);
}

/* A clock that goes back is one that stands: no token, no release, no time
 * in a limit window. */
static void
test_clock_going_back(void **state)
{
	struct throttle_policy p = throttle_profile_mail;
	struct throttle_source_info info;
	struct throttle_reservation got;
	struct throttle_source *src;
	struct throttle *t = throttle_new(1, 1, NULL, NULL);

	(void)state;
	p.limits[p.limit_count++] = (struct throttle_limit){5, 1000};
	src = throttle_get(t, "a", 1, &p, 1000000);
	for (uint64_t d = 1; d <= 5; d++)
		throttle_request(t, src, d, d, 1000000, &got);
	for (int64_t now = 1000000; now > -1000000; now -= 50000) {
		throttle_request(t, src, 6, 6, now, &got);
		assert_int_equal(got.verdict, THROTTLE_HOLD);
		assert_int_equal(got.reason, THROTTLE_LIMITED);
		assert_int_equal(throttle_run(t, now, 0), 0);
		throttle_source_info(t, src, now, &info);
		assert_int_equal(info.allowance, 5);
		assert_int_equal(info.last_seen, 1000000);
	}
	assert_int_equal(throttle_run(t, 1000999, 0), 0);
	assert_true(throttle_run(t, 1001000, 0) > 0);
	throttle_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mail_equals_model),
	    cmocka_unit_test(test_bucket_bound),
	    cmocka_unit_test(test_nothing_lost_or_twice),
	    cmocka_unit_test(test_clock_going_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
