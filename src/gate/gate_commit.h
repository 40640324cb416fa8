/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gate_commit_news.c for gate_commit.c, before an entry is committed and after.
 */
#ifndef GATE_GATE_COMMIT_H
#define GATE_GATE_COMMIT_H

#include "gate/gate_txn.h"

/* Each recipient is in one of the series. */
void commit_count(struct gate_txn *txn, const struct txn_entry *e, int64_t now);
/* A line for one that waits, or would. ticket: of its mail; 0: none. src NULL:
 * nothing. wall in ms. */
void commit_tell(struct gate_txn *txn, const struct txn_entry *e,
    uint64_t ticket, struct throttle_source *src, int64_t now, int64_t wall);

#endif
