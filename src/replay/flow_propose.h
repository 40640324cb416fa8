/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers for weir-netd that leave the traffic of a trace alone: of all that
 * hold no more than the target and freeze nobody, those under which outbreaks
 * reach the fewest. They are sought on the first part of the trace, widened by
 * a margin, and checked on the rest, which was kept back.
 */
#ifndef REPLAY_FLOW_PROPOSE_H
#define REPLAY_FLOW_PROPOSE_H

#include "replay/flow_policy.h"
#include "replay/flow_run.h"

#define FLOW_PROPOSE_LIMITS 2

struct flow_numbers {
	uint32_t working_set, burst;
	int64_t interval_ms;
	struct option_rate limits[FLOW_PROPOSE_LIMITS];
};

struct flow_proposal {
	struct flow_numbers numbers;
	bool is_found; /* no numbers of ours hold so little */
	uint32_t cut;  /* the first flow that was kept back */
	struct flow_part sought, kept;
	unsigned tried; /* policies */
};

/* The plans are the outbreaks that count. False: stopped. */
MUST_CHECK bool flow_propose(const struct flows *flows, double target,
    double keep_back, const struct attack_plan *plans, size_t plan_count,
    const volatile sig_atomic_t *stop, struct flow_proposal *out);

/* As a policy section. */
struct netpolicy_conf flow_numbers_conf(const struct flow_numbers *n);
/* A section of weir-netd.conf. */
void flow_numbers_print(const struct flow_numbers *n, char *out, size_t cap);

#endif
