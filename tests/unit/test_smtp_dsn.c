/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recipients that a report calls failed, however it is cut, and what is no
 * report.
 */
#include "smtp/dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char got[65536];

static void
on_rcpt(void *arg, const struct smtp_dsn_rcpt *rcpt)
{
	size_t n = strlen(got);

	(void)arg;
	snprintf(got + n, sizeof(got) - n, "%.*s %.*s %.*s %.*s|",
	    STR_ARG(rcpt->envid), STR_ARG(rcpt->original), STR_ARG(rcpt->final),
	    STR_ARG(rcpt->status));
}

static const char *
read_cut(struct str text, size_t piece)
{
	struct smtp_dsn d;

	got[0] = '\0';
	smtp_dsn_init(&d);
	for (size_t i = 0; i < text.n; i += piece)
		smtp_dsn_feed(&d, str_sub(text, i, piece), on_rcpt, NULL);
	return got;
}

static const char *
read_all(struct str text)
{
	return read_cut(text, text.n);
}

#define HEAD                                                     \
	"From: MAILER-DAEMON@mx.test\r\n"                        \
	"Content-Type: multipart/report;\r\n"                    \
	"\treport-type=\"delivery-status; x\"; Boundary=\"a b\"" \
	"\r\n\r\nboundary=\"c\"\r\n--a b\r\n"                    \
	"Content-Type: text/plain\r\n\r\n"                       \
	"Final-Recipient: rfc822; text@x.test\r\n\r\n"           \
	"--a b c\r\n--a b \r\n"
#define STATUS HEAD "Content-Type: Message/Delivery-Status\r\n\r\n"

static void
test_recipients(void **state)
{
	static const struct str text = STR(
	    STATUS "Reporting-MTA: dns; mx.test\r\n"
		   "Original-Envelope-Id: one\r\n\r\n"
		   "Original-Recipient: rfc822;bob+2Bx@x.test\r\n"
		   "Final-Recipient: rfc822; bob@x.test\r\n"
		   "Action: failed\r\nStatus: 5.1.1\r\n\r\n"
		   "Final-Recipient: rfc822; slow@x.test\r\n"
		   "Action: delayed\r\nStatus: 4.4.1\r\n\r\n\r\n"
		   "Final-Recipient: X400; c=no\r\n"
		   "Action: failed\r\nStatus: 5.1.1\r\n\r\n"
		   "final-recipient : RFC822;\r\n <dora@x.test>\r\n"
		   "Action: Failed (it is)\r\nStatus: 5.1.10 (no\r\n\tone)\r\n"
		   "Original-Envelope-Id: two\r\n"
		   "--a b\r\nContent-Type: message/delivery-status\r\n\r\n"
		   "Original-Envelope-Id: three\r\n\r\n"
		   "Final-Recipient: rfc822; late@x.test\r\n"
		   "Action: failed\r\nStatus: 5.1.1\r\n\r\n--a b--\r\n");

	(void)state;
	for (size_t piece = 1; piece <= text.n; piece++)
		assert_string_equal(read_cut(text, piece),
		    "one bob+2Bx@x.test bob@x.test 5.1.1|"
		    "one  dora@x.test 5.1.10|");
}

#define BOB                                                         \
	"Final-Recipient: rfc822; bob@x.test\r\nAction: failed\r\n" \
	"Status: 5.1.1\r\n\r\n"
#define ID "Original-Envelope-Id: one\r\n\r\n"

static void
test_what_is_none(void **state)
{
	static const struct str texts[] = {
	    /* Without an ENVID, a status, an end. */
	    STR(STATUS "Reporting-MTA: dns; x\r\n\r\n" BOB),
	    STR(STATUS ID "Final-Recipient: rfc822; bob@x.test\r\n"
			  "Action: failed\r\n\r\n"),
	    STR(STATUS ID "Final-Recipient: rfc822; bob@x.test\r\n"
			  "Action: failed\r\nStatus: 5.1.1\r\n"),
	    /* No report, or of another kind, or encoded. */
	    STR("Subject: x\r\n\r\n" ID BOB),
	    STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
		"Content-Type: message/delivery-status\r\n\r\n" ID BOB),
	    STR("Content-Type: multipart/report\r\n\r\n--\r\n"
		"Content-Type: message/delivery-status\r\n\r\n" ID BOB),
	    STR(HEAD "Content-Type: message/rfc822\r\n\r\n" ID BOB),
	    STR(HEAD "Content-Type: message/delivery-status\r\n"
		     "Content-Transfer-Encoding: base64\r\n\r\n" ID BOB),
	    STR(HEAD "--a b--\r\n--a b\r\n"
		     "Content-Type: message/delivery-status\r\n\r\n" ID BOB),
	};

	(void)state;
	assert_string_equal(
	    read_all(STR(STATUS ID BOB)), "one  bob@x.test 5.1.1|");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_string_equal(read_all(texts[i]), "");
}

static void
test_bounds(void **state)
{
	struct smtp_dsn d;
	char line[SMTP_DSN_LINE_MAX + 100], fill[1000];
	size_t n = 0;

	(void)state;
	/* Too long for an address, or for a field. */
	memset(line, 'x', sizeof(line));
	got[0] = '\0';
	smtp_dsn_init(&d);
	smtp_dsn_feed(
	    &d, STR(STATUS ID "Final-Recipient: rfc822; "), on_rcpt, NULL);
	smtp_dsn_feed(&d, (struct str){line, 300}, on_rcpt, NULL);
	smtp_dsn_feed(&d,
	    STR("@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		"X-Long: "),
	    on_rcpt, NULL);
	smtp_dsn_feed(&d, (struct str){line, sizeof(line)}, on_rcpt, NULL);
	smtp_dsn_feed(&d, STR("\r\n\r\n"), on_rcpt, NULL);
	assert_string_equal(got, "");
	assert_false(smtp_dsn_is_over(&d));
	/* So many recipients, and no more. */
	while (n < 2 * SMTP_DSN_RCPTS_MAX) {
		smtp_dsn_feed(&d, STR(BOB), on_rcpt, NULL);
		if (++n == SMTP_DSN_RCPTS_MAX)
			assert_true(smtp_dsn_is_over(&d));
	}
	assert_int_equal(
	    strlen(got), SMTP_DSN_RCPTS_MAX * strlen("one  bob@x.test 5.1.1|"));
	/* So many bytes. */
	memset(fill, '\n', sizeof(fill));
	smtp_dsn_init(&d);
	smtp_dsn_feed(&d, STR(HEAD), on_rcpt, NULL);
	for (n = 0; n <= SMTP_DSN_TEXT_MAX; n += sizeof(fill)) {
		if (n + sizeof(fill) < SMTP_DSN_TEXT_MAX - sizeof(fill))
			assert_false(smtp_dsn_is_over(&d));
		smtp_dsn_feed(
		    &d, (struct str){fill, sizeof(fill)}, on_rcpt, NULL);
	}
	assert_true(smtp_dsn_is_over(&d));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_recipients),
	    cmocka_unit_test(test_what_is_none),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
