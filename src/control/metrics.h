/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prometheus' text format 0.0.4, and OpenMetrics 1.0: families of samples with
 * labels, the differences of the two kept in one place. Without I/O.
 */
#ifndef CONTROL_METRICS_H
#define CONTROL_METRICS_H

#include "base/buf.h"
#include "os/counters.h"

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_INFO,
	METRIC_HISTOGRAM
};

struct metrics {
	struct buf *out;
	bool openmetrics;
	bool failed; /* it did not fit */
	const char *name;
	enum metric_type type;
};

struct metric_label {
	const char *name;
	const char *value; /* any text, valid UTF-8 or escaped */
};

/* out is borrowed. */
void metrics_begin(struct metrics *m, struct buf *out, bool openmetrics);
/* Begins a family. name: "weir_sessions", without "_total" and "_info", which
 * the types bring. */
void metrics_family(struct metrics *m, const char *name, enum metric_type type,
    const char *help);
/* A sample of the family begun last, but for a histogram; labels end with name
 * NULL, NULL: none. */
void metrics_sample(
    struct metrics *m, const struct metric_label *labels, double value);
/* One family with one sample and no label. */
void metrics_one(struct metrics *m, const char *name, enum metric_type type,
    const char *help, double value);
/* The table of counters and what goes with it: all series are there, at 0 where
 * nothing happened yet. */
void metrics_counters(struct metrics *m, const struct counters *c);
/* False: it did not fit. */
MUST_CHECK bool metrics_end(struct metrics *m);

/* What a client's Accept prefers; NULL: it says nothing. */
bool metrics_wants_open(const struct str *accept);
const char *metrics_type(bool openmetrics); /* for Content-Type */

/* process_* of this process, as Prometheus' own clients name them. */
void metrics_process(struct metrics *m);

#endif
