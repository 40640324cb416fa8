/* SPDX-License-Identifier: BSD-3-Clause */
/* The report as a person reads it. See report.h. */
#include "replay/report.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

#define LABEL_WIDTH 30
#define COLUMN_WIDTH 18
#define FREEZES_SHOWN 20

static void
print_label(const char *label)
{
	printf("%-*s", LABEL_WIDTH, label);
}

static void
print_cell(const char *text)
{
	printf("%*s", COLUMN_WIDTH, text);
}

static void
print_number(uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	print_cell(text);
}

static void
print_share(uint64_t n, uint64_t of)
{
	char text[48];

	snprintf(text, sizeof(text), "%" PRIu64 " (%.3f %%)", n,
	    of > 0 ? 100.0 * (double)n / (double)of : 0.0);
	print_cell(text);
}

#define EACH_COLUMN(f)                                    \
	for (const struct report_figures *f = r->figures; \
	     f < r->figures + REPORT_COLUMNS; f++)

static void
print_numbers(const struct report *r, const char *label, size_t offset)
{
	print_label(label);
	EACH_COLUMN(f)
	print_number(*(const uint64_t *)((const char *)f + offset));
	putchar('\n');
}

static void
print_durations(
    const struct report *r, const char *label, size_t spread, size_t member)
{
	print_label(label);
	EACH_COLUMN(f)
	{
		const char *s = (const char *)f + spread;
		bool is_there = ((const struct report_spread *)s)->count > 0;
		int64_t ms = *(const int64_t *)(s + member);
		char text[UNITS_TEXT_MAX];

		print_cell(is_there ? units_format_duration(ms, text) : "-");
	}
	putchar('\n');
}

static void
print_spread(const struct report *r, size_t spread)
{
	print_durations(
	    r, "  median", spread, offsetof(struct report_spread, median));
	print_durations(
	    r, "  90 % within", spread, offsetof(struct report_spread, p90));
	print_durations(
	    r, "  99 % within", spread, offsetof(struct report_spread, p99));
	print_durations(
	    r, "  longest", spread, offsetof(struct report_spread, longest));
}

void
report_text_figures(const struct report *r)
{
	char label[40];

	print_label("");
	for (int i = 0; i < REPORT_COLUMNS; i++)
		print_cell(report_column_name[i]);
	putchar('\n');
	print_numbers(
	    r, "recipients", offsetof(struct report_figures, recipients));
	print_label("recipients that waited");
	EACH_COLUMN(f)
	print_share(f->waited.count, f->recipients);
	putchar('\n');
	print_spread(r, offsetof(struct report_figures, waited));
	for (int i = 0; i < REPLAY_CAUSES; i++) {
		snprintf(label, sizeof(label), "  %s", report_cause_name[i]);
		print_numbers(r, label,
		    offsetof(struct report_figures, causes) +
			(size_t)i * sizeof(uint64_t));
	}
	print_numbers(
	    r, "  never passed", offsetof(struct report_figures, never));
	print_numbers(r, "messages", offsetof(struct report_figures, messages));
	print_label("messages that waited");
	EACH_COLUMN(f)
	print_share(f->messages_waited.count, f->messages);
	putchar('\n');
	print_spread(r, offsetof(struct report_figures, messages_waited));
	print_numbers(r, "freezes", offsetof(struct report_figures, freezes));
	print_numbers(
	    r, "  users frozen", offsetof(struct report_figures, frozen_users));
	print_numbers(r, "users", offsetof(struct report_figures, users));
	print_label("users who never noticed");
	EACH_COLUMN(f)
	print_share(f->unnoticed, f->users);
	putchar('\n');
}

void
report_text_causes(const struct report_sender *s)
{
	const char *between = "";

	for (int i = 0; i < REPLAY_CAUSES; i++) {
		if (s->causes[i] == 0)
			continue;
		printf("%s%" PRIu64 " %s", between, s->causes[i],
		    report_cause_name[i]);
		between = ", ";
	}
	putchar('\n');
}

static void
print_top(const struct report *r, enum report_column column)
{
	const struct report_figures *f = &r->figures[column];

	if (f->top_count == 0)
		return;
	printf("\nLongest waits, %s\n", report_column_name[column]);
	printf("%10s %10s %8s %12s %12s  %s\n", "user", "recipients", "waited",
	    "in all", "longest", "why");
	for (size_t i = 0; i < f->top_count; i++) {
		const struct report_sender *s = &f->top[i];
		char total[UNITS_TEXT_MAX], longest[UNITS_TEXT_MAX];

		printf("%10u %10" PRIu64 " %8" PRIu64 " %12s %12s  ",
		    (unsigned)s->id, s->recipients, s->waited,
		    units_format_duration(s->total, total),
		    units_format_duration(s->longest, longest));
		report_text_causes(s);
	}
}

