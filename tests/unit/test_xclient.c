/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XCLIENT and XFORWARD attributes: read, refused, written within 512 bytes, and
 * read back as they were.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "smtp/xclient.h"

static void
test_read(void **state)
{
	struct xclient x;
	const char *why;
	char ip[IP_TEXT_MAX];

	(void)state;
	assert_true(xclient_parse(
	    STR("NAME=mail.example.com ADDR=192.0.2.7 port=4711 PROTO=ESMTP  "
		"HELO=client LOGIN=alice+40example.org DESTADDR=IPV6:2001:"
		"db8::25 DESTPORT=587"),
	    XCLIENT_ATTRS, &x, &why));
	assert_int_equal(x.given, XCLIENT_ATTRS);
	assert_string_equal(x.name, "mail.example.com");
	assert_string_equal(ip_format(&x.addr, ip), "192.0.2.7");
	assert_int_equal(x.port, 4711);
	assert_true(x.esmtp);
	assert_string_equal(x.helo, "client");
	assert_string_equal(x.login, "alice@example.org");
	assert_string_equal(ip_format(&x.dest_addr, ip), "2001:db8::25");
	assert_int_equal(x.dest_port, 587);

	assert_true(xclient_parse(STR("ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL] "
				      "LOGIN=[unavailable]"),
	    XCLIENT_ATTRS, &x, &why));
	assert_int_equal(x.addr.family, IP_NONE);
	assert_string_equal(x.name, "");
	assert_string_equal(x.login, "");
	assert_int_equal(x.given, XCLIENT_ADDR | XCLIENT_NAME | XCLIENT_LOGIN);
	assert_int_equal(x.temp, XCLIENT_NAME);

	assert_true(
	    xclient_parse(STR("LOGIN=john+20+20doe"), XCLIENT_ATTRS, &x, &why));
	assert_string_equal(x.login, "john  doe");
	assert_true(xclient_parse(
	    STR("IDENT=4Xabc SOURCE=LOCAL"), XFORWARD_ATTRS, &x, &why));
	assert_string_equal(x.ident, "4Xabc");
	assert_true(x.local);
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {"", "  ", "NAME", "FOO=bar",
	    "ADDR=", "ADDR=1.2.3", "ADDR=mail.example.com",
	    "ADDR=1.2.3.4 ADDR=1.2.3.5", "PORT=-1", "PORT=65536", "PORT=1x",
	    "PROTO=HTTP", "NAME=a+", "NAME=a+4", "NAME=a+ZZ", "NAME=a+0Ab",
	    "NAME=a+20b", "NAME=a+00b", "HELO=a(b)", "HELO=a<b", "LOGIN=a+0Ab",
	    "LOGIN=+20", "LOGIN=+20a", "LOGIN=a+20", "LOGIN=a+20+0Ab",
	    "LOGIN=a+20b+20+C2+85", "LOGIN=a+09b", "LOGIN=a+7Fb", "LOGIN=+FF",
	    "LOGIN=+C2+85", "HELO=+C2+9Fx", "DESTPORT=", "IDENT=x",
	    "SOURCE=LOCAL"};
	char longer[300];
	struct xclient x;
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		why = NULL;
		if (xclient_parse(str_from(bad[i]), XCLIENT_ATTRS, &x, &why))
			fail_msg("taken: %s", bad[i]);
		assert_non_null(why);
	}
	snprintf(longer, sizeof(longer), "NAME=%0256d", 1);
	assert_false(xclient_parse(str_from(longer), XCLIENT_ATTRS, &x, &why));
	assert_false(xclient_parse(STR("LOGIN=x"), XFORWARD_ATTRS, &x, &why));
}

static void
test_written(void **state)
{
	struct xclient x = {.given = XCLIENT_ATTRS,
	    .helo = "cli",
	    .login = "a=b+c d\xC3\xA4",
	    .port = 25,
	    .esmtp = true};
	struct buf out;
	unsigned commands;

	(void)state;
	assert_true(ip_parse(STR("2001:db8::1"), &x.addr));
	buf_init(&out, 4096);
	assert_true(
	    xclient_print(&x, ~(unsigned)XCLIENT_DESTADDR, &out, &commands));
	assert_int_equal(commands, 1);
	assert_true(str_eq(buf_str(&out),
	    STR("XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 PORT=25 "
		"PROTO=ESMTP HELO=cli DESTPORT=[UNAVAILABLE] "
		"LOGIN=a+3Db+2Bc+20d+C3+A4\r\n")));
	buf_reset(&out);
	x.temp = XCLIENT_ATTRS;
	assert_true(xclient_print(&x,
	    XCLIENT_NAME | XCLIENT_DESTADDR | XCLIENT_HELO, &out, &commands));
	assert_true(
	    str_eq(buf_str(&out), STR("XCLIENT NAME=[TEMPUNAVAIL] HELO=cli "
				      "DESTADDR=[TEMPUNAVAIL]\r\n")));
	buf_reset(&out);
	assert_true(xclient_print(&x, 0, &out, &commands));
	assert_int_equal(commands, 0);
	assert_int_equal(out.len, 0);
	buf_clear(&out);
}

/* Whatever fits its field comes over, in commands of at most 512 bytes. */
static void
test_long_values(void **state)
{
	struct xclient x = {.given = XCLIENT_ATTRS}, back = {0}, part;
	struct str rest, line;
	struct buf out;
	unsigned commands, lines = 0;
	const char *why;

	(void)state;
	memset(x.name, 'n', 255);
	memset(x.helo, 'h', 255);
	memset(x.login, '+', 160);
	buf_init(&out, 8192);
	assert_true(xclient_print(&x, XCLIENT_ATTRS, &out, &commands));
	for (rest = buf_str(&out); rest.n > 0; lines++) {
		line = str_cut(&rest, '\n');
		assert_true(line.n + 1 <= XCLIENT_LINE_MAX);
		assert_true(str_starts(line, STR("XCLIENT ")));
		assert_true(line.p[line.n - 1] == '\r');
		line = str_sub(line, 8, line.n - 9);
		assert_true(xclient_parse(line, XCLIENT_ATTRS, &part, &why));
		if (part.given & XCLIENT_NAME)
			memcpy(back.name, part.name, sizeof(back.name));
		if (part.given & XCLIENT_HELO)
			memcpy(back.helo, part.helo, sizeof(back.helo));
		if (part.given & XCLIENT_LOGIN)
			memcpy(back.login, part.login, sizeof(back.login));
		back.given |= part.given;
	}
	assert_int_equal(lines, commands);
	assert_int_equal(back.given, XCLIENT_ATTRS);
	/* Each command forgets the login that came before it. */
	assert_true(lines > 1 && (part.given & XCLIENT_LOGIN) != 0);
	assert_string_equal(back.name, x.name);
	assert_string_equal(back.helo, x.helo);
	assert_string_equal(back.login, x.login);
	buf_reset(&out);
	/* 765 bytes of xtext fit no command. */
	memset(x.login, '+', 255);
	assert_true(xclient_print(&x, XCLIENT_LOGIN, &out, &commands));
	assert_int_equal(commands, 0);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_written),
	    cmocka_unit_test(test_long_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
