/* SPDX-License-Identifier: BSD-3-Clause */
#include "alert/alert_item.h"

#include <stdlib.h>
#include <string.h>

char *
alert_shown(const char *text)
{
	char out[ALERT_TEXT_MAX];

	return xstrdup(str_escape(str_from(text), out, sizeof(out)));
}

/* Lines of it, each made fit. */
static char *
shown_lines(const char *text)
{
	struct str rest = str_from(text);
	char out[ALERT_TEXT_MAX], line[256];
	size_t used = 0;

	out[0] = '\0';
	while (rest.n > 0) {
		struct str one = str_cut(&rest, '\n');
		size_t n;

		if (one.n == 0)
			continue;
		str_escape(one, line, sizeof(line));
		n = strlen(line);
		if (used + n + 2 > sizeof(out))
			break;
		if (used > 0)
			out[used++] = '\n';
		memcpy(out + used, line, n + 1);
		used += n;
	}
	return xstrdup(out);
}

static void
set(char **field, char *value)
{
	free(*field);
	*field = value;
}

void
alert_item_update(struct alert_item *item, const struct alert_facts *f)
{
	set(&item->detail, alert_shown(f->detail));
	set(&item->policy, alert_shown(f->policy));
	set(&item->clients, shown_lines(f->clients));
	set(&item->subjects, shown_lines(f->subjects));
	set(&item->to, alert_shown(f->to));
	set(&item->contact, alert_shown(f->contact));
	set(&item->ticket, alert_shown(f->ticket != NULL ? f->ticket : ""));
	set(&item->destination,
	    alert_shown(f->destination != NULL ? f->destination : ""));
	item->waiting = f->waiting;
	item->limit = f->limit;
	item->passed = f->passed;
	item->is_dirty = true;
}

struct alert_item *
alert_item_new(const struct alert_facts *f)
{
	struct alert_item *item = xcalloc(1, sizeof(*item));

	list_init(&item->entry);
	item->event = f->event;
	item->want = ALERT_WANT_NEW;
	item->subject = alert_shown(f->subject);
	item->since = f->since;
	item->count = 1;
	alert_item_update(item, f);
	return item;
}

struct alert_item *
alert_item_copy(const struct alert_item *from)
{
	struct alert_item *item = xcalloc(1, sizeof(*item));

	*item = *from;
	list_init(&item->entry);
	item->subject = xstrdup(from->subject);
	item->detail = xstrdup(from->detail);
	item->policy = xstrdup(from->policy);
	item->clients = xstrdup(from->clients);
	item->subjects = xstrdup(from->subjects);
	item->to = xstrdup(from->to);
	item->contact = xstrdup(from->contact);
	item->ticket = xstrdup(from->ticket);
	item->destination = xstrdup(from->destination);
	return item;
}

void
alert_item_free(struct alert_item *item)
{
	list_remove(&item->entry);
	free(item->subject);
	free(item->detail);
	free(item->policy);
	free(item->clients);
	free(item->subjects);
	free(item->to);
	free(item->contact);
	free(item->ticket);
	free(item->destination);
	free(item);
}

struct alert_batch *
alert_batch_new(void)
{
	struct alert_batch *b = xcalloc(1, sizeof(*b));

	list_init(&b->items);
	return b;
}

void
alert_batch_free(struct alert_batch *b)
{
	if (b == NULL)
		return;
	while (!list_is_empty(&b->items))
		alert_item_free(
		    LIST_ITEM(b->items.next, struct alert_item, entry));
	free(b);
}

/* ---- as it is stored ---- */

static json_t *
pack_item(const struct alert_item *i)
{
	/* The texts are valid UTF-8: str_escape made them so. */
	return json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,"
			 "s:I,s:I,s:I,s:I,s:s,s:s}",
	    "event", alert_event_info[i->event].name, "want", (int)i->want,
	    "subject", i->subject, "detail", i->detail, "policy", i->policy,
	    "clients", i->clients, "subjects", i->subjects, "to", i->to,
	    "contact", i->contact, "waiting", (json_int_t)i->waiting, "limit",
	    (json_int_t)i->limit, "passed", (json_int_t)i->passed, "count",
	    (json_int_t)i->count, "since", (json_int_t)i->since, "ended",
	    (json_int_t)i->ended, "told_at", (json_int_t)i->reported_at,
	    "ticket", i->ticket, "destination", i->destination);
}

static char *
store(json_t *value)
{
	char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;

	if (text == NULL)
		panic("alert: an item that is not JSON");
	json_decref(value);
	return text;
}

char *
alert_item_store(const struct alert_item *item)
{
	return store(pack_item(item));
}

