/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PROXY protocol, versions 1 and 2 (haproxy): the first bytes of a
 * connection say who is at its other end. Read here, without I/O. Whether the
 * sender may be believed is the caller's to know.
 */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include "base/ip.h"

/* Version 1 has at most 107 bytes; version 2 is taken up to here, for its
 * extensions. */
#define PROXY_MAX 4096

enum proxy_state { PROXY_MORE, PROXY_DONE, PROXY_BAD };

struct proxy_header {
	/* LOCAL, UNKNOWN or a family that is none of ours: the connection is
	 * the proxy's own, or nothing is said of the client. */
	bool is_local;
	struct ip client, server;
	uint16_t client_port, server_port;
	size_t length; /* bytes of the header */
	size_t need;   /* MORE: at least so many bytes of it are to come */
};

/* in: what has come so far. DONE: *out is filled. */
#define PROXY_LEAST 15 /* bytes of the shortest header */
enum proxy_state proxy_parse(struct str in, struct proxy_header *out);

#endif
