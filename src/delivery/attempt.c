/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One message on one connection. MAIL, all RCPTs and DATA go out together;
 * where the next hop does not pipeline, the engine holds them back. A next hop
 * that limits the recipients of a message (RFC 9422) gets it several times.
 *
 * When a connection breaks, or is over:
 *	kept one, no reply yet	it was closed while idle: at once again, on a
 *				new one, once
 *	refused as spent	at once again, on a new one: see hop_blame
 *	5xx within the text	the message is refused
 *	before the final dot	the next hop has nothing (RFC 5321 section
 *				4.1.1.4): later
 *	after it		it may have the message. Later: twice is
 *				better than never
 */
#include "delivery/delivery_private.h"
#include "delivery/let_go.h"

#include "os/clock.h"
#include "smtp/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_MAX 65536
#define REPLY_KEPT_MAX 480
#define READ_AGAIN_MS 50
#define BATCH_MAX 4096 /* recipients that the client engine surely queues */

static const struct hop_ops hop_ops;
static void on_read_again(void *arg, int64_t now);

struct attempt *
attempt_new(struct delivery *d, struct spool_job *job)
{
	size_t n = job->m.rcpt_count;
	struct attempt *a = xcalloc(1, sizeof(*a) + n * sizeof(a->outcomes[0]));

	a->d = d;
	a->job = job;
	spool_id_format(job->m.id, a->id);
	loop_timer_init(&a->again, d->loop, on_read_again, a);
	list_append(&d->attempts[ATTEMPT_QUEUED], &a->entry);
	d->count[ATTEMPT_QUEUED]++;
	return a;
}

static bool
is_sending(const struct attempt *a)
{
	return a->state >= ATTEMPT_WAITING && a->state <= ATTEMPT_ENDING;
}

void
attempt_set_state(struct attempt *a, enum attempt_state state)
{
	struct delivery *d = a->d;

	list_remove(&a->entry);
	d->count[a->state]--;
	d->alone -= a->suspect && is_sending(a);
	a->state = state;
	d->count[state]++;
	d->alone += a->suspect && is_sending(a);
	/* What was begun before comes before what is claimed later. */
	if (state == ATTEMPT_QUEUED)
		list_insert(&d->attempts[state], &a->entry);
	else
		list_append(&d->attempts[state], &a->entry);
}

void
attempt_queue_again(struct attempt *a)
{
	attempt_set_state(a, a->suspect ? ATTEMPT_LAST : ATTEMPT_QUEUED);
}

static void
clear_outcomes(struct attempt *a)
{
	for (size_t i = 0; i < a->job->m.rcpt_count; i++) {
		free(a->outcomes[i].reply);
		a->outcomes[i] = (struct outcome){0};
	}
}

void
attempt_free(struct attempt *a)
{
	if (a->hop != NULL)
		hop_drop(a->hop);
	clear_outcomes(a);
	list_remove(&a->entry);
	a->d->count[a->state]--;
	a->d->alone -= a->suspect && is_sending(a);
	loop_timer_clear(&a->again);
	spool_job_free(a->job);
	free(a);
}

static char *
reply_text(const struct smtp_reply *reply)
{
	bool has_code = reply->enhanced[0] != '\0';
	char *text = xasprintf("%u %s%s%.*s", reply->code, reply->enhanced,
	    has_code ? " " : "",
	    (int)(reply->text.n < REPLY_KEPT_MAX ? reply->text.n
						 : REPLY_KEPT_MAX),
	    reply->text.n > 0 ? reply->text.p : "");

	for (char *p = text; *p != '\0'; p++) {
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	}
	return text;
}

/* ours: the reply is not the next hop's, but says what went wrong. */
static void
decide(struct outcome *f, const struct smtp_reply *reply, bool ours)
{
	bool later = reply->code < 500;
	char class = later ? '4' : '5';

	free(f->reply);
	f->kind = later ? OUTCOME_LATER : OUTCOME_REFUSED;
	f->reply = reply_text(reply);
	f->is_ours = ours;
	f->waits = false;
	f->code = reply->code;
	f->to_rcpt = false;
	f->has_status = reply->enhanced[0] == class;
	/* A next hop's enhanced code of another class is nonsense. */
	if (f->has_status)
		str_copy(
		    str_from(reply->enhanced), f->status, sizeof(f->status));
	else
		snprintf(f->status, sizeof(f->status), "%c.0.0", class);
}

