/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A window begins with an address's first notice. Addresses whose window is
 * over go when room is needed, at most once a minute, so that a flood of
 * addresses costs no more.
 */
#include "delivery/notice_limit.h"

#include "base/map.h"

#include <stdlib.h>

#define KEY_MAX 512
#define SWEEP_MS 60000

struct window {
	uint32_t count;
	int64_t since;
};

struct notice_limit {
	struct map *windows;
	int64_t swept_at;
};

struct notice_limit *
notice_limit_new(void)
{
	struct notice_limit *l = xcalloc(1, sizeof(*l));

	l->windows = map_new();
	l->swept_at = INT64_MIN / 2;
	return l;
}

void
notice_limit_free(struct notice_limit *l)
{
	if (l == NULL)
		return;
	map_free(l->windows, free);
	free(l);
}

static struct str
key_of(struct str address, char out[KEY_MAX])
{
	size_t n = str_copy(address, out, KEY_MAX);

	for (size_t i = 0; i < n; i++) {
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] | 0x20);
	}
	return (struct str){out, n};
}

static void
sweep(struct notice_limit *l, int64_t window_ms, int64_t now)
{
	size_t pos = 0;
	struct str key;
	void *value;

	if (now - l->swept_at < SWEEP_MS)
		return;
	l->swept_at = now;
	while (map_each(l->windows, &pos, &key, &value)) {
		if (now - ((struct window *)value)->since >= window_ms)
			free(map_remove(l->windows, key));
	}
}

bool
notice_limit_take(struct notice_limit *l, struct str address, uint32_t count,
    int64_t window_ms, int64_t now)
{
	char mem[KEY_MAX];
	struct str key = key_of(address, mem);
	struct window *w;

	if (count == 0)
		return true;
	w = map_find(l->windows, key);
	if (w == NULL) {
		if (map_count(l->windows) >= NOTICE_LIMIT_SENDERS_MAX)
			sweep(l, window_ms, now);
		if (map_count(l->windows) >= NOTICE_LIMIT_SENDERS_MAX)
			return false;
		w = xcalloc(1, sizeof(*w));
		w->since = now;
		map_set(l->windows, key, w);
	}
	if (now - w->since >= window_ms)
		*w = (struct window){.since = now};
	if (w->count >= count)
		return false;
	w->count++;
	return true;
}
