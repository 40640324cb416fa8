/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One round at a time, in which everything is done that is due: what was thawed
 * is released or deleted, then what the spool has noted is put on hold, then
 * what a freeze finds is noted, which makes it the next to be put on hold. One
 * command at a time; each may run twice, since postsuper says 0 for what it
 * does not find.
 *
 * What the listing shows on hold before weir has noted it was put there by
 * somebody else, and is left alone. What was noted and is on hold is ours: a
 * crash came between the command and its record. Whoever puts one on hold in
 * just that moment cannot be told from weir.
 *
 * A listing is no snapshot: what changes queues meanwhile may be missed, and
 * the mail server may still be writing what it has just taken. So a freeze
 * looks twice, and only the second look forgets what is not there.
 *
 * A command that fails is tried again with growing pauses, in smaller batches,
 * going on behind those that failed, so that one that spoils a batch does not
 * keep the others.
 */
#include "delivery/mta_hold.h"

#include "base/hash.h"
#include "base/list.h"
#include "delivery/mta_run.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

#define REST_MIN_MS 250
#define REST_MAX_MS 600000
#define SPOOL_REST_MS 1000
#define LISTING_MS 30000 /* so long one is believed */
#define FREEZES_MAX 10000

struct freeze { /* to be looked for */
	struct list entry;
	int64_t due;
	bool is_last;
	char source[];
};

struct task { /* by enum spool_mta_task */
	int64_t rest_until;
	unsigned failures; /* in a row */
	size_t batch_max;
	uint64_t after; /* the row that its next batch begins behind */
};

struct mta_hold {
	struct loop *loop;
	struct spool *spool;
	struct let_go *let_go;
	struct events *events; /* or NULL */
	struct counters *counters;
	struct log *log;
	struct mta_command queue;
	struct mta_command commands[SPOOL_MTA_TASKS];
	int64_t settle_ms, timeout_ms;

	struct task tasks[SPOOL_MTA_TASKS];
	struct list freezes;
	size_t freeze_count;
	bool busy, kicked;
	bool is_changed; /* the commands, since a batch was asked for */
	struct loop_timer wake;
	bool is_counted; /* how many rows the spool has: */
	uint64_t total;

	/* The round. */
	enum spool_mta_task task;
	struct command *run;
	struct mta_listing listing;
	bool is_listed;
	int64_t listed_at;                        /* when it was begun */
	struct spool_mta_held batch[MTA_RUN_MAX]; /* sources on the heap */
	size_t n;
	bool done[MTA_RUN_MAX]; /* needs no command */
	struct spool_mta_result results[MTA_RUN_MAX];
	size_t result_count;
	/* What is being noted, and for whom. */
	struct freeze *freeze;
	struct let_go_id found[LET_GO_SOURCE_MAX];
	size_t found_count;
};

static const char *const command_names[SPOOL_MTA_TASKS] = {
    [SPOOL_MTA_HOLD] = "mta_hold_command",
    [SPOOL_MTA_RELEASE] = "release_command",
    [SPOOL_MTA_DISCARD] = "discard_command",
};

static void go_on(struct mta_hold *h);
static void list_task(struct mta_hold *h);

static bool
is_on(const struct mta_hold *h)
{
	return h->commands[SPOOL_MTA_HOLD].text != NULL &&
	       h->queue.text != NULL;
}

static bool
can_do(const struct mta_hold *h, enum spool_mta_task task)
{
	return task == SPOOL_MTA_HOLD ? is_on(h)
				      : h->commands[task].text != NULL;
}

static void
note_total(struct mta_hold *h, const struct spool_mta_answer *answer)
{
	h->total = answer->total;
	h->is_counted = true;
	counters_set(h->counters, COUNT_MTA_HELD, h->total);
}

static void
rest(struct mta_hold *h, enum spool_mta_task task)
{
	struct task *t = &h->tasks[task];
	int64_t pause = REST_MIN_MS;

	for (unsigned i = 0; i < t->failures && pause < REST_MAX_MS; i++)
		pause *= 2;
	t->failures++;
	t->rest_until =
	    loop_now(h->loop) + (pause < REST_MAX_MS ? pause : REST_MAX_MS);
}

