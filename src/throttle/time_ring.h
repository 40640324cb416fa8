/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The latest moments of something, at most THROTTLE_COUNT_MAX of them, oldest
 * overwritten first. Exact sliding windows are read from it: a window of
 * `count` is full while the count-th latest is younger than the window.
 * Moments are added in order. NULL is an empty ring.
 */
#ifndef THROTTLE_TIME_RING_H
#define THROTTLE_TIME_RING_H

#include <stddef.h>
#include <stdint.h>

struct time_ring {
	uint32_t cap, len, next;
	int64_t at[];
};

/* Keeps at least the last `keep` moments (> 0). */
void time_ring_add(
    struct time_ring **ring, uint32_t keep, int64_t at, size_t *bytes);
void time_ring_free(struct time_ring **ring, size_t *bytes);
uint32_t time_ring_len(const struct time_ring *ring);
/* The k-th latest, 1 <= k <= len. */
int64_t time_ring_latest(const struct time_ring *ring, uint32_t k);
/* How many are later than `since`. */
uint32_t time_ring_count_after(const struct time_ring *ring, int64_t since);

#endif
