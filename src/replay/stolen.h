/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Outbreaks among the users of a trace, each in a replay of its own, and
 * beside it the same traffic without: the difference is what innocent users
 * feel. Blocks.
 */
#ifndef REPLAY_STOLEN_H
#define REPLAY_STOLEN_H

#include "replay/replay.h"
#include "replay/setup.h"

struct stolen_result {
	struct replay_outbreak outbreak;
	uint64_t innocent; /* users who send, but for the stolen ones */
	uint64_t touched;  /* of these: whose mail waits more, or longer, or who
			      are frozen more often, than without */
	uint64_t touched_recipients; /* that wait more */
};

struct stolen_results {
	struct stolen_result v[ATTACKS_MAX];
	size_t count;
};

/* How many of the plans are outbreaks; those come last then, in their order. */
size_t stolen_sort(struct attack_plan *plans, size_t n);
/* What the plans ask for that a configuration must know beforehand. */
MUST_CHECK int stolen_prepare(struct setup *setup,
    const struct attack_plan *plans, size_t n, struct err *err);
/* settings as for the trace without attacks; plans: outbreaks; start: wall ms
 * of the trace's first second, 0: it has none. 0, or a sysexits status with
 * why in err; stolen_clear in any case. */
MUST_CHECK int stolen_run(const struct replay_settings *settings, int64_t start,
    const struct attack_plan *plans, size_t n, struct stolen_results *out,
    struct err *err);
void stolen_clear(struct stolen_results *r);

#endif
