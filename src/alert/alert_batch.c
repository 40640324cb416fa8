/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message of a route: made of what waits, stored, sent, tried again, given
 * up.
 */
#include "alert/alert_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_NULL "<>"

/* Those that wait go into the batch; what lasts stays behind, as told. */
static void
fill_batch(struct alert_route *r, struct alert_batch *b, size_t max)
{
	struct alert *a = r->alert;
	struct list *e, *next;
	size_t n = 0;

	list_each_safe (e, next, &r->items) {
		struct alert_item *item = item_of(e);
		bool goes_on =
		    alert_event_info[item->event].lasts && item->ended == 0;

		if (item->want == ALERT_WANT_NONE)
			continue;
		/* A notice is for the one who waits for it. */
		if (n == max && (r->is_senders || item->event == ALERT_RELEASE))
			break;
		if (n < max) {
			struct alert_item *copy = alert_item_copy(item);

			list_append(&b->items, &copy->entry);
			n++;
		} else {
			b->omitted++;
		}
		if (goes_on || r->is_senders) {
			item->want = ALERT_WANT_NONE;
			item->reported_at = a->wall;
			item->is_dirty = true;
		} else {
			alert_route_drop_item(r, item);
		}
	}
	if (r->is_senders)
		return;
	b->omitted += r->omitted;
	r->omitted = 0;
}

static void
log_failed(struct alert_route *r, const char *why, bool for_good)
{
	struct alert *a = r->alert;

	log_write(a->log,
	    for_good ? LOG_EV_ALERT_GIVEN_UP : LOG_EV_ALERT_FAILED,
	    KV(alert, r->name),
	    KV(channel, alert_channel_name[alert_route_channel(r)]),
	    KV(alert_id, r->batch->id), KV(attempts, r->attempts),
	    KV(error, why));
}

static void
end_batch(struct alert_route *r)
{
	alert_batch_free(r->batch);
	r->batch = NULL;
	r->state = BATCH_NONE;
	r->due = INT64_MAX;
	r->attempts = 0;
	r->is_stored = false;
}

static void
set_error(struct alert_route *r, const char *why)
{
	free(r->last_error);
	r->last_error = xstrdup(why);
}

static void
on_taken(struct alert_route *r)
{
	struct alert *a = r->alert;
	char *summary = alert_summary(r->batch);

	alert_route_count_result(a, r, COUNT_ALERTS_SENT_MAIL,
	    COUNT_ALERTS_SENT_WEBHOOK, COUNT_ALERTS_SENT_COMMAND);
	log_write(a->log, LOG_EV_ALERT_SENT, KV(alert, r->name),
	    KV(channel, alert_channel_name[alert_route_channel(r)]),
	    KV(alert_id, r->batch->id), KV(summary, summary));
	free(summary);
	set_error(r, "");
	r->last_sent = a->wall;
}

static void
try_later(struct alert_route *r, const char *why)
{
	struct alert *a = r->alert;
	int64_t pause = ALERT_RETRY_MIN_MS;
	int64_t retry_for =
	    r->conf != NULL ? r->conf->retry_for_ms : ALERT_WARN_AGAIN_MS;

	set_error(r, why);
	alert_route_count_result(a, r, COUNT_ALERTS_FAILED_MAIL,
	    COUNT_ALERTS_FAILED_WEBHOOK, COUNT_ALERTS_FAILED_COMMAND);
	if (r->attempts < UINT32_MAX)
		r->attempts++;
	for (uint32_t i = 1; i < r->attempts && pause < ALERT_RETRY_MAX_MS; i++)
		pause *= 2;
	if (pause > ALERT_RETRY_MAX_MS)
		pause = ALERT_RETRY_MAX_MS;
	if (a->wall - r->batch->at >= retry_for) {
		alert_route_count_result(a, r, COUNT_ALERTS_DROPPED_MAIL,
		    COUNT_ALERTS_DROPPED_WEBHOOK, COUNT_ALERTS_DROPPED_COMMAND);
		log_failed(r, why, true);
		alert_bury(a, r->batch->row);
		end_batch(r);
		return;
	}
	log_failed(r, why, false);
	r->state = BATCH_WAITING;
	r->due = a->now + pause;
}

