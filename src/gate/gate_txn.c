/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a transaction: what it reserved is kept until the message is
 * accepted or not, then committed or given back, all of it.
 */
#include "gate/gate_txn.h"
#include "gate/gate_path.h"

#include <stdlib.h>
#include <string.h>

#define OVERFLOW_BYTES (sizeof(POLICY_OVERFLOW_TEXT) - 1)

struct gate_txn *
gate_begin(struct gate *g, const struct gate_facts *given, int64_t now)
{
	struct gate_facts facts = *given;
	char key[POLICY_SOURCE_MAX];
	struct source_names names;
	size_t n, room;
	const struct policy *policy = source_of(g, &facts, &names, key, &n);
	const struct policy *own =
	    policies_of_key(g->policies, (struct str){key, n});
	struct throttle_source *src;
	struct gate_txn *txn;

	if (own != NULL && !policy->conf->exempt)
		policy = own;
	room = n > OVERFLOW_BYTES ? n : OVERFLOW_BYTES;
	txn = xcalloc(1, sizeof(*txn) + room + 1);
	g->now = now;
	txn->g = g;
	txn->policy = policy;
	policies_ref(policy->set);
	txn->entries = txn->first;
	txn->cap = INLINE_ENTRIES;
	txn->key_n = n;
	memcpy(txn->key, key, n);
	src = source_find(g, txn_key(txn));
	if (src != NULL)
		source_get(g, txn_key(txn), policy, now, true);
	/* Frozen by hand: then the exemption does not count. */
	txn->is_exempt = policy->conf->exempt && !freeze_is_on(src);
	path_begin(txn, &facts);
	if (given->teaches)
		txn->lesson = gate_lesson_new(g, given);
	return txn;
}

struct throttle_source *
txn_need_source(struct gate_txn *txn, int64_t now)
{
	struct throttle_source *src = txn_source(txn);

	if (src != NULL)
		return src;
	src = source_get(txn->g, txn_key(txn), txn->policy, now, false);
	txn->made = src != NULL;
	if (src != NULL)
		return src;
	memcpy(txn->key, POLICY_OVERFLOW_TEXT, OVERFLOW_BYTES + 1);
	txn->key_n = OVERFLOW_BYTES;
	return source_overflow(txn->g, now);
}

static void
txn_free(struct gate_txn *txn)
{
	secure_forget(txn);
	if (txn->entries != txn->first)
		free(txn->entries);
	gate_lesson_free(txn->lesson);
	path_free(txn);
	policies_free(txn->policy->set);
	free(txn);
}

/* One reservation less; the last one unpins the source. */
static void
unpin(struct gate_txn *txn)
{
	if (--txn->reserved == 0)
		txn->src = NULL;
}

static void
give_back(struct gate_txn *txn, const struct txn_entry *e, int64_t now)
{
	if (!e->is_reserved)
		return;
	throttle_cancel(txn->g->throttle, txn->src, &e->r, now);
	unpin(txn);
}

static void
txn_end(struct gate_txn *txn)
{
	struct gate *g = txn->g;

	txn_free(txn);
	gate_changed(g);
}

/* Nothing was accepted: a source that was made for it goes with it. */
static void
txn_end_blank(struct gate_txn *txn, int64_t now)
{
	if (txn->made)
		source_drop_blank(txn->g, txn_key(txn), now);
	txn_end(txn);
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
	if (txn->lesson != NULL)
		lesson_cut(txn->lesson, txn->n);
	if (e->twin_of != NO_TWIN && e->verdict == THROTTLE_HOLD)
		txn->twins--;
	give_back(txn, e, now);
}

/* ---- what the front asks ---- */

bool
gate_txn_is_whole(const struct gate_txn *txn)
{
	if (path_is_held(txn))
		return true;
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

const struct policy_conf *
gate_txn_conf(const struct gate_txn *txn)
{
	return txn->policy->conf;
}

bool
gate_txn_is_known(const struct gate_txn *txn)
{
	if (!lesson_is_empty(txn->lesson) || !path_is_known(txn))
		return false;
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];

		if (e->verdict != THROTTLE_PASS ||
		    (e->is_reserved && e->r.reason != THROTTLE_KNOWN))
			return false;
	}
	return true;
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
	if (path_is_carried_by(txn, i))
		return THROTTLE_HOLD;
	return entry_at(txn, i)->verdict;
}

uint64_t
gate_txn_destination(const struct gate_txn *txn, size_t i)
{
	if (path_is_carried_by(txn, i))
		return path_destination(txn);
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

	if (e->verdict == THROTTLE_HOLD || path_is_held(txn))
		counters_add(c, COUNT_DELAYED_RECIPIENTS, 1);
	else
		counters_add(c, COUNT_PASSED_RECIPIENTS, 1);
	if (e->is_reserved && e->r.reason == THROTTLE_KNOWN)
		counters_add(c, COUNT_PASSED_KNOWN, 1);
	if (e->is_answer)
		counters_add(c, COUNT_PASSED_INBOUND, 1);
	if (e->is_observed)
		counters_add(c, COUNT_OBSERVED_HOLDS, 1);
}

