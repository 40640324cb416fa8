/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holds the paper mode against a literal transcription of the paper's rules
 * (Twycross & Williamson 2003, section 3.1): a second program, naive on
 * purpose, that ticks every clock in every interval. Random requests, times,
 * sources and policies, and throttle_run coming as late as it likes: every
 * verdict and the order of all releases must be equal.
 *
 * WEIR_TEST_SEED repeats a run, WEIR_TEST_OPS sets its length.
 */
#include "throttle_random.h"

#define SOURCES 5
#define SET_MAX 16
#define QUEUE_MAX 64
#define ROUND_OPS 2000

/* ---- the paper ---- */

struct request {
	uint64_t destination, ticket;
	int64_t released_at;
};

struct paper {
	uint32_t n, limit;
	int64_t interval, next_tick;
	bool started, frozen;
	uint64_t set[SET_MAX]; /* oldest first */
	uint32_t set_len;
	struct request queue[QUEUE_MAX];
	uint32_t queue_len;
	struct request released[ROUND_OPS + QUEUE_MAX];
	uint32_t released_len;
};

static int
paper_member(const struct paper *p, uint64_t d)
{
	for (uint32_t i = 0; i < p->set_len; i++)
		if (p->set[i] == d)
			return (int)i;
	return -1;
}

static void
paper_discard(struct paper *p, uint32_t at)
{
	for (uint32_t i = at + 1; i < p->set_len; i++)
		p->set[i - 1] = p->set[i];
	p->set_len--;
}

static void
paper_add(struct paper *p, uint64_t d)
{
	if (p->set_len == p->n)
		paper_discard(p, 0);
	p->set[p->set_len++] = d;
}

/* "Pop its head and every other request in it for the same destination." */
static void
paper_pop(struct paper *p, int64_t now)
{
	uint64_t d = p->queue[0].destination;
	uint32_t rest = 0;

	for (uint32_t i = 0; i < p->queue_len; i++) {
		if (p->queue[i].destination == d) {
			p->queue[i].released_at = now;
			p->released[p->released_len++] = p->queue[i];
		} else {
			p->queue[rest++] = p->queue[i];
		}
	}
	p->queue_len = rest;
	paper_add(p, d);
}

static void
paper_tick(struct paper *p, int64_t now)
{
	if (p->frozen)
		return;
	if (p->queue_len > 0)
		paper_pop(p, now);
	else if (p->set_len == p->n)
		paper_discard(p, 0);
}

static void
paper_clock(struct paper *p, int64_t now)
{
	for (; p->started && p->next_tick <= now; p->next_tick += p->interval)
		paper_tick(p, p->next_tick);
}

static enum throttle_verdict
paper_request(struct paper *p, uint64_t d, uint64_t ticket, int64_t now)
{
	int at;

	if (!p->started) {
		p->started = true;
		p->next_tick = now + p->interval;
	}
	if (p->frozen)
		return THROTTLE_REFUSE;
	at = paper_member(p, d);
	if (at >= 0) {
		paper_discard(p, (uint32_t)at);
		p->set[p->set_len++] = d;
		return THROTTLE_PASS;
	}
	if (p->set_len < p->n) {
		paper_add(p, d);
		return THROTTLE_PASS;
	}
	p->queue[p->queue_len++] = (struct request){d, ticket, -1};
	if (p->queue_len == p->limit)
		p->frozen = true;
	return THROTTLE_HOLD;
}

/* ---- both side by side ---- */

struct round {
	struct paper paper[SOURCES];
	struct throttle_policy policy[SOURCES];
	struct throttle *t;
	struct throttle_source *src[SOURCES];
	uint32_t delivered[SOURCES];
	int64_t last_release; /* in this throttle_run */
	int64_t now;
	uint64_t seed, ticket;
	uint64_t *seen; /* by verdict, then releases */
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
	uint32_t i = (uint32_t)(uintptr_t)throttle_source_user(src);
	const struct request *want;

	assert_true(r->delivered[i] < r->paper[i].released_len);
	want = &r->paper[i].released[r->delivered[i]++];
	assert_int_equal(ticket, want->ticket);
	assert_int_equal(destination, want->destination);
	/* Over all sources, in the order of their moments. */
	assert_true(want->released_at >= r->last_release);
	r->last_release = want->released_at;
	r->seen[THROTTLE_REFUSE + 1]++;
}

static const struct throttle_callbacks callbacks = {.on_release = on_release};

static void
start_source(struct round *r, uint32_t i)
{
	struct throttle_policy *p = &r->policy[i];
	struct paper *paper = &r->paper[i];

	*p = throttle_profile_tcp;
	p->working_set = 1 + below(r, below(r, 2) ? 5 : SET_MAX);
	p->interval_ms = 1 + below(r, below(r, 2) ? 10 : 1000);
	p->freeze_at = 1 + below(r, QUEUE_MAX);
	p->queue_max = p->freeze_at;
	assert_null(throttle_policy_error(p));
	memset(paper, 0, sizeof(*paper));
	paper->n = p->working_set;
	paper->interval = p->interval_ms;
	paper->limit = p->freeze_at;
	r->src[i] = throttle_get(r->t, &i, sizeof(i), p, r->now);
	throttle_source_set_user(r->src[i], (void *)(uintptr_t)i);
	r->delivered[i] = 0;
}

