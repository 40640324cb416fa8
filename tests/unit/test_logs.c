/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Heads of lines, times, packed files, and Postfix's log: who sent what to
 * whom, and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log_rig.h"
#include "replay/unpack.h"

#include <lzma.h>
#include <time.h>
#include <zlib.h>

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

/* ---- times ---- */

static int64_t
syslog_time(struct stamp_clock *c, const char *text)
{
	struct str s = str_from(text);
	int64_t at;

	if (!stamp_take_syslog(c, &s, &at))
		fail_msg("%s", text);
	stamp_note(c, at);
	return at;
}

static const char *
shown(int64_t at)
{
	static char out[UNITS_TEXT_MAX];

	return units_format_time(at, out);
}

static void
set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void
test_years(void **state)
{
	struct stamp_clock c;

	(void)state;
	set_zone("UTC0");
	stamp_init(&c, RIG_NEWEST, 0);
	assert_string_equal(
	    shown(syslog_time(&c, "Dec 31 23:59:59")), "2025-12-31T23:59:59Z");
	assert_string_equal(
	    shown(syslog_time(&c, "Jan  1 00:00:02")), "2026-01-01T00:00:02Z");
	/* Of another host, and late. */
	assert_string_equal(
	    shown(syslog_time(&c, "Dec 31 23:59:58")), "2025-12-31T23:59:58Z");
	assert_string_equal(
	    shown(syslog_time(&c, "Jan  1 00:00:03")), "2026-01-01T00:00:03Z");
	assert_int_equal(c.back, 0);
	/* The file is of 2026, which has no such day. */
	stamp_init(&c, RIG_NEWEST, 0);
	assert_string_equal(
	    shown(syslog_time(&c, "Feb 29 12:00:00")), "2024-02-29T12:00:00Z");
	stamp_init(&c, RIG_NEWEST, 2019);
	assert_string_equal(
	    shown(syslog_time(&c, "Nov 28 12:00:00")), "2019-11-28T12:00:00Z");
}

/* 03:00 became 02:00 on 2026-10-25 in Berlin, and 02:00 became 03:00 on
 * 2026-03-29. */
static void
test_daylight(void **state)
{
	struct stamp_clock c;

	(void)state;
	set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	stamp_init(&c, RIG_NEWEST, 0);
	assert_string_equal(
	    shown(syslog_time(&c, "Oct 25 01:59:59")), "2026-10-24T23:59:59Z");
	assert_string_equal(
	    shown(syslog_time(&c, "Oct 25 02:30:00")), "2026-10-25T00:30:00Z");
	assert_string_equal(
	    shown(syslog_time(&c, "Oct 25 02:59:59")), "2026-10-25T00:59:59Z");
	assert_string_equal(
	    shown(syslog_time(&c, "Oct 25 02:00:01")), "2026-10-25T01:00:01Z");
	assert_string_equal(
	    shown(syslog_time(&c, "Oct 25 02:59:00")), "2026-10-25T01:59:00Z");
	assert_string_equal(
	    shown(syslog_time(&c, "Oct 25 03:00:00")), "2026-10-25T02:00:00Z");
	stamp_init(&c, RIG_NEWEST, 0);
	assert_string_equal(
	    shown(syslog_time(&c, "Mar 29 01:59:59")), "2026-03-29T00:59:59Z");
	assert_string_equal(
	    shown(syslog_time(&c, "Mar 29 03:00:00")), "2026-03-29T01:00:00Z");
	set_zone("UTC0");
}

static void
test_iso(void **state)
{
	static const char *const same[] = {"2026-11-28T19:19:32Z",
	    "2026-11-28T20:19:32+01:00", "2026-11-28T14:49:32.123456-0430",
	    "2026-11-28 19:19:32.5", "2026-11-28 19:19:32 +0000",
	    "2026-11-28T19:19:32,001Z"};
	struct stamp_clock c;
	int64_t at;

	(void)state;
	set_zone("UTC0");
	stamp_init(&c, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		struct str s = str_from(same[i]);

		assert_true(stamp_take_iso(&c, &s, &at));
		assert_int_equal(s.n, 0);
		assert_string_equal(shown(at), "2026-11-28T19:19:32Z");
	}
}

