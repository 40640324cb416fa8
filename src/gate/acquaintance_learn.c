/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Observations of incoming mail, which anybody may send. The rate is a
 * theoretical arrival time (GCRA): one number for each source, however long the
 * window. The shares are counted among the new ones of one window.
 *
 * Where relays share it, one that this relay would learn is asked about first,
 * and what others learnt takes of the same allowance here.
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

/* By its hash here, or by its name at all relays; destination is that which
 * the set has, or is to have. */
static bool
is_there(struct acquaintance_source *s,
    const struct acquaintance_observation *o, uint32_t today,
    struct acquaintance *found, uint64_t *destination)
{
	uint32_t since = acquaintance_since(today, o->rules.expiry_ms);
	const uint64_t names[] = {o->destination, o->site};

	*destination = o->destination;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i] == 0 ||
		    !acquaintance_set_find(&s->set, names[i], found) ||
		    ((found->why & ~ACQUAINTANCE_MET) == 0 &&
			found->day < since))
			continue;
		*destination = names[i];
		return true;
	}
	return false;
}

/* Within the bounds of this relay, from which a new one is taken. */
static bool
may_enter(struct acquaintance_source *s,
    const struct acquaintance_observation *observation)
{
	const struct throttle_limit *rate = &observation->rules.rate;

	if (!acquaintance_may_begin(s))
		return false;
	switch (observation->told) {
	case ACQUAINTANCE_GRANTED: /* it was taken when it was seen */
		return true;
	case ACQUAINTANCE_COUNTED:
		(void)take_rate(s, rate);
		break;
	case ACQUAINTANCE_SEEN:
	case ACQUAINTANCE_TOLD:
		if (is_share_used(s, observation->origin, rate) ||
		    !take_rate(s, rate))
			return false;
		break;
	}
	remember_origin(s, observation);
	return true;
}

static bool
is_asked_about(struct acquaintance_source *s,
    const struct acquaintance_observation *observation, uint32_t day)
{
	const struct acquaintances_settings *settings = &s->a->settings;

	return observation->told == ACQUAINTANCE_SEEN &&
	       observation->site != 0 && settings->on_met != NULL &&
	       settings->on_met(settings->arg, s->key, observation, day);
}

static bool
is_ours(const struct acquaintance_observation *observation)
{
	return observation->told == ACQUAINTANCE_SEEN ||
	       observation->told == ACQUAINTANCE_GRANTED;
}

#define TELL_DAYS 7

/* Once a week, and not of all on one day: its day at the others stays so near.
 */
static bool
is_week_over(const struct acquaintance_observation *observation, uint32_t was,
    uint32_t day)
{
	int64_t half = observation->rules.expiry_ms / ACQUAINTANCE_DAY_MS / 2;
	uint64_t at = observation->site % TELL_DAYS;
	uint32_t days = TELL_DAYS;

	if (half < TELL_DAYS)
		days = half > 1 ? (uint32_t)half : 1;
	return (at + was) / days != (at + day) / days;
}

static void
tell_again(struct acquaintance_source *s,
    const struct acquaintance_observation *observation,
    const struct acquaintance *was, uint32_t day)
{
	const struct acquaintances_settings *settings = &s->a->settings;

	if (observation->told == ACQUAINTANCE_SEEN && observation->site != 0 &&
	    settings->on_new != NULL &&
	    ((observation->why & ~was->why) != 0 ||
		is_week_over(observation, was->day, day)))
		settings->on_new(settings->arg, s->key, observation->site,
		    observation->why, day);
}

void
acquaintance_take_observation(struct acquaintance_source *s,
    const struct acquaintance_observation *observation, uint32_t day)
{
	struct acquaintance add = {observation->why, day}, was;
	uint64_t destination;
	bool is_known = is_there(s, observation, day, &was, &destination);

	if (!is_known) {
		if (!may_enter(s, observation)) {
			refuse(s);
			return;
		}
		if (is_asked_about(s, observation, day))
			return;
		make_room(s, &observation->rules, day);
		if (is_ours(observation))
			counters_add(s->a->counters, COUNT_INBOUND_LEARNT, 1);
		tell_learnt(s, observation->why);
	}
	if (acquaintance_set_put(&s->set, destination, add) ==
	    ACQUAINTANCE_SAME)
		return;
	acquaintance_touch(s);
	if (is_known)
		tell_again(s, observation, &was, day);
}
