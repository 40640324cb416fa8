/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounces. Many next hops take any recipient and find out later that nobody
 * lives there: only a report tells. Anybody can write one, so it counts only
 * with an ENVID that weir gave (envid.h), for a new recipient that this very
 * message went to (sent.h), once, and never takes the last credit (credit.h).
 * Whoever was written to can at most say that he himself is unknown.
 */
#include "gate/gate_txn.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BOUNCES_MAX 100 /* of one report */

struct bounces {
	struct bounced {
		uint64_t sender, mark, destination;
		char *to;
	} v[BOUNCES_MAX];
	uint32_t n;
};

/* ---- mail that goes on ---- */

static bool
counts(const struct policy *policy)
{
	return policy->credit.credit > 0 && !policy->conf->exempt;
}

static uint64_t
mark_of(const struct gate *g, uint64_t message, uint64_t destination)
{
	uint64_t v[2] = {message, destination};
	uint64_t mark = hash_bytes(v, sizeof(v), g->seed);

	return mark != 0 ? mark : 1;
}

static void
make_envid(const struct gate *g, struct str key, uint64_t message,
    char out[GATE_ENVID_MAX])
{
	const struct signals *s = signals_find(g->signals, key);
	struct envid_key *k = signals_key(g->signals);
	struct envid id = {
	    .sender = s != NULL ? s->tag : envid_sender(k, key),
	    .message = message,
	};

	_Static_assert((int)GATE_ENVID_MAX >= (int)ENVID_TEXT_MAX, "ENVID");
	envid_format(k, &id, out);
}

bool
gate_txn_envid(struct gate_txn *txn, uint64_t message, char out[GATE_ENVID_MAX])
{
	if (!txn->has_sender || !counts(txn->policy))
		return false;
	txn->message = message;
	make_envid(txn->g, txn_key(txn), message, out);
	return true;
}

bool
gate_envid(struct gate *g, const char *source, uint64_t message,
    char out[GATE_ENVID_MAX])
{
	struct str key = str_from(source);

	if (!counts(signal_policy(g, key)))
		return false;
	make_envid(g, key, message, out);
	return true;
}

static void
note_sent(struct gate *g, struct str key, uint64_t message,
    uint64_t destination, int64_t now)
{
	struct signals *s = signals_get(g->signals, key, now);

	if (s == NULL)
		return;
	if (s->sent == NULL)
		s->sent = xcalloc(1, sizeof(*s->sent));
	sent_add(s->sent, mark_of(g, message, destination), now);
	signal_touch(g);
}

void
bounce_note_passed(struct gate_txn *txn, uint64_t destination, int64_t now)
{
	if (txn->message != 0)
		note_sent(txn->g, txn_key(txn), txn->message, destination, now);
}

void
gate_sent(struct gate *g, const char *source, uint64_t message,
    uint64_t destination, int64_t now)
{
	if (!counts(signal_policy(g, str_from(source))))
		return;
	g->now = now;
	note_sent(g, str_from(source), message, destination, now);
	gate_changed(g);
}

/* ---- reports ---- */

bool
gate_txn_hears_bounces(const struct gate_txn *txn)
{
	return !txn->has_sender;
}

void
bounce_free(struct gate_txn *txn)
{
	struct bounces *b = txn->bounces;

	for (uint32_t i = 0; b != NULL && i < b->n; i++)
		free(b->v[i].to);
	free(b);
	txn->bounces = NULL;
}

static void
add(struct gate_txn *txn, const struct bounced *bounced)
{
	struct bounces *b = txn->bounces;

	if (b == NULL)
		b = txn->bounces = xcalloc(1, sizeof(*b));
	if (b->n == BOUNCES_MAX)
		return;
	b->v[b->n] = *bounced;
	b->v[b->n++].to = str_dup(str_from(bounced->to));
}

/* The message went to this recipient. */
static bool
find(struct gate *g, const struct envid *id, struct str address,
    struct bounced *out)
{
	struct signals *s = signals_find_tag(g->signals, id->sender);
	char text[GATE_RECIPIENT_MAX];
	const struct policy *policy;
	struct str key = {.p = text};

	if (s == NULL || s->sent == NULL || address.n == 0)
		return false;
	policy = signal_policy(g, (struct str){s->key, s->key_n});
	key.n = g->recipient_key(address, policy->conf->fold_tags, text);
	if (key.n == 0)
		return false;
	out->sender = id->sender;
	out->destination = hash_str(key, g->seed);
	out->mark = mark_of(g, id->message, out->destination);
	return sent_has(s->sent, out->mark, g->now);
}

static void
ignore(struct gate *g, const struct gate_bounced *bounced)
{
	counters_add(g->counters, COUNT_BOUNCES_IGNORED, 1);
	log_write(g->log, LOG_EV_GATE_BOUNCE_IGNORED, KV(to, bounced->final),
	    KV(envid, bounced->envid));
}

void
gate_txn_hear_bounced(struct gate_txn *txn, const struct gate_bounced *bounced)
{
	struct gate *g = txn->g;
	char status[16], to[GATE_RECIPIENT_MAX];
	struct bounced out = {.to = to};
	struct envid id;

	str_copy(bounced->status, status, sizeof(status));
	if (txn->has_sender || !signal_is_unknown(status) ||
	    !envid_is_ours(bounced->envid))
		return;
	str_copy(bounced->final, to, sizeof(to));
	if (envid_parse(signals_key(g->signals), bounced->envid, &id) &&
	    (find(g, &id, bounced->final, &out) ||
		find(g, &id, bounced->original, &out)))
		add(txn, &out);
	else
		ignore(g, bounced);
}

static void
tell(struct gate *g, struct str key, const struct bounced *b, int64_t wall)
{
	struct throttle_source *src = source_find(g, key);
	char name[GATE_KEY_MAX];
	struct gate_news news = {
	    .type = EVENT_UNKNOWN,
	    .sender = name,
	    .policy = signal_policy(g, key)->conf->name,
	    .address = b->to,
	    .why = "a bounce calls the recipient unknown",
	    .queue_length = src != NULL ? source_queue(g, src) : 0,
	};

	str_copy(key, name, sizeof(name));
	gate_tell(g, wall, &news);
}

static void
count(struct gate *g, const struct bounced *b, int64_t now, int64_t wall)
{
	struct signals *s = signals_find_tag(g->signals, b->sender);
	char name[GATE_KEY_MAX];
	struct str key = {.p = name};

	/* Named twice in one report. */
	if (s == NULL || s->sent == NULL || !sent_take(s->sent, b->mark, now))
		return;
	key.n = str_copy((struct str){s->key, s->key_n}, name, sizeof(name));
	if (!signal_refused(g, key, b->destination, 0, true, now, wall))
		return;
	counters_add(g->counters, COUNT_BOUNCED_RECIPIENTS, 1);
	tell(g, key, b, wall);
}

void
bounce_commit(struct gate_txn *txn, int64_t now, int64_t wall)
{
	const struct bounces *b = txn->bounces;

	for (uint32_t i = 0; b != NULL && i < b->n; i++)
		count(txn->g, &b->v[i], now, wall);
}
