/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: what is a request, and what each command answers.
 */
#include "config.h"

#include "control_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- requests ---- */

static const struct {
	const char *line, *part;
} bad_requests[] = {
    {"", "one JSON object"},
    {"{", "one JSON object"},
    {"[]", "one JSON object"},
    {"{\"command\":\"status\"} x", "one JSON object"},
    {"{\"command\":\"status\",\"command\":\"senders\"}", "one JSON object"},
    {"{}", "needs a \"command\""},
    {"{\"command\":1}", "needs a \"command\""},
    {"{\"command\":\"dance\\u001b\"}", "no command \"dance\\x1b\""},
    {"{\"command\":\"status\",\"all\":true}", "takes no \"all\""},
    {"{\"command\":\"status\",\"who\":\"me\"}", "takes no \"who\""},
    {"{\"command\":\"show\"}", "show needs: sender"},
    {"{\"command\":\"show\",\"sender\":\"\"}", "1 to 512 bytes"},
    {"{\"command\":\"show\",\"sender\":7}", "1 to 512 bytes"},
    {"{\"command\":\"senders\",\"frozen\":1}", "true or false"},
    {"{\"command\":\"release\"}", "needs one of: sender, ids, all"},
    {"{\"command\":\"release\",\"all\":false}", "needs one of"},
    {"{\"command\":\"release\",\"recipient\":\"x\"}", "needs one of"},
    {"{\"command\":\"release\",\"all\":true,\"sender\":\"a\"}", "needs one of"},
    {"{\"command\":\"release\",\"ids\":[]}", "list of 1 to"},
    {"{\"command\":\"release\",\"ids\":\"x\"}", "list of 1 to"},
    {"{\"command\":\"release\",\"ids\":[1]}", "list of texts"},
    {"{\"command\":\"release\",\"ids\":[\"..\"]}", "not a queue id"},
    {"{\"command\":\"release\",\"all\":true,\"older\":\"2\"}", "duration"},
    {"{\"command\":\"thaw\",\"sender\":\"a\",\"then\":\"run\"}",
	"\"release\" or \"discard\""},
    {"{\"command\":\"events\",\"max\":0}", "number from 1"},
    {"{\"command\":\"events\",\"max\":1000000}", "number from 1"},
};

static void
test_bad_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
		struct control_request r;
		char err[512] = "";

		if (control_request_parse(
			str_from(bad_requests[i].line), &r, err, sizeof(err)))
			fail_msg("taken: %s", bad_requests[i].line);
		if (strstr(err, bad_requests[i].part) == NULL)
			fail_msg("%s: %s", bad_requests[i].line, err);
		control_request_clear(&r);
	}
}

static void
test_good_request(void **state)
{
	struct control_request r;
	char err[512], line[256], id[SPOOL_ID_TEXT];
	uint64_t want = (uint64_t)123456789 << 12;

	(void)state;
	snprintf(line, sizeof(line),
	    "{\"command\":\"release\",\"ids\":[\"%s\"],\"older\":\"2h\","
	    "\"recipient\":\"*@x\"}",
	    spool_id_format(want, id));
	assert_true(
	    control_request_parse(str_from(line), &r, err, sizeof(err)));
	assert_string_equal(r.command->name, "release");
	assert_int_equal(r.command->right, CONTROL_CHANGE);
	assert_int_equal(r.id_count, 1);
	assert_true(r.ids[0] == want);
	assert_int_equal(r.older_ms, 7200000);
	assert_string_equal(r.recipient, "*@x");
	assert_int_equal(
	    r.given, CONTROL_IDS | CONTROL_OLDER | CONTROL_RECIPIENT);
	control_request_clear(&r);
}

/* Each command says what it is for; what it needs, it takes. */
static void
test_table(void **state)
{
	(void)state;
	for (const struct control_command *c = control_commands;
	     c->name != NULL; c++) {
		assert_non_null(c->run);
		assert_non_null(c->doc);
		assert_true(
		    c->right == CONTROL_READ || c->right == CONTROL_CHANGE);
		assert_int_equal((c->needs | c->needs_one) & ~c->takes, 0);
	}
}

/* ---- commands ---- */

