/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sources in memory, in the order of their last use. What may be dropped is
 * saved, is not being read, and nobody waits for it; a source that is known to
 * have no row is remembered like the others, so that a stranger's next message
 * costs no look at the disk.
 */
#include "gate/acquaintances_internal.h"

#include "throttle/mem.h"

#include <stdlib.h>
#include <string.h>

#define SAVE_EVERY_MS 20000
#define WRITES_PER_RUN 256
#define FULL_TOLD_EVERY_MS 60000
#define SWEEP_REST_MS 3600000 /* between two rounds */
#define LONG_AGO (INT64_MIN / 2)
#define PENDING_MAX ACQUAINTANCES_MAX
/* Of the map for each source: its entry, slots, and what malloc takes. */
#define MAP_BYTES 112

struct acquaintances *
acquaintances_new(const struct acquaintances_settings *settings,
    struct spool *spool, struct counters *counters, struct log *log)
{
	struct acquaintances *a = xcalloc(1, sizeof(*a));

	a->settings = *settings;
	a->spool = spool;
	a->counters = counters;
	a->log = log;
	a->sources = map_new();
	list_init(&a->order);
	list_init(&a->dirty);
	list_init(&a->batches);
	a->now = a->told_at = LONG_AGO;
	a->sweep_due = LONG_AGO;
	a->write_due = a->retry_due = INT64_MAX;
	return a;
}

static void
free_source(void *value)
{
	struct acquaintance_source *s = value;

	acquaintance_set_clear(&s->set);
	free(s->recents);
	free(s->pending);
	free(s);
}

void
acquaintances_free(struct acquaintances *a)
{
	if (a == NULL)
		return;
	acquaintance_clear_writes(a);
	map_free(a->sources, free_source);
	free(a);
}

void
acquaintances_reload(
    struct acquaintances *a, const struct acquaintances_settings *settings)
{
	a->settings = *settings;
	acquaintance_evict(a);
}

void
acquaintances_stats(
    const struct acquaintances *a, struct acquaintances_stats *out)
{
	*out = a->stats;
	out->sources = map_count(a->sources);
	out->bytes = a->bytes;
	out->dirty = a->dirty_n;
	out->rows = a->rows;
	out->is_failing = a->write_delay != 0;
}

void
acquaintance_note_time(struct acquaintances *a, int64_t now, int64_t wall)
{
	if (now > a->now)
		a->now = now;
	a->wall = wall;
}

/* ---- sources ---- */

struct str
acquaintance_key(const struct acquaintance_source *s)
{
	return (struct str){s->key, s->key_n};
}

static size_t
array_bytes(uint32_t cap, size_t each)
{
	return cap == 0 ? 0 : mem_taken(cap * each);
}

void
acquaintance_measure(struct acquaintance_source *s)
{
	size_t bytes = mem_taken(sizeof(*s) + s->key_n + 1) +
		       mem_taken(s->key_n) + MAP_BYTES;

	bytes += array_bytes(s->set.cap, sizeof(*s->set.v));
	bytes += array_bytes(s->recent_cap, sizeof(*s->recents));
	bytes += array_bytes(s->pending_cap, sizeof(*s->pending));
	s->a->bytes += bytes - s->bytes;
	s->bytes = bytes;
}

static bool
may_go(const struct acquaintance_source *s)
{
	return s->pending_n == 0 && s->writes == 0 && s->pins == 0 &&
	       !s->is_reading && list_is_empty(&s->dirty) &&
	       list_is_empty(&s->questions) && s->a->spool != NULL;
}

static void
drop(struct acquaintance_source *s)
{
	s->a->bytes -= s->bytes;
	list_remove(&s->order);
	map_remove(s->a->sources, acquaintance_key(s));
	free_source(s);
}

void
acquaintance_evict(struct acquaintances *a)
{
	struct list *e, *tmp;

	if (a->bytes <= a->settings.bytes_max)
		return;
	list_each_safe (e, tmp, &a->order) {
		struct acquaintance_source *s =
		    LIST_ITEM(e, struct acquaintance_source, order);

		if (a->bytes <= a->settings.bytes_max)
			return;
		if (may_go(s))
			drop(s);
	}
}

