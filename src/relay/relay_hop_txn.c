/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A transaction's way to the next hop. MAIL goes out with the first RCPT, in
 * one write where the next hop takes pipelining, so that a message costs it
 * three turns and not four.
 *
 * A kept connection may be over when its turn comes: dead, or its peer refuses
 * to carry more (hop_blame). As long as no text has gone the transaction is
 * said once more on another one, with the recipients that were taken already;
 * the client hears nothing of it. The connection of a login cannot be replaced
 * so: its client logs in anew.
 */
#include "relay/relay_internal.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 511 /* kept of a refusal */

static void hop_txn_answer(struct hop_txn *l, const struct smtp_reply *reply,
    bool reached, int64_t now);
static void hop_txn_send_data(struct hop_txn *l, int64_t now);
static void hop_txn_put(struct hop_txn *l, int64_t now);
static void hop_txn_drop(struct hop_txn *l, int64_t now);

/* A report of success was promised at EHLO, and this connection's peer (another
 * one, or changed since) would not make it. */
static bool
lost_dsn(const struct hop_txn *l)
{
	return !l->is_probe &&
	       (l->txn->asked.notify & SMTP_NOTIFY_SUCCESS) != 0 &&
	       (smtp_client_caps(hop_client(l->hop))->ext & SMTP_EXT_DSN) == 0;
}

static void
hop_txn_send_rcpt(struct hop_txn *l, int64_t now)
{
	static const char text[] =
	    "The next hop no longer offers DSN, start a new session";
	struct smtp_reply lost = smtp_reply_make(451, "4.3.0", text);
	const struct relay_rcpt *asked = &l->txn->asked;
	struct smtp_rcpt rcpt = {
	    .to = str_from(asked->address),
	    .notify = asked->notify,
	    .orcpt = str_from(asked->orcpt),
	};

	if (lost_dsn(l)) {
		hop_txn_answer(l, &lost, true, now);
		return;
	}
	/* Its place among the recipients, should it be accepted. */
	smtp_client_rcpt(hop_client(l->hop), &rcpt, l->txn->rcpt_count, now);
}

/* The same of what the text needs. The client goes by what it hears in its next
 * session: it converts, or returns the mail to its sender. */
static const char *
lost_extension(const struct hop_txn *l)
{
	uint32_t ext = smtp_client_caps(hop_client(l->hop))->ext;
	const struct smtp_mail *mail = &l->txn->mail;

	if (mail->utf8 && (ext & SMTP_EXT_SMTPUTF8) == 0)
		return "The next hop does not offer SMTPUTF8, start a new "
		       "session";
	if (mail->body == SMTP_BODY_8BITMIME && (ext & SMTP_EXT_8BITMIME) == 0)
		return "The next hop does not offer 8BITMIME, start a new "
		       "session";
	return NULL;
}

/* REQUIRETLS was offered at EHLO, and this connection's peer, another one or
 * changed since, does not carry it: never a downgrade (RFC 8689 section
 * 4.2.1). */
static bool
lost_tls(const struct hop_txn *l)
{
	const struct smtp_mail *mail = &l->txn->mail;

	return mail->require_tls && mail->from.n > 0 &&
	       (smtp_client_caps(hop_client(l->hop))->ext &
		   SMTP_EXT_REQUIRETLS) == 0;
}

static void
hop_txn_refuse_tls(struct hop_txn *l, int64_t now)
{
	const char *enhanced = l->in_plain ? "5.7.10" : "5.7.30";
	const char *text = l->in_plain
			       ? "Encryption needed for REQUIRETLS: the "
				 "connection to the next hop no longer uses TLS"
			       : "REQUIRETLS support required: the next hop no "
				 "longer offers it over verified TLS";
	struct smtp_reply lost = smtp_reply_make(550, enhanced, text);

	if (nexthop_has_choice(l->txn->relay->parts.nexthop) || l->is_mute)
		relay_make_temporary(&lost);
	hop_txn_answer(l, &lost, true, now);
}

static void
hop_txn_refuse_extension(struct hop_txn *l, const char *text, int64_t now)
{
	struct smtp_reply lost = smtp_reply_make(451, "4.3.0", text);

	hop_txn_set_state(l, HOP_TXN_DEAD);
	l->lost = text;
	hop_txn_put(l, now);
	hop_txn_answer(l, &lost, true, now);
}

