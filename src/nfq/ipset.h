/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Elements of ipset's sets of type hash:ip,port,ip, put in and taken out over
 * netlink without starting a program. Like nfset.h, with a protocol and a port
 * in each element: there is no type of two addresses alone that every kernel
 * has. Changes are sent together at the end of a turn of the loop; one that
 * fails is counted, and harms nothing. Event loop's thread.
 */
#ifndef NFQ_IPSET_H
#define NFQ_IPSET_H

#include "base/ip.h"
#include "net/loop.h"

struct ipset;

/* NULL and a reason in err. */
struct ipset *ipset_new(struct loop *loop, char *err, size_t cap);
void ipset_free(struct ipset *s);
/* An element lasts for timeout_ms, in whole seconds, at least one. */
void ipset_add(struct ipset *s, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b, int64_t timeout_ms);
void ipset_remove(struct ipset *s, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b);
uint64_t ipset_errors(const struct ipset *s);

#endif
