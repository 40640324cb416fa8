/* SPDX-License-Identifier: BSD-3-Clause */
/* The report of an outbreak as a page: its course by agents and equations, the
 * models of the DSN 2004 paper, and the figures. */
#include "base/units.h"
#include "replay/epidemic.h"
#include "replay/figures.h"
#include "replay/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_BYTES 64
#define MODEL_POINTS 401
#define MODEL_STEPS 50
#define CELL_MAX 64

/* In percent of the hosts. */
struct line {
	double *x, *y;
	size_t n;
	char name[NAME_MAX_BYTES];
};

static struct line
line_of_agents(const struct epidemic *e, const struct epidemic_side *s)
{
	struct line l = {.n = s->agents.n + 1};

	l.x = xcalloc(l.n, sizeof(*l.x));
	l.y = xcalloc(l.n, sizeof(*l.y));
	for (size_t i = 0; i < s->agents.n; i++) {
		l.x[i] = fmin(s->agents.points[i].t, e->span);
		l.y[i] = 100 * s->agents.points[i].ever / e->settings.hosts;
	}
	l.x[l.n - 1] = e->span;
	l.y[l.n - 1] = 100.0 * s->agents.ever / e->settings.hosts;
	snprintf(
	    l.name, sizeof(l.name), "agents, throttle on %u %%", s->deployed);
	return l;
}

static struct line
line_of_curve(const struct model_curve *c, double hosts)
{
	struct line l = {.n = c->n};

	l.x = xcalloc(l.n, sizeof(*l.x));
	l.y = xcalloc(l.n, sizeof(*l.y));
	for (size_t i = 0; i < l.n; i++) {
		l.x[i] = c->t[i];
		l.y[i] = 100 * c->ever[i] / hosts;
	}
	return l;
}

static void
plot(const char *title, const char *description, struct line *lines, size_t n,
    const struct svg_series *looks)
{
	struct svg_series series[SVG_SERIES_MAX];
	const struct svg_plot p = {
	    .title = title,
	    .description = description,
	    .x_label = "seconds",
	    .y_label = "% of the hosts ever infected",
	    .y_max = 100,
	    .series = series,
	    .series_count = n,
	};

	for (size_t i = 0; i < n; i++) {
		series[i] = looks[i];
		series[i].name = lines[i].name;
		series[i].x = lines[i].x;
		series[i].y = lines[i].y;
		series[i].n = lines[i].n;
	}
	svg_plot_print(stdout, &p);
	for (size_t i = 0; i < n; i++) {
		free(lines[i].x);
		free(lines[i].y);
	}
}

static void
plot_course(const struct epidemic *e)
{
	struct line lines[SVG_SERIES_MAX];
	struct svg_series looks[SVG_SERIES_MAX] = {0};
	size_t n = 0;

	for (size_t i = 0; i < e->side_count; i++) {
		const struct epidemic_side *s = &e->sides[i];

		looks[n].colour = (unsigned)i + 1;
		lines[n++] = line_of_agents(e, s);
		if (s->model.n == 0)
			continue;
		looks[n].colour = (unsigned)i + 1;
		looks[n].is_dashed = true;
		lines[n] = line_of_curve(&s->model, e->settings.hosts);
		snprintf(lines[n++].name, sizeof(lines[0].name),
		    "equation, throttle on %u %%", s->deployed);
	}
	plot("How the worm spreads",
	    "Share of the hosts that were ever infected, over time, for each "
	    "share of hosts with the throttle: agents as lines, the equation "
	    "dashed.",
	    lines, n, looks);
}

/* ---- the models of the paper ---- */

#define HOSTS 1000
#define RATE 0.8

struct sample {
	const char *name;
	struct model m;
};

#define PLAIN .hosts = HOSTS, .first = 1, .rate = RATE

static const struct sample limits[] = {
    {"no limit", {PLAIN}},
    {"limits at 50 % of the hosts", {PLAIN, .limited_share = 0.5}},
    {"limits at 90 % of the hosts", {PLAIN, .limited_share = 0.9}},
    {"backbone, 90 % of the paths", {PLAIN, .path_share = 0.9}},
    {"node, link to node 1:6 (IP throttle)",
	{PLAIN, .link_rate = RATE, .node_rate = 6 * RATE}},
    {"node, link to node 1:2 (DNS throttle)",
	{PLAIN, .link_rate = RATE, .node_rate = 2 * RATE}},
};

static const struct sample patching[] = {
    {"no limit, no patching", {PLAIN}},
    {"patching from 20 % on", {PLAIN, .patch_at = 0.2, .patch_rate = 0.1}},
    {"patching, limits on 30 % of the paths",
	{PLAIN, .path_share = 0.3, .patch_at = 0.2, .patch_rate = 0.1}},
};