static void
log_end(const struct mta_hold *h, const char *what, size_t messages,
    const struct command_end *end)
{
	bool failed = end->status != 0 || end->timed_out;
	char text[256];

	log_write(h->log, failed ? LOG_EV_MTA_HOLD_FAILED : LOG_EV_MTA_HOLD_RUN,
	    KV(command, what), KV(messages, messages), KV(status, end->status),
	    KV(timed_out, end->timed_out), KV(output, end->said));
	if (!failed)
		return;
	counters_add(h->counters, COUNT_MTA_HOLD_FAILURES, 1);
	if (h->events == NULL)
		return;
	str_escape(str_from(end->said), text, sizeof(text));
	events_add_option(h->events, clock_wall_ms(), EVENT_COMMAND, what, what,
	    "", "%s %d%s%s", end->timed_out ? "timed out, status" : "status",
	    end->status, text[0] != '\0' ? ": " : "", text);
}

/* ---- the end of a round ---- */

static void
drop_listing(struct mta_hold *h)
{
	mta_listing_clear(&h->listing);
	h->is_listed = false;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
next_due(const struct mta_hold *h)
{
	int64_t due = INT64_MAX, now = loop_now(h->loop), at;
	const struct list *e;

	for (int i = 0; h->total > 0 && i < SPOOL_MTA_TASKS; i++) {
		at = h->tasks[i].rest_until;
		if (at > now)
			due = earlier(due, at);
	}
	if (!is_on(h))
		return due;
	list_each (e, &h->freezes) {
		at = LIST_ITEM(e, struct freeze, entry)->due;
		if (at < h->tasks[SPOOL_MTA_HOLD].rest_until)
			at = h->tasks[SPOOL_MTA_HOLD].rest_until;
		due = earlier(due, at);
	}
	return due;
}

static void
end_round(struct mta_hold *h)
{
	drop_listing(h);
	h->busy = false;
	if (h->kicked)
		mta_hold_kick(h, loop_now(h->loop));
	else
		loop_timer_set(&h->wake, next_due(h));
}

/* The spool said no: all waits for it. */
static void
on_spool_error(struct mta_hold *h)
{
	counters_add(h->counters, COUNT_SPOOL_ERRORS, 1);
	drop_listing(h);
	h->busy = h->kicked = false;
	loop_timer_set(&h->wake, loop_now(h->loop) + SPOOL_REST_MS);
}

/* ---- a batch ---- */

static void
clear_batch(struct mta_hold *h)
{
	for (size_t i = 0; i < h->n; i++)
		free((char *)h->batch[i].source);
	h->n = 0;
}

static void
on_finished(void *arg, int error, const struct spool_mta_answer *answer)
{
	struct mta_hold *h = arg;

	clear_batch(h);
	if (error != 0) {
		on_spool_error(h);
		return;
	}
	note_total(h, answer);
	go_on(h);
}

static void
finish(struct mta_hold *h)
{
	if (h->result_count == 0) {
		clear_batch(h);
		go_on(h);
		return;
	}
	spool_mta_finish(h->spool, h->results, h->result_count, on_finished, h);
}

static void
set_result(struct mta_hold *h, size_t i, bool is_held, const char *result)
{
	const struct spool_mta_held *m = &h->batch[i];

	h->done[i] = true;
	h->results[h->result_count++] =
	    (struct spool_mta_result){m->row, is_held};
	log_write(h->log, LOG_EV_MTA_HOLD_MESSAGE, KV(mta_id, m->mta_id),
	    KV(sender, m->source), KV(result, result));
}

static void
set_done(struct mta_hold *h, size_t i)
{
	const struct spool_mta_held *m = &h->batch[i];

	switch (h->task) {
	case SPOOL_MTA_HOLD:
		counters_add(h->counters, COUNT_MTA_HOLDS, 1);
		set_result(h, i, true, "held");
		break;
	case SPOOL_MTA_RELEASE: /* for the next freeze */
		let_go_note(h->let_go, m->source, str_from(m->mta_id),
		    loop_now(h->loop));
		set_result(h, i, false, "released");
		break;
	case SPOOL_MTA_DISCARD:
		set_result(h, i, false, "discarded");
		break;
	case SPOOL_MTA_TASKS:
		panic("mta_hold: no such task");
	}
}

static void
on_run_end(void *arg, const struct command_end *end)
{
	struct mta_hold *h = arg;
	struct task *t = &h->tasks[h->task];
	size_t tried = 0;

	h->run = NULL;
	for (size_t i = 0; i < h->n; i++)
		tried += !h->done[i];
	log_end(h, command_names[h->task], tried, end);
	if (end->status != 0 || end->timed_out) {
		rest(h, h->task);
		t->batch_max = tried > 1 ? tried / 2 : 1;
		t->after = h->batch[h->n - 1].row;
	} else {
		t->failures = 0;
		t->batch_max *= 2;
		if (t->batch_max > MTA_RUN_MAX)
			t->batch_max = MTA_RUN_MAX;
		for (size_t i = 0; i < h->n; i++) {
			if (!h->done[i])
				set_done(h, i);
		}
	}
	finish(h);
}

static void
run_batch(struct mta_hold *h)
{
	const char *ids[MTA_RUN_MAX];
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++) {
		if (!h->done[i])
			ids[n++] = h->batch[i].mta_id;
	}
	if (n == 0) {
		finish(h);
		return;
	}
	h->run = mta_run_start(
	    h->loop, &(struct mta_run){.command = &h->commands[h->task],
			 .ids = ids,
			 .n = n,
			 .timeout_ms = h->timeout_ms,
			 .on_end = on_run_end,
			 .arg = h});
}

