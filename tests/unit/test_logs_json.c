/* SPDX-License-Identifier: BSD-3-Clause */
/* weir's own log, and logs that are JSON, KumoMTA's and rspamd's history: who
 * sent what to whom, and when. */
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

/* ---- weir ---- */

#define WEIR "2026-11-28T19:19:32Z info smtp message id=0S9N9W1"

static void
test_weir(void **state)
{
	(void)state;
	rig_file(WEIR
	    "A result=split sender=alice@example.org from=alice@example.org "
	    "client=192.0.2.17 size=90 recipients=3 passed=2 held=1 "
	    "delay_ms=2000 tls=none cipher=none code=250 reply=\"2.0.0 Ok: "
	    "to=x\" to=bob@example.net to=\"a\\x20b@example.net\"\n"
	    "2026-11-28T19:19:32Z info smtp recipients id=0S9N9W1A "
	    "to=carol@example.com\n"
	    "2026-11-28T19:19:32Z info gate hold sender=alice@example.org "
	    "policy=default id=0S9N9W1A to=carol@example.com reason=x "
	    "queue_length=1\n" WEIR
	    "B result=refused sender=alice@example.org from=alice@example.org "
	    "client=192.0.2.17 recipients=1 passed=1 held=0 delay_ms=0 "
	    "code=550 reply=no to=bob@example.net\n" WEIR
	    "C result=passed sender=[203.0.113.9] from=\"\" "
	    "client=203.0.113.9 recipients=1 passed=1 held=0 delay_ms=0 "
	    "code=250 reply=ok to=alice@example.org\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T19:19:30Z alice@example.org: bob@example.net "
	    "a b@example.net carol@example.com\n"
	    "2026-11-28T19:19:32Z in <>: alice@example.org\n");
	assert_int_equal(rig.stats.uses[READER_USED], 3);
	assert_int_equal(rig.stats.uses[READER_REJECTED], 1);
	assert_int_equal(rig.stats.uses[READER_NOTE], 1);
	assert_int_equal(rig.stats.uses[READER_STRANGE], 0);
	assert_int_equal(rig.joined.partial, 0);
}

/* By syslog, from the milter, under a login that looks like a key. */
static void
test_weir_milter(void **state)
{
	(void)state;
	rig_file("Nov 28 19:19:32 mx weir-maild[7]: info milter message id=M1 "
		 "result=passed sender=\"user:[odd]\" from=a@example.org "
		 "client=192.0.2.17 mta_id=4jcp size=1 recipients=1 passed=1 "
		 "held=0 delay_ms=0 reason=\"\" to=bob@example.net\n"
		 "Nov 28 19:19:33 mx weir-maild[7]: warning gate freeze "
		 "sender=x policy=default reason=full queue_length=100\n"
		 "Nov 28 19:19:34 mx cron[9]: x\n");
	assert_string_equal(
	    rig_end(), "2026-11-28T19:19:32Z [odd]: bob@example.net\n");
	assert_int_equal(rig.stats.uses[READER_OTHER_PROGRAM], 1);
}

/* ---- KumoMTA ---- */

#define KUMO(type, id) \
	"{\"type\":\"" type "\",\"id\":\"" id "\",\"nodeid\":\"n\","

static void
test_kumomta(void **state)
{
	(void)state;
	rig_file(KUMO("Reception",
	    "m1") "\"sender\":\"alice@example.org\","
		  "\"recipient\":\"bob@example.net\",\"peer_address\":"
		  "{\"name\":\"c\",\"addr\":\"192.0.2.17\"},\"timestamp\":"
		  "1795893601,\"event_time\":\"2026-11-28T19:20:01.5Z\","
		  "\"meta\":{\"authz_id\":\"Alice\",\"tenant\":\"t1\"}}\n"
	    /* Another recipient of the same, without event_time. */
	    KUMO("Reception",
		"m1") "\"sender\":\"alice@example.org\",\"recipient\":"
		      "\"carol@example.net\",\"timestamp\":1795893601}\n"
	    /* Several at once, and a tenant in place of a login. */
	    KUMO("Reception",
		"m2") "\"sender\":\"\",\"recipient\":[\"dan@example.net\","
		      "7,\"erin@example.com\"],\"timestamp\":1795893602,"
		      "\"meta\":{\"tenant\":\"shop\"}}\n" KUMO("Delivery",
			  "m1") "\"recipient\":\"bob@example.net\"}\n" KUMO("Xf"
									    "er"
									    "I"
									    "n",
			  "m1") "\"recipient\":\"bob@example.net\"}\n" KUMO("Re"
									    "je"
									    "ct"
									    "io"
									    "n",
			  "0") "\"recipient\":\"x@example.edu\"}\n" KUMO("Bounc"
									 "e",
			  "m3") "\"recipient\":\"x@example.edu\"}\n"
				"{\"type\":\"Reception\",\"id\":\"m4\","
				"\"timestamp\":\"soon\"}\n"
				"{\"type\":\"Reception\",\n");
	assert_string_equal(rig_end(),
	    "2026-11-28T19:20:01Z alice: bob@example.net carol@example.net\n"
	    "2026-11-28T19:20:02Z shop: dan@example.net erin@example.com\n");
	assert_int_equal(rig.s.v[0].client.bytes[3], 17);
	assert_int_equal(rig.stats.uses[READER_USED], 3);
	assert_int_equal(rig.stats.uses[READER_NOTE], 2);
	assert_int_equal(rig.stats.uses[READER_BOUNCE], 1);
	assert_int_equal(rig.stats.uses[READER_REJECTED], 1);
	assert_int_equal(rig.stats.uses[READER_STRANGE], 2);
	assert_int_equal(rig.stats.first, INT64_C(1795893601000));
}

