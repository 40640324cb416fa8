/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holds the mail mode against a naive model that lives through every
 * millisecond: each verdict, the order of all releases, allowance and windows
 * must be equal, with reservations, cancels, limit windows, freeze and thaw,
 * late runs, and restarts from a snapshot in between.
 *
 * WEIR_TEST_SEED repeats a run, WEIR_TEST_ROUNDS sets its length.
 */
#include "throttle_random.h"

#define OPS 1500
#define OPEN_MAX 12

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
	return m->queue_len < m->p->freeze_at && wait < m->p->queue_max
		   ? THROTTLE_HOLD
		   : THROTTLE_REFUSE;
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
	p->queue_max = p->freeze_at + below(r, 20);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mail_equals_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
