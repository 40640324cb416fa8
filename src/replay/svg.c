/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See svg.h. Colours are of Okabe and Ito, which the colour-blind tell apart;
 * every second series is dashed as well where the caller asks for it.
 */
#include "replay/svg.h"

#include "base/str.h"

#include <math.h>
#include <string.h>

#define WIDTH 760.0
#define HEIGHT 380.0
#define LEFT 76.0
#define RIGHT 16.0
#define TOP 16.0
#define BOTTOM 52.0
#define LEGEND_ROW 20.0
#define LEGEND_COLUMNS 2
#define TICKS 6
#define LABEL_MAX 48
#define POINTS_MAX 1500 /* of one line; more would not be seen */
#define POINTS_A_LINE 8 /* of text: a page of long lines looks packed */

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;\n"
    "--line:#d0d7de;--paper:#fff;--c0:#0072b2;--c1:#d55e00;--c2:#007a59;\n"
    "--c3:#a8447f;--c4:#9a6700;--c5:#1f77d0;--c6:#b3261e;--c7:#57606a}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;\n"
    "--line:#3d444d;--paper:#0d1117;--c0:#56b4e9;--c1:#ff9350;--c2:#3fc79a;\n"
    "--c3:#e59cc4;--c4:#e3b341;--c5:#79b8ff;--c6:#ff8a80;--c7:#9aa5b1}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);\n"
    "background:var(--paper);max-width:60em;margin:2em auto;padding:0 1em}\n"
    "h1,h2{line-height:1.2}figure{margin:1.5em 0}figcaption{font-weight:600}\n"
    "svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;\n"
    "fill:var(--soft)}.grid{stroke:var(--line);stroke-width:1}\n"
    ".axis{stroke:var(--soft);stroke-width:1}\n"
    ".s{fill:none;stroke-width:2;stroke-linejoin:round}\n"
    ".d{stroke-dasharray:6 4}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "caption{text-align:left;font-weight:600;padding:.3em 0}\n"
    "th,td{text-align:right;padding:.15em .7em;\n"
    "border-bottom:1px solid var(--line)}\n"
    "th:first-child,td:first-child{text-align:left;padding-left:0}\n"
    "pre{background:color-mix(in srgb,var(--line) 35%,transparent);\n"
    "padding:.8em;overflow-x:auto}div.wide{overflow-x:auto}\n"
    "details{margin:.5em 0}summary{cursor:pointer}\n"
    "@media print{details{display:block}}";

/* A newline and a tab stay: they do no harm, and a block needs them. */
void
svg_text(FILE *out, const char *text)
{
	struct str s = str_from(text);

	while (s.n > 0) {
		bool is_space = s.p[0] == '\n' || s.p[0] == '\t';
		size_t n = is_space ? 1 : str_shown(s);

		if (n == 0)
			fputs("\xef\xbf\xbd", out);
		else if (*s.p == '&')
			fputs("&amp;", out);
		else if (*s.p == '<')
			fputs("&lt;", out);
		else if (*s.p == '>')
			fputs("&gt;", out);
		else if (*s.p == '"')
			fputs("&quot;", out);
		else
			fwrite(s.p, 1, n, out);
		s = str_sub(s, n > 0 ? n : 1, s.n);
	}
}

static void
element(FILE *out, const char *name, const char *text)
{
	fprintf(out, "<%s>", name);
	svg_text(out, text);
	fprintf(out, "</%s>\n", name);
}

void
svg_page_begin(FILE *out, const char *title)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
	      "<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" "
	      "content=\"width=device-width,initial-scale=1\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" "
	      "content=\"default-src 'none';style-src 'unsafe-inline'\">\n",
	    out);
	element(out, "title", title);
	fprintf(out, "<style>%s</style>\n</head>\n<body>\n", style);
	element(out, "h1", title);
}

void
svg_page_end(FILE *out)
{
	fputs("</body>\n</html>\n", out);
}

void
svg_heading(FILE *out, const char *text)
{
	element(out, "h2", text);
}

void
svg_paragraph(FILE *out, const char *text)
{
	element(out, "p", text);
}

void
svg_block(FILE *out, const char *text)
{
	element(out, "pre", text);
}

/* ---- tables ---- */

