/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals in the gate: recipients that the next hop does not know cost their
 * sender credit, and who has none waits with all its new recipients; who goes
 * on being refused is frozen.
 *
 * What the next hop has said is believed; what others say that it said is
 * hearsay, see credit.h.
 */
#include "gate/gate_record.h"
#include "gate/gate_shared.h"

#include <stdio.h>
#include <string.h>

bool
signal_is_unknown(const char *enhanced)
{
	static const char *const codes[] = {"5.1.1", "5.1.2", "5.1.10"};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (strcmp(enhanced, codes[i]) == 0)
			return true;
	}
	return false;
}

/* 4xx, a full mailbox and all that is policy say nothing about the address. */
bool
gate_reply_is_unknown(const struct gate_reply *reply)
{
	if (reply->code < 500 || reply->code > 599)
		return false;
	return signal_is_unknown(reply->enhanced) ||
	       (reply->to_rcpt && reply->code == 550 &&
		   reply->enhanced[0] == '\0');
}

void
signal_touch(struct gate *g)
{
	if (g->signals_due == INT64_MAX && signals_have_changed(g->signals))
		g->signals_due = g->now + GATE_SAVE_EVERY_MS;
}

const struct policy *
signal_policy(const struct gate *g, struct str key)
{
	struct throttle_source *src = source_find(g, key);

	return src != NULL ? source_policy(src)
			   : source_choose_policy(g, key, (struct str){0});
}

bool
signal_guess(struct gate *g, struct str name, char out[GATE_KEY_MAX])
{
	char key[POLICY_SOURCE_MAX];

	str_copy(name, out, GATE_KEY_MAX);
	if (signals_find(g->signals, name) != NULL)
		return true;
	for (unsigned i = 0; policy_key_guess(name, i, key); i++) {
		str_copy(str_from(key), out, GATE_KEY_MAX);
		if (signals_find(g->signals, str_from(key)) != NULL)
			return true;
	}
	return false;
}

/* ---- credit ---- */

void
signal_credit(const struct gate *g, const struct policy *policy, struct str key,
    struct gate_credit *out)
{
	struct signals *s = signals_find(g->signals, key);

	*out = (struct gate_credit){
	    .left = policy->credit.credit, .max = policy->credit.credit};
	if (s == NULL)
		return;
	out->left = credit_left(&s->credit, &policy->credit, g->now);
	out->is_empty = credit_is_empty(&s->credit, &policy->credit, g->now);
}

static void
tell(struct gate *g, struct str key, const struct policy *policy,
    enum event_type type, const char *why, int64_t wall)
{
	struct throttle_source *src = source_find(g, key);
	char name[GATE_KEY_MAX];
	struct gate_news news = {
	    .type = type,
	    .sender = name,
	    .policy = policy->conf->name,
	    .why = why,
	    .queue_length = src != NULL ? source_queue(g, src) : 0,
	};

	str_copy(key, name, sizeof(name));
	gate_tell(g, wall, &news);
}

static void
freeze(struct gate *g, struct str key, const struct policy *policy,
    enum throttle_freeze_reason reason, const char *spared, int64_t now,
    int64_t wall)
{
	struct throttle_source *src = source_get(g, key, policy, now, true);

	if (src == NULL || freeze_is_on(src))
		return;
	if (throttle_is_spared(src)) {
		counters_add(g->counters, COUNT_SPARED_FREEZES, 1);
		tell(g, key, policy, EVENT_SPARE, spared, wall);
		return;
	}
	freeze_for(g, src, reason, now, wall);
}

void
signal_act_credit(struct gate *g, struct str key, enum credit_result result,
    int64_t now, int64_t wall)
{
	const struct policy *policy = signal_policy(g, key);

	if (result == CREDIT_EMPTIED)
		tell(g, key, policy, EVENT_CREDIT,
		    "too many unknown recipients: new recipients wait", wall);
	else if (result == CREDIT_FREEZE)
		freeze(g, key, policy, THROTTLE_FREEZE_CREDIT,
		    "too many unknown recipients; not frozen: never_freeze",
		    now, wall);
}

