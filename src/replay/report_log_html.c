/* SPDX-License-Identifier: BSD-3-Clause */
/* The report on logs as a page, see svg.h. */
#include "replay/report_log.h"
#include "replay/report_outcome.h"
#include "replay/svg.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 240
#define LISTED 200 /* rows of a table */
#define POINTS 200 /* of a curve */
#define DAYS_MAX 20000

/* A row of cells made one after the other. */
struct row {
	FILE *out;
	char cells[12][CELL_MAX];
	const char *at[12];
	size_t n;
};

static void
add(struct row *row, struct str text)
{
	str_escape(text, row->cells[row->n], CELL_MAX);
	row->at[row->n] = row->cells[row->n];
	row->n++;
}

static void
add_number(struct row *row, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	add(row, str_from(text));
}

static void
add_duration(struct row *row, int64_t ms)
{
	char text[UNITS_TEXT_MAX];

	add(row, str_from(units_format_duration(ms, text)));
}

static void
add_time(struct row *row, const struct report_log *r, int64_t ms)
{
	char text[UNITS_TEXT_MAX];

	add(row, str_from(units_format_time(report_log_wall(r, ms), text)));
}

static void
end_row(struct row *row)
{
	svg_table_row(row->out, row->at, row->n);
	row->n = 0;
}

static struct str
name_of(const struct report_log *r, uint32_t id)
{
	return names_text(r->logs->submissions.names, id);
}

/* What fn writes, as one text; heap. */
static char *
text_of(void (*fn)(const struct report_log *r, FILE *out),
    const struct report_log *r)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	if (out == NULL)
		panic("open_memstream");
	fn(r, out);
	fclose(out);
	return text;
}

static void
print_with(FILE *out, void (*print)(FILE *out, const char *text),
    void (*fn)(const struct report_log *r, FILE *out),
    const struct report_log *r)
{
	char *text = text_of(fn, r);

	if (text[0] != '\0')
		print(out, text);
	free(text);
}

/* ---- what it comes to ---- */

static void
say_head(const struct report_log *r, FILE *out)
{
	const struct logs *l = r->logs;
	char first[UNITS_TEXT_MAX], last[UNITS_TEXT_MAX];

	fprintf(out,
	    "%" PRIu64 " messages, %" PRIu64 " recipients, %" PRIu64
	    " senders, from %s to %s. Configuration: %s, policy: %s, local "
	    "domains: %s.",
	    r->report->messages, r->report->recipients, r->report->senders,
	    units_format_time(l->stats.first, first),
	    units_format_time(l->stats.last, last),
	    r->report->config != NULL ? r->report->config : "built in",
	    r->report->policy != NULL ? r->report->policy : "as they match",
	    report_log_domains(r));
}

static void
say_summary(const struct report_log *r, FILE *out)
{
	report_log_summary(r->report, out);
}

static void
say_other(const struct report_log *r, FILE *out)
{
	fprintf(out, "With %s instead: ", r->other->config);
	report_log_summary(r->other, out);
}

static void
add_share(struct row *row, const struct report_spread *s, uint64_t of)
{
	char text[64];

	snprintf(text, sizeof(text), "%" PRIu64 " (%.3f %%)", s->count,
	    of > 0 ? 100.0 * (double)s->count / (double)of : 0.0);
	add(row, str_from(text));
}

enum figure {
	RECIPIENTS,
	WAITED,
	MEDIAN,
	P99,
	LONGEST,
	NEVER,
	MESSAGES,
	MESSAGES_WAITED,
	FREEZES,
	FROZEN,
	USERS,
	UNNOTICED,
	FIGURES
};

static const char *const figure_name[FIGURES] = {
    [RECIPIENTS] = "recipients",
    [WAITED] = "recipients that waited",
    [MEDIAN] = "half of them at most",
    [P99] = "99 % of them at most",
    [LONGEST] = "longest wait",
    [NEVER] = "never passed",
    [MESSAGES] = "messages",
    [MESSAGES_WAITED] = "messages that waited",
    [FREEZES] = "freezes",
    [FROZEN] = "users frozen",
    [USERS] = "users",
    [UNNOTICED] = "users who never noticed",
};

static void
add_figure(struct row *row, const struct report_figures *f, enum figure which)
{
	switch (which) {
	case RECIPIENTS:
		add_number(row, f->recipients);
		return;
	case WAITED:
		add_share(row, &f->waited, f->recipients);
		return;
	case MEDIAN:
		add_duration(row, f->waited.median);
		return;
	case P99:
		add_duration(row, f->waited.p99);
		return;
	case LONGEST:
		add_duration(row, f->waited.longest);
		return;
	case NEVER:
		add_number(row, f->never);
		return;
	case MESSAGES:
		add_number(row, f->messages);
		return;
	case MESSAGES_WAITED:
		add_share(row, &f->messages_waited, f->messages);
		return;
	case FREEZES:
		add_number(row, f->freezes);
		return;
	case FROZEN:
		add_number(row, f->frozen_users);
		return;
	case USERS:
		add_number(row, f->users);
		return;
	case UNNOTICED:
		add_number(row, f->unnoticed);
		return;
	case FIGURES:
		return;
	}
}

