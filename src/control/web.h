/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP for a daemon: listeners, connections with deadlines and caps, and a
 * table of routes that says for each path which right it needs, who answers it
 * and what it is for. Requests are read by src/http. Event loop's thread.
 *
 * Slow or many clients cost a place here and nothing else: at most
 * WEB_CONNECTIONS_MAX connections, WEB_CLIENT_MAX from an address, 10 s for a
 * head, 30 s for a request, 60 s between requests and for each piece of an
 * answer that is not taken. Where a place is missing, a connection that idles
 * behind an answer makes room.
 *
 * web.c has the connections, web_route.c decides what a request may reach,
 * web_answer.c writes answers.
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

/* Bits of a route's right; those of control/request.h lie below. */
enum web_right {
	WEB_ANYBODY = 0,
	WEB_METRICS = 1 << 8,
	WEB_LOGIN = 1 << 9, /* whoever has proved who he is */
};

struct web_exchange; /* a request, and its answer */

/* Who asks, as server.identify has found. */
enum web_proof {
	WEB_NOBODY,
	WEB_PEER,    /* the user of a process, over a Unix socket */
	WEB_TOKEN,   /* Authorization: a token */
	WEB_SESSION, /* a cookie: a browser sends it by itself */
	WEB_DENIED,  /* something was shown, and it is wrong */
	WEB_BLOCKED, /* too many wrong ones; see retry_ms */
};

#define WEB_NAME_MAX 96
#define WEB_DOMAIN_MAX 256
struct web_who {
	enum web_proof proof;
	char name[WEB_NAME_MAX];
	unsigned rights; /* enum control_right */
	/* "": all senders; else those alone whose address is in it. */
	char domain[WEB_DOMAIN_MAX];
	char id[32];      /* of the token or session; "": none */
	int64_t expires;  /* wall ms; 0: never */
	int64_t retry_ms; /* WEB_BLOCKED */
};

struct web_route {
	const char *method; /* "GET": HEAD is answered as well */
	const char *path;   /* "/metrics"; "/senders/{sender}" */
	unsigned right;     /* one bit; WEB_ANYBODY: none is needed */
	/* Answers with web_answer or web_refuse, or promises to by web_wait. */
	void (*run)(struct web_exchange *x, int64_t now);
	const char *doc;
	/* Of control/api.h; NULL: none. */
	const char *command;
	unsigned flags;
};

/* A file of the page, as src/page has it; served gzipped. */
struct page_file;

/* What a listener's connections are told; borrowed, and looked at anew for each
 * connection and request, so that a reload holds at once. */
struct web_access {
	const char *name;          /* of its section, for the log */
	struct tls_server *tls;    /* NULL: plain */
	const struct ip_net *nets; /* of TCP clients; none: loopback */
	size_t net_count;
	/* Names in Host beside addresses and "localhost": a page of another
	 * site must not reach us by a name that it lets point here. Over a Unix
	 * socket every name is taken, and whoever has a token may use any. */
	const char *const *hosts;
	size_t host_count;
	bool is_closed;  /* a reload took its section away */
	unsigned rights; /* of everybody: WEB_METRICS, or none */
	bool has_page;
	/* A reverse proxy's: "/weir", "": none; and browsers reach it by
	 * HTTPS. */
	const char *prefix;
	bool is_https;
	/* Reverse proxies, whose X-Forwarded-For is believed. */
	const struct ip_net *proxies;
	size_t proxy_count;
};

struct web_server { /* all borrowed */
	struct loop *loop;
	struct log *log;
	const struct web_route *routes;       /* path NULL at the end */
	void *arg;                            /* for the handlers: web_arg */
	int64_t head_ms, request_ms, idle_ms; /* 0: as above */
	/* Who asks; NULL: nobody is known. */
	void (*identify)(
	    const struct web_exchange *x, struct web_who *out, int64_t now);
	/* NULL: there are no files. arg as above. */
	const struct page_file *(*find_file)(void *arg, const char *path);
};

struct web;

struct web *web_new(const struct web_server *server);
/* listener is taken, and served from now on. */
void web_listen(
    struct web *w, struct listener *listener, const struct web_access *access);
void web_free(struct web *w); /* drops every connection; takes NULL */

/* ---- for handlers ---- */

void *web_arg(const struct web_exchange *x);
const struct http_request *web_request(const struct web_exchange *x);
const struct http_target *web_target(const struct web_exchange *x);
const struct web_route *web_route(const struct web_exchange *x);
const struct web_access *web_access(const struct web_exchange *x);
const struct web_who *web_who(const struct web_exchange *x);
/* Of the client, or behind a reverse proxy what that says; IP_NONE: over a
 * Unix socket. */
const struct ip *web_client(const struct web_exchange *x);
/* The user at the other end of a Unix socket; false: it is none, or a proxy
 * speaks for somebody else. */
bool web_peer(const struct web_exchange *x, uid_t *uid, gid_t *gid);
bool web_is_secure(const struct web_exchange *x); /* TLS, up to the browser */
/* The i-th part of the route's path that stands for a name ("sender" for
 * "{sender}"), and what the target has there, terminated; false past the last.
 */
bool web_path_part(const struct web_exchange *x, size_t i, struct str *name,
    struct str *value);

/* A field of the answer's header; name is static. At most WEB_FIELDS_MAX. */
#define WEB_FIELDS_MAX 6
void web_set_field(struct web_exchange *x, const char *name, const char *value);
/* body is taken and left empty. */
void web_answer(
    struct web_exchange *x, unsigned code, const char *type, struct buf *body);
void web_answer_nothing(struct web_exchange *x); /* 204 */
/* An error as RFC 9457 has it: {"status": 404, "title": "Not Found",
 * "detail": ...}. */
PRINTF_LIKE(3, 4)
void web_refuse(struct web_exchange *x, unsigned code, const char *fmt, ...);
/* The answer comes later. on_gone: the client has left, x must not be used
 * any more. */
void web_wait(struct web_exchange *x, void (*on_gone)(void *arg), void *arg);

/*
 * An answer without an end. on_beat comes every beat_ms. A client that takes
 * nothing for WEB_IDLE_MS, or lets WEB_STREAM_MAX bytes wait, is dropped
 * (on_gone comes).
 */
#define WEB_STREAM_MAX (1u << 20)
void web_stream(struct web_exchange *x, const char *type, int64_t beat_ms,
    void (*on_beat)(void *arg, int64_t now), void (*on_gone)(void *arg),
    void *arg);
/* False: it does not fit; the caller ends the stream. */
MUST_CHECK bool web_stream_write(struct web_exchange *x, struct str piece);
void web_stream_end(struct web_exchange *x); /* on_gone does not come */

#endif
