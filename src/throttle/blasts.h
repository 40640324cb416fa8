/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The messages to many that wait in one source's delay queue: how many requests
 * of each still do. An entry of the queue carries the number of its blast; 0:
 * it is of none. A number is used again when nothing of its blast waits.
 */
#ifndef THROTTLE_BLASTS_H
#define THROTTLE_BLASTS_H

#include <stddef.h>
#include <stdint.h>

#define BLASTS_MAX 255 /* past it a message counts like any other */

struct blast {
	uint32_t waiting;
	uint32_t named; /* all that were appended */
	int64_t at;     /* the first; TIME_MIN: not known */
};

struct blasts { /* NULL: none */
	uint32_t n;
	struct blast v[];
};

/* The number of a new one; 0: there is no room. */
uint8_t blasts_open(struct blasts **b, int64_t at, size_t *bytes);
void blasts_free(struct blasts **b, size_t *bytes);
void blasts_add(struct blasts *b, uint8_t number);
void blasts_remove(struct blasts *b, uint8_t number);
/* Of which most wait. NULL: none. */
const struct blast *blasts_largest(const struct blasts *b);
/* What was named so far is new no more. */
void blasts_forget_growth(struct blasts *b);
/* How many requests of those that came later than `since`. */
uint64_t blasts_named_after(const struct blasts *b, int64_t since);

#endif
