/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wires the parts. The order of the start matters: queues are bound before the
 * rules bring packets, so that none is lost to a queue that nobody reads;
 * privileges are given up when both stand; state is read and written by the
 * user that will own it. At the end the rules go first.
 */
#include "config.h"

#include "netd/internal.h"

#include "netd/rules.h"
#include "netd/sandbox.h"
#include "os/caps.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/systemd.h"

#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define COPY_BYTES 256    /* headers, with their options */
#define COPY_ANSWERS 4352 /* a DNS answer, and headers */
#define WATCHED_LENGTH 16384

struct netgate_settings
netd_gate_settings(const struct netd *n)
{
	struct netgate_settings s = netd_config_gate_settings(n->conf);

	if (n->fast != RULES_FAST_NONE)
		s.fast_path_ms = n->conf->fast_path_ms;
	s.fast_path_ports = n->fast == RULES_FAST_IPSET;
	return s;
}

static int
bind_control(struct netd *n)
{
	char err[1024];

	return daemon_bind(&n->daemon, n->conf->control, n->conf->control_group,
		   &n->conf->http, err, sizeof(err))
		   ? 0
		   : netd_fail(EX_TEMPFAIL, err);
}

static struct nfqueue *
bind_queue(struct netd *n, const struct nfqueue_options *options,
    const struct nfqueue_ops *ops, int *status)
{
	char err[512];
	struct nfqueue *q =
	    nfqueue_new(n->loop, options, ops, n, err, sizeof(err));

	if (q == NULL)
		*status = netd_fail(EX_UNAVAILABLE, err);
	return q;
}

static int
bind_queues(struct netd *n)
{
	const struct netd_config *c = n->conf;
	struct nfqueue_options options = {
	    .number = (uint16_t)c->queue,
	    .length = c->queue_length,
	    .copy_bytes = COPY_BYTES,
	    .fail_open = c->fail == NETD_FAIL_OPEN,
	    .pass_mark = rules_pass_mark(c),
	    .reject_mark = rules_seen_mark(c),
	};
	int status = 0;

	n->queue = bind_queue(n, &options, &netd_queue_ops, &status);
	if (status != 0 || !netd_config_wants_in(c))
		return status;
	options.number = (uint16_t)(c->queue + 1);
	options.pass_mark |= rules_seen_mark(c);
	options.length = WATCHED_LENGTH;
	options.copy_bytes = COPY_ANSWERS;
	options.fail_open = true;
	n->answers = bind_queue(n, &options, &netd_answers_ops, &status);
	if (status != 0)
		return status;
	options.number = (uint16_t)(c->queue + 2);
	options.copy_bytes = COPY_BYTES;
	n->contacts = bind_queue(n, &options, &netd_contacts_ops, &status);
	return status;
}

static void
name_set(struct nfset_name *name, const char *text)
{
	if (text != NULL && !nfset_parse_name(str_from(text), name))
		panic("netd: %s was checked", text);
}

static int
open_neighbours(struct netd *n)
{
	char err[512];

	if (n->conf->where != NETD_OUTPUT)
		n->neigh = neigh_new(err, sizeof(err));
	return n->conf->where != NETD_OUTPUT && n->neigh == NULL
		   ? netd_fail(EX_UNAVAILABLE, err)
		   : 0;
}

static int
open_sets(struct netd *n)
{
	const struct netd_config *c = n->conf;
	char err[512];

	name_set(&n->known4, "inet " RULES_TABLE " " RULES_KNOWN4);
	name_set(&n->known6, "inet " RULES_TABLE " " RULES_KNOWN6);
	name_set(&n->freeze4, c->freeze_set4);
	name_set(&n->freeze6, c->freeze_set6);
	if (n->fast == RULES_FAST_NFT || c->freeze_set4 != NULL ||
	    c->freeze_set6 != NULL) {
		n->sets = nfset_new(n->loop, err, sizeof(err));
		if (n->sets == NULL)
			return netd_fail(EX_UNAVAILABLE, err);
	}
	if (n->fast == RULES_FAST_IPSET) {
		n->ipset = nfset_new_ipset(n->loop, err, sizeof(err));
		if (n->ipset == NULL)
			return netd_fail(EX_UNAVAILABLE, err);
	}
	return 0;
}

