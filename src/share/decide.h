/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decides about senders in the shared server: one script (decide.lua) is the
 * throttle, and each question is one run of it. Senders and recipients are
 * named by keyed hashes. What a relay reserved and does not end is ended after
 * DECIDE_LEASE_S, as spent; what it has waiting leaves the queue that long
 * after it was last heard of. Event loop's thread.
 */
#ifndef SHARE_DECIDE_H
#define SHARE_DECIDE_H

#include "share/question.h"
#include "share/redis_link.h"
#include "share/seal.h"

#define DECIDE_LEASE_S 60
#define DECIDE_VERSION 2 /* of keys: another script, another throttle */

struct decide;

/* link and seal are borrowed and live longer; the others are copied. relay:
 * this one's name, the same after a restart. */
struct decide *decide_new(struct redis_link *link, const struct seal *seal,
    const char *prefix, const char *relay);
/* Answers that are on their way do not come. After the link; takes NULL. */
void decide_free(struct decide *d);
extern const struct share_ops decide_ops; /* arg: the struct decide */

#endif
