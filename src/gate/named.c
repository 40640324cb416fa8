/* SPDX-License-Identifier: BSD-3-Clause */
/* See named.h. */
#include "gate/named.h"

static struct dated *
find(struct named *s, uint64_t destination)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].value == destination)
			return &s->v[i];
	}
	return NULL;
}

static struct dated *
oldest(struct named *s)
{
	struct dated *d = &s->v[0];

	for (uint32_t i = 1; i < s->n; i++) {
		if (s->v[i].at < d->at)
			d = &s->v[i];
	}
	return d;
}

void
named_add(struct named *s, uint64_t destination, int64_t now)
{
	struct dated *d = find(s, destination);

	if (d == NULL)
		d = s->n < NAMED_MAX ? &s->v[s->n++] : oldest(s);
	*d = (struct dated){destination, now};
}

bool
named_has(const struct named *s, uint64_t destination, int64_t now)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].value == destination)
			return now - s->v[i].at < NAMED_EXPIRY_MS;
	}
	return false;
}

size_t
named_save(
    const struct named *s, int64_t now, unsigned char out[NAMED_STATE_MAX])
{
	return dated_save(s->v, s->n, now, out);
}

bool
named_load(struct named *s, const unsigned char *p, size_t n, int64_t age_ms,
    int64_t now)
{
	struct named read = {0}, out = {0};

	if (!dated_load(read.v, NAMED_MAX, &read.n, p, n, now - age_ms))
		return false;
	for (; out.n < read.n; out.n++) {
		if (find(&out, read.v[out.n].value) != NULL)
			return false;
		out.v[out.n] = read.v[out.n];
	}
	*s = out;
	return true;
}
