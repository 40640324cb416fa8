/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Freezes that several relays share: what the gate did here goes to the shared
 * server, what others did is carried out by the gate, durably, as if somebody
 * had done it by hand. A change that the disk does not take is tried again.
 */
#include "maild/maild_internal.h"

#include "maild/control_private.h"

#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHO_MAX (2 * FREEZES_TEXT_MAX + 16)

/* A change of another relay, on its way to the disk. */
struct maild_share_op {
	struct list entry;
	struct maild *m;
	char *sender;
};

static int64_t
on_wall(void *arg)
{
	(void)arg;
	return clock_wall_ms();
}

static void
op_free(struct maild_share_op *op)
{
	list_remove(&op->entry);
	free(op->sender);
	free(op);
}

static void
on_done(void *arg, int error, uint64_t count)
{
	struct maild_share_op *op = arg;
	struct maild *m = op->m;
	char *sender = op->sender;

	(void)count;
	op->sender = NULL;
	op_free(op);
	freezes_applied(m->freezes, sender, error == 0 || error == ENOENT);
	free(sender);
}

static struct maild_share_op *
op_new(struct maild *m, const char *sender)
{
	struct maild_share_op *op = xcalloc(1, sizeof(*op));

	op->m = m;
	op->sender = xstrdup(sender);
	list_append(&m->share_ops, &op->entry);
	return op;
}

static const char *
who_of(const struct freezes_change *c, char out[WHO_MAX])
{
	bool has_who = c->who != NULL && c->who[0] != '\0';

	snprintf(out, WHO_MAX, "%s%s%s", c->relay, has_who ? ": " : "",
	    has_who ? c->who : "");
	return out;
}

static void
freeze(struct maild *m, const struct freezes_change *c, const char *who)
{
	int64_t wall = clock_wall_ms();
	char note[GATE_NOTE_MAX];
	struct gate_freeze_order order = {
	    .sender = c->sender,
	    .who = who,
	    .note = note,
	    .for_ms = c->thaw_at == 0     ? 0
		      : c->thaw_at > wall ? c->thaw_at - wall
					  : 1,
	    .by_relay = true,
	};

	snprintf(note, sizeof(note), "%s: %s", c->relay, c->why);
	gate_freeze(m->gate, &order, loop_now(m->loop), wall, on_done,
	    op_new(m, c->sender));
}

static void
thaw(struct maild *m, const struct freezes_change *c, const char *who)
{
	static const enum gate_thaw then[] = {
	    [FREEZES_KEEP] = GATE_THAW_KEEP,
	    [FREEZES_RELEASE] = GATE_THAW_RELEASE,
	    [FREEZES_DISCARD] = GATE_THAW_DISCARD,
	};
	int64_t now = loop_now(m->loop), wall = clock_wall_ms();
	struct gate_sender_info info;

	/* Exactly this sender, not one that people might mean by it. */
	if (!gate_sender_find(m->gate, str_from(c->sender), now, wall, &info) ||
	    strcmp(info.sender, c->sender) != 0) {
		freezes_applied(m->freezes, c->sender, true);
		return;
	}
	gate_thaw(m->gate, c->sender, then[c->then], who, now, wall, on_done,
	    op_new(m, c->sender));
}

static void
on_change(void *arg, const struct freezes_change *c)
{
	struct maild *m = arg;
	char who[WHO_MAX];

	log_write(m->log,
	    c->is_frozen ? LOG_EV_SHARED_FREEZE : LOG_EV_SHARED_THAW,
	    KV(sender, c->sender), KV(by, who_of(c, who)));
	if (c->is_frozen)
		freeze(m, c, who);
	else
		thaw(m, c, who);
}

/* What is thrown away without a word is written back only when some relay
 * notices. */
