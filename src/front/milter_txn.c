/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order at the end of a message with held recipients, and its crash windows
 * (design: never lose mail):
 *
 *	1. the copy for the held is committed as pending. A crash before: the
 *	   MTA hears nothing, tells its client 4xx, and nothing is stored.
 *	2. the MTA is told to take the held out, or to drop the message. A crash
 *	   before it heard: pending counts as held at the next start, and the
 *	   client comes again: the held may get it twice, nobody gets it never.
 *	3. TAKEN: "settle, keep" is on its way, and the held take their places
 *	   in the queue. The MTA did not hear it: UNDO removes the rows.
 */
#include "front/milter_txn.h"

#include "front/settle.h"
#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_MAX 1024

struct milter_peer {
	struct milter_txn *txn;
};

struct milter_rcpt {
	char *address, *orcpt;
	unsigned notify;
	bool held;
};

struct milter_txn {
	struct list entry;
	struct milter_desk *desk;
	struct milter_peer *peer; /* NULL: gave it up */
	struct gate_txn *gate;
	struct milter_ask *ask; /* the question that is open */
	uint64_t id;
	char *from, *envid, *helo, *user, *queue_id, *subject;
	struct ip client;
	struct gate_facts facts; /* slices of the above */
	enum smtp_body body_type;
	enum smtp_ret ret;
	bool utf8, all_held, putting, stored;
	bool is_full; /* the body, since its last write */
	struct milter_rcpt *rcpts;
	size_t rcpt_count, rcpt_cap, held_count;
	struct spool_body *body;
	uint64_t size;
	int64_t started_at; /* wall */
};

struct milter_peer *
milter_peer_new(void)
{
	return xcalloc(1, sizeof(struct milter_peer));
}

/* ---- life ---- */

static char *
take_text(char **from)
{
	char *s = *from;

	*from = NULL;
	return s;
}

static void
txn_free(struct milter_txn *t)
{
	struct milter_desk *d = t->desk;
	void (*fn)(void *arg) = d->on_drained;

	if (t->peer != NULL)
		t->peer->txn = NULL;
	list_remove(&t->entry);
	for (size_t i = 0; i < t->rcpt_count; i++) {
		free(t->rcpts[i].address);
		free(t->rcpts[i].orcpt);
	}
	free(t->rcpts);
	free(t->from);
	free(t->envid);
	free(t->helo);
	free(t->user);
	free(t->queue_id);
	free(t->subject);
	free(t);
	if (fn != NULL && list_is_empty(&d->txns)) {
		d->on_drained = NULL;
		fn(d->drained_arg);
	}
}

static int64_t
desk_now(const struct milter_txn *t)
{
	return loop_now(t->desk->parts.loop);
}

static bool
txn_answer(struct milter_txn *t, enum milter_status status)
{
	struct milter_ask *ask = t->ask;

	if (ask == NULL)
		return false;
	t->ask = NULL;
	ask->status = status;
	return milter_answer(t->desk->port, ask);
}

static bool
txn_refuse(struct milter_txn *t, unsigned code, const char *enhanced,
    const char *words)
{
	if (t->ask == NULL)
		return false;
	t->ask->code = code;
	str_copy(
	    str_from(enhanced), t->ask->enhanced, sizeof(t->ask->enhanced));
	str_copy(str_from(words), t->ask->words, sizeof(t->ask->words));
	return txn_answer(t, MILTER_REFUSED);
}

/* No message came of it. What is on its way to the disk is removed when it has
 * arrived. */
static void
txn_drop(struct milter_txn *t)
{
	if (t->peer != NULL)
		t->peer->txn = NULL;
	t->peer = NULL;
	(void)txn_refuse(t, 451, "4.3.2", "The message was given up");
	if (t->putting)
		return;
	if (t->stored)
		settle_message(&t->desk->settles, t->desk->parts.loop,
		    t->desk->parts.spool, t->desk->parts.log, t->id, false);
	if (t->body != NULL)
		spool_body_abort(t->body);
	if (t->gate != NULL)
		gate_cancel(t->gate, desk_now(t));
	txn_free(t);
}

