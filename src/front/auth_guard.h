/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Failed logins per client address (IPv6: per /64): each one makes the next
 * answer slower, and past a number the address is turned away. One failure a
 * minute is forgiven. A success forgives nothing: who owns one account could
 * else try all others. Bounded; an address that finds no room is not counted
 * until the next minute has made some.
 */
#ifndef FRONT_AUTH_GUARD_H
#define FRONT_AUTH_GUARD_H

#include "base/ip.h"

#define AUTH_GUARD_ADDRESSES_MAX 65536
#define AUTH_GUARD_FORGIVE_MS 60000
#define AUTH_GUARD_DELAY_MAX_MS 16000

struct auth_guard;

struct auth_guard *auth_guard_new(void);
void auth_guard_free(struct auth_guard *g);
/* Failures that are not forgiven yet. */
uint32_t auth_guard_count(
    const struct auth_guard *g, const struct ip *client, int64_t now);
/* One more. Returns for how long its answer is to wait, in ms: 1 s, 2 s, 4 s
 * and so on. */
int64_t auth_guard_failed(
    struct auth_guard *g, const struct ip *client, int64_t now);

#endif
