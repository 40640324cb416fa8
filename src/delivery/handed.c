/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring of pairs, looked through from its end: it is asked only about mail
 * that names an id of weir's in its header.
 */
#include "delivery/handed.h"

#include "base/hash.h"
#include "smtp/address.h"

#include <stdlib.h>

struct pair {
	uint64_t id; /* 0: none, or taken */
	uint64_t address;
};

struct handed {
	size_t max, next;
	uint64_t seed;
	struct pair pairs[];
};

struct handed *
handed_new(size_t max)
{
	struct handed *h = xcalloc(1, sizeof(*h) + max * sizeof(struct pair));

	h->max = max;
	h->seed = hash_random_seed();
	return h;
}

void
handed_free(struct handed *h)
{
	free(h);
}

static uint64_t
hash_of(const struct handed *h, struct str address)
{
	char key[SMTP_KEY_MAX];
	size_t n = smtp_address_key(address, false, key);

	return hash_bytes(key, n, h->seed);
}

void
handed_add(struct handed *h, uint64_t id, struct str address)
{
	h->pairs[h->next] = (struct pair){id, hash_of(h, address)};
	h->next = (h->next + 1) % h->max;
}

static const struct pair *
find(const struct handed *h, uint64_t id, struct str address)
{
	uint64_t hash = hash_of(h, address);

	for (size_t i = 1; id != 0 && i <= h->max; i++) {
		const struct pair *p =
		    &h->pairs[(h->next + h->max - i) % h->max];

		if (p->id == id && p->address == hash)
			return p;
	}
	return NULL;
}

bool
handed_has(const struct handed *h, uint64_t id, struct str address)
{
	return find(h, id, address) != NULL;
}

bool
handed_take(struct handed *h, uint64_t id, struct str address)
{
	const struct pair *p = find(h, id, address);

	if (p == NULL)
		return false;
	h->pairs[p - h->pairs].id = 0;
	return true;
}
