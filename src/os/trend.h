/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What counters and gauges did over the last day and week, for graphs: two
 * rings of fixed size, in memory. A step in which nobody looked is unknown,
 * which is not 0. A clock that jumps makes steps unknown, and harms nothing
 * else. Event loop's thread; time is an argument.
 */
#ifndef OS_TREND_H
#define OS_TREND_H

#include "base/base.h"

#define TREND_SERIES_MAX 24
#define TREND_UNKNOWN UINT32_MAX
#define TREND_SAMPLE_MS 15000 /* between samples, at most */

enum trend_span {
	TREND_DAY,  /* by 5 minutes */
	TREND_WEEK, /* by 30 minutes */
	TREND_SPANS
};

extern const char *const trend_span_name[TREND_SPANS];

struct trend_series {
	const char *name;  /* "held_recipients" */
	const char *label; /* "Recipients held" */
	/* The largest of a step; else a total, and what a step added. */
	bool is_gauge;
};

struct trend_view {
	int64_t start; /* wall ms, of the first step */
	int64_t step_ms;
	size_t count; /* of steps; the last one holds now */
};

struct trend;

/* series is borrowed; name NULL at the end. */
struct trend *trend_new(const struct trend_series *series);
void trend_free(struct trend *t); /* takes NULL */
/* A value of each series. The first sample of a total is all that was counted
 * since the program began. */
void trend_sample(struct trend *t, const uint64_t *values, int64_t wall);
void trend_view(const struct trend *t, enum trend_span span, int64_t wall,
    struct trend_view *out);
/* Of a series in step i of a view; TREND_UNKNOWN: nobody looked. */
uint32_t trend_value(const struct trend *t, enum trend_span span,
    const struct trend_view *view, size_t series, size_t i);

#endif
