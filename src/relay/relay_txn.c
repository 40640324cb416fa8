/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MAIL and RCPT: the gate's verdict on each recipient, and the next hop's word
 * on it. A recipient that passes is asked of the next hop at once, so that a
 * refusal reaches the client in the session; a held one is asked on a second
 * connection (verify_held), whose transaction is never finished.
 */
#include "relay/relay_internal.h"

#include "front/foreign_path.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *
dup_or_null(struct str s)
{
	return str_is_empty(s) ? NULL : str_dup(s);
}

/* What a recipient takes, here, with the gate and towards the spool. */
#define RCPT_BYTES (2 * sizeof(struct relay_rcpt) + 256)

static void
rcpt_clear(struct txn *t, struct relay_rcpt *r)
{
	if (r->bytes > 0)
		share_give(t->relay->envelopes, t->room, r->bytes);
	free(r->address);
	free(r->orcpt);
	free(r->verdict_text);
	*r = (struct relay_rcpt){0};
}

static struct txn *
txn_new(struct session *s, const struct smtp_mail *mail, int64_t wall)
{
	struct txn *t = xcalloc(1, sizeof(*t));

	t->relay = s->relay;
	t->session = s;
	t->started_at = wall;
	t->client = s->client;
	t->from = str_dup(mail->from);
	t->envid = dup_or_null(mail->envid);
	t->mail = *mail;
	t->mail.from = str_from(t->from);
	t->mail.envid = str_from(t->envid);
	t->cut.txn = t->probe.txn = t;
	t->probe.is_probe = true;
	t->id = spool_new_id(s->relay->parts.spool, wall);
	list_append(&s->relay->txns, &t->entry);
	return t;
}

/* What it has of others' goes back at once: the session's next message may want
 * it in this same turn. */
void
txn_over(struct txn *t)
{
	struct relay *r = t->relay;
	struct session *s = t->session;

	txn_set_state(t, TXN_OVER);
	t->session = NULL;
	if (t->doubted)
		late_forget(r->late, &t->late_key);
	if (t->spare != NULL)
		spool_body_abort(t->spare);
	t->spare = NULL;
	for (size_t i = 0; i < t->rcpt_count; i++)
		rcpt_clear(t, &t->rcpts[i]);
	t->rcpt_count = t->held_count = 0;
	rcpt_clear(t, &t->asked);
	share_leave(r->envelopes, t->room);
	t->room = NULL;
	spool_stake_clear(r->parts.spool, &t->stake);
	list_remove(&t->entry);
	relay_reap_later(r, &r->txns_over, &t->entry);
	if (s != NULL)
		session_txn_done(s);
}

static void
txn_free(struct txn *t)
{
	late_text_free(t->late_text);
	free(t->rcpts);
	free(t->no_room);
	free(t->from);
	free(t->envid);
	free(t->helo);
	free(t->subject);
	free(t->message_id);
	free(t->no_text);
	free(t->names);
	free(t->report);
	free(t->cut.mail_text);
	free(t->probe.mail_text);
	free(t);
}

void
txn_free_all(struct list *over)
{
	struct list *e, *next;

	list_each_safe (e, next, over) {
		list_remove(e);
		txn_free(LIST_ITEM(e, struct txn, entry));
	}
}

void
txn_reply(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	struct session *s = t->session;

	if (s == NULL)
		return;
	txn_set_state(t, TXN_ENVELOPE);
	if (t->is_suspect && session_reply_late(s, reply, now))
		return;
	/* At a cap this is the end of the session, and of the transaction. */
	smtp_server_reply(s->server, reply, now);
	session_pump(s, now);
}

/* ---- MAIL ---- */

/* Whoever pipelines has named them by now. */
static void
look_ahead(void *arg, gate_ahead_fn *fn, void *fn_arg)
{
	const struct txn *t = arg;
	const struct session *s = t->session;

	if (s != NULL && s->state != SESSION_ENDED)
		smtp_server_look_ahead(
		    s->server, conn_input(s->conn), SPOOL_RCPT_MAX, fn, fn_arg);
}

