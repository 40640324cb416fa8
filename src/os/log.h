/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines as key=value, to stderr, syslog or the journal. One line:
 *
 *	<time> <level> <subsystem> <event> key=value key="a value" ...
 *
 * The time is left to syslog and the journal where they stamp the line.
 * Values from outside are escaped and cut. Levels are Postfix's words. Any
 * thread: a line is written with one write(2).
 */
#ifndef OS_LOG_H
#define OS_LOG_H

#include "base/str.h"

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_FATAL, /* the environment; the program ends after it */
};

enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG, LOG_TARGET_JOURNAL };

struct log;

struct log *log_new(enum log_target target, enum log_level least);
void log_free(struct log *log);
void log_configure(
    struct log *log, enum log_target target, enum log_level least);
bool log_is_on(const struct log *log, enum log_level level);

/*
 * fields is a printf format of ready key=value pairs in which %s arguments
 * from outside have been through log_quote. log may be NULL (tests): nothing
 * is written.
 */
PRINTF_LIKE(5, 6)
void log_event(struct log *log, enum log_level level, const char *subsystem,
    const char *event, const char *fields, ...);

/* The tap beside the log (os/tap.h), so that whoever may write to one finds
 * the other. NULL: none, or log is NULL. Set before there are threads. */
struct tap;
void log_set_tap(struct log *log, struct tap *tap);
struct tap *log_tap(const struct log *log);

#define LOG_QUOTE_MAX 512
/* The value as it may stand after key=: escaped, cut, quoted when needed. */
const char *log_quote(struct str s, char out[LOG_QUOTE_MAX]);

#endif
