/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hashes with the time of each, as stored state:
 *
 *	count u8 | for each: value u64 | seconds since u32
 */
#ifndef GATE_DATED_H
#define GATE_DATED_H

#include "base/base.h"

struct dated {
	uint64_t value;
	int64_t at; /* ms */
};

#define DATED_STATE_MAX(n) (1 + 12 * (n))

/* n: at most 255. Returns the length. */
size_t dated_save(
    const struct dated *v, size_t n, int64_t now, unsigned char *out);
/* At most max of them, saved when it was `then`. False: it is no such state. */
MUST_CHECK bool dated_load(struct dated *v, size_t max, uint32_t *count,
    const unsigned char *p, size_t n, int64_t then);

#endif
