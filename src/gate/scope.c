/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The book of scopes: who counts where, and the question. A key and its
 * windows (gate/window.h) live as long as something is used in them or
 * somebody has it pinned; scope_state.c stores and sweeps them.
 */
#include "gate/scope_book.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN 4096             /* places for recipients of local programs */
#define KNOWN_WAYS 8           /* of them a recipient has to choose from */
#define RESERVED_AGAIN_MS 1000 /* full of reservations alone */
#define OTHERS STR("[others]")

/* ---- keys ---- */

static void
key_fit(struct scope_key *k, int64_t now)
{
	const struct scope_rule *rule = k->scope->rule;
	size_t n = rule != NULL ? rule->limit_count : 0;

	for (size_t i = 0; i < n; i++)
		window_set_length(
		    &k->windows[i], rule->limits[i].window_ms, now);
	for (size_t i = n; i < k->n; i++)
		k->windows[i] = (struct window){0};
	k->n = n;
}

bool
scope_key_is_used(struct scope_key *k, int64_t now)
{
	for (size_t i = 0; i < k->n; i++) {
		window_advance(&k->windows[i], now);
		if (k->windows[i].used > 0)
			return true;
	}
	return false;
}

void
scope_key_touch(struct scope_key *k)
{
	if (k->changed.next == &k->changed)
		list_append(&k->book->changed, &k->changed);
}

void
scope_key_free(void *arg)
{
	struct scope_key *k = arg;

	list_remove(&k->changed);
	list_remove(&k->warned);
	free(k);
}

struct scope_key *
scope_key_get(
    struct scope_book *b, struct scope *s, struct str key, int64_t now)
{
	struct scope_key *k = map_find(s->keys, key);

	if (k == NULL && map_count(s->keys) >= SCOPE_KEYS_MAX) {
		key = OTHERS;
		k = map_find(s->keys, key);
	}
	if (k != NULL)
		return k;
	k = xcalloc(1, sizeof(*k) + key.n + 1);
	list_init(&k->changed);
	list_init(&k->warned);
	k->book = b;
	k->scope = s;
	k->key_n = key.n;
	memcpy(k->key, key.p, key.n);
	key_fit(k, now);
	map_set(s->keys, key, k);
	return k;
}

/* ---- the book ---- */

static struct scope *
scope_get(struct scope_book *b, struct str name)
{
	struct scope *s = map_find(b->scopes, name);

	if (s != NULL)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->name = str_dup(name);
	s->keys = map_new();
	map_set(b->scopes, name, s);
	return s;
}

struct scope_book *
scope_book_new(void)
{
	struct scope_book *b = xcalloc(1, sizeof(*b));

	b->scopes = map_new();
	list_init(&b->changed);
	list_init(&b->warned);
	return b;
}

static void
scope_free(void *arg)
{
	struct scope *s = arg;

	map_free(s->keys, scope_key_free);
	free(s->known);
	free(s->name);
	free(s);
}

void
scope_book_free(struct scope_book *b)
{
	if (b == NULL)
		return;
	map_free(b->scopes, scope_free);
	scope_rules_free(b->rules);
	free(b);
}

/* Keys that somebody has pinned stay, and have no windows where the scope is
 * gone. */
static void
fit_all(struct scope *s, int64_t now)
{
	size_t pos = 0;
	struct str key;
	void *value;

	while (map_each(s->keys, &pos, &key, &value))
		key_fit(value, now);
}

void
scope_book_set_rules(
    struct scope_book *b, struct scope_rules *rules, int64_t now)
{
	struct scope_rules *was = b->rules;
	size_t pos = 0;
	struct str name;
	void *value;

	b->rules = rules != NULL ? scope_rules_ref(rules) : NULL;
	while (map_each(b->scopes, &pos, &name, &value))
		((struct scope *)value)->rule = NULL;
	for (size_t i = 0; rules != NULL && i < rules->n; i++)
		scope_get(b, str_from(rules->v[i].name))->rule = &rules->v[i];
	pos = 0;
	while (map_each(b->scopes, &pos, &name, &value))
		fit_all(value, now);
	scope_rules_free(was);
}

/* ---- who counts where ---- */

static bool
is_local_program(const struct scope_facts *f)
{
	return f->facts.local && f->facts.user.n == 0 &&
	       f->facts.sender.n > 0 && !f->is_named &&
	       f->policy->conf->key != POLICY_KEY_ENVELOPE;
}

static bool
is_in(const struct scope_rule *rule, const struct scope_facts *f)
{
	const struct match_facts m = {
	    .user = f->facts.user,
	    .sender = f->facts.sender,
	    .own = policy_own_name(f->policy, &f->facts),
	    .client = f->facts.client,
	};

	if (rule->limit_count == 0)
		return false;
	if (rule->is_local && !is_local_program(f))
		return false;
	if (rule->is_new && !f->is_new)
		return false;
	return rule->match == NULL || match_sender(rule->match, &m);
}

