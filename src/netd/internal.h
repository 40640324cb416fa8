/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's one context, shared by netd.c (start and stop), run.c (packets,
 * signals, reload) and commands.c (the control socket).
 */
#ifndef NETD_INTERNAL_H
#define NETD_INTERNAL_H

#include "control/daemon.h"
#include "net/hook.h"
#include "netd/keeper.h"
#include "netd/netd.h"
#include "netd/netd_config.h"
#include "netd/state.h"
#include "netgate/netgate.h"
#include "nfq/neigh.h"
#include "nfq/nfqueue.h"
#include "nfq/nfset.h"

struct netd {
	const char *config_file;
	struct netd_config *conf;
	struct log *log;
	struct events *events;
	struct loop *loop;
	struct daemon daemon;
	struct keeper *keeper;
	struct state *state;
	struct hook *hook;
	struct netgate *gate;
	struct nfqueue *queue; /* packets that ask */
	/* Packets to learn from; NULL: none. */
	struct nfqueue *answers, *contacts;
	struct neigh *neigh; /* NULL: packets of this host alone */
	struct nfset *sets;  /* NULL: not needed */
	struct nfset *ipset; /* NULL: not needed */
	struct nfset_name known4, known6, freeze4, freeze6;
	enum rules_fast fast;
	bool has_seccomp;
	bool can_reject; /* the rules that were made at the start do it */
	bool can_start;  /* programs: a freeze_command */
	char rules[APPLY_TEXT_MAX]; /* what the keeper chose */
	uint64_t rules_restored;
	const char *rules_trouble; /* static; NULL: they stand and are kept */
	int64_t started_at, reloaded_at; /* wall ms; 0: no reload yet */
	bool reload_failed;              /* the last one */
	uint64_t malformed;

	struct loop_timer timer, look;
	struct loop_task store;
};

struct netgate_settings netd_gate_settings(const struct netd *n);

/* ---- run.c ---- */

extern const struct netgate_ops netd_gate_ops;
extern const struct nfqueue_ops netd_queue_ops;
extern const struct nfqueue_ops netd_answers_ops, netd_contacts_ops;
/* A signal that comes during the start waits for the loop, since the rules
 * would outlive a process that it ended. */
void netd_hold_signals(bool on);
void netd_run_init(struct netd *n);
void netd_run_clear(struct netd *n);
/* Whether the rules want a packet that passes to come round again. */
void netd_set_repeat(struct netd *n, bool repeats);
void netd_on_keeper(void *arg, const struct keeper_report *report);
extern const struct daemon_ops netd_daemon_ops;
bool netd_reload(void *arg, char *err, size_t cap); /* arg: struct netd */
void netd_set_timer(struct netd *n);
/* What the kernel has thrown away waits no more. */
void netd_look_for_lost(struct netd *n, int64_t now);
void netd_block_frozen(struct netd *n); /* after a start */

/* ---- commands.c ---- */

void netd_control_start(struct netd *n);

/* ---- http.c ---- */

void netd_http_start(struct netd *n);

#endif
