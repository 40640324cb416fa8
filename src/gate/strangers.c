/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See strangers.h. The named are a ring, oldest overwritten first, that grows
 * with its use.
 */
#include "gate/strangers.h"

#include "base/bytes.h"

#include <stdlib.h>

#define NAMED_FIRST 4
#define AGE_MAX (INT64_C(1) << 41)

struct named {
	uint64_t destination;
	int64_t at;
};

struct strangers {
	struct window w;
	uint32_t n, next, cap;
	struct named *named; /* next: the place of the one that comes */
};

void
strangers_free(struct strangers *s)
{
	if (s == NULL)
		return;
	free(s->named);
	free(s);
}

static void
fit(struct strangers *s, int64_t window_ms, int64_t now)
{
	window_set_length(&s->w, window_ms, now);
	window_advance(&s->w, now);
}

uint32_t
strangers_used(struct strangers *s, int64_t window_ms, int64_t now)
{
	if (s == NULL)
		return 0;
	fit(s, window_ms, now);
	return s->w.used;
}

int64_t
strangers_open_at(struct strangers *s, int64_t window_ms, int64_t now)
{
	if (s == NULL)
		return now;
	fit(s, window_ms, now);
	return s->w.used > 0 ? window_open_at(&s->w) : now;
}

static struct named *
find(const struct strangers *s, uint64_t destination)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->named[i].destination == destination)
			return &s->named[i];
	}
	return NULL;
}

bool
strangers_has(const struct strangers *s, uint64_t destination,
    int64_t window_ms, int64_t now)
{
	const struct named *e = s != NULL ? find(s, destination) : NULL;

	return e != NULL && e->at > now - window_ms;
}

/* Room for one more, by the oldest where there is no other. */
static struct named *
make_room(struct strangers *s)
{
	struct named *e;

	if (s->n == s->cap && s->cap < STRANGERS_NAMED_MAX) {
		s->cap = s->cap == 0 ? NAMED_FIRST : s->cap * 2;
		s->named = xrealloc(s->named, s->cap * sizeof(*s->named));
		s->next = s->n;
	}
	e = &s->named[s->next];
	s->next = (s->next + 1) % s->cap;
	if (s->n < s->cap)
		s->n++;
	return e;
}

void
strangers_note(struct strangers **all, uint64_t destination, bool is_first,
    int64_t window_ms, int64_t now)
{
	struct strangers *s = *all;
	struct named *e;

	if (s == NULL)
		s = *all = xcalloc(1, sizeof(*s));
	fit(s, window_ms, now);
	e = find(s, destination);
	if (e == NULL)
		e = make_room(s);
	*e = (struct named){destination, now};
	if (is_first)
		window_add(&s->w, now);
}

void
strangers_note_message(struct strangers **all, int64_t window_ms, int64_t now)
{
	if (*all == NULL)
		*all = xcalloc(1, sizeof(**all));
	fit(*all, window_ms, now);
	window_add(&(*all)->w, now);
}

void
strangers_take_back(struct strangers *s, uint64_t destination, bool is_first)
{
	struct named *e = s != NULL ? find(s, destination) : NULL;

	if (e != NULL)
		e->at = INT64_MIN / 2;
	if (s != NULL && is_first)
		window_take_back(&s->w);
}

void
strangers_reset(struct strangers *s)
{
	if (s != NULL)
		s->w = (struct window){
		    .length_ms = s->w.length_ms, .newest_at = s->w.newest_at};
}

uint8_t *
strangers_told(struct strangers *s)
{
	return s != NULL ? &s->w.told : NULL;
}

/* ---- stored state ---- */

static bool
is_recent(const struct strangers *s, const struct named *e, int64_t now)
{
	return e->at > now - s->w.length_ms && e->at <= now;
}

size_t
strangers_save(const struct strangers *s, int64_t now,
    unsigned char out[STRANGERS_STATE_MAX])
{
	unsigned char *p = out, *count;
	struct window w;
	uint32_t n = 0;

	if (s == NULL)
		return 0;
	w = s->w;
	window_advance(&w, now);
	window_put(&p, &w, 0, now);
	count = p;
	p += 2;
	for (uint32_t i = 0; i < s->n; i++) {
		/* From the oldest on. */
		const struct named *e = &s->named[(s->next + i) % s->n];

		if (!is_recent(s, e, now))
			continue;
		bytes_put(&p, e->destination, 8);
		bytes_put(&p, (uint64_t)(now - e->at), 8);
		n++;
	}
	bytes_put(&count, n, 2);
	return w.used == 0 && n == 0 ? 0 : (size_t)(p - out);
}

struct strangers *
strangers_load(const unsigned char *in, size_t n, int64_t age_ms, int64_t now)
{
	struct strangers *s = xcalloc(1, sizeof(*s));
	uint64_t count;

	age_ms = age_ms < 0 ? 0 : age_ms > AGE_MAX ? AGE_MAX : age_ms;
	if (n < WINDOW_BYTES + 2 || !window_get(&in, age_ms, now, &s->w))
		goto bad;
	count = bytes_get(&in, 2);
	if (count > STRANGERS_NAMED_MAX ||
	    n != WINDOW_BYTES + 2 + 16 * (size_t)count)
		goto bad;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t destination = bytes_get(&in, 8);
		uint64_t age = bytes_get(&in, 8);

		if (age > (uint64_t)AGE_MAX || find(s, destination) != NULL)
			goto bad;
		*make_room(s) =
		    (struct named){destination, now - age_ms - (int64_t)age};
	}
	window_advance(&s->w, now);
	return s;
bad:
	strangers_free(s);
	return NULL;
}
