/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the graphs of the mail daemon show.
 */
#include "maild/maild_internal.h"

#include "control/graph.h"

/* Gauges first, then the totals of the table below, in its order. */
static const struct trend_series series[] = {
    {"held_recipients", "Recipients held", true},
    {"held_messages", "Messages in the spool", true},
    {"frozen_senders", "Senders frozen", true},
    {"messages", "Messages accepted", false},
    {"passed_recipients", "Recipients passed", false},
    {"delayed_recipients", "Recipients held", false},
    {"released_recipients", "Recipients released", false},
    {"discarded_recipients", "Recipients discarded", false},
    {"refused_recipients", "Recipients refused", false},
    {"delivered_recipients", "Recipients delivered", false},
    {"deferred_recipients", "Attempts put off", false},
    {"bounces", "Bounces", false},
    {"freezes", "Freezes", false},
    {0},
};

static const enum counter totals[] = {
    COUNT_MESSAGES,
    COUNT_PASSED_RECIPIENTS,
    COUNT_DELAYED_RECIPIENTS,
    COUNT_RELEASED_RECIPIENTS,
    COUNT_DISCARDED_RECIPIENTS,
    COUNT_REFUSED_RECIPIENTS,
    COUNT_DELIVERED_RECIPIENTS,
    COUNT_DEFERRED_RECIPIENTS,
    COUNT_BOUNCES,
    COUNT_FREEZES,
};

static void
look(void *arg, uint64_t *values)
{
	const struct maild *m = arg;
	struct spool_stats spool;

	spool_stats(m->spool, &spool);
	*values++ = spool.recipients[SPOOL_HELD];
	*values++ = spool.messages;
	*values++ = gate_frozen_count(m->gate);
	for (size_t i = 0; i < ARRAY_LEN(totals); i++)
		*values++ = m->counters.v[totals[i]];
}

struct graph *
maild_graph_new(struct maild *m)
{
	_Static_assert(ARRAY_LEN(series) == ARRAY_LEN(totals) + 4,
	    "a series for each value");
	return graph_new(&(struct graph_source){
	    .loop = m->loop, .series = series, .look = look, .arg = m});
}
