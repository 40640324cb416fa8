/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mail daemon's metrics: the table of counters, and the gauges that gate,
 * spool, delivery and next hop tell. Never a sender's name, and never a walk
 * over all senders. Event loop's thread.
 */
#ifndef MAILD_METRICS_H
#define MAILD_METRICS_H

#include "base/buf.h"
#include "maild/control.h"

/* False: they do not fit. */
MUST_CHECK bool front_metrics(
    const struct control_parts *parts, bool openmetrics, struct buf *out);

#endif
