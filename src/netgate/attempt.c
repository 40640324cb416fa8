/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way of one attempt through the stages. In observe mode every stage
 * decides as it would, nothing waits, and each packet is accepted at once.
 */
#include "netgate/internal.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdlib.h>

#define CONTACTED_MS                                            \
	(3600 * INT64_C(1000)) /* a first contact is one for so \
				   long */
#define SPARED_LOG_MS 60000

enum outcome { OUTCOME_PASS, OUTCOME_WAIT, OUTCOME_REFUSE };

static void
verdict(struct netgate *g, const struct attempt *a, enum netgate_verdict v)
{
	if (!a->is_lost)
		g->ops->on_verdict(g->arg, a->packet_id, v);
	for (uint8_t i = 0; i < a->more_count; i++)
		g->ops->on_verdict(g->arg, a->more[i], v);
}

void
attempt_drop(struct netgate *g, const struct attempt *a)
{
	verdict(g, a, NETGATE_DROP);
}

void
attempt_turn_away(struct netgate *g, const struct attempt *a)
{
	bool reject = a->host->policy->when_frozen == NETPOLICY_REJECT;

	verdict(g, a, reject ? NETGATE_REJECT : NETGATE_DROP);
}

void
attempt_refuse(struct netgate *g, const struct attempt *a, bool frozen)
{
	if (g->settings.observe) {
		if (!a->is_lost)
			count(g, NETGATE_COUNT_OBSERVED);
		verdict(g, a, NETGATE_ACCEPT);
		return;
	}
	count_packets(g, NETGATE_COUNT_REFUSED, a);
	if (frozen)
		attempt_turn_away(g, a);
	else
		verdict(g, a, NETGATE_DROP);
}

void
attempt_accept(struct netgate *g, const struct attempt *a)
{
	host_fast_add(g, a);
	verdict(g, a, a->waited ? NETGATE_RELEASE : NETGATE_ACCEPT);
}

/* Where it waits; NULL: there is no room. In observe mode its place does, so
 * that what follows of its connection is known. */
static struct held *
make_wait(struct netgate *g, struct attempt *a, struct held *held)
{
	if (held != NULL) {
		held_set_stage(held, a->stage);
		return held;
	}
	held = held_new(g, a);
	if (held != NULL && g->settings.observe)
		held_set_lost(g, held, true);
	else if (held != NULL)
		count(g, NETGATE_COUNT_DELAYED);
	return held;
}

static enum outcome
pass_credit(struct netgate *g, struct attempt *a, struct held **held)
{
	struct host *h = a->host;
	uint32_t freeze_at = h->policy->throttle.freeze_at;
	int64_t due;

	if (h->policy->credit == NETPOLICY_CREDIT_OFF ||
	    known_has(&h->contacted, a->destination, g->now))
		return OUTCOME_PASS;
	/* In order: what waits goes first. */
	if ((h->credit_held_count == 0 || *held != NULL) &&
	    credit_take(&h->credit, g->now)) {
		host_remember(
		    g, &h->contacted, a->destination, g->now + CONTACTED_MS);
		host_remember(
		    g, &h->pending, a->destination, g->now + CONTACTED_MS);
		return OUTCOME_PASS;
	}
	if (*held != NULL)
		return OUTCOME_WAIT;
	if (g->settings.observe ||
	    h->credit_held_count >= h->policy->throttle.queue_max ||
	    (*held = make_wait(g, a, NULL)) == NULL)
		return OUTCOME_REFUSE;
	list_append(&h->credit_held, &(*held)->credit);
	if (list_is_empty(&h->credit_entry))
		list_append(&g->credit_hosts, &h->credit_entry);
	due = credit_due(&h->credit, g->now);
	if (due < g->slow_due)
		g->slow_due = due;
	if (++h->credit_held_count >= freeze_at && freeze_at > 0 &&
	    !h->never_block) {
		h->freeze_due = true;
		h->throttle_reason = THROTTLE_FREEZE_LENGTH;
	}
	return OUTCOME_WAIT;
}

static const char *
why_spared(const struct host *h)
{
	return h->owner != NULL ? "its source address may be forged"
				: "it may never be frozen";
}

static void
report(struct netgate *g, const struct host *h, enum netgate_notice_kind kind,
    const struct ip *dst)
{
	g->ops->on_notice(g->arg, &(struct netgate_notice){.kind = kind,
				      .text = h->text,
				      .why = why_spared(h),
				      .dst = *dst,
				      .at = g->wall});
}

/* One line about the same in so long. */
static bool
is_reported(struct netgate *g, int64_t *at)
{
	if (*at != INT64_MIN && g->now - *at < SPARED_LOG_MS)
		return true;
	*at = g->now;
	return false;
}

static void
report_spared(struct netgate *g, struct host *h)
{
	static const struct ip none = {.family = IP_NONE};

	count(g, h->owner != NULL ? NETGATE_COUNT_CLAIMED_FULL
				  : NETGATE_COUNT_SPARED);
	if (is_reported(g, &h->spared_at))
		return;
	log_write(g->log, LOG_EV_NETGATE_SPARE, KV(sender, h->text),
	    KV(policy, h->policy->name), KV(reason, "queue length"),
	    KV(not_frozen, why_spared(h)));
	report(g, h, NETGATE_NOTICE_FULL, &none);
}

