/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that only reads, with a connection of its own.
 */
#ifndef SPOOL_READER_H
#define SPOOL_READER_H

#include "spool/core.h"

MUST_CHECK int reader_start(struct spool *s); /* 0 or errno */
void reader_put(struct reader *r, struct op *op);
void reader_stop(struct reader *r);

#endif
