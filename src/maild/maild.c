/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wires the parts and runs the loop. The order of the start matters: sockets
 * are bound first, then root is given up, then the spool is opened by the user
 * that will own its files. Every error up to that point is fatal and has a line
 * and an exit status; none after it is.
 */
#include "maild/maild_internal.h"

#include "control/access_store.h"
#include "maild/maild_probe.h"
#include "maild/maild_warn.h"

#include "config.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/priv.h"
#include "os/systemd.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define CONTROL_MODE 0660
#define LARGE_BODY_BYTES (256 * 1024)
#define SPOOL_OUTSTANDING_MAX 20000
/* Body buffers come and go with each message: kept in the heap they cost no
 * system call and no page fault. */
#define HEAP_KEPT_BYTES (4 * 1024 * 1024)
/* Postfix waits 5 minutes: milter_content_timeout. */
#define MILTER_ANSWER_MAX_MS 240000
#define HEAP_LARGE_BYTES (1024 * 1024)

static int
fail(int status, const char *what)
{
	fprintf(stderr, "weir-maild: %s\n", what);
	return status;
}

static void
on_warning(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "weir-maild: warning: %s\n", text);
}

int
maild_check(const char *config_file)
{
	char err[512];
	struct maild_config *conf =
	    maild_config_load(config_file, err, sizeof(err));

	if (conf == NULL)
		return fail(EX_CONFIG, err);
	maild_warn(conf, on_warning, NULL);
	maild_probe_wait(conf, on_warning, NULL);
	maild_config_free(conf);
	printf("%s: ok\n", config_file);
	return 0;
}

/* ---- what the parts are told ---- */

struct maild_gen *
maild_gen_new(struct maild_config *conf)
{
	struct maild_gen *g = xcalloc(1, sizeof(*g));

	list_init(&g->entry);
	g->conf = conf;
	g->relay = (struct relay_settings){
	    .hostname = conf->hostname,
	    .limits =
		{
		    .recipients_max = conf->recipients_max,
		    .errors_max = conf->errors_max,
		    .idle_commands_max = conf->idle_commands_max,
		    .refused_max = conf->refused_max,
		    .local_max = conf->local_part_max,
		    .line_max = 2048,
		    .command_timeout_ms = conf->command_timeout_ms,
		    .data_timeout_ms = conf->data_timeout_ms,
		    .message_timeout_ms = conf->message_timeout_ms,
		    .data_rate_min = conf->data_rate_min,
		    .data_rate_window_ms = conf->data_rate_window_ms,
		    .data =
			{
			    .size_max = conf->message_size,
			    .line_max = (uint32_t)conf->line_max,
			    .header_max = (uint32_t)conf->header_max,
			    .received_max = conf->received_max,
			    .bare_newline =
				(enum smtp_bare_newline)conf->bare_newline,
			},
		},
	    .message_size_max = conf->message_size,
	    .bare_newline_nets = conf->bare_newline_nets,
	    .bare_newline_net_count = conf->bare_newline_net_count,
	    .lenient_nets = conf->lenient_nets,
	    .lenient_net_count = conf->lenient_net_count,
	    .verify_held = conf->verify_held,
	    .sessions_max = conf->sessions_max,
	    .client_sessions_max = conf->client_sessions_max,
	    .envelope_memory = conf->envelope_memory,
	    .next_hop_wait_ms = conf->next_hop_wait_ms,
	    .slow_rate = conf->slow_rate,
	    .greeting_delay_ms = conf->greeting_delay_ms,
	    .tarpit_ms = conf->tarpit_ms,
	    .answer_timeout_ms = conf->answer_timeout_ms,
	    .my_nets = conf->my_nets,
	    .my_net_count = conf->my_net_count,
	    .xclient_nets = conf->xclient_nets,
	    .xclient_net_count = conf->xclient_net_count,
	    .proxy_nets = conf->proxy_nets,
	    .proxy_net_count = conf->proxy_net_count,
	    .next_hop_xclient = conf->next_hop_xclient,
	    .auth_failures_max = conf->auth_failures_max,
	    .dovecot = conf->auth_socket != NULL ? &conf->auth_addr : NULL,
	};
	return g;
}

void
maild_gen_free(struct maild_gen *g)
{
	maild_config_free(g->conf);
	free(g);
}

