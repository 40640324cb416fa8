/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Learning in passing. A observation is one message: who it is from, and for
 * which of our users. It is learnt when the message has been accepted, and only
 * by users whose mail got through; what the mail server refuses, what weir
 * holds and what has no sender teaches nothing.
 *
 * A stranger's mail comes in without a login, from an address outside of
 * local_domains, to one in it. The client's address tells nothing more: whoever
 * could forge mail from within could as well send it in from outside. So it
 * makes its sender known and nobody else, and what a thief of an account gains
 * by writing to it is bounded by inbound_rate.
 *
 * A colleague's mail comes with a login, from an address in local_domains. It
 * makes the others known that it reached, too. What one colleague teaches
 * has the share of one origin.
 *
 * Nothing waits for this, no source is made by it, none thaws.
 */
#include "base/hash.h"
#include "base/mailbox.h"
#include "gate/gate_txn.h"

#include <stdlib.h>
#include <string.h>

#define OBSERVATION_MAX \
	1000 /* what one message teaches, to all users together */

struct observation_name {
	uint64_t destination;
	uint64_t site; /* at all relays; 0: nobody shares it */
};

struct observation_item {
	uint32_t recipient;
	struct observation_name name;
	struct acquaintance_rules rules;
	bool folds; /* tags */
	char *user; /* source's key */
};

/* A recipient of a colleague's mail. */
struct observation_other {
	uint32_t recipient;
	struct observation_name plain, folded;
};

struct gate_observation {
	struct gate *g;
	char *from;
	struct acquaintance_origin origin;
	bool is_colleague;
	bool is_known; /* the sender is in internal_domains */
	struct observation_item *items;
	uint32_t n, cap;
	struct observation_other *others;
	uint32_t other_n, other_cap;
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
is_person(const struct gate *g, struct str from)
{
	char key[GATE_RECIPIENT_MAX];

	return !mailbox_is_indirect(from) &&
	       g->recipient_key(from, false, key) > 0 && !is_machine(from);
}

#define NETWORK_V4 24
#define NETWORK_V6 48

/* The same at all relays that share it: they count one origin together. */
static uint16_t
short_hash(const struct gate *g, struct str text)
{
	uint16_t h =
	    (uint16_t)(g->share_ops != NULL
			   ? g->share_ops->destination(g->share_arg, text)
			   : hash_str(text, g->seed));

	return h != 0 ? h : 1;
}

/* A client on this machine hands in what came from anywhere: then the domain
 * stands for the network, too. A colleague is one origin, and not a domain. */
static struct acquaintance_origin
origin_of(const struct gate *g, const struct gate_facts *facts)
{
	char key[GATE_RECIPIENT_MAX], text[IP_TEXT_MAX];
	struct str from = {key, g->recipient_key(facts->sender, false, key)};
	struct acquaintance_origin origin;
	const struct ip *client = &facts->client;
	struct ip net;

	if (facts->user.n == 0)
		from = str_sub(from, str_rindex(from, '@'), from.n);
	origin.domain = short_hash(g, from);
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

struct gate_observation *
gate_observation_new(struct gate *g, const struct gate_facts *facts)
{
	struct gate_observation *l;
	bool has_login = facts->user.n > 0;

	if (!g->learns || facts->sender.n == 0 ||
	    has_login != locals_has(g->locals, facts->sender) ||
	    !is_person(g, facts->sender))
		return NULL;
	l = xcalloc(1, sizeof(*l));
	l->g = g;
	l->from = str_dup(facts->sender);
	l->origin = origin_of(g, facts);
	l->is_colleague = has_login;
	l->is_known = locals_is_internal(g->locals, facts->sender);
	return l;
}

void
gate_observation_free(struct gate_observation *l)
{
	if (l == NULL)
		return;
	observation_cut(l, 0);
	free(l->items);
	free(l->others);
	free(l->from);
	free(l);
}

/* ---- who learns ---- */

void
observation_cut(struct gate_observation *l, uint32_t recipient)
{
	while (l->n > 0 && l->items[l->n - 1].recipient >= recipient)
		free(l->items[--l->n].user);
	while (
	    l->other_n > 0 && l->others[l->other_n - 1].recipient >= recipient)
		l->other_n--;
}

bool
observation_is_empty(const struct gate_observation *l)
{
	return l == NULL || l->n == 0 || (l->is_known && l->other_n == 0);
}

static struct observation_name
name_of(const struct gate *g, struct str address, bool fold)
{
	char text[GATE_RECIPIENT_MAX];
	struct str key = {text, g->recipient_key(address, fold, text)};

	return (struct observation_name){
	    .destination = hash_str(key, g->seed),
	    .site = g->share_ops != NULL
			? g->share_ops->destination(g->share_arg, key)
			: 0,
	};
}

/* Those in internal_domains are familiar to all, whatever is learnt. */
static void
add_other(struct gate_observation *l, struct str address)
{
	const struct gate *g = l->g;

	if (l->other_n == OBSERVATION_MAX ||
	    locals_is_internal(g->locals, address) || !is_person(g, address))
		return;
	if (l->other_n == l->other_cap) {
		l->other_cap = l->other_cap > 0 ? l->other_cap * 2 : 4;
		l->others =
		    xrealloc(l->others, l->other_cap * sizeof(*l->others));
	}
	l->others[l->other_n++] = (struct observation_other){
	    .recipient = l->recipient,
	    .plain = name_of(g, address, false),
	    .folded = name_of(g, address, true),
	};
}

static void
add_item(
    struct gate_observation *l, const struct policy *policy, struct str user)
{
	bool fold = policy->conf->fold_tags;

	if (l->n == OBSERVATION_MAX)
		return;
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 1;
		l->items = xrealloc(l->items, l->cap * sizeof(*l->items));
	}
	l->items[l->n++] = (struct observation_item){
	    .recipient = l->recipient,
	    .name = name_of(l->g, str_from(l->from), fold),
	    .rules = policy->met,
	    .folds = fold,
	    .user = str_dup(user),
	};
}

static void
on_user(void *arg, struct str user, struct str address)
{
	struct gate_facts facts = {.user = user, .sender = address};
	struct gate_observation *l = arg;
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
	if (policy_meets(policy))
		add_item(l, policy, key);
}

void
observation_add(
    struct gate_observation *l, uint32_t recipient, struct str address)
{
	observation_cut(l, recipient);
	l->recipient = recipient;
	if (!l->g->learns) /* a reload may have ended that */
		return;
	locals_each_user(l->g->locals, address, on_user, l);
	if (l->is_colleague)
		add_other(l, address);
}

void
gate_observation_add(struct gate_observation *l, struct str recipient)
{
	observation_add(l, l->recipient + 1, recipient);
}

/* ---- learning ---- */

struct learning {
	struct gate_observation *l;
	bool (*may)(const void *arg, uint32_t recipient);
	const void *arg;
	int64_t wall;
	uint32_t taught;
};

static void
teach(struct learning *at, const struct observation_item *item,
    struct observation_name name, unsigned why)
{
	struct gate *g = at->l->g;
	struct acquaintance_observation observation = {
	    .destination = name.destination,
	    .site = name.site,
	    .why = why,
	    .origin = at->l->origin,
	    .rules = item->rules,
	};

