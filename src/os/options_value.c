/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Option values. Text is the administrator's: it is escaped and cut before it
 * is quoted back in an error.
 */
#include "os/options_value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHOWN_MAX 80 /* of a bad value, in an error */

static void *
field_of(const struct option *o, void *conf)
{
	return (char *)conf + o->offset;
}

static const void *
field_in(const struct option *o, const void *conf)
{
	return (const char *)conf + o->offset;
}

bool
option_is_list(const struct option *o)
{
	return o->type == OPTION_STRINGS || o->type == OPTION_RATES;
}

PRINTF_LIKE(4, 5)
static bool
refuse(const char *text, char *why, size_t cap, const char *fmt, ...)
{
	char shown[SHOWN_MAX];
	va_list ap;
	int n;

	str_escape(str_from(text), shown, sizeof(shown));
	n = snprintf(why, cap, "\"%s\" ", shown);
	if (n < 0 || (size_t)n >= cap)
		return false;
	va_start(ap, fmt);
	vsnprintf(why + n, cap - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

const char *
option_range(const struct option *o, char out[OPTION_RANGE_MAX])
{
	char min[UNITS_TEXT_MAX], max[UNITS_TEXT_MAX];

	out[0] = '\0';
	if (o->min == 0 && o->max == 0)
		return out;
	option_format_number(o, (uint64_t)o->min, min);
	option_format_number(o, (uint64_t)o->max, max);
	if (o->max == 0)
		snprintf(out, OPTION_RANGE_MAX, "%s or more", min);
	else
		snprintf(out, OPTION_RANGE_MAX, "%s to %s", min, max);
	return out;
}

static bool
check_range(
    const struct option *o, uint64_t v, const char *text, char *why, size_t cap)
{
	char range[OPTION_RANGE_MAX];

	if (o->min == 0 && o->max == 0)
		return true;
	if (v >= (uint64_t)o->min && (o->max == 0 || v <= (uint64_t)o->max))
		return true;
	return refuse(text, why, cap, "is out of range; write %s",
	    option_range(o, range));
}

static bool
parse_number(const struct option *o, const char *text, uint32_t *out, char *why,
    size_t cap)
{
	uint64_t v;

	if (!str_to_u64(str_from(text), &v) || v > UINT32_MAX)
		return refuse(text, why, cap,
		    "is not a number; write digits alone, at most %" PRIu32,
		    UINT32_MAX);
	*out = (uint32_t)v;
	return check_range(o, v, text, why, cap);
}

static bool
parse_bool(const char *text, bool *out, char *why, size_t cap)
{
	static const struct {
		const char *word;
		bool is_on;
	} words[] = {{"true", true}, {"false", false}, {"yes", true},
	    {"no", false}, {"on", true}, {"off", false}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(text, words[i].word) == 0) {
			*out = words[i].is_on;
			return true;
		}
	}
	return refuse(text, why, cap,
	    "is neither true nor false; write true, false, yes, no, on or "
	    "off");
}

static bool
parse_name(
    const struct option *o, const char *text, int *out, char *why, size_t cap)
{
	char all[256];
	size_t n = 0;

	for (int i = 0; o->names[i] != NULL; i++) {
		if (strcmp(text, o->names[i]) == 0) {
			*out = i;
			return true;
		}
		if (n > 0)
			n += str_copy(STR(", "), all + n, sizeof(all) - n);
		n += str_copy(str_from(o->names[i]), all + n, sizeof(all) - n);
	}
	return refuse(
	    text, why, cap, "is not known here; write one of: %s", all);
}

static bool
parse_duration(const struct option *o, const char *text, int64_t *out,
    char *why, size_t cap)
{
	if (!units_parse_duration(str_from(text), out))
		return refuse(text, why, cap,
		    "is not a duration; write a number and ms, s, m, h, d or "
		    "w, as in \"90s\"");
	return check_range(o, (uint64_t)*out, text, why, cap);
}

static bool
parse_size(const struct option *o, const char *text, uint64_t *out, char *why,
    size_t cap)
{
	if (!units_parse_size(str_from(text), out))
		return refuse(text, why, cap,
		    "is not a size; write a number and K, M, G or T, as in "
		    "\"50M\"");
	return check_range(o, *out, text, why, cap);
}

static bool
parse_rate(const char *text, struct option_rate *out, char *why, size_t cap)
{
	if (units_parse_rate(str_from(text), &out->count, &out->window_ms))
		return true;
	return refuse(text, why, cap,
	    "is not a rate; write a count and a duration, as in \"100/1h\"");
}

static void
add_string(struct option_strings *list, const char *text)
{
	list->v = xrealloc(list->v, (list->n + 1) * sizeof(*list->v));
	list->v[list->n++] = xstrdup(text);
}

static bool
add_rate(struct option_rates *list, const char *text, char *why, size_t cap)
{
	if (list->n == OPTION_RATES_MAX)
		return refuse(text, why, cap,
		    "is one rate too many; write at most %d", OPTION_RATES_MAX);
	if (!parse_rate(text, &list->v[list->n], why, cap))
		return false;
	list->n++;
	return true;
}

static bool
add_text(
    const struct option *o, const char *text, void *conf, char *why, size_t cap)
{
	void *field = field_of(o, conf);

	switch (o->type) {
	case OPTION_STRING:
		free(*(char **)field);
		*(char **)field = xstrdup(text);
		return true;
	case OPTION_STRINGS:
		add_string(field, text);
		return true;
	case OPTION_UINT:
		return parse_number(o, text, field, why, cap);
	case OPTION_BOOL:
		return parse_bool(text, field, why, cap);
	case OPTION_ENUM:
		return parse_name(o, text, field, why, cap);
	case OPTION_DURATION:
		return parse_duration(o, text, field, why, cap);
	case OPTION_SIZE:
		return parse_size(o, text, field, why, cap);
	case OPTION_RATE:
		if (o->given != 0 && strcmp(text, "0") == 0) {
			*(struct option_rate *)field = (struct option_rate){0};
			return true;
		}
		return parse_rate(text, field, why, cap);
	case OPTION_RATES:
		return add_rate(field, text, why, cap);
	}
	panic("option %s: no such type", o->name);
}

bool
option_add(
    const struct option *o, const char *text, void *conf, char *why, size_t cap)
{
	char reason[256] = "is not allowed";

	if (o->check != NULL && !o->check(text, reason, sizeof(reason)))
		return refuse(text, why, cap, "%s", reason);
	return add_text(o, text, conf, why, cap);
}

static void
preset_one(const struct option *o, struct str text, void *conf)
{
	char why[256] = "";
	char *one;

	text = str_trim(text);
	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = str_sub(text, 1, text.n - 2);
	one = str_dup(text);
	if (!add_text(o, one, conf, why, sizeof(why)))
		panic("option %s: %s", o->name, why);
	free(one);
}

void
option_preset(const struct option *o, const char *preset, void *conf)
{
	struct str text = str_trim(str_from(preset));

	if (!option_is_list(o) || !str_starts(text, STR("{"))) {
		preset_one(o, text, conf);
		return;
	}
	text = str_trim(str_sub(text, 1, text.n - 2));
	while (text.n > 0)
		preset_one(o, str_cut(&text, ','), conf);
}

void
option_clear(const struct option *o, void *conf)
{
	void *field = field_of(o, conf);

	if (o->type == OPTION_STRING) {
		free(*(char **)field);
		*(char **)field = NULL;
	} else if (o->type == OPTION_STRINGS) {
		struct option_strings *list = field;

		for (size_t i = 0; i < list->n; i++)
			free(list->v[i]);
		free(list->v);
		*list = (struct option_strings){NULL, 0};
	}
}

static bool
strings_eq(const struct option_strings *a, const struct option_strings *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	}
	return true;
}

