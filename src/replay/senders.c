/* SPDX-License-Identifier: BSD-3-Clause */
/* See senders.h. Windows slide from message to message of their sender. */
#include "replay/senders.h"

#include "base/map.h"

#include <stdlib.h>

#define DAY_S 86400u
#define WEEK_S (7 * DAY_S)

/* A message of one sender that named strangers. */
struct step {
	uint32_t sender, seconds, strangers;
};

struct counting {
	const struct trace *trace;
	struct map *pairs;
	struct step *steps;
	size_t step_count;
	struct sender_habits *by_id;
	struct {
		uint32_t day, recipients;
	} * today; /* by id: the last day of each */
};

static void
count_message(struct counting *c, const struct trace_message *m)
{
	struct sender_habits *h = &c->by_id[m->sender];
	uint32_t strangers = 0;
	uint32_t day;
	uint32_t before;

	for (uint32_t i = 0; i < m->count; i++) {
		uint32_t pair[2] = {
		    m->sender, c->trace->recipients[m->first + i]};
		struct str key = {(const char *)pair, sizeof(pair)};

		strangers += map_set(c->pairs, key, c) == NULL;
	}
	h->messages++;
	h->recipients += m->count;
	day = m->seconds / DAY_S;
	if (c->today[m->sender].day != day)
		c->today[m->sender].recipients = 0;
	c->today[m->sender].day = day;
	before = c->today[m->sender].recipients;
	c->today[m->sender].recipients += m->count;
	if (before < SENDERS_BULK && before + m->count >= SENDERS_BULK)
		c->by_id[m->sender].bulk_days++;
	h->strangers += strangers;
	if (strangers > 0)
		c->steps[c->step_count++] =
		    (struct step){m->sender, m->seconds, strangers};
}

static int
by_sender(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	if (x->sender != y->sender)
		return x->sender < y->sender ? -1 : 1;
	return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

/* The most strangers, and messages with one, in so many seconds. */
static void
slide(const struct step *steps, size_t n, uint32_t window, uint32_t *most,
    uint32_t *start, uint32_t *messages)
{
	uint32_t sum = 0;
	size_t from = 0;

	for (size_t i = 0; i < n; i++) {
		sum += steps[i].strangers;
		while (steps[i].seconds - steps[from].seconds >= window)
			sum -= steps[from++].strangers;
		if (i - from + 1 > *messages)
			*messages = (uint32_t)(i - from + 1);
		if (sum > *most) {
			*most = sum;
			*start = steps[from].seconds;
		}
	}
}

static void
find_busiest(struct counting *c)
{
	size_t from = 0;
	uint32_t ignored;

	if (c->step_count > 0)
		qsort(c->steps, c->step_count, sizeof(*c->steps), by_sender);
	for (size_t i = 1; i <= c->step_count; i++) {
		struct sender_habits *h;

		if (i < c->step_count &&
		    c->steps[i].sender == c->steps[from].sender)
			continue;
		h = &c->by_id[c->steps[from].sender];
		slide(c->steps + from, i - from, DAY_S, &h->day, &h->day_start,
		    &h->day_messages);
		ignored = 0;
		slide(c->steps + from, i - from, WEEK_S, &h->week,
		    &h->week_start, &ignored);
		from = i;
	}
}

struct sender_habits *
senders_habits(
    const struct trace *trace, const struct trace_nodes *nodes, size_t *count)
{
	struct counting c = {
	    .trace = trace,
	    .pairs = map_new(),
	    .steps = xcalloc(trace->message_count + 1, sizeof(*c.steps)),
	    .by_id = xcalloc(trace->id_max + 1, sizeof(*c.by_id)),
	    .today = xcalloc(trace->id_max + 1, sizeof(*c.today)),
	};

	for (uint32_t i = 0; i < trace->message_count; i++) {
		if (trace_node(nodes, trace->messages[i].sender).is_user)
			count_message(&c, &trace->messages[i]);
	}
	find_busiest(&c);
	*count = 0;
	for (uint32_t id = 0; id <= trace->id_max; id++) {
		if (c.by_id[id].messages == 0)
			continue;
		c.by_id[id].id = id;
		c.by_id[(*count)++] = c.by_id[id];
	}
	map_free(c.pairs, NULL);
	free(c.steps);
	free(c.today);
	return c.by_id;
}
