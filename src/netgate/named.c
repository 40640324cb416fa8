/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Places are taken by the low bits of a seeded hash, so that nobody can choose
 * whom to push out.
 */
#include "netgate/named.h"

#include <stdlib.h>

static struct named_entry *
place_of(const struct named *n, uint64_t hash)
{
	return n->v[hash % NAMED_PLACES];
}

void
dns_named_add(struct named *n, uint64_t hash, int64_t until)
{
	struct named_entry *e, *place;

	if (n->v == NULL)
		n->v = xcalloc(NAMED_PLACES, sizeof(*n->v));
	e = place = place_of(n, hash);
	for (size_t i = 0; i < NAMED_WAYS; i++) {
		if (place[i].hash == hash) {
			e = &place[i];
			break;
		}
		if (place[i].until < e->until)
			e = &place[i];
	}
	if (e->hash != hash || e->until < until)
		*e = (struct named_entry){hash, until};
}

bool
dns_named_has(const struct named *n, uint64_t hash, int64_t now)
{
	const struct named_entry *place;

	if (n->v == NULL)
		return false;
	place = place_of(n, hash);
	for (size_t i = 0; i < NAMED_WAYS; i++) {
		if (place[i].hash == hash)
			return place[i].until > now;
	}
	return false;
}

void
dns_named_clear(struct named *n)
{
	free(n->v);
	n->v = NULL;
}
