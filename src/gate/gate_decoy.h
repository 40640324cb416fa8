/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef GATE_GATE_DECOY_H
#define GATE_GATE_DECOY_H

#include "gate/gate_question.h"

/* It counts as one: there is an envelope sender, not frozen yet. key: the
 * address as it is counted. */
bool decoy_is(const struct gate_txn *txn, struct str address, struct str key);
/* Asked about one: answers. */
void decoy_touch(const struct question *q, uint64_t destination);
/* Any recipient after one that froze the sender: answers as of a new one. */
void decoy_wait(const struct question *q, uint64_t destination);

#endif
