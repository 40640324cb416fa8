/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linear probing within a shard: the hash's top bits choose the shard, its low
 * bits the slot. Between 1/8 and 3/4 full. A slot holds the hash, so that a
 * probe touches a source only when that is the one. Removal shifts back.
 */
#include "throttle/source_table.h"

#include <stdlib.h>
#include <string.h>

#include "throttle/core.h"
#include "throttle/mem.h"

#define SHARD_FIRST 8
#define POS_BITS 24 /* of a walk's position: the slot; fits 32 bits */

static uint32_t
shard_of(uint64_t hash)
{
	return (uint32_t)(hash >> 56);
}

static size_t
shard_size(uint32_t cap)
{
	return cap * sizeof(struct table_slot);
}

/* The lines of its block, key and own slots, come in together. */
static void
prefetch(const struct throttle_source *src)
{
	for (size_t at = 0; at < source_size(0, OWN_SLOTS_MAX) + 64; at += 64)
		__builtin_prefetch((const char *)src + at);
}

struct throttle_source *
source_table_find(const struct source_table *table, uint64_t hash,
    const void *key, size_t key_len)
{
	const struct table_shard *shard = &table->shards[shard_of(hash)];
	uint32_t mask = shard->cap - 1;

	if (shard->cap == 0)
		return NULL;
	for (uint32_t i = (uint32_t)hash & mask; shard->slots[i].src;
	     i = (i + 1) & mask) {
		struct throttle_source *src = shard->slots[i].src;

		if (shard->slots[i].hash != hash)
			continue;
		prefetch(src);
		if (src->key_len == key_len &&
		    memcmp(src->key, key, key_len) == 0)
			return src;
	}
	return NULL;
}

static void
insert(struct table_shard *shard, struct table_slot slot)
{
	uint32_t mask = shard->cap - 1, i = (uint32_t)slot.hash & mask;

	while (shard->slots[i].src)
		i = (i + 1) & mask;
	shard->slots[i] = slot;
}

static void
resize(struct table_shard *shard, uint32_t cap, size_t *bytes)
{
	struct table_shard old = *shard;

	shard->slots = mem_new(bytes, shard_size(cap));
	shard->cap = cap;
	for (uint32_t i = 0; i < old.cap; i++)
		if (old.slots[i].src)
			insert(shard, old.slots[i]);
	mem_free(bytes, old.slots, shard_size(old.cap));
}

void
source_table_add(struct source_table *table, uint64_t hash,
    struct throttle_source *src, size_t *bytes)
{
	struct table_shard *shard = &table->shards[shard_of(hash)];

	if (shard->used >= shard->cap - shard->cap / 4)
		resize(shard, shard->cap ? shard->cap * 2 : SHARD_FIRST, bytes);
	insert(shard, (struct table_slot){hash, src});
	shard->used++;
	table->count++;
}

static void
shift_back(struct table_shard *shard, uint32_t hole)
{
	uint32_t mask = shard->cap - 1, i = hole;

	for (;;) {
		i = (i + 1) & mask;
		if (!shard->slots[i].src)
			break;
		/* What lives between its home and the hole may not move. */
		if (((i - (uint32_t)shard->slots[i].hash) & mask) <
		    ((i - hole) & mask))
			continue;
		shard->slots[hole] = shard->slots[i];
		hole = i;
	}
	shard->slots[hole].src = NULL;
}

void
source_table_remove(struct source_table *table, uint64_t hash,
    const struct throttle_source *src, size_t *bytes)
{
	struct table_shard *shard = &table->shards[shard_of(hash)];
	uint32_t mask = shard->cap - 1, i = (uint32_t)hash & mask;

	while (shard->slots[i].src != src)
		i = (i + 1) & mask;
	shift_back(shard, i);
	shard->used--;
	table->count--;
	if (shard->cap > SHARD_FIRST && shard->used < shard->cap / 8)
		resize(shard, shard->cap / 2, bytes);
}

struct throttle_source *
source_table_each(
    const struct source_table *table, uint64_t *pos, size_t *steps)
{
	uint64_t shard = *pos >> POS_BITS;
	uint64_t i = *pos & ((UINT64_C(1) << POS_BITS) - 1);

	for (; shard < TABLE_SHARDS; shard++, i = 0) {
		const struct table_shard *s = &table->shards[shard];

		for (; i<s->cap && * steps> 0; i++) {
			--*steps;
			if (s->slots[i].src) {
				*pos = shard << POS_BITS | (i + 1);
				return s->slots[i].src;
			}
		}
		if (i < s->cap) {
			*pos = shard << POS_BITS | i;
			return NULL;
		}
	}
	*pos = 0;
	return NULL;
}

/* ---- in the order of the hashes, which no change of the table changes ---- */

#define MARK_SHIFT 2 /* marks have 62 bits */

static uint64_t
mark_of(uint64_t hash)
{
	return (hash >> MARK_SHIFT) + 1;
}

static int
compare_marks(const void *a, const void *b)
{
	const struct throttle_page_row *x = a, *y = b;

	return (x->mark > y->mark) - (x->mark < y->mark);
}

static size_t
page_of_shard(const struct table_shard *s, uint64_t after,
    struct throttle_page_row *rows, size_t max)
{
	struct throttle_page_row *found = xcalloc(s->used + 1, sizeof(*found));
	size_t n = 0;

	for (uint32_t i = 0; i < s->cap; i++) {
		if (s->slots[i].src && mark_of(s->slots[i].hash) > after)
			found[n++] = (struct throttle_page_row){
			    s->slots[i].src, mark_of(s->slots[i].hash)};
	}
	qsort(found, n, sizeof(*found), compare_marks);
	n = n < max ? n : max;
	memcpy(rows, found, n * sizeof(*rows));
	free(found);
	return n;
}

size_t
source_table_page(const struct source_table *table, uint64_t after,
    struct throttle_page_row *rows, size_t max)
{
	uint64_t hash = after > 0 ? (after - 1) << MARK_SHIFT : 0;
	size_t n = 0;

	if (after > (UINT64_MAX >> MARK_SHIFT))
		return 0;
	for (uint32_t i = shard_of(hash); i < TABLE_SHARDS && n < max; i++) {
		if (table->shards[i].used > 0)
			n += page_of_shard(
			    &table->shards[i], after, rows + n, max - n);
	}
	return n;
}

void
source_table_clear(struct source_table *table, size_t *bytes)
{
	for (uint32_t i = 0; i < TABLE_SHARDS; i++)
		mem_free(bytes, table->shards[i].slots,
		    shard_size(table->shards[i].cap));
	*table = (struct source_table){0};
}
