/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replies in wire form, the parser of a next hop's replies (each stream also
 * byte by byte), and extensions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "smtp/ext.h"
#include "smtp/reply.h"
#include "smtp/sasl.h"
#include "smtp/xclient.h"

static const struct {
	unsigned code;
	const char *enhanced, *text;
	bool with;
	const char *wire;
} printed[] = {
    {250, "2.0.0", "ok", true, "250 2.0.0 ok\r\n"},
    {250, "2.0.0", "ok", false, "250 ok\r\n"},
    {354, "", "go", true, "354 go\r\n"},
    {250, "", "", true, "250 \r\n"},
    {550, "5.7.1", "one\ntwo\r\nthree\n", true,
	"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\r\n"},
    {550, "", "a\rb\x01\x7F\tc", true, "550 a?b??\tc\r\n"},
    {550, "", "\n\nx", true, "550-\r\n550-\r\n550 x\r\n"},
    /* What a terminal obeys in UTF-8, and what is none. */
    {550, "",
	"a\x1b[2J\xc2\x9b"
	"2J\xff\xe2\x80\xae"
	"b\xc3\xb6",
	true, "550 a?[2J??2J????b\xc3\xb6\r\n"},
};

static void
test_print(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < ARRAY_LEN(printed); i++) {
		struct smtp_reply r = smtp_reply_make(
		    printed[i].code, printed[i].enhanced, printed[i].text);

		assert_true(smtp_reply_print(&r, printed[i].with, &out));
		assert_true(str_eq(buf_str(&out), str_from(printed[i].wire)));
		buf_reset(&out);
	}
	struct smtp_reply nul = {.code = 250, .text = STR("a\0b")};

	assert_true(smtp_reply_print(&nul, true, &out));
	assert_true(str_eq(buf_str(&out), STR("250 a?b\r\n")));
	buf_clear(&out);
}

static void
check_lines(struct str wire, size_t *text_bytes)
{
	*text_bytes = 0;
	while (wire.n > 0) {
		struct str line = str_cut(&wire, '\n');

		assert_true(line.n + 1 <= 512);
		assert_int_equal(line.p[line.n - 1], '\r');
		line = str_sub(line, 10, line.n - 11);
		assert_true(str_is_utf8(line));
		*text_bytes += line.n;
	}
}

/* Long lines are folded, at a blank if there is one, else between characters;
 * nothing is lost. */
static void
test_print_long(void **state)
{
	static const char *const units[] = {
	    "word ", "x", "\xC3\xBC", "\xF0\x9F\x98\x80"};
	char text[3001];
	struct buf out;
	size_t bytes;

	(void)state;
	buf_init(&out, 8192);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t n = strlen(units[i]), len = 0;

		while (len + n < sizeof(text)) {
			memcpy(text + len, units[i], n);
			len += n;
		}
		text[len] = '\0';
		struct smtp_reply r = smtp_reply_make(550, "5.7.1", text);

		assert_true(smtp_reply_print(&r, true, &out));
		check_lines(buf_str(&out), &bytes);
		assert_int_equal(bytes, len);
		buf_reset(&out);
	}
	buf_clear(&out);
}

static void
test_print_full(void **state)
{
	struct smtp_reply r = smtp_reply_make(550, "5.7.1", "one\ntwo");
	struct buf out;

	(void)state;
	buf_init(&out, 25);
	assert_true(buf_append_str(&out, STR("x")));
	assert_false(smtp_reply_print(&r, true, &out));
	assert_true(str_eq(buf_str(&out), STR("x")));
	buf_clear(&out);
}

