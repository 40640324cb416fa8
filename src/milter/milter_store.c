/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order at the end of a message with held recipients, and its crash windows
 * (design: never lose mail):
 *
 *	1. what those that pass take from the allowance is committed
 *	   (gate_secure, of every message that spends), then the copy for the
 *	   held, as pending. A crash before: the MTA hears nothing, tells its
 *	   client 4xx, and nothing is stored.
 *	2. the MTA is told to take the held out, or to drop the message. A crash
 *	   before it heard: pending counts as held at the next start, and the
 *	   client comes again: the held may get it twice, nobody gets it never.
 *	   In quarantine it is told to hold the message: a crash before it
 *	   heard leaves an entry without a message, which goes when the release
 *	   command finds nothing, or a listing.
 *	3. TAKEN: "settle, keep" is on its way, and the held take their places
 *	   in the queue. The MTA did not hear it: UNDO removes the rows.
 */
#include "milter/milter_txn_private.h"

#include "delivery/mta_queue.h"
#include "front/foreign_path.h"
#include "front/room.h"
#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TRACE_MAX 1024
#define SHORT_ID_MAX 12

/* ---- the message ---- */

/* False: there is no room, and what came is dropped. */
static bool
has_room(struct milter_txn *t, bool at_end)
{
	struct milter_parts *p = &t->desk->parts;
	struct spool_usage usage;
	char words[ROOM_TEXT_MAX];

	if (t->body == NULL)
		return t->no_room == NULL;
	if (spool_stake_bytes(p->spool, &t->stake, gate_txn_source(t->gate),
		t->size, at_end, &usage))
		return true;
	t->no_room = xstrdup(room_words(&usage, words));
	counters_add(p->counters, COUNT_LIMIT_REFUSALS, 1);
	events_add_option(p->events, clock_wall_ms(), EVENT_REFUSE, usage.limit,
	    gate_txn_source(t->gate), "", "%s", words);
	spool_body_abort(t->body);
	t->body = NULL;
	t->is_full = false;
	return false;
}

static void
write_text(struct milter_txn *t, struct str text)
{
	t->size += text.n;
	if (!has_room(t, false))
		return;
	/* Full, it takes the rest all the same; the thread is not answered
	 * before it has drained. */
	t->is_full = !spool_body_write(t->body, text.p, text.n);
}

/* Our own trace header: the MTA does not show its own to filters, and when the
 * copy comes back nothing else would tell where it came from. */
static void
write_trace(struct milter_txn *t)
{
	char text[TRACE_MAX], helo[256], date[SETTLE_DATE_MAX];
	char id[SPOOL_ID_TEXT], ip[IP_TEXT_MAX], mta[64], client[512];
	bool remote = t->client.family != IP_NONE;
	int n;

	str_escape(str_from(t->helo), helo, sizeof(helo));
	str_escape(str_from(t->queue_id), mta, sizeof(mta));
	ip_format(&t->client, ip);
	snprintf(client, sizeof(client), "from %s (%s%s%s)\r\n\t",
	    helo[0] != '\0' ? helo : "localhost", remote ? "[" : "",
	    remote ? ip : "local", remote ? "]" : "");
	n = snprintf(text, sizeof(text),
	    "Received: %sby %s (weir) with %s id %s\r\n"
	    "\t(held; the mail server had it as %s);\r\n\t%s\r\n",
	    t->desk->settings.hide_client ? "" : client,
	    t->desk->settings.hostname,
	    t->facts.user.n > 0 ? (t->utf8 ? "UTF8SMTPA" : "ESMTPA")
				: (t->utf8 ? "UTF8SMTP" : "ESMTP"),
	    spool_id_format(t->id, id), mta[0] != '\0' ? mta : "unknown",
	    settle_date(t->started_at, date));
	write_text(t, (struct str){text, (size_t)n});
}

