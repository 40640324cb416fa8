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
    {"{\"command\":\"dance\\u001b\"}", "unknown command \"dance\\x1b\""},
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
    {"{\"command\":\"release\",\"ids\":[1]}", "list of strings"},
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
check_table(const struct control_command *c)
{
	for (; c->name != NULL; c++) {
		assert_non_null(c->run);
		assert_non_null(c->doc);
		assert_true(c->right == CONTROL_READ ||
			    c->right == CONTROL_CHANGE ||
			    c->right == CONTROL_ADMIN);
		/* What the daemon itself is about no domain has. */
		assert_false(c->in_domain && c->right == CONTROL_ADMIN);
		assert_int_equal((c->needs | c->needs_one) & ~c->takes, 0);
	}
}

static void
test_table(void **state)
{
	(void)state;
	check_table(control_commands);
	check_table(access_commands);
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
	for (size_t i = 0; i < COUNT_MAX; i++) {
		if (counter_info[i].name != NULL)
			number(row(lines, 0), counter_info[i].name);
	}
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

static const json_t *
only_rcpt(const json_t *lines)
{
	assert_int_equal(json_array_size(lines), 2);
	return json_array_get(json_object_get(row(lines, 0), "recipients"), 0);
}

static void
test_find(void **state)
{
	struct world *w = *state;
	json_t *lines;
	const json_t *r;

	submit_many(w, "alice@example.org", 3);
	lines = ask(w, "{\"command\":\"find\",\"term\":\"N2@\"}");
	r = only_rcpt(lines);
	assert_string_equal(text(r, "address"), "n2@example.net");
	assert_string_equal(text(r, "what"), "held");
	assert_int_equal(number(r, "before"), 2);
	assert_int_equal(strlen(text(r, "expected")), 20);
	assert_non_null(strstr(text(r, "waits"), "2 ahead of it; it goes in "));
	json_decref(lines);
	assert_int_equal(count_rows(w, "{\"command\":\"find\",\"sender\":"
				       "\"Alice@example.org\",\"max\":2}"),
	    2);
	expect_done(w, "{\"command\":\"freeze\",\"sender\":\"" ALICE "\"}", -1);
	lines = ask(w, "{\"command\":\"find\",\"recipient\":\"n2@*\"}");
	r = only_rcpt(lines);
	assert_string_equal(text(r, "what"), "frozen");
	assert_string_equal(
	    text(r, "waits"), "until <alice@example.org> is thawed");
	assert_true(json_is_null(json_object_get(r, "expected")));
	json_decref(lines);
	expect_done(w, "{\"command\":\"thaw\",\"sender\":\"" ALICE "\"}", -1);
	expect_done(w,
	    "{\"command\":\"release\",\"all\":true,"
	    "\"recipient\":\"n2@*\"}",
	    1);
	lines = ask(w, "{\"command\":\"find\",\"recipient\":\"n2@*\"}");
	assert_string_not_equal(text(only_rcpt(lines), "what"), "held");
	json_decref(lines);
}

/* Not in the spool: what events know, and where to look. */
static void
test_find_gone(void **state)
{
	struct world *w = *state;
	json_t *lines;

	submit_many(w, "alice@example.org", 1);
	expect_done(w, "{\"command\":\"discard\",\"all\":true}", 1);
	lines = ask(w, "{\"command\":\"find\",\"term\":\"N0@example\"}");
	assert_true(json_array_size(lines) >= 2);
	for (size_t i = 0; i + 1 < json_array_size(lines); i++)
		assert_non_null(strstr(
		    text(json_object_get(json_array_get(lines, i), "event"),
			"detail"),
		    "n0@example.net"));
	assert_non_null(strstr(
	    text(last(lines), "error"), "matching events are shown above"));
	json_decref(lines);
	expect_error(w,
	    "{\"command\":\"find\",\"subject\":\"nothing like it\"}", 1,
	    "no mail in the spool matches");
	expect_error(w, "{\"command\":\"find\"}", 2, "needs one or more of");
	expect_error(w, "{\"command\":\"find\",\"client\":\"somewhere\"}", 2,
	    "must be an IP address");
}

/* ---- problems ---- */

static const json_t *
find_problem(const json_t *lines, const char *kind, const char *who)
{
	for (size_t i = 0; i + 1 < json_array_size(lines); i++) {
		const json_t *r = row(lines, i);
		const char *name = json_string_value(json_object_get(r, "who"));

		if (strcmp(text(r, "kind"), kind) == 0 &&
		    strcmp(name != NULL ? name : "", who) == 0)
			return r;
	}
	fail_msg("no problem \"%s\" of \"%s\"", kind, who);
	return NULL;
}

static void
on_hop_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	(void)reply;
	(void)now;
	*(bool *)arg = true;
}

