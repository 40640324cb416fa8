/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loads weir-netd.conf and checks what the options table cannot.
 */
#include "config.h"

#include "netd/netd_config.h"
#include "os/entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
compile_nets(const struct option_strings *list, struct netd_nets *out)
{
	out->v = xcalloc(list->n + 1, sizeof(*out->v));
	for (size_t i = 0; i < list->n; i++) {
		/* Checked by the table. */
		if (ip_net_parse(str_from(list->v[i]), &out->v[out->n]))
			out->n++;
	}
}

struct decoys {
	struct ip_net *v;
	size_t n, cap;
};

static bool
take_decoy(void *arg, struct str entry, char *err, size_t cap)
{
	struct decoys *d = arg;

	if (d->n == d->cap) {
		d->cap = d->cap > 0 ? d->cap * 2 : 16;
		d->v = xrealloc(d->v, d->cap * sizeof(*d->v));
	}
	if (ip_net_parse(entry, &d->v[d->n])) {
		d->n++;
		return true;
	}
	snprintf(err, cap,
	    "not an address or a network (\"192.0.2.0/24\" with no bits set "
	    "past its length)");
	return false;
}

static bool
compile_decoys(struct netd_config *c, const char *file, char *err, size_t cap)
{
	struct decoys d = {0};
	bool ok = true;
	char why[256];

	for (size_t i = 0; ok && i < c->decoys.n; i++) {
		ok = entries_read(
		    str_from(c->decoys.v[i]), take_decoy, &d, why, sizeof(why));
		if (!ok)
			snprintf(err, cap, "%s: decoys: \"%s\": %s", file,
			    c->decoys.v[i], why);
	}
	if (ok && d.n > 0)
		c->decoy_ranges = ip_ranges_new(d.v, d.n);
	free(d.v);
	return ok;
}

bool
netd_config_wants_in(const struct netd_config *c)
{
	return netpolicies_want_dns(c->policies) ||
	       netpolicies_want_inbound(c->policies) ||
	       netpolicies_want_outcome(c->policies);
}

/*
 * A reply over UDP is none but by what came before it, nor is an answer of what
 * nobody asked for; and on a gateway the flags may lie in another fragment,
 * which connection tracking puts together.
 */
static bool
choose_tracking(struct netd_config *c, const char *file, char *err, size_t cap)
{
	bool needed;

	c->tcp = c->udp = c->protocols.n == 0;
	for (size_t i = 0; i < c->protocols.n; i++) {
		c->tcp = c->tcp || strcmp(c->protocols.v[i], "tcp") == 0;
		c->udp = c->udp || strcmp(c->protocols.v[i], "udp") == 0;
	}
	needed = c->udp || c->where != NETD_OUTPUT || netd_config_wants_in(c);
	c->tracks = c->conntrack == NETD_TRACK_YES ||
		    (c->conntrack == NETD_TRACK_AUTO && needed);
	if (c->tracks || !needed)
		return true;
	snprintf(err, cap,
	    "%s: conntrack: is needed for UDP, for where = forward, and for "
	    "dns_known, inbound_known and credit; write auto or yes, or "
	    "protocols = {\"tcp\"} and dns_known = false, and leave the "
	    "others out",
	    file);
	return false;
}

static bool
check_all(struct netd_config *c, const char *file, char *err, size_t cap)
{
	if (c->held_max >= c->queue_length) {
		snprintf(err, cap,
		    "%s: held_max: is not less than queue_length; the packets "
		    "that wait must leave room in the queue",
		    file);
		return false;
	}
	if (c->bridge && (c->where != NETD_FORWARD || c->interfaces.n == 0)) {
		snprintf(err, cap,
		    "%s: bridge: needs where = forward, and the ports in "
		    "interfaces",
		    file);
		return false;
	}
	if (c->bridge && c->rules == NETD_RULES_NFT) {
		snprintf(err, cap,
		    "%s: bridge: nft does not know by which port a bridged "
		    "packet leaves; write rules = iptables or auto",
		    file);
		return false;
	}
	if (c->freeze_set6 != NULL && c->ipv6_prefix < 128) {
		snprintf(err, cap,
		    "%s: freeze_set6: holds single addresses, and with "
		    "ipv6_prefix = %u a host is a network; remove one of the "
		    "two",
		    file, c->ipv6_prefix);
		return false;
	}
	if (c->fast_path_set == NETD_SET_IPSET && c->rules == NETD_RULES_NFT) {
		snprintf(err, cap,
		    "%s: fast_path_set: nft cannot use sets of ipset; write "
		    "nft or auto, or rules = iptables",
		    file);
		return false;
	}
	compile_nets(&c->pass, &c->pass_nets);
	compile_nets(&c->dns_servers, &c->dns_server_nets);
	compile_nets(&c->dns_resolvers, &c->dns_resolver_nets);
	compile_nets(&c->never_block, &c->never_block_nets);
	c->policies = netpolicies_new(c->policy.v, c->policy.n, err, cap);
	return c->policies != NULL && compile_decoys(c, file, err, cap) &&
	       choose_tracking(c, file, err, cap);
}

static bool
check_http(struct netd_config *c, char *err, size_t cap)
{
	for (size_t i = 0; i < c->http.n; i++) {
		struct web_conf *h = (struct web_conf *)c->http.v + i;
		char why[400];

		if (web_conf_check(h, true, why, sizeof(why)))
			continue;
		snprintf(err, cap, "%s:%u: http \"%s\": %s", h->place.file,
		    h->place.line, h->name, why);
		return false;
	}
	return true;
}

static struct netd_config *
load(const char *file, const char *text, char *err, size_t cap)
{
	struct netd_config *c =
	    options_load(&netd_schema, file, text, err, cap);

	if (c == NULL ||
	    (check_all(c, file, err, cap) && check_http(c, err, cap)))
		return c;
	netd_config_free(c);
	return NULL;
}

struct netd_config *
netd_config_parse(const char *file, const char *text, char *err, size_t cap)
{
	return load(file, text, err, cap);
}

struct netd_config *
netd_config_load(const char *file, char *err, size_t cap)
{
	return load(file, NULL, err, cap);
}

struct netgate_settings
netd_config_gate_settings(const struct netd_config *c)
{
	return (struct netgate_settings){
	    .policies = c->policies,
	    .observe = c->mode == NETD_OBSERVE,
	    .hosts_max = c->hosts_max,
	    .held_max = c->held_max,
	    .ipv6_prefix = c->ipv6_prefix,
	    .aggregate_limit = &c->aggregate_limit,
	    .never_block = c->never_block_nets.v,
	    .never_block_count = c->never_block_nets.n,
	    .dns_servers = c->dns_server_nets.v,
	    .dns_server_count = c->dns_server_nets.n,
	    .dns_resolvers = c->dns_resolver_nets.v,
	    .dns_resolver_count = c->dns_resolver_nets.n,
	    .decoys = c->decoy_ranges,
	};
}

void
netd_config_free(struct netd_config *c)
{
	if (c == NULL)
		return;
	netpolicies_free(c->policies);
	free(c->pass_nets.v);
	free(c->dns_server_nets.v);
	free(c->dns_resolver_nets.v);
	free(c->never_block_nets.v);
	ip_ranges_free(c->decoy_ranges);
	for (size_t i = 0; i < c->http.n; i++)
		web_conf_clear((struct web_conf *)c->http.v + i);
	options_free(&netd_schema, c);
}
