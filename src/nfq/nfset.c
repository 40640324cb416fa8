/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message holds one transaction. Additions are collected in it: where one
 * fails, none of them is made. A removal of what has gone would fail them too,
 * so each has a message of its own.
 */
#include "config.h"

#include "nfq/nfset.h"

#include "nfq/nfsend.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

struct nfset {
	struct nfsend *send;
};

static void
put_frame(struct nfset *s, uint16_t type)
{
	nfsend_end(s->send,
	    nfsend_begin(s->send, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static void
on_flush(void *arg)
{
	put_frame(arg, NFNL_MSG_BATCH_END);
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

	nfsend_make_room(s->send);
	if (nfsend_is_empty(s->send))
		put_frame(s, NFNL_MSG_BATCH_BEGIN);
	nlh =
	    nfsend_begin(s->send, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type),
		flags, name->family, 0);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, name->table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name->set);
	put_element(nlh, a, b, timeout_ms);
	nfsend_end(s->send, nlh);
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
	nfsend_flush(s->send);
	change(s, NFT_MSG_NEWSETELEM, NLM_F_CREATE, name, a, NULL, 0);
	nfsend_flush(s->send);
}

void
nfset_remove(struct nfset *s, const struct nfset_name *name, const struct ip *a,
    const struct ip *b)
{
	nfsend_flush(s->send);
	change(s, NFT_MSG_DELSETELEM, 0, name, a, b, 0);
	nfsend_flush(s->send);
}

struct nfset *
nfset_new(struct loop *loop, char *err, size_t cap)
{
	struct nfset *s = xcalloc(1, sizeof(*s));

	s->send = nfsend_new(loop, on_flush, s, err, cap);
	if (s->send != NULL)
		return s;
	free(s);
	return NULL;
}

void
nfset_free(struct nfset *s)
{
	if (s == NULL)
		return;
	nfsend_free(s->send);
	free(s);
}

uint64_t
nfset_errors(const struct nfset *s)
{
	return nfsend_errors(s->send);
}
