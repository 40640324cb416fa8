/* SPDX-License-Identifier: BSD-3-Clause */
#include "os/trend.h"

#include <stdlib.h>

#define MINUTE_MS INT64_C(60000)

static const struct {
	int64_t step_ms;
	size_t count;
} spans[TREND_SPANS] = {
    [TREND_DAY] = {5 * MINUTE_MS, 24 * 12},
    [TREND_WEEK] = {30 * MINUTE_MS, 7 * 48},
};

const char *const trend_span_name[TREND_SPANS] = {
    [TREND_DAY] = "day",
    [TREND_WEEK] = "week",
};

struct ring {
	int64_t *step;   /* which one a slot holds, since 1970; -1: none */
	uint32_t *value; /* a row of all series for each slot */
};

struct trend {
	const struct trend_series *series;
	size_t n;
	uint64_t last[TREND_SERIES_MAX]; /* of the totals */
	struct ring rings[TREND_SPANS];
};

struct trend *
trend_new(const struct trend_series *series)
{
	struct trend *t = xcalloc(1, sizeof(*t));

	t->series = series;
	while (series[t->n].name != NULL)
		t->n++;
	if (t->n > TREND_SERIES_MAX)
		panic("trend: %zu series", t->n);
	for (size_t s = 0; s < TREND_SPANS; s++) {
		struct ring *r = &t->rings[s];

		r->step = xcalloc(spans[s].count, sizeof(*r->step));
		r->value = xcalloc(spans[s].count * t->n, sizeof(*r->value));
		for (size_t i = 0; i < spans[s].count; i++)
			r->step[i] = -1;
	}
	return t;
}

void
trend_free(struct trend *t)
{
	if (t == NULL)
		return;
	for (size_t s = 0; s < TREND_SPANS; s++) {
		free(t->rings[s].step);
		free(t->rings[s].value);
	}
	free(t);
}

/* TREND_UNKNOWN is no value. */
static uint32_t
capped(uint64_t v)
{
	return v < TREND_UNKNOWN ? (uint32_t)v : TREND_UNKNOWN - 1;
}

static uint32_t *
row_of(struct trend *t, size_t span, int64_t wall)
{
	struct ring *r = &t->rings[span];
	int64_t step = wall / spans[span].step_ms;
	size_t slot = (size_t)(step % (int64_t)spans[span].count);
	uint32_t *row = r->value + slot * t->n;

	if (r->step[slot] != step) {
		r->step[slot] = step;
		for (size_t i = 0; i < t->n; i++)
			row[i] = 0;
	}
	return row;
}

void
trend_sample(struct trend *t, const uint64_t *values, int64_t wall)
{
	if (wall < 0)
		return;
	for (size_t s = 0; s < TREND_SPANS; s++) {
		uint32_t *row = row_of(t, s, wall);

		for (size_t i = 0; i < t->n; i++) {
			uint64_t v = values[i];

			if (t->series[i].is_gauge) {
				if (capped(v) > row[i])
					row[i] = capped(v);
			} else if (v > t->last[i]) {
				row[i] = capped(row[i] + (v - t->last[i]));
			}
		}
	}
	for (size_t i = 0; i < t->n; i++)
		t->last[i] = values[i];
}

void
trend_view(const struct trend *t, enum trend_span span, int64_t wall,
    struct trend_view *out)
{
	int64_t step = (wall > 0 ? wall : 0) / spans[span].step_ms;

	(void)t;
	out->step_ms = spans[span].step_ms;
	out->count = spans[span].count;
	out->start = (step - (int64_t)out->count + 1) * out->step_ms;
}

uint32_t
trend_value(const struct trend *t, enum trend_span span,
    const struct trend_view *view, size_t series, size_t i)
{
	const struct ring *r = &t->rings[span];
	int64_t step = view->start / view->step_ms + (int64_t)i;
	size_t slot;

	if (step < 0)
		return TREND_UNKNOWN;
	slot = (size_t)(step % (int64_t)spans[span].count);
	return r->step[slot] == step ? r->value[slot * t->n + series]
				     : TREND_UNKNOWN;
}
