/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Learning in passing. A lesson is one incoming message: who it is from, and
 * for which of our users. It is learnt when the message has been accepted, and
 * only by users whose mail got through; what the mail server refuses, what weir
 * holds and what has no sender teaches nothing.
 *
 * When is mail incoming? Without a login, from an address outside of
 * local_domains, to one in it. The client's address tells nothing more: whoever
 * could forge mail from within could as well send it in from outside. So what a
 * thief of an account gains by writing to it is bounded by inbound_rate.
 *
 * Nothing waits for this, no source is made by it, none thaws.
 */
#include "base/hash.h"
#include "base/mailbox.h"
#include "gate/gate_txn.h"

#include <stdlib.h>
#include <string.h>

#define LESSON_MAX 1000 /* users that one message teaches */
#define FULL_TOLD_EVERY_MS 60000

struct lesson_item {
	uint32_t recipient;
	uint64_t destination;
	struct inbound_rules rules;
	char *user; /* source's key */
};

struct gate_lesson {
	struct gate *g;
	char *from;
	struct inbound_origin origin;
	struct lesson_item *items;
	uint32_t n, cap;
	uint32_t recipient; /* the one in hand */
};

/* ---- who teaches ---- */

/* Addresses that nobody reads, so that nobody answers to them. The '=' is in
 * those that are made for one message (VERP, SRS, BATV): each would be new. */
static bool
is_machine(struct str from)
{
	static const struct str begins[] = {STR("mailer-daemon"),
	    STR("noreply"), STR("no-reply"), STR("donotreply"),
	    STR("do-not-reply"), STR("bounce"), STR("owner-")};
	static const struct str ends[] = {STR("-bounces"), STR("-bounce"),
	    STR("-owner"), STR("-request"), STR("-return"), STR("-noreply"),
	    STR("-no-reply")};
	struct str local = str_sub(from, 0, str_rindex(from, '@'));

	if (str_index(local, '=') < local.n)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		if (str_istarts(local, begins[i]))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		if (str_iends(local, ends[i]))
			return true;
	}
	return false;
}

static bool
is_stranger(const struct gate *g, struct str from)
{
	char key[GATE_RECIPIENT_MAX];

	return !mailbox_is_indirect(from) &&
	       g->recipient_key(from, false, key) > 0 &&
	       !locals_has(g->locals, from) && !is_machine(from);
}

#define NETWORK_V4 24
#define NETWORK_V6 48

static uint16_t
short_hash(const struct gate *g, struct str text)
{
	uint16_t h = (uint16_t)hash_str(text, g->seed);

	return h != 0 ? h : 1;
}

/* A client on this machine hands in what came from anywhere: then the domain
 * stands for the network, too. */
static struct inbound_origin
origin_of(const struct gate *g, const struct gate_facts *facts)
{
	char key[GATE_RECIPIENT_MAX], text[IP_TEXT_MAX];
	struct str from = {key, g->recipient_key(facts->sender, false, key)};
	struct str domain = str_sub(from, str_rindex(from, '@'), from.n);
	struct inbound_origin origin = {.domain = short_hash(g, domain)};
	const struct ip *client = &facts->client;
	struct ip net;

	origin.network = origin.domain;
	ip_format(client, text);
	if (client->family == IP_NONE || strcmp(text, "127.0.0.1") == 0 ||
	    strcmp(text, "::1") == 0)
		return origin;
	net =
	    ip_mask(client, client->family == IP_V4 ? NETWORK_V4 : NETWORK_V6);
	origin.network = short_hash(g, str_from(ip_format(&net, text)));
	return origin;
}

struct gate_lesson *
gate_lesson_new(struct gate *g, const struct gate_facts *facts)
{
	struct gate_lesson *l;

	if (!g->learns || facts->user.n > 0 || facts->sender.n == 0 ||
	    !is_stranger(g, facts->sender))
		return NULL;
	l = xcalloc(1, sizeof(*l));
	l->g = g;
	l->from = str_dup(facts->sender);
	l->origin = origin_of(g, facts);
	return l;
}

void
gate_lesson_free(struct gate_lesson *l)
{
	if (l == NULL)
		return;
	lesson_cut(l, 0);
	free(l->items);
	free(l->from);
	free(l);
}

/* ---- who learns ---- */

