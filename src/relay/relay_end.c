/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DATA, the final dot, and the one honest reply. The order and its crash
 * windows (design: never lose mail):
 *
 *	1. held recipients are committed as pending, and so is what those that
 *	   pass take from the allowance, if they do (gate_secure). A crash
 *	   before: nothing is stored, the client has no reply and sends again.
 *	2. the final dot goes to the next hop. A crash before its reply: pending
 *	   counts as held at the next start, the client has no reply and sends
 *	   again: the held may get it twice, nobody gets it never.
 *	3. the next hop's 250: the client gets it, and "settle, keep" is on its
 *	   way to the disk. A crash in between: pending counts as held.
 *	   Its refusal: the pending rows are removed first, then the refusal is
 *	   passed on. A crash in between is window 2.
 *
 * For the gate the text has arrived from step 2 on, unless the next hop refuses
 * it: whatever happens to the reply, see txn_let_go.
 */
#include "relay/relay_internal.h"

#include "base/header.h"
#include "delivery/let_go.h"
#include "front/settle.h"
#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- DATA ---- */

static void
txn_hold_all(struct txn *t, int64_t now)
{
	t->whole = true;
	hop_txn_leave(&t->cut, now);
	for (size_t i = 0; i < t->rcpt_count; i++)
		t->rcpts[i].cut = false;
	t->held_count = t->rcpt_count;
}

/* Recipients that are held by now may have been reached by an attempt before,
 * so those count as well; as long as there was any such attempt. */
static void
txn_begin_late(struct txn *t, int64_t now)
{
	struct late *late = t->relay->late;

	if (t->held_count == t->rcpt_count && late_is_empty(late, now))
		return;
	t->late_text =
	    late_text_new(late, str_from(gate_txn_source(t->gate)), &t->mail);
	for (size_t i = 0; i < t->rcpt_count; i++) {
		const struct relay_rcpt *r = &t->rcpts[i];
		struct smtp_rcpt rcpt = {
		    .to = str_from(r->address),
		    .notify = r->notify,
		    .orcpt = str_from(r->orcpt),
		};

		late_text_rcpt(t->late_text, &rcpt);
	}
}

static void
txn_data_go(struct txn *t, int64_t now)
{
	struct session *s = t->session;

	txn_set_state(t, TXN_TEXT);
	t->trace_due = true;
	smtp_opening_init(&t->opening);
	if (t->names == NULL && gate_txn_hears_names(t->gate))
		t->names = xmalloc(sizeof(*t->names));
	if (t->names != NULL)
		smtp_header_names_init(t->names);
	if (t->report == NULL && gate_txn_hears_bounces(t->gate))
		t->report = xmalloc(sizeof(*t->report));
	if (t->report != NULL)
		smtp_dsn_init(t->report);
	if (t->held_count > 0)
		t->body = spool_body_new(t->relay->parts.spool, t->id);
	txn_begin_spare(t);
	txn_begin_late(t, now);
	smtp_server_data_go(s->server, now);
	session_pump(s, now);
}

static void
txn_data_begin(struct txn *t, int64_t now)
{
	if (gate_txn_is_whole(t->gate))
		txn_hold_all(t, now);
	if (t->held_count < t->rcpt_count) {
		hop_txn_data(&t->cut, now);
		return;
	}
	/* The next hop may have been asked, and have refused all it was asked
	 * about: nothing is left for it. */
	hop_txn_leave(&t->cut, now);
	txn_data_go(t, now);
}

/* The sender may have been frozen since RCPT. */
static void
on_sender_answer(void *arg, const struct gate_answer *answer)
{
	struct txn *t = arg;
	int64_t now = loop_now(t->relay->parts.loop);
	struct smtp_reply reply;

	if (answer->verdict != THROTTLE_REFUSE) {
		txn_data_begin(t, now);
		return;
	}
	reply = smtp_reply_make(answer->code, answer->enhanced, answer->text);
	t->is_suspect = t->is_suspect || answer->is_frozen;
	relay_log_message(t, "refused", &reply);
	counters_add(t->relay->parts.counters, COUNT_MESSAGES_REFUSED, 1);
	t->data_refused = true;
	txn_reply(t, &reply, now);
}

