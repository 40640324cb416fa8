/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Seeded hash map from byte strings to pointers. Keys are copied; values are
 * the caller's. Not changed while map_each runs, but for map_remove of the
 * entry in hand.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map;

struct map *map_new(void);
/* free_value may be NULL. */
void map_free(struct map *m, void (*free_value)(void *));
void *map_find(const struct map *m, struct str key); /* NULL: not there */
/* Returns the value that was there before, or NULL. value is not NULL. */
void *map_set(struct map *m, struct str key, void *value);
void *map_remove(struct map *m, struct str key); /* the value, or NULL */
size_t map_count(const struct map *m);
/* Walks all entries; start with *pos = 0, ends with false. */
bool map_each(const struct map *m, size_t *pos, struct str *key, void **value);

#endif
