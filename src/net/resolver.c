/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A question outlives the resolver that asked it: evdns answers every one, at
 * the latest with "shut down" in a later turn of the loop. So questions are
 * objects of their own, which lose their owner when it is freed.
 *
 * An evdns base reads resolv.conf and hosts once. It is made anew when one of
 * them has changed, when told to, and after the name servers did not answer;
 * what it was still asked is asked again of the new one. None is freed from
 * within its own callback.
 */
#include "net/resolver.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts"};

struct stamp { /* of a file, to see that it is another */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

struct resolver {
	struct loop *loop;
	struct evdns_base *dns;
	struct stamp stamps[ARRAY_LEN(files)]; /* when dns was made */
	bool stale;                            /* make it anew */
	struct loop_task renew;
	resolver_fn *fn;
	void *arg;
	struct list questions;
};

struct question {
	struct list entry;
	struct resolver *owner; /* NULL: forgotten */
	size_t tag;
	char *host;
	uint16_t port;
	bool asked; /* evdns has it */
	bool again; /* asked once more */
};

static void ask(struct question *q);

static void
read_stamps(struct stamp out[ARRAY_LEN(files)])
{
	struct stat st;

	memset(out, 0, ARRAY_LEN(files) * sizeof(*out));
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (stat(files[i], &st) != 0)
			continue;
		out[i].dev = st.st_dev;
		out[i].ino = st.st_ino;
		out[i].size = st.st_size;
		out[i].changed = st.st_mtim;
	}
}

static bool
files_changed(const struct resolver *r)
{
	struct stamp now[ARRAY_LEN(files)];

	read_stamps(now);
	return memcmp(now, r->stamps, sizeof(now)) != 0;
}

static void
question_free(struct question *q)
{
	free(q->host);
	free(q);
}

static struct question *
question_new(struct resolver *r, const char *host, uint16_t port, size_t tag)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->owner = r;
	q->host = xstrdup(host);
	q->port = port;
	q->tag = tag;
	list_append(&r->questions, &q->entry);
	return q;
}

/* The old base answers what is open with "shut down", to nobody. */
static void
renew(struct resolver *r)
{
	struct list open, *entry, *next;
	struct evdns_base *was = r->dns;

	list_init(&open);
	list_each_safe (entry, next, &r->questions) {
		list_remove(entry);
		list_append(&open, entry);
	}
	r->dns = NULL;
	r->stale = false;
	while (!list_is_empty(&open)) {
		struct question *q =
		    LIST_ITEM(open.next, struct question, entry);
		struct question *again;

		list_remove(&q->entry);
		again = question_new(r, q->host, q->port, q->tag);
		again->again = true;
		if (q->asked)
			q->owner = NULL; /* its answer frees it */
		else
			question_free(q);
		ask(again);
	}
	if (was != NULL)
		evdns_base_free(was, 1);
}

static void
on_renew(void *arg, int64_t now)
{
	(void)now;
	renew(arg);
}

void
resolver_renew(struct resolver *r)
{
	if (r->dns == NULL)
		return;
	r->stale = true;
	loop_task_set(&r->renew);
}

struct resolver *
resolver_new(struct loop *loop, resolver_fn *fn, void *arg)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	r->loop = loop;
	r->fn = fn;
	r->arg = arg;
	list_init(&r->questions);
	loop_task_init(&r->renew, loop, on_renew, r);
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

/* Nobody answered, which says nothing of the name. */
static bool
is_no_answer(int result)
{
	return result != 0 && result != EVUTIL_EAI_NONAME &&
	       result != EVUTIL_EAI_NODATA;
}

static void
on_answer(int result, struct evutil_addrinfo *res, void *arg)
{
	struct question *q = arg;
	struct resolver *r = q->owner;
	struct resolver_answer answer = {.tag = q->tag};

	q->asked = false;
	if (r != NULL && is_no_answer(result)) {
		r->stale = true;
		if (!q->again && files_changed(r)) {
			loop_task_set(&r->renew);
			return;
		}
	}
	if (r != NULL) {
		list_remove(&q->entry);
		if (result == 0)
			collect(res, &answer);
		answer.error = result != 0 ? evutil_gai_strerror(result)
					   : "the name has no address";
	}
	if (res != NULL)
		evutil_freeaddrinfo(res);
	question_free(q);
	if (r != NULL)
		r->fn(r->arg, &answer);
}

static void
ask(struct question *q)
{
	struct evutil_addrinfo hints = {
	    .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_protocol = IPPROTO_TCP,
	};
	struct resolver *r = q->owner;
	struct resolver_answer failed = {.tag = q->tag, .error = "no resolver"};
	char service[8];

	if (r->dns == NULL) {
		read_stamps(r->stamps);
		r->dns = evdns_base_new(
		    loop_base(r->loop), EVDNS_BASE_INITIALIZE_NAMESERVERS |
					    EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	}
	if (r->dns == NULL) {
		list_remove(&q->entry);
		question_free(q);
		r->fn(r->arg, &failed);
		return;
	}
	q->asked = true;
	evutil_snprintf(service, sizeof(service), "%u", (unsigned)q->port);
	/* NULL means that it was answered from within. */
	(void)evdns_getaddrinfo(r->dns, q->host, service, &hints, on_answer, q);
}

void
resolver_ask(struct resolver *r, const char *host, uint16_t port, size_t tag)
{
	struct question *q = question_new(r, host, port, tag);

	/* It may be evdns's own callback that led here. */
	if (r->dns != NULL && (r->stale || files_changed(r)))
		loop_task_set(&r->renew);
	else
		ask(q);
}

void
resolver_free(struct resolver *r)
{
	struct list *entry, *next;

	if (r == NULL)
		return;
	list_each_safe (entry, next, &r->questions) {
		struct question *q = LIST_ITEM(entry, struct question, entry);

		list_remove(entry);
		q->owner = NULL;
		if (!q->asked)
			question_free(q);
	}
	loop_task_clear(&r->renew);
	if (r->dns != NULL)
		evdns_base_free(r->dns, 1);
	free(r);
}
