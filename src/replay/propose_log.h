/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy for the senders of a log (propose.h): fitted on its first part, and
 * checked on the rest, which the search never sees. Senders are left out of
 * the fit who burst on a single day, as a stolen account does; bulk senders
 * get a policy of their own. Blocks.
 */
#ifndef REPLAY_PROPOSE_LOG_H
#define REPLAY_PROPOSE_LOG_H

#include "replay/logs.h"
#include "replay/propose.h"
#include "replay/replay.h"
#include "replay/senders.h"

/* Seconds of the trace. */
struct propose_window {
	uint32_t from, to;
};

/* How a sender fares in the part that was kept back. */
struct propose_touched {
	uint32_t id;
	uint64_t waited;
	int64_t longest;   /* ms */
	int64_t frozen_at; /* ms of the trace; -1: never */
	bool is_left_out;  /* it bursts */
};

/* One policy, or the configuration as it is, outside of the search. */
struct propose_check {
	/* first: before the fit, while weir knows nobody yet; all: bursts as
	 * well. */
	struct propose_outcome first, fit, kept, kept_all;
	struct replay_result attacks;
};

struct propose_log {
	const struct logs *logs;
	const struct setup *base;
	const struct attack_plan *attacks;
	size_t attack_count;
	const volatile sig_atomic_t *stop;
	bool is_reported; /* progress, to standard error */

	struct propose search;
	struct propose_window fit, kept;
	struct sender_habits *habits; /* of the first part */
	size_t habit_count;
	/* By id: of the first part, and of the whole. */
	bool *left_out_fit, *left_out;
	char *fragment; /* the proposal, as weir.conf has it */
	struct propose_check now, then;
	struct propose_touched *touched; /* the most first */
	size_t touched_count;
};

/* keep_back: share of the time. 0, or a sysexits status with why in err;
 * propose_log_clear in any case. */
MUST_CHECK int propose_log_run(
    struct propose_log *p, double target, double keep_back, struct err *err);
void propose_log_clear(struct propose_log *p);

#endif
