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

#define CONTROL_MODE 0660
#define COPY_BYTES 256    /* headers, with their options */
#define COPY_WATCHED 4096 /* a DNS answer */
#define WATCHED_LENGTH 4096

static int
fail(int status, const char *what)
{
	fprintf(stderr, "weir-netd: %s\n", what);
	return status;
}

int
netd_check(const char *config_file)
{
	char err[512];
	struct netd_config *conf =
	    netd_config_load(config_file, err, sizeof(err));

	if (conf == NULL)
		return fail(EX_CONFIG, err);
	netd_config_free(conf);
	printf("%s: ok\n", config_file);
	return 0;
}

/* ---- --print-rules ---- */

static bool
print_part(
    const struct netd_config *c, enum rules_part part, const char *program)
{
	struct buf text;
	bool ok;

	buf_init(&text, RULES_TEXT_MAX);
	ok = rules_print(c, part, &text);
	if (ok && program != NULL)
		printf(
		    "%s <<'END'\n%.*sEND\n", program, STR_ARG(buf_str(&text)));
	else if (ok)
		printf("%.*s", STR_ARG(buf_str(&text)));
	buf_clear(&text);
	return ok;
}

int
netd_print_rules(const char *config_file, const char *kind)
{
	char err[512];
	struct netd_config *conf =
	    netd_config_load(config_file, err, sizeof(err));
	bool ok;

	if (conf == NULL)
		return fail(EX_CONFIG, err);
	if (strcmp(kind, "nft") == 0) {
		ok = print_part(conf, RULES_NFT, NULL);
	} else if (strcmp(kind, "iptables") == 0) {
		ok = print_part(
			 conf, RULES_IPTABLES, "iptables-restore --noflush") &&
		     print_part(conf, RULES_IP6TABLES,
			 "ip6tables-restore --noflush") &&
		     (conf->fast_path_ms == 0 ||
			 print_part(conf, RULES_NFT_SETS, "nft -f -"));
	} else {
		netd_config_free(conf);
		return fail(EX_USAGE, "--print-rules: write nft or iptables");
	}
	netd_config_free(conf);
	return ok && fflush(stdout) == 0 ? 0 : EX_IOERR;
}

/* ---- the start ---- */

struct netgate_settings
netd_gate_settings(const struct netd *n)
{
	const struct netd_config *c = n->conf;

	return (struct netgate_settings){
	    .policies = c->policies,
	    .observe = c->mode == NETD_OBSERVE,
	    .hosts_max = c->hosts_max,
	    .held_max = c->held_max,
	    .ipv6_prefix = c->ipv6_prefix,
	    .fast_path_ms = n->has_fast_path ? c->fast_path_ms : 0,
	    .aggregate_limit = &c->aggregate_limit,
	    .never_block = c->never_block_nets.v,
	    .never_block_count = c->never_block_nets.n,
	    .dns_servers = c->dns_server_nets.v,
	    .dns_server_count = c->dns_server_nets.n,
	};
}

static int
bind_control(struct netd *n)
{
	struct listener_options options = {
	    .backlog = 16, .unix_mode = CONTROL_MODE, .unix_gid = -1};
	char err[512], text[1024];
	struct net_addr addr;
	gid_t gid;

	if (n->conf->control_group != NULL &&
	    priv_find_group(n->conf->control_group, &gid))
		options.unix_gid = n->admin_gid = (int)gid;
	snprintf(text, sizeof(text), "unix:%s", n->conf->control);
	if (net_addr_parse(str_from(text), &addr, err, sizeof(err)))
		n->listener = listener_new(&addr, &options, err, sizeof(err));
	if (n->listener != NULL)
		return 0;
	snprintf(text, sizeof(text), "control: %s", err);
	return fail(EX_TEMPFAIL, text);
}

static bool
want_watched(const struct netd_config *c)
{
	return netpolicies_want_dns(c->policies) ||
	       netpolicies_want_inbound(c->policies) ||
	       netpolicies_want_outcome(c->policies);
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
	    .mark = UINT32_C(2) << c->mark_bit,
	};
	char err[512];

	n->queue = nfqueue_new(
	    n->loop, &options, &netd_queue_ops, n, err, sizeof(err));
	if (n->queue == NULL)
		return fail(EX_UNAVAILABLE, err);
	if (!want_watched(c))
		return 0;
	options.number++;
	options.length = WATCHED_LENGTH;
	options.copy_bytes = COPY_WATCHED;
	options.fail_open = true;
	n->watched = nfqueue_new(
	    n->loop, &options, &netd_watched_ops, n, err, sizeof(err));
	return n->watched != NULL ? 0 : fail(EX_UNAVAILABLE, err);
}

