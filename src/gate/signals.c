/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See signals.h. A state is
 *
 *	'K' 1 | for each part: tag u8 | length u16 | bytes
 *
 * and a part of an unknown tag is passed over, so that an older weir reads what
 * it knows.
 */
#include "gate/signals.h"

#include "base/bytes.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define PART_HEADER 3
#define IDLE_MS (2 * CREDIT_WHOLE_MS)
#define BYTES_MAX                                                 \
	(NETWORKS_STATE_MAX > SENT_STATE_MAX ? NETWORKS_STATE_MAX \
					     : SENT_STATE_MAX)
#define PARTS 4

static const struct str row_prefix = STR("[signals] ");

enum part { PART_CREDIT = 1, PART_NETWORKS = 2, PART_NAMED = 3, PART_SENT = 4 };

struct signals_book {
	struct envid_key *key;
	struct map *map;
	struct map *tags;    /* the same, by tag */
	struct list changed; /* struct signals, the longest first */
	struct list used;    /* the one unheard of for longest first */
	struct list gone;    /* struct gone: rows to be removed */
};

struct gone {
	struct list entry;
	size_t key_n;
	char key[];
};

struct signals_book *
signals_book_new(const unsigned char secret[ENVID_KEY])
{
	struct signals_book *b = xcalloc(1, sizeof(*b));

	b->key = envid_key_new(secret);
	b->tags = map_new();
	b->map = map_new();
	list_init(&b->changed);
	list_init(&b->used);
	list_init(&b->gone);
	return b;
}

static void
free_signals(void *p)
{
	struct signals *s = p;

	list_remove(&s->changed);
	list_remove(&s->used);
	networks_clear(&s->networks);
	free(s->sent);
	free(s);
}

static void
free_gone(struct gone *g)
{
	list_remove(&g->entry);
	free(g);
}

void
signals_book_free(struct signals_book *b)
{
	if (b == NULL)
		return;
	while (!list_is_empty(&b->gone))
		free_gone(LIST_ITEM(b->gone.next, struct gone, entry));
	map_free(b->tags, NULL);
	map_free(b->map, free_signals);
	envid_key_free(b->key);
	free(b);
}

struct envid_key *
signals_key(const struct signals_book *b)
{
	return b->key;
}

size_t
signals_count(const struct signals_book *b)
{
	return map_count(b->map);
}

struct signals *
signals_find(const struct signals_book *b, struct str key)
{
	return map_find(b->map, key);
}

static struct str
tag_key(const uint64_t *tag)
{
	return (struct str){(const char *)tag, sizeof(*tag)};
}

struct signals *
signals_find_tag(const struct signals_book *b, uint64_t tag)
{
	return map_find(b->tags, tag_key(&tag));
}

static void
drop(struct signals_book *b, struct signals *s)
{
	struct gone *g = xcalloc(1, sizeof(*g) + s->key_n);

	g->key_n = s->key_n;
	memcpy(g->key, s->key, s->key_n);
	list_append(&b->gone, &g->entry);
	map_remove(b->map, (struct str){s->key, s->key_n});
	if (signals_find_tag(b, s->tag) == s)
		map_remove(b->tags, tag_key(&s->tag));
	free_signals(s);
}

static struct signals *
add(struct signals_book *b, struct str key)
{
	struct signals *s;

	if (key.n == 0 || key.n > SIGNALS_KEY_MAX)
		return NULL;
	if (map_count(b->map) >= SIGNALS_MAX)
		drop(b, LIST_ITEM(b->used.next, struct signals, used));
	s = xcalloc(1, sizeof(*s) + key.n);
	list_init(&s->changed);
	list_init(&s->used);
	s->key_n = key.n;
	memcpy(s->key, key.p, key.n);
	map_set(b->map, key, s);
	s->tag = envid_sender(b->key, key);
	if (signals_find_tag(b, s->tag) == NULL)
		map_set(b->tags, tag_key(&s->tag), s);
	return s;
}

static void
use(struct signals_book *b, struct signals *s, int64_t now)
{
	list_remove(&s->used);
	list_append(&b->used, &s->used);
	s->used_at = now;
}

struct signals *
signals_get(struct signals_book *b, struct str key, int64_t now)
{
	struct signals *s = signals_find(b, key);

	if (s == NULL)
		s = add(b, key);
	if (s == NULL)
		return NULL;
	use(b, s, now);
	if (list_is_empty(&s->changed))
		list_append(&b->changed, &s->changed);
	return s;
}

bool
signals_forget(struct signals_book *b, struct str key)
{
	struct signals *s = signals_find(b, key);

	if (s != NULL)
		drop(b, s);
	return s != NULL;
}

static int64_t
idle_ms(const struct signals *s)
{
	if (s->networks.n > 0)
		return NETWORKS_EXPIRY_MS;
	return s->named.n > 0 ? NAMED_EXPIRY_MS : IDLE_MS;
}