static void
tell_full(struct acquaintances *a, const char *why)
{
	a->stats.dropped++;
	if (a->now - a->told_at < FULL_TOLD_EVERY_MS)
		return;
	a->told_at = a->now;
	log_write(a->log, LOG_EV_GATE_ACQUAINTANCES_FULL,
	    KV(senders, map_count(a->sources)), KV(size_bytes, a->bytes),
	    KV(unsaved, a->dirty_n), KV(rows, a->rows), KV(reason, why));
}

bool
acquaintance_may_begin(struct acquaintance_source *s)
{
	struct acquaintances *a = s->a;

	if (s->set.n > 0 || s->is_stored || a->spool == NULL ||
	    a->rows < a->settings.rows_max)
		return true;
	tell_full(a, "no more senders without a row learn from incoming mail");
	return false;
}

bool
acquaintance_has_room(struct acquaintances *a)
{
	acquaintance_evict(a);
	if (a->bytes <= a->settings.bytes_max)
		return true;
	tell_full(a, "acquaintances_memory is full of unwritten data, no new "
		     "recipients are remembered");
	return false;
}

static struct acquaintance_source *
add_source(struct acquaintances *a, struct str key)
{
	struct acquaintance_source *s = xcalloc(1, sizeof(*s) + key.n + 1);

	s->a = a;
	s->rate_at = LONG_AGO;
	s->key_n = key.n;
	memcpy(s->key, key.p, key.n);
	list_init(&s->dirty);
	list_init(&s->questions);
	list_append(&a->order, &s->order);
	map_set(a->sources, key, s);
	acquaintance_measure(s);
	return s;
}

/* It is in use; read, if it has to be. */
static struct acquaintance_source *
use(struct acquaintances *a, struct str key)
{
	struct acquaintance_source *s = map_find(a->sources, key);

	if (s == NULL) {
		s = add_source(a, key);
		acquaintance_read(s);
	}
	list_remove(&s->order);
	list_append(&a->order, &s->order);
	return s;
}

void
acquaintance_touch(struct acquaintance_source *s)
{
	struct acquaintances *a = s->a;

	if (!list_is_empty(&s->dirty) || a->spool == NULL)
		return;
	list_append(&a->dirty, &s->dirty);
	a->dirty_n++;
	if (a->write_due != INT64_MAX)
		return;
	a->write_due = a->now + SAVE_EVERY_MS;
	if (a->settings.on_due != NULL)
		a->settings.on_due(a->settings.arg);
}

/* ---- questions ---- */

static bool
is_within(const struct acquaintance *found, int64_t wall, int64_t for_ms)
{
	return for_ms > 0 &&
	       found->day >= acquaintance_since(acquaintance_day(wall), for_ms);
}

/* Adds to q->found what is remembered. */
static void
find(const struct acquaintance_source *s, struct acquaintance_question *q,
    uint64_t destination)
{
	struct acquaintance found;

	if (!acquaintance_set_find(&s->set, destination, &found))
		return;
	if (!is_within(&found, q->wall, q->familiar_for_ms))
		found.why &= ACQUAINTANCE_MET;
	if (!is_within(&found, q->wall, q->met_for_ms))
		found.why &= ~ACQUAINTANCE_MET;
	q->found.why |= found.why;
	if (found.why != 0 && found.day > q->found.day)
		q->found.day = found.day;
}

static enum acquaintance_answer
look(const struct acquaintance_source *s, struct acquaintance_question *q)
{
	if (s->state != ACQUAINTANCE_READY)
		return ACQUAINTANCE_ERROR;
	q->found = (struct acquaintance){0};
	find(s, q, q->destination);
	if (q->site != 0)
		find(s, q, q->site);
	return q->found.why != 0 ? ACQUAINTANCE_KNOWN : ACQUAINTANCE_UNKNOWN;
}

void
acquaintances_want(
    struct acquaintances *a, struct str source, int64_t now, int64_t wall)
{
	acquaintance_note_time(a, now, wall);
	use(a, source);
	acquaintance_evict(a);
}

