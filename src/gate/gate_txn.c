/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A transaction asks the throttle for each recipient and keeps what it
 * reserved until the message is accepted or not. Its source is looked up by
 * key while nothing is reserved, and is pinned by the first reservation, so
 * that a client which only says MAIL costs no entry in the table.
 *
 * In observe mode the throttle runs as ever, but a hold passes, waits in the
 * queue under ticket 0, and is let go by the schedule without a trace.
 */
#include "base/hash.h"
#include "gate/gate_internal.h"

#include <stdlib.h>
#include <string.h>

#define INLINE_ENTRIES 2
/* A held recipient that is named again costs a second place in the queue and
 * in the spool. */
#define TWINS_MAX 32
#define NO_TWIN UINT32_MAX

struct txn_entry {
	struct throttle_reservation r;
	uint32_t twin_of; /* index of the first with this destination */
	bool is_reserved;
	bool is_observed;
	uint8_t verdict; /* as it was answered */
};

struct gate_txn {
	struct gate *g;
	const struct policy *policy;
	struct throttle_source *src; /* while reserved > 0 */
	struct txn_entry *entries;
	uint32_t n, cap;
	uint32_t reserved;
	uint32_t twins;
	bool is_exempt;
	bool can_drop; /* the last entry was the last answer */
	struct txn_entry first[INLINE_ENTRIES];
	size_t key_n;
	char key[];
};

static struct str
key_of(const struct gate_txn *txn)
{
	return (struct str){txn->key, txn->key_n};
}

static struct throttle_source *
known_source(const struct gate_txn *txn)
{
	return txn->src != NULL ? txn->src
				: source_find(txn->g, key_of(txn));
}

static bool
is_frozen(const struct throttle_source *src)
{
	return src != NULL && source_data(src)->frozen_at != 0;
}

struct gate_txn *
gate_begin(struct gate *g, const struct gate_facts *facts, int64_t now)
{
	const struct policy *policy = policies_select(g->policies, facts);
	char key[POLICY_SOURCE_MAX];
	size_t n = policy_source_key(policy, facts, key);
	struct gate_txn *txn = xcalloc(1, sizeof(*txn) + n + 1);
	struct throttle_source *src;

	g->now = now;
	txn->g = g;
	txn->policy = policy;
	policies_ref(policy->set);
	txn->entries = txn->first;
	txn->cap = INLINE_ENTRIES;
	txn->key_n = n;
	memcpy(txn->key, key, n);
	src = source_find(g, key_of(txn));
	if (src != NULL)
		source_get(g, key_of(txn), policy, now, true);
	/* Frozen by hand: then the exemption does not count. */
	txn->is_exempt = policy->conf->exempt && !is_frozen(src);
	return txn;
}

static void
txn_free(struct gate_txn *txn)
{
	if (txn->entries != txn->first)
		free(txn->entries);
	policies_free(txn->policy->set);
	free(txn);
}

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
			txn->entries = xrealloc(
			    txn->entries, txn->cap * sizeof(*e));
		}
	}
	e = &txn->entries[txn->n++];
	*e = (struct txn_entry){
	    .verdict = (uint8_t)verdict, .twin_of = NO_TWIN};
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
	struct throttle_source *src = known_source(txn);
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
	struct throttle_source *src = known_source(txn);
	int when = txn->policy->conf->when_frozen;

	txn->g->now = now;
	txn->can_drop = false;
	if (!is_frozen(src) || when == POLICY_FROZEN_HOLD)
		answer_pass("sender may send", false, fn, arg);
	else if (txn->g->observe)
		answer_pass("sender is frozen", true, fn, arg);
	else
		refuse_frozen(
		    txn, src, now, wall, (struct str){0}, fn, arg);
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
add_twin(struct gate_txn *txn, uint32_t first, int64_t wall,
    struct str address, gate_answer_fn *fn, void *arg)
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

static void
add_by_throttle(struct gate_txn *txn, struct throttle_source *src,
    uint64_t destination, struct str address, int64_t now, int64_t wall,
    gate_answer_fn *fn, void *arg)
{
	struct throttle_reservation r;
	char why[WORDS_MAX];

	throttle_reserve(txn->g->throttle, src, destination, now, &r);
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
	struct throttle_source *src = known_source(txn);

	g->now = now;
	if (txn->n >= SPOOL_RCPT_MAX) {
		refuse(txn, 452, "4.5.3", "too many recipients in one message",
		    wall, address, fn, arg);
	} else if (twin != NO_TWIN) {
		add_twin(txn, twin, wall, address, fn, arg);
	} else if (txn->is_exempt) {
		add_exempt(txn, destination, "policy is exempt", fn, arg);
	} else if (!is_frozen(src) &&
	    (policy_exempts_recipient(txn->policy, address) ||
		policy_exempts_recipient(txn->policy, recipient))) {
		add_exempt(txn, destination, "recipient is exempt", fn, arg);
	} else {
		if (src == NULL)
			src = source_get(
			    g, key_of(txn), txn->policy, now, false);
		if (src == NULL)
			refuse(txn, 451, "4.3.2",
			    "too many senders at once, try again later", wall,
			    address, fn, arg);
		else
			add_by_throttle(txn, src, destination, address, now,
			    wall, fn, arg);
	}
}

