/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Puts the kernel's rules in place and takes them away again. A process of its
 * own, started before anything else: it may start programs when the daemon may
 * not any more, and it lives when the daemon is killed. Then it takes the rules
 * away with fail = open, and leaves them with fail = closed.
 */
#ifndef NETD_KEEPER_H
#define NETD_KEEPER_H

#include "netd/apply.h"

struct keeper;

/* Blocks until the rules stand. NULL and a reason in err. */
struct keeper *keeper_start(const struct netd_config *conf,
    struct apply_result *result, char *err, size_t cap);
/* Takes the rules away, and waits until that is done. */
void keeper_stop(struct keeper *k);

#endif
