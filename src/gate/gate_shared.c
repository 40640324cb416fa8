/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each answer says all that this relay has to know of the source, so nothing is
 * remembered of those that did not come: what the server holds reserved ends by
 * its lease, and what waits is compared with what the server says that it has
 * of this relay, and told anew where the two differ. That one comparison makes
 * good for outages, restarts, emptied servers, and for what administrators
 * release or discard.
 */
#include "gate/gate_shared.h"
#include "gate/gate_strangers.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define ASK_MIN_MS 50     /* about the same source */
#define ASK_MOST_MS 15000 /* a lease of 60 s is kept by it */
#define FOLLOW_MS \
	1000 /* then the own schedule looks whether it still follows */
#define RETRY_MS 250
#define GRANTS_MAX 4096

/* What the gate keeps of a source that is shared. */
struct shared_source {
	struct list entry; /* of g->shared_sources */
	struct throttle_source *src;
	int64_t due; /* it is asked then; INT64_MAX: for no reason */
	unsigned asking;
	uint32_t untold;
	bool was_thawed;
	bool differs; /* the server has not what waits here */
	/* The server lets them go, and something of this relay's own does
	 * not. */
	uint64_t *grants;
	size_t grants_n;
	int64_t grants_at;
};

struct gate_shared_ask {
	struct list entry; /* of g->shared_asks */
	struct gate *g;
	char key[GATE_KEY_MAX];
	struct shared_later *later; /* NULL: of no recipient */
	struct share_step *steps;
	size_t steps_n;
	uint64_t *list;
	uint32_t untold;
	bool was_thawed;
	bool is_seeded;
	int64_t wall;
};

static void send_ask(struct gate_shared_ask *ask, int64_t now);

/* ---- who is shared ---- */

static bool
may_be_shared(const struct gate *g, const struct throttle_source *src)
{
	return g->share_ops != NULL && !g->observe && !g->is_dry &&
	       !throttle_source_policy(src)->paper && source_data(src) != NULL;
}

bool
shared_rules(const struct gate *g, const struct throttle_source *src)
{
	return may_be_shared(g, src) && g->share_ops->is_up(g->share_arg);
}

bool
shared_refuses(const struct gate *g, const struct throttle_source *src)
{
	return g->share_refuses && may_be_shared(g, src) &&
	       !g->share_ops->is_up(g->share_arg);
}

static struct shared_source *
shared_of(struct gate *g, struct throttle_source *src)
{
	struct gate_source *data = source_data(src);

	if (data->shared == NULL) {
		data->shared = xcalloc(1, sizeof(*data->shared));
		data->shared->src = src;
		data->shared->due = INT64_MAX;
		data->shared->grants_at = INT64_MAX;
		list_append(&g->shared_sources, &data->shared->entry);
	}
	return data->shared;
}

void
shared_forget(struct gate_source *data)
{
	if (data->shared == NULL)
		return;
	list_remove(&data->shared->entry);
	free(data->shared->grants);
	free(data->shared);
	data->shared = NULL;
}

static void
want(struct gate *g, struct shared_source *s, int64_t at)
{
	if (at < s->due)
		s->due = at;
	if (at < g->shared_due)
		g->shared_due = at;
}

int64_t
shared_may_release(struct gate *g, struct throttle_source *src, int64_t now)
{
	struct shared_source *s;

	if (!shared_rules(g, src))
		return now;
	s = shared_of(g, src);
	if (s->asking == 0 && s->due == INT64_MAX)
		want(g, s, now);
	return now + FOLLOW_MS;
}

void
shared_note_untold(struct gate *g, struct throttle_source *src)
{
	if (may_be_shared(g, src) &&
	    shared_of(g, src)->untold < THROTTLE_COUNT_MAX)
		shared_of(g, src)->untold++;
}

void
shared_note_alone(struct gate *g, struct throttle_source *src)
{
	if (!shared_rules(g, src))
		shared_note_untold(g, src);
}

void
shared_note_removed(struct gate *g, struct throttle_source *src)
{
	struct shared_source *s;

	if (!shared_rules(g, src))
		return;
	s = shared_of(g, src);
	s->differs = true;
	want(g, s, g->now);
}

void
shared_note_freeze(struct gate *g, struct throttle_source *src, bool is_frozen)
{
	struct shared_source *s;

	if (g->is_quiet || !shared_rules(g, src))
		return;
	s = shared_of(g, src);
	s->was_thawed = !is_frozen;
	s->differs = true;
	want(g, s, g->now);
	gate_changed(g);
}

