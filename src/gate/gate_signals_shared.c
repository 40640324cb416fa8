/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Credit and client networks of a sender whom several relays share. The counts
 * here are always kept, and become what the server says with each answer about
 * the sender: they decide while it is not there. What is counted here is told
 * there, and what follows from it (an event, a freeze) is done when the answer
 * comes, so that one relay does it; without an answer by the count here.
 */
#include "gate/gate_shared_source.h"

#include <stdlib.h>

_Static_assert(SHARE_NETWORKS_MAX == NETWORKS_MAX, "each has a place");

/* Parts of a credit are the same there. */
static void
fill_credit(struct credit *c, const struct credit_rules *rules, int64_t now,
    struct share_signals *out)
{
	if (rules->credit == 0 || !c->is_known)
		return;
	(void)credit_is_empty(c, rules, now);
	out->has_credit = true;
	out->left = c->left;
	out->empty_ms = c->is_empty ? now - c->empty_since : -1;
	out->refused_ms = c->is_empty ? now - c->refused_at : 0;
}

static void
fill_networks(
    const struct networks *s, int64_t now, struct shared_signals *room)
{
	for (uint32_t i = 0; i < s->n; i++)
		room->networks[i] = (struct share_network){.net = s->v[i].net,
		    .is_learnt = s->v[i].is_learnt,
		    .since_ms = now - s->v[i].since,
		    .last_ms = now - s->v[i].last};
	room->known.has_networks = s->n > 0;
	room->known.networks = room->networks;
	room->known.networks_n = s->n;
}

void
shared_signals_put(struct gate_shared_ask *ask, struct throttle_source *src,
    struct share_question *q, struct shared_signals *room)
{
	const struct policy *policy = source_policy(src);
	struct gate *g = ask->g;
	struct signals *s;

	q->signals = (struct share_signal_rules){
	    .credit = policy->credit.credit,
	    .credit_freeze_ms = policy->credit.freeze_ms,
	    .networks = policy->networks.count,
	    .networks_window_ms = policy->networks.window_ms,
	};
	q->network = ask->network;
	s = signals_find(g->signals, str_from(ask->key));
	if (s == NULL || (!ask->is_seeded && !s->is_untold))
		return;
	room->known = (struct share_signals){0};
	fill_credit(&s->credit, &policy->credit, g->now, &room->known);
	if (policy->networks.count > 0)
		fill_networks(&s->networks, g->now, room);
	q->known = &room->known;
	ask->was_untold = s->is_untold;
	s->is_untold = false;
}

static bool
follow_credit(struct signals *s, const struct policy *policy,
    const struct share_signals *theirs, int64_t now)
{
	if (!theirs->has_credit)
		return !credit_is_whole(&s->credit, &policy->credit, now);
	credit_follow(&s->credit, theirs->left, theirs->empty_ms,
	    theirs->refused_ms, now);
	return false;
}

static bool
follow_networks(
    struct signals *s, const struct share_signals *theirs, int64_t now)
{
	struct network v[SHARE_NETWORKS_MAX];

	if (!theirs->has_networks)
		return false;
	for (size_t i = 0; i < theirs->networks_n; i++)
		v[i] = (struct network){.net = theirs->networks[i].net,
		    .is_learnt = theirs->networks[i].is_learnt,
		    .since = now - theirs->networks[i].since_ms,
		    .last = now - theirs->networks[i].last_ms};
	return networks_follow(&s->networks, v, (uint32_t)theirs->networks_n,
	    theirs->are_many, now);
}

void
shared_signals_follow(struct gate *g, struct str key,
    const struct policy *policy, const struct share_signals *theirs,
    int64_t now)
{
	struct signals *s = signals_find(g->signals, key);
	bool is_more;

	if (s == NULL && !theirs->has_credit && theirs->networks_n == 0)
		return;
	s = signals_get(g->signals, key, now);
	if (s == NULL)
		return;
	is_more = follow_credit(s, policy, theirs, now);
	is_more |= follow_networks(s, theirs, now);
	s->is_untold |= is_more;
	signal_touch(g);
}

void
shared_signals_end(
    struct gate_shared_ask *ask, const struct share_answer *a, int64_t now)
{
	struct str key = str_from(ask->key);
	struct signals *s = signals_find(ask->g->signals, key);
	int result = a != NULL && a->result >= 0 ? a->result : ask->result;

	if (a == NULL && s != NULL)
		s->is_untold |= ask->was_untold || ask->has_signal;
	if (!ask->has_signal)
		return;
	if (ask->steps[0].what == SHARE_NETWORK)
		signal_act_networks(ask->g, key, signal_policy(ask->g, key),
		    ask->steps[0].destination, (enum networks_result)result,
		    now, ask->wall);
	else
		signal_act_credit(
		    ask->g, key, (enum credit_result)result, now, ask->wall);
}

static void
note_untold(struct gate *g, struct str key)
{
	struct signals *s = signals_find(g->signals, key);

	if (s != NULL)
		s->is_untold = true;
}

bool
shared_signals_tell(struct gate *g, struct str key, const struct policy *policy,
    const struct share_step *step, int result, int64_t wall)
{
	struct throttle_source *src;
	struct gate_shared_ask *ask;
	char name[GATE_KEY_MAX];

	if (g->share_ops == NULL || g->is_dry || g->observe)
		return false;
	src = source_find(g, key);
	if (src == NULL)
		src = source_get(g, key, policy, g->now, false);
	/* What the server would let go might not be in its queue yet. */
	if (src == NULL || source_data(src)->load != LOAD_DONE ||
	    !shared_rules(g, src)) {
		note_untold(g, key);
		return false;
	}
	str_copy(key, name, sizeof(name));
	ask = shared_ask_new(g, name, SHARE_NEW, wall);
	ask->steps = xcalloc(1, sizeof(*ask->steps));
	ask->steps[0] = *step;
	ask->steps_n = 1;
	ask->has_signal = step->what != SHARE_DELIVERED;
	ask->result = result;
	shared_ask_send(ask, g->now);
	return true;
}
