/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The questions of a transaction: may this sender send, may this recipient be
 * reached. Answers and their words are made here; the throttle decides.
 *
 * In observe mode the throttle runs as ever, but a hold passes, waits in the
 * queue under ticket 0, and is let go by the schedule without a trace.
 */
#include "gate/gate_txn.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* A held recipient that is named again costs a second place in the queue and
 * in the spool. */
#define TWINS_MAX 32

static struct txn_entry *
add_entry(struct gate_txn *txn, enum throttle_verdict verdict)
{
	struct txn_entry *e;

	if (txn->n == txn->cap) {
		txn->cap *= 2;
		if (txn->entries == txn->first) {
			txn->entries = xmalloc(txn->cap * sizeof(*e));
			memcpy(txn->entries, txn->first, sizeof(txn->first));
		} else {
			txn->entries =
			    xrealloc(txn->entries, txn->cap * sizeof(*e));
		}
	}
	e = &txn->entries[txn->n++];
	*e =
	    (struct txn_entry){.verdict = (uint8_t)verdict, .twin_of = NO_TWIN};
	txn->can_drop = true;
	return e;
}

/* ---- answers ---- */

static void
answer_pass(const char *why, bool observed, gate_answer_fn *fn, void *arg)
{
	struct gate_answer answer = {
	    .verdict = THROTTLE_PASS, .observed = observed, .why = why};

	fn(arg, &answer);
}

static void
answer_hold(const char *why, gate_answer_fn *fn, void *arg)
{
	struct gate_answer answer = {.verdict = THROTTLE_HOLD, .why = why};

	fn(arg, &answer);
}

struct refusal {
	unsigned code;
	const char *enhanced;
	const char *why;
	const char *text;
};

static void
answer_refuse(struct gate_txn *txn, int64_t wall, struct str address,
    const struct refusal *refusal, gate_answer_fn *fn, void *arg)
{
	struct throttle_source *src = txn_source(txn);
	struct gate_answer answer = {
	    .verdict = THROTTLE_REFUSE,
	    .why = refusal->why,
	    .code = refusal->code,
	    .enhanced = refusal->enhanced,
	    .text = refusal->text,
	};
	char *to = address.n > 0 ? str_dup(address) : NULL;
	struct gate_news news = {
	    .type = EVENT_REFUSE,
	    .sender = txn->key,
	    .policy = txn->policy->conf->name,
	    .address = to,
	    .why = refusal->why,
	    .queue_length = src != NULL ? source_queue(txn->g, src) : 0,
	};

	txn->can_drop = false;
	counters_add(txn->g->counters, COUNT_REFUSED_RECIPIENTS, 1);
	gate_tell(txn->g, wall, &news);
	free(to);
	fn(arg, &answer);
}

static void
refuse_frozen(struct gate_txn *txn, struct throttle_source *src, int64_t now,
    int64_t wall, struct str address, gate_answer_fn *fn, void *arg)
{
	bool reject = txn->policy->conf->when_frozen == POLICY_FROZEN_REJECT;
	char text[WORDS_REPLY_MAX];

	words_reply_frozen(txn->g, src, now, text);
	answer_refuse(txn, wall, address,
	    &(struct refusal){reject ? 550 : 451, reject ? "5.7.1" : "4.7.1",
		"sender is frozen", text},
	    fn, arg);
}

static void
refuse(struct gate_txn *txn, unsigned code, const char *enhanced,
    const char *why, int64_t wall, struct str address, gate_answer_fn *fn,
    void *arg)
{
	char text[WORDS_REPLY_MAX];

	words_reply(txn->g, txn->policy, txn->key, why, text);
	answer_refuse(txn, wall, address,
	    &(struct refusal){code, enhanced, why, text}, fn, arg);
}

void
gate_sender(struct gate_txn *txn, int64_t now, int64_t wall, gate_answer_fn *fn,
    void *arg)
{
	struct throttle_source *src = txn_source(txn);
	int when = txn->policy->conf->when_frozen;

	txn->g->now = now;
	txn->can_drop = false;
	if (!source_is_frozen(src) || when == POLICY_FROZEN_HOLD)
		answer_pass("sender may send", false, fn, arg);
	else if (txn->g->observe)
		answer_pass("sender is frozen", true, fn, arg);
	else
		refuse_frozen(txn, src, now, wall, (struct str){0}, fn, arg);
}

/* ---- recipients ---- */

/* The first entry of this destination. A transaction has one or two as a rule
 * and SPOOL_RCPT_MAX at most: a look through all is some microseconds. */
static uint32_t
find_twin(const struct gate_txn *txn, uint64_t destination)
{
	for (uint32_t i = 0; i < txn->n; i++) {
		if (txn->entries[i].r.destination == destination &&
		    txn->entries[i].twin_of == NO_TWIN)
			return i;
	}
	return NO_TWIN;
}

static void
add_twin(struct gate_txn *txn, uint32_t first, int64_t wall, struct str address,
    gate_answer_fn *fn, void *arg)
{
	enum throttle_verdict verdict = txn->entries[first].verdict;
	bool observed = txn->entries[first].is_observed;
	uint64_t destination = txn->entries[first].r.destination;
	struct txn_entry *e;

	if (verdict == THROTTLE_HOLD && txn->twins >= TWINS_MAX) {
		refuse(txn, 452, "4.5.3", "the same recipient too many times",
		    wall, address, fn, arg);
		return;
	}
	if (verdict == THROTTLE_HOLD)
		txn->twins++;
	e = add_entry(txn, verdict);
	e->twin_of = first;
	e->r.destination = destination;
	if (verdict == THROTTLE_HOLD)
		answer_hold("named before in this message", fn, arg);
	else
		answer_pass("named before in this message", observed, fn, arg);
}

