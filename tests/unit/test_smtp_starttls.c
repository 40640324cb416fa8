/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STARTTLS in both engines (RFC 3207): when it is offered, what is forgotten
 * after it, and what a man in the middle puts behind it in plain.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "smtp/client.h"
#include "smtp/server.h"

#define NOW 1000

struct owner {
	struct smtp_server *server;
	struct smtp_client *client;
	struct buf out;
	unsigned asked, resets, ready, failed;
	uint32_t ext;
	char why[200];
	enum smtp_server_end end;
	bool closed;
};

static void
on_write(void *arg, const char *p, size_t n)
{
	assert_true(buf_append(&((struct owner *)arg)->out, p, n));
}

static void
on_starttls(void *arg)
{
	((struct owner *)arg)->asked++;
}

/* ---- server ---- */

static void
on_helo(void *arg, struct str name, bool esmtp)
{
	struct owner *o = arg;
	struct smtp_caps caps = {.ext = SMTP_EXT_ENHANCED | SMTP_EXT_STARTTLS};

	(void)name;
	(void)esmtp;
	smtp_server_helo_done(o->server, &caps, NOW);
}

static void
on_mail(void *arg, const struct smtp_mail *mail)
{
	struct smtp_reply ok = smtp_reply_make(250, "2.1.0", "ok");

	(void)mail;
	smtp_server_reply(((struct owner *)arg)->server, &ok, NOW);
}

static void
on_rcpt(void *arg, const struct smtp_rcpt *rcpt)
{
	struct smtp_reply ok = smtp_reply_make(250, "2.1.5", "ok");

	(void)rcpt;
	smtp_server_reply(((struct owner *)arg)->server, &ok, NOW);
}

static void
on_reset(void *arg)
{
	((struct owner *)arg)->resets++;
}

static void
on_close(void *arg, enum smtp_server_end why)
{
	struct owner *o = arg;

	o->closed = true;
	o->end = why;
}

static const struct smtp_server_ops server_ops = {
    .write = on_write,
    .on_helo = on_helo,
    .on_mail = on_mail,
    .on_rcpt = on_rcpt,
    .on_starttls = on_starttls,
    .on_reset = on_reset,
    .on_close = on_close,
};

static const struct smtp_server_limits limits = {
    .line_max = 512, .command_timeout_ms = 1000};

static void
open_server(struct owner *o, enum smtp_server_tls tls)
{
	*o = (struct owner){0};
	buf_init(&o->out, 65536);
	o->server = smtp_server_new(&limits, "mx", &server_ops, o);
	smtp_server_set_tls(o->server, tls);
	smtp_server_greet(o->server, false, NOW);
}

static void
close_server(struct owner *o)
{
	smtp_server_free(o->server);
	buf_clear(&o->out);
}

/* Says it and expects this much of the reply's beginning. */
static void
expect(struct owner *o, const char *say, const char *reply)
{
	struct str want = str_from(reply);

	buf_reset(&o->out);
	smtp_server_feed(o->server, say, strlen(say), NOW);
	if (!str_starts(buf_str(&o->out), want))
		fail_msg("%s: \"%.*s\" instead of \"%s\"", say,
		    STR_ARG(buf_str(&o->out)), reply);
}

static bool
does_offer(enum smtp_server_tls tls)
{
	struct owner o;
	char *text;
	bool is_there;

	open_server(&o, tls);
	expect(&o, "EHLO me\r\n", "250");
	text = buf_take(&o.out);
	is_there = strstr(text, "STARTTLS") != NULL;
	free(text);
	close_server(&o);
	return is_there;
}

static void
test_offer(void **state)
{
	(void)state;
	assert_false(does_offer(SMTP_SERVER_TLS_NONE));
	assert_true(does_offer(SMTP_SERVER_TLS_OFFER));
	assert_true(does_offer(SMTP_SERVER_TLS_REQUIRE));
	assert_false(does_offer(SMTP_SERVER_TLS_ACTIVE));
}

static void
test_when(void **state)
{
	struct owner o;

	(void)state;
	open_server(&o, SMTP_SERVER_TLS_NONE);
	expect(&o, "EHLO me\r\nSTARTTLS\r\n", "554"); /* behind EHLO */
	close_server(&o);
	open_server(&o, SMTP_SERVER_TLS_NONE);
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "STARTTLS\r\n", "502 5.5.1");
	close_server(&o);
	open_server(&o, SMTP_SERVER_TLS_OFFER);
	expect(&o, "STARTTLS\r\n", "503"); /* before EHLO */
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "STARTTLS now\r\n", "501");
	expect(&o, "STARTTLS\r\n", "220 2.0.0");
	assert_int_equal(o.asked, 1);
	assert_true(smtp_server_is_waiting(o.server));
	assert_true(smtp_server_next_due(o.server) == INT64_MAX);
	smtp_server_tls_done(o.server, NOW);
	assert_int_equal(smtp_server_next_due(o.server), NOW + 1000);
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "STARTTLS\r\n", "503 5.5.1");
	assert_int_equal(o.asked, 1);
	close_server(&o);
}

