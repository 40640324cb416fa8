/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A transaction's life: MAIL and RCPT with the gate's verdicts, and its end,
 * when the MTA goes on with the message or no message came of it.
 */
#include "milter/milter_txn_private.h"

#include "delivery/let_go.h"
#include "front/log_recipients.h"
#include "front/room.h"

#include "os/clock.h"
#include "os/tap.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- life ---- */

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
	free(t->no_room);
	spool_stake_clear(d->parts.spool, &t->stake);
	free(t->from);
	free(t->envid);
	free(t->helo);
	free(t->user);
	free(t->queue_id);
	free(t->subject);
	free(t->message_id);
	free(t);
	if (fn != NULL && list_is_empty(&d->txns)) {
		d->on_drained = NULL;
		fn(d->drained_arg);
	}
}

int64_t
milter_txn_now(const struct milter_txn *t)
{
	return loop_now(t->desk->parts.loop);
}

/* What a mail server asked, and what it is answered. The question of MAIL has
 * no transaction before its answer, so both are told then. */
static void
write_tap(const struct milter_txn *t, const struct milter_ask *ask)
{
	static const char *const verbs[] = {[MILTER_MAIL] = "MAIL",
	    [MILTER_RCPT] = "RCPT",
	    [MILTER_TEXT] = "text",
	    [MILTER_END] = "end of message",
	    [MILTER_SECURE] = "may it go on"};
	static const char *const answers[] = {[MILTER_OK] = "go on",
	    [MILTER_HELD] = "go on, held",
	    [MILTER_REFUSED] = "refuse"};
	struct tap *tap = log_tap(t->desk->parts.log);
	struct tap_who who = {.client = &t->client,
	    .from = t->from,
	    .sender = t->gate != NULL ? gate_txn_source(t->gate) : t->user};

	if (!tap_is_on(tap) || ask->verb == MILTER_TEXT)
		return;
	(void)spool_id_format(t->id, who.id);
	tap_print(tap, &who, TAP_CLIENT, "milter: %s%s%s", verbs[ask->verb],
	    ask->address != NULL ? " " : "",
	    ask->address != NULL ? ask->address : "");
	if (ask->status == MILTER_REFUSED)
		tap_print(tap, &who, TAP_REPLY, "milter: refuse %u %s %s",
		    ask->code, ask->enhanced, ask->words);
	else
		tap_print(
		    tap, &who, TAP_REPLY, "milter: %s", answers[ask->status]);
}

bool
milter_txn_answer(struct milter_txn *t, enum milter_status status)
{
	struct milter_ask *ask = t->ask;

	if (ask == NULL)
		return false;
	t->ask = NULL;
	ask->status = status;
	write_tap(t, ask);
	return milter_answer(t->desk->port, ask);
}

bool
milter_txn_refuse(struct milter_txn *t, unsigned code, const char *enhanced,
    const char *words)
{
	if (t->ask == NULL)
		return false;
	t->ask->known = t->gate != NULL && gate_txn_is_known(t->gate);
	t->ask->code = code;
	str_copy(
	    str_from(enhanced), t->ask->enhanced, sizeof(t->ask->enhanced));
	str_copy(str_from(words), t->ask->words, sizeof(t->ask->words));
	return milter_txn_answer(t, MILTER_REFUSED);
}

void
milter_txn_drop(struct milter_txn *t)
{
	if (t->peer != NULL)
		t->peer->txn = NULL;
	t->peer = NULL;
	(void)milter_txn_refuse(t, 451, "4.3.2", "The message was abandoned");
	if (t->putting)
		return;
	if (t->stored)
		settle_message(&t->desk->settles, t->desk->parts.loop,
		    t->desk->parts.spool, t->desk->parts.log, t->id, false);
	if (t->body != NULL)
		spool_body_abort(t->body);
	if (t->gate != NULL)
		gate_cancel(t->gate, milter_txn_now(t));
	txn_free(t);
}

static const char *
recipient_of(const void *arg, size_t i)
{
	const struct milter_txn *t = arg;

	return t->rcpts[i].address;
}

void
milter_txn_log(const struct milter_txn *t, const char *result, const char *why)
{
	char id[SPOOL_ID_TEXT];
	struct log *log = t->desk->parts.log;
	const struct log_recipients to = {recipient_of, t, t->rcpt_count};
	struct log_list first;

	if (!log_has(log, LOG_EV_MILTER_MESSAGE))
		return;
	log_recipients_take(&to, 0, &first);
	log_write(log, LOG_EV_MILTER_MESSAGE,
	    KV(id, spool_id_format(t->id, id)), KV(result, result),
	    KV(sender, t->gate != NULL ? gate_txn_source(t->gate) : ""),
	    KV(from, t->from), KV(client, &t->client), KV(mta_id, t->queue_id),
	    KV(size_bytes, t->size), KV(recipients, t->rcpt_count),
	    KV(passed, t->rcpt_count - t->held_count), KV(held, t->held_count),
	    KV(delay_ms, clock_wall_ms() - t->started_at), KV(reason, why),
	    KV(to, &first));
	log_recipients_rest(&to, log, LOG_EV_MILTER_RECIPIENTS, id, first.end);
}

