/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * find: "where is my mail?". What lies in the spool is looked for by the
 * spool's own thread, in steps; the gate says what each recipient waits for. Of
 * what is not there the events may know something, the log does.
 */
#include "config.h"

#include "maild/control_private.h"

#include "base/fold.h"
#include "base/units.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIND_ROWS 1000 /* where max does not say */
#define WAITS_MAX 512

struct moment {
	int64_t now, wall;
};

/* ---- what a recipient waits for ---- */

static const char *
in_time(int64_t due, int64_t wall, char out[UNITS_TEXT_MAX])
{
	int64_t left = due > wall ? due - wall : 0;

	return units_format_duration((left + 999) / 1000 * 1000, out);
}

/* A message that goes whole goes with the last of its recipients. */
static bool
waits_in_queue(const struct control_conn *c, const struct spool_message *m,
    size_t i, const struct moment *at, struct gate_wait *out)
{
	struct gate *gate = control_parts(c)->gate;
	struct str source = str_from(m->source);
	struct gate_wait one;
	bool found = false;

	if (!m->whole)
		return m->rcpts[i].state == SPOOL_HELD &&
		       gate_expected(gate, source, m->rcpts[i].destination,
			   at->now, at->wall, out);
	for (size_t k = 0; k < m->rcpt_count; k++) {
		if (m->rcpts[k].state != SPOOL_HELD ||
		    !gate_expected(gate, source, m->rcpts[k].destination,
			at->now, at->wall, &one))
			continue;
		if (!found || one.ahead > out->ahead)
			*out = one;
		found = true;
	}
	return found;
}

static void
put_wait(json_t *row, const struct spool_message *m,
    const struct gate_wait *wait, int64_t wall)
{
	char text[WAITS_MAX], left[UNITS_TEXT_MAX];
	const char *what = wait->frozen        ? "frozen"
			   : m->mta_id != NULL ? "quarantined"
					       : "held";

	if (wait->frozen)
		snprintf(
		    text, sizeof(text), "until %.300s is thawed", m->source);
	else if (wait->due == INT64_MAX)
		snprintf(text, sizeof(text), "until somebody releases it");
	else
		snprintf(text, sizeof(text), "%u ahead of it; it goes in %s",
		    wait->ahead, in_time(wait->due, wall, left));
	json_object_set_new(row, "what", json_string(what));
	json_object_set_new(row, "before", json_integer(wait->ahead));
	json_object_set_new(row, "expected", control_time(wait->due));
	json_object_set_new(row, "waits", control_text(text));
}

static void
put_rest(json_t *row, const struct spool_message *m, const struct spool_rcpt *r,
    int64_t wall)
{
	char text[WAITS_MAX] = "", left[UNITS_TEXT_MAX], error[256];
	const char *what = m->mta_id != NULL ? "quarantined" : "released";
	int64_t due = 0;

	if (m->doomed) {
		what = "discarded";
	} else if (r->state == SPOOL_SENDING) {
		what = "sending";
	} else if (r->state == SPOOL_HELD) {
		/* In no queue: the start could not put it there. */
		what = m->mta_id != NULL ? "quarantined" : "held";
		snprintf(text, sizeof(text), "until somebody releases it");
	} else if (r->stopped) {
		what = "frozen";
		snprintf(text, sizeof(text), "released, until %.300s is thawed",
		    m->source);
	} else if (r->attempts > 0) {
		what = "deferred";
		due = r->next_try;
		snprintf(text, sizeof(text), "%u attempts, next in %s: %s",
		    r->attempts, in_time(due, wall, left),
		    str_escape(str_from(r->last_error), error, sizeof(error)));
	}
	json_object_set_new(row, "what", json_string(what));
	json_object_set_new(row, "expected", control_time(due));
	json_object_set_new(row, "waits", control_text(text));
}

static json_t *
found_row(const struct control_conn *c, const struct spool_message *m,
    const struct moment *at)
{
	json_t *row = control_message_row(m);
	json_t *rcpts = json_object_get(row, "recipients");
	struct gate_wait last, wait;
	bool waits =
	    m->whole && !m->doomed && waits_in_queue(c, m, 0, at, &last);

	for (size_t i = 0; i < m->rcpt_count; i++) {
		json_t *r = json_array_get(rcpts, i);

		if (waits && m->rcpts[i].state != SPOOL_SENDING)
			put_wait(r, m, &last, at->wall);
		else if (!m->doomed && !m->whole &&
			 waits_in_queue(c, m, i, at, &wait))
			put_wait(r, m, &wait, at->wall);
		else
			put_rest(r, m, &m->rcpts[i], at->wall);
	}
	return row;
}

/* ---- what is not there ---- */

struct recall {
	struct control_conn *c;
	struct fold *fold;
	char *term;
	size_t sent;
};

