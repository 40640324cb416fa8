/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A route is a section of the configuration, or the way to senders
 * themselves. Its items wait until group_wait has passed and group_limit
 * allows, then they become a batch. Crash windows:
 *
 *	item raised, not stored	a freeze is raised again at the start, since
 *				the sender is frozen; a lasting trouble is seen
 *				again. An occurrence of that instant is lost.
 *	batch stored, not sent	it is sent after the start.
 *	sent, not yet removed	it is sent again, under the same id.
 *	mail			it becomes a message of the spool in the commit
 *				that removes the batch: neither is without the
 *				other.
 *
 * When the spool cannot store (its disk may be what the alert is about), what
 * can be sent is sent all the same, and storing is tried again.
 */
#include "alert/alert_private.h"

#include <stdlib.h>
#include <string.h>

#define RUNNING_ROW 1
#define RUNNING_TEXT "{\"running\": true}"
#define SENDERS_ROUTE "[senders]"

/* ---- routes ---- */

static struct alert_route *
alert_route_new(
    struct alert *a, const char *name, const struct alert_conf *conf)
{
	struct alert_route *r = xcalloc(1, sizeof(*r));

	r->alert = a;
	r->name = xstrdup(name);
	r->conf = conf;
	r->due = INT64_MAX;
	r->last_error = xstrdup("");
	list_init(&r->items);
	list_append(&a->routes, &r->entry);
	return r;
}

void
alert_route_free(struct alert_route *r)
{
	list_remove(&r->entry);
	while (!list_is_empty(&r->items))
		alert_item_free(item_of(r->items.next));
	alert_batch_free(r->batch);
	free(r->last_error);
	free(r->name);
	free(r);
}