/* What the database was made to hold: no command sees it. */
static void
drop_invalid(struct mta_hold *h)
{
	for (size_t i = 0; i < h->n; i++) {
		if (!mta_id_ok(str_from(h->batch[i].mta_id)))
			set_result(h, i, false, "damaged");
	}
}

static void
hold_batch(struct mta_hold *h)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct spool_mta_held *m = &h->batch[i];

		if (h->done[i] || mta_listing_waits(&h->listing, m->mta_id))
			continue;
		if (mta_listing_has(&h->listing, m->mta_id)) {
			set_done(h, i);
			continue;
		}
		/* The second look may find it. */
		let_go_note(h->let_go, m->source, str_from(m->mta_id),
		    loop_now(h->loop));
		set_result(h, i, false, "gone");
	}
	run_batch(h);
}

/* ---- the listing ---- */

static bool
is_fresh(const struct mta_hold *h, int64_t since)
{
	return h->is_listed && h->listed_at >= since &&
	       loop_now(h->loop) - h->listed_at < LISTING_MS;
}

static void
on_listing(void *arg, struct str piece)
{
	struct mta_hold *h = arg;

	mta_listing_feed(&h->listing, piece);
}

static void
on_listed(void *arg, const struct command_end *end)
{
	struct mta_hold *h = arg;

	h->run = NULL;
	if (!mta_listing_end(&h->listing) || end->status != 0 ||
	    end->timed_out) {
		log_end(h, "queue_command", 0, end);
		rest(h, SPOOL_MTA_HOLD);
		clear_batch(h);
		end_round(h);
		return;
	}
	h->is_listed = !h->is_changed;
	if (h->is_changed)
		clear_batch(h);
	if (h->n > 0)
		hold_batch(h);
	else
		go_on(h);
}

static void
run_listing(struct mta_hold *h)
{
	drop_listing(h);
	mta_listing_init(&h->listing, hash_random_seed());
	h->listing.wants_waiting = true;
	h->listed_at = loop_now(h->loop);
	h->run = mta_run_start(h->loop, &(struct mta_run){.command = &h->queue,
					    .timeout_ms = h->timeout_ms,
					    .on_output = on_listing,
					    .on_end = on_listed,
					    .arg = h});
}

/* ---- what a freeze finds ---- */

static void
freeze_free(struct mta_hold *h, struct freeze *f)
{
	list_remove(&f->entry);
	h->freeze_count--;
	free(f);
}

/* Looked for; unless it was frozen again since the listing was begun. */
static void
end_look(struct mta_hold *h, struct freeze *f)
{
	if (f->due > h->listed_at)
		return;
	if (f->is_last) {
		freeze_free(h, f);
		return;
	}
	f->is_last = true;
	f->due = h->listed_at + h->settle_ms + 1;
}

