/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prometheus' text format and OpenMetrics: what differs, and what is escaped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "control/metrics.h"
#include "os/process.h"

static void
write_some(struct buf *out, bool openmetrics)
{
	struct metrics m;

	metrics_begin(&m, out, openmetrics);
	metrics_family(&m, "weir_build", METRIC_INFO, "What \"it\" is.");
	metrics_sample(&m,
	    (struct metric_label[]){
		{"version", "1\"2\\3\n4"}, {"mode", "observe"}, {NULL, NULL}},
	    1);
	metrics_one(
	    &m, "weir_a", METRIC_COUNTER, "Of a\\b\nc.", 9007199254740991);
	metrics_one(&m, "weir_b_seconds", METRIC_GAUGE, "B.", 0.5);
	assert_true(metrics_end(&m));
}

static void
expect(bool openmetrics, const char *text)
{
	struct buf out;
	char *got;

	buf_init(&out, 10000);
	write_some(&out, openmetrics);
	assert_true(buf_append(&out, "", 1));
	got = buf_take(&out);
	assert_string_equal(got, text);
	free(got);
}

static void
test_text(void **state)
{
	(void)state;
	expect(false,
	    "# HELP weir_build_info What \"it\" is.\n"
	    "# TYPE weir_build_info gauge\n"
	    "weir_build_info{version=\"1\\\"2\\\\3\\n4\",mode=\"observe\"} 1\n"
	    "# HELP weir_a_total Of a\\\\b\\nc.\n"
	    "# TYPE weir_a_total counter\n"
	    "weir_a_total 9007199254740991\n"
	    "# HELP weir_b_seconds B.\n"
	    "# TYPE weir_b_seconds gauge\n"
	    "weir_b_seconds 0.5\n");
}

static void
test_openmetrics(void **state)
{
	(void)state;
	expect(true,
	    "# HELP weir_build What \\\"it\\\" is.\n"
	    "# TYPE weir_build info\n"
	    "weir_build_info{version=\"1\\\"2\\\\3\\n4\",mode=\"observe\"} 1\n"
	    "# HELP weir_a Of a\\\\b\\nc.\n"
	    "# TYPE weir_a counter\n"
	    "weir_a_total 9007199254740991\n"
	    "# HELP weir_b_seconds B.\n"
	    "# TYPE weir_b_seconds gauge\n"
	    "weir_b_seconds 0.5\n"
	    "# EOF\n");
}

static void
test_full(void **state)
{
	struct metrics m;
	struct buf out;

	(void)state;
	buf_init(&out, 40);
	metrics_begin(&m, &out, false);
	metrics_one(&m, "weir_a", METRIC_GAUGE, "A long text of help.", 1);
	assert_false(metrics_end(&m));
	buf_clear(&out);
}

static void
test_process(void **state)
{
	struct process_stats s;

	(void)state;
	process_stats(&s);
	assert_true(s.resident_bytes > 100000);
	assert_true(s.virtual_bytes >= s.resident_bytes);
	assert_in_range(s.open_files, 3, 10000);
	assert_true(s.max_files >= s.open_files);
	assert_true(s.started_at_s > 1.7e9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_openmetrics),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
