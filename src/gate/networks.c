/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See networks.h. A network is its leading bits with 4 or 6 above them. A state
 * is
 *
 *	count u8 | for each: network u64 | is_learnt u8 | seconds since: first
 *	used u32, last used u32
 */
#include "gate/networks.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

#define V4 UINT64_C(4)
#define V6 UINT64_C(6)
#define FAMILY_SHIFT 56
#define V4_BITS 24
#define V6_BITS 48
#define ENTRY 17
#define TELL_LEARNT_MS INT64_C(3600000)
#define TELL_MS INT64_C(60000)

uint64_t
networks_of(const struct ip *client)
{
	unsigned bytes = client->family == IP_V4 ? V4_BITS / 8 : V6_BITS / 8;
	uint64_t net = 0;

	if (client->family == IP_NONE || ip_is_loopback(client))
		return 0;
	for (unsigned i = 0; i < bytes; i++)
		net = net << 8 | client->bytes[i];
	return net | (client->family == IP_V4 ? V4 : V6) << FAMILY_SHIFT;
}

const char *
networks_format(uint64_t net, char out[NETWORKS_TEXT_MAX])
{
	bool is_v4 = net >> FAMILY_SHIFT == V4;
	unsigned bits = is_v4 ? V4_BITS : V6_BITS;
	struct ip ip = {.family = is_v4 ? IP_V4 : IP_V6};
	char text[IP_TEXT_MAX];

	for (unsigned i = 0; i < bits / 8; i++)
		ip.bytes[i] = (uint8_t)(net >> (bits - 8 * (i + 1)));
	snprintf(out, NETWORKS_TEXT_MAX, "%s/%u", ip_format(&ip, text), bits);
	return out;
}

static bool
is_network(uint64_t net)
{
	unsigned family = (unsigned)(net >> FAMILY_SHIFT);
	uint64_t bits = net & ((UINT64_C(1) << FAMILY_SHIFT) - 1);

	return (family == V4 && bits >> V4_BITS == 0) ||
	       (family == V6 && bits >> V6_BITS == 0);
}

void
networks_clear(struct networks *s)
{
	free(s->v);
	*s = (struct networks){0};
}

static struct network *
add(struct networks *s, uint64_t net)
{
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : 2;
		s->v = xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n] = (struct network){.net = net};
	return &s->v[s->n++];
}

static void
drop(struct networks *s, uint32_t i)
{
	s->v[i] = s->v[--s->n];
}

static void
expire(struct networks *s, int64_t now)
{
	for (uint32_t i = s->n; i-- > 0;) {
		if (now - s->v[i].last >= NETWORKS_EXPIRY_MS)
			drop(s, i);
	}
}

static struct network *
find(struct networks *s, uint64_t net)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].net == net)
			return &s->v[i];
	}
	return NULL;
}

/* Of the learnt, or of the others, the one unused for longest makes room, so
 * that no number of new ones pushes out what was learnt. */
static void
make_room(struct networks *s, bool learnt, uint32_t max)
{
	uint32_t n = 0, oldest = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].is_learnt != learnt)
			continue;
		if (n++ == 0 || s->v[i].last < s->v[oldest].last)
			oldest = i;
	}
	if (n >= max)
		drop(s, oldest);
}

static uint32_t
count_new(
    const struct networks *s, const struct networks_rules *rules, int64_t now)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n +=
		    !s->v[i].is_learnt && now - s->v[i].last < rules->window_ms;
	return n;
}

/* Used while there are too many: their day begins anew. */
static void
learn_later(struct networks *s, const struct networks_rules *rules, int64_t now)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (!s->v[i].is_learnt && now - s->v[i].last < rules->window_ms)
			s->v[i].since = now;
	}
}

static void
learn(struct networks *s, uint64_t net)
{
	make_room(s, true, NETWORKS_LEARNT_MAX);
	find(s, net)->is_learnt = true;
}

enum networks_result
networks_use(struct networks *s, const struct networks_rules *rules,
    uint64_t net, int64_t now)
{
	struct network *n;
	bool was_told = s->is_told;

	if (rules->count == 0 || net == 0)
		return NETWORKS_LEARNT;
	expire(s, now);
	n = find(s, net);
	if (n == NULL) {
		make_room(s, false, NETWORKS_NEW_MAX);
		n = add(s, net);
		n->since = n->last = now;
	}
	if (now > n->last)
		n->last = now;
	if (n->is_learnt)
		return NETWORKS_LEARNT;
	s->is_told = count_new(s, rules, now) > rules->count;
	if (s->is_told) {
		learn_later(s, rules, now);
		return was_told ? NETWORKS_MANY : NETWORKS_MORE;
	}
	if (now - n->since < NETWORKS_LEARN_MS)
		return NETWORKS_FEW;
	learn(s, net);
	return NETWORKS_LEARNT;
}