static void
on_noted(void *arg, int error, const struct spool_mta_answer *answer)
{
	struct mta_hold *h = arg;
	struct freeze *f = h->freeze;

	h->freeze = NULL;
	if (error != 0) {
		on_spool_error(h);
		return;
	}
	note_total(h, answer);
	for (size_t i = 0; i < answer->n; i++)
		let_go_forget(h->let_go, h->found[i].id);
	/* 0: it was thawed meanwhile. */
	if (answer->n < h->found_count)
		log_write(h->log, LOG_EV_MTA_HOLD_PASSED_OVER,
		    KV(sender, f->source),
		    KV(messages, h->found_count - answer->n));
	end_look(h, f);
	go_on(h);
}

/* Those that wait. The last look forgets what has left the mail server. */
static void
find(struct mta_hold *h, const struct freeze *f)
{
	size_t n = let_go_of(h->let_go, f->source, loop_now(h->loop), h->found);

	h->found_count = 0;
	for (size_t i = 0; i < n; i++) {
		struct let_go_id id = h->found[i];

		if (mta_listing_waits(&h->listing, id.id))
			h->found[h->found_count++] = id;
		else if (f->is_last && id.at < h->listed_at - h->settle_ms &&
			 !mta_listing_has(&h->listing, id.id))
			let_go_forget(h->let_go, id.id);
	}
}

static void
note_found(struct mta_hold *h, struct freeze *f)
{
	const char *ids[LET_GO_SOURCE_MAX];

	for (size_t i = 0; i < h->found_count; i++)
		ids[i] = h->found[i].id;
	h->freeze = f;
	spool_mta_put(h->spool, f->source, ids, h->found_count, on_noted, h);
}

/* False: nobody is due. */
static bool
look(struct mta_hold *h)
{
	int64_t now = loop_now(h->loop);
	struct list *e, *next;

	list_each_safe (e, next, &h->freezes) {
		struct freeze *f = LIST_ITEM(e, struct freeze, entry);

		if (f->due > now)
			continue;
		if (!is_fresh(h, f->due)) {
			run_listing(h);
			return true;
		}
		find(h, f);
		if (h->found_count > 0) {
			note_found(h, f);
			return true;
		}
		end_look(h, f);
	}
	return false;
}

/* ---- a round ---- */

static void
take_batch(struct mta_hold *h, const struct spool_mta_answer *answer)
{
	for (h->n = 0; h->n < answer->n; h->n++) {
		h->batch[h->n] = answer->v[h->n];
		h->batch[h->n].source = xstrdup(answer->v[h->n].source);
	}
	memset(h->done, 0, sizeof(h->done));
	h->result_count = 0;
}

static void
next_task(struct mta_hold *h)
{
	/* HOLD is the last: what was thawed is not kept waiting. */
	if (h->task == SPOOL_MTA_RELEASE)
		h->task = SPOOL_MTA_DISCARD;
	else if (h->task == SPOOL_MTA_DISCARD)
		h->task = SPOOL_MTA_HOLD;
	else
		h->task = SPOOL_MTA_TASKS;
	list_task(h);
}

static void
on_list(void *arg, int error, const struct spool_mta_answer *answer)
{
	struct mta_hold *h = arg;
	struct task *t = &h->tasks[h->task];

	if (error != 0) {
		on_spool_error(h);
		return;
	}
	note_total(h, answer);
	if (h->is_changed) {
		go_on(h);
	} else if (answer->n == 0 && t->after == 0) {
		next_task(h);
	} else if (answer->n == 0) {
		t->after = 0;
		list_task(h);
	} else {
		take_batch(h, answer);
		drop_invalid(h);
		if (h->task != SPOOL_MTA_HOLD)
			run_batch(h);
		else if (is_fresh(h, 0))
			hold_batch(h);
		else
			run_listing(h);
	}
}

static bool
is_task_due(const struct mta_hold *h)
{
	return can_do(h, h->task) &&
	       h->tasks[h->task].rest_until <= loop_now(h->loop) &&
	       (h->total > 0 || !h->is_counted);
}

