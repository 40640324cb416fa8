/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The running daemon: the spool's completions, the gate's schedule, signals,
 * reload and drain. A reload reads a new configuration as a whole and swaps it;
 * on an error the old one stays and the log says why. A drain accepts nothing
 * new, lets sessions and deliveries finish, and has a deadline.
 */
#include "maild/decide.h"
#include "maild/maild_internal.h"
#include "maild/maild_probe.h"
#include "maild/maild_warn.h"

#include "os/clock.h"

#include <malloc.h>
#include <stdio.h>

#define DRAIN_MS 30000
#define SWEEP_MS 10000
#define MANY_SESSIONS 200 /* sessions that are worth it */

/* ---- the gate's schedule ---- */

static void
on_gate_timer(void *arg, int64_t now)
{
	struct maild *m = arg;

	gate_run(m->gate, now, clock_wall_ms());
	loop_timer_set(&m->gate_timer, gate_next_due(m->gate));
}

static void
on_gate_schedule(void *arg)
{
	struct maild *m = arg;

	if (m->gate_timer.loop != NULL)
		loop_timer_set(&m->gate_timer, gate_next_due(m->gate));
}

static void
on_gate_released(void *arg)
{
	struct maild *m = arg;

	delivery_kick(m->delivery, loop_now(m->loop), clock_wall_ms());
	quarantine_kick(m->quarantine, loop_now(m->loop));
}

static void
on_quarantine_gone(void *arg, const uint64_t *ids, size_t n)
{
	struct maild *m = arg;

	gate_mta_forgot(
	    m->gate, ids, n, loop_now(m->loop), clock_wall_ms(), NULL, NULL);
}

const struct quarantine_callbacks maild_quarantine_callbacks = {
    .on_gone = on_quarantine_gone,
};

static void
on_gate_stopped(void *arg, const char *sender)
{
	struct maild *m = arg;

	delivery_stop(m->delivery, sender, loop_now(m->loop));
	quarantine_stop(m->quarantine);
	mta_hold_freeze(m->mta_hold, sender, loop_now(m->loop));
}

static void
on_gate_thawed(void *arg, const struct gate_thawed *thawed)
{
	struct maild *m = arg;

	maild_share_thawed(m, thawed);
	mta_hold_kick(m->mta_hold, loop_now(m->loop));
}

static void
on_gate_freeze(void *arg, const struct gate_freeze *freeze)
{
	struct maild *m = arg;

	maild_share_frozen(m, freeze);
	maild_alert(m, freeze);
}

static void
on_gate_turn(void *arg, const char *sender, uint64_t destination)
{
	struct maild *m = arg;

	if (m->decider != NULL)
		decide_turn(m->decider, sender, destination);
}

static void
on_gate_spent(
    void *arg, const char *sender, uint32_t recipients, uint32_t messages)
{
	maild_share_spent(arg, sender, recipients, messages);
}

static void
on_gate_known(void *arg, const struct gate_known_news *news)
{
	maild_known(arg, news);
}

static bool
on_gate_met(void *arg, const struct gate_known_news *news)
{
	return maild_met(arg, news);
}

static void
on_gate_let_go(void *arg, const char *sender, uint64_t ticket)
{
	maild_let_go(arg, sender, ticket);
}

static void
on_gate_forgotten(void *arg, const char *sender)
{
	maild_forgotten(arg, sender);
}

const struct gate_callbacks maild_gate_callbacks = {
    .on_released = on_gate_released,
    .on_stopped = on_gate_stopped,
    .on_thawed = on_gate_thawed,
    .on_freeze = on_gate_freeze,
    .on_spent = on_gate_spent,
    .on_known = on_gate_known,
    .on_met = on_gate_met,
    .on_let_go = on_gate_let_go,
    .on_forgotten = on_gate_forgotten,
    .on_schedule = on_gate_schedule,
    .on_turn = on_gate_turn,
};

/* ---- reload ---- */

void
maild_free_retired(struct maild *m, bool all)
{
	struct list *e, *next;

	list_each_safe (e, next, &m->retired) {
		struct maild_gen *g = LIST_ITEM(e, struct maild_gen, entry);

		if (!all && relay_uses(m->relay, &g->relay))
			continue;
		list_remove(&g->entry);
		maild_gen_free(g);
	}
}

