/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Freeze and thaw. A frozen host is frozen for TCP and UDP alike: what waits is
 * dropped (or rejected), what comes is refused before the throttle sees it. The
 * throttle tells of a freeze from within a request; the work is done when that
 * has returned.
 */
#include "netgate/internal.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const reason_names[] = {
    [THROTTLE_FREEZE_NONE] = "by hand",
    [THROTTLE_FREEZE_LENGTH] = "queue length",
    [THROTTLE_FREEZE_GROWTH] = "queue growth",
    [THROTTLE_FREEZE_HAND] = "by hand",
};

void
on_source_freeze(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason)
{
	struct host *h = throttle_source_user(src);

	(void)arg;
	if (h == NULL)
		return;
	h->freeze_due = true;
	h->throttle_reason = reason;
}

static bool
match_host(void *arg, uint64_t destination, uint64_t ticket)
{
	struct netgate *g = ((void **)arg)[0];
	struct held *held = held_find(g, ticket);

	(void)destination;
	return held != NULL && held->a.host == ((void **)arg)[1];
}

static bool
match_all(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)arg;
	(void)destination;
	(void)ticket;
	return true;
}

static bool
match_ticket(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)destination;
	return ticket == *(uint64_t *)arg;
}

void
freeze_unqueue(struct netgate *g, struct held *held)
{
	struct host *h = held->a.host;
	enum netgate_protocol p = held->a.protocol;

	if (held->a.stage == STAGE_SOURCE && h->src[p] != NULL)
		throttle_remove(
		    g->throttle[p], h->src[p], match_ticket, &held->ticket, 1);
	else if (held->a.stage == STAGE_AGGREGATE && g->aggregate != NULL)
		throttle_remove(g->aggregate, g->aggregate_source, match_ticket,
		    &held->ticket, 1);
}

void
freeze_end(struct netgate *g, struct held *held, enum flush how)
{
	struct host *h = held->a.host;
	enum netgate_protocol p = held->a.protocol;

	switch (how) {
	case FLUSH_RELEASE:
		if (!held->a.is_lost)
			count_packets(g, NETGATE_COUNT_RELEASED, &held->a);
		if (h->src[p] != NULL)
			throttle_learn(g->throttle[p], h->src[p],
			    held->a.destination, g->now);
		attempt_accept(g, &held->a);
		break;
	case FLUSH_REFUSE:
		if (!held->a.is_lost)
			count_packets(g, NETGATE_COUNT_DISCARDED, &held->a);
		attempt_turn_away(g, &held->a);
		break;
	case FLUSH_DROP:
		if (!held->a.is_lost)
			count_packets(g, NETGATE_COUNT_DISCARDED, &held->a);
		attempt_drop(g, &held->a);
		break;
	}
	held_free(g, held);
}

uint64_t
freeze_flush(struct netgate *g, struct host *h, enum flush how)
{
	void *who[2] = {g, h};
	uint64_t n = 0;

	if (g->aggregate != NULL && h->held_count > 0)
		throttle_remove(
		    g->aggregate, g->aggregate_source, match_host, who, 0);
	for (int i = 0; i < NETGATE_PROTOCOLS; i++) {
		if (h->src[i] != NULL)
			throttle_remove(
			    g->throttle[i], h->src[i], match_all, NULL, 0);
	}
	while (!list_is_empty(&h->held)) {
		freeze_end(g, LIST_ITEM(h->held.next, struct held, entry), how);
		n++;
	}
	list_remove(&h->credit_entry);
	if (h->claimed != NULL)
		n += freeze_flush(g, h->claimed, how);
	return n;
}

/* Entries of the throttle and what waits for credit; copies that were counted
 * are in it, packets behind the throttle are not. */
static uint32_t
queue_length(struct netgate *g, struct host *h)
{
	uint32_t n = h->credit_held_count;
	struct throttle_source_info info;

	for (int i = 0; i < NETGATE_PROTOCOLS; i++) {
		if (h->src[i] == NULL)
			continue;
		throttle_source_info(g->throttle[i], h->src[i], g->now, &info);
		n += info.queue_length;
	}
	return n;
}

void
freeze_set_thaw(struct netgate *g, struct host *h)
{
	h->thaw_due = h->policy->thaw_after_ms > 0
			  ? h->frozen_since + h->policy->thaw_after_ms
			  : INT64_MAX;
	if (h->thaw_due < g->slow_due)
		g->slow_due = h->thaw_due;
}

static void
set_frozen(struct netgate *g, struct host *h, const char *reason)
{
	h->is_frozen = true;
	h->freeze_reason = xstrdup(reason);
	h->frozen_at = g->wall;
	h->frozen_since = g->now;
	g->frozen_count++;
	list_append(&g->frozen_hosts, &h->frozen_entry);
	freeze_set_thaw(g, h);
}

/* A clock that was set must not keep a host frozen for longer, nor shorter. */
void
freeze_restore(
    struct netgate *g, struct host *h, const char *reason, int64_t frozen_at)
{
	int64_t age = g->wall - frozen_at;

	set_frozen(g, h, reason);
	h->frozen_at = frozen_at;
	if (age > 0)
		h->frozen_since -= age;
	freeze_set_thaw(g, h);
}

void
freeze_host(struct netgate *g, struct host *h, const char *reason)
{
	struct netgate_freeze f;

	if (h->is_frozen)
		return;
	f = (struct netgate_freeze){
	    .source = h->ip,
	    .text = h->text,
	    .policy = h->policy->name,
	    .reason = reason,
	    .queue_length = queue_length(g, h),
	    .freeze_at = h->policy->throttle.freeze_at,
	    .at = g->wall,
	};
	set_frozen(g, h, reason);
	host_fast_clear(g, h);
	(void)freeze_flush(g, h, FLUSH_REFUSE);
	count(g, NETGATE_COUNT_FREEZES);
	log_write(g->log, LOG_EV_NETGATE_FREEZE, KV(sender, h->text),
	    KV(policy, h->policy->name), KV(reason, reason),
	    KV(queue_length, f.queue_length));
	g->ops->on_freeze(g->arg, &f);
	g->ops->on_state(g->arg);
}

void
freeze_check(struct netgate *g, struct host *h)
{
	if (!h->freeze_due)
		return;
	h->freeze_due = false;
	freeze_host(g, h, reason_names[h->throttle_reason]);
}

void
freeze_check_length(struct netgate *g, struct host *h)
{
	uint32_t freeze_at = h->policy->throttle.freeze_at;

	if (freeze_at == 0 || h->never_block || h->is_frozen ||
	    queue_length(g, h) + 1 < freeze_at)
		return;
	freeze_host(g, h, reason_names[THROTTLE_FREEZE_LENGTH]);
}

void
thaw_host(struct netgate *g, struct host *h, const char *who)
{
	if (!h->is_frozen)
		return;
	h->is_frozen = false;
	free(h->freeze_reason);
	h->freeze_reason = NULL;
	h->thaw_due = INT64_MAX;
	h->last_seen = g->now;
	g->frozen_count--;
	list_remove(&h->frozen_entry);
	for (int i = 0; i < NETGATE_PROTOCOLS; i++) {
		if (h->src[i] != NULL)
			throttle_thaw(g->throttle[i], h->src[i], g->now);
	}
	log_write(g->log, LOG_EV_NETGATE_THAW, KV(sender, h->text));
	g->ops->on_thaw(g->arg, &h->ip, who);
	g->ops->on_state(g->arg);
}
