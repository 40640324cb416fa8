/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slices: comparing, searching, cutting, and text made safe to show. ASCII
 * alone is folded and no locale is asked.
 */
#include "base/str.h"

#include <string.h>

static unsigned char
fold(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? u + ('a' - 'A') : u;
}

static bool
fold_eq(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fold(a[i]) != fold(b[i]))
			return false;
	}
	return true;
}

bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
str_ieq(struct str a, struct str b)
{
	return a.n == b.n && fold_eq(a.p, b.p, a.n);
}

bool
str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool
str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && fold_eq(s.p, prefix.p, prefix.n);
}

bool
str_iends(struct str s, struct str suffix)
{
	return s.n >= suffix.n &&
	       str_ieq(str_sub(s, s.n - suffix.n, suffix.n), suffix);
}

size_t
str_rindex(struct str s, char c)
{
	for (size_t i = s.n; i > 0; i--) {
		if (s.p[i - 1] == c)
			return i - 1;
	}
	return s.n;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str
str_trim(struct str s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = str_sub(s, 1, s.n - 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct str
str_cut(struct str *s, char c)
{
	size_t at = str_index(*s, c);
	struct str before = str_sub(*s, 0, at);

	*s = str_sub(*s, at < s->n ? at + 1 : at, s->n);
	return before;
}

bool
str_to_u64(struct str s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9 || v > UINT64_MAX / 10)
			return false;
		v *= 10;
		if (digit > UINT64_MAX - v)
			return false;
		v += digit;
	}
	*out = v;
	return true;
}

char *
str_dup(struct str s)
{
	char *text = xmalloc(s.n + 1);

	str_copy(s, text, s.n + 1);
	return text;
}

size_t
str_copy(struct str s, char *out, size_t cap)
{
	size_t n = s.n;

	if (cap == 0)
		return 0;
	if (n > cap - 1)
		n = cap - 1;
	if (n > 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
	return n;
}

bool
str_iglob(struct str pattern, struct str s)
{
	size_t p = 0, i = 0;
	size_t star = SIZE_MAX, star_i = 0; /* last '*', and what it ate to */

	/* Only the last star need ever take more: quadratic at worst. */
	while (i < s.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			star_i = i;
		} else if (p < pattern.n &&
			   (pattern.p[p] == '?' ||
			       fold(pattern.p[p]) == fold(s.p[i]))) {
			p++;
			i++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			i = ++star_i;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

size_t
str_utf8(struct str s, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80   ? 1
		   : c < 0xc0 ? 0
		   : c < 0xe0 ? 2
		   : c < 0xf0 ? 3
			      : 4;

	*code = n == 1 ? c : n == 0 ? 0 : c & (0x7fu >> n);
	if (n == 0 || c >= 0xf8 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		c = (unsigned char)s.p[i];
		if ((c & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (c & 0x3f);
	}
	if (*code < least[n] || *code > 0x10ffff ||
	    (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return n;
}

/* May stand as it is; C1 controls and bidirectional overrides, which can make
 * a terminal show something else, may not. */
static bool
is_showable(uint32_t code)
{
	return code >= 0x20 && !(code >= 0x7f && code <= 0x9f) &&
	       !(code >= 0x2028 && code <= 0x202e) &&
	       !(code >= 0x2066 && code <= 0x2069);
}

static size_t
escape_unit(struct str s, char unit[4], size_t *taken)
{
	static const char hex[] = "0123456789abcdef";
	uint32_t code;
	size_t n = str_utf8(s, &code);

	if (n > 0 && is_showable(code) && code != '"' && code != '\\') {
		memcpy(unit, s.p, n);
		*taken = n;
		return n;
	}
	unit[0] = '\\';
	unit[1] = 'x';
	unit[2] = hex[(unsigned char)s.p[0] >> 4];
	unit[3] = hex[(unsigned char)s.p[0] & 15];
	*taken = 1;
	return 4;
}

int
str_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *
str_escape(struct str s, char *out, size_t cap)
{
	size_t len = 0, keep = 0; /* keep: where "..." would still fit */

	if (cap == 0)
		return out;
	while (s.n > 0) {
		char unit[4];
		size_t taken, n = escape_unit(s, unit, &taken);

		if (n > cap - 1 - len) {
			len = keep;
			for (int i = 0; i < 3 && len < cap - 1; i++)
				out[len++] = '.';
			break;
		}
		memcpy(out + len, unit, n);
		len += n;
		if (len + 3 <= cap - 1)
			keep = len;
		/* The rest of a character whose first byte was escaped is
		 * no longer well-formed, and so is escaped as well. */
		s = str_sub(s, taken, s.n);
	}
	out[len] = '\0';
	return out;
}

bool
str_is_utf8(struct str s)
{
	uint32_t code;

	while (s.n > 0) {
		size_t n = str_utf8(s, &code);

		if (n == 0)
			return false;
		s = str_sub(s, n, s.n);
	}
	return true;
}

bool
str_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	}
	return true;
}

size_t
str_shown(struct str s)
{
	uint32_t code;
	size_t n = str_utf8(s, &code);

	return is_showable(code) ? n : 0;
}

bool
str_is_shown(struct str s)
{
	while (s.n > 0) {
		size_t n = str_shown(s);

		if (n == 0)
			return false;
		s = str_sub(s, n, s.n);
	}
	return true;
}