void
txn_on_data(struct txn *t, int64_t now)
{
	txn_set_state(t, TXN_DATA);
	t->chunked = smtp_server_is_chunked(t->session->server);
	hop_txn_leave(&t->probe, now);
	gate_sender(t->gate, now, clock_wall_ms(), on_sender_answer, t);
}

void
txn_data_answer(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply answer = *reply;

	if (t->state != TXN_DATA)
		return;
	if (reply->code == 354) {
		txn_data_go(t, now);
		return;
	}
	if (answer.code < 400 || answer.code == 421)
		relay_make_temporary(&answer);
	relay_log_message(t, "refused", &answer);
	counters_add(t->relay->parts.counters, COUNT_MESSAGES_REFUSED, 1);
	t->data_refused = true;
	/* The recipients stand: the client may say DATA again, or RSET. */
	txn_reply(t, &answer, now);
}

/* ---- the text ---- */

static bool
txn_is_blocked(const struct txn *t)
{
	return hop_txn_is_full(&t->cut) || t->held_blocked || t->spare_blocked;
}

static void
on_body_drain(void *arg)
{
	struct txn *t = arg;

	t->held_blocked = false;
	txn_hop_drained(t, loop_now(t->relay->parts.loop));
}

/* False: the text that is to be held has no room, and is dropped; the message
 * is refused at its end. */
static bool
txn_has_room(struct txn *t, bool at_end, int64_t now)
{
	struct relay *r = t->relay;
	struct spool_usage usage;
	char words[ROOM_TEXT_MAX];

	if (t->body == NULL)
		return t->no_room == NULL;
	if (spool_stake_bytes(r->parts.spool, &t->stake,
		gate_txn_source(t->gate), t->held_size, at_end, &usage))
		return true;
	t->no_room = xstrdup(room_words(&usage, words));
	counters_add(r->parts.counters, COUNT_LIMIT_REFUSALS, 1);
	relay_report_limit(
	    r, RELAY_HELD_BYTES_MAX, gate_txn_source(t->gate), &t->client, now);
	spool_body_abort(t->body);
	t->body = NULL;
	t->held_blocked = false;
	return false;
}

static void
txn_write_held(struct txn *t, struct str chunk, int64_t now)
{
	t->held_size += chunk.n;
	if (!txn_has_room(t, false, now) ||
	    spool_body_write(t->body, chunk.p, chunk.n))
		return;
	t->held_blocked = true;
	spool_body_set_drain(t->body, on_body_drain, t);
}

static void
txn_write(struct txn *t, struct str chunk, bool is_decoded, int64_t now)
{
	if (t->held_count < t->rcpt_count)
		hop_txn_body(&t->cut, chunk, is_decoded, now);
	if (t->body != NULL)
		txn_write_held(t, chunk, now);
	txn_write_spare(t, chunk);
}

/* The trace header waits for the first of the text, to leave with it in one
 * write. */
static void
txn_write_trace(struct txn *t, int64_t now)
{
	char header[RELAY_TRACE_MAX];
	struct str trace;

	if (!t->trace_due)
		return;
	t->trace_due = false;
	trace = relay_trace_header(t, header);
	t->trace_size = trace.n;
	txn_write(t, trace, false, now);
}

static void
txn_on_opening(void *arg, struct str piece)
{
	struct txn *t = arg;

	t->trace_size += piece.n;
	txn_write(t, piece, false, loop_now(t->relay->parts.loop));
}

static void
on_header_name(void *arg, struct str address)
{
	struct txn *t = arg;

	if (t->gate != NULL)
		gate_txn_hear_name(t->gate, address);
}

static void
on_bounced(void *arg, const struct smtp_dsn_rcpt *rcpt)
{
	struct txn *t = arg;

	if (t->gate != NULL)
		gate_txn_hear_bounced(
		    t->gate, &(struct gate_bounced){rcpt->envid, rcpt->original,
				 rcpt->final, rcpt->status});
}

