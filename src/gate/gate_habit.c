/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a source did over days: the messages of stranger_messages, and the days
 * on which it used up its limit. It has a row of its own in the spool, which
 * few sources need:
 *
 *	'H' 1 | days as in gate/habit.h | strangers as in gate/strangers.h, or
 *	nothing
 *
 * written with the source's own state, in one commit. What cannot be read is
 * nothing.
 */
#include "gate/gate_internal.h"

#include <stdio.h>
#include <string.h>

#define HEADER 2
#define STATE_MAX (HEADER + HABIT_BYTES + STRANGERS_STATE_MAX)
#define ROW_PREFIX "[habit] "
#define ROW_MAX (GATE_KEY_MAX + sizeof(ROW_PREFIX))
#define DAY_MS (24 * INT64_C(3600000))

/* ---- persistent ---- */

static void
tell(struct gate *g, struct throttle_source *src, uint32_t count, int64_t wall)
{
	char name[GATE_KEY_MAX], why[WORDS_MAX];
	struct gate_news news = {
	    .type = EVENT_PERSISTENT,
	    .sender = source_name(src, name),
	    .policy = source_policy(src)->conf->name,
	    .why = why,
	    .option = "limit",
	    .queue_length = source_queue(g, src),
	};

	snprintf(why, sizeof(why),
	    "the limit of %u new recipients per day was used up on %d of %d "
	    "days",
	    (unsigned)count, HABIT_TIMES, HABIT_DAYS);
	counters_add(g->counters, COUNT_PERSISTENT, 1);
	gate_tell(g, wall, &news);
}

void
habit_look(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	const struct throttle_policy *t = throttle_source_policy(src);
	struct gate_source *data = source_data(src);
	struct throttle_source_info info;
	uint32_t i = 0;

	while (i < t->limit_count && t->limits[i].window_ms != DAY_MS)
		i++;
	if (i == t->limit_count || habit_is_noted(&data->habit, wall))
		return;
	throttle_source_info(g->throttle, src, now, &info);
	if (info.limit_used[i] < t->limits[i].count)
		return;
	data->is_habit_changed = true;
	source_touch(g, src);
	if (habit_note(&data->habit, wall))
		tell(g, src, t->limits[i].count, wall);
}

/* ---- stored state ---- */

static const char *
row_of(const struct throttle_source *src, char out[ROW_MAX])
{
	char name[GATE_KEY_MAX];

	snprintf(out, ROW_MAX, ROW_PREFIX "%s", source_name(src, name));
	return out;
}

void
habit_save(
    struct gate *g, struct throttle_source *src, int64_t now, int64_t wall)
{
	struct gate_source *data = source_data(src);
	unsigned char state[STATE_MAX], *p = state;
	char row[ROW_MAX];

	if (!data->is_habit_changed)
		return;
	data->is_habit_changed = false;
	*p++ = HABIT_STATE_MARK;
	*p++ = 1;
	habit_put(&p, &data->habit);
	p += strangers_save(data->strangers, now, p);
	spool_save_state(
	    g->spool, row_of(src, row), state, (size_t)(p - state), wall);
	data->has_habit_row = true;
}

void
habit_forget(struct gate *g, struct throttle_source *src)
{
	struct gate_source *data = source_data(src);
	char row[ROW_MAX];

	if (data->has_habit_row && !g->is_quiet)
		spool_forget_source(g->spool, row_of(src, row));
	strangers_free(data->strangers);
	data->strangers = NULL;
}

bool
habit_load(
    struct gate *g, const struct spool_source *row, int64_t now, int64_t wall)
{
	struct str key = str_from(row->key);
	const unsigned char *p = row->state;
	const unsigned char *end = p + row->state_size;
	int64_t age = wall > row->saved_at ? wall - row->saved_at : 0;
	struct throttle_source *src;
	struct gate_source *data;

	if (!str_starts(key, STR(ROW_PREFIX)) ||
	    row->state_size < HEADER + HABIT_BYTES ||
	    row->state_size > STATE_MAX || p[1] != 1)
		return false;
	key = str_sub(key, sizeof(ROW_PREFIX) - 1, key.n);
	src = source_find(g, key);
	if (src == NULL) {
		/* It was left out. */
		spool_forget_source(g->spool, row->key);
		return true;
	}
	data = source_data(src);
	data->has_habit_row = true;
	data->is_program = key.n > 0 && (key.p[0] == '[' || key.p[0] == '<');
	p += HEADER;
	if (!habit_get(&p, wall, &data->habit))
		return false;
	if (p == end)
		return true;
	strangers_free(data->strangers);
	data->strangers = strangers_load(p, (size_t)(end - p), age, now);
	return data->strangers != NULL;
}
