/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See stamp.h. Dates are counted here and not by mktime, which is asked once an
 * hour of the log for the zone alone: it is most of the work otherwise.
 */
#include "replay/stamp.h"

#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define SLACK DAY /* between the clocks of two machines */
#define BACK_MAX (HOUR + 60 * SECOND)
#define YEAR_MIN 1970
#define YEAR_MAX 9999

struct civil {
	int year, month, day, hour, minute, second, ms;
};

void
stamp_init(struct stamp_clock *c, int64_t newest, int year)
{
	*c = (struct stamp_clock){.newest = newest,
	    .year = year,
	    .last = INT64_MIN,
	    .hour = INT64_MIN};
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool
is_valid(const struct civil *t)
{
	static const int days[] = {
	    31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return t->month >= 1 && t->month <= 12 && t->day >= 1 &&
	       t->day <= days[t->month - 1] && t->hour <= 23 &&
	       t->minute <= 59 && t->second <= 60;
}

/* Since 1970, as if the time were UTC. */
static int64_t
ms_of(const struct civil *t)
{
	int y = t->month <= 2 ? t->year - 1 : t->year;
	int m = t->month <= 2 ? t->month + 9 : t->month - 3;
	int64_t days = INT64_C(365) * y + y / 4 - y / 100 + y / 400 +
		       (153 * m + 2) / 5 + t->day - 1 - 719468;

	return days * DAY + t->hour * HOUR + t->minute * 60 * SECOND +
	       t->second * SECOND + t->ms;
}

/* ---- zones ---- */

/* What a local time is to UTC with daylight saving, or without; false: not so
 * in this hour. */
static bool
zone_offset(const struct civil *t, int dst, int64_t *offset)
{
	struct tm tm = {.tm_year = t->year - 1900,
	    .tm_mon = t->month - 1,
	    .tm_mday = t->day,
	    .tm_hour = t->hour,
	    .tm_isdst = dst};
	struct civil whole = *t;
	time_t at = mktime(&tm);

	whole.minute = whole.second = whole.ms = 0;
	*offset = ms_of(&whole) - (int64_t)at * SECOND;
	return at != (time_t)-1 && tm.tm_isdst == dst && tm.tm_hour == t->hour;
}

static int64_t
local_ms(struct stamp_clock *c, const struct civil *t)
{
	int64_t ms = ms_of(t), hour = ms - ms % HOUR;
	int64_t at;

	if (hour != c->hour) {
		int64_t summer, winter;
		bool is_summer = zone_offset(t, 1, &summer);
		bool is_winter = zone_offset(t, 0, &winter);

		if (!is_summer && !is_winter)
			(void)zone_offset(t, -1, &winter);
		c->offset = is_summer ? summer : winter;
		c->second_offset = is_summer && is_winter ? winter : c->offset;
		c->is_second = false;
		c->hour = hour;
	}
	at = ms - c->offset;
	/* The first of two hours, unless that would go back. */
	if (c->second_offset != c->offset && c->last > at + 10 * 60 * SECOND)
		c->is_second = true;
	return c->is_second ? ms - c->second_offset : at;
}

void
stamp_note(struct stamp_clock *c, int64_t at)
{
	if (c->last != INT64_MIN && at < c->last - BACK_MAX)
		c->back++;
	c->last = at;
}

/* ---- text ---- */

static bool
digits(struct str s, size_t at, size_t n, int *out)
{
	*out = 0;
	if (at + n > s.n)
		return false;
	for (size_t i = at; i < at + n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		*out = *out * 10 + (s.p[i] - '0');
	}
	return true;
}

static bool
is_char(struct str s, size_t at, char c)
{
	return at < s.n && s.p[at] == c;
}

/* "19:19:32" */
static bool
take_clock(struct str s, size_t at, struct civil *t)
{
	return digits(s, at, 2, &t->hour) && is_char(s, at + 2, ':') &&
	       digits(s, at + 3, 2, &t->minute) && is_char(s, at + 5, ':') &&
	       digits(s, at + 6, 2, &t->second);
}

static int
month_of(struct str s)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; s.n > 3 && i < 12; i++) {
		if (memcmp(s.p, names + (size_t)i * 3, 3) == 0)
			return i + 1;
	}
	return 0;
}