static void
txn_log(const struct milter_txn *t, const char *fate, const char *why)
{
	char id[SPOOL_ID_TEXT], ip[IP_TEXT_MAX];
	char from[LOG_QUOTE_MAX], sender[LOG_QUOTE_MAX], mta[LOG_QUOTE_MAX];
	char reason[LOG_QUOTE_MAX];
	struct log *log = t->desk->parts.log;

	if (!log_is_on(log, LOG_LEVEL_INFO))
		return;
	log_event(log, LOG_LEVEL_INFO, "milter", "message",
	    "id=%s fate=%s sender=%s from=%s client=%s mta_id=%s size=%llu "
	    "recipients=%zu passed=%zu held=%zu delay_ms=%lld reason=%s",
	    spool_id_format(t->id, id), fate,
	    log_quote(str_from(t->gate != NULL ? gate_txn_source(t->gate) : ""),
		sender),
	    log_quote(str_from(t->from), from), ip_format(&t->client, ip),
	    log_quote(str_from(t->queue_id), mta), (unsigned long long)t->size,
	    t->rcpt_count, t->rcpt_count - t->held_count, t->held_count,
	    (long long)(clock_wall_ms() - t->started_at),
	    log_quote(str_from(why), reason));
}

/* ---- MAIL ---- */

static void
on_sender(void *arg, const struct gate_answer *answer)
{
	struct milter_txn *t = arg;

	if (answer->verdict != THROTTLE_REFUSE) {
		(void)txn_answer(t, MILTER_OK);
		return;
	}
	txn_log(t, "refused", answer->why);
	(void)txn_refuse(t, answer->code, answer->enhanced, answer->text);
	txn_drop(t);
}

static void
on_mail(struct milter_desk *d, struct milter_ask *ask)
{
	struct milter_txn *t = xcalloc(1, sizeof(*t));
	int64_t now = loop_now(d->parts.loop), wall = clock_wall_ms();

	if (ask->peer->txn != NULL)
		txn_drop(ask->peer->txn);
	t->desk = d;
	t->ask = ask;
	t->peer = ask->peer;
	t->peer->txn = t;
	t->started_at = wall;
	t->id = spool_new_id(d->parts.spool, wall);
	t->from = take_text(&ask->address);
	t->helo = take_text(&ask->helo);
	t->user = take_text(&ask->user);
	t->envid = take_text(&ask->envid);
	t->client = ask->client;
	t->body_type = ask->body_type;
	t->ret = ask->ret;
	t->utf8 = ask->utf8;
	t->facts = (struct gate_facts){
	    .user = str_from(t->user),
	    .sender = str_from(t->from),
	    .helo = str_from(t->helo),
	    .client = t->client,
	    .local = ask->local,
	};
	list_append(&d->txns, &t->entry);
	if (d->draining) {
		(void)txn_refuse(t, 451, "4.3.2", "weir is shutting down");
		txn_drop(t);
		return;
	}
	t->gate = gate_begin(d->parts.gate, &t->facts, now);
	gate_sender(t->gate, now, wall, on_sender, t);
}

/* ---- RCPT ---- */

static void
add_rcpt(struct milter_txn *t, bool held)
{
	struct milter_ask *ask = t->ask;

	if (t->rcpt_count == t->rcpt_cap) {
		t->rcpt_cap = t->rcpt_cap == 0 ? 2 : t->rcpt_cap * 2;
		t->rcpts = xrealloc(t->rcpts, t->rcpt_cap * sizeof(*t->rcpts));
	}
	t->rcpts[t->rcpt_count++] = (struct milter_rcpt){
	    .address = take_text(&ask->address),
	    .orcpt = take_text(&ask->orcpt),
	    .notify = ask->notify,
	    .held = held,
	};
	if (held)
		t->held_count++;
	ask->known = gate_txn_is_known(t->gate);
}

