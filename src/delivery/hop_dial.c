/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many connections to the next hop may be opened at once, and how many may
 * belong to sessions.
 */
#include "delivery/nexthop_private.h"

#define DIAL_MIN 5
#define DIAL_LATE_MS 1000
#define DIAL_MOST 50 /* where connections_max sets no bound */

static uint32_t
dial_most(const struct nexthop *n)
{
	uint32_t max = n->settings.connections_max;

	if (max == 0)
		return DIAL_MOST;
	return max / 4 > DIAL_MIN ? max / 4 : DIAL_MIN;
}

/* Few at first, more where many have answered. A server whose backlog
 * is short (OpenSMTPD's is 5) loses what comes faster than it accepts: behind
 * SYN cookies the connection looks open from here, and no greeting comes. Who
 * has waited for a while is in no backlog any more: the server has lost it, or
 * pauses before it greets. Such ones keep nobody from dialing, until they are a
 * quarter of all that may be open. */
bool
hop_may_dial(const struct nexthop *n)
{
	uint32_t answered = n->open_count - n->dialing_count;
	uint32_t young = n->dialing_count - n->late_count;

	if (n->dialing_count >= dial_most(n))
		return n->dialing_count < answered / 4;
	return young < DIAL_MIN || young < answered / 4;
}

/* A quarter is never a session's own, so that sessions that idle cannot stop
 * all delivery. */
bool
nexthop_is_private_full(const struct nexthop *n)
{
	uint32_t max = n->settings.connections_max;

	return max > 0 && n->private_count >= max - max / 4;
}

void
hop_note_late(struct nexthop *n, int64_t now)
{
	struct list *entry;

	list_each (entry, &n->hops[HOP_DIALING]) {
		struct hop *h = LIST_ITEM(entry, struct hop, entry);

		if (h->late || now - h->ch->opened_at < DIAL_LATE_MS)
			continue;
		h->late = true;
		n->late_count++;
	}
	hop_serve_line(n, now);
}
