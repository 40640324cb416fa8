/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A batch is what one spool_finish gets: the results of a turn, or those of one
 * message with its bounce. It lives until the spool has committed it.
 *
 *	open -> (end of turn) -> with the spool -> stored
 *	                              |  ^ after a pause
 *	                              v  |
 *	                            refused
 */
#include "delivery/result_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 512 /* results */
#define AGAIN_MS 1000 /* after the spool refused */
#define BUSY_MS 20    /* after it was busy */

struct batch {
	struct list entry;
	struct result_queue *result_queue;
	struct spool_result *results;
	size_t count, cap;
	bool has_bounce, was_refused;
	struct spool_message bounce;
	struct spool_rcpt to;
	struct str text;
};

struct result_queue {
	struct loop *loop;
	struct spool *spool;
	struct counters *counters;
	struct log *log;
	result_queue_fn *fn;
	void *arg;
	struct batch *open;  /* NULL: none this turn */
	struct list sent;    /* with the spool */
	struct list refused; /* to be offered again */
	size_t pending;
	bool stuck;
	struct loop_task flush;
	struct loop_timer again;
};

static void on_turn_end(void *arg, int64_t now);
static void on_again(void *arg, int64_t now);

struct result_queue *
result_queue_new(struct loop *loop, struct spool *spool,
    struct counters *counters, struct log *log, result_queue_fn *fn, void *arg)
{
	struct result_queue *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->spool = spool;
	l->counters = counters;
	l->log = log;
	l->fn = fn;
	l->arg = arg;
	list_init(&l->sent);
	list_init(&l->refused);
	loop_task_init(&l->flush, loop, on_turn_end, l);
	loop_timer_init(&l->again, loop, on_again, l);
	return l;
}

static struct batch *
new_batch(struct result_queue *l)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	b->result_queue = l;
	list_init(&b->entry);
	return b;
}

static void
free_batch(struct batch *b)
{
	list_remove(&b->entry);
	for (size_t i = 0; i < b->count; i++)
		free((char *)b->results[i].error);
	free(b->results);
	free((char *)b->to.address);
	free((char *)b->text.p);
	free(b);
}

static void
add_result(struct batch *b, const struct spool_result *result)
{
	struct spool_result *r;

	if (b->count == b->cap) {
		b->cap = b->cap == 0 ? 16 : 2 * b->cap;
		b->results = xrealloc(b->results, b->cap * sizeof(*b->results));
	}
	r = &b->results[b->count++];
	*r = *result;
	r->error = result->error != NULL ? xstrdup(result->error) : NULL;
	b->result_queue->pending++;
}

static void
set_stuck(struct result_queue *l, int error)
{
	if (l->stuck == (error != 0))
		return;
	l->stuck = error != 0;
	if (l->stuck)
		log_write(l->log, LOG_EV_DELIVERY_RECORD_FAILED,
		    KV(results, l->pending), KV(error, strerror(error)));
	else
		log_write(
		    l->log, LOG_EV_DELIVERY_RECORD, KV(results, l->pending));
}

static void
refuse(struct batch *b, int error)
{
	struct result_queue *l = b->result_queue;
	int64_t pause = error == EBUSY ? BUSY_MS : AGAIN_MS;

	list_remove(&b->entry);
	list_append(&l->refused, &b->entry);
	b->was_refused = true;
	if (error != EBUSY) {
		counters_add(l->counters, COUNT_SPOOL_ERRORS, 1);
		set_stuck(l, error);
	}
	if (l->again.due == INT64_MAX)
		loop_timer_set(&l->again, loop_now(l->loop) + pause);
}

static void send(struct batch *b);

static void
on_finished(void *arg, int error)
{
	struct batch *b = arg;
	struct result_queue *l = b->result_queue;
	bool released = b->has_bounce || b->was_refused;

	if (error == EINVAL && b->has_bounce) {
		/* Nobody can be told; the results count all the same. */
		log_write(l->log, LOG_EV_DELIVERY_BOUNCE_LOST,
		    KV(ticket, b->results[0].ticket),
		    KV(error, "not a message"));
		b->has_bounce = false;
		send(b);
		return;
	}
	if (error != 0) {
		refuse(b, error);
		return;
	}
	l->pending -= b->count;
	free_batch(b);
	if (list_is_empty(&l->refused))
		set_stuck(l, 0);
	l->fn(l->arg, released, loop_now(l->loop));
}

static void
send(struct batch *b)
{
	list_remove(&b->entry);
	list_append(&b->result_queue->sent, &b->entry);
	spool_finish(b->result_queue->spool, b->results, b->count,
	    b->has_bounce ? &b->bounce : NULL, b->text, on_finished, b);
}

static void
flush(struct result_queue *l)
{
	struct batch *b = l->open;

	l->open = NULL;
	if (b != NULL)
		send(b);
}

static void
on_turn_end(void *arg, int64_t now)
{
	(void)now;
	flush(arg);
}

static void
on_again(void *arg, int64_t now)
{
	struct result_queue *l = arg;
	struct list round;

	(void)now;
	/* What is refused from within waits for the next time. */
	list_insert(&l->refused, &round);
	list_remove(&l->refused);
	while (!list_is_empty(&round))
		send(LIST_ITEM(round.next, struct batch, entry));
}

void
result_queue_add(struct result_queue *l, const struct spool_result *result)
{
	if (l->open != NULL && l->open->count >= BATCH_MAX)
		flush(l);
	if (l->open == NULL)
		l->open = new_batch(l);
	add_result(l->open, result);
	loop_task_set(&l->flush);
}

void
result_queue_add_bounce(struct result_queue *l,
    const struct spool_result *results, size_t n,
    const struct result_bounce *bounce)
{
	struct batch *b = new_batch(l);

	for (size_t i = 0; i < n; i++)
		add_result(b, &results[i]);
	b->has_bounce = true;
	b->text = (struct str){str_dup(bounce->text), bounce->text.n};
	b->to = (struct spool_rcpt){
	    .address = xstrdup(bounce->to),
	    .notify = bounce->notify,
	    .state = SPOOL_RELEASED,
	    .next_try = bounce->wall,
	};
	b->bounce = (struct spool_message){
	    .id = bounce->id,
	    .source = BOUNCE_SOURCE,
	    .policy = BOUNCE_POLICY,
	    .from = "",
	    .subject = bounce->subject,
	    .client = "",
	    .helo = "",
	    .body_type = bounce->body_type,
	    .utf8 = bounce->utf8,
	    .require_tls = bounce->require_tls,
	    .size = bounce->text.n,
	    .queued_at = bounce->wall,
	    .rcpts = &b->to,
	    .rcpt_count = 1,
	};
	send(b);
}

size_t
result_queue_pending(const struct result_queue *l)
{
	return l->pending;
}

bool
result_queue_is_stuck(const struct result_queue *l)
{
	return l->stuck;
}

static void
free_all(struct list *batches)
{
	while (!list_is_empty(batches))
		free_batch(LIST_ITEM(batches->next, struct batch, entry));
}

void
result_queue_free(struct result_queue *l)
{
	if (l == NULL)
		return;
	flush(l);
	on_again(l, 0);
	free_all(&l->sent);
	free_all(&l->refused);
	loop_task_clear(&l->flush);
	loop_timer_clear(&l->again);
	free(l);
}
