/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events: what happened, and what happens. trace: what one client, sender or
 * next hop says and is answered, from now on. A follower that does not take its
 * lines is dropped.
 */
#include "config.h"

#include "control/control.h"
#include "os/clock.h"
#include "os/tap.h"

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

/* A follower that did not read what it asked for, before its end. */
static void
report_dropped(const struct control_conn *c)
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
	report_dropped(c);
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

/* ---- trace ---- */

static json_t *
row_of(const struct tap_line *line)
{
	const struct tap_who *who = line->who;
	char ip[IP_TEXT_MAX] = "";

	if (who->client != NULL)
		(void)ip_format(who->client, ip);
	return json_pack("{s:o, s:s, s:s, s:o, s:o, s:s, s:o}", "at",
	    control_time(clock_wall_ms()), "part", tap_part_name[line->part],
	    "client", ip, "sender",
	    control_text(who->sender != NULL ? who->sender : ""), "next_hop",
	    control_text(who->hop != NULL ? who->hop : ""), "id", who->id,
	    "text", control_bytes(line->text, line->text.n));
}

static void
on_line(void *arg, const struct tap_line *line)
{
	struct control_conn *c = arg;

	if (control_send(c, "event", row_of(line)))
		return;
	report_dropped(c);
	control_conn_end(c);
}

static void
on_until(void *arg, int64_t now)
{
	struct control_conn *c = arg;

	(void)now;
	tap_unfollow(&c->tap);
	c->is_following = false;
	control_done(c, NULL);
}

void
control_trace_init(struct control_conn *c)
{
	list_init(&c->tap.entry);
	loop_timer_init(&c->until, c->control->server.loop, on_until, c);
}

void
control_trace(struct control_conn *c, int64_t now)
{
	struct tap *tap = log_tap(c->control->server.log);

	if (!tap_filter_parse(str_from(c->request.term), &c->tap.filter)) {
		control_fail(c, CONTROL_USAGE,
		    "term: an address or network of clients, a sender, or a "
		    "next hop as status names it");
		return;
	}
	c->is_following = true;
	c->tap.on_line = on_line;
	c->tap.arg = c;
	tap_follow(tap, &c->tap);
	log_write(c->control->server.log, LOG_EV_CONTROL_TRACE, KV(by, c->who),
	    KV(target, c->request.term));
	if (c->request.given & CONTROL_FOR)
		loop_timer_set(&c->until, now + c->request.for_ms);
}
