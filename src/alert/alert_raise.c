/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Something happened, goes on, or is over: what becomes of the items of each
 * route.
 */
#include "alert/alert_private.h"

#include "base/map.h"

#include <stdlib.h>
#include <string.h>

static struct alert_item *
find_item(struct alert_route *r, enum alert_event event, const char *subject,
    const char *ticket)
{
	struct list *e;

	list_each (e, &r->items) {
		struct alert_item *i = item_of(e);

		if (i->event == event && strcmp(i->subject, subject) == 0 &&
		    strcmp(i->ticket, ticket) == 0)
			return i;
	}
	return NULL;
}

bool
alert_route_is_waiting(const struct alert_route *r)
{
	struct list *e;

	list_each (e, &((struct alert_route *)r)->items) {
		if (item_of(e)->want != ALERT_WANT_NONE)
			return true;
	}
	return r->omitted > 0;
}

void
alert_route_want(
    struct alert_route *r, struct alert_item *item, enum alert_want what)
{
	if (!alert_route_is_waiting(r))
		r->first_at = r->alert->now;
	item->want = what;
	item->is_dirty = true;
}

static void
add_item(struct alert_route *r, const struct alert_facts *f)
{
	struct alert_item *item;

	if (r->item_count >= ALERT_ITEMS_MAX) {
		if (!alert_route_is_waiting(r))
			r->first_at = r->alert->now;
		if (!r->is_senders)
			r->omitted++;
		return;
	}
	item = alert_item_new(f);
	alert_route_want(r, item, ALERT_WANT_NEW);
	list_append(&r->items, &item->entry);
	r->item_count++;
}

/* Once more of what is there already. */
static void
again(
    struct alert_route *r, struct alert_item *item, const struct alert_facts *f)
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
		alert_route_want(r, item, ALERT_WANT_NEW);
		return;
	}
	if (item->count < UINT32_MAX)
		item->count++;
	alert_route_want(r, item, ALERT_WANT_NEW);
}

static void
raise_on(struct alert_route *r, const struct alert_facts *f)
{
	char *subject = alert_shown(f->subject);
	struct alert_item *item =
	    find_item(r, f->event, subject, f->ticket != NULL ? f->ticket : "");

	free(subject);
	if (item == NULL)
		add_item(r, f);
	else
		again(r, item, f);
}

bool
alert_is_wanted(const struct alert *a, enum alert_event event)
{
	const struct list *e;

	list_each (e, &a->routes) {
		const struct alert_route *r =
		    LIST_ITEM(e, struct alert_route, entry);

		if (!r->is_senders && alert_route_wants(r, event))
			return true;
	}
	return false;
}

void
alert_raise(
    struct alert *a, const struct alert_facts *f, int64_t now, int64_t wall)
{
	struct list *e;

	alert_set_now(a, now, wall);
	list_each (e, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		if (!r->is_gone && alert_route_wants(r, f->event) &&
		    (!r->is_senders || f->to[0] != '\0'))
			raise_on(r, f);
	}
	alert_start_save(a, now);
	alert_schedule(a);
}

static void
end_item(struct alert_route *r, struct alert_item *item, const char *detail)
{
	struct alert *a = r->alert;
	bool is_reported = item->want != ALERT_WANT_NEW;

	if (item->ended != 0)
		return;
	/* What was not told yet is told whole, with its end. */
	if (r->is_senders || (item->event == ALERT_FREEZE && is_reported &&
				 !alert_route_wants(r, ALERT_THAW))) {
		alert_route_drop_item(r, item);
		return;
	}
	item->ended = a->wall;
	item->is_dirty = true;
	if (detail[0] != '\0') {
		free(item->detail);
		item->detail = alert_shown(detail);
	}
	alert_route_want(
	    r, item, is_reported ? ALERT_WANT_END : ALERT_WANT_NEW);
}

void
alert_end(struct alert *a, enum alert_event event, const char *subject,
    const char *detail, int64_t now, int64_t wall)
{
	char *shown = alert_shown(subject);
	struct list *e;

	alert_set_now(a, now, wall);
	list_each (e, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);
		struct alert_item *item =
		    r->is_gone ? NULL : find_item(r, event, shown, "");

		if (item != NULL)
			end_item(r, item, detail);
		else if (event == ALERT_FREEZE && !r->is_senders &&
			 !r->is_gone && alert_route_wants(r, ALERT_THAW))
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
	alert_start_save(a, now);
	alert_schedule(a);
}

void
alert_end_others(struct alert *a, enum alert_event event,
    const struct map *open, int64_t now, int64_t wall)
{
	struct list *e, *i, *next;

	alert_set_now(a, now, wall);
	list_each (e, &a->routes) {
		struct alert_route *r = LIST_ITEM(e, struct alert_route, entry);

		list_each_safe (i, next, &r->items) {
			struct alert_item *item = item_of(i);

			if (item->event != event || item->ended != 0 ||
			    map_find(open, str_from(item->subject)) != NULL)
				continue;
			end_item(r, item, "");
			alert_start_save(a, now);
		}
	}
	alert_schedule(a);
}
