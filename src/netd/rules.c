/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two chains: weir-out takes new TCP connections and UDP packets to the queue,
 * weir-in takes what there is to learn from to the two queues after it, always
 * with bypass. In security, a place that nobody else uses, what may go on is
 * accepted: the site's mangle, nat and filter had their say before.
 *
 * In mangle they stand first, and what may go on comes round again, marked:
 * each chain takes its mark off and returns, so that all rules of the site's,
 * in mangle and behind it, see the packet as it was. Of a packet that both
 * chains take (one that is forwarded), weir-in has the last word, and takes off
 * both marks. A frozen host's packet that is to be rejected is accepted with a
 * mark, and rejected at the filter. Nobody else may set these bits; on what is
 * about to be queued they are cleared.
 */
#include "netd/rules.h"

#include "netd/rules_internal.h"

#include <stdarg.h>
#include <stdio.h>

/* Never meant for one host. */
static const char never4[] = "224.0.0.0/4 255.255.255.255";
static const char never6[] = "ff00::/8 fe80::/10";
/* Redirected by the site: it leaves by lo, which the rules cannot see. */
static const char local4[] = "127.0.0.0/8";
static const char local6[] = "::1";

void
rules_put(struct rules_writer *w, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	w->ok = w->ok && buf_append_str(w->out, str_from(line));
}

uint32_t
rules_pass_mark(const struct netd_config *c)
{
	return UINT32_C(1) << c->mark_bit;
}

uint32_t
rules_seen_mark(const struct netd_config *c)
{
	return UINT32_C(2) << c->mark_bit;
}

uint32_t
rules_answers_queue(const struct netd_config *c)
{
	return c->queue + 1;
}

uint32_t
rules_contacts_queue(const struct netd_config *c)
{
	return c->queue + 2;
}

void
rules_each_passed(
    struct rules_writer *w, void (*fn)(struct rules_writer *w, const char *net))
{
	struct str rest = str_from(w->v6 ? never6 : never4);
	char text[80], ip[IP_TEXT_MAX];

	while (rest.n > 0) {
		str_copy(str_cut(&rest, ' '), text, sizeof(text));
		fn(w, text);
	}
	if (w->how.table == RULES_IN_SECURITY)
		fn(w, w->v6 ? local6 : local4);
	for (size_t i = 0; i < w->c->pass_nets.n; i++) {
		const struct ip_net *net = &w->c->pass_nets.v[i];

		if ((net->ip.family == IP_V6) != w->v6)
			continue;
		snprintf(text, sizeof(text), "%s/%u", ip_format(&net->ip, ip),
		    net->bits);
		fn(w, text);
	}
}

const char *
rules_table_name(const struct rules_writer *w)
{
	return w->how.table == RULES_IN_SECURITY ? "security" : "mangle";
}

/* Two chains take what is forwarded, and an accept would end with the first;
 * the target that rejects is at the filter; and a decoy is touched even if the
 * filter lets nobody reach it. */
enum rules_table
rules_wanted_table(const struct netd_config *c)
{
	return c->before_filter || c->where != NETD_OUTPUT ||
		       c->decoy_ranges != NULL ||
		       netpolicies_want_reject(c->policies)
		   ? RULES_IN_MANGLE
		   : RULES_IN_SECURITY;
}

struct rules_how
rules_printed_how(const struct netd_config *c)
{
	struct rules_how how = {.table = rules_wanted_table(c)};

	if (c->fast_path_ms > 0)
		how.fast = c->fast_path_set == NETD_SET_IPSET ? RULES_FAST_IPSET
							      : RULES_FAST_NFT;
	return how;
}

/* No time of their own, so that they are the same whatever the configuration
 * says: each element brings its own. */
static void
print_ipsets(struct rules_writer *w)
{
	static const char *const sets[][2] = {
	    {RULES_IPSET4, "inet"}, {RULES_IPSET6, "inet6"}};

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		rules_put(w,
		    "create %s hash:ip,port,ip family %s maxelem 65536 "
		    "timeout 0\nflush %s\n",
		    sets[i][0], sets[i][1], sets[i][0]);
}

bool
rules_print(const struct netd_config *c, enum rules_part part,
    const struct rules_how *how, struct str saved, struct buf *out)
{
	struct rules_writer w = {
	    .c = c, .how = *how, .saved = saved, .out = out, .ok = true};

	switch (part) {
	case RULES_NFT:
		rules_print_nft(&w);
		break;
	case RULES_NFT_SETS:
		rules_print_nft_sets(&w);
		break;
	case RULES_IP6TABLES:
		w.v6 = true;
		rules_print_iptables(&w);
		break;
	case RULES_IPTABLES:
		rules_print_iptables(&w);
		break;
	case RULES_IPSETS:
		print_ipsets(&w);
		break;
	}
	return w.ok;
}

bool
rules_print_removal(enum rules_part part, struct str saved, struct buf *out)
{
	struct rules_writer w = {.saved = saved, .out = out, .ok = true};

	switch (part) {
	case RULES_NFT:
	case RULES_NFT_SETS:
		rules_put(&w, "table inet " RULES_TABLE
			      "\ndelete table inet " RULES_TABLE "\n");
		break;
	case RULES_IPTABLES:
	case RULES_IP6TABLES:
		rules_print_iptables_removal(&w);
		break;
	case RULES_IPSETS:
		rules_put(
		    &w, "destroy " RULES_IPSET4 "\ndestroy " RULES_IPSET6 "\n");
		break;
	}
	return w.ok;
}
