/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring of the last EVENTS_KEPT events. Followers are told at once; one that
 * leaves while it is told is fine.
 */
#include "os/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const event_type_name[EVENT_TYPE_MAX] = {
#define EVENT_NAME(id, name, doc) name,
    EVENT_TABLE(EVENT_NAME)
#undef EVENT_NAME
};

struct events {
	struct event_item ring[EVENTS_KEPT];
	uint64_t last_seq;
	struct list followers;
};

struct events *
events_new(void)
{
	struct events *e = xcalloc(1, sizeof(*e));

	list_init(&e->followers);
	return e;
}

static void
item_clear(struct event_item *item)
{
	free(item->sender);
	free(item->id);
	free(item->detail);
	*item = (struct event_item){0};
}

void
events_free(struct events *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		item_clear(&e->ring[i]);
	free(e);
}

void
events_add(struct events *e, int64_t wall_ms, enum event_type type,
    const char *sender, const char *id, const char *detail, ...)
{
	struct event_item *item = &e->ring[++e->last_seq % EVENTS_KEPT];
	struct list *entry, *next;
	char text[512];
	va_list ap;

	va_start(ap, detail);
	vsnprintf(text, sizeof(text), detail, ap);
	va_end(ap);
	item_clear(item);
	*item = (struct event_item){
	    .seq = e->last_seq,
	    .at = wall_ms,
	    .type = type,
	    .sender = xstrdup(sender),
	    .id = xstrdup(id),
	    .detail = xstrdup(text),
	};
	list_each_safe (entry, next, &e->followers) {
		struct event_follower *f =
		    LIST_ITEM(entry, struct event_follower, entry);

		f->on_event(f->arg, item);
	}
}

void
events_each(const struct events *e, uint64_t above_seq,
    void (*fn)(void *arg, const struct event_item *item), void *arg)
{
	uint64_t first =
	    e->last_seq >= EVENTS_KEPT ? e->last_seq - EVENTS_KEPT + 1 : 1;

	if (first <= above_seq)
		first = above_seq + 1;
	for (uint64_t seq = first; seq <= e->last_seq; seq++)
		fn(arg, &e->ring[seq % EVENTS_KEPT]);
}

void
events_follow(struct events *e, struct event_follower *f)
{
	list_append(&e->followers, &f->entry);
}

void
events_unfollow(struct event_follower *f)
{
	list_remove(&f->entry);
}
