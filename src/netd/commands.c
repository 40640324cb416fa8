/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-netd's commands on the control socket: weir-maild's words, with an
 * address as the sender and packets for messages. Rows are made a step at a
 * time, so that a long list stops nobody. Changes are logged.
 */
#include "config.h"

#include "netd/internal.h"

#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX (1u << 20)
#define STEP 500 /* rows looked at in one step */
#define ROWS 100 /* hosts of a kind, where max does not say */
#define LONG_MS 10000
#define HELP_MAX (2 * IP_TEXT_MAX + 80)
#define MACHINE_ROWS 7

static struct netd *
netd_of(const struct control_conn *c)
{
	return *(struct netd **)c->control->parts;
}

static void
set_number(json_t *row, const char *name, uint64_t v)
{
	json_object_set_new(row, name, json_integer((json_int_t)v));
}

/* ---- status ---- */

static void
add_queue(json_t *row, const char *name, const struct nfqueue *q)
{
	const struct nfqueue_stats *s;
	json_t *o;

	if (q == NULL)
		return;
	s = nfqueue_get_stats(q);
	o = json_object();
	set_number(o, "packets", s->packets);
	set_number(o, "verdicts", s->verdicts);
	set_number(o, "batches", s->batches);
	set_number(o, "overruns", s->overruns);
	set_number(o, "loops", s->loops);
	set_number(o, "lost", s->lost);
	set_number(o, "errors", s->errors);
	json_object_set_new(row, name, o);
}

static void
show_status(struct control_conn *c, int64_t now)
{
	struct netd *n = netd_of(c);
	const uint64_t *counters = netgate_counters(n->gate);
	int64_t up_ms = clock_wall_ms() - n->started_at;
	json_t *row = json_object();

	netd_look_for_lost(n, now);
	json_object_set_new(row, "version", control_text(PACKAGE_VERSION));
	json_object_set_new(row, "mode",
	    control_text(
		n->conf->mode == NETD_OBSERVE ? "observe" : "enforce"));
	set_number(row, "uptime_s", up_ms > 0 ? (uint64_t)up_ms / 1000 : 0);
	json_object_set_new(row, "started_at", control_time(n->started_at));
	for (size_t i = 0; i < NETGATE_COUNT_MAX; i++)
		set_number(row, netgate_counter_name[i], counters[i]);
	set_number(row, "malformed_packets", n->malformed);
	set_number(row, "senders", netgate_host_count(n->gate));
	set_number(row, "frozen_senders", netgate_frozen_count(n->gate));
	set_number(row, "held_messages", netgate_held_count(n->gate));
	set_number(row, "held_recipients", netgate_held_count(n->gate));
	set_number(row, "memory_bytes", netgate_memory(n->gate));
	if (n->rules[0] != '\0')
		json_object_set_new(row, "rules", control_text(n->rules));
	set_number(row, "rules_restored", n->rules_restored);
	json_object_set_new(
	    row, "fast_path", json_boolean(n->fast != RULES_FAST_NONE));
	if (n->sets != NULL || n->ipset != NULL)
		set_number(row, "set_errors",
		    (n->sets != NULL ? nfset_errors(n->sets) : 0) +
			(n->ipset != NULL ? nfset_errors(n->ipset) : 0));
	add_queue(row, "queue", n->queue);
	add_queue(row, "answers", n->answers);
	add_queue(row, "contacts", n->contacts);
	if (control_send_only(c, row))
		control_done(c, NULL);
}

/* ---- senders, show ---- */

static json_t *
host_row(const struct netgate_host_info *h)
{
	return json_pack(
	    "{s:o, s:b, s:b, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
	    "sender", control_text(h->source), "frozen", (int)h->frozen,
	    "proven", (int)h->proven, "freeze_reason",
	    control_text(h->freeze_reason), "queue_length",
	    (json_int_t)h->queue_length, "allowance", (json_int_t)h->allowance,
	    "working_set", (json_int_t)h->working_set, "policy",
	    control_text(h->policy), "last_seen", control_time(h->last_seen),
	    "frozen_at", control_time(h->frozen_at), "thaw_at",
	    control_time(h->thaw_at), "next_release",
	    control_time(h->next_release));
}