static void
test_no_times(void **state)
{
	static const char *const none[] = {"", "Nov", "Nov 28",
	    "Nov 32 00:00:00", "Nov 28 24:00:00 ", "Foo 28 19:19:32 ",
	    "2026-13-01T00:00:00Z", "2026-11-31T00:00:00Z",
	    "2026-11-28X19:19:32Z", "2026-11-28T19:19"};
	struct stamp_clock c;
	int64_t at;

	(void)state;
	stamp_init(&c, RIG_NEWEST, 0);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		struct str s = str_from(none[i]);

		assert_false(stamp_take_syslog(&c, &s, &at));
		assert_false(stamp_take_iso(&c, &s, &at));
		assert_ptr_equal(s.p, none[i]);
	}
}

/* ---- heads ---- */

static void
test_heads(void **state)
{
	static const char *const lines[] = {
	    "Nov 28 19:19:32 mx postfix/qmgr[498]: 1A: text: more",
	    "2026-11-28T19:19:32.123456+00:00 mx postfix/qmgr[498]: 1A: text: "
	    "more",
	    "<22>1 2026-11-28T19:19:32.1Z mx postfix/qmgr 498 - - 1A: text: "
	    "more",
	    "<22>1 2026-11-28T19:19:32Z mx postfix/qmgr 498 - "
	    "[q a=\"]\\\"]\" b=\"1\"][r] 1A: text: more",
	    "{\"log\":\"Nov 28 19:19:32 mx postfix/qmgr[498]: 1A: text: "
	    "more\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-28T19:19:32."
	    "4Z\"}",
	    "mail-1  | Nov 28 19:19:32 mx postfix/qmgr[498]: 1A: text: more",
	    "{\"_PID\":\"498\",\"MESSAGE\":\"1A: text: more\",\"_HOSTNAME\":"
	    "\"mx\",\"__REALTIME_TIMESTAMP\":\"1795893572123456\",\"SYSLOG_"
	    "IDENTIFIER\":\"postfix/qmgr\"}",
	    "{\"SYSLOG_PID\":\"498\",\"_PID\":\"1\",\"MESSAGE\":[49,65,58,32,"
	    "116,101,120,116,58,32,109,111,114,101],\"_HOSTNAME\":[\"mx\","
	    "\"b\"],\"__REALTIME_TIMESTAMP\":\"1795893572123456\",\"SYSLOG_"
	    "IDENTIFIER\":\"postfix/qmgr\"}",
	};
	struct head h;

	(void)state;
	set_zone("UTC0");
	head_init(&h, RIG_NEWEST, 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct head_line line;

		if (!head_parse(&h, str_from(lines[i]), &line))
			fail_msg("%s", lines[i]);
		assert_string_equal(shown(line.at), "2026-11-28T19:19:32Z");
		assert_true(str_eq(line.host, STR("mx")));
		assert_true(str_eq(line.program, STR("postfix/qmgr")));
		assert_true(str_eq(line.pid, STR("498")));
		assert_true(str_eq(line.text, STR("1A: text: more")));
	}
	head_clear(&h);
}

static void
test_no_heads(void **state)
{
	static const char *const lines[] = {"", "{", "{}", "[]", "{\"log\":1}",
	    "{\"MESSAGE\":\"x\"}", "-- Boot 8d1c --", "<22>", "<22>1 ",
	    "2026-11-28T15:16:09.949Z,192.0.2.14", "Nov 28 19:19:32", " | "};
	struct head h;

	(void)state;
	head_init(&h, RIG_NEWEST, 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct head_line line;

		if (head_parse(&h, str_from(lines[i]), &line))
			fail_msg("%s", lines[i]);
		assert_true(str_eq(line.text, str_from(lines[i])));
	}
	head_clear(&h);
}

/* A message with a line end and bytes that are no UTF-8 in it. */
#define ENTRY                                                   \
	"__REALTIME_TIMESTAMP=1795893572123456\n_HOSTNAME=mx\n" \
	"SYSLOG_IDENTIFIER=postfix/"