/* One recipient that waits since then: its ticket tells. */
static void
submit_old(struct world *w, const char *from, int64_t since)
{
	struct gate_facts facts = {.sender = str_from(from)};
	int64_t now = loop_now(w->loop), wall = clock_wall_ms();
	struct gate_txn *txn = gate_begin(w->gate, &facts, now);
	uint64_t ticket = spool_new_id(w->spool, since);
	enum throttle_verdict verdict;

	gate_recipient(
	    txn, STR("old@example.net"), now, wall, take_verdict, &verdict);
	assert_int_equal(verdict, THROTTLE_HOLD);
	gate_commit(txn, &ticket, now, wall);
}

static void
ask_of_frozen(struct world *w, const char *from)
{
	struct gate_facts facts = {.sender = str_from(from)};
	int64_t now = loop_now(w->loop);
	struct gate_txn *txn = gate_begin(w->gate, &facts, now);
	enum throttle_verdict verdict;

	gate_sender(txn, now, clock_wall_ms(), take_verdict, &verdict);
	assert_int_equal(verdict, THROTTLE_REFUSE);
	gate_cancel(txn, now);
}

static void
test_problems(void **state)
{
	static const struct hop_ops ops = {.on_fail = on_hop_fail};
	struct world *w = *state;
	int64_t wall = clock_wall_ms();
	bool failed = false;
	json_t *lines;
	const json_t *p;

	assert_int_equal(count_rows(w, "{\"command\":\"problems\"}"), 0);
	submit_many(w, "bob@example.org", 0);
	submit_old(w, "bob@example.org", wall - 2 * 3600 * 1000);
	submit_many(w, "alice@example.org", 1);
	submit_many(w, "carol@example.org", 1); /* waits not for long */
	expect_done(w,
	    "{\"command\":\"freeze\",\"sender\":\"" ALICE
	    "\",\"reason\":\"call 17\"}",
	    -1);
	expect_done(w, "{\"command\":\"freeze\",\"sender\":\"o'x; rm\"}", -1);
	ask_of_frozen(w, "alice@example.org");
	ask_of_frozen(w, "alice@example.org");
	events_add_option(w->events, wall, EVENT_LIMIT, "refused_max",
	    "192.0.2.1", "", "asked too much");
	(void)nexthop_get(w->nexthop, false, &ops, &failed, loop_now(w->loop));
	assert_true(pump_until(w->loop, pump_is_set, &failed));

	lines = ask(w, "{\"command\":\"problems\"}");
	assert_int_equal(json_array_size(lines), 7);
	p = find_problem(lines, "next_hop", "unix:/nonexistent/mta");
	assert_non_null(strstr(text(p, "reason"), "No such file"));
	assert_non_null(strstr(text(p, "help"), "weirctl flush"));
	assert_int_equal(strlen(text(p, "next")), 20);
	p = find_problem(lines, "frozen", ALICE);
	assert_string_equal(text(p, "reason"), "by hand: call 17");
	assert_int_equal(number(p, "count"), 1);
	assert_true(json_is_false(json_object_get(p, "never_accepted")));
	assert_string_equal(text(p, "help"),
	    "weirctl show alice@example.org; weirctl thaw alice@example.org");
	p = find_problem(lines, "frozen", "o'x; rm");
	assert_string_equal(text(p, "help"),
	    "weirctl show 'o'\\''x; rm'; weirctl thaw 'o'\\''x; rm'");
	assert_true(json_is_true(json_object_get(p, "never_accepted")));
	p = find_problem(lines, "refused", ALICE);
	assert_int_equal(number(p, "count"), 2);
	assert_string_equal(text(p, "reason"), "sender is frozen");
	assert_string_equal(text(p, "option"), "when_frozen");
	assert_non_null(strstr(text(p, "help"), "weirctl thaw alice@"));
	p = find_problem(lines, "client", "192.0.2.1");
	assert_string_equal(text(p, "help"), "refused_max in weir.conf(5)");
	assert_true(json_is_null(json_object_get(p, "never_accepted")));
	p = find_problem(lines, "held", "<bob@example.org>");
	assert_int_equal(number(p, "count"), 1);
	assert_in_range(number(p, "age_s"), 7199, 7300);
	assert_true(json_is_false(json_object_get(last(lines), "more")));
	json_decref(lines);

	/* One of each kind: who waits for longest. */
	lines = ask(w, "{\"command\":\"problems\",\"max\":1}");
	assert_int_equal(json_array_size(lines), 5);
	(void)find_problem(lines, "held", "<bob@example.org>");
	assert_true(json_is_true(json_object_get(last(lines), "more")));
	json_decref(lines);
}

