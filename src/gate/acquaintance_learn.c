/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Observations of incoming mail, which anybody may send. The rate is a
 * theoretical arrival time (GCRA): one number for each source, however long the
 * window. The shares are counted among the new ones of one window.
 */
#include "gate/acquaintances_internal.h"

#include <stdlib.h>
#include <string.h>

#define SHARE_LEAST 5

/* Takes one of the allowance for new ones. False: there is none. */
static bool
take_rate(struct acquaintance_source *s, const struct throttle_limit *rate)
{
	int64_t step, now = s->a->now;

	if (rate->count == 0)
		return true;
	step = rate->window_ms / rate->count;
	if (step < 1)
		step = 1;
	/* The window was longer once, or what was stored is not ours. */
	if (s->rate_at > now + rate->window_ms)
		s->rate_at = now + rate->window_ms;
	if (s->rate_at < now)
		s->rate_at = now;
	if (s->rate_at + step - now > rate->window_ms)
		return false;
	s->rate_at += step;
	return true;
}

static uint32_t
part(const struct throttle_limit *rate, uint32_t of)
{
	uint32_t n = rate->count / of;

	return n > SHARE_LEAST ? n : SHARE_LEAST;
}

/* They are in the order of time. */
static void
forget_recents(struct acquaintance_source *s, const struct throttle_limit *rate)
{
	int64_t since_s = (s->a->now - rate->window_ms) / 1000;
	uint32_t n = 0;

	while (n < s->recent_n && s->recents[n].learnt_s <= since_s)
		n++;
	if (n == 0 && s->recent_n == ACQUAINTANCES_MAX)
		n = 1;
	s->recent_n -= n;
	if (n > 0)
		memmove(s->recents, s->recents + n,
		    s->recent_n * sizeof(*s->recents));
}

static bool
is_share_used(struct acquaintance_source *s, struct acquaintance_origin origin,
    const struct throttle_limit *rate)
{
	uint32_t domain = 0, network = 0;

	if (rate->count == 0)
		return false;
	forget_recents(s, rate);
	for (uint32_t i = 0; i < s->recent_n; i++) {
		const struct acquaintance_origin *o = &s->recents[i].origin;

		domain += origin.domain != 0 && o->domain == origin.domain;
		network += origin.network != 0 && o->network == origin.network;
	}
	return domain >= part(rate, 2) || network >= part(rate, 2) ||
	       (domain >= part(rate, 5) && network >= part(rate, 5));
}

static void
remember_origin(struct acquaintance_source *s,
    const struct acquaintance_observation *observation)
{
	if (observation->rules.rate.count == 0)
		return;
	if (s->recent_n == s->recent_cap) {
		s->recent_cap = s->recent_cap > 0 ? s->recent_cap * 2 : 4;
		s->recents =
		    xrealloc(s->recents, s->recent_cap * sizeof(*s->recents));
	}
	s->recents[s->recent_n++] = (struct acquaintance_recent){
	    (int32_t)(s->a->now / 1000), observation->origin};
}

static void
refuse(struct acquaintance_source *s)
{
	counters_add(s->a->counters, COUNT_INBOUND_REFUSED, 1);
}

static void
tell_learnt(const struct acquaintance_source *s, unsigned why)
{
	if (!log_is_on(s->a->log, LOG_LEVEL_DEBUG))
		return;
	log_write(s->a->log, LOG_EV_GATE_LEARN, KV(sender, acquaintance_key(s)),
	    KV(reason, why == ACQUAINTANCE_BESIDE ? "beside" : "wrote"));
}

/* One that is known for another reason as well, takes no place here. */
static void
make_room(struct acquaintance_source *s, const struct acquaintance_rules *rules,
    uint32_t today)
{
	uint32_t n = acquaintance_set_expire(&s->set, ACQUAINTANCE_MET,
	    acquaintance_since(today, rules->expiry_ms));

	counters_add(s->a->counters, COUNT_INBOUND_EXPIRED, n);
	n = acquaintance_set_count(&s->set, ACQUAINTANCE_MET, 0);
	for (; n >= rules->set; n--) {
		acquaintance_set_drop_oldest(&s->set, ACQUAINTANCE_MET);
		counters_add(s->a->counters, COUNT_INBOUND_REPLACED, 1);
	}
}

static bool
is_there(struct acquaintance_source *s,
    const struct acquaintance_observation *observation, uint32_t today)
{
	struct acquaintance found;

	return acquaintance_set_find(
		   &s->set, observation->destination, &found) &&
	       ((found.why & ~ACQUAINTANCE_MET) != 0 ||
		   found.day >=
		       acquaintance_since(today, observation->rules.expiry_ms));
}

void
acquaintance_take_observation(struct acquaintance_source *s,
    const struct acquaintance_observation *observation, uint32_t day)
{
	struct acquaintance add = {observation->why, day};

	if (!is_there(s, observation, day)) {
		if (!acquaintance_may_begin(s) ||
		    is_share_used(
			s, observation->origin, &observation->rules.rate) ||
		    !take_rate(s, &observation->rules.rate)) {
			refuse(s);
			return;
		}
		remember_origin(s, observation);
		make_room(s, &observation->rules, day);
		counters_add(s->a->counters, COUNT_INBOUND_LEARNT, 1);
		tell_learnt(s, observation->why);
	}
	if (acquaintance_set_put(&s->set, observation->destination, add) !=
	    ACQUAINTANCE_SAME)
		acquaintance_touch(s);
}
