/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message holds one transaction. Additions are collected in it: where one
 * fails, none of them is made. A removal of what has gone would fail them too,
 * so each has a message of its own.
 */
#include "config.h"

#include "nfq/nfset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CHANGE_MAX 512 /* bytes of one change, with its frame */
#define OUT_MAX (64 * CHANGE_MAX)

struct nfset {
	struct mnl_socket *socket;
	struct loop_task flush;
	struct loop_watch *watch;
	uint32_t seq;
	size_t used;
	uint64_t errors;
	char out[OUT_MAX];
};

bool
nfset_parse_name(struct str text, struct nfset_name *out)
{
	struct str rest = str_trim(text), family = str_cut(&rest, ' ');
	struct str table, set;

	rest = str_trim(rest);
	table = str_cut(&rest, ' ');
	set = str_trim(rest);
	if (str_eq(family, STR("inet")))
		out->family = NFPROTO_INET;
	else if (str_eq(family, STR("ip")))
		out->family = NFPROTO_IPV4;
	else if (str_eq(family, STR("ip6")))
		out->family = NFPROTO_IPV6;
	else
		return false;
	if (table.n == 0 || table.n >= NFSET_NAME_MAX || set.n == 0 ||
	    set.n >= NFSET_NAME_MAX || str_index(set, ' ') < set.n)
		return false;
	str_copy(table, out->table, sizeof(out->table));
	str_copy(set, out->set, sizeof(out->set));
	return true;
}

/* The kernel answers only what failed. */
static void
on_readable(void *arg, int64_t now)
{
	struct nfset *s = arg;
	char buf[8192];

	(void)now;
	while (recv(mnl_socket_get_fd(s->socket), buf, sizeof(buf),
		   MSG_DONTWAIT) > 0)
		s->errors++;
}

static struct nlmsghdr *
put(struct nfset *s, uint16_t type, uint16_t flags, uint8_t family,
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
}

static void
flush(struct nfset *s)
{
	if (s->used == 0)
		return;
	end(s, put(s, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
	if (mnl_socket_sendto(s->socket, s->out, s->used) < 0)
		s->errors++;
	s->used = 0;
}

static void
on_flush(void *arg, int64_t now)
{
	(void)now;
	flush(arg);
}

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

	if (s->used + CHANGE_MAX > OUT_MAX)
		flush(s);
	if (s->used == 0)
		end(s, put(s, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC,
			   NFNL_SUBSYS_NFTABLES));
	nlh = put(s, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
	    name->family, 0);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, name->table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name->set);
	put_element(nlh, a, b, timeout_ms);
	end(s, nlh);
	loop_task_set(&s->flush);
}

void
nfset_add(struct nfset *s, const struct nfset_name *name, const struct ip *a,
    const struct ip *b, int64_t timeout_ms)
{
	change(s, NFT_MSG_NEWSETELEM, NLM_F_CREATE, name, a, b, timeout_ms);
}

void
nfset_remove(struct nfset *s, const struct nfset_name *name, const struct ip *a,
    const struct ip *b)
{
	flush(s);
	change(s, NFT_MSG_DELSETELEM, 0, name, a, b, 0);
	flush(s);
}

struct nfset *
nfset_new(struct loop *loop, char *err, size_t cap)
{
	struct nfset *s = xcalloc(1, sizeof(*s));

	loop_task_init(&s->flush, loop, on_flush, s);
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
