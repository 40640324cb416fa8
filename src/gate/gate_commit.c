/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of a transaction whose message was accepted, may have been, or comes
 * again: what it reserved is committed, or taken by what waits.
 */
#include "gate/gate_commit.h"
#include "gate/gate_history.h"
#include "gate/gate_path.h"
#include "gate/gate_record.h"
#include "gate/gate_shared.h"
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include <stdio.h>
#include <stdlib.h>

/* What waits is let go by the windows of the sender's last mail. */
static void
keep_pins(struct gate_txn *txn, struct throttle_source *src)
{
	struct gate_source *data = source_data(src);

	if (data->scopes == txn->scopes)
		return;
	scope_pins_free(data->scopes);
	data->scopes = scope_pins_ref(txn->scopes);
}

/* Whoever passes is among those reached lately, by whatever tier. */
static void
commit_familiar(struct gate_txn *txn, const struct txn_entry *e,
    struct throttle_source *src, uint64_t ticket, int64_t now)
{
	struct gate *g = txn->g;

	if (!e->is_reserved) {
		throttle_append(g->familiar, tier_get(g, src, now),
		    e->r.destination, ticket, now);
		return;
	}
	throttle_commit(
	    g->familiar, tier_of(src), &e->r, e->is_observed ? 0 : ticket, now);
	if (e->r.verdict == THROTTLE_PASS)
		throttle_learn(g->throttle, src, e->r.destination, now);
}

/* It was reserved, or waits behind one that was, and is no twin without mail.
 */
static bool
is_of_familiar(const struct txn_entry *e, uint64_t ticket)
{
	return e->is_familiar &&
	       (e->is_reserved || (e->verdict == THROTTLE_HOLD && ticket != 0));
}

static bool
is_new(const struct txn_entry *e)
{
	return e->is_reserved && !e->is_familiar &&
	       e->r.reason != THROTTLE_KNOWN;
}

/* Out, to somebody who is to be remembered. */
static bool
goes(const struct gate_txn *txn, const struct txn_entry *e)
{
	return e->verdict == THROTTLE_PASS && e->twin_of == NO_TWIN &&
	       !e->is_incoming && !e->is_reply && !txn->is_exempt &&
	       !path_is_held(txn);
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

	/* Nothing reserved pins the source of what a decoy holds. */
	if (src == NULL && e->verdict == THROTTLE_HOLD && ticket != 0)
		src = source_get(g, txn_key(txn), txn->policy, now, true);
	commit_count(txn, e, now);
	if (goes(txn, e))
		reached_note(g, txn->policy, txn_key(txn), e->r.destination,
		    e->site, wall);
	shared_note_entry(txn, e, ticket, as);
	freeze_rearm(g, src);
	if (is_new(e) && e->verdict == THROTTLE_PASS && ticket == 0) {
		source_note_passed(source_data(src), now);
		spent_tell(g, src, 1, 0);
		signal_passed(txn, now);
		bounce_note_passed(txn, e->r.destination, now);
	}
	if (e->is_reserved)
		keep_pins(txn, src);
	scope_commit(txn->scopes, e->r.destination, e->scoped, now);
	shared_note_scope(txn, e, SHARE_SCOPE_COMMIT);
	if (e->is_incoming && e->twin_of == NO_TWIN && txn->answer_to != 0)
		answers_note(g->answers, txn->answer_to, &txn->client, now);
	if (is_of_familiar(e, ticket) && src != NULL) {
		commit_familiar(txn, e, src, ticket, now);
		source_touch(g, src);
	} else if (e->is_reserved && as != e->r.destination) {
		throttle_cancel(g->throttle, src, &e->r, now);
		throttle_append(g->throttle, src, as, ticket, now);
		source_touch(g, src);
	} else if (e->is_reserved) {
		throttle_commit(
		    g->throttle, src, &e->r, e->is_observed ? 0 : ticket, now);
		source_touch(g, src);
	} else if (e->verdict == THROTTLE_HOLD && ticket != 0 && src != NULL) {
		/* Named before: it goes when the first one goes. */
		throttle_append(g->throttle, src, as, ticket, now);
	}
	/* What passes and is stored waits for the others of its message. */
	if (e->verdict == THROTTLE_HOLD || e->is_observed || ticket != 0)
		commit_tell(txn, e, ticket, src, now, wall);
	if (e->is_reserved && e->r.reason != THROTTLE_KNOWN) {
		warn_source(g, src, now, wall);
		habit_look(g, src, now, wall);
		warn_scopes(g, now, wall);
	}
	freeze_settle(g, now, wall);
	if (e->is_reserved)
		txn_unpin(txn);
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

/* What makes no source (mail that comes in, say) is not remembered. */
static void
note_accepted(const struct gate_txn *txn, int64_t now)
{
	struct throttle_source *src = txn_source(txn);

	if (src != NULL)
		source_data(src)->accepted = (uint32_t)(now / 1000 + 1);
}

/* ---- messages to many ---- */

static uint32_t
count_strangers(const struct gate_txn *txn, bool waiting_alone)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];

		if (entry_is_stranger(e) &&
		    (!waiting_alone || e->r.verdict == THROTTLE_HOLD))
			n++;
	}
	return n;
}

