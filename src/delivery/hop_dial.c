/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many connections to the next hop may be opened at once, how many may be
 * open, and how many may belong to sessions.
 *
 * A next hop that answers a new connection with 421 while others work takes no
 * more from one client (Postfix's smtpd_client_connection_count_limit, Exim's
 * smtp_accept_max_per_host). So many as work are the limit then; every
 * GROW_MS twice as many may be tried. It may count one that we have just
 * closed: so a new one after such a 421 comes after a pause. Where none works
 * yet and others are being opened, it is in doubt until one of those works, or
 * all have failed.
 */
#include "delivery/nexthop_private.h"

#define DIAL_MIN 5
#define DIAL_LATE_MS 1000
#define DIAL_MOST 50 /* where connections_max sets no bound */
#define GROW_MS 30000
#define PAUSE_MS 250
#define CLOSED_MS 5000 /* the next hop may still count it */

/* 0: no bound. */
static uint32_t
open_most(const struct nexthop *n)
{
	uint32_t max = n->settings.connections_max;

	return n->limit > 0 && (max == 0 || n->limit < max) ? n->limit : max;
}

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

	if (loop_now(n->loop) < n->dial_after)
		return false;
	if (n->dialing_count >= dial_most(n))
		return n->dialing_count < answered / 4;
	return young < DIAL_MIN || young < answered / 4;
}

bool
nexthop_is_full(const struct nexthop *n)
{
	uint32_t max = open_most(n);

	return max > 0 && n->open_count >= max;
}

/* A quarter is never a session's own, so that sessions that idle cannot stop
 * all delivery. */
bool
nexthop_is_private_full(const struct nexthop *n)
{
	uint32_t max = open_most(n);
	uint32_t kept = max / 4;

	if (kept == 0 && n->limit > 0 && max > 1)
		kept = 1;
	return max > 0 && n->private_count >= max - kept;
}

static void
set_limit(struct nexthop *n, uint32_t limit, int64_t now)
{
	if (n->limit == 0)
		log_write(n->log, LOG_EV_NEXT_HOP_LIMIT, KV(connections, limit),
		    KV(for_ms, GROW_MS));
	n->limit = limit;
	n->limit_grows = now + GROW_MS;
}

static uint32_t
count_ready(const struct nexthop *n)
{
	return n->open_count - n->dialing_count;
}

bool
hop_learn_limit(struct hop *h, int64_t now)
{
	struct nexthop *n = h->n;
	uint32_t ready = count_ready(n) - (h->state == HOP_READY);
	uint32_t dialing = n->dialing_count - (h->state == HOP_DIALING);
	bool closed = now - n->closed_at < CLOSED_MS;

	if (ready == 0 && dialing == 0 && !closed)
		return false;
	h->doubted = ready == 0 && !closed;
	n->has_doubt = n->has_doubt || h->doubted;
	if (!h->doubted)
		set_limit(n, ready > 0 ? ready : 1, now);
	n->dial_after = now + PAUSE_MS;
	return true;
}

void
hop_end_doubt(struct nexthop *n, int64_t now)
{
	uint32_t ready = count_ready(n);
	struct list *entry, *next;

	if (n->limit > 0 && ready > n->limit)
		n->limit = ready; /* it takes more than it seemed */
	if (!n->has_doubt || (ready == 0 && n->dialing_count > 0))
		return;
	n->has_doubt = false;
	list_each_safe (entry, next, &n->hops[HOP_WAITING]) {
		struct hop *h = LIST_ITEM(entry, struct hop, entry);

		if (h->doubted && ready == 0)
			hop_set_state(h, HOP_FAILED);
		else if (h->doubted && n->limit == 0)
			set_limit(n, ready, now);
		h->doubted = false;
	}
}

/* From the sweep. */
static void
grow_limit(struct nexthop *n, int64_t now)
{
	if (n->limit == 0 || now < n->limit_grows)
		return;
	n->limit_grows = now + GROW_MS;
	n->limit = n->limit < UINT32_MAX / 2 ? 2 * n->limit : 0;
	if (n->settings.connections_max > 0 &&
	    n->limit >= n->settings.connections_max)
		n->limit = 0;
}

void
hop_run_dials(struct nexthop *n, int64_t now)
{
	struct list *entry;

	list_each (entry, &n->hops[HOP_DIALING]) {
		struct hop *h = LIST_ITEM(entry, struct hop, entry);

		if (h->late || now - h->ch->opened_at < DIAL_LATE_MS)
			continue;
		h->late = true;
		n->late_count++;
	}
	grow_limit(n, now);
	hop_serve_line(n, now);
}
