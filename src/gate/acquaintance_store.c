/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows of the spool, read when a source is asked about and written behind. A
 * write goes out in batches, each a commit; a source stays in memory until its
 * write is durable, and is written again when that failed or when it changed
 * meanwhile.
 *
 * A read that fails leaves the source unread: it is tried again, what was
 * learnt meanwhile waits in memory, and nothing is written over the row. A row
 * that is damaged is replaced with the next write.
 */
#include "gate/acquaintances_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_MS 1000
#define RETRY_MOST_MS 60000
#define BATCH_ROWS 64
#define BATCH_BYTES (256 << 10)

static int64_t
next_delay(int64_t delay)
{
	if (delay == 0)
		return RETRY_FIRST_MS;
	return delay * 2 < RETRY_MOST_MS ? delay * 2 : RETRY_MOST_MS;
}

static void
told_earlier(struct acquaintances *a)
{
	if (a->settings.on_due != NULL)
		a->settings.on_due(a->settings.arg);
}

/* ---- reading ---- */

static void
tell_row(const struct acquaintance_source *s, enum log_event_id event,
    const char *why)
{
	log_write(
	    s->a->log, event, KV(sender, acquaintance_key(s)), KV(reason, why));
}

static void
load(struct acquaintance_source *s, struct str state)
{
	struct acquaintances *a = s->a;
	struct acquaintance_row row = {.today = acquaintance_day(a->wall)};
	const char *wrong =
	    acquaintance_set_load(&s->set, &row, state.p, state.n);

	s->is_stored = true;
	if (wrong != NULL) {
		a->stats.damaged++;
		tell_row(s, LOG_EV_GATE_BAD_ACQUAINTANCES, wrong);
		acquaintance_touch(s);
		return;
	}
	s->rate_at = a->now + (int64_t)row.rate_in;
	if (row.is_ahead)
		tell_row(s, LOG_EV_GATE_ACQUAINTANCES_AHEAD,
		    "saved on a day that is still to come; taken as of today");
}

static void
put_off(struct acquaintance_source *s, int error)
{
	struct acquaintances *a = s->a;
	bool was_told = s->delay != 0;

	a->stats.read_errors++;
	s->state = ACQUAINTANCE_UNREAD;
	s->delay = next_delay(s->delay);
	s->retry_at = a->now + s->delay;
	if (!was_told)
		tell_row(s, LOG_EV_GATE_ACQUAINTANCES_UNREAD, strerror(error));
	if (s->retry_at < a->retry_due) {
		a->retry_due = s->retry_at;
		told_earlier(a);
	}
}

static void
on_read(void *arg, int error, struct str state)
{
	struct acquaintance_source *s = arg;

	s->is_reading = false;
	if (s->is_void) {
		s->is_void = false;
	} else if (error != 0) {
		put_off(s, error);
	} else {
		s->state = ACQUAINTANCE_READY;
		s->delay = 0;
		if (state.n > 0)
			load(s, state);
	}
	acquaintance_settle(s);
}

void
acquaintance_read(struct acquaintance_source *s)
{
	struct acquaintances *a = s->a;

	if (a->spool == NULL) {
		s->state = ACQUAINTANCE_READY;
		return;
	}
	a->stats.reads++;
	s->state = ACQUAINTANCE_READING;
	s->is_reading = true;
	spool_read_acquaintances(a->spool, s->key, on_read, s);
}

void
acquaintance_read_again(struct acquaintances *a)
{
	struct list *e;

	a->retry_due = INT64_MAX;
	list_each (e, &a->order) {
		struct acquaintance_source *s =
		    LIST_ITEM(e, struct acquaintance_source, order);

		if (s->state != ACQUAINTANCE_UNREAD)
			continue;
		if (s->retry_at <= a->now)
			acquaintance_read(s);
		else if (s->retry_at < a->retry_due)
			a->retry_due = s->retry_at;
	}
}

