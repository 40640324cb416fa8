/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keyset pagination: a page begins above the last id of the one before, so
 * that what comes and goes in between shifts nothing.
 */
#include "spool/walk.h"

#include "spool/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a page looks at before it ends short. */
#define LOOK_MAX 10000
#define BYTES_MAX (4 << 20)

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int
walk_init(struct walk *w, struct arena *mem, const struct spool_select *select)
{
	struct spool_select *s = &w->select;
	uint64_t *ids;

	*w = (struct walk){.select = *select, .upto = INT64_MAX};
	if (!select->all && select->id_count == 0 && select->source == NULL &&
	    select->recipient == NULL && select->queued_before == 0)
		return EINVAL;
	s->source = arena_string(mem, select->source);
	s->recipient = arena_string(mem, select->recipient);
	s->ids = NULL;
	if (select->id_count > 0) {
		size_t size = select->id_count * sizeof(*ids);

		ids = arena_alloc(mem, size);
		memcpy(ids, select->ids, size);
		qsort(ids, select->id_count, sizeof(*ids), compare);
		s->ids = ids;
	}
	return 0;
}

bool
walk_matches(const struct walk *w, const char *address)
{
	return w->select.recipient == NULL ||
	       str_iglob(str_from(w->select.recipient), str_from(address));
}

static bool
is_wanted(const struct walk *w, const struct spool_message *m)
{
	const struct spool_select *s = &w->select;

	return (s->source == NULL || strcmp(s->source, m->source) == 0) &&
	       (s->queued_before == 0 || m->queued_at < s->queued_before);
}

static void
take(const struct walk *w, struct db *db, sqlite3_stmt *st, struct arena *mem,
    struct walk_page *page)
{
	struct walk_message *out = &page->v[page->n];

	page->last = (uint64_t)sqlite3_column_int64(st, 0);
	if (message_read(db, st, mem, &out->m, &out->pending, &out->in_file) &&
	    is_wanted(w, &out->m))
		page->n++;
}

static bool
is_full(
    const struct walk_page *page, struct arena *mem, size_t max, size_t looked)
{
	return page->n == max || looked == LOOK_MAX ||
	       arena_total(mem) > BYTES_MAX;
}

static void
page_of_ids(const struct walk *w, struct db *db, struct arena *mem, size_t max,
    struct walk_page *page)
{
	size_t i = 0;

	while (i < w->select.id_count && w->select.ids[i] <= w->after)
		i++;
	for (; i < w->select.id_count && w->select.ids[i] <= w->upto; i++) {
		sqlite3_stmt *st = db_get(db, DB_GET_MESSAGE);

		if (is_full(page, mem, max, 0))
			return;
		page->last = w->select.ids[i];
		db_bind_int(st, 1, (int64_t)page->last);
		if (!db_step(db, st))
			continue;
		take(w, db, st, mem, page);
		db_reset(st);
	}
	page->end = true;
}

static sqlite3_stmt *
begin(const struct walk *w, struct db *db)
{
	sqlite3_stmt *st;
	int at = 1;

	if (w->select.source != NULL) {
		st = db_get(db, DB_WALK_SOURCE);
		db_bind_text(st, at++, w->select.source);
	} else {
		st = db_get(db, DB_WALK_ALL);
	}
	db_bind_int(st, at++, (int64_t)w->after);
	db_bind_int(st, at, (int64_t)w->upto);
	return st;
}

void
walk_page(const struct walk *w, struct db *db, struct arena *mem, size_t max,
    struct walk_page *page)
{
	sqlite3_stmt *st;
	size_t looked = 0;

	*page = (struct walk_page){.last = w->after};
	page->v = arena_alloc(mem, max * sizeof(*page->v));
	if (w->select.id_count > 0) {
		page_of_ids(w, db, mem, max, page);
		return;
	}
	st = begin(w, db);
	while (!is_full(page, mem, max, looked++)) {
		if (!db_step(db, st)) {
			page->end = true;
			return;
		}
		take(w, db, st, mem, page);
	}
	db_reset(st);
}