static void
test_export(void **state)
{
	static const char text[] = ENTRY
	    "submission/smtpd\n_PID=543\nMESSAGE=10012A9423F: "
	    "client=pc17[192.0.2.17], sasl_username=alice@example.org\n\n" ENTRY
	    "cleanup\nOTHER\n\4\0\0\0\0\0\0\0a\n\n\xff\nMESSAGE\n"
	    "\7\0\0\0\0\0\0\0caf\xe9\n\n\n\n\n" ENTRY
	    "smtp\nMESSAGE=10012A9423F: to=<bob@example.net>, relay=x, "
	    "status=sent (250 ok)\n";

	(void)state;
	for (size_t step = 1; step < sizeof(text); step += 7) {
		if (step > 1)
			rig_begin();
		rig_file_cut((struct str){text, sizeof(text) - 1}, step);
		assert_string_equal(rig_end(),
		    "2026-11-28T19:19:32Z alice@example.org: "
		    "bob@example.net\n");
		assert_int_equal(rig.stats.lines, 3);
		if (step + 7 < sizeof(text))
			rig_clear();
	}
}

/* ---- Postfix ---- */

#define AT "Nov 28 19:19:32 mx postfix/"
#define ALICE                                                      \
	"client=pc17.example.org[192.0.2.17], sasl_method=PLAIN, " \
	"sasl_username=Alice@example.org\n"
#define SENT                                                                \
	", relay=h[198.51.100.1]:25, delay=1, dsn=2.0.0, status=sent (250 " \
	"ok)\n"
#define DEFERRED                                                        \
	", relay=none, delay=1, dsn=4.4.1, status=deferred (said: 450 " \
	"<x@y>, try status=later)\n"

/* A login, four recipients, a retry, and a bounce, which is nobody's. */
static void
test_postfix_login(void **state)
{
	(void)state;
	rig_file(
	    AT "submission/smtpd[543]: connect from localhost[127.0.0.1]\n" AT
	       "submission/smtpd[543]: 10012A9423F: " ALICE AT
	       "cleanup[547]: 10012A9423F: message-id=<m1@example.org>\n" AT
	       "qmgr[498]: 10012A9423F: from=<alice@example.org>, "
	       "size=303, nrcpt=3 (queue active)\n" AT
	       "smtp[548]: 10012A9423F: to=<later@example.net>" DEFERRED AT
	       "smtp[548]: 10012A9423F: to=<\"odd, >name\"@example.net>" SENT AT
	       "smtp[548]: 10012A9423F: to=<nobody@example.net>, relay=h, "
	       "dsn=5.1.1, status=bounced (said: 550 \"x\", code=17)\n" AT
	       "bounce[563]: 10012A9423F: sender non-delivery "
	       "notification: 37524A94325\n" AT
	       "qmgr[498]: 37524A94325: from=<>, size=2509, nrcpt=1 "
	       "(queue active)\n" AT
	       "smtp[564]: 37524A94325: to=<alice@example.org>" SENT
	       "Nov 28 20:19:37 mx postfix/qmgr[589]: 10012A9423F: "
	       "from=<alice@example.org>, size=303, nrcpt=3 (queue active)\n"
	       "Nov 28 20:19:37 mx postfix/smtp[592]: 10012A9423F: "
	       "to=<later@example.net>" DEFERRED AT
	       "qmgr[589]: 10012A9423F: removed\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:32Z alice@example.org: later@example.net "
	    "\\x22odd, >name\\x22@example.net nobody@example.net\n");
	assert_int_equal(rig.stats.uses[READER_CONNECTION], 1);
	assert_int_equal(rig.stats.uses[READER_BOUNCE], 1);
	assert_int_equal(rig.joined.orphans, 2);
	assert_int_equal(rig.joined.partial, 0);
}

/* What the sender wrote to, once, whatever became of it. */
static void
test_postfix_alias(void **state)
{
	(void)state;
	rig_file(
	    AT "smtpd[1]: 4jcKpy64Dhz1cbr5: client=localhost[127.0.0.1]\n" AT
	       "qmgr[2]: 4jcKpy64Dhz1cbr5: from=<bob@example.org>, "
	       "size=1, nrcpt=2 (queue active)\n" AT
	       "smtp[3]: 4jcKpy64Dhz1cbr5: to=<b@example.net>, "
	       "orig_to=<team@example.org>" SENT AT
	       "local[3]: 4jcKpy64Dhz1cbr5: to=<c@example.net>, "
	       "orig_to=<team@example.org>" SENT);
	assert_string_equal(
	    rig_end(), "2026-11-28T19:19:32Z [127.0.0.1]: team@example.org\n");
	assert_int_equal(rig.joined.partial, 1);
}