/* For all recipients up to `to` whose outcome is still to be decided. */
static void
decide_until(
    struct attempt *a, size_t to, const struct smtp_reply *reply, bool ours)
{
	for (size_t i = 0; i < to; i++) {
		if (a->outcomes[i].kind <= OUTCOME_ACCEPTED)
			decide(&a->outcomes[i], reply, ours);
	}
}

static void
decide_rest(struct attempt *a, const struct smtp_reply *reply, bool ours)
{
	decide_until(a, a->job->m.rcpt_count, reply, ours);
}

/* True: the next hop wants a login or TLS of weir. Then the mail of these
 * recipients has only to wait. */
static bool
decide_no_login(struct attempt *a, size_t from, size_t to,
    const struct smtp_reply *reply, int64_t now)
{
	if (!smtp_reply_wants_login(reply))
		return false;
	delivery_on_no_login(a, reply, now);
	for (size_t i = from; i < to; i++) {
		struct outcome *f = &a->outcomes[i];

		if (f->kind > OUTCOME_ACCEPTED)
			continue;
		decide(f, reply, false);
		f->kind = OUTCOME_LATER;
		f->waits = true;
		str_copy(STR("4.7.0"), f->status, sizeof(f->status));
	}
	return true;
}

/* What was said of this transaction alone. */
static void
decide_batch(struct attempt *a, const struct smtp_reply *reply)
{
	decide_until(a, a->to, reply, false);
}

static bool
has_outcome(const struct attempt *a, enum outcome_kind kind)
{
	for (size_t i = 0; i < a->job->m.rcpt_count; i++) {
		if (a->outcomes[i].kind == kind)
			return true;
	}
	return false;
}

static void
end(struct attempt *a, struct str original, bool is_whole, int64_t now)
{
	struct delivery *d = a->d;

	if (!a->broke)
		suspects_forget(d->suspects, a->job->m.id);
	outcome_record(a, original, is_whole, clock_wall_ms());
	attempt_free(a);
	delivery_on_ended(d, now);
}

static void
on_original(void *arg, int error, struct str chunk)
{
	struct attempt *a = arg;

	if (error != 0)
		chunk = (struct str){NULL, 0};
	a->reading = false;
	end(a, chunk, error == 0 && chunk.n == a->job->m.size,
	    loop_now(a->d->loop));
}

/* All outcomes are known and the connection is given back. */
static void
settle(struct attempt *a, int64_t now)
{
	if (a->reading) {
		attempt_set_state(a, ATTEMPT_LEAVING);
	} else if (outcome_needs_original(a, clock_wall_ms())) {
		attempt_set_state(a, ATTEMPT_QUOTING);
		a->reading = true;
		spool_read_body(a->d->spool, a->job->m.id, 0, on_original, a);
	} else {
		end(a, a->job->body, a->job->body.p != NULL, now);
	}
}

/* The transaction is over at the next hop as well. */
static void
put_hop(struct attempt *a, int64_t now)
{
	if (!smtp_client_is_idle(hop_client(a->hop)))
		smtp_client_abandon(hop_client(a->hop), now);
	hop_put(a->hop, now);
	a->hop = NULL;
}

static void
drop_hop(struct attempt *a)
{
	hop_drop(a->hop);
	a->hop = NULL;
}

void
attempt_put_back(struct attempt *a, const char *reason, int64_t next_try)
{
	struct smtp_reply reply = smtp_reply_make(451, "4.4.1", reason);

	if (a->hop != NULL)
		drop_hop(a);
	a->put_back = true;
	a->next_try = next_try;
	decide_rest(a, &reply, true);
	if (outcome_needs_original(a, clock_wall_ms())) {
		settle(a, loop_now(a->d->loop));
		return;
	}
	outcome_record(
	    a, a->job->body, a->job->body.p != NULL, clock_wall_ms());
	attempt_free(a);
}