static void
test_require(void **state)
{
	static const char *const refused[] = {"MAIL FROM:<a@x>\r\n",
	    "RCPT TO:<a@x>\r\n", "DATA\r\n", "RSET\r\n", "VRFY a\r\n",
	    "HELP\r\n"};
	struct owner o;

	(void)state;
	open_server(&o, SMTP_SERVER_TLS_REQUIRE);
	expect(&o, "EHLO me\r\n", "250");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		expect(&o, refused[i], "530 5.7.0 ");
	/* Its octets are no commands here either. */
	expect(&o, "BDAT 6 LAST\r\nQUIT\r\n", "530 5.7.0 ");
	assert_false(o.closed);
	expect(&o, "NOOP\r\n", "250");
	expect(&o, "HELO me\r\n", "250");
	expect(&o, "STARTTLS\r\n", "220");
	smtp_server_tls_done(o.server, NOW);
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "MAIL FROM:<a@x>\r\n", "250");
	close_server(&o);
}

static void
test_forgets(void **state)
{
	struct owner o;

	(void)state;
	open_server(&o, SMTP_SERVER_TLS_OFFER);
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n", "250");
	expect(&o, "STARTTLS\r\n", "220");
	assert_int_equal(o.resets, 1);
	smtp_server_tls_done(o.server, NOW);
	assert_int_equal(smtp_server_helo(o.server).n, 0);
	assert_false(smtp_server_is_esmtp(o.server));
	expect(&o, "DATA\r\n", "503 send EHLO");
	expect(&o, "MAIL FROM:<a@x>\r\n", "503 send EHLO");
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "RCPT TO:<b@x>\r\n", "503");
	close_server(&o);
}

static void
test_server_injection(void **state)
{
	struct owner o;

	(void)state;
	/* In one piece with the verb. */
	open_server(&o, SMTP_SERVER_TLS_OFFER);
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "STARTTLS\r\nEHLO evil\r\n", "554 5.5.0 illegal pipelining");
	assert_true(o.closed && o.end == SMTP_SERVER_PROTOCOL);
	assert_int_equal(o.asked, 0);
	close_server(&o);
	/* Between the 220 and the handshake. */
	open_server(&o, SMTP_SERVER_TLS_OFFER);
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "STARTTLS\r\n", "220");
	assert_int_equal(smtp_server_feed(o.server, "RSET\r\n", 6, NOW), 0);
	buf_reset(&o.out);
	smtp_server_tls_done(o.server, NOW);
	assert_true(o.closed && o.end == SMTP_SERVER_PROTOCOL);
	close_server(&o);
}

/* The connection goes while the handshake is under way. */
static void
test_server_ends_within(void **state)
{
	struct owner o;

	(void)state;
	open_server(&o, SMTP_SERVER_TLS_OFFER);
	expect(&o, "EHLO me\r\n", "250");
	expect(&o, "STARTTLS\r\n", "220");
	smtp_server_close(o.server, NULL, NOW);
	assert_true(o.closed);
	smtp_server_tls_done(o.server, NOW); /* too late: ignored */
	close_server(&o);
}

/* ---- client ---- */

static void
on_ready(void *arg, const struct smtp_caps *caps)
{
	struct owner *o = arg;

	o->ready++;
	o->ext = caps->ext;
}

static void
on_fail(void *arg, const struct smtp_reply *reply)
{
	struct owner *o = arg;

	o->failed++;
	assert_int_equal(reply->code / 100, 4);
	str_copy(reply->text, o->why, sizeof(o->why));
}

static const struct smtp_client_ops client_ops = {
    .write = on_write,
    .on_ready = on_ready,
    .on_starttls = on_starttls,
    .on_fail = on_fail,
};

static const struct smtp_client_timeouts timeouts = {
    .greeting_ms = 100, .command_ms = 200, .data_ms = 300, .end_ms = 400};

static void
hear(struct owner *o, const char *text)
{
	smtp_client_feed(o->client, text, strlen(text), NOW);
}

static void
expect_said(struct owner *o, const char *text)
{
	if (!str_eq(buf_str(&o->out), str_from(text)))
		fail_msg("said \"%.*s\", not \"%s\"", STR_ARG(buf_str(&o->out)),
		    text);
	buf_reset(&o->out);
}

static void
open_client(struct owner *o, enum smtp_client_tls tls)
{
	*o = (struct owner){0};
	buf_init(&o->out, 65536);
	o->client = smtp_client_new("me", &timeouts, &client_ops, o, NOW);
	smtp_client_set_tls(o->client, tls);
	hear(o, "220 hi\r\n");
	expect_said(o, "EHLO me\r\n");
}

