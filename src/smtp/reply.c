/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replies in wire form. What is printed is always well formed, whatever the
 * text holds (it may be a next hop's); what is parsed is bounded in line
 * length, number of lines and text kept. A line that does not fit in the text
 * is left out whole, so that half a line never means something else.
 */
#include "smtp/reply.h"

#include <string.h>

#define PRINT_LINE_MAX 512    /* RFC 5321 section 4.5.3.1.5, with CR LF */
#define PARSE_LINE_LIMIT 4096 /* a line past this is an attack */

struct smtp_reply
smtp_reply_make(unsigned code, const char *enhanced, const char *text)
{
	struct smtp_reply r = {.code = code, .text = str_from(text)};

	if (code < 200 || code > 599)
		panic("reply code %u", code);
	str_copy(str_from(enhanced), r.enhanced, sizeof(r.enhanced));
	return r;
}

/* How much of a line goes on one wire line: all of it, or up to a blank, or
 * at least no half of a UTF-8 character. */
static size_t
fold_at(struct str line, size_t room)
{
	size_t n = room, blank;

	if (line.n <= room)
		return line.n;
	blank = str_rindex(str_sub(line, 0, room), ' ');
	if (blank < room && blank > room / 2)
		return blank + 1;
	while (n > room - 4 && ((unsigned char)line.p[n] & 0xC0) == 0x80)
		n--;
	return n;
}

/* "250-2.1.0 "; returns its length. */
static size_t
make_prefix(const struct smtp_reply *r, bool with_enhanced,
    char out[sizeof("250-") + SMTP_ENHANCED_MAX])
{
	size_t n = 4;

	out[0] = (char)('0' + r->code / 100 % 10);
	out[1] = (char)('0' + r->code / 10 % 10);
	out[2] = (char)('0' + r->code % 10);
	out[3] = '-';
	if (with_enhanced && r->enhanced[0] != '\0') {
		n +=
		    str_copy(str_from(r->enhanced), out + n, SMTP_ENHANCED_MAX);
		out[n++] = ' ';
	}
	return n;
}

/* What a client's terminal or log reader would obey becomes question marks, as
 * many as there were bytes. */
static void
put_shown(struct str text, char *out)
{
	while (text.n > 0) {
		size_t n = 0;

		while (n < text.n && text.p[n] >= ' ' && text.p[n] <= '~')
			n++;
		if (n == 0)
			n = str_shown(text);
		if (n == 0) {
			*out = *text.p == '\t' ? '\t' : '?';
			n = 1;
		} else {
			memcpy(out, text.p, n);
		}
		out += n;
		text = str_sub(text, n, text.n);
	}
}

static bool
print_line(struct str prefix, bool more, struct str text, struct buf *out)
{
	size_t n = prefix.n + text.n + 2;
	char *p = buf_reserve(out, n);

	if (p == NULL)
		return false;
	memcpy(p, prefix.p, prefix.n);
	p[3] = more ? '-' : ' ';
	p += prefix.n;
	put_shown(text, p);
	memcpy(p + text.n, "\r\n", 2);
	buf_commit(out, n);
	return true;
}

/* Takes what goes on the next wire line off *text. */
static struct str
take_line(struct str *text, size_t room)
{
	size_t newline = str_index(*text, '\n');
	struct str line = str_sub(*text, 0, newline);

	line.n = fold_at(line, room);
	*text = str_sub(*text, line.n + (line.n == newline), text->n);
	if (line.n == newline && line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

bool
smtp_reply_print(
    const struct smtp_reply *r, bool with_enhanced, struct buf *out)
{
	char prefix_mem[sizeof("250-") + SMTP_ENHANCED_MAX];
	struct str prefix = {
	    prefix_mem, make_prefix(r, with_enhanced, prefix_mem)};
	struct str text = r->text;
	size_t before = out->len;

	do {
		struct str line =
		    take_line(&text, PRINT_LINE_MAX - prefix.n - 2);

		if (!print_line(prefix, text.n > 0, line, out)) {
			out->len = before;
			return false;
		}
	} while (text.n > 0);
	return true;
}

void
smtp_reply_parser_init(struct smtp_reply_parser *p)
{
	*p = (struct smtp_reply_parser){0};
	buf_init(&p->text, SMTP_REPLY_TEXT_MAX);
}

void
smtp_reply_parser_clear(struct smtp_reply_parser *p)
{
	buf_clear(&p->text);
	smtp_reply_parser_init(p);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Bytes of the enhanced status code at the start of s, 0: none. RFC 3463
 * section 2; its class is that of the reply (RFC 2034). */
static size_t
enhanced_length(struct str s, unsigned code)
{
	size_t n = 1;

	if (s.n < 5 || s.p[0] != (char)('0' + code / 100) || s.p[0] == '3')
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		if (n >= s.n || s.p[n++] != '.')
			return 0;
		while (n < s.n && is_digit(s.p[n]) && digits < 4) {
			n++;
			digits++;
		}
		if (digits == 0 || digits > 3)
			return 0;
	}
	return n == s.n || s.p[n] == ' ' ? n : 0;
}

/* Takes the enhanced code off: the first line's is the reply's, later lines
 * repeat it; a different one there is text. */
static struct str
take_enhanced(struct smtp_reply_parser *p, struct str text)
{
	size_t n = enhanced_length(text, p->code);
	struct str enhanced = str_sub(text, 0, n);

	if (n == 0)
		return text;
	if (p->lines == 0)
		str_copy(enhanced, p->enhanced, sizeof(p->enhanced));
	else if (!str_eq(enhanced, str_from(p->enhanced)))
		return text;
	return str_sub(text, n + 1, text.n);
}

static void
keep_text(struct smtp_reply_parser *p, struct str text)
{
	if (buf_room(&p->text) < text.n + 1)
		return;
	if ((p->lines > 0 && !buf_append(&p->text, "\n", 1)) ||
	    !buf_append_str(&p->text, text))
		panic("reply text does not fit");
}

/* One line without its newline. */
static enum smtp_reply_state
parse_line(struct smtp_reply_parser *p, struct str line)
{
	unsigned code;

	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' ||
	    !is_digit(line.p[1]) || !is_digit(line.p[2]) ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-') ||
	    memchr(line.p, '\0', line.n) != NULL)
		return SMTP_REPLY_BAD;
	code = (unsigned)(line.p[0] - '0') * 100 +
	       (unsigned)(line.p[1] - '0') * 10 + (unsigned)(line.p[2] - '0');
	if (p->lines >= SMTP_REPLY_LINES_MAX ||
	    (p->lines > 0 && code != p->code))
		return SMTP_REPLY_BAD;
	p->code = code;
	keep_text(p, take_enhanced(p, str_sub(line, 4, SMTP_REPLY_LINE_MAX)));
	p->lines++;
	return line.n > 3 && line.p[3] == '-' ? SMTP_REPLY_MORE
					      : SMTP_REPLY_DONE;
}

static bool
has_words(struct str text, struct str words)
{
	for (size_t i = 0; i + words.n <= text.n; i++) {
		if (str_istarts(str_sub(text, i, words.n), words))
			return true;
	}
	return false;
}

bool
smtp_reply_wants_login(const struct smtp_reply *r)
{
	/* Not "unauthenticated mail is not accepted", which is DMARC's. */
	static const struct str words[] = {
	    STR("authentication required"),
	    STR("authentication is required"),
	    STR("authenticate first"),
	    STR("auth first"),
	    STR("must authenticate"),
	    STR("must issue a starttls"),
	    STR("must issue starttls"),
	    STR("not authenticated to send"),
	};

	if (r->code < 500)
		return false;
	if (r->code == 530 || r->code == 534 || r->code == 535 ||
	    r->code == 538 || strcmp(r->enhanced, "5.7.57") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (has_words(r->text, words[i]))
			return true;
	}
	return false;
}

enum smtp_reply_state
smtp_reply_parse(
    struct smtp_reply_parser *p, struct str *in, struct smtp_reply *out)
{
	enum smtp_reply_state state = SMTP_REPLY_MORE;

	if (p->done) {
		buf_reset(&p->text);
		p->code = p->lines = 0;
		p->enhanced[0] = '\0';
		p->done = false;
	}
	while (state == SMTP_REPLY_MORE && in->n > 0) {
		size_t end = str_index(str_sub(*in, 0, PARSE_LINE_LIMIT), '\n');
		struct str line = str_sub(*in, 0, end);

		if (end == PARSE_LINE_LIMIT)
			return SMTP_REPLY_BAD;
		if (end == in->n)
			break;
		*in = str_sub(*in, end + 1, in->n);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		state = parse_line(p, line);
	}
	if (state != SMTP_REPLY_DONE)
		return state;
	p->done = true;
	out->code = p->code;
	str_copy(str_from(p->enhanced), out->enhanced, sizeof(out->enhanced));
	out->text = buf_str(&p->text);
	return SMTP_REPLY_DONE;
}
