/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A set is an array in the order of last mail, searched from the newest: so
 * the oldest and the expired are its head. The rate is a theoretical arrival
 * time (GCRA): one number for each user, however long the window.
 *
 * A user whose last address went stays, empty, until that was saved.
 */
#include "gate/inbound_set.h"

#include "throttle/mem.h"

#include <string.h>

#define CAP_FIRST 4
#define SHARE_LEAST 5
/* Of the map for each user: its entry, slots, and what malloc takes. */
#define MAP_BYTES 112
#define LOOK_WHEN_FULL 16

struct inbound *
inbound_new(size_t bytes_max)
{
	struct inbound *in = xcalloc(1, sizeof(*in));

	in->users = map_new();
	in->bytes_max = bytes_max;
	in->now = INT64_MIN / 2;
	list_init(&in->changed);
	return in;
}

static void
free_user(void *value)
{
	struct inbound_user *u = value;

	free(u->v);
	free(u);
}

void
inbound_free(struct inbound *in)
{
	if (in == NULL)
		return;
	map_free(in->users, free_user);
	free(in);
}

void
inbound_set_bytes_max(struct inbound *in, size_t bytes_max)
{
	in->bytes_max = bytes_max;
}

size_t
inbound_users(const struct inbound *in)
{
	return map_count(in->users);
}

void
inbound_stats(const struct inbound *in, struct inbound_stats *out)
{
	*out = (struct inbound_stats){
	    .users = map_count(in->users),
	    .addresses = in->addresses,
	    .bytes = in->bytes,
	    .replaced = in->replaced,
	    .expired = in->expired,
	};
}

int64_t
inbound_clamp_now(struct inbound *in, int64_t now)
{
	if (now > in->now)
		in->now = now;
	return in->now;
}

/* ---- users ---- */

static size_t
user_bytes(size_t key_n)
{
	return mem_taken(sizeof(struct inbound_user) + key_n) +
	       mem_taken(key_n) + MAP_BYTES;
}

static size_t
array_bytes(uint32_t cap)
{
	return cap == 0 ? 0 : mem_taken(cap * sizeof(struct inbound_address));
}

static void
resize(struct inbound *in, struct inbound_user *u, uint32_t cap)
{
	in->bytes = in->bytes - array_bytes(u->cap) + array_bytes(cap);
	u->v = xrealloc(u->v, cap * sizeof(*u->v));
	u->cap = cap;
}

struct inbound_user *
inbound_add_user(struct inbound *in, struct str key)
{
	size_t bytes = user_bytes(key.n) + array_bytes(CAP_FIRST);
	struct inbound_user *u;

	if (in->bytes + bytes > in->bytes_max)
		return NULL;
	u = xcalloc(1, sizeof(*u) + key.n);
	list_init(&u->changed);
	u->rate_at = INT64_MIN / 2;
	u->key_n = key.n;
	memcpy(u->key, key.p, key.n);
	in->bytes += user_bytes(key.n);
	resize(in, u, CAP_FIRST);
	map_set(in->users, key, u);
	return u;
}

struct str
inbound_user_key(const struct inbound_user *u)
{
	return (struct str){u->key, u->key_n};
}

bool
inbound_reserve(struct inbound *in, struct inbound_user *u, uint32_t need)
{
	uint32_t cap = u->cap;

	while (cap < need)
		cap *= 2;
	if (cap == u->cap)
		return true;
	if (in->bytes - array_bytes(u->cap) + array_bytes(cap) > in->bytes_max)
		return false;
	resize(in, u, cap);
	return true;
}

void
inbound_free_user(struct inbound *in, struct inbound_user *u)
{
	in->bytes -= array_bytes(u->cap) + user_bytes(u->key_n);
	in->addresses -= u->n;
	list_remove(&u->changed);
	map_remove(in->users, inbound_user_key(u));
	free_user(u);
}

static void
touch(struct inbound *in, struct inbound_user *u)
{
	if (list_is_empty(&u->changed))
		list_append(&in->changed, &u->changed);
}

struct inbound_user *
inbound_changed(const struct inbound *in)
{
	if (list_is_empty(&in->changed))
		return NULL;
	return LIST_ITEM(in->changed.next, struct inbound_user, changed);
}

void
inbound_saved(struct inbound *in, struct inbound_user *u)
{
	list_remove(&u->changed);
	if (u->n == 0)
		inbound_free_user(in, u);
}

/* ---- addresses ---- */

static void
drop_oldest(struct inbound *in, struct inbound_user *u, uint32_t n)
{
	if (n == 0)
		return;
	u->n -= n;
	in->addresses -= n;
	memmove(u->v, u->v + n, u->n * sizeof(*u->v));
	if (u->n <= u->cap / 4 && u->cap > CAP_FIRST)
		resize(in, u, u->cap / 2);
}

static uint32_t
expired_count(const struct inbound_user *u, int64_t expiry_ms, int64_t now)
{
	uint32_t n = 0;

	while (n < u->n && now - u->v[n].at >= expiry_ms)
		n++;
	return n;
}

bool
inbound_drop_expired(struct inbound *in, struct inbound_user *u, int64_t now)
{
	uint32_t n = expired_count(u, u->expiry_ms, now);

	drop_oldest(in, u, n);
	in->expired += n;
	return n > 0;
}

/* Its index; u->n: it is not there. */
static uint32_t
find(const struct inbound_user *u, uint64_t destination)
{
	for (uint32_t i = u->n; i > 0; i--) {
		if (u->v[i - 1].destination == destination)
			return i - 1;
	}
	return u->n;
}

