/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The row of whom a source knows, read for an administrator's question: what it
 * says is then in memory as long as the callback runs. So is the source's
 * queue.
 */
#ifndef GATE_GATE_RECALL_H
#define GATE_GATE_RECALL_H

#include "gate/gate_load.h"

struct recall {
	struct list entry; /* of g->recalls */
	struct acquaintance_question question;
	struct load_wait wait;
	/* At once, or from the loop, once. is_read: it is there; else the disk
	 * does not give it, or nothing is remembered. The recall is the
	 * callee's. */
	void (*fn)(struct recall *r, bool is_read);
	/* At gate_free: fn does not come. */
	void (*drop)(struct recall *r);
	char key[GATE_KEY_MAX]; /* whose row it is, for fn */
	/* Private. */
	struct gate *g;
	char *name; /* as a person typed it; NULL: the key is given */
	unsigned guess;
};

/* r: heap, zeroed but for fn and drop. In a part of another struct. */
void recall_begin(
    struct gate *g, struct str source, int64_t wall, struct recall *r);
/* The same of a name that a person typed: the row of the sender that has one,
 * among those that it may stand for. */
void recall_begin_name(
    struct gate *g, struct str name, int64_t wall, struct recall *r);
/* The keys that a name may stand for, by likelihood: i from 0 until false. */
bool recall_guess(
    const struct gate *g, struct str name, unsigned i, char out[GATE_KEY_MAX]);
void recall_clear(struct gate *g); /* at gate_free */

#endif
