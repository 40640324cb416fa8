/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See sent.h. A mark that was taken is 0 in its place. A state has the oldest
 * first.
 */
#include "gate/sent.h"

void
sent_add(struct sent *s, uint64_t mark, int64_t now)
{
	if (mark == 0)
		return;
	s->v[s->next] = (struct dated){mark, now};
	s->next = (s->next + 1) % SENT_MAX;
	if (s->n < SENT_MAX)
		s->n++;
}

/* SENT_MAX: it is not there. */
static uint32_t
find(const struct sent *s, uint64_t mark, int64_t now)
{
	for (uint32_t i = 0; mark != 0 && i < s->n; i++) {
		if (s->v[i].value == mark && now - s->v[i].at < SENT_EXPIRY_MS)
			return i;
	}
	return SENT_MAX;
}

bool
sent_has(const struct sent *s, uint64_t mark, int64_t now)
{
	return find(s, mark, now) < SENT_MAX;
}

bool
sent_take(struct sent *s, uint64_t mark, int64_t now)
{
	uint32_t i = find(s, mark, now);

	if (i == SENT_MAX)
		return false;
	s->v[i].value = 0;
	return true;
}

size_t
sent_save(const struct sent *s, int64_t now, unsigned char out[SENT_STATE_MAX])
{
	struct dated left[SENT_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		const struct dated *m =
		    &s->v[(s->next + SENT_MAX - s->n + i) % SENT_MAX];

		if (m->value != 0 && now - m->at < SENT_EXPIRY_MS)
			left[n++] = *m;
	}
	return dated_save(left, n, now, out);
}

bool
sent_load(struct sent *s, const unsigned char *p, size_t n, int64_t age_ms,
    int64_t now)
{
	struct dated read[SENT_MAX];
	struct sent out = {0};
	uint32_t count;

	if (!dated_load(read, SENT_MAX, &count, p, n, now - age_ms))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (read[i].value == 0)
			return false;
		sent_add(&out, read[i].value, read[i].at);
	}
	*s = out;
	return true;
}