static void
maild_apply(struct maild *m, struct maild_gen *gen)
{
	struct delivery_settings out = maild_delivery_settings(m, gen->conf);
	struct maild_gen *old = m->gen;

	/* Too few for any session is no reason to end what works. */
	(void)!maild_fit_descriptors(gen, m->log);
	m->gen = gen;
	maild_name_counters(m);
	log_configure(m->log, (enum log_target)gen->conf->log,
	    (enum log_level)gen->conf->log_level);
	maild_set_tap(m, gen->conf);
	gate_reload(m->gate, &gen->conf->gate, loop_now(m->loop));
	maild_share_reload(m);
	delivery_reload(m->delivery, &out);
	maild_set_weights(m, gen->conf);
	quarantine_reload(m->quarantine, &gen->conf->mta);
	mta_hold_reload(m->mta_hold, &gen->conf->mta);
	relay_reload(m->relay, &gen->relay);
	maild_listeners_update(m);
	daemon_update_http(&m->daemon, &gen->conf->http);
	maild_alert_reload(m);
	maild_on_cert_timer(m, loop_now(m->loop));
	if (old != m->first)
		list_append(&m->retired, &old->entry);
	maild_free_retired(m, false);
	on_gate_schedule(m);
}

/* Against what the daemon started with: an earlier reload did not bring it into
 * force either. */
static void
report_fixed(struct maild *m, char *note, size_t cap)
{
	const char *name =
	    options_changed_fixed(&maild_schema, m->first->conf, m->gen->conf);

	note[0] = '\0';
	if (name == NULL)
		return;
	log_write(m->log, LOG_EV_MAILD_RELOAD_LATER, KV(option, name));
	snprintf(note, cap,
	    "%s was changed, which takes effect at the next start", name);
}

void
maild_on_warning(void *arg, const char *text)
{
	struct maild *m = arg;

	log_write(m->log, LOG_EV_MAILD_CONFIG, KV(reason, text));
}

bool
maild_on_reload(void *arg, char *err, size_t err_cap)
{
	struct maild *m = arg;
	struct maild_config *conf =
	    maild_config_load(m->config_file, err, err_cap);
	struct nexthop_settings hop;

	if (conf != NULL) {
		if (!nexthop_reload(m->nexthop, &conf->hop, err, err_cap)) {
			maild_config_free(conf);
			conf = NULL;
		} else if (m->rest_hop != NULL) {
			hop = maild_rest_hop_settings(conf, m->first->conf);
			/* Its addresses were good when it started. */
			(void)nexthop_reload(m->rest_hop, &hop, err, err_cap);
		}
	}
	m->parts.reloaded_at = clock_wall_ms();
	m->parts.reload_failed = conf == NULL;
	if (conf == NULL) {
		log_write(m->log, LOG_EV_MAILD_RELOAD_FAILED, KV(error, err));
		events_add(m->events, clock_wall_ms(), EVENT_RELOAD_FAILED, "",
		    "", "%s", err);
		maild_alert_raise(m, ALERT_RELOAD_FAILED, m->config_file, err);
		return false;
	}
	maild_alert_end(m, ALERT_RELOAD_FAILED, m->config_file);
	maild_warn(conf, maild_on_warning, m);
	maild_apply(m, maild_gen_new(conf));
	report_fixed(m, err, err_cap);
	events_add(m->events, clock_wall_ms(), EVENT_RELOAD, "", "", "%s",
	    m->config_file);
	log_write(m->log, LOG_EV_MAILD_RELOAD, KV(file, m->config_file));
	return true;
}

bool
maild_on_show_config(void *arg, struct buf *out)
{
	struct maild *m = arg;

	return options_print_values(&maild_schema, m->gen->conf, out);
}

const char *
maild_on_mode(void *arg)
{
	struct maild *m = arg;

	return m->gen->conf->mode == MAILD_OBSERVE ? "observe" : "enforce";
}

/* ---- drain ---- */

static void
on_gate_drained(void *arg)
{
	struct maild *m = arg;

	loop_stop(m->loop);
}

static void
on_quarantine_drained(void *arg)
{
	struct maild *m = arg;

	gate_drain(m->gate, on_gate_drained, m);
}

static void
on_delivery_drained(void *arg)
{
	struct maild *m = arg;

	quarantine_drain(m->quarantine, on_quarantine_drained, m);
}

static void
on_milter_drained(void *arg)
{
	struct maild *m = arg;

	delivery_drain(m->delivery, on_delivery_drained, m);
}

static void
on_relay_drained(void *arg)
{
	struct maild *m = arg;

	if (m->milter != NULL)
		milter_drain(m->milter, on_milter_drained, m);
	else
		on_milter_drained(m);
}

static void
on_drain_deadline(void *arg, int64_t now)
{
	struct maild *m = arg;

	(void)now;
	log_write(m->log, LOG_EV_MAILD_DRAIN_CUT,
	    KV(deliveries, delivery_active(m->delivery)));
	loop_stop(m->loop);
}

