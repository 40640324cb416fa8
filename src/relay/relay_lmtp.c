/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An LMTP next hop gives a verdict on each recipient after the text (RFC 2033),
 * and the client gets one reply for all of them:
 *
 *	all taken	250
 *	none taken	4xx if one of them may succeed later, else 5xx: nobody
 *			has it, so the client may well send it again
 *	some taken	250: weir answers for the rest. They are in the spool
 *			before the reply, as mail that was released: delivery
 *			tries again, and bounces what is refused for good
 *
 * So with more than one recipient the text is written to the spool as it goes
 * through, and dropped when all were taken. The rows are pending until the
 * client has its answer, as in relay_end.c: a crash in between means that those
 * who were taken get it twice, and that nobody gets it never. The same is so
 * when the disk fails between verdict and commit: the client hears 451 and
 * sends again. A spool that is known to be short is no such surprise: then a
 * message has one recipient (txn_rcpt_pass).
 */
#include "relay/relay_internal.h"

#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS 60000

void
txn_begin_spare(struct txn *t)
{
	struct spool *spool = t->relay->parts.spool;

	if (t->rcpt_count - t->held_count < 2 || !hop_txn_is_lmtp(&t->cut))
		return;
	t->spare_id = spool_new_id(spool, t->started_at);
	t->spare = spool_body_new(spool, t->spare_id);
}

static void
on_spare_drain(void *arg)
{
	struct txn *t = arg;

	t->spare_blocked = false;
	txn_hop_drained(t, loop_now(t->relay->parts.loop));
}

void
txn_write_spare(struct txn *t, struct str chunk)
{
	if (t->spare == NULL || spool_body_write(t->spare, chunk.p, chunk.n))
		return;
	t->spare_blocked = true;
	spool_body_set_drain(t->spare, on_spare_drain, t);
}

void
txn_verdict(struct txn *t, size_t index, const struct smtp_reply *reply)
{
	struct relay_rcpt *r;

	if (index >= t->rcpt_count)
		panic("a verdict on recipient %zu", index);
	r = &t->rcpts[index];
	r->verdict = reply->code == 421 ? 451 : reply->code;
	str_copy(str_from(reply->enhanced), r->verdict_enhanced,
	    sizeof(r->verdict_enhanced));
	r->verdict_text = str_dup(str_sub(reply->text, 0, 400));
}

static bool
is_taken(const struct relay_rcpt *r)
{
	return r->verdict >= 200 && r->verdict < 300;
}

static bool
is_refused(const struct relay_rcpt *r)
{
	return r->cut && !is_taken(r);
}

static struct smtp_reply
verdict_of(const struct relay_rcpt *r)
{
	if (r->verdict == 0)
		return smtp_reply_make(451, "4.4.2",
		    "The next hop closed the connection before it replied");
	return smtp_reply_make(
	    r->verdict, r->verdict_enhanced, r->verdict_text);
}

/* One word for all that were refused: what may succeed later comes first. */
static struct smtp_reply
worst_of(const struct txn *t)
{
	const struct relay_rcpt *found = NULL;

	for (size_t i = 0; i < t->rcpt_count; i++) {
		const struct relay_rcpt *r = &t->rcpts[i];

		if (is_refused(r) && (found == NULL || r->verdict < 500))
			found = r;
		if (found != NULL && found->verdict < 500)
			break;
	}
	if (found == NULL)
		panic("no verdict among those that were refused");
	return verdict_of(found);
}

static struct smtp_reply
first_taken(const struct txn *t)
{
	for (size_t i = 0; i < t->rcpt_count; i++) {
		if (t->rcpts[i].cut && is_taken(&t->rcpts[i]))
			return verdict_of(&t->rcpts[i]);
	}
	panic("no verdict among those that were taken");
}

static size_t
count_refused(const struct txn *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->rcpt_count; i++)
		n += is_refused(&t->rcpts[i]);
	return n;
}

/* ---- the rest is ours ---- */

static void
accept_rest(struct txn *t, int64_t now)
{
	size_t n = count_refused(t);
	char id[SPOOL_ID_TEXT], text[200];
	struct smtp_reply reply;

	snprintf(text, sizeof(text),
	    "Ok: delivered except to %zu of %zu recipients; these are queued "
	    "as %s and will be retried or bounced",
	    n, t->rcpt_count - t->held_count, spool_id_format(t->spare_id, id));
	reply = smtp_reply_make(250, "2.0.0", text);
	txn_settle(t, t->spare_id, true);
	txn_end_answer(t, &reply, now);
}

static void
on_spare_stored(void *arg, int error)
{
	struct txn *t = arg;
	int64_t now = loop_now(t->relay->parts.loop);
	struct delivery *d = t->relay->parts.delivery;
	struct smtp_reply reply = smtp_reply_make(451, "4.3.0",
	    "Some recipients failed and could not be stored, try again later");

	if (error == 0 && t->state != TXN_LATE) {
		accept_rest(t, now);
		if (d != NULL)
			delivery_kick(d, now, clock_wall_ms());
		return;
	}
	if (error == 0)
		txn_settle(t, t->spare_id, false);
	else
		counters_add(t->relay->parts.counters, COUNT_SPOOL_ERRORS, 1);
	txn_take_back(t, &reply, now);
}

static struct spool_rcpt
rest_rcpt(const struct txn *t, size_t i, int64_t wall)
{
	const struct relay_rcpt *r = &t->rcpts[i];

	return (struct spool_rcpt){
	    .address = r->address,
	    .orcpt = r->orcpt,
	    .notify = r->notify,
	    .destination = gate_txn_destination(t->gate, i),
	    .lane = gate_txn_lane(t->gate, i),
	    .state = SPOOL_RELEASED,
	    /* What was refused for good is heard again, and bounced. */
	    .next_try = r->verdict >= 500 ? wall : wall + RETRY_MS,
	    .last_error = r->verdict_text,
	};
}

static void
store_rest(struct txn *t)
{
	struct spool_rcpt *rcpts = xcalloc(t->rcpt_count, sizeof(*rcpts));
	int64_t wall = clock_wall_ms();
	char client[IP_TEXT_MAX];
	struct spool_message m = txn_spooled(t, client, wall);

	m.id = t->spare_id;
	m.pending = true;
	m.rcpts = rcpts;
	for (size_t i = 0; i < t->rcpt_count; i++) {
		if (is_refused(&t->rcpts[i]))
			rcpts[m.rcpt_count++] = rest_rcpt(t, i, wall);
	}
	spool_put(t->relay->parts.spool, &m, t->spare, on_spare_stored, t);
	t->spare = NULL;
	free(rcpts);
}

void
txn_judged(struct txn *t, int64_t now)
{
	size_t refused = count_refused(t);
	struct smtp_reply reply;

	if (refused == 0)
		reply = first_taken(t);
	else
		reply = worst_of(t);
	if (refused == 0 || refused == t->rcpt_count - t->held_count ||
	    t->state == TXN_LATE || t->spare == NULL)
		txn_end_answer(t, &reply, now);
	else
		store_rest(t);
}
