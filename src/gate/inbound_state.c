/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user's set as bytes. Little endian; times relative to the moment of the
 * save; a checksum against accident (it does not hold off forgery, so every
 * field is validated as well). Nothing is made before all of it was found good.
 *
 *   "WIS" 1 | n u16 | rate in i64 | n times: destination u64, ago i64 |
 *   checksum u64
 */
#include "base/bytes.h"
#include "base/hash.h"
#include "gate/inbound_set.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC UINT32_C(0x01534957)
#define HEADER 14
#define ADDRESS 16
#define CHECKSUM 8
#define CHECKSUM_SEED UINT64_C(0x7765697277726f74)
#define AGE_MAX (INT64_C(20) * 365 * 86400 * 1000)
#define RATE_MAX (INT64_C(10) * 365 * 86400 * 1000)

static int64_t
cut(int64_t v, int64_t max)
{
	if (v < 0)
		return 0;
	return v < max ? v : max;
}

size_t
inbound_save(const struct inbound_user *u, int64_t now, void *out, size_t cap)
{
	size_t size = HEADER + ADDRESS * (size_t)u->n + CHECKSUM;
	unsigned char *p = out;

	if (u->n == 0)
		return 0;
	if (size > cap)
		return size;
	bytes_put(&p, MAGIC, 4);
	bytes_put(&p, u->n, 2);
	bytes_put(&p,
	    u->rate_at > now ? (uint64_t)cut(u->rate_at - now, RATE_MAX) : 0,
	    8);
	for (uint32_t i = 0; i < u->n; i++) {
		bytes_put(&p, u->v[i].destination, 8);
		bytes_put(&p, (uint64_t)cut(now - u->v[i].at, AGE_MAX), 8);
	}
	bytes_put(&p, hash_bytes(out, size - CHECKSUM, CHECKSUM_SEED), 8);
	return size;
}

static int
compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* At least one, each once; ages not negative, not absurd, the oldest first. */
static bool
addresses_are_valid(const unsigned char *p, uint32_t n)
{
	uint64_t members[INBOUND_SET_MAX], last = AGE_MAX;

	if (n == 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t ago;

		members[i] = bytes_get(&p, 8);
		ago = bytes_get(&p, 8);
		if (ago > last)
			return false;
		last = ago;
	}
	qsort(members, n, sizeof(*members), compare_u64);
	for (uint32_t i = 1; i < n; i++) {
		if (members[i] == members[i - 1])
			return false;
	}
	return true;
}

static bool
is_valid(const unsigned char *in, size_t n)
{
	const unsigned char *p = in, *end;
	uint64_t count, rate_in;

	if (n < HEADER + CHECKSUM || bytes_get(&p, 4) != MAGIC)
		return false;
	count = bytes_get(&p, 2);
	rate_in = bytes_get(&p, 8);
	if (count > INBOUND_SET_MAX || rate_in > RATE_MAX ||
	    n != HEADER + ADDRESS * count + CHECKSUM)
		return false;
	end = in + n - CHECKSUM;
	return bytes_get(&end, 8) ==
		   hash_bytes(in, n - CHECKSUM, CHECKSUM_SEED) &&
	       addresses_are_valid(p, (uint32_t)count);
}

/* The newest of them when today's policy has room for fewer. */
static void
fill(struct inbound *in, struct inbound_user *u, const unsigned char *p,
    uint32_t count, uint32_t room, int64_t saved_at)
{
	uint32_t skip = count > room ? count - room : 0;

	p += (size_t)skip * ADDRESS;
	for (uint32_t i = skip; i < count; i++) {
		uint64_t destination = bytes_get(&p, 8);
		int64_t ago = (int64_t)bytes_get(&p, 8);

		u->v[u->n++] = (struct inbound_address){
		    .destination = destination, .at = saved_at - ago};
	}
	in->addresses += u->n;
}

bool
inbound_load(struct inbound *in, struct str user, const void *p, size_t n,
    int64_t age_ms, const struct inbound_rules *rules, int64_t now)
{
	const unsigned char *at = p;
	struct inbound_user *u;
	uint32_t count;

	if (!is_valid(p, n) || map_find(in->users, user) != NULL)
		return false;
	now = inbound_clamp_now(in, now);
	u = inbound_add_user(in, user);
	if (u == NULL)
		return false;
	at += 4;
	count = (uint32_t)bytes_get(&at, 2);
	if (!inbound_reserve(in, u, count < rules->set ? count : rules->set)) {
		inbound_free_user(in, u);
		return false;
	}
	now -= cut(age_ms, AGE_MAX);
	u->expiry_ms = rules->expiry_ms;
	u->rate_at = now + (int64_t)bytes_get(&at, 8);
	fill(in, u, at, count, rules->set, now);
	return true;
}
