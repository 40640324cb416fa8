/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A question outlives the resolver that asked it: evdns answers every one, at
 * the latest with "shut down" in a later turn of the loop. So questions are
 * objects of their own, which lose their owner when it is freed.
 */
#include "delivery/resolver.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct resolver {
	struct loop *loop;
	struct evdns_base *dns;
	resolver_fn *fn;
	void *arg;
	struct list questions;
};

struct question {
	struct list entry;
	struct resolver *owner; /* NULL: forgotten */
	size_t tag;
};

struct resolver *
resolver_new(struct loop *loop, resolver_fn *fn, void *arg)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	r->loop = loop;
	r->fn = fn;
	r->arg = arg;
	list_init(&r->questions);
	return r;
}

static void
collect(const struct evutil_addrinfo *res, struct resolver_answer *out)
{
	for (; res != NULL && out->count < RESOLVER_ADDRS_MAX;
	     res = res->ai_next) {
		struct net_addr *a = &out->addrs[out->count];

		if ((res->ai_family != AF_INET && res->ai_family != AF_INET6) ||
		    res->ai_addrlen > sizeof(a->ss))
			continue;
		memcpy(&a->ss, res->ai_addr, res->ai_addrlen);
		a->len = (socklen_t)res->ai_addrlen;
		out->count++;
	}
}

static void
on_answer(int result, struct evutil_addrinfo *res, void *arg)
{
	struct question *q = arg;
	struct resolver *r = q->owner;
	struct resolver_answer answer = {.tag = q->tag};

	if (r != NULL) {
		list_remove(&q->entry);
		if (result == 0)
			collect(res, &answer);
		answer.error = result != 0 ? evutil_gai_strerror(result)
					   : "the name has no address";
	}
	if (res != NULL)
		evutil_freeaddrinfo(res);
	free(q);
	if (r != NULL)
		r->fn(r->arg, &answer);
}

void
resolver_ask(struct resolver *r, const char *host, uint16_t port, size_t tag)
{
	struct evutil_addrinfo hints = {
	    .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_protocol = IPPROTO_TCP,
	};
	struct resolver_answer failed = {.tag = tag, .error = "no resolver"};
	struct question *q;
	char service[8];

	if (r->dns == NULL)
		r->dns = evdns_base_new(
		    loop_base(r->loop), EVDNS_BASE_INITIALIZE_NAMESERVERS |
					    EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (r->dns == NULL) {
		r->fn(r->arg, &failed);
		return;
	}
	q = xcalloc(1, sizeof(*q));
	q->owner = r;
	q->tag = tag;
	list_append(&r->questions, &q->entry);
	evutil_snprintf(service, sizeof(service), "%u", (unsigned)port);
	/* NULL means that it was answered from within. */
	(void)evdns_getaddrinfo(r->dns, host, service, &hints, on_answer, q);
}

void
resolver_free(struct resolver *r)
{
	struct list *entry, *next;

	if (r == NULL)
		return;
	list_each_safe (entry, next, &r->questions) {
		struct question *q = LIST_ITEM(entry, struct question, entry);

		q->owner = NULL;
		list_remove(entry);
	}
	if (r->dns != NULL)
		evdns_base_free(r->dns, 1);
	free(r);
}