bool
signal_refused(struct gate *g, struct str key, uint64_t destination,
    uint64_t site, bool hearsay, int64_t now, int64_t wall)
{
	struct share_step step = {
	    .what = hearsay ? SHARE_REFUSED_HEARSAY : SHARE_REFUSED,
	    .destination = site != 0 ? site : destination,
	};
	const struct policy *policy = signal_policy(g, key);
	enum credit_result result;
	struct signals *s;

	if (policy->credit.credit == 0 || policy->conf->exempt)
		return false;
	s = signals_get(g->signals, key, now);
	if (s == NULL)
		return false;
	result = credit_refused(
	    &s->credit, &policy->credit, destination, hearsay, now);
	signal_touch(g);
	if (result != CREDIT_FREE && !hearsay)
		counters_add(g->counters, COUNT_UNKNOWN_RECIPIENTS, 1);
	if (result != CREDIT_FREE &&
	    !shared_signals_tell(g, key, policy, &step, (int)result, wall))
		signal_act_credit(g, key, result, now, wall);
	return result != CREDIT_FREE;
}

/* Some of it was missing. */
static bool
delivered(struct gate *g, struct str key, int64_t now)
{
	const struct policy *policy;
	struct signals *s = signals_find(g->signals, key);
	bool is_whole;

	if (s == NULL || !s->credit.is_known)
		return false;
	policy = signal_policy(g, key);
	s = signals_get(g->signals, key, now);
	is_whole = credit_is_whole(&s->credit, &policy->credit, now);
	credit_delivered(&s->credit, &policy->credit, now);
	signal_touch(g);
	return !is_whole;
}

void
signal_passed(struct gate_txn *txn, int64_t now)
{
	if (txn->has_sender && delivered(txn->g, txn_key(txn), now))
		shared_note_delivered(txn);
}

/* A stranger, and nobody who writes to us. */
static bool
costs(const struct gate_txn *txn, const struct txn_entry *e)
{
	return txn->has_sender && e->is_reserved && !e->is_familiar &&
	       e->twin_of == NO_TWIN && e->r.reason != THROTTLE_KNOWN;
}

void
gate_drop_refused(struct gate_txn *txn, const struct gate_reply *reply,
    int64_t now, int64_t wall)
{
	struct gate *g = txn->g;
	const struct txn_entry *e;
	uint64_t destination = 0, site = 0;
	bool is_cost = false;

	g->now = now;
	if (txn->can_drop && txn->n > 0) {
		e = &txn->entries[txn->n - 1];
		destination = e->r.destination;
		site = e->site;
		is_cost = costs(txn, e) && gate_reply_is_unknown(reply);
	}
	record_drop(txn, reply->code, reply->enhanced, now);
	txn_drop_last(txn, now);
	if (!is_cost)
		return;
	(void)signal_refused(
	    g, txn_key(txn), destination, site, false, now, wall);
	gate_changed(g);
}

void
gate_delivered(struct gate *g, const char *source, int64_t now)
{
	static const struct share_step step = {.what = SHARE_DELIVERED};
	struct str key = str_from(source);

	g->now = now;
	if (delivered(g, key, now))
		(void)shared_signals_tell(
		    g, key, signal_policy(g, key), &step, 0, g->wall);
	gate_changed(g);
}

static uint64_t
site_of(const struct gate *g, struct str key, const char *address)
{
	char text[GATE_RECIPIENT_MAX];
	bool fold = signal_policy(g, key)->conf->fold_tags;
	struct str name;

	if (g->share_ops == NULL || address == NULL)
		return 0;
	name =
	    (struct str){text, g->recipient_key(str_from(address), fold, text)};
	return name.n > 0 ? g->share_ops->destination(g->share_arg, name) : 0;
}

void
gate_undelivered(struct gate *g, const char *source, uint64_t destination,
    const char *address, const struct gate_reply *reply, int64_t now,
    int64_t wall)
{
	struct str key = str_from(source);

	g->now = now;
	if (gate_reply_is_unknown(reply))
		(void)signal_refused(g, key, destination,
		    site_of(g, key, address), false, now, wall);
	gate_changed(g);
}

/* ---- client networks ---- */

void
signal_networks(const struct gate *g, const struct policy *policy,
    struct str key, struct gate_networks *out)
{
	struct signals *s = signals_find(g->signals, key);

	*out = (struct gate_networks){.max = policy->networks.count,
	    .window_ms = policy->networks.window_ms};
	if (s != NULL && out->max > 0)
		networks_count(&s->networks, &policy->networks, g->now,
		    &out->fresh, &out->learnt);
}

