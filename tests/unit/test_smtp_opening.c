/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first line of a text behind our own field: each text is fed whole, and
 * cut at every place, and must come to the same.
 */
#include "base/buf.h"
#include "smtp/opening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
collect(void *arg, struct str piece)
{
	assert_true(buf_append_str(arg, piece));
}

static void
feed(struct smtp_opening *o, struct str text, struct buf *out)
{
	if (!smtp_opening_is_over(o))
		text = smtp_opening_feed(o, text, collect, out);
	collect(out, text);
}

static void
expect(const char *in, const char *want)
{
	struct str text = str_from(in);

	for (size_t cut = 0; cut <= text.n; cut++) {
		struct smtp_opening o;
		struct buf out;

		buf_init(&out, 4096);
		smtp_opening_init(&o);
		feed(&o, str_sub(text, 0, cut), &out);
		feed(&o, str_sub(text, cut, text.n), &out);
		smtp_opening_end(&o, collect, &out);
		assert_int_equal(out.len, str_from(want).n);
		assert_true(str_eq(buf_str(&out), str_from(want)));
		assert_true(out.len <= text.n + SMTP_OPENING_MAX);
		buf_clear(&out);
	}
}

static void
test_goes_on_as_it_came(void **state)
{
	(void)state;
	expect("", "");
	expect("\r\n", "\r\n");
	expect("\r\n text\r\n", "\r\n text\r\n");
	expect("Subject: x\r\n\r\nx\r\n", "Subject: x\r\n\r\nx\r\n");
	expect("From: a@x.test\r\n", "From: a@x.test\r\n");
	expect("From", "From");
	expect("Fro\r\nFrom x\r\n", "Fro\r\nFrom x\r\n");
	expect(".\r\n", ".\r\n");
	expect(">>>>>>>>>>>>>>>>From x\r\n", ">>>>>>>>>>>>>>>>From x\r\n");
	expect(">\r\n x\r\n", ">\r\n x\r\n");
}

static void
test_a_blank_is_text(void **state)
{
	(void)state;
	expect("  Dear all,\r\nx\r\n", "\r\n  Dear all,\r\nx\r\n");
	expect("\tx\r\n", "\r\n\tx\r\n");
	expect(" ", "\r\n ");
	expect(" \r\nSubject: x\r\n", "\r\n \r\nSubject: x\r\n");
}

static void
test_an_mbox_line_is_a_field(void **state)
{
	(void)state;
	expect("From a Mon Sep 17\r\nSubject: x\r\n",
	    "X-Mailbox-Line: From a Mon Sep 17\r\nSubject: x\r\n");
	expect(">>FROM a\r\nS: x\r\n", "X-Mailbox-Line: >>FROM a\r\nS: x\r\n");
	expect("From a\r\n>From b\r\nS: x\r\nFrom c\r\n",
	    "X-Mailbox-Line: From a\r\nX-Mailbox-Line: >From b\r\n"
	    "S: x\r\nFrom c\r\n");
	expect("From a\r\n folded\r\n",
	    "X-Mailbox-Line: From a\r\n\r\n folded\r\n");
	expect("From a", "X-Mailbox-Line: From a");
	/* No more than so many. */
	expect("From 1\r\nFrom 2\r\nFrom 3\r\nFrom 4\r\nFrom 5\r\nFrom 6\r\n"
	       "From 7\r\nFrom 8\r\nFrom 9\r\n",
	    "X-Mailbox-Line: From 1\r\nX-Mailbox-Line: From 2\r\n"
	    "X-Mailbox-Line: From 3\r\nX-Mailbox-Line: From 4\r\n"
	    "X-Mailbox-Line: From 5\r\nX-Mailbox-Line: From 6\r\n"
	    "X-Mailbox-Line: From 7\r\nX-Mailbox-Line: From 8\r\n"
	    "From 9\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_goes_on_as_it_came),
	    cmocka_unit_test(test_a_blank_is_text),
	    cmocka_unit_test(test_an_mbox_line_is_a_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
