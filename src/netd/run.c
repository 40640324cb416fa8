/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The running daemon: packets to the gate and verdicts back, its schedule,
 * freezes told to hook, sets and state, signals and reload.
 */
#include "netd/internal.h"

#include "netd/rules.h"
#include "os/clock.h"

#include <linux/netfilter.h>
#include <signal.h>
#include <stdlib.h>

#define LOOK_MS 1000 /* between looks for what was lost */

void
netd_set_timer(struct netd *n)
{
	if (n->timer.loop == NULL)
		return;
	loop_timer_set(&n->timer, netgate_next_due(n->gate));
	if (n->look.due == INT64_MAX && netgate_held_count(n->gate) > 0)
		loop_timer_set(&n->look, loop_now(n->loop) + LOOK_MS);
}

void
netd_look_for_lost(struct netd *n, int64_t now)
{
	size_t held = netgate_held_count(n->gate);

	if (held == 0 || !nfqueue_lost_all(n->queue))
		return;
	netgate_lose_held(n->gate, now);
	log_write(n->log, LOG_EV_NETD_LOST, KV(packets, held),
	    KV(reason,
		"the kernel dropped waiting packets: a chain of nftables "
		"was removed, or an interface went down"));
}

static void
on_look(void *arg, int64_t now)
{
	struct netd *n = arg;

	netd_look_for_lost(n, now);
	netd_set_timer(n);
}

/* ---- packets ---- */

/* Whoever may send raw packets on this host is root here. */
static bool
is_proven(struct netd *n, const struct nfqueue_packet *packet,
    const struct packet *p, int64_t now)
{
	if (packet->hook == NF_INET_LOCAL_OUT || n->conf->freeze_unproven)
		return true;
	return n->neigh != NULL && packet->mac.n == NEIGH_MAC &&
	       packet->indev != 0 &&
	       neigh_agrees(
		   n->neigh, packet->indev, &p->src, packet->mac.p, now);
}

/* A name for who sent the frame: its MAC address and the interface. */
static uint64_t
sender_of(const struct nfqueue_packet *packet)
{
	uint64_t name = 0;

	for (size_t i = 0; i < packet->mac.n; i++)
		name = name << 8 | (uint8_t)packet->mac.p[i];
	return packet->mac.n > 0 ? name << 16 | (packet->indev & UINT16_MAX)
				 : 0;
}

static void
on_packet(void *arg, const struct nfqueue_packet *packet, int64_t now)
{
	struct netgate_origin origin;
	struct netd *n = arg;
	struct packet p;

	if (packet_parse(packet->bytes.p, packet->bytes.n, &p) != PACKET_OK) {
		n->malformed++;
		nfqueue_set_verdict(n->queue, packet->id, packet->mark,
		    n->conf->mode == NETD_OBSERVE ? NFQUEUE_PASS
						  : NFQUEUE_DROP);
		return;
	}
	origin =
	    (struct netgate_origin){.proven = is_proven(n, packet, &p, now),
		.sender = sender_of(packet)};
	/* Its id, and its mark, which the verdict has to bring back. */
	netgate_packet(n->gate, (uint64_t)packet->mark << 32 | packet->id, &p,
	    origin, now, clock_wall_ms());
}

static void
on_answer(void *arg, const struct nfqueue_packet *packet, int64_t now)
{
	struct netd *n = arg;
	struct packet p;

	if (packet_parse(packet->bytes.p, packet->bytes.n, &p) == PACKET_OK)
		netgate_watch(n->gate, &p, NETGATE_ANSWER, now);
	nfqueue_set_verdict(n->answers, packet->id, packet->mark, NFQUEUE_PASS);
}

static void
on_contact(void *arg, const struct nfqueue_packet *packet, int64_t now)
{
	struct netd *n = arg;
	struct packet p;

	if (packet_parse(packet->bytes.p, packet->bytes.n, &p) == PACKET_OK)
		netgate_watch(n->gate, &p, NETGATE_CONTACT, now);
	nfqueue_set_verdict(
	    n->contacts, packet->id, packet->mark, NFQUEUE_PASS);
}

static void
on_lost(void *arg)
{
	struct netd *n = arg;

	netgate_count_lost(n->gate);
}

static void
on_turn(void *arg, int64_t now)
{
	(void)now;
	netd_set_timer(arg);
}

const struct nfqueue_ops netd_queue_ops = {
    .on_packet = on_packet,
    .on_lost = on_lost,
    .on_turn = on_turn,
};

const struct nfqueue_ops netd_answers_ops = {
    .on_packet = on_answer,
    .on_turn = on_turn,
};

