/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One claim at a time, one command at a time. A command that takes ids on its
 * standard input gets a whole claim, one with %i a message each.
 *
 * Exit status 0 means: none of these is held any more, also when it never was
 * (postsuper says 0 for what it does not find), so a crash between the command
 * and its record only makes it run twice. Anything else is tried again with
 * growing pauses, in smaller batches, and shows as last_error.
 */
#include "delivery/quarantine_private.h"

#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 600000
#define REST_MIN_MS 250
#define REST_MAX_MS 60000
#define FINISH_AGAIN_MS 1000
#define GATHER_MS 250  /* what is due soon after goes in the same run */
#define FAILURES_MAX 3 /* of %i in one claim; the rest is put back */

static void run_next(struct quarantine *q);

static int64_t
doubled(int64_t ms, unsigned times, int64_t max)
{
	while (times-- > 0 && ms < max)
		ms *= 2;
	return ms < max ? ms : max;
}

void
quarantine_log_end(const struct quarantine *q, const char *what,
    size_t messages, const struct command_end *end)
{
	bool failed = end->status != 0 || end->timed_out;
	char text[256];

	log_write(q->log,
	    failed ? LOG_EV_QUARANTINE_FAILED : LOG_EV_QUARANTINE_RUN,
	    KV(command, what), KV(messages, messages), KV(status, end->status),
	    KV(timed_out, end->timed_out), KV(output, end->said));
	if (!failed)
		return;
	counters_add(q->counters, COUNT_QUARANTINE_FAILURES, 1);
	if (q->events == NULL)
		return;
	str_escape(str_from(end->said), text, sizeof(text));
	events_add_option(q->events, clock_wall_ms(), EVENT_COMMAND, what, what,
	    "", "%s %d%s%s", end->timed_out ? "timed out, status" : "status",
	    end->status, text[0] != '\0' ? ": " : "", text);
}

/* ---- results ---- */

static void
end_claim(struct quarantine *q)
{
	bool is_full = q->n >= q->claim_max;

	for (size_t i = 0; i < q->text_count; i++)
		free(q->texts[i]);
	q->text_count = q->n = 0;
	q->busy = false;
	if (q->draining && q->on_drained != NULL)
		q->on_drained(q->drained_arg);
	else if (is_full)
		quarantine_kick(q, loop_now(q->loop));
	else
		loop_timer_set(&q->wake, loop_now(q->loop) + GATHER_MS);
}

static void
on_recorded(void *arg, int error)
{
	struct quarantine *q = arg;

	if (error != 0) {
		counters_add(q->counters, COUNT_SPOOL_ERRORS, 1);
		loop_timer_set(
		    &q->finish_again, loop_now(q->loop) + FINISH_AGAIN_MS);
		return;
	}
	end_claim(q);
}

static void
on_finish_again(void *arg, int64_t now)
{
	struct quarantine *q = arg;

	(void)now;
	spool_quarantine_finish(q->spool, q->results, q->n, on_recorded, q);
}

static void
log_message(
    const struct quarantine *q, const struct spool_quarantined *e, bool gone)
{
	char id[SPOOL_ID_TEXT];

	if (!gone)
		return;
	counters_add(q->counters, COUNT_QUARANTINE_ENDED, 1);
	log_write(q->log, LOG_EV_QUARANTINE_MESSAGE,
	    KV(id, spool_id_format(e->id, id)), KV(mta_id, e->mta_id),
	    KV(result, e->doomed ? "discarded" : "released"));
}

static void
set_result(struct quarantine *q, size_t i, const char *error, int64_t delay_ms)
{
	const struct spool_quarantined *e = &q->batch[i];

	q->done[i] = true;
	q->results[i] = (struct spool_quarantine_result){
	    .id = e->id,
	    .gone = error == NULL,
	    .next_try = clock_wall_ms() + delay_ms,
	    .error = error,
	};
	log_message(q, e, error == NULL);
}

/* What the database was made to hold: no command sees it. */
static void
drop_invalid(struct quarantine *q)
{
	for (size_t i = 0; i < q->n; i++) {
		if (mta_id_ok(str_from(q->batch[i].mta_id)))
			continue;
		log_write(q->log, LOG_EV_QUARANTINE_BAD_ID,
		    KV(mta_id, q->batch[i].mta_id));
		set_result(q, i,
		    q->batch[i].doomed ? NULL : "its queue id is damaged",
		    RETRY_MAX_MS);
	}
}