static void
on_stop(void *arg, int64_t now)
{
	struct maild *m = arg;

	log_write(m->log, LOG_EV_MAILD_DRAIN,
	    KV(sessions, m->counters.v[COUNT_SESSIONS_OPEN]));
	/* Closed, not only left alone: a client that comes now goes elsewhere
	 * at once and does not wait in the backlog. */
	for (size_t i = 0; i < m->listener_count; i++)
		listener_free(m->listeners[i]);
	m->listener_count = 0;
	loop_timer_set(&m->drain_deadline, now + DRAIN_MS);
	relay_drain(m->relay, on_relay_drained, m);
}

const struct daemon_ops maild_daemon_ops = {
    .reload = maild_on_reload,
    .stop = on_stop,
};

/* ---- the loop's other sources ---- */

static void
on_spool_ready(void *arg, int64_t now)
{
	struct maild *m = arg;

	gate_set_now(m->gate, now);
	spool_dispatch(m->spool);
}

/* What many sessions took stays in the heap after they have gone, in
 * holes that are too small for the heap to give back by itself. */
static void
give_back_memory(struct maild *m)
{
	uint64_t open = m->counters.v[COUNT_SESSIONS_OPEN];
	uint64_t peak = relay_take_peak(m->relay);

	if (peak > m->sessions_peak)
		m->sessions_peak = peak;
	if (m->sessions_peak >= MANY_SESSIONS && open <= m->sessions_peak / 4) {
		m->sessions_peak = open;
		m->gives_back = 2;
	}
	if (m->gives_back == 0)
		return;
	/* And once more: their connections linger for some seconds. */
	m->gives_back--;
	malloc_trim(0);
}

static void
on_sweep(void *arg, int64_t now)
{
	struct maild *m = arg;

	maild_free_retired(m, false);
	give_back_memory(m);
	loop_timer_set(&m->sweep, now + SWEEP_MS);
}

static void
on_accept(void *arg, int fd, const struct net_addr *peer, int64_t now)
{
	const struct maild_listener *bound = arg;

	counters_add_named(&bound->maild->counters, NAMED_LISTENER_CONNECTIONS,
	    bound->name, 1);
	relay_accept(bound->maild->relay, fd, peer, &bound->listen, now);
}

static void
on_policy_accept(void *arg, int fd, const struct net_addr *peer, int64_t now)
{
	const struct maild_listener *bound = arg;

	counters_add_named(&bound->maild->counters, NAMED_LISTENER_CONNECTIONS,
	    bound->name, 1);
	policyd_accept(bound->maild->policyd, fd, peer, bound->peers, now);
}

static void
on_accept_trouble(void *arg, int error, int64_t now)
{
	const struct maild_listener *bound = arg;
	const struct maild *m = bound->maild;

	(void)now;
	log_write(
	    m->log, LOG_EV_MAILD_ACCEPT_FAILED, KV(error, strerror(error)));
}

void
maild_run_init(struct maild *m)
{
	int64_t now = loop_now(m->loop);

	loop_timer_init(&m->gate_timer, m->loop, on_gate_timer, m);
	loop_timer_init(&m->sweep, m->loop, on_sweep, m);
	loop_timer_init(&m->drain_deadline, m->loop, on_drain_deadline, m);
	m->spool_watch =
	    loop_watch_new(m->loop, spool_fd(m->spool), on_spool_ready, m);
	daemon_run_init(&m->daemon);
	loop_timer_set(&m->gate_timer, gate_next_due(m->gate));
	loop_timer_set(&m->sweep, now + SWEEP_MS);
	loop_timer_init(&m->cert_timer, m->loop, maild_on_cert_timer, m);
	maild_listeners_update(m);
	maild_on_cert_timer(m, now);
	for (size_t i = 0; i < m->listener_count; i++) {
		bool is_policy =
		    maild_config_listen(m->gen->conf, i)->protocol ==
		    MAILD_POLICY;

		if (m->listeners[i] != NULL)
			listener_start(m->listeners[i], m->loop,
			    is_policy ? on_policy_accept : on_accept,
			    on_accept_trouble, &m->bound[i]);
	}
	maild_http_start(m);
	maild_probe_start(m);
	maild_alert_start(m);
	maild_watch_start(m);
	delivery_kick(m->delivery, now, clock_wall_ms());
	quarantine_kick(m->quarantine, now);
	mta_hold_kick(m->mta_hold, now);
}

void
maild_run_clear(struct maild *m)
{
	if (m->spool_watch == NULL)
		return;
	loop_watch_free(m->spool_watch);
	daemon_run_clear(&m->daemon);
	loop_timer_clear(&m->gate_timer);
	loop_timer_clear(&m->sweep);
	loop_timer_clear(&m->drain_deadline);
	loop_timer_clear(&m->cert_timer);
	maild_watch_stop(m);
}
