/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AUTH and XCLIENT of the client engine.
 */
#include "smtp_client_rig.h"

struct dialogue {
	const char *name;
	const char *steps[24];
};

#define OPEN_XCLIENT                            \
	"S 220 hop ESMTP", "C EHLO me.example", \
	    "S 250-hop|250-PIPELINING|250 XCLIENT NAME ADDR HELO", "> ready"

static const struct dialogue dialogues[] = {
    {"plain", {OPEN, "auth PLAIN AGEAYg==", "C AUTH PLAIN AGEAYg==", "busy",
		  "S 235 2.7.0 yes", "> AUTH#1 235 2.7.0 yes", "idle", NULL}},
    {"login",
	{OPEN, "auth LOGIN", "C AUTH LOGIN", "S 334 VXNlcjo=",
	    "> AUTH#1 334 VXNlcjo=", "line YQ==", "C YQ==", "S 334 UGFzczo=",
	    "> AUTH#2 334 UGFzczo=", "line Yg==", "C Yg==", "S 535 no",
	    "> AUTH#3 535 no", "idle", "mail a@x", "C MAIL FROM:<a@x>", NULL}},
    {"empty challenge", {OPEN, "auth PLAIN", "C AUTH PLAIN", "S 334 ",
			    "> AUTH#1 334 ", "line AGEAYg==", "C AGEAYg==",
			    "S 235 yes", "> AUTH#2 235 yes", NULL}},
    {"impossible reply",
	{OPEN, "auth PLAIN AGEAYg==", "C AUTH PLAIN AGEAYg==", "S 250 hm",
	    "> fail 451 4.5.0 next hop: invalid reply code for this command",
	    NULL}},
    {"354 is no challenge",
	{OPEN, "auth PLAIN", "C AUTH PLAIN", "S 354 go",
	    "> fail 451 4.5.0 next hop: invalid reply code for this command",
	    NULL}},
    {"421", {OPEN, "auth PLAIN", "C AUTH PLAIN", "S 421 bye",
		"> AUTH#1 421 bye", "> fail 421 bye", NULL}},
    {"a reply before its command",
	{OPEN, "auth PLAIN", "C AUTH PLAIN", "S 334 |235 yes", "> AUTH#1 334",
	    "> fail 451 4.5.0 next hop: unexpected reply", NULL}},
    {"no answer",
	{OPEN, "auth PLAIN", "C AUTH PLAIN", "wait 200",
	    "> fail 451 4.4.2 timed out waiting for the reply to AUTH", NULL}},
    {"xclient",
	{OPEN_XCLIENT, "xclient NAME=c.test ADDR=192.0.2.1 PORT=1 HELO=cli",
	    "C XCLIENT NAME=c.test ADDR=192.0.2.1 HELO=cli", "busy",
	    "S 220 again", "C EHLO cli", "S 250-hop|250 SIZE 1000",
	    "> ready 2 1000", "idle", "mail a@x", "C MAIL FROM:<a@x>", NULL}},
    {"xclient refused",
	{OPEN_XCLIENT, "xclient ADDR=192.0.2.1", "C XCLIENT ADDR=192.0.2.1",
	    "S 550 5.7.0 no", "> fail 550 5.7.0 no", NULL}},
    {"xclient, and nothing more",
	{OPEN_XCLIENT, "xclient ADDR=192.0.2.1", "C XCLIENT ADDR=192.0.2.1",
	    "lost gone", "> fail 451 4.4.2 gone", NULL}},
};

static void
test_dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
		for (int split = 0; split < 2; split++) {
			struct owner o;

			set_up(&o, split);
			o.where = dialogues[i].name;
			for (size_t j = 0; dialogues[i].steps[j] != NULL; j++)
				act(&o, dialogues[i].steps[j]);
			assert_nothing_left(&o);
			tear_down(&o);
		}
	}
}

/* Values that take more than one command: one EHLO after the last. */
static void
test_long_xclient(void **state)
{
	struct xclient x = {.given = XCLIENT_NAME | XCLIENT_HELO};
	struct owner o;

	(void)state;
	set_up(&o, false);
	act(&o, "S 220 hop ESMTP");
	act(&o, "S 250-hop|250 XCLIENT NAME HELO LOGIN");
	buf_reset(&o.wrote);
	buf_reset(&o.events);
	memset(x.name, 'n', 255);
	memset(x.helo, 'h', 255);
	assert_true(smtp_client_xclient(o.client, &x, o.now));
	assert_true(str_starts(buf_str(&o.wrote), STR("XCLIENT NAME=nn")));
	buf_reset(&o.wrote);
	act(&o, "S 220 more");
	assert_true(str_starts(buf_str(&o.wrote), STR("XCLIENT HELO=hh")));
	buf_reset(&o.wrote);
	act(&o, "S 220 again");
	assert_true(str_starts(buf_str(&o.wrote), STR("EHLO hhh")));
	buf_reset(&o.wrote);
	act(&o, "S 250 hop");
	act(&o, "> ready 0 0");
	act(&o, "idle");
	assert_nothing_left(&o);
	tear_down(&o);
}

/* A peer that wants to know nothing of it hears nothing. */
static void
test_xclient_not_offered(void **state)
{
	struct xclient x = {.given = XCLIENT_ATTRS};
	struct owner o;

	(void)state;
	set_up(&o, false);
	act(&o, "S 220 hop ESMTP");
	act(&o, "S 250-hop|250 XCLIENT SOMETHING");
	buf_reset(&o.wrote);
	buf_reset(&o.events);
	assert_false(smtp_client_xclient(o.client, &x, o.now));
	act(&o, "idle");
	assert_nothing_left(&o);
	tear_down(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dialogues),
	    cmocka_unit_test(test_long_xclient),
	    cmocka_unit_test(test_xclient_not_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