bool
attempt_touch_decoy(struct netgate *g, const struct attempt *a)
{
	struct host *h = a->host;

	count(g, NETGATE_COUNT_DECOYS);
	if (!h->never_block) {
		log_write(g->log, LOG_EV_NETGATE_DECOY, KV(sender, h->text),
		    KV(decoy, &a->dst));
		freeze_host(g, h, "decoy");
		attempt_refuse(g, a, true);
		return true;
	}
	if (is_reported(g, &h->decoy_at))
		return false;
	log_write(g->log, LOG_EV_NETGATE_DECOY, KV(sender, h->text),
	    KV(decoy, &a->dst), KV(not_frozen, why_spared(h)));
	report(g, h, NETGATE_NOTICE_DECOY, &a->dst);
	return false;
}

/* Reserves, then commits with the ticket of where it waits. */
static enum outcome
ask(struct netgate *g, struct throttle *t, struct throttle_source *src,
    uint64_t destination, struct attempt *a, struct held **held)
{
	struct throttle_reservation r;
	uint64_t ticket = 0;

	throttle_reserve(t, src, destination, g->now, &r);
	if (r.verdict == THROTTLE_REFUSE) {
		throttle_cancel(t, src, &r, g->now);
		if (r.reason == THROTTLE_FULL && a->host->never_block)
			report_spared(g, a->host);
		return OUTCOME_REFUSE;
	}
	if (r.verdict == THROTTLE_HOLD) {
		*held = make_wait(g, a, *held);
		if (*held == NULL && !g->settings.observe) {
			throttle_cancel(t, src, &r, g->now);
			return OUTCOME_REFUSE;
		}
		if (*held != NULL)
			ticket = (*held)->ticket;
	}
	throttle_commit(t, src, &r, ticket, g->now);
	a->known = r.verdict == THROTTLE_PASS && r.reason == THROTTLE_KNOWN;
	return r.verdict == THROTTLE_PASS ? OUTCOME_PASS : OUTCOME_WAIT;
}

static enum outcome
pass_source(struct netgate *g, struct attempt *a, struct held **held)
{
	struct throttle_source *src;

	if (a->host->policy->credit == NETPOLICY_CREDIT_ALONE)
		return OUTCOME_PASS;
	src = host_source(g, a->host, a->protocol);
	return ask(g, g->throttle[a->protocol], src, a->destination, a, held);
}

/* Known to its host since it was let go there, and waiting here: a second
 * connection must not overtake the first, or two at once would evade the
 * limit. */
static bool
waits_for_aggregate(const struct attempt *a)
{
	struct list *e;

	if (a->host->aggregate_held_count == 0)
		return false;
	list_each (e, &a->host->held) {
		const struct held *held = LIST_ITEM(e, struct held, entry);

		if (held->a.stage == STAGE_AGGREGATE &&
		    held->a.destination == a->destination)
			return true;
	}
	return false;
}

static enum outcome
pass_aggregate(struct netgate *g, struct attempt *a, struct held **held)
{
	uint64_t pair[2] = {a->destination, (uintptr_t)a->host};

	if (g->aggregate == NULL || (a->known && !waits_for_aggregate(a)))
		return OUTCOME_PASS;
	return ask(g, g->aggregate, g->aggregate_source,
	    hash_bytes(pair, sizeof(pair), g->seed), a, held);
}

static enum outcome
pass_stage(struct netgate *g, struct attempt *a, struct held **held)
{
	switch (a->stage) {
	case STAGE_CREDIT:
		return pass_credit(g, a, held);
	case STAGE_SOURCE:
		return pass_source(g, a, held);
	case STAGE_AGGREGATE:
		return pass_aggregate(g, a, held);
	case STAGE_DONE:
		break;
	}
	return OUTCOME_PASS;
}

/* In observe mode it goes on its way. */
static void
end_wait(struct netgate *g, struct attempt *a)
{
	if (!g->settings.observe)
		return;
	count(g, NETGATE_COUNT_OBSERVED);
	verdict(g, a, NETGATE_ACCEPT);
}

void
attempt_advance(struct netgate *g, struct attempt *a, struct held *held)
{
	struct host *h = a->host;
	struct held *was = held;

	for (; a->stage != STAGE_DONE; a->stage++) {
		switch (pass_stage(g, a, &held)) {
		case OUTCOME_PASS:
			continue;
		case OUTCOME_WAIT:
			if (held != was || held == NULL)
				end_wait(g, a);
			freeze_check(g, h);
			return;
		case OUTCOME_REFUSE:
			attempt_refuse(g, a, false);
			if (held != NULL)
				held_free(g, held);
			freeze_check(g, h);
			return;
		}
	}
	if (held != NULL) {
		if (!a->is_lost)
			count_packets(g, NETGATE_COUNT_RELEASED, a);
	} else {
		count(g, NETGATE_COUNT_PASSED);
		if (a->known)
			count(g, NETGATE_COUNT_KNOWN);
	}
	attempt_accept(g, a);
	if (held != NULL)
		held_free(g, held);
}

/* The stage that it waited in let it go: on with the next. */
void
on_source_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct netgate *g = arg;
	struct held *held = held_find(g, ticket);
	struct attempt a;

	(void)src;
	(void)destination;
	if (held == NULL)
		return; /* a copy that was counted, or observe mode */
	a = held->a;
	a.stage++;
	attempt_advance(g, &a, held);
}

void
attempt_drain_credit(struct netgate *g, struct host *h)
{
	while (!list_is_empty(&h->credit_held) &&
	       credit_due(&h->credit, g->now) <= g->now) {
		struct held *held =
		    LIST_ITEM(h->credit_held.next, struct held, credit);
		struct attempt a = held->a;

		list_remove(&held->credit);
		h->credit_held_count--;
		attempt_advance(g, &a, held);
	}
	if (list_is_empty(&h->credit_held))
		list_remove(&h->credit_entry);
}
