/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of next hops to addresses, without blocking (libevent's evdns,
 * /etc/hosts included). Both files are read again when they change. Nothing is
 * set up until the first question.
 */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include "net/addr.h"
#include "net/loop.h"

struct resolver;

#define RESOLVER_ADDRS_MAX 16

struct resolver_answer {
	size_t tag;
	struct net_addr addrs[RESOLVER_ADDRS_MAX];
	size_t count;      /* 0: failed */
	const char *error; /* why */
};

typedef void resolver_fn(void *arg, const struct resolver_answer *answer);

struct resolver *resolver_new(struct loop *loop, resolver_fn *fn, void *arg);
/* fn is told, with the tag; maybe from within. */
void resolver_ask(
    struct resolver *r, const char *host, uint16_t port, size_t tag);
/* Reads resolv.conf and hosts again, at the end of the turn. It does so by
 * itself when they have changed, and after nobody answered. */
void resolver_renew(struct resolver *r);
/* Open questions are forgotten. */
void resolver_free(struct resolver *r);

#endif
