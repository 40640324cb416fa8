/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom senders know, told to other relays of the site and heard from them. A
 * recipient has a name there that is the same at all relays; a source's row has
 * those that this relay saw by its own hashes, and those that others told of by
 * that name. What is heard is told to nobody again.
 */
#include "gate/gate_internal.h"

#define AHEAD_DAYS 1  /* clocks differ */
#define FORGET_DAYS 7 /* what is older was written to the server once more */

void
known_on_new(
    void *arg, const char *source, uint64_t site, unsigned why, uint32_t day)
{
	struct gate *g = arg;
	struct gate_known_news news = {
	    .sender = source, .site = site, .why = why, .day = day};

	if (g->callbacks->on_known != NULL && !g->is_dry)
		g->callbacks->on_known(g->arg, &news);
}

bool
known_on_met(void *arg, const char *source,
    const struct acquaintance_observation *observation, uint32_t day)
{
	struct gate *g = arg;
	struct gate_known_news news = {
	    .sender = source,
	    .site = observation->site,
	    .why = observation->why,
	    .day = day,
	    .domain = observation->origin.domain,
	    .network = observation->origin.network,
	    .own = observation->destination,
	    .rate = observation->rules.rate,
	};

	return g->callbacks->on_met != NULL && !g->is_dry &&
	       g->callbacks->on_met(g->arg, &news);
}

uint64_t
known_site(
    const struct gate *g, const struct policy *policy, struct str recipient)
{
	char text[GATE_RECIPIENT_MAX];
	struct str key = {.p = text};

	if (g->share_ops == NULL)
		return 0;
	key.n = g->recipient_key(recipient, policy->conf->fold_tags, text);
	return key.n > 0 ? g->share_ops->destination(g->share_arg, key) : 0;
}

static const struct policy *
policy_of(struct gate *g, struct str key)
{
	struct throttle_source *src = source_find(g, key);

	return src != NULL ? source_policy(src)
			   : source_choose_policy(g, key, (struct str){0});
}

static bool
remembers(const struct gate *g, const struct policy *policy)
{
	return g->remembers && policy->remembers && policy->familiar_for_ms > 0;
}

void
gate_note_sent(
    struct gate *g, const char *sender, const char *recipient, int64_t wall)
{
	struct str key = str_from(sender);
	const struct policy *policy = policy_of(g, key);
	uint64_t site = known_site(g, policy, str_from(recipient));

	if (site != 0 && remembers(g, policy))
		known_on_new(g, sender, site, ACQUAINTANCE_WROTE_TO,
		    acquaintance_day(wall));
}

static void
meet(struct gate *g, const struct gate_known_news *news, uint64_t destination,
    enum acquaintance_told told, uint32_t day, int64_t wall)
{
	struct str key = str_from(news->sender);
	const struct policy *policy = policy_of(g, key);
	struct acquaintance_observation observation = {
	    .destination = destination,
	    .site = news->site,
	    .told = told,
	    .why = news->why & ACQUAINTANCE_MET,
	    .origin = {news->domain, news->network},
	    .rules = policy->met,
	};

	if (observation.why != 0 && g->learns && policy_meets(policy))
		acquaintances_learn_of(
		    g->acquaintances, key, &observation, day, g->now, wall);
}

void
gate_known_elsewhere(
    struct gate *g, const struct gate_known_news *news, int64_t wall)
{
	struct str key = str_from(news->sender);
	uint32_t today = acquaintance_day(wall), day = news->day;
	unsigned why =
	    news->why & (ACQUAINTANCE_WROTE_TO | ACQUAINTANCE_IMPORTED);

	if (key.n == 0 || key.n >= GATE_KEY_MAX || day > today + AHEAD_DAYS)
		return;
	if (day > today)
		day = today;
	if (why != 0 && remembers(g, policy_of(g, key)))
		acquaintances_add(g->acquaintances, key, news->site, why,
		    (int64_t)day * ACQUAINTANCE_DAY_MS);
	meet(g, news, news->site,
	    news->is_counted ? ACQUAINTANCE_COUNTED : ACQUAINTANCE_TOLD, day,
	    wall);
	gate_changed(g);
}

void
gate_met(struct gate *g, const struct gate_known_news *news, int64_t wall)
{
	meet(g, news, news->own, ACQUAINTANCE_GRANTED, news->day, wall);
	gate_changed(g);
}

void
gate_not_met(struct gate *g)
{
	counters_add(g->counters, COUNT_INBOUND_REFUSED, 1);
}

bool
gate_forgotten_elsewhere(
    struct gate *g, const char *sender, uint32_t day, int64_t wall)
{
	struct str key = str_from(sender);
	uint32_t today = acquaintance_day(wall);

	if (key.n == 0 || key.n >= GATE_KEY_MAX ||
	    (day < today && today - day > FORGET_DAYS))
		return false;
	if (g->remembers) {
		acquaintances_forget(g->acquaintances, key, wall);
		gate_changed(g);
	}
	return true;
}

bool
gate_save_known(struct gate *g, int64_t wall)
{
	return g->acquaintances == NULL ||
	       acquaintances_save(g->acquaintances, wall);
}
