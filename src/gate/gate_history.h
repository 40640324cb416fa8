/* SPDX-License-Identifier: BSD-3-Clause */
/* What a transaction leaves behind in the history. */
#ifndef GATE_GATE_HISTORY_H
#define GATE_GATE_HISTORY_H

#include "gate/gate_txn.h"

/* Where a history is kept. given: as the front end gave them; facts: with the
 * names that all spellings count under. */
void txn_history_begin(struct gate_txn *txn, const struct gate_facts *facts);
/* The recipient that is asked about: it becomes the next entry, or none. */
void txn_history_ask(struct gate_txn *txn, struct str address);
/* The message was taken, or put off. */
void txn_history_end(struct gate_txn *txn, bool was_put_off, int64_t wall);
void txn_history_free(struct gate_txn *txn);

#endif