static void
warn_of_eviction(
    struct maild *m, const char *server, const struct redis_link_memory *memory)
{
	if (memory->max == 0 || memory->policy[0] == '\0' ||
	    strcmp(memory->policy, "noeviction") == 0)
		return;
	log_write(m->log, LOG_EV_SHARED_EVICTION, KV(server, server),
	    KV(maxmemory_policy, memory->policy),
	    KV(reason, "a full server drops keys without an error"),
	    KV(advice, "set maxmemory-policy noeviction"));
}

static void
on_up(void *arg)
{
	struct maild *m = arg;
	struct freezes_info info;

	freezes_info(m->freezes, &info);
	log_write(m->log, LOG_EV_SHARED_UP, KV(server, m->first->conf->shared));
	events_add(m->events, clock_wall_ms(), EVENT_SHARED, "", "",
	    "the shared server %s answers", m->first->conf->shared);
	if (m->first->conf->shared_url.kind != REDIS_CLUSTER)
		warn_of_eviction(m, m->first->conf->shared, &info.memory);
	maild_alert_end(m, ALERT_SHARED_STATE, m->first->conf->shared);
	spends_start(m->spends);
	relays_start(m->relays);
	learns_start(m->learns);
	gate_share_again(m->gate, loop_now(m->loop));
}

static void
on_down(void *arg, const char *why)
{
	struct maild *m = arg;

	counters_add(&m->counters, COUNT_SHARED_OUTAGES, 1);
	log_write(m->log, LOG_EV_SHARED_DOWN,
	    KV(server, m->first->conf->shared), KV(reason, why));
	events_add(m->events, clock_wall_ms(), EVENT_SHARED, "", "",
	    "the shared server %s does not answer, and this relay works on "
	    "its own: %s",
	    m->first->conf->shared, why);
	maild_alert_raise(m, ALERT_SHARED_STATE, m->first->conf->shared, why);
}

/* What its senders have waiting is told to it anew. */
static void
on_node(void *arg, const struct redis_link_node *node)
{
	struct maild *m = arg;

	if (node->slots == 0) {
		log_write(
		    m->log, LOG_EV_SHARED_NODE_GONE, KV(server, node->at));
		maild_alert_end(m, ALERT_SHARED_STATE, node->at);
	} else if (node->is_up) {
		log_write(m->log, LOG_EV_SHARED_NODE_UP, KV(server, node->at));
		warn_of_eviction(m, node->at, &node->memory);
		maild_alert_end(m, ALERT_SHARED_STATE, node->at);
		gate_share_again(m->gate, loop_now(m->loop));
	} else {
		counters_add(&m->counters, COUNT_SHARED_OUTAGES, 1);
		log_write(m->log, LOG_EV_SHARED_NODE_DOWN, KV(server, node->at),
		    KV(reason, node->why));
		events_add(m->events, clock_wall_ms(), EVENT_SHARED, "", "",
		    "the server %s of the shared cluster does not answer, and "
		    "this relay decides by itself about its senders: %s",
		    node->at, node->why);
		maild_alert_raise(m, ALERT_SHARED_STATE, node->at, node->why);
	}
}

static const struct freezes_ops ops = {
    .on_change = on_change,
    .on_up = on_up,
    .on_down = on_down,
    .on_node = on_node,
    .wall = on_wall,
};

/* ---- what happens here ---- */

void
maild_share_frozen(struct maild *m, const struct gate_freeze *f)
{
	const char *note = f->note != NULL ? f->note : "by hand";

	if (m->freezes == NULL)
		return;
	freezes_note(m->freezes, &(struct freezes_change){.sender = f->sender,
				     .is_frozen = true,
				     .who = f->who,
				     .why = f->who != NULL ? note : f->reason,
				     .at = f->at,
				     .thaw_at = f->thaw_at});
}

void
maild_share_thawed(struct maild *m, const struct gate_thawed *t)
{
	static const enum freezes_then then[] = {
	    [GATE_THAW_KEEP] = FREEZES_KEEP,
	    [GATE_THAW_RELEASE] = FREEZES_RELEASE,
	    [GATE_THAW_DISCARD] = FREEZES_DISCARD,
	};

	if (m->freezes == NULL)
		return;
	freezes_note(m->freezes, &(struct freezes_change){.sender = t->sender,
				     .who = t->who,
				     .then = then[t->then],
				     .at = t->at});
}