struct nexthop_settings
maild_nexthop_settings(const struct maild_config *conf)
{
	return (struct nexthop_settings){
	    .tls =
		{
		    .client = conf->tls_client,
		    .required = conf->next_hop_tls >= MAILD_TLS_REQUIRE,
		    .implicit = conf->next_hop_tls_implicit,
		    .name = conf->next_hop_tls_name,
		    .timeout_ms = conf->tls_timeout_ms,
		},
	    .addresses = (const char *const *)conf->next_hop.v,
	    .address_count = conf->next_hop.n,
	    .hostname = conf->hostname,
	    .connect_timeout_ms = conf->connect_timeout_ms,
	    .timeouts =
		{
		    .greeting_ms = conf->next_hop_command_timeout_ms,
		    .command_ms = conf->next_hop_command_timeout_ms,
		    .data_ms = conf->next_hop_data_timeout_ms,
		    .end_ms = conf->next_hop_end_timeout_ms,
		},
	    .connections_max = conf->next_hop_connections,
	    .idle_max = conf->next_hop_idle,
	    .idle_timeout_ms = conf->next_hop_idle_timeout_ms,
	    .uses_max = conf->next_hop_uses,
	    .uses_unknown_max = 10, /* see delivery/hop_uses.c */
	    .rest_ms = conf->next_hop_rest_ms,
	    .credentials = conf->credentials,
	    .login_in_clear = conf->next_hop_auth_in_clear,
	};
}

struct nexthop_settings
maild_rest_hop_settings(
    const struct maild_config *conf, const struct maild_config *addresses)
{
	struct nexthop_settings s = maild_nexthop_settings(conf);

	s.addresses = (const char *const *)addresses->milter_next_hop.v;
	s.address_count = addresses->milter_next_hop.n;
	return s;
}

/* The held recipient of a message that goes last. False: none waits in the
 * throttle's queue. */
static bool
last_to_go(struct maild *m, const struct spool_message *msg, int64_t wall,
    struct gate_wait *last)
{
	bool found = false;

	for (size_t i = 0; i < msg->rcpt_count; i++) {
		struct gate_wait wait;

		if (msg->rcpts[i].state != SPOOL_HELD ||
		    !gate_expected(m->gate, str_from(msg->source),
			msg->rcpts[i].destination, loop_now(m->loop), wall,
			&wait))
			continue;
		if (!found || wait.ahead > last->ahead)
			*last = wait;
		found = true;
	}
	return found;
}

/* For the sender of held mail, and for the log: what it waits for, and for how
 * long. */
static const char *
maild_why_held(
    void *arg, const struct spool_message *msg, char out[DELIVERY_WHY_MAX])
{
	struct maild *m = arg;
	int64_t wall = clock_wall_ms();
	struct gate_wait last;
	char time[UNITS_TEXT_MAX];
	size_t n;

	if (!last_to_go(m, msg, wall, &last)) {
		snprintf(out, DELIVERY_WHY_MAX,
		    "It is on hold because the sender wrote to many new "
		    "recipients");
		return out;
	}
	if (last.frozen) {
		snprintf(out, DELIVERY_WHY_MAX,
		    "It is on hold because the sender wrote to many new "
		    "recipients; an administrator must review it");
		return out;
	}
	n = (size_t)snprintf(out, DELIVERY_WHY_MAX,
	    "It is on hold because the sender wrote to many new recipients; ");
	if (last.due == INT64_MAX)
		snprintf(out + n, DELIVERY_WHY_MAX - n,
		    "an administrator must release it");
	else
		snprintf(out + n, DELIVERY_WHY_MAX - n,
		    "%u ahead of it; it goes in %s", last.ahead,
		    units_format_duration(
			(last.due - wall + 999) / 1000 * 1000, time));
	return out;
}

/* Reports are nobody's doing. */
static void
on_delivery_end(void *arg, const struct spool_message *m, size_t rcpt,
    const struct smtp_reply *reply, bool to_rcpt)
{
	struct maild *d = arg;
	int64_t now = loop_now(d->loop);

	if (m->from[0] == '\0')
		return;
	if (reply == NULL) {
		gate_delivered(d->gate, m->source, now);
		if (m->envid == NULL || m->envid[0] == '\0')
			gate_sent(d->gate, m->source, m->id,
			    m->rcpts[rcpt].destination, now);
		return;
	}
	gate_undelivered(d->gate, m->source, m->rcpts[rcpt].destination,
	    &(struct gate_reply){reply->code, reply->enhanced, to_rcpt}, now,
	    clock_wall_ms());
}

static bool
make_envid(
    void *arg, const struct spool_message *m, char out[DELIVERY_ENVID_MAX])
{
	struct maild *d = arg;

	return gate_envid(d->gate, m->source, m->id, out);
}