/* Refused by what is not the gate's to know. option as events have it. */
static void
report_refused(struct milter_txn *t, const char *address, const char *option,
    const char *why)
{
	events_add_option(t->desk->parts.events, clock_wall_ms(), EVENT_REFUSE,
	    option, gate_txn_source(t->gate), "", "%.200s: %s", address, why);
}

/* ---- what is no path ---- */

/* It is never asked about, stored or sent: what it means only the mail server
 * knows. */
static void
refuse_path(struct milter_desk *d, struct milter_ask *ask, const char *source)
{
	bool is_mail = ask->verb == MILTER_MAIL;

	log_write(d->parts.log, LOG_EV_MILTER_REFUSE_ADDRESS,
	    KV(sender, source), KV(from, is_mail ? ask->address : NULL),
	    KV(to, is_mail ? NULL : ask->address),
	    KV(reason, smtp_path_error_text(ask->path_error)));
	counters_add(d->parts.counters, COUNT_REFUSED_RECIPIENTS, 1);
	counters_add(d->parts.counters, COUNT_REFUSE_SYNTAX, 1);
	if (source[0] != '\0')
		events_add_option(d->parts.events, clock_wall_ms(),
		    EVENT_REFUSE, NULL, source, "", "%s",
		    smtp_path_error_text(ask->path_error));
	ask->code = 553;
	str_copy(str_from(is_mail ? "5.1.7" : "5.1.3"), ask->enhanced,
	    sizeof(ask->enhanced));
	str_copy(str_from(smtp_path_error_text(ask->path_error)), ask->words,
	    sizeof(ask->words));
	ask->status = MILTER_REFUSED;
	(void)milter_answer(d->port, ask);
}

/* ---- MAIL ---- */

void
milter_txn_stop(struct milter_txn *t, const struct gate_answer *answer)
{
	milter_txn_log(t, "refused", answer->why);
	(void)milter_txn_refuse(
	    t, answer->code, answer->enhanced, answer->text);
	milter_txn_drop(t);
}

/* At MAIL, and when the message is to go on. */
static void
on_sender(void *arg, const struct gate_answer *answer)
{
	struct milter_txn *t = arg;

	if (answer->verdict == THROTTLE_REFUSE)
		milter_txn_stop(t, answer);
	else
		(void)milter_txn_answer(t, MILTER_OK);
}