static void
take_body(struct milter_txn *t)
{
	struct milter_ask *ask = t->ask;

	if (t->queue_id == NULL)
		t->queue_id = milter_take_text(&ask->queue_id);
	if (t->desk->settings.hold == MILTER_TEMPFAIL || t->no_room != NULL)
		return;
	if (t->body == NULL) {
		t->body = spool_body_new(t->desk->parts.spool, t->id);
		write_trace(t);
	}
	if (t->body != NULL)
		write_text(t, buf_str(&ask->text));
}

static void
on_body_drain(void *arg)
{
	struct milter_txn *t = arg;

	if (t->ask != NULL && t->ask->verb == MILTER_TEXT)
		(void)milter_txn_answer(t, MILTER_OK);
}

void
milter_store_text(struct milter_txn *t)
{
	take_body(t);
	if (t->body != NULL && t->is_full)
		spool_body_set_drain(t->body, on_body_drain, t);
	else
		(void)milter_txn_answer(t, MILTER_OK);
}

/* ---- storing ---- */

static void
on_stored(void *arg, int error)
{
	struct milter_txn *t = arg;

	t->putting = false;
	if (error != 0) {
		counters_add(t->desk->parts.counters, COUNT_SPOOL_ERRORS, 1);
		milter_txn_log(t, "refused", "the spool failed");
		(void)milter_txn_refuse(t, error == ENOSPC ? 452 : 451,
		    error == ENOSPC ? "4.3.1" : "4.3.0",
		    "The message could not be stored, try again later");
		milter_txn_drop(t);
		return;
	}
	t->stored = true;
	if (t->peer == NULL || t->ask == NULL) {
		milter_txn_drop(t);
		return;
	}
	t->ask->all = t->take_all || t->held_count == t->rcpt_count;
	t->ask->kept = t->rest;
	/* Too late: DROP or CLOSE comes, and takes it back. */
	(void)milter_txn_answer(t, MILTER_HELD);
}

static void
put(struct milter_txn *t)
{
	struct spool_rcpt *rcpts = xcalloc(t->rcpt_count, sizeof(*rcpts));
	int64_t wall = clock_wall_ms();
	bool in_mta = t->desk->settings.hold == MILTER_QUARANTINE;
	char client[IP_TEXT_MAX];
	struct spool_message m = {
	    .id = t->id,
	    .source = gate_txn_source(t->gate),
	    .policy = gate_txn_policy(t->gate),
	    .from = t->from,
	    .envid = t->envid,
	    .subject = t->subject,
	    .message_id = t->message_id,
	    .queue_id = t->queue_id,
	    .client = ip_format(&t->client, client),
	    .helo = t->helo != NULL ? t->helo : "",
	    .body_type = t->body_type,
	    .ret = foreign_path_ret(t->gate, t->ret),
	    .utf8 = t->utf8,
	    .require_tls = t->require_tls,
	    .rest = t->rest,
	    .whole = t->all_held,
	    .mta_id = in_mta ? t->queue_id : NULL,
	    .pending = true,
	    .queued_at = wall,
	    .rcpts = rcpts,
	};

	for (size_t i = 0; i < t->rcpt_count; i++) {
		const struct milter_rcpt *r = &t->rcpts[i];

		if (!r->held && !t->take_all)
			continue;
		rcpts[m.rcpt_count++] = (struct spool_rcpt){
		    .address = r->address,
		    .orcpt = r->orcpt,
		    .notify = foreign_path_notify(t->gate, r->notify),
		    .destination = gate_txn_destination(t->gate, i),
		    .lane = gate_txn_lane(t->gate, i),
		    .state = gate_txn_verdict(t->gate, i) == THROTTLE_PASS
				 ? SPOOL_RELEASED
				 : SPOOL_HELD,
		    .next_try = wall,
		};
	}
	t->putting = true;
	spool_put(t->desk->parts.spool, &m, t->body, on_stored, t);
	t->body = NULL;
	free(rcpts);
}

/* Frozen since, or what passes could not be saved: nothing is stored. */
static void
on_secured(void *arg, const struct gate_answer *answer)
{
	struct milter_txn *t = arg;

	if (answer->verdict == THROTTLE_REFUSE)
		milter_txn_stop(t, answer);
	else
		put(t);
}

