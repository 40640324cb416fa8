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
#include "alert/alert.h"

#include "base/map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNNING_ROW 1
#define RUNNING_TEXT "{\"running\": true}"
#define SENDERS_ROUTE "[senders]"
#define SAVE_AGAIN_MS 5000
#define SAVE_ROWS_MAX 500 /* in one commit */
#define WHY_MAX 300
/* RFC 5321's own mail has this source: gate/policy.h. */
#define SOURCE_NULL "<>"

enum batch_state {
	BATCH_NONE,
	BATCH_STORING, /* the spool is at it */
	BATCH_WAITING, /* for its (next) try */
	BATCH_SENDING,
};

struct route {
	struct list entry;
	struct alert *alert;
	char *name;
	const struct alert_conf *conf; /* NULL: gone, or to senders */
	bool is_senders;
	bool is_gone; /* waits for the end of what it sends */
	struct list items;
	size_t item_count;
	uint32_t omitted; /* past ALERT_ITEMS_MAX */
	int64_t first_at; /* when the oldest waiting one came; now */

	struct alert_batch *batch;
	bool is_stored; /* the batch, as a row */
	enum batch_state state;
	int64_t due; /* WAITING; now */
	uint32_t attempts;
	char *last_error;
	int64_t last_sent;

	int64_t window_at; /* group_limit's, now */
	uint32_t window_count;
};

struct grave { /* a row to be removed */
	struct list entry;
	uint64_t row;
};

struct alert {
	struct spool *spool;
	const struct alert_ops *ops;
	void *arg;
	struct alert_settings settings;
	struct counters *counters;
	struct log *log;
	struct list routes; /* in the order of the file, senders last */
	struct route *senders;
	struct list graves;
	struct list savings, tests; /* under way */
	bool is_saving, is_dirty;
	int64_t save_at; /* now; INT64_MAX: nothing to save */
	int64_t now, wall;
};

/* ---- routes ---- */

static struct alert_item *
item_of(struct list *e)
{
	return LIST_ITEM(e, struct alert_item, entry);
}

static struct route *
route_new(struct alert *a, const char *name, const struct alert_conf *conf)
{
	struct route *r = xcalloc(1, sizeof(*r));

	r->alert = a;
	r->name = xstrdup(name);
	r->conf = conf;
	r->due = INT64_MAX;
	r->last_error = xstrdup("");
	list_init(&r->items);
	list_append(&a->routes, &r->entry);
	return r;
}

static void
route_free(struct route *r)
{
	list_remove(&r->entry);
	while (!list_is_empty(&r->items))
		alert_item_free(item_of(r->items.next));
	alert_batch_free(r->batch);
	free(r->last_error);
	free(r->name);
	free(r);
}

