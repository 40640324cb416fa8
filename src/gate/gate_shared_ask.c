/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A question on its way to the server that the relays share, and what becomes
 * of the recipient that it is about when the answer comes, late or never. A
 * server that knows nothing of the source is told what is known here, and asked
 * again.
 */
#include "gate/gate_shared_source.h"

#include <stdlib.h>

#define RETRY_MS 250

void
shared_ask_free(struct gate_shared_ask *ask)
{
	list_remove(&ask->entry);
	if (ask->later != NULL) {
		free((void *)(uintptr_t)ask->later->address.p);
		free(ask->later);
	}
	scope_pins_free(ask->pins);
	free(ask->steps);
	free(ask->list);
	free(ask);
}

struct gate_shared_ask *
shared_ask_new(
    struct gate *g, const char *key, enum share_lane lane, int64_t wall)
{
	struct gate_shared_ask *ask = xcalloc(1, sizeof(*ask));

	ask->g = g;
	ask->lane = lane;
	ask->wall = wall;
	str_copy(str_from(key), ask->key, sizeof(ask->key));
	list_append(&g->shared_asks, &ask->entry);
	return ask;
}

/* Its transaction has ended meanwhile. */
static void
cancel_unwanted(const struct gate_shared_ask *was, int64_t now)
{
	struct gate_shared_ask *ask =
	    shared_ask_new(was->g, was->key, was->lane, was->wall);

	ask->steps = xcalloc(1, sizeof(*ask->steps));
	ask->steps[0] = (struct share_step){.what = SHARE_CANCEL,
	    .destination = was->steps[0].destination,
	    .reservation = was->later->reservation};
	ask->steps_n = 1;
	shared_ask_send(ask, now);
}

static void
resume(struct gate_shared_ask *ask, const struct throttle_reservation *ruling,
    const struct scope_word *word, int64_t now)
{
	struct shared_later later = *ask->later;
	struct share_scope_step step = {
	    SHARE_SCOPE_CANCEL, word != NULL ? word->reservation : 0};

	if (later.txn != NULL) {
		later.txn->sharing = NULL;
		shared_resume(&later, ruling, word, now);
		return;
	}
	if (ruling != NULL && ruling->verdict != THROTTLE_REFUSE)
		cancel_unwanted(ask, now);
	if (step.reservation != 0)
		scope_tell(ask->g, ask->pins, &step, 1);
}

static void
on_scopes(void *arg, const struct scope_word *word, int64_t now)
{
	struct gate_shared_ask *ask = arg;

	resume(ask, &ask->ruling, word, now);
	shared_ask_free(ask);
}

/* Whoever passes as new has to have a place in the scopes, too. */
static bool
ask_scopes_for(
    struct gate_shared_ask *ask, const struct throttle_reservation *ruling)
{
	struct gate_txn *txn = ask->later->txn;

	if (txn == NULL || ask->lane != SHARE_NEW ||
	    ruling->verdict != THROTTLE_PASS || ruling->reason != THROTTLE_NEW)
		return false;
	ask->ruling = *ruling;
	ask->pins = scope_pins_ref(txn->scopes);
	return scope_ask(ask->g, ask->pins, false, on_scopes, ask) != NULL;
}

/* The server knows nothing of the source. Who is familiar is learnt by what it
 * knows of strangers, so that has to be there before. */
static void
seed(struct gate_shared_ask *ask, int64_t now)
{
	struct gate_shared_ask *first;

	if (ask->lane == SHARE_FAMILIAR) {
		first = shared_ask_new(ask->g, ask->key, SHARE_NEW, ask->wall);
		first->is_seeded = true;
		shared_ask_send(first, now);
	}
	ask->is_seeded = true;
	shared_ask_send(ask, now);
}

/* Takes the ask. */
static void
end_ask(struct gate_shared_ask *ask, const struct share_answer *a, int64_t now)
{
	struct gate *g = ask->g;
	struct throttle_source *src = source_find(g, str_from(ask->key));
	const struct throttle_reservation *ruling = NULL;
	struct shared_source *s = NULL;
	int64_t wall = ask->wall;

	if (src != NULL && shared_may_be(g, src))
		s = shared_of(g, src, ask->lane);
	if (a != NULL && a->is_unknown) {
		if (s != NULL && !ask->is_seeded) {
			seed(ask, now);
			return;
		}
		a = NULL;
	}
	if (a == NULL && s != NULL) {
		/* It may have been told: then it counts twice, which is on the
		 * safe side. */
		if (s->untold + ask->untold <= THROTTLE_COUNT_MAX)
			s->untold += ask->untold;
		s->was_thawed |= ask->was_thawed;
		shared_want(g, s, now + RETRY_MS);
	}
	if (a != NULL && s != NULL)
		shared_follow(g, s, a, now, wall);
	if (ask->lane == SHARE_NEW)
		shared_signals_end(ask, a, now);
	if (a != NULL && a->rulings_n == 1)
		ruling = &a->rulings[0];
	/* The last: the front goes on from within it. */
	if (ask->later == NULL || ruling == NULL ||
	    !ask_scopes_for(ask, ruling)) {
		if (ask->later != NULL)
			resume(ask, ruling, NULL, now);
		shared_ask_free(ask);
	}
	gate_changed(g);
}