/* Those that another connection has taken. */
static void
hop_txn_say_again(struct hop_txn *l, int64_t now)
{
	const struct txn *t = l->txn;

	l->again = 0;
	l->again_refused = false;
	for (size_t i = 0; i < t->rcpt_count && !l->is_probe; i++) {
		const struct relay_rcpt *r = &t->rcpts[i];
		struct smtp_rcpt rcpt = {
		    .to = str_from(r->address),
		    .notify = r->notify,
		    .orcpt = str_from(r->orcpt),
		};

		if (!r->cut)
			continue;
		smtp_client_rcpt(hop_client(l->hop), &rcpt, i, now);
		l->again++;
	}
}

/* With an ENVID of weir's where the client gave none and the peer would return
 * it. What a probe begins is never sent. */
static void
hop_txn_send_mail(struct hop_txn *l, int64_t now)
{
	struct smtp_client *c = hop_client(l->hop);
	struct txn *t = l->txn;
	struct smtp_mail mail = t->mail;
	char envid[GATE_ENVID_MAX];

	if (!l->is_probe && mail.envid.n == 0 &&
	    (smtp_client_caps(c)->ext & SMTP_EXT_DSN) != 0 &&
	    gate_txn_envid(t->gate, t->id, envid))
		mail.envid = str_from(envid);
	smtp_client_mail(c, &mail, 0, now);
}

static void
hop_txn_open(struct hop_txn *l, int64_t now)
{
	const char *lost = lost_extension(l);

	if (lost != NULL) {
		hop_txn_refuse_extension(l, lost, now);
		return;
	}
	if (lost_tls(l)) {
		hop_txn_set_state(l, HOP_TXN_DEAD);
		l->tls_lost = true;
		l->in_plain = !hop_is_tls(l->hop);
		l->is_mute = smtp_client_said_helo(hop_client(l->hop));
		if (l->private_conn == NULL) /* a new one may have it again */
			hop_retire(l->hop);
		hop_txn_put(l, now);
		hop_txn_refuse_tls(l, now);
		return;
	}
	hop_txn_set_state(l, HOP_TXN_OPEN);
	l->mail_refused = false;
	l->reused = l->private_conn != NULL
			? private_conn_is_reused(l->private_conn)
			: hop_is_reused(l->hop);
	hop_txn_send_mail(l, now);
	hop_txn_say_again(l, now);
	if (l->rcpt_waits)
		hop_txn_send_rcpt(l, now);
}

/* What speaks in the client's name. Probes do not: what is held goes out in
 * weir's own. */
static void
hop_txn_take_private(struct hop_txn *l, int64_t now)
{
	struct smtp_reply gone = smtp_reply_make(451, "4.4.2",
	    "The next hop closed the connection of this login, log in again");

	if (!private_conn_take(l, now)) {
		hop_txn_set_state(l, HOP_TXN_DEAD);
		hop_txn_answer(l, &gone, false, now);
	} else if (private_conn_is_ready(l->private_conn)) {
		hop_txn_open(l, now);
	}
}

static void
hop_txn_connect(struct hop_txn *l, bool fresh, int64_t now)
{
	hop_txn_set_state(l, HOP_TXN_CONNECTING);
	if (!l->is_probe && private_conn_is_needed(l->txn->session)) {
		hop_txn_take_private(l, now);
		return;
	}
	l->hop = nexthop_get(
	    l->txn->relay->parts.nexthop, fresh, &hop_txn_ops, l, now);
	relay_stress_watch(l->txn->relay, now);
	if (hop_is_ready(l->hop))
		hop_txn_open(l, now);
}

static void
hop_txn_answer(struct hop_txn *l, const struct smtp_reply *reply, bool reached,
    int64_t now)
{
	if (l->data_waits) {
		l->data_waits = false;
		txn_data_answer(l->txn, reply, now);
	} else if (l->rcpt_waits) {
		l->rcpt_waits = false;
		txn_rcpt_answer(l->txn, reply, reached, now);
	}
}

/* What MAIL, or the text, was refused with. */
static struct smtp_reply
said(const struct hop_txn *l)
{
	return smtp_reply_make(l->mail_code, l->mail_enhanced, l->mail_text);
}

static void
keep_words(struct hop_txn *l, const struct smtp_reply *reply)
{
	l->mail_code = reply->code;
	str_copy(str_from(reply->enhanced), l->mail_enhanced,
	    sizeof(l->mail_enhanced));
	free(l->mail_text);
	l->mail_text = str_dup(str_sub(reply->text, 0, WORDS_MAX));
}

