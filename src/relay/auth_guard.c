/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leaky buckets, of addresses and of pairs of an address and a user. Those that
 * have run empty go when room is needed, at most once a minute, so that a flood
 * of them costs no more.
 */
#include "relay/auth_guard.h"

#include "base/hash.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_DELAY_MS 1000
/* The line of an address: this far apart at first, twice as far after so many
 * failures more, until it is no faster than failures are forgiven. */
#define STEP_FIRST_MS 2000
#define STEP_FAILURES 5
#define KNOWN_LEAST_MS (INT64_C(3600) * 1000)
#define NEVER (INT64_MIN / 2)

struct bucket {
	uint32_t count;
	int64_t since; /* from when on the next one is forgiven */
	/* An address: when the next in line is checked. A pair: when the user
	 * last logged in. */
	int64_t at;
};

struct table {
	struct map *buckets;
	size_t max;
	int64_t swept_at;
};

struct auth_guard {
	struct table sites, pairs;
	uint64_t seed;
};

/* An address' key, and behind it the hash of a user. */
#define KEY_MAX (16 + sizeof(uint64_t))
#define USER_CUT 256

static void
table_init(struct table *t, size_t max)
{
	t->buckets = map_new();
	t->max = max;
	t->swept_at = NEVER;
}

struct auth_guard *
auth_guard_new(void)
{
	struct auth_guard *g = xcalloc(1, sizeof(*g));

	table_init(&g->sites, AUTH_GUARD_ADDRESSES_MAX);
	table_init(&g->pairs, AUTH_GUARD_PAIRS_MAX);
	g->seed = hash_random_seed();
	return g;
}

void
auth_guard_free(struct auth_guard *g)
{
	if (g == NULL)
		return;
	map_free(g->sites.buckets, free);
	map_free(g->pairs.buckets, free);
	free(g);
}

