/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounces as text: the structure that RFC 3462 and 3464 demand, found by
 * splitting at the boundary, and that nothing in the facts breaks out of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delivery/bounce.h"

#define WALL 1790154713000 /* Wed, 23 Sep 2026 09:11:53 UTC */

struct report {
	struct buf text;
	bool eight_bit;
	struct str header, parts[3];
	size_t count;
};

static const struct bounce_recipient bob = {
    .address = {"bob@example.org", 15},
    .orcpt = {"rfc822;Bob+2BX@example.org", 26},
    .status = {"5.1.1", 5},
    .reason = {"It was refused", 14},
    .reply = {"550 5.1.1 no such user", 22},
    .remote = {"192.0.2.9:25", 12},
};

static const char original[] = "From: alice@example.org\r\n"
			       "Subject: hello\r\n"
			       "\r\n"
			       "a secret body\r\n";

static struct bounce_facts
make_facts(void)
{
	return (struct bounce_facts){
	    .hostname = STR("relay.example.org"),
	    .postmaster = STR("postmaster@example.org"),
	    .id = STR("0BOUNCE000000"),
	    .original_id = STR("0ORIGINAL0000"),
	    .to = STR("alice@example.org"),
	    .wall = WALL,
	    .arrived = WALL - 60000,
	    .seed = 42,
	    .original = {original, sizeof(original) - 1},
	    .is_whole = true,
	    .rcpts = &bob,
	    .rcpt_count = 1,
	};
}

/* The index of needle in s, or s.n. */
static size_t
find(struct str s, const char *needle)
{
	const char *at =
	    s.p != NULL ? memmem(s.p, s.n, needle, strlen(needle)) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

static bool
has(struct str s, const char *needle)
{
	return find(s, needle) < s.n;
}

static struct str
take_until(struct str *s, const char *mark)
{
	size_t at = find(*s, mark);
	struct str head = str_sub(*s, 0, at);

	assert_true(at < s->n);
	*s = str_sub(*s, at + strlen(mark), s->n);
	return head;
}

static struct report
print(const struct bounce_facts *f)
{
	struct report r = {0};
	struct str rest, name;
	char mark[80], end[80];

	buf_init(&r.text, 1 << 20);
	assert_true(bounce_print(f, &r.text, &r.eight_bit));
	rest = buf_str(&r.text);
	r.header = take_until(&rest, "\r\n\r\n");
	name = str_sub(r.header, find(r.header, "boundary=\"") + 10, 64);
	name = str_cut(&name, '"');
	snprintf(mark, sizeof(mark), "--%.*s\r\n", STR_ARG(name));
	snprintf(end, sizeof(end), "\r\n--%.*s--\r\n", STR_ARG(name));
	assert_int_equal(take_until(&rest, mark).n, 0);
	r.parts[0] = take_until(&rest, mark);
	r.parts[1] = take_until(&rest, mark);
	r.parts[2] = take_until(&rest, end);
	assert_int_equal(rest.n, 0);
	return r;
}

/* Every line ends in CR LF and holds no other control character. */
static void
assert_clean(struct str s, bool ascii)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\r')
			assert_true(i + 1 < s.n && s.p[i + 1] == '\n');
		else if (c == '\n')
			assert_true(i > 0 && s.p[i - 1] == '\r');
		else
			assert_true(c == '\t' || c >= 0x20);
		assert_true(!ascii || c < 0x7f);
	}
}

