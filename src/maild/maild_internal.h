/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's one context, shared by maild.c (start and stop) and maild_run.c
 * (signals, timers, reload, drain).
 */
#ifndef MAILD_MAILD_INTERNAL_H
#define MAILD_MAILD_INTERNAL_H

#include "alert/courier.h"
#include "control/daemon.h"
#include "delivery/mta_hold.h"
#include "delivery/quarantine.h"
#include "maild/control.h"
#include "maild/maild.h"
#include "maild/maild_config.h"
#include "net/hook.h"
#include "os/tap.h"
#include "policyd/policyd.h"
#include "share/arbiter.h"
#include "share/freezes.h"
#include "share/learns.h"
#include "share/relays.h"
#include "share/spends.h"

/* One configuration and what the relay is told of it. An old one lives until
 * the last session that began with it has ended. */
struct maild_gen {
	struct list entry;
	struct maild_config *conf;
	struct relay_settings relay;
};

/* A bound listener, and what its sessions are told. */
struct maild_listener {
	struct maild *maild;
	char *name;
	struct relay_listen listen;
	const struct peer_rules *peers; /* of milter and policy service */
};

struct maild {
	const char *config_file;
	const char *page_dir; /* NULL: the page that is built in */
	struct maild_gen *gen;
	struct maild_gen *first; /* of the start: what no reload changes */
	struct list retired;
	struct log *log;
	struct tap *tap;
	struct counters counters;
	struct events *events;
	struct problems *problems;
	struct loop *loop;
	struct daemon daemon;
	struct spool *spool;
	struct gate *gate;
	struct nexthop *nexthop, *rest_hop; /* rest_hop: milter_next_hop */
	struct delivery *delivery;
	struct quarantine *quarantine;
	struct let_go *let_go;
	struct mta_hold *mta_hold;
	struct relay *relay;
	struct hook *hook;
	struct freezes *freezes; /* NULL: the relay stands alone */
	struct spends *spends;   /* the same */
	struct arbiter *arbiter; /* the same */
	struct relays *relays;   /* the same */
	struct learns *learns;   /* the same */
	struct list known_ops;
	struct loop_timer known_timer;
	struct list share_ops; /* changes of other relays, under way */
	struct alert *alert;
	struct courier *courier;
	struct list alerts; /* that wait for what the spool knows */
	size_t alert_count; /* of these */
	struct event_follower alert_follower;
	struct loop_timer alert_timer, watch_timer;
	struct maild_watch *watch;
	char alert_from[256];      /* where no postmaster is configured */
	struct milter *milter;     /* NULL: none is configured */
	struct maild_probe *probe; /* of the next hops; NULL: none */
	struct policyd *policyd;
	struct listener **listeners;  /* NULL: the milter's */
	struct maild_listener *bound; /* one for each listener, until the end */
	size_t bound_count;
	size_t listener_count;
	struct control_parts parts; /* what commands and metrics tell of */
	struct decider *decider;    /* NULL: no http section */

	struct loop_watch *spool_watch;
	struct loop_timer gate_timer, sweep, drain_deadline;
	struct loop_timer cert_timer;
	bool is_clean;          /* the loop ended as it was told to */
	int status;             /* of the exit */
	uint64_t sessions_peak; /* since memory was given back last */
	unsigned gives_back;    /* sweeps that are to give some back yet */
};

struct maild_gen *maild_gen_new(struct maild_config *conf); /* takes it */
void maild_gen_free(struct maild_gen *g);
/* addresses: where milter_next_hop comes from, which no reload changes. */
struct nexthop_settings maild_rest_hop_settings(
    const struct maild_config *conf, const struct maild_config *addresses);
struct delivery_settings maild_delivery_settings(
    struct maild *m, const struct maild_config *conf);
void maild_set_weights(struct maild *m, const struct maild_config *conf);
/* Series for all that the configuration in force names. */
void maild_name_counters(struct maild *m);

/* maild_limits.c */
/* Large messages that are written to files at once, each with a descriptor. */
#define MAILD_FILES_MAX 1000
/* Raises the limit of descriptors to what the configuration needs, or lowers
 * sessions_max in g to what there is and says so in the log. False: hardly a
 * session could be served. */