/* ---- sending ---- */

/* attempt_has_paths saw to it that there is one. */
static struct str
address_of(const char *text, bool null_ok)
{
	struct smtp_path path;

	if (smtp_path_parse_given(str_from(text), null_ok, &path) !=
	    SMTP_PATH_OK)
		panic("delivery: an address that is none");
	return path.address;
}

static void
send_envelope(struct attempt *a, int64_t now)
{
	const struct spool_message *m = &a->job->m;
	const struct delivery_settings *s = &a->d->settings;
	struct smtp_client *c = hop_client(a->hop);
	char envid[DELIVERY_ENVID_MAX];
	struct smtp_mail mail = {
	    .from = address_of(m->from, true),
	    .size = m->size,
	    .body = (enum smtp_body)m->body_type,
	    .utf8 = m->utf8,
	    .require_tls = m->require_tls,
	    .ret = (enum smtp_ret)m->ret,
	    .envid = str_from(m->envid),
	};

	if (mail.envid.n == 0 && mail.from.n > 0 && a->dsn &&
	    s->envid != NULL && s->envid(s->why_arg, m, envid))
		mail.envid = str_from(envid);
	/* What only goes along is left out where it cannot be written. */
	if (!smtp_client_can_mail(&mail))
		mail.envid = STR("");
	smtp_client_mail(c, &mail, 0, now);
	for (size_t i = a->from; i < a->to; i++) {
		struct smtp_rcpt rcpt;

		if (a->outcomes[i].kind != OUTCOME_OPEN)
			continue;
		rcpt = (struct smtp_rcpt){
		    .to = address_of(m->rcpts[i].address, false),
		    .notify = m->rcpts[i].notify,
		    .orcpt = str_from(m->rcpts[i].orcpt),
		};
		if (!smtp_client_can_rcpt(&rcpt))
			rcpt.orcpt = STR("");
		handed_add(a->d->handed, m->id, rcpt.to);
		smtp_client_rcpt(c, &rcpt, i, now);
	}
	smtp_client_data(c, 0, now);
}

/* The next recipients, as many as the next hop takes in one message. False:
 * there are none left. */
static bool
send_batch(struct attempt *a, int64_t now)
{
	size_t n = a->job->m.rcpt_count;
	uint32_t max = smtp_client_caps(hop_client(a->hop))->rcpt_max;

	/* A refused MAIL has decided all of them. */
	while (a->to < n && a->outcomes[a->to].kind != OUTCOME_OPEN)
		a->to++;
	if (a->to == n)
		return false;
	a->from = a->to;
	a->taken = false;
	if (max == 0 || max > BATCH_MAX)
		max = BATCH_MAX;
	a->to = n - a->from > max ? a->from + max : n;
	a->offset = 0;
	attempt_set_state(a, ATTEMPT_ENVELOPE);
	send_envelope(a, now);
	return true;
}

static void
begin(struct attempt *a, int64_t now)
{
	str_copy(str_from(hop_name(a->hop)), a->hop_name, sizeof(a->hop_name));
	a->reused = hop_is_reused(a->hop);
	a->heard = false;
	a->lmtp = smtp_client_is_lmtp(hop_client(a->hop));
	a->dsn =
	    (smtp_client_caps(hop_client(a->hop))->ext & SMTP_EXT_DSN) != 0;
	a->from = a->to = 0;
	if (!a->reused)
		delivery_on_reached(a->d, now);
	if (a->suspect)
		hop_retire(a->hop);
	if (!attempt_fits(a)) {
		/* To be tried again, on a connection that may have more. */
		if (has_outcome(a, OUTCOME_LATER))
			hop_retire(a->hop);
		put_hop(a, now);
		settle(a, now);
		return;
	}
	(void)send_batch(a, now);
}

