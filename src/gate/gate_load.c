/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the spool knows at start: sources with their snapshots and freezes, and
 * then, behind the listeners, every held recipient in order of arrival, back
 * into its queue. What is stored is taken as hostile: a state that cannot be
 * read costs the source its known recipients and is logged, and never stops the
 * start.
 *
 * Until its queue is there a source decides nothing (gate_load.h): whoever asks
 * about one has its rows read first. Its clock stands meanwhile, and then works
 * off what was due (throttle_set_loading), so that all is as if the queue had
 * been there from the start. The walk of all rows passes over a source that was
 * read by itself. Nothing is released, expires or makes room, no time of a
 * freeze ends, and other relays are not asked, before all of it has been read;
 * what administrators change is serialised with the reading by the spool.
 */
#include "gate/gate_load.h"

#include "gate/gate_tier.h"
#include "os/clock.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN_FEW 4 /* recipients */

#define PAGES 2 /* of the walk on their way: one is read, one put in place */
#define SWEEP_STEPS 4096
/* Never in step with the walk, which would fail in the same transaction. */
#define WANT_RETRY_FIRST_MS (GATE_RETRY_FIRST_MS * 3 / 2)

/* A source whose rows somebody waits for. */
struct load_want {
	struct list entry;
	struct gate *g;
	struct list waits; /* struct load_wait */
	uint64_t after;
	bool is_asked;    /* a page is on its way */
	int64_t retry_at; /* INT64_MAX: it did not fail */
	int64_t delay;
	char key[];
};

struct loading {
	struct gate *g;
	int64_t now, wall; /* of the start */
	uint64_t sources, left_out, held, bad;
	size_t flagged;    /* sources whose queue is not there yet */
	struct list wants; /* struct load_want */
	unsigned pages;
	bool is_walked;   /* the walk has come to its end */
	int64_t retry_at; /* of the walk; INT64_MAX: it did not fail */
	int64_t delay;
	size_t sweep_pos;
};

static void
tell_bad(struct loading *l, const char *key, const char *what)
{
	l->bad++;
	log_write(l->g->log, LOG_EV_GATE_BAD_STATE, KV(sender, key),
	    KV(reason, what));
}

static void
load_state(struct loading *l, struct throttle_source *src,
    const struct spool_source *row, const struct source_state *state)
{
	int64_t age = l->wall > row->saved_at ? l->wall - row->saved_at : 0;

	source_data(src)->home = state->home;
	if (state->familiar.n > 0 &&
	    !tier_load(l->g, src, state->familiar, age, l->now))
		tell_bad(l, row->key,
		    "its use of the familiar allowance cannot be read");
	source_data(src)->has_state =
	    state->rest.n > 0 && throttle_load(l->g->throttle, src,
				     state->rest.p, state->rest.n, age, l->now);
	if (source_data(src)->has_state)
		return;
	tell_bad(l, row->key, "its known recipients cannot be read");
}

static enum throttle_freeze_reason
stored_reason(unsigned reason)
{
	if (reason > THROTTLE_FREEZE_NONE && reason <= THROTTLE_FREEZE_LAST)
		return (enum throttle_freeze_reason)reason;
	return THROTTLE_FREEZE_HAND;
}

/* The row decides: the snapshot may be older than the freeze or the thaw. */
static void
load_freeze(struct loading *l, struct throttle_source *src,
    const struct spool_source *row)
{
	throttle_thaw(l->g->throttle, src, l->now);
	tier_thaw(l->g, src);
	if (!row->frozen)
		return;
	throttle_freeze(
	    l->g->throttle, src, stored_reason(row->reason), l->now);
	freeze_set_at(l->g, src, row->frozen_at > 0 ? row->frozen_at : l->wall);
	hand_set(l->g, src, row->note, row->thaw_at > 0 ? row->thaw_at : 0);
}

/* Of no use to anybody but as one of very many: no more than a new sender would
 * have, who knows few. What is frozen stays in any case, and what waits comes
 * back with its mail. */
static bool
is_left_out(struct loading *l, struct throttle_source *src)
{
	struct gate *g = l->g;
	struct throttle_source_info info;

	if (g->senders_max == 0 ||
	    throttle_source_count(g->throttle) <= g->senders_max / 2 ||
	    !source_may_go(g, src, l->now))
		return false;
	throttle_source_info(g->throttle, src, l->now, &info);
	return info.working_set <= KNOWN_FEW ||
	       throttle_source_count(g->throttle) > g->senders_max;
}

static void
load_scope(struct loading *l, const struct spool_source *row, struct str state)
{
	int64_t age = l->wall > row->saved_at ? l->wall - row->saved_at : 0;

	if (!scope_load(l->g->scopes, state, age, l->now))
		tell_bad(l, row->key, "the use of a scope cannot be read");
}

