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
#include <inttypes.h>
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

const char *const log_level_name[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_FATAL] = "fatal",
};

static const int priorities[] = {
    /* syslog's */
    [LOG_LEVEL_DEBUG] = LOG_DEBUG,
    [LOG_LEVEL_INFO] = LOG_INFO,
    [LOG_LEVEL_WARNING] = LOG_WARNING,
    [LOG_LEVEL_ERROR] = LOG_ERR,
    [LOG_LEVEL_FATAL] = LOG_CRIT,
};

const struct log_event log_events[LOG_EV_MAX] = {
#define LOG_EVENT(id, level, name, keys, doc) \
	[LOG_EV_##id] = {name, keys, doc, LOG_LEVEL_##level},
#include "os/log_table.def"
};

const struct log_key_row log_keys[LOG_KEY_MAX] = {
#define LOG_KEY(name, kind, doc) \
	[LOG_KEY_##name] = {#name, doc, LOG_KIND_##kind},
#include "os/log_table.def"
};

const struct log_part log_parts[] = {
#define LOG_PART(name, program, doc) {name, program, doc},
#include "os/log_table.def"
    {NULL, NULL, NULL},
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

bool
log_has(const struct log *log, enum log_event_id event)
{
	return log_is_on(log, log_events[event].level);
}

bool
log_event_allows(enum log_event_id event, enum log_key key)
{
	struct str rest = str_from(log_events[event].keys);
	struct str name = str_from(log_keys[key].name);

	while (rest.n > 0) {
		if (str_eq(str_cut(&rest, ' '), name))
			return true;
	}
	return false;
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
	int priority = priorities[level];

	if (target == LOG_TARGET_STDERR)
		write_stderr(line, n);
	else if (target == LOG_TARGET_SYSLOG || !send_journal(priority, line))
		syslog(LOG_MAIL | priority, "%s", line);
}

/* Appends, cut at the end of the line. */
PRINTF_LIKE(3, 4)
static size_t
add(char line[LINE_MAX_BYTES], size_t n, const char *fmt, ...)
{
	va_list ap;
	int more;

	va_start(ap, fmt);
	more = vsnprintf(line + n, LINE_MAX_BYTES - n, fmt, ap);
	va_end(ap);
	if (more < 0)
		return n;
	if ((size_t)more < LINE_MAX_BYTES - n)
		return n + (size_t)more;
	str_copy(STR("..."), line + LINE_MAX_BYTES - 4, 4);
	return LINE_MAX_BYTES - 1;
}

static size_t
add_text(
    char line[LINE_MAX_BYTES], size_t n, enum log_key key, struct str value)
{
	char quoted[LOG_QUOTE_MAX];

	return add(
	    line, n, " %s=%s", log_keys[key].name, log_quote(value, quoted));
}

static const char *
time_text(int64_t wall_ms, char out[UNITS_TEXT_MAX])
{
	if (wall_ms == 0)
		return NULL;
	return wall_ms == INT64_MAX ? "never" : units_format_time(wall_ms, out);
}

static struct log_field
as_shown(const struct log_field *f, char room[IP_TEXT_MAX + UNITS_TEXT_MAX])
{
	bool is_number = f->type == LOG_VALUE_INT || f->type == LOG_VALUE_UINT;
	enum log_kind kind = log_keys[f->key].kind;

	if (is_number && kind == LOG_KIND_TIME)
		return log_value_text(f->key, time_text(f->v.i, room));
	if (is_number && kind == LOG_KIND_YESNO)
		return log_value_text(f->key, f->v.u != 0 ? "yes" : "no");
	if (f->type == LOG_VALUE_IP)
		return log_value_text(
		    f->key, f->v.ip != NULL ? ip_format(f->v.ip, room) : NULL);
	return *f;
}

/* A value that is left out. */
static bool
is_none(const struct log_field *f)
{
	return (f->type == LOG_VALUE_TEXT && f->v.text == NULL) ||
	       (f->type == LOG_VALUE_STR && f->v.str.p == NULL);
}

/* What tests/check-log.py cannot see: a key that an event in a variable does
 * not have, a number for a text. */
static void
check_field(enum log_event_id event, const struct log_field *f)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	bool is_number = f->type == LOG_VALUE_INT || f->type == LOG_VALUE_UINT;

	if (!log_event_allows(event, f->key) ||
	    is_number == (log_keys[f->key].kind == LOG_KIND_TEXT))
		panic("log: %s: the key %s", log_events[event].name,
		    log_keys[f->key].name);
#else
	(void)event;
	(void)f;
#endif
}

static size_t
add_field(char line[LINE_MAX_BYTES], size_t n, const struct log_field *f)
{
	const char *key = log_keys[f->key].name;

	switch (f->type) {
	case LOG_VALUE_TEXT:
		return add_text(line, n, f->key, str_from(f->v.text));
	case LOG_VALUE_STR:
		return add_text(line, n, f->key, f->v.str);
	case LOG_VALUE_LIST:
		for (size_t i = f->v.list->from; i < f->v.list->end; i++)
			n = add_text(line, n, f->key,
			    str_from(f->v.list->item(f->v.list->arg, i)));
		return n;
	case LOG_VALUE_INT:
		return add(line, n, " %s=%" PRId64, key, f->v.i);
	case LOG_VALUE_UINT:
		return add(line, n, " %s=%" PRIu64, key, f->v.u);
	case LOG_VALUE_IP: /* as_shown made a text of it */
		break;
	}
	return n;
}

void
log_write_fields(struct log *log, enum log_event_id event,
    const struct log_field *fields, size_t count)
{
	const struct log_event *e = &log_events[event];
	char line[LINE_MAX_BYTES], when[UNITS_TEXT_MAX];
	enum log_target target;
	int saved_errno = errno;
	size_t n = 0;

	if (!log_is_on(log, e->level))
		return;
	target = atomic_load(&log->target);
	/* The others stamp the line themselves. */
	if (target == LOG_TARGET_STDERR)
		n = add(
		    line, n, "%s ", units_format_time(clock_wall_ms(), when));
	n = add(line, n, "%s %s", log_level_name[e->level], e->name);
	for (size_t i = 0; i < count; i++) {
		char room[IP_TEXT_MAX + UNITS_TEXT_MAX];
		struct log_field f = as_shown(&fields[i], room);

		if (f.key == LOG_KEY_NONE || is_none(&f))
			continue;
		check_field(event, &fields[i]);
		n = add_field(line, n, &f);
	}
	write_line(target, e->level, line, n);
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
