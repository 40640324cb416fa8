/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server engine against dialogues: bytes in, bytes and events out. Every
 * dialogue runs whole, cut at every byte, byte by byte, and each of these with
 * answers from within the callbacks and later: the result is always the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp_rig.h"

static const struct dialogue order[] = {
    {"one message", 0, OPEN "DATA\r\n|Subject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n",
	OPEN_OUT GO "250 2.0.0 queued\n221 2.0.0 bye\n",
	OPEN_EVENTS "D Subject: x\r\n\r\nhi\r\n<END0> CLOSE:QUIT"},
    {"two messages", 0,
	OPEN "DATA\r\n|1\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\n"
	     "DATA\r\n|2\r\n.\r\nQUIT\r\n",
	OPEN_OUT GO "250 2.0.0 queued\n250 2.1.0 sender ok\n"
		    "250 2.1.5 recipient ok\n" GO
		    "250 2.0.0 queued\n221 2.0.0 bye\n",
	OPEN_EVENTS "D 1\r\n<END0> M:/0/0/0/0/ R:b@y/0/ "
		    "D 2\r\n<END0> CLOSE:QUIT"},
    {"HELO has no enhanced codes", 0,
	"helo c\r\n|mail from:<a@x>\r\nrcpt to:<no@y>\r\nquit\r\n",
	"250 mx.example.org\n250 sender ok\n550 unknown\n221 bye\n",
	"H:c M:a@x/0/0/0/0/ R:no@y/0/ RESET CLOSE:QUIT"},
    {"nothing advertised", PLAIN,
	HI "MAIL FROM:<a@x> SIZE=1\r\nMAIL FROM:<a@x>\r\n",
	"250 mx.example.org\n"
	"555 parameter not recognized or not offered\n250 sender ok\n",
	"E:c M:a@x/0/0/0/0/ "},
    {"before HELO", 0,
	"MAIL FROM:<a@x>\r\nRCPT TO:<a@x>\r\nDATA\r\n|RSET\r\nNOOP\r\n",
	"503 send EHLO or HELO first\n503 send EHLO or HELO first\n"
	"503 send EHLO or HELO first\n250 OK\n250 OK\n",
	""},
    {"out of order", 0, HI "RCPT TO:<b@y>\r\nDATA\r\n|",
	HI_OUT "503 5.5.1 send MAIL first\n503 5.5.1 send MAIL first\n",
	"E:c "},
    {"nested MAIL", 0, OPEN "MAIL FROM:<q@x>\r\n",
	OPEN_OUT "503 5.5.1 nested MAIL command; send RSET to start over\n",
	OPEN_EVENTS},
    {"DATA without recipients", 0,
	HI "MAIL FROM:<a@x>\r\nRCPT TO:<no@y>\r\nDATA\r\n|",
	HI_OUT "250 2.1.0 sender ok\n550 5.1.1 unknown\n"
	       "554 5.5.1 no valid recipients\n",
	"E:c M:a@x/0/0/0/0/ R:no@y/0/ "},
    {"RSET forgets", 0, OPEN "RSET\r\nRCPT TO:<b@y>\r\n",
	OPEN_OUT "250 2.0.0 OK\n503 5.5.1 send MAIL first\n",
	OPEN_EVENTS "RESET "},
    {"RSET with nothing to forget", 0, HI "RSET\r\n", HI_OUT "250 2.0.0 OK\n",
	"E:c "},
    {"EHLO forgets", 0, OPEN "EHLO c\r\n|DATA\r\n",
	OPEN_OUT HI_OUT "503 5.5.1 send MAIL first\n",
	OPEN_EVENTS "RESET E:c "},
    {"HELO refused by the owner", 0,
	"EHLO banned\r\n|MAIL FROM:<a@x>\r\nEHLO c\r\n|",
	"550 not you\n503 send EHLO or HELO first\n" HI_OUT, "E:banned E:c "},
    {"a refused MAIL and what was pipelined after it", 0,
	HI "MAIL FROM:<no@x>\r\nRCPT TO:<b@y>\r\nRCPT TO:<c@y>\r\n"
	   "DATA\r\n|QUIT\r\n",
	HI_OUT "550 5.7.1 bad sender\n503 5.5.1 the sender was refused\n"
	       "503 5.5.1 the sender was refused\n"
	       "503 5.5.1 the sender was refused\n221 2.0.0 bye\n",
	"E:c M:no@x/0/0/0/0/ CLOSE:QUIT"},
    {"421 from the owner ends", 0, OPEN "RCPT TO:<shut@y>\r\nNOOP\r\n",
	OPEN_OUT "421 4.3.2 going down\n",
	OPEN_EVENTS "R:shut@y/0/ RESET CLOSE:CLOSED"},
    {"an answer that is none", 0, OPEN "RCPT TO:<odd@y>\r\n",
	OPEN_OUT "451 4.5.0 the next hop sent an invalid reply\n",
	OPEN_EVENTS "R:odd@y/0/ "},
    {"an acceptance that sounds like the end", 0,
	OPEN "RCPT TO:<bye@y>\r\nNOOP\r\n",
	OPEN_OUT "250 2.1.5 bye\n250 2.0.0 OK\n", OPEN_EVENTS "R:bye@y/0/ "},
    {"quit in the middle", 0, OPEN "QUIT\r\nNOOP\r\n",
	OPEN_OUT "221 2.0.0 bye\n", OPEN_EVENTS "RESET CLOSE:QUIT"},
};

