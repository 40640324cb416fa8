/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A leaky bucket per address. Those that have run empty go when room is needed,
 * at most once a minute, so that a flood of addresses costs no more.
 */
#include "front/auth_guard.h"

#include "base/map.h"

#include <stdlib.h>

#define FIRST_DELAY_MS 1000

struct bucket {
	uint32_t count;
	int64_t since; /* from when on the next one is forgiven */
};

struct auth_guard {
	struct map *buckets;
	int64_t swept_at;
};

struct auth_guard *
auth_guard_new(void)
{
	struct auth_guard *g = xcalloc(1, sizeof(*g));

	g->buckets = map_new();
	g->swept_at = INT64_MIN / 2;
	return g;
}

void
auth_guard_free(struct auth_guard *g)
{
	if (g == NULL)
		return;
	map_free(g->buckets, free);
	free(g);
}

static uint32_t
count_at(const struct bucket *b, int64_t now)
{
	int64_t forgiven = (now - b->since) / AUTH_GUARD_FORGIVE_MS;

	if (forgiven <= 0)
		return b->count;
	return forgiven >= b->count ? 0 : b->count - (uint32_t)forgiven;
}

uint32_t
auth_guard_count(
    const struct auth_guard *g, const struct ip *client, int64_t now)
{
	struct ip site;
	const struct bucket *b =
	    map_find(g->buckets, ip_site_key(client, &site));

	return b != NULL ? count_at(b, now) : 0;
}

static void
sweep(struct auth_guard *g, int64_t now)
{
	struct str key;
	size_t pos = 0;
	void *value;

	if (now - g->swept_at < AUTH_GUARD_FORGIVE_MS)
		return;
	g->swept_at = now;
	while (map_each(g->buckets, &pos, &key, &value)) {
		if (count_at(value, now) == 0)
			free(map_remove(g->buckets, key));
	}
}

static struct bucket *
find_bucket(struct auth_guard *g, struct str key, int64_t now)
{
	struct bucket *b = map_find(g->buckets, key);

	if (b != NULL)
		return b;
	if (map_count(g->buckets) >= AUTH_GUARD_ADDRESSES_MAX)
		sweep(g, now);
	if (map_count(g->buckets) >= AUTH_GUARD_ADDRESSES_MAX)
		return NULL;
	b = xcalloc(1, sizeof(*b));
	b->since = now;
	map_set(g->buckets, key, b);
	return b;
}

static int64_t
delay_of(uint32_t count)
{
	int64_t ms = FIRST_DELAY_MS;

	for (uint32_t i = 1; i < count && ms < AUTH_GUARD_DELAY_MAX_MS; i++)
		ms *= 2;
	return ms;
}

int64_t
auth_guard_failed(struct auth_guard *g, const struct ip *client, int64_t now)
{
	struct ip site;
	struct bucket *b = find_bucket(g, ip_site_key(client, &site), now);
	uint32_t left;

	if (b == NULL)
		return AUTH_GUARD_DELAY_MAX_MS;
	left = count_at(b, now);
	/* A minute that has begun counts on. */
	b->since = left == 0 ? now
			     : b->since + (int64_t)(b->count - left) *
					      AUTH_GUARD_FORGIVE_MS;
	b->count = left < UINT32_MAX ? left + 1 : left;
	return delay_of(b->count);
}
