/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections to the next hop are few, and a client holds one from its first
 * recipient to the reply after its text. So whoever only begins messages, or
 * trickles text, could keep them all from others. While somebody has waited in
 * line for next_hop_wait:
 *
 *	- clients that hold a connection and were slower than slow_rate for as
 *	  long are ended with 421, the oldest first, one for each that waits;
 *	- a question about a held recipient is given up: the mail waits anyhow;
 *	- who has waited for answer_timeout, or LINE_MAX_MS, hears 451, before
 *	  it loses patience.
 *
 * Without a line nobody is measured, and a slow client is left alone.
 */
#include "relay/relay_internal.h"

#define TICK_MS 250
/* Clients wait 5 minutes for the reply to RCPT (RFC 5321 4.5.3.2.3). */
#define LINE_MAX_MS 240000
/* A recipient moves a message forward as much as so much text. */
#define RCPT_WORTH 4096

static void
on_tick(void *arg, int64_t now)
{
	relay_relieve(arg, now);
}

void
relay_stress_init(struct relay *r)
{
	loop_timer_init(&r->stress, r->parts.loop, on_tick, r);
}

void
relay_stress_watch(struct relay *r, int64_t now)
{
	if (r->stress.due == INT64_MAX)
		loop_timer_set(&r->stress, now + TICK_MS);
}

static bool
holds_connection(const struct hop_txn *l)
{
	return l->hop != NULL && hop_is_ready(l->hop);
}

/* Where it is the client's turn, and nothing of ours holds it up. */
static bool
is_clients_turn(const struct txn *t)
{
	return (t->state == TXN_ENVELOPE || t->state == TXN_TEXT) &&
	       !t->session->blocked &&
	       (holds_connection(&t->cut) || holds_connection(&t->probe));
}

static bool
is_slow(struct txn *t, int64_t now)
{
	const struct relay_settings *s = t->relay->settings;
	const struct smtp_server *server = t->session->server;
	uint64_t moved = (uint64_t)t->rcpt_count * RCPT_WORTH;
	int64_t elapsed;
	bool slow;

	if (smtp_server_is_in_data(server))
		moved += smtp_server_message_size(server);
	if (t->measured_since == 0) {
		t->measured_since = now;
		t->measured_from = moved;
	}
	elapsed = now - t->measured_since;
	if (elapsed < s->next_hop_wait_ms)
		return false;
	slow =
	    moved - t->measured_from < s->slow_rate * (uint64_t)elapsed / 1000;
	if (!slow) {
		t->measured_since = now;
		t->measured_from = moved;
	}
	return slow;
}

static void
end_slow(struct txn *t, int64_t now)
{
	struct relay *r = t->relay;
	struct smtp_reply bye = smtp_reply_make(421, "4.3.2",
	    "Connection too slow while others are waiting, try again later");

	counters_add(r->parts.counters, COUNT_SLOW_ENDED, 1);
	relay_report_limit(
	    r, RELAY_NEXT_HOP_CONNECTIONS, NULL, &t->client, now);
	session_close(t->session, &bye, now);
}

static bool
is_in_line(const struct txn *t)
{
	return (t->state == TXN_RCPT || t->state == TXN_DATA) &&
	       (t->cut.state == HOP_TXN_CONNECTING ||
		   t->probe.state == HOP_TXN_CONNECTING);
}

static int64_t
line_max(const struct relay_settings *s)
{
	return s->answer_timeout_ms < LINE_MAX_MS ? s->answer_timeout_ms
						  : LINE_MAX_MS;
}

static void
relieve_waiting(struct txn *t, int64_t now)
{
	const struct relay_settings *s = t->relay->settings;
	int64_t waited = now - t->measured_since;

	if (t->measured_since == 0)
		t->measured_since = now;
	else if (t->probe.state == HOP_TXN_CONNECTING &&
		 waited >= s->next_hop_wait_ms)
		hop_txn_give_up(&t->probe, now);
	else if (t->cut.state == HOP_TXN_CONNECTING && waited >= line_max(s))
		hop_txn_give_up(&t->cut, now);
}

void
relay_relieve(struct relay *r, int64_t now)
{
	uint32_t line = nexthop_line(r->parts.nexthop);
	/* Else the next hop is slow to greet, and no client's fault. */
	bool full = nexthop_is_full(r->parts.nexthop);
	struct list *e, *next;

	list_each_safe (e, next, &r->txns) {
		struct txn *t = LIST_ITEM(e, struct txn, entry);

		if (line == 0 || r->settings->next_hop_wait_ms == 0)
			break;
		if (is_in_line(t)) {
			relieve_waiting(t, now);
		} else if (!full || !is_clients_turn(t)) {
			t->measured_since = 0;
		} else if (is_slow(t, now)) {
			end_slow(t, now);
			line--;
		}
	}
	if (!list_is_empty(&r->txns))
		loop_timer_set(&r->stress, now + TICK_MS);
}
