/* SPDX-License-Identifier: BSD-3-Clause */
/* The logs of Exim, Sendmail and OpenSMTPD: who sent what to whom, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log_rig.h"

static int
tear_down(void **state)
{
	(void)state;
	rig_clear();
	return 0;
}

static int
set_up(void **state)
{
	(void)state;
	rig_begin();
	return 0;
}

/* ---- Exim ---- */

#define EXIM "2026-11-28 19:23:06 1xXO0o-00001j-0"

/* Recipients come with the deliveries, once each, as the sender named them. */
static void
test_exim(void **state)
{
	(void)state;
	rig_file(EXIM
	    "p <= alice@example.org H=(c.example.org) [127.0.0.1] "
	    "P=esmtpa A=plain:Alice@example.org S=275 id=m1@example.org\n" EXIM
	    "p => bob@example.net R=send T=smtp H=h [198.51.100.1] "
	    "C=\"250 queued as 1\"\n" EXIM
	    "p ** nobody@example.net R=send T=smtp H=h [198.51.100.1]: "
	    "550-5.1.1 <nobody@example.net>:\\n550 no\n" EXIM
	    "p == later@example.net R=send T=smtp defer (-44) H=h\n" EXIM
	    "q <= <> R=1xXO0o-00001j-0p U=Debian-exim P=local S=1938\n" EXIM
	    "q => alice@example.org R=local T=maildir\n"
	    "2026-11-28 19:23:10 1xXO0o-00001j-0p == later@example.net "
	    "routing defer (-52): retry time not reached\n" EXIM
	    "p -> odd, name@example.net <\"odd, name\"@example.net> "
	    "R=send T=smtp\n" EXIM
	    "p -> carol@example.net <team@example.org> R=send T=smtp\n" EXIM
	    "p Completed\n"
	    "2026-11-28 19:23:06 H=([192.0.2.17]) [127.0.0.1] "
	    "F=<n@example.org> rejected RCPT <s@example.net>: no\n"
	    "2026-11-28 19:23:07 plain authenticator failed for (c) "
	    "[127.0.0.1]: 535 Incorrect authentication data (set_id=bad)\n"
	    "2026-11-28 19:23:10 Start queue run: pid=141\n"
	    " Suggested action: use keep_environment.\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T19:23:06Z alice@example.org: bob@example.net "
	    "nobody@example.net later@example.net "
	    "\\x22odd, name\\x22@example.net team@example.org\n");
	assert_int_equal(rig.stats.uses[READER_BOUNCE], 1);
	assert_int_equal(rig.stats.uses[READER_REJECTED], 1);
	assert_int_equal(rig.stats.uses[READER_FAILED_LOGIN], 1);
	assert_int_equal(rig.stats.uses[READER_STRANGE], 0);
}

/* With +received_recipients they stand at the end, which a subject may try to
 * look like. */
static void
test_exim_all(void **state)
{
	(void)state;
	rig_file(
	    "2026-11-28 19:23:15.223 1xXO0x-00003H-0i <= alice@example.org "
	    "H=(c.example.org) [192.0.2.9]:59960 I=[127.0.0.1]:10025 P=esmtpa "
	    "L.- A=plain:alice@example.org S=286 id=m1@example.org T=\"for "
	    "x@y A=plain:eve\" from <alice@example.org> for bob@example.net "
	    "\"odd, name\"@example.net\n"
	    "2026-11-28 20:23:15.223 +0100 [4711] 1rNnXX-000000001Jm-3abc <= "
	    "<> H=a [192.0.2.9]:59960 P=esmtpsa X=TLS1.3:E:256 CV=no "
	    "A=dovecot_plain:alice@example.org S=1 T=\"is for x@y\"\n"
	    "2026-11-28 20:23:16.000 +0100 [4712] 1rNnXX-000000001Jm-3abc >> "
	    "dave@example.net R=dnslookup T=remote_smtp\n"
	    "Nov 28 19:23:16 mx exim[4711]: 2026-11-28 19:23:16 "
	    "1xXO0o-00001j-0p <= cron@example.org U=root P=local S=3\n"
	    "Nov 28 19:23:16 mx exim[4711]: 2026-11-28 19:23:16 "
	    "1xXO0o-00001j-0p *> ops@example.net R=dnslookup T=remote_smtp\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T19:23:15Z alice@example.org: bob@example.net "
	    "\\x22odd, name\\x22@example.net\n"
	    "2026-11-28T19:23:15Z alice@example.org: dave@example.net\n"
	    "2026-11-28T19:23:16Z [local]: ops@example.net\n");
	assert_int_equal(rig.s.v[0].client.bytes[3], 9);
	assert_int_equal(rig.s.v[1].sender, 0);
}

/* ---- Sendmail ---- */