static void
close_client(struct owner *o)
{
	smtp_client_free(o->client);
	buf_clear(&o->out);
}

static void
open_to_220(struct owner *o)
{
	open_client(o, SMTP_CLIENT_TLS_REQUIRE);
	hear(o, "250-hop\r\n250-DSN\r\n250 STARTTLS\r\n");
	expect_said(o, "STARTTLS\r\n");
	assert_int_equal(o->ready, 0);
}

static void
test_client(void **state)
{
	struct owner o;

	(void)state;
	open_to_220(&o);
	hear(&o, "220 go\r\n");
	assert_int_equal(o.asked, 1);
	assert_true(smtp_client_next_due(o.client) == INT64_MAX);
	smtp_client_tls_done(o.client, NOW);
	expect_said(&o, "EHLO me\r\n");
	/* STARTTLS again is not answered; DSN was another's word. */
	hear(&o, "250-hop\r\n250-STARTTLS\r\n250 PIPELINING\r\n");
	assert_int_equal(o.ready, 1);
	assert_int_equal(o.ext, SMTP_EXT_PIPELINING | SMTP_EXT_STARTTLS);
	expect_said(&o, "");
	close_client(&o);
}

static void
test_client_injection(void **state)
{
	static const char *const behind[] = {"220 go\r\n250 evil\r\n",
	    "220 go\r\n2", "220-go\r\n220 go\r\n\r\n"};
	struct owner o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(behind); i++) {
		open_to_220(&o);
		hear(&o, behind[i]);
		assert_int_equal(o.asked, 0);
		assert_int_equal(o.failed, 1);
		assert_non_null(strstr(o.why, "plaintext data after"));
		close_client(&o);
	}
	/* With the 220's own line cut, and after it. */
	open_to_220(&o);
	hear(&o, "220 g");
	hear(&o, "o\r\n250 evil\r\n");
	assert_int_equal(o.asked, 0);
	assert_int_equal(o.failed, 1);
	close_client(&o);
	open_to_220(&o);
	hear(&o, "220 go\r\n");
	hear(&o, "250 evil\r\n");
	assert_int_equal(o.asked, 1);
	assert_int_equal(o.failed, 1);
	smtp_client_tls_done(o.client, NOW);
	expect_said(&o, "");
	close_client(&o);
}

static void
test_client_levels(void **state)
{
	static const struct {
		enum smtp_client_tls tls;
		const char *ehlo, *answer;
		unsigned ready;
		const char *why;
	} cases[] = {
	    {SMTP_CLIENT_TLS_NONE, "250 STARTTLS", NULL, 1, ""},
	    {SMTP_CLIENT_TLS_NONE, "250-hop\r\n250 STARTTLS", NULL, 1, ""},
	    {SMTP_CLIENT_TLS_MAY, "250 hop", NULL, 1, ""},
	    {SMTP_CLIENT_TLS_MAY, "250-hop\r\n250 STARTTLS", "454 no", 1, ""},
	    {SMTP_CLIENT_TLS_MAY, "250-hop\r\n250 STARTTLS", "500 what", 1, ""},
	    {SMTP_CLIENT_TLS_REQUIRE, "250 hop", NULL, 0, "is not offered"},
	    {SMTP_CLIENT_TLS_MAY, "250-hop\r\n250 STARTTLS", "250 ok", 0,
		"invalid reply code"},
	    {SMTP_CLIENT_TLS_REQUIRE, "250-hop\r\n250 STARTTLS", "554 no", 0,
		"was refused"},
	    {SMTP_CLIENT_TLS_REQUIRE, "250-hop\r\n250 STARTTLS", "421 bye", 0,
		"bye"},
	    {SMTP_CLIENT_TLS_REQUIRE, "500 what", "250 hop", 0,
		"is not offered"},
	    {SMTP_CLIENT_TLS_MAY, "500 what", "250 hop", 1, ""},
	};
	struct owner o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		open_client(&o, cases[i].tls);
		hear(&o, cases[i].ehlo);
		hear(&o, "\r\n");
		if (cases[i].answer != NULL) {
			hear(&o, cases[i].answer);
			hear(&o, "\r\n");
		}
		assert_int_equal(o.ready, cases[i].ready);
		assert_int_equal(o.failed, 1 - cases[i].ready);
		assert_non_null(strstr(o.why, cases[i].why));
		close_client(&o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_offer),
	    cmocka_unit_test(test_when),
	    cmocka_unit_test(test_require),
	    cmocka_unit_test(test_forgets),
	    cmocka_unit_test(test_server_injection),
	    cmocka_unit_test(test_server_ends_within),
	    cmocka_unit_test(test_client),
	    cmocka_unit_test(test_client_injection),
	    cmocka_unit_test(test_client_levels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