struct delivery_settings
maild_delivery_settings(struct maild *m, const struct maild_config *conf)
{
	return (struct delivery_settings){
	    .hostname = conf->hostname,
	    .postmaster = conf->postmaster,
	    .concurrency = conf->delivery_concurrency,
	    .retry_min_ms = conf->retry_min_ms,
	    .retry_max_ms = conf->retry_max_ms,
	    .max_age_ms = conf->max_age_ms,
	    .notify_after_ms = conf->notify_after_ms,
	    .notify_count = conf->notify_limit.count,
	    .notify_window_ms = conf->notify_limit.window_ms,
	    .report_rate = {conf->report_rate.count,
		conf->report_rate.window_ms},
	    .report_rate_address = {conf->report_rate_address.count,
		conf->report_rate_address.window_ms},
	    .why_held = maild_why_held,
	    .on_end = on_delivery_end,
	    .envid = make_envid,
	    .why_arg = m,
	};
}

struct quarantine_settings
maild_quarantine_settings(const struct maild_config *conf)
{
	return (struct quarantine_settings){
	    .release = conf->release_command,
	    .discard = conf->discard_command,
	    .queue = conf->queue_command,
	    .check_ms = conf->queue_check_ms,
	    .settle_ms = conf->queue_settle_ms,
	    .timeout_ms = conf->queue_command_timeout_ms,
	};
}

struct mta_hold_settings
maild_mta_hold_settings(const struct maild_config *conf)
{
	return (struct mta_hold_settings){
	    .hold = conf->mta_hold_command,
	    .release = conf->release_command,
	    .discard = conf->discard_command,
	    .queue = conf->queue_command,
	    .settle_ms = conf->queue_settle_ms,
	    .timeout_ms = conf->queue_command_timeout_ms,
	};
}

/* ---- the start ---- */

static int
maild_bind(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	struct listener_options control = {
	    .backlog = 16, .unix_mode = CONTROL_MODE, .unix_gid = -1};
	struct net_addr addr;
	char err[512], text[1024];
	gid_t gid;
	bool bound;

	m->listeners = xcalloc(conf->listen.n, sizeof(*m->listeners));
	m->doors = xcalloc(conf->listen.n, sizeof(*m->doors));
	for (size_t i = 0; i < conf->listen.n; i++) {
		const struct maild_listen *l = maild_config_listen(conf, i);
		struct listener_options options = {.backlog = (int)l->backlog,
		    .unix_mode = l->mode,
		    .unix_gid = -1};

		if (l->protocol == MAILD_MILTER) {
			m->milter = milter_new(&l->addr, options.backlog,
			    options.unix_mode, &l->peers, err, sizeof(err));
			bound = m->milter != NULL;
		} else {
			m->listeners[i] =
			    listener_new(&l->addr, &options, err, sizeof(err));
			bound = m->listeners[i] != NULL;
		}
		if (!bound) {
			snprintf(text, sizeof(text), "%s:%u: listen \"%s\": %s",
			    l->place.file, l->place.line, l->name, err);
			return fail(EX_TEMPFAIL, text);
		}
		m->doors[i].maild = m;
		m->doors[i].peers = &l->peers;
		m->doors[i].name = xstrdup(l->name);
		m->listener_count++;
		m->door_count++;
	}
	if (conf->control_group != NULL &&
	    priv_find_group(conf->control_group, &gid))
		control.unix_gid = m->admin_gid = (int)gid;
	snprintf(text, sizeof(text), "unix:%s", conf->control);
	if (!net_addr_parse(str_from(text), &addr, err, sizeof(err)) ||
	    (m->control_listener =
		    listener_new(&addr, &control, err, sizeof(err))) == NULL) {
		snprintf(text, sizeof(text), "control: %s", err);
		return fail(EX_TEMPFAIL, text);
	}
	if (maild_http_bind(m, text, sizeof(text)) != 0)
		return fail(EX_TEMPFAIL, text);
	return 0;
}

/* The spool of a daemon that starts as root belongs to the user it becomes. */
static int
maild_drop(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	char text[512];
	uid_t uid;
	gid_t gid;
	int error;

	if (conf->user == NULL || geteuid() != 0)
		return 0;
	if (!priv_find_user(conf->user, &uid, &gid))
		return fail(EX_CONFIG, "user: there is no such user");
	if (access(conf->spool, F_OK) != 0 &&
	    file_make_dir(conf->spool, 0700) == 0 &&
	    chown(conf->spool, uid, gid) != 0)
		return fail(EX_IOERR, "spool: the directory cannot be owned");
	error = priv_drop(conf->user);
	if (error != 0) {
		snprintf(text, sizeof(text), "user: cannot become %s: %s",
		    conf->user, strerror(error));
		return fail(EX_OSERR, text);
	}
	return 0;
}