char *
alert_batch_store(const struct alert_batch *b)
{
	json_t *items = json_array();
	const struct list *e;

	list_each (e, &b->items)
		json_array_append_new(
		    items, pack_item(LIST_ITEM(e, struct alert_item, entry)));
	return store(
	    json_pack("{s:s,s:I,s:I,s:o}", "id", b->id, "at", (json_int_t)b->at,
		"omitted", (json_int_t)b->omitted, "items", items));
}

/* A time or a number out of range is 0. */
static int64_t
bounded(json_int_t v, int64_t max)
{
	return v >= 0 && v <= max ? v : 0;
}

#define WALL_MAX (INT64_C(1) << 52)

/* As alert_shown and shown_lines leave it. */
static bool
is_fit(const char *text, bool lines)
{
	struct str rest = str_from(text);

	if (rest.n >= ALERT_TEXT_MAX)
		return false;
	while (lines && rest.n > 0) {
		if (!str_is_shown(str_cut(&rest, '\n')))
			return false;
	}
	return str_is_shown(rest);
}

static struct alert_item *
unpack_item(json_t *j)
{
	const char *event, *subject, *detail, *policy, *clients, *subjects;
	const char *to, *contact, *ticket = "", *destination = "";
	json_int_t waiting, limit, passed, count, since, ended, reported_at;
	struct alert_facts f = {0};
	struct alert_item *item;
	int want;

	if (json_unpack(j,
		"{s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,"
		"s:I,s:I,s?s,s?s}",
		"event", &event, "want", &want, "subject", &subject, "detail",
		&detail, "policy", &policy, "clients", &clients, "subjects",
		&subjects, "to", &to, "contact", &contact, "waiting", &waiting,
		"limit", &limit, "passed", &passed, "count", &count, "since",
		&since, "ended", &ended, "told_at", &reported_at, "ticket",
		&ticket, "destination", &destination) != 0 ||
	    want < 0 || want >= ALERT_WANTS ||
	    !alert_event_find(str_from(event), &f.event))
		return NULL;
	if (!is_fit(subject, false) || !is_fit(detail, false) ||
	    !is_fit(policy, false) || !is_fit(clients, true) ||
	    !is_fit(subjects, true) || !is_fit(to, false) ||
	    !is_fit(contact, false) || !is_fit(ticket, false) ||
	    !is_fit(destination, false))
		return NULL;
	f.detail = f.policy = f.clients = f.subjects = f.to = "";
	f.contact = f.subject = "";
	item = alert_item_new(&f);
	item->want = (enum alert_want)want;
	/* They were made fit before, and would be escaped once more. */
	set(&item->subject, xstrdup(subject));
	set(&item->detail, xstrdup(detail));
	set(&item->policy, xstrdup(policy));
	set(&item->clients, xstrdup(clients));
	set(&item->subjects, xstrdup(subjects));
	set(&item->to, xstrdup(to));
	set(&item->contact, xstrdup(contact));
	set(&item->ticket, xstrdup(ticket));
	set(&item->destination, xstrdup(destination));
	item->waiting = (uint32_t)bounded(waiting, UINT32_MAX);
	item->limit = (uint32_t)bounded(limit, UINT32_MAX);
	item->passed = (uint32_t)bounded(passed, UINT32_MAX);
	item->count = (uint32_t)bounded(count, UINT32_MAX);
	item->since = bounded(since, WALL_MAX);
	item->ended = bounded(ended, WALL_MAX);
	item->reported_at = bounded(reported_at, WALL_MAX);
	item->is_dirty = false;
	return item;
}

static struct alert_batch *
unpack_batch(json_t *j)
{
	struct alert_batch *b;
	const char *id;
	json_int_t at, omitted;
	json_t *items, *one;
	size_t i;

	if (json_unpack(j, "{s:s,s:I,s:I,s:o}", "id", &id, "at", &at, "omitted",
		&omitted, "items", &items) != 0 ||
	    !json_is_array(items) ||
	    json_array_size(items) > ALERT_DIGEST_MAX ||
	    json_array_size(items) == 0 || strlen(id) >= ALERT_ID_MAX ||
	    strspn(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(id))
		return NULL;
	b = alert_batch_new();
	str_copy(str_from(id), b->id, sizeof(b->id));
	b->at = bounded(at, WALL_MAX);
	b->omitted = (uint32_t)bounded(omitted, UINT32_MAX);
	json_array_foreach(items, i, one)
	{
		struct alert_item *item = unpack_item(one);

		if (item == NULL) {
			alert_batch_free(b);
			return NULL;
		}
		list_append(&b->items, &item->entry);
	}
	return b;
}

bool
alert_read(
    const char *text, struct alert_item **item, struct alert_batch **batch)
{
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	*item = NULL;
	*batch = NULL;
	if (json_object_get(j, "items") != NULL)
		*batch = unpack_batch(j);
	else if (json_is_object(j))
		*item = unpack_item(j);
	json_decref(j);
	return *item != NULL || *batch != NULL;
}
