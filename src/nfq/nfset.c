/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests are collected, and sent together at the end of a turn of the loop.
 * A netlink send to the kernel is worked off within the call, so nothing waits
 * here for longer than a turn. The kernel answers only what failed.
 *
 * A message to nftables holds one transaction. Additions are collected in it:
 * where one fails, none of them is made. A removal of what has gone would fail
 * them too, so each has a message of its own. ipset's requests each stand for
 * themselves, and are simple enough to need no libipset.
 */
#include "config.h"

#include "nfq/nfset.h"

#include "net/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_MAX 512 /* bytes of one, with what ends a message */
#define OUT_MAX (64 * REQUEST_MAX)
#define IPSET_PROTOCOL_USED 6 /* every kernel since 2.6.39 speaks it */

struct nfset {
	struct mnl_socket *socket;
	struct loop_task flush;
	struct loop_watch *watch;
	bool is_ipset;
	uint32_t seq;
	size_t used;
	uint64_t errors;
	alignas(struct nlmsghdr) char out[OUT_MAX];
};

static void
on_readable(void *arg, int64_t now)
{
	struct nfset *s = arg;
	alignas(struct nlmsghdr) char buf[8192];

	(void)now;
	while (recv(mnl_socket_get_fd(s->socket), buf, sizeof(buf),
		   MSG_DONTWAIT) > 0)
		s->errors++;
}

/* Begins a request, which end() ends; it may have REQUEST_MAX bytes. type and
 * flags as in nlmsghdr, NLM_F_REQUEST is added. */
static struct nlmsghdr *
begin(struct nfset *s, uint16_t type, uint16_t flags, uint8_t family,
    uint16_t resource)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(s->out + s->used);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nlh->nlmsg_seq = s->seq++;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(resource);
	return nlh;
}

static void
end(struct nfset *s, const struct nlmsghdr *nlh)
{
	s->used += MNL_ALIGN(nlh->nlmsg_len);
	loop_task_set(&s->flush);
}

static void
put_frame(struct nfset *s, uint16_t type)
{
	end(s, begin(s, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static void
flush(struct nfset *s)
{
	if (s->used == 0)
		return;
	if (!s->is_ipset)
		put_frame(s, NFNL_MSG_BATCH_END);
	if (mnl_socket_sendto(s->socket, s->out, s->used) < 0)
		s->errors++;
	s->used = 0;
}

static void
on_flush_task(void *arg, int64_t now)
{
	(void)now;
	flush(arg);
}

/* Sends what there is if another request and what ends it may not fit. */
static void
make_room(struct nfset *s)
{
	if (s->used + REQUEST_MAX > OUT_MAX)
		flush(s);
}

/* NULL and a reason in err. */
static struct nfset *
make(bool is_ipset, struct loop *loop, char *err, size_t cap)
{
	struct nfset *s = xcalloc(1, sizeof(*s));

	s->is_ipset = is_ipset;
	loop_task_init(&s->flush, loop, on_flush_task, s);
	s->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (s->socket == NULL ||
	    mnl_socket_bind(s->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		snprintf(err, cap, "netlink: %s", strerror(errno));
		nfset_free(s);
		return NULL;
	}
	s->watch =
	    loop_watch_new(loop, mnl_socket_get_fd(s->socket), on_readable, s);
	return s;
}

struct nfset *
nfset_new(struct loop *loop, char *err, size_t cap)
{
	return make(false, loop, err, cap);
}

struct nfset *
nfset_new_ipset(struct loop *loop, char *err, size_t cap)
{
	return make(true, loop, err, cap);
}

void
nfset_free(struct nfset *s)
{
	if (s == NULL)
		return;
	if (s->socket != NULL)
		flush(s);
	loop_task_clear(&s->flush);
	if (s->watch != NULL)
		loop_watch_free(s->watch);
	if (s->socket != NULL)
		mnl_socket_close(s->socket);
	free(s);
}

uint64_t
nfset_errors(const struct nfset *s)
{
	return s->errors;
}

/* ---- sets of nftables ---- */

static size_t
put_key(const struct ip *ip, uint8_t *out)
{
	size_t n = ip->family == IP_V4 ? 4 : 16;

	memcpy(out, ip->bytes, n);
	return n;
}

static void
put_element(struct nlmsghdr *nlh, const struct ip *a, const struct ip *b,
    int64_t timeout_ms)
{
	struct nlattr *list, *element, *key;
	uint8_t bytes[32];
	size_t n = put_key(a, bytes);

	if (b != NULL)
		n += put_key(b, bytes + n);
	list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	key = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_KEY);
	mnl_attr_put(nlh, NFTA_DATA_VALUE, n, bytes);
	mnl_attr_nest_end(nlh, key);
	if (timeout_ms > 0)
		mnl_attr_put_u64(
		    nlh, NFTA_SET_ELEM_TIMEOUT, htobe64((uint64_t)timeout_ms));
	mnl_attr_nest_end(nlh, element);
	mnl_attr_nest_end(nlh, list);
}

static void
change(struct nfset *s, uint16_t type, uint16_t flags,
    const struct nfset_name *name, const struct ip *a, const struct ip *b,
    int64_t timeout_ms)
{
	struct nlmsghdr *nlh;

	make_room(s);
	if (s->used == 0)
		put_frame(s, NFNL_MSG_BATCH_BEGIN);
	nlh = begin(s, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
	    name->family, 0);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, name->table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name->set);
	put_element(nlh, a, b, timeout_ms);
	end(s, nlh);
}

void
nfset_add(struct nfset *s, const struct nfset_name *name, const struct ip *a,
    const struct ip *b, int64_t timeout_ms)
{
	change(s, NFT_MSG_NEWSETELEM, NLM_F_CREATE, name, a, b, timeout_ms);
}

void
nfset_add_alone(
    struct nfset *s, const struct nfset_name *name, const struct ip *a)
{
	flush(s);
	change(s, NFT_MSG_NEWSETELEM, NLM_F_CREATE, name, a, NULL, 0);
	flush(s);
}

void
nfset_remove(struct nfset *s, const struct nfset_name *name, const struct ip *a,
    const struct ip *b)
{
	flush(s);
	change(s, NFT_MSG_DELSETELEM, 0, name, a, b, 0);
	flush(s);
}

/* ---- ipset's ---- */

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
change_ipset(struct nfset *s, uint8_t command, const char *set,
    const struct ip *a, uint8_t protocol, uint16_t port, const struct ip *b,
    int64_t timeout_ms)
{
	struct nlmsghdr *nlh;
	struct nlattr *nest;

	make_room(s);
	nlh = begin(s, (uint16_t)(NFNL_SUBSYS_IPSET << 8 | command), 0,
	    a->family == IP_V4 ? AF_INET : AF_INET6, 0);
	mnl_attr_put_u8(nlh, IPSET_ATTR_PROTOCOL, IPSET_PROTOCOL_USED);
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
	end(s, nlh);
}

void
nfset_add_ipset(struct nfset *s, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b, int64_t timeout_ms)
{
	change_ipset(s, IPSET_CMD_ADD, set, a, protocol, port, b, timeout_ms);
}

void
nfset_remove_ipset(struct nfset *s, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b)
{
	change_ipset(s, IPSET_CMD_DEL, set, a, protocol, port, b, 0);
}
