/* SPDX-License-Identifier: BSD-3-Clause */
/* The report of an outbreak, for a person and for a program. */
#include "base/units.h"
#include "replay/epidemic.h"
#include "replay/figures.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define LABEL_WIDTH 34
#define COLUMN_WIDTH 16
#define CELL_MAX 64

static void
cell(const char *text)
{
	printf("%*s", COLUMN_WIDTH, text);
}

static void
cell_time(double s)
{
	char text[UNITS_TEXT_MAX];

	cell(isfinite(s) ? units_format_duration((int64_t)(s * 1000), text)
			 : "never");
}

static void
cell_share(uint64_t n, uint64_t of)
{
	char text[CELL_MAX];

	snprintf(text, sizeof(text), "%" PRIu64 " (%.1f %%)", n,
	    of > 0 ? 100.0 * (double)n / (double)of : 0.0);
	cell(text);
}

static void
cell_number(uint64_t n)
{
	char text[CELL_MAX];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	cell(text);
}

#define ROW(e, label, side)                                 \
	printf("%-*s", LABEL_WIDTH, label);                 \
	for (const struct epidemic_side *side = (e)->sides; \
	     side < (e)->sides + (e)->side_count; side++)

static void
print_head(const struct epidemic *e)
{
	const struct outbreak_settings *s = &e->settings;

	if (s->spread == OUTBREAK_CONTACTS)
		printf(
		    "A worm that mails to the address books of %u users (%s), "
		    "%s a second, %.0f %% of the addresses it finds are of "
		    "people they know; %.0f %% of the messages are opened, "
		    "after %.0f min on average.\n",
		    s->hosts, e->trace, e->rate, 100 * s->density,
		    100 * s->open_share, s->open_s / 60);
	else
		printf("A worm that tries %s addresses a second, %g %% "
		       "of which are hosts that it infects, %s.\n",
		    e->rate, 100 * s->density,
		    s->spread == OUTBREAK_LOCAL ? "mostly in its own network"
						: "at random");
	printf("%u hosts, %u infected at the start, policy %s, seed %" PRIu64
	       "\n\n",
	    s->hosts, s->first, e->policy, s->seed);
}

static void
print_sides(const struct epidemic *e)
{
	uint32_t hosts = e->settings.hosts;

	ROW(e, "with the throttle", s)
	{
		char text[CELL_MAX];

		snprintf(text, sizeof(text), "%u %%", s->deployed);
		cell(text);
	}
	putchar('\n');
	ROW(e, "ever infected", s)
	cell_share(s->agents.ever, hosts);
	putchar('\n');
	ROW(e, "half infected after", s)
	cell_time(s->half);
	putchar('\n');
	ROW(e, "90 % infected after", s)
	cell_time(s->ninety);
	putchar('\n');
	if (e->settings.spread == OUTBREAK_RANDOM) {
		ROW(e, "half, by the equation", s)
		cell_time(s->model_half);
		putchar('\n');
	}
	ROW(e, "infected, with the throttle", s)
	cell_number(s->agents.throttled);
	putchar('\n');
	ROW(e, "  of these, frozen", s)
	cell_number(s->agents.frozen);
	putchar('\n');
	ROW(e, "  contacts of one that passed", s)
	{
		char text[CELL_MAX];
		double n = s->agents.throttled > 0
			       ? (double)s->agents.throttled_out /
				     (double)s->agents.throttled
			       : 0;

		snprintf(text, sizeof(text), "%.1f", n);
		cell(text);
	}
	putchar('\n');
	if (e->settings.spread != OUTBREAK_CONTACTS)
		return;
	ROW(e, "strangers who got mail", s)
	cell_number(s->agents.outside);
	putchar('\n');
}

bool
epidemic_print_text(const struct epidemic *e)
{
	print_head(e);
	print_sides(e);
	printf("\nFigures of the papers, measured here\n");
	for (const struct figure *f = figures; f->what != NULL; f++) {
		double value = f->measure(f);

		printf("%-13s  %-62s %10.4g %-5s  %s%s\n", f->source, f->what,
		    value, f->unit, f->paper,
		    figure_holds(f, value) ? "" : "  NOT REPRODUCED");
	}
	return fflush(stdout) == 0 && !ferror(stdout);
}

/* ---- JSON ---- */

static json_t *
number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *
count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *
curve_json(const struct epidemic_side *s)
{
	json_t *curve = json_array();

	for (size_t i = 0; i < s->agents.n; i++)
		json_array_append_new(
		    curve, json_pack("[f, f]", s->agents.points[i].t,
			       s->agents.points[i].ever));
	return curve;
}

static json_t *
side_json(const struct epidemic_side *s)
{
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "deployed_percent", (int)s->deployed, "ever_infected",
	    count(s->agents.ever), "half_s", number(s->half), "ninety_s",
	    number(s->ninety), "model_half_s", number(s->model_half),
	    "throttled_infected", count(s->agents.throttled), "frozen",
	    count(s->agents.frozen), "throttled_contacts",
	    count(s->agents.throttled_out), "strangers",
	    count(s->agents.outside), "curve", curve_json(s));
}

bool
epidemic_print_json(const struct epidemic *e)
{
	const struct outbreak_settings *s = &e->settings;
	json_t *sides = json_array(), *papers = json_array(), *o;
	json_t *trace = e->trace != NULL ? json_string(e->trace) : NULL;
	bool ok;

	for (size_t i = 0; i < e->side_count; i++)
		json_array_append_new(sides, side_json(&e->sides[i]));
	for (const struct figure *f = figures; f->what != NULL; f++) {
		double value = f->measure(f);

		json_array_append_new(papers,
		    json_pack("{s:s, s:s, s:s, s:s, s:o, s:b}", "source",
			f->source, "what", f->what, "paper", f->paper, "unit",
			f->unit, "value", number(value), "reproduced",
			figure_holds(f, value)));
	}
	/* A file's name need not be UTF-8. */
	o = json_pack("{s:s, s:o, s:o, s:o, s:s, s:f, s:o, s:s, s:o, s:o}",
	    "spread", epidemic_spread_name[s->spread], "trace",
	    trace != NULL ? trace : json_null(), "hosts", count(s->hosts),
	    "first", count(s->first), "rate", e->rate, "density", s->density,
	    "seed", count(s->seed), "policy", e->policy, "deployments", sides,
	    "figures", papers);
	ok = o != NULL && json_dumpf(o, stdout, JSON_INDENT(1)) == 0;
	json_decref(o);
	putchar('\n');
	return ok && fflush(stdout) == 0 && !ferror(stdout);
}
