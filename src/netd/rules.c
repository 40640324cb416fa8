/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two chains: weir-out takes new TCP connections and UDP packets to the queue,
 * weir-in takes what there is to learn from to the queue after it, always with
 * bypass. They stand before the site's filter: what weir accepts goes through
 * that as ever. A frozen host's packet that is to be rejected comes back
 * marked, and is rejected at the filter.
 *
 * Writing goes on after out is full; the end asks once.
 */
#include "netd/rules.h"

#include <stdarg.h>
#include <stdio.h>

struct writer {
	const struct netd_config *c;
	struct buf *out;
	bool v6;
	bool ok;
};

/* Never meant for one host: multicast, broadcast, neighbours. */
static const char never4[] = "224.0.0.0/4 255.255.255.255";
static const char never6[] = "ff00::/8 fe80::/10";

PRINTF_LIKE(2, 3)
static void
put(struct writer *w, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	w->ok = w->ok && buf_append_str(w->out, str_from(line));
}

static uint32_t
known_mark(const struct netd_config *c)
{
	return UINT32_C(1) << c->mark_bit;
}

static uint32_t
reject_mark(const struct netd_config *c)
{
	return UINT32_C(2) << c->mark_bit;
}

static bool
want_in(const struct netd_config *c)
{
	return netpolicies_want_dns(c->policies) ||
	       netpolicies_want_inbound(c->policies) ||
	       netpolicies_want_outcome(c->policies);
}

static const char *
net_text(const struct ip_net *net, char *out, size_t cap)
{
	char ip[IP_TEXT_MAX];

	snprintf(out, cap, "%s/%u", ip_format(&net->ip, ip), net->bits);
	return out;
}

static bool
is_family(const struct writer *w, const struct ip_net *net)
{
	return (net->ip.family == IP_V6) == w->v6;
}

/* ---- nft ---- */

static void
nft_pass(struct writer *w)
{
	const char *l3 = w->v6 ? "ip6" : "ip";
	struct str rest = str_from(w->v6 ? never6 : never4);
	char text[80];

	put(w, "    %s daddr { ", l3);
	while (rest.n > 0) {
		struct str net = str_cut(&rest, ' ');

		put(w, "%.*s%s", STR_ARG(net), rest.n > 0 ? ", " : "");
	}
	put(w, " } return\n");
	for (size_t i = 0; i < w->c->pass_nets.n; i++) {
		if (is_family(w, &w->c->pass_nets.v[i]))
			put(w, "    %s daddr %s return\n", l3,
			    net_text(
				&w->c->pass_nets.v[i], text, sizeof(text)));
	}
}

static void
nft_sets(struct writer *w)
{
	put(w, "  set " RULES_KNOWN4 " {\n    type ipv4_addr . ipv4_addr\n"
	       "    flags timeout\n    size 65536\n  }\n"
	       "  set " RULES_KNOWN6 " {\n    type ipv6_addr . ipv6_addr\n"
	       "    flags timeout\n    size 65536\n  }\n");
}

static void
nft_known(struct writer *w, const char *verdict)
{
	put(w, "    ip saddr . ip daddr @" RULES_KNOWN4 " %s\n", verdict);
	put(w, "    ip6 saddr . ip6 daddr @" RULES_KNOWN6 " %s\n", verdict);
}

static void
nft_out_chain(struct writer *w)
{
	const char *bypass =
	    w->c->fail == NETD_FAIL_OPEN ? " flags bypass" : "";

	put(w, "  chain weir-out {\n"
	       "    ct state established,related return\n");
	for (int v6 = 0; v6 < 2; v6++) {
		w->v6 = v6;
		nft_pass(w);
	}
	if (w->c->fast_path_ms > 0)
		nft_known(w, "return");
	if (w->c->tcp)
		put(w,
		    "    tcp flags & (fin|syn|rst|ack) == syn queue%s to %u\n",
		    bypass, w->c->queue);
	if (w->c->udp)
		put(w, "    meta l4proto udp queue%s to %u\n", bypass,
		    w->c->queue);
	put(w, "  }\n");
}

