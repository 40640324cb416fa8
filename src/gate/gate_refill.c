/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues filled again: after a restart, and in a copy. Recipients of a message
 * stand together in the order of arrival, so that one to many becomes one again
 * for freeze_at, as long as more than burst of it wait.
 */
#include "gate/gate_internal.h"

#include <stdlib.h>

static void
put_back(struct refill *r)
{
	struct throttle *t = r->g->throttle;
	const struct throttle_policy *policy = throttle_source_policy(r->src);
	bool is_blast = !policy->paper && r->n > policy->burst;

	if (is_blast)
		throttle_blast_begin(t, r->src);
	for (size_t i = 0; i < r->n; i++)
		throttle_requeue(
		    t, r->src, r->v[i].destination, r->v[i].ticket, r->g->now);
	if (is_blast)
		throttle_blast_end(t);
	r->n = 0;
}

void
refill_add(struct refill *r, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	/* Without a ticket: put off, one by one. */
	if (r->n > 0 && (src != r->src || ticket == 0 ||
			    SPOOL_ID(ticket) != SPOOL_ID(r->v[0].ticket)))
		put_back(r);
	if (r->n == r->cap) {
		r->cap = r->cap > 0 ? r->cap * 2 : 16;
		r->v = xrealloc(r->v, r->cap * sizeof(*r->v));
	}
	r->src = src;
	r->v[r->n++] = (struct refill_item){destination, ticket};
}

void
refill_end(struct refill *r)
{
	if (r->n > 0)
		put_back(r);
	free(r->v);
}
