/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is kept, in order of what happened last. Each kind has room of its
 * own, so that mail which comes and goes cannot push out a freeze. Followers
 * are told at once; one that leaves while it is told is fine.
 */
#include "os/events.h"

#include "base/map.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETAIL_MAX 1024 /* an address, who did it, and why */

const char *const event_type_name[EVENT_TYPE_MAX] = {
#define EVENT_NAME(id, name, kind, doc) name,
    EVENT_TABLE(EVENT_NAME)
#undef EVENT_NAME
};

enum kind { KIND_MAIL, KIND_RARE, KIND_FAULT, KINDS };

static const enum kind kind_of[EVENT_TYPE_MAX] = {
#define EVENT_KIND(id, name, kind, doc) KIND_##kind,
    EVENT_TABLE(EVENT_KIND)
#undef EVENT_KIND
};

static const size_t kept[KINDS] = {[KIND_MAIL] = EVENTS_KEPT_MAIL,
    [KIND_RARE] = EVENTS_KEPT_RARE,
    [KIND_FAULT] = EVENTS_KEPT_FAULT};

struct node {
	struct list entry; /* of all, the latest at the end */
	struct list mates; /* of its kind, in the same order */
	struct event_item item;
	int64_t reported_at; /* wall, the last time that is_news was true */
	char *group; /* what is repeated has the same; NULL: stands alone */
};

struct events {
	struct list all, of_kind[KINDS];
	size_t count[KINDS];
	struct map *groups; /* struct node, the latest of each */
	uint64_t last_seq;
	struct list followers;
};

struct events *
events_new(void)
{
	struct events *e = xcalloc(1, sizeof(*e));

	list_init(&e->all);
	for (size_t k = 0; k < KINDS; k++)
		list_init(&e->of_kind[k]);
	list_init(&e->followers);
	e->groups = map_new();
	return e;
}

/* The same of one sender and one message again. What is rare is told each time.
 */
static char *
group_of(enum event_type type, const char *sender, const char *id)
{
	size_t id_n = strlen(id), sender_n = strlen(sender);
	char *group;

	_Static_assert(EVENT_TYPE_MAX < 128, "a type is one byte of a group");
	if (kind_of[type] == KIND_RARE)
		return NULL;
	group = xmalloc(1 + id_n + 1 + sender_n + 1);
	group[0] = (char)(1 + type);
	memcpy(group + 1, id, id_n);
	group[1 + id_n] = ' ';
	memcpy(group + 1 + id_n + 1, sender, sender_n + 1);
	return group;
}

static void
node_free(struct events *e, struct node *n)
{
	e->count[kind_of[n->item.type]]--;
	list_remove(&n->entry);
	list_remove(&n->mates);
	if (n->group != NULL && map_find(e->groups, str_from(n->group)) == n)
		map_remove(e->groups, str_from(n->group));
	free(n->group);
	free(n->item.sender);
	free(n->item.id);
	free(n->item.detail);
	free(n);
}

void
events_free(struct events *e)
{
	if (e == NULL)
		return;
	while (!list_is_empty(&e->all))
		node_free(e, LIST_ITEM(e->all.next, struct node, entry));
	map_free(e->groups, NULL);
	free(e);
}

/* The one that it repeats; NULL: it is the first for some time. */
static struct node *
find_first(const struct events *e, const char *group, int64_t wall_ms)
{
	struct node *n =
	    group != NULL ? map_find(e->groups, str_from(group)) : NULL;

	if (n == NULL || wall_ms - n->item.at > EVENTS_GROUP_MS)
		return NULL;
	return n;
}

static struct node *
add_node(struct events *e, enum event_type type, const char *sender,
    const char *id, char *group, int64_t wall_ms)
{
	enum kind kind = kind_of[type];
	struct node *n;

	if (e->count[kind] == kept[kind])
		node_free(
		    e, LIST_ITEM(e->of_kind[kind].next, struct node, mates));
	n = xcalloc(1, sizeof(*n));
	list_init(&n->entry);
	list_init(&n->mates);
	n->item.type = type;
	n->item.sender = xstrdup(sender);
	n->item.id = xstrdup(id);
	n->item.first = wall_ms;
	n->group = group;
	e->count[kind]++;
	if (group != NULL)
		map_set(e->groups, str_from(group), n);
	return n;
}

/* Once a minute, and when the clock was set back. */
static bool
is_news(const struct node *n, int64_t wall_ms)
{
	int64_t since = wall_ms - n->reported_at;

	return n->item.count == 1 || since < 0 || since >= EVENTS_REPORT_MS;
}

static void
report(struct events *e, const struct event_item *item)
{
	struct list *entry, *next;

	list_each_safe (entry, next, &e->followers) {
		struct event_follower *f =
		    LIST_ITEM(entry, struct event_follower, entry);

		f->on_event(f->arg, item);
	}
}

struct event_facts { /* borrowed */
	enum event_type type;
	const char *option, *sender, *id, *detail;
};

static void
add(struct events *e, int64_t wall_ms, const struct event_facts *facts)
{
	enum event_type type = facts->type;
	char *group = group_of(type, facts->sender, facts->id);
	struct node *n = find_first(e, group, wall_ms);

	if (n == NULL)
		n = add_node(e, type, facts->sender, facts->id, group, wall_ms);
	else
		free(group);
	list_remove(&n->entry);
	list_remove(&n->mates);
	list_append(&e->all, &n->entry);
	list_append(&e->of_kind[kind_of[type]], &n->mates);
	free(n->item.detail);
	n->item.detail = xstrdup(facts->detail);
	n->item.option = facts->option;
	n->item.seq = ++e->last_seq;
	n->item.at = wall_ms;
	n->item.count++;
	n->item.is_news = is_news(n, wall_ms);
	if (n->item.is_news)
		n->reported_at = wall_ms;
	report(e, &n->item);
}

void
events_add(struct events *e, int64_t wall_ms, enum event_type type,
    const char *sender, const char *id, const char *detail, ...)
{
	char text[DETAIL_MAX];
	va_list ap;

	va_start(ap, detail);
	vsnprintf(text, sizeof(text), detail, ap);
	va_end(ap);
	add(e, wall_ms, &(struct event_facts){type, NULL, sender, id, text});
}

void
events_add_option(struct events *e, int64_t wall_ms, enum event_type type,
    const char *option, const char *sender, const char *id, const char *detail,
    ...)
{
	char text[DETAIL_MAX];
	va_list ap;

	va_start(ap, detail);
	vsnprintf(text, sizeof(text), detail, ap);
	va_end(ap);
	add(e, wall_ms, &(struct event_facts){type, option, sender, id, text});
}

uint64_t
events_before(const struct events *e, size_t max)
{
	const struct list *entry = e->all.prev;

	while (entry != &e->all && max-- > 0)
		entry = entry->prev;
	return entry != &e->all ? LIST_ITEM(entry, struct node, entry)->item.seq
				: 0;
}

void
events_each(const struct events *e, uint64_t above_seq,
    void (*fn)(void *arg, const struct event_item *item), void *arg)
{
	const struct list *entry;

	list_each (entry, &e->all) {
		const struct node *n = LIST_ITEM(entry, struct node, entry);

		if (n->item.seq > above_seq)
			fn(arg, &n->item);
	}
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
