/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buckets of a few places by the address's hash; the networks' pace is one
 * theoretical arrival time each (GCRA), in as many places as there may be, by
 * hash: two networks in one place share it.
 */
#include "gate/answers.h"

#include "base/hash.h"
#include "base/str.h"

#include <stdlib.h>

#define WAYS 4
#define BUCKETS (ANSWERS_MAX / WAYS)
#define NETWORKS 1024
#define NETWORK_V4 24
#define NETWORK_V6 48

struct place {
	uint64_t address;
	int64_t at;
	uint16_t network, left; /* left 0: free */
};

struct answers {
	uint64_t seed;
	int64_t paid[NETWORKS]; /* until when its notes are paid for */
	struct place places[BUCKETS][WAYS];
};

struct answers *
answers_new(uint64_t seed)
{
	struct answers *a = xcalloc(1, sizeof(*a));

	a->seed = seed;
	for (size_t i = 0; i < NETWORKS; i++)
		a->paid[i] = INT64_MIN / 2;
	return a;
}

void
answers_free(struct answers *a)
{
	free(a);
}

static bool
is_live(const struct place *p, int64_t now)
{
	return p->left > 0 && now - p->at < ANSWERS_EXPIRY_MS;
}

static struct place *
bucket_of(struct answers *a, uint64_t address)
{
	return a->places[address % BUCKETS];
}

static struct place *
find(struct answers *a, uint64_t address, int64_t now)
{
	struct place *bucket = bucket_of(a, address);

	for (size_t i = 0; i < WAYS; i++) {
		if (bucket[i].address == address && is_live(&bucket[i], now))
			return &bucket[i];
	}
	return NULL;
}

static uint16_t
network_of(const struct answers *a, const struct ip *client)
{
	unsigned bits = client->family == IP_V4 ? NETWORK_V4 : NETWORK_V6;
	struct ip net = ip_mask(client, bits);
	char text[IP_TEXT_MAX];

	return (uint16_t)(hash_str(str_from(ip_format(&net, text)), a->seed) %
			  NETWORKS);
}

static bool
may_note(struct answers *a, uint16_t network, int64_t now)
{
	int64_t *paid = &a->paid[network];

	if (*paid < now)
		*paid = now;
	if (*paid - now >
	    (ANSWERS_NETWORK_BURST - 1) * (int64_t)ANSWERS_NETWORK_EVERY_MS)
		return false;
	*paid += ANSWERS_NETWORK_EVERY_MS;
	return true;
}

/* A free one, else the oldest of the same network, else the oldest. */
static struct place *
place_for(struct answers *a, uint64_t address, uint16_t network, int64_t now)
{
	struct place *bucket = bucket_of(a, address), *best = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		struct place *p = &bucket[i];
		bool own = p->network == network;

		if (!is_live(p, now))
			return p;
		if (best == NULL || (own && best->network != network) ||
		    (own == (best->network == network) && p->at < best->at))
			best = p;
	}
	return best;
}

void
answers_note(
    struct answers *a, uint64_t address, const struct ip *client, int64_t now)
{
	uint16_t network = network_of(a, client);
	struct place *p = find(a, address, now);

	if (!may_note(a, network, now))
		return;
	if (p == NULL) {
		p = place_for(a, address, network, now);
		*p = (struct place){.address = address, .network = network};
	}
	p->at = now;
	if (p->left < ANSWERS_TO_ONE)
		p->left++;
}

bool
answers_take(struct answers *a, uint64_t address, int64_t now)
{
	struct place *p = find(a, address, now);

	if (p == NULL)
		return false;
	p->left--;
	return true;
}

void
answers_give_back(struct answers *a, uint64_t address, int64_t now)
{
	struct place *bucket = bucket_of(a, address);

	for (size_t i = 0; i < WAYS; i++) {
		struct place *p = &bucket[i];

		if (p->address == address && now - p->at < ANSWERS_EXPIRY_MS &&
		    p->left < ANSWERS_TO_ONE) {
			p->left++;
			return;
		}
	}
}
