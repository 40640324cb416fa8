/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See sent.h. A mark that was taken is 0 in its place. A state is
 *
 *	count u8 | for each, the oldest first: mark u64 | seconds since u32
 */
#include "gate/sent.h"

#include "base/bytes.h"

#define ENTRY 12

void
sent_add(struct sent *s, uint64_t mark, int64_t now)
{
	if (mark == 0)
		return;
	s->v[s->next] = (struct sent_mark){mark, now};
	s->next = (s->next + 1) % SENT_MAX;
	if (s->n < SENT_MAX)
		s->n++;
}

/* SENT_MAX: it is not there. */
static uint32_t
find(const struct sent *s, uint64_t mark, int64_t now)
{
	for (uint32_t i = 0; mark != 0 && i < s->n; i++) {
		if (s->v[i].mark == mark && now - s->v[i].at < SENT_EXPIRY_MS)
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
	s->v[i].mark = 0;
	return true;
}

size_t
sent_save(const struct sent *s, int64_t now, unsigned char out[SENT_STATE_MAX])
{
	unsigned char *p = out + 1, *count = out;
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		const struct sent_mark *m =
		    &s->v[(s->next + SENT_MAX - s->n + i) % SENT_MAX];
		int64_t age = now > m->at ? now - m->at : 0;

		if (m->mark == 0 || age >= SENT_EXPIRY_MS)
			continue;
		bytes_put(&p, m->mark, 8);
		bytes_put(&p, (uint64_t)(age / 1000), 4);
		n++;
	}
	bytes_put(&count, n, 1);
	return (size_t)(p - out);
}

bool
sent_load(struct sent *s, const unsigned char *p, size_t n, int64_t age_ms,
    int64_t now)
{
	struct sent out = {0};
	uint32_t count;

	if (n < 1)
		return false;
	count = (uint32_t)bytes_get(&p, 1);
	if (count > SENT_MAX || n != 1 + ENTRY * (size_t)count)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t mark = bytes_get(&p, 8);
		int64_t s_ago = (int64_t)bytes_get(&p, 4);

		if (mark == 0)
			return false;
		sent_add(&out, mark, now - age_ms - s_ago * 1000);
	}
	*s = out;
	return true;
}