static void
give_up_claim(struct quarantine *q, const char *why)
{
	for (size_t i = 0; i < q->n; i++) {
		if (!q->done[i])
			set_result(q, i, why, RETRY_MIN_MS);
	}
}

/* ---- a run ---- */

static const char *
run_name(const struct quarantine *q)
{
	return q->run_discards ? "discard_command" : "release_command";
}

static const char *
say_failure(struct quarantine *q, const struct command_end *end)
{
	char *text = end->timed_out ? xasprintf("%s: timed out", run_name(q))
				    : xasprintf("%s: status %d: %s",
					  run_name(q), end->status, end->said);

	q->texts[q->text_count++] = text;
	return text;
}

/* Alone it may be the one that fails; among others it is not to blame. */
static int64_t
delay_of(const struct quarantine *q)
{
	uint32_t attempts = q->batch[q->run_ids[0]].attempts;

	return q->run_count > 1 ? RETRY_MIN_MS
				: doubled(RETRY_MIN_MS, attempts, RETRY_MAX_MS);
}

/* A failure makes the next claim smaller and later, to find what spoils it, or
 * to wait until somebody has put it right. */
static void
pace(struct quarantine *q, bool failed)
{
	if (failed) {
		q->claim_failures++;
		q->rest_until =
		    loop_now(q->loop) +
		    doubled(REST_MIN_MS, q->failures++, REST_MAX_MS);
		q->batch_max = q->run_count > 1 ? q->run_count / 2 : 1;
		return;
	}
	q->failures = 0;
	q->rest_until = 0;
	q->batch_max *= 2;
	if (q->batch_max > QUARANTINE_BATCH_MAX)
		q->batch_max = QUARANTINE_BATCH_MAX;
}

static void
on_run_end(void *arg, const struct command_end *end)
{
	struct quarantine *q = arg;
	bool failed = end->status != 0 || end->timed_out;
	const char *error = failed ? say_failure(q, end) : NULL;

	q->run = NULL;
	quarantine_log_end(q, run_name(q), q->run_count, end);
	for (size_t i = 0; i < q->run_count; i++)
		set_result(q, q->run_ids[i], error, delay_of(q));
	pace(q, failed);
	run_next(q);
}

/* The ids of one run: all of one kind, or the first alone. */
static void
choose(struct quarantine *q, size_t first, const struct mta_command *c)
{
	q->run_count = 0;
	for (size_t i = first; i < q->n; i++) {
		if (q->done[i] || q->batch[i].doomed != q->run_discards)
			continue;
		q->run_ids[q->run_count++] = i;
		if (c->has_id)
			return;
	}
}

static void
start_run(struct quarantine *q, const struct mta_command *c)
{
	const char *ids[QUARANTINE_BATCH_MAX];

	for (size_t i = 0; i < q->run_count; i++)
		ids[i] = q->batch[q->run_ids[i]].mta_id;
	q->run = mta_run_start(q->loop, &(struct mta_run){.command = c,
					    .ids = ids,
					    .n = q->run_count,
					    .timeout_ms = q->timeout_ms,
					    .on_end = on_run_end,
					    .arg = q});
}

static void
put_back(struct quarantine *q)
{
	q->stopped = false;
	for (size_t i = 0; i < q->n; i++) {
		if (!q->done[i])
			set_result(q, i, "claimed again after a freeze", 0);
	}
}

static void
run_next(struct quarantine *q)
{
	const struct mta_command *c;
	size_t first = 0;

	if (q->stopped)
		put_back(q);
	if (q->claim_failures >= FAILURES_MAX)
		give_up_claim(q, "the command failed for others");
	while (first < q->n && q->done[first])
		first++;
	if (first == q->n) {
		on_finish_again(q, 0);
		return;
	}
	q->run_discards = q->batch[first].doomed;
	c = q->run_discards ? &q->discard : &q->release;
	choose(q, first, c);
	if (c->text != NULL) {
		start_run(q, c);
		return;
	}
	for (size_t i = 0; i < q->run_count; i++)
		set_result(q, q->run_ids[i],
		    q->run_discards ? "weir.conf has no discard_command"
				    : "weir.conf has no release_command",
		    RETRY_MAX_MS);
	run_next(q);
}

/* ---- claims ---- */

