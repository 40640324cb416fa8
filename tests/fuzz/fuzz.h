/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What fuzz targets share. A check that fails is a panic, which is what the
 * search looks for.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* How many inputs a test makes from the corpus; a slow target sets fewer. */
extern const unsigned fuzz_runs __attribute__((weak));

static inline void
fuzz_check(bool ok, const char *what)
{
	if (!ok)
		panic("%s", what);
}

/* From the heap and exact in size: a sanitizer sees one byte too far. */
static inline char *
fuzz_copy(const void *p, size_t n)
{
	char *copy = xmalloc(n > 0 ? n : 1);

	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

/* Takes a length byte and so many bytes, as far as they are there. */
static inline struct str
fuzz_take(struct str *in)
{
	size_t n = in->n > 0 ? (unsigned char)in->p[0] : 0;
	struct str s = str_sub(*in, 1, n);

	*in = str_sub(*in, 1 + n, in->n);
	return s;
}

static inline uint8_t
fuzz_byte(struct str *in)
{
	uint8_t b = in->n > 0 ? (uint8_t)in->p[0] : 0;

	*in = str_sub(*in, 1, in->n);
	return b;
}

#endif
