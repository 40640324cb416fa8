/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: what a user learnt from incoming mail, read back. The first
 * bytes choose the rules and the memory; the rest is loaded as it is, and again
 * with its checksum put right, so that the checks behind it are reached. What
 * was taken must keep to the bounds, be usable, and come back the same from a
 * save.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "gate/inbound.h"

#define CHECKSUM_SEED UINT64_C(0x7765697277726f74)
#define NOW 1000000
#define HEADER 14 /* of a state */
#define ADDRESS 16
#define USER STR("alice")
#define TWIN STR("twin")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(struct inbound *in, const struct inbound_rules *rules, size_t most)
{
	struct inbound_stats stats;

	inbound_stats(in, &stats);
	if (stats.bytes > most || stats.addresses > rules->set * stats.users)
		panic("past a bound");
}

static void
use(struct inbound *in, const struct inbound_rules *rules, size_t most)
{
	struct inbound_user *u;

	for (uint64_t d = 0; d < 20; d++) {
		inbound_learn(in, USER, d, rules, NOW + (int64_t)d);
		check(in, rules, most);
	}
	inbound_expire(in, INT64_C(1) << 50, 10);
	inbound_expire(in, INT64_C(1) << 50, 10);
	while ((u = inbound_changed(in)) != NULL)
		inbound_saved(in, u);
	if (inbound_count(in, USER, INT64_C(1) << 50) != 0)
		panic("an address that does not expire");
}

/* Touched, so that it is to be saved. */
static struct inbound_user *
touched(struct inbound *in, const struct inbound_rules *rules)
{
	struct inbound_rules wide = *rules;

	wide.set = INBOUND_SET_MAX;
	wide.rate.count = 0;
	wide.expiry_ms = INT64_MAX / 4;
	inbound_learn(in, USER, UINT64_MAX, &wide, NOW);
	return inbound_changed(in);
}

/* Each address once, the oldest first. */
static void
check_saved(const uint8_t *state, size_t n)
{
	uint64_t last = UINT64_MAX;

	for (size_t i = HEADER; i + ADDRESS + 8 <= n; i += ADDRESS) {
		uint64_t ago = 0;

		for (int k = 15; k >= 8; k--)
			ago = ago << 8 | state[i + (size_t)k];
		if (ago > last)
			panic("out of order");
		last = ago;
		for (size_t j = HEADER; j < i; j += ADDRESS) {
			if (memcmp(state + i, state + j, 8) == 0)
				panic("an address twice");
		}
	}
}

static void
save_and_load(struct inbound *in, const struct inbound_rules *rules)
{
	struct inbound_user *u = touched(in, rules);
	struct inbound *fresh = inbound_new(SIZE_MAX);
	size_t need = u != NULL ? inbound_save(u, NOW, NULL, 0) : 0;
	uint8_t *state = xmalloc(need + 1);
	struct inbound_rules wide = *rules;

	wide.set = INBOUND_SET_MAX;
	if (need > 0) {
		inbound_save(u, NOW, state, need);
		check_saved(state, need);
		if (!inbound_load(fresh, TWIN, state, need, 0, &wide, NOW))
			panic("what was saved does not load");
		if (inbound_count(fresh, TWIN, NOW) >
		    inbound_count(in, USER, NOW))
			panic("more came back than was saved");
	}
	free(state);
	inbound_free(fresh);
}

static void
try_load(
    const struct inbound_rules *rules, size_t most, const uint8_t *p, size_t n)
{
	struct inbound *in = inbound_new(most);
	struct inbound_stats stats;

	if (inbound_load(in, USER, p, n, (int64_t)n, rules, NOW)) {
		check(in, rules, most);
		use(in, rules, most);
	} else {
		inbound_stats(in, &stats);
		if (stats.users != 0 || stats.bytes != 0)
			panic("a refused state left something");
	}
	inbound_free(in);
	in = inbound_new(SIZE_MAX);
	if (inbound_load(in, USER, p, n, 0, rules, NOW))
		save_and_load(in, rules);
	inbound_free(in);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inbound_rules rules;
	uint8_t *copy;
	uint64_t sum;
	size_t most;

	if (size < 2)
		return 0;
	rules = (struct inbound_rules){
	    .set = 1 + data[0] % 70,
	    .rate = {data[0] >> 4, 1 + data[1]},
	    .expiry_ms = 1 + (INT64_C(1) << data[1] % 45),
	};
	most = data[1] & 0x80 ? 600 : 100000;
	data += 2;
	size -= 2;
	try_load(&rules, most, data, size);
	if (size < 8)
		return 0;
	copy = xmalloc(size);
	memcpy(copy, data, size);
	sum = hash_bytes(copy, size - 8, CHECKSUM_SEED);
	for (uint32_t i = 0; i < 8; i++)
		copy[size - 8 + i] = (uint8_t)(sum >> 8 * i);
	try_load(&rules, most, copy, size);
	free(copy);
	return 0;
}
