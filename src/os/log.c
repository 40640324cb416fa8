/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines. A line is made on the stack and handed over in one call, so that
 * threads never mix theirs; LINE_MAX_BYTES keeps to what a pipe takes whole
 * (PIPE_BUF). A log that cannot be written is not an error: mail goes on.
 */
#include "config.h"

#include "os/log.h"

#include "base/units.h"
#include "os/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-journal.h>
#endif

#define LINE_MAX_BYTES 4096

/* Read by any thread while the loop reconfigures. */
struct log {
	_Atomic(enum log_target) target;
	_Atomic(enum log_level) least;
	struct tap *tap;
};

static const struct {
	const char *name;
	int priority; /* syslog's */
} levels[] = {
    [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
    [LOG_LEVEL_INFO] = {"info", LOG_INFO},
    [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
    [LOG_LEVEL_ERROR] = {"error", LOG_ERR},
    [LOG_LEVEL_FATAL] = {"fatal", LOG_CRIT},
};

struct log *
log_new(enum log_target target, enum log_level least)
{
	struct log *log = xmalloc(sizeof(*log));

	atomic_init(&log->target, target);
	atomic_init(&log->least, least);
	log->tap = NULL;
	return log;
}

void
log_free(struct log *log)
{
	free(log);
}

void
log_configure(struct log *log, enum log_target target, enum log_level least)
{
	atomic_store(&log->target, target);
	atomic_store(&log->least, least);
}

void
log_set_tap(struct log *log, struct tap *tap)
{
	if (log != NULL)
		log->tap = tap;
}

struct tap *
log_tap(const struct log *log)
{
	return log != NULL ? log->tap : NULL;
}

bool
log_is_on(const struct log *log, enum log_level level)
{
	return log != NULL && level >= atomic_load(&log->least);
}

static void
write_stderr(char *line, size_t n)
{
	ssize_t done;

	line[n] = '\n';
	do
		done = write(STDERR_FILENO, line, n + 1);
	while (done < 0 && errno == EINTR);
}

/* False: the journal is not there. */
static bool
send_journal(int priority, const char *line)
{
#ifdef HAVE_SYSTEMD
	return sd_journal_send("MESSAGE=%s", line, "PRIORITY=%i", priority,
		   "SYSLOG_FACILITY=%i", LOG_MAIL >> 3, NULL) == 0;
#else
	(void)priority;
	(void)line;
	return false;
#endif
}

static void
write_line(enum log_target target, enum log_level level, char *line, size_t n)
{
	int priority = levels[level].priority;

	if (target == LOG_TARGET_STDERR)
		write_stderr(line, n);
	else if (target == LOG_TARGET_SYSLOG || !send_journal(priority, line))
		syslog(LOG_MAIL | priority, "%s", line);
}

/* Appends, cut at the end of the line. */
PRINTF_LIKE(3, 0)
static size_t
add(char line[LINE_MAX_BYTES], size_t n, const char *fmt, va_list ap)
{
	int more = vsnprintf(line + n, LINE_MAX_BYTES - n, fmt, ap);

	if (more < 0)
		return n;
	if ((size_t)more < LINE_MAX_BYTES - n)
		return n + (size_t)more;
	str_copy(STR("..."), line + LINE_MAX_BYTES - 4, 4);
	return LINE_MAX_BYTES - 1;
}

PRINTF_LIKE(3, 4)
static size_t
addf(char line[LINE_MAX_BYTES], size_t n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	n = add(line, n, fmt, ap);
	va_end(ap);
	return n;
}

void
log_event(struct log *log, enum log_level level, const char *subsystem,
    const char *event, const char *fields, ...)
{
	char line[LINE_MAX_BYTES];
	char when[UNITS_TEXT_MAX];
	enum log_target target;
	size_t n = 0;
	va_list ap;
	int saved_errno = errno;

	if (!log_is_on(log, level))
		return;
	target = atomic_load(&log->target);
	/* The others stamp the line themselves. */
	if (target == LOG_TARGET_STDERR)
		n = addf(
		    line, n, "%s ", units_format_time(clock_wall_ms(), when));
	n = addf(line, n, "%s %s %s", levels[level].name, subsystem, event);
	if (fields[0] != '\0') {
		n = addf(line, n, " ");
		va_start(ap, fields);
		n = add(line, n, fields, ap);
		va_end(ap);
	}
	/* A value that missed log_quote must not forge a second line. */
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)line[i] < ' ')
			line[i] = '?';
	}
	write_line(target, level, line, n);
	errno = saved_errno;
}

const char *
log_quote(struct str s, char out[LOG_QUOTE_MAX])
{
	struct str text;
	size_t n;

	/* Room for both quotes. */
	str_escape(s, out, LOG_QUOTE_MAX - 2);
	text = str_from(out);
	n = text.n;
	if (n > 0 && str_index(text, ' ') == n && str_index(text, '=') == n &&
	    str_index(text, '\\') == n)
		return out;
	memmove(out + 1, out, n);
	out[0] = '"';
	out[n + 1] = '"';
	out[n + 2] = '\0';
	return out;
}
