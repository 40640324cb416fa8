/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-netd.conf: the options table, the struct that it fills, and the checks
 * that look at more than one option. A loaded configuration is valid as a whole
 * and never changes; the owner swaps it for another.
 */
#ifndef NETD_NETD_CONFIG_H
#define NETD_NETD_CONFIG_H

#include "base/ip_ranges.h"
#include "control/web_conf.h"
#include "netgate/netgate.h"
#include "os/options.h"

enum netd_mode { NETD_ENFORCE, NETD_OBSERVE };
enum netd_where { NETD_OUTPUT, NETD_FORWARD, NETD_BOTH };
enum netd_fail { NETD_FAIL_OPEN, NETD_FAIL_CLOSED };
enum netd_rules { NETD_RULES_AUTO, NETD_RULES_NFT, NETD_RULES_IPTABLES };
enum netd_conntrack { NETD_TRACK_AUTO, NETD_TRACK_YES, NETD_TRACK_NO };
enum netd_set { NETD_SET_AUTO, NETD_SET_NFT, NETD_SET_IPSET };

struct netd_nets {
	struct ip_net *v;
	size_t n;
};

/* Durations are milliseconds. */
struct netd_config {
	char *control, *control_group, *user, *state;
	int mode, where, fail, rules, conntrack; /* the enums above */
	struct option_strings protocols, interfaces;
	bool bridge, before_filter, seccomp, freeze_unproven;
	uint32_t queue, queue_length, mark_bit;
	struct option_strings pass, dns_servers, dns_resolvers, never_block;
	struct option_strings decoys;
	struct option_rates aggregate_limit;
	uint32_t hosts_max, held_max, ipv6_prefix;
	int64_t fast_path_ms, rules_watch_ms;
	int fast_path_set; /* enum netd_set */
	char *freeze_command, *freeze_set4, *freeze_set6;
	int log, log_level;         /* enum log_target, enum log_level */
	struct option_array policy; /* struct netpolicy_conf */
	struct option_array http;   /* struct web_conf */

	/* Made by the checks. */
	struct netpolicies *policies;
	struct netd_nets pass_nets, never_block_nets;
	struct netd_nets dns_server_nets, dns_resolver_nets;
	struct ip_ranges *decoy_ranges; /* NULL: none */
	bool tcp, udp;
	bool tracks; /* the rules ask connection tracking */
};

extern const struct option_schema netd_schema;

/* NULL on an error: one line in err. file is borrowed as long as the result
 * lives. */
struct netd_config *netd_config_load(
    const char *file, char *err, size_t err_cap);
struct netd_config *netd_config_parse(
    const char *file, const char *text, char *err, size_t err_cap);
/* Does the daemon learn from what comes in? */
bool netd_config_wants_in(const struct netd_config *c);
/* All of it that the gate asks for, but for the fast path, which is the
 * kernel's. Borrowed. */
struct netgate_settings netd_config_gate_settings(const struct netd_config *c);
void netd_config_free(struct netd_config *c);

#endif