void
maild_share_spent(
    struct maild *m, const char *sender, uint32_t recipients, uint32_t messages)
{
	if (m->spends != NULL)
		spends_note(m->spends, sender, recipients, messages);
}

static void
on_spent_elsewhere(
    void *arg, const char *sender, uint32_t recipients, uint32_t messages)
{
	struct maild *m = arg;

	counters_add(&m->counters, COUNT_SHARED_SPENT, recipients);
	gate_spent_elsewhere(
	    m->gate, sender, recipients, messages, loop_now(m->loop));
}

static void
load(struct maild *m)
{
	int64_t now = loop_now(m->loop), wall = clock_wall_ms();
	struct gate_sender_info s;
	size_t pos = 0;

	while (gate_sender_each(m->gate, &pos, now, wall, &s)) {
		if (s.frozen_at == 0)
			continue;
		freezes_load(m->freezes,
		    &(struct freezes_change){.sender = s.sender,
			.is_frozen = true,
			.why = s.freeze_note != NULL
				   ? s.freeze_note
				   : control_freeze_reason(s.t.freeze_reason),
			.at = s.frozen_at,
			.thaw_at = s.thaw_at});
	}
}

void
maild_share_start(struct maild *m)
{
	const struct maild_config *conf = m->gen->conf;
	struct freezes_settings settings = {
	    .link =
		{
		    .url = conf->shared_url,
		    .user = conf->shared_user,
		    .password = str_from(conf->shared_password),
		    .tls = conf->shared_tls,
		    .tls_name = conf->shared_tls_name,
		    .deadline_ms = conf->shared_timeout_ms,
		    .sentinel_password =
			str_from(conf->shared_sentinel_password),
		},
	    .secret = {conf->shared_secret, conf->shared_secret_size},
	    .prefix = conf->shared_prefix,
	    .relay = conf->hostname,
	};

	list_init(&m->share_ops);
	if (conf->shared == NULL)
		return;
	m->freezes = freezes_new(m->loop, &settings, &ops, m);
	m->spends = spends_new(m->loop, freezes_link(m->freezes),
	    freezes_seal(m->freezes), conf->shared_prefix, on_spent_elsewhere,
	    m);
	m->arbiter = arbiter_new(freezes_link(m->freezes),
	    freezes_seal(m->freezes), conf->shared_prefix, conf->hostname);
	maild_relays_start(m);
	maild_known_start(m);
	load(m);
	maild_share_reload(m);
}

void
maild_share_reload(struct maild *m)
{
	if (m->arbiter != NULL)
		gate_share(m->gate, &arbiter_ops, m->arbiter,
		    m->gen->conf->shared_fail == MAILD_SHARED_TEMPFAIL);
}

void
maild_share_stop(struct maild *m)
{
	if (m->gate != NULL)
		gate_share(m->gate, NULL, NULL, false);
	freezes_free(m->freezes);
	maild_known_stop(m);
	spends_free(m->spends);
	relays_free(m->relays);
	arbiter_free(m->arbiter);
	m->arbiter = NULL;
	m->freezes = NULL;
	m->spends = NULL;
	m->relays = NULL;
}

void
maild_share_clear(struct maild *m)
{
	maild_known_clear(m);
	if (m->share_ops.next == NULL) /* the start did not come so far */
		return;
	while (!list_is_empty(&m->share_ops))
		op_free(
		    LIST_ITEM(m->share_ops.next, struct maild_share_op, entry));
}

bool
maild_on_shared(void *arg, struct freezes_info *out)
{
	struct maild *m = arg;

	if (m->freezes == NULL)
		return false;
	freezes_info(m->freezes, out);
	return true;
}