static void
test_structure(void **state)
{
	struct bounce_facts f = make_facts();
	struct report r = print(&f);

	(void)state;
	assert_clean(buf_str(&r.text), true);
	assert_false(r.eight_bit);
	assert_true(has(r.header, "Date: Wed, 23 Sep 2026 09:11:53 +0000\r\n"));
	assert_true(has(r.header, "\r\nTo: <alice@example.org>\r\n"));
	assert_true(has(
	    r.header, "\r\nMessage-ID: <0BOUNCE000000@relay.example.org>\r\n"));
	assert_true(has(r.header, "\r\nAuto-Submitted: auto-replied\r\n"));
	assert_true(has(r.header, "\r\nMIME-Version: 1.0\r\n"));
	assert_true(has(r.header,
	    "multipart/report; report-type=delivery-status;\r\n\tboundary="));
	assert_true(has(r.parts[0], "<bob@example.org>:\r\n"));
	assert_true(has(r.parts[0], "550 5.1.1 no such user"));
	assert_true(has(r.parts[0], "postmaster@example.org"));
	assert_true(has(r.parts[0], "0ORIGINAL0000"));
	buf_clear(&r.text);
}

static void
test_delivery_status(void **state)
{
	struct bounce_facts f = make_facts();
	struct report r;
	struct str s, group;

	(void)state;
	f.envid = STR("QQ+2B1");
	r = print(&f);
	s = r.parts[1];
	group = take_until(&s, "\r\n\r\n");
	assert_true(has(group, "Content-Type: message/delivery-status"));
	group = take_until(&s, "\r\n\r\n");
	assert_true(has(group, "Reporting-MTA: dns; relay.example.org\r\n"));
	assert_true(has(group, "Original-Envelope-Id: QQ+1\r\n"));
	assert_true(
	    has(group, "Arrival-Date: Wed, 23 Sep 2026 09:10:53 +0000"));
	group = take_until(&s, "\r\n\r\n");
	assert_true(str_starts(
	    group, STR("Original-Recipient: rfc822; Bob+X@example.org\r\n")));
	assert_true(has(group, "Final-Recipient: rfc822; bob@example.org\r\n"));
	assert_true(has(group, "Action: failed\r\nStatus: 5.1.1\r\n"));
	assert_true(has(group, "Remote-MTA: dns; [192.0.2.9]\r\n"));
	assert_true(
	    has(group, "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"));
	assert_int_equal(s.n, 0);
	buf_clear(&r.text);
}

/* From a spool that somebody wrote into: SMTP has no such addresses. */
static void
test_damaged_addresses(void **state)
{
	struct bounce_facts f = make_facts();
	struct bounce_recipient to = bob;
	char wide[250];
	struct report r;
	struct str s;

	(void)state;
	memset(wide, '+', sizeof(wide));
	memcpy(wide, "\xc3\xa9", 2);
	to.address = (struct str){wide, sizeof(wide)};
	f.to = STR("\xc3\xa9\r\nBcc: evil@example.org");
	f.rcpts = &to;
	r = print(&f);
	assert_clean(r.header, false);
	assert_true(has(r.header, "\r\nTo: <\xc3\xa9??Bcc: evil@example.org>"));
	s = buf_str(&r.text);
	while (s.n > 0)
		assert_true(str_cut(&s, '\n').n <= 999);
	buf_clear(&r.text);
}

static void
test_every_recipient_once(void **state)
{
	struct bounce_facts f = make_facts();
	struct bounce_recipient both[2] = {bob, bob};
	struct report r;
	struct str s;

	(void)state;
	both[1].address = STR("carol@example.org");
	both[1].remote = both[1].orcpt = (struct str){NULL, 0};
	both[1].reply = STR("451 4.4.1 nobody home");
	f.rcpts = both;
	f.rcpt_count = 2;
	r = print(&f);
	s = r.parts[1];
	(void)take_until(&s, "Final-Recipient: rfc822; bob@example.org\r\n");
	(void)take_until(&s, "Final-Recipient: rfc822; carol@example.org\r\n");
	assert_false(has(s, "Final-Recipient"));
	/* The last error was our own: no remote server said it. */
	assert_false(has(s, "Diagnostic-Code"));
	assert_true(has(r.parts[0], "Last error: 451 4.4.1 nobody home"));
	buf_clear(&r.text);
}