static void
add_exempt(struct gate_txn *txn, uint64_t destination, const char *why,
    gate_answer_fn *fn, void *arg)
{
	struct txn_entry *e = add_entry(txn, THROTTLE_PASS);

	e->r.destination = destination;
	answer_pass(why, false, fn, arg);
}

static struct txn_entry *
add_reserved(struct gate_txn *txn, struct throttle_source *src,
    const struct throttle_reservation *r, enum throttle_verdict verdict)
{
	struct txn_entry *e = add_entry(txn, verdict);

	e->r = *r;
	e->is_reserved = true;
	txn->src = src;
	txn->reserved++;
	return e;
}

/* What enforce mode would hold or refuse. With a frozen source nothing moves:
 * its place in the queue is given back. */
static void
add_observed(struct gate_txn *txn, struct throttle_source *src,
    const struct throttle_reservation *r, const char *why, int64_t now,
    gate_answer_fn *fn, void *arg)
{
	struct txn_entry *e;

	if (r->verdict == THROTTLE_HOLD && r->reason != THROTTLE_FROZEN) {
		e = add_reserved(txn, src, r, THROTTLE_PASS);
	} else {
		throttle_cancel(txn->g->throttle, src, r, now);
		e = add_entry(txn, THROTTLE_PASS);
		e->r = *r;
	}
	e->is_observed = true;
	answer_pass(why, true, fn, arg);
}

/* Nobody new, though the throttle has not seen it: what it took is given back.
 * A frozen source stays frozen. */
static bool
is_answer(const struct gate_txn *txn, const struct throttle_reservation *r)
{
	return r->reason != THROTTLE_KNOWN && r->reason != THROTTLE_FROZEN &&
	       learnt_is_answer(
		   txn->g, txn->policy, txn_key(txn), r->destination);
}

static void
add_answer(struct gate_txn *txn, struct throttle_source *src,
    const struct throttle_reservation *r, int64_t now, gate_answer_fn *fn,
    void *arg)
{
	struct txn_entry *e = add_entry(txn, THROTTLE_PASS);

	throttle_cancel(txn->g->throttle, src, r, now);
	e->r.destination = r->destination;
	e->is_answer = true;
	answer_pass("recipient wrote to the sender", false, fn, arg);
}

static void
add_by_throttle(struct gate_txn *txn, struct throttle_source *src,
    uint64_t destination, struct str address, int64_t now, int64_t wall,
    gate_answer_fn *fn, void *arg)
{
	struct throttle_reservation r;
	char why[WORDS_MAX];

	throttle_reserve(txn->g->throttle, src, destination, now, &r);
	if (is_answer(txn, &r)) {
		add_answer(txn, src, &r, now, fn, arg);
		return;
	}
	words_why(txn->g, src, &r, now, why);
	if (r.verdict != THROTTLE_PASS && txn->g->observe) {
		add_observed(txn, src, &r, why, now, fn, arg);
		return;
	}
	switch (r.verdict) {
	case THROTTLE_PASS:
		add_reserved(txn, src, &r, THROTTLE_PASS);
		answer_pass(why, false, fn, arg);
		return;
	case THROTTLE_HOLD:
		add_reserved(txn, src, &r, THROTTLE_HOLD);
		answer_hold(why, fn, arg);
		return;
	case THROTTLE_REFUSE:
		break;
	}
	/* A refusal takes nothing; the cancel is for the record. */
	throttle_cancel(txn->g->throttle, src, &r, now);
	if (r.reason == THROTTLE_FROZEN)
		refuse_frozen(txn, src, now, wall, address, fn, arg);
	else
		refuse(txn, 452, "4.5.3", why, wall, address, fn, arg);
}

void
gate_recipient(struct gate_txn *txn, struct str address, int64_t now,
    int64_t wall, gate_answer_fn *fn, void *arg)
{
	struct gate *g = txn->g;
	char key[GATE_RECIPIENT_MAX];
	size_t n = g->recipient_key(address, txn->policy->conf->fold_tags, key);
	struct str recipient = {key, n};
	uint64_t destination = hash_str(recipient, g->seed);
	uint32_t twin = find_twin(txn, destination);
	struct throttle_source *src = txn_source(txn);

	g->now = now;
	if (txn->lesson != NULL)
		lesson_add(txn->lesson, txn->n, address);
	if (txn->n >= SPOOL_RCPT_MAX) {
		refuse(txn, 452, "4.5.3", "too many recipients in one message",
		    wall, address, fn, arg);
	} else if (twin != NO_TWIN) {
		add_twin(txn, twin, wall, address, fn, arg);
	} else if (txn->is_exempt) {
		add_exempt(txn, destination, "policy is exempt", fn, arg);
	} else if (!source_is_frozen(src) &&
		   (policy_exempts_recipient(txn->policy, address) ||
		       policy_exempts_recipient(txn->policy, recipient))) {
		add_exempt(txn, destination, "recipient is exempt", fn, arg);
	} else {
		if (src == NULL)
			src = source_get(
			    g, txn_key(txn), txn->policy, now, false);
		if (src == NULL && g->observe)
			add_exempt(txn, destination,
			    "too many senders to observe", fn, arg);
		else if (src == NULL)
			refuse(txn, 451, "4.3.2",
			    "too many senders at once, try again later", wall,
			    address, fn, arg);
		else
			add_by_throttle(
			    txn, src, destination, address, now, wall, fn, arg);
	}
}
