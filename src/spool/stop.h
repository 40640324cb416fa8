/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A freeze reaches what was let go: of a frozen source nothing is claimed.
 * Writer's thread, within a transaction.
 */
#ifndef SPOOL_STOP_H
#define SPOOL_STOP_H

#include "spool/core.h"

/* What is RELEASED of the source becomes STOPPED, what is SENDING STOPPING. */
void stop_source(struct tx *tx, const char *source);
/* Back, and due at wall_ms at the latest. */
void stop_end(struct tx *tx, const char *source, int64_t wall_ms);
/* The schedule has just released some of this message: it is stopped where its
 * source is frozen. */
void stop_late(struct tx *tx, uint64_t id, bool quarantined);

#endif