static void
test_what_is_returned(void **state)
{
	struct bounce_facts f = make_facts();
	struct report r = print(&f);

	(void)state;
	assert_true(has(r.parts[2], "text/rfc822-headers\r\n\r\nFrom: alice"));
	assert_true(str_iends(r.parts[2], STR("Subject: hello\r\n")));
	buf_clear(&r.text);
	f.ret = SMTP_RET_FULL;
	r = print(&f);
	assert_true(has(r.parts[2], "message/rfc822\r\n\r\nFrom: alice"));
	assert_true(str_iends(r.parts[2], STR("a secret body\r\n")));
	buf_clear(&r.text);
	/* Only its beginning is at hand. */
	f.is_whole = false;
	r = print(&f);
	assert_true(has(r.parts[2], "text/rfc822-headers"));
	assert_false(has(r.parts[2], "secret"));
	buf_clear(&r.text);
}

static void
test_cut_header(void **state)
{
	struct bounce_facts f = make_facts();
	struct report r;

	(void)state;
	f.original = STR("From: a@example.org\r\nX-Long: goes on and o");
	f.is_whole = false;
	r = print(&f);
	assert_true(has(r.parts[2], "From: a@example.org\r\n"));
	assert_false(has(r.parts[2], "X-Long"));
	buf_clear(&r.text);
	f.original = STR("\r\nno header at all\r\n");
	r = print(&f);
	assert_false(has(r.parts[2], "at all"));
	buf_clear(&r.text);
	f.original = (struct str){NULL, 0};
	r = print(&f);
	buf_clear(&r.text);
}

static void
test_eight_bit(void **state)
{
	struct bounce_facts f = make_facts();
	struct report r;

	(void)state;
	f.original = STR("Subject: gr\xc3\xbc\xc3\x9f \r\n\r\nb\xc3\xb6s\r\n");
	f.ret = SMTP_RET_FULL;
	r = print(&f);
	/* The next hop may not take it: the header alone, encoded. */
	assert_clean(buf_str(&r.text), true);
	assert_false(r.eight_bit);
	assert_true(has(r.parts[2], "quoted-printable"));
	assert_true(has(r.parts[2], "Subject: gr=C3=BC=C3=9F=20\r\n"));
	buf_clear(&r.text);
	f.eight_bit_ok = true;
	r = print(&f);
	assert_true(r.eight_bit);
	assert_true(has(r.header, "Content-Transfer-Encoding: 8bit"));
	assert_true(has(r.parts[2], "Content-Transfer-Encoding: 8bit"));
	assert_true(has(r.parts[2], "b\xc3\xb6s"));
	buf_clear(&r.text);
}

static void
test_long_header_line(void **state)
{
	struct bounce_facts f = make_facts();
	char text[3000] = "Subject: ";
	struct report r;
	struct str s;

	(void)state;
	memset(text + 9, 'x', sizeof(text) - 14);
	memcpy(text + sizeof(text) - 5, "\r\n\r\n", 5);
	f.original = str_from(text);
	r = print(&f);
	s = buf_str(&r.text);
	while (s.n > 0)
		assert_true(str_cut(&s, '\n').n <= 998);
	buf_clear(&r.text);
}

static void
test_utf8_addresses(void **state)
{
	struct bounce_facts f = make_facts();
	struct bounce_recipient r8 = bob;
	struct report r;

	(void)state;
	r8.address = STR("b\xc3\xb6"
			 "b+x@example.org");
	f.rcpts = &r8;
	r = print(&f);
	assert_clean(buf_str(&r.text), true);
	assert_true(has(r.parts[1],
	    "Final-Recipient: utf-8; b\\x{F6}b\\x{2B}x@example.org\r\n"));
	buf_clear(&r.text);
	f.to = STR("\xc3\xa4@example.org");
	r = print(&f);
	assert_true(has(r.header, "To: <\xc3\xa4@example.org>\r\n"));
	buf_clear(&r.text);
}