void
signals_sweep(struct signals_book *b, size_t steps, int64_t now)
{
	struct list *e, *next;

	list_each_safe (e, next, &b->used) {
		struct signals *s = LIST_ITEM(e, struct signals, used);

		if (steps-- == 0 || now - s->used_at < IDLE_MS)
			return;
		if (now - s->used_at >= idle_ms(s))
			drop(b, s);
	}
}

/* ---- stored state ---- */

static void
put_row(struct signals_state *out, const char *key, size_t n)
{
	memcpy(out->row, row_prefix.p, row_prefix.n);
	memcpy(out->row + row_prefix.n, key, n);
	out->row[row_prefix.n + n] = '\0';
}

static void
put_part(struct signals_state *out, enum part tag, const unsigned char *bytes,
    size_t n)
{
	unsigned char *p = out->bytes + out->n;

	bytes_put(&p, tag, 1);
	bytes_put(&p, n, 2);
	memcpy(p, bytes, n);
	out->n += PART_HEADER + n;
}

static void
save(const struct signals *s, int64_t now, struct signals_state *out)
{
	unsigned char bytes[BYTES_MAX] = {0};

	_Static_assert(2 + PARTS * PART_HEADER + CREDIT_STATE_MAX +
			       NETWORKS_STATE_MAX + NAMED_STATE_MAX +
			       SENT_STATE_MAX <=
			   SIGNALS_STATE_MAX,
	    "a state");

	out->bytes[0] = SIGNALS_STATE_MARK;
	out->bytes[1] = VERSION;
	out->n = 2;
	if (s->credit.is_known)
		put_part(out, PART_CREDIT, bytes,
		    credit_save(&s->credit, now, bytes));
	if (s->networks.n > 0)
		put_part(out, PART_NETWORKS, bytes,
		    networks_save(&s->networks, now, bytes));
	if (s->named.n > 0)
		put_part(
		    out, PART_NAMED, bytes, named_save(&s->named, now, bytes));
	if (s->sent != NULL)
		put_part(out, PART_SENT, bytes, sent_save(s->sent, now, bytes));
}

bool
signals_have_changed(const struct signals_book *b)
{
	return !list_is_empty(&b->changed) || !list_is_empty(&b->gone);
}

bool
signals_next_changed(
    struct signals_book *b, int64_t now, struct signals_state *out)
{
	struct signals *s;
	struct gone *g;

	/* Who came back since is saved after its old row has gone. */
	if (!list_is_empty(&b->gone)) {
		g = LIST_ITEM(b->gone.next, struct gone, entry);
		put_row(out, g->key, g->key_n);
		out->n = 0;
		free_gone(g);
		return true;
	}
	if (list_is_empty(&b->changed))
		return false;
	s = LIST_ITEM(b->changed.next, struct signals, changed);
	put_row(out, s->key, s->key_n);
	save(s, now, out);
	list_remove(&s->changed);
	return true;
}

static bool
load_part(struct signals *s, unsigned tag, const unsigned char *p, size_t n,
    int64_t age_ms, int64_t now)
{
	switch ((enum part)tag) {
	case PART_CREDIT:
		return credit_load(&s->credit, p, n, age_ms, now);
	case PART_NETWORKS:
		return s->networks.n == 0 &&
		       networks_load(&s->networks, p, n, age_ms, now);
	case PART_NAMED:
		return named_load(&s->named, p, n, age_ms, now);
	case PART_SENT:
		if (s->sent != NULL)
			return false;
		s->sent = xcalloc(1, sizeof(*s->sent));
		return sent_load(s->sent, p, n, age_ms, now);
	}
	return true;
}

static bool
load_parts(struct signals *s, const unsigned char *p, size_t n, int64_t age_ms,
    int64_t now)
{
	while (n > 0) {
		unsigned tag;
		size_t size;

		if (n < PART_HEADER)
			return false;
		tag = (unsigned)bytes_get(&p, 1);
		size = (size_t)bytes_get(&p, 2);
		n -= PART_HEADER;
		if (size > n || !load_part(s, tag, p, size, age_ms, now))
			return false;
		p += size;
		n -= size;
	}
	return true;
}

bool
signals_load(struct signals_book *b, struct str row, struct str state,
    int64_t age_ms, int64_t now)
{
	struct str key = str_sub(row, row_prefix.n, row.n);
	struct signals *s;

	if (!str_starts(row, row_prefix) || state.n < 2 ||
	    state.n > SIGNALS_STATE_MAX || state.p[0] != SIGNALS_STATE_MARK ||
	    state.p[1] != VERSION || signals_find(b, key) != NULL)
		return false;
	s = add(b, key);
	if (s == NULL)
		return false;
	if (!load_parts(s, (const unsigned char *)state.p + 2, state.n - 2,
		age_ms, now)) {
		drop(b, s);
		return false;
	}
	use(b, s, now - age_ms);
	return true;
}
