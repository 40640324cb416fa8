/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/reply.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *
http_reason(unsigned code)
{
	const char *text = http_status_str((enum http_status)code);

	return strcmp(text, "<unknown>") != 0 ? text : "Unknown";
}

/* A value that came from outside begins no line of its own. */
static bool
append_value(struct buf *out, struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		char shown =
		    (c < ' ' && c != '\t') || c == 0x7f ? ' ' : (char)c;

		if (!buf_append(out, &shown, 1))
			return false;
	}
	return true;
}

bool
http_reply_head(struct buf *out, unsigned code,
    const struct http_reply_field *fields, size_t n)
{
	bool ok = buf_printf(
	    out, "HTTP/1.1 %03u %s\r\n", code % 1000, http_reason(code));

	for (size_t i = 0; ok && i < n; i++)
		ok = buf_printf(out, "%s: ", fields[i].name) &&
		     append_value(out, fields[i].value) &&
		     buf_append_str(out, STR("\r\n"));
	return ok && buf_append_str(out, STR("\r\n"));
}

const char *
http_date(int64_t wall_ms, char out[HTTP_DATE_MAX])
{
	static const char days[7][4] = {
	    "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May",
	    "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || tm.tm_year < 0 || tm.tm_year > 8099)
		tm = (struct tm){.tm_year = 70, .tm_mday = 1, .tm_wday = 4};
	snprintf(out, HTTP_DATE_MAX, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
	    days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100,
	    months[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
	    (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
	    (unsigned)tm.tm_sec % 100);
	return out;
}

/* ---- Accept ---- */

/* "0.5" is 500, "1" and what is no q-value 1000 and 0. */
static unsigned
quality(struct str parameters)
{
	while (parameters.n > 0) {
		struct str p = str_trim(str_cut(&parameters, ';'));
		unsigned q, unit = 100;

		if (!str_istarts(p, STR("q=")))
			continue;
		p = str_sub(p, 2, p.n);
		if (p.n == 0 || p.n > 5 || (p.p[0] != '0' && p.p[0] != '1') ||
		    (p.n > 1 && p.p[1] != '.'))
			return 0;
		q = p.p[0] == '1' ? 1000 : 0;
		for (size_t i = 2; i < p.n; i++, unit /= 10) {
			if (p.p[i] < '0' || p.p[i] > '9')
				return 0;
			q += unit * (unsigned)(p.p[i] - '0');
		}
		return q > 1000 ? 0 : q;
	}
	return 1000;
}

/* 0: the range does not hold the type; else how specific it is. */
static unsigned
range_fits(struct str range, struct str type)
{
	size_t slash = str_index(type, '/');

	if (str_ieq(range, type))
		return 3;
	if (str_ieq(range, STR("*/*")))
		return 1;
	if (range.n == slash + 2 && str_iends(range, STR("/*")) &&
	    str_istarts(range, str_sub(type, 0, slash + 1)))
		return 2;
	return 0;
}

unsigned
http_accepts(const struct str *accept, const char *type)
{
	struct str rest = accept != NULL ? *accept : STR("");
	unsigned best = 0, q = 0;

	if (str_is_empty(rest))
		return 1000;
	while (rest.n > 0) {
		struct str parameters = str_cut(&rest, ',');
		struct str range = str_trim(str_cut(&parameters, ';'));
		unsigned fits = range_fits(range, str_from(type));

		if (fits > best) {
			best = fits;
			q = quality(parameters);
		}
	}
	return q;
}

struct str
http_cookie(const struct str *cookie, const char *name)
{
	struct str rest = cookie != NULL ? *cookie : STR("");
	struct str found = STR("");
	unsigned n = 0;

	while (rest.n > 0) {
		struct str value = str_trim(str_cut(&rest, ';'));
		struct str key = str_cut(&value, '=');

		if (str_eq(key, str_from(name))) {
			found = value;
			n++;
		}
	}
	return n == 1 ? found : STR("");
}
