/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holds the script that counts scopes in the shared server against
 * src/gate/scope.c: random limits, reservations, times and reloads, asked of a
 * real redis-server by three relays in turn, and of a book of scopes beside it.
 * Every place, what is full and when it opens, and each window must be equal.
 */
#include "gate/scope_book.h"
#include "oracle_rig.h"

#define OPEN_MAX 40
#define ROUND_OPS 400

struct world {
	struct oracle o;
	struct scope_book *book;
	struct scope_pins *pins;
	struct scope_rule rules[3]; /* as a reload has changed them */
	struct scope_rules *set;
	int64_t now, begin;
	uint64_t taken, full, untold;
	char names[3][24];
	struct open {
		uint64_t id;
		uint32_t mask;
		unsigned relay;
	} open[OPEN_MAX];
	unsigned open_n;
	uint32_t told[3]; /* of the next question */
	uint32_t claim;   /* the same: in each window */

	/* of the last question */
	struct share_scope_ruling ruling;
	struct share_window windows[3 * OPTION_RATES_MAX];
};

static uint64_t
below(struct world *w, uint64_t n)
{
	return oracle_below(&w->o, n);
}

static int
set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	oracle_open(&w->o);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	oracle_close(&w->o);
	free(w);
	return 0;
}

static void
on_answer(void *arg, const struct share_scopes_answer *answer, int64_t now)
{
	struct world *w = arg;
	size_t n = 0;

	(void)now;
	assert_non_null(answer);
	for (size_t i = 0; i < w->pins->n; i++)
		n += w->pins->v[i]->n;
	memcpy(w->windows, answer->windows, n * sizeof(*w->windows));
	if (answer->rulings_n > 0)
		w->ruling = answer->rulings[0];
	oracle_answer(&w->o);
}

/* empty: the seed of relays that know nothing must not count, but for the
 * first. */
static void
question(struct world *w, unsigned relay, enum share_scope_what what,
    uint64_t id, bool has_step)
{
	struct share_window seeds[3 * OPTION_RATES_MAX] = {{0}};
	struct share_scope scopes[3];
	struct share_scope_step step = {what, id};
	struct share_scopes q = {.scopes = scopes,
	    .scopes_n = w->pins->n,
	    .steps = &step,
	    .steps_n = has_step,
	    .at = w->now};
	size_t n = 0;

	for (size_t i = 0; i < w->pins->n; i++) {
		struct scope_key *k = w->pins->v[i];

		scopes[i] = (struct share_scope){
		    .name = str_from(k->scope->name),
		    .key = {k->key, k->key_n},
		    .untold = w->told[i],
		    .windows = &seeds[n],
		    .windows_n = k->n,
		};
		w->told[i] = 0;
		for (size_t j = 0; j < k->n; j++, n++) {
			seeds[n].count = k->scope->rule->limits[j].count;
			seeds[n].length_ms = k->windows[j].length_ms;
			seeds[n].slot[0] = w->claim;
		}
	}
	oracle_ask_scopes(&w->o, relay, &q, on_answer, w);
}

static void
same_windows(struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->pins->n; i++) {
		struct scope_key *k = w->pins->v[i];

		for (size_t j = 0; j < k->n; j++, n++) {
			window_advance(&k->windows[j], w->now);
			assert_true(w->windows[n].age_ms ==
				    w->now - k->windows[j].newest_at);
			assert_memory_equal(w->windows[n].slot,
			    k->windows[j].slot, sizeof(k->windows[j].slot));
		}
	}
}

static void
same_ruling(struct world *w, bool is_free, const struct scope_info *full)
{
	const struct scope_key *k = w->pins->v[w->ruling.scope];

	assert_int_equal(w->ruling.is_free, is_free);
	if (is_free)
		return;
	w->full++;
	assert_string_equal(k->scope->name, full->name);
	assert_int_equal(w->ruling.used, full->used);
	assert_int_equal(
	    k->windows[w->ruling.window].length_ms, full->window_ms);
	assert_true(w->now + w->ruling.open_in == full->open_at);
}

static void
reserve(struct world *w)
{
	bool taken = below(w, 4) == 0;
	struct open *o = &w->open[w->open_n];
	struct scope_info full;
	bool is_free;

	*o = (struct open){.id = ++w->o.ids, .relay = oracle_relay(&w->o)};
	is_free = scope_reserve(w->pins, o->id, w->now, &o->mask, &full);
	question(w, o->relay, taken ? SHARE_SCOPE_TAKE : SHARE_SCOPE_RESERVE,
	    o->id, true);
	same_ruling(w, is_free, &full);
	if (taken && is_free)
		scope_commit(w->pins, o->id, o->mask, w->now);
	else if (is_free)
		w->open_n++;
	w->taken += is_free;
}

static void
end_one(struct world *w)
{
	unsigned i = (unsigned)below(w, w->open_n);
	struct open o = w->open[i];
	bool is_used = below(w, 3) > 0;

	w->open[i] = w->open[--w->open_n];
	if (is_used)
		scope_commit(w->pins, o.id, o.mask, w->now);
	else
		scope_cancel(w->pins, o.mask);
	question(w, o.relay, is_used ? SHARE_SCOPE_COMMIT : SHARE_SCOPE_CANCEL,
	    o.id, true);
}

/* A relay let it go while the server was not there. */
static void
use_alone(struct world *w)
{
	uint32_t mask = (uint32_t)1 << below(w, w->pins->n);

	for (size_t i = 0; i < w->pins->n; i++) {
		if ((mask & UINT32_C(1) << i) == 0)
			continue;
		w->pins->v[i]->reserved++;
		w->told[i]++;
	}
	scope_commit(w->pins, ++w->o.ids, mask, w->now);
	w->untold++;
	question(w, oracle_relay(&w->o), SHARE_SCOPE_CANCEL, 0, false);
}

