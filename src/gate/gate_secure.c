/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a message spends is on disk before it goes. The source's state is saved
 * with the reservations of all open transactions as spent, and whoever is about
 * to hand the message over waits for the commit, which others share. Only a
 * message that reaches a stranger waits: known recipients spend nothing.
 *
 * A crash after it: the allowance is spent, whether or not the message got out.
 * A message that is refused in the end gives it back in memory, and the state
 * is saved behind; a crash in between costs the sender a stranger, never gives
 * it one.
 */
#include "gate/gate_record.h"
#include "gate/gate_strangers.h"

#include <errno.h>
#include <stdlib.h>

struct gate_secure_op {
	struct list entry;
	struct gate *g;
	struct gate_txn *txn; /* NULL: ended meanwhile */
	int64_t wall;
	gate_answer_fn *fn;
	void *arg;
};

static void
op_free(struct gate_secure_op *op)
{
	list_remove(&op->entry);
	free(op);
}

/* Frozen since, by whatever hand: asked when the disk has answered, so that
 * nothing lies between this and the final dot. */
static void
answer(struct gate_secure_op *op, struct gate_txn *txn)
{
	txn->securing = NULL;
	gate_sender(txn, op->g->now, op->wall, op->fn, op->arg);
}

static void
on_secured(void *arg, int error)
{
	struct gate_secure_op *op = arg;
	struct gate_txn *txn = op->txn;

	if (error != 0)
		gate_tell_error(op->g, "secure",
		    txn != NULL ? gate_txn_source(txn) : "", error);
	if (txn != NULL && error != 0) {
		txn->securing = NULL;
		txn_refuse_unsaved(txn, error == ENOSPC, op->g->now, op->wall,
		    op->fn, op->arg);
	} else if (txn != NULL) {
		answer(op, txn);
	}
	op_free(op);
}

static bool
spends(const struct gate_txn *txn)
{
	if (txn->g->observe)
		return false;
	if (gate_txn_path(txn) == GATE_PATH_NEW)
		return true;
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];

		if (e->is_reserved && e->verdict == THROTTLE_PASS &&
		    e->r.reason != THROTTLE_KNOWN)
			return true;
	}
	return false;
}

void
gate_secure(struct gate_txn *txn, int64_t now, int64_t wall, gate_answer_fn *fn,
    void *arg)
{
	struct gate *g = txn->g;
	struct gate_secure_op *op;

	g->now = now;
	if (txn->src != NULL && !freeze_is_on(txn->src))
		strangers_take(txn, NULL, now);
	if (txn->securing != NULL)
		panic("gate: a transaction is secured twice at once");
	if (!spends(txn) || freeze_is_on(txn->src)) {
		gate_sender(txn, now, wall, fn, arg);
		return;
	}
	record_secure(txn, now);
	op = xcalloc(1, sizeof(*op));
	*op = (struct gate_secure_op){
	    .g = g, .txn = txn, .wall = wall, .fn = fn, .arg = arg};
	list_append(&g->secures, &op->entry);
	txn->securing = op;
	txn->was_secured = true;
	/* One commit for both: the writer takes them in order. */
	gate_scope_save(g, txn->scopes, SCOPES_MAX, now, wall);
	source_secure(g, txn->src, now, wall, on_secured, op);
}

void
secure_forget(struct gate_txn *txn)
{
	if (txn->securing != NULL)
		txn->securing->txn = NULL;
	txn->securing = NULL;
}

void
secure_clear(struct gate *g)
{
	while (!list_is_empty(&g->secures))
		op_free(
		    LIST_ITEM(g->secures.next, struct gate_secure_op, entry));
}
