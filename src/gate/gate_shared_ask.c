/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A question on its way to the server that the relays share, and what becomes
 * of the recipient that it is about when the answer comes, late or never. A
 * server that knows nothing of the source is told what is known here, and asked
 * again.
 */
#include "gate/gate_path_shared.h"
#include "gate/gate_shared_source.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MS 250
#define LOST_MAX 500 /* reservations of a source, in one lane */

void
shared_ask_free(struct gate_shared_ask *ask)
{
	list_remove(&ask->entry);
	if (ask->later != NULL) {
		free((void *)(uintptr_t)ask->later->address.p);
		free(ask->later);
	}
	scope_pins_free(ask->pins);
	path_later_free(ask->path);
	free(ask->asked);
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
give_up(struct gate_shared_ask *was, int64_t now)
{
	struct gate_shared_ask *ask =
	    shared_ask_new(was->g, was->key, was->lane, was->wall);
	struct share_scope_step *places =
	    xcalloc(was->asked_n, sizeof(*places));
	size_t n = 0;

	ask->steps = xcalloc(was->asked_n, sizeof(*ask->steps));
	for (size_t i = 0; i < was->asked_n; i++) {
		const struct shared_asked *a = &was->asked[i];

		if (a->is_ruled && shared_is_reserved(a))
			ask->steps[ask->steps_n++] =
			    (struct share_step){.what = SHARE_CANCEL,
				.destination = a->site,
				.reservation = a->reservation};
		if (a->has_word && a->word.reservation != 0)
			places[n++] = (struct share_scope_step){
			    SHARE_SCOPE_CANCEL, a->word.reservation};
	}
	scope_tell(was->g, was->pins, places, n);
	free(places);
	if (ask->steps_n > 0)
		shared_ask_send(ask, now);
	else
		shared_ask_free(ask);
}

/* All has been said. Takes the ask; the front goes on from within it. */
static void
resume(struct gate_shared_ask *ask, int64_t now)
{
	struct gate_txn *txn = ask->later->txn;

	if (txn == NULL) {
		give_up(ask, now);
		shared_ask_free(ask);
		return;
	}
	txn->sharing = NULL;
	if (ask->asked[0].is_ruled) {
		shared_ahead_keep(txn, ask->lane, ask->as, ask->asked + 1,
		    ask->asked_n - 1, now);
	}
	shared_resume(ask->later, &ask->asked[0], now);
	shared_ask_free(ask);
}

static bool
needs_place(const struct shared_asked *a)
{
	return a->ruling.verdict == THROTTLE_PASS &&
	       a->ruling.reason == THROTTLE_NEW;
}

static void
on_scopes(void *arg, const struct scope_word *words, int64_t now)
{
	struct gate_shared_ask *ask = arg;

	for (size_t i = 0; words != NULL && i < ask->asked_n; i++) {
		if (!needs_place(&ask->asked[i]))
			continue;
		ask->asked[i].word = *words++;
		ask->asked[i].has_word = true;
	}
	resume(ask, now);
}

/* Whoever passes as new has to have a place in the scopes, too. */
static bool
ask_scopes_for(struct gate_shared_ask *ask)
{
	struct gate_txn *txn = ask->later->txn;
	size_t n = 0;

	if (txn == NULL || ask->lane != SHARE_NEW || !ask->asked[0].is_ruled)
		return false;
	for (size_t i = 0; i < ask->asked_n; i++)
		n += needs_place(&ask->asked[i]);
	if (n == 0)
		return false;
	ask->pins = scope_pins_ref(txn->scopes);
	return scope_ask(ask->g, ask->pins, false, n, on_scopes, ask) != NULL;
}

static void
hear(struct gate_shared_ask *ask, const struct share_answer *a, int64_t now)
{
	if (a == NULL || a->rulings_n != ask->asked_n)
		return;
	for (size_t i = 0; i < ask->asked_n; i++) {
		struct shared_asked *asked = &ask->asked[i];

		asked->is_ruled = true;
		asked->ruling = a->rulings[i];
		asked->ruling.destination = asked->destination;
		if (asked->ruling.due_ms != INT64_MAX)
			asked->ruling.due_ms += now;
	}
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

/* It may have been heard all the same. */
static void
note_lost(struct shared_source *s, const struct gate_shared_ask *ask)
{
	size_t n = s->lost_n + ask->asked_n + (ask->path != NULL);

	if (n == s->lost_n || n > LOST_MAX)
		return;
	s->lost = xrealloc(s->lost, n * sizeof(*s->lost));
	for (size_t i = 0; i < ask->asked_n; i++)
		s->lost[s->lost_n++] = ask->asked[i].reservation;
	if (ask->path != NULL)
		s->lost[s->lost_n++] = ask->path->reservation;
}

/* In a question of its own: what passed meanwhile is taken off after it, of all
 * that is left then. */
static void
give_back_lost(
    struct gate *g, struct shared_source *s, const char *key, int64_t now)
{
	struct gate_shared_ask *ask = shared_ask_new(g, key, s->lane, g->wall);

	ask->is_lost = true;
	ask->steps = xcalloc(s->lost_n, sizeof(*ask->steps));
	for (size_t i = 0; i < s->lost_n; i++)
		ask->steps[ask->steps_n++] = (struct share_step){
		    .what = SHARE_CANCEL, .reservation = s->lost[i]};
	s->lost_n = 0;
	shared_ask_send(ask, now);
}

/* Takes the ask. */
static void
end_ask(struct gate_shared_ask *ask, const struct share_answer *a, int64_t now)
{
	struct gate *g = ask->g;
	struct throttle_source *src = source_find(g, str_from(ask->key));
	struct shared_source *s = NULL;
	int64_t wall = ask->wall;

	if (src != NULL && shared_may_be(g, src))
		s = shared_of(g, src, ask->lane);
	if (a != NULL && a->is_unknown) {
		if (s != NULL && !ask->is_seeded && !ask->is_lost) {
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
		note_lost(s, ask);
		shared_want(g, s, now + RETRY_MS);
	}
	if (a != NULL && s != NULL)
		shared_follow(g, s, a, now, wall);
	if (ask->lane == SHARE_NEW)
		shared_signals_end(ask, a, now);
	hear(ask, a, now);
	/* The last: the front goes on from within it. */
	if (ask->path != NULL)
		path_answered(ask, a, now);
	else if (ask->later == NULL)
		shared_ask_free(ask);
	else if (!ask_scopes_for(ask))
		resume(ask, now);
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
	if (s->lost_n > 0)
		give_back_lost(g, s, ask->key, now);
	if (!ask->is_lost) {
		ask->untold += s->untold;
		ask->was_thawed |= s->was_thawed;
		s->untold = 0;
		s->was_thawed = false;
	}
	if (ask->lane == SHARE_NEW)
		shared_touch_take(s, ask);
	q.steps = ask->steps;
	q.steps_n = ask->steps_n;
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

/* What is given back comes before what is asked for. */
static void
write_steps(struct gate_shared_ask *ask, struct gate_txn *txn)
{
	size_t n;
	struct share_step *steps = shared_take_told(txn, ask->lane, &n);

	steps = xrealloc(steps, (n + ask->asked_n) * sizeof(*steps));
	for (size_t i = 0; i < ask->asked_n; i++) {
		struct shared_asked *a = &ask->asked[i];

		a->reservation = ++txn->g->share_ids;
		steps[n++] = (struct share_step){.what = ask->as,
		    .destination = a->site,
		    .reservation = a->reservation};
	}
	ask->steps = steps;
	ask->steps_n = n;
}

bool
shared_ask(struct throttle_source *src, const struct shared_later *asked)
{
	struct gate_txn *txn = asked->txn;
	struct gate *g = txn->g;
	enum share_what as = reserves(asked);
	struct shared_asked said;
	struct gate_shared_ask *ask;

	if (shared_ahead_take(asked, as, g->now, &said)) {
		shared_resume(asked, &said, g->now);
		return true;
	}
	if (!shared_rules(g, src))
		return false;
	ask = shared_ask_new(g, txn->key, asked->lane, asked->wall);
	ask->later = xmalloc(sizeof(*ask->later));
	*ask->later = *asked;
	ask->later->address.p = str_dup(asked->address);
	ask->network = txn->network;
	ask->as = as;
	ask->asked = xcalloc(SHARED_AHEAD_MAX, sizeof(*ask->asked));
	ask->asked_n = shared_look_ahead(asked, ask->asked, SHARED_AHEAD_MAX);
	ask->asked = xrealloc(ask->asked, ask->asked_n * sizeof(*ask->asked));
	write_steps(ask, txn);
	shared_tell(txn, g->now); /* the rest of what was given back */
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
	shared_ahead_free(txn);
	for (unsigned lane = 0; lane < SHARE_LANES; lane++)
		free(txn->told[lane].steps);
	free(txn->scope_steps);
}