static void
load_signals(
    struct loading *l, const struct spool_source *row, struct str state)
{
	int64_t age = l->wall > row->saved_at ? l->wall - row->saved_at : 0;

	if (!signals_load(
		l->g->signals, str_from(row->key), state, age, l->now))
		tell_bad(l, row->key, "its counts cannot be read");
}

static void
flag(struct loading *l, struct throttle_source *src)
{
	struct gate *g = l->g;
	struct gate_source *data = source_data(src);

	if (data->load != LOAD_DONE)
		return;
	data->load = LOAD_WALK;
	l->flagged++;
	throttle_set_loading(g->throttle, src, true, g->now);
	if (tier_of(src) != NULL)
		throttle_set_loading(g->familiar, tier_of(src), true, g->now);
}

static void
on_source(void *arg, const struct spool_source *row)
{
	struct str key = str_from(row->key);
	struct str state = {
	    row->state, row->state != NULL ? row->state_size : 0};
	struct loading *l = arg;
	struct throttle_source *src;
	bool has_state = row->state != NULL && row->state_size > 0;
	struct source_state parts = {0};
	bool is_split = has_state && source_split_state(state, &parts);

	if (state.n > 0 && state.p[0] == SCOPE_STATE_MARK) {
		load_scope(l, row, state);
		return;
	}
	if (state.n > 0 && state.p[0] == SIGNALS_STATE_MARK) {
		load_signals(l, row, state);
		return;
	}
	if (state.n > 0 && state.p[0] == HABIT_STATE_MARK) {
		if (!habit_load(l->g, row, l->now, l->wall))
			tell_bad(l, row->key, "its counts are lost");
		return;
	}
	src = source_get(l->g, key,
	    source_choose_policy(l->g, key, parts.policy), l->now, true);
	if (src == NULL) {
		tell_bad(l, row->key, "its name is too long");
		return;
	}
	source_data(src)->is_stored = true;
	if (has_state && !is_split)
		tell_bad(l, row->key, "its state has an unknown format");
	else if (has_state)
		load_state(l, src, row, &parts);
	load_freeze(l, src, row);
	gate_scope_load_source(l->g, src);
	if (is_left_out(l, src)) {
		/* Quiet, so that its row is removed here. */
		spool_forget_source(l->g->spool, row->key);
		tier_forget(l->g, src);
		throttle_forget(l->g->throttle, src);
		l->left_out++;
	} else {
		l->sources++;
		flag(l, src);
	}
}

/* ---- a source's queue is not there yet ---- */

void
load_flag(struct gate *g, struct throttle_source *src)
{
	if (g->load != NULL)
		flag(g->load, src);
}

void
load_unflag(struct gate *g, struct throttle_source *src)
{
	struct gate_source *data = source_data(src);

	if (data->load == LOAD_DONE)
		return;
	data->load = LOAD_DONE;
	if (g->load != NULL)
		g->load->flagged--;
	if (tier_of(src) != NULL)
		throttle_set_loading(g->familiar, tier_of(src), false, g->now);
	throttle_set_loading(g->throttle, src, false, g->now);
}

void
load_forget(struct gate *g, const struct gate_source *data)
{
	if (g->load != NULL && data->load != LOAD_DONE)
		g->load->flagged--;
}

/* ---- rows ---- */

static struct throttle_source *
source_for(struct loading *l, const char *name)
{
	struct gate *g = l->g;
	struct str key = str_from(name);
	struct throttle_source *src = source_find(g, key);

	if (src != NULL)
		return src;
	src = source_get(g, key, source_choose_policy(g, key, (struct str){0}),
	    g->now, true);
	if (src != NULL)
		gate_scope_load_source(g, src);
	return src;
}

static void
put_row(struct loading *l, struct throttle_source *src,
    const struct spool_row *row, struct refill *refill)
{
	struct gate *g = l->g;

	l->held++;
	if (row->lane == GATE_LANE_FAMILIAR) {
		tier_requeue(g, src, row->destination, row->ticket, g->now);
		return;
	}
	/* It sent, and more than is known. */
	if (!source_data(src)->has_state)
		throttle_exhaust(g->throttle, src, g->now);
	source_data(src)->has_state = true;
	refill_add(refill, src, row->destination, row->ticket);
}

/* A page ends with a message, so what stands together is together in it. */
static void
put_rows(struct loading *l, const struct spool_held *page, enum load_state of)
{
	struct refill refill = {.g = l->g};
	bool was_quiet = l->g->is_quiet;

	l->g->is_quiet = true;
	for (size_t i = 0; i < page->n; i++) {
		const struct spool_row *row = &page->rows[i];
		struct throttle_source *src = source_for(l, row->source);

		if (src == NULL)
			/* It stays in the spool, where an administrator sees
			 * it. */
			tell_bad(l, row->source, "held mail cannot be queued");
		else if (source_data(src)->load == of)
			put_row(l, src, row, &refill);
	}
	refill_end(&refill);
	l->g->is_quiet = was_quiet;
}

