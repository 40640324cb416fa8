/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's rules that bring packets to weir-netd, as text for nft or
 * iptables-restore. Pure.
 */
#ifndef NETD_RULES_H
#define NETD_RULES_H

#include "base/buf.h"
#include "netd/netd_config.h"

#define RULES_TABLE "weir"
#define RULES_KNOWN4 "known4"
#define RULES_KNOWN6 "known6"
#define RULES_TEXT_MAX (1u << 20)

enum rules_part {
	RULES_NFT,       /* one script for nft -f: all there is */
	RULES_NFT_SETS,  /* beside iptables: the sets of the fast path */
	RULES_IPTABLES,  /* for iptables-restore --noflush */
	RULES_IP6TABLES, /* for ip6tables-restore --noflush */
};

/* False: the text passes out's maximum. */
MUST_CHECK bool rules_print(
    const struct netd_config *c, enum rules_part part, struct buf *out);
/* What takes them away again. */
MUST_CHECK bool rules_print_removal(
    const struct netd_config *c, enum rules_part part, struct buf *out);

#endif
