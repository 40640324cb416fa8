/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the ways in share about mail on its way into the spool: ending the
 * PENDING of a message, until it works, and dates as headers have them. Event
 * loop's thread.
 */
#ifndef FRONT_SETTLE_H
#define FRONT_SETTLE_H

#include "net/loop.h"
#include "spool/spool.h"

/* Keeps or removes the pending message. A failure is logged and tried again:
 * until it works the rows stay pending, which loses nothing, but nobody would
 * send them either. */
void settle_message(struct list *pending, struct loop *loop,
    struct spool *spool, struct log *log, uint64_t id, bool keep);
/* What is left of them in the owner's list, when no completion can come any
 * more. */
void settle_free_all(struct list *pending);

#define SETTLE_DATE_MAX 64
/* RFC 5322 section 3.3. Returns out. */
const char *settle_date(int64_t wall_ms, char out[SETTLE_DATE_MAX]);

#endif
