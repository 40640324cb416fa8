/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * New recipients that a sender's mail went to under an ENVID of weir's: a
 * bounce counts for one of these, and for each once. The latest SENT_MAX of a
 * week. Pure; `now` in ms.
 */
#ifndef GATE_SENT_H
#define GATE_SENT_H

#include "gate/dated.h"

#define SENT_MAX 64
#define SENT_EXPIRY_MS (7 * 24 * INT64_C(3600000))

struct sent { /* zero: none */
	struct dated
	    v[SENT_MAX]; /* marks of a message and a recipient, a ring */
	uint32_t n, next;
};

void sent_add(struct sent *s, uint64_t mark, int64_t now);
bool sent_has(const struct sent *s, uint64_t mark, int64_t now);
/* It was there, and is there no longer. */
MUST_CHECK bool sent_take(struct sent *s, uint64_t mark, int64_t now);

/* ---- stored state ---- */

#define SENT_STATE_MAX DATED_STATE_MAX(SENT_MAX)

size_t sent_save(
    const struct sent *s, int64_t now, unsigned char out[SENT_STATE_MAX]);
/* What was saved age_ms ago. False: it is no such state. */
MUST_CHECK bool sent_load(struct sent *s, const unsigned char *p, size_t n,
    int64_t age_ms, int64_t now);

#endif