#define SM "Nov 28 19:25:36 mx sendmail"

/* The login is of the process; the next client of that number has none. */
static void
test_sendmail(void **state)
{
	(void)state;
	rig_file(SM
	    "[167]: AUTH=server, relay=pc [192.0.2.17], authid=alice, "
	    "mech=PLAIN, bits=0\n" SM
	    "[167]: 6ASJPasG000167: from=<alice@example.org>, size=87, "
	    "class=0, nrcpts=4, msgid=<m1@example.org>, proto=ESMTPA, "
	    "daemon=MTA, relay=pc [192.0.2.17]\n" SM
	    "[169]: 6ASJPasG000167: to=<later@example.net>, "
	    "delay=00:00:00, mailer=esmtp, reply=450 <x@y>, a=b, stat="
	    "Deferred: 450\n" SM
	    "[169]: 6ASJPasG000167: to=<\"odd, name\"@example.net>,"
	    "<bob@example.net>, [more], delay=00:00:01, mailer=esmtp, "
	    "stat=Sent (Ok: queued as 4f)\n" SM
	    "[169]: 6ASJPasG000167: to=carol@example.net,dan@example.net, "
	    "00:00:00, mailer=esmtp, stat=Sent (ok)\n" SM
	    "[188]: 6ASJPasG000167: to=<later@example.net>, "
	    "delay=00:00:01, mailer=esmtp, stat=Sent\n" SM
	    "[169]: 6ASJPasG000167: done; delay=00:00:00, ntries=2\n" SM
	    "[167]: 6ASJPaHX000174: <nouser@example.org>... User unknown\n" SM
	    "[167]: 6ASJPaHX000174: from=<n@example.org>, size=91, "
	    "class=0, nrcpts=0, proto=ESMTP, daemon=MTA, relay=mx "
	    "[127.0.0.1]\n" SM
	    "[167]: 6ASJPaHZ000174: from=<n@example.org>, size=91, "
	    "class=0, nrcpts=1, proto=ESMTP, daemon=MTA, relay=mx "
	    "[127.0.0.1]\n" SM
	    "[167]: 6ASJPaHZ000174: to=<eve@example.net>, mailer=esmtp, "
	    "stat=Sent\n" SM
	    "[186]: 6ASJPbXL000186: AUTH failure (PLAIN): user not found\n" SM
	    "[122]: starting daemon (8.17.1.9): SMTP\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T19:25:36Z alice: later@example.net "
	    "\\x22odd, name\\x22@example.net bob@example.net "
	    "carol@example.net dan@example.net\n"
	    "2026-11-28T19:25:36Z [127.0.0.1]: eve@example.net\n");
	assert_int_equal(rig.stats.uses[READER_STRANGE], 0);
	assert_int_equal(rig.stats.uses[READER_FAILED_LOGIN], 1);
}

/* A program's message has two ids. */
static void
test_sendmail_local(void **state)
{
	(void)state;
	rig_file(
	    SM "[410]: 6ASJP0ab000410: from=www-data, size=420, class=0, "
	       "nrcpts=1, msgid=<1@mx>, relay=www-data@localhost\n"
	       "Nov 28 19:25:36 mx sm-mta[411]: 6ASJP0cd000411: "
	       "from=<www-data@mx.example.org>, size=630, class=0, nrcpts=1, "
	       "msgid=<1@mx>, proto=ESMTP, daemon=MTA-v4, relay=localhost "
	       "[127.0.0.1]\n" SM
	       "[410]: 6ASJP0ab000410: to=bob@example.net, ctladdr=www-data "
	       "(33/33), delay=00:00:00, mailer=relay, relay=[127.0.0.1] "
	       "[127.0.0.1], stat=Sent (6ASJP0cd000411 Message accepted for "
	       "delivery)\n"
	       "Nov 28 19:25:37 mx sm-mta[413]: 6ASJP0cd000411: "
	       "to=<bob@example.net>, delay=1+02:03:04, mailer=esmtp, "
	       "stat=Sent (ok)\n");
	assert_string_equal(
	    rig_end(), "2026-11-28T19:25:36Z [local]: bob@example.net\n");
	assert_int_equal(rig.joined.hops, 1);
}

/* ---- OpenSMTPD ---- */

#define OS "2026-11-28T19:25:37.000000+00:00 mx smtpd[123]: "

