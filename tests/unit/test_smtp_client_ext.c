/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client engine with BDAT (RFC 3030) and as an LMTP client (RFC 2033), in
 * dialogues, each fed whole and a byte at a time.
 */
#include "smtp_client_rig.h"

#define STEPS_MAX 64

struct dialogue {
	const char *name;
	const char *steps[STEPS_MAX];
};

#define OPEN_CHUNKING                           \
	"S 220 hop ESMTP", "C EHLO me.example", \
	    "S 250-hop|250-PIPELINING|250 CHUNKING", "> ready 101 0"
#define OPEN_LMTP                                      \
	"lmtp", "S 220 hop LMTP", "C LHLO me.example", \
	    "S 250-hop|250 PIPELINING", "> ready 1 0"
#define TWO                                         \
	"mail a@x", "rcpt b@y", "rcpt c@y", "data", \
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|DATA"

static const struct dialogue dialogues[] = {
    {"REQUIRETLS of a peer that is not verified",
	{"S 220 hop ESMTP", "C EHLO me.example", "S 250-hop|250 REQUIRETLS",
	    "> ready 0 0", "tls_mail ", "C MAIL FROM:<>"}},
    {"REQUIRETLS of a peer that is",
	{"verified", "S 220 hop ESMTP", "C EHLO me.example",
	    "S 250-hop|250 REQUIRETLS", "> ready 800 0", "tls_mail a@x",
	    "C MAIL FROM:<a@x> REQUIRETLS"}},
    {"REQUIRETLS of a bounce",
	{"verified", "S 220 hop ESMTP", "C EHLO me.example",
	    "S 250-hop|250 REQUIRETLS", "> ready 800 0", "tls_mail ",
	    "C MAIL FROM:<> REQUIRETLS"}},
    {"REQUIRETLS is never left out",
	{"S 220 hop ESMTP", "C EHLO me.example", "S 250 hop", "> ready 0 0",
	    "tls_mail a@x", "C MAIL FROM:<a@x> REQUIRETLS"}},
    {"a message in one chunk, exactly",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "body Hi|", "body .|.|", "C ", "end",
	    "busy", "C BDAT 10 LAST|Hi|.|.", "S 250 queued",
	    "> END#3 250 queued", "idle"}},
    {"never a bare CR or LF",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "body a\nb\rc\r", "body \nd\r", "end",
	    "C BDAT 12 LAST|a|b|c|d", "S 250 queued", "> END#3 250 queued"}},
    {"an empty message",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "end", "C BDAT 0 LAST",
	    "S 250 queued", "> END#3 250 queued", "idle"}},
    {"many pieces", {OPEN_CHUNKING, ENVELOPE, "bdat", "big 1000", "big 32000",
			"big 40000", "much 65560 BDAT 32768", "S 250 one",
			"S 250 two", "end", "much 7480 BDAT 7464 LAST",
			"S 250 queued", "> END#3 250 queued", "idle"}},
    {"a large piece is not copied",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "big 100000",
	    "much 100013 BDAT 100000", "end", "C BDAT 0 LAST",
	    "S 250 one|250 queued", "> END#3 250 queued", "idle"}},
    {"a chunk is refused in the middle",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "big 32768", "much 32780 BDAT 32768",
	    "S 552 5.3.4 too big", "big 50000", "C ", "end", "C RSET",
	    "S 250 reset", "> END#3 552 5.3.4 too big", "idle"}},
    {"a chunk is refused behind the last",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "big 32768", "much 32780 BDAT 32768",
	    "end", "C BDAT 0 LAST", "S 452 4.3.1 full|503 5.5.1 what",
	    "> END#3 452 4.3.1 full", "busy", "mail d@x",
	    "C RSET|MAIL FROM:<d@x>", "S 250 ok|250 ok", "> MAIL#4 250 ok"}},
    {"a message with a hole",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "big 32768", "much 32780 BDAT 32768",
	    "end", "C BDAT 0 LAST", "S 452 4.3.1 full|250 queued",
	    "> fail 451 4.5.0"}},
    {"the last chunk is refused",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "end", "C BDAT 0 LAST", "S 554 no",
	    "> END#3 554 no", "mail d@x", "C RSET|MAIL FROM:<d@x>"}},
    {"421 to a chunk",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "big 32768", "much 32780 BDAT 32768",
	    "S 421 4.3.2 bye", "> fail 421 4.3.2 bye", "big 10", "end"}},
    {"a chunk is never answered",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "big 32768", "much 32780 BDAT 32768",
	    "wait 300", "> fail 451 4.4.2"}},
    {"given up in a chunk", {OPEN_CHUNKING, ENVELOPE, "bdat", "body x",
				"abandon", "wait 0", "> fail 451 4.3.0"}},
    {"DATA after BDAT",
	{OPEN_CHUNKING, ENVELOPE, "bdat", "end", "C BDAT 0 LAST", "S 250 ok",
	    "> END#3", "mail c@x", "C MAIL FROM:<c@x>", "S 250 ok", "> MAIL#4",
	    "rcpt d@y", "C RCPT TO:<d@y>", "S 250 ok", "> RCPT#5", "data",
	    "C DATA", "S 354 go", "> DATA#6", "body .x|", "end", "C ..x|.",
	    "S 250 ok", "> END#7 250 ok"}},
    {"not offered", {OPEN_PIPELINING, ENVELOPE, "bdat no"}},
    {"without pipelining",
	{"S 220 hop", "C EHLO me.example", "S 250-hop|250 CHUNKING",
	    "> ready 100 0", ENVELOPE, "bdat no"}},
    {"nobody to send to",
	{OPEN_CHUNKING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "bdat no", "S 250 m|550 no",
	    "> MAIL#1", "> RCPT#2 550 no", "bdat no"}},

    {"LMTP: a verdict for each",
	{OPEN_LMTP, TWO, "S 250 m|250 b|250 c|354 go", "> MAIL#1",
	    "> RCPT#2 250 b", "> RCPT#3 250 c", "> DATA#4", "body .x|", "end",
	    "C ..x|.", "busy", "S 250 took it", "> END#2 250 took it", "busy",
	    "S 452 4.2.2 full", "> END#3 452 4.2.2 full", "idle"}},
    {"LMTP: only for those that were accepted, in one packet",
	{OPEN_LMTP, "mail a@x", "rcpt b@y", "rcpt c@y", "rcpt d@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|RCPT TO:<d@y>|DATA",
	    "S 250 m|250 b|550 c|250 d|354 go", "> MAIL#1", "> RCPT#2",
	    "> RCPT#3 550 c", "> RCPT#4", "> DATA#5", "end", "C .",
	    "S 250 one|250 two", "> END#2 250 one", "> END#4 250 two", "idle"}},
    {"LMTP: without pipelining",
	{"lmtp", "S 220 hop", "C LHLO me.example", "S 250 hop", "> ready 0 0",
	    "mail a@x", "rcpt b@y", "rcpt c@y", "C MAIL FROM:<a@x>", "S 250 m",
	    "> MAIL#1", "C RCPT TO:<b@y>", "S 250 b", "> RCPT#2",
	    "C RCPT TO:<c@y>", "S 250 c", "> RCPT#3", "data", "C DATA",
	    "S 354 go", "> DATA#4", "end", "C .", "S 250 one|550 two",
	    "> END#2 250 one", "> END#3 550 two", "idle"}},
    {"LMTP: a reply too many",
	{OPEN_LMTP, TWO, "S 250 m|550 b|250 c|354 go", "> MAIL#1", "> RCPT#2",
	    "> RCPT#3", "> DATA#4", "end", "C .", "S 250 one|250 two",
	    "> END#3 250 one", "> fail 451 4.5.0"}},
    {"LMTP: gone between two verdicts",
	{OPEN_LMTP, TWO, "S 250 m|250 b|250 c|354 go", "> MAIL#1", "> RCPT#2",
	    "> RCPT#3", "> DATA#4", "end", "C .", "S 250 one",
	    "> END#2 250 one", "lost gone", "> fail 451 4.4.2 gone"}},
    {"LMTP: 354 for nobody",
	{OPEN_LMTP, TWO, "S 250 m|550 b|550 c|354 go", "> MAIL#1", "> RCPT#2",
	    "> RCPT#3", "> fail 451 4.5.0"}},
    {"LMTP: no HELO after LHLO", {"lmtp", "S 220 hop", "C LHLO me.example",
				     "S 500 what?", "> fail 500 what?"}},
};

static void
run_dialogue(const struct dialogue *d, bool split)
{
	struct owner o;

	set_up(&o, split);
	o.where = d->name;
	for (size_t i = 0; i < STEPS_MAX && d->steps[i] != NULL; i++)
		act(&o, d->steps[i]);
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
		run_dialogue(&dialogues[i], false);
		run_dialogue(&dialogues[i], true);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dialogues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
