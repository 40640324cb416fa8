/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Networks sorted by their first address. Of two that overlap one lies within
 * the other, so that one which lies in its forerunner adds nothing and is left
 * out; the rest is disjoint, and a binary search finds the only candidate.
 */
#include "base/ip_ranges.h"

#include <stdlib.h>
#include <string.h>

struct ip_ranges {
	size_t n;
	struct ip_net v[];
};

static int
compare_ip(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, a->family == IP_V4 ? 4 : 16);
}

/* The wider first, where two begin at the same address. */
static int
compare_net(const void *x, const void *y)
{
	const struct ip_net *a = x, *b = y;
	int order = compare_ip(&a->ip, &b->ip);

	return order != 0 ? order : (int)a->bits - (int)b->bits;
}

struct ip_ranges *
ip_ranges_new(const struct ip_net *nets, size_t n)
{
	struct ip_ranges *set =
	    xcalloc(1, sizeof(*set) + n * sizeof(set->v[0]));
	size_t kept = 0;

	if (n > 0)
		memcpy(set->v, nets, n * sizeof(set->v[0]));
	qsort(set->v, n, sizeof(set->v[0]), compare_net);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || !ip_net_has(&set->v[kept - 1], &set->v[i].ip))
			set->v[kept++] = set->v[i];
	}
	set->n = kept;
	return set;
}

void
ip_ranges_free(struct ip_ranges *set)
{
	free(set);
}

bool
ip_ranges_have(const struct ip_ranges *set, const struct ip *ip)
{
	size_t low = 0, high = set->n;

	/* The last that does not begin behind it. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_ip(&set->v[middle].ip, ip) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && ip_net_has(&set->v[low - 1], ip);
}
