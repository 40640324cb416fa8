/* SPDX-License-Identifier: BSD-3-Clause */
/*
 *	magic 4, count 2, rate_in 8
 *	count times: destination 8, ms since its last mail 8, the oldest first
 *	checksum 8
 */
#include "gate/inbound_row.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <stdlib.h>

#define MAGIC UINT32_C(0x01534957)
#define HEADER 14
#define ADDRESS 16
#define CHECKSUM 8
#define CHECKSUM_SEED UINT64_C(0x7765697277726f74)
#define AGE_MAX (UINT64_C(20) * 365 * 86400 * 1000)
#define RATE_MAX (UINT64_C(10) * 365 * 86400 * 1000)

static int
compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static const char *
check_addresses(const unsigned char *p, uint32_t n)
{
	uint64_t members[INBOUND_ROW_ADDRESSES], last = AGE_MAX;

	if (n == 0 || n > INBOUND_ROW_ADDRESSES)
		return "too many addresses, or none";
	for (uint32_t i = 0; i < n; i++) {
		uint64_t ago;

		members[i] = bytes_get(&p, 8);
		ago = bytes_get(&p, 8);
		if (ago > last)
			return "addresses out of order";
		last = ago;
	}
	qsort(members, n, sizeof(*members), compare_u64);
	for (uint32_t i = 1; i < n; i++) {
		if (members[i] == members[i - 1])
			return "duplicate address";
	}
	return NULL;
}

static const char *
check(const unsigned char *in, size_t n, uint32_t *count, uint64_t *rate_in)
{
	const unsigned char *p = in, *end = in + n - CHECKSUM;

	if (n < HEADER + CHECKSUM)
		return "cut short";
	if (bytes_get(&p, 4) != MAGIC)
		return "nothing learned from incoming mail";
	*count = (uint32_t)bytes_get(&p, 2);
	*rate_in = bytes_get(&p, 8);
	if (n != HEADER + ADDRESS * (size_t)*count + CHECKSUM)
		return "truncated, or too long";
	if (bytes_get(&end, 8) != hash_bytes(in, n - CHECKSUM, CHECKSUM_SEED))
		return "wrong checksum";
	if (*rate_in > RATE_MAX)
		return "invalid numbers";
	return check_addresses(p, *count);
}

const char *
inbound_row_read(const void *p, size_t n, int64_t saved_at, int64_t wall,
    struct acquaintance_set *set, uint64_t *rate_in, uint32_t *count)
{
	const unsigned char *at = p;
	const char *wrong = check(at, n, count, rate_in);
	int64_t age = wall > saved_at ? wall - saved_at : 0;

	if (wrong != NULL)
		return wrong;
	*rate_in = *rate_in > (uint64_t)age ? *rate_in - (uint64_t)age : 0;
	at += HEADER;
	for (uint32_t i = 0; i < *count; i++) {
		uint64_t destination = bytes_get(&at, 8);
		int64_t last = wall - age - (int64_t)bytes_get(&at, 8);
		struct acquaintance a = {
		    ACQUAINTANCE_WROTE_US, acquaintance_day(last)};

		acquaintance_set_put(set, destination, a);
	}
	return NULL;
}
