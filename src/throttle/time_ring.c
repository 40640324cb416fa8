/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ring of moments, grown in powers of two up to what its windows need. It is
 * never shrunk: a policy that asks for less reads less of it.
 */
#include "throttle/time_ring.h"

#include "throttle/mem.h"

#define RING_FIRST 8

static size_t
ring_size(uint32_t cap)
{
	return sizeof(struct time_ring) + cap * sizeof(int64_t);
}

static struct time_ring *
ring_grow(const struct time_ring *old, uint32_t keep, size_t *bytes)
{
	uint32_t cap = old ? old->cap * 2 : RING_FIRST;
	struct time_ring *r;

	if (cap > keep)
		cap = keep;
	r = mem_new(bytes, ring_size(cap));
	r->cap = cap;
	r->len = time_ring_len(old);
	for (uint32_t i = 0; i < r->len; i++)
		r->at[i] = time_ring_latest(old, r->len - i);
	r->next = r->len % cap;
	return r;
}

void
time_ring_add(struct time_ring **ring, uint32_t keep, int64_t at, size_t *bytes)
{
	struct time_ring *r = *ring;

	if (!r || (r->len == r->cap && r->cap < keep)) {
		r = ring_grow(*ring, keep, bytes);
		time_ring_free(ring, bytes);
		*ring = r;
	}
	r->at[r->next] = at;
	r->next = r->next + 1 == r->cap ? 0 : r->next + 1;
	if (r->len < r->cap)
		r->len++;
}

void
time_ring_free(struct time_ring **ring, size_t *bytes)
{
	if (*ring)
		mem_free(bytes, *ring, ring_size((*ring)->cap));
	*ring = NULL;
}

uint32_t
time_ring_len(const struct time_ring *ring)
{
	return ring ? ring->len : 0;
}

int64_t
time_ring_latest(const struct time_ring *ring, uint32_t k)
{
	uint32_t i =
	    ring->next >= k ? ring->next - k : ring->next + ring->cap - k;

	return ring->at[i];
}

uint32_t
time_ring_count_after(const struct time_ring *ring, int64_t since)
{
	uint32_t low = 0, high = time_ring_len(ring);

	/* The low latest are after `since`, those past the high latest not. */
	while (low < high) {
		uint32_t k = low + (high - low + 1) / 2;

		if (time_ring_latest(ring, k) > since)
			low = k;
		else
			high = k - 1;
	}
	return low;
}
