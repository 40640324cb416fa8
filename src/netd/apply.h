/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Puts the rules into the kernel and takes them out, with nft, iptables and
 * ipset, whichever the kernel and the configuration allow. Blocks; needs
 * CAP_NET_ADMIN. For the keeper.
 */
#ifndef NETD_APPLY_H
#define NETD_APPLY_H

#include "netd/rules.h"

#define APPLY_TEXT_MAX 256

struct apply_result {
	enum rules_fast fast;
	/* What was chosen and why; what is missing, where nothing could be. */
	char text[APPLY_TEXT_MAX];
};

/* Rules that are there already, of whatever configuration, are replaced. False:
 * nothing is left behind. */
MUST_CHECK bool apply_install(
    const struct netd_config *c, struct apply_result *result);
/* False: some are left. */
bool apply_remove(void);

#endif
