/* SPDX-License-Identifier: BSD-3-Clause */
/* The figures of a replay of flows, a column for each policy. */
#ifndef REPLAY_FLOW_REPORT_H
#define REPLAY_FLOW_REPORT_H

#include "replay/capture.h"
#include "replay/command.h"
#include "replay/flow_propose.h"

struct flow_column {
	const char *name; /* of the policy, borrowed */
	struct flow_result result;
	struct flow_attack_result attacks[ATTACKS_MAX];
};

struct flow_report {
	const char *trace; /* borrowed */
	const struct flows *flows;
	struct flow_part part;               /* that counts */
	const struct capture_stats *capture; /* NULL: a trace */
	const struct attack_plan *attacks;
	size_t attack_count;
	struct flow_column columns[PROFILES_MAX];
	size_t column_count;
};

/* What was proposed, and how it does beside others: on the part of the trace
 * on which it was sought, and on the one that was kept back. */
struct flow_proposal_report {
	double target;
	const struct flow_proposal *proposal;
	const char *text; /* for weir-netd.conf */
	struct flow_report sought, kept;
};

/* False: it could not be written. */
MUST_CHECK bool flow_report_print_text(const struct flow_report *r);
MUST_CHECK bool flow_report_print_json(const struct flow_report *r);
MUST_CHECK bool flow_proposal_print_text(const struct flow_proposal_report *r);
MUST_CHECK bool flow_proposal_print_json(const struct flow_proposal_report *r);

#endif
