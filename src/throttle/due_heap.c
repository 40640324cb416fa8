/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Binary heap with intrusive positions. Item i (from 0) has position i + 1 in
 * its source; children of i are 2i + 1 and 2i + 2.
 */
#include "throttle/due_heap.h"

#include "throttle/core.h"
#include "throttle/mem.h"

static void
put(struct due_heap *h, uint32_t i, struct due_item item)
{
	h->items[i] = item;
	item.src->busy->heap_pos = i + 1;
}

static void
sift_up(struct due_heap *h, uint32_t i, struct due_item item)
{
	while (i > 0 && h->items[(i - 1) / 2].due > item.due) {
		put(h, i, h->items[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(h, i, item);
}

static void
sift_down(struct due_heap *h, uint32_t i, struct due_item item)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= h->len)
			break;
		if (child + 1 < h->len &&
		    h->items[child + 1].due < h->items[child].due)
			child++;
		if (h->items[child].due >= item.due)
			break;
		put(h, i, h->items[child]);
		i = child;
	}
	put(h, i, item);
}

static void
place(struct due_heap *h, uint32_t i, struct due_item item)
{
	if (i > 0 && h->items[(i - 1) / 2].due > item.due)
		sift_up(h, i, item);
	else
		sift_down(h, i, item);
}

void
due_heap_set(
    struct due_heap *h, struct throttle_source *src, int64_t due, size_t *bytes)
{
	uint32_t pos = src->busy->heap_pos;

	/* The heap itself is a cache miss away: most often it need not know. */
	if (pos && src->busy->due == due)
		return;
	src->busy->due = due;
	if (pos) {
		place(h, pos - 1, (struct due_item){due, src});
		return;
	}
	if (h->len == h->cap) {
		uint32_t cap = h->cap ? h->cap * 2 : 16;

		h->items = mem_resize(bytes, h->items,
		    h->cap * sizeof(*h->items), cap * sizeof(*h->items));
		h->cap = cap;
	}
	h->len++;
	sift_up(h, h->len - 1, (struct due_item){due, src});
}

void
due_heap_remove(struct due_heap *h, struct throttle_source *src)
{
	uint32_t pos = src->busy->heap_pos;

	if (!pos)
		return;
	src->busy->heap_pos = 0;
	h->len--;
	if (pos - 1 < h->len)
		place(h, pos - 1, h->items[h->len]);
}

int64_t
due_heap_next(const struct due_heap *h)
{
	return h->len ? h->items[0].due : TIME_NEVER;
}

void
due_heap_clear(struct due_heap *h, size_t *bytes)
{
	mem_free(bytes, h->items, h->cap * sizeof(*h->items));
	*h = (struct due_heap){0};
}