static void
on_answer(void *arg, const struct share_answer *a, int64_t now)
{
	struct gate_shared_ask *ask = arg;
	struct throttle_source *src = source_find(ask->g, str_from(ask->key));
	struct gate_source *data = src != NULL ? source_data(src) : NULL;
	struct shared_source *s = data != NULL ? data->shared[ask->lane] : NULL;

	ask->g->now = now;
	/* It may be another source of the same name by now. */
	if (s != NULL && s->asking > 0)
		s->asking--;
	end_ask(ask, a, now);
}

/* Takes the ask. */
void
shared_ask_send(struct gate_shared_ask *ask, int64_t now)
{
	struct gate *g = ask->g;
	struct throttle_source *src = source_find(g, str_from(ask->key));
	struct share_question q = {
	    .sender = str_from(ask->key),
	    .lane = ask->lane,
	    .steps = ask->steps,
	    .steps_n = ask->steps_n,
	};
	struct throttle_level *level = NULL;
	struct shared_signals room;
	struct share_level known;
	struct throttle_source *in;
	struct throttle *t;
	struct shared_source *s;

	if (src == NULL || !shared_rules(g, src)) {
		end_ask(ask, NULL, now);
		return;
	}
	s = shared_of(g, src, ask->lane);
	t = shared_limiter(g, src, ask->lane, &in);
	if (ask->is_seeded) {
		level = xmalloc(sizeof(*level));
		throttle_level(t, in, now, level);
		known = (struct share_level){.allowance = level->allowance,
		    .tick_in = level->tick_in_ms,
		    .ages = level->ages_ms,
		    .ages_n = level->ages};
		q.seed = &known; /* what nobody was told of is in it */
	}
	ask->untold += s->untold;
	ask->was_thawed |= s->was_thawed;
	s->untold = 0;
	s->was_thawed = false;
	q.policy = throttle_source_policy(in);
	q.is_spared = throttle_is_spared(src);
	q.is_frozen = freeze_is_on(src);
	q.was_thawed = ask->was_thawed;
	q.untold = ask->untold;
	if (ask->lane == SHARE_NEW)
		shared_signals_put(ask, src, &q, &room);
	if (g->share_ops->ask(g->share_arg, &q, on_answer, ask))
		s->asking++;
	else
		end_ask(ask, NULL, now);
	free(level);
}

static enum share_what
reserves(const struct shared_later *asked)
{
	if (asked->signal != SIGNAL_NONE)
		return asked->is_held ? SHARE_RESERVE_LAST_HELD
				      : SHARE_RESERVE_LAST;
	return asked->is_held ? SHARE_RESERVE_HELD : SHARE_RESERVE;
}

bool
shared_ask(struct throttle_source *src, const struct shared_later *asked)
{
	struct gate_txn *txn = asked->txn;
	struct gate *g = txn->g;
	struct gate_shared_ask *ask;

	if (!shared_rules(g, src))
		return false;
	ask = shared_ask_new(g, txn->key, asked->lane, asked->wall);
	ask->later = xmalloc(sizeof(*ask->later));
	*ask->later = *asked;
	ask->later->address.p = str_dup(asked->address);
	ask->later->reservation = ++g->share_ids;
	ask->network = txn->network;
	ask->steps = xcalloc(1, sizeof(*ask->steps));
	ask->steps[0] = (struct share_step){
	    .what = reserves(asked),
	    .destination = txn->site,
	    .reservation = ask->later->reservation,
	};
	ask->steps_n = 1;
	txn->sharing = ask->later;
	txn->can_drop = false;
	shared_ask_send(ask, g->now);
	return true;
}

void
shared_drop(struct gate_txn *txn)
{
	if (txn->sharing != NULL)
		txn->sharing->txn = NULL;
	txn->sharing = NULL;
	for (unsigned lane = 0; lane < SHARE_LANES; lane++)
		free(txn->told[lane].steps);
	free(txn->scope_steps);
}