static const struct dialogue syntax[] = {
    {"lenient", 0,
	"ehlo c  \r\n|mAiL  FROM:   <a@x.org>  \r\n"
	"Rcpt to:\t<b@y.org>\t\r\nDATA \r\n|.\r\n",
	OPEN_OUT GO "250 2.0.0 queued\n", OPEN_EVENTS "D <END0> "},
    {"no brackets", 0,
	HI "MAIL FROM:a@x\r\nMAIL FROM:<a@x>\r\n"
	   "RCPT TO:b@y\r\n",
	HI_OUT
	"501 5.5.4 the address must be enclosed in angle brackets: MAIL "
	"FROM:<user@example.org>\n250 2.1.0 sender ok\n501 5.5.4 the address "
	"must be enclosed in angle brackets: RCPT TO:<user@example.org>\n",
	NULL},
    {"no keyword", 0, HI "MAIL TO:<a@x>\r\nMAIL\r\nMAIL <a@x>\r\n",
	HI_OUT "501 5.5.4 syntax: MAIL FROM:<address> [parameters]\n501 5.5.4 "
	       "syntax: MAIL FROM:<address> [parameters]\n501 5.5.4 syntax: "
	       "MAIL FROM:<address> [parameters]\n",
	"E:c "},
    {"bad paths", 0,
	HI "MAIL FROM:<a@>\r\nMAIL FROM:<a@x>SIZE=1\r\n"
	   "MAIL FROM:<a@x>\r\nRCPT TO:<>\r\nRCPT TO:<" A64 "a@x>\r\n"
	   "RCPT TO:<" A64 "@x>\r\n",
	HI_OUT "501 5.1.7 bad address syntax\n"
	       "501 5.1.7 bad address syntax\n250 2.1.0 sender ok\n"
	       "501 5.1.3 bad address syntax\n"
	       "553 5.1.3 local part longer than 64 bytes\n"
	       "250 2.1.5 recipient ok\n",
	NULL},
    {"postmaster and routes", 0,
	HI "MAIL FROM:<@r.org,@s.org:a@x.org>\r\nRCPT TO:<Postmaster>\r\n",
	HI_OUT "250 2.1.0 sender ok\n250 2.1.5 recipient ok\n",
	"E:c M:a@x.org/0/0/0/0/ R:Postmaster/0/ "},
    {"bad HELO names", 0,
	"EHLO\r\n|EHLO a b\r\n|EHLO <c>\r\n|HELO " A256 "\r\n|",
	"501 syntax: EHLO hostname\n501 syntax: EHLO hostname\n501 expected a "
	"host name or an address literal\n501 expected a host name or an "
	"address literal\n",
	""},
    {"HELO names that pass", 0,
	"EHLO [127.0.0.1]\r\n|EHLO my_pc\r\n|EHLO [IPv6:::1]\r\n|",
	HI_OUT HI_OUT HI_OUT, "E:[127.0.0.1] E:my_pc E:[IPv6:::1] "},
    {"arguments where none may be", 0, HI "RSET x\r\nQUIT now\r\n",
	HI_OUT "501 5.5.4 syntax: RSET\n501 5.5.4 syntax: QUIT\n", "E:c "},
    {"known and unknown", 0,
	HI "STARTTLS\r\nAUTH PLAIN x\r\nBDAT 5 LAST\r\n12345FOO\r\n",
	HI_OUT "502 5.5.1 command not offered\n"
	       "502 5.5.1 command not offered\n"
	       "502 5.5.1 command not offered\n"
	       "500 5.5.2 command not recognized\n",
	"E:c "},
    {"VRFY, NOOP, HELP", 0, HI "VRFY a\r\nNOOP a b\r\nHELP\r\nVRFY\r\n",
	HI_OUT "252 2.5.0 cannot VRFY user; send a message to find out\n250 "
	       "2.0.0 OK\n214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY "
	       "QUIT; see RFC 5321\n501 5.5.4 syntax: VRFY address\n",
	"E:c "},
    {"bare LF in commands", 0, HI "NOOP\nNOOP\r\n",
	HI_OUT
	"500 5.5.2 bare <LF>; commands must end in <CR><LF>\n250 2.0.0 OK\n",
	"E:c "},
    {"bare LF is no matter when normalized", NORMALIZE, HI "NOOP\n",
	HI_OUT "500 5.5.2 bare <LF>; commands must end in <CR><LF>\n", "E:c "},
    {"bare LF allowed", ALLOW, HI "NOOP\nNOOP\r\n",
	HI_OUT "250 2.0.0 OK\n250 2.0.0 OK\n", "E:c "},
    {"bare CR in commands", 0, HI "NOOP\rRSET\r\n\r\n",
	HI_OUT "500 5.5.2 control character in the command\n"
	       "500 5.5.2 command not recognized\n",
	"E:c "},
    {"long line", 0, HI "NOOP " A256 A256 "\r\nNOOP\r\n",
	HI_OUT "500 5.5.2 command line too long\n250 2.0.0 OK\n", "E:c "},
};