/* A relay knows of more than a server that has lost something. */
static void
join(struct world *w)
{
	w->claim = 1 + (uint32_t)below(w, 8);
	for (size_t i = 0; i < w->pins->n; i++) {
		struct scope_key *k = w->pins->v[i];

		for (size_t j = 0; j < k->n; j++) {
			struct window *at = &k->windows[j];

			window_advance(at, w->now);
			for (uint32_t n = at->used + k->reserved; n < w->claim;
			     n++)
				window_add(at, w->now);
		}
	}
	question(w, oracle_relay(&w->o), SHARE_SCOPE_JOIN, 0, true);
	w->claim = 0;
}

static void
draw_limits(struct world *w, struct scope_rule *rule)
{
	rule->limit_count = 1 + (size_t)below(w, OPTION_RATES_MAX);
	for (size_t i = 0; i < rule->limit_count; i++)
		rule->limits[i] =
		    (struct option_rate){.count = (uint32_t)below(w, 12),
			.window_ms = 20 + (int64_t)below(w, 4000)};
}

/* The names stay, limits and lengths do not. */
static void
reload(struct world *w)
{
	struct scope_rules *set = xcalloc(1, sizeof(*set));

	set->refs = 1;
	set->n = 3;
	for (size_t i = 0; i < set->n; i++) {
		set->v[i].name = xstrdup(w->names[i]);
		set->v[i].by = SCOPE_ALL;
		draw_limits(w, &set->v[i]);
	}
	scope_book_set_rules(w->book, set, w->now);
	scope_rules_free(set);
	question(w, oracle_relay(&w->o), SHARE_SCOPE_CANCEL, 0, false);
}

static void
begin_round(struct world *w)
{
	static const struct policy_conf conf = {.key = POLICY_KEY_USER};
	static const struct policy policy = {.conf = &conf};
	const struct scope_facts facts = {
	    .policy = &policy, .facts = {.user = STR("alice")}};
	struct scope_rules *set = xcalloc(1, sizeof(*set));

	set->refs = 1;
	set->n = 1 + (size_t)below(w, 3);
	for (size_t i = 0; i < 3; i++)
		snprintf(w->names[i], sizeof(w->names[i]), "s%llu",
		    (unsigned long long)++w->o.ids);
	for (size_t i = 0; i < set->n; i++) {
		set->v[i].name = xstrdup(w->names[i]);
		set->v[i].by = SCOPE_ALL;
		draw_limits(w, &set->v[i]);
	}
	w->book = scope_book_new();
	scope_book_set_rules(w->book, set, w->now);
	scope_rules_free(set);
	w->pins = scope_pins_new(w->book, &facts, w->now);
	w->open_n = 0;
	w->begin = w->now;
	question(w, 0, SHARE_SCOPE_CANCEL, 0, false);
}

static void
step(struct world *w)
{
	uint64_t pick = below(w, 100);

	if (below(w, 3) == 0)
		w->now += (int64_t)below(w, below(w, 10) == 0 ? 5000 : 120);
	if (pick < 60 && w->open_n < OPEN_MAX)
		reserve(w);
	else if (pick < 90 && w->open_n > 0)
		end_one(w);
	else if (pick < 94)
		use_alone(w);
	else if (pick < 96)
		join(w);
	else if (pick < 97 && w->pins->n == 3)
		reload(w);
	else
		question(w, oracle_relay(&w->o), SHARE_SCOPE_CANCEL, 0, false);
	same_windows(w);
	/* No lease ends: a book knows none. */
	if (w->now - w->begin > 30 * 1000) {
		while (w->open_n > 0)
			end_one(w);
		w->begin = w->now;
	}
}

static void
test_every_place_is_the_books(void **state)
{
	struct world *w = *state;
	uint64_t ops = oracle_begin(&w->o), done = 0;

	w->now = 1000000;
	while (done < ops) {
		begin_round(w);
		for (unsigned i = 0; i < ROUND_OPS; i++)
			step(w);
		done += ROUND_OPS;
		scope_pins_free(w->pins);
		scope_book_free(w->book);
		w->now += 1000000;
	}
	/* Nothing is equal for want of occasion. */
	assert_true(w->taken > 0);
	assert_true(w->full > 0);
	assert_true(w->untold > 0);
}

/* What a long outage has added up is one question. */
static void
test_thousands_untold(void **state)
{
	struct world *w = *state;

	w->o.seed = 5;
	w->now = 1000000;
	begin_round(w);
	reserve(w);
	for (unsigned i = 0; i < w->pins->n; i++) {
		uint32_t many = 20000 + i;

		for (uint32_t k = 0; k < many; k++) {
			w->pins->v[i]->reserved++;
			scope_commit(
			    w->pins, ++w->o.ids, UINT32_C(1) << i, w->now);
		}
		w->told[i] = many;
	}
	question(w, 1, SHARE_SCOPE_CANCEL, 0, false);
	same_windows(w);
	for (unsigned i = 0; i < 20; i++) {
		w->now += 130;
		reserve(w);
		same_windows(w);
	}
	assert_true(w->full > 0);
	scope_pins_free(w->pins);
	scope_book_free(w->book);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_thousands_untold, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		test_every_place_is_the_books, set_up, tear_down),
	};

	if (!redis_rig_is_there())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
