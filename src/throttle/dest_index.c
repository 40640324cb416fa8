/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Open addressing with linear probing, at most half full; removal shifts back,
 * so that no tombstones gather.
 */
#include "throttle/dest_index.h"

#include "throttle/mem.h"

static size_t
index_size(uint32_t mask)
{
	return sizeof(struct dest_index) +
	       ((size_t)mask + 1) * sizeof(struct dest_slot);
}

static uint32_t
home(const struct dest_index *ix, uint64_t d)
{
	d ^= d >> 32;
	d *= UINT64_C(0xd6e8feb86659fd93);
	d ^= d >> 32;
	return (uint32_t)d & ix->mask;
}

struct dest_index *
dest_index_new(uint32_t expected, size_t *bytes)
{
	uint32_t cap = 16;
	struct dest_index *ix;

	while (cap / 2 < expected)
		cap *= 2;
	ix = mem_new(bytes, index_size(cap - 1));
	ix->mask = cap - 1;
	return ix;
}

void
dest_index_free(struct dest_index **ix, size_t *bytes)
{
	if (*ix)
		mem_free(bytes, *ix, index_size((*ix)->mask));
	*ix = NULL;
}

struct dest_slot *
dest_index_find(struct dest_index *ix, uint64_t destination)
{
	uint32_t i = home(ix, destination);

	while (ix->slots[i].count) {
		if (ix->slots[i].destination == destination)
			return &ix->slots[i];
		i = (i + 1) & ix->mask;
	}
	return NULL;
}

static void
insert(struct dest_index *ix, const struct dest_slot *slot)
{
	uint32_t i = home(ix, slot->destination);

	while (ix->slots[i].count)
		i = (i + 1) & ix->mask;
	ix->slots[i] = *slot;
	ix->used++;
}

void
dest_index_add(
    struct dest_index **ix, uint64_t destination, uint32_t rank, size_t *bytes)
{
	struct dest_slot slot = {destination, rank, 1};

	if ((*ix)->used > (*ix)->mask / 2) {
		struct dest_index *big = dest_index_new((*ix)->mask + 1, bytes);

		for (uint32_t i = 0; i <= (*ix)->mask; i++)
			if ((*ix)->slots[i].count)
				insert(big, &(*ix)->slots[i]);
		dest_index_free(ix, bytes);
		*ix = big;
	}
	insert(*ix, &slot);
}

void
dest_index_remove(struct dest_index *ix, struct dest_slot *slot)
{
	uint32_t hole = (uint32_t)(slot - ix->slots), i = hole;

	for (;;) {
		i = (i + 1) & ix->mask;
		if (!ix->slots[i].count)
			break;
		/* What lives between its home and the hole may not move. */
		if (((i - home(ix, ix->slots[i].destination)) & ix->mask) <
		    ((i - hole) & ix->mask))
			continue;
		ix->slots[hole] = ix->slots[i];
		hole = i;
	}
	ix->slots[hole].count = 0;
	ix->used--;
}
