/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See gate_strangers.h.
 */
#include "gate/gate_strangers.h"

#include <inttypes.h>
#include <stdio.h>

#define ASK_AGAIN_MS 60000 /* the limit may have been raised meanwhile */

static const struct option_rate *
rate_of(const struct throttle_source *src)
{
	return &source_policy(src)->conf->stranger_messages;
}

static bool
holds(const struct throttle_source *src)
{
	return source_data(src)->is_program || throttle_is_spared(src);
}

/* Neither named before, nor in the queue by an earlier message. */
static bool
is_unnamed(struct gate *g, struct throttle_source *src, uint64_t destination,
    int64_t now)
{
	uint32_t ahead;
	int64_t due;

	if (strangers_has(source_data(src)->strangers, destination,
		rate_of(src)->window_ms, now))
		return false;
	return !throttle_expected(
	    g->throttle, src, destination, now, &ahead, &due);
}

uint32_t
strangers_count(
    struct throttle_source *src, int64_t now, const struct option_rate **rate)
{
	*rate = rate_of(src);
	if ((*rate)->count == 0)
		return 0;
	return strangers_used(
	    source_data(src)->strangers, (*rate)->window_ms, now);
}

/* ---- a source that holds ---- */

static bool
is_full(struct throttle_source *src, uint64_t destination, int64_t now,
    int64_t *open_at)
{
	struct strangers *s = source_data(src)->strangers;
	const struct option_rate *rate;

	if (rate_of(src)->count == 0 || !holds(src) ||
	    strangers_count(src, now, &rate) < rate->count ||
	    strangers_has(s, destination, rate->window_ms, now))
		return false;
	*open_at = strangers_open_at(s, rate->window_ms, now);
	return true;
}

bool
strangers_bar(struct gate_txn *txn, struct throttle_source *src,
    uint64_t destination, int64_t now, int64_t *open_at)
{
	source_data(src)->is_program = txn->is_program;
	if (!is_full(src, destination, now, open_at))
		return false;
	txn->is_barred = true;
	return true;
}

int64_t
strangers_may_release(struct gate *g, struct throttle_source *src,
    uint64_t destination, int64_t now)
{
	int64_t open_at;

	(void)g;
	if (!is_full(src, destination, now, &open_at))
		return now;
	if (open_at > now + ASK_AGAIN_MS)
		return now + ASK_AGAIN_MS;
	return open_at > now ? open_at : now + 1;
}

static void
touch(struct gate *g, struct throttle_source *src)
{
	source_data(src)->is_habit_changed = true;
	source_touch(g, src);
}

/* Of a message that was not counted when it came. */
void
strangers_note_release(struct gate *g, struct throttle_source *src,
    uint64_t destination, int64_t now)
{
	struct gate_source *data = source_data(src);
	const struct option_rate *rate = rate_of(src);

	if (rate->count == 0 || !holds(src) ||
	    strangers_has(data->strangers, destination, rate->window_ms, now))
		return;
	strangers_note(
	    &data->strangers, destination, true, rate->window_ms, now);
	touch(g, src);
}

void
strangers_add(struct gate *g, struct throttle_source *src, int64_t now)
{
	const struct option_rate *rate = rate_of(src);

	if (rate->count == 0)
		return;
	strangers_note_message(
	    &source_data(src)->strangers, rate->window_ms, now);
	touch(g, src);
}

/* ---- a transaction ---- */

static bool
counts(const struct txn_entry *e, bool is_holding)
{
	return entry_is_stranger(e) && !e->is_named &&
	       (!is_holding || e->verdict == THROTTLE_PASS);
}

