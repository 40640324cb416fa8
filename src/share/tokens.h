/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a relay's card says now, and what a question to that relay must name:
 * one that is copied, or kept back for long, is told from a new one. Pure, the
 * caller has the clock and the random numbers.
 */
#ifndef SHARE_TOKENS_H
#define SHARE_TOKENS_H

#include "base/base.h"

#define TOKENS_TURN_MS 30000
#define TOKENS_LAST_MS (2 * TOKENS_TURN_MS)
#define TOKENS_READ_MAX 8192 /* questions under one token */

struct token {
	uint64_t value; /* 0: none */
	int64_t made_at;
	uint64_t read[TOKENS_READ_MAX];
	size_t read_n;
};

struct tokens {            /* all zero at first */
	struct token v[2]; /* the newest first */
};

/* Takes value for the newest token when that is due. */
void tokens_turn(struct tokens *t, uint64_t value, int64_t now);
/* A question that names token: until when it may be carried out. Not after now:
 * it may not; it was read before, was kept back, or is one too many. */
int64_t tokens_take(
    struct tokens *t, uint64_t token, uint64_t question, int64_t now);

#endif