/* It takes its place in the queue by itself: the others of the message are not
 * put off with it. */
struct putting_off {
	struct gate_txn *gate;
	struct loop *loop;
};

static void
on_put_off(void *arg, const struct gate_answer *answer)
{
	struct putting_off *p = arg;

	(void)answer;
	gate_defer(p->gate, loop_now(p->loop), clock_wall_ms());
	free(p);
}

static void
put_off(struct milter_txn *t, const char *why)
{
	struct milter_parts *parts = &t->desk->parts;
	struct putting_off *p = xcalloc(1, sizeof(*p));
	char *address = take_text(&t->ask->address);
	int64_t now = desk_now(t);
	char words[MILTER_TEXT_MAX];

	snprintf(words, sizeof(words), "New recipient must wait: %s", why);
	gate_drop_last(t->gate, now);
	txn_log(t, "deferred", why);
	(void)txn_refuse(t, 451, "4.7.1", words);
	p->loop = parts->loop;
	p->gate = gate_begin(parts->gate, &t->facts, now);
	gate_recipient(
	    p->gate, str_from(address), now, clock_wall_ms(), on_put_off, p);
	free(address);
}

static void
hold_rcpt(struct milter_txn *t, const char *why)
{
	struct milter_desk *d = t->desk;

	if (d->settings.hold == MILTER_TEMPFAIL) {
		put_off(t, why);
	} else if (spool_is_short(d->parts.spool) ||
		   spool_is_full(d->parts.spool)) {
		counters_add(d->parts.counters, COUNT_LIMIT_REFUSALS, 1);
		gate_drop_last(t->gate, desk_now(t));
		(void)txn_refuse(t, 452, "4.3.1",
		    "New recipients would be held, and the spool has no room "
		    "left; try again later");
	} else {
		add_rcpt(t, true);
		(void)txn_answer(t, MILTER_HELD);
	}
}

static void
on_recipient(void *arg, const struct gate_answer *answer)
{
	struct milter_txn *t = arg;

	if (t->ask == NULL)
		return;
	switch (answer->verdict) {
	case THROTTLE_PASS:
		add_rcpt(t, false);
		(void)txn_answer(t, MILTER_OK);
		break;
	case THROTTLE_HOLD:
		hold_rcpt(t, answer->why);
		break;
	case THROTTLE_REFUSE:
		(void)txn_refuse(
		    t, answer->code, answer->enhanced, answer->text);
		break;
	}
}

/* ---- the message ---- */

