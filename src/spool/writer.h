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
/* Runs what is queued and writes snapshots; the thread ends. */
void writer_stop(struct writer *w);
/* Closes the database, as the last one to use it: then its log is brought over
 * and goes. */
void writer_free(struct writer *w);

#endif
