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
#include "gate/gate_tier.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define ASK_MIN_MS 50     /* about the same source */
#define ASK_MOST_MS 15000 /* a lease of 60 s is kept by it */
#define FOLLOW_MS \
	1000 /* then the own schedule looks whether it still follows */
#define RETRY_MS 250
#define SCOPES_AGAIN_MS 60000 /* limits may have been raised meanwhile */
#define GRANTS_MAX 4096

/* What the gate keeps of a source that is shared, for each of its limiters. */
struct shared_source {
	struct list entry; /* of g->shared_sources */
	struct gate *g;
	struct throttle_source *src;
	enum share_lane lane;
	int64_t due; /* it is asked then; INT64_MAX: for no reason */
	unsigned asking;
	uint32_t untold;
	uint32_t elsewhere; /* waits at other relays */
	bool was_thawed;
	bool differs; /* the server has not what waits here */
	/* The server lets them go, and something of this relay's own does
	 * not. */
	uint64_t *grants;
	size_t grants_n;
	int64_t grants_at;
	struct scope_ask *asking_scopes; /* for one of them; NULL: no */
	uint64_t asked_for;
	int64_t scopes_open_at; /* as was said */
};

struct gate_shared_ask {
	struct list entry; /* of g->shared_asks */
	struct gate *g;
	char key[GATE_KEY_MAX];
	enum share_lane lane;
	struct shared_later *later; /* NULL: of no recipient */
	struct share_step *steps;
	size_t steps_n;
	uint64_t *list;
	uint32_t untold;
	bool was_thawed;
	bool is_seeded;
	int64_t wall;
	/* Of the recipient, while the scopes are asked. */
	struct throttle_reservation ruling;
	struct scope_pins *pins;
};

static void send_ask(struct gate_shared_ask *ask, int64_t now);

/* ---- who is shared ---- */

static bool
may_be_shared(const struct gate *g, const struct throttle_source *src)
{
	return g->share_ops != NULL && !g->observe && !g->is_dry &&
	       !throttle_source_policy(src)->paper && source_data(src) != NULL;
}

static bool
is_there(const struct gate *g, const struct throttle_source *src)
{
	char name[GATE_KEY_MAX];

	return g->share_ops->is_up(
	    g->share_arg, str_from(source_name(src, name)));
}

bool
shared_rules(const struct gate *g, const struct throttle_source *src)
{
	return may_be_shared(g, src) && is_there(g, src);
}

bool
shared_refuses(const struct gate *g, const struct throttle_source *src)
{
	return shared_refuses_then(g, src) && !is_there(g, src);
}

bool
shared_refuses_then(const struct gate *g, const struct throttle_source *src)
{
	return g->share_refuses && may_be_shared(g, src);
}

static struct shared_source *
shared_of(struct gate *g, struct throttle_source *src, enum share_lane lane)
{
	struct shared_source **at = &source_data(src)->shared[lane];

	if (*at != NULL)
		return *at;
	*at = xcalloc(1, sizeof(**at));
	(*at)->g = g;
	(*at)->src = src;
	(*at)->lane = lane;
	(*at)->due = INT64_MAX;
	(*at)->grants_at = INT64_MAX;
	list_append(&g->shared_sources, &(*at)->entry);
	return *at;
}

void
shared_forget(struct gate_source *data)
{
	for (unsigned lane = 0; lane < SHARE_LANES; lane++) {
		struct shared_source *s = data->shared[lane];

		if (s == NULL)
			continue;
		list_remove(&s->entry);
		scope_unask(s->asking_scopes);
		free(s->grants);
		free(s);
		data->shared[lane] = NULL;
	}
}

/* Its throttle here, and the source in it. */
static struct throttle *
limiter_of(struct gate *g, struct throttle_source *src, enum share_lane lane,
    struct throttle_source **out)
{
	if (lane == SHARE_NEW) {
		*out = src;
		return g->throttle;
	}
	*out = tier_get(g, src, g->now);
	return g->familiar;
}

