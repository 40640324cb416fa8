/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One reader walks the bytes; it never passes their end. What lies behind the
 * headers may be missing, what lies within them may not.
 */
#include "packet/packet.h"

#include <netinet/in.h>
#include <string.h>

#define IPV4_LEAST 20
#define IPV6_HEADER 40
#define TCP_LEAST 20
#define UDP_HEADER 8
#define ICMP_HEADER 8
#define FRAGMENT_OFFSET 0x1fff
#define ICMP_UNREACHABLE 3
#define ICMPV6_UNREACHABLE 1

struct reader {
	const uint8_t *p;
	size_t n;
	size_t full; /* what there would be, were the packet not cut short */
};

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* The next n bytes; NULL: they are not there. */
static const uint8_t *
take(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (n > r->n)
		return NULL;
	r->p += n;
	r->n -= n;
	r->full -= n < r->full ? n : r->full;
	return p;
}

/* So much does the IP header say there is. */
static void
cut(struct reader *r, size_t n)
{
	if (r->n > n)
		r->n = n;
	r->full = n;
}

static struct ip
get_ip(enum ip_family family, const uint8_t *p)
{
	struct ip ip = {.family = family};

	memcpy(ip.bytes, p, family == IP_V4 ? 4 : 16);
	return ip;
}

static enum packet_result
read_ipv4(struct reader *r, struct packet *out)
{
	const uint8_t *p = take(r, IPV4_LEAST);
	size_t header, total;

	if (p == NULL)
		return PACKET_TRUNCATED;
	header = (size_t)(p[0] & 15) * 4;
	total = get16(p + 2);
	if (header < IPV4_LEAST || total < header)
		return PACKET_MALFORMED;
	if (take(r, header - IPV4_LEAST) == NULL)
		return PACKET_TRUNCATED;
	cut(r, total - header);
	out->src = get_ip(IP_V4, p + 12);
	out->dst = get_ip(IP_V4, p + 16);
	out->protocol = p[9];
	out->is_fragment = (get16(p + 6) & FRAGMENT_OFFSET) != 0;
	return PACKET_OK;
}

static bool
is_extension(uint8_t header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING ||
	       header == IPPROTO_DSTOPTS || header == IPPROTO_FRAGMENT ||
	       header == IPPROTO_AH;
}

/* Takes one extension header off; *next is what follows it. */
static enum packet_result
read_extension(struct reader *r, uint8_t *next, struct packet *out)
{
	const uint8_t *p = take(r, 8);
	uint8_t type = *next;
	size_t more;

	if (p == NULL)
		return PACKET_TRUNCATED;
	*next = p[0];
	if (type == IPPROTO_FRAGMENT) {
		out->is_fragment = (get16(p + 2) & 0xfff8) != 0;
		return PACKET_OK;
	}
	/* RFC 4302: AH counts in words of 4 less 2, the others in 8 less 1. */
	if (type == IPPROTO_AH)
		more = ((size_t)p[1] + 2) * 4;
	else
		more = ((size_t)p[1] + 1) * 8;
	if (more < 8)
		return PACKET_MALFORMED;
	return take(r, more - 8) != NULL ? PACKET_OK : PACKET_TRUNCATED;
}

static enum packet_result
read_ipv6(struct reader *r, struct packet *out)
{
	const uint8_t *p = take(r, IPV6_HEADER);
	enum packet_result result = PACKET_OK;
	uint8_t next;

	if (p == NULL)
		return PACKET_TRUNCATED;
	cut(r, get16(p + 4));
	out->src = get_ip(IP_V6, p + 8);
	out->dst = get_ip(IP_V6, p + 24);
	next = p[6];
	for (int i = 0; is_extension(next) && !out->is_fragment; i++) {
		if (i == PACKET_EXTENSIONS_MAX)
			return PACKET_TOO_DEEP;
		result = read_extension(r, &next, out);
		if (result != PACKET_OK)
			return result;
	}
	out->protocol = next;
	return result;
}

static enum packet_result
read_tcp(struct reader *r, struct packet *out)
{
	const uint8_t *p = take(r, TCP_LEAST);

	if (p == NULL)
		return PACKET_TRUNCATED;
	if (p[12] >> 4 < 5)
		return PACKET_MALFORMED;
	out->sport = get16(p);
	out->dport = get16(p + 2);
	out->tcp_seq = get32(p + 4);
	out->tcp_flags = p[13];
	/* Options that are missing take the payload with them. */
	if (take(r, (size_t)(p[12] >> 4) * 4 - TCP_LEAST) != NULL) {
		out->payload = (struct str){(const char *)r->p, r->n};
		out->payload_full = r->full;
	}
	return PACKET_OK;
}

static enum packet_result
read_udp(struct reader *r, struct packet *out)
{
	const uint8_t *p = take(r, UDP_HEADER);

	if (p == NULL)
		return PACKET_TRUNCATED;
	if (get16(p + 4) != 0 && get16(p + 4) < UDP_HEADER)
		return PACKET_MALFORMED;
	out->sport = get16(p);
	out->dport = get16(p + 2);
	out->payload = (struct str){(const char *)r->p, r->n};
	out->payload_full = r->full;
	return PACKET_OK;
}

static enum packet_result
read_icmp(struct reader *r, struct packet *out)
{
	const uint8_t *p = take(r, ICMP_HEADER);

	if (p == NULL)
		return PACKET_TRUNCATED;
	out->icmp_type = p[0];
	out->icmp_code = p[1];
	out->payload = (struct str){(const char *)r->p, r->n};
	out->payload_full = r->full;
	return PACKET_OK;
}

static enum packet_result
read_transport(struct reader *r, struct packet *out)
{
	if (out->is_fragment)
		return PACKET_OK;
	switch (out->protocol) {
	case IPPROTO_TCP:
		return read_tcp(r, out);
	case IPPROTO_UDP:
		return read_udp(r, out);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return read_icmp(r, out);
	default:
		return PACKET_OK;
	}
}

static enum packet_result
read_network(struct reader *r, struct packet *out)
{
	memset(out, 0, sizeof(*out));
	if (r->n == 0)
		return PACKET_TRUNCATED;
	if (r->p[0] >> 4 == 4)
		return read_ipv4(r, out);
	if (r->p[0] >> 4 == 6)
		return read_ipv6(r, out);
	return PACKET_MALFORMED;
}

enum packet_result
packet_parse(const void *bytes, size_t n, struct packet *out)
{
	struct reader r = {bytes, n, n};
	enum packet_result result = read_network(&r, out);

	return result == PACKET_OK ? read_transport(&r, out) : result;
}

bool
packet_quoted(const struct packet *icmp, struct packet *out)
{
	struct reader r = {
	    (const uint8_t *)icmp->payload.p, icmp->payload.n, icmp->payload.n};
	bool v4 = icmp->protocol == IPPROTO_ICMP &&
		  icmp->icmp_type == ICMP_UNREACHABLE;
	bool v6 = icmp->protocol == IPPROTO_ICMPV6 &&
		  icmp->icmp_type == ICMPV6_UNREACHABLE;
	const uint8_t *ports;

	if ((!v4 && !v6) || icmp->is_fragment ||
	    read_network(&r, out) != PACKET_OK || out->is_fragment)
		return false;
	/* Eight bytes of the transport header are all that is promised. */
	ports = take(&r, 8);
	if (ports == NULL)
		return false;
	out->sport = get16(ports);
	out->dport = get16(ports + 2);
	return true;
}
