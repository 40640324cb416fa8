/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nft's table: chains, sets and hooks in one script, which the kernel takes as
 * a whole or not at all. Beside iptables' rules it has the sets alone.
 */
#include "netd/rules_internal.h"

#include <stdio.h>
#include <string.h>

#define TABLE                                                        \
	"table inet " RULES_TABLE "\ndelete table inet " RULES_TABLE \
	"\ntable inet " RULES_TABLE " {\n"

/* A first SYN. */
#define ATTEMPT "tcp flags & (fin|syn|rst|ack) == syn"
#define NO_ATTEMPT "tcp flags & (fin|syn|rst|ack) != syn"

static void
put_passed(struct rules_writer *w, const char *net)
{
	rules_put(w, "    %s daddr %s return\n", w->v6 ? "ip6" : "ip", net);
}

static void
put_sets(struct rules_writer *w)
{
	rules_put(w,
	    "  set " RULES_KNOWN4 " {\n    type ipv4_addr . ipv4_addr\n"
	    "    flags timeout\n    size 65536\n  }\n"
	    "  set " RULES_KNOWN6 " {\n    type ipv6_addr . ipv6_addr\n"
	    "    flags timeout\n    size 65536\n  }\n");
}

static void
put_known(struct rules_writer *w, const char *verdict)
{
	rules_put(w, "    ip saddr . ip daddr @" RULES_KNOWN4 " %s\n", verdict);
	rules_put(
	    w, "    ip6 saddr . ip6 daddr @" RULES_KNOWN6 " %s\n", verdict);
}

/* Ahead of the filter, where marks are needed: to reject, and for a daemon that
 * was not told whose rules these are, and sends packets round the chain. */
static bool
is_ahead(const struct rules_writer *w)
{
	return w->how.table == RULES_IN_MANGLE;
}

/* What has come round goes on, as it was. */
static void
put_mark_away(struct rules_writer *w, uint32_t mark, uint32_t off)
{
	rules_put(w,
	    "    meta mark & 0x%x == 0x%x meta mark set meta mark & 0x%x "
	    "return\n",
	    mark, mark, ~off);
}

static void
put_marks_off(struct rules_writer *w)
{
	uint32_t both = rules_pass_mark(w->c) | rules_seen_mark(w->c);

	rules_put(w,
	    "    meta mark & 0x%x != 0 meta mark set meta mark & 0x%x\n", both,
	    ~both);
}

static void
put_out_chain(struct rules_writer *w)
{
	const char *bypass =
	    w->c->fail == NETD_FAIL_OPEN ? " flags bypass" : "";

	uint32_t pass = rules_pass_mark(w->c);

	rules_put(w, "  chain weir-out {\n");
	if (w->c->tracks)
		rules_put(w, "    ct state established,related return\n");
	if (is_ahead(w))
		put_mark_away(w, pass, pass);
	if (w->how.fast == RULES_FAST_NFT)
		put_known(w, "return");
	for (int v6 = 0; v6 < 2; v6++) {
		w->v6 = v6;
		rules_each_passed(w, put_passed);
	}
	if (is_ahead(w))
		put_marks_off(w);
	if (w->c->tcp)
		rules_put(
		    w, "    " ATTEMPT " queue%s to %u\n", bypass, w->c->queue);
	if (w->c->udp && !w->how.plain)
		rules_put(w, "    meta l4proto udp fib daddr type { broadcast, "
			     "multicast } return\n");
	if (w->c->udp)
		rules_put(w, "    meta l4proto udp queue%s to %u\n", bypass,
		    w->c->queue);
	rules_put(w, "  }\n");
}

static void
put_watched(struct rules_writer *w, const char *match, uint32_t queue)
{
	rules_put(w, "    %s queue flags bypass to %u\n", match, queue);
}

