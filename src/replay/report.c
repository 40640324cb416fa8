/* SPDX-License-Identifier: BSD-3-Clause */
/* See report.h; here is how the figures come about, not how they look. */
#include "replay/report.h"

#include <stdlib.h>

#define SECOND INT64_C(1000)
#define DAY_S 86400.0

const char *const report_cause_name[REPLAY_CAUSES] = {
    [REPLAY_FORGOTTEN] = "forgotten",
    [REPLAY_MANY_IN_ONE] = "many in one message",
    [REPLAY_FIRST_DAYS] = "first days",
    [REPLAY_BUSY] = "busy",
};

const char *const report_column_name[REPORT_COLUMNS] = {
    [REPORT_COLD] = "cold",
    [REPORT_WARM] = "warm",
};

/* ---- spreads ---- */

static int
by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t
percentile(const int64_t *values, size_t n, unsigned percent)
{
	size_t rank = (n * percent + 99) / 100;

	return values[rank > 0 ? rank - 1 : 0];
}

void
report_spread(int64_t *values, size_t n, struct report_spread *out)
{
	*out = (struct report_spread){.count = n};
	if (n == 0)
		return;
	qsort(values, n, sizeof(*values), by_value);
	out->median = percentile(values, n, 50);
	out->p90 = percentile(values, n, 90);
	out->p99 = percentile(values, n, 99);
	out->longest = values[n - 1];
}

/* ---- one column ---- */

struct counting {
	const struct trace *trace;
	const struct trace_nodes *nodes;
	const struct replay_result *result;
	enum report_column column;
	struct report_figures *out;
	struct report_sender *senders; /* by id */
};

static int64_t
message_at(const struct counting *c, uint32_t message)
{
	return c->trace->messages[message].seconds * SECOND;
}

static bool
counts_at(const struct counting *c, uint32_t sender, int64_t at)
{
	return trace_node(c->nodes, sender).is_user &&
	       (c->column == REPORT_COLD ||
		   at - c->result->first[sender] >= REPLAY_FIRST_DAYS_MS);
}

static bool
counts(const struct counting *c, uint32_t message)
{
	return counts_at(
	    c, c->trace->messages[message].sender, message_at(c, message));
}

static void
count_messages(struct counting *c)
{
	for (uint32_t i = 0; i < c->trace->message_count; i++) {
		const struct trace_message *m = &c->trace->messages[i];

		if (!counts(c, i))
			continue;
		c->out->messages++;
		c->out->recipients += m->count;
		c->senders[m->sender].messages++;
		c->senders[m->sender].recipients += m->count;
	}
}

static void
count_wait(struct counting *c, const struct replay_wait *w)
{
	uint32_t id = c->trace->messages[w->message].sender;
	struct report_sender *s = &c->senders[id];
	int64_t length = w->until - message_at(c, w->message);

	s->waited++;
	s->total += length;
	if (length > s->longest)
		s->longest = length;
	s->causes[w->cause]++;
	c->out->causes[w->cause]++;
	if (w->is_lost)
		c->out->never++;
}

/* A message waited as long as that of its recipients that waited longest. */
static void
count_waits(struct counting *c)
{
	const struct replay_result *r = c->result;
	int64_t *waits = xcalloc(r->wait_count + 1, sizeof(*waits));
	int64_t *messages = xcalloc(r->wait_count + 1, sizeof(*messages));
	size_t n = 0, message_n = 0;
	uint32_t last = UINT32_MAX;

	for (size_t i = 0; i < r->wait_count; i++) {
		const struct replay_wait *w = &r->waits[i];

		if (!counts(c, w->message))
			continue;
		count_wait(c, w);
		waits[n] = w->until - message_at(c, w->message);
		if (w->message != last)
			messages[message_n++] = waits[n];
		else if (waits[n] > messages[message_n - 1])
			messages[message_n - 1] = waits[n];
		last = w->message;
		n++;
	}
	report_spread(waits, n, &c->out->waited);
	report_spread(messages, message_n, &c->out->messages_waited);
	free(waits);
	free(messages);
}

static void
count_freezes(struct counting *c)
{
	for (size_t i = 0; i < c->result->freeze_count; i++) {
		const struct replay_freeze *f = &c->result->freezes[i];

		if (!counts_at(c, f->sender, f->at))
			continue;
		c->out->freezes++;
		if (c->senders[f->sender].freezes++ == 0)
			c->out->frozen_users++;
	}
}

/* The longest first; alike, the smaller id. */
static void
place(struct report_figures *out, const struct report_sender *s)
{
	size_t i = out->top_count;

	if (s->waited == 0)
		return;
	while (i > 0 && out->top[i - 1].total < s->total) {
		if (i < REPORT_TOP)
			out->top[i] = out->top[i - 1];
		i--;
	}
	if (i == REPORT_TOP)
		return;
	out->top[i] = *s;
	if (out->top_count < REPORT_TOP)
		out->top_count++;
}

static void
count_users(struct counting *c)
{
	for (uint32_t id = 0; id <= c->trace->id_max; id++) {
		struct report_sender *s = &c->senders[id];

		if (s->messages == 0)
			continue;
		s->id = id;
		c->out->users++;
		if (s->waited == 0 && s->freezes == 0)
			c->out->unnoticed++;
		place(c->out, s);
	}
}

static void
count(struct counting *c)
{
	*c->out = (struct report_figures){0};
	c->senders = xcalloc(c->trace->id_max + 1, sizeof(*c->senders));
	count_messages(c);
	count_waits(c);
	count_freezes(c);
	count_users(c);
	free(c->senders);
}

static uint64_t
count_unlisted(const struct trace *t, const struct trace_nodes *nodes)
{
	bool *seen = xcalloc(t->id_max + 1, sizeof(*seen));
	uint64_t n = 0;

	for (uint32_t i = 0; i < t->message_count; i++)
		seen[t->messages[i].sender] = true;
	for (uint32_t i = 0; i < t->recipient_count; i++)
		seen[t->recipients[i]] = true;
	for (uint32_t id = 0; id <= t->id_max; id++)
		n += seen[id] && !trace_node(nodes, id).is_listed;
	free(seen);
	return n;
}

void
report_make(struct report *out, const struct trace *trace,
    const struct trace_nodes *nodes, const struct replay_result *result)
{
	uint32_t last = trace->message_count - 1;

	out->messages = trace->message_count;
	out->recipients = trace->recipient_count;
	out->days =
	    (trace->messages[last].seconds - trace->messages[0].seconds) /
	    DAY_S;
	out->senders = 0;
	for (uint32_t id = 0; id <= trace->id_max; id++)
		out->senders += result->first[id] >= 0;
	out->unlisted = count_unlisted(trace, nodes);
	out->result = result;
	out->nodes = nodes;
	for (int column = 0; column < REPORT_COLUMNS; column++) {
		struct counting c = {
		    .trace = trace,
		    .nodes = nodes,
		    .result = result,
		    .column = (enum report_column)column,
		    .out = &out->figures[column],
		};

		count(&c);
	}
}
