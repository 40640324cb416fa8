/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The recipients of a message in the log: as many as there is room for in its
 * line, the others in lines of their own, so that a log says who wrote to whom
 * (weir-replay reads it). Any thread.
 */
#ifndef FRONT_LOG_RECIPIENTS_H
#define FRONT_LOG_RECIPIENTS_H

#include "os/log.h"

#define LOG_RECIPIENTS_MAX 1500

struct log_recipients {
	const char *(*address)(const void *arg, size_t i);
	const void *arg;
	size_t count;
};

/* " to=bob@example.net to=...", from number `from` on; returns the first that
 * did not fit, or count. */
size_t log_recipients_format(
    const struct log_recipients *r, size_t from, char out[LOG_RECIPIENTS_MAX]);
/* What is left from `from` on: "<subsystem> recipients id=... to=... to=...".
 */
void log_recipients_rest(const struct log_recipients *r, struct log *log,
    const char *subsystem, const char *id, size_t from);

#endif
