/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What reports may carry to a reverse path that is foreign and new: headers
 * alone (RET=HDRS), and only of failures. A report of success or of delay would
 * go to a stranger though nothing went wrong.
 */
#ifndef FRONT_FOREIGN_PATH_H
#define FRONT_FOREIGN_PATH_H

#include "gate/gate.h"

/* enum smtp_ret for such a path, else as it came. */
unsigned foreign_path_ret(const struct gate_txn *gate, unsigned ret);
/* Bits of enum smtp_notify. SUCCESS is taken out; NEVER if nothing remains.
 * While the message waits for its path, a notice of that delay would reach it
 * first: DELAY is taken out as well. */
unsigned foreign_path_notify(const struct gate_txn *gate, unsigned notify);

#endif
