/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AUTH, XCLIENT and XFORWARD in both engines: dialogues in one piece and a byte
 * at a time. The owner here takes the user "alice" alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "smtp_rig.h"

#include "smtp/client.h"

struct auth_rig {
	struct smtp_server *s;
	struct smtp_server_limits limits;
	struct buf out, in;
	struct str held; /* input that may not be taken yet */
	unsigned cancels, lines;
	bool closed, trusted;
	uint32_t ext;
	char last[64]; /* of the last XCLIENT: address and login */
};

static void
auth_write(void *arg, const char *p, size_t n)
{
	struct auth_rig *r = arg;

	assert_true(buf_append(&r->out, p, n));
}

static void
auth_helo(void *arg, struct str name, bool esmtp)
{
	struct auth_rig *r = arg;
	struct smtp_caps caps = {
	    .ext = SMTP_EXT_ENHANCED | SMTP_EXT_AUTH | r->ext,
	    .auth = SASL_PLAIN | SASL_LOGIN};

	(void)name;
	(void)esmtp;
	smtp_server_helo_done(r->s, &caps, 1);
}

static void
auth_decide(struct auth_rig *r, struct str line)
{
	struct smtp_reply ok = smtp_reply_make(235, "2.7.0", "welcome");
	struct smtp_reply no = smtp_reply_make(535, "5.7.8", "not you");

	if (str_eq(line, STR("AGFsaWNlAHg=")))
		smtp_server_auth_done(r->s, &ok, 1);
	else
		smtp_server_reply(r->s, &no, 1);
}

static void
on_auth(void *arg, enum sasl_mech mech, bool has_initial, struct str initial)
{
	struct auth_rig *r = arg;

	assert_true(smtp_server_is_in_auth(r->s));
	if (has_initial && mech == SASL_PLAIN)
		auth_decide(r, initial);
	else
		assert_true(smtp_server_auth_challenge(
		    r->s, mech == SASL_LOGIN ? STR("VXNlcjo=") : STR(""), 1));
}

static void
on_auth_line(void *arg, struct str line)
{
	struct auth_rig *r = arg;

	r->lines++;
	auth_decide(r, line);
}

static void
on_auth_cancel(void *arg)
{
	struct auth_rig *r = arg;

	r->cancels++;
}

static void
on_xclient(void *arg, const struct xclient *x)
{
	struct auth_rig *r = arg;
	char ip[IP_TEXT_MAX];
	struct smtp_reply full = smtp_reply_make(421, "4.7.0", "full");

	snprintf(r->last, sizeof(r->last), "%s %.10s", ip_format(&x->addr, ip),
	    x->login);
	if (x->port == 1)
		smtp_server_reply(r->s, &full, 1);
	else
		smtp_server_xclient_done(r->s, x->login[0] != '\0', 1);
}

static void
on_xforward(void *arg, const struct xclient *x)
{
	struct auth_rig *r = arg;
	struct smtp_reply ok = smtp_reply_make(250, "2.0.0", "noted");

	(void)x;
	smtp_server_reply(r->s, &ok, 1);
}

static void
auth_mail(void *arg, const struct smtp_mail *m)
{
	struct auth_rig *r = arg;
	struct smtp_reply ok = smtp_reply_make(250, "2.1.0", "ok");

	(void)m;
	smtp_server_reply(r->s, &ok, 1);
}

static void
auth_reset(void *arg)
{
	(void)arg;
}

static void
auth_close(void *arg, enum smtp_server_end why)
{
	struct auth_rig *r = arg;

	(void)why;
	r->closed = true;
}

static const struct smtp_server_ops auth_ops = {
    .write = auth_write,
    .on_helo = auth_helo,
    .on_mail = auth_mail,
    .on_reset = auth_reset,
    .on_close = auth_close,
    .on_auth = on_auth,
    .on_auth_line = on_auth_line,
    .on_auth_cancel = on_auth_cancel,
    .on_xclient = on_xclient,
    .on_xforward = on_xforward,
};

static void
auth_feed(struct auth_rig *r, const char *p, size_t n)
{
	assert_true(buf_append(&r->in, p, n));
	buf_consume(
	    &r->in, smtp_server_feed(r->s, buf_str(&r->in).p, r->in.len, 1));
}

/* Lines as a client that waits sends them; '&' keeps one with the next. */
static void
auth_say(struct auth_rig *r, const char *text, bool split)
{
	char line[SASL_LINE_MAX + 100];
	size_t n = 0;

	for (const char *p = text; *p != '\0' && !r->closed; p++) {
		if (*p == '|' || *p == '&') {
			line[n++] = '\r';
			line[n++] = '\n';
		} else {
			line[n++] = *p;
		}
		if (*p != '|' && !split)
			continue;
		auth_feed(r, line, n);
		n = 0;
	}
}

