/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weir-maild's gate was asked, out of its log at debug
 * (gate/gate_record.h), asked once more: the same questions at the same
 * milliseconds in the same order, and each verdict beside that of the daemon.
 */
#ifndef REPLAY_EXACT_H
#define REPLAY_EXACT_H

#include "replay/world.h"

#define EXACT_SHOWN 10 /* differences */
#define EXACT_TEXT_MAX 400

struct exact_stats {
	uint64_t lines, transactions, verdicts, different;
	uint64_t unknown;  /* lines of transactions whose begin is not there */
	uint64_t restarts; /* of the daemon */
	char shown[EXACT_SHOWN][EXACT_TEXT_MAX];
};

struct exact;

/* The world is borrowed. */
struct exact *exact_new(struct world *w);
void exact_free(struct exact *e);
/* lines_fn. Lines of other kinds are passed over. False: a line of ours cannot
 * be read, why says what is wrong. */
MUST_CHECK bool exact_add_line(void *exact, struct str line, struct err *why);
const struct exact_stats *exact_stats(const struct exact *e);

#endif
