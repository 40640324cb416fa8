/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connections that one service has at once, up to a limit, shared among
 * those who connect: see base/share.h for the rule. Who connects is a key of
 * the caller's: a user of this machine, a network, a mail client.
 *
 * Any thread; no call waits but for the others' few instructions.
 */
#ifndef NET_PLACES_H
#define NET_PLACES_H

#include "base/share.h"
#include "net/peer.h"

struct places;

enum {
	PLACE_KEY_MAX = 32,
};

struct places *places_new(void);
void places_free(struct places *p); /* all were given back; takes NULL */

/* One more for key, of max in all and a sixteenth for late comers
 * (places_most); 0: any number. NULL: none is left for it. */
MUST_CHECK struct share_user *places_take(
    struct places *p, struct str key, uint32_t max);
void places_give(struct places *p, struct share_user *place); /* takes NULL */

/* How many connections there may be with this max. */
uint32_t places_most(uint32_t max);
uint32_t places_used(struct places *p);

/* The key of a peer: its user, or its address as ip_site_key has it. */
struct str places_peer_key(const struct peer *peer, char buf[PLACE_KEY_MAX]);

#endif