/* Asks about the recipient in question; txn_rcpt_answer follows. */
void
hop_txn_rcpt(struct hop_txn *l, int64_t now)
{
	struct smtp_reply gone;

	l->rcpt_waits = true;
	switch (l->state) {
	case HOP_TXN_NONE:
		hop_txn_connect(l, false, now);
		break;
	case HOP_TXN_OPEN:
		hop_txn_send_rcpt(l, now);
		break;
	case HOP_TXN_CONNECTING:
	case HOP_TXN_DATA:
	case HOP_TXN_BODY:
	case HOP_TXN_END:
		panic("hop_txn_rcpt in state %d", l->state);
	case HOP_TXN_DEAD:
		if (l->tls_lost) {
			hop_txn_refuse_tls(l, now);
			break;
		}
		gone = l->lost != NULL
			   ? smtp_reply_make(451, "4.3.0", l->lost)
			   : smtp_reply_make(451, "4.4.2",
				 "The next hop closed the connection");
		hop_txn_answer(l, &gone, l->lost != NULL, now);
		break;
	}
}

/* What came by BDAT goes on so where the next hop takes it, else by DATA. */
static void
hop_txn_send_data(struct hop_txn *l, int64_t now)
{
	struct smtp_reply go = smtp_reply_make(354, "", "");

	if (l->txn->chunked && smtp_client_bdat(hop_client(l->hop), now)) {
		hop_txn_set_state(l, HOP_TXN_BODY);
		hop_txn_answer(l, &go, true, now);
		return;
	}
	hop_txn_set_state(l, HOP_TXN_DATA);
	smtp_client_data(hop_client(l->hop), 0, now);
}

void
hop_txn_data(struct hop_txn *l, int64_t now)
{
	struct smtp_reply gone;

	l->data_waits = true;
	if (l->state != HOP_TXN_OPEN) {
		gone = smtp_reply_make(451, "4.4.2",
		    "The next hop closed the connection, try again later");
		hop_txn_answer(l, &gone, false, now);
		return;
	}
	hop_txn_send_data(l, now);
}

void
hop_txn_body(struct hop_txn *l, struct str chunk, bool is_decoded, int64_t now)
{
	if (l->state != HOP_TXN_BODY)
		return;
	if (is_decoded)
		smtp_client_body_decoded(hop_client(l->hop), chunk, now);
	else
		smtp_client_body(hop_client(l->hop), chunk, now);
}

void
hop_txn_end(struct hop_txn *l, int64_t now)
{
	struct smtp_reply gone;

	if (l->state != HOP_TXN_BODY) {
		gone = l->text_refused ? said(l)
				       : smtp_reply_make(451, "4.4.2",
					     "The next hop closed the "
					     "connection, try again later");
		txn_end_answer(l->txn, &gone, now);
		return;
	}
	hop_txn_set_state(l, HOP_TXN_END);
	l->in_doubt = true;
	smtp_client_end(hop_client(l->hop), 0, now);
}

static void
hop_txn_put(struct hop_txn *l, int64_t now)
{
	struct hop *hop = l->hop;
	struct private_conn *conn = l->private_conn;

	l->hop = NULL;
	l->private_conn = NULL;
	if (conn != NULL)
		private_conn_put(conn, true, now);
	else
		hop_put(hop, now);
}

static void
hop_txn_drop(struct hop_txn *l, int64_t now)
{
	struct hop *hop = l->hop;
	struct private_conn *conn = l->private_conn;

	l->hop = NULL;
	l->private_conn = NULL;
	if (conn != NULL)
		private_conn_put(conn, false, now);
	else
		hop_drop(hop);
}

void
hop_txn_give_up(struct hop_txn *l, int64_t now)
{
	struct smtp_reply none = smtp_reply_make(451, "4.3.2",
	    "No connection to the next hop is free, try again later");

	if (l->state != HOP_TXN_CONNECTING || l->hop == NULL)
		return;
	hop_txn_set_state(l, HOP_TXN_DEAD);
	hop_txn_drop(l, now);
	hop_txn_answer(l, &none, false, now);
}

static void
hop_txn_leave_open(struct hop_txn *l, int64_t now)
{
	smtp_client_abandon(hop_client(l->hop), now);
	hop_txn_put(l, now);
	hop_txn_set_state(l, HOP_TXN_DEAD);
}

void
hop_txn_leave(struct hop_txn *l, int64_t now)
{
	l->rcpt_waits = l->data_waits = false;
	switch (l->state) {
	case HOP_TXN_NONE:
		hop_txn_set_state(l, HOP_TXN_DEAD);
		break;
	case HOP_TXN_CONNECTING:
	case HOP_TXN_DATA:
	case HOP_TXN_BODY:
	case HOP_TXN_END:
		hop_txn_set_state(l, HOP_TXN_DEAD);
		hop_txn_drop(l, now);
		break;
	case HOP_TXN_OPEN:
		hop_txn_leave_open(l, now);
		break;
	case HOP_TXN_DEAD:
		break;
	}
}