static bool
is_wanted(const struct control_request *r, const struct netgate_host_info *h)
{
	if ((r->frozen && !h->frozen) ||
	    (r->term != NULL && strstr(h->source, r->term) == NULL))
		return false;
	return !r->busy || h->frozen || h->queue_length > 0;
}

static void
step_senders(struct control_conn *c, int64_t now)
{
	struct netd *n = netd_of(c);
	int64_t wall = clock_wall_ms();
	struct netgate_host_info h;

	for (int i = 0; i < STEP; i++) {
		size_t at = (size_t)c->cursor;

		if (!netgate_host_each(n->gate, &at, now, wall, &h)) {
			control_done(c, NULL);
			return;
		}
		if (is_wanted(&c->request, &h) &&
		    !control_send(c, "row", host_row(&h)))
			return; /* again when there is room */
		c->cursor = at;
	}
}

static void
show_senders(struct control_conn *c, int64_t now)
{
	c->on_step = step_senders;
	step_senders(c, now);
}

static void
no_such_host(struct control_conn *c)
{
	control_fail(
	    c, CONTROL_ABSENT, "no such sender: %s", c->request.sender);
}

static void
show_sender(struct control_conn *c, int64_t now)
{
	struct netgate_host_info h;
	json_t *row;

	if (!netgate_host_find(netd_of(c)->gate, str_from(c->request.sender),
		now, clock_wall_ms(), &h)) {
		no_such_host(c);
		return;
	}
	row = host_row(&h);
	set_number(row, "freeze_at", h.freeze_at);
	set_number(row, "burst", h.burst);
	set_number(row, "working_set_max", h.working_set_max);
	set_number(row, "waiting_tcp", h.waiting[NETGATE_TCP]);
	set_number(row, "waiting_udp", h.waiting[NETGATE_UDP]);
	set_number(row, "waiting_unproven", h.waiting_claimed);
	set_number(row, "credit", h.credit);
	if (control_send_only(c, row))
		control_done(c, NULL);
}

/* ---- queue ---- */

static json_t *
held_row(const struct netgate_held_info *h)
{
	char id[24], address[IP_TEXT_MAX + 16];

	snprintf(id, sizeof(id), "%" PRIu64, h->id);
	snprintf(address, sizeof(address),
	    strchr(h->dst, ':') != NULL ? "[%s]:%u" : "%s:%u", h->dst,
	    h->dport);
	return json_pack("{s:s, s:o, s:s, s:[{s:s, s:s}], s:I, s:o, s:s}", "id",
	    id, "sender", control_text(h->source), "from", h->source,
	    "recipients", "address", address, "state", h->stage, "size",
	    (json_int_t)0, "queued_at", control_time(h->queued_at), "subject",
	    h->protocol);
}

static void
step_queue(struct control_conn *c, int64_t now)
{
	struct netd *n = netd_of(c);
	struct netgate_held_info h;

	(void)now;
	for (int i = 0; i < STEP; i++) {
		size_t at = (size_t)c->cursor;

		if (!netgate_held_each(n->gate, &at, &h)) {
			control_done(c, NULL);
			return;
		}
		if ((c->request.sender == NULL ||
			strcmp(c->request.sender, h.source) == 0) &&
		    !control_send(c, "row", held_row(&h)))
			return;
		c->cursor = at;
	}
}

static void
show_queue(struct control_conn *c, int64_t now)
{
	struct netgate_host_info h;

	if (c->request.sender != NULL) {
		if (!netgate_host_find(netd_of(c)->gate,
			str_from(c->request.sender), now, 0, &h)) {
			no_such_host(c);
			return;
		}
		/* As the gate writes it. */
		free(c->request.sender);
		c->request.sender = xstrdup(h.source);
	}
	c->on_step = step_queue;
	step_queue(c, now);
}

/* ---- problems ---- */

/* What does not go as it should, a row each with the command or the option that
 * helps. The rules and what met a bound since the start come first, then hosts
 * that are frozen or have waited for long, of each kind a bounded number. The
 * rows are those of weir-maild. */

struct problem {
	const char *kind, *who, *reason, *option, *help;
	uint64_t count;      /* 0: says nothing */
	int64_t since, next; /* wall ms; 0: says nothing */
};