void
txn_on_body(struct txn *t, struct str chunk, int64_t now)
{
	txn_write_trace(t, now);
	if (t->names != NULL)
		smtp_header_names_feed(t->names, chunk, on_header_name, t);
	if (t->report != NULL)
		smtp_dsn_feed(t->report, chunk, on_bounced, t);
	if (t->late_text != NULL)
		late_text_add(t->late_text, chunk);
	if (!smtp_opening_is_over(&t->opening)) {
		t->trace_size -= chunk.n;
		chunk =
		    smtp_opening_feed(&t->opening, chunk, txn_on_opening, t);
		t->trace_size += chunk.n;
	}
	if (chunk.n > 0)
		txn_write(t, chunk, !t->chunked, now);
	if (t->session != NULL && txn_is_blocked(t))
		session_set_blocked(t->session, true, now);
}

void
txn_hop_drained(struct txn *t, int64_t now)
{
	if (t->session != NULL && !txn_is_blocked(t))
		session_set_blocked(t->session, false, now);
}

/* ---- the reply ---- */

/* What was begun is taken back where it can be: see on_stored and
 * txn_end_answer. */
void
txn_answer_late(struct txn *t, int64_t now)
{
	struct session *s = t->session;
	struct smtp_reply late = smtp_reply_make(451, "4.4.2",
	    "The message could not be stored or relayed in time, try again "
	    "later");

	txn_doubt(t, now);
	relay_log_message(t, "timeout", &late);
	txn_set_state(t, TXN_LATE);
	t->session = NULL;
	s->txn = NULL; /* the reply may end the session, and this goes on */
	smtp_server_reply(s->server, &late, now);
	session_txn_done(s);
	session_pump(s, now);
}

static void
txn_finish(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	struct session *s = t->session;
	bool is_late =
	    s != NULL && t->is_suspect && session_reply_late(s, reply, now);

	if (s != NULL && !is_late)
		smtp_server_reply(s->server, reply, now);
	txn_over(t);
	if (s != NULL)
		session_pump(s, now);
}

/* LMTP: this one alone. */
static bool
was_refused(const struct relay_rcpt *r)
{
	return r->verdict >= 400;
}

void
txn_let_go(struct txn *t, int64_t now)
{
	size_t n = gate_txn_count(t->gate);
	bool *reached;

	if (!t->cut.in_doubt) {
		gate_cancel(t->gate, now);
		t->gate = NULL;
		return;
	}
	reached = xcalloc(n + 1, sizeof(*reached));
	for (size_t i = 0; i < n && i < t->rcpt_count; i++)
		reached[i] = t->rcpts[i].cut && !was_refused(&t->rcpts[i]);
	gate_doubt(t->gate, reached, now, clock_wall_ms());
	t->gate = NULL;
	free(reached);
}

static void
txn_end(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	hop_txn_leave(&t->cut, now);
	if (t->body != NULL)
		spool_body_abort(t->body);
	t->body = NULL;
	txn_let_go(t, now);
	txn_finish(t, reply, now);
}

static void
txn_refuse(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	counters_add(t->relay->parts.counters, COUNT_MESSAGES_REFUSED, 1);
	if (t->state != TXN_LATE)
		relay_log_message(t, "refused", reply);
	txn_end(t, reply, now);
}

static const char *
address_of(const void *arg, size_t i)
{
	const struct txn *t = arg;

	return i < t->rcpt_count ? t->rcpts[i].address : NULL;
}

static void
txn_commit(struct txn *t, int64_t now)
{
	const struct gate_names names = {.address = address_of, .arg = t};
	size_t n = gate_txn_count(t->gate);
	uint64_t few[16], *tickets = few;

	if (n > ARRAY_LEN(few))
		tickets = xcalloc(n, sizeof(*tickets));
	for (size_t i = 0, held = 0; i < n; i++) {
		bool cut = i < t->rcpt_count && t->rcpts[i].cut;

		tickets[i] = cut ? 0 : SPOOL_TICKET(t->id, held++);
	}
	gate_txn_name(t->gate, &names);
	gate_commit(t->gate, tickets, now, clock_wall_ms());
	t->gate = NULL;
	if (tickets != few)
		free(tickets);
}