static void
name_set(struct nfset_name *name, const char *text)
{
	if (text != NULL && !nfset_parse_name(str_from(text), name))
		panic("netd: %s was checked", text);
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
	if (c->fast_path_ms == 0 && c->freeze_set4 == NULL &&
	    c->freeze_set6 == NULL)
		return 0;
	n->sets = nfset_new(n->loop, err, sizeof(err));
	return n->sets != NULL ? 0 : fail(EX_UNAVAILABLE, err);
}

static int
install_rules(struct netd *n)
{
	char err[512];

	n->keeper = keeper_start(
	    n->conf, n->rules, &n->has_fast_path, err, sizeof(err));
	if (n->keeper == NULL)
		return fail(EX_UNAVAILABLE, err);
	log_event(n->log, LOG_LEVEL_INFO, "netd", "rules", "installed=\"%s\"",
	    n->rules);
	return 0;
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
	return fail(EX_NOPERM, text);
}

static void
block_frozen(struct netd *n)
{
	struct netgate_host_info info;
	int64_t now = loop_now(n->loop);

	for (size_t pos = 0; netgate_host_each(n->gate, &pos, now, 0, &info);) {
		struct ip ip;

		if (info.frozen && ip_parse(str_from(info.source), &ip))
			netd_set_blocked(n, &ip, true);
	}
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
		return fail(EX_IOERR, err);
	buf_init(&text, STATE_TEXT_MAX);
	error = state_read(n->state, &text);
	if (error != 0) {
		snprintf(err, sizeof(err), "state: %s: %s", n->conf->state,
		    strerror(error));
		return fail(EX_IOERR, err);
	}
	frozen = netgate_load(
	    n->gate, buf_str(&text), loop_now(n->loop), clock_wall_ms(), &bad);
	buf_clear(&text);
	if (frozen > 0 || bad > 0)
		log_event(n->log, bad > 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		    "netd", "state", "frozen=%zu unreadable=%zu", frozen, bad);
	block_frozen(n);
	return 0;
}

static int
build(struct netd *n)
{
	struct netgate_settings settings = netd_gate_settings(n);
	bool is_on;
	char err[512];
	int status;

	n->gate = netgate_new(&settings, &netd_gate_ops, n, n->log);
	n->hook = hook_new(n->loop, n->log);
	netd_run_init(n);
	status = load_state(n);
	if (status != 0)
		return status;
	n->control = netd_control_new(n, n->listener, n->admin_gid);
	n->listener = NULL;
	if (n->conf->seccomp) {
		if (!sandbox_enter(n->conf->freeze_command != NULL, &is_on, err,
			sizeof(err)))
			return fail(EX_OSERR, err);
		n->has_seccomp = is_on;
	}
	return 0;
}

static int
start(struct netd *n, bool with_rules)
{
	char err[512];
	int status;

	n->conf = netd_config_load(n->config_file, err, sizeof(err));
	if (n->conf == NULL)
		return fail(EX_CONFIG, err);
	n->log = log_new(n->conf->log, n->conf->log_level);
	n->events = events_new();
	n->loop = loop_new();
	n->has_fast_path = n->conf->fast_path_ms > 0;
	status = bind_control(n);
	if (status == 0)
		status = bind_queues(n);
	if (status == 0)
		status = open_sets(n);
	if (status == 0 && with_rules)
		status = install_rules(n);
	if (status == 0)
		status = drop_rights(n);
	return status == 0 ? build(n) : status;
}

static void
stop(struct netd *n)
{
	/* First: from here on packets pass, or find no queue. */
	keeper_stop(n->keeper);
	if (n->control != NULL)
		control_stop(n->control);
	if (n->listener != NULL)
		listener_free(n->listener);
	/* The frozen stay in the file. */
	netd_run_clear(n);
	state_close(n->state);
	if (n->gate != NULL)
		netgate_free(n->gate);
	nfqueue_free(n->queue);
	nfqueue_free(n->watched);
	nfset_free(n->sets);
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
	    .admin_gid = -1,
	    .started_at = clock_wall_ms()};
	int status;

	signal(SIGPIPE, SIG_IGN);
	status = start(&n, with_rules);
	if (status == 0) {
		log_event(n.log, LOG_LEVEL_INFO, "netd", "start",
		    "version=%s mode=%s queue=%u fail=%s frozen=%zu "
		    "seccomp=%s",
		    PACKAGE_VERSION,
		    n.conf->mode == NETD_OBSERVE ? "observe" : "enforce",
		    n.conf->queue,
		    n.conf->fail == NETD_FAIL_OPEN ? "open" : "closed",
		    netgate_frozen_count(n.gate), n.has_seccomp ? "on" : "off");
		systemd_notify("READY=1");
		netd_set_timer(&n);
		loop_run(n.loop);
		log_event(n.log, LOG_LEVEL_INFO, "netd", "stop", "status=0");
	}
	stop(&n);
	return status;
}
