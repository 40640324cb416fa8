/* SPDX-License-Identifier: BSD-3-Clause */
/* See report_log.h. */
#include "replay/report_log.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EVIDENCE 5 /* lines for one freeze */
#define RECIPIENTS_SHOWN 3
#define NAME_MAX_SHOWN 40

bool
report_log_is_bulk(const struct sender_habits *h)
{
	return h->day >= REPORT_BULK_DAY;
}

bool
report_log_is_slow(const struct sender_habits *h)
{
	return !report_log_is_bulk(h) && h->week >= REPORT_SLOW_WEEK;
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
	printf("configuration: %s, policy: %s, local domains: %s\n\n",
	    r->report->config != NULL ? r->report->config : "built in",
	    r->report->policy != NULL ? r->report->policy : "as they match",
	    !l->has_guessed ? "as configured"
	    : locals_has_domains(l->locals)
		? "those of logins (say --local-domains)"
		: "none (say --local-domains)");
}

static void
print_top(const struct report_log *r, enum report_column column)
{
	const struct report_figures *f = &r->report->figures[column];

	if (f->top_count == 0)
		return;
	printf("\nWho waited most, %s\n", report_column_name[column]);
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

static void
print_recipients(const struct report_log *r, const struct trace_message *m)
{
	const struct submissions *s = &r->logs->submissions;
	char text[NAME_MAX_SHOWN + 1];

	for (uint32_t i = 0; i < m->count && i < RECIPIENTS_SHOWN; i++)
		printf("%s%s", i > 0 ? ", " : "",
		    name(r, s->trace.recipients[m->first + i], text));
	if (m->count > RECIPIENTS_SHOWN)
		printf(" and %u more", (unsigned)(m->count - RECIPIENTS_SHOWN));
}

/* "    mail.log:17: 2026-11-28T19:19:32Z to a@b, c@d and 2 more" */
static void
print_evidence(const struct report_log *r, uint32_t message)
{
	const struct submissions *s = &r->logs->submissions;
	const struct trace_message *m = &s->trace.messages[message];
	const struct submission *sent = &s->v[s->of[message]];
	char at[UNITS_TEXT_MAX];

	printf("    %s:%u: %s to ", r->logs->names[sent->place.file],
	    (unsigned)sent->place.line, units_format_time(sent->at, at));
	print_recipients(r, m);
	putchar('\n');
}

static void
print_freezes(const struct report_log *r)
{
	const struct replay_result *result = r->report->result;
	uint32_t evidence[EVIDENCE];

	if (result->freeze_count == 0)
		return;
	printf("\nWho would have been frozen, and the last lines before it\n");
	for (size_t i = 0; i < result->freeze_count && i < REPORT_LISTED; i++) {
		const struct replay_freeze *f = &result->freezes[i];
		char at[UNITS_TEXT_MAX], text[NAME_MAX_SHOWN + 1];
		size_t n = report_log_evidence(r, f, evidence, EVIDENCE);

		printf("%s %s: %s\n", when(r, f->at, at),
		    name(r, f->sender, text), f->reason);
		for (size_t k = 0; k < n; k++)
			print_evidence(r, evidence[k]);
	}
	if (result->freeze_count > REPORT_LISTED)
		printf("and %zu more; --json has all\n",
		    result->freeze_count - REPORT_LISTED);
}

static void
print_habit(const struct report_log *r, const struct sender_habits *h)
{
	char text[NAME_MAX_SHOWN + 1];
	char day[UNITS_TEXT_MAX], week[UNITS_TEXT_MAX];

	printf("%-40s %10" PRIu64 " %9" PRIu64 " %8u %.10s %8u %.10s\n",
	    name(r, h->id, text), h->recipients, h->strangers, (unsigned)h->day,
	    when(r, h->day_start * INT64_C(1000), day), (unsigned)h->week,
	    when(r, h->week_start * INT64_C(1000), week));
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
		if (n <= REPORT_LISTED)
			print_habit(r, &r->habits[i]);
	}
	if (n > REPORT_LISTED)
		printf("and %zu more; --json has all\n", n - REPORT_LISTED);
}

/* ---- two configurations ---- */

/* Of one sender under one of them. */
struct fate {
	uint64_t waited, freezes;
};

static struct fate *
fates_of(const struct report *r, uint32_t id_max, const struct trace *t)
{
	struct fate *v = xcalloc((size_t)id_max + 1, sizeof(*v));

	for (size_t i = 0; i < r->result->wait_count; i++)
		v[t->messages[r->result->waits[i].message].sender].waited++;
	for (size_t i = 0; i < r->result->freeze_count; i++)
		v[r->result->freezes[i].sender].freezes++;
	return v;
}

static void
print_compared(const struct report_log *r)
{
	const struct trace *t = &r->logs->submissions.trace;
	struct fate *a, *b;
	size_t n = 0;

	if (r->other == NULL)
		return;
	a = fates_of(r->report, t->id_max, t);
	b = fates_of(r->other, t->id_max, t);
	printf("\nWith %s instead\n", r->other->config);
	for (uint32_t id = 0; id <= t->id_max; id++) {
		char text[NAME_MAX_SHOWN + 1];

		if (a[id].waited == b[id].waited &&
		    a[id].freezes == b[id].freezes)
			continue;
		if (n++ == 0)
			printf("%-40s %9s %9s %9s %9s\n", "sender", "waited",
			    "then", "frozen", "then");
		if (n <= REPORT_LISTED)
			printf("%-40s %9" PRIu64 " %9" PRIu64 " %9" PRIu64
			       " %9" PRIu64 "\n",
			    name(r, id, text), a[id].waited, b[id].waited,
			    a[id].freezes, b[id].freezes);
	}
	if (n > REPORT_LISTED)
		printf("and %zu more senders\n", n - REPORT_LISTED);
	if (n == 0)
		printf("no sender waits or is frozen more often or less\n");
	printf("\nIts figures\n");
	report_text_figures(r->other);
	free(a);
	free(b);
}

bool
report_log_print_text(const struct report_log *r)
{
	print_head(r);
	report_text_figures(r->report);
	print_top(r, REPORT_COLD);
	print_top(r, REPORT_WARM);
	print_freezes(r);
	print_habits(r, "Bulk senders: give them a policy of their own",
	    report_log_is_bulk);
	print_habits(r,
	    "Slow senders: only windows of a week find them (limit)",
	    report_log_is_slow);
	report_text_attacks(r->report);
	print_compared(r);
	logs_print(r->logs);
	return fflush(stdout) == 0 && !ferror(stdout);
}
