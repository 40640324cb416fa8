/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Encoded words: =?charset?B?base64?= and =?charset?Q?quoted?=. A word that is
 * wrong in any way is shown as it stands. Bounded: a longer header is cut.
 */
#include "base/header.h"

#include "base/buf.h"

#include <iconv.h>
#include <stdio.h>
#include <string.h>

#define HEADER_MAX 4096
#define WORD_MAX 1024 /* RFC 2047 section 2 says 75 */
#define CHARSET_MAX 40

struct word {
	char charset[CHARSET_MAX];
	char bytes[WORD_MAX];
	size_t n;
};

static bool
decode_q(struct str s, struct word *w)
{
	for (size_t i = 0; i < s.n; i++) {
		int high, low;

		if (s.p[i] != '=') {
			w->bytes[w->n++] = s.p[i] == '_' ? ' ' : s.p[i];
			continue;
		}
		if (i + 2 >= s.n)
			return false;
		high = str_hex_digit(s.p[i + 1]);
		low = str_hex_digit(s.p[i + 2]);
		if (high < 0 || low < 0)
			return false;
		w->bytes[w->n++] = (char)(high << 4 | low);
		i += 2;
	}
	return true;
}

static bool
decode_b(struct str s, struct word *w)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
				      "opqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	unsigned have = 0;

	while (s.n > 0 && s.p[s.n - 1] == '=')
		s.n--;
	for (size_t i = 0; i < s.n; i++) {
		const char *at = memchr(letters, s.p[i], 64);

		if (at == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(at - letters);
		have += 6;
		if (have >= 8) {
			have -= 8;
			w->bytes[w->n++] = (char)(bits >> have);
		}
	}
	return true;
}

/* Takes an encoded word off the start of *s. */
static bool
take_word(struct str *s, struct word *w)
{
	struct str rest, charset, encoding, text;

	if (!str_starts(*s, STR("=?")))
		return false;
	rest = str_sub(*s, 2, WORD_MAX);
	charset = str_cut(&rest, '?');
	encoding = str_cut(&rest, '?');
	text = str_sub(rest, 0, str_index(rest, '?'));
	if (text.n + 1 >= rest.n || rest.p[text.n + 1] != '=' ||
	    encoding.n != 1 || charset.n == 0)
		return false;
	/* RFC 2231 section 5: a language may follow. */
	str_copy(str_sub(charset, 0, str_index(charset, '*')), w->charset,
	    sizeof(w->charset));
	w->n = 0;
	if (!(str_ieq(encoding, STR("Q"))     ? decode_q(text, w)
		: str_ieq(encoding, STR("B")) ? decode_b(text, w)
					      : false))
		return false;
	*s = str_sub(*s, (size_t)(text.p + text.n + 2 - s->p), s->n);
	return true;
}

/* The sender chooses the name, and converters are code: only those that mail is
 * written in, and none that changes its state within a text. */
static bool
is_common(const char *charset)
{
	static const char *const starts[] = {"utf-8", "us-ascii", "iso-8859-",
	    "windows-125", "koi8-", "gb2312", "gbk", "gb18030", "big5", "euc-",
	    "shift_jis"};
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	if (charset[strspn(charset, plain)] != '\0')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		if (str_istarts(str_from(charset), str_from(starts[i])))
			return true;
	}
	return false;
}

static bool
append_utf8(struct buf *out, struct word *w)
{
	char text[WORD_MAX * 4], *in = w->bytes, *to = text;
	size_t in_left = w->n, to_left = sizeof(text);
	iconv_t cd = (iconv_t)-1;
	bool ok;

	if (is_common(w->charset))
		cd = iconv_open("UTF-8", w->charset);
	if (cd == (iconv_t)-1)
		return false;
	ok = iconv(cd, &in, &in_left, &to, &to_left) != (size_t)-1 &&
	     iconv(cd, NULL, NULL, &to, &to_left) != (size_t)-1;
	iconv_close(cd);
	return ok && buf_append(out, text, sizeof(text) - to_left);
}

char *
header_decode(struct str raw)
{
	struct str s = str_sub(raw, 0, HEADER_MAX);
	bool after_word = false, ok = true;
	struct buf out;
	struct word w;

	buf_init(&out, (size_t)HEADER_MAX * 8);
	while (ok && s.n > 0) {
		size_t gap = 0, was = out.len;
		struct str next;

		while (gap < s.n && (s.p[gap] == ' ' || s.p[gap] == '\t'))
			gap++;
		next = str_sub(s, gap, s.n);

		/* Blanks between two words belong to neither. */
		if (take_word(&next, &w) &&
		    (after_word || buf_append(&out, s.p, gap)) &&
		    append_utf8(&out, &w)) {
			s = next;
			after_word = true;
			continue;
		}
		out.len = was;
		gap = gap > 0 ? gap : 1;
		ok = buf_append(&out, s.p, gap);
		s = str_sub(s, gap, s.n);
		after_word = false;
	}
	return buf_take(&out);
}

struct str
header_message_id(struct str raw)
{
	size_t open = str_index(raw, '<'), n;
	struct str s = raw;

	if (open < s.n)
		return str_sub(
		    s, open + 1, str_index(str_sub(s, open, s.n), '>') - 1);
	while (s.n > 0 && memchr(" \t\r\n", s.p[0], 4) != NULL)
		s = str_sub(s, 1, s.n);
	for (n = 0; n < s.n && memchr(" \t\r\n", s.p[n], 4) == NULL;)
		n++;
	return str_sub(s, 0, n);
}