static void
refresh(struct inbound *in, struct inbound_user *u, uint32_t at, int64_t now)
{
	struct inbound_address a = u->v[at];

	a.at = now;
	if (now - u->v[at].at < INBOUND_REFRESH_MS)
		return;
	memmove(u->v + at, u->v + at + 1, (u->n - at - 1) * sizeof(*u->v));
	u->v[u->n - 1] = a;
	touch(in, u);
}

/* Takes one of the allowance for new addresses. False: there is none. */
static bool
take_rate(
    struct inbound_user *u, const struct throttle_limit *rate, int64_t now)
{
	int64_t step;

	if (rate->count == 0)
		return true;
	step = rate->window_ms / rate->count;
	if (step < 1)
		step = 1;
	/* The window was longer once, or what was stored is not ours. */
	if (u->rate_at > now + rate->window_ms)
		u->rate_at = now + rate->window_ms;
	if (u->rate_at < now)
		u->rate_at = now;
	if (u->rate_at + step - now > rate->window_ms)
		return false;
	u->rate_at += step;
	return true;
}

static uint32_t
part(const struct throttle_limit *rate, uint32_t of)
{
	uint32_t n = rate->count / of;

	return n > SHARE_LEAST ? n : SHARE_LEAST;
}

static bool
is_share_used(const struct inbound_user *u, struct inbound_origin origin,
    const struct throttle_limit *rate, int64_t now)
{
	int64_t since_s = (now - rate->window_ms) / 1000;
	uint32_t domain = 0, network = 0;

	if (rate->count == 0)
		return false;
	for (uint32_t i = 0; i < u->n; i++) {
		const struct inbound_address *a = &u->v[i];

		if (a->learnt_s <= since_s)
			continue;
		domain +=
		    origin.domain != 0 && a->origin.domain == origin.domain;
		network +=
		    origin.network != 0 && a->origin.network == origin.network;
	}
	return domain >= part(rate, 2) || network >= part(rate, 2) ||
	       (domain >= part(rate, 5) && network >= part(rate, 5));
}

/* In place of the oldest when the set is full, or its array cannot grow. */
static void
append(struct inbound *in, struct inbound_user *u, uint64_t destination,
    struct inbound_origin origin, uint32_t set, int64_t now)
{
	uint32_t over = u->n >= set ? u->n - set + 1 : 0;

	if (over == 0 && !inbound_reserve(in, u, u->n + 1))
		over = 1;
	drop_oldest(in, u, over);
	in->replaced += over;
	u->v[u->n++] = (struct inbound_address){
	    destination, now, (int32_t)(now / 1000), origin};
	in->addresses++;
	touch(in, u);
}

/* NULL: there is no room for one more. */
static struct inbound_user *
get_user(struct inbound *in, struct str key, int64_t now)
{
	struct inbound_user *u = map_find(in->users, key);

	if (u == NULL)
		u = inbound_add_user(in, key);
	if (u != NULL)
		return u;
	inbound_expire(in, now, LOOK_WHEN_FULL);
	return inbound_add_user(in, key);
}

enum inbound_result
inbound_learn(struct inbound *in, struct str user, uint64_t destination,
    const struct inbound_rules *rules, int64_t now)
{
	return inbound_learn_from(
	    in, user, destination, (struct inbound_origin){0}, rules, now);
}

enum inbound_result
inbound_learn_from(struct inbound *in, struct str user, uint64_t destination,
    struct inbound_origin origin, const struct inbound_rules *rules,
    int64_t now)
{
	struct inbound_user *u;
	uint32_t at;

	now = inbound_clamp_now(in, now);
	u = get_user(in, user, now);
	if (u == NULL)
		return INBOUND_FULL;
	u->expiry_ms = rules->expiry_ms;
	if (inbound_drop_expired(in, u, now))
		touch(in, u);
	at = find(u, destination);
	if (at < u->n) {
		refresh(in, u, at, now);
		return INBOUND_AGAIN;
	}
	if (is_share_used(u, origin, &rules->rate, now))
		return INBOUND_SHARE;
	if (!take_rate(u, &rules->rate, now))
		return INBOUND_TOO_MANY;
	append(in, u, destination, origin, rules->set, now);
	return INBOUND_LEARNT;
}

bool
inbound_knows(const struct inbound *in, struct str user, uint64_t destination,
    int64_t expiry_ms, int64_t now)
{
	const struct inbound_user *u = map_find(in->users, user);
	uint32_t at;

	if (u == NULL)
		return false;
	at = find(u, destination);
	if (now < in->now)
		now = in->now;
	return at < u->n && now - u->v[at].at < expiry_ms;
}

size_t
inbound_count(const struct inbound *in, struct str user, int64_t now)
{
	const struct inbound_user *u = map_find(in->users, user);

	if (u == NULL)
		return 0;
	return u->n - expired_count(u, u->expiry_ms, now);
}

size_t
inbound_forget(struct inbound *in, struct str user)
{
	struct inbound_user *u = map_find(in->users, user);
	uint32_t n;

	if (u == NULL)
		return 0;
	n = u->n;
	drop_oldest(in, u, n);
	touch(in, u);
	return n;
}

void
inbound_expire(struct inbound *in, int64_t now, size_t steps)
{
	struct str key;
	void *value;

	now = inbound_clamp_now(in, now);
	while (steps-- > 0) {
		if (!map_each(in->users, &in->expire_pos, &key, &value)) {
			in->expire_pos = 0;
			return;
		}
		if (inbound_drop_expired(in, value, now))
			touch(in, value);
	}
}