/* One reservation less; the last one unpins the source. */
static void
unpin(struct gate_txn *txn)
{
	if (--txn->reserved == 0)
		txn->src = NULL;
}

void
gate_drop_last(struct gate_txn *txn, int64_t now)
{
	const struct txn_entry *e;

	if (!txn->can_drop)
		return;
	txn->can_drop = false;
	txn->g->now = now;
	e = &txn->entries[--txn->n];
	if (e->twin_of != NO_TWIN && e->verdict == THROTTLE_HOLD)
		txn->twins--;
	if (e->is_reserved) {
		throttle_cancel(txn->g->throttle, txn->src, &e->r, now);
		unpin(txn);
	}
}

/* ---- what the front asks ---- */

bool
gate_txn_is_whole(const struct gate_txn *txn)
{
	if (txn->policy->conf->multi != POLICY_WHOLE)
		return false;
	for (uint32_t i = 0; i < txn->n; i++) {
		if (txn->entries[i].verdict == THROTTLE_HOLD)
			return true;
	}
	return false;
}

const char *
gate_txn_source(const struct gate_txn *txn)
{
	return txn->key;
}

const char *
gate_txn_policy(const struct gate_txn *txn)
{
	return txn->policy->conf->name;
}

size_t
gate_txn_count(const struct gate_txn *txn)
{
	return txn->n;
}

static const struct txn_entry *
entry_at(const struct gate_txn *txn, size_t i)
{
	if (i >= txn->n)
		panic("gate: recipient %zu of %u", i, (unsigned)txn->n);
	return &txn->entries[i];
}

enum throttle_verdict
gate_txn_verdict(const struct gate_txn *txn, size_t i)
{
	return entry_at(txn, i)->verdict;
}

uint64_t
gate_txn_destination(const struct gate_txn *txn, size_t i)
{
	return entry_at(txn, i)->r.destination;
}

/* ---- the end ---- */

static void
tell_entry(struct gate_txn *txn, const struct txn_entry *e, uint64_t ticket,
    struct throttle_source *src, int64_t now, int64_t wall)
{
	char why[WORDS_MAX] = "named before in this message";
	struct gate_news news = {
	    .type = e->is_observed ? EVENT_OBSERVE : EVENT_HOLD,
	    .sender = txn->key,
	    .policy = txn->policy->conf->name,
	    .ticket = ticket,
	    .why = why,
	};

	if (src == NULL)
		return;
	if (e->twin_of == NO_TWIN)
		words_why(txn->g, src, &e->r, now, why);
	news.queue_length = source_queue(txn->g, src);
	gate_tell(txn->g, wall, &news);
}

static void
count_entry(struct gate_txn *txn, const struct txn_entry *e)
{
	struct counters *c = txn->g->counters;

	if (e->verdict == THROTTLE_HOLD)
		counters_add(c, COUNT_DELAYED_RECIPIENTS, 1);
	else
		counters_add(c, COUNT_PASSED_RECIPIENTS, 1);
	if (e->is_reserved && e->r.reason == THROTTLE_KNOWN)
		counters_add(c, COUNT_PASSED_KNOWN, 1);
	if (e->is_observed)
		counters_add(c, COUNT_OBSERVED_HOLDS, 1);
}

static void
commit_entry(struct gate_txn *txn, const struct txn_entry *e, uint64_t ticket,
    int64_t now, int64_t wall)
{
	struct gate *g = txn->g;
	struct throttle_source *src = known_source(txn);

	count_entry(txn, e);
	if (e->is_reserved) {
		throttle_commit(g->throttle, src, &e->r,
		    e->is_observed ? 0 : ticket, now);
		source_touch(g, src);
	} else if (e->verdict == THROTTLE_HOLD && ticket != 0 && src != NULL) {
		/* Named before: it goes when the first one goes. */
		throttle_requeue(
		    g->throttle, src, e->r.destination, ticket, now);
	}
	if (e->verdict == THROTTLE_HOLD || e->is_observed)
		tell_entry(txn, e, ticket, src, now, wall);
	freeze_settle(g, now, wall);
	if (e->is_reserved)
		unpin(txn);
}

void
gate_commit(
    struct gate_txn *txn, const uint64_t *tickets, int64_t now, int64_t wall)
{
	struct gate *g = txn->g;

	g->now = now;
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];
		uint64_t ticket = tickets != NULL ? tickets[i] : 0;

		/* The front may store a recipient once that was named twice.
		 */
		if (e->twin_of != NO_TWIN && tickets != NULL &&
		    ticket == tickets[e->twin_of])
			ticket = 0;
		commit_entry(txn, e, ticket, now, wall);
	}
	txn_free(txn);
	gate_changed(g);
}

void
gate_cancel(struct gate_txn *txn, int64_t now)
{
	struct gate *g = txn->g;

	g->now = now;
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];

		if (!e->is_reserved)
			continue;
		throttle_cancel(g->throttle, txn->src, &e->r, now);
		unpin(txn);
	}
	txn_free(txn);
	gate_changed(g);
}
