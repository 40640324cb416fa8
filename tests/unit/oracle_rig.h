/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the scripts in the shared server decide, held against what decides
 * without them: a real redis-server, three relays that ask it in turn, and
 * random numbers. Each question waits for its answer.
 */
#ifndef TESTS_UNIT_ORACLE_RIG_H
#define TESTS_UNIT_ORACLE_RIG_H

#include "throttle_random.h"

#include "redis_rig.h"
#include "share/arbiter.h"

#define ORACLE_RELAYS 3

struct oracle {
	struct redis_rig redis;
	struct arbiter *relays[ORACLE_RELAYS];
	uint64_t seed, ids;
	bool is_answered;
};

static inline void
oracle_open(struct oracle *o)
{
	char text[16];

	redis_rig_open(&o->redis);
	for (unsigned i = 0; i < ORACLE_RELAYS; i++) {
		snprintf(text, sizeof(text), "mx%u", i);
		o->relays[i] =
		    arbiter_new(o->redis.link, o->redis.seal, "weir", text);
	}
}

static inline void
oracle_close(struct oracle *o)
{
	redis_rig_stop(&o->redis);
	for (unsigned i = 0; i < ORACLE_RELAYS; i++)
		arbiter_free(o->relays[i]);
	redis_rig_close(&o->redis);
}

static inline uint64_t
oracle_below(struct oracle *o, uint64_t n)
{
	return draw(&o->seed) % n;
}

static inline unsigned
oracle_relay(struct oracle *o)
{
	return (unsigned)oracle_below(o, ORACLE_RELAYS);
}

/* WEIR_TEST_SEED repeats a run, WEIR_TEST_OPS sets its length. */
static inline uint64_t
oracle_begin(struct oracle *o)
{
	o->seed = from_environment("WEIR_TEST_SEED", 20261130);
	print_message("WEIR_TEST_SEED=%llu\n", (unsigned long long)o->seed);
	return from_environment("WEIR_TEST_OPS", 8000);
}

/* The answer has come. */
static inline void
oracle_answer(struct oracle *o)
{
	o->is_answered = true;
	loop_stop(o->redis.loop);
}

/* The answer ends it, or its deadline the test. */
static inline void
oracle_ask(struct oracle *o, unsigned relay, const struct share_question *q,
    share_answer_fn *fn, void *arg)
{
	o->is_answered = false;
	assert_true(arbiter_ops.ask(o->relays[relay], q, fn, arg));
	loop_run(o->redis.loop);
	assert_true(o->is_answered);
}

static inline void
oracle_ask_scopes(struct oracle *o, unsigned relay,
    const struct share_scopes *q, share_scopes_fn *fn, void *arg)
{
	o->is_answered = false;
	assert_true(arbiter_ops.ask_scopes(o->relays[relay], q, fn, arg));
	loop_run(o->redis.loop);
	assert_true(o->is_answered);
}

#endif
