/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An entry is in the list of all and in that of its source, both in the order
 * of their coming, and in a map by its id. A source without entries is freed.
 */
#include "delivery/let_go.h"

#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define QUEUED_AS "queued as "

struct owner {
	struct list entries;
	size_t n;
	char name[]; /* the key in owners */
};

struct entry {
	struct list all, own;
	struct owner *owner;
	struct let_go_id id;
};

struct let_go {
	bool on;
	struct list all;
	struct map *ids, *owners;
};

struct let_go *
let_go_new(void)
{
	struct let_go *g = xcalloc(1, sizeof(*g));

	list_init(&g->all);
	g->ids = map_new();
	g->owners = map_new();
	return g;
}

static void
drop(struct let_go *g, struct entry *e)
{
	struct owner *o = e->owner;

	list_remove(&e->all);
	list_remove(&e->own);
	map_remove(g->ids, str_from(e->id.id));
	free(e);
	if (--o->n == 0) {
		map_remove(g->owners, str_from(o->name));
		free(o);
	}
}

static void
clear(struct let_go *g)
{
	while (!list_is_empty(&g->all))
		drop(g, LIST_ITEM(g->all.next, struct entry, all));
}

void
let_go_free(struct let_go *g)
{
	if (g == NULL)
		return;
	clear(g);
	map_free(g->ids, NULL);
	map_free(g->owners, NULL);
	free(g);
}

void
let_go_set(struct let_go *g, bool on)
{
	g->on = on;
	if (!on)
		clear(g);
}

static struct owner *
owner_of(struct let_go *g, const char *source)
{
	struct str name = str_from(source);
	struct owner *o = map_find(g->owners, name);

	if (o != NULL)
		return o;
	o = xcalloc(1, sizeof(*o) + name.n + 1);
	memcpy(o->name, source, name.n);
	list_init(&o->entries);
	map_set(g->owners, name, o);
	return o;
}

static void
expire(struct let_go *g, int64_t now)
{
	while (!list_is_empty(&g->all)) {
		struct entry *e = LIST_ITEM(g->all.next, struct entry, all);

		if (now - e->id.at < LET_GO_MS)
			return;
		drop(g, e);
	}
}

void
let_go_note(struct let_go *g, const char *source, struct str id, int64_t now)
{
	struct entry *e;
	struct owner *o;

	if (!g->on || !mta_id_ok(id))
		return;
	expire(g, now);
	e = map_find(g->ids, id);
	if (e != NULL)
		drop(g, e);
	else if (map_count(g->ids) >= LET_GO_MAX)
		drop(g, LIST_ITEM(g->all.next, struct entry, all));
	o = owner_of(g, source);
	if (o->n >= LET_GO_SOURCE_MAX)
		drop(g, LIST_ITEM(o->entries.next, struct entry, own));
	e = xcalloc(1, sizeof(*e));
	e->owner = o;
	str_copy(id, e->id.id, sizeof(e->id.id));
	e->id.at = now;
	list_append(&g->all, &e->all);
	list_append(&o->entries, &e->own);
	o->n++;
	map_set(g->ids, str_from(e->id.id), e);
}

void
let_go_note_reply(
    struct let_go *g, const char *source, struct str text, int64_t now)
{
	size_t at = 0, n = strlen(QUEUED_AS);

	if (!g->on)
		return;
	while (at < text.n &&
	       !str_starts(str_sub(text, at, text.n), STR(QUEUED_AS)))
		at++;
	if (at == text.n)
		return;
	text = str_sub(text, at + n, text.n);
	for (n = 0; n < text.n && text.p[n] > ' ';)
		n++;
	let_go_note(g, source, str_sub(text, 0, n), now);
}

void
let_go_forget(struct let_go *g, const char *id)
{
	struct entry *e = map_find(g->ids, str_from(id));

	if (e != NULL)
		drop(g, e);
}

size_t
let_go_of(struct let_go *g, const char *source, int64_t now,
    struct let_go_id out[LET_GO_SOURCE_MAX])
{
	struct owner *o;
	struct list *e;
	size_t n = 0;

	expire(g, now);
	o = map_find(g->owners, str_from(source));
	if (o == NULL)
		return 0;
	list_each (e, &o->entries)
		out[n++] = LIST_ITEM(e, struct entry, own)->id;
	return n;
}

size_t
let_go_count(const struct let_go *g)
{
	return map_count(g->ids);
}