static void
on_sender_answer(void *arg, const struct gate_answer *answer)
{
	struct txn *t = arg;
	int64_t now = loop_now(t->relay->parts.loop);
	struct session *s = t->session;
	struct smtp_reply reply;

	if (answer->verdict != THROTTLE_REFUSE) {
		reply = smtp_reply_make(250, "2.1.0", "Ok");
		txn_reply(t, &reply, now);
		return;
	}
	reply = smtp_reply_make(answer->code, answer->enhanced, answer->text);
	relay_log_message(t, "refused", &reply);
	gate_cancel(t->gate, now);
	txn_over(t);
	if (answer->is_frozen && session_reply_late(s, &reply, now))
		return;
	smtp_server_reply(s->server, &reply, now);
	session_pump(s, now);
}

static bool
may_mail(const struct session *s, struct smtp_reply *no, int64_t now)
{
	if (s->listen.auth_required && s->user == NULL &&
	    str_is_empty(session_tls_user(s))) {
		*no = smtp_reply_make(530, "5.7.0", "Authentication required");
		return false;
	}
	if (!session_is_mine(s) &&
	    ask_guard_is_over(s->relay->asked, &s->client,
		s->settings->limits.refused_max, now)) {
		counters_add(s->relay->parts.counters, COUNT_LIMIT_REFUSALS, 1);
		relay_report_limit(
		    s->relay, RELAY_REFUSED_MAX, NULL, &s->client, now);
		*no = smtp_reply_make(421, "4.7.0",
		    "Too many recipients probed from your address without "
		    "sending mail, try again later");
		return false;
	}
	if (!private_conn_is_lost(s))
		return true;
	*no = smtp_reply_make(421, "4.4.2",
	    "The next hop closed the connection of this login, log in again");
	return false;
}

static void
txn_use_forwarded(
    struct txn *t, const struct xclient *x, struct gate_facts *facts)
{
	if (x == NULL)
		return;
	t->forwarded = true;
	if (x->addr.family != IP_NONE)
		t->client = facts->client = x->addr;
	if (x->helo[0] != '\0')
		facts->helo = str_from(x->helo);
}

void
txn_on_mail(struct session *s, const struct smtp_mail *mail, int64_t now)
{
	int64_t wall = clock_wall_ms();
	struct gate_facts facts = {
	    .user = session_user(s),
	    .proof = s->user != NULL ? s->proof : 0,
	    .sender = mail->from,
	    .helo = smtp_server_helo(s->server),
	    .client = s->client,
	    .front_end = session_is_trusted(s),
	    .teaches = true,
	};
	struct smtp_reply no;
	struct txn *t;

	if (!may_mail(s, &no, now)) {
		smtp_server_reply(s->server, &no, now);
		session_pump(s, now);
		return;
	}
	t = txn_new(s, mail, wall);
	txn_use_forwarded(t, s->forwarded, &facts);
	s->txn = t;
	t->helo = str_dup(facts.helo);
	if (conn_is_tls(s->conn)) {
		t->tls = conn_tls_info(s->conn).version;
		t->tls_cipher = conn_tls_info(s->conn).cipher;
	}
	txn_set_state(t, TXN_MAIL);
	t->gate = gate_begin(s->relay->parts.gate, &facts, now);
	gate_look_ahead(t->gate, &(struct gate_ahead){look_ahead, t});
	gate_sender(t->gate, now, wall, on_sender_answer, t);
}

/* ---- RCPT ---- */

static void
txn_add_rcpt(struct txn *t, bool cut)
{
	if (t->rcpt_count == t->rcpt_cap) {
		t->rcpt_cap = t->rcpt_cap == 0 ? 2 : t->rcpt_cap * 2;
		t->rcpts = xrealloc(t->rcpts, t->rcpt_cap * sizeof(*t->rcpts));
	}
	t->asked.cut = cut;
	t->rcpts[t->rcpt_count++] = t->asked;
	t->asked = (struct relay_rcpt){0};
	if (!cut)
		t->held_count++;
}

static void
txn_refuse_rcpt(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	gate_drop_last(t->gate, now);
	rcpt_clear(t, &t->asked);
	txn_reply(t, reply, now);
}