void
attempt_start(struct attempt *a, int64_t now)
{
	attempt_set_state(a, ATTEMPT_WAITING);
	if (!attempt_has_paths(a)) {
		settle(a, now);
		return;
	}
	a->hop = nexthop_get(a->job->m.rest && a->d->rest_hop != NULL
				 ? a->d->rest_hop
				 : a->d->nexthop,
	    a->fresh, &hop_ops, a, now);
	if (hop_is_ready(a->hop))
		begin(a, now);
}

/* The body cannot be read: nothing was sent as far as the next hop goes. */
static void
fail_reading(struct attempt *a, int error, int64_t now)
{
	struct smtp_reply reply =
	    smtp_reply_make(451, "4.3.0", "the spool could not be read");

	log_write(a->d->log, LOG_EV_DELIVERY_READ_FAILED, KV(id, a->id),
	    KV(error, strerror(error)));
	drop_hop(a);
	decide_rest(a, &reply, true);
	settle(a, now);
}

static void send_body(struct attempt *a, int64_t now);

static void
on_chunk(void *arg, int error, struct str chunk)
{
	struct attempt *a = arg;
	int64_t now = loop_now(a->d->loop);

	a->reading = false;
	if (a->state == ATTEMPT_LEAVING) {
		settle(a, now);
	} else if (error == EBUSY) {
		loop_timer_set(&a->again, now + READ_AGAIN_MS);
	} else if (error != 0 || chunk.n == 0) {
		/* It ends before its size: the file is damaged. */
		fail_reading(a, error != 0 ? error : EIO, now);
	} else {
		smtp_client_body(hop_client(a->hop), chunk, now);
		a->offset += chunk.n;
		send_body(a, now);
	}
}

static void
read_chunk(struct attempt *a)
{
	a->reading = true;
	spool_read_body(a->d->spool, a->job->m.id, a->offset, on_chunk, a);
}

static void
on_read_again(void *arg, int64_t now)
{
	struct attempt *a = arg;

	(void)now;
	if (a->state == ATTEMPT_BODY && !a->reading)
		read_chunk(a);
}

static void
send_body(struct attempt *a, int64_t now)
{
	struct smtp_client *c = hop_client(a->hop);
	struct str body = a->job->body;
	struct str slice;

	while (
	    a->offset < a->job->m.size && !a->reading && !hop_is_full(a->hop)) {
		if (body.p == NULL) {
			read_chunk(a);
			return;
		}
		slice = str_sub(body, a->offset, SLICE_MAX);
		if (slice.n == 0) {
			fail_reading(a, EIO, now);
			return;
		}
		smtp_client_body(c, slice, now);
		a->offset += slice.n;
	}
	if (a->offset < a->job->m.size)
		return;
	attempt_set_state(a, ATTEMPT_ENDING);
	smtp_client_end(c, 0, now);
}

/* ---- what the next hop says ---- */

/*
 * RFC 5321 section 4.5.3.1.10: no more recipients in this message, and the
 * rest may come in a further one at once; 552 is what old servers say. A server
 * without enhanced codes may mean that recipient's quota: then it says so again
 * when it has taken nobody before it.
 */
static bool
is_too_many(const struct smtp_reply *reply)
{
	const char *enhanced = reply->enhanced;

	return (reply->code == 452 || reply->code == 552) &&
	       (enhanced[0] == '\0' || strcmp(enhanced + 1, ".5.3") == 0);
}

/* Those for whom there was no place. Each transaction before has taken one, so
 * there is an end. */
static bool
reopen(struct attempt *a)
{
	size_t n = a->job->m.rcpt_count, first = n;

	for (size_t i = n; i-- > 0;) {
		if (!a->outcomes[i].again)
			continue;
		free(a->outcomes[i].reply);
		a->outcomes[i] = (struct outcome){.kind = OUTCOME_OPEN};
		first = i;
	}
	a->to = first;
	return first < n;
}

static void
requeue(struct attempt *a, bool fresh, int64_t now)
{
	a->fresh = fresh || a->suspect;
	attempt_queue_again(a);
	delivery_on_ended(a->d, now);
}

