/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One commit at a time has what differs from the spool: rows that are to go,
 * items, batches. One that failed is made again, with all of it.
 */
#include "alert/alert_private.h"

#include <stdlib.h>
#include <string.h>

#define SAVE_AGAIN_MS 5000
#define SAVE_ROWS_MAX 500 /* in one commit */

void
alert_bury(struct alert *a, uint64_t row)
{
	struct grave *g;

	if (row == 0)
		return;
	g = xcalloc(1, sizeof(*g));
	g->row = row;
	list_append(&a->graves, &g->entry);
	a->is_dirty = true;
}

void
alert_route_drop_item(struct alert_route *r, struct alert_item *item)
{
	alert_bury(r->alert, item->row);
	r->item_count--;
	alert_item_free(item);
}

struct rows {
	struct spool_alert v[SAVE_ROWS_MAX];
	size_t n;
};

static bool
add_row(struct rows *rows, uint64_t id, const char *channel, char *state)
{
	if (rows->n == SAVE_ROWS_MAX) {
		free(state);
		return false;
	}
	rows->v[rows->n++] = (struct spool_alert){id, channel, state};
	return true;
}

/* What differs from the spool, up to a commit's worth. False: there is more.
 * The batch of mailed becomes a message in the same commit. */
static bool
gather(struct alert *a, const struct alert_route *mailed, struct rows *rows)
{
	struct list *e, *i, *next;

	list_each_safe (e, next, &a->graves) {
		struct grave *g = LIST_ITEM(e, struct grave, entry);

		if (!add_row(rows, g->row, NULL, NULL))
			return false;
		list_remove(e);
		free(g);
	}
	list_each (e, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		if (r->batch != NULL && !r->is_stored && r != mailed) {
			if (!add_row(rows, r->batch->row, r->name,
				alert_batch_store(r->batch)))
				return false;
			r->is_stored = true;
		}
		list_each (i, &r->items) {
			struct alert_item *item = item_of(i);

			if (!item->is_dirty)
				continue;
			if (item->row == 0)
				item->row = spool_new_id(a->spool, a->wall);
			if (!add_row(rows, item->row, r->name,
				alert_item_store(item)))
				return false;
			item->is_dirty = false;
		}
	}
	return true;
}

void
alert_start_save(struct alert *a, int64_t now)
{
	a->is_dirty = true;
	if (!a->is_saving && a->save_at > now)
		a->save_at = now;
}

/* What a failed commit had: everything is told anew, which is seldom. */
static void
mark_all(struct alert *a)
{
	struct list *e, *i;

	list_each (e, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		list_each (i, &r->items)
			item_of(i)->is_dirty = true;
		r->is_stored = false;
	}
}

struct alert_saving *
alert_saving_new(struct alert *a, struct alert_route *batch)
{
	struct alert_saving *s = xcalloc(1, sizeof(*s));

	s->alert = a;
	s->batch = batch;
	list_append(&a->savings, &s->entry);
	return s;
}

void
alert_saving_free(struct alert_saving *s)
{
	list_remove(&s->entry);
	free(s->graves);
	free(s);
}

void
alert_on_saved(void *arg, int error)
{
	struct alert_saving *s = arg;
	struct alert *a = s->alert;
	struct alert_route *r = s->batch;

	alert_refresh(a);
	if (s->fn != NULL) {
		s->fn(s->arg, error == 0,
		    error == 0 ? "" : "the spool cannot store it");
		if (error == 0 && a->ops->on_mail != NULL)
			a->ops->on_mail(a->arg);
		alert_saving_free(s);
		return;
	}
	a->is_saving = false;
	a->save_at = a->is_dirty ? a->now : INT64_MAX;
	if (error != 0) {
		for (size_t i = 0; i < s->grave_count; i++)
			alert_bury(a, s->graves[i]);
		mark_all(a);
		a->is_dirty = true;
		a->save_at = a->now + SAVE_AGAIN_MS;
		counters_add(a->counters, COUNT_SPOOL_ERRORS, 1);
		log_write(a->log, LOG_EV_ALERT_SPOOL_ERROR,
		    KV(error, strerror(error)));
	}
	alert_saving_free(s);
	if (r != NULL)
		alert_route_on_stored(r, error);
	alert_schedule(a);
}

/* r: whose batch waits for this, as a row or as mail; NULL: none's. */
void
alert_save(struct alert *a, struct alert_route *r,
    const struct spool_message *mail, struct str text)
{
	struct rows *rows = xcalloc(1, sizeof(*rows));
	struct alert_saving *s = alert_saving_new(a, r);
	bool all;

	all = gather(a, mail != NULL ? r : NULL, rows);
	a->is_dirty = !all;
	a->is_saving = true;
	a->save_at = INT64_MAX;
	s->graves = xcalloc(rows->n + 1, sizeof(*s->graves));
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->v[i].state == NULL)
			s->graves[s->grave_count++] = rows->v[i].id;
	}
	spool_save_alerts(
	    a->spool, rows->v, rows->n, mail, text, alert_on_saved, s);
	for (size_t i = 0; i < rows->n; i++)
		free((char *)rows->v[i].state);
	free(rows);
}