void
txn_accept(struct txn *t, const struct smtp_reply *hop, int64_t now)
{
	struct relay_parts *p = &t->relay->parts;
	char text[700];
	struct smtp_reply reply =
	    relay_accept_reply(t, hop, text, sizeof(text));
	char id[SPOOL_ID_TEXT];

	counters_add(p->counters, COUNT_MESSAGES, 1);
	events_add(p->events, clock_wall_ms(), EVENT_MESSAGE,
	    gate_txn_source(t->gate), spool_id_format(t->id, id),
	    "%zu recipients passed, %zu held", t->rcpt_count - t->held_count,
	    t->held_count);
	relay_log_message(t,
	    t->held_count == 0              ? "passed"
	    : t->held_count < t->rcpt_count ? "split"
					    : "held",
	    &reply);
	txn_commit(t, now);
	txn_finish(t, &reply, now);
}

/* ---- pending rows ---- */

void
txn_settle(struct txn *t, uint64_t id, bool keep)
{
	struct relay_parts *p = &t->relay->parts;

	settle_message(&t->relay->settles, p->loop, p->spool, p->log, id, keep);
}

/* The pending rows are gone, or could not be removed just now; the client
 * hears the refusal either way. */
struct refusal {
	struct txn *txn;
	struct smtp_reply reply;
	char text[512];
};

static void
on_removed(void *arg, int error)
{
	struct refusal *rf = arg;
	struct txn *t = rf->txn;
	int64_t now = loop_now(t->relay->parts.loop);

	if (error != 0 && error != ENOENT)
		txn_settle(t, t->id, false);
	txn_refuse(t, &rf->reply, now);
	free(rf);
}

void
txn_take_back(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	struct refusal *rf;

	if (!t->spooled) {
		txn_refuse(t, reply, now);
		return;
	}
	rf = xcalloc(1, sizeof(*rf));
	rf->txn = t;
	rf->reply = *reply;
	str_copy(reply->text, rf->text, sizeof(rf->text));
	rf->reply.text = str_from(rf->text);
	spool_settle(t->relay->parts.spool, t->id, false, on_removed, rf);
}

/* ---- replies that come too late ---- */

void
txn_doubt(struct txn *t, int64_t now)
{
	if (!t->cut.in_doubt || !t->late_may || t->doubted)
		return;
	t->doubted = true;
	late_doubt(t->relay->late, &t->late_key, now);
}

/* Of a client that has closed its side nobody knows whether it hears this, and
 * without a Message-ID its next message may be meant to be another. */
static void
txn_accepted_late(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	if (!t->doubted || (t->session != NULL && !t->has_message_id))
		return;
	late_accepted(t->relay->late, &t->late_key, t->has_message_id, now);
	if (t->state == TXN_LATE)
		relay_log_message(t, "late", reply);
}

/* Once more what the next hop has, or may have: it goes no further. */
static bool
txn_is_repeat(struct txn *t, int64_t now)
{
	struct relay *r = t->relay;
	struct smtp_reply taken = smtp_reply_make(250, "2.0.0",
	    "Ok: the next hop accepted this message at an earlier attempt");
	struct smtp_reply wait = smtp_reply_make(451, "4.4.2",
	    "The next hop has not yet replied to an earlier attempt with this "
	    "message, try again later");

	if (t->late_text == NULL)
		return false;
	t->late_key = late_text_key(t->late_text);
	late_text_free(t->late_text);
	t->late_text = NULL;
	t->has_message_id = smtp_server_has_message_id(t->session->server);
	t->late_may = t->held_count == 0 &&
		      (t->rcpt_count == 1 || !hop_txn_is_lmtp(&t->cut));
	switch (late_ask(r->late, &t->late_key, now)) {
	case LATE_NONE:
		return false;
	case LATE_IN_DOUBT:
		txn_refuse(t, &wait, now);
		return true;
	case LATE_ACCEPTED:
		break;
	}
	counters_add(r->parts.counters, COUNT_MESSAGES, 1);
	counters_add(r->parts.counters, COUNT_MESSAGES_REPEATED, 1);
	relay_log_message(t, "repeated", &taken);
	txn_end(t, &taken, now);
	return true;
}

