/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iptables' rules: chains of our own, and jumps to them. What is there
 * already is found by their names in what iptables-save prints, so that it goes
 * whatever configuration it was made for: what stands in the same table in the
 * transaction in which the new rules come, what stands in another after it.
 */
#include "netd/rules_internal.h"

#include <stdio.h>
#include <string.h>

#define OUT "WEIR-OUT"
#define IN "WEIR-IN"
#define REJECT "WEIR-REJECT"
#define PASS "WEIR-PASS" /* takes out's mark off */
#define SEEN "WEIR-SEEN" /* takes both marks off */
/* A first SYN. */
#define ATTEMPT "-p tcp --tcp-flags FIN,SYN,RST,ACK SYN"

static const char *const chains[] = {OUT, IN, PASS, SEEN, REJECT};
static const char *const tables[] = {"mangle", "filter", "security"};

/* ---- what is there ---- */

/* The next line of the table; false at its end. */
static bool
next_line(struct str *rest, struct str *line)
{
	*line = str_cut(rest, '\n');
	return rest->n > 0 && !str_eq(*line, STR("COMMIT"));
}

/* The lines of one table. */
static struct str
find_table(struct str saved, const char *table)
{
	while (saved.n > 0) {
		struct str line = str_cut(&saved, '\n');

		if (line.n > 1 && line.p[0] == '*' &&
		    str_eq(
			(struct str){line.p + 1, line.n - 1}, str_from(table)))
			return saved;
	}
	return saved;
}

static bool
ends_with(struct str s, const char *what)
{
	size_t n = strlen(what);

	return s.n >= n && memcmp(s.p + s.n - n, what, n) == 0;
}

static bool
has_chain(struct str table, const char *chain)
{
	char declared[32];
	struct str line;

	snprintf(declared, sizeof(declared), ":%s ", chain);
	while (next_line(&table, &line)) {
		if (str_starts(line, str_from(declared)))
			return true;
	}
	return false;
}

/* -D for each jump to the chain. */
static void
put_jumps_away(struct rules_writer *w, struct str table, const char *chain)
{
	char jump[32];
	struct str line;

	snprintf(jump, sizeof(jump), " -j %s", chain);
	while (next_line(&table, &line)) {
		if (str_starts(line, STR("-A ")) && ends_with(line, jump))
			rules_put(w, "-D %.*s\n", (int)line.n - 3, line.p + 3);
	}
}

/* Takes a chain away, if it is there. */
static void
put_chain_away(struct rules_writer *w, struct str table, const char *chain)
{
	if (!has_chain(table, chain))
		return;
	put_jumps_away(w, table, chain);
	rules_put(w, "-F %s\n-X %s\n", chain, chain);
}

/* Makes a chain, or empties the one that is there and takes its jumps away. */
static void
put_chain(struct rules_writer *w, struct str table, const char *chain)
{
	rules_put(w, ":%s - [0:0]\n", chain);
	put_jumps_away(w, table, chain);
}

static bool
has_any(struct str table)
{
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		if (has_chain(table, chains[i]))
			return true;
	}
	return false;
}

static void
put_table_away(struct rules_writer *w, const char *name)
{
	struct str table = find_table(w->saved, name);

	if (!has_any(table))
		return;
	rules_put(w, "*%s\n", name);
	for (size_t i = 0; i < ARRAY_LEN(chains); i++)
		put_chain_away(w, table, chains[i]);
	rules_put(w, "COMMIT\n");
}

void
rules_print_iptables_removal(struct rules_writer *w)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		put_table_away(w, tables[i]);
}

/* ---- new ones ---- */

static void
put_passed(struct rules_writer *w, const char *net)
{
	rules_put(w, "-A " OUT " -d %s -j RETURN\n", net);
}

/* A goto: from there it returns to the chain that jumped here. */
static void
put_mark_away(struct rules_writer *w, const char *from, const char *to,
    uint32_t mark, uint32_t off)
{
	rules_put(
	    w, "-A %s -m mark --mark 0x%x/0x%x -g %s\n", from, mark, mark, to);
	rules_put(w, "-A %s -j MARK --set-xmark 0x0/0x%x\n", to, off);
}

