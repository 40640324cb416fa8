/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The questions of a transaction: may this sender send, may this recipient be
 * reached. Answers and their words are made here; the throttle decides.
 *
 * In observe mode the throttle runs as ever, but a hold passes, waits in the
 * queue under ticket 0, and is let go by the schedule without a trace.
 */
#include "gate/gate_path.h"
#include "gate/gate_txn.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* A held recipient that is named again costs a second place in the queue and
 * in the spool. */
#define TWINS_MAX 32

struct question {
	struct gate_txn *txn;
	struct str address; /* empty: of the sender */
	int64_t now, wall;
	gate_answer_fn *fn;
	void *arg;
};

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
give_answer(
    const struct question *q, enum throttle_verdict verdict, const char *why)
{
	struct gate_answer answer = {.verdict = verdict, .why = why};

	/* Whoever may go waits with the rest of the message. */
	if (verdict == THROTTLE_PASS && path_is_held(q->txn)) {
		answer.verdict = THROTTLE_HOLD;
		answer.why = path_why(q->txn);
	}
	q->fn(q->arg, &answer);
}

/* Enforce mode would have held or refused it. */
static void
give_observed(const struct question *q, const char *why)
{
	struct gate_answer answer = {
	    .verdict = THROTTLE_PASS, .observed = true, .why = why};

	q->fn(q->arg, &answer);
}

struct refusal {
	unsigned code;
	const char *enhanced;
	const char *why;
	const char *text;
};

static void
give_refusal(const struct question *q, const struct refusal *refusal)
{
	struct gate_txn *txn = q->txn;
	struct throttle_source *src = txn_source(txn);
	struct gate_answer answer = {
	    .verdict = THROTTLE_REFUSE,
	    .why = refusal->why,
	    .code = refusal->code,
	    .enhanced = refusal->enhanced,
	    .text = refusal->text,
	};
	char *to = q->address.n > 0 ? str_dup(q->address) : NULL;
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
	gate_tell(txn->g, q->wall, &news);
	free(to);
	q->fn(q->arg, &answer);
}

static void
refuse_frozen(const struct question *q, struct throttle_source *src)
{
	int when = q->txn->policy->conf->when_frozen;
	bool reject = when == POLICY_FROZEN_REJECT;
	char text[WORDS_REPLY_MAX];

	words_reply_frozen(q->txn->g, src, q->now, text);
	give_refusal(
	    q, &(struct refusal){reject ? 550 : 451, reject ? "5.7.1" : "4.7.1",
		   "sender is frozen", text});
}

static void
refuse(const struct question *q, unsigned code, const char *enhanced,
    const char *why)
{
	char text[WORDS_REPLY_MAX];

	words_reply(q->txn->g, q->txn->policy, q->txn->key, why, text);
	give_refusal(q, &(struct refusal){code, enhanced, why, text});
}

/* Postfix says it so. */
static void
refuse_path(const struct question *q)
{
	struct gate_txn *txn = q->txn;
	char text[WORDS_REPLY_MAX], why[WORDS_MAX];

	words_not_own(path_shown(txn), txn->key, why);
	words_reply(txn->g, txn->policy, NULL, why, text);
	give_refusal(q, &(struct refusal){553, "5.7.1", why, text});
}

/* Nothing of it would get past a freeze that came after its verdicts. */
static bool
all_wait(const struct gate_txn *txn)
{
	if (gate_txn_is_whole(txn))
		return true;
	for (uint32_t i = 0; i < txn->n; i++) {
		if (txn->entries[i].verdict == THROTTLE_PASS)
			return false;
	}
	return true;
}

void
txn_refuse_unsaved(struct gate_txn *txn, bool full, int64_t now, int64_t wall,
    gate_answer_fn *fn, void *arg)
{
	struct question q = {
	    .txn = txn, .now = now, .wall = wall, .fn = fn, .arg = arg};

	refuse(&q, full ? 452 : 451, full ? "4.3.1" : "4.3.0",
	    full ? "the spool has no room left, try again later"
		 : "the spool failed, try again later");
}

