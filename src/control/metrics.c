/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/metrics.h"

#include "base/str.h"
#include "http/reply.h"
#include "os/process.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FAMILY_MAX 80

static const char *const type_names[] = {
    "counter", "gauge", "info", "histogram"};
static const char *const suffixes[] = {"_total", "", "_info", ""};

static void
put(struct metrics *m, struct str s)
{
	if (!m->failed && !buf_append_str(m->out, s))
		m->failed = true;
}

/* Backslash and line feed, and in labels the double quote. */
static void
put_escaped(struct metrics *m, const char *text, bool is_label)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\\')
			put(m, STR("\\\\"));
		else if (*p == '\n')
			put(m, STR("\\n"));
		else if (*p == '"' && (is_label || m->openmetrics))
			put(m, STR("\\\""));
		else
			put(m, (struct str){p, 1});
	}
}

void
metrics_begin(struct metrics *m, struct buf *out, bool openmetrics)
{
	*m = (struct metrics){.out = out, .openmetrics = openmetrics};
}

/* "# HELP name text". OpenMetrics names the family, the older format the
 * sample, and it knows no infos. */
static void
put_comment(struct metrics *m, const char *word)
{
	put(m, STR("# "));
	put(m, str_from(word));
	put(m, STR(" "));
	put(m, str_from(m->name));
	if (!m->openmetrics)
		put(m, str_from(suffixes[m->type]));
	put(m, STR(" "));
}

void
metrics_family(struct metrics *m, const char *name, enum metric_type type,
    const char *help)
{
	bool is_old_info = type == METRIC_INFO && !m->openmetrics;

	m->name = name;
	m->type = type;
	put_comment(m, "HELP");
	put_escaped(m, help, false);
	put(m, STR("\n"));
	put_comment(m, "TYPE");
	put(m, str_from(type_names[is_old_info ? METRIC_GAUGE : type]));
	put(m, STR("\n"));
}

static void
put_number(struct metrics *m, double value)
{
	char number[40];

	/* Whole numbers up to 2^53 as such. */
	if (value == floor(value) && fabs(value) < 9007199254740992.0)
		snprintf(number, sizeof(number), " %.0f\n", value);
	else
		snprintf(number, sizeof(number), " %.17g\n", value);
	put(m, str_from(number));
}

void
metrics_sample(
    struct metrics *m, const struct metric_label *labels, double value)
{
	put(m, str_from(m->name));
	put(m, str_from(suffixes[m->type]));
	for (const struct metric_label *l = labels;
	     l != NULL && l->name != NULL; l++) {
		put(m, l == labels ? STR("{") : STR(","));
		put(m, str_from(l->name));
		put(m, STR("=\""));
		put_escaped(m, l->value, true);
		put(m, STR("\""));
	}
	if (labels != NULL && labels->name != NULL)
		put(m, STR("}"));
	put_number(m, value);
}

void
metrics_one(struct metrics *m, const char *name, enum metric_type type,
    const char *help, double value)
{
	metrics_family(m, name, type, help);
	metrics_sample(m, NULL, value);
}

/* ---- the table of counters ---- */

/* Labels as they stand in the table, behind one by name. */
static void
put_series(struct metrics *m, const char *label, const char *value,
    const char *labels, uint64_t n)
{
	put(m, str_from(m->name));
	put(m, STR("_total{"));
	if (label != NULL) {
		put(m, str_from(label));
		put(m, STR("=\""));
		put_escaped(m, value, true);
		put(m, labels[0] != '\0' ? STR("\",") : STR("\""));
	}
	put(m, str_from(labels));
	put(m, STR("}"));
	put_number(m, (double)n);
}

static void
begin_family(struct metrics *m, const char *family, enum metric_type type,
    char name[FAMILY_MAX])
{
	snprintf(name, FAMILY_MAX, "weir_%s", family);
	metrics_family(m, name, type, counter_family_doc(family));
}