/* Does a verdict send packets round the chain again? */
static bool
repeats(const struct rules_writer *w)
{
	return w->how.table == RULES_IN_MANGLE;
}

/* Packets come marked: from a verdict, or from nft's sets. */
static bool
uses_pass(const struct rules_writer *w)
{
	return repeats(w) || w->how.fast == RULES_FAST_NFT;
}

static void
put_out_chain(struct rules_writer *w)
{
	const char *bypass =
	    w->c->fail == NETD_FAIL_OPEN ? " --queue-bypass" : "";
	uint32_t pass = rules_pass_mark(w->c), seen = rules_seen_mark(w->c);

	if (w->c->tracks)
		rules_put(w,
		    "-A " OUT " -m conntrack --ctstate ESTABLISHED,RELATED "
		    "-j RETURN\n");
	if (uses_pass(w))
		put_mark_away(w, OUT, PASS, pass, pass);
	if (w->how.fast == RULES_FAST_IPSET)
		rules_put(w,
		    "-A " OUT " -m set --match-set %s src,dst,dst -j RETURN\n",
		    w->v6 ? RULES_IPSET6 : RULES_IPSET4);
	rules_each_passed(w, put_passed);
	if (repeats(w))
		rules_put(w,
		    "-A " OUT " -m mark --mark 0x%x/0x%x -j MARK --set-xmark "
		    "0x0/0x%x\n",
		    seen, seen, seen);
	if (w->c->tcp)
		rules_put(w,
		    "-A " OUT " " ATTEMPT " -j NFQUEUE --queue-num %u%s\n",
		    w->c->queue, bypass);
	if (w->c->udp && !w->how.plain)
		rules_put(w,
		    "-A " OUT " -p udp -m addrtype --dst-type %s -j RETURN\n",
		    w->v6 ? "MULTICAST" : "BROADCAST");
	if (w->c->udp)
		rules_put(w, "-A " OUT " -p udp -j NFQUEUE --queue-num %u%s\n",
		    w->c->queue, bypass);
}

static void
put_watched(struct rules_writer *w, const char *match, uint32_t queue)
{
	rules_put(w, "-A " IN " %s -j NFQUEUE --queue-num %u --queue-bypass\n",
	    match, queue);
}

static void
put_in_chain(struct rules_writer *w)
{
	uint32_t answers = rules_answers_queue(w->c);
	uint32_t contacts = rules_contacts_queue(w->c);
	uint32_t seen = rules_seen_mark(w->c);

	if (repeats(w))
		put_mark_away(w, IN, SEEN, seen, rules_pass_mark(w->c) | seen);
	if (netpolicies_want_dns(w->c->policies)) {
		put_watched(w,
		    "-p udp --sport 53 -m conntrack --ctstate ESTABLISHED",
		    answers);
		put_watched(w,
		    "-p tcp --sport 53 -m conntrack --ctstate ESTABLISHED",
		    answers);
	}
	if (netpolicies_want_inbound(w->c->policies)) {
		put_watched(w, ATTEMPT " -m conntrack --ctstate NEW", contacts);
		put_watched(w, "-p udp -m conntrack --ctstate NEW", contacts);
	}
	if (netpolicies_want_outcome(w->c->policies)) {
		put_watched(w, "-p tcp --tcp-flags SYN,ACK SYN,ACK", answers);
		put_watched(w, "-p tcp --tcp-flags RST RST", answers);
		put_watched(w,
		    "-p udp -m conntrack --ctstate ESTABLISHED -m conntrack ! "
		    "--ctstatus ASSURED",
		    answers);
		put_watched(w,
		    w->v6 ? "-p icmpv6 --icmpv6-type destination-unreachable"
			  : "-p icmp --icmp-type destination-unreachable",
		    answers);
	}
}

/* One jump per interface. Untracked, what is no attempt does not even enter: it
 * meets this rule alone. */
