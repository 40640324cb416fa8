/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A source that the throttle froze is frozen in memory at once, then in the
 * spool, and only then told: the hook runs for what would survive a crash. A
 * write that fails is tried again until it succeeds or somebody has thawed the
 * source. A crash in between loses the freeze, not the queue that caused it.
 *
 * In observe mode nothing freezes: the would-be freeze is told, the observed
 * entries leave the queue, and the source goes on, so that it can show again
 * what would happen.
 */
#include "gate/gate_internal.h"
#include "gate/gate_tier.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FREEZE_WHY_MAX (WORDS_MAX + GATE_NOTE_MAX + 32)

struct gate_freeze_op {
	struct list entry;
	struct gate *g;
	char *sender, *policy, *who;
	char *note; /* by hand; NULL: none */
	int64_t thaw_at;
	char why[FREEZE_WHY_MAX];
	enum throttle_freeze_reason reason;
	uint32_t queue_length, freeze_at;
	int64_t at;       /* wall */
	int64_t retry_at; /* INT64_MAX: with the spool */
	int64_t delay;
	bool is_new;      /* the source was not frozen before */
	gate_done_fn *fn; /* by hand; else NULL */
	void *arg;
};

static void
op_free(struct gate_freeze_op *op)
{
	list_remove(&op->entry);
	free(op->sender);
	free(op->policy);
	free(op->who);
	free(op->note);
	free(op);
}

bool
freeze_is_on(const struct throttle_source *src)
{
	return src != NULL && source_data(src)->frozen_at != 0;
}

void
freeze_set_at(struct gate *g, struct throttle_source *src, int64_t at)
{
	source_data(src)->frozen_at = at;
	shared_note_freeze(g, src, at != 0);
	if (at != 0) {
		tier_freeze(g, src);
		atomic_fetch_add(&g->freeze_count, 1);
		return;
	}
	tier_thaw(g, src);
	hand_drop(source_data(src));
	/* Somebody has looked: what comes is a new beginning. */
	strangers_reset(source_data(src)->strangers);
	source_data(src)->is_habit_changed = true;
}

unsigned
gate_freezes(const struct gate *g)
{
	return atomic_load(&g->freeze_count);
}

static struct gate_freeze_op *
op_new(struct gate *g, struct throttle_source *src,
    enum throttle_freeze_reason reason, int64_t now, int64_t wall)
{
	struct gate_freeze_op *op = xcalloc(1, sizeof(*op));
	char name[GATE_KEY_MAX];

	op->g = g;
	op->sender = xstrdup(source_name(src, name));
	op->policy = xstrdup(source_policy(src)->conf->name);
	op->reason = reason;
	op->queue_length = source_queue(g, src);
	op->freeze_at = throttle_source_policy(src)->freeze_at;
	if (reason == THROTTLE_FREEZE_FAMILIAR) {
		op->queue_length = tier_queue(g, src);
		op->freeze_at = source_policy(src)->familiar.freeze_at;
	}
	op->at = wall;
	op->retry_at = INT64_MAX;
	op->delay = GATE_RETRY_FIRST_MS;
	op->is_new = true;
	words_freeze(g, src, reason, now, op->why);
	list_append(&g->freezes, &op->entry);
	return op;
}

static void
tell(const struct gate_freeze_op *op)
{
	struct gate *g = op->g;
	struct throttle_source *src = source_find(g, str_from(op->sender));
	struct gate_freeze freeze = {
	    .sender = op->sender,
	    .policy = op->policy,
	    .reason = op->why,
	    .queue_length = op->queue_length,
	    .freeze_at = op->freeze_at,
	    .passed = src != NULL ? source_passed(source_data(src), g->now) : 0,
	    .at = op->at,
	    .thaw_at = op->thaw_at,
	    .who = op->who,
	    .note = op->note,
	};
	struct gate_news news = {
	    .type = EVENT_FREEZE,
	    .sender = op->sender,
	    .policy = op->policy,
	    .why = op->why,
	    .queue_length = op->queue_length,
	};

	gate_tell(g, op->at, &news);
	if (g->callbacks->on_freeze != NULL)
		g->callbacks->on_freeze(g->arg, &freeze);
}

