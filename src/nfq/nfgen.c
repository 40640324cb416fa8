/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One question on a socket of its own: it is asked once a second at most.
 */
#include "config.h"

#include "nfq/nfgen.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdalign.h>
#include <sys/socket.h>

static bool
read_answer(const char *p, size_t n, uint32_t *generation)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)p;
	const struct nlattr *attr;

	if (!mnl_nlmsg_ok(nlh, (int)n) ||
	    nlh->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN))
		return false;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) != NFTA_GEN_ID ||
		    mnl_attr_get_payload_len(attr) != sizeof(*generation))
			continue;
		*generation = ntohl(mnl_attr_get_u32(attr));
		return true;
	}
	return false;
}

bool
nfgen_read(uint32_t *generation)
{
	alignas(struct nlmsghdr) char buf[4096];
	struct mnl_socket *s =
	    mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;
	ssize_t n = -1;

	if (s == NULL)
		return false;
	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->version = NFNETLINK_V0;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0 &&
	    mnl_socket_sendto(s, nlh, nlh->nlmsg_len) >= 0)
		n = recv(mnl_socket_get_fd(s), buf, sizeof(buf), MSG_DONTWAIT);
	mnl_socket_close(s);
	return n > 0 && read_answer(buf, (size_t)n, generation);
}
