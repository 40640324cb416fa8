/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one thread that changes the database, with group commit.
 */
#ifndef SPOOL_WRITER_H
#define SPOOL_WRITER_H

#include "spool/core.h"

/* Takes over db, which has been opened and tuned. 0 or errno. */
MUST_CHECK int writer_start(struct spool *s, struct db *db);
void writer_put(struct writer *w, struct op *op);
/* Runs what is queued, writes snapshots, closes the database. */
void writer_stop(struct writer *w);

#endif