/* The throttle's and ours. */
static void
freeze_in_memory(struct gate *g, struct throttle_source *src,
    enum throttle_freeze_reason reason, int64_t now, int64_t at)
{
	struct gate_source *data = source_data(src);

	g->is_quiet = true;
	throttle_freeze(g->throttle, src, reason, now);
	g->is_quiet = false;
	if (data->frozen_at == 0)
		freeze_set_at(g, src, at);
	source_touch(g, src);
}

static void
tell_stopped(const struct gate_freeze_op *op)
{
	struct gate *g = op->g;

	if (g->callbacks->on_stopped != NULL)
		g->callbacks->on_stopped(g->arg, op->sender);
}

static void
on_frozen(void *arg, int error)
{
	struct gate_freeze_op *op = arg;
	struct gate *g = op->g;

	if (error != 0) {
		gate_tell_error(g, "freeze", op->sender, error);
		gate_retry_later(g, &op->retry_at, &op->delay);
	} else {
		tell_stopped(op);
		tell(op);
		op_free(op);
	}
	gate_changed(g);
}

static void
op_send(struct gate_freeze_op *op, spool_done_fn *done)
{
	struct spool_audit audit = {
	    .at = op->at,
	    .who = op->who != NULL ? op->who : "weir",
	    .action = "freeze",
	    .target = op->sender,
	    .detail = op->why,
	};

	struct spool_source row = {
	    .key = op->sender,
	    .frozen = true,
	    .reason = (unsigned)op->reason,
	    .frozen_at = op->at,
	    .note = op->note,
	    .thaw_at = op->thaw_at,
	};

	op->retry_at = INT64_MAX;
	spool_set_frozen(op->g->spool, &row, &audit, done, op);
}

/* The throttle may be anywhere inside: only take note. */
void
freeze_on_throttle(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason)
{
	struct gate *g = arg;

	if (g->is_quiet)
		return;
	g->froze = src;
	g->froze_reason = reason;
}

void
freeze_on_spare(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason)
{
	struct gate *g = arg;

	if (g->is_quiet)
		return;
	g->spared = src;
	g->froze_reason = reason;
}

static bool
is_observed_ticket(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)arg;
	(void)destination;
	return ticket == 0;
}

void
freeze_drop_observed(struct gate *g, struct throttle_source *src)
{
	tier_remove(g, src, is_observed_ticket, NULL, 0);
}

static void
observe_freeze(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	char name[GATE_KEY_MAX], words[WORDS_MAX];
	char why[WORDS_MAX + 16] = "would freeze: ";
	struct gate_news news = {
	    .type = EVENT_OBSERVE,
	    .sender = source_name(src, name),
	    .policy = source_policy(src)->conf->name,
	    .why = why,
	    .queue_length = source_queue(g, src),
	};

	words_freeze(g, src, g->froze_reason, now, words);
	str_copy(str_from(words), why + 14, sizeof(why) - 14);
	gate_tell(g, wall, &news);
	freeze_drop_observed(g, src);
	throttle_thaw(g->throttle, src, now);
	tier_thaw(g, src);
}

/* ---- never_freeze ---- */

void
freeze_rearm(struct gate *g, struct throttle_source *src)
{
	struct gate_source *data = src != NULL ? source_data(src) : NULL;

	uint32_t familiar;

	if (data == NULL || !data->was_spared)
		return;
	familiar = tier_queue(g, src);
	if (source_queue(g, src) - familiar <=
		throttle_source_policy(src)->freeze_at / 2 &&
	    familiar <= source_policy(src)->familiar.freeze_at / 2)
		data->was_spared = false;
}

