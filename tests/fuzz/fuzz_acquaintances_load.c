/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a source's acquaintances, read back. Loaded as they are, and
 * again with their checksum put right, so that the checks behind it are
 * reached. What was taken must be in order, keep to the bounds, be usable, and
 * come back the same from a save.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "gate/acquaintance_set.h"

#define CHECKSUM_SEED UINT64_C(0x616371756169)
#define TODAY 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct acquaintance_set *s)
{
	struct acquaintance found;

	if (s->n == 0 || s->n > ACQUAINTANCES_MAX)
		panic("past a bound");
	for (uint32_t i = 0; i < s->n; i++) {
		if (i > 0 && s->v[i] >> 24 <= s->v[i - 1] >> 24)
			panic("out of order, or twice");
		if (!acquaintance_set_find(s, s->v[i], &found) ||
		    found.why == 0 || found.day > TODAY)
			panic("not found");
	}
}

static void
save_and_load(const struct acquaintance_set *s, uint64_t rate_in)
{
	struct acquaintance_row row = {.today = TODAY, .rate_in = rate_in};
	size_t n = acquaintance_set_save(s, &row, NULL, 0);
	uint8_t *p = xmalloc(n);
	struct acquaintance_set back = {0};

	acquaintance_set_save(s, &row, p, n);
	if (acquaintance_set_load(&back, &row, p, n) != NULL ||
	    row.rate_in != rate_in || row.is_ahead)
		panic("what was saved does not load");
	if (back.n != s->n)
		panic("another number came back");
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i] >> 20 != back.v[i] >> 20)
			panic("somebody else came back");
	}
	acquaintance_set_clear(&back);
	free(p);
}

static void
use(struct acquaintance_set *s)
{
	uint32_t n = s->n;

	for (uint64_t i = 0; i < 20; i++)
		acquaintance_set_put(s, i << 40,
		    (struct acquaintance){ACQUAINTANCE_WROTE_TO, TODAY});
	check(s);
	while (acquaintance_set_drop_oldest(s, ACQUAINTANCE_MET))
		n--;
	if (acquaintance_set_count(s, ACQUAINTANCE_MET, 0) != 0 || n > s->n)
		panic("some did not go");
	acquaintance_set_expire(s, 15, TODAY + 1);
	if (s->n != 0)
		panic("some do not expire");
}

static void
try_load(const uint8_t *p, size_t n)
{
	struct acquaintance_row row = {.today = TODAY};
	struct acquaintance_set s = {0};

	if (acquaintance_set_load(&s, &row, p, n) == NULL) {
		check(&s);
		save_and_load(&s, row.rate_in);
		use(&s);
	} else if (s.n != 0 || s.v != NULL) {
		panic("a refused row left something");
	}
	acquaintance_set_clear(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	uint64_t sum;

	try_load(data, size);
	if (size < 8)
		return 0;
	copy = xmalloc(size);
	memcpy(copy, data, size);
	sum = hash_bytes(copy, size - 8, CHECKSUM_SEED);
	for (uint32_t i = 0; i < 8; i++)
		copy[size - 8 + i] = (uint8_t)(sum >> 8 * i);
	try_load(copy, size);
	free(copy);
	return 0;
}
