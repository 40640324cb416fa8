/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a snapshot from outside. The first bytes choose the policy; the
 * rest is loaded as it is, and again with its checksum put right, so that the
 * checks behind it are reached. Whatever was taken must be usable and must
 * come back the same from a save.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "weir/throttle.h"

#define CHECKSUM_SEED UINT64_C(0x7765697274687274)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(struct throttle *t, struct throttle_source *src)
{
	struct throttle_source_info info;
	struct throttle_reservation r;

	throttle_source_info(t, src, 1000, &info);
	for (uint64_t d = 0; d < 20; d++)
		throttle_request(t, src, d, d, 1000, &r);
	throttle_thaw(t, src, 2000);
	throttle_run(t, 1000000, 0);
	throttle_expire(t, INT64_C(1) << 50, 1000);
}

static void
try_load(const struct throttle_policy *policy, const uint8_t *in, size_t n)
{
	struct throttle *t = throttle_new(1, 2, NULL, NULL);
	struct throttle_source *src = throttle_get(t, "a", 1, policy, 1000);
	size_t before = throttle_save(src, 1000, NULL, 0);

	if (throttle_load(t, src, in, n, (int64_t)n, 1000)) {
		struct throttle_source *twin =
		    throttle_get(t, "b", 1, policy, 1000);
		size_t need = throttle_save(src, 1000, NULL, 0);
		uint8_t *again = xmalloc(need);

		throttle_save(src, 1000, again, need);
		if (!throttle_load(t, twin, again, need, 0, 1000))
			panic("what was saved does not load");
		free(again);
		use(t, src);
	} else if (throttle_save(src, 1000, NULL, 0) != before) {
		panic("a refused snapshot changed the source");
	}
	throttle_free(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct throttle_policy p = throttle_profile_mail;
	uint8_t *copy;
	uint64_t sum;

	if (size < 1)
		return 0;
	p.working_set = 1 + data[0] % 70;
	p.paper = data[0] & 0x80;
	p.limit_count = data[0] >> 5 & 1;
	p.limits[0] = (struct throttle_limit){1 + data[0] % 9, 1000};
	p.freeze_growth.count = data[0] >> 6 & 1;
	p.freeze_growth.window_ms = 10;
	data++;
	size--;
	try_load(&p, data, size);
	if (size < 8)
		return 0;
	copy = xmalloc(size);
	memcpy(copy, data, size);
	sum = hash_bytes(copy, size - 8, CHECKSUM_SEED);
	for (uint32_t i = 0; i < 8; i++)
		copy[size - 8 + i] = (uint8_t)(sum >> 8 * i);
	try_load(&p, copy, size);
	free(copy);
	return 0;
}
