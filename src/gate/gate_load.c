/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the spool knows at start: sources with their snapshots and freezes,
 * then every held recipient in order of arrival, back into its queue. What is
 * stored is taken as hostile: a state that cannot be read costs the source its
 * known recipients and is logged, and never stops the start.
 */
#include "gate/gate_internal.h"
#include "gate/gate_tier.h"

#include <inttypes.h>
#include <string.h>

#define KNOWN_FEW 4 /* recipients */

struct loading {
	struct gate *g;
	int64_t now, wall;
	uint64_t sources, left_out, held, bad;
	struct refill refill;
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
	}
}

static void
on_held(void *arg, const struct spool_row *row)
{
	struct str key = str_from(row->source);
	struct loading *l = arg;
	struct throttle_source *src = source_find(l->g, key);

	if (src == NULL) {
		src = source_get(l->g, key,
		    source_choose_policy(l->g, key, (struct str){0}), l->now,
		    true);
		if (src != NULL)
			gate_scope_load_source(l->g, src);
	}
	if (src == NULL || row->ticket == 0) {
		/* It stays in the spool, where an administrator sees it. */
		tell_bad(l, row->source, "held mail cannot be queued");
		return;
	}
	l->held++;
	if (row->lane == GATE_LANE_FAMILIAR) {
		tier_requeue(l->g, src, row->destination, row->ticket, l->now);
		return;
	}
	/* It sent, and more than is known. */
	if (!source_data(src)->has_state)
		throttle_exhaust(l->g->throttle, src, l->now);
	source_data(src)->has_state = true;
	refill_add(&l->refill, src, row->destination, row->ticket);
}

int
gate_load(struct gate *g, int64_t now, int64_t wall)
{
	struct loading l = {
	    .g = g, .now = now, .wall = wall, .refill = {.g = g}};
	int error;

	g->now = now;
	g->is_quiet = true;
	error = spool_load(g->spool, on_source, on_held, &l);
	refill_end(&l.refill);
	g->is_quiet = false;
	if (error == 0)
		error = take_over_inbound(g, wall);
	if (error == 0)
		error = acquaintances_begin(g->acquaintances, now, wall);
	log_write(g->log, LOG_EV_GATE_LOADED, KV(senders, l.sources),
	    KV(left_out, l.left_out),
	    KV(frozen, throttle_frozen_count(g->throttle)), KV(held, l.held),
	    KV(unreadable, l.bad));
	gate_changed(g);
	return error;
}
