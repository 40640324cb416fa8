/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Intrusive doubly linked list with a head. A struct that is in a list embeds
 * a struct list; CONTAINER_OF leads back. An element that is in no list points
 * to itself, so that list_remove is harmless twice.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool
list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_insert(struct list *after, struct list *e)
{
	e->prev = after;
	e->next = after->next;
	after->next->prev = e;
	after->next = e;
}

static inline void
list_append(struct list *head, struct list *e)
{
	list_insert(head->prev, e);
}

static inline void
list_remove(struct list *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	list_init(e);
}

#define LIST_ITEM(e, type, member) CONTAINER_OF(e, type, member)
#define list_each(e, head) for (e = (head)->next; e != (head); e = e->next)
/* e may be removed in the body. */
#define list_each_safe(e, tmp, head)                       \
	for (e = (head)->next, tmp = e->next; e != (head); \
	     e = tmp, tmp = e->next)

#endif