static void
put_jump(struct rules_writer *w, const char *hook, char way, const char *target)
{
	const struct option_strings *list = &w->c->interfaces;
	const char *only = w->c->tracks ? "" : " " ATTEMPT;

	if (list->n == 0)
		rules_put(
		    w, "-I %s 1 ! -%c lo%s -j %s\n", hook, way, only, target);
	for (size_t i = 0; i < list->n; i++) {
		if (w->c->bridge)
			rules_put(w,
			    "-I %s 1 -m physdev --physdev-is-bridged "
			    "--physdev-%s %s -j %s\n",
			    hook, way == 'o' ? "out" : "in", list->v[i],
			    target);
		else
			rules_put(w, "-I %s 1 -%c %s%s -j %s\n", hook, way,
			    list->v[i], only, target);
	}
}

/* In goes first, so that out, put before it, is asked first: without
 * interfaces both fit a packet that passes. */
static void
put_jumps(struct rules_writer *w)
{
	bool in = netd_config_wants_in(w->c);

	if (w->c->where != NETD_FORWARD) {
		if (in)
			put_jump(w, "INPUT", 'i', IN);
		if (netpolicies_want_dns(w->c->policies)) {
			/* Answers of a resolver on this host, which asks others
			 * by ways that cannot be read along. */
			rules_put(w,
			    "-I INPUT 1 -i lo -p udp --sport 53 -j " IN "\n"
			    "-I INPUT 1 -i lo -p tcp --sport 53 -j " IN "\n");
		}
		put_jump(w, "OUTPUT", 'o', OUT);
	}
	if (w->c->where != NETD_OUTPUT) {
		if (in)
			put_jump(w, "FORWARD", 'i', IN);
		put_jump(w, "FORWARD", 'o', OUT);
	}
}

static void
put_reject_chain(struct rules_writer *w, struct str table)
{
	uint32_t mark = rules_seen_mark(w->c);
	const char *only =
	    w->c->tracks ? "-m conntrack --ctstate NEW" : ATTEMPT;

	put_chain(w, table, REJECT);
	rules_put(w, "-A " REJECT " -p tcp -j REJECT --reject-with tcp-reset\n"
		     "-A " REJECT " -j REJECT\n");
	if (w->c->where != NETD_FORWARD)
		rules_put(w,
		    "-I OUTPUT 1 -m mark --mark 0x%x/0x%x %s -j " REJECT "\n",
		    mark, mark, only);
	if (w->c->where != NETD_OUTPUT)
		rules_put(w,
		    "-I FORWARD 1 -m mark --mark 0x%x/0x%x %s -j " REJECT "\n",
		    mark, mark, only);
}

static void
put_filter(struct rules_writer *w)
{
	struct str table = find_table(w->saved, "filter");
	bool wanted = netpolicies_want_reject(w->c->policies);

	if (!wanted && !has_chain(table, REJECT))
		return;
	rules_put(w, "*filter\n");
	if (wanted)
		put_reject_chain(w, table);
	else
		put_chain_away(w, table, REJECT);
	rules_put(w, "COMMIT\n");
}

static void
put_chain_if(
    struct rules_writer *w, struct str table, const char *chain, bool wanted)
{
	if (wanted)
		put_chain(w, table, chain);
	else
		put_chain_away(w, table, chain);
}

void
rules_print_iptables(struct rules_writer *w)
{
	const char *name = rules_table_name(w);
	struct str table = find_table(w->saved, name);
	bool in = netd_config_wants_in(w->c);

	rules_put(w, "*%s\n", name);
	/* Those that are jumped to go after those that jump. */
	put_chain(w, table, OUT);
	put_chain_if(w, table, IN, in);
	put_chain_if(w, table, PASS, uses_pass(w));
	put_chain_if(w, table, SEEN, in && repeats(w));
	if (in)
		put_in_chain(w);
	put_out_chain(w);
	put_jumps(w);
	rules_put(w, "COMMIT\n");
	put_filter(w);
	put_table_away(
	    w, w->how.table == RULES_IN_SECURITY ? "mangle" : "security");
}
