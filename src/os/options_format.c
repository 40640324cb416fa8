/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Option values as text that reads back as the same value.
 */
#include "os/options_value.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
	const char *name;
	uint64_t n;
};

/* Largest first; the last is 1. */
static const struct unit durations[] = {{"w", 604800000}, {"d", 86400000},
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {{"T", 1ull << 40}, {"G", 1ull << 30},
    {"M", 1ull << 20}, {"K", 1ull << 10}, {"", 1}};

/* In the largest unit that shows all of it. */
static const char *
exact(uint64_t v, const struct unit *unit, char out[UNITS_TEXT_MAX])
{
	while (unit->n > 1 && v % unit->n != 0)
		unit++;
	snprintf(out, UNITS_TEXT_MAX, "%" PRIu64 "%s", v / unit->n, unit->name);
	return out;
}

static const char *
exact_duration(uint64_t ms, char out[UNITS_TEXT_MAX])
{
	return ms > 0 ? exact(ms, durations, out) : exact(0, sizes + 4, out);
}

const char *
option_format_number(
    const struct option *o, uint64_t v, char out[UNITS_TEXT_MAX])
{
	if (o->type == OPTION_DURATION)
		return exact_duration(v, out);
	if (o->type == OPTION_SIZE && v > 0)
		return exact(v, sizes, out);
	return exact(v, sizes + 4, out);
}

bool
option_print_quoted(struct str s, struct buf *out)
{
	bool ok = buf_append(out, "\"", 1);

	for (size_t i = 0; ok && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		/* "${" would be read as a variable. */
		if (c == '"' || c == '\\' || c == '$')
			ok = buf_printf(out, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			ok = buf_printf(out, "\\x%02x", c);
		else
			ok = buf_append(out, s.p + i, 1);
	}
	return ok && buf_append(out, "\"", 1);
}

static bool
print_strings(const struct option_strings *list, struct buf *out)
{
	bool ok = buf_append_str(out, STR("{"));

	for (size_t i = 0; ok && i < list->n; i++)
		ok = (i == 0 || buf_append_str(out, STR(", "))) &&
		     option_print_quoted(str_from(list->v[i]), out);
	return ok && buf_append_str(out, STR("}"));
}

static bool
print_rate(const struct option_rate *rate, struct buf *out)
{
	char window[UNITS_TEXT_MAX];

	if (rate->count == 0)
		return buf_append_str(out, STR("\"0\""));
	return buf_printf(out, "\"%" PRIu32 "/%s\"", rate->count,
	    exact_duration((uint64_t)rate->window_ms, window));
}

static bool
print_rates(const struct option_rates *list, struct buf *out)
{
	bool ok = buf_append_str(out, STR("{"));

	for (size_t i = 0; ok && i < list->n; i++)
		ok = (i == 0 || buf_append_str(out, STR(", "))) &&
		     print_rate(&list->v[i], out);
	return ok && buf_append_str(out, STR("}"));
}

bool
option_print(const struct option *o, const void *conf, struct buf *out)
{
	const void *field = (const char *)conf + o->offset;
	char text[UNITS_TEXT_MAX];

	switch (o->type) {
	case OPTION_STRING:
		return option_print_quoted(
		    str_from(*(char *const *)field), out);
	case OPTION_STRINGS:
		return print_strings(field, out);
	case OPTION_UINT:
		return buf_printf(out, "%" PRIu32, *(const uint32_t *)field);
	case OPTION_BOOL:
		return buf_printf(
		    out, "%s", *(const bool *)field ? "true" : "false");
	case OPTION_ENUM:
		return buf_printf(out, "%s", o->names[*(const int *)field]);
	case OPTION_DURATION:
		return buf_printf(out, "\"%s\"",
		    exact_duration(*(const uint64_t *)field, text));
	case OPTION_SIZE:
		return buf_printf(out, "\"%s\"",
		    option_format_number(o, *(const uint64_t *)field, text));
	case OPTION_RATE:
		return print_rate(field, out);
	case OPTION_RATES:
		return print_rates(field, out);
	}
	panic("option %s: no such type", o->name);
}

bool
option_is_set(const struct option *o, const void *conf)
{
	const void *field = (const char *)conf + o->offset;

	if (o->given != 0)
		return *(const bool *)((const char *)conf + o->given);
	if (o->type == OPTION_STRING)
		return *(char *const *)field != NULL;
	if (o->type == OPTION_RATE)
		return ((const struct option_rate *)field)->count != 0;
	/* A number whose default depends on others is 0 until it is given, and
	 * 0 would not read back. */
	if (o->preset != NULL || o->min <= 0)
		return true;
	if (o->type == OPTION_UINT)
		return *(const uint32_t *)field != 0;
	if (o->type == OPTION_DURATION)
		return *(const int64_t *)field != 0;
	if (o->type == OPTION_SIZE)
		return *(const uint64_t *)field != 0;
	return true;
}
