/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gate's outside: packets in, time in. What is due slowly (thaws, credit)
 * has one alarm of its own; the throttle has its own schedule.
 */
#include "netgate/internal.h"

#include "base/hash.h"
#include "packet/dns_stream.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRE_MS 1000
#define RUN_MAX 4096 /* releases in one turn */

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
	g->flows = map_new();
	g->dns_streams = dns_streams_new(g->seed);
	list_init(&g->credit_hosts);
	list_init(&g->frozen_hosts);
	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		g->throttle[i] = throttle_new(hash_random_seed(),
		    2 * ((size_t)settings->hosts_max + 1), &source_callbacks,
		    g);
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
	if (g->overflow != NULL)
		host_free(g, g->overflow);
	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		throttle_free(g->throttle[i]);
	if (g->aggregate != NULL)
		throttle_free(g->aggregate);
	map_free(g->host_map, NULL);
	map_free(g->flows, NULL);
	dns_streams_free(g->dns_streams);
	dns_named_clear(&g->named);
	free(g->hosts);
	free(g->slots);
	free(g->free_slots);
	free(g);
}

void
netgate_reload(
    struct netgate *g, const struct netgate_settings *settings, int64_t now)
{
	uint32_t hosts_max = g->settings.hosts_max;

	bool stops = settings->observe && !g->settings.observe;

	gate_enter(g, now);
	g->settings = *settings;
	/* The throttle's tables were made for it. */
	g->settings.hosts_max = hosts_max;
	for (uint32_t i = 0; i < g->host_count; i++)
		host_apply_policy(g, g->hosts[i]);
	if (g->overflow != NULL)
		host_apply_policy(g, g->overflow);
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

/* The kernel has the waiting one no more, or it is to be dropped. */
static void
take_place(struct netgate *g, const struct attempt *a, struct held *held)
{
	attempt_drop(g, &held->a);
	held_set_lost(g, held, false);
	held->a.packet_id = a->packet_id;
}

/* A packet of a UDP flow that waits already: it goes with the first. */
static void
take_more(struct netgate *g, const struct attempt *a, struct held *held)
{
	if (g->settings.observe) {
		attempt_refuse(g, a, false);
	} else if (held->a.is_lost) {
		take_place(g, a, held);
		count(g, NETGATE_COUNT_DELAYED);
	} else if (held_add(g, held, a->packet_id)) {
		count(g, NETGATE_COUNT_DELAYED);
	} else {
		count(g, NETGATE_COUNT_FLOW_DROPPED);
		attempt_drop(g, a);
	}
}

/* A SYN of a connection that waits already. */
static void
take_copy(struct netgate *g, struct attempt *a, struct held *held)
{
	struct host *h = a->host;
	struct throttle_reservation r;

	/* The newest takes its place: the kernel may have thrown the other away
	 * (a chain was removed, an interface went down). */
	count(g, NETGATE_COUNT_COPIES);
	if (g->settings.observe)
		attempt_refuse(g, a, false);
	else
		take_place(g, a, held);
	if (!h->policy->count_retries || held->a.stage != STAGE_SOURCE)
		return;
	throttle_request(g->throttle[NETGATE_TCP],
	    host_source(g, h, NETGATE_TCP), a->destination, 0, g->now, &r);
	freeze_check(g, h);
}

static bool
is_named(struct netgate *g, const struct attempt *a)
{
	return known_has(&host_owner(a->host)->known, a->destination, g->now) ||
	       (a->host->policy->dns_known &&
		   dns_named_has(&g->named, a->destination, g->now));
}

static void
decide(struct netgate *g, struct attempt *a)
{
	struct host *h = a->host;
	struct held *held;

	/* A frozen one's packets are refused from wherever they come. */
	if (host_owner(h)->is_frozen) {
		attempt_refuse(g, a, true);
		return;
	}
	if (h->policy->exempt) {
		count(g, NETGATE_COUNT_PASSED);
		attempt_accept(g, a);
		return;
	}
	if (g->settings.decoys != NULL &&
	    ip_ranges_have(g->settings.decoys, &a->dst) &&
	    attempt_touch_decoy(g, a))
		return;
	if (!netpolicy_allows(h->policy,
		a->protocol == NETGATE_TCP ? IPPROTO_TCP : IPPROTO_UDP, &a->dst,
		a->dport)) {
		count(g, NETGATE_COUNT_DISALLOWED);
		attempt_refuse(g, a, true);
		return;
	}
	if (a->protocol == NETGATE_TCP &&
	    (held = held_find_flow(g, a)) != NULL) {
		take_copy(g, a, held);
		return;
	}
	if (a->protocol == NETGATE_UDP && !h->policy->count_retries &&
	    (held = held_find_flow(g, a)) != NULL) {
		take_more(g, a, held);
		return;
	}
	if (is_named(g, a)) {
		count(g, NETGATE_COUNT_PASSED);
		count(g, NETGATE_COUNT_KNOWN);
		attempt_accept(g, a);
		return;
	}
	attempt_advance(g, a, NULL);
}

void
netgate_packet(struct netgate *g, uint64_t packet_id, const struct packet *p,
    struct netgate_origin origin, int64_t now, int64_t wall)
{
	struct attempt a = {
	    .packet_id = packet_id,
	    .src = p->src,
	    .dst = p->dst,
	    .sport = p->sport,
	    .dport = p->dport,
	    .tcp_seq = p->tcp_seq,
	};

	gate_enter(g, now);
	g->wall = wall;
	count(g, NETGATE_COUNT_PACKETS);
	if (p->protocol == IPPROTO_UDP) {
		a.protocol = NETGATE_UDP;
	} else if (p->protocol != IPPROTO_TCP || p->is_fragment ||
		   !packet_is_first_syn(p)) {
		g->ops->on_verdict(g->arg, packet_id, NETGATE_ACCEPT);
		return;
	}
	a.host = host_get_sender(g, &p->src, origin);
	a.destination = host_destination(g, &p->dst);
	decide(g, &a);
}

void
netgate_count_lost(struct netgate *g)
{
	if (g->counters[NETGATE_COUNT_RELEASED] > 0)
		g->counters[NETGATE_COUNT_RELEASED]--;
	count(g, NETGATE_COUNT_LOST);
}

void
netgate_lose_held(struct netgate *g, int64_t now)
{
	gate_enter(g, now);
	for (uint32_t i = 0; i < g->slot_count; i++) {
		struct held *held = g->slots[i];

		if (held == NULL || held->a.is_lost)
			continue;
		count_packets(g, NETGATE_COUNT_LOST, &held->a);
		held_set_lost(g, held, true);
		g->more_held -= held->a.more_count;
		held->a.more_count = 0;
		/* It comes again, and its place is kept. */
		if (held->a.protocol == NETGATE_TCP)
			continue;
		freeze_unqueue(g, held);
		held_free(g, held);
	}
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
	gate_enter(g, now);
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
