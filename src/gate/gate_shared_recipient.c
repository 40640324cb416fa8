/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A recipient about whom the server that the relays share has to say: asked,
 * and gone on with when the answer has come, or none has.
 */
#include "gate/gate_question.h"
#include "gate/gate_shared.h"

bool
question_is_settled_here(
    const struct throttle_source *src, const struct throttle_reservation *r)
{
	return r->reason == THROTTLE_FROZEN ||
	       (r->reason == THROTTLE_KNOWN &&
		   !throttle_source_policy(src)->paper);
}

bool
question_refuse_alone(
    const struct question *q, struct throttle_source *src, bool was_asked)
{
	/* In a cluster the server may be there and not answer about a key. */
	if (was_asked ? !shared_refuses_then(q->txn->g, src)
		      : !shared_refuses(q->txn->g, src))
		return false;
	question_refuse(q, 451, "4.3.0",
	    "the shared server does not answer, try again later",
	    "shared_fail");
	return true;
}

bool
question_ask_shared(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r)
{
	struct gate_txn *txn = q->txn;
	struct shared_later later = {
	    .txn = txn,
	    .destination = r->destination,
	    .signal = signal_of(txn),
	    .is_held = txn_holds_when_frozen(txn),
	    .address = q->address,
	    .wall = q->wall,
	    .fn = q->fn,
	    .arg = q->arg,
	};

	if (question_is_settled_here(src, r) ||
	    (!shared_rules(txn->g, src) && !shared_refuses(txn->g, src) &&
		txn->ahead[SHARE_NEW] == NULL))
		return false;
	throttle_cancel(txn->g->throttle, src, r, q->now);
	if (shared_ask(src, &later) || question_refuse_alone(q, src, false))
		return true;
	txn_reserve(txn, src, later.destination, q->now, r);
	return false;
}

void
question_ask_shared_familiar(const struct question *q,
    struct throttle_source *src, uint64_t destination, enum familiar told)
{
	struct shared_later later = {
	    .txn = q->txn,
	    .destination = destination,
	    .lane = SHARE_FAMILIAR,
	    .told = told,
	    .is_held = txn_holds_when_frozen(q->txn),
	    .address = q->address,
	    .wall = q->wall,
	    .fn = q->fn,
	    .arg = q->arg,
	};

	if (!shared_ask(src, &later))
		panic("gate: who shares was there, and is not");
}

/* Much may have happened meanwhile: the throttle is asked anew. */
void
shared_resume(const struct shared_later *later, const struct shared_asked *said,
    int64_t now)
{
	struct question q = {
	    .txn = later->txn,
	    .address = later->address,
	    .now = now,
	    .wall = later->wall,
	    .fn = later->fn,
	    .arg = later->arg,
	    .was_asked = true,
	    .signal = later->signal != SIGNAL_NONE ? later->signal
						   : signal_of(later->txn),
	    .scopes = said->has_word ? &said->word : NULL,
	};
	struct throttle_source *src = txn_need_source(q.txn, now);
	struct throttle_reservation r;

	if (said->is_ruled && said->ruling.verdict != THROTTLE_REFUSE)
		q.shared = said->reservation;
	if (!said->is_ruled && later->lane == SHARE_NEW &&
	    question_refuse_alone(&q, src, true))
		return;
	txn_reserve(q.txn, src, later->destination, now, &r);
	if (question_is_settled_here(src, &r)) {
		shared_give_up(q.txn, later->lane, q.shared, now);
		q.shared = 0;
	} else if (said->is_ruled) {
		q.ruling = &said->ruling;
	}
	if (later->lane == SHARE_FAMILIAR && question_may_be_familiar(&q, &r)) {
		if (question_add_familiar(&q, src, &r, later->told))
			return;
		/* Among the new ones, then, of which nobody was asked. */
		q.was_asked = false;
		q.ruling = NULL;
		q.shared = 0;
	}
	if (q.ruling != NULL)
		throttle_rule(q.txn->g->throttle, src, &r, q.ruling);
	question_add_new(&q, src, &r);
}