static int
maild_open_spool(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	struct spool_settings settings = {
	    .dir = conf->spool,
	    .min_free_bytes = conf->min_free,
	    .large_body_bytes = LARGE_BODY_BYTES,
	    .body_memory_bytes = conf->body_memory,
	    .outstanding_max = SPOOL_OUTSTANDING_MAX,
	    .files_max = MAILD_FILES_MAX,
	    .held_max = conf->held_max,
	    .held_bytes_max = conf->held_bytes_max,
	};
	char err[512];
	int status = EX_IOERR;

	m->spool = spool_open(&settings, m->log, err, sizeof(err), &status);
	return m->spool == NULL ? fail(status, err) : 0;
}

/* A failure: whoever watches over us starts us again. */
static void
on_milter_ended(void *arg)
{
	struct maild *m = arg;

	m->status = EX_SOFTWARE;
	loop_stop(m->loop);
}

/* There is one listen section of a milter at most. */
static bool
hides_client(const struct maild_config *conf)
{
	for (size_t i = 0; i < conf->listen.n; i++) {
		const struct maild_listen *l = maild_config_listen(conf, i);

		if (l->protocol == MAILD_MILTER)
			return l->hide_client;
	}
	return false;
}

static const char *
milter_listener(const struct maild_config *conf)
{
	for (size_t i = 0; i < conf->listen.n; i++) {
		const struct maild_listen *l = maild_config_listen(conf, i);

		if (l->protocol == MAILD_MILTER)
			return l->name;
	}
	return NULL;
}

static void
maild_start_milter(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;

	milter_start(m->milter,
	    &(struct milter_parts){.loop = m->loop,
		.gate = m->gate,
		.spool = m->spool,
		.nexthop = m->nexthop,
		.rest_hop = m->rest_hop,
		.delivery = m->delivery,
		.let_go = m->let_go,
		.events = m->events,
		.counters = &m->counters,
		.log = m->log,
		.listener = milter_listener(conf),
		.on_ended = on_milter_ended,
		.arg = m},
	    &(struct milter_settings){.hostname = conf->hostname,
		.hide_client = hides_client(conf),
		.hold = (enum milter_hold)conf->milter_hold,
		.command_timeout_ms = conf->milter_timeout_ms,
		.answer_timeout_ms =
		    conf->answer_timeout_ms < MILTER_ANSWER_MAX_MS
			? conf->answer_timeout_ms
			: MILTER_ANSWER_MAX_MS,
		.header_max = (uint32_t)conf->header_max,
		.connections_max = conf->milter_connections_max});
}

void
maild_set_weights(struct maild *m, const struct maild_config *conf)
{
	const struct policy_conf *policies = conf->policy.v;
	struct spool_weight *weights =
	    xcalloc(conf->policy.n + 1, sizeof(*weights));

	for (size_t i = 0; i < conf->policy.n; i++)
		weights[i] =
		    (struct spool_weight){policies[i].name, policies[i].weight};
	spool_set_weights(m->spool, weights, conf->policy.n);
	free(weights);
}

static void
name_policy(struct maild *m, const struct policy *policy)
{
	if (policy != NULL)
		counters_name(&m->counters, COUNTER_POLICY, policy->conf->name);
}

void
maild_name_counters(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	const struct policy_conf *policies = conf->policy.v;
	const struct scope_conf *scopes = conf->scope.v;
	const struct option_strings *hops[] = {
	    &conf->next_hop, &m->first->conf->milter_next_hop};
	struct counters *c = &m->counters;

	counters_names_begin(c);
	for (size_t i = 0; i < conf->policy.n; i++)
		counters_name(c, COUNTER_POLICY, policies[i].name);
	name_policy(m, policies_default(conf->policies));
	name_policy(m, policies_find(conf->policies, STR("null")));
	name_policy(m, policies_find(conf->policies, STR("overflow")));
	counters_name(c, COUNTER_SCOPE, SCOPE_LOCAL);
	counters_name(c, COUNTER_SCOPE, SCOPE_NEW_LOCAL);
	for (size_t i = 0; i < conf->scope.n; i++)
		counters_name(c, COUNTER_SCOPE, scopes[i].name);
	for (size_t i = 0; i < m->door_count; i++)
		counters_name(c, COUNTER_LISTENER, m->doors[i].name);
	for (size_t i = 0; i < ARRAY_LEN(hops); i++) {
		for (size_t j = 0; j < hops[i]->n; j++)
			counters_name(c, COUNTER_NEXT_HOP, hops[i]->v[j]);
	}
	counters_names_end(c);
}

