/* SPDX-License-Identifier: BSD-3-Clause */
/* A map from message ids to counts, and their list, oldest first. */
#include "delivery/suspects.h"

#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

#define BROKEN_TWICE 2

struct suspect {
	struct list entry;
	uint64_t id;
	unsigned broken;
};

struct suspects {
	struct map *map;
	struct list order;
};

static struct str
key_of(const uint64_t *id)
{
	return (struct str){(const char *)id, sizeof(*id)};
}

struct suspects *
suspects_new(void)
{
	struct suspects *s = xcalloc(1, sizeof(*s));

	s->map = map_new();
	list_init(&s->order);
	return s;
}

void
suspects_free(struct suspects *s)
{
	if (s == NULL)
		return;
	map_free(s->map, free);
	free(s);
}

void
suspects_forget(struct suspects *s, uint64_t id)
{
	struct suspect *x = map_remove(s->map, key_of(&id));

	if (x == NULL)
		return;
	list_remove(&x->entry);
	free(x);
}

void
suspects_note(struct suspects *s, uint64_t id)
{
	struct suspect *x = map_find(s->map, key_of(&id));

	if (x == NULL) {
		if (map_count(s->map) >= SUSPECTS_MAX)
			suspects_forget(
			    s, LIST_ITEM(s->order.next, struct suspect, entry)
				   ->id);
		x = xcalloc(1, sizeof(*x));
		x->id = id;
		(void)map_set(s->map, key_of(&id), x);
	} else {
		list_remove(&x->entry);
	}
	list_append(&s->order, &x->entry);
	if (x->broken < BROKEN_TWICE)
		x->broken++;
}

bool
suspects_has(const struct suspects *s, uint64_t id)
{
	const struct suspect *x = map_find(s->map, key_of(&id));

	return x != NULL && x->broken >= BROKEN_TWICE;
}
