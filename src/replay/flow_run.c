/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See flow_run.h. A packet's id is the number of its flow. Between two flows
 * the gate runs whenever it has something due, as the daemon's timer does.
 */
#include "replay/flow_run.h"

#include "netgate/netgate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define HELD_MAX 1000000
#define SYN 0x02
#define STILL INT64_MIN /* waits */
#define NEVER (INT64_MIN + 1)
#define ATTACKED                                                    \
	0x0b000000u /* the first address that an attack reaches for \
		     */
#define FIRST_PORT 1024
#define PORTS 60000

struct run {
	struct netgate *g;
	const struct flows *flows; /* NULL: an attack */
	int64_t now;
	int64_t *waits; /* by flow: ms, STILL or NEVER */
	uint64_t freezes, reached;
	uint32_t counts_from; /* the first flow that counts */
	int64_t counts_at;    /* its time */
	struct map *frozen;   /* by name; NULL: an attack */
};

static void
on_verdict(void *arg, uint64_t id, enum netgate_verdict v)
{
	struct run *r = arg;
	bool passes = v == NETGATE_ACCEPT || v == NETGATE_RELEASE;

	r->reached += passes;
	if (r->flows != NULL)
		r->waits[id] = passes ? r->now - r->flows->v[id].at : NEVER;
}

static void
on_freeze(void *arg, const struct netgate_freeze *f)
{
	struct run *r = arg;

	if (r->now < r->counts_at)
		return;
	r->freezes++;
	if (r->frozen != NULL)
		map_set(r->frozen, str_from(f->text), r);
}

static void
on_thaw(void *arg, const struct ip *source, const char *who)
{
	(void)arg;
	(void)source;
	(void)who;
}

static void
on_notice(void *arg, const struct netgate_notice *notice)
{
	(void)arg;
	(void)notice;
}

static void
on_state(void *arg)
{
	(void)arg;
}

static const struct netgate_ops ops = {
    .on_verdict = on_verdict,
    .on_freeze = on_freeze,
    .on_thaw = on_thaw,
    .on_notice = on_notice,
    .on_state = on_state,
};

static void
run_until(struct run *r, int64_t at)
{
	int64_t due;

	while ((due = netgate_next_due(r->g)) <= at) {
		if (due > r->now)
			r->now = due;
		netgate_run(r->g, r->now, r->now);
	}
	r->now = at;
}

static void
send_packet(struct run *r, uint64_t id, const struct packet *p, int64_t at)
{
	static const struct netgate_origin proven = {.proven = true};

	run_until(r, at);
	netgate_packet(r->g, id, p, proven, at, at);
}

static void
learn(struct run *r, const struct flow *f)
{
	struct str bytes = flows_packet(r->flows, f);
	struct packet p;

	run_until(r, f->at);
	if (packet_parse(bytes.p, bytes.n, &p) == PACKET_OK)
		netgate_watch(r->g, &p,
		    f->kind == FLOW_CONTACT ? NETGATE_CONTACT : NETGATE_ANSWER,
		    f->at);
}

static void
play(struct run *r, uint32_t id)
{
	const struct flow *f = &r->flows->v[id];
	struct packet p = {
	    .protocol = f->protocol,
	    .sport = f->sport,
	    .dport = f->dport,
	    .tcp_flags = SYN,
	    .tcp_seq = f->seq,
	};

	if (f->kind != FLOW_OPEN) {
		learn(r, f);
		return;
	}
	p.src = r->flows->ips[f->src];
	p.dst = r->flows->ips[f->dst];
	send_packet(r, id, &p, f->at);
}

struct netgate_settings
flow_gate(const struct netpolicies *policies)
{
	return (struct netgate_settings){
	    .policies = policies,
	    .held_max = HELD_MAX,
	    .ipv6_prefix = 128,
	};
}

