/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate would answer, and why. The question goes the way of every
 * other, through a transaction that is cancelled, but in a copy of the gate
 * that holds a copy of the one source: nothing is made, counted, learnt or
 * told, and no last_seen moves. What the copy shares with the gate (scopes,
 * answers) is reserved and given back before the call ends.
 *
 * A queue is copied whole: queue_max entries, some milliseconds for 10 000.
 */
#include "gate/gate_path.h"
#include "gate/gate_recall.h"
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCOPES_SHOWN (SCOPES_MAX * OPTION_RATES_MAX)

struct explaining {
	struct gate *g; /* the copy */
	const struct gate_question *q;
	struct gate_explanation out;
	struct scope_info scopes[SCOPES_SHOWN];
	char change[WORDS_REPLY_MAX];
	gate_explained_fn *fn;
	void *arg;
	struct gate_txn *txn;
	bool is_at_recipient;
};

/* ---- the copy ---- */

/* Asks the scopes, and spends nothing there. */
static int64_t
may_release(
    void *arg, struct throttle_source *src, uint64_t destination, int64_t now)
{
	struct gate_source *data = source_data(src);
	struct scope_info full;
	uint32_t mask;

	int64_t at;

	if (data == NULL)
		return now;
	at = strangers_may_release(arg, src, destination, now);
	if (at > now || data->scopes == NULL)
		return at;
	if (!scope_reserve(data->scopes, destination, now, &mask, &full))
		return full.open_at > now ? full.open_at : now + 1;
	scope_cancel(data->scopes, mask);
	return now;
}

static const struct throttle_callbacks copy_callbacks = {
    .may_release = may_release,
    .on_expire = source_on_expire,
};
static const struct gate_callbacks no_callbacks;

static struct gate *
copy_new(const struct gate *g, struct counters *counters)
{
	struct gate *copy = xcalloc(1, sizeof(*copy));

	*copy = *g;
	list_init(&copy->dirty);
	list_init(&copy->near);
	list_init(&copy->secures);
	list_init(&copy->freezes);
	list_init(&copy->releases);
	list_init(&copy->admin);
	list_init(&copy->hands);
	copy->counters = counters;
	copy->callbacks = &no_callbacks;
	copy->senders_max = 0;
	copy->is_dry = true;
	copy->history = NULL;
	copy->load = NULL;
	copy->throttle = throttle_new(g->seed, SIZE_MAX, &copy_callbacks, copy);
	copy->familiar = throttle_new(g->seed, SIZE_MAX, &tier_callbacks, copy);
	return copy;
}

/* The rest is the gate's own. */
static void
copy_free(struct gate *copy)
{
	copy->is_quiet = true;
	throttle_free(copy->familiar);
	throttle_free(copy->throttle);
	free(copy);
}

struct queueing {
	struct refill refill;
	struct throttle_source *src;
};

static void
requeue(void *arg, uint64_t destination, uint64_t ticket)
{
	struct queueing *q = arg;

	refill_add(&q->refill, q->src, destination, ticket);
}

static void
copy_strangers(
    const struct gate_source *from, struct gate_source *to, int64_t now)
{
	unsigned char state[STRANGERS_STATE_MAX];
	size_t n = strangers_save(from->strangers, now, state);

	to->is_program = from->is_program;
	if (n > 0)
		to->strangers = strangers_load(state, n, 0, now);
}

static void
copy_source(struct gate *copy, struct throttle_source *from, struct str key,
    int64_t now)
{
	const struct gate_source *was = source_data(from);
	struct throttle_source *src =
	    source_get(copy, key, source_policy(from), now, true);
	struct queueing q = {.refill = {.g = copy}, .src = src};
	size_t n = throttle_save(from, now, NULL, 0);
	void *state = xmalloc(n);
	struct gate_source *data = source_data(src);

	throttle_save(from, now, state, n);
	if (!throttle_load(copy->throttle, src, state, n, 0, now))
		panic("gate: a snapshot that was just taken is none");
	free(state);
	if (was->frozen_at != 0)
		freeze_set_at(copy, src, was->frozen_at);
	data->new_until = was->new_until;
	data->home = was->home;
	data->scopes = scope_pins_ref(was->scopes);
	if (was->hand != NULL)
		hand_set(copy, src, was->hand->note, was->hand->thaw_at);
	copy_strangers(was, data, now);
	throttle_queue_each(from, requeue, &q);
	refill_end(&q.refill);
	tier_copy(copy, src, from, now);
}

/* ---- the question ---- */

/* What a name that a person typed tells of its mail. */
static void
facts_for(const struct gate *g, struct str key, const struct gate_question *q,
    struct gate_facts *facts)
{
	const struct policy *policy =
	    source_choose_policy(g, key, (struct str){0});