static struct alert_route *
find_route(const struct alert *a, const char *name)
{
	const struct list *e;

	list_each (e, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		if (!r->is_gone && strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

bool
alert_route_wants(const struct alert_route *r, enum alert_event event)
{
	if (r->is_senders)
		return event == ALERT_FREEZE || event == ALERT_WARNING;
	return r->conf != NULL && (r->conf->wanted & 1u << event) != 0;
}

/* By weir's own delivery. */
bool
alert_route_is_by_spool(const struct alert_route *r)
{
	return r->is_senders ||
	       (r->conf->channel == ALERT_MAIL && r->conf->next_hop == NULL);
}

enum alert_channel
alert_route_channel(const struct alert_route *r)
{
	return r->is_senders ? ALERT_MAIL
			     : (enum alert_channel)r->conf->channel;
}

void
alert_route_count_result(struct alert *a, const struct alert_route *r,
    enum counter mail, enum counter webhook, enum counter command)
{
	static const enum alert_channel order[] = {
	    ALERT_MAIL, ALERT_WEBHOOK, ALERT_COMMAND};
	const enum counter ids[] = {mail, webhook, command};

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if (order[i] == alert_route_channel(r))
			counters_add(a->counters, ids[i], 1);
	}
}

void
alert_refresh(struct alert *a)
{
	a->ops->time(a->arg, &a->now, &a->wall);
}

void
alert_schedule(struct alert *a)
{
	if (a->ops->on_schedule != NULL)
		a->ops->on_schedule(a->arg);
}

void
alert_set_now(struct alert *a, int64_t now, int64_t wall)
{
	a->now = now;
	a->wall = wall;
}

/* ---- time ---- */

/* When what waits may become a batch. */
static int64_t
group_due(const struct alert_route *r)
{
	const struct option_rate *limit;
	int64_t due;

	if (r->batch != NULL || !alert_route_is_waiting(r))
		return INT64_MAX;
	if (r->is_senders)
		return 0;
	due = r->first_at + r->conf->group_wait_ms;
	limit = &r->conf->group_limit;
	if (limit->count > 0 && r->window_count >= limit->count &&
	    due < r->window_at + limit->window_ms)
		due = r->window_at + limit->window_ms;
	return due;
}

/* A reminder, or the end of a sender's warning; monotonic. */
static int64_t
item_due(const struct alert_route *r, const struct alert_item *i)
{
	const struct alert *a = r->alert;
	int64_t after;

	if (i->want != ALERT_WANT_NONE)
		return INT64_MAX;
	if (r->is_senders)
		after = i->event == ALERT_WARNING ? ALERT_WARN_AGAIN_MS : 0;
	else
		after = r->conf->remind_ms;
	if (after == 0)
		return INT64_MAX;
	/* A wall clock that was set back makes it no later than once more. */
	after -= a->wall > i->reported_at ? a->wall - i->reported_at : 0;
	return a->now + (after > 0 ? after : 0);
}

int64_t
alert_next_due(const struct alert *a)
{
	const struct list *e, *i;
	int64_t due = a->is_saving ? INT64_MAX : a->save_at, d;

	list_each (e, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		if (r->is_gone)
			continue;
		d = r->state == BATCH_WAITING ? r->due : group_due(r);
		/* One commit at a time: its end comes back here. */
		if (a->is_saving &&
		    (r->state == BATCH_NONE || alert_route_is_by_spool(r)))
			d = INT64_MAX;
		due = d < due ? d : due;
		list_each (i, &r->items) {
			d = item_due(r, LIST_ITEM(i, struct alert_item, entry));
			due = d < due ? d : due;
		}
	}
	return due;
}

static void
run_items(struct alert_route *r)
{
	struct alert *a = r->alert;
	struct list *e, *next;

	list_each_safe (e, next, &r->items) {
		struct alert_item *i = item_of(e);

		if (item_due(r, i) > a->now)
			continue;
		if (r->is_senders)
			alert_route_drop_item(r, i);
		else
			alert_route_want(r, i, ALERT_WANT_REMIND);
		alert_start_save(a, a->now);
	}
}

static void
run_route(struct alert_route *r)
{
	struct alert *a = r->alert;

	run_items(r);
	if (r->state == BATCH_WAITING && r->due <= a->now) {
		if (alert_route_is_by_spool(r) && a->is_saving)
			return;
		if (alert_route_is_by_spool(r))
			alert_route_begin_batch(r);
		else
			alert_route_send_batch(r);
		return;
	}
	if (r->state != BATCH_NONE || a->is_saving || group_due(r) > a->now)
		return;
	if (!r->is_senders &&
	    a->now >= r->window_at + r->conf->group_limit.window_ms) {
		r->window_at = a->now;
		r->window_count = 0;
	}
	alert_route_begin_batch(r);
}

void
alert_run(struct alert *a, int64_t now, int64_t wall)
{
	struct list *e, *next;

	alert_set_now(a, now, wall);
	list_each_safe (e, next, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		if (!r->is_gone)
			run_route(r);
	}
	if (!a->is_saving && a->save_at <= now && a->is_dirty)
		alert_save(a, NULL, NULL, (struct str){NULL, 0});
}

/* ---- start, reload, end ---- */

static void
set_routes(struct alert *a)
{
	for (size_t i = 0; i < a->settings.count; i++) {
		const struct alert_conf *c = &a->settings.confs[i];
		struct alert_route *r = find_route(a, c->name);

		if (r == NULL)
			r = alert_route_new(a, c->name, c);
		r->conf = c;
		list_remove(&r->entry);
		list_append(&a->routes, &r->entry);
	}
	if (a->senders == NULL) {
		a->senders = alert_route_new(a, SENDERS_ROUTE, NULL);
		a->senders->is_senders = true;
	}
	list_remove(&a->senders->entry);
	list_append(&a->routes, &a->senders->entry);
}

struct alert *
alert_new(struct spool *spool, const struct alert_ops *ops, void *arg,
    const struct alert_settings *settings, struct counters *counters,
    struct log *log)
{
	struct alert *a = xcalloc(1, sizeof(*a));

	a->spool = spool;
	a->ops = ops;
	a->arg = arg;
	a->settings = *settings;
	a->counters = counters;
	a->log = log;
	a->save_at = INT64_MAX;
	list_init(&a->routes);
	list_init(&a->graves);
	list_init(&a->savings);
	list_init(&a->tests);
	set_routes(a);
	return a;
}

struct testing {
	struct list entry;
	alert_sent_fn *fn;
	void *arg;
	struct alert_batch *batch;
};

static void
testing_free(struct testing *t)
{
	list_remove(&t->entry);
	alert_batch_free(t->batch);
	free(t);
}

static void
on_tested(void *arg, bool taken, const char *why)
{
	struct testing *t = arg;

	t->fn(t->arg, taken, why);
	testing_free(t);
}

void
alert_free(struct alert *a)
{
	if (a == NULL)
		return;
	while (!list_is_empty(&a->routes))
		alert_route_free(
		    LIST_ITEM(a->routes.next, struct alert_route, entry));
	while (!list_is_empty(&a->graves)) {
		struct grave *g =
		    LIST_ITEM(a->graves.next, struct grave, entry);

		list_remove(&g->entry);
		free(g);
	}
	while (!list_is_empty(&a->savings))
		alert_saving_free(
		    LIST_ITEM(a->savings.next, struct alert_saving, entry));
	while (!list_is_empty(&a->tests))
		testing_free(LIST_ITEM(a->tests.next, struct testing, entry));
	free(a);
}

static void
retire(struct alert_route *r)
{
	struct alert *a = r->alert;

	if (r->item_count > 0 || r->batch != NULL)
		log_write(a->log, LOG_EV_ALERT_DROPPED, KV(alert, r->name),
		    KV(reason, "the section is gone"));
	while (!list_is_empty(&r->items))
		alert_route_drop_item(r, item_of(r->items.next));
	r->conf = NULL;
	if (r->state == BATCH_STORING || r->state == BATCH_SENDING) {
		r->is_gone = true;
		return;
	}
	if (r->batch != NULL)
		alert_bury(a, r->batch->row);
	alert_route_free(r);
}

/* Of events that the section names no more. */
static void
drop_unwanted(struct alert *a)
{
	struct list *e, *i, *next;

	list_each (e, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		list_each_safe (i, next, &r->items) {
			if (!r->is_gone &&
			    !alert_route_wants(r, item_of(i)->event))
				alert_route_drop_item(r, item_of(i));
		}
	}
}

void
alert_reload(
    struct alert *a, const struct alert_settings *settings, int64_t now)
{
	struct list *e, *next;

	a->now = now;
	a->settings = *settings;
	list_each_safe (e, next, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);
		bool is_there = r->is_senders || r->is_gone;

		for (size_t i = 0; i < settings->count; i++)
			is_there = is_there || strcmp(settings->confs[i].name,
						   r->name) == 0;
		if (!is_there)
			retire(r);
	}
	set_routes(a);
	drop_unwanted(a);
	alert_start_save(a, now);
	alert_schedule(a);
}

struct loading {
	struct alert *alert;
	bool crashed;
};

static void
on_row(void *arg, const struct spool_alert *row)
{
	struct loading *l = arg;
	struct alert *a = l->alert;
	struct alert_route *r = find_route(a, row->channel);
	struct alert_item *item = NULL;
	struct alert_batch *batch = NULL;

	if (row->id == RUNNING_ROW) {
		l->crashed = true;
		return;
	}
	if (r == NULL || !alert_read(row->state, &item, &batch) ||
	    (batch != NULL && (r->batch != NULL || r->is_senders)) ||
	    r->item_count >= ALERT_ITEMS_MAX) {
		log_write(a->log, LOG_EV_ALERT_DROPPED, KV(alert, row->channel),
		    KV(reason, r == NULL ? "the section is gone"
					 : "it cannot be read back"));
		if (item != NULL)
			alert_item_free(item);
		alert_batch_free(batch);
		alert_bury(a, row->id);
		return;
	}
	if (batch != NULL) {
		batch->row = row->id;
		r->batch = batch;
		r->is_stored = true;
		r->state = BATCH_WAITING;
		r->due = a->now;
		return;
	}
	item->row = row->id;
	if (item->want != ALERT_WANT_NONE)
		r->first_at = a->now;
	list_append(&r->items, &item->entry);
	r->item_count++;
}

int
alert_load(struct alert *a, int64_t now, int64_t wall, bool *crashed)
{
	struct loading l = {.alert = a};
	const struct spool_alert running = {RUNNING_ROW, "", RUNNING_TEXT};
	int error;

	alert_set_now(a, now, wall);
	error = spool_load_alerts(a->spool, on_row, &l);
	*crashed = l.crashed;
	if (error != 0)
		return error;
	spool_save_alerts(
	    a->spool, &running, 1, NULL, (struct str){NULL, 0}, NULL, NULL);
	if (!list_is_empty(&a->graves))
		alert_start_save(a, now);
	return 0;
}

void
alert_stop(struct alert *a)
{
	const struct spool_alert stopped = {RUNNING_ROW, "", NULL};

	if (a->is_dirty && !a->is_saving)
		alert_save(a, NULL, NULL, (struct str){NULL, 0});
	spool_save_alerts(
	    a->spool, &stopped, 1, NULL, (struct str){NULL, 0}, NULL, NULL);
}

/* ---- tests, status ---- */

bool
alert_test(struct alert *a, const char *name, int64_t now, int64_t wall,
    alert_sent_fn *fn, void *arg)
{
	struct alert_route *r = find_route(a, name);
	struct alert_item *item;
	struct alert_batch *b;
	struct testing *t;

	if (r == NULL || r->is_senders)
		return false;
	alert_set_now(a, now, wall);
	b = alert_make_batch(a);
	item = alert_item_new(&(struct alert_facts){.event = ALERT_TEST,
	    .subject = name,
	    .detail = "weirctl alert test",
	    .policy = "",
	    .clients = "",
	    .subjects = "",
	    .to = "",
	    .contact = "",
	    .since = wall});
	list_append(&b->items, &item->entry);
	if (alert_route_is_by_spool(r)) {
		struct alert_saving *s = alert_saving_new(a, NULL);

		s->fn = fn;
		s->arg = arg;
		alert_route_put_mail(r, b, s);
		alert_batch_free(b);
		return true;
	}
	t = xcalloc(1, sizeof(*t));
	t->fn = fn;
	t->arg = arg;
	t->batch = b;
	list_append(&a->tests, &t->entry);
	a->ops->send(a->arg, &a->settings.voice, r->conf, b, on_tested, t);
	return true;
}

bool
alert_status_of(const struct alert *a, size_t i, struct alert_status *out)
{
	struct list *e, *k;

	list_each (e, &((struct alert *)a)->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		if (r->is_gone || r->is_senders || i-- > 0)
			continue;
		*out = (struct alert_status){.name = r->name,
		    .channel = alert_channel_name[alert_route_channel(r)],
		    .attempts = r->attempts,
		    .is_sending = r->batch != NULL,
		    .last_error = r->last_error,
		    .last_sent = r->last_sent};
		list_each (k, &r->items) {
			if (item_of(k)->want == ALERT_WANT_NONE)
				out->lasting++;
			else
				out->waiting++;
		}
		return true;
	}
	return false;
}
