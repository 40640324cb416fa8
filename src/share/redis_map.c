/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The map is learnt over a connection of its own, the guide's, from the nodes
 * of the URL and those that are known, one after the other: when there is none,
 * after MOVED, and every second while a master or a slot is missing. A place
 * that lost its slots stays for a while, for redirects back.
 */
#include "share/redis_map.h"

#include "share/redis_slots.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUIDE_REST_MS 100 /* between two at least */
#define GUIDE_MISSING_MS 1000
#define GUIDE_REST_MAX_MS 5000
#define UNUSED_MS 10000 /* a place without slots stays that long */

struct redis_map {
	struct loop *loop;
	const struct redis_link_settings *settings;
	const struct redis_map_ops *ops;
	void *arg;
	bool is_cluster, is_up;

	struct list places;
	size_t place_count;
	struct redis_place *only;     /* without a cluster */
	struct redis_place **of;      /* by slot; NULL: nobody has it */
	unsigned slots;               /* that somebody has */
	char why[REDIS_LINK_WHY_MAX]; /* no map */

	struct redis_node *guide;
	struct redis_host guide_host;
	unsigned guide_turn;
	bool is_guide_done;
	int64_t guide_at; /* the next begins; INT64_MAX: none is wanted */
	int64_t guide_last, guide_rest_ms;

	struct loop_timer timer;
};

static const struct redis_node_ops place_ops, guide_ops;

/* ---- places ---- */

static void
describe(const struct redis_place *p, struct redis_link_node *out)
{
	redis_host_format(&p->host, out->at);
	out->slots = p->slots;
	out->is_up = p->state == REDIS_PLACE_UP;
	out->why = out->is_up ? "" : p->why;
	out->since = p->since;
	redis_node_memory(p->node, &out->memory);
}

/* Once for each turn of what the owner knows. */
static void
tell(struct redis_place *p, int64_t now)
{
	struct redis_map *m = p->map;
	struct redis_link_node node;
	bool is_news = p->slots > 0
			   ? p->state != REDIS_PLACE_NEW && p->state != p->told
			   : p->told != REDIS_PLACE_NEW;

	if (!is_news || !m->is_cluster)
		return;
	p->told = p->slots > 0 ? p->state : REDIS_PLACE_NEW;
	describe(p, &node);
	if (m->ops->on_node != NULL)
		m->ops->on_node(m->arg, &node, now);
}

static struct redis_place *
place_new(struct redis_map *m, const struct redis_host *host)
{
	struct redis_place *p = xcalloc(1, sizeof(*p));

	p->map = m;
	if (host != NULL)
		p->host = *host;
	p->used_at = p->since = loop_now(m->loop);
	snprintf(p->why, sizeof(p->why), "not reached yet");
	p->node = redis_node_new(
	    m->loop, m->settings, host, REDIS_NODE_WORKS, &place_ops, p);
	list_append(&m->places, &p->entry);
	m->place_count++;
	return p;
}

static void
place_free(struct redis_place *p)
{
	list_remove(&p->entry);
	p->map->place_count--;
	redis_node_free(p->node);
	free(p);
}

struct redis_place *
redis_map_get(struct redis_map *m, const struct redis_host *host)
{
	struct list *e;

	list_each (e, &m->places) {
		struct redis_place *p = LIST_ITEM(e, struct redis_place, entry);

		if (redis_host_same(&p->host, host))
			return p;
	}
	return m->place_count < REDIS_NODES_MAX ? place_new(m, host) : NULL;
}

static void
set_slot(struct redis_map *m, unsigned slot, struct redis_place *p)
{
	struct redis_place *was = m->of[slot];

	if (was != NULL) {
		was->slots--;
		m->slots--;
		was->used_at = loop_now(m->loop);
	}
	m->of[slot] = p;
	if (p != NULL) {
		p->slots++;
		m->slots++;
	}
}

static bool
is_one_up(const struct redis_map *m)
{
	struct list *e;

	list_each (e, &m->places) {
		const struct redis_place *p =
		    LIST_ITEM(e, struct redis_place, entry);

		if (p->state == REDIS_PLACE_UP &&
		    (!m->is_cluster || p->slots > 0))
			return true;
	}
	return false;
}

/* why: of what was lost, or not found; NULL: the map changed, or it is up. */
static void
turn(struct redis_map *m, const char *why, int64_t now)
{
	bool is_up = is_one_up(m), was_up = m->is_up;

	m->is_up = is_up;
	if (is_up && !was_up)
		m->ops->on_up(m->arg, now);
	else if (!is_up && why != NULL)
		m->ops->on_down(m->arg, why, now);
	else if (!is_up && was_up)
		m->ops->on_down(
		    m->arg, "other servers have the slots now", now);
}

static bool
is_spare(const struct redis_place *p)
{
	return p->map->is_cluster && p->slots == 0;
}

static void
set_timer(struct redis_map *m)
{
	int64_t due = m->is_guide_done ? loop_now(m->loop) : m->guide_at;
	struct list *e;

	list_each (e, &m->places) {
		const struct redis_place *p =
		    LIST_ITEM(e, struct redis_place, entry);

		if (is_spare(p) && p->used_at + UNUSED_MS < due)
			due = p->used_at + UNUSED_MS;
	}
	loop_timer_set(&m->timer, due);
}