static void
row(FILE *out, const char *const *cells, size_t n, const char *first_scope,
    const char *others)
{
	fputs("<tr>", out);
	for (size_t i = 0; i < n; i++) {
		const char *tag = i == 0 ? first_scope : others;

		fprintf(out, "<%s>", tag);
		svg_text(out, cells[i]);
		fprintf(out, "</%.2s>", tag); /* without its attribute */
	}
	fputs("</tr>\n", out);
}

void
svg_table_begin(
    FILE *out, const char *caption, const char *const *heads, size_t n)
{
	fputs("<div class=\"wide\"><table>\n", out);
	if (caption != NULL)
		element(out, "caption", caption);
	fputs("<thead>\n", out);
	row(out, heads, n, "th scope=\"col\"", "th scope=\"col\"");
	fputs("</thead>\n<tbody>\n", out);
}

void
svg_table_row(FILE *out, const char *const *cells, size_t n)
{
	row(out, cells, n, "th scope=\"row\"", "td");
}

void
svg_table_end(FILE *out)
{
	fputs("</tbody>\n</table></div>\n", out);
}

/* ---- axes ---- */

struct axis {
	double low, high, step; /* of the logarithm where is_log */
	bool is_log;
};

/* 1, 2 or 5 times a power of ten: at most about TICKS of them. */
static double
nice_step(double range)
{
	double raw = range / TICKS, power = pow(10, floor(log10(raw)));
	double lead = raw / power;

	return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

static struct axis
axis_of(double low, double high, bool is_log)
{
	struct axis a = {.low = low, .high = high, .is_log = is_log};

	/* Ticks can be told apart. */
	if (!(a.high > a.low + fabs(a.low) * 1e-6))
		a.high = a.low + fmax(1, fabs(a.low) * 1e-6);
	a.step = nice_step(a.high - a.low);
	if (is_log)
		a.step = fmax(1, a.step);
	else
		a.high = ceil(a.high / a.step - 1e-9) * a.step;
	return a;
}

static double
place_x(const struct axis *a, double x)
{
	return LEFT +
	       (x - a->low) / (a->high - a->low) * (WIDTH - LEFT - RIGHT);
}

static double
place_y(const struct axis *a, double y)
{
	return HEIGHT - BOTTOM -
	       (y - a->low) / (a->high - a->low) * (HEIGHT - TOP - BOTTOM);
}

static const char *
tick_text(const struct axis *a, double v, char *text, size_t cap)
{
	double shown = a->is_log ? pow(10, v) : v;

	if (fabs(shown) < a->step * 1e-6 && !a->is_log)
		shown = 0;
	snprintf(text, cap, "%.*g", fabs(shown) < 1e6 ? 6 : 3, shown);
	return text;
}

static void
line(FILE *out, const char *class, double x1, double y1, double x2, double y2)
{
	fprintf(out,
	    "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
	    "y2=\"%.1f\"/>\n",
	    class, x1, y1, x2, y2);
}

static void
label(FILE *out, double x, double y, const char *anchor, const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y,
	    anchor);
	svg_text(out, text);
	fputs("</text>\n", out);
}

static void
print_y_axis(FILE *out, const struct axis *a, const char *name)
{
	char text[LABEL_MAX];

	for (double v = ceil(a->low / a->step) * a->step;
	     v <= a->high + a->step * 1e-6; v += a->step) {
		double y = place_y(a, v);

		line(out, "grid", LEFT, y, WIDTH - RIGHT, y);
		label(out, LEFT - 8, y + 4, "end",
		    tick_text(a, v, text, sizeof(text)));
	}
	fprintf(out,
	    "<text transform=\"translate(16 %.1f) rotate(-90)\" "
	    "text-anchor=\"middle\">",
	    (TOP + HEIGHT - BOTTOM) / 2);
	svg_text(out, name);
	fputs("</text>\n", out);
}

static void
print_x_axis(FILE *out, const struct axis *a, const char *name)
{
	char text[LABEL_MAX];
	double bottom = HEIGHT - BOTTOM;

	for (double v = ceil(a->low / a->step - 1e-9) * a->step;
	     v <= a->high + a->step * 1e-6; v += a->step) {
		double x = place_x(a, v);

		line(out, "axis", x, bottom, x, bottom + 5);
		label(out, x, bottom + 19, "middle",
		    tick_text(a, v, text, sizeof(text)));
	}
	line(out, "axis", LEFT, bottom, WIDTH - RIGHT, bottom);
	label(out, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "middle", name);
}

/* ---- a figure ---- */