static void
step_time(struct round *r)
{
	int64_t interval = r->policy[below(r, SOURCES)].interval_ms;

	switch (below(r, 10)) {
	case 0:
		r->now += interval;
		break;
	case 1:
		r->now += below(r, 4 * (uint32_t)interval);
		break;
	case 2:
		r->now += below(r, 20) == 0 ? 30 * interval : 1;
		break;
	case 3:
		r->now += below(r, 3);
		break;
	default:
		break;
	}
}

static void
run(struct round *r, size_t max)
{
	for (uint32_t i = 0; i < SOURCES; i++)
		paper_clock(&r->paper[i], r->now);
	r->last_release = INT64_MIN;
	throttle_run(r->t, r->now, max);
	for (uint32_t i = 0; i < SOURCES && max == 0; i++)
		assert_int_equal(r->delivered[i], r->paper[i].released_len);
}

static void
thaw(struct round *r, uint32_t i)
{
	paper_clock(&r->paper[i], r->now);
	r->paper[i].frozen = false;
	throttle_thaw(r->t, r->src[i], r->now);
	/* The paper has no thaw; only a queue below its limit can reach it. */
	while (r->paper[i].queue_len >= r->paper[i].limit) {
		r->now += r->paper[i].interval;
		paper_clock(&r->paper[i], r->now);
	}
}

static void
request(struct round *r, uint32_t i, uint32_t spread)
{
	struct throttle_reservation got;
	enum throttle_verdict want;
	uint64_t d = below(r, spread);

	paper_clock(&r->paper[i], r->now);
	want = paper_request(&r->paper[i], d, r->ticket, r->now);
	if (below(r, 2)) {
		throttle_request(r->t, r->src[i], d, r->ticket, r->now, &got);
	} else {
		throttle_reserve(r->t, r->src[i], d, r->now, &got);
		throttle_commit(r->t, r->src[i], &got, r->ticket, r->now);
	}
	r->ticket++;
	assert_int_equal(got.verdict, want);
	r->seen[want]++;
}

static void
check_state(struct round *r, uint32_t i)
{
	struct throttle_source_info info;

	paper_clock(&r->paper[i], r->now);
	throttle_source_info(r->t, r->src[i], r->now, &info);
	assert_int_equal(info.frozen, r->paper[i].frozen);
	assert_int_equal(info.queue_length, r->paper[i].queue_len);
	assert_int_equal(info.working_set, r->paper[i].set_len);
}

static void
play_round(uint64_t seed, uint32_t ops, uint64_t *seen)
{
	static struct round r; /* large */
	uint32_t spread, late;

	memset(&r, 0, sizeof(r));
	r.seed = seed;
	r.seen = seen;
	r.now = (int64_t)below(&r, 1000000);
	r.t = throttle_new(seed, SOURCES, &callbacks, &r);
	spread = 2 + below(&r, 60);
	late = 1 + below(&r, 50);
	for (uint32_t i = 0; i < SOURCES; i++)
		start_source(&r, i);
	for (uint32_t op = 0; op < ops; op++) {
		uint32_t i = below(&r, SOURCES);

		step_time(&r);
		request(&r, i, spread);
		if (below(&r, late) == 0)
			run(&r, below(&r, 2) ? 0 : 1 + below(&r, 5));
		if (below(&r, 8) == 0)
			check_state(&r, i);
		if (r.paper[i].frozen && below(&r, 20) == 0)
			thaw(&r, i);
	}
	run(&r, 0);
	throttle_free(r.t);
}

static void
test_paper_equals_its_text(void **state)
{
	uint64_t seed = from_environment("WEIR_TEST_SEED", hash_random_seed());
	uint64_t ops = from_environment("WEIR_TEST_OPS", 4000000);

	uint64_t seen[THROTTLE_REFUSE + 2] = {0};

	(void)state;
	printf("# WEIR_TEST_SEED=%llu, %llu operations\n",
	    (unsigned long long)seed, (unsigned long long)ops);
	for (uint64_t done = 0; done < ops; done += ROUND_OPS)
		play_round(seed + done, ROUND_OPS, seen);
	printf("# pass %llu, hold %llu, refuse %llu, released %llu\n",
	    (unsigned long long)seen[THROTTLE_PASS],
	    (unsigned long long)seen[THROTTLE_HOLD],
	    (unsigned long long)seen[THROTTLE_REFUSE],
	    (unsigned long long)seen[THROTTLE_REFUSE + 1]);
	/* The draw must reach every rule often, or equality says little. */
	for (uint32_t i = 0; i < ARRAY_LEN(seen); i++)
		assert_true(seen[i] >= ops / 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paper_equals_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
