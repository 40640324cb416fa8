/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which numbers a policy for people should have: a search over a grid that
 * knows nothing of logs. Whoever asks says what a policy costs and what a
 * stolen account reaches under it. Pure, but for what it calls.
 */
#ifndef REPLAY_PROPOSE_H
#define REPLAY_PROPOSE_H

#include "base/base.h"

#define PROPOSE_TRIALS_MAX 64

enum propose_number {
	PROPOSE_BURST,
	PROPOSE_INTERVAL, /* seconds */
	PROPOSE_FREEZE_AT,
	PROPOSE_MESSAGES, /* to strangers a day */
	PROPOSE_DAY,      /* strangers a day */
	PROPOSE_WEEK,     /* 0: no such limit */
	PROPOSE_NUMBERS
};

extern const char *const propose_number_name[PROPOSE_NUMBERS];

struct propose_policy {
	uint32_t v[PROPOSE_NUMBERS];
};

/* What a policy does. */
struct propose_outcome {
	uint64_t recipients, waited;
	uint64_t users, frozen;
	double reached; /* strangers in a day: geometric mean of the attacks */
};

struct propose_trial {
	struct propose_policy policy;
	struct propose_outcome outcome;
	uint8_t place[PROPOSE_NUMBERS]; /* in the grid */
};

/* False: stop; the error is the caller's. */
typedef bool propose_try_fn(void *arg, const struct propose_policy *policy,
    struct propose_outcome *out);

struct propose {
	double target; /* share of recipients that may wait */
	propose_try_fn *try;
	void *arg;
	struct propose_trial trials[PROPOSE_TRIALS_MAX]; /* in their order */
	size_t trial_count;
	const struct propose_trial *best; /* the nearest, if none reaches */
	bool is_reached;
};

/* Begins with the defaults. False: try said so. */
MUST_CHECK bool propose_search(struct propose *p);
bool propose_meets(const struct propose *p, const struct propose_outcome *o);
double propose_share(const struct propose_outcome *o);
/* The policy whose every number is the strictest of the grid. */
struct propose_policy propose_strictest(void);

#endif
