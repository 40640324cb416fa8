/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sum of all users' parts is `used`, always; what would break that is a
 * bug of the caller's.
 */
#include "base/share.h"

#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define RESERVE_PART 16

struct share {
	struct map *users;
	uint64_t used;
};

struct share_user {
	uint64_t used;
	uint32_t refs;
	uint32_t key_n;
	char key[];
};

struct share *
share_new(void)
{
	struct share *s = xcalloc(1, sizeof(*s));

	s->users = map_new();
	return s;
}

void
share_free(struct share *s)
{
	if (s == NULL)
		return;
	map_free(s->users, free);
	free(s);
}

static void
reap(struct share *s, struct share_user *u)
{
	if (u->refs > 0 || u->used > 0)
		return;
	map_remove(s->users, (struct str){u->key, u->key_n});
	free(u);
}

struct share_user *
share_join(struct share *s, struct str key)
{
	struct share_user *u = map_find(s->users, key);

	if (u == NULL) {
		u = xmalloc(sizeof(*u) + key.n);
		*u = (struct share_user){.key_n = (uint32_t)key.n};
		if (key.n > 0)
			memcpy(u->key, key.p, key.n);
		map_set(s->users, key, u);
	}
	u->refs++;
	return u;
}

void
share_leave(struct share *s, struct share_user *u)
{
	if (u == NULL)
		return;
	if (u->refs == 0)
		panic("share: left twice");
	u->refs--;
	reap(s, u);
}

struct share_user *
share_find(const struct share *s, struct str key)
{
	return map_find(s->users, key);
}

uint64_t
share_reserve(uint64_t max)
{
	return max / RESERVE_PART;
}

bool
share_may(const struct share *s, const struct share_user *u, uint64_t max,
    uint64_t amount)
{
	uint64_t reserve = share_reserve(max), mine = share_used_by(u);
	uint64_t others = s->used - mine;
	uint64_t left = max + reserve > s->used ? max + reserve - s->used : 0;
	uint64_t rest = others < max / 2 ? max - 2 * others : 0;

	/* Neither of the sums below can wrap. */
	if (amount > left || mine + amount > max)
		return false;
	if (s->used + amount <= max / 2)
		return true;
	return mine + amount <= (left > rest ? left : rest);
}

void
share_take(struct share *s, struct share_user *u, uint64_t amount)
{
	u->used += amount;
	s->used += amount;
}

void
share_give(struct share *s, struct share_user *u, uint64_t amount)
{
	if (amount > u->used)
		panic("share: given back more than was taken");
	u->used -= amount;
	s->used -= amount;
	reap(s, u);
}

uint64_t
share_used(const struct share *s)
{
	return s->used;
}

uint64_t
share_used_by(const struct share_user *u)
{
	return u != NULL ? u->used : 0;
}

size_t
share_users(const struct share *s)
{
	return map_count(s->users);
}