void
gate_sender(struct gate_txn *txn, int64_t now, int64_t wall, gate_answer_fn *fn,
    void *arg)
{
	struct question q = {
	    .txn = txn, .now = now, .wall = wall, .fn = fn, .arg = arg};
	struct throttle_source *src = txn_source(txn);
	int when = txn->policy->conf->when_frozen;

	txn->g->now = now;
	txn->can_drop = false;
	if (path_is_refused(txn) && txn->g->observe)
		give_observed(&q, "sender address is not the login's own");
	else if (path_is_refused(txn))
		refuse_path(&q);
	else if (!freeze_is_on(src) ||
		 (when == POLICY_FROZEN_HOLD && all_wait(txn)))
		give_answer(&q, THROTTLE_PASS, "sender may send");
	else if (txn->g->observe)
		give_observed(&q, "sender is frozen");
	else
		refuse_frozen(&q, src);
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
add_twin(const struct question *q, uint32_t first)
{
	static const char why[] = "named before in this message";
	struct gate_txn *txn = q->txn;
	enum throttle_verdict verdict = txn->entries[first].verdict;
	bool observed = txn->entries[first].is_observed;
	uint64_t destination = txn->entries[first].r.destination;
	struct txn_entry *e;

	if (verdict == THROTTLE_HOLD && txn->twins >= TWINS_MAX) {
		refuse(q, 452, "4.5.3", "the same recipient too many times");
		return;
	}
	if (verdict == THROTTLE_HOLD)
		txn->twins++;
	e = add_entry(txn, verdict);
	e->twin_of = first;
	e->r.destination = destination;
	if (observed)
		give_observed(q, why);
	else
		give_answer(q, verdict, why);
}

static void
add_exempt(const struct question *q, uint64_t destination, const char *why)
{
	struct txn_entry *e = add_entry(q->txn, THROTTLE_PASS);

	e->r.destination = destination;
	give_answer(q, THROTTLE_PASS, why);
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
add_observed(const struct question *q, struct throttle_source *src,
    const struct throttle_reservation *r, const char *why)
{
	struct gate_txn *txn = q->txn;
	struct txn_entry *e;

	if (r->verdict == THROTTLE_HOLD && r->reason != THROTTLE_FROZEN) {
		e = add_reserved(txn, src, r, THROTTLE_PASS);
	} else {
		throttle_cancel(txn->g->throttle, src, r, q->now);
		e = add_entry(txn, THROTTLE_PASS);
		e->r = *r;
	}
	e->is_observed = true;
	give_observed(q, why);
}

/* Nobody new, though the throttle has not seen it. A frozen source stays
 * frozen. */
static bool
is_answer(const struct gate_txn *txn, const struct throttle_reservation *r)
{
	return r->reason != THROTTLE_KNOWN && r->reason != THROTTLE_FROZEN &&
	       learnt_is_answer(
		   txn->g, txn->policy, txn_key(txn), r->destination);
}

/* What the throttle took for it is given back. */
static void
add_answer(const struct question *q, struct throttle_source *src,
    const struct throttle_reservation *r)
{
	struct txn_entry *e = add_entry(q->txn, THROTTLE_PASS);

	throttle_cancel(q->txn->g->throttle, src, r, q->now);
	e->r.destination = r->destination;
	e->is_answer = true;
	give_answer(q, THROTTLE_PASS, "recipient wrote to the sender");
}

static void
refuse_by_throttle(const struct question *q, struct throttle_source *src,
    const struct throttle_reservation *r, const char *why)
{
	/* A refusal takes nothing; the cancel is for the record. */
	throttle_cancel(q->txn->g->throttle, src, r, q->now);
	if (r->reason == THROTTLE_FROZEN)
		refuse_frozen(q, src);
	else
		refuse(q, 452, "4.5.3", why);
}

static void
add_by_throttle(
    const struct question *q, struct throttle_source *src, uint64_t destination)
{
	struct gate *g = q->txn->g;
	struct throttle_reservation r;
	char why[WORDS_MAX];

	throttle_reserve(g->throttle, src, destination, q->now, &r);
	if (is_answer(q->txn, &r)) {
		add_answer(q, src, &r);
		return;
	}
	words_why(g, src, &r, q->now, why);
	if (r.verdict == THROTTLE_PASS) {
		add_reserved(q->txn, src, &r, THROTTLE_PASS);
		give_answer(q, THROTTLE_PASS, why);
	} else if (g->observe) {
		add_observed(q, src, &r, why);
	} else if (r.verdict == THROTTLE_HOLD) {
		add_reserved(q->txn, src, &r, THROTTLE_HOLD);
		give_answer(q, THROTTLE_HOLD, why);
	} else {
		refuse_by_throttle(q, src, &r, why);
	}
}

static bool
is_exempt(const struct gate_txn *txn, struct throttle_source *src,
    struct str address, struct str key)
{
	return !freeze_is_on(src) &&
	       (policy_exempts_recipient(txn->policy, address) ||
		   policy_exempts_recipient(txn->policy, key));
}

void
gate_recipient(struct gate_txn *txn, struct str address, int64_t now,
    int64_t wall, gate_answer_fn *fn, void *arg)
{
	struct question q = {txn, address, now, wall, fn, arg};
	struct gate *g = txn->g;
	char text[GATE_RECIPIENT_MAX], why[WORDS_MAX];
	bool fold = txn->policy->conf->fold_tags;
	struct str key = {text, g->recipient_key(address, fold, text)};
	uint64_t destination;
	uint32_t twin;

	g->now = now;
	/* All that is no address would be one destination. Fronts have parsed
	 * it before: this is the last door. */
	if (key.n == 0) {
		give_refusal(
		    &q, &(struct refusal){553, "5.1.3", "bad address syntax",
			    "Bad recipient address syntax"});
		return;
	}
	destination = hash_str(key, g->seed);
	twin = find_twin(txn, destination);
	if (txn->lesson != NULL)
		lesson_add(txn->lesson, txn->n, address);
	if (txn->n >= SPOOL_RCPT_MAX)
		refuse(&q, 452, "4.5.3", "too many recipients in one message");
	else if (!path_ask(txn, address, now, why))
		refuse(&q, 452, "4.5.3", why);
	else if (twin != NO_TWIN)
		add_twin(&q, twin);
	else if (txn->is_exempt)
		add_exempt(&q, destination, "policy is exempt");
	else if (is_exempt(txn, txn_source(txn), address, key))
		add_exempt(&q, destination, "recipient is exempt");
	else
		add_by_throttle(&q, txn_need_source(txn, now), destination);
}
