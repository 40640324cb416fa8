/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wires the parts and runs the loop. The order of the start matters: sockets
 * are bound first, then root is given up, then the spool is opened by the user
 * that will own its files. Every error up to that point is fatal and has a line
 * and an exit status; none after it is.
 */
#include "maild/maild_internal.h"

#include "maild/decide.h"
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

#define LARGE_BODY_BYTES (256 * 1024)
#define SPOOL_OUTSTANDING_MAX 20000
#define LOAD_AT_ONCE_MS 250 /* small spools are whole when clients come */
/* Body buffers come and go with each message: kept in the heap they cost no
 * system call and no page fault. */
#define HEAP_KEPT_BYTES (4 * 1024 * 1024)
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
	g->relay = conf->relay;
	return g;
}

void
maild_gen_free(struct maild_gen *g)
{
	maild_config_free(g->conf);
	free(g);
}

struct nexthop_settings
maild_rest_hop_settings(
    const struct maild_config *conf, const struct maild_config *addresses)
{
	struct nexthop_settings s = conf->hop;

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
	    m->rcpts[rcpt].address,
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
	struct delivery_settings s = conf->delivery;

	s.why_held = maild_why_held;
	s.on_end = on_delivery_end;
	s.envid = make_envid;
	s.why_arg = m;
	return s;
}

/* ---- the start ---- */

static int
maild_bind(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	char err[512], text[1024];
	bool bound;

	m->listeners = xcalloc(conf->listen.n, sizeof(*m->listeners));
	m->bound = xcalloc(conf->listen.n, sizeof(*m->bound));
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
		m->bound[i].maild = m;
		m->bound[i].peers = &l->peers;
		m->bound[i].name = xstrdup(l->name);
		m->listener_count++;
		m->bound_count++;
	}
	return daemon_bind(&m->daemon, conf->control, conf->control_group,
		   &conf->http, text, sizeof(text))
		   ? 0
		   : fail(EX_TEMPFAIL, text);
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
	if (access(conf->spool.dir, F_OK) != 0 &&
	    file_make_dir(conf->spool.dir, 0700) == 0 &&
	    chown(conf->spool.dir, uid, gid) != 0)
		return fail(EX_IOERR, "spool: cannot change the owner of the "
				      "directory");
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
	struct spool_settings settings = conf->spool;
	char err[512];
	int status = EX_IOERR;

	settings.large_body_bytes = LARGE_BODY_BYTES;
	settings.outstanding_max = SPOOL_OUTSTANDING_MAX;
	settings.files_max = MAILD_FILES_MAX;
	settings.relay = conf->hostname;
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
	    &conf->milter);
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
	name_policy(m, policies_default(conf->gate.policies));
	name_policy(m, policies_find(conf->gate.policies, STR("null")));
	name_policy(m, policies_find(conf->gate.policies, STR("overflow")));
	counters_name(c, COUNTER_SCOPE, SCOPE_LOCAL);
	counters_name(c, COUNTER_SCOPE, SCOPE_NEW_LOCAL);
	for (size_t i = 0; i < conf->scope.n; i++)
		counters_name(c, COUNTER_SCOPE, scopes[i].name);
	for (size_t i = 0; i < m->bound_count; i++)
		counters_name(c, COUNTER_LISTENER, m->bound[i].name);
	for (size_t i = 0; i < ARRAY_LEN(hops); i++) {
		for (size_t j = 0; j < hops[i]->n; j++)
			counters_name(c, COUNTER_NEXT_HOP, hops[i]->v[j]);
	}
	counters_names_end(c);
}

