/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of what runs on the loop: runs it until a condition holds, and
 * fails the test when that takes too long.
 */
#ifndef TESTS_UNIT_PUMP_H
#define TESTS_UNIT_PUMP_H

#include "net/loop.h"

#define PUMP_LIMIT_MS 60000 /* under TSan on a busy machine, too */

struct pump {
	struct loop *loop;
	struct loop_timer tick;
	bool (*done)(void *arg);
	void *arg;
	int64_t limit;
};

static inline void
pump_tick(void *arg, int64_t now)
{
	struct pump *p = arg;

	if (p->done(p->arg) || now > p->limit)
		loop_stop(p->loop);
	else
		loop_timer_set(&p->tick, now + 1);
}

/* Runs the loop until done(arg); true when it came true in time. */
static inline bool
pump_until(struct loop *l, bool (*done)(void *arg), void *arg)
{
	struct pump p = {.loop = l, .done = done, .arg = arg};

	p.limit = loop_now(l) + PUMP_LIMIT_MS;
	loop_timer_init(&p.tick, l, pump_tick, &p);
	loop_timer_set(&p.tick, loop_now(l));
	loop_run(l);
	loop_timer_clear(&p.tick);
	return done(arg);
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

/* Runs the loop for some turns, for what must not happen. */
static inline void
pump_turns(struct loop *l, int turns)
{
	(void)pump_until(l, pump_is_over, &turns);
}

#endif
