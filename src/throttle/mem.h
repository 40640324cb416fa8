/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that is accounted for. The sum is what malloc takes for the sizes
 * asked for (glibc: 8 bytes of its own, steps of 16, at least 32).
 */
#ifndef THROTTLE_MEM_H
#define THROTTLE_MEM_H

#include <stdlib.h>

#include "base/base.h"

static inline size_t
mem_taken(size_t n)
{
	return n <= 24 ? 32 : (n + 23) & ~(size_t)15;
}

static inline void *
mem_new(size_t *bytes, size_t n)
{
	*bytes += mem_taken(n);
	return xcalloc(1, n);
}

/* p may be NULL, with old = 0. */
static inline void *
mem_resize(size_t *bytes, void *p, size_t old, size_t n)
{
	*bytes += mem_taken(n) - (p ? mem_taken(old) : 0);
	return xrealloc(p, n);
}

static inline void
mem_free(size_t *bytes, void *p, size_t n)
{
	if (p)
		*bytes -= mem_taken(n);
	free(p);
}

#endif
