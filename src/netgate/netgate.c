/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gate's outside: packets in, time in. What is due slowly (thaws, credit)
 * has one alarm of its own; the throttle has its own schedule.
 */
#include "netgate/internal.h"

#include "base/hash.h"
#include "packet/dns.h"
#include "packet/dns_stream.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRE_MS 1000
#define RUN_MAX 4096 /* releases in one turn */
#define DNS_PORT 53
#define DNS_TTL_LEAST_MS 5000
#define DNS_TTL_MAX_MS (24 * 3600 * INT64_C(1000))

const char *const netgate_counter_name[NETGATE_COUNT_MAX] = {
#define NETGATE_NAME(id, name, doc) [NETGATE_COUNT_##id] = name,
    NETGATE_COUNTERS(NETGATE_NAME)
#undef NETGATE_NAME
};

static const struct throttle_callbacks source_callbacks = {
    .on_release = on_source_release,
    .on_freeze = on_source_freeze,
    .on_expire = host_on_source_expired,
};

static const struct throttle_callbacks aggregate_callbacks = {
    .on_release = on_source_release,
};

/* All hosts together are one source, of which the windows alone decide. */
static void
make_aggregate(struct netgate *g)
{
	const struct option_rates *rates = g->settings.aggregate_limit;
	struct throttle_policy *p = &g->aggregate_policy;

	*p = (struct throttle_policy){
	    .working_set = 1,
	    .interval_ms = 1,
	    .burst = 65535,
	    .initial = 65535,
	    .queue_max = g->settings.held_max,
	    .idle_expiry_ms = 0,
	};
	for (size_t i = 0; rates != NULL && i < rates->n; i++)
		p->limits[p->limit_count++] = (struct throttle_limit){
		    rates->v[i].count, rates->v[i].window_ms};
	if (g->aggregate == NULL && p->limit_count == 0)
		return;
	if (g->aggregate == NULL)
		g->aggregate =
		    throttle_new(g->seed, 1, &aggregate_callbacks, g);
	g->aggregate_source = throttle_get(g->aggregate, "all", 3, p, g->now);
}

struct netgate *
netgate_new(const struct netgate_settings *settings,
    const struct netgate_ops *ops, void *arg, struct log *log)
{
	struct netgate *g = xcalloc(1, sizeof(*g));

	g->settings = *settings;
	g->ops = ops;
	g->arg = arg;
	g->log = log;
	g->seed = hash_random_seed();
	g->slow_due = INT64_MAX;
	g->host_map = map_new();
	g->syns = map_new();
	g->dns_streams = dns_streams_new(g->seed);
	list_init(&g->credit_hosts);
	list_init(&g->frozen_hosts);
	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		g->throttle[i] = throttle_new(hash_random_seed(),
		    (size_t)settings->hosts_max + 1, &source_callbacks, g);
	make_aggregate(g);
	return g;
}

void
netgate_free(struct netgate *g)
{
	if (g == NULL)
		return;
	while (g->host_count > 0)
		host_free(g, g->hosts[g->host_count - 1]);
	if (g->crowd != NULL)
		host_free(g, g->crowd);
	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		throttle_free(g->throttle[i]);
	if (g->aggregate != NULL)
		throttle_free(g->aggregate);
	map_free(g->host_map, NULL);
	map_free(g->syns, NULL);
	dns_streams_free(g->dns_streams);
	free(g->hosts);
	free(g->slots);
	free(g->free_slots);
	free(g);
}

static void
enter(struct netgate *g, int64_t now)
{
	if (now > g->now)
		g->now = now;
}

void
netgate_reload(
    struct netgate *g, const struct netgate_settings *settings, int64_t now)
{
	uint32_t hosts_max = g->settings.hosts_max;

	bool stops = settings->observe && !g->settings.observe;

	enter(g, now);
	g->settings = *settings;
	/* The throttle's tables were made for it. */
	g->settings.hosts_max = hosts_max;
	for (uint32_t i = 0; i < g->host_count; i++)
		host_apply_policy(g, g->hosts[i]);
	if (g->crowd != NULL)
		host_apply_policy(g, g->crowd);
	make_aggregate(g);
	if (stops)
		(void)netgate_release(
		    g, &(struct netgate_select){.all = true}, now);
}