/* ---- without a year ---- */

static int
first_year(struct stamp_clock *c, const struct civil *t)
{
	struct civil try = *t;

	for (try.year = YEAR_MIN;
	     try.year < YEAR_MAX && ms_of(&try) <= c->newest + SLACK;
	     try.year++)
		;
	try.year--;
	while (t->month == 2 && t->day == 29 && !is_leap(try.year))
		try.year--;
	return try.year < YEAR_MIN ? YEAR_MIN : try.year;
}

/* A line that is late in the first days of January is still of December. */
static int
year_of(struct stamp_clock *c, const struct civil *t)
{
	if (c->year == 0)
		c->year = first_year(c, t);
	else if (c->month - t->month > 6)
		c->year++;
	else if (c->month > 0 && t->month - c->month > 6)
		return c->year - 1;
	c->month = t->month;
	return c->year;
}

bool
stamp_take_syslog(struct stamp_clock *c, struct str *s, int64_t *out)
{
	struct civil t = {.month = month_of(*s)};
	bool is_padded = is_char(*s, 4, ' ');

	if (t.month == 0 || !is_char(*s, 3, ' ') || !is_char(*s, 6, ' ') ||
	    !digits(*s, is_padded ? 5 : 4, is_padded ? 1 : 2, &t.day) ||
	    !take_clock(*s, 7, &t) || !is_valid(&t))
		return false;
	t.year = year_of(c, &t);
	*out = local_ms(c, &t);
	*s = str_sub(*s, 15, s->n);
	return true;
}

/* ---- with one ---- */

static size_t
take_fraction(struct str s, size_t at, int *ms)
{
	int unit = 100;

	if (!is_char(s, at, '.') && !is_char(s, at, ','))
		return at;
	for (at++; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++) {
		*ms += (s.p[at] - '0') * unit;
		unit /= 10;
	}
	return at;
}

/* Past the zone, or at it where there is none. */
static size_t
take_zone(struct str s, size_t at, bool *has, int64_t *offset)
{
	size_t from = is_char(s, at, ' ') ? at + 1 : at;
	int hours, minutes;
	size_t colon;

	*has = true;
	*offset = 0;
	if (is_char(s, at, 'Z'))
		return at + 1;
	if (is_char(s, from, '+') || is_char(s, from, '-')) {
		colon = is_char(s, from + 3, ':') ? 1 : 0;
		if (digits(s, from + 1, 2, &hours) &&
		    digits(s, from + 3 + colon, 2, &minutes)) {
			*offset = hours * HOUR + minutes * 60 * SECOND;
			if (s.p[from] == '-')
				*offset = -*offset;
			return from + 5 + colon;
		}
	}
	*has = false;
	return at;
}

bool
stamp_take_iso(struct stamp_clock *c, struct str *s, int64_t *out)
{
	struct civil t = {0};
	int64_t offset;
	bool has_zone;
	size_t at;

	if (!digits(*s, 0, 4, &t.year) || !is_char(*s, 4, '-') ||
	    !digits(*s, 5, 2, &t.month) || !is_char(*s, 7, '-') ||
	    !digits(*s, 8, 2, &t.day) ||
	    (!is_char(*s, 10, 'T') && !is_char(*s, 10, ' ')) ||
	    !take_clock(*s, 11, &t) || !is_valid(&t) || t.year < YEAR_MIN)
		return false;
	at = take_fraction(*s, 19, &t.ms);
	at = take_zone(*s, at, &has_zone, &offset);
	*out = has_zone ? ms_of(&t) - offset : local_ms(c, &t);
	*s = str_sub(*s, at, s->n);
	return true;
}