/* What a client that cannot be mended says reaches the owner mended. */
static const struct dialogue lenient[] = {
    {"HELO with what would break a header", LENIENT,
	"HELO My (PC)<x>\r\n|EHLO B\xfcro\r\n|HELO\r\n|",
	"250 mx.example.org\n" HI_OUT "501 5.5.4 syntax: HELO hostname\n",
	"H:My??PC??x? E:B?ro "},
    {"addresses without brackets, parameters after HELO", LENIENT,
	"HELO c\r\n|MAIL FROM: a@x SIZE=9 BODY=8BITMIME\r\n"
	"RCPT TO:< b@y >\r\nRCPT TO:b@y c\r\nRSET\r\n"
	"MAIL FROM:< >\r\n",
	"250 mx.example.org\n250 sender ok\n250 recipient ok\n"
	"555 parameter not recognized or not offered\n250 OK\n"
	"250 sender ok\n",
	"H:c M:a@x/9/0/0/0/ R:b@y/0/ RESET M:/0/0/0/0/ "},
    {"LF . LF", LENIENT,
	"HELO c\n|MAIL FROM:<a@x>\nRCPT TO:<b@y>\nDATA\n|a\n..\n.\nQUIT\n",
	"250 mx.example.org\n250 sender ok\n250 recipient ok\n"
	"354 end data with <CR><LF>.<CR><LF>\n250 queued\n221 bye\n",
	"H:c M:a@x/0/0/0/0/ R:b@y/0/ D a\r\n.\r\n<END0> CLOSE:QUIT"},
};