static uint32_t
waiting_here(struct gate *g, const struct shared_source *s, int64_t now)
{
	struct throttle_source_info info;

	if (s->lane == SHARE_FAMILIAR)
		return tier_queue(g, s->src);
	throttle_source_info(g->throttle, s->src, now, &info);
	return info.queue_length;
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
shared_may_release(struct gate *g, struct throttle_source *src,
    enum share_lane lane, int64_t now)
{
	struct shared_source *s;

	if (!shared_rules(g, src))
		return now;
	s = shared_of(g, src, lane);
	if (s->asking == 0 && s->due == INT64_MAX)
		want(g, s, now);
	return now + FOLLOW_MS;
}

void
shared_note_untold(
    struct gate *g, struct throttle_source *src, enum share_lane lane)
{
	if (may_be_shared(g, src) &&
	    shared_of(g, src, lane)->untold < THROTTLE_COUNT_MAX)
		shared_of(g, src, lane)->untold++;
}

void
shared_note_alone(
    struct gate *g, struct throttle_source *src, enum share_lane lane)
{
	if (!shared_rules(g, src))
		shared_note_untold(g, src, lane);
}

void
shared_note_removed(
    struct gate *g, struct throttle_source *src, enum share_lane lane)
{
	struct shared_source *s;

	if (!shared_rules(g, src))
		return;
	s = shared_of(g, src, lane);
	s->differs = true;
	want(g, s, g->now);
}

void
shared_note_freeze(struct gate *g, struct throttle_source *src, bool is_frozen)
{
	if (g->is_quiet || !shared_rules(g, src))
		return;
	for (unsigned lane = 0; lane < SHARE_LANES; lane++) {
		struct shared_source *s = source_data(src)->shared[lane];

		if (s == NULL && lane == SHARE_FAMILIAR)
			continue;
		if (s == NULL)
			s = shared_of(g, src, SHARE_NEW);
		s->was_thawed = !is_frozen;
		s->differs = true;
		want(g, s, g->now);
	}
	gate_changed(g);
}

bool
shared_look(struct gate *g, struct throttle_source *src)
{
	if (!shared_rules(g, src))
		return false;
	for (unsigned lane = 0; lane < SHARE_LANES; lane++) {
		struct shared_source *s = source_data(src)->shared[lane];

		if (s == NULL || s->asking > 0)
			continue;
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
	scope_pins_free(ask->pins);
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

static void use_grants(struct gate *g, struct shared_source *s, int64_t now);

static void
drop_grant(struct shared_source *s, uint64_t destination)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->grants_n; i++) {
		if (s->grants[i] != destination)
			s->grants[kept++] = s->grants[i];
	}
	s->grants_n = kept;
}

/* The scopes have said whether it may go. */
static void
on_scopes_of_grant(void *arg, const struct scope_word *word, int64_t now)
{
	struct shared_source *s = arg;
	struct gate *g = s->g;
	uint64_t destination = s->asked_for;
	struct scope_info full;
	uint32_t mask;

	s->asking_scopes = NULL;
	if (word != NULL && !word->is_free) {
		s->scopes_open_at = word->full.open_at;
		if (s->scopes_open_at > now + SCOPES_AGAIN_MS)
			s->scopes_open_at = now + SCOPES_AGAIN_MS;
	} else if (word != NULL) {
		struct scope_pins *p = source_data(s->src)->scopes;

		/* It counts there, so it goes, whatever is full here. */
		(void)scope_reserve_given(
		    p, UINT32_MAX, destination, now, &mask, &full);
		scope_commit(p, destination, mask, now);
		strangers_note_release(g, s->src, destination, now);
		drop_grant(s, destination);
		if (throttle_let_go(g->throttle, s->src, destination, now))
			source_touch(g, s->src);
	}
	use_grants(g, s, now);
}

/* When to look again; now: it may go. */
static int64_t
grant_may_go(
    struct gate *g, struct shared_source *s, uint64_t destination, int64_t now)
{
	struct scope_pins *pins = source_data(s->src)->scopes;
	struct scope_info full;
	uint32_t mask;
	int64_t at;

	if (s->lane == SHARE_FAMILIAR)
		return now;
	if (s->asking_scopes != NULL)
		return INT64_MAX;
	if (s->scopes_open_at > now)
		return s->scopes_open_at;
	at = strangers_may_release(g, s->src, destination, now);
	if (at > now)
		return at;
	/* Those that nobody shares. */
	if (!scope_reserve_given(
		pins, scope_shared_mask(pins), destination, now, &mask, &full))
		return full.open_at > now ? full.open_at : now + 1;
	scope_cancel(pins, mask);
	s->asking_scopes = scope_ask(g, pins, true, on_scopes_of_grant, s);
	if (s->asking_scopes == NULL)
		return gate_scope_may_go(g, s->src, destination, now);
	s->asked_for = destination;
	return INT64_MAX;
}

/* Those that scopes and the like let go as well. */
static void
use_grants(struct gate *g, struct shared_source *s, int64_t now)
{
	struct throttle_source *in;
	struct throttle *t = limiter_of(g, s->src, s->lane, &in);
	size_t kept = 0;

	s->grants_at = INT64_MAX;
	for (size_t i = 0; i < s->grants_n; i++) {
		uint64_t destination = s->grants[i];
		int64_t at = grant_may_go(g, s, destination, now);

		if (at <= now) {
			if (throttle_let_go(t, in, destination, now))
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
	struct throttle_source *src = s->src, *in;
	struct throttle *t = limiter_of(g, src, s->lane, &in);
	uint32_t elsewhere = a->waiting > a->mine ? a->waiting - a->mine : 0;
	uint32_t here;
	int64_t next = a->next_in;

	throttle_follow(t, in, a->allowance, a->tick_in, now);
	for (size_t i = 0; i < a->granted_n; i++)
		add_grant(s, a->granted[i]);
	if (s->grants_n > 0)
		use_grants(g, s, now);
	source_touch(g, src);
	source_data(src)->waiting_elsewhere += elsewhere - s->elsewhere;
	s->elsewhere = elsewhere;
	if (a->froze != THROTTLE_FREEZE_NONE && !freeze_is_on(src) &&
	    !throttle_is_spared(src))
		freeze_for(g, src,
		    s->lane == SHARE_FAMILIAR ? THROTTLE_FREEZE_FAMILIAR
					      : a->froze,
		    now, wall);
	here = waiting_here(g, s, now);
	s->differs = here != a->mine &&
		     (here <= SHARE_LIST_MAX || a->mine < SHARE_LIST_MAX);
	if (here == 0 && a->mine == 0)
		return;
	if (freeze_is_on(src) || next < 0 || next > ASK_MOST_MS)
		next = ASK_MOST_MS;
	if (s->differs && s->asking == 0 && s->grants_n == 0)
		next = 0;
	/* Not all relays in the same moment, and not before the tick. */
	want(g, s, now + (next < ASK_MIN_MS ? ASK_MIN_MS : next + 1));
}

static struct gate_shared_ask *
ask_new(struct gate *g, const char *key, enum share_lane lane, int64_t wall)
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
	    ask_new(was->g, was->key, was->lane, was->wall);

	ask->steps = xcalloc(1, sizeof(*ask->steps));
	ask->steps[0] = (struct share_step){.what = SHARE_CANCEL,
	    .destination = was->steps[0].destination,
	    .reservation = was->later->reservation};
	ask->steps_n = 1;
	send_ask(ask, now);
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
	ask_free(ask);
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
		first = ask_new(ask->g, ask->key, SHARE_NEW, ask->wall);
		first->is_seeded = true;
		send_ask(first, now);
	}
	ask->is_seeded = true;
	send_ask(ask, now);
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

	if (src != NULL && may_be_shared(g, src))
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
		want(g, s, now + RETRY_MS);
	}
	if (a != NULL && s != NULL)
		follow(g, s, a, now, wall);
	if (a != NULL && a->rulings_n == 1)
		ruling = &a->rulings[0];
	/* The last: the front goes on from within it. */
	if (ask->later == NULL || ruling == NULL ||
	    !ask_scopes_for(ask, ruling)) {
		if (ask->later != NULL)
			resume(ask, ruling, NULL, now);
		ask_free(ask);
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

/* ---- questions ---- */

/* Takes the ask. */
static void
send_ask(struct gate_shared_ask *ask, int64_t now)
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
	struct share_level known;
	struct throttle_source *in;
	struct throttle *t;
	struct shared_source *s;

	if (src == NULL || !shared_rules(g, src)) {
		end_ask(ask, NULL, now);
		return;
	}
	s = shared_of(g, src, ask->lane);
	t = limiter_of(g, src, ask->lane, &in);
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
	ask = ask_new(g, txn->key, asked->lane, asked->wall);
	ask->later = xmalloc(sizeof(*ask->later));
	*ask->later = *asked;
	ask->later->address.p = str_dup(asked->address);
	ask->later->reservation = ++g->share_ids;
	ask->steps = xcalloc(1, sizeof(*ask->steps));
	ask->steps[0] = (struct share_step){
	    .what = reserves(asked),
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
	for (unsigned lane = 0; lane < SHARE_LANES; lane++)
		free(txn->told[lane].steps);
	free(txn->scope_steps);
}

/* ---- what became of recipients ---- */

static void
note(struct gate_txn *txn, enum share_lane lane, const struct share_step *step)
{
	struct share_step **steps = &txn->told[lane].steps;
	size_t *n = &txn->told[lane].n;

	*steps = xrealloc(*steps, (*n + 1) * sizeof(**steps));
	(*steps)[(*n)++] = *step;
}

static void
note_entry(struct gate_txn *txn, enum share_lane lane, enum share_what what,
    const struct txn_entry *e, uint64_t ticket)
{
	/* A path is in the queue under its own name. */
	bool is_path = ticket != 0 && ticket != e->r.destination;

	note(txn, lane,
	    &(struct share_step){.what = what,
		.destination = is_path ? ticket : e->site,
		.reservation = e->shared,
		.ticket = ticket});
}

void
shared_note_given_back(struct gate_txn *txn, const struct txn_entry *e)
{
	if (e->shared != 0)
		note_entry(txn, e->is_familiar ? SHARE_FAMILIAR : SHARE_NEW,
		    SHARE_CANCEL, e, 0);
}

static void
note_passed(struct gate_txn *txn, const struct txn_entry *e)
{
	enum share_lane lane = e->is_familiar ? SHARE_FAMILIAR : SHARE_NEW;

	if (e->r.reason != THROTTLE_KNOWN && e->shared == 0)
		shared_note_untold(txn->g, txn->src, lane);
	/* Nobody was asked for it there, but all know it from now on. */
	if (e->shared == 0)
		lane = SHARE_NEW;
	note_entry(txn, lane, SHARE_PASSED, e, 0);
}

void
shared_note_entry(struct gate_txn *txn, const struct txn_entry *e,
    uint64_t ticket, uint64_t as)
{
	if (txn->g->share_ops == NULL)
		return;
	if (e->verdict == THROTTLE_PASS && e->is_reserved) {
		note_passed(txn, e);
	} else if (e->verdict == THROTTLE_PASS ||
		   (!e->is_reserved && ticket == 0)) {
		return;
	} else if (e->is_familiar) {
		note_entry(txn, SHARE_FAMILIAR,
		    e->is_reserved ? SHARE_QUEUE : SHARE_APPEND, e,
		    e->r.destination);
	} else if (e->is_reserved && as == e->r.destination) {
		note_entry(txn, SHARE_NEW,
		    e->r.reason == THROTTLE_BARRED ? SHARE_BARRED : SHARE_QUEUE,
		    e, as);
	} else {
		if (e->is_reserved)
			shared_note_given_back(txn, e);
		note_entry(txn, SHARE_NEW, SHARE_APPEND, e, as);
	}
}

static void
note_scope(struct gate_txn *txn, enum share_scope_what what, uint64_t id)
{
	txn->scope_steps = xrealloc(txn->scope_steps,
	    (txn->scope_steps_n + 1) * sizeof(*txn->scope_steps));
	txn->scope_steps[txn->scope_steps_n++] =
	    (struct share_scope_step){what, id};
}

void
shared_note_scope(
    struct gate_txn *txn, const struct txn_entry *e, enum share_scope_what what)
{
	if (e->scoped_as != 0)
		note_scope(txn, what, e->scoped_as);
	else if (what == SHARE_SCOPE_COMMIT)
		scope_note_untold(txn->g, txn->scopes, e->scoped);
}

void
shared_give_up_scopes(struct gate_txn *txn, uint64_t reservation)
{
	struct share_scope_step step = {SHARE_SCOPE_CANCEL, reservation};

	if (reservation != 0)
		scope_tell(txn->g, txn->scopes, &step, 1);
}

void
shared_note_blast(struct gate_txn *txn, bool begins)
{
	if (txn->g->share_ops != NULL && txn->strangers > 0)
		note(txn, SHARE_NEW,
		    &(struct share_step){
			.what = begins ? SHARE_BLAST_BEGIN : SHARE_BLAST_END});
}

static void
tell_some(struct gate_txn *txn, enum share_lane lane, size_t from, size_t n,
    int64_t now)
{
	struct gate_shared_ask *ask =
	    ask_new(txn->g, txn->key, lane, txn->g->wall);

	ask->steps = xcalloc(n, sizeof(*ask->steps));
	memcpy(
	    ask->steps, txn->told[lane].steps + from, n * sizeof(*ask->steps));
	ask->steps_n = n;
	send_ask(ask, now);
}

static void
tell_lane(struct gate_txn *txn, enum share_lane lane, int64_t now)
{
	size_t all = txn->told[lane].n;
	struct throttle_source *src =
	    all > 0 ? source_find(txn->g, txn_key(txn)) : NULL;

	for (size_t i = 0; src != NULL && shared_rules(txn->g, src) && i < all;
	     i += SHARE_STEPS_MAX) {
		size_t n = all - i;

		tell_some(txn, lane, i,
		    n < SHARE_STEPS_MAX ? n : SHARE_STEPS_MAX, now);
	}
	free(txn->told[lane].steps);
	txn->told[lane].steps = NULL;
	txn->told[lane].n = 0;
}

void
shared_tell(struct gate_txn *txn, int64_t now)
{
	for (unsigned lane = 0; lane < SHARE_LANES; lane++)
		tell_lane(txn, (enum share_lane)lane, now);
	scope_tell(txn->g, txn->scopes, txn->scope_steps, txn->scope_steps_n);
	free(txn->scope_steps);
	txn->scope_steps = NULL;
	txn->scope_steps_n = 0;
}

void
shared_give_up(struct gate_txn *txn, enum share_lane lane, uint64_t reservation,
    int64_t now)
{
	if (reservation == 0)
		return;
	note(txn, lane,
	    &(struct share_step){.what = SHARE_CANCEL,
		.destination = txn->site,
		.reservation = reservation});
	shared_tell(txn, now);
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
	struct throttle_source *in =
	    s->lane == SHARE_NEW ? s->src : tier_of(s->src);
	struct listed l = {0};

	ask = ask_new(g, source_name(s->src, name), s->lane, wall);
	if (s->differs && s->grants_n == 0 && s->asking == 0) {
		l.v = xmalloc(SHARE_LIST_MAX * sizeof(*l.v));
		if (in != NULL)
			throttle_queue_each(in, list_one, &l);
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
	scope_join_more(g);
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
		if (s->untold > 0 || waiting_here(g, s, now) > 0 ||
		    freeze_is_on(s->src))
			want(g, s, now);
	}
	scope_join(g);
	gate_changed(g);
}

void
shared_clear(struct gate *g)
{
	while (!list_is_empty(&g->shared_asks))
		ask_free(LIST_ITEM(
		    g->shared_asks.next, struct gate_shared_ask, entry));
}
