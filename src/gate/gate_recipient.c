/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The questions of a transaction: may this sender send, may this recipient be
 * reached. The throttle decides.
 *
 * In observe mode the throttle runs as ever, but a hold passes, waits in the
 * queue under ticket 0, and is let go by the schedule without a trace.
 */
#include "gate/gate_decoy.h"
#include "gate/gate_familiar.h"
#include "gate/gate_history.h"
#include "gate/gate_load.h"
#include "gate/gate_path.h"
#include "gate/gate_record.h"
#include "gate/gate_shared.h"
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* A held recipient that is named again costs a second place in the queue and
 * in the spool. */
#define TWINS_MAX 32

#define UNLOADED "held mail of the sender cannot be read from the spool"

struct txn_entry *
question_add(struct gate_txn *txn, enum throttle_verdict verdict)
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
	e->site = txn->site;
	txn->can_drop = true;
	return e;
}

/* ---- mail that comes in ---- */

void
gate_next_stays(struct gate_txn *txn, bool stays)
{
	txn->next_stays = stays;
}

bool
txn_is_incoming(const struct gate_txn *txn, struct str address)
{
	const struct locals *locals = txn->g->locals;

	if (!txn->is_outside)
		return false;
	if (locals != NULL && locals_has(locals, address))
		return true;
	return !locals_has_domains(locals) && txn->next_stays;
}