static struct str
pair_key(const struct auth_guard *g, const struct ip *client, struct str user,
    char out[KEY_MAX])
{
	char folded[USER_CUT];
	struct ip site;
	struct str key = ip_site_key(client, &site);
	size_t n = user.n < sizeof(folded) ? user.n : sizeof(folded);
	uint64_t hash;

	for (size_t i = 0; i < n; i++) {
		char c = user.p[i];

		folded[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	hash = hash_bytes(folded, n, g->seed);
	memcpy(out, key.p, key.n);
	memcpy(out + key.n, &hash, sizeof(hash));
	return (struct str){out, key.n + sizeof(hash)};
}

static uint32_t
count_at(const struct bucket *b, int64_t now)
{
	int64_t forgiven;

	if (b == NULL)
		return 0;
	forgiven = (now - b->since) / AUTH_GUARD_FORGIVE_MS;
	if (forgiven <= 0)
		return b->count;
	return forgiven >= b->count ? 0 : b->count - (uint32_t)forgiven;
}

/* Until its count has fallen below max, which it has reached. */
static int64_t
time_to(const struct bucket *b, uint32_t max, int64_t now)
{
	int64_t due =
	    b->since + ((int64_t)b->count - max + 1) * AUTH_GUARD_FORGIVE_MS;

	return due > now ? due - now : 0;
}

static struct bucket *
site_of(const struct auth_guard *g, const struct ip *client)
{
	struct ip site;

	return map_find(g->sites.buckets, ip_site_key(client, &site));
}

static struct bucket *
pair_of(const struct auth_guard *g, const struct ip *client, struct str user)
{
	char key[KEY_MAX];

	return map_find(g->pairs.buckets, pair_key(g, client, user, key));
}

uint32_t
auth_guard_count(
    const struct auth_guard *g, const struct ip *client, int64_t now)
{
	return count_at(site_of(g, client), now);
}

static void
drop_empty(struct table *t, int64_t keep_ms, int64_t now)
{
	struct str key;
	size_t pos = 0;
	void *value;

	while (map_each(t->buckets, &pos, &key, &value)) {
		const struct bucket *b = value;

		if (count_at(b, now) == 0 && now - b->at >= keep_ms)
			free(map_remove(t->buckets, key));
	}
}

static bool
is_full(const struct table *t)
{
	return map_count(t->buckets) >= t->max;
}

static void
sweep(struct table *t, int64_t now)
{
	if (now - t->swept_at < AUTH_GUARD_FORGIVE_MS)
		return;
	t->swept_at = now;
	drop_empty(t, AUTH_GUARD_KNOWN_MS, now);
	if (is_full(t))
		drop_empty(t, KNOWN_LEAST_MS, now);
}

static struct bucket *
get_bucket(struct table *t, struct str key, int64_t now)
{
	struct bucket *b = map_find(t->buckets, key);

	if (b != NULL)
		return b;
	if (is_full(t))
		sweep(t, now);
	if (is_full(t))
		return NULL;
	b = xcalloc(1, sizeof(*b));
	b->since = now;
	b->at = NEVER;
	map_set(t->buckets, key, b);
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

static int64_t
step_of(uint32_t over)
{
	int64_t ms = STEP_FIRST_MS;

	for (uint32_t n = STEP_FAILURES;
	     n <= over && ms < AUTH_GUARD_FORGIVE_MS; n += STEP_FAILURES)
		ms *= 2;
	return ms < AUTH_GUARD_FORGIVE_MS ? ms : AUTH_GUARD_FORGIVE_MS;
}

static void
add_failure(struct bucket *b, int64_t now)
{
	uint32_t left = count_at(b, now);

	/* A minute that has begun counts on. */
	b->since = left == 0 ? now
			     : b->since + (int64_t)(b->count - left) *
					      AUTH_GUARD_FORGIVE_MS;
	b->count = left < UINT32_MAX ? left + 1 : left;
}

struct auth_guard_answer
auth_guard_ask(struct auth_guard *g, const struct ip *client, struct str user,
    uint32_t max, int64_t now)
{
	const struct bucket *pair = pair_of(g, client, user);
	struct bucket *site = site_of(g, client);
	struct auth_guard_answer a = {.may = true};
	uint32_t count = count_at(site, now);

	if (count_at(pair, now) >= max) {
		a = (struct auth_guard_answer){
		    .wait_ms = time_to(pair, max, now), .of_user = true};
		return a;
	}
	if (count < max ||
	    (pair != NULL && now - pair->at < AUTH_GUARD_KNOWN_MS))
		return a;
	if (site->at > now)
		a.wait_ms = site->at - now;
	a.may = a.wait_ms <= AUTH_GUARD_WAIT_MAX_MS;
	if (a.may)
		site->at = now + a.wait_ms + step_of(count - max);
	return a;
}

bool
auth_guard_is_locked(const struct auth_guard *g, const struct ip *client,
    struct str user, uint32_t max, int64_t now)
{
	return auth_guard_count(g, client, now) >= max ||
	       count_at(pair_of(g, client, user), now) >= max;
}

int64_t
auth_guard_failed(
    struct auth_guard *g, const struct ip *client, struct str user, int64_t now)
{
	char key[KEY_MAX];
	struct ip ip;
	struct bucket *site =
	    get_bucket(&g->sites, ip_site_key(client, &ip), now);
	struct bucket *pair =
	    get_bucket(&g->pairs, pair_key(g, client, user, key), now);

	if (pair != NULL)
		add_failure(pair, now);
	if (site == NULL)
		return AUTH_GUARD_DELAY_MAX_MS;
	add_failure(site, now);
	return delay_of(site->count);
}

void
auth_guard_passed(
    struct auth_guard *g, const struct ip *client, struct str user, int64_t now)
{
	char key[KEY_MAX];
	struct bucket *pair =
	    get_bucket(&g->pairs, pair_key(g, client, user, key), now);

	if (pair == NULL)
		return;
	pair->count = 0;
	pair->at = now;
}
