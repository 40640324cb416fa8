/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each answer says all that this relay has to know of the source, so nothing is
 * remembered of those that did not come: what the server holds reserved ends by
 * its lease, and what waits is compared with what the server says that it has
 * of this relay, and told anew where the two differ. That one comparison makes
 * good for outages, restarts, emptied servers, and for what administrators
 * release or discard.
 */
#include "gate/gate_shared_source.h"
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define ASK_MIN_MS 50     /* about the same source */
#define ASK_MOST_MS 15000 /* a lease of 60 s is kept by it */
#define FOLLOW_MS \
	1000 /* then the own schedule looks whether it still follows */
#define SCOPES_AGAIN_MS 60000 /* limits may have been raised meanwhile */
#define GRANTS_MAX 4096

/* ---- who is shared ---- */

bool
shared_may_be(const struct gate *g, const struct throttle_source *src)
{
	return g->share_ops != NULL && !g->observe && !g->is_dry &&
	       source_data(src) != NULL;
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
	return shared_may_be(g, src) && is_there(g, src);
}

bool
shared_refuses(const struct gate *g, const struct throttle_source *src)
{
	return shared_refuses_then(g, src) && !is_there(g, src);
}

bool
shared_refuses_then(const struct gate *g, const struct throttle_source *src)
{
	return g->share_refuses && shared_may_be(g, src);
}

struct shared_source *
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
		shared_touch_forget(s);
		free(s->grants);
		free(s->lost);
		free(s);
		data->shared[lane] = NULL;
	}
}

/* Its throttle here, and the source in it. */
struct throttle *
shared_limiter(struct gate *g, struct throttle_source *src,
    enum share_lane lane, struct throttle_source **out)
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

void
shared_want(struct gate *g, struct shared_source *s, int64_t at)
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
		shared_want(g, s, now);
	return now + FOLLOW_MS;
}

void
shared_note_untold(
    struct gate *g, struct throttle_source *src, enum share_lane lane)
{
	if (shared_may_be(g, src) &&
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
	shared_want(g, s, g->now);
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
		shared_want(g, s, g->now);
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
		shared_want(g, s, g->now);
		gate_changed(g);
	}
	return true;
}

/* ---- following ---- */

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
	s->asking_scopes = scope_ask(g, pins, true, 1, on_scopes_of_grant, s);
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
	struct throttle *t = shared_limiter(g, s->src, s->lane, &in);
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
	shared_want(g, s, s->grants_at);
}

void
shared_follow(struct gate *g, struct shared_source *s,
    const struct share_answer *a, int64_t now, int64_t wall)
{
	struct throttle_source *src = s->src, *in;
	struct throttle *t = shared_limiter(g, src, s->lane, &in);
	uint32_t elsewhere = a->waiting > a->mine ? a->waiting - a->mine : 0;
	char name[GATE_KEY_MAX];
	uint32_t here;
	int64_t next = a->next_in;

	throttle_follow(t, in, a->allowance, a->tick_in, now);
	if (s->lane == SHARE_NEW)
		shared_signals_follow(g, str_from(source_name(src, name)),
		    source_policy(src), &a->signals, now);
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
	shared_want(g, s, now + (next < ASK_MIN_MS ? ASK_MIN_MS : next + 1));
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

	ask = shared_ask_new(g, source_name(s->src, name), s->lane, wall);
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
	shared_ask_send(ask, now);
}

void
shared_run(struct gate *g, int64_t now, int64_t wall)
{
	struct list *e, *next;

	shared_touch_run(g, now, wall);
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
			shared_want(g, s, now + ASK_MIN_MS);
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
	if (g->share_times == 0)
		g->share_times = 1;
}

static bool
has_untold_signals(const struct gate *g, const struct shared_source *s)
{
	char name[GATE_KEY_MAX];
	const struct signals *of =
	    signals_find(g->signals, str_from(source_name(s->src, name)));

	return s->lane == SHARE_NEW && of != NULL && of->is_untold;
}

void
gate_share_again(struct gate *g, int64_t now)
{
	struct list *e;

	g->now = now;
	g->share_times++;
	list_each (e, &g->shared_sources) {
		struct shared_source *s =
		    LIST_ITEM(e, struct shared_source, entry);
		if (s->untold > 0 || s->lost_n > 0 ||
		    waiting_here(g, s, now) > 0 || freeze_is_on(s->src) ||
		    has_untold_signals(g, s))
			shared_want(g, s, now);
	}
	scope_join(g);
	gate_changed(g);
}

void
shared_clear(struct gate *g)
{
	while (!list_is_empty(&g->shared_asks))
		shared_ask_free(LIST_ITEM(
		    g->shared_asks.next, struct gate_shared_ask, entry));
}
