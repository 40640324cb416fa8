/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user's set from inside: inbound.c changes it, inbound_state.c saves and
 * loads it.
 */
#ifndef GATE_INBOUND_SET_H
#define GATE_INBOUND_SET_H

#include "base/list.h"
#include "base/map.h"
#include "gate/inbound.h"

struct inbound_address {
	uint64_t destination;
	int64_t at; /* of its last mail, to INBOUND_REFRESH_MS */
	/* Not stored: at a start the shares are whole. */
	int32_t learnt_s; /* seconds on the same clock */
	struct inbound_origin origin;
};

/* Mail that comes again sooner changes nothing: no write for each message. */
#define INBOUND_REFRESH_MS (INT64_C(3600) * 1000)

struct inbound_user {
	struct list changed;       /* in no list: saved */
	struct inbound_address *v; /* by `at`, the oldest first */
	uint32_t n, cap;
	int64_t expiry_ms; /* by the rules that were given last */
	int64_t rate_at;   /* the allowance for new ones is whole then */
	size_t key_n;
	char key[];
};

struct inbound {
	struct map *users;
	struct list changed; /* struct inbound_user */
	size_t bytes, bytes_max;
	size_t addresses;
	uint64_t replaced, expired;
	int64_t now; /* the latest seen */
	size_t expire_pos;
};

int64_t inbound_clamp_now(struct inbound *in, int64_t now);
/* Makes it; NULL: no bytes are left. */
struct inbound_user *inbound_add_user(struct inbound *in, struct str key);
void inbound_free_user(struct inbound *in, struct inbound_user *u);
/* Room for `need` addresses, as far as the bytes go. False: there is none. */
bool inbound_reserve(struct inbound *in, struct inbound_user *u, uint32_t need);
/* Forgets what has expired; returns whether anything had. */
bool inbound_drop_expired(
    struct inbound *in, struct inbound_user *u, int64_t now);

#endif
