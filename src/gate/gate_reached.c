/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom a source wrote to, remembered for long after the working set has
 * forgotten: everybody that its mail went to, at once, in its turn or by hand.
 * Somebody whose mail still waits is not among them.
 */
#include "gate/gate_internal.h"

static void
on_due(void *arg)
{
	gate_changed(arg);
}

/* A familiar_for that is short for a day, by mistake, forgets nobody for good.
 */
#define KEEP_LEAST_MS (365 * ACQUAINTANCE_DAY_MS)

/* Of the disk a gigabyte or two, when all are as full as incoming mail can make
 * them. */
#define ROWS_MAX 1000000

static int64_t
keep_ms(const struct policies *policies)
{
	int64_t most = policies_familiar_for(policies);

	return most > KEEP_LEAST_MS ? most : KEEP_LEAST_MS;
}

void
reached_set_memory(struct gate *g, uint64_t bytes, bool is_scratch)
{
	struct acquaintances_settings settings = {
	    .keep_ms = keep_ms(g->policies),
	    .bytes_max = is_scratch ? SIZE_MAX : bytes,
	    .rows_max = ROWS_MAX,
	    .on_new = known_on_new,
	    .on_met = known_on_met,
	    .on_due = on_due,
	    .arg = g,
	};

	g->remembers = bytes > 0;
	g->learns =
	    g->remembers && g->locals != NULL && policies_learn(g->policies);
	if (g->acquaintances == NULL)
		g->acquaintances = acquaintances_new(&settings,
		    is_scratch ? NULL : g->spool, g->counters, g->log);
	else
		acquaintances_reload(g->acquaintances, &settings);
}

void
reached_want(struct gate *g, const struct policy *policy, struct str key,
    int64_t now, int64_t wall)
{
	if (g->remembers && policy->remembers && !g->is_dry)
		acquaintances_want(g->acquaintances, key, now, wall);
}

void
reached_note(struct gate *g, const struct policy *policy, struct str key,
    uint64_t destination, uint64_t site, int64_t wall)
{
	if (g->remembers && policy->remembers && policy->familiar_for_ms > 0 &&
	    !g->is_dry)
		acquaintances_add_shared(g->acquaintances, key, destination,
		    site, ACQUAINTANCE_WROTE_TO, wall);
}