static void
nft_in_chain(struct writer *w)
{
	unsigned q = w->c->queue + 1;

	put(w, "  chain weir-in {\n");
	if (netpolicies_want_dns(w->c->policies))
		put(w,
		    "    udp sport 53 ct state established queue flags "
		    "bypass to %u\n",
		    q);
	if (netpolicies_want_inbound(w->c->policies))
		put(w,
		    "    ct state new tcp flags & (fin|syn|rst|ack) == syn "
		    "queue flags bypass to %u\n"
		    "    ct state new meta l4proto udp queue flags bypass to "
		    "%u\n",
		    q, q);
	if (netpolicies_want_outcome(w->c->policies))
		put(w,
		    "    tcp flags & (syn|ack) == (syn|ack) queue flags bypass "
		    "to %u\n"
		    "    tcp flags & rst == rst queue flags bypass to %u\n"
		    "    meta l4proto udp ct status & assured == 0 queue flags "
		    "bypass to %u\n"
		    "    icmp type destination-unreachable queue flags bypass "
		    "to %u\n"
		    "    icmpv6 type destination-unreachable queue flags "
		    "bypass "
		    "to %u\n",
		    q, q, q, q, q);
	put(w, "  }\n");
}

/* {direction}ifname of the configured interfaces. */
static void
nft_interfaces(struct writer *w, const char *which)
{
	const struct option_strings *list = &w->c->interfaces;

	if (list->n == 0) {
		put(w, "%s != \"lo\" ", which);
		return;
	}
	put(w, "%s { ", which);
	for (size_t i = 0; i < list->n; i++)
		put(w, "\"%s\"%s", list->v[i], i + 1 < list->n ? ", " : "");
	put(w, " } ");
}

static void
nft_hook(
    struct writer *w, const char *hook, const char *which, const char *jump)
{
	put(w,
	    "  chain %s-%s {\n    type filter hook %s priority mangle; policy "
	    "accept;\n    ",
	    jump, hook, hook);
	nft_interfaces(w, which);
	put(w, "jump %s\n  }\n", jump);
}

static void
nft_reject(struct writer *w, const char *hook)
{
	put(w,
	    "  chain reject-%s {\n    type filter hook %s priority filter - 1; "
	    "policy accept;\n"
	    "    meta mark & 0x%x == 0x%x meta l4proto tcp reject with tcp "
	    "reset\n"
	    "    meta mark & 0x%x == 0x%x reject\n  }\n",
	    hook, hook, reject_mark(w->c), reject_mark(w->c), reject_mark(w->c),
	    reject_mark(w->c));
}

static void
nft_direction(struct writer *w, const char *out, const char *in)
{
	nft_hook(w, out, "oifname", "weir-out");
	if (want_in(w->c))
		nft_hook(w, in, "iifname", "weir-in");
	if (netpolicies_want_reject(w->c->policies))
		nft_reject(w, out);
}

static void
print_nft(struct writer *w)
{
	put(w, "table inet " RULES_TABLE "\ndelete table inet " RULES_TABLE
	       "\ntable inet " RULES_TABLE " {\n");
	if (w->c->fast_path_ms > 0)
		nft_sets(w);
	nft_out_chain(w);
	if (want_in(w->c))
		nft_in_chain(w);
	if (w->c->where != NETD_FORWARD)
		nft_direction(w, "output", "input");
	if (w->c->where != NETD_OUTPUT)
		nft_direction(w, "forward", "forward");
	put(w, "}\n");
}