/* ---- writing ---- */

struct batch {
	struct list entry;
	struct acquaintances *a;
	uint32_t n;
	size_t bytes;
	struct acquaintance_source *sources[BATCH_ROWS];
	struct spool_acquaintances rows[BATCH_ROWS];
};

static void
on_written(void *arg, int error)
{
	struct batch *b = arg;
	struct acquaintances *a = b->a;

	for (uint32_t i = 0; i < b->n; i++) {
		b->sources[i]->writes--;
		if (error != 0)
			acquaintance_touch(b->sources[i]);
	}
	if (error == 0) {
		a->write_delay = 0;
	} else {
		if (a->write_delay == 0)
			log_write(a->log, LOG_EV_GATE_ACQUAINTANCES_UNSAVED,
			    KV(unsaved, a->dirty_n),
			    KV(error, strerror(error)));
		a->write_delay = next_delay(a->write_delay);
		a->write_due = a->now + a->write_delay;
		told_earlier(a);
	}
	list_remove(&b->entry);
	free(b);
	acquaintance_evict(a);
}

/* What the source wrote to so long ago is of no use to it. */
static void
expire(struct acquaintance_source *s)
{
	int64_t days = s->a->settings.keep_ms / ACQUAINTANCE_DAY_MS;
	uint32_t today = acquaintance_day(s->a->wall);

	if (days > 0 && days < today)
		acquaintance_set_expire(
		    &s->set, UINT_MAX, today - (uint32_t)days);
}

static void
note_row(struct acquaintance_source *s)
{
	struct acquaintances *a = s->a;
	bool is_stored = s->set.n > 0;

	if (is_stored && !s->is_stored)
		a->rows++;
	else if (!is_stored && s->is_stored && a->rows > 0)
		a->rows--;
	s->is_stored = is_stored;
}

static void
add_row(struct batch *b, struct acquaintance_source *s)
{
	struct acquaintances *a = s->a;
	struct acquaintance_row row = {.today = acquaintance_day(a->wall)};
	struct spool_acquaintances *out = &b->rows[b->n];
	void *state;

	expire(s);
	note_row(s);
	row.rate_in = s->rate_at > a->now ? (uint64_t)(s->rate_at - a->now) : 0;
	out->key = s->key;
	out->size = acquaintance_set_save(&s->set, &row, NULL, 0);
	state = xmalloc(out->size + 1);
	acquaintance_set_save(&s->set, &row, state, out->size);
	out->state = state;
	s->writes++;
	b->sources[b->n++] = s;
	b->bytes += out->size;
}

static size_t
write_batch(struct acquaintances *a, size_t max)
{
	struct batch *b = xcalloc(1, sizeof(*b));
	size_t n;

	b->a = a;
	list_append(&a->batches, &b->entry);
	while (b->n < BATCH_ROWS && b->n < max && b->bytes < BATCH_BYTES &&
	       !list_is_empty(&a->dirty)) {
		struct acquaintance_source *s =
		    LIST_ITEM(a->dirty.next, struct acquaintance_source, dirty);

		list_remove(&s->dirty);
		a->dirty_n--;
		add_row(b, s);
	}
	n = b->n;
	spool_save_acquaintances(a->spool, b->rows, n, a->wall, on_written, b);
	for (uint32_t i = 0; i < n; i++)
		free((void *)(uintptr_t)b->rows[i].state);
	return n;
}

void
acquaintance_write_some(struct acquaintances *a, size_t max)
{
	while (max > 0 && !list_is_empty(&a->dirty))
		max -= write_batch(a, max);
	a->write_due = list_is_empty(&a->dirty) ? INT64_MAX : a->now;
}

void
acquaintance_clear_writes(struct acquaintances *a)
{
	while (!list_is_empty(&a->batches)) {
		struct batch *b =
		    LIST_ITEM(a->batches.next, struct batch, entry);

		list_remove(&b->entry);
		free(b);
	}
}
