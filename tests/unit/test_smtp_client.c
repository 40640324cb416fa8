/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client engine in dialogues, each fed whole and a byte at a time. At the
 * end of one nothing may be left over.
 */
#include "smtp_client_rig.h"

#define STEPS_MAX 64

struct dialogue {
	const char *name;
	const char *steps[STEPS_MAX];
};

static const struct dialogue dialogues[] = {
    {"a message",
	{OPEN, TO_BODY, "body Hi|", "body .dot|x", "end", "C Hi|..dot|x|.",
	    "busy", "S 250 2.0.0 queued", "> END#4 250 2.0.0 queued", "idle",
	    "quit", "C QUIT", "S 221 bye", "> QUIT#0 221 bye", "lost gone",
	    "S 250 what"}},
    {"two messages on one connection",
	{OPEN, TO_BODY, "end", "C .", "S 250 one", "> END#4 250 one",
	    "mail c@x", "C MAIL FROM:<c@x>", "S 250 ok", "> MAIL#5 250",
	    "rcpt d@y", "C RCPT TO:<d@y>", "S 250 ok", "> RCPT#6 250", "data",
	    "C DATA", "S 354 go", "> DATA#7 354", "body x|", "end", "C x|.",
	    "S 452 later", "> END#8 452 later", "idle"}},
    {"a null sender", {OPEN, "mail ", "C MAIL FROM:<>", "busy"}},
    {"pipelining",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y", "rcpt c@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|DATA",
	    "S 250 m|250 r|550 5.1.1 no|354 go", "> MAIL#1 250 m",
	    "> RCPT#2 250 r", "> RCPT#3 550 5.1.1 no", "> DATA#4 354 go",
	    "body x|", "end", "mail d@x", "C x|.|MAIL FROM:<d@x>",
	    "S 250 done|250 ok", "> END#5 250 done", "> MAIL#6 250 ok"}},
    {"one at a time without pipelining",
	{OPEN, "mail a@x", "rcpt b@y", "rcpt c@y", "data", "C MAIL FROM:<a@x>",
	    "S 250 m", "> MAIL#1", "C RCPT TO:<b@y>", "S 250 r", "> RCPT#2",
	    "C RCPT TO:<c@y>", "S 250 s", "> RCPT#3", "C DATA", "S 354 go",
	    "> DATA#4 354 go"}},
    {"multi-line replies", {OPEN, "mail a@x", "C MAIL FROM:<a@x>",
			       "S 250-2.1.0 one|250-2.1.0 two|250 2.1.0 three",
			       "> MAIL#1 250 2.1.0 one", "> two", "> three"}},
    {"a multi-line greeting",
	{"S 220-hop|220-we do not|220 like spam", "C EHLO me.example"}},
    {"HELO where EHLO is unknown",
	{"S 220 hop", "C EHLO me.example", "S 502 what?", "C HELO me.example",
	    "S 250 hop", "> ready 0 0"}},
    {"HELO refused",
	{"S 220 hop", "C EHLO me.example", "S 500 what?", "C HELO me.example",
	    "S 500 what?", "> fail 500 what?"}},
    {"EHLO is refused, HELO is not",
	{"S 220 hop", "C EHLO me.example", "S 554 5.5.1 no ESMTP",
	    "C HELO me.example", "S 250 hop", "> ready 0 0"}},
    {"EHLO is put off", {"S 220 hop", "C EHLO me.example", "S 451 4.3.0 later",
			    "C HELO me.example", "S 250 hop", "> ready 0 0"}},
    {"EHLO and HELO are refused",
	{"S 220 hop", "C EHLO me.example", "S 550 5.7.1 you?",
	    "C HELO me.example", "S 550 5.7.1 you?", "> fail 550 5.7.1 you?"}},
    {"421 to EHLO", {"S 220 hop", "C EHLO me.example", "S 421 4.7.0 many",
			"> fail 421 4.7.0 many"}},
    {"greeting 5xx", {"S 554 5.3.2 no", "> fail 554 5.3.2 no"}},
    {"greeting 4xx", {"S 421 later", "> fail 421 later"}},
    {"greeting of something else", {"S 250 hi", "> fail 451 4.5.0"}},
    {"no SMTP at all", {"S HTTP/1.1 400 Bad Request", "> fail 451 4.5.0"}},
    {"an empty line", {OPEN, "S ", "> fail 451 4.5.0"}},
    {"mixed codes", {OPEN, "mail a@x", "C MAIL FROM:<a@x>", "S 250-one|550 two",
			"> fail 451 4.5.0"}},
    {"a reply to nothing", {OPEN, "S 250 early", "> fail 451 4.5.0"}},
    {"a last word while idle",
	{OPEN, "S 421 4.4.2 idle too long", "> fail 421 4.4.2 idle", "wait 1",
	    "mail a@x"}},
    {"a refusal in the middle of the text",
	{OPEN, TO_BODY, "body x|", "C x", "S 552 5.3.4 too big",
	    "> fail 552 5.3.4 too big", "body y|", "end"}},
    {"thanks before the final dot",
	{OPEN, TO_BODY, "S 250 queued", "> fail 451 4.5.0", "body x|", "end"}},
    {"421 to a command", {OPEN, ENVELOPE, "data", "C DATA", "S 421 4.3.2 bye",
			     "> DATA#3 421 4.3.2 bye", "> fail 421 4.3.2 bye"}},
    {"421 to a swallowed command",
	{OPEN_PIPELINING, "mail a@x", "C MAIL FROM:<a@x>", "abandon",
	    "S 421 bye", "> fail 421 bye"}},
    {"354 to RCPT",
	{OPEN, "mail a@x", "C MAIL FROM:<a@x>", "S 250 ok", "> MAIL#1",
	    "rcpt b@y", "C RCPT TO:<b@y>", "S 354 go", "> fail 451 4.5.0"}},
    {"250 to DATA",
	{OPEN, ENVELOPE, "data", "C DATA", "S 250 ok", "> fail 451 4.5.0"}},
    {"334 to DATA",
	{OPEN, ENVELOPE, "data", "C DATA", "S 334 ok", "> fail 451 4.5.0"}},
    {"354 to the final dot",
	{OPEN, TO_BODY, "end", "C .", "S 354 go", "> fail 451 4.5.0"}},
    {"DATA refused",
	{OPEN, ENVELOPE, "data", "C DATA", "S 451 no", "> DATA#3 451 no",
	    "busy", "mail c@x", "C RSET", "S 250 reset", "C MAIL FROM:<c@x>",
	    "S 250 ok", "> MAIL#4 250 ok"}},
    {"MAIL refused leaves nothing open",
	{OPEN, "mail a@x", "C MAIL FROM:<a@x>", "S 550 no", "> MAIL#1 550 no",
	    "idle", "mail b@x", "C MAIL FROM:<b@x>", "S 250 ok",
	    "> MAIL#2 250 ok"}},
    {"354 though all recipients were refused",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA", "S 250 m|550 no|354 go",
	    "> MAIL#1", "> RCPT#2 550 no", "> DATA#3 554 5.5.1", "C .", "busy",
	    "S 250 queued nothing", "idle"}},
    {"recipients of the message before do not count",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "S 250 m|250 r", "> MAIL#1",
	    "> RCPT#2", "abandon", "mail c@x", "rcpt d@y", "data",
	    "C RSET|MAIL FROM:<c@x>|RCPT TO:<d@y>|DATA",
	    "S 250 reset|250 m|550 no|354 go", "> MAIL#3 250 m",
	    "> RCPT#4 550 no", "> DATA#5 554 5.5.1", "C ."}},
    {"abandon is lazy",
	{OPEN, ENVELOPE, "abandon", "C ", "busy", "mail c@x", "C RSET",
	    "S 250 ok", "C MAIL FROM:<c@x>", "S 250 ok", "> MAIL#3 250"}},
    {"abandon with replies to come",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "abandon", "S 250 m", "mail c@x",
	    "C RSET|MAIL FROM:<c@x>", "S 250 r|250 reset|250 m",
	    "> MAIL#3 250 m"}},
    {"abandon of what was not sent",
	{OPEN, "mail a@x", "rcpt b@y", "rcpt c@y", "C MAIL FROM:<a@x>",
	    "abandon", "mail d@x", "S 250 ok", "C RSET", "S 250 ok",
	    "C MAIL FROM:<d@x>", "S 250 ok", "> MAIL#4 250"}},
    {"abandon after MAIL was refused",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "abandon", "S 550 no|503 no",
	    "idle", "flush", "C ", "mail c@x", "C MAIL FROM:<c@x>"}},
    {"abandon spares the message before",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA", "S 250 m|250 r|354 go",
	    "> MAIL#1", "> RCPT#2", "> DATA#3", "end", "mail c@x",
	    "C .|MAIL FROM:<c@x>", "abandon", "S 250 queued|250 m",
	    "> END#4 250 queued", "flush", "C RSET", "S 250 ok", "idle"}},
    {"abandon after DATA", {OPEN, ENVELOPE, "data", "C DATA", "abandon",
			       "wait 0", "> fail 451 4.3.0"}},
    {"flush of a reset",
	{OPEN, ENVELOPE, "flush", "C RSET", "flush", "C ", "S 250 ok", "idle"}},
    {"RSET refused", {OPEN, ENVELOPE, "abandon", "flush", "C RSET", "S 500 no",
			 "> fail 500 no"}},
    {"quit within a message",
	{OPEN, TO_BODY, "quit", "wait 0", "> fail 451 4.3.0"}},
    {"quit before the greeting", {"quit", "C "}},
    {"quit answered with 421", {OPEN, "quit", "C QUIT", "S 421 bye",
				   "> QUIT#0 421 bye", "> fail 421 bye"}},
    {"lost", {OPEN, "lost peer closed", "> fail 451 4.4.2 peer closed"}},
    {"lost with commands outstanding",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "S 250 ok", "> MAIL#1",
	    "lost gone", "> fail 451 4.4.2 gone", "lost gone"}},
    {"no greeting", {"wait 99", "wait 1",
			"> fail 451 4.4.2 timed out waiting for the "
			"reply to the connection"}},
    {"no reply to EHLO",
	{"wait 99", "S 220 hop", "C EHLO me.example", "wait 199", "wait 1",
	    "> fail 451 4.4.2 timed out waiting for the reply to EHLO"}},
    {"each reply restarts the clock",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA", "wait 199", "S 250 m",
	    "> MAIL#1", "wait 199", "S 250 r", "> RCPT#2", "wait 299", "wait 1",
	    "> fail 451 4.4.2"}},
    {"a trickle does not restart the clock",
	{OPEN, "mail a@x", "C MAIL FROM:<a@x>", "wait 100", "S 250-m",
	    "wait 99", "S 250-m", "wait 1", "> fail 451 4.4.2"}},
    {"the text stops",
	{OPEN, TO_BODY, "wait 299", "body x|", "C x", "wait 299", "wait 1",
	    "> fail 451 4.4.2 timed out within the message"}},
    {"no reply to the final dot", {OPEN, TO_BODY, "end", "C .", "wait 399",
				      "wait 1", "> fail 451 4.4.2"}},
    {"control characters in a sender",
	{OPEN, "mail a@x>|DATA", "C ", "rcpt b@y", "C ", "wait 0",
	    "> fail 451 4.3.0"}},
    {"a command within quotes",
	{OPEN, "mail \"a|DATA|b\"@x", "C ", "wait 0", "> fail 451 4.3.0"}},
    {"a refused MAIL does not close the next",
	{OPEN_PIPELINING, "mail a@x", "abandon", "mail b@x",
	    "C MAIL FROM:<a@x>|RSET|MAIL FROM:<b@x>", "S 550 no|250 ok|250 b",
	    "> MAIL#2 250 b", "busy", "mail c@x", "C RSET|MAIL FROM:<c@x>"}},
    {"a parameter in a recipient", {OPEN, ENVELOPE, "rcpt b@y> NOTIFY=NEVER",
				       "C ", "wait 0", "> fail 451 4.3.0"}},
    {"quotes may hold blanks",
	{OPEN, "mail \"a b>\\\"\"@x", "C MAIL FROM:<\"a b>\\\"\"@x>"}},
};

static void
run_dialogue(const struct dialogue *d, bool split)
{
	struct owner o;
	size_t i;

	set_up(&o, split);
	o.where = d->name;
	for (i = 0; i < STEPS_MAX && d->steps[i] != NULL; i++) {
		act(&o, d->steps[i]);
	}
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_dialogues(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(dialogues); i++)
		run_dialogue(&dialogues[i], false);
}

static void
test_dialogues_a_byte_at_a_time(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(dialogues); i++)
		run_dialogue(&dialogues[i], true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dialogues),
	    cmocka_unit_test(test_dialogues_a_byte_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