const uint64_t *
netgate_counters(const struct netgate *g)
{
	return g->counters;
}

/* ---- packets ---- */

/* A SYN of a connection that waits already. */
static void
take_copy(struct netgate *g, struct attempt *a, struct held *held)
{
	struct host *h = a->host;
	struct throttle_reservation r;

	count(g, NETGATE_COUNT_COPIES);
	g->ops->on_verdict(g->arg, a->packet_id, NETGATE_DROP);
	if (!h->policy->count_retries || held->a.stage != STAGE_SOURCE)
		return;
	throttle_request(g->throttle[NETGATE_TCP],
	    host_source(g, h, NETGATE_TCP), a->destination, 0, g->now, &r);
	freeze_check(g, h);
}

static void
decide(struct netgate *g, struct attempt *a)
{
	struct host *h = a->host;
	struct held *held;

	host_set_seen(g, h);
	if (h->is_frozen) {
		attempt_refuse(g, a, true);
		return;
	}
	if (h->policy->exempt) {
		count(g, NETGATE_COUNT_PASSED);
		attempt_accept(g, a);
		return;
	}
	if (!netpolicy_allows(h->policy,
		a->protocol == NETGATE_TCP ? IPPROTO_TCP : IPPROTO_UDP, &a->dst,
		a->dport)) {
		count(g, NETGATE_COUNT_DISALLOWED);
		attempt_refuse(g, a, true);
		return;
	}
	if (a->protocol == NETGATE_TCP &&
	    (held = held_find_syn(g, a)) != NULL) {
		take_copy(g, a, held);
		return;
	}
	if (known_has(&h->known, a->destination, g->now)) {
		count(g, NETGATE_COUNT_PASSED);
		count(g, NETGATE_COUNT_KNOWN);
		attempt_accept(g, a);
		return;
	}
	attempt_advance(g, a, NULL);
}

void
netgate_packet(struct netgate *g, uint32_t packet_id, const struct packet *p,
    int64_t now, int64_t wall)
{
	struct attempt a = {
	    .packet_id = packet_id,
	    .src = p->src,
	    .dst = p->dst,
	    .sport = p->sport,
	    .dport = p->dport,
	    .tcp_seq = p->tcp_seq,
	};

	enter(g, now);
	g->wall = wall;
	count(g, NETGATE_COUNT_PACKETS);
	if (p->protocol == IPPROTO_UDP) {
		a.protocol = NETGATE_UDP;
	} else if (p->protocol != IPPROTO_TCP || p->is_fragment ||
		   !packet_is_first_syn(p)) {
		g->ops->on_verdict(g->arg, packet_id, NETGATE_ACCEPT);
		return;
	}
	a.host = host_get(g, &p->src);
	a.destination = host_destination(g, &p->dst);
	decide(g, &a);
}

/* ---- what comes in ---- */

struct learning {
	struct netgate *g;
	struct host *host;
};

static void
on_dns_address(void *arg, const struct ip *ip, uint32_t ttl)
{
	struct learning *l = arg;
	int64_t ms = ttl * INT64_C(1000);

	/* A TTL of 0 is to be used once, which takes a moment. */
	if (ms < DNS_TTL_LEAST_MS)
		ms = DNS_TTL_LEAST_MS;
	if (ms > DNS_TTL_MAX_MS)
		ms = DNS_TTL_MAX_MS;
	host_remember(
	    l->g, &l->host->known, host_destination(l->g, ip), l->g->now + ms);
}

static void
on_dns_message(void *arg, struct str message)
{
	struct learning *l = arg;

	if (dns_answer_each(message, on_dns_address, l) > 0)
		count(l->g, NETGATE_COUNT_DNS_ANSWERS);
}

static bool
is_dns_server(const struct netgate *g, const struct ip *ip)
{
	for (size_t i = 0; i < g->settings.dns_server_count; i++) {
		if (ip_net_has(&g->settings.dns_servers[i], ip))
			return true;
	}
	return g->settings.dns_server_count == 0;
}