static int
maild_build(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	struct nexthop_settings hop = maild_nexthop_settings(conf);
	struct gate_settings gate = maild_gate_settings(conf);
	struct delivery_settings out = maild_delivery_settings(m, conf);
	struct quarantine_settings held = maild_quarantine_settings(conf);
	struct mta_hold_settings hold = maild_mta_hold_settings(conf);
	char err[512];

	maild_name_counters(m);
	m->nexthop =
	    nexthop_new(m->loop, &hop, &m->counters, m->log, err, sizeof(err));
	if (m->nexthop == NULL)
		return fail(EX_CONFIG, err);
	if (conf->milter_next_hop.n > 0) {
		hop = maild_rest_hop_settings(conf, conf);
		m->rest_hop = nexthop_new(
		    m->loop, &hop, &m->counters, m->log, err, sizeof(err));
		if (m->rest_hop == NULL)
			return fail(EX_CONFIG, err);
	}
	m->gate = gate_new(&gate, m->spool, m->events, &m->counters, m->log,
	    &maild_gate_callbacks, m);
	if (gate_load(m->gate, loop_now(m->loop), clock_wall_ms()) != 0)
		return fail(EX_IOERR, "spool: stored state cannot be read");
	maild_share_start(m);
	m->delivery = delivery_new(m->loop, m->spool, m->nexthop, &out,
	    m->events, &m->counters, m->log);
	delivery_set_rest(m->delivery, m->rest_hop);
	maild_set_weights(m, conf);
	m->quarantine = quarantine_new(m->loop, m->spool, &held,
	    &maild_quarantine_callbacks, m, &m->counters, m->log);
	quarantine_set_events(m->quarantine, m->events);
	m->let_go = let_go_new();
	delivery_set_let_go(m->delivery, m->let_go);
	m->mta_hold = mta_hold_new(m->loop, m->spool, m->let_go, &hold,
	    m->events, &m->counters, m->log);
	m->relay = relay_new(&(struct relay_parts){.loop = m->loop,
				 .gate = m->gate,
				 .spool = m->spool,
				 .nexthop = m->nexthop,
				 .delivery = m->delivery,
				 .let_go = m->let_go,
				 .events = m->events,
				 .counters = &m->counters,
				 .log = m->log},
	    &m->gen->relay);
	m->policyd = policyd_new(&(struct policyd_parts){.loop = m->loop,
	    .gate = m->gate,
	    .events = m->events,
	    .counters = &m->counters,
	    .log = m->log,
	    .connections_max = conf->policy_connections_max});
	if (m->milter != NULL)
		maild_start_milter(m);
	m->hook = hook_new(m->loop, m->log);
	hook_set_events(m->hook, m->events);
	if (maild_alert_init(m) != 0)
		return fail(EX_IOERR, "spool: stored alerts cannot be read");
	m->graph = maild_graph_new(m);
	m->parts = (struct control_parts){
	    .loop = m->loop,
	    .gate = m->gate,
	    .spool = m->spool,
	    .delivery = m->delivery,
	    .nexthop = m->nexthop,
	    .rest_hop = m->rest_hop,
	    .events = m->events,
	    .problems = m->problems,
	    .counters = &m->counters,
	    .alert = m->alert,
	    .graph = m->graph,
	    .log = m->log,
	    .version = PACKAGE_VERSION,
	    .connections_max = conf->control_connections_max,
	    .started_at = clock_wall_ms(),
	    .reload = maild_on_reload,
	    .show_config = maild_on_show_config,
	    .mode = maild_on_mode,
	    .certificate = maild_on_certificate,
	    .shared = maild_on_shared,
	    .arg = m,
	};
	if (maild_http_open(m, err, sizeof(err)) != 0)
		return fail(EX_CONFIG, err);
	m->control = control_new(&m->parts, m->control_listener, m->admin_gid);
	m->control_listener = NULL;
	return 0;
}

