/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text for a terminal. Works on UTF-8 by hand, so that it is the same in every
 * locale; the locale only says how wide a character is and what the terminal
 * can show.
 */
#include "config.h"

#include "ctl/text.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#define TEXT_MAX (1u << 20)
#define DEFAULT_COLUMNS 80
#define LEAST_COLUMNS 20

struct piece { /* one character as it is shown */
	char text[8];
	size_t bytes, columns;
};

void
text_init(void)
{
	setlocale(LC_CTYPE, "");
}

/* Moves the cursor, colours, or turns the direction of what follows. */
static bool
is_harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff0 && c <= 0xfffb) || c >= 0xe0000;
}

/* Takes one character, or one byte that is to be escaped, off *s. */
static struct piece
next_piece(struct str *s, bool utf8)
{
	struct piece p = {.columns = 1};
	uint32_t c = 0;
	size_t n = str_utf8(*s, &c);
	int width;

	if (n <= 1 && (n == 0 || is_harmful(c))) {
		char byte = s->p[0];

		snprintf(
		    p.text, sizeof(p.text), "\\x%02x", (unsigned char)byte);
		p.bytes = p.columns = 4;
		n = 1;
	} else if (is_harmful(c)) {
		p.text[0] = '?';
		p.bytes = 1;
	} else if (n > 1 && !utf8) {
		p.text[0] = '?';
		p.bytes = 1;
	} else {
		memcpy(p.text, s->p, n);
		p.bytes = n;
		width = wcwidth((wchar_t)c);
		p.columns = width >= 0 ? (size_t)width : 1;
	}
	*s = str_sub(*s, n, s->n);
	return p;
}

static size_t
measure(struct str s, bool utf8)
{
	size_t columns = 0;

	while (s.n > 0)
		columns += next_piece(&s, utf8).columns;
	return columns;
}

char *
text_safe(struct str s, size_t columns)
{
	bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0, ok = true;
	struct str mark = utf8 ? STR("\xe2\x80\xa6") : STR("~");
	size_t used = 0, room = SIZE_MAX;
	struct buf out;

	/* Enough for any use, and it fits the buffer however it is escaped. */
	s = str_sub(s, 0, TEXT_MAX / 8);
	if (columns > 0 && measure(s, utf8) > columns)
		room = columns - 1;
	buf_init(&out, TEXT_MAX);
	while (ok && s.n > 0) {
		struct piece p = next_piece(&s, utf8);

		used += p.columns;
		if (used > room) {
			ok = buf_append_str(&out, mark);
			break;
		}
		ok = buf_append(&out, p.text, p.bytes);
	}
	return buf_take(&out);
}

size_t
text_width(const char *safe)
{
	return measure(str_from(safe), true);
}

const char *
text_age(const char *time, int64_t wall_ms, char out[TEXT_AGE_MAX])
{
	static const struct {
		int64_t seconds;
		char name;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	struct tm tm = {0};
	int64_t age;
	size_t i = 0;

	if (sscanf(time, "%4d-%2d-%2dT%2d:%2d:%2dZ", &tm.tm_year, &tm.tm_mon,
		&tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6) {
		snprintf(out, TEXT_AGE_MAX, "-");
		return out;
	}
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	age = wall_ms / 1000 - (int64_t)timegm(&tm);
	if (age < 0)
		age = -age;
	while (i + 1 < ARRAY_LEN(units) && age < units[i].seconds)
		i++;
	snprintf(out, TEXT_AGE_MAX, "%lld%c",
	    (long long)(age / units[i].seconds), units[i].name);
	return out;
}

const char *
text_size(int64_t bytes, char out[TEXT_AGE_MAX])
{
	static const char units[] = "KMGT";
	double v = (double)bytes;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(out, TEXT_AGE_MAX, "%lld", (long long)bytes);
		return out;
	}
	for (v /= 1024; v >= 1024 && i + 2 < sizeof(units); i++)
		v /= 1024;
	snprintf(out, TEXT_AGE_MAX, v < 10 ? "%.1f%c" : "%.0f%c", v, units[i]);
	return out;
}

const char *
text_count(
    int64_t n, const char *one, const char *many, char out[TEXT_COUNT_MAX])
{
	snprintf(
	    out, TEXT_COUNT_MAX, "%lld %s", (long long)n, n == 1 ? one : many);
	return out;
}

size_t
text_columns(void)
{
	const char *env = getenv("COLUMNS");
	bool is_tty = isatty(STDOUT_FILENO) == 1;
	struct winsize size;
	uint64_t n = 0;

	if (is_tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		n = size.ws_col;
	if (n == 0 && env != NULL && !str_to_u64(str_from(env), &n))
		n = 0;
	if (n == 0)
		return is_tty ? DEFAULT_COLUMNS : 0;
	return n < LEAST_COLUMNS ? LEAST_COLUMNS : n > 1000 ? 1000 : (size_t)n;
}