static void
list_task(struct mta_hold *h)
{
	const struct task *t;

	while (h->task != SPOOL_MTA_TASKS && !is_task_due(h)) {
		h->task = h->task == SPOOL_MTA_RELEASE   ? SPOOL_MTA_DISCARD
			  : h->task == SPOOL_MTA_DISCARD ? SPOOL_MTA_HOLD
							 : SPOOL_MTA_TASKS;
	}
	if (h->task == SPOOL_MTA_TASKS) {
		if (!is_on(h) ||
		    h->tasks[SPOOL_MTA_HOLD].rest_until > loop_now(h->loop) ||
		    !look(h))
			end_round(h);
		return;
	}
	t = &h->tasks[h->task];
	spool_mta_list(h->spool, h->task, t->after,
	    h->commands[h->task].has_id ? 1 : t->batch_max, on_list, h);
}

static void
go_on(struct mta_hold *h)
{
	h->is_changed = false;
	h->task = SPOOL_MTA_RELEASE;
	list_task(h);
}

void
mta_hold_kick(struct mta_hold *h, int64_t now)
{
	(void)now;
	h->kicked = h->busy;
	if (h->busy)
		return;
	if (h->is_counted && h->total == 0 && list_is_empty(&h->freezes))
		return;
	h->busy = true;
	go_on(h);
}

static void
on_wake(void *arg, int64_t now)
{
	mta_hold_kick(arg, now);
}

static struct freeze *
freeze_find(struct mta_hold *h, const char *source)
{
	struct list *e;

	list_each (e, &h->freezes) {
		struct freeze *f = LIST_ITEM(e, struct freeze, entry);

		if (strcmp(f->source, source) == 0)
			return f;
	}
	return NULL;
}

void
mta_hold_freeze(struct mta_hold *h, const char *source, int64_t now)
{
	size_t n = strlen(source);
	struct freeze *f;

	if (!is_on(h))
		return;
	f = freeze_find(h, source);
	if (f == NULL) {
		if (h->freeze_count >= FREEZES_MAX)
			return;
		f = xcalloc(1, sizeof(*f) + n + 1);
		memcpy(f->source, source, n);
		list_append(&h->freezes, &f->entry);
		h->freeze_count++;
	}
	f->due = now;
	f->is_last = false;
	mta_hold_kick(h, now);
}

/* ---- life ---- */

static void
parse(struct mta_hold *h, struct mta_command *c, const char *text)
{
	char err[160];

	mta_command_clear(c);
	if (text != NULL && !mta_command_parse(text, c, err, sizeof(err)))
		log_write(
		    h->log, LOG_EV_MTA_HOLD_COMMAND_FAILED, KV(error, err));
}

static void
configure(struct mta_hold *h, const struct mta_settings *s)
{
	parse(h, &h->commands[SPOOL_MTA_HOLD], s->hold);
	parse(h, &h->commands[SPOOL_MTA_RELEASE], s->release);
	parse(h, &h->commands[SPOOL_MTA_DISCARD], s->discard);
	parse(h, &h->queue, s->queue);
	h->settle_ms = s->settle_ms;
	h->timeout_ms = s->timeout_ms;
	for (int i = 0; i < SPOOL_MTA_TASKS; i++)
		h->tasks[i] = (struct task){.batch_max = MTA_RUN_MAX};
	h->is_changed = true;
	let_go_set(h->let_go, is_on(h));
}

struct mta_hold *
mta_hold_new(struct loop *loop, struct spool *spool, struct let_go *let_go,
    const struct mta_settings *settings, struct events *events,
    struct counters *counters, struct log *log)
{
	struct mta_hold *h = xcalloc(1, sizeof(*h));

	h->loop = loop;
	h->spool = spool;
	h->let_go = let_go;
	h->events = events;
	h->counters = counters;
	h->log = log;
	list_init(&h->freezes);
	loop_timer_init(&h->wake, loop, on_wake, h);
	configure(h, settings);
	return h;
}

void
mta_hold_reload(struct mta_hold *h, const struct mta_settings *settings)
{
	configure(h, settings);
	mta_hold_kick(h, loop_now(h->loop));
}

void
mta_hold_free(struct mta_hold *h)
{
	if (h == NULL)
		return;
	command_free(h->run);
	loop_timer_clear(&h->wake);
	clear_batch(h);
	mta_listing_clear(&h->listing);
	while (!list_is_empty(&h->freezes))
		freeze_free(
		    h, LIST_ITEM(h->freezes.next, struct freeze, entry));
	for (int i = 0; i < SPOOL_MTA_TASKS; i++)
		mta_command_clear(&h->commands[i]);
	mta_command_clear(&h->queue);
	free(h);
}
