/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a transaction: what it reserved is kept until the message is
 * accepted or not, then committed or given back, all of it.
 */
#include "gate/gate_txn.h"
#include "gate/gate_familiar.h"
#include "gate/gate_history.h"
#include "gate/gate_path.h"
#include "gate/gate_record.h"
#include "gate/gate_shared.h"
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERFLOW_BYTES (sizeof(POLICY_OVERFLOW_TEXT) - 1)

/* Who would be answered by a mail server, a vacation program and the like. */
static void
note_sender(struct gate_txn *txn, const struct gate_facts *facts)
{
	struct gate *g = txn->g;
	const struct policy *policy = policies_of_key(g->policies, STR("<>"));
	char text[GATE_RECIPIENT_MAX];
	struct str key = {text,
	    g->recipient_key(facts->sender, policy->conf->fold_tags, text)};

	if (facts->sender.n == 0 || key.n == 0)
		return;
	txn->answer_to = hash_str(key, g->seed);
}

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
	txn->number = ++g->txn_count;
	txn->policy = policy;
	policies_ref(policy->set);
	txn->entries = txn->first;
	txn->cap = INLINE_ENTRIES;
	txn->key_n = n;
	memcpy(txn->key, key, n);
	src = source_find(g, txn_key(txn));
	if (src != NULL)
		source_get(g, txn_key(txn), policy, now, true);
	txn->client = facts.client;
	txn->scopes = gate_scope_pins(g, policy, &facts, txn_key(txn), src);
	txn->by_command = facts.by_command;
	txn->is_local = facts.local && facts.user.n == 0;
	if (facts.user.n > 0)
		txn->network = networks_of(&facts.client);
	txn->is_program = facts.user.n == 0 || key[0] == '[' || key[0] == '<';
	/* Frozen by hand: then the exemption does not count. */
	txn->is_exempt = policy->conf->exempt && !freeze_is_on(src);
	txn->is_outside = facts.user.n == 0 && !facts.local &&
			  !locals_has_client(g->locals, &facts.client);
	txn->has_routes = facts.has_routes;
	txn->has_sender = facts.sender.n > 0;
	if (txn->is_outside)
		note_sender(txn, &facts);
	path_begin(txn, &facts);
	if (given->teaches)
		txn->observation = gate_observation_new(g, given);
	txn_history_begin(txn, &facts);
	record_begin(txn, given, now);
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
	if (src != NULL && txn->is_local)
		source_data(src)->new_until = now + GATE_NEW_MS;
	if (src != NULL)
		return src;
	memcpy(txn->key, POLICY_OVERFLOW_TEXT, OVERFLOW_BYTES + 1);
	txn->key_n = OVERFLOW_BYTES;
	return source_overflow(txn->g, now);
}

