/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the server is: "redis://HOST:PORT/DB", "rediss://HOST:PORT/DB" (TLS) or
 * "unix:/path/to/socket"; or who knows it,
 * "redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB" (rediss+sentinel: TLS to
 * both). Ports 6379 and 26379 and database 0 may be left out. Users and
 * passwords have options of their own, so that none is in a configuration that
 * many may read.
 */
#ifndef SHARE_REDIS_URL_H
#define SHARE_REDIS_URL_H

#include "net/addr.h"

#define REDIS_URL_HOST_MAX 256
#define REDIS_URL_DB_MAX 65535

#define REDIS_URL_SENTINELS_MAX 5
#define REDIS_URL_MASTER_MAX 64

struct redis_host {
	char host[REDIS_URL_HOST_MAX]; /* a name or an address; "" for unix: */
	uint16_t port;
	bool has_addr;
	struct net_addr addr; /* where has_addr: nobody has to be asked */
};

struct redis_url {
	struct redis_host server; /* where sentinel_count is 0 */
	unsigned db;
	bool is_tls;
	struct redis_host sentinels[REDIS_URL_SENTINELS_MAX];
	unsigned sentinel_count;
	char master[REDIS_URL_MASTER_MAX]; /* as the sentinels call it */
};

/* "host", "host:port", "[::1]", "[::1]:port" */
MUST_CHECK bool redis_host_parse(
    struct str text, unsigned default_port, struct redis_host *out);

/* False and, in err, how a sentence that began with the text goes on. */
MUST_CHECK bool redis_url_parse(
    const char *text, struct redis_url *out, char *err, size_t cap);

#endif
