/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each answer has the windows as the server has them, and those here become
 * the same. A question says what they are here: a server that has lost them
 * goes on from there.
 */
#include "gate/gate_scope_shared.h"
#include "gate/scope_book.h"

#include <stdlib.h>
#include <string.h>

#define JOIN_PAUSE_MS 100
#define WINDOWS_MAX (SCOPES_MAX * OPTION_RATES_MAX)

_Static_assert(SHARE_SCOPES_MAX == SCOPES_MAX, "each scope is a question");
_Static_assert(SHARE_SLOTS == WINDOW_SLOTS + 1, "a window is one");

struct scope_ask {
	struct list entry; /* of g->scope_asks */
	struct gate *g;
	struct scope_pins *pins;
	size_t n;
	struct asked {
		struct scope_key *key; /* of pins */
		size_t windows;
		int64_t lengths[OPTION_RATES_MAX];
		uint32_t untold;
	} v[SCOPES_MAX];
	bool is_taken;
	size_t places;
	uint64_t reservation; /* of the first; then one more of each */
	scope_words_fn *fn;   /* NULL: nobody waits for them */
	void *arg;
};

struct join {
	struct list entry; /* of g->scope_joins */
	struct scope_pins *pins;
};

static bool
is_shared(const struct scope_key *k)
{
	return k->n > 0 && k->scope->rule != NULL && !k->scope->rule->is_local;
}

static bool
may_ask(const struct gate *g)
{
	return g->share_ops != NULL && g->share_ops->ask_scopes != NULL &&
	       !g->observe && !g->is_dry;
}

/* ---- what is here ---- */

uint32_t
scope_shared_mask(const struct scope_pins *p)
{
	uint32_t mask = 0;

	for (size_t i = 0; p != NULL && i < p->n; i++) {
		if (is_shared(p->v[i]))
			mask |= UINT32_C(1) << i;
	}
	return mask;
}

void
scope_note_untold(struct gate *g, struct scope_pins *p, uint32_t mask)
{
	if (p == NULL || !may_ask(g))
		return;
	mask &= scope_shared_mask(p);
	for (size_t i = 0; i < p->n; i++) {
		if ((mask & UINT32_C(1) << i) != 0 &&
		    p->v[i]->untold < THROTTLE_COUNT_MAX)
			p->v[i]->untold++;
	}
}

static void
write_window(const struct window *from, const struct option_rate *limit,
    int64_t now, struct share_window *out)
{
	out->count = limit->count;
	out->length_ms = from->length_ms;
	out->age_ms = now > from->newest_at ? now - from->newest_at : 0;
	memcpy(out->slot, from->slot, sizeof(out->slot));
}

/* What it says is bounded: used cannot pass what a slot holds at most. */
static void
read_window(const struct share_window *from, int64_t now, struct window *out)
{
	out->newest_at = now - from->age_ms;
	memcpy(out->slot, from->slot, sizeof(out->slot));
	out->used = 0;
	for (size_t i = 0; i < SHARE_SLOTS; i++)
		out->used += out->slot[i];
	window_advance(out, now);
}

/* Limits may have changed since it was asked. */
static void
follow(struct scope_ask *ask, const struct share_window *windows, int64_t now)
{
	for (size_t i = 0; i < ask->n; i++) {
		struct asked *a = &ask->v[i];

		for (size_t j = 0; j < a->windows && j < a->key->n; j++) {
			if (a->key->windows[j].length_ms == a->lengths[j])
				read_window(
				    &windows[j], now, &a->key->windows[j]);
		}
		windows += a->windows;
		a->key->is_gone = false;
		scope_key_touch(a->key);
	}
	gate_scope_touch(ask->g);
}

/* ---- questions ---- */

static struct scope_ask *
ask_new(struct gate *g, struct scope_pins *pins)
{
	struct scope_ask *ask = xcalloc(1, sizeof(*ask));

	ask->g = g;
	ask->pins = scope_pins_ref(pins);
	for (size_t i = 0; i < pins->n; i++) {
		if (is_shared(pins->v[i]))
			ask->v[ask->n++].key = pins->v[i];
	}
	list_append(&g->scope_asks, &ask->entry);
	return ask;
}