/* What administrators see of all that, and how they ask. */
static int
build_control(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	char err[512];

	m->daemon.graph = maild_graph_new(m);
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
	    .graph = m->daemon.graph,
	    .log = m->log,
	    .version = PACKAGE_VERSION,
	    .connections_max = conf->control_connections_max,
	    .started_at = clock_wall_ms(),
	    .reload = maild_on_reload,
	    .show_config = maild_on_show_config,
	    .mode = maild_on_mode,
	    .certificate = maild_on_certificate,
	    .shared = maild_on_shared,
	    .relays = maild_on_relays,
	    .site = &maild_site,
	    .arg = m,
	};
	/* Before the control socket: tokens and users. */
	if (!daemon_open_access(&m->daemon, conf->spool.dir, err, sizeof(err)))
		return fail(EX_CONFIG, err);
	m->parts.access = m->daemon.access;
	m->daemon.control =
	    control_new(&m->parts, m->daemon.listener, m->daemon.admin_gid);
	m->daemon.listener = NULL;
	return 0;
}

static int
maild_build(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	struct delivery_settings out = maild_delivery_settings(m, conf);
	struct nexthop_settings hop;
	char err[512];

	maild_name_counters(m);
	m->nexthop = nexthop_new(
	    m->loop, &conf->hop, &m->counters, m->log, err, sizeof(err));
	if (m->nexthop == NULL)
		return fail(EX_CONFIG, err);
	if (conf->milter_next_hop.n > 0) {
		hop = maild_rest_hop_settings(conf, conf);
		m->rest_hop = nexthop_new(
		    m->loop, &hop, &m->counters, m->log, err, sizeof(err));
		if (m->rest_hop == NULL)
			return fail(EX_CONFIG, err);
	}
	m->gate = gate_new(&conf->gate, m->spool, m->events, &m->counters,
	    m->log, &maild_gate_callbacks, m);
	if (gate_load(m->gate, loop_now(m->loop), clock_wall_ms()) != 0)
		return fail(EX_IOERR, "spool: stored state cannot be read");
	/* The rest of a large spool follows behind the listeners. */
	(void)gate_load_wait(m->gate, LOAD_AT_ONCE_MS);
	maild_share_start(m);
	m->delivery = delivery_new(m->loop, m->spool, m->nexthop, &out,
	    m->events, &m->counters, m->log);
	delivery_set_rest(m->delivery, m->rest_hop);
	maild_set_weights(m, conf);
	m->quarantine = quarantine_new(m->loop, m->spool, &conf->mta,
	    &maild_quarantine_callbacks, m, &m->counters, m->log);
	quarantine_set_events(m->quarantine, m->events);
	m->let_go = let_go_new();
	delivery_set_let_go(m->delivery, m->let_go);
	m->mta_hold = mta_hold_new(m->loop, m->spool, m->let_go, &conf->mta,
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
	return build_control(m);
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
	m->daemon.log = m->log;
	m->daemon.events = m->events = events_new();
	m->problems = problems_new(m->events);
	m->daemon.loop = m->loop = loop_new();
	if (!maild_fit_descriptors(m->gen, m->log))
		return fail(EX_OSERR,
		    "too few file descriptors (ulimit -n); at least 128 are "
		    "required");
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
	daemon_close(&m->daemon);
	decide_free(m->decider);
	m->decider = NULL;
	relay_free(m->relay);
	policyd_free(m->policyd);
	milter_free(m->milter);
	for (size_t i = 0; i < m->listener_count; i++)
		listener_free(m->listeners[i]);
	free(m->listeners);
	maild_listeners_free(m);
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
		    KV(listener, m->bound[i].name));
	spool_stats(m->spool, &stats);
	log_write(m->log, LOG_EV_MAILD_START, KV(version, PACKAGE_VERSION),
	    KV(mode, maild_on_mode(m)), KV(held_messages, stats.messages),
	    KV(senders, gate_sender_count(m->gate)),
	    KV(frozen_senders, gate_frozen_count(m->gate)));
}

int
maild_run(const char *config_file, const char *page_dir)
{
	struct maild m = {
	    .page_dir = page_dir, .daemon = {.ops = &maild_daemon_ops}};
	int status;

	m.daemon.arg = &m;
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
