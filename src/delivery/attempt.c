/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One message on one connection. MAIL, all RCPTs and DATA go out together;
 * where the next hop does not pipeline, the engine holds them back. A next hop
 * that limits the recipients of a message (RFC 9422) gets it several times.
 *
 * When a connection breaks:
 *	kept one, no reply yet	it was closed while idle: at once again, on a
 *				new one, once
 *	before the final dot	the next hop has nothing (RFC 5321 section
 *				4.1.1.4): later
 *	after it		it may have the message. Later: twice is
 *				better than never
 */
#include "delivery/delivery_private.h"

#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_MAX 65536
#define REPLY_KEPT_MAX 480
#define READ_AGAIN_MS 50

static const struct hop_ops hop_ops;
static void on_read_again(void *arg, int64_t now);

struct attempt *
attempt_new(struct delivery *d, struct spool_job *job)
{
	size_t n = job->m.rcpt_count;
	struct attempt *a = xcalloc(1, sizeof(*a) + n * sizeof(a->fates[0]));

	a->d = d;
	a->job = job;
	spool_id_format(job->m.id, a->id);
	loop_timer_init(&a->again, d->loop, on_read_again, a);
	list_append(&d->attempts[ATTEMPT_QUEUED], &a->entry);
	d->count[ATTEMPT_QUEUED]++;
	return a;
}

void
attempt_set_state(struct attempt *a, enum attempt_state state)
{
	struct delivery *d = a->d;

	list_remove(&a->entry);
	d->count[a->state]--;
	a->state = state;
	d->count[state]++;
	/* What was begun before comes before what is claimed later. */
	if (state == ATTEMPT_QUEUED)
		list_insert(&d->attempts[state], &a->entry);
	else
		list_append(&d->attempts[state], &a->entry);
}

static void
clear_fates(struct attempt *a)
{
	for (size_t i = 0; i < a->job->m.rcpt_count; i++) {
		free(a->fates[i].reply);
		a->fates[i] = (struct fate){0};
	}
}

