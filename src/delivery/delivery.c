/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which messages are sent when. Claims are made in batches ahead of need, one
 * at a time, so that connections never wait for the disk; a kick costs a flag.
 *
 * When the next hop cannot be reached, all delivery rests: what was claimed
 * goes back, and after a pause (doubled up to REST_MAX_MS) one message is
 * claimed to see, each time another one; a connection that greets ends the
 * rest. When only further connections fail, while others work, their number is
 * lowered for a while and nothing goes back.
 *
 * What happens from MAIL on is the message's own affair: its own pauses, and
 * nobody else's. One that broke two connections goes by itself, on a connection
 * of its own beside the others' number, when no other waits or it has waited
 * for LAST_WAIT_MS.
 */
#include "delivery/delivery_private.h"

#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST_MIN_MS 1000
#define REST_MAX_MS 60000
#define CEILING_MS 60000
#define CLAIM_AGAIN_MS 1000 /* after the spool failed to claim */
#define WAKE_MAX_MS 60000   /* the wall clock may have been set */
#define SET_BACK_MS 5000    /* by so much */
#define LATEST_MIN_MS 600000
#define LAST_WAIT_MS 60000
#define LAST_MAX 16 /* suspects in memory */
#define HANDED_MAX 8192
#define PROBLEM_LOG_MS 60000
#define PENDING_MAX 8192 /* results that the spool has yet to store */

static void on_wake(void *arg, int64_t now);
static void on_report_drained(void *arg, int64_t now);
static void on_stored(void *arg, bool released, int64_t now);

static void
set_settings(struct delivery *d, const struct delivery_settings *settings)
{
	free(d->hostname);
	free(d->postmaster);
	d->settings = *settings;
	if (d->settings.concurrency == 0)
		d->settings.concurrency = 1;
	d->hostname = xstrdup(settings->hostname);
	d->postmaster = settings->postmaster != NULL
			    ? xstrdup(settings->postmaster)
			    : xasprintf("postmaster@%s", settings->hostname);
	d->settings.hostname = d->hostname;
	d->settings.postmaster = d->postmaster;
}

struct delivery *
delivery_new(struct loop *loop, struct spool *spool, struct nexthop *nexthop,
    const struct delivery_settings *settings, struct events *events,
    struct counters *counters, struct log *log)
{
	struct delivery *d = xcalloc(1, sizeof(*d));

	d->loop = loop;
	d->spool = spool;
	d->nexthop = nexthop;
	d->events = events;
	d->counters = counters;
	d->log = log;
	set_settings(d, settings);
	d->suspects = suspects_new();
	d->result_queue =
	    result_queue_new(loop, spool, counters, log, on_stored, d);
	for (int i = 0; i < ATTEMPT_STATES; i++)
		list_init(&d->attempts[i]);
	d->ceiling_until = INT64_MAX;
	loop_timer_init(&d->wake, loop, on_wake, d);
	loop_task_init(&d->report_drained, loop, on_report_drained, d);
	notices_init(d);
	d->reports = report_limit_new();
	d->handed = handed_new(HANDED_MAX);
	return d;
}

void
delivery_set_rest(struct delivery *d, struct nexthop *rest)
{
	d->rest_hop = rest;
}

void
delivery_set_let_go(struct delivery *d, struct let_go *let_go)
{
	d->let_go = let_go;
}

void
delivery_reload(struct delivery *d, const struct delivery_settings *settings)
{
	set_settings(d, settings);
	notices_schedule(d);
}

struct handed *
delivery_handed(struct delivery *d)
{
	return d->handed;
}

/* ---- what is under way ---- */

static uint32_t
count_talking(const struct delivery *d)
{
	return d->count[ATTEMPT_ENVELOPE] + d->count[ATTEMPT_BODY] +
	       d->count[ATTEMPT_ENDING];
}

/* With a connection, or on the way to one. */
static uint32_t
count_sending(const struct delivery *d)
{
	return d->count[ATTEMPT_WAITING] + count_talking(d);
}

uint32_t
delivery_active(const struct delivery *d)
{
	uint32_t n = 0;

	for (int i = 0; i < ATTEMPT_STATES; i++)
		n += d->count[i];
	return n;
}

