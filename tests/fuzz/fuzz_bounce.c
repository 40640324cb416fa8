/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: reports to senders, from facts that an outsider chose: sender,
 * recipients, replies of a next hop, the original; and as the stored state has
 * them, which counts as hostile too. Checked: one header of known fields, three
 * parts and nothing behind them, no line of the report that the facts made,
 * nothing but ASCII where nothing else was promised.
 */
#include "delivery/bounce.h"

#include "fuzz.h"

#include <stdio.h>

#define OUT_MAX (1u << 20)
#define RCPTS_MAX 3
#define LINE_MOST 998

static void
read_rcpt(struct str *in, uint8_t bits, struct bounce_recipient *r)
{
	*r = (struct bounce_recipient){
	    .action = (enum bounce_action)(bits % 4),
	    .address = fuzz_take(in),
	    .orcpt = fuzz_take(in),
	    .status = bits & 4 ? STR("5.1.1") : STR("4.4.7"),
	    .reason = STR("It was refused"),
	    .reply = fuzz_take(in),
	    .remote = bits & 8 ? STR("192.0.2.9:25") : STR(""),
	    .retry_until = bits & 16 ? INT64_C(1790154713000) : 0,
	};
}

/* Known names alone, each once; a folded line belongs to the one before. */
static void
check_header(struct str header)
{
	static const struct str names[] = {STR("Date: "), STR("From: "),
	    STR("To: "), STR("Subject: "), STR("Message-ID: "),
	    STR("Auto-Submitted: "), STR("MIME-Version: "),
	    STR("Content-Transfer-Encoding: "), STR("Content-Type: ")};
	unsigned seen = 0;

	while (header.n > 0) {
		struct str line = str_cut(&header, '\n');
		size_t i = 0;

		if (str_starts(line, STR("\tboundary=")))
			continue;
		while (i < ARRAY_LEN(names) && !str_starts(line, names[i]))
			i++;
		fuzz_check(i < ARRAY_LEN(names), "a header line of its own");
		fuzz_check((seen & 1u << i) == 0, "a header line twice");
		seen |= 1u << i;
	}
}

/* Ours ends in CR LF and holds no other control character; what is returned as
 * it came is the sender's. */
static void
check_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\r')
			fuzz_check(i + 1 < s.n && s.p[i + 1] == '\n', "CR");
		else if (c == '\n')
			fuzz_check(i > 0 && s.p[i - 1] == '\r', "LF");
		else
			fuzz_check(c == '\t' || (c >= ' ' && c != 0x7f),
			    "control character");
	}
	while (s.n > 0)
		fuzz_check(
		    str_cut(&s, '\n').n <= LINE_MOST + 1, "a line too long");
}

static struct str
take_until(struct str *s, const char *mark)
{
	const char *at = memmem(s->p, s->n, mark, strlen(mark));
	struct str head;

	fuzz_check(at != NULL, mark);
	head = str_sub(*s, 0, (size_t)(at - s->p));
	*s = str_sub(*s, head.n + strlen(mark), s->n);
	return head;
}

static void
check_status(struct str part, size_t rcpts)
{
	static const char final[] = "\r\nFinal-Recipient: ";
	size_t groups = 0;

	for (const char *at = part.p;
	     (at = memmem(at, part.n - (size_t)(at - part.p), final,
		  sizeof(final) - 1)) != NULL;
	     at++)
		groups++;
	fuzz_check(groups == rcpts, "recipients of the report");
	fuzz_check(str_is_ascii(part), "a report that is not ASCII");
	check_text(part);
}

static void
check_report(const struct bounce_facts *f, struct str text, bool eight_bit)
{
	char mark[80], end[80];
	struct str header = take_until(&text, "\r\n\r\n");
	struct str rest = header;

	(void)take_until(&rest, "\r\n\tboundary=\"");
	rest = str_cut(&rest, '"');
	/* At the start of a line alone: the search knows the seed. */
	snprintf(mark, sizeof(mark), "\r\n--%.*s\r\n", STR_ARG(rest));
	snprintf(end, sizeof(end), "\r\n--%.*s--\r\n", STR_ARG(rest));
	check_text(header);
	check_header(header);
	fuzz_check(
	    str_starts(text, str_from(mark + 2)), "text before the parts");
	text = str_sub(text, strlen(mark + 2), text.n);
	rest = take_until(&text, mark);
	fuzz_check(str_is_ascii(rest), "words that are not ASCII");
	check_text(rest);
	check_status(take_until(&text, mark), f->rcpt_count);
	rest = take_until(&text, end);
	fuzz_check(text.n == 0, "text behind the parts");
	fuzz_check(eight_bit || str_is_ascii(rest), "8 bits unannounced");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	uint8_t bits = fuzz_byte(&in);
	struct bounce_recipient rcpts[RCPTS_MAX];
	struct bounce_facts f = {
	    .hostname = STR("relay.example.org"),
	    .postmaster = STR("postmaster@example.org"),
	    .id = STR("0BOUNCE000000"),
	    .original_id = STR("0ORIGINAL0000"),
	    .wall = INT64_C(1790154713000),
	    .seed = bits,
	    .ret = (enum smtp_ret)(bits % 3),
	    .is_whole = (bits & 4) != 0,
	    .eight_bit_ok = (bits & 8) != 0,
	    .rcpts = rcpts,
	    .rcpt_count = 1 + bits / 16 % RCPTS_MAX,
	};
	struct buf out;
	bool eight_bit;

	f.to = fuzz_take(&in);
	f.envid = fuzz_take(&in);
	for (size_t i = 0; i < f.rcpt_count; i++)
		read_rcpt(&in, fuzz_byte(&in), &rcpts[i]);
	f.arrived = f.wall - (int64_t)in.n * 1000;
	f.original = in;
	if (f.to.n == 0)
		return 0;
	buf_init(&out, OUT_MAX);
	fuzz_check(bounce_print(&f, &out, &eight_bit), "the report is full");
	check_report(&f, buf_str(&out), eight_bit);
	buf_clear(&out);
	return 0;
}
