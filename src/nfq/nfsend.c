/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A netlink send to the kernel is worked off within the call, so nothing waits
 * here for longer than a turn.
 */
#include "config.h"

#include "nfq/nfsend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_MAX 512 /* bytes of one, with what ends a message */
#define OUT_MAX (64 * REQUEST_MAX)

struct nfsend {
	struct mnl_socket *socket;
	struct loop_task flush;
	struct loop_watch *watch;
	void (*on_flush)(void *arg);
	void *arg;
	uint32_t seq;
	size_t used;
	uint64_t errors;
	alignas(struct nlmsghdr) char out[OUT_MAX];
};

static void
on_readable(void *arg, int64_t now)
{
	struct nfsend *s = arg;
	alignas(struct nlmsghdr) char buf[8192];

	(void)now;
	while (recv(mnl_socket_get_fd(s->socket), buf, sizeof(buf),
		   MSG_DONTWAIT) > 0)
		s->errors++;
}

struct nlmsghdr *
nfsend_begin(struct nfsend *s, uint16_t type, uint16_t flags, uint8_t family,
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

void
nfsend_end(struct nfsend *s, const struct nlmsghdr *nlh)
{
	s->used += MNL_ALIGN(nlh->nlmsg_len);
	loop_task_set(&s->flush);
}

void
nfsend_make_room(struct nfsend *s)
{
	if (s->used + REQUEST_MAX > OUT_MAX)
		nfsend_flush(s);
}

void
nfsend_flush(struct nfsend *s)
{
	if (s->used == 0)
		return;
	if (s->on_flush != NULL)
		s->on_flush(s->arg);
	if (mnl_socket_sendto(s->socket, s->out, s->used) < 0)
		s->errors++;
	s->used = 0;
}

static void
on_flush_task(void *arg, int64_t now)
{
	(void)now;
	nfsend_flush(arg);
}

bool
nfsend_is_empty(const struct nfsend *s)
{
	return s->used == 0;
}

uint64_t
nfsend_errors(const struct nfsend *s)
{
	return s->errors;
}

struct nfsend *
nfsend_new(struct loop *loop, void (*on_flush)(void *arg), void *arg, char *err,
    size_t cap)
{
	struct nfsend *s = xcalloc(1, sizeof(*s));

	s->on_flush = on_flush;
	s->arg = arg;
	loop_task_init(&s->flush, loop, on_flush_task, s);
	s->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (s->socket == NULL ||
	    mnl_socket_bind(s->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		snprintf(err, cap, "netlink: %s", strerror(errno));
		nfsend_free(s);
		return NULL;
	}
	s->watch =
	    loop_watch_new(loop, mnl_socket_get_fd(s->socket), on_readable, s);
	return s;
}

void
nfsend_free(struct nfsend *s)
{
	if (s == NULL)
		return;
	if (s->socket != NULL)
		nfsend_flush(s);
	loop_task_clear(&s->flush);
	if (s->watch != NULL)
		loop_watch_free(s->watch);
	if (s->socket != NULL)
		mnl_socket_close(s->socket);
	free(s);
}
