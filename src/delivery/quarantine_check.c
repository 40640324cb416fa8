/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What has gone by other hands: now and then the mail server's queue is listed,
 * and what the listing does not show, though it was held before the listing
 * began, is forgotten. A wrong queue_command must not make weir forget what is
 * still held, for then nobody would ever release it: so a listing counts only
 * with status 0, and only once the same command has shown a message of ours.
 * The spool remembers that, so that what went while weir was down, or all of
 * it, is found by the first listing after a start.
 */
#include "delivery/quarantine_private.h"

#include "base/hash.h"
#include "os/clock.h"

#include <inttypes.h>
#include <stdlib.h>

#define PAGE 1000
#define FORGET_MAX 1000 /* in one go; the rest with the next listing */

static void
schedule(struct quarantine *q)
{
	if (!q->draining && q->queue.text != NULL && q->check_ms > 0)
		loop_timer_set(
		    &q->check.timer, loop_now(q->loop) + q->check_ms);
}

static void
end_check(struct quarantine *q)
{
	struct quarantine_check *c = &q->check;

	mta_listing_clear(&c->listing);
	free(c->missing);
	c->missing = NULL;
	c->walking = false;
	schedule(q);
}

/* What is proven is this command, to its last word. */
static uint64_t
proof_of(const struct quarantine *q)
{
	return hash_str(str_from(q->queue_text), spool_seed(q->spool)) | 1;
}

static void
set_proven(struct quarantine *q)
{
	if (q->check.is_proven)
		return;
	q->check.is_proven = true;
	spool_set_queue_proof(q->spool, proof_of(q));
	log_write(
	    q->log, LOG_EV_QUARANTINE_PROVEN, KV(command, "queue_command"));
}

/* ---- the walk through ours ---- */

static bool
is_settled(const struct quarantine *q, const struct spool_quarantined *e)
{
	return e->queued_at < q->check.begun_at - q->settle_ms;
}

static void
look_at(struct quarantine *q, const struct spool_quarantined *e)
{
	struct quarantine_check *c = &q->check;

	if (mta_listing_has(&c->listing, e->mta_id)) {
		c->seen_count++;
		set_proven(q);
	} else if (is_settled(q, e) && c->missing_count < FORGET_MAX) {
		c->missing[c->missing_count++] = e->id;
	}
}

static void
forget(struct quarantine *q)
{
	struct quarantine_check *c = &q->check;

	if (c->missing_count == 0)
		return;
	log_write(q->log,
	    c->is_proven ? LOG_EV_QUARANTINE_GONE
			 : LOG_EV_QUARANTINE_GONE_UNPROVEN,
	    KV(messages, c->missing_count), KV(still_held, c->seen_count));
	if (!c->is_proven)
		return;
	counters_add(q->counters, COUNT_QUARANTINE_GONE, c->missing_count);
	q->callbacks.on_gone(q->arg, c->missing, c->missing_count);
}

static void
on_page(void *arg, int error, const struct spool_quarantined *v, size_t n,
    int64_t next_due)
{
	struct quarantine *q = arg;
	struct quarantine_check *c = &q->check;

	(void)next_due;
	if (!c->walking) /* it was called off */
		return;
	for (size_t i = 0; i < n; i++)
		look_at(q, &v[i]);
	if (error == 0 && n > 0) {
		c->after = v[n - 1].id;
		spool_quarantine_list(q->spool, c->after, PAGE, on_page, q);
		return;
	}
	if (error == 0)
		forget(q);
	end_check(q);
}

/* ---- the listing ---- */

static void
on_listing(void *arg, struct str piece)
{
	struct quarantine *q = arg;

	mta_listing_feed(&q->check.listing, piece);
}

static void
on_listed(void *arg, const struct command_end *end)
{
	struct quarantine *q = arg;
	struct quarantine_check *c = &q->check;

	c->run = NULL;
	if (!mta_listing_end(&c->listing) || end->status != 0 ||
	    end->timed_out) {
		quarantine_log_end(q, "queue_command", c->listing.held.n, end);
		end_check(q);
		return;
	}
	counters_set(q->counters, COUNT_MAILDROP_MESSAGES, c->listing.maildrop);
	c->walking = true;
	c->after = 0;
	c->missing_count = c->seen_count = 0;
	c->missing = xcalloc(FORGET_MAX, sizeof(*c->missing));
	spool_quarantine_list(q->spool, 0, PAGE, on_page, q);
}

static void
run_listing(struct quarantine *q)
{
	q->check.run =
	    mta_run_start(q->loop, &(struct mta_run){.command = &q->queue,
				       .timeout_ms = q->timeout_ms,
				       .on_output = on_listing,
				       .on_end = on_listed,
				       .arg = q});
}

/* What a frozen program hands in and weir has no room for waits in maildrop. */
static bool
is_wanted(const struct quarantine *q)
{
	struct spool_stats stats;

	spool_stats(q->spool, &stats);
	return stats.quarantined > 0 ||
	       q->counters->v[COUNT_FROZEN_SENDERS] > 0;
}

static void
on_timer(void *arg, int64_t now)
{
	struct quarantine *q = arg;
	struct quarantine_check *c = &q->check;

	(void)now;
	if (!is_wanted(q)) {
		counters_set(q->counters, COUNT_MAILDROP_MESSAGES, 0);
		schedule(q);
		return;
	}
	mta_listing_init(&c->listing, hash_random_seed());
	c->begun_at = clock_wall_ms();
	run_listing(q);
}

void
quarantine_check_init(struct quarantine *q)
{
	loop_timer_init(&q->check.timer, q->loop, on_timer, q);
	q->check.is_proven =
	    q->queue_text != NULL && spool_queue_proof(q->spool) == proof_of(q);
	schedule(q);
}

void
quarantine_check_clear(struct quarantine *q)
{
	struct quarantine_check *c = &q->check;

	loop_timer_clear(&c->timer);
	command_free(c->run);
	mta_listing_clear(&c->listing);
	free(c->missing);
	c->run = NULL;
	c->missing = NULL;
	c->walking = c->is_proven = false;
}
