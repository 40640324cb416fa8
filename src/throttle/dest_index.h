/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which destinations wait in one long delay queue, how many requests each has,
 * and their order. Keeps a hold and a release independent of the queue's
 * length. Destinations are keyed hashes already, so they are only mixed here.
 */
#ifndef THROTTLE_DEST_INDEX_H
#define THROTTLE_DEST_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct dest_slot {
	uint64_t destination;
	uint32_t rank;  /* order of first arrival in the queue; may wrap */
	uint32_t count; /* requests waiting; 0: the slot is empty */
};

struct dest_index {
	uint32_t mask, used;
	struct dest_slot slots[];
};

struct dest_index *dest_index_new(uint32_t expected, size_t *bytes);
void dest_index_free(struct dest_index **ix, size_t *bytes);
/* NULL: not there. Valid until the index changes. */
struct dest_slot *dest_index_find(struct dest_index *ix, uint64_t destination);
/* The destination must not be there; its count is 1. */
void dest_index_add(
    struct dest_index **ix, uint64_t destination, uint32_t rank, size_t *bytes);
void dest_index_remove(struct dest_index *ix, struct dest_slot *slot);

#endif