/* By the next hop, or by its refusal of MAIL. */
static void
txn_rcpt_refused(struct txn *t, const struct smtp_reply *reply, int64_t now)
{
	const struct hop_txn *hop_txn = t->asked.cut ? &t->cut : &t->probe;

	if (!hop_txn->mail_refused)
		gate_drop_refused(t->gate,
		    &(struct gate_reply){reply->code, reply->enhanced, true},
		    now, clock_wall_ms());
	txn_refuse_rcpt(t, reply, now);
}

/* The same for everybody, or anybody could ask who writes to whom. What waits,
 * why and until when stands in the reply to the dot. */
static const struct smtp_reply rcpt_taken = {
    .code = 250, .enhanced = "2.1.5", .text = STR("Ok")};

static void
txn_hold_rcpt(struct txn *t, int64_t now)
{
	spool_stake_recipient(
	    t->relay->parts.spool, &t->stake, gate_txn_source(t->gate));
	txn_add_rcpt(t, false);
	txn_reply(t, &rcpt_taken, now);
}

void
txn_rcpt_answer(
    struct txn *t, const struct smtp_reply *reply, bool reached, int64_t now)
{
	struct smtp_reply answer = *reply;

	if (t->state != TXN_RCPT)
		return;
	if (!t->asked.cut) {
		/* A temporary refusal, or no next hop at all, is no reason not
		 * to hold: the mail waits anyhow. */
		if (reached && reply->code >= 500)
			txn_rcpt_refused(t, reply, now);
		else
			txn_hold_rcpt(t, now);
		return;
	}
	if (reached && smtp_reply_is_ok(reply)) {
		txn_add_rcpt(t, true);
		txn_reply(t, &rcpt_taken, now);
		return;
	}
	if (!reached ||
	    answer.code == 421) { /* it goes away, this session not */
		relay_make_temporary(&answer);
		txn_refuse_rcpt(t, &answer, now);
		return;
	}
	txn_rcpt_refused(t, &answer, now);
}

/* With more than one recipient an LMTP next hop may leave weir with a part of
 * them, and then the spool must take it. The client sends the others later. */
static bool
is_too_many(const struct txn *t)
{
	return t->rcpt_count > t->held_count && hop_txn_is_lmtp(&t->cut) &&
	       spool_is_short(t->relay->parts.spool);
}

static void
txn_rcpt_pass(struct txn *t, int64_t now)
{
	struct smtp_reply later = smtp_reply_make(452, "4.5.3",
	    "One recipient at a time while the spool is full; send the others "
	    "in another message");

	if (is_too_many(t)) {
		txn_refuse_rcpt(t, &later, now);
		return;
	}
	t->asked.cut = true;
	hop_txn_rcpt(&t->cut, now);
}

static void
txn_put_off(struct txn *t, const struct spool_usage *usage, int64_t now)
{
	char text[ROOM_TEXT_MAX];
	struct smtp_reply full =
	    smtp_reply_make(452, "4.3.1", room_words(usage, text));

	counters_add(t->relay->parts.counters, COUNT_LIMIT_REFUSALS, 1);
	relay_report_limit(t->relay, RELAY_HELD_MAX, gate_txn_source(t->gate),
	    &t->client, now);
	gate_drop_for_room(t->gate, now);
	rcpt_clear(t, &t->asked);
	txn_reply(t, &full, now);
}

static void
txn_no_disk(struct txn *t, int64_t now)
{
	struct smtp_reply no_room = smtp_reply_make(452, "4.3.1",
	    "New recipients would be held and the spool is full, try again "
	    "later");

	counters_add(t->relay->parts.counters, COUNT_LIMIT_REFUSALS, 1);
	relay_report_limit(t->relay, RELAY_MIN_FREE, gate_txn_source(t->gate),
	    &t->client, now);
	txn_refuse_rcpt(t, &no_room, now);
}

static void
txn_rcpt_held(struct txn *t, const char *why, int64_t now)
{
	struct relay *r = t->relay;
	struct spool_usage usage;

	t->asked.cut = false;
	str_copy(str_from(why), t->held_why, sizeof(t->held_why));
	if (spool_is_short(r->parts.spool))
		txn_no_disk(t, now);
	else if (!spool_room(
		     r->parts.spool, gate_txn_source(t->gate), 1, 0, &usage))
		txn_put_off(t, &usage, now);
	else if (t->session->settings->verify_held)
		hop_txn_rcpt(&t->probe, now);
	else
		txn_hold_rcpt(t, now);
}

