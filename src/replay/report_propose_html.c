/* SPDX-License-Identifier: BSD-3-Clause */
/* The proposal as a page, see report_propose.h and svg.h. */
#include "replay/report_propose.h"

#include "base/units.h"
#include "replay/svg.h"

#include <inttypes.h>
#include <stdlib.h>

#define CELL 120
#define LISTED 200

struct row {
	const char *at[8];
	char cells[8][CELL];
	size_t n;
};

static char *
next_cell(struct row *row)
{
	row->at[row->n] = row->cells[row->n];
	return row->cells[row->n++];
}

static void
end_row(FILE *out, struct row *row)
{
	svg_table_row(out, row->at, row->n);
	row->n = 0;
}

static void
print_outcome(FILE *out, const char *label, const struct propose_outcome *o)
{
	struct row row = {.n = 0};

	snprintf(next_cell(&row), CELL, "%s", label);
	snprintf(next_cell(&row), CELL, "%" PRIu64, o->recipients);
	snprintf(next_cell(&row), CELL, "%" PRIu64, o->waited);
	snprintf(next_cell(&row), CELL, "%.3f %%", 100 * propose_share(o));
	snprintf(next_cell(&row), CELL, "%" PRIu64, o->users);
	snprintf(next_cell(&row), CELL, "%" PRIu64, o->frozen);
	end_row(out, &row);
}

static void
print_outcomes(FILE *out, const struct propose_log *p)
{
	static const char *const heads[] = {
	    "", "recipients", "waited", "share", "users", "frozen"};

	svg_table_begin(out, "Cost", heads, ARRAY_LEN(heads));
	print_outcome(out, "proposal, the first days", &p->then.first);
	print_outcome(out, "proposal, the part it was fitted on", &p->then.fit);
	print_outcome(out, "proposal, the part kept back", &p->then.kept);
	print_outcome(out, "the same, with bursts", &p->then.kept_all);
	print_outcome(out, "as it is now, the part kept back", &p->now.kept);
	svg_table_end(out);
}

static void
print_frozen(const struct replay_attack *a, char out[UNITS_TEXT_MAX])
{
	if (a->frozen_after >= 0)
		units_format_duration(a->frozen_after, out);
	else
		str_copy(STR("never"), out, UNITS_TEXT_MAX);
}

static void
print_attacks(FILE *out, const struct propose_log *p)
{
	static const char *const heads[] = {"recipients a second",
	    "strangers in a day", "frozen after", "now", "now"};
	struct row row = {.n = 0};

	svg_table_begin(
	    out, "What a stolen account would reach", heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < p->attack_count; i++) {
		const struct replay_attack *then = &p->then.attacks.attacks[i];
		const struct replay_attack *now = &p->now.attacks.attacks[i];

		snprintf(next_cell(&row), CELL, "%s", then->plan->text);
		snprintf(next_cell(&row), CELL, "%u",
		    (unsigned)then->after_day.strangers);
		print_frozen(then, next_cell(&row));
		snprintf(next_cell(&row), CELL, "%u",
		    (unsigned)now->after_day.strangers);
		print_frozen(now, next_cell(&row));
		end_row(out, &row);
	}
	svg_table_end(out);
}

static void
plot_attacks(FILE *out, const struct propose_log *p)
{
	const char *labels[ATTACKS_MAX];
	double now[ATTACKS_MAX], then[ATTACKS_MAX];
	const struct svg_series series[] = {
	    {.name = "proposal", .y = then, .n = p->attack_count},
	    {.name = "as it is now", .y = now, .n = p->attack_count},
	};
	const struct svg_bars bars = {
	    .title = "Strangers that a stolen account reaches in a day",
	    .description = "For each attack, under the proposal and as it is "
			   "now; fewer is better.",
	    .y_label = "strangers",
	    .labels = labels,
	    .label_count = p->attack_count,
	    .series = series,
	    .series_count = ARRAY_LEN(series),
	};

	for (size_t i = 0; i < p->attack_count; i++) {
		labels[i] = p->attacks[i].text;
		then[i] = p->then.attacks.attacks[i].after_day.strangers;
		now[i] = p->now.attacks.attacks[i].after_day.strangers;
	}
	svg_bars_print(out, &bars);
}

