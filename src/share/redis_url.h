/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the server is: "redis://HOST:PORT/DB", "rediss://HOST:PORT/DB" (TLS) or
 * "unix:/path/to/socket". Port 6379 and database 0 may be left out. Users and
 * passwords have options of their own, so that none is in a configuration that
 * many may read.
 */
#ifndef SHARE_REDIS_URL_H
#define SHARE_REDIS_URL_H

#include "net/addr.h"

#define REDIS_URL_HOST_MAX 256
#define REDIS_URL_DB_MAX 65535

struct redis_url {
	char host[REDIS_URL_HOST_MAX]; /* a name or an address; "" for unix: */
	uint16_t port;
	unsigned db;
	bool is_tls, has_addr;
	struct net_addr addr; /* where has_addr: nobody has to be asked */
};

/* False and, in err, how a sentence that began with the text goes on. */
MUST_CHECK bool redis_url_parse(
    const char *text, struct redis_url *out, char *err, size_t cap);

#endif