static void
test_status(void **state)
{
	static const char *const numbers[] = {"senders", "frozen_senders",
	    "held_messages", "held_recipients", "passed_recipients",
	    "delayed_recipients", "released_recipients", "refused_recipients",
	    "uptime_s"};
	struct world *w = *state;
	json_t *lines, *soon;

	submit_many(w, "alice@example.org", 3);
	lines = ask(w, "{\"command\":\"status\"}");
	assert_int_equal(json_array_size(lines), 2);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		number(row(lines, 0), numbers[i]);
	for (size_t i = 0; i < COUNT_MAX; i++)
		number(row(lines, 0), counter_info[i].name);
	assert_string_equal(text(row(lines, 0), "mode"), "enforce");
	assert_string_equal(text(row(lines, 0), "version"), "1.2.3");
	assert_int_equal(number(row(lines, 0), "senders"), 1);
	assert_int_equal(number(row(lines, 0), "held_messages"), 3);
	assert_int_equal(number(row(lines, 0), "held_recipients"), 3);
	assert_true(number(row(lines, 0), "uptime_s") >= 5);
	soon = json_object_get(row(lines, 0), "expiring_certificates");
	assert_int_equal(json_array_size(soon), 2);
	assert_string_equal(text(json_array_get(soon, 0), "names"), "x.test");
	assert_string_equal(
	    text(json_array_get(soon, 0), "file"), "/etc/x.pem");
	assert_true(
	    json_is_false(json_object_get(json_array_get(soon, 0), "expired")));
	assert_true(
	    json_is_true(json_object_get(json_array_get(soon, 1), "expired")));
	json_decref(lines);
}

static void
test_senders(void **state)
{
	struct world *w = *state;
	json_t *lines;

	submit_many(w, "alice@example.org", 2);
	submit(w, "bob@example.org", "x@example.net", STR(""));
	assert_int_equal(count_rows(w, "{\"command\":\"senders\"}"), 2);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"busy\":true}"), 1);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"frozen\":true}"), 0);
	lines =
	    ask(w, "{\"command\":\"show\",\"sender\":\"Alice@example.org\"}");
	assert_string_equal(text(row(lines, 0), "sender"), ALICE);
	assert_string_equal(text(row(lines, 0), "policy"), "default");
	assert_int_equal(number(row(lines, 0), "queue_length"), 2);
	assert_int_equal(number(row(lines, 0), "allowance"), 0);
	assert_int_equal(number(row(lines, 0), "working_set"), BURST);
	assert_int_equal(number(row(lines, 0), "freeze_at"), 100);
	assert_true(json_is_false(json_object_get(row(lines, 0), "frozen")));
	assert_int_equal(strlen(text(row(lines, 0), "last_seen")), 20);
	json_decref(lines);
	expect_error(w, "{\"command\":\"show\",\"sender\":\"carol\"}", 1,
	    "no such sender: carol");
}

static void
test_queue(void **state)
{
	struct world *w = *state;
	uint64_t id = submit_many(w, "alice@example.org", 3);
	char want[SPOOL_ID_TEXT];
	const json_t *m;
	json_t *lines = ask(w, "{\"command\":\"queue\"}");

	assert_int_equal(json_array_size(lines), 4);
	m = row(lines, 0);
	assert_string_equal(text(m, "id"), spool_id_format(id, want));
	assert_string_equal(text(m, "sender"), ALICE);
	assert_string_equal(text(m, "from"), "alice@example.org");
	assert_string_equal(text(m, "subject"), "S\xef\xbf\xbd");
	assert_int_equal(number(m, "size"), 20);
	assert_int_equal(strlen(text(m, "queued_at")), 20);
	m = json_array_get(json_object_get(m, "recipients"), 0);
	assert_string_equal(text(m, "address"), "n0@example.net");
	assert_string_equal(text(m, "state"), "held");
	json_decref(lines);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\",\"sender\":"
				       "\"alice@example.org\"}"),
	    3);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\","
				       "\"recipient\":\"n2@*\"}"),
	    1);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"queue\",\"older\":\"1h\"}"), 0);
	expect_error(w, "{\"command\":\"queue\",\"sender\":\"carol\"}", 1,
	    "no such sender");
}

static void
test_cat(void **state)
{
	struct world *w = *state;
	char body[100000], line[128], id[SPOOL_ID_TEXT];
	size_t at = 0;
	json_t *lines;
	uint64_t held;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)(i * 7 + i / 256);
	submit_many(w, "alice@example.org", 0);
	held = submit(w, "alice@example.org", "n@example.net",
	    (struct str){body, sizeof(body)});
	snprintf(line, sizeof(line), "{\"command\":\"cat\",\"ids\":[\"%s\"]}",
	    spool_id_format(held, id));
	lines = ask(w, line);
	assert_string_equal(
	    text(json_object_get(row(lines, 0), "envelope"), "id"), id);
	for (size_t i = 1; i + 1 < json_array_size(lines); i++) {
		const json_t *data = json_object_get(row(lines, i), "data");
		const unsigned char *p =
		    (const unsigned char *)json_string_value(data);
		size_t n = json_string_length(data);

		for (size_t j = 0; j < n; j++, at++) {
			unsigned c = p[j];

			if (c >= 0x80) {
				c = (c & 3) << 6 | (p[j + 1] & 0x3f);
				j++;
			}
			assert_true(at < sizeof(body));
			assert_int_equal(c, (unsigned char)body[at]);
		}
	}
	assert_int_equal(at, sizeof(body));
	assert_true(json_is_true(json_object_get(last(lines), "done")));
	json_decref(lines);
	snprintf(line, sizeof(line), "{\"command\":\"cat\",\"ids\":[\"%s\"]}",
	    spool_id_format(held + 4096, id));
	expect_error(w, line, 1, "no such");
}

