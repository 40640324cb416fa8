/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * On which of its last days a source used up its day's limit. Days are those of
 * UTC. Pure.
 */
#ifndef GATE_HABIT_H
#define GATE_HABIT_H

#include "base/base.h"

#define HABIT_DAYS 7  /* looked at */
#define HABIT_TIMES 3 /* of them, and somebody should look */
#define HABIT_BYTES 9

struct habit {
	uint32_t day;  /* the latest that was noted; since 1970 */
	uint32_t told; /* 0: not told */
	uint8_t days;  /* a bit each, the lowest is `day` */
};

/* The limit was used up at that moment. True: for the third time in a week, and
 * nobody was told within a week. */
bool habit_note(struct habit *h, int64_t wall);
bool habit_is_noted(const struct habit *h, int64_t wall); /* for this day */

void habit_put(unsigned char **p, const struct habit *h);
/* False: it is of another time, and h is empty. */
MUST_CHECK bool habit_get(
    const unsigned char **p, int64_t wall, struct habit *h);

#endif
