/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BDAT in the server engine: dialogues as in test_smtp_server.c, each cut at
 * every byte. Whatever is wrong with a chunk, its octets never become commands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp_rig.h"

#define CHUNK_HI_OUT                                                     \
	"250-mx.example.org\n250-PIPELINING\n250-SIZE 2000\n"            \
	"250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250-SMTPUTF8\n" \
	"250 CHUNKING\n"
#define CHUNK_OUT CHUNK_HI_OUT "250 2.1.0 sender ok\n250 2.1.5 recipient ok\n"
#define GOT(n) "250 2.0.0 " n " octets received\n"
#define OVER "BDAT transfer in progress; send RSET to abort it\n"

static const struct dialogue good[] = {
    {"one chunk", CHUNKING,
	OPEN "BDAT 18 LAST\r\nSubject: x\r\n\r\nhi\r\nQUIT\r\n",
	CHUNK_OUT "250 2.0.0 queued\n221 2.0.0 bye\n",
	OPEN_EVENTS "D Subject: x\r\n\r\nhi\r\n<END0> CLOSE:QUIT"},
    {"several, cut anywhere", CHUNKING,
	OPEN "BDAT 3\r\na\r\nBDAT 1\r\n\rbdat 4\r\n\nb\r\nBDAT 0 last\r\n",
	CHUNK_OUT GOT("3") GOT("1") GOT("4") "250 2.0.0 queued\n",
	OPEN_EVENTS "D a\r\n\r\nb\r\n<END0> "},
    {"dots are text", CHUNKING,
	OPEN "BDAT 17 LAST\r\na\r\n.\r\n..b\r\n.\r\nc\r\n",
	CHUNK_OUT "250 2.0.0 queued\n",
	OPEN_EVENTS "D a\r\n.\r\n..b\r\n.\r\nc\r\n<END0> "},
    {"commands are text", CHUNKING, OPEN "BDAT 6\r\nQUIT\r\nBDAT 0 LAST\r\n",
	CHUNK_OUT GOT("6") "250 2.0.0 queued\n",
	OPEN_EVENTS "D QUIT\r\n<END0> "},
    {"no line end at the end", CHUNKING, OPEN "BDAT 2 LAST\r\nhiNOOP\r\n",
	CHUNK_OUT "250 2.0.0 queued\n250 2.0.0 OK\n",
	OPEN_EVENTS "D hi<END0> "},
    {"empty message, empty chunks", CHUNKING,
	OPEN "BDAT 0\r\nBDAT 0\r\nBDAT 0 LAST\r\n",
	CHUNK_OUT GOT("0") GOT("0") "250 2.0.0 queued\n",
	OPEN_EVENTS "D <END0> "},
    {"two messages, one by DATA", CHUNKING,
	OPEN "BDAT 3 LAST\r\n1\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\n"
	     "DATA\r\n|2\r\n.\r\n",
	CHUNK_OUT "250 2.0.0 queued\n250 2.1.0 sender ok\n"
		  "250 2.1.5 recipient ok\n" GO "250 2.0.0 queued\n",
	OPEN_EVENTS "D 1\r\n<END0> M:/0/0/0/0/ R:b@y/0/ D 2\r\n<END0> "},
    {"NOOP and RSET between chunks", CHUNKING,
	OPEN "BDAT 3\r\n1\r\nNOOP\r\nRSET\r\nMAIL FROM:<>\r\n",
	CHUNK_OUT GOT("3") "250 2.0.0 OK\n250 2.0.0 OK\n250 2.1.0 sender ok\n",
	OPEN_EVENTS "D 1\r\nRESET M:/0/0/0/0/ "},
    {"EHLO and QUIT between chunks", CHUNKING,
	OPEN "BDAT 3\r\n1\r\nEHLO c\r\n|QUIT\r\n",
	CHUNK_OUT GOT("3") CHUNK_HI_OUT "221 2.0.0 bye\n",
	OPEN_EVENTS "D 1\r\nRESET E:c CLOSE:QUIT"},
};

