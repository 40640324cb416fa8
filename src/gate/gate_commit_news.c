/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a message's end tells of its recipients: a line for each that waits, and
 * all of them in the counters.
 */
#include "gate/gate_commit.h"
#include "gate/gate_path.h"

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

/* When it is expected to go, by the queue that it stands in. */
static int64_t
goes_at(struct gate_txn *txn, uint64_t destination, int64_t now, int64_t wall)
{
	struct gate_wait wait;

	if (!gate_expected(txn->g, txn_key(txn), destination, now, wall, &wait))
		return 0;
	return wait.due;
}

void
commit_tell(struct gate_txn *txn, const struct txn_entry *e, uint64_t ticket,
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

void
commit_count(struct gate_txn *txn, const struct txn_entry *e, int64_t now)
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
