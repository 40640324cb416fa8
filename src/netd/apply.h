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
	struct rules_how how;
	bool uses_iptables;
	bool repeats; /* what passes has to come round: nfqueue_set_repeat */
	/* What was chosen and why; what is missing, where nothing could be. */
	char text[APPLY_TEXT_MAX];
};

/* Rules that are there already, of whatever configuration, are replaced. False:
 * nothing is left behind. */
MUST_CHECK bool apply_install(
    const struct netd_config *c, struct apply_result *result);
/* What stood when the rules had been made, to see whether it still does. */
struct apply_watch {
	char *text; /* our own lines of all parts that were made */
	bool has_iptables, has_nft, has_ipset;
	bool is_alone;   /* in its table: other rules there are a change, too */
	bool is_counted; /* every change raises the kernel's number */
	uint32_t generation;
	int64_t looked_at;
};

void apply_watch_begin(struct apply_watch *w, const struct netd_config *c,
    const struct apply_result *result);
/* False: something is missing, or was changed. now: monotonic ms. */
MUST_CHECK bool apply_look(struct apply_watch *w, int64_t now);

/* False: some are left. */
bool apply_remove(void);

#endif