static json_t *
problem_row(const struct problem *r, int64_t wall)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}",
	    "kind", r->kind, "who", control_text(r->who), "count",
	    r->count > 0 ? json_integer((json_int_t)r->count) : json_null(),
	    "since", control_time(r->since), "next", control_time(r->next),
	    "reason", control_text(r->reason), "option",
	    control_text(r->option), "age_s",
	    (json_int_t)(r->since > 0 && wall > r->since
			     ? (wall - r->since) / 1000
			     : 0),
	    "help", control_text(r->help));
}

/* One of the machine's; reason NULL: there is no such trouble. */
static struct problem
machine_row(const struct netd *n, size_t which)
{
	const uint64_t *counters = netgate_counters(n->gate);
	const struct nfqueue_stats *q = nfqueue_get_stats(n->queue);
	const struct {
		const char *kind, *reason, *option, *help;
		uint64_t count;
	} rows[MACHINE_ROWS] = {
	    {"rules", n->rules_trouble, "rules",
		"weirctl status; restart "
		"weir-netd",
		n->rules_trouble != NULL},
	    {"rules", "another program removed or changed them", "rules_watch",
		"weirctl events; OTHER FIREWALLS in "
		"weir-netd(8)",
		n->rules_restored},
	    {"limit", "packets that the kernel's queue had no room for",
		"queue_length", "queue_length in weir-netd.conf(5)",
		q->overruns},
	    {"limit", "packets dropped at held_max", "held_max",
		"weirctl senders; held_max in weir-netd.conf(5)",
		counters[NETGATE_COUNT_OVERFLOW]},
	    {"limit",
		"packets of hosts beyond hosts_max, which share a "
		"throttle",
		"hosts_max", "hosts_max in weir-netd.conf(5)",
		counters[NETGATE_COUNT_OVERFLOWED]},
	    {"lost", "held packets that the kernel dropped", NULL,
		"Throttled packets in weir-netd(8)",
		counters[NETGATE_COUNT_LOST]},
	    {"malformed", "packets whose headers cannot be read", NULL,
		"SECURITY in weir-netd(8)", n->malformed},
	};

	return (struct problem){.kind = rows[which].kind,
	    .reason = rows[which].count > 0 ? rows[which].reason : NULL,
	    .option = rows[which].option,
	    .help = rows[which].help,
	    .count = rows[which].count};
}

/* False: it goes well. */
static bool
trouble_of(const struct netgate_host_info *h, int64_t wall, struct problem *r,
    char reason[HELP_MAX], char help[HELP_MAX])
{
	*r = (struct problem){.who = h->source, .reason = reason, .help = help};
	if (h->frozen) {
		r->kind = "frozen";
		r->reason = h->freeze_reason;
		r->since = h->frozen_at;
		snprintf(help, HELP_MAX, "weirctl show %s; weirctl thaw %s",
		    h->source, h->source);
		return true;
	}
	if (h->queue_length == 0 || h->next_release < wall + LONG_MS)
		return false;
	r->kind = "held";
	r->next = h->next_release;
	r->option = "limit";
	snprintf(reason, HELP_MAX, "%" PRIu32 " attempts wait; policy %s",
	    h->queue_length, h->policy);
	snprintf(help, HELP_MAX,
	    "weirctl queue %s; weirctl release --sender %s", h->source,
	    h->source);
	return true;
}

/* c->cursor: rows of the machine, then hosts. c->kept: hosts shown, frozen and
 * held; whether there were more. */
static void
end_problems(struct control_conn *c, int64_t wall)
{
	const struct netd *n = netd_of(c);
	int64_t hour = wall - 3600 * INT64_C(1000);
	bool more = json_is_true(json_array_get(c->kept, 2));

	control_done(
	    c, json_pack("{s:o, s:b}", "since",
		   control_time(n->started_at > hour ? n->started_at : hour),
		   "more", (int)more));
}

/* False: it is to be sent again when there is room. */
static bool
send_host(
    struct control_conn *c, const struct problem *r, bool frozen, int64_t wall)
{
	uint32_t max = c->request.given & CONTROL_MAX ? c->request.max : ROWS;
	json_int_t n =
	    json_integer_value(json_array_get(c->kept, frozen ? 0 : 1));

