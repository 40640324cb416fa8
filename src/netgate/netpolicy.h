/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policies of weir-netd: the numbers for a class of hosts, chosen by address.
 * The options table of its `policy` section lives here. Policies are tried in
 * the order of the file; the first whose `match` has the address is taken, else
 * the one called "default" (built in when the file has none).
 */
#ifndef NETGATE_NETPOLICY_H
#define NETGATE_NETPOLICY_H

#include "base/ip.h"
#include "os/options.h"
#include "weir/throttle.h"

/* Auto: workstation where the section gives no number, else paper. */
enum netpolicy_profile {
	NETPOLICY_AUTO,
	NETPOLICY_WORKSTATION,
	NETPOLICY_SERVER,
	NETPOLICY_GATEWAY,
	NETPOLICY_PAPER,
	NETPOLICY_TCP,
	NETPOLICY_UDP,
	NETPOLICY_WINDOW,
};
/* As the option is written; the profile decides where it is not. */
enum netpolicy_dns {
	NETPOLICY_DNS_AUTO,
	NETPOLICY_DNS_TRUE,
	NETPOLICY_DNS_FALSE,
	NETPOLICY_DNS_YES,
	NETPOLICY_DNS_NO,
	NETPOLICY_DNS_ON,
	NETPOLICY_DNS_OFF,
};
enum netpolicy_frozen { NETPOLICY_DROP, NETPOLICY_REJECT };
enum netpolicy_credit {
	NETPOLICY_CREDIT_OFF,
	NETPOLICY_CREDIT_BESIDE,
	NETPOLICY_CREDIT_ALONE,
};

/* The section as it is read. 0 in working_set, burst, interval_ms, queue_max
 * and idle_expiry_ms: not given, the profile's value is taken. */
struct netpolicy_conf {
	char *name;
	struct option_place place;
	int profile;
	struct option_strings match, allow;
	uint32_t working_set, burst, freeze_at, queue_max;
	int64_t interval_ms, idle_expiry_ms;
	struct option_rate freeze_growth, no_dns_limit;
	struct option_rates limit;
	bool exempt, count_retries;
	int dns_known, when_frozen, credit;
	int64_t thaw_after_ms, inbound_known_ms; /* 0: off */
};

extern const struct option netpolicy_options[];

/* One entry of `allow`: what may be reached at all. */
struct netpolicy_allow {
	uint8_t protocol; /* 0: any */
	struct ip_net net;
	bool any_net;
	uint16_t low, high; /* ports */
};

struct netpolicy {
	char *name;
	struct throttle_policy throttle;
	struct throttle_policy unfrozen; /* the same, for never_block */
	struct ip_net *match;
	size_t match_count;
	struct netpolicy_allow *allow;
	size_t allow_count;
	bool exempt, count_retries, dns_known;
	enum netpolicy_frozen when_frozen;
	enum netpolicy_credit credit;
	int64_t thaw_after_ms, inbound_known_ms;
};

struct netpolicies;

/* "tcp 192.0.2.0/24 443", "udp any 53", "any 198.51.100.7", "tcp any
 * 1024-2047". False and a reason in err, that follows the quoted text. */
MUST_CHECK bool netpolicy_parse_allow(
    struct str text, struct netpolicy_allow *out, char *err, size_t cap);
/* A network or one address. */
MUST_CHECK bool netpolicy_check_network(
    const char *text, char *err, size_t cap);

/* NULL on an error, with file, line and policy in err. */
struct netpolicies *netpolicies_new(
    const struct netpolicy_conf *confs, size_t n, char *err, size_t err_cap);
void netpolicies_free(struct netpolicies *set);
const struct netpolicy *netpolicies_select(
    const struct netpolicies *set, const struct ip *source);
/* Does any policy ask for it? The rules then bring those packets by. */
bool netpolicies_want_dns(const struct netpolicies *set);
bool netpolicies_want_inbound(const struct netpolicies *set);
bool netpolicies_want_outcome(const struct netpolicies *set);
bool netpolicies_want_reject(const struct netpolicies *set);
bool netpolicy_allows(const struct netpolicy *p, uint8_t protocol,
    const struct ip *dst, uint16_t dport);

#endif
