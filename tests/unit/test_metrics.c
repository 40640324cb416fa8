/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prometheus' text format and OpenMetrics: what differs, and what is escaped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

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
test_counters(void **state)
{
	static const char *const there[] = {
	    "# TYPE weir_recipients_total counter\n",
	    "weir_recipients_total{verdict=\"hold\",why=\"scope\"} 0\n",
	    "weir_policy_recipients_total{policy=\"a\\\"b\",verdict=\"pass\"} "
	    "7\n",
	    "weir_policy_recipients_total{policy=\"c\",verdict=\"hold\"} 0\n",
	    "# TYPE weir_connections_total counter\n# ", /* no listener */
	    "# TYPE weir_held_duration_seconds histogram\n",
	    "weir_held_duration_seconds_bucket{le=\"60.0\"} 1\n",
	    "weir_held_duration_seconds_bucket{le=\"300.0\"} 2\n",
	    "weir_held_duration_seconds_bucket{le=\"259200.0\"} 2\n",
	    "weir_held_duration_seconds_bucket{le=\"+Inf\"} 3\n",
	    "weir_held_duration_seconds_sum 259321.5\n",
	    "weir_held_duration_seconds_count 3\n",
	};
	struct counters c = {.v = {0}};
	struct metrics m;
	struct buf out;
	char *text;

	(void)state;
	counters_name(&c, COUNTER_POLICY, "a\"b");
	counters_name(&c, COUNTER_POLICY, "gone");
	counters_add_named(&c, NAMED_POLICY_PASSED, "a\"b", 7);
	counters_add_named(&c, NAMED_POLICY_PASSED, "unknown", 1);
	/* A reload: what is named again goes on. */
	counters_names_begin(&c);
	counters_name(&c, COUNTER_POLICY, "c");
	counters_name(&c, COUNTER_POLICY, "a\"b");
	counters_names_end(&c);
	counters_observe(&c, HISTOGRAM_HELD, 60000);
	counters_observe(&c, HISTOGRAM_HELD, 60001);
	counters_observe(&c, HISTOGRAM_HELD, 259201499);
	counters_observe(&c, HISTOGRAM_HELD, -5);
	c.histograms[HISTOGRAM_HELD].in[0]--; /* the clock that was set back */
	buf_init(&out, 1 << 20);
	metrics_begin(&m, &out, false);
	metrics_counters(&m, &c);
	assert_true(metrics_end(&m));
	assert_true(buf_append(&out, "", 1));
	text = buf_take(&out);
	for (size_t i = 0; i < ARRAY_LEN(there); i++) {
		if (strstr(text, there[i]) == NULL)
			fail_msg("no %s in %s", there[i], text);
	}
	assert_null(strstr(text, "\"gone\""));
	assert_null(strstr(text, "\"unknown\""));
	/* Each family has its help. */
	assert_null(strstr(text, "# HELP weir_alerts_total \n"));
	free(text);
	counters_clear(&c);
}

static void
test_families(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_MAX; i++) {
		const char *family = counter_info[i].family;

		if (family != NULL && family[0] != '\0')
			assert_non_null(counter_family_doc(family));
	}
	for (size_t i = 0; i < NAMED_MAX; i++)
		assert_non_null(
		    counter_family_doc(named_counter_info[i].family));
	for (size_t i = 0; i < HISTOGRAM_MAX; i++)
		assert_non_null(counter_family_doc(histogram_name[i]));
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
	    cmocka_unit_test(test_counters),
	    cmocka_unit_test(test_families),
	    cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