static void
set_wake(struct quarantine *q, int64_t wall_due)
{
	int64_t wait = wall_due - clock_wall_ms(), now = loop_now(q->loop);

	if (wall_due == INT64_MAX)
		return;
	loop_timer_set(&q->wake, now + (wait > 0 ? wait : 0) + GATHER_MS);
}

static void
on_claimed(void *arg, int error, const struct spool_quarantined *v, size_t n,
    int64_t next_due)
{
	struct quarantine *q = arg;

	if (error != 0 || n == 0) {
		q->busy = false;
		if (error != 0)
			loop_timer_set(
			    &q->wake, loop_now(q->loop) + REST_MAX_MS);
		else
			set_wake(q, next_due);
		if (q->draining && q->on_drained != NULL)
			q->on_drained(q->drained_arg);
		else if (q->kicked)
			quarantine_kick(q, loop_now(q->loop));
		return;
	}
	memcpy(q->batch, v, n * sizeof(*v));
	memset(q->done, 0, sizeof(q->done));
	q->n = n;
	q->claim_failures = 0;
	q->stopped = false;
	drop_invalid(q);
	run_next(q);
}

void
quarantine_kick(struct quarantine *q, int64_t now)
{
	q->kicked = true;
	if (q->busy || q->draining)
		return;
	if (now < q->rest_until) {
		loop_timer_set(&q->wake, q->rest_until);
		return;
	}
	q->kicked = false;
	q->busy = true;
	q->claim_max = q->batch_max;
	spool_quarantine_claim(q->spool, q->batch_max, clock_wall_ms(),
	    q->settle_ms, on_claimed, q);
}

void
quarantine_stop(struct quarantine *q)
{
	q->stopped = true;
}

static void
on_wake(void *arg, int64_t now)
{
	quarantine_kick(arg, now);
}

/* ---- life ---- */

static void
parse(struct quarantine *q, struct mta_command *c, const char *text)
{
	char err[160];

	mta_command_clear(c);
	if (text != NULL && !mta_command_parse(text, c, err, sizeof(err)))
		log_write(
		    q->log, LOG_EV_QUARANTINE_COMMAND_FAILED, KV(error, err));
}

static void
configure(struct quarantine *q, const struct mta_settings *settings)
{
	parse(q, &q->release, settings->release);
	parse(q, &q->discard, settings->discard);
	parse(q, &q->queue, settings->queue);
	free(q->queue_text);
	q->queue_text = settings->queue != NULL && q->queue.text != NULL
			    ? xstrdup(settings->queue)
			    : NULL;
	q->check_ms = settings->check_ms;
	q->settle_ms = settings->settle_ms;
	q->timeout_ms = settings->timeout_ms;
}

struct quarantine *
quarantine_new(struct loop *loop, struct spool *spool,
    const struct mta_settings *settings,
    const struct quarantine_callbacks *callbacks, void *arg,
    struct counters *counters, struct log *log)
{
	struct quarantine *q = xcalloc(1, sizeof(*q));

	q->loop = loop;
	q->spool = spool;
	q->callbacks = *callbacks;
	q->arg = arg;
	q->counters = counters;
	q->log = log;
	q->batch_max = QUARANTINE_BATCH_MAX;
	configure(q, settings);
	loop_timer_init(&q->wake, loop, on_wake, q);
	loop_timer_init(&q->finish_again, loop, on_finish_again, q);
	quarantine_check_init(q);
	return q;
}

void
quarantine_set_events(struct quarantine *q, struct events *events)
{
	q->events = events;
}

void
quarantine_reload(struct quarantine *q, const struct mta_settings *settings)
{
	configure(q, settings);
	quarantine_check_clear(q);
	quarantine_check_init(q);
	q->rest_until = 0;
	quarantine_kick(q, loop_now(q->loop));
}

void
quarantine_drain(struct quarantine *q, void (*fn)(void *arg), void *arg)
{
	q->draining = true;
	quarantine_check_clear(q);
	if (!q->busy) {
		fn(arg);
		return;
	}
	q->on_drained = fn;
	q->drained_arg = arg;
}

void
quarantine_free(struct quarantine *q)
{
	if (q == NULL)
		return;
	quarantine_check_clear(q);
	command_free(q->run);
	loop_timer_clear(&q->wake);
	loop_timer_clear(&q->finish_again);
	for (size_t i = 0; i < q->text_count; i++)
		free(q->texts[i]);
	mta_command_clear(&q->release);
	mta_command_clear(&q->discard);
	mta_command_clear(&q->queue);
	free(q->queue_text);
	free(q);
}
