/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the parser of a next hop's replies. The first byte chooses how
 * the stream is cut. Checked: bounds, that the cut does not matter, and that
 * what was taken is printed as well-formed lines that read back as the same
 * code, however hostile the text.
 */
#include "smtp/reply.h"

#include "fuzz.h"

#define WIRE_MAX 65536
#define SEEN_MAX (1u << 20)

static void
check_lines(struct str wire, unsigned code)
{
	while (wire.n > 0) {
		struct str line = str_cut(&wire, '\n');

		fuzz_check(line.n >= 5 && line.n <= 511, "length of a line");
		fuzz_check(line.p[line.n - 1] == '\r', "a line without CR LF");
		fuzz_check((unsigned)(line.p[0] - '0') == code / 100, "code");
		fuzz_check(
		    line.p[3] == (wire.n > 0 ? '-' : ' '), "mark of a line");
		for (size_t i = 0; i + 1 < line.n; i++)
			fuzz_check((unsigned char)line.p[i] >= ' ' ||
				       line.p[i] == '\t',
			    "control character");
	}
}

static void
check_print(const struct smtp_reply *r)
{
	struct smtp_reply_parser parser;
	struct smtp_reply again;
	struct buf out;
	struct str in;

	buf_init(&out, WIRE_MAX);
	smtp_reply_parser_init(&parser);
	if (smtp_reply_print(r, true, &out)) {
		check_lines(buf_str(&out), r->code);
		in = buf_str(&out);
		if (smtp_reply_parse(&parser, &in, &again) == SMTP_REPLY_DONE) {
			fuzz_check(in.n == 0, "more than one reply");
			fuzz_check(again.code == r->code, "code changed");
			fuzz_check(r->enhanced[0] == '\0' ||
				       strcmp(again.enhanced, r->enhanced) == 0,
			    "enhanced code changed");
		}
	}
	smtp_reply_parser_clear(&parser);
	buf_clear(&out);
}

static void
check_reply(const struct smtp_reply *r)
{
	fuzz_check(r->code >= 200 && r->code <= 599, "code out of range");
	fuzz_check(r->text.n <= SMTP_REPLY_TEXT_MAX, "too much text");
	fuzz_check(strlen(r->enhanced) < SMTP_ENHANCED_MAX, "enhanced code");
	fuzz_check(r->enhanced[0] == '\0' ||
		       (unsigned)(r->enhanced[0] - '0') == r->code / 100,
	    "class of the enhanced code");
	if (r->text.n > 0)
		fuzz_check(memchr(r->text.p, '\0', r->text.n) == NULL, "NUL");
	check_print(r);
}

/* Every reply of the stream, step bytes at a time, written to seen. */
static void
parse(const char *p, size_t n, size_t step, struct buf *seen)
{
	struct smtp_reply_parser parser;
	enum smtp_reply_state state = SMTP_REPLY_MORE;
	size_t from = 0, to = 0;
	struct smtp_reply r;

	smtp_reply_parser_init(&parser);
	while (state != SMTP_REPLY_BAD && to < n) {
		to = n - to > step ? to + step : n;
		do {
			/* Exact in size: a byte too far is seen. */
			char *copy = fuzz_copy(p + from, to - from);
			struct str in = {copy, to - from};

			state = smtp_reply_parse(&parser, &in, &r);
			from = to - in.n;
			if (state == SMTP_REPLY_DONE) {
				check_reply(&r);
				fuzz_check(buf_printf(seen, "%u %s ", r.code,
					       r.enhanced) &&
					       buf_append_str(seen, r.text),
				    "seen");
			}
			free(copy);
		} while (state == SMTP_REPLY_DONE && from < to);
	}
	fuzz_check(buf_printf(seen, "%s", state == SMTP_REPLY_BAD ? "bad" : ""),
	    "seen");
	smtp_reply_parser_clear(&parser);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;

	if (size < 1)
		return 0;
	buf_init(&whole, SEEN_MAX);
	buf_init(&pieces, SEEN_MAX);
	parse((const char *)data + 1, size - 1, size, &whole);
	parse(
	    (const char *)data + 1, size - 1, 1 + (size_t)data[0] % 7, &pieces);
	fuzz_check(
	    str_eq(buf_str(&whole), buf_str(&pieces)), "the cut matters");
	buf_clear(&whole);
	buf_clear(&pieces);
	return 0;
}