/* ---- the end ---- */

static void
load_end(struct loading *l)
{
	struct gate *g = l->g;

	log_write(g->log, LOG_EV_GATE_LOADED, KV(senders, l->sources),
	    KV(left_out, l->left_out),
	    KV(frozen, throttle_frozen_count(g->throttle)), KV(held, l->held),
	    KV(unreadable, l->bad));
	g->load = NULL;
	free(l);
	gate_changed(g);
}

/* Those that have no queue: there may be millions, so a few at a time. More
 * than once, as the table may have grown on the way. */
static void
sweep(struct loading *l)
{
	struct gate *g = l->g;

	for (unsigned i = 0; i < SWEEP_STEPS && l->flagged > 0; i++) {
		struct throttle_source *src =
		    throttle_each(g->throttle, &l->sweep_pos);

		if (src != NULL)
			load_unflag(g, src);
		else
			l->sweep_pos = 0;
	}
	if (l->flagged == 0)
		load_end(l);
}

/* The walk has brought all but what is read by itself. */
static bool
is_read(const struct loading *l)
{
	return l->is_walked && l->pages == 0;
}

static bool
is_all_there(const struct loading *l)
{
	return is_read(l) && list_is_empty(&l->wants);
}

/* ---- the walk ---- */

static void ask_pages(struct loading *l);

static void
on_page(void *arg, int error, const struct spool_held *page)
{
	struct loading *l = arg;
	struct gate *g = l->g;

	l->pages--;
	if (error != 0) {
		gate_tell_error(g, "load", "", error);
		gate_retry_later(g, &l->retry_at, &l->delay);
		gate_changed(g);
		return;
	}
	l->delay = GATE_RETRY_FIRST_MS;
	put_rows(l, page, LOAD_WALK);
	l->is_walked = l->is_walked || page->end;
	if (l->is_walked)
		gate_changed(g);
	else
		ask_pages(l);
}

static void
ask_pages(struct loading *l)
{
	if (l->retry_at != INT64_MAX)
		return;
	for (; l->pages < PAGES; l->pages++)
		spool_load_held(l->g->spool, on_page, l);
}

/* ---- of one source ---- */

/* NULL: none. */
static struct load_want *
find_want(struct loading *l, struct str key)
{
	struct list *e;

	list_each (e, &l->wants) {
		struct load_want *w = LIST_ITEM(e, struct load_want, entry);

		if (str_eq(str_from(w->key), key))
			return w;
	}
	return NULL;
}

static struct load_want *
want_of(struct loading *l, struct str key)
{
	struct load_want *w = find_want(l, key);

	if (w != NULL)
		return w;
	w = xcalloc(1, sizeof(*w) + key.n + 1);
	w->g = l->g;
	list_init(&w->waits);
	w->retry_at = INT64_MAX;
	w->delay = WANT_RETRY_FIRST_MS;
	memcpy(w->key, key.p, key.n);
	list_append(&l->wants, &w->entry);
	return w;
}

/* Waiters may ask again, and may end others. */
static void
answer_waits(struct list *waits, int error)
{
	while (!list_is_empty(waits)) {
		struct load_wait *wait =
		    LIST_ITEM(waits->next, struct load_wait, entry);

		load_unawait(wait);
		wait->fn(wait, error);
	}
}

static void ask_want(struct load_want *w);

static void
want_end(struct load_want *w)
{
	struct gate *g = w->g;
	struct throttle_source *src = source_find(g, str_from(w->key));

	if (src != NULL)
		load_unflag(g, src);
	list_remove(&w->entry);
	answer_waits(&w->waits, 0);
	free(w);
	gate_changed(g);
}

/* What was put in place of it stays, and it goes on from there. Who waits does
 * not: the disk may be as it is for long. */
static void
want_failed(struct load_want *w, int error)
{
	gate_tell_error(w->g, "load", w->key, error);
	gate_retry_later(w->g, &w->retry_at, &w->delay);
	answer_waits(&w->waits, error);
	gate_changed(w->g);
}

static void
on_page_of(void *arg, int error, const struct spool_held *page)
{
	struct load_want *w = arg;
	struct loading *l = w->g->load;

	w->is_asked = false;
	if (error != 0) {
		want_failed(w, error);
		return;
	}
	/* From here on the walk passes over it. */
	if (page->n > 0 || !page->end) {
		struct throttle_source *src = source_for(l, w->key);

		if (src != NULL && source_data(src)->load == LOAD_WALK)
			source_data(src)->load = LOAD_ALONE;
		put_rows(l, page, LOAD_ALONE);
	}
	w->after = page->after;
	if (page->end)
		want_end(w);
	else
		ask_want(w);
}