static struct route *
find_route(const struct alert *a, const char *name)
{
	const struct list *e;

	list_each (e, &a->routes) {
		struct route *r = LIST_ITEM(e, struct route, entry);

		if (!r->is_gone && strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

static bool
wants(const struct route *r, enum alert_event event)
{
	if (r->is_senders)
		return event == ALERT_FREEZE || event == ALERT_WARNING;
	return r->conf != NULL && (r->conf->wanted & 1u << event) != 0;
}

/* By weir's own delivery. */
static bool
is_by_spool(const struct route *r)
{
	return r->is_senders ||
	       (r->conf->channel == ALERT_MAIL && r->conf->next_hop == NULL);
}

static enum alert_channel
channel_of(const struct route *r)
{
	return r->is_senders ? ALERT_MAIL
			     : (enum alert_channel)r->conf->channel;
}

static void
count(struct alert *a, const struct route *r, enum counter mail,
    enum counter webhook, enum counter command)
{
	static const enum alert_channel order[] = {
	    ALERT_MAIL, ALERT_WEBHOOK, ALERT_COMMAND};
	const enum counter ids[] = {mail, webhook, command};

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if (order[i] == channel_of(r))
			counters_add(a->counters, ids[i], 1);
	}
}

/* ---- storing ---- */

static void
bury(struct alert *a, uint64_t row)
{
	struct grave *g;

	if (row == 0)
		return;
	g = xcalloc(1, sizeof(*g));
	g->row = row;
	list_append(&a->graves, &g->entry);
	a->is_dirty = true;
}

static void
drop_item(struct route *r, struct alert_item *item)
{
	bury(r->alert, item->row);
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
gather(struct alert *a, const struct route *mailed, struct rows *rows)
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
		struct route *r = LIST_ITEM(e, struct route, entry);

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

static void
schedule(struct alert *a)
{
	if (a->ops->on_schedule != NULL)
		a->ops->on_schedule(a->arg);
}

static void
refresh(struct alert *a)
{
	a->ops->time(a->arg, &a->now, &a->wall);
}

static void
start_save(struct alert *a, int64_t now)
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
		struct route *r = LIST_ITEM(e, struct route, entry);

		list_each (i, &r->items)
			item_of(i)->is_dirty = true;
		r->is_stored = false;
	}
}

struct saving {
	struct list entry;
	struct alert *alert;
	uint64_t *graves; /* to be dug again */
	size_t grave_count;
	struct route *batch; /* whose batch is in it; NULL: none's */
	alert_sent_fn *fn;   /* of a test by mail */
	void *arg;
};

static void on_batch_stored(struct route *r, int error);

static struct saving *
saving_new(struct alert *a, struct route *batch)
{
	struct saving *s = xcalloc(1, sizeof(*s));

	s->alert = a;
	s->batch = batch;
	list_append(&a->savings, &s->entry);
	return s;
}

static void
saving_free(struct saving *s)
{
	list_remove(&s->entry);
	free(s->graves);
	free(s);
}

static void
on_saved(void *arg, int error)
{
	struct saving *s = arg;
	struct alert *a = s->alert;
	struct route *r = s->batch;

	refresh(a);
	if (s->fn != NULL) {
		s->fn(s->arg, error == 0,
		    error == 0 ? "" : "the spool cannot store it");
		if (error == 0 && a->ops->on_mail != NULL)
			a->ops->on_mail(a->arg);
		saving_free(s);
		return;
	}
	a->is_saving = false;
	a->save_at = a->is_dirty ? a->now : INT64_MAX;
	if (error != 0) {
		for (size_t i = 0; i < s->grave_count; i++)
			bury(a, s->graves[i]);
		mark_all(a);
		a->is_dirty = true;
		a->save_at = a->now + SAVE_AGAIN_MS;
		counters_add(a->counters, COUNT_SPOOL_ERRORS, 1);
		log_event(a->log, LOG_LEVEL_ERROR, "alert", "spool-error",
		    "error=\"%s\" note=\"what can be sent is sent\"",
		    strerror(error));
	}
	saving_free(s);
	if (r != NULL)
		on_batch_stored(r, error);
	schedule(a);
}

/* r: whose batch waits for this, as a row or as mail; NULL: none's. */
static void
save(struct alert *a, struct route *r, const struct spool_message *mail,
    struct str text)
{
	struct rows *rows = xcalloc(1, sizeof(*rows));
	struct saving *s = saving_new(a, r);
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
	spool_save_alerts(a->spool, rows->v, rows->n, mail, text, on_saved, s);
	for (size_t i = 0; i < rows->n; i++)
		free((char *)rows->v[i].state);
	free(rows);
}

/* ---- items ---- */

static struct alert_item *
find_item(struct route *r, enum alert_event event, const char *subject)
{
	struct list *e;

	list_each (e, &r->items) {
		struct alert_item *i = item_of(e);

		if (i->event == event && strcmp(i->subject, subject) == 0)
			return i;
	}
	return NULL;
}

static bool
is_waiting(const struct route *r)
{
	struct list *e;

	list_each (e, &((struct route *)r)->items) {
		if (item_of(e)->want != ALERT_WANT_NONE)
			return true;
	}
	return r->omitted > 0;
}

static void
want(struct route *r, struct alert_item *item, enum alert_want what)
{
	if (!is_waiting(r))
		r->first_at = r->alert->now;
	item->want = what;
	item->is_dirty = true;
}

static void
add_item(struct route *r, const struct alert_facts *f)
{
	struct alert_item *item;

	if (r->item_count >= ALERT_ITEMS_MAX) {
		if (!is_waiting(r))
			r->first_at = r->alert->now;
		if (!r->is_senders)
			r->omitted++;
		return;
	}
	item = alert_item_new(f);
	want(r, item, ALERT_WANT_NEW);
	list_append(&r->items, &item->entry);
	r->item_count++;
}

/* Once more of what is there already. */
static void
again(struct route *r, struct alert_item *item, const struct alert_facts *f)
{
	bool lasts = alert_event_info[item->event].lasts;

	/* Told a while ago, or the same that goes on. */
	if (r->is_senders && !lasts)
		return;
	if (lasts && item->ended == 0 &&
	    (!r->is_senders || item->since == f->since))
		return;
	alert_item_update(item, f);
	if (lasts) {
		item->since = f->since;
		item->ended = 0;
		item->count = 1;
		want(r, item, ALERT_WANT_NEW);
		return;
	}
	if (item->count < UINT32_MAX)
		item->count++;
	want(r, item, ALERT_WANT_NEW);
}

static void
raise_on(struct route *r, const struct alert_facts *f)
{
	char *subject = alert_shown(f->subject);
	struct alert_item *item = find_item(r, f->event, subject);

	free(subject);
	if (item == NULL)
		add_item(r, f);
	else
		again(r, item, f);
}

static void
set_now(struct alert *a, int64_t now, int64_t wall)
{
	a->now = now;
	a->wall = wall;
}

bool
alert_is_wanted(const struct alert *a, enum alert_event event)
{
	const struct list *e;

	list_each (e, &a->routes) {
		const struct route *r = LIST_ITEM(e, struct route, entry);

		if (!r->is_senders && wants(r, event))
			return true;
	}
	return false;
}

void
alert_raise(
    struct alert *a, const struct alert_facts *f, int64_t now, int64_t wall)
{
	struct list *e;

	set_now(a, now, wall);
	list_each (e, &a->routes) {
		struct route *r = LIST_ITEM(e, struct route, entry);

		if (!r->is_gone && wants(r, f->event) &&
		    (!r->is_senders || f->to[0] != '\0'))
			raise_on(r, f);
	}
	start_save(a, now);
	schedule(a);
}

static void
end_item(struct route *r, struct alert_item *item, const char *detail)
{
	struct alert *a = r->alert;
	bool is_told = item->want != ALERT_WANT_NEW;

	if (item->ended != 0)
		return;
	/* What was not told yet is told whole, with its end. */
	if (r->is_senders ||
	    (item->event == ALERT_FREEZE && is_told && !wants(r, ALERT_THAW))) {
		drop_item(r, item);
		return;
	}
	item->ended = a->wall;
	item->is_dirty = true;
	if (detail[0] != '\0') {
		free(item->detail);
		item->detail = alert_shown(detail);
	}
	want(r, item, is_told ? ALERT_WANT_END : ALERT_WANT_NEW);
}

void
alert_end(struct alert *a, enum alert_event event, const char *subject,
    const char *detail, int64_t now, int64_t wall)
{
	char *shown = alert_shown(subject);
	struct list *e;

	set_now(a, now, wall);
	list_each (e, &a->routes) {
		struct route *r = LIST_ITEM(e, struct route, entry);
		struct alert_item *item =
		    r->is_gone ? NULL : find_item(r, event, shown);

		if (item != NULL)
			end_item(r, item, detail);
		else if (event == ALERT_FREEZE && !r->is_senders &&
			 !r->is_gone && wants(r, ALERT_THAW))
			raise_on(r, &(struct alert_facts){.event = ALERT_THAW,
					.subject = subject,
					.detail = detail,
					.policy = "",
					.clients = "",
					.subjects = "",
					.to = "",
					.contact = "",
					.since = wall});
	}
	free(shown);
	start_save(a, now);
	schedule(a);
}

void
alert_end_others(struct alert *a, enum alert_event event,
    const struct map *open, int64_t now, int64_t wall)
{
	struct list *e, *i, *next;

	set_now(a, now, wall);
	list_each (e, &a->routes) {
		struct route *r = LIST_ITEM(e, struct route, entry);

		list_each_safe (i, next, &r->items) {
			struct alert_item *item = item_of(i);

			if (item->event != event || item->ended != 0 ||
			    map_find(open, str_from(item->subject)) != NULL)
				continue;
			end_item(r, item, "");
			start_save(a, now);
		}
	}
	schedule(a);
}

/* ---- batches ---- */

/* Those that wait go into the batch; what lasts stays behind, as told. */
static void
fill_batch(struct route *r, struct alert_batch *b, size_t max)
{
	struct alert *a = r->alert;
	struct list *e, *next;
	size_t n = 0;

	list_each_safe (e, next, &r->items) {
		struct alert_item *item = item_of(e);
		bool goes_on =
		    alert_event_info[item->event].lasts && item->ended == 0;

		if (item->want == ALERT_WANT_NONE)
			continue;
		if (n == max && r->is_senders)
			break;
		if (n < max) {
			struct alert_item *copy = alert_item_copy(item);

			list_append(&b->items, &copy->entry);
			n++;
		} else {
			b->omitted++;
		}
		if (goes_on || r->is_senders) {
			item->want = ALERT_WANT_NONE;
			item->told_at = a->wall;
			item->is_dirty = true;
		} else {
			drop_item(r, item);
		}
	}
	if (r->is_senders)
		return;
	b->omitted += r->omitted;
	r->omitted = 0;
}

static void
log_failed(struct route *r, const char *why, bool for_good)
{
	struct alert *a = r->alert;
	char name[LOG_QUOTE_MAX], text[LOG_QUOTE_MAX];

	log_event(a->log, for_good ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
	    "alert", for_good ? "given_up" : "failed",
	    "alert=%s channel=%s id=%s attempts=%" PRIu32 " error=%s",
	    log_quote(str_from(r->name), name),
	    alert_channel_name[channel_of(r)], r->batch->id, r->attempts,
	    log_quote(str_from(why), text));
}

static void
end_batch(struct route *r)
{
	alert_batch_free(r->batch);
	r->batch = NULL;
	r->state = BATCH_NONE;
	r->due = INT64_MAX;
	r->attempts = 0;
	r->is_stored = false;
}

static void
set_error(struct route *r, const char *why)
{
	free(r->last_error);
	r->last_error = xstrdup(why);
}

static void
on_taken(struct route *r)
{
	struct alert *a = r->alert;
	char name[LOG_QUOTE_MAX];
	char *summary = alert_summary(r->batch), text[LOG_QUOTE_MAX];

	count(a, r, COUNT_ALERTS_SENT_MAIL, COUNT_ALERTS_SENT_WEBHOOK,
	    COUNT_ALERTS_SENT_COMMAND);
	log_event(a->log, LOG_LEVEL_INFO, "alert", "sent",
	    "alert=%s channel=%s id=%s summary=%s",
	    log_quote(str_from(r->name), name),
	    alert_channel_name[channel_of(r)], r->batch->id,
	    log_quote(str_from(summary), text));
	free(summary);
	set_error(r, "");
	r->last_sent = a->wall;
}

static void
try_later(struct route *r, const char *why)
{
	struct alert *a = r->alert;
	int64_t pause = ALERT_RETRY_MIN_MS;
	int64_t retry_for =
	    r->conf != NULL ? r->conf->retry_for_ms : ALERT_WARN_AGAIN_MS;

	set_error(r, why);
	count(a, r, COUNT_ALERTS_FAILED_MAIL, COUNT_ALERTS_FAILED_WEBHOOK,
	    COUNT_ALERTS_FAILED_COMMAND);
	if (r->attempts < UINT32_MAX)
		r->attempts++;
	for (uint32_t i = 1; i < r->attempts && pause < ALERT_RETRY_MAX_MS; i++)
		pause *= 2;
	if (pause > ALERT_RETRY_MAX_MS)
		pause = ALERT_RETRY_MAX_MS;
	if (a->wall - r->batch->at >= retry_for) {
		count(a, r, COUNT_ALERTS_DROPPED_MAIL,
		    COUNT_ALERTS_DROPPED_WEBHOOK, COUNT_ALERTS_DROPPED_COMMAND);
		log_failed(r, why, true);
		bury(a, r->batch->row);
		end_batch(r);
		return;
	}
	log_failed(r, why, false);
	r->state = BATCH_WAITING;
	r->due = a->now + pause;
}

static void
on_sent(void *arg, bool taken, const char *why)
{
	struct route *r = arg;
	struct alert *a = r->alert;

	refresh(a);
	if (r->is_gone) {
		bury(a, r->batch->row);
		route_free(r);
	} else if (taken) {
		on_taken(r);
		bury(a, r->batch->row);
		end_batch(r);
	} else {
		try_later(r, why);
	}
	start_save(a, a->now);
	schedule(a);
}

static void
send_batch(struct route *r)
{
	struct alert *a = r->alert;

	r->state = BATCH_SENDING;
	r->due = INT64_MAX;
	a->ops->send(a->arg, &a->settings.voice, r->conf, r->batch, on_sent, r);
}

static void
on_batch_stored(struct route *r, int error)
{
	struct alert *a = r->alert;

	if (r->is_gone) {
		bury(a, r->batch->row);
		route_free(r);
		start_save(a, a->now);
	} else if (!is_by_spool(r)) {
		send_batch(r);
	} else if (error == 0) {
		on_taken(r);
		end_batch(r);
		if (a->ops->on_mail != NULL)
			a->ops->on_mail(a->arg);
	} else {
		try_later(r, strerror(error));
	}
}

/* As a message of weir's own, in one commit with what is left of the batch. */
static void
put_mail(struct route *r, const struct alert_batch *b, struct saving *test)
{
	struct alert *a = r->alert;
	const struct alert_voice *v = &a->settings.voice;
	const struct alert_item *first =
	    LIST_ITEM(b->items.next, struct alert_item, entry);
	size_t n = r->is_senders ? 1 : r->conf->to.n;
	struct spool_rcpt *rcpts = xcalloc(n, sizeof(*rcpts));
	char *message_id = xasprintf("%s.alert@%s", b->id, v->hostname);
	char *text, *subject;
	struct spool_message mail = {
	    .source = SOURCE_NULL,
	    .policy = ALERT_POLICY,
	    .from = "",
	    .client = "",
	    .helo = "",
	    .message_id = message_id,
	    .queued_at = a->wall,
	    .rcpts = rcpts,
	    .rcpt_count = n,
	};

	mail.id = spool_new_id(a->spool, a->wall);
	for (size_t i = 0; i < n; i++)
		rcpts[i] = (struct spool_rcpt){
		    .address = r->is_senders ? first->to : r->conf->to.v[i],
		    .notify = 1, /* NEVER */
		    .state = SPOOL_RELEASED,
		    .next_try = a->wall};
	if (r->is_senders) {
		text = alert_mail_to_sender(v, first, b->id, a->wall);
		subject = xstrdup(alert_sender_subject(first));
	} else {
		text = alert_mail(v, r->conf, b, a->wall);
		subject = alert_subject(v, b);
	}
	mail.subject = subject;
	if (test != NULL) {
		spool_save_alerts(
		    a->spool, NULL, 0, &mail, str_from(text), on_saved, test);
	} else {
		if (r->is_stored)
			bury(a, b->row);
		save(a, r, &mail, str_from(text));
	}
	free(subject);
	free(text);
	free(message_id);
	free(rcpts);
}

static struct alert_batch *
make_batch(struct alert *a)
{
	struct alert_batch *b = alert_batch_new();

	b->row = spool_new_id(a->spool, a->wall);
	spool_id_format(b->row, b->id);
	b->at = a->wall;
	return b;
}

static void
begin_batch(struct route *r)
{
	struct alert *a = r->alert;

	if (r->batch == NULL) {
		r->batch = make_batch(a);
		fill_batch(r, r->batch, r->is_senders ? 1 : ALERT_DIGEST_MAX);
		r->window_count++;
		if (list_is_empty(&r->batch->items)) {
			end_batch(r);
			return;
		}
	}
	r->state = BATCH_STORING;
	if (is_by_spool(r))
		put_mail(r, r->batch, NULL);
	else
		save(a, r, NULL, (struct str){NULL, 0});
}

/* ---- time ---- */

/* When what waits may become a batch. */
static int64_t
group_due(const struct route *r)
{
	const struct option_rate *limit;
	int64_t due;

	if (r->batch != NULL || !is_waiting(r))
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
item_due(const struct route *r, const struct alert_item *i)
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
	after -= a->wall > i->told_at ? a->wall - i->told_at : 0;
	return a->now + (after > 0 ? after : 0);
}

int64_t
alert_next_due(const struct alert *a)
{
	const struct list *e, *i;
	int64_t due = a->is_saving ? INT64_MAX : a->save_at, d;

	list_each (e, &a->routes) {
		struct route *r = LIST_ITEM(e, struct route, entry);

		if (r->is_gone)
			continue;
		d = r->state == BATCH_WAITING ? r->due : group_due(r);
		/* One commit at a time: its end comes back here. */
		if (a->is_saving && (r->state == BATCH_NONE || is_by_spool(r)))
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
run_items(struct route *r)
{
	struct alert *a = r->alert;
	struct list *e, *next;

	list_each_safe (e, next, &r->items) {
		struct alert_item *i = item_of(e);

		if (item_due(r, i) > a->now)
			continue;
		if (r->is_senders)
			drop_item(r, i);
		else
			want(r, i, ALERT_WANT_REMIND);
		start_save(a, a->now);
	}
}

static void
run_route(struct route *r)
{
	struct alert *a = r->alert;

	run_items(r);
	if (r->state == BATCH_WAITING && r->due <= a->now) {
		if (is_by_spool(r) && a->is_saving)
			return;
		if (is_by_spool(r))
			begin_batch(r);
		else
			send_batch(r);
		return;
	}
	if (r->state != BATCH_NONE || a->is_saving || group_due(r) > a->now)
		return;
	if (!r->is_senders &&
	    a->now >= r->window_at + r->conf->group_limit.window_ms) {
		r->window_at = a->now;
		r->window_count = 0;
	}
	begin_batch(r);
}

void
alert_run(struct alert *a, int64_t now, int64_t wall)
{
	struct list *e, *next;

	set_now(a, now, wall);
	list_each_safe (e, next, &a->routes) {
		struct route *r = LIST_ITEM(e, struct route, entry);

		if (!r->is_gone)
			run_route(r);
	}
	if (!a->is_saving && a->save_at <= now && a->is_dirty)
		save(a, NULL, NULL, (struct str){NULL, 0});
}

/* ---- start, reload, end ---- */

static void
set_routes(struct alert *a)
{
	for (size_t i = 0; i < a->settings.count; i++) {
		const struct alert_conf *c = &a->settings.confs[i];
		struct route *r = find_route(a, c->name);

		if (r == NULL)
			r = route_new(a, c->name, c);
		r->conf = c;
		list_remove(&r->entry);
		list_append(&a->routes, &r->entry);
	}
	if (a->senders == NULL) {
		a->senders = route_new(a, SENDERS_ROUTE, NULL);
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
		route_free(LIST_ITEM(a->routes.next, struct route, entry));
	while (!list_is_empty(&a->graves)) {
		struct grave *g =
		    LIST_ITEM(a->graves.next, struct grave, entry);

		list_remove(&g->entry);
		free(g);
	}
	while (!list_is_empty(&a->savings))
		saving_free(LIST_ITEM(a->savings.next, struct saving, entry));
	while (!list_is_empty(&a->tests))
		testing_free(LIST_ITEM(a->tests.next, struct testing, entry));
	free(a);
}

static void
retire(struct route *r)
{
	struct alert *a = r->alert;
	char name[LOG_QUOTE_MAX];

	if (r->item_count > 0 || r->batch != NULL)
		log_event(a->log, LOG_LEVEL_WARNING, "alert", "dropped",
		    "alert=%s note=\"the section is gone\"",
		    log_quote(str_from(r->name), name));
	while (!list_is_empty(&r->items))
		drop_item(r, item_of(r->items.next));
	r->conf = NULL;
	if (r->state == BATCH_STORING || r->state == BATCH_SENDING) {
		r->is_gone = true;
		return;
	}
	if (r->batch != NULL)
		bury(a, r->batch->row);
	route_free(r);
}

void
alert_reload(
    struct alert *a, const struct alert_settings *settings, int64_t now)
{
	struct list *e, *next;

	a->now = now;
	a->settings = *settings;
	list_each_safe (e, next, &a->routes) {
		struct route *r = LIST_ITEM(e, struct route, entry);
		bool is_there = r->is_senders || r->is_gone;

		for (size_t i = 0; i < settings->count; i++)
			is_there = is_there || strcmp(settings->confs[i].name,
						   r->name) == 0;
		if (!is_there)
			retire(r);
	}
	set_routes(a);
	start_save(a, now);
	schedule(a);
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
	struct route *r = find_route(a, row->channel);
	struct alert_item *item = NULL;
	struct alert_batch *batch = NULL;
	char quoted[LOG_QUOTE_MAX];

	if (row->id == RUNNING_ROW) {
		l->crashed = true;
		return;
	}
	if (r == NULL || !alert_read(row->state, &item, &batch) ||
	    (batch != NULL && (r->batch != NULL || r->is_senders)) ||
	    r->item_count >= ALERT_ITEMS_MAX) {
		log_event(a->log, LOG_LEVEL_WARNING, "alert", "dropped",
		    "alert=%s note=\"%s\"",
		    log_quote(str_from(row->channel), quoted),
		    r == NULL ? "the section is gone"
			      : "it cannot be read back");
		if (item != NULL)
			alert_item_free(item);
		alert_batch_free(batch);
		bury(a, row->id);
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

	set_now(a, now, wall);
	error = spool_load_alerts(a->spool, on_row, &l);
	*crashed = l.crashed;
	if (error != 0)
		return error;
	spool_save_alerts(
	    a->spool, &running, 1, NULL, (struct str){NULL, 0}, NULL, NULL);
	if (!list_is_empty(&a->graves))
		start_save(a, now);
	return 0;
}

void
alert_stop(struct alert *a)
{
	const struct spool_alert stopped = {RUNNING_ROW, "", NULL};

	if (a->is_dirty && !a->is_saving)
		save(a, NULL, NULL, (struct str){NULL, 0});
	spool_save_alerts(
	    a->spool, &stopped, 1, NULL, (struct str){NULL, 0}, NULL, NULL);
}

/* ---- tests, status ---- */

bool
alert_test(struct alert *a, const char *name, int64_t now, int64_t wall,
    alert_sent_fn *fn, void *arg)
{
	struct route *r = find_route(a, name);
	struct alert_item *item;
	struct alert_batch *b;
	struct testing *t;

	if (r == NULL || r->is_senders)
		return false;
	set_now(a, now, wall);
	b = make_batch(a);
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
	if (is_by_spool(r)) {
		struct saving *s = saving_new(a, NULL);

		s->fn = fn;
		s->arg = arg;
		put_mail(r, b, s);
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
		struct route *r = LIST_ITEM(e, struct route, entry);

		if (r->is_gone || r->is_senders || i-- > 0)
			continue;
		*out = (struct alert_status){.name = r->name,
		    .channel = alert_channel_name[channel_of(r)],
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