static const struct dialogue parameters[] = {
    {"all of them", 0,
	HI "MAIL FROM:<a@x> SIZE=2000 BODY=8bitmime ret=HDRS "
	   "ENVID=q+2Bz SMTPUTF8\r\n"
	   "RCPT TO:<b@y> NOTIFY=SUCCESS,delay ORCPT=rfc822;b+2B@y\r\n"
	   "RCPT TO:<c@y> NOTIFY=never\r\n",
	HI_OUT "250 2.1.0 sender ok\n250 2.1.5 recipient ok\n"
	       "250 2.1.5 recipient ok\n",
	"E:c M:a@x/2000/2/1/2/q+2Bz R:b@y/10/rfc822;b+2B@y "
	"R:c@y/1/ "},
    {"UTF-8 in ORCPT, as Postfix writes it", 0,
	HI "MAIL FROM:<a@x>\r\n"
	   "RCPT TO:<b@y> ORCPT=rfc822;m+C3+BCller@y\r\n"
	   "RCPT TO:<c@y> ORCPT=rfc822;m+7F@y\r\n"
	   "RCPT TO:<c@y> ORCPT=rfc822;m+0Dller@y\r\n",
	HI_OUT "250 2.1.0 sender ok\n250 2.1.5 recipient ok\n"
	       "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n",
	NULL},
    {"size", 0,
	HI "MAIL FROM:<a@x> SIZE=2001\r\nMAIL FROM:<a@x> "
	   "SIZE=99999999999999999999999\r\n"
	   "MAIL FROM:<a@x> SIZE\r\nMAIL FROM:<a@x> SIZE=\r\n",
	HI_OUT "552 5.3.4 message size exceeds the limit\n"
	       "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n",
	"E:c "},
    {"twice", 0, HI "MAIL FROM:<a@x> SIZE=1 size=1\r\n",
	HI_OUT "501 5.5.4 duplicate parameter\n", "E:c "},
    {"not ours", 0,
	HI "MAIL FROM:<a@x> AUTH=<>\r\nMAIL FROM:<a@x> =\r\n"
	   "MAIL FROM:<a@x> NOTIFY=NEVER\r\n",
	HI_OUT "555 5.5.4 parameter not recognized or not offered\n"
	       "555 5.5.4 parameter not recognized or not offered\n"
	       "555 5.5.4 parameter not recognized or not offered\n",
	"E:c "},
    {"bad values of MAIL", 0,
	HI "MAIL FROM:<a@x> BODY=BINARYMIME\r\n"
	   "MAIL FROM:<a@x> RET=ALL\r\nMAIL FROM:<a@x> ENVID=a+0Ab\r\n"
	   "MAIL FROM:<a@x> SMTPUTF8=1\r\n",
	HI_OUT "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n",
	"E:c "},
    {"bad values of RCPT", 0,
	HI "MAIL FROM:<a@x>\r\nRCPT TO:<b@y> NOTIFY=NEVER,DELAY\r\n"
	   "RCPT TO:<b@y> NOTIFY=\r\nRCPT TO:<b@y> ORCPT=b@y\r\n"
	   "RCPT TO:<b@y> ORCPT=rfc822;b+\r\n",
	HI_OUT "250 2.1.0 sender ok\n"
	       "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n"
	       "501 5.5.4 malformed parameter value\n",
	NULL},
    {"UTF-8", 0,
	HI "MAIL FROM:<\xC3\xBC@x>\r\nMAIL FROM:<\xC3\xBC@x> SMTPUTF8\r\n"
	   "RCPT TO:<b@\xC3\xBC.org>\r\nRCPT TO:<\xFF@y>\r\n",
	HI_OUT
	"553 5.6.7 non-ASCII address requires SMTPUTF8\n250 2.1.0 sender "
	"ok\n250 2.1.5 recipient ok\n501 5.1.3 bad address syntax\n",
	"E:c M:\xC3\xBC@x/0/0/1/0/ R:b@\xC3\xBC.org/0/ "},
    {"UTF-8 in a recipient alone", 0, OPEN "RCPT TO:<\xC3\xBC@y>\r\n",
	OPEN_OUT "553 5.6.7 non-ASCII address requires SMTPUTF8\n",
	OPEN_EVENTS},
};