static void
commit_entry(struct gate_txn *txn, const struct txn_entry *e, uint64_t ticket,
    int64_t now, int64_t wall)
{
	struct gate *g = txn->g;
	struct throttle_source *src = txn_source(txn);
	uint64_t as = e->verdict == THROTTLE_HOLD && ticket != 0
			  ? path_queued_as(txn, e->r.destination)
			  : e->r.destination;

	count_entry(txn, e);
	if (e->is_reserved && as != e->r.destination) {
		throttle_cancel(g->throttle, src, &e->r, now);
		throttle_append(g->throttle, src, as, ticket, now);
		source_touch(g, src);
	} else if (e->is_reserved) {
		throttle_commit(
		    g->throttle, src, &e->r, e->is_observed ? 0 : ticket, now);
		source_touch(g, src);
	} else if (e->is_answer && src != NULL) {
		/* Reached now, hence in the working set. */
		throttle_learn(g->throttle, src, e->r.destination, now);
		source_touch(g, src);
	} else if (e->verdict == THROTTLE_HOLD && ticket != 0 && src != NULL) {
		/* Named before: it goes when the first one goes. */
		throttle_append(g->throttle, src, as, ticket, now);
	}
	if (e->verdict == THROTTLE_HOLD || e->is_observed)
		tell_entry(txn, e, ticket, src, now, wall);
	freeze_settle(g, now, wall);
	if (e->is_reserved)
		unpin(txn);
}

struct ended {
	const struct gate_txn *txn;
	const uint64_t *tickets; /* NULL: none */
};

/* On its way, not stored with others of a message that waits. */
static bool
has_gone(const void *arg, uint32_t recipient)
{
	const struct ended *e = arg;

	return recipient < e->txn->n &&
	       e->txn->entries[recipient].verdict == THROTTLE_PASS &&
	       (e->tickets == NULL || e->tickets[recipient] == 0);
}

void
gate_commit(
    struct gate_txn *txn, const uint64_t *tickets, int64_t now, int64_t wall)
{
	txn->g->now = now;
	path_commit(txn, tickets, now, wall);
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];
		uint64_t ticket = tickets != NULL ? tickets[i] : 0;

		/* Named twice, and stored once by the front. */
		if (e->twin_of != NO_TWIN && tickets != NULL &&
		    ticket == tickets[e->twin_of])
			ticket = 0;
		commit_entry(txn, e, ticket, now, wall);
	}
	if (txn->lesson != NULL)
		lesson_learn(
		    txn->lesson, has_gone, &(struct ended){txn, tickets});
	txn_end(txn);
}

void
gate_cancel(struct gate_txn *txn, int64_t now)
{
	txn->g->now = now;
	if (txn->was_secured && txn->src != NULL)
		source_touch(txn->g, txn->src);
	path_cancel(txn, now);
	for (uint32_t i = 0; i < txn->n; i++)
		give_back(txn, &txn->entries[i], now);
	txn_end_blank(txn, now);
}

struct doubted {
	uint32_t n;
	const bool *reached;
};

static bool
is_reached(const void *arg, uint32_t recipient)
{
	const struct doubted *d = arg;

	return recipient < d->n && d->reached[recipient];
}

void
gate_doubt(struct gate_txn *txn, const bool *reached, int64_t now, int64_t wall)
{
	txn->g->now = now;
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];

		if (reached[i])
			commit_entry(txn, e, 0, now, wall);
		else
			give_back(txn, e, now);
	}
	if (txn->lesson != NULL)
		lesson_learn(txn->lesson, is_reached,
		    &(struct doubted){txn->n, reached});
	txn_end(txn);
}

/* ---- put off ---- */

struct looked_for {
	uint64_t destination;
	bool found;
};

static void
look_at(void *arg, uint64_t destination, uint64_t ticket)
{
	struct looked_for *l = arg;

	if (destination == l->destination && ticket == 0)
		l->found = true;
}

/* Its place in the queue was taken by an earlier try. */
static bool
waits_already(const struct gate_txn *txn, const struct txn_entry *e)
{
	struct looked_for l = {.destination = e->r.destination};

	throttle_queue_each(txn->src, look_at, &l);
	return l.found;
}

void
gate_defer(struct gate_txn *txn, int64_t now, int64_t wall)
{
	txn->g->now = now;
	if (txn->was_secured && txn->src != NULL)
		source_touch(txn->g, txn->src);
	path_defer(txn, now, wall);
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];

		if (e->is_reserved && e->verdict == THROTTLE_HOLD &&
		    !waits_already(txn, e))
			commit_entry(txn, e, 0, now, wall);
		else
			give_back(txn, e, now);
	}
	txn_end_blank(txn, now);
}