const struct nfqueue_ops netd_contacts_ops = {
    .on_packet = on_contact,
    .on_turn = on_turn,
};

/* ---- what the gate says ---- */

static void
on_verdict(void *arg, uint64_t name, enum netgate_verdict verdict)
{
	static const enum nfqueue_verdict verdicts[] = {
	    [NETGATE_ACCEPT] = NFQUEUE_PASS,
	    [NETGATE_RELEASE] = NFQUEUE_RELEASE,
	    [NETGATE_DROP] = NFQUEUE_DROP,
	    [NETGATE_REJECT] = NFQUEUE_MARKED,
	};
	struct netd *n = arg;

	/* Without the rule that rejects it a marked packet would pass. */
	if (verdict == NETGATE_REJECT && !n->can_reject)
		verdict = NETGATE_DROP;
	nfqueue_set_verdict(n->queue, (uint32_t)name, (uint32_t)(name >> 32),
	    verdicts[verdict]);
}

/* A frozen host stands in the site's own set, or stands there no more. */
static void
set_blocked(struct netd *n, const struct ip *ip, bool on)
{
	bool v6 = ip->family == IP_V6;
	const struct nfset_name *name = v6 ? &n->freeze6 : &n->freeze4;

	if (n->sets == NULL || name->set[0] == '\0' || ip->family == IP_NONE)
		return;
	if (on)
		nfset_add_alone(n->sets, name, ip);
	else
		nfset_remove(n->sets, name, ip, NULL);
}

static void
on_freeze(void *arg, const struct netgate_freeze *f)
{
	struct netd *n = arg;

	events_add(n->events, f->at, EVENT_FREEZE, f->text, "", "%s, %u waited",
	    f->reason, f->queue_length);
	if (n->conf->mode == NETD_ENFORCE)
		set_blocked(n, &f->source, true);
	hook_run(n->hook, n->conf->freeze_command,
	    &(struct hook_freeze){.sender = f->text,
		.policy = f->policy,
		.reason = f->reason,
		.queue_length = f->queue_length,
		.freeze_at = f->freeze_at,
		.at = f->at});
}

static void
on_thaw(void *arg, const struct ip *source, const char *who)
{
	struct netd *n = arg;
	char text[IP_TEXT_MAX];

	events_add(n->events, clock_wall_ms(), EVENT_THAW,
	    ip_format(source, text), "", "by %s", who);
	set_blocked(n, source, false);
}

static void
on_notice(void *arg, const struct netgate_notice *notice)
{
	struct netd *n = arg;
	char text[IP_TEXT_MAX];

	switch (notice->kind) {
	case NETGATE_NOTICE_DECOY:
		events_add(n->events, notice->at, EVENT_DECOY, notice->text, "",
		    "%s; not frozen: %s", ip_format(&notice->dst, text),
		    notice->why);
		break;
	case NETGATE_NOTICE_FULL:
		events_add(n->events, notice->at, EVENT_SPARE, notice->text, "",
		    "queue is full; not frozen: %s", notice->why);
		break;
	}
}

static void
on_state(void *arg)
{
	struct netd *n = arg;

	loop_task_set(&n->store);
}

static void
on_store(void *arg, int64_t now)
{
	struct netd *n = arg;
	struct buf text;

	(void)now;
	buf_init(&text, STATE_TEXT_MAX);
	if (netgate_save(n->gate, &text))
		state_write(n->state, buf_take(&text));
	else
		log_write(n->log, LOG_EV_NETD_STATE_FULL,
		    KV(frozen, netgate_frozen_count(n->gate)));
	buf_clear(&text);
}

static void
on_known(void *arg, const struct netgate_pair *p)
{
	struct netd *n = arg;
	bool v6 = p->src.family == IP_V6;
	int64_t ms = n->conf->fast_path_ms;

	if (n->fast == RULES_FAST_NFT)
		nfset_add(n->sets, v6 ? &n->known6 : &n->known4, &p->src,
		    &p->dst, ms);
	else if (n->fast == RULES_FAST_IPSET)
		nfset_add_ipset(n->ipset, v6 ? RULES_IPSET6 : RULES_IPSET4,
		    &p->src, p->protocol, p->port, &p->dst, ms);
}