/* Short ids are used again. */
static void
test_postfix_id_again(void **state)
{
	(void)state;
	rig_file(AT "smtpd[1]: 10012A9423F: " ALICE AT
		    "smtp[3]: 10012A9423F: to=<b@example.net>" SENT AT
		    "qmgr[3]: 10012A9423F: removed\n"
		    "Nov 28 19:19:40 mx postfix/smtpd[1]: 10012A9423F: " ALICE
		    "Nov 28 19:19:41 mx postfix/smtp[3]: 10012A9423F: "
		    "to=<c@example.net>" SENT);
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:32Z alice@example.org: b@example.net\n"
	    "2026-11-28T19:19:40Z alice@example.org: c@example.net\n");
}

/* The filter hands it back: before the line that says so, or with the first
 * id; another host's mail from this machine stays what it is. */
static void
test_postfix_content_filter(void **state)
{
	(void)state;
	rig_file(AT "smtpd[1]: 5F00AA94111: " ALICE AT
		    "smtpd[2]: 6A11BA94112: client=localhost[127.0.0.1]\n" AT
		    "smtp[3]: 6A11BA94112: to=<bob@example.net>" SENT AT
		    "qmgr[3]: 6A11BA94112: removed\n" AT
		    "smtp[3]: 5F00AA94111: to=<bob@example.net>, "
		    "relay=127.0.0.1[127.0.0.1]:10024, dsn=2.0.0, status=sent "
		    "(250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 "
		    "Ok: queued as 6A11BA94112)\n" AT
		    "smtpd[1]: 4D1C6A94110: " ALICE AT
		    "smtpd[2]: 7F00AA94111: client=unknown[unknown], "
		    "orig_queue_id=4D1C6A94110, "
		    "orig_client=pc17.example.org[192.0.2.17]\n" AT
		    "smtp[3]: 4D1C6A94110: to=<carol@example.net>" SENT AT
		    "smtp[3]: 7F00AA94111: to=<carol@example.net>" SENT AT
		    "smtpd[2]: 8A11BA94112: client=localhost[127.0.0.1]\n" AT
		    "smtp[3]: 8A11BA94112: to=<dave@example.net>" SENT);
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:32Z alice@example.org: bob@example.net\n"
	    "2026-11-28T19:19:32Z alice@example.org: carol@example.net\n"
	    "2026-11-28T19:19:32Z [127.0.0.1]: dave@example.net\n");
	assert_int_equal(rig.joined.hops, 2);
}

/* Local programs; what was held, with a subject that tries to say who; what was
 * refused; a client that gave up. */
static void
test_postfix_others(void **state)
{
	(void)state;
	rig_file(
	    AT "pickup[497]: 4742FA9426E: uid=0 from=<cron@example.org>\n" AT
	       "smtp[3]: 4742FA9426E: to=<ops@example.net>" SENT AT
	       "submission/smtpd[1]: 2DE1EA942A7: " ALICE AT
	       "cleanup[547]: 2DE1EA942A7: hold: header Subject: now; "
	       "from=<x@y> to=<z@y> proto=ESMTP helo=<c> from "
	       "localhost[127.0.0.1]; from=<alice@example.org> "
	       "to=<frank@example.net> proto=ESMTP helo=<c>: bulk\n" AT
	       "smtpd[549]: NOQUEUE: reject: RCPT from a[192.0.2.9]: 554 "
	       "5.7.1 <s@example.net>: denied; from=<n@example.org> "
	       "to=<s@example.net> proto=ESMTP helo=<c>\n" AT
	       "submission/smtpd[1]: B86DB5EF08: " ALICE AT
	       "cleanup[442]: B86DB5EF08: milter-reject: END-OF-MESSAGE "
	       "from pc[192.0.2.44]: 4.7.1 no; from=<alice@example.org>\n" AT
	       "smtp[3]: B86DB5EF08: to=<bob@example.net>" SENT AT
	       "smtpd[1]: 3C7DDA9426D: client=localhost[127.0.0.1]\n" AT
	       "smtpd[1]: lost connection after RCPT from "
	       "localhost[127.0.0.1]\n" AT
	       "smtpd[1]: warning: unknown[198.51.100.7]: SASL PLAIN "
	       "authentication failed: x, sasl_username=bad@example.org\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:32Z [local]: ops@example.net\n"
	    "2026-11-28T19:19:32Z alice@example.org: frank@example.net\n");
	assert_int_equal(rig.stats.uses[READER_REJECTED], 1);
	assert_int_equal(rig.stats.uses[READER_FAILED_LOGIN], 1);
	assert_int_equal(rig.stats.uses[READER_STRANGE], 0);
}