static void
write_text(struct milter_txn *t, struct str text)
{
	t->size += text.n;
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
	char id[SPOOL_ID_TEXT], ip[IP_TEXT_MAX], mta[64];
	bool remote = t->client.family != IP_NONE;
	int n;

	str_escape(str_from(t->helo), helo, sizeof(helo));
	str_escape(str_from(t->queue_id), mta, sizeof(mta));
	ip_format(&t->client, ip);
	n = snprintf(text, sizeof(text),
	    "Received: from %s (%s%s%s)\r\n"
	    "\tby %s (weir) with %s id %s\r\n"
	    "\t(held; the mail server had it as %s);\r\n\t%s\r\n",
	    helo[0] != '\0' ? helo : "localhost", remote ? "[" : "",
	    remote ? ip : "local", remote ? "]" : "",
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
		t->queue_id = take_text(&ask->queue_id);
	if (t->desk->settings.hold != MILTER_TAKE)
		return;
	if (t->body == NULL) {
		t->body = spool_body_new(t->desk->parts.spool, t->id);
		write_trace(t);
	}
	write_text(t, buf_str(&ask->text));
}

static void
on_body_drain(void *arg)
{
	struct milter_txn *t = arg;

	if (t->ask != NULL && t->ask->verb == MILTER_TEXT)
		(void)txn_answer(t, MILTER_OK);
}

static void
on_text(struct milter_txn *t)
{
	take_body(t);
	if (t->body != NULL && t->is_full)
		spool_body_set_drain(t->body, on_body_drain, t);
	else
		(void)txn_answer(t, MILTER_OK);
}

/* ---- storing ---- */

static void
on_stored(void *arg, int error)
{
	struct milter_txn *t = arg;

	t->putting = false;
	if (error != 0) {
		counters_add(t->desk->parts.counters, COUNT_SPOOL_ERRORS, 1);
		txn_log(t, "refused", "the spool failed");
		(void)txn_refuse(t, error == ENOSPC ? 452 : 451,
		    error == ENOSPC ? "4.3.1" : "4.3.0",
		    "The message could not be stored, try again later");
		txn_drop(t);
		return;
	}
	t->stored = true;
	if (t->peer == NULL || t->ask == NULL) {
		txn_drop(t);
		return;
	}
	t->ask->all = t->held_count == t->rcpt_count;
	/* Too late: DROP or CLOSE comes, and takes it back. */
	(void)txn_answer(t, MILTER_HELD);
}

static void
put(struct milter_txn *t)
{
	struct spool_rcpt *rcpts = xcalloc(t->rcpt_count, sizeof(*rcpts));
	int64_t wall = clock_wall_ms();
	char client[IP_TEXT_MAX];
	struct spool_message m = {
	    .id = t->id,
	    .source = gate_txn_source(t->gate),
	    .policy = gate_txn_policy(t->gate),
	    .from = t->from,
	    .envid = t->envid,
	    .subject = t->subject,
	    .client = ip_format(&t->client, client),
	    .helo = t->helo != NULL ? t->helo : "",
	    .body_type = t->body_type,
	    .ret = t->ret,
	    .utf8 = t->utf8,
	    .whole = t->all_held,
	    .pending = true,
	    .queued_at = wall,
	    .rcpts = rcpts,
	};

	for (size_t i = 0; i < t->rcpt_count; i++) {
		const struct milter_rcpt *r = &t->rcpts[i];

		if (!r->held)
			continue;
		rcpts[m.rcpt_count++] = (struct spool_rcpt){
		    .address = r->address,
		    .orcpt = r->orcpt,
		    .notify = r->notify,
		    .destination = gate_txn_destination(t->gate, i),
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

static void
on_end(struct milter_txn *t)
{
	t->subject = take_text(&t->ask->subject);
	if (t->ask->body_type != SMTP_BODY_NONE)
		t->body_type = t->ask->body_type;
	take_body(t);
	if (gate_txn_is_whole(t->gate)) {
		t->all_held = true;
		for (size_t i = 0; i < t->rcpt_count; i++)
			t->rcpts[i].held = true;
		t->held_count = t->rcpt_count;
	}
	put(t);
}

/* ---- the MTA goes on ---- */

static void
commit(struct milter_txn *t, const char *fate)
{
	struct milter_parts *p = &t->desk->parts;
	uint64_t *tickets = xcalloc(t->rcpt_count + 1, sizeof(*tickets));
	char id[SPOOL_ID_TEXT];

	for (size_t i = 0, held = 0; i < t->rcpt_count; i++) {
		if (t->rcpts[i].held)
			tickets[i] = SPOOL_TICKET(t->id, held++);
	}
	counters_add(p->counters, COUNT_MESSAGES, 1);
	events_add(p->events, clock_wall_ms(), EVENT_MESSAGE,
	    gate_txn_source(t->gate), spool_id_format(t->id, id),
	    "%zu recipients passed, %zu held", t->rcpt_count - t->held_count,
	    t->held_count);
	txn_log(t, fate, "");
	gate_commit(t->gate, tickets, desk_now(t), clock_wall_ms());
	t->gate = NULL;
	free(tickets);
	txn_free(t);
}

static void
on_passed(struct milter_txn *t, struct milter_ask *ask)
{
	if (t->held_count > 0) { /* no thread does this */
		txn_drop(t);
		return;
	}
	t->queue_id = take_text(&ask->queue_id);
	commit(t, "passed");
}

static void
on_taken(struct milter_txn *t)
{
	if (!t->stored) {
		txn_drop(t);
		return;
	}
	settle_message(&t->desk->settles, t->desk->parts.loop,
	    t->desk->parts.spool, t->desk->parts.log, t->id, true);
	commit(t, t->held_count < t->rcpt_count ? "split" : "held");
}

/* ---- questions ---- */

static void
close_peer(struct milter_peer *peer)
{
	if (peer->txn != NULL)
		txn_drop(peer->txn);
	free(peer);
}

/* Those that wait for an answer. */
static void
take_question(struct milter_txn *t, struct milter_ask *ask)
{
	t->ask = ask;
	switch (ask->verb) {
	case MILTER_RCPT:
		gate_recipient(t->gate, str_from(ask->address), desk_now(t),
		    clock_wall_ms(), on_recipient, t);
		break;
	case MILTER_TEXT:
		on_text(t);
		break;
	case MILTER_END:
		on_end(t);
		break;
	case MILTER_MAIL:
	case MILTER_PASSED:
	case MILTER_TAKEN:
	case MILTER_UNDO:
	case MILTER_DROP:
	case MILTER_CLOSE:
		panic("milter: verb %d is no question", (int)ask->verb);
	}
}

static void
take_word(struct milter_peer *peer, struct milter_ask *ask)
{
	struct milter_txn *t = peer->txn;

	if (ask->verb == MILTER_CLOSE)
		close_peer(peer);
	else if (t == NULL)
		return;
	else if (ask->verb == MILTER_PASSED)
		on_passed(t, ask);
	else if (ask->verb == MILTER_TAKEN)
		on_taken(t);
	else
		txn_drop(t);
}

static void
on_ask(void *arg, struct milter_ask *ask)
{
	struct milter_desk *d = arg;
	struct milter_txn *t = ask->peer->txn;

	if (ask->verb >= MILTER_PASSED) {
		take_word(ask->peer, ask);
		milter_ask_free(ask);
	} else if (ask->verb == MILTER_MAIL) {
		on_mail(d, ask);
	} else if (t == NULL || t->ask != NULL || t->putting) {
		/* The thread lost patience with an earlier question. */
		ask->code = 451;
		str_copy(STR("4.3.2"), ask->enhanced, sizeof(ask->enhanced));
		str_copy(
		    STR("Try again later"), ask->words, sizeof(ask->words));
		ask->status = MILTER_REFUSED;
		(void)milter_answer(d->port, ask);
	} else {
		take_question(t, ask);
	}
}

void
milter_desk_init(struct milter_desk *d, const struct milter_parts *parts,
    const struct milter_settings *settings)
{
	d->parts = *parts;
	d->settings = *settings;
	d->hostname = xstrdup(settings->hostname);
	d->settings.hostname = d->hostname;
	list_init(&d->txns);
	list_init(&d->settles);
	d->port = milter_port_new(parts->loop, on_ask, d);
}

void
milter_desk_drain(struct milter_desk *d, void (*fn)(void *arg), void *arg)
{
	d->draining = true;
	if (list_is_empty(&d->txns)) {
		fn(arg);
		return;
	}
	d->on_drained = fn;
	d->drained_arg = arg;
}

void
milter_desk_close(struct milter_desk *d)
{
	struct list *e, *next;

	d->on_drained = NULL;
	list_each_safe (e, next, &d->txns) {
		struct milter_txn *t = LIST_ITEM(e, struct milter_txn, entry);

		/* Stored, or nearly: the MTA may be about to hear it. It is
		 * pending, and counts as held at the next start. */
		t->putting = t->stored = false;
		txn_drop(t);
	}
	settle_free_all(&d->settles);
	milter_port_close(d->port);
	free(d->hostname);
	d->hostname = NULL;
}