/* All of it, as far as it is known. */
static bool
may_come_in(const struct gate_txn *txn)
{
	if (!txn->is_outside ||
	    (!txn->has_routes && !locals_has_domains(txn->g->locals)))
		return false;
	for (uint32_t i = 0; i < txn->n; i++) {
		if (!txn->entries[i].is_incoming)
			return false;
	}
	return true;
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

/* What a command has handed in would be handed in again until the thaw, and
 * then go, though its sender's queue was discarded. */
bool
txn_holds_when_frozen(const struct gate_txn *txn)
{
	int when = txn->policy->conf->when_frozen;

	return when == POLICY_FROZEN_HOLD ||
	       (when == POLICY_FROZEN_TEMPFAIL && txn->by_command);
}

void
txn_reserve(const struct gate_txn *txn, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out)
{
	struct throttle *t = txn->g->throttle;

	if (txn_holds_when_frozen(txn))
		throttle_reserve_held(t, src, destination, now, out);
	else
		throttle_reserve(t, src, destination, now, out);
}

void
gate_sender(struct gate_txn *txn, int64_t now, int64_t wall, gate_answer_fn *fn,
    void *arg)
{
	struct question q = {
	    .txn = txn, .now = now, .wall = wall, .fn = fn, .arg = arg};
	struct throttle_source *src;

	txn->g->now = now;
	txn->can_drop = false;
	signal_note_network(txn, now, wall);
	src = txn_source(txn);
	if (!txn->is_outside)
		reached_want(txn->g, txn->policy, txn_key(txn), now, wall);
	if (path_is_refused(txn) && txn->g->observe)
		question_observed(&q, "sender address not owned by the login");
	else if (path_is_refused(txn))
		question_refuse_path(&q);
	else if (txn->is_short)
		question_refuse(&q, 452, "4.5.3",
		    "no room for some of the recipients, so the message is "
		    "refused for all of them; try again later",
		    NULL); /* told of that recipient */
	else if (!freeze_is_on(src) || txn->is_decoyed || may_come_in(txn) ||
		 (txn_holds_when_frozen(txn) && all_wait(txn)))
		question_answer(&q, THROTTLE_PASS, "sender may send");
	else if (txn->g->observe)
		question_observed(&q, "sender is frozen");
	else
		question_refuse_frozen(&q, src);
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
	static const char why[] = "duplicate recipient in this message";
	struct gate_txn *txn = q->txn;
	enum throttle_verdict verdict = txn->entries[first].verdict;
	bool observed = txn->entries[first].is_observed;
	uint64_t destination = txn->entries[first].r.destination;
	struct txn_entry *e;

	if (verdict == THROTTLE_HOLD && txn->twins >= TWINS_MAX) {
		question_refuse(q, 452, "4.5.3",
		    "duplicate recipient, given too many times", NULL);
		return;
	}
	if (verdict == THROTTLE_HOLD)
		txn->twins++;
	e = question_add(txn, verdict);
	e->twin_of = first;
	e->is_incoming = txn->entries[first].is_incoming;
	e->is_familiar = txn->entries[first].is_familiar;
	e->r.destination = destination;
	if (observed)
		question_observed(q, why);
	else
		question_answer(q, verdict, why);
}

static void
add_exempt(const struct question *q, uint64_t destination, const char *why)
{
	struct txn_entry *e = question_add(q->txn, THROTTLE_PASS);

	e->r.destination = destination;
	question_answer(q, THROTTLE_PASS, why);
}

static void
add_incoming(const struct question *q, uint64_t destination)
{
	struct txn_entry *e;

	naming_add(q->txn, q->address);
	e = question_add(q->txn, THROTTLE_PASS);

	e->r.destination = destination;
	e->is_incoming = true;
	question_answer(q, THROTTLE_PASS, "incoming mail is not counted");
}

/* In observe mode, without a place in the queue that cannot be read. */
static void
add_unloaded(const struct question *q, uint64_t destination)
{
	struct txn_entry *e = question_add(q->txn, THROTTLE_PASS);

	e->r.destination = destination;
	question_observed(q, UNLOADED);
}

static struct txn_entry *
add_reserved(struct gate_txn *txn, struct throttle_source *src,
    const struct throttle_reservation *r, enum throttle_verdict verdict)
{
	struct txn_entry *e = question_add(txn, verdict);

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
    const struct throttle_reservation *r, bool is_familiar, const char *why,
    enum signal signal)
{
	struct gate_txn *txn = q->txn;
	struct gate *g = txn->g;
	struct txn_entry *e;

	if (r->verdict == THROTTLE_HOLD && r->reason != THROTTLE_FROZEN) {
		e = add_reserved(txn, src, r, THROTTLE_PASS);
		e->is_familiar = is_familiar;
	} else {
		throttle_cancel(is_familiar ? g->familiar : g->throttle,
		    is_familiar ? tier_of(src) : src, r, q->now);
		e = question_add(txn, THROTTLE_PASS);
		e->r = *r;
	}
	e->is_observed = true;
	e->signal = (uint8_t)signal;
	question_observed(q, why);
}

/* Of one recipient, and by it of the message: half of one is never taken. */
void
question_refuse_no_room(const struct question *q, const char *why)
{
	q->txn->is_short = true;
	question_refuse(q, 452, "4.5.3", why, "queue_max");
}

/* A bounce or a vacation reply, to the sender of a message that came in lately.
 * It is not learnt: whoever it goes to may have been forged. */
static bool
is_reply(const struct gate_txn *txn, const struct throttle_reservation *r)
{
	return r->reason != THROTTLE_KNOWN && r->reason != THROTTLE_FROZEN &&
	       str_eq(txn_key(txn), STR("<>")) &&
	       answers_take(txn->g->answers, r->destination, txn->g->now);
}

static void
add_reply(const struct question *q, struct throttle_source *src,
    const struct throttle_reservation *r)
{
	struct txn_entry *e = question_add(q->txn, THROTTLE_PASS);

	throttle_cancel(q->txn->g->throttle, src, r, q->now);
	e->r.destination = r->destination;
	e->is_reply = true;
	question_answer(
	    q, THROTTLE_PASS, "recipient wrote to the sender recently");
}

static void
refuse_by_throttle(const struct question *q, struct throttle_source *src,
    const struct throttle_reservation *r, const char *why)
{
	/* A refusal takes nothing; the cancel is for the record. */
	throttle_cancel(q->txn->g->throttle, src, r, q->now);
	if (r->reason == THROTTLE_FROZEN)
		question_refuse_frozen(q, src);
	else
		question_refuse_no_room(q, why);
}

/* Behind others that wait for a scope, when the sender itself has allowance
 * left: the scope is why. */
static void
blame_scope(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r, char why[WORDS_MAX])
{
	struct throttle_source_info info;
	struct scope_info full;
	uint32_t mask;

	throttle_source_info(q->txn->g->throttle, src, q->now, &info);
	if (q->txn->scopes == NULL || info.allowance == 0)
		return;
	if (scope_reserve(
		q->txn->scopes, r->destination, q->now, &mask, &full)) {
		scope_cancel(q->txn->scopes, mask);
		return;
	}
	r->reason = THROTTLE_BARRED;
	words_scope(&full, q->now, why);
}

/* A place in the scopes, where others have said whether there is one in those
 * that are shared. */
static bool
has_place(const struct question *q, uint64_t destination, uint32_t *scoped,
    struct scope_info *full)
{
	struct scope_pins *pins = q->txn->scopes;
	uint32_t given = q->scopes != NULL ? scope_shared_mask(pins) : 0;

	if (!scope_reserve_given(
		pins, given, destination, q->now, scoped, full))
		return false;
	if (q->scopes == NULL || q->scopes->is_free)
		return true;
	scope_cancel(pins, *scoped);
	*scoped = 0;
	*full = q->scopes->full;
	return false;
}

/* A stranger that the sender itself might reach now. */
static void
bar_by_scope(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r, uint32_t *scoped, char why[WORDS_MAX])
{
	struct gate *g = q->txn->g;
	struct scope_info full;

	if (r->verdict == THROTTLE_HOLD && r->reason == THROTTLE_QUEUED)
		blame_scope(q, src, r, why);
	if (r->verdict != THROTTLE_PASS || r->reason != THROTTLE_NEW)
		return;
	if (has_place(q, r->destination, scoped, &full)) {
		gate_scope_touch(g);
		return;
	}
	throttle_bar(g->throttle, src, r, full.open_at, q->now);
	if (r->verdict == THROTTLE_HOLD)
		words_scope(&full, q->now, why);
	else
		words_why(g, src, r, q->now, why);
}

/* A stranger that might pass waits its turn, and takes what is left of the
 * allowance with it. */
static enum signal
hold_for_signal(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r, char why[WORDS_MAX])
{
	struct gate_txn *txn = q->txn;
	struct gate *g = txn->g;
	enum signal signal = SIGNAL_NONE;

	if (q->ruling != NULL) { /* by one who has done all that */
		if (r->verdict == THROTTLE_HOLD && r->reason == THROTTLE_QUEUED)
			signal = q->signal;
		if (signal != SIGNAL_NONE)
			signal_words(txn, signal, r, q->now, why);
		return signal;
	}
	if (r->reason == THROTTLE_NEW || r->reason == THROTTLE_QUEUED)
		signal = signal_of(txn);
	if (signal == SIGNAL_NONE || throttle_source_policy(src)->paper)
		return SIGNAL_NONE;
	throttle_cancel(g->throttle, src, r, q->now);
	throttle_exhaust(g->throttle, src, q->now);
	txn_reserve(txn, src, r->destination, q->now, r);
	if (r->verdict != THROTTLE_HOLD) {
		words_why(g, src, r, q->now, why);
		return SIGNAL_NONE;
	}
	signal_words(txn, signal, r, q->now, why);
	return signal;
}

/* The same by stranger_messages. */
static bool
bar_by_strangers(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r, char why[WORDS_MAX])
{
	struct gate *g = q->txn->g;
	int64_t open_at;

	if (r->verdict != THROTTLE_PASS || r->reason != THROTTLE_NEW ||
	    !strangers_bar(q->txn, src, r->destination, q->now, &open_at))
		return false;
	throttle_bar(g->throttle, src, r, open_at, q->now);
	if (r->verdict == THROTTLE_HOLD)
		strangers_words_full(src, q->now, why);
	else
		words_why(g, src, r, q->now, why);
	return r->verdict == THROTTLE_HOLD;
}

void
question_add_new(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r)
{
	struct gate *g = q->txn->g;
	char why[WORDS_MAX];
	uint64_t reserved = q->scopes != NULL ? q->scopes->reservation : 0;
	uint32_t scoped = 0;
	enum signal signal;
	bool is_over;

	if (!q->was_asked && question_ask_shared(q, src, r))
		return;
	words_why(g, src, r, q->now, why);
	signal = hold_for_signal(q, src, r, why);
	is_over = bar_by_strangers(q, src, r, why);
	bar_by_scope(q, src, r, &scoped, why);
	if (scoped == 0)
		shared_give_up_scopes(q->txn, reserved);
	if (r->verdict == THROTTLE_PASS) {
		struct txn_entry *e =
		    add_reserved(q->txn, src, r, THROTTLE_PASS);

		e->scoped = scoped;
		e->scoped_as = scoped != 0 ? reserved : 0;
		e->shared = q->shared;
		question_answer(q, THROTTLE_PASS, why);
	} else if (g->observe) {
		add_observed(q, src, r, false, why, signal);
	} else if (r->verdict == THROTTLE_HOLD) {
		struct txn_entry *e =
		    add_reserved(q->txn, src, r, THROTTLE_HOLD);

		e->signal = (uint8_t)signal;
		e->is_over = is_over;
		e->shared = q->shared;
		question_answer(q, THROTTLE_HOLD, why);
	} else {
		shared_give_up(q->txn, SHARE_NEW, q->shared, q->now);
		refuse_by_throttle(q, src, r, why);
	}
}

/* ---- familiar recipients ---- */

bool
question_may_be_familiar(
    const struct question *q, const struct throttle_reservation *r)
{
	return q->txn->policy->has_familiar && r->reason != THROTTLE_KNOWN &&
	       (r->reason != THROTTLE_FROZEN || r->verdict != THROTTLE_REFUSE);
}

bool
question_add_familiar(const struct question *q, struct throttle_source *src,
    const struct throttle_reservation *among_new, enum familiar told)
{
	struct gate_txn *txn = q->txn;
	struct gate *g = txn->g;
	struct throttle_source *lane = tier_get(g, src, q->now);
	struct throttle_reservation r;
	char why[WORDS_MAX];

	if (txn_holds_when_frozen(txn))
		throttle_reserve_held(
		    g->familiar, lane, among_new->destination, q->now, &r);
	else
		throttle_reserve(
		    g->familiar, lane, among_new->destination, q->now, &r);
	if (!q->was_asked && r.reason != THROTTLE_KNOWN &&
	    r.reason != THROTTLE_FROZEN && shared_rules(g, src)) {
		throttle_cancel(g->familiar, lane, &r, q->now);
		throttle_cancel(g->throttle, src, among_new, q->now);
		question_ask_shared_familiar(q, src, r.destination, told);
		return true;
	}
	if (q->ruling != NULL)
		throttle_rule(g->familiar, lane, &r, q->ruling);
	if (r.verdict == THROTTLE_HOLD && path_is_held(txn)) {
		throttle_cancel(g->familiar, lane, &r, q->now);
		shared_give_up(txn, SHARE_FAMILIAR, q->shared, q->now);
		return false;
	}
	throttle_cancel(g->throttle, src, among_new, q->now);
	words_familiar(g, src, &r, familiar_words(told), q->now, why);
	if (r.verdict == THROTTLE_PASS) {
		struct txn_entry *e = add_reserved(txn, src, &r, THROTTLE_PASS);

		e->is_familiar = true;
		e->is_answer = told == FAMILIAR_WROTE;
		e->shared = q->shared;
		question_answer(q, THROTTLE_PASS, why);
	} else if (g->observe) {
		add_observed(q, src, &r, true, why, SIGNAL_NONE);
	} else if (r.verdict == THROTTLE_HOLD) {
		struct txn_entry *e = add_reserved(txn, src, &r, THROTTLE_HOLD);

		e->is_familiar = true;
		e->shared = q->shared;
		question_answer(q, THROTTLE_HOLD, why);
	} else if (r.reason == THROTTLE_FROZEN) { /* somebody else froze it */
		question_refuse_frozen(q, src);
	} else {
		question_refuse_no_room(q, why);
	}
	return true;
}

static enum familiar
ask_memory(const struct question *q, uint64_t destination)
{
	if (q->told != FAMILIAR_UNASKED)
		return q->told;
	if (q->txn->policy->familiar_for_ms > 0 &&
	    locals_is_internal(q->txn->g->locals, q->address))
		return FAMILIAR_INTERNAL;
	return familiar_ask(&(struct familiar_later){
	    .txn = q->txn,
	    .destination = destination,
	    .address = q->address,
	    .wall = q->wall,
	    .fn = q->fn,
	    .arg = q->arg,
	});
}

/* To take somebody for a stranger whom the sender knows would cost it
 * allowance, and count for a freeze. */
static void
add_unread(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r)
{
	if (q->txn->g->observe || q->txn->g->is_dry) {
		question_add_new(q, src, r);
		return;
	}
	throttle_cancel(q->txn->g->throttle, src, r, q->now);
	question_refuse(q, 451, "4.3.0",
	    "the sender's known recipients cannot be read from the spool, try "
	    "again later",
	    NULL);
}

void
question_count(
    const struct question *q, struct throttle_source *src, uint64_t destination)
{
	struct throttle_reservation r;
	enum familiar told = FAMILIAR_NO;

	txn_reserve(q->txn, src, destination, q->now, &r);
	if (is_reply(q->txn, &r)) {
		add_reply(q, src, &r);
		return;
	}
	if (question_may_be_familiar(q, &r))
		told = ask_memory(q, destination);
	switch (told) {
	case FAMILIAR_INTERNAL:
	case FAMILIAR_REACHED:
	case FAMILIAR_IMPORTED:
	case FAMILIAR_WROTE:
	case FAMILIAR_BESIDE:
		if (question_add_familiar(q, src, &r, told))
			break;
		__attribute__((fallthrough));
	case FAMILIAR_UNASKED:
	case FAMILIAR_NO:
		question_add_new(q, src, &r);
		break;
	case FAMILIAR_UNREAD:
		add_unread(q, src, &r);
		break;
	case FAMILIAR_LATER:
		throttle_cancel(q->txn->g->throttle, src, &r, q->now);
		break;
	}
}

struct question
question_resumed(const struct familiar_later *later, int64_t now)
{
	return (struct question){
	    .txn = later->txn,
	    .address = later->address,
	    .now = now,
	    .wall = later->wall,
	    .fn = later->fn,
	    .arg = later->arg,
	};
}

/* Much may have happened meanwhile: the throttle is asked anew. */
void
recipient_resume(
    const struct familiar_later *later, enum familiar told, int64_t now)
{
	struct question q = question_resumed(later, now);

	q.told = told;
	question_count(&q, txn_need_source(q.txn, now), later->destination);
}

/* ---- the start ---- */

/* A recipient that waits for the queue of its source, or for that of the one
 * which it might have to share. */
struct load_later {
	struct load_wait wait;
	bool is_last; /* of the two */
	struct gate_txn *txn;
	struct str address;
	int64_t wall;
	gate_answer_fn *fn;
	void *arg;
};

void
loading_drop(struct gate_txn *txn)
{
	struct load_later *later = txn->loading;

	if (later == NULL)
		return;
	txn->loading = NULL;
	load_unawait(&later->wait);
	free((void *)(uintptr_t)later->address.p);
	free(later);
}

static void
refuse_unloaded(const struct load_later *later)
{
	struct question q = {
	    .txn = later->txn,
	    .address = later->address,
	    .now = later->txn->g->now,
	    .wall = later->wall,
	    .fn = later->fn,
	    .arg = later->arg,
	};

	question_refuse(&q, 451, "4.3.0", UNLOADED ", try again later", NULL);
}

/* The answer may end the transaction. In observe mode nothing is refused for
 * what is not known of its sender. */
static void
on_loaded(struct load_wait *wait, int error)
{
	struct load_later *later = CONTAINER_OF(wait, struct load_later, wait);
	struct gate_txn *txn = later->txn;

	if (error == 0 && !later->is_last) {
		later->is_last = true;
		if (load_await(txn->g, POLICY_KEY_OVERFLOW, wait))
			return;
	}
	txn->loading = NULL;
	txn->is_loaded = error == 0;
	txn->is_unread = error != 0 && txn->g->observe;
	if (error == 0 || txn->is_unread)
		gate_recipient(txn, later->address, txn->g->now, later->wall,
		    later->fn, later->arg);
	else
		refuse_unloaded(later);
	free((void *)(uintptr_t)later->address.p);
	free(later);
}

static bool
waits_for_queue(struct gate_txn *txn, struct str address, int64_t wall,
    gate_answer_fn *fn, void *arg)
{
	struct load_later *later;

	if (txn->is_unread)
		return false;
	if (txn->is_loaded || !gate_is_loading(txn->g)) {
		txn->is_loaded = true;
		return false;
	}
	later = xcalloc(1, sizeof(*later));
	later->wait.fn = on_loaded;
	later->txn = txn;
	later->wall = wall;
	later->fn = fn;
	later->arg = arg;
	later->is_last = !load_await(txn->g, txn_key(txn), &later->wait);
	if (later->is_last &&
	    !load_await(txn->g, POLICY_KEY_OVERFLOW, &later->wait)) {
		free(later);
		txn->is_loaded = true;
		return false;
	}
	later->address.n = address.n;
	later->address.p = str_dup(address);
	txn->loading = later;
	txn->can_drop = false;
	return true;
}

/* ---- all of them ---- */

static bool
is_exempt(const struct gate_txn *txn, struct throttle_source *src,
    struct str address, struct str key)
{
	return !freeze_is_on(src) &&
	       (policy_exempts_recipient(txn->policy, address) ||
		   policy_exempts_recipient(txn->policy, key));
}

/* In its lane: known to the throttle there, it is not asked about. */
static bool
is_asked_about(struct gate_txn *txn, struct throttle_source *src,
    struct str address, int64_t now, int64_t wall, struct foreseen *f)
{
	struct gate *g = txn->g;
	struct throttle_source *lane;
	struct throttle_reservation r;
	enum familiar told = FAMILIAR_NO;

	txn_reserve(txn, src, f->destination, now, &r);
	throttle_cancel(g->throttle, src, &r, now);
	if (question_is_settled_here(src, &r))
		return false;
	f->lane = SHARE_NEW;
	if (!question_may_be_familiar(&(struct question){.txn = txn}, &r))
		return true;
	if (txn->policy->familiar_for_ms > 0 &&
	    locals_is_internal(g->locals, address))
		told = FAMILIAR_INTERNAL;
	else
		told = familiar_look(txn, f->destination, f->site, wall);
	if (told == FAMILIAR_NO)
		return true;
	if (told == FAMILIAR_LATER || told == FAMILIAR_UNREAD)
		return false;
	f->lane = SHARE_FAMILIAR;
	lane = tier_get(g, src, now);
	throttle_reserve(g->familiar, lane, f->destination, now, &r);
	throttle_cancel(g->familiar, lane, &r, now);
	return r.reason != THROTTLE_KNOWN && r.reason != THROTTLE_FROZEN;
}

bool
recipient_foresee(struct gate_txn *txn, struct str address, int64_t now,
    int64_t wall, struct foreseen *out)
{
	struct gate *g = txn->g;
	struct throttle_source *src = txn_source(txn);
	char text[GATE_RECIPIENT_MAX];
	struct str key = {text,
	    g->recipient_key(address, txn->policy->conf->fold_tags, text)};

	if (key.n == 0 || src == NULL || txn->is_decoyed || txn->is_exempt ||
	    (!txn->is_loaded && gate_is_loading(g)) ||
	    txn_is_incoming(txn, address) || decoy_is(txn, address, key) ||
	    is_exempt(txn, src, address, key))
		return false;
	out->destination = hash_str(key, g->seed);
	out->site = g->share_ops->destination(g->share_arg, key);
	return find_twin(txn, out->destination) == NO_TWIN &&
	       is_asked_about(txn, src, address, now, wall, out);
}

/* Its destination; key.n 0: it is no address. */
static uint64_t
name_it(
    const struct question *q, char text[GATE_RECIPIENT_MAX], struct str *key)
{
	struct gate *g = q->txn->g;
	bool fold = q->txn->policy->conf->fold_tags;

	*key = (struct str){text, g->recipient_key(q->address, fold, text)};
	if (key->n > 0 && g->share_ops != NULL)
		q->txn->site = g->share_ops->destination(g->share_arg, *key);
	return key->n > 0 ? hash_str(*key, g->seed) : 0;
}

static void
decide(const struct question *q, struct str key, uint64_t destination,
    bool incoming)
{
	struct gate_txn *txn = q->txn;
	uint32_t twin = find_twin(txn, destination);

	if (twin != NO_TWIN)
		add_twin(q, twin);
	else if (incoming)
		add_incoming(q, destination);
	else if (txn->is_unread)
		add_unloaded(q, destination);
	else if (txn->is_decoyed)
		decoy_wait(q, destination);
	else if (decoy_is(txn, q->address, key))
		decoy_touch(q, destination);
	else if (txn->is_exempt)
		add_exempt(q, destination, "policy is exempt");
	else if (is_exempt(txn, txn_source(txn), q->address, key))
		add_exempt(q, destination, "recipient is exempt");
	else
		question_count(q, txn_need_source(txn, q->now), destination);
}

/* What is decided without its source waits for no queue. */
static bool
needs_queue(const struct gate_txn *txn, struct str address, struct str key,
    bool incoming)
{
	if (key.n == 0 || incoming)
		return false;
	return !txn->is_exempt || txn->is_decoyed ||
	       decoy_is(txn, address, key);
}

void
recipient_go_on(const struct question *q)
{
	char text[GATE_RECIPIENT_MAX];
	struct str key;
	uint64_t destination = name_it(q, text, &key);

	decide(q, key, destination, false);
}

void
gate_recipient(struct gate_txn *txn, struct str address, int64_t now,
    int64_t wall, gate_answer_fn *fn, void *arg)
{
	struct question q = {
	    .txn = txn,
	    .address = address,
	    .now = now,
	    .wall = wall,
	    .fn = fn,
	    .arg = arg,
	};
	char text[GATE_RECIPIENT_MAX], why[WORDS_MAX];
	bool incoming = txn_is_incoming(txn, address);
	uint64_t destination;
	struct str key;

	txn->g->now = now;
	/* All that is no address would be one destination. Fronts have parsed
	 * it before: this is the last door. */
	destination = name_it(&q, text, &key);
	if (needs_queue(txn, address, key, incoming) &&
	    waits_for_queue(txn, address, wall, fn, arg))
		return;
	txn->did_stay = txn->next_stays;
	txn->next_stays = false;
	if (key.n == 0) {
		question_refuse_syntax(&q);
		return;
	}
	if (txn->observation != NULL)
		observation_add(txn->observation, txn->n, address);
	txn_history_ask(txn, address);
	if (txn->n >= SPOOL_RCPT_MAX) {
		question_refuse(&q, 452, "4.5.3",
		    "too many recipients in one message", NULL);
		return;
	}
	switch (incoming || txn->is_unread ? PATH_ASKED : path_ask(&q, why)) {
	case PATH_ASKED:
		decide(&q, key, destination, incoming);
		break;
	case PATH_FULL:
		question_refuse_no_room(&q, why);
		break;
	case PATH_ALONE:
		(void)question_refuse_alone(&q, txn_source(txn), false);
		break;
	case PATH_LATER:
		break;
	}
}
