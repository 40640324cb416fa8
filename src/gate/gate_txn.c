/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a transaction: what it reserved is kept until the message is
 * accepted or not, then committed (gate_commit.c) or given back, all of it.
 */
#include "gate/gate_txn.h"
#include "gate/gate_familiar.h"
#include "gate/gate_history.h"
#include "gate/gate_load.h"
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

/* Its rows were read, or it has none, so whoever made it since flagged it for
 * nothing. */
static struct throttle_source *
loaded(struct gate_txn *txn, struct throttle_source *src)
{
	if (txn->is_loaded)
		load_unflag(txn->g, src);
	return src;
}

struct throttle_source *
txn_need_source(struct gate_txn *txn, int64_t now)
{
	struct throttle_source *src = txn_source(txn);

	if (src != NULL)
		return loaded(txn, src);
	src = source_get(txn->g, txn_key(txn), txn->policy, now, false);
	txn->made = src != NULL;
	if (src != NULL && txn->is_local)
		source_data(src)->new_until = now + GATE_NEW_MS;
	if (src != NULL)
		return loaded(txn, src);
	memcpy(txn->key, POLICY_OVERFLOW_TEXT, OVERFLOW_BYTES + 1);
	txn->key_n = OVERFLOW_BYTES;
	return loaded(txn, source_overflow(txn->g, now));
}

static void
txn_free(struct gate_txn *txn)
{
	loading_drop(txn);
	familiar_drop(txn);
	path_free(txn);
	shared_drop(txn);
	secure_forget(txn);
	if (txn->entries != txn->first)
		free(txn->entries);
	gate_observation_free(txn->observation);
	naming_free(txn);
	bounce_free(txn);
	txn_history_free(txn);
	scope_pins_free(txn->scopes);
	policies_free(txn->policy->set);
	free(txn);
}

void
txn_unpin(struct gate_txn *txn)
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

void
txn_give_back(struct gate_txn *txn, const struct txn_entry *e, int64_t now)
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
	txn_unpin(txn);
}

void
txn_hold_all(struct gate_txn *txn, int64_t now)
{
	for (uint32_t i = 0; i < txn->n; i++) {
		struct txn_entry *e = &txn->entries[i];
		struct txn_entry was = *e;

		if (was.verdict != THROTTLE_PASS)
			continue;
		txn_give_back(txn, e, now);
		*e = (struct txn_entry){
		    .r = {.destination = was.r.destination,
			.verdict = THROTTLE_HOLD,
			.reason = THROTTLE_FROZEN,
			.due_ms = INT64_MAX},
		    .twin_of = was.twin_of,
		    .site = was.site,
		    .verdict = THROTTLE_HOLD,
		};
	}
}

void
txn_end(struct gate_txn *txn)
{
	struct gate *g = txn->g;

	shared_ahead_give_up(txn);
	shared_tell(txn, g->now);
	txn_free(txn);
	gate_changed(g);
}

void
txn_end_blank(struct gate_txn *txn, int64_t now)
{
	/* What the server reserves for it has to be given back yet. */
	shared_ahead_give_up(txn);
	shared_tell(txn, txn->g->now);
	if (txn->made && txn->sharing == NULL && !path_is_asking(txn))
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
	txn_give_back(txn, e, now);
	if (e->shared != 0)
		shared_ahead_revise(txn);
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
		txn_give_back(txn, &txn->entries[i], now);
	txn_end_blank(txn, now);
}

/* ---- what the front asks ---- */

void
gate_txn_name(struct gate_txn *txn, const struct gate_names *names)
{
	txn->names = names;
}

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