static const struct {
	struct str in;
	enum smtp_reply_state state;
	unsigned code;
	const char *enhanced, *text;
	size_t left;
} parsed[] = {
    {STR("250 ok\r\n"), SMTP_REPLY_DONE, 250, "", "ok", 0},
    {STR("250 2.1.0 ok\r\n250 x"), SMTP_REPLY_DONE, 250, "2.1.0", "ok", 5},
    {STR("250 ok\n"), SMTP_REPLY_DONE, 250, "", "ok", 0},
    {STR("250\r\n"), SMTP_REPLY_DONE, 250, "", "", 0},
    {STR("250 2.0.0\r\n"), SMTP_REPLY_DONE, 250, "2.0.0", "", 0},
    {STR("250-a\r\n250-\r\n250 b\r\n"), SMTP_REPLY_DONE, 250, "", "a\n\nb", 0},
    {STR("550-5.7.1 a\r\n550-5.7.2 b\r\n550 5.7.1 c\r\n"), SMTP_REPLY_DONE, 550,
	"5.7.1", "a\n5.7.2 b\nc", 0},
    {STR("550 4.7.1 x\r\n"), SMTP_REPLY_DONE, 550, "", "4.7.1 x", 0},
    {STR("550 5.7.1234 x\r\n"), SMTP_REPLY_DONE, 550, "", "5.7.1234 x", 0},
    {STR("550 5.777.123 x\r\n"), SMTP_REPLY_DONE, 550, "5.777.123", "x", 0},
    {STR("354 3.0.0 x\r\n"), SMTP_REPLY_DONE, 354, "", "3.0.0 x", 0},
    {STR("550 5.7. x\r\n"), SMTP_REPLY_DONE, 550, "", "5.7. x", 0},
    {STR("250-a\r\n"), SMTP_REPLY_MORE, 0, "", "", 0},
    {STR("250-a\r\n250 b"), SMTP_REPLY_MORE, 0, "", "", 5},
    {STR("250-a\r\n251 b\r\n"), SMTP_REPLY_BAD, 0, "", "", 0},
    {STR("hello\r\n"), SMTP_REPLY_BAD, 0, "", "", 0},
    {STR("25\r\n"), SMTP_REPLY_BAD, 0, "", "", 0},
    {STR("\r\n"), SMTP_REPLY_BAD, 0, "", "", 0},
    {STR("2500 x\r\n"), SMTP_REPLY_BAD, 0, "", "", 0},
    {STR("199 x\r\n"), SMTP_REPLY_BAD, 0, "", "", 0},
    {STR("600 x\r\n"), SMTP_REPLY_BAD, 0, "", "", 0},
    {STR("250 a\0b\r\n"), SMTP_REPLY_BAD, 0, "", "", 0},
};

/* step: bytes that are added each time. */
static enum smtp_reply_state
parse(struct smtp_reply_parser *p, struct str in, size_t step,
    struct smtp_reply *r, size_t *left)
{
	enum smtp_reply_state state = SMTP_REPLY_MORE;
	struct str have = {in.p, 0};

	while (state == SMTP_REPLY_MORE && have.p + have.n < in.p + in.n) {
		size_t more = (size_t)(in.p + in.n - have.p) - have.n;

		have.n += more < step ? more : step;
		state = smtp_reply_parse(p, &have, r);
	}
	*left = (size_t)(in.p + in.n - have.p);
	return state;
}

static void
test_parse(void **state)
{
	struct smtp_reply_parser p;
	struct smtp_reply r;
	size_t left;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parsed); i++) {
		for (size_t step = 1; step < 40; step++) {
			enum smtp_reply_state got;

			smtp_reply_parser_init(&p);
			got = parse(&p, parsed[i].in, step, &r, &left);
			assert_int_equal(got, parsed[i].state);
			if (got != SMTP_REPLY_BAD)
				assert_int_equal(left, parsed[i].left);
			if (got == SMTP_REPLY_DONE) {
				assert_int_equal(r.code, parsed[i].code);
				assert_string_equal(
				    r.enhanced, parsed[i].enhanced);
				assert_true(
				    str_eq(r.text, str_from(parsed[i].text)));
			}
			smtp_reply_parser_clear(&p);
		}
	}
}