bool
shared_look(struct gate *g, struct throttle_source *src)
{
	struct shared_source *s = source_data(src)->shared;

	if (!shared_rules(g, src))
		return false;
	if (s != NULL && s->asking == 0) {
		want(g, s, g->now);
		gate_changed(g);
	}
	return true;
}

/* ---- answers ---- */

static void
ask_free(struct gate_shared_ask *ask)
{
	list_remove(&ask->entry);
	if (ask->later != NULL) {
		free((void *)(uintptr_t)ask->later->address.p);
		free(ask->later);
	}
	free(ask->steps);
	free(ask->list);
	free(ask);
}

static void
add_grant(struct shared_source *s, uint64_t destination)
{
	if (s->grants_n >= GRANTS_MAX)
		return; /* it is told anew */
	s->grants = xrealloc(s->grants, (s->grants_n + 1) * sizeof(*s->grants));
	s->grants[s->grants_n++] = destination;
}

/* Those that scopes and the like let go as well. */
static void
use_grants(struct gate *g, struct shared_source *s, int64_t now)
{
	size_t kept = 0;

	s->grants_at = INT64_MAX;
	for (size_t i = 0; i < s->grants_n; i++) {
		uint64_t destination = s->grants[i];
		int64_t at = gate_scope_may_go(g, s->src, destination, now);

		if (at <= now) {
			if (throttle_let_go(
				g->throttle, s->src, destination, now))
				source_touch(g, s->src);
			continue;
		}
		s->grants[kept++] = destination;
		if (at < s->grants_at)
			s->grants_at = at;
	}
	s->grants_n = kept;
	want(g, s, s->grants_at);
}

static void
follow(struct gate *g, struct shared_source *s, const struct share_answer *a,
    int64_t now, int64_t wall)
{
	struct throttle_source *src = s->src;
	struct throttle_source_info info;
	int64_t next = a->next_in;

	throttle_follow(g->throttle, src, a->allowance, a->tick_in, now);
	for (size_t i = 0; i < a->granted_n; i++)
		add_grant(s, a->granted[i]);
	if (s->grants_n > 0)
		use_grants(g, s, now);
	source_touch(g, src);
	source_data(src)->waiting_elsewhere =
	    a->waiting > a->mine ? a->waiting - a->mine : 0;
	if (a->froze != THROTTLE_FREEZE_NONE && !freeze_is_on(src) &&
	    !throttle_is_spared(src))
		freeze_for(g, src, a->froze, now, wall);
	throttle_source_info(g->throttle, src, now, &info);
	s->differs =
	    info.queue_length != a->mine &&
	    (info.queue_length <= SHARE_LIST_MAX || a->mine < SHARE_LIST_MAX);
	if (info.queue_length == 0 && a->mine == 0)
		return;
	if (freeze_is_on(src) || next < 0 || next > ASK_MOST_MS)
		next = ASK_MOST_MS;
	if (s->differs && s->asking == 0 && s->grants_n == 0)
		next = 0;
	/* Not all relays in the same moment, and not before the tick. */
	want(g, s, now + (next < ASK_MIN_MS ? ASK_MIN_MS : next + 1));
}

static struct gate_shared_ask *
ask_new(struct gate *g, const char *key, int64_t wall)
{
	struct gate_shared_ask *ask = xcalloc(1, sizeof(*ask));

	ask->g = g;
	ask->wall = wall;
	str_copy(str_from(key), ask->key, sizeof(ask->key));
	list_append(&g->shared_asks, &ask->entry);
	return ask;
}

/* Its transaction has ended meanwhile. */
static void
cancel_unwanted(const struct gate_shared_ask *was, int64_t now)
{
	struct gate_shared_ask *ask = ask_new(was->g, was->key, was->wall);

	ask->steps = xcalloc(1, sizeof(*ask->steps));
	ask->steps[0] = (struct share_step){.what = SHARE_CANCEL,
	    .destination = was->steps[0].destination,
	    .reservation = was->later->reservation};
	ask->steps_n = 1;
	send_ask(ask, now);
}

static void
resume(struct gate_shared_ask *ask, const struct share_answer *a, int64_t now)
{
	struct shared_later later = *ask->later;

	if (later.txn != NULL) {
		later.txn->sharing = NULL;
		shared_resume(&later, a != NULL ? a->rulings : NULL, now);
	} else if (a != NULL && a->rulings[0].verdict != THROTTLE_REFUSE) {
		cancel_unwanted(ask, now);
	}
}

