/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's rules that bring packets to weir-netd, as text for nft,
 * iptables-restore and ipset. Pure: what stands in the kernel already is given
 * as iptables-save printed it.
 */
#ifndef NETD_RULES_H
#define NETD_RULES_H

#include "base/buf.h"
#include "netd/netd_config.h"

#define RULES_TABLE "weir"
#define RULES_KNOWN4 "known4"
#define RULES_KNOWN6 "known6"
#define RULES_IPSET4 "weir-known4"
#define RULES_IPSET6 "weir-known6"
#define RULES_TEXT_MAX (1u << 20)

enum rules_part {
	RULES_NFT,       /* one script for nft -f: all there is */
	RULES_NFT_SETS,  /* beside iptables: nft's sets of the fast path */
	RULES_IPTABLES,  /* for iptables-restore --noflush */
	RULES_IP6TABLES, /* for ip6tables-restore --noflush */
	RULES_IPSETS,    /* for ipset restore: the sets of the fast path */
};

/* In which sets of the kernel known destinations stay. */
enum rules_fast { RULES_FAST_NONE, RULES_FAST_NFT, RULES_FAST_IPSET };

/*
 * Where the rules stand. Security: behind all of the site's, whose verdicts a
 * packet has by then; what is accepted goes on. Mangle: ahead of NAT and
 * filter; an accept would skip what the site has behind ours in the same chain
 * of iptables, so a packet goes through the chain again.
 */
enum rules_table { RULES_IN_SECURITY, RULES_IN_MANGLE };

struct rules_how {
	enum rules_fast fast;
	enum rules_table table;
	bool plain; /* without what a small kernel may not have: addrtype */
};

/* Bits of the packet mark. Pass: weir-netd, or a set of the fast path, lets it
 * on; no queue any more. Seen: it was learnt from; and on its way to the
 * filter, that it is to be rejected there. */
uint32_t rules_pass_mark(const struct netd_config *c);
uint32_t rules_seen_mark(const struct netd_config *c);

/* What the administrator's printed rules have, and a daemon without a keeper
 * counts on. */
struct rules_how rules_printed_how(const struct netd_config *c);
enum rules_table rules_wanted_table(const struct netd_config *c);

/* saved: what iptables-save prints of the family, or nothing; our old rules in
 * it go with it, those of the same table in one transaction. False: the text
 * passes out's maximum. */
MUST_CHECK bool rules_print(const struct netd_config *c, enum rules_part part,
    const struct rules_how *how, struct str saved, struct buf *out);
/* What takes them away again, whatever configuration they were made for; empty
 * where there are none. */
MUST_CHECK bool rules_print_removal(
    enum rules_part part, struct str saved, struct buf *out);

#endif