#define REC "Received: x\r\n"
static const struct dialogue defences[] = {
    {"bare LF in data", 0, OPEN "DATA\r\n|a\nb\r\n.\r\nNOOP\r\n",
	OPEN_OUT GO "550 5.5.2 message contains a bare <CR> or <LF>; lines "
		    "must end in <CR><LF>\n250 2.0.0 OK\n",
	NULL},
    {"smuggled by LF", 0,
	OPEN "DATA\r\n|a\n.\nMAIL FROM:<evil@x>\r\n.\r\nNOOP\r\n",
	OPEN_OUT GO "550 5.5.2 message contains a bare <CR> or <LF>; lines "
		    "must end in <CR><LF>\n250 2.0.0 OK\n",
	NULL},
    {"smuggled by LF, normalized", NORMALIZE,
	OPEN "DATA\r\n|a\n.\r\nMAIL FROM:<evil@x>\r\n.\r\nNOOP\r\n",
	OPEN_OUT GO "250 2.0.0 queued\n250 2.0.0 OK\n",
	OPEN_EVENTS "D a\r\n.\r\nMAIL FROM:<evil@x>\r\n<END0> "},
    {"too big", 0,
	OPEN "DATA\r\n|\r\n" A256 "\r\n" A256 "\r\n" A256 "\r\n" A256
	     "\r\n" A256 "\r\n" A256 "\r\n" A256 "\r\n" A256
	     "\r\n.\r\nNOOP\r\n",
	OPEN_OUT GO "552 5.3.4 message size exceeds the limit\n250 2.0.0 OK\n",
	NULL},
    {"long text line", 0, OPEN "DATA\r\n|" A256 A64 "\r\n.\r\nNOOP\r\n",
	OPEN_OUT GO
	"554 5.6.0 message contains a line that is too long\n250 2.0.0 OK\n",
	NULL},
    {"loop", 0, OPEN "DATA\r\n|" REC REC REC REC "\r\nx\r\n.\r\nNOOP\r\n",
	OPEN_OUT GO "554 5.4.6 too many hops: mail loop\n250 2.0.0 OK\n", NULL},
    {"Received in the body is text", 0,
	OPEN "DATA\r\n|" REC REC REC "\r\n" REC REC "\r\n.\r\n",
	OPEN_OUT GO "250 2.0.0 queued\n", NULL},
    {"errors", 0, HI "A\r\nB\r\nC\r\nD\r\nE\r\nF\r\n",
	HI_OUT "500 5.5.2 command not recognized\n"
	       "500 5.5.2 command not recognized\n"
	       "500 5.5.2 command not recognized\n"
	       "500 5.5.2 command not recognized\n"
	       "500 5.5.2 command not recognized\n"
	       "421 4.7.0 too many errors\n",
	"E:c CLOSE:ERRORS"},
    {"idle commands", 0,
	HI "NOOP\r\nRSET\r\nVRFY a\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n",
	HI_OUT "250 2.0.0 OK\n250 2.0.0 OK\n252 2.5.0 cannot VRFY user; send a "
	       "message to find out\n250 2.0.0 OK\n250 2.0.0 OK\n421 4.7.0 too "
	       "many commands without mail\n",
	"E:c CLOSE:ERRORS"},
    {"refused recipients", 0,
	OPEN "RCPT TO:<no1@y>\r\nRCPT TO:<no2@y>\r\nRCPT TO:<no3@y>\r\n"
	     "RCPT TO:<no4@y>\r\nRCPT TO:<no5@y>\r\n",
	OPEN_OUT "550 5.1.1 unknown\n550 5.1.1 unknown\n"
		 "550 5.1.1 unknown\n550 5.1.1 unknown\n"
		 "421 4.7.0 too many recipients refused\n",
	OPEN_EVENTS "R:no1@y/0/ R:no2@y/0/ R:no3@y/0/ R:no4@y/0/ "
		    "RESET CLOSE:ERRORS"},
    {"too many recipients", 0,
	OPEN "RCPT TO:<c@y>\r\nRCPT TO:<d@y>\r\nRCPT TO:<e@y>\r\n"
	     "DATA\r\n|.\r\n",
	OPEN_OUT
	"250 2.1.5 recipient ok\n250 2.1.5 recipient ok\n452 4.5.3 too many "
	"recipients for one message, send the rest separately\n" GO
	"250 2.0.0 queued\n",
	OPEN_EVENTS "R:c@y/0/ R:d@y/0/ D <END0> "},
    {"HTTP", 0, "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	"521 this is an SMTP server; the client does not speak SMTP\n",
	"CLOSE:PROTOCOL"},
    {"HTTP by POST and LF", 0, "POST / HTTP/1.1\nMAIL FROM:<a@x>\n",
	"521 this is an SMTP server; the client does not speak SMTP\n",
	"CLOSE:PROTOCOL"},
    {"HTTP later is just unknown", 0, HI "GET / HTTP/1.1\r\n",
	HI_OUT "500 5.5.2 command not recognized\n", "E:c "},
    {"TLS", 0, "\x16\x03\x01\x02",
	"521 this is an SMTP server; the client does not speak SMTP\n",
	"CLOSE:PROTOCOL"},
    {"SSH", 0, "SSH-2.0-x\r\n",
	"521 this is an SMTP server; the client does not speak SMTP\n",
	"CLOSE:PROTOCOL"},
    {"pipelining behind EHLO", WHOLE, "EHLO c\r\nMAIL FROM:<a@x>\r\n",
	"554 illegal pipelining: wait for the reply to this command\n",
	"CLOSE:PROTOCOL"},
    {"pipelining behind DATA", WHOLE, OPEN "DATA\r\nhi\r\n.\r\n",
	OPEN_OUT "554 5.5.0 illegal pipelining: wait for the reply to "
		 "this command\n",
	OPEN_EVENTS "RESET CLOSE:PROTOCOL"},
};

