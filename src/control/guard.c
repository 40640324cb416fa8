/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/guard.h"

#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

struct address {
	struct list entry; /* by the last failure, the oldest first */
	struct ip site;
	unsigned failures;
	int64_t failed_at, locked_until;
};

struct guard {
	struct map *by_site;
	struct list order;
};

struct guard *
guard_new(void)
{
	struct guard *g = xcalloc(1, sizeof(*g));

	g->by_site = map_new();
	list_init(&g->order);
	return g;
}

void
guard_free(struct guard *g)
{
	if (g == NULL)
		return;
	map_free(g->by_site, free);
	free(g);
}

static void
drop(struct guard *g, struct address *a)
{
	struct ip site;

	list_remove(&a->entry);
	(void)map_remove(g->by_site, ip_site_key(&a->site, &site));
	free(a);
}

static struct address *
find(struct guard *g, const struct ip *ip, int64_t now)
{
	struct ip site;
	struct address *a = map_find(g->by_site, ip_site_key(ip, &site));

	if (a == NULL || now - a->failed_at < GUARD_FORGET_MS)
		return a;
	drop(g, a);
	return NULL;
}

int64_t
guard_locked_for(struct guard *g, const struct ip *ip, int64_t now)
{
	const struct address *a = find(g, ip, now);

	return a != NULL && a->locked_until > now ? a->locked_until - now : 0;
}

static struct address *
add(struct guard *g, const struct ip *ip)
{
	struct address *a = xcalloc(1, sizeof(*a));
	struct ip site;

	if (map_count(g->by_site) >= GUARD_ADDRESSES_MAX)
		drop(g, LIST_ITEM(g->order.next, struct address, entry));
	a->site = *ip;
	list_init(&a->entry);
	(void)map_set(g->by_site, ip_site_key(ip, &site), a);
	return a;
}

void
guard_failed(struct guard *g, const struct ip *ip, int64_t now)
{
	struct address *a = find(g, ip, now);
	int64_t lock = GUARD_FIRST_MS;

	if (a == NULL)
		a = add(g, ip);
	a->failed_at = now;
	list_remove(&a->entry);
	list_append(&g->order, &a->entry);
	if (++a->failures < GUARD_FREE)
		return;
	for (unsigned i = GUARD_FREE;
	     i < a->failures && lock < GUARD_LONGEST_MS; i++)
		lock *= 2;
	a->locked_until =
	    now + (lock < GUARD_LONGEST_MS ? lock : GUARD_LONGEST_MS);
}

void
guard_passed(struct guard *g, const struct ip *ip)
{
	struct ip site;
	struct address *a = map_find(g->by_site, ip_site_key(ip, &site));

	if (a != NULL)
		drop(g, a);
}