static void
test_hostile_facts(void **state)
{
	struct bounce_facts f = make_facts();
	struct bounce_recipient evil = bob;
	struct report r;

	(void)state;
	evil.address = STR("x\r\nAction: delivered\r\n@example.org");
	evil.orcpt = STR("rfc822;x+0D+0AStatus: 2.0.0");
	evil.reply = STR("550 no\r\n\r\n--=_weir_1\r\nBcc: all\0\x01\xff");
	evil.remote = STR("x\r\ny");
	f.rcpts = &evil;
	f.to = STR("a\r\nBcc: everybody@example.org");
	f.envid = STR("x+0D+0ASubject: y");
	r = print(&f);
	assert_clean(buf_str(&r.text), true);
	assert_false(has(r.header, "\nBcc:"));
	assert_false(has(r.parts[1], "\nAction: delivered"));
	assert_false(has(r.parts[1], "\nStatus: 2.0.0"));
	assert_false(has(r.parts[1], "\nSubject"));
	assert_false(has(r.parts[1], "\nBcc:"));
	buf_clear(&r.text);
}

/* Even a sender who knows the seed cannot close a part. */
static void
test_boundary_is_not_in_original(void **state)
{
	struct bounce_facts f = make_facts();
	struct report r = print(&f);
	struct str name = r.header;
	char text[300];

	(void)state;
	(void)take_until(&name, "boundary=\"");
	name = str_cut(&name, '"');
	snprintf(text, sizeof(text), "A: b\r\n\r\n--%.*s--\r\n\r\nfree!\r\n",
	    STR_ARG(name));
	buf_clear(&r.text);
	f.original = str_from(text);
	f.ret = SMTP_RET_FULL;
	r = print(&f);
	assert_true(has(r.parts[2], "free!"));
	buf_clear(&r.text);
}

static void
test_full_buffer(void **state)
{
	struct bounce_facts f = make_facts();
	struct buf out;
	bool eight_bit;

	(void)state;
	buf_init(&out, 1000);
	assert_false(bounce_print(&f, &out, &eight_bit));
	buf_clear(&out);
}

static void
test_remote(void **state)
{
	static const char *const table[][2] = {
	    {"192.0.2.9:25", "dns; [192.0.2.9]"},
	    {"[2001:db8::9]:25", "dns; [IPv6:2001:db8::9]"},
	    {"mx.example.org[192.0.2.9]:25", "dns; mx.example.org"},
	    {"unix:/run/mta", "x-local; unix:/run/mta"},
	    {"lmtp:192.0.2.9:24", "x-local; lmtp:192.0.2.9:24"},
	    {"odd", "dns; [odd]"},
	};
	struct bounce_recipient r = bob;
	struct bounce_facts f = make_facts();
	char line[128];

	(void)state;
	f.rcpts = &r;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf out;
		bool eight_bit;

		r.remote = str_from(table[i][0]);
		buf_init(&out, 65536);
		assert_true(bounce_print(&f, &out, &eight_bit));
		snprintf(
		    line, sizeof(line), "\r\nRemote-MTA: %s\r\n", table[i][1]);
		if (!has(buf_str(&out), line))
			fail_msg("no %s", line);
		/* For people it stays as it is in the log. */
		snprintf(line, sizeof(line), "    %s said: ", table[i][0]);
		assert_true(has(buf_str(&out), line));
		buf_clear(&out);
	}
}

/* A 16th of the recipients that the spool takes, each with all that can be said
 * of it: 16 times as much has room. */