	if (n >= (json_int_t)max) {
		json_array_set_new(c->kept, 2, json_true());
		return true;
	}
	if (!control_send(c, "row", problem_row(r, wall)))
		return false;
	json_array_set_new(c->kept, frozen ? 0 : 1, json_integer(n + 1));
	return true;
}

static void
step_problems(struct control_conn *c, int64_t now)
{
	struct netd *n = netd_of(c);
	char reason[HELP_MAX], help[HELP_MAX];
	int64_t wall = clock_wall_ms();
	struct netgate_host_info h;
	struct problem r;

	for (; c->cursor < MACHINE_ROWS; c->cursor++) {
		r = machine_row(n, (size_t)c->cursor);
		if (r.reason != NULL &&
		    !control_send(c, "row", problem_row(&r, wall)))
			return; /* again when there is room */
	}
	for (int i = 0; i < STEP; i++) {
		size_t at = (size_t)c->cursor - MACHINE_ROWS;

		if (!netgate_host_each(n->gate, &at, now, wall, &h)) {
			end_problems(c, wall);
			return;
		}
		if (trouble_of(&h, wall, &r, reason, help) &&
		    !send_host(c, &r, h.frozen, wall))
			return;
		c->cursor++;
	}
}

static void
show_problems(struct control_conn *c, int64_t now)
{
	c->kept = json_pack("[i, i, b]", 0, 0, 0);
	c->on_step = step_problems;
	step_problems(c, now);
}

/* ---- changes ---- */

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
		no_such_host(c);
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

static const struct control_command commands[] = {
    {
	.name = "status",
	.right = CONTROL_READ,
	.run = show_status,
	.doc = "show one row: mode, counters, queues",
    },
    {
	.name = "senders",
	.takes = CONTROL_FROZEN | CONTROL_BUSY | CONTROL_TERM,
	.right = CONTROL_READ,
	.run = show_senders,
	.doc = "list the hosts in memory, one row each",
    },
    {
	.name = "show",
	.takes = CONTROL_SENDER,
	.needs = CONTROL_SENDER,
	.right = CONTROL_READ,
	.run = show_sender,
	.doc = "show everything about a host in one row",
    },
    {
	.name = "problems",
	.takes = CONTROL_MAX,
	.right = CONTROL_READ,
	.run = show_problems,
	.doc = "list the problems, one row each, with advice",
    },
    {
	.name = "queue",
	.takes = CONTROL_SENDER,
	.right = CONTROL_READ,
	.run = show_queue,
	.doc = "list the waiting packets, one row each",
    },
    {
	.name = "release",
	.takes = SELECTS,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.run = run_release,
	.doc = "release waiting packets now",
    },
    {
	.name = "discard",
	.takes = SELECTS,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.run = run_discard,
	.doc = "drop waiting packets",
    },
    {
	.name = "freeze",
	.takes = CONTROL_SENDER | CONTROL_REASON,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.run = run_freeze,
	.doc = "freeze a host",
    },
    {
	.name = "thaw",
	.takes = CONTROL_SENDER | CONTROL_THEN | CONTROL_REASON,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.run = run_thaw,
	.doc = "resume a host",
    },
    {
	.name = "events",
	.takes = CONTROL_FOLLOW | CONTROL_MAX,
	.right = CONTROL_READ,
	.run = control_events,
	.doc = "show recent events, and new ones as they happen",
    },
    {
	.name = "config",
	.right = CONTROL_ADMIN,
	.run = run_config,
	.doc = "show the configuration in use",
    },
    {
	.name = "reload",
	.right = CONTROL_ADMIN,
	.run = run_reload,
	.doc = "reload the configuration",
    },
    {0},
};

static const struct control_grammar grammar = {
    .tables = CONTROL_TABLES(commands, access_commands),
    .parse_id = str_to_u64,
};

void
netd_control_start(struct netd *n)
{
	struct control_server server = {
	    .loop = n->loop,
	    .log = n->log,
	    .events = n->events,
	    .grammar = &grammar,
	    .access = n->daemon.access,
	};

	n->daemon.control = control_start(
	    &server, &n, sizeof(n), n->daemon.listener, n->daemon.admin_gid);
	n->daemon.listener = NULL;
}