static struct attempt *
first_in(struct delivery *d, enum attempt_state state)
{
	if (list_is_empty(&d->attempts[state]))
		return NULL;
	return LIST_ITEM(d->attempts[state].next, struct attempt, entry);
}

static uint32_t
window(struct delivery *d, int64_t now)
{
	if (now >= d->ceiling_until)
		d->ceiling_until = INT64_MAX;
	if (d->rest_ms > 0)
		return 1;
	if (d->ceiling_until != INT64_MAX &&
	    d->ceiling < d->settings.concurrency)
		return d->ceiling;
	return d->settings.concurrency;
}

static bool
is_blocked(const struct delivery *d, int64_t now)
{
	return now < d->rest_until || result_queue_is_stuck(d->result_queue) ||
	       result_queue_pending(d->result_queue) > PENDING_MAX;
}

static void
wake_at(struct delivery *d, int64_t due)
{
	if (due < d->wake.due)
		loop_timer_set(&d->wake, due);
}

void
delivery_note_due(struct delivery *d, int64_t wall_due, int64_t wall)
{
	int64_t wait;

	if (wall_due == INT64_MAX)
		return;
	wait = wall_due > wall ? wall_due - wall : 0;
	wake_at(
	    d, loop_now(d->loop) + (wait < WAKE_MAX_MS ? wait : WAKE_MAX_MS));
}

static bool
is_drained(const struct delivery *d)
{
	return delivery_active(d) == 0 && !d->claiming &&
	       result_queue_pending(d->result_queue) == 0;
}

/* ---- claiming ---- */

static void pump(struct delivery *d, int64_t now);

static void
set_last(struct attempt *a, int64_t now, int64_t wall)
{
	struct delivery *d = a->d;

	if (d->count[ATTEMPT_LAST] >= LAST_MAX) {
		attempt_put_back(
		    a, "other mail is due first", wall + LAST_WAIT_MS);
		return;
	}
	a->suspect = a->fresh = true;
	a->last_due = now + LAST_WAIT_MS;
	attempt_set_state(a, ATTEMPT_LAST);
	wake_at(d, a->last_due);
}

static void
on_claimed(
    void *arg, int error, struct spool_job **jobs, size_t n, int64_t next_due)
{
	struct delivery *d = arg;
	int64_t now = loop_now(d->loop), wall = clock_wall_ms();

	d->claiming = false;
	if (error != 0) {
		log_write(d->log, LOG_EV_DELIVERY_CLAIM_FAILED,
		    KV(error, strerror(error)));
		d->more = true;
		d->rest_until = d->rest_until > now + CLAIM_AGAIN_MS
				    ? d->rest_until
				    : now + CLAIM_AGAIN_MS;
		wake_at(d, d->rest_until);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct attempt *a = attempt_new(d, jobs[i]);

		/* attempt_set_state would put it before older ones. */
		if (d->draining)
			attempt_put_back(a, "shutting down", wall);
		else if (suspects_has(d->suspects, a->job->m.id))
			set_last(a, now, wall);
	}
	d->more = n > 0 || d->kicked;
	delivery_note_due(d, next_due, wall);
	pump(d, now);
}

/* Times of next tries are wall time. When that was set back, or before this
 * start, nobody knows by how much: nothing waits for longer than a pause may
 * last. */
static void
check_clock(struct delivery *d, int64_t now, int64_t wall)
{
	int64_t latest = d->settings.retry_max_ms > LATEST_MIN_MS
			     ? d->settings.retry_max_ms
			     : LATEST_MIN_MS;
	int64_t ahead = wall - now;
	bool set_back = d->clock_known && ahead < d->clock_ahead - SET_BACK_MS;

	if (set_back)
		log_write(d->log, LOG_EV_DELIVERY_CLOCK,
		    KV(set_back_ms, (d->clock_ahead - ahead)));
	if (set_back || !d->clock_known)
		spool_mend_due(d->spool, wall, wall + latest);
	d->clock_known = true;
	d->clock_ahead = ahead;
}

static void
claim(struct delivery *d, int64_t now)
{
	int64_t wall;
	uint32_t batch = window(d, now);

	if (!d->more || d->claiming || d->draining ||
	    d->count[ATTEMPT_QUEUED] > batch / 2)
		return;
	/* To see whether the next hop is back, one is enough. */
	if (d->rest_ms > 0 && delivery_active(d) > d->alone)
		return;
	d->claiming = true;
	d->kicked = false;
	wall = clock_wall_ms();
	check_clock(d, now, wall);
	spool_claim(d->spool, batch, wall, on_claimed, d);
}