/* Ahead of iptables' rules: a mark tells them. */
static void
print_nft_sets(struct writer *w)
{
	char verdict[80];

	snprintf(verdict, sizeof(verdict),
	    "meta mark set meta mark | 0x%x return", known_mark(w->c));
	put(w, "table inet " RULES_TABLE "\ndelete table inet " RULES_TABLE
	       "\ntable inet " RULES_TABLE " {\n");
	nft_sets(w);
	for (int i = 0; i < 2; i++) {
		static const char *const hooks[] = {"output", "forward"};

		if (w->c->where == (i == 0 ? NETD_FORWARD : NETD_OUTPUT))
			continue;
		put(w,
		    "  chain known-%s {\n    type filter hook %s priority "
		    "mangle - 5; policy accept;\n",
		    hooks[i], hooks[i]);
		nft_known(w, verdict);
		put(w, "  }\n");
	}
	put(w, "}\n");
}

/* ---- iptables ---- */

static void
ipt_pass(struct writer *w)
{
	struct str rest = str_from(w->v6 ? never6 : never4);
	char text[80];

	while (rest.n > 0) {
		struct str net = str_cut(&rest, ' ');

		put(w, "-A WEIR-OUT -d %.*s -j RETURN\n", STR_ARG(net));
	}
	for (size_t i = 0; i < w->c->pass_nets.n; i++) {
		if (is_family(w, &w->c->pass_nets.v[i]))
			put(w, "-A WEIR-OUT -d %s -j RETURN\n",
			    net_text(
				&w->c->pass_nets.v[i], text, sizeof(text)));
	}
}

static void
ipt_out_chain(struct writer *w)
{
	const char *bypass =
	    w->c->fail == NETD_FAIL_OPEN ? " --queue-bypass" : "";

	put(w, "-A WEIR-OUT -m conntrack --ctstate ESTABLISHED,RELATED -j "
	       "RETURN\n");
	if (w->c->fast_path_ms > 0)
		put(w, "-A WEIR-OUT -m mark --mark 0x%x/0x%x -j RETURN\n",
		    known_mark(w->c), known_mark(w->c));
	ipt_pass(w);
	if (w->c->tcp)
		put(w,
		    "-A WEIR-OUT -p tcp --tcp-flags FIN,SYN,RST,ACK SYN -j "
		    "NFQUEUE --queue-num %u%s\n",
		    w->c->queue, bypass);
	if (w->c->udp)
		put(w, "-A WEIR-OUT -p udp -j NFQUEUE --queue-num %u%s\n",
		    w->c->queue, bypass);
}

static void
ipt_watch(struct writer *w, const char *match)
{
	put(w, "-A WEIR-IN %s -j NFQUEUE --queue-num %u --queue-bypass\n",
	    match, w->c->queue + 1);
}

static void
ipt_in_chain(struct writer *w)
{
	if (netpolicies_want_dns(w->c->policies))
		ipt_watch(w, "-p udp --sport 53 -m conntrack --ctstate "
			     "ESTABLISHED");
	if (netpolicies_want_inbound(w->c->policies)) {
		ipt_watch(w, "-p tcp --tcp-flags FIN,SYN,RST,ACK SYN -m "
			     "conntrack --ctstate NEW");
		ipt_watch(w, "-p udp -m conntrack --ctstate NEW");
	}
	if (netpolicies_want_outcome(w->c->policies)) {
		ipt_watch(w, "-p tcp --tcp-flags SYN,ACK SYN,ACK");
		ipt_watch(w, "-p tcp --tcp-flags RST RST");
		ipt_watch(w, "-p udp -m conntrack ! --ctstatus ASSURED");
		ipt_watch(w, w->v6 ? "-p icmpv6 --icmpv6-type "
				     "destination-unreachable"
				   : "-p icmp --icmp-type "
				     "destination-unreachable");
	}
}

/* -I HOOK 1 or -D HOOK, per interface. */
static void
ipt_jump(
    struct writer *w, bool add, const char *hook, char way, const char *target)
{
	const struct option_strings *list = &w->c->interfaces;
	const char *verb = add ? "-I" : "-D";
	const char *at = add ? " 1" : "";