void
maild_set_tap(struct maild *m, const struct maild_config *conf)
{
	tap_configure(
	    m->tap, conf->trace_net_count > 0
			? ip_ranges_new(conf->trace_nets, conf->trace_net_count)
			: NULL);
}

static int
maild_start(struct maild *m, const char *config_file)
{
	char err[512];
	struct maild_config *conf =
	    maild_config_load(config_file, err, sizeof(err));
	int status;

	if (conf == NULL)
		return fail(EX_CONFIG, err);
	m->config_file = config_file;
	m->gen = m->first = maild_gen_new(conf);
	m->log = log_new(
	    (enum log_target)conf->log, (enum log_level)conf->log_level);
	m->tap = tap_new(m->log);
	maild_set_tap(m, conf);
	maild_warn(conf, maild_on_warning, m);
	m->events = events_new();
	m->problems = problems_new(m->events);
	m->loop = loop_new();
	if (!maild_fit_descriptors(m->gen, m->log))
		return fail(EX_OSERR,
		    "too few descriptors are allowed (ulimit -n); 128 are "
		    "the least");
	status = maild_bind(m);
	if (status == 0)
		status = maild_drop(m);
	if (status == 0)
		status = maild_open_spool(m);
	if (status == 0)
		status = maild_build(m);
	return status;
}

static void
maild_stop(struct maild *m)
{
	maild_http_stop(m);
	relay_free(m->relay);
	policyd_free(m->policyd);
	milter_free(m->milter);
	if (m->control != NULL)
		control_free(m->control);
	access_store_free(m->access);
	graph_free(m->graph);
	if (m->control_listener != NULL)
		listener_free(m->control_listener);
	for (size_t i = 0; i < m->listener_count; i++)
		listener_free(m->listeners[i]);
	free(m->listeners);
	maild_doors_free(m);
	quarantine_free(m->quarantine);
	mta_hold_free(m->mta_hold);
	maild_probe_stop(m);
	if (m->delivery != NULL)
		delivery_free(m->delivery);
	if (m->nexthop != NULL)
		nexthop_free(m->nexthop);
	let_go_free(m->let_go);
	nexthop_free(m->rest_hop);
	maild_share_stop(m);
	if (m->gate != NULL) {
		gate_save(m->gate, loop_now(m->loop), clock_wall_ms());
		gate_free(m->gate);
	}
	counters_clear(&m->counters);
	maild_alert_clear(m, m->is_clean);
	maild_share_clear(m);
	hook_free(m->hook);
	maild_run_clear(m);
	if (m->spool != NULL)
		spool_close(m->spool);
	if (m->loop != NULL)
		loop_free(m->loop);
	problems_free(m->problems);
	if (m->events != NULL)
		events_free(m->events);
	maild_free_retired(m, true);
	if (m->first != m->gen)
		maild_gen_free(m->first);
	if (m->gen != NULL)
		maild_gen_free(m->gen);
	tap_free(m->tap);
	if (m->log != NULL)
		log_free(m->log);
}

static void
log_started(struct maild *m)
{
	char addr[NET_ADDR_TEXT_MAX];
	struct spool_stats stats;

	for (size_t i = 0; i < m->listener_count; i++)
		log_write(m->log, LOG_EV_MAILD_LISTEN,
		    KV(address,
			net_addr_format(
			    m->listeners[i] != NULL
				? listener_addr(m->listeners[i])
				: &maild_config_listen(m->gen->conf, i)->addr,
			    addr)),
		    KV(listener, m->doors[i].name));
	spool_stats(m->spool, &stats);
	log_write(m->log, LOG_EV_MAILD_START, KV(version, PACKAGE_VERSION),
	    KV(mode, maild_on_mode(m)), KV(held_messages, stats.messages),
	    KV(senders, gate_sender_count(m->gate)),
	    KV(frozen_senders, gate_frozen_count(m->gate)));
}

int
maild_run(const char *config_file, const char *page_dir)
{
	struct maild m = {.page_dir = page_dir, .admin_gid = -1};
	int status;

	signal(SIGPIPE, SIG_IGN);
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
	mallopt(M_MMAP_THRESHOLD, HEAP_LARGE_BYTES);
	list_init(&m.retired);
	status = maild_start(&m, config_file);
	if (status == 0) {
		maild_run_init(&m);
		log_started(&m);
		systemd_notify("READY=1");
		loop_run(m.loop);
		status = m.status;
		m.is_clean = status == 0;
		log_write(m.log, LOG_EV_MAILD_STOP, KV(status, status));
	}
	maild_stop(&m);
	return status;
}
