/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A closed socket still has a row in the kernel's table, with uid 0 and no
 * inode: whoever connects, writes and closes at once must not pass for root.
 */
#include "config.h"

#include "net/peer.h"

#include "os/priv.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- the kernel's socket table ---- */

struct diag_request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

static void
put_address(const struct ip *ip, __be32 out[4])
{
	memcpy(out, ip->bytes, ip->family == IP_V4 ? 4 : 16);
}

/* The socket that is bound to `from` and connected to `to`. 0, ENOENT when
 * there is none in this network namespace, or why it is not told. */
static int
ask_owner(const struct net_addr *from, const struct net_addr *to,
    struct inet_diag_msg *out)
{
	struct ip src = net_addr_ip(from), dst = net_addr_ip(to);
	struct diag_request rq = {
	    .head = {.nlmsg_len = sizeof(rq),
		.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.nlmsg_flags = NLM_F_REQUEST},
	    .body = {.sdiag_family = src.family == IP_V4 ? AF_INET : AF_INET6,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = ~0u,
		.id = {.idiag_sport = htons(net_addr_port(from)),
		    .idiag_dport = htons(net_addr_port(to)),
		    .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
	};
	union {
		struct nlmsghdr head;
		char bytes[1024];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_SOCK_DIAG);
	const void *body = NLMSG_DATA(&answer.head);
	int error = EPROTO;
	ssize_t n;

	if (fd < 0)
		return errno;
	put_address(&src, rq.body.id.idiag_src);
	put_address(&dst, rq.body.id.idiag_dst);
	n = send(fd, &rq, sizeof(rq), 0);
	if (n == (ssize_t)sizeof(rq))
		n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0) {
		error = errno;
	} else if ((size_t)n >= NLMSG_LENGTH(sizeof(struct nlmsgerr)) &&
		   answer.head.nlmsg_type == NLMSG_ERROR) {
		error = -((const struct nlmsgerr *)body)->error;
	} else if ((size_t)n >= NLMSG_LENGTH(sizeof(*out)) &&
		   answer.head.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
		memcpy(out, body, sizeof(*out));
		error = 0;
	}
	close(fd);
	return error;
}

static void
find_tcp(
    const struct net_addr *from, const struct net_addr *to, struct peer *out)
{
	struct ip here = net_addr_ip(to);
	bool is_local =
	    ip_is_loopback(&out->address) || ip_eq(&out->address, &here);
	struct inet_diag_msg row = {0};
	int error = ask_owner(from, to, &row);

	if (error == 0 && row.idiag_inode != 0) {
		out->kind = PEER_USER;
		out->uid = row.idiag_uid;
	} else if (!is_local) {
		out->kind = PEER_REMOTE;
	} else {
		out->kind =
		    error == 0 || error == ENOENT ? PEER_UNKNOWN : PEER_UNTOLD;
	}
}

/* A client of a dual-stack socket is shown as ::ffff:192.0.2.1. */
static bool
end_of(int fd, int (*ask)(int fd, struct sockaddr *sa, socklen_t *len),
    struct net_addr *out)
{
	out->len = sizeof(out->ss);
	return ask(fd, (struct sockaddr *)&out->ss, &out->len) == 0;
}

static int
peer_end(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getpeername(fd, sa, len);
}

static int
own_end(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getsockname(fd, sa, len);
}

void
peer_find(int fd, struct peer *out)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	struct net_addr from, to;

	*out = (struct peer){.kind = PEER_UNKNOWN};
	out->address.family = IP_NONE;
	if (!end_of(fd, own_end, &to))
		return;
	if (to.ss.ss_family == AF_UNIX) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 &&
		    n == sizeof(cred)) {
			out->kind = PEER_USER;
			out->uid = cred.uid;
		}
		return;
	}
	if (!end_of(fd, peer_end, &from))
		return;
	out->address = net_addr_ip(&from);
	find_tcp(&from, &to, out);
}

/* ---- the rules ---- */

static bool
is_listed_address(const struct peer_rules *rules, const struct ip *address)
{
	if (rules->net_count == 0)
		return ip_is_loopback(address);
	return ip_nets_have(rules->nets, rules->net_count, address);
}

static bool
is_listed_user(const struct peer_rules *rules, uid_t uid)
{
	if (uid == 0 || uid == geteuid())
		return true;
	for (size_t i = 0; i < rules->uid_count; i++) {
		if (rules->uids[i] == uid)
			return true;
	}
	return false;
}

bool
peer_may(
    const struct peer_rules *rules, const struct peer *p, char *why, size_t cap)
{
	char text[IP_TEXT_MAX], name[64];

	if (p->address.family != IP_NONE &&
	    !is_listed_address(rules, &p->address)) {
		snprintf(why, cap,
		    "%s is not among the clients of this listen "
		    "section",
		    ip_format(&p->address, text));
		return false;
	}
	switch (p->kind) {
	case PEER_REMOTE:
	case PEER_UNTOLD:
		return true;
	case PEER_USER:
		if (is_listed_user(rules, p->uid))
			return true;
		snprintf(why, cap, "user %s is not in socket_users",
		    priv_user_name(p->uid, name, sizeof(name)));
		return false;
	case PEER_UNKNOWN:
		break;
	}
	snprintf(why, cap, "the process at the other end is gone");
	return false;
}

bool
peer_is_news(_Atomic int64_t *next, int64_t now)
{
	int64_t due = atomic_load(next);

	return now >= due &&
	       atomic_compare_exchange_strong(next, &due, now + 1000);
}