/* The connection's refusal, not the message's: once more on another. True: it
 * was queued for that, and nothing is left to do. */
static bool
try_anew(struct attempt *a, enum smtp_client_what what,
    const struct smtp_reply *reply, int64_t now)
{
	bool spent = false;

	switch (hop_blame(a->hop, what, reply, now)) {
	case HOP_BLAME_MESSAGE:
	case HOP_BLAME_LOGIN:
		return false;
	case HOP_BLAME_SPENT: /* it has carried, so there is an end */
		spent = true;
		break;
	case HOP_BLAME_FULL:
		if (a->lined)
			return false;
		a->lined = true;
		break;
	}
	for (size_t i = a->from; i < a->to; i++) {
		if (a->outcomes[i].kind == OUTCOME_ACCEPTED)
			a->outcomes[i].kind = OUTCOME_OPEN;
	}
	drop_hop(a);
	requeue(a, spent, now);
	return true;
}

static void
on_rcpt_reply(struct attempt *a, size_t index, const struct smtp_reply *reply,
    int64_t now)
{
	struct outcome *f;

	if (index >= a->job->m.rcpt_count)
		panic("delivery: a reply to recipient %zu", index);
	f = &a->outcomes[index];
	if (f->kind != OUTCOME_OPEN)
		return; /* MAIL was refused: this only follows from it */
	if (!smtp_reply_is_ok(reply)) {
		if (try_anew(a, SMTP_CLIENT_RCPT, reply, now) ||
		    decide_no_login(a, index, index + 1, reply, now))
			return;
		decide(f, reply, false);
		f->to_rcpt = true;
		f->again = a->taken && is_too_many(reply);
		return;
	}
	f->kind = OUTCOME_ACCEPTED;
	a->taken = true;
}

static void
end_batch(struct attempt *a, int64_t now)
{
	if (hop_is_spent(a->hop) &&
	    (has_outcome(a, OUTCOME_OPEN) || reopen(a))) {
		put_hop(a, now);
		requeue(a, true, now);
		return;
	}
	if (send_batch(a, now) || (reopen(a) && send_batch(a, now)))
		return;
	put_hop(a, now);
	settle(a, now);
}

static void
on_data_reply(struct attempt *a, const struct smtp_reply *reply, int64_t now)
{
	if (!smtp_reply_is_ok(reply)) {
		if (has_outcome(a, OUTCOME_ACCEPTED) &&
		    try_anew(a, SMTP_CLIENT_DATA, reply, now))
			return;
		if (!decide_no_login(a, a->from, a->to, reply, now))
			decide_batch(a, reply);
		end_batch(a, now);
	} else if (!has_outcome(a, OUTCOME_ACCEPTED)) {
		/* MAIL was refused, and it takes a message all the same. Only
		 * closing the connection surely leaves it without one. */
		drop_hop(a);
		settle(a, now);
	} else {
		attempt_set_state(a, ATTEMPT_BODY);
		send_body(a, now);
	}
}

static void
note_delivered(struct outcome *f, const struct smtp_reply *reply)
{
	f->kind = OUTCOME_DELIVERED;
	f->reply = reply_text(reply);
}

/* LMTP: each recipient has its own reply (RFC 2033 section 4.2). */
static void
on_lmtp_reply(struct attempt *a, size_t index, const struct smtp_reply *reply)
{
	if (index >= a->job->m.rcpt_count)
		panic("delivery: a verdict on recipient %zu", index);
	if (smtp_reply_is_ok(reply))
		note_delivered(&a->outcomes[index], reply);
	else
		decide(&a->outcomes[index], reply, false);
}

static void
on_end_reply(struct attempt *a, const struct smtp_reply *reply, int64_t now)
{
	if (!smtp_reply_is_ok(reply)) {
		decide_batch(a, reply);
		return;
	}
	if (a->d->let_go != NULL)
		let_go_note_reply(
		    a->d->let_go, a->job->m.source, reply->text, now);
	for (size_t i = a->from; i < a->to; i++) {
		if (a->outcomes[i].kind == OUTCOME_ACCEPTED)
			note_delivered(&a->outcomes[i], reply);
	}
}

