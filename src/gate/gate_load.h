/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The start: queues that are read back behind the listeners (gate_load.c). For
 * the gate's own modules.
 */
#ifndef GATE_GATE_LOAD_H
#define GATE_GATE_LOAD_H

#include "gate/gate_internal.h"

/* Somebody waits for a source's queue. Embedded; zeroed but for fn. */
struct load_wait {
	struct list entry; /* private */
	/* Once, from the loop. error: errno of the disk; it is tried again, and
	 * the queue is not there. */
	void (*fn)(struct load_wait *wait, int error);
};

/* False: the source may decide now, and fn does not come. Before anything is
 * reserved or shown of a source; it need not be in memory. */
MUST_CHECK bool load_await(
    struct gate *g, struct str key, struct load_wait *wait);
/* fn does not come any more. Harmless when it has come, or was never to. */
void load_unawait(struct load_wait *wait);

/* The source's queue may still be read; of what is made while that goes on. And
 * the opposite, where it is known that there is nothing more of it. */
void load_flag(struct gate *g, struct throttle_source *src);
void load_unflag(struct gate *g, struct throttle_source *src);
void load_forget(struct gate *g, const struct gate_source *data);

/* Of gate_run. */
int64_t load_next_due(const struct gate *g);
void load_retry(struct gate *g, int64_t now);
void load_run(struct gate *g);
void load_clear(struct gate *g); /* at gate_free */

#endif