static void
test_parse_one_after_another(void **state)
{
	struct str in =
	    STR("250-2.0.0 a\r\n250 2.0.0 b\r\n354 go\r\n550 x\r\n");
	struct smtp_reply_parser p;
	struct smtp_reply r;

	(void)state;
	smtp_reply_parser_init(&p);
	assert_int_equal(smtp_reply_parse(&p, &in, &r), SMTP_REPLY_DONE);
	assert_true(str_eq(r.text, STR("a\nb")));
	assert_int_equal(smtp_reply_parse(&p, &in, &r), SMTP_REPLY_DONE);
	assert_int_equal(r.code, 354);
	assert_string_equal(r.enhanced, "");
	assert_true(str_eq(r.text, STR("go")));
	assert_int_equal(smtp_reply_parse(&p, &in, &r), SMTP_REPLY_DONE);
	assert_int_equal(r.code, 550);
	assert_int_equal(smtp_reply_parse(&p, &in, &r), SMTP_REPLY_MORE);
	smtp_reply_parser_clear(&p);
}

static void
test_parse_bounds(void **state)
{
	static char big[10000];
	struct smtp_reply_parser p;
	struct smtp_reply r;
	struct str in;
	size_t n = 0;

	(void)state;
	/* Endless lines, endless replies. */
	memset(big, 'x', sizeof(big));
	memcpy(big, "250 ", 4);
	in = (struct str){big, 4096};
	smtp_reply_parser_init(&p);
	assert_int_equal(smtp_reply_parse(&p, &in, &r), SMTP_REPLY_BAD);
	smtp_reply_parser_clear(&p);
	for (int i = 0; i < 129; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n, "250-x\r\n");
	in = (struct str){big, n};
	assert_int_equal(smtp_reply_parse(&p, &in, &r), SMTP_REPLY_BAD);
	smtp_reply_parser_clear(&p);

	/* A long line is cut, and text past the cap is left out by lines. */
	memset(big, 'x', sizeof(big));
	for (size_t i = 0; i < 5; i++) {
		memcpy(big + i * 1502, i < 4 ? "250-" : "250 ", 4);
		memcpy(big + i * 1502 + 1500, "\r\n", 2);
	}
	in = (struct str){big, 5 * 1502};
	assert_int_equal(smtp_reply_parse(&p, &in, &r), SMTP_REPLY_DONE);
	assert_int_equal(r.text.n, 3 * 1024 + 2);
	smtp_reply_parser_clear(&p);
}

static void
test_wants_login(void **state)
{
	static const struct {
		unsigned code;
		const char *enhanced, *text;
		bool wants;
	} table[] = {
	    {530, "5.7.0", "Must issue a STARTTLS command first", true},
	    {538, "", "Encryption required", true},
	    {550, "5.7.57", "Client was not authenticated", true},
	    {554, "5.7.0", "Authentication Required", true},
	    {550, "", "relay not permitted, authentication required", true},
	    {503, "", "Error: need EHLO and AUTH first !", true},
	    {550, "5.7.26", "unauthenticated mail is not accepted", false},
	    {550, "5.7.1", "DMARC authentication failed", false},
	    {451, "4.7.0", "authentication required", false},
	    {550, "5.1.1", "", false},
	    {250, "2.0.0", "authentication required", false},
	};
	struct smtp_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		r = smtp_reply_make(
		    table[i].code, table[i].enhanced, table[i].text);
		if (smtp_reply_wants_login(&r) != table[i].wants)
			fail_msg("%u %s", table[i].code, table[i].text);
	}
}

