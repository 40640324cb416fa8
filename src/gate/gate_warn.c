/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * warn_at: a sender or a scope that came near a limit is told of once, with an
 * event and a line in the log. Known recipients bring nobody nearer, so they
 * cost no look.
 */
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include <inttypes.h>
#include <stdio.h>

static void
tell(struct gate *g, struct throttle_source *src, const char *why,
    uint32_t queue_length, int64_t wall)
{
	char name[GATE_KEY_MAX];
	struct gate_news news = {
	    .type = EVENT_WARN,
	    .sender = source_name(src, name),
	    .policy = source_policy(src)->conf->name,
	    .why = why,
	    .queue_length = queue_length,
	};

	counters_add(g->counters, COUNT_WARNINGS, 1);
	gate_tell(g, wall, &news);
}

static bool
is_told(const struct gate_source *data)
{
	uint8_t any = 0;

	for (size_t i = 0; i < sizeof(data->warned); i++)
		any |= data->warned[i];
	return any != 0;
}

void
warn_source_again(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	if (src != NULL && is_told(source_data(src)))
		warn_source(g, src, now, wall);
}

static void
warn_strangers(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	const struct option_rate *rate;
	uint32_t used = strangers_count(src, now, &rate);
	uint8_t *told = strangers_told(source_data(src)->strangers);
	char why[WORDS_MAX], window[UNITS_TEXT_MAX];
	unsigned percent;

	if (rate->count == 0 || told == NULL)
		return;
	percent = warn_look(&source_policy(src)->warn, told, used, rate->count);
	if (percent == 0)
		return;
	snprintf(why, sizeof(why),
	    "%u%% of stranger_messages: %" PRIu32 " of %" PRIu32
	    " messages to new recipients in %s",
	    percent, used, rate->count,
	    units_format_duration(rate->window_ms, window));
	tell(g, src, why, source_queue(g, src), wall);
}

static void
warn_familiar(struct gate *g, struct throttle_source *src, int64_t wall)
{
	uint32_t waiting = tier_queue(g, src);
	uint32_t freeze_at = source_policy(src)->familiar.freeze_at;
	uint8_t *told = &source_data(src)->warned[1 + THROTTLE_LIMITS_MAX];
	unsigned percent =
	    warn_look(&source_policy(src)->warn, told, waiting, freeze_at);
	char why[WORDS_MAX];

	if (percent == 0 || freeze_is_on(src))
		return;
	snprintf(why, sizeof(why),
	    "%u%% of familiar_freeze_at: %" PRIu32 " of %" PRIu32
	    " familiar recipients waiting",
	    percent, waiting, freeze_at);
	tell(g, src, why, source_queue(g, src), wall);
}

static void
look(struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	const struct throttle_policy *t = throttle_source_policy(src);
	const struct warn_marks *marks = &source_policy(src)->warn;
	uint8_t *told = source_data(src)->warned;
	char why[WORDS_MAX], window[UNITS_TEXT_MAX];
	struct throttle_source_info info;
	unsigned percent;

	if (marks->n == 0)
		return;
	warn_strangers(g, src, now, wall);
	warn_familiar(g, src, wall);
	if (t->freeze_at == 0 && t->limit_count == 0)
		return;
	throttle_source_info(g->throttle, src, now, &info);
	percent = warn_look(marks, &told[0], info.own_waiting, t->freeze_at);
	if (percent != 0 && !info.frozen) {
		snprintf(why, sizeof(why),
		    "%u%% of freeze_at: %" PRIu32 " of %" PRIu32
		    " recipients waiting",
		    percent, info.own_waiting, t->freeze_at);
		tell(g, src, why, info.queue_length, wall);
	}
	for (uint32_t i = 0; i < t->limit_count; i++) {
		percent = warn_look(marks, &told[1 + i], info.limit_used[i],
		    t->limits[i].count);
		if (percent == 0)
			continue;
		snprintf(why, sizeof(why),
		    "%u%% of a limit: %" PRIu32 " of %" PRIu32
		    " new recipients in %s used",
		    percent, info.limit_used[i], t->limits[i].count,
		    units_format_duration(t->limits[i].window_ms, window));
		tell(g, src, why, info.queue_length, wall);
	}
}

static bool
is_near(const struct gate_source *data)
{
	const uint8_t *told = strangers_told(data->strangers);

	return is_told(data) || (told != NULL && *told != 0);
}

void
warn_forget(struct gate *g, struct gate_source *data)
{
	g->near_count -= !list_is_empty(&data->near);
	list_remove(&data->near);
}

/* To the end of the list, so that a sweep comes to each. */
static void
note_near(struct gate *g, struct gate_source *data)
{
	warn_forget(g, data);
	if (!is_near(data))
		return;
	list_append(&g->near, &data->near);
	g->near_count++;
}

void
warn_source(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	look(g, src, now, wall);
	note_near(g, source_data(src));
}

void
warn_sweep(struct gate *g, size_t steps, int64_t now, int64_t wall)
{
	if (steps > g->near_count)
		steps = g->near_count;
	for (size_t i = 0; i < steps; i++) {
		struct gate_source *data =
		    LIST_ITEM(g->near.next, struct gate_source, near);

		warn_source(g, data->src, now, wall);
	}
}

void
warn_scopes(struct gate *g, int64_t now, int64_t wall)
{
	struct scope_info info;
	unsigned percent;

	while (scope_next_warning(g->scopes, now, &percent, &info)) {
		char words[WORDS_MAX], why[WORDS_MAX];
		struct gate_news news = {
		    .type = EVENT_WARN, .sender = "", .policy = "", .why = why};

		words_scope_use(&info, words);
		snprintf(why, sizeof(why), "%u%% of %.180s", percent, words);
		counters_add(g->counters, COUNT_WARNINGS, 1);
		gate_tell(g, wall, &news);
	}
}
