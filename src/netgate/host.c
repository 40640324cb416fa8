/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hosts: made when they are first seen, forgotten when they were idle, nothing
 * is known to them any more and the throttle has nothing on them either. A
 * flood of made-up sources fills the table to its bound and no further; what
 * comes then shares one place.
 */
#include "netgate/internal.h"

#include "base/hash.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRE_STEPS 256
#define SILENT_SHARE 4 /* one in so many places is for silent hosts */
/* One in so many is kept for hosts that are proven, so that made-up addresses
 * cannot crowd them out. */
#define PROVEN_SHARE 4
#define SOURCE_KEY (HOST_KEY + sizeof(uint32_t))

static struct str
key_of(const struct ip *ip, char out[HOST_KEY])
{
	out[0] = (char)ip->family;
	memcpy(out + 1, ip->bytes, HOST_KEY - 1);
	return (struct str){out, HOST_KEY};
}

static struct ip
masked(const struct netgate *g, const struct ip *ip)
{
	if (ip->family == IP_V6 && g->settings.ipv6_prefix < 128)
		return ip_mask(ip, g->settings.ipv6_prefix);
	return *ip;
}

uint64_t
host_destination(const struct netgate *g, const struct ip *dst)
{
	char key[HOST_KEY];

	return hash_str(key_of(dst, key), g->seed);
}

static void
name_host(const struct netgate *g, struct host *h)
{
	char text[IP_TEXT_MAX];

	if (h->ip.family == IP_NONE)
		snprintf(h->text, sizeof(h->text), "others");
	else if (h->ip.family == IP_V6 && g->settings.ipv6_prefix < 128)
		snprintf(h->text, sizeof(h->text), "%s/%u",
		    ip_format(&h->ip, text), g->settings.ipv6_prefix);
	else
		snprintf(
		    h->text, sizeof(h->text), "%s", ip_format(&h->ip, text));
}

static const struct throttle_policy *
throttle_of(const struct host *h)
{
	return h->never_block ? &h->policy->unfrozen : &h->policy->throttle;
}

void
host_apply_policy(struct netgate *g, struct host *h)
{
	const struct netgate_settings *s = &g->settings;

	h->policy = netpolicies_select(s->policies, &h->ip);
	h->never_block = h->ip.family == IP_NONE || h->owner != NULL;
	for (size_t i = 0; i < s->never_block_count && !h->never_block; i++)
		h->never_block = ip_net_has(&s->never_block[i], &h->ip);
	if (h->is_frozen)
		freeze_set_thaw(g, h);
	for (int i = 0; i < NETGATE_PROTOCOLS; i++) {
		size_t n;
		const void *key;

		if (h->src[i] == NULL)
			continue;
		key = throttle_source_key(h->src[i], &n);
		throttle_get(g->throttle[i], key, n, throttle_of(h), g->now);
	}
	if (h->claimed != NULL)
		host_apply_policy(g, h->claimed);
}

static struct host *
host_new(struct netgate *g, const struct ip *ip, struct host *owner)
{
	struct host *h = xcalloc(1, sizeof(*h));

	h->ip = *ip;
	h->owner = owner;
	list_init(&h->held);
	list_init(&h->credit_held);
	list_init(&h->credit_entry);
	list_init(&h->frozen_entry);
	credit_init(&h->credit, g->now);
	h->thaw_due = INT64_MAX;
	h->spared_at = h->decoy_at = INT64_MIN;
	h->last_seen = g->now;
	name_host(g, h);
	host_apply_policy(g, h);
	return h;
}

static struct host *
overflow(struct netgate *g)
{
	static const struct ip none = {.family = IP_NONE};

	count(g, NETGATE_COUNT_OVERFLOWED);
	if (g->overflow == NULL)
		g->overflow = host_new(g, &none, NULL);
	return g->overflow;
}

struct host *
host_find(struct netgate *g, const struct ip *ip)
{
	struct ip masked_ip = masked(g, ip);
	char key[HOST_KEY];

	return map_find(g->host_map, key_of(&masked_ip, key));
}

struct host *
host_get(struct netgate *g, const struct ip *ip)
{
	struct ip masked_ip = masked(g, ip);
	char key[HOST_KEY];
	struct str k = key_of(&masked_ip, key);
	struct host *h = map_find(g->host_map, k);

	if (h != NULL)
		return h;
	if (g->host_count >= g->settings.hosts_max)
		return overflow(g);
	h = host_new(g, &masked_ip, NULL);
	g->unproven_count++;
	if (g->host_count == g->host_cap) {
		g->host_cap = g->host_cap > 0 ? g->host_cap * 2 : 64;
		g->hosts = xrealloc(g->hosts, g->host_cap * sizeof(*g->hosts));
	}
	h->index = g->host_count;
	g->hosts[g->host_count++] = h;
	map_set(g->host_map, k, h);
	return h;
}

static struct host *
get_claimed(struct netgate *g, struct host *owner, uint64_t sender)
{
	struct host *h = owner->claimed;

	if (h == NULL) {
		h = owner->claimed = host_new(g, &owner->ip, owner);
		h->claim = g->claims++;
		h->sender = sender;
		g->claimed_count++;
	}
	if (h->sender != sender)
		h->sender = 0;
	return h;
}