void
lesson_cut(struct gate_lesson *l, uint32_t recipient)
{
	while (l->n > 0 && l->items[l->n - 1].recipient >= recipient)
		free(l->items[--l->n].user);
}

bool
lesson_is_empty(const struct gate_lesson *l)
{
	return l == NULL || l->n == 0;
}

static void
add_item(struct gate_lesson *l, const struct policy *policy, struct str user)
{
	bool fold = policy->conf->fold_tags;
	char text[GATE_RECIPIENT_MAX];
	struct str from = {text, 0};

	if (l->n == LESSON_MAX)
		return;
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 1;
		l->items = xrealloc(l->items, l->cap * sizeof(*l->items));
	}
	from.n = l->g->recipient_key(str_from(l->from), fold, text);
	l->items[l->n++] = (struct lesson_item){
	    .recipient = l->recipient,
	    .destination = hash_str(from, l->g->seed),
	    .rules = policy->inbound,
	    .user = str_dup(user),
	};
}

static void
on_user(void *arg, struct str user, struct str address)
{
	struct gate_facts facts = {.user = user, .sender = address};
	struct gate_lesson *l = arg;
	char text[POLICY_SOURCE_MAX];
	struct source_names names;
	struct str key = {.p = text};
	const struct policy *policy =
	    source_of(l->g, &facts, &names, text, &key.n);
	struct throttle_source *src = source_find(l->g, key);

	/* That of its last mail, which may hang on the client. */
	if (src != NULL) {
		source_refresh(l->g, src);
		policy = source_policy(src);
	}
	if (policy->conf->learn_inbound && !policy->conf->exempt &&
	    policy->conf->key != POLICY_KEY_CLIENT)
		add_item(l, policy, key);
}

void
lesson_add(struct gate_lesson *l, uint32_t recipient, struct str address)
{
	lesson_cut(l, recipient);
	l->recipient = recipient;
	if (l->g->learns) /* a reload may have ended that */
		locals_each_user(l->g->locals, address, on_user, l);
}

void
gate_lesson_add(struct gate_lesson *l, struct str recipient)
{
	lesson_add(l, l->recipient + 1, recipient);
}

/* ---- learning ---- */

static void
tell_full(struct gate *g)
{
	struct inbound_stats stats;

	if (g->now - g->inbound_told_at < FULL_TOLD_EVERY_MS)
		return;
	g->inbound_told_at = g->now;
	inbound_stats(g->inbound, &stats);
	log_write(g->log, LOG_EV_GATE_INBOUND_FULL, KV(users, stats.users),
	    KV(addresses, stats.addresses), KV(size_bytes, stats.bytes),
	    KV(reason, "inbound_memory is used up, no more users learn from "
		       "incoming mail"));
}

static void
tell_learnt(const struct gate_lesson *l, const struct lesson_item *item)
{
	if (!log_is_on(l->g->log, LOG_LEVEL_DEBUG))
		return;
	log_write(l->g->log, LOG_EV_GATE_LEARN, KV(sender, item->user),
	    KV(from, l->from));
}

static void
learn_item(struct gate_lesson *l, const struct lesson_item *item)
{
	struct gate *g = l->g;

	switch (inbound_learn_from(g->inbound, str_from(item->user),
	    item->destination, l->origin, &item->rules, g->now)) {
	case INBOUND_LEARNT:
		counters_add(g->counters, COUNT_INBOUND_LEARNT, 1);
		tell_learnt(l, item);
		break;
	case INBOUND_AGAIN:
		break;
	case INBOUND_FULL:
		tell_full(g);
		counters_add(g->counters, COUNT_INBOUND_REFUSED, 1);
		break;
	case INBOUND_TOO_MANY:
	case INBOUND_SHARE:
		counters_add(g->counters, COUNT_INBOUND_REFUSED, 1);
		break;
	}
}

void
lesson_learn(struct gate_lesson *l,
    bool (*may)(const void *arg, uint32_t recipient), const void *arg)
{
	for (uint32_t i = 0; i < l->n; i++) {
		if (may == NULL || may(arg, l->items[i].recipient))
			learn_item(l, &l->items[i]);
	}
	learnt_touch(l->g);
}

void
gate_lesson_learn(struct gate_lesson *l, int64_t now)
{
	struct gate *g = l->g;

	g->now = now;
	lesson_learn(l, NULL, NULL);
	gate_lesson_free(l);
	gate_changed(g);
}
