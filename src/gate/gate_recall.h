/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The row of whom a source knows, read for an administrator's question: what it
 * says is then in memory as long as the callback runs.
 */
#ifndef GATE_GATE_RECALL_H
#define GATE_GATE_RECALL_H

#include "gate/gate_internal.h"

struct recall {
	struct list entry; /* of g->recalls */
	struct acquaintance_question question;
	/* At once, or from the loop, once. is_read: it is there; else the disk
	 * does not give it, or nothing is remembered. The recall is the
	 * callee's. */
	void (*fn)(struct recall *r, bool is_read);
	/* At gate_free: fn does not come. */
	void (*drop)(struct recall *r);
};

/* r: heap, zeroed but for fn and drop. In a part of another struct. */
void recall_begin(
    struct gate *g, struct str source, int64_t wall, struct recall *r);
void recall_clear(struct gate *g); /* at gate_free */

#endif