enum acquaintance_answer
acquaintances_ask(
    struct acquaintances *a, struct str source, struct acquaintance_question *q)
{
	struct acquaintance_source *s = use(a, source);
	enum acquaintance_answer answer = ACQUAINTANCE_LATER;

	a->wall = q->wall;
	if (s->state == ACQUAINTANCE_READING) {
		list_append(&s->questions, &q->entry);
		q->is_open = true;
	} else {
		answer = look(s, q);
	}
	acquaintance_evict(a);
	return answer;
}

void
acquaintances_unask(struct acquaintance_question *q)
{
	if (!q->is_open)
		return;
	list_remove(&q->entry);
	q->is_open = false;
}

static void
answer_all(struct acquaintance_source *s)
{
	while (!list_is_empty(&s->questions)) {
		struct acquaintance_question *q = LIST_ITEM(
		    s->questions.next, struct acquaintance_question, entry);

		acquaintances_unask(q);
		q->fn(q, look(s, q));
	}
}

static void
drop_pending(struct acquaintance_source *s)
{
	for (uint32_t i = 0; i < s->pending_n; i++)
		s->a->waiting -= !s->pending[i].is_observation;
	free(s->pending);
	s->pending = NULL;
	s->pending_n = s->pending_cap = 0;
}

void
acquaintance_settle(struct acquaintance_source *s)
{
	struct acquaintances *a = s->a;

	if (s->state == ACQUAINTANCE_READY) {
		for (uint32_t i = 0; i < s->pending_n; i++)
			acquaintance_note(s, &s->pending[i]);
		drop_pending(s);
	}
	acquaintance_measure(s);
	s->pins++;
	answer_all(s);
	s->pins--;
	acquaintance_evict(a);
}

/* ---- what is learnt ---- */

void
acquaintance_note(
    struct acquaintance_source *s, const struct acquaintance_pending *p)
{
	struct acquaintance add = {p->observation.why, p->day};

	if (p->is_observation) {
		acquaintance_take_observation(s, &p->observation, p->day);
		return;
	}
	if (acquaintance_set_put(&s->set, p->observation.destination, add) ==
	    ACQUAINTANCE_SAME)
		return;
	acquaintance_touch(s);
	if (p->site != 0 && s->a->settings.on_new != NULL)
		s->a->settings.on_new(
		    s->a->settings.arg, s->key, p->site, add.why, add.day);
}

static bool
wait_for_row(
    struct acquaintance_source *s, const struct acquaintance_pending *p)
{
	if (s->pending_n == PENDING_MAX) {
		s->a->stats.dropped++;
		return false;
	}
	if (s->pending_n == s->pending_cap) {
		s->pending_cap = s->pending_cap > 0 ? s->pending_cap * 2 : 4;
		s->pending =
		    xrealloc(s->pending, s->pending_cap * sizeof(*s->pending));
	}
	s->pending[s->pending_n++] = *p;
	s->a->waiting += !p->is_observation;
	return true;
}

static bool
take(struct acquaintances *a, struct str key,
    const struct acquaintance_pending *p)
{
	struct acquaintance_source *s;
	bool is_taken = true;

	if (!acquaintance_has_room(a))
		return false;
	s = use(a, key);
	if (s->state == ACQUAINTANCE_READY)
		acquaintance_note(s, p);
	else
		is_taken = wait_for_row(s, p);
	acquaintance_measure(s);
	acquaintance_evict(a);
	return is_taken;
}

bool
acquaintances_add(struct acquaintances *a, struct str source,
    uint64_t destination, unsigned why, int64_t last)
{
	return acquaintances_add_shared(a, source, destination, 0, why, last);
}

bool
acquaintances_add_shared(struct acquaintances *a, struct str source,
    uint64_t destination, uint64_t site, unsigned why, int64_t last)
{
	struct acquaintance_pending p = {
	    .observation = {.destination = destination, .why = why},
	    .site = site,
	    .day = acquaintance_day(last)};

	if (last > a->wall)
		a->wall = last;
	return take(a, source, &p);
}