static void
ask_free(struct scope_ask *ask)
{
	list_remove(&ask->entry);
	scope_pins_free(ask->pins);
	free(ask);
}

/* What it was to be told of is told later. */
static void
take_back(struct scope_ask *ask)
{
	for (size_t i = 0; i < ask->n; i++) {
		struct scope_key *k = ask->v[i].key;

		if (k->untold + ask->v[i].untold <= THROTTLE_COUNT_MAX)
			k->untold += ask->v[i].untold;
	}
}

static void
fill_word(const struct scope_ask *ask, size_t place,
    const struct share_scope_ruling *r, int64_t now, struct scope_word *out)
{
	const struct asked *a = &ask->v[r->scope];
	const struct scope_rule *rule = a->key->scope->rule;

	*out = (struct scope_word){.is_free = r->is_free};
	if (r->is_free) {
		out->reservation = ask->is_taken ? 0 : ask->reservation + place;
		return;
	}
	out->full = (struct scope_info){
	    .name = a->key->scope->name,
	    .key = a->key->key,
	    .used = r->used,
	    .count = rule != NULL && r->window < rule->limit_count
			 ? rule->limits[r->window].count
			 : r->used,
	    .window_ms = a->lengths[r->window],
	    .open_at = now + (r->open_in > 0 ? r->open_in : 1),
	};
}

/* Nobody waits for them any more. */
static void
give_back(const struct scope_ask *ask, const struct scope_word *words)
{
	struct share_scope_step *steps =
	    xcalloc(ask->places + 1, sizeof(*steps));
	size_t n = 0;

	for (size_t i = 0; i < ask->places; i++) {
		if (words[i].reservation != 0)
			steps[n++] = (struct share_scope_step){
			    SHARE_SCOPE_CANCEL, words[i].reservation};
	}
	scope_tell(ask->g, ask->pins, steps, n);
	free(steps);
}

static void
on_answer(void *arg, const struct share_scopes_answer *answer, int64_t now)
{
	struct scope_ask *ask = arg;
	struct gate *g = ask->g;
	struct scope_word *words = NULL;

	g->now = now;
	if (answer != NULL)
		follow(ask, answer->windows, now);
	else
		take_back(ask);
	if (answer != NULL && answer->rulings_n == ask->places) {
		words = xcalloc(ask->places + 1, sizeof(*words));
		for (size_t i = 0; i < ask->places; i++)
			fill_word(ask, i, &answer->rulings[i], now, &words[i]);
	}
	if (ask->fn != NULL)
		ask->fn(ask->arg, words, now);
	else if (words != NULL)
		give_back(ask, words);
	free(words);
	ask_free(ask);
	gate_changed(g);
}

/* False: the ask is gone, and nothing was asked. */
static bool
send_ask(struct scope_ask *ask, const struct share_scope_step *steps, size_t n)
{
	struct gate *g = ask->g;
	struct share_window *windows = xcalloc(WINDOWS_MAX, sizeof(*windows));
	struct share_scope scopes[SCOPES_MAX];
	struct share_scopes q = {
	    .scopes = scopes, .scopes_n = ask->n, .steps = steps, .steps_n = n};
	size_t used = 0;
	bool ok;

	for (size_t i = 0; i < ask->n; i++) {
		struct asked *a = &ask->v[i];
		struct scope_key *k = a->key;

		scopes[i] = (struct share_scope){
		    .name = str_from(k->scope->name),
		    .key = {k->key, k->key_n},
		    .untold = k->untold,
		    .windows = windows + used,
		    .windows_n = k->n,
		};
		a->windows = k->n;
		a->untold = k->untold;
		k->untold = 0;
		for (size_t j = 0; j < k->n; j++) {
			window_advance(&k->windows[j], g->now);
			a->lengths[j] = k->windows[j].length_ms;
			write_window(&k->windows[j], &k->scope->rule->limits[j],
			    g->now, &windows[used++]);
		}
	}
	ok = g->share_ops->ask_scopes(g->share_arg, &q, on_answer, ask);
	free(windows);
	if (ok)
		return true;
	take_back(ask);
	ask_free(ask);
	return false;
}