/* The login's; the envelope's only where it is the source, since anybody can
 * forge it and use up another's. */
static struct str
domain_of(const struct scope_facts *f)
{
	bool by_envelope = f->policy->conf->key == POLICY_KEY_ENVELOPE;
	struct str name = by_envelope ? f->facts.sender : f->facts.user;
	size_t at = str_rindex(name, '@');

	return at < name.n ? str_sub(name, at + 1, name.n) : (struct str){0};
}

static struct str
client_of(const struct scope_facts *f, char out[SCOPE_KEY_MAX])
{
	const struct ip *client = &f->facts.client;
	unsigned bits = f->policy->conf->ipv6_prefix;
	char text[IP_TEXT_MAX];
	struct ip net;

	if (f->facts.local || client->family == IP_NONE)
		return STR("local");
	if (client->family == IP_V4 || bits >= 128) {
		snprintf(out, SCOPE_KEY_MAX, "%s", ip_format(client, text));
	} else {
		net = ip_mask(client, bits);
		snprintf(
		    out, SCOPE_KEY_MAX, "%s/%u", ip_format(&net, text), bits);
	}
	return str_from(out);
}

/* Empty: it has none. */
static struct str
key_of(enum scope_by by, const struct scope_facts *f, char out[SCOPE_KEY_MAX])
{
	bool by_envelope = f->policy->conf->key == POLICY_KEY_ENVELOPE;
	struct str name = {0};
	size_t n;

	switch (by) {
	case SCOPE_USER:
		name = by_envelope ? f->facts.sender : f->facts.user;
		break;
	case SCOPE_DOMAIN:
		name = domain_of(f);
		break;
	case SCOPE_CLIENT:
		return client_of(f, out);
	case SCOPE_ALL:
		return STR("all");
	}
	if (name.n == 0)
		return name;
	str_escape(name, out, SCOPE_KEY_MAX);
	n = strlen(out);
	for (size_t i = 0; i < n; i++) {
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] + ('a' - 'A'));
	}
	return (struct str){out, n};
}

struct scope_pins *
scope_pins_new(
    struct scope_book *b, const struct scope_facts *facts, int64_t now)
{
	struct scope_pins *p = NULL;
	char text[SCOPE_KEY_MAX];

	for (size_t i = 0; b->rules != NULL && i < b->rules->n; i++) {
		const struct scope_rule *rule = &b->rules->v[i];
		struct str key;

		if (!is_in(rule, facts))
			continue;
		key = key_of(rule->by, facts, text);
		if (key.n == 0)
			continue;
		if (p == NULL) {
			p = xcalloc(1, sizeof(*p));
			p->refs = 1;
		}
		p->v[p->n] = scope_key_get(
		    b, scope_get(b, str_from(rule->name)), key, now);
		p->v[p->n++]->pins++;
	}
	return p;
}

struct scope_pins *
scope_pins_ref(struct scope_pins *p)
{
	if (p != NULL)
		p->refs++;
	return p;
}

void
scope_pins_free(struct scope_pins *p)
{
	if (p == NULL || --p->refs > 0)
		return;
	for (size_t i = 0; i < p->n; i++)
		p->v[i]->pins--;
	free(p);
}

/* ---- the question ---- */

static void
fill(struct scope_key *k, size_t i, int64_t now, struct scope_info *out)
{
	struct window *w = &k->windows[i];
	const struct option_rate *limit = &k->scope->rule->limits[i];

	window_advance(w, now);
	*out = (struct scope_info){
	    .name = k->scope->name,
	    .key = k->key,
	    .used = w->used + k->reserved,
	    .count = limit->count,
	    .window_ms = limit->window_ms,
	    .open_at = now,
	};
	if (w->used >= limit->count)
		out->open_at = window_open_at(w);
	else if (out->used >= limit->count)
		out->open_at = now + RESERVED_AGAIN_MS;
}

/* The window that opens last. False: all have room. */
static bool
key_is_full(struct scope_key *k, int64_t now, struct scope_info *full)
{
	struct scope_info info;
	bool is_full = false;

	for (size_t i = 0; i < k->n; i++) {
		fill(k, i, now, &info);
		if (info.used < info.count)
			continue;
		if (!is_full || info.open_at > full->open_at)
			*full = info;
		is_full = true;
	}
	return is_full;
}

/* In its bucket the latest is first. */
static bool
is_known(struct scope *s, uint64_t destination)
{
	uint64_t *v;

	if (s->known == NULL)
		return false;
	v = &s->known[destination % (KNOWN / KNOWN_WAYS) * KNOWN_WAYS];
	for (size_t i = 0; i < KNOWN_WAYS; i++) {
		if (v[i] != destination)
			continue;
		memmove(v + 1, v, i * sizeof(*v));
		v[0] = destination;
		return true;
	}
	return false;
}