static void
on_forget(void *arg, const struct netgate_pair *p)
{
	struct netd *n = arg;
	bool v6 = p->src.family == IP_V6;

	if (n->fast == RULES_FAST_NFT)
		nfset_remove(
		    n->sets, v6 ? &n->known6 : &n->known4, &p->src, &p->dst);
	else if (n->fast == RULES_FAST_IPSET)
		nfset_remove_ipset(n->ipset, v6 ? RULES_IPSET6 : RULES_IPSET4,
		    &p->src, p->protocol, p->port, &p->dst);
}

const struct netgate_ops netd_gate_ops = {
    .on_verdict = on_verdict,
    .on_freeze = on_freeze,
    .on_thaw = on_thaw,
    .on_notice = on_notice,
    .on_state = on_state,
    .on_known = on_known,
    .on_forget = on_forget,
};

/* ---- the rules ---- */

void
netd_set_repeat(struct netd *n, bool repeats)
{
	nfqueue_set_repeat(n->queue, repeats);
	if (n->answers != NULL)
		nfqueue_set_repeat(n->answers, repeats);
	if (n->contacts != NULL)
		nfqueue_set_repeat(n->contacts, repeats);
}

void
netd_on_keeper(void *arg, const struct keeper_report *r)
{
	static const struct {
		enum log_event_id event;
		const char *what;
	} news[] = {
	    [KEEPER_RESTORED] = {LOG_EV_NETD_RULES_RESTORED,
		"missing or changed by another program; restored"},
	    [KEEPER_MISSING] = {LOG_EV_NETD_RULES_MISSING,
		"missing, and cannot be restored"},
	    [KEEPER_REPLACED] = {LOG_EV_NETD_KEEPER_REPLACED,
		"the keeper was killed; the standby took over"},
	    [KEEPER_GONE] = {LOG_EV_NETD_KEEPER_GONE,
		"both keepers were killed; restart weir-netd"},
	};
	struct netd *n = arg;

	if (r->news == KEEPER_RESTORED) {
		n->rules_restored++;
		netd_set_repeat(n, r->result.repeats);
	}
	n->rules_trouble = r->news == KEEPER_MISSING || r->news == KEEPER_GONE
			       ? news[r->news].what
			       : NULL;
	/* What stands there now, or why nothing does. */
	if (r->news != KEEPER_REPLACED)
		str_copy(
		    str_from(r->result.text[0] != '\0' ? r->result.text
						       : news[r->news].what),
		    n->rules, sizeof(n->rules));
	log_write(n->log, news[r->news].event, KV(reason, news[r->news].what),
	    KV(rules, n->rules));
	events_add(n->events, clock_wall_ms(), EVENT_RULES, "", "", "%s",
	    news[r->news].what);
}

/* ---- reload ---- */

static bool
part_differs(const struct netd_config *a, const struct netd_config *b,
    enum rules_part part)
{
	struct rules_how was_how = {.table = rules_wanted_table(a)};
	struct rules_how is_how = {.table = rules_wanted_table(b)};
	struct str none = {"", 0};
	struct buf was, is;
	bool differ;

	buf_init(&was, RULES_TEXT_MAX);
	buf_init(&is, RULES_TEXT_MAX);
	differ = !rules_print(a, part, &was_how, none, &was) ||
		 !rules_print(b, part, &is_how, none, &is) ||
		 !str_eq(buf_str(&was), buf_str(&is));
	buf_clear(&was);
	buf_clear(&is);
	return differ;
}

/* Rules are in the kernel already, and stay as they were. iptables' text has
 * all that nft's has, and bridge. */
static bool
rules_differ(const struct netd_config *a, const struct netd_config *b)
{
	return part_differs(a, b, RULES_IPTABLES) ||
	       part_differs(a, b, RULES_IP6TABLES);
}

/* The site's own sets hold the frozen while weir-netd enforces. */
static void
set_all_blocked(struct netd *n, bool on)
{
	struct netgate_host_info info;
	int64_t now = loop_now(n->loop);

	for (size_t pos = 0; netgate_host_each(n->gate, &pos, now, 0, &info);) {
		struct ip ip;

		if (info.frozen && ip_parse(str_from(info.source), &ip))
			set_blocked(n, &ip, on);
	}
}

void
netd_block_frozen(struct netd *n)
{
	if (n->conf->mode == NETD_ENFORCE)
		set_all_blocked(n, true);
}

static void
report_fixed(struct netd *n, const struct netd_config *conf)
{
	const char *option = options_changed_fixed(&netd_schema, n->conf, conf);

	/* Decoys work at once, but for what the site's filter drops. */
	if (option == NULL && rules_differ(n->conf, conf))
		option = (n->conf->decoy_ranges == NULL) !=
				 (conf->decoy_ranges == NULL)
			     ? "decoys"
			     : "policy";
	if (option == NULL && !n->can_start && conf->freeze_command != NULL)
		option = "freeze_command";
	if (option != NULL)
		log_write(n->log, LOG_EV_NETD_RELOAD_LATER, KV(option, option));
}