struct scope_ask *
scope_ask(struct gate *g, struct scope_pins *pins, bool taken, size_t places,
    scope_words_fn *fn, void *arg)
{
	struct share_scope_step *steps;
	struct scope_ask *ask;
	bool is_sent;

	if (!may_ask(g) || scope_shared_mask(pins) == 0)
		return NULL;
	ask = ask_new(g, pins);
	ask->places = places;
	ask->reservation = g->share_ids + 1;
	ask->is_taken = taken;
	ask->fn = fn;
	ask->arg = arg;
	steps = xcalloc(places, sizeof(*steps));
	for (size_t i = 0; i < places; i++)
		steps[i] = (struct share_scope_step){
		    taken ? SHARE_SCOPE_TAKE : SHARE_SCOPE_RESERVE,
		    ++g->share_ids};
	is_sent = send_ask(ask, steps, places);
	free(steps);
	return is_sent ? ask : NULL;
}

void
scope_unask(struct scope_ask *ask)
{
	if (ask != NULL)
		ask->fn = NULL;
}

void
scope_tell(struct gate *g, struct scope_pins *pins,
    const struct share_scope_step *steps, size_t n)
{
	for (size_t i = 0; i < n && may_ask(g) && scope_shared_mask(pins) != 0;
	     i += SHARE_STEPS_MAX) {
		size_t some = n - i < SHARE_STEPS_MAX ? n - i : SHARE_STEPS_MAX;

		/* What is not told ends by its lease, as used. */
		(void)send_ask(ask_new(g, pins), steps + i, some);
	}
}

static void
join_add(struct gate *g, struct scope_pins *p)
{
	struct join *j = xcalloc(1, sizeof(*j));

	j->pins = p;
	list_append(&g->scope_joins, &j->entry);
}

static void
join_free(struct join *j)
{
	list_remove(&j->entry);
	scope_pins_free(j->pins);
	free(j);
}

static void
joins_clear(struct gate *g)
{
	while (!list_is_empty(&g->scope_joins))
		join_free(LIST_ITEM(g->scope_joins.next, struct join, entry));
}

/* A link takes some hundred at once. */
void
scope_join_more(struct gate *g)
{
	static const struct share_scope_step step = {SHARE_SCOPE_JOIN, 0};

	while (!list_is_empty(&g->scope_joins)) {
		struct join *j =
		    LIST_ITEM(g->scope_joins.next, struct join, entry);

		/* A reload may have ended it. */
		if (may_ask(g) && scope_shared_mask(j->pins) != 0 &&
		    !send_ask(ask_new(g, j->pins), &step, 1)) {
			if (g->now + JOIN_PAUSE_MS < g->shared_due)
				g->shared_due = g->now + JOIN_PAUSE_MS;
			return;
		}
		join_free(j);
	}
}

static struct scope_pins *
no_pins(void)
{
	struct scope_pins *p = xcalloc(1, sizeof(*p));

	p->refs = 1;
	return p;
}

void
scope_join(struct gate *g)
{
	struct scope_pins *p = no_pins();
	size_t at = 0, pos;
	struct str name, text;
	void *scope, *key;

	joins_clear(g);
	while (may_ask(g) && map_each(g->scopes->scopes, &at, &name, &scope)) {
		pos = 0;
		while (map_each(
		    ((struct scope *)scope)->keys, &pos, &text, &key)) {
			struct scope_key *k = key;

			if (!is_shared(k) || !scope_key_is_used(k, g->now))
				continue;
			k->pins++;
			p->v[p->n++] = k;
			if (p->n < SCOPES_MAX)
				continue;
			join_add(g, p);
			p = no_pins();
		}
	}
	join_add(g, p);
	scope_join_more(g);
}

void
scope_asks_clear(struct gate *g)
{
	joins_clear(g);
	while (!list_is_empty(&g->scope_asks))
		ask_free(
		    LIST_ITEM(g->scope_asks.next, struct scope_ask, entry));
}
