/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flows through the gate of weir-netd on a clock of their own. Each flow is one
 * packet, the first; what the kernel would send again is not counted by the
 * gate either. A trace knows no names, so that every destination is one that
 * DNS did not name, and the figures are those of the worst case; a capture has
 * the answers, and who came in.
 */
#ifndef REPLAY_FLOW_RUN_H
#define REPLAY_FLOW_RUN_H

#include "netgate/netgate.h"
#include "replay/attack.h"
#include "replay/flows.h"
#include "replay/report.h"

#include <signal.h>

enum { FLOW_TCP, FLOW_UDP, FLOW_PROTOCOLS };

struct flow_figures {
	uint64_t flows;
	struct report_spread waited;
	uint64_t never; /* refused, or discarded with a freeze */
};

struct flow_result {
	struct flow_figures of[FLOW_PROTOCOLS];
	uint64_t sources;   /* hosts that opened flows */
	uint64_t freezes;   /* each ends after an hour */
	uint64_t frozen;    /* hosts */
	uint64_t unnoticed; /* hosts none of whose flows waited */
};

struct flow_attack_result {
	int64_t frozen_after; /* ms, -1: never within a day */
	uint64_t reached;     /* addresses, until the freeze or in a day */
};

/* The flows that count, by their number; those before are played, too. */
struct flow_part {
	uint32_t first, end;
};

static inline struct flow_part
flow_part_all(const struct flows *f)
{
	return (struct flow_part){0, f->count};
}

/* gate: hosts_max 0 is as many as there are. False: stopped by a signal. */
MUST_CHECK bool flow_run(const struct netgate_settings *gate,
    const struct flows *flows, struct flow_part part,
    const volatile sig_atomic_t *stop, struct flow_result *out);
/* A host never seen that reaches for a new address each time. */
MUST_CHECK bool flow_run_attack(const struct netgate_settings *gate,
    const struct ip *attacker, const struct attack_plan *plan,
    const volatile sig_atomic_t *stop, struct flow_attack_result *out);

/* What a policy alone needs. Borrowed: policies. */
struct netgate_settings flow_gate(const struct netpolicies *policies);

#endif