static void
on_recipient_answer(void *arg, const struct gate_answer *answer)
{
	struct txn *t = arg;
	int64_t now = loop_now(t->relay->parts.loop);
	struct smtp_reply reply;

	t->mail.ret =
	    (enum smtp_ret)foreign_path_ret(t->gate, (unsigned)t->mail.ret);
	t->asked.notify = foreign_path_notify(t->gate, t->asked.notify);
	t->is_suspect = answer->is_frozen || gate_txn_is_suspect(t->gate);
	switch (answer->verdict) {
	case THROTTLE_PASS:
		txn_rcpt_pass(t, now);
		break;
	case THROTTLE_HOLD:
		txn_rcpt_held(t, answer->why, now);
		break;
	case THROTTLE_REFUSE:
		reply = smtp_reply_make(
		    answer->code, answer->enhanced, answer->text);
		rcpt_clear(t, &t->asked);
		txn_reply(t, &reply, now);
		break;
	}
}

/* A user has a part of the memory, and so has a client where nobody has logged
 * in; of a forwarded client its own. */
static struct share_user *
txn_join(const struct txn *t)
{
	struct share *envelopes = t->relay->envelopes;
	struct str user = session_user(t->session);
	struct ip site;

	return share_join(
	    envelopes, user.n > 0 ? user : ip_site_key(&t->client, &site));
}

static void
txn_no_memory(struct txn *t, int64_t now)
{
	struct relay *r = t->relay;
	uint64_t max = t->session->settings->envelope_memory;
	char text[200];
	struct smtp_reply full;

	snprintf(text, sizeof(text),
	    "Too many recipients in open transactions: %llu of %llu KiB in "
	    "use, %llu by you; finish other messages or try again later",
	    (unsigned long long)(share_used(r->envelopes) >> 10),
	    (unsigned long long)(max >> 10),
	    (unsigned long long)(share_used_by(t->room) >> 10));
	full = smtp_reply_make(452, "4.3.1", text);
	counters_add(r->parts.counters, COUNT_LIMIT_REFUSALS, 1);
	relay_report_limit(r, RELAY_ENVELOPE_MEMORY, gate_txn_source(t->gate),
	    &t->client, now);
	txn_reply(t, &full, now);
}

void
txn_on_rcpt(struct txn *t, const struct smtp_rcpt *rcpt, int64_t now)
{
	struct relay *r = t->relay;
	uint32_t bytes = (uint32_t)(RCPT_BYTES + rcpt->to.n + rcpt->orcpt.n);

	txn_set_state(t, TXN_RCPT);
	if (t->room == NULL)
		t->room = txn_join(t);
	if (!share_may(r->envelopes, t->room,
		t->session->settings->envelope_memory, bytes)) {
		txn_no_memory(t, now);
		return;
	}
	share_take(r->envelopes, t->room, bytes);
	t->asked = (struct relay_rcpt){
	    .address = str_dup(rcpt->to),
	    .orcpt = dup_or_null(rcpt->orcpt),
	    .bytes = bytes,
	    .notify = rcpt->notify,
	};
	gate_recipient(
	    t->gate, rcpt->to, now, clock_wall_ms(), on_recipient_answer, t);
}

/* ---- the end before the end ---- */

void
txn_abort(struct txn *t, int64_t now)
{
	hop_txn_leave(&t->cut, now);
	hop_txn_leave(&t->probe, now);
	if (t->body != NULL)
		spool_body_abort(t->body);
	t->body = NULL;
	txn_let_go(t, now);
	txn_over(t);
}

void
txn_only_asked(struct txn *t, int64_t now)
{
	const struct session *s = t->session;

	if (s == NULL || session_is_mine(s))
		return;
	ask_guard_add(t->relay->asked, &s->client, t->rcpt_count,
	    s->settings->limits.refused_max, now);
}

void
txn_given_up(struct txn *t, int64_t now)
{
	if (t->state != TXN_END && !t->data_refused && !t->relay->draining)
		txn_only_asked(t, now);
}