bool
netd_reload(void *arg, char *err, size_t cap)
{
	struct netd *n = arg;
	struct netd_config *conf = netd_config_load(n->config_file, err, cap);
	struct netd_config *old = n->conf;
	struct netgate_settings settings;

	n->reloaded_at = clock_wall_ms();
	n->reload_failed = conf == NULL;
	if (conf == NULL) {
		log_write(n->log, LOG_EV_NETD_RELOAD_FAILED, KV(error, err));
		return false;
	}
	report_fixed(n, conf);
	/* These are in force as they were at start: sets, tables and the names
	 * of hosts were made for them. */
	conf->fast_path_ms = old->fast_path_ms;
	conf->hosts_max = old->hosts_max;
	conf->held_max = old->held_max;
	conf->ipv6_prefix = old->ipv6_prefix;
	n->conf = conf;
	if (conf->mode != old->mode)
		set_all_blocked(n, conf->mode == NETD_ENFORCE);
	log_configure(n->log, (enum log_target)conf->log,
	    (enum log_level)conf->log_level);
	settings = netd_gate_settings(n);
	netgate_reload(n->gate, &settings, loop_now(n->loop));
	daemon_update_http(&n->daemon, &conf->http);
	netd_config_free(old);
	netd_set_timer(n);
	events_add(n->events, clock_wall_ms(), EVENT_RELOAD, "", "", "%s",
	    n->config_file);
	log_write(n->log, LOG_EV_NETD_RELOAD, KV(file, n->config_file));
	return true;
}

/* ---- signals and time ---- */

static void
on_stop(void *arg, int64_t now)
{
	struct netd *n = arg;

	(void)now;
	loop_stop(n->loop);
}

const struct daemon_ops netd_daemon_ops = {
    .reload = netd_reload,
    .stop = on_stop,
};

static void
on_timer(void *arg, int64_t now)
{
	struct netd *n = arg;

	netgate_run(n->gate, now, clock_wall_ms());
	netd_set_timer(n);
}

void
netd_hold_signals(bool on)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(on ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* ---- graphs ---- */

/* Gauges first, then the totals of the table below, in its order. */
static const struct trend_series series[] = {
    {"held_recipients", "Packets held", true},
    {"frozen_senders", "Hosts frozen", true},
    {"packets", "Packets seen", false},
    {"passed_recipients", "Packets passed", false},
    {"delayed_recipients", "Packets held", false},
    {"released_recipients", "Packets released", false},
    {"discarded_recipients", "Packets discarded", false},
    {"refused_recipients", "Packets refused", false},
    {"freezes", "Freezes", false},
    {0},
};

static const enum netgate_counter totals[] = {
    NETGATE_COUNT_PACKETS,
    NETGATE_COUNT_PASSED,
    NETGATE_COUNT_DELAYED,
    NETGATE_COUNT_RELEASED,
    NETGATE_COUNT_DISCARDED,
    NETGATE_COUNT_REFUSED,
    NETGATE_COUNT_FREEZES,
};

static void
look_at_gate(void *arg, uint64_t *values)
{
	const struct netd *n = arg;
	const uint64_t *counters = netgate_counters(n->gate);

	*values++ = netgate_held_count(n->gate);
	*values++ = netgate_frozen_count(n->gate);
	for (size_t i = 0; i < ARRAY_LEN(totals); i++)
		*values++ = counters[totals[i]];
}

/* ---- start and stop ---- */

void
netd_run_init(struct netd *n)
{
	loop_timer_init(&n->timer, n->loop, on_timer, n);
	loop_timer_init(&n->look, n->loop, on_look, n);
	loop_task_init(&n->store, n->loop, on_store, n);
	daemon_run_init(&n->daemon);
	_Static_assert(ARRAY_LEN(series) == ARRAY_LEN(totals) + 3,
	    "a series for each value");
	n->daemon.graph = graph_new(&(struct graph_source){
	    .loop = n->loop, .series = series, .look = look_at_gate, .arg = n});
	netd_hold_signals(false);
}

void
netd_run_clear(struct netd *n)
{
	if (n->daemon.hup == NULL)
		return;
	loop_timer_clear(&n->timer);
	loop_timer_clear(&n->look);
	loop_task_clear(&n->store);
	daemon_run_clear(&n->daemon);
}
