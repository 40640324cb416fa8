/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: what an older weir stored of a user's incoming mail, taken over.
 * The first byte says how long ago it was saved; the rest is read as it is, and
 * again with its checksum put right, so that the checks behind it are reached.
 * What is refused leaves the set alone; what is taken keeps to its bounds and
 * comes back from a row of the acquaintances.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "gate/inbound_row.h"

#define CHECKSUM_SEED UINT64_C(0x7765697277726f74)
#define WALL INT64_C(1767261600000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_row(const struct acquaintance_set *set)
{
	struct acquaintance_row row = {.today = acquaintance_day(WALL)};
	struct acquaintance_set back = {0};
	size_t n = acquaintance_set_save(set, &row, NULL, 0);
	uint8_t *p = xmalloc(n + 1);

	acquaintance_set_save(set, &row, p, n);
	if (acquaintance_set_load(&back, &row, p, n) != NULL ||
	    back.n != set->n || row.is_ahead)
		panic("what was taken over does not come back");
	acquaintance_set_clear(&back);
	free(p);
}

static void
try_read(int64_t saved_at, const uint8_t *p, size_t n)
{
	struct acquaintance_set set = {0};
	uint64_t rate_in;
	uint32_t count;
	const char *wrong =
	    inbound_row_read(p, n, saved_at, WALL, &set, &rate_in, &count);

	if (wrong != NULL && set.n != 0)
		panic("a row that is refused, and taken");
	if (wrong == NULL) {
		if (count == 0 || count > INBOUND_ROW_ADDRESSES || set.n == 0 ||
		    set.n > count)
			panic("past a bound");
		check_row(&set);
	}
	acquaintance_set_clear(&set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t saved_at;
	uint8_t *copy;
	size_t n;

	if (size < 1)
		return 0;
	saved_at = WALL - ((int64_t)data[0] - 3) * ACQUAINTANCE_DAY_MS;
	n = size - 1;
	try_read(saved_at, data + 1, n);
	if (n < 8)
		return 0;
	copy = xmalloc(n);
	memcpy(copy, data + 1, n);
	for (size_t i = 0; i < 8; i++)
		copy[n - 8 + i] =
		    (uint8_t)(hash_bytes(copy, n - 8, CHECKSUM_SEED) >> 8 * i);
	try_read(saved_at, copy, n);
	free(copy);
	return 0;
}
