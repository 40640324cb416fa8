/* SPDX-License-Identifier: BSD-3-Clause */
/* The report on logs as a table, a row for each sender. */
#include "replay/csv.h"
#include "replay/report_log.h"
#include "replay/report_outcome.h"

#include "base/units.h"

#include <stdlib.h>

static const char *const heads[] = {"sender", "messages", "recipients",
    "waited", "never_passed", "waited_in_all_s", "longest_wait_s", "forgotten",
    "many_in_one_message", "first_days", "busy", "freezes", "first_frozen_at",
    "reason", "strangers", "strangers_in_a_day", "strangers_in_a_week", "burst",
    "bulk", "slow", NULL};

static const char *const other_heads[] = {"other_waited",
    "other_longest_wait_s", "other_freezes", "other_first_frozen_at", NULL};

static void
add_frozen(
    struct csv *c, const struct report_log *r, const struct report_outcome *f)
{
	char at[UNITS_TEXT_MAX];

	csv_number(c, f->freezes);
	if (f->frozen == NULL)
		csv_text(c, STR(""));
	else
		csv_text(c, str_from(units_format_time(
				report_log_wall(r, f->frozen->at), at)));
}

static void
add_outcome(
    struct csv *c, const struct report_log *r, const struct report_outcome *f)
{
	csv_number(c, f->messages);
	csv_number(c, f->recipients);
	csv_number(c, f->waited);
	csv_number(c, f->never);
	csv_duration(c, f->total);
	csv_duration(c, f->longest);
	for (int i = 0; i < REPLAY_CAUSES; i++)
		csv_number(c, f->causes[i]);
	add_frozen(c, r, f);
	csv_text(c, str_from(f->frozen != NULL ? f->frozen->reason : ""));
}

bool
report_log_print_csv(const struct report_log *r, FILE *out)
{
	const struct submissions *s = &r->logs->submissions;
	struct report_outcome *outcomes =
	    report_outcomes(&s->trace, r->report->result);
	struct report_outcome *others =
	    r->other != NULL ? report_outcomes(&s->trace, r->other->result)
			     : NULL;
	struct csv c = {.out = out};
	bool compares = others != NULL;

	for (size_t i = 0; heads[i] != NULL; i++)
		csv_text(&c, str_from(heads[i]));
	for (size_t i = 0; compares && other_heads[i] != NULL; i++)
		csv_text(&c, str_from(other_heads[i]));
	csv_end_row(&c);
	for (size_t i = 0; i < r->habit_count; i++) {
		uint32_t id = r->habits[i].id;
		const struct sender_habits *h;

		csv_text(&c, names_text(s->names, id));
		add_outcome(&c, r, &outcomes[id]);
		h = &r->habits[i];
		csv_number(&c, h->strangers);
		csv_number(&c, h->day);
		csv_number(&c, h->week);
		csv_number(&c, report_log_is_burst(h));
		csv_number(&c, report_log_is_bulk(h));
		csv_number(&c, report_log_is_slow(h));
		if (others != NULL) {
			const struct report_outcome *f = &others[id];

			csv_number(&c, f->waited);
			csv_duration(&c, f->longest);
			add_frozen(&c, r, f);
		}
		csv_end_row(&c);
	}
	free(outcomes);
	free(others);
	return fflush(out) == 0 && !ferror(out);
}