static void
test_caps(void **state)
{
	static const char *const lines[] = {"PIPELINING", "size 1000",
	    "AUTH=LOGIN", "AUTH PLAIN", "x-unknown", "", "8BITMIME ", "SIZEX",
	    "dsn"};
	struct smtp_caps hop = {0};
	struct smtp_caps own = {.ext = SMTP_EXT_RELAYED, .size = 500}, both;
	char line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		smtp_caps_parse_line(&hop, str_from(lines[i]));
	assert_int_equal(hop.ext, SMTP_EXT_PIPELINING | SMTP_EXT_SIZE |
				      SMTP_EXT_AUTH | SMTP_EXT_8BITMIME |
				      SMTP_EXT_DSN);
	assert_int_equal(hop.size, 1000);
	both = smtp_caps_meet(&own, &hop);
	assert_int_equal(both.size, 500);
	own.size = 0;
	assert_int_equal(smtp_caps_meet(&own, &hop).size, 1000);
	/* Ours is said though the next hop says none. */
	own.size = 500;
	both = smtp_caps_meet(&own, &(struct smtp_caps){0});
	assert_int_equal(both.ext, SMTP_EXT_SIZE);
	assert_int_equal(both.size, 500);
	both = smtp_caps_meet(&own, &hop);
	assert_string_equal(
	    smtp_caps_line(&both, 0, line, sizeof(line)), "PIPELINING");
	assert_string_equal(
	    smtp_caps_line(&both, 1, line, sizeof(line)), "SIZE 500");
	assert_string_equal(
	    smtp_caps_line(&both, 2, line, sizeof(line)), "8BITMIME");
	assert_string_equal(
	    smtp_caps_line(&both, 3, line, sizeof(line)), "DSN");
	assert_null(smtp_caps_line(&both, 4, line, sizeof(line)));
	assert_int_equal(hop.auth, SASL_PLAIN | SASL_LOGIN);
	assert_int_equal(both.auth, 0);
	/* RFC 9422: the smaller limit, said only where the next hop says it. */
	smtp_caps_parse_line(&hop, STR("LIMITS MAILMAX=5 RCPTMAX=7 X RCPTMAX="
				       " RCPTMAX=0 RCPTMAX=-1"));
	assert_int_equal(hop.rcpt_max, 7);
	assert_int_equal(hop.mail_max, 5);
	own.rcpt_max = 100;
	both = smtp_caps_meet(&own, &hop);
	assert_int_equal(both.rcpt_max, 7);
	assert_string_equal(
	    smtp_caps_line(&both, 4, line, sizeof(line)), "LIMITS RCPTMAX=7");
	hop.ext &= ~(uint32_t)SMTP_EXT_LIMITS;
	hop.rcpt_max = 0;
	both = smtp_caps_meet(&own, &hop);
	assert_null(smtp_caps_line(&both, 4, line, sizeof(line)));
}

static void
test_caps_with_lists(void **state)
{
	struct smtp_caps hop = {0};
	char line[64];

	(void)state;
	smtp_caps_parse_line(
	    &hop, STR("AUTH DIGEST-MD5 oauthbearer CRAM-MD5  plain GSSAPI"));
	smtp_caps_parse_line(&hop, STR("XCLIENT NAME ADDR UNHEARD LOGIN"));
	smtp_caps_parse_line(&hop, STR("XFORWARD NAME ADDR"));
	assert_string_equal(smtp_caps_line(&hop, 0, line, sizeof(line)),
	    "AUTH PLAIN CRAM-MD5 OAUTHBEARER");
	assert_string_equal(smtp_caps_line(&hop, 1, line, sizeof(line)),
	    "XCLIENT NAME ADDR LOGIN");
	assert_string_equal(smtp_caps_line(&hop, 2, line, sizeof(line)),
	    "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE");
	assert_null(smtp_caps_line(&hop, 3, line, sizeof(line)));
	/* All there are fit the line that the engine has for them. */
	hop = (struct smtp_caps){.ext = SMTP_EXT_AUTH | SMTP_EXT_XCLIENT,
	    .auth = ~0u,
	    .xclient = XCLIENT_ATTRS};
	assert_string_equal(smtp_caps_line(&hop, 0, line, sizeof(line)),
	    "AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER");
	assert_string_equal(smtp_caps_line(&hop, 1, line, sizeof(line)),
	    "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT LOGIN");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_print),
	    cmocka_unit_test(test_print_long),
	    cmocka_unit_test(test_print_full),
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_parse_one_after_another),
	    cmocka_unit_test(test_parse_bounds),
	    cmocka_unit_test(test_wants_login),
	    cmocka_unit_test(test_caps),
	    cmocka_unit_test(test_caps_with_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
