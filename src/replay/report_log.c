/* SPDX-License-Identifier: BSD-3-Clause */
/* See report_log.h. */
#include "replay/report_log.h"

#include "base/units.h"
#include "replay/report_outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EVIDENCE 5 /* lines for one freeze */
#define RECIPIENTS_SHOWN 3
#define NAME_MAX_SHOWN 40
#define BULK_MAX 5e4

bool
report_log_is_bulk(const struct sender_habits *h)
{
	return h->day >= REPORT_BULK_DAY && h->bulk_days >= REPORT_BULK_DAYS;
}

bool
report_log_is_burst(const struct sender_habits *h)
{
	return h->day >= REPORT_BULK_DAY && h->bulk_days < REPORT_BULK_DAYS;
}

bool
report_log_is_slow(const struct sender_habits *h)
{
	return h->day < REPORT_BULK_DAY && h->week >= REPORT_SLOW_WEEK;
}

int64_t
report_log_wall(const struct report_log *r, int64_t ms)
{
	return r->logs->submissions.start + ms;
}

size_t
report_log_evidence(const struct report_log *r,
    const struct replay_freeze *freeze, uint32_t *out, size_t max)
{
	const struct trace *t = &r->logs->submissions.trace;
	uint32_t low = 0, high = t->message_count;
	size_t n = 0;

	/* The first message after it. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (t->messages[middle].seconds * INT64_C(1000) <= freeze->at)
			low = middle + 1;
		else
			high = middle;
	}
	while (low > 0 && n < max) {
		if (t->messages[--low].sender == freeze->sender)
			out[n++] = low;
	}
	for (size_t i = 0; i < n / 2; i++) {
		uint32_t swapped = out[i];

		out[i] = out[n - 1 - i];
		out[n - 1 - i] = swapped;
	}
	return n;
}

/* ---- text ---- */

static const char *
name(const struct report_log *r, uint32_t id, char out[NAME_MAX_SHOWN + 1])
{
	return str_escape(names_text(r->logs->submissions.names, id), out,
	    NAME_MAX_SHOWN + 1);
}

static const char *
when(const struct report_log *r, int64_t ms, char out[UNITS_TEXT_MAX])
{
	return units_format_time(report_log_wall(r, ms), out);
}

const char *
report_log_domains(const struct report_log *r)
{
	const struct logs *l = r->logs;

	if (!l->has_guessed)
		return "as configured";
	return locals_has_domains(l->locals)
		   ? "those of logins (say --local-domains)"
		   : "none (say --local-domains)";
}

static double
percent(uint64_t n, uint64_t of)
{
	return of > 0 ? 100.0 * (double)n / (double)of : 0;
}

void
report_log_summary(const struct report *report, FILE *out)
{
	const struct report_figures *f = &report->figures[REPORT_COLD];
	const struct report_spread *w = &f->waited;
	char median[UNITS_TEXT_MAX], longest[UNITS_TEXT_MAX];

	fprintf(out,
	    "%" PRIu64 " of %" PRIu64 " recipients (%.3g %%) would have waited",
	    w->count, f->recipients, percent(w->count, f->recipients));
	if (w->count > 0)
		fprintf(out, ": half of them %s or less, the longest %s",
		    units_format_duration(w->median, median),
		    units_format_duration(w->longest, longest));
	fprintf(out,
	    ". %" PRIu64 " of %" PRIu64
	    " users would have been frozen, %" PRIu64
	    " would have noticed nothing.\n",
	    f->frozen_users, f->users, f->unnoticed);
}

static void
print_head(const struct report_log *r)
{
	const struct logs *l = r->logs;
	char first[UNITS_TEXT_MAX], last[UNITS_TEXT_MAX];

	printf("%s%s: %" PRIu64 " messages, %" PRIu64 " recipients, %" PRIu64
	       " senders, %.0f days\n",
	    l->names[0], l->name_count > 1 ? " and others" : "",
	    r->report->messages, r->report->recipients, r->report->senders,
	    r->report->days);
	printf("from %s to %s\n", units_format_time(l->stats.first, first),
	    units_format_time(l->stats.last, last));
	printf("configuration: %s, policy: %s, local domains: %s\n",
	    r->report->config != NULL ? r->report->config : "built in",
	    r->report->policy != NULL ? r->report->policy : "as they match",
	    report_log_domains(r));
	report_log_summary(r->report, stdout);
	putchar('\n');
}

static void
print_top(const struct report_log *r, enum report_column column)
{
	const struct report_figures *f = &r->report->figures[column];

	if (f->top_count == 0)
		return;
	printf("\nLongest waits, %s\n", report_column_name[column]);
	printf("%-40s %10s %7s %10s %10s  %s\n", "sender", "recipients",
	    "waited", "in all", "longest", "why");
	for (size_t i = 0; i < f->top_count; i++) {
		const struct report_sender *s = &f->top[i];
		char total[UNITS_TEXT_MAX], longest[UNITS_TEXT_MAX];
		char text[NAME_MAX_SHOWN + 1];

		printf("%-40s %10" PRIu64 " %7" PRIu64 " %10s %10s  ",
		    name(r, s->id, text), s->recipients, s->waited,
		    units_format_duration(s->total, total),
		    units_format_duration(s->longest, longest));
		report_text_causes(s);
	}
}

/* "    mail.log:17: 2026-11-28T19:19:32Z to a@b, c@d and 2 more" */
static void
print_evidence(const struct report_log *r, uint32_t message, FILE *out)
{
	const struct submissions *s = &r->logs->submissions;
	const struct trace_message *m = &s->trace.messages[message];
	const struct submission *sent = &s->v[s->of[message]];
	char at[UNITS_TEXT_MAX], text[NAME_MAX_SHOWN + 1];

	fprintf(out, "    %s:%u: %s to ", r->logs->names[sent->place.file],
	    (unsigned)sent->place.line, units_format_time(sent->at, at));
	for (uint32_t i = 0; i < m->count && i < RECIPIENTS_SHOWN; i++)
		fprintf(out, "%s%s", i > 0 ? ", " : "",
		    name(r, s->trace.recipients[m->first + i], text));
	if (m->count > RECIPIENTS_SHOWN)
		fprintf(out, " and %u more",
		    (unsigned)(m->count - RECIPIENTS_SHOWN));
	fputc('\n', out);
}

static void
print_freeze(const struct report_log *r, const struct replay_freeze *f,
    const struct report_outcome *outcome, FILE *out)
{
	uint32_t evidence[EVIDENCE];
	size_t n = report_log_evidence(r, f, evidence, EVIDENCE);
	char at[UNITS_TEXT_MAX], text[NAME_MAX_SHOWN + 1];

	fprintf(out, "%s %s: %s", when(r, f->at, at), name(r, f->sender, text),
	    f->reason);
	if (outcome->freezes > 1)
		fprintf(out, " (and %" PRIu64 " times more after thaws)",
		    outcome->freezes - 1);
	fputc('\n', out);
	for (size_t i = 0; i < n; i++)
		print_evidence(r, evidence[i], out);
}

void
report_log_freezes(const struct report_log *r, size_t max, FILE *out)
{
	const struct replay_result *result = r->report->result;
	struct report_outcome *outcomes =
	    report_outcomes(&r->logs->submissions.trace, result);
	size_t n = 0;

	for (size_t i = 0; i < result->freeze_count; i++) {
		const struct replay_freeze *f = &result->freezes[i];

		if (outcomes[f->sender].frozen == f && n++ < max)
			print_freeze(r, f, &outcomes[f->sender], out);
	}
	if (n > max)
		fprintf(out, "and %zu more senders; --json has all\n", n - max);
	free(outcomes);
}

static void
print_freezes(const struct report_log *r)
{
	if (r->report->result->freeze_count == 0)
		return;
	printf("\nSenders that would have been frozen, and the last lines "
	       "before it\n");
	report_log_freezes(r, REPORT_LISTED, stdout);
}

static void
print_habits(const struct report_log *r, const char *title,
    bool (*is_one)(const struct sender_habits *))
{
	size_t n = 0;

	for (size_t i = 0; i < r->habit_count; i++) {
		if (!is_one(&r->habits[i]))
			continue;
		if (n++ == 0)
			printf("\n%s\n%-40s %10s %9s %8s %-10s %8s %-10s\n",
			    title, "sender", "recipients", "strangers",
			    "in a day", "from", "in 7 d", "from");
		if (n <= REPORT_LISTED) {
			const struct sender_habits *h = &r->habits[i];
			char text[NAME_MAX_SHOWN + 1];
			char day[UNITS_TEXT_MAX], week[UNITS_TEXT_MAX];

			printf("%-40s %10" PRIu64 " %9" PRIu64
			       " %8u %.10s %8u %.10s\n",
			    name(r, h->id, text), h->recipients, h->strangers,
			    (unsigned)h->day,
			    when(r, h->day_start * INT64_C(1000), day),
			    (unsigned)h->week,
			    when(r, h->week_start * INT64_C(1000), week));
		}
	}
	if (n > REPORT_LISTED)
		printf("and %zu more; --json has all\n", n - REPORT_LISTED);
}

/* Programs of the machine have no name of their own, and what would match
 * others, or break a line, is not proposed. */
static bool
has_match(struct str who)
{
	return str_is_shown(who) && !str_eq(who, STR("[local]")) &&
	       str_index(who, '*') == who.n && str_index(who, '?') == who.n &&
	       str_index(who, '"') == who.n && str_index(who, '\\') == who.n &&
	       str_index(who, '$') == who.n;
}

/* Clients that do not log in are "[192.0.2.7]". */
static void
print_match(struct str who, FILE *out)
{
	bool is_client = str_starts(who, STR("["));

	if (is_client)
		who = str_sub(who, 1, who.n - 2);
	fprintf(
	    out, "\"%s:%.*s\"", is_client ? "client" : "user", STR_ARG(who));
}

/* 1, 2 or 5 times a power of ten, not below n. */
static uint32_t
round_up(double n)
{
	static const double leads[] = {1, 2, 5};

	for (double power = 1;; power *= 10) {
		for (size_t i = 0; i < ARRAY_LEN(leads); i++) {
			double v = leads[i] * power;

			if (v >= n || v >= BULK_MAX)
				return (uint32_t)v;
		}
	}
}

void
report_log_bulk_policy(const struct report_log *r, FILE *out)
{
	const struct names *names = r->logs->submissions.names;
	uint32_t most = 0; /* strangers in a day */
	const char *between = "policy \"bulk\" {\n    match = {";

	for (size_t i = 0; i < r->habit_count; i++) {
		struct str who = names_text(names, r->habits[i].id);

		if (!report_log_is_bulk(&r->habits[i]) || !has_match(who))
			continue;
		fputs(between, out);
		print_match(who, out);
		between = ",\n        ";
		if (r->habits[i].day > most)
			most = r->habits[i].day;
	}
	if (most == 0)
		return;
	fprintf(out,
	    "}\n    profile = machine\n    burst = %u\n    interval = \"1s\"\n"
	    "    freeze_at = %u\n    limit = {\"%u/1d\"}\n}\n",
	    (unsigned)round_up(1.25 * most), (unsigned)round_up(2.0 * most),
	    (unsigned)round_up(2.0 * most));
}

/* ---- two configurations ---- */

static void
print_compared(const struct report_log *r)
{
	const struct trace *t = &r->logs->submissions.trace;
	struct report_outcome *a, *b;
	size_t n = 0;

	if (r->other == NULL)
		return;
	a = report_outcomes(t, r->report->result);
	b = report_outcomes(t, r->other->result);
	printf("\nWith %s instead\n", r->other->config);
	for (uint32_t id = 0; id <= t->id_max; id++) {
		char text[NAME_MAX_SHOWN + 1];
		char before[UNITS_TEXT_MAX], after[UNITS_TEXT_MAX];

		if (!report_outcome_differs(&a[id], &b[id]))
			continue;
		if (n++ == 0)
			printf("%-40s %9s %9s %10s %10s %9s %9s\n", "sender",
			    "waited", "then", "longest", "then", "frozen",
			    "then");
		if (n <= REPORT_LISTED)
			printf("%-40s %9" PRIu64 " %9" PRIu64
			       " %10s %10s %9" PRIu64 " %9" PRIu64 "\n",
			    name(r, id, text), a[id].waited, b[id].waited,
			    units_format_duration(a[id].longest, before),
			    units_format_duration(b[id].longest, after),
			    a[id].freezes, b[id].freezes);
	}
	if (n > REPORT_LISTED)
		printf("and %zu more senders\n", n - REPORT_LISTED);
	if (n == 0)
		printf("no sender waits longer or is frozen more often, nor "
		       "less\n");
	printf("\nIts figures\n");
	report_log_summary(r->other, stdout);
	putchar('\n');
	report_text_figures(r->other);
	report_text_attacks(r->other);
	report_text_outbreaks(r->other);
	free(a);
	free(b);
}

static bool
has_bulk(const struct report_log *r)
{
	for (size_t i = 0; i < r->habit_count; i++) {
		if (report_log_is_bulk(&r->habits[i]))
			return true;
	}
	return false;
}

bool
report_log_print_text(const struct report_log *r)
{
	print_head(r);
	report_text_figures(r->report);
	print_top(r, REPORT_COLD);
	print_top(r, REPORT_WARM);
	print_freezes(r);
	print_habits(r, "A burst on a single day: was the account stolen?",
	    report_log_is_burst);
	print_habits(r, "Bulk senders: give them a policy of their own",
	    report_log_is_bulk);
	if (has_bulk(r)) {
		putchar('\n');
		report_log_bulk_policy(r, stdout);
	}
	print_habits(r,
	    "Slow senders: only windows of a week find them (limit)",
	    report_log_is_slow);
	report_text_attacks(r->report);
	report_text_outbreaks(r->report);
	print_compared(r);
	logs_print(r->logs);
	return fflush(stdout) == 0 && !ferror(stdout);
}