static void
test_freeze_with_reason(void **state)
{
	struct world *w = *state;
	char line[600], longer[220];
	json_t *lines;

	submit_many(w, "alice@example.org", 1);
	expect_done(w,
	    "{\"command\":\"freeze\",\"sender\":\"" ALICE "\",\"reason\":"
	    "\"call 17: p\u00e4ssword\",\"for\":\"2h\"}",
	    -1);
	lines = ask(w, "{\"command\":\"senders\",\"frozen\":true}");
	assert_string_equal(text(row(lines, 0), "freeze_reason"), "by hand");
	assert_string_equal(
	    text(row(lines, 0), "freeze_note"), "call 17: p\xc3\xa4ssword");
	assert_int_equal(strlen(text(row(lines, 0), "thaw_at")), 20);
	json_decref(lines);
	memset(longer, 'x', 201);
	longer[201] = '\0';
	snprintf(line, sizeof(line),
	    "{\"command\":\"freeze\",\"sender\":\"x\",\"reason\":\"%s\"}",
	    longer);
	expect_error(w, line, 2, "1 to 200 bytes of printable");
	expect_error(w,
	    "{\"command\":\"freeze\",\"sender\":\"x\","
	    "\"reason\":\"a\\nb\"}",
	    2, "printable");
	expect_error(w,
	    "{\"command\":\"freeze\",\"sender\":\"x\",\"for\":\"0s\"}", 2,
	    "more than 0");
	expect_error(w,
	    "{\"command\":\"freeze\",\"sender\":\"x\",\"for\":\"9999d\"}", 2,
	    "at most 366d");
	expect_error(w,
	    "{\"command\":\"thaw\",\"sender\":\"x\",\"for\":\"1h\"}", 2,
	    "takes no");
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
	expect_error(w, line, 1, "no held mail matches");
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
	    "no such sender: carol (never seen)");
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

static const char *
audit_detail(struct world *w, const char *action, char out[600])
{
	json_t *lines = ask(w, "{\"command\":\"audit\",\"max\":1}");

	/* Who asked is answered before what he did is on disk. */
	for (int i = 0; i < 1000 && row(lines, 0) == NULL; i++) {
		json_decref(lines);
		lines = ask(w, "{\"command\":\"audit\",\"max\":1}");
	}
	assert_string_equal(text(row(lines, 0), "action"), action);
	str_copy(str_from(text(row(lines, 0), "detail")), out, 600);
	json_decref(lines);
	return out;
}

/* By an id alone nobody knows later whose mail it was. */
static void
test_audit_tells_whose(void **state)
{
	struct world *w = *state;
	char line[200], want[200], detail[600];
	char a[SPOOL_ID_TEXT], b[SPOOL_ID_TEXT];

	spool_id_format(submit_many(w, "alice@example.org", 1), a);
	spool_id_format(submit_many(w, "bob@example.org", 1), b);
	snprintf(
	    line, sizeof(line), "{\"command\":\"cat\",\"ids\":[\"%s\"]}", a);
	json_decref(ask(w, line));
	snprintf(want, sizeof(want), "%s of %s to n0@example.net", a, ALICE);
	assert_string_equal(audit_detail(w, "cat", detail), want);
	snprintf(line, sizeof(line),
	    "{\"command\":\"release\",\"ids\":[\"%s\",\"%s\"],"
	    "\"recipient\":\"n*\"}",
	    a, b);
	expect_done(w, line, 2);
	snprintf(want, sizeof(want),
	    "%s of %s to n0@example.net; %s of <bob@example.org> to "
	    "n0@example.net; recipient n*",
	    a, ALICE, b);
	assert_string_equal(audit_detail(w, "release", detail), want);
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
	    TEST(test_find),
	    TEST(test_find_gone),
	    TEST(test_problems),
	    TEST(test_freeze_with_reason),
	    TEST(test_audit_tells_whose),
	    TEST(test_cat),
	    TEST(test_release),
	    TEST(test_discard_and_audit),
	    TEST(test_freeze_and_thaw),
	    TEST(test_reload_and_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
