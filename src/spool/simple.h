/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A callback with an error alone: what many ops end with.
 */
#ifndef SPOOL_SIMPLE_H
#define SPOOL_SIMPLE_H

#include "spool/core.h"

struct simple_op {
	struct op op;
	spool_done_fn *fn;
	void *arg;
};

bool simple_finish(struct spool *s, struct op *op, bool muted);

/* An audit row as part of another op's transaction. */
struct spool_audit *audit_copy(
    struct arena *mem, const struct spool_audit *audit);
void audit_insert(struct tx *tx, const struct spool_audit *audit);

#endif