	policy_key_facts(key, facts);
	if (q->client.family != IP_NONE)
		facts->client = q->client;
	facts->local =
	    str_eq(key, STR("<>")) ||
	    (facts->sender.n > 0 && policy->conf->key != POLICY_KEY_ENVELOPE);
}

static void
fill(struct explaining *e)
{
	struct gate_explanation *out = &e->out;
	struct throttle_source *src = txn_source(e->txn);
	const struct gate_source *data = src != NULL ? source_data(src) : NULL;
	struct scope_info *scope = e->scopes;

	out->sender = e->txn->key;
	out->policy = e->txn->policy->conf->name;
	out->throttle = &e->txn->policy->throttle;
	out->is_known = src != NULL;
	out->is_spared = policies_spares(
	    e->txn->policy->set, e->txn->policy, txn_key(e->txn));
	out->t = (struct throttle_source_info){
	    .allowance = out->throttle->initial, .next_release = INT64_MAX};
	if (src != NULL)
		throttle_source_info(e->g->throttle, src, e->q->now, &out->t);
	out->frozen_at = data != NULL ? data->frozen_at : 0;
	signal_credit(e->g, e->txn->policy, txn_key(e->txn), &out->credit);
	signal_networks(e->g, e->txn->policy, txn_key(e->txn), &out->networks);
	out->due = INT64_MAX;
	while (out->scope_count < SCOPES_SHOWN &&
	       scope_look(e->txn->scopes, out->scope_count, e->q->now, scope)) {
		out->scope_count++;
		scope++;
	}
	out->scopes = e->scopes;
	out->familiar =
	    e->txn->policy->has_familiar ? &e->txn->policy->familiar : NULL;
	tier_info(e->g, src, e->txn->policy, e->q->now, &out->familiar_t);
}

/* ---- what would change it ---- */

static void
change_held(struct explaining *e, const struct txn_entry *entry)
{
	const char *policy = e->out.policy;

	if (e->txn->is_decoyed) {
		snprintf(e->change, sizeof(e->change),
		    "it is a decoy: the sender would be frozen");
		return;
	}
	if (entry->signal == SIGNAL_NETWORKS) {
		snprintf(e->change, sizeof(e->change),
		    "time; weirctl release; or a larger client_networks in "
		    "policy \"%.80s\"",
		    policy);
		return;
	}
	if (entry->signal == SIGNAL_CREDIT) {
		snprintf(e->change, sizeof(e->change),
		    "time; mail that new recipients accept; weirctl release; "
		    "or a larger refused_credit in policy \"%.80s\"",
		    policy);
		return;
	}
	switch (entry->r.reason) {
	case THROTTLE_BARRED:
		snprintf(e->change, sizeof(e->change),
		    "time; weirctl release; or a higher limit of the scope");
		return;
	case THROTTLE_LIMITED:
		snprintf(e->change, sizeof(e->change),
		    "time; weirctl release; or a higher limit in policy "
		    "\"%.80s\"",
		    policy);
		return;
	case THROTTLE_FROZEN:
		snprintf(e->change, sizeof(e->change), "weirctl thaw");
		return;
	case THROTTLE_KNOWN:
	case THROTTLE_NEW:
	case THROTTLE_QUEUED:
	case THROTTLE_FULL:
		break;
	}
	if (entry->is_familiar) {
		snprintf(e->change, sizeof(e->change),
		    "time; weirctl release; or a larger familiar_burst, a "
		    "shorter familiar_interval or the recipient in "
		    "exempt_recipients, in policy \"%.80s\"",
		    policy);
		return;
	}
	snprintf(e->change, sizeof(e->change),
	    "time; weirctl release; or a larger burst, a shorter interval or "
	    "the recipient in exempt_recipients, in policy \"%.80s\"",
	    policy);
}

static void
change_passed(struct explaining *e, const struct txn_entry *entry)
{
	const char *text = "it passes regardless of what the sender has used";

	if (entry->is_incoming || entry->is_reply || e->txn->is_exempt ||
	    entry->r.reason != THROTTLE_KNOWN || entry->is_familiar ||
	    !entry->is_reserved)
		goto put;
	snprintf(e->change, sizeof(e->change),
	    "it passes as long as it is among the last %u recipients of the "
	    "sender",
	    (unsigned)e->out.throttle->working_set);
	return;
put:
	if (entry->is_familiar)
		text = "more familiar recipients: each uses one of the "
		       "familiar allowance; once reached, it is recent";
	else if (entry->is_reserved && entry->r.reason == THROTTLE_NEW)
		text = "more new recipients: each uses one of the allowance; "
		       "once reached, it is known";
	str_copy(str_from(text), e->change, sizeof(e->change));
}

static void
change_refused(struct explaining *e, const struct gate_answer *answer)
{
	const char *text =
	    "room in the queue: time, weirctl release, a larger queue_max";

	if (answer->is_frozen)
		text = "weirctl thaw";
	else if (answer->code == 553)
		text = "another address";
	str_copy(str_from(text), e->change, sizeof(e->change));
}

