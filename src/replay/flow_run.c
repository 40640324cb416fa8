/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See flow_run.h. A packet's id is the number of its flow. Between two flows
 * the gate runs whenever it has something due, as the daemon's timer does.
 */
#include "replay/flow_run.h"

#include "netgate/netgate.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define HELD_MAX 1000000
#define SYN 0x02
#define STILL INT64_MIN /* waits */
#define NEVER (INT64_MIN + 1)
#define NET 0x0a000000u /* addresses of the trace; the attacked are others */
#define FIRST_PORT 1024
#define PORTS 60000

struct run {
	struct netgate *g;
	const struct flows *flows; /* NULL: an attack */
	int64_t now;
	int64_t *waits; /* by flow: ms, STILL or NEVER */
	uint64_t freezes, reached;
	uint8_t *frozen; /* by address: 1 */
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
	uint32_t address;

	r->freezes++;
	if (r->flows == NULL)
		return;
	memcpy(&address, f->source.bytes, sizeof(address));
	address = ntohl(address) - NET;
	if (address < flows_address_count(r->flows))
		r->frozen[address] = 1;
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

static struct ip
address(uint32_t number)
{
	struct ip ip = {.family = IP_V4};
	uint32_t bytes = htonl(number);

	memcpy(ip.bytes, &bytes, sizeof(bytes));
	return ip;
}

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
send_flow(struct run *r, uint64_t id, const struct flow *f, uint32_t dst)
{
	static const struct netgate_origin proven = {.proven = true};
	struct packet p = {
	    .src = address(NET + f->src),
	    .dst = address(dst),
	    .protocol = f->protocol,
	    .sport = (uint16_t)(FIRST_PORT + id % PORTS),
	    .dport = f->dport,
	    .tcp_flags = SYN,
	    .tcp_seq = (uint32_t)id,
	};

	run_until(r, f->at);
	netgate_packet(r->g, id, &p, proven, f->at, f->at);
}

static void
begin(struct run *r, const struct netpolicies *policies, uint32_t hosts)
{
	struct netgate_settings settings = {
	    .policies = policies,
	    .hosts_max = hosts > 0 ? hosts : 1,
	    .held_max = HELD_MAX,
	    .ipv6_prefix = 128,
	};

	r->g = netgate_new(&settings, &ops, r, NULL);
}

static void
count_flows(struct run *r, struct flow_result *out)
{
	uint32_t n = flows_address_count(r->flows);
	uint8_t *seen = xcalloc(n + 1, 1), *noticed = xcalloc(n + 1, 1);
	int64_t *waits[FLOW_PROTOCOLS];
	size_t count[FLOW_PROTOCOLS] = {0};

	for (int i = 0; i < FLOW_PROTOCOLS; i++)
		waits[i] = xcalloc(r->flows->count + 1, sizeof(*waits[i]));
	for (uint32_t i = 0; i < r->flows->count; i++) {
		const struct flow *f = &r->flows->v[i];
		int p = f->protocol == IPPROTO_TCP ? FLOW_TCP : FLOW_UDP;

		out->of[p].flows++;
		seen[f->src] = 1;
		out->of[p].never += r->waits[i] < 0;
		if (r->waits[i] > 0)
			waits[p][count[p]++] = r->waits[i];
		noticed[f->src] |= r->waits[i] != 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		out->sources += seen[i];
		out->frozen += r->frozen[i];
		out->unnoticed += seen[i] && !noticed[i];
	}
	for (int i = 0; i < FLOW_PROTOCOLS; i++) {
		report_spread(waits[i], count[i], &out->of[i].waited);
		free(waits[i]);
	}
	out->freezes = r->freezes;
	free(seen);
	free(noticed);
}

bool
flow_run(const struct netpolicies *policies, const struct flows *flows,
    const volatile sig_atomic_t *stop, struct flow_result *out)
{
	uint32_t hosts = flows_address_count(flows);
	struct run r = {.flows = flows};
	uint32_t i = 0;

	*out = (struct flow_result){0};
	begin(&r, policies, hosts);
	r.waits = xcalloc(flows->count + 1, sizeof(*r.waits));
	r.frozen = xcalloc(hosts + 1, 1);
	for (uint32_t n = 0; n < flows->count; n++)
		r.waits[n] = STILL;
	for (; i < flows->count && !*stop; i++)
		send_flow(&r, i, &flows->v[i], NET + flows->v[i].dst);
	/* What still waits goes within as many intervals. */
	for (uint64_t n = 0; netgate_held_count(r.g) > 0 && !*stop; n++)
		run_until(&r, netgate_next_due(r.g));
	if (i == flows->count && !*stop)
		count_flows(&r, out);
	netgate_free(r.g);
	free(r.waits);
	free(r.frozen);
	return !*stop;
}

bool
flow_run_attack(const struct netpolicies *policies,
    const struct attack_plan *plan, const volatile sig_atomic_t *stop,
    struct flow_attack_result *out)
{
	struct run r = {0};
	struct flow f = {
	    .protocol = plan->is_udp ? IPPROTO_UDP : IPPROTO_TCP,
	    .dport = 445,
	};

	begin(&r, policies, 1);
	*out = (struct flow_attack_result){.frozen_after = -1};
	for (uint32_t i = 0; r.freezes == 0 && !*stop; i++) {
		f.at = attack_at(plan, i);
		if (f.at >= ATTACK_MS)
			break;
		send_flow(&r, i, &f, NET + 1 + i);
	}
	if (r.freezes > 0)
		out->frozen_after = r.now;
	out->reached = r.reached;
	netgate_free(r.g);
	return !*stop;
}
