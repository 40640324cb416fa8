/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 1 is a line, version 2 a binary header behind a signature that no
 * other protocol begins with. Whatever cannot become either any more is bad at
 * once, so that no client sits waiting.
 */
#include "net/proxy.h"

#include <string.h>

#define V1_MAX 107
#define V2_HEADER 16

static const struct str v1_start = STR("PROXY ");
static const struct str v2_start =
    STR("\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A");

/* in begins with start, or may still do so. */
static bool
may_start(struct str in, struct str start)
{
	return str_starts(start, str_sub(in, 0, start.n));
}

static bool
read_port(struct str s, uint16_t *out)
{
	uint64_t n;

	if (!str_to_u64(s, &n) || n > UINT16_MAX || (s.n > 1 && s.p[0] == '0'))
		return false;
	*out = (uint16_t)n;
	return true;
}

static bool
read_ip(struct str s, bool v6, struct ip *out)
{
	bool has_colon = str_index(s, ':') < s.n;

	return has_colon == v6 && ip_parse(s, out);
}

static bool
read_v1(struct str line, struct proxy_header *out)
{
	struct str family = str_cut(&line, ' ');
	struct str client, server, client_port;
	bool v6 = str_eq(family, STR("TCP6"));

	if (str_eq(family, STR("UNKNOWN"))) {
		out->is_local = true;
		return true;
	}
	if (!v6 && !str_eq(family, STR("TCP4")))
		return false;
	client = str_cut(&line, ' ');
	server = str_cut(&line, ' ');
	client_port = str_cut(&line, ' ');
	return read_ip(client, v6, &out->client) &&
	       read_ip(server, v6, &out->server) &&
	       read_port(client_port, &out->client_port) &&
	       read_port(line, &out->server_port);
}

static enum proxy_state
parse_v1(struct str in, struct proxy_header *out)
{
	struct str most = str_sub(in, 0, V1_MAX);
	size_t lf = str_index(most, '\n');
	struct str line;

	if (lf == most.n)
		return most.n < V1_MAX ? PROXY_MORE : PROXY_BAD;
	if (in.p[lf - 1] != '\r')
		return PROXY_BAD;
	out->length = lf + 1;
	line = str_sub(in, v1_start.n, lf - 1 - v1_start.n);
	return read_v1(line, out) ? PROXY_DONE : PROXY_BAD;
}

static uint16_t
get_16(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
set_ip(struct ip *ip, enum ip_family family, const unsigned char *p, size_t n)
{
	*ip = (struct ip){.family = family};
	memcpy(ip->bytes, p, n);
}

/* Addresses behind the header; size is theirs with the extensions. */
static bool
read_v2(const unsigned char *p, unsigned family, size_t size,
    struct proxy_header *out)
{
	enum ip_family ip = family == 0x11 ? IP_V4 : IP_V6;
	size_t n = ip == IP_V4 ? 4 : 16;

	if (family != 0x11 && family != 0x21) {
		out->is_local = true; /* datagrams, Unix sockets, unspecified */
		return true;
	}
	if (size < 2 * n + 4)
		return false;
	set_ip(&out->client, ip, p, n);
	set_ip(&out->server, ip, p + n, n);
	out->client_port = get_16(p + 2 * n);
	out->server_port = get_16(p + 2 * n + 2);
	return true;
}

static enum proxy_state
parse_v2(struct str in, struct proxy_header *out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	size_t size;

	if (in.n < V2_HEADER)
		return PROXY_MORE;
	size = get_16(p + 14);
	out->length = V2_HEADER + size;
	if (p[12] >> 4 != 2 || (p[12] & 15) > 1 || out->length > PROXY_MAX)
		return PROXY_BAD;
	if (in.n < out->length)
		return PROXY_MORE;
	if ((p[12] & 15) == 0) {
		out->is_local = true;
		return PROXY_DONE;
	}
	return read_v2(p + V2_HEADER, p[13], size, out) ? PROXY_DONE
							: PROXY_BAD;
}

/* An IPv4 client of a proxy that listens on IPv6. */
static void
unmap(struct ip *ip)
{
	char text[IP_TEXT_MAX];
	struct ip plain;

	if (ip->family == IP_V6 &&
	    ip_parse(str_from(ip_format(ip, text)), &plain))
		*ip = plain;
}

/* Whoever reads no more than this reads nothing of what follows. */
static size_t
need_of(struct str in, const struct proxy_header *h)
{
	if (in.n < PROXY_LEAST)
		return PROXY_LEAST - in.n;
	if (in.p[0] == v1_start.p[0])
		return in.p[in.n - 1] == '\r' ? 1 : 2;
	return in.n < V2_HEADER ? V2_HEADER - in.n : h->length - in.n;
}

enum proxy_state
proxy_parse(struct str in, struct proxy_header *out)
{
	enum proxy_state state;

	*out = (struct proxy_header){0};
	if (in.n == 0)
		state = PROXY_MORE;
	else if (may_start(in, v1_start))
		state = in.n < v1_start.n ? PROXY_MORE : parse_v1(in, out);
	else if (may_start(in, v2_start))
		state = parse_v2(in, out);
	else
		state = PROXY_BAD;
	unmap(&out->client);
	unmap(&out->server);
	if (state == PROXY_MORE)
		out->need = need_of(in, out);
	return state;
}
