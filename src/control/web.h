/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP for a daemon: listeners, connections with deadlines and caps, and a
 * table of routes that says for each path which right it needs, who answers it
 * and what it is for. Requests are read by src/http. Event loop's thread.
 *
 * Slow or many clients cost a place here and nothing else: at most
 * WEB_CONNECTIONS_MAX connections, WEB_CLIENT_MAX from an address, 10 s for a
 * head, 30 s for a request, 60 s between requests and for each piece of an
 * answer that is not taken.
 */
#ifndef CONTROL_WEB_H
#define CONTROL_WEB_H

#include "base/buf.h"
#include "http/reader.h"
#include "http/target.h"
#include "net/listener.h"
#include "net/peer.h"
#include "net/tls.h"
#include "os/log.h"

enum {
	WEB_CONNECTIONS_MAX = 64,
	WEB_CLIENT_MAX = 8,
	WEB_HEAD_MS = 10000,
	WEB_REQUEST_MS = 30000,
	WEB_IDLE_MS = 60000,
};

enum web_right { /* bits: what whoever comes by a listener may see or do */
	WEB_METRICS = 1 << 0,
};

struct web_exchange; /* a request, and its answer */

struct web_route {
	const char *method; /* "GET": HEAD is answered as well */
	const char *path;   /* "/metrics" */
	enum web_right right;
	/* Answers with web_answer or web_refuse before it returns. */
	void (*run)(struct web_exchange *x, int64_t now);
	const char *doc;
};

/* What a listener's connections are told; borrowed, and looked at anew for each
 * connection and request, so that a reload holds at once. */
struct web_access {
	const char *name;          /* of its section, for the log */
	struct tls_server *tls;    /* NULL: plain */
	const struct ip_net *nets; /* of TCP clients; none: loopback */
	size_t net_count;
	/* Names in Host beside addresses and "localhost": a page of another
	 * site must not reach us by a name that it lets point here. Over a Unix
	 * socket every name is taken. */
	const char *const *hosts;
	size_t host_count;
	unsigned rights; /* enum web_right */
};

struct web_server { /* all borrowed */
	struct loop *loop;
	struct log *log;
	const struct web_route *routes;       /* path NULL at the end */
	void *arg;                            /* for the handlers: web_arg */
	int64_t head_ms, request_ms, idle_ms; /* 0: as above */
};

struct web;

struct web *web_new(const struct web_server *server);
/* listener is taken, and served from now on. */
void web_listen(
    struct web *w, struct listener *listener, const struct web_access *access);
void web_stop(struct web *w); /* accepts nothing more */
void web_free(struct web *w); /* drops every connection; takes NULL */

/* ---- for handlers ---- */

void *web_arg(const struct web_exchange *x);
const struct http_request *web_request(const struct web_exchange *x);
const struct http_target *web_target(const struct web_exchange *x);
/* body is taken and left empty. */
void web_answer(
    struct web_exchange *x, unsigned code, const char *type, struct buf *body);
/* An error as RFC 9457 has it: {"status": 404, "title": "Not Found",
 * "detail": ...}. */
PRINTF_LIKE(3, 4)
void web_refuse(struct web_exchange *x, unsigned code, const char *fmt, ...);

#endif