static void
add_totals(struct metrics *m, const struct counters *c)
{
	const char *last = "";
	char name[FAMILY_MAX];

	for (size_t i = 0; i < COUNT_MAX; i++) {
		const struct counter_info *info = &counter_info[i];

		if (info->family == NULL) {
			snprintf(name, sizeof(name), "weir_%s", info->name);
			metrics_one(m, name,
			    info->type == COUNTER_TOTAL ? METRIC_COUNTER
							: METRIC_GAUGE,
			    info->doc, (double)c->v[i]);
			continue;
		}
		if (info->family[0] == '\0')
			continue;
		if (strcmp(info->family, last) != 0)
			begin_family(
			    m, last = info->family, METRIC_COUNTER, name);
		put_series(m, NULL, NULL, info->labels, c->v[i]);
	}
}

/* A family's counters stand together; a name's do in the answer. */
static void
add_named(struct metrics *m, const struct counters *c)
{
	size_t end;

	for (size_t first = 0; first < NAMED_MAX; first = end) {
		const struct named_counter_info *info =
		    &named_counter_info[first];
		const struct counter_names *names = &c->names[info->kind];
		char name[FAMILY_MAX];

		for (end = first + 1;
		     end < NAMED_MAX &&
		     strcmp(named_counter_info[end].family, info->family) == 0;)
			end++;
		begin_family(m, info->family, METRIC_COUNTER, name);
		for (size_t i = 0; i < names->n; i++) {
			for (size_t j = first; j < end; j++)
				put_series(m, counter_kind_name[info->kind],
				    names->rows[i].name,
				    named_counter_info[j].labels,
				    names->rows[i].v[j]);
		}
	}
}

static void
add_histogram(struct metrics *m, const struct histogram_values *h)
{
	uint64_t below = 0;
	char bound[40];

	for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
		below += h->in[i];
		put(m, str_from(m->name));
		if (i == HISTOGRAM_BUCKETS)
			snprintf(bound, sizeof(bound), "_bucket{le=\"+Inf\"}");
		else
			/* As OpenMetrics writes them. */
			snprintf(bound, sizeof(bound),
			    "_bucket{le=\"%" PRIu32 ".0\"}",
			    histogram_bounds[i]);
		put(m, str_from(bound));
		put_number(m, (double)below);
	}
	put(m, str_from(m->name));
	put(m, STR("_sum"));
	put_number(m, (double)h->sum_ms / 1000);
	put(m, str_from(m->name));
	put(m, STR("_count"));
	put_number(m, (double)below);
}

void
metrics_counters(struct metrics *m, const struct counters *c)
{
	char name[FAMILY_MAX];

	add_totals(m, c);
	add_named(m, c);
	for (size_t i = 0; i < HISTOGRAM_MAX; i++) {
		begin_family(m, histogram_name[i], METRIC_HISTOGRAM, name);
		add_histogram(m, &c->histograms[i]);
	}
}

bool
metrics_end(struct metrics *m)
{
	if (m->openmetrics)
		put(m, STR("# EOF\n"));
	return !m->failed;
}

bool
metrics_wants_open(const struct str *accept)
{
	return accept != NULL &&
	       http_accepts(accept, "application/openmetrics-text") >
		   http_accepts(accept, "text/plain");
}

const char *
metrics_type(bool openmetrics)
{
	return openmetrics ? "application/openmetrics-text; version=1.0.0; "
			     "charset=utf-8"
			   : "text/plain; version=0.0.4; charset=utf-8";
}

void
metrics_process(struct metrics *m)
{
	struct process_stats s;

	process_stats(&s);
	metrics_one(m, "process_cpu_seconds", METRIC_COUNTER,
	    "Total user and system CPU time spent in seconds.", s.cpu_s);
	metrics_one(m, "process_resident_memory_bytes", METRIC_GAUGE,
	    "Resident memory size in bytes.", (double)s.resident_bytes);
	metrics_one(m, "process_virtual_memory_bytes", METRIC_GAUGE,
	    "Virtual memory size in bytes.", (double)s.virtual_bytes);
	metrics_one(m, "process_open_fds", METRIC_GAUGE,
	    "Number of open file descriptors.", (double)s.open_files);
	metrics_one(m, "process_max_fds", METRIC_GAUGE,
	    "Maximum number of open file descriptors.", (double)s.max_files);
	metrics_one(m, "process_start_time_seconds", METRIC_GAUGE,
	    "Start time of the process since unix epoch in seconds.",
	    s.started_at_s);
}
