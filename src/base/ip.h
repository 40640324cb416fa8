/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IP addresses and networks as values: no resolver, no socket.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/str.h"

#define IP_TEXT_MAX 48

enum ip_family { IP_NONE, IP_V4, IP_V6 }; /* IP_NONE: a Unix socket peer */

struct ip {
	enum ip_family family;
	uint8_t bytes[16]; /* network order; IPv4 in the first four */
};

struct ip_net {
	struct ip ip;
	unsigned bits;
};

/* "192.0.2.1", "2001:db8::1"; an IPv4-mapped IPv6 address becomes IPv4. */
MUST_CHECK bool ip_parse(struct str s, struct ip *out);
const char *ip_format(const struct ip *ip, char out[IP_TEXT_MAX]); /* "local"
								    for NONE */
bool ip_eq(const struct ip *a, const struct ip *b);
bool ip_is_loopback(const struct ip *ip);
/* "192.0.2.0/24", "2001:db8::/32", or one address. Host bits must be 0. */
MUST_CHECK bool ip_net_parse(struct str s, struct ip_net *out);
bool ip_net_has(const struct ip_net *net, const struct ip *ip);
bool ip_nets_have(const struct ip_net *nets, size_t n, const struct ip *ip);
/* The network of that many leading bits, host bits cleared. */
struct ip ip_mask(const struct ip *ip, unsigned bits);
/* A key for what one customer of a network has: an IPv4 address, or an IPv6
 * /64, in which anybody may take as many addresses as he likes. The bytes lie
 * in site. */
struct str ip_site_key(const struct ip *ip, struct ip *site);

#endif
