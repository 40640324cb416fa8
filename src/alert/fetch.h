/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests over HTTP and messages over SMTP by libcurl, on the event loop:
 * nothing of it blocks. No redirects, no cookies, no proxy, no .netrc, no
 * other protocol; certificates and names are verified; of an answer 64 KiB are
 * read at most. Names are looked up in a thread of libcurl's.
 */
#ifndef ALERT_FETCH_H
#define ALERT_FETCH_H

#include "net/loop.h"

#include <stddef.h>

struct fetch; /* the requests of one loop */
struct fetch_call;

#define FETCH_ANSWER_MAX 65536 /* bytes; then the call is cut short */
#define FETCH_WHY_MAX 256

struct fetch_end {       /* borrowed */
	long code;       /* the last reply's; 0: there was none */
	const char *why; /* of a failure, without the URL; "" none */
	int64_t ms;      /* it took */
};

struct fetch_order {                /* copied */
	const char *url;            /* http, https, smtp or smtps */
	const char *const *headers; /* HTTP: "Name: value"; NULL at the end */
	const char *const *to;      /* SMTP: recipients; NULL at the end */
	const char *hostname;       /* SMTP: for EHLO; HTTP: NULL */
	const char *body;
	size_t size;
	const char *ca_file; /* NULL: the system's */
	int64_t timeout_ms;
	/* Once, never from within fetch_start. */
	void (*on_end)(void *arg, const struct fetch_end *end);
	void *arg;
};

/* NULL: libcurl has no memory, or no TLS. */
struct fetch *fetch_new(struct loop *loop);
/* Calls under way end; nobody hears of it. */
void fetch_free(struct fetch *f); /* takes NULL */
void fetch_start(struct fetch *f, const struct fetch_order *order);

#endif
