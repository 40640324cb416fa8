/* SPDX-License-Identifier: BSD-3-Clause */
/* A binary heap. See agenda.h. */
#include "replay/agenda.h"

static bool
is_before(const struct agenda_item *a, const struct agenda_item *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void
agenda_add(struct agenda *a, int64_t at, void (*run)(void *owner, void *arg),
    void *arg)
{
	struct agenda_item item = {at, a->seq++, run, arg};
	size_t i = a->n;

	if (a->n == a->cap) {
		a->cap = a->cap > 0 ? a->cap * 2 : 64;
		a->v = xrealloc(a->v, a->cap * sizeof(*a->v));
	}
	a->n++;
	for (; i > 0 && is_before(&item, &a->v[(i - 1) / 2]); i = (i - 1) / 2)
		a->v[i] = a->v[(i - 1) / 2];
	a->v[i] = item;
}

int64_t
agenda_next(const struct agenda *a)
{
	return a->n > 0 ? a->v[0].at : INT64_MAX;
}

struct agenda_item
agenda_take(struct agenda *a)
{
	struct agenda_item first = a->v[0], last = a->v[--a->n];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < a->n &&
		    is_before(&a->v[child + 1], &a->v[child]))
			child++;
		if (child >= a->n || !is_before(&a->v[child], &last))
			break;
		a->v[i] = a->v[child];
		i = child;
	}
	a->v[i] = last;
	return first;
}
