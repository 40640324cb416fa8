/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/graph.h"

#include "control/api.h"
#include "control/control.h"
#include "os/clock.h"

#include <stdlib.h>

struct graph {
	struct graph_source source;
	struct trend *trend;
	struct loop_timer timer;
};

static void
look(struct graph *g)
{
	uint64_t values[TREND_SERIES_MAX] = {0};

	g->source.look(g->source.arg, values);
	trend_sample(g->trend, values, clock_wall_ms());
}

static void
on_timer(void *arg, int64_t now)
{
	struct graph *g = arg;

	look(g);
	loop_timer_set(&g->timer, now + TREND_SAMPLE_MS);
}

struct graph *
graph_new(const struct graph_source *source)
{
	struct graph *g = xcalloc(1, sizeof(*g));

	g->source = *source;
	g->trend = trend_new(source->series);
	loop_timer_init(&g->timer, source->loop, on_timer, g);
	on_timer(g, loop_now(source->loop));
	return g;
}

void
graph_free(struct graph *g)
{
	if (g == NULL)
		return;
	loop_timer_clear(&g->timer);
	trend_free(g->trend);
	free(g);
}

static json_t *
values_of(const struct graph *g, enum trend_span span,
    const struct trend_view *view, size_t series)
{
	json_t *values = json_array();

	for (size_t i = 0; i < view->count; i++) {
		uint32_t v = trend_value(g->trend, span, view, series, i);

		json_array_append_new(
		    values, v == TREND_UNKNOWN ? json_null() : json_integer(v));
	}
	return values;
}

json_t *
graph_row(struct graph *g, enum trend_span span)
{
	const struct trend_series *s = g->source.series;
	json_t *list = json_array();
	struct trend_view view;

	look(g);
	trend_view(g->trend, span, clock_wall_ms(), &view);
	for (size_t i = 0; s[i].name != NULL; i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:b, s:o}", "name", s[i].name,
			      "label", s[i].label, "gauge", (int)s[i].is_gauge,
			      "values", values_of(g, span, &view, i)));
	return json_pack("{s:o, s:I, s:o}", "start", control_time(view.start),
	    "step_s", (json_int_t)(view.step_ms / 1000), "series", list);
}

void
graph_answer(struct graph *g, struct web_exchange *x)
{
	const struct str *value = http_target_parameter(web_target(x), "span");
	size_t span = TREND_DAY;

	if (web_who(x)->domain[0] != '\0') {
		web_refuse(x, 403,
		    "This covers all senders and is not available per domain.");
		return;
	}
	if (web_target(x)->parameter_count > (value != NULL ? 1 : 0)) {
		web_refuse(x, 400, "The only parameter allowed is \"span\".");
		return;
	}
	while (value != NULL && span < TREND_SPANS &&
	       !str_eq(*value, str_from(trend_span_name[span])))
		span++;
	if (span == TREND_SPANS)
		web_refuse(x, 400, "\"span\" must be day or week.");
	else
		api_answer(x, 200, graph_row(g, (enum trend_span)span));
}
