/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Socket addresses as the configuration writes them: "127.0.0.1:25",
 * "[::1]:25", "host.example.org:25" (next hops alone), "unix:/path".
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include "base/ip.h"

#include <sys/socket.h>
#include <sys/un.h>

#define NET_ADDR_TEXT_MAX 128

struct net_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* Numeric and Unix addresses. False and a reason in err. */
MUST_CHECK bool net_addr_parse(
    struct str s, struct net_addr *out, char *err, size_t cap);
/* "name:port" is split; a numeric host is fine too. */
MUST_CHECK bool net_addr_split(struct str s, struct str *host, uint16_t *port);
const char *net_addr_format(
    const struct net_addr *a, char out[NET_ADDR_TEXT_MAX]);
struct ip net_addr_ip(const struct net_addr *a);  /* IP_NONE for Unix */
uint16_t net_addr_port(const struct net_addr *a); /* 0 for Unix */

#endif