static void
test_opensmtpd(void **state)
{
	(void)state;
	rig_file(OS
	    "fba52117a0e7d893 smtp connected address=192.0.2.17 host=pc\n" OS
	    "fba52117a0e7d893 smtp tls ciphers=TLSv1.3:A:256\n" OS
	    "fba52117a0e7d893 smtp authentication user=bad result="
	    "permfail\n" OS
	    "fba52117a0e7d893 smtp authentication user=Alice@example.org "
	    "result=ok\n" OS
	    "fba52117a0e7d893 smtp message msgid=57f0e006 size=283 "
	    "nrcpt=2 proto=ESMTP\n" OS
	    "fba52117a0e7d893 smtp envelope evpid=57f0e0064e7be4d8 "
	    "from=<alice@example.org> to=<bob@example.net>\n" OS
	    "fba52117a0e7d893 smtp envelope evpid=57f0e0060efb14e6 "
	    "from=<alice@example.org> to=<team@example.org>\n" OS
	    "fba5211ac27c033d mta delivery evpid=57f0e0060efb14e6 "
	    "from=<alice@example.org> to=<carol@example.net> "
	    "rcpt=<team@example.org> delay=0s result=\"Ok\" stat=\"250\"\n" OS
	    "fba52117a0e7d893 smtp failed-command command=\"rcpt "
	    "TO:<s@example.net>\" result=\"550 no\"\n" OS
	    "fba52117a0e7d893 smtp message msgid=a5805975 size=307 nrcpt=1 "
	    "proto=ESMTP\n" OS
	    "fba52117a0e7d893 smtp envelope evpid=a5805975a434d247 from=<> "
	    "to=<dave@example.com>\n" OS
	    "fba52117a0e7d893 smtp disconnected reason=quit\n" OS
	    "fba52117a0e7d893 smtp connected address=127.0.0.1 host=lo\n" OS
	    "fba52117a0e7d893 smtp message msgid=b5805975 size=307 nrcpt=1 "
	    "proto=ESMTP\n" OS
	    "fba52117a0e7d893 smtp envelope evpid=b5805975a434d247 "
	    "from=<n@example.org> to=<erin@example.com>\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T19:25:37Z alice@example.org: bob@example.net "
	    "team@example.org\n"
	    "2026-11-28T19:25:37Z alice@example.org: dave@example.com\n"
	    "2026-11-28T19:25:37Z [127.0.0.1]: erin@example.com\n");
	assert_int_equal(rig.stats.uses[READER_FAILED_LOGIN], 1);
	assert_int_equal(rig.stats.uses[READER_REJECTED], 1);
	assert_int_equal(rig.stats.uses[READER_STRANGE], 0);
}

/* ---- Exchange ---- */

/* A user writes to a group and two strangers; the group shows when it is sent
 * on; another server gets the same; the columns change in between. */
static void
test_exchange(void **state)
{
	(void)state;
	rig_file(
	    "\xef\xbb\xbf#Software: Microsoft Exchange Server\r\n"
	    "#Fields: date-time,client-ip,source,event-id,internal-message-id,"
	    "network-message-id,recipient-address,message-subject,"
	    "sender-address,return-path,original-client-ip\r\n"
	    "2026-11-28T10:00:00.100Z,2001:db8::a,STOREDRIVER,RECEIVE,91,n1,"
	    "team@example.org;bob@example.net;carol@example.com,"
	    "\"Re: \"\"budget\"\", final\",Alice@example.org,"
	    "alice@example.org,192.0.2.77\r\n"
	    "2026-11-28T10:00:00.200Z,,ROUTING,EXPAND,91,n1,m1@example.org;"
	    "m2@example.net,x,alice@example.org,alice@example.org,\r\n"
	    "2026-11-28T10:00:01.300Z,192.0.2.20,SMTP,SEND,94,n1,"
	    "bob@example.net;m2@example.net,x,alice@example.org,,192.0.2.77"
	    "\r\n"
	    "2026-11-28T10:00:01.400Z,192.0.2.20,SMTP,RECEIVE,95,n1,"
	    "bob@example.net,x,alice@example.org,,192.0.2.20\r\n"
	    "#Fields: date-time,event-id,network-message-id,source,"
	    "recipient-address,sender-address,return-path,original-client-ip"
	    "\r\n"
	    "2026-11-28T11:00:00.000Z,RECEIVE,n2,SMTP,alice@example.org,"
	    "x@example.com,<>,203.0.113.5\r\n"
	    "2026-11-28T11:00:00.000Z,NOTIFYMAPI,,STOREDRIVER,,,,\r\n"
	    "rubbish\r\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T10:00:00Z alice@example.org: team@example.org "
	    "bob@example.net carol@example.com m2@example.net\n"
	    "2026-11-28T11:00:00Z in <>: alice@example.org\n");
	assert_int_equal(rig.s.v[0].client.bytes[3], 77);
	assert_int_equal(rig.stats.uses[READER_STRANGE], 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_exim),
	    CASE(test_exim_all),
	    CASE(test_sendmail),
	    CASE(test_sendmail_local),
	    CASE(test_opensmtpd),
	    CASE(test_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
