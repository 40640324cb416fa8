/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Socket addresses from text and back. No resolver: a host name is an error
 * here, its caller splits it off with net_addr_split and looks it up.
 */
#include "net/addr.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static bool
parse_port(struct str s, uint16_t *port)
{
	uint64_t v;

	if (s.n > 5 || !str_to_u64(s, &v) || v > UINT16_MAX)
		return false;
	*port = (uint16_t)v;
	return true;
}

static void
set_ip(struct net_addr *out, const struct ip *ip, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->ss;

	memset(out, 0, sizeof(*out));
	if (ip->family == IP_V4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, ip->bytes, 4);
		out->len = sizeof(*v4);
	} else {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		memcpy(&v6->sin6_addr, ip->bytes, 16);
		out->len = sizeof(*v6);
	}
}

static bool
parse_unix(struct str path, struct net_addr *out, char *err, size_t cap)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->ss;

	if (!str_starts(path, STR("/"))) {
		snprintf(err, cap, "a socket's path starts with /");
		return false;
	}
	if (path.n >= sizeof(un->sun_path) || str_index(path, '\0') < path.n) {
		snprintf(err, cap, "a socket's path has at most %zu bytes",
		    sizeof(un->sun_path) - 1);
		return false;
	}
	memset(out, 0, sizeof(*out));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.p, path.n);
	out->len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
	return true;
}

bool
net_addr_parse(struct str s, struct net_addr *out, char *err, size_t cap)
{
	struct str host;
	uint16_t port;
	struct ip ip;

	if (str_starts(s, STR("unix:")))
		return parse_unix(str_sub(s, 5, s.n), out, err, cap);
	if (!net_addr_split(s, &host, &port)) {
		snprintf(err, cap,
		    "write it as 192.0.2.1:25, [2001:db8::1]:25 or unix:/path");
		return false;
	}
	if (!ip_parse(host, &ip)) {
		snprintf(err, cap, "the host must be a numeric address");
		return false;
	}
	/* Brackets belong to IPv6 alone, and the other way round. */
	if ((s.p[0] == '[') != (str_index(host, ':') < host.n)) {
		snprintf(err, cap, "brackets go around an IPv6 address");
		return false;
	}
	set_ip(out, &ip, port);
	return true;
}

bool
net_addr_split(struct str s, struct str *host, uint16_t *port)
{
	size_t end;

	if (str_starts(s, STR("["))) {
		end = str_index(s, ']');
		if (end + 1 >= s.n || s.p[end + 1] != ':')
			return false;
		*host = str_sub(s, 1, end - 1);
		return host->n > 0 &&
		       parse_port(str_sub(s, end + 2, s.n), port);
	}
	end = str_index(s, ':');
	if (end == 0 || end >= s.n)
		return false;
	*host = str_sub(s, 0, end);
	return parse_port(str_sub(s, end + 1, s.n), port);
}

static uint16_t
get_port(const struct net_addr *a)
{
	if (a->ss.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)&a->ss)->sin6_port);
}

static const char *
format_unix(const struct net_addr *a, char out[NET_ADDR_TEXT_MAX])
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&a->ss;
	size_t head = offsetof(struct sockaddr_un, sun_path), n;

	/* A client's end has no path; an abstract one starts with a NUL. */
	n = a->len > head ? strnlen(un->sun_path, a->len - head) : 0;
	snprintf(out, NET_ADDR_TEXT_MAX, "unix:%.*s", (int)n, un->sun_path);
	return out;
}

const char *
net_addr_format(const struct net_addr *a, char out[NET_ADDR_TEXT_MAX])
{
	struct ip ip;
	char text[IP_TEXT_MAX];

	if (a->ss.ss_family == AF_UNIX)
		return format_unix(a, out);
	if (a->ss.ss_family != AF_INET && a->ss.ss_family != AF_INET6) {
		snprintf(out, NET_ADDR_TEXT_MAX, "unknown");
		return out;
	}
	ip = net_addr_ip(a);
	ip_format(&ip, text);
	snprintf(out, NET_ADDR_TEXT_MAX,
	    ip.family == IP_V6 ? "[%s]:%u" : "%s:%u", text, get_port(a));
	return out;
}

struct ip
net_addr_ip(const struct net_addr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->ss;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->ss;
	struct ip ip = {.family = IP_NONE};

	if (a->ss.ss_family == AF_INET) {
		ip.family = IP_V4;
		memcpy(ip.bytes, &v4->sin_addr, 4);
	} else if (a->ss.ss_family == AF_INET6 &&
		   memcmp(&v6->sin6_addr, mapped, sizeof(mapped)) == 0) {
		ip.family = IP_V4;
		memcpy(ip.bytes, (const uint8_t *)&v6->sin6_addr + 12, 4);
	} else if (a->ss.ss_family == AF_INET6) {
		ip.family = IP_V6;
		memcpy(ip.bytes, &v6->sin6_addr, 16);
	}
	return ip;
}

uint16_t
net_addr_port(const struct net_addr *a)
{
	if (a->ss.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
	if (a->ss.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&a->ss)->sin6_port);
	return 0;
}
