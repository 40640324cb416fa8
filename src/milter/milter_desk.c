/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Takes the threads' questions to the transaction that they are about.
 */
#include "milter/milter_txn_private.h"

#include "os/clock.h"

#include <stdlib.h>

struct milter_peer *
milter_peer_new(void)
{
	return xcalloc(1, sizeof(struct milter_peer));
}

/* ---- questions ---- */

/* Those that wait for an answer. */
static void
take_question(struct milter_txn *t, struct milter_ask *ask)
{
	t->ask = ask;
	switch (ask->verb) {
	case MILTER_RCPT:
		milter_txn_rcpt(t);
		break;
	case MILTER_TEXT:
		milter_store_text(t);
		break;
	case MILTER_END:
		milter_store_end(t);
		break;
	case MILTER_SECURE:
		milter_txn_secure(t);
		break;
	case MILTER_MAIL:
	case MILTER_PASSED:
	case MILTER_TAKEN:
	case MILTER_UNDO:
	case MILTER_DROP:
	case MILTER_CLOSE:
	case MILTER_CAME:
	case MILTER_DENIED:
	case MILTER_FULL:
	case MILTER_MET:
		panic("milter: verb %d is no question", (int)ask->verb);
	}
}

static void
take_word(struct milter_peer *peer, struct milter_ask *ask)
{
	struct milter_txn *t = peer->txn;

	if (ask->verb == MILTER_CLOSE) {
		if (t != NULL)
			milter_txn_drop(t);
		free(peer);
	} else if (t == NULL)
		return;
	else if (ask->verb == MILTER_PASSED)
		milter_txn_passed(t, ask);
	else if (ask->verb == MILTER_TAKEN)
		milter_txn_taken(t, ask);
	else
		milter_txn_drop(t);
}

static void
on_ask(void *arg, struct milter_ask *ask)
{
	struct milter_desk *d = arg;
	struct milter_txn *t;

	if (ask->verb == MILTER_MET) {
		milter_loop_met(d, ask);
		milter_ask_free(ask);
		return;
	}
	if (ask->verb == MILTER_CAME) {
		if (d->parts.listener != NULL)
			counters_add_named(d->parts.counters,
			    NAMED_LISTENER_CONNECTIONS, d->parts.listener, 1);
		milter_ask_free(ask);
		return;
	}
	if (ask->peer == NULL) {
		counters_add(d->parts.counters,
		    ask->verb == MILTER_DENIED ? COUNT_PEERS_REFUSED
					       : COUNT_CONNECTIONS_REFUSED,
		    1);
		if (ask->verb != MILTER_DENIED)
			events_add_option(d->parts.events, clock_wall_ms(),
			    EVENT_LIMIT, "milter_connections_max",
			    "mail server", "",
			    "too many connections to the milter were open");
		milter_ask_free(ask);
		return;
	}
	t = ask->peer->txn;
	if (ask->verb >= MILTER_PASSED) {
		take_word(ask->peer, ask);
		milter_ask_free(ask);
	} else if (ask->verb == MILTER_MAIL) {
		milter_txn_mail(d, ask);
	} else if (t == NULL || t->ask != NULL || t->putting) {
		/* The thread lost patience with an earlier question. */
		ask->code = 451;
		str_copy(STR("4.3.2"), ask->enhanced, sizeof(ask->enhanced));
		str_copy(
		    STR("Try again later"), ask->words, sizeof(ask->words));
		ask->status = MILTER_REFUSED;
		(void)milter_answer(d->port, ask);
	} else {
		take_question(t, ask);
	}
}

void
milter_desk_init(struct milter_desk *d, const struct milter_parts *parts,
    const struct milter_settings *settings)
{
	d->parts = *parts;
	d->settings = *settings;
	d->hostname = xstrdup(settings->hostname);
	d->settings.hostname = d->hostname;
	list_init(&d->txns);
	list_init(&d->settles);
	d->port = milter_port_new(parts->loop, on_ask, d);
}

void
milter_desk_drain(struct milter_desk *d, void (*fn)(void *arg), void *arg)
{
	d->draining = true;
	if (list_is_empty(&d->txns)) {
		fn(arg);
		return;
	}
	d->on_drained = fn;
	d->drained_arg = arg;
}

void
milter_desk_close(struct milter_desk *d)
{
	struct list *e, *next;

	d->on_drained = NULL;
	list_each_safe (e, next, &d->txns) {
		struct milter_txn *t = LIST_ITEM(e, struct milter_txn, entry);

		/* Stored, or nearly: the MTA may be about to hear it. It is
		 * pending, and counts as held at the next start. */
		t->putting = t->stored = false;
		milter_txn_drop(t);
	}
	settle_free_all(&d->settles);
	milter_port_close(d->port);
	free(d->hostname);
	d->hostname = NULL;
}
