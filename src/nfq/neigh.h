/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is a packet from the host whose address it has? It is, when the frame's MAC
 * address is the one that the kernel's neighbour table has for that address on
 * that interface. Where the table has none the kernel is told to ask for it
 * (ARP, neighbour discovery), so that a host which never got an answer can be
 * proven too. Answers stay in a bounded table for a moment. Event loop's
 * thread; asking the kernel does not block. Needs CAP_NET_ADMIN to have it ask.
 */
#ifndef NFQ_NEIGH_H
#define NFQ_NEIGH_H

#include "base/ip.h"

#define NEIGH_MAC 6

struct neigh;

/* NULL and a reason in err. */
struct neigh *neigh_new(char *err, size_t cap);
void neigh_free(struct neigh *n);
/* mac: NEIGH_MAC bytes. now: monotonic ms. */
bool neigh_agrees(struct neigh *n, uint32_t interface, const struct ip *ip,
    const char *mac, int64_t now);

#endif
