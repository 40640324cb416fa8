/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All sources by key: open addressing under a seeded 64-bit hash, the full key
 * compared. Cut into shards that grow and shrink each for itself, so that no
 * insertion ever moves more than a small part of ten million. Sources do not
 * move. The table does not own them.
 */
#ifndef THROTTLE_SOURCE_TABLE_H
#define THROTTLE_SOURCE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct throttle_source;

#define TABLE_SHARDS 256

struct table_slot {
	uint64_t hash;
	struct throttle_source *src; /* NULL: empty */
};

struct table_shard {
	struct table_slot *slots;
	uint32_t cap, used;
};

struct source_table {
	struct table_shard shards[TABLE_SHARDS];
	size_t count;
};

struct throttle_source *source_table_find(const struct source_table *table,
    uint64_t hash, const void *key, size_t key_len);
/* The key must not be there. */
void source_table_add(struct source_table *table, uint64_t hash,
    struct throttle_source *src, size_t *bytes);
void source_table_remove(struct source_table *table, uint64_t hash,
    const struct throttle_source *src, size_t *bytes);
/* The next source from *pos on, which moves behind it; at most `steps` slots
 * are looked at. NULL with *pos = 0: the end was reached. A removal between
 * two calls may make the walk skip others. */
struct throttle_source *source_table_each(
    const struct source_table *table, uint64_t *pos, size_t *steps);
/* throttle_page. */
struct throttle_page_row;
size_t source_table_page(const struct source_table *table, uint64_t after,
    struct throttle_page_row *rows, size_t max);
void source_table_clear(struct source_table *table, size_t *bytes);

#endif