static void
test_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		run_dialogue(&order[i]);
}

static void
test_syntax(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(syntax); i++)
		run_dialogue(&syntax[i]);
}

static void
test_parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
		run_dialogue(&parameters[i]);
}

static void
test_lenient(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lenient); i++)
		run_dialogue(&lenient[i]);
}

static void
test_defences(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(defences); i++)
		run_dialogue(&defences[i]);
}

static void
test_nul_in_command(void **state)
{
	static const char in[] = "NO\0OP\r\n";
	struct rig r;

	(void)state;
	rig_init(&r, 0, false);
	feed(&r, (struct str){in, sizeof(in) - 1});
	check_out(&r, "NUL", "500 control character in the command\n");
	rig_clear(&r);
}

/* line_max counts CR LF. */
static void
test_line_limit(void **state)
{
	char line[513];
	struct rig r;

	(void)state;
	for (size_t n = 512; n <= 513; n++) {
		memset(line, 'x', sizeof(line));
		memcpy(line, "NOOP ", 5);
		memcpy(line + n - 2, "\r\n", 2);
		rig_init(&r, 0, false);
		feed(&r, (struct str){line, n});
		check_out(&r, "limit",
		    n == 512 ? "250 OK\n" : "500 command line too long\n");
		rig_clear(&r);
	}
}

static void
test_endless_line(void **state)
{
	char junk[1000];
	struct rig r;

	(void)state;
	memset(junk, 'a', sizeof(junk));
	rig_init(&r, 0, false);
	for (int i = 0; i < 100; i++) {
		feed(&r, (struct str){junk, sizeof(junk)});
		assert_int_equal(r.in.len, 0);
	}
	check_out(&r, "endless",
	    "554 command line does not end, closing the connection\n");
	check_events(&r, "endless", "CLOSE:PROTOCOL");
	rig_clear(&r);
}

static void
test_early_talk(void **state)
{
	struct rig r = {.limits = default_limits};

	(void)state;
	buf_init(&r.out, 1 << 20);
	buf_init(&r.events, 1 << 20);
	r.server = smtp_server_new(&r.limits, "mx.example.org", &ops, &r);
	assert_int_equal(smtp_server_feed(r.server, "EHLO c\r\n", 8, 0), 0);
	smtp_server_greet(r.server, true, 0);
	check_out(
	    &r, "early", "554 protocol error: data sent before the greeting\n");
	check_events(&r, "early", "CLOSE:PROTOCOL");
	rig_clear(&r);
}

/* Input that comes while DATA has no answer yet. */
static void
test_early_data(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 0, false);
	feed(&r, STR("EHLO c\r\n"));
	feed(&r, STR("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"));
	buf_reset(&r.out);
	buf_reset(&r.events);
	r.later = true;
	assert_int_equal(smtp_server_feed(r.server, "DATA\r\n", 6, r.now), 6);
	assert_int_equal(smtp_server_feed(r.server, "x", 1, r.now), 0);
	answer_now(&r);
	check_out(&r, "early data",
	    "554 5.5.0 illegal pipelining: wait for the reply to this "
	    "command\n");
	check_events(&r, "early data", "D RESET CLOSE:PROTOCOL");
	rig_clear(&r);
}

