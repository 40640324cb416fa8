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

#endif