void
txn_end_answer(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply answer = *reply;

	if (smtp_reply_is_ok(reply))
		txn_accepted_late(t, reply, now);
	if (smtp_reply_is_ok(reply) && t->gate != NULL &&
	    t->relay->parts.let_go != NULL)
		let_go_note_reply(t->relay->parts.let_go,
		    gate_txn_source(t->gate), reply->text, now);
	if (smtp_reply_is_ok(reply) && t->state != TXN_LATE) {
		if (t->spooled)
			txn_settle(t, t->id, true);
		txn_accept(t, reply, now);
		return;
	}
	if (answer.code == 421)
		relay_make_temporary(&answer);
	txn_take_back(t, &answer, now);
}

static void
txn_send_end(struct txn *t, int64_t now)
{
	/* Else the moment in which it leaves is the one to remember it. */
	bool gone = t->session == NULL || t->session->said_all;

	if (gone)
		t->cut.in_doubt = t->cut.state == HOP_TXN_BODY;
	if (gone)
		txn_doubt(t, now);
	hop_txn_end(&t->cut, now);
}

/* All of it is on the disk, or one of it is not. From here on what passes is
 * spent. */
static void
txn_end_safe(struct txn *t, int64_t now)
{
	struct smtp_reply no =
	    smtp_reply_make(451, "4.4.2", "Too late"); /* 451 meanwhile */

	if (t->no_code != 0)
		no = smtp_reply_make(t->no_code, t->no_enhanced, t->no_text);
	if (t->no_code != 0 || t->state == TXN_LATE)
		txn_take_back(t, &no, now);
	else if (t->held_count < t->rcpt_count)
		txn_send_end(t, now);
	else
		txn_accept(t, NULL, now);
}

static void
txn_is_safer(struct txn *t, int64_t now)
{
	if (--t->unsafe == 0)
		txn_end_safe(t, now);
}

static void
txn_say_no(struct txn *t, unsigned code, const char *enhanced, const char *text)
{
	if (t->no_code != 0)
		return;
	t->no_code = code;
	str_copy(str_from(enhanced), t->no_enhanced, sizeof(t->no_enhanced));
	t->no_text = xstrdup(text);
}

static void
on_stored(void *arg, int error)
{
	struct txn *t = arg;

	t->spooled = error == 0;
	if (error != 0)
		counters_add(t->relay->parts.counters, COUNT_SPOOL_ERRORS, 1);
	if (error == ENOSPC)
		txn_say_no(
		    t, 452, "4.3.1", "The spool is full, try again later");
	else if (error != 0)
		txn_say_no(t, 451, "4.3.0",
		    "The message could not be stored, try again later");
	txn_is_safer(t, loop_now(t->relay->parts.loop));
}

static void
on_secured(void *arg, const struct gate_answer *answer)
{
	struct txn *t = arg;

	if (answer->verdict == THROTTLE_REFUSE)
		txn_say_no(t, answer->code, answer->enhanced, answer->text);
	txn_is_safer(t, loop_now(t->relay->parts.loop));
}

struct spool_message
txn_spooled(const struct txn *t, char client[IP_TEXT_MAX], int64_t wall)
{
	return (struct spool_message){
	    .source = gate_txn_source(t->gate),
	    .policy = gate_txn_policy(t->gate),
	    .from = t->from,
	    .envid = t->envid,
	    .subject = t->subject,
	    .message_id = t->message_id,
	    .client = ip_format(&t->client, client),
	    .helo = t->helo,
	    .body_type = t->mail.body,
	    .ret = t->mail.ret,
	    .utf8 = t->mail.utf8,
	    .require_tls = t->mail.require_tls,
	    .queued_at = wall,
	};
}