/* ---- the guide ---- */

static void
want_map(struct redis_map *m, int64_t now, int64_t delay)
{
	int64_t at = now + delay;

	if (!m->is_cluster || m->guide != NULL)
		return;
	if (at < m->guide_last + GUIDE_REST_MS)
		at = m->guide_last + GUIDE_REST_MS;
	if (at < m->guide_at)
		m->guide_at = at;
	set_timer(m);
}

bool
redis_map_is_whole(const struct redis_map *m)
{
	struct list *e;

	if (!m->is_cluster)
		return m->is_up;
	list_each (e, &m->places) {
		const struct redis_place *p =
		    LIST_ITEM(e, struct redis_place, entry);

		if (p->slots > 0 && p->state != REDIS_PLACE_UP)
			return false;
	}
	return m->slots == REDIS_SLOTS;
}

/* One that answers knows it at once, where there is one. */
static const struct redis_host *
choose_guide(struct redis_map *m)
{
	const struct redis_url *url = &m->settings->url;
	size_t i = m->guide_turn++ % (url->host_count + m->place_count);
	struct list *e;

	list_each (e, &m->places) {
		const struct redis_place *p =
		    LIST_ITEM(e, struct redis_place, entry);

		if (p->state == REDIS_PLACE_UP)
			return &p->host;
	}
	if (i < url->host_count)
		return &url->hosts[i];
	e = m->places.next;
	for (i -= url->host_count; i > 0; i--)
		e = e->next;
	return &LIST_ITEM(e, struct redis_place, entry)->host;
}

static void
begin_guide(struct redis_map *m, int64_t now)
{
	m->guide_at = INT64_MAX;
	m->guide_last = now;
	m->guide_host = *choose_guide(m);
	m->guide = redis_node_new(m->loop, m->settings, &m->guide_host,
	    REDIS_NODE_GUIDES, &guide_ops, m);
}

/* It is freed in the timer: it is still speaking. */
static void
end_guide(struct redis_map *m)
{
	m->is_guide_done = true;
	set_timer(m);
}

static void
on_guide_down(void *arg, const char *why, int64_t now)
{
	struct redis_map *m = arg;
	char at[REDIS_HOST_TEXT_MAX];

	if (m->is_guide_done)
		return;
	snprintf(m->why, sizeof(m->why), "%.100s: %.140s",
	    redis_host_format(&m->guide_host, at), why);
	end_guide(m);
	/* Not before each node of the URL had its turn. */
	if (m->guide_turn >= m->settings->url.host_count)
		turn(m, m->why, now);
}

/* Places that the map no longer has go when nothing is open at them. */
static void
use_map(struct redis_map *m, const struct redis_slots *slots, int64_t now)
{
	struct redis_place *places[REDIS_NODES_MAX];
	struct list *e, *next;

	for (unsigned i = 0; i < slots->count; i++)
		places[i] = redis_map_get(m, &slots->hosts[i]);
	for (unsigned slot = 0; slot < REDIS_SLOTS; slot++)
		set_slot(m, slot,
		    slots->of[slot] != REDIS_NO_NODE ? places[slots->of[slot]]
						     : NULL);
	list_each_safe (e, next, &m->places)
		tell(LIST_ITEM(e, struct redis_place, entry), now);
	turn(m, NULL, now);
}

static void
on_guide_slots(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_map *m = arg;
	struct redis_slots *slots;

	if (m->is_guide_done)
		return;
	slots = xcalloc(1, sizeof(*slots));
	if (redis_slots_read(reply, &m->guide_host, slots)) {
		m->guide_rest_ms = GUIDE_REST_MS;
		end_guide(m);
		use_map(m, slots, now);
	} else {
		on_guide_down(m, "its map of slots cannot be read", now);
	}
	free(slots);
}

static const struct redis_node_ops guide_ops = {
    .on_down = on_guide_down,
    .on_slots = on_guide_slots,
};

/* Half of it and up to all: relays do not ask in the same moment. */
static int64_t
jitter(int64_t ms)
{
	unsigned char r = 0;

	(void)RAND_bytes(&r, 1);
	return ms / 2 + ms / 2 * r / 255;
}

static void
free_guide(struct redis_map *m, int64_t now)
{
	redis_node_free(m->guide);
	m->guide = NULL;
	m->is_guide_done = false;
	if (m->slots == 0 && m->guide_turn < m->settings->url.host_count) {
		want_map(m, now, 0);
	} else if (m->slots == 0) {
		want_map(m, now, jitter(m->guide_rest_ms));
		m->guide_rest_ms = m->guide_rest_ms * 2 < GUIDE_REST_MAX_MS
				       ? m->guide_rest_ms * 2
				       : GUIDE_REST_MAX_MS;
	} else if (!redis_map_is_whole(m)) {
		want_map(m, now, jitter(GUIDE_MISSING_MS));
	}
}