static void
txn_free(struct gate_txn *txn)
{
	familiar_drop(txn);
	shared_drop(txn);
	secure_forget(txn);
	if (txn->entries != txn->first)
		free(txn->entries);
	gate_observation_free(txn->observation);
	naming_free(txn);
	bounce_free(txn);
	txn_history_free(txn);
	path_free(txn);
	scope_pins_free(txn->scopes);
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

struct throttle *
txn_lane(const struct gate_txn *txn, const struct txn_entry *e,
    struct throttle_source **src)
{
	*src = txn->src;
	if (!e->is_familiar)
		return txn->g->throttle;
	*src = tier_of(txn->src);
	return txn->g->familiar;
}

static void
give_back(struct gate_txn *txn, const struct txn_entry *e, int64_t now)
{
	struct throttle_source *src;
	struct throttle *t;

	if (e->is_reply)
		answers_give_back(txn->g->answers, e->r.destination, now);
	if (!e->is_reserved)
		return;
	scope_cancel(txn->scopes, e->scoped);
	t = txn_lane(txn, e, &src);
	shared_note_given_back(txn, e);
	shared_note_scope(txn, e, SHARE_SCOPE_CANCEL);
	throttle_cancel(t, src, &e->r, now);
	unpin(txn);
}

void
txn_hold_all(struct gate_txn *txn, int64_t now)
{
	for (uint32_t i = 0; i < txn->n; i++) {
		struct txn_entry *e = &txn->entries[i];
		uint64_t destination = e->r.destination;
		uint32_t twin_of = e->twin_of;

		if (e->verdict != THROTTLE_PASS)
			continue;
		give_back(txn, e, now);
		*e = (struct txn_entry){
		    .r = {.destination = destination,
			.verdict = THROTTLE_HOLD,
			.reason = THROTTLE_FROZEN,
			.due_ms = INT64_MAX},
		    .twin_of = twin_of,
		    .verdict = THROTTLE_HOLD,
		};
	}
}

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

static void
txn_end(struct gate_txn *txn)
{
	struct gate *g = txn->g;

	shared_tell(txn, g->now);
	txn_free(txn);
	gate_changed(g);
}

/* Nothing was accepted: a source that was made for it goes with it. */
static void
txn_end_blank(struct gate_txn *txn, int64_t now)
{
	/* What the server reserves for it has to be given back yet. */
	if (txn->made && txn->sharing == NULL)
		source_drop_blank(txn->g, txn_key(txn), now);
	txn_end(txn);
}

void
txn_drop_last(struct gate_txn *txn, int64_t now)
{
	const struct txn_entry *e;

	if (!txn->can_drop)
		return;
	txn->can_drop = false;
	txn->g->now = now;
	e = &txn->entries[--txn->n];
	if (txn->observation != NULL)
		observation_cut(txn->observation, txn->n);
	naming_cut(txn);
	if (e->twin_of != NO_TWIN && e->verdict == THROTTLE_HOLD)
		txn->twins--;
	give_back(txn, e, now);
	shared_tell(txn, now);
}

void
gate_drop_last(struct gate_txn *txn, int64_t now)
{
	record_drop(txn, 0, "", now);
	txn_drop_last(txn, now);
}

void
gate_drop_for_room(struct gate_txn *txn, int64_t now)
{
	record_drop(txn, 0, RECORD_NO_ROOM, now);
	txn_drop_last(txn, now);
	txn->is_short = true;
}

/* ---- what the front asks ---- */

bool
gate_txn_is_whole(const struct gate_txn *txn)
{
	if (path_is_held(txn) || txn->is_decoyed)
		return true;
	if (txn->policy->conf->multi != POLICY_WHOLE)
		return false;
	for (uint32_t i = 0; i < txn->n; i++) {
		if (txn->entries[i].verdict == THROTTLE_HOLD)
			return true;
	}
	return false;
}

bool
gate_txn_is_decoyed(const struct gate_txn *txn)
{
	return txn->is_decoyed;
}

bool
gate_txn_is_suspect(const struct gate_txn *txn)
{
	const struct txn_entry *last =
	    txn->n > 0 ? &txn->entries[txn->n - 1] : NULL;

	return txn->is_decoyed ||
	       (freeze_is_on(txn_source(txn)) && !txn->g->observe &&
		   (last == NULL || !last->is_incoming));
}

bool
gate_txn_is_outside(const struct gate_txn *txn)
{
	return txn->is_outside;
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
	if (txn->is_short || !observation_is_empty(txn->observation) ||
	    gate_txn_hears_names(txn) || !path_is_known(txn))
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

uint8_t
gate_txn_lane(const struct gate_txn *txn, size_t i)
{
	return entry_at(txn, i)->is_familiar ? GATE_LANE_FAMILIAR
					     : GATE_LANE_NEW;
}

/* ---- the end ---- */

/* As full as it is by now. */
static void
why_barred(struct gate_txn *txn, const struct txn_entry *e, int64_t now,
    char why[WORDS_MAX])
{
	struct scope_info full;
	uint32_t mask;

	if (scope_reserve(txn->scopes, e->r.destination, now, &mask, &full)) {
		scope_cancel(txn->scopes, mask);
		str_copy(e->is_over ? STR("stranger_messages was reached")
				    : STR("a scope was full"),
		    why, WORDS_MAX);
	} else {
		words_scope(&full, now, why);
	}
}

void
gate_txn_name(struct gate_txn *txn, const struct gate_names *names)
{
	txn->names = names;
}

/* When it is expected to go, by the queue that it stands in. */
static int64_t
goes_at(struct gate_txn *txn, uint64_t destination, int64_t now, int64_t wall)
{
	struct gate_wait wait;

	if (!gate_expected(txn->g, txn_key(txn), destination, now, wall, &wait))
		return 0;
	return wait.due;
}

/* A line for each recipient that is held. */
static void
tell_entry(struct gate_txn *txn, const struct txn_entry *e, uint64_t ticket,
    struct throttle_source *src, int64_t now, int64_t wall)
{
	const struct gate_names *names = txn->names;
	size_t i = (size_t)(e - txn->entries);
	char why[WORDS_MAX] = "duplicate recipient in this message";
	struct gate_news news = {
	    .type = e->is_observed ? EVENT_OBSERVE : EVENT_HOLD,
	    .sender = txn->key,
	    .policy = txn->policy->conf->name,
	    .ticket = ticket,
	    .why = why,
	};

	if (src == NULL)
		return;
	if (names != NULL) {
		news.address = names->address(names->arg, i);
		news.mta_id = ticket != 0 ? names->mta_id : NULL;
	}
	if (e->verdict == THROTTLE_HOLD && ticket != 0)
		news.until = goes_at(
		    txn, path_queued_as(txn, e->r.destination), now, wall);
	if (e->verdict == THROTTLE_PASS && !e->is_observed)
		str_copy(STR("waits for the other recipients of its message"),
		    why, sizeof(why));
	else if (e->twin_of == NO_TWIN && e->r.reason == THROTTLE_BARRED)
		why_barred(txn, e, now, why);
	else if (e->signal != SIGNAL_NONE)
		signal_words(txn, (enum signal)e->signal, &e->r, now, why);
	else if (e->twin_of == NO_TWIN && e->is_familiar)
		words_familiar(txn->g, src, &e->r, "", now, why);
	else if (e->twin_of == NO_TWIN)
		words_why(txn->g, src, &e->r, now, why);
	news.queue_length = source_queue(txn->g, src);
	gate_tell(txn->g, wall, &news);
}

/* A scope without room, that made it wait. */
static void
count_scope(struct gate_txn *txn, int64_t now)
{
	struct scope_info info;

	for (size_t i = 0;
	     txn->scopes != NULL && scope_look(txn->scopes, i, now, &info);
	     i++) {
		if (info.used >= info.count) {
			counters_add_named(
			    txn->g->counters, NAMED_SCOPE_HELD, info.name, 1);
			return;
		}
	}
}

/* Each recipient is in one of the series. */
static enum counter
series_of(const struct gate_txn *txn, const struct txn_entry *e)
{
	bool holds = e->verdict == THROTTLE_HOLD;

	if (e->twin_of != NO_TWIN)
		e = &txn->entries[e->twin_of];
	if (holds && e->r.reason == THROTTLE_FROZEN)
		return COUNT_HOLD_FROZEN;
	if (holds && e->is_over)
		return COUNT_HOLD_STRANGERS;
	if (holds && e->r.reason == THROTTLE_BARRED)
		return COUNT_HOLD_SCOPE;
	if (holds && e->signal == SIGNAL_CREDIT)
		return COUNT_HOLD_CREDIT;
	if (holds && e->signal == SIGNAL_NETWORKS)
		return COUNT_HOLD_NETWORKS;
	if (holds)
		return e->is_familiar ? COUNT_HOLD_FAMILIAR
				      : COUNT_HOLD_ALLOWANCE;
	if (path_is_held(txn))
		return COUNT_HOLD_REVERSE_PATH;
	if (e->is_observed)
		return COUNT_PASS_OBSERVED;
	if (e->is_incoming)
		return COUNT_PASS_INCOMING;
	if (e->is_reply)
		return COUNT_PASS_REPLY;
	if (e->is_answer)
		return COUNT_PASS_WROTE_TO_SENDER;
	if (e->is_familiar)
		return COUNT_PASS_FAMILIAR;
	if (txn->is_exempt)
		return COUNT_PASS_EXEMPT;
	return e->is_reserved && e->r.reason == THROTTLE_KNOWN
		   ? COUNT_PASS_RECENT
		   : COUNT_PASS_ALLOWED;
}

static void
count_entry(struct gate_txn *txn, const struct txn_entry *e, int64_t now)
{
	struct counters *c = txn->g->counters;
	enum counter series = series_of(txn, e);

	counters_add(c, series, 1);
	if (series == COUNT_HOLD_SCOPE)
		count_scope(txn, now);
	counters_add_named(c,
	    e->verdict == THROTTLE_HOLD || path_is_held(txn)
		? NAMED_POLICY_HELD
		: NAMED_POLICY_PASSED,
	    txn->policy->conf->name, 1);
	if (e->verdict == THROTTLE_HOLD || path_is_held(txn))
		counters_add(c, COUNT_DELAYED_RECIPIENTS, 1);
	else
		counters_add(c, COUNT_PASSED_RECIPIENTS, 1);
	if (e->is_familiar)
		counters_add(c,
		    e->verdict == THROTTLE_HOLD || path_is_held(txn)
			? COUNT_DELAYED_FAMILIAR
		    : e->is_answer ? COUNT_PASSED_INBOUND
				   : COUNT_PASSED_FAMILIAR,
		    1);
	if (e->is_reserved && !e->is_familiar && e->r.reason == THROTTLE_KNOWN)
		counters_add(c, COUNT_PASSED_KNOWN, 1);
	if (e->is_reserved && e->r.reason == THROTTLE_BARRED && !e->is_over)
		counters_add(c, COUNT_SCOPE_HOLDS, 1);
	if (e->signal == SIGNAL_CREDIT)
		counters_add(c, COUNT_CREDIT_HOLDS, 1);
	if (e->signal == SIGNAL_NETWORKS)
		counters_add(c, COUNT_NETWORK_HOLDS, 1);
	if (e->is_reply)
		counters_add(c, COUNT_PASSED_REPLIES, 1);
	if (e->is_incoming)
		counters_add(c, COUNT_PASSED_INCOMING, 1);
	if (e->is_observed)
		counters_add(c, COUNT_OBSERVED_HOLDS, 1);
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
	count_entry(txn, e, now);
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
		tell_entry(txn, e, ticket, src, now, wall);
	if (e->is_reserved && e->r.reason != THROTTLE_KNOWN) {
		warn_source(g, src, now, wall);
		habit_look(g, src, now, wall);
		warn_scopes(g, now, wall);
	}
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

void
gate_cancel(struct gate_txn *txn, int64_t now)
{
	txn->g->now = now;
	record_end(txn, "cancel", now);
	if (txn->was_secured && txn->src != NULL)
		source_touch(txn->g, txn->src);
	path_cancel(txn, now);
	strangers_give_back(txn);
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
			give_back(txn, e, now);
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
			give_back(txn, e, now);
	}
	throttle_blast_end(txn->g->throttle);
	shared_note_blast(txn, false);
	strangers_judge(txn, now, wall);
	txn_end_blank(txn, now);
}
