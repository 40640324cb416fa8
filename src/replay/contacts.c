/* SPDX-License-Identifier: BSD-3-Clause */
/* See contacts.h. */
#include "replay/contacts.h"

#include <stdlib.h>

struct pair {
	uint32_t from, to;
	uint32_t at; /* seconds, of the last mail */
};

static int
order(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

/* The last mail of a pair first. */
static int
by_pair(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int c = order(x->from, y->from);

	c = c != 0 ? c : order(x->to, y->to);
	return c != 0 ? c : order(y->at, x->at);
}

static int
by_time(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int c = order(x->from, y->from);

	c = c != 0 ? c : order(y->at, x->at);
	return c != 0 ? c : order(x->to, y->to);
}

/* New numbers from 1 by the trace's; 0: not there. Returns how many. */
static uint32_t
number(const struct trace *t, uint32_t *numbers)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->message_count; i++)
		numbers[t->messages[i].sender] = 1;
	for (uint32_t i = 0; i < t->recipient_count; i++)
		numbers[t->recipients[i]] = 1;
	for (uint32_t i = 0; i <= t->id_max; i++) {
		if (numbers[i] != 0)
			numbers[i] = ++n;
	}
	return n;
}

static uint32_t
collect(const struct trace *t, const uint32_t *numbers, struct pair *pairs)
{
	uint32_t n = 0, kept = 0;

	for (uint32_t i = 0; i < t->message_count; i++) {
		const struct trace_message *m = &t->messages[i];

		for (uint32_t k = 0; k < m->count; k++) {
			uint32_t to = t->recipients[m->first + k];

			if (to == m->sender)
				continue;
			pairs[n++] = (struct pair){numbers[m->sender] - 1,
			    numbers[to] - 1, m->seconds};
		}
	}
	qsort(pairs, n, sizeof(*pairs), by_pair);
	for (uint32_t i = 0; i < n; i++) {
		if (kept > 0 && pairs[i].from == pairs[kept - 1].from &&
		    pairs[i].to == pairs[kept - 1].to)
			continue;
		pairs[kept++] = pairs[i];
	}
	qsort(pairs, kept, sizeof(*pairs), by_time);
	return kept;
}

void
contacts_make(const struct trace *trace, struct outbreak_graph *out)
{
	uint32_t *numbers =
	    xcalloc((size_t)trace->id_max + 1, sizeof(*numbers));
	struct pair *pairs =
	    xcalloc((size_t)trace->recipient_count + 1, sizeof(*pairs));
	uint32_t n, at = 0;

	out->nodes = number(trace, numbers);
	n = collect(trace, numbers, pairs);
	out->first = xcalloc((size_t)out->nodes + 1, sizeof(*out->first));
	out->to = xcalloc((size_t)n + 1, sizeof(*out->to));
	for (uint32_t node = 0; node < out->nodes; node++) {
		out->first[node] = at;
		while (at < n && pairs[at].from == node) {
			out->to[at] = pairs[at].to;
			at++;
		}
	}
	out->first[out->nodes] = n;
	free(numbers);
	free(pairs);
}

void
contacts_clear(struct outbreak_graph *g)
{
	free(g->first);
	free(g->to);
	*g = (struct outbreak_graph){0};
}
