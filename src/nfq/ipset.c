/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's messages, which are simple enough to need no libipset: each
 * stands for itself.
 */
#include "config.h"

#include "nfq/ipset.h"

#include "nfq/nfsend.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PROTOCOL 6 /* every kernel since 2.6.39 speaks it */

struct ipset {
	struct nfsend *send;
};

static void
put_ip(struct nlmsghdr *nlh, uint16_t type, const struct ip *ip)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	if (ip->family == IP_V4)
		mnl_attr_put(nlh, IPSET_ATTR_IPADDR_IPV4 | NLA_F_NET_BYTEORDER,
		    4, ip->bytes);
	else
		mnl_attr_put(nlh, IPSET_ATTR_IPADDR_IPV6 | NLA_F_NET_BYTEORDER,
		    16, ip->bytes);
	mnl_attr_nest_end(nlh, nest);
}

static void
change(struct ipset *s, uint8_t command, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b, int64_t timeout_ms)
{
	struct nlmsghdr *nlh;
	struct nlattr *nest;

	nfsend_make_room(s->send);
	nlh =
	    nfsend_begin(s->send, (uint16_t)(NFNL_SUBSYS_IPSET << 8 | command),
		0, a->family == IP_V4 ? AF_INET : AF_INET6, 0);
	mnl_attr_put_u8(nlh, IPSET_ATTR_PROTOCOL, PROTOCOL);
	mnl_attr_put_strz(nlh, IPSET_ATTR_SETNAME, set);
	nest = mnl_attr_nest_start(nlh, IPSET_ATTR_DATA);
	put_ip(nlh, IPSET_ATTR_IP, a);
	mnl_attr_put_u16(
	    nlh, IPSET_ATTR_PORT | NLA_F_NET_BYTEORDER, htons(port));
	mnl_attr_put_u8(nlh, IPSET_ATTR_PROTO, protocol);
	put_ip(nlh, IPSET_ATTR_IP2, b);
	if (timeout_ms > 0)
		mnl_attr_put_u32(nlh, IPSET_ATTR_TIMEOUT | NLA_F_NET_BYTEORDER,
		    htonl((uint32_t)((timeout_ms + 999) / 1000)));
	mnl_attr_nest_end(nlh, nest);
	nfsend_end(s->send, nlh);
}

void
ipset_add(struct ipset *s, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b, int64_t timeout_ms)
{
	change(s, IPSET_CMD_ADD, set, a, protocol, port, b, timeout_ms);
}

void
ipset_remove(struct ipset *s, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b)
{
	change(s, IPSET_CMD_DEL, set, a, protocol, port, b, 0);
}

struct ipset *
ipset_new(struct loop *loop, char *err, size_t cap)
{
	struct ipset *s = xcalloc(1, sizeof(*s));

	s->send = nfsend_new(loop, NULL, NULL, err, cap);
	if (s->send != NULL)
		return s;
	free(s);
	return NULL;
}

void
ipset_free(struct ipset *s)
{
	if (s == NULL)
		return;
	nfsend_free(s->send);
	free(s);
}

uint64_t
ipset_errors(const struct ipset *s)
{
	return nfsend_errors(s->send);
}
