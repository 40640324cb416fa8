/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of the `policy` section of weir-netd.conf. Where the default
 * depends on the profile the table has none: the field stays 0.
 */
#include "netgate/netpolicy.h"

#define MS_MINUTE ((int64_t)60 * 1000)
#define MS_DAY (24 * 60 * MS_MINUTE)
#define AT(field) offsetof(struct netpolicy_conf, field)

static const char *const profile_names[] = {"auto", "workstation", "server",
    "gateway", "paper", "tcp", "udp", "window", NULL};
static const char *const dns_names[] = {
    "auto", "true", "false", "yes", "no", "on", "off", NULL};
static const char *const when_frozen_names[] = {"drop", "reject", NULL};
static const char *const credit_names[] = {"off", "beside", "alone", NULL};

static bool
check_allow(const char *text, char *err, size_t cap)
{
	struct netpolicy_allow allow;

	return netpolicy_parse_allow(str_from(text), &allow, err, cap);
}

const struct option netpolicy_options[] = {
    {
	.name = "match",
	.type = OPTION_STRINGS,
	.offset = AT(match),
	.reloadable = true,
	.sample = "{\"192.0.2.0/24\", \"2001:db8::/32\"}",
	.check = netpolicy_check_network,
	.doc =
	    "Addresses and networks of the hosts that the policy applies to.",
    },
    {
	.name = "exempt",
	.type = OPTION_BOOL,
	.offset = AT(exempt),
	.preset = "false",
	.reloadable = true,
	.doc = "Packets of these hosts always pass and are not counted. An "
	       "administrator can still freeze them by hand.",
    },
    {
	.name = "profile",
	.type = OPTION_ENUM,
	.offset = AT(profile),
	.preset = "auto",
	.names = profile_names,
	.reloadable = true,
	.doc = "Source of the values that the policy does not set; see "
	       "PROFILES. workstation: a machine that people work at. server: "
	       "a machine that answers many and contacts few. gateway: an "
	       "address with several machines behind it. paper, tcp and udp "
	       "follow the published throttle to the letter: five known "
	       "destinations, one new destination per second, frozen when a "
	       "hundred attempts are waiting. window counts new destinations "
	       "only in the windows of limit. auto is workstation in a policy "
	       "that sets none of working_set, burst, interval, freeze_at, "
	       "freeze_growth, limit and queue_max, and paper in any other.",
    },
    {
	.name = "working_set",
	.type = OPTION_UINT,
	.offset = AT(working_set),
	.min = 1,
	.max = THROTTLE_WORKING_SET_MAX,
	.reloadable = true,
	.sample = "5",
	.doc = "Number of known destinations remembered per host.",
    },
    {
	.name = "burst",
	.type = OPTION_UINT,
	.offset = AT(burst),
	.min = 1,
	.max = 65535,
	.reloadable = true,
	.sample = "60",
	.doc = "Maximum allowance: this many new destinations may pass at once "
	       "after a quiet period. Each interval in which nothing is "
	       "waiting adds one. Not for the profiles paper, tcp and udp, "
	       "where it is the free room in working_set.",
    },
    {
	.name = "interval",
	.type = OPTION_DURATION,
	.offset = AT(interval_ms),
	.min = 1,
	.max = MS_DAY,
	.reloadable = true,
	.sample = "1s",
	.doc = "Time between two releases: one waiting destination is released "
	       "per interval.",
    },
    {
	.name = "freeze_at",
	.type = OPTION_UINT,
	.offset = AT(freeze_at),
	.preset = "100",
	.min = 0,
	.max = 10000,
	.reloadable = true,
	.doc = "Freeze a host when this many of its attempts are waiting. 0: "
	       "never freeze because of the queue length.",
    },
    {
	.name = "freeze_growth",
	.type = OPTION_RATE,
	.offset = AT(freeze_growth),
	.reloadable = true,
	.sample = "50/1s",
	.doc = "Freeze a host when this many attempts join its queue within "
	       "this time.",
    },
    {
	.name = "limit",
	.type = OPTION_RATES,
	.offset = AT(limit),
	.reloadable = true,
	.sample = "{\"5/1s\", \"12/5s\", \"50/1m\"}",
	.doc = "Maximum number of new destinations released in any window of "
	       "this length (hybrid windows). Up to four; they replace those "
	       "of the profile. \"0\": no limit.",
    },
    {
	.name = "no_dns_limit",
	.type = OPTION_RATE,
	.offset = AT(no_dns_limit),
	.reloadable = true,
	.sample = "6/1m",
	.doc = "With dns_known: maximum number of new destinations released "
	       "that no DNS answer named and that did not contact the host "
	       "first. It uses one of the four windows of limit, in addition "
	       "to those of the profile.",
    },
    {
	.name = "queue_max",
	.type = OPTION_UINT,
	.offset = AT(queue_max),
	.min = 1,
	.max = 10000,
	.reloadable = true,
	.sample = "100",
	.doc = "Maximum number of waiting attempts per host; further ones are "
	       "dropped. It must not be below freeze_at.",
    },
    {
	.name = "idle_expiry",
	.type = OPTION_DURATION,
	.offset = AT(idle_expiry_ms),
	.min = 1000,
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "1h",
	.doc = "Forget a host after this much inactivity, unless it is frozen.",
    },
    {
	.name = "count_retries",
	.type = OPTION_BOOL,
	.offset = AT(count_retries),
	.preset = "false",
	.reloadable = true,
	.doc = "Whether retransmissions of a waiting SYN, and further packets "
	       "of a waiting UDP flow (same addresses and ports), count as "
	       "attempts, as in the paper. Linux first retransmits a SYN every "
	       "second; so with true, a person who opens twenty new sites at "
	       "once comes close to the limit of a hundred, and one UDP stream "
	       "freezes its host. In either case one SYN waits and its copies "
	       "are dropped. With false, the first eight packets of a flow "
	       "wait, and further ones are dropped.",
    },
    {
	.name = "when_frozen",
	.type = OPTION_ENUM,
	.offset = AT(when_frozen),
	.preset = "drop",
	.names = when_frozen_names,
	.reloadable = true,
	.doc = "Handling of packets from a frozen host. drop: discard them. "
	       "reject: answer with a TCP reset or an ICMP message, so that "
	       "programs fail at once.",
    },
    {
	.name = "thaw_after",
	.type = OPTION_DURATION,
	.offset = AT(thaw_after_ms),
	.preset = "0",
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "10m",
	.doc = "Thaw a frozen host after this time. 0: only an administrator "
	       "thaws it.",
    },
    {
	.name = "inbound_known",
	.type = OPTION_DURATION,
	.offset = AT(inbound_known_ms),
	.preset = "0",
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "1h",
	.doc = "Time for which an address that contacted the host first is not "
	       "new to it. 0: off.",
    },
    {
	.name = "dns_known",
	.type = OPTION_ENUM,
	.offset = AT(dns_known),
	.preset = "auto",
	.names = dns_names,
	.reloadable = true,
	.doc = "An address named in a DNS answer to the host is not new while "
	       "the answer's TTL lasts. auto is true with the profiles "
	       "workstation, server and gateway. A and AAAA records of the "
	       "requested name and of its aliases (CNAME) count, and the hints "
	       "of HTTPS and SVCB records, in answers from port 53 over UDP or "
	       "TCP of up to 4 KB. Answers over TLS or HTTPS cannot be read "
	       "and do not count: point such hosts to a resolver of your own. "
	       "What a resolver on this host answers over lo counts for every "
	       "host. Addresses named over IPv4 for IPv6, or vice versa, count "
	       "for every host with dns_known.",
    },
    {
	.name = "credit",
	.type = OPTION_ENUM,
	.offset = AT(credit),
	.preset = "off",
	.names = credit_names,
	.reloadable = true,
	.doc = "The credit-based throttle: a first contact costs 1 of a "
	       "balance of 10, and one that succeeds earns 2. beside: in front "
	       "of the working set. alone: in its place. Without credit an "
	       "attempt waits. For UDP, an answer counts as success.",
    },
    {
	.name = "allow",
	.type = OPTION_STRINGS,
	.offset = AT(allow),
	.reloadable = true,
	.sample = "{\"udp any 53\", \"tcp 192.0.2.0/24 443\"}",
	.check = check_allow,
	.doc = "Reverse firewall: destinations and ports that are allowed at "
	       "all, as \"protocol network port\". any stands for every "
	       "protocol or network; a port may be a range, or omitted. If not "
	       "set, everything is allowed.",
    },
    {.name = NULL},
};