/* Without it nobody could let the message out again. */
static void
refuse_id(struct milter_txn *t)
{
	log_write(t->desk->parts.log, LOG_EV_MILTER_QUEUE_ID,
	    KV(mta_id, t->queue_id),
	    KV(error, "the mail server gave no usable queue id (macro i)"));
	(void)milter_txn_refuse(t, 451, "4.3.5",
	    "The message cannot be held here, try again later");
	milter_txn_drop(t);
}

/* Postfix's short queue ids, hexadecimal digits, are given again to another
 * message soon after the first has gone: a release could let out the wrong one.
 */
static void
note_short_id(struct milter_txn *t)
{
	struct str id = str_from(t->queue_id);

	if (t->desk->short_reported || id.n > SHORT_ID_MAX)
		return;
	for (size_t i = 0; i < id.n; i++) {
		if (str_hex_digit(id.p[i]) < 0)
			return;
	}
	t->desk->short_reported = true;
	log_write(t->desk->parts.log, LOG_EV_MILTER_SHORT_ID, KV(mta_id, id),
	    KV(reason, "queue ids of this kind are soon reused; set "
		       "enable_long_queue_ids = yes in Postfix's main.cf"));
}

/* The commands name one mail server. Another one's message would stay in its
 * hold queue for ever, or an id of its own would let out a message of the
 * first. */
static bool
is_another_server(struct milter_txn *t)
{
	struct milter_desk *d = t->desk;
	const char *server = t->ask->server;
	struct spool_stats stats;

	spool_stats(d->parts.spool, &stats);
	if (stats.quarantined == 0)
		d->server[0] = '\0';
	if (server == NULL || server[0] == '\0')
		return false;
	if (d->server[0] == '\0')
		str_copy(str_from(server), d->server, sizeof(d->server));
	if (str_ieq(str_from(server), str_from(d->server)))
		return false;
	log_write(d->parts.log, LOG_EV_MILTER_SERVER, KV(server, server),
	    KV(first_server, d->server),
	    KV(error, "release_command and the like work only for the first; "
		      "run a separate weir for the other"));
	return true;
}

void
milter_store_end(struct milter_txn *t)
{
	bool in_mta = t->desk->settings.hold == MILTER_QUARANTINE;

	if (milter_loop_by_trace(t, t->ask->trace_id)) {
		(void)milter_txn_answer(t, MILTER_OK);
		return;
	}
	t->subject = milter_take_text(&t->ask->subject);
	t->message_id = milter_take_text(&t->ask->message_id);
	if (t->ask->body_type != SMTP_BODY_NONE)
		t->body_type = t->ask->body_type;
	take_body(t);
	if (!has_room(t, true)) {
		milter_txn_log(t, "refused", t->no_room);
		(void)milter_txn_refuse(t, 452, "4.3.1", t->no_room);
		milter_txn_drop(t);
		return;
	}
	if (in_mta && !mta_id_ok(str_from(t->queue_id))) {
		refuse_id(t);
		return;
	}
	if (in_mta && is_another_server(t)) {
		(void)milter_txn_refuse(t, 451, "4.3.5",
		    "The message cannot be held for this mail server, try "
		    "again later");
		milter_txn_drop(t);
		return;
	}
	if (in_mta)
		note_short_id(t);
	if (in_mta || gate_txn_is_whole(t->gate)) {
		t->all_held = true;
		for (size_t i = 0; i < t->rcpt_count; i++)
			t->rcpts[i].held = true;
		t->held_count = t->rcpt_count;
	}
	t->take_all = t->ask->unsure && t->held_count < t->rcpt_count;
	t->rest = t->desk->parts.rest_hop != NULL && !in_mta && !t->take_all &&
		  !(t->all_held ? t->ask->unsure_any : t->ask->unsure);
	gate_secure(t->gate, milter_txn_now(t), clock_wall_ms(), on_secured, t);
}
