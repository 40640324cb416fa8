/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See window.h.
 */
#include "gate/window.h"

#include "base/bytes.h"

#include <stddef.h>

#define SLOTS WINDOW_SLOTS
#define AGE_MAX (INT64_C(1) << 41)

static int64_t
slot_ms(const struct window *w)
{
	return w->length_ms >= SLOTS ? w->length_ms / SLOTS : 1;
}

void
window_advance(struct window *w, int64_t now)
{
	int64_t steps = (now - w->newest_at) / slot_ms(w);
	size_t k;

	if (now < w->newest_at || steps <= 0)
		return;
	k = steps > SLOTS ? SLOTS + 1 : (size_t)steps;
	for (size_t i = SLOTS + 1; i-- > 0;) {
		if (i + k > SLOTS)
			w->used -= w->slot[i];
		w->slot[i] = i >= k ? w->slot[i - k] : 0;
	}
	w->newest_at += steps * slot_ms(w);
}

void
window_add(struct window *w, int64_t now)
{
	window_advance(w, now);
	if (w->used == UINT32_MAX)
		return;
	w->slot[0]++;
	w->used++;
}

void
window_take_back(struct window *w)
{
	for (size_t i = 0; i <= SLOTS; i++) {
		if (w->slot[i] == 0)
			continue;
		w->slot[i]--;
		w->used--;
		return;
	}
}

int64_t
window_open_at(const struct window *w)
{
	size_t i = SLOTS;

	while (i > 0 && w->slot[i] == 0)
		i--;
	return w->newest_at + (int64_t)(SLOTS + 1 - i) * slot_ms(w);
}

void
window_set_length(struct window *w, int64_t length_ms, int64_t now)
{
	uint32_t used;

	if (w->length_ms == length_ms)
		return;
	if (w->length_ms > 0)
		window_advance(w, now);
	used = w->used;
	*w = (struct window){
	    .length_ms = length_ms, .newest_at = now, .used = used};
	w->slot[0] = used;
}

void
window_put(
    unsigned char **p, const struct window *from, uint32_t more, int64_t now)
{
	struct window w = *from;

	window_advance(&w, now);
	w.slot[0] += more;
	bytes_put(p, (uint64_t)w.length_ms, 8);
	bytes_put(p, (uint64_t)(now - w.newest_at), 8);
	for (size_t i = 0; i <= SLOTS; i++)
		bytes_put(p, w.slot[i], 4);
}

bool
window_get(
    const unsigned char **p, int64_t age_ms, int64_t now, struct window *w)
{
	uint64_t length = bytes_get(p, 8), age = bytes_get(p, 8), used = 0;

	*w = (struct window){0};
	for (size_t i = 0; i <= SLOTS; i++) {
		w->slot[i] = (uint32_t)bytes_get(p, 4);
		used += w->slot[i];
	}
	if (length == 0 || length > WINDOW_MS_MAX || used > UINT32_MAX ||
	    age > length) {
		*w = (struct window){0};
		return false;
	}
	age_ms = age_ms < 0 ? 0 : age_ms > AGE_MAX ? AGE_MAX : age_ms;
	w->length_ms = (int64_t)length;
	w->newest_at = now - age_ms - (int64_t)age;
	w->used = (uint32_t)used;
	return true;
}