MUST_CHECK bool maild_fit_descriptors(struct maild_gen *g, struct log *log);

/* maild_http.c */
void maild_http_start(struct maild *m);

struct graph *maild_graph_new(struct maild *m);

/* maild_tls.c */
/* Tells the listeners what the configuration in force says. */
void maild_listeners_update(struct maild *m);
void maild_listeners_free(struct maild *m);
/* The certificates in use; false past the last. */
bool maild_on_certificate(void *arg, size_t i, struct tls_cert *out);
/* A warning for each that expires soon; arms itself for tomorrow. */
void maild_on_cert_timer(void *arg, int64_t now);

/* maild_run.c */
void maild_run_init(struct maild *m);
void maild_run_clear(struct maild *m);
void maild_free_retired(struct maild *m, bool all);
/* trace_clients, as this configuration has it. */
void maild_set_tap(struct maild *m, const struct maild_config *conf);
extern const struct daemon_ops maild_daemon_ops;
extern const struct gate_callbacks maild_gate_callbacks;
extern const struct quarantine_callbacks maild_quarantine_callbacks;
void maild_on_warning(void *arg, const char *text); /* maild_warn_fn */
bool maild_on_reload(void *arg, char *err, size_t err_cap);
bool maild_on_show_config(void *arg, struct buf *out);
const char *maild_on_mode(void *arg);

/* ---- maild_share.c ---- */

/* After gate_load: it tells what is frozen. */
void maild_share_start(struct maild *m);
void maild_share_reload(struct maild *m); /* new options */
void maild_share_stop(struct maild *m);   /* before the gate goes */
void maild_share_clear(struct maild *m);  /* after it */
/* Something was done here, durably, whether or not another relay began it. */
void maild_share_frozen(struct maild *m, const struct gate_freeze *freeze);
void maild_share_spent(struct maild *m, const char *sender, uint32_t recipients,
    uint32_t messages);
void maild_share_thawed(struct maild *m, const struct gate_thawed *thawed);
bool maild_on_shared(void *arg, struct freezes_info *out);

/* ---- maild_known.c ---- */

void maild_known_start(struct maild *m); /* of maild_share_start */
void maild_known_stop(struct maild *m);  /* of maild_share_stop */
void maild_known_clear(struct maild *m); /* of maild_share_clear */
/* Of gate_callbacks. */
void maild_known(struct maild *m, const struct gate_known_news *news);
bool maild_met(struct maild *m, const struct gate_known_news *news);
void maild_let_go(struct maild *m, const char *sender, uint64_t ticket);
void maild_forgotten(struct maild *m, const char *sender);

/* ---- maild_relays.c ---- */

void maild_relays_start(struct maild *m); /* of maild_share_start */
bool maild_on_relays(void *arg, struct control_relays *out);
extern const struct control_site maild_site;

/* ---- maild_alert.c ---- */

/* With what the spool has of before. 0, or errno. */
MUST_CHECK int maild_alert_init(struct maild *m);
/* The loop is about to run, or the configuration has changed: who is frozen is
 * frozen in the alerts as well. */
void maild_alert_start(struct maild *m);
void maild_alert_reload(struct maild *m);
/* A sender was frozen: freeze_command, with what its held mail tells. */
void maild_alert(struct maild *m, const struct gate_freeze *freeze);
/* Of the program or the machine; subject and detail in words. */
void maild_alert_raise(struct maild *m, enum alert_event event,
    const char *subject, const char *detail);
void maild_alert_end(
    struct maild *m, enum alert_event event, const char *subject);
/* The turn of a decision's destination has come (decide_turn_fn). */
void maild_alert_turn(
    void *arg, const char *source, const char *ticket, const char *destination);
/* Before the spool goes: what waits for an answer is given up. clean: the
 * daemon was told to stop. */
void maild_alert_clear(struct maild *m, bool clean);

/* ---- maild_watch.c ---- */

/* The disk and the next hops, every two seconds. */
void maild_watch_start(struct maild *m);
void maild_watch_stop(struct maild *m);
/* The certificates, once a day. */
void maild_watch_certificates(struct maild *m);

#endif