static void
move_list(struct list *to, struct list *from)
{
	while (!list_is_empty(from)) {
		struct list *e = from->next;

		list_remove(e);
		list_append(to, e);
	}
}

static void
move_known(struct known *to, struct known *from)
{
	*to = *from;
	*from = (struct known){0};
}

/* What was claimed in its name was all its own. */
static void
take_claimed(struct netgate *g, struct host *h)
{
	struct host *c = h->claimed;
	struct list *e;

	list_each (e, &c->held)
		LIST_ITEM(e, struct held, entry)->a.host = h;
	move_list(&h->held, &c->held);
	move_list(&h->credit_held, &c->credit_held);
	g->claimed_held -= c->held_count;
	h->held_count = c->held_count;
	h->credit_held_count = c->credit_held_count;
	h->aggregate_held_count = c->aggregate_held_count;
	c->held_count = c->credit_held_count = c->aggregate_held_count = 0;
	if (h->credit_held_count > 0)
		list_append(&g->credit_hosts, &h->credit_entry);
	h->credit = c->credit;
	move_known(&h->contacted, &c->contacted);
	move_known(&h->pending, &c->pending);
	h->fast = c->fast;
	h->fast_count = c->fast_count;
	c->fast = NULL;
	c->fast_count = 0;
	for (int i = 0; i < NETGATE_PROTOCOLS; i++) {
		h->src[i] = c->src[i];
		c->src[i] = NULL;
		if (h->src[i] != NULL)
			throttle_source_set_user(h->src[i], h);
	}
	host_free(g, c);
	host_apply_policy(g, h);
	freeze_check_length(g, h);
}

/* It sends: it is one of those that the table is for. */
static void
set_seen(struct netgate *g, struct host *h)
{
	h->last_seen = g->now;
	if (!h->is_silent)
		return;
	h->is_silent = false;
	g->silent_count--;
}

static struct host *
get_proven(struct netgate *g, const struct ip *ip, uint64_t sender)
{
	struct host *h = host_get(g, ip);
	bool is_first = !h->is_proven && h != g->overflow;

	set_seen(g, h);
	if (!is_first)
		return h;
	h->is_proven = true;
	g->unproven_count--;
	if (h->claimed != NULL && sender != 0 && h->claimed->sender == sender)
		take_claimed(g, h);
	return h;
}

struct host *
host_get_sender(
    struct netgate *g, const struct ip *ip, struct netgate_origin origin)
{
	uint32_t kept = g->settings.hosts_max / PROVEN_SHARE;
	struct host *h;

	if (origin.proven)
		return get_proven(g, ip, origin.sender);
	count(g, NETGATE_COUNT_CLAIMED);
	h = host_find(g, ip);
	if (h == NULL)
		h = g->unproven_count >= g->settings.hosts_max - kept
			? overflow(g)
			: host_get(g, ip);
	set_seen(g, h);
	/* Those who share a place are never frozen anyway. */
	return h == g->overflow ? h : get_claimed(g, h, origin.sender);
}

const struct netpolicy *
host_policy(struct netgate *g, const struct ip *ip)
{
	struct ip masked_ip = masked(g, ip);
	struct host *h = host_find(g, ip);

	return h != NULL ? h->policy
			 : netpolicies_select(g->settings.policies, &masked_ip);
}

struct host *
host_get_inbound(struct netgate *g, const struct ip *ip)
{
	struct host *h = host_find(g, ip);

	if (h == NULL) {
		if (g->silent_count >= g->settings.hosts_max / SILENT_SHARE ||
		    g->host_count >= g->settings.hosts_max)
			return NULL;
		h = host_get(g, ip);
		h->is_silent = true;
		g->silent_count++;
	}
	h->last_seen = g->now;
	return h;
}

void
host_remember(struct netgate *g, struct known *k, uint64_t hash, int64_t until)
{
	size_t before = known_bytes(k);

	known_add(k, hash, until, g->now);
	g->extra_bytes += known_bytes(k) - before;
}

struct throttle_source *
host_source(struct netgate *g, struct host *h, enum netgate_protocol protocol)
{
	char key[SOURCE_KEY];
	struct str k = key_of(&h->ip, key);

	/* Not under a name that it may have handed on to its owner. */
	if (h->owner != NULL) {
		memcpy(key + k.n, &h->claim, sizeof(h->claim));
		k.n += sizeof(h->claim);
	}
	if (h->src[protocol] == NULL) {
		h->src[protocol] = throttle_get(
		    g->throttle[protocol], k.p, k.n, throttle_of(h), g->now);
		if (h->src[protocol] == NULL)
			panic("netgate: the throttle has fewer places");
		throttle_source_set_user(h->src[protocol], h);
	}
	return h->src[protocol];
}

void
host_on_source_expired(void *arg, struct throttle_source *src)
{
	struct host *h = throttle_source_user(src);

	(void)arg;
	for (int i = 0; h != NULL && i < NETGATE_PROTOCOLS; i++) {
		if (h->src[i] == src)
			h->src[i] = NULL;
	}
}

