/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large spools, which weir reads behind its listeners: in half of the lives a
 * page has a message or three, comes late, and the start waits for none. What
 * must hold: nothing is decided of a sender before its queue is there, and
 * nothing is in a queue twice.
 */
#include "sim.h"

#include "gate/gate_internal.h"
#include "gate/gate_tier.h"
#include "throttle/core.h"

#include <inttypes.h>
#include <stdlib.h>

static struct {
	struct spool *spool; /* that is open */
	bool is_slow;
} load;

struct late {
	struct spool *s;
	spool_held_fn *fn;
	void *arg;
};

struct spool *__real_spool_open(const struct spool_settings *settings,
    struct log *log, char *err, size_t err_cap, int *status);
struct spool *__wrap_spool_open(const struct spool_settings *settings,
    struct log *log, char *err, size_t err_cap, int *status);
void __real_spool_close(struct spool *s);
void __wrap_spool_close(struct spool *s);
void __real_spool_load_held(struct spool *s, spool_held_fn *fn, void *arg);
void __wrap_spool_load_held(struct spool *s, spool_held_fn *fn, void *arg);
bool __real_gate_load_wait(struct gate *g, int64_t ms);
bool __wrap_gate_load_wait(struct gate *g, int64_t ms);
void __real_gate_run(struct gate *g, int64_t now, int64_t wall);
void __wrap_gate_run(struct gate *g, int64_t now, int64_t wall);
void __real_throttle_reserve(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out);
void __wrap_throttle_reserve(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out);

struct spool *
__wrap_spool_open(const struct spool_settings *settings, struct log *log,
    char *err, size_t err_cap, int *status)
{
	struct spool_settings own = *settings;

	load.is_slow = sim_chance(500);
	if (load.is_slow)
		own.load_page = 1 + (uint32_t)sim_below(3);
	load.spool = __real_spool_open(&own, log, err, err_cap, status);
	return load.spool;
}

void
__wrap_spool_close(struct spool *s)
{
	load.spool = NULL;
	__real_spool_close(s);
}

static void
late_main(void *arg)
{
	struct late *l = arg;

	co_sleep(sim_span(0, 30 * SECOND_US));
	if (load.spool == l->s)
		__real_spool_load_held(l->s, l->fn, l->arg);
	free(l);
}

void
__wrap_spool_load_held(struct spool *s, spool_held_fn *fn, void *arg)
{
	struct late *l;

	if (!load.is_slow) {
		__real_spool_load_held(s, fn, arg);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	*l = (struct late){s, fn, arg};
	co_start(late_main, l, true);
}

bool
__wrap_gate_load_wait(struct gate *g, int64_t ms)
{
	return !load.is_slow && __real_gate_load_wait(g, ms);
}

void
__wrap_throttle_reserve(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out)
{
	if (src->is_loading)
		sim_fail("a sender is asked about before its queue is there");
	__real_throttle_reserve(t, src, destination, now, out);
}

static void
count_one(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)destination;
	*(uint64_t *)arg += ticket != 0;
}

/* What was released and is not on the disk yet has left its queue before. */
static void
look_at_queues(struct gate *g)
{
	struct throttle_source *src;
	struct spool_stats stats;
	uint64_t queued = 0;
	size_t pos = 0;

	if (load.spool == NULL || gate_is_loading(g) ||
	    !spool_is_idle(load.spool))
		return;
	while ((src = throttle_each(g->throttle, &pos)) != NULL)
		tier_queue_each(src, count_one, &queued);
	spool_stats(load.spool, &stats);
	if (queued > stats.recipients[SPOOL_HELD])
		sim_fail("%" PRIu64 " recipients are queued, %" PRIu64
			 " are held",
		    queued, stats.recipients[SPOOL_HELD]);
}

void
__wrap_gate_run(struct gate *g, int64_t now, int64_t wall)
{
	__real_gate_run(g, now, wall);
	look_at_queues(g);
}
