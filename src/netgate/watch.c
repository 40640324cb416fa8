/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is learnt from packets that come in: addresses that DNS named, who came
 * to us first, how first contacts went.
 */
#include "netgate/internal.h"

#include "packet/dns.h"
#include "packet/dns_stream.h"

#include <netinet/in.h>

#define DNS_PORT 53
#define DNS_TTL_LEAST_MS 5000
#define DNS_TTL_MAX_MS (24 * 3600 * INT64_C(1000))

struct learning {
	struct netgate *g;
	struct host *host;
	bool for_all; /* the host is a resolver */
};

/* One machine's IPv4 and IPv6 addresses are two hosts to us, and nobody can
 * tell that they belong together: what is named over the one for the other
 * counts for all. */
static void
on_dns_address(void *arg, const struct ip *ip, uint32_t ttl)
{
	struct learning *l = arg;
	uint64_t destination = host_destination(l->g, ip);
	int64_t ms = ttl * INT64_C(1000);

	/* A TTL of 0 is to be used once, which takes a moment. */
	if (ms < DNS_TTL_LEAST_MS)
		ms = DNS_TTL_LEAST_MS;
	if (ms > DNS_TTL_MAX_MS)
		ms = DNS_TTL_MAX_MS;
	if (l->for_all || ip->family != l->host->ip.family)
		dns_named_add(&l->g->named, destination, l->g->now + ms);
	else
		host_remember(
		    l->g, &l->host->known, destination, l->g->now + ms);
}

static void
on_dns_message(void *arg, struct str message)
{
	struct learning *l = arg;

	if (dns_answer_each(message, l->g->seed, on_dns_address, l) > 0)
		count(l->g, NETGATE_COUNT_DNS_ANSWERS);
}

static bool
is_dns_server(const struct netgate *g, const struct ip *ip)
{
	const struct netgate_settings *s = &g->settings;

	return s->dns_server_count == 0 ||
	       ip_nets_have(s->dns_servers, s->dns_server_count, ip);
}

static void
learn_dns(struct netgate *g, const struct packet *p)
{
	/* What a resolver on this host answered to a program on it: no other
	 * machine can send that. */
	struct learning l = {.g = g,
	    .for_all = ip_is_loopback(&p->dst) ||
		       ip_nets_have(g->settings.dns_resolvers,
			   g->settings.dns_resolver_count, &p->dst)};

	/* Whom a resolver believes is its own matter. */
	if (!l.for_all &&
	    (!host_policy(g, &p->dst)->dns_known || !is_dns_server(g, &p->src)))
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

/* An attempt towards the destination had an outcome: each counts once. */
static void
end_pending(
    struct netgate *g, struct host *h, uint64_t destination, bool success)
{
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
learn_outcome(
    struct netgate *g, const struct ip *ip, const struct ip *dst, bool success)
{
	struct host *h = host_find(g, ip);
	uint64_t destination = host_destination(g, dst);

	end_pending(g, h, destination, success);
	if (h != NULL)
		end_pending(g, h->claimed, destination, success);
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
	gate_enter(g, now);
	if (p->is_fragment)
		return;
	if (what == NETGATE_ANSWER)
		learn_answer(g, p);
	else if (p->protocol == IPPROTO_UDP ||
		 (p->protocol == IPPROTO_TCP && packet_is_first_syn(p)))
		learn_inbound(g, p);
}
