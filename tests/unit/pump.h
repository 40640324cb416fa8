/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of what runs on the loop: runs it until a condition holds, and
 * fails the test when that takes too long.
 */
#ifndef TESTS_UNIT_PUMP_H
#define TESTS_UNIT_PUMP_H

#include "net/loop.h"

#define PUMP_LIMIT_MS 60000 /* under TSan on a busy machine, too */

/* What happens within the process is there after a few turns, and libevent's
 * coarse clock makes some 4 ms of a wait of 1: so many turns go without one. */
#define PUMP_EAGER_TURNS 100

struct pump {
	struct loop *loop;
	struct loop_timer tick;
	bool (*done)(void *arg);
	void *arg;
	int64_t limit;
	int eager;
};

static inline void
pump_tick(void *arg, int64_t now)
{
	struct pump *p = arg;

	if (p->done(p->arg) || now > p->limit)
		loop_stop(p->loop);
	else
		loop_timer_set(&p->tick, now + (p->eager-- > 0 ? 0 : 1));
}

static inline bool
pump_run(struct loop *l, bool (*done)(void *arg), void *arg, int eager)
{
	struct pump p = {.loop = l, .done = done, .arg = arg, .eager = eager};

	p.limit = loop_now(l) + PUMP_LIMIT_MS;
	loop_timer_init(&p.tick, l, pump_tick, &p);
	loop_timer_set(&p.tick, loop_now(l));
	loop_run(l);
	loop_timer_clear(&p.tick);
	return done(arg);
}

/* Runs the loop until done(arg); true when it came true in time. */
static inline bool
pump_until(struct loop *l, bool (*done)(void *arg), void *arg)
{
	return pump_run(l, done, arg, PUMP_EAGER_TURNS);
}

static inline bool
pump_is_set(void *arg)
{
	return *(const bool *)arg;
}

static inline bool
pump_is_over(void *arg)
{
	return --*(int *)arg < 0;
}

/* Runs the loop for some ms, for what must not happen. */
static inline void
pump_turns(struct loop *l, int turns)
{
	(void)pump_run(l, pump_is_over, &turns, 0);
}

/* Runs the loop so often, without a wait: for what is on its way within the
 * process. */
static inline void
pump_swiftly(struct loop *l, int turns)
{
	(void)pump_run(l, pump_is_over, &turns, turns);
}

#endif