bool
networks_are_many(const struct networks *s, const struct networks_rules *rules,
    uint64_t net, int64_t now)
{
	uint32_t n;

	if (rules->count == 0 || net == 0)
		return false;
	n = count_new(s, rules, now);
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].net == net && s->v[i].is_learnt)
			return false;
		/* It is counted already. */
		if (s->v[i].net == net && now - s->v[i].last < rules->window_ms)
			return n > rules->count;
	}
	return n + 1 > rules->count;
}

static uint32_t
count_kind(const struct networks *s, bool learnt)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += s->v[i].is_learnt == learnt;
	return n;
}

bool
networks_follow(struct networks *s, const struct network *theirs, uint32_t n,
    bool are_many, int64_t now)
{
	struct networks old = *s;
	bool is_more = false;

	*s = (struct networks){.is_told = are_many};
	for (uint32_t i = 0; i < n; i++) {
		struct network *was = find(&old, theirs[i].net);
		struct network *v;

		if (!is_network(theirs[i].net) ||
		    find(s, theirs[i].net) != NULL ||
		    count_kind(s, theirs[i].is_learnt) >=
			(theirs[i].is_learnt ? NETWORKS_LEARNT_MAX
					     : NETWORKS_NEW_MAX))
			continue;
		v = add(s, theirs[i].net);
		*v = theirs[i];
		v->told_at = was != NULL ? was->told_at : 0;
	}
	expire(&old, now);
	for (uint32_t i = 0; i < old.n; i++) {
		struct network *v = &old.v[i];

		if (find(s, v->net) != NULL ||
		    count_kind(s, v->is_learnt) >=
			(v->is_learnt ? NETWORKS_LEARNT_MAX : NETWORKS_NEW_MAX))
			continue;
		*add(s, v->net) = *v;
		is_more = true;
	}
	networks_clear(&old);
	return is_more;
}

bool
networks_tell(struct networks *s, const struct networks_rules *rules,
    uint64_t net, int64_t now)
{
	struct network *n = find(s, net);
	int64_t every = rules->window_ms / 8;

	if (n == NULL)
		return false;
	if (every > TELL_MS)
		every = TELL_MS;
	if (n->is_learnt)
		every = TELL_LEARNT_MS;
	if (n->told_at != 0 && now - n->told_at < every && !s->is_told)
		return false;
	n->told_at = now;
	return true;
}

void
networks_count(const struct networks *s, const struct networks_rules *rules,
    int64_t now, uint32_t *fresh, uint32_t *learnt)
{
	*fresh = count_new(s, rules, now);
	*learnt = 0;
	for (uint32_t i = 0; i < s->n; i++)
		*learnt += s->v[i].is_learnt &&
			   now - s->v[i].last < NETWORKS_EXPIRY_MS;
}

/* ---- stored state ---- */

static uint32_t
seconds_since(int64_t then, int64_t now)
{
	int64_t s = now > then ? (now - then) / 1000 : 0;

	return s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
}

size_t
networks_save(const struct networks *s, int64_t now,
    unsigned char out[NETWORKS_STATE_MAX])
{
	unsigned char *p = out;

	bytes_put(&p, s->n, 1);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct network *n = &s->v[i];

		bytes_put(&p, n->net, 8);
		bytes_put(&p, n->is_learnt, 1);
		bytes_put(&p, seconds_since(n->since, now), 4);
		bytes_put(&p, seconds_since(n->last, now), 4);
	}
	return (size_t)(p - out);
}

bool
networks_load(struct networks *s, const unsigned char *p, size_t n,
    int64_t age_ms, int64_t now)
{
	uint32_t count, learnt = 0;

	if (n < 1)
		return false;
	count = (uint32_t)bytes_get(&p, 1);
	if (count > NETWORKS_MAX || n != 1 + ENTRY * (size_t)count)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t net = bytes_get(&p, 8), is_learnt = bytes_get(&p, 1);
		struct network *v = find(s, net);
		bool is_double = v != NULL;

		v = add(s, net);
		v->since = now - age_ms - (int64_t)bytes_get(&p, 4) * 1000;
		v->last = now - age_ms - (int64_t)bytes_get(&p, 4) * 1000;
		v->is_learnt = is_learnt == 1;
		learnt += v->is_learnt;
		if (is_double || !is_network(net) || is_learnt > 1 ||
		    v->since > v->last) {
			networks_clear(s);
			return false;
		}
	}
	if (learnt <= NETWORKS_LEARNT_MAX && count - learnt <= NETWORKS_NEW_MAX)
		return true;
	networks_clear(s);
	return false;
}