#define NETWORKS .hosts = HOSTS, .first = 1, .rate = RATE, .networks = 20

static const struct sample local[] = {
    {"random", {NETWORKS, .local_share = 0.05}},
    {"random, edge limits",
	{NETWORKS, .local_share = 0.05, .has_edge = true, .edge_rate = RATE}},
    {"80 % stays", {NETWORKS, .local_share = 0.8}},
    {"80 % stays, edge limits",
	{NETWORKS, .local_share = 0.8, .has_edge = true, .edge_rate = RATE}},
};

static void
plot_samples(const char *title, const char *description,
    const struct sample *samples, size_t n, double until)
{
	struct line lines[SVG_SERIES_MAX];
	struct svg_series looks[SVG_SERIES_MAX] = {0};

	for (size_t i = 0; i < n; i++) {
		struct model_curve c;

		model_run(&samples[i].m, until, MODEL_POINTS, MODEL_STEPS, &c);
		lines[i] = line_of_curve(&c, HOSTS);
		snprintf(lines[i].name, sizeof(lines[i].name), "%s",
		    samples[i].name);
		looks[i].is_dashed = i % 2 == 1;
		model_clear(&c);
	}
	plot(title, description, lines, n, looks);
}

/* ---- tables ---- */

static void
time_text(double s, char text[CELL_MAX])
{
	char units[UNITS_TEXT_MAX];

	snprintf(text, CELL_MAX, "%s",
	    isfinite(s) ? units_format_duration((int64_t)(s * 1000), units)
			: "never");
}

static void
print_sides(const struct epidemic *e)
{
	static const char *const heads[] = {"throttle on", "ever infected",
	    "half after", "90 % after", "half, by the equation",
	    "frozen hosts"};
	char texts[ARRAY_LEN(heads)][CELL_MAX];
	const char *cells[ARRAY_LEN(heads)];

	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		cells[i] = texts[i];
	svg_table_begin(stdout, NULL, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < e->side_count; i++) {
		const struct epidemic_side *s = &e->sides[i];

		snprintf(texts[0], CELL_MAX, "%u %%", s->deployed);
		snprintf(texts[1], CELL_MAX, "%.1f %%",
		    100.0 * s->agents.ever / e->settings.hosts);
		time_text(s->half, texts[2]);
		time_text(s->ninety, texts[3]);
		time_text(s->model_half, texts[4]);
		snprintf(texts[5], CELL_MAX, "%u", s->agents.frozen);
		svg_table_row(stdout, cells, ARRAY_LEN(heads));
	}
	svg_table_end(stdout);
}

static void
print_figures(void)
{
	static const char *const heads[] = {
	    "figure", "source", "the paper", "here"};
	char value[CELL_MAX];

	svg_table_begin(stdout, NULL, heads, ARRAY_LEN(heads));
	for (const struct figure *f = figures; f->what != NULL; f++) {
		const char *cells[] = {f->what, f->source, f->paper, value};
		double v = f->measure(f);

		snprintf(value, sizeof(value), "%.4g %s%s", v, f->unit,
		    figure_holds(f, v) ? "" : " (not reproduced)");
		svg_table_row(stdout, cells, ARRAY_LEN(cells));
	}
	svg_table_end(stdout);
}

static void
print_intro(const struct epidemic *e)
{
	const struct outbreak_settings *s = &e->settings;
	char text[400];

	snprintf(text, sizeof(text),
	    "%u hosts, %u infected at the start, which make %s attempts a "
	    "second. Of the addresses tried, %g %% are %s. The throttle is "
	    "weir's own, with the policy %s.",
	    s->hosts, s->first, e->rate, 100 * s->density,
	    s->spread == OUTBREAK_CONTACTS ? "of people whom the user knows"
					   : "hosts that can be infected",
	    e->policy);
	svg_paragraph(stdout, text);
}

bool
epidemic_print_html(const struct epidemic *e)
{
	svg_page_begin(stdout, "An outbreak and the throttle");
	print_intro(e);
	plot_course(e);
	print_sides(e);
	svg_heading(stdout, "Where limits stand");
	plot_samples("Limits at hosts, at a node, in the backbone",
	    "Limits at half of the hosts double the time; a node that all "
	    "contacts cross makes the growth linear.",
	    limits, ARRAY_LEN(limits), 200);
	plot_samples("Patching",
	    "Patching ends the outbreak; limits leave it more time.", patching,
	    ARRAY_LEN(patching), 60);
	plot_samples("Worms that stay near",
	    "Limits at the edge of each network slow a random worm, and "
	    "hardly one that stays in its network.",
	    local, ARRAY_LEN(local), 60);
	svg_heading(stdout, "Figures of the papers, measured here");
	print_figures();
	svg_page_end(stdout);
	return fflush(stdout) == 0 && !ferror(stdout);
}
