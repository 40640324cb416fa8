/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Failed logins by address: after a few each failure locks the address for
 * twice as long. What an IPv6 customer has (a /64) is one address. Bounded; the
 * one that failed longest ago makes room. Without I/O and clock; one thread.
 */
#ifndef CONTROL_GUARD_H
#define CONTROL_GUARD_H

#include "base/ip.h"

#define GUARD_ADDRESSES_MAX 1024
#define GUARD_FREE 5 /* failures before the first lock */
#define GUARD_FIRST_MS 15000
#define GUARD_LONGEST_MS (3600 * INT64_C(1000))
#define GUARD_FORGET_MS (2 * GUARD_LONGEST_MS)

struct guard;

struct guard *guard_new(void);
void guard_free(struct guard *g); /* takes NULL */
/* How long it is locked yet, ms; 0: it may try. */
int64_t guard_locked_for(struct guard *g, const struct ip *ip, int64_t now);
void guard_failed(struct guard *g, const struct ip *ip, int64_t now);
void guard_passed(struct guard *g, const struct ip *ip);

#endif