static bool
rates_eq(const struct option_rate *a, const struct option_rate *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (a[i].count != b[i].count ||
		    a[i].window_ms != b[i].window_ms)
			return false;
	}
	return true;
}

bool
option_eq(const struct option *o, const void *a, const void *b)
{
	const void *fa = field_in(o, a), *fb = field_in(o, b);
	const struct option_rates *ra = fa, *rb = fb;

	switch (o->type) {
	case OPTION_STRING:
		return str_eq(str_from(*(char *const *)fa),
			   str_from(*(char *const *)fb)) &&
		       option_is_set(o, a) == option_is_set(o, b);
	case OPTION_STRINGS:
		return strings_eq(fa, fb);
	case OPTION_UINT:
		return *(const uint32_t *)fa == *(const uint32_t *)fb;
	case OPTION_BOOL:
		return *(const bool *)fa == *(const bool *)fb;
	case OPTION_ENUM:
		return *(const int *)fa == *(const int *)fb;
	case OPTION_DURATION:
		return *(const int64_t *)fa == *(const int64_t *)fb;
	case OPTION_SIZE:
		return *(const uint64_t *)fa == *(const uint64_t *)fb;
	case OPTION_RATE:
		return rates_eq(fa, fb, 1);
	case OPTION_RATES:
		return ra->n == rb->n && rates_eq(ra->v, rb->v, ra->n);
	}
	panic("option %s: no such type", o->name);
}
