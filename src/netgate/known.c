/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An array that is looked through: a thousand entries cost less than the system
 * call that brought the packet.
 */
#include "netgate/known.h"

#include <stdlib.h>
#include <string.h>

#define FIRST 16

static struct known_entry *
find(const struct known *k, uint64_t hash)
{
	for (uint32_t i = 0; i < k->n; i++) {
		if (k->v[i].hash == hash)
			return &k->v[i];
	}
	return NULL;
}

/* Room for one more: a new place, one that has ended, or the first to end. */
static struct known_entry *
make_room(struct known *k, int64_t now)
{
	struct known_entry *first = k->v;

	for (uint32_t i = 0; i < k->n; i++) {
		if (k->v[i].until < first->until)
			first = &k->v[i];
	}
	if (k->n > 0 && (first->until <= now || k->n == KNOWN_MAX))
		return first;
	if (k->n == k->cap) {
		k->cap = k->cap > 0 ? k->cap * 2 : FIRST;
		k->v = xrealloc(k->v, k->cap * sizeof(*k->v));
	}
	return &k->v[k->n++];
}

void
known_add(struct known *k, uint64_t hash, int64_t until, int64_t now)
{
	struct known_entry *e = find(k, hash);

	if (e == NULL) {
		e = make_room(k, now);
		*e = (struct known_entry){hash, until};
	} else if (e->until < until) {
		e->until = until;
	}
}

bool
known_has(const struct known *k, uint64_t hash, int64_t now)
{
	const struct known_entry *e = find(k, hash);

	return e != NULL && e->until > now;
}

bool
known_is_empty(const struct known *k, int64_t now)
{
	for (uint32_t i = 0; i < k->n; i++) {
		if (k->v[i].until > now)
			return false;
	}
	return true;
}

void
known_remove(struct known *k, uint64_t hash)
{
	struct known_entry *e = find(k, hash);

	if (e != NULL)
		*e = k->v[--k->n];
}

void
known_clear(struct known *k)
{
	free(k->v);
	memset(k, 0, sizeof(*k));
}