/* ---- rspamd ---- */

#define SCAN(at, user, action)                                             \
	"{\"unix_time\":" #at ",\"message-id\":\"m@example.org\","         \
	"\"user\":\"" user "\",\"ip\":\"192.0.2.17\",\"action\":\"" action \
	"\",\"required_score\":15,\"symbols\":{\"A}\":{\"o\":[\"]\\\"\"]}}"

static const char history[] = "{\"version\":2,\n \"rows\" : [" SCAN(1795893602,
    "alice@example.org",
    "no action") ",\"sender_smtp\":\"alice@example.org\",\"rcpt_smtp\":["
		 "\"bob@example.net\",\"\\\"odd, n\\\"@example.net\"]},\n" SCAN(
		     1795893601, "unknown",
		     "no action") ",\"sender_smtp\":\"unknown\","
				  "\"rcpt_smtp\":[\"erin@example.org\"]}," SCAN(
				      1795893600, "mallory",
				      "soft reject") ",\"rcpt_smtp\":[\"x@"
						     "example.com\"]}]}\n";

/* The newest comes first. */
static const char history_says[] =
    "2026-11-28T19:20:01Z in <>: erin@example.org\n"
    "2026-11-28T19:20:02Z alice@example.org: bob@example.net "
    "\\x22odd, n\\x22@example.net\n";

static void
test_rspamd(void **state)
{
	(void)state;
	rig_file(history);
	assert_string_equal(rig_end(), history_says);
	assert_int_equal(rig.stats.lines, 3);
	assert_int_equal(rig.stats.uses[READER_REJECTED], 1);
}

static void
test_rspamd_cut(void **state)
{
	(void)state;
	rig_file_cut(str_from(history), 1);
	assert_string_equal(rig_end(), history_says);
}

/* What Redis has: an object a line, no document around it. */
static void
test_rspamd_lines(void **state)
{
	(void)state;
	rig_file(
	    SCAN(1795893602, "alice", "no action") ",\"rcpt_smtp\":["
						   "\"b@example.net\"]}\n");
	assert_string_equal(
	    rig_end(), "2026-11-28T19:20:02Z alice: b@example.net\n");
}

/* Neither the history without the plugin nor the log names all. */
static void
test_rspamd_nameless(void **state)
{
	(void)state;
	rig_file("[" SCAN(1795893602, "alice", "no action") "}]");
	rig_file("2026-11-28 19:26:52 #10(normal) <c68e1c>; task; "
		 "rspamd_task_write_log: id: <m@example.org>, rcpts: "
		 "<bob@example.net>\n");
	assert_string_equal(rig_end(), "");
	assert_int_equal(rig.stats.uses[READER_NOTE], 2);
	assert_ptr_equal(rig.stats.formats[0], &reader_rspamd);
	assert_non_null(reader_rspamd.empty);
}

/* A row that is too long goes, and the next one counts. */
static void
test_rows_long(void **state)
{
	size_t n = FEED_OBJECT_MAX + 100;
	char *text = malloc(n + 1000);
	int used = snprintf(text, n, "[{\"unix_time\":1,\"x\":\"");

	(void)state;
	memset(text + used, 'x', n - (size_t)used);
	snprintf(text + n, 1000, "\"},%s,\"rcpt_smtp\":[\"b@example.net\"]}",
	    SCAN(1795893602, "alice", "no action"));
	rig_file(text);
	free(text);
	assert_string_equal(
	    rig_end(), "2026-11-28T19:20:02Z alice: b@example.net\n");
	assert_int_equal(rig.stats.too_long, 1);
	assert_int_equal(rig.stats.uses[READER_STRANGE], 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_weir),
	    CASE(test_weir_milter),
	    CASE(test_kumomta),
	    CASE(test_rspamd),
	    CASE(test_rspamd_cut),
	    CASE(test_rspamd_lines),
	    CASE(test_rspamd_nameless),
	    CASE(test_rows_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
