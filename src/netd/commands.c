/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-netd's commands on the control socket: weir-maild's words, with an
 * address as the sender and packets for messages. Changes are logged.
 */
#include "netd/internal.h"

#include "control/access_store.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX (1u << 20)

static void
changed(struct control_conn *c, uint64_t count)
{
	netd_set_timer(netd_of(c));
	control_log_change(c, count);
	control_done(c, json_pack("{s:I,s:s?}", "recipients", (json_int_t)count,
			    "sender", c->request.sender));
}

static void
change_selected(struct control_conn *c, int64_t now,
    uint64_t (*change)(
	struct netgate *g, const struct netgate_select *s, int64_t now))
{
	const struct control_request *r = &c->request;
	struct netgate_select select = {
	    .ids = r->ids,
	    .id_count = r->id_count,
	    .source = str_from(r->sender),
	    .all = r->all,
	};
	uint64_t count = change(netd_of(c)->gate, &select, now);

	if (count == 0 && !r->all)
		control_fail(c, CONTROL_ABSENT, "no held mail matches");
	else
		changed(c, count);
}

static void
run_release(struct control_conn *c, int64_t now)
{
	change_selected(c, now, netgate_release);
}

static void
run_discard(struct control_conn *c, int64_t now)
{
	change_selected(c, now, netgate_discard);
}

static void
run_freeze(struct control_conn *c, int64_t now)
{
	if (netgate_freeze(netd_of(c)->gate, str_from(c->request.sender),
		c->request.reason, now, clock_wall_ms()))
		changed(c, 0);
	else
		control_fail(c, CONTROL_FAILED,
		    "not an address, or more hosts than hosts_max: %s",
		    c->request.sender);
}

static void
run_thaw(struct control_conn *c, int64_t now)
{
	const char *then = c->request.then;
	enum netgate_thaw what = NETGATE_THAW_KEEP;
	uint64_t count;

	if (then != NULL)
		what = strcmp(then, "release") == 0 ? NETGATE_THAW_RELEASE
						    : NETGATE_THAW_DISCARD;
	if (netgate_thaw(netd_of(c)->gate, str_from(c->request.sender), what,
		c->who, now, &count))
		changed(c, count);
	else
		netd_no_such_host(c);
}

/* ---- the daemon ---- */

static void
run_config(struct control_conn *c, int64_t now)
{
	const struct netd *n = netd_of(c);
	struct buf out;
	char *text;

	(void)now;
	buf_init(&out, CONFIG_MAX);
	if (!options_print_values(&netd_schema, n->conf, &out)) {
		buf_clear(&out);
		control_fail(c, CONTROL_FAILED,
		    "the configuration is too large to show");
		return;
	}
	text = buf_take(&out);
	control_send_lines(c, text);
	free(text);
}

static void
run_reload(struct control_conn *c, int64_t now)
{
	char err[1024] = "";

	(void)now;
	if (netd_reload(netd_of(c), err, sizeof(err)))
		changed(c, 0);
	else
		control_fail(
		    c, CONTROL_FAILED, "the old configuration stays: %s", err);
}

#define SELECTS (CONTROL_IDS | CONTROL_SENDER | CONTROL_ALL)

const struct control_command netd_commands[] = {
    {
	.name = "status",
	.right = CONTROL_READ,
	.run = netd_show_status,
	.doc = "one row: mode, counters, queues",
    },
    {
	.name = "senders",
	.takes = CONTROL_FROZEN | CONTROL_BUSY | CONTROL_TERM,
	.right = CONTROL_READ,
	.run = netd_show_senders,
	.doc = "a row per host in memory",
    },
    {
	.name = "show",
	.takes = CONTROL_SENDER,
	.needs = CONTROL_SENDER,
	.right = CONTROL_READ,
	.run = netd_show_sender,
	.doc = "one row: all that is known of a host",
    },
    {
	.name = "problems",
	.takes = CONTROL_MAX,
	.right = CONTROL_READ,
	.run = netd_show_problems,
	.doc = "a row per thing that does not go as it should",
    },
    {
	.name = "queue",
	.takes = CONTROL_SENDER,
	.right = CONTROL_READ,
	.run = netd_show_queue,
	.doc = "a row per packet that waits",
    },
    {
	.name = "release",
	.takes = SELECTS,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.run = run_release,
	.doc = "lets waiting packets go now",
    },
    {
	.name = "discard",
	.takes = SELECTS,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.run = run_discard,
	.doc = "drops waiting packets",
    },
    {
	.name = "freeze",
	.takes = CONTROL_SENDER | CONTROL_REASON,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.run = run_freeze,
	.doc = "stops a host",
    },
    {
	.name = "thaw",
	.takes = CONTROL_SENDER | CONTROL_THEN | CONTROL_REASON,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.run = run_thaw,
	.doc = "lets a host go on",
    },
    {
	.name = "events",
	.takes = CONTROL_FOLLOW | CONTROL_MAX,
	.right = CONTROL_READ,
	.run = control_events,
	.doc = "what happened lately, and what happens from now on",
    },
    {
	.name = "config",
	.right = CONTROL_ADMIN,
	.run = run_config,
	.doc = "the configuration in use",
    },
    {
	.name = "reload",
	.right = CONTROL_ADMIN,
	.run = run_reload,
	.doc = "reads the configuration again",
    },
    ACCESS_COMMANDS,
    {0},
};

static const struct control_grammar grammar = {
    .commands = netd_commands,
    .parse_id = str_to_u64,
};

struct control *
netd_control_new(struct netd *n, struct listener *listener, int admin_gid)
{
	struct control_server server = {
	    .loop = n->loop,
	    .log = n->log,
	    .events = n->events,
	    .grammar = &grammar,
	    .access = n->access,
	};

	return control_start(&server, &n, sizeof(n), listener, admin_gid);
}