static int
install_rules(struct netd *n)
{
	struct apply_result result;
	char err[512];

	n->keeper = keeper_start(n->conf, &result, err, sizeof(err));
	if (n->keeper == NULL)
		return netd_fail(EX_UNAVAILABLE, err);
	n->fast = result.how.fast;
	netd_set_repeat(n, result.repeats);
	str_copy(str_from(result.text), n->rules, sizeof(n->rules));
	log_write(n->log, LOG_EV_NETD_RULES, KV(rules, n->rules));
	return 0;
}

/* Frames that the kernel does not show to netfilter are nobody's to throttle,
 * and a host can tag its own. Asked once the rules are there, which may have
 * loaded what has these. */
static void
check_bridge(struct netd *n)
{
	static const char *const sysctls[][2] = {
	    {"net.bridge.bridge-nf-call-iptables",
		"IPv4 frames, unless the bridge has nf_call_iptables itself"},
	    {"net.bridge.bridge-nf-call-ip6tables",
		"IPv6 frames, unless the bridge has nf_call_ip6tables itself"},
	    {"net.bridge.bridge-nf-filter-vlan-tagged", "VLAN-tagged frames"},
	    {"net.bridge.bridge-nf-filter-pppoe-tagged", "PPPoE frames"},
	};
	char path[80];

	for (size_t i = 0; i < ARRAY_LEN(sysctls); i++) {
		struct buf text;
		struct str rest;

		buf_init(&text, 16);
		snprintf(path, sizeof(path), "/proc/sys/net/bridge/%s",
		    sysctls[i][0] + sizeof("net.bridge.") - 1);
		rest =
		    file_read(path, 16, &text) == 0 ? buf_str(&text) : STR("");
		if (!str_eq(str_cut(&rest, '\n'), STR("1")))
			log_write(n->log, LOG_EV_NETD_BRIDGE,
			    KV(sysctl, sysctls[i][0]),
			    KV(passed_by, sysctls[i][1]));
		buf_clear(&text);
	}
}

/* The state of a daemon that starts as root belongs to the user it becomes. */
static void
give_state(const struct netd_config *c)
{
	uid_t uid;
	gid_t gid;

	if (c->user == NULL || geteuid() != 0 || access(c->state, F_OK) == 0 ||
	    !priv_find_user(c->user, &uid, &gid) ||
	    file_make_dir(c->state, 0700) != 0)
		return;
	if (chown(c->state, uid, gid) != 0)
		fprintf(stderr, "weir-netd: %s cannot be given to %s\n",
		    c->state, c->user);
}

static int
drop_rights(struct netd *n)
{
	char text[256];
	int error;

	give_state(n->conf);
	error = caps_keep_net_admin(n->conf->user);
	if (error == 0)
		return 0;
	snprintf(text, sizeof(text), "privileges: %s; it needs CAP_NET_ADMIN",
	    strerror(error));
	return netd_fail(EX_NOPERM, text);
}

static int
load_state(struct netd *n)
{
	char err[512];
	struct buf text;
	size_t bad, frozen;
	int error;

	n->state = state_open(n->conf->state, n->log, err, sizeof(err));
	if (n->state == NULL)
		return netd_fail(EX_IOERR, err);
	buf_init(&text, STATE_TEXT_MAX);
	error = state_read(n->state, &text);
	if (error != 0) {
		snprintf(err, sizeof(err), "state: %s: %s", n->conf->state,
		    strerror(error));
		return netd_fail(EX_IOERR, err);
	}
	frozen = netgate_load(
	    n->gate, buf_str(&text), loop_now(n->loop), clock_wall_ms(), &bad);
	buf_clear(&text);
	if (frozen > 0 || bad > 0)
		log_write(n->log,
		    bad > 0 ? LOG_EV_NETD_STATE_DAMAGED : LOG_EV_NETD_STATE,
		    KV(frozen, frozen), KV(unreadable, bad));
	netd_block_frozen(n);
	return 0;
}

