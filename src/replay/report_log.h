/* SPDX-License-Identifier: BSD-3-Clause */
/* The report on logs, for the person who is to turn enforcement on: names,
 * times and lines, not numbers of a trace. */
#ifndef REPLAY_REPORT_LOG_H
#define REPLAY_REPORT_LOG_H

#include "replay/logs.h"
#include "replay/report.h"
#include "replay/senders.h"

#include <stdio.h>

struct report_log {
	const struct logs *logs;
	const struct report *report;
	/* Of another configuration on the same log, or NULL. */
	const struct report *other;
	const struct sender_habits *habits;
	size_t habit_count;
};

/* False: it could not be written. */
MUST_CHECK bool report_log_print_text(const struct report_log *r);
MUST_CHECK bool report_log_print_json(const struct report_log *r);
/* A row for each sender. */
MUST_CHECK bool report_log_print_csv(const struct report_log *r, FILE *out);
MUST_CHECK bool report_log_print_html(const struct report_log *r, FILE *out);

/* ---- what both print ---- */

#define REPORT_BULK_DAY 100 /* strangers in the busiest day, or more */
#define REPORT_BULK_DAYS 2  /* with as many recipients as that */
#define REPORT_SLOW_WEEK 70 /* in the busiest week; ten a day */
#define REPORT_LISTED 20

bool report_log_is_bulk(const struct sender_habits *h);
/* Bulk but once: an account that was stolen looks so. */
bool report_log_is_burst(const struct sender_habits *h);
/* Few a day, so that no short window sees it, yet many in a week. */
bool report_log_is_slow(const struct sender_habits *h);
/* Wall ms of a time of the trace. */
int64_t report_log_wall(const struct report_log *r, int64_t ms);
/* What the sender sent at the time or last before it, in the order of the
 * trace: up to max messages that end with that, in out. */
size_t report_log_evidence(const struct report_log *r,
    const struct replay_freeze *freeze, uint32_t *out, size_t max);
/* In a sentence or two: who would have waited, how long, who been frozen. */
void report_log_summary(const struct report *report, FILE *out);
/* Each frozen sender's first freeze, with the lines that show why, for max
 * senders at most. */
void report_log_freezes(const struct report_log *r, size_t max, FILE *out);
/* A policy for the bulk senders, as weir.conf has it. Nothing where there are
 * none. */
void report_log_bulk_policy(const struct report_log *r, FILE *out);
/* Where the domains that are ours come from. */
const char *report_log_domains(const struct report_log *r);

#endif
