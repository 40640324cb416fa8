/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What became of a transaction's recipients, told to those who share them in
 * one go when it ends.
 */
#include "gate/gate_path.h"
#include "gate/gate_shared_source.h"

#include <stdlib.h>
#include <string.h>

static void
note(struct gate_txn *txn, enum share_lane lane, const struct share_step *step)
{
	struct share_step **steps = &txn->told[lane].steps;
	size_t *n = &txn->told[lane].n;

	*steps = xrealloc(*steps, (*n + 1) * sizeof(**steps));
	(*steps)[(*n)++] = *step;
}

static void
note_entry(struct gate_txn *txn, enum share_lane lane, enum share_what what,
    const struct txn_entry *e, uint64_t ticket)
{
	/* A path is in the queue under its own name. */
	bool is_path = ticket != 0 && ticket != e->r.destination;

	note(txn, lane,
	    &(struct share_step){.what = what,
		.destination = is_path ? path_site(txn) : e->site,
		.reservation = e->shared,
		.ticket = ticket});
}

bool
shared_is_reserved(const struct shared_asked *asked)
{
	return asked->ruling.verdict == THROTTLE_HOLD ||
	       (asked->ruling.verdict == THROTTLE_PASS &&
		   asked->ruling.reason != THROTTLE_KNOWN);
}

void
shared_note_given_back(struct gate_txn *txn, const struct txn_entry *e)
{
	if (e->shared != 0)
		note_entry(txn, e->is_familiar ? SHARE_FAMILIAR : SHARE_NEW,
		    SHARE_CANCEL, e, 0);
}

static void
note_passed(struct gate_txn *txn, const struct txn_entry *e)
{
	enum share_lane lane = e->is_familiar ? SHARE_FAMILIAR : SHARE_NEW;

	if (e->r.reason == THROTTLE_KNOWN && e->shared == 0) {
		shared_touch(txn->g, txn->src, e->site);
		return;
	}
	if (e->shared == 0)
		shared_note_untold(txn->g, txn->src, lane);
	/* Nobody was asked for it there, but all know it from now on. */
	if (e->shared == 0)
		lane = SHARE_NEW;
	note_entry(txn, lane, SHARE_PASSED, e, 0);
}

void
shared_note_entry(struct gate_txn *txn, const struct txn_entry *e,
    uint64_t ticket, uint64_t as)
{
	if (txn->g->share_ops == NULL)
		return;
	if (e->verdict == THROTTLE_PASS && e->is_reserved) {
		note_passed(txn, e);
	} else if (e->verdict == THROTTLE_PASS ||
		   (!e->is_reserved && ticket == 0)) {
		return;
	} else if (e->is_familiar) {
		note_entry(txn, SHARE_FAMILIAR,
		    e->is_reserved ? SHARE_QUEUE : SHARE_APPEND, e,
		    e->r.destination);
	} else if (e->is_reserved && as == e->r.destination) {
		note_entry(txn, SHARE_NEW,
		    e->r.reason == THROTTLE_BARRED ? SHARE_BARRED : SHARE_QUEUE,
		    e, as);
	} else {
		if (e->is_reserved)
			shared_note_given_back(txn, e);
		note_entry(txn, SHARE_NEW, SHARE_APPEND, e, as);
	}
}

void
shared_note_path(struct gate_txn *txn, enum share_what what, uint64_t site,
    uint64_t reservation, uint64_t ticket)
{
	if (txn->g->share_ops != NULL)
		note(txn, SHARE_NEW,
		    &(struct share_step){.what = what,
			.destination = site,
			.reservation = reservation,
			.ticket = ticket});
}

void
shared_note_delivered(struct gate_txn *txn)
{
	if (txn->g->share_ops != NULL)
		note(txn, SHARE_NEW,
		    &(struct share_step){.what = SHARE_DELIVERED});
}