static void
begin(struct run *r, const struct netgate_settings *gate, uint32_t hosts)
{
	struct netgate_settings settings = *gate;

	if (settings.hosts_max == 0)
		settings.hosts_max = hosts > 0 ? hosts : 1;
	r->g = netgate_new(&settings, &ops, r, NULL);
}

static void
count_flows(struct run *r, uint32_t end, struct flow_result *out)
{
	uint32_t n = flows_address_count(r->flows);
	uint8_t *seen = xcalloc(n + 1, 1), *noticed = xcalloc(n + 1, 1);
	int64_t *waits[FLOW_PROTOCOLS];
	size_t count[FLOW_PROTOCOLS] = {0};

	for (int i = 0; i < FLOW_PROTOCOLS; i++)
		waits[i] = xcalloc(r->flows->count + 1, sizeof(*waits[i]));
	for (uint32_t i = r->counts_from; i < end; i++) {
		const struct flow *f = &r->flows->v[i];
		int p = f->protocol == IPPROTO_TCP ? FLOW_TCP : FLOW_UDP;

		if (f->kind != FLOW_OPEN)
			continue;
		out->of[p].flows++;
		seen[f->src] = 1;
		out->of[p].never += r->waits[i] < 0;
		if (r->waits[i] > 0)
			waits[p][count[p]++] = r->waits[i];
		noticed[f->src] |= r->waits[i] != 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		out->sources += seen[i];
		out->unnoticed += seen[i] && !noticed[i];
	}
	for (int i = 0; i < FLOW_PROTOCOLS; i++) {
		report_spread(waits[i], count[i], &out->of[i].waited);
		free(waits[i]);
	}
	out->freezes = r->freezes;
	out->frozen = map_count(r->frozen);
	free(seen);
	free(noticed);
}

bool
flow_run(const struct netgate_settings *gate, const struct flows *flows,
    struct flow_part part, const volatile sig_atomic_t *stop,
    struct flow_result *out)
{
	struct run r = {.flows = flows, .counts_from = part.first};
	uint32_t i = 0;

	*out = (struct flow_result){0};
	if (part.first < part.end)
		r.counts_at = flows->v[part.first].at;
	begin(&r, gate, flows_address_count(flows));
	r.waits = xcalloc(flows->count + 1, sizeof(*r.waits));
	r.frozen = map_new();
	for (uint32_t n = 0; n < flows->count; n++)
		r.waits[n] = STILL;
	for (; i < part.end && !*stop; i++)
		play(&r, i);
	/* What still waits goes within as many intervals. */
	while (netgate_held_count(r.g) > 0 && !*stop)
		run_until(&r, netgate_next_due(r.g));
	if (i == part.end && !*stop)
		count_flows(&r, part.end, out);
	netgate_free(r.g);
	free(r.waits);
	map_free(r.frozen, NULL);
	return !*stop;
}

bool
flow_run_attack(const struct netgate_settings *gate, const struct ip *attacker,
    const struct attack_plan *plan, const volatile sig_atomic_t *stop,
    struct flow_attack_result *out)
{
	struct run r = {0};
	struct packet p = {
	    .src = *attacker,
	    .dst.family = IP_V4,
	    .protocol = plan->is_udp ? IPPROTO_UDP : IPPROTO_TCP,
	    .dport = 445,
	    .tcp_flags = SYN,
	};

	begin(&r, gate, 1);
	*out = (struct flow_attack_result){.frozen_after = -1};
	for (uint32_t i = 0; r.freezes == 0 && !*stop; i++) {
		uint32_t dst = htonl(ATTACKED + 1 + i);
		int64_t at = attack_at(plan, i);

		if (at >= ATTACK_MS)
			break;
		memcpy(p.dst.bytes, &dst, sizeof(dst));
		p.sport = (uint16_t)(FIRST_PORT + i % PORTS);
		p.tcp_seq = i;
		send_packet(&r, i, &p, at);
	}
	if (r.freezes > 0)
		out->frozen_after = r.now;
	out->reached = r.reached;
	netgate_free(r.g);
	return !*stop;
}