static void
note_known(struct scope *s, uint64_t destination)
{
	uint64_t *v;

	if (s->known == NULL)
		s->known = xcalloc(KNOWN, sizeof(*s->known));
	if (is_known(s, destination))
		return;
	v = &s->known[destination % (KNOWN / KNOWN_WAYS) * KNOWN_WAYS];
	memmove(v + 1, v, (KNOWN_WAYS - 1) * sizeof(*v));
	v[0] = destination;
}

static bool
is_free(struct scope_key *k, uint64_t destination)
{
	const struct scope_rule *rule = k->scope->rule;

	return k->n == 0 || (rule != NULL && rule->is_local &&
				is_known(k->scope, destination));
}

bool
scope_reserve(struct scope_pins *p, uint64_t destination, int64_t now,
    uint32_t *mask, struct scope_info *full)
{
	return scope_reserve_given(p, 0, destination, now, mask, full);
}

bool
scope_reserve_given(struct scope_pins *p, uint32_t given, uint64_t destination,
    int64_t now, uint32_t *mask, struct scope_info *full)
{
	struct scope_info info;
	bool is_full = false;

	*mask = 0;
	*full = (struct scope_info){.open_at = now};
	for (size_t i = 0; p != NULL && i < p->n; i++) {
		if (is_free(p->v[i], destination))
			continue;
		*mask |= UINT32_C(1) << i;
		info = (struct scope_info){.open_at = now};
		if ((given & UINT32_C(1) << i) != 0)
			continue;
		if (!key_is_full(p->v[i], now, &info))
			continue;
		if (!is_full || info.open_at > full->open_at)
			*full = info;
		is_full = true;
	}
	if (is_full) {
		*mask = 0;
		return false;
	}
	for (size_t i = 0; p != NULL && i < p->n; i++) {
		if ((*mask & UINT32_C(1) << i) != 0) {
			p->v[i]->reserved++;
			p->v[i]->is_gone = false;
			scope_key_touch(p->v[i]);
		}
	}
	return true;
}

static void
look(struct scope_key *k, size_t i)
{
	const struct scope_rule *rule = k->scope->rule;
	struct window *w = &k->windows[i];
	unsigned percent =
	    warn_look(&rule->warn, &w->told, w->used, rule->limits[i].count);

	if (percent == 0)
		return;
	w->warned = (uint8_t)percent;
	if (list_is_empty(&k->warned))
		list_append(&k->book->warned, &k->warned);
}

/* What has left the window counts before what comes in. */
static void
use(struct scope_key *k, size_t i, int64_t now)
{
	window_advance(&k->windows[i], now);
	if (k->scope->rule != NULL)
		look(k, i);
	window_add(&k->windows[i], now);
	if (k->scope->rule != NULL)
		look(k, i);
}

bool
scope_next_warning(struct scope_book *b, int64_t now, unsigned *percent,
    struct scope_info *out)
{
	while (!list_is_empty(&b->warned)) {
		struct scope_key *k =
		    LIST_ITEM(b->warned.next, struct scope_key, warned);

		for (size_t i = 0; k->scope->rule != NULL && i < k->n; i++) {
			if (k->windows[i].warned == 0)
				continue;
			*percent = k->windows[i].warned;
			k->windows[i].warned = 0;
			fill(k, i, now, out);
			return true;
		}
		list_remove(&k->warned);
	}
	return false;
}

void
scope_commit(
    struct scope_pins *p, uint64_t destination, uint32_t mask, int64_t now)
{
	for (size_t i = 0; p != NULL && i < p->n; i++) {
		struct scope_key *k = p->v[i];

		if ((mask & UINT32_C(1) << i) == 0)
			continue;
		k->reserved--;
		for (size_t j = 0; j < k->n; j++)
			use(k, j, now);
		if (k->scope->rule != NULL && k->scope->rule->is_local)
			note_known(k->scope, destination);
		scope_key_touch(k);
	}
}

void
scope_cancel(struct scope_pins *p, uint32_t mask)
{
	for (size_t i = 0; p != NULL && i < p->n; i++) {
		if ((mask & UINT32_C(1) << i) == 0)
			continue;
		p->v[i]->reserved--;
		scope_key_touch(p->v[i]);
	}
}

bool
scope_look(struct scope_pins *p, size_t i, int64_t now, struct scope_info *out)
{
	for (size_t j = 0; p != NULL && j < p->n; j++) {
		struct scope_key *k = p->v[j];

		if (i < k->n) {
			fill(k, i, now, out);
			return true;
		}
		i -= k->n;
	}
	return false;
}
