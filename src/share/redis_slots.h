/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which node of a cluster has which key, as its nodes tell it (CLUSTER SLOTS,
 * MOVED, ASK). Parsers without I/O; what nodes say is an input like any other.
 */
#ifndef SHARE_REDIS_SLOTS_H
#define SHARE_REDIS_SLOTS_H

#include "share/redis_url.h"
#include "share/resp.h"

#define REDIS_SLOTS 16384
#define REDIS_NODES_MAX 128 /* masters of one cluster */
#define REDIS_NO_NODE 0xffff

/* Of what stands in the first braces of the key, or of all of it. */
uint16_t redis_slot_of(struct str key);

struct redis_slots {
	struct redis_host hosts[REDIS_NODES_MAX]; /* masters */
	unsigned count;
	uint16_t of[REDIS_SLOTS]; /* index in hosts, or REDIS_NO_NODE */
};

/* Replicas are passed over. from: who said it, for hosts without a name of
 * their own. False: it is no map, or one without a single slot. */
MUST_CHECK bool redis_slots_read(const struct resp_value *reply,
    const struct redis_host *from, struct redis_slots *out);

struct redis_redirect {
	bool is_ask; /* for this one command alone */
	uint16_t slot;
	struct redis_host host;
};

/* "MOVED 3999 HOST:PORT" or "ASK ...", the text of an error. */
MUST_CHECK bool redis_redirect_read(
    struct str text, const struct redis_host *from, struct redis_redirect *out);

#endif
