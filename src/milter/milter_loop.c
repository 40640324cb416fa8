/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail that weir sent and that loops back: the next hop, or a content filter
 * behind it, passes it to a listener with this milter. It was counted when it
 * first arrived, and would be held for ever. It is recognized by its
 * connection, which is one of weir's own, or by its trace: the id of a message,
 * and recipients to which weir sent that message. A Received line alone proves
 * nothing, since anybody can write one. A client that has logged in is never
 * weir.
 */
#include "milter/milter_txn_private.h"

#include "delivery/handed.h"

#include <stdlib.h>

#define REPORT_EVERY_MS 60000

bool
milter_loop_by_connection(
    const struct milter_desk *d, const struct milter_ask *ask)
{
	const struct nexthop *hops[] = {d->parts.nexthop, d->parts.rest_hop};

	for (size_t i = 0; i < ARRAY_LEN(hops) && ask->user == NULL; i++) {
		if (hops[i] != NULL &&
		    nexthop_is_from(hops[i], &ask->client, ask->client_port))
			return true;
	}
	return false;
}

void
milter_loop_met(struct milter_desk *d, const struct milter_ask *ask)
{
	if (!milter_loop_by_connection(d, ask))
		return;
	log_write(d->parts.log, LOG_EV_MILTER_OWN_CONNECTION,
	    KV(error, "next_hop leads to a listener with this milter, so "
		      "released mail comes back to it: set "
		      "receive_override_options=no_milters on that listener, "
		      "or choose another next_hop"));
}

void
milter_loop_report(struct milter_desk *d, const struct milter_txn *t)
{
	int64_t now = loop_now(d->parts.loop);

	counters_add(d->parts.counters, COUNT_OWN_MAIL, 1);
	if (d->own_reported != 0 && now < d->own_reported + REPORT_EVERY_MS)
		return;
	d->own_reported = now;
	log_write(d->parts.log, LOG_EV_MILTER_OWN_MAIL, KV(from, t->from),
	    KV(error, "mail that weir released came back to this milter, and "
		      "passes: set receive_override_options=no_milters on the "
		      "listener to which next_hop or a content filter passes "
		      "it"));
}

static bool
all_were_handed(const struct milter_txn *t, struct handed *handed, uint64_t id)
{
	for (size_t i = 0; i < t->rcpt_count; i++) {
		if (!handed_has(handed, id, str_from(t->rcpts[i].address)))
			return false;
	}
	return true;
}

bool
milter_loop_by_trace(struct milter_txn *t, uint64_t trace_id)
{
	struct milter_parts *p = &t->desk->parts;
	struct handed *handed =
	    p->delivery != NULL ? delivery_handed(p->delivery) : NULL;

	if (trace_id == 0 || handed == NULL || t->user != NULL ||
	    !all_were_handed(t, handed, trace_id))
		return false;
	for (size_t i = 0; i < t->rcpt_count; i++) {
		(void)handed_take(
		    handed, trace_id, str_from(t->rcpts[i].address));
		t->rcpts[i].held = false;
	}
	t->held_count = 0;
	spool_stake_clear(p->spool, &t->stake);
	if (t->body != NULL)
		spool_body_abort(t->body);
	t->body = NULL;
	t->is_loop = true;
	gate_cancel(t->gate, milter_txn_now(t));
	t->gate = NULL;
	milter_loop_report(t->desk, t);
	return true;
}
