/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel answers a question about one neighbour within the send, so the
 * answer is there when the send returns. An answer that is no yes is soon asked
 * for again, since the entry may come at any time.
 *
 * Making the kernel ask makes entries in its table, which is small: only after
 * some packets of the same address and MAC, and so many times a second at most.
 */
#include "config.h"

#include "nfq/neigh.h"

#include "base/hash.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PLACES 4096
#define YES_MS 10000
#define NO_MS 100
#define PROBE_AFTER 4  /* packets without a yes */
#define PROBE_MS 5000  /* between two for the same */
#define PROBES_MAX 16  /* a second */
#define ANSWERS_MAX 16 /* read in one go; older ones lie before ours */
#define REQUEST_MAX 256

/* A state in which the table knows a MAC address. */
#define NUD_KNOWN \
	(NUD_PERMANENT | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)

struct place {
	uint64_t hash;
	int64_t until;
	int64_t probe_due;
	uint32_t misses;
	bool agrees;
};

struct neigh {
	struct mnl_socket *socket;
	uint32_t seq;
	uint64_t seed;
	int64_t second; /* of the probes that are counted */
	uint32_t probes;
	struct place places[PLACES];
};

struct neigh *
neigh_new(char *err, size_t cap)
{
	struct neigh *n = xcalloc(1, sizeof(*n));

	n->seed = hash_random_seed();
	n->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (n->socket != NULL &&
	    mnl_socket_bind(n->socket, 0, MNL_SOCKET_AUTOPID) == 0)
		return n;
	snprintf(err, cap, "neighbours: netlink: %s", strerror(errno));
	neigh_free(n);
	return NULL;
}

void
neigh_free(struct neigh *n)
{
	if (n == NULL)
		return;
	if (n->socket != NULL)
		mnl_socket_close(n->socket);
	free(n);
}

static struct nlmsghdr *
put_request(struct neigh *n, char *out, uint16_t type, uint16_t flags,
    uint32_t interface, const struct ip *ip)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(out);
	struct ndmsg *ndm;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nlh->nlmsg_seq = ++n->seq;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = ip->family == IP_V4 ? AF_INET : AF_INET6;
	ndm->ndm_ifindex = (int)interface;
	if (type == RTM_NEWNEIGH)
		ndm->ndm_flags = NTF_USE;
	mnl_attr_put(nlh, NDA_DST, ip->family == IP_V4 ? 4 : 16, ip->bytes);
	return nlh;
}

static bool
has_mac(const struct nlmsghdr *nlh, const char *mac)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ndm) ||
	    (ndm->ndm_state & NUD_KNOWN) == 0)
		return false;
	mnl_attr_for_each(attr, nlh, sizeof(*ndm))
	{
		if (mnl_attr_get_type(attr) == NDA_LLADDR)
			return mnl_attr_get_payload_len(attr) == NEIGH_MAC &&
			       memcmp(mnl_attr_get_payload(attr), mac,
				   NEIGH_MAC) == 0;
	}
	return false;
}

static bool
ask(struct neigh *n, uint32_t interface, const struct ip *ip, const char *mac)
{
	alignas(struct nlmsghdr) char out[REQUEST_MAX], in[8192];
	struct nlmsghdr *nlh =
	    put_request(n, out, RTM_GETNEIGH, 0, interface, ip);
	int fd = mnl_socket_get_fd(n->socket);

	if (mnl_socket_sendto(n->socket, nlh, nlh->nlmsg_len) < 0)
		return false;
	for (int i = 0; i < ANSWERS_MAX; i++) {
		ssize_t size = recv(fd, in, sizeof(in), MSG_DONTWAIT);
		int left = (int)size;

		if (size <= 0)
			break;
		nlh = (struct nlmsghdr *)(void *)in;
		for (; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_seq == n->seq)
				return nlh->nlmsg_type == RTM_NEWNEIGH &&
				       has_mac(nlh, mac);
		}
	}
	return false;
}

static void
probe(struct neigh *n, struct place *p, uint32_t interface, const struct ip *ip,
    int64_t now)
{
	alignas(struct nlmsghdr) char out[REQUEST_MAX];
	struct nlmsghdr *nlh;

	if (now - n->second >= 1000) {
		n->second = now;
		n->probes = 0;
	}
	if (n->probes >= PROBES_MAX)
		return;
	n->probes++;
	p->probe_due = now + PROBE_MS;
	nlh = put_request(n, out, RTM_NEWNEIGH, NLM_F_CREATE, interface, ip);
	/* Should it fail, the address stays without a proof. */
	(void)mnl_socket_sendto(n->socket, nlh, nlh->nlmsg_len);
}

bool
neigh_agrees(struct neigh *n, uint32_t interface, const struct ip *ip,
    const char *mac, int64_t now)
{
	char key[sizeof(interface) + 1 + sizeof(ip->bytes) + NEIGH_MAC];
	struct place *p;
	uint64_t hash;

	memcpy(key, &interface, sizeof(interface));
	key[4] = (char)ip->family;
	memcpy(key + 5, ip->bytes, sizeof(ip->bytes));
	memcpy(key + 5 + sizeof(ip->bytes), mac, NEIGH_MAC);
	hash = hash_bytes(key, sizeof(key), n->seed);
	p = &n->places[hash % PLACES];
	if (p->hash != hash)
		*p = (struct place){.hash = hash};
	if (p->until <= now) {
		p->agrees = ask(n, interface, ip, mac);
		p->until = now + (p->agrees ? YES_MS : NO_MS);
	}
	if (p->agrees) {
		p->misses = 0;
	} else if (++p->misses >= PROBE_AFTER && p->probe_due <= now) {
		probe(n, p, interface, ip, now);
		p->until = now; /* look again at the next packet */
	}
	return p->agrees;
}