static bool
is_network_one_too_many(const struct gate_txn *txn)
{
	struct signals *s = signals_find(txn->g->signals, txn_key(txn));

	return s != NULL &&
	       networks_are_many(&s->networks, &txn->policy->networks,
		   txn->network, txn->g->now);
}

static void
tell_networks(struct gate *g, struct str key, const struct policy *policy,
    uint64_t network, int64_t wall)
{
	char net[NETWORKS_TEXT_MAX], why[WORDS_MAX], window[UNITS_TEXT_MAX];
	struct gate_networks n;

	signal_networks(g, policy, key, &n);
	snprintf(why, sizeof(why),
	    "%u new client networks in %s, client_networks is %u; the last "
	    "is %s",
	    (unsigned)n.fresh, units_format_duration(n.window_ms, window),
	    (unsigned)n.max, networks_format(network, net));
	tell(g, key, policy, EVENT_NETWORKS, why, wall);
}

void
signal_act_networks(struct gate *g, struct str key, const struct policy *policy,
    uint64_t network, enum networks_result result, int64_t now, int64_t wall)
{
	if (result == NETWORKS_MORE)
		tell_networks(g, key, policy, network, wall);
	/* In observe mode nothing is frozen by the first. */
	if ((result == NETWORKS_MORE ||
		(result == NETWORKS_MANY && !g->observe)) &&
	    policy->conf->client_networks_action == POLICY_NETWORKS_FREEZE)
		freeze(g, key, policy, THROTTLE_FREEZE_NETWORKS,
		    "used from too many networks; not frozen: never_freeze",
		    now, wall);
}

void
signal_note_network(struct gate_txn *txn, int64_t now, int64_t wall)
{
	const struct policy *policy = txn->policy;
	struct share_step step = {
	    .what = SHARE_NETWORK, .destination = txn->network};
	struct gate *g = txn->g;
	enum networks_result result;
	struct signals *s;

	if (policy->networks.count == 0 || txn->network == 0 || g->is_dry ||
	    policy->conf->exempt)
		return;
	s = signals_get(g->signals, txn_key(txn), now);
	if (s == NULL)
		return;
	result =
	    networks_use(&s->networks, &policy->networks, txn->network, now);
	signal_touch(g);
	if (!networks_tell(
		&s->networks, &policy->networks, txn->network, now) ||
	    !shared_signals_tell(
		g, txn_key(txn), policy, &step, (int)result, wall))
		signal_act_networks(
		    g, txn_key(txn), policy, txn->network, result, now, wall);
}

/* ---- who waits ---- */

enum signal
signal_of(const struct gate_txn *txn)
{
	struct gate *g = txn->g;
	struct signals *s = signals_find(g->signals, txn_key(txn));

	if (s == NULL)
		return SIGNAL_NONE;
	if (credit_is_empty(&s->credit, &txn->policy->credit, g->now))
		return SIGNAL_CREDIT;
	return is_network_one_too_many(txn) ? SIGNAL_NETWORKS : SIGNAL_NONE;
}

void
signal_words(const struct gate_txn *txn, enum signal signal,
    const struct throttle_reservation *r, int64_t now, char out[WORDS_MAX])
{
	struct gate_networks networks;
	struct gate_credit credit;

	switch (signal) {
	case SIGNAL_NONE:
		break;
	case SIGNAL_CREDIT:
		signal_credit(txn->g, txn->policy, txn_key(txn), &credit);
		words_credit(&credit, r, now, out);
		break;
	case SIGNAL_NETWORKS:
		signal_networks(txn->g, txn->policy, txn_key(txn), &networks);
		words_networks(&networks, r, now, out);
		break;
	}
}

/* ---- stored state ---- */

void
signal_save_some(struct gate *g, size_t max, int64_t now, int64_t wall)
{
	struct signals_state state;

	while (max-- > 0 && signals_next_changed(g->signals, now, &state)) {
		if (state.n > 0)
			spool_save_state(
			    g->spool, state.row, state.bytes, state.n, wall);
		else
			spool_forget_source(g->spool, state.row);
	}
	g->signals_due = signals_have_changed(g->signals)
			     ? now + GATE_SAVE_EVERY_MS
			     : INT64_MAX;
}

void
signal_sweep(struct gate *g, size_t steps, int64_t now)
{
	signals_sweep(g->signals, steps, now);
	signal_touch(g);
}
