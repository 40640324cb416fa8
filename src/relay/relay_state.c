/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The states of a session, a transaction and a hop transaction, and which may
 * follow which; those of a login and of a private connection stand in their own
 * files. An illegal move is a bug of ours, and panics before it does harm.
 */
#include "relay/relay_internal.h"

#define BIT(state) (1u << (state))

static const char *const session_names[] = {
    [SESSION_NEW] = "new",
    [SESSION_PROXY] = "proxy",
    [SESSION_TLS_FIRST] = "tls-first",
    [SESSION_SILENT] = "silent",
    [SESSION_OPEN] = "open",
    [SESSION_STARTTLS] = "starttls",
    [SESSION_SHAKING] = "shaking",
    [SESSION_ENDED] = "ended",
};

static const uint16_t session_may_follow[] = {
    [SESSION_NEW] = 0,
    [SESSION_PROXY] = BIT(SESSION_NEW),
    [SESSION_TLS_FIRST] = BIT(SESSION_NEW) | BIT(SESSION_PROXY),
    [SESSION_SILENT] =
	BIT(SESSION_NEW) | BIT(SESSION_PROXY) | BIT(SESSION_TLS_FIRST),
    [SESSION_OPEN] = BIT(SESSION_NEW) | BIT(SESSION_PROXY) |
		     BIT(SESSION_TLS_FIRST) | BIT(SESSION_SILENT) |
		     BIT(SESSION_SHAKING),
    [SESSION_STARTTLS] = BIT(SESSION_OPEN),
    [SESSION_SHAKING] = BIT(SESSION_STARTTLS),
    [SESSION_ENDED] = BIT(SESSION_ENDED) - 1,
};

static const char *const txn_names[] = {
    [TXN_NEW] = "new",
    [TXN_MAIL] = "mail",
    [TXN_ENVELOPE] = "envelope",
    [TXN_RCPT] = "rcpt",
    [TXN_DATA] = "data",
    [TXN_TEXT] = "text",
    [TXN_END] = "end",
    [TXN_LEFT] = "left",
    [TXN_LATE] = "late",
    [TXN_OVER] = "over",
};

static const uint16_t txn_may_follow[] = {
    [TXN_NEW] = 0,
    [TXN_MAIL] = BIT(TXN_NEW),
    [TXN_ENVELOPE] = BIT(TXN_MAIL) | BIT(TXN_RCPT) | BIT(TXN_DATA),
    [TXN_RCPT] = BIT(TXN_ENVELOPE),
    [TXN_DATA] = BIT(TXN_ENVELOPE),
    [TXN_TEXT] = BIT(TXN_DATA),
    [TXN_END] = BIT(TXN_TEXT),
    [TXN_LEFT] = BIT(TXN_END),
    [TXN_LATE] = BIT(TXN_END),
    [TXN_OVER] = BIT(TXN_OVER) - 1,
};

static const char *const hop_txn_names[] = {
    [HOP_TXN_NONE] = "none",
    [HOP_TXN_CONNECTING] = "connecting",
    [HOP_TXN_OPEN] = "open",
    [HOP_TXN_DATA] = "data",
    [HOP_TXN_BODY] = "body",
    [HOP_TXN_END] = "end",
    [HOP_TXN_DEAD] = "dead",
};

static const uint16_t hop_txn_may_follow[] = {
    [HOP_TXN_NONE] = 0,
    /* Once more, on another connection. */
    [HOP_TXN_CONNECTING] =
	BIT(HOP_TXN_NONE) | BIT(HOP_TXN_OPEN) | BIT(HOP_TXN_DATA),
    [HOP_TXN_OPEN] = BIT(HOP_TXN_CONNECTING) | BIT(HOP_TXN_DATA),
    [HOP_TXN_DATA] = BIT(HOP_TXN_OPEN),
    [HOP_TXN_BODY] = BIT(HOP_TXN_OPEN) | BIT(HOP_TXN_DATA),
    [HOP_TXN_END] = BIT(HOP_TXN_BODY),
    [HOP_TXN_DEAD] = BIT(HOP_TXN_DEAD) - 1,
};

static const struct relay_states session_states = {
    "session", session_names, session_may_follow};
static const struct relay_states txn_states = {
    "transaction", txn_names, txn_may_follow};
static const struct relay_states cut_states = {
    "cut-through", hop_txn_names, hop_txn_may_follow};
static const struct relay_states probe_states = {
    "probe", hop_txn_names, hop_txn_may_follow};

void
relay_whose(const struct session *s, const struct txn *t, struct tap_who *out)
{
	if (s != NULL) {
		struct str user = session_user(s);

		out->client = &s->client;
		if (user.n > 0)
			out->sender = user.p;
	}
	if (t == NULL)
		return;
	out->client = &t->client;
	out->from = t->from;
	(void)spool_id_format(t->id, out->id);
	if (t->gate != NULL)
		out->sender = gate_txn_source(t->gate);
}

void
relay_move(const struct relay_states *states, const struct relay *r,
    const struct session *s, const struct txn *t, unsigned from, unsigned to)
{
	struct tap *tap = log_tap(r->parts.log);
	char ip[IP_TEXT_MAX] = "", id[SPOOL_ID_TEXT] = "";

	if ((states->may_follow[to] & BIT(from)) == 0)
		panic("relay: %s from %s to %s", states->part,
		    states->names[from], states->names[to]);
	if (tap_is_on(tap)) {
		struct tap_who who = {0};

		relay_whose(s, t, &who);
		tap_print(tap, &who, TAP_STATE, "%s: %s to %s", states->part,
		    states->names[from], states->names[to]);
	}
	if (!log_is_on(r->parts.log, LOG_LEVEL_DEBUG))
		return;
	if (t != NULL || s != NULL)
		ip_format(t != NULL ? &t->client : &s->client, ip);
	log_write(r->parts.log, LOG_EV_SMTP_STATE, KV(client, ip),
	    KV(id, t != NULL ? spool_id_format(t->id, id) : ""),
	    KV(part, states->part), KV(old, states->names[from]),
	    KV(new, states->names[to]));
}

void
session_set_state(struct session *s, enum session_state state)
{
	relay_move(&session_states, s->relay, s, NULL, s->state, state);
	s->state = state;
}

bool
session_is_greeted(const struct session *s)
{
	return s->state == SESSION_OPEN || s->state == SESSION_STARTTLS ||
	       s->state == SESSION_SHAKING;
}

void
txn_set_state(struct txn *t, enum txn_state state)
{
	relay_move(&txn_states, t->relay, t->session, t, t->state, state);
	t->state = state;
}

void
hop_txn_set_state(struct hop_txn *l, enum hop_txn_state state)
{
	const struct txn *t = l->txn;

	relay_move(l->is_probe ? &probe_states : &cut_states, t->relay,
	    t->session, t, l->state, state);
	l->state = state;
}
