/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A transaction from inside: gate_txn.c begins and ends it, gate_recipient.c
 * asks. Its source is looked up by key while nothing is reserved, and is pinned
 * by the first reservation, so that a client which only says MAIL costs no
 * entry in the table.
 */
#ifndef GATE_GATE_TXN_H
#define GATE_GATE_TXN_H

#include "gate/gate_internal.h"

#define INLINE_ENTRIES 2
#define NO_TWIN UINT32_MAX

struct txn_entry {
	struct throttle_reservation r;
	uint32_t twin_of; /* index of the first with this destination */
	bool is_reserved;
	bool is_observed;
	bool is_answer;  /* to somebody who wrote: not reserved, learnt */
	uint8_t verdict; /* as it was answered */
};

struct gate_txn {
	struct gate *g;
	const struct policy *policy;
	struct txn_path *path;           /* of gate_path.c; NULL: it is free */
	struct throttle_source *src;     /* while reserved > 0 */
	struct gate_lesson *lesson;      /* NULL: nobody learns from it */
	struct gate_secure_op *securing; /* NULL: nothing is on its way */
	struct txn_entry *entries;
	uint32_t n, cap;
	uint32_t reserved;
	uint32_t twins;
	bool is_exempt;
	bool made;        /* its source was made by it */
	bool was_secured; /* what is given back has to be saved */
	bool can_drop;    /* the last entry was the last answer */
	struct txn_entry first[INLINE_ENTRIES];
	size_t key_n;
	char key[];
};

static inline struct str
txn_key(const struct gate_txn *txn)
{
	return (struct str){txn->key, txn->key_n};
}

/* NULL: it has none (yet). */
static inline struct throttle_source *
txn_source(const struct gate_txn *txn)
{
	return txn->src != NULL ? txn->src : source_find(txn->g, txn_key(txn));
}

/* gate_txn.c: its source, made where it is missing. When the table is full and
 * nobody may go, the transaction counts from here on for the one that new
 * senders share. */
struct throttle_source *txn_need_source(struct gate_txn *txn, int64_t now);
/* gate_recipient.c: what the transaction spends could not be saved. */
void txn_refuse_unsaved(struct gate_txn *txn, bool full, int64_t now,
    int64_t wall, gate_answer_fn *fn, void *arg);
/* gate_secure.c */
void secure_forget(struct gate_txn *txn); /* it ends */

#endif