static void
print_freezes(const struct report *r)
{
	const struct replay_result *result = r->result;

	if (result->freeze_count == 0)
		return;
	printf("\nFrozen senders\n%10s %12s  %s\n", "user", "after", "why");
	for (size_t i = 0; i < result->freeze_count && i < FREEZES_SHOWN; i++) {
		const struct replay_freeze *f = &result->freezes[i];
		char after[UNITS_TEXT_MAX];

		printf("%10u %12s  %s\n", (unsigned)f->sender,
		    units_format_duration(f->at, after), f->reason);
	}
	if (result->freeze_count > FREEZES_SHOWN)
		printf("and %zu more; --json has all\n",
		    result->freeze_count - FREEZES_SHOWN);
}

void
report_text_attacks(const struct report *r)
{
	const struct replay_result *result = r->result;

	if (result->attack_count == 0)
		return;
	printf("\nStolen accounts: people reached\n");
	printf("%-24s %13s %10s %6s %12s %6s  %s\n", "recipients a second",
	    "frozen after", "strangers", "known", "in a day", "known", "why");
	for (size_t i = 0; i < result->attack_count; i++) {
		const struct replay_attack *a = &result->attacks[i];
		bool frozen = a->frozen_after >= 0;
		char after[UNITS_TEXT_MAX], strangers[16] = "-",
					    known[16] = "-";

		if (frozen) {
			snprintf(strangers, sizeof(strangers), "%u",
			    (unsigned)a->at_freeze.strangers);
			snprintf(known, sizeof(known), "%u",
			    (unsigned)a->at_freeze.known);
		}
		printf("%-24s %13s %10s %6s %12u %6u%s%s\n", a->plan->text,
		    frozen ? units_format_duration(a->frozen_after, after)
			   : "never",
		    strangers, known, (unsigned)a->after_day.strangers,
		    (unsigned)a->after_day.known, frozen ? "  " : "",
		    frozen ? a->reason : "");
	}
}

static void
print_outbreak(const struct stolen_result *s)
{
	const struct replay_outbreak *o = &s->outbreak;
	char frozen[32], median[UNITS_TEXT_MAX], last[UNITS_TEXT_MAX];
	char touched[48];

	snprintf(frozen, sizeof(frozen), "%u of %u", (unsigned)o->frozen,
	    (unsigned)o->accounts);
	snprintf(touched, sizeof(touched), "%" PRIu64 " of %" PRIu64,
	    s->touched, s->innocent);
	printf("%-38s %12s %10s %10s %9u %7u %14s  %s\n", o->plan->text, frozen,
	    o->frozen > 0 ? units_format_duration(o->median_after, median)
			  : "-",
	    o->frozen > 0 ? units_format_duration(o->last_after, last) : "-",
	    (unsigned)o->reached.strangers, (unsigned)o->reached.known, touched,
	    o->reason != NULL ? o->reason : "");
}

void
report_text_outbreaks(const struct report *r)
{
	if (r->stolen == NULL || r->stolen->count == 0)
		return;
	printf("\nOutbreaks among the users: people reached in a day\n");
	printf("%-38s %12s %10s %10s %9s %7s %14s  %s\n", "recipients a second",
	    "frozen", "half after", "all after", "strangers", "known",
	    "others touched", "why");
	for (size_t i = 0; i < r->stolen->count; i++)
		print_outbreak(&r->stolen->v[i]);
}

bool
report_print_text(const struct report *r)
{
	printf("%s: %" PRIu64 " messages, %" PRIu64 " recipients, %" PRIu64
	       " senders, %.0f days\n",
	    r->trace, r->messages, r->recipients, r->senders, r->days);
	printf("configuration: %s, policy: %s, local domains: %s\n",
	    r->config != NULL ? r->config : "built in",
	    r->policy != NULL ? r->policy : "as they match",
	    r->no_local ? "none" : "the trace's own");
	if (r->unlisted > 0)
		printf("%" PRIu64 " addresses are not in the file of nodes and "
		       "count as outsiders\n",
		    r->unlisted);
	putchar('\n');
	report_text_figures(r);
	print_top(r, REPORT_COLD);
	print_top(r, REPORT_WARM);
	print_freezes(r);
	report_text_attacks(r);
	report_text_outbreaks(r);
	return fflush(stdout) == 0 && !ferror(stdout);
}