static void
on_sent(void *arg, bool taken, const char *why)
{
	struct alert_route *r = arg;
	struct alert *a = r->alert;

	alert_refresh(a);
	if (r->is_gone) {
		alert_bury(a, r->batch->row);
		alert_route_free(r);
	} else if (taken) {
		on_taken(r);
		alert_bury(a, r->batch->row);
		end_batch(r);
	} else {
		try_later(r, why);
	}
	alert_start_save(a, a->now);
	alert_schedule(a);
}

void
alert_route_send_batch(struct alert_route *r)
{
	struct alert *a = r->alert;

	r->state = BATCH_SENDING;
	r->due = INT64_MAX;
	a->ops->send(a->arg, &a->settings.voice, r->conf, r->batch, on_sent, r);
}

void
alert_route_on_stored(struct alert_route *r, int error)
{
	struct alert *a = r->alert;

	if (r->is_gone) {
		alert_bury(a, r->batch->row);
		alert_route_free(r);
		alert_start_save(a, a->now);
	} else if (!alert_route_is_by_spool(r)) {
		alert_route_send_batch(r);
	} else if (error == 0) {
		on_taken(r);
		end_batch(r);
		if (a->ops->on_mail != NULL)
			a->ops->on_mail(a->arg);
	} else {
		try_later(r, strerror(error));
	}
}

/* As a message of weir's own, in one commit with what is left of the batch. */
void
alert_route_put_mail(struct alert_route *r, const struct alert_batch *b,
    struct alert_saving *test)
{
	struct alert *a = r->alert;
	const struct alert_voice *v = &a->settings.voice;
	const struct alert_item *first =
	    LIST_ITEM(b->items.next, struct alert_item, entry);
	size_t n = r->is_senders ? 1 : r->conf->to.n;
	struct spool_rcpt *rcpts = xcalloc(n, sizeof(*rcpts));
	char *message_id = xasprintf("%s.alert@%s", b->id, v->hostname);
	char *text, *subject;
	struct spool_message mail = {
	    .source = SOURCE_NULL,
	    .policy = ALERT_POLICY,
	    .from = "",
	    .client = "",
	    .helo = "",
	    .message_id = message_id,
	    .queued_at = a->wall,
	    .rcpts = rcpts,
	    .rcpt_count = n,
	};

	mail.id = spool_new_id(a->spool, a->wall);
	for (size_t i = 0; i < n; i++)
		rcpts[i] = (struct spool_rcpt){
		    .address = r->is_senders ? first->to : r->conf->to.v[i],
		    .notify = 1, /* NEVER */
		    .state = SPOOL_RELEASED,
		    .next_try = a->wall};
	if (r->is_senders) {
		text = alert_mail_to_sender(v, first, b->id, a->wall);
		subject = xstrdup(alert_sender_subject(first));
	} else {
		text = alert_mail(v, r->conf, b, a->wall);
		subject = alert_subject(v, b);
	}
	mail.subject = subject;
	if (test != NULL) {
		spool_save_alerts(a->spool, NULL, 0, &mail, str_from(text),
		    alert_on_saved, test);
	} else {
		if (r->is_stored)
			alert_bury(a, b->row);
		alert_save(a, r, &mail, str_from(text));
	}
	free(subject);
	free(text);
	free(message_id);
	free(rcpts);
}

struct alert_batch *
alert_make_batch(struct alert *a)
{
	struct alert_batch *b = alert_batch_new();

	b->row = spool_new_id(a->spool, a->wall);
	spool_id_format(b->row, b->id);
	b->at = a->wall;
	return b;
}

void
alert_route_begin_batch(struct alert_route *r)
{
	struct alert *a = r->alert;

	if (r->batch == NULL) {
		r->batch = alert_make_batch(a);
		fill_batch(r, r->batch, r->is_senders ? 1 : ALERT_DIGEST_MAX);
		r->window_count++;
		if (list_is_empty(&r->batch->items)) {
			end_batch(r);
			return;
		}
	}
	r->state = BATCH_STORING;
	if (alert_route_is_by_spool(r))
		alert_route_put_mail(r, r->batch, NULL);
	else
		alert_save(a, r, NULL, (struct str){NULL, 0});
}
