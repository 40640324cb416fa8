/* SPDX-License-Identifier: BSD-3-Clause */
/* See capture.h. */
#include "replay/capture.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "replay/link.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES (1u << 16)
#define WAYS 4
#define SEED 1
#define DNS_PORT 53
#define HEADERS_MAX 160 /* of what is kept without its content */
/* As the kernel's connection tracking has them. */
#define UDP_NEW_MS 30000
#define UDP_KNOWN_MS 120000
#define TCP_MS (5 * 86400 * INT64_C(1000))

struct place {
	uint64_t hash; /* 0: free */
	int64_t last;
	uint32_t seq; /* of the SYN */
	bool by_us, is_answered;
};

struct capture {
	struct flows *flows;
	const struct ip_net *nets;
	size_t net_count;
	struct place (*places)[WAYS];
	struct capture_stats stats;
	int64_t first, last;
	bool has_first;
};

static const struct ip_net private_nets[] = {
    {{IP_V4, {10}}, 8},
    {{IP_V4, {172, 16}}, 12},
    {{IP_V4, {192, 168}}, 16},
    {{IP_V4, {169, 254}}, 16},
    {{IP_V6, {0xfc}}, 7},
    {{IP_V6, {0xfe, 0x80}}, 10},
};

struct capture *
capture_new(struct flows *flows, const struct ip_net *nets, size_t net_count)
{
	struct capture *c = xcalloc(1, sizeof(*c));

	c->flows = flows;
	c->nets = net_count > 0 ? nets : private_nets;
	c->net_count = net_count > 0 ? net_count : ARRAY_LEN(private_nets);
	c->places = xcalloc(PLACES, sizeof(*c->places));
	return c;
}

void
capture_free(struct capture *c)
{
	free(c->places);
	free(c);
}

const struct capture_stats *
capture_stats(const struct capture *c)
{
	return &c->stats;
}

/* The last address of one of our networks is its broadcast address. */
static bool
is_directed(const struct capture *c, const struct ip *ip)
{
	for (size_t i = 0; i < c->net_count && ip->family == IP_V4; i++) {
		const struct ip_net *net = &c->nets[i];
		uint32_t address, host;

		if (!ip_net_has(net, ip) || net->bits > 30)
			continue;
		memcpy(&address, ip->bytes, sizeof(address));
		host = UINT32_MAX >> net->bits;
		if ((ntohl(address) & host) == host)
			return true;
	}
	return false;
}

static bool
is_broadcast(const struct capture *c, const struct ip *ip)
{
	static const uint8_t all[4] = {255, 255, 255, 255};

	if (ip->family == IP_V6)
		return ip->bytes[0] == 0xff;
	return ip->bytes[0] >= 224 || memcmp(ip->bytes, all, 4) == 0 ||
	       is_directed(c, ip);
}

/* ---- connection tracking ---- */

struct end {
	struct ip ip;
	uint16_t port;
};

static int
by_end(const struct end *a, const struct end *b)
{
	int d = memcmp(a->ip.bytes, b->ip.bytes, sizeof(a->ip.bytes));

	return d != 0 ? d : (a->port > b->port) - (a->port < b->port);
}

/* The same for both directions. */
static uint64_t
flow_hash(const struct packet *p)
{
	struct end a = {p->src, p->sport}, b = {p->dst, p->dport};
	uint8_t key[2 * (sizeof(a.ip.bytes) + 2) + 2], *at = key;
	const struct end *ends[2] = {&a, &b};
	uint64_t hash;

	if (by_end(&a, &b) > 0) {
		ends[0] = &b;
		ends[1] = &a;
	}
	for (int i = 0; i < 2; i++) {
		memcpy(at, ends[i]->ip.bytes, sizeof(a.ip.bytes));
		at += sizeof(a.ip.bytes);
		*at++ = (uint8_t)(ends[i]->port >> 8);
		*at++ = (uint8_t)ends[i]->port;
	}
	*at++ = p->protocol;
	*at++ = (uint8_t)p->src.family;
	hash = hash_bytes(key, sizeof(key), SEED);
	return hash != 0 ? hash : 1;
}

static int64_t
lasts_ms(const struct packet *p, const struct place *at)
{
	if (p->protocol == IPPROTO_TCP)
		return TCP_MS;
	return at->is_answered ? UDP_KNOWN_MS : UDP_NEW_MS;
}

/* NULL: it is not there any more. */
static struct place *
find(struct capture *c, const struct packet *p)
{
	uint64_t hash = flow_hash(p);
	struct place *v = c->places[hash % PLACES];

	for (int i = 0; i < WAYS; i++) {
		if (v[i].hash == hash &&
		    c->last - v[i].last <= lasts_ms(p, &v[i]))
			return &v[i];
	}
	return NULL;
}

