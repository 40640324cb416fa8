/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Durations, sizes and rates between text and number. Nothing wraps: what does
 * not fit is refused.
 */
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define DURATION_MOST (36525 * DAY)

struct unit {
	const char *name;
	int64_t ms;
};

/* The largest first; shown are only those from `d` down. */
static const struct unit units[] = {
    {"w", 7 * DAY},
    {"d", DAY},
    {"h", HOUR},
    {"m", MINUTE},
    {"s", SECOND},
    {"ms", 1},
};

/* Takes the leading digits off. */
static bool
cut_number(struct str *s, uint64_t *out)
{
	size_t n = 0;

	while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
		n++;
	if (!str_to_u64(str_sub(*s, 0, n), out))
		return false;
	*s = str_sub(*s, n, s->n);
	return true;
}

bool
units_parse_duration(struct str s, int64_t *out_ms)
{
	uint64_t v;

	if (!cut_number(&s, &v))
		return false;
	if (s.n == 0 && v == 0) {
		*out_ms = 0;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (!str_eq(s, str_from(units[i].name)))
			continue;
		if (v > (uint64_t)(DURATION_MOST / units[i].ms))
			return false;
		*out_ms = (int64_t)v * units[i].ms;
		return true;
	}
	return false;
}

bool
units_parse_size(struct str s, uint64_t *out_bytes)
{
	static const struct str letters = {"kmgt", 4};
	unsigned shift = 0;
	uint64_t v;

	if (!cut_number(&s, &v))
		return false;
	if (s.n == 1) {
		size_t at = str_index(letters, (char)(s.p[0] | 0x20));

		if (at == letters.n)
			return false;
		shift = 10 * (unsigned)(at + 1);
	} else if (s.n > 1) {
		return false;
	}
	if (v > UINT64_MAX >> shift)
		return false;
	*out_bytes = v << shift;
	return true;
}

bool
units_parse_rate(struct str s, uint32_t *out_count, int64_t *out_window_ms)
{
	struct str count_text = str_cut(&s, '/');
	uint64_t count;
	int64_t window_ms;

	if (!str_to_u64(count_text, &count) || count == 0 || count > UINT32_MAX)
		return false;
	if (!units_parse_duration(s, &window_ms) || window_ms == 0)
		return false;
	*out_count = (uint32_t)count;
	*out_window_ms = window_ms;
	return true;
}

const char *
units_format_duration(int64_t ms, char out[UNITS_TEXT_MAX])
{
	uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	char text[64]; /* more than the widest figures need */
	size_t i = 1, n;

	while (i + 1 < ARRAY_LEN(units) && left < (uint64_t)units[i].ms)
		i++;
	if (left == 0) {
		str_copy(STR("0s"), out, UNITS_TEXT_MAX);
		return out;
	}
	n = (size_t)snprintf(text, sizeof(text), "%s%" PRIu64 "%s",
	    ms < 0 ? "-" : "", left / (uint64_t)units[i].ms, units[i].name);
	left %= (uint64_t)units[i].ms;
	if (i + 1 < ARRAY_LEN(units) && left >= (uint64_t)units[i + 1].ms)
		snprintf(text + n, sizeof(text) - n, " %" PRIu64 "%s",
		    left / (uint64_t)units[i + 1].ms, units[i + 1].name);
	str_copy(str_from(text), out, UNITS_TEXT_MAX);
	return out;
}

const char *
units_format_size(uint64_t bytes, char out[UNITS_TEXT_MAX])
{
	static const char letters[] = "KMGT";
	unsigned shift = 0;

	while (shift < 40 && bytes >> shift >= 1024)
		shift += 10;
	if (shift == 0) {
		snprintf(out, UNITS_TEXT_MAX, "%" PRIu64, bytes);
	} else {
		uint64_t whole = bytes >> shift;
		uint64_t rest = bytes - (whole << shift);
		unsigned tenths = (unsigned)((rest >> (shift - 10)) * 10 >> 10);
		char letter = letters[shift / 10 - 1];

		if (tenths > 0)
			snprintf(out, UNITS_TEXT_MAX, "%" PRIu64 ".%u%c", whole,
			    tenths, letter);
		else
			snprintf(out, UNITS_TEXT_MAX, "%" PRIu64 "%c", whole,
			    letter);
	}
	return out;
}

const char *
units_format_time(int64_t wall_ms, char out[UNITS_TEXT_MAX])
{
	time_t s = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
	struct tm tm;

	/* RFC 3339 years have four digits. */
	if (gmtime_r(&s, &tm) == NULL || tm.tm_year < 1000 - 1900 ||
	    tm.tm_year > 9999 - 1900 ||
	    strftime(out, UNITS_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		str_copy(STR("-"), out, UNITS_TEXT_MAX);
	return out;
}

static bool
take_digits(struct str *s, size_t n, int *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == s->n || s->p[i] < '0' || s->p[i] > '9')
			return false;
		*out = *out * 10 + (s->p[i] - '0');
	}
	*s = str_sub(*s, n, s->n);
	return true;
}

static bool
take_char(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = str_sub(*s, 1, s->n);
	return true;
}

bool
units_parse_time(struct str s, int64_t *out_wall_ms)
{
	struct tm tm = {0}, read;
	time_t at;

	if (!take_digits(&s, 4, &tm.tm_year) || !take_char(&s, '-') ||
	    !take_digits(&s, 2, &tm.tm_mon) || !take_char(&s, '-') ||
	    !take_digits(&s, 2, &tm.tm_mday))
		return false;
	if (s.n > 0 &&
	    (!take_char(&s, 'T') || !take_digits(&s, 2, &tm.tm_hour) ||
		!take_char(&s, ':') || !take_digits(&s, 2, &tm.tm_min) ||
		!take_char(&s, ':') || !take_digits(&s, 2, &tm.tm_sec) ||
		!take_char(&s, 'Z') || s.n > 0))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	read = tm;
	at = timegm(&tm);
	/* The 31st of February becomes another day. */
	if (tm.tm_mon != read.tm_mon || tm.tm_mday != read.tm_mday ||
	    tm.tm_hour != read.tm_hour || tm.tm_min != read.tm_min ||
	    tm.tm_sec != read.tm_sec)
		return false;
	*out_wall_ms = (int64_t)at * 1000;
	return true;
}
