/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots of sources that wait for the next commit.
 */
#ifndef SPOOL_SOURCE_H
#define SPOOL_SOURCE_H

#include "spool/core.h"

/* Writer's thread: all that wait as one op, NULL: none. */
struct op *source_take_lazy(struct spool *s);

#endif