static int
by_share(const void *a, const void *b)
{
	const struct propose_trial *const *x = a, *const *y = b;
	double s = propose_share(&(*x)->outcome);
	double t = propose_share(&(*y)->outcome);

	return (s > t) - (s < t);
}

/* Of the policies that were tried, those of which none is better in both. */
static void
plot_front(FILE *out, const struct propose_log *p)
{
	const struct propose_trial *trials[PROPOSE_TRIALS_MAX];
	double x[PROPOSE_TRIALS_MAX], y[PROPOSE_TRIALS_MAX];
	double least = 0, target_x[2], target_y[2];
	struct svg_series series[] = {
	    {.name = "best for its cost", .x = x, .y = y},
	    {.name = "the aim",
		.x = target_x,
		.y = target_y,
		.n = 2,
		.is_dashed = true},
	};
	const struct svg_plot plot = {
	    .title = "What users notice, and what a thief reaches",
	    .description = "Of the policies that were tried, those that no "
			   "other one betters: the strangers that stolen "
			   "accounts reach (geometric mean of the attacks) "
			   "over the share of recipients that wait.",
	    .x_label = "% of recipients that wait, fitted part",
	    .y_label = "strangers reached",
	    .series = series,
	    .series_count = ARRAY_LEN(series),
	};

	if (p->search.trial_count == 0)
		return;
	for (size_t i = 0; i < p->search.trial_count; i++)
		trials[i] = &p->search.trials[i];
	qsort(trials, p->search.trial_count, sizeof(trials[0]), by_share);
	for (size_t i = 0; i < p->search.trial_count; i++) {
		const struct propose_outcome *o = &trials[i]->outcome;

		if (i > 0 && o->reached >= least)
			continue;
		least = o->reached;
		x[series[0].n] = 100 * propose_share(o);
		y[series[0].n++] = o->reached;
	}
	target_x[0] = target_x[1] = 100 * p->search.target;
	target_y[0] = 0;
	target_y[1] = y[0];
	svg_plot_print(out, &plot);
}

static void
print_touched(FILE *out, const struct propose_log *p)
{
	static const char *const heads[] = {
	    "sender", "recipients waited", "longest", "frozen", ""};
	struct row row = {.n = 0};

	if (p->touched_count == 0)
		return;
	svg_table_begin(out, "Senders affected in the part kept back", heads,
	    ARRAY_LEN(heads));
	for (size_t i = 0; i < p->touched_count && i < LISTED; i++) {
		const struct propose_touched *t = &p->touched[i];

		str_escape(names_text(p->logs->submissions.names, t->id),
		    next_cell(&row), CELL);
		snprintf(next_cell(&row), CELL, "%" PRIu64, t->waited);
		units_format_duration(t->longest, next_cell(&row));
		if (t->frozen_at >= 0)
			units_format_time(
			    p->logs->submissions.start + t->frozen_at,
			    next_cell(&row));
		else
			str_copy(STR("no"), next_cell(&row), CELL);
		snprintf(next_cell(&row), CELL, "%s",
		    t->is_left_out ? "a burst" : "");
		end_row(out, &row);
	}
	svg_table_end(out);
}

bool
report_propose_html(const struct propose_log *p, const char *config, FILE *out)
{
	char text[400];

	svg_page_begin(out, "A policy for the senders of this log");
	snprintf(text, sizeof(text),
	    "Target: at most %g %% of recipients wait, and nobody is frozen. "
	    "It is %s on the part it was fitted on, and %s on the part that "
	    "was kept back. \"Now\" is %.100s.",
	    100 * p->search.target, p->search.is_reached ? "reached" : "missed",
	    propose_meets(&p->search, &p->then.kept) ? "reached" : "missed",
	    config != NULL ? config : "the built-in default");
	svg_paragraph(out, text);
	svg_block(out, p->fragment);
	print_outcomes(out, p);
	plot_front(out, p);
	svg_heading(out, "Stolen accounts");
	plot_attacks(out, p);
	print_attacks(out, p);
	svg_heading(out, "Who notices");
	print_touched(out, p);
	svg_page_end(out);
	return fflush(out) == 0 && !ferror(out);
}
