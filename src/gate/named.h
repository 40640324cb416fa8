/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decoys that incoming mail has named to a user: whoever answers to all of
 * such a mail has not looked into an address book. A few a user, for a month;
 * the one named longest ago makes room. Pure; `now` in ms.
 */
#ifndef GATE_NAMED_H
#define GATE_NAMED_H

#include "gate/dated.h"

#define NAMED_MAX 16
#define NAMED_EXPIRY_MS (30 * 24 * INT64_C(3600000))

struct named {
	struct dated v[NAMED_MAX]; /* destinations, in no order */
	uint32_t n;
};

void named_add(struct named *s, uint64_t destination, int64_t now);
bool named_has(const struct named *s, uint64_t destination, int64_t now);

/* ---- stored state ---- */

#define NAMED_STATE_MAX DATED_STATE_MAX(NAMED_MAX)

size_t named_save(
    const struct named *s, int64_t now, unsigned char out[NAMED_STATE_MAX]);
/* What was saved age_ms ago. False: it is no such state. */
MUST_CHECK bool named_load(struct named *s, const unsigned char *p, size_t n,
    int64_t age_ms, int64_t now);

#endif