/* From outside to us teaches; what only passes is not ours. */
static void
test_postfix_incoming(void **state)
{
	(void)state;
	rig_file(
	    AT "smtpd[1]: 1F1A7A94275: client=m.example.com[203.0.113.5]\n" AT
	       "qmgr[2]: 1F1A7A94275: from=<x@example.com>, size=1, "
	       "nrcpt=2 (queue active)\n" AT
	       "lmtp[3]: 1F1A7A94275: to=<alice@example.org>" SENT AT
	       "smtp[3]: 1F1A7A94275: to=<y@example.edu>" SENT AT
	       "smtpd[1]: 2F1A7A94275: client=m.example.com[203.0.113.5]\n" AT
	       "smtp[3]: 2F1A7A94275: to=<y@example.edu>" SENT);
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:32Z in x@example.com: alice@example.org\n");
	assert_int_equal(rig.s.stats.incoming, 1);
	assert_int_equal(rig.s.stats.passing, 1);
	assert_int_equal(rig.s.stats.requests, 0);
}

/* Rotated by copying: the end of one file is the start of the next. */
static void
test_two_files(void **state)
{
	(void)state;
	rig_file(
	    AT "smtpd[1]: 10012A9423F: " ALICE AT
	       "smtp[3]: 10012A9423F: to=<b@example.net>" SENT AT
	       "smtpd[1]: 20012A9423F: " ALICE
	       "Nov 28 20:00:00 mx postfix/smtpd[1]: 30012A9423F: " ALICE AT
	       "qmgr[3]: 10012A9423F: removed\n");
	rig_file(AT "smtpd[1]: 10012A9423F: " ALICE AT
		    "smtp[3]: 10012A9423F: to=<b@example.net>" SENT AT
		    "smtp[3]: 20012A9423F: to=<c@example.net>" SENT);
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:32Z alice@example.org: b@example.net\n"
	    "2026-11-28T19:19:32Z alice@example.org: c@example.net\n");
}

/* The oldest goes on as it is when there is no more room. */
static void
test_full_table(void **state)
{
	(void)state;
	rig_clear();
	rig_begin_bounded(2);
	rig_file(AT "smtpd[1]: 10012A9423F: " ALICE AT
		    "smtp[3]: 10012A9423F: to=<b@example.net>" SENT AT
		    "smtpd[1]: 20012A9423F: " ALICE AT
		    "smtpd[1]: 30012A9423F: " ALICE AT
		    "smtp[3]: 10012A9423F: to=<late@example.net>" SENT AT
		    "smtp[3]: 20012A9423F: to=<c@example.net>" SENT);
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:32Z alice@example.org: b@example.net\n"
	    "2026-11-28T19:19:32Z alice@example.org: c@example.net\n");
	assert_int_equal(rig.joined.evicted, 1);
	assert_int_equal(rig.joined.orphans, 1);
}

/* A line of more than 1 MiB, zeros that a crash left, and no line end. */
static void
test_bad_lines(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4u << 20);
	assert_true(
	    buf_append_str(&b, STR(AT "smtpd[1]: 10012A9423F: " ALICE)));
	for (unsigned i = 0; i < (2u << 20); i++)
		assert_true(buf_append(&b, "x", 1));
	assert_true(buf_append_str(&b,
	    STR("\nrubbish \x01\n\0\0\0" AT
		"smtp[3]: 10012A9423F: to=<b@example.net>, status=sent (ok)")));
	rig_file_cut(buf_str(&b), 60000);
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:32Z alice@example.org: b@example.net\n");
	assert_int_equal(rig.stats.lines, 4);
	assert_int_equal(rig.stats.too_long, 1);
	assert_int_equal(rig.stats.uses[READER_STRANGE], 2);
	assert_int_equal(rig.stats.sample_count, 1);
	assert_string_equal(rig.stats.samples[0], "log:3: rubbish \\x01");
	buf_clear(&b);
}

