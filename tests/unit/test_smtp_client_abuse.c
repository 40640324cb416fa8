/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client engine with hostile peers, owners that call back from within,
 * caps, and parameters.
 */
#include "smtp_client_rig.h"

static void
test_an_endless_line(void **state)
{
	char block[1000];
	struct owner o;
	int i;

	(void)state;
	set_up(&o, false);
	memset(block, 'x', sizeof(block));
	memcpy(block, "220 ", 4);
	for (i = 0; i < 100; i++)
		feed(&o, block, sizeof(block));
	act(&o, "> fail 451 4.5.0");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_an_endless_reply(void **state)
{
	struct owner o;
	int i;

	(void)state;
	set_up(&o, false);
	for (i = 0; i < 1000; i++)
		act(&o, "S 220-still talking");
	act(&o, "> fail 451 4.5.0");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_nul_in_a_reply(void **state)
{
	struct owner o;

	(void)state;
	set_up(&o, false);
	feed(&o, "220 a\0b\r\n", 9);
	act(&o, "> fail 451 4.5.0");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
run_steps(struct owner *o, const char *const *steps)
{
	for (; *steps != NULL; steps++)
		act(o, *steps);
}

/* The reply to the final dot lies in the input before the dot was written. */
static void
test_a_reply_sent_ahead_is_no_reply(void **state)
{
	static const char *const before[] = {
	    OPEN, ENVELOPE, "data", "C DATA", NULL};
	struct owner o;

	(void)state;
	set_up(&o, false);
	run_steps(&o, before);
	o.in_reply = "end";
	act(&o, "S 354 go|250 queued");
	act(&o, "> DATA#3 354 go");
	act(&o, "C .");
	act(&o, "> fail 451 4.5.0");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_commands_from_within_a_reply(void **state)
{
	static const char *const before[] = {
	    OPEN_PIPELINING, "mail a@x", "C MAIL FROM:<a@x>", NULL};
	static const char *const after[] = {
	    "> MAIL#1 250 ok", "C RSET", "S 250 ok", "idle", NULL};
	struct owner o;

	(void)state;
	set_up(&o, false);
	run_steps(&o, before);
	o.in_reply = "flush";
	act(&o, "S 250 ok");
	run_steps(&o, after);
	assert_nothing_left(&o);
	tear_down(&o);
}

/* After a 421 nothing more is sent, and it is no bug of the owner's. */
static void
test_commands_from_within_a_421(void **state)
{
	static const char *const before[] = {
	    OPEN, ENVELOPE, "data", "C DATA", NULL};
	struct owner o;

	(void)state;
	set_up(&o, false);
	run_steps(&o, before);
	o.in_reply = "mail c@x";
	act(&o, "S 421 bye");
	act(&o, "> DATA#3 421 bye");
	act(&o, "> fail 421 bye");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_freed_in_its_callbacks(void **state)
{
	static const char *const before[] = {OPEN_PIPELINING, "mail a@x",
	    "rcpt b@y", "C MAIL FROM:<a@x>|RCPT TO:<b@y>", NULL};
	struct owner o;

	(void)state;
	set_up(&o, false);
	run_steps(&o, before);
	o.free_in_reply = true;
	act(&o, "S 250 m|250 r|250 x");
	act(&o, "> MAIL#1 250 m");
	assert_nothing_left(&o);
	tear_down(&o);
	set_up(&o, false);
	o.free_in_fail = true;
	act(&o, "S 554 no|554 no");
	act(&o, "> fail 554 no");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_many_recipients(void **state)
{
	struct owner o;
	unsigned i, pipelining;
	char want[32];

	(void)state;
	for (pipelining = 0; pipelining < 2; pipelining++) {
		set_up(&o, false);
		act(&o, "S 220 hop");
		act(&o, pipelining ? "S 250-hop|250 PIPELINING" : "S 250 hop");
		act(&o, "> ready");
		act(&o, "mail a@x");
		for (i = 0; i < 5000; i++)
			act(&o, "rcpt b@y");
		act(&o, "S 250 ok");
		act(&o, "> MAIL#1");
		for (i = 0; i < 5000; i++) {
			act(&o, "S 250 ok");
			snprintf(want, sizeof(want), "> RCPT#%u 250", i + 2);
			act(&o, want);
		}
		act(&o, "abandon");
		buf_reset(&o.wrote);
		assert_nothing_left(&o);
		tear_down(&o);
	}
}

/* Past the caps the connection fails, later, and nothing else. */
static void
test_too_many_commands(void **state)
{
	struct owner o;
	unsigned i;

	(void)state;
	set_up(&o, false);
	act(&o, "S 220 hop");
	act(&o, "S 250 hop");
	act(&o, "> ready");
	act(&o, "mail a@x");
	for (i = 0; i < 20000; i++)
		act(&o, "rcpt b@y");
	assert_int_equal(o.events.len, 0);
	act(&o, "wait 0");
	act(&o, "> fail 451 4.3.0 too many commands");
	tear_down(&o);
}

static void
open_with(struct owner *o, const char *ehlo)
{
	set_up(o, false);
	act(o, "S 220 hop");
	act(o, ehlo);
	buf_reset(&o->wrote);
	buf_reset(&o->events);
}

static void
test_parameters(void **state)
{
	struct smtp_mail mail = {
	    .from = STR("a@x"),
	    .size = 1234,
	    .body = SMTP_BODY_8BITMIME,
	    .utf8 = true,
	    .ret = SMTP_RET_HDRS,
	    .envid = STR("QQ+2B"),
	};
	struct smtp_rcpt rcpt = {
	    .to = STR("b@y"),
	    .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY,
	    .orcpt = STR("rfc822;b@y"),
	};
	struct owner o;

	(void)state;
	open_with(&o,
	    "S 250-hop|250-PIPELINING|250-SIZE|250-8BITMIME|250-SMTPUTF8|"
	    "250 DSN");
	smtp_client_mail(o.client, &mail, 1, o.now);
	act(&o, "C MAIL FROM:<a@x> SIZE=1234 BODY=8BITMIME SMTPUTF8 RET=HDRS "
		"ENVID=QQ+2B");
	smtp_client_rcpt(o.client, &rcpt, 2, o.now);
	act(&o, "C RCPT TO:<b@y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@y");
	rcpt.notify = SMTP_NOTIFY_NEVER;
	rcpt.orcpt = STR("");
	smtp_client_rcpt(o.client, &rcpt, 2, o.now);
	act(&o, "C RCPT TO:<b@y> NOTIFY=NEVER");
	tear_down(&o);
}

static void
test_parameters_that_the_peer_does_not_know(void **state)
{
	struct smtp_mail mail = {
	    .from = STR("a@x"),
	    .size = 1234,
	    .body = SMTP_BODY_7BIT,
	    .ret = SMTP_RET_FULL,
	    .envid = STR("QQ"),
	};
	struct smtp_rcpt rcpt = {
	    .to = STR("b@y"),
	    .notify = SMTP_NOTIFY_FAILURE,
	    .orcpt = STR("rfc822;b@y"),
	};
	struct owner o;

	(void)state;
	open_with(&o, "S 250-hop|250 PIPELINING");
	smtp_client_mail(o.client, &mail, 1, o.now);
	act(&o, "C MAIL FROM:<a@x>");
	smtp_client_rcpt(o.client, &rcpt, 2, o.now);
	act(&o, "C RCPT TO:<b@y>");
	tear_down(&o);
	/* What the content needs is said all the same: refused, not mangled. */
	mail.body = SMTP_BODY_8BITMIME;
	mail.utf8 = true;
	open_with(&o, "S 250 hop");
	smtp_client_mail(o.client, &mail, 1, o.now);
	act(&o, "C MAIL FROM:<a@x> BODY=8BITMIME SMTPUTF8");
	tear_down(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_an_endless_line),
	    cmocka_unit_test(test_an_endless_reply),
	    cmocka_unit_test(test_nul_in_a_reply),
	    cmocka_unit_test(test_a_reply_sent_ahead_is_no_reply),
	    cmocka_unit_test(test_commands_from_within_a_reply),
	    cmocka_unit_test(test_commands_from_within_a_421),
	    cmocka_unit_test(test_freed_in_its_callbacks),
	    cmocka_unit_test(test_many_recipients),
	    cmocka_unit_test(test_too_many_commands),
	    cmocka_unit_test(test_parameters),
	    cmocka_unit_test(test_parameters_that_the_peer_does_not_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