static size_t
colour_of(const struct svg_series *s, size_t place)
{
	return s->colour > 0 ? (s->colour - 1) % SVG_SERIES_MAX : place;
}

static size_t
rows_of_legend(size_t n)
{
	return (n + LEGEND_COLUMNS - 1) / LEGEND_COLUMNS;
}

static void
begin_figure(
    FILE *out, const char *title, const char *description, size_t series)
{
	fputs("<figure>\n<figcaption>", out);
	svg_text(out, title);
	fprintf(out,
	    "</figcaption>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
	    "xmlns=\"http://www.w3.org/2000/svg\">\n<title>",
	    WIDTH, HEIGHT + LEGEND_ROW * (double)rows_of_legend(series));
	svg_text(out, title);
	fputs("</title>\n<desc>", out);
	svg_text(out, description);
	fputs("</desc>\n", out);
}

static void
print_legend(
    FILE *out, const struct svg_series *series, size_t n, bool is_filled)
{
	for (size_t i = 0; i < n; i++) {
		double x = LEFT + (double)(i % LEGEND_COLUMNS) *
				      (WIDTH - LEFT) / LEGEND_COLUMNS;
		double y =
		    HEIGHT + LEGEND_ROW * (double)(i / LEGEND_COLUMNS) + 8;

		fprintf(out,
		    "<path class=\"s%s\" style=\"stroke:var(--c%zu);"
		    "stroke-width:%d\" d=\"M%.1f %.1fh26\"/>\n",
		    series[i].is_dashed && !is_filled ? " d" : "",
		    colour_of(&series[i], i), is_filled ? 10 : 2, x, y);
		label(out, x + 34, y + 4, "start", series[i].name);
	}
}

static void
begin_details(FILE *out)
{
	fputs("</svg>\n<details><summary>Data</summary>\n", out);
}

static void
end_figure(FILE *out)
{
	fputs("</details>\n</figure>\n", out);
}

static bool
is_drawn(const struct svg_plot *p, const struct svg_series *s, size_t i)
{
	return isfinite(s->x[i]) && isfinite(s->y[i]) &&
	       (!p->log_x || s->x[i] > 0);
}

static double
x_of(const struct svg_plot *p, double x)
{
	return p->log_x ? log10(x) : x;
}

static void
find_axes(const struct svg_plot *p, size_t n, struct axis *x, struct axis *y)
{
	double low = INFINITY, high = -INFINITY, top = 0;

	for (size_t s = 0; s < n; s++) {
		for (size_t i = 0; i < p->series[s].n; i++) {
			if (!is_drawn(p, &p->series[s], i))
				continue;
			low = fmin(low, x_of(p, p->series[s].x[i]));
			high = fmax(high, x_of(p, p->series[s].x[i]));
			top = fmax(top, p->series[s].y[i]);
		}
	}
	if (!isfinite(low))
		low = high = 0;
	*x = axis_of(low, high, p->log_x);
	if (!p->log_x && high > low)
		x->high = high;
	*y = axis_of(0, p->y_max > 0 ? p->y_max : top, false);
}

static void
print_line(FILE *out, const struct svg_plot *p, size_t number,
    const struct axis *x, const struct axis *y)
{
	const struct svg_series *s = &p->series[number];
	size_t stride = s->n / POINTS_MAX + 1;
	size_t drawn = 0;

	fprintf(out, "<path class=\"s%s\" style=\"stroke:var(--c%zu)\" d=\"",
	    s->is_dashed ? " d" : "", colour_of(s, number));
	for (size_t i = 0; i < s->n; i++) {
		if ((i % stride != 0 && i + 1 != s->n) || !is_drawn(p, s, i))
			continue;
		fprintf(out, "%s%c%.1f %.1f",
		    drawn > 0 && drawn % POINTS_A_LINE == 0 ? "\n" : "",
		    drawn > 0 ? 'L' : 'M', place_x(x, x_of(p, s->x[i])),
		    place_y(y, fmin(s->y[i], y->high)));
		drawn++;
	}
	fputs("\"/>\n", out);
}

/* The value at x: of the last point that is not past it. */
static double
value_at(const struct svg_series *s, double x)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->x[middle] <= x)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? s->y[low - 1] : NAN;
}

static void
number_text(double v, char *text)
{
	if (isfinite(v))
		snprintf(text, LABEL_MAX, "%.*g", fabs(v) < 1e6 ? 6 : 10, v);
	else
		snprintf(text, LABEL_MAX, "-");
}