/* ---- packed files ---- */

static bool
collect(void *arg, struct str piece)
{
	return buf_append_str(arg, piece);
}

static bool
unpacks(struct str packed, size_t step, struct buf *out, const char **why)
{
	struct unpack *u = unpack_new(collect, out);
	bool ok = true;

	buf_reset(out);
	*why = NULL;
	for (size_t i = 0; i < packed.n && ok; i += step)
		ok = unpack_push(u, str_sub(packed, i, step), false, why);
	ok = ok && unpack_push(u, STR(""), true, why);
	unpack_free(u);
	return ok;
}

static size_t
pack_gzip(struct str plain, char *out, size_t cap)
{
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, 0), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)plain.p;
	z.avail_in = (uInt)plain.n;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return cap - z.avail_out;
}

static size_t
pack_xz(struct str plain, char *out, size_t cap)
{
	size_t n = 0;

	assert_int_equal(
	    lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL,
		(const uint8_t *)plain.p, plain.n, (uint8_t *)out, &n, cap),
	    LZMA_OK);
	return n;
}

static void
check_packed(struct str plain, const char *packed, size_t n)
{
	const char *why;
	struct buf out;

	buf_init(&out, 1u << 20);
	for (size_t step = 1; step <= n; step = step * 3 + 1) {
		assert_true(unpacks((struct str){packed, n}, step, &out, &why));
		assert_true(str_eq(buf_str(&out), plain));
	}
	assert_false(unpacks((struct str){packed, n - 3}, 64, &out, &why));
	assert_non_null(strstr(why, "truncated"));
	buf_clear(&out);
}

static void
test_unpack(void **state)
{
	static char plain[200000], packed[100000];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (char)('a' + i * i % 17);
	n = pack_gzip(
	    (struct str){plain, sizeof(plain)}, packed, sizeof(packed));
	check_packed((struct str){plain, sizeof(plain)}, packed, n);
	n = pack_xz((struct str){plain, sizeof(plain)}, packed, sizeof(packed));
	check_packed((struct str){plain, sizeof(plain)}, packed, n);
}

static void
test_unpack_others(void **state)
{
	char packed[4000];
	const char *why;
	struct buf out;
	size_t n;

	(void)state;
	buf_init(&out, 1u << 20);
	assert_true(unpacks(STR("ab"), 1, &out, &why));
	assert_true(str_eq(buf_str(&out), STR("ab")));
	assert_true(unpacks(STR(""), 1, &out, &why));
	/* Two parts, as cat makes them. */
	n = pack_gzip(STR("one "), packed, sizeof(packed));
	n += pack_gzip(STR("two"), packed + n, sizeof(packed) - n);
	assert_true(unpacks((struct str){packed, n}, n, &out, &why));
	assert_true(str_eq(buf_str(&out), STR("one two")));
	packed[n - 12] ^= 0x55;
	assert_false(unpacks((struct str){packed, n}, n, &out, &why));
	assert_non_null(strstr(why, "damaged"));
	buf_clear(&out);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_years),
	    cmocka_unit_test(test_daylight),
	    cmocka_unit_test(test_iso),
	    cmocka_unit_test(test_no_times),
	    cmocka_unit_test(test_heads),
	    cmocka_unit_test(test_no_heads),
	    CASE(test_export),
	    CASE(test_postfix_login),
	    CASE(test_postfix_alias),
	    CASE(test_postfix_id_again),
	    CASE(test_postfix_content_filter),
	    CASE(test_postfix_others),
	    CASE(test_postfix_incoming),
	    CASE(test_two_files),
	    CASE(test_full_table),
	    CASE(test_bad_lines),
	    cmocka_unit_test(test_unpack),
	    cmocka_unit_test(test_unpack_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
