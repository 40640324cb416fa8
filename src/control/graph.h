/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Graphs of the last day and week for the dashboard: looks at what a daemon
 * counts every TREND_SAMPLE_MS, and tells what it saw. Event loop's thread.
 */
#ifndef CONTROL_GRAPH_H
#define CONTROL_GRAPH_H

#include "control/web.h"
#include "net/loop.h"
#include "os/trend.h"

#include <jansson.h>

struct graph_source { /* all borrowed */
	struct loop *loop;
	const struct trend_series *series;
	/* A value of each series, TREND_SERIES_MAX places. */
	void (*look)(void *arg, uint64_t *values);
	void *arg;
};

struct graph;

/* Looks at once, and every TREND_SAMPLE_MS from then on. */
struct graph *graph_new(const struct graph_source *source);
void graph_free(struct graph *g); /* takes NULL */

/* {"start": time, "step_s": n, "series": [{"name", "label", "gauge",
 * "values": [n or null]}]}, the step of now last. It looks once more. */
json_t *graph_row(struct graph *g, enum trend_span span);

/* The route that gives it: ?span=day, which is the default, or week. */
void graph_answer(struct graph *g, struct web_exchange *x);
#define GRAPH_DOC                                              \
	"Counts of the last day per 5 minutes, or with "       \
	"span=week per 30 minutes, from the daemon's memory; " \
	"null where it was not running."

#endif