static struct attempt *
next_attempt(struct delivery *d, int64_t now)
{
	struct attempt *a = first_in(d, ATTEMPT_QUEUED);
	struct attempt *last = first_in(d, ATTEMPT_LAST);

	if (last != NULL && d->alone == 0 &&
	    (a == NULL || now >= last->last_due))
		return last;
	return count_sending(d) - d->alone < window(d, now) ? a : NULL;
}

static void
pump(struct delivery *d, int64_t now)
{
	struct attempt *a;

	if (d->draining) {
		if (is_drained(d))
			loop_task_set(&d->report_drained);
		if (first_in(d, ATTEMPT_QUEUED) == NULL &&
		    first_in(d, ATTEMPT_LAST) == NULL)
			return;
	}
	if (is_blocked(d, now)) {
		/* The timer may have been set for less and have fired. */
		if (now < d->rest_until)
			wake_at(d, d->rest_until);
		return;
	}
	/* An attempt that ends at once comes back here. */
	if (d->pumping)
		return;
	d->pumping = true;
	while (!is_blocked(d, now) && (a = next_attempt(d, now)) != NULL)
		attempt_start(a, now);
	d->pumping = false;
	claim(d, now);
}

static void
on_wake(void *arg, int64_t now)
{
	struct delivery *d = arg;

	/* A claim under way may have been run too early for what is due. */
	d->more = d->kicked = true;
	pump(d, now);
}

static void
on_stored(void *arg, bool released, int64_t now)
{
	struct delivery *d = arg;

	if (released)
		d->more = d->kicked = true;
	pump(d, now);
}

void
delivery_kick(struct delivery *d, int64_t now, int64_t wall)
{
	(void)wall;
	d->more = d->kicked = true;
	pump(d, now);
}

/* What weir itself sends has no destination, and is no source's. */
static bool
is_of(const struct spool_message *m, const char *source)
{
	return strcmp(m->source, source) == 0 && m->rcpts[0].destination != 0;
}

static struct attempt *
first_of(struct delivery *d, const char *source)
{
	static const enum attempt_state not_begun[] = {
	    ATTEMPT_QUEUED, ATTEMPT_LAST, ATTEMPT_WAITING};
	const struct list *e;

	for (size_t i = 0; i < ARRAY_LEN(not_begun); i++) {
		list_each (e, &d->attempts[not_begun[i]]) {
			struct attempt *a = LIST_ITEM(e, struct attempt, entry);

			if (is_of(&a->job->m, source))
				return a;
		}
	}
	return NULL;
}

void
delivery_stop(struct delivery *d, const char *source, int64_t now)
{
	int64_t wall = clock_wall_ms();
	struct attempt *a;

	/* Nothing else may begin in between. */
	d->pumping = true;
	while ((a = first_of(d, source)) != NULL)
		attempt_put_back(a, "the sender is frozen", wall);
	d->pumping = false;
	pump(d, now);
}

/* rest_ms stays: one message goes first, to see. */
void
delivery_try_now(struct delivery *d, int64_t now)
{
	if (d->rest_until > now)
		d->rest_until = now;
	d->more = d->kicked = true;
	pump(d, now);
}

/* ---- what attempts say ---- */

void
delivery_on_ended(struct delivery *d, int64_t now)
{
	pump(d, now);
}

void
delivery_on_reached(struct delivery *d, int64_t now)
{
	if (d->rest_ms == 0)
		return;
	d->rest_ms = 0;
	d->rest_until = now;
	log_write(d->log, LOG_EV_DELIVERY_RESUME, LOG_NO_FIELDS);
	wake_at(d, now);
}

void
delivery_on_no_login(
    struct attempt *a, const struct smtp_reply *reply, int64_t now)
{
	struct delivery *d = a->d;
	char text[256];

	snprintf(d->problem, sizeof(d->problem),
	    "the next hop %.200s requires weir to authenticate or to use TLS: "
	    "%u %s; see next_hop_auth and next_hop_tls",
	    a->hop_name, reply->code,
	    str_escape(reply->text, text, sizeof(text)));
	if (now < d->problem_log_next)
		return;
	d->problem_log_next = now + PROBLEM_LOG_MS;
	log_write(d->log, LOG_EV_DELIVERY_NO_LOGIN, KV(next_hop, a->hop_name),
	    KV(code, reply->code), KV(reply, reply->text),
	    KV(advice, "mail waits; see next_hop_auth and next_hop_tls"));
}