/* Honest clients pipeline a whole envelope: what fails in vain is no error
 * until there was more of it than a message has recipients. */
static void
test_in_vain_is_capped(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 0, false);
	feed(&r, STR("EHLO c\r\n"));
	feed(&r, STR("MAIL FROM:<no@x>\r\n"));
	for (int i = 0; i < 2; i++)
		feed(&r, STR("RCPT TO:<b@y>\r\n"));
	assert_int_equal(smtp_server_errors(r.server), 0);
	for (int i = 0; i < 10; i++)
		feed(&r, STR("RCPT TO:<b@y>\r\n"));
	assert_true(r.closed);
	rig_clear(&r);
}

/* An owner whose output is full gets no more than one reply at a time. */
static void
test_yield(void **state)
{
	static const char text[] = "NOOP\r\nNOOP\r\nNOOP\r\n";
	struct rig r;
	size_t at = 0;

	(void)state;
	rig_init(&r, 0, false);
	r.yields = true;
	for (size_t i = 1; i <= 3; i++) {
		at += smtp_server_feed(
		    r.server, text + at, sizeof(text) - 1 - at, r.now);
		assert_int_equal(at, 6 * i);
		check_out(&r, "yield", "250 OK\n");
		buf_reset(&r.out);
	}
	r.yields = false;
	assert_int_equal(smtp_server_feed(r.server, text, 18, r.now), 18);
	rig_clear(&r);
}

/* At a RCPT, in its callback and later, what stands right behind it. */
static void
test_look_ahead(void **state)
{
	static const struct str text =
	    STR("RCPT TO:<a@y>\r\nRcpt To: <b@y> NOTIFY=NEVER\r\n"
		"RCPT TO:<c@y>\r\nRCPT TO:<\xc3\xa4@y>\r\nRCPT TO:<d@y>\r\n"
		"RCPT TO:e@y\r\nNOOP\r\nRCPT TO:<f@y>\r\nRCPT TO:<g@");
	struct rig r;
	size_t used;

	(void)state;
	rig_init(&r, 0, false);
	r.limits.recipients_max = 9;
	feed(&r, STR("EHLO c\r\n"));
	feed(&r, STR("MAIL FROM:<a@x>\r\n"));
	buf_reset(&r.events);
	r.looks = r.later = true;
	used = smtp_server_feed(r.server, text.p, text.n, r.now);
	assert_int_equal(used, 15);
	check_events(&r, "ahead in the callback", "R:a@y/0/>b@y>c@y ");
	buf_reset(&r.events);
	smtp_server_look_ahead(
	    r.server, str_sub(text, used, text.n), 9, note_ahead, &r);
	check_events(&r, "ahead later", ">b@y>c@y");
	buf_reset(&r.events);
	/* Nothing was consumed by it, and no question is open at its end. */
	r.later = false;
	answer_now(&r);
	feed(&r, str_sub(text, used, text.n));
	check_events(&r, "all in their turn",
	    "R:b@y/1/>c@y R:c@y/0/ R:d@y/0/ R:f@y/0/ ");
	buf_reset(&r.events);
	smtp_server_look_ahead(
	    r.server, STR("RCPT TO:<h@y>\r\n"), 9, note_ahead, &r);
	check_events(&r, "no question", "");
	rig_clear(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_syntax),
	    cmocka_unit_test(test_parameters),
	    cmocka_unit_test(test_lenient),
	    cmocka_unit_test(test_defences),
	    cmocka_unit_test(test_nul_in_command),
	    cmocka_unit_test(test_line_limit),
	    cmocka_unit_test(test_endless_line),
	    cmocka_unit_test(test_early_talk),
	    cmocka_unit_test(test_early_data),
	    cmocka_unit_test(test_in_vain_is_capped),
	    cmocka_unit_test(test_yield),
	    cmocka_unit_test(test_look_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
