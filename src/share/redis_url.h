/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the server is: "redis://HOST:PORT/DB", "rediss://HOST:PORT/DB" (TLS) or
 * "unix:/path/to/socket"; or who knows it,
 * "redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB" (rediss+sentinel: TLS to
 * both); or some nodes of a cluster, "redis+cluster://HOST:PORT,HOST:PORT"
 * (rediss+cluster: TLS), which has no databases. Ports 6379 and 26379 and
 * database 0 may be left out. Users and passwords have options of their own,
 * so that none is in a configuration that many may read.
 */
#ifndef SHARE_REDIS_URL_H
#define SHARE_REDIS_URL_H

#include "net/addr.h"

#define REDIS_URL_HOST_MAX 256
#define REDIS_URL_DB_MAX 65535

#define REDIS_URL_HOSTS_MAX 8
#define REDIS_URL_MASTER_MAX 64

struct redis_host {
	char host[REDIS_URL_HOST_MAX]; /* a name or an address; "" for unix: */
	uint16_t port;
	bool has_addr;
	struct net_addr addr; /* where has_addr: nobody has to be asked */
};

enum redis_kind { REDIS_SERVER, REDIS_SENTINEL, REDIS_CLUSTER };

struct redis_url {
	enum redis_kind kind;
	struct redis_host server; /* of REDIS_SERVER */
	unsigned db;
	bool is_tls;
	/* Sentinels, or nodes of the cluster. */
	struct redis_host hosts[REDIS_URL_HOSTS_MAX];
	unsigned host_count;
	char master[REDIS_URL_MASTER_MAX]; /* as the sentinels call it */
};

/* "host", "host:port", "[::1]", "[::1]:port" */
MUST_CHECK bool redis_host_parse(
    struct str text, unsigned default_port, struct redis_host *out);
/* The same of a name or address and a port that are apart, as servers tell
 * them: an IPv6 address without brackets. False: no such host. */
MUST_CHECK bool redis_host_make(
    struct str host, uint64_t port, struct redis_host *out);
bool redis_host_same(const struct redis_host *a, const struct redis_host *b);
#define REDIS_HOST_TEXT_MAX (REDIS_URL_HOST_MAX + 16)
/* "host:port" or "[::1]:port"; out holds REDIS_HOST_TEXT_MAX. */
const char *redis_host_format(const struct redis_host *h, char *out);

/* False and, in err, how a sentence that began with the text goes on. */
MUST_CHECK bool redis_url_parse(
    const char *text, struct redis_url *out, char *err, size_t cap);

#endif