static void
print_plot_table(FILE *out, const struct svg_plot *p, size_t n)
{
	const char *cells[SVG_SERIES_MAX + 1] = {p->x_label};
	char texts[SVG_SERIES_MAX + 1][LABEL_MAX];
	const struct svg_series *longest = &p->series[0];
	size_t rows;

	for (size_t s = 0; s < n; s++) {
		cells[s + 1] = p->series[s].name;
		if (p->series[s].n > longest->n)
			longest = &p->series[s];
	}
	svg_table_begin(out, p->y_label, cells, n + 1);
	for (size_t s = 0; s <= n; s++)
		cells[s] = texts[s];
	rows = longest->n < SVG_TABLE_ROWS ? longest->n : SVG_TABLE_ROWS;
	for (size_t i = 0; i < rows; i++) {
		size_t at = rows > 1 ? i * (longest->n - 1) / (rows - 1) : 0;

		number_text(longest->x[at], texts[0]);
		for (size_t s = 0; s < n; s++)
			number_text(value_at(&p->series[s], longest->x[at]),
			    texts[s + 1]);
		svg_table_row(out, cells, n + 1);
	}
	svg_table_end(out);
}

static size_t
series_shown(size_t n)
{
	return n < SVG_SERIES_MAX ? n : SVG_SERIES_MAX;
}

void
svg_plot_print(FILE *out, const struct svg_plot *plot)
{
	size_t n = series_shown(plot->series_count);
	struct axis x, y;

	find_axes(plot, n, &x, &y);
	begin_figure(out, plot->title, plot->description, n);
	print_y_axis(out, &y, plot->y_label);
	print_x_axis(out, &x, plot->x_label);
	for (size_t i = 0; i < n; i++)
		print_line(out, plot, i, &x, &y);
	print_legend(out, plot->series, n, false);
	begin_details(out);
	if (n > 0)
		print_plot_table(out, plot, n);
	end_figure(out);
}

static double
top_of(const struct svg_bars *b, size_t n)
{
	double top = 0;

	for (size_t s = 0; s < n; s++) {
		for (size_t i = 0; i < b->label_count; i++)
			top = fmax(top, b->series[s].y[i]);
	}
	return top;
}

static void
print_bar_group(FILE *out, const struct svg_bars *b, size_t n, size_t i,
    const struct axis *y)
{
	double group = (WIDTH - LEFT - RIGHT) / (double)b->label_count;
	double left = LEFT + group * (double)i + group * 0.1;
	double width = group * 0.8 / (double)n;

	for (size_t s = 0; s < n; s++) {
		double top = place_y(y, fmax(0, b->series[s].y[i]));

		fprintf(out,
		    "<rect style=\"fill:var(--c%zu)\" x=\"%.1f\" y=\"%.1f\" "
		    "width=\"%.1f\" height=\"%.1f\"/>\n",
		    colour_of(&b->series[s], s), left + width * (double)s, top,
		    width * 0.94, HEIGHT - BOTTOM - top);
	}
	label(out, left + group * 0.4, HEIGHT - BOTTOM + 19, "middle",
	    b->labels[i]);
}

static void
print_bars_table(FILE *out, const struct svg_bars *b, size_t n)
{
	const char *cells[SVG_SERIES_MAX + 1] = {""};
	char texts[SVG_SERIES_MAX][LABEL_MAX];

	for (size_t s = 0; s < n; s++)
		cells[s + 1] = b->series[s].name;
	svg_table_begin(out, b->y_label, cells, n + 1);
	for (size_t i = 0; i < b->label_count; i++) {
		cells[0] = b->labels[i];
		for (size_t s = 0; s < n; s++) {
			number_text(b->series[s].y[i], texts[s]);
			cells[s + 1] = texts[s];
		}
		svg_table_row(out, cells, n + 1);
	}
	svg_table_end(out);
}

void
svg_bars_print(FILE *out, const struct svg_bars *bars)
{
	size_t n = series_shown(bars->series_count);
	struct axis y = axis_of(0, top_of(bars, n), false);

	begin_figure(out, bars->title, bars->description, n);
	print_y_axis(out, &y, bars->y_label);
	line(
	    out, "axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM);
	for (size_t i = 0; i < bars->label_count && n > 0; i++)
		print_bar_group(out, bars, n, i, &y);
	print_legend(out, bars->series, n, true);
	begin_details(out);
	print_bars_table(out, bars, n);
	end_figure(out);
}
