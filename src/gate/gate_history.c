/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail that was taken or put off goes into the history, with the addresses and
 * what each recipient was to its sender. Mail that comes in does not, nor what
 * was refused before it had recipients: a frozen sender's.
 */
#include "gate/gate_history.h"

#include "base/hash.h"
#include "gate/history.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX (SPOOL_RCPT_MAX * (GATE_RECIPIENT_MAX + 3))

struct txn_history {
	struct history_mail mail; /* its slices point into texts */
	struct buf addresses;     /* one behind another */
	uint32_t *ends;           /* of each address, by its entry */
	uint32_t cap;
	char texts[];
};

static struct str
keep(char **to, struct str s)
{
	struct str kept = {*to, s.n};

	if (s.n > 0)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return kept;
}

void
txn_history_begin(struct gate_txn *txn, const struct gate_facts *facts)
{
	struct txn_history *h;
	char *to;

	if (txn->g->history == NULL || !history_is_kept(txn->g->history))
		return;
	h = xcalloc(
	    1, sizeof(*h) + facts->user.n + facts->sender.n + facts->helo.n);
	to = h->texts;
	h->mail.user = keep(&to, facts->user);
	h->mail.sender = keep(&to, facts->sender);
	h->mail.helo = keep(&to, facts->helo);
	h->mail.client = facts->client;
	h->mail.local = facts->local;
	h->mail.by_command = facts->by_command;
	h->mail.front_end = facts->front_end;
	buf_init(&h->addresses, ADDRESSES_MAX);
	txn->history = h;
}

void
txn_history_ask(struct gate_txn *txn, struct str address)
{
	struct txn_history *h = txn->history;
	size_t before;

	if (h == NULL || txn->n >= SPOOL_RCPT_MAX)
		return;
	if (txn->n >= h->cap) {
		h->cap = h->cap == 0 ? INLINE_ENTRIES : h->cap * 2;
		h->ends = xrealloc(h->ends, h->cap * sizeof(*h->ends));
	}
	before = txn->n > 0 ? h->ends[txn->n - 1] : 0;
	h->addresses.len = before;
	(void)!buf_append_str(&h->addresses, address);
	h->ends[txn->n] = (uint32_t)h->addresses.len;
}

static unsigned
flags_of(const struct txn_entry *e)
{
	unsigned flags = 0;

	if (e->verdict == THROTTLE_HOLD || e->is_observed)
		flags |= HISTORY_WAITED;
	if (e->is_reply || e->is_familiar ||
	    (e->is_reserved && e->r.reason == THROTTLE_KNOWN))
		flags |= HISTORY_KNOWN;
	else if (!e->is_reserved && flags == 0)
		flags |= HISTORY_EXEMPT;
	return flags;
}

void
txn_history_end(struct gate_txn *txn, bool was_put_off, int64_t wall)
{
	struct txn_history *h = txn->history;
	struct buf notes;
	uint32_t begin = 0;

	if (h == NULL)
		return;
	buf_init(&notes, ADDRESSES_MAX);
	for (uint32_t i = 0; i < txn->n; i++) {
		const struct txn_entry *e = &txn->entries[i];
		struct str address = {
		    buf_str(&h->addresses).p + begin, h->ends[i] - begin};

		begin = h->ends[i];
		if (!e->is_incoming && e->twin_of == NO_TWIN)
			history_note(&notes,
			    flags_of(e) | (was_put_off ? HISTORY_PUT_OFF : 0),
			    address);
	}
	h->mail.at = wall;
	h->mail.source = txn_key(txn);
	h->mail.policy = str_from(txn->policy->conf->name);
	h->mail.recipients = buf_str(&notes);
	history_add(txn->g->history, &h->mail);
	buf_clear(&notes);
}

void
txn_history_free(struct gate_txn *txn)
{
	struct txn_history *h = txn->history;

	if (h == NULL)
		return;
	buf_clear(&h->addresses);
	free(h->ends);
	free(h);
}

void
gate_assume_known(struct gate *g, const struct gate_facts *given,
    struct str recipient, int64_t now, int64_t wall)
{
	struct gate_facts facts = *given;
	struct source_names names;
	char key[POLICY_SOURCE_MAX], text[GATE_RECIPIENT_MAX];
	size_t n;
	const struct policy *policy = source_of(g, &facts, &names, key, &n);
	struct throttle_source *src =
	    source_get(g, (struct str){key, n}, policy, now, true);
	struct str to = {
	    text, g->recipient_key(recipient, policy->conf->fold_tags, text)};

	uint64_t destination = hash_str(to, g->seed);

	g->now = now;
	if (src == NULL || to.n == 0)
		return;
	throttle_learn(g->throttle, src, destination, now);
	reached_note(g, policy, (struct str){key, n}, destination, 0, wall);
}