/* The same in observe mode: it is true there as well. */
static void
tell_spared(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	struct gate_source *data = source_data(src);
	char name[GATE_KEY_MAX], words[WORDS_MAX], why[WORDS_MAX + 32];
	struct gate_news news = {
	    .type = EVENT_SPARE,
	    .sender = source_name(src, name),
	    .policy = source_policy(src)->conf->name,
	    .why = why,
	    .queue_length = source_queue(g, src),
	};

	if (data->was_spared)
		return;
	data->was_spared = true;
	words_freeze(g, src, g->froze_reason, now, words);
	snprintf(why, sizeof(why), "%s; not frozen: never_freeze", words);
	counters_add(g->counters, COUNT_SPARED_FREEZES, 1);
	gate_tell(g, wall, &news);
}

void
freeze_settle(struct gate *g, int64_t now, int64_t wall)
{
	struct throttle_source *src = g->froze, *spared = g->spared;

	g->froze = g->spared = NULL;
	if (spared != NULL)
		tell_spared(g, spared, now, wall);
	if (src == NULL)
		return;
	if (g->observe) {
		observe_freeze(g, src, now, wall);
		return;
	}
	if (g->froze_reason == THROTTLE_FREEZE_FAMILIAR) {
		g->is_quiet = true;
		throttle_freeze(g->throttle, src, g->froze_reason, now);
		g->is_quiet = false;
	}
	freeze_set_at(g, src, wall);
	source_data(src)->is_stored = true;
	counters_add(g->counters, COUNT_FREEZES, 1);
	counters_add_named(g->counters, NAMED_POLICY_FREEZES,
	    source_policy(src)->conf->name, 1);
	op_send(op_new(g, src, g->froze_reason, now, wall), on_frozen);
	source_save(g, src, now, wall);
}

void
freeze_for(struct gate *g, struct throttle_source *src,
    enum throttle_freeze_reason reason, int64_t now, int64_t wall)
{
	throttle_freeze(g->throttle, src, reason, now);
	if (!g->is_dry)
		freeze_settle(g, now, wall);
}

static bool
is_still_wanted(const struct gate_freeze_op *op)
{
	struct throttle_source *src = source_find(op->g, str_from(op->sender));

	return src != NULL && source_data(src)->frozen_at == op->at;
}

void
freeze_retry(struct gate *g, int64_t now)
{
	struct list *e, *next;

	list_each_safe (e, next, &g->freezes) {
		struct gate_freeze_op *op =
		    LIST_ITEM(e, struct gate_freeze_op, entry);

		if (op->retry_at > now)
			gate_retry_at(g, op->retry_at);
		else if (admin_is_thawing(g, op->sender)) /* not behind it */
			gate_retry_later(g, &op->retry_at, &op->delay);
		else if (is_still_wanted(op))
			op_send(op, on_frozen);
		else
			op_free(op);
	}
}

void
freeze_clear(struct gate *g)
{
	while (!list_is_empty(&g->freezes))
		op_free(
		    LIST_ITEM(g->freezes.next, struct gate_freeze_op, entry));
}

/* ---- by hand ---- */

bool
freeze_is_under_way(const struct gate *g, const char *sender)
{
	const struct list *e;

	list_each (e, &g->freezes) {
		if (strcmp(LIST_ITEM(e, struct gate_freeze_op, entry)->sender,
			sender) == 0)
			return true;
	}
	return false;
}

/* The administrator hears of an error and asks again; until then it is as if
 * nothing had been said. */
static void
undo(struct gate_freeze_op *op)
{
	struct gate *g = op->g;
	struct throttle_source *src = source_find(g, str_from(op->sender));

	if (src == NULL || source_data(src)->frozen_at != op->at)
		return;
	throttle_thaw(g->throttle, src, g->now);
	freeze_set_at(g, src, 0);
}

