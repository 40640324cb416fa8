/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Destinations that are known for a time: a small set of hashes, each with the
 * moment at which it ends. Bounded: when it is full, the one that would end
 * first gives way. Embedded; memory comes with the first entry.
 */
#ifndef NETGATE_KNOWN_H
#define NETGATE_KNOWN_H

#include "base/base.h"

struct known_entry {
	uint64_t hash;
	int64_t until;
};

struct known {
	struct known_entry *v;
	uint32_t n, cap;
};

#define KNOWN_MAX 1024

/* Keeps the later end where it is there already. */
void known_add(struct known *k, uint64_t hash, int64_t until, int64_t now);
bool known_has(const struct known *k, uint64_t hash, int64_t now);
/* Nothing in it lasts until now. */
bool known_is_empty(const struct known *k, int64_t now);
void known_remove(struct known *k, uint64_t hash);
void known_clear(struct known *k);

static inline size_t
known_bytes(const struct known *k)
{
	return k->cap * sizeof(*k->v);
}

#endif
