/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entries stand in a dense array; a table of slots with open addressing and
 * linear probing leads to them by hash. Removal moves the last entry into the
 * gap and shifts the slots behind back, so there are no tombstones. map_each
 * walks the array from the end: what a removal moves has been seen already.
 */
#include "base/map.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_LEAST 16
#define COUNT_MOST ((size_t)1 << 30)

struct entry {
	char *key;
	size_t key_n;
	uint64_t hash;
	void *value;
};

struct slot {
	uint32_t hash;  /* low half: spares most looks at the entry */
	uint32_t index; /* of the entry, plus one; 0: empty */
};

struct map {
	struct slot *slots;
	size_t slots_n; /* power of two, at least twice count */
	struct entry *entries;
	size_t count;
	size_t cap;
	uint64_t seed;
};

struct map *
map_new(void)
{
	struct map *m = xcalloc(1, sizeof(*m));

	m->slots_n = SLOTS_LEAST;
	m->slots = xcalloc(m->slots_n, sizeof(*m->slots));
	m->seed = hash_random_seed();
	return m;
}

void
map_free(struct map *m, void (*free_value)(void *))
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->count; i++) {
		free(m->entries[i].key);
		if (free_value != NULL)
			free_value(m->entries[i].value);
	}
	free(m->entries);
	free(m->slots);
	free(m);
}

/* The slot of the key, or the empty slot where it belongs. */
static size_t
find_slot(const struct map *m, struct str key, uint64_t hash)
{
	size_t mask = m->slots_n - 1;
	size_t i = hash & mask;

	for (; m->slots[i].index != 0; i = (i + 1) & mask) {
		const struct entry *e;

		if (m->slots[i].hash != (uint32_t)hash)
			continue;
		e = &m->entries[m->slots[i].index - 1];
		if (e->hash == hash &&
		    str_eq((struct str){e->key, e->key_n}, key))
			break;
	}
	return i;
}

/* The slot that leads to this entry. */
static size_t
slot_of_entry(const struct map *m, size_t index)
{
	size_t mask = m->slots_n - 1;
	size_t i = m->entries[index].hash & mask;

	while (m->slots[i].index != index + 1)
		i = (i + 1) & mask;
	return i;
}

static void
fill_slot(struct map *m, size_t index)
{
	size_t mask = m->slots_n - 1;
	uint64_t hash = m->entries[index].hash;
	size_t i = hash & mask;

	while (m->slots[i].index != 0)
		i = (i + 1) & mask;
	m->slots[i] = (struct slot){(uint32_t)hash, (uint32_t)index + 1};
}

static void
grow(struct map *m)
{
	if (m->count == m->cap) {
		if (m->count >= COUNT_MOST)
			panic("a map of %zu entries", m->count);
		m->cap = m->cap > 0 ? m->cap * 2 : SLOTS_LEAST / 2;
		m->entries = xrealloc(m->entries, m->cap * sizeof(*m->entries));
	}
	if (m->count < m->slots_n / 2)
		return;
	free(m->slots);
	m->slots_n *= 2;
	m->slots = xcalloc(m->slots_n, sizeof(*m->slots));
	for (size_t i = 0; i < m->count; i++)
		fill_slot(m, i);
}

void *
map_find(const struct map *m, struct str key)
{
	size_t i = find_slot(m, key, hash_str(key, m->seed));

	if (m->slots[i].index == 0)
		return NULL;
	return m->entries[m->slots[i].index - 1].value;
}

void *
map_set(struct map *m, struct str key, void *value)
{
	uint64_t hash = hash_str(key, m->seed);
	size_t i = find_slot(m, key, hash);

	if (value == NULL)
		panic("map_set of NULL");
	if (m->slots[i].index != 0) {
		struct entry *e = &m->entries[m->slots[i].index - 1];
		void *was = e->value;

		e->value = value;
		return was;
	}
	grow(m);
	m->entries[m->count] = (struct entry){str_dup(key), key.n, hash, value};
	fill_slot(m, m->count);
	m->count++;
	return NULL;
}

/*
 * Empties slot `gap`. A slot behind it, up to the next empty one, moves into
 * the gap unless its home lies cyclically in (gap, i]: there it would no
 * longer be found from its home.
 */
static void
close_gap(struct map *m, size_t gap)
{
	size_t mask = m->slots_n - 1;

	for (size_t i = (gap + 1) & mask; m->slots[i].index != 0;
	     i = (i + 1) & mask) {
		size_t home = m->entries[m->slots[i].index - 1].hash & mask;

		if (((i - home) & mask) >= ((i - gap) & mask)) {
			m->slots[gap] = m->slots[i];
			gap = i;
		}
	}
	m->slots[gap].index = 0;
}

void *
map_remove(struct map *m, struct str key)
{
	size_t i = find_slot(m, key, hash_str(key, m->seed));
	size_t index, last;
	void *value;

	if (m->slots[i].index == 0)
		return NULL;
	index = m->slots[i].index - 1;
	last = m->count - 1;
	value = m->entries[index].value;
	close_gap(m, i);
	free(m->entries[index].key);
	if (index != last) {
		m->slots[slot_of_entry(m, last)].index = (uint32_t)index + 1;
		m->entries[index] = m->entries[last];
	}
	m->count--;
	return value;
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

bool
map_each(const struct map *m, size_t *pos, struct str *key, void **value)
{
	/* 0 is the start; else one more than the entries still to come. */
	size_t left = *pos == 0 ? m->count : *pos - 1;

	if (left == 0)
		return false;
	*pos = left;
	*key =
	    (struct str){m->entries[left - 1].key, m->entries[left - 1].key_n};
	*value = m->entries[left - 1].value;
	return true;
}