bool
hop_txn_is_full(const struct hop_txn *l)
{
	return l->state == HOP_TXN_BODY && hop_is_full(l->hop);
}

bool
hop_txn_is_lmtp(const struct hop_txn *l)
{
	return (l->state == HOP_TXN_OPEN || l->state == HOP_TXN_BODY) &&
	       smtp_client_is_lmtp(hop_client(l->hop));
}

static void
on_hop_ready(void *arg, int64_t now)
{
	hop_txn_open(arg, now);
}

/* ---- what the next hop says ---- */

/* Nobody's mail is refused because weir has not logged in: that is put right
 * here, not by the client, unless it is its login that is passed on. */
static bool
is_weirs_login(const struct hop_txn *l, const struct smtp_reply *reply)
{
	const struct session *s = l->txn->session;

	if (!smtp_reply_wants_login(reply))
		return false;
	return s == NULL || s->user != NULL ||
	       s->listen.auth != RELAY_AUTH_PASS ||
	       (l->hop != NULL && hop_caps(l->hop).auth == 0);
}

static struct smtp_reply
no_login(void)
{
	return smtp_reply_make(451, "4.7.0",
	    "The next hop requires this relay to authenticate or to use TLS; "
	    "contact the administrator");
}

/* The transaction ends there, whatever was said of it before. */
static void
hop_txn_refuse(struct hop_txn *l, const struct smtp_reply *reply, int64_t now)
{
	hop_txn_leave_open(l, now);
	hop_txn_answer(l, reply, false, now);
}

/* A connection that speaks for a login is lost with it. A 5xx says something of
 * the sender as a rule: who may use it is asked of the login. */
static bool
hop_txn_lose_login(
    struct hop_txn *l, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply gone = smtp_reply_make(451, "4.4.2",
	    "The next hop accepts no more mail on the connection of this "
	    "login, log in again");

	if (reply->code >= 500)
		return false;
	hop_txn_set_state(l, HOP_TXN_DEAD);
	hop_txn_drop(l, now);
	hop_txn_answer(l, &gone, false, now);
	return true;
}

/* True: the refusal was the connection's end, and the transaction goes over
 * another one, or cannot. */
static bool
hop_txn_try_again(struct hop_txn *l, enum smtp_client_what what,
    const struct smtp_reply *reply, int64_t now)
{
	enum hop_blame blame = hop_blame(l->hop, what, reply, now);
	bool *once = blame == HOP_BLAME_SPENT ? &l->retried : &l->lined_up;
	const struct session *s = l->txn->session;

	if ((blame != HOP_BLAME_SPENT && blame != HOP_BLAME_FULL) || *once ||
	    s == NULL)
		return false;
	if (l->private_conn != NULL && s->login_passed)
		return hop_txn_lose_login(l, reply, now);
	*once = true;
	hop_txn_drop(l, now);
	l->accepted = 0;
	hop_txn_connect(l, blame == HOP_BLAME_SPENT, now);
	return true;
}

static void
hop_txn_mail_answer(
    struct hop_txn *l, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply words = *reply;

	if (smtp_reply_is_ok(reply) ||
	    hop_txn_try_again(l, SMTP_CLIENT_MAIL, reply, now))
		return;
	l->login_wanted = is_weirs_login(l, reply);
	if (l->login_wanted)
		words = no_login();
	l->mail_refused = true;
	keep_words(l, &words);
	if (l->again > 0)
		hop_txn_refuse(l, &words, now);
}

/* The client has heard that these were taken. */
static void
hop_txn_again_answer(
    struct hop_txn *l, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply no = smtp_reply_make(451, "4.4.2",
	    "The connection to the next hop was reopened and a recipient it "
	    "had accepted was refused, try again later");

	l->again--;
	l->accepted += smtp_reply_is_ok(reply);
	l->again_refused = l->again_refused || !smtp_reply_is_ok(reply);
	if (l->again > 0)
		return;
	if (l->again_refused)
		hop_txn_refuse(l, &no, now);
	else if (l->data_waits)
		hop_txn_send_data(l, now);
}

static void
hop_txn_rcpt_answer(
    struct hop_txn *l, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply words;

	if (l->mail_refused) {
		/* Its RCPT was only "no MAIL yet"; the client hears why. */
		words = said(l);
		hop_txn_answer(l, &words, !l->login_wanted, now);
		return;
	}
	if (hop_txn_try_again(l, SMTP_CLIENT_RCPT, reply, now))
		return;
	if (l->again > 0) {
		hop_txn_again_answer(l, reply, now);
		return;
	}
	if (is_weirs_login(l, reply)) {
		words = no_login();
		hop_txn_answer(l, &words, false, now);
		return;
	}
	if (smtp_reply_is_ok(reply))
		l->accepted++;
	hop_txn_answer(l, reply, true, now);
}

