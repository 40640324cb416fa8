/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who wrote to whom: for each of our users the addresses from which mail came
 * in lately, so that an answer passes as mail to somebody known. Apart from the
 * working set, which no stranger's mail can push out. Pure: no clock, no I/O;
 * `now` is monotonic ms and clamped when it goes backwards. One thread.
 *
 * What comes in may be forged, and everything here may be asked for by an
 * outsider; therefore it is bounded three times: addresses for a user, new ones
 * for a user in a time, and bytes in all. A user without addresses takes none.
 */
#ifndef GATE_INBOUND_H
#define GATE_INBOUND_H

#include "base/str.h"
#include "weir/throttle.h"

#define INBOUND_SET_MAX 4096

struct inbound;      /* the sets of all users */
struct inbound_user; /* one set; valid until the next call that changes */

struct inbound_rules { /* of the user's policy */
	uint32_t set;  /* addresses, 1 to INBOUND_SET_MAX */
	/* New addresses: so many at once, and then as many in each window,
	 * evenly; hence never more than twice that in one window. count 0:
	 * any. */
	struct throttle_limit rate;
	int64_t expiry_ms; /* forgotten so long after their last mail */
};

/* Where a new address writes from, as hashes; 0: not known, not counted. */
struct inbound_origin {
	uint16_t domain;
	uint16_t network; /* of the client */
};

enum inbound_result {
	INBOUND_LEARNT,
	INBOUND_AGAIN,    /* was there, and stays longer */
	INBOUND_TOO_MANY, /* new ones for this user, in so short a time */
	INBOUND_SHARE,    /* the same, of this origin */
	INBOUND_FULL,     /* a user's first, and no bytes are left */
};

struct inbound_stats {
	size_t users, addresses, bytes;
	uint64_t replaced, expired; /* addresses, since the start */
};

struct inbound *inbound_new(size_t bytes_max);
void inbound_free(struct inbound *in);
/* What is there stays. */
void inbound_set_bytes_max(struct inbound *in, size_t bytes_max);
size_t inbound_users(const struct inbound *in);
void inbound_stats(const struct inbound *in, struct inbound_stats *out);

/* Mail from this destination came in for the user. A full set gives up the
 * address whose last mail is the oldest. */
enum inbound_result inbound_learn(struct inbound *in, struct str user,
    uint64_t destination, const struct inbound_rules *rules, int64_t now);
/* The same, and nobody keeps others from being learnt: of the new ones in a
 * window of the rate one domain or one network has half at most, and one domain
 * from one network a fifth; five at least. */
enum inbound_result inbound_learn_from(struct inbound *in, struct str user,
    uint64_t destination, struct inbound_origin origin,
    const struct inbound_rules *rules, int64_t now);
bool inbound_knows(const struct inbound *in, struct str user,
    uint64_t destination, int64_t expiry_ms, int64_t now);
/* Addresses of a user that have not expired. */
size_t inbound_count(const struct inbound *in, struct str user, int64_t now);
/* The user is empty from now on; how many were forgotten. */
size_t inbound_forget(struct inbound *in, struct str user);
/* Looks at up to `steps` users for addresses that have expired. */
void inbound_expire(struct inbound *in, int64_t now, size_t steps);

/* ---- stored state ---- */

/* One of the users that changed since they were saved, the longest first; NULL:
 * all are saved. */
struct inbound_user *inbound_changed(const struct inbound *in);
struct str inbound_user_key(const struct inbound_user *u);
/* Returns the bytes needed and writes only when cap is enough. 0: the user has
 * no addresses, what is stored is to be removed. */
size_t inbound_save(
    const struct inbound_user *u, int64_t now, void *out, size_t cap);
/* Is saved. One without addresses is gone after it. */
void inbound_saved(struct inbound *in, struct inbound_user *u);
/* What was saved `age_ms` ago, for a user that is not there. False: the bytes
 * are no saved set, or there is no room. Read-back state is hostile: bounded
 * and validated. */
MUST_CHECK bool inbound_load(struct inbound *in, struct str user, const void *p,
    size_t n, int64_t age_ms, const struct inbound_rules *rules, int64_t now);

#endif
