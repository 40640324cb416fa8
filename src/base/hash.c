/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XXH3 with a seed; the seed comes from the kernel.
 */
#include "config.h"

#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <xxhash.h>

/* Short keys gain nothing by the choice, a message's text does. */
#ifdef HAVE_XXH_DISPATCH
#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>
#define XXH3_128bits_update XXH3_128bits_update_dispatch
#endif

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

/* Of the library's own making: how large it is, and its alignment, are no part
 * of the ABI. */
static XXH3_state_t *
state_of(struct hash_stream *h)
{
	return (XXH3_state_t *)h;
}

struct hash_stream *
hash_stream_new(uint64_t seed)
{
	XXH3_state_t *state = XXH3_createState();

	if (state == NULL || XXH3_128bits_reset_withSeed(state, seed) != XXH_OK)
		panic("out of memory");
	return (struct hash_stream *)state;
}

void
hash_stream_add(struct hash_stream *h, const void *p, size_t n)
{
	if (n > 0)
		(void)XXH3_128bits_update(state_of(h), p, n);
}

struct hash128
hash_stream_value(const struct hash_stream *h)
{
	XXH128_hash_t v = XXH3_128bits_digest((const XXH3_state_t *)h);

	return (struct hash128){v.low64, v.high64};
}

void
hash_stream_free(struct hash_stream *h)
{
	if (h != NULL)
		XXH3_freeState(state_of(h));
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
