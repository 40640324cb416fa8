/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A map of the keys, and a list of the same entries in the order of their use,
 * which is also that of their end.
 */
#include "relay/late.h"

#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

struct entry {
	struct list entry;
	struct hash128 key;
	int64_t until;
	enum late_state state;
	bool has_message_id;
};

struct late {
	struct map *entries;
	struct list used; /* the last is the latest */
	uint64_t seed;
};

struct late *
late_new(void)
{
	struct late *l = xcalloc(1, sizeof(*l));

	l->entries = map_new();
	list_init(&l->used);
	l->seed = hash_random_seed();
	return l;
}

void
late_free(struct late *l)
{
	if (l == NULL)
		return;
	map_free(l->entries, free);
	free(l);
}

static struct str
key_str(const struct hash128 *key)
{
	return (struct str){(const char *)key, sizeof(*key)};
}

static void
drop(struct late *l, struct entry *e)
{
	list_remove(&e->entry);
	(void)map_remove(l->entries, key_str(&e->key));
	free(e);
}

static void
expire(struct late *l, int64_t now)
{
	struct list *entry, *next;

	list_each_safe (entry, next, &l->used) {
		struct entry *e = LIST_ITEM(entry, struct entry, entry);

		if (e->until > now)
			break;
		drop(l, e);
	}
}

bool
late_is_empty(struct late *l, int64_t now)
{
	expire(l, now);
	return list_is_empty(&l->used);
}

static void
use(struct late *l, struct entry *e, int64_t now)
{
	list_remove(&e->entry);
	list_append(&l->used, &e->entry);
	e->until = now + LATE_TIME_MS;
}

static struct entry *
get(struct late *l, const struct hash128 *key)
{
	struct entry *e = map_find(l->entries, key_str(key));

	if (e != NULL)
		return e;
	if (map_count(l->entries) >= LATE_ENTRIES_MAX)
		drop(l, LIST_ITEM(l->used.next, struct entry, entry));
	e = xcalloc(1, sizeof(*e));
	e->key = *key;
	list_init(&e->entry);
	(void)map_set(l->entries, key_str(key), e);
	return e;
}

void
late_doubt(struct late *l, const struct hash128 *key, int64_t now)
{
	struct entry *e;

	expire(l, now);
	e = get(l, key);
	use(l, e, now);
	if (e->state == LATE_NONE)
		e->state = LATE_IN_DOUBT;
}

void
late_accepted(
    struct late *l, const struct hash128 *key, bool has_message_id, int64_t now)
{
	struct entry *e;

	expire(l, now);
	e = get(l, key);
	use(l, e, now);
	e->state = LATE_ACCEPTED;
	e->has_message_id = has_message_id;
}

void
late_forget(struct late *l, const struct hash128 *key)
{
	struct entry *e = map_find(l->entries, key_str(key));

	if (e != NULL && e->state == LATE_IN_DOUBT)
		drop(l, e);
}

enum late_state
late_ask(struct late *l, const struct hash128 *key, int64_t now)
{
	enum late_state state;
	struct entry *e;

	expire(l, now);
	e = map_find(l->entries, key_str(key));
	if (e == NULL)
		return LATE_NONE;
	state = e->state;
	if (state == LATE_ACCEPTED && !e->has_message_id)
		drop(l, e);
	else
		use(l, e, now);
	return state;
}

/* ---- the key of a message ---- */

struct late_text {
	struct hash_stream *hash;
	uint64_t seed;
	uint64_t rcpts[2]; /* sums, since their order says nothing */
};

static void
add_field(struct late_text *t, struct str field)
{
	uint64_t n = field.n; /* or a field could go on in the next */

	hash_stream_add(t->hash, &n, sizeof(n));
	hash_stream_add(t->hash, field.p, field.n);
}

struct late_text *
late_text_new(
    const struct late *l, struct str source, const struct smtp_mail *mail)
{
	struct late_text *t = xcalloc(1, sizeof(*t));
	unsigned char params[] = {(unsigned char)mail->body,
	    (unsigned char)mail->ret, mail->utf8, mail->require_tls};

	t->seed = l->seed;
	t->hash = hash_stream_new(l->seed);
	add_field(t, source);
	add_field(t, mail->from);
	add_field(t, mail->envid);
	hash_stream_add(t->hash, params, sizeof(params));
	return t;
}

void
late_text_rcpt(struct late_text *t, const struct smtp_rcpt *rcpt)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t h = hash_str(rcpt->to, t->seed + i);

		t->rcpts[i] += hash_str(rcpt->orcpt, h + rcpt->notify);
	}
}

void
late_text_add(struct late_text *t, struct str chunk)
{
	hash_stream_add(t->hash, chunk.p, chunk.n);
}

struct hash128
late_text_key(struct late_text *t)
{
	hash_stream_add(t->hash, t->rcpts, sizeof(t->rcpts));
	return hash_stream_value(t->hash);
}

void
late_text_free(struct late_text *t)
{
	if (t == NULL)
		return;
	hash_stream_free(t->hash);
	free(t);
}
