/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests to netfilter over netlink, collected and sent together at the end of
 * a turn of the loop. The kernel answers only what failed: that is counted.
 * Event loop's thread; needs CAP_NET_ADMIN.
 */
#ifndef NFQ_NFSEND_H
#define NFQ_NFSEND_H

#include "net/loop.h"

struct nlmsghdr;
struct nfsend;

/* on_flush, which may be NULL, adds what ends a message before it goes out.
 * NULL and a reason in err. */
struct nfsend *nfsend_new(struct loop *loop, void (*on_flush)(void *arg),
    void *arg, char *err, size_t cap);
/* Sends what waits. */
void nfsend_free(struct nfsend *s);
/* Begins a request, whose end nfsend_end tells; it may have 512 bytes. type and
 * flags as in nlmsghdr, NLM_F_REQUEST is added. */
struct nlmsghdr *nfsend_begin(struct nfsend *s, uint16_t type, uint16_t flags,
    uint8_t family, uint16_t resource);
void nfsend_end(struct nfsend *s, const struct nlmsghdr *nlh);
/* Sends what there is if another request and what ends it may not fit. */
void nfsend_make_room(struct nfsend *s);
void nfsend_flush(struct nfsend *s);
bool nfsend_is_empty(const struct nfsend *s);
uint64_t nfsend_errors(const struct nfsend *s);

#endif