static const char *
tier_name(const struct gate_txn *txn, const struct txn_entry *entry)
{
	if (entry == NULL || entry->is_incoming || entry->is_reply ||
	    txn->is_exempt)
		return NULL;
	if (entry->is_familiar)
		return "familiar";
	if (!entry->is_reserved && !entry->is_observed &&
	    entry->verdict == THROTTLE_PASS)
		return NULL; /* an exempt recipient */
	return entry->r.reason == THROTTLE_KNOWN ? "recent" : "stranger";
}

static void
on_answer(void *arg, const struct gate_answer *answer)
{
	struct explaining *e = arg;
	const struct gate_txn *txn = e->txn;
	const struct txn_entry *entry =
	    txn->n > 0 ? &txn->entries[txn->n - 1] : NULL;
	bool waits = answer->verdict == THROTTLE_HOLD || answer->observed;

	if (!e->is_at_recipient && answer->verdict == THROTTLE_PASS)
		return;
	e->out.answer = *answer;
	e->out.tier = tier_name(txn, entry);
	if (answer->verdict == THROTTLE_REFUSE || entry == NULL)
		change_refused(e, answer);
	else if (waits)
		change_held(e, entry);
	else
		change_passed(e, entry);
	if (waits && entry != NULL && entry->r.verdict == THROTTLE_HOLD &&
	    entry->r.due_ms != INT64_MAX)
		e->out.due = e->q->wall + (entry->r.due_ms - e->q->now);
	e->out.change = e->change;
	e->fn(e->arg, &e->out);
	e->fn = NULL;
}

static void
ask(struct explaining *e, const struct gate_facts *facts)
{
	const struct gate_question *q = e->q;

	e->txn = gate_begin(e->g, facts, q->now);
	e->txn->has_sender = q->knows_decoys;
	fill(e);
	gate_sender(e->txn, q->now, q->wall, on_answer, e);
	e->is_at_recipient = true;
	if (e->fn != NULL)
		gate_recipient(
		    e->txn, q->recipient, q->now, q->wall, on_answer, e);
	gate_cancel(e->txn, q->now);
}

/* Whose mail it is. */
struct asked {
	struct gate_facts facts;
	char name[GATE_KEY_MAX], key[POLICY_SOURCE_MAX];
	size_t n;
};

static void
find_source(struct gate *g, const struct gate_question *q, struct asked *out)
{
	struct gate_facts names;
	struct source_names text;

	source_resolve(g, q->sender, out->name);
	facts_for(g, str_from(out->name), q, &out->facts);
	names = out->facts;
	(void)source_of(g, &names, &text, out->key, &out->n);
}

static void
explain_now(struct gate *g, const struct gate_question *q,
    gate_explained_fn *fn, void *arg)
{
	struct counters counters = {0};
	struct explaining e = {.q = q, .fn = fn, .arg = arg};
	struct throttle_source *src;
	struct asked asked;

	find_source(g, q, &asked);
	src = source_find(g, (struct str){asked.key, asked.n});
	e.g = copy_new(g, &counters);
	if (src != NULL)
		copy_source(e.g, src, (struct str){asked.key, asked.n}, q->now);
	ask(&e, &asked.facts);
	copy_free(e.g);
}

/* Until whom the sender knows has been read. */
struct explain_op {
	struct recall recall;
	struct gate *g;
	struct gate_question q;
	gate_explained_fn *fn;
	void *arg;
};

static void
op_free(struct recall *r)
{
	struct explain_op *op = CONTAINER_OF(r, struct explain_op, recall);

	free((void *)(uintptr_t)op->q.sender.p);
	free((void *)(uintptr_t)op->q.recipient.p);
	free(op);
}

static void
on_recalled(struct recall *r, bool is_read)
{
	struct explain_op *op = CONTAINER_OF(r, struct explain_op, recall);

	(void)is_read;
	if (op->q.now < op->g->now)
		op->q.now = op->g->now;
	explain_now(op->g, &op->q, op->fn, op->arg);
	op_free(r);
}

void
gate_explain(struct gate *g, const struct gate_question *q,
    gate_explained_fn *fn, void *arg)
{
	struct explain_op *op = xcalloc(1, sizeof(*op));
	struct asked asked;

	g->now = q->now;
	op->recall.fn = on_recalled;
	op->recall.drop = op_free;
	op->g = g;
	op->q = *q;
	op->q.sender.p = str_dup(q->sender);
	op->q.recipient.p = str_dup(q->recipient);
	op->fn = fn;
	op->arg = arg;
	find_source(g, q, &asked);
	recall_begin(g, (struct str){asked.key, asked.n}, q->wall, &op->recall);
}
