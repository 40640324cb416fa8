/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Seeded 64-bit hash (XXH3). The seed keeps an outsider from choosing
 * collisions; it is not a MAC.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/str.h"

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);
uint64_t hash_str(struct str s, uint64_t seed);
uint64_t hash_random_seed(void); /* from the kernel (getrandom) */

struct hash128 {
	uint64_t low, high;
};

/* The same over what comes in pieces, wherever it is cut. */
struct hash_stream;

struct hash_stream *hash_stream_new(uint64_t seed);
void hash_stream_add(struct hash_stream *h, const void *p, size_t n);
struct hash128 hash_stream_value(const struct hash_stream *h);
void hash_stream_free(struct hash_stream *h); /* takes NULL */

#endif