static void
on_verdict(struct attempt *a, size_t index, const struct smtp_reply *reply,
    int64_t now)
{
	size_t from = a->lmtp ? index : a->from;
	size_t to = a->lmtp ? index + 1 : a->to;

	if (smtp_reply_is_ok(reply)) {
		a->lined = false;
		delivery_on_taken(a->d);
	}
	if (decide_no_login(a, from, to, reply, now))
		a->lined = false;
	else if (!a->lmtp)
		on_end_reply(a, reply, now);
	else
		on_lmtp_reply(a, index, reply);
	if (!has_outcome(a, OUTCOME_ACCEPTED))
		end_batch(a, now);
}

static void
on_mail_refused(struct attempt *a, const struct smtp_reply *reply, int64_t now)
{
	if (!try_anew(a, SMTP_CLIENT_MAIL, reply, now) &&
	    !decide_no_login(a, 0, a->job->m.rcpt_count, reply, now))
		decide_rest(a, reply, false);
}

static void
on_hop_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply, int64_t now)
{
	struct attempt *a = arg;

	if (!a->heard)
		delivery_on_reached(a->d, now);
	a->heard = true;
	switch (what) {
	case SMTP_CLIENT_MAIL:
		if (!smtp_reply_is_ok(reply))
			on_mail_refused(a, reply, now);
		break;
	case SMTP_CLIENT_RCPT:
		on_rcpt_reply(a, tag, reply, now);
		break;
	case SMTP_CLIENT_DATA:
		on_data_reply(a, reply, now);
		break;
	case SMTP_CLIENT_END:
		on_verdict(a, tag, reply, now);
		break;
	case SMTP_CLIENT_RSET:
	case SMTP_CLIENT_QUIT:
	case SMTP_CLIENT_AUTH:
		break;
	}
}

static void
on_hop_ready(void *arg, int64_t now)
{
	struct attempt *a = arg;

	begin(a, now);
}

static void
on_hop_drain(void *arg, int64_t now)
{
	struct attempt *a = arg;

	if (a->state == ATTEMPT_BODY && !a->reading &&
	    a->again.due == INT64_MAX)
		send_body(a, now);
}

static void
on_hop_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct attempt *a = arg;
	struct smtp_reply broke = *reply;

	a->hop = NULL;
	if (a->state == ATTEMPT_WAITING) {
		delivery_on_unreachable(a, reply, now);
		return;
	}
	loop_timer_set(&a->again, INT64_MAX);
	if (a->reused && !a->heard && !a->fresh) {
		requeue(a, true, now);
		return;
	}
	if (a->state == ATTEMPT_BODY && reply->code >= 500) {
		if (!decide_no_login(a, a->from, a->to, reply, now))
			decide_rest(a, reply, false);
		settle(a, now);
		return;
	}
	if (reply->code != 421) {
		a->broke = true;
		suspects_note(a->d->suspects, a->job->m.id);
	}
	if (broke.code >= 500) {
		/* The connection's trouble, not a word on the message. */
		broke.code = 451;
		memcpy(broke.enhanced, "4.4.2", sizeof("4.4.2"));
	}
	decide_rest(a, &broke, true);
	settle(a, now);
}

static void
on_hop_trace(void *arg, struct tap_who *out)
{
	const struct attempt *a = arg;
	const struct spool_message *m = &a->job->m;

	out->sender = m->source;
	out->from = m->from;
	(void)str_copy(str_from(a->id), out->id, sizeof(out->id));
	if (ip_parse(str_from(m->client), &out->ip))
		out->client = &out->ip;
}

static const struct hop_ops hop_ops = {
    .on_trace = on_hop_trace,
    .on_ready = on_hop_ready,
    .on_reply = on_hop_reply,
    .on_drain = on_hop_drain,
    .on_fail = on_hop_fail,
};
