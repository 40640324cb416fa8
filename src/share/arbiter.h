/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decides about senders in the shared server: one script (arbiter.lua) is the
 * throttle, and each question is one run of it. Senders and recipients are
 * named by keyed hashes. What a relay reserved and does not end is ended after
 * ARBITER_LEASE_S, as spent; what it has waiting leaves the queue that long
 * after it was last heard of. Event loop's thread.
 */
#ifndef SHARE_ARBITER_H
#define SHARE_ARBITER_H

#include "share/question.h"
#include "share/redis_link.h"
#include "share/seal.h"

#define ARBITER_LEASE_S 60
#define ARBITER_VERSION 4 /* of keys: another script, another throttle */

struct arbiter;

/* link and seal are borrowed and live longer; the others are copied. relay:
 * this one's name, the same after a restart. */
struct arbiter *arbiter_new(struct redis_link *link, const struct seal *seal,
    const char *prefix, const char *relay);
/* Answers that are on their way do not come. After the link; takes NULL. */
void arbiter_free(struct arbiter *d);
extern const struct share_ops arbiter_ops; /* arg: the struct arbiter */

/* The script's reply to a question that reserves so many; for tests. granted
 * has room for arbiter_granted_max of the reply, rulings for reserves, networks
 * for SHARE_NETWORKS_MAX. Networks that seal did not name are left out. False:
 * it is no answer. */
struct arbiter_room {
	uint64_t *granted;
	struct throttle_reservation *rulings;
	struct share_network *networks;
};
size_t arbiter_granted_max(const struct resp_value *reply);
MUST_CHECK bool arbiter_read(const struct resp_value *reply,
    const struct seal *seal, const uint64_t *destinations, size_t reserves,
    struct share_answer *out, const struct arbiter_room *room);

#endif