void
attempt_free(struct attempt *a)
{
	if (a->hop != NULL)
		hop_drop(a->hop);
	clear_fates(a);
	list_remove(&a->entry);
	a->d->count[a->state]--;
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
decide(struct fate *f, const struct smtp_reply *reply, bool ours)
{
	bool later = reply->code < 500;
	char class = later ? '4' : '5';

	free(f->reply);
	f->kind = later ? FATE_LATER : FATE_REFUSED;
	f->reply = reply_text(reply);
	f->is_ours = ours;
	/* A next hop's enhanced code of another class is nonsense. */
	if (reply->enhanced[0] == class)
		str_copy(
		    str_from(reply->enhanced), f->status, sizeof(f->status));
	else
		snprintf(f->status, sizeof(f->status), "%c.0.0", class);
}

/* For all recipients up to `to` whose fate is still to be decided. */
static void
decide_until(
    struct attempt *a, size_t to, const struct smtp_reply *reply, bool ours)
{
	for (size_t i = 0; i < to; i++) {
		if (a->fates[i].kind <= FATE_ACCEPTED)
			decide(&a->fates[i], reply, ours);
	}
}

static void
decide_rest(struct attempt *a, const struct smtp_reply *reply, bool ours)
{
	decide_until(a, a->job->m.rcpt_count, reply, ours);
}

/* What was said of this transaction alone. */
static void
decide_batch(struct attempt *a, const struct smtp_reply *reply)
{
	decide_until(a, a->to, reply, false);
}

static void
end(struct attempt *a, struct str original, bool is_whole, int64_t now)
{
	struct delivery *d = a->d;

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

/* All fates are known and the connection is given back. */
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

static void
send_envelope(struct attempt *a, int64_t now)
{
	const struct spool_message *m = &a->job->m;
	struct smtp_client *c = hop_client(a->hop);
	const struct smtp_mail mail = {
	    .from = str_from(m->from),
	    .size = m->size,
	    .body = (enum smtp_body)m->body_type,
	    .utf8 = m->utf8,
	    .require_tls = m->require_tls,
	    .ret = (enum smtp_ret)m->ret,
	    .envid = str_from(m->envid),
	};

	smtp_client_mail(c, &mail, 0, now);
	for (size_t i = a->from; i < a->to; i++) {
		const struct smtp_rcpt rcpt = {
		    .to = str_from(m->rcpts[i].address),
		    .notify = m->rcpts[i].notify,
		    .orcpt = str_from(m->rcpts[i].orcpt),
		};

		if (a->fates[i].kind == FATE_OPEN)
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
	while (a->to < n && a->fates[a->to].kind != FATE_OPEN)
		a->to++;
	if (a->to == n)
		return false;
	a->from = a->to;
	a->taken = false;
	a->to = max > 0 && n - a->from > max ? a->from + max : n;
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
	if (!attempt_fits(a)) {
		/* To be tried again, on a connection that may have more. */
		if (a->fates[0].kind == FATE_LATER)
			drop_hop(a);
		else
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
	a->hop = nexthop_get(a->d->nexthop, a->fresh, &hop_ops, a, now);
	if (hop_is_ready(a->hop))
		begin(a, now);
}

/* The body cannot be read: nothing was sent as far as the next hop goes. */
static void
fail_reading(struct attempt *a, int error, int64_t now)
{
	struct smtp_reply reply =
	    smtp_reply_make(451, "4.3.0", "the spool could not be read");

	log_event(a->d->log, LOG_LEVEL_ERROR, "delivery", "read",
	    "id=%s error=\"%s\"", a->id, strerror(error));
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
		if (!a->fates[i].again)
			continue;
		free(a->fates[i].reply);
		a->fates[i] = (struct fate){.kind = FATE_OPEN};
		first = i;
	}
	a->to = first;
	return first < n;
}

static void
on_rcpt_reply(struct attempt *a, size_t index, const struct smtp_reply *reply)
{
	struct fate *f;

	if (index >= a->job->m.rcpt_count)
		panic("delivery: a reply to recipient %zu", index);
	f = &a->fates[index];
	if (f->kind != FATE_OPEN)
		return; /* MAIL was refused: this only follows from it */
	if (!smtp_reply_is_ok(reply)) {
		decide(f, reply, false);
		f->again = a->taken && is_too_many(reply);
		return;
	}
	f->kind = FATE_ACCEPTED;
	a->taken = true;
}

static bool
has_accepted(const struct attempt *a)
{
	for (size_t i = 0; i < a->job->m.rcpt_count; i++) {
		if (a->fates[i].kind == FATE_ACCEPTED)
			return true;
	}
	return false;
}

static void
end_batch(struct attempt *a, int64_t now)
{
	if (send_batch(a, now) || (reopen(a) && send_batch(a, now)))
		return;
	put_hop(a, now);
	settle(a, now);
}

static void
on_data_reply(struct attempt *a, const struct smtp_reply *reply, int64_t now)
{
	delivery_on_answered(a->d, now);
	if (!smtp_reply_is_ok(reply)) {
		decide_batch(a, reply);
		end_batch(a, now);
	} else if (!has_accepted(a)) {
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
note_delivered(struct fate *f, const struct smtp_reply *reply)
{
	f->kind = FATE_DELIVERED;
	f->reply = reply_text(reply);
}

/* LMTP: each recipient has its own reply (RFC 2033 section 4.2). */
static void
on_lmtp_reply(struct attempt *a, size_t index, const struct smtp_reply *reply)
{
	if (index >= a->job->m.rcpt_count)
		panic("delivery: a verdict on recipient %zu", index);
	if (smtp_reply_is_ok(reply))
		note_delivered(&a->fates[index], reply);
	else
		decide(&a->fates[index], reply, false);
}

static void
on_end_reply(struct attempt *a, const struct smtp_reply *reply)
{
	if (!smtp_reply_is_ok(reply)) {
		decide_batch(a, reply);
		return;
	}
	for (size_t i = a->from; i < a->to; i++) {
		if (a->fates[i].kind == FATE_ACCEPTED)
			note_delivered(&a->fates[i], reply);
	}
}

static void
on_verdict(struct attempt *a, size_t index, const struct smtp_reply *reply,
    int64_t now)
{
	delivery_on_answered(a->d, now);
	if (!a->lmtp)
		on_end_reply(a, reply);
	else
		on_lmtp_reply(a, index, reply);
	if (!has_accepted(a))
		end_batch(a, now);
}

static void
on_hop_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply, int64_t now)
{
	struct attempt *a = arg;

	a->heard = true;
	switch (what) {
	case SMTP_CLIENT_MAIL:
		if (!smtp_reply_is_ok(reply))
			decide_rest(a, reply, false);
		break;
	case SMTP_CLIENT_RCPT:
		on_rcpt_reply(a, tag, reply);
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
	struct delivery *d = a->d;
	struct smtp_reply broke = *reply;

	a->hop = NULL;
	if (a->state == ATTEMPT_WAITING) {
		delivery_on_unreachable(a, reply, now);
		return;
	}
	loop_timer_set(&a->again, INT64_MAX);
	if (a->reused && !a->heard && !a->fresh) {
		a->fresh = true;
		attempt_set_state(a, ATTEMPT_QUEUED);
		delivery_on_ended(d, now);
		return;
	}
	if (broke.code >= 500) {
		/* The connection's trouble, not a word on the message. */
		broke.code = 451;
		memcpy(broke.enhanced, "4.4.2", sizeof("4.4.2"));
	}
	decide_rest(a, &broke, true);
	settle(a, now);
	delivery_on_broken(d, "connections break", now);
}

static const struct hop_ops hop_ops = {
    .on_ready = on_hop_ready,
    .on_reply = on_hop_reply,
    .on_drain = on_hop_drain,
    .on_fail = on_hop_fail,
};
