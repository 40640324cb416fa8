/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines as key=value, to stderr, syslog or the journal. One line:
 *
 *	<time> <level> <subsystem> <event> key=value key="a value" ...
 *
 * Which events there are, with their level and keys, says log_table.def, from
 * which weir-log(5) is made. A line is written as
 *
 *	log_write(log, LOG_EV_NEXT_HOP_REST, KV(next_hop, name),
 *	    KV(rest_ms, ms), KV(error, strerror(errno)));
 *
 * The time is left to syslog and the journal where they stamp the line.
 * Values are escaped, quoted and cut here. Levels are Postfix's words. Any
 * thread: a line is written with one write(2).
 */
#ifndef OS_LOG_H
#define OS_LOG_H

#include "base/ip.h"
#include "base/str.h"

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_FATAL, /* the environment; the program ends after it */
};

enum log_event_id {
#define LOG_EVENT(id, level, name, keys, doc) LOG_EV_##id,
#include "os/log_table.def"
	LOG_EV_MAX
};

enum log_key {
	LOG_KEY_NONE, /* of LOG_NO_FIELDS */
#define LOG_KEY(name, kind, doc) LOG_KEY_##name,
#include "os/log_table.def"
	LOG_KEY_MAX
};

/* What a key's value is, and how it is written. */
enum log_kind {
	LOG_KIND_TEXT,   /* quoted where needed */
	LOG_KIND_NUMBER, /* decimal */
	LOG_KIND_MS,     /* a duration, and the key ends in _ms */
	LOG_KIND_BYTES,  /* and the key ends in _bytes */
	LOG_KIND_TIME,   /* of wall ms, RFC 3339; 0: none, INT64_MAX: never */
	LOG_KIND_YESNO,
};

struct log_event {
	const char *name; /* "next_hop rest" */
	const char *keys; /* "next_hop rest_ms", in the manual's order */
	const char *doc;
	enum log_level level;
};

struct log_key_row {
	const char *name;
	const char *doc;
	enum log_kind kind;
};

struct log_part { /* the first word of an event's name */
	const char *name;
	const char *program; /* that logs it */
	const char *doc;
};

extern const struct log_event log_events[LOG_EV_MAX];
extern const struct log_key_row log_keys[LOG_KEY_MAX];
extern const struct log_part log_parts[]; /* ends with a NULL name */
extern const char *const log_level_name[];

/* One key that stands several times; item returns a borrowed text. */
struct log_list {
	const char *(*item)(const void *arg, size_t i);
	const void *arg;
	size_t from, end;
};

struct log_field {
	enum log_key key;
	enum {
		LOG_VALUE_TEXT, /* NULL: the key is left out */
		LOG_VALUE_STR,  /* the same where its p is NULL */
		LOG_VALUE_IP,   /* "local" where it has none; NULL: left out */
		LOG_VALUE_LIST,
		LOG_VALUE_INT,
		LOG_VALUE_UINT,
	} type;
	union {
		const char *text;
		struct str str;
		const struct ip *ip;
		const struct log_list *list;
		int64_t i;
		uint64_t u;
	} v;
};

#define LOG_VALUE_OF(name, c_type, TYPE, member)                              \
	static inline struct log_field log_value_##name(                      \
	    enum log_key key, c_type value)                                   \
	{                                                                     \
		return (struct log_field){                                    \
		    .key = key, .type = LOG_VALUE_##TYPE, .v.member = value}; \
	}
LOG_VALUE_OF(text, const char *, TEXT, text)
LOG_VALUE_OF(str, struct str, STR, str)
LOG_VALUE_OF(ip, const struct ip *, IP, ip)
LOG_VALUE_OF(list, const struct log_list *, LIST, list)
LOG_VALUE_OF(int, int64_t, INT, i)
LOG_VALUE_OF(uint, uint64_t, UINT, u)
#undef LOG_VALUE_OF

/* A field of log_write. value: a text, a slice, an address, a list or any
 * integer. */
#define KV(key, value) \
	_Generic((value),                     \
	    char *: log_value_text,           \
	    const char *: log_value_text,     \
	    struct str: log_value_str,        \
	    struct ip *: log_value_ip,        \
	    const struct ip *: log_value_ip,  \
	    struct log_list *: log_value_list, \
	    bool: log_value_uint,             \
	    signed char: log_value_int,       \
	    short: log_value_int,             \
	    int: log_value_int,               \
	    long: log_value_int,              \
	    long long: log_value_int,         \
	    unsigned char: log_value_uint,    \
	    unsigned short: log_value_uint,   \
	    unsigned: log_value_uint,         \
	    unsigned long: log_value_uint,    \
	    unsigned long long: log_value_uint)(LOG_KEY_##key, (value))

enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG, LOG_TARGET_JOURNAL };

struct log;

struct log *log_new(enum log_target target, enum log_level least);
void log_free(struct log *log);
void log_configure(
    struct log *log, enum log_target target, enum log_level least);
bool log_is_on(const struct log *log, enum log_level level);
bool log_has(const struct log *log, enum log_event_id event); /* would write */

/* log may be NULL (tests): nothing is written. A key that the table does not
 * allow is a panic where the build has a sanitizer. */
#define log_write(log, event, ...)                            \
	log_write_fields((log), (event),                      \
	    (const struct log_field[]){__VA_ARGS__},          \
	    sizeof((const struct log_field[]){__VA_ARGS__}) / \
		sizeof(struct log_field))
void log_write_fields(struct log *log, enum log_event_id event,
    const struct log_field *fields, size_t count);
#define LOG_NO_FIELDS \
	{             \
		0     \
	} /* in place of KV()s */

/* What the table says of one key of an event. */
bool log_event_allows(enum log_event_id event, enum log_key key);

/* The tap beside the log (os/tap.h), so that whoever may write to one finds
 * the other. NULL: none, or log is NULL. Set before there are threads. */
struct tap;
void log_set_tap(struct log *log, struct tap *tap);
struct tap *log_tap(const struct log *log);

#define LOG_QUOTE_MAX 512
/* The value as it may stand after key=: escaped, cut, quoted when needed. */
const char *log_quote(struct str s, char out[LOG_QUOTE_MAX]);

#endif