/* What waits of it is one thing to freeze_at. */
static void
begin_blast(struct gate_txn *txn)
{
	const struct throttle_policy *policy;

	if (txn->src == NULL)
		return;
	policy = throttle_source_policy(txn->src);
	if (policy->paper || count_strangers(txn, false) <= policy->burst)
		return;
	txn->strangers = count_strangers(txn, false);
	txn->blast = count_strangers(txn, true);
	throttle_blast_begin(txn->g->throttle, txn->src);
	shared_note_blast(txn, true);
}

static void
end_blast(struct gate_txn *txn, const uint64_t *tickets, int64_t wall)
{
	struct throttle_source *src = txn_source(txn);
	char why[WORDS_MAX];
	struct gate_news news = {
	    .type = EVENT_BLAST,
	    .sender = txn->key,
	    .policy = txn->policy->conf->name,
	    .why = why,
	    .option = "burst",
	};

	throttle_blast_end(txn->g->throttle);
	if (txn->blast == 0 || src == NULL)
		return;
	for (uint32_t i = 0; tickets != NULL && i < txn->n; i++) {
		if (news.ticket == 0)
			news.ticket = tickets[i];
	}
	snprintf(why, sizeof(why),
	    "one message to %u new recipients, %u of them wait",
	    (unsigned)txn->strangers, (unsigned)txn->blast);
	news.queue_length = source_queue(txn->g, src);
	counters_add(txn->g->counters, COUNT_BLASTS, 1);
	gate_tell(txn->g, wall, &news);
}

void
gate_commit(
    struct gate_txn *txn, const uint64_t *tickets, int64_t now, int64_t wall)
{
	txn->g->now = now;
	txn->g->wall = wall;
	record_end(txn, "commit", now);
	txn_history_end(txn, false, wall);
	note_accepted(txn, now);
	warn_source_again(txn->g, txn_source(txn), now, wall);
	strangers_take(txn, NULL, now);
	begin_blast(txn);
	path_commit(txn, tickets, now, wall);
	naming_commit(txn, now);
	bounce_commit(txn, now, wall);
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];
		uint64_t ticket = tickets != NULL ? tickets[i] : 0;

		/* Named twice, and stored once by the front. */
		if (e->twin_of != NO_TWIN && tickets != NULL &&
		    ticket == tickets[e->twin_of])
			ticket = 0;
		commit_entry(txn, e, ticket, now, wall);
	}
	end_blast(txn, tickets, wall);
	shared_note_blast(txn, false);
	strangers_judge(txn, now, wall);
	if (txn->observation != NULL)
		observation_learn(txn->observation, has_gone,
		    &(struct ended){txn, tickets}, wall);
	txn_end(txn);
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

/* LMTP answers for each time that a destination was named: the one that holds
 * the reservation may be refused and its twin be delivered. */
static bool *
by_destination(const struct gate_txn *txn, const bool *reached)
{
	bool *v = xcalloc(txn->n + 1, sizeof(*v));

	for (uint32_t i = 0; i < txn->n; i++) {
		uint32_t twin = txn->entries[i].twin_of;

		v[i] = v[i] || reached[i];
		if (twin != NO_TWIN && reached[i])
			v[twin] = true;
	}
	return v;
}

void
gate_doubt(struct gate_txn *txn, const bool *named, int64_t now, int64_t wall)
{
	bool *reached = by_destination(txn, named);

	txn->g->now = now;
	txn->g->wall = wall;
	record_end(txn, "doubt", now);
	strangers_give_back(txn);
	strangers_take(txn, reached, now);
	txn_history_end(txn, false, wall);
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];

		if (reached[i])
			commit_entry(txn, e, 0, now, wall);
		else
			txn_give_back(txn, e, now);
	}
	strangers_judge(txn, now, wall);
	if (txn->observation != NULL)
		observation_learn(txn->observation, is_reached,
		    &(struct doubted){txn->n, reached}, wall);
	free(reached);
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
	struct throttle_source *src;

	(void)txn_lane(txn, e, &src);
	throttle_queue_each(src, look_at, &l);
	return l.found;
}

/* Those whose place an earlier try took were counted by it. */
static void
take_deferred(struct gate_txn *txn, int64_t now)
{
	bool *waits = xcalloc(txn->n + 1, sizeof(*waits));

	strangers_give_back(txn);
	for (uint32_t i = 0; i < txn->n; i++)
		waits[i] = txn->entries[i].verdict == THROTTLE_HOLD;
	strangers_take(txn, waits, now);
	free(waits);
}

void
gate_defer(struct gate_txn *txn, int64_t now, int64_t wall)
{
	txn->g->now = now;
	txn->g->wall = wall;
	record_end(txn, "defer", now);
	txn_history_end(txn, true, wall);
	if (txn->was_secured && txn->src != NULL)
		source_touch(txn->g, txn->src);
	warn_source_again(txn->g, txn_source(txn), now, wall);
	path_defer(txn, now, wall);
	take_deferred(txn, now);
	begin_blast(txn);
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];

		if (e->is_reserved && e->verdict == THROTTLE_HOLD &&
		    !waits_already(txn, e))
			commit_entry(txn, e, 0, now, wall);
		else
			txn_give_back(txn, e, now);
	}
	throttle_blast_end(txn->g->throttle);
	shared_note_blast(txn, false);
	strangers_judge(txn, now, wall);
	txn_end_blank(txn, now);
}