static void
test_release(void **state)
{
	struct world *w = *state;
	uint64_t first = submit_many(w, "alice@example.org", 6);
	char line[128], id[SPOOL_ID_TEXT];

	submit_many(w, "bob@example.org", 3);
	snprintf(line, sizeof(line),
	    "{\"command\":\"release\",\"ids\":[\"%s\"]}",
	    spool_id_format(first, id));
	expect_done(w, line, 1);
	expect_error(w, line, 1, "nothing held fits");
	expect_done(w,
	    "{\"command\":\"release\",\"sender\":\"alice@example.org\","
	    "\"recipient\":\"n3@*\"}",
	    1);
	expect_done(
	    w, "{\"command\":\"release\",\"all\":true,\"older\":\"1h\"}", 0);
	expect_done(
	    w, "{\"command\":\"release\",\"sender\":\"bob@example.org\"}", 3);
	expect_done(w, "{\"command\":\"release\",\"all\":true}", 4);
	expect_done(w, "{\"command\":\"release\",\"all\":true}", 0);
	expect_error(w, "{\"command\":\"release\",\"sender\":\"carol\"}", 1,
	    "nothing held fits");
	/* Nine are released and wait for the next hop, which is not there. */
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 9);
}

static void
test_discard_and_audit(void **state)
{
	struct world *w = *state;
	json_t *lines;
	char who[64];

	submit_many(w, "alice@example.org", 4);
	expect_done(w,
	    "{\"command\":\"discard\",\"all\":true,\"recipient\":\"n1@*\"}", 1);
	expect_done(
	    w, "{\"command\":\"discard\",\"sender\":\"alice@example.org\"}", 3);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 0);
	lines = ask(w, "{\"command\":\"audit\"}");
	assert_int_equal(json_array_size(lines), 3);
	assert_string_equal(text(row(lines, 0), "action"), "discard");
	snprintf(who, sizeof(who), "(uid %u)", (unsigned)geteuid());
	assert_non_null(strstr(text(row(lines, 0), "who"), who));
	json_decref(lines);
	assert_int_equal(count_rows(w, "{\"command\":\"audit\",\"max\":1}"), 1);
}

static void
test_freeze_and_thaw(void **state)
{
	struct world *w = *state;

	submit_many(w, "alice@example.org", 4);
	expect_done(
	    w, "{\"command\":\"freeze\",\"sender\":\"alice@example.org\"}", -1);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"frozen\":true}"), 1);
	expect_done(
	    w, "{\"command\":\"thaw\",\"sender\":\"alice@example.org\"}", 0);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"frozen\":true}"), 0);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 4);
	expect_done(w,
	    "{\"command\":\"thaw\",\"sender\":\"alice@example.org\","
	    "\"then\":\"discard\"}",
	    4);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 0);
	expect_done(
	    w, "{\"command\":\"freeze\",\"sender\":\"new@example.org\"}", -1);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"senders\",\"frozen\":true}"), 1);
	expect_error(w, "{\"command\":\"thaw\",\"sender\":\"carol\"}", 1,
	    "no such sender");
}

static void
test_reload_and_config(void **state)
{
	struct world *w = *state;
	json_t *lines;

	expect_error(w, "{\"command\":\"reload\"}", 1,
	    "the old configuration stays: weir.conf:3: nonsense");
	w->reload_works = true;
	expect_done(w, "{\"command\":\"reload\"}", -1);
	assert_int_equal(w->reloads, 2);
	assert_int_equal(count_rows(w, "{\"command\":\"audit\"}"), 1);
	lines = ask(w, "{\"command\":\"config\"}");
	assert_int_equal(json_array_size(lines), 5);
	assert_string_equal(text(row(lines, 2), "line"), "\tx = 1");
	json_decref(lines);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bad_requests),
	    cmocka_unit_test(test_good_request),
	    cmocka_unit_test(test_table),
	    TEST(test_status),
	    TEST(test_senders),
	    TEST(test_queue),
	    TEST(test_cat),
	    TEST(test_release),
	    TEST(test_discard_and_audit),
	    TEST(test_freeze_and_thaw),
	    TEST(test_reload_and_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
