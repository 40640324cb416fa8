/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slices: a borrowed run of bytes, not terminated, may hold NULs. Parsing code
 * works on these and owns nothing. Any thread.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/base.h"

#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
/* For printf: "%.*s" with STR_ARG(s). Escape outside text before logging. */
#define STR_ARG(s) (int)(s).n, (s).p

/* Inline are those that parsers call for every word. NULL gives an empty slice.
 */
static inline struct str
str_from(const char *s)
{
	return s != NULL ? (struct str){s, strlen(s)} : STR("");
}

static inline bool
str_is_empty(struct str s)
{
	return s.n == 0;
}

bool str_eq(struct str a, struct str b);
bool str_ieq(struct str a, struct str b); /* ASCII case folded */
bool str_starts(struct str s, struct str prefix);
bool str_istarts(struct str s, struct str prefix);
bool str_iends(struct str s, struct str suffix);
/* Index of c, or s.n when it is not there. */
static inline size_t
str_index(struct str s, char c)
{
	const char *at = s.n > 0 ? (const char *)memchr(s.p, c, s.n) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

size_t str_rindex(struct str s, char c);
/* Clamped. */
static inline struct str
str_sub(struct str s, size_t from, size_t n)
{
	if (from > s.n)
		from = s.n;
	if (n > s.n - from)
		n = s.n - from;
	/* NULL + 0 is undefined in C. */
	return (struct str){from > 0 ? s.p + from : s.p, n};
}

struct str str_trim(struct str s); /* blanks and tabs, both ends */
/* Takes the part before the first c off *s (and c with it). */
struct str str_cut(struct str *s, char c);
/* Decimal digits alone, no sign, no overflow. */
MUST_CHECK bool str_to_u64(struct str s, uint64_t *out);
char *str_dup(struct str s); /* heap, terminated */
/* Copies and terminates, cutting to cap - 1 bytes; returns bytes copied. */
size_t str_copy(struct str s, char *out, size_t cap);
/* Shell pattern match with '*' and '?' alone, ASCII case folded. */
bool str_iglob(struct str pattern, struct str s);
/* Text from outside made safe for a log or a terminal: control characters
 * (Unicode's and bidirectional overrides too), double quotes, backslashes and
 * bytes of invalid UTF-8 as \xHH; cut to cap - 1 with "..." at the end.
 * Returns out. */
const char *str_escape(struct str s, char *out, size_t cap);
/* The value of a hexadecimal digit, in small letters or capitals; -1: none. */
int str_hex_digit(char c);
/* A letter or digit of ASCII, in any locale. */
static inline bool
str_is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

/* Length of the well-formed UTF-8 sequence at the front of s (not empty), with
 * its code point; 0 when there is none. RFC 3629 section 4: no overlong form,
 * no surrogate, nothing past U+10FFFF. */
size_t str_utf8(struct str s, uint32_t *code);
bool str_is_utf8(struct str s); /* well-formed per RFC 3629 */
/* Bytes of the character at the front of s (not empty); 0: it is one of those
 * that str_escape escapes, quotes and backslashes aside, and must not reach a
 * terminal. */
size_t str_shown(struct str s);
bool str_is_shown(struct str s); /* all of it */
bool str_is_ascii(struct str s);

#endif