struct auth_dialogue {
	const char *name, *say, *want; /* without the greeting and EHLO */
	unsigned flags;
};

enum { TRUSTED = 1, TOGETHER = 2 };

#define RESTARTED "220 mx.example.org ESMTP\n"

static const struct auth_dialogue dialogues[] = {
    {"plain", "AUTH PLAIN AGFsaWNlAHg=|AUTH PLAIN AGFsaWNlAHg=|NOOP|",
	"235 2.7.0 welcome\n503 5.5.1 already authenticated\n250 2.0.0 OK\n",
	0},
    {"challenge", "auth plain|AGFsaWNlAHg=|", "334 \n235 2.7.0 welcome\n", 0},
    {"login", "AUTH LOGIN|AGFsaWNlAHg=|NOOP|",
	"334 VXNlcjo=\n235 2.7.0 welcome\n250 2.0.0 OK\n", 0},
    {"refused, and again", "AUTH PLAIN AAAA|AUTH PLAIN AGFsaWNlAHg=|",
	"535 5.7.8 not you\n235 2.7.0 welcome\n", 0},
    {"cancelled", "AUTH LOGIN|*|NOOP|",
	"334 VXNlcjo=\n501 5.7.0 authentication aborted\n250 2.0.0 OK\n", 0},
    {"a command is no response", "AUTH LOGIN|MAIL FROM:<a@b>|NOOP|",
	"334 VXNlcjo=\n501 5.5.2 the response is not base64\n250 2.0.0 OK\n",
	0},
    {"QUIT is base64", "AUTH PLAIN|QUIT|NOOP|",
	"334 \n535 5.7.8 not you\n250 2.0.0 OK\n", 0},
    {"= is no response", "AUTH PLAIN|=|",
	"334 \n501 5.5.2 the response is not base64\n", 0},
    {"mechanisms", "AUTH CRAM-MD5|AUTH|AUTH PLAIN a b|AUTH PLAIN @@@@|",
	"504 5.5.4 authentication mechanism not offered\n501 5.5.4 syntax: "
	"AUTH mechanism [initial-response]\n501 5.5.4 syntax: AUTH mechanism "
	"[initial-response]\n501 5.5.2 the initial response is not base64\n",
	0},
    {"in a transaction", "MAIL FROM:<a@b>|AUTH PLAIN AGFsaWNlAHg=|",
	"250 2.1.0 ok\n503 5.5.1 nested MAIL command; send RSET to start "
	"over\n",
	0},
    {"pipelined behind AUTH", "AUTH PLAIN AGFsaWNlAHg=&NOOP|",
	"554 5.5.0 illegal pipelining: wait for the reply to this command\n",
	TOGETHER},
    {"pipelined behind a response", "AUTH LOGIN|AGFsaWNlAHg=&NOOP|",
	"334 VXNlcjo=\n"
	"554 5.5.0 illegal pipelining: wait for the reply to this line\n",
	TOGETHER},
    {"xclient of a stranger", "XCLIENT ADDR=192.0.2.1|XFORWARD NAME=x|",
	"550 5.7.0 not authorized to use this command\n550 5.7.0 not "
	"authorized to use this command\n",
	0},
    {"xclient", "XCLIENT ADDR=192.0.2.1|NOOP|MAIL FROM:<a@b>|EHLO y|",
	RESTARTED "250 OK\n503 send EHLO or HELO first\n"
		  "250-mx.example.org\n250-AUTH PLAIN LOGIN\n"
		  "250 ENHANCEDSTATUSCODES\n",
	TRUSTED},
    {"xclient with login", "XCLIENT LOGIN=bob|EHLO y|AUTH PLAIN AAAA|",
	RESTARTED "250-mx.example.org\n250-AUTH PLAIN LOGIN\n250 "
		  "ENHANCEDSTATUSCODES\n503 5.5.1 already authenticated\n",
	TRUSTED},
    {"xclient forgets a login",
	"AUTH PLAIN AGFsaWNlAHg=|XCLIENT ADDR=192.0.2.1|EHLO y|"
	"AUTH PLAIN AGFsaWNlAHg=|",
	"235 2.7.0 welcome\n" RESTARTED
	"250-mx.example.org\n250-AUTH PLAIN LOGIN\n"
	"250 ENHANCEDSTATUSCODES\n235 2.7.0 welcome\n",
	TRUSTED},
    {"xclient in a transaction", "MAIL FROM:<a@b>|XCLIENT ADDR=192.0.2.1|",
	"250 2.1.0 ok\n503 5.5.1 nested MAIL command; send RSET to start "
	"over\n",
	TRUSTED},
    {"xclient malformed", "XCLIENT ADDR=x|XCLIENT|XCLIENT IDENT=a|",
	"501 5.5.4 malformed attribute value\n501 5.5.4 syntax: XCLIENT "
	"attribute=value...\n501 5.5.4 unknown attribute\n",
	TRUSTED},
    {"xclient full", "XCLIENT ADDR=192.0.2.1 PORT=1|NOOP|", "421 4.7.0 full\n",
	TRUSTED},
    {"xclient pipelined", "XCLIENT ADDR=192.0.2.1&EHLO y|",
	"554 5.5.0 illegal pipelining: wait for the reply to this command\n",
	TRUSTED | TOGETHER},
    {"xforward", "XFORWARD NAME=x ADDR=192.0.2.1|XFORWARD LOGIN=a|",
	"250 2.0.0 noted\n501 5.5.4 unknown attribute\n", TRUSTED},
    {"too many guesses",
	"AUTH PLAIN AAAA|AUTH PLAIN AAAA|AUTH PLAIN AAAA|"
	"AUTH PLAIN AAAA|AUTH PLAIN AAAA|NOOP|",
	"535 5.7.8 not you\n535 5.7.8 not you\n535 5.7.8 not you\n"
	"535 5.7.8 not you\n535 5.7.8 not you\n421 4.7.0 too many errors\n",
	0},
};

