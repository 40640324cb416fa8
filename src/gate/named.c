/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See named.h. A state is
 *
 *	count u8 | for each: destination u64 | seconds since u32
 */
#include "gate/named.h"

#include "base/bytes.h"

#define ENTRY 12

static struct named_decoy *
find(struct named *s, uint64_t destination)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].destination == destination)
			return &s->v[i];
	}
	return NULL;
}

static struct named_decoy *
oldest(struct named *s)
{
	struct named_decoy *d = &s->v[0];

	for (uint32_t i = 1; i < s->n; i++) {
		if (s->v[i].at < d->at)
			d = &s->v[i];
	}
	return d;
}

void
named_add(struct named *s, uint64_t destination, int64_t now)
{
	struct named_decoy *d = find(s, destination);

	if (d == NULL)
		d = s->n < NAMED_MAX ? &s->v[s->n++] : oldest(s);
	*d = (struct named_decoy){destination, now};
}

bool
named_has(const struct named *s, uint64_t destination, int64_t now)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].destination == destination)
			return now - s->v[i].at < NAMED_EXPIRY_MS;
	}
	return false;
}

size_t
named_save(
    const struct named *s, int64_t now, unsigned char out[NAMED_STATE_MAX])
{
	unsigned char *p = out;

	bytes_put(&p, s->n, 1);
	for (uint32_t i = 0; i < s->n; i++) {
		int64_t age = now > s->v[i].at ? (now - s->v[i].at) / 1000 : 0;

		bytes_put(&p, s->v[i].destination, 8);
		bytes_put(&p, age < UINT32_MAX ? (uint64_t)age : UINT32_MAX, 4);
	}
	return (size_t)(p - out);
}

bool
named_load(struct named *s, const unsigned char *p, size_t n, int64_t age_ms,
    int64_t now)
{
	struct named out = {0};
	uint32_t count;

	if (n < 1)
		return false;
	count = (uint32_t)bytes_get(&p, 1);
	if (count > NAMED_MAX || n != 1 + ENTRY * (size_t)count)
		return false;
	for (; out.n < count; out.n++) {
		struct named_decoy d = {.destination = bytes_get(&p, 8)};

		d.at = now - age_ms - (int64_t)bytes_get(&p, 4) * 1000;
		if (find(&out, d.destination) != NULL)
			return false;
		out.v[out.n] = d;
	}
	*s = out;
	return true;
}