void
host_free(struct netgate *g, struct host *h)
{
	char key[HOST_KEY];

	if (h->claimed != NULL)
		host_free(g, h->claimed);
	(void)freeze_flush(g, h, FLUSH_DROP);
	set_seen(g, h);
	for (int i = 0; i < NETGATE_PROTOCOLS; i++) {
		if (h->src[i] != NULL)
			throttle_forget(g->throttle[i], h->src[i]);
	}
	if (h == g->overflow) {
		g->overflow = NULL;
	} else if (h->owner != NULL) {
		h->owner->claimed = NULL;
		g->claimed_count--;
	} else {
		g->unproven_count -= !h->is_proven;
		map_remove(g->host_map, key_of(&h->ip, key));
		g->hosts[h->index] = g->hosts[--g->host_count];
		g->hosts[h->index]->index = h->index;
	}
	list_remove(&h->credit_entry);
	list_remove(&h->frozen_entry);
	g->extra_bytes -= known_bytes(&h->known) + known_bytes(&h->contacted) +
			  known_bytes(&h->pending) +
			  (h->fast != NULL ? FAST_MAX * sizeof(*h->fast) : 0);
	known_clear(&h->known);
	known_clear(&h->contacted);
	known_clear(&h->pending);
	free(h->fast);
	free(h->freeze_reason);
	free(h);
}

static bool
is_idle(const struct netgate *g, const struct host *h)
{
	if (h->claimed != NULL && (h->claimed->held_count > 0 ||
				      h->claimed->src[NETGATE_TCP] != NULL ||
				      h->claimed->src[NETGATE_UDP] != NULL))
		return false;
	return !h->is_frozen && h->held_count == 0 &&
	       h->src[NETGATE_TCP] == NULL && h->src[NETGATE_UDP] == NULL &&
	       g->now - h->last_seen >= h->policy->throttle.idle_expiry_ms &&
	       known_is_empty(&h->known, g->now);
}

void
host_expire_some(struct netgate *g)
{
	struct host *h;

	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		throttle_expire(g->throttle[i], g->now, EXPIRE_STEPS);
	for (int i = 0; i < EXPIRE_STEPS && g->host_count > 0; i++) {
		if (g->expire_pos >= g->host_count) {
			g->expire_pos = 0;
			break;
		}
		h = g->hosts[g->expire_pos];
		if (!is_idle(g, h)) {
			g->expire_pos++;
			continue;
		}
		/* Whoever is frozen later must not have any. */
		host_fast_clear(g, h);
		/* The last takes its place: it is next. */
		host_free(g, h);
	}
}

static bool
is_same_pair(const struct netgate_pair *a, const struct netgate_pair *b)
{
	return ip_eq(&a->src, &b->src) && ip_eq(&a->dst, &b->dst) &&
	       a->protocol == b->protocol && a->port == b->port;
}

/* A place for it: one whose time is over, or a new one. NULL: it stands there,
 * or there is none. */
static struct fast_pair *
fast_place(struct netgate *g, struct host *h, const struct netgate_pair *pair)
{
	struct fast_pair *place = NULL;

	if (h->fast == NULL) {
		h->fast = xcalloc(FAST_MAX, sizeof(*h->fast));
		g->extra_bytes += FAST_MAX * sizeof(*h->fast);
	}
	for (uint32_t i = 0; i < h->fast_count; i++) {
		if (h->fast[i].until <= g->now)
			place = &h->fast[i];
		else if (is_same_pair(&h->fast[i].pair, pair))
			return NULL;
	}
	if (place == NULL && h->fast_count < FAST_MAX)
		place = &h->fast[h->fast_count++];
	return place;
}

void
host_fast_add(struct netgate *g, const struct attempt *a)
{
	struct netgate_pair pair = {.src = a->src, .dst = a->dst};
	struct host *h = a->host;
	struct fast_pair *place;

	if (g->settings.fast_path_ms == 0 || g->ops->on_known == NULL ||
	    g->settings.observe || h->ip.family == IP_NONE)
		return;
	if (g->settings.fast_path_ports) {
		pair.protocol =
		    a->protocol == NETGATE_TCP ? IPPROTO_TCP : IPPROTO_UDP;
		pair.port = a->dport;
	} else if (h->policy->allow_count > 0) {
		return; /* another port of it may not be allowed */
	}
	place = fast_place(g, h, &pair);
	if (place == NULL)
		return;
	*place = (struct fast_pair){pair, g->now + g->settings.fast_path_ms};
	g->ops->on_known(g->arg, &pair);
}

void
host_fast_clear(struct netgate *g, struct host *h)
{
	for (uint32_t i = 0; i < h->fast_count; i++) {
		if (g->ops->on_forget != NULL && h->fast[i].until > g->now)
			g->ops->on_forget(g->arg, &h->fast[i].pair);
	}
	h->fast_count = 0;
	if (h->claimed != NULL)
		host_fast_clear(g, h->claimed);
}
