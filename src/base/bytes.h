/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers in stored state, little endian. Both move *p past what they wrote or
 * read; whether there is room, or so much to read, is the caller's to know.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdint.h>

static inline void
bytes_put(unsigned char **p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*(*p)++ = (unsigned char)(v >> 8 * i);
}

static inline uint64_t
bytes_get(const unsigned char **p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t) * (*p)++ << 8 * i;
	return v;
}

#endif
