/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A GCRA per address: the time at which all of its recipients are forgiven.
 * Those that have come to it go when room is needed, at most once a minute, so
 * that a flood of addresses costs no more.
 */
#include "relay/ask_guard.h"

#include "base/map.h"

#include <stdlib.h>

#define WINDOW_MS 600000 /* in which max of them are forgiven */
#define SWEEP_MS 60000

struct ask_guard {
	struct map *forgiven; /* int64_t */
	int64_t swept_at;
};

struct ask_guard *
ask_guard_new(void)
{
	struct ask_guard *g = xcalloc(1, sizeof(*g));

	g->forgiven = map_new();
	g->swept_at = INT64_MIN / 2;
	return g;
}

void
ask_guard_free(struct ask_guard *g)
{
	if (g == NULL)
		return;
	map_free(g->forgiven, free);
	free(g);
}

/* One of max is forgiven in this time. */
static int64_t
step_ms(uint32_t max)
{
	int64_t step = WINDOW_MS / (max > 0 ? max : 1);

	return step > 0 ? step : 1;
}

bool
ask_guard_is_over(const struct ask_guard *g, const struct ip *client,
    uint32_t max, int64_t now)
{
	struct ip site;
	const int64_t *at = map_find(g->forgiven, ip_site_key(client, &site));

	return at != NULL && *at - now > (int64_t)(max - 1) * step_ms(max);
}

static void
sweep(struct ask_guard *g, int64_t now)
{
	struct str key;
	size_t pos = 0;
	void *value;

	if (now - g->swept_at < SWEEP_MS)
		return;
	g->swept_at = now;
	while (map_each(g->forgiven, &pos, &key, &value)) {
		if (*(const int64_t *)value <= now)
			free(map_remove(g->forgiven, key));
	}
}

void
ask_guard_add(struct ask_guard *g, const struct ip *client, size_t n,
    uint32_t max, int64_t now)
{
	struct ip site;
	struct str key = ip_site_key(client, &site);
	int64_t *at = map_find(g->forgiven, key);
	int64_t most = 2 * (int64_t)max;

	if (n == 0)
		return;
	if (at == NULL && map_count(g->forgiven) >= ASK_GUARD_ADDRESSES_MAX)
		sweep(g, now);
	if (at == NULL && map_count(g->forgiven) >= ASK_GUARD_ADDRESSES_MAX)
		return;
	if (at == NULL) {
		at = xcalloc(1, sizeof(*at));
		*at = now;
		map_set(g->forgiven, key, at);
	}
	if (*at < now)
		*at = now;
	*at += (n < (size_t)most ? (int64_t)n : most) * step_ms(max);
	if (*at - now > most * step_ms(max))
		*at = now + most * step_ms(max);
}