static void
hop_txn_data_answer(
    struct hop_txn *l, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply words = *reply;

	if (reply->code != 354 &&
	    hop_txn_try_again(l, SMTP_CLIENT_DATA, reply, now))
		return;
	if (is_weirs_login(l, reply))
		words = no_login();
	hop_txn_set_state(l, reply->code == 354 ? HOP_TXN_BODY : HOP_TXN_OPEN);
	hop_txn_answer(l, &words, true, now);
}

static void
hop_txn_end_answer(struct hop_txn *l, uintptr_t tag,
    const struct smtp_reply *reply, int64_t now)
{
	bool lmtp = smtp_client_is_lmtp(hop_client(l->hop));
	struct smtp_reply words = *reply;

	if (!lmtp && is_weirs_login(l, reply))
		words = no_login();
	/* LMTP: each recipient by itself, see txn_let_go. */
	if (!lmtp && reply->code >= 400)
		l->in_doubt = false;
	if (lmtp)
		txn_verdict(l->txn, tag, reply);
	if (lmtp && !smtp_client_is_idle(hop_client(l->hop)))
		return;
	hop_txn_set_state(l, HOP_TXN_DEAD);
	hop_txn_put(l, now);
	if (lmtp)
		txn_judged(l->txn, now);
	else
		txn_end_answer(l->txn, &words, now);
}

static void
on_hop_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply, int64_t now)
{
	struct hop_txn *l = arg;

	switch (what) {
	case SMTP_CLIENT_MAIL:
		hop_txn_mail_answer(l, reply, now);
		break;
	case SMTP_CLIENT_RCPT:
		hop_txn_rcpt_answer(l, reply, now);
		break;
	case SMTP_CLIENT_DATA:
		hop_txn_data_answer(l, reply, now);
		break;
	case SMTP_CLIENT_END:
		hop_txn_end_answer(l, tag, reply, now);
		break;
	case SMTP_CLIENT_RSET:
	case SMTP_CLIENT_QUIT:
	case SMTP_CLIENT_AUTH:
		break;
	}
}

static void
on_hop_drain(void *arg, int64_t now)
{
	struct hop_txn *l = arg;

	txn_hop_drained(l->txn, now);
}

/* Without the reply to the final dot, or without all of them (LMTP). */
static void
hop_txn_lost_end(struct hop_txn *l, const struct smtp_reply *reply, int64_t now)
{
	const struct txn *t = l->txn;
	bool judged = false;

	for (size_t i = 0; i < t->rcpt_count; i++)
		judged = judged || t->rcpts[i].verdict != 0;
	if (judged)
		txn_judged(l->txn, now);
	else
		txn_end_answer(l->txn, reply, now);
}

static void
on_hop_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct hop_txn *l = arg;
	enum hop_txn_state was = l->state;
	bool again = (was == HOP_TXN_OPEN || was == HOP_TXN_DATA) &&
		     l->reused && !l->retried &&
		     (l->rcpt_waits || l->data_waits) &&
		     l->txn->session != NULL;

	l->hop = NULL;
	if (again) {
		l->retried = true;
		l->accepted = 0;
		hop_txn_connect(l, true, now);
		return;
	}
	hop_txn_set_state(l, HOP_TXN_DEAD);
	switch (was) {
	case HOP_TXN_NONE:
	case HOP_TXN_DEAD:
		break;
	case HOP_TXN_CONNECTING:
	case HOP_TXN_OPEN:
	case HOP_TXN_DATA:
		hop_txn_answer(l, reply, false, now);
		break;
	case HOP_TXN_BODY:
		/* It did not wait for the end to refuse it. */
		l->text_refused = reply->code >= 500;
		if (l->text_refused)
			keep_words(l, reply);
		/* The rest of the message is read and dropped; the final dot
		 * finds the hop transaction dead. */
		txn_hop_drained(l->txn, now);
		break;
	case HOP_TXN_END:
		hop_txn_lost_end(l, reply, now);
		break;
	}
}

static void
on_hop_trace(void *arg, struct tap_who *out)
{
	const struct hop_txn *l = arg;

	relay_whose(l->txn->session, l->txn, out);
}

const struct hop_ops hop_txn_ops = {
    .on_trace = on_hop_trace,
    .on_ready = on_hop_ready,
    .on_reply = on_hop_reply,
    .on_drain = on_hop_drain,
    .on_fail = on_hop_fail,
};
