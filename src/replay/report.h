/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The figures of a replay. Only mail of people of whom the trace shows all that
 * they sent counts. Cold: all of it; warm: without the first 30 days of each.
 */
#ifndef REPLAY_REPORT_H
#define REPLAY_REPORT_H

#include "replay/names.h"
#include "replay/replay.h"
#include "replay/stolen.h"

#define REPORT_TOP 10

enum report_column { REPORT_COLD, REPORT_WARM, REPORT_COLUMNS };

extern const char *const report_cause_name[REPLAY_CAUSES];
extern const char *const report_column_name[REPORT_COLUMNS];

/* Of waiting times; a percentile is the smallest that so many do not pass. */
struct report_spread {
	uint64_t count;
	int64_t median, p90, p99, longest; /* ms */
};

struct report_sender {
	uint32_t id;
	uint64_t messages, recipients;
	uint64_t waited;        /* recipients */
	int64_t total, longest; /* ms; of all its waiting, and of one */
	uint64_t causes[REPLAY_CAUSES];
	uint64_t freezes;
};

struct report_figures {
	uint64_t messages, recipients;
	struct report_spread waited, messages_waited;
	uint64_t never; /* recipients that did not pass in the end */
	uint64_t causes[REPLAY_CAUSES];
	uint64_t freezes, frozen_users;
	uint64_t users, unnoticed; /* who send; none of whose mail waited */
	struct report_sender top[REPORT_TOP]; /* waited longest in all */
	size_t top_count;
};

struct report {
	const char *trace, *config, *policy; /* borrowed */
	bool no_local;
	uint64_t messages, recipients, senders, unlisted;
	double days;
	struct report_figures figures[REPORT_COLUMNS];
	const struct replay_result *result;
	const struct trace_nodes *nodes;
	const struct stolen_results *stolen; /* NULL: no outbreaks */
	const struct names *names; /* NULL: numbers are all there is */
};

/* Fills what is not a name. result and nodes are borrowed. */
void report_make(struct report *out, const struct trace *trace,
    const struct trace_nodes *nodes, const struct replay_result *result);
/* Of count values, which it sorts. */
void report_spread(int64_t *values, size_t count, struct report_spread *out);

/* Parts of the text. */
void report_text_figures(const struct report *r);
void report_text_causes(const struct report_sender *s);
void report_text_attacks(const struct report *r);
void report_text_outbreaks(const struct report *r);
/* False: it could not be written. */
MUST_CHECK bool report_print_text(const struct report *r);
MUST_CHECK bool report_print_json(const struct report *r);
/* The parts of the JSON object that a trace and logs have in common. */
struct json_t;
void report_json_figures(const struct report *r, struct json_t *to);

#endif