void
milter_txn_mail(struct milter_desk *d, struct milter_ask *ask)
{
	int64_t now = loop_now(d->parts.loop), wall = clock_wall_ms();
	struct milter_txn *t;

	if (ask->peer->txn != NULL)
		milter_txn_drop(ask->peer->txn);
	if (ask->path_error != SMTP_PATH_OK) {
		refuse_path(d, ask, ask->user != NULL ? ask->user : "");
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->desk = d;
	t->ask = ask;
	t->peer = ask->peer;
	t->peer->txn = t;
	t->started_at = wall;
	t->id = spool_new_id(d->parts.spool, wall);
	t->from = milter_take_text(&ask->address);
	t->helo = milter_take_text(&ask->helo);
	t->user = milter_take_text(&ask->user);
	t->envid = milter_take_text(&ask->envid);
	t->client = ask->client;
	t->body_type = ask->body_type;
	t->ret = ask->ret;
	t->utf8 = ask->utf8;
	t->require_tls = ask->require_tls;
	t->facts = (struct gate_facts){
	    .user = str_from(t->user),
	    .sender = str_from(t->from),
	    .helo = str_from(t->helo),
	    .client = t->client,
	    .local = ask->local,
	    .by_command =
		ask->by_command && d->settings.hold != MILTER_TEMPFAIL,
	    .has_routes = true,
	    .teaches = true,
	};
	list_append(&d->txns, &t->entry);
	if (d->draining) {
		(void)milter_txn_refuse(
		    t, 451, "4.3.2", "weir is shutting down");
		milter_txn_drop(t);
		return;
	}
	if (milter_loop_by_connection(d, ask)) {
		t->is_loop = true;
		milter_loop_report(d, t);
		(void)milter_txn_answer(t, MILTER_OK);
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
	    .address = milter_take_text(&ask->address),
	    .orcpt = milter_take_text(&ask->orcpt),
	    .notify = ask->notify,
	    .held = held,
	};
	if (held)
		t->held_count++;
	t->utf8 |= held && ask->utf8; /* RFC 6531 section 3.4 */
	ask->known = t->is_loop || gate_txn_is_known(t->gate);
	ask->freezes = gate_freezes(t->desk->parts.gate);
}

/* It takes its place in the queue by itself: the others of the message are not
 * put off with it. */
struct putting_off {
	struct gate_txn *gate;
	struct loop *loop;
	bool is_ended;
};

static void
on_put_off(void *arg, const struct gate_answer *answer)
{
	struct putting_off *p = arg;

	(void)answer;
	gate_defer(p->gate, loop_now(p->loop), clock_wall_ms());
	p->is_ended = true;
}

static void
put_off(struct milter_txn *t, const char *why)
{
	struct milter_parts *parts = &t->desk->parts;
	struct putting_off p = {.loop = parts->loop};
	char *address = milter_take_text(&t->ask->address);
	int64_t now = milter_txn_now(t);
	char words[MILTER_TEXT_MAX];

	snprintf(words, sizeof(words), "New recipient must wait: %s", why);
	gate_drop_last(t->gate, now);
	report_refused(t, address, "milter_hold", words);
	milter_txn_log(t, "deferred", why);
	(void)milter_txn_refuse(t, 451, "4.7.1", words);
	p.gate = gate_begin(parts->gate, &t->facts, now);
	gate_recipient(
	    p.gate, str_from(address), now, clock_wall_ms(), on_put_off, &p);
	/* What its sender knows has just been read. Where it is out of memory
	 * again, the next try takes the place. */
	if (!p.is_ended)
		gate_cancel(p.gate, now);
	free(address);
}

static void
hold_rcpt(struct milter_txn *t, const char *why)
{
	struct milter_desk *d = t->desk;
	const char *source = gate_txn_source(t->gate);
	char text[ROOM_TEXT_MAX];
	struct spool_usage usage;

	if (d->settings.hold == MILTER_TEMPFAIL) {
		put_off(t, why);
	} else if (!spool_room(d->parts.spool, source, 1, 0, &usage)) {
		counters_add(d->parts.counters, COUNT_LIMIT_REFUSALS, 1);
		report_refused(
		    t, t->ask->address, usage.limit, room_words(&usage, text));
		gate_drop_for_room(t->gate, milter_txn_now(t));
		(void)milter_txn_refuse(t, 452, "4.3.1", text);
	} else if (spool_is_short(d->parts.spool)) {
		counters_add(d->parts.counters, COUNT_LIMIT_REFUSALS, 1);
		report_refused(
		    t, t->ask->address, "min_free", "the spool is full");
		gate_drop_last(t->gate, milter_txn_now(t));
		(void)milter_txn_refuse(t, 452, "4.3.1",
		    "New recipients would be held and the spool is full, try "
		    "again later");
	} else {
		spool_stake_recipient(d->parts.spool, &t->stake, source);
		add_rcpt(t, true);
		(void)milter_txn_answer(t, MILTER_HELD);
	}
}

static void
on_recipient(void *arg, const struct gate_answer *answer)
{
	struct milter_txn *t = arg;

	if (t->ask == NULL)
		return;
	if (t->ask->refusal[0] != '\0') {
		gate_drop_refused(t->gate,
		    &(struct gate_reply){550, t->ask->refusal, true},
		    milter_txn_now(t), clock_wall_ms());
		(void)milter_txn_answer(t, MILTER_OK);
		return;
	}
	switch (answer->verdict) {
	case THROTTLE_PASS:
		add_rcpt(t, false);
		(void)milter_txn_answer(t, MILTER_OK);
		break;
	case THROTTLE_HOLD:
		hold_rcpt(t, answer->why);
		break;
	case THROTTLE_REFUSE:
		(void)milter_txn_refuse(
		    t, answer->code, answer->enhanced, answer->text);
		break;
	}
}

void
milter_txn_rcpt(struct milter_txn *t)
{
	struct milter_ask *ask = t->ask;

	if (ask->refusal[0] != '\0' &&
	    (t->is_loop || ask->path_error != SMTP_PATH_OK ||
		gate_txn_is_outside(t->gate))) {
		(void)milter_txn_answer(t, MILTER_OK);
		return;
	}
	if (ask->path_error != SMTP_PATH_OK) {
		t->ask = NULL;
		refuse_path(
		    t->desk, ask, t->is_loop ? "" : gate_txn_source(t->gate));
		return;
	}
	if (t->is_loop) {
		add_rcpt(t, false);
		(void)milter_txn_answer(t, MILTER_OK);
		return;
	}
	gate_next_stays(t->gate, ask->stays);
	gate_recipient(t->gate, str_from(t->ask->address), milter_txn_now(t),
	    clock_wall_ms(), on_recipient, t);
}

/* ---- the MTA goes on ---- */

void
milter_txn_secure(struct milter_txn *t)
{
	if (t->is_loop || milter_loop_by_trace(t, t->ask->trace_id))
		(void)milter_txn_answer(t, MILTER_OK);
	else
		gate_secure(
		    t->gate, milter_txn_now(t), clock_wall_ms(), on_sender, t);
}

static const char *
address_of(const void *arg, size_t i)
{
	const struct milter_txn *t = arg;

	return i < t->rcpt_count ? t->rcpts[i].address : NULL;
}

/* The mail server goes on with it, or with a part of it. What it puts on hold
 * itself is noted for the time after its release. */
static void
note_let_go(const struct milter_txn *t)
{
	const struct milter_desk *d = t->desk;

	if (d->parts.let_go == NULL || t->queue_id == NULL)
		return;
	if (d->settings.hold == MILTER_QUARANTINE ||
	    (!t->take_all && t->held_count < t->rcpt_count))
		let_go_note(d->parts.let_go, gate_txn_source(t->gate),
		    str_from(t->queue_id), milter_txn_now(t));
}

/* Of a report: before the commit. */
static void
hear_bounced(struct milter_txn *t, const char *bounced)
{
	struct str text = str_from(bounced);

	while (t->gate != NULL && text.n > 0) {
		struct str line = str_cut(&text, '\n');
		struct gate_bounced b = {.envid = str_cut(&line, '\t')};

		b.original = str_cut(&line, '\t');
		b.final = str_cut(&line, '\t');
		b.status = line;
		gate_txn_hear_bounced(t->gate, &b);
	}
}

static void
commit(struct milter_txn *t, const char *result)
{
	struct gate_names names = {address_of, t, t->queue_id};
	struct milter_parts *p = &t->desk->parts;
	uint64_t *tickets;
	char id[SPOOL_ID_TEXT];

	if (t->is_loop) {
		milter_txn_log(t, "own", "");
		txn_free(t);
		return;
	}
	tickets = xcalloc(t->rcpt_count + 1, sizeof(*tickets));
	for (size_t i = 0, stored = 0; i < t->rcpt_count; i++) {
		if (t->rcpts[i].held)
			tickets[i] = SPOOL_TICKET(t->id, stored);
		stored += t->take_all || t->rcpts[i].held;
	}
	counters_add(p->counters, COUNT_MESSAGES, 1);
	events_add(p->events, clock_wall_ms(), EVENT_MESSAGE,
	    gate_txn_source(t->gate), spool_id_format(t->id, id),
	    "%zu recipients passed, %zu held", t->rcpt_count - t->held_count,
	    t->held_count);
	milter_txn_log(t, result, "");
	note_let_go(t);
	gate_txn_name(t->gate, &names);
	gate_commit(t->gate, tickets, milter_txn_now(t), clock_wall_ms());
	t->gate = NULL;
	free(tickets);
	txn_free(t);
}

void
milter_txn_passed(struct milter_txn *t, struct milter_ask *ask)
{
	struct str names;

	if (t->held_count > 0) { /* no thread does this */
		milter_txn_drop(t);
		return;
	}
	t->queue_id = milter_take_text(&ask->queue_id);
	names = str_from(ask->names);
	while (t->gate != NULL && names.n > 0)
		gate_txn_hear_name(t->gate, str_cut(&names, ' '));
	hear_bounced(t, ask->bounced);
	commit(t, "passed");
}

void
milter_txn_taken(struct milter_txn *t, const struct milter_ask *ask)
{
	struct milter_desk *d = t->desk;
	bool goes = t->take_all;
	uint64_t id = t->id;

	if (!t->stored) {
		milter_txn_drop(t);
		return;
	}
	hear_bounced(t, ask->bounced);
	/* First, so that what passes of it goes also where this commit freezes
	 * its sender: a freeze stops what was let go before. */
	commit(t, t->held_count < t->rcpt_count ? "split" : "held");
	settle_message(
	    &d->settles, d->parts.loop, d->parts.spool, d->parts.log, id, true);
	if (goes && d->parts.delivery != NULL)
		delivery_kick(d->parts.delivery, loop_now(d->parts.loop),
		    clock_wall_ms());
}
