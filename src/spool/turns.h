/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deficit round robin (Shreedhar and Varghese, 1995): whose message goes next.
 * In each round a source may send TURNS_QUANTUM octets for each unit of its
 * weight; what it did not use because its next message is larger stays its own
 * for the next round, as long as it has something to send. So each source with
 * mail due gets its share by weight, whatever the others have waiting, and the
 * share is of octets, so that large messages are no advantage.
 *
 * Pure: the sources and their queues lie with the caller, who finds the next
 * one above a key. What is kept here is the position in the round and some
 * unused octets. Losing it costs one round's fairness and nothing else.
 */
#ifndef SPOOL_TURNS_H
#define SPOOL_TURNS_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TURNS_QUANTUM 32768
/* What a message costs beside its octets: its envelope and replies. */
#define TURNS_MESSAGE 8192
#define TURNS_WEIGHT_MAX 100
/* Sources with unused octets; one more sends its message at once. */
#define TURNS_DEFICITS 256
/* Sources that one run looks at. */
#define TURNS_VISITS 1000

struct turns_head { /* the next message of a source */
	uint64_t octets;
	uint32_t weight; /* of the source; 0 counts as 1 */
};

struct turns_ops {
	/* The first source above `after`, whether or not anything of it is due;
	 * false: none is left. Keys are above INT64_MIN. */
	bool (*next)(void *arg, int64_t after, int64_t *key);
	/* False: nothing of it is due. */
	bool (*head)(void *arg, int64_t key, struct turns_head *out);
	/* The message that head told goes. False: no more, for an error. */
	bool (*take)(void *arg);
};

struct turns_deficit {
	int64_t key, octets;
	uint32_t weight;
	bool is_fresh; /* of this round */
};

struct turns {        /* turns_init */
	int64_t at;   /* the source whose turn it is, or was last */
	bool is_open; /* its turn was cut short by max */
	size_t n;
	struct turns_deficit deficits[TURNS_DEFICITS];
};

void turns_init(struct turns *t);
/* Takes up to max messages. *looked: false when sources were left that were not
 * looked at. Returns how many it took. */
size_t turns_run(struct turns *t, const struct turns_ops *ops, void *arg,
    size_t max, bool *looked);

#endif
