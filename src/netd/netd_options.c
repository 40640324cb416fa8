/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir-netd.conf: this table drives parser, defaults, checks,
 * sample and manual page.
 */
#include "config.h"

#include "netd/netd_config.h"
#include "nfq/nfset_name.h"
#include "os/log.h"
#include "os/option_check.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define AT(field) .offset = offsetof(struct netd_config, field)
#define MS_HOUR (3600 * INT64_C(1000))

static const char *const mode_names[] = {"enforce", "observe", NULL};
static const char *const where_names[] = {"output", "forward", "both", NULL};
static const char *const fail_names[] = {"open", "closed", NULL};
static const char *const set_names[] = {"auto", "nft", "ipset", NULL};
static const char *const rules_names[] = {"auto", "nft", "iptables", NULL};
static const char *const conntrack_names[] = {"auto", "yes", "no", NULL};
static const char *const log_names[] = {"stderr", "syslog", "journal", NULL};
static const char *const level_names[] = {
    "debug", "info", "warning", "error", NULL};

static bool
check_interface(const char *text, char *err, size_t cap)
{
	size_t n = strlen(text);

	if (n > 0 && n < IFNAMSIZ &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789._-") == n)
		return true;
	snprintf(err, cap, "is not the name of an interface");
	return false;
}

static bool
check_protocol(const char *text, char *err, size_t cap)
{
	if (strcmp(text, "tcp") == 0 || strcmp(text, "udp") == 0)
		return true;
	snprintf(err, cap, "is not a protocol of weir-netd; write tcp or udp");
	return false;
}

static bool
check_set(const char *text, char *err, size_t cap)
{
	struct nfset_name name;

	if (nfset_parse_name(str_from(text), &name))
		return true;
	snprintf(err, cap,
	    "is not an nftables set; write \"family table set\", as in "
	    "\"inet filter blocked\"");
	return false;
}

static const struct option netd_options[] = {
    {
	.name = "control",
	.type = OPTION_STRING,
	AT(control),
	.preset = WEIR_RUNSTATEDIR "/weir/netd.sock",
	.check = option_check_socket_path,
	.doc = "Unix socket through which weirctl talks to the daemon.",
    },
    {
	.name = "control_group",
	.type = OPTION_STRING,
	AT(control_group),
	.sample = "weir-admin",
	.check = option_check_group,
	.doc = "Group whose members may give commands on the control socket, "
	       "in addition to root and the daemon's own user.",
    },
    {
	.name = "user",
	.type = OPTION_STRING,
	AT(user),
	.sample = "weir",
	.check = option_check_user,
	.doc = "User that the daemon switches to when it is started as root. "
	       "In either case it keeps CAP_NET_ADMIN and no other capability.",
    },
    {
	.name = "state",
	.type = OPTION_STRING,
	AT(state),
	.preset = WEIR_LOCALSTATEDIR "/lib/weir/netd",
	.check = option_check_path,
	.doc = "Directory in which frozen hosts are stored.",
    },
    {
	.name = "mode",
	.type = OPTION_ENUM,
	AT(mode),
	.preset = "enforce",
	.names = mode_names,
	.reloadable = true,
	.doc = "With observe, weir-netd computes, logs and counts every "
	       "decision, but holds and refuses nothing.",
    },
    {
	.name = "protocols",
	.type = OPTION_STRINGS,
	AT(protocols),
	.sample = "{\"tcp\", \"udp\"}",
	.check = check_protocol,
	.doc = "Protocols that are throttled: tcp, udp. If not set, both.",
    },
    {
	.name = "interfaces",
	.type = OPTION_STRINGS,
	AT(interfaces),
	.sample = "{\"eth0\"}",
	.check = check_interface,
	.doc =
	    "Interfaces on which packets leave. If not set, all but loopback.",
    },
    {
	.name = "where",
	.type = OPTION_ENUM,
	AT(where),
	.preset = "output",
	.names = where_names,
	.doc =
	    "Packets that are throttled. output: those of this host. forward: "
	    "those that pass through it, on a gateway or bridge. both: both "
	    "kinds.",
    },
    {
	.name = "bridge",
	.type = OPTION_BOOL,
	AT(bridge),
	.preset = "false",
	.doc = "The interfaces are ports of a bridge. Uses iptables rules. The "
	       "kernel must pass bridged packets to netfilter: sysctl "
	       "net.bridge.bridge-nf-call-iptables=1 and "
	       "bridge-nf-call-ip6tables=1; for VLAN-tagged and PPPoE frames "
	       "also bridge-nf-filter-vlan-tagged=1 and "
	       "bridge-nf-filter-pppoe-tagged=1. At start, a warning names "
	       "those that are not set.",
    },
    {
	.name = "before_filter",
	.type = OPTION_BOOL,
	AT(before_filter),
	.preset = "false",
	.doc = "Whether this host's packets are throttled before the site's "
	       "NAT and filter rules. With true, packets that those rules drop "
	       "are throttled and counted too, under the address that they "
	       "were sent to. With false they are throttled after them: what "
	       "the filter drops does not count as an attempt, a destination "
	       "is the one after DNAT, and UDP is faster, since iptables rules "
	       "can be in the table security and a packet passes the chain "
	       "once. It is always true with where = forward or both, with "
	       "decoys, and with when_frozen = reject.",
    },
    {
	.name = "queue",
	.type = OPTION_UINT,
	AT(queue),
	.preset = "0",
	.max = 65533,
	.doc = "First netfilter queue number. The next two are for packets "
	       "that weir-netd learns from.",
    },
    {
	.name = "queue_length",
	.type = OPTION_UINT,
	AT(queue_length),
	.preset = "65536",
	.min = 64,
	.max = 1048576,
	.doc = "Maximum number of packets that the kernel keeps in the queue.",
    },
    {
	.name = "fail",
	.type = OPTION_ENUM,
	AT(fail),
	.preset = "open",
	.names = fail_names,
	.doc =
	    "What happens to new connections when weir-netd is not running or "
	    "the queue is full. open: they pass. closed: they are blocked.",
    },
    {
	.name = "rules",
	.type = OPTION_ENUM,
	AT(rules),
	.preset = "auto",
	.names = rules_names,
	.doc = "What --install-rules uses. auto tries nft, and uses iptables "
	       "if the kernel lacks the queue expression of nft.",
    },
    {
	.name = "rules_watch",
	.type = OPTION_DURATION,
	AT(rules_watch_ms),
	.preset = "1s",
	.max = MS_HOUR,
	.doc =
	    "Time between two checks that the rules installed by "
	    "--install-rules are still in place. Rules that another program "
	    "removed or changed are restored, and the log and weirctl events "
	    "report it. A check costs one query to the kernel, unless its "
	    "rules have changed; with iptables-legacy, or a fast_path with "
	    "nftables sets, the rules are listed every 5s. 0: off.",
    },
    {
	.name = "conntrack",
	.type = OPTION_ENUM,
	AT(conntrack),
	.preset = "auto",
	.names = conntrack_names,
	.doc = "Whether the rules ask the kernel's connection tracking what is "
	       "established. A rule that asks turns tracking on for every "
	       "packet of the network namespace. TCP attempts of this host can "
	       "be recognized by their flags alone: no is for protocols = "
	       "{\"tcp\"} with where = output, and without dns_known, "
	       "inbound_known and credit. auto: no where that is the case, "
	       "else yes. With yes, connections that a conntrack helper "
	       "expects (FTP) are not throttled.",
    },
    {
	.name = "mark_bit",
	.type = OPTION_UINT,
	AT(mark_bit),
	.preset = "26",
	.min = 0,
	.max = 30,
	.doc = "The rules use this bit of the packet mark and the next one "
	       "(default 0x04000000 and 0x08000000), and clear them again: the "
	       "site's rules see the mark as it was. Choose others if another "
	       "program uses these: zapret 0x10000000 to 0x40000000, tailscale "
	       "0x00ff0000, Kubernetes 0x4000 and 0x8000, Calico 0xffff0000.",
    },
    {
	.name = "pass",
	.type = OPTION_STRINGS,
	AT(pass),
	.sample = "{\"192.0.2.53\", \"192.0.2.1\"}",
	.check = option_check_network,
	.doc = "Destinations that are never throttled: the DNS server, the "
	       "gateway. Multicast and broadcast never are, including the "
	       "networks' own broadcast addresses.",
    },
    {
	.name = "dns_servers",
	.type = OPTION_STRINGS,
	AT(dns_servers),
	.reloadable = true,
	.sample = "{\"192.0.2.53\"}",
	.check = option_check_network,
	.doc = "DNS servers whose answers count for dns_known. If not set, "
	       "every server counts, even one that a worm brings along.",
    },
    {
	.name = "dns_resolvers",
	.type = OPTION_STRINGS,
	AT(dns_resolvers),
	.reloadable = true,
	.sample = "{\"192.0.2.54\"}",
	.check = option_check_network,
	.doc = "Hosts behind a gateway that resolve names for the others: "
	       "addresses in an answer to one of them, from any server, are "
	       "known to every host with dns_known.",
    },
    {
	.name = "never_block",
	.type = OPTION_STRINGS,
	AT(never_block),
	.reloadable = true,
	.sample = "{\"192.0.2.25\"}",
	.check = option_check_network,
	.doc = "Hosts that are throttled but never frozen by weir-netd "
	       "itself, since an attacker may try to have them cut off. "
	       "Packets that do not fit in their queue are dropped.",
    },
    {
	.name = "freeze_unproven",
	.type = OPTION_BOOL,
	AT(freeze_unproven),
	.preset = "false",
	.reloadable = true,
	.doc = "Whether to freeze a host because of packets that somebody "
	       "else may have sent in its name. Proven are packets of this "
	       "host, and those of directly attached hosts whose MAC address "
	       "matches the kernel's neighbor table. All others (from behind "
	       "a router or a tunnel) have a throttle of their own: one new "
	       "destination is released per interval, packets that do not fit "
	       "in the queue are dropped, and no host is frozen for them. Set "
	       "it to true where forged source addresses cannot arrive: with "
	       "source address filtering at every port (RFC 2827, RFC 6620).",
    },
    {
	.name = "decoys",
	.type = OPTION_STRINGS,
	AT(decoys),
	.reloadable = true,
	.sample = "{\"192.0.2.200\", \"198.51.100.0/24\", "
		  "\"file:/etc/weir/decoys\"}",
	.doc = "Addresses and networks that nobody uses. A host that sends to "
	       "one is frozen at once. One whose source address is not proven "
	       "(see freeze_unproven), or that is in never_block, is only "
	       "reported. Hosts with exempt = true may contact them. "
	       "file:/path reads entries from a file, one per line.",
    },
    {
	.name = "aggregate_limit",
	.type = OPTION_RATES,
	AT(aggregate_limit),
	.reloadable = true,
	.sample = "{\"16/5s\"}",
	.doc = "Limits on the new destinations of all hosts together, in "
	       "addition to those of each host. What exceeds them waits.",
    },
    {
	.name = "hosts_max",
	.type = OPTION_UINT,
	AT(hosts_max),
	.preset = "65536",
	.min = 1,
	.max = 4194304,
	.doc = "Maximum number of hosts that are remembered. Further hosts "
	       "share one throttle.",
    },
    {
	.name = "held_max",
	.type = OPTION_UINT,
	AT(held_max),
	.preset = "32768",
	.min = 1,
	.max = 1048576,
	.doc = "Maximum number of waiting packets, of all hosts together. It "
	       "must be less than queue_length.",
    },
    {
	.name = "ipv6_prefix",
	.type = OPTION_UINT,
	AT(ipv6_prefix),
	.preset = "128",
	.min = 16,
	.max = 128,
	.doc = "IPv6 addresses that share this many leading bits are one host.",
    },
    {
	.name = "fast_path",
	.type = OPTION_DURATION,
	AT(fast_path_ms),
	.preset = "0",
	.max = MS_HOUR,
	.sample = "10s",
	.doc =
	    "Time for which known destinations stay in a kernel set, so that "
	    "packets to them never leave the kernel. The throttle notices "
	    "this much later that a destination is no longer in use. 0: off.",
    },
    {
	.name = "fast_path_set",
	.type = OPTION_ENUM,
	AT(fast_path_set),
	.preset = "auto",
	.names = set_names,
	.doc =
	    "Kernel sets for fast_path. nft: a set of source and destination, "
	    "not used for hosts whose policy has allow. ipset: a set of "
	    "source, protocol, port and destination. auto: --install-rules "
	    "uses nft sets with nft rules, and with iptables what the kernel "
	    "has, ipset first; printed rules have nft sets.",
    },
    {
	.name = "freeze_command",
	.type = OPTION_STRING,
	AT(freeze_command),
	.reloadable = true,
	.sample = "/usr/local/sbin/weir-frozen",
	.check = option_check_program,
	.doc = "Program that is run once for each freeze, with the facts in "
	       "its environment: WEIR_SENDER (the address), WEIR_POLICY, "
	       "WEIR_REASON, WEIR_QUEUE_LENGTH, WEIR_FREEZE_AT, WEIR_TIME.",
    },
    {
	.name = "freeze_set4",
	.type = OPTION_STRING,
	AT(freeze_set4),
	.sample = "inet filter blocked4",
	.check = check_set,
	.doc = "nftables set of the site's own firewall (type ipv4_addr) to "
	       "which frozen hosts are added, and from which they are removed "
	       "when they are thawed.",
    },
    {
	.name = "freeze_set6",
	.type = OPTION_STRING,
	AT(freeze_set6),
	.sample = "inet filter blocked6",
	.check = check_set,
	.doc = "The same for IPv6 (type ipv6_addr).",
    },
    {
	.name = "seccomp",
	.type = OPTION_BOOL,
	AT(seccomp),
	.preset = "true",
	.doc = "Give up the system calls that weir-netd does not need. With a "
	       "freeze_command, the calls that start programs remain allowed.",
    },
    {
	.name = "log",
	.type = OPTION_ENUM,
	AT(log),
	.preset = "stderr",
	.names = log_names,
	.reloadable = true,
	.doc = "Destination of log lines: stderr, syslog or journal.",
    },
    {
	.name = "log_level",
	.type = OPTION_ENUM,
	AT(log_level),
	.preset = "info",
	.names = level_names,
	.reloadable = true,
	.doc = "Lowest level of the log lines that are written: debug, info, "
	       "warning or error.",
    },
    {0},
};

static const struct option_section netd_sections[] = {
    {
	.name = "policy",
	.doc = "The settings for a class of hosts. Policies are tried in the "
	       "order of the file. The first one that matches the address "
	       "applies, otherwise the one named \"default\".",
	.tables = OPTION_TABLES(netpolicy_options),
	.size = sizeof(struct netpolicy_conf),
	.offset = offsetof(struct netd_config, policy),
	.title_offset = offsetof(struct netpolicy_conf, name),
	.place_offset = offsetof(struct netpolicy_conf, place),
    },
    {
	.name = "http",
	.doc = "A Unix socket that serves HTTP: the dashboard, /metrics for "
	       "Prometheus, and an API below /api/v1. It is not reachable over "
	       "the network, since the daemon controls the machine's packets. "
	       "Put a reverse proxy in front of it if needed.",
	.tables = web_conf_unix_tables,
	.size = sizeof(struct web_conf),
	.offset = offsetof(struct netd_config, http),
	.title_offset = offsetof(struct web_conf, name),
	.place_offset = offsetof(struct web_conf, place),
	.is_example = true,
    },
    {0},
};

const struct option_schema netd_schema = {
    .tables = OPTION_TABLES(netd_options),
    .sections = netd_sections,
    .size = sizeof(struct netd_config),
};