void
acquaintances_learn(struct acquaintances *a, struct str source,
    const struct acquaintance_observation *observation, int64_t now,
    int64_t wall)
{
	acquaintances_learn_of(
	    a, source, observation, acquaintance_day(wall), now, wall);
}

void
acquaintances_learn_of(struct acquaintances *a, struct str source,
    const struct acquaintance_observation *observation, uint32_t day,
    int64_t now, int64_t wall)
{
	struct acquaintance_pending p = {
	    .observation = *observation, .is_observation = true, .day = day};

	acquaintance_note_time(a, now, wall);
	if (!take(a, source, &p))
		counters_add(a->counters, COUNT_INBOUND_REFUSED, 1);
}

/* ---- the administrator ---- */

bool
acquaintances_tally(const struct acquaintances *a, struct str source,
    int64_t met_for_ms, int64_t wall, struct acquaintance_tally *out)
{
	const struct acquaintance_source *s = map_find(a->sources, source);

	*out = (struct acquaintance_tally){0};
	if (s == NULL || s->state != ACQUAINTANCE_READY)
		return false;
	acquaintance_set_tally(&s->set, out->why);
	out->total = s->set.n;
	out->met = acquaintance_set_count(&s->set, ACQUAINTANCE_MET, 0);
	if (met_for_ms > 0)
		out->met_now = acquaintance_set_count(&s->set, ACQUAINTANCE_MET,
		    acquaintance_since(acquaintance_day(wall), met_for_ms));
	return true;
}

void
acquaintances_forget(struct acquaintances *a, struct str source, int64_t wall)
{
	struct acquaintance_source *s = map_find(a->sources, source);

	a->wall = wall;
	if (s == NULL)
		s = add_source(a, source);
	s->is_void = s->is_reading;
	s->state = ACQUAINTANCE_READY;
	s->is_stored = true;
	acquaintance_set_clear(&s->set);
	drop_pending(s);
	acquaintance_touch(s);
	acquaintance_settle(s);
}

/* ---- the loop ---- */

int
acquaintances_begin(struct acquaintances *a, int64_t now, int64_t wall)
{
	/* The rate of a row that is read counts from here. */
	acquaintance_note_time(a, now, wall);
	if (a->spool == NULL)
		return 0;
	return spool_count_acquaintances(a->spool, &a->rows);
}

int64_t
acquaintances_next_due(const struct acquaintances *a)
{
	return a->write_due < a->retry_due ? a->write_due : a->retry_due;
}

void
acquaintances_run(struct acquaintances *a, int64_t now, int64_t wall)
{
	acquaintance_note_time(a, now, wall);
	if (a->write_due <= now)
		acquaintance_write_some(a, WRITES_PER_RUN);
	if (a->retry_due <= now)
		acquaintance_read_again(a);
}

static void
on_swept(void *arg, int error)
{
	struct acquaintances *a = arg;

	(void)error; /* the next one comes by here again */
	a->rows -= a->swept < a->rows ? a->swept : a->rows;
	a->is_sweeping = false;
	if (a->sweep_pos == 0)
		a->sweep_due = a->now + SWEEP_REST_MS;
}

/* A day is in a row only when mail moved it there, a week later at most. */
void
acquaintances_sweep(struct acquaintances *a, int64_t now, int64_t wall)
{
	int64_t keep =
	    a->settings.keep_ms + (ACQUAINTANCE_LAG + 1) * ACQUAINTANCE_DAY_MS;

	acquaintance_note_time(a, now, wall);
	if (a->spool == NULL || a->settings.keep_ms == 0 || a->is_sweeping ||
	    now < a->sweep_due)
		return;
	a->is_sweeping = true;
	a->swept = 0;
	spool_sweep_acquaintances(
	    a->spool, &a->sweep_pos, &a->swept, wall - keep, on_swept, a);
}

bool
acquaintances_save(struct acquaintances *a, int64_t wall)
{
	a->wall = wall;
	acquaintance_write_some(a, SIZE_MAX);
	return a->waiting == 0;
}
