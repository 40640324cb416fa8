/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weir-replay reads: lines, traces, nodes, packed files, the plan of an
 * attack; and the agenda.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "replay/agenda.h"
#include "replay/attack.h"
#include "replay/input.h"
#include "replay/scratch.h"
#include "replay/trace.h"

static struct err err;

/* ---- lines ---- */

static bool
gather(void *arg, struct str line, struct err *why)
{
	struct buf *out = arg;

	if (str_eq(line, STR("bad"))) {
		err_set(why, "is bad");
		return false;
	}
	return buf_printf(out, "[%.*s]", STR_ARG(line));
}

static bool
push_by(struct str s, size_t step, struct buf *out)
{
	struct lines l;
	bool ok = true;

	lines_init(&l, "name", gather, out);
	for (size_t i = 0; i < s.n && ok; i += step)
		ok = lines_push(&l, str_sub(s, i, step), &err);
	ok = ok && lines_end(&l, &err);
	lines_clear(&l);
	return ok;
}

static void
test_lines(void **state)
{
	struct str s = STR("one\n\ntwo three\nlast");
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	for (size_t step = 1; step <= s.n; step++) {
		buf_reset(&out);
		assert_true(push_by(s, step, &out));
		assert_true(
		    str_eq(buf_str(&out), STR("[one][][two three][last]")));
	}
	for (size_t step = 1; step <= s.n; step++) {
		assert_false(push_by(STR("a\nb\nbad\nc\n"), step, &out));
		assert_string_equal(err.text, "name:3: is bad");
	}
	assert_false(push_by(STR("a\nbad"), 5, &out));
	assert_string_equal(err.text, "name:2: is bad");
	buf_clear(&out);
}

static void
test_line_too_long(void **state)
{
	char *s = xmalloc(LINES_MAX + 2);
	struct buf out;

	(void)state;
	buf_init(&out, 3 * LINES_MAX);
	memset(s, 'x', LINES_MAX + 2);
	assert_true(push_by((struct str){s, LINES_MAX}, 5000, &out));
	assert_int_equal(out.len, LINES_MAX + 2);
	assert_false(push_by((struct str){s, LINES_MAX + 1}, 5000, &out));
	assert_string_equal(
	    err.text, "name:1: longer than 1 MiB; this is no such file");
	buf_clear(&out);
	free(s);
}

/* ---- traces ---- */

static bool
add(struct trace *t, const char *line)
{
	return trace_add_line(t, str_from(line), &err);
}

static void
test_trace(void **state)
{
	struct trace t = {0};

	(void)state;
	assert_true(add(&t, "0 1 2"));
	assert_true(add(&t, "0 2 1 3"));
	assert_true(add(&t, "1500000000 16777215 7"));
	assert_int_equal(t.message_count, 3);
	assert_int_equal(t.recipient_count, 4);
	assert_int_equal(t.id_max, TRACE_ID_MAX);
	assert_int_equal(t.messages[1].sender, 2);
	assert_int_equal(t.messages[1].first, 1);
	assert_int_equal(t.messages[1].count, 2);
	assert_int_equal(t.recipients[2], 3);
	trace_clear(&t);
}

static void
test_trace_refused(void **state)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
	    {"", "the time is missing"},
	    {"5", "the sender is missing"},
	    {"5 1", "a recipient is missing"},
	    {"5  1 2", "the sender is missing"},
	    {"-5 1 2", "the time: \"-5\" is not a number up to 1500000000"},
	    {"1500000001 1 2",
		"the time: \"1500000001\" is not a number up to 1500000000"},
	    {"5 16777216 2",
		"the sender: \"16777216\" is not a number up to 16777215"},
	    {"5 1 x\tb",
		"a recipient: \"x\\x09b\" is not a number up to 16777215"},
	    {"3 1 2", "the time 3 is before that of the previous line; sort by "
		      "the first column"},
	};
	struct trace t = {0};

	(void)state;
	assert_true(add(&t, "4 1 2"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(add(&t, bad[i].line));
		assert_string_equal(err.text, bad[i].why);
	}
	assert_int_equal(t.message_count, 1);
	trace_clear(&t);
}

static bool
add_node(struct trace_nodes *n, const char *line)
{
	return trace_nodes_add_line(n, str_from(line), &err);
}

static void
test_nodes(void **state)
{
	struct trace_nodes n = {0};

	(void)state;
	assert_true(add_node(&n, "7 1 0 4294967295"));
	assert_true(add_node(&n, "0 0 1 0"));
	assert_true(trace_node(&n, 7).is_user);
	assert_false(trace_node(&n, 7).is_internal);
	assert_int_equal(trace_node(&n, 7).domain, UINT32_MAX);
	assert_true(trace_node(&n, 0).is_internal);
	assert_false(trace_node(&n, 3).is_listed);
	assert_false(trace_node(&n, TRACE_ID_MAX).is_listed);
	assert_false(add_node(&n, "7 1 1 1"));
	assert_string_equal(err.text, "7 is given twice; remove one");
	assert_false(add_node(&n, "8 2 1 1"));
	assert_string_equal(err.text, "user: \"2\" is not a number up to 1");
	assert_false(add_node(&n, "8 1 1"));
	assert_string_equal(err.text, "the domain is missing");
	assert_false(add_node(&n, "8 1 1 1 1"));
	assert_string_equal(err.text,
	    "more than four columns; this file has id, "
	    "user, internal and domain");
	assert_true(add_node(&n, "16777215 1 1 1"));
	assert_true(trace_node(&n, TRACE_ID_MAX).is_user);
	trace_nodes_clear(&n);
}