/* ---- what places tell ---- */

static void
on_place_up(void *arg, int64_t now)
{
	struct redis_place *p = arg;

	p->state = REDIS_PLACE_UP;
	p->since = now;
	p->why[0] = '\0';
	p->map->ops->on_place_up(p->map->arg, p, now);
	tell(p, now);
	turn(p->map, NULL, now);
}

static void
on_place_down(void *arg, const char *why, int64_t now)
{
	struct redis_place *p = arg;
	struct redis_map *m = p->map;

	if (p->state == REDIS_PLACE_UP)
		p->since = now;
	p->state = REDIS_PLACE_DOWN;
	str_copy(str_from(why), p->why, sizeof(p->why));
	tell(p, now);
	turn(m, why, now);
	m->ops->on_place_down(m->arg, p, now);
	want_map(m, now, 0);
}

static const struct redis_node_ops place_ops = {
    .on_up = on_place_up,
    .on_down = on_place_down,
};

/* ---- the owner's side ---- */

static void
sweep(struct redis_map *m, int64_t now)
{
	struct list *e, *next;

	list_each_safe (e, next, &m->places) {
		struct redis_place *p = LIST_ITEM(e, struct redis_place, entry);

		if (!is_spare(p) || p->used_at + UNUSED_MS > now)
			continue;
		if (p->questions > 0)
			p->used_at = now;
		else
			place_free(p);
	}
}

static void
on_timer(void *arg, int64_t now)
{
	struct redis_map *m = arg;

	if (m->is_guide_done)
		free_guide(m, now);
	if (m->guide == NULL && m->guide_at <= now)
		begin_guide(m, now);
	sweep(m, now);
	set_timer(m);
}

struct redis_map *
redis_map_new(struct loop *loop, const struct redis_link_settings *settings,
    const struct redis_map_ops *ops, void *arg)
{
	struct redis_map *m = xcalloc(1, sizeof(*m));

	m->loop = loop;
	m->settings = settings;
	m->ops = ops;
	m->arg = arg;
	m->is_cluster = settings->url.kind == REDIS_CLUSTER;
	m->guide_rest_ms = GUIDE_REST_MS;
	m->guide_at = INT64_MAX;
	m->guide_last = INT64_MIN / 2;
	snprintf(m->why, sizeof(m->why), "not reached yet");
	list_init(&m->places);
	loop_timer_init(&m->timer, loop, on_timer, m);
	if (m->is_cluster) {
		m->of = xcalloc(REDIS_SLOTS, sizeof(struct redis_place *));
		want_map(m, loop_now(loop), 0);
	} else {
		m->only = place_new(m, NULL);
	}
	return m;
}

void
redis_map_free(struct redis_map *m)
{
	if (m == NULL)
		return;
	while (!list_is_empty(&m->places))
		place_free(
		    LIST_ITEM(m->places.next, struct redis_place, entry));
	redis_node_free(m->guide);
	loop_timer_clear(&m->timer);
	free(m->of);
	free(m);
}

struct redis_place *
redis_map_at(const struct redis_map *m, uint16_t slot)
{
	return m->is_cluster ? m->of[slot] : m->only;
}

void
redis_map_moved(
    struct redis_map *m, uint16_t slot, struct redis_place *to, int64_t now)
{
	struct redis_place *was = m->of[slot];

	if (was != to) {
		set_slot(m, slot, to);
		if (was != NULL)
			tell(was, now);
		tell(to, now);
		turn(m, NULL, now);
	}
	want_map(m, now, 0);
}

void
redis_map_learn(struct redis_map *m, int64_t now)
{
	want_map(m, now, 0);
}

bool
redis_map_is_up(const struct redis_map *m)
{
	return m->is_up;
}

const char *
redis_map_why(const struct redis_map *m, uint16_t slot)
{
	const struct redis_place *p = redis_map_at(m, slot);

	if (p != NULL)
		return p->state != REDIS_PLACE_NEW ? p->why : NULL;
	return m->slots == 0 ? m->why : "no server has this slot";
}

bool
redis_map_node(const struct redis_map *m, size_t i, struct redis_link_node *out)
{
	struct list *e;

	list_each (e, &m->places) {
		const struct redis_place *p =
		    LIST_ITEM(e, struct redis_place, entry);

		if (p->slots > 0 && i-- == 0) {
			describe(p, out);
			return true;
		}
	}
	return false;
}

static bool
forgets(const struct redis_link_memory *m)
{
	return m->max != 0 && m->policy[0] != '\0' &&
	       strcmp(m->policy, "noeviction") != 0;
}

void
redis_map_memory(const struct redis_map *m, struct redis_link_memory *out)
{
	struct list *e;

	*out = (struct redis_link_memory){0};
	list_each (e, &m->places) {
		const struct redis_place *p =
		    LIST_ITEM(e, struct redis_place, entry);
		struct redis_link_memory of;

		redis_node_memory(p->node, &of);
		if (p->state == REDIS_PLACE_UP &&
		    (out->policy[0] == '\0' || forgets(&of)))
			*out = of;
	}
}
