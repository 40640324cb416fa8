/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events: what happened, and what happens. A follower that does not take its
 * events is dropped.
 */
#include "config.h"

#include "control/control.h"

#include <inttypes.h>

#define FOLLOW_PAST 10      /* shown before what is new */
#define FOLLOW_PAST_MAX 100 /* leaves a follower room for what is new */

json_t *
control_event_row(const struct event_item *e)
{
	return json_pack("{s:I, s:o, s:s, s:o, s:o, s:o, s:I, s:o, s:o}", "seq",
	    (json_int_t)e->seq, "at", control_time(e->at), "type",
	    event_type_name[e->type], "sender", control_text(e->sender), "id",
	    control_text(e->id), "detail", control_text(e->detail), "count",
	    (json_int_t)e->count, "first", control_time(e->first), "last",
	    control_time(e->at));
}

static void
send_past(void *arg, const struct event_item *item)
{
	struct control_conn *c = arg;

	/* Once one has no room, none after it is sent: there is no gap. */
	if (c->cursor == 0 && control_sees(c, item->sender) &&
	    !control_send(c, "event", control_event_row(item)))
		c->cursor = item->seq;
}

void
control_report_dropped(const struct control_conn *c)
{
	log_write(c->control->server.log, LOG_EV_CONTROL_FOLLOWER_DROPPED,
	    KV(by, c->who), KV(reason, "it does not read"));
}

static void
on_event(void *arg, const struct event_item *item)
{
	struct control_conn *c = arg;

	if (!item->is_news || control_send(c, "event", control_event_row(item)))
		return;
	control_report_dropped(c);
	control_conn_end(c);
}

void
control_events(struct control_conn *c, int64_t now)
{
	const struct control_request *r = &c->request;
	struct events *events = c->control->server.events;
	size_t max = EVENTS_KEPT_MAIL + EVENTS_KEPT_RARE + EVENTS_KEPT_FAULT;

	(void)now;
	if (r->follow)
		max = FOLLOW_PAST;
	if (r->given & CONTROL_MAX)
		max = r->max;
	if (r->follow && max > FOLLOW_PAST_MAX)
		max = FOLLOW_PAST_MAX;
	events_each(events, events_before(events, max), send_past, c);
	if (!r->follow) {
		control_done(c, NULL);
		return;
	}
	c->is_following = true;
	c->follower.on_event = on_event;
	c->follower.arg = c;
	events_follow(events, &c->follower);
}
