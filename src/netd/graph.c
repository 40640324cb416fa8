/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weir-netd's graphs show.
 */
#include "netd/internal.h"

/* Gauges first, then the totals of the table below, in its order. */
static const struct trend_series series[] = {
    {"held_recipients", "Packets held", true},
    {"frozen_senders", "Hosts frozen", true},
    {"packets", "Packets that came by", false},
    {"passed_recipients", "Packets passed", false},
    {"delayed_recipients", "Packets held", false},
    {"released_recipients", "Packets released", false},
    {"discarded_recipients", "Packets discarded", false},
    {"refused_recipients", "Packets refused", false},
    {"freezes", "Freezes", false},
    {0},
};

static const enum netgate_counter totals[] = {
    NETGATE_COUNT_PACKETS,
    NETGATE_COUNT_PASSED,
    NETGATE_COUNT_DELAYED,
    NETGATE_COUNT_RELEASED,
    NETGATE_COUNT_DISCARDED,
    NETGATE_COUNT_REFUSED,
    NETGATE_COUNT_FREEZES,
};

static void
look(void *arg, uint64_t *values)
{
	const struct netd *n = arg;
	const uint64_t *counters = netgate_counters(n->gate);

	*values++ = netgate_held_count(n->gate);
	*values++ = netgate_frozen_count(n->gate);
	for (size_t i = 0; i < ARRAY_LEN(totals); i++)
		*values++ = counters[totals[i]];
}

struct graph *
netd_graph_new(struct netd *n)
{
	_Static_assert(ARRAY_LEN(series) == ARRAY_LEN(totals) + 3,
	    "a series for each value");
	return graph_new(&(struct graph_source){
	    .loop = n->loop, .series = series, .look = look, .arg = n});
}
