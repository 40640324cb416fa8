/* SPDX-License-Identifier: BSD-3-Clause */
/* What a replay did to each sender. */
#ifndef REPLAY_REPORT_OUTCOME_H
#define REPLAY_REPORT_OUTCOME_H

#include "replay/replay.h"

struct report_outcome {
	uint64_t messages, recipients;
	uint64_t waited, never; /* recipients */
	int64_t total, longest; /* ms of waiting; of all, and of one */
	uint64_t causes[REPLAY_CAUSES];
	uint64_t freezes;
	const struct replay_freeze *frozen; /* the first; NULL: none */
};

/* By id up to the trace's id_max; heap. result is borrowed. */
struct report_outcome *report_outcomes(
    const struct trace *t, const struct replay_result *result);
/* Another policy makes a difference to the sender. */
bool report_outcome_differs(
    const struct report_outcome *a, const struct report_outcome *b);

#endif