void
strangers_take(struct gate_txn *txn, const bool *reached, int64_t now)
{
	struct throttle_source *src = txn->src;
	const struct option_rate *rate;
	struct gate_source *data;

	if (src == NULL || rate_of(src)->count == 0)
		return;
	data = source_data(src);
	rate = rate_of(src);
	data->is_program = txn->is_program;
	for (uint32_t i = 0; i < txn->n; i++) {
		struct txn_entry *e = &txn->entries[i];

		if (!counts(e, holds(src)) ||
		    (reached != NULL && !reached[i]) ||
		    !is_unnamed(txn->g, src, e->r.destination, now))
			continue;
		e->is_named = true;
		strangers_note(&data->strangers, e->r.destination,
		    !txn->is_counted, rate->window_ms, now);
		txn->is_counted = true;
		touch(txn->g, src);
	}
}

void
strangers_give_back(struct gate_txn *txn)
{
	bool is_first = true;

	if (!txn->is_counted || txn->src == NULL)
		return;
	for (uint32_t i = 0; i < txn->n; i++) {
		struct txn_entry *e = &txn->entries[i];

		if (!e->is_named)
			continue;
		e->is_named = false;
		strangers_take_back(source_data(txn->src)->strangers,
		    e->r.destination, is_first);
		is_first = false;
	}
	txn->is_counted = false;
	touch(txn->g, txn->src);
}

static void
tell_full(struct gate_txn *txn, struct throttle_source *src, int64_t wall)
{
	struct gate_source *data = source_data(src);
	char words[WORDS_MAX], why[WORDS_MAX + 60];
	struct gate_news news = {
	    .type = EVENT_STRANGERS,
	    .sender = txn->key,
	    .policy = source_policy(src)->conf->name,
	    .why = why,
	    .option = "stranger_messages",
	    .queue_length = source_queue(txn->g, src),
	};

	if (data->was_barred)
		return;
	data->was_barred = true;
	strangers_words(src, words);
	snprintf(why, sizeof(why), "%s; further new recipients wait", words);
	counters_add(txn->g->counters, COUNT_STRANGER_HOLDS, 1);
	gate_tell(txn->g, wall, &news);
}

void
strangers_judge(struct gate_txn *txn, int64_t now, int64_t wall)
{
	struct throttle_source *src = txn_source(txn);
	struct gate *g = txn->g;
	const struct option_rate *rate;
	uint32_t used;

	if (src == NULL || (!txn->is_counted && !txn->is_barred))
		return;
	if (txn->is_counted)
		spent_tell(g, src, 0, 1);
	used = strangers_count(src, now, &rate);
	if (rate->count == 0)
		return;
	if (holds(src)) {
		if (txn->is_barred)
			tell_full(txn, src, wall);
		else if (used < rate->count)
			source_data(src)->was_barred = false;
		return;
	}
	if (used <= rate->count || freeze_is_on(src))
		return;
	freeze_for(g, src, THROTTLE_FREEZE_STRANGERS, now, wall);
	/* Nothing froze, and what comes is a new beginning. */
	if (g->observe)
		strangers_reset(source_data(src)->strangers);
}

/* ---- words ---- */

void
strangers_words(const struct throttle_source *src, char out[WORDS_MAX])
{
	const struct option_rate *rate = rate_of(src);
	char window[UNITS_TEXT_MAX];

	snprintf(out, WORDS_MAX,
	    "more than %" PRIu32 " messages to new recipients within %s",
	    rate->count, units_format_duration(rate->window_ms, window));
}

void
strangers_words_full(
    struct throttle_source *src, int64_t now, char out[WORDS_MAX])
{
	const struct option_rate *rate;
	uint32_t used = strangers_count(src, now, &rate);
	char window[UNITS_TEXT_MAX], when[UNITS_TEXT_MAX];
	int64_t left = strangers_open_at(
			   source_data(src)->strangers, rate->window_ms, now) -
		       now;

	snprintf(out, WORDS_MAX,
	    "%" PRIu32 " of %" PRIu32
	    " messages to new recipients in %s used; next free in %s",
	    used, rate->count, units_format_duration(rate->window_ms, window),
	    units_format_duration(
		(left > 0 ? left + 999 : 0) / 1000 * 1000, when));
}