static void
on_frozen_by_hand(void *arg, int error)
{
	struct gate_freeze_op *op = arg;
	struct gate *g = op->g;
	struct throttle_source *src = source_find(g, str_from(op->sender));

	if (error != 0) {
		gate_tell_error(g, "freeze", op->sender, error);
		if (op->is_new)
			undo(op);
	} else {
		/* A thaw that was under way may have come in between. */
		if (src != NULL) {
			freeze_in_memory(g, src, op->reason, g->now, op->at);
			hand_set(g, src, op->note, op->thaw_at);
		}
		tell_stopped(op);
		if (op->is_new)
			tell(op);
	}
	if (op->fn != NULL)
		op->fn(op->arg, error, 0);
	op_free(op);
	gate_changed(g);
}

/* "frozen by an administrator, 3 recipients waiting, until TIME: REASON" */
static void
add_note(struct gate_freeze_op *op)
{
	char time[UNITS_TEXT_MAX];
	size_t n = strlen(op->why);

	snprintf(op->why + n, sizeof(op->why) - n, "%s%s%s%s",
	    op->thaw_at != 0 ? ", until " : "",
	    op->thaw_at != 0 ? units_format_time(op->thaw_at, time) : "",
	    op->note != NULL ? ": " : "", op->note != NULL ? op->note : "");
}

static char *
note_of(struct throttle_source *src, const char *note)
{
	const struct gate_hand *hand = source_data(src)->hand;

	if (note == NULL && hand != NULL && hand->note[0] != '\0')
		note = hand->note;
	return note != NULL ? xstrdup(note) : NULL;
}

void
gate_freeze(struct gate *g, const struct gate_freeze_order *order, int64_t now,
    int64_t wall, gate_done_fn *fn, void *arg)
{
	struct str name = str_from(order->sender);
	struct throttle_source *src =
	    order->by_relay ? source_find(g, name) : source_guess(g, name);
	struct throttle_source_info info;
	struct gate_freeze_op *op;

	g->now = now;
	if (src == NULL && order->by_relay)
		src = source_get(g, name,
		    source_choose_policy(g, name, (struct str){0}), now, true);
	else if (src == NULL)
		src = source_add_named(g, name, now);
	if (src == NULL) {
		fn(arg, EINVAL, 0);
		return;
	}
	throttle_source_info(g->throttle, src, now, &info);
	op = op_new(g, src,
	    order->by_relay ? THROTTLE_FREEZE_RELAY : THROTTLE_FREEZE_HAND, now,
	    wall);
	op->who = xstrdup(order->who);
	op->fn = fn;
	op->arg = arg;
	op->is_new = !info.frozen;
	op->note = note_of(src, order->note);
	if (info.frozen) {
		op->reason = info.freeze_reason;
		op->at = source_data(src)->frozen_at;
	} else {
		counters_add(g->counters, COUNT_FREEZES, 1);
		counters_add_named(g->counters, NAMED_POLICY_FREEZES,
		    source_policy(src)->conf->name, 1);
	}
	if (order->for_ms > 0 && (op->reason == THROTTLE_FREEZE_HAND ||
				     op->reason == THROTTLE_FREEZE_RELAY))
		op->thaw_at = wall + order->for_ms;
	add_note(op);
	freeze_in_memory(g, src, op->reason, now, op->at);
	source_data(src)->is_stored = true;
	op_send(op, on_frozen_by_hand);
	gate_changed(g);
}

static void
on_gone_on(void *arg, int error)
{
	struct gate_freeze_op *op = arg;
	struct throttle_source *src = source_find(op->g, str_from(op->sender));

	if (error != 0) {
		gate_tell_error(op->g, "freeze", op->sender, error);
		hand_thaw_failed(op->g, op->sender);
	} else if (freeze_is_on(src)) {
		hand_set(op->g, src, op->note, 0);
		tell(op);
	}
	gate_changed(op->g);
	op_free(op);
}

void
freeze_go_on(struct gate *g, struct throttle_source *src, const char *note,
    int64_t now, int64_t wall)
{
	struct gate_freeze_op *op =
	    op_new(g, src, THROTTLE_FREEZE_HAND, now, wall);

	op->at = source_data(src)->frozen_at;
	op->note = xstrdup(note);
	add_note(op);
	op_send(op, on_gone_on);
}
