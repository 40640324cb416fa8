/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses that nobody writes to (decoys). Whoever does is frozen, unless
 * incoming mail named the decoy to it; the client hears of neither.
 */
#include "gate/gate_decoy.h"

#include <stdlib.h>

/* As any recipient that waits: the client learns nothing. It queues at the
 * commit, since a frozen source reserves nothing. */
static void
add_waiting(
    const struct question *q, uint64_t destination, enum throttle_reason reason)
{
	struct txn_entry *e = question_add(q->txn, THROTTLE_HOLD);

	e->r = (struct throttle_reservation){.destination = destination,
	    .verdict = THROTTLE_HOLD,
	    .reason = reason,
	    .due_ms = INT64_MAX};
	question_answer(q, THROTTLE_HOLD, "new recipient, must wait");
}

bool
decoy_is(const struct gate_txn *txn, struct str address, struct str key)
{
	const struct policies *set = txn->g->policies;

	return txn->has_sender && !freeze_is_on(txn_source(txn)) &&
	       (policies_is_decoy(set, address) || policies_is_decoy(set, key));
}

static void
tell_decoy(const struct question *q, struct throttle_source *src,
    enum event_type type, const char *why)
{
	struct gate_txn *txn = q->txn;
	char *to = str_dup(q->address);
	struct gate_news news = {
	    .type = type,
	    .sender = txn->key,
	    .policy = txn->policy->conf->name,
	    .address = to,
	    .why = why,
	    .queue_length = source_queue(txn->g, src),
	};

	counters_add(txn->g->counters, COUNT_DECOY_TOUCHES, 1);
	gate_tell(txn->g, q->wall, &news);
	free(to);
}

/* The mail that named it may have gone from the memory of names; who wrote, or
 * stood beside the sender, is among its acquaintances for longer. */
static enum familiar
is_named(const struct question *q, uint64_t destination)
{
	if (naming_has(q->txn, q->address))
		return FAMILIAR_WROTE;
	if (q->txn->policy->met_for_ms == 0)
		return FAMILIAR_NO;
	return familiar_ask(&(struct familiar_later){
	    .txn = q->txn,
	    .destination = destination,
	    .address = q->address,
	    .wall = q->wall,
	    .fn = q->fn,
	    .arg = q->arg,
	    .is_decoy = true,
	});
}

/* Where the disk does not tell, nobody is frozen: nothing new of the sender
 * passes before it does. */
static void
touch(const struct question *q, uint64_t destination, bool is_told)
{
	struct gate_txn *txn = q->txn;
	struct gate *g = txn->g;
	struct throttle_source *src = txn_need_source(txn, q->now);

	if (is_told) {
		tell_decoy(q, src, EVENT_DECOY,
		    "decoy; not frozen: incoming mail named it to the sender");
		question_count(q, src, destination);
	} else if (g->observe) {
		tell_decoy(q, src, EVENT_OBSERVE, "would freeze: decoy");
		question_count(q, src, destination);
	} else if (policies_of_key(g->policies, txn_key(txn)) != NULL) {
		tell_decoy(q, src, EVENT_DECOY,
		    "decoy; not frozen: many share this sender");
		question_count(q, src, destination);
	} else if (throttle_is_spared(src)) {
		tell_decoy(
		    q, src, EVENT_DECOY, "decoy; not frozen: never_freeze");
		/* It and all new ones after it wait their turn. */
		throttle_exhaust(g->throttle, src, q->now);
		add_waiting(q, destination, THROTTLE_QUEUED);
	} else {
		tell_decoy(q, src, EVENT_DECOY, "decoy; sender is frozen");
		txn->is_decoyed = true;
		txn_hold_all(txn, q->now);
		freeze_for(g, src, THROTTLE_FREEZE_DECOY, q->now, q->wall);
		add_waiting(q, destination, THROTTLE_FROZEN);
	}
}

static void
go_on(const struct question *q, uint64_t destination, enum familiar told)
{
	switch (told) {
	case FAMILIAR_LATER:
		break;
	case FAMILIAR_UNREAD:
		question_count(q, txn_need_source(q->txn, q->now), destination);
		break;
	case FAMILIAR_WROTE:
	case FAMILIAR_BESIDE:
		touch(q, destination, true);
		break;
	case FAMILIAR_UNASKED:
	case FAMILIAR_NO:
	case FAMILIAR_INTERNAL:
	case FAMILIAR_REACHED:
	case FAMILIAR_IMPORTED:
		touch(q, destination, false);
		break;
	}
}

void
decoy_touch(const struct question *q, uint64_t destination)
{
	go_on(q, destination, is_named(q, destination));
}

void
decoy_resume(
    const struct familiar_later *later, enum familiar told, int64_t now)
{
	struct question q = question_resumed(later, now);

	go_on(&q, later->destination, told);
}

void
decoy_wait(const struct question *q, uint64_t destination)
{
	add_waiting(q, destination, THROTTLE_FROZEN);
}