static void
note_scope(struct gate_txn *txn, enum share_scope_what what, uint64_t id)
{
	txn->scope_steps = xrealloc(txn->scope_steps,
	    (txn->scope_steps_n + 1) * sizeof(*txn->scope_steps));
	txn->scope_steps[txn->scope_steps_n++] =
	    (struct share_scope_step){what, id};
}

void
shared_note_scope(
    struct gate_txn *txn, const struct txn_entry *e, enum share_scope_what what)
{
	if (e->scoped_as != 0)
		note_scope(txn, what, e->scoped_as);
	else if (what == SHARE_SCOPE_COMMIT)
		scope_note_untold(txn->g, txn->scopes, e->scoped);
}

void
shared_give_up_scopes(struct gate_txn *txn, uint64_t reservation)
{
	struct share_scope_step step = {SHARE_SCOPE_CANCEL, reservation};

	if (reservation == 0)
		return;
	shared_ahead_revise(txn);
	scope_tell(txn->g, txn->scopes, &step, 1);
}

void
shared_note_blast(struct gate_txn *txn, bool begins)
{
	if (txn->g->share_ops != NULL && txn->strangers > 0)
		note(txn, SHARE_NEW,
		    &(struct share_step){
			.what = begins ? SHARE_BLAST_BEGIN : SHARE_BLAST_END});
}

void
shared_note_unused(struct gate_txn *txn, enum share_lane lane,
    const struct shared_asked *asked)
{
	if (!asked->is_ruled || shared_is_reserved(asked))
		note(txn, lane,
		    &(struct share_step){.what = SHARE_CANCEL,
			.destination = asked->site,
			.reservation = asked->reservation});
	if (asked->has_word && asked->word.reservation != 0)
		note_scope(txn, SHARE_SCOPE_CANCEL, asked->word.reservation);
}

struct share_step *
shared_take_told(struct gate_txn *txn, enum share_lane lane, size_t *n)
{
	struct share_step *steps = txn->told[lane].steps;

	*n = txn->told[lane].n;
	txn->told[lane].steps = NULL;
	txn->told[lane].n = 0;
	return steps;
}

static void
tell_some(struct gate_txn *txn, enum share_lane lane, size_t from, size_t n,
    int64_t now)
{
	struct gate_shared_ask *ask =
	    shared_ask_new(txn->g, txn->key, lane, txn->g->wall);

	ask->steps = xcalloc(n, sizeof(*ask->steps));
	memcpy(
	    ask->steps, txn->told[lane].steps + from, n * sizeof(*ask->steps));
	ask->steps_n = n;
	shared_ask_send(ask, now);
}

static void
tell_lane(struct gate_txn *txn, enum share_lane lane, int64_t now)
{
	size_t all = txn->told[lane].n;
	struct throttle_source *src =
	    all > 0 ? source_find(txn->g, txn_key(txn)) : NULL;

	for (size_t i = 0; src != NULL && shared_rules(txn->g, src) && i < all;
	     i += SHARE_STEPS_MAX) {
		size_t n = all - i;

		tell_some(txn, lane, i,
		    n < SHARE_STEPS_MAX ? n : SHARE_STEPS_MAX, now);
	}
	free(txn->told[lane].steps);
	txn->told[lane].steps = NULL;
	txn->told[lane].n = 0;
}

void
shared_tell(struct gate_txn *txn, int64_t now)
{
	for (unsigned lane = 0; lane < SHARE_LANES; lane++)
		tell_lane(txn, (enum share_lane)lane, now);
	scope_tell(txn->g, txn->scopes, txn->scope_steps, txn->scope_steps_n);
	free(txn->scope_steps);
	txn->scope_steps = NULL;
	txn->scope_steps_n = 0;
}

void
shared_give_up(struct gate_txn *txn, enum share_lane lane, uint64_t reservation,
    int64_t now)
{
	if (reservation == 0)
		return;
	shared_ahead_revise(txn);
	note(txn, lane,
	    &(struct share_step){.what = SHARE_CANCEL,
		.destination = txn->site,
		.reservation = reservation});
	shared_tell(txn, now);
}