	if (list->n == 0)
		put(w, "%s %s%s ! -%c lo -j %s\n", verb, hook, at, way, target);
	for (size_t i = 0; i < list->n; i++) {
		if (w->c->bridge)
			put(w,
			    "%s %s%s -m physdev --physdev-is-bridged "
			    "--physdev-%s %s -j %s\n",
			    verb, hook, at, way == 'o' ? "out" : "in",
			    list->v[i], target);
		else
			put(w, "%s %s%s -%c %s -j %s\n", verb, hook, at, way,
			    list->v[i], target);
	}
}

/* In goes first, so that out, put before it, is asked first: without
 * interfaces both fit a packet that passes. */
static void
ipt_jumps(struct writer *w, bool add)
{
	bool in = want_in(w->c);

	if (w->c->where != NETD_FORWARD) {
		if (in)
			ipt_jump(w, add, "INPUT", 'i', "WEIR-IN");
		ipt_jump(w, add, "OUTPUT", 'o', "WEIR-OUT");
	}
	if (w->c->where != NETD_OUTPUT) {
		if (in)
			ipt_jump(w, add, "FORWARD", 'i', "WEIR-IN");
		ipt_jump(w, add, "FORWARD", 'o', "WEIR-OUT");
	}
}

static void
ipt_reject(struct writer *w, bool add)
{
	static const char *const hooks[] = {"OUTPUT", "FORWARD"};
	uint32_t mark = reject_mark(w->c);
	const char *verb = add ? "-I" : "-D";
	const char *at = add ? " 1" : "";

	if (!netpolicies_want_reject(w->c->policies))
		return;
	put(w, "*filter\n");
	for (int i = 0; i < 2; i++) {
		if (w->c->where == (i == 0 ? NETD_FORWARD : NETD_OUTPUT))
			continue;
		put(w, "%s %s%s -m mark --mark 0x%x/0x%x -j REJECT\n", verb,
		    hooks[i], at, mark, mark);
		put(w,
		    "%s %s%s -p tcp -m mark --mark 0x%x/0x%x -j REJECT "
		    "--reject-with tcp-reset\n",
		    verb, hooks[i], at, mark, mark);
	}
	put(w, "COMMIT\n");
}

static void
print_iptables(struct writer *w)
{
	put(w, "*mangle\n:WEIR-OUT - [0:0]\n");
	if (want_in(w->c))
		put(w, ":WEIR-IN - [0:0]\n");
	ipt_out_chain(w);
	ipt_in_chain(w);
	ipt_jumps(w, true);
	put(w, "COMMIT\n");
	ipt_reject(w, true);
}

static void
print_iptables_removal(struct writer *w)
{
	put(w, "*mangle\n");
	ipt_jumps(w, false);
	put(w, "-F WEIR-OUT\n-X WEIR-OUT\n");
	if (want_in(w->c))
		put(w, "-F WEIR-IN\n-X WEIR-IN\n");
	put(w, "COMMIT\n");
	ipt_reject(w, false);
}

bool
rules_print(const struct netd_config *c, enum rules_part part, struct buf *out)
{
	struct writer w = {
	    .c = c, .out = out, .v6 = part == RULES_IP6TABLES, .ok = true};

	switch (part) {
	case RULES_NFT:
		print_nft(&w);
		break;
	case RULES_NFT_SETS:
		print_nft_sets(&w);
		break;
	case RULES_IPTABLES:
	case RULES_IP6TABLES:
		print_iptables(&w);
		break;
	}
	return w.ok;
}

bool
rules_print_removal(
    const struct netd_config *c, enum rules_part part, struct buf *out)
{
	struct writer w = {
	    .c = c, .out = out, .v6 = part == RULES_IP6TABLES, .ok = true};

	if (part == RULES_NFT || part == RULES_NFT_SETS)
		put(&w, "table inet " RULES_TABLE
			"\ndelete table inet " RULES_TABLE "\n");
	else
		print_iptables_removal(&w);
	return w.ok;
}
