/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XXH3 with a seed; the seed comes from the kernel.
 */
#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <xxhash.h>

uint64_t
hash_bytes(const void *p, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(n > 0 ? p : "", n, seed);
}

uint64_t
hash_str(struct str s, uint64_t seed)
{
	return hash_bytes(s.p, s.n, seed);
}

uint64_t
hash_random_seed(void)
{
	uint64_t seed;
	ssize_t n;

	/* Up to 256 bytes come whole or not at all: getrandom(2). */
	do
		n = getrandom(&seed, sizeof(seed), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(seed))
		panic("getrandom: %s", strerror(errno));
	return seed;
}
