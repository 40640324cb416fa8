/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keyset pagination: a page begins above the last id of the one before, so
 * that what comes and goes in between shifts nothing.
 */
#include "spool/walk.h"

#include "base/header.h"
#include "base/mailbox.h"
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
	s->domain = arena_string(mem, select->domain);
	if (select->subject != NULL) {
		struct fold *fold = fold_new();

		w->subject = fold_text(fold, str_from(select->subject));
		w->subject.p = arena_copy(mem, w->subject.p, w->subject.n);
		fold_free(fold);
	}
	s->subject = s->reason = NULL;
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

bool
walk_has_subject(
    struct fold *fold, const struct spool_message *m, struct str part)
{
	char *text;
	bool has;

	if (m->subject == NULL)
		return false;
	if (strstr(m->subject, "=?") == NULL)
		return fold_has(fold, str_from(m->subject), part);
	text = header_decode(str_from(m->subject));
	has = fold_has(fold, str_from(text), part);
	free(text);
	return has;
}

static bool
is_wanted(
    const struct walk *w, const struct spool_message *m, struct fold *fold)
{
	const struct spool_select *s = &w->select;

	return (s->source == NULL || strcmp(s->source, m->source) == 0) &&
	       (s->domain == NULL ||
		   mailbox_is_in(str_from(m->source), str_from(s->domain))) &&
	       (s->queued_before == 0 || m->queued_at < s->queued_before) &&
	       (s->queued_after == 0 || m->queued_at > s->queued_after) &&
	       m->size >= s->size_min &&
	       (s->size_max == 0 || m->size <= s->size_max) &&
	       (fold == NULL || walk_has_subject(fold, m, w->subject));
}

static void
take(const struct walk *w, struct db *db, sqlite3_stmt *st, struct arena *mem,
    struct walk_page *page, struct fold *fold)
{
	struct walk_message *out = &page->v[page->n];

	page->last = (uint64_t)sqlite3_column_int64(st, 0);
	if (message_read(db, st, mem, &out->m, &out->pending, &out->in_file) &&
	    is_wanted(w, &out->m, fold))
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
    struct walk_page *page, struct fold *fold)
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
		take(w, db, st, mem, page, fold);
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

static void
page_of_all(const struct walk *w, struct db *db, struct arena *mem, size_t max,
    struct walk_page *page, struct fold *fold)
{
	sqlite3_stmt *st = begin(w, db);
	size_t looked = 0;

	while (!is_full(page, mem, max, looked++)) {
		if (!db_step(db, st)) {
			page->end = true;
			return;
		}
		take(w, db, st, mem, page, fold);
	}
	db_reset(st);
}

void
walk_page(const struct walk *w, struct db *db, struct arena *mem, size_t max,
    struct walk_page *page)
{
	struct fold *fold = w->subject.n > 0 ? fold_new() : NULL;

	*page = (struct walk_page){.last = w->after};
	page->v = arena_alloc(mem, max * sizeof(*page->v));
	if (w->select.id_count > 0)
		page_of_ids(w, db, mem, max, page, fold);
	else
		page_of_all(w, db, mem, max, page, fold);
	fold_free(fold);
}