static void
txn_store(struct txn *t)
{
	struct spool_rcpt *rcpts = xcalloc(t->rcpt_count, sizeof(*rcpts));
	int64_t wall = clock_wall_ms();
	char client[IP_TEXT_MAX];
	struct spool_message m = txn_spooled(t, client, wall);

	m.id = t->id;
	m.whole = t->whole;
	m.pending = t->held_count < t->rcpt_count;
	m.rcpts = rcpts;
	for (size_t i = 0; i < t->rcpt_count; i++) {
		const struct relay_rcpt *r = &t->rcpts[i];

		if (r->cut)
			continue;
		rcpts[m.rcpt_count++] = (struct spool_rcpt){
		    .address = r->address,
		    .orcpt = r->orcpt,
		    .notify = r->notify,
		    .destination = gate_txn_destination(t->gate, i),
		    .lane = gate_txn_lane(t->gate, i),
		    .state = gate_txn_verdict(t->gate, i) == THROTTLE_PASS
				 ? SPOOL_RELEASED
				 : SPOOL_HELD,
		    .next_try = wall,
		};
	}
	spool_put(t->relay->parts.spool, &m, t->body, on_stored, t);
	t->body = NULL;
	free(rcpts);
}

static void
txn_faulty(struct txn *t, int64_t now)
{
	struct session *s = t->session;
	struct smtp_reply refused =
	    smtp_reply_make(554, "5.6.0", "The message is not acceptable");

	counters_add(t->relay->parts.counters, COUNT_MESSAGES_REFUSED, 1);
	relay_log_message(t, "faulty", &refused);
	txn_only_asked(t, now);
	smtp_server_reply(s->server, NULL, now);
	txn_abort(t, now);
	session_pump(s, now);
}

/* The next hop was reached within the session, or takes less by now than at
 * EHLO: what would come back at its release is refused here. */
static bool
is_too_big_later(const struct txn *t)
{
	struct smtp_caps caps;

	return t->held_count > 0 &&
	       !nexthop_has_choice(t->relay->parts.nexthop) &&
	       nexthop_caps(t->relay->parts.nexthop, &caps) && caps.size > 0 &&
	       t->size + t->trace_size > caps.size;
}

void
txn_on_end(struct txn *t, enum smtp_data_fault fault, int64_t now)
{
	struct session *s = t->session;
	struct str subject = smtp_server_subject(s->server);
	struct smtp_reply too_big = smtp_reply_make(
	    552, "5.3.4", "The message is larger than the next hop accepts");
	bool cut_is_dead;

	txn_set_state(t, TXN_END);
	t->size = smtp_server_message_size(s->server);
	if (!str_is_empty(subject))
		t->subject = str_dup(subject);
	t->message_id =
	    str_dup(header_message_id(smtp_server_message_id(s->server)));
	if (fault != SMTP_DATA_OK) {
		txn_faulty(t, now);
		return;
	}
	txn_write_trace(t, now);
	smtp_opening_end(&t->opening, txn_on_opening, t);
	if (txn_is_repeat(t, now))
		return;
	if (is_too_big_later(t)) {
		txn_only_asked(t, now);
		txn_refuse(t, &too_big, now);
		return;
	}
	if (!txn_has_room(t, true, now)) {
		struct smtp_reply full =
		    smtp_reply_make(452, "4.3.1", t->no_room);

		txn_refuse(t, &full, now);
		return;
	}
	t->answer_due = now + s->settings->answer_timeout_ms;
	/* A hop transaction that died under the text refuses at once, nothing
	 * is stored. */
	cut_is_dead =
	    t->held_count < t->rcpt_count && t->cut.state == HOP_TXN_DEAD;
	if (cut_is_dead) {
		hop_txn_end(&t->cut, now);
		return;
	}
	/* In one commit, as a rule; the second part keeps the first from
	 * ending it. */
	t->unsafe = 2;
	gate_secure(t->gate, now, clock_wall_ms(), on_secured, t);
	if (t->held_count > 0 && t->no_code == 0)
		txn_store(t);
	else
		txn_is_safer(t, now);
}
