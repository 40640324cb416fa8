/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The recipients of a message in the log: as many as there is room for in its
 * line, the others in lines of their own, so that a log says who wrote to whom
 * (weir-replay reads it). Any thread.
 */
#ifndef FRONT_LOG_RECIPIENTS_H
#define FRONT_LOG_RECIPIENTS_H

#include "os/log.h"

struct log_recipients {
	const char *(*address)(const void *arg, size_t i);
	const void *arg;
	size_t count;
};

/* Those from number `from` on that one line has room for, at least one unless
 * there is none; out->end is the first that it has no room for, or count. */
void log_recipients_take(
    const struct log_recipients *r, size_t from, struct log_list *out);
/* What is left from `from` on, in lines of event, with id. */
void log_recipients_rest(const struct log_recipients *r, struct log *log,
    enum log_event_id event, const char *id, size_t from);

#endif
