/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate was asked and what it answered, to the millisecond of its own
 * clock and in its order, as lines of the log at debug: weir-replay verify
 * plays them again and compares each verdict. Nothing is written at another
 * level.
 */
#ifndef GATE_GATE_RECORD_H
#define GATE_GATE_RECORD_H

#include "gate/gate_txn.h"

void record_begin(
    const struct gate_txn *txn, const struct gate_facts *facts, int64_t now);
/* address empty: of the sender. */
void record_verdict(const struct gate_txn *txn, struct str address,
    enum throttle_verdict verdict, int64_t now);
/* It is secured; the answer waits for the disk. */
void record_secure(const struct gate_txn *txn, int64_t now);
#define RECORD_NO_ROOM "room"

/* The last recipient is none; code 0: no reply of the next hop, but for what
 * enhanced says. */
void record_drop(const struct gate_txn *txn, unsigned code,
    const char *enhanced, int64_t now);
/* how: commit, cancel, doubt, defer. */
void record_end(const struct gate_txn *txn, const char *how, int64_t now);

#endif