static void
put_in_chain(struct rules_writer *w)
{
	uint32_t answers = rules_answers_queue(w->c);
	uint32_t contacts = rules_contacts_queue(w->c);
	uint32_t seen = rules_seen_mark(w->c);
	uint32_t both = rules_pass_mark(w->c) | seen;

	rules_put(w, "  chain weir-in {\n");
	if (is_ahead(w)) {
		put_mark_away(w, both, both);
		/* Its way leads to the chain that rejects it. */
		rules_put(w, "    meta mark & 0x%x != 0 return\n", seen);
	}
	if (netpolicies_want_dns(w->c->policies)) {
		put_watched(w, "udp sport 53 ct state established", answers);
		put_watched(w, "tcp sport 53 ct state established", answers);
	}
	if (netpolicies_want_inbound(w->c->policies)) {
		put_watched(w, "ct state new " ATTEMPT, contacts);
		put_watched(w, "ct state new meta l4proto udp", contacts);
	}
	if (netpolicies_want_outcome(w->c->policies)) {
		put_watched(w, "tcp flags & (syn|ack) == (syn|ack)", answers);
		put_watched(w, "tcp flags & rst == rst", answers);
		put_watched(w,
		    "meta l4proto udp ct state established ct status & "
		    "assured == 0",
		    answers);
		put_watched(w, "icmp type destination-unreachable", answers);
		put_watched(w, "icmpv6 type destination-unreachable", answers);
	}
	rules_put(w, "  }\n");
}

/* {direction}ifname of the configured interfaces. */
static void
put_interfaces(struct rules_writer *w, const char *which)
{
	const struct option_strings *list = &w->c->interfaces;

	if (list->n == 0) {
		rules_put(w, "%s != \"lo\" ", which);
		return;
	}
	rules_put(w, "%s { ", which);
	for (size_t i = 0; i < list->n; i++)
		rules_put(
		    w, "\"%s\"%s", list->v[i], i + 1 < list->n ? ", " : "");
	rules_put(w, " } ");
}

static void
put_hook(struct rules_writer *w, const char *hook, const char *which,
    const char *jump)
{
	rules_put(w,
	    "  chain %s-%s {\n    type filter hook %s priority %s; policy "
	    "accept;\n    ",
	    jump, hook, hook, rules_table_name(w));
	put_interfaces(w, which);
	rules_put(w, "%sjump %s\n", w->c->tracks ? "" : ATTEMPT " ", jump);
	/* Answers of a resolver on this host. */
	if (strcmp(hook, "input") == 0 && netpolicies_want_dns(w->c->policies))
		rules_put(w,
		    "    iifname \"lo\" udp sport 53 jump %s\n"
		    "    iifname \"lo\" tcp sport 53 jump %s\n",
		    jump, jump);
	rules_put(w, "  }\n");
}

static void
put_reject(struct rules_writer *w, const char *hook)
{
	uint32_t mark = rules_seen_mark(w->c);
	const char *only = w->c->tracks ? "ct state new" : ATTEMPT;

	rules_put(w,
	    "  chain reject-%s {\n    type filter hook %s priority filter - 1; "
	    "policy accept;\n"
	    "    meta mark & 0x%x == 0x%x %s meta l4proto tcp reject with tcp "
	    "reset\n"
	    "    meta mark & 0x%x == 0x%x %s reject\n  }\n",
	    hook, hook, mark, mark, only, mark, mark, only);
}

static void
put_direction(struct rules_writer *w, const char *out, const char *in)
{
	put_hook(w, out, "oifname", "weir-out");
	if (netd_config_wants_in(w->c))
		put_hook(w, in, "iifname", "weir-in");
	if (netpolicies_want_reject(w->c->policies))
		put_reject(w, out);
}

void
rules_print_nft(struct rules_writer *w)
{
	rules_put(w, TABLE);
	if (w->how.fast == RULES_FAST_NFT)
		put_sets(w);
	put_out_chain(w);
	if (netd_config_wants_in(w->c))
		put_in_chain(w);
	if (w->c->where != NETD_FORWARD)
		put_direction(w, "output", "input");
	if (w->c->where != NETD_OUTPUT)
		put_direction(w, "forward", "forward");
	rules_put(w, "}\n");
}

/* Ahead of iptables' rules: a mark tells them. */
void
rules_print_nft_sets(struct rules_writer *w)
{
	static const char *const hooks[] = {"output", "forward"};
	char verdict[80];

	snprintf(verdict, sizeof(verdict),
	    "meta mark set meta mark | 0x%x return", rules_pass_mark(w->c));
	rules_put(w, TABLE);
	put_sets(w);
	for (int i = 0; i < 2; i++) {
		if (w->c->where == (i == 0 ? NETD_FORWARD : NETD_OUTPUT))
			continue;
		rules_put(w,
		    "  chain known-%s {\n    type filter hook %s priority "
		    "%s - 5; policy accept;\n%s",
		    hooks[i], hooks[i], rules_table_name(w),
		    w->c->tracks ? "    ct state established,related return\n"
				 : "    " NO_ATTEMPT " return\n");
		put_known(w, verdict);
		put_marks_off(w);
		rules_put(w, "  }\n");
	}
	rules_put(w, "}\n");
}