void
delivery_on_taken(struct delivery *d)
{
	d->problem[0] = '\0';
}

const char *
delivery_problem(const struct delivery *d)
{
	return d->problem;
}

static int64_t
next_rest(const struct delivery *d)
{
	int64_t rest = d->rest_ms == 0 ? REST_MIN_MS : 2 * d->rest_ms;

	if (rest > REST_MAX_MS)
		rest = REST_MAX_MS;
	/* Not longer than a single message would wait. */
	if (rest > d->settings.retry_min_ms && d->settings.retry_min_ms > 0)
		rest = d->settings.retry_min_ms;
	return rest;
}

static void
start_rest(struct delivery *d, const char *reason, int64_t now)
{
	enum log_event_id event =
	    d->rest_ms == 0 ? LOG_EV_DELIVERY_REST : LOG_EV_DELIVERY_REST_AGAIN;
	int64_t next_try;
	struct attempt *a;

	d->rest_ms = next_rest(d);
	d->rest_until = now + d->rest_ms;
	d->ceiling_until = INT64_MAX;
	next_try = clock_wall_ms() + d->rest_ms;
	log_write(d->log, event, KV(rest_ms, d->rest_ms),
	    KV(queued, d->count[ATTEMPT_QUEUED]), KV(reason, reason));
	while ((a = first_in(d, ATTEMPT_QUEUED)) != NULL ||
	       (a = first_in(d, ATTEMPT_LAST)) != NULL)
		attempt_put_back(a, reason, next_try);
	d->more = true;
	wake_at(d, d->rest_until);
}

void
delivery_on_unreachable(
    struct attempt *a, const struct smtp_reply *reply, int64_t now)
{
	struct delivery *d = a->d;
	uint32_t talking = count_talking(d);
	int64_t rest_ms;
	char *reason;

	if (talking > 0 && !d->draining) {
		if (d->ceiling_until == INT64_MAX)
			log_write(d->log, LOG_EV_DELIVERY_LIMIT,
			    KV(connections, talking), KV(for_ms, CEILING_MS));
		d->ceiling = talking;
		d->ceiling_until = now + CEILING_MS;
		attempt_queue_again(a);
		return;
	}
	reason = str_dup(reply->text);
	/* Those that waited for the same failure prolong nothing. */
	if (now >= d->rest_until)
		start_rest(d, reason, now);
	rest_ms = d->rest_until > now ? d->rest_until - now : 0;
	/* Behind the others: next time another one is to see. */
	attempt_put_back(a, reason, clock_wall_ms() + rest_ms + 1);
	free(reason);
	pump(d, now);
}

/* ---- the end ---- */

static void
on_report_drained(void *arg, int64_t now)
{
	struct delivery *d = arg;
	void (*fn)(void *) = d->on_drained;

	(void)now;
	d->on_drained = NULL;
	if (fn != NULL)
		fn(d->drained_arg);
}

void
delivery_drain(struct delivery *d, void (*fn)(void *arg), void *arg)
{
	int64_t wall = clock_wall_ms();
	struct attempt *a;

	d->draining = true;
	d->on_drained = fn;
	d->drained_arg = arg;
	while ((a = first_in(d, ATTEMPT_QUEUED)) != NULL ||
	       (a = first_in(d, ATTEMPT_LAST)) != NULL)
		attempt_put_back(a, "shutting down", wall);
	pump(d, loop_now(d->loop));
}

void
delivery_free(struct delivery *d)
{
	struct attempt *a;

	if (d == NULL)
		return;
	for (int i = 0; i < ATTEMPT_STATES; i++) {
		while ((a = first_in(d, (enum attempt_state)i)) != NULL)
			attempt_free(a);
	}
	result_queue_free(d->result_queue);
	suspects_free(d->suspects);
	notices_clear(d);
	handed_free(d->handed);
	report_limit_free(d->reports);
	loop_timer_clear(&d->wake);
	loop_task_clear(&d->report_drained);
	free(d->hostname);
	free(d->postmaster);
	free(d);
}
