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
	.doc = "Addresses and networks of the hosts that the policy is for.",
    },
    {
	.name = "exempt",
	.type = OPTION_BOOL,
	.offset = AT(exempt),
	.preset = "false",
	.reloadable = true,
	.doc = "Packets of these hosts always pass and are not counted. An "
	       "administrator may freeze them by hand all the same.",
    },
    {
	.name = "profile",
	.type = OPTION_ENUM,
	.offset = AT(profile),
	.preset = "auto",
	.names = profile_names,
	.reloadable = true,
	.doc = "Where the numbers come from that the policy does not give; "
	       "the chapter PROFILES has them. workstation: a machine that "
	       "people work at. server: one that answers many and contacts "
	       "few. gateway: an address behind which there are several "
	       "machines. "
	       "paper, tcp and udp follow the published throttle to the "
	       "letter: five known destinations, one new destination a "
	       "second, frozen when a hundred attempts wait. window counts "
	       "new destinations in the windows of limit alone. auto is "
	       "workstation in a policy that sets none of working_set, "
	       "burst, interval, freeze_at, freeze_growth, limit and "
	       "queue_max, and paper in any other.",
    },
    {
	.name = "working_set",
	.type = OPTION_UINT,
	.offset = AT(working_set),
	.min = 1,
	.max = THROTTLE_WORKING_SET_MAX,
	.reloadable = true,
	.sample = "5",
	.doc = "How many destinations of a host are remembered as known.",
    },
    {
	.name = "burst",
	.type = OPTION_UINT,
	.offset = AT(burst),
	.min = 1,
	.max = 65535,
	.reloadable = true,
	.sample = "60",
	.doc = "How many new destinations may pass at once after a quiet time. "
	       "Each interval in which nothing waits adds one. Not for the "
	       "profiles paper, tcp and udp, where it is the free room in "
	       "working_set.",
    },
    {
	.name = "interval",
	.type = OPTION_DURATION,
	.offset = AT(interval_ms),
	.min = 1,
	.max = MS_DAY,
	.reloadable = true,
	.sample = "1s",
	.doc = "One waiting destination is let go each interval.",
    },
    {
	.name = "freeze_at",
	.type = OPTION_UINT,
	.offset = AT(freeze_at),
	.preset = "100",
	.min = 0,
	.max = 10000,
	.reloadable = true,
	.doc = "When so many attempts of a host wait, the host is frozen. 0 "
	       "never freezes on the length of the queue.",
    },
    {
	.name = "freeze_growth",
	.type = OPTION_RATE,
	.offset = AT(freeze_growth),
	.reloadable = true,
	.sample = "50/1s",
	.doc = "Freezes a host whose queue takes in so many attempts in so "
	       "long a time.",
    },
    {
	.name = "limit",
	.type = OPTION_RATES,
	.offset = AT(limit),
	.reloadable = true,
	.sample = "{\"5/1s\", \"12/5s\", \"50/1m\"}",
	.doc = "Hybrid windows: at most so many new destinations are let go in "
	       "any window of that length. Up to four; they take the place of "
	       "the profile's. \"0\": none.",
    },
    {
	.name = "no_dns_limit",
	.type = OPTION_RATE,
	.offset = AT(no_dns_limit),
	.reloadable = true,
	.sample = "6/1m",
	.doc = "With dns_known: so many new destinations that no DNS answer "
	       "named, and that did not come to the host first, are let go. "
	       "It takes one of the four windows of limit, beside the "
	       "profile's.",
    },
    {
	.name = "queue_max",
	.type = OPTION_UINT,
	.offset = AT(queue_max),
	.min = 1,
	.max = 10000,
	.reloadable = true,
	.sample = "100",
	.doc = "No more than so many attempts of a host wait; further ones "
	       "are dropped. Not below freeze_at.",
    },
    {
	.name = "idle_expiry",
	.type = OPTION_DURATION,
	.offset = AT(idle_expiry_ms),
	.min = 1000,
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "1h",
	.doc = "A host that was silent so long is forgotten, unless it is "
	       "frozen.",
    },
    {
	.name = "count_retries",
	.type = OPTION_BOOL,
	.offset = AT(count_retries),
	.preset = "false",
	.reloadable = true,
	.doc = "Whether the copies of a waiting SYN, and further packets of a "
	       "waiting UDP flow (the same addresses and ports), count as "
	       "attempts, as in "
	       "the paper. Linux repeats a SYN each second at first, so that "
	       "with true a person who opens twenty new sites at once comes "
	       "near the limit of a hundred, and one stream over UDP freezes "
	       "its host. Either way one SYN waits and "
	       "its copies are dropped. With false the first eight packets of "
	       "a flow wait, and further ones are dropped.",
    },
    {
	.name = "when_frozen",
	.type = OPTION_ENUM,
	.offset = AT(when_frozen),
	.preset = "drop",
	.names = when_frozen_names,
	.reloadable = true,
	.doc = "Packets of a frozen host are dropped, or rejected with a TCP "
	       "reset or an ICMP message, so that programs fail at once.",
    },
    {
	.name = "thaw_after",
	.type = OPTION_DURATION,
	.offset = AT(thaw_after_ms),
	.preset = "0",
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "10m",
	.doc = "A frozen host goes on by itself after so long. 0: an "
	       "administrator thaws it.",
    },
    {
	.name = "inbound_known",
	.type = OPTION_DURATION,
	.offset = AT(inbound_known_ms),
	.preset = "0",
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "1h",
	.doc = "Addresses that contacted the host first are not new for so "
	       "long. 0: off.",
    },
    {
	.name = "dns_known",
	.type = OPTION_ENUM,
	.offset = AT(dns_known),
	.preset = "auto",
	.names = dns_names,
	.reloadable = true,
	.doc = "auto is true with the profiles workstation, server and "
	       "gateway. Addresses that a DNS answer to the host named are not "
	       "new "
	       "while the answer's TTL lasts: A and AAAA of the name that was "
	       "asked for and of its aliases (CNAME), and the hints of "
	       "HTTPS and SVCB records, in answers from port "
	       "53 over UDP or TCP of up to 4 KB. Not those over TLS or HTTPS, "
	       "which nobody can read along: point such hosts to a resolver "
	       "of your own. What a resolver on this host answers over lo "
	       "counts for every host. What is named over IPv4 for IPv6, or "
	       "the other "
	       "way round, counts for every host with dns_known.",
    },
    {
	.name = "credit",
	.type = OPTION_ENUM,
	.offset = AT(credit),
	.preset = "off",
	.names = credit_names,
	.reloadable = true,
	.doc = "The credit-based throttle: first contacts cost 1 of a balance "
	       "of 10, those that succeed earn 2. beside: in front of the "
	       "working set; alone: in its place. Without credit an attempt "
	       "waits. UDP counts as succeeded when an answer comes.",
    },
    {
	.name = "allow",
	.type = OPTION_STRINGS,
	.offset = AT(allow),
	.reloadable = true,
	.sample = "{\"udp any 53\", \"tcp 192.0.2.0/24 443\"}",
	.check = check_allow,
	.doc = "Reverse firewall: the destinations and ports that are allowed "
	       "at all, as \"protocol network port\"; any stands for every "
	       "protocol or network, a port may be a range, or left out. Not "
	       "set: all are.",
    },
    {.name = NULL},
};
