/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The headers of one IP packet, as far as a throttle asks for them: addresses,
 * protocol, ports, TCP flags. Pure. The bytes are hostile and may be cut short
 * anywhere after the headers (the kernel copies only the beginning). RFC 791,
 * 8200, 9293, 768, 792, 4443.
 */
#ifndef PACKET_PACKET_H
#define PACKET_PACKET_H

#include "base/ip.h"

enum packet_result {
	PACKET_OK,
	PACKET_TRUNCATED, /* ends within a header */
	PACKET_MALFORMED, /* a length or version that cannot be */
	PACKET_TOO_DEEP,  /* more IPv6 extension headers than we follow */
};

enum packet_tcp_flag {
	PACKET_FIN = 0x01,
	PACKET_SYN = 0x02,
	PACKET_RST = 0x04,
	PACKET_ACK = 0x10,
};

#define PACKET_EXTENSIONS_MAX 8

struct packet {
	struct ip src, dst;
	uint8_t protocol; /* IPPROTO_TCP, _UDP, _ICMP, _ICMPV6 or another */
	bool is_fragment; /* not the first: it has no ports */
	uint16_t sport, dport; /* 0 where there are none */
	uint8_t tcp_flags;
	uint32_t tcp_seq;
	uint8_t icmp_type, icmp_code;
	struct str payload;  /* after the TCP, UDP or ICMP header, as far as it
				was copied; borrowed */
	size_t payload_full; /* its length, were it all there */
};

MUST_CHECK enum packet_result packet_parse(
    const void *bytes, size_t n, struct packet *out);
/* A destination-unreachable message quotes the packet that it answers. False:
 * it is none, or the quote cannot be read. */
MUST_CHECK bool packet_quoted(const struct packet *icmp, struct packet *out);

static inline bool
packet_is_first_syn(const struct packet *p)
{
	return (p->tcp_flags & (PACKET_SYN | PACKET_ACK | PACKET_RST |
				   PACKET_FIN)) == PACKET_SYN;
}

static inline bool
packet_is_syn_ack(const struct packet *p)
{
	return (p->tcp_flags & (PACKET_SYN | PACKET_ACK | PACKET_RST)) ==
	       (PACKET_SYN | PACKET_ACK);
}

#endif
