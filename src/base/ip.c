/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses as bytes; inet_pton and inet_ntop know the text forms.
 */
#include "base/ip.h"

#include <arpa/inet.h>
#include <string.h>

#define SITE_BITS 64

static const uint8_t mapped_prefix[12] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static unsigned
family_bits(enum ip_family family)
{
	switch (family) {
	case IP_V4:
		return 32;
	case IP_V6:
		return 128;
	case IP_NONE:
		break;
	}
	return 0;
}

bool
ip_parse(struct str s, struct ip *out)
{
	char text[IP_TEXT_MAX];
	struct ip ip = {IP_NONE, {0}};

	/* A NUL would end the text early and hide what follows. */
	if (s.n >= sizeof(text) || str_index(s, '\0') < s.n)
		return false;
	str_copy(s, text, sizeof(text));
	if (inet_pton(AF_INET, text, ip.bytes) == 1) {
		ip.family = IP_V4;
	} else if (inet_pton(AF_INET6, text, ip.bytes) == 1) {
		ip.family = IP_V6;
		if (memcmp(ip.bytes, mapped_prefix, 12) == 0) {
			ip.family = IP_V4;
			memmove(ip.bytes, ip.bytes + 12, 4);
			memset(ip.bytes + 4, 0, 12);
		}
	} else {
		return false;
	}
	*out = ip;
	return true;
}

/* inet_ntop goes through printf, which costs a message as much as its reply. */
static void
format_v4(const uint8_t bytes[4], char *out)
{
	for (int i = 0; i < 4; i++) {
		unsigned v = bytes[i];

		if (v >= 100)
			*out++ = (char)('0' + v / 100);
		if (v >= 10)
			*out++ = (char)('0' + v / 10 % 10);
		*out++ = (char)('0' + v % 10);
		*out++ = i < 3 ? '.' : '\0';
	}
}

const char *
ip_format(const struct ip *ip, char out[IP_TEXT_MAX])
{
	switch (ip->family) {
	case IP_NONE:
		str_copy(STR("local"), out, IP_TEXT_MAX);
		break;
	case IP_V4:
		format_v4(ip->bytes, out);
		break;
	case IP_V6:
		inet_ntop(AF_INET6, ip->bytes, out, IP_TEXT_MAX);
		break;
	}
	return out;
}

bool
ip_eq(const struct ip *a, const struct ip *b)
{
	return a->family == b->family &&
	       memcmp(a->bytes, b->bytes, family_bits(a->family) / 8) == 0;
}

bool
ip_is_loopback(const struct ip *ip)
{
	static const uint8_t one[16] = {[15] = 1};

	if (ip->family == IP_V4)
		return ip->bytes[0] == 127;
	return ip->family == IP_V6 && memcmp(ip->bytes, one, 16) == 0;
}

struct ip
ip_mask(const struct ip *ip, unsigned bits)
{
	struct ip net = *ip;

	for (unsigned i = 0; i < sizeof(net.bytes); i++) {
		if (bits >= 8 * (i + 1))
			continue;
		if (bits <= 8 * i)
			net.bytes[i] = 0;
		else
			net.bytes[i] &= (uint8_t)(0xff00 >> (bits - 8 * i));
	}
	return net;
}

struct str
ip_site_key(const struct ip *ip, struct ip *site)
{
	*site = ip->family == IP_V6 ? ip_mask(ip, SITE_BITS) : *ip;
	return (struct str){
	    (const char *)site->bytes, ip->family == IP_V4 ? 4 : 16};
}

bool
ip_net_parse(struct str s, struct ip_net *out)
{
	struct str address = str_cut(&s, '/');
	bool has_bits = address.p + address.n != s.p;
	struct ip_net net;
	struct ip masked;
	uint64_t bits;

	if (!ip_parse(address, &net.ip))
		return false;
	net.bits = family_bits(net.ip.family);
	if (has_bits) {
		if (!str_to_u64(s, &bits) || bits > 128)
			return false;
		/* An IPv4-mapped network counts its 96 leading bits. */
		if (net.ip.family == IP_V4 &&
		    str_index(address, ':') < address.n) {
			if (bits < 96)
				return false;
			bits -= 96;
		}
		if (bits > net.bits)
			return false;
		net.bits = (unsigned)bits;
	}
	masked = ip_mask(&net.ip, net.bits);
	if (!ip_eq(&masked, &net.ip))
		return false;
	*out = net;
	return true;
}

bool
ip_net_has(const struct ip_net *net, const struct ip *ip)
{
	struct ip masked;

	if (ip->family == IP_NONE || ip->family != net->ip.family)
		return false;
	masked = ip_mask(ip, net->bits);
	return ip_eq(&masked, &net->ip);
}

bool
ip_nets_have(const struct ip_net *nets, size_t n, const struct ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (ip_net_has(&nets[i], ip))
			return true;
	}
	return false;
}