static void
ask_want(struct load_want *w)
{
	if (w->is_asked || w->retry_at != INT64_MAX)
		return;
	w->is_asked = true;
	spool_load_held_of(w->g->spool, w->key, w->after, on_page_of, w);
}

/* Behind the walk the rest is a sweep, which would not come to its end if each
 * new sender were read by itself. */
static bool
is_there(struct gate *g, struct str key)
{
	struct throttle_source *src = source_find(g, key);

	if (src != NULL && source_data(src)->load == LOAD_DONE)
		return true;
	if (!is_read(g->load) || find_want(g->load, key) != NULL)
		return false;
	if (src != NULL)
		load_unflag(g, src);
	return true;
}

bool
load_await(struct gate *g, struct str key, struct load_wait *wait)
{
	struct load_want *w;

	list_init(&wait->entry);
	if (g->load == NULL || is_there(g, key))
		return false;
	w = want_of(g->load, key);
	list_append(&w->waits, &wait->entry);
	ask_want(w);
	return true;
}

void
load_unawait(struct load_wait *wait)
{
	list_remove(&wait->entry);
	list_init(&wait->entry);
}

/* ---- for the gate ---- */

int64_t
load_next_due(const struct gate *g)
{
	if (g->load == NULL)
		return INT64_MAX;
	return is_all_there(g->load) ? g->now : INT64_MAX;
}

static void
retry_wants(struct loading *l, int64_t now)
{
	struct list *e, *next;

	list_each_safe (e, next, &l->wants) {
		struct load_want *w = LIST_ITEM(e, struct load_want, entry);

		if (w->retry_at <= now && w->after == 0 && is_read(l)) {
			want_end(w);
		} else if (w->retry_at <= now) {
			w->retry_at = INT64_MAX;
			ask_want(w);
		} else if (w->retry_at != INT64_MAX) {
			gate_retry_at(l->g, w->retry_at);
		}
	}
}

void
load_retry(struct gate *g, int64_t now)
{
	struct loading *l = g->load;

	if (l == NULL)
		return;
	retry_wants(l, now);
	if (l->retry_at <= now) {
		l->retry_at = INT64_MAX;
		ask_pages(l);
	} else if (l->retry_at != INT64_MAX) {
		gate_retry_at(g, l->retry_at);
	}
}

void
load_run(struct gate *g)
{
	if (g->load != NULL && is_all_there(g->load))
		sweep(g->load);
}

void
load_clear(struct gate *g)
{
	struct loading *l = g->load;

	if (l == NULL)
		return;
	while (!list_is_empty(&l->wants)) {
		struct load_want *w =
		    LIST_ITEM(l->wants.next, struct load_want, entry);

		while (!list_is_empty(&w->waits))
			load_unawait(
			    LIST_ITEM(w->waits.next, struct load_wait, entry));
		list_remove(&w->entry);
		free(w);
	}
	g->load = NULL;
	free(l);
}

bool
gate_is_loading(const struct gate *g)
{
	return g->load != NULL;
}

int
gate_load(struct gate *g, int64_t now, int64_t wall)
{
	struct loading *l = xcalloc(1, sizeof(*l));
	int error;

	*l = (struct loading){.g = g,
	    .now = now,
	    .wall = wall,
	    .retry_at = INT64_MAX,
	    .delay = GATE_RETRY_FIRST_MS};
	list_init(&l->wants);
	g->now = now;
	g->is_quiet = true;
	error = spool_load(g->spool, on_source, l);
	g->is_quiet = false;
	g->load = l;
	if (error == 0)
		error = take_over_inbound(g, wall);
	if (error == 0)
		error = acquaintances_begin(g->acquaintances, now, wall);
	if (error != 0)
		return error;
	/* An empty spool: nothing is to come. */
	l->is_walked = spool_is_counted(g->spool);
	while (g->load != NULL && l->is_walked)
		sweep(l);
	if (g->load != NULL)
		ask_pages(l);
	gate_changed(g);
	return 0;
}

bool
gate_load_wait(struct gate *g, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms, left;
	struct pollfd p = {.fd = spool_fd(g->spool), .events = POLLIN};

	while (g->load != NULL && (left = end - clock_mono_ms()) > 0) {
		if (is_all_there(g->load)) {
			sweep(g->load);
		} else {
			(void)poll(&p, 1, (int)left);
			spool_dispatch(g->spool);
		}
	}
	return g->load == NULL;
}
