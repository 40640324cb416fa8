/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A question of a transaction while it is being answered. gate_recipient.c asks
 * and answers; gate_decoy.c answers some of them.
 */
#ifndef GATE_GATE_QUESTION_H
#define GATE_GATE_QUESTION_H

#include "gate/gate_familiar.h"
#include "gate/gate_scope_shared.h"

struct question {
	struct gate_txn *txn;
	struct str address; /* empty: of the sender */
	int64_t now, wall;
	gate_answer_fn *fn;
	void *arg;
	enum familiar told; /* by the memory of acquaintances */
	uint64_t shared;    /* reserved where it is shared; 0: not */
	bool was_asked;     /* there */
	/* What was said there, here; NULL: nothing. And the signal that it was
	 * said for. */
	const struct throttle_reservation *ruling;
	enum signal signal;
	const struct scope_word *scopes; /* NULL: nobody was asked */
};

/* The one that the memory of acquaintances was asked for, without its answer.
 */
struct question question_resumed(
    const struct familiar_later *later, int64_t now);
/* The entry of the recipient in hand; valid until the next one. */
struct txn_entry *question_add(
    struct gate_txn *txn, enum throttle_verdict verdict);
/* May end the transaction. why: for the call. */
void question_answer(
    const struct question *q, enum throttle_verdict verdict, const char *why);
/* Answers by the throttle, now or when the disk has told. */
void question_count(const struct question *q, struct throttle_source *src,
    uint64_t destination);

#endif