static int
build(struct netd *n)
{
	struct netgate_settings settings = netd_gate_settings(n);
	bool is_on;
	char err[512];
	int status;

	n->can_reject = netpolicies_want_reject(n->conf->policies);
	n->gate = netgate_new(&settings, &netd_gate_ops, n, n->log);
	n->hook = hook_new(n->loop, n->log);
	netd_run_init(n);
	if (n->keeper != NULL)
		keeper_watch(n->keeper, n->loop, netd_on_keeper, n);
	status = load_state(n);
	if (status != 0)
		return status;
	if (!daemon_open_access(&n->daemon, n->conf->state, err, sizeof(err)))
		return netd_fail(EX_CONFIG, err);
	netd_control_start(n);
	netd_http_start(n);
	if (n->conf->seccomp) {
		if (!sandbox_enter(n->conf->freeze_command != NULL, &is_on, err,
			sizeof(err)))
			return netd_fail(EX_OSERR, err);
		n->has_seccomp = is_on;
	}
	n->can_start = !n->has_seccomp || n->conf->freeze_command != NULL;
	return 0;
}

static int
start(struct netd *n, bool with_rules)
{
	char err[512];
	int status;

	n->conf = netd_config_load(n->config_file, err, sizeof(err));
	if (n->conf == NULL)
		return netd_fail(EX_CONFIG, err);
	n->log = log_new(
	    (enum log_target)n->conf->log, (enum log_level)n->conf->log_level);
	n->daemon.log = n->log;
	n->daemon.events = n->events = events_new();
	n->daemon.loop = n->loop = loop_new();
	n->fast = rules_printed_how(n->conf).fast;
	status = bind_control(n);
	if (status == 0)
		status = bind_queues(n);
	/* Whoever loaded the printed rules took nft's or iptables'. */
	if (status == 0)
		netd_set_repeat(
		    n, rules_wanted_table(n->conf) == RULES_IN_MANGLE);
	if (status == 0 && with_rules)
		status = install_rules(n);
	if (status == 0 && n->conf->bridge)
		check_bridge(n);
	if (status == 0)
		status = open_sets(n);
	if (status == 0)
		status = open_neighbours(n);
	if (status == 0)
		status = drop_rights(n);
	return status == 0 ? build(n) : status;
}

static void
stop(struct netd *n)
{
	/* First: from here on packets pass, or find no queue. */
	if (!keeper_stop(n->keeper))
		log_write(n->log, LOG_EV_NETD_RULES_STAY,
		    KV(reason, "both keepers were killed"),
		    KV(advice, "weir-netd --remove-rules removes them"));
	daemon_close(&n->daemon);
	/* The frozen stay in the file. */
	netd_run_clear(n);
	state_close(n->state);
	if (n->gate != NULL)
		netgate_free(n->gate);
	nfqueue_free(n->queue);
	nfqueue_free(n->answers);
	nfqueue_free(n->contacts);
	neigh_free(n->neigh);
	nfset_free(n->sets);
	nfset_free(n->ipset);
	hook_free(n->hook);
	if (n->loop != NULL)
		loop_free(n->loop);
	if (n->events != NULL)
		events_free(n->events);
	if (n->log != NULL)
		log_free(n->log);
	netd_config_free(n->conf);
}

int
netd_run(const char *config_file, bool with_rules)
{
	struct netd n = {.config_file = config_file,
	    .daemon = {.ops = &netd_daemon_ops},
	    .started_at = clock_wall_ms()};
	int status;

	n.daemon.arg = &n;
	signal(SIGPIPE, SIG_IGN);
	netd_hold_signals(true);
	status = start(&n, with_rules);
	if (status == 0) {
		log_write(n.log, LOG_EV_NETD_START,
		    KV(version, PACKAGE_VERSION),
		    KV(mode,
			n.conf->mode == NETD_OBSERVE ? "observe" : "enforce"),
		    KV(queue, n.conf->queue),
		    KV(fail,
			n.conf->fail == NETD_FAIL_OPEN ? "open" : "closed"),
		    KV(frozen, netgate_frozen_count(n.gate)),
		    KV(seccomp, n.has_seccomp ? "on" : "off"));
		systemd_notify("READY=1");
		netd_set_timer(&n);
		loop_run(n.loop);
		log_write(n.log, LOG_EV_NETD_STOP, KV(status, 0));
	}
	stop(&n);
	return status;
}