static void
auth_init(struct auth_rig *r, unsigned flags)
{
	*r = (struct auth_rig){.limits = default_limits};
	buf_init(&r->out, 1 << 16);
	buf_init(&r->in, 1 << 16);
	r->s = smtp_server_new(&r->limits, "mx.example.org", &auth_ops, r);
	smtp_server_trust(r->s, (flags & TRUSTED) != 0);
	smtp_server_greet(r->s, false, 1);
	auth_say(r, "EHLO x|", false);
	buf_reset(&r->out);
}

static void
auth_clear(struct auth_rig *r)
{
	smtp_server_free(r->s);
	buf_clear(&r->out);
	buf_clear(&r->in);
}

static void
expect_out(struct auth_rig *r, const char *name, const char *want)
{
	struct rig view = {.out = r->out};

	check_out(&view, name, want);
}

static void
test_dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
		const struct auth_dialogue *d = &dialogues[i];

		for (int split = 0; split < 2; split++) {
			struct auth_rig r;

			if (split && (d->flags & TOGETHER))
				continue;
			auth_init(&r, d->flags);
			auth_say(&r, d->say, split);
			expect_out(&r, d->name, d->want);
			auth_clear(&r);
		}
	}
}

static void
test_long_response(void **state)
{
	static char text[SASL_LINE_MAX + 20];
	struct auth_rig r;

	(void)state;
	/* The longest there may be: 12288 with CR LF. */
	auth_init(&r, 0);
	auth_say(&r, "AUTH PLAIN|", false);
	memset(text, 'A', sizeof(text));
	memcpy(text + SASL_LINE_MAX - 4, "\r\n", 2);
	auth_feed(&r, text, SASL_LINE_MAX - 2);
	assert_int_equal(r.lines, 1);
	/* One more is thrown away, and the exchange goes on. */
	auth_say(&r, "AUTH PLAIN|", false);
	memset(text, 'A', sizeof(text));
	memcpy(text + SASL_LINE_MAX, "\r\n", 2);
	auth_feed(&r, text, SASL_LINE_MAX + 2);
	assert_int_equal(r.lines, 1);
	expect_out(&r, "long",
	    "334 \n535 5.7.8 not you\n334 \n500 5.5.2 command line too "
	    "long\n");
	auth_clear(&r);
	/* So long is no other command. */
	auth_init(&r, 0);
	memset(text, 'A', sizeof(text));
	memcpy(text, "NOOP ", 5);
	memcpy(text + 600, "\r\n", 2);
	auth_feed(&r, text, 602);
	expect_out(&r, "long NOOP", "500 5.5.2 command line too long\n");
	auth_clear(&r);
}

static void
test_waits_a_minute(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_init(&r, 0);
	r.limits.command_timeout_ms = 300000;
	auth_say(&r, "AUTH LOGIN|", false);
	assert_int_equal(smtp_server_next_due(r.s), 60001);
	auth_clear(&r);
}

static void
test_challenges(void **state)
{
	static const char *const bad[] = {"not base64", "a\nb", "=x"};
	struct auth_rig r;

	(void)state;
	auth_init(&r, 0);
	auth_say(&r, "AUTH LOGIN|", false);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(
		    smtp_server_auth_challenge(r.s, str_from(bad[i]), 1));
	auth_clear(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dialogues),
	    cmocka_unit_test(test_long_response),
	    cmocka_unit_test(test_waits_a_minute),
	    cmocka_unit_test(test_challenges),
	};

	/* Of the rig, not used here. */
	(void)rig_init;
	(void)rig_clear;
	(void)feed;
	(void)check_events;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
