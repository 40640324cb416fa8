/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recipients that a client address (IPv6: a /64) asked about and then wrote
 * nothing to: who may reach whom, and which addresses there are, could be asked
 * for nothing otherwise. At max the address is over; max of them are forgiven
 * in ten minutes, one after the other. Bounded; an address that finds no room
 * is not counted until the next minute has made some.
 */
#ifndef RELAY_ASK_GUARD_H
#define RELAY_ASK_GUARD_H

#include "base/ip.h"

#define ASK_GUARD_ADDRESSES_MAX 65536

struct ask_guard;

struct ask_guard *ask_guard_new(void);
void ask_guard_free(struct ask_guard *g); /* takes NULL */
/* now in monotonic ms, max at least 1. */
bool ask_guard_is_over(const struct ask_guard *g, const struct ip *client,
    uint32_t max, int64_t now);
/* n more. However many, the address is over for 10 minutes at most. */
void ask_guard_add(struct ask_guard *g, const struct ip *client, size_t n,
    uint32_t max, int64_t now);

#endif
