/* SPDX-License-Identifier: BSD-3-Clause */
/* The figures of a replay of flows, a column for each profile. */
#ifndef REPLAY_FLOW_REPORT_H
#define REPLAY_FLOW_REPORT_H

#include "replay/command.h"
#include "replay/flow_run.h"

struct flow_column {
	const char *profile; /* borrowed */
	struct flow_result result;
	struct flow_attack_result attacks[ATTACKS_MAX];
};

struct flow_report {
	const char *trace; /* borrowed */
	const struct flows *flows;
	const struct attack_plan *attacks;
	size_t attack_count;
	struct flow_column columns[PROFILES_MAX];
	size_t column_count;
};

/* False: it could not be written. */
MUST_CHECK bool flow_report_print_text(const struct flow_report *r);
MUST_CHECK bool flow_report_print_json(const struct flow_report *r);

#endif