/* The same one anew, a free place, or that of the oldest. */
static void
track(struct capture *c, const struct packet *p, bool by_us)
{
	uint64_t hash = flow_hash(p);
	struct place *v = c->places[hash % PLACES], *at = &v[0];

	for (int i = 0; i < WAYS; i++) {
		if (v[i].hash == hash) {
			at = &v[i];
			break;
		}
		if (v[i].hash == 0 || (at->hash != 0 && v[i].last < at->last))
			at = &v[i];
	}
	*at = (struct place){
	    .hash = hash,
	    .last = c->last,
	    .seq = p->tcp_seq,
	    .by_us = by_us,
	};
}

/* ---- packets ---- */

static bool
has_ports(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP;
}

/* It begins something, or the kernel's connection tracking has lost it. */
static bool
begins(struct capture *c, const struct packet *p)
{
	struct place *at = find(c, p);

	if (p->protocol == IPPROTO_TCP)
		return packet_is_first_syn(p) &&
		       (at == NULL || at->seq != p->tcp_seq || !at->by_us);
	return at == NULL;
}

static bool
take_out(struct capture *c, const struct packet *p, struct err *why)
{
	struct place *at;

	if (!begins(c, p)) {
		at = find(c, p);
		if (at != NULL)
			at->last = c->last;
		if (p->protocol == IPPROTO_TCP && packet_is_first_syn(p))
			c->stats.copies++;
		else
			c->stats.followed++;
		return true;
	}
	track(c, p, true);
	c->stats.opened++;
	return flows_open(c->flows, c->last - c->first, p, why);
}

static bool
keep(struct capture *c, enum flow_kind kind, struct str ip, bool whole,
    struct err *why)
{
	if (!whole)
		ip = str_sub(ip, 0, HEADERS_MAX);
	ip = str_sub(ip, 0, FLOWS_PACKET_MAX);
	if (kind == FLOW_ANSWER)
		c->stats.answers++;
	else
		c->stats.contacts++;
	return flows_learn(c->flows, c->last - c->first, kind, ip, why);
}

static bool
is_answer(const struct packet *p)
{
	return p->sport == DNS_PORT ||
	       (p->protocol == IPPROTO_TCP &&
		   (packet_is_syn_ack(p) || (p->tcp_flags & PACKET_RST) != 0));
}

static bool
take_in(
    struct capture *c, const struct packet *p, struct str ip, struct err *why)
{
	struct packet quoted;
	struct place *at;

	if (!has_ports(p))
		return !packet_quoted(p, &quoted) ||
		       keep(c, FLOW_ANSWER, ip, false, why);
	at = find(c, p);
	if (at != NULL && at->by_us) {
		at->is_answered = true;
		at->last = c->last;
		if (is_answer(p))
			return keep(
			    c, FLOW_ANSWER, ip, p->sport == DNS_PORT, why);
		c->stats.followed++;
		return true;
	}
	if (at != NULL ||
	    (p->protocol == IPPROTO_TCP && !packet_is_first_syn(p))) {
		c->stats.followed++;
		return true;
	}
	track(c, p, false);
	return keep(c, FLOW_CONTACT, ip, false, why);
}

static bool
take_ip(struct capture *c, struct str ip, struct err *why)
{
	bool from_us, to_us, ok = true;
	struct packet p;

	if (packet_parse(ip.p, ip.n, &p) != PACKET_OK) {
		c->stats.broken++;
		return true;
	}
	from_us = ip_nets_have(c->nets, c->net_count, &p.src);
	to_us = ip_nets_have(c->nets, c->net_count, &p.dst);
	if (is_broadcast(c, &p.dst) || ip_is_loopback(&p.dst))
		c->stats.broadcast++;
	else if (!from_us && !to_us)
		c->stats.foreign++;
	else if (p.is_fragment)
		c->stats.followed++;
	else if (from_us && has_ports(&p) && begins(c, &p))
		ok = take_out(c, &p, why);
	else if (to_us)
		ok = take_in(c, &p, ip, why);
	else if (has_ports(&p))
		ok = take_out(c, &p, why);
	else
		c->stats.followed++;
	return ok;
}

bool
capture_take(struct capture *c, int type, int64_t at_ms, struct str frame,
    struct err *why)
{
	struct str ip;

	if (!c->has_first) {
		c->has_first = true;
		c->first = c->last = at_ms;
	}
	if (at_ms > c->last)
		c->last = at_ms;
	if ((c->last - c->first) / 1000 > FLOWS_SECONDS_MAX) {
		err_set(why, "the time is more than %d s after the first",
		    FLOWS_SECONDS_MAX);
		return false;
	}
	c->stats.packets++;
	if (link_strip(type, frame, &ip))
		return take_ip(c, ip, why);
	c->stats.not_ip++;
	return true;
}