/* ---- files ---- */

static char *dir;

static char *
write_file(const char *name, const void *p, size_t n)
{
	char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	return path;
}

static int
read_file(const char *path, struct trace *t)
{
	return input_read(path, trace_add_line, t, &err);
}

static void
check_file(const char *name, const void *p, size_t n, int status,
    uint32_t messages, const char *why)
{
	char *path = write_file(name, p, n);
	struct trace t = {0};

	assert_int_equal(read_file(path, &t), status);
	assert_int_equal(t.message_count, messages);
	if (why != NULL)
		assert_string_equal(err.text + strlen(path), why);
	trace_clear(&t);
	free(path);
}

static void
test_files(void **state)
{
	static uint8_t plain[200000], packed[200000], twice[400000];
	size_t plain_n = 0, n = 0;
	uint32_t messages = 0;

	(void)state;
	for (; plain_n < sizeof(plain) - 30; messages++)
		plain_n += (size_t)snprintf((char *)plain + plain_n, 30,
		    "%u 1 %u\n", messages, messages % 90);
	check_file("plain", plain, plain_n, 0, messages, NULL);
	assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL,
			     plain, plain_n, packed, &n, sizeof(packed)),
	    LZMA_OK);
	check_file("packed", packed, n, 0, messages, NULL);
	check_file("short", packed, n - 7, EX_DATAERR, messages,
	    ": truncated xz file");
	/* One after the other is one file; here the time goes back. */
	memcpy(twice, packed, n);
	memcpy(twice + n, packed, n);
	check_file("twice", twice, 2 * n, EX_DATAERR, messages, NULL);
	assert_non_null(
	    strstr(err.text, "is before that of the previous line"));
	/* Only the header is sure to be damaged before the first line. */
	packed[12] ^= 1;
	check_file("damaged", packed, n, EX_DATAERR, 0,
	    ": damaged, as xz -t reports too");
	check_file("empty", "", 0, 0, 0, NULL);
	check_file("bad", "0 1 2\n1 1\n", 10, EX_DATAERR, 1,
	    ":2: a recipient is missing");
}

static void
test_no_file(void **state)
{
	char *path = xasprintf("%s/none", dir);
	struct trace t = {0};

	(void)state;
	assert_int_equal(read_file(path, &t), EX_NOINPUT);
	assert_string_equal(
	    err.text + strlen(path), ": No such file or directory");
	assert_int_equal(read_file(dir, &t), EX_NOINPUT);
	free(path);
}

/* ---- attacks ---- */

static void
test_attack(void **state)
{
	struct attack_plan p;

	(void)state;
	assert_true(attack_parse("10", &p, &err));
	assert_int_equal(attack_at(&p, 0), 0);
	assert_int_equal(attack_at(&p, 7), 700);
	assert_int_equal(attack_message_size(&p), 1);
	assert_int_equal(attack_start(&p), 30 * INT64_C(86400000));
	assert_true(attack_parse("1/60", &p, &err));
	assert_int_equal(attack_at(&p, 3), 180000);
	assert_true(attack_parse("100/1d,packed,known=1000", &p, &err));
	assert_int_equal(attack_at(&p, 100), 86400000);
	assert_int_equal(attack_message_size(&p), 100);
	assert_int_equal(p.known, 1000);
	assert_int_equal(attack_start(&p), (1000 + 24) * INT64_C(3600000));
}

static void
test_attack_refused(void **state)
{
	static const char *const bad[] = {"", "0", "10001", "x", "-1", "1/",
	    "1/0", "1/86401", "1/2d", "1/1y", ",packed", "1,known",
	    "1,known=", "1,known=0", "1,known=5001", "1,pack", "1,,packed"};
	struct attack_plan p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (attack_parse(bad[i], &p, &err))
			fail_msg("\"%s\" was taken", bad[i]);
		assert_non_null(strstr(err.text, "--attack: \""));
	}
}

/* ---- the agenda ---- */

static void
note(void *owner, void *arg)
{
	(void)owner;
	(void)arg;
}

static void
test_agenda(void **state)
{
	struct agenda a = {0};
	struct agenda_item last = {.at = -1};
	uint32_t x = 1;

	(void)state;
	assert_true(agenda_next(&a) == INT64_MAX);
	for (unsigned i = 0; i < 5000; i++) {
		x = x * 1664525 + 1013904223;
		agenda_add(&a, x >> 24, note, NULL);
	}
	for (unsigned i = 0; i < 5000; i++) {
		int64_t next = agenda_next(&a);
		struct agenda_item item = agenda_take(&a);

		assert_true(item.at == next && item.at >= last.at);
		assert_true(item.at > last.at || item.seq > last.seq);
		last = item;
	}
	assert_true(agenda_next(&a) == INT64_MAX);
	free(a.v);
}

static int
set_up(void **state)
{
	(void)state;
	dir = scratch_make(&err);
	return dir != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	scratch_remove(dir);
	free(dir);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_line_too_long),
	    cmocka_unit_test(test_trace),
	    cmocka_unit_test(test_trace_refused),
	    cmocka_unit_test(test_nodes),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_no_file),
	    cmocka_unit_test(test_attack),
	    cmocka_unit_test(test_attack_refused),
	    cmocka_unit_test(test_agenda),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