	if (at->taught++ < OBSERVATION_MAX)
		acquaintances_learn(g->acquaintances, str_from(item->user),
		    &observation, g->now, at->wall);
}

static bool
has_gone(const struct learning *at, uint32_t recipient)
{
	return at->may == NULL || at->may(at->arg, recipient);
}

static void
teach_others(struct learning *at, const struct observation_item *item)
{
	const struct gate_observation *l = at->l;

	for (uint32_t i = 0; i < l->other_n; i++) {
		const struct observation_other *other = &l->others[i];

		if (other->recipient != item->recipient &&
		    has_gone(at, other->recipient))
			teach(at, item,
			    item->folds ? other->folded : other->plain,
			    ACQUAINTANCE_BESIDE);
	}
}

void
observation_learn(struct gate_observation *l,
    bool (*may)(const void *arg, uint32_t recipient), const void *arg,
    int64_t wall)
{
	struct learning at = {.l = l, .may = may, .arg = arg, .wall = wall};

	if (!l->g->learns) /* a reload may have ended that */
		return;
	for (uint32_t i = 0; i < l->n; i++) {
		const struct observation_item *item = &l->items[i];

		if (!has_gone(&at, item->recipient))
			continue;
		if (!l->is_known)
			teach(&at, item, item->name, ACQUAINTANCE_WROTE_US);
		teach_others(&at, item);
	}
}

void
gate_observation_learn(struct gate_observation *l, int64_t now, int64_t wall)
{
	struct gate *g = l->g;

	g->now = now;
	observation_learn(l, NULL, NULL, wall);
	gate_observation_free(l);
	gate_changed(g);
}