/* Takes the ask. */
static void
end_ask(struct gate_shared_ask *ask, const struct share_answer *a, int64_t now)
{
	struct gate *g = ask->g;
	struct throttle_source *src = source_find(g, str_from(ask->key));
	struct shared_source *s = NULL;
	int64_t wall = ask->wall;

	if (src != NULL && may_be_shared(g, src))
		s = shared_of(g, src);
	if (a != NULL && a->is_unknown) {
		if (s != NULL && !ask->is_seeded) {
			ask->is_seeded = true;
			send_ask(ask, now);
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
		want(g, s, now + RETRY_MS);
	}
	if (a != NULL && s != NULL)
		follow(g, s, a, now, wall);
	/* The last: the front goes on from within it. */
	if (ask->later != NULL && (a == NULL || a->rulings_n == 1))
		resume(ask, a, now);
	ask_free(ask);
	gate_changed(g);
}

static void
on_answer(void *arg, const struct share_answer *a, int64_t now)
{
	struct gate_shared_ask *ask = arg;
	struct throttle_source *src = source_find(ask->g, str_from(ask->key));
	struct gate_source *data = src != NULL ? source_data(src) : NULL;

	ask->g->now = now;
	/* It may be another source of the same name by now. */
	if (data != NULL && data->shared != NULL && data->shared->asking > 0)
		data->shared->asking--;
	end_ask(ask, a, now);
}

/* ---- questions ---- */

/* Takes the ask. */
static void
send_ask(struct gate_shared_ask *ask, int64_t now)
{
	struct gate *g = ask->g;
	struct throttle_source *src = source_find(g, str_from(ask->key));
	struct share_question q = {
	    .sender = str_from(ask->key),
	    .steps = ask->steps,
	    .steps_n = ask->steps_n,
	};
	struct throttle_level *level = NULL;
	struct share_level seed;
	struct shared_source *s;

	if (src == NULL || !shared_rules(g, src)) {
		end_ask(ask, NULL, now);
		return;
	}
	s = shared_of(g, src);
	if (ask->is_seeded) {
		level = xmalloc(sizeof(*level));
		throttle_level(g->throttle, src, now, level);
		seed = (struct share_level){.allowance = level->allowance,
		    .tick_in = level->tick_in_ms,
		    .ages = level->ages_ms,
		    .ages_n = level->ages};
		q.seed = &seed;
		/* What nobody was told of is in it. */
		s->untold = ask->untold = 0;
	} else {
		ask->untold += s->untold;
		ask->was_thawed |= s->was_thawed;
		s->untold = 0;
		s->was_thawed = false;
	}
	q.policy = throttle_source_policy(src);
	q.is_spared = throttle_is_spared(src);
	q.is_frozen = freeze_is_on(src);
	q.was_thawed = ask->was_thawed;
	q.untold = ask->untold;
	if (g->share_ops->ask(g->share_arg, &q, on_answer, ask))
		s->asking++;
	else
		end_ask(ask, NULL, now);
	free(level);
}

bool
shared_ask(struct throttle_source *src, const struct shared_later *asked)
{
	struct gate_txn *txn = asked->txn;
	struct gate *g = txn->g;
	struct gate_shared_ask *ask;

	if (!shared_rules(g, src))
		return false;
	ask = ask_new(g, txn->key, asked->wall);
	ask->later = xmalloc(sizeof(*ask->later));
	*ask->later = *asked;
	ask->later->address.p = str_dup(asked->address);
	ask->later->reservation = ++g->share_ids;
	ask->steps = xcalloc(1, sizeof(*ask->steps));
	ask->steps[0] = (struct share_step){
	    .what = asked->is_held ? SHARE_RESERVE_HELD : SHARE_RESERVE,
	    .destination = txn->site,
	    .reservation = ask->later->reservation,
	};
	ask->steps_n = 1;
	txn->sharing = ask->later;
	txn->can_drop = false;
	send_ask(ask, g->now);
	return true;
}

void
shared_drop(struct gate_txn *txn)
{
	if (txn->sharing != NULL)
		txn->sharing->txn = NULL;
	txn->sharing = NULL;
}

void
shared_note(struct gate_txn *txn, enum share_what what,
    const struct txn_entry *e, uint64_t ticket)
{
	struct share_step *s;

	if (txn->g->share_ops == NULL)
		return;
	txn->steps =
	    xrealloc(txn->steps, (txn->steps_n + 1) * sizeof(*txn->steps));
	s = &txn->steps[txn->steps_n++];
	*s = (struct share_step){.what = what};
	if (e == NULL)
		return;
	s->destination = e->site;
	s->reservation = e->shared;
	s->ticket = ticket;
	/* In the queue under its reverse path. */
	if (ticket != 0 && ticket != e->r.destination)
		s->destination = ticket;
}

static void
tell_some(struct gate_txn *txn, size_t from, size_t n, int64_t now)
{
	struct gate_shared_ask *ask = ask_new(txn->g, txn->key, txn->g->wall);

	ask->steps = xcalloc(n, sizeof(*ask->steps));
	memcpy(ask->steps, txn->steps + from, n * sizeof(*ask->steps));
	ask->steps_n = n;
	send_ask(ask, now);
}

void
shared_tell(struct gate_txn *txn, int64_t now)
{
	struct throttle_source *src =
	    txn->steps_n > 0 ? source_find(txn->g, txn_key(txn)) : NULL;

	for (size_t i = 0;
	     src != NULL && shared_rules(txn->g, src) && i < txn->steps_n;
	     i += SHARE_STEPS_MAX) {
		size_t n = txn->steps_n - i;

		tell_some(
		    txn, i, n < SHARE_STEPS_MAX ? n : SHARE_STEPS_MAX, now);
	}
	free(txn->steps);
	txn->steps = NULL;
	txn->steps_n = 0;
}

/* ---- the run ---- */

struct listed {
	uint64_t *v;
	size_t n;
};

static void
list_one(void *arg, uint64_t destination, uint64_t ticket)
{
	struct listed *l = arg;

	(void)ticket;
	if (l->n < SHARE_LIST_MAX)
		l->v[l->n++] = destination;
}

static void
ask_on(struct gate *g, struct shared_source *s, int64_t now, int64_t wall)
{
	char name[GATE_KEY_MAX];
	struct gate_shared_ask *ask;
	struct listed l = {0};

	ask = ask_new(g, source_name(s->src, name), wall);
	if (s->differs && s->grants_n == 0 && s->asking == 0) {
		l.v = xmalloc(SHARE_LIST_MAX * sizeof(*l.v));
		throttle_queue_each(s->src, list_one, &l);
		ask->list = l.v;
		ask->steps = xcalloc(1, sizeof(*ask->steps));
		ask->steps[0] = (struct share_step){
		    .what = SHARE_HAVE, .list = l.v, .list_n = l.n};
		ask->steps_n = 1;
	}
	send_ask(ask, now);
}

void
shared_run(struct gate *g, int64_t now, int64_t wall)
{
	struct list *e, *next;

	if (g->shared_due > now)
		return;
	g->shared_due = INT64_MAX;
	list_each_safe (e, next, &g->shared_sources) {
		struct shared_source *s =
		    LIST_ITEM(e, struct shared_source, entry);

		if (s->due > now) {
			if (s->due < g->shared_due)
				g->shared_due = s->due;
			continue;
		}
		s->due = INT64_MAX;
		if (s->grants_at <= now)
			use_grants(g, s, now);
		if (!shared_rules(g, s->src))
			continue;
		if (s->asking > 0)
			want(g, s, now + ASK_MIN_MS);
		else
			ask_on(g, s, now, wall);
	}
}

/* ---- begin and end ---- */

void
gate_share(struct gate *g, const struct share_ops *ops, void *arg, bool refuses)
{
	g->share_ops = ops;
	g->share_arg = arg;
	g->share_refuses = refuses;
	if (g->share_ids == 0)
		g->share_ids = hash_random_seed();
}

void
gate_share_again(struct gate *g, int64_t now)
{
	struct list *e;

	g->now = now;
	list_each (e, &g->shared_sources) {
		struct shared_source *s =
		    LIST_ITEM(e, struct shared_source, entry);
		struct throttle_source_info info;

		throttle_source_info(g->throttle, s->src, now, &info);
		if (s->untold > 0 || info.queue_length > 0 || info.frozen)
			want(g, s, now);
	}
	gate_changed(g);
}

void
shared_clear(struct gate *g)
{
	while (!list_is_empty(&g->shared_asks))
		ask_free(LIST_ITEM(
		    g->shared_asks.next, struct gate_shared_ask, entry));
}
