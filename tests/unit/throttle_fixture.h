/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One mail source under a small policy, and what its callbacks saw: shared by
 * the unit tests of the throttle. Included once per test program.
 */
#ifndef THROTTLE_FIXTURE_H
#define THROTTLE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "weir/throttle.h"

#define MINUTE INT64_C(60000)

struct seen {
	uint64_t tickets[512];
	uint32_t released, frozen, expired;
	enum throttle_freeze_reason reason;
	struct throttle *t; /* set: thaw inside on_freeze */
	int64_t now;
};

static inline void
on_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct seen *seen = arg;

	(void)src;
	(void)destination;
	assert_true(seen->released < ARRAY_LEN(seen->tickets));
	seen->tickets[seen->released++] = ticket;
}

static inline void
on_freeze(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason)
{
	struct seen *seen = arg;

	seen->frozen++;
	seen->reason = reason;
	if (seen->t)
		throttle_thaw(seen->t, src, seen->now);
}

static inline void
on_expire(void *arg, struct throttle_source *src)
{
	struct seen *seen = arg;

	(void)src;
	seen->expired++;
}

static const struct throttle_callbacks callbacks = {
    .on_release = on_release,
    .on_freeze = on_freeze,
    .on_expire = on_expire,
};

struct fixture {
	struct seen seen;
	struct throttle_policy p;
	struct throttle *t;
	struct throttle_source *src;
	struct throttle_reservation r;
	struct throttle_source_info info;
};

/* Mail: n 4, one a minute, two at once, frozen at 5. */
static inline int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->p = throttle_profile_mail;
	f->p.working_set = 4;
	f->p.burst = f->p.initial = 2;
	f->p.freeze_at = 5;
	f->p.queue_max = 8;
	f->t = throttle_new(7, 100, &callbacks, &f->seen);
	f->src = throttle_get(f->t, "a", 1, &f->p, 0);
	*state = f;
	return 0;
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;

	throttle_free(f->t);
	free(f);
	return 0;
}

static inline void
ask(struct fixture *f, uint64_t d, int64_t now)
{
	throttle_request(f->t, f->src, d, d, now, &f->r);
}

static inline void
look(struct fixture *f, int64_t now)
{
	throttle_source_info(f->t, f->src, now, &f->info);
}

#define VERDICT(f, v, why)                                       \
	do {                                                     \
		assert_int_equal((f)->r.verdict, THROTTLE_##v);  \
		assert_int_equal((f)->r.reason, THROTTLE_##why); \
	} while (0)

static inline void
fill(struct fixture *f, uint64_t from, uint32_t count, int64_t now)
{
	for (uint32_t i = 0; i < count; i++)
		ask(f, from + i, now);
}

static inline bool
match_all(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)arg;
	(void)destination;
	(void)ticket;
	return true;
}

static inline bool
match_odd(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)arg;
	(void)destination;
	return ticket & 1;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
