/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Elements of sets of nftables or of ipset, put in and taken out over netlink
 * without starting a program. Changes are collected and sent together at the
 * end of a turn of the loop. One that fails (a full set, an element that is not
 * there) is counted, and harms nothing: the packet comes by again. Event loop's
 * thread.
 */
#ifndef NFQ_NFSET_H
#define NFQ_NFSET_H

#include "base/ip.h"
#include "net/loop.h"
#include "nfq/nfset_name.h"

struct nfset;

/* NULL and a reason in err. */
struct nfset *nfset_new(struct loop *loop, char *err, size_t cap);
struct nfset *nfset_new_ipset(struct loop *loop, char *err, size_t cap);
/* Sends what waits. */
void nfset_free(struct nfset *s);
uint64_t nfset_errors(const struct nfset *s);

/* An element of one or two addresses (b may be NULL); timeout_ms 0: as the set
 * says. */
void nfset_add(struct nfset *s, const struct nfset_name *name,
    const struct ip *a, const struct ip *b, int64_t timeout_ms);
/* One address, in a transaction of its own: it is made though others fail. */
void nfset_add_alone(
    struct nfset *s, const struct nfset_name *name, const struct ip *a);
void nfset_remove(struct nfset *s, const struct nfset_name *name,
    const struct ip *a, const struct ip *b);

/* For nfset_new_ipset's, of type hash:ip,port,ip: there is no type of two
 * addresses alone that every kernel has. An element lasts for timeout_ms, in
 * whole seconds, at least one. */
void nfset_add_ipset(struct nfset *s, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b, int64_t timeout_ms);
void nfset_remove_ipset(struct nfset *s, const char *set, const struct ip *a,
    uint8_t protocol, uint16_t port, const struct ip *b);

#endif
