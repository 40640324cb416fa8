/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How senders behave, whatever a policy does to them: to how many strangers
 * each wrote in its busiest day and in its busiest week. A stranger is whom the
 * sender had not written to since the trace began.
 */
#ifndef REPLAY_SENDERS_H
#define REPLAY_SENDERS_H

#include "replay/trace.h"

#define SENDERS_BULK 100

struct sender_habits {
	uint32_t id;
	uint64_t messages, recipients, strangers;
	uint32_t day, week;             /* strangers in the busiest */
	uint32_t day_messages;          /* that named one, in the busiest */
	uint32_t bulk_days;             /* with SENDERS_BULK recipients */
	uint32_t day_start, week_start; /* seconds of the trace */
};

/* By id, of those who send; *count of them, heap. Only mail of users. */
struct sender_habits *senders_habits(
    const struct trace *trace, const struct trace_nodes *nodes, size_t *count);

#endif