static void
print_figures(FILE *out, const struct report_log *r)
{
	static const char *const heads[] = {
	    "", "cold", "warm", "cold, the other", "warm, the other"};
	size_t columns = r->other != NULL ? 5 : 3;
	struct row row = {.out = out};

	svg_table_begin(out,
	    "All mail (cold), and without each user's first 30 days (warm)",
	    heads, columns);
	for (int i = 0; i < FIGURES; i++) {
		add(&row, str_from(figure_name[i]));
		for (int c = 0; c < REPORT_COLUMNS; c++)
			add_figure(
			    &row, &r->report->figures[c], (enum figure)i);
		for (int c = 0; c < REPORT_COLUMNS && r->other != NULL; c++)
			add_figure(&row, &r->other->figures[c], (enum figure)i);
		end_row(&row);
	}
	svg_table_end(out);
}

/* ---- curves ---- */

/* Room for the curves of two configurations. */
struct curves {
	struct svg_series series[2];
	double *x[2], *y[2];
	size_t n;
};

static void
curves_clear(struct curves *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->x[i]);
		free(c->y[i]);
	}
}

static void
curves_add(struct curves *c, const char *config, double *x, double *y, size_t n)
{
	c->x[c->n] = x;
	c->y[c->n] = y;
	c->series[c->n] = (struct svg_series){
	    .name = config != NULL ? config : "built in",
	    .x = x,
	    .y = y,
	    .n = n,
	    .is_dashed = c->n > 0,
	};
	c->n++;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of all recipients of users, in percent, which still waited after x seconds.
 */
static void
add_waiting(
    struct curves *c, const struct report_log *r, const struct report *report)
{
	const struct trace *t = &r->logs->submissions.trace;
	const struct replay_result *result = report->result;
	size_t n = result->wait_count;
	size_t points = n < POINTS ? n : POINTS;
	double *waits = xcalloc(n + 1, sizeof(*waits));
	double *x = xcalloc(points + 1, sizeof(*x));
	double *y = xcalloc(points + 1, sizeof(*y));
	uint64_t all = report->figures[REPORT_COLD].recipients;

	for (size_t i = 0; i < n; i++) {
		const struct replay_wait *w = &result->waits[i];
		double seconds =
		    (double)w->until / 1000 - t->messages[w->message].seconds;

		waits[i] = seconds > 1 ? seconds : 1;
	}
	qsort(waits, n, sizeof(*waits), by_value);
	for (size_t i = 0; i < points; i++) {
		size_t at = points > 1 ? i * (n - 1) / (points - 1) : 0;

		x[i] = waits[at];
		y[i] = all > 0 ? 100.0 * (double)(n - at) / (double)all : 0;
	}
	free(waits);
	curves_add(c, report->config, x, y, points);
}

static void
print_waiting(FILE *out, const struct report_log *r)
{
	struct curves c = {.n = 0};
	struct svg_plot plot = {
	    .title = "How long recipients would have waited",
	    .description = "Percentage of all recipients that were still "
			   "waiting after this many seconds; the first point "
			   "shows all that had to wait.",
	    .x_label = "seconds",
	    .y_label = "% of recipients still waiting",
	    .log_x = true,
	    .series = c.series,
	};

	if (r->report->result->wait_count == 0 &&
	    (r->other == NULL || r->other->result->wait_count == 0))
		return;
	add_waiting(&c, r, r->report);
	if (r->other != NULL)
		add_waiting(&c, r, r->other);
	plot.series_count = c.n;
	svg_plot_print(out, &plot);
	curves_clear(&c);
}

static size_t
days_of(const struct report_log *r)
{
	size_t days = (size_t)r->report->days + 1;

	return days < DAYS_MAX ? days : DAYS_MAX;
}

static void
add_days(
    struct curves *c, const struct report_log *r, const struct report *report)
{
	const struct trace *t = &r->logs->submissions.trace;
	size_t days = days_of(r);
	double *x = xcalloc(days, sizeof(*x));
	double *y = xcalloc(days, sizeof(*y));

	for (size_t i = 0; i < days; i++)
		x[i] = (double)(i + 1);
	for (size_t i = 0; i < report->result->wait_count; i++) {
		uint32_t message = report->result->waits[i].message;
		size_t day = t->messages[message].seconds / 86400;

		if (day < days)
			y[day]++;
	}
	curves_add(c, report->config, x, y, days);
}

static void
print_days(FILE *out, const struct report_log *r)
{
	struct curves c = {.n = 0};
	struct svg_plot plot = {
	    .title = "Recipients that would have waited, day by day",
	    .description = "The first days are those in which weir would not "
			   "have known yet who writes to whom.",
	    .x_label = "day of the log",
	    .y_label = "recipients that waited",
	    .series = c.series,
	};

	if (days_of(r) < 2)
		return;
	add_days(&c, r, r->report);
	if (r->other != NULL)
		add_days(&c, r, r->other);
	plot.series_count = c.n;
	svg_plot_print(out, &plot);
	curves_clear(&c);
}

/* ---- who ---- */

static void
print_top(FILE *out, const struct report_log *r, enum report_column column)
{
	static const char *const heads[] = {"sender", "recipients", "waited",
	    "in all", "longest", "forgotten", "many in one message",
	    "first days", "busy"};
	const struct report_figures *f = &r->report->figures[column];
	struct row row = {.out = out};
	char caption[60];

	if (f->top_count == 0)
		return;
	snprintf(caption, sizeof(caption), "Longest waits, %s",
	    report_column_name[column]);
	svg_table_begin(out, caption, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < f->top_count; i++) {
		const struct report_sender *s = &f->top[i];

		add(&row, name_of(r, s->id));
		add_number(&row, s->recipients);
		add_number(&row, s->waited);
		add_duration(&row, s->total);
		add_duration(&row, s->longest);
		for (int c = 0; c < REPLAY_CAUSES; c++)
			add_number(&row, s->causes[c]);
		end_row(&row);
	}
	svg_table_end(out);
}

static void
say_freezes(const struct report_log *r, FILE *out)
{
	report_log_freezes(r, LISTED, out);
}

static void
print_freezes(FILE *out, const struct report_log *r)
{
	if (r->report->result->freeze_count == 0)
		return;
	svg_heading(out, "Senders that would have been frozen, and the last "
			 "lines before it");
	print_with(out, svg_block, say_freezes, r);
}

static void
print_habits(FILE *out, const struct report_log *r, const char *caption,
    bool (*is_one)(const struct sender_habits *))
{
	static const char *const heads[] = {"sender", "recipients", "strangers",
	    "in a day", "from", "in 7 days", "from"};
	struct row row = {.out = out};
	size_t n = 0;

	for (size_t i = 0; i < r->habit_count && n < LISTED; i++) {
		const struct sender_habits *h = &r->habits[i];

		if (!is_one(h))
			continue;
		if (n++ == 0)
			svg_table_begin(out, caption, heads, ARRAY_LEN(heads));
		add(&row, name_of(r, h->id));
		add_number(&row, h->recipients);
		add_number(&row, h->strangers);
		add_number(&row, h->day);
		add_time(&row, r, h->day_start * INT64_C(1000));
		add_number(&row, h->week);
		add_time(&row, r, h->week_start * INT64_C(1000));
		end_row(&row);
	}
	if (n > 0)
		svg_table_end(out);
}

static void
print_behaviour(FILE *out, const struct report_log *r)
{
	svg_heading(out, "Senders that write to many strangers");
	print_habits(out, r, "A burst on a single day: was the account stolen?",
	    report_log_is_burst);
	print_habits(out, r, "Bulk senders: give them a policy of their own",
	    report_log_is_bulk);
	print_with(out, svg_block, report_log_bulk_policy, r);
	print_habits(out, r,
	    "Slow senders: only windows of a week find them (limit)",
	    report_log_is_slow);
}

/* ---- attacks, and the other configuration ---- */

static void
print_attacks(FILE *out, const struct report *report, const char *caption)
{
	static const char *const heads[] = {"recipients a second",
	    "frozen after", "strangers", "known", "strangers in a day",
	    "known in a day", "why"};
	const struct replay_result *result = report->result;
	struct row row = {.out = out};

	if (result->attack_count == 0)
		return;
	svg_table_begin(out, caption, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < result->attack_count; i++) {
		const struct replay_attack *a = &result->attacks[i];
		bool frozen = a->frozen_after >= 0;

		add(&row, str_from(a->plan->text));
		if (frozen)
			add_duration(&row, a->frozen_after);
		else
			add(&row, STR("never"));
		add_number(&row,
		    frozen ? a->at_freeze.strangers : a->after_day.strangers);
		add_number(
		    &row, frozen ? a->at_freeze.known : a->after_day.known);
		add_number(&row, a->after_day.strangers);
		add_number(&row, a->after_day.known);
		add(&row, str_from(frozen ? a->reason : ""));
		end_row(&row);
	}
	svg_table_end(out);
}

static void
print_outbreaks(FILE *out, const struct report *report, const char *caption)
{
	static const char *const heads[] = {"recipients a second", "accounts",
	    "frozen", "half after", "all after", "strangers in a day",
	    "known in a day", "others touched", "of", "why"};
	struct row row = {.out = out};

	if (report->stolen == NULL || report->stolen->count == 0)
		return;
	svg_table_begin(out, caption, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < report->stolen->count; i++) {
		const struct stolen_result *s = &report->stolen->v[i];
		const struct replay_outbreak *o = &s->outbreak;

		add(&row, str_from(o->plan->text));
		add_number(&row, o->accounts);
		add_number(&row, o->frozen);
		add_duration(&row, o->median_after);
		add_duration(&row, o->last_after);
		add_number(&row, o->reached.strangers);
		add_number(&row, o->reached.known);
		add_number(&row, s->touched);
		add_number(&row, s->innocent);
		add(&row, str_from(o->reason));
		end_row(&row);
	}
	svg_table_end(out);
}

static void
print_differences(FILE *out, const struct report_log *r)
{
	static const char *const heads[] = {
	    "sender", "waited", "then", "longest", "then", "frozen", "then"};
	const struct trace *t = &r->logs->submissions.trace;
	struct report_outcome *a = report_outcomes(t, r->report->result);
	struct report_outcome *b = report_outcomes(t, r->other->result);
	struct row row = {.out = out};
	size_t n = 0;

	svg_table_begin(
	    out, "Senders affected by the change", heads, ARRAY_LEN(heads));
	for (uint32_t id = 0; id <= t->id_max && n < LISTED; id++) {
		if (!report_outcome_differs(&a[id], &b[id]))
			continue;
		n++;
		add(&row, name_of(r, id));
		add_number(&row, a[id].waited);
		add_number(&row, b[id].waited);
		add_duration(&row, a[id].longest);
		add_duration(&row, b[id].longest);
		add_number(&row, a[id].freezes);
		add_number(&row, b[id].freezes);
		end_row(&row);
	}
	svg_table_end(out);
	free(a);
	free(b);
}

/* ---- the log ---- */

static void
print_count(void *arg, const char *what, uint64_t n)
{
	struct row *row = arg;

	add(row, str_from(what));
	add_number(row, n);
	end_row(row);
}

static void
say_limits(const struct report_log *r, FILE *out)
{
	const struct feed_stats *s = &r->logs->stats;

	for (size_t i = 0; i < s->format_count; i++)
		fprintf(out, "A log of %s does not show: %s. ",
		    s->formats[i]->name, s->formats[i]->cannot);
}

static void
say_samples(const struct report_log *r, FILE *out)
{
	const struct feed_stats *s = &r->logs->stats;

	for (size_t i = 0; i < s->sample_count; i++)
		fprintf(out, "%s\n", s->samples[i]);
}

static void
print_log(FILE *out, const struct report_log *r)
{
	static const char *const heads[] = {"what", "number"};
	struct row row = {.out = out};

	svg_heading(out, "The log");
	svg_table_begin(out, NULL, heads, ARRAY_LEN(heads));
	logs_counts(r->logs, print_count, &row);
	svg_table_end(out);
	if (r->logs->stats.sample_count > 0)
		svg_paragraph(out, "Not understood, for example:");
	print_with(out, svg_block, say_samples, r);
	print_with(out, svg_paragraph, say_limits, r);
}

bool
report_log_print_html(const struct report_log *r, FILE *out)
{
	svg_page_begin(out, "Senders that weir would have delayed");
	print_with(out, svg_paragraph, say_summary, r);
	if (r->other != NULL)
		print_with(out, svg_paragraph, say_other, r);
	print_with(out, svg_paragraph, say_head, r);
	print_figures(out, r);
	print_waiting(out, r);
	print_days(out, r);
	svg_heading(out, "Who would have waited");
	print_top(out, r, REPORT_COLD);
	print_top(out, r, REPORT_WARM);
	print_freezes(out, r);
	print_behaviour(out, r);
	print_attacks(out, r->report, "Stolen accounts: people reached");
	print_outbreaks(out, r->report,
	    "Outbreaks among the users, and what the others feel");
	if (r->other != NULL) {
		svg_heading(out, "The other configuration");
		print_differences(out, r);
		print_attacks(out, r->other,
		    "Stolen accounts under the other configuration");
		print_outbreaks(
		    out, r->other, "Outbreaks under the other configuration");
	}
	print_log(out, r);
	svg_page_end(out);
	return fflush(out) == 0 && !ferror(out);
}
