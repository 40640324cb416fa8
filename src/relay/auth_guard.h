/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Failed logins, per client address (IPv6: per /64) and per user at that
 * address. Each failure at an address makes its next answer slower; one a
 * minute is forgiven.
 *
 *	- A user with too many failures at an address is locked there, and there
 *	  alone: nobody locks a user out from elsewhere.
 *	- At an address with too many failures (a guesser who tries many users,
 *	  or a network behind one address with such a guesser in it), users who
 *	  have logged in there lately go on as ever. All others stand in one
 *	  line: one login is checked at a time, the later the more there were,
 *	  up to one a minute. Who would have to wait long is turned away.
 *
 * A success forgives the user's own failures, not the address': who owns one
 * account could else try all others. Bounded; what finds no room is not counted
 * until the next minute has made some.
 */
#ifndef RELAY_AUTH_GUARD_H
#define RELAY_AUTH_GUARD_H

#include "base/ip.h"

#define AUTH_GUARD_ADDRESSES_MAX 65536
#define AUTH_GUARD_PAIRS_MAX 65536
#define AUTH_GUARD_FORGIVE_MS 60000
#define AUTH_GUARD_DELAY_MAX_MS 16000
#define AUTH_GUARD_WAIT_MAX_MS 20000
#define AUTH_GUARD_KNOWN_MS (INT64_C(7) * 24 * 3600 * 1000)

struct auth_guard;

struct auth_guard *auth_guard_new(void);
void auth_guard_free(struct auth_guard *g);
/* Failures of the address that are not forgiven yet. */
uint32_t auth_guard_count(
    const struct auth_guard *g, const struct ip *client, int64_t now);

struct auth_guard_answer {
	bool may;        /* it is to be checked, */
	int64_t wait_ms; /* after so long; else it may be tried again then */
	bool of_user;    /* may not: the failures were this user's */
};
/* Is a login to be checked? max: failures at which an address, and a user at
 * an address, is locked. user: "" where it is not known. */
MUST_CHECK struct auth_guard_answer auth_guard_ask(struct auth_guard *g,
    const struct ip *client, struct str user, uint32_t max, int64_t now);
/* Locked for this user: no further try in this session. */
bool auth_guard_is_locked(const struct auth_guard *g, const struct ip *client,
    struct str user, uint32_t max, int64_t now);
/* One more. Returns for how long its answer is to wait, in ms: 1 s, 2 s, 4 s
 * and so on. */
int64_t auth_guard_failed(struct auth_guard *g, const struct ip *client,
    struct str user, int64_t now);
void auth_guard_passed(struct auth_guard *g, const struct ip *client,
    struct str user, int64_t now);

#endif
