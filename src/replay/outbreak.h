/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worm among very many hosts or mail users, of whom a share has the throttle:
 * the real core, one source for each. What they do besides is not played, so a
 * throttle has all of its allowance at the start; a mail user knows the people
 * whom the trace says it wrote to last. By its seed the same each time.
 *
 * Hosts are reached at random or mostly in their own network; mail users by the
 * graph of who wrote to whom, and there a message infects when it is opened.
 */
#ifndef REPLAY_OUTBREAK_H
#define REPLAY_OUTBREAK_H

#include "base/base.h"
#include "weir/throttle.h"

#include <signal.h>

#define OUTBREAK_HOSTS_MAX 1000000

enum outbreak_spread {
	OUTBREAK_RANDOM,
	OUTBREAK_LOCAL,
	OUTBREAK_CONTACTS,
};

/* Whom each knows, the latest first: those of i are to[first[i]] up to
 * to[first[i + 1]]. */
struct outbreak_graph {
	uint32_t nodes;
	uint32_t *first, *to;
};

struct outbreak_settings {
	enum outbreak_spread spread;
	uint32_t hosts;   /* that can be infected; of contacts: the graph's */
	uint32_t first;   /* infected at the start */
	double rate;      /* attempts a second of one infected host */
	double density;   /* of the addresses tried: share that is a host which
			     can be infected; of contacts: share of the
			     addresses that a worm finds which are of people
			     its user knows; the others are strangers */
	uint32_t network; /* local: hosts of one network */
	double local_share; /* of attempts that stay there */
	const struct outbreak_graph *graph;
	double open_share; /* of the messages that are opened ... */
	double open_s;     /* ... after so long, on average */
	const struct throttle_policy *policy;
	unsigned deployed; /* percent of the hosts that have it */
	int64_t until_ms;
	uint64_t seed;
	const volatile sig_atomic_t *stop; /* NULL: none */
};

struct outbreak_point {
	double t, ever;
};

struct outbreak_result {
	struct outbreak_point *points; /* as ever grows; the last is the end */
	size_t n, cap;
	uint32_t ever, throttled, frozen; /* hosts; ever infected, of these with
					     the throttle, of these frozen */
	uint64_t throttled_out; /* contacts that throttled hosts made */
	uint64_t outside;       /* of contacts: messages to strangers */
	uint64_t attempts;      /* that went through a throttle */
};

/* False: stopped. The result is cleared by the caller in any case. */
MUST_CHECK bool outbreak_run(
    const struct outbreak_settings *settings, struct outbreak_result *out);
void outbreak_clear(struct outbreak_result *r);
/* Seconds until so many were ever infected; INFINITY: never. */
double outbreak_time(const struct outbreak_result *r, double hosts);

#endif