static void
learn_dns(struct netgate *g, const struct packet *p)
{
	struct learning l = {g, NULL};

	if (!host_policy(g, &p->dst)->dns_known || !is_dns_server(g, &p->src))
		return;
	l.host = host_get_inbound(g, &p->dst);
	if (l.host == NULL)
		return;
	if (p->protocol == IPPROTO_UDP)
		on_dns_message(&l, p->payload);
	else
		dns_streams_take(g->dns_streams, p, on_dns_message, &l);
}

static void
learn_inbound(struct netgate *g, const struct packet *p)
{
	int64_t known_ms = host_policy(g, &p->dst)->inbound_known_ms;
	struct host *h;

	if (known_ms == 0 || (h = host_get_inbound(g, &p->dst)) == NULL)
		return;
	count(g, NETGATE_COUNT_INBOUND);
	host_remember(
	    g, &h->known, host_destination(g, &p->src), g->now + known_ms);
}

/* An attempt of ip towards dst had an outcome: each counts once. */
static void
learn_outcome(
    struct netgate *g, const struct ip *ip, const struct ip *dst, bool success)
{
	struct host *h = host_find(g, ip);
	uint64_t destination = host_destination(g, dst);

	if (h == NULL || !known_has(&h->pending, destination, g->now))
		return;
	known_remove(&h->pending, destination);
	if (!success) {
		count(g, NETGATE_COUNT_FAILURES);
		return;
	}
	count(g, NETGATE_COUNT_SUCCESSES);
	credit_earn(&h->credit, g->now);
	attempt_drain_credit(g, h);
}

static void
learn_answer(struct netgate *g, const struct packet *p)
{
	struct packet quoted;

	if (p->sport == DNS_PORT)
		learn_dns(g, p);
	if (p->protocol == IPPROTO_UDP) {
		learn_outcome(g, &p->dst, &p->src, true);
	} else if (p->protocol == IPPROTO_TCP) {
		if (packet_is_syn_ack(p))
			learn_outcome(g, &p->dst, &p->src, true);
		else if (p->tcp_flags & PACKET_RST)
			learn_outcome(g, &p->dst, &p->src, false);
	} else if (packet_quoted(p, &quoted)) {
		learn_outcome(g, &quoted.src, &quoted.dst, false);
	}
}

void
netgate_watch(struct netgate *g, const struct packet *p,
    enum netgate_inbound what, int64_t now)
{
	enter(g, now);
	if (p->is_fragment)
		return;
	if (what == NETGATE_ANSWER)
		learn_answer(g, p);
	else if (p->protocol == IPPROTO_UDP ||
		 (p->protocol == IPPROTO_TCP && packet_is_first_syn(p)))
		learn_inbound(g, p);
}

/* ---- time ---- */

static void
run_slow(struct netgate *g)
{
	struct list *e, *next;

	g->slow_due = INT64_MAX;
	list_each_safe (e, next, &g->frozen_hosts) {
		struct host *h = LIST_ITEM(e, struct host, frozen_entry);

		if (h->thaw_due <= g->now)
			thaw_host(g, h, "thaw_after");
		else if (h->thaw_due < g->slow_due)
			g->slow_due = h->thaw_due;
	}
	list_each_safe (e, next, &g->credit_hosts) {
		struct host *h = LIST_ITEM(e, struct host, credit_entry);
		int64_t due;

		attempt_drain_credit(g, h);
		due = credit_due(&h->credit, g->now);
		if (h->credit_held_count > 0 && due < g->slow_due)
			g->slow_due = due;
	}
}

void
netgate_run(struct netgate *g, int64_t now, int64_t wall)
{
	enter(g, now);
	g->wall = wall;
	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		throttle_run(g->throttle[i], g->now, RUN_MAX);
	if (g->aggregate != NULL)
		throttle_run(g->aggregate, g->now, RUN_MAX);
	if (g->slow_due <= g->now)
		run_slow(g);
	if (g->expire_due <= g->now) {
		host_expire_some(g);
		g->expire_due = g->now + EXPIRE_MS;
	}
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t
netgate_next_due(const struct netgate *g)
{
	int64_t due = g->slow_due;

	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		due = earlier(due, throttle_next_due(g->throttle[i]));
	if (g->aggregate != NULL)
		due = earlier(due, throttle_next_due(g->aggregate));
	return g->host_count > 0 ? earlier(due, g->expire_due) : due;
}