static void
test_longest(void **state)
{
	static struct bounce_recipient rcpts[4096 / 16];
	static char address[65536], ascii[65536];
	struct bounce_facts f = make_facts();
	bool eight_bit;

	(void)state;
	for (size_t i = 0; i < sizeof(address); i++)
		address[i] = "\xc3\xbc"[i % 2];
	memset(ascii, 'a', sizeof(ascii));
	ascii[6] = ';';
	for (size_t i = 0; i < ARRAY_LEN(rcpts); i++)
		rcpts[i] = (struct bounce_recipient){
		    .action = i % 2 ? BOUNCE_FAILED : BOUNCE_DELAYED,
		    .address = {address, sizeof(address)},
		    .orcpt = {ascii, sizeof(ascii)},
		    .status = STR("5.1.1"),
		    .reason = {ascii, 256},
		    .reply = {ascii, sizeof(ascii)},
		    .remote = {ascii, 320},
		    .retry_until = WALL,
		};
	f.rcpts = rcpts;
	f.rcpt_count = ARRAY_LEN(rcpts);
	f.original = (struct str){ascii, sizeof(ascii)};
	{
		struct buf out;

		buf_init(&out, BOUNCE_TEXT_MAX);
		assert_true(bounce_print(&f, &out, &eight_bit));
		assert_true(out.len <= BOUNCE_TEXT_MAX / 16);
		buf_clear(&out);
	}
}

static void
test_date(void **state)
{
	char out[BOUNCE_DATE_MAX];

	(void)state;
	assert_string_equal(
	    bounce_date(0, out), "Thu, 1 Jan 1970 00:00:00 +0000");
	assert_string_equal(
	    bounce_date(951782400000, out), "Tue, 29 Feb 2000 00:00:00 +0000");
	/* Not a date: still one. */
	assert_true(strlen(bounce_date(INT64_MAX, out)) > 0);
}

/* A outcome each: a paragraph each in the order of what matters, and the whole
 * original for a failure alone. */
static void
test_actions(void **state)
{
	static const char *const names[] = {
	    "failed", "delayed", "relayed", "delivered"};
	struct bounce_facts f = make_facts();
	struct bounce_recipient all[4];
	struct report r;
	struct str s, group;
	char text[64];

	(void)state;
	for (int i = 0; i < 4; i++) {
		all[3 - i] = bob;
		all[3 - i].action = (enum bounce_action)i;
	}
	all[2].retry_until = WALL + 60000;
	f.rcpts = all;
	f.rcpt_count = 4;
	f.ret = SMTP_RET_FULL;
	r = print(&f);
	assert_clean(buf_str(&r.text), true);
	assert_true(has(r.header, "Subject: Undelivered mail"));
	s = r.parts[0];
	(void)take_until(&s, "could not be");
	(void)take_until(&s, "still queued");
	(void)take_until(&s, "was relayed");
	(void)take_until(&s, "was delivered");
	assert_true(has(s, "postmaster@example.org"));
	s = r.parts[1];
	for (int i = 3; i >= 0; i--) {
		snprintf(text, sizeof(text), "Action: %s\r\n", names[i]);
		(void)take_until(&s, text);
		group = take_until(&s, "\r\n\r\n");
		assert_int_equal(has(group, "Will-Retry"), i == BOUNCE_DELAYED);
	}
	assert_true(has(r.parts[2], "a secret body"));
	buf_clear(&r.text);

	f.rcpt_count = 3;
	r = print(&f);
	assert_true(has(r.header, "Subject: Delayed mail"));
	assert_false(has(r.parts[2], "a secret body"));
	buf_clear(&r.text);
	f.rcpt_count = 2;
	r = print(&f);
	assert_true(has(r.header, "Subject: Successful mail"));
	buf_clear(&r.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_structure),
	    cmocka_unit_test(test_delivery_status),
	    cmocka_unit_test(test_damaged_addresses),
	    cmocka_unit_test(test_every_recipient_once),
	    cmocka_unit_test(test_what_is_returned),
	    cmocka_unit_test(test_cut_header),
	    cmocka_unit_test(test_eight_bit),
	    cmocka_unit_test(test_long_header_line),
	    cmocka_unit_test(test_utf8_addresses),
	    cmocka_unit_test(test_hostile_facts),
	    cmocka_unit_test(test_boundary_is_not_in_original),
	    cmocka_unit_test(test_full_buffer),
	    cmocka_unit_test(test_actions),
	    cmocka_unit_test(test_remote),
	    cmocka_unit_test(test_longest),
	    cmocka_unit_test(test_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