#define RECALL_MAX 20

static bool
is_recalled(struct recall *r, const struct event_item *e)
{
	const struct control_request *q = &r->c->request;
	struct str detail = str_from(e->detail);
	/* What events do not know cannot be in them. */
	unsigned unknown =
	    CONTROL_MESSAGE_ID | CONTROL_SUBJECT | CONTROL_CLIENT;

	if ((q->given & unknown) != 0 || !control_sees(r->c, e->sender) ||
	    (q->sender != NULL && strcmp(q->sender, e->sender) != 0) ||
	    (q->mta_id != NULL && memmem(detail.p, detail.n, q->mta_id,
				      strlen(q->mta_id)) == NULL))
		return false;
	if (q->recipient != NULL) {
		struct str address = str_sub(detail, 0, str_index(detail, ':'));

		if (!str_iglob(str_from(q->recipient), address))
			return false;
	}
	return r->term == NULL || str_ieq(str_from(e->id), str_from(q->term)) ||
	       fold_has(r->fold, str_from(e->sender), str_from(r->term)) ||
	       fold_has(r->fold, detail, str_from(r->term));
}

static void
on_past(void *arg, const struct event_item *e)
{
	struct recall *r = arg;

	if (r->sent < RECALL_MAX && is_recalled(r, e) &&
	    control_send(r->c, "event", control_event_row(e)))
		r->sent++;
}

static void
report_nothing(struct control_conn *c)
{
	struct recall r = {.c = c, .fold = fold_new()};

	if (c->request.term != NULL)
		r.term = str_dup(fold_text(r.fold, str_from(c->request.term)));
	events_each(control_parts(c)->events, 0, on_past, &r);
	free(r.term);
	fold_free(r.fold);
	control_fail(c, CONTROL_ABSENT,
	    "no mail in the spool matches; for mail that was delivered, "
	    "refused or never held, see the log, and the mail server's%s",
	    r.sent > 0 ? "; matching events are shown above" : "");
}

/* ---- the walk ---- */

static void step_find(struct control_conn *c, int64_t now);

/* As many as were wanted, those of earlier pages included. */
static bool
is_enough(const struct control_conn *c)
{
	uint64_t max =
	    c->request.given & CONTROL_MAX ? c->request.max : FIND_ROWS;

	return c->from.rows + c->rows >= max;
}

/* What does not fit is looked for again: the cursor stands before it. False:
 * the request has failed. */
static bool
send_found(struct control_conn *c, const struct spool_found *found)
{
	struct moment at = {loop_now(control_parts(c)->loop), clock_wall_ms()};
	size_t n = 0;

	for (size_t i = 0; i < found->n && !is_enough(c); i++) {
		json_t *row = found_row(c, &found->messages[i], &at);

		if (!control_send(c, "row", row)) {
			if (control_is_behind(c))
				return true;
			control_fail(c, CONTROL_FAILED,
			    "a message has too many recipients to be shown");
			return false;
		}
		c->cursor = found->messages[i].id;
		n++;
	}
	if (n == found->n)
		c->cursor = found->after;
	return true;
}

static void
on_found(void *arg, int error, const struct spool_found *found)
{
	struct control_conn *c = arg;
	bool end;

	if (!control_resume(c))
		return;
	if (error != 0) {
		control_fail_errno(c, error);
		return;
	}
	c->on_step = step_find;
	if (!send_found(c, found))
		return;
	end = found->end && c->cursor == found->after;
	if (!end && is_enough(c))
		control_done(c, json_pack("{s:b}", "more", 1));
	else if (!end)
		return;
	else if (c->from.rows + c->rows == 0)
		report_nothing(c);
	else
		control_done(c, NULL);
}

static void
step_find(struct control_conn *c, int64_t now)
{
	const struct control_request *r = &c->request;
	struct spool_find what = {
	    .term = r->term,
	    .message_id = r->message_id,
	    .mta_id = r->mta_id,
	    .client = r->client,
	    .subject = r->subject,
	    .source = r->sender,
	    .recipient = r->recipient,
	    .domain = c->domain,
	};

	(void)now;
	control_wait(c);
	spool_find(control_parts(c)->spool, &what, c->cursor, CONTROL_PAGE,
	    on_found, c);
}

void
control_find(struct control_conn *c, int64_t now)
{
	struct ip ip;

	if (c->request.client != NULL &&
	    !ip_parse(str_from(c->request.client), &ip)) {
		control_fail(
		    c, CONTROL_USAGE, "find: \"client\" must be an IP address");
		return;
	}
	/* One that the gate has forgotten may have mail in the spool. */
	if (c->request.sender != NULL)
		(void)control_find_sender(c, now);
	step_find(c, now);
}
