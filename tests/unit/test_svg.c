/* SPDX-License-Identifier: BSD-3-Clause */
/* The page of a report: what is escaped, and where things are drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/svg.h"

struct page {
	char *text;
	size_t n;
	FILE *out;
};

static void
begin(struct page *p)
{
	p->out = open_memstream(&p->text, &p->n);
	assert_non_null(p->out);
}

static void
end(struct page *p)
{
	assert_int_equal(fclose(p->out), 0);
}

static void
assert_has(const struct page *p, const char *what)
{
	if (strstr(p->text, what) == NULL)
		fail_msg("\"%s\" is not in %s", what, p->text);
}

static void
assert_lacks(const struct page *p, const char *what)
{
	if (strstr(p->text, what) != NULL)
		fail_msg("\"%s\" is in %s", what, p->text);
}

static void
test_text(void **state)
{
	static const struct {
		const char *in, *out;
	} v[] = {
	    {"plain", "plain"},
	    {"<script>alert(1)</script>",
		"&lt;script&gt;alert(1)&lt;/script&gt;"},
	    {"a&b \"c\"", "a&amp;b &quot;c&quot;"},
	    {"x\x01y\x7fz", "x\xef\xbf\xbdy\xef\xbf\xbdz"},
	    {"\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xc3\xa9", "\xc3\xa9"},
	    {"a\nb\tc", "a\nb\tc"},
	};
	struct page p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		begin(&p);
		svg_text(p.out, v[i].in);
		end(&p);
		assert_string_equal(p.text, v[i].out);
		free(p.text);
	}
}

static void
test_plot(void **state)
{
	static const double x[] = {0, 1, 2}, y[] = {0, 50, 100};
	static const struct svg_series series[] = {
	    {"a < b", x, y, 3, false, 0}, {"none", x, y, 0, true, 3}};
	static const struct svg_plot plot = {"Spread", "It grows.", "hours",
	    "hosts", false, 0, series, ARRAY_LEN(series)};
	struct page p;

	(void)state;
	begin(&p);
	svg_plot_print(p.out, &plot);
	end(&p);
	assert_has(&p, "<title>Spread</title>\n<desc>It grows.</desc>");
	assert_has(&p, "a &lt; b");
	assert_has(&p, "class=\"s d\" style=\"stroke:var(--c2)");
	/* From the corner at the left below to that at the right above. */
	assert_has(&p, "M76.0 328.0L410.0 172.0L744.0 16.0");
	assert_has(&p, "<th scope=\"row\">2</th><td>100</td><td>-</td>");
	free(p.text);
}

static void
test_logarithm(void **state)
{
	static const double x[] = {0, 1, 10, 100}, y[] = {5, 1, 2, NAN};
	static const struct svg_series series = {"a", x, y, 4, false, 0};
	static const struct svg_plot plot = {
	    "t", "d", "x", "y", true, 0, &series, 1};
	struct page p;

	(void)state;
	begin(&p);
	svg_plot_print(p.out, &plot);
	end(&p);
	assert_has(&p, "M76.0 172.0L744.0 16.0\"");
	assert_lacks(&p, "nan");
	assert_lacks(&p, "inf");
	free(p.text);
}

static void
test_bars(void **state)
{
	static const double y[] = {1, 2};
	static const char *const labels[] = {"one", "two"};
	static const struct svg_series series = {"n", NULL, y, 2, false, 0};
	static const struct svg_bars bars = {
	    "t", "d", "count", labels, 2, &series, 1};
	struct page p;

	(void)state;
	begin(&p);
	svg_bars_print(p.out, &bars);
	end(&p);
	assert_has(&p, "height=\"156.0\"");
	assert_has(&p, "height=\"312.0\"");
	assert_has(&p, "<th scope=\"row\">two</th><td>2</td>");
	free(p.text);
}

/* Nothing comes from elsewhere, nothing is run. */
static void
test_page(void **state)
{
	static const char *const heads[] = {"a", "b"}, *const cells[] = {
							   "<x>", "1"};
	struct page p;

	(void)state;
	begin(&p);
	svg_page_begin(p.out, "A & B");
	svg_heading(p.out, "h");
	svg_paragraph(p.out, "p");
	svg_block(p.out, "policy \"x\" {\n}");
	svg_table_begin(p.out, NULL, heads, 2);
	svg_table_row(p.out, cells, 2);
	svg_table_end(p.out);
	svg_page_end(p.out);
	end(&p);
	assert_has(&p, "<title>A &amp; B</title>");
	assert_has(&p, "prefers-color-scheme:dark");
	assert_has(&p, "policy &quot;x&quot; {\n}");
	assert_has(&p, "<th scope=\"row\">&lt;x&gt;</th><td>1</td>");
	assert_lacks(&p, "<script");
	assert_lacks(&p, "src=");
	assert_lacks(&p, "href=");
	free(p.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_plot),
	    cmocka_unit_test(test_logarithm),
	    cmocka_unit_test(test_bars),
	    cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests_name("svg", tests, NULL, NULL);
}