static const struct dialogue bad[] = {
    {"no mix with DATA", CHUNKING,
	OPEN "BDAT 3\r\n1\r\nDATA\r\n|RCPT TO:<c@y>\r\nMAIL FROM:<>\r\n"
	     "BDAT 0 LAST\r\n",
	CHUNK_OUT GOT("3") "503 5.5.1 " OVER "503 5.5.1 " OVER "503 5.5.1 " OVER
			   "250 2.0.0 queued\n",
	OPEN_EVENTS "D 1\r\n<END0> "},
    {"out of order: the octets are taken", CHUNKING,
	"BDAT 6\r\nQUIT\r\nEHLO c\r\n|BDAT 6\r\nQUIT\r\n"
	"MAIL FROM:<no@x>\r\nBDAT 6\r\nQUIT\r\n"
	"MAIL FROM:<a@x>\r\nBDAT 6 LAST\r\nQUIT\r\n",
	"502 command not offered\n" CHUNK_HI_OUT
	"503 5.5.1 send MAIL first\n550 5.7.1 bad sender\n"
	"503 5.5.1 the sender was refused\n250 2.1.0 sender ok\n"
	"554 5.5.1 no valid recipients\n",
	"E:c M:no@x/0/0/0/0/ M:a@x/0/0/0/0/ "},
    {"not offered: the octets are taken", 0, OPEN "BDAT 6 LAST\r\nQUIT\r\n",
	OPEN_OUT "502 5.5.1 command not offered\n", OPEN_EVENTS},
    {"the owner refuses the text", CHUNKING,
	"EHLO nodata\r\n|MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
	"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
	CHUNK_OUT "451 4.3.1 no room\n503 5.5.1 the message was refused\n"
		  "250 2.0.0 OK\n",
	"E:nodata M:a@x/0/0/0/0/ R:b@y/0/ D RESET "},
    {"the owner refuses DATA: the recipients stand", CHUNKING,
	"EHLO nodata\r\n|MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n|"
	"DATA\r\n|RSET\r\n",
	CHUNK_OUT "451 4.3.1 no room\n451 4.3.1 no room\n250 2.0.0 OK\n",
	"E:nodata M:a@x/0/0/0/0/ R:b@y/0/ D D RESET "},
    {"a bare LF refuses at the end of its chunk", CHUNKING,
	OPEN "BDAT 4\r\na\nb\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n",
	CHUNK_OUT "550 5.5.2 message contains a bare <CR> or <LF>; lines must "
		  "end in <CR><LF>\n503 5.5.1 the message was refused\n503 "
		  "5.5.1 the message was refused\n",
	OPEN_EVENTS "D a<END1> "},
    {"a bare CR at the very end", CHUNKING, OPEN "BDAT 2 LAST\r\na\r",
	CHUNK_OUT "550 5.5.2 message contains a bare <CR> or <LF>; lines must "
		  "end in <CR><LF>\n",
	OPEN_EVENTS "D a<END1> "},
    {"bare ones become CR LF", CHUNKING | NORMALIZE,
	OPEN "BDAT 2\r\na\nBDAT 5 LAST\r\n.\n\rb\r",
	CHUNK_OUT GOT("2") "250 2.0.0 queued\n",
	OPEN_EVENTS "D a\r\n.\r\n\r\nb\r\n<END0> "},
    {"smuggling", CHUNKING | ALLOW, OPEN "BDAT 8 LAST\r\na\n.\r\n.\r\nNOOP\r\n",
	CHUNK_OUT "250 2.0.0 queued\n250 2.0.0 OK\n",
	OPEN_EVENTS "D a\r\n.\r\n.\r\n<END0> "},
    {"no number: the end", CHUNKING, OPEN "BDAT LAST\r\nQUIT\r\n",
	CHUNK_OUT "501 5.5.4 syntax: BDAT octets [LAST]\n",
	OPEN_EVENTS "RESET CLOSE:PROTOCOL"},
    {"a word too many: the end", CHUNKING, OPEN "BDAT 5 LAST now\r\nQUIT\r\n",
	CHUNK_OUT "501 5.5.4 syntax: BDAT octets [LAST]\n",
	OPEN_EVENTS "RESET CLOSE:PROTOCOL"},
    {"too large a number: the end", CHUNKING,
	OPEN "BDAT 18446744073709551616\r\nQUIT\r\n",
	CHUNK_OUT "501 5.5.4 syntax: BDAT octets [LAST]\n",
	OPEN_EVENTS "RESET CLOSE:PROTOCOL"},
    {"empty chunks without end", CHUNKING,
	OPEN "BDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0\r\n",
	CHUNK_OUT GOT("0") GOT("0") GOT("0")
	    GOT("0") "421 4.7.0 too many commands without mail\n",
	OPEN_EVENTS "D RESET CLOSE:ERRORS"},
};

static void
test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		run_dialogue(&good[i]);
}

static void
test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		run_dialogue(&bad[i]);
}

static void
start(struct rig *r)
{
	rig_init(r, CHUNKING, false);
	feed(r, STR("EHLO c\r\n"));
	feed(r, STR("MAIL FROM:<a@x.org>\r\nRCPT TO:<b@y.org>\r\n"));
	buf_reset(&r->out);
	buf_reset(&r->events);
}

/* More than a message may have, announced or over many chunks. */
static void
test_size(void **state)
{
	char text[2100];
	struct rig r;

	(void)state;
	memset(text, 'a', sizeof(text));
	for (size_t i = 98; i < sizeof(text); i += 100)
		memcpy(text + i, "\r\n", 2);
	memcpy(text, "\r\n", 2); /* no header */
	start(&r);
	for (int i = 0; i < 20; i++) {
		feed(&r, STR("BDAT 105\r\n"));
		feed(&r, (struct str){text + i * 105, 105});
	}
	feed(&r, STR("BDAT 6 LAST\r\nQUIT\r\nRSET\r\n"));
	assert_non_null(memmem(buf_str(&r.out).p, r.out.len, "552 5.3.4", 9));
	assert_null(memmem(buf_str(&r.out).p, r.out.len, "221", 3));
	rig_clear(&r);
	start(&r);
	feed(&r, STR("BDAT 2100 LAST\r\n"));
	feed(&r, (struct str){text, sizeof(text)});
	check_out(&r, "size", "552 5.3.4 message size exceeds the limit\n");
	rig_clear(&r);
}

/* Chunks that come in time each, and a message that never ends. */
static void
test_message_time(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	for (int i = 0; i < 100 && !r.closed; i++) {
		feed(&r, STR("BDAT 1\r\na"));
		r.now += 300;
		smtp_server_run(r.server, r.now);
	}
	assert_true(r.closed);
	assert_int_equal(r.now, 1000 + 5100);
	assert_non_null(
	    memmem(buf_str(&r.out).p, r.out.len, "took too long", 13));
	rig_clear(&r);
}

static void
test_octet_time(void **state)
{
	struct rig r;

	(void)state;
	start(&r);
	feed(&r, STR("BDAT 10\r\na"));
	buf_reset(&r.out);
	r.now += 499;
	smtp_server_run(r.server, r.now);
	feed(&r, STR("a"));
	r.now += 500;
	smtp_server_run(r.server, r.now);
	check_out(&r, "octets",
	    "421 4.4.2 data rate too low, closing the connection\n");
	rig_clear(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_message_time),
	    cmocka_unit_test(test_octet_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
